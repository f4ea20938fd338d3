"""The front end: from the input stream to one sample per chip, and to the payload's rate."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.kernels.lanes import aligned_empty
from lora_phy.modem import _interpolation_kernels as _kernels
from lora_phy.resampling import filter_taps, resample

RATE_BLOCK = 4096
RATE_HALF_WIDTH = 16
DECIMATE_HALF_WIDTH = 32
LARGEST_RATE_RATIO = 1024
"""Samples a chip at the most."""
DC_BLOCK_CHIPS = 1 << 14
"""Chips over which a constant is estimated: four symbols of SF12, so that a chirp has next to none of its own."""
DC_PARTS = 16
DC_EVIDENCE = 50.0
"""A block's constant is the median over its parts' means; energy of it over that of noise of the block's power, from
which on it is believed: noise exceeds it with a probability below 1e-12."""


class DcBlocker:
    """A constant taken off, block by block, where it stands out of the block's other power.

    Blocks lie at fixed places of the stream, so that chunks do not show. What is left over is passed on by `finish`.
    """

    def __init__(self, block: int) -> None:
        """Take the block's length in samples."""
        self.block = block
        self.rest: IQ = np.empty(0, np.complex64)
        self._constant = np.complex64(0.0)

    def push(self, samples: IQ) -> IQ:
        """The samples of all blocks that are whole by now, without their constants."""
        held = np.concatenate([self.rest, samples]) if len(self.rest) else samples
        whole = len(held) // self.block * self.block
        self.rest = held[whole:].copy()
        if not whole:
            return held[:0]
        blocks = held[:whole].reshape(-1, self.block)
        constants = _constants(blocks)
        self._constant = constants[-1]
        return (blocks - constants[:, np.newaxis]).reshape(-1) if constants.any() else held[:whole]

    def finish(self) -> None:
        """Clear `rest` of its constant: of the block before it where it is short."""
        if len(self.rest):
            own = len(self.rest) >= self.block // 2 or self._constant == 0.0
            self.rest = self.rest - (_constants(self.rest[np.newaxis])[0] if own else self._constant)


def dc_blocker(rate_hz: float, bandwidths_hz: Iterable[float]) -> DcBlocker:
    """The blocker for a stream in which signals of these bandwidths are sought."""
    return DcBlocker(math.ceil(DC_BLOCK_CHIPS * rate_hz / min(bandwidths_hz)))


def without_constant(samples: IQ, rate_hz: float, bandwidths_hz: Iterable[float]) -> IQ:
    """A whole stream without its constant."""
    blocker = dc_blocker(rate_hz, bandwidths_hz)
    begun = blocker.push(samples)
    blocker.finish()
    return np.concatenate([begun, blocker.rest])


def _constants(blocks: IQ) -> IQ:
    """Each block's constant ``(num_blocks,)``, by medians over its parts (a burst is no constant), 0 where none is
    evident.
    """
    found = np.zeros(len(blocks), np.complex64)
    if blocks.shape[1] >= DC_PARTS:
        work, lanes = np.empty((3, DC_PARTS), np.float32), aligned_empty(16)
        pairs = np.ascontiguousarray(blocks).view(np.float32)
        _kernels.constants(pairs, np.float32(DC_EVIDENCE), work, lanes, found)
    return found


class ResamplingFrontEnd:
    """Resampling of the input stream to one sample per chip (`chips`) and to the payload's rate (`fine`, one or two per
    chip).
    """

    def __init__(self, rate_hz: float, bandwidth_hz: float, center_hz: float, conjugate: bool) -> None:
        """Take the input's rate, the channel's width and centre, and whether frames are inverted."""
        self.samples_per_chip = rate_hz / bandwidth_hz
        self.rate = 1 if abs(self.samples_per_chip - 1) < 1e-9 else 2
        self._cycles = center_hz / rate_hz
        self._conjugate = conjugate
        self._count = 0
        self._step = self.samples_per_chip / self.rate
        self._passes = abs(self._step - 1) < 1e-9
        self._raw = Buffer(0, np.empty(0, np.complex64))
        self.chips = Buffer(0, np.empty(0, np.complex64))
        self.fine = self.chips if self.rate == 1 else Buffer(0, np.empty(0, np.complex64))

    def lead_in(self, num_chips: int) -> None:
        """Let the stream begin with (at least) this many zeros before sample 0."""
        lead_in_chips(self, num_chips)

    def push(self, samples: IQ) -> None:
        """Take the next samples of the input."""
        if self._cycles:
            mixed = np.empty(len(samples), np.complex64)
            self._mix_blocks(samples, mixed)
            samples = mixed
        self._count += len(samples)
        if self._conjugate:
            samples = np.conjugate(samples)
        if self._passes:
            self.fine.append(samples)
        else:
            self._raw.append(samples)
        self._convert(final=False)

    def finish(self) -> None:
        """Convert what is left: the input has ended."""
        self._convert(final=True)

    def _mix_blocks(self, samples: IQ, out: IQ) -> None:
        # phase steps on a fixed grid of the stream, so that chunks do not show
        done = 0
        while done < len(samples):
            here = self._count + done
            block = here // RATE_BLOCK
            stop = min(len(samples), done + RATE_BLOCK - here % RATE_BLOCK)
            table = np.empty(RATE_BLOCK, np.complex64)
            phase = -math.fmod(self._cycles * block * RATE_BLOCK, 1.0)
            _kernels.mix(np.ones(RATE_BLOCK, np.complex64), 0, -self._cycles, phase, table)
            inside = here % RATE_BLOCK
            out[done:stop] = samples[done:stop] * table[inside : inside + stop - done]
            done = stop

    def _convert(self, *, final: bool) -> None:
        if not self._passes:
            self._resample_blocks(self._raw, self.fine, self._step, RATE_HALF_WIDTH, self._count, final)
        if self.rate == 2:
            total = self.fine.end
            self._resample_blocks(self.fine, self.chips, 2.0, DECIMATE_HALF_WIDTH, total, final)

    def _resample_blocks(
        self, source: Buffer, target: Buffer, step: float, half_width: int, total: int, final: bool
    ) -> None:
        reach = math.ceil(half_width * max(step, 1.0)) + 2
        num_out = math.ceil(total / step - 1e-9) if final else -1
        while True:
            start = target.end
            stop = start - start % RATE_BLOCK + RATE_BLOCK
            if final:
                stop = min(stop, num_out)
            low, high = math.floor(start * step) - reach, math.ceil(stop * step) + reach
            if start >= stop or (high > total and not final):
                break
            low = max(low, source.base)
            block = source.view(low)[: max(high - low, 0)]
            target.append(_at_lower_rate(block, step, start * step - low, stop - start, half_width))
        if source is self._raw:
            source.drop(math.floor(target.end * step) - reach - 1)

    def drop(self, before_chip: int) -> None:
        """Forget what lies before a chip."""
        drop_chips(self, before_chip)


