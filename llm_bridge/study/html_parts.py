"""Pieces of the report's page: texts with their damage marked, figures with captions, tables to sort.

Functions from data to HTML text; everything that comes from a file is escaped here.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any


def mark_damage(sent: str, received: str, holes: Sequence[Sequence[int]]) -> tuple[str, str]:
    """Both sides of a transmission as HTML, the damage marked.

    Parameters
    ----------
    holes
        Byte spans ``(start, end)`` of `sent` that did not arrive; each stands in `received` as one U+FFFD.

    Examples
    --------
    >>> mark_damage("ab < cd", "ab �d", [(3, 6)])[0]
    'ab <mark class="lost">&lt; c</mark>d'
    >>> mark_damage("a = 1", "a = 7", [])[1]
    'a = <mark class="changed">7</mark>'
    """
    raw = sent.encode()
    if holes and received.count("\ufffd") == len(holes):
        left, at = [], 0
        for start, end in sorted((max(0, int(a)), min(len(raw), int(b))) for a, b in holes):
            left += [_text(raw[at:start]), f'<mark class="lost">{_text(raw[start:end])}</mark>']
            at = max(at, end)
        left.append(_text(raw[at:]))
        pieces = received.split("\ufffd")
        right = [escape(pieces[0])]
        for (start, end), piece in zip(sorted((int(a), int(b)) for a, b in holes), pieces[1:], strict=True):
            right += [f'<mark class="hole">{end - start} bytes lost</mark>', escape(piece)]
        return "".join(left), "".join(right)
    left, right = [], []
    for code, i0, i1, j0, j1 in difflib.SequenceMatcher(a=sent, b=received, autojunk=False).get_opcodes():
        before, after = escape(sent[i0:i1]), escape(received[j0:j1])
        if code == "equal":
            left.append(before)
            right.append(after)
            continue
        left += [f'<mark class="lost">{before}</mark>'] if before else []
        right += [f'<mark class="changed">{after}</mark>'] if after else []
    return "".join(left), "".join(right)


def figure(title: str, where: str, svg: str) -> str:
    """A figure under its title and a line that says where it holds."""
    return (
        f'<figure><figcaption><h3>{escape(title)}</h3><p class="where">{escape(where)}</p></figcaption>{svg}</figure>'
    )


class Html(str):
    """Text that is HTML already, with the value that a table sorts by."""

    sort_value: str = ""


Column = tuple[str, str, Callable[[Any], Any]]
"""Head, kind ("number", "text", "long": wraps, "setting": left out where it does not vary), how a cell is read."""


def table(caption: str, columns: Sequence[Column], rows: Iterable[Any]) -> str:
    """A sortable table in a region that scrolls sideways and takes the keyboard's focus."""
    rows = list(rows)
    kept, constant = [], []
    for name, kind, read in columns:
        values = {str(value) for value in map(read, rows) if value not in (None, "")}
        if kind == "setting" and len(values) == 1:
            constant.append(f"{name}: {values.pop()}")
        elif values:
            kept.append((name, kind, read))
    heads = "".join(
        f'<th scope="col" aria-sort="none"{_number_class(name, kind)}>'
        f'<button type="button">{escape(name)}</button></th>'
        for name, kind, _ in kept
    )
    lines = "".join(
        "<tr>" + "".join(_cell(read(row), _number_class(name, kind)) for name, kind, read in kept) + "</tr>"
        for row in rows
    )
    same = f'<p class="note">The same in every row: {escape("; ".join(constant))}.</p>' if constant else ""
    return (
        f'{same}<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table class="sortable">'
        f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _number_class(name: str, kind: str) -> str:
    if kind == "long":
        return ' class="long"'
    return ' class="number"' if kind == "number" or name.endswith("/ dB") else ""


def _cell(value: Any, attributes: str) -> str:
    if isinstance(value, Html):
        return f'<td{attributes} data-value="{escape(value.sort_value)}">{value}</td>'
    if value is None:
        return f'<td{attributes} data-value=""></td>'
    if value == math.inf:
        return f'<td{attributes} data-value="Infinity">∞</td>'
    if isinstance(value, float):
        shown = f"{value:.2f}" if abs(value) < 2 else f"{value:g}"
        return f'<td{attributes} data-value="{value!r}">{shown.replace("-", "−")}</td>'
    return f"<td{attributes}>{escape(str(value))}</td>"


def _text(raw: bytes) -> str:
    return escape(raw.decode("utf-8", errors="replace"))
