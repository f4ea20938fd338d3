"""Synchronisation from a preamble's peak: grid hypotheses, a fine estimate of each, and the choice among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lora_phy.arrays import IQ
from lora_phy.modem.candidates import joint_candidates
from lora_phy.modem.fine_sync import fine_sync
from lora_phy.modem.interpolation import extract, fold
from lora_phy.modem.preamble import MAX_SUMMED, Candidate, best_nearby, detection_threshold, reference_chirp
from lora_phy.modem.sync import Sync, inside_bonus, is_balanced, is_convincing, is_frame, least_energy, score
from lora_phy.params import LoRaParams

CONTINUATION = 6
STRONG = 2.0
"""Statistic in units of the threshold from which on noise does not fill a gap of four symbols."""
EMPTY = 0.2
"""Energy of the weakest quarter of every second upchirp, in units of the strongest's, below which it is empty."""
MOST_ABSENT = 3
"""Upchirps that may be missing: the stream began after them, or something covered them."""
MOST_STEPS = 3
"""Moves from an unbalanced hypothesis to a better one beside it."""
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
        of a chirp that its carrier offset moves out of the bandwidth: unless they show a frame at a small offset,
        hypotheses come from the folded band too. All are judged on samples that were filtered after their offset had
        been removed.
    """
    coarse = joint_candidates(samples, peak, params)
    stream, rate = (samples, 1) if fine is None else (fine, 2)
    best = _best_frame(stream, coarse, params, rate)
    if fine is not None and not (best is not None and is_balanced(best) and inside_bonus(best, params)):
        folded = [item for item in _folded_candidates(fine, peak, params) if not _listed(item, coarse)]
        found = [sync for sync in (best, _best_frame(stream, folded, params, rate)) if sync is not None]
        best = max(found, key=lambda sync: score(sync, params), default=None)
    for _ in range(MOST_STEPS):
        if best is None or is_balanced(best):
            break
        # the grid ends within a symbol of the truth, or its noise hid the truth behind the alias of half a symbol
        near = _best_frame(stream, _neighbours(best, params), params, rate)
        if near is None or score(near, params) <= score(best, params):
            break
        best = near
    return best


def _best_frame(samples: IQ, coarse: list[Sync], params: LoRaParams, rate: int) -> Sync | None:
    found = [fine_sync(samples, item, params, rate=rate) for item in coarse]
    frames = [sync for sync in found if is_frame(sync, params)]
    return max(frames, key=lambda sync: score(sync, params), default=None)


def _neighbours(sync: Sync, params: LoRaParams) -> list[Sync]:
    """What agrees with the same upchirps: one symbol to either side, and half a symbol with half of the band."""
    num_bins = params.num_bins
    moved = [replace(sync, start=sync.start + step * num_bins) for step in (-1, 1)]
    for step in (-0.5, 0.5):
        cfo = (sync.cfo_bins + num_bins) % num_bins - num_bins / 2
        moved.append(replace(sync, start=sync.start + step * num_bins, cfo_bins=cfo))
    return moved


def a_symbol_later(samples: IQ, sync: Sync, params: LoRaParams, *, rate: int = 1) -> Sync | None:
    """The frame that begins one symbol later, where an accepted word's first chirp is an upchirp and what follows it is
    weak: the word may be the last upchirp and the first half of the true one.
    """
    if params.sync_word is not None or sync.sync_symbols[0] != 0 or is_convincing(sync):
        return None
    later = fine_sync(samples, replace(sync, start=sync.start + params.num_bins), params, rate=rate)
    return later if is_frame(later, params) else None


def continues(
    samples: IQ, peak: Candidate, params: LoRaParams, symbols: int = CONTINUATION, share: float = 0.6
) -> Candidate | None:
    """The peak some symbols on, where the upchirps go on with this share of its energy and more: the preamble may be
    longer than `joint_candidates` looks ahead.

    It is a share of the threshold too: what goes on in noise ends after a few peaks.
    """
    start = peak.start + symbols * params.num_bins
    further = best_nearby(samples, start, peak.half_bin, peak.num_summed, params.sf, steps=0)
    return further if further.statistic >= share * max(peak.statistic, detection_threshold(params)) else None


def goes_on(samples: IQ, peak: Candidate, params: LoRaParams) -> Candidate | None:
    """The peak twelve symbols on, where a strong train of upchirps has no gap until there, and so no sync word where
    `joint_candidates` looks for one. Half a sync word and the downchirps would be four symbols without their tone.
    """
    if peak.num_summed < MAX_SUMMED or peak.statistic < STRONG * detection_threshold(params):
        return None
    far = continues(samples, peak, params, 2 * CONTINUATION, 0.8)
    return far if far is not None and continues(samples, peak, params, CONTINUATION - 2, 0.8) is not None else None


def lasts(samples: IQ, peak: Candidate, params: LoRaParams, *, patient: bool) -> Candidate | None:
    """The peak twelve symbols on, where upchirps of any strength go on until there; else None, or if not `patient` the
    peak six symbols on where they reach that.
    """
    near = continues(samples, peak, params)
    far = None if near is None else continues(samples, peak, params, 2 * CONTINUATION, 0.8)
    return near if far is None and not patient else far


def are_whole_chirps(samples: IQ, sync: Sync, params: LoRaParams, *, rate: int = 1) -> bool:
    """Whether upchirps come one after the other and last for their whole symbol.

    Chirps of the same slope but of another spreading factor and bandwidth (SF9 at 250 kHz is as steep as SF7 at 125
    kHz) cross the band and leave it empty for every second symbol, or for a part of each.
    """
    num_bins, num_up = params.num_bins, sync.num_up
    first = sync.start - (num_up + 2) * num_bins
    rows = extract(samples, first, num_up * num_bins, sync.cfo_bins / num_bins, rate=rate).reshape(num_up, num_bins)
    power = np.maximum((np.abs(rows) ** 2).sum(axis=1, keepdims=True), 1e-30)
    quarters = (rows * reference_chirp(params.sf)).reshape(num_up, 4, num_bins // 4).sum(axis=2) / np.sqrt(power)
    whole = np.abs(quarters.sum(axis=1)) ** 2
    present = whole >= least_energy(sync.up_energy / num_up)
    energies = np.abs(quarters) ** 2
    parts = np.array([energies[0::2].mean(axis=0), energies[1::2].mean(axis=0)])
    return bool(present.sum() >= num_up - MOST_ABSENT and parts.min() >= EMPTY * parts.max())


def _folded_candidates(fine: IQ, peak: Candidate, params: LoRaParams) -> list[Sync]:
    first = peak.start - FOLDED_BEHIND * params.num_bins
    folded = fold(fine, first, (FOLDED_BEHIND + FOLDED_AHEAD) * params.num_bins)
    found = joint_candidates(folded, replace(peak, start=peak.start - first), params)
    return [replace(item, start=item.start + first) for item in found]


def _listed(sync: Sync, others: list[Sync]) -> bool:
    return any(abs(sync.start - old.start) <= 0.5 and abs(sync.cfo_bins - old.cfo_bins) <= 0.5 for old in others)
