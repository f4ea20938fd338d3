"""A carrier that moves during the frame, and transmitters whose phase steps at each chirp's fold."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from lora_phy import ChannelParams, LoRaParams, apply_channel, receive, transmit

GENERATOR = Path(__file__).parents[4] / "shared" / "cases" / "independent_generator.py"


def moving(params: LoRaParams, payload: bytes, bins: float, shape: str, snr_db: float, rng) -> np.ndarray:
    """A frame whose carrier moves by `bins` in all: linearly, ever faster, or ever slower."""
    frame = transmit(payload, params)
    t = np.arange(len(frame)) / len(frame)
    course = {"linear": t, "faster": t**2, "slower": 2 * t - t**2}[shape]
    turns = np.cumsum(bins * course) / params.samples_per_symbol
    stream = np.pad(
        frame * np.exp(2j * np.pi * turns), (int(rng.integers(1, 4)) * params.num_bins, 12 * params.num_bins)
    )
    settings = ChannelParams(
        snr_db=snr_db, cfo_hz=float(rng.uniform(-5e3, 5e3)), sto_samples=float(rng.uniform(-0.5, 0.5))
    )
    return apply_channel(stream.astype(np.complex64), settings, params, rng=rng)


@pytest.mark.parametrize("shape", ["linear", "faster", "slower"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("sf", "bins", "frames"), [(7, 3, 12), (9, 3, 8), (11, 5, 4), (12, 5, 3)])
def test_carriers_that_move_five_decibels_above_the_limit(sf, bins, frames, sign, shape) -> None:
    """The limit (PER 10 %) is -10.1 dB at SF7 and 2.65 dB less for each further spreading factor."""
    params = LoRaParams(sf=sf)
    rng = np.random.default_rng([sf, sign + 1])
    for _ in range(frames):
        payload = rng.bytes(20)
        [frame] = receive(moving(params, payload, sign * bins, shape, -5.1 - 2.65 * (sf - 7), rng), params)
        assert (frame.status, frame.payload) == ("ok", payload)
        if shape == "linear":
            seconds = len(transmit(payload, params)) / params.sample_rate_hz
            drift = frame.drift_hz_per_s * seconds * params.symbol_duration_s
            assert abs(drift - sign * bins) < 1.0


def test_a_still_carrier_has_no_drift(hear) -> None:
    heard = hear(LoRaParams(sf=9), snr_db=10.0, cfo_hz=1234.0)
    [frame] = receive(heard.iq, LoRaParams(sf=9))
    assert abs(frame.drift_hz_per_s) < 0.2 * 244 / 0.2  # a fifth of a bin over the fifth of a second


@pytest.mark.parametrize("oversampling", [1, 2, 4])
@pytest.mark.parametrize("step", [None, np.pi / 2, np.pi], ids=["random", "quarter", "half"])
def test_phase_steps_at_the_fold(oversampling, step) -> None:
    """A published impairment at its worst, and an oscillator half a sample off at the fold at two samples a chip."""
    if not GENERATOR.exists():
        pytest.skip(f"no independent generator at {GENERATOR}")
    spec = importlib.util.spec_from_file_location("independent_generator", GENERATOR)
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    right = 0
    for size in range(2, 47, 3):
        rng = np.random.default_rng([size, oversampling])
        payload, rate = rng.bytes(size), 125e3 * oversampling
        iq = generator.frame(
            payload, sf=7, fs=rate, lead_s=0.02 + float(rng.uniform(0, 1e-4)), tail_s=0.05,
            cfo=float(rng.uniform(-3e3, 3e3)), fold_phase=lambda r: r.uniform(0, 2 * np.pi) if step is None else step,
        )  # fmt: skip
        frames = receive(
            iq + generator.noise(len(iq), 10, rate, 125e3, rng), LoRaParams(sf=7, oversampling=oversampling)
        )
        right += any(frame.crc_ok and frame.payload == payload for frame in frames)
        assert all(abs(frame.sfo_ppm) <= 60 for frame in frames)
    assert right >= 14
