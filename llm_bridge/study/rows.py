"""Last stage of a cell: from scores to decisions to the rows of `items.jsonl` and `results.csv`."""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache

from llm_bridge.annotations import Row
from llm_bridge.corpora.programs import ProgramPair
from llm_bridge.link import link_columns
from llm_bridge.scoring.detect import bug_score, detect, fit_threshold
from llm_bridge.scoring.localise import localise
from llm_bridge.scoring.metrics import measures, score_cell
from llm_bridge.scoring.paired import paired, shared_texts
from llm_bridge.scoring.rules import is_rule
from llm_bridge.scoring.text_scores import TextScores
from llm_bridge.study.cells import LATER_COLUMNS, Cell
from llm_bridge.transport.link import ReceivedItem


def texts_needed(
    tasks: Sequence[str], received: Sequence[ReceivedItem], validation: Sequence[ProgramPair]
) -> list[str]:
    """Texts whose scores the tasks read.

    *paired* also reads pairs of unequal damage over what arrived in both, *detect* validation programs, for its
    threshold.
    """
    both = bool({"paired", "detect"} & set(tasks))
    texts = [arrival.text for arrival in received if arrival.delivered and (both or arrival.item.version == "buggy")]
    if "paired" in tasks:
        versions: dict[str, dict[str, ReceivedItem]] = {}
        for arrival in received:
            if arrival.delivered:
                versions.setdefault(arrival.item.program, {})[arrival.item.version] = arrival
        for sent in versions.values():
            texts += (len(sent) == 2 and shared_texts(sent["buggy"], sent["correct"])) or ()
    if "detect" in tasks:
        texts += [text for pair in validation for text in (pair.buggy, pair.correct)]
    return texts


def cell_rows(
    name: str,
    cell: Cell,
    tasks: Sequence[str],
    pairs: Sequence[ProgramPair],
    received: Sequence[ReceivedItem],
    scores: Mapping[str, TextScores],
    validation: Sequence[ProgramPair],
    *,
    repaired: Sequence[Row] = (),
    has_head: bool = False,
) -> dict[str, list[Row]]:
    """Item rows of each task. A trained model localises by its verdicts, an untrained one by likelihood.

    A model whose verdicts a trained head reads (`has_head`) tells pairs apart by them too.

    Every row tells the cell's `name` and where it belongs (method, seeds, link: what pairs it with rows of other
    cells), and whether what arrived `parses`. `repaired` are the rows of *repair* (`repairing`).
    """
    link = link_columns(cell.link)
    place = {
        "cell": name,
        **{key: getattr(cell, key) for key in ("method", "train_seed", "corpus", "corrupted_split")},
        **{key: value for key, value in link.items() if value is not None or key in ("axis", "sf", "channel_seed")},
    }
    if place.get("snr_db") == math.inf:  # JSON has no infinity
        place["snr_db"] = None
    readable = {(one.item.program, one.item.version): one.delivered and parses(one.text) for one in received}
    rows: dict[str, list[Row]] = {}
    for task in tasks:
        if task == "localise":
            found = localise(received, pairs, scores, by="verdict" if cell.trained else "nll")
        elif task == "paired":
            found = paired(received, pairs, scores, by="verdict" if has_head else "mean")
        elif task == "repair":
            found = list(repaired)
        else:
            threshold = 0.0 if is_rule(cell.method) else validation_threshold(validation, scores, cell.trained)
            found = detect(received, pairs, scores, threshold=threshold, by=_by(cell.trained))
        rows[task] = [{**row, **place, "parses": _row_parses(row, readable)} for row in found]
    return rows


@lru_cache(maxsize=100_000)
def parses(text: str) -> bool:
    r"""Whether a received text is Python: what a gate in front of the model would let through.

    Examples
    --------
    >>> parses("def f(x):\n    return x\n"), parses("def f(x):\n \ufffd x\n"), parses("")
    (True, False, True)
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged texts have odd escapes and comparisons
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _row_parses(row: Row, readable: Mapping[tuple[str, str], bool]) -> bool:
    versions = ("buggy", "correct") if row["version"] == "pair" else (row["version"],)
    return all(readable[row["program"], version] for version in versions)


def validation_threshold(validation: Sequence[ProgramPair], scores: Mapping[str, TextScores], trained: bool) -> float:
    """The threshold of *detect*, fitted on clean validation programs and on nothing else."""
    labelled = [(text, buggy) for pair in validation for text, buggy in ((pair.buggy, True), (pair.correct, False))]
    return fit_threshold(
        [bug_score(text, scores[text], by=_by(trained)) for text, _ in labelled], [buggy for _, buggy in labelled]
    )


def result_row(
    cell: Cell,
    task: str,
    rows: Sequence[Row],
    train_delivered: float | None,
    num_resamples: int,
    *,
    on_air: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """One row of `results.csv`; `on_air` are its columns on the time that the link took, where one was crossed."""
    plausible = measures(rows, num_resamples=num_resamples).get("plausible@1") if task == "repair" else None
    link = link_columns(cell.link)
    return {
        **{name: value for name, value in link.items() if value is not None or name not in LATER_COLUMNS},
        "corrupted_split": cell.corrupted_split,
        "method": cell.method,
        "train_seed": cell.train_seed,
        "task": task,
        "corpus": cell.corpus,
        "train_delivered": train_delivered,
        **score_cell(rows, num_resamples=num_resamples),
        "parses": sum(bool(row["parses"]) for row in rows),
        **(on_air or {}),
        **(
            {}
            if plausible is None
            else {
                "plausible_at_1": plausible.value,
                "plausible_low": plausible.low,
                "plausible_high": plausible.high,
            }
        ),
    }


def damage_example(received: Sequence[ReceivedItem]) -> Row | None:
    """A program before and after the link, for the report: the first buggy one that arrived in part."""
    for arrival in received:
        if arrival.item.version == "buggy" and arrival.delivered and not arrival.intact:
            return {
                "program": arrival.item.program,
                "sent": arrival.item.text,
                "received": arrival.text,
                "holes": arrival.erasures,
            }
    return None


def _by(trained: bool) -> str:
    """Measure of *detect*: the trained line verdicts, or the untrained model's answer at the end of the text."""
    return "lines" if trained else "program"
