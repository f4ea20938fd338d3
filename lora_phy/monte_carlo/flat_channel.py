"""Flat channel, as a synchronised receiver sees it: a gain, a residual carrier offset and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lora_phy.channel.fading import nakagami_gain, rician_gain
from lora_phy.channel.params import ChannelParams
from lora_phy.params import LoRaParams
from lora_phy.units import db_to_linear

FLAT_FIELDS = ("snr_db", "fading", "k_factor_db", "nakagami_m")
_LARGEST_AMPLITUDE = 1e15


@dataclass(frozen=True)
class FlatChannel:
    """A gain, a residual carrier offset and noise: all that a synchronised receiver sees of many a channel."""

    snr_db: float
    cfo_bins: float
    fading: str | None
    k_factor: float
    nakagami_m: float

    @property
    def noise_power(self) -> float:
        """Noise per sample at one sample a chip."""
        return float(10.0 ** (-self.snr_db / 10.0))

    def amplitude(self, sf: int) -> float:
        """Mean of the right bin over the standard deviation of all: sqrt(Es/N0)."""
        return min(math.sqrt(2.0**sf * float(db_to_linear(min(self.snr_db, 400.0)))), _LARGEST_AMPLITUDE)

    def gains(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.complex128]:
        """Complex ``(count,)``: independent fades of mean power 1."""
        if self.fading is None:
            return np.ones(count, np.complex128)
        if self.fading == "nakagami":
            return nakagami_gain(self.nakagami_m, count, rng=rng)
        return rician_gain(self.k_factor, count, rng=rng)


def as_channel(channel: ChannelParams | float) -> ChannelParams:
    """A `ChannelParams`, from itself or from an SNR in dB."""
    return channel if isinstance(channel, ChannelParams) else ChannelParams(snr_db=channel)


def flat_channel(params: LoRaParams, channel: ChannelParams) -> FlatChannel | None:
    """The channel as a `FlatChannel`, or None where it is more than that."""
    flat = ChannelParams(cfo_hz=channel.cfo_hz, **{name: getattr(channel, name) for name in FLAT_FIELDS})
    if channel != flat:
        return None
    cfo_bins = channel.cfo_hz * params.symbol_duration_s
    k_factor_db = -math.inf if channel.k_factor_db is None else channel.k_factor_db
    return FlatChannel(
        snr_db=channel.snr_db,
        cfo_bins=-cfo_bins if params.inverted_iq else cfo_bins,
        fading=channel.fading,
        k_factor=math.inf if k_factor_db > 300.0 else 10.0 ** (k_factor_db / 10.0),
        nakagami_m=channel.nakagami_m or 1.0,
    )
