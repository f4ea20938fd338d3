"""The payload's symbols, read where a timing filter expects them.

Two clocks never agree: at SF12 a clock error of 20 ppm moves a symbol by 0.08 chips, ten chips over a long frame.
Decided symbols measure how early the signal has become (an early chirp is turned by its instantaneous frequency); a
two-state Kalman filter over (earliness, drift) follows it, and each stretch of symbols is interpolated where it says.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ, Bins
from lora_phy.coding.chain import FIRST_BLOCK_LEN
from lora_phy.modem import _payload_kernels as _kernels
from lora_phy.modem.candidates import FloatArray
from lora_phy.modem.chirps import downchirp, symbol_phases
from lora_phy.modem.demodulation import correlate
from lora_phy.modem.fine_sync import CLOCK_SIGMA_PPM, MAX_CLOCK_PPM
from lora_phy.modem.interpolation import delayed
from lora_phy.modem.sync import Sync
from lora_phy.params import LoRaParams
from lora_phy.receiver import _tracking_kernels as _tracking

SAMPLES_PER_STRETCH = 4096
"""Samples interpolated together, at one per chip."""
MAX_STRETCH_DRIFT = 0.2
"""Chips the timing may move within a stretch."""
MAX_STRETCH_OFFSET = 0.4
"""Bins the carrier may move within a stretch of more than four symbols."""
USUAL_RATE, USUAL_RATE_HZ_PER_S, MOVING_RATE = 1.5e-3, 30.0, 0.02
"""Standard deviation of the carrier's rate in the payload, bins a symbol: where the preamble shows none (or what this
many Hz/s make of it, where that is more), and where it shows one."""
_WANDER = np.diag([1e-6, 1e-9, 1e-6, 1e-8])
"""Variance that each symbol adds to the state."""
Look = Literal["usual", "agile", "fold"]
"""How a payload is read: as usual; following a carrier that may move by a bin in ten symbols; or at the preamble's
timing and carrier, whatever the phase does at each chirp's fold."""
FOLD_BINS = 8
AGILE_RATE = 0.04
_AGILE_WANDER = np.diag([1e-5, 1e-9, 1e-4, 4e-3**2])
"""The same for a carrier that may move fast, several bins within a frame."""
_SURPRISE = np.diag([0.01, 0.0, 0.04, 0.02**2]) + 0.06 * np.outer([1.0, 0.0, -1.0, 0.0], [1.0, 0.0, -1.0, 0.0])
"""Variance before a stretch that the usual one cannot explain: the carrier has begun to move, or a transmitter turns
the phase at the fold, as much as an early chirp on another carrier does."""
SURPRISE_MARGIN = 6.0
LITTLE = 0.05
"""Bins from the middle of a stretch to its ends that a moving carrier may have moved."""
REREAD = 0.25
"""Chips and bins by which a stretch must turn out to lie elsewhere to be read again."""
MOST_READINGS = 4
SHORTEST_STRETCH = 4
"""Symbols, at the least, of a stretch that is halved because its errors scatter."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Where the next data symbol is and on what carrier.

    Parameters
    ----------
    state
        ``(4,)``: earliness (chips), drift (chips a symbol), carrier offset beyond the preamble's (bins), its rate
        (bins a symbol).
    covariance
        ``(4, 4)``, of the state.
    other_waveform
        By how much the symbols read last would be more coherent in the other waveform, -1 … 1.
    """

    state: FloatArray
    covariance: FloatArray
    other_waveform: float = 0.0

    @property
    def drift(self) -> float:
        """Chips by which a symbol is shorter than 2**sf."""
        return float(self.state[1])

    @property
    def offset(self) -> float:
        """Carrier offset beyond the preamble's, in bins."""
        return float(self.state[2])


def initial_timing(sync: Sync, params: LoRaParams, *, look: Look = "usual") -> Timing:
    """What the preamble says about the timing and the carrier of data symbol 0."""
    es = max(params.num_bins * sync.signal_power / sync.noise_power, 1.0)
    elapsed = 2.25 + params.extra_upchirps
    clock, carrier = CLOCK_SIGMA_PPM * 1e-6 * params.num_bins, MOVING_RATE
    drift, rate = sync.drift, sync.rate
    if look == "agile":
        carrier = AGILE_RATE
    elif rate == 0.0:
        # upchirps alone cannot tell a clock from a moving carrier: each takes its share of what little they show
        carrier = max(USUAL_RATE, USUAL_RATE_HZ_PER_S * params.symbol_duration_s**2)
        rate = drift * carrier**2 / (carrier**2 + clock**2)
        drift -= rate
    seen = _preamble_covariance(sync.num_up, round(4 * math.log2(es)), clock, carrier)
    state, covariance = np.empty(4), np.empty((4, 4))
    _tracking.moved(np.array([0.0, drift, 0.0, rate]), seen, elapsed, state, covariance)
    return Timing(state=state, covariance=covariance)


