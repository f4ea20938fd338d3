"""One filter bank for all channels of a gateway, by overlap and save.

    wide stream ─ FFT of length L, once ─► each channel: the bins around it × filter ─ folded ─ IFFT ─► 2 a chip
                                                                              └ × filter ─ folded ─ IFFT ─► 1 a chip

Blocks of L samples overlap by an eighth, of which the filters' tails need less than half. L is such that a chip rate is
a whole number of bins, and that both ends of a block lie on chips; a channel's centre is moved to the nearest bin, and
what it was moved by (at most half a bin, some 50 Hz) is told. The two filters are those of the receiver's front end,
sampled finely, so a channel carries what `lora_phy.receive` would see of it alone.

Source: M. Borgerding, "Turning overlap-save into a multiband mixing, downsampling filter bank", IEEE Signal Processing
Magazine 23(2), 2006.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft

from lora_phy.arrays import IQ
from lora_phy.receiver import _filter_bank_kernels as _kernels
from lora_phy.receiver.front_end import DECIMATE_HALF_WIDTH, RATE_HALF_WIDTH, Buffer
from lora_phy.resampling import filter_taps

_CHIPS = (1280, 1600, 1920, 2560, 3200, 3840, 5120, 1024, 2048, 4096)
"""Chips in a block that are tried: multiples of 16, of small factors."""
_EDGE = 16
"""Part of a block that lies on either side of what is used."""
_AT_ONCE = 8
"""Blocks worked on together: enough to hide the cost of a call, few enough for the cache."""
_SKIRT = 1.25
"""How far a filter's response is followed, in halves of the rate behind it."""


@dataclass(frozen=True)
class Plan:
    """Block lengths of one bandwidth: L samples of the wide stream, `chips` of the channel."""

    length: int
    chips: int
    rate_hz: float

    @property
    def edge(self) -> int:
        """Samples of the wide stream that overlap at either end."""
        return self.length // _EDGE

    @property
    def step(self) -> int:
        """Samples from block to block."""
        return self.length - 2 * self.edge


def plan_blocks(rate_hz: float, bandwidth_hz: float) -> Plan | None:
    """Block lengths for a rate and a bandwidth; None where no length suits both.

    Examples
    --------
    >>> plan_blocks(1.6e6, 125e3)
    Plan(length=16384, chips=1280, rate_hz=1600000.0)
    """
    if rate_hz < 2 * bandwidth_hz * _SKIRT:
        return None
    for chips in _CHIPS:
        length = chips * rate_hz / bandwidth_hz
        whole = round(length)
        if abs(length - whole) < 1e-6 and whole % _EDGE == 0 and scipy.fft.next_fast_len(whole) == whole:
            return Plan(whole, chips, rate_hz)
    return None


class WideSpectra:
    """Spectra of the blocks of a wide stream that comes in chunks: `push` each, `finish` at the end.

    Both give, some blocks at a time, the first one's number and ``(count, length)`` bins, in an array that is used
    again for the next blocks. Beyond the stream's ends are zeros. Blocks are taken together at fixed places of the
    stream, so that chunks do not show; what no block needs any more is forgotten.
    """

    def __init__(self, plan: Plan) -> None:
        """Take the block lengths."""
        self._plan = plan
        self._held = Buffer(-plan.edge, np.zeros(plan.edge, np.complex64), plan.edge)
        self._number = 0
        self._blocks = np.empty((_AT_ONCE, plan.length), np.complex64)

    def push(self, samples: IQ) -> Iterator[tuple[int, npt.NDArray[np.complex64]]]:
        """Take the next samples; give the blocks that have become whole."""
        self._held.append(samples)
        group = _AT_ONCE * self._plan.step
        while self._held.end >= self._number * self._plan.step + group + self._plan.edge:
            yield self._next(_AT_ONCE)

    def finish(self) -> Iterator[tuple[int, npt.NDArray[np.complex64]]]:
        """Give the blocks that are left: the stream has ended."""
        total = self._held.end
        while (left := math.ceil(total / self._plan.step) - self._number) > 0:
            missing = (self._number + left) * self._plan.step + self._plan.edge - self._held.end
            self._held.append(np.zeros(max(missing, 0), np.complex64))
            yield self._next(min(left, _AT_ONCE))

    def _next(self, count: int) -> tuple[int, npt.NDArray[np.complex64]]:
        first, step, edge = self._number, self._plan.step, self._plan.edge
        rows = self._blocks[:count]
        for number, row in enumerate(rows, first):
            row[:] = self._held.view(number * step - edge)[: self._plan.length]
        self._number += count
        self._held.drop(self._number * step - edge)
        return first, scipy.fft.fft(rows, axis=-1, overwrite_x=True)


