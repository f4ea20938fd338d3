"""Several frames, gaps, damage, chunks, spreading factors and channels in one stream."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from lora_phy import (
    ChannelParams,
    FrameStatus,
    LoRaParams,
    Receiver,
    apply_channel,
    encode_payload,
    receive,
    transmit,
)
from lora_phy.modem.modulation import modulate
from lora_phy.receiver.channelizer import receive_channels
from lora_phy.resampling import change_rate

PARAMS = LoRaParams(sf=7, cr=4)


def silence(samples: int) -> np.ndarray:
    return np.zeros(samples, np.complex64)


def in_chunks(iq: np.ndarray, params, size: int, **settings) -> list:
    receiver = Receiver(params, **settings)
    frames = []
    for start in range(0, len(iq), size):
        frames += receiver.push(iq[start : start + size])
    return frames + receiver.flush()


@pytest.fixture(scope="module")
def busy() -> tuple[np.ndarray, list[tuple[int, bytes]]]:
    """Twelve frames of all coding rates, lengths 0–60, back to back and with gaps, each with its own offset."""
    rng = np.random.default_rng(6)
    parts, truth, position = [], [], 0
    for i in range(12):
        payload = rng.integers(0, 256, int(rng.integers(0, 60)), dtype=np.uint8).tobytes()
        frame = transmit(payload, replace(PARAMS, cr=1 + i % 4))
        gap = (0, 37, 500, 1500)[int(rng.integers(4))]
        turns = rng.uniform(-20e3, 20e3) / 125e3 * np.arange(len(frame)) + rng.random()
        parts += [silence(gap), frame * np.exp(2j * np.pi * turns)]
        truth.append((position + gap, payload))
        position += gap + len(frame)
    stream = np.concatenate([*parts, silence(3000)]).astype(np.complex64)
    return apply_channel(stream, ChannelParams(snr_db=0.0), PARAMS, rng=rng), truth


def test_frames_back_to_back_and_with_gaps(busy) -> None:
    iq, truth = busy
    frames = receive(iq, PARAMS)
    assert [frame.payload for frame in frames] == [payload for _, payload in truth]
    starts = [frame.start_sample + frame.sto_samples for frame in frames]
    assert np.allclose(starts, [start for start, _ in truth], atol=0.5)
    assert all(frame.status is FrameStatus.OK and frame.crc_ok for frame in frames)


@pytest.mark.parametrize("size", [97, 4096, 30_011])
def test_chunks_give_exactly_the_frames_of_the_whole(busy, size) -> None:
    iq, _ = busy
    iq = iq[:12_000] if size < 1000 else iq
    assert in_chunks(iq, PARAMS, size) == receive(iq, PARAMS) != []


def test_chunks_at_an_odd_rate_with_an_offset(hear) -> None:
    heard = hear(replace(PARAMS, oversampling=4), snr_db=0.0)
    settings = {"sample_rate_hz": 510e3, "center_offset_hz": 3000.0}
    assert in_chunks(heard.iq, PARAMS, 1234, **settings) == receive(heard.iq, PARAMS, **settings)


@pytest.mark.parametrize("size", [997, 20_011])
def test_chunks_of_an_oversampled_stream_with_a_large_offset(hear, size) -> None:
    params = replace(PARAMS, oversampling=2)
    heard = hear(params, snr_db=-5.0, cfo_hz=28e3, sto_samples=0.7)
    assert in_chunks(heard.iq, params, size) == receive(heard.iq, params) != []


def test_chunks_of_a_long_preamble_keep_the_time_order(rng) -> None:
    """A shorter frame of another spreading factor ends while the long preamble, which began before it, goes on."""
    wanted = [PARAMS, LoRaParams(sf=9)]
    stream = np.concatenate([silence(1000), transmit(b"long", replace(PARAMS, preamble_len=500)), silence(9000)])
    short = transmit(b"short", wanted[1])
    stream[9000 : 9000 + len(short)] += short
    iq = apply_channel(stream, ChannelParams(snr_db=5.0), PARAMS, rng=rng)
    frames = receive(iq, wanted)
    assert [frame.payload for frame in frames] == [b"long", b"short"]
    assert in_chunks(iq, wanted, 5003) == frames


def test_a_receiver_is_for_one_stream(hear) -> None:
    receiver = Receiver(PARAMS)
    heard = hear(PARAMS, snr_db=5.0)
    assert len(receiver.push(heard.iq) + receiver.flush()) == 1
    assert receiver.flush() == []
    with pytest.raises(RuntimeError, match="after 'flush'"):
        receiver.push(heard.iq)


def test_memory_stays_bounded(rng) -> None:
    receiver = Receiver(PARAMS)
    sizes = []
    for _ in range(12):
        receiver.push(rng.standard_normal(400_000).astype(np.float32).view(np.complex64))
        sizes.append(len(receiver._front_ends[0].chips.array))
    assert max(sizes[4:]) <= 2 * max(sizes[:4]) <= 4_000_000


def test_a_false_preamble_before_a_true_one(rng) -> None:
    for gap in (0, 100, 700):
        lone = modulate(np.zeros(9, int), PARAMS)
        stream = np.concatenate([silence(500), lone, silence(gap), transmit(b"true", PARAMS), silence(2000)])
        frames = receive(apply_channel(stream, ChannelParams(snr_db=0.0), PARAMS, rng=rng), PARAMS)
        assert [frame.payload for frame in frames] == [b"true"]


def test_hunting_goes_on_inside_a_damaged_frame(rng) -> None:
    cut = transmit(bytes(40), PARAMS)[: 20 * 128]
    stream = np.concatenate([silence(400), cut, transmit(b"behind", PARAMS), silence(9000)])
    frames = receive(apply_channel(stream, ChannelParams(snr_db=0.0), PARAMS, rng=rng), PARAMS)
    assert [frame.payload for frame in frames if frame.status is FrameStatus.OK] == [b"behind"]
    assert [frame.status for frame in frames] == [FrameStatus.BAD_CRC, FrameStatus.OK]


def test_a_frame_cut_by_the_end_of_the_stream(rng) -> None:
    whole = np.concatenate([silence(400), transmit(bytes(range(40)), PARAMS)])
    iq = apply_channel(whole, ChannelParams(snr_db=5.0), PARAMS, rng=rng)
    [frame] = receive(iq[: 400 + 60 * 128], PARAMS)
    assert frame.status is FrameStatus.TRUNCATED and frame.crc_ok is False
    assert frame.payload and bytes(range(40)).startswith(frame.payload)


def test_several_spreading_factors_in_one_stream(rng) -> None:
    wanted = [LoRaParams(sf=sf, cr=2, oversampling=2) for sf in (7, 8, 9)]
    stream, truth = silence(120_000), []
    for i, params in enumerate(wanted):
        frame = transmit(bytes([i] * 10), params)
        start = 7000 + 9000 * i
        stream[start : start + len(frame)] += frame
        truth.append((bytes([i] * 10), replace(params, ldro=False)))
    iq = apply_channel(stream, ChannelParams(snr_db=5.0), wanted[0], rng=rng)
    frames = receive(iq, wanted)
    assert [(frame.payload, frame.params) for frame in frames] == truth
    assert in_chunks(iq, wanted, 10_007) == frames


@pytest.mark.parametrize("oversampling", [2, 3, 4])
def test_oversampled_streams(hear, oversampling) -> None:
    params = replace(PARAMS, oversampling=oversampling)
    heard = hear(params, snr_db=-8.0, cfo_hz=2345.0, sto_samples=0.3)
    [frame] = receive(heard.iq, params)
    assert frame.payload == heard.payload
    assert abs(frame.start_sample + frame.sto_samples - heard.start) < 0.5 * oversampling


def test_a_dongle_at_2_4_megasamples_with_the_channel_off_centre(rng) -> None:
    frame = np.concatenate([silence(3000), transmit(b"rational", replace(PARAMS, oversampling=4)), silence(9000)])
    wide = change_rate(frame, 500e3, 2.4e6)
    wide = wide * np.exp(2j * np.pi * 300e3 / 2.4e6 * np.arange(len(wide)))
    noise = rng.standard_normal(2 * len(wide)).view(np.complex128) * np.sqrt(2.4e6 / 125e3 * 10**0.5 / 2)
    [received] = receive((wide + noise).astype(np.complex64), PARAMS, sample_rate_hz=2.4e6, center_offset_hz=300e3)
    assert received.payload == b"rational"
    assert abs(received.start_sample + received.sto_samples - 3000 * 4.8) < 0.3 * 19.2


def test_eight_channels_of_a_gateway(rng) -> None:
    rate, count = 1.6e6, 60_000 * 4
    wide = np.zeros(count, np.complex128)
    truth = []
    for index, channel_hz in enumerate(np.arange(-3, 4) * 200e3):
        frame = change_rate(transmit(bytes([65 + index] * 8), replace(PARAMS, oversampling=4)), 500e3, rate)
        start = 9000 + 5000 * index
        wide[start : start + len(frame)] += frame * np.exp(2j * np.pi * channel_hz / rate * np.arange(len(frame)))
        truth.append((channel_hz, bytes([65 + index] * 8), start))
    wide += rng.standard_normal(2 * count).view(np.complex128) * np.sqrt(rate / 125e3 * 10**0.3 / 2)
    found = receive_channels(wide.astype(np.complex64), PARAMS, sample_rate_hz=rate)
    assert [(item.channel_hz, item.frame.payload) for item in found] == [(hz, payload) for hz, payload, _ in truth]
    starts = [item.frame.start_sample + item.frame.sto_samples for item in found]
    assert np.allclose(starts, [start for *_, start in truth], atol=0.3 * rate / 125e3)


@pytest.mark.parametrize("oversampling", [1, 2, 3])
def test_a_frame_says_its_power_its_preamble_and_its_symbols(hear, oversampling) -> None:
    params = LoRaParams(sf=8, cr=3, preamble_len=12, oversampling=oversampling)
    heard = hear(params, snr_db=15.0, cfo_hz=700.0, sto_samples=0.3)
    [frame] = receive(0.02 * heard.iq, replace(params, preamble_len=8))
    assert abs(frame.power_dbfs - 20 * np.log10(0.02)) < 0.3
    assert frame.preamble_len == 12
    assert frame.symbols.dtype == np.int32
    assert frame.symbols.tolist() == encode_payload(heard.payload, params).tolist()
    assert frame.time is None


def test_a_frame_says_when_it_began(hear) -> None:
    params = LoRaParams(sf=7)
    heard = hear(params, lead=12_500, tail=200)
    start = datetime(2026, 7, 1, 12, tzinfo=UTC)
    [frame] = receive(heard.iq, params, start_time=start)
    assert abs((frame.time - start).total_seconds() - 0.1) < 1e-6  # 12,500 samples at 125 kHz
    receiver = Receiver(params, start_time=start)
    assert receiver.push(heard.iq) + receiver.flush() == [frame]
    with pytest.raises(TypeError, match="'start_time' must be a datetime"):
        receive(heard.iq, params, start_time=0.0)


def test_frames_out_of_order_come_sooner_and_are_the_same() -> None:
    params = [LoRaParams(sf=7), LoRaParams(sf=9)]
    gap = np.zeros(40_000, np.complex64)
    iq = np.concatenate([gap, transmit(b"one", params[0]), gap, transmit(b"two", params[1]), gap])
    straight = receive(iq, params)
    receiver = Receiver(params, in_order=False)
    early = receiver.push(iq)
    assert len(straight) == 2 and sorted(early, key=lambda frame: frame.start_sample) == straight
    assert Receiver(params).push(iq) == [] and receiver.flush() == []
