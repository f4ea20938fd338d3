r"""Keyed frames as waveforms, one at a time: any channel, any oversampling, with or without the receiver.

    payload ─ encode, modulate ─► IQ ─ channel ─►(+)─► demodulate at the known place, or receive ─► payload
                                                  ▲
                       noise of the key, turned by the frame's phase against that of a frame of zeros

White noise stays white when it is turned sample by sample, and after dechirping it stands to the chirp that was sent as
the noise of the key stands to an upchirp: so frames of one key suffer alike whatever they carry. Where the channel goes
on behind the noise (a front end), the noise is left as it is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lora_phy.channel.awgn import add_noise, noise_power
from lora_phy.channel.compose import apply_channel
from lora_phy.channel.params import ChannelParams
from lora_phy.coding.chain import FrameStatus, decode_symbols, encode_payload
from lora_phy.coding.decisions import decide_symbols
from lora_phy.modem.demodulation import demodulate_frame
from lora_phy.modem.modulation import modulate_frame
from lora_phy.monte_carlo.flat_channel import flat_channel
from lora_phy.monte_carlo.keyed_batches import KeyedBatch, keyed_gains
from lora_phy.params import LoRaParams
from lora_phy.random_streams import Keys, uniforms

PLACE_STREAM = 2
GUARD_SYMBOLS = 6
"""Symbols of noise before and after a frame that has to be found."""


def send_waveform(
    payloads: Sequence[bytes],
    params: LoRaParams,
    channel: ChannelParams,
    amplitudes: npt.NDArray[np.float64],
    keys: Keys,
    *,
    sync: str,
    soft: bool,
) -> KeyedBatch:
    """Send each payload as one frame; of several frames found, the one with a good CRC counts, else the first."""
    receiver = params if params.explicit_header or params.payload_len is not None else None
    flat = flat_channel(params, channel)
    still, fades = channel, np.asarray(amplitudes, np.complex128)
    if flat is not None:
        still, fades = replace(channel, fading=None, k_factor_db=None, nakagami_m=None), keyed_gains(flat, keys) * fades
    noiseless = replace(still, snr_db=math.inf)
    places = uniforms(keys, 1, stream=PLACE_STREAM)[:, 0]
    symbol = params.samples_per_symbol
    out = KeyedBatch([], [], np.zeros(len(payloads), np.bool_), np.zeros(len(payloads), np.int64))
    for i, payload in enumerate(payloads):
        own = receiver or replace(params, payload_len=len(payload))
        rng = np.random.Generator(np.random.Philox(key=np.ascontiguousarray(keys[i]).view(np.uint64)))
        sent = encode_payload(payload, own)
        frame = modulate_frame(sent, own)
        lead = GUARD_SYMBOLS * symbol + int(places[i] * symbol) if sync == "receiver" else 0
        tail = (GUARD_SYMBOLS if sync == "receiver" else 2) * symbol + math.ceil(abs(channel.sto_samples))
        stretch = np.pad(frame * np.complex64(fades[i]), (lead, tail))
        if still.front_end is None:
            heard = apply_channel(stretch, noiseless, own, rng=rng)
            noise = np.zeros_like(heard)
            add_noise(noise, noise_power(channel.snr_db, own.oversampling), rng=rng)
            noise[lead : lead + len(frame)] *= frame * modulate_frame(np.zeros_like(sent), own).conj()
            heard += noise
        else:
            heard = apply_channel(stretch, still, own, rng=rng)
        bins = demodulate_frame(heard[lead : lead + len(frame)], own, soft="bins")
        decided = decide_symbols(bins, own)
        out.symbol_errors[i] = np.count_nonzero(decided != sent)
        if sync == "receiver":
            payload, status, crc_ok = _receive_best(heard, own, soft)
        else:
            decoded = decode_symbols(bins if soft else decided, own)
            payload, status, crc_ok = decoded.payload, decoded.status, decoded.crc_ok is True
        out.payloads.append(payload)
        out.statuses.append(status)
        out.crc_ok[i] = crc_ok
    return out


def _receive_best(
    heard: npt.NDArray[np.complex64], params: LoRaParams, soft: bool
) -> tuple[bytes, FrameStatus | None, bool]:
    from lora_phy.receiver.stream import receive

    found = receive(heard, params, soft=soft)
    if params.explicit_header:
        found = [frame for frame in found if frame.header is not None] or found
    if not found:
        return b"", None, False
    best = max(found, key=lambda frame: frame.crc_ok is True)  # the first of equals
    return best.payload, best.status, best.crc_ok is True