def channel_streams(
    first_block: int, spectra: npt.NDArray[np.complex64], plan: Plan, centre_hz: float, *, conjugate: bool = False
) -> tuple[IQ, IQ]:
    """A channel's samples at one and at two per chip, out of some blocks' spectra as `WideSpectra` gives them.

    Parameters
    ----------
    centre_hz
        Centre of the channel; `moved_by_hz` says what it was moved by.
    conjugate
        True: the channel's samples are conjugated (inverted IQ).
    """
    centre, chips, count = _nearest_bin(centre_hz, plan), plan.chips, len(spectra)
    # a block begins at sample number * step - edge, where the channel's carrier has turned by
    begins = np.arange(first_block, first_block + count) * plan.step - plan.edge
    turns = centre * (begins % plan.length) % plan.length / plan.length
    fine, chip = np.empty((count, 2 * chips), np.complex64), np.empty((count, chips), np.complex64)
    _kernels.filter_and_fold(
        spectra, centre, *_filters(plan), np.exp(-2j * np.pi * turns).astype(np.complex64), fine, chip
    )
    edge = chips // _EDGE
    streams = []
    for spectrum, rate in ((chip, 1), (fine, 2)):
        kept = scipy.fft.ifft(spectrum, axis=-1, overwrite_x=True)[:, rate * edge : rate * (chips - edge)]
        streams.append((np.conjugate(kept) if conjugate else kept).reshape(-1))
    return streams[0], streams[1]


def moved_by_hz(centre_hz: float, plan: Plan) -> float:
    """By how much a channel lies beside its centre: what its frames' offsets lack.

    Examples
    --------
    >>> moved_by_hz(200e3, plan_blocks(1.6e6, 125e3)), round(moved_by_hz(200_010.0, plan_blocks(1.6e6, 125e3)), 6)
    (0.0, -10.0)
    """
    bin_hz = plan.rate_hz / plan.length
    return round(centre_hz / bin_hz) * bin_hz - centre_hz


def _nearest_bin(centre_hz: float, plan: Plan) -> int:
    return round(centre_hz / plan.rate_hz * plan.length)


@lru_cache(maxsize=16)
def _filters(plan: Plan) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Responses of the front end's two low-passes: to two samples a chip, at the bins around a channel; to one."""
    chips, length = plan.chips, plan.length
    fine_cutoff, decimation = 2 * chips / length, 0.5
    half = math.ceil(RATE_HALF_WIDTH / fine_cutoff)
    response = _response(fine_cutoff, RATE_HALF_WIDTH, half, length)
    reach = int(_SKIRT * chips)
    first = np.concatenate([response[-reach:], response[:reach]]) * (2 * chips / length)
    response = _response(decimation, DECIMATE_HALF_WIDTH, 2 * DECIMATE_HALF_WIDTH, 2 * chips)
    second = np.concatenate([response[chips:], response[:chips]]) * decimation
    return first.astype(np.float32), second.astype(np.float32)


def _response(cutoff: float, half_width: int, reach: int, length: int) -> npt.NDArray[np.float64]:
    """Frequency response ``(length,)`` of a low-pass symmetric about sample 0."""
    taps = cutoff * filter_taps(cutoff * np.arange(-reach, reach + 1, dtype=np.float64), half_width)
    padded = np.zeros(length)
    padded[np.arange(-reach, reach + 1) % length] = taps / taps.sum()
    return np.asarray(np.fft.fft(padded).real)
