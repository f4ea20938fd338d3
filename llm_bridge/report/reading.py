"""A results folder as cells, and their items as one frame: of a run, or of a published study.

    DIR/<cell>/{config, provenance, result, example}.json, items.jsonl          a run
    DIR/{results.csv, items.jsonl[.gz], recipe.json, provenance.json}           a published study

Files are believed only where they have the types and ranges of `llm_bridge.results_format`; else one line names the
file, the value and what to do. A published study without items has the scores and intervals of ``results.csv`` alone.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import types
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json

from llm_bridge.annotations import TASKS, Row
from llm_bridge.files import StoreError, canonical_json, read_json
from llm_bridge.link import FIELDS
from llm_bridge.results_format import (
    CONFIG_FILE,
    EXAMPLE_FILES,
    ITEMS_FILE,
    PROVENANCE_FILE,
    RECIPE_FILE,
    RESULT_COLUMNS,
    RESULT_FILE,
    RESULTS_TABLE,
    ItemRow,
    cell_dirs,
    failure_sentences,
    is_finished,
)
from llm_bridge.scoring.conditional_independence import residual_errors

if TYPE_CHECKING:
    import pandas as pd

CELL_COLUMNS = ("corpus", "method", "train_seed", "corrupted_split", "context", *FIELDS)
"""Columns of ``results.csv`` by which its lines belong to one cell."""
TEXT_COLUMNS = frozenset(
    ("fading", "policy", "source_coding", "corrupted_split", "method", "task", "corpus", "axis", "context"),
)
WHOLE_COLUMNS = frozenset(
    ("sf", "cr", "train_seed", "channel_seed", "n", "delivered", "intact", "parses", "damaged", "truncated")
)
VERSIONS = ("buggy", "correct", "pair")
COUNTED = ("bytes_sent", "byte_errors", "bytes_lost", "fragments_sent", "fragments_lost", "airtime_s")
FATES = ("pair_fragments", "pair_fragments_unequal")
NUMERIC = ("num_lines", "num_gold", "parses", *COUNTED)
YOUNGER_NUMBERS = ("credit", "correct_shared", *FATES)
FRAME_FIELDS = (
    "task", "program", "version", "group", "delivered", "intact", "correct", "decision", "longer", "copy_plausible",
    *NUMERIC, *YOUNGER_NUMBERS,
)  # fmt: skip
"""Fields of an item that `item_frame` reads."""
DELETE = "delete its folder and run again"


@dataclass(frozen=True, kw_only=True)
class CellFiles:
    """One finished cell as read.

    Parameters
    ----------
    name
        Name of its folder.
    config, provenance
        What shapes its numbers, and where they come from.
    items
        Its lines of ``items.jsonl``; none where a study was published without them.
    rows
        Its lines of ``results.csv``, one for each task.
    examples
        Programs before and after the link.
    text
        The lines of ``items.jsonl`` as they stand in the file.
    """

    name: str
    config: Row
    provenance: Row
    items: Sequence[ItemRow]
    rows: Sequence[Row]
    examples: Sequence[Row] = ()
    text: str = field(default="", repr=False)


def read_cells(directory: Path) -> list[CellFiles]:
    """Every finished cell under a folder, in the order of their names, or the cells behind a published study.

    Raises
    ------
    FileNotFoundError
        There is no finished cell, nor a published study.
    StoreError
        A file was changed after its result was written, is not what it should be, or lies in another cell's folder.
    """
    cells = [_cell_files(folder) for folder in cell_dirs(directory)]
    if not cells and (directory / RESULTS_TABLE).exists() and (directory / RECIPE_FILE).exists():
        cells = published_cells(directory)
    if not cells:
        failed = "".join(f"\n{line}" for line in failure_sentences(directory))
        raise FileNotFoundError(
            f"no finished cell under {directory}: run a recipe with --out {directory} first{failed}"
        )
    return cells


def published_cells(directory: Path) -> list[CellFiles]:
    """The cells behind ``results.csv``, with their items where these are there, in the order of the lines.

    Raises
    ------
    StoreError
        Items that do not belong to the lines, or a file that is not what it should be.
    """
    recipe = _mapping(directory / RECIPE_FILE)
    path = directory / PROVENANCE_FILE
    learners = (_mapping(path) if path.exists() else {}).get("learners") or {}
    source = next((p for name in (ITEMS_FILE + ".gz", ITEMS_FILE) if (p := directory / name).exists()), None)
    text = "" if source is None else _unpacked(source)
    items = [] if source is None else _item_rows(source, text, "publish the study again")
    lines = text.split("\n")
    named = [(name, list(rows)) for name, rows in itertools.groupby(items, key=itemgetter("cell"))]
    table = read_table(directory / RESULTS_TABLE)
    groups = [list(rows) for _, rows in itertools.groupby(table, key=lambda row: [row[name] for name in CELL_COLUMNS])]
    if named and len(named) != len(groups):
        raise StoreError(f"{directory}: items of {len(named)} cells beside the results of {len(groups)}")
    cells, at = [], 0
    for index, rows in enumerate(groups):
        name, found = named[index] if named else (f"cell {index}", [])
        if named:
            _must_fit(directory, name, found, rows)
        settings = {column: rows[0][column] for column in CELL_COLUMNS}
        learner = learners.get(learner_name(settings))
        cells.append(
            CellFiles(
                name=name,
                config={"model": recipe.get("model"), "radio": recipe.get("radio"), **settings},
                provenance={} if learner is None else {"learner": learner},
                items=found,
                rows=rows,
                text="\n".join([*lines[at : at + len(found)], ""]),
            )
        )
        at += len(found)
    return cells


def learner_name(config: Mapping[str, Any]) -> str:
    """Name of a cell's model among the learners of a published study, by the columns of a cell.

    Examples
    --------
    >>> learner_name({"method": "qlora", "train_seed": 3, "corrupted_split": "both", "sf": 9, "channel_seed": 6})
    'qlora seed 3, trained over SF9 (channel seed 6)'
    """
    seed = config.get("train_seed")
    name = str(config["method"]) + ("" if seed is None else f" seed {seed}")
    if config["corrupted_split"] in ("train", "both"):
        policy = "" if config.get("policy") in (None, "drop") else f", {config['policy']}"
        name += f", trained over SF{config['sf']} (channel seed {config['channel_seed']}{policy})"
    return name


def read_table(path: Path) -> list[Row]:
    """Lines of ``results.csv``: numbers as numbers, what is empty as None; columns that are not there as None.

    A spreadsheet may have saved it: byte order mark, semicolons or tabs, decimal commas and TRUE are understood.

    Raises
    ------
    StoreError
        A number that is none, or a file without the columns that name a cell.
    """
    lines, delimiter = read_lines(path, needed=("corpus", "method", "n", "task"), kind="results")
    rows = []
    for number, line in enumerate(lines, start=2):
        try:
            rows.append({name: _cell_value(name, line.get(name) or "", delimiter) for name in RESULT_COLUMNS})
        except ValueError as error:
            raise StoreError(f"{path}, line {number}: {error}") from error
    return rows


def read_lines(path: Path, *, needed: Iterable[str], kind: str) -> tuple[list[dict[str, str]], str]:
    """Lines of a table of CSV as texts, and the delimiter that it has: a comma, or what a spreadsheet put there.

    Raises
    ------
    StoreError
        A column of `needed` is not there: this is no table of that `kind`.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    missing = [name for name in needed if name not in (reader.fieldnames or ())]
    if missing:
        raise StoreError(f"{path} is no table of {kind}: it lacks the column {missing[0]!r}; restore it, or run again")
    return list(reader), delimiter


