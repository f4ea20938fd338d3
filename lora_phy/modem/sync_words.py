"""Sync words: a byte as two chirps, and the byte behind two chirps.

A chip counts a nibble n as signed and sends the chirp ``(n << 3) mod 2**sf``: 0…7 as 0…56, 8…15 as -64…-8. Other
transmitters send 8…15 as 64…120; both forms are on air, and coincide up to SF7. Networks whose words are no bytes (the
SX126x holds sixteen bits, the SX1302 counts in steps of four) send other pairs of chirps.

Source: gr-lora_sdr pull request 158 (captures of a Meshtastic network); Semtech's sx1302_hal, whose registers for the
two peaks are signed.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from lora_phy.params import LoRaParams

SyncTable = npt.NDArray[np.int64]


@lru_cache(1024)
def word_of_chirps(chirps: tuple[int, int], sf: int, *, own: int | None = None) -> int | None:
    """The byte that two sync chirps stand for, in either form; None where they are no byte's.

    Parameters
    ----------
    own
        Preferred where several bytes share the chirps (SF5, SF6); else the smallest.

    Examples
    --------
    >>> word_of_chirps((16, 2008), 11), word_of_chirps((16, 88), 11), word_of_chirps((16, 90), 11)
    (43, 43, None)
    """
    nibbles = [_nibbles(chirp, sf) for chirp in chirps]
    words = [first << 4 | second for first in nibbles[0] for second in nibbles[1]]
    return own if own in words else min(words, default=None)


def chirps_of_word(word: int, sf: int) -> SyncTable:
    """Chirps that may stand for each nibble of a byte, ``(2, 2)``: as a chip sends it, and counted without a sign.

    Examples
    --------
    >>> chirps_of_word(0x2B, 11).tolist()
    [[16, 16], [2008, 88]]
    """
    unsigned = np.array(divmod(word, 16), dtype=np.int64) << 3
    return np.stack([unsigned - 128 * (unsigned >= 64), unsigned], axis=1) & ((1 << sf) - 1)


@cache
def chirps_of_bytes(sf: int) -> SyncTable:
    """All chirps that stand for a nibble, ascending ``(n,)``."""
    return np.unique(np.arange(-64, 128, 8) & ((1 << sf) - 1))


def sync_alternatives(params: LoRaParams) -> SyncTable:
    """The chirps that each of the two sync chirps may be, ``(2, n)``: the word's own in both forms, or those of all
    bytes where the word is open.
    """
    return _alternatives(params.sf, params.sync_word)


@cache
def _alternatives(sf: int, word: int | None) -> SyncTable:
    if word is None:
        return np.tile(chirps_of_bytes(sf), (2, 1))
    table = chirps_of_word(word, sf)
    # contiguous like the other tables: kernels are compiled for a memory layout
    return np.ascontiguousarray(table[:, :1]) if np.all(table[:, 0] == table[:, 1]) else table


def _nibbles(chirp: int, sf: int) -> list[int]:
    mask = (1 << sf) - 1
    return [n for n in range(16) if chirp in ((n << 3) & mask, ((n - 16 * (n >= 8)) << 3) & mask)]
