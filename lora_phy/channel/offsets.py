"""Offsets of carrier, time and sampling clock.

    CFO   y[n] = x[n] exp(+2πj cfo n / rate)
    STO   y[n] = x(n - sto)
    SFO   y[n] = x(n (1 + 1e-6 sfo)),   positive: the transmitter's clock is fast, the frame takes fewer samples

One crystal drives all three in most radios (sfo = 1e6 cfo / carrier); here they are independent: the caller ties them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.resampling import fractional_delay, resample

_PHASOR_BLOCK = 4096


def phasor(cycles_per_sample: float, num_samples: int, *, start_sample: int = 0) -> IQ:
    """exp(2πj f n), n = start_sample … start_sample + num_samples - 1, (num_samples,) complex64, phase kept in double.

    The exponential of a sum is an outer product of two short tables, which costs one multiplication a sample.

    Examples
    --------
    >>> np.round(phasor(0.25, 4))
    array([ 1.+0.j,  0.+1.j, -1.+0.j, -0.-1.j], dtype=complex64)
    """
    if num_samples == 0:
        return np.zeros(0, dtype=np.complex64)
    num_blocks = -(-num_samples // _PHASOR_BLOCK)
    fine = np.exp(2j * np.pi * (cycles_per_sample * np.arange(min(_PHASOR_BLOCK, num_samples))))
    starts = start_sample + _PHASOR_BLOCK * np.arange(num_blocks, dtype=np.float64)
    coarse = np.exp(2j * np.pi * np.remainder(cycles_per_sample * starts, 1.0))
    table = coarse.astype(np.complex64)[:, None] * fine.astype(np.complex64)
    return np.asarray(table.reshape(-1)[:num_samples])


def carrier_offset(iq: npt.ArrayLike, cfo_hz: float, sample_rate_hz: float) -> IQ:
    """Multiply ``(..., n)`` by exp(+2πj cfo_hz n / sample_rate_hz).

    Examples
    --------
    >>> np.round(carrier_offset(np.ones(3), 250.0, 1000.0))
    array([ 1.+0.j,  0.+1.j, -1.+0.j], dtype=complex64)
    """
    x = np.asarray(iq).astype(np.complex64, copy=False)
    return np.asarray(x * phasor(cfo_hz / sample_rate_hz, x.shape[-1]))


def time_and_clock_offset(iq: npt.ArrayLike, sto_samples: float = 0.0, sfo_ppm: float = 0.0) -> IQ:
    """y[n] = x((n - sto_samples)(1 + 1e-6 sfo_ppm)) by band-limited interpolation; length kept, nothing wraps.

    Examples
    --------
    >>> time_and_clock_offset(np.array([1, 2, 3, 4]), sto_samples=-2.0).real
    array([3., 4., 0., 0.], dtype=float32)
    """
    x = np.asarray(iq).astype(np.complex64, copy=False)
    if sfo_ppm == 0.0:
        return fractional_delay(x, sto_samples) if sto_samples else x
    step = 1.0 + 1e-6 * sfo_ppm
    return resample(x, step, start=-sto_samples * step, num_out=x.shape[-1])
