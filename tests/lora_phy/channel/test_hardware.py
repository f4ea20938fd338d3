"""Hardware faults, drifts and odd noise against their closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import signal, stats

from lora_phy import LoRaParams, modulate
from lora_phy.channel import (
    CarrierDrift,
    ChannelParams,
    ImpulsiveNoise,
    LeoPass,
    NarrowbandNoise,
    PhaseNoise,
    ReceiverFrontEnd,
    Transmitter,
    apply_channel,
)
from lora_phy.channel.drift import EARTH_GM, EARTH_RADIUS_M, LIGHT_M_S, leo_doppler_hz
from lora_phy.channel.hardware import fold_phase_step, image_rejection, phase_noise, quantise, rapp_amplifier
from lora_phy.channel.interference import add_noise_source
from lora_phy.modem.demodulation import correlate

Z = stats.norm.isf(0.5e-6)  # false alarm 1e-6
PARAMS = LoRaParams(sf=7)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def through(channel: ChannelParams, x: np.ndarray, seed: int = 1) -> np.ndarray:
    return apply_channel(x, channel, PARAMS, rng=rng(seed)).astype(complex)


def test_linear_drift_is_a_quadratic_phase() -> None:
    t = np.arange(200_000) / 125e3
    y = through(ChannelParams(cfo_hz=100.0, drift=CarrierDrift(linear_hz_per_s=300.0)), np.ones(200_000))
    np.testing.assert_allclose(y, np.exp(2j * np.pi * (100 * t + 150 * t**2)), atol=2e-6)


def test_random_walk_of_the_frequency_gathers_the_variance_asked_for() -> None:
    """Over 1 s the frequency moves by N(0, σ²); rows × chi-square, false alarm 1e-6."""
    rows, rate = 400, 1000.0
    x = np.ones((rows, 1001), np.complex64)
    slow = LoRaParams(sf=7, bandwidth_hz=rate)
    channel = ChannelParams(drift=CarrierDrift(random_walk_hz_per_sqrt_s=5.0))
    y = apply_channel(x, channel, slow, rng=rng()).astype(complex)
    moved = np.angle(y[:, 1000] * np.conj(y[:, 999])) * rate / (2 * np.pi)
    low, high = stats.chi2.ppf([0.5e-6, 1 - 0.5e-6], rows)
    assert low < np.sum(moved**2) / 25.0 < high
    assert np.all(np.abs(np.abs(y) - 1) < 1e-5) and np.all(y[:, 0] == 1)


@pytest.mark.parametrize("max_elevation_deg", [90.0, 40.0])
def test_leo_doppler_is_the_derivative_of_the_range(max_elevation_deg: float) -> None:
    leo = LeoPass(altitude_m=550e3, carrier_hz=868e6, max_elevation_deg=max_elevation_deg)
    # independent geometry: positions in space, an inclined circle around a station at (0, 0, R)
    radius = EARTH_RADIUS_M + 550e3
    omega = math.sqrt(EARTH_GM / radius**3)
    elevation = math.radians(max_elevation_deg)
    central = math.pi / 2 - elevation - math.asin(EARTH_RADIUS_M / radius * math.cos(elevation))

    def distance(t: np.ndarray) -> np.ndarray:
        x = radius * np.sin(omega * t)
        y = radius * np.cos(omega * t) * math.sin(central)
        z = radius * np.cos(omega * t) * math.cos(central)
        return np.sqrt(x**2 + y**2 + (z - EARTH_RADIUS_M) ** 2)

    t = np.linspace(-300.0, 300.0, 61)
    numeric = -868e6 / LIGHT_M_S * (distance(t + 0.01) - distance(t - 0.01)) / 0.02
    np.testing.assert_allclose(leo_doppler_hz(leo, t), numeric, rtol=1e-5, atol=0.05)
    assert leo_doppler_hz(leo, -200.0) > 0 > leo_doppler_hz(leo, 200.0)


def test_leo_phase_is_the_integral_of_the_doppler() -> None:
    leo = LeoPass(altitude_m=550e3, carrier_hz=868e6, start_s=-3.0)
    y = through(ChannelParams(drift=CarrierDrift(leo_pass=leo)), np.ones(400_000))
    frequency = np.angle(y[1:] * np.conj(y[:-1])) * 125e3 / (2 * np.pi)
    at = np.array([0, 100_000, 399_998])
    smooth = np.array([frequency[max(0, k - 500) : k + 500].mean() for k in at])
    expected = leo_doppler_hz(leo, -3.0 + (at + np.array([250, 0.5, -249.5])) / 125e3)
    np.testing.assert_allclose(smooth, expected, atol=0.5)


def test_wiener_phase_noise_has_the_exponential_coherence() -> None:
    """E exp j(φ(t+τ) - φ(t)) = exp(-π Δν |τ|); rows independent, false alarm 1e-6."""
    rows, rate, width = 4000, 10e3, 50.0
    y = phase_noise(np.ones((rows, 101), np.complex64), PhaseNoise(linewidth_hz=width), rate, rng=rng()).astype(complex)
    for lag in (10, 50, 100):
        coherence = y[:, lag] * np.conj(y[:, 0])
        expected = math.exp(-math.pi * width * lag / rate)
        assert abs(coherence.real.mean() - expected) < Z * coherence.real.std() / math.sqrt(rows)
        assert abs(coherence.imag.mean()) < Z * coherence.imag.std() / math.sqrt(rows)


def test_masked_phase_noise_has_the_spectrum_of_the_mask() -> None:
    """Welch estimate of the carrier's sidebands against L(f), within 0.5 dB where 300 averages stand behind it."""
    rate, mask = 1e6, ((1e3, -60.0), (1e4, -80.0), (1e5, -100.0))
    y = phase_noise(np.ones((1, 1 << 20), np.complex64), PhaseNoise(mask=mask), rate, rng=rng())[0]
    frequency, density = signal.welch(y.imag, rate, nperseg=4096, return_onesided=False)
    for offset, level in (
        (5e3, -60 - 20 * math.log10(5)),
        (1e4, -80.0),
        (3e4, -80 - 20 * math.log10(3)),
        (3e5, -100.0),
    ):
        near = np.abs(np.abs(frequency) - offset) < 0.1 * offset
        expected_db = level
        assert 10 * math.log10(density[near].mean()) == pytest.approx(expected_db, abs=0.6)


