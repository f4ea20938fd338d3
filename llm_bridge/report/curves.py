"""Choice of the curves that answer the question, verdicts against the baseline, and which points are controls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llm_bridge.annotations import Row
from llm_bridge.link import Link
from llm_bridge.report.results import (
    AXIS_ORDER,
    CORPUS_ORDER,
    METHOD_ORDER,
    POLICY_ORDER,
    SPLIT_ORDER,
    TASK_ORDER,
    Curve,
    Point,
    Study,
    level,
    rank,
)
from llm_bridge.scoring.rules import is_rule

SHUFFLED, RENAMED = "-shuffled", "-renamed"
CONTROL_POLICIES = ("random-bytes", "bursts", "drops")
ADAPTERS = ("qlora", "lora")
FINE_TUNED = ("qlora", "full", "lora")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Verdict on a score against its baseline: a word and a mark that needs no colour."""

    key: str  # "above" | "at" | "below" | "nothing" | "none"
    word: str
    mark: str


VERDICTS = {
    "above": Verdict(key="above", word="above baseline", mark="▲"),
    "at": Verdict(key="at", word="at baseline", mark="○"),
    "below": Verdict(key="below", word="below baseline", mark="▼"),
    "nothing": Verdict(key="nothing", word="nothing arrived", mark="✕"),
    "none": Verdict(key="none", word="no F1", mark="–"),
}


@dataclass(frozen=True, kw_only=True)
class SplitRow:
    """One method at one link: a point for each split that was run ("none", "train", "eval", "both")."""

    points: dict[str, Point]

    @property
    def linked(self) -> Point:
        """Any point that crossed the link."""
        return next(p for split, p in self.points.items() if split != "none")


def training_losses(study: Study) -> dict[tuple[str, bool], npt.NDArray[np.float64]]:
    """Training loss at each step ``(steps,)``, mean over the models that finished of a method and of a kind of text.

    The kind is whether training texts crossed the link.
    """
    runs: dict[tuple[str, bool], dict[str, list[float]]] = {}
    for cell in study.cells:
        training = (cell.provenance.get("learner") or {}).get("training") or {}
        if training.get("losses") and training.get("status") == "finished":
            learner = str(cell.config["method"]), cell.config.get("corrupted_split") in ("train", "both")
            runs.setdefault(learner, {})[str(training.get("run_hash"))] = training["losses"]
    found = {}
    for learner in sorted(runs, key=lambda row: (rank(METHOD_ORDER, row[0]), *row)):
        longest = max(map(len, runs[learner].values()))
        found[learner] = np.mean([losses for losses in runs[learner].values() if len(losses) == longest], axis=0)
    return found


def verdict(scores: Point | Row) -> Verdict:
    """Verdict of a `Point`, or of a mapping with the columns of ``results.csv``, against `level`.

    Examples
    --------
    >>> verdict({"n": 42, "delivered": 42, "f1": 0.7, "f1_low": 0.45, "f1_high": 0.8, "baseline": 0.5}).word
    'at baseline'
    """
    row = scores.scores if isinstance(scores, Point) else scores
    reference = level(row)
    if row.get("f1") is None or reference is None:
        return VERDICTS["none"]
    if not row.get("delivered"):
        return VERDICTS["nothing"]
    low, high = scores.widest if isinstance(scores, Point) else (row["f1_low"], row["f1_high"])
    if low > reference:
        return VERDICTS["above"]
    return VERDICTS["below" if high < reference else "at"]


def is_control(point: Point) -> bool:
    """Whether a point is a control by its method, corpus or policy: never part of an answer."""
    return SHUFFLED in point.method or point.corpus.endswith(RENAMED) or (point.policy or "") in CONTROL_POLICIES


def shared_points(first: Curve, second: Curve) -> list[tuple[Point, Point]]:
    """Points of two curves at the spreading factors that both have."""
    by_sf = {point.sf: point for point in second.points}
    return [(point, by_sf[point.sf]) for point in first.points if point.sf in by_sf]


def panels(study: Study) -> list[list[Curve]]:
    """Curves gathered into panels, most telling first; controls have their table."""
    gathered: dict[tuple[object, ...], list[Curve]] = {}
    for curve in study.curves:
        if not is_control(curve.first):
            gathered.setdefault(curve.panel, []).append(curve)
    return list(gathered.values())


def headline_curves(study: Study) -> list[Curve]:
    """The curves that answer the question, axis by axis: *detect* ("F1 on QuixBugs" by the letter), then one more.

    Of several: the first corpus of `CORPUS_ORDER`, a task in which the clean link beats the baseline before one in
    which it does not, then the order of tasks and methods. Controls and rules answer nothing.
    """
    chosen: dict[tuple[str | None, bool], Curve] = {}
    for curve in sorted(study.curves, key=curve_order):
        if len(curve.points) > 1 and not is_rule(curve.first.method) and not is_control(curve.first):
            chosen.setdefault((curve.first.axis, curve.first.task != "detect"), curve)
    return [chosen[key] for key in sorted(chosen, key=lambda key: (rank(AXIS_ORDER, key[0]), key[1]))]


def curve_order(curve: Curve) -> tuple[object, ...]:
    """Sort key: which curve answers the question best."""
    p = curve.first
    skilled = curve.clean is not None and verdict(curve.clean).key == "above"
    return (
        rank(CORPUS_ORDER, p.corpus),
        not skilled,
        rank(TASK_ORDER, p.task),
        rank(SPLIT_ORDER, p.corrupted_split),
        rank(METHOD_ORDER, p.method),
        rank(POLICY_ORDER, p.policy),
        -round(curve.spread, 9),
        p.corpus,
        p.method,
        str(p.condition),
    )


def split_rows(study: Study) -> list[SplitRow]:
    """Rows of every link that training texts crossed, in the order corpus, task, link, method."""
    points = [p for p in study.points if p.f1 is not None and not is_control(p)]
    clean = {(p.corpus, p.task, p.method): p for p in points if p.clean}
    rows: dict[tuple[str, str, str, Link | None], dict[str, Point]] = {}
    for p in points:
        if not p.clean:
            rows.setdefault((p.corpus, p.task, p.method, p.link), {})[p.corrupted_split] = p
    found = [
        SplitRow(points={**({"none": clean[key[:3]]} if key[:3] in clean else {}), **by_split})
        for key, by_split in rows.items()
        if {"train", "both"} & set(by_split)
    ]
    return sorted(found, key=_split_order)


def methods_of(study: Study) -> list[str]:
    """Every method of a study, in the order of `METHOD_ORDER`, then by name."""
    return sorted({point.method for point in study.points}, key=lambda method: (rank(METHOD_ORDER, method), method))


def compared_methods(study: Study) -> list[tuple[str, str]]:
    """Pairs of methods to compare: each kind of adapter with full fine-tuning; without that, QLoRA with LoRA."""
    methods = [method for method in methods_of(study) if SHUFFLED not in method]
    adapters = [method for method in methods if method.partition("-")[0] in ADAPTERS]
    if "full" in methods:
        return [(method, "full") for method in adapters]
    return [ADAPTERS] if set(ADAPTERS) <= set(adapters) else []


def _split_order(row: SplitRow) -> tuple[object, ...]:
    p = row.linked
    level = None if p.link is None else p.link.level
    return (
        rank(CORPUS_ORDER, p.corpus), rank(TASK_ORDER, p.task), str(p.axis), str(level), p.sf or 0,
        rank(METHOD_ORDER, p.method), p.method,
    )  # fmt: skip
