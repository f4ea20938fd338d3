"""Task *paired*: of two versions the one that the model finds less likely is called buggy.

    by="mean", "sum"    the text with the larger negative log-likelihood, of a token or in all
    by="verdict"        the text with the larger verdict on some line of it: log of the summed exp(line verdict)

A tie is no answer, and wrong: texts that arrive equal (the differing line was lost) cannot be told apart. A pair of
which one item was not delivered is a miss.

Versions that lost different fragments differ in damage as well as in the bug, and a model may call the more damaged one
buggy. So where damage is unequal the pair is compared a second time over what arrived in both: bytes that either
version lost are taken from both (`over_shared_bytes`), and both are read anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from llm_bridge.annotations import Row
from llm_bridge.corpora.programs import ProgramPair
from llm_bridge.scoring.decisions import BUGGY, CORRECT, TIE, pair_row, pairs_by_name
from llm_bridge.scoring.detect import some_line_verdict
from llm_bridge.transport.items import REPLACEMENT_CHARACTER

if TYPE_CHECKING:
    from llm_bridge.scoring.likelihood import TextScores
    from llm_bridge.transport.link import ReceivedItem

PAIR_SCORES = ("mean", "sum", "verdict")


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
        "mean" (of a token, in nats) or "sum": the length rule weighs more in the sum. "verdict" for a model whose
        verdicts a trained head reads.

    Returns
    -------
    list of dict
        `score` is the buggy text's value minus the correct one's, in nats (positive: right); `decision` is the version
        called buggy, or "tie"; `gold` is "buggy". `correct_shared` tells whether the version is right that is called
        buggy over what arrived in both; null where those texts have no scores.
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
        shared = shared_texts(buggy, correct) if row["delivered"] else None
        if shared is None:
            correct_shared: bool | None = decision == BUGGY
        elif set(shared) <= scores.keys() or shared[0] == shared[1]:
            correct_shared = margin(*shared, scores, by=by) > 0
        else:
            correct_shared = None
        read = [scores[arrival.text] for arrival in (buggy, correct) if arrival.text in scores]
        truncated = row["delivered"] and any(text.truncated for text in read)
        decided = {"score": score, "decision": decision, "gold": BUGGY, "correct": decision == BUGGY}
        rows.append(row | decided | {"correct_shared": correct_shared, "truncated": truncated})
    return rows


def shared_texts(buggy: ReceivedItem, correct: ReceivedItem) -> tuple[str, str] | None:
    """Both texts over what arrived in both; None where neither version lost what the other has."""
    pair = tuple(over_shared_bytes(one, other.erasures) for one, other in ((buggy, correct), (correct, buggy)))
    return None if pair == (buggy.text, correct.text) else (pair[0], pair[1])


def over_shared_bytes(arrival: ReceivedItem, lost: Sequence[tuple[int, int]]) -> str:
    """A received text less further bytes of what was sent, as if they had been lost too: a run of them is one U+FFFD.

    Parameters
    ----------
    arrival
        The item as it arrived.
    lost
        Byte spans, in order; beyond the end of the text sent they are of no effect.
    """
    if set(lost) <= set(arrival.erasures):
        return arrival.text
    kept: list[str] = []
    for line, (at, _) in zip(arrival.text.splitlines(keepends=True), arrival.line_spans, strict=True):
        for character in line:
            own = next((span for span in arrival.erasures if span[0] == at), None)
            erasure = own if character == REPLACEMENT_CHARACTER else None
            end = erasure[1] if erasure else at + (1 if character == REPLACEMENT_CHARACTER else len(character.encode()))
            gone = erasure is not None or any(at < last and first < end for first, last in lost)
            if not gone or not (kept and kept[-1] == ""):
                kept.append("" if gone else character)
            at = end
    return "".join(character or REPLACEMENT_CHARACTER for character in kept)


def margin(buggy: str, correct: str, scores: Mapping[str, TextScores], *, by: str) -> float:
    """Value of the first text minus that of the second, in nats; exactly 0 for equal texts."""
    if by not in PAIR_SCORES:
        raise ValueError(f"'by' must be one of {', '.join(PAIR_SCORES)} (got {by!r})")
    if buggy == correct:
        return 0.0
    a, b = scores[buggy], scores[correct]
    if by == "verdict":
        return some_line_verdict(buggy, a) - some_line_verdict(correct, b)
    return a.mean_nll - b.mean_nll if by == "mean" else a.sum_nll - b.sum_nll
