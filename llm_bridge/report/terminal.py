"""Results as tables for a terminal: one for each corpus, task and axis, SF down, methods across."""

from __future__ import annotations

import io
from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

from llm_bridge.annotations import Row
from llm_bridge.link import FIELDS, link_columns
from llm_bridge.report.curves import verdict
from llm_bridge.report.language import TASK_QUESTIONS, axis_name, corpus_name, format_number, method_name
from llm_bridge.report.results import AXIS_ORDER, CORPUS_ORDER, METHOD_ORDER, TASK_ORDER, Point, level, rank

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

SETTINGS = (*(name for name in FIELDS if name not in ("axis", "sf")), "corrupted_split", "train_seed")
STYLES = {"above": "green", "below": "red", "nothing": "red", "at": "yellow"}


def render_table(rows: Iterable[Row], *, width: int = 100, color: bool = False) -> str:
    """Rows of ``results.csv`` as text: a table for each corpus, task and axis.

    Each score is F1, its 95 % interval and a mark: ▲ above the baseline (the larger of chance and the best rule), ○ at
    it, ▼ below it, ✕ nothing arrived. In *paired*, "damaged" is the accuracy on pairs that arrived damaged, "unequal"
    the share of fragments that one version of a pair has lost and the other has not.
    Methods that do not fit beside each other go to a table of their own; no column is ever cut.

    Parameters
    ----------
    rows
        Mappings with the columns of ``results.csv``.
    width
        Characters of a line; the default is 100. A table with one method may need more.
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
    console = Console(
        file=buffer, width=10_000, force_terminal=color, color_system="standard" if color else None, highlight=False
    )
    groups: dict[tuple[str, str, str], list[Row]] = {}
    clean: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        corpus, task = str(row["corpus"]), str(row["task"])
        groups.setdefault((corpus, task, str(row.get("axis") or "")), []).append(row)
        if not _crossed(row):
            clean.setdefault((corpus, task), []).append(row)
    for (corpus, task, axis), members in sorted(groups.items(), key=lambda group: _table_order(*group[0])):
        linked = [row for row in members if _crossed(row)]
        if not linked and any(key[:2] == (corpus, task) and key[2] != axis for key in groups):
            continue  # the values without the link are shown in the tables of each axis
        _print_tables(console, corpus, task, axis, [*linked, *clean.get((corpus, task), [])], width)
    return "\n".join(line.rstrip() for line in buffer.getvalue().split("\n")).rstrip("\n")


def table_rows(points: Iterable[Point]) -> list[Row]:
    """Rows for `render_table`, one for each point: scores over all its seeds, counts of texts as means of its runs."""
    rows = []
    for p in points:
        runs = max(1, len(p.runs))
        counts = {name: round(int(p.scores[name]) / runs) for name in ("n", "delivered", "intact")}
        named = {"corpus": p.corpus, "task": p.task, "method": p.method, "corrupted_split": p.corrupted_split}
        rows.append({**link_columns(p.link), **p.scores, **counts, **named})
    return rows


# --- helpers ----------------------------------------------------------------------------------------------------------


def _print_tables(console: Console, corpus: str, task: str, axis: str, rows: Sequence[Row], width: int) -> None:
    """As many tables as it takes to show all methods within the width; what every line has stands in the title."""
    methods = sorted({str(row["method"]) for row in rows}, key=lambda name: (rank(METHOD_ORDER, name), name))
    title = f"{corpus_name(corpus)}, {task}: {TASK_QUESTIONS.get(task, '')}"
    told = {"n": {str(row["n"]) for row in rows}, "baseline": {_number(level(row)) for row in rows}}
    same = {name: values.pop() for name, values in told.items() if len(rows) > 1 and len(values) == 1}
    parts: list[list[str]] = [[]]
    for method in methods:
        wider = _table(rows, [*parts[-1], method], same)
        if parts[-1] and console.measure(wider).maximum > width:
            parts.append([])
        parts[-1].append(method)
    for shown in parts:
        console.print(_plain(title, "bold"), no_wrap=True, crop=False)
        common = ", ".join([*([axis_name(axis)] if axis else []), *(f"{name} {text}" for name, text in same.items())])
        if common:
            console.print(_plain(common), no_wrap=True, crop=False)
        table = _table(rows, shown, same)
        if console.measure(table).maximum > width:
            table = _table(rows, shown, same, gap=0)
        console.print(table, "", no_wrap=True, crop=False, sep="\n")


def _table(rows: Sequence[Row], methods: Sequence[str], same: Container[str], *, gap: int = 1) -> Table:
    """One table: a line for each link, a column for each method; settings have a column only where they differ."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), show_edge=False)
    linked = [row for row in rows if _crossed(row)]
    varying = [name for name in SETTINGS if len({row.get(name) for row in linked} - {None, ""}) > 1]
    counts = [name for name in ("n", "delivered", "intact") if name not in same]
    table.add_column("link", no_wrap=True)
    for name in varying:
        table.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
    for name in counts:
        table.add_column({"delivered": "arrived", "intact": "whole"}.get(name, name), justify="right", no_wrap=True)
    for method in methods:
        table.add_column(_plain(method_name(method)), justify="right", no_wrap=True)
    unequal = any(row.get("fates_unequal") not in (None, "") for row in rows)
    for name in (*(["baseline"] if "baseline" not in same else []), *(["unequal"] if unequal else [])):
        table.add_column(name, justify="right", no_wrap=True)
    lines: dict[tuple[object, ...], dict[str, Row]] = {}
    for row in sorted(rows, key=_line_order):
        if str(row["method"]) in methods:
            key = (row.get("sf"), *(row.get(name) for name in (*varying, "n", "delivered", "intact")))
            lines.setdefault(key, {})[str(row["method"])] = row
    for (sf, *settings), by_method in lines.items():
        any_row = next(iter(by_method.values()))
        shown = (*settings[: len(varying)], *(any_row[name] for name in counts))
        table.add_row(
            "no link" if sf in (None, "") else f"SF{sf}",
            *(_plain("" if value is None else str(value)) for value in shown),
            *(_score(by_method.get(method)) for method in methods),
            *([_number(level(any_row))] if "baseline" not in same else []),
            *([_share(any_row.get("fates_unequal"))] if unequal else []),
        )
    return table


