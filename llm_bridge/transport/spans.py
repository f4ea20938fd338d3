"""Byte spans of a transmitted text: half-open pairs, and what of them arrived."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[int, int]


def arrived_within(span: Span, targets: Sequence[Span], erasures: Sequence[Span] = ()) -> bool:
    """Whether `span` shares a byte that arrived with one of `targets`.

    Lost bytes earn nothing: a received line that spans an erasure of half the program would otherwise overlap half of
    all targets, and a bad link would beat a good one.

    Parameters
    ----------
    span, targets
        Spans of the transmitted text, such as those of a received line and of the gold lines.
    erasures
        Spans that were lost; they do not overlap each other.

    Examples
    --------
    >>> arrived_within((0, 9), [(4, 6)]), arrived_within((0, 3), [(3, 6)])
    (True, False)
    >>> arrived_within((0, 9), [(4, 6)], erasures=[(3, 7)]), arrived_within((0, 9), [(4, 6)], erasures=[(5, 7)])
    (False, True)
    """
    for first, last in targets:
        start, end = max(span[0], first), min(span[1], last)
        lost = sum(max(0, min(end, erasure[1]) - max(start, erasure[0])) for erasure in erasures)
        if end - start > lost:
            return True
    return False
