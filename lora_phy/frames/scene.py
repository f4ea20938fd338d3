"""Frames on a common timeline: who sends what, when, how loud and how far off, as `Interferer` objects.

A frame is made at the lowest whole number of samples a chip that reaches the stream's rate, brought to that rate by
band-limited resampling (which also removes what lies outside the stream's band) and delayed by the rest of a sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lora_phy.arrays import IQ
from lora_phy.channel import Interferer
from lora_phy.channel.interference import add_interferers
from lora_phy.frames.transceiver import transmit
from lora_phy.params import LoRaParams
from lora_phy.resampling import change_rate, fractional_delay

_GUARD = 64  # samples of room for the interpolator's tail before the frame's first sample


@dataclass(frozen=True, kw_only=True)
class Transmission:
    """One frame of the scene.

    Parameters
    ----------
    payload, params
        What is sent, with any SF, bandwidth, direction (`inverted_iq`) and coding.
    start_s
        When its preamble begins, in seconds from the first sample of the stream; may be negative.
    power_db
        Relative to a signal of power 1.
    center_offset_hz
        Its centre frequency relative to the stream's.
    phase_rad
        Carrier phase at its first sample.

    Examples
    --------
    >>> Transmission(payload=b"hi", params=LoRaParams(sf=7), start_s=0.1).power_db
    0.0
    """

    payload: bytes
    params: LoRaParams
    start_s: float = 0.0
    power_db: float = 0.0
    center_offset_hz: float = 0.0
    phase_rad: float = 0.0

    def __post_init__(self) -> None:
        """Validate."""
        for name in ("start_s", "center_offset_hz", "phase_rad"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"'{name}' must be finite (got {getattr(self, name)!r})")


def interferer(transmission: Transmission, sample_rate_hz: float) -> Interferer:
    """The frame as ready IQ at `sample_rate_hz`, for `ChannelParams.interferers`.

    Examples
    --------
    >>> other = Transmission(payload=b"hi", params=LoRaParams(sf=8, bandwidth_hz=250e3), start_s=1e-3)
    >>> interferer(other, 125e3).start_sample
    61
    """
    if not (math.isfinite(sample_rate_hz) and sample_rate_hz > 0):
        raise ValueError(f"'sample_rate_hz' must be positive and finite (got {sample_rate_hz!r})")
    bandwidth_hz = transmission.params.bandwidth_hz
    oversampling = max(1, math.ceil(sample_rate_hz / bandwidth_hz * (1 - 1e-9)))
    frame = transmit(transmission.payload, replace(transmission.params, oversampling=oversampling))
    position = transmission.start_s * sample_rate_hz
    whole = round(position)
    rate_hz = bandwidth_hz * oversampling
    if rate_hz == sample_rate_hz and position == whole:
        iq, start = frame, whole
    else:
        scale = math.ceil(rate_hz / sample_rate_hz)
        quiet = np.zeros(_GUARD * scale, dtype=np.complex64)
        iq = change_rate(np.concatenate([quiet, frame, quiet]), rate_hz, sample_rate_hz)
        lead = quiet.size * sample_rate_hz / rate_hz
        shift = position - lead
        start = math.floor(shift)
        iq = fractional_delay(iq, shift - start, half_width=_GUARD)
    iq = iq * np.complex64(np.exp(1j * transmission.phase_rad))
    return Interferer(iq, start, transmission.power_db, transmission.center_offset_hz)


def scene(
    transmissions: Sequence[Transmission], num_samples: int, sample_rate_hz: float, *, background: IQ | None = None
) -> IQ:
    """All frames added on one timeline, ``(num_samples,)`` complex64, without noise.

    Examples
    --------
    >>> params = LoRaParams(sf=7)
    >>> iq = scene([Transmission(payload=b"a", params=params, start_s=8e-6)], 3000, params.sample_rate_hz)
    >>> bool(iq[0] == 0), bool(np.all(iq[1:] == transmit(b"a", params)[:2999]))
    (True, True)
    """
    out = np.zeros(num_samples, dtype=np.complex64) if background is None else np.array(background, dtype=np.complex64)
    if out.shape != (num_samples,):
        raise ValueError(f"'background' must have shape ({num_samples},) (got {out.shape})")
    return add_interferers(out, [interferer(each, sample_rate_hz) for each in transmissions], sample_rate_hz)