@pytest.mark.parametrize(("symbol", "angle"), [(32, 1.0), (64, math.pi), (100, 2.0), (0, 3.0)])
@pytest.mark.parametrize("oversampling", [1, 2])
def test_fold_phase_step_lowers_the_peak_as_predicted(symbol: int, angle: float, oversampling: int) -> None:
    params = LoRaParams(sf=7, oversampling=oversampling)
    y = fold_phase_step(modulate([symbol], params), [symbol], params, angle)
    peak = np.abs(correlate(y[None, :], params))[0, symbol]
    assert peak == pytest.approx(abs(128 - symbol + symbol * np.exp(1j * angle)) / 128, abs=1e-5)


@pytest.mark.parametrize(("gain_db", "phase_deg"), [(0.5, 0.0), (0.0, 3.0), (-1.0, -5.0)])
def test_iq_imbalance_makes_the_image_predicted(gain_db: float, phase_deg: float) -> None:
    tone = np.exp(2j * np.pi * 10 * np.arange(128) / 128)
    for channel in (
        ChannelParams(transmitter=Transmitter(iq_gain_db=gain_db, iq_phase_deg=phase_deg)),
        ChannelParams(front_end=ReceiverFrontEnd(iq_gain_db=gain_db, iq_phase_deg=phase_deg)),
    ):
        spectrum = np.fft.fft(through(channel, tone)) / 128
        assert abs(spectrum[10] / spectrum[-10]) ** 2 == pytest.approx(image_rejection(gain_db, phase_deg), rel=1e-3)
    gain, angle = 10 ** (gain_db / 20), math.radians(phase_deg)
    cosine = 2 * gain * math.cos(angle)
    textbook = (1 + gain**2 + cosine) / (1 + gain**2 - cosine)
    assert image_rejection(gain_db, phase_deg) == pytest.approx(textbook, rel=1e-9)
    assert image_rejection(0.0, 0.0) == math.inf


def test_dc_offset_adds_a_constant() -> None:
    y = through(ChannelParams(front_end=ReceiverFrontEnd(dc_offset=0.1 - 0.2j)), np.zeros(10))
    np.testing.assert_allclose(y, 0.1 - 0.2j, atol=1e-7)


