"""The report's tables: which columns they have and how a cell is read; `templates/parts.html.jinja` writes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from llm_bridge.axes import QUANTITIES
from llm_bridge.link import Link
from llm_bridge.report import language as say
from llm_bridge.report.controls import Control
from llm_bridge.report.curves import SplitRow, Verdict, verdict
from llm_bridge.report.results import Curve, Point
from llm_bridge.report.tests import ALPHA, Contrast, IndependenceTest, ProgramTest
from llm_bridge.scoring.intervals import Interval
from llm_bridge.scoring.variance import Component

T = TypeVar("T")

SENT = {"none": "Nothing sent", "train": "Training texts", "eval": "Texts to judge", "both": "All texts"}
SENT_SHORT = {"none": "nothing", "eval": "test", "train": "training"}


class Cell(NamedTuple):
    """Text of a cell, and the value that it is sorted by where that is not its text.

    `bar` draws an interval: its lower and upper end, the score and the baseline, each from 0 to 1.
    """

    text: str
    sort: str | None = None
    verdict: Verdict | None = None
    bar: tuple[float, float, float, float | None] | None = None


@dataclass(frozen=True)
class Column(Generic[T]):
    """Head, kind ("number", "text", "long": wraps, "setting": left out where it does not vary), how a cell is read."""

    head: str
    kind: str
    read: Callable[[T], object]

    @property
    def style(self) -> str:
        """Class of its cells."""
        if self.kind == "long":
            return "long"
        return "number" if self.kind == "number" or self.head.endswith("/ dB") else ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A sortable table: on a narrow screen each row of `cards` is a card, a line for each column under its head."""

    caption: str
    columns: Sequence[Column[Any]]
    rows: Sequence[Sequence[Cell]]
    constant: str
    cards: bool


def make_table(caption: str, columns: Iterable[Column[T]], rows: Iterable[T], *, cards: bool = True) -> Table:
    """Read every cell; columns without a value, and settings that do not vary, are left out (`constant` names them)."""
    rows = list(rows)
    kept, cells, constant = [], [], []
    for column in columns:
        read = [_cell(column.read(row)) for row in rows]
        texts = {cell.text for cell in read} - {""}
        if column.kind == "setting" and len(texts) == 1:
            constant.append(f"{column.head}: {texts.pop()}")
        elif texts:
            kept.append(column)
            cells.append(read)
    lines = list(zip(*cells, strict=True))
    return Table(caption=caption, columns=kept, rows=lines, constant="; ".join(constant), cards=cards)


# --- scores and the link ----------------------------------------------------------------------------------------------


def score_table(points: Sequence[Point]) -> Table:
    """Every score of the study, pooled over seeds."""
    columns: list[Column[Point]] = [
        Column("Corpus", "setting", lambda p: say.corpus_name(p.corpus)),
        Column("Task", "text", lambda p: p.task),
        Column("Method", "text", lambda p: say.method_name(p.method)),
        Column("Held equal", "setting", lambda p: "no link" if p.clean else say.axis_short(p.axis)),
        Column("SF", "number", lambda p: p.sf),
        *_level_columns(lambda p: p.link),
        Column("SNR / dB", "setting", lambda p: None if p.link is None else _plain(p.link.snr_db)),
        Column("Policy", "setting", lambda p: p.policy or ""),
        Column("Sent", "setting", lambda p: SENT_SHORT.get(p.corrupted_split, "all")),
        Column("n", "number", lambda p: p.scores["n"]),
        Column("Delivered", "number", lambda p: p.scores["delivered"]),
        Column("Whole", "number", lambda p: p.scores["intact"]),
        Column("F1", "number", lambda p: p.f1),
        Column("95 % interval", "text", _interval_cell),
        Column("Over seeds too", "text", lambda p: _bounds(p.over_seeds)),
        Column("Verdict", "text", lambda p: Cell(verdict(p).word, verdict(p).word, verdict(p))),
        Column("Delivered only", "number", lambda p: p.scores.get("f1_delivered")),
        Column("Chance", "number", lambda p: p.scores.get("baseline")),
        Column("Best rule", "number", lambda p: p.scores.get("best_rule")),
        Column("All or nothing", "number", lambda p: p.scores.get("f1_all_or_nothing")),
        Column("Damaged pairs", "number", lambda p: p.scores.get("damaged")),
        Column("F1, damaged", "text", _damaged_cell),
        Column("F1, shared bytes", "number", lambda p: p.scores.get("f1_shared")),
        Column("Unequal fates", "number", lambda p: p.scores.get("fates_unequal")),
        Column("Macro-F1", "number", lambda p: p.scores.get("macro_f1")),
        Column("MCC", "number", lambda p: p.scores.get("mcc")),
    ]
    return make_table("Every score of the study", columns, points, cards=False)


