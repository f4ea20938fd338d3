"""What is on air: the chip's waveform and the textbook's, signed sync words, frames of real chips symbol by symbol."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
import pytest
from closed_form import continuous_phase, frame_chirps

from lora_phy import FrameStatus, LoRaParams, airtime_s, decode_symbols, encode_payload, receive, transmit
from lora_phy.coding.chain import encode_block, frame_blocks, frame_nibbles
from lora_phy.coding.hamming import hamming_encode
from lora_phy.frames.transceiver import receive_synchronised
from lora_phy.modem.modulation import data_start, modulate_frame

EARLY = {"chip": 1, "textbook": 0}


@pytest.mark.parametrize("waveform", ["chip", "textbook"])
@pytest.mark.parametrize("sf", range(5, 13))
@pytest.mark.parametrize(("oversampling", "inverted_iq"), [(1, False), (1, True), (3, False)])
def test_a_frame_is_its_definition(sf: int, waveform: Any, oversampling: int, inverted_iq: bool) -> None:
    params = LoRaParams(sf=sf, waveform=waveform, oversampling=oversampling, inverted_iq=inverted_iq)
    symbols = encode_payload(b"\x00\x81on air", params).tolist()
    extra = 2 if sf <= 6 else 0
    chirps = frame_chirps(symbols, sf, (8, 16), early=EARLY[waveform], extra=extra)
    expected = continuous_phase(chirps, 1 << sf, oversampling)
    ours = transmit(b"\x00\x81on air", params)
    ours = ours.conj() if inverted_iq else ours
    # the carrier stays on behind the last symbol, to the end of the airtime
    assert len(ours) == len(expected) + EARLY[waveform] * oversampling
    assert len(ours) == round(airtime_s(8, params) * params.sample_rate_hz)
    assert np.abs(ours[: len(expected)] - expected).max() < 1e-5
    assert np.allclose(np.abs(ours), 1.0, atol=1e-6)
    assert data_start(params) == (8 + 4.25 + extra) * params.samples_per_symbol - EARLY[waveform] * oversampling


@pytest.mark.parametrize("waveform", ["chip", "textbook"])
@pytest.mark.parametrize("sf", range(5, 13))
@pytest.mark.parametrize("oversampling", [1, 2])
def test_both_waveforms_are_read(sf: int, waveform: Any, oversampling: int) -> None:
    """By a receiver that knows the start, and by one that does not and was told the other waveform."""
    params = LoRaParams(sf=sf, waveform=waveform, oversampling=oversampling, cr=2)
    iq = transmit(b"either", params)
    for soft in (False, True):
        assert receive_synchronised(iq, params, soft=soft).payload == b"either"
    other = replace(params, waveform="textbook" if waveform == "chip" else "chip")
    [frame] = receive(np.pad(iq, 3 * params.samples_per_symbol), other)
    assert (frame.payload, frame.status, frame.crc_ok) == (b"either", FrameStatus.OK, True)
    assert frame.start_sample == 3 * params.samples_per_symbol
    assert frame.params.waveform == waveform


def test_a_bad_waveform_is_named() -> None:
    with pytest.raises(ValueError, match=r"'waveform' must be 'chip' or 'textbook' \(got 'real'\)"):
        LoRaParams(sf=7, waveform="real")  # type: ignore[arg-type]


# ---- sync words ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sync_word", "sf", "chirps"),
    # 0x2B at SF11 and 0xAB at SF12 as heard off air (gr-lora_sdr #156, #158, one less for the chip's early start)
    [
        (0x2B, 11, (16, 2008)), (0xAB, 12, (4048, 4056)), (0x2B, 7, (16, 88)), (0x12, 9, (8, 16)), (0x34, 12, (24, 32)),
        (0xF8, 8, (248, 192)), (0xFF, 5, (24, 24)),
    ],
)  # fmt: skip
def test_nibbles_from_eight_on_are_negative(sync_word: int, sf: int, chirps: tuple[int, int]) -> None:
    assert LoRaParams(sf=sf, sync_word=sync_word).sync_symbols == chirps


@pytest.mark.parametrize("waveform", ["chip", "textbook"])
@pytest.mark.parametrize(
    ("sf", "chirps", "word"),
    [
        (11, (16, 2008), 0x2B), (11, (16, 88), 0x2B), (9, (448, 448), 0x88), (9, (64, 448), 0x88), (8, (128, 4), None),
        (10, (3, 1021), None), (7, (12, 44), None), (12, (2049, 8), None), (5, (1, 30), None),
    ],
)  # fmt: skip
def test_a_sync_word_is_heard_in_either_form(sf: int, chirps: tuple[int, int], word: int | None, waveform: Any) -> None:
    """Of 40 frames at +3 dB over any threshold none is lost, with the word known and with the word open."""
    params = LoRaParams(sf=sf, waveform=waveform, bandwidth_hz=250e3)
    extra = 2 if sf <= 6 else 0
    symbols = encode_payload(b"ping", params).tolist()
    clean = continuous_phase(frame_chirps(symbols, sf, chirps, early=EARLY[waveform], extra=extra), 1 << sf, 1)
    rng = np.random.default_rng(sf)
    lead = np.zeros(4 << sf)
    snr_db = {5: 6.0, 7: -2.0, 8: -5.0, 9: -8.0, 10: -10.0, 11: -13.0, 12: -15.0}[sf]
    noise = np.sqrt(0.5 * 10 ** (-snr_db / 10))
    for _ in range(4):
        stream = np.concatenate([lead, clean * np.exp(2j * np.pi * rng.random()), lead])
        stream = stream * np.exp(2j * np.pi * rng.uniform(-0.02, 0.02) * np.arange(len(stream)))
        heard = stream + noise * (rng.standard_normal(len(stream)) + 1j * rng.standard_normal(len(stream)))
        for told in (None,) if word is None else (None, word):
            [frame] = receive(heard.astype(np.complex64), replace(params, sync_word=told))
            assert (frame.payload, frame.sync_word) == (b"ping", word)
            assert frame.sync_symbols == chirps


def test_the_chirps_of_a_word_that_is_no_byte_are_sent_again() -> None:
    params = LoRaParams(sf=8)
    clean = continuous_phase(frame_chirps([9, 200], 8, (3, 77), early=1), 256, 1)
    assert np.abs(modulate_frame([9, 200], params, sync_symbols=(3, 77))[: len(clean)] - clean).max() < 1e-5


# ---- frames of real chips --------------------------------------------------------------------------------------------
def test_twelve_frames_of_real_chips_symbol_by_symbol() -> None:
    data = resources.files("lora_phy.conformance") / "data" / "chip_symbols.json"
    frames = json.loads(data.read_text(encoding="utf-8"))
    for frame in frames:
        params = LoRaParams(
            sf=frame["sf"], bandwidth_hz=frame["bandwidth_hz"], cr=frame["cr"], crc=frame["crc"], ldro=frame["ldro"],
            sync_word=frame["sync_word"],
        )  # fmt: skip
        payload, sent = bytes.fromhex(frame["payload"]), frame["symbols"]
        # the nibbles of the payload's end are the chip's own: with them every symbol is the chip's
        nibbles = np.concatenate([frame_nibbles(payload, params), np.array(frame["padding_nibbles"], np.uint8)])
        ours, at = [], 0
        for block in frame_blocks(len(sent), params):
            words = hamming_encode(nibbles[at : at + block.num_codewords], block.cr)
            ours += encode_block(words, block, params.sf).tolist()
            at += block.num_codewords
        assert (ours, at) == (sent, len(nibbles)), frame["source"]
        assert len(encode_payload(payload, params)) == len(sent)
        decoded = decode_symbols(sent, params)
        assert (decoded.payload, decoded.status) == (payload, FrameStatus.OK)
        assert decoded.crc_ok is (True if frame["crc"] else None)
    assert len(frames) == 12
