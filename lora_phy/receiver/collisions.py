"""Overlapping frames of one spreading factor, or of several: who can still be read.

    plain      `receive`: frames are found and decoded as if each were alone; the capture effect decides
    sic        receive ─ subtract every frame whose CRC holds ─ receive the rest ─ …, until nothing new appears
    segments   sic; where it stands still, resolve the rest over the segments of each symbol
               (`lora_phy.receiver.co_sf_interference`), subtract what that yields, and so on

A same-SF interferer shows a receiver two partial tones in every symbol, because its symbols begin at other times. At
equal powers a full tone still wins against few partial ones, which is capture; unequal powers are what cancellation
lives on; segments serve the frames in between.

Sources: successive cancellation for LoRa: Tesfay et al., IEEE ICC 2020, and Noreen et al., EURASIP 2018; the idea that
sub-symbols between interferers' edges show a wanted tone in all of them: Shahid et al. (CIC), ACM SIGCOMM 2021. The
metric, its soft use by the decoder and the feedback are this library's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.channel.offsets import phasor
from lora_phy.params import LoRaParams
from lora_phy.receiver.cancellation import Replica, fit_frame, subtract_all
from lora_phy.receiver.co_sf_interference import resolve
from lora_phy.receiver.frame_reception import Decoding, RxFrame
from lora_phy.receiver.front_end import without_constant
from lora_phy.receiver.ghosts import Ghosts
from lora_phy.receiver.hidden_frames import CHIP_SAMPLES, Recording, cancel, is_of, samples_a_chip, without_others
from lora_phy.receiver.stream import Receiver, checked_params, checked_stream, receive
from lora_phy.resampling import change_rate

Method = Literal["plain", "sic", "segments"]

MAX_ROUNDS = 32
RESIDUE_DB = 10.0
"""What is left of a real frame lies 12 to 25 dB below it; damaged frames this far below one are taken for that."""


def receive_collided(
    iq: npt.ArrayLike,
    params: LoRaParams | Sequence[LoRaParams],
    *,
    method: Method = "segments",
    sample_rate_hz: float | None = None,
    center_offset_hz: float = 0.0,
) -> list[RxFrame]:
    """Every frame in a stream in which frames overlap, in time order.

    Parameters
    ----------
    iq
        ``(n,)`` complex. Worked on as a whole: cut long recordings where they are silent.
    params
        One set of parameters. Only frames whose CRC holds (or, without CRC, that are complete) are subtracted. Of
        several sets, frames of 0 dB SNR and more whose CRC holds are first cancelled across them, as by ``receive(…,
        cancel=True)``; each set that has a frame is then worked on in the stream without the others' frames.
    method
        "plain", "sic" or "segments".
    sample_rate_hz
        Of `iq`; None: that of `params`. Another rate is brought to two samples a chip first, or to one where the stream
        has less: cancellation needs the band's edges, and more than two samples add nothing.
    center_offset_hz
        Frequency of the channel within the stream.

    Returns
    -------
    list of RxFrame
        Frames of the cancelling rounds, then what remains undecoded with its status, each frame once. `snr_db` is over
        noise and whatever still interfered when the frame was found.

    Raises
    ------
    TypeError, ValueError
        As `lora_phy.receive`; an unknown `method`.

    Examples
    --------
    >>> from lora_phy.frames.scene import Transmission, scene
    >>> params = LoRaParams(sf=7)
    >>> both = [Transmission(payload=b"loud one", params=params, start_s=2e-3, power_db=9.0),
    ...         Transmission(payload=b"soft one", params=params, start_s=4.4e-3, center_offset_hz=700.0)]
    >>> iq = scene(both, 8000, params.sample_rate_hz)
    >>> sorted(frame.payload for frame in receive_collided(iq, params, method="sic"))
    [b'loud one', b'soft one']
    """
    if method not in get_args(Method):
        raise ValueError(f"'method' must be one of {get_args(Method)} (got {method!r})")
    plain = Receiver(params, sample_rate_hz=sample_rate_hz, center_offset_hz=center_offset_hz)  # checks the arguments
    if method == "plain":
        return plain.push(iq) + plain.flush()
    wanted = checked_params(params)
    if len(wanted) > 1:
        frames = plain.push(iq) + plain.flush()
        rate_hz = wanted[0].sample_rate_hz if sample_rate_hz is None else float(sample_rate_hz)
        return _across(Recording(checked_stream(iq), rate_hz, float(center_offset_hz)), frames, wanted, method)
    [params] = wanted
    if params.inverted_iq:
        upright = replace(params, inverted_iq=False)
        frames = receive_collided(
            np.conjugate(iq), upright, method=method, sample_rate_hz=sample_rate_hz, center_offset_hz=-center_offset_hz
        )
        return [_conjugate(frame, params) for frame in frames]
    rate_hz = params.sample_rate_hz if sample_rate_hz is None else float(sample_rate_hz)
    work = params
    samples = checked_stream(iq)
    if center_offset_hz:
        samples = samples * phasor(-center_offset_hz / rate_hz, len(samples))
    if rate_hz != params.sample_rate_hz or params.oversampling > CHIP_SAMPLES:
        work = replace(params, oversampling=samples_a_chip(params, rate_hz))
        samples = change_rate(samples, rate_hz, work.sample_rate_hz)
    frames = _cancel(samples, work, method)
    scale = rate_hz / work.sample_rate_hz
    return [_rescaled(frame, scale, params) for frame in frames]


def _across(heard: Recording, frames: list[RxFrame], wanted: Sequence[LoRaParams], method: Method) -> list[RxFrame]:
    """Frames of several sets of parameters: of each that has one, in the stream without the others' frames."""
    samples = without_constant(heard.samples, heard.rate_hz, [item.bandwidth_hz for item in wanted])
    heard = replace(heard, samples=samples)
    known, subtracted = cancel(heard, frames, wanted, Decoding())
    found: list[RxFrame] = []
    for params in wanted:
        if any(is_of(params, frame) for frame in known):
            found += receive_collided(
                without_others(heard, subtracted, params), params, method=method,
                sample_rate_hz=heard.rate_hz, center_offset_hz=heard.center_offset_hz,
            )  # fmt: skip
    return Ghosts(heard.rate_hz).without(sorted(found, key=lambda item: item.start_sample + item.sto_samples))