def delivery_table(rows: Iterable[Any]) -> Table:
    """What each link delivered; `rows` are those of `llm_bridge.report.results.delivery`."""
    columns: list[Column[Any]] = [
        Column("Corpus", "setting", lambda r: say.corpus_name(r.corpus)),
        Column("Held equal", "setting", lambda r: say.axis_short(r.link.axis)),
        Column("SF", "number", lambda r: r.link.sf),
        *_level_columns(lambda r: r.link),
        Column("SNR / dB", "setting", lambda r: _plain(r.link.snr_db)),
        Column("Fading", "setting", lambda r: r.link.fading),
        Column("Policy", "setting", lambda r: r.link.policy),
        Column("Items", "number", lambda r: r.n),
        Column("Delivered", "number", lambda r: r.delivered),
        Column("Whole", "number", lambda r: r.intact),
        Column("Fragments", "number", lambda r: r.fragments_sent),
        Column("Lost", "number", lambda r: r.fragments_lost),
        Column("Bytes sent", "number", lambda r: r.bytes_sent),
        Column("Wrong or lost", "number", lambda r: r.residual),
        Column("Airtime / s", "number", lambda r: round(r.airtime_s, 1)),
    ]
    return make_table("Delivery of each link", columns, rows, cards=False)


def choice_table(rows: Sequence[tuple[Curve, Point, Sequence[Point]]]) -> Table:
    """The best spreading factor as measured, and those that n cannot tell from it."""
    columns: list[Column[tuple[Curve, Point, Sequence[Point]]]] = [
        Column("Held equal", "text", lambda r: say.held_equal(r[0].first)),
        Column("Best", "text", lambda r: f"SF{r[1].sf}"),
        Column("F1", "text", lambda r: _score(r[1])),
        Column("n", "number", lambda r: r[1].num_programs),
        Column("Not distinguishable from it", "text", lambda r: ", ".join(f"SF{p.sf}" for p in r[2]) or "none"),
    ]
    return make_table("Best spreading factor as measured", columns, rows)


def split_table(rows: Sequence[SplitRow]) -> Table:
    """F1 by what crossed the link, method by method."""
    columns: list[Column[SplitRow]] = [
        Column("Corpus", "setting", lambda r: say.corpus_name(r.linked.corpus)),
        Column("Task", "text", lambda r: r.linked.task),
        Column("Link", "setting", lambda r: ", ".join(say.link_words(r.linked.link))),
        Column("SF", "number", lambda r: r.linked.sf),
        Column("Method", "text", lambda r: say.method_name(r.linked.method)),
        *(Column(head, "text", partial(_split_score, split)) for split, head in SENT.items()),
        Column("Training texts that arrived", "number", _train_delivered),
        Column("n", "number", lambda r: r.linked.num_programs),
    ]
    return make_table("F1 by what crossed the link", columns, rows)


# --- tests and controls -----------------------------------------------------------------------------------------------


