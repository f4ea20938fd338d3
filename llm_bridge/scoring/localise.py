"""Task *localise*: one predicted line for each buggy text, from the scores of the received text.

    by="nll"       lines ranked by their summed negative log-likelihood, headers last: needs no training
    by="verdict"   lines ranked by the trained verdict; their probabilities, given that there is a bug, add up to 1

A predicted received line is right if bytes that arrived in it overlap a gold line's span in the transmitted text. Lost
bytes earn nothing: a line that spans an erasure of half the program would otherwise be right half of the time. Where an
erasure swallowed a newline, one received line stands for several transmitted ones, and its credit is shared among them:

    credit = gold lines of which bytes arrived in it / transmitted lines of which bytes arrived in it

so that joined lines are no better to name than one of theirs, drawn at random (docs/decisions/0003).
Lines with nothing to read (blank, or an erasure alone) are never predicted: damage is not a bug.

By likelihood, line 1 and headers (``def``, ``class``) come last: names chosen freely are a surprise in every program.
Measured without training: Top-1 on the 42 MiniBugs programs 0.02 with headers ranked like the rest (one was predicted
in 41), 0.31 with this rule; on 100 short mutants 0.09 and 0.31; a random line 0.17 and 0.18.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

from llm_bridge.annotations import Row
from llm_bridge.corpora.programs import ProgramPair, line_spans
from llm_bridge.scoring.decisions import header_lines, item_row, pairs_by_name, readable_lines
from llm_bridge.transport.spans import Span, arrived_within

if TYPE_CHECKING:
    from llm_bridge.scoring.likelihood import TextScores
    from llm_bridge.transport.link import ReceivedItem

RANKINGS = ("nll", "verdict")


def localise(
    received: Iterable[ReceivedItem],
    pairs: Iterable[ProgramPair],
    scores: Mapping[str, TextScores],
    *,
    by: str,
) -> list[Row]:
    """Rows of the task *localise*: the buggy items, in their order.

    Parameters
    ----------
    received
        Items of any version; the correct ones are passed over.
    pairs
        The programs, whose gold lines are the labels.
    scores
        Scores of each received text, by text.
    by
        "nll" or "verdict".

    Returns
    -------
    list of dict
        `decision` is the predicted line of the received text and `gold` the gold lines of the transmitted one, both
        1-based; `correct` tells whether bytes of a gold line arrived in it, `credit` how much of what it stands for is
        gold, `num_merged` how many transmitted lines that is; `rank` is that of the first right line among the readable
        ones, `chance` their mean credit: what a random guess would score on this text; `probability` is the model's own
        that it is right (trained verdicts only). Nothing delivered, or nothing to read: no decision, a miss.
    """
    by_name = pairs_by_name(pairs)
    rows = []
    for arrival in received:
        if arrival.item.version != "buggy":
            continue
        pair = by_name[arrival.item.program]
        transmitted = line_spans(pair.buggy)
        gold = {line - 1 for line in pair.gold_lines}
        order = rank_lines(arrival.text, scores[arrival.text], by=by) if arrival.delivered else ()
        behind = [arrived_lines(arrival.line_spans[line], transmitted, arrival.erasures) for line in order]
        credits = [len(gold & lines) / len(lines) if lines else 0.0 for lines in behind]
        right = [credit > 0 for credit in credits]
        score = line_score(arrival.text, scores[arrival.text], order[0], by=by) if order else None
        rows.append(
            item_row(arrival, pair, "localise")
            | {
                "truncated": arrival.delivered and scores[arrival.text].truncated,
                "score": score,
                "probability": score if by == "verdict" else None,
                "decision": order[0] + 1 if order else None,
                "gold": list(pair.gold_lines),
                "correct": bool(right) and right[0],
                "credit": credits[0] if credits else 0.0,
                "num_merged": len(behind[0]) if behind else 0,
                "num_lines": len(transmitted),
                "num_gold": len(gold),
                "rank": right.index(True) + 1 if any(right) else None,
                "chance": sum(credits) / len(credits) if credits else 0.0,
            }
        )
    return rows


def arrived_lines(span: Span, lines: Sequence[Span], erasures: Sequence[Span] = ()) -> set[int]:
    """Indices of the transmitted lines of which bytes arrived in a received line, for which it stands.

    Parameters
    ----------
    span
        Span of the received line in the transmitted text.
    lines
        Spans of the transmitted lines, in order.
    erasures
        Spans that were lost.

    Examples
    --------
    >>> lines = [(0, 10), (10, 20), (20, 30)]
    >>> sorted(arrived_lines((0, 30), lines, [(8, 22)])), sorted(arrived_lines((10, 20), lines))
    ([0, 2], [1])
    """
    first = bisect_right(lines, span[0], key=itemgetter(1))
    near = itertools.takewhile(lambda line: lines[line][0] < span[1], range(first, len(lines)))
    return {line for line in near if arrived_within(span, [lines[line]], erasures)}


def rank_lines(text: str, scores: TextScores, *, by: str) -> tuple[int, ...]:
    """Indices of the readable lines, the largest score first; earlier lines first among equals."""
    values = _values(scores, by)
    candidates = [line for line, ok in enumerate(readable_lines(text)[: len(values)]) if ok]
    late = header_lines(text) if by == "nll" else set()
    return tuple(sorted(candidates, key=lambda line: (line in late, -values[line], line)))


def line_score(text: str, scores: TextScores, line: int, *, by: str) -> float:
    """The predicted line's summed negative log-likelihood in nats, or its probability among the lines."""
    if by == "nll":
        return scores.line_nll[line]
    return line_probabilities(text, scores)[line]


def line_probabilities(text: str, scores: TextScores) -> tuple[float, ...]:
    """Probability of each line to be the wrong one, given that one is; they add up to 1. Unreadable lines have 0.

    Examples
    --------
    >>> from llm_bridge.scoring.likelihood import TextScores
    >>> scores = TextScores(num_tokens=2, sum_nll=2.0, mean_nll=1.0, line_nll=(1.0, 1.0), line_verdict=(0.0, 0.0),
    ...                     none_verdict=0.0, program_verdict=0.0)
    >>> line_probabilities("a\\nb", scores)
    (0.5, 0.5)
    """
    readable = readable_lines(text)[: len(scores.line_verdict)]
    values = [value if ok else -math.inf for value, ok in zip(scores.line_verdict, readable, strict=True)]
    top = max(values, default=-math.inf)
    if top == -math.inf:  # nothing to read
        return (0.0,) * len(values)
    weights = [math.exp(value - top) for value in values]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def _values(scores: TextScores, by: str) -> tuple[float, ...]:
    if by not in RANKINGS:
        raise ValueError(f"'by' must be one of {', '.join(RANKINGS)} (got {by!r})")
    return scores.line_nll if by == "nll" else scores.line_verdict
