"""A gateway: several channels of one wide stream, a receiver on each.

wide stream ─ one filter bank (`lora_phy.receiver.filter_bank`) ─► channel ─ a preamble detector for each SF ─► frames
                                                                └► channel ─ …
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.checks import integer
from lora_phy.params import LoRaParams
from lora_phy.receiver.filter_bank import Plan, WideSpectra, channel_streams, moved_by_hz, plan_blocks
from lora_phy.receiver.frame_reception import Decoding, RxFrame
from lora_phy.receiver.front_end import Buffer, dc_blocker, drop_chips, lead_in_chips
from lora_phy.receiver.preamble_detector import PreambleDetector
from lora_phy.receiver.stream import Receiver, checked_params, dated, pieces, positive, require_instant
from lora_phy.receiver.threads import Threads


@dataclass(frozen=True, kw_only=True)
class ChannelFrame:
    """A frame and the channel it came in: `frame.start_sample` counts samples of the wide stream."""

    channel_hz: float
    frame: RxFrame


def receive_channels(
    iq: npt.ArrayLike,
    params: LoRaParams | Sequence[LoRaParams],
    *,
    sample_rate_hz: float,
    num_channels: int = 8,
    spacing_hz: float = 200e3,
    channels_hz: Sequence[float] | None = None,
    soft: bool = True,
    num_trials: int = 0,
    detect_ldro: bool = True,
    start_time: datetime | None = None,
    remove_dc: bool = True,
    threads: int = 1,
) -> list[ChannelFrame]:
    """Every frame in every channel of a wide stream, in time order: a gateway.

    Parameters
    ----------
    iq
        ``(n,)`` complex64 or complex128.
    params
        What to look for in each channel; several: every one of them (spreading factors, bandwidths, directions).
    sample_rate_hz
        Of `iq`.
    num_channels, spacing_hz
        Channels lie at multiples of `spacing_hz` from the centre, from ``-num_channels / 2`` to ``num_channels / 2 -
        1`` of them; those outside the stream are left out. One at minus half the rate is shared by both edges.
    channels_hz
        Centres of the channels against that of the stream, in place of equally spaced ones.
    soft, num_trials, detect_ldro, start_time, remove_dc
        As of `lora_phy.receive`.
    threads
        Channels are worked on by so many threads; the frames and their order do not depend on it.

    Returns
    -------
    list of ChannelFrame
        `frame.cfo_hz` counts from the channel's centre.

    Raises
    ------
    TypeError, ValueError
        As of `lora_phy.receive`; a channel of `channels_hz` outside the stream; fewer than one channel or thread.

    Examples
    --------
    >>> from lora_phy.frames.transceiver import transmit
    >>> wide = transmit(b"hello", LoRaParams(sf=7, oversampling=8))
    >>> wide = wide * np.exp(-2j * np.pi * 0.2 * np.arange(len(wide)))
    >>> [found] = receive_channels(wide, LoRaParams(sf=7), sample_rate_hz=1e6)
    >>> found.channel_hz, found.frame.payload
    (-200000.0, b'hello')
    """
    receiver = GatewayReceiver(
        params, sample_rate_hz=sample_rate_hz, num_channels=num_channels, spacing_hz=spacing_hz,
        channels_hz=channels_hz, soft=soft, num_trials=num_trials, detect_ldro=detect_ldro,
        start_time=start_time, remove_dc=remove_dc, threads=threads,
    )  # fmt: skip
    return sorted(receiver.push(iq) + receiver.flush(), key=_time_order)


class GatewayReceiver:
    """`receive_channels` for a stream that comes in chunks: `push` each, `flush` at the end.

    Both return the frames that have become certain since the last call, in time order among themselves; a frame that
    began earlier but ended later comes in a later call. All calls together give the frames of `receive_channels`.
    Memory is bounded by the longest frame, in each channel.

    Examples
    --------
    >>> from lora_phy.frames.transceiver import transmit
    >>> wide = transmit(b"hello", LoRaParams(sf=7, oversampling=8))
    >>> gateway, found = GatewayReceiver(LoRaParams(sf=7), sample_rate_hz=1e6), []
    >>> for chunk in np.array_split(wide, 7):
    ...     found += gateway.push(chunk)
    >>> [(item.channel_hz, item.frame.payload) for item in found + gateway.flush()]
    [(0.0, b'hello')]
    """

    def __init__(
        self,
        params: LoRaParams | Sequence[LoRaParams],
        *,
        sample_rate_hz: float,
        num_channels: int = 8,
        spacing_hz: float = 200e3,
        channels_hz: Sequence[float] | None = None,
        soft: bool = True,
        num_trials: int = 0,
        detect_ldro: bool = True,
        start_time: datetime | None = None,
        remove_dc: bool = True,
        threads: int = 1,
    ) -> None:
        """Take the parameters of `receive_channels`."""
        wanted = checked_params(params)
        rate = positive("sample_rate_hz", sample_rate_hz)
        centres = _centres(rate, num_channels, spacing_hz, channels_hz)
        decoding = Decoding(soft=bool(soft), num_trials=num_trials, detect_ldro=detect_ldro)
        require_instant(start_time)
        self._dc = dc_blocker(rate, [item.bandwidth_hz for item in wanted]) if remove_dc else None
        self._threads = Threads(threads)
        self._start_time, self._rate, self._ended = start_time, rate, False
        self._banks: list[_FilterBank | _OneByOne] = []
        kinds: dict[tuple[float, bool], list[LoRaParams]] = {}
        for item in wanted:
            kinds.setdefault((float(item.bandwidth_hz), item.inverted_iq), []).append(item)
        for (bandwidth_hz, inverted), items in kinds.items():
            plan = plan_blocks(rate, bandwidth_hz)
            if plan is None:
                self._banks.append(_OneByOne(items, rate, centres, decoding))
            else:
                self._banks.append(_FilterBank(items, plan, centres, decoding, inverted))

    def push(self, iq: npt.ArrayLike) -> list[ChannelFrame]:
        """Take the next samples; return the frames that have become certain.

        Raises
        ------
        TypeError, ValueError
            `iq` not a complex vector.
        RuntimeError
            The stream was ended by `flush`.
        """
        if self._ended:
            raise RuntimeError("'push' after 'flush': the stream has ended, make a new GatewayReceiver for another one")
        found: list[ChannelFrame] = []
        for piece in pieces(iq, self._dc):
            for bank in self._banks:
                found += bank.push(piece, self._threads)
        return self._in_order(found)

    def flush(self) -> list[ChannelFrame]:
        """End the stream: return what is left, cut frames included.

        A receiver is for one stream: `push` raises a RuntimeError from now on, another `flush` returns nothing.
        """
        if self._ended:
            return []
        self._ended = True
        if self._dc is not None:
            self._dc.finish()
        found: list[ChannelFrame] = []
        with closing(self._threads):
            for bank in self._banks:
                if self._dc is not None:
                    found += bank.push(self._dc.rest, self._threads)
                found += bank.finish(self._threads)
        return self._in_order(found)

    def _in_order(self, found: list[ChannelFrame]) -> list[ChannelFrame]:
        told = [replace(item, frame=dated(item.frame, self._start_time, self._rate)) for item in found]
        return sorted(told, key=_time_order)


def _time_order(item: ChannelFrame) -> tuple[float, float]:
    return item.frame.start_sample + item.frame.sto_samples, item.channel_hz


def equally_spaced(num_channels: int, spacing_hz: float) -> list[float]:
    """Centres of so many channels at multiples of a spacing, the middle one (or the upper of two) at 0.

    Examples
    --------
    >>> equally_spaced(4, 200e3)
    [-400000.0, -200000.0, 0.0, 200000.0]
    """
    count, spacing = integer("num_channels", num_channels, 1, 1 << 16), positive("spacing_hz", spacing_hz)
    return [(index - count // 2) * spacing for index in range(count)]


def _centres(rate: float, num_channels: int, spacing_hz: float, channels_hz: Sequence[float] | None) -> list[float]:
    if channels_hz is None:
        return [hz for hz in equally_spaced(num_channels, spacing_hz) if abs(hz) <= rate / 2 * (1 + 1e-9)]
    if len(channels_hz) == 0:
        raise ValueError("'channels_hz' must hold at least one channel (got none)")
    for centre in channels_hz:
        if not (math.isfinite(centre) and abs(centre) <= rate / 2):
            raise ValueError(f"'channels_hz' must lie within half the sample rate, {rate / 2:.10g} Hz (got {centre!r})")
    return [float(centre) for centre in channels_hz]


@dataclass
class _Channel:
    """One channel's stream, as a `FrontEnd`, and the detectors on it; the stream lies `moved_hz` beside its centre."""

    samples_per_chip: float
    moved_hz: float
    rate: int = 2
    chips: Buffer = field(default_factory=lambda: Buffer(0, np.empty(0, np.complex64)))
    fine: Buffer = field(default_factory=lambda: Buffer(0, np.empty(0, np.complex64)))
    detectors: list[PreambleDetector] = field(default_factory=list)

    def lead_in(self, num_chips: int) -> None:
        """Let the stream begin with (at least) this many zeros before sample 0."""
        lead_in_chips(self, num_chips)

    def drop(self, before_chip: int) -> None:
        """Forget what lies before a chip."""
        drop_chips(self, before_chip)

    def advance(self, chips: IQ, fine: IQ, final: bool) -> list[RxFrame]:
        """Take the next samples; return the frames that have become certain."""
        self.chips.append(chips)
        self.fine.append(fine)
        frames = [frame for detector in self.detectors for frame in detector.advance(final=final)]
        self.drop(min(detector.oldest_needed() for detector in self.detectors))
        return [replace(frame, cfo_hz=frame.cfo_hz + self.moved_hz) for frame in frames]


