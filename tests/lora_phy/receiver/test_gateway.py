"""Many channels out of one stream: what a receiver on each channel alone would find."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from lora_phy import (
    ChannelParams,
    GatewayReceiver,
    LoRaParams,
    apply_channel,
    receive,
    receive_channels,
    transmit,
)
from lora_phy.receiver.filter_bank import WideSpectra, channel_streams, moved_by_hz, plan_blocks
from lora_phy.resampling import change_rate, resample

PARAMS = LoRaParams(sf=7)


def streams(iq, plan, centre_hz):
    """A channel's whole streams at one and at two samples a chip."""
    blocks = WideSpectra(plan)
    parts = [
        channel_streams(first, spectra, plan, centre_hz)
        for taken in (blocks.push(iq), blocks.finish())
        for first, spectra in taken
    ]
    return np.concatenate([chips for chips, _ in parts]), np.concatenate([fine for _, fine in parts])


@pytest.mark.parametrize("rate", [1.6e6, 2e6, 2.4e6, 1e6])
def test_a_tone_keeps_its_amplitude_and_phase_in_its_channel_and_is_nowhere_else(rate) -> None:
    plan = plan_blocks(rate, 125e3)
    centre, count = 200e3, 3 * plan.step + 1234
    tone = np.exp(2j * np.pi * (centre + 10e3) / rate * np.arange(count)).astype(np.complex64)
    chips, fine = streams(tone, plan, centre)
    for stream, per_second in ((chips, 125e3), (fine, 250e3)):
        times = np.arange(int(count * per_second / rate))
        expected = np.exp(2j * np.pi * 10e3 / per_second * times)
        assert np.abs(stream[: len(times)] - expected)[200:-200].max() < 2e-3
    for other in (-200e3, 0.0, 400e3):
        chips, fine = streams(tone, plan, other)
        inside = slice(200, int(count * 125e3 / rate) - 200)
        assert 20 * np.log10(np.abs(chips[inside]).max()) < -60 and 20 * np.log10(np.abs(fine[inside]).max()) < -60


def test_a_channel_carries_what_the_receivers_own_front_end_makes_of_it(rng) -> None:
    rate, centre = 1.6e6, -400e3
    plan = plan_blocks(rate, 125e3)
    noise = rng.standard_normal(2 * 60_000).view(np.complex128)
    chips, fine = streams(noise.astype(np.complex64), plan, centre)
    mixed = noise * np.exp(-2j * np.pi * centre / rate * np.arange(len(noise)))
    expected = resample(mixed, 6.4, half_width=16)
    size = len(expected)
    error = np.abs(fine[:size] - expected) ** 2
    assert error.mean() < 1e-4 * (np.abs(expected) ** 2).mean()
    expected = resample(expected, 2.0, half_width=32)
    error = np.abs(chips[: len(expected)] - expected) ** 2
    assert error.mean() < 1e-4 * (np.abs(expected) ** 2).mean()


def test_a_centre_between_bins_is_moved_and_told() -> None:
    plan = plan_blocks(1.6e6, 125e3)
    assert plan.length / plan.chips == 12.8 and abs(moved_by_hz(123_456.0, plan)) <= 1.6e6 / plan.length / 2
    assert plan_blocks(300e3, 125e3) is None and plan_blocks(1.6e6 * np.pi, 125e3) is None


def wide_scene(rng, rate, centres, params, snr_db=3.0):
    """One frame in each channel, starts of its own; in noise."""
    wide = np.zeros(int(0.4 * rate), np.complex128)
    truth = []
    for index, (centre, item) in enumerate(zip(centres, params, strict=True)):
        payload = bytes([65 + index] * 8)
        frame = change_rate(transmit(payload, replace(item, oversampling=4)), 4 * item.bandwidth_hz, rate)
        start = 9000 + 7000 * index
        wide[start : start + len(frame)] += frame * np.exp(2j * np.pi * centre / rate * np.arange(len(frame)))
        truth.append((centre, item.sf, payload, start))
    noise = rng.standard_normal(2 * len(wide)).view(np.complex128)
    return (wide + noise * np.sqrt(rate / 125e3 * 10 ** (-snr_db / 10) / 2)).astype(np.complex64), truth


