"""What is sent and what arrives: `Item`, `ReceivedItem`, and the `Damage` between them, in counts."""

from __future__ import annotations

from dataclasses import dataclass

VERSIONS = ("buggy", "correct")


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
    """What the link did to one item, in counts.

    Parameters
    ----------
    bytes_sent
        Bytes of the source-coded text, each counted once: no headers, no parity, no repetition.
    byte_errors
        Those of them that reached the text wrong. Missing ones are holes, not errors.
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
        What was sent.
    text
        Each hole is one U+FFFD; empty where nothing arrived.
    holes
        Byte spans of the transmitted text's UTF-8 form that are missing, in order.
    line_spans
        For every line of `text` (`str.splitlines`), the byte span of the transmitted text that it stands for.
    delivered
        Whether any byte arrived.
    intact
        Whether `text` is the text sent.
    damage
        The record.
    """

    item: Item
    text: str
    holes: tuple[tuple[int, int], ...]
    line_spans: tuple[tuple[int, int], ...]
    delivered: bool
    intact: bool
    damage: Damage
