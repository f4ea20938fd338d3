"""Columns of ``items.jsonl`` that come from the link, the same for every task, and helpers on lines.

A row is a plain dictionary, one per item (per pair in *paired*); the cell's name is added by the study. No torch here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from llm_bridge.annotations import Row
from llm_bridge.corpora.programs import ProgramPair
from llm_bridge.transport.items import REPLACEMENT_CHARACTER, pair_fates

if TYPE_CHECKING:
    from llm_bridge.transport.link import ReceivedItem

HEADER = re.compile(r"\s*(async\s+)?(def|class)\b")
BUGGY, NOT_BUGGY, CORRECT, TIE = "buggy", "not buggy", "correct", "tie"


def pairs_by_name(pairs: Iterable[ProgramPair]) -> Mapping[str, ProgramPair]:
    """Pairs by name: where labels join the received items."""
    return {pair.name: pair for pair in pairs}


def item_row(arrival: ReceivedItem, pair: ProgramPair, task: str) -> Row:
    """The columns of one item that no model decides."""
    return {
        "program": pair.name,
        "version": arrival.item.version,
        "task": task,
        "group": pair.group,
        "delivered": arrival.delivered,
        "intact": arrival.intact,
        **_damage([arrival]),
    }


def pair_row(buggy: ReceivedItem, correct: ReceivedItem, pair: ProgramPair, task: str) -> Row:
    """The columns of one pair: delivered or intact where both items are, damage added up, lengths as transmitted.

    `pair_fragments` counts fragments that both versions have, `pair_fragments_unequal` those that one alone lost.
    """
    fates = pair_fates([buggy, correct])
    lengths = len(pair.correct.encode()), len(pair.buggy.encode())
    return {
        "program": pair.name,
        "version": "pair",
        "task": task,
        "group": pair.group,
        "delivered": buggy.delivered and correct.delivered,
        "intact": buggy.intact and correct.intact,
        "longer": None if lengths[0] == lengths[1] else lengths[0] > lengths[1],
        "pair_fragments": fates.fragments,
        "pair_fragments_unequal": fates.unequal,
        **_damage([buggy, correct]),
    }


def readable_lines(text: str) -> tuple[bool, ...]:
    r"""For each line, whether there is anything to read: not blank, and not an erasure alone.

    Examples
    --------
    >>> readable_lines("a\n  \n \ufffd \nb\ufffd\n")
    (True, False, False, True)
    """
    return tuple(bool(line.replace(REPLACEMENT_CHARACTER, " ").strip()) for line in text.splitlines())


def header_lines(text: str) -> set[int]:
    r"""Indices of the first line and of all headers (``def``, ``class``): what is named there cannot be foreseen.

    Examples
    --------
    >>> sorted(header_lines("import a\n\nclass B:\n    def f(self):\n        return a\n"))
    [0, 2, 3]
    """
    return {line for line, row in enumerate(text.splitlines()) if line == 0 or HEADER.match(row)}


def _damage(arrivals: Sequence[ReceivedItem]) -> Row:
    names = ("bytes_sent", "byte_errors", "fragments_sent", "fragments_lost", "airtime_s")
    counts = {name: sum(getattr(arrival.damage, name) for arrival in arrivals) for name in names}
    return counts | {"bytes_lost": sum(map(_bytes_lost, arrivals))}


def _bytes_lost(arrival: ReceivedItem) -> int:
    """Bytes that did not arrive, in the unit of `bytes_sent`: those of the source-coded text.

    Erasures are spans of the text; of token ids the same share is lost. `byte_errors` counts what arrived wrong.
    """
    whole = len(arrival.item.text.encode())
    return round(arrival.bytes_missing * arrival.damage.bytes_sent / whole) if whole else 0
