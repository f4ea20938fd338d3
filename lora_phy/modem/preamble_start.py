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
_OFFSETS = np.array(EXTENT_OFFSETS)


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
    return _kernels.first_upchirp(  # type: ignore[no-any-return]
        samples, place, step, sync.cfo_bins, es, reference_chirp(sf), *zoom_table(sf, EXTENT_OFFSETS), _OFFSETS,
        -1 if expected is None else expected, most,
    )  # fmt: skip


def upchirps_behind(samples: IQ, peak: Candidate, params: LoRaParams, *, begin: int = 0) -> float:
    """Start of the run of upchirps that a peak belongs to, within a symbol: its carrier offset is not known yet."""
    own = Sync(
        start=peak.start + 3 * params.num_bins,
        cfo_bins=peak.half_bin / 2,
        num_up=peak.num_summed,
        up_energy=peak.statistic,
    )
    return preamble_start(samples, own, params, begin=begin)
