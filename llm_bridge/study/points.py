"""What a finished study holds: its cells as files, and its points, pooled over seeds.

    DIR/<cell>/{config, provenance, result, example}.json, items.jsonl  ->  Study  ->  [Point, …]

A point is one condition of the link, one method, one task and one corpus; its items are those of all training and
channel seeds together, and its interval resamples programs with all of them. Cells that differ in anything else (model,
training settings, hash of the corpus, version of this program) are never pooled: their methods get a suffix.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from llm_bridge.axes import AXES, LEVEL_COLUMNS
from llm_bridge.files import canonical_json, digest, read_json, read_jsonl
from llm_bridge.link import FIELDS, Link
from llm_bridge.results_format import EXAMPLE_FILES, RESULT_COLUMNS, cell_dirs, is_finished
from llm_bridge.scoring.conditional_independence import residual_errors
from llm_bridge.scoring.metrics import TASKS, score_cell

AXIS_ORDER = tuple(AXES)
LEVELS = LEVEL_COLUMNS
"""What an axis holds equal instead of the SNR."""

LINK_FIELDS = ("axis", "sf", "snr_db", "fading", "cr", "policy", "source_coding", "corrupted_split")
DELIVERY_COUNTS = (
    "delivered", "intact", "fragments_sent", "fragments_lost", "bytes_sent", "airtime_s",
)  # fmt: skip
VARIANT_FIELDS = ("model", "corpus_hash", "corpus_limit", "training", "training_hash", "chirpbridge")
POINT_FIELDS = ("corpus", "task", "method", *LINK_FIELDS, *LEVELS)
Run = tuple[int | None, int | None]
"""Training seed and channel seed; None where nothing was trained, or nothing sent."""


@dataclass(frozen=True, kw_only=True)
class CellFiles:
    """One finished cell, as read from its folder."""

    name: str
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]
    rows: Sequence[Mapping[str, Any]]
    examples: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Study:
    """All finished cells of a folder."""

    directory: Path
    cells: Sequence[CellFiles]

    @cached_property
    def points(self) -> list[Point]:
        """The study's points, in the order corpus, task, axis, link, method."""
        return pool(self.cells)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One condition, method, task and corpus, over all its seeds.

    `scores` has the columns of `llm_bridge.scoring.metrics.score_cell`; `items` is empty where a study was published
    without them (then an interval over several seeds is the widest of theirs). `runs` tells the seeds of each cell by
    its name: with channel seeds of its own for each training seed, not every pair of seeds has one.
    """

    corpus: str
    task: str
    method: str
    link: Link | None
    corrupted_split: str
    scores: Mapping[str, Any]
    num_programs: int
    train_seeds: tuple[int, ...]
    channel_seeds: tuple[int, ...]
    train_delivered: float | None = None
    runs: Mapping[str, Run] = field(default_factory=dict, repr=False)
    items: Sequence[Mapping[str, Any]] = field(default=(), repr=False)

    def __getattr__(self, name: str) -> Any:
        """A column of the link (`llm_bridge.link.FIELDS`); None where no link was crossed."""
        if name not in FIELDS:
            raise AttributeError(name)
        return None if self.link is None else self.link.columns()[name]

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

    @property
    def baseline(self) -> float | None:
        """What the task's trivial rule scores on these items."""
        value = self.scores.get("baseline")
        return None if value is None else float(value)

    @property
    def share_intact(self) -> float:
        """Share of items that arrived whole."""
        return float(self.scores["intact"]) / max(1, int(self.scores["n"]))

    @property
    def share_delivered(self) -> float:
        """Share of items of which any byte arrived."""
        return float(self.scores["delivered"]) / max(1, int(self.scores["n"]))

    @property
    def clean(self) -> bool:
        """Whether no text crossed the link at all."""
        return self.corrupted_split == "none"

    @property
    def noiseless(self) -> bool:
        """Whether texts crossed a link without noise: as good as clean, where everything arrived."""
        return self.snr_db == math.inf and self.share_intact == 1.0

    @property
    def byte_error_rate(self) -> float | None:
        """Wrong or lost bytes over bytes sent; None where the items do not tell."""
        sent = sum(row.get("bytes_sent") or 0 for row in self.items)
        return sum(residual_errors(row) for row in self.items) / sent if sent else None

    @property
    def condition(self) -> tuple[Any, ...]:
        """The link without its spreading factor and seed, and what was sent over it."""
        return (*(self.link.condition if self.link is not None else ()), self.corrupted_split)

    @property
    def level(self) -> float | None:
        """What the axis holds equal between spreading factors."""
        return None if self.link is None else self.link.level


