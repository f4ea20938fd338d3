"""Far above the sensitivity limit no frame is lost, and what is no frame is not reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lora_phy import ChannelParams, LoRaParams, Receiver, apply_channel, encode_payload, receive, transmit
from lora_phy.modem.modulation import modulate_frame
from lora_phy.receiver.ghosts import is_ghost_of


@pytest.mark.parametrize("sync_word", [0x12, None])
@pytest.mark.parametrize("length", [8, 12, 16, 20, 24, 32])
def test_longer_preambles_than_told(hear, length, sync_word, sf=7) -> None:
    """The search for the downchirps must not end within a symbol of them, nor half a symbol and half the band off."""
    for _ in range(40):
        sent = LoRaParams(sf=sf, preamble_len=length)
        rng = np.random.default_rng(length)
        heard = hear(sent, snr_db=10.0, cfo_hz=float(rng.uniform(-2e3, 2e3)), sto_samples=float(rng.uniform(-0.5, 0.5)))
        [frame] = receive(heard.iq, LoRaParams(sf=sf, sync_word=sync_word))
        assert (frame.status, frame.payload, frame.sync_word) == ("ok", heard.payload, 0x12)
        assert abs(frame.start_sample + frame.sto_samples - heard.start) < 0.5 and frame.preamble_len == length


def test_traffic_of_the_same_slope_gives_no_frames() -> None:
    """SF9 at 250 kHz is as steep as SF7 at 125 kHz, whose receiver hears a half of every chirp."""
    rng = np.random.default_rng(9)
    params = LoRaParams(sf=9, bandwidth_hz=250e3)
    parts = []
    for _ in range(25):
        parts += [np.zeros(3000 + int(rng.integers(1000)), np.complex64), transmit(rng.bytes(16), params)]
    iq = apply_channel(np.concatenate(parts), ChannelParams(snr_db=10.0), params, rng=rng)
    assert receive(iq, LoRaParams(sf=7, bandwidth_hz=125e3), sample_rate_hz=250e3) == []
    assert receive(iq, LoRaParams(sf=7, bandwidth_hz=125e3, sync_word=None), sample_rate_hz=250e3) == []
    assert len(receive(iq, params)) == 25


@pytest.mark.parametrize("sent,ghosts", [((7, 500e3), (5, 250e3)), ((9, 500e3), (5, 125e3))])
def test_a_scan_does_not_list_what_slope_alikes_make_of_a_frame(sent, ghosts) -> None:
    """SF5 reads headers into chirps of the same slope; beside the receiver that reads them, it says nothing."""
    rng = np.random.default_rng(45)
    params = LoRaParams(sf=sent[0], bandwidth_hz=sent[1])
    wanted = [LoRaParams(sf=sf, bandwidth_hz=bandwidth, sync_word=None) for sf, bandwidth in (ghosts, sent)]
    payloads = [rng.bytes(int(rng.integers(5, 60))) for _ in range(12)]
    parts = [np.pad(transmit(payload, params), (2000, 8000)) for payload in payloads]
    iq = apply_channel(np.concatenate(parts), ChannelParams(snr_db=20.0, cfo_hz=9e3), params, rng=rng)
    frames = receive(iq, wanted, sample_rate_hz=500e3)
    assert [(frame.payload, frame.status, frame.params.sf) for frame in frames] == [
        (payload, "ok", sent[0]) for payload in payloads
    ]
    receiver, pieces = Receiver(wanted, sample_rate_hz=500e3), []
    for piece in np.array_split(iq, 9):
        pieces += receiver.push(piece)
    assert [frame.payload for frame in pieces + receiver.flush()] == payloads


def test_a_damaged_frame_that_is_the_stronger_is_no_ghost() -> None:
    strong, weak = LoRaParams(sf=7, bandwidth_hz=500e3), LoRaParams(sf=9, bandwidth_hz=1e6)
    [frame] = receive(np.pad(transmit(b"over it", strong), (500, 4000)), strong)
    damaged = replace(frame, crc_ok=False, start_sample=frame.start_sample + 9)
    surrounding = replace(frame, params=weak, power_dbfs=frame.power_dbfs - 1)
    assert not is_ghost_of(damaged, surrounding)
    assert is_ghost_of(damaged, replace(surrounding, power_dbfs=frame.power_dbfs + 1))
    assert not is_ghost_of(damaged, replace(surrounding, params=replace(weak, inverted_iq=True)))
    assert not is_ghost_of(damaged, replace(surrounding, params=replace(weak, sf=8)))


@pytest.mark.parametrize("cr", [1, 2, 4])
def test_a_header_without_crc_needs_a_payload_behind_it(cr) -> None:
    """A header that announces no CRC leaves nothing to contradict it: garbage behind it must not be `ok`."""
    told, sent = LoRaParams(sf=7), LoRaParams(sf=7, cr=cr, crc=False)
    rng = np.random.default_rng(cr)
    for index in range(20):
        symbols = encode_payload(bytes(24), sent).copy()
        if index % 2:
            symbols[8:] = rng.integers(0, 128, len(symbols) - 8)
        iq = np.pad(modulate_frame(symbols, sent), (1000, 3000))
        [frame] = receive(apply_channel(iq, ChannelParams(snr_db=3.0), sent, rng=rng), told)
        assert frame.status == ("bad_header" if index % 2 else "ok")
        assert frame.payload == (b"" if index % 2 else bytes(24))


def test_a_short_frame_without_crc_is_received_where_one_is_expected() -> None:
    for size in (0, 1, 2, 3):
        iq = np.pad(transmit(bytes(range(size)), LoRaParams(sf=7, crc=False)), (1000, 3000))
        rng = np.random.default_rng(size)
        [frame] = receive(apply_channel(iq, ChannelParams(snr_db=5.0), LoRaParams(sf=7), rng=rng), LoRaParams(sf=7))
        assert (frame.status, frame.crc_ok, frame.payload) == ("ok", None, bytes(range(size)))
