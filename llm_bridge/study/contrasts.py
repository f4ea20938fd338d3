"""The tests that were written down before the study ran (docs/explanation/hypotheses.md), from a study's points.

    D = [F1(clean) - F1(link)] of QLoRA - [F1(clean) - F1(link)] of full fine-tuning

on each axis at one link named beforehand, in *localise* and in *paired*. A program's own D is the mean over its runs
(a training seed on a channel seed) that both methods have, each less the same training seed's clean run. Interval:
bootstrap over programs; p value: random sign flips of the programs' own D; Holm over the two tasks. Beside them the
families of secondary tests: method against method at each spreading factor, and neighbouring spreading factors of one
method (exact McNemar on programs, a program counting as solved where more than half of the shared runs solve it).

On the axis of equal losses the texture of the damage is tested instead, F1(largest SF) - F1(smallest SF) of both
methods together; where training texts crossed the link, [F1(none) - F1(train)] of QLoRA - that of full fine-tuning,
texts to judge clean, all spreading factors together. Both: Holm over the two tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from llm_bridge.scoring.conditional_independence import format_p
from llm_bridge.scoring.intervals import Interval
from llm_bridge.scoring.metrics import compare_cells, compare_losses
from llm_bridge.scoring.statistics import (
    holm,
    mcnemar_exact,
    sign_flip_test,
    smallest_detectable_difference,
    smallest_detectable_mean,
)
from llm_bridge.study.curves import (
    Curve,
    curve_order,
    curves,
    is_control,
    panel_key,
    shared_points,
    verdict,
)
from llm_bridge.study.points import AXIS_ORDER, Point, Study
from llm_bridge.study.runs import rows_of_shared_runs, seed_words
from llm_bridge.study.words import corpus_name, level_words, method_name, rank, spell_interval

Rows = Sequence[Mapping[str, Any]]
METHODS = ("qlora", "full")
TASKS = ("localise", "paired")
MARGIN = 0.10
"""Differences whose whole interval is smaller are called equivalent; chosen beforehand."""
REGISTERED = {"corrupted_split": "eval", "policy": "drop", "cr": 1, "source_coding": "utf8"}
REGISTERED_ON_AXIS: dict[str | None, dict[str, Any]] = {
    "fixed_snr": {"fading": "rayleigh", "snr_db": -10.0},
    "equal_energy": {"fading": "rayleigh", "ebn0_db": 10.0},
    "distance": {"fading": "none"},
    "equal_airtime": {"fading": "none"},
}
"""Axes with a primary contrast, and its setting."""
TEXTURE_AXIS = "equal_loss"
TEXTURE_POLICIES = ("drop", "deliver")


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One primary contrast; `clean` and `link` hold a point of each method, `difference` is D."""

    clean: tuple[Point, Point]
    link: tuple[Point, Point]
    difference: Interval
    p_value: float
    p_holm: float
    smallest: float | None
    registered: bool

    @property
    def informative(self) -> bool:
        """Whether any of the two methods beats its baseline with nothing lost: else D is about nothing learnt."""
        return any(verdict(point).key == "above" for point in self.clean)

    def sentence(self) -> str:
        """What may be said, with interval, p, n and seeds."""
        first, second = self.link
        names = [method_name(point.method) for point in self.link]
        lost = [(clean.f1 or 0.0) - (link.f1 or 0.0) for clean, link in zip(self.clean, self.link, strict=True)]
        d = self.difference
        said = spell_verdict(
            d, self.p_holm, self.smallest, f"the link costs {names[0]} {'more' if d.value > 0 else 'less'}"
        )
        tail = "" if self.informative else "; neither beats the baseline with nothing lost, so this says little"
        return (
            f"From nothing lost to SF{first.sf}, F1 in {first.task} falls by {lost[0]:.2f} for {names[0]} and by "
            f"{lost[1]:.2f} for {names[1]} (difference {spell_interval(d)}, {format_p(self.p_holm)} after Holm, "
            f"{corpus_name(first.corpus)}, n = {d.num_clusters} programs, {seed_words(first, second)}): {said}{tail}."
        )


