"""The report of a study: ``report.html``, ``results.csv`` and ``items.jsonl``, from the files of its cells alone.

    DIR/<cell>/… -> points (pooled over seeds) -> findings (sentences) + figures (SVG) -> page (HTML)

Writing a report computes intervals of what was decided before; it runs no model and crosses no link.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llm_bridge.study.findings import axis_name, corpus_name, method_name, verdict
from llm_bridge.study.page import render_page
from llm_bridge.study.points import RESULT_COLUMNS, items_jsonl, load_study, results_csv
from llm_bridge.study.store import write_atomically

__all__ = ["RESULT_COLUMNS", "render_table", "write_report"]


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
    """Rows of ``results.csv`` as text for a terminal: a table for each corpus, task and axis, SF downwards.

    Parameters
    ----------
    rows
        Mappings with the columns of ``results.csv``; an `axis` beside them is shown.
    color
        Write ANSI colours. The verdict has a mark and a word in any case.

    Examples
    --------
    >>> row = {"task": "paired", "corpus": "minibugs", "method": "zero-shot", "sf": 12, "corrupted_split": "eval",
    ...        "n": 42, "delivered": 42, "intact": 40, "f1": 0.9, "f1_low": 0.8, "f1_high": 0.97, "baseline": 0.5}
    >>> print(render_table([row], width=96))  # doctest: +ELLIPSIS
    MiniBugs, paired: which of two versions is buggy? ...
    ...SF12...zero-shot...42...42...40...0.90...0.80...0.97...0.50...▲ above baseline...
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
    for (corpus, task, axis), members in groups.items():
        linked = [row for row in members if row.get("sf") not in (None, "")]
        others = any(key[:2] == (corpus, task) and key[2] != axis for key in groups)
        if not linked and others:
            continue  # the values without the link are shown in the tables of each axis
        console.print(_rich_table(corpus, task, axis, [*linked, *clean_of[corpus, task]]))
    return buffer.getvalue().rstrip("\n")


def _rich_table(corpus: str, task: str, axis: str, rows: list[Mapping[str, Any]]) -> Any:
    """One table; the SNR, policy and seeds have a column only where they differ."""
    from rich import box
    from rich.table import Table

    from llm_bridge.study.findings import TASK_QUESTIONS

    title = f"{corpus_name(corpus)}, {task}: {TASK_QUESTIONS.get(task, '')}"
    table = Table(
        title=f"{title} {axis_name(axis)}" if axis else title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
    )
    linked = [row for row in rows if row.get("sf") not in (None, "")]
    varying = [
        name
        for name in (
            "snr_db",
            "fading",
            "cr",
            "policy",
            "source_coding",
            "corrupted_split",
            "train_seed",
            "channel_seed",
        )
        if len({row.get(name) for row in linked} - {None, ""}) > 1
    ]
    table.add_column("link")
    for name in varying:
        table.add_column(name.replace("_", " "), justify="right")
    table.add_column("method")
    for name in ("n", "arrived", "whole", "F1", "95 %", "baseline"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    styles = {"above": "green", "below": "red", "nothing": "red", "at": "yellow", "none": ""}
    previous = None
    for row in sorted(rows, key=lambda row: (row.get("sf") in (None, ""), int(row.get("sf") or 0))):
        if previous is not None and row.get("sf") != previous:
            table.add_section()
        previous = row.get("sf")
        found = verdict(row)
        table.add_row(
            "no link" if row.get("sf") in (None, "") else f"SF{row['sf']}",
            *(str(row.get(name) if row.get(name) is not None else "") for name in varying),
            method_name(str(row["method"])),
            str(row["n"]),
            str(row["delivered"]),
            str(row["intact"]),
            _number(row.get("f1")),
            "" if row.get("f1") is None else f"{_number(row['f1_low'])}–{_number(row['f1_high'])}",
            _number(row.get("baseline")),
            f"[{styles[found.key]}]{found.mark} {found.word}[/]" if styles[found.key] else f"{found.mark} {found.word}",
        )
    return table


def _number(value: Any) -> str:
    return "" if value is None or value == "" else f"{float(value):.2f}"
