"""Byte spans of a transmitted text: half-open pairs, and what of them arrived."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[int, int]


def arrived_within(span: Span, targets: Sequence[Span], holes: Sequence[Span] = ()) -> bool:
    """Whether `span` shares a byte that arrived with one of `targets`.

    Lost bytes earn nothing: a received line that spans a hole of half the program would otherwise overlap half of all
    targets, and a bad link would beat a good one.

    Parameters
    ----------
    span, targets
        Spans of the transmitted text, such as those of a received line and of the gold lines.
    holes
        Spans that were lost; they do not overlap each other.

    Examples
    --------
    >>> arrived_within((0, 9), [(4, 6)]), arrived_within((0, 3), [(3, 6)])
    (True, False)
    >>> arrived_within((0, 9), [(4, 6)], holes=[(3, 7)]), arrived_within((0, 9), [(4, 6)], holes=[(5, 7)])
    (False, True)
    """
    for first, last in targets:
        start, end = max(span[0], first), min(span[1], last)
        lost = sum(max(0, min(end, hole[1]) - max(start, hole[0])) for hole in holes)
        if end - start > lost:
            return True
    return False