def load_study(directory: Path) -> Study:
    """Read every finished cell under a folder, or a published study (`llm_bridge.study.published`).

    Raises
    ------
    FileNotFoundError
        No finished cell there, nor a study's results.
    StoreError
        A file that was changed after its result was written, or that is not what it should be.
    """
    from llm_bridge.study.published import is_published, published_cells

    directory = Path(directory)
    cells = [_cell_files(folder) for folder in cell_dirs(directory) if is_finished(folder)]
    if not cells and is_published(directory):
        cells = published_cells(directory)
    if not cells:
        raise FileNotFoundError(f"no finished cell under {directory}: run a recipe with --out {directory} first")
    return Study(directory=directory, cells=cells)


def _cell_files(folder: Path) -> CellFiles:
    found = [read_json(folder / name) for name in EXAMPLE_FILES if (folder / name).exists()]
    return CellFiles(
        name=folder.name,
        config=read_json(folder / "config.json"),
        provenance=read_json(folder / "provenance.json") if (folder / "provenance.json").exists() else {},
        items=[{"cell": folder.name, **row} for row in read_jsonl(folder / "items.jsonl")],
        rows=read_json(folder / "result.json").get("rows", []),
        examples=[row for entry in found for row in ([entry] if isinstance(entry, dict) else entry)],
    )


def pool(cells: Iterable[CellFiles], *, num_resamples: int = 10_000) -> list[Point]:
    """Points of cells: rows of one condition, method, task and corpus, over all seeds."""
    groups: dict[tuple[Any, ...], list[tuple[CellFiles, Mapping[str, Any]]]] = {}
    cells = list(cells)
    suffixes = _variant_suffixes(cells)
    for cell in cells:
        for row in cell.rows:
            known = {**cell.config, **{name: value for name, value in row.items() if value is not None}}
            known["method"] = f"{known['method']}{suffixes[cell.name]}"
            groups.setdefault(tuple(known.get(name) for name in POINT_FIELDS), []).append((cell, row))
    points = []
    for key, members in groups.items():
        named = dict(zip(POINT_FIELDS, key, strict=True))
        items = [item for cell, _ in members for item in cell.items if item.get("task") == named["task"]]
        rows = [row for _, row in members]
        runs = {cell.name: _run(cell, row) for cell, row in members}
        scores = score_cell(items, num_resamples=num_resamples) if items else _widest(rows)
        points.append(
            Point(
                **{name: named[name] for name in ("corpus", "task", "method", "corrupted_split")},
                link=Link.of_row(named),
                scores=scores,
                num_programs=len({item["program"] for item in items}) if items else int(rows[0]["n"]),
                train_seeds=_seeds(runs, 0),
                channel_seeds=_seeds(runs, 1),
                runs=runs,
                train_delivered=_mean([row.get("train_delivered") for row in rows]),
                items=items,
            )
        )
    return sorted(points, key=lambda point: tuple(_sort_key(getattr(point, name)) for name in POINT_FIELDS))