def _at_lower_rate(samples: IQ, step: float, start: float, num_out: int, half_width: int) -> IQ:
    """`resample`, faster where all times are whole samples."""
    if step != round(step) or start != round(start):
        return resample(samples, step, start=start, num_out=num_out, half_width=half_width)
    whole = round(step)
    out = np.empty(num_out, np.complex64)
    _kernels.decimate(samples, round(start) - half_width * whole + 1, whole, _decimator(whole, half_width), out)
    return out


@cache
def _decimator(step: int, half_width: int) -> npt.NDArray[np.float32]:
    """The low-pass of `resample` at times 1 - half_width * step … half_width * step, zeros behind up to 4 `step`."""
    times = np.arange(1 - half_width * step, half_width * step + 1) / step
    taps = filter_taps(times, half_width)
    size = math.ceil(len(taps) / (4 * step)) * 4 * step
    taps[np.abs(taps) < 1e-12] = 0.0  # the sinc's, but for rounding
    return np.pad(taps / taps.sum(), (0, size - len(taps))).astype(np.float32)


class FrontEnd(Protocol):
    """Input of a preamble detector: a stream at one sample a chip, and at `rate` for the payload."""

    samples_per_chip: float
    rate: int
    chips: Buffer
    fine: Buffer

    def lead_in(self, num_chips: int) -> None:
        """Let the stream begin with (at least) this many zeros before sample 0."""

    def drop(self, before_chip: int) -> None:
        """Forget what lies before a chip."""


def lead_in_chips(front: FrontEnd, num_chips: int) -> None:
    """Let a front end's streams begin with (at least) this many zeros before sample 0."""
    if -front.chips.base < num_chips:
        for buffer, rate in ((front.chips, 1), (front.fine, front.rate)):
            if buffer.base > -num_chips * rate:
                # zeros that nobody touches cost nothing, room behind them neither: copying them for growth would
                buffer.base = -num_chips * rate
                buffer.array, buffer.size = untouched_zeros(2 * num_chips * rate), num_chips * rate


LARGE_VECTOR = 1 << 19
"""Samples from which on a vector's memory is had page by page: 4 MiB."""


def untouched_zeros(size: int) -> IQ:
    """A vector of zeros that, if it is large, takes no memory before it is written to, and then page by page.

    A gateway has tens of megabytes of them for each channel. `numpy.zeros` may find room in memory that was used
    before, all of which it then clears, or asks for pages of 2 MiB, each cleared for one sample that is written.
    """
    if size < LARGE_VECTOR:
        return np.zeros(size, np.complex64)
    return np.frombuffer(mmap.mmap(-1, size * np.dtype(np.complex64).itemsize), np.complex64)


def drop_chips(front: FrontEnd, before_chip: int) -> None:
    """Forget what lies before a chip in both of a front end's streams."""
    front.chips.drop(before_chip)
    if front.rate == 2:
        # a decimator still reads a little before its next output
        front.fine.drop(min(2 * before_chip, 2 * (front.chips.end - DECIMATE_HALF_WIDTH) - 8))


@dataclass
class Buffer:
    """A window on an endless array: samples [base, end), older ones dropped."""

    base: int
    array: IQ
    size: int = 0

    @property
    def end(self) -> int:
        """Index behind the last sample."""
        return self.base + self.size

    def append(self, samples: IQ) -> None:
        """Add samples at the end."""
        if self.size + len(samples) > len(self.array):
            grown = np.empty(2 * (self.size + len(samples)), np.complex64)
            grown[: self.size] = self.array[: self.size]
            self.array = grown
        self.array[self.size : self.size + len(samples)] = samples
        self.size += len(samples)

    def view(self, start: int) -> IQ:
        """The samples from `start` on; they hold until the next change."""
        return self.array[start - self.base : self.size]

    def drop(self, before: int) -> None:
        """Forget samples before an index, once they are more than half of all."""
        gone = before - self.base
        if gone > self.size // 2 and gone > 0:
            gone = min(gone, self.size)
            self.array[: self.size - gone] = self.array[gone : self.size]  # the two do not overlap
            self.base += gone
            self.size -= gone
