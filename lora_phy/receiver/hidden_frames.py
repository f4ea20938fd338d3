"""Frames under stronger ones of other spreading factors or bandwidths: successive cancellation in a recording.

    frames ─ the strong ones with a valid CRC ─ rebuild, fit, subtract ─ search what lay under them ─ further frames
       ▲                                                                                                   │
       └────────────────────────────── again, for those of them that are strong ◄──────────────────────────┘

A frame of another spreading factor is noise to a receiver, as strong as it arrives: at 0 dB it costs 3 dB, at +15 dB
all frames less than 15 dB above their limit. Each is rebuilt and fitted at two samples a chip of its own channel
(`lora_phy.receiver.cancellation`) and subtracted at the rate of the stream. What lay under it is then searched by the
usual detectors, for the other parameters alone, and only where a preamble, or a damaged frame, may overlap it. What a
subtraction leaves is no frame: a new one counts only with a valid CRC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from lora_phy.arrays import IQ
from lora_phy.channel.offsets import phasor
from lora_phy.modem.modulation import modulate_frame
from lora_phy.modem.preamble import WINDOWS_PER_SYMBOL
from lora_phy.params import LoRaParams
from lora_phy.receiver.cancellation import MARGIN, MAX_MISPLACED, Replica, fit_frame, gains_at, sent_symbols
from lora_phy.receiver.frame_reception import Decoding, RxFrame
from lora_phy.receiver.front_end import ResamplingFrontEnd
from lora_phy.receiver.ghosts import Ghosts
from lora_phy.receiver.preamble_detector import PreambleDetector
from lora_phy.receiver.threads import Threads
from lora_phy.resampling import change_rate, resample

_Kind = tuple[int, float, bool]
"""Spreading factor, bandwidth, and whether inverted."""
STRONG_DB = 0.0
"""SNR of a frame from which on it may hide another: there it doubles the noise."""
MOST_ROUNDS = 3
CHIP_SAMPLES = 2
"""Samples a chip at which frames are fitted, at most."""
PIECE = 1 << 17
"""Samples searched at a time."""
SYMBOLS_BEFORE, SYMBOLS_BEHIND = 8, 12
"""Symbols searched before the earliest preamble that a frame may cover, and behind that frame."""
HISTORY_SYMBOLS = 32
"""Symbols before those in which a preamble may begin."""
SHORT_FILTER = 16
"""Half length of the interpolator for a wave at two and more samples a chip."""


@dataclass(frozen=True)
class Recording:
    """A whole stream without its constant, its rate, and the frequency of the channel in it."""

    samples: IQ
    rate_hz: float
    center_offset_hz: float


@dataclass(eq=False)
class Subtracted:
    """A frame that was taken out of the stream.

    Its `replica` fits its channel between samples `low` and `high` of the stream; `template` is the same wave at the
    stream's rate, from sample `first` on, and `part` what was subtracted there: the template times its gain.
    """

    frame: RxFrame
    replica: Replica
    low: int
    high: int
    first: int
    template: IQ
    part: IQ

    @property
    def end(self) -> int:
        """Sample behind the last one."""
        return self.first + len(self.template)


@dataclass(frozen=True)
class _Area:
    """Samples between which frames of one set of parameters may begin that were not found before."""

    params: LoRaParams
    low: float
    high: float


def with_hidden_frames(
    heard: Recording, frames: Sequence[RxFrame], wanted: Sequence[LoRaParams], decoding: Decoding, threads: int = 1
) -> list[RxFrame]:
    """The `frames` of a stream and those that lie under the strong ones among them, in time order.

    A damaged frame under a strong one gives way to what is found in its place without that one, be it nothing.
    """
    return cancel(heard, frames, wanted, decoding, threads)[0]


def cancel(
    heard: Recording, frames: Sequence[RxFrame], wanted: Sequence[LoRaParams], decoding: Decoding, threads: int = 1
) -> tuple[list[RxFrame], list[Subtracted]]:
    """`with_hidden_frames`, and what was subtracted on the way."""
    known, fresh, subtracted = list(frames), list(frames), list[Subtracted]()
    left: Recording | None = None
    with closing(Threads(threads)) as workers:
        for _ in range(MOST_ROUNDS):
            strong = [frame for frame in fresh if is_strong(frame)]
            areas = [area for item in wanted for area in _areas(item, strong, known, heard.rate_hz)]
            if not areas:
                break
            left = replace(heard, samples=heard.samples.copy()) if left is None else left
            for frame in sorted(strong, key=lambda item: -item.power_dbfs):
                subtracted.append(_fitted(left, frame))
                _take_out(left, subtracted[-1])
            _take_out_again(left, subtracted)
            found = workers.map(partial(_search, left, decoding), areas)
            known, fresh = _merged(known, areas, found, strong, heard.rate_hz)
    return Ghosts(heard.rate_hz).without(sorted(known, key=_start)), subtracted


def without_others(heard: Recording, subtracted: Sequence[Subtracted], params: LoRaParams) -> IQ:
    """The stream without the subtracted frames of other spreading factors, bandwidths or directions than `params`."""
    samples = heard.samples.copy()
    for item in subtracted:
        if _kind(item.frame.params) != _kind(params):
            _add(samples, -item.part, item.first)
    return samples


def is_strong(frame: RxFrame) -> bool:
    """Whether a frame is worth subtracting: one whose content is sure, and that may hide another."""
    return bool(frame.crc_ok) and frame.status == "ok" and frame.snr_db >= STRONG_DB


def is_of(params: LoRaParams, frame: RxFrame) -> bool:
    """Whether a frame has the spreading factor, bandwidth and direction of `params`."""
    return _kind(params) == _kind(frame.params)


def _kind(params: LoRaParams) -> _Kind:
    return params.sf, float(params.bandwidth_hz), params.inverted_iq


def _start(frame: RxFrame) -> float:
    return frame.start_sample + frame.sto_samples


def _symbol(params: LoRaParams, rate_hz: float) -> float:
    """Samples of the stream a symbol lasts."""
    return params.num_bins / params.bandwidth_hz * rate_hz


def _preamble_end(frame: RxFrame, rate_hz: float) -> float:
    num_symbols = frame.preamble_len + 4.25 + frame.params.extra_upchirps
    return _start(frame) + num_symbols * _symbol(frame.params, rate_hz)


def _end(frame: RxFrame, rate_hz: float) -> float:
    return _preamble_end(frame, rate_hz) + len(frame.symbols) * _symbol(frame.params, rate_hz)


# --- subtraction


def samples_a_chip(params: LoRaParams, rate_hz: float) -> int:
    """Whole samples a chip at which a frame of a stream is fitted: two, or one where the stream has less."""
    return min(CHIP_SAMPLES, max(1, int(rate_hz / params.bandwidth_hz * (1 + 1e-9))))


def _channel(left: Recording, params: LoRaParams, low: int, high: int) -> IQ:
    """The frame's channel between two samples of the stream, upright, at the rate of the fit."""
    part = left.samples[low:high]
    if left.center_offset_hz:
        part = part * phasor(-left.center_offset_hz / left.rate_hz, len(part))
    if params.inverted_iq:
        part = part.conj()
    return change_rate(part, left.rate_hz, samples_a_chip(params, left.rate_hz) * params.bandwidth_hz)


