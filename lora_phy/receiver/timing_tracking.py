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

from lora_phy.arrays import IQ, Bins, FloatArray
from lora_phy.modem import _payload_kernels as _kernels
from lora_phy.modem.chirps import downchirp, symbol_phases
from lora_phy.modem.demodulation import correlate, scaled_downchirp
from lora_phy.modem.fine_sync import CLOCK_SIGMA_PPM, MAX_CLOCK_PPM
from lora_phy.modem.interpolation import HALF_WIDTH
from lora_phy.modem.sync import Sync
from lora_phy.modem.transforms import transformed
from lora_phy.params import LoRaParams
from lora_phy.receiver import _tracking_kernels as _tracking
from lora_phy.receiver._tracking_kernels import SHORTEST_STRETCH

SAMPLES_PER_STRETCH = 4096
"""Samples interpolated together, at one per chip."""
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
    covariance = _first_covariance(sync.num_up, round(4 * math.log2(es)), clock, carrier, elapsed)
    return Timing(state=np.array((elapsed * drift, drift, elapsed * rate, rate)), covariance=covariance)


@cache
def _first_covariance(num_up: int, quarter_octaves: int, clock: float, carrier: float, elapsed: float) -> FloatArray:
    """Covariance of the state `elapsed` symbols behind the first downchirp: upchirps show offset plus earliness,
    downchirps offset minus it; `clock` and `carrier` are the standard deviations of drift and rate before that.
    """
    variance = 0.25 / 2 ** (quarter_octaves / 4) + 0.002
    information = np.diag([0.0, clock**-2, 0.0, carrier**-2])
    for i in range(-num_up - 2, 2):
        sign = 1.0 if i < 0 else -1.0
        seen = np.array([sign, sign * (i + 0.5), 1.0, i + 0.5])
        information += np.outer(seen, seen) / variance
    seen_covariance = np.linalg.inv(information) + np.diag([1e-4, 0.0, 1e-4, 0.0])
    covariance = np.empty((4, 4))
    _tracking.moved(np.zeros(4), seen_covariance, elapsed, np.empty(4), covariance)
    return covariance


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
    es = max(num_bins * sync.signal_power / sync.noise_power, 1.0)
    bins = np.empty((count, num_bins), dtype=np.float32)
    best, matched = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.complex64)
    work = _work(params.sf, rate)
    origin = sync.start + (2.25 + params.extra_upchirps) * num_bins - lead_chips
    fold = look == "fold"
    task = np.array((
        origin, sync.cfo_bins, first, rate, HALF_WIDTH, lead_chips,
        4 if params.header_reduced_rate else 1, 4 if params.reduced_rate else 1,
        0.5 * math.sqrt(sync.noise_power / num_bins), 0.25 / es + 0.002, MAX_CLOCK_PPM * 1e-6 * num_bins, fold,
        SHORTEST_STRETCH if look == "agile" else count,
    ))  # fmt: skip
    state, covariance = timing.state.copy(), timing.covariance.copy()
    progress = np.zeros(9)
    progress[8] = origin * rate
    arguments = (
        task, progress, work.stretch, work.rows, work.dechirped, work.chirp, work.scaled, work.strides, work.scratch,
        work.small, bins, best, matched, state, covariance,
    )  # fmt: skip
    work.small[10, 0] = _AGILE_WANDER if look == "agile" else _WANDER
    num = _tracking.next_stretch(samples, _NOTHING, *arguments)
    done = 0
    while num:
        if rate == 1:
            z = transformed(work.dechirped[:num])
        else:
            z = correlate(work.rows[:num], work.modem)
        read, num = num, _tracking.next_stretch(samples, z, *arguments)
        if fold:
            part = bins[done : done + read]
            _kernels.add_across_folds(work.rows[:read], work.chirp, rate, lead_chips, FOLD_BINS, part)
            done += read
            num = _tracking.next_stretch(samples, _NOTHING, *arguments)
    if first or fold:  # the first symbols tell the waveform
        return bins, Timing(state=state, covariance=covariance)
    # chirps follow one another without a jump of phase: read one chip late, as the textbook's, a chip's chirp of symbol
    # s is turned by s / N (and a constant); read one chip early, as a chip's, the textbook's is turned by -s / N
    other = _tracking.coherence_of_other_waveform(
        matched, best, symbol_phases(params.sf), 1.0 if params.waveform == "chip" else -1.0
    )
    return bins, Timing(state=state, covariance=covariance, other_waveform=other)


_LOCAL = threading.local()
_NOTHING = np.empty((0, 0), np.complex64)


def _work(sf: int, rate: int) -> _Work:
    """This thread's work space: the next frame of the same kind finds it as it was left."""
    known: dict[tuple[int, int], _Work] = _LOCAL.__dict__.setdefault("work", {})
    if (sf, rate) not in known:
        known[sf, rate] = _Work(sf, rate)
    return known[sf, rate]


class _Work:
    """Work space for stretches of symbols of a spreading factor, at so many samples a chip."""

    def __init__(self, sf: int, rate: int) -> None:
        self.modem = LoRaParams(sf=sf, oversampling=rate)
        self.chirp, self.scaled = downchirp(self.modem), scaled_downchirp(self.modem)
        count, length = max(1, SAMPLES_PER_STRETCH >> sf), rate << sf
        self.stretch = np.empty(count * length + 2 * HALF_WIDTH, np.complex64)
        self.rows = np.empty((count, length), np.complex64)
        self.dechirped = np.empty((count, length), np.complex64)
        self.strides = np.empty(count, np.int64)
        self.scratch = np.empty(3 * count + 2 * length, np.float32)
        self.small = np.empty((11, 4, 4))
        self.small[9] = _SURPRISE
