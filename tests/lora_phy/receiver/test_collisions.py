"""Overlapping frames: subtraction leaves what it should, more capable receivers read more, nothing is read twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lora_phy import ChannelParams, LoRaParams, airtime_s, apply_channel, encode_payload, receive, transmit
from lora_phy.frames.scene import Transmission, scene
from lora_phy.modem.sync import Sync
from lora_phy.receiver.cancellation import contribution, fit_frame, subtract_all
from lora_phy.receiver.co_sf_interference import _Heard, find_preambles, resolve, symbol_scores
from lora_phy.receiver.collisions import receive_collided

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
    # fixed seeds, so no luck is involved; 16, 56 and 60 of 60 frames when this was written
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
