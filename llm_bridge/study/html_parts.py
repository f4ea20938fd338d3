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


def table(caption: str, columns: Sequence[Column], rows: Iterable[Any], *, cards: bool = False) -> str:
    """A sortable table in a region that scrolls sideways and takes the keyboard's focus.

    With `cards` a narrow screen shows each row as a card instead, a line for each column under its head.
    """
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
        "<tr>" + "".join(_cell(read(row), _attributes(name, kind, cards)) for name, kind, read in kept) + "</tr>"
        for row in rows
    )
    same = f'<p class="note">The same in every row: {escape("; ".join(constant))}.</p>' if constant else ""
    return (
        f'{same}<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f'<table class="sortable{" cards" if cards else ""}">'
        f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _number_class(name: str, kind: str) -> str:
    if kind == "long":
        return ' class="long"'
    return ' class="number"' if kind == "number" or name.endswith("/ dB") else ""


def _attributes(name: str, kind: str, cards: bool) -> str:
    return _number_class(name, kind) + (f' data-head="{escape(name)}"' if cards else "")


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


def spelled(value: float | None, low: float | None, high: float | None, *, difference: bool = False) -> Any:
    """A value with its interval; a difference with its sign.

    Examples
    --------
    >>> str(spelled(-0.18, -0.24, -0.121, difference=True)), spelled(-0.18, None, None).sort_value
    ('−0.18 [−0.24, −0.12]', '-0.18')
    """
    if value is None:
        return None
    shown = f"{round(value, 2) + 0.0:+.2f}".replace("-", "−") if difference and round(value, 2) else number(value)
    html = Html(shown if low is None or high is None else f"{shown} [{number(low)}, {number(high)}]")
    html.sort_value = repr(value)
    return html


def number(value: float) -> str:
    """Two decimals with a true minus, and without a negative zero.

    Examples
    --------
    >>> number(-0.001), number(-0.25)
    ('0.00', '−0.25')
    """
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def small(value: float | None) -> Any:
    """A p value or a small spread: three decimals."""
    if value is None:
        return None
    html = Html("&lt; 0.001" if 0 < value < 0.0005 else f"{value:.3f}")
    html.sort_value = repr(value)
    return html


def plain(value: float | None) -> float | int | None:
    """A whole number as one."""
    return int(value) if value is not None and math.isfinite(value) and value == int(value) else value
