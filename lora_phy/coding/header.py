"""The explicit header: payload length, coding rate and CRC flag in three nibbles, five check bits in two.

    n0 = length >> 4    n1 = length & 15    n2 = cr << 1 | crc    n3 = c4    n4 = c3 c2 c1 c0

The checks form a (17, 12) code of minimum distance 3. The upper three bits of n3 are unknown and ignored. Coding rates
5, 6 and 7 announce the long interleaving of newer chips (SX128x, LR11xx), at 4/5, 4/6 and 4/8: such a frame's header
can be read, its payload cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lora_phy.arrays import Nibbles

NUM_HEADER_NIBBLES = 5

# Which of the twelve information bits (n0 n1 n2, most significant first) enter c4, c3, c2, c1, c0.
_CHECKS = (0b1111_0000_0000, 0b1000_1110_0001, 0b0100_1001_1010, 0b0010_0101_0111, 0b0001_0010_1111)


@dataclass(frozen=True, kw_only=True)
class Header:
    """Header of a frame, as announced on air; `cr` is 1–4, or 5–7 for long interleaving."""

    payload_len: int
    cr: int
    crc: bool

    @property
    def long_interleaving(self) -> bool:
        """Whether the payload is interleaved in a way that this library cannot undo."""
        return self.cr > 4

    @property
    def parity_bits(self) -> int:
        """Parity bits of a codeword of the payload: `cr`, or 1, 2, 4 for 5, 6, 7."""
        return {5: 1, 6: 2, 7: 4}.get(self.cr, self.cr)


def encode_header(header: Header) -> Nibbles:
    """Header to five nibbles ``(5,)`` uint8.

    Examples
    --------
    >>> encode_header(Header(payload_len=6, cr=1, crc=True))    # from a real chip
    array([ 0,  6,  3,  0, 15], dtype=uint8)
    """
    information = header.payload_len << 4 | header.cr << 1 | header.crc
    checks = header_checks(information)
    nibbles = (information >> 8, information >> 4 & 15, information & 15, checks >> 4, checks & 15)
    return np.array(nibbles, dtype=np.uint8)


def decode_header(nibbles: Nibbles) -> Header | None:
    """Five nibbles to a header; None where a check fails or the coding rate is 0.

    Examples
    --------
    >>> decode_header(np.array([0, 6, 3, 0, 15], dtype=np.uint8))
    Header(payload_len=6, cr=1, crc=True)
    >>> decode_header(np.array([0, 7, 3, 0, 15], dtype=np.uint8)) is None
    True
    """
    n0, n1, n2, n3, n4 = (int(nibble) for nibble in nibbles[:NUM_HEADER_NIBBLES])
    information = n0 << 8 | n1 << 4 | n2
    cr = n2 >> 1
    if header_checks(information) != (n3 & 1) << 4 | n4 or cr == 0:
        return None
    return Header(payload_len=n0 << 4 | n1, cr=cr, crc=bool(n2 & 1))


def header_checks(information: int) -> int:
    """The five check bits c4 c3 c2 c1 c0 of twelve information bits."""
    checks = 0
    for mask in _CHECKS:
        checks = checks << 1 | (information & mask).bit_count() & 1
    return checks