def _cancel(samples: IQ, params: LoRaParams, method: Method) -> list[RxFrame]:
    """Frames of `samples` (at ``params.sample_rate_hz``, upright), by rounds of reception and cancellation."""
    pending = receive(samples, params)
    frames: list[RxFrame] = []
    replicas: list[Replica] = []
    left = samples
    for _ in range(MAX_ROUNDS):
        fresh = [frame for frame in pending if _is_whole(frame) and not _known(frame, frames)]
        if not fresh and method == "segments":
            resolved = (resolve(left, form) for form in _forms(params, frames))
            fresh = [frame for found in resolved for frame in found if not _known(frame, frames)]
        if not fresh:
            break
        for frame in sorted(fresh, key=lambda item: -item.snr_db):
            if not _known(frame, frames):
                replicas.append(fit_frame(left, frame))
                frames.append(_placed(frame, replicas[-1]))
        left = subtract_all(samples, replicas)
        pending = receive(left, params)
    rest = [frame for frame in pending if not _is_whole(frame) and not _known(frame, frames)]
    frames += [frame for frame in rest if not any(_is_residue(frame, other, params) for other in frames)]
    return sorted(frames, key=lambda item: item.start_sample + item.sto_samples)


def _forms(params: LoRaParams, frames: list[RxFrame]) -> list[LoRaParams]:
    """Parameters to resolve with: waveform and LDRO of the frames read so far; before any, both waveforms."""
    seen = dict.fromkeys((frame.params.waveform, frame.params.ldro) for frame in frames)
    if not seen:
        seen = dict.fromkeys([("chip", params.ldro), ("textbook", params.ldro)])
    return [replace(params, waveform=waveform, ldro=ldro) for waveform, ldro in seen]


def _is_whole(frame: RxFrame) -> bool:
    return frame.status == "ok" and frame.crc_ok is not False


def _known(frame: RxFrame, others: list[RxFrame]) -> bool:
    """Whether a frame is one of `others`, or what their subtraction left of them: same place, or same words nearby."""
    num = frame.params.samples_per_symbol
    for other in others:
        apart = abs(frame.start_sample - other.start_sample)
        bins = abs(frame.cfo_hz - other.cfo_hz) / frame.params.bandwidth_hz * frame.params.num_bins
        if (apart < 2 * frame.params.oversampling and bins < 2) or (apart < 5 * num and frame.payload == other.payload):
            return True
    return False


def _is_residue(frame: RxFrame, other: RxFrame, params: LoRaParams) -> bool:
    """Whether a damaged frame may be what the subtraction of another one left: weak against it, and on top of it."""
    num = params.samples_per_symbol
    end = other.start_sample + (other.preamble_len + 6 + len(other.symbols)) * num
    inside = other.start_sample - 2 * num < frame.start_sample + (frame.preamble_len + 4) * num < end
    return inside and frame.power_dbfs < other.power_dbfs - RESIDUE_DB


def _placed(frame: RxFrame, replica: Replica) -> RxFrame:
    """The frame as its replica fits: where it starts, if its preamble had been misjudged, and in which waveform."""
    start = frame.start_sample + frame.sto_samples
    moved = round((replica.start - start) / replica.block) * replica.block
    told = replace(frame.params, waveform=replica.waveform)
    return replace(frame, start_sample=frame.start_sample + moved, params=told)


def _conjugate(frame: RxFrame, params: LoRaParams) -> RxFrame:
    """A frame seen in the conjugate stream."""
    return replace(frame, cfo_hz=-frame.cfo_hz, params=replace(frame.params, inverted_iq=params.inverted_iq))


def _rescaled(frame: RxFrame, scale: float, params: LoRaParams) -> RxFrame:
    """A frame in samples of the caller's stream, of which one of ours is `scale`."""
    start = (frame.start_sample + frame.sto_samples) * scale
    whole = int(np.floor(start + 0.5))
    told = replace(frame.params, oversampling=params.oversampling)
    return replace(frame, start_sample=whole, sto_samples=float(start - whole), params=told)