def _crossed(row: Row) -> bool:
    return row.get("sf") not in (None, "")


def _table_order(corpus: str, task: str, axis: str) -> tuple[object, ...]:
    """Corpus, then what is asked, then what is held equal; the order of a report's figures."""
    return rank(CORPUS_ORDER, corpus), corpus, rank(TASK_ORDER, task), rank(AXIS_ORDER, axis), axis


def _line_order(row: Row) -> tuple[object, ...]:
    """By spreading factor, without a link last; then by SNR and the other settings."""
    snr = row.get("snr_db")
    settings = tuple(str(row.get(name)) for name in SETTINGS)
    return not _crossed(row), int(row.get("sf") or 0), float(snr) if snr not in (None, "") else 0.0, settings


def _plain(text: str, style: str = "") -> Text:
    """A text as it is: no markup, no control characters."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else "\ufffd" for c in text), style=style)


def _score(row: Row | None) -> Text:
    """F1, its interval, and the mark of how it stands to the baseline."""
    from rich.text import Text

    if row is None or row.get("f1") in (None, ""):
        return Text("")
    found = verdict(row)
    bounds = f"{_bound(row['f1_low'])}–{_bound(row['f1_high'])}"
    damaged = "" if row.get("f1_damaged") in (None, "") else f" damaged {_bound(row['f1_damaged'])}"
    return Text.assemble(f"{_number(row['f1'])} {bounds} ", (found.mark, STYLES.get(found.key, "")), damaged)


def _bound(value: float | str | None) -> str:
    """An end of an interval, without the zero before the point."""
    return _number(value).removeprefix("0")


def _share(value: float | str | None) -> str:
    return "" if value is None or value == "" else f"{float(value):.1%}"


def _number(value: float | str | None) -> str:
    return "" if value is None or value == "" else format_number(float(value))
