"""Whitening: payload bytes XOR a pseudo-random sequence, so that long runs of equal bits do not stay on air.

The sequence is the state of the 8-bit Fibonacci register x^8 + x^6 + x^5 + x^4 + 1, started at 0xFF, one state a byte.
Only the payload is whitened, never the header or the CRC.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def whitening_sequence(length: int) -> npt.NDArray[np.uint8]:
    """The first `length` bytes of the sequence; its period is 255.

    Examples
    --------
    >>> bytes(whitening_sequence(6)).hex(" ")
    'ff fe fc f8 f0 e1'
    """
    return np.resize(_SEQUENCE, length)


def whiten(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """XOR with the sequence along the last axis; its own inverse.

    Parameters
    ----------
    data
        ``(..., num_bytes)`` uint8.

    Examples
    --------
    >>> whiten(whiten(np.array([1, 2, 3], dtype=np.uint8)))
    array([1, 2, 3], dtype=uint8)
    """
    return data ^ whitening_sequence(data.shape[-1])


def _generate() -> npt.NDArray[np.uint8]:
    states, state = [], 0xFF
    for _ in range(255):
        states.append(state)
        feedback = (state >> 7 ^ state >> 5 ^ state >> 4 ^ state >> 3) & 1
        state = (state << 1) & 0xFF | feedback
    return np.array(states, dtype=np.uint8)


_SEQUENCE = _generate()
