"""Tables on the terminal: with rich where it is installed, in plain text otherwise."""

from __future__ import annotations

import sys


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
