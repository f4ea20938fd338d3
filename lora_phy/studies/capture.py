"""Two frames of one SF at once, neither chip- nor phase-aligned: the semi-analytic model.

An interferer that is t chips late, 0 ≤ t < N, shows the wanted receiver the end of its symbol s1 and the start of s2.
Dechirped, both are tones, so the FFT bins are two Dirichlet kernels:

    Z[k] = e^{jθ1} D(s1 - t - k; 0, L) + e^{jθ2} D(s2 - t - k; L, N),    D(f; a, b) = 1/N Σ_{n=a}^{b-1} e^{2πj f n/N}
    L = ceil(t),  θ1 = 2π(t²/2N - t/2 - s1 t/N),  θ2 = 2π(t²/2N + t/2 - s2 t/N)

The received bins are a e^{jφ} δ[k - s] + Z[k] + noise; averaging over s, s1, s2, t and φ gives the symbol error rate.
With `fold_phase` each interfering chirp also turns by 2πt after its frequency fold, as an unfiltered chirp sampled
between its chips does: then Z is the simulated waveform's spectrum to rounding. Without it the model is the published
one. An aligned interferer (t = 0) puts all its energy in one bin and overstates the damage.

Afisiadis, Cotting, Burg and Balatsoukas-Stimming, IEEE Trans. Wireless Commun. 19(5), 2020 (arXiv 1905.11252).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import FloatArray
from lora_phy.params import LoRaParams

_BINS_AT_ONCE = 1 << 20


def unaligned_bins(
    sf: int,
    first: npt.NDArray[np.integer],
    second: npt.NDArray[np.integer],
    delay_chips: FloatArray,
    *,
    fold_phase: bool = True,
) -> npt.NDArray[np.complex128]:
    """Z of the module's formula, ``(num, 2**sf)``, for interferers of power 1.

    Parameters
    ----------
    first, second
        ``(num,)`` symbols before and after the boundary.
    delay_chips
        ``(num,)``, in [0, 2**sf).

    Examples
    --------
    >>> z = unaligned_bins(7, np.array([3]), np.array([9]), np.array([0.0]))
    >>> int(np.argmax(np.abs(z[0]))), round(float(np.abs(z[0]).max()), 3)
    (9, 1.0)
    """
    num_bins = LoRaParams(sf=sf).num_bins
    t = np.asarray(delay_chips, dtype=np.float64)
    if np.any((t < 0) | (t >= num_bins)):
        raise ValueError(f"'delay_chips' must be in [0, {num_bins}) (got {delay_chips!r})")
    boundary = np.ceil(t)
    common = t**2 / (2 * num_bins)
    turns = (common - t / 2 - first * t / num_bins, common + t / 2 - second * t / num_bins)
    spans = ((np.zeros_like(t), boundary), (boundary, np.full_like(t, num_bins)))
    folds = (np.ceil(t - first), np.ceil(num_bins + t - second))
    z = np.zeros((t.size, num_bins), dtype=np.complex128)
    for symbol, turn, (low, high), fold in zip((first, second), turns, spans, folds, strict=True):
        middle = np.clip(fold, low, high)
        after = t if fold_phase else np.zeros_like(t)
        for start, stop, extra in ((low, middle, 0.0), (middle, high, after)):
            tone = np.exp(2j * np.pi * (turn + extra))[:, None]
            z += tone * _dirichlet(symbol - t, start, stop, num_bins)
    return z


def capture_ser(
    sf: int,
    sir_db: npt.ArrayLike,
    snr_db: float = math.inf,
    *,
    aligned: bool = False,
    fold_phase: bool = True,
    num_draws: int = 20_000,
    seed: int = 0,
) -> FloatArray:
    """Symbol error rate against one interferer of the same SF, by averaging the model over its unknowns.

    Parameters
    ----------
    sir_db
        Signal over interference, dB, any shape; the same draws serve all of it.
    snr_db
        Signal over noise in the bandwidth, dB.
    aligned
        True: t = 0, the model the unaligned one corrects.
    num_draws
        Draws of symbols, delay, phase and noise.

    Examples
    --------
    >>> unaligned, aligned = capture_ser(7, 0.0, num_draws=2000), capture_ser(7, 0.0, aligned=True, num_draws=2000)
    >>> bool(unaligned < aligned)
    True
    """
    params = LoRaParams(sf=sf)
    if num_draws < 1:
        raise ValueError(f"'num_draws' must be at least 1 (got {num_draws!r})")
    if math.isnan(snr_db):
        raise ValueError(f"'snr_db' must not be NaN (got {snr_db!r})")
    rng = np.random.default_rng([seed, sf])
    sir = np.asarray(sir_db, dtype=np.float64)
    amplitudes = 10.0 ** (-sir.reshape(-1) / 20.0)
    noise_amplitude = math.sqrt(10.0 ** (-snr_db / 10.0) / params.num_bins / 2)
    errors = np.zeros(amplitudes.size, dtype=np.int64)
    block = max(1, _BINS_AT_ONCE // params.num_bins)
    for start in range(0, num_draws, block):
        count = min(block, num_draws - start)
        sent, first, second = rng.integers(0, params.num_bins, (3, count))
        delay = np.zeros(count) if aligned else rng.uniform(0, params.num_bins, count)
        phase = np.exp(2j * np.pi * rng.random(count))
        noise = noise_amplitude * rng.standard_normal((count, 2 * params.num_bins)).view(np.complex128)
        noise[np.arange(count), sent] += phase
        z = unaligned_bins(sf, first, second, delay, fold_phase=fold_phase)
        for index, amplitude in enumerate(amplitudes):
            errors[index] += np.count_nonzero(np.argmax(np.abs(noise + amplitude * z), axis=-1) != sent)
    return np.asarray((errors / num_draws).reshape(sir.shape))[()]


def _dirichlet(frequency: FloatArray, start: FloatArray, stop: FloatArray, num_bins: int) -> npt.NDArray[np.complex128]:
    """D(frequency - k; start, stop) for every bin k, ``(num, num_bins)``, as a geometric series.

    Its terms are powers of a root of unity but for a factor each row, so a table replaces the exponentials.
    """
    k = np.arange(num_bins)
    roots = np.exp(-2j * np.pi * k / num_bins)

    def power(n: FloatArray) -> npt.NDArray[np.complex128]:
        own = np.exp(2j * np.pi * np.remainder(n * frequency / num_bins, 1.0))
        return np.asarray(own[:, None] * roots[np.outer(n.astype(np.int64), k) % num_bins])

    denominator = np.exp(2j * np.pi * frequency / num_bins)[:, None] * roots - 1.0
    constant = np.abs(denominator) < 1e-9
    denominator[constant] = 1.0
    series = (power(stop) - power(start)) / denominator
    return np.asarray(np.where(constant, (stop - start)[:, None], series) / num_bins)
