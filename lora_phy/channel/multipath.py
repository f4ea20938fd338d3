"""Frequency-selective fading: a tapped delay line whose taps fade on their own.

    y(t) = Σ_l sqrt(p_l) g_l(t) x(t - τ_l),    Σ p_l = 1,    E|g_l|² = 1

g_l is Rayleigh, of Clarke's spectrum where there is a Doppler spread; the steady path of TDL-D and TDL-E has |g| = 1
and turns at 0.7 f_D. TDL-A … TDL-E are those of 3GPP TR 38.901, tables 7.7.2-1 to 7.7.2-5, with delays multiplied by
the wanted delay spread; the exponential profile has eleven evenly spaced taps. A chirp of 125 kHz resolves 8 µs, so
delay spreads of a city (0.1–1 µs) are close to flat, and those of hills are not. A delay spread beyond the symbol is
allowed: it is interference between symbols, nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from lora_phy.arrays import IQ, FloatArray
from lora_phy.channel.fading import clarke_gain, rayleigh_gain
from lora_phy.channel.offsets import phasor
from lora_phy.checks import finite
from lora_phy.resampling import fractional_delay, fractional_delay_taps

Profile = Literal["tdl-a", "tdl-b", "tdl-c", "tdl-d", "tdl-e", "exponential"]

STEADY_PATH_DOPPLER = 0.7
HALF_WIDTH = 64


@dataclass(frozen=True, kw_only=True)
class Multipath:
    """A power-delay profile and its spread.

    Parameters
    ----------
    profile
        "tdl-a" … "tdl-e" or "exponential"; or None with `taps`.
    delay_spread_s
        Root-mean-square delay spread of the profile in seconds, ≥ 0; may exceed the symbol. 0 with `taps`.
    taps
        A profile of one's own in place of a named one: pairs (delay in seconds ≥ 0, mean power in dB). Every tap fades
        by itself (Rayleigh); the powers are scaled to sum to 1.

    Raises
    ------
    ValueError
        Naming the parameter, the bound and the value.

    Examples
    --------
    >>> Multipath(profile="tdl-a", delay_spread_s=300e-9).delay_spread_s
    3e-07
    >>> Multipath(taps=[(0.0, 0.0), (4e-6, -3.0)]).taps
    ((0.0, 0.0), (4e-06, -3.0))
    """

    profile: Profile | None = None
    delay_spread_s: float = 0.0
    taps: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        """Validate."""
        object.__setattr__(self, "taps", _checked_taps(self.taps))
        if self.taps:
            if self.profile is not None or self.delay_spread_s != 0.0:
                raise ValueError(
                    "'taps' take the place of 'profile' and 'delay_spread_s', which must be None and 0"
                    f" (got {self.profile!r}, {self.delay_spread_s!r})"
                )
            return
        if self.profile not in get_args(Profile):
            raise ValueError(f"'profile' must be one of {get_args(Profile)}, or 'taps' given (got {self.profile!r})")
        object.__setattr__(self, "delay_spread_s", finite("delay_spread_s", self.delay_spread_s, low=0.0))


def _checked_taps(taps: Iterable[Iterable[float]]) -> tuple[tuple[float, float], ...]:
    try:
        pairs = [(delay_s, power_db) for delay_s, power_db in taps]
    except (TypeError, ValueError):
        raise ValueError(f"'taps' must be pairs (delay in seconds, power in dB) (got {taps!r})") from None
    return tuple((finite("taps", delay_s, low=0.0), finite("taps", power_db)) for delay_s, power_db in pairs)


def taps(multipath: Multipath) -> tuple[FloatArray, FloatArray, bool]:
    """Delays in seconds, powers that sum to 1, and whether the first tap is a steady path.

    Examples
    --------
    >>> delays_s, powers, steady = taps(Multipath(profile="tdl-d", delay_spread_s=1e-6))
    >>> len(delays_s), round(float(10 * np.log10(powers[0] / powers[1])), 1), steady  # K = 13.3 dB
    (14, 13.3, True)
    """
    if multipath.profile is None:
        delays, powers_db = zip(*multipath.taps, strict=True)
        powers = 10.0 ** ((np.array(powers_db) - max(powers_db)) / 10.0)
        return np.array(delays), powers / powers.sum(), False
    if multipath.profile == "exponential":
        normalised = np.arange(0.0, 5.01, 0.5)
        powers = np.exp(-normalised)
        powers /= powers.sum()
        spread = math.sqrt(float(powers @ normalised**2 - (powers @ normalised) ** 2))
        return normalised / spread * multipath.delay_spread_s, powers, False
    delays, powers_db = _TDL[multipath.profile]
    powers = 10.0 ** (np.array(powers_db) / 10.0)
    steady = multipath.profile in ("tdl-d", "tdl-e")
    return np.array(delays) * multipath.delay_spread_s, powers / powers.sum(), steady


def tapped_delay_line(
    iq: IQ, multipath: Multipath, doppler_hz: float, sample_rate_hz: float, *, rng: np.random.Generator
) -> IQ:
    """Send ``(rows, n)`` complex64 through independent tapped delay lines; length kept, nothing wraps.

    Without Doppler each row meets one impulse response. Draws go row by row, tap by tap.

    Examples
    --------
    >>> x = np.ones((3, 400), np.complex64)
    >>> profile = Multipath(profile="exponential", delay_spread_s=1e-6)
    >>> tapped_delay_line(x, profile, 0.0, 125e3, rng=np.random.default_rng(0)).shape
    (3, 400)
    """
    delays_s, powers, steady = taps(multipath)
    delays = delays_s * sample_rate_hz
    rows, n = iq.shape
    out = np.zeros_like(iq)
    if n == 0:
        return out
    first = 1 if steady else 0
    if doppler_hz == 0.0:
        reach = math.ceil(float(delays.max())) + HALF_WIDTH + 1
        from scipy import signal  # slow to import

        shapes = np.stack([fractional_delay_taps(delay, HALF_WIDTH, reach) for delay in delays])
        for row in range(rows):
            gain = np.concatenate([np.ones(first), rayleigh_gain(len(delays) - first, rng=rng)])
            response = ((np.sqrt(powers) * gain) @ shapes).astype(np.complex64)
            out[row] = signal.oaconvolve(iq[row], response)[HALF_WIDTH : HALF_WIDTH + n]
        return out
    for row in range(rows):
        for tap, (delay, power) in enumerate(zip(delays, powers, strict=True)):
            if tap < first:
                gain = phasor(STEADY_PATH_DOPPLER * doppler_hz / sample_rate_hz, n)
            else:
                gain = clarke_gain(doppler_hz, 1, n, sample_rate_hz, rng=rng)[0]
            delayed = fractional_delay(iq[row], float(delay), half_width=HALF_WIDTH)
            out[row] += np.float32(math.sqrt(power)) * gain * delayed
    return out


# 3GPP TR 38.901: normalised delays, powers in dB
_TDL: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "tdl-a": (
        (0.0, 0.3819, 0.4025, 0.5868, 0.4610, 0.5375, 0.6708, 0.5750, 0.7618, 1.5375, 1.8978, 2.2242,
         2.1718, 2.4942, 2.5119, 3.0582, 4.0810, 4.4579, 4.5695, 4.7966, 5.0066, 5.3043, 9.6586),
        (-13.4, 0.0, -2.2, -4.0, -6.0, -8.2, -9.9, -10.5, -7.5, -15.9, -6.6, -16.7,
         -12.4, -15.2, -10.8, -11.3, -12.7, -16.2, -18.3, -18.9, -16.6, -19.9, -29.7),
    ),
    "tdl-b": (
        (0.0, 0.1072, 0.2155, 0.2095, 0.2870, 0.2986, 0.3752, 0.5055, 0.3681, 0.3697, 0.5700, 0.5283,
         1.1021, 1.2756, 1.5474, 1.7842, 2.0169, 2.8294, 3.0219, 3.6187, 4.1067, 4.2790, 4.7834),
        (0.0, -2.2, -4.0, -3.2, -9.8, -1.2, -3.4, -5.2, -7.6, -3.0, -8.9, -9.0,
         -4.8, -5.7, -7.5, -1.9, -7.6, -12.2, -9.8, -11.4, -14.9, -9.2, -11.3),
    ),
    "tdl-c": (
        (0.0, 0.2099, 0.2219, 0.2329, 0.2176, 0.6366, 0.6448, 0.6560, 0.6584, 0.7935, 0.8213, 0.9336,
         1.2285, 1.3083, 2.1704, 2.7105, 4.2589, 4.6003, 5.4902, 5.6077, 6.3065, 6.6374, 7.0427, 8.6523),
        (-4.4, -1.2, -3.5, -5.2, -2.5, 0.0, -2.2, -3.9, -7.4, -7.1, -10.7, -11.1,
         -5.1, -6.8, -8.7, -13.2, -13.9, -13.9, -15.8, -17.1, -16.0, -15.7, -21.6, -22.8),
    ),
    "tdl-d": (
        (0.0, 0.0, 0.035, 0.612, 1.363, 1.405, 1.804, 2.596, 1.775, 4.042, 7.937, 9.424, 9.708, 12.525),
        (-0.2, -13.5, -18.8, -21.0, -22.8, -17.9, -20.1, -21.9, -22.9, -27.8, -23.6, -24.8, -30.0, -27.7),
    ),
    "tdl-e": (
        (0.0, 0.0, 0.5133, 0.5440, 0.5630, 0.5440, 0.7112, 1.9092, 1.9293, 1.9589, 2.6426, 3.7136, 5.4524,
         12.0034, 20.6519),
        (-0.03, -22.03, -15.8, -18.1, -19.8, -22.9, -22.4, -18.6, -20.8, -22.6, -22.3, -25.6, -20.2, -29.8, -29.2),
    ),
}  # fmt: skip
