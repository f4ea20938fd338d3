"""The tests of a study as numbers: those that were registered (docs/explanation/hypotheses.md), and secondary ones.

    D = [F1(clean) - F1(link)] of QLoRA - [F1(clean) - F1(link)] of full fine-tuning

on each axis, mean over its spreading factors, in *localise* and in *paired*. A program's own D is the mean over its
runs (a training seed on a channel seed) that both methods have, each less the same training seed's clean run. Interval:
over programs (bootstrap), and over programs and training seeds (`llm_bridge.scoring.intervals.seed_half_width`), whose
p value counts; with one training seed p is that of random sign flips of the programs' own D. Holm over the two tasks.
Equivalent: both intervals lie within the margin that the recipe registers (`score.margin`). Beside them the
families of secondary tests: method against method at each spreading factor, and neighbouring spreading factors of one
method (exact McNemar on programs, a program counting as solved where more than half of the shared runs solve it).

On the axis of equal losses the texture of the damage is tested instead, F1(largest SF) - F1(smallest SF) of both
methods together; where training texts crossed the link, [F1(none) - F1(train)] of QLoRA - that of full fine-tuning,
texts to judge clean, all spreading factors together. Both: Holm over the two tasks.

Whether the spreading factor matters beyond the bytes that it loses is a test of conditional independence
(`llm_bridge.scoring.conditional_independence`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from llm_bridge.report.curves import (
    FINE_TUNED,
    curve_order,
    is_control,
    shared_points,
    verdict,
)
from llm_bridge.report.pairing import compare_points, pair_points, program_differences
from llm_bridge.report.results import AXIS_ORDER, CORPUS_ORDER, Curve, Point, Study, rank
from llm_bridge.scoring.conditional_independence import (
    LARGEST_MISSED,
    IndependenceFit,
    fit_independence,
    independence_family,
)
from llm_bridge.scoring.intervals import Interval
from llm_bridge.scoring.rules import is_rule
from llm_bridge.scoring.statistics import (
    benjamini_hochberg,
    holm,
    mcnemar_exact,
    sign_flip_test,
    smallest_detectable_difference,
    smallest_detectable_mean,
)
from llm_bridge.scoring.variance import (
    Component,
    crossed_table,
    nested_components,
    nested_table,
    variance_components,
)

METHODS = ("qlora", "full")
"""The methods of the registered contrasts."""
TESTED_TASKS = ("localise", "paired")
MARGIN = 0.10
"""Differences whose whole interval is smaller are called equivalent, in studies whose recipe registers no margin."""
SKILL_SHARE = 1 / 3
"""A registered margin over the skill at stake: clean F1 minus the best rule's, on validation mutants (`margins_of`)."""
ALPHA = 0.05
REGISTERED = {"policy": "drop", "cr": 1, "source_coding": "utf8"}
REGISTERED_POLICIES = ("drop", "deliver")
"""Policies of the texture contrasts, and of primary ones where the recipe registers a margin; else "drop" alone."""
REGISTERED_ON_AXIS: dict[str | None, dict[str, str | float]] = {
    "fixed_snr": {"fading": "rayleigh", "snr_db": -10.0},
    "equal_energy": {"fading": "rayleigh", "quantity": "ebn0_db", "level": 10.0},
    "distance": {"fading": "none"},
    "equal_airtime": {"fading": "none"},
}
"""Axes with a primary contrast, and its setting."""
TEXTURE_AXIS = "equal_loss"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A difference of F1 over one or several links; `groups` are the points that it pairs.

    A group is two points (F1 of the first minus that of the second) or four, clean and link of one method and clean and
    link of the other (the difference of two losses). `smallest` is the smallest difference that so many programs show
    with 80 % power; `registered` tells whether the link is the one that was written down; `p_programs` is the p value
    over programs alone, `margin` that of equivalence.
    """

    groups: tuple[tuple[Point, ...], ...]
    difference: Interval
    p_value: float
    p_holm: float
    smallest: float | None
    registered: bool = True
    p_programs: float | None = None
    margin: float = MARGIN

    @property
    def first(self) -> Point:
        """Any of the points that crossed the link: corpus, task and axis are common."""
        return self.groups[0][-1]

    @property
    def linked(self) -> tuple[Point, ...]:
        """The points of the first group that crossed the link."""
        return self.groups[0] if len(self.groups[0]) == 2 else self.groups[0][1::2]

    @property
    def informative(self) -> bool:
        """Whether any of the two methods beats its baseline with nothing lost: else D is about nothing learnt."""
        return any(verdict(point).key == "above" for point in self.groups[0][::2])

    @property
    def losses(self) -> tuple[float, float]:
        """Mean F1 lost from the clean point to the link, for each of the two methods."""
        first, second = (
            sum((group[i].f1 or 0.0) - (group[i + 1].f1 or 0.0) for group in self.groups) / len(self.groups)
            for i in (0, 2)
        )
        return first, second


@dataclass(frozen=True, kw_only=True)
class ProgramTest:
    """McNemar's test of two points of one family: programs that only the first, only the second solves."""

    methods: tuple[str, ...]
    first: Point
    second: Point
    difference: Interval
    only_first: int
    only_second: int
    p_value: float
    p_holm: float
    smallest: float | None


