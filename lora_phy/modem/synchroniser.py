"""From a preamble's peak to its frame: hypotheses on the grid, a fine estimate of each, and the choice between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lora_phy.arrays import IQ
from lora_phy.modem import _detection_kernels as _kernels
from lora_phy.modem.candidates import TONE_STEPS, joint_candidates
from lora_phy.modem.fine_sync import fine_sync
from lora_phy.modem.interpolation import fold
from lora_phy.modem.preamble import Candidate, reference_chirp
from lora_phy.modem.sync import Sync, inside_bonus, is_frame
from lora_phy.params import LoRaParams

CONTINUATION = 6
FOLDED_BEHIND, FOLDED_AHEAD = 24, 17
"""Symbols before and after a peak's last window that hypotheses are drawn from."""


def synchronise(samples: IQ, peak: Candidate, params: LoRaParams, *, fine: IQ | None = None) -> Sync | None:
    """The frame behind a preamble peak, or None where there is none.

    Parameters
    ----------
    samples
        One per chip; positions of the result count from its start.
    fine
        The same stretch at two per chip, where the stream has more than the bandwidth. `samples` then lacks the part
        of a chirp that its carrier offset moves out of the bandwidth: hypotheses come from the folded band too, and
        all are judged on samples that were filtered after their offset had been removed.
    """
    coarse = joint_candidates(samples, peak, params)
    if fine is None:
        found = [fine_sync(samples, item, params) for item in coarse]
    else:
        coarse += [item for item in _folded_candidates(fine, peak, params) if not _listed(item, coarse)]
        found = [fine_sync(fine, item, params, rate=2) for item in coarse]
    frames = [sync for sync in found if is_frame(sync, params)]
    return max(frames, key=lambda sync: sync.energy + inside_bonus(sync, params), default=None)


def continues(samples: IQ, peak: Candidate, params: LoRaParams) -> Candidate | None:
    """The peak six symbols on, where the upchirps go on: a preamble longer than `joint_candidates` looks ahead."""
    num_bins = params.num_bins
    start = peak.start + CONTINUATION * num_bins
    places = start - num_bins * np.arange(peak.num_summed, dtype=np.int64)
    best = (0.0, 0)
    for step in TONE_STEPS:
        r = np.empty(len(places))
        tones = np.full(len(places), (peak.half_bin + step) / 2)
        _kernels.tone_run(samples, places, tones, reference_chirp(params.sf), r)
        best = max(best, (float(r.sum()), (peak.half_bin + step) % (2 * num_bins)))
    if best[0] < 0.6 * peak.statistic:
        return None
    return replace(peak, start=start, half_bin=best[1], statistic=best[0])


def _folded_candidates(fine: IQ, peak: Candidate, params: LoRaParams) -> list[Sync]:
    first = peak.start - FOLDED_BEHIND * params.num_bins
    folded = fold(fine, first, (FOLDED_BEHIND + FOLDED_AHEAD) * params.num_bins)
    found = joint_candidates(folded, replace(peak, start=peak.start - first), params)
    return [replace(item, start=item.start + first) for item in found]


def _listed(sync: Sync, others: list[Sync]) -> bool:
    return any(abs(sync.start - old.start) <= 0.5 and abs(sync.cfo_bins - old.cfo_bins) <= 0.5 for old in others)
