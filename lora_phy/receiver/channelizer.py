"""A gateway: several channels of one wide stream, a receiver on each.

wide stream ─ one filter bank (`lora_phy.receiver.filter_bank`) ─► channel ─ a preamble detector for each SF ─► frames
                                                                └► channel ─ …
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.checks import integer
from lora_phy.params import LoRaParams
from lora_phy.receiver.filter_bank import Plan, channel_streams, moved_by_hz, plan_blocks, wide_spectra
from lora_phy.receiver.frame_reception import Decoding, RxFrame
from lora_phy.receiver.front_end import DC_BLOCK_CHIPS, Buffer, DcBlocker, drop_chips, lead_in_chips
from lora_phy.receiver.preamble_detector import PreambleDetector
from lora_phy.receiver.stream import checked_params, checked_stream, positive, receive
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
    wanted, samples = checked_params(params), checked_stream(iq)
    rate = positive("sample_rate_hz", sample_rate_hz)
    centres = _centres(rate, num_channels, spacing_hz, channels_hz)
    decoding = Decoding(soft=bool(soft), num_trials=num_trials, detect_ldro=detect_ldro)
    if remove_dc:
        narrowest = min(item.bandwidth_hz for item in wanted)
        blocker = DcBlocker(math.ceil(DC_BLOCK_CHIPS * rate / narrowest))
        samples = blocker.push(samples)
        blocker.finish()
        samples = np.concatenate([samples, blocker.rest])
    found: list[ChannelFrame] = []
    kinds: dict[tuple[float, bool], list[LoRaParams]] = {}
    for item in wanted:
        kinds.setdefault((float(item.bandwidth_hz), item.inverted_iq), []).append(item)
    for (bandwidth_hz, inverted), items in kinds.items():
        plan = plan_blocks(rate, bandwidth_hz)
        if plan is None:
            found += _one_by_one(samples, items, rate, centres, decoding, threads)
        else:
            found += _together(samples, items, plan, centres, decoding, threads, inverted)
    if start_time is not None:
        found = [replace(item, frame=_dated(item.frame, start_time, rate)) for item in found]
    return sorted(found, key=lambda item: (item.frame.start_sample + item.frame.sto_samples, item.channel_hz))


def _centres(rate: float, num_channels: int, spacing_hz: float, channels_hz: Sequence[float] | None) -> list[float]:
    if channels_hz is None:
        count = integer("num_channels", num_channels, 1, 1 << 16)
        equally = [(index - count // 2) * positive("spacing_hz", spacing_hz) for index in range(count)]
        return [centre for centre in equally if abs(centre) <= rate / 2 * (1 + 1e-9)]
    for centre in channels_hz:
        if not (math.isfinite(centre) and abs(centre) <= rate / 2):
            raise ValueError(f"'channels_hz' must lie within half the sample rate, {rate / 2:.10g} Hz (got {centre!r})")
    return [float(centre) for centre in channels_hz]


@dataclass
class _Channel:
    """One channel's stream, as a `FrontEnd`, and the detectors on it."""

    samples_per_chip: float
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
        return frames


def _together(
    iq: IQ,
    items: list[LoRaParams],
    plan: Plan,
    centres: list[float],
    decoding: Decoding,
    threads: int,
    inverted: bool,
) -> list[ChannelFrame]:
    """All channels out of one filter bank."""
    channels = [_Channel(plan.length / plan.chips) for _ in centres]
    for channel in channels:
        # the longest history first: a shorter one then finds its zeros there
        largest_first = sorted(items, key=lambda item: -item.sf)
        channel.detectors = [PreambleDetector(item, channel, decoding) for item in largest_first]
    num_chips = math.ceil(len(iq) / channels[0].samples_per_chip) if channels else 0
    found: list[ChannelFrame] = []
    with closing(Threads(threads)) as workers:
        for first, spectra in wide_spectra(iq, plan):

            def work(index: int, first: int = first, spectra: IQ = spectra) -> list[RxFrame]:
                chips, fine = channel_streams(first, spectra, plan, centres[index], conjugate=inverted)
                # what lies behind the stream's end is not given: a frame is cut there
                count = min(len(chips), num_chips - channels[index].chips.end)
                final = channels[index].chips.end + count >= num_chips
                return channels[index].advance(chips[:count], fine[: 2 * count], final)

            for centre, frames in zip(centres, workers.map(work, range(len(channels))), strict=True):
                moved = moved_by_hz(centre, plan)
                found += [
                    ChannelFrame(channel_hz=centre, frame=replace(frame, cfo_hz=frame.cfo_hz + moved))
                    for frame in frames
                ]
    return found


def _one_by_one(
    iq: IQ, items: list[LoRaParams], rate: float, centres: list[float], decoding: Decoding, threads: int
) -> list[ChannelFrame]:
    """Each channel by a receiver with a front end of its own: rates that no block length suits."""

    def work(centre: float) -> list[RxFrame]:
        return receive(
            iq, items, sample_rate_hz=rate, center_offset_hz=centre,
            remove_dc=False, soft=decoding.soft, num_trials=decoding.num_trials, detect_ldro=decoding.detect_ldro,
        )  # fmt: skip

    with closing(Threads(threads)) as workers:
        return [
            ChannelFrame(channel_hz=centre, frame=frame)
            for centre, frames in zip(centres, workers.map(work, centres), strict=True)
            for frame in frames
        ]


def _dated(frame: RxFrame, start_time: datetime, rate: float) -> RxFrame:
    elapsed = timedelta(seconds=(frame.start_sample + frame.sto_samples) / rate)
    return replace(frame, time=start_time + elapsed)
