"""Packets over the simulated radio, one LoRa frame each, as waveforms.

    payload ─ encode_payload ─ modulate ─ apply_channel ─ demodulate ─ decode_symbols ─► Arrival

Synchronisation is perfect by default: the receiver knows where a frame's data symbols begin, and the preamble is not
simulated (its noise could change nothing; its airtime is counted elsewhere). With ``sync="receiver"`` the whole frame
lies in a stretch of noise, at a place drawn for it, and `lora_phy`'s receiver has to find it; carrier and clocks agree,
but the receiver does not know that. Fading is flat, one fade a frame. Nothing is
approximated: the waveform is left out only where there is no noise at all, since every decision is then the symbol
sent.

The noise of a frame is drawn from a generator of its own, seeded by `noise_seed`: a function of (channel seed, corpus,
program, version, fragment, attempt) and of nothing else. So all methods, policies and training seeds meet the same
noise, and so do all SNRs: the same unit noise (and the same fade), scaled.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lora_phy import LoRaParams, decode_symbols, demodulate, encode_payload, modulate, transmit
from lora_phy.arrays import IQ, Bins, Symbols
from lora_phy.channel import ChannelParams, apply_channel
from lora_phy.channel.path_loss import shadowing_db
from lora_phy.modem.demodulation import demodulate_frame

Progress = Callable[[int, int], None]

FIRST_BLOCK_LEN = 8
"""Symbols in a frame's first block, which is at reduced rate whatever the payload's rate (not so at SF5 and SF6)."""
GUARD_SYMBOLS = 6
"""Symbols of noise before and after a frame that has to be found."""
CHUNK_FRAMES = 32
"""Frames handed to a worker process at a time."""


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
    """What came of a packet.

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

    `decoding` is "hard" (symbol decisions) or "soft" (matched-filter bins), `sync` "perfect" or "receiver";
    `shadowing_db` is the standard deviation of the SNR over items (`shadowed`).
    """

    params: LoRaParams
    channel: ChannelParams
    channel_seed: int = 0
    decoding: Literal["hard", "soft"] = "hard"
    sync: Literal["perfect", "receiver"] = "perfect"
    shadowing_db: float = 0.0


def noise_seed(packet: Packet, channel_seed: int, purpose: str = "radio") -> int:
    """128 bits of SHA-256 over channel seed, corpus, program, version, fragment and attempt.

    `purpose` separates the streams of the radio and of the controls.

    Examples
    --------
    >>> packet = Packet(corpus="c", program="p", version="buggy", fragment=0, attempt=0, payload=b"")
    >>> noise_seed(packet, 1) == noise_seed(packet, 1), noise_seed(packet, 1) == noise_seed(packet, 2)
    (True, False)
    """
    key = [
        purpose,
        channel_seed,
        packet.corpus,
        packet.program,
        packet.version,
        packet.fragment,
        packet.attempt,
    ]
    return int.from_bytes(hashlib.sha256(json.dumps(key).encode()).digest()[:16], "big")


def carry(
    packets: Sequence[Packet], link: RadioLink, *, workers: int = 1, progress: Progress | None = None
) -> list[Arrival]:
    """Send every packet as one frame and decode what arrives.

    Parameters
    ----------
    packets
        In any order: each has its own noise, so the order changes nothing.
    workers
        Processes to share the work; the result does not depend on it. They are spawned: a script that asks for them
        needs the usual ``if __name__ == "__main__"`` guard.
    progress
        Called as ``progress(frames done, frames in all)``.

    Examples
    --------
    >>> packet = Packet(corpus="c", program="p", version="buggy", fragment=0, attempt=0, payload=b"hello")
    >>> link = RadioLink(params=LoRaParams(sf=7), channel=ChannelParams(snr_db=0.0))
    >>> carry([packet], link)
    [Arrival(payload=b'hello', crc_ok=True, symbol_errors=0)]
    """
    chunks = [packets[start : start + CHUNK_FRAMES] for start in range(0, len(packets), CHUNK_FRAMES)]
    arrivals: list[Arrival] = []
    if workers > 1 and len(chunks) > 1:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context) as pool:
            for part in pool.map(_carry_chunk, chunks, [link] * len(chunks)):
                arrivals += part
                if progress is not None:
                    progress(len(arrivals), len(packets))
        return arrivals
    for chunk in chunks:
        for packet in chunk:
            arrivals.append(carry_one(packet, link))
            if progress is not None:
                progress(len(arrivals), len(packets))
    return arrivals


def carry_one(packet: Packet, link: RadioLink) -> Arrival:
    """Send one packet as one frame."""
    sent = encode_payload(packet.payload, link.params)
    link = shadowed(packet, link)
    if link.sync == "receiver":
        return _carry_unsynchronised(packet, sent, link)
    if math.isinf(link.channel.snr_db):  # no noise: every decision is the symbol sent, whatever the fade
        return _arrival(sent, sent, sent, link)
    rng = np.random.default_rng(noise_seed(packet, link.channel_seed))
    iq = apply_channel(modulate(sent, link.params), link.channel, link.params, rng=rng)
    if link.decoding == "soft":
        bins = demodulate(iq, link.params, soft="bins")
        return _arrival(bins, decide_bins(bins, link.params), sent, link)
    decided = decide(iq, link.params)
    return _arrival(decided, decided, sent, link)


def shadowed(packet: Packet, link: RadioLink) -> RadioLink:
    """The link as this packet's item meets it: the SNR lower by a normal draw, equal for all packets of the item.

    Examples
    --------
    >>> packet = Packet(corpus="c", program="p", version="buggy", fragment=0, attempt=0, payload=b"hello")
    >>> link = RadioLink(params=LoRaParams(sf=7), channel=ChannelParams(snr_db=0.0), shadowing_db=8.0)
    >>> shadowed(packet, link).channel.snr_db == shadowed(replace(packet, fragment=3), link).channel.snr_db != 0.0
    True
    """
    if not link.shadowing_db or math.isinf(link.channel.snr_db):
        return link
    place = replace(packet, fragment=0, attempt=0, payload=b"")
    rng = np.random.default_rng(noise_seed(place, link.channel_seed, purpose="shadowing"))
    loss_db = float(shadowing_db(link.shadowing_db, 1, rng=rng)[0])
    return replace(link, channel=replace(link.channel, snr_db=link.channel.snr_db - loss_db))


def decide(iq: IQ, params: LoRaParams) -> Symbols:
    """Hard decisions on a frame's data symbols; at reduced rate the strongest of the legal bins 4k + 1.

    Examples
    --------
    >>> params = LoRaParams(sf=7)
    >>> symbols = encode_payload(b"hi", params)
    >>> bool(np.all(decide(modulate(symbols, params), params) == symbols))
    True
    """
    if params.reduced_rate:
        return decide_bins(demodulate(iq, params, soft="bins"), params)
    symbols: Symbols = demodulate(iq, params)
    if params.header_reduced_rate:  # bins only where they are needed: magnitudes cost more than powers
        head = demodulate(iq[: FIRST_BLOCK_LEN * params.samples_per_symbol], params, soft="bins")
        symbols[:FIRST_BLOCK_LEN] = decide_bins(head, params)
    return symbols


def decide_bins(bins: Bins, params: LoRaParams) -> Symbols:
    """Hard decisions ``(num_symbols,)`` on the matched-filter bins of a frame's data symbols."""
    reduced = np.full(len(bins), params.reduced_rate)
    reduced[:FIRST_BLOCK_LEN] = params.header_reduced_rate
    legal = 4 * np.argmax(bins[:, 1::4], axis=-1) + 1
    decided: Symbols = np.where(reduced, legal, np.argmax(bins, axis=-1)).astype(np.int32)
    return decided


