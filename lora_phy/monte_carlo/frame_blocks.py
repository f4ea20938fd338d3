r"""One block of a point's frames, by kernels or one by one, and any single frame again.

    perfect sync, flat channel   `batches`
    everything else              payload ─ transmit ─► IQ ─ apply_channel ─► IQ ─ demodulate or receive ─► payload

A block is seeded by (seed, point, number) and its frames are drawn in order, so frame f of a point is the same whatever
ran before it, and can be run again alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lora_phy.channel import apply_channel
from lora_phy.coding.chain import FrameStatus, decode_symbols, encode_payload
from lora_phy.coding.decisions import decide_symbols
from lora_phy.modem.demodulation import demodulate_frame
from lora_phy.modem.modulation import modulate_frame
from lora_phy.monte_carlo.counts import LinkCounts
from lora_phy.monte_carlo.frame_batches import BATCH_FRAMES, BlockResult, batch_block, importance_block, is_batch, tally
from lora_phy.monte_carlo.points import LinkPoint, require_valid_point, stream_seed

SINGLE_FRAMES = 10
"""Frames in a block where they go one by one."""
_CHANNEL = 1  # stream of a block, as in `batches`


@dataclass(frozen=True)
class FrameRecord:
    """One frame, as sent and as received, for looking at a failure.

    `received` holds what the decoder saw: hard symbols ``(num_symbols,)``, bit metrics ``(num_symbols, sf)``, or the
    IQ ``(num_samples,)`` where the receiver or the general channel was simulated.
    """

    point: LinkPoint
    frame: int
    ok: bool
    status: FrameStatus | None
    payload: bytes
    received_payload: bytes
    symbols: npt.NDArray[np.int32]
    received: npt.NDArray[Any]


def block_frames(point: LinkPoint, engine: str) -> int:
    """Frames in a block of a point."""
    return BATCH_FRAMES if is_batch(point, engine) else SINGLE_FRAMES


def simulate_block(point: LinkPoint, engine: str, seed: int, block: int, frames: int) -> BlockResult:
    """The first `frames` frames of a block."""
    seed_words = stream_seed(point, seed)
    if engine == "importance":
        return importance_block(point, seed_words, block, frames)
    if is_batch(point, engine):
        return batch_block(point, engine, seed_words, block, frames)[0]
    return _count([_single_frame(point, seed_words, block, i)[0] for i in range(frames)])


def replay_frame(point: LinkPoint, frame: int, *, seed: int, engine: str = "waveform") -> FrameRecord:
    """Frame number `frame` of a point as `collect` simulates it, with what was sent and received.

    Parameters
    ----------
    point, seed, engine
        As given to `collect`; "importance" has no frames to replay.
    frame
        From 0; `LinkResult.failed_frames` holds the numbers of frames that failed.

    Examples
    --------
    >>> from lora_phy.params import LoRaParams
    >>> point = LinkPoint(LoRaParams(sf=7), 20.0, 4, sync="perfect", decoding="hard")
    >>> record = replay_frame(point, 3, seed=1, engine="bins")
    >>> record.ok, record.payload == record.received_payload
    (True, True)
    """
    require_valid_point(point, engine)
    if engine == "importance":
        raise ValueError("'engine' must not be 'importance': its frames are weights (got 'importance')")
    if isinstance(frame, bool) or not hasattr(frame, "__index__") or frame < 0:
        raise ValueError(f"'frame' must be an integer of at least 0 (got {frame!r})")
    seed_words = stream_seed(point, seed)
    block, i = divmod(int(frame), block_frames(point, engine))
    if not is_batch(point, engine):
        outcome, payload, received = _single_frame(point, seed_words, block, i)
        ok, status, received_payload = outcome.counts.frame_errors == 0, outcome.status, outcome.payload
    else:
        _, payloads, observed = batch_block(point, engine, seed_words, block, i + 1)
        payload, received = payloads[i].tobytes(), observed(i)
        decoded = decode_symbols(received, point.receiver_params)
        ok = decoded.status is FrameStatus.OK and decoded.payload == payload
        status, received_payload = decoded.status, decoded.payload
    symbols = encode_payload(payload, point.receiver_params)
    return FrameRecord(point, int(frame), ok, status, payload, received_payload, symbols, received)


# ---- one frame at a time --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _FrameOutcome:
    counts: LinkCounts
    status: FrameStatus | None
    payload: bytes


def _count(outcomes: list[_FrameOutcome]) -> BlockResult:
    counts = LinkCounts()
    for outcome in outcomes:
        counts = counts + outcome.counts
    return BlockResult(counts, tuple(i for i, outcome in enumerate(outcomes) if outcome.counts.frame_errors))


def _single_frame(
    point: LinkPoint, seed: tuple[int, ...], block: int, frame: int
) -> tuple[_FrameOutcome, bytes, npt.NDArray[Any]]:
    """One frame through `apply_channel`: its outcome, its payload, and the IQ at the receiver."""
    params = point.receiver_params
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(block, _CHANNEL, frame))))
    payload = rng.integers(0, 256, point.payload_len, dtype=np.uint8).tobytes()
    iq = modulate_frame(encode_payload(payload, params), params)
    length = params.samples_per_symbol
    # a receiver does not know where the frame starts; behind it there is room for what a delay pushes out
    lead = int(rng.integers(2 * length, 4 * length)) if point.sync == "receiver" else 0
    tail = 2 * length + math.ceil(abs(point.channel.sto_samples))
    padded = np.concatenate([np.zeros(lead, np.complex64), iq, np.zeros(tail, np.complex64)])
    heard = apply_channel(padded, point.channel, params, rng=rng)
    soft = point.decoding == "soft"
    if point.sync == "perfect":
        bins = demodulate_frame(heard[: len(iq)], params, soft="bins")
        decoded = decode_symbols(bins if soft else decide_symbols(bins, params), params)
        outcome = _FrameOutcome(tally(decoded.status, decoded.payload, payload), decoded.status, decoded.payload)
        return outcome, payload, heard

    from lora_phy.receiver.stream import receive

    status: FrameStatus | None = None
    best = b""
    for found in receive(heard, params, soft=soft):
        # the frame that arrived right, else the one nearest to where it was sent
        near = abs(found.start_sample - lead - point.channel.sto_samples) <= 2 * length
        if found.status is FrameStatus.OK and found.payload == payload:
            status, best = found.status, found.payload
            break
        if near and status is None:
            status, best = found.status, found.payload
    return _FrameOutcome(tally(status, best, payload), status, best), payload, heard
