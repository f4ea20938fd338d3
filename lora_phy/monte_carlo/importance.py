r"""Importance sampling: rare errors made common, each counted with the weight that makes up for it.

Symbols. The right bin Z ~ CN(mu, b), mu^2 = K g/(K+1), b = 1 + g/(K+1) (AWGN: mu^2 = g, b = 1) is drawn from a wider or
shifted density q around the place where errors come from, and given Z the error probability is known:

    weight = p(Z)/q(Z) [1 - (1 - exp(-|Z|^2))^(M-1)]

The error density p(Z) M exp(-|Z|^2) peaks at mu/(1+b), which in AWGN is half the signal's amplitude.

Frames (hard decisions). Given the fade, symbol errors are independent with a known probability p; they are drawn with a
larger one, p', and a frame that fails counts (p/p')^errors ((1-p)/(1-p'))^(rest). Fades come from a mixture of their
density and one concentrated on deep fades. The frame itself is encoded, damaged and decoded for real.

Bucklew, Introduction to Rare Event Simulation, Springer 2004, chapter 4.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from lora_phy.arrays import FloatArray
from lora_phy.channel.params import ChannelParams
from lora_phy.monte_carlo.counts import WeightedCounts
from lora_phy.monte_carlo.flat_channel import FlatChannel, flat_channel
from lora_phy.params import LoRaParams

_CHUNK = 1 << 16
_FRAME_ERRORS_WANTED = 2.0
"""Mean number of symbol errors a frame is drawn with: two in one block are what a code has to fear."""
_DEEP = 15.0
"""Es/N0 below which a frame is likely to fail, as a power ratio: the width of the deep-fade density."""


def weighted_symbol_errors(
    params: LoRaParams, channel: ChannelParams, num_symbols: int, *, seed: int
) -> WeightedCounts:
    """Weights of symbol errors from `num_symbols` draws.

    Examples
    --------
    >>> counts = weighted_symbol_errors(LoRaParams(sf=7), ChannelParams(snr_db=-4.0), 100_000, seed=1)
    >>> 5.3e-10 < counts.rate < 5.6e-10, counts.relative_error < 0.01
    (True, True)
    """
    flat = flat_channel(params, channel)
    assert flat is not None
    total = WeightedCounts(0, 0.0, 0.0)
    for chunk in range(-(-num_symbols // _CHUNK)):
        count = min(_CHUNK, num_symbols - chunk * _CHUNK)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(chunk,))))
        weights = symbol_weights(flat, params.sf, count, rng)
        total = total + WeightedCounts(count, float(weights.sum()), float(np.square(weights).sum()))
    return total


def symbol_weights(flat: FlatChannel, sf: int, count: int, rng: np.random.Generator) -> FloatArray:
    """Float64 ``(count,)``: weight times error probability of each draw, whose mean is the symbol error rate."""
    num_bins, g = 1 << sf, flat.amplitude(sf) ** 2
    if flat.fading == "nakagami":  # given the power gain the bin is that of AWGN; the gain is drawn deep as in frames
        gain, weight = deep_fades(flat, g, count, rng)
        mean, spread = np.sqrt(g * gain), 1.0
    else:
        k_factor = math.inf if flat.fading is None else flat.k_factor
        steady = 1.0 if math.isinf(k_factor) else k_factor / (k_factor + 1.0)
        mean, spread = np.full(count, math.sqrt(g * steady)), 1.0 + g * (1.0 - steady)
        weight = np.ones(count)
    # left of sqrt(ln M) an error is certain: no need to look for errors further in
    edge = math.sqrt(math.log(num_bins))
    centre = np.maximum(mean / (1.0 + spread), np.minimum(mean, edge) * (spread < 2.0))
    width = min(spread, edge**2 + 2.0)
    z = centre + math.sqrt(width / 2.0) * (rng.standard_normal(count) + 1j * rng.standard_normal(count))
    log_ratio = np.log(width / spread) - np.abs(z - mean) ** 2 / spread + np.abs(z - centre) ** 2 / width
    with np.errstate(divide="ignore"):
        conditional = -np.expm1((num_bins - 1) * np.log1p(-np.exp(-(np.abs(z) ** 2))))
    return np.asarray(weight * np.exp(log_ratio) * conditional)


def deep_fades(flat: FlatChannel, g: float, count: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Power gains, half of them deep, and their weights.

    The deep half is exponential with mean 15/g; the density of the gain itself is that of the channel.
    """
    if flat.fading is None:
        return np.ones(count), np.ones(count)
    scale = _DEEP / max(g, _DEEP)
    deep = rng.random(count) < 0.5
    gain = np.where(deep, rng.exponential(scale, count), np.abs(flat.gains(count, rng)) ** 2)
    log_own = _log_density(flat, gain)
    log_deep = -gain / scale - math.log(scale)
    return gain, np.asarray(np.exp(log_own - np.logaddexp(log_own, log_deep) + math.log(2.0)))


