"""The controls of a study in one table: value, interval, n, what it should be, and whether it is.

    a control            beside                        says, where it differs
    clean link           the task's baseline           the model has learnt the task
    dead link            0                             a score out of nothing
    random-bytes, bursts "deliver" at equal rates      the texture of errors matters, not only their number
    drops                "drop" at equal loss          which frames are lost matters
    shuffled labels      the rules that read nothing   a leak from how labels are written
    intact-only          the model on the link         the model uses damaged texts
    parser gate          the model on the link         asking again beats reading damage
    renamed identifiers  the corpus as it is           names were remembered

The do-nothing receivers are those of `llm_bridge.study.receivers`. What a study did not run is listed as such, corpus
by corpus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_bridge.scoring.metrics import baseline, compare_cells, score_cell
from llm_bridge.study.curves import curve_order, curves, is_control
from llm_bridge.study.points import LEVELS, Point, Study
from llm_bridge.study.receivers import intact_only_along, parser_gate_along
from llm_bridge.study.runs import rows_of_shared_runs
from llm_bridge.study.words import CORPUS_ORDER, RENAMED, SHUFFLED, TASK_ORDER, level_words, method_name, rank

Row = Mapping[str, Any]
FINE_TUNED = ("qlora", "full", "lora")
SAME_LINK = ("corpus", "task", "method", "axis", "sf", "snr_db", "fading", "cr", "source_coding", "corrupted_split")


@dataclass(frozen=True, kw_only=True)
class Control:
    """One line of the table.

    `value`, `low`, `high` are an F1, or a difference of F1 where `difference`; None where the study did not run it.
    `n` counts programs. `holds` is whether it is as it should be, None where there is no such claim.
    """

    name: str
    should_be: str
    where: str = ""
    corpus: str = ""
    task: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    difference: bool = False
    holds: bool | None = None
    note: str = ""

    @property
    def ran(self) -> bool:
        """Whether the study holds it."""
        return self.value is not None


def controls(study: Study) -> list[Control]:
    """Every control of every corpus and task, those that were not run included; first corpus first."""
    known = [point for point in study.points if not is_control(point) and point.items]
    found: list[Control] = []
    for corpus in sorted({p.corpus for p in known}, key=lambda name: (rank(CORPUS_ORDER, name), name)):
        found += _of_corpus(study, corpus)
    noise = [_common_noise(study)] if known else []
    return [*found, *noise]


def _of_corpus(study: Study, corpus: str) -> list[Control]:
    """Controls of one corpus; one that was run in no task is listed once."""
    seeds = {cell.name: cell.config.get("train_seed") for cell in study.cells}
    found: list[Control] = []
    for task in (t for t in TASK_ORDER if t != "repair"):
        points = [p for p in study.points if p.task == task and p.items]
        mine = [p for p in points if p.corpus == corpus]
        if not any(not is_control(p) for p in mine):
            continue
        found += _clean_and_dead(mine)
        found += _rules(mine)
        found += _shuffled(mine)
        found += _matched_noise(mine)
        found += _receivers(mine, seeds)
        found += _renamed(points, corpus)
        found += _bases(mine)
    ran = {c.name for c in found if c.ran}
    absent = {c.name: replace(c, corpus=corpus) for c in reversed(found) if not c.ran and c.name not in ran}
    return [*(c for c in found if c.ran), *reversed(absent.values())]


# --- families of controls ---------------------------------------------------------------------------------------------


def _clean_and_dead(points: Sequence[Point]) -> list[Control]:
    clean = [p for p in points if (p.clean or p.noiseless) and p.method in FINE_TUNED and not is_control(p)]
    dead = [p for p in points if p.share_delivered == 0 and p.f1 is not None]
    found = [
        _of_point("clean link", p, "above the baseline", holds=p.baseline is not None and p.low > p.baseline)
        for p in _one_each(clean)
    ]
    found += [_of_point("dead link", p, "0", holds=p.f1 == 0) for p in _one_each(dead)]
    return found + _absent(found, {"clean link": "above the baseline", "dead link": "0"})


def _rules(points: Sequence[Point]) -> list[Control]:
    """What needs no text: the length rule, always "buggy", the fixed line; on clean texts."""
    clean = [p for p in points if (p.clean or p.noiseless) and not is_control(p)]
    if not clean:
        return []
    p = next((q for q in clean if q.method == "rules"), clean[0])
    rows = _one_cell(p.items)
    if p.task == "paired":
        length = [
            {**row, "decision": "tie" if row["longer"] is None else "buggy" if row["longer"] else "correct"}
            for row in rows
        ]
        return [_scored("length rule", p, length, "0.50 where no rule can tell", around=0.5)]
    if p.task == "detect":
        always = [{**row, "decision": "buggy"} for row in rows]
        return [_scored("always-buggy", p, always, "0.67 on balanced pairs", around=baseline(rows))]
    if p.method == "rules":
        return [_of_point("fixed line", p, "beaten by a model that reads")]
    return [_absent_one("fixed line", "beaten by a model that reads")]


def _shuffled(points: Sequence[Point]) -> list[Control]:
    found = []
    rules = next((p for p in points if p.method == "rules" and (p.clean or p.noiseless)), None)
    for p in _one_each([p for p in points if SHUFFLED in p.method and (p.clean or p.noiseless)]):
        levels = [x for x in (p.baseline, rules.f1 if rules else None) if x is not None]
        level = max(levels) if levels else 0.0
        found.append(
            _of_point("shuffled labels", p, f"not above {level:.2f}, what needs no text", holds=p.low <= level)
        )
    return found + _absent(found, {"shuffled labels": "not above what needs no text"})


def _matched_noise(points: Sequence[Point]) -> list[Control]:
    """Each control policy minus the real link at the same settings, all spreading factors together."""
    found = []
    for policy, real in (("random-bytes", "deliver"), ("bursts", "deliver"), ("drops", "drop")):
        for method in FINE_TUNED[:2]:
            matched = _matching(
                [p for p in points if p.policy == policy and p.method == method],
                [p for p in points if p.policy == real and p.method == method],
            )
            if not matched:
                continue
            rows = rows_of_shared_runs(matched)
            rates = [_error_rate([pair[side] for pair in matched]) for side in (0, 1)]
            note = f"bytes wrong or lost: {rates[0]:.3f}, over the radio {rates[1]:.3f}"
            where = f"{method_name(method)}, {len(matched)} links"
            found.append(_difference(policy, matched[0][0], where, rows, f"0 beside {real!r}", note=note))
    expected = {"random-bytes": "0 beside 'deliver'", "bursts": "0 beside 'deliver'", "drops": "0 beside 'drop'"}
    return found + _absent(found, expected)


def _receivers(points: Sequence[Point], seeds: Mapping[str, Any]) -> list[Control]:
    """The do-nothing receivers on the curve that is shown first, all its spreading factors together."""
    found = []
    expected = {
        "intact-only": "0 or less: else damage is worse than nothing",
        "parser gate": "below the model, or the model is not needed",
    }
    for method in FINE_TUNED:
        mine = [c for c in curves(points) if c.first.method == method and not is_control(c.first)]
        mine = [c for c in mine if c.first.corrupted_split == "eval" and c.clean is not None]
        if not mine:
            continue
        curve = min(mine, key=curve_order)
        where = f"{_where(curve.first)}, {len(curve.points)} SF"
        link = [row for point in curve.points for row in point.items]
        for name, receiver in (("intact-only", intact_only_along), ("parser gate", parser_gate_along)):
            rows, note = receiver(curve, seeds)
            if rows:
                found.append(
                    _difference(
                        f"{name} − model", curve.first, where, (rows, link), expected[name], note=note, claim=False
                    )
                )
    return found + _absent(found, {f"{name} − model": text for name, text in expected.items()})


def _renamed(points: Sequence[Point], corpus: str) -> list[Control]:
    found = []
    other = {p.method: p for p in points if p.corpus == corpus + RENAMED and (p.clean or p.noiseless)}
    for p in _one_each([p for p in points if p.corpus == corpus and (p.clean or p.noiseless) and not is_control(p)]):
        if p.method in other and p.method != "rules":
            rows = [[_named(row) for row in part] for part in rows_of_shared_runs([(other[p.method], p)])]
            found.append(_difference("renamed identifiers", p, _where(p), rows, "0, no names remembered"))
    return found + _absent(found, {"renamed identifiers": "0, no names remembered"})


def _bases(points: Sequence[Point]) -> list[Control]:
    """What storing in four bits and what a low rank cost, on clean texts."""
    clean = {p.method: p for p in _one_each([p for p in points if p.clean or p.noiseless])}
    found = []
    for name, first, second, text in (
        ("four-bit base", "zero-shot-nf4", "zero-shot", "the cost of four bits, untrained"),
        ("four-bit training", "qlora", "lora", "the cost of four bits in training"),
        ("low rank", "lora", "full", "the cost of a low rank"),
    ):
        where = f"{method_name(first)} − {method_name(second)}, nothing lost"
        if first in clean and second in clean:
            rows = rows_of_shared_runs([(clean[first], clean[second])])
            found.append(_difference(name, clean[first], where, rows, text, claim=False))
        else:
            found.append(_absent_one(name, text, where))
    for method in ("zero-shot", "zero-shot-nf4"):
        name = f"{method_name(method)} alone"
        text = "where fine-tuning starts"
        found.append(_of_point(name, clean[method], text) if method in clean else _absent_one(name, text))
    return found


def _common_noise(study: Study) -> Control:
    """Whether all methods and training seeds on one channel seed saw the same damage, item by item."""
    fields_of_link = (*SAME_LINK[3:-1], *LEVELS, "corpus", "policy", "channel_seed", "radio")
    fields = ("delivered", "intact", "bytes_sent", "byte_errors", "fragments_sent", "fragments_lost")
    seen: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    compared, differing = 0, 0
    for cell in study.cells:
        if cell.config.get("corrupted_split") not in ("eval", "both"):
            continue
        link = [str(cell.config.get(name)) for name in fields_of_link]
        for row in cell.items:
            key = (*link, row["task"], row["program"], row["version"])
            damage = tuple(row.get(name) for name in fields)
            if key in seen:
                compared += 1
                differing += seen[key] != damage
            seen.setdefault(key, damage)
    if not compared:
        return _absent_one("common random numbers", "no item differs between methods")
    return Control(
        name="common random numbers",
        where="share of items whose damage differs between methods on one channel seed",
        should_be="0",
        value=differing / compared,
        low=None,
        high=None,
        n=compared,
        holds=differing == 0,
        note=f"{differing} of {compared} comparisons",
    )


# --- helpers ----------------------------------------------------------------------------------------------------------


def _one_each(points: Iterable[Point]) -> list[Point]:
    """The first point of each method."""
    found: dict[str, Point] = {}
    for point in sorted(points, key=lambda p: not p.clean):
        found.setdefault(point.method, point)
    return list(found.values())


def _one_cell(rows: Sequence[Row]) -> list[Row]:
    """Each program and version once: a rule does not depend on seeds."""
    return list({(row["program"], row["version"]): row for row in rows}.values())


def _named(row: Row) -> dict[str, Any]:
    """A row whose cluster does not depend on how the renamed corpus calls it."""
    name = str(row["program"]).removesuffix(RENAMED)
    return {**row, "program": name, "group": name}


def _matching(ours: Iterable[Point], theirs: Iterable[Point]) -> list[tuple[Point, Point]]:
    """Points of one link under two policies."""
    known = {tuple(getattr(p, name) for name in SAME_LINK): p for p in theirs}
    pairs = [(p, known.get(tuple(getattr(p, name) for name in SAME_LINK))) for p in ours]
    return [(a, b) for a, b in pairs if b is not None]


def _error_rate(points: Sequence[Point]) -> float:
    rates = [point.byte_error_rate or 0.0 for point in points]
    return sum(rates) / len(rates)


def _where(p: Point) -> str:
    link = [*level_words(p), f"policy {p.policy}"]
    return ", ".join([method_name(p.method), *(["nothing lost"] if p.clean or p.noiseless else link)])


def _of_point(name: str, p: Point, should_be: str, *, holds: bool | None = None) -> Control:
    return _line(name, p, _where(p), should_be, (p.f1, p.low, p.high), holds=holds)


def _scored(name: str, p: Point, rows: Sequence[Row], should_be: str, *, around: float | None) -> Control:
    """F1 of made-up decisions; as it should be where its interval holds `around`."""
    scores = score_cell(rows)
    low, high = scores["f1_low"], scores["f1_high"]
    holds = around is not None and low is not None and high is not None and low <= around <= high
    return _line(name, p, "nothing lost", should_be, (scores["f1"], low, high), holds=holds)


def _difference(
    name: str,
    p: Point,
    where: str,
    rows: Sequence[Sequence[Row]],
    should_be: str,
    *,
    note: str = "",
    claim: bool = True,
) -> Control:
    """F1 of the first rows minus that of the second, paired by program; as it should be where it may be 0."""
    try:
        found = compare_cells(*rows) if all(rows) else None
    except ValueError:  # other programs
        found = None
    if found is None:
        return _absent_one(name, should_be, where)
    bounds = found.value, found.low, found.high
    line = _line(name, p, where, should_be, bounds, holds=not found.excludes(0.0) if claim else None, note=note)
    return replace(line, n=found.num_clusters, difference=True)


def _line(
    name: str,
    p: Point,
    where: str,
    should_be: str,
    value: tuple[float | None, float | None, float | None],
    *,
    holds: bool | None,
    note: str = "",
) -> Control:
    """A line of the table about the corpus and task of a point: value, lower and upper bound."""
    return Control(
        name=name,
        where=where,
        corpus=p.corpus,
        task=p.task,
        should_be=should_be,
        value=value[0],
        low=value[1],
        high=value[2],
        n=p.num_programs,
        holds=holds,
        note=note,
    )


def _absent(found: Sequence[Control], expected: Mapping[str, str]) -> list[Control]:
    return [_absent_one(name, text) for name, text in expected.items() if not any(c.name == name for c in found)]


def _absent_one(name: str, should_be: str, where: str = "") -> Control:
    return Control(name=name, where=where, should_be=should_be)
