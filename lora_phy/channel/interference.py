"""Signals of others at the receiver's antenna: any number of LoRa frames as ready IQ, and noise that is not thermal.

    Interferer        y[n] += 10**(power_db/20) s[n - start] exp(2πj cfo (n - start)/rate)
    NarrowbandNoise   Gaussian, flat over a band; width 0: a steady carrier of random phase
    ImpulsiveNoise    Bernoulli-Gaussian: a sample is hit with probability p, by CN(0, power/p);  E|w|⁴ / (E|w|²)² = 2/p

A LoRa frame of any SF, bandwidth, timing, power, offset or direction is `transmit(payload, other_params)`, brought to
the stream's rate by `resampling.change_rate` where bandwidths differ.

Ghosh, IEEE Trans. Commun. 44(2), 1996 (Bernoulli-Gaussian noise).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lora_phy.arrays import IQ
from lora_phy.channel.offsets import phasor
from lora_phy.checks import finite, number

MAX_POWER_DB = 300.0


@dataclass(frozen=True, eq=False)
class Interferer:
    """Interfering signal: `iq` starting at sample `start_sample` of the stream, at a power and a carrier offset.

    ``10**(power_db/20) * iq[n - start_sample] * exp(2πj cfo_hz (n - start_sample)/sample_rate)`` is added to every row.

    Parameters
    ----------
    iq
        (num_samples,) complex, of power 1 by definition, at the sample rate of the stream.
    start_sample
        Any integer; what lies before sample 0 or beyond the end of the stream is not heard.
    power_db
        Relative to the wanted signal's power of 1. Minus infinity: silent.
    cfo_hz
        Carrier offset against the receiver, Hz.

    Raises
    ------
    ValueError
        `iq` not one-dimensional, `power_db` NaN or plus infinity, `cfo_hz` not finite.

    Examples
    --------
    >>> tone = Interferer(np.ones(4), start_sample=2, power_db=-6.0)
    >>> tone.iq.dtype, tone == Interferer(np.ones(4), 2, -6.0)
    (dtype('complex64'), True)
    """

    iq: IQ
    start_sample: int = 0
    power_db: float = 0.0
    cfo_hz: float = 0.0

    def __post_init__(self) -> None:
        """Validate, and keep a private read-only copy of the samples."""
        given = np.asarray(self.iq)
        if given.dtype.kind not in "fciu":
            raise ValueError(f"'iq' of an interferer must be complex samples (got dtype {given.dtype})")
        iq = np.array(given, dtype=np.complex64)
        if iq.ndim != 1:
            raise ValueError(f"'iq' of an interferer must be one-dimensional (got shape {iq.shape})")
        iq.setflags(write=False)
        if isinstance(self.start_sample, bool) or not hasattr(self.start_sample, "__index__"):
            raise ValueError(f"'start_sample' must be an integer (got {self.start_sample!r})")
        object.__setattr__(self, "iq", iq)
        object.__setattr__(self, "start_sample", int(self.start_sample))
        object.__setattr__(self, "power_db", _power_db(self.power_db))
        object.__setattr__(self, "cfo_hz", finite("cfo_hz", self.cfo_hz))

    def _key(self) -> tuple[Any, ...]:
        return self.iq.tobytes(), self.start_sample, self.power_db, self.cfo_hz

    def __eq__(self, other: object) -> bool:
        """Equal samples and equal numbers."""
        return isinstance(other, Interferer) and self._key() == other._key()

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash(self._key())


@dataclass(frozen=True, kw_only=True)
class NarrowbandNoise:
    """Gaussian noise, flat over a band, of constant mean power.

    Parameters
    ----------
    power_db
        Total power relative to the wanted signal's 1; minus infinity: silent.
    center_hz, width_hz
        The band; width 0 is a carrier of random phase. What lies outside ± half the sample rate is lost.

    Examples
    --------
    >>> NarrowbandNoise(power_db=-3.0, center_hz=20e3, width_hz=1e3).width_hz
    1000.0
    """

    power_db: float
    center_hz: float = 0.0
    width_hz: float = 0.0

    def __post_init__(self) -> None:
        """Validate."""
        object.__setattr__(self, "power_db", _power_db(self.power_db))
        object.__setattr__(self, "center_hz", finite("center_hz", self.center_hz))
        object.__setattr__(self, "width_hz", finite("width_hz", self.width_hz, low=0.0))


@dataclass(frozen=True, kw_only=True)
class ImpulsiveNoise:
    """Bernoulli-Gaussian impulses.

    Parameters
    ----------
    power_db
        Mean power over all samples, relative to the wanted signal's 1; minus infinity: silent.
    probability
        That a sample is hit, in (0, 1]; 1 is white Gaussian noise.

    Examples
    --------
    >>> ImpulsiveNoise(power_db=0.0, probability=0.0)
    Traceback (most recent call last):
        ...
    ValueError: 'probability' must be finite and in [1e-12, 1] (got 0.0)
    """

    power_db: float
    probability: float = 0.01

    def __post_init__(self) -> None:
        """Validate."""
        object.__setattr__(self, "power_db", _power_db(self.power_db))
        object.__setattr__(self, "probability", finite("probability", self.probability, low=1e-12, high=1.0))


def add_interferers(iq: IQ, interferers: Sequence[Interferer], sample_rate_hz: float) -> IQ:
    """Add every interferer to every row of a complex64 ``(..., n)`` array, in place; what lies outside is cut off.

    Examples
    --------
    >>> add_interferers(np.zeros(4, np.complex64), [Interferer(np.ones(9), start_sample=-7)], 1.0).real
    array([1., 1., 0., 0.], dtype=float32)
    """
    n = iq.shape[-1]
    for other in interferers:
        low, high = max(0, other.start_sample), min(n, other.start_sample + other.iq.size)
        amplitude = np.float32(10.0 ** (other.power_db / 20.0))
        if high <= low or amplitude == 0.0:
            continue
        heard = other.iq[low - other.start_sample : high - other.start_sample] * amplitude
        if other.cfo_hz:
            start = low - other.start_sample
            heard = heard * phasor(other.cfo_hz / sample_rate_hz, heard.size, start_sample=start)
        iq[..., low:high] += heard
    return iq


def add_noise_source(
    iq: IQ, source: NarrowbandNoise | ImpulsiveNoise, sample_rate_hz: float, *, rng: np.random.Generator
) -> IQ:
    """Add a noise source to ``(rows, n)`` complex64 in place, independent for each row.

    Examples
    --------
    >>> y = np.zeros((1, 100_000), np.complex64)
    >>> hit = add_noise_source(y, ImpulsiveNoise(power_db=0.0, probability=0.01), 1.0, rng=np.random.default_rng(0))
    >>> round(float(np.mean(hit != 0)), 2), round(float(np.mean(np.abs(hit) ** 2)), 1)
    (0.01, 1.0)
    """
    power = 10.0 ** (source.power_db / 10.0)
    rows, n = iq.shape
    if power == 0.0 or n == 0:
        return iq
    for row in range(rows):
        if isinstance(source, ImpulsiveNoise):
            hit = np.flatnonzero(rng.random(n) < source.probability)
            drawn = rng.standard_normal(2 * hit.size).view(np.complex128)
            iq[row, hit] += (math.sqrt(power / source.probability / 2) * drawn).astype(np.complex64)
        else:
            iq[row] += _narrowband(source, power, n, sample_rate_hz, rng)
    return iq


def _narrowband(source: NarrowbandNoise, power: float, n: int, sample_rate_hz: float, rng: np.random.Generator) -> IQ:
    if source.width_hz == 0.0:
        start = math.sqrt(power) * np.exp(2j * np.pi * rng.random())
        return np.asarray(np.complex64(start) * phasor(source.center_hz / sample_rate_hz, n))
    # white noise through a brick-wall filter; drawn in double the length so that the row is no period of itself
    length = 2 * n
    spectrum = np.fft.fft(rng.standard_normal(2 * length).view(np.complex128))
    spectrum[np.abs(np.fft.fftfreq(length, 1.0 / sample_rate_hz)) > source.width_hz / 2] = 0.0
    kept = np.count_nonzero(spectrum)
    narrow = np.fft.ifft(spectrum)[:n] * math.sqrt(power * length / kept / 2)
    return np.asarray(narrow.astype(np.complex64) * phasor(source.center_hz / sample_rate_hz, n))


def _power_db(value: object) -> float:
    power_db = number("power_db", value)
    if math.isnan(power_db) or power_db > MAX_POWER_DB:
        raise ValueError(f"'power_db' must be at most {MAX_POWER_DB:g} (got {value!r})")
    return power_db
