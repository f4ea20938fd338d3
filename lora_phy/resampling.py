"""Band-limited interpolation of sampled IQ: fractional delay, clock offset, change of rate.

    y[n] = Σ_k x[k] c h(c (t_n - k)),    h(t) = sinc(t) kaiser(t / half_width),    c = min(1, rate_out / rate_in)

The signal is zero outside its array: nothing wraps round. `half_width` is in samples of the slower rate. A chirp at one
sample per chip fills its band to the edge, where a short filter fades: with the defaults a half-sample delay costs it
0.03 dB (`fractional_delay`) and 0.10 dB (`resample`); at two or more samples per chip both are below 0.001 dB.

Kaiser window: F. J. Harris, Proc. IEEE 66(1), 1978.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ

KAISER_BETA = 8.0
DELAY_HALF_WIDTH = 256
RESAMPLE_HALF_WIDTH = 64
_SAMPLES_AT_ONCE = 1 << 20
_PHASES = 512  # rows of the polyphase table; linear interpolation between rows errs by (π/512)²/8, -106 dB


def fractional_delay(iq: npt.ArrayLike, delay_samples: float, *, half_width: int = DELAY_HALF_WIDTH) -> IQ:
    """Delay ``(..., n)``: y[n] = x(n - delay_samples), length kept, zeros shifted in.

    A whole delay is an exact shift. Negative delays advance.

    Examples
    --------
    >>> fractional_delay(np.array([1, 2, 3, 4], np.complex64), 1.0).real
    array([0., 1., 2., 3.], dtype=float32)
    """
    x = np.asarray(iq).astype(np.complex64, copy=False)
    if not math.isfinite(delay_samples):
        raise ValueError(f"'delay_samples' must be finite (got {delay_samples!r})")
    n = x.shape[-1]
    whole = math.floor(delay_samples + 0.5)
    fraction = delay_samples - whole
    if fraction == 0.0 or n == 0:
        return _shift(x, whole)
    reach = min(half_width, n)  # taps further out meet only zeros
    times = np.arange(-reach, reach + 1, dtype=np.float64) - fraction
    taps = filter_taps(times, half_width).astype(np.float32)
    y = np.zeros(x.shape, dtype=np.complex64)
    rows, out = x.reshape(-1, n), y.reshape(-1, n)
    shifted = whole - reach
    low, high = max(0, shifted), min(n, n + taps.size - 1 + shifted)
    if high > low:
        from scipy import signal  # slow to import

        together = max(1, _SAMPLES_AT_ONCE // n)  # bounds memory
        for row in range(0, len(rows), together):
            full = signal.oaconvolve(rows[row : row + together], taps[None, :], axes=-1)
            out[row : row + together, low:high] = full[:, low - shifted : high - shifted]
    return y


def resample(
    iq: npt.ArrayLike, step: float, *, start: float = 0.0, num_out: int | None = None, half_width: int | None = None
) -> IQ:
    """Read ``(..., n)`` at the times ``start + m step``, m = 0 … num_out - 1, in samples of the input.

    Parameters
    ----------
    iq
        (..., n) complex.
    step
        Input samples per output sample, > 0. Above 1 the signal is low-passed to the output's band first.
    start
        Time of the first output sample.
    num_out
        Default: every output time below n.
    half_width
        Filter half length in samples of the slower rate.

    Returns
    -------
    (..., num_out) complex64

    Raises
    ------
    ValueError
        `step` not positive and finite, or `num_out` negative.

    Examples
    --------
    >>> tone = np.exp(2j * np.pi * 0.1 * np.arange(400))
    >>> faster = resample(tone, 0.5)
    >>> faster.shape, bool(abs(faster[401] - np.exp(2j * np.pi * 0.1 * 200.5)) < 1e-4)
    ((800,), True)
    """
    x = np.ascontiguousarray(np.asarray(iq).astype(np.complex64, copy=False))
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"'step' must be positive and finite (got {step!r})")
    n = x.shape[-1]
    if num_out is None:
        num_out = max(0, math.ceil((n - start) / step - 1e-9))
    if num_out < 0:
        raise ValueError(f"'num_out' must be at least 0 (got {num_out})")
    # a clock offset of some ppm must not cost bandwidth: the filter narrows only for a real change of rate
    cutoff = 1.0 if step < 1.01 else 1.0 / step
    width = RESAMPLE_HALF_WIDTH if half_width is None else half_width
    table = _polyphase_table(math.ceil(width / cutoff), cutoff)
    y = np.zeros((*x.shape[:-1], num_out), dtype=np.complex64)
    if num_out and n:
        for source, target in zip(x.reshape(-1, n), y.reshape(-1, num_out), strict=True):
            real, imag = np.ascontiguousarray(source.real), np.ascontiguousarray(source.imag)
            _resample_kernel()(real, imag, float(start), float(step), table, target)
    return y


def change_rate(iq: npt.ArrayLike, rate_in_hz: float, rate_out_hz: float) -> IQ:
    """IQ at `rate_in_hz` as IQ at `rate_out_hz`, anti-aliased; sample 0 stays at sample 0, any ratio.

    Examples
    --------
    >>> change_rate(np.ones(1000), 2.4e6, 1e6).shape
    (417,)
    """
    for name, rate in (("rate_in_hz", rate_in_hz), ("rate_out_hz", rate_out_hz)):
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"'{name}' must be positive and finite (got {rate!r})")
    if rate_in_hz == rate_out_hz:
        return np.array(iq, dtype=np.complex64)
    return resample(iq, rate_in_hz / rate_out_hz)


def fractional_delay_taps(delay_samples: float, half_width: int, reach: int) -> npt.NDArray[np.float64]:
    """Impulse response of a delay in [0, reach - half_width): ``(half_width + reach,)``, entry `half_width` is time 0.

    Examples
    --------
    >>> np.flatnonzero(fractional_delay_taps(2.0, 4, 8).round(12)) - 4
    array([2])
    """
    times = np.arange(-half_width, reach, dtype=np.float64)
    return filter_taps(times - delay_samples, half_width)


def _shift(x: IQ, whole: int) -> IQ:
    n = x.shape[-1]
    y = np.zeros(x.shape, dtype=np.complex64)
    if whole >= 0:
        y[..., min(whole, n) :] = x[..., : max(n - whole, 0)]
    else:
        y[..., : max(n + whole, 0)] = x[..., min(-whole, n) :]
    return y


def filter_taps(t: npt.NDArray[np.float64], half_width: float) -> npt.NDArray[np.float64]:
    """The windowed sinc h(t) at times in samples of the slower rate, zero beyond `half_width`."""
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1.0 - (t / half_width) ** 2, 0.0, 1.0))) / np.i0(KAISER_BETA)
    return np.asarray(np.sinc(t) * window * (np.abs(t) <= half_width))


@lru_cache(maxsize=8)
def _polyphase_table(half_width: int, cutoff: float) -> npt.NDArray[np.float32]:
    """(_PHASES + 1, 2 half_width): row p holds h(p/_PHASES - k), k = 1 - half_width … half_width."""
    phase = np.arange(_PHASES + 1)[:, None] / _PHASES
    t = phase - np.arange(1 - half_width, half_width + 1)
    table = cutoff * filter_taps(cutoff * t, cutoff * half_width)
    table /= table.sum(axis=1, keepdims=True)  # a constant passes unchanged
    result = table.astype(np.float32)
    result.setflags(write=False)
    return result


@lru_cache(maxsize=1)
def _resample_kernel() -> Callable[..., Any]:
    """`_resample_loop`, compiled."""
    import numba  # slow to import, and needed here alone: a path loss needs no resampling

    from lora_phy.kernels.cache import CAN_KEEP

    compiled: Callable[..., Any] = numba.njit(cache=CAN_KEEP, fastmath=True, nogil=True)(_resample_loop)
    return compiled


def _resample_loop(real, imag, start, step, table, y):  # type: ignore[no-untyped-def]
    """t_m = start + m step is split into a whole sample and a row of the table; contiguous planes become SIMD lanes."""
    n = real.size
    num_taps = table.shape[1]
    half_width = num_taps // 2
    phases = table.shape[0] - 1
    for m in range(y.size):
        t = start + m * step
        whole = math.floor(t)
        position = (t - whole) * phases
        row = min(int(position), phases - 1)
        upper = np.float32(position - row)
        lower = np.float32(1.0) - upper
        first = int(whole) + 1 - half_width
        low = max(0, -first)
        high = min(num_taps, n - first)
        if high <= low:
            continue
        below, above = table[row, low:high], table[row + 1, low:high]
        re_in, im_in = real[first + low : first + high], imag[first + low : first + high]
        re = np.float32(0.0)
        im = np.float32(0.0)
        for k in range(high - low):
            h = lower * below[k] + upper * above[k]
            re += h * re_in[k]
            im += h * im_in[k]
        y[m] = complex(re, im)