def item_frame(cells: Sequence[CellFiles]) -> pd.DataFrame:
    """All items of all cells, a row each, in their order.

    Columns: `cell` (the cell's place among `cells`), `task, program, version` (categories), `cluster` (text);
    `delivered, intact, correct, says_buggy, is_buggy, copy_plausible` (bool); `num_lines, num_gold, length_rule,
    parses, residual` (wrong or lost bytes) and the counts of the link (float, NaN where a row does not tell); `credit`,
    `correct_shared` and the fates of a pair's fragments where any row tells them.
    """
    import pandas as pd

    columns = columns_of([row for cell in cells for row in cell.items], FRAME_FIELDS, None)
    sizes = [len(cell.items) for cell in cells]
    task, version, decision, group = (columns[name] for name in ("task", "version", "decision", "group"))
    program, longer = columns["program"], columns["longer"]
    frame = pd.DataFrame(
        {
            "cell": np.repeat(np.arange(len(cells)), sizes),
            "task": pd.Categorical(task, categories=list(TASKS)),
            "program": pd.Categorical(program),
            "version": pd.Categorical(version, categories=list(VERSIONS)),
            "cluster": [str(p if g is None else g) for p, g in zip(program, group, strict=True)],
            "delivered": np.array(columns["delivered"], dtype=bool),
            "intact": np.array(columns["intact"], dtype=bool),
            "correct": np.array(columns["correct"], dtype=bool),
            "copy_plausible": np.array(columns["copy_plausible"], dtype=bool),
            "says_buggy": np.array([given == "buggy" for given in decision], dtype=bool),
            "is_tie": np.array([given == "tie" for given in decision], dtype=bool),
            "is_buggy": np.array([given == "buggy" for given in version], dtype=bool),
            "longer": np.array([np.nan if given is None else float(given) for given in longer]),
            **{name: np.array(columns[name], dtype=np.float64) for name in NUMERIC},
        }
    )
    for name in YOUNGER_NUMBERS:  # than published studies
        values = np.array(columns[name], dtype=np.float64)
        if not np.isnan(values).all():
            frame[name] = np.where(np.isnan(values), frame["correct"], values) if name == "credit" else values
    frame["length_rule"] = np.where(np.isnan(frame["longer"]), 0.5, frame["longer"] != frame["is_buggy"])
    frame["residual"] = residual_errors(frame)
    return frame


