"""What happens to a frame between the transmitter's modulator and the receiver's first sample.

`ChannelParams` says it in numbers, `Interferer` carries the signals of others as ready IQ: a channel knows no modem.
Everything is off by default, and `ChannelParams()` returns the IQ as it came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ

Fading = Literal["rayleigh", "rician", "nakagami"]

MIN_SNR_DB = -300.0
"""Below this the noise no longer fits complex64 once a receiver squares it."""


def finite(name: str, value: object, *, low: float = -math.inf, high: float = math.inf) -> float:
    """Return `value` as a float, or raise the ValueError that names it: a finite number in [low, high]."""
    number = _number(name, value)
    if not (math.isfinite(number) and low <= number <= high):
        bound = "finite" if (low, high) == (-math.inf, math.inf) else f"finite and in [{low:g}, {high:g}]"
        raise ValueError(f"'{name}' must be {bound} (got {value!r})")
    return number


def _number(name: str, value: object) -> float:
    if isinstance(value, bool | str | bytes | complex) or not hasattr(value, "__float__"):
        raise ValueError(f"'{name}' must be a number (got {value!r})")
    try:
        return float(value)
    except TypeError as error:
        raise ValueError(f"'{name}' must be a number (got {value!r})") from error


@dataclass(frozen=True, eq=False)
class Interferer:
    """Somebody else's signal: `iq` starting at sample `start_sample` of the stream, at a power and a carrier offset.

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
        iq = np.array(self.iq, dtype=np.complex64)
        if iq.ndim != 1:
            raise ValueError(f"'iq' of an interferer must be one-dimensional (got shape {iq.shape})")
        iq.setflags(write=False)
        if isinstance(self.start_sample, bool) or not hasattr(self.start_sample, "__index__"):
            raise ValueError(f"'start_sample' must be an integer (got {self.start_sample!r})")
        power_db = _number("power_db", self.power_db)
        if math.isnan(power_db) or power_db > -MIN_SNR_DB:
            raise ValueError(f"'power_db' must be at most {-MIN_SNR_DB:g} (got {self.power_db!r})")
        object.__setattr__(self, "iq", iq)
        object.__setattr__(self, "start_sample", int(self.start_sample))
        object.__setattr__(self, "power_db", power_db)
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
class ChannelParams:
    """One channel; the signal that enters has power 1 by definition.

    Parameters
    ----------
    snr_db
        Signal power over noise power in `bandwidth_hz`, dB; with fading the mean. Plus infinity: no noise.
    cfo_hz
        Carrier offset: the signal is multiplied by exp(+2πj cfo t), t = 0 at the first sample.
    sto_samples
        Delay in samples of the input, fractional; positive delays, negative advances (the head is lost).
    sfo_ppm
        Sampling clock offset, parts per million; positive: the transmitter's clock is fast, the frame takes fewer
        samples. Independent of `cfo_hz`.
    fading
        None, "rayleigh", "rician" or "nakagami"; the mean power gain is 1.
    k_factor_db
        Rician only, and needed there: power of the steady path over that of the scattered ones. Negative decibels mean
        a steady path weaker than the rest; minus infinity is Rayleigh, plus infinity no fading.
    doppler_hz
        Largest Doppler shift of the scattered paths, Hz, at most half the sample rate. 0: one fade per row (frame).
    interferers
        Any number of `Interferer`, added to every row at the receiver's antenna.
    nakagami_m
        Nakagami only, and needed there: shape, at least 0.5; 1 is Rayleigh.

    Raises
    ------
    ValueError
        Naming the parameter, the bound and the value.

    Examples
    --------
    >>> ChannelParams(snr_db=-7.5, fading="rayleigh").cfo_hz
    0.0
    >>> ChannelParams(fading="rician")
    Traceback (most recent call last):
        ...
    ValueError: 'k_factor_db' is needed with fading='rician' (got None)
    """

    snr_db: float = math.inf
    cfo_hz: float = 0.0
    sto_samples: float = 0.0
    sfo_ppm: float = 0.0
    fading: Fading | None = None
    k_factor_db: float | None = None
    doppler_hz: float = 0.0
    interferers: tuple[Interferer, ...] = ()
    nakagami_m: float | None = None

    def __post_init__(self) -> None:
        """Validate every field once and store plain floats."""

        def store(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        snr_db = _number("snr_db", self.snr_db)
        if not snr_db >= MIN_SNR_DB:
            raise ValueError(f"'snr_db' must be at least {MIN_SNR_DB:g} (got {self.snr_db!r})")
        store("snr_db", snr_db)
        store("cfo_hz", finite("cfo_hz", self.cfo_hz))
        store("sto_samples", finite("sto_samples", self.sto_samples))
        store("sfo_ppm", finite("sfo_ppm", self.sfo_ppm, low=-1e5, high=1e5))
        store("doppler_hz", finite("doppler_hz", self.doppler_hz, low=0.0))
        if self.fading not in (None, *get_args(Fading)):
            raise ValueError(f"'fading' must be None or one of {get_args(Fading)} (got {self.fading!r})")
        self._only_with("k_factor_db", "rician")
        if self.k_factor_db is not None:
            k_factor_db = _number("k_factor_db", self.k_factor_db)
            if math.isnan(k_factor_db):
                raise ValueError(f"'k_factor_db' must not be NaN (got {self.k_factor_db!r})")
            store("k_factor_db", k_factor_db)
        self._only_with("nakagami_m", "nakagami")
        if self.nakagami_m is not None:
            store("nakagami_m", finite("nakagami_m", self.nakagami_m, low=0.5, high=1e6))
        if self.doppler_hz > 0 and self.fading is None:
            raise ValueError(f"'doppler_hz' must be 0 where nothing fades (got {self.doppler_hz!r})")
        if isinstance(self.interferers, Interferer) or not isinstance(self.interferers, Iterable):
            raise ValueError(f"'interferers' must be a sequence of Interferer (got {self.interferers!r})")
        store("interferers", tuple(self.interferers))
        for interferer in self.interferers:
            if not isinstance(interferer, Interferer):
                raise ValueError(f"'interferers' must hold Interferer objects (got {interferer!r})")

    def _only_with(self, name: str, fading: Fading) -> None:
        value = getattr(self, name)
        if self.fading == fading and value is None:
            raise ValueError(f"'{name}' is needed with fading={fading!r} (got None)")
        if self.fading != fading and value is not None:
            raise ValueError(f"'{name}' has a meaning with fading={fading!r} only (got {value!r})")


def as_rows(iq: npt.ArrayLike) -> tuple[IQ, tuple[int, ...]]:
    """``(..., n)`` as ``(rows, n)`` complex64, and the shape to return to."""
    array = np.asarray(iq)
    if array.ndim == 0:
        raise ValueError("'iq' must have at least one dimension (got a scalar)")
    if array.dtype.kind not in "fciu":
        raise ValueError(f"'iq' must be complex samples (got dtype {array.dtype})")
    rows = int(np.prod(array.shape[:-1], dtype=np.int64))
    return array.astype(np.complex64, copy=False).reshape(rows, array.shape[-1]), array.shape
