"""Single edits: every program that the tree engine can make of a text, functions of any size included.

The engine's operators go both ways, so that what it can break it can often mend: the fix of a one-line bug may be among
the edits of the buggy text. Names, functions to call and places are drawn where there are many, hence the rounds.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator

from llm_bridge.corpora.mutation import trees
from llm_bridge.corpora.mutation.one_line import changed_line
from llm_bridge.corpora.stdlib_functions import Function


def single_edits(text: str, *, max_rounds: int = 40, quiet_rounds: int = 4, seed: int = 0) -> dict[str, int]:
    r"""Texts that differ from a program in one line by one edit of the tree engine, and compile to other code.

    Parameters
    ----------
    text
        A program in normal form: functions, and classes with methods.
    max_rounds, quiet_rounds
        Draw anew at most that often, and stop after so many rounds that brought nothing new.
    seed
        Seed of the draws.

    Returns
    -------
    dict
        Edited text to the line of `text`, from 1, that the edit changes, removes or puts a line before (the last line
        where it is put at the end), in the order in which they were found.

    Examples
    --------
    >>> text = "def f(n):\n    total = 0\n    while n > 0:\n        total += n\n        n -= 1\n    return total\n"
    >>> single_edits(text)[text.replace("n > 0", "n >= 0")]
    3
    """
    module = ast.parse(text)
    num_lines = text.count("\n")
    found: dict[str, int] = {}
    seen = {text}
    quiet = 0
    for turn in range(max_rounds):
        before = len(seen)
        for edited in _drawn(module, text, random.Random(f"edits {seed} {turn}")):
            if edited not in seen:
                seen.add(edited)
                line = changed_line(text, edited)
                if line is not None:
                    found[edited] = min(line, num_lines)
        quiet = quiet + 1 if len(seen) == before else 0
        if quiet == quiet_rounds:
            break
    return found


def _drawn(module: ast.Module, text: str, rng: random.Random) -> Iterator[str]:
    for tree in _functions(module):
        function = Function(module="", name=tree.name, text=text, methods={}, attributes=())
        for candidate in trees.proposed(function, tree, rng):
            yield trees.mutate(module, candidate).strip("\n") + "\n"


def _functions(module: ast.Module) -> list[ast.FunctionDef]:
    """Functions and methods; one inside another belongs to the outer one."""
    owners: list[ast.Module | ast.ClassDef] = [
        module,
        *(node for node in module.body if isinstance(node, ast.ClassDef)),
    ]
    return [node for owner in owners for node in owner.body if isinstance(node, ast.FunctionDef)]
