"""Twin: xoshiro128++ and Box-Muller in plain numpy. Statistical: moments, tails and distribution of the Gaussians."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lora_phy.kernels.lanes import aligned_empty
from lora_phy.kernels.randomness import STATE_WORDS, fill_gaussians, fill_uniform_bits, new_state

FALSE_ALARM = 1e-6


def _rotl(x, k):
    return (x << np.uint32(k)) | (x >> np.uint32(32 - k))


def _draws(state, count):
    """xoshiro128++ of eight lanes by the book."""
    s = [state[8 * i : 8 * i + 8].copy() for i in range(4)]
    out = np.empty((count, 8), np.uint32)
    for i in range(count):
        out[i] = _rotl(s[0] + s[3], 7) + s[0]
        t = s[1] << np.uint32(9)
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = _rotl(s[3], 11)
    return out


def test_draws_are_xoshiro128pp():
    # the first outputs of the published generator for the state 1, 2, 3, 4
    state = np.repeat(np.uint32([1, 2, 3, 4]), 8)
    out = np.empty(8 * 5, np.uint32)
    fill_uniform_bits(state, out)
    assert out.reshape(5, 8)[:, 0].tolist() == [641, 1573767, 3222811527, 3517856514, 836907274]
    state = new_state(3, 1)
    expected = _draws(state, 100)
    out = np.empty(800, np.uint32)
    fill_uniform_bits(state, out)
    np.testing.assert_array_equal(out.reshape(100, 8), expected)


def test_gaussians_are_box_muller():
    state = new_state(7)
    x, y, z = _draws(state, 3 * 500).reshape(500, 3, 8).transpose(1, 0, 2)
    power = 0.37
    low = (z << np.uint32(16)) | np.uint32(0x8000)
    expected = np.empty((500, 2, 2, 8))
    for i, (bits, angle) in enumerate(((x, z), (y, low))):
        signed = (bits | np.uint32(1)).view(np.int32).astype(np.float64)
        radius = np.sign(signed) * np.sqrt(-power * np.log(np.abs(signed) / 2.0**31))
        turn = angle.view(np.int32) / 2.0**31 * np.pi / 2
        expected[:, i, 0], expected[:, i, 1] = radius * np.cos(turn), radius * np.sin(turn)
    out = aligned_empty(500 * 32)
    fill_gaussians(state, power, out)
    np.testing.assert_allclose(out.reshape(500, 2, 2, 8), expected, rtol=1e-5, atol=3e-6)


def test_state_continues_and_streams_differ():
    whole, parts = aligned_empty(320), aligned_empty(320)
    fill_gaussians(new_state(5), 1.0, whole)
    state = new_state(5)
    fill_gaussians(state, 1.0, parts[:128])
    fill_gaussians(state, 1.0, parts[128:])
    np.testing.assert_array_equal(whole, parts)
    states = {new_state(s, *k).tobytes() for s in range(5) for k in ((), (0,), (1,), (0, 1), (1, 0))}
    assert len(states) == 25
    assert new_state(0).size == STATE_WORDS
    # lanes do not share their streams either
    assert len({tuple(column) for column in new_state(1).reshape(4, 8).T}) == 8


@pytest.fixture(scope="module")
def gaussians():
    out = aligned_empty(1 << 22)
    fill_gaussians(new_state(11), 2.0, out)
    return out


def test_moments(gaussians):
    n = gaussians.size
    x = gaussians.astype(np.float64)
    z = stats.norm.isf(FALSE_ALARM / 2 / 8)  # eight looks
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs((x**power).mean() - mean) < z * np.sqrt(variance / n), power
    re, im = x.reshape(-1, 2, 8)[:, 0].ravel(), x.reshape(-1, 2, 8)[:, 1].ravel()
    assert abs((re * im).mean()) < z / np.sqrt(re.size)
    assert abs((re[:-8] * re[8:]).mean()) < z / np.sqrt(re.size)
    assert abs((re**2 * im**2).mean() - 1) < z * np.sqrt(8 / re.size)


def test_distribution(gaussians):
    assert stats.kstest(gaussians[: 1 << 21], "norm").pvalue > FALSE_ALARM
    z = gaussians.reshape(-1, 2, 8)
    power = (z[:, 0] ** 2 + z[:, 1] ** 2).ravel()[: 1 << 20]
    assert stats.kstest(power, "expon", args=(0, 2)).pvalue > FALSE_ALARM
    angle = np.arctan2(z[:, 1], z[:, 0]).ravel()[: 1 << 20]
    assert stats.kstest(angle, "uniform", args=(-np.pi, 2 * np.pi)).pvalue > FALSE_ALARM


@pytest.mark.parametrize("sigmas", [1.0, 2.0, 3.0, 4.0, 4.5])
def test_tails(gaussians, sigmas):
    for side in (gaussians, -gaussians):
        count = int(np.count_nonzero(side > sigmas))
        assert stats.binomtest(count, side.size, stats.norm.sf(sigmas)).pvalue > FALSE_ALARM / 12


def test_deep_tail_of_the_radius():
    # e^(-25/2): about 3.7e-6 of the radii lie beyond five deviations of a component
    state, count, total = new_state(12), 0, 0
    out = aligned_empty(1 << 22)
    for _ in range(8):
        fill_gaussians(state, 2.0, out)
        z = out.reshape(-1, 2, 8)
        count += int(np.count_nonzero(z[:, 0] ** 2 + z[:, 1] ** 2 > 25.0))
        total += out.size // 2
    assert stats.binomtest(count, total, np.exp(-12.5)).pvalue > FALSE_ALARM


def test_zero_and_extreme_power():
    out = aligned_empty(64)
    fill_gaussians(new_state(1), 0.0, out)
    assert not out.any()
    fill_gaussians(new_state(1), 1e30, out)
    assert np.isfinite(out).all()
