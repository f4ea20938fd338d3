"""Private numba kernels that the others share: one tone's energy, its rotor, the Bessel function of its likelihood."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from lora_phy.kernels.cache import CAN_KEEP

JIT: dict[str, Any] = {
    "cache": CAN_KEEP,
    "nogil": True,
    "fastmath": {"nnan", "reassoc", "contract", "nsz", "arcp"},
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}
"""No NaN reaches a kernel: the receiver replaces those of its input. The last two leave out what nobody uses (an
exception on division by zero, an entry for C), which is a tenth of the time to compile.
"""
INLINE: dict[str, Any] = {**JIT, "inline": "always"}
"""For a kernel that one other uses: compiled as a part of that one, not by itself and then once more within it."""


@numba.njit(**JIT)
def tone_energy(wr, wi, zr, zi):  # type: ignore[no-untyped-def]
    """|sum (wr + j wi)(zr + j zi)|^2."""
    re = np.float32(0.0)
    im = np.float32(0.0)
    for n in range(wr.size):
        re += wr[n] * zr[n] - wi[n] * zi[n]
        im += wr[n] * zi[n] + wi[n] * zr[n]
    return re * re + im * im


@numba.njit(**JIT)
def tone_rotor(tone, re, im):  # type: ignore[no-untyped-def]
    """re[n] + j im[n] = exp(-2 pi j tone n / N), by doubling."""
    num_bins = re.size
    re[0], im[0] = 1.0, 0.0
    size = 1
    angle = 2 * math.pi * tone / num_bins
    turn_re, turn_im = math.cos(angle), -math.sin(angle)
    while size < num_bins:
        c, s = np.float32(turn_re), np.float32(turn_im)
        turn_re, turn_im = turn_re * turn_re - turn_im * turn_im, 2 * turn_re * turn_im
        a, b, x, y = re[:size], im[:size], re[size : 2 * size], im[size : 2 * size]
        for n in range(size):
            x[n] = a[n] * c - b[n] * s
        for n in range(size):
            y[n] = a[n] * s + b[n] * c
        size *= 2


@numba.njit(**JIT)
def log_bessel(x):  # type: ignore[no-untyped-def]
    """ln I0(x), x >= 0, to 6e-3: J. Olivares et al., J. Phys.: Conf. Ser. 1043, 2018."""
    square = x * x
    series = (1.0 + 0.24273 * square) / (1.0 + 0.43023 * square) * (1.0 + 0.25 * square) ** -0.25
    return x + math.log(0.5 * (1.0 + math.exp(-2.0 * x)) * series)


# numpy's own functions of these names are compiled from Python, for each type anew: together a fifth of all that the
# receiver compiles. So are `zeros`, and `empty` once more for each way of naming a type: kernels say which


@numba.njit(**JIT)
def index_of_largest(values):  # type: ignore[no-untyped-def]
    """Index of the (first) largest of a vector."""
    at = 0
    for i in range(1, values.size):
        if values[i] > values[at]:
            at = i
    return at


@numba.njit(**JIT)
def sort_in_place(values):  # type: ignore[no-untyped-def]
    """Sort a short vector by insertion."""
    for i in range(1, values.size):
        value = values[i]
        k = i
        while k > 0 and values[k - 1] > value:
            values[k] = values[k - 1]
            k -= 1
        values[k] = value


@numba.njit(**JIT)
def sort_and_take_median(values):  # type: ignore[no-untyped-def]
    """The median of a short vector, which is sorted on the way."""
    sort_in_place(values)
    half = values.size // 2
    return values[half] if values.size % 2 == 1 else 0.5 * (values[half - 1] + values[half])
