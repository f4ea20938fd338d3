"""`LinkPoint`: one point of an experiment, and its identity.

A point says everything about a link but its random draws; the SHA-256 of what it says seeds its frames and names its
results.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from lora_phy.channel import ChannelParams, Stage
from lora_phy.monte_carlo.engines import require_valid
from lora_phy.monte_carlo.flat_channel import as_channel
from lora_phy.params import MAX_PAYLOAD_LEN, LoRaParams

Sync = Literal["receiver", "perfect"]
Decoding = Literal["soft", "hard"]


@dataclass(frozen=True)
class LinkPoint:
    """One point of an experiment: everything about a link but its random draws.

    Parameters
    ----------
    params
        Waveform and framing; used by transmitter and receiver.
    channel
        A `ChannelParams`, or an SNR in dB.
    payload_len
        Random bytes in each frame, 0–255.
    sync
        "receiver": frames are detected, synchronised and decoded by `receive`. "perfect": the receiver knows where the
        frame starts and estimates nothing; offsets of the channel act as residual errors.
    decoding
        "soft": max-log metrics; "hard": decisions, in reduced-rate symbols among the legal bins.

    Raises
    ------
    ValueError
        Naming the parameter, the bound and the value.

    Examples
    --------
    >>> point = LinkPoint(LoRaParams(sf=7, cr=4), -9.5, 16, sync="perfect", decoding="hard")
    >>> point.channel.snr_db, len(point.key)
    (-9.5, 64)
    """

    params: LoRaParams
    channel: ChannelParams
    payload_len: int
    sync: Sync = dataclasses.field(default="receiver", kw_only=True)
    decoding: Decoding = dataclasses.field(default="soft", kw_only=True)

    def __post_init__(self) -> None:
        """Validate once; an SNR becomes a channel."""
        if not isinstance(self.params, LoRaParams):
            raise ValueError(f"'params' must be LoRaParams (got {self.params!r})")
        object.__setattr__(self, "channel", as_channel(self.channel))
        length = self.payload_len
        if isinstance(length, bool) or not hasattr(length, "__index__") or not 0 <= int(length) <= MAX_PAYLOAD_LEN:
            raise ValueError(f"'payload_len' must be an integer in [0, {MAX_PAYLOAD_LEN}] (got {length!r})")
        object.__setattr__(self, "payload_len", int(length))
        if self.sync not in ("receiver", "perfect"):
            raise ValueError(f"'sync' must be 'receiver' or 'perfect' (got {self.sync!r})")
        if self.decoding not in ("soft", "hard"):
            raise ValueError(f"'decoding' must be 'soft' or 'hard' (got {self.decoding!r})")
        if not self.params.explicit_header and self.params.payload_len not in (None, self.payload_len):
            raise ValueError(
                f"'payload_len' must be that of the implicit-header parameters, {self.params.payload_len}"
                f" (got {self.payload_len!r})"
            )

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything in the point, in hexadecimal: its identity."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """The point as plain values; arrays as their hash."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @property
    def receiver_params(self) -> LoRaParams:
        """The parameters with the length a receiver of implicit-header frames needs."""
        return self.params if self.params.explicit_header else replace(self.params, payload_len=self.payload_len)


def require_valid_point(point: LinkPoint, engine: str) -> None:
    """Raise the ValueError that says why an engine cannot simulate a point."""
    require_valid(engine, point.channel)
    if engine == "waveform":
        return
    if point.sync != "perfect":
        raise ValueError(
            f"'engine' {engine!r} has no waveform to synchronise to, so 'sync' must be 'perfect' (got {point.sync!r})"
        )
    if engine in ("order-statistics", "importance") and point.decoding == "soft":
        raise ValueError(
            f"'engine' {engine!r} draws which bin wins and not the others, so 'decoding' must be 'hard' (got 'soft');"
            " use engine='bins'"
        )


def stream_seed(point: LinkPoint, seed: int) -> tuple[int, ...]:
    """Entropy of a point's streams: the seed and the point's hash."""
    return (int(seed), int(point.key[:32], 16))


def _plain(value: Any) -> Any:
    """A value as JSON can hold it, different for different values; of a user's own channel stage, its key."""
    if isinstance(value, Stage) and callable(value):
        return {"stage": value.key}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        # fields at their default are left out, so that a field added later does not change the identity of old points
        default = {field.name: field.default for field in dataclasses.fields(value)}
        told = {name: _plain(item) for name, item in fields.items() if _differs(item, default[name])}
        return {"class": type(value).__name__, **told}
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return {"dtype": str(value.dtype), "shape": list(value.shape), "sha256": digest}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, complex) or (isinstance(value, float) and not math.isfinite(value)):
        return repr(value)
    return value


def _differs(value: Any, default: Any) -> bool:
    return isinstance(value, np.ndarray) or value != default
