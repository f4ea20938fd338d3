"""The four codes of a nibble, hard and soft. With data bits d0 (least significant) to d3:

    p0 = d0^d1^d2   p1 = d1^d2^d3   p2 = d0^d1^d3   p3 = d0^d2^d3

    4/5: d0 d1 d2 d3 (d0^d1^d2^d3)   4/6: d0…d3 p0 p1   4/7: d0…d3 p0 p1 p2   4/8: d0…d3 p0 p1 p2 p3

A codeword is an integer of 4 + cr bits whose most significant bit is d0. Minimum distances 2, 2, 3, 4.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import Codewords, Nibbles


def codebook(cr: int) -> Codewords:
    """Codeword of each of the sixteen nibbles, ``(16,)`` uint8.

    Examples
    --------
    >>> codebook(4)[:4]
    array([  0, 139,  78, 197], dtype=uint8)
    """
    return _CODEBOOKS[cr]


def codebook_signs(cr: int) -> npt.NDArray[np.float32]:
    """Codebook as ±1 (+1 for a 1), ``(16, 4 + cr)`` float32, columns in the order of transmission."""
    return _SIGNS[cr]


def hamming_encode(nibbles: Nibbles, cr: int) -> Codewords:
    """Nibbles ``(...)`` to codewords ``(...)`` of 4 + cr bits."""
    return np.asarray(_CODEBOOKS[cr][nibbles])


def hamming_decode(codewords: Codewords, cr: int) -> Nibbles:
    """Hard decisions ``(...)`` to nibbles ``(...)``.

    4/7 corrects any single bit. 4/8 corrects where exactly one codeword lies within distance 1 and keeps the data
    bits otherwise. 4/5 and 4/6 keep the data bits.

    Examples
    --------
    >>> hamming_decode(codebook(4) ^ np.uint8(8), 4)    # one bit wrong in each
    array([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15], dtype=uint8)
    """
    return np.asarray(_HARD_TABLES[cr][codewords])


def hamming_decode_soft(metrics: npt.NDArray[np.float32], cr: int) -> Nibbles:
    """Most likely nibbles from bit metrics ``(..., 4 + cr)``, positive = 1, to nibbles ``(...)``.

    Examples
    --------
    >>> hamming_decode_soft(np.array([0.2, -1, -1, -1, -1], dtype=np.float32), 1)    # parity outvotes d0
    array(0, dtype=uint8)
    """
    return np.asarray(np.argmax(metrics @ _SIGNS[cr].T, axis=-1)).astype(np.uint8)


def _codeword(nibble: int, cr: int) -> int:
    d0, d1, d2, d3 = (nibble >> i & 1 for i in range(4))
    parity = (d0 ^ d1 ^ d2, d1 ^ d2 ^ d3, d0 ^ d1 ^ d3, d0 ^ d2 ^ d3)
    bits = (d0, d1, d2, d3, *((d0 ^ d1 ^ d2 ^ d3,) if cr == 1 else parity[:cr]))
    return sum(bit << (len(bits) - 1 - i) for i, bit in enumerate(bits))


def _hard_table(cr: int) -> Nibbles:
    words = _CODEBOOKS[cr].tolist()
    table = []
    for received in range(1 << (4 + cr)):
        near = [nibble for nibble, word in enumerate(words) if (word ^ received).bit_count() <= 1]
        data = sum((received >> (3 + cr - i) & 1) << i for i in range(4))
        table.append(near[0] if cr >= 3 and len(near) == 1 else data)
    return np.array(table, dtype=np.uint8)


_CODEBOOKS = {cr: np.array([_codeword(nibble, cr) for nibble in range(16)], dtype=np.uint8) for cr in range(1, 5)}
_HARD_TABLES = {cr: _hard_table(cr) for cr in range(1, 5)}
_SIGNS = {
    cr: np.array(
        [[1.0 if word >> (3 + cr - i) & 1 else -1.0 for i in range(4 + cr)] for word in _CODEBOOKS[cr].tolist()],
        dtype=np.float32,
    )
    for cr in range(1, 5)
}
