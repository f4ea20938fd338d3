"""Fading against its closed forms: distributions, mean power, J0, power-delay profiles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from lora_phy.channel import ChannelParams, Multipath, apply_channel
from lora_phy.channel.compose import fading_gain
from lora_phy.channel.fading import clarke_gain, nakagami_gain, rayleigh_gain, rician_gain
from lora_phy.channel.multipath import tapped_delay_line, taps
from lora_phy.params import LoRaParams

FALSE_ALARM = 1e-6
Z = stats.norm.isf(FALSE_ALARM / 2)
PARAMS = LoRaParams(sf=7)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def ks(values: np.ndarray, distribution: object) -> float:
    return float(stats.kstest(values, distribution.cdf).pvalue)  # type: ignore[attr-defined]


def test_power_distributions() -> None:
    """Kolmogorov–Smirnov at 1e-6: exponential, noncentral chi-square with two degrees of freedom, gamma."""
    size = 50_000
    assert ks(np.abs(rayleigh_gain(size, rng=rng())) ** 2, stats.expon()) > FALSE_ALARM
    for k in (0.5, 4.0):
        power = np.abs(rician_gain(k, size, rng=rng())) ** 2
        assert ks(power, stats.ncx2(2, 2 * k, scale=1 / (2 * (k + 1)))) > FALSE_ALARM
    for m in (0.5, 1.0, 3.0):
        gain = nakagami_gain(m, size, rng=rng())
        assert ks(np.abs(gain) ** 2, stats.gamma(m, scale=1 / m)) > FALSE_ALARM
        assert ks(np.angle(gain), stats.uniform(-math.pi, 2 * math.pi)) > FALSE_ALARM


def test_limits_of_the_k_factor() -> None:
    rayleigh = fading_gain(ChannelParams(fading="rayleigh"), 9, 1, 1.0, rng=rng())
    no_steady = fading_gain(ChannelParams(fading="rician", k_factor_db=-math.inf), 9, 1, 1.0, rng=rng())
    np.testing.assert_allclose(no_steady, rayleigh)
    steady = fading_gain(ChannelParams(fading="rician", k_factor_db=math.inf), 9, 1, 1.0, rng=rng())
    np.testing.assert_array_equal(steady, 1.0)
    weak = fading_gain(ChannelParams(fading="rician", k_factor_db=-3.0), 200_000, 1, 1.0, rng=rng())
    k = 10**-0.3  # negative decibels: the mean is the steady path, weaker than the rest
    assert abs(np.mean(weak) - math.sqrt(k / (k + 1))) < Z / math.sqrt(200_000 * (k + 1))


def test_one_fade_a_row_without_doppler() -> None:
    y = apply_channel(np.ones((4, 50)), ChannelParams(fading="rayleigh"), PARAMS, rng=rng())
    assert np.all(y == y[:, :1]) and len(set(y[:, 0])) == 4
    frame = apply_channel(np.ones(50), ChannelParams(fading="rayleigh"), PARAMS, rng=rng())
    assert np.all(frame == y[0])


@pytest.mark.parametrize("doppler_hz", [10.0, 500.0])
def test_autocorrelation_is_j0(doppler_hz: float) -> None:
    """Each row gives an independent estimate of E s(t) conj s(t+τ) with |.| of variance at most 1; false alarm 1e-6."""
    rows, rate = 8000, 20e3
    lags = [1, 5, 10, 20, 39]
    h = clarke_gain(doppler_hz, rows, 40, rate, rng=rng()).astype(complex)
    for lag in lags:
        products = h[:, 0] * np.conj(h[:, lag])
        expected = special.j0(2 * math.pi * doppler_hz * lag / rate)
        assert abs(products.mean().real - expected) < Z * products.real.std() / math.sqrt(rows)
        assert abs(products.mean().imag) < Z * products.imag.std() / math.sqrt(rows)
    assert abs(np.mean(np.abs(h[:, 7]) ** 2) - 1) < Z / math.sqrt(rows)
    kurtosis = np.mean(np.abs(h[:, 0]) ** 4)
    assert kurtosis == pytest.approx(2 - 1 / 64, abs=Z * 4.5 / math.sqrt(rows))  # var |s|⁴ = 24 - 4


def test_the_time_average_of_a_long_process_has_power_1_and_j0() -> None:
    h = clarke_gain(200.0, 1, 2_000_000, 20e3, rng=rng())[0].astype(complex)
    assert np.mean(np.abs(h) ** 2) == pytest.approx(1.0, abs=0.03)
    for lag in (10, 25, 60):
        correlation = np.mean(h[:-lag] * np.conj(h[lag:]))
        assert abs(correlation - special.j0(2 * math.pi * 200.0 * lag / 20e3)) < 0.15  # one draw of 64 angles


def test_clarke_draws_do_not_depend_on_the_length() -> None:
    short = clarke_gain(50.0, 1, 100, 125e3, rng=rng())
    long = clarke_gain(50.0, 1, 5000, 125e3, rng=rng())
    np.testing.assert_allclose(short[0], long[0, :100], atol=2e-6)


def test_doppler_spreads_a_rician_steady_path_least() -> None:
    channel = ChannelParams(fading="rician", k_factor_db=20.0, doppler_hz=100.0)
    y = apply_channel(np.ones((50, 2000)), channel, PARAMS, rng=rng())
    assert np.mean(np.abs(y) ** 2) == pytest.approx(1.0, abs=0.02)
    assert np.mean(y).real == pytest.approx(math.sqrt(100 / 101), abs=0.02)


@pytest.mark.parametrize("profile", ["tdl-a", "tdl-b", "tdl-c", "tdl-d", "tdl-e", "exponential"])
def test_profiles_have_power_1_and_the_delay_spread_asked_for(profile: str) -> None:
    delays, powers, steady = taps(Multipath(profile=profile, delay_spread_s=2e-6))  # type: ignore[arg-type]
    assert powers.sum() == pytest.approx(1.0) and np.all(delays >= 0) and steady == (profile in ("tdl-d", "tdl-e"))
    if steady:  # TR 38.901 scales the profile with its steady path to a spread of 1
        assert 10 * math.log10(powers[0] / powers[1]) == pytest.approx(
            {"tdl-d": 13.3, "tdl-e": 22.0}[profile], abs=0.01
        )
    spread = math.sqrt(powers @ delays**2 - (powers @ delays) ** 2)
    assert spread == pytest.approx(2e-6, rel=0.02)  # the standard's tables are rounded


@pytest.mark.parametrize("doppler_hz", [0.0, 30.0])
def test_mean_power_through_a_tapped_delay_line_is_1(doppler_hz: float) -> None:
    profile = Multipath(profile="exponential", delay_spread_s=20e-6)
    channel = ChannelParams(multipath=profile, doppler_hz=doppler_hz)
    rows = 1500 if doppler_hz == 0 else 80
    tone = np.exp(2j * np.pi * 0.1 * np.arange(600))
    y = apply_channel(np.broadcast_to(tone, (rows, 600)), channel, PARAMS, rng=rng())
    power = np.abs(y[:, 300].astype(complex)) ** 2  # away from the ends; exponential, being a sum of Gaussian taps
    assert abs(power.mean() - 1) < Z / math.sqrt(rows) * 1.1


def test_frequency_correlation_of_the_exponential_profile() -> None:
    """E H(f) conj H(0) = Σ p exp(-2πj f τ), estimated with two tones over independent rows."""
    multipath = Multipath(profile="exponential", delay_spread_s=10e-6)
    delays, powers, _ = taps(multipath)
    n, rows, rate = np.arange(700), 3000, 125e3
    tones = [np.exp(2j * np.pi * f * n) for f in (0.0, 0.16)]
    at = [
        tapped_delay_line(np.tile(t.astype(np.complex64), (rows, 1)), multipath, 0.0, rate, rng=rng())[:, 350]
        for t in tones
    ]
    products = (at[1] / tones[1][350] * np.conj(at[0] / tones[0][350])).astype(complex)
    expected = powers @ np.exp(-2j * np.pi * 0.16 * rate * delays)
    bound = Z / math.sqrt(rows) * products.std()
    assert abs((products.mean() - expected).real) < bound and abs((products.mean() - expected).imag) < bound
    assert abs(expected) < 0.7  # the test would see flat fading, whose correlation is 1


def test_zero_delay_spread_is_flat_and_a_spread_beyond_the_symbol_is_allowed() -> None:
    flat = Multipath(profile="tdl-b", delay_spread_s=0.0)
    y = apply_channel(np.ones((2, 500)), ChannelParams(multipath=flat), PARAMS, rng=rng())
    np.testing.assert_allclose(y[:, 100:-100], np.broadcast_to(y[:, 250:251], (2, 300)), atol=1e-5)
    wide = ChannelParams(multipath=Multipath(profile="tdl-e", delay_spread_s=5e-3))  # five symbols of SF7
    for doppler_hz in (0.0, 5.0):
        channel = ChannelParams(multipath=wide.multipath, doppler_hz=doppler_hz)
        assert np.all(np.isfinite(apply_channel(np.ones(3000), channel, PARAMS, rng=rng())))


def test_bad_parameters_are_named() -> None:
    for name, arguments in (("profile", ("tdl-x", 1e-6)), ("delay_spread_s", ("tdl-a", -1.0))):
        with pytest.raises(ValueError, match=f"'{name}'"):
            Multipath(profile=arguments[0], delay_spread_s=arguments[1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'fading'"):
        ChannelParams(fading="rayleigh", multipath=Multipath(profile="tdl-a", delay_spread_s=1e-6))
    with pytest.raises(ValueError, match="'doppler_hz'"):
        ChannelParams(fading="nakagami", nakagami_m=2.0, doppler_hz=3.0)
    with pytest.raises(ValueError, match="'k_factor'"):
        rician_gain(-0.5, 3, rng=rng())
    with pytest.raises(ValueError, match="'m'"):
        nakagami_gain(0.3, 3, rng=rng())
    with pytest.raises(ValueError, match="'num_sinusoids'"):
        clarke_gain(1.0, 1, 1, 10.0, rng=rng(), num_sinusoids=0)
    slow_stream = ChannelParams(multipath=Multipath(profile="tdl-a", delay_spread_s=1e-6), doppler_hz=70e3)
    with pytest.raises(ValueError, match="'doppler_hz'"):
        apply_channel(np.ones(10), slow_stream, PARAMS, rng=rng())
