"""Scope of a function for the mutation operators: its sites, names, conditions and constants.

A `Site` is a node with the place it hangs in. A `Scope` collects the sites of one function, leaving out what no test
would see: what stands in exceptions raised, assertions, log and print calls.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llm_bridge.corpora.stdlib_functions import Function

# One replacement: (node, field, index in the field's list or None, what stands there afterwards; None removes it).
Replacement = tuple[ast.AST, str, int | None, object]


@dataclass(frozen=True)
class Insert:
    """Mark of a replacement that puts a node before the index."""

    node: ast.AST


@dataclass(frozen=True, eq=False)
class Site:
    """A node, and where it hangs: `parent.field`, or its item `index`."""

    node: Any  # an ast.AST; which kind, the operators ask
    parent: Any
    field: str
    index: int | None

    def swap(self, new: object) -> list[Replacement]:
        """The replacement that puts another node here."""
        return [(self.parent, self.field, self.index, new)]


LOGGING = frozenset("print log debug info warn warning error exception critical write_log msg _log trace".split())
SYMMETRIC = frozenset("max min isclose hypot gcd lcm samefile union intersection symmetric_difference".split())
SELF = ("self", "cls")


class Scope:
    """Sites, names, conditions and constants of one function."""

    def __init__(self, function: Function, tree: ast.FunctionDef, rng: random.Random) -> None:
        """Look through a function once."""
        self.function, self.tree, self.rng = function, tree, rng
        self.sites: list[Site] = []
        for index, statement in enumerate(tree.body):
            self._collect(statement, tree, "body", index)
        arguments = tree.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        parameters += [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
        self.bound: dict[str, int] = {argument.arg: 0 for argument in parameters}
        self.reads: dict[str, int] = {}
        self.profiles: dict[str, set[tuple[str, str]]] = {}
        comprehended = {
            id(name)
            for site in self.sites
            if isinstance(site.node, ast.comprehension)
            for name in ast.walk(site.node.target)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load):
                    self.reads[node.id] = self.reads.get(node.id, 0) + 1
                elif id(node) not in comprehended:
                    self.bound.setdefault(node.id, node.lineno)
        for site in self.sites:
            if isinstance(site.node, ast.Name):
                self.profiles.setdefault(site.node.id, set()).add((type(site.parent).__name__, site.field))
        self.conditions = [
            site.node
            for site in self.sites
            if isinstance(site.node, ast.Compare)
            or (is_test(site) and isinstance(site.node, ast.Name | ast.Attribute | ast.Call))
        ]

    def _collect(self, node: ast.AST, parent: ast.AST, field: str, index: int | None) -> None:
        if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
            return
        if isinstance(node, ast.Call) and called_name(node) in LOGGING:
            return
        self.sites.append(Site(node, parent, field, index))
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                for position, item in enumerate(value):
                    if isinstance(item, ast.AST):
                        self._collect(item, node, name, position)
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context | ast.arguments):
                self._collect(value, node, name, None)

    def names_before(self, line: int, *without: str) -> list[str]:
        """Local names bound before a line."""
        return [name for name, bound in self.bound.items() if bound < line and name not in (*SELF, *without)]

    def other_name(self, name: str, line: int) -> str | None:
        """Another local name, more often than not one that is used in the same ways."""
        names = self.names_before(line, name)
        if not names:
            return None
        own = self.profiles.get(name, set())
        alike = [other for other in names if own & self.profiles.get(other, set())]
        return self.rng.choice(alike if alike and self.rng.random() < 0.7 else names)

    def of(self, *kinds: type) -> Iterator[Site]:
        """Sites whose node is of one of the kinds."""
        return (site for site in self.sites if isinstance(site.node, kinds))


Found = Iterator[tuple[str, str, int, Sequence[Replacement]]]


def is_test(site: Site) -> bool:
    """Whether the node is a condition that decides a branch, a loop or a filter."""
    if site.field == "test":
        return isinstance(site.parent, ast.If | ast.While | ast.IfExp) and not isinstance(site.node, ast.Constant)
    return site.field == "ifs"


def is_value(site: Site) -> bool:
    """Whether the node is used as a value: an argument, what is assigned, returned, iterated, compared, calculated."""
    if isinstance(getattr(site.node, "ctx", None), ast.Store | ast.Del):
        return False
    parent, field = site.parent, site.field
    return (
        (isinstance(parent, ast.Call) and field == "args")
        or (isinstance(parent, ast.Assign | ast.AugAssign | ast.Return | ast.Yield) and field == "value")
        or (isinstance(parent, ast.For | ast.comprehension) and field == "iter")
        or isinstance(parent, ast.Compare | ast.BinOp)
        or (isinstance(parent, ast.Subscript) and field == "slice" and not isinstance(site.node, ast.Slice | ast.Tuple))
    )


def is_count(site: Site) -> bool:
    """Whether a whole number stands there: an index, a bound, an argument of `range`, beside a number or a length."""
    parent, field = site.parent, site.field
    if isinstance(getattr(site.node, "ctx", None), ast.Store | ast.Del):
        return False
    if isinstance(parent, ast.Slice) or (isinstance(parent, ast.Call) and called_name(parent) in ("range", "islice")):
        return field != "func"
    if isinstance(parent, ast.Subscript) and field == "slice":
        return (isinstance(site.node, ast.Name) and len(site.node.id) <= 2) or is_number(site.node)
    if isinstance(parent, ast.Compare):
        if not all(isinstance(op, ast.Lt | ast.Gt | ast.LtE | ast.GtE | ast.Eq | ast.NotEq) for op in parent.ops):
            return False
        others = [side for side in (parent.left, *parent.comparators) if side is not site.node]
        return is_number(site.node) or any(
            is_number(side) or (isinstance(side, ast.Call) and called_name(side) == "len") for side in others
        )
    if isinstance(parent, ast.AugAssign):
        return is_number(site.node)
    return isinstance(site.node, ast.Call) and called_name(site.node) == "len"


def is_self(node: ast.AST) -> bool:
    """Whether the node is ``self`` or ``cls``."""
    return isinstance(node, ast.Name) and node.id in SELF


def is_number(node: object, value: int | None = None) -> bool:
    """Whether the node is a number, or that number."""
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool) or not isinstance(node.value, int | float):
        return False
    return value is None or node.value == value


def is_constant(node: ast.AST) -> bool:
    """Whether the node is a literal."""
    return isinstance(node, ast.Constant)


def is_text(node: ast.AST) -> bool:
    """Whether the node is a string or bytes literal."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def is_sequence(node: ast.AST) -> bool:
    """Whether the node is known to be a string or a list, for which adding does not commute."""
    if isinstance(node, ast.BinOp):
        return is_sequence(node.left) or is_sequence(node.right)
    return is_text(node) or isinstance(node, ast.List | ast.Tuple | ast.JoinedStr | ast.ListComp)


def is_plain(node: ast.AST) -> bool:
    """Whether the node is simple enough to be written for another by mistake."""
    return isinstance(node, ast.Name | ast.Attribute | ast.Constant | ast.Subscript | ast.BinOp)


def same(a: ast.AST, b: ast.AST) -> bool:
    """Whether two nodes are written the same."""
    return type(a) is type(b) and ast.dump(a) == ast.dump(b)


def names_in(node: ast.AST) -> list[str]:
    """Names that occur in a node."""
    return [child.id for child in ast.walk(node) if isinstance(child, ast.Name)]


def called_name(node: ast.Call) -> str:
    """Last name of what is called, empty where it has none."""
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def make_call(function: ast.expr, *arguments: ast.expr) -> ast.Call:
    """A call with positional arguments."""
    return ast.Call(func=function, args=list(arguments), keywords=[])


def sign(value: int) -> int:
    """The sign of a number: -1, 0 or 1."""
    return (value > 0) - (value < 0)
