"""A study's results: points, pooled over seeds, and their curves over spreading factors.

    cells  ->  items as a frame  ->  [Point, …]  ->  [Curve, …]

A point is one link (without its seed), one method, one task and one corpus; its items are those of all training and
channel seeds together, and its interval resamples programs with all of them. Cells that differ in anything else (model,
training settings, hash of the corpus, context, version of this program) are never pooled: their methods get a suffix.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from llm_bridge.annotations import TASKS, Row
from llm_bridge.arrays import FloatArray
from llm_bridge.axes import AXES
from llm_bridge.files import csv_text, digest, read_json
from llm_bridge.link import FIELDS, Link, link_columns
from llm_bridge.report.reading import CellFiles, item_frame, read_cells
from llm_bridge.results_format import RECIPE_FILE, RESULT_COLUMNS, failure_sentences
from llm_bridge.scoring.intervals import seed_half_width
from llm_bridge.scoring.metrics import cluster_seed_values, f1_counts, score_columns
from llm_bridge.scoring.rules import RULE_TASKS, is_rule

if TYPE_CHECKING:
    import pandas as pd

Run = tuple[int | None, int | None]
"""Training seed and channel seed; None where nothing was trained, or nothing sent."""

AXIS_ORDER = tuple(AXES)
TASK_ORDER = TASKS
CORPUS_ORDER = ("quixbugs", "minibugs", "mutants")
METHOD_ORDER = ("qlora", "full", "lora", "probe", "zero-shot", "zero-shot-nf4", *RULE_TASKS)
POLICY_ORDER = ("drop", "deliver", "erasure")
SPLIT_ORDER = ("eval", "both", "train")
VARIANT_FIELDS = ("model", "corpus_hash", "corpus_limit", "training", "training_hash", "chirpbridge")
"""Settings of a cell that keep its numbers apart from those of other cells of its method and corpus."""
KEY_FIELDS = ("corpus", "task", "method", *(name for name in FIELDS if name != "channel_seed"), "corrupted_split")
DELIVERY_COUNTS = ("fragments_sent", "fragments_lost", "bytes_sent", "byte_errors", "airtime_s")


class Tally(NamedTuple):
    """Counts of each program in each run, from which points are compared.

    `counts` (R, P, K + 2): the K counts of F1 (`f1_counts`), right answers, items; for the R `runs` and the P
    `programs` in sorted order, with the `clusters` (P,) that a bootstrap resamples.
    """

    runs: tuple[Run, ...]
    programs: npt.NDArray[np.str_]
    clusters: npt.NDArray[np.str_]
    counts: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Point:
    """One link, method, task and corpus, over all seeds.

    Parameters
    ----------
    corpus, task, method, corrupted_split
        Columns of ``results.csv``; `method` has a suffix where its cells are of several kinds.
    link
        The link without its channel seed; None where no text crossed one.
    scores
        The columns of `llm_bridge.scoring.metrics.score_cell` over all items, and `best_rule`: the largest F1 of a rule
        that reads nothing on the same texts, where one was run.
    num_programs
        Number of programs behind the scores.
    runs
        Training and channel seed of each cell, by its name.
    train_delivered
        Mean share of the training texts that arrived; None where none were sent.
    items
        Rows of `item_frame`; empty where a study was published without them. Then the interval over several seeds is
        the widest of theirs.
    radio
        The section `radio` of the recipe behind the point.
    """

    corpus: str
    task: str
    method: str
    corrupted_split: str
    link: Link | None
    scores: Mapping[str, Any]
    num_programs: int
    runs: Mapping[str, Run] = field(default_factory=dict, repr=False)
    train_delivered: float | None = None
    items: pd.DataFrame = field(repr=False)
    run_of_item: npt.NDArray[np.intp] = field(repr=False)
    radio: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def f1(self) -> float | None:
        """F1, or None where the task has none."""
        value = self.scores.get("f1")
        return None if value is None else float(value)

    @property
    def low(self) -> float:
        """Lower bound of F1."""
        return float(self.scores["f1_low"])

    @property
    def high(self) -> float:
        """Upper bound of F1."""
        return float(self.scores["f1_high"])

    @cached_property
    def over_seeds(self) -> tuple[float, float] | None:
        """Bounds of F1 for other programs and other training seeds; None where fewer than two seeds were run."""
        runs = self.runs.values()
        if len(self.train_seeds) < 2 or any(t is None for t, _ in runs) or not len(self.items) or self.f1 is None:
            return None
        tally = self.tally
        own = [[index for index, (t, _) in enumerate(tally.runs) if t == seed] for seed in self.train_seeds]
        counts = np.stack([tally.counts[rows, :, :-2].sum(axis=0) for rows in own])
        found = seed_half_width(cluster_seed_values(self.task, tally.clusters, counts))
        return None if found is None else (max(0.0, self.f1 - found[0]), min(1.0, self.f1 + found[0]))

    @property
    def widest(self) -> tuple[float, float]:
        """Bounds of both intervals of F1 together: what may be said of a method is said by them."""
        low, high = self.over_seeds or (self.low, self.high)
        return min(low, self.low), max(high, self.high)

    @property
    def hits(self) -> FloatArray:
        """Credit of each item, 0 to 1: its credit in *localise*, 0 where nothing arrived."""
        right = self.items["credit" if "credit" in self.items else "correct"]
        return np.asarray(self.items["delivered"].to_numpy() * right.to_numpy(dtype=np.float64))

    @property
    def baseline(self) -> float | None:
        """Score without reading on these items: chance, or the best rule that was run on this link (`level`)."""
        return level(self.scores)

    @property
    def share_intact(self) -> float:
        """Share of items that arrived whole."""
        return float(self.scores["intact"]) / max(1, int(self.scores["n"]))

    @property
    def share_delivered(self) -> float:
        """Share of items of which any byte arrived."""
        return float(self.scores["delivered"]) / max(1, int(self.scores["n"]))

    @property
    def sf(self) -> int | None:
        """Spreading factor; None where no link was crossed."""
        return None if self.link is None else self.link.sf

    @property
    def axis(self) -> str | None:
        """Name of what is held equal between spreading factors; None where no link was crossed."""
        return None if self.link is None else self.link.axis

    @property
    def policy(self) -> str | None:
        """What a receiver does with damaged frames; None where no link was crossed."""
        return None if self.link is None else self.link.policy

    @property
    def train_seeds(self) -> tuple[int, ...]:
        """Training seeds of the runs."""
        return tuple(sorted({seed for seed, _ in self.runs.values() if seed is not None}))

    @property
    def channel_seeds(self) -> tuple[int, ...]:
        """Channel seeds of the runs."""
        return tuple(sorted({seed for _, seed in self.runs.values() if seed is not None}))

    @property
    def clean(self) -> bool:
        """Whether no text crossed the link at all."""
        return self.corrupted_split == "none"

    @property
    def noiseless(self) -> bool:
        """Whether texts crossed a link without noise: as good as clean, where everything arrived."""
        return self.link is not None and self.link.snr_db == math.inf and self.share_intact == 1.0

    @property
    def lossless(self) -> bool:
        """Whether nothing of the texts was lost: no link, or one without noise."""
        return self.clean or self.noiseless

    @cached_property
    def byte_error_rate(self) -> float | None:
        """Wrong or lost bytes over bytes sent; None where the items do not tell."""
        sent = float(self.items["bytes_sent"].sum()) if len(self.items) else 0.0
        return float(self.items["residual"].sum()) / sent if sent else None

    @property
    def condition(self) -> tuple[object, ...]:
        """What a curve over spreading factors holds fixed: the link's condition, and which texts crossed it."""
        return (*(self.link.condition if self.link is not None else ()), self.corrupted_split)

    def seeded_items(self, **columns: object) -> pd.DataFrame:
        """The items with the training seed of each, -1 without one, and further columns."""
        seeds = np.array([-1 if train is None else train for train, _ in self.runs.values()])
        return self.items.assign(train_seed=seeds[self.run_of_item], **columns)

    @cached_property
    def own_runs(self) -> list[Run]:
        """The run of each cell; without noise a channel seed means nothing."""
        return [(train, None) if self.noiseless else (train, channel) for train, channel in self.runs.values()]

    @cached_property
    def tally(self) -> Tally:
        """Counts of each program in each run."""
        own = self.own_runs
        runs = tuple(dict.fromkeys(own))
        place = np.array([runs.index(run) for run in own], dtype=np.intp)
        names = self.items["program"].cat
        present, first, index = np.unique(names.codes.to_numpy(), return_index=True, return_inverse=True)
        programs = names.categories.to_numpy(dtype=str)[present]
        columns = [f1_counts(self.task, self.items)] if self.task != "repair" else []
        table = np.column_stack([*columns, self.hits, np.ones(len(self.items))])
        flat = place[self.run_of_item] * len(programs) + index.ravel()
        size = len(runs) * len(programs)
        sums = [np.bincount(flat, column, minlength=size).reshape(len(runs), -1) for column in table.T]
        clusters = self.items["cluster"].to_numpy(dtype=str)[first]
        return Tally(runs, programs, clusters, np.stack(sums, axis=-1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Points over spreading factors, everything else held fixed, and the clean point of the same method, if there."""

    points: tuple[Point, ...]
    clean: Point | None

    @property
    def first(self) -> Point:
        """Any of the points: all but the spreading factor and the scores is common."""
        return self.points[0]

    @property
    def link(self) -> Link:
        """The link of the first point."""
        link = self.points[0].link
        assert link is not None  # a curve is made of links
        return link

    @property
    def spread(self) -> float:
        """Largest difference of F1 along the curve."""
        values = [point.f1 for point in self.points if point.f1 is not None]
        return max(values) - min(values) if values else 0.0

    @property
    def panel(self) -> tuple[object, ...]:
        """What the curves of one panel share: corpus, task and the link without its spreading factor."""
        return self.first.corpus, self.first.task, self.first.condition


@dataclass(frozen=True, kw_only=True)
class Study:
    """All finished cells of a folder, with their points and curves; each is computed once."""

    directory: Path
    cells: Sequence[CellFiles]

    @cached_property
    def items(self) -> pd.DataFrame:
        """The items of all cells (`item_frame`)."""
        return item_frame(self.cells)

    @cached_property
    def failures(self) -> list[str]:
        """A line for each model that could not be trained or scored (`failure_sentences`)."""
        return failure_sentences(self.directory)

    @cached_property
    def margins(self) -> Mapping[str, float]:
        """Margin of equivalence by task, as registered in the recipe (`score.margin`); none in studies before it."""
        path = self.directory / RECIPE_FILE
        recipe = read_json(path) if path.exists() else {}
        score = recipe.get("score") if isinstance(recipe, Mapping) else None
        margins = score.get("margin") if isinstance(score, Mapping) else None
        known = margins.items() if isinstance(margins, Mapping) else ()
        return {str(task): float(margin) for task, margin in known if isinstance(margin, int | float)}

    @cached_property
    def points(self) -> list[Point]:
        """The points, in the order corpus, task, method, link."""
        return pool(self.cells, self.items)

    @cached_property
    def curves(self) -> list[Curve]:
        """The curves, most telling first."""
        return make_curves(self.points)


def load_study(directory: Path | str) -> Study:
    """Read every finished cell under a folder, or a published study.

    Raises
    ------
    FileNotFoundError
        There is no finished cell, nor a study's results.
    llm_bridge.files.StoreError
        A file was changed after its result was written, or is not what it should be.

    Examples
    --------
    >>> study = load_study("docs/results/texture")
    >>> point = next(p for p in study.points if (p.task, p.method, p.sf) == ("paired", "qlora", 7))
    >>> point.corpus, point.num_programs, round(point.f1, 2), point.link.level
    ('minibugs', 42, 0.54, 0.3)
    """
    return Study(directory=Path(directory), cells=read_cells(Path(directory)))


def pool(cells: Sequence[CellFiles], items: pd.DataFrame) -> list[Point]:
    """Points of cells: rows of one link, method, task and corpus, over all seeds."""
    suffixes = _variant_suffixes(cells)
    groups: dict[tuple[Any, ...], list[tuple[int, Row]]] = {}
    for index, cell in enumerate(cells):
        for row in cell.rows:
            known = {**cell.config, **{name: value for name, value in row.items() if value is not None}}
            known["method"] = f"{known['method']}{suffixes[cell.name]}"
            groups.setdefault(tuple(known.get(name) for name in KEY_FIELDS), []).append((index, row))
    places = items.groupby(["cell", "task"], observed=True, sort=False).indices
    points = []
    for key, members in groups.items():
        named = dict(zip(KEY_FIELDS, key, strict=True))
        rows = [row for _, row in members]
        runs = {cells[index].name: _run(cells[index], row) for index, row in members}
        parts = [places.get((index, named["task"]), np.empty(0, dtype=np.intp)) for index, _ in members]
        own = items.iloc[np.concatenate(parts)]
        points.append(
            Point(
                **{name: named[name] for name in ("corpus", "task", "method", "corrupted_split")},
                link=Link.of_row(named),
                scores=score_columns(named["task"], own) if len(own) else _widest(rows),
                num_programs=own["program"].nunique() if len(own) else int(rows[0]["n"]),
                runs=runs,
                train_delivered=_mean(row.get("train_delivered") for row in rows),
                items=own,
                run_of_item=np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
                radio=cells[members[0][0]].config.get("radio") or {},
            )
        )
    return sorted(_beside_rules(points), key=_point_order)


def level(scores: Mapping[str, Any]) -> float | None:
    """Level to compare a score with: the larger of `baseline` (chance) and `best_rule`; None where neither is known.

    Every claim of skill (`llm_bridge.report.curves.verdict`) is a claim against this.

    Examples
    --------
    >>> level({"baseline": 0.17, "best_rule": 0.31}), level({"baseline": 0.5}), level({})
    (0.31, 0.5, None)
    """
    return max((float(scores[x]) for x in ("baseline", "best_rule") if scores.get(x) is not None), default=None)


def make_curves(points: Iterable[Point]) -> list[Curve]:
    """Curves over SF, most telling first: by corpus, task, axis, then the largest spread of F1 of a condition."""
    points = list(points)
    clean = {(p.corpus, p.task, p.method): p for p in points if p.noiseless}
    clean |= {(p.corpus, p.task, p.method): p for p in points if p.clean}
    groups: dict[tuple[str, str, tuple[object, ...], str], list[Point]] = {}
    for point in points:
        if point.link is not None and point.f1 is not None:
            groups.setdefault((point.corpus, point.task, point.condition, point.method), []).append(point)
    found = [
        Curve(points=tuple(sorted(group, key=lambda p: p.sf or 0)), clean=clean.get((key[0], key[1], key[3])))
        for key, group in groups.items()
    ]
    spread: dict[tuple[object, ...], float] = {}
    for curve in found:
        spread[curve.panel] = max(spread.get(curve.panel, 0.0), curve.spread)

    def order(curve: Curve) -> tuple[object, ...]:
        p = curve.first
        return (
            rank(CORPUS_ORDER, p.corpus), p.corpus, rank(TASK_ORDER, p.task), rank(AXIS_ORDER, p.axis),
            rank(SPLIT_ORDER, p.corrupted_split), rank(POLICY_ORDER, p.policy), -round(spread[curve.panel], 9),
            str(p.condition), rank(METHOD_ORDER, p.method), p.method,
        )  # fmt: skip

    return sorted(found, key=order)


def results_csv(cells: Iterable[CellFiles]) -> str:
    """``results.csv``: a line for every cell and task, `RESULT_COLUMNS`, empty where undefined."""
    return csv_text(RESULT_COLUMNS, ({**cell.config, **row} for cell in cells for row in cell.rows))


def scores_csv(points: Iterable[Point]) -> str:
    """``scores.csv``: a line for every point, over all its seeds, empty where undefined.

    Columns: the point and its link; how many programs and seeds; `scores` with `f1_low` and `f1_high` over programs,
    `f1_seeds_low` and `f1_seeds_high` over programs and training seeds; `level`, what skill is claimed against.
    """
    rows = []
    for p in points:
        seeds = p.over_seeds or (None, None)
        rows.append(
            {name: getattr(p, name) for name in ("corpus", "task", "method", "corrupted_split")}
            | {name: value for name, value in link_columns(p.link).items() if name != "channel_seed"}
            | {"programs": p.num_programs, "train_seeds": len(p.train_seeds), "channel_seeds": len(p.channel_seeds)}
            | {**p.scores, "f1_seeds_low": seeds[0], "f1_seeds_high": seeds[1], "level": p.baseline}
        )
    return csv_text(list(dict.fromkeys(name for row in rows for name in row)), rows)


def delivery(study: Study) -> pd.DataFrame:
    """What each link delivered: a row for every link of the evaluation, counted over texts and channel seeds once.

    Methods and training seeds see the same noise, so one cell of each link and channel seed is counted, in the task
    that has the most rows (*detect* has one for every text). Columns: `corpus`, those of the link, `n, delivered,
    intact` and the counts; `link` holds the `Link`.
    """
    import pandas as pd

    blocks = study.items.groupby(["cell", "task"], observed=True)
    counts = blocks[["delivered", "intact", "residual", *DELIVERY_COUNTS]].sum()
    counts.insert(0, "n", blocks.size())
    chosen: dict[tuple[object, ...], pd.Series] = {}
    for (cell, _), row in counts.iterrows():
        config = study.cells[cell].config
        link = Link.of_row(config)
        if link is not None and config.get("corrupted_split") in ("eval", "both"):
            key = (config["corpus"], replace(link, channel_seed=None), config.get("channel_seed"))
            chosen[key] = max(chosen.get(key, row), row, key=lambda counted: counted["n"])
    if not chosen:
        return pd.DataFrame()
    rows = [{"corpus": corpus, "link": link, **row} for (corpus, link, _), row in chosen.items()]
    frame = pd.DataFrame(rows).groupby(["corpus", "link"], sort=False, as_index=False).sum()
    frame["residual"] = frame["residual"].round()
    whole = [name for name in frame.columns if name not in ("corpus", "link", "airtime_s")]
    frame = frame.astype(dict.fromkeys(whole, int))
    order = sorted(range(len(frame)), key=lambda i: _link_order(frame["corpus"][i], frame["link"][i]))
    return frame.iloc[order].reset_index(drop=True)


def rank(order: Sequence[object], value: object) -> int:
    """Place of a value in an order; what is not in it comes last."""
    return order.index(value) if value in order else len(order)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _beside_rules(points: Sequence[Point]) -> list[Point]:
    """The points, each with the best score of a rule on the texts that it was asked about."""

    def texts(p: Point) -> tuple[object, ...]:
        return p.corpus, p.task, p.link if p.corrupted_split in ("eval", "both") else None

    best: dict[tuple[object, ...], float] = {}
    for p in points:
        if is_rule(p.method) and p.f1 is not None:
            best[texts(p)] = max(best.get(texts(p), 0.0), p.f1)
    return [replace(p, scores={**p.scores, "best_rule": best[texts(p)]}) if texts(p) in best else p for p in points]


def _point_order(p: Point) -> tuple[object, ...]:
    numbers = ("sf", "snr_db", "fading", "cr", "policy", "source_coding", "quantity", "level")
    link = () if p.link is None else (rank(AXIS_ORDER, p.axis), *(getattr(p.link, name) for name in numbers))
    return p.corpus, rank(TASK_ORDER, p.task), p.method, link, p.corrupted_split


def _link_order(corpus: str, link: Link) -> tuple[object, ...]:
    kind = (link.snr_db, link.fading, link.cr, link.policy, link.source_coding)
    return corpus, rank(AXIS_ORDER, link.axis), *kind, link.sf


def _variant_suffixes(cells: Sequence[CellFiles]) -> dict[str, str]:
    """For each cell "@" and a hash of what its numbers depend on, beside link and seeds; "" where there is but one.

    The same for the contexts that models read texts in, by their names.
    """
    settings = {cell.name: digest({name: _variant(cell, name) for name in VARIANT_FIELDS}, length=4) for cell in cells}
    suffixes = dict.fromkeys(settings, "")
    for own in (settings, {cell.name: context_of(cell) or "none" for cell in cells}):
        kinds: dict[tuple[object, object], set[str]] = {}
        for cell in cells:
            kinds.setdefault((cell.config.get("corpus"), cell.config.get("method")), set()).add(own[cell.name])
        for cell in cells:
            if len(kinds[cell.config.get("corpus"), cell.config.get("method")]) > 1:
                suffixes[cell.name] += f"@{own[cell.name]}"
    return suffixes


def context_of(cell: CellFiles) -> str | None:
    """What a cell's model knew of each program beside what arrived; None where nothing."""
    score = cell.config.get("score")
    found = cell.config.get("context") or (score.get("context") if isinstance(score, Mapping) else None)
    return None if found is None else str(found)


def _variant(cell: CellFiles, name: str) -> object:
    """A field that keeps cells apart; a model whose files are known is told by their hash, wherever it lay."""
    value = cell.config.get(name)
    if name == "model" and isinstance(value, Mapping) and "sha256" in value:
        return {key: part for key, part in value.items() if key != "name"}
    return value


def _widest(rows: Sequence[Row]) -> dict[str, float | None]:
    """Scores of several seeds without their items: means, and the widest interval."""
    scores: dict[str, float | None] = {
        name: _mean(row.get(name) for row in rows) for name in ("f1", "f1_delivered", "baseline", "macro_f1", "mcc")
    }
    for name in ("n", "delivered", "intact"):
        scores[name] = sum(int(row.get(name) or 0) for row in rows)
    for name, pick in (("f1_low", min), ("f1_high", max)):
        known = [float(row[name]) for row in rows if row.get(name) is not None]
        scores[name] = pick(known) if known else None
    return scores


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None and math.isfinite(float(value))]
    return sum(known) / len(known) if known else None


def _run(cell: CellFiles, row: Row) -> Run:
    train, channel = (row.get(name, cell.config.get(name)) for name in ("train_seed", "channel_seed"))
    return train, channel
