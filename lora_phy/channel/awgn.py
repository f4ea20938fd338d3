"""Additive white Gaussian noise.

    y[n] = x[n] + w[n],    E|w|² = oversampling * 10**(-snr_db/10),    x of power 1 by definition

so that `snr_db` is signal power over noise power in the chirp bandwidth, whatever the oversampling: noise of the whole
sampled band is `oversampling` times the noise in `bandwidth_hz` (reference: SNR = Ps / (N0 B), Es/N0 = 2**sf SNR).
"""

from __future__ import annotations

import numpy as np

from lora_phy.arrays import IQ

BLOCK = 1 << 16
"""Samples of noise alive at a time; changes no value, only memory."""


def noise_power(snr_db: float, oversampling: int = 1) -> float:
    """Noise power per complex sample, ``oversampling * 10**(-snr_db/10)``.

    Examples
    --------
    >>> noise_power(-10.0, oversampling=2), noise_power(float("inf"))
    (20.0, 0.0)
    """
    return float(oversampling) * float(10.0 ** (-snr_db / 10.0))


def add_noise(iq: IQ, power: float, *, rng: np.random.Generator, block: int = BLOCK) -> IQ:
    """Add circular complex Gaussian noise of `power` per sample to a C-contiguous complex64 array, in place.

    Parameters
    ----------
    iq
        (..., n) complex64, C-contiguous; overwritten and returned.
    power
        E|w|² per sample, ≥ 0; 0 draws nothing.
    rng
        Real and imaginary parts are drawn in turn, sample after sample in C order, so the values depend neither on
        `block` nor on how a stream is cut.

    Examples
    --------
    >>> y = add_noise(np.zeros(100_000, np.complex64), 2.0, rng=np.random.default_rng(1))
    >>> round(float(np.mean(np.abs(y) ** 2)), 1)
    2.0
    """
    if power == 0.0:
        return iq
    scale = np.float32(np.sqrt(power / 2.0))
    flat = iq.reshape(-1).view(np.float32)
    buffer = np.empty(min(2 * block, flat.size), dtype=np.float32)
    for start in range(0, flat.size, 2 * block):
        stop = min(start + 2 * block, flat.size)
        noise = buffer[: stop - start]
        rng.standard_normal(dtype=np.float32, out=noise)
        noise *= scale
        flat[start:stop] += noise
    return iq
