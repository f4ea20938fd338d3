"""Base chirps. With N = 2**sf chips, R samples a chip and t = n / R, the chirp of symbol s is

    x_s[n] = exp(2 pi j (t^2 / 2N + (s / N - 1/2) t - [t >= N - s] t)),    n = 0 … N R - 1,

phase-continuous inside and at its ends. It is the upchirp x_0 moved cyclically and turned by a constant:

    x_s[n] = c_s x_0[(n + s R) mod N R],    c_s = exp(-2 pi j (s^2 / 2N - s / 2)).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from lora_phy.arrays import IQ
from lora_phy.params import LoRaParams


def upchirp(params: LoRaParams) -> IQ:
    """The upchirp x_0, ``(samples_per_symbol,)`` complex64, read-only; conjugated where `inverted_iq`.

    Examples
    --------
    >>> upchirp(LoRaParams(sf=7)).shape
    (128,)
    """
    return _base_chirp(params.sf, params.oversampling, params.inverted_iq)


def downchirp(params: LoRaParams) -> IQ:
    """The downchirp, conjugate of `upchirp`."""
    return _base_chirp(params.sf, params.oversampling, not params.inverted_iq)


@cache
def symbol_phases(sf: int) -> IQ:
    """c_s for every symbol value, ``(2**sf,)`` complex64: what a cyclic shift of the upchirp is multiplied by."""
    num_bins = 1 << sf
    s = np.arange(num_bins, dtype=np.int64)
    # exact integer arithmetic modulo one turn: s^2 / 2N - s / 2 = (s^2 - s N) / 2N
    turns = ((s * s - s * num_bins) % (2 * num_bins)) / (2 * num_bins)
    phases: IQ = np.exp(-2j * np.pi * turns).astype(np.complex64)
    phases.flags.writeable = False
    return phases


@cache
def _base_chirp(sf: int, oversampling: int, conjugate: bool) -> IQ:
    num_bins = 1 << sf
    n = np.arange(num_bins * oversampling, dtype=np.int64)
    # t^2 / 2N - t / 2 with t = n / R, as an exact fraction of a turn with denominator 2 N R^2
    denominator = 2 * num_bins * oversampling**2
    turns = ((n * n - n * num_bins * oversampling) % denominator) / denominator
    chirp: IQ = np.exp((-2j if conjugate else 2j) * np.pi * turns).astype(np.complex64)
    chirp.flags.writeable = False
    return chirp