class _FilterBank:
    """All channels of one bandwidth and direction out of one filter bank."""

    def __init__(
        self, items: list[LoRaParams], plan: Plan, centres: list[float], decoding: Decoding, inverted: bool
    ) -> None:
        self._plan, self._centres, self._inverted = plan, centres, inverted
        self._blocks = WideSpectra(plan)
        self._count = 0
        self._channels = [_Channel(plan.length / plan.chips, moved_by_hz(centre, plan)) for centre in centres]
        # the longest history first: a shorter one then finds its zeros there
        largest_first = sorted(items, key=lambda item: -item.sf)
        for channel in self._channels:
            channel.detectors = [PreambleDetector(item, channel, decoding) for item in largest_first]

    def push(self, samples: IQ, threads: Threads) -> list[ChannelFrame]:
        """Take the next samples; return the frames that have become certain."""
        self._count += len(samples)
        return self._advance(self._blocks.push(samples), threads)

    def finish(self, threads: Threads) -> list[ChannelFrame]:
        """What is left: the stream has ended."""
        found = self._advance(self._blocks.finish(), threads)
        nothing = np.empty(0, np.complex64)
        left = threads.map(lambda channel: channel.advance(nothing, nothing, True), self._channels)
        return found + _by_channel(self._centres, left)

    def _advance(self, blocks: Iterator[tuple[int, npt.NDArray[np.complex64]]], threads: Threads) -> list[ChannelFrame]:
        found: list[ChannelFrame] = []
        for first, spectra in blocks:

            def work(index: int, first: int = first, spectra: IQ = spectra) -> list[RxFrame]:
                channel = self._channels[index]
                chips, fine = channel_streams(
                    first, spectra, self._plan, self._centres[index], conjugate=self._inverted
                )
                # what lies behind the stream's end is not given: a frame is cut there
                count = min(len(chips), math.ceil(self._count / channel.samples_per_chip) - channel.chips.end)
                return channel.advance(chips[:count], fine[: 2 * count], False)

            found += _by_channel(self._centres, threads.map(work, range(len(self._channels))))
        return found


