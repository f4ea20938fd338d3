"""A frame is found wherever it starts, however it is shifted, and whatever its preamble and sync word are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lora_phy import LoRaParams, encode_payload, receive

PARAMS = LoRaParams(sf=7, cr=4)


@pytest.mark.parametrize("cfo_hz", [0.0, 300.0, -300.0, 2345.0, 31_250.0, -31_250.0, 50_000.0, -62_000.0])
def test_carrier_offsets_of_either_sign_up_to_half_the_bandwidth(hear, cfo_hz) -> None:
    heard = hear(PARAMS, snr_db=0.0, cfo_hz=cfo_hz, sto_samples=0.3)
    [frame] = receive(heard.iq, PARAMS)
    assert frame.payload == heard.payload
    assert abs(frame.cfo_hz - cfo_hz) < 0.2 * 125e3 / 128
    assert abs(frame.start_sample + frame.sto_samples - heard.start) < 0.3
    assert -0.5 <= frame.sto_samples < 0.5


@pytest.mark.parametrize("oversampling", [2, 4])
@pytest.mark.parametrize("share", [-0.48, -0.35, -0.24, -0.1584, 0.1584, 0.2, 0.24, 0.42])
def test_oversampled_frames_keep_what_an_offset_moves_out_of_the_band(hear, oversampling, share) -> None:
    params = LoRaParams(sf=8, oversampling=oversampling)
    for snr_db in (5.0, 30.0):
        heard = hear(params, snr_db=snr_db, cfo_hz=share * 125e3, sto_samples=-0.3455 * oversampling)
        [frame] = receive(heard.iq, params)
        assert frame.payload == heard.payload
        assert abs(frame.cfo_hz / 125e3 - share) * 256 < 0.2
        assert abs(frame.start_sample + frame.sto_samples - heard.start) < 0.2 * oversampling
        assert abs(frame.snr_db - snr_db) < 1.0


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 20.0, 40.0])
@pytest.mark.parametrize("sf, oversampling", [(7, 1), (7, 2), (9, 1)])
def test_the_snr_is_measured_to_one_decibel(hear, sf, oversampling, snr_db) -> None:
    """The median of nine frames; at -10 dB (SF7) one frame's estimate scatters by about 0.6 dB."""
    params = LoRaParams(sf=sf, oversampling=oversampling)
    heard = [hear(params, snr_db=snr_db, cfo_hz=2345.0 - 700 * i, sto_samples=0.11 * i - 0.45) for i in range(9)]
    found = [frame.snr_db - snr_db for item in heard for frame in receive(item.iq, params)]
    assert len(found) >= 8 and abs(np.median(found)) < 1.0


@pytest.mark.parametrize("oversampling", [2, 4])
def test_offsets_cost_oversampled_streams_no_sensitivity(hear, oversampling) -> None:
    """1 dB above the 5 % point: of 40 frames, 7 are lost with probability 2e-7 if each is with at most 1 %."""
    params = replace(PARAMS, oversampling=oversampling)
    heard = [hear(params, snr_db=-10.5, cfo_hz=30e3 * (-1) ** i, sto_samples=0.4 * oversampling) for i in range(40)]
    lost = sum(item.payload not in [frame.payload for frame in receive(item.iq, params)] for item in heard)
    assert lost <= 6


@pytest.mark.parametrize("sync_word", [0x00, 0x01, 0x0F, 0xF0, 0xFF, 0x10, 0x34, 0x2B])
def test_any_sync_word_is_read_and_only_the_own_network_is_received(hear, sync_word) -> None:
    params = replace(PARAMS, sync_word=sync_word)
    heard = hear(params, snr_db=-5.0, cfo_hz=1500.0, sto_samples=-0.4)
    for wanted in (params, replace(params, sync_word=None)):
        [frame] = receive(heard.iq, wanted)
        assert (frame.payload, frame.sync_word) == (heard.payload, sync_word)
    assert receive(heard.iq, replace(params, sync_word=sync_word ^ 0x22)) == []


