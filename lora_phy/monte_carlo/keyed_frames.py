r"""Payloads of one's own over a simulated link: `send_frames`, each frame with noise and a fade of its own.

    payloads, keys ─ encode ─► symbols ─ channel, noise by key ─► decisions or metrics ─ decode ─► payloads, statuses

A frame's fade and noise are drawn from its key and from nothing else: not from its bytes, its neighbours, the order,
the number of threads, or the SNR (which scales them). Noise is drawn relative to the symbols that are sent, so two
frames of one key and one length suffer alike whatever they carry (docs/decisions/0014).

==========  ================================================================  ======================================
engine      what is drawn                                                     exact for
==========  ================================================================  ======================================
bins        every matched-filter bin                                          AWGN, flat fading, perfect sync
waveform    every IQ sample                                                   any channel; needed by sync="receiver"
==========  ================================================================  ======================================
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lora_phy.channel.params import ChannelParams
from lora_phy.coding.chain import FrameStatus, checked_payload, num_payload_symbols
from lora_phy.monte_carlo.engines import require_valid
from lora_phy.monte_carlo.flat_channel import FlatChannel, as_channel, flat_channel
from lora_phy.monte_carlo.keyed_batches import KeyedBatch, keyed_gains, send_batch
from lora_phy.monte_carlo.keyed_waveforms import send_waveform
from lora_phy.params import LoRaParams
from lora_phy.random_streams import Keys

BLOCK_FRAMES = 1024
"""Frames worked on at a time: the memory does not grow with their number."""
BLOCK_METRICS = 1 << 23
"""Soft decoding: bit metrics worked on at a time, which makes for fewer long frames in a block."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SentFrames:
    """Outcomes of frames, in the order in which they were given.

    Parameters
    ----------
    payloads
        Bytes as decoded, right or wrong; empty where no header could be read or no frame was found.
    statuses
        One `FrameStatus` a frame; None where the receiver found no frame.
    crc_ok
        ``(n,)`` booleans: the frame has a CRC, says so, and it holds.
    symbol_errors
        ``(n,)`` integers: data symbols decided wrongly with the frame's start given, among the legal bins.
    """

    payloads: tuple[bytes, ...]
    statuses: tuple[FrameStatus | None, ...]
    crc_ok: npt.NDArray[np.bool_]
    symbol_errors: npt.NDArray[np.int64]


def send_frames(
    payloads: Sequence[bytes],
    params: LoRaParams,
    channel: ChannelParams | float,
    *,
    keys: Keys,
    gains_db: npt.ArrayLike = 0.0,
    decoding: Literal["hard", "soft"] = "hard",
    sync: Literal["perfect", "receiver"] = "perfect",
    engine: Literal["bins", "waveform"] | None = None,
    threads: int = 1,
) -> SentFrames:
    """Send payloads as frames, one each, and decode what arrives.

    Parameters
    ----------
    payloads
        Any number, of any lengths up to 255 bytes; they are worked on in blocks.
    params
        Waveform and framing.
    channel
        A `ChannelParams`, or an SNR in dB.
    keys
        ``(n, 4)`` uint32: 128 bits a frame (`lora_phy.random_streams.keys_of`).
    gains_db
        Gain of each frame in dB, ``(n,)`` or one for all: differences of place, on top of the channel.
    decoding
        "hard": decisions among the legal bins. "soft": bit metrics (with ``sync="receiver"`` the receiver's joint
        decoder).
    sync
        "perfect": the frame's start, carrier and clock are known. "receiver": each frame lies somewhere in noise, and
        `lora_phy.receive` has to find it.
    engine
        "bins" or "waveform"; None: bins where they are exact, else the waveform.
    threads
        Threads to share the blocks, at most as many as there are processors; the result does not depend on it.

    Returns
    -------
    SentFrames

    Raises
    ------
    ValueError, TypeError
        Keys or gains that do not fit the payloads, an engine outside its validity; as `encode_payload`.

    Examples
    --------
    >>> from lora_phy.random_streams import keys_of
    >>> keys = keys_of(f"frame {n}".encode() for n in range(3))
    >>> sent = send_frames([b"one", b"two", b"three"], LoRaParams(sf=7), 0.0, keys=keys)
    >>> sent.payloads, sent.crc_ok.tolist()
    ((b'one', b'two', b'three'), [True, True, True])
    """
    channel = as_channel(channel)
    if decoding not in ("hard", "soft"):
        raise ValueError(f"'decoding' must be 'hard' or 'soft' (got {decoding!r})")
    if sync not in ("perfect", "receiver"):
        raise ValueError(f"'sync' must be 'perfect' or 'receiver' (got {sync!r})")
    if engine not in (None, "bins", "waveform"):
        raise ValueError(f"'engine' must be None, 'bins' or 'waveform' (got {engine!r})")
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"'threads' must be an integer of at least 1 (got {threads!r})")
    data = [checked_payload(payload, params) for payload in payloads]
    keys = np.asarray(keys, np.uint32)
    if keys.shape != (len(data), 4):
        raise ValueError(f"'keys' must have the shape {(len(data), 4)}, a row for each payload (got {keys.shape})")
    gains_db = np.asarray(gains_db, float)
    if gains_db.shape not in ((), (len(data),)) or not np.all(np.isfinite(gains_db)):
        raise ValueError(f"'gains_db' must be one finite number or {len(data)} of them (got {gains_db!r})")
    amplitudes = np.broadcast_to(10.0 ** (gains_db / 20.0), len(data))
    flat = flat_channel(params, channel)
    if engine == "bins":
        require_valid(engine, channel)
        if sync != "perfect":
            raise ValueError(f"'sync' must be 'perfect' with engine 'bins', which has no waveform (got {sync!r})")
    if flat is None or flat.cfo_bins or sync == "receiver" or (engine == "waveform" and params.oversampling > 1):

        def work(part: slice) -> KeyedBatch:
            return send_waveform(
                data[part], params, channel, amplitudes[part], keys[part], sync=sync, soft=decoding == "soft"
            )

    else:
        exact: FlatChannel = flat

        def work(part: slice) -> KeyedBatch:
            gains = keyed_gains(exact, keys[part]) * amplitudes[part]
            return send_batch(
                data[part], params, exact, gains, keys[part], engine=engine or "bins", soft=decoding == "soft"
            )

    size = BLOCK_FRAMES
    if decoding == "soft":
        longest = max(map(len, data), default=0)
        size = max(8, min(size, BLOCK_METRICS // (params.sf * num_payload_symbols(longest, params)) // 8 * 8))
    parts = [slice(start, start + size) for start in range(0, len(data), size)]
    if threads > 1 and len(parts) > 1:
        with ThreadPoolExecutor(min(threads, os.cpu_count() or 1)) as pool:
            done = list(pool.map(work, parts))
    else:
        done = [work(part) for part in parts]
    return SentFrames(
        payloads=tuple(payload for batch in done for payload in batch.payloads),
        statuses=tuple(status for batch in done for status in batch.statuses),
        crc_ok=np.concatenate([batch.crc_ok for batch in done]) if done else np.zeros(0, np.bool_),
        symbol_errors=np.concatenate([batch.symbol_errors for batch in done]) if done else np.zeros(0, np.int64),
    )
