"""State of a preamble detector: peaks on their way to a frame, frames already handed out, runs of upchirps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.modem import _payload_kernels
from lora_phy.modem.preamble import Candidate
from lora_phy.modem.preamble_start import preamble_start
from lora_phy.modem.sync import Sync
from lora_phy.params import LoRaParams

RUN_ANCHOR = 8


@dataclass
class Pending:
    """A preamble peak on its way to a frame.

    Parameters
    ----------
    candidate, needed
        The peak, and the chip up to which the stream must be known.
    sync, synchronised
        What was found behind it, and whether that was tried.
    moved
        Whether the start one symbol later has been asked for.
    admitted
        Whether it is followed, whatever the others cost.
    resumed, spent
        Whether it continues the upchirps of an earlier peak, and the work that went into those in vain so far.
    """

    candidate: Candidate
    needed: int
    sync: Sync | None = None
    synchronised: bool = False
    moved: bool = False
    admitted: bool = False
    resumed: bool = False
    spent: int = 0


@dataclass
class DetectedFrame:
    """A frame already handed out: where its downchirps and its data lie (chips), and what was sent."""

    start_down: float
    data: float
    end: float
    symbols: npt.NDArray[np.int64]
    cfo_bins: float
    drift: float
    certain: bool

    def explains(self, candidate: Candidate, num_bins: int) -> bool:
        """Whether the candidate's tone is that of the frame's own symbols, in three or more of its windows."""
        span = candidate.num_summed * num_bins
        if not self.certain or candidate.start < self.data or candidate.start - span > self.end:
            return False
        return bool(
            _payload_kernels.symbols_in_windows(
                self.symbols, self.data, self.cfo_bins, self.drift, num_bins,
                candidate.start, candidate.half_bin, candidate.num_summed,
            ) >= 3
        )  # fmt: skip


@dataclass
class Run:
    """Upchirps that may go on for longer than the stream is kept: their latest peak, and the samples of their beginning
    (chips from `origin` on).
    """

    first: Candidate
    latest: Candidate
    begin: int
    origin: int
    opening: IQ

    def start(self, sync: Sync, params: LoRaParams) -> float:
        """The first upchirp's start (chips of the stream), once the carrier offset is known."""
        n = params.num_bins
        # a window at w shows the tone cfo + w - (start of its upchirp)
        late = (self.first.half_bin / 2 - sync.cfo_bins + n / 2) % n - n / 2
        inside = self.first.start - late
        inside -= n * math.floor((inside - self.begin) / n - RUN_ANCHOR)
        near = replace(sync, start=inside + 2 * (n - sync.drift) - self.origin)
        return self.origin + preamble_start(self.opening, near, params, begin=-self.origin)
