"""Hypothesis strategies: parameters, payloads, symbols and channels that laws are tried on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lora_phy.conformance.definition import ComplexArray
from lora_phy.params import LoRaParams


def payloads(max_size: int = 32) -> st.SearchStrategy[bytes]:
    """Bytes of a payload, from none."""
    return st.binary(max_size=max_size)


@st.composite
def parameters(draw: st.DrawFn, /, **fixed: Any) -> LoRaParams:
    """Parameters with an explicit header; what is `fixed` is not drawn."""
    choices: dict[str, st.SearchStrategy[Any]] = {
        "sf": st.integers(7, 12) | st.integers(5, 6),
        "cr": st.integers(1, 4),
        "crc": st.just(True) | st.booleans(),
        "ldro": st.none() | st.booleans(),
        "inverted_iq": st.just(False) | st.booleans(),
        "waveform": st.sampled_from(("chip", "textbook")),
    }
    return LoRaParams(**fixed, **{name: draw(choices[name]) for name in choices if name not in fixed})


@st.composite
def symbol_lists(draw: st.DrawFn, /, sf: int, max_size: int = 8) -> list[int]:
    """Symbol values of a spreading factor, at least one."""
    return draw(st.lists(st.integers(0, (1 << sf) - 1), min_size=1, max_size=max_size))


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Channel of a frame: silence before and after, carrier offset, gain, white noise; all from one seed."""

    lead: int
    cfo_bins: float
    gain_db: float
    snr_db: float
    seed: int

    def apply(self, iq: ComplexArray, params: LoRaParams) -> ComplexArray:
        """The stream that arrives, the frame beginning at sample `lead`; `snr_db` counts noise in the bandwidth."""
        rng = np.random.default_rng(self.seed)
        quiet = np.zeros(4 * params.samples_per_symbol)
        stream = np.concatenate([np.zeros(self.lead), np.asarray(iq, np.complex128), quiet])
        cycles = self.cfo_bins / (params.num_bins * params.oversampling)
        stream = stream * np.exp(2j * np.pi * (cycles * np.arange(len(stream)) + rng.random()))
        power = params.oversampling * 10 ** (-self.snr_db / 10)
        noise = rng.standard_normal(len(stream)) + 1j * rng.standard_normal(len(stream))
        return np.asarray(10 ** (self.gain_db / 20) * (stream + np.sqrt(power / 2) * noise))


def channels() -> st.SearchStrategy[Channel]:
    """Channels that no receiver may lose a frame in: 15 dB, an offset of up to a tenth of the bandwidth at SF7."""
    return st.builds(
        Channel,
        lead=st.integers(0, 4000),
        cfo_bins=st.floats(-12, 12, width=32),
        gain_db=st.sampled_from((0.0, -60.0, 40.0)),
        snr_db=st.just(15.0),
        seed=st.integers(0, 1 << 16),
    )