def _log_density(flat: FlatChannel, gain: FloatArray) -> FloatArray:
    """Logarithm of the density of the power gain, Gamma(m, 1/m) or noncentral chi-square."""
    with np.errstate(divide="ignore"):
        if flat.fading == "nakagami":
            m = flat.nakagami_m
            return np.asarray(m * math.log(m) - math.lgamma(m) + (m - 1.0) * np.log(gain) - m * gain)
        k = min(flat.k_factor, 1e12)
        root = 2.0 * np.sqrt(k * (k + 1.0) * gain)
        return np.asarray(math.log(k + 1.0) - k - (k + 1.0) * gain + np.log(special.i0e(root)) + root)


def symbol_error_rates(sf: int, reduced: bool, esn0: npt.ArrayLike) -> FloatArray:
    """Symbol error rates in AWGN of 2**sf bins, or of the legal quarter of them, for many values of Es/N0.

    Spline of the logarithm over decibels: within 1e-6 of the integral, held at the ends of -30…24 dB.

    Examples
    --------
    >>> print(f"{symbol_error_rates(7, False, 128 * 10**-0.9):.4e}")
    9.9197e-03
    """
    with np.errstate(divide="ignore"):
        esn0_db = np.clip(10.0 * np.log10(np.asarray(esn0, dtype=np.float64)), -30.0, 24.0)
    return np.asarray(np.exp(_log_error_rate(sf - 2 * reduced)(esn0_db)))


@lru_cache(maxsize=32)
def _log_error_rate(num_bits: int) -> Any:
    from scipy import interpolate  # slow to import, and needed here alone

    esn0_db = np.linspace(-30.0, 24.0, 541)
    amplitude = np.sqrt(10.0 ** (esn0_db / 10.0))[:, None]
    r, step = np.linspace(0.0, 26.0, 2601, retstep=True)
    density = 2.0 * r * np.exp(-((r - amplitude) ** 2)) * special.i0e(2.0 * r * amplitude)
    with np.errstate(divide="ignore"):
        conditional = -np.expm1(((1 << num_bits) - 1) * np.log1p(-np.exp(-r * r)))
    return interpolate.CubicSpline(esn0_db, np.log((density * conditional).sum(axis=1) * step))


def damage_weights(
    rates: FloatArray, num_symbols: int, rng: np.random.Generator, other_rates: FloatArray, num_others: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], FloatArray]:
    """Symbol errors of frames, drawn too often, and the weights of the frames.

    Parameters
    ----------
    rates, other_rates
        ``(num_frames,)`` true error rates of the two kinds of symbols.

    Returns
    -------
    ``(num_symbols, num_frames)`` and ``(num_others, num_frames)`` errors, ``(num_frames,)`` weights.
    """
    tilt = _FRAME_ERRORS_WANTED / (num_symbols + num_others)
    log_weight = np.zeros(rates.shape)
    flags = []
    for true, rows in ((rates, num_symbols), (other_rates, num_others)):
        drawn = np.maximum(true, tilt)
        wrong = rng.random((rows, true.size)) < drawn
        errors = np.count_nonzero(wrong, axis=0)
        log_weight += errors * np.log(true / drawn) + (rows - errors) * (np.log1p(-true) - np.log1p(-drawn))
        flags.append(wrong)
    return flags[0], flags[1], np.exp(log_weight)
