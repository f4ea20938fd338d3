"""Mutation of syntax trees: candidates for one-line bugs in QuixBugs' 14 defect classes.

`candidates` lists what could go wrong in one function. A candidate is a replacement of one or two nodes, not yet a
text; `mutate` makes the text. Every candidate names its `family` and, within it, its `orientation`: where one way
turns ``x`` into ``x + 1``, the other turns ``x + 1`` into ``x``. A corpus that draws both ways of a family equally
often leaves a model no hint in what is written, only in where it is written: a bug is then as likely to add ``+ 1``,
``not`` or a call as to lack one, and the buggy text is as often the longer as the shorter one.

Left out, since no test would see them or the text does not change its meaning: what stands in exceptions raised,
assertions, log and print calls; operands that are equal; arguments of symmetric functions; assignments never read.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llm_bridge.corpora.mutation import counting, names, omissions, operators
from llm_bridge.corpora.mutation.scope import Found, Insert, Replacement, Scope
from llm_bridge.corpora.stdlib_functions import Function


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A possible bug. `orientation` is +1 or -1 for the two ways of a family, 0 where a bug is its own reverse."""

    defect_class: str
    family: str
    orientation: int
    replacements: tuple[Replacement, ...]


def candidates(function: Function, tree: ast.FunctionDef, rng: random.Random) -> list[Candidate]:
    """Candidates for bugs in a function, at most one for each family and orientation, drawn by `rng`.

    Parameters
    ----------
    function
        Gives the names of the function's class.
    tree
        Parsed `function.text`; the candidates refer to its nodes.
    rng
        Chooses the place and the other name.
    """
    pools: dict[tuple[str, str, int], list[Candidate]] = {}
    for candidate in proposed(function, tree, rng):
        pools.setdefault((candidate.defect_class, candidate.family, candidate.orientation), []).append(candidate)
    return [rng.choice(pool) for pool in pools.values()]


def proposed(function: Function, tree: ast.FunctionDef, rng: random.Random) -> Iterator[Candidate]:
    """Candidates that the operators propose for a function; `rng` chooses names where there are many."""
    scope = Scope(function, tree, rng)
    for operator in _OPERATORS:
        for defect_class, family, orientation, replacements in operator(scope):
            yield Candidate(
                defect_class=defect_class, family=family, orientation=orientation, replacements=tuple(replacements)
            )


def mutate(tree: ast.FunctionDef | ast.Module, candidate: Candidate) -> str:
    """Text of the function, or of the module around it, with the candidate's bug; `tree` is left as it was."""
    undo: list[Replacement] = []
    try:
        for node, field, index, new in candidate.replacements:
            if index is None:
                undo.append((node, field, None, getattr(node, field)))
                setattr(node, field, new)
            else:
                items = getattr(node, field)
                undo.append((node, field, None, items))
                changed = list(items)
                if new is None:
                    del changed[index]
                elif isinstance(new, Insert):
                    changed.insert(index, new.node)
                else:
                    changed[index] = new
                setattr(node, field, changed)
        return ast.unparse(tree) + "\n"
    finally:
        for node, field, _, old in reversed(undo):
            setattr(node, field, old)


_OPERATORS: tuple[Callable[[Scope], Found], ...] = (
    counting.plus_one,
    names.variable_swap,
    names.incorrect_variable,
    operators.comparison_operator,
    omissions.function_call,
    omissions.missing_line,
    omissions.missing_condition,
    counting.array_slice,
    names.variable_prepend,
    operators.structure_constant,
    operators.assignment_operator,
    operators.method_called,
    names.field_dereference,
    counting.arithmetic,
)
