"""Renamed copies of pairs: the same programs under names that a model which memorised the originals does not know.

Parameters, local variables and functions inside functions are renamed, the same way in both versions. What other code
sees keeps its name: the function itself (tests call it), attributes, globals, builtins. A new name is as long as the
old one, so that neither the lengths of the two texts nor the balance of a corpus change.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import keyword
import random

from llm_bridge.corpora.programs import ProgramPair, single_edit

_WORDS = (
    "a b c d e g h j k m n p q r s t u v w x y z ab ac at bx cy da el fn gx ho ix jk ky lo mu nu ox pi qa ra sy "
    "ti uv va wx yo ace bar cup dot elm fig gem hub ivy jar key lot map net oak pen ray sum tag urn van web yak "
    "zip acid bolt cord dune east fern gate harp iron jade knot lamp mesh node oval pond quay reed sage tide unit "
    "vine wave yard zinc amber brick cedar delta ember flint grain hazel inlet joint knoll lemon maple north "
    "ocean pearl quilt ridge stone topaz umbra vapor wheat alpine basalt canyon dahlia engine fabric garnet "
    "harbor island jasper kernel ledger marble nectar orchid pebble quartz ribbon saddle timber upland velvet "
    "walnut avocado biscuit compass diamond echelon feather glacier hammock inkwell juniper lantern meadows "
    "nothing orchard pilgrim quarter rainbow satchel thistle uniform village whistle aardvark bungalow calendar "
    "daffodil envelope filament goldfish horseman intaglio jamboree kangaroo landmark magnolia notebook obsidian "
    "pavilion quantity raincoat sapphire treasure umbrella volatile windmill"
).split()
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


def rename_identifiers(pair: ProgramPair, seed: int = 0) -> ProgramPair:
    """The pair with its local identifiers renamed.

    Parameters
    ----------
    pair
        The pair, both versions in normal form.
    seed
        Seed of the new names, together with the pair's name.

    Returns
    -------
    ProgramPair
        Same name, tests and group; the bug on the same line; both texts of unchanged length and still in normal form.

    Examples
    --------
    >>> from llm_bridge.corpora import minibugs
    >>> pair = minibugs.load()[0]
    >>> print(rename_identifiers(pair).correct.splitlines()[0].replace("moving_average", "f"))
    def f(jasper, harp):
    """
    trees = [ast.parse(pair.correct), ast.parse(pair.buggy)]
    functions = {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}
    local = dict.fromkeys(name for tree in trees for name in _local_names(tree) if name not in functions)
    taken = {name for tree in trees for name in _all_names(tree)} | set(dir(builtins)) | set(keyword.kwlist)
    rng = random.Random(f"rename {seed} {pair.corpus} {pair.name}")
    mapping: dict[str, str] = {}
    for name in local:
        mapping[name] = _new_name(name, taken, rng)
        taken.add(mapping[name])
    correct, buggy = (ast.unparse(_Renamer(mapping, functions).visit(tree)).strip("\n") + "\n" for tree in trees)
    return dataclasses.replace(pair, correct=correct, buggy=buggy, buggy_line=single_edit(buggy, correct).first)


def _local_names(tree: ast.AST) -> list[str]:
    """Names that the text binds: parameters, assigned names, inner functions; not those declared global."""
    bound: dict[str, None] = {}
    outside: set[str] = {"self", "cls", "_"}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            bound[node.arg] = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound[node.id] = None
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound[node.name] = None
        elif isinstance(node, ast.FunctionDef | ast.Lambda) and hasattr(node, "name"):
            bound[node.name] = None
        elif isinstance(node, ast.Global):
            outside.update(node.names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            outside.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ClassDef):
            outside.add(node.name)
        elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
            outside.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            outside.add(node.rest)
    return [name for name in bound if name not in outside and not name.startswith("__")]


def _all_names(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        for field in ("id", "arg", "attr", "name"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                names.add(value)
    return names


def _new_name(name: str, taken: set[str], rng: random.Random) -> str:
    fitting = [word for word in _WORDS if len(word) == len(name) and word not in taken]
    if fitting:
        return rng.choice(fitting)
    for _ in range(1000):
        word = "".join(rng.choices(_SYLLABLES, k=len(name) // 2 + 1))[: len(name)]
        if word not in taken:
            return word
    return name  # every name of this length is taken: short ones in a crowded function


class _Renamer(ast.NodeTransformer):
    """Apply a mapping to names, parameters, inner functions and the keywords of calls to the text's own functions."""

    def __init__(self, mapping: dict[str, str], functions: set[str]) -> None:
        self.mapping, self.functions = mapping, functions

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.mapping.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self.mapping.get(node.arg, node.arg)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self.mapping.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name:
            node.name = self.mapping.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        node.names = [self.mapping.get(name, name) for name in node.names]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        own = isinstance(node.func, ast.Name) and (node.func.id in self.functions or node.func.id in self.mapping)
        if own:
            for word in node.keywords:
                word.arg = self.mapping.get(word.arg, word.arg) if word.arg else word.arg
        return self.generic_visit(node)
