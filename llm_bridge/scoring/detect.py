"""Task *detect*: a bug score for each text, and a threshold fitted on validation programs only.

    by="program"   the verdict at the end of the text
    by="lines"     log-odds that some line is wrong: logsumexp(line verdicts) − none_verdict, what *localise* trains

An item that was not delivered gets the decision "not buggy": a dead link answers like that constant.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from llm_bridge.annotations import Row
from llm_bridge.corpora.programs import ProgramPair
from llm_bridge.scoring.decisions import BUGGY, NOT_BUGGY, item_row, pairs_by_name, readable_lines

if TYPE_CHECKING:
    from llm_bridge.scoring.likelihood import TextScores
    from llm_bridge.transport.link import ReceivedItem

BUG_SCORES = ("program", "lines")


def detect(
    received: Iterable[ReceivedItem],
    pairs: Iterable[ProgramPair],
    scores: Mapping[str, TextScores],
    *,
    threshold: float,
    by: str = "program",
) -> list[Row]:
    """Rows of the task *detect*, one for each item; positive is "the transmitted text is buggy".

    Parameters
    ----------
    received
        Items of both versions.
    pairs
        The programs that the items belong to.
    scores
        Scores of each received text, by text.
    threshold
        The threshold of `fit_threshold` on validation programs, sent over a clean link; a score above it says "buggy".
    by
        "program" or "lines".
    """
    by_name = pairs_by_name(pairs)
    rows = []
    for arrival in received:
        score = bug_score(arrival.text, scores[arrival.text], by=by) if arrival.delivered else None
        decision = BUGGY if score is not None and score > threshold else NOT_BUGGY
        gold = BUGGY if arrival.item.version == "buggy" else NOT_BUGGY
        rows.append(
            item_row(arrival, by_name[arrival.item.program], "detect")
            | {"score": score, "decision": decision, "gold": gold, "correct": decision == gold}
            | {"truncated": arrival.delivered and scores[arrival.text].truncated}
        )
    return rows


def bug_score(text: str, scores: TextScores, *, by: str = "program") -> float:
    """Bug score of a text: a verdict or log-odds in nats; larger is likelier buggy."""
    if by not in BUG_SCORES:
        raise ValueError(f"'by' must be one of {', '.join(BUG_SCORES)} (got {by!r})")
    if by == "program":
        return scores.program_verdict
    return some_line_verdict(text, scores) - scores.none_verdict


def some_line_verdict(text: str, scores: TextScores) -> float:
    """Log of the summed exp of the readable lines' verdicts, in nats; 0 where there is nothing to read."""
    readable = readable_lines(text)[: len(scores.line_verdict)]
    values = [value for value, ok in zip(scores.line_verdict, readable, strict=True) if ok]
    top = max(values, default=0.0)
    return top + math.log(sum(math.exp(value - top) for value in values)) if values else 0.0


def fit_threshold(scores: Sequence[float], buggy: Sequence[bool]) -> float:
    """The threshold with the largest macro-F1; of several, the one nearest the median score.

    Macro-F1, because F1 of the buggy class alone is best served by calling everything buggy.

    Parameters
    ----------
    scores, buggy
        Bug scores and labels of validation texts; both classes must be there.

    Examples
    --------
    >>> fit_threshold([0.1, 0.2, 0.8, 0.9], [False, False, True, True])
    0.5
    """
    values, truth = np.asarray(scores, dtype=float), np.asarray(buggy, dtype=bool)
    if values.shape != truth.shape or truth.all() or not truth.any():
        raise ValueError(
            f"'buggy' must hold both classes, one for each score (got {truth.sum()} of {len(values)} buggy)"
        )
    levels = np.unique(values)
    cuts = np.concatenate([[levels[0] - 1.0], (levels[1:] + levels[:-1]) / 2, [levels[-1] + 1.0]])
    predicted = values > cuts[:, None]
    macro = (_f1(predicted, truth) + _f1(~predicted, ~truth)) / 2
    best = np.flatnonzero(macro >= macro.max() - 1e-12)
    return float(cuts[best[np.argmin(np.abs(cuts[best] - np.median(values)))]])


def _f1(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """F1 of each row of `predicted` ``(cuts, texts)``; 0 where nothing is predicted and nothing right."""
    hits = (predicted & truth).sum(axis=1)
    return np.asarray(2 * hits / np.maximum(1, predicted.sum(axis=1) + truth.sum()))
