"""The payload's symbols, read where a timing filter expects them.

Two clocks never agree: at SF12 a clock error of 20 ppm moves a symbol by 0.08 chips, ten chips over a long frame.
Decided symbols measure how early the signal has become (an early chirp is turned by its instantaneous frequency); a
two-state Kalman filter over (earliness, drift) follows it, and each stretch of symbols is interpolated where it says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ, Bins
from lora_phy.coding.chain import FIRST_BLOCK_LEN
from lora_phy.modem import _payload_kernels as _kernels
from lora_phy.modem.chirps import downchirp, symbol_phases
from lora_phy.modem.demodulation import correlate
from lora_phy.modem.fine_sync import CLOCK_SIGMA_PPM
from lora_phy.modem.interpolation import delayed
from lora_phy.modem.sync import Sync
from lora_phy.params import LoRaParams

SAMPLES_PER_STRETCH = 4096
"""Samples interpolated together, at one per chip."""
MAX_STRETCH_DRIFT = 0.2
"""Chips the timing may move within a stretch."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Where the next data symbol is: `earliness` and `drift` in chips, with their covariance.

    `other_waveform` is by how much the symbols read last would be more coherent in the other waveform, -1 … 1.
    """

    earliness: float
    drift: float
    variance: float
    covariance: float
    drift_variance: float
    other_waveform: float = 0.0


def initial_timing(sync: Sync, params: LoRaParams) -> Timing:
    """What the preamble says about the timing of data symbol 0."""
    es = max(params.num_bins * sync.signal_power / sync.noise_power, 1.0)
    drift_variance = min((CLOCK_SIGMA_PPM * 1e-6 * params.num_bins) ** 2, 0.02**2)
    elapsed = 2.25 + params.extra_upchirps
    return Timing(
        earliness=elapsed * sync.drift,
        drift=sync.drift,
        variance=0.05 / es + 1e-4 + elapsed**2 * drift_variance,
        covariance=elapsed * drift_variance,
        drift_variance=drift_variance,
    )


def payload_bins(
    samples: IQ,
    sync: Sync,
    timing: Timing,
    params: LoRaParams,
    *,
    first: int,
    count: int,
    rate: int = 1,
) -> tuple[Bins, Timing]:
    """Matched-filter magnitudes ``(count, 2**sf)`` of data symbols first … first + count - 1, and the timing after
    them.

    `samples` at `rate` per chip; `sync` counts chips. The timing handed in is that of symbol `first`. Symbols are read
    where the waveform of `params` puts them.
    """
    num_bins, lead_chips = params.num_bins, params.early_chips
    modem = _modem_params(params.sf, rate)
    origin = sync.start + (2.25 + params.extra_upchirps) * num_bins - lead_chips
    es = max(num_bins * sync.signal_power / sync.noise_power, 1.0)
    lead_needed = 0.5 * math.sqrt(sync.noise_power / num_bins)
    bins = np.empty((count, num_bins), dtype=np.float32)
    best, matched = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.complex64)
    strides = np.full(count, 4 if params.reduced_rate else 1)
    strides[: max(FIRST_BLOCK_LEN - first, 0)] = 4 if params.header_reduced_rate else 1
    done = 0
    while done < count:
        fits = int(MAX_STRETCH_DRIFT / max(abs(timing.drift), 1e-6))
        num = max(1, min(SAMPLES_PER_STRETCH // num_bins, fits, count - done))
        early = timing.earliness + 0.5 * (num - 1) * timing.drift
        begin = origin + (first + done) * num_bins - early
        cycles = sync.cfo_bins / (num_bins * rate)
        rows = delayed(samples, rate * begin, rate * num * num_bins, cycles).reshape(num, num_bins * rate)
        part = slice(done, done + num)
        innovation, used = _kernels.read_and_time(
            correlate(rows, modem), rows, downchirp(modem), rate, lead_chips, strides[part], lead_needed,
            bins[part], best[part], matched[part],
        )  # fmt: skip
        # phase 0 of `delayed` is at its first whole sample
        matched[part] *= np.exp(-2j * np.pi * math.fmod(cycles * math.floor(rate * begin), 1.0))
        timing = _advance(timing, num, innovation, used, es)
        done += num
    bins = np.roll(bins, lead_chips, axis=1) if lead_chips else bins
    return bins, replace(timing, other_waveform=_other_waveform(matched, best, params))


def _other_waveform(matched: IQ, values: npt.NDArray[np.int64], params: LoRaParams) -> float:
    """By how much neighbouring chirps agree better in phase if the waveform is the other one, over their magnitudes.

    Chirps follow one another without a jump of phase. Read one chip late, as the textbook's, a chip's chirp of symbol s
    is turned by s / N (and a constant); read one chip early, as a chip's, the textbook's is turned by -s / N.
    """
    matched = matched * symbol_phases(params.sf)[values].conj()
    turns = matched[1:] * matched[:-1].conj()
    total = float(np.abs(turns).sum())
    sign = 1 if params.waveform == "chip" else -1
    moved = turns * np.exp(2j * np.pi * sign * np.diff(values) / params.num_bins)
    return float((moved - turns).real.sum()) / total if total > 0 else 0.0


def _advance(timing: Timing, num: int, innovation: float, used: int, es: float) -> Timing:
    """Kalman step over `num` symbols, whose mean measured earliness beyond the predicted is `innovation`."""
    half = 0.5 * (num - 1)
    earliness, drift = timing.earliness + half * timing.drift, timing.drift
    p00 = timing.variance + 2 * half * timing.covariance + half**2 * timing.drift_variance
    p01 = timing.covariance + half * timing.drift_variance
    p11 = timing.drift_variance
    if used:
        # 3 / (2 pi^2 Es/N0) is the bound for one symbol; a quarter of a chip's scatter stands for wrong decisions
        noise = (0.25 / es + 0.002) / used
        gain0, gain1 = p00 / (p00 + noise), p01 / (p00 + noise)
        earliness += gain0 * innovation
        drift += gain1 * innovation
        p11 -= gain1 * p01
        p01 -= gain0 * p01
        p00 -= gain0 * p00
    rest = num - half
    return Timing(
        earliness=earliness + rest * drift,
        drift=drift,
        variance=p00 + 2 * rest * p01 + rest**2 * p11 + 1e-6 * num,
        covariance=p01 + rest * p11,
        drift_variance=p11 + 1e-9 * num,
    )


@cache
def _modem_params(sf: int, rate: int) -> LoRaParams:
    return LoRaParams(sf=sf, oversampling=rate)