@dataclass(frozen=True, kw_only=True)
class MethodComparison:
    """Two methods along one curve: F1 of the first minus the second, and what the link costs the first more."""

    first: Curve
    second: Curve
    points: tuple[tuple[Point, Point], ...]
    difference: Interval
    lost: Interval | None


@dataclass(frozen=True, kw_only=True)
class IndependenceTest:
    """Whether SF matters at equal residual error rates: the test of one corpus, policy and task, and further looks.

    `slope` is the registered fit, `categories` takes SF as categories, `in_part` the items that arrived damaged.
    `robust` is the population-average fit with cluster-robust errors: rows that share one damaged text (methods, and
    training seeds on one channel seed) are not independent, which it allows for and the likelihood ratio does not.
    """

    corpus: str
    policy: str
    task: str
    slope: IndependenceFit
    categories: IndependenceFit
    in_part: IndependenceFit
    robust: IndependenceFit


# --- contrasts --------------------------------------------------------------------------------------------------------


def contrast_key(difference: Interval, p_holm: float, margin: float = MARGIN) -> str:
    """What a contrast shows: "direction" (by the corrected p value alone), "equivalent", or "undecided"."""
    if p_holm < ALPHA:
        return "direction"
    low, high = difference.widest
    return "equivalent" if -margin < low and high < margin else "undecided"


def margins_of(study: Study, corpus: str) -> dict[str, float]:
    """Margins to register, by task: a third of the skill at stake on a corpus that nothing is tested on.

    Skill at stake: mean clean F1 of the registered methods minus the larger of chance and the best rule. A task without
    skill has no margin.

    Parameters
    ----------
    study
        A study of trained methods and rules on validation mutants, without a link.
    corpus
        Name of that corpus.
    """
    found = {}
    for task in TESTED_TASKS:
        clean = [p for p in study.points if (p.corpus, p.task) == (corpus, task) and p.lossless and p.method in METHODS]
        skills = [p.f1 - p.baseline for p in clean if p.f1 is not None and p.baseline is not None]
        if skills and sum(skills) > 0:
            found[task] = SKILL_SHARE * sum(skills) / len(skills)
    return found


def primary_contrasts(study: Study, *, methods: tuple[str, str] = METHODS) -> list[Contrast]:
    """The primary contrast of every axis, corpus, task and policy that the study holds; first corpus first."""
    best: dict[tuple[object, ...], tuple[Curve, Curve]] = {}
    for pair in _method_pairs(study, methods):
        p = pair[0].first
        if p.task in TESTED_TASKS and p.axis in REGISTERED_ON_AXIS and p.corrupted_split in ("eval", "both"):
            best.setdefault((p.corpus, p.axis, p.task, p.policy), pair)
    found = []
    for first, second in best.values():
        both = shared_points(first, second)
        if both and first.clean is not None and second.clean is not None:
            groups = [(first.clean, a, second.clean, b) for a, b in both]
            policies = REGISTERED_POLICIES if first.first.task in study.margins else ("drop",)
            contrast = _contrast(study, groups, registered=_is_registered(both[0][0], policies))
            found += [contrast] if contrast else []
    return _corrected(found, lambda c: (c.first.corpus, c.first.axis))


