"""Gray labels: neighbouring chirp symbols differ in one bit.

    label = value ^ (value >> 1),    symbol = (value + 1) mod 2**sf, or (4 value + 1) mod 2**sf at reduced rate.

The transmitter therefore *inverts* the Gray code. At reduced rate only every fourth bin is legal, 1 mod 4.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import Symbols

IntArray = npt.NDArray[np.integer[Any]]


def gray_encode(values: IntArray) -> npt.NDArray[np.int32]:
    """Binary value to Gray label.

    Examples
    --------
    >>> gray_encode(np.arange(5))
    array([0, 1, 3, 2, 6], dtype=int32)
    """
    values = np.asarray(values, dtype=np.int32)
    return values ^ (values >> 1)


def gray_decode(labels: IntArray) -> npt.NDArray[np.int32]:
    """Gray label to binary value, the XOR of all right shifts.

    Examples
    --------
    >>> gray_decode(gray_encode(np.arange(5)))
    array([0, 1, 2, 3, 4], dtype=int32)
    """
    values = np.array(labels, dtype=np.int32)
    for shift in (8, 4, 2, 1):  # labels have at most 12 bits
        values ^= values >> shift
    return values


def labels_to_symbols(labels: IntArray, sf: int, *, reduced_rate: bool) -> Symbols:
    """Interleaved bits, as integers, to chirp symbols in [0, 2**sf)."""
    values = gray_decode(labels)
    return ((values << 2 if reduced_rate else values) + 1) & np.int32((1 << sf) - 1)


def symbols_to_labels(symbols: IntArray, sf: int, *, reduced_rate: bool) -> npt.NDArray[np.int32]:
    """Chirp symbols to interleaved bits, as integers; at reduced rate by the nearest legal bin, -2…+1 around it."""
    symbols = np.asarray(symbols, dtype=np.int32)
    mask = np.int32((1 << sf) - 1)
    values = ((symbols + 1) & mask) >> 2 if reduced_rate else (symbols - 1) & mask
    return gray_encode(values)


@cache
def symbol_of_label(sf: int, reduced_rate: bool) -> npt.NDArray[np.int32]:
    """Chirp symbol of each label, ``(2**sf,)`` or ``(2**(sf - 2),)``: the labelling as an array."""
    table = labels_to_symbols(np.arange(1 << (sf - 2 * reduced_rate)), sf, reduced_rate=reduced_rate)
    table.flags.writeable = False
    return table