@dataclass(frozen=True, kw_only=True)
class PooledContrast:
    """A registered difference over several spreading factors or methods; `groups` are the points it pairs.

    A group is two points (F1 of the first minus that of the second) or four (the difference of two such losses).
    """

    groups: tuple[tuple[Point, ...], ...]
    difference: Interval
    p_value: float
    p_holm: float
    smallest: float | None

    @property
    def first(self) -> Point:
        """Any of the points: corpus, task and axis are common."""
        return self.groups[0][-1]

    def texture_sentence(self) -> str:
        """What may be said of two spreading factors at equal losses."""
        high, low = self.groups[0]
        d = self.difference
        names = " and ".join(method_name(group[0].method) for group in self.groups)
        said = f"the texture of damage matters, SF{high.sf} scores {'higher' if d.value > 0 else 'lower'}"
        return (
            f"With {level_words(low)[0]} at both, F1 in {low.task} at SF{high.sf} minus that at SF{low.sf} is "
            f"{spell_interval(d)} for {names} together ({format_p(self.p_holm)} after Holm, {corpus_name(low.corpus)}, "
            f"n = {d.num_clusters} programs, {seed_words(high, low)}): "
            f"{spell_verdict(d, self.p_holm, self.smallest, said)}."
        )


@dataclass(frozen=True, kw_only=True)
class ProgramTest:
    """McNemar's test of two points of one family: programs that only the first, only the second solves."""

    family: str
    first: Point
    second: Point
    difference: Interval
    only_first: int
    only_second: int
    p_value: float
    p_holm: float
    smallest: float | None


def spell_verdict(difference: Interval, p_holm: float, smallest: float | None, direction: str) -> str:
    """The direction where the corrected p value shows one; else equivalent, or not distinguishable with its power."""
    if p_holm < 0.05:
        return direction
    if -MARGIN < difference.low and difference.high < MARGIN:
        return f"equivalent within {MARGIN:.2f}"
    return "not distinguishable" + (
        "" if smallest is None else f" (smallest difference that n could show: {smallest:.2f})"
    )


def primary_contrasts(study: Study, *, methods: tuple[str, str] = METHODS) -> list[Contrast]:
    """The primary contrast of every axis, corpus and task that the study holds; first corpus first."""
    best: dict[tuple[Any, ...], tuple[Curve, Curve]] = {}
    for pair in _method_pairs(study, methods):
        p = pair[0].first
        if p.task in TASKS and p.axis in REGISTERED_ON_AXIS and p.corrupted_split in ("eval", "both"):
            best.setdefault((p.corpus, p.axis, p.task), pair)
    found = []
    for pair in best.values():
        link = _named_link(pair)
        clean = (pair[0].clean, pair[1].clean)
        if link is None or clean[0] is None or clean[1] is None:
            continue
        contrast = _contrast((clean[0], clean[1]), link)
        found += [contrast] if contrast else []
    return _corrected(found, lambda c: (c.link[0].corpus, c.link[0].axis))


def texture_contrasts(study: Study, *, methods: tuple[str, ...] = METHODS) -> list[PooledContrast]:
    """F1(largest SF) - F1(smallest SF) at equal losses, all methods together: does the texture of damage matter?"""
    ends: dict[tuple[Any, ...], list[tuple[Point, ...]]] = {}
    for curve in sorted(curves(study.points), key=_registered_first):
        p = curve.first
        wanted = {**REGISTERED, "axis": TEXTURE_AXIS, "policy": p.policy if p.policy in TEXTURE_POLICIES else "drop"}
        if p.task in TASKS and p.method in methods and all(getattr(p, k) == v for k, v in wanted.items()):
            if len(curve.points) > 1 and not is_control(p):
                ends.setdefault((p.corpus, p.task, p.condition), []).append((curve.points[-1], curve.points[0]))
    found = [contrast for groups in ends.values() if (contrast := _pooled(groups))]
    return _corrected(found, lambda c: (c.first.corpus, c.first.level, c.first.policy))


