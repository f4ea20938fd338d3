"""The controls of a study as numbers: value, interval, n, and whether it is as it should be.

    a control            beside                        says, where it differs
    clean link           chance and every rule         the model has learnt the task
    dead link            0                             a score out of nothing
    random-bytes, bursts "deliver" at equal rates      the texture of errors matters, not only their number
    drops                "drop" at equal loss          which frames are lost matters
    shuffled labels      the rules that read nothing   a leak from how labels are written
    intact-only          the model on the link         the model uses damaged texts
    parser gate          the model on the link         asking again beats reading damage
    renamed identifiers  the corpus as it is           names were remembered

Two receivers do nothing with damaged texts; the same model's own decisions on the clean texts stand in for what it
would say:

    intact-only    the model's decision on the clean text where a text arrived whole, a miss elsewhere
    parser gate    what is not Python is sent again, once; the rest is decided as it arrived

What is sent again crosses the same link: it arrives whole as often as items of that link did the first time, and where
it does not, the decision on what arrived first stands. So an item counts with two weights, whole and as it arrived.
What a study did not run is listed as such, corpus by corpus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from llm_bridge.arrays import FloatArray
from llm_bridge.link import Link
from llm_bridge.report.curves import FINE_TUNED, RENAMED, SHUFFLED, curve_order, is_control, verdict
from llm_bridge.report.pairing import pair_points
from llm_bridge.report.results import CORPUS_ORDER, TASK_ORDER, Curve, Point, Study, rank
from llm_bridge.scoring.intervals import Interval
from llm_bridge.scoring.metrics import F1_OF, compare_tables, f1_counts, score_columns, sum_by
from llm_bridge.scoring.rules import LONGEST_LINE, RULES, is_rule

if TYPE_CHECKING:
    import pandas as pd

DAMAGE = ("delivered", "intact", "bytes_sent", "byte_errors", "fragments_sent", "fragments_lost")
INTACT_ONLY, PARSER_GATE = "intact-only − model", "parser gate − model"
BASES = (
    ("four-bit base", "zero-shot-nf4", "zero-shot"),
    ("four-bit training", "qlora", "lora"),
    ("low rank", "lora", "full"),
)


@dataclass(frozen=True, kw_only=True)
class Control:
    """One line of the table of controls.

    Parameters
    ----------
    name
        Which control it is.
    point
        A point that it is about; None where the study did not run it.
    corpus, task
        What it is about; empty where it concerns all.
    value, low, high
        F1, or a difference of F1 where `difference`; None where the study did not run it.
    n
        Number of programs, or of comparisons.
    holds
        Whether it is as it should be; None where there is no such claim.
    methods
        The methods that are compared, where there are two.
    details
        Numbers for the note beside it, by name.
    """

    name: str
    point: Point | None = None
    corpus: str = ""
    task: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    difference: bool = False
    holds: bool | None = None
    methods: tuple[str, ...] = ()
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def ran(self) -> bool:
        """Whether the study holds it."""
        return self.value is not None


def controls(study: Study) -> list[Control]:
    """Every control of every corpus and task, those that were not run included; first corpus first."""
    known = [point for point in study.points if not is_control(point) and len(point.items)]
    corpora = sorted({p.corpus for p in known}, key=lambda name: (rank(CORPUS_ORDER, name), name))
    found = [control for corpus in corpora for control in _of_corpus(study, corpus)]
    return [*found, *([_common_noise(study)] if known else [])]


def _of_corpus(study: Study, corpus: str) -> list[Control]:
    """Controls of one corpus; one that was run in no task is listed once."""
    found: list[Control] = []
    for task in (t for t in TASK_ORDER if t != "repair"):
        points = [p for p in study.points if p.task == task and len(p.items)]
        mine = [p for p in points if p.corpus == corpus]
        if not any(not is_control(p) for p in mine):
            continue
        curves = [c for c in study.curves if (c.first.corpus, c.first.task) == (corpus, task)]
        found += _clean_and_dead(mine)
        found += _rules(mine)
        found += _shuffled(mine)
        found += _matched_noise(mine)
        found += _receivers(curves)
        found += _renamed(points, corpus)
        found += _bases(mine)
    ran = {c.name for c in found if c.ran}
    absent = {c.name: replace(c, corpus=corpus) for c in reversed(found) if not c.ran and c.name not in ran}
    return [*(c for c in found if c.ran), *reversed(absent.values())]


# --- families of controls ---------------------------------------------------------------------------------------------


def _clean_and_dead(points: Sequence[Point]) -> list[Control]:
    clean = [p for p in points if p.lossless and p.method in FINE_TUNED and not is_control(p)]
    dead = [p for p in points if p.share_delivered == 0 and p.f1 is not None]
    found = [_of_point("clean link", p, holds=verdict(p).key == "above") for p in _one_each(clean)]
    found += [_of_point("dead link", p, holds=p.f1 == 0) for p in _one_each(dead)]
    return _with_absent(found, "clean link", "dead link")


def _rules(points: Sequence[Point]) -> list[Control]:
    """What needs no text: the length rule, always "buggy", the fixed and the longest line; on clean texts."""
    clean = [p for p in points if p.lossless and not is_control(p)]
    if not clean:
        return []
    p = next((q for q in clean if q.method == RULES), clean[0])
    if p.task == "localise":
        named = {"fixed line": RULES, "longest line": LONGEST_LINE}
        by_method = {q.method: q for q in clean}
        return [
            _of_point(name, by_method[method]) if method in by_method else Control(name=name)
            for name, method in named.items()
        ]
    once = p.items.drop_duplicates(["program", "version"], keep="last")  # a rule does not depend on seeds
    if p.task == "paired":
        # of equally long texts the rule tells neither: half right, which no decision is; a tie is wrong
        name, around, says = "length rule", 0.5, (once["length_rule"] == 1.0).to_numpy()
    else:
        name, around, says = "always-buggy", float(p.baseline or 0.0), np.ones(len(once), dtype=bool)
    scores = score_columns(p.task, once.assign(says_buggy=says))
    low, high = scores["f1_low"], scores["f1_high"]
    holds = low is not None and high is not None and low <= around <= high
    return [replace(_of_point(name, p, holds=holds), value=scores["f1"], low=low, high=high)]


def _shuffled(points: Sequence[Point]) -> list[Control]:
    found = []
    for p in _one_each([p for p in points if SHUFFLED in p.method and p.lossless]):
        level = p.baseline or 0.0
        found.append(replace(_of_point("shuffled labels", p, holds=p.low <= level), details={"level": level}))
    return _with_absent(found, "shuffled labels")


def _matched_noise(points: Sequence[Point]) -> list[Control]:
    """Each control policy minus the real link at the same settings, all spreading factors together."""
    found = []
    for policy, real in (("random-bytes", "deliver"), ("bursts", "deliver"), ("drops", "drop")):
        for method in FINE_TUNED[:2]:
            known = {_same_link(p, real): p for p in points if p.policy == real and p.method == method}
            ours = [p for p in points if p.policy == policy and p.method == method]
            matched = [(p, known[_same_link(p, real)]) for p in ours if _same_link(p, real) in known]
            if matched:
                rates = [float(np.mean([pair[side].byte_error_rate or 0.0 for pair in matched])) for side in (0, 1)]
                details = {"links": len(matched), "rate": rates[0], "real_rate": rates[1]}
                found.append(_difference(policy, matched, matched[0][0], details=details))
    return _with_absent(found, "random-bytes", "bursts", "drops")


def _receivers(curves: Sequence[Curve]) -> list[Control]:
    """The do-nothing receivers on the curve that is shown first, all its spreading factors together."""
    found = []
    for method in FINE_TUNED:
        mine = [c for c in curves if c.first.method == method and not is_control(c.first)]
        mine = [c for c in mine if c.first.corrupted_split == "eval" and c.clean is not None]
        if not mine:
            continue
        curve = min(mine, key=curve_order)
        link = reception(curve)
        for name, receiver in ((INTACT_ONLY, intact_only), (PARSER_GATE, parser_gate)):
            outcome = None if link is None else receiver(link)
            if link is None or outcome is None:
                continue
            counts, details = outcome
            d = link.difference(counts)
            details = {**details, "links": len(curve.points)}
            control = _of_point(name, curve.first)
            control = replace(control, value=d.value, low=d.low, high=d.high, n=d.num_clusters)
            found.append(replace(control, difference=True, details=details))
    return _with_absent(found, INTACT_ONLY, PARSER_GATE)


def _renamed(points: Sequence[Point], corpus: str) -> list[Control]:
    found = []
    other = {p.method: p for p in points if p.corpus == corpus + RENAMED and p.lossless}
    for p in _one_each([p for p in points if p.corpus == corpus and p.lossless and not is_control(p)]):
        if p.method in other and not is_rule(p.method):
            found.append(_difference("renamed identifiers", [(other[p.method], p)], p, by_program=True))
    return _with_absent(found, "renamed identifiers")


def _bases(points: Sequence[Point]) -> list[Control]:
    """What storing in four bits and what a low rank cost, on clean texts."""
    clean = {p.method: p for p in _one_each([p for p in points if p.lossless])}
    found = []
    for name, first, second in BASES:
        if first in clean and second in clean:
            line = _difference(name, [(clean[first], clean[second])], clean[first], claim=False)
            found.append(replace(line, methods=(first, second)))
        else:
            found.append(Control(name=name, methods=(first, second)))
    for method, name in (("zero-shot", "zero-shot alone"), ("zero-shot-nf4", "zero-shot NF4 alone")):
        found.append(_of_point(name, clean[method]) if method in clean else Control(name=name))
    return found


def _common_noise(study: Study) -> Control:
    """Whether all methods and training seeds on one channel seed saw the same damage, item by item."""
    name = "common random numbers"
    links: dict[tuple[object, Link, str], int] = {}
    code = np.full(len(study.cells), -1)
    for index, cell in enumerate(study.cells):
        link = Link.of_row(cell.config)
        if link is not None and cell.config.get("corrupted_split") in ("eval", "both"):
            key = (cell.config.get("corpus"), link, str(cell.config.get("radio")))
            code[index] = links.setdefault(key, len(links))
    items = study.items
    items = items[code[items["cell"].to_numpy()] >= 0]
    if not len(items):
        return Control(name=name)
    groups = items.groupby([code[items["cell"].to_numpy()], "task", "program", "version"], sort=False, observed=True)
    number = groups.ngroup().to_numpy()
    first = np.unique(number, return_index=True)[1][number]  # the row that each one is compared with
    damage = items[list(DAMAGE)].to_numpy(dtype=np.float64)
    compared = len(items) - len(np.unique(number))
    differing = int(np.any((damage != damage[first]) & ~(np.isnan(damage) & np.isnan(damage[first])), axis=1).sum())
    if not compared:
        return Control(name=name)
    return Control(
        name=name,
        value=differing / compared,
        n=compared,
        holds=differing == 0,
        details={"differing": differing, "compared": compared},
    )


# --- receivers that do nothing ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Reception:
    """Items of a curve, each with the same model's decision on its clean text beside its own.

    Parameters
    ----------
    task
        The task of the curve.
    items
        Rows of `item_frame` of all its points, and `whole_share`, the share of a point's items that arrived whole.
    first, whole
        `f1_counts` (n, K) of each item as it arrived, and if it had arrived whole.
    """

    task: str
    items: pd.DataFrame
    first: FloatArray
    whole: FloatArray

    @property
    def sent_again(self) -> npt.NDArray[np.bool_]:
        """Items that the parser gate asks for again: nothing arrived, or what arrived is not Python."""
        return np.asarray(~self.items["delivered"].to_numpy() | (self.items["parses"].to_numpy() == 0))

    def difference(self, counts: FloatArray) -> Interval:
        """Interval of F1 of a receiver's counts minus that of the model on the link."""
        clusters = self.items["cluster"].to_numpy(dtype=str)
        return compare_tables(self.task, sum_by(clusters, counts), sum_by(clusters, self.first))

    def f1(self, counts: FloatArray) -> float:
        """F1 of a receiver's counts."""
        return float(F1_OF[self.task][0](counts.sum(axis=0)))


