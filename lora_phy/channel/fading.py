"""Flat fading: one complex gain of mean power 1 multiplies the signal.

    Rayleigh    h = s,                                       s ~ CN(0, 1)
    Rician      h = sqrt(K/(K+1)) + sqrt(1/(K+1)) s
    Nakagami    |h|² ~ Gamma(m, 1/m), phase uniform          (m = 1: Rayleigh)

With a Doppler spread s becomes a process of Clarke's spectrum, E[s(t) s*(t+τ)] = J0(2π f_D τ), made of sinusoids:

    s(t) = M^(-1/2) Σ_m exp j(2π f_D t cos α_m + φ_m),   α_m = (2πm + θ)/M,   θ, φ_m uniform on [0, 2π)

The autocorrelation over the ensemble is J0 for any M, since α_m is uniform; power is 1 in the time average too; and
E|s|⁴ = 2 - 1/M where a Gaussian has 2 (M = 64 here). The steady path of a Rician channel carries no Doppler.

Clarke, Bell Syst. Tech. J. 47, 1968; Zheng and Xiao, IEEE Trans. Commun. 51(6), 2003.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

ComplexArray = npt.NDArray[np.complex128]

NUM_SINUSOIDS = 64
_TABLE = 1024


def rayleigh_gain(size: int, *, rng: np.random.Generator) -> ComplexArray:
    """(size,) independent CN(0, 1) gains, real and imaginary parts drawn in turn.

    Examples
    --------
    >>> rayleigh_gain(3, rng=np.random.default_rng(0)).shape
    (3,)
    """
    return (rng.standard_normal(2 * size) * math.sqrt(0.5)).view(np.complex128)


def rician_gain(k_factor: float, size: int, *, rng: np.random.Generator) -> ComplexArray:
    """(size,) gains of a Rician channel; `k_factor` is a power ratio (not dB), 0 is Rayleigh, infinity steady.

    Examples
    --------
    >>> rician_gain(float("inf"), 2, rng=np.random.default_rng(0))
    array([1.+0.j, 1.+0.j])
    >>> rician_gain(-1.0, 2, rng=np.random.default_rng(0))
    Traceback (most recent call last):
        ...
    ValueError: 'k_factor' must be at least 0 (got -1.0)
    """
    if not k_factor >= 0:
        raise ValueError(f"'k_factor' must be at least 0 (got {k_factor!r})")
    return add_steady_path(k_factor, rayleigh_gain(size, rng=rng))


def nakagami_gain(m: float, size: int, *, rng: np.random.Generator) -> ComplexArray:
    """(size,) gains of Nakagami-m amplitude, m ≥ 0.5, and uniform phase.

    Examples
    --------
    >>> gain = nakagami_gain(2.0, 100_000, rng=np.random.default_rng(0))
    >>> round(float(np.var(np.abs(gain) ** 2)), 2)  # 1/m
    0.5
    """
    if not m >= 0.5:
        raise ValueError(f"'m' must be at least 0.5 (got {m!r})")
    power = rng.gamma(m, 1.0 / m, size)
    return np.asarray(np.sqrt(power) * np.exp(2j * np.pi * rng.random(size)))


def clarke_gain(
    doppler_hz: float,
    rows: int,
    num_samples: int,
    sample_rate_hz: float,
    *,
    rng: np.random.Generator,
    num_sinusoids: int = NUM_SINUSOIDS,
) -> npt.NDArray[np.complex64]:
    """``(rows, num_samples)`` independent processes of Clarke's (Jakes') spectrum.

    Parameters
    ----------
    doppler_hz
        Largest Doppler shift f_D = v/c · carrier, in [0, sample_rate_hz / 2].
    num_sinusoids
        M of the module's formula. Per row M + 1 uniform numbers are drawn, however long the row.

    Examples
    --------
    >>> h = clarke_gain(100.0, 2000, 11, 10e3, rng=np.random.default_rng(1))
    >>> correlation = np.mean(h[:, 0] * np.conj(h[:, 10]))  # 1 ms apart
    >>> from scipy.special import j0
    >>> bool(abs(correlation - j0(2 * np.pi * 0.1)) < 0.05)
    True
    """
    if not 0.0 <= doppler_hz <= sample_rate_hz / 2:
        raise ValueError(
            f"'doppler_hz' must be in [0, half the sample rate {sample_rate_hz / 2:g}] (got {doppler_hz!r})"
        )
    if num_sinusoids < 1:
        raise ValueError(f"'num_sinusoids' must be at least 1 (got {num_sinusoids!r})")
    gain = np.empty((rows, num_samples), dtype=np.complex64)
    angles = 2 * np.pi * np.arange(num_sinusoids)
    # exp of a sum = product of exps: a row is one matrix product of (coarse times x M) and (M x fine times)
    fine = np.arange(min(_TABLE, num_samples)) / sample_rate_hz
    coarse = np.arange(0, num_samples, _TABLE) / sample_rate_hz
    for row in range(rows):
        uniform = 2 * np.pi * rng.random(num_sinusoids + 1)
        omega = 2 * np.pi * doppler_hz * np.cos((angles + uniform[-1]) / num_sinusoids)
        start = np.exp(1j * (np.outer(coarse, omega) + uniform[:-1])) / math.sqrt(num_sinusoids)
        walk = np.exp(1j * np.outer(omega, fine))
        product = start.astype(np.complex64) @ walk.astype(np.complex64)
        gain[row] = product.reshape(-1)[:num_samples]
    return gain


def add_steady_path(k_factor: float, scattered: npt.NDArray[np.complexfloating]) -> ComplexArray:
    """Rician gains of mean power 1 from scattered ones; `k_factor` is a power ratio (infinite: steady path alone)."""
    if math.isinf(k_factor):
        return np.ones_like(scattered)
    steady, rest = math.sqrt(k_factor / (k_factor + 1.0)), math.sqrt(1.0 / (k_factor + 1.0))
    return np.asarray(steady + rest * scattered)