@pytest.mark.parametrize("sync_word", [None, 0x12])
@pytest.mark.parametrize("sf, length", [(7, 12), (8, 16), (10, 16)])
def test_a_weak_sync_chirp_and_downchirp_do_not_move_the_start(hear, sf, length, sync_word) -> None:
    """A symbol early an upchirp stands for the weak sync chirp and one downchirp is missing: more energy, where any
    word is accepted. Noise makes chirps as weak once in some thousand frames.

    Of 12 frames, 3 are lost with probability 2e-4 if each is with 1 %; a choice by energy alone loses more than half.
    """
    params = LoRaParams(sf=sf, cr=4, preamble_len=length)
    weakened = {length + 1: 4.0, length + 3: 4.0}  # the second of each
    right = 0
    for seed in range(12):
        heard = hear(params, snr_db=-4.0 - 2.65 * (sf - 7), cfo_hz=700.0 * seed, sto_samples=0.2, weakened=weakened)
        found = receive(heard.iq, LoRaParams(sf=sf, sync_word=sync_word))
        read = [(frame.payload, frame.preamble_len, frame.sync_word) for frame in found if frame.crc_ok]
        right += read == [(heard.payload, length, 0x12)]
    assert right >= 10


def test_upchirps_that_go_on_are_no_open_sync_word(hear) -> None:
    """Sync word and downchirps 3 dB weaker than a preamble of 20: two more upchirps for a word, and noise for
    downchirps, come to as much energy.

    Of 24 frames, 8 are lost with probability 2e-3 if each is with 10 %; a choice by energy alone loses 6 of 10.
    """
    params = LoRaParams(sf=8, cr=4, preamble_len=20)
    weakened = dict.fromkeys(range(20, 24), 3.0)
    read = 0
    for seed in range(24):
        heard = hear(params, snr_db=-6.65, cfo_hz=700.0 * (seed - 12), sto_samples=0.2, weakened=weakened)
        read += any(frame.payload == heard.payload for frame in receive(heard.iq, LoRaParams(sf=8, sync_word=None)))
    assert read >= 17


@pytest.mark.parametrize("length", [6, 7, 10, 40, 200])
def test_preambles_of_any_length_from_six(hear, length) -> None:
    heard = hear(replace(PARAMS, preamble_len=length), snr_db=-6.0, cfo_hz=-2000.0, sto_samples=0.4)
    [frame] = receive(heard.iq, PARAMS)
    assert frame.payload == heard.payload
    assert abs(frame.start_sample + frame.sto_samples - heard.start) < 0.5


@pytest.mark.parametrize(("length", "sfo_ppm"), [(264, 0.0), (300, 20.0), (1000, -20.0)])
@pytest.mark.parametrize("oversampling", [1, 2])
def test_preambles_longer_than_the_receiver_keeps(hear, length, sfo_ppm, oversampling) -> None:
    params = replace(PARAMS, oversampling=oversampling)
    heard = hear(replace(params, preamble_len=length), snr_db=-5.0, cfo_hz=2345.0, sfo_ppm=sfo_ppm, sto_samples=0.3)
    [frame] = receive(heard.iq, params)
    assert frame.payload == heard.payload
    assert abs(frame.start_sample + frame.sto_samples - heard.start) < 0.5 * oversampling


@pytest.mark.parametrize("cut", [0, 50, 60, 70, 100, 127, 128, 200, 256, 400])
def test_a_stream_that_begins_inside_the_preamble(hear, cut) -> None:
    """The start is that of the first upchirp of which at least half is there."""
    heard = hear(PARAMS, lead=1000, snr_db=0.0, cfo_hz=-3000.0, sto_samples=0.2)
    [frame] = receive(heard.iq[1000 + cut :], PARAMS)
    first = (64 - cut) % 128 - 64
    assert frame.payload == heard.payload
    assert abs(frame.start_sample + frame.sto_samples - (first + 0.2)) < 0.3


@pytest.mark.parametrize("chirps", [1, 2, 3.5])
def test_first_chirps_clipped(hear, chirps) -> None:
    heard = hear(PARAMS, lead=0, snr_db=5.0, cfo_hz=700.0)
    [frame] = receive(heard.iq[int(chirps * 128) :], PARAMS)
    assert frame.payload == heard.payload


def test_each_direction_hears_its_own(hear) -> None:
    inverted = replace(PARAMS, inverted_iq=True)
    heard = hear(inverted, snr_db=-5.0, cfo_hz=1500.0)
    [frame] = receive(heard.iq, inverted)
    assert frame.payload == heard.payload and abs(frame.cfo_hz - 1500.0) < 200
    assert receive(heard.iq, PARAMS) == []


@pytest.mark.parametrize("sf", [5, 6])
@pytest.mark.parametrize("variant", ["sx126x", "sx127x"])
def test_both_dialects_of_the_small_spreading_factors(hear, sf, variant) -> None:
    explicit = variant == "sx126x"
    params = LoRaParams(
        sf=sf,
        cr=2,
        preamble_len=12,
        variant=variant,
        explicit_header=explicit,
        payload_len=None if explicit else 16,
    )
    heard = hear(params, snr_db=3.0, cfo_hz=2000.0, sto_samples=0.3)
    [frame] = receive(heard.iq, params)
    assert frame.payload == heard.payload


