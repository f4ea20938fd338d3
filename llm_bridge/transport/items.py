"""Items of a transmission: `Item` as sent, `ReceivedItem` as it arrived, `Damage` in counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

VERSIONS = ("buggy", "correct")
REPLACEMENT_CHARACTER = "\ufffd"
"""U+FFFD: stands in a received text for each erasure, and for bytes or token ids that cannot be decoded."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One version ("buggy" or "correct") of one program, as sent: its code and nothing else."""

    corpus: str
    program: str
    version: str
    text: str

    def __post_init__(self) -> None:
        """Validate the version."""
        if self.version not in VERSIONS:
            raise ValueError(f"'version' must be one of {', '.join(VERSIONS)} (got {self.version!r})")


@dataclass(frozen=True, kw_only=True)
class Damage:
    """Damage of one item on the link, in counts.

    Parameters
    ----------
    bytes_sent
        Bytes of the source-coded text, each counted once: no headers, no parity, no repetition.
    byte_errors
        Those of them that reached the text wrong. Missing ones are erasures, not errors.
    symbol_errors
        Wrong chirp symbols over all frames sent; 0 under a control.
    fragments_sent, fragments_lost
        Frames on air, parity and repetitions included, and those of them that were not kept.
    airtime_s
        Seconds on air of all these frames.
    """

    bytes_sent: int
    byte_errors: int
    symbol_errors: int
    fragments_sent: int
    fragments_lost: int
    airtime_s: float


@dataclass(frozen=True, kw_only=True)
class ReceivedItem:
    """An item as it arrived.

    Parameters
    ----------
    item
        The item that was sent.
    text
        Each erasure is one U+FFFD; empty where nothing arrived.
    erasures
        Byte spans of the transmitted text's UTF-8 form that are missing, in order.
    line_spans
        Byte span, for every line of `text` (`str.splitlines`), of the transmitted text that it stands for.
    delivered
        Whether any byte arrived.
    intact
        Whether `text` is the text sent.
    damage
        The damage of the item, in counts.
    kept_fragments
        Flags, for each fragment in turn, parity included, whether any attempt of it was kept; empty where none was
        sent.
    """

    item: Item
    text: str
    erasures: tuple[tuple[int, int], ...]
    line_spans: tuple[tuple[int, int], ...]
    delivered: bool
    intact: bool
    damage: Damage
    kept_fragments: tuple[bool, ...] = ()

    @property
    def bytes_missing(self) -> int:
        """Bytes of the text's UTF-8 form in erasures: all of them where nothing arrived."""
        return sum(end - start for start, end in self.erasures)


@dataclass(frozen=True, kw_only=True)
class PairFates:
    """Fragments that both versions of a program have, and those of them that one version kept and the other lost."""

    fragments: int
    unequal: int

    @property
    def share(self) -> float | None:
        """Share of unequal fates; None where no fragment was sent in both versions."""
        return self.unequal / self.fragments if self.fragments else None


def pair_fates(received: Iterable[ReceivedItem]) -> PairFates:
    """Compare the fates of fragment i of both versions, over all programs of which both were sent.

    Unequal fates carry information about which version is which, so a score of pairs is to be read beside their share
    (`RadioSettings.pair_noise`).
    """
    programs: dict[tuple[str, str], dict[str, tuple[bool, ...]]] = {}
    for arrival in received:
        versions = programs.setdefault((arrival.item.corpus, arrival.item.program), {})
        versions[arrival.item.version] = arrival.kept_fragments
    pairs = [
        (one, other)
        for versions in programs.values()
        if len(versions) == len(VERSIONS)
        for one, other in zip(*versions.values(), strict=False)
    ]
    return PairFates(fragments=len(pairs), unequal=sum(one != other for one, other in pairs))
