"""A study that was published as ``results.csv`` and ``items.jsonl.gz``, read as if its cells were there.

    results.csv       a line for each cell and task, in the order of the cells
    items.jsonl[.gz]  the item rows of all cells in the same order, each with its cell's name
    recipe.json       the resolved recipe: the model and the radio
    provenance.json   what each learner is, by "METHOD seed N" or "METHOD"

Columns that a study's version did not have are left empty. A cell's name is known from its items; without items lines
are put together by their settings, and scores have the intervals of ``results.csv`` alone.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_bridge.files import StoreError, read_json
from llm_bridge.results_format import RESULT_COLUMNS
from llm_bridge.study.points import CellFiles

Row = dict[str, Any]
TEXT_COLUMNS = {"fading", "policy", "source_coding", "corrupted_split", "method", "task", "corpus", "axis"}
CELL_COLUMNS = ("corpus", "method", "train_seed", "channel_seed", "axis", "sf", "snr_db", "fading", "cr", "policy",
                "source_coding", "corrupted_split", "distance_km", "ebn0_db", "frame_loss")  # fmt: skip


def is_published(directory: Path) -> bool:
    """Whether a folder holds the results of a study without its cells."""
    return (directory / "results.csv").exists() and (directory / "recipe.json").exists()


def published_cells(directory: Path) -> list[CellFiles]:
    """The cells behind ``results.csv``, with their items where these are there.

    Raises
    ------
    StoreError
        Items that do not belong to the lines.
    """
    recipe = read_json(directory / "recipe.json")
    path = directory / "provenance.json"
    learners = read_json(path).get("learners", {}) if path.exists() else {}
    items = [(name, list(rows)) for name, rows in itertools.groupby(_items(directory), key=lambda row: row["cell"])]
    lines = _lines(directory / "results.csv")
    cells = [list(rows) for _, rows in itertools.groupby(lines, key=lambda row: [row[name] for name in CELL_COLUMNS])]
    if items and len(items) != len(cells):
        raise StoreError(f"{directory}: items of {len(items)} cells beside the results of {len(cells)}")
    if items:
        for (name, found), rows in zip(items, cells, strict=True):
            _must_fit(directory, name, found, rows)
    named = items or [(f"cell {index}", []) for index in range(len(cells))]
    return [_cell(name, found, rows, recipe, learners) for (name, found), rows in zip(named, cells, strict=True)]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _cell(name: str, items: Sequence[Row], rows: Sequence[Row], recipe: Mapping[str, Any], learners: Any) -> CellFiles:
    settings = {column: rows[0][column] for column in CELL_COLUMNS}
    method, seed = settings["method"], settings["train_seed"]
    learner = learners.get(method if seed is None else f"{method} seed {seed}")
    return CellFiles(
        name=name,
        config={"model": recipe.get("model"), "radio": recipe.get("radio"), **settings},
        provenance={} if learner is None else {"learner": learner},
        items=items,
        rows=rows,
        examples=(),
    )


def _must_fit(directory: Path, name: str, items: Sequence[Row], rows: Sequence[Row]) -> None:
    counted = {row["task"]: row["n"] for row in rows}
    found = {task: sum(item["task"] == task for item in items) for task in counted}
    if found != counted:
        raise StoreError(f"{directory}: the items of {name} are {found} by task, results.csv says {counted}")


def _items(directory: Path) -> Iterator[Row]:
    packed, plain = directory / "items.jsonl.gz", directory / "items.jsonl"
    if packed.exists():
        with gzip.open(packed, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)
    elif plain.exists():
        with plain.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def _lines(path: Path) -> list[Row]:
    """Lines of ``results.csv`` as rows, every column there: numbers as numbers, what is empty as None."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: _value(name, line.get(name) or "") for name in RESULT_COLUMNS} for line in csv.DictReader(file)]


def _value(name: str, text: str) -> Any:
    if text == "":
        return None
    if name in TEXT_COLUMNS:
        return text
    if text in ("True", "False"):
        return text == "True"
    try:
        return int(text)
    except ValueError:
        return float(text)
