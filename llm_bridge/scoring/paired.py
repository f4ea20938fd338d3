"""Task *paired*: of two versions the one that the model finds less likely is called buggy.

A tie is no answer, and wrong: texts that arrive equal (the differing line was lost) cannot be told apart. A pair of
which one item was not delivered is a miss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from llm_bridge.corpora.programs import ProgramPair
from llm_bridge.scoring.decisions import BUGGY, CORRECT, TIE, Row, pair_row, pairs_by_name

if TYPE_CHECKING:
    from llm_bridge.scoring.likelihood import TextScores
    from llm_bridge.transport.link import ReceivedItem

PAIR_SCORES = ("mean", "sum")


def paired(
    received: Iterable[ReceivedItem],
    pairs: Iterable[ProgramPair],
    scores: Mapping[str, TextScores],
    *,
    by: str = "mean",
) -> list[Row]:
    """Rows of the task *paired*, one for each program of which both versions were sent.

    Parameters
    ----------
    received
        Items of both versions of each program, in any order.
    pairs
        The programs that the items belong to.
    scores
        Scores of each received text, by text.
    by
        "mean" (of a token, in nats) or "sum": the length rule weighs more in the sum.

    Returns
    -------
    list of dict
        `score` is the buggy text's negative log-likelihood minus the correct one's (positive: right); `decision` is
        the version called buggy, or "tie"; `gold` is "buggy".
    """
    by_name = pairs_by_name(pairs)
    versions: dict[str, dict[str, ReceivedItem]] = {}
    for arrival in received:
        versions.setdefault(arrival.item.program, {})[arrival.item.version] = arrival
    rows = []
    for name, sent in versions.items():
        if len(sent) < 2:
            continue
        buggy, correct = sent["buggy"], sent["correct"]
        row = pair_row(buggy, correct, by_name[name], "paired")
        score, decision = None, None
        if row["delivered"]:
            score = margin(buggy.text, correct.text, scores, by=by)
            decision = TIE if score == 0 else BUGGY if score > 0 else CORRECT
        read = [scores[arrival.text] for arrival in (buggy, correct) if arrival.text in scores]
        truncated = row["delivered"] and any(text.truncated for text in read)
        decided = {"score": score, "decision": decision, "gold": BUGGY, "correct": decision == BUGGY}
        rows.append(row | decided | {"truncated": truncated})
    return rows


def margin(buggy: str, correct: str, scores: Mapping[str, TextScores], *, by: str) -> float:
    """Negative log-likelihood of the first text minus that of the second; exactly 0 for equal texts."""
    if by not in PAIR_SCORES:
        raise ValueError(f"'by' must be one of {', '.join(PAIR_SCORES)} (got {by!r})")
    if buggy == correct:
        return 0.0
    a, b = scores[buggy], scores[correct]
    return a.mean_nll - b.mean_nll if by == "mean" else a.sum_nll - b.sum_nll
