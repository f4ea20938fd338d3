"""Channel parameters, from the transmitter's modulator to the receiver's first sample.

Everything is off by default, and `ChannelParams()` returns the IQ as it came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.channel.drift import CarrierDrift
from lora_phy.channel.hardware import ReceiverFrontEnd, Transmitter
from lora_phy.channel.interference import ImpulsiveNoise, Interferer, NarrowbandNoise
from lora_phy.channel.multipath import Multipath
from lora_phy.checks import finite, number
from lora_phy.params import LoRaParams

Fading = Literal["rayleigh", "rician", "nakagami"]


@runtime_checkable
class Stage(Protocol):
    """A channel of one's own: a function of the wanted signal's IQ, with a key that names it in a result's identity.

    `key` is a text that changes whenever the function does: results of `lora_phy.collect` are named by it. A stage is
    called with ``iq`` complex64 ``(rows, n)``, whose rows are independent frames, with the `LoRaParams` and with the
    generator that all randomness must come from; it returns an array of the same shape. A process pool sends it by
    pickle, so it must be an object of a class that a module defines.
    """

    key: str

    def __call__(self, iq: IQ, params: LoRaParams, rng: np.random.Generator) -> npt.ArrayLike:
        """The signal after this stage, of the same shape."""


MIN_SNR_DB = -300.0
"""Below this the noise no longer fits complex64 once a receiver squares it."""


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
        Nakagami only, and needed there: shape, at least 0.5; 1 is Rayleigh. One fade per row (no Doppler spread).
    multipath
        A tapped delay line instead of flat `fading`; its taps fade with `doppler_hz`.
    drift
        How the carrier offset moves during the row.
    noise_sources
        Narrow-band and impulsive noise on top of the thermal one.
    transmitter, front_end
        Faults of the radios at either end.
    stages
        Channels of one's own (`Stage`), one after the other, behind fading and multipath and before interferers and
        noise.

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
    multipath: Multipath | None = None
    drift: CarrierDrift | None = None
    noise_sources: tuple[NarrowbandNoise | ImpulsiveNoise, ...] = ()
    transmitter: Transmitter | None = None
    front_end: ReceiverFrontEnd | None = None
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        """Validate every field once and store plain floats."""

        def store(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        snr_db = number("snr_db", self.snr_db)
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
            k_factor_db = number("k_factor_db", self.k_factor_db)
            if math.isnan(k_factor_db):
                raise ValueError(f"'k_factor_db' must not be NaN (got {self.k_factor_db!r})")
            store("k_factor_db", k_factor_db)
        self._only_with("nakagami_m", "nakagami")
        if self.nakagami_m is not None:
            store("nakagami_m", finite("nakagami_m", self.nakagami_m, low=0.5, high=1e6))
        if self.doppler_hz > 0 and self.fading in (None, "nakagami") and self.multipath is None:
            raise ValueError(f"'doppler_hz' must be 0 with fading={self.fading!r} (got {self.doppler_hz!r})")
        if self.multipath is not None and self.fading is not None:
            raise ValueError(f"'fading' must be None with a multipath profile, whose taps fade (got {self.fading!r})")
        store("interferers", self._all_of("interferers", Interferer))
        store("noise_sources", self._all_of("noise_sources", NarrowbandNoise | ImpulsiveNoise))
        store("stages", tuple(self.stages) if isinstance(self.stages, Iterable) else (self.stages,))
        for stage in self.stages:
            key = getattr(stage, "key", None)
            if not callable(stage) or not isinstance(key, str) or not key:
                raise ValueError(f"'stages' must hold callables with a text 'key' that is not empty (got {stage!r})")
        for name, kind in _OBJECTS.items():
            if not isinstance(getattr(self, name), kind | None):
                raise ValueError(f"'{name}' must be a {kind.__name__} or None (got {getattr(self, name)!r})")

    def _only_with(self, name: str, fading: Fading) -> None:
        value = getattr(self, name)
        if self.fading == fading and value is None:
            raise ValueError(f"'{name}' is needed with fading={fading!r} (got None)")
        if self.fading != fading and value is not None:
            raise ValueError(f"'{name}' has a meaning with fading={fading!r} only (got {value!r})")

    def _all_of(self, name: str, kind: type | UnionType) -> tuple[Any, ...]:
        value = getattr(self, name)
        items = tuple(value) if isinstance(value, Iterable) else (value, None)
        if not all(isinstance(item, kind) for item in items):
            raise ValueError(f"'{name}' must be a sequence of {getattr(kind, '__name__', kind)} (got {value!r})")
        return items


_OBJECTS: dict[str, type] = {
    "multipath": Multipath,
    "drift": CarrierDrift,
    "transmitter": Transmitter,
    "front_end": ReceiverFrontEnd,
}