def results_csv(cells: Iterable[CellFiles]) -> str:
    """``results.csv``: a line for every cell and task, `RESULT_COLUMNS`, empty where undefined."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(RESULT_COLUMNS)
    for cell in cells:
        for row in cell.rows:
            writer.writerow([_csv_value({**cell.config, **row}.get(column)) for column in RESULT_COLUMNS])
    return text.getvalue()


def items_jsonl(cells: Iterable[CellFiles]) -> str:
    """``items.jsonl``: the item rows of all cells."""
    return "".join(canonical_json(item) + "\n" for cell in cells for item in cell.items)


def delivery_rows(cells: Iterable[CellFiles]) -> list[dict[str, Any]]:
    """What each link delivered, a row for every link of the evaluation, counted over texts and channel seeds once.

    Methods and training seeds see the same noise, so one cell of each link and channel seed is counted, in the task
    that has the most rows (*detect* has one for every text).
    """
    fields = ("corpus", *LINK_FIELDS[:-1], *LEVELS)
    seen: dict[tuple[Any, ...], dict[Any, Sequence[Mapping[str, Any]]]] = {}
    for cell in cells:
        if cell.config.get("corrupted_split") not in ("eval", "both") or not cell.items:
            continue
        by_task: dict[str, list[Mapping[str, Any]]] = {}
        for item in cell.items:
            by_task.setdefault(item["task"], []).append(item)
        largest = max(by_task.values(), key=len)
        link = tuple(cell.config.get(name) for name in fields)
        known = seen.setdefault(link, {})
        seed = cell.config.get("channel_seed")
        if len(largest) > len(known.get(seed, ())):
            known[seed] = largest
    rows = []
    for link, by_seed in seen.items():
        items = [item for group in by_seed.values() for item in group]
        row = dict(zip(fields, link, strict=True)) | {"n": len(items)}
        for name in (*DELIVERY_COUNTS, "byte_errors"):
            row[name] = sum(item.get(name) or 0 for item in items)
        row["residual_errors"] = round(sum(residual_errors(item) for item in items))
        rows.append(row)
    order = ("corpus", "axis", "snr_db", "fading", "cr", "policy", "source_coding", "sf")
    return sorted(rows, key=lambda row: tuple(_sort_key(row[name]) for name in order))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _variant_suffixes(cells: Sequence[CellFiles]) -> dict[str, str]:
    """For each cell "@" and a hash of what its numbers depend on, beside link and seeds; "" where there is but one."""
    own = {cell.name: digest({name: _variant(cell, name) for name in VARIANT_FIELDS}, length=4) for cell in cells}
    by_method: dict[Any, set[str]] = {}
    for cell in cells:
        by_method.setdefault((cell.config.get("corpus"), cell.config.get("method")), set()).add(own[cell.name])
    several = {key for key, found in by_method.items() if len(found) > 1}
    return {
        cell.name: f"@{own[cell.name]}" if (cell.config.get("corpus"), cell.config.get("method")) in several else ""
        for cell in cells
    }


def _variant(cell: CellFiles, name: str) -> Any:
    """A field that keeps cells apart; a model whose files are known is told by their hash, wherever it lay."""
    value = cell.config.get(name)
    if name == "model" and isinstance(value, Mapping) and "sha256" in value:
        return {key: part for key, part in value.items() if key != "name"}
    return value


def _widest(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Scores of several seeds without their items: means, and the widest interval."""
    scores: dict[str, Any] = {
        name: _mean([row.get(name) for row in rows]) for name in ("f1", "f1_delivered", "baseline", "macro_f1", "mcc")
    }
    for name in ("n", "delivered", "intact"):
        scores[name] = sum(int(row.get(name) or 0) for row in rows)
    for name, pick in (("f1_low", min), ("f1_high", max)):
        known = [float(row[name]) for row in rows if row.get(name) is not None]
        scores[name] = pick(known) if known else None
    return scores


def _mean(values: Iterable[Any]) -> float | None:
    known = [float(value) for value in values if value is not None and math.isfinite(float(value))]
    return sum(known) / len(known) if known else None


def _run(cell: CellFiles, row: Mapping[str, Any]) -> Run:
    train, channel = (row.get(name, cell.config.get(name)) for name in ("train_seed", "channel_seed"))
    return train, channel


def _seeds(runs: Mapping[str, Run], side: int) -> tuple[int, ...]:
    return tuple(sorted({seed for run in runs.values() if (seed := run[side]) is not None}))


def _sort_key(value: Any) -> tuple[int, float, str]:
    """An order for numbers, words and None in one column."""
    if value is None:
        return 0, 0.0, ""
    for known in (AXIS_ORDER, TASKS):
        if value in known:
            return 1, float(known.index(value)), ""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, str(value)


def _csv_value(value: Any) -> str:
    """A cell of ``results.csv``; numbers in their shortest exact form."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)
