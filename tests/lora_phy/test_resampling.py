"""Band-limited interpolation against tones and band-limited noise, whose values between samples are known."""

from __future__ import annotations

import numpy as np
import pytest

from lora_phy.channel.offsets import time_and_clock_offset
from lora_phy.resampling import change_rate, fractional_delay, resample

TONES = (0.0, 0.1, -0.25, 0.4, -0.45)  # cycles a sample


def tone(frequency: float, t: np.ndarray) -> np.ndarray:
    return np.exp(2j * np.pi * frequency * t)


@pytest.mark.parametrize("delay", [0, 1, -1, 5, -7, 40, -40, 1000, -1000])
def test_whole_delays_are_exact_shifts_with_zeros(delay: int) -> None:
    x = np.arange(1, 41).astype(np.complex64)
    expected = np.zeros(40, np.complex64)
    for n in range(40):
        if 0 <= n - delay < 40:
            expected[n] = x[n - delay]
    np.testing.assert_array_equal(fractional_delay(x, float(delay)), expected)


@pytest.mark.parametrize("frequency", TONES)
@pytest.mark.parametrize("delay", [0.5, 0.25, -3.3, 17.75])
def test_fractional_delay_of_tones(frequency: float, delay: float) -> None:
    n = np.arange(1500)
    inside = slice(320, -320)
    np.testing.assert_allclose(
        fractional_delay(tone(frequency, n), delay)[inside], tone(frequency, n - delay)[inside], atol=1e-4
    )


def test_fractional_delay_is_linear_convolution_not_circular() -> None:
    x = np.zeros(2000, np.complex64)
    x[-1] = 1.0
    y = fractional_delay(x, 0.5)
    assert np.max(np.abs(y[:1000])) < 1e-7 and abs(y[-1]) > 0.6  # nothing at the head, half a sample lost at the tail


def test_fractional_delay_and_back() -> None:
    rng = np.random.default_rng(3)
    spectrum = np.where(np.abs(np.fft.fftfreq(4096)) < 0.45, np.exp(2j * np.pi * rng.random(4096)), 0)
    x = np.fft.ifft(spectrum) * 64
    back = fractional_delay(fractional_delay(x, 0.37), -0.37)
    np.testing.assert_allclose(back[600:-600], x[600:-600], atol=2e-4)


def test_rows_are_delayed_alike_however_many_there_are() -> None:
    x = np.random.default_rng(0).standard_normal((3, 2, 700)).astype(np.complex64)
    together = fractional_delay(x, 0.4)
    for i in range(3):
        for j in range(2):
            np.testing.assert_allclose(together[i, j], fractional_delay(x[i, j], 0.4), atol=1e-6)


@pytest.mark.parametrize("sfo_ppm", [20.0, -50.0, 3000.0])
@pytest.mark.parametrize("frequency", TONES)
def test_clock_offset_of_tones(frequency: float, sfo_ppm: float) -> None:
    n = np.arange(6000)
    y = time_and_clock_offset(tone(frequency, n), sto_samples=2.6, sfo_ppm=sfo_ppm)
    expected = tone(frequency, (n - 2.6) * (1 + 1e-6 * sfo_ppm))
    np.testing.assert_allclose(y[200:-200], expected[200:-200], atol=2e-4)


def test_a_fast_transmitter_takes_fewer_samples() -> None:
    n = np.arange(20_000)
    bump = np.exp(-(((n - 15_000) / 40.0) ** 2))
    centre = lambda y: float(np.sum(n * np.abs(y)) / np.sum(np.abs(y)))  # noqa: E731
    assert centre(time_and_clock_offset(bump, 0.0, 100.0)) == pytest.approx(15_000 / (1 + 1e-4), abs=1e-3)
    assert centre(time_and_clock_offset(bump, 10.0, -100.0)) == pytest.approx(15_000 / (1 - 1e-4) + 10.0, abs=1e-3)
    gone = time_and_clock_offset(np.ones(20_000), 0.0, 1000.0)  # the frame ends 20 samples early, then zeros
    assert abs(gone[19_970] - 1) < 0.1 and np.max(np.abs(gone[19_985:])) < 0.1


@pytest.mark.parametrize(("rate_in", "rate_out"), [(2.4e6, 1e6), (1e6, 250e3), (250e3, 1e6), (125e3, 203.125e3)])
def test_change_of_rate_keeps_what_fits_and_removes_what_does_not(rate_in: float, rate_out: float) -> None:
    n = np.arange(6000)
    low = min(rate_in, rate_out)
    y = change_rate(tone(0.3 * low / rate_in, n), rate_in, rate_out)
    m = np.arange(y.size)
    assert y.size == int(np.ceil(6000 * rate_out / rate_in))
    guard = slice(y.size // 4, -y.size // 4)
    np.testing.assert_allclose(y[guard], tone(0.3 * low / rate_out, m)[guard], atol=3e-4)
    if rate_out < rate_in:
        alias = change_rate(tone(0.6 * rate_out / rate_in, n), rate_in, rate_out)
        assert np.max(np.abs(alias[guard])) < 1e-3


def test_an_equal_rate_is_a_copy() -> None:
    x = np.arange(5).astype(np.complex64)
    y = change_rate(x, 125e3, 125e3)
    assert np.array_equal(x, y) and not np.shares_memory(x, y)


def test_bad_parameters_are_named() -> None:
    x = np.ones(4)
    with pytest.raises(ValueError, match="'delay_samples'"):
        fractional_delay(x, np.nan)
    for step in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="'step'"):
            resample(x, step)
    with pytest.raises(ValueError, match="'num_out'"):
        resample(x, 1.0, num_out=-1)
    with pytest.raises(ValueError, match="'rate_out_hz'"):
        change_rate(x, 1.0, 0.0)
    assert fractional_delay(np.zeros((2, 0)), 0.5).shape == (2, 0)
    assert resample(np.zeros((2, 0)), 1.5).shape == (2, 0)