def untrained_contrasts(study: Study) -> list[Contrast]:
    """The primary contrast of each registered method against the untrained model; p by Benjamini and Hochberg."""
    found = [c for method in METHODS for c in primary_contrasts(study, methods=(method, "zero-shot"))]
    corrected = benjamini_hochberg([c.p_value for c in found])
    return [replace(c, p_holm=float(p)) for c, p in zip(found, corrected, strict=True)]


def texture_contrasts(study: Study) -> list[Contrast]:
    """F1(largest SF) - F1(smallest SF) at equal losses, all methods together: does the texture of damage matter?"""
    ends: dict[tuple[object, ...], list[tuple[Point, ...]]] = {}
    for curve in sorted(study.curves, key=_registered_first):
        p = curve.first
        wanted = {**REGISTERED, "policy": p.policy if p.policy in REGISTERED_POLICIES else "drop", "axis": TEXTURE_AXIS}
        if p.task in TESTED_TASKS and p.method in METHODS and p.corrupted_split == "eval" and _has(curve, wanted):
            if len(curve.points) > 1 and not is_control(p):
                ends.setdefault((p.corpus, p.task, p.condition), []).append((curve.points[-1], curve.points[0]))
    found = [contrast for groups in ends.values() if (contrast := _contrast(study, groups))]
    return _corrected(found, lambda c: (c.first.corpus, c.first.condition))


def training_contrasts(study: Study) -> list[Contrast]:
    """What damage in the training texts costs one method more than the other, all spreading factors of a link together.

    The texts to judge are clean ([F1(none) - F1(train)]), or crossed the same link ([F1(eval) - F1(both)]): a family
    of tests for each of the two.
    """
    received = {
        (p.corpus, p.task, p.method, p.link): p
        for p in study.points
        if p.corrupted_split == "eval" and p.f1 is not None
    }

    def undamaged(p: Point, curve: Curve) -> Point | None:
        """The point of the model that learnt from clean texts, its texts to judge like those of `p`."""
        if p.corrupted_split == "train":
            return curve.clean
        return received.get((p.corpus, p.task, p.method, p.link))

    found = []
    for first, second in _method_pairs(study, METHODS):
        p = first.first
        if p.task not in TESTED_TASKS or p.corrupted_split not in ("train", "both"):
            continue
        groups = []
        for a, b in shared_points(first, second):
            learnt_clean = (undamaged(a, first), undamaged(b, second))
            if learnt_clean[0] and learnt_clean[1]:
                groups.append((learnt_clean[0], a, learnt_clean[1], b))
        contrast = _contrast(study, groups)
        found += [contrast] if contrast else []
    return _corrected(found, _training_family)


def _training_family(contrast: Contrast) -> Hashable:
    """Both policies of an axis together where texts to judge crossed the link too; else each link by itself."""
    p = contrast.first
    return p.corpus, (p.axis, p.corrupted_split) if p.corrupted_split == "both" else p.condition


# --- methods, spreading factors ---------------------------------------------------------------------------------------


def method_comparisons(study: Study, *, methods: tuple[str, str] = METHODS) -> list[MethodComparison]:
    """One method against another for each axis, in the most telling task: over the link, and what it costs."""
    partners = {curve.panel: curve for curve in study.curves if curve.first.method == methods[1]}
    found: dict[str | None, MethodComparison] = {}
    for curve in sorted((c for c in study.curves if c.first.method == methods[0]), key=curve_order):
        match = partners.get(curve.panel)
        if match is None or curve.first.axis in found or is_control(curve.first):
            continue
        both = shared_points(curve, match)
        difference = compare_points([a for a, _ in both], [b for _, b in both])
        if difference is None:
            continue
        lost = None
        if curve.clean is not None and match.clean is not None:
            paired = pair_points([(curve.clean, a, match.clean, b) for a, b in both])
            lost = None if paired is None else paired.difference()
        found[curve.first.axis] = MethodComparison(
            first=curve, second=match, points=tuple(both), difference=difference, lost=lost
        )
    return list(found.values())


def method_tests(study: Study, *, methods: tuple[str, str] = METHODS) -> list[ProgramTest]:
    """One method against another at each spreading factor: a family for each axis, task and corpus."""
    families: dict[tuple[object, ...], tuple[Curve, Curve]] = {}
    for pair in _method_pairs(study, methods):
        p = pair[0].first
        families.setdefault((p.corpus, p.axis, p.task), pair)
    return [test for pair in families.values() for test in _family(methods, shared_points(*pair))]


