"""Discrete Fourier transforms of a few short rows, as a preamble and a stretch of a payload are.

The numbers are those of `scipy.fft`, bit for bit. Its calls first choose among backends, which takes longer than a
transform of twenty rows of 64; those of `scipy.fftpack` go straight to the same routine.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import scipy.fftpack


def transformed(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The transform along the last axis; a complex64 input is overwritten.

    Examples
    --------
    >>> transformed([1.0, 1.0, 1.0, 1.0]).real.tolist()
    [4.0, 0.0, 0.0, 0.0]
    """
    found: npt.NDArray[Any] = scipy.fftpack.fft(rows, overwrite_x=True)
    return found


def transformed_back(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The inverse transform along the last axis; a complex64 input is overwritten."""
    found: npt.NDArray[Any] = scipy.fftpack.ifft(rows, overwrite_x=True)
    return found
