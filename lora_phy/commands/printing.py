"""Tables: as JSON or CSV for other programs, and on the terminal, with rich where it is installed."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lora_phy.studies.tables import Table


def add_forms(parser: argparse.ArgumentParser) -> None:
    """Declare ``--json`` and ``--csv``."""
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="an object with provenance, columns and rows")
    forms.add_argument(
        "--csv", action="store_true", help="CSV; lines that begin with # say where the numbers come from"
    )


def print_result(table: Table, options: argparse.Namespace, *, hidden: tuple[str, ...] = ()) -> None:
    """Print a table in the form that was asked for; on the terminal without the `hidden` columns.

    There, what is the same in every row is told once, above.
    """
    from lora_phy.studies.tables import to_csv, to_json

    if options.json:
        print(to_json(table))
    elif options.csv:
        print(to_csv(table), end="")
    else:
        rows = [
            {name: _shown(value) for name, value in zip(table.columns, row, strict=True) if name not in hidden}
            for row in table.rows
        ]
        same = {name for name in (rows[0] if len(rows) > 1 else ()) if len({row[name] for row in rows}) == 1}
        if same:
            print(", ".join(f"{name} {rows[0][name]}" for name in rows[0] if name in same))
        print_table([{name: text for name, text in row.items() if name not in same} for row in rows])


def _shown(value: float | str) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"


def print_table(rows: list[dict[str, str]], title: str = "") -> None:
    """Print rows with equal keys under their names."""
    columns = list(rows[0]) if rows else []
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = {c: max(len(c), *(len(row[c]) for row in rows)) for c in columns}
        for row in ([{c: c for c in columns}] if rows else []) + rows:
            print("  ".join(row[c].ljust(widths[c]) for c in columns).rstrip())
        if title:
            print(title)
        return
    table = Table(*columns, title=title or None)
    for row in rows:
        table.add_row(*(row[c] for c in columns))
    # piped output is for other programs: it must not be folded at a terminal's width
    Console(width=None if sys.stdout.isatty() else 1000, markup=False, highlight=False).print(table if rows else title)
