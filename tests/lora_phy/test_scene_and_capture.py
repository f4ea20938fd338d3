"""Frames on a timeline, and the semi-analytic capture model against waveforms and theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lora_phy import LoRaParams, modulate, theory, transmit
from lora_phy.channel import ChannelParams, apply_channel
from lora_phy.frames.scene import Transmission, interferer, scene
from lora_phy.frames.transceiver import receive_synchronised
from lora_phy.modem.demodulation import correlate
from lora_phy.resampling import resample
from lora_phy.studies.capture import capture_ser, unaligned_bins


def bounds(num: int, p: float) -> tuple[float, float]:
    """Exact binomial, false alarm 1e-6."""
    return stats.binom.ppf(0.5e-6, num, p), stats.binom.isf(0.5e-6, num, p)


@pytest.mark.parametrize("sf", [5, 7, 10])
def test_unaligned_bins_are_the_spectrum_of_the_waveform(sf: int) -> None:
    """Chirps at 4 samples a chip, every fourth kept from a random quarter on: equal to rounding, fold included."""
    rng = np.random.default_rng(sf)
    wanted, other = LoRaParams(sf=sf), LoRaParams(sf=sf, oversampling=4)
    n = wanted.num_bins
    for quarter in [0, 1, 4, 4 * n - 1, *rng.integers(0, 4 * n, 10)]:
        first, second = rng.integers(0, n, 2)
        window = modulate([first, second], other)[4 * n - int(quarter) :: 4][:n]
        expected = correlate(window[None, :], wanted)[0]
        found = unaligned_bins(sf, np.array([first]), np.array([second]), np.array([quarter / 4]))[0]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        if quarter % 4 == 0:  # whole chips: the published form is the same
            plain = unaligned_bins(
                sf, np.array([first]), np.array([second]), np.array([quarter / 4]), fold_phase=False
            )[0]
            np.testing.assert_allclose(plain, expected, atol=1e-6)


def test_energy_of_the_unaligned_interferer_is_conserved() -> None:
    rng = np.random.default_rng(2)
    for fold_phase in (True, False):
        z = unaligned_bins(
            8, rng.integers(0, 256, 50), rng.integers(0, 256, 50), rng.uniform(0, 256, 50), fold_phase=fold_phase
        )
        np.testing.assert_allclose(np.sum(np.abs(z) ** 2, axis=-1), 1.0, rtol=1e-9)  # Parseval


def test_capture_model_at_its_limits() -> None:
    """Aligned, no noise: wrong exactly when the symbols differ and the interferer is louder. No interferer: AWGN."""
    num = 10_000
    loud, quiet = capture_ser(7, [-3.0, 3.0], aligned=True, num_draws=num)
    low, high = bounds(num, 127 / 128)
    assert low <= loud * num <= high and quiet == 0.0
    snr_db = -9.0
    low, high = bounds(num, float(theory.ser_awgn(7, snr_db)))
    assert low <= capture_ser(7, 300.0, snr_db, num_draws=num) * num <= high


def test_the_aligned_model_overstates_the_damage() -> None:
    sir_db = [-3.0, -2.0, -1.0]
    aligned = capture_ser(8, sir_db, aligned=True, num_draws=3000)
    for fold_phase in (True, False):
        assert np.all(capture_ser(8, sir_db, fold_phase=fold_phase, num_draws=3000) < 0.7 * aligned)


def test_capture_model_agrees_with_waveforms_through_the_channel() -> None:
    """SF7, SIR 0.5 dB at SNR -4 dB: windows of a real interfering stream, against the model. False alarm 1e-6."""
    rng = np.random.default_rng(5)
    wanted, other = LoRaParams(sf=7), LoRaParams(sf=7, oversampling=8)
    num, sir_db, snr_db = 6000, 0.5, -4.0
    sent = rng.integers(0, 128, num)
    symbols, late = rng.integers(0, 128, (num, 2)), rng.integers(0, 1024, num)
    heard = np.stack([modulate(symbols[i], other)[1024 - late[i] :: 8][:128] for i in range(num)])
    phase = np.exp(2j * np.pi * rng.random((num, 1)))
    mixed = modulate(sent[:, None], wanted) + heard * phase * 10 ** (-sir_db / 20)
    y = apply_channel(mixed, ChannelParams(snr_db=snr_db), wanted, rng=rng)
    errors = int(np.count_nonzero(np.argmax(np.abs(correlate(y, wanted)), axis=-1) != sent))
    draws = 20_000
    model = capture_ser(7, sir_db, snr_db, num_draws=draws)
    spread = stats.norm.isf(0.5e-6) * math.sqrt(model * (1 - model) * (1 / num + 1 / draws))
    assert 0.01 < model < 0.5 and abs(errors / num - model) < spread


def test_bad_capture_parameters_are_named() -> None:
    one = np.array([1])
    with pytest.raises(ValueError, match="'delay_chips'"):
        unaligned_bins(7, one, one, np.array([128.0]))
    with pytest.raises(ValueError, match="'num_draws'"):
        capture_ser(7, 0.0, num_draws=0)
    with pytest.raises(ValueError, match="'snr_db'"):
        capture_ser(7, 0.0, math.nan)


@pytest.mark.parametrize(
    ("other", "rate_hz"),
    [
        (LoRaParams(sf=8, bandwidth_hz=250e3), 1e6),
        (LoRaParams(sf=9, bandwidth_hz=125e3, inverted_iq=True), 500e3),
        (LoRaParams(sf=7, bandwidth_hz=125e3), 203_125.0),
        (LoRaParams(sf=7, bandwidth_hz=62.5e3), 250e3),
    ],
)
def test_a_frame_of_any_kind_arrives_where_it_should(other: LoRaParams, rate_hz: float) -> None:
    """Placed at a fraction of a sample with a carrier offset, taken back by hand, decoded; power 1 in between."""
    start_s, offset_hz = 1.23456e-3, 7321.0
    sent = Transmission(payload=b"scene", params=other, start_s=start_s, center_offset_hz=offset_hz, power_db=0.0)
    iq = scene([sent], int(0.5 * rate_hz), rate_hz)
    one = interferer(sent, rate_hz)
    middle = np.abs(one.iq[one.iq.size // 4 : one.iq.size // 2]) ** 2
    assert np.mean(middle) == pytest.approx(1.0, abs=0.05)
    n = np.arange(iq.size)
    steady = iq * np.exp(-2j * np.pi * offset_hz / rate_hz * (n - one.start_sample))
    whole = round(rate_hz / other.bandwidth_hz)
    own = LoRaParams(sf=other.sf, bandwidth_hz=other.bandwidth_hz, inverted_iq=other.inverted_iq, oversampling=whole)
    length = transmit(b"scene", own).size
    aligned = resample(steady, rate_hz / own.sample_rate_hz, start=start_s * rate_hz, num_out=length)
    assert receive_synchronised(aligned, own).payload == b"scene"
    reference = transmit(b"scene", own)
    assert abs(np.vdot(reference, aligned)) / length > 0.97


def test_scene_adds_and_cuts() -> None:
    params = LoRaParams(sf=7)
    early = Transmission(payload=b"a", params=params, start_s=-1000 / 125e3, power_db=-6.0)
    late = Transmission(payload=b"b", params=params, start_s=500 / 125e3, phase_rad=math.pi)
    iq = scene([early, late], 2000, 125e3, background=np.ones(2000, np.complex64))
    a, b = transmit(b"a", params), transmit(b"b", params)
    expected = np.ones(2000, complex)
    expected += 10**-0.3 * a[1000:3000]
    expected[500:] -= b[:1500]
    np.testing.assert_allclose(iq, expected, atol=1e-6)
    with pytest.raises(ValueError, match="'background'"):
        scene([], 3, 125e3, background=np.ones(2, np.complex64))
    with pytest.raises(ValueError, match="'start_s'"):
        Transmission(payload=b"", params=params, start_s=math.nan)
    with pytest.raises(ValueError, match="'sample_rate_hz'"):
        interferer(late, 0.0)
