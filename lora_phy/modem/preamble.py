"""Finding preambles: the energy of several dechirped windows, summed before anything is decided.

Windows of N = 2**sf samples start every half symbol. Dechirped, every window of a preamble shows the same tone; with
r_q[k] the energy of window q at bin k over the energy of the whole window,

    T_q[k] = sum_j r_(q - 2 j)[k],    j = 0 … n - 1,

and a preamble is a peak of T over all bins and half bins. In noise r is N Beta(1, N - 1), at most exponential with
mean 1 whatever the level, so T has (at most) the tail of a Gamma(n) variable: thresholds follow from a false-alarm
probability, nothing is tuned. Non-coherent summation of eight windows decides 7 dB below a chain of single decisions.
Half bins (z[k] - z[k+1]) / sqrt 2 halve the scalloping loss of a fractional offset without a longer transform. Where T
comes near the threshold it is taken again a quarter symbol to either side, where the phase step that a fractional delay
puts at a chirp's fold may lie nearer a window's edge: the best of these must pass.

Everything here works at one sample per chip, upchirps up (an inverted frame is conjugated before).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special

from lora_phy.arrays import IQ
from lora_phy.modem import _detection_kernels as _kernels
from lora_phy.modem.chirps import downchirp, upchirp
from lora_phy.modem.transforms import transformed
from lora_phy.params import LoRaParams

HOPS_PER_SYMBOL = 4
"""Parts of a symbol to which a peak is placed."""
WINDOWS_PER_SYMBOL = 2
"""Windows a symbol in which a preamble is looked for."""
PEAK_RADIUS = 4 * WINDOWS_PER_SYMBOL
MAX_SUMMED = 8
COUNT_FLOOR = 2.0
"""Energy that most of the summed windows must have: one strong data symbol is not a preamble."""
FALSE_PER_SYMBOL = 2e-3
"""Peaks a symbol of pure noise that are handed on to the synchroniser, which rejects them."""
NEAR_THRESHOLD = 0.8
"""Part of the threshold from which on a peak is looked at more closely."""
_SAMPLES_TOGETHER = 1 << 15
"""Samples of windows transformed together: few enough for the cache."""
_WHOLE_BINS = (0.0, 1.0, 2.0, 3.0)

Energies = npt.NDArray[np.float32]
_LOCAL = threading.local()


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A peak of the preamble statistic: `num_summed` upchirps end with the window that starts at `start`."""

    start: int
    half_bin: int
    statistic: float
    num_summed: int


def num_summed_windows(params: LoRaParams) -> int:
    """Windows summed by the detector: the upchirps of the shortest acceptable preamble, at most 8."""
    return max(5, min(params.preamble_len, MAX_SUMMED))


def detection_threshold(params: LoRaParams, false_per_symbol: float = FALSE_PER_SYMBOL) -> float:
    """Threshold of the statistic that noise passes `false_per_symbol` times a symbol, by the Gamma tail and the union
    bound.

    Examples
    --------
    >>> round(detection_threshold(LoRaParams(sf=7)), 1)
    28.3
    """
    return _threshold(params.sf, num_summed_windows(params), false_per_symbol)


@cache
def _threshold(sf: int, num_summed: int, false_per_symbol: float) -> float:
    cells = (2 << sf) * HOPS_PER_SYMBOL
    return float(scipy.special.gammainccinv(num_summed, false_per_symbol / cells))


