"""Validity of a mutant: one line changed, left out or added, in normal form, and other bytecode."""

from __future__ import annotations

import io
import re
import tokenize
import types
import warnings
from dataclasses import dataclass

from llm_bridge.corpora import stdlib_functions
from llm_bridge.corpora.mutation.scope import sign
from llm_bridge.corpora.programs import normalise, single_edit

SILENT = re.compile(r"^\s*(raise|assert|import|from|global|nonlocal|def|class|print\(|warnings\.|log)")
"""Written lines whose change no test would see, and headers."""


@dataclass(frozen=True, kw_only=True)
class OneLineBug:
    """A buggy text, its changed line from 1, and the signs by which characters and tokens become more or fewer."""

    text: str
    line: int
    signs: tuple[int, int]


def one_line_bug(buggy: str, correct: str) -> OneLineBug | None:
    r"""The bug, None where the two texts are no valid pair: too long, more than one line, not normal, the same code.

    Examples
    --------
    >>> correct = "def f(x):\n    y = 0\n    for z in x:\n        y += z\n    return y\n"
    >>> one_line_bug(correct.replace("+=", "="), correct).signs
    (-1, 0)
    >>> one_line_bug(correct.replace("y = 0", "y = 0 # from here"), correct) is None
    True
    """
    if buggy == correct or not stdlib_functions.fits(buggy):
        return None
    line = changed_line(buggy, correct)
    if line is None or normalise(buggy) != buggy:
        return None
    return OneLineBug(text=buggy, line=line, signs=length_signs(buggy, correct, line))


def changed_line(before: str, after: str) -> int | None:
    r"""The line of `before`, from 1, that alone differs from `after`; None for more, or for the same code.

    Where `after` has a line more, it is the line that stands behind it, one past the last at the end.

    Examples
    --------
    >>> changed_line("x = 1\ny = 2\n", "x = 1\ny = 3\n"), changed_line("x = 1\n", "y = 0\nx = 1\n")
    (2, 1)
    """
    try:
        edit = single_edit(before, after)
        if edit.last > edit.first or abs(before.count("\n") - after.count("\n")) > 1:
            return None
        if edit.last == edit.first and _replaced_lines(before, after) > 1:
            return None
        return edit.first if compiled(before) != compiled(after) else None
    except (SyntaxError, SyntaxWarning, ValueError):
        return None


def length_signs(buggy: str, correct: str, line: int) -> tuple[int, int]:
    """Whether the bug makes the text longer (1) or shorter (-1), in characters and in tokens."""
    more_tokens = buggy.count("\n") - correct.count("\n")  # a line more or less
    if more_tokens == 0:
        new, old = buggy.splitlines()[line - 1], correct.splitlines()[line - 1]
        more_tokens = _num_tokens(new) - _num_tokens(old)
    return sign(len(buggy) - len(correct)), sign(more_tokens)


def compiled(text: str) -> object:
    """Bytecode of a text without line numbers, comparable; a SyntaxWarning counts as an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SyntaxWarning)
        return _frozen(compile(text, "", "exec", dont_inherit=True))


def _frozen(code: types.CodeType) -> object:
    # `0` equals `False`, so a constant is compared with its type
    constants = tuple(
        _frozen(value) if isinstance(value, types.CodeType) else (type(value), repr(value)) for value in code.co_consts
    )
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return code.co_code, constants, names, code.co_flags, getattr(code, "co_exceptiontable", b"")


def _replaced_lines(before: str, after: str) -> int:
    """Lines that take the one changed line's place."""
    return 1 + after.count("\n") - before.count("\n")


def _num_tokens(line: str) -> int:
    readline = io.StringIO(line.strip() + "\n").readline
    return sum(bool(token.string.strip()) for token in tokenize.generate_tokens(readline))
