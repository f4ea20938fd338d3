"""Streams to receive: frames at known places, heard through a channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from lora_phy import ChannelParams, LoRaParams, apply_channel, transmit


@dataclass(frozen=True)
class Heard:
    iq: np.ndarray
    payload: bytes
    start: float


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture
def hear(rng: np.random.Generator) -> Callable[..., Heard]:
    """One frame after `lead` samples, with the channel's settings by name, and dB by which symbols are `weakened`."""

    def one(
        params: LoRaParams,
        *,
        payload: bytes | None = None,
        lead: int | None = None,
        tail: int = 16,
        weakened: Mapping[int, float] = MappingProxyType({}),
        **channel: Any,
    ) -> Heard:
        size = params.samples_per_symbol
        payload = rng.integers(0, 256, 16, dtype=np.uint8).tobytes() if payload is None else payload
        lead = 5 * size + int(rng.integers(0, 2 * size)) if lead is None else lead
        turn = np.complex64(np.exp(2j * np.pi * rng.random()))
        silence = np.zeros(lead, np.complex64), np.zeros(tail * size, np.complex64)
        sent = transmit(payload, params) * turn
        for symbol, weaker_db in weakened.items():
            sent[symbol * size : (symbol + 1) * size] *= np.float32(10 ** (-weaker_db / 20))
        stream = np.concatenate([silence[0], sent, silence[1]])
        settings = ChannelParams(**channel)
        start = lead / (1 + 1e-6 * settings.sfo_ppm) + settings.sto_samples
        return Heard(apply_channel(stream, settings, params, rng=rng), payload, start)

    return one