@pytest.mark.parametrize("sfo_ppm", [20.0, -20.0])
@pytest.mark.parametrize("one_crystal", [True, False])
def test_clock_error_is_followed_through_long_frames(hear, sfo_ppm, one_crystal) -> None:
    params = LoRaParams(sf=10, cr=4, preamble_len=8)
    payload = bytes(range(255))
    cfo_hz = sfo_ppm * 868.0 if one_crystal else -1000.0
    heard = hear(params, payload=payload, snr_db=-14.0, cfo_hz=cfo_hz, sfo_ppm=sfo_ppm, sto_samples=0.3)
    [frame] = receive(heard.iq, params)
    assert frame.payload == payload
    assert abs(frame.sfo_ppm - sfo_ppm) < 2


@pytest.mark.slow
@pytest.mark.parametrize("sync_word", [0x12, None])
@pytest.mark.parametrize(("sf", "sfo_ppm"), [(12, 25.0), (12, -40.0), (11, 60.0), (11, -45.0)])
def test_a_clock_error_does_not_change_the_sync_word(hear, sf, sfo_ppm, sync_word) -> None:
    # from upchirps to sync chirps the tones move by 4.5 symbols of drift: 0.7 bins at SF12, 40 ppm
    sent = LoRaParams(sf=sf)
    heard = hear(sent, payload=bytes(6), snr_db=5.0, sfo_ppm=sfo_ppm, sto_samples=0.3)
    [frame] = receive(heard.iq, replace(sent, sync_word=sync_word))
    assert (frame.status, frame.payload, frame.sync_word) == ("ok", bytes(6), 0x12)
    assert frame.sync_symbols == (8, 16)


@pytest.mark.parametrize("sfo_ppm", [20.0, -20.0])
def test_clock_error_at_sf12(hear, sfo_ppm) -> None:
    params = LoRaParams(sf=12, cr=1)
    payload = bytes(range(255))
    heard = hear(params, payload=payload, snr_db=-18.0, cfo_hz=sfo_ppm * 868.0, sfo_ppm=sfo_ppm, sto_samples=0.3)
    [frame] = receive(heard.iq, params)
    assert frame.payload == payload
    assert abs(frame.sfo_ppm - sfo_ppm) < 0.5


@pytest.mark.parametrize("ldro", [True, False])
@pytest.mark.parametrize("sf", [7, 11])
def test_reduced_rate_is_found_where_it_is_not_given(hear, sf, ldro) -> None:
    sent = LoRaParams(sf=sf, cr=2, ldro=ldro)
    heard = hear(sent, snr_db=-4.0 if sf == 7 else -14.0)
    [frame] = receive(heard.iq, replace(sent, ldro=None))
    assert frame.payload == heard.payload
    assert frame.params == sent
    assert frame.symbols.tolist() == encode_payload(heard.payload, sent).tolist()


def test_estimates_at_the_sensitivity_limit(hear) -> None:
    """Medians over 60 frames: below 0.1 bin, 0.2 chips and 1 dB."""
    errors = []
    for _ in range(60):
        heard = hear(PARAMS, snr_db=-10.0, cfo_hz=2345.0, sto_samples=0.2)
        for frame in receive(heard.iq, PARAMS)[:1]:
            start = frame.start_sample + frame.sto_samples
            errors.append((frame.cfo_hz * 128 / 125e3 - 2345 * 128 / 125e3, start - heard.start, frame.snr_db + 10))
    cfo, start, snr = np.median(np.abs(errors), axis=0)
    assert len(errors) >= 55 and cfo < 0.1 and start < 0.2 and snr < 1.0


@pytest.mark.parametrize(("sf", "length", "sfo_ppm"), [(12, 60, 2.0), (9, 300, 20.0), (7, 2000, 3.5)])
@pytest.mark.parametrize("told", [True, False])
def test_where_a_long_preamble_begins(hear, sf, length, sfo_ppm, told) -> None:
    """Within half a chip, whatever the receiver was told: the clock is followed back from the downchirps."""
    sent = LoRaParams(sf=sf, preamble_len=length)
    heard = hear(sent, snr_db=0.0, sfo_ppm=sfo_ppm, lead=5000)
    [frame] = receive(heard.iq, sent if told else replace(sent, preamble_len=8))
    assert frame.payload == heard.payload and frame.preamble_len == length
    assert abs(frame.start_sample + frame.sto_samples - heard.start) < 0.5