def reception(curve: Curve) -> Reception | None:
    """The items of a curve beside the clean decisions; None where an item has no clean counterpart."""
    import pandas as pd

    if curve.clean is None:
        return None
    link = pd.concat([p.seeded_items(whole_share=p.share_intact) for p in curve.points], ignore_index=True)
    keys = ["program", "version", "train_seed"]
    answers = ["correct", "says_buggy", *(["credit"] if "credit" in link else [])]
    decided = curve.clean.seeded_items()[[*keys, *answers]].drop_duplicates(keys, keep="last")
    joined = link[keys].merge(decided, on=keys, how="left", validate="many_to_one")
    if joined["correct"].isna().any() or not len(joined):
        return None
    stands_in = {name: joined[name].to_numpy(dtype=float if name == "credit" else bool) for name in answers}
    task = curve.first.task
    whole = f1_counts(task, link.assign(**stands_in, delivered=True))
    return Reception(task=task, items=link, first=f1_counts(task, link), whole=whole)


def intact_only(found: Reception) -> tuple[FloatArray, dict[str, float]]:
    """Counts of a receiver that takes the clean decision where all arrived whole, and gives up elsewhere; its score."""
    intact = found.items["intact"].to_numpy()
    given_up = f1_counts(found.task, found.items.assign(delivered=False, correct=False, says_buggy=False))
    counts = np.where(intact[:, None], found.whole, given_up)
    return counts, {"score": found.f1(counts), "whole": float(intact.mean())}


