"""Packets over the simulated radio, one LoRa frame each: `lora_phy.monte_carlo.keyed_frames.send_frames` does the work.

    packets ─ payloads and keys ─ send_frames ─► Arrival of each

Synchronisation is perfect by default: the receiver knows where a frame's data symbols begin, and the preamble is not
simulated (its noise could change nothing; its airtime is counted elsewhere). With ``sync="receiver"`` the whole frame
lies in a stretch of noise, at a place drawn for it, and `lora_phy`'s receiver has to find it; carrier and clocks agree,
but the receiver does not know that. Fading is flat, one fade a frame unless the channel has a Doppler shift.

The noise and the fade of a frame are drawn from its key: a function of (channel seed, corpus, program, fragment,
attempt) and of nothing else. So all methods, policies, training seeds and SNRs meet the same noise. By default **both
versions of a program** do too, relative to the chirps that are sent: fragment i of both is lost or not together, and
damage says nothing about which is which. With ``pair_noise="independent"`` the version is part of the key.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from llm_bridge.annotations import Progress
from lora_phy import FrameStatus, LoRaParams
from lora_phy.channel import ChannelParams
from lora_phy.monte_carlo.keyed_frames import send_frames
from lora_phy.random_streams import Keys, child_keys, keys_of, uniforms

CHUNK_FRAMES = 32
"""Frames handed to a worker process at a time, where a receiver has to find them."""
REPORT_FRAMES = 4096
"""Frames between two calls of `progress` otherwise."""
SHADOWING_STREAM, CONTROL_STREAM = 16, 17
"""Streams of a packet's key beside those that the radio draws from."""


@dataclass(frozen=True, kw_only=True)
class Packet:
    """One packet on its way: whose it is, which attempt, and its bytes."""

    corpus: str
    program: str
    version: str
    fragment: int
    attempt: int
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """Outcome of a packet.

    Parameters
    ----------
    payload
        Bytes as decoded, right or wrong; None where the frame's header could not be read.
    crc_ok
        Whether the frame's CRC held. False also where the received header denies that there is one.
    symbol_errors
        Chirp symbols decided wrongly (among the legal ones, at reduced rate); 0 under a control, which has no symbols.
    """

    payload: bytes | None
    crc_ok: bool
    symbol_errors: int = 0


@dataclass(frozen=True, kw_only=True)
class RadioLink:
    """The radio that packets cross.

    Parameters
    ----------
    params, channel
        Waveform and framing; the channel, whose fading is flat.
    channel_seed
        Seed of all noise and fades.
    decoding
        "hard" (decisions among the legal bins) or "soft" (bit metrics).
    sync
        "perfect" or "receiver".
    shadowing_db
        Standard deviation in dB of the SNR over programs: each is sent from a place of its own.
    engine
        "bins" or "waveform"; None: bins where they are exact, else the waveform (`send_frames`).
    pair_noise
        "same" or "independent": whether both versions of a program meet the same fades and noise.
    """

    params: LoRaParams
    channel: ChannelParams
    channel_seed: int = 0
    decoding: Literal["hard", "soft"] = "hard"
    sync: Literal["perfect", "receiver"] = "perfect"
    shadowing_db: float = 0.0
    engine: Literal["bins", "waveform"] | None = None
    pair_noise: Literal["same", "independent"] = "same"


def packet_keys(
    packets: Sequence[Packet], channel_seed: int, *, pair_noise: Literal["same", "independent"] = "same"
) -> Keys:
    """128 bits a packet, uint32 ``(n, 4)``: a function of channel seed, corpus, program, fragment and attempt.

    SHA-256 of the first three is the key of a counter-based generator, fragment and attempt are its counter.

    Parameters
    ----------
    pair_noise
        "same": both versions of a program have one key. "independent": the version counts too.

    Examples
    --------
    >>> buggy, correct = (
    ...     Packet(corpus="c", program="p", version=version, fragment=0, attempt=0, payload=b"")
    ...     for version in ("buggy", "correct")
    ... )
    >>> same, apart = packet_keys([buggy, correct], 1), packet_keys([buggy, correct], 1, pair_noise="independent")
    >>> bool((same[0] == same[1]).all()), bool((apart[0] == apart[1]).any())
    (True, False)
    """
    rows: dict[tuple[str, str, str], int] = {}
    parents = [
        rows.setdefault((packet.corpus, packet.program, "" if pair_noise == "same" else packet.version), len(rows))
        for packet in packets
    ]
    names = keys_of(json.dumps([channel_seed, *text]).encode() for text in rows)
    numbers = np.array([(packet.fragment, packet.attempt) for packet in packets], np.int64).reshape(-1, 2)
    return child_keys(names, np.array(parents, np.int64), numbers[:, 0], numbers[:, 1])