def _fitted(left: Recording, frame: RxFrame) -> Subtracted:
    """A frame's wave as it fits the stream."""
    rate, sign = left.rate_hz, -1.0 if frame.params.inverted_iq else 1.0
    params = replace(frame.params, oversampling=samples_a_chip(frame.params, rate), inverted_iq=False)
    ratio = rate / params.sample_rate_hz
    margin = (MAX_MISPLACED + 2) * _symbol(params, rate)
    low = max(math.floor(_start(frame) - margin), 0)
    high = min(math.ceil(_end(frame, rate) + margin), len(left.samples))
    start = (_start(frame) - low) / ratio
    whole = math.floor(start + 0.5)
    told = replace(frame, params=params, start_sample=whole, sto_samples=start - whole, cfo_hz=sign * frame.cfo_hz)
    replica = fit_frame(_channel(left, frame.params, low, high), told, clocks=(frame.sfo_ppm,))
    # the same wave at the rate of the stream: from whole samples a chip, the carrier counted from the same instant
    symbols, sent = sent_symbols(told)
    sent = replace(
        sent, waveform=replica.waveform, preamble_len=max(frame.preamble_len, 1),
        oversampling=math.ceil(rate / params.bandwidth_hz * (1 - 1e-9)),
    )  # fmt: skip
    wave = np.pad(modulate_frame(symbols, sent, sync_symbols=frame.sync_symbols), MARGIN)
    step = sent.sample_rate_hz / rate * (1 + 1e-6 * replica.sfo_ppm)
    first = math.floor(low + replica.start * ratio - MARGIN * rate / sent.sample_rate_hz)
    begin = MARGIN - (low + replica.start * ratio - first) * step
    template = resample(
        wave, step, start=begin, num_out=math.ceil((len(wave) - begin) / step),
        half_width=SHORT_FILTER if sent.oversampling > 1 else None,
    )  # fmt: skip
    turns = first - low - math.floor(replica.start) * ratio
    template *= phasor(replica.cfo_hz / rate, len(template))
    template *= np.complex64(np.exp(2j * np.pi * math.fmod(replica.cfo_hz / rate * turns, 1.0)))
    if sign < 0:
        template = template.conj()
    if left.center_offset_hz:
        template *= phasor(left.center_offset_hz / rate, len(template), start_sample=first - low)
    return Subtracted(frame, replica, low, high, first, template, np.zeros(0, np.complex64))