def parser_gate(found: Reception) -> tuple[FloatArray, dict[str, float]] | None:
    """Counts of a receiver that has everything sent again that does not parse, each link with its own loss; its score.

    None where the items do not tell whether what arrived parses.
    """
    if found.items["parses"].isna().any():
        return None
    counts = resent(found.first, found.whole, found.sent_again, found.items["whole_share"].to_numpy())
    at_best = resent(found.first, found.whole, found.sent_again, 1.0)
    details = {"score": found.f1(counts), "at_best": found.f1(at_best), "again": float(found.sent_again.mean())}
    return counts, details


def resent(
    first: FloatArray, whole: FloatArray, again: npt.NDArray[np.bool_], whole_share: npt.ArrayLike
) -> FloatArray:
    """Expected counts (n, K) where some items are sent again, each whole with its probability.

    Parameters
    ----------
    first, whole
        Counts (n, K) of each item as it arrived first, and if it had arrived whole.
    again
        Which items (n,) are sent again.
    whole_share
        Probability, of each item (n,) or of all, that what is sent again arrives whole; else the first one stands.

    Examples
    --------
    >>> resent(np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]), np.array([True]), 0.25).tolist()
    [[0.25, 0.75]]
    """
    weight = np.where(again, whole_share, 0.0)[:, None]
    return np.asarray(weight * whole + (1 - weight) * first)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _one_each(points: Iterable[Point]) -> list[Point]:
    """The first point of each method, clean ones first."""
    found: dict[str, Point] = {}
    for point in sorted(points, key=lambda p: not p.clean):
        found.setdefault(point.method, point)
    return list(found.values())


