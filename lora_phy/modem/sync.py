"""What a preamble says about its frame, and what it takes to believe it.

    | upchirps | sync 1 | sync 2 | down | down | 1/4 down | data …
                                 ^ start

A delay D and a carrier offset move an upchirp's tone to cfo - D bins and a downchirp's to cfo + D: one alone cannot
tell them apart, both together can, up to half a symbol and half the bandwidth at once; which windows hold what settles
that. Signal model: M. Xhonneux et al., IEEE IoT-J 2021 (arXiv 1912.11344). Estimators ``(samples, …) -> estimate``
and one corrector, each in its module:

    candidates       every start and offset that agrees with the upchirps' tone, by summed energy on the window grid
    estimate         fractional delay, offset and drift: the maximum of the summed energy of all preamble symbols
    synchroniser     the frame behind a peak: both, and the choice between hypotheses
    extent           where the upchirps begin
    interpolation    the corrector
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import scipy.special

from lora_phy.params import LoRaParams

NUM_UPCHIRPS = 8
MIN_SHARE = 0.2
"""Least energy of a preamble's weakest part, symbol by symbol, in units of the others'."""
INSIDE_BONUS = 8.0
"""In units of noise energy: offsets within a quarter of the bandwidth are the usual ones."""


@dataclass(frozen=True, kw_only=True)
class Sync:
    """Where a frame is, as far as its preamble tells. Energies are in units of the noise energy in one bin.

    Parameters
    ----------
    start
        Sample (fractional, one per chip) at which the first downchirp begins.
    cfo_bins
        Carrier offset in units of bandwidth / 2**sf.
    drift
        Chips by which each symbol is shorter than 2**sf: 2**sf times the clock offset.
    sync_symbols
        The two chirps of the sync word, as decided.
    up_energy, sync_energy, down_energy
        Matched energy of `num_up` upchirps, of the two sync chirps and of two downchirps.
    signal_power, noise_power
        Per sample, the noise's within the bandwidth; `noise_power` counts all that lies in other bins, leakage too.
    snr_db
        Signal over noise, without the leakage.
    own_network
        False where another sync word than that of the parameters is clearly likelier.
    """

    start: float
    cfo_bins: float
    drift: float = 0.0
    sync_symbols: tuple[int, int] = (0, 0)
    num_up: int = NUM_UPCHIRPS
    up_energy: float = 0.0
    sync_energy: float = 0.0
    down_energy: float = 0.0
    signal_power: float = 0.0
    noise_power: float = 0.0
    snr_db: float = 0.0
    own_network: bool = True

    @property
    def energy(self) -> float:
        """Energy of all matched symbols."""
        return self.up_energy + self.sync_energy + self.down_energy


def is_frame(sync: Sync, params: LoRaParams) -> bool:
    """Whether the energies can be a frame's: the sum beyond what noise reaches, no part missing.

    Nor may the downchirps outdo the upchirps: a stray peak just before a strong preamble reaches that one's downchirps.
    """
    if not sync.own_network or sync.energy < frame_threshold(params.sf, sync.num_up, params.sync_word is None):
        return False
    up, word, down = sync.up_energy / sync.num_up, sync.sync_energy / 2, sync.down_energy / 2
    return min(down, word) >= MIN_SHARE * up and up >= MIN_SHARE * down


def is_convincing(sync: Sync) -> bool:
    """Whether sync word and downchirps carry at least half of the energy that the upchirps promise.

    Equal symbols in a payload can pass for upchirps; what follows them is then weak.
    """
    return sync.down_energy + sync.sync_energy >= 0.5 * 4 * sync.up_energy / sync.num_up


def inside_bonus(sync: Sync, params: LoRaParams) -> float:
    """What a hypothesis gains by lying where carrier offsets usually do."""
    return INSIDE_BONUS if abs(sync.cfo_bins) <= params.num_bins / 4 + 2 else 0.0


@cache
def frame_threshold(sf: int, num_up: int, any_word: bool = False, false_per_symbol: float = 1e-11) -> float:
    """Energy of all preamble symbols that noise passes at most `false_per_symbol` times a symbol.

    The Gamma tail of the summed energies times the number of cells: 4 N starts a symbol, 4 N offsets, 256 sync words
    (`any_word`: all pairs of chirps).
    """
    num_bins = 1 << sf
    cells = 4 * num_bins * 4 * num_bins * (max(num_bins**2, 256) if any_word else 256)
    return float(scipy.special.gammainccinv(num_up + 4, false_per_symbol / cells))
