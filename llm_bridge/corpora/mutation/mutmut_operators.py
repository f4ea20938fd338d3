"""Mutation by the operators of mutmut, an independent engine that works on concrete syntax trees.

`mutmut` (BSD-3-Clause, https://github.com/boxed/mutmut) is a mutation tester; of it only the list of operators is used,
functions from a node of a libcst tree to the nodes that may stand in its place. What its mutants are, and how often
which, was decided by others and for another purpose than ours.

Passed over are signatures (as in ours) and what is inside ``len(…)`` and ``isinstance(…)`` (as in mutmut), and
what is made to be seen: "XX" around a string or behind a keyword, several cases of a ``match``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

ENGINE = "mutmut"
LEFT_OUT = ("operator_dict_arguments", "operator_match")
NOT_INSIDE = ("len", "isinstance")

#: Classes beside QuixBugs' 14: bugs that our own operators do not make.
OWN_CLASSES = (
    "argument replaced by None",
    "argument left out",
    "incorrect value assigned",
    "incorrect string",
    "incorrect jump",
    "constant condition",
)

_CLASSES = {
    "operator_number": "missing/added +1",
    "operator_string": "incorrect string",
    "operator_name": "incorrect data structure constant",
    "operator_assignment": "incorrect value assigned",
    "operator_augmented_assignment": "incorrect assignment operator",
    "operator_symmetric_string_methods_swap": "incorrect method called",
    "operator_unsymmetrical_string_methods_swap": "incorrect method called",
    "operator_lambda": "incorrect value assigned",
    "operator_if_exp": "constant condition",
}
_CLASSES_BY_NODE = {
    "Comparison": "incorrect comparison operator",
    "ComparisonTarget": "incorrect comparison operator",
    "BooleanOperation": "incorrect comparison operator",
    "BinaryOperation": "missing arithmetic expression",
    "AugAssign": "incorrect assignment operator",
    "Is": "incorrect comparison operator",
    "IsNot": "incorrect comparison operator",
    "In": "incorrect comparison operator",
    "NotIn": "incorrect comparison operator",
    "Break": "incorrect jump",
    "Continue": "incorrect jump",
}


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """Mutation of one place by one operator; `make` gives the text in normal form, None where it is none or marked."""

    defect_class: str
    make: Callable[[], str | None]


def mutations(text: str) -> Iterator[Mutation]:
    r"""All mutations of a function's body, in the order of the text; some may be no valid pair.

    Raises
    ------
    ModuleNotFoundError
        Where mutmut is not installed; the message names the extra.

    Examples
    --------
    >>> for mutation in mutations("def f(x):\n    return x < 1\n"):
    ...     print(mutation.defect_class, "|", mutation.make().splitlines()[1].strip())
    incorrect comparison operator | return x <= 1
    missing/added +1 | return x < 2
    """
    operators = _operators()
    import libcst

    module = libcst.parse_module(text)
    function = module.body[0]
    assert isinstance(function, libcst.FunctionDef)
    for node in _nodes(function.body):
        for kind, operator in operators:
            if not isinstance(node, kind) or operator.__name__ in LEFT_OUT:
                continue
            for new in operator(node):
                defect_class = _class_of(operator.__name__, node, new)
                yield Mutation(defect_class=defect_class, make=partial(_mutate, module, node, new))


def _operators() -> Any:
    try:
        from mutmut.mutation.mutators import mutation_operators
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the corpus of the independent engine needs mutmut 3.8 or later ({error.name} is missing): "
            "pip install 'chirpbridge[mutants]'",
            name=error.name,
        ) from error
    return mutation_operators


def _nodes(node: Any) -> Iterator[Any]:
    """A node and all below it, from left to right."""
    called = getattr(getattr(node, "func", None), "value", None)
    if called in NOT_INSIDE:
        return
    yield node
    for child in node.children:
        yield from _nodes(child)


def _mutate(module: Any, node: Any, new: Any) -> str | None:
    code = module.deep_replace(node, new).code
    if code.count("XX") > module.code.count("XX"):
        return None
    try:
        return ast.unparse(ast.parse(code)) + "\n"
    except SyntaxError:
        return None


def _class_of(operator: str, node: Any, new: Any) -> str:
    if operator == "operator_arg_removal":
        return "argument left out" if len(new.args) < len(node.args) else "argument replaced by None"
    if operator in ("operator_remove_unary_ops", "operator_swap_op") and type(node).__name__ == "UnaryOperation":
        negated = type(node.operator).__name__ == "Not"
        return "missing condition" if negated else "missing arithmetic expression"
    return _CLASSES.get(operator) or _CLASSES_BY_NODE[type(node).__name__]
