"""The contract of `apply_channel`: powers, shapes, order of draws, what is silent and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lora_phy.channel import ChannelParams, Interferer, apply_channel
from lora_phy.channel.awgn import add_noise, noise_power
from lora_phy.params import LoRaParams

FALSE_ALARM = 1e-6


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def assert_mean_power(samples: np.ndarray, power: float) -> None:
    """2 Σ|w|²/power is chi-square with two degrees of freedom a sample; two-sided, false alarm 1e-6."""
    statistic = 2 * float(np.sum(np.abs(samples.astype(np.complex128)) ** 2)) / power
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], 2 * samples.size)
    assert low < statistic < high


@pytest.mark.parametrize("oversampling", [1, 2, 8])
@pytest.mark.parametrize("snr_db", [-20.0, 0.0, 30.0])
def test_noise_power_is_oversampling_over_snr_whatever_the_signal(oversampling: int, snr_db: float) -> None:
    params = LoRaParams(sf=7, oversampling=oversampling)
    for amplitude in (0.0, 1.0, 5.0):  # never scaled to the measured power
        x = np.full((3, 40_000), amplitude, np.complex64)
        noise = apply_channel(x, ChannelParams(snr_db=snr_db), params, rng=rng()) - np.float32(amplitude)
        assert_mean_power(noise, oversampling * 10 ** (-snr_db / 10))


def test_noise_is_white_circular_and_gaussian() -> None:
    noise = apply_channel(np.zeros(400_000), ChannelParams(snr_db=0), LoRaParams(sf=7), rng=rng()).astype(complex)
    bound = stats.norm.isf(FALSE_ALARM / 2) / math.sqrt(noise.size)
    for lag in (1, 2, 128):
        assert abs(np.mean(noise[lag:] * np.conj(noise[:-lag])).real) < bound * 1.01
    assert abs(np.mean(noise**2).real) < bound * math.sqrt(2) * 1.01  # E w² = 0: circular
    assert stats.kstest(noise.real * math.sqrt(2), "norm").pvalue > FALSE_ALARM


def test_the_default_channel_returns_the_iq_and_never_the_same_array() -> None:
    x = (rng().standard_normal((2, 3, 50)) + 1j).astype(np.complex64)
    y = apply_channel(x, ChannelParams(), LoRaParams(sf=7), rng=rng())
    assert y.dtype == np.complex64 and np.array_equal(x, y) and not np.shares_memory(x, y)
    apply_channel(x, ChannelParams(snr_db=3, cfo_hz=9, sto_samples=1, fading="rayleigh"), LoRaParams(sf=7), rng=rng())
    assert np.array_equal(x, y)  # the input is never written to


@pytest.mark.parametrize("shape", [(0,), (5,), (1, 7), (2, 3, 11), (0, 4), (4, 0)])
def test_any_leading_axes_and_any_length(shape: tuple[int, ...]) -> None:
    everything = ChannelParams(
        snr_db=3, cfo_hz=100, sto_samples=1.5, sfo_ppm=10, fading="rician", k_factor_db=3, doppler_hz=5,
        interferers=(Interferer(np.ones(3)),),
    )  # fmt: skip
    y = apply_channel(np.ones(shape), everything, LoRaParams(sf=7), rng=rng())
    assert y.shape == shape and y.dtype == np.complex64


def test_same_seed_same_samples_and_rows_differ() -> None:
    channel = ChannelParams(snr_db=3, fading="rayleigh", cfo_hz=50.0, sto_samples=0.25)
    x = np.ones((2, 300), np.complex64)
    first, second = (apply_channel(x, channel, LoRaParams(sf=7), rng=rng(7)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.allclose(first[0], first[1])
    assert not np.array_equal(first, apply_channel(x, channel, LoRaParams(sf=7), rng=rng(8)))


def test_noise_does_not_depend_on_blocks_nor_on_how_a_stream_is_cut() -> None:
    whole = add_noise(np.zeros(10_001, np.complex64), 1.0, rng=rng())
    for block in (1, 7, 4096, 10_000, 1 << 20):
        assert np.array_equal(whole, add_noise(np.zeros(10_001, np.complex64), 1.0, rng=rng(), block=block))
    generator, params = rng(), LoRaParams(sf=7)
    parts = [apply_channel(np.zeros(n), ChannelParams(snr_db=0), params, rng=generator) for n in (1, 3000, 7000)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_the_offsets_come_before_the_noise() -> None:
    """With the same seed the noise is the same: the difference of two channels is the difference of the signals."""
    x = np.ones(2000, np.complex64)
    plain = apply_channel(x, ChannelParams(snr_db=10), LoRaParams(sf=7), rng=rng())
    offset = apply_channel(x, ChannelParams(snr_db=10, cfo_hz=500.0), LoRaParams(sf=7), rng=rng())
    turned = np.exp(2j * np.pi * 500.0 * np.arange(2000) / 125e3)
    np.testing.assert_allclose(offset - plain, turned - 1, atol=2e-6)


def test_cfo_phase_starts_at_zero_and_stays_exact_over_a_long_stream() -> None:
    n = 3_000_000
    y = apply_channel(np.ones(n), ChannelParams(cfo_hz=-12_345.6), LoRaParams(sf=7), rng=rng())
    at = np.array([0, 1, 4095, 4096, 1_000_003, n - 1])
    np.testing.assert_allclose(y[at], np.exp(-2j * np.pi * 12_345.6 * at / 125e3), atol=1e-6)


def test_interferers_add_up_where_they_are_heard() -> None:
    tone = np.exp(2j * np.pi * 0.01 * np.arange(50))
    others = (
        Interferer(tone, start_sample=-20, power_db=6.0),
        Interferer(tone, start_sample=80, power_db=-3.0, cfo_hz=1000.0),
        Interferer(tone, start_sample=200),  # never heard
        Interferer(tone, start_sample=10, power_db=-math.inf),  # silent
        Interferer(np.ones(1000), start_sample=-500, power_db=-40.0),  # longer than the stream
    )
    y = apply_channel(np.zeros((2, 100)), ChannelParams(interferers=others), LoRaParams(sf=7), rng=rng())
    expected = np.full(100, 0.01, complex)
    expected[:30] += 10 ** (6 / 20) * tone[20:]
    expected[80:] += 10 ** (-3 / 20) * tone[:20] * np.exp(2j * np.pi * 1000 / 125e3 * np.arange(20))
    np.testing.assert_allclose(y, np.stack([expected, expected]), atol=3e-6)


def test_the_wanted_signal_alone_fades_and_is_offset() -> None:
    other = (Interferer(np.ones(64)),)
    channel = ChannelParams(fading="rayleigh", cfo_hz=100.0, sto_samples=3.3, interferers=other)
    y = apply_channel(np.zeros(64), channel, LoRaParams(sf=7), rng=rng())
    np.testing.assert_array_equal(y, np.ones(64, np.complex64))


def test_equal_channels_hash_alike() -> None:
    one, two = (ChannelParams(snr_db=1, interferers=[Interferer(np.ones(3), 2)]) for _ in range(2))
    assert one == two and hash(one) == hash(two) and one.interferers[0] == two.interferers[0]
    assert one != ChannelParams(snr_db=1, interferers=[Interferer(np.ones(3), 3)])
    with pytest.raises(ValueError):
        one.interferers[0].iq[0] = 5  # read-only


def test_noise_power_limits() -> None:
    assert noise_power(math.inf) == 0.0 and noise_power(0.0, 4) == 4.0
    quiet = apply_channel(np.zeros(100), ChannelParams(snr_db=-300.0), LoRaParams(sf=12), rng=rng())
    assert np.all(np.isfinite(np.abs(quiet) ** 2))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("snr_db", {"snr_db": math.nan}),
        ("snr_db", {"snr_db": -math.inf}),
        ("snr_db", {"snr_db": "5"}),
        ("cfo_hz", {"cfo_hz": math.inf}),
        ("sto_samples", {"sto_samples": math.nan}),
        ("sfo_ppm", {"sfo_ppm": 2e5}),
        ("fading", {"fading": "rice"}),
        ("k_factor_db", {"fading": "rician"}),
        ("k_factor_db", {"fading": "rician", "k_factor_db": math.nan}),
        ("k_factor_db", {"fading": "rayleigh", "k_factor_db": 3.0}),
        ("nakagami_m", {"fading": "nakagami"}),
        ("nakagami_m", {"fading": "nakagami", "nakagami_m": 0.4}),
        ("doppler_hz", {"fading": "rayleigh", "doppler_hz": -1.0}),
        ("doppler_hz", {"doppler_hz": 5.0}),
        ("interferers", {"interferers": 3}),
        ("interferers", {"interferers": [np.ones(3)]}),
        ("interferers", {"interferers": Interferer(np.ones(3))}),
    ],
)
def test_bad_channel_parameters_are_named(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"'{name}'"):
        ChannelParams(**arguments)  # type: ignore[arg-type]


def test_bad_interferers_are_named() -> None:
    for name, arguments in (
        ("iq", {"iq": np.ones((2, 2))}),
        ("iq", {"iq": "1+2j"}),
        ("start_sample", {"iq": np.ones(2), "start_sample": 0.5}),
        ("power_db", {"iq": np.ones(2), "power_db": math.inf}),
        ("power_db", {"iq": np.ones(2), "power_db": math.nan}),
        ("cfo_hz", {"iq": np.ones(2), "cfo_hz": math.inf}),
    ):
        with pytest.raises(ValueError, match=f"'{name}'"):
            Interferer(**arguments)  # type: ignore[arg-type]


def test_bad_calls_of_apply_channel() -> None:
    params = LoRaParams(sf=7)
    with pytest.raises(ValueError, match="'iq'"):
        apply_channel(1.0, ChannelParams(), params, rng=rng())
    with pytest.raises(ValueError, match="'iq'"):
        apply_channel(["a"], ChannelParams(), params, rng=rng())
    with pytest.raises(TypeError, match="'rng'"):
        apply_channel(np.ones(3), ChannelParams(), params, rng=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'doppler_hz'"):
        fast = ChannelParams(fading="rayleigh", doppler_hz=62_501.0)
        apply_channel(np.ones(3), fast, params, rng=rng())


def test_damaged_samples_never_raise() -> None:
    x = np.array([1, np.nan, np.inf, 0], np.complex64)
    with np.errstate(invalid="ignore"):
        y = apply_channel(x, ChannelParams(snr_db=3, fading="rayleigh", sto_samples=1), LoRaParams(sf=7), rng=rng())
    assert y.shape == (4,)