class _OneByOne:
    """Each channel by a receiver with a front end of its own: rates that no block length suits."""

    def __init__(self, items: list[LoRaParams], rate: float, centres: list[float], decoding: Decoding) -> None:
        self._centres = centres
        self._receivers = [
            Receiver(
                items, sample_rate_hz=rate, center_offset_hz=centre, remove_dc=False,
                soft=decoding.soft, num_trials=decoding.num_trials, detect_ldro=decoding.detect_ldro,
            )
            for centre in centres
        ]  # fmt: skip

    def push(self, samples: IQ, threads: Threads) -> list[ChannelFrame]:
        """Take the next samples; return the frames that have become certain."""
        return _by_channel(self._centres, threads.map(lambda receiver: receiver.push(samples), self._receivers))

    def finish(self, threads: Threads) -> list[ChannelFrame]:
        """What is left: the stream has ended."""
        return _by_channel(self._centres, threads.map(Receiver.flush, self._receivers))


def _by_channel(centres: Sequence[float], frames_of: Sequence[list[RxFrame]]) -> list[ChannelFrame]:
    """Frames of each channel, with its centre."""
    return [
        ChannelFrame(channel_hz=centre, frame=frame)
        for centre, frames in zip(centres, frames_of, strict=True)
        for frame in frames
    ]