def training_contrasts(study: Study, *, methods: tuple[str, str] = METHODS) -> list[PooledContrast]:
    """[F1(none) - F1(train)] of one method minus that of the other, all spreading factors of one link together."""
    found = []
    for first, second in _method_pairs(study, methods):
        clean = (first.clean, second.clean)
        if (
            first.first.task not in TASKS
            or first.first.corrupted_split != "train"
            or clean[0] is None
            or clean[1] is None
        ):
            continue
        contrast = _pooled([(clean[0], a, clean[1], b) for a, b in shared_points(first, second)])
        found += [contrast] if contrast else []
    return _corrected(found, lambda c: (c.first.corpus, c.first.condition))


def method_tests(study: Study, *, methods: tuple[str, str] = METHODS) -> list[ProgramTest]:
    """QLoRA against full fine-tuning at each spreading factor: a family for each axis, task and corpus."""
    seen: set[tuple[Any, ...]] = set()
    tests = []
    for first, second in _method_pairs(study, methods):
        p = first.first
        if (p.corpus, p.axis, p.task) in seen:
            continue
        seen.add((p.corpus, p.axis, p.task))
        tests += _family(f"{method_name(methods[0])} − {method_name(methods[1])}", shared_points(first, second))
    return tests


def neighbour_tests(study: Study, *, methods: Iterable[str] = METHODS) -> list[ProgramTest]:
    """Each spreading factor against the next smaller one: a family for each method, axis, task and corpus."""
    seen: set[tuple[Any, ...]] = set()
    tests = []
    for curve in sorted(curves(study.points), key=_registered_first):
        p = curve.first
        if p.method not in methods or (p.corpus, p.axis, p.task, p.method) in seen or is_control(p):
            continue
        seen.add((p.corpus, p.axis, p.task, p.method))
        pairs = list(zip(curve.points[1:], curve.points, strict=False))
        tests += _family(method_name(p.method), pairs)
    return tests


def program_differences(*rows: Rows) -> np.ndarray:
    """Each cluster's own difference in units of F1, averaged over its runs: their mean over clusters is that of F1.

    Two sets of rows: first minus second; four: the difference of two such differences, D for (clean, link, clean,
    link).
    """
    shares = [_solved_shares(part) for part in rows]
    programs = sorted(shares[0])
    if any(sorted(share) != programs for share in shares):
        raise ValueError("all sets of 'rows' must hold the same programs")
    signs = (1, -1, -1, 1)[: len(rows)]
    own = {p: sum(sign * share[p] for sign, share in zip(signs, shares, strict=True)) for p in programs}
    known = {row["program"]: row for row in rows[0]}
    scale = 1.0
    if rows[0][0]["task"] == "localise":  # F1 = 2 hits / (programs + gold lines)
        scale = 2 * len(programs) / (len(programs) + sum(int(known[p]["num_gold"]) for p in programs))
    clusters: dict[Any, float] = {}
    for p in programs:
        group = known[p].get("group")
        name = p if group is None else group
        clusters[name] = clusters.get(name, 0.0) + own[p]
    return scale * np.array(list(clusters.values())) * len(clusters) / len(programs)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _method_pairs(study: Study, methods: tuple[str, str]) -> list[tuple[Curve, Curve]]:
    """Curves of both methods over the same links, the registered condition first, then the most telling one."""
    by_method: dict[str, dict[tuple[Any, ...], Curve]] = {name: {} for name in methods}
    for curve in curves(study.points):
        if curve.first.method in by_method and not is_control(curve.first):
            by_method[curve.first.method][panel_key(curve)] = curve
    first, second = (by_method[name] for name in methods)
    return [
        (first[key], second[key]) for key in sorted(first, key=lambda k: _registered_first(first[k])) if key in second
    ]


def _registered_first(curve: Curve) -> tuple[Any, ...]:
    """Corpus by corpus; of several conditions the registered one, of distances the farthest (that still serves)."""
    p = curve.first
    serves = p.axis == "equal_airtime" or _largest_delivers_half(curve)
    level = -(p.distance_km or 0.0) if serves else 0.0
    order = curve_order(curve)
    return order[0], rank(AXIS_ORDER, p.axis), not _is_registered(p), level, order


