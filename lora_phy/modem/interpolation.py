"""The corrector: a carrier removed, then samples read at fractional times.

Interpolating is what undoes a fractional delay at one sample per chip: moving a chirp's tone alone leaves a phase step
at its fold. Two ways to the same samples:

    extract    a phase ramp over the spectrum of a stretch        the preamble's: nothing is lost, -28 dB at worst leaks
    delayed    64 taps of the sinc, cut off                       the payload's: -22 dB at worst, four times as fast

What leaks is the sinc's tail beyond the guard, sin^2(pi f) 2 / (pi^2 width) of the energy, spread over all bins.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import scipy.fft

from lora_phy.arrays import IQ
from lora_phy.modem import _interpolation_kernels as _kernels
from lora_phy.modem.transforms import transformed, transformed_back

GUARD = 128
"""Samples on either side of a stretch interpolated by its spectrum."""
HALF_WIDTH = 32
"""Taps on either side where it is done by a filter."""


def extract(samples: IQ, start: float, num: int, cycles: float, *, guard: int = GUARD, rate: int = 1) -> IQ:
    """`num` samples at the times start, start + 1, …, after removing a carrier of `cycles` per sample.

    Interpolation is a phase ramp over the spectrum of the stretch and `guard` samples on either side; zeros outside the
    array. `samples` holds `rate` samples for each of the result's: the carrier is removed before the band is cut.
    """
    whole = int(np.floor(start + 0.5))
    fraction = start - whole
    length = _fast_length(num + 2 * guard)
    lead = (length - num) // 2
    stretch = np.empty(rate * length, dtype=np.complex64)
    _kernels.mix(samples, rate * (whole - lead), -cycles / rate, cycles * lead, stretch)
    if rate == 1 and abs(fraction) < 1e-9:
        return stretch[lead : lead + num].copy()
    spectrum = transformed(stretch)
    if rate > 1:
        low = length // 2
        spectrum = np.concatenate([spectrum[: length - low], spectrum[-low:]]) * np.float32(1 / rate)
    _kernels.delay_ramp(spectrum, fraction)
    delayed: IQ = transformed_back(spectrum)
    return delayed[lead : lead + num]


@cache
def _fast_length(least: int) -> int:
    return int(scipy.fft.next_fast_len(least))


def delayed(samples: IQ, start: float, num: int, cycles: float) -> IQ:
    """As `extract` at one rate, by a short filter.

    Examples
    --------
    >>> tone = np.exp(2j * np.pi * 0.1 * np.arange(200)).astype(np.complex64)
    >>> bool(np.allclose(delayed(tone, 100.3, 50, 0.1), 1.0, atol=0.02))
    True
    """
    whole = math.floor(start)
    stretch = np.empty(num + 2 * HALF_WIDTH, dtype=np.complex64)
    lead = HALF_WIDTH - 1
    _kernels.mix(samples, whole - lead, -cycles, cycles * lead, stretch)
    out = np.empty(num, dtype=np.complex64)
    _kernels.interpolate(stretch.view(np.float32), start - whole, HALF_WIDTH, out.view(np.float32))
    return out


def fold(fine: IQ, first: int, num: int) -> IQ:
    """`num` samples at one per chip, from chip `first` on, of a stream at two: every second one, the band folded.

    A chirp moved by a carrier offset keeps all of its energy, wrapped round as at critical sampling; so does the noise
    of the wider band, which costs up to 3 dB.
    """
    folded = np.empty(2 * num, dtype=np.complex64)
    _kernels.mix(fine, 2 * first, 0.0, 0.0, folded)
    return folded[::2].copy()