def _take_out(left: Recording, item: Subtracted) -> None:
    """Subtract a frame from `left`, its gain fitted to what is there."""
    ratio = left.rate_hz / (samples_a_chip(item.frame.params, left.rate_hz) * item.frame.params.bandwidth_hz)
    places = (np.arange(len(item.template)) + (item.first - item.low)) / ratio - item.replica.first
    gain = gains_at(places, _channel(left, item.frame.params, item.low, item.high), item.replica)
    item.part = item.template * (gain.conj() if item.frame.params.inverted_iq else gain)
    _add(left.samples, -item.part, item.first)


def _take_out_again(left: Recording, items: list[Subtracted]) -> None:
    """Fit the gains of frames that overlap a second time, each to what the others leave."""
    ordered = sorted(items, key=lambda item: item.first)
    begins = [item.first for item in ordered[1:]] + [len(left.samples)]
    before = 0
    for item, next_begin in zip(ordered, begins, strict=True):
        if item.first < before or next_begin < item.end:
            _add(left.samples, item.part, item.first)
            _take_out(left, item)
        before = max(before, item.end)


def _add(samples: IQ, part: IQ, first: int) -> None:
    low, high = max(first, 0), min(first + len(part), len(samples))
    if high > low:
        samples[low:high] += part[low - first : high - first]


# --- search


def _areas(params: LoRaParams, strong: list[RxFrame], known: list[RxFrame], rate_hz: float) -> list[_Area]:
    """Where frames of `params` that the strong ones cover may begin."""
    symbol = _symbol(params, rate_hz)
    shortest = (params.preamble_len + 4.25 + params.extra_upchirps) * symbol
    damaged = [frame for frame in known if not frame.crc_ok and is_of(params, frame)]
    spans = []
    for cover in strong:
        if not is_of(params, cover):
            begin, end = _start(cover), _end(cover, rate_hz)
            spans.append((begin - shortest, end))
            under = [frame for frame in damaged if _start(frame) < end and _end(frame, rate_hz) > begin]
            spans += [(_start(frame), _start(frame)) for frame in under]
    areas: list[_Area] = []
    for low, high in sorted(spans):
        if areas and low - (SYMBOLS_BEFORE + SYMBOLS_BEHIND) * symbol <= areas[-1].high:
            areas[-1] = replace(areas[-1], high=max(high, areas[-1].high))
        else:
            areas.append(_Area(params, low, high))
    return areas