@pytest.mark.parametrize("rate", [1.6e6, 2e6, 1.23456e6])
def test_every_channel_as_if_alone(rng, rate) -> None:
    """Whole and odd rates, centres off the grid, threads: the frames of a receiver on each channel."""
    centres = [-500_017.3, -250_000.0, 40.0, 123_456.7, 400_000.0]
    params = [replace(PARAMS, sf=sf) for sf in (7, 8, 9, 7, 8)]
    iq, truth = wide_scene(rng, rate, centres, params)
    wanted = [replace(PARAMS, sf=sf) for sf in (7, 8, 9)]
    found = receive_channels(iq, wanted, sample_rate_hz=rate, channels_hz=centres)
    assert sorted((item.channel_hz, item.frame.params.sf, item.frame.payload) for item in found) == [
        (hz, sf, payload) for hz, sf, payload, _ in truth
    ]
    for item in found:
        [alone] = receive(iq, item.frame.params, sample_rate_hz=rate, center_offset_hz=item.channel_hz)
        ours = item.frame
        late = ours.start_sample + ours.sto_samples - alone.start_sample - alone.sto_samples
        assert abs(late) < 0.1 * rate / 125e3 and abs(ours.cfo_hz - alone.cfo_hz) < 15  # half a bin of the bank is 49
        assert abs(ours.snr_db - alone.snr_db) < 0.5 and abs(ours.power_dbfs - alone.power_dbfs) < 0.3
        assert ours.symbols.tolist() == alone.symbols.tolist()
    assert receive_channels(iq, wanted, sample_rate_hz=rate, channels_hz=centres, threads=3) == found


@pytest.mark.parametrize(
    ("rate", "largest_chunk"), [(1.6e6, 200_000), (1.6e6, 5_000), (2e6, 100_000), (1.23456e6, 70_000)]
)
def test_chunks_give_the_frames_of_the_whole(rng, rate, largest_chunk) -> None:
    centres = [-500_017.3, -250_000.0, 40.0, 123_456.7, 400_000.0]
    iq, truth = wide_scene(rng, rate, centres, [replace(PARAMS, sf=sf) for sf in (7, 8, 9, 7, 8)])
    wanted = [replace(PARAMS, sf=sf) for sf in (7, 8, 9)]
    settings = {"sample_rate_hz": rate, "channels_hz": centres, "start_time": datetime(2026, 1, 31, tzinfo=UTC)}
    whole = receive_channels(iq, wanted, **settings)
    assert sorted(item.frame.payload for item in whole) == sorted(payload for _, _, payload, _ in truth)
    gateway, found, start = GatewayReceiver(wanted, **settings), [], 0
    while start < len(iq):
        size = int(rng.integers(0, largest_chunk))
        found += gateway.push(iq[start : start + size])
        start += size
    before_the_end = len(found)
    found += gateway.flush()
    assert before_the_end or rate == 1.23456e6, "frames come as they are found"
    found.sort(key=lambda item: item.frame.start_sample + item.frame.sto_samples)
    assert found == whole
    assert gateway.flush() == []
    with pytest.raises(RuntimeError, match="make a new GatewayReceiver"):
        gateway.push(iq[:5])


def test_memory_of_a_gateway_stays_bounded(rng) -> None:
    """Twelve seconds of two channels, a second at a time: what is held does not grow with the stream."""
    gateway = GatewayReceiver([PARAMS, replace(PARAMS, sf=9)], sample_rate_hz=500e3, num_channels=2)
    noise = rng.standard_normal(2 * 500_000, dtype=np.float32).view(np.complex64)
    tracemalloc.start()
    held = []
    for _ in range(12):
        gateway.push(noise)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(held[6:]) <= 1.2 * max(held[2:6])