def neighbour_tests(study: Study) -> list[ProgramTest]:
    """Each spreading factor against the next smaller one: a family for each method, axis, task and corpus."""
    families: dict[tuple[object, ...], Curve] = {}
    for curve in sorted(study.curves, key=_registered_first):
        p = curve.first
        if p.method in METHODS and not is_control(p):
            families.setdefault((p.corpus, p.axis, p.task, p.method), curve)
    return [
        test
        for curve in families.values()
        for test in _family((curve.first.method,), list(zip(curve.points[1:], curve.points, strict=False)))
    ]


# --- conditional independence, seeds ----------------------------------------------------------------------------------


def independence_tests(study: Study) -> list[IndependenceTest]:
    """One test for each corpus, policy and task, over all links and fine-tuned methods; over all models without any."""
    import pandas as pd

    families: dict[tuple[str, str], dict[str, list[pd.DataFrame]]] = {}
    linked = [
        p
        for p in study.points
        if p.link and p.task in TESTED_TASKS and p.corrupted_split == "eval" and not is_control(p) and len(p.items)
    ]
    trained = any(p.method in FINE_TUNED for p in linked)
    for p in linked:
        if p.method in FINE_TUNED or not (trained or is_rule(p.method)):
            items = p.seeded_items(method=p.method, sf=p.sf)
            of_link = families.setdefault((p.corpus, str(p.policy)), {})
            of_link.setdefault(p.task, []).append(items[items["bytes_sent"] > 0])
    found = []
    for (corpus, policy), parts in families.items():
        by_task = {task: pd.concat(frames, ignore_index=True) for task, frames in parts.items()}
        fits = independence_family(by_task)
        for task, items in by_task.items():
            further = {
                "categories": fit_independence(items, sf_terms="categories"),
                "in_part": fit_independence(items[items["delivered"] & ~items["intact"]]),
                "robust": fit_independence(items, engine="gee"),
            }
            found.append(IndependenceTest(corpus=corpus, policy=policy, task=task, slope=fits[task], **further))
    return sorted(found, key=lambda c: (rank(CORPUS_ORDER, c.corpus), c.corpus, c.policy, c.task))


def seed_components(study: Study) -> dict[tuple[str, str, str], list[Component]]:
    """Variance components by corpus, task and method, averaged over the points of the curve that is shown first."""
    first: dict[tuple[str, str, str], list[list[Component]]] = {}
    for curve in sorted(study.curves, key=curve_order):
        p = curve.first
        key = (p.corpus, p.task, p.method)
        if key in first or p.task not in TESTED_TASKS or is_control(p) or is_rule(p.method):
            continue
        found = [parts for point in curve.points if (parts := _components(point))]
        if found and len({len(parts) for parts in found}) == 1:
            first[key] = found
    return {key: _average(found) for key, found in first.items()}


# --- helpers ----------------------------------------------------------------------------------------------------------


def _method_pairs(study: Study, methods: tuple[str, str]) -> list[tuple[Curve, Curve]]:
    """Curves of both methods over the same links, the registered condition first, then the most telling one."""
    by_method: dict[str, dict[tuple[object, ...], Curve]] = {name: {} for name in methods}
    for curve in study.curves:
        if curve.first.method in by_method and not is_control(curve.first):
            by_method[curve.first.method][curve.panel] = curve
    first, second = (by_method[name] for name in methods)
    return [
        (first[key], second[key]) for key in sorted(first, key=lambda k: _registered_first(first[k])) if key in second
    ]


def _registered_first(curve: Curve) -> tuple[object, ...]:
    """Corpus by corpus; of several conditions the registered one, of distances the farthest (that still serves)."""
    p = curve.first
    serves = p.axis == "equal_airtime" or _largest_delivers_half(curve)
    distance = curve.link.level if curve.link.quantity == "distance_km" else 0.0
    order = curve_order(curve)
    return order[0], rank(AXIS_ORDER, p.axis), not _is_registered(p), -distance if serves else 0.0, order


def _has(curve: Curve, wanted: Mapping[str, object]) -> bool:
    return all(getattr(curve.link, name) == value for name, value in wanted.items())