def items_text(cells: Iterable[CellFiles]) -> str:
    """``items.jsonl``: the item rows of all cells, each with its cell's name."""
    return "".join(cell.text or "".join(canonical_json(row) + "\n" for row in cell.items) for cell in cells)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _cell_files(folder: Path) -> CellFiles:
    result = _mapping(folder / RESULT_FILE)
    if not isinstance(result.get("sealed", {}), dict):
        raise StoreError(f"{folder / RESULT_FILE}: 'sealed' must be a JSON object; {DELETE}")
    is_finished(folder)  # refuses what was changed since
    config = _mapping(folder / CONFIG_FILE)
    path = folder / ITEMS_FILE
    text = _unpacked(path) if path.exists() else ""
    items = _item_rows(path, text, DELETE, cell=folder.name)
    names = {name for name in (result.get("cell"), *{row["cell"] for row in items}) if name is not None}
    if names - {folder.name}:
        other = sorted(map(str, names - {folder.name}))[0]
        raise StoreError(
            f"{folder} holds the cell {other!r}: a folder is named as its cell; rename it back, or delete the copy"
        )
    rows = result.get("rows", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "task" in row for row in rows):
        raise StoreError(f"{folder / RESULT_FILE}: 'rows' must be a list of results, one for each task; {DELETE}")
    for row in rows:
        _check_result(folder / RESULT_FILE, row)
    if "method" not in config or "corpus" not in config:
        raise StoreError(f"{folder / CONFIG_FILE} must name the cell's 'method' and 'corpus'; {DELETE}")
    for file, row in ((CONFIG_FILE, config), *((RESULT_FILE, row) for row in rows)):
        _check_columns(folder / file, row)
    provenance = folder / PROVENANCE_FILE
    return CellFiles(
        name=folder.name,
        config=config,
        provenance=_mapping(provenance) if provenance.exists() else {},
        items=items,
        rows=rows,
        examples=[example for name in EXAMPLE_FILES for example in _examples(folder / name)],
        text="" if '"cell":' not in text.partition("\n")[0] else text,
    )