def _same_link(p: Point, policy: str) -> tuple[object, ...]:
    """What a point shares with one under another policy."""
    assert p.link is not None
    return p.corpus, p.task, p.corrupted_split, replace(p.link, policy=policy)


def _of_point(name: str, p: Point, *, holds: bool | None = None) -> Control:
    return Control(
        name=name, point=p, corpus=p.corpus, task=p.task, value=p.f1, low=p.low, high=p.high, n=p.num_programs,
        holds=holds,
    )  # fmt: skip


def _difference(
    name: str,
    pairs: Sequence[tuple[Point, Point]],
    p: Point,
    *,
    by_program: bool = False,
    claim: bool = True,
    details: Mapping[str, float] | None = None,
) -> Control:
    """F1 of the first points minus that of the second, paired by program; as it should be where it may be 0."""
    paired = pair_points(pairs, by_program=by_program)
    if paired is None:
        return Control(name=name)
    d = paired.difference()
    return Control(
        name=name, point=p, corpus=p.corpus, task=p.task, value=d.value, low=d.low, high=d.high, n=d.num_clusters,
        difference=True, holds=not d.excludes(0.0) if claim else None, details=details or {},
    )  # fmt: skip


def _with_absent(found: list[Control], *names: str) -> list[Control]:
    return [*found, *(Control(name=name) for name in names if not any(c.name == name for c in found))]
