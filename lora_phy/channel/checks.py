"""What every parameter and every array of a channel is checked for."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ


def finite(name: str, value: object, *, low: float = -math.inf, high: float = math.inf) -> float:
    """Return `value` as a float, or raise the ValueError that names it: a finite number in [low, high]."""
    found = number(name, value)
    if not (math.isfinite(found) and low <= found <= high):
        bound = "finite" if (low, high) == (-math.inf, math.inf) else f"finite and in [{low:g}, {high:g}]"
        raise ValueError(f"'{name}' must be {bound} (got {value!r})")
    return found


def number(name: str, value: object) -> float:
    """Return `value` as a float, infinities and NaN included, or raise the ValueError that names it."""
    if isinstance(value, bool | str | bytes | complex) or not hasattr(value, "__float__"):
        raise ValueError(f"'{name}' must be a number (got {value!r})")
    try:
        return float(value)
    except TypeError as error:
        raise ValueError(f"'{name}' must be a number (got {value!r})") from error


def as_rows(iq: npt.ArrayLike) -> tuple[IQ, tuple[int, ...]]:
    """``(..., n)`` as ``(rows, n)`` complex64, and the shape to return to."""
    array = np.asarray(iq)
    if array.ndim == 0:
        raise ValueError("'iq' must have at least one dimension (got a scalar)")
    if array.dtype.kind not in "fciu":
        raise ValueError(f"'iq' must be complex samples (got dtype {array.dtype})")
    rows = int(np.prod(array.shape[:-1], dtype=np.int64))
    return array.astype(np.complex64, copy=False).reshape(rows, array.shape[-1]), array.shape