def contrast_table(
    caption: str, contrasts: Sequence[Contrast], *, corrected: str = "p, Holm", texture: bool = False
) -> Table:
    """What the link costs one method more than the other; `texture`: F1 at the largest minus at the smallest SF."""

    def said(c: Contrast) -> str:
        return say.verdict_words(c, f"texture matters: {say.texture_direction(c)}", say_smallest=False)

    own: list[Column[Contrast]] = [
        Column("SF", "setting", lambda c: say.sf_span([sf for group in c.groups if (sf := group[1].sf) is not None])),
        Column("Task", "text", lambda c: c.first.task),
        Column("Methods", "setting", lambda c: " − ".join(say.method_name(p.method) for p in c.linked)),
    ]
    last: list[Column[Contrast]] = [
        Column("Skill when clean", "text", lambda c: "yes" if c.informative else "no: says little"),
        Column("Registered", "setting", lambda c: "yes" if c.registered else "no"),
    ]
    if texture:
        own = [
            Column("Policy", "setting", lambda c: c.first.policy),
            Column("SF", "text", lambda c: f"{c.groups[0][0].sf} − {c.groups[0][1].sf}"),
            Column("Task", "text", lambda c: c.first.task),
            Column("Methods", "text", lambda c: ", ".join(say.method_name(group[0].method) for group in c.groups)),
        ]
        last = [Column("Said", "long", said)]
    columns = [
        Column("Corpus", "setting", lambda c: say.corpus_name(c.first.corpus)),
        Column("Held equal", "setting", lambda c: say.held_equal(c.first)),
        *own,
        Column("Difference", "text", lambda c: _difference(c.difference)),
        Column("Over seeds too", "text", lambda c: _bounds(c.difference.over_seeds)),
        Column("n", "number", lambda c: c.difference.num_clusters),
        Column("Seeds", "setting", lambda c: say.seed_words(*c.linked)),
        Column("p", "number", lambda c: _small(c.p_value)),
        Column("p, programs alone", "number", lambda c: _small(c.p_programs)),
        Column(corrected, "number", lambda c: _small(c.p_holm)),
        Column("n could show", "number", lambda c: c.smallest),
        *last,
    ]
    return make_table(caption, columns, contrasts)


def independence_table(found: Sequence[IndependenceTest]) -> Table:
    """Whether the spreading factor matters at equal residual error rates."""
    columns: list[Column[IndependenceTest]] = [
        Column("Corpus", "setting", lambda c: say.corpus_name(c.corpus)),
        Column("Policy", "setting", lambda c: c.policy),
        Column("Task", "text", lambda c: c.task),
        Column("Effect of one SF", "text", _effect),
        Column("Items of programs", "text", lambda c: f"{c.slope.num_items} of {c.slope.num_programs}"),
        Column("p", "number", lambda c: _small(c.slope.p_value)),
        Column("p, Holm", "number", lambda c: _small(c.slope.p_holm)),
        Column("p, categories", "number", lambda c: _small(c.categories.p_value)),
        Column("p, robust", "number", lambda c: _small(c.robust.p_value)),
        Column("p, damaged only", "number", lambda c: _small(c.in_part.p_value)),
        Column("n could show", "number", lambda c: c.slope.smallest),
        Column("SF matters", "long", _sf_matters),
    ]
    return make_table("Tests of conditional independence", columns, found)


def program_test_table(caption: str, tests: Sequence[ProgramTest]) -> Table:
    """McNemar's tests of a family."""
    columns: list[Column[ProgramTest]] = [
        Column("Corpus", "setting", lambda t: say.corpus_name(t.first.corpus)),
        Column("Task", "text", lambda t: t.first.task),
        Column("Method", "setting", lambda t: " − ".join(map(say.method_name, t.methods))),
        Column("Held equal", "setting", lambda t: say.held_equal(t.first)),
        Column("SF", "text", lambda t: " − ".join(map(str, dict.fromkeys((t.first.sf, t.second.sf))))),
        Column("Difference of F1", "text", lambda t: _difference(t.difference)),
        Column("Over seeds too", "text", lambda t: _bounds(t.difference.over_seeds)),
        Column("Programs", "setting", lambda t: t.first.num_programs),
        Column("Only the first", "number", lambda t: t.only_first),
        Column("Only the second", "number", lambda t: t.only_second),
        Column("p", "number", lambda t: _small(t.p_value)),
        Column("p, Holm", "number", lambda t: _small(t.p_holm)),
        Column("n could show", "number", lambda t: t.smallest),
    ]
    return make_table(caption, columns, tests)


def control_table(caption: str, controls: Sequence[Control]) -> Table:
    """Controls of one corpus that were run."""
    columns: list[Column[Control]] = [
        Column("Control", "long", lambda c: c.name),
        Column("Task", "text", lambda c: c.task),
        Column("Where", "long", say.control_where),
        Column("Value", "text", _control_value),
        Column("n", "setting", lambda c: c.n),
        Column("Should be", "long", say.control_should_be),
        Column("Is it?", "text", _holds),
        Column("Note", "long", say.control_note),
    ]
    return make_table(caption, columns, controls)


