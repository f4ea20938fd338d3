"""Last stage of a cell: from scores to decisions to the rows of `items.jsonl` and `results.csv`."""

from __future__ import annotations

import ast
import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar, cast

from llm_bridge.annotations import Row
from llm_bridge.corpora.contexts import Reading, context_of, in_context, parts_of
from llm_bridge.corpora.programs import ProgramPair
from llm_bridge.link import link_columns
from llm_bridge.scoring.decisions import pairs_by_name
from llm_bridge.scoring.detect import bug_score, detect, fit_threshold
from llm_bridge.scoring.localise import localise
from llm_bridge.scoring.metrics import measures, score_cell
from llm_bridge.scoring.paired import paired, shared_texts
from llm_bridge.scoring.rules import is_rule
from llm_bridge.scoring.text_scores import TextScores
from llm_bridge.study.cells import LATER_COLUMNS, Cell
from llm_bridge.transport.link import ReceivedItem

T = TypeVar("T")


def texts_needed(
    tasks: Sequence[str],
    received: Sequence[ReceivedItem],
    validation: Sequence[ProgramPair],
    *,
    pairs: Sequence[ProgramPair] = (),
    context: str = "none",
) -> list[Reading]:
    """Texts whose scores the tasks read, each in the context of its program; then `pairs` must hold the programs.

    *paired* also reads pairs of unequal damage over what arrived in both, *detect* validation programs, for its
    threshold.
    """
    known = {pair.name: context_of(pair, context) for pair in pairs}
    both = bool({"paired", "detect"} & set(tasks))
    texts = [
        in_context(arrival.text, known.get(arrival.item.program, ""))
        for arrival in received
        if arrival.delivered and (both or arrival.item.version == "buggy")
    ]
    if "paired" in tasks:
        versions: dict[str, dict[str, ReceivedItem]] = {}
        for arrival in received:
            if arrival.delivered:
                versions.setdefault(arrival.item.program, {})[arrival.item.version] = arrival
        for name, sent in versions.items():
            shared = (len(sent) == 2 and shared_texts(sent["buggy"], sent["correct"])) or ()
            texts += [in_context(text, known.get(name, "")) for text in shared]
    if "detect" in tasks:
        texts += [in_context(text, context_of(p, context)) for p in validation for text in (p.buggy, p.correct)]
    return texts


def by_context(
    received: Sequence[ReceivedItem],
    pairs: Sequence[ProgramPair],
    found: Mapping[Reading, T],
    context: str = "none",
) -> Iterator[tuple[list[ReceivedItem], dict[str, T]]]:
    """Arrivals in their order, as many in a row as have one context, and what was found of texts in that context."""
    if context == "none":
        yield list(received), cast("dict[str, T]", found)
        return
    by_name, tables = pairs_by_name(pairs), dict[str, dict[str, T]]()
    for reading, value in found.items():
        own, text = parts_of(reading)
        tables.setdefault(own, {})[text] = value
    contexts = {name: context_of(pair, context) for name, pair in by_name.items()}
    for own, group in itertools.groupby(received, key=lambda arrival: contexts.get(arrival.item.program, "")):
        yield list(group), tables.get(own, {})


def cell_rows(
    name: str,
    cell: Cell,
    tasks: Sequence[str],
    pairs: Sequence[ProgramPair],
    received: Sequence[ReceivedItem],
    scores: Mapping[Reading, TextScores],
    validation: Sequence[ProgramPair],
    *,
    repaired: Sequence[Row] = (),
    has_head: bool = False,
    context: str = "none",
) -> dict[str, list[Row]]:
    """Item rows of each task. A trained model localises by its verdicts, an untrained one by likelihood.

    A model whose verdicts a trained head reads (`has_head`) tells pairs apart by them too.

    Every row tells the cell's `name` and where it belongs (method, seeds, link: what pairs it with rows of other
    cells), and whether what arrived `parses`. `repaired` are the rows of *repair* (`repairing`). `context` is what is
    known of each program, one of `llm_bridge.corpora.contexts.CONTEXTS`; `scores` are those of texts in it.
    """
    link = link_columns(cell.link)
    place = {
        "cell": name,
        **{key: getattr(cell, key) for key in ("method", "train_seed", "corpus", "corrupted_split")},
        **{key: value for key, value in link.items() if value is not None or key in ("axis", "sf", "channel_seed")},
    }
    if place.get("snr_db") == math.inf:  # JSON has no infinity
        place["snr_db"] = None
    if context != "none":
        place["context"] = context
    readable = {(one.item.program, one.item.version): one.delivered and parses(one.text) for one in received}
    groups = list(by_context(received, pairs, scores, context))
    rows: dict[str, list[Row]] = {}
    for task in tasks:
        found: list[Row] = []
        if task == "repair":
            found = list(repaired)
        elif task == "localise":
            by = "verdict" if cell.trained else "nll"
            found = [row for some, known in groups for row in localise(some, pairs, known, by=by)]
        elif task == "paired":
            by = "verdict" if has_head else "mean"
            found = [row for some, known in groups for row in paired(some, pairs, known, by=by)]
        else:
            fitted = 0.0 if is_rule(cell.method) else validation_threshold(validation, scores, cell.trained, context)
            by = _by(cell.trained)
            found = [row for some, known in groups for row in detect(some, pairs, known, threshold=fitted, by=by)]
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


def validation_threshold(
    validation: Sequence[ProgramPair], scores: Mapping[Reading, TextScores], trained: bool, context: str = "none"
) -> float:
    """The threshold of *detect*, fitted on clean validation programs and on nothing else."""
    values = [
        bug_score(text, scores[in_context(text, context_of(pair, context))], by=_by(trained))
        for pair in validation
        for text in (pair.buggy, pair.correct)
    ]
    return fit_threshold(values, [True, False] * len(validation))


def result_row(
    cell: Cell,
    task: str,
    rows: Sequence[Row],
    train_delivered: float | None,
    num_resamples: int,
    *,
    on_air: Mapping[str, object] | None = None,
    context: str = "none",
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
        **({} if context == "none" else {"context": context}),
        "train_delivered": train_delivered,
        **score_cell(rows, num_resamples=num_resamples),
        "parses": sum(bool(row["parses"]) for row in rows),
        "truncated": sum(bool(row.get("truncated")) for row in rows),
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