def _carry_unsynchronised(packet: Packet, sent: Symbols, link: RadioLink) -> Arrival:
    """Send one packet as a whole frame somewhere in noise and let the receiver look for it.

    Of several frames found, the one with a good CRC counts, else the first with a header. Symbol errors are those of
    decisions at the true start: what the noise did, not the receiver.
    """
    from lora_phy.receiver.stream import receive

    params, symbol = link.params, link.params.samples_per_symbol
    place = np.random.default_rng(noise_seed(packet, link.channel_seed, purpose="start"))
    lead = GUARD_SYMBOLS * symbol + int(place.integers(symbol))
    frame = transmit(packet.payload, params)
    stretch = np.concatenate([np.zeros(lead, frame.dtype), frame, np.zeros(GUARD_SYMBOLS * symbol, frame.dtype)])
    rng = np.random.default_rng(noise_seed(packet, link.channel_seed))
    heard = apply_channel(stretch, link.channel, params, rng=rng)
    decided = decide_bins(demodulate_frame(heard[lead:], params, num_symbols=len(sent), soft="bins"), params)
    errors = int(np.count_nonzero(decided != sent))
    found = [one for one in receive(heard, params, soft=link.decoding == "soft") if one.header is not None]
    if not found:
        return Arrival(payload=None, crc_ok=False, symbol_errors=errors)
    best = max(found, key=lambda one: one.crc_ok is True)  # the first of equals
    return Arrival(payload=best.payload, crc_ok=best.crc_ok is True, symbol_errors=errors)


def _arrival(observed: Symbols | Bins, decided: Symbols, sent: Symbols, link: RadioLink) -> Arrival:
    decoded = decode_symbols(observed, link.params)
    return Arrival(
        payload=None if decoded.header is None else decoded.payload,
        crc_ok=decoded.crc_ok is True,
        symbol_errors=int(np.count_nonzero(decided != sent)),
    )


def _carry_chunk(packets: Sequence[Packet], link: RadioLink) -> list[Arrival]:
    return [carry_one(packet, link) for packet in packets]
