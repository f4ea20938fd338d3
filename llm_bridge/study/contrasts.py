"""The tests that were written down before the study ran (docs/explanation/hypotheses.md), from a study's points.

    D = [F1(clean) - F1(link)] of QLoRA - [F1(clean) - F1(link)] of full fine-tuning

on each axis at one link named beforehand, in *localise* and in *paired*. Interval: bootstrap over programs; p value:
random sign flips of the programs' own D; Holm over the two tasks. Beside them the families of secondary tests: method
against method at each spreading factor, and neighbouring spreading factors of one method (exact McNemar on programs, a
program counting as solved where more than half of its seeds solve it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llm_bridge.scoring.collapse import spell_p
from llm_bridge.scoring.intervals import Interval
from llm_bridge.scoring.metrics import compare_cells, compare_losses
from llm_bridge.scoring.statistics import (
    holm,
    mcnemar_exact,
    sign_flip_test,
    smallest_detectable_difference,
    smallest_detectable_mean,
)
from llm_bridge.study.findings import (
    AXIS_NAMES,
    Curve,
    corpus_name,
    curve_order,
    curves,
    is_control,
    method_name,
    panel_key,
    seed_words,
    spell_interval,
    verdict,
)
from llm_bridge.study.points import Point, Study

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
        if self.p_holm < 0.05:
            said = f"the link costs {names[0]} {'more' if d.value > 0 else 'less'}"
        elif -MARGIN < d.low and d.high < MARGIN:
            said = f"equivalent within {MARGIN:.2f}"
        else:
            said = "not distinguishable"
        if said == "not distinguishable" and self.smallest is not None:
            said += f" (smallest difference that n could show: {self.smallest:.2f})"
        tail = "" if self.informative else "; neither beats the baseline with nothing lost, so this says little"
        return (
            f"From nothing lost to SF{first.sf}, F1 in {first.task} falls by {lost[0]:.2f} for {names[0]} and by "
            f"{lost[1]:.2f} for {names[1]} (difference {spell_interval(d)}, {spell_p(self.p_holm)} after Holm, "
            f"{corpus_name(first.corpus)}, n = {d.num_clusters} programs, {seed_words(first, second)}): {said}{tail}."
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


def primary_contrasts(study: Study, *, methods: tuple[str, str] = METHODS) -> list[Contrast]:
    """The primary contrast of every axis, corpus and task that the study holds; first corpus first."""
    best: dict[tuple[Any, ...], tuple[Curve, Curve]] = {}
    for pair in _method_pairs(study, methods):
        p = pair[0].first
        if p.task in TASKS:
            best.setdefault((p.corpus, p.axis, p.task), pair)
    found = []
    for pair in best.values():
        link = _named_link(pair)
        clean = (pair[0].clean, pair[1].clean)
        if link is None or clean[0] is None or clean[1] is None:
            continue
        contrast = _contrast((clean[0], clean[1]), link)
        found += [contrast] if contrast else []
    families: dict[tuple[Any, ...], list[Contrast]] = {}
    for contrast in found:
        families.setdefault((contrast.link[0].corpus, contrast.link[0].axis), []).append(contrast)
    return [
        replace(contrast, p_holm=float(corrected))
        for members in families.values()
        for contrast, corrected in zip(members, holm([c.p_value for c in members]), strict=True)
    ]


def method_tests(study: Study, *, methods: tuple[str, str] = METHODS) -> list[ProgramTest]:
    """QLoRA against full fine-tuning at each spreading factor: a family for each axis, task and corpus."""
    seen: set[tuple[Any, ...]] = set()
    tests = []
    for first, second in _method_pairs(study, methods):
        p = first.first
        if (p.corpus, p.axis, p.task) in seen:
            continue
        seen.add((p.corpus, p.axis, p.task))
        by_sf = {point.sf: point for point in second.points}
        pairs = [(point, by_sf[point.sf]) for point in first.points if point.sf in by_sf]
        tests += _family(f"{method_name(methods[0])} − {method_name(methods[1])}", pairs)
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
        tests += _family(f"neighbouring SF, {method_name(p.method)}", pairs)
    return tests


def program_differences(clean_a: Rows, link_a: Rows, clean_b: Rows, link_b: Rows) -> np.ndarray:
    """Each cluster's own D in units of F1, averaged over its seeds: their mean over clusters is D itself."""
    shares = [_solved_shares(rows) for rows in (clean_a, link_a, clean_b, link_b)]
    programs = sorted(shares[0])
    if any(sorted(share) != programs for share in shares):
        raise ValueError("'link_a', 'clean_b' and 'link_b' must hold the programs of clean_a")
    own = {p: shares[0][p] - shares[1][p] - shares[2][p] + shares[3][p] for p in programs}
    known = {row["program"]: row for row in clean_a}
    scale = 1.0
    if clean_a[0]["task"] == "localise":  # F1 = 2 hits / (programs + gold lines)
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
    return order[0], list(AXIS_NAMES).index(p.axis) if p.axis in AXIS_NAMES else 9, not _is_registered(p), level, order


def _is_registered(p: Point) -> bool:
    """Whether a point lies in the setting that was written down."""
    wanted = {**REGISTERED, **REGISTERED_ON_AXIS.get(p.axis, {})}
    return all(getattr(p, name) == value for name, value in wanted.items())


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
    rows = [clean[0].items, link[0].items, clean[1].items, link[1].items]
    if not all(rows):
        return None
    try:
        own = program_differences(*rows)
        difference = compare_losses(*rows)
    except ValueError:  # other programs in one of them
        return None
    p_value = sign_flip_test(own)
    return Contrast(
        clean=clean,
        link=link,
        difference=difference,
        p_value=p_value,
        p_holm=p_value,
        smallest=smallest_detectable_mean(own),
        registered=_is_registered(link[0]),
    )


def _family(name: str, pairs: Sequence[tuple[Point, Point]]) -> list[ProgramTest]:
    tests = []
    for first, second in pairs:
        if not first.items or not second.items:
            continue
        solved = [{p: share > 0.5 for p, share in _solved_shares(point.items).items()} for point in (first, second)]
        if solved[0].keys() != solved[1].keys():
            continue
        only = [sum(a[p] and not b[p] for p in a) for a, b in (solved, solved[::-1])]
        p_value = mcnemar_exact(*only)
        tests.append(
            ProgramTest(
                family=name,
                first=first,
                second=second,
                difference=compare_cells(first.items, second.items),
                only_first=only[0],
                only_second=only[1],
                p_value=p_value,
                p_holm=p_value,
                smallest=smallest_detectable_difference(len(solved[0])),
            )
        )
    corrected = holm([test.p_value for test in tests])
    return [replace(test, p_holm=float(p)) for test, p in zip(tests, corrected, strict=True)]


def _solved_shares(rows: Rows) -> dict[str, float]:
    """Share of a program's rows, over seeds, that are right."""
    counts: dict[str, list[int]] = {}
    for row in rows:
        entry = counts.setdefault(str(row["program"]), [0, 0])
        entry[0] += bool(row["delivered"]) and bool(row["correct"])
        entry[1] += 1
    return {program: solved / total for program, (solved, total) in counts.items()}