def test_rapp_amplifier_on_its_curve() -> None:
    amplitudes = np.array([1e-3, 0.5, 1.0, 2.0, 1e3]) * np.exp(1j)
    for p in (0.5, 2.0, 5.0):
        out = rapp_amplifier(amplitudes.astype(np.complex64), 6.0, p)
        saturation = 10 ** (6.0 / 20)
        expected = np.abs(amplitudes) / (1 + (np.abs(amplitudes) / saturation) ** (2 * p)) ** (1 / (2 * p))
        np.testing.assert_allclose(np.abs(out), expected, rtol=2e-5)
        np.testing.assert_allclose(np.angle(out), 1.0, atol=1e-5)  # no AM/PM
    chirp = modulate([5, 99], PARAMS)  # constant envelope: compression is a gain
    y = through(ChannelParams(transmitter=Transmitter(pa_backoff_db=0.0)), chirp)
    np.testing.assert_allclose(y, chirp * 2**-0.25, atol=1e-5)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_a_full_scale_sine_keeps_6_02_b_plus_1_76_db(bits: int) -> None:
    """The rule is the limit of many bits: the error is uniform but near the crests, a share of order 2**(-b/2)."""
    tone = np.exp(2j * np.pi * 0.1234567 * np.arange(200_000))
    y = quantise(tone[None, :].astype(np.complex64), bits, backoff_db=10 * math.log10(2))[0]
    ratio_db = -10 * math.log10(np.mean(np.abs(y - tone) ** 2))
    assert ratio_db == pytest.approx(20 * math.log10(2) * bits + 10 * math.log10(1.5), abs=4 * 2 ** (-bits / 2))


def test_clipping_of_gaussian_noise_matches_the_integral() -> None:
    """Clipped power beyond c: 2 ∫_c^∞ (x - c)² φ(x) dx for each component; fine steps, so quantisation is nothing."""
    noise = rng().standard_normal(400_000).view(np.complex128)[None, :].astype(np.complex64)
    y = quantise(noise, 16, backoff_db=0.0)[0]
    error = np.mean(np.abs(y - noise[0]) ** 2) / 2
    expected = 2 * ((1 + 1) * stats.norm.sf(1.0) - 1.0 * stats.norm.pdf(1.0))
    assert error == pytest.approx(expected, rel=0.03)
    silent = np.zeros((2, 5), np.complex64)
    np.testing.assert_array_equal(quantise(silent, 8), silent)


def test_the_receiver_sees_noise_through_its_faults_and_the_interferers_too() -> None:
    channel = ChannelParams(snr_db=0.0, front_end=ReceiverFrontEnd(adc_bits=2, adc_backoff_db=3.0))
    y = through(channel, np.zeros((2, 1000)))
    for row in y:
        assert len(np.unique(row.real)) <= 4  # each row has its own gain


def test_impulses() -> None:
    y = np.zeros((1, 1_000_000), np.complex64)
    add_noise_source(y, ImpulsiveNoise(power_db=3.0, probability=0.02), 1.0, rng=rng())
    hits = int(np.count_nonzero(y))
    assert stats.binom.ppf(0.5e-6, 10**6, 0.02) <= hits <= stats.binom.isf(0.5e-6, 10**6, 0.02)
    power = np.abs(y[y != 0].astype(complex)) ** 2
    assert abs(power.mean() - 10**0.3 / 0.02) < Z * power.mean() / math.sqrt(hits)
    everything = np.abs(y[0].astype(complex)) ** 2
    assert np.mean(everything**2) / np.mean(everything) ** 2 == pytest.approx(2 / 0.02, rel=0.1)


def test_narrowband_noise_stays_in_its_band_with_its_power() -> None:
    rate, n = 125e3, 1 << 16
    y = np.zeros((8, n), np.complex64)
    add_noise_source(y, NarrowbandNoise(power_db=-6.0, center_hz=20e3, width_hz=5e3), rate, rng=rng())
    degrees = 8 * n * 5e3 / rate  # independent complex samples
    assert abs(np.mean(np.abs(y.astype(complex)) ** 2) / 10**-0.6 - 1) < Z / math.sqrt(degrees)
    frequency, density = signal.welch(y, rate, nperseg=4096, return_onesided=False)
    inside = np.abs(frequency - 20e3) < 2.4e3
    assert density[:, ~(np.abs(frequency - 20e3) < 2.8e3)].max() < 1e-4 * density[:, inside].mean()
    tone = np.zeros((2, 1000), np.complex64)
    add_noise_source(tone, NarrowbandNoise(power_db=0.0, center_hz=1e3), rate, rng=rng())
    np.testing.assert_allclose(np.abs(tone), 1.0, atol=1e-5)
    assert tone[0, 0] != tone[1, 0]
    silent = np.zeros((1, 10), np.complex64)
    add_noise_source(silent, NarrowbandNoise(power_db=-math.inf), rate, rng=rng())
    assert not silent.any()


