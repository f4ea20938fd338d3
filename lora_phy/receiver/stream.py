"""Streams: every frame in IQ of unknown content, whole or in chunks.

    IQ ─ to one sample per chip ─ detect preambles ─ synchronise each ─ decode ─► frames in time order
                └ to two per chip, for the payload of an oversampled stream: its matched filter sees the full band

Each step works on blocks that lie at fixed places in the stream, so that chunks give the same frames as the whole, to
the last bit. Detection never stops: a frame may begin inside a damaged one, or inside another network's.
Memory is bounded by the longest frame (255 bytes at the highest coding rate) plus the preamble.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.modem import _interpolation_kernels as _kernels
from lora_phy.params import LoRaParams
from lora_phy.receiver.frame_reception import Decoding, RxFrame
from lora_phy.receiver.front_end import LARGEST_RATE_RATIO, DcBlocker, ResamplingFrontEnd, dc_blocker, without_constant
from lora_phy.receiver.ghosts import Ghosts
from lora_phy.receiver.hidden_frames import Recording, is_strong, with_hidden_frames
from lora_phy.receiver.preamble_detector import PreambleDetector
from lora_phy.receiver.threads import Threads

LARGEST_SAMPLE = 1e12
PIECE = 1 << 18
"""Samples worked through at a time: what one step leaves in the cache, the next finds there."""
LARGEST_PREAMBLE_CHIPS = 1 << 24
"""Chips of a preamble that a receiver keeps in memory: 4096 upchirps at SF12."""


def receive(
    iq: npt.ArrayLike,
    params: LoRaParams | Sequence[LoRaParams],
    *,
    sample_rate_hz: float | None = None,
    center_offset_hz: float = 0.0,
    soft: bool = True,
    num_trials: int = 0,
    detect_ldro: bool = True,
    start_time: datetime | None = None,
    remove_dc: bool = True,
    threads: int = 1,
    cancel: bool = False,
) -> list[RxFrame]:
    """Every frame in a stream, in time order.

    Parameters
    ----------
    iq
        ``(n,)`` complex64 or complex128.
    params
        What to look for; several: every one of them (other spreading factors, directions, bandwidths).
    sample_rate_hz
        Of `iq`; None: that of the (first) parameters. Any ratio to the bandwidth from 1 upwards.
    center_offset_hz
        Frequency of the channel within the stream.
    soft
        Joint soft decoding (True), or decisions symbol by symbol.
    num_trials
        Where a CRC fails: how many of the likeliest alternatives it may choose from (list decoding; each trial is right
        by accident with probability 2**-16).
    detect_ldro
        Where ``params.ldro`` is None: let the symbols themselves overrule the 16 ms rule.
    start_time
        Instant of the stream's first sample; frames then say when they began.
    remove_dc
        Whether a constant that stands out of a block of samples (16,384 chips of the narrowest bandwidth) is taken
        off before anything else, as the leakage of a radio's own oscillator.
    threads
        Of several `params`, so many are worked on at once; the frames and their order do not depend on it.
    cancel
        Successive interference cancellation across several `params`: frames with a valid CRC and an SNR of 0 dB or more
        are subtracted, and what lies under them is searched for the other parameters
        (`lora_phy.receiver.hidden_frames`). Further frames are reported where their CRC is valid, and damaged ones that
        were an effect of the subtracted ones are not. It takes at most three times as long as the search without, and
        holds the stream in memory three times.

    Returns
    -------
    list of RxFrame
        Noise gives none. A damaged frame gives its status and the bytes as received.

    Raises
    ------
    TypeError, ValueError
        `iq` not a complex vector; a rate below the bandwidth.

    Examples
    --------
    >>> from lora_phy.frames.transceiver import transmit
    >>> params = LoRaParams(sf=7)
    >>> silence = np.zeros(1000, np.complex64)
    >>> [frame] = receive(np.concatenate([silence, transmit(b"hello", params), silence]), params)
    >>> frame.payload, frame.start_sample, abs(frame.cfo_hz) < 1
    (b'hello', 1000, True)
    """
    receiver = Receiver(
        params,
        sample_rate_hz=sample_rate_hz,
        center_offset_hz=center_offset_hz,
        soft=soft,
        num_trials=num_trials,
        detect_ldro=detect_ldro,
        start_time=start_time,
        remove_dc=remove_dc,
        threads=threads,
    )
    frames = receiver.push(iq) + receiver.flush()
    wanted = checked_params(params)
    if not cancel or len(wanted) < 2 or not any(is_strong(frame) for frame in frames):
        return frames
    rate = receiver._rate
    samples = checked_stream(iq)
    if remove_dc:
        samples = without_constant(samples, rate, [item.bandwidth_hz for item in wanted])
    decoding = Decoding(soft=bool(soft), num_trials=num_trials, detect_ldro=detect_ldro)
    frames = with_hidden_frames(Recording(samples, rate, float(center_offset_hz)), frames, wanted, decoding, threads)
    return [dated(frame, start_time, rate) for frame in frames]


class Receiver:
    """`receive` for a stream that comes in chunks: `push` each, `flush` at the end.

    Both return the frames that have become certain, in time order over the life of the receiver. That order costs some
    hundred symbols of delay, because a frame that began earlier may end later; ``in_order=False`` hands out each frame
    as soon as it is decoded (live reception).

    Examples
    --------
    >>> from lora_phy.frames.transceiver import transmit
    >>> params = LoRaParams(sf=7)
    >>> receiver, frames = Receiver(params), []
    >>> for chunk in np.array_split(transmit(b"hello", params), 7):
    ...     frames += receiver.push(chunk)
    >>> [frame.payload for frame in frames + receiver.flush()]
    [b'hello']
    """

    def __init__(
        self,
        params: LoRaParams | Sequence[LoRaParams],
        *,
        sample_rate_hz: float | None = None,
        center_offset_hz: float = 0.0,
        soft: bool = True,
        num_trials: int = 0,
        detect_ldro: bool = True,
        start_time: datetime | None = None,
        remove_dc: bool = True,
        in_order: bool = True,
        threads: int = 1,
    ) -> None:
        """Take the parameters of `receive`, and whether frames wait for those that began earlier."""
        wanted = checked_params(params)
        rate = wanted[0].sample_rate_hz if sample_rate_hz is None else positive("sample_rate_hz", sample_rate_hz)
        if not math.isfinite(center_offset_hz):
            raise ValueError(f"'center_offset_hz' must be finite (got {center_offset_hz!r})")
        if abs(center_offset_hz) > rate / 2:
            raise ValueError(
                f"'center_offset_hz' must lie in the stream, within half its sample rate, {rate / 2:.10g} Hz"
                f" (got {center_offset_hz!r})"
            )
        decoding = Decoding(soft=bool(soft), num_trials=num_trials, detect_ldro=detect_ldro)
        front_ends: dict[tuple[float, bool], ResamplingFrontEnd] = {}
        self._detectors = []
        for item in wanted:
            if rate < item.bandwidth_hz * (1 - 1e-9):
                raise ValueError(
                    f"'sample_rate_hz' must be at least the bandwidth {item.bandwidth_hz:g} Hz (got {rate!r})"
                )
            if rate > LARGEST_RATE_RATIO * item.bandwidth_hz:
                raise ValueError(
                    f"'sample_rate_hz' must be at most {LARGEST_RATE_RATIO} times the bandwidth"
                    f" {item.bandwidth_hz:g} Hz (got {rate!r})"
                )
            if item.num_bins * item.preamble_len > LARGEST_PREAMBLE_CHIPS:
                raise ValueError(
                    f"'preamble_len' must be at most {LARGEST_PREAMBLE_CHIPS // item.num_bins} for a receiver at SF"
                    f"{item.sf}, which finds longer ones all the same (got {item.preamble_len})"
                )
            key = (float(item.bandwidth_hz), item.inverted_iq)
            if key not in front_ends:
                front_ends[key] = ResamplingFrontEnd(rate, item.bandwidth_hz, float(center_offset_hz), item.inverted_iq)
            self._detectors.append(PreambleDetector(item, front_ends[key], decoding))
        require_instant(start_time)
        self._dc = dc_blocker(rate, [item.bandwidth_hz for item in wanted]) if remove_dc else None
        self._start_time, self._rate, self._in_order = start_time, rate, bool(in_order)
        self._threads = Threads(threads)
        self._front_ends = list(front_ends.values())
        self._waiting: list[RxFrame] = []
        self._ghosts = Ghosts(rate)
        self._ended = False

    @property
    def passed_over(self) -> int:
        """Number of preamble peaks that were not followed: their stretch of the stream caused too much work in vain
        (overlapping preambles, see `lora_phy.receiver.effort`); 0 in all but hostile traffic.
        """
        return sum(detector.effort.passed_over for detector in self._detectors)

    def push(self, iq: npt.ArrayLike) -> list[RxFrame]:
        """Take the next samples; return the frames that have become certain.

        Raises
        ------
        TypeError, ValueError
            `iq` not a complex vector.
        RuntimeError
            The stream was ended by `flush`.
        """
        if self._ended:
            raise RuntimeError("'push' after 'flush': the stream has ended, make a new Receiver for another one")
        frames: list[RxFrame] = []
        for piece in pieces(iq, self._dc):
            self._threads.map(partial(_push, piece), self._front_ends)
            frames += self._collect(final=False)
        return frames

    def flush(self) -> list[RxFrame]:
        """End the stream: return what is left, cut frames included.

        A receiver is for one stream: `push` raises a RuntimeError from now on, another `flush` returns nothing.
        """
        if self._ended:
            return []
        self._ended = True
        if self._dc is not None:
            self._dc.finish()
        for front in self._front_ends:
            if self._dc is not None:
                front.push(self._dc.rest)
            front.finish()
        frames = self._collect(final=True)
        self._threads.close()
        return frames

    def _collect(self, *, final: bool) -> list[RxFrame]:
        horizon = math.inf
        found = self._threads.map(lambda detector: detector.advance(final=final), self._detectors)
        for detector, frames in zip(self._detectors, found, strict=True):
            self._waiting += frames
            horizon = min(horizon, math.inf if final or not self._in_order else detector.horizon())
        for front in self._front_ends:
            front.drop(min(detector.oldest_needed() for detector in self._detectors if detector.front is front))
        self._waiting.sort(key=_time_order)
        ready = [frame for frame in self._waiting if frame.start_sample < horizon]
        self._waiting = self._waiting[len(ready) :]
        return [dated(frame, self._start_time, self._rate) for frame in self._ghosts.without(ready)]


def dated(frame: RxFrame, start_time: datetime | None, rate_hz: float) -> RxFrame:
    """The frame with the instant of its first sample, where that of the stream is known and the calendar has it."""
    if start_time is None:
        return frame
    try:
        return replace(frame, time=start_time + timedelta(seconds=(frame.start_sample + frame.sto_samples) / rate_hz))
    except OverflowError:  # behind the year 9999: a recorder's nonsense, the frame is good all the same
        return frame


def _push(samples: IQ, front: ResamplingFrontEnd) -> None:
    front.push(samples)


def _time_order(frame: RxFrame) -> tuple[float, int, float]:
    return frame.start_sample + frame.sto_samples, frame.params.sf, frame.params.bandwidth_hz


def checked_params(params: LoRaParams | Sequence[LoRaParams]) -> list[LoRaParams]:
    """One or several parameters that a receiver can work with, as a list; else the error that says why not."""
    wanted = [params] if isinstance(params, LoRaParams) else list(params) if isinstance(params, Sequence) else []
    if not wanted or not all(isinstance(item, LoRaParams) for item in wanted):
        raise TypeError(f"'params' must be LoRaParams or a sequence of them (got {params!r})")
    for item in wanted:
        if not item.explicit_header and item.payload_len is None:
            raise ValueError("'payload_len' must be given to receive implicit headers (got None)")
    return wanted


def checked_stream(iq: npt.ArrayLike) -> IQ:
    """A stream as complex64, what is no number set to zero; the error that names it where it is no complex vector."""
    return _bounded(_as_stream(iq))


def pieces(iq: npt.ArrayLike, blocker: DcBlocker | None) -> Iterator[IQ]:
    """A chunk of a stream as `checked_stream`, without its constant, in pieces: they do not show in what a receiver
    makes of them, they bound its memory.
    """
    samples = _as_stream(iq)
    for start in range(0, len(samples), PIECE):
        piece = _bounded(samples[start : start + PIECE])
        yield piece if blocker is None else blocker.push(piece)


def require_instant(start_time: object) -> None:
    """Refuse what is neither an instant nor None."""
    if start_time is not None and not isinstance(start_time, datetime):
        raise TypeError(f"'start_time' must be a datetime (got {start_time!r})")


def _as_stream(iq: npt.ArrayLike) -> IQ:
    samples = np.asarray(iq)
    if not np.issubdtype(samples.dtype, np.complexfloating):
        raise TypeError(f"'iq' must be complex64 or complex128 (got dtype {samples.dtype})")
    if samples.ndim != 1:
        raise ValueError(f"'iq' must have one dimension (got shape {samples.shape})")
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(samples, dtype=np.complex64)


def _bounded(samples: IQ) -> IQ:
    parts = samples.view(np.float32)
    limit = np.float32(LARGEST_SAMPLE)
    if not _kernels.all_within(parts, limit):
        parts = np.clip(np.nan_to_num(parts, nan=0.0, posinf=0.0, neginf=0.0), -limit, limit)
    return parts.view(np.complex64)


def positive(name: str, value: float) -> float:
    """A positive finite number; else the error that names it."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"'{name}' must be a number (got {value!r})")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"'{name}' must be positive and finite (got {value!r})")
    return float(value)