def _is_registered(p: Point) -> bool:
    """Whether a point lies in the setting that was written down."""
    wanted = {**REGISTERED, **REGISTERED_ON_AXIS.get(p.axis, {})}
    return p.axis in REGISTERED_ON_AXIS and all(getattr(p, name) == value for name, value in wanted.items())


def _largest_delivers_half(curve: Curve) -> bool:
    """Whether the largest spreading factor of a curve delivers half of its fragments."""
    items = curve.points[-1].items
    sent = sum(row.get("fragments_sent") or 0 for row in items)
    return 2 * sum(row.get("fragments_lost") or 0 for row in items) <= sent


def _named_link(pair: tuple[Curve, Curve]) -> tuple[Point, Point] | None:
    """The points of the contrast: the largest spreading factor at equal airtime, the smallest on the other axes."""
    common = {p.sf for p in pair[0].points} & {p.sf for p in pair[1].points}
    if not common:
        return None
    sf = (max if pair[0].first.axis == "equal_airtime" else min)(x for x in common if x is not None)
    first, second = (next(p for p in curve.points if p.sf == sf) for curve in pair)
    return first, second


def _contrast(clean: tuple[Point, Point], link: tuple[Point, Point]) -> Contrast | None:
    found = _pooled([(clean[0], link[0], clean[1], link[1])])
    if found is None:
        return None
    return Contrast(
        clean=clean,
        link=link,
        difference=found.difference,
        p_value=found.p_value,
        p_holm=found.p_value,
        smallest=found.smallest,
        registered=_is_registered(link[0]),
    )


def _pooled(groups: Sequence[tuple[Point, ...]]) -> PooledContrast | None:
    """The contrast over the runs that the points of each group share; None where there is nothing to pair."""
    rows = rows_of_shared_runs(groups)
    if not rows or not all(rows):
        return None
    try:
        own = program_differences(*rows)
        difference = compare_losses(*rows) if len(rows) == 4 else compare_cells(*rows)
    except ValueError:  # other programs in one of them
        return None
    p_value = sign_flip_test(own)
    return PooledContrast(
        groups=tuple(groups),
        difference=difference,
        p_value=p_value,
        p_holm=p_value,
        smallest=smallest_detectable_mean(own),
    )


_Tested = TypeVar("_Tested", Contrast, PooledContrast, ProgramTest)


def _corrected(found: Sequence[_Tested], family: Callable[[_Tested], Any]) -> list[_Tested]:
    """The tests with p values corrected within each family (Holm)."""
    families: dict[Any, list[_Tested]] = {}
    for test in found:
        families.setdefault(family(test), []).append(test)
    return [
        replace(test, p_holm=float(p))
        for members in families.values()
        for test, p in zip(members, holm([t.p_value for t in members]), strict=True)
    ]


def _family(name: str, pairs: Sequence[tuple[Point, Point]]) -> list[ProgramTest]:
    tests = []
    for first, second in pairs:
        rows = rows_of_shared_runs([(first, second)])
        solved = [{p: share > 0.5 for p, share in _solved_shares(part).items()} for part in rows]
        if not all(rows) or solved[0].keys() != solved[1].keys():
            continue
        only = [sum(a[p] and not b[p] for p in a) for a, b in (solved, solved[::-1])]
        p_value = mcnemar_exact(*only)
        tests.append(
            ProgramTest(
                family=name,
                first=first,
                second=second,
                difference=compare_cells(*rows),
                only_first=only[0],
                only_second=only[1],
                p_value=p_value,
                p_holm=p_value,
                smallest=smallest_detectable_difference(len(solved[0])),
            )
        )
    return _corrected(tests, lambda test: test.family)


def _solved_shares(rows: Rows) -> dict[str, float]:
    """Share of a program's rows, over runs, that are right."""
    counts: dict[str, list[int]] = {}
    for row in rows:
        entry = counts.setdefault(str(row["program"]), [0, 0])
        entry[0] += bool(row["delivered"]) and bool(row["correct"])
        entry[1] += 1
    return {program: solved / total for program, (solved, total) in counts.items()}
