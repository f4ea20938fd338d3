"""The payload's symbols, read where a timing filter expects them.

Two clocks never agree: at SF12 a clock error of 20 ppm moves a symbol by 0.08 chips, ten chips over a long frame.
Decided symbols measure how early the signal has become (an early chirp is turned by its instantaneous frequency); a
two-state Kalman filter over (earliness, drift) follows it, and each stretch of symbols is interpolated where it says.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import scipy.fft

from lora_phy.arrays import IQ, Bins, FloatArray
from lora_phy.coding.chain import FIRST_BLOCK_LEN
from lora_phy.modem import _payload_kernels as _kernels
from lora_phy.modem.chirps import downchirp, symbol_phases
from lora_phy.modem.demodulation import correlate, scaled_downchirp
from lora_phy.modem.fine_sync import CLOCK_SIGMA_PPM, MAX_CLOCK_PPM
from lora_phy.modem.interpolation import HALF_WIDTH
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
_WANDER = np.array([1e-6, 1e-9, 1e-6, 1e-8])
"""Variance that each symbol adds to the state's four parts."""
Look = Literal["usual", "agile", "fold"]
"""How a payload is read: as usual; following a carrier that may move by a bin in ten symbols; or at the preamble's
timing and carrier, whatever the phase does at each chirp's fold."""
FOLD_BINS = 8
AGILE_RATE = 0.04
_AGILE_WANDER = np.array([1e-5, 1e-9, 1e-4, 4e-3**2])
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
    """Place and carrier of the next data symbol.

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
    """Timing and carrier of data symbol 0, as the preamble tells."""
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
    variance = 0.25 / es + 0.002
    wander = _AGILE_WANDER if look == "agile" else _WANDER
    most = max(1, SAMPLES_PER_STRETCH // num_bins)
    work = _work(most, num_bins, rate)
    state, covariance = timing.state.copy(), timing.covariance.copy()
    done, turns, last = 0, 0.0, origin * rate
    while done < count:
        num = min(most, count - done)
        if abs(state[1]) * num > MAX_STRETCH_DRIFT:
            num = max(1, int(MAX_STRETCH_DRIFT / abs(state[1])))
        if num > SHORTEST_STRETCH and abs(state[3]) * num > MAX_STRETCH_OFFSET:
            num = max(SHORTEST_STRETCH, int(MAX_STRETCH_OFFSET / abs(state[3])))
        if look == "agile":
            num = min(num, SHORTEST_STRETCH)
        verdict = _tracking.SHORTER
        for attempt in range(MOST_READINGS):
            part, rows = slice(done, done + num), work.rows[:num]
            here, cycles, slope = _tracking.read_stretch(
                samples, origin + (first + done) * num_bins, sync.cfo_bins, rate, HALF_WIDTH, LITTLE,
                scaled_downchirp(modem), state, covariance, verdict == _tracking.SHORTER, work.mean, work.spread,
                work.read_at, work.rotor, work.parts, work.stretch, rows, work.dechirped[:num],
            )  # fmt: skip
            z = scipy.fft.fft(work.dechirped[:num], axis=-1, overwrite_x=True) if rate == 1 else correlate(rows, modem)
            # phase 0 of the carrier that was removed is at the first whole sample
            phase = math.fmod(turns + cycles * (here - last), 1.0)
            verdict = _tracking.track_stretch(
                z, rows, downchirp(modem), rate, lead_chips, strides[part], lead_needed, variance, slope, phase,
                look == "fold", attempt == MOST_READINGS - 1, SHORTEST_STRETCH, REREAD, most_drift, wander, _SURPRISE,
                SURPRISE_MARGIN, work.mean, work.spread, work.read_at, work.lead, work.error, work.small, bins[part],
                best[part], matched[part], state, covariance,
            )  # fmt: skip
            if verdict == _tracking.DONE:
                break
            if verdict == _tracking.SHORTER:
                num //= 2
        if look == "fold":
            _kernels.add_across_folds(rows, downchirp(modem), rate, lead_chips, FOLD_BINS, bins[part])
        turns, last = phase, here
        done += num
    if first or look == "fold":  # the first symbols tell the waveform
        return bins, Timing(state=state, covariance=covariance)
    # chirps follow one another without a jump of phase: read one chip late, as the textbook's, a chip's chirp of symbol
    # s is turned by s / N (and a constant); read one chip early, as a chip's, the textbook's is turned by -s / N
    other = _tracking.coherence_of_other_waveform(
        matched, best, symbol_phases(params.sf), 1.0 if params.waveform == "chip" else -1.0
    )
    return bins, Timing(state=state, covariance=covariance, other_waveform=other)


_LOCAL = threading.local()


def _work(count: int, num_bins: int, rate: int) -> _Work:
    """This thread's work space: the next frame of the same kind finds it as it was left."""
    found: _Work | None = getattr(_LOCAL, "work", None)
    if found is None or found.dechirped.shape != (count, num_bins * rate):
        found = _LOCAL.work = _Work(count, num_bins, rate)
    return found


class _Work:
    """Work space for stretches of at most `count` symbols."""

    def __init__(self, count: int, num_bins: int, rate: int) -> None:
        length = num_bins * rate
        self.parts = np.empty(2 * (count * length + 2 * HALF_WIDTH), np.float32)
        self.stretch = self.parts.view(np.complex64)
        self.rows = np.empty((count, length), np.complex64)
        self.dechirped = np.empty((count, length), np.complex64)
        self.rotor = np.empty((2, length), np.float32)
        self.lead, self.error = np.empty(count, np.float32), np.empty((count, 2), np.float32)
        self.small = np.empty((8, 4, 4))
        self.spread, (self.mean, self.read_at) = self.small[7], np.empty((2, 4))


@cache
def _modem_params(sf: int, rate: int) -> LoRaParams:
    return LoRaParams(sf=sf, oversampling=rate)
