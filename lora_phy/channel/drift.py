"""Carrier offsets that move: an oscillator warming up, one that wanders, a satellite passing overhead.

    y[n] = x[n] exp(2πj ∫_0^t f(u) du),    t = n / rate

    linear         f(t) = r t
    random walk    f[n+1] = f[n] + σ sqrt(1/rate) w[n],   so E (f(t) - f(0))² = σ² t
    LEO pass       f(t) = -(carrier / c) dρ/dt,    ρ the slant range, so the phase is -2π (carrier / c)(ρ(t) - ρ(0))

Geometry of the pass: a circular orbit of radius R + h over a sphere at rest; at time 0 the ground station sees the
satellite highest, at elevation ε. The satellite's time dilation (its SFO) is left out: `sfo_ppm` is independent.

Ali, Al-Dhahir and Hershey, IEEE Trans. Commun. 46(3), 1998.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ, FloatArray
from lora_phy.checks import finite

LIGHT_M_S = 299_792_458.0
EARTH_RADIUS_M = 6_371_000.0
EARTH_GM = 3.986004418e14
_BLOCK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class LeoPass:
    """A satellite on a circular orbit, seen from the ground.

    Parameters
    ----------
    altitude_m
        Height of the orbit, > 0.
    carrier_hz
        Carrier frequency, > 0.
    start_s
        Time of the first sample; 0 is the moment of highest elevation, when the Doppler shift crosses zero.
    max_elevation_deg
        Elevation at that moment, in (0, 90].

    Examples
    --------
    >>> overhead = LeoPass(altitude_m=550e3, carrier_hz=868e6)
    >>> float(leo_doppler_hz(overhead, 0.0))
    0.0
    """

    altitude_m: float
    carrier_hz: float
    start_s: float = 0.0
    max_elevation_deg: float = 90.0

    def __post_init__(self) -> None:
        """Validate."""
        for name, low, high in (
            ("altitude_m", 1e3, 1e9),
            ("carrier_hz", 1.0, 1e12),
            ("start_s", -1e6, 1e6),
            ("max_elevation_deg", 1e-3, 90.0),
        ):
            object.__setattr__(self, name, finite(name, getattr(self, name), low=low, high=high))


@dataclass(frozen=True, kw_only=True)
class CarrierDrift:
    """Drift of the carrier offset during the frame, on top of the constant `cfo_hz`.

    Parameters
    ----------
    linear_hz_per_s
        Slope, Hz per second.
    random_walk_hz_per_sqrt_s
        Standard deviation the frequency gathers in one second, Hz; ≥ 0.
    leo_pass
        A satellite's Doppler profile, or None.

    Examples
    --------
    >>> CarrierDrift(linear_hz_per_s=50.0).leo_pass is None
    True
    """

    linear_hz_per_s: float = 0.0
    random_walk_hz_per_sqrt_s: float = 0.0
    leo_pass: LeoPass | None = None

    def __post_init__(self) -> None:
        """Validate."""
        object.__setattr__(self, "linear_hz_per_s", finite("linear_hz_per_s", self.linear_hz_per_s))
        walk = finite("random_walk_hz_per_sqrt_s", self.random_walk_hz_per_sqrt_s, low=0.0)
        object.__setattr__(self, "random_walk_hz_per_sqrt_s", walk)
        if self.leo_pass is not None and not isinstance(self.leo_pass, LeoPass):
            raise ValueError(f"'leo_pass' must be a LeoPass or None (got {self.leo_pass!r})")


def carrier_drift(iq: IQ, drift: CarrierDrift, sample_rate_hz: float, *, rng: np.random.Generator) -> IQ:
    """Turn ``(rows, n)`` complex64 by a moving carrier; the random walk is independent for each row.

    Examples
    --------
    >>> x = np.ones((1, 1001), np.complex64)
    >>> y = carrier_drift(x, CarrierDrift(linear_hz_per_s=1000.0), 1000.0, rng=np.random.default_rng(0))
    >>> bool(abs(y[0, 100] - np.exp(1j * np.pi * 1000 * 0.1**2)) < 1e-6)
    True
    """
    rows, n = iq.shape
    out = np.empty_like(iq)
    sigma = drift.random_walk_hz_per_sqrt_s
    for row in range(rows):
        frequency = cycles = 0.0  # of the walk, at the first sample of the block
        for start in range(0, n, _BLOCK):
            stop = min(start + _BLOCK, n)
            t = np.arange(start, stop) / sample_rate_hz
            turns = 0.5 * drift.linear_hz_per_s * t**2
            if drift.leo_pass is not None:
                turns = turns + _leo_turns(drift.leo_pass, t)
            if sigma:
                steps = sigma / math.sqrt(sample_rate_hz) * rng.standard_normal(stop - start)
                after = np.cumsum(np.concatenate([[frequency], steps]))
                walked = np.cumsum(np.concatenate([[cycles], after[:-1] / sample_rate_hz]))
                turns = turns + walked[:-1]
                frequency, cycles = float(after[-1]), float(walked[-1])
            out[row, start:stop] = iq[row, start:stop] * np.exp(2j * np.pi * turns).astype(np.complex64)
    return out


def leo_doppler_hz(leo_pass: LeoPass, time_s: npt.ArrayLike) -> FloatArray:
    """Doppler shift in Hz at `time_s` from the moment of highest elevation; positive while approaching.

    Examples
    --------
    >>> rising = leo_doppler_hz(LeoPass(altitude_m=550e3, carrier_hz=868e6), -200.0)
    >>> round(float(rising) / 1e3, 1)
    19.6
    """
    radius, rate, coupling = _orbit(leo_pass)
    t = np.asarray(time_s, dtype=np.float64)
    slope = EARTH_RADIUS_M * radius * coupling * rate * np.sin(rate * t) / _range_m(leo_pass, t)
    return np.asarray(-leo_pass.carrier_hz / LIGHT_M_S * slope + 0.0)


def _orbit(leo_pass: LeoPass) -> tuple[float, float, float]:
    """Radius, angular rate, and cosine of the earth-central angle between station and ground track."""
    radius = EARTH_RADIUS_M + leo_pass.altitude_m
    elevation = math.radians(leo_pass.max_elevation_deg)
    central = math.acos(EARTH_RADIUS_M / radius * math.cos(elevation)) - elevation
    return radius, math.sqrt(EARTH_GM / radius**3), math.cos(central)


def _range_m(leo_pass: LeoPass, t: FloatArray) -> FloatArray:
    radius, rate, coupling = _orbit(leo_pass)
    square = EARTH_RADIUS_M**2 + radius**2 - 2 * EARTH_RADIUS_M * radius * coupling * np.cos(rate * t)
    return np.asarray(np.sqrt(square))


def _leo_turns(leo_pass: LeoPass, t: FloatArray) -> FloatArray:
    start = _range_m(leo_pass, np.asarray(leo_pass.start_s))
    wavelengths = (_range_m(leo_pass, leo_pass.start_s + t) - start) * (leo_pass.carrier_hz / LIGHT_M_S)
    return np.asarray(-wavelengths)
