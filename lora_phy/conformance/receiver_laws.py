"""Laws of the receiver: frames made by their definition, at unknown places in a noisy stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lora_phy.conformance.adapter import Adapter
from lora_phy.conformance.definition import continuous_phase, frame
from lora_phy.conformance.strategies import Channel
from lora_phy.conformance.vectors import Vector
from lora_phy.params import LoRaParams


def frames_are_received(adapter: Adapter, params: LoRaParams, vector: Vector, channel: Channel) -> None:
    """A frame 15 dB above the noise is found once, whole, in either waveform, at any place, offset and gain."""
    found = _receive(adapter, frame(list(vector.symbols), params), params, channel)
    assert [f.payload for f in found] == [vector.payload], f"{[(str(f.status), f.payload.hex()) for f in found]}"
    assert str(found[0].status) == "ok", f"status {found[0].status}"


def offsets_of_either_sign_are_bridged(adapter: Adapter, vector: Vector, cfo_bins: float) -> None:
    """A carrier offset of either sign, whole bins or not, costs no frame: 25 dB above the noise, sync word 0x34."""
    params = replace(vector.params, sync_word=0x34, oversampling=2, waveform="textbook")
    channel = Channel(lead=1000, cfo_bins=cfo_bins, gain_db=0.0, snr_db=25.0, seed=1)
    found = _receive(adapter, frame(list(vector.symbols), params), params, channel)
    assert vector.payload in [f.payload for f in found], (
        f"{cfo_bins:+.2f} bins: {[(str(f.status), f.payload.hex()) for f in found]} for {vector.payload.hex()}"
    )


def place_and_offset_are_right(adapter: Adapter, params: LoRaParams, vector: Vector, channel: Channel) -> None:
    """`start_sample` + `sto_samples` is where the preamble begins (within a chip), `cfo_hz` its offset (half a bin)."""
    found = _receive(adapter, frame(list(vector.symbols), params), params, channel)
    assert len(found) == 1, f"{len(found)} frames"
    start = found[0].start_sample + found[0].sto_samples
    assert abs(start - channel.lead) < params.oversampling, f"start {start:.2f}, sent at {channel.lead}"
    bins = found[0].cfo_hz / params.bandwidth_hz * params.num_bins
    assert abs(bins - channel.cfo_bins) < 0.5, f"offset {bins:.2f} bins, sent with {channel.cfo_bins:.2f}"


def what_is_transmitted_is_received(adapter: Adapter, params: LoRaParams, payload: bytes, channel: Channel) -> None:
    """What `transmit` sends, `receive` finds."""
    found = _receive(adapter, adapter.call("transmit", payload, params), params, channel)
    assert [f.payload for f in found] == [payload], f"{[(str(f.status), f.payload.hex()) for f in found]}"


def both_signs_of_a_sync_word_are_heard(adapter: Adapter, vector: Vector, channel: Channel) -> None:
    """A word with a nibble from 8 on is heard with its sign and without: both are on air."""
    params = replace(vector.params, sync_word=0x2B, sf=vector.params.sf)
    for word, second in (("signed", params.num_bins - 40), ("unsigned", 88)):
        sent = replace(params, sync_word=0x20)
        iq = frame(list(vector.symbols), sent)
        # the second chirp of the word by itself
        at = (params.preamble_len + 1) * params.samples_per_symbol
        iq[at : at + params.samples_per_symbol] = continuous_phase(
            [(1, second, params.num_bins)], params.num_bins, params.oversampling
        )
        found = _receive(adapter, iq, params, channel)
        assert [f.payload for f in found] == [vector.payload], f"{word} form (16, {second}): {len(found)} frames"
        assert found[0].sync_word == 0x2B, f"{word} form: word {found[0].sync_word!r}"


def noise_holds_no_frame(adapter: Adapter, sf: int, seed: int) -> None:
    """White noise gives no frame, whatever its status."""
    rng = np.random.default_rng(seed)
    noise = (rng.standard_normal(200 << sf) + 1j * rng.standard_normal(200 << sf)).astype(np.complex64)
    found = adapter.call("receive", noise, LoRaParams(sf=sf))
    assert found == [], f"{len(found)} frames out of noise"


def other_networks_are_not_received(adapter: Adapter, vector: Vector, channel: Channel) -> None:
    """A frame with another sync word is not received."""
    iq = frame(list(vector.symbols), replace(vector.params, sync_word=0x34))
    found = _receive(adapter, iq, replace(vector.params, sync_word=0x12), channel)
    assert found == [], f"{len(found)} frames of another network"


def no_signal_raises(adapter: Adapter, sf: int, kind: str, seed: int) -> None:
    """A signal, however damaged, gives frames or none, never an exception."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(0, 60 << sf))
    iq = (rng.standard_normal(size) + 1j * rng.standard_normal(size)).astype(np.complex64)
    if kind == "zeros":
        iq[:] = 0
    elif kind == "not a number":
        iq[::7] = np.nan
    elif kind == "overflow":
        iq *= np.float32(1e30)
    elif kind == "cut frame":
        iq = frame([int(s) for s in rng.integers(0, 1 << sf, 20)], LoRaParams(sf=sf)).astype(np.complex64)[:size]
    assert isinstance(adapter.call("receive", iq, LoRaParams(sf=sf)), list), "no list of frames"


def _receive(adapter: Adapter, iq: Any, params: LoRaParams, channel: Channel) -> list[Any]:
    return list(adapter.call("receive", channel.apply(iq, params).astype(np.complex64), params))