def test_everything_at_once_is_reproducible() -> None:
    channel = ChannelParams(
        snr_db=5.0, cfo_hz=300.0, sto_samples=0.4, sfo_ppm=5.0, fading="rician", k_factor_db=6.0, doppler_hz=3.0,
        drift=CarrierDrift(linear_hz_per_s=10.0, random_walk_hz_per_sqrt_s=1.0),
        noise_sources=(ImpulsiveNoise(power_db=0.0), NarrowbandNoise(power_db=-3.0, width_hz=100.0)),
        transmitter=Transmitter(iq_gain_db=0.1, phase_noise=PhaseNoise(linewidth_hz=1.0), pa_backoff_db=3.0),
        front_end=ReceiverFrontEnd(phase_noise=PhaseNoise(mask=((1e3, -80.0),)), adc_bits=8),
    )  # fmt: skip
    x = np.ones((2, 3, 500), np.complex64)
    first, second = through(channel, x, 3), through(channel, x, 3)
    assert first.shape == x.shape and np.array_equal(first, second) and np.all(np.isfinite(first))
    assert hash(channel) == hash(channel) and channel == channel


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("adc_bits", lambda: ReceiverFrontEnd(adc_bits=0)),
        ("adc_bits", lambda: quantise(np.ones((1, 1), np.complex64), 25)),
        ("adc_bits", lambda: ReceiverFrontEnd(adc_bits=8.0)),  # type: ignore[arg-type]
        ("adc_backoff_db", lambda: ReceiverFrontEnd(adc_backoff_db=math.nan)),
        ("iq_gain_db", lambda: Transmitter(iq_gain_db=math.inf)),
        ("dc_offset", lambda: ReceiverFrontEnd(dc_offset=complex(math.nan))),
        ("pa_backoff_db", lambda: Transmitter(pa_backoff_db=-math.inf)),
        ("pa_smoothness", lambda: Transmitter(pa_smoothness=0.0)),
        ("linewidth_hz", lambda: PhaseNoise(linewidth_hz=-1.0)),
        ("mask", lambda: PhaseNoise(mask=((1e4, -80.0), (1e3, -60.0)))),
        ("phase_noise", lambda: Transmitter(phase_noise=3)),  # type: ignore[arg-type]
        ("altitude_m", lambda: LeoPass(altitude_m=-1.0, carrier_hz=868e6)),
        ("leo_pass", lambda: CarrierDrift(leo_pass=3)),  # type: ignore[arg-type]
        ("random_walk_hz_per_sqrt_s", lambda: CarrierDrift(random_walk_hz_per_sqrt_s=-1.0)),
        ("power_db", lambda: ImpulsiveNoise(power_db=math.inf)),
        ("probability", lambda: ImpulsiveNoise(power_db=0.0, probability=1.5)),
        ("width_hz", lambda: NarrowbandNoise(power_db=0.0, width_hz=-1.0)),
        ("noise_sources", lambda: ChannelParams(noise_sources=[3])),  # type: ignore[list-item,arg-type]
        ("front_end", lambda: ChannelParams(front_end=8)),  # type: ignore[arg-type]
        ("iq", lambda: fold_phase_step(np.ones(100), [3], PARAMS, 1.0)),
    ],
)
def test_bad_parameters_are_named(name: str, make: object) -> None:
    with pytest.raises(ValueError, match=f"'{name}'"):
        make()  # type: ignore[operator]


def test_fold_phase_step_takes_narrow_symbol_types() -> None:
    params = LoRaParams(sf=7, oversampling=8)
    ones = np.ones(1024, np.complex64)
    narrow = fold_phase_step(ones, np.array([100], np.uint8), params, np.pi)
    assert np.array_equal(narrow, fold_phase_step(ones, [100], params, np.pi))
