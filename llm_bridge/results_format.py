"""The format of a results folder: its files, their columns and their rows. A study writes it, a report reads it.

    DIR/<cell>/config.json        all that shapes the cell's numbers
    DIR/<cell>/provenance.json    versions, machine, corpora, model: where the numbers come from
    DIR/<cell>/items.jsonl        `ItemRow`, a line for each item and task
    DIR/<cell>/example.json       a program before and after the link, where one arrived in part
    DIR/<cell>/result.json        `ResultRow` for each task; written last, with the digests of the files above
    DIR/recipe.json               the resolved recipe
    DIR/failures.json             `Failure` for each model that could not be trained or scored; gone when none is left
    DIR/models/<name>/            trained models, where the run was asked to keep them
    DIR/cache/…                   links, models and scores that cells share
    DIR/results.csv  items.jsonl  report.html  channel.csv      derived from the cells, and written anew by each report
    DIR/scores.csv                derived too: scores over all seeds, with intervals over programs, and over seeds too

A study is published as `results.csv`, `items.jsonl.gz`, `recipe.json` and `provenance.json` alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NotRequired, TypedDict

from llm_bridge.axes import LEVEL_COLUMNS
from llm_bridge.files import StoreError, digest, file_digest, read_json, write_json

CONFIG_FILE, PROVENANCE_FILE, ITEMS_FILE, RESULT_FILE = "config.json", "provenance.json", "items.jsonl", "result.json"
EXAMPLE_FILE = "example.json"
EXAMPLE_FILES = (EXAMPLE_FILE, "examples.json")
"""Names of the examples' file; the second one is that of published results."""
FAILURES_FILE, MODELS_FOLDER = "failures.json", "models"
RECIPE_FILE, RESULTS_TABLE, CHANNEL_TABLE, REPORT_FILE = "recipe.json", "results.csv", "channel.csv", "report.html"
SCORES_TABLE = "scores.csv"

CONTRACT_COLUMNS = (
    "sf", "snr_db", "fading", "cr", "policy", "source_coding", "corrupted_split", "method", "train_seed",
    "channel_seed", "task", "corpus", "n", "delivered", "intact", "train_delivered", "f1", "f1_low", "f1_high",
    "f1_delivered", "baseline", "macro_f1", "mcc",
)  # fmt: skip
"""The first columns of ``results.csv``, fixed by the public contract."""

RESULT_COLUMNS = (
    *CONTRACT_COLUMNS,
    "axis", *LEVEL_COLUMNS, "parses", "airtime_s", "duty_cycle", "send_time_s", "within_dwell_time",
    "plausible_at_1", "plausible_low", "plausible_high",
    "f1_all_or_nothing", "damaged", "f1_damaged", "f1_damaged_low", "f1_damaged_high", "fates_unequal", "f1_shared",
    "context", "truncated",
)  # fmt: skip
"""The columns of ``results.csv``, in order: `CONTRACT_COLUMNS`, then

`axis` with its level (`LEVEL_COLUMNS`); `parses`: items whose received text is Python (of a pair: both); `airtime_s` of
the whole corpus over this link, the `duty_cycle`, the time that sending takes at it, and whether each frame keeps to
the region's dwell time; *repair*: `plausible_at_1` with its interval; *localise*: `f1_all_or_nothing`, F1 where a line
that stands for several earns all of the credit; *paired*: `damaged` pairs of which both versions arrived and at least
one is damaged, `f1_damaged` the accuracy on them, and `fates_unequal`, the share of fragments that both versions have
and one alone lost; `f1_shared` is the accuracy over what arrived in both; `context`: what the model knew of each
program beside what arrived (`llm_bridge.corpora.contexts`), empty where that is nothing; `truncated`: how many
decisions were made on a text that is longer than the model's limit of tokens, of which it was shown the beginning.
"""

LINK_COLUMNS = (
    "corpus", "axis", *LEVEL_COLUMNS, "sf", "snr_db", "fading", "cr", "policy", "source_coding", "channel_seed",
)  # fmt: skip
COUNT_COLUMNS = (
    "n", "delivered", "intact", "parses", "fragments_sent", "fragments_lost", "pair_fragments",
    "pair_fragments_unequal", "bytes_sent", "byte_errors", "bytes_lost",
)  # fmt: skip
CHANNEL_COLUMNS = (
    *LINK_COLUMNS, *COUNT_COLUMNS, "byte_error_rate", "residual_error_rate", "airtime_s", "duty_cycle", "send_time_s",
    "within_dwell_time",
)  # fmt: skip
"""Columns of ``channel.csv``: the link; texts sent, those of which any byte arrived, that arrived whole, and that are
Python; frames, fragments that both versions of a program have, and those of them that one version alone lost; bytes;
wrong bytes, and wrong or lost ones, over bytes sent; time on air and time that sending takes.
"""


