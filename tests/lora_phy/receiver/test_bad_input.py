"""Whatever comes in, signals never raise; bad parameters always do, by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_phy import ChannelParams, FrameStatus, LoRaParams, Receiver, apply_channel, receive, transmit

PARAMS = LoRaParams(sf=7, cr=4)
FRAME = np.concatenate(
    [np.zeros(300, np.complex64), transmit(b"sixteen bytes...", PARAMS), np.zeros(600, np.complex64)]
)
NOISY = (FRAME + 0.3 * np.random.default_rng(0).standard_normal(2 * len(FRAME)).view(np.complex128)).astype(
    np.complex64
)


def is_sane(frames: list) -> bool:
    return all(
        isinstance(f.status, FrameStatus)
        and np.isfinite([f.sto_samples, f.cfo_hz, f.sfo_ppm, f.snr_db]).all()
        and len(f.payload) <= 255
        for f in frames
    )


@pytest.mark.parametrize(
    "samples",
    [
        np.empty(0, np.complex64),
        np.zeros(5000, np.complex64),
        np.full(5000, np.nan + 1j * np.nan, np.complex64),
        np.full(5000, np.inf - 1j * np.inf, np.complex64),
        np.full(20_000, 1 + 1j, np.complex64),
        np.full(20_000, 3e38, np.complex64),
        np.full(20_000, 1e-38, np.complex64),
        np.exp(2j * np.pi * 0.25 * np.arange(20_000)),
        np.tile([1.0 + 0j, -1.0], 10_000),
    ],
    ids=["empty", "zeros", "nan", "infinite", "constant", "huge", "tiny", "tone", "alternating"],
)
@pytest.mark.parametrize("sf", [5, 7, 10])
def test_streams_without_frames_give_nothing(samples, sf) -> None:
    assert receive(samples, LoRaParams(sf=sf)) == []


def test_a_frame_amid_garbage_is_still_received() -> None:
    for value in (np.nan, np.inf, -np.inf, 1e30):
        dirty = NOISY.copy()
        dirty[:200] = value
        dirty[-300:] = value
        assert [f.payload for f in receive(dirty, PARAMS)] == [b"sixteen bytes..."]


def test_clipped_and_quantised_samples() -> None:
    parts = NOISY.view(np.float32)
    for samples in (np.clip(parts, -0.2, 0.2), np.sign(parts)):
        [frame] = receive(samples.astype(np.float32).view(np.complex64), PARAMS)
        assert frame.payload == b"sixteen bytes..."


def test_a_line_at_zero_frequency_does_not_matter() -> None:
    [frame] = receive(NOISY + np.complex64(0.5), PARAMS)
    assert frame.payload == b"sixteen bytes..."


@given(st.integers(0, len(NOISY)))
def test_a_frame_cut_at_any_sample(cut: int) -> None:
    frames = receive(NOISY[:cut], PARAMS)
    assert is_sane(frames) and len(frames) <= 1
    for frame in frames:
        complete = frame.status is FrameStatus.OK
        assert complete == (frame.payload == b"sixteen bytes...") or frame.status is FrameStatus.TRUNCATED
    late = receive(NOISY[cut:], PARAMS)
    assert is_sane(late) and all(f.status is not FrameStatus.OK or f.payload == b"sixteen bytes..." for f in late)


@given(st.binary(max_size=4096), st.sampled_from(["float32", "int8", "uint8"]))
def test_random_bytes_as_a_recording(data: bytes, kind: str) -> None:
    values = np.frombuffer(data[: len(data) // 8 * 8], dtype=kind).astype(np.float32, copy=True)
    with np.errstate(all="ignore"):
        frames = receive(values[: len(values) // 2 * 2].view(np.complex64), LoRaParams(sf=5))
    assert is_sane(frames)


@given(
    st.integers(5, 9),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.floats(-20, 20),
    st.integers(0, 60),
)
def test_damaged_frames_give_a_status(sf, cr, soft, seed, snr_db, size) -> None:
    rng = np.random.default_rng(seed)
    params = LoRaParams(sf=sf, cr=cr)
    clean = np.concatenate([np.zeros(300), transmit(rng.bytes(size), params), np.zeros(int(rng.integers(0, 900)))])
    noise = rng.standard_normal(2 * len(clean)).view(np.complex128) * np.sqrt(10 ** (-snr_db / 10) / 2)
    samples = (clean + noise).astype(np.complex64)
    hole = int(rng.integers(0, len(samples)))
    samples[hole : hole + int(rng.integers(0, 3000))] = rng.choice([0, np.nan, 1e20])
    assert is_sane(receive(samples, params, soft=soft, num_trials=int(rng.integers(0, 3)) * 10))


def test_a_header_that_announces_more_than_is_there() -> None:
    long = transmit(bytes(200), PARAMS)[: 30 * 128]
    [frame] = receive(np.concatenate([np.zeros(100, np.complex64), long]), PARAMS)
    assert frame.status is FrameStatus.TRUNCATED and frame.header.payload_len == 200
    assert bytes(200).startswith(frame.payload)


def test_bad_parameters_are_named() -> None:
    for samples in (np.zeros(10), np.zeros(10, np.int16), [1, 2, 3], "text"):
        with pytest.raises(TypeError, match="'iq'"):
            receive(samples, PARAMS)
    with pytest.raises(ValueError, match="'iq'"):
        receive(np.zeros((2, 10), np.complex64), PARAMS)
    for rate in (-1.0, 0.0, np.nan, np.inf, 100e3):
        with pytest.raises(ValueError, match="'sample_rate_hz'"):
            receive(FRAME, PARAMS, sample_rate_hz=rate)
    with pytest.raises(TypeError, match="'sample_rate_hz'"):
        receive(FRAME, PARAMS, sample_rate_hz="fast")
    with pytest.raises(ValueError, match="'center_offset_hz'"):
        receive(FRAME, PARAMS, center_offset_hz=np.nan)
    with pytest.raises(ValueError, match="'payload_len'"):
        receive(FRAME, LoRaParams(sf=7, explicit_header=False))
    for params in (None, [], [PARAMS, 7]):
        with pytest.raises(TypeError, match="'params'"):
            Receiver(params)


@pytest.mark.parametrize("oversampling", [1, 2])
def test_a_constant_far_above_the_signal(oversampling) -> None:
    """A radio's own oscillator, 20 dB above a signal at +10 dB: removed unless it is to stay."""
    params = LoRaParams(sf=8, oversampling=oversampling)
    rng = np.random.default_rng(1)
    stream = np.pad(transmit(b"through the spike", params), (20_000, 30_000))
    iq = apply_channel(stream, ChannelParams(snr_db=10.0, cfo_hz=700.0), params, rng=rng) + np.complex64(6 - 8j)
    [frame] = receive(iq, params)
    assert (frame.status, frame.payload) == ("ok", b"through the spike")
    assert receive(iq, params, remove_dc=False) == []
    receiver, frames = Receiver(params), []
    for start in range(0, len(iq), 4999):
        frames += receiver.push(iq[start : start + 4999])
    assert frames + receiver.flush() == [frame]