def _is_registered(p: Point, policies: Sequence[str] = ("drop",)) -> bool:
    """Whether a point lies in the setting that was written down."""
    wanted = {**REGISTERED, "policy": p.policy, **REGISTERED_ON_AXIS.get(p.axis, {})}
    known = p.axis in REGISTERED_ON_AXIS and p.corrupted_split == "eval" and p.policy in policies
    return known and all(getattr(p.link, name) == value for name, value in wanted.items())


def _largest_delivers_half(curve: Curve) -> bool:
    """Whether the largest spreading factor of a curve delivers half of its fragments."""
    items = curve.points[-1].items
    return bool(2 * items["fragments_lost"].sum() <= items["fragments_sent"].sum())


def _contrast(study: Study, groups: Sequence[tuple[Point, ...]], *, registered: bool = True) -> Contrast | None:
    """The contrast over the runs that the points of each group share; None where there is nothing to pair."""
    paired = pair_points(groups) if groups and all(len(p.items) for group in groups for p in group) else None
    if paired is None:
        return None
    own = program_differences(paired)
    difference, over_programs = paired.difference(), sign_flip_test(own)
    p_value = over_programs if difference.p_over_seeds is None else difference.p_over_seeds
    smallest = smallest_detectable_mean(own)
    if smallest is not None and difference.over_seeds is not None:
        low, high = difference.over_seeds
        smallest = max(smallest, LARGEST_MISSED * (high - low) / 2)
        smallest = smallest if smallest < 1 else None  # no difference of F1 is as large
    return Contrast(
        groups=tuple(groups),
        difference=difference,
        p_value=p_value,
        p_holm=p_value,
        smallest=smallest,
        registered=registered,
        p_programs=over_programs,
        margin=study.margins.get(groups[0][0].task, MARGIN),
    )


_Tested = TypeVar("_Tested", Contrast, ProgramTest)


def _corrected(found: Sequence[_Tested], family: Callable[[_Tested], Hashable]) -> list[_Tested]:
    """The tests with p values corrected within each family (Holm), family by family."""
    families: dict[Hashable, list[_Tested]] = {}
    for test in found:
        families.setdefault(family(test), []).append(test)
    return [
        replace(test, p_holm=float(p))
        for members in families.values()
        for test, p in zip(members, holm([t.p_value for t in members]), strict=True)
    ]


def _family(methods: tuple[str, ...], pairs: Sequence[tuple[Point, Point]]) -> list[ProgramTest]:
    tests = []
    for first, second in pairs:
        paired = pair_points([(first, second)]) if len(first.items) and len(second.items) else None
        if paired is None:
            continue
        a, b = (share > 0.5 for share in paired.solved())
        only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
        p_value = mcnemar_exact(only_first, only_second)
        tests.append(
            ProgramTest(
                methods=methods,
                first=first,
                second=second,
                difference=paired.difference(),
                only_first=only_first,
                only_second=only_second,
                p_value=p_value,
                p_holm=p_value,
                smallest=smallest_detectable_difference(len(a)),
            )
        )
    return _corrected(tests, lambda test: test.methods)


def _components(point: Point) -> list[Component]:
    """Components of a point's decisions; none where there is one run only, or seeds are neither crossed nor nested."""
    if not len(point.items):
        return []
    runs = list(point.runs.values())
    solved = point.hits.tolist()
    programs = point.items["program"].tolist()
    decisions: dict[tuple[str, object, object], float] = {
        (str(program), *runs[run]): float(right)
        for program, run, right in zip(programs, point.run_of_item.tolist(), solved, strict=True)
    }
    nested = nested_table(decisions)
    if nested is not None:
        return nested_components(nested) if nested.shape[0] > 1 else []
    table = crossed_table(decisions)
    if table is None or table.shape[0] < 2 or max(table.shape[1:]) < 2:
        return []
    return variance_components(table)


def _average(found: Sequence[Sequence[Component]]) -> list[Component]:
    """Components averaged over points; shares of the averaged variances."""
    variances = [sum(parts[i].variance for parts in found) / len(found) for i in range(len(found[0]))]
    total = sum(variances)
    return [
        replace(part, variance=v, share=v / total if total else 0.0, score_sd=(v / part.draws) ** 0.5)
        for part, v in zip(found[0], variances, strict=True)
    ]
