"""Frames under stronger ones of other spreading factors and bandwidths: found once the strong ones are subtracted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lora_phy import ChannelParams, LoRaParams, apply_channel, receive, transmit
from lora_phy.frames.scene import Transmission, scene
from lora_phy.modem.modulation import data_start
from lora_phy.receiver.frame_reception import Decoding
from lora_phy.receiver.hidden_frames import Recording, _fitted, _take_out, with_hidden_frames

RATE_HZ = 1e6


def blind(*kinds: tuple[int, float], **changes) -> list[LoRaParams]:
    return [LoRaParams(sf=sf, bandwidth_hz=bandwidth_hz, sync_word=None, **changes) for sf, bandwidth_hz in kinds]


def air(sent, seconds, *, seed, rate_hz=RATE_HZ, noise_db=0.0):
    """What an antenna hears: noise has this power in 125 kHz."""
    rng = np.random.default_rng(seed)
    num = int(seconds * rate_hz)
    noise = rng.standard_normal((2, num)) * np.sqrt(10 ** (noise_db / 10) * rate_hz / 125e3 / 2)
    return (scene(sent, num, rate_hz) + noise[0] + 1j * noise[1]).astype(np.complex64)


def covered(*, hidden, cover, cover_db, hidden_db, seed, seconds=1.0, rate_hz=RATE_HZ, center=(400.0, -1300.0)):
    """A frame whose sync word and downchirps lie under a stronger one, that frame, and what is heard."""
    rng = np.random.default_rng(seed)
    payloads = (rng.bytes(12), rng.bytes(20))
    start_s = 0.1
    middle_s = start_s + (hidden.preamble_len + 2) * hidden.symbol_duration_s
    sent = [
        Transmission(
            payload=payloads[0], params=hidden, start_s=start_s, power_db=hidden_db, center_offset_hz=center[0]
        ),
        Transmission(
            payload=payloads[1], params=cover, start_s=middle_s - 25e-3, power_db=cover_db, center_offset_hz=center[1],
            phase_rad=1.0,
        ),
    ]  # fmt: skip
    return air(sent, seconds, seed=seed, rate_hz=rate_hz), payloads, sent


SF7, SF10 = LoRaParams(sf=7, waveform="textbook"), LoRaParams(sf=10)


@pytest.mark.parametrize("seed", range(3))
def test_a_frame_under_a_stronger_one_is_found_once(seed) -> None:
    # SF10 7 dB above its limit, SF7 20 dB stronger over its sync word
    heard, payloads, sent = covered(hidden=SF10, cover=SF7, hidden_db=-11.0, cover_db=9.0, seed=seed)
    wanted = blind((7, 125e3), (9, 125e3), (10, 125e3), (7, 250e3))
    plain = receive(heard, wanted, sample_rate_hz=RATE_HZ)
    assert [frame.payload for frame in plain if frame.crc_ok] == [payloads[1]]  # why cancelling is needed
    frames = receive(heard, wanted, sample_rate_hz=RATE_HZ, cancel=True)
    assert [frame.payload for frame in frames] == list(payloads)
    for frame, each in zip(frames, sent, strict=True):
        assert frame.start_sample + frame.sto_samples == pytest.approx(each.start_s * RATE_HZ, abs=4)
        assert frame.cfo_hz == pytest.approx(each.center_offset_hz, abs=20)
    again = receive(heard, wanted, sample_rate_hz=RATE_HZ, cancel=True, threads=2)
    assert again == frames


@pytest.mark.parametrize(
    ("hidden", "cover", "levels"),
    [
        (LoRaParams(sf=9), LoRaParams(sf=7, bandwidth_hz=250e3), (-7.0, 12.0)),
        (LoRaParams(sf=11, bandwidth_hz=500e3), LoRaParams(sf=8, cr=3), (-11.0, 16.0)),
        (LoRaParams(sf=7, bandwidth_hz=250e3), LoRaParams(sf=9, bandwidth_hz=500e3), (3.0, 22.0)),  # of one slope
    ],
)
def test_other_bandwidths_and_slopes(hidden, cover, levels) -> None:
    heard, payloads, _ = covered(hidden=hidden, cover=cover, hidden_db=levels[0], cover_db=levels[1], seed=5)
    wanted = blind(*((item.sf, item.bandwidth_hz) for item in (hidden, cover)))
    assert payloads[0] not in [frame.payload for frame in receive(heard, wanted, sample_rate_hz=RATE_HZ)]
    frames = receive(heard, wanted, sample_rate_hz=RATE_HZ, cancel=True)
    assert sorted(frame.payload for frame in frames) == sorted(payloads)


def test_a_channel_of_its_own_an_uneven_rate_and_inverted_frames() -> None:
    rate_hz, center_hz = 2.4e6, 300e3
    hidden, cover = replace(SF10, inverted_iq=True), replace(SF7, inverted_iq=True)
    heard, payloads, _ = covered(
        hidden=hidden, cover=cover, hidden_db=-11.0, cover_db=9.0, seed=7, rate_hz=rate_hz, seconds=0.8,
        center=(center_hz - 700.0, center_hz + 900.0),
    )  # fmt: skip
    settings = {"sample_rate_hz": rate_hz, "center_offset_hz": center_hz}
    upright = blind((7, 125e3), (10, 125e3))
    wanted = [replace(item, inverted_iq=True) for item in upright]
    frames = receive(heard, [*upright, *wanted], cancel=True, **settings)
    assert [frame.payload for frame in frames] == list(payloads)
    assert [round(frame.cfo_hz, -2) for frame in frames] == [-700.0, 900.0]
    assert all(frame.params.inverted_iq for frame in frames)


def test_three_on_one_another() -> None:
    params = [LoRaParams(sf=11), LoRaParams(sf=9), LoRaParams(sf=7)]
    words_s = 0.1 + 10 * params[0].symbol_duration_s
    sent = [
        Transmission(payload=b"third to show", params=params[0], start_s=0.1, power_db=-13.0),
        Transmission(
            payload=b"second to show", params=params[1], start_s=words_s - 12 * params[1].symbol_duration_s,
            power_db=4.0, center_offset_hz=900.0,
        ),
        Transmission(
            payload=b"the loudest one, and long" * 3, params=params[2], start_s=words_s - 40e-3, power_db=24.0,
        ),
    ]  # fmt: skip
    heard = air(sent, 1.4, seed=1)
    wanted = blind((7, 125e3), (9, 125e3), (11, 125e3))
    assert len(receive(heard, wanted, sample_rate_hz=RATE_HZ)) == 1
    frames = receive(heard, wanted, sample_rate_hz=RATE_HZ, cancel=True)
    assert {frame.payload for frame in frames} == {each.payload for each in sent}
    assert len(frames) == 3


@pytest.mark.parametrize("waveform", ["chip", "textbook"])
@pytest.mark.parametrize(("sf", "bandwidth_hz"), [(7, 125e3), (8, 500e3), (10, 250e3), (12, 125e3)])
def test_what_is_subtracted_at_the_rate_of_the_stream_leaves_the_noise(sf, bandwidth_hz, waveform) -> None:
    params = LoRaParams(sf=sf, bandwidth_hz=bandwidth_hz, oversampling=round(RATE_HZ / bandwidth_hz), waveform=waveform)
    rng = np.random.default_rng(sf)
    channel = ChannelParams(snr_db=20.0, cfo_hz=8700.0, sfo_ppm=10.0, sto_samples=0.37)
    clean = apply_channel(
        np.pad(transmit(rng.bytes(12), params), 3000), replace(channel, snr_db=np.inf), params, rng=rng
    )
    noise = rng.standard_normal((2, len(clean))) * np.sqrt(params.oversampling * 10**-2.0 / 2)
    heard = (clean + noise[0] + 1j * noise[1]).astype(np.complex64)
    [frame] = receive(heard, LoRaParams(sf=sf, bandwidth_hz=bandwidth_hz), sample_rate_hz=RATE_HZ)
    left = Recording(heard.copy(), RATE_HZ, 0.0)
    _take_out(left, _fitted(left, frame))
    remainder = left.samples - (noise[0] + 1j * noise[1])
    assert np.vdot(remainder, remainder).real < 10**-2.0 * np.vdot(clean, clean).real


def test_nothing_is_lost_and_nothing_invented_where_frames_stand_alone() -> None:
    kinds = [(7, 125e3), (8, 125e3), (9, 250e3), (10, 500e3)]
    rng = np.random.default_rng(3)
    sent, time_s = [], 0.05
    for index in range(12):
        sf, bandwidth_hz = kinds[index % 4]
        params = LoRaParams(sf=sf, bandwidth_hz=bandwidth_hz, waveform=("chip", "textbook")[index % 2])
        offset_hz = rng.uniform(-5e3, 5e3)
        sent.append(
            Transmission(
                payload=rng.bytes(8), params=params, start_s=time_s, power_db=rng.uniform(5, 30),
                center_offset_hz=offset_hz,
            )
        )  # fmt: skip
        time_s += 0.15
    heard = air(sent, time_s, seed=4)
    frames = receive(heard, blind(*kinds), sample_rate_hz=RATE_HZ, cancel=True)
    assert [(frame.status, frame.payload) for frame in frames] == [("ok", each.payload) for each in sent]


def test_noise_weak_frames_and_one_set_of_parameters_are_as_without() -> None:
    noise = air([], 0.3, seed=1)
    assert receive(noise, blind((7, 125e3), (8, 125e3)), sample_rate_hz=RATE_HZ, cancel=True) == []
    assert receive(np.zeros(0, np.complex64), blind((7, 125e3), (8, 125e3)), cancel=True) == []
    weak = air([Transmission(payload=b"weak", params=SF7, start_s=0.05, power_db=-6.0)], 0.2, seed=2)
    for wanted in (blind((7, 125e3), (8, 125e3)), blind((7, 125e3))):
        plain = receive(weak, wanted, sample_rate_hz=RATE_HZ)
        assert [frame.payload for frame in plain] == [b"weak"]
        assert receive(weak, wanted, sample_rate_hz=RATE_HZ, cancel=True) == plain


def test_a_hidden_frame_without_a_valid_crc_is_not_reported() -> None:
    # SF10's payload is replaced by noise behind its header
    heard, payloads, sent = covered(hidden=SF10, cover=SF7, hidden_db=-11.0, cover_db=9.0, seed=0)
    rng = np.random.default_rng(9)
    first = int((sent[0].start_s + (data_start(SF10) + 10 * SF10.num_bins) / SF10.sample_rate_hz) * RATE_HZ)
    noise = rng.standard_normal((2, len(heard) - first)) * np.sqrt(4.0)
    heard[first:] = noise[0] + 1j * noise[1]
    frames = receive(heard, blind((7, 125e3), (10, 125e3)), sample_rate_hz=RATE_HZ, cancel=True)
    assert payloads[0] not in [frame.payload for frame in frames]
    assert not [frame for frame in frames if frame.params.sf == 10 and frame.status == "ok"]


def test_a_damaged_frame_that_is_gone_without_the_strong_one_is_dropped() -> None:
    heard, _, _ = covered(hidden=SF10, cover=SF7, hidden_db=-60.0, cover_db=15.0, seed=1)
    wanted = blind((7, 125e3), (8, 250e3))
    [strong] = receive(heard, wanted, sample_rate_hz=RATE_HZ)
    invented = replace(
        strong, status="bad_crc", crc_ok=False, params=wanted[1], start_sample=strong.start_sample + 20_000,
        power_dbfs=strong.power_dbfs - 12.0,
    )  # fmt: skip
    recording = Recording(heard, RATE_HZ, 0.0)
    assert with_hidden_frames(recording, [strong, invented], wanted, Decoding()) == [strong]
    # one that no strong frame covers stays
    elsewhere = replace(invented, start_sample=strong.start_sample + 600_000)
    assert with_hidden_frames(recording, [strong, elsewhere], wanted, Decoding()) == [strong, elsewhere]


def test_instants_are_told() -> None:
    from datetime import UTC, datetime

    heard, payloads, _ = covered(hidden=SF10, cover=SF7, hidden_db=-11.0, cover_db=9.0, seed=0)
    begun = datetime(2026, 1, 31, 12, tzinfo=UTC)
    frames = receive(heard, blind((7, 125e3), (10, 125e3)), sample_rate_hz=RATE_HZ, start_time=begun, cancel=True)
    assert [frame.payload for frame in frames] == list(payloads)
    assert [(frame.time - begun).total_seconds() for frame in frames] == pytest.approx(
        [0.1, 0.1 + 10 * SF10.symbol_duration_s - 25e-3], abs=1e-5
    )


# --- recordings of real chips, where they are


CAPTURES = Path(__file__).parents[4] / "shared" / "captures"
with_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="recordings of real chips lie beside a checkout, or not"
)


@with_captures
@pytest.mark.parametrize("below_db", [20.0, 25.0])
@pytest.mark.parametrize(("sf", "bandwidth_hz"), [(8, 125e3), (9, 500e3), (7, 250e3)])
def test_a_weak_frame_under_a_real_one(sf, bandwidth_hz, below_db) -> None:
    from lora_phy.recordings import read_sigmf

    heard = read_sigmf(CAPTURES / "seguar_lorawan_sf7_1.sigmf-meta")
    [payload] = json.loads((CAPTURES / "expected.json").read_text())["seguar_lorawan_sf7_1.sigmf-meta"]
    settings = {"sample_rate_hz": heard.sample_rate_hz, "center_offset_hz": heard.center_offset_hz}
    wanted = blind((7, 125e3), (sf, bandwidth_hz))
    [strong] = receive(heard.iq, wanted, cancel=True, **settings)
    assert strong.payload.hex() == payload
    weak = Transmission(
        payload=b"weak one",
        params=LoRaParams(sf=sf, bandwidth_hz=bandwidth_hz),
        start_s=(strong.start_sample + 20_000) / heard.sample_rate_hz,
        power_db=strong.power_dbfs - below_db,
        center_offset_hz=heard.center_offset_hz + 1300.0,
    )
    both = heard.iq + scene([weak], len(heard.iq), heard.sample_rate_hz)
    assert [frame.payload.hex() for frame in receive(both, wanted, **settings) if frame.crc_ok] == [payload]
    frames = receive(both, wanted, cancel=True, **settings)
    assert [frame.payload.hex() for frame in frames] == [payload, b"weak one".hex()]


@with_captures
@pytest.mark.parametrize("name", ["oat4cat_sf11_bw500_ldro_on", "wux_sf7_bw500", "seguar_collision_x6_2"])
def test_real_recordings_alone_are_as_without(name) -> None:
    from lora_phy.recordings import read_sigmf

    heard = read_sigmf(CAPTURES / f"{name}.sigmf-meta")
    payloads = json.loads((CAPTURES / "expected.json").read_text())[f"{name}.sigmf-meta"]
    settings = {"sample_rate_hz": heard.sample_rate_hz, "center_offset_hz": heard.center_offset_hz}
    wanted = blind(*((sf, heard.params.bandwidth_hz) for sf in range(7, 13)))
    frames = receive(heard.iq, wanted, cancel=True, **settings)
    assert frames == receive(heard.iq, wanted, **settings)
    read = [frame.payload.hex() for frame in frames if frame.crc_ok]
    assert read == (payloads[1:] if "collision" in name else payloads)  # the louder of two of SF7, 15 dB apart