def test_without_a_constant_nothing_is_taken_off(hear) -> None:
    heard = hear(LoRaParams(sf=7), snr_db=0.0)
    assert receive(heard.iq, LoRaParams(sf=7)) == receive(heard.iq, LoRaParams(sf=7), remove_dc=False)


@pytest.mark.parametrize(
    ("settings", "params", "message"),
    [
        ({"num_trials": 1_000_000}, {}, "'num_trials' must be in"),
        ({"num_trials": -1}, {}, "'num_trials' must be in"),
        ({"sample_rate_hz": 1e9}, {}, "'sample_rate_hz' must be at most 1024 times the bandwidth 125000 Hz"),
        ({}, {"sf": 12, "preamble_len": 65535}, "'preamble_len' must be at most 4096"),
    ],
)
def test_receivers_refuse_what_would_cost_hours_or_gigabytes(settings, params, message) -> None:
    with pytest.raises(ValueError, match=message):
        receive(np.zeros(1000, np.complex64), LoRaParams(**{"sf": 7, **params}), **settings)


def test_samples_that_are_no_numbers_count_as_zeros() -> None:
    params = LoRaParams(sf=7)
    assert receive(np.full(20_000, np.nan + 1j * np.inf, np.complex64), params) == []
    iq = np.pad(transmit(b"amid", params), 3000).astype(np.complex64)
    iq[:500] = np.nan
    assert receive(iq, params)[0].payload == b"amid"
