"""The diagonal interleaver: a block of codewords to a block of symbols; a lost chirp then costs each codeword one bit.

    row i (symbol), column j (bit, most significant first):   bit[i, j] = codeword[(i - j - 1) mod rows].bit[i]

A block holds as many codewords as a symbol carries bits, and gives as many symbols as a codeword has bits.
The functions move any values (bits, or metrics of bits) and never look at them.
"""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Value = TypeVar("Value", bound=np.generic)


def interleave(bits: npt.NDArray[Value]) -> npt.NDArray[Value]:
    """Codeword bits ``(..., num_codewords, codeword_len)`` to symbol bits ``(..., codeword_len, num_codewords)``.

    Examples
    --------
    >>> interleave(np.array([[0, 1], [2, 3], [4, 5]]))
    array([[4, 2, 0],
           [1, 5, 3]])
    """
    num_codewords, codeword_len = bits.shape[-2:]
    rows, columns = _source(num_codewords, codeword_len)
    return np.asarray(bits[..., rows, columns])


def deinterleave(bits: npt.NDArray[Value]) -> npt.NDArray[Value]:
    """Symbol bits or metrics ``(..., codeword_len, num_codewords)`` to ``(..., num_codewords, codeword_len)``.

    Examples
    --------
    >>> deinterleave(interleave(np.arange(6).reshape(3, 2)))
    array([[0, 1],
           [2, 3],
           [4, 5]])
    """
    codeword_len, num_codewords = bits.shape[-2:]
    rows, columns = _source(num_codewords, codeword_len)
    out = np.empty((*bits.shape[:-2], num_codewords, codeword_len), dtype=bits.dtype)
    out[..., rows, columns] = bits
    return out


@cache
def _source(num_codewords: int, codeword_len: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Index arrays: where symbol bit (i, j) comes from."""
    i = np.arange(codeword_len)[:, np.newaxis]
    j = np.arange(num_codewords)[np.newaxis, :]
    return (i - j - 1) % num_codewords, np.broadcast_to(i, (codeword_len, num_codewords))
