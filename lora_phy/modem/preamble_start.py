"""Start of a preamble: upchirps followed back, by likelihood, as long as they go on."""

from __future__ import annotations

import numpy as np

from lora_phy.arrays import IQ
from lora_phy.modem import _detection_kernels as _kernels
from lora_phy.modem.preamble import Candidate, reference_chirp, zoom_table
from lora_phy.modem.sync import Sync
from lora_phy.params import LoRaParams

LOOK_BACK = 256
EXTENT_OFFSETS = (-0.5, -0.25, 0.0, 0.25, 0.5)
"""Bins around the expected tone, by which the clock is followed along a long preamble."""


def preamble_start(
    samples: IQ, sync: Sync, params: LoRaParams, *, begin: int = 0, expected: int | None = None
) -> float:
    """Start of the first upchirp before the sync word, by likelihood; `expected` upchirps have the larger prior.

    Looks back as long as upchirps go on, up to `LOOK_BACK` more than the parameters name, and follows the clock: over
    hundreds of symbols the preamble's own estimate of the drift is not enough.

    Parameters
    ----------
    begin
        Index at which the stream begins. Where that is inside the preamble, the first upchirp is the first of which at
        least half is there.
    """
    num_bins, sf = params.num_bins, params.sf
    step = num_bins - sync.drift
    place = sync.start - 2 * step
    most = min(params.preamble_len + LOOK_BACK, max(int((place + num_bins / 2 - begin) // num_bins), 0))
    es = max(sync.up_energy / sync.num_up - 1.0, 1.0)
    score, starts = np.zeros(1), np.array([place])
    best = 0
    while len(score) - 1 < most and best >= len(score) - 1 - 4:
        known = len(score) - 1
        reach = min(most, known + 16)
        # the sync's own estimate holds near it, further back the tone that the batch shows
        free = known > 0 or expected is None
        evidence, places = np.empty(reach - known), np.empty(reach - known)
        earlier = _kernels.upchirps_back(
            samples, place, step, sync.cfo_bins, es, reference_chirp(sf), *zoom_table(sf, EXTENT_OFFSETS),
            np.array(EXTENT_OFFSETS), free, evidence, places,
        )  # fmt: skip
        score = np.append(score, score[-1] + np.cumsum(evidence))
        starts = np.append(starts, places)
        weighed = score
        if expected is not None:
            weighed = score - 9.0
            weighed[min(expected, len(score)) : expected + 1] += 9.0
            weighed[:6] -= 20.0  # shorter than any receiver accepts, unless the stream begins inside
        best = int(np.argmax(weighed))
        place = float(places[-1])
        if best >= len(score) - 1 - 4 and free:
            place -= earlier
            starts[known + 1 :] -= earlier
            step += 0.5 * earlier / len(places)
    return float(starts[best])


def upchirps_behind(samples: IQ, peak: Candidate, params: LoRaParams, *, begin: int = 0) -> float:
    """Start of the run of upchirps that a peak belongs to, within a symbol: its carrier offset is not known yet."""
    own = Sync(
        start=peak.start + 3 * params.num_bins,
        cfo_bins=peak.half_bin / 2,
        num_up=peak.num_summed,
        up_energy=peak.statistic,
    )
    return preamble_start(samples, own, params, begin=begin)
