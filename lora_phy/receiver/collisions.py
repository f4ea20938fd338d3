"""Overlapping frames of one spreading factor: who can still be read.

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

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from lora_phy.params import LoRaParams
from lora_phy.receiver.cancellation import Replica, fit_frame, subtract_all
from lora_phy.receiver.co_sf_interference import resolve
from lora_phy.receiver.frame_reception import RxFrame
from lora_phy.receiver.stream import receive

Method = Literal["plain", "sic", "segments"]

MAX_ROUNDS = 32


def receive_collided(iq: npt.ArrayLike, params: LoRaParams, *, method: Method = "segments") -> list[RxFrame]:
    """Every frame in a stream in which frames overlap, in time order.

    Parameters
    ----------
    iq
        ``(n,)`` complex at ``params.sample_rate_hz``. Worked on as a whole: cut long recordings where they are silent.
    params
        One set of parameters. Only frames whose CRC holds (or, without CRC, that are complete) are subtracted.
    method
        "plain", "sic" or "segments".

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
    if method == "plain":
        return receive(iq, params)
    pending = receive(iq, params)  # also checks the arguments
    upright = replace(params, inverted_iq=False)
    samples = np.asarray(iq).astype(np.complex64)
    if params.inverted_iq:
        samples, pending = np.conjugate(samples), [_conjugate(frame, upright) for frame in pending]
    frames: list[RxFrame] = []
    replicas: list[Replica] = []
    left = samples
    for _ in range(MAX_ROUNDS):
        fresh = [frame for frame in pending if _is_whole(frame) and not _known(frame, frames)]
        if not fresh and method == "segments":
            fresh = [frame for frame in resolve(left, upright) if not _known(frame, frames)]
        if not fresh:
            break
        for frame in sorted(fresh, key=lambda item: -item.snr_db):
            if not _known(frame, frames):
                replicas.append(fit_frame(left, frame))
                frames.append(_placed(frame, replicas[-1]))
        left = subtract_all(samples, replicas)
        pending = receive(left, upright)
    frames += [frame for frame in pending if not _is_whole(frame) and not _known(frame, frames)]
    if params.inverted_iq:
        frames = [_conjugate(frame, params) for frame in frames]
    return sorted(frames, key=lambda item: item.start_sample + item.sto_samples)


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


def _placed(frame: RxFrame, replica: Replica) -> RxFrame:
    """The frame at the start of its replica where the preamble's length had been misjudged by whole symbols."""
    start = frame.start_sample + frame.sto_samples
    moved = round((replica.start - start) / replica.block) * replica.block
    return replace(frame, start_sample=frame.start_sample + moved)


def _conjugate(frame: RxFrame, params: LoRaParams) -> RxFrame:
    """A frame seen in the conjugate stream."""
    return replace(frame, cfo_hz=-frame.cfo_hz, params=replace(frame.params, inverted_iq=params.inverted_iq))