def _search(left: Recording, decoding: Decoding, area: _Area) -> list[RxFrame]:
    """Frames of one set of parameters that begin within an area."""
    params, symbol = area.params, _symbol(area.params, left.rate_hz)
    low = max(area.low - SYMBOLS_BEFORE * symbol, 0.0)
    first = max(math.floor(low - HISTORY_SYMBOLS * symbol), 0)
    window = math.floor((low - first) / symbol * WINDOWS_PER_SYMBOL)
    front = ResamplingFrontEnd(left.rate_hz, params.bandwidth_hz, left.center_offset_hz, params.inverted_iq)
    detector = PreambleDetector(params, front, decoding, first_window=window, decided=window)
    last_chip = (area.high + SYMBOLS_BEHIND * symbol - first) / front.samples_per_chip
    frames: list[RxFrame] = []
    for begin in range(first, len(left.samples), PIECE):
        front.push(left.samples[begin : begin + PIECE])
        frames += detector.advance(final=False)
        if detector.knows_all_before(last_chip):
            break
        front.drop(detector.oldest_needed())
    else:
        front.finish()
        frames += detector.advance(final=True)
    return [replace(frame, start_sample=frame.start_sample + first) for frame in frames]


def _merged(
    known: list[RxFrame], areas: list[_Area], found: list[list[RxFrame]], strong: list[RxFrame], rate_hz: float
) -> tuple[list[RxFrame], list[RxFrame]]:
    """What is known with what was found in the areas, and what of it is new."""
    kept = {id(frame): frame for frame in known}
    fresh: list[RxFrame] = []
    seen: dict[_Kind, list[RxFrame]] = {}
    read: dict[tuple[_Kind, bytes], list[RxFrame]] = {}
    for frame in known:
        if frame.crc_ok:
            read.setdefault((_kind(frame.params), frame.payload), []).append(frame)
    for frame in (frame for frames in found for frame in frames):
        kind = _kind(frame.params)
        seen.setdefault(kind, []).append(frame)
        if frame.crc_ok and frame.status == "ok":
            alike = read.setdefault((kind, frame.payload), [])
            old = next((old for old in alike if _is_near(frame, old, rate_hz)), None)
            # one whose first upchirps were covered begins earlier than it seemed
            if old is None or (id(old) in kept and not is_strong(old) and frame.preamble_len > old.preamble_len):
                kept.pop(id(old), None)
                fresh.append(frame)
                alike.append(frame)

    def is_gone(old: RxFrame) -> bool:
        """Whether a damaged frame was searched without the strong ones that cover its preamble, and is not there."""
        searched = any(is_of(area.params, old) and area.low <= _start(old) <= area.high for area in areas)
        return (
            searched
            and old.status != "ok"
            and any(_covers(cover, old, rate_hz) for cover in strong)
            and not any(_is_near(old, frame, rate_hz) for frame in seen.get(_kind(old.params), []))
        )

    def is_read(old: RxFrame) -> bool:
        return not old.crc_ok and any(_is_near(old, frame, rate_hz) for frame in fresh)

    return [old for old in kept.values() if not is_gone(old) and not is_read(old)] + fresh, fresh


def _covers(cover: RxFrame, frame: RxFrame, rate_hz: float) -> bool:
    """Whether a frame of another kind, and stronger, lies over some of a frame's preamble."""
    overlaps = _start(cover) < _preamble_end(frame, rate_hz) and _start(frame) < _end(cover, rate_hz)
    return overlaps and not is_of(cover.params, frame) and frame.power_dbfs < cover.power_dbfs


def _is_near(frame: RxFrame, old: RxFrame, rate_hz: float) -> bool:
    """Whether the data of two frames of one kind begin in the same place, to a few symbols."""
    apart = abs(_preamble_end(frame, rate_hz) - _preamble_end(old, rate_hz))
    return is_of(frame.params, old) and apart < 3 * _symbol(frame.params, rate_hz)