def window_energies(
    samples: IQ, starts: npt.NDArray[np.int64], sf: int, *, down: bool = False, out: Energies | None = None
) -> Energies:
    """Energies ``(num_windows, 2 * 2**sf)`` at whole, then at half bins, of windows that start at `starts`.

    Divided by the energy of the window: noise gives mean 1. Windows reach beyond the array into zeros. `down`: look
    for downchirps. `out`: where the result is put.
    """
    num_bins = 1 << sf
    reference = reference_chirp(sf, down=down)
    if out is None:
        out = np.empty((len(starts), 2 * num_bins), np.float32)
    count = len(starts)
    together = min(max(1, _SAMPLES_TOGETHER // num_bins), count)
    rows, energy = _work_space((together, num_bins), np.complex64), np.empty(together, dtype=np.float32)
    for first in range(0, count, together):
        part = slice(first, first + together)
        rows = rows[: len(starts[part])]
        _kernels.dechirp_windows(samples, starts[part], reference, rows, energy)
        _kernels.half_bin_energies(transformed(rows), energy, out[part])
    return out


def _work_space(shape: tuple[int, int], dtype: type[Any]) -> npt.NDArray[Any]:
    """An array of this thread that is used again: fresh memory costs a page fault every 4 KiB, as much as the work."""
    known: dict[str, npt.NDArray[Any]] = _LOCAL.__dict__
    size = shape[0] * shape[1]
    found = known.get(dtype.__name__)
    if found is None or found.size < size:
        found = known[dtype.__name__] = np.empty(size, dtype)
    return found[:size].reshape(shape)


def energies_before(samples: IQ, params: LoRaParams, *, first_window: int, base: int = 0) -> Energies:
    """Energies of the windows that T of window `first_window` needs besides its own, as of `window_energies`."""
    hop = params.num_bins // WINDOWS_PER_SYMBOL
    lead = (num_summed_windows(params) - 1) * WINDOWS_PER_SYMBOL
    return window_energies(samples, np.arange(first_window - lead, first_window) * hop - base, params.sf)


def preamble_statistic(
    samples: IQ, params: LoRaParams, before: Energies, *, first_window: int, num_windows: int, base: int = 0
) -> tuple[Energies, npt.NDArray[np.int64]]:
    """max T_q and its half bin for windows q = first_window …, which start at sample ``q 2**sf / 2 - base`` of
    `samples`.

    The half bin is -1 where T is not near the threshold of `detection_threshold`, or where most windows hold nothing.
    `before` are the `energies_before` the first window; they become those before the window that follows the last.
    """
    hop = params.num_bins // WINDOWS_PER_SYMBOL
    num_sum = num_summed_windows(params)
    lead = len(before)
    starts = np.arange(first_window, first_window + num_windows) * hop - base
    energies = _work_space((lead + num_windows, 2 * params.num_bins), np.float32)
    energies[:lead] = before
    window_energies(samples, starts, params.sf, out=energies[lead:])
    before[:] = energies[num_windows:]
    peak = np.empty(num_windows, dtype=np.float32)
    where = np.empty(num_windows, dtype=np.int64)
    threshold = np.float32(NEAR_THRESHOLD * detection_threshold(params))
    _kernels.preamble_statistic(
        energies, lead, num_sum, WINDOWS_PER_SYMBOL, threshold, np.float32(COUNT_FLOOR), min(num_sum, 5), peak, where
    )
    return peak, where


def pick_peaks(
    samples: IQ,
    peak: Energies,
    where: npt.NDArray[np.int64],
    low: int,
    high: int,
    params: LoRaParams,
    *,
    first_window: int,
    base: int = 0,
) -> list[Candidate]:
    """The peaks of the statistic at indices [low, high) that pass the threshold.

    Index 0 is window `first_window`, sample 0 of `samples` number `base` of the stream. Each window that is near the
    threshold, and the first maximum within four symbols, is moved to the best of its neighbours a quarter symbol to
    either side.
    """
    num_bins, sf, num_summed = params.num_bins, params.sf, num_summed_windows(params)
    found = np.empty(max(high - low, 0), dtype=np.int64)
    count = _kernels.first_maxima(peak, where, PEAK_RADIUS, low, high, found)
    passed = []
    for i in found[:count].tolist():
        start, column = (first_window + i) * (num_bins // WINDOWS_PER_SYMBOL), int(where[i])
        half_bin = 2 * (column % num_bins) + column // num_bins
        near = best_nearby(samples, start - base, half_bin, num_summed, sf, steps=1)
        if near.statistic >= detection_threshold(params):
            passed.append(replace(near, start=near.start + base))
    return passed


def best_nearby(samples: IQ, start: int, half_bin: int, num_summed: int, sf: int, *, steps: int) -> Candidate:
    """The largest T at most `steps` quarter symbols from `start` and about one bin from `half_bin`."""
    num_bins = 1 << sf
    moved, best, statistic = _kernels.best_nearby(
        samples, start, half_bin, num_summed, steps, num_bins // HOPS_PER_SYMBOL, reference_chirp(sf),
        *zoom_table(sf, _WHOLE_BINS),
    )  # fmt: skip
    return Candidate(start=start + moved, half_bin=best % (2 * num_bins), statistic=statistic, num_summed=num_summed)


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Outcome of a channel-activity detection over one span of samples."""

    active: bool
    statistic: float
    threshold: float
    half_bin: int


def detect_activity(iq: npt.ArrayLike, params: LoRaParams, *, num_symbols: int = 2, p_fa: float = 1e-3) -> Activity:
    """Is anyone sending chirps of this spreading factor? The first `num_symbols` symbols of `iq` decide (CAD).

    Parameters
    ----------
    iq
        ``(n,)`` complex at one sample per chip, n at least ``num_symbols * 2**sf``.
    p_fa
        Probability that white noise is called active (an upper bound: the union over bins).

    Examples
    --------
    >>> from lora_phy.modem.modulation import modulate
    >>> params = LoRaParams(sf=7)
    >>> detect_activity(modulate([0, 0], params), params).active, detect_activity(np.zeros(256), params).active
    (True, False)
    """
    samples = np.ascontiguousarray(np.asarray(iq).astype(np.complex64, copy=False))
    if samples.ndim != 1 or len(samples) < num_symbols * params.num_bins or num_symbols < 1:
        raise ValueError(
            f"'iq' must hold at least {num_symbols} symbols of {params.num_bins} samples (got {samples.shape})"
        )
    if params.inverted_iq:
        samples = np.conjugate(samples)
    starts = np.arange(num_symbols, dtype=np.int64) * params.num_bins
    total = window_energies(samples, starts, params.sf).sum(axis=0)
    best = int(np.argmax(total))
    threshold = activity_threshold(params.sf, num_symbols, p_fa)
    return Activity(
        active=bool(total[best] > threshold), statistic=float(total[best]), threshold=threshold, half_bin=best
    )


def activity_threshold(sf: int, num_symbols: int, p_fa: float) -> float:
    """Threshold of the energy summed over `num_symbols` windows for a false-alarm probability of at most `p_fa`."""
    if not 0 < p_fa < 1:
        raise ValueError(f"'p_fa' must be in (0, 1) (got {p_fa!r})")
    return float(scipy.special.gammainccinv(num_symbols, p_fa / (2 << sf)))


def activity_probability(sf: int, num_symbols: int, p_fa: float, snr_db: float) -> float:
    """P_d of `detect_activity` on aligned upchirps at a whole-bin offset: Q_n(sqrt(2 n Es/N0'), sqrt(2 threshold)).

    The window's energy, which normalises, holds the signal too: Es/N0' = N snr / (1 + snr) and the noise floor
    shrinks by 1 / (1 + snr).

    Examples
    --------
    >>> round(activity_probability(7, 2, 1e-3, -10.0), 2)
    0.95
    """
    import scipy.stats  # slow to import

    snr = 10 ** (snr_db / 10)
    threshold = activity_threshold(sf, num_symbols, p_fa) * (1 + snr)
    return float(scipy.stats.ncx2.sf(2 * threshold, 2 * num_symbols, 2 * num_symbols * (1 << sf) * snr))


@cache
def reference_chirp(sf: int, *, down: bool = False) -> IQ:
    """Reference chirp that turns upchirps (`down`: downchirps) into tones when multiplied, one sample per chip."""
    params = LoRaParams(sf=sf)
    return upchirp(params) if down else downchirp(params)


@cache
def zoom_table(sf: int, tones: tuple[float, ...]) -> tuple[Energies, Energies]:
    """Real and imaginary part of exp(-2 pi j tone n / N), ``(len(tones), N)`` each."""
    num_bins = 1 << sf
    table = np.exp(-2j * np.pi / num_bins * np.outer(tones, np.arange(num_bins)))
    return table.real.astype(np.float32), table.imag.astype(np.float32)
