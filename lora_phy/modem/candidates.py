"""Hypotheses: every start and carrier offset that agrees with the upchirps' tone, by summed energy on the grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.modem import _search_kernels as _kernels
from lora_phy.modem.preamble import HOPS_PER_SYMBOL, Candidate, Energies, reference_chirp, window_energies, zoom_table
from lora_phy.modem.sync import INSIDE_BONUS, NUM_UPCHIRPS, Sync, score
from lora_phy.modem.sync_words import chirps_of_bytes, sync_alternatives
from lora_phy.params import LoRaParams

NUM_GRID_HYPOTHESES = 32
NUM_REFINED = 4
TONE_STEPS = (-1, 0, 1)
"""Half bins around the tone of the peak: a window that is half a symbol off, or noise, moves it."""
CLOSE_CALL = 16.0
CLOSE_SHARE = 0.1
"""Energy, and share of the energy, within which a second hypothesis is worth a fine estimate."""
LEAST_EVIDENCE = 60.0
"""Energy of sync word and downchirps that is looked at in any case, although the upchirps promise more: they may lie
under a stronger signal."""
STANDS_OUT = 4.0
"""Energy by which a chirp that is no byte's must outdo those that are, to be among the hypotheses for an open word."""
WEAKEST = 0.6
"""Energy of upchirps at which a start is looked at, in units of the largest nearby."""
QUARTER_STEPS = (-0.5, -0.25, 0.0, 0.25, 0.5)
_STEPS, _TONES = np.array(QUARTER_STEPS), np.array(TONE_STEPS)


def joint_candidates(
    samples: IQ, peak: Candidate, params: LoRaParams, *, ahead: int = 9, behind: int = 4
) -> list[Sync]:
    """Coarse (quarter-chip, half-bin) hypotheses for one preamble peak, best first; two at most.

    Every start from `behind` symbols before to `ahead` symbols after the nominal one, and for each the one carrier
    offset that agrees with the upchirps' tone. The second is the best one more than 1/8 symbol away from the first.
    """
    num_bins = params.num_bins
    hop = num_bins // HOPS_PER_SYMBOL
    nominal = peak.start + 3 * num_bins
    first_up = (nominal - behind * num_bins) // hop - (3 + peak.num_summed) * HOPS_PER_SYMBOL
    last_up = (nominal + ahead * num_bins) // hop + HOPS_PER_SYMBOL
    places = np.arange(first_up * hop, last_up * hop, hop, dtype=np.int64)
    up = window_energies(samples, places, params.sf)
    tones = peak.half_bin + _TONES
    sums = np.empty((len(tones), len(places)), dtype=np.float32)
    shifts = 2 * (places - peak.start)
    # only starts after enough upchirps: they bound the windows that need to be looked at for downchirps
    level = np.empty(len(places), dtype=np.float32)
    largest, row_low, row_high = _kernels.upchirp_sums(
        up, tones, shifts, peak.num_summed, HOPS_PER_SYMBOL, np.float32(WEAKEST), sums, level
    )
    low = max((row_low + first_up + 3 * HOPS_PER_SYMBOL) * hop - hop // 2, nominal - behind * num_bins)
    high = min((row_high + first_up + 3 * HOPS_PER_SYMBOL) * hop + hop // 2, nominal + ahead * num_bins)
    if largest <= 0 or high <= low:
        return []
    first_down = low // hop - 1
    last_down = high // hop + HOPS_PER_SYMBOL + 3
    places = np.arange(first_down * hop, last_down * hop, hop, dtype=np.int64)
    down = window_energies(samples, places, params.sf, down=True)
    # where the word is open, what its windows may hold: the chirps of bytes, and others that stand out
    alphabet = sync_alternatives(params)
    if params.sync_word is None:
        windows = slice(max((low - 3 * num_bins) // hop - first_up, 0), high // hop - first_up + 1)
        seen = _chirps_seen(up[windows], peak.half_bin + shifts[windows], params.sf)
        alphabet = np.tile(np.union1d(alphabet[0], seen), (2, 1))
    start, cfo, ups = _kernels.grid_search(
        up, down, sums, level, np.float32(WEAKEST * largest), first_up, first_down, hop, tones, peak.start,
        2 * alphabet, low, high, np.float32(INSIDE_BONUS), peak.num_summed, NUM_GRID_HYPOTHESES,
    )  # fmt: skip
    if len(start) == 0:
        return []
    chirp, zoom = reference_chirp(params.sf), zoom_table(params.sf, QUARTER_STEPS)
    found = _kernels.judge_hypotheses(
        samples, start, cfo, ups, chirp, *zoom, alphabet, np.float32(INSIDE_BONUS), peak.num_summed,
        min(NUM_REFINED, len(start)),
        min(0.35 * 4 / peak.num_summed * largest, LEAST_EVIDENCE), min(NUM_UPCHIRPS, params.preamble_len), _STEPS,
    )  # fmt: skip
    if len(found) == 0:
        return []
    refined = [
        Sync(start=row[0], cfo_bins=row[1], up_energy=row[2], down_energy=row[3], unevenness=row[4])
        for row in found.tolist()
    ]
    refined.sort(key=lambda item: -score(item, params))
    best = refined[0]
    least = score(best, params) - max(CLOSE_CALL, CLOSE_SHARE * best.energy)
    close = [item for item in refined[1:] if abs(item.start - best.start) > 1.5 and score(item, params) > least]
    return [best, *close[:1]]


def _chirps_seen(energies: Energies, zero: npt.NDArray[np.int64], sf: int) -> npt.NDArray[np.int64]:
    """Chirp values that outdo those of all bytes in some window; `zero`: each window's half bin of an upchirp."""
    num_bins = 1 << sf
    columns = np.argmax(energies, axis=1)
    half_bins = 2 * (columns % num_bins) + columns // num_bins
    known = (zero[:, np.newaxis] + 2 * chirps_of_bytes(sf)) % (2 * num_bins)
    rows = np.arange(len(energies))
    of_bytes = energies[rows[:, np.newaxis], known // 2 + num_bins * (known % 2)].max(axis=1)
    moved = (half_bins - zero)[energies[rows, columns] > of_bytes + STANDS_OUT]
    # both neighbours of a half bin
    return np.concatenate([moved // 2, (moved + 1) // 2]) % num_bins
