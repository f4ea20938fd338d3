"""Checks of parameters: each function returns a plain number, or raises the error that names the parameter.

Numpy's scalars are welcome and leave as Python's: a parameter kept as ``np.int8(12)`` would overflow in ``1 << sf``,
and two equal parameters would not be written alike.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np


def integer(name: str, value: Any, low: int, high: int) -> int:
    """Return `value` as an int, or raise the ValueError that names it: a whole number in [low, high].

    Examples
    --------
    >>> integer("sf", np.int8(12), 5, 12)
    12
    >>> integer("sf", 13, 5, 12)
    Traceback (most recent call last):
        ...
    ValueError: 'sf' must be in [5, 12] (got 13)
    """
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    if found is None:
        raise ValueError(f"'{name}' must be an integer in [{low}, {high}] (got {value!r})")
    if not low <= found <= high:
        raise ValueError(f"'{name}' must be in [{low}, {high}] (got {value!r})")
    return found


def boolean(name: str, value: object) -> bool:
    """Return `value` as a bool, or raise the ValueError that names it: True or False, Python's or numpy's."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"'{name}' must be True or False (got {value!r})")
    return bool(value)


def finite(name: str, value: object, *, low: float = -math.inf, high: float = math.inf) -> float:
    """Return `value` as a float, or raise the ValueError that names it: a finite number in [low, high]."""
    found = number(name, value)
    if not (math.isfinite(found) and low <= found <= high):
        bound = "finite" if (low, high) == (-math.inf, math.inf) else f"finite and in [{low:g}, {high:g}]"
        raise ValueError(f"'{name}' must be {bound} (got {value!r})")
    return found


def number(name: str, value: object) -> float:
    """Return `value` as a float, infinities and NaN included, or raise the ValueError that names it."""
    if isinstance(value, bool | np.bool_ | str | bytes | complex) or not hasattr(value, "__float__"):
        raise ValueError(f"'{name}' must be a number (got {value!r})")
    try:
        return float(value)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"'{name}' must be a number (got {value!r})") from error