class ItemRow(TypedDict):
    """A line of ``items.jsonl``: one item (in *paired*: one pair of texts) in one task.

    `cell, corpus, method, train_seed, corrupted_split` and the columns of the link (`snr_db` null: no noise) say where
    the item belongs, so that rows are paired with those of other cells without another file; `program, version, group`
    which one it is; `delivered` (any byte arrived) to `airtime_s` what the link did to it; `score, decision, gold,
    correct` what the model answered. Fields of `NotRequired` belong to some tasks, or are younger than published rows.
    """

    cell: str
    program: str
    version: str
    task: str
    group: str
    delivered: bool
    intact: bool
    bytes_sent: int
    byte_errors: int
    bytes_lost: int
    fragments_sent: int
    fragments_lost: int
    airtime_s: float
    score: float | None
    decision: object
    gold: object
    correct: bool
    axis: str | None
    parses: bool
    method: NotRequired[str]
    train_seed: NotRequired[int | None]
    channel_seed: NotRequired[int | None]
    sf: NotRequired[int | None]
    corpus: NotRequired[str]
    corrupted_split: NotRequired[str]
    context: NotRequired[str]
    snr_db: NotRequired[float | None]
    fading: NotRequired[str]
    cr: NotRequired[int]
    policy: NotRequired[str]
    source_coding: NotRequired[str]
    distance_km: NotRequired[float]
    ebn0_db: NotRequired[float]
    frame_loss: NotRequired[float]
    credit: NotRequired[float]
    num_merged: NotRequired[int]
    pair_fragments: NotRequired[int]
    pair_fragments_unequal: NotRequired[int]
    correct_shared: NotRequired[bool | None]
    truncated: NotRequired[bool]
    probability: NotRequired[float | None]
    num_lines: NotRequired[int]
    num_gold: NotRequired[int]
    rank: NotRequired[int | None]
    chance: NotRequired[float]
    longer: NotRequired[bool | None]
    num_candidates: NotRequired[int]
    num_plausible: NotRequired[int]
    copy_plausible: NotRequired[bool]
    edit_token_f1: NotRequired[float]


class Failure(TypedDict):
    """A model of a study that could not be trained or scored: `reason` in one line, and the names of all its cells."""

    method: str
    train_seed: int | None
    training_link: str | None
    reason: str
    cells: list[str]


def record_failure(directory: Path, cells: Collection[str], failure: Failure | None) -> None:
    """Replace what ``failures.json`` says of some cells; None: they have their results.

    Raises
    ------
    StoreError
        The file cannot be written, or is no record of failures.
    """
    path = directory / FAILURES_FILE
    rows = [row for row in _failures(path) if set(row["cells"]).isdisjoint(cells)]
    if failure is not None:
        rows.append(failure)
    if rows:
        write_json(path, rows)
    else:
        path.unlink(missing_ok=True)


def failure_sentences(directory: Path) -> list[str]:
    """A line for each failure on record of which a cell is still without a result.

    Raises
    ------
    StoreError
        ``failures.json`` is no record of failures.
    """
    lines = []
    for row in _failures(directory / FAILURES_FILE):
        missing = [name for name in row["cells"] if not (directory / name / RESULT_FILE).exists()]
        seed = "" if row["train_seed"] is None else f", seed {row['train_seed']}"
        link = "" if row["training_link"] is None else f", trained over {row['training_link']}"
        extent = (
            "no cells" if len(missing) == len(row["cells"]) else f"{len(missing)} of {len(row['cells'])} cells missing"
        )
        if missing:
            lines.append(f"{row['method']}{seed}{link}: {row['reason']}; {extent}")
    return lines


def _failures(path: Path) -> list[Failure]:
    found = read_json(path) if path.exists() else []
    texts, words = ("method", "reason"), (str, type(None))
    for row in found if isinstance(found, list) else [None]:
        if not (
            isinstance(row, dict)
            and all(isinstance(row.get(name), str) for name in texts)
            and {"train_seed", "training_link"} <= row.keys()
            and isinstance(row["train_seed"], int | None)
            and isinstance(row["training_link"], words)
            and isinstance(row.get("cells"), list)
            and all(isinstance(name, str) and Path(name).name == name for name in row["cells"])
        ):
            raise StoreError(f"{path} is no record of failures: delete it and run again")
    return list(found)


def finalise(cell_dir: Path, result: Mapping[str, object]) -> None:
    """Write `result.json` last, with the digests of the files it summarises, and of its own content."""
    sealed = {path.name: file_digest(path) for path in sorted(cell_dir.iterdir()) if path.suffix in (".json", ".jsonl")}
    sealed[RESULT_FILE] = _content_digest(result)
    write_json(cell_dir / RESULT_FILE, {**result, "sealed": sealed})


def is_finished(cell_dir: Path) -> bool:
    """Whether a cell has a result and its files are as they were when it was written.

    Raises
    ------
    StoreError
        A file was changed, or is missing, since the result was written.
    """
    path = cell_dir / RESULT_FILE
    if not path.exists():
        return False
    result = read_json(path)
    if not isinstance(result, dict) or not isinstance(result.get("sealed", {}), dict):
        raise StoreError(f"{path} is no cell's result: delete {cell_dir} and run again")
    sealed = result.get("sealed", {})
    if any(Path(name).name != name for name in sealed):
        raise StoreError(f"{path} is no cell's result: delete {cell_dir} and run again")
    for name, expected in sealed.items():
        file = cell_dir / name
        found = _content_digest(result) if name == RESULT_FILE else file_digest(file) if file.exists() else None
        if found != expected:
            raise StoreError(f"{file} was changed after its result was written: delete {cell_dir} and run again")
    if result.get("cell", cell_dir.name) != cell_dir.name:
        raise StoreError(f"{cell_dir} is a copy of {result['cell']}: a cell is counted once, so delete the copy")
    return True


def cell_dirs(directory: Path) -> list[Path]:
    """Folders of finished cells, in the order of their names."""
    return [path.parent for path in sorted(directory.glob("*/result.json")) if (path.parent / "config.json").exists()]


def _content_digest(result: Mapping[str, object]) -> str:
    """Digest of a result without its seal, as it reads back from JSON."""
    content = json.loads(json.dumps({name: value for name, value in result.items() if name != "sealed"}))
    try:
        return digest(content, length=64)
    except UnicodeEncodeError:  # half of a surrogate pair, which is in no result that was written
        return ""
