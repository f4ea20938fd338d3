"""Overlapping frames: subtraction leaves what it should, more capable receivers read more, nothing is read twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lora_phy import ChannelParams, LoRaParams, airtime_s, apply_channel, encode_payload, receive, transmit
from lora_phy.channel.offsets import phasor
from lora_phy.coding.chain import encode_nibbles, frame_nibbles
from lora_phy.frames.scene import Transmission, scene
from lora_phy.modem.modulation import modulate_frame
from lora_phy.modem.sync import Sync
from lora_phy.receiver.cancellation import MARGIN, contribution, fit_frame, sent_symbols, subtract_all
from lora_phy.receiver.co_sf_interference import _Heard, find_preambles, resolve, symbol_scores
from lora_phy.receiver.collisions import receive_collided
from lora_phy.resampling import change_rate

SF7 = LoRaParams(sf=7)


def crowd(params, load, seed, *, spread_db=0.0, snr_db=5.0, payload_len=16):
    rng = np.random.default_rng(seed)
    on_air_s = airtime_s(payload_len, params)
    sent = [
        Transmission(
            payload=rng.bytes(payload_len),
            params=params,
            start_s=1e-3 + rng.uniform(0, on_air_s),
            power_db=spread_db * rng.random(),
            center_offset_hz=rng.uniform(-5e3, 5e3),
            phase_rad=rng.uniform(0, 6.28),
        )
        for _ in range(load)
    ]
    num_samples = int((2 * on_air_s + 4e-3) * params.sample_rate_hz)
    clean = scene(sent, num_samples, params.sample_rate_hz)
    return sent, apply_channel(clean, ChannelParams(snr_db=snr_db), params, rng=rng)


@pytest.mark.parametrize("oversampling", [1, 2])
def test_a_subtracted_frame_leaves_the_noise(oversampling):
    params = replace(SF7, oversampling=oversampling)
    rng = np.random.default_rng(oversampling)
    channel = ChannelParams(snr_db=20.0, cfo_hz=1234.5, sto_samples=300.37)
    padded = np.pad(transmit(b"to be taken away", params), (0, 2000))
    heard = apply_channel(padded, channel, params, rng=rng)
    [frame] = receive(heard, params)
    left = heard - contribution(heard, fit_frame(heard, frame))
    noise = params.oversampling * 10**-2.0
    power = np.mean(np.abs(left) ** 2)
    # the fit removes 1/(5 N) of the noise; frame left over: less than a tenth of the noise, 30 dB below the frame
    assert 0.9 * noise < power < 1.1 * noise


def test_gains_follow_a_fading_channel():
    params = LoRaParams(sf=7)
    channel = ChannelParams(fading="rayleigh", doppler_hz=5.0, sto_samples=200.0)
    heard = apply_channel(np.pad(transmit(bytes(40), params), (0, 600)), channel, params, rng=np.random.default_rng(4))
    [frame] = receive(heard, params)
    left = subtract_all(heard, [fit_frame(heard, frame)])
    assert np.vdot(left, left).real < 10**-2.0 * np.vdot(heard, heard).real


def test_a_misjudged_preamble_is_put_right():
    heard = np.pad(transmit(b"hello", SF7), (3000, 500))
    [frame] = receive(heard, SF7)
    moved = replace(frame, start_sample=frame.start_sample - 11 * 128)
    assert fit_frame(heard, moved).start == pytest.approx(3000, abs=0.05)


def test_scores_without_others_are_those_of_the_matched_filter():
    # one frame, no edges: the best value is the matched filter's, for every symbol, also in noise
    rng = np.random.default_rng(2)
    symbols = encode_payload(b"sixteen bytes ok", SF7)
    heard = apply_channel(transmit(b"sixteen bytes ok", SF7), ChannelParams(snr_db=-3.0), SF7, rng=rng)
    sync = Sync(start=10 * 128.0, cfo_bins=0.0, signal_power=1.0, noise_power=2.0)
    item = _Heard(sync=sync, amplitude=1.0, estimate=np.zeros_like(heard), end=len(heard), gain=1.0)
    scores = symbol_scores(heard, item, [], SF7, 12.25 * 128, len(symbols))
    assert np.array_equal(scores.argmax(axis=1), symbols)


def test_a_partial_tone_loses_to_a_weaker_whole_one():
    # wanted tone of amplitude 1, one of amplitude 3 in the first 60 chips only: the matched filter is misled
    from lora_phy import demodulate, modulate

    rng = np.random.default_rng(5)
    wanted, loud = modulate([20], SF7), 3 * modulate([90], SF7)
    loud[60:] = 0
    heard = apply_channel(wanted + loud, ChannelParams(snr_db=5.0), SF7, rng=rng)
    assert demodulate(heard, SF7)[0] == 90
    item = _Heard(Sync(start=-2.25 * 128, cfo_bins=0.0), amplitude=1.0, estimate=heard, end=1e9, gain=1.0)
    other = _Heard(Sync(start=60 - 4.25 * 128, cfo_bins=0.0), amplitude=3.0, estimate=heard, end=1e9)
    assert symbol_scores(heard, item, [other], SF7, 0.0, 1)[0].argmax() == 20


def test_preambles_on_top_of_one_another_are_all_found():
    rng = np.random.default_rng(6)
    starts = (2000.0, 2230.3, 2741.8)
    sent = [
        Transmission(payload=rng.bytes(16), params=SF7, start_s=s / 125e3, center_offset_hz=f)
        for s, f in zip(starts, (900.0, -2100.0, 3000.0), strict=True)
    ]
    heard = apply_channel(scene(sent, 12000, 125e3), ChannelParams(snr_db=5.0), SF7, rng=rng)
    found = sorted(sync.start - 10 * 128 for sync in find_preambles(heard, SF7))
    for start in starts:
        assert min(abs(at - start) for at in found) < 0.5


def test_each_method_reads_more_than_the_one_before():
    # fixed seeds, so nothing is random; 16, 56 and 60 of 60 frames when this was written
    read = dict.fromkeys(("plain", "sic", "segments"), 0)
    for seed in range(10):
        sent, heard = crowd(SF7, 6, seed)
        payloads = {each.payload for each in sent}
        for method in read:
            frames = [f for f in receive_collided(heard, SF7, method=method) if f.crc_ok]
            assert len({f.payload for f in frames}) == len(frames), "a frame came out twice"
            read[method] += len(payloads & {f.payload for f in frames})
    assert read["plain"] + 10 < read["sic"]
    assert read["sic"] < read["segments"]
    assert read["segments"] >= 54


def test_places_and_offsets_of_resolved_frames_are_right():
    sent, heard = crowd(SF7, 5, 11, spread_db=10.0)
    where = {each.payload: each for each in sent}
    frames = receive_collided(heard, SF7)
    assert [f.start_sample for f in frames] == sorted(f.start_sample for f in frames)
    assert len(frames) >= 4
    for frame in frames:
        if frame.crc_ok:
            each = where[frame.payload]
            assert frame.start_sample + frame.sto_samples == pytest.approx(each.start_s * 125e3, abs=0.5)
            assert frame.cfo_hz == pytest.approx(each.center_offset_hz, abs=300)


@pytest.mark.parametrize("changes", [{"oversampling": 2}, {"inverted_iq": True}, {"sf": 8, "cr": 4}])
def test_other_parameters(changes):
    params = replace(SF7, **changes)
    sent, heard = crowd(params, 4, 21, spread_db=6.0)
    frames = receive_collided(heard, params)
    assert {each.payload for each in sent} == {f.payload for f in frames if f.crc_ok}
    for frame in frames:
        assert frame.params.inverted_iq == params.inverted_iq
        each = next(each for each in sent if each.payload == frame.payload)
        assert frame.cfo_hz == pytest.approx(each.center_offset_hz, abs=300)
        assert frame.start_sample == pytest.approx(each.start_s * params.sample_rate_hz, abs=2)


def test_noise_silence_and_bad_input():
    rng = np.random.default_rng(8)
    noise = rng.standard_normal((2, 20_000)).view(np.complex128)[0]
    for method in ("plain", "sic", "segments"):
        assert receive_collided(noise, SF7, method=method) == []
        assert receive_collided(np.zeros(500, np.complex64), SF7, method=method) == []
        assert receive_collided(np.zeros(0, np.complex64), SF7, method=method) == []
    assert resolve(np.zeros(0, np.complex64), SF7) == []
    with pytest.raises(ValueError, match=r"'method' must be one of .* \(got 'magic'\)"):
        receive_collided(noise, SF7, method="magic")
    with pytest.raises(TypeError, match="'iq'"):
        receive_collided(np.zeros(10), SF7)


def test_a_single_frame_is_untouched_by_the_method():
    heard = np.pad(transmit(b"alone", SF7), 700)
    for method in ("plain", "sic", "segments"):
        [frame] = receive_collided(heard, SF7, method=method)
        assert (frame.payload, frame.start_sample) == (b"alone", 700)


# --- as chips send


def pair(delay, gain_db, *, params, cfo_hz=(700.0, -1900.0), seed=1, snr_db=20.0):
    """Two frames, the second `delay` samples later and `gain_db` louder, and both payloads."""
    rng = np.random.default_rng(seed)
    payloads = [rng.bytes(40), rng.bytes(40)]
    rate = params.sample_rate_hz
    sent = [
        Transmission(payload=payloads[0], params=params, start_s=2000.3 / rate, center_offset_hz=cfo_hz[0]),
        Transmission(
            payload=payloads[1],
            params=params,
            start_s=(2000.3 + delay) / rate,
            power_db=gain_db,
            center_offset_hz=cfo_hz[1],
            phase_rad=rng.uniform(0, 6.28),
        ),
    ]
    num = int(airtime_s(40, params) * rate) + int(delay) + 6000
    return apply_channel(scene(sent, num, rate), ChannelParams(snr_db=snr_db), params, rng=rng), payloads


@pytest.mark.parametrize("waveform", ["chip", "textbook"])
@pytest.mark.parametrize("gain_db", [0.0, 5.0, 15.0])
def test_both_frames_of_a_pair_are_read_in_either_waveform(waveform, gain_db):
    sent = replace(SF7, oversampling=2, waveform=waveform)
    for seed, delay in enumerate((2500.0, 7001.6, 11030.2)):
        heard, payloads = pair(delay, gain_db, params=sent, seed=seed)
        frames = receive_collided(heard, replace(SF7, oversampling=2))  # told the waveform of a chip, whatever is sent
        assert {f.payload for f in frames if f.crc_ok} == set(payloads)
        assert len(frames) == 2
        assert {f.params.waveform for f in frames} == {waveform}


def test_segments_are_read_in_either_waveform():
    # fixed seeds; 12 of 12 frames when this was written
    read = dict.fromkeys(("sic", "segments"), 0)
    for seed in (0, 1):
        sent, heard = crowd(replace(SF7, waveform="textbook"), 6, seed)
        for method in read:
            frames = receive_collided(heard, SF7, method=method)
            read[method] += len({each.payload for each in sent} & {f.payload for f in frames if f.crc_ok})
            assert not [f for f in frames if f.crc_ok and f.params.waveform != "textbook"]
    assert read["segments"] >= max(10, read["sic"])


@pytest.mark.parametrize("waveform", ["chip", "textbook"])
def test_a_frame_is_taken_out_in_the_waveform_it_was_sent_in(waveform):
    params = replace(SF7, oversampling=2, waveform=waveform)
    heard = apply_channel(
        np.pad(transmit(bytes(range(50)), params), (700, 2000)),
        ChannelParams(snr_db=40.0, cfo_hz=812.0, sto_samples=0.4),
        params,
        rng=np.random.default_rng(1),
    )
    [frame] = receive(heard, replace(SF7, oversampling=2))
    for told in ("chip", "textbook"):  # also where the receiver named the other one
        seen = replace(frame, params=replace(frame.params, waveform=told))
        left = heard - contribution(heard, fit_frame(heard, seen))
        assert np.vdot(left, left).real < 10**-3.0 * np.vdot(heard, heard).real


@pytest.mark.parametrize("changes", [{"sf": 7}, {"sf": 8, "cr": 4}, {"sf": 11, "ldro": False}, {"sf": 9, "ldro": True}])
def test_padding_that_the_payload_does_not_say_and_the_rate_that_was_detected(changes):
    # a chip pads its last block with nibbles of its own (on air: 6, 7, 14 …) and may switch LDRO against the rule
    params = LoRaParams(**{"oversampling": 2, **changes})
    payload = b"an odd number of nibbles"
    nibbles = frame_nibbles(payload, params)
    count = len(encode_payload(payload, params))
    padding = np.array([6, 7, 14, 7, 11, 10, 3, 9, 2, 6, 14], np.uint8)
    symbols = encode_nibbles(np.concatenate([nibbles, padding]), count, params)
    assert not np.array_equal(symbols, encode_payload(payload, params))
    heard = apply_channel(
        np.pad(modulate_frame(symbols, params), (900, 2000)),
        ChannelParams(snr_db=25.0, cfo_hz=-300.0, sto_samples=0.3),
        params,
        rng=np.random.default_rng(2),
    )
    [frame] = receive(heard, replace(params, ldro=None))
    assert frame.payload == payload
    assert np.array_equal(sent_symbols(frame)[0], symbols)
    left = heard - contribution(heard, fit_frame(heard, frame))
    assert np.mean(np.abs(left) ** 2) < 1.3 * 2 * 10**-2.5  # the noise, and next to nothing else


def test_another_rate_and_another_centre():
    params = LoRaParams(sf=7, oversampling=16)
    heard, payloads = pair(60_000, 9.0, params=params)
    mixed = heard * np.exp(2j * np.pi * 250e3 / 2e6 * np.arange(len(heard)))
    told = LoRaParams(sf=7)
    frames = receive_collided(mixed, told, sample_rate_hz=2e6, center_offset_hz=250e3)
    assert [f.payload for f in frames] == payloads
    for frame, start, cfo_hz in zip(frames, (2000.3, 62000.3), (700.0, -1900.0), strict=True):
        assert frame.start_sample + frame.sto_samples == pytest.approx(start, abs=4)
        assert frame.cfo_hz == pytest.approx(cfo_hz, abs=100)
        assert frame.params.oversampling == 1
    inverted = receive_collided(
        np.conjugate(mixed), replace(told, inverted_iq=True), sample_rate_hz=2e6, center_offset_hz=-250e3
    )
    assert [f.payload for f in inverted] == payloads
    assert [f.cfo_hz for f in inverted] == [-f.cfo_hz for f in frames]
    [loud] = [
        f for f in receive_collided(mixed, told, method="plain", sample_rate_hz=2e6, center_offset_hz=250e3) if f.crc_ok
    ]
    assert loud.payload == payloads[1]
    for bad in ({"sample_rate_hz": 100e3}, {"sample_rate_hz": -1.0}, {"center_offset_hz": float("nan")}):
        with pytest.raises(ValueError, match=f"'{next(iter(bad))}'"):
            receive_collided(mixed, told, **bad)


def test_frames_of_one_spreading_factor_and_of_another_below() -> None:
    # two of SF7 on one another, and one of SF10 under both, 20 dB below the louder
    sf7, sf10, rate_hz = LoRaParams(sf=7), LoRaParams(sf=10), 250e3
    sent = [
        Transmission(payload=b"under both of them", params=sf10, start_s=0.05, power_db=-11.0),
        Transmission(payload=b"loud, " * 4, params=sf7, start_s=0.110, power_db=9.0, center_offset_hz=500.0),
        Transmission(payload=b"softer" * 4, params=sf7, start_s=0.1264, center_offset_hz=-900.0),
    ]
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((2, int(0.7 * rate_hz)))
    heard = scene(sent, noise.shape[1], rate_hz) + noise[0] + 1j * noise[1]  # of power 1 in 125 kHz
    wanted = [replace(item, sync_word=None) for item in (sf7, LoRaParams(sf=9), sf10)]
    plain = receive_collided(heard, wanted, method="plain", sample_rate_hz=rate_hz)
    assert sent[0].payload not in [frame.payload for frame in plain]
    for method in ("sic", "segments"):
        frames = receive_collided(heard, wanted, method=method, sample_rate_hz=rate_hz)
        assert [frame.payload for frame in frames] == [each.payload for each in sent]
    with pytest.raises(ValueError, match="'sample_rate_hz'"):
        receive_collided(heard, wanted, sample_rate_hz=1.0)
    with pytest.raises(TypeError, match="'params'"):
        receive_collided(heard, [], sample_rate_hz=rate_hz)


# --- recordings of real chips, where they are


CAPTURES = Path(__file__).parents[4] / "shared" / "captures"
with_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="recordings of real chips lie beside a checkout, or not"
)


def recording(name):
    from lora_phy.recordings import read_sigmf

    heard = read_sigmf(CAPTURES / f"{name}.sigmf-meta")
    return heard, json.loads((CAPTURES / "expected.json").read_text())[f"{name}.sigmf-meta"]


@with_captures
@pytest.mark.parametrize("method", ["sic", "segments"])
@pytest.mark.parametrize("name", ["seguar_collision_gen4_1", "seguar_collision_x2_1", "seguar_collision_x6_2"])
def test_both_frames_of_a_real_collision_are_read(name, method):
    # two uplinks, the second at 0, +5 and +15 dB (the last clipped)
    heard, payloads = recording(name)
    frames = receive_collided(
        heard.iq,
        heard.params,
        method=method,
        sample_rate_hz=heard.sample_rate_hz,
        center_offset_hz=heard.center_offset_hz,
    )
    assert sorted(frame.payload.hex() for frame in frames) == sorted(payloads)


@with_captures
@pytest.mark.parametrize("samples_a_chip", [2, 4])
@pytest.mark.parametrize("name", ["seguar_lorawan_sf7_1", "wux_sf7_bw500", "oat4cat_sf11_bw500_ldro_on"])
def test_twelve_db_of_a_real_frame_are_removed(name, samples_a_chip):
    heard, _ = recording(name)
    params = replace(heard.params, oversampling=samples_a_chip)
    mixed = heard.iq * phasor(-heard.center_offset_hz / heard.sample_rate_hz, len(heard.iq))
    iq = change_rate(mixed.astype(np.complex64), heard.sample_rate_hz, params.sample_rate_hz)
    frames = [frame for frame in receive(iq, params) if frame.crc_ok]
    assert frames
    for frame in frames:
        replica = fit_frame(iq, frame)
        part = slice(max(replica.first + MARGIN, 0), replica.first + len(replica.template) - MARGIN)
        left = (iq - contribution(iq, replica))[part]
        assert np.mean(np.abs(iq[part]) ** 2) > 10**1.2 * np.mean(np.abs(left) ** 2)
