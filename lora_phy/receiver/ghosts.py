"""Ghosts: what a receiver of the same chirp slope makes of a frame that another receiver has read.

A chirp sweeps its bandwidth B in 2**SF / B seconds: SF7 at 500 kHz is as steep as SF5 at 250 kHz, which hears a half of
every chirp, and upchirps in any payload. Its frames are damaged, weaker, and lie inside the one whose CRC holds.
"""

from __future__ import annotations

import math

from lora_phy.params import LoRaParams
from lora_phy.receiver.frame_reception import RxFrame


class Ghosts:
    """The frames whose CRC held, as long as one that begins later may lie inside them."""

    def __init__(self, sample_rate_hz: float) -> None:
        """Take the rate in which the frames' places count."""
        self._rate = sample_rate_hz
        self._sure: list[RxFrame] = []

    def without(self, frames: list[RxFrame]) -> list[RxFrame]:
        """The frames, which come in time order, but for those that are ghosts."""
        kept = []
        for frame in frames:
            self._sure = [sure for sure in self._sure if self._end(sure) > frame.start_sample]
            if frame.crc_ok:
                self._sure.append(frame)
            elif any(is_ghost_of(frame, sure) for sure in self._sure):
                continue
            kept.append(frame)
        return kept

    def _end(self, frame: RxFrame) -> float:
        params = frame.params
        # upchirps, sync word and downchirps, data: a symbol more or less does not matter
        num_symbols = frame.preamble_len + 4.25 + params.extra_upchirps + len(frame.symbols)
        return frame.start_sample + num_symbols * params.num_bins / params.bandwidth_hz * self._rate


def is_ghost_of(frame: RxFrame, sure: RxFrame) -> bool:
    """Whether a frame whose CRC does not hold is what another receiver of the same slope makes of `sure` around it."""
    own, other = frame.params, sure.params
    return (
        (own.sf, own.bandwidth_hz) != (other.sf, other.bandwidth_hz)
        and own.inverted_iq == other.inverted_iq
        and math.isclose(_slope(own), _slope(other), rel_tol=1e-3)
        and sure.start_sample < frame.start_sample
        and frame.power_dbfs < sure.power_dbfs
    )


def _slope(params: LoRaParams) -> float:
    return params.bandwidth_hz**2 / params.num_bins