@cache
def _preamble_covariance(num_up: int, quarter_octaves: int, clock: float, carrier: float) -> FloatArray:
    """Covariance of the state at the first downchirp: upchirps show offset plus earliness, downchirps offset minus it;
    `clock` and `carrier` are the standard deviations of drift and rate before that.
    """
    variance = 0.25 / 2 ** (quarter_octaves / 4) + 0.002
    information = np.diag([0.0, clock**-2, 0.0, carrier**-2])
    for i in range(-num_up - 2, 2):
        sign = 1.0 if i < 0 else -1.0
        seen = np.array([sign, sign * (i + 0.5), 1.0, i + 0.5])
        information += np.outer(seen, seen) / variance
    return np.asarray(np.linalg.inv(information) + np.diag([1e-4, 0.0, 1e-4, 0.0]))


def payload_bins(
    samples: IQ,
    sync: Sync,
    timing: Timing,
    params: LoRaParams,
    *,
    first: int,
    count: int,
    rate: int = 1,
    look: Look = "usual",
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
    most_drift = MAX_CLOCK_PPM * 1e-6 * num_bins
    best, matched = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.complex64)
    strides = np.full(count, 4 if params.reduced_rate else 1)
    strides[: max(FIRST_BLOCK_LEN - first, 0)] = 4 if params.header_reduced_rate else 1
    information, push = np.empty((4, 4)), np.empty(4)
    mean, covariance, after, after_covariance = np.empty(4), np.empty((4, 4)), np.empty(4), np.empty((4, 4))
    variance = 0.25 / es + 0.002
    done, turns, last = 0, 0.0, origin * rate
    while done < count:
        fits = int(MAX_STRETCH_DRIFT / max(abs(timing.drift), 1e-6))
        num = max(1, min(SAMPLES_PER_STRETCH // num_bins, fits, count - done))
        num = min(num, max(int(MAX_STRETCH_OFFSET / max(abs(timing.state[3]), 1e-6)), SHORTEST_STRETCH))
        if look == "agile":
            num = min(num, SHORTEST_STRETCH)
        read_at = None
        for attempt in range(MOST_READINGS):
            half, part = 0.5 * (num - 1), slice(done, done + num)
            _tracking.moved(timing.state, timing.covariance, half, mean, covariance)
            read_at = mean if read_at is None else read_at
            begin = origin + (first + done) * num_bins - read_at[0]
            cycles = (sync.cfo_bins + read_at[2]) / (num_bins * rate)
            rows = delayed(samples, rate * begin, rate * num * num_bins, cycles).reshape(num, num_bins * rate)
            slope = read_at[3] if abs(read_at[3]) * half > LITTLE else 0.0
            if slope:
                rows = _unswept(rows, slope)
            scattered = _kernels.read_and_track(
                correlate(rows, modem), rows, downchirp(modem), rate, lead_chips, strides[part], lead_needed, variance,
                bins[part], best[part], matched[part], information, push,
            )  # fmt: skip
            if look == "fold":
                _kernels.add_across_folds(rows, downchirp(modem), rate, lead_chips, FOLD_BINS, bins[part])
                information[:], push[:], scattered = 0.0, 0.0, False
            _tracking.update(
                mean, covariance, read_at, slope, _SURPRISE, SURPRISE_MARGIN, information, push, after, after_covariance
            )
            if attempt == MOST_READINGS - 1:
                break
            if scattered and num >= 2 * SHORTEST_STRETCH:  # symbols decided one beside the truth look like this
                num, read_at = num // 2, None
            elif max(abs(after[0] - read_at[0]), abs(after[2] - read_at[2]), abs(after[3] - slope) * half) >= REREAD:
                read_at = after.copy()
            else:
                break
        # phase 0 of `delayed` is at its first whole sample
        here = math.floor(rate * begin)
        turns = math.fmod(turns + cycles * (here - last), 1.0)
        last = here
        matched[part] *= cmath.exp(-2j * math.pi * turns)
        after[1] = min(max(after[1], -most_drift), most_drift)
        state, next_covariance = np.empty(4), np.empty((4, 4))
        _tracking.moved(after, after_covariance, num - half, state, next_covariance)
        next_covariance += num * (_AGILE_WANDER if look == "agile" else _WANDER)
        timing = Timing(state=state, covariance=next_covariance)
        done += num
    if first or look == "fold":  # the first symbols tell the waveform
        return bins, timing
    return bins, replace(timing, other_waveform=_other_waveform(matched, best, params))


def _unswept(rows: IQ, slope: float) -> IQ:
    """Rows of a carrier that moves by `slope` bins a row, brought to that of their middle."""
    count, length = rows.shape
    places = (np.arange(count) - 0.5 * (count - 1))[:, np.newaxis] * np.arange(length)
    return np.asarray(rows * np.exp(-2j * np.pi * slope / length * places), dtype=np.complex64)


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


@cache
def _modem_params(sf: int, rate: int) -> LoRaParams:
    return LoRaParams(sf=sf, oversampling=rate)
