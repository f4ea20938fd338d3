"""The report of a study: ``report.html``, ``results.csv`` and ``items.jsonl``, from the files of its cells alone.

    DIR/<cell>/… -> points (pooled over seeds) -> findings (sentences) + figures (SVG) -> page (HTML)

Writing a report computes intervals of what was decided before; it runs no model and crosses no link.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llm_bridge.files import write_atomically
from llm_bridge.results_format import RESULT_COLUMNS
from llm_bridge.study.curves import verdict
from llm_bridge.study.page import render_page
from llm_bridge.study.points import Point, items_jsonl, load_study, results_csv
from llm_bridge.study.words import METHOD_ORDER, TASK_QUESTIONS, axis_name, corpus_name, method_name

__all__ = ["RESULT_COLUMNS", "render_table", "table_rows", "write_report"]

TASK_ORDER = ("paired", "localise", "detect", "repair")
LINK_SETTINGS = (
    "snr_db",
    "fading",
    "cr",
    "policy",
    "source_coding",
    "corrupted_split",
    "train_seed",
    "channel_seed",
)


def write_report(directory: Path | str) -> Path:
    """Write the report of all finished cells under `directory`; return the path of ``report.html``.

    Raises
    ------
    FileNotFoundError
        No finished cell there.
    llm_bridge.study.store.StoreError
        A file that was changed after its result was written, a full disk, no permission.
    """
    study = load_study(Path(directory))
    write_atomically(study.directory / "results.csv", results_csv(study.cells))
    write_atomically(study.directory / "items.jsonl", items_jsonl(study.cells))
    page = study.directory / "report.html"
    write_atomically(page, render_page(study))
    return page


def render_table(rows: Iterable[Mapping[str, Any]], *, width: int = 100, color: bool = False) -> str:
    """Rows of ``results.csv`` as text for a terminal: a table for each corpus, task and axis, SF down, methods across.

    Each score is F1, its 95 % interval and a mark: ▲ above the baseline, ○ at it, ▼ below it, ✕ nothing arrived.

    Parameters
    ----------
    rows
        Mappings with the columns of ``results.csv``; an `axis` beside them is shown.
    color
        Write ANSI colours. The mark is there in any case.

    Examples
    --------
    >>> row = {"task": "paired", "corpus": "minibugs", "method": "zero-shot", "sf": 12, "corrupted_split": "eval",
    ...        "n": 42, "delivered": 42, "intact": 40, "f1": 0.9, "f1_low": 0.8, "f1_high": 0.97, "baseline": 0.5}
    >>> print(render_table([row], width=96))  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    MiniBugs, paired: which of two versions is buggy?
    <BLANKLINE>
    link  n arrived whole      zero-shot baseline
    ────...
    SF12 42      42    40 0.90 .80–.97 ▲     0.50
    """
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, force_terminal=color, color_system="standard" if color else None)
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["corpus"], row["task"], row.get("axis") or ""), []).append(row)
    clean_of: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for (corpus, task, _), members in groups.items():
        clean_of.setdefault((corpus, task), []).extend(r for r in members if r.get("sf") in (None, ""))
    for (corpus, task, axis), members in sorted(groups.items(), key=lambda group: _table_order(group[0])):
        linked = [row for row in members if row.get("sf") not in (None, "")]
        others = any(key[:2] == (corpus, task) and key[2] != axis for key in groups)
        if not linked and others:
            continue  # the values without the link are shown in the tables of each axis
        console.print(_rich_table(corpus, task, axis, [*linked, *clean_of[corpus, task]]))
    return buffer.getvalue().rstrip("\n")


def table_rows(points: Iterable[Point]) -> list[dict[str, Any]]:
    """Rows for `render_table`, one for each point: scores over all its seeds, counts of texts as means of its runs."""
    rows = []
    for p in points:
        runs = max(1, len(p.runs))
        counts = {name: round(int(p.scores[name]) / runs) for name in ("n", "delivered", "intact")}
        settings = {name: getattr(p, name, None) for name in LINK_SETTINGS}
        named = {"corpus": p.corpus, "task": p.task, "method": p.method, "axis": p.axis, "sf": p.sf}
        rows.append({**settings, **p.scores, **counts, **named, "corrupted_split": p.corrupted_split})
    return rows


def _rich_table(corpus: str, task: str, axis: str, rows: list[Mapping[str, Any]]) -> Any:
    """One table: a line for each link, a column for each method; settings have a column only where they differ."""
    from rich import box
    from rich.table import Table

    title = f"{corpus_name(corpus)}, {task}: {TASK_QUESTIONS.get(task, '')}"
    table = Table(
        title=f"{title} {axis_name(axis)}" if axis else title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    linked = [row for row in rows if row.get("sf") not in (None, "")]
    varying = [name for name in LINK_SETTINGS if len({row.get(name) for row in linked} - {None, ""}) > 1]
    methods = sorted(
        {str(row["method"]) for row in rows},
        key=lambda name: (METHOD_ORDER.index(name) if name in METHOD_ORDER else len(METHOD_ORDER), name),
    )
    table.add_column("link", no_wrap=True)
    for name in (*(name.replace("_", " ") for name in varying), "n", "arrived", "whole"):
        table.add_column(name, justify="right", no_wrap=True)
    for method in methods:
        table.add_column(method_name(method), justify="right", no_wrap=True)
    table.add_column("baseline", justify="right", no_wrap=True)
    lines: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for row in sorted(rows, key=_line_order):
        key = (row.get("sf"), *(row.get(name) for name in varying), row["n"], row["delivered"], row["intact"])
        lines.setdefault(key, {})[str(row["method"])] = row
    for (sf, *settings), by_method in lines.items():
        table.add_row(
            "no link" if sf in (None, "") else f"SF{sf}",
            *("" if value is None else str(value) for value in settings),
            *(_score(by_method.get(method)) for method in methods),
            _number(next(iter(by_method.values())).get("baseline")),
        )
    return table


def _table_order(group: tuple[Any, ...]) -> tuple[Any, ...]:
    """Corpus, then what is asked, then what is held equal; the order of a report's figures."""
    corpus, task, axis = group
    return corpus, TASK_ORDER.index(task) if task in TASK_ORDER else len(TASK_ORDER), axis != "fixed_snr", axis


def _line_order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """By spreading factor, without a link last; then by SNR and the other settings."""
    snr = row.get("snr_db")
    settings = tuple(str(row.get(name)) for name in LINK_SETTINGS)
    return row.get("sf") in (None, ""), int(row.get("sf") or 0), float(snr) if snr not in (None, "") else 0.0, settings


def _score(row: Mapping[str, Any] | None) -> str:
    """F1, its interval, and the mark of how it stands to the baseline."""
    if row is None or row.get("f1") in (None, ""):
        return ""
    found = verdict(row)
    style = {"above": "green", "below": "red", "nothing": "red", "at": "yellow"}.get(found.key)
    mark = f"[{style}]{found.mark}[/]" if style else found.mark
    return f"{_number(row['f1'])} {_bound(row['f1_low'])}–{_bound(row['f1_high'])} {mark}"


def _bound(value: Any) -> str:
    """An end of an interval, without the zero before the point."""
    return _number(value).removeprefix("0")


def _number(value: Any) -> str:
    return "" if value is None or value == "" else f"{float(value):.2f}"