def carry(
    packets: Sequence[Packet], link: RadioLink, *, workers: int = 1, progress: Progress | None = None
) -> list[Arrival]:
    """Send every packet as one frame and decode what arrives.

    Parameters
    ----------
    packets
        Packets in any order: each has its own noise, so neither order nor company changes anything.
    workers
        Threads to share the work; processes where a receiver has to find the frames, which are spawned: a script that
        asks for them needs the usual ``if __name__ == "__main__"`` guard. More than there are processors are as many as
        there are. The result does not depend on it.
    progress
        Called as ``progress(frames done, frames in all)``.

    Raises
    ------
    ValueError
        `workers` below 1.

    Examples
    --------
    >>> packet = Packet(corpus="c", program="p", version="buggy", fragment=0, attempt=0, payload=b"hello")
    >>> link = RadioLink(params=LoRaParams(sf=7), channel=ChannelParams(snr_db=0.0))
    >>> carry([packet], link)
    [Arrival(payload=b'hello', crc_ok=True, symbol_errors=0)]
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"'workers' must be an integer of at least 1 (got {workers!r})")
    workers = min(workers, os.cpu_count() or 1)
    size = CHUNK_FRAMES if link.sync == "receiver" else REPORT_FRAMES * workers
    chunks = [packets[start : start + size] for start in range(0, len(packets), size)]
    arrivals: list[Arrival] = []
    if link.sync == "receiver" and workers > 1 and len(chunks) > 1:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context) as pool:
            for part in pool.map(_carry_chunk, chunks, [link] * len(chunks)):
                arrivals += part
                if progress is not None:
                    progress(len(arrivals), len(packets))
        return arrivals
    for chunk in chunks:
        arrivals += _carry_chunk(chunk, link, workers)
        if progress is not None:
            progress(len(arrivals), len(packets))
    return arrivals


def shadowing_gains_db(packets: Sequence[Packet], link: RadioLink) -> np.ndarray:
    """Gain of each packet in dB, ``(n,)``: a normal draw for each program (each version, if pairs are independent).

    Examples
    --------
    >>> packets = [Packet(corpus="c", program=p, version="buggy", fragment=n, attempt=0, payload=b"")
    ...            for p, n in (("f", 0), ("f", 1), ("g", 0))]
    >>> link = RadioLink(params=LoRaParams(sf=7), channel=ChannelParams(snr_db=0.0), shadowing_db=8.0)
    >>> gains = shadowing_gains_db(packets, link)
    >>> bool(gains[0] == gains[1]), bool(gains[0] == gains[2])
    (True, False)
    """
    if not link.shadowing_db:
        return np.zeros(len(packets))
    places = [
        Packet(corpus=one.corpus, program=one.program, version=one.version, fragment=0, attempt=0, payload=b"")
        for one in packets
    ]
    keys = packet_keys(places, link.channel_seed, pair_noise=link.pair_noise)
    return np.asarray(-link.shadowing_db * ndtri(uniforms(keys, 1, stream=SHADOWING_STREAM)[:, 0]))


def _carry_chunk(packets: Sequence[Packet], link: RadioLink, threads: int = 1) -> list[Arrival]:
    sent = send_frames(
        [packet.payload for packet in packets],
        link.params,
        link.channel,
        keys=packet_keys(packets, link.channel_seed, pair_noise=link.pair_noise),
        gains_db=0.0 if math.isinf(link.channel.snr_db) else shadowing_gains_db(packets, link),
        decoding=link.decoding,
        sync=link.sync,
        engine=link.engine,
        threads=threads,
    )
    unread = (None, FrameStatus.BAD_HEADER, FrameStatus.UNSUPPORTED)
    return [
        Arrival(payload=None if status in unread else payload, crc_ok=crc_ok, symbol_errors=errors)
        for payload, status, crc_ok, errors in zip(
            sent.payloads, sent.statuses, sent.crc_ok.tolist(), sent.symbol_errors.tolist(), strict=True
        )
    ]