def test_inverted_frames_and_other_bandwidths_beside(rng) -> None:
    down = replace(PARAMS, inverted_iq=True, crc=False, sync_word=0x34)
    broad = LoRaParams(sf=8, bandwidth_hz=250e3)
    iq, truth = wide_scene(rng, 2e6, [-200e3, 300e3], [down, broad], snr_db=10.0)
    found = receive_channels(iq, [PARAMS, down, broad], sample_rate_hz=2e6, channels_hz=[-200e3, 300e3])
    assert [(item.channel_hz, item.frame.payload) for item in found] == [(hz, payload) for hz, _, payload, _ in truth]
    assert all(abs(item.frame.cfo_hz) < 100 for item in found)


def test_a_frame_cut_by_the_end_and_an_empty_stream(rng) -> None:
    frame = change_rate(transmit(b"cut by the end of the stream", replace(PARAMS, oversampling=4)), 500e3, 1.6e6)
    iq = np.concatenate([np.zeros(5000, np.complex64), frame[: -len(frame) // 4]])
    iq = apply_channel(iq, ChannelParams(snr_db=20.0), PARAMS, rng=rng)
    [found] = receive_channels(iq, PARAMS, sample_rate_hz=1.6e6)
    assert found.channel_hz == 0.0 and found.frame.status == "truncated"
    assert receive_channels(np.empty(0, np.complex64), PARAMS, sample_rate_hz=1.6e6) == []


def test_bad_settings_are_named() -> None:
    iq = np.zeros(10, np.complex64)
    for settings, words in (
        ({"channels_hz": [900e3]}, "'channels_hz' must lie within half the sample rate"),
        ({"channels_hz": [float("nan")]}, "'channels_hz'"),
        ({"channels_hz": []}, "'channels_hz' must hold at least one channel"),
        ({"num_channels": 0}, "'num_channels' must be"),
        ({"spacing_hz": -1.0}, "'spacing_hz' must be positive"),
        ({"threads": 0}, "'threads' must be"),
        ({"threads": 100_000}, "'threads' must be"),
    ):
        with pytest.raises(ValueError, match=words):
            receive_channels(iq, PARAMS, sample_rate_hz=1.6e6, **settings)
    with pytest.raises(ValueError, match="'threads' must be"):
        receive(iq, PARAMS, threads=0)
    with pytest.raises(TypeError, match="'iq' must be complex"):
        receive_channels(np.zeros(10), PARAMS, sample_rate_hz=1.6e6)


def test_threads_give_the_same_frames_in_the_same_order(rng) -> None:
    params = [LoRaParams(sf=sf, bandwidth_hz=bw) for sf in (7, 8) for bw in (125e3, 250e3)]
    parts = [np.zeros(9000, np.complex64)]
    for item in params:
        iq = transmit(b"threads", replace(item, oversampling=4 if item.bandwidth_hz == 125e3 else 2))
        parts += [iq, np.zeros(9000, np.complex64)]
    iq = apply_channel(np.concatenate(parts), ChannelParams(snr_db=10.0), replace(PARAMS, oversampling=4), rng=rng)
    alone = receive(iq, params, sample_rate_hz=500e3)
    assert [frame.params.sf for frame in alone] == [7, 7, 8, 8]
    assert receive(iq, params, sample_rate_hz=500e3, threads=2) == alone


def test_a_constant_in_the_centre_channel_is_removed(rng) -> None:
    """The leakage of the oscillator, 20 dB above a frame in the channel that it falls into."""
    iq, [(_, _, payload, _)] = wide_scene(rng, 1.6e6, [0.0], [PARAMS], snr_db=10.0)
    spoilt = iq + np.complex64(10.0)
    [found] = receive_channels(spoilt, PARAMS, sample_rate_hz=1.6e6)
    assert found.channel_hz == 0.0 and found.frame.payload == payload
    assert receive_channels(spoilt, PARAMS, sample_rate_hz=1.6e6, remove_dc=False) == []