def _examples(path: Path) -> list[Row]:
    if not path.exists():
        return []
    value = _json(path)
    found = value if isinstance(value, list) else [value]
    for example in found:
        texts = [example.get("sent"), example.get("received")] if isinstance(example, dict) else [None]
        spans = example.get("holes") or [] if isinstance(example, dict) else []
        spans = spans if isinstance(spans, list) else [None]
        if not all(isinstance(text, str) for text in texts) or not all(map(_is_span, spans)):
            raise StoreError(f"{path} must hold the texts 'sent' and 'received' and the spans 'holes'; {DELETE}")
    return found


def _is_span(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(end, int) for end in value)


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except RecursionError as error:
        raise StoreError(f"{path} is nested too deeply to be a file of results; {DELETE}") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _mapping(path: Path) -> Row:
    value = _json(path)
    if not isinstance(value, dict):
        raise StoreError(f"{path} must hold a JSON object (it holds {type(value).__name__}); {DELETE}")
    return value


def _unpacked(path: Path) -> str:
    """Text of a file, up to its last whole line."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        return raw[: raw.rfind(b"\n") + 1].decode("utf-8")
    except (OSError, EOFError, ValueError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise StoreError(f"{path} cannot be read ({error}): the file is torn, or is something else") from error


def _item_rows(path: Path, text: str, advice: str, *, cell: str | None = None) -> list[ItemRow]:
    """Rows of ``items.jsonl``, their types and ranges checked; `cell` stands in where a row does not name its own."""
    try:
        rows: list[Any] = from_json(f"[{text.removesuffix(chr(10)).replace(chr(10), ',')}]", cache_strings="all")
    except (ValueError, RecursionError):
        rows = [_line(path, number, line, advice) for number, line in enumerate(text.split("\n")[:-1], start=1)]
    if len(rows) != text.count("\n"):
        raise StoreError(f"{path} must hold one JSON object a line; {advice}")
    if not set(map(type, rows)) <= {dict}:
        number = next(number for number, row in enumerate(rows, start=1) if not isinstance(row, dict))
        raise StoreError(f"{path}, line {number}, must be a JSON object; {advice}")
    for row in rows if cell is not None else ():
        row.setdefault("cell", cell)
    _check_items(path, rows, advice)
    return rows


def _line(path: Path, number: int, line: str, advice: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise StoreError(
            f"{path}, line {number}, is not JSON: the file was damaged or edited by hand; {advice}"
        ) from error


@lru_cache(maxsize=1)
def _item_types() -> dict[str, tuple[tuple[type, ...], bool]]:
    """Types of each field of `ItemRow`, and whether it must be there."""
    hints = get_type_hints(ItemRow, include_extras=True)
    found = {}
    for name, hint in hints.items():
        optional = get_origin(hint) is NotRequired
        hint = get_args(hint)[0] if optional else hint
        parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        if object in parts:
            continue
        allowed = tuple(get_origin(part) or part for part in parts)
        found[name] = (allowed + ((int,) if float in allowed else ()), not optional)
    return found


def _check_items(path: Path, rows: Sequence[Mapping[str, object]], advice: str) -> None:
    """Refuse rows whose fields are of another type than `ItemRow` has, or out of range."""

    def refuse(name: str, bound: str, wrong: npt.ArrayLike) -> None:
        for index in np.flatnonzero(wrong)[:1]:
            value = rows[index].get(name)
            raise StoreError(f"{path}, line {index + 1}: {name!r} must be {bound} (got {value!r}); {advice}")

    columns = columns_of(rows, tuple(_item_types()), ABSENT)
    for name, (allowed, needed) in _item_types().items():
        values = columns[name]
        fine = allowed if needed and name not in YOUNGER else (*allowed, object)
        if not set(map(type, values)) <= set(fine):
            words = " or ".join("null" if kind is type(None) else kind.__name__ for kind in allowed)
            refuse(name, f"of type {words}", [type(value) not in fine for value in values])
    for name, known in (("task", TASKS), ("version", VERSIONS)):
        if not set(columns[name]) <= set(known):
            refuse(name, f"one of {', '.join(known)}", [value not in known for value in columns[name]])
    numbers = {
        name: np.array([0 if x is None or x is ABSENT else x for x in columns[name]], dtype=np.float64)
        for name in (*COUNTED, "num_gold", "num_lines")
    }
    for name in COUNTED:
        refuse(name, "finite and not negative", ~((numbers[name] >= 0) & np.isfinite(numbers[name])))
    sent, lost = numbers["fragments_sent"], numbers["fragments_lost"] * (numbers["bytes_sent"] > 0)
    if np.any(lost > sent):
        refuse("fragments_lost", f"at most 'fragments_sent' = {sent[lost > sent][0]:g}", lost > sent)
    gold = numbers["num_gold"]
    wrong = (np.array(columns["task"]) == "localise") & ~((gold > 0) & (gold <= numbers["num_lines"]))
    refuse("num_gold", "between 1 and 'num_lines'", wrong)


def columns_of(rows: Sequence[Mapping[str, Any]], names: Sequence[str], default: object) -> dict[str, list[Any]]:
    """Fields of every row, by name; `default` where a row does not have one."""
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for fields, alike in itertools.groupby(rows, key=tuple):  # neighbours mostly have the same fields in the same order
        block = list(alike)
        known = dict(zip(fields, zip(*(row.values() for row in block), strict=True), strict=True))
        for name in names:
            columns[name] += known.get(name) or [default] * len(block)
    return columns


YOUNGER = frozenset(("bytes_lost", "parses", "axis", "group"))
"""Fields that a study of an older version may lack altogether."""
ABSENT = object()
"""Stands for a field that a row does not have."""


def _check_result(path: Path, row: Row) -> None:
    """Refuse a line of results with a count or a score that cannot be one."""
    for name in ("n", "delivered", "intact"):
        value = row.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise StoreError(f"{path}: {name!r} must be a count (got {value!r}); {DELETE}")
    for name in ("f1", "f1_low", "f1_high", "baseline", "train_delivered"):
        value = row.get(name)
        wrong = value is not None and (not isinstance(value, int | float) or not 0 <= value <= 1)
        if wrong and value == value:  # NaN: no score, as None
            raise StoreError(f"{path}: {name!r} must lie between 0 and 1 (got {value!r}); {DELETE}")


def _check_columns(path: Path, row: Row) -> None:
    """Refuse what is no text or no number in the columns that name a cell: points are grouped and sorted by them."""
    for name in ("task", *CELL_COLUMNS):
        value = row.get(name)
        if value is None:
            continue
        if name in TEXT_COLUMNS:
            if not isinstance(value, str):
                raise StoreError(f"{path}: {name!r} must be a text (got {value!r}); {DELETE}")
        elif isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise StoreError(f"{path}: {name!r} must be a number (got {value!r}); {DELETE}")


def _must_fit(directory: Path, name: str, items: Sequence[ItemRow], rows: Sequence[Row]) -> None:
    counted = {row["task"]: row["n"] for row in rows}
    seen = Counter(map(itemgetter("task"), items))
    found = {task: seen[task] for task in counted}
    if found != counted:
        raise StoreError(f"{directory}: the items of {name} are {found} by task, results.csv says {counted}")


def _cell_value(name: str, text: str, delimiter: str) -> Any:
    if text == "":
        return None
    if name in TEXT_COLUMNS:
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text.replace(",", ".") if delimiter != "," else text)
    except ValueError:
        raise ValueError(f"{name!r} must be a number (got {text!r})") from None
    return int(value) if name in WHOLE_COLUMNS and value == int(value) else value
