"""Private numba kernels that the others share: one tone's energy, its rotor, the Bessel function of its likelihood."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from lora_phy.kernels.cache import CAN_KEEP

JIT: dict[str, Any] = {"cache": CAN_KEEP, "nogil": True, "fastmath": {"nnan", "reassoc", "contract", "nsz", "arcp"}}
"""No NaN reaches a kernel: the receiver replaces those of its input."""


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
    while size < num_bins:
        angle = 2 * math.pi * tone * size / num_bins
        c, s = np.float32(math.cos(angle)), np.float32(-math.sin(angle))
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
