"""Curves of F1 over spreading factors, how a score stands to its baseline, and which curve answers the question."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from llm_bridge.study.points import AXIS_ORDER, Point, Study
from llm_bridge.study.words import (
    CONTROL_POLICIES,
    CORPUS_ORDER,
    METHOD_ORDER,
    POLICY_ORDER,
    RENAMED,
    SHUFFLED,
    TASK_ORDER,
    rank,
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a score stands to its baseline: a word and a mark that needs no colour."""

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
class Curve:
    """Points over spreading factors, everything else held fixed, and the clean point of the same method, if there."""

    points: tuple[Point, ...]
    clean: Point | None

    @property
    def first(self) -> Point:
        """Any of the points: all but `sf` and the scores is common."""
        return self.points[0]

    @property
    def spread(self) -> float:
        """Largest difference of F1 along the curve."""
        values = [point.f1 for point in self.points if point.f1 is not None]
        return max(values) - min(values) if values else 0.0


def verdict(scores: Any) -> Verdict:
    """Verdict of a `Point`, or of a mapping with the columns of ``results.csv``.

    Examples
    --------
    >>> verdict({"n": 42, "delivered": 42, "f1": 0.7, "f1_low": 0.45, "f1_high": 0.8, "baseline": 0.5}).word
    'at baseline'
    """
    row = scores.scores if isinstance(scores, Point) else scores
    if row.get("f1") is None or row.get("baseline") is None:
        return VERDICTS["none"]
    if not row.get("delivered"):
        return VERDICTS["nothing"]
    if row["f1_low"] > row["baseline"]:
        return VERDICTS["above"]
    return VERDICTS["below" if row["f1_high"] < row["baseline"] else "at"]


def curves(points: Iterable[Point]) -> list[Curve]:
    """Curves over SF, most telling first: by corpus, task, axis, then the largest spread of F1 of a condition."""
    points = list(points)
    clean = {(p.corpus, p.task, p.method): p for p in points if p.noiseless}
    clean |= {(p.corpus, p.task, p.method): p for p in points if p.clean}
    groups: dict[tuple[Any, ...], list[Point]] = {}
    for point in points:
        if point.sf is not None and point.f1 is not None:
            groups.setdefault((point.corpus, point.task, point.condition, point.method), []).append(point)
    found = [
        Curve(points=tuple(sorted(group, key=lambda p: p.sf or 0)), clean=clean.get((key[0], key[1], key[3])))
        for key, group in groups.items()
    ]
    spread: dict[tuple[Any, ...], float] = {}
    for curve in found:
        panel = panel_key(curve)
        spread[panel] = max(spread.get(panel, 0.0), curve.spread)

    def order(curve: Curve) -> tuple[Any, ...]:
        p = curve.first
        return (
            rank(CORPUS_ORDER, p.corpus),
            rank(TASK_ORDER, p.task),
            rank(AXIS_ORDER, p.axis),
            rank(("eval", "both", "train"), p.corrupted_split),
            rank(POLICY_ORDER, p.policy),
            -round(spread[panel_key(curve)], 9),
            str(p.condition),
            rank(METHOD_ORDER, p.method),
            p.method,
        )

    return sorted(found, key=order)


def shared_points(first: Curve, second: Curve) -> list[tuple[Point, Point]]:
    """Points of two curves at the spreading factors that both have."""
    by_sf = {point.sf: point for point in second.points}
    return [(point, by_sf[point.sf]) for point in first.points if point.sf in by_sf]


def panel_key(curve: Curve) -> tuple[Any, ...]:
    """What the curves of one panel share: corpus, task and the link without its SF."""
    return curve.first.corpus, curve.first.task, curve.first.condition


def is_control(point: Point) -> bool:
    """Whether a point is a control by its method, corpus or policy: never part of an answer."""
    return SHUFFLED in point.method or point.corpus.endswith(RENAMED) or (point.policy or "") in CONTROL_POLICIES


def headline_curves(study: Study) -> list[Curve]:
    """The curve that answers the question, one for each axis.

    Of several: the first corpus of `CORPUS_ORDER`, a task in which the clean link beats the baseline before one in
    which it does not, then the order of tasks and methods. Controls and rules answer nothing.
    """
    candidates = [
        curve
        for curve in curves(study.points)
        if len(curve.points) > 1 and curve.first.method != "rules" and not is_control(curve.first)
    ]
    chosen: dict[Any, Curve] = {}
    for curve in sorted(candidates, key=curve_order):
        chosen.setdefault(curve.first.axis, curve)
    return sorted(chosen.values(), key=lambda curve: rank(AXIS_ORDER, curve.first.axis))


def curve_order(curve: Curve) -> tuple[Any, ...]:
    """Sort key: which curve answers the question best."""
    p = curve.first
    skilled = curve.clean is not None and verdict(curve.clean).key == "above"
    return (
        rank(CORPUS_ORDER, p.corpus),
        not skilled,
        rank(TASK_ORDER, p.task),
        rank(("eval", "both", "train"), p.corrupted_split),
        rank(METHOD_ORDER, p.method),
        rank(POLICY_ORDER, p.policy),
        -round(curve.spread, 9),
        str(p.condition),
    )
