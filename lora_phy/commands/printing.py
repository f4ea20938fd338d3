"""Tables: as JSON or CSV for other programs, and as text that a terminal of 80 columns shows whole."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
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


def print_result(
    table: Table, options: argparse.Namespace, *, keys: tuple[str, ...], hidden: tuple[str, ...] = ()
) -> None:
    """Print a table in the form that was asked for; on the terminal without the `hidden` columns.

    There, what is the same in every row is told once, above, and the `keys`, which tell rows apart, stand first.
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
            print_text(", ".join(f"{name} {rows[0][name]}" for name in rows[0] if name in same))
        leading = [name for name in keys if name in table.columns and name not in same]
        shown = leading + [name for name in table.columns if name not in {*same, *hidden, *leading}]
        varying = [{name: row[name] for name in shown} for row in rows]
        print("\n".join(lines_of(varying, terminal_width(), num_keys=len(leading))))


def _shown(value: float | str) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"


def terminal_width() -> int | None:
    """Columns of the terminal that is written to; None where it is a file or a pipe, whose lines are not folded."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_text(text: str) -> None:
    """Print a sentence, folded between words at a terminal's width."""
    width = terminal_width()
    print(text if width is None else textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False))


def lines_of(rows: list[dict[str, str]], width: int | None, *, num_keys: int = 1) -> list[str]:
    """Rows with equal keys as lines under their names; within `width` a name stands in one line for each of its words.

    Columns that do not fit follow below, beside the first `num_keys` columns again: nothing is cut.

    Examples
    --------
    >>> rows = [{"preset": "eu868-dr0", "airtime_ms": "1810", "allowed": "yes"}]
    >>> print(*lines_of(rows, 20), sep="\\n")
    preset     airtime
                    ms
    ------------------
    eu868-dr0     1810
    <BLANKLINE>
    preset     allowed
    ------------------
    eu868-dr0  yes
    """
    names = list(rows[0]) if rows else []
    heads = {name: [name] if width is None else name.split("_") for name in names}
    widths = {name: max(map(len, [*heads[name], *(row[name] for row in rows)])) for name in names}
    least = sum(widths.values()) + len(names) - 1
    gap = 1 if width is not None and least <= width < least + len(names) - 1 else 2
    keys, others = names[:num_keys], names[num_keys:]
    if width is not None:  # as many of them as leave room for the widest of the others
        room = width - max((widths[name] for name in others), default=0)
        keys = [name for i, name in enumerate(keys) if sum(widths[n] + gap for n in keys[: i + 1]) <= room]
    blocks = [names[:num_keys]]
    for name in others:
        if width is not None and sum(widths[n] + gap for n in blocks[-1]) + widths[name] > width:
            blocks.append(list(keys))
        blocks[-1].append(name)
    right = {name for name in names if all(_is_number(row[name]) for row in rows)}

    def line(cells: dict[str, str], block: list[str]) -> str:
        padded = (
            cells[name].rjust(widths[name]) if name in right else cells[name].ljust(widths[name]) for name in block
        )
        return (" " * gap).join(padded).rstrip()

    lines: list[str] = []
    for block in blocks if rows else []:
        depth = max(len(heads[name]) for name in block)
        lines += [""] if lines else []
        lines += [line({n: heads[n][i] if i < len(heads[n]) else "" for n in block}, block) for i in range(depth)]
        lines.append("-" * (sum(widths[name] + gap for name in block) - gap))
        lines += [line(row, block) for row in rows]
    return lines


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
