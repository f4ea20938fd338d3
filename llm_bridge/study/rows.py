"""Last stage of a cell: from scores to decisions to the rows of `items.jsonl` and `results.csv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_bridge.corpora.programs import ProgramPair
from llm_bridge.scoring.detect import detect, fit_threshold, suspicion
from llm_bridge.scoring.localise import localise
from llm_bridge.scoring.metrics import score_cell
from llm_bridge.scoring.paired import paired
from llm_bridge.study.cells import RULES, UNTRAINED, Cell
from llm_bridge.transport.link import ReceivedItem

Row = dict[str, Any]


def texts_needed(
    tasks: Sequence[str], received: Sequence[ReceivedItem], validation: Sequence[ProgramPair]
) -> list[str]:
    """Texts that the tasks must have scores of; *detect* also looks at validation programs, for its threshold."""
    texts = [
        arrival.text
        for arrival in received
        if arrival.delivered and (arrival.item.version == "buggy" or tasks != ("localise",))
    ]
    if "detect" in tasks:
        texts += [text for pair in validation for text in (pair.buggy, pair.correct)]
    return texts


def cell_rows(
    cell: str,
    tasks: Sequence[str],
    pairs: Sequence[ProgramPair],
    received: Sequence[ReceivedItem],
    scores: Mapping[str, Any],
    validation: Sequence[ProgramPair],
    *,
    method: str,
) -> dict[str, list[Row]]:
    """Item rows of each task. A trained model localises by its verdicts, an untrained one by likelihood."""
    trained = method not in UNTRAINED
    rows: dict[str, list[Row]] = {}
    for task in tasks:
        if task == "localise":
            found = localise(received, pairs, scores, by="verdict" if trained else "nll")
        elif task == "paired":
            found = paired(received, pairs, scores, by="mean")
        else:
            threshold = 0.0 if method == RULES else validation_threshold(validation, scores, trained)
            found = detect(received, pairs, scores, threshold=threshold, by=_by(trained))
        rows[task] = [{"cell": cell, **row} for row in found]
    return rows


def validation_threshold(validation: Sequence[ProgramPair], scores: Mapping[str, Any], trained: bool) -> float:
    """The threshold of *detect*, fitted on clean validation programs and on nothing else."""
    labelled = [(text, buggy) for pair in validation for text, buggy in ((pair.buggy, True), (pair.correct, False))]
    return fit_threshold(
        [suspicion(text, scores[text], by=_by(trained)) for text, _ in labelled], [buggy for _, buggy in labelled]
    )


def result_row(
    cell: Cell, task: str, rows: Sequence[Row], train_delivered: float | None, num_resamples: int
) -> dict[str, Any]:
    """One row of `results.csv`."""
    return {
        "sf": cell.sf,
        "snr_db": cell.snr_db,
        "fading": cell.fading,
        "cr": cell.cr,
        "policy": cell.policy,
        "source_coding": cell.source_coding,
        "corrupted_split": cell.corrupted_split,
        "method": cell.method,
        "train_seed": cell.train_seed,
        "channel_seed": cell.channel_seed,
        "task": task,
        "corpus": cell.corpus,
        "train_delivered": train_delivered,
        **score_cell(rows, num_resamples=num_resamples),
    }


def damage_example(received: Sequence[ReceivedItem]) -> Row | None:
    """A program before and after the link, for the report: the first buggy one that arrived in part."""
    for arrival in received:
        if arrival.item.version == "buggy" and arrival.delivered and not arrival.intact:
            return {
                "program": arrival.item.program,
                "sent": arrival.item.text,
                "received": arrival.text,
                "holes": arrival.holes,
            }
    return None


def _by(trained: bool) -> str:
    """What *detect* reads: the trained line verdicts, or the untrained model's answer at the end of the text."""
    return "lines" if trained else "program"
