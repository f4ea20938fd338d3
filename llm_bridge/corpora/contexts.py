"""Contexts: what of a program is known at the receiver, and stands before the received text when a model reads it.

    specification          # Median of a non-empty list of numbers in any order.
                           #
                           # Output: the middle value; of an even count, the mean of the two middle values.
    specification+tests    # median([5]) -> 5
                           # median([1, 2, 9]) -> 2
    received text          def median(values):
                               ordered = values

A context is a function of the pair and not of one version: it is made of the docstring, which the correct version and
the buggy one share and neither's text holds (`programs.normalise`), and of cases, of which arguments and results are
shown. A pytest module is code, so of a program that is tested by one the specification alone is known. Every line is a
comment: whatever a docstring holds, no line of a context is read as code.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from llm_bridge.corpora.programs import ProgramPair, entry_point

CONTEXTS = ("none", "specification", "specification+tests")
MAX_CASES, MAX_CASE_CHARS = 3, 160
"""Number of cases that a context shows, the first ones, and the longest of them in characters; longer ones are passed
over."""


class InContext(NamedTuple):
    """A text to be read behind a context that is not empty."""

    context: str
    text: str


Reading = str | InContext
"""What a model reads, and what scores are known by: a text, or a text in its context."""
AnyReading = TypeVar("AnyReading", bound=Reading)


def in_context(text: str, context: str) -> Reading:
    """A text behind its context; the text itself where that is empty."""
    return InContext(context, text) if context else text


def parts_of(reading: Reading) -> tuple[str, str]:
    """The context, empty where there is none, and the text."""
    return ("", reading) if isinstance(reading, str) else reading


def context_of(pair: ProgramPair, kind: str) -> str:
    r"""Knowledge of a program at the receiver, each line a comment; empty where there is none.

    Parameters
    ----------
    pair
        The program, both versions.
    kind
        One of `CONTEXTS`.

    Examples
    --------
    >>> from llm_bridge.corpora import minibugs
    >>> print(context_of(minibugs.load()[0], "specification+tests"), end="")
    # Moving average of a series.
    #
    # Input: list of numbers; window size, at least 1.
    # Output: the mean of every stretch of that many neighbouring numbers, in order.
    #
    # moving_average([1, 2, 3], 1) -> [1.0, 2.0, 3.0]
    # moving_average([2, 4, 6, 8], 2) -> [3.0, 5.0, 7.0]
    # moving_average([3, 6, 9], 3) -> [6.0]
    """
    if kind not in CONTEXTS:
        raise ValueError(f"'kind' must be one of {', '.join(CONTEXTS)} (got {kind!r})")
    parts = [pair.docstring.strip()] if kind != "none" else []
    if kind == "specification+tests":
        parts.append("\n".join(shown_cases(pair)))
    lines = "\n\n".join(part for part in parts if part).splitlines()
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def shown_cases(pair: ProgramPair) -> list[str]:
    """The cases of a program that a context shows: a call and its result, each on one line."""
    name = entry_point(pair)
    cases = []
    for given, expected in pair.tests.cases:
        arguments = given if isinstance(given, list | tuple) else [given]
        cases.append(f"{name}({', '.join(map(repr, arguments))}) -> {expected!r}")
    return [case for case in cases if len(case) <= MAX_CASE_CHARS][:MAX_CASES]


def holds_fix(pair: ProgramPair, kind: str) -> bool:
    """Whether a line that the correct version alone has stands in the context, which then gives the bug away.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from llm_bridge.corpora import minibugs
    >>> pair = minibugs.load()[0]
    >>> told = replace(pair, docstring=f"It ends so: {pair.correct.splitlines()[2].strip()}")
    >>> holds_fix(pair, "specification+tests"), holds_fix(told, "specification")
    (False, True)
    """
    context = " ".join(context_of(pair, kind).replace("\n# ", "\n").split())
    there = {_words(line) for line in pair.buggy.splitlines()}
    fresh = {_words(line) for line in pair.correct.splitlines()} - there
    return any(line in context for line in fresh if line)


def _words(line: str) -> str:
    return " ".join(line.split())