def seed_table(rows: Sequence[tuple[str, str, str, Component]]) -> Table:
    """Where the scatter comes from: corpus, task, method and one of its components a row."""
    columns: list[Column[tuple[str, str, str, Component]]] = [
        Column("Corpus", "setting", lambda r: say.corpus_name(r[0])),
        Column("Task", "text", lambda r: r[1]),
        Column("Method", "text", lambda r: say.method_name(r[2])),
        Column("Source", "text", lambda r: r[3].name.replace(" x ", " × ")),
        Column("Share of variance", "number", lambda r: round(r[3].share, 3)),
        Column("Draws", "number", lambda r: r[3].draws),
        Column("SD of F1", "number", lambda r: _small(r[3].score_sd)),
    ]
    return make_table("Where the scatter comes from", columns, rows)


# --- cells ------------------------------------------------------------------------------------------------------------


def _cell(value: object) -> Cell:
    if isinstance(value, Cell):
        return value
    if value is None:
        return Cell("", "")
    if value == math.inf:
        return Cell("∞", "Infinity")
    if isinstance(value, float):
        return Cell(say.format_number(value) if abs(value) < 2 else say.format_level(value), _key(value))
    if isinstance(value, int) and value < 0:
        return Cell(say.format_level(value), str(value))
    return Cell(str(value))


def _key(value: float) -> str:
    """A number to sort by, to six digits: the last ones of a fitted value depend on the threads of a BLAS."""
    return f"{value:.6g}"


def _plain(value: float) -> float | int:
    """A whole number as one."""
    return int(value) if math.isfinite(value) and value == int(value) else value


def _level_columns(link: Callable[[T], Link | None]) -> list[Column[T]]:
    """A column for each quantity that an axis can hold equal and that has a heading."""

    def read(name: str, row: T) -> float | None:
        found = link(row)
        return found.level if found is not None and found.quantity == name else None

    return [
        Column(quantity.heading, "setting", partial(read, name))
        for name, quantity in QUANTITIES.items()
        if quantity.heading
    ]


def _score(p: Point | None) -> Cell | None:
    return None if p is None or p.f1 is None else Cell(say.format_interval(p.f1, p.low, p.high), _key(p.f1))


def _difference(d: Interval) -> Cell:
    return Cell(say.format_interval(d.value, d.low, d.high, signed=True), _key(d.value))


def _bounds(bounds: tuple[float, float] | None) -> Cell | None:
    return None if bounds is None else Cell(say.format_bounds(bounds), _key(bounds[0]))


def _small(value: float | None) -> Cell | None:
    return None if value is None else Cell(say.format_small(value), _key(value))


def _interval_cell(p: Point) -> Cell | None:
    if p.f1 is None:
        return None
    text = f"{say.format_number(p.low)} to {say.format_number(p.high)}"
    return Cell(text, _key(p.low), bar=(p.low, p.high, p.f1, p.baseline))


def _damaged_cell(p: Point) -> Cell | None:
    """Accuracy on pairs that arrived damaged, with its interval."""
    value, low, high = (p.scores.get(f"f1_damaged{end}") for end in ("", "_low", "_high"))
    return None if value is None else Cell(say.format_interval(value, low, high), _key(value))


def _split_score(split: str, row: SplitRow) -> Cell | None:
    return _score(row.points.get(split))


def _train_delivered(row: SplitRow) -> float | None:
    """Share of the training texts that arrived, at the points that were trained on them."""
    return next((p.train_delivered for s, p in row.points.items() if s in ("train", "both")), None)


def _effect(c: IndependenceTest) -> str:
    if c.slope.sf is None:
        return f"not estimable ({c.slope.reason or 'one SF only'})"
    return say.format_interval(c.slope.sf.value, c.slope.sf.low, c.slope.sf.high, signed=True)


def _sf_matters(c: IndependenceTest) -> str | None:
    """The registered verdict; where rows that share a text may have made it, that is said."""
    if c.slope.p_holm is None:
        return None
    if c.slope.p_holm >= ALPHA:
        return "no effect seen"
    return "yes" if c.robust.p_value is not None and c.robust.p_value < ALPHA else "by the registered p alone"


def _control_value(c: Control) -> Cell | None:
    return (
        None
        if c.value is None
        else Cell(say.format_interval(c.value, c.low, c.high, signed=c.difference), _key(c.value))
    )


def _holds(c: Control) -> Cell:
    if c.holds is None:
        return Cell("for information", "for information")
    word, key, mark = ("yes", "above", "▲") if c.holds else ("no", "below", "▼")
    return Cell(word, word, Verdict(key=key, word=word, mark=mark))
