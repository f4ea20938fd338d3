"""Synchronisation: estimates from a preamble, and the tests that a frame must pass.

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

import math
from dataclasses import dataclass
from functools import cache

import scipy.special

from lora_phy.params import LoRaParams

NUM_UPCHIRPS = 8
MIN_SHARE = 0.2
"""Least energy of a preamble's weakest part, symbol by symbol, in units of the others'."""
MOST_OF_WORD = 2.0
"""Energy of a sync chirp in units of an upchirp's beyond which only a CRC makes a frame."""
MIN_SHARE_OF_WORD = 0.35
"""Least energy of an upchirp in units of a sync chirp's: an open word takes whatever chirps a payload has."""
EVIDENT = 12.0
"""Energy of an upchirp, a sync chirp and a downchirp from which on each is there, whatever covers it."""
STRONG_SHARE = 0.4
UNLIKELY = 3.4
"""The same where the signal is strong: as much as noise takes from two symbols once in a million times, in units of the
noise's amplitude, up to the share of fading and interference."""
HOPELESS_SNR_DB = -14.5
DB_PER_SF = 2.65
"""SNR at SF7, and how much less for each further spreading factor, at which no frame is received: 2.5 dB below the SNR
of a packet error rate of 10 % at the coding rate 4/8."""
BALANCE = 0.6
"""Energy of the weakest of sync chirps and downchirps, in units of the upchirps', below which a start is doubted."""
INSIDE_BONUS = 8.0
"""In units of noise energy: offsets within a quarter of the bandwidth are the usual ones."""


@dataclass(frozen=True, kw_only=True)
class Sync:
    """Synchronisation of a frame, as far as its preamble tells. Energies are in units of the noise energy in one bin.

    Parameters
    ----------
    start
        Sample (fractional, one per chip) at which the first downchirp begins.
    cfo_bins
        Carrier offset in units of bandwidth / 2**sf.
    drift
        Chips by which each symbol is shorter than 2**sf: 2**sf times the clock offset.
    rate
        Bins by which the carrier offset moves from symbol to symbol, 0 unless the upchirps show it clearly; `cfo_bins`
        is that at `start`.
    sync_symbols
        The two chirps of the sync word, as decided.
    up_energy, sync_energy, down_energy
        Matched energy of `num_up` upchirps, of the two sync chirps and of two downchirps.
    weakest
        Matched energy of the weakest of the last four.
    going_on
        Energy of two further upchirps in the place of the downchirps.
    as_received
        Energy of an upchirp, the weaker sync chirp and a downchirp, on one scale: not by what else its window holds.
    unevenness
        What sync chirps and downchirps differ from the upchirps by, in energy: squared differences of amplitudes.
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
    rate: float = 0.0
    sync_symbols: tuple[int, int] = (0, 0)
    num_up: int = NUM_UPCHIRPS
    up_energy: float = 0.0
    sync_energy: float = 0.0
    down_energy: float = 0.0
    weakest: float = 0.0
    going_on: float = 0.0
    as_received: tuple[float, float, float] = (0.0, 0.0, 0.0)
    unevenness: float = 0.0
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

    Nor may the upchirps go on where the downchirps should be, nor the downchirps outdo the upchirps: a stray peak just
    before a strong preamble reaches that one's downchirps. A part that a stronger signal of another spreading factor
    covers is missing if it was received weaker than the others, not if its window held more.
    """
    if (
        not sync.own_network
        or sync.going_on > sync.down_energy
        or sync.energy < frame_threshold(params.sf, sync.num_up, params.sync_word is None)
    ):
        return False
    up, word, down = sync.up_energy / sync.num_up, sync.sync_energy / 2, sync.down_energy / 2
    # far above the noise a weak part is no accident of it
    es = max(up - 1.0, 0.1)
    share = min(
        max(MIN_SHARE, (1.0 - UNLIKELY / math.sqrt(2 * es)) ** 2 if 2 * es > UNLIKELY**2 else 0.0), STRONG_SHARE
    )
    return _are_alike(up, word, down, share) or (
        min(up, word, down) >= EVIDENT and _are_alike(*sync.as_received, share)
    )


def _are_alike(up: float, word: float, down: float, share: float) -> bool:
    return min(down, word) >= share * up and up >= MIN_SHARE * down and up >= MIN_SHARE_OF_WORD * word


def is_convincing(sync: Sync) -> bool:
    """Whether sync word and downchirps carry at least half of the energy that the upchirps promise, none of them much
    less, and the sync word not much more.

    Equal symbols in a payload can pass for upchirps; what follows them is then weak, or as strong as payloads are.
    """
    up = sync.up_energy / sync.num_up
    enough = sync.down_energy + sync.sync_energy >= 0.5 * 4 * up
    return enough and sync.weakest >= least_energy(up) and sync.sync_energy <= MOST_OF_WORD * 2 * up


def least_energy(up: float) -> float:
    """Energy that noise leaves a symbol as strong as an upchirp, but for three in a thousand; two fifths at most."""
    return min(max(math.sqrt(max(up - 1.0, 0.0)) - 2.0, 0.0) ** 2, STRONG_SHARE * up)


def is_far_below(sync: Sync, params: LoRaParams) -> bool:
    """Whether a signal is too weak for its spreading factor: what only looks like its chirps, for example those of
    another spreading factor and bandwidth of the same slope.
    """
    return sync.snr_db < HOPELESS_SNR_DB - DB_PER_SF * (params.sf - 7)


def is_balanced(sync: Sync) -> bool:
    """Whether the two downchirps and the sync chirps are about as strong as the upchirps, one by one.

    A start that is half a symbol or a whole one off has one of them, or a part of it, only.
    """
    return sync.weakest >= BALANCE * sync.up_energy / sync.num_up


def score(sync: Sync, params: LoRaParams) -> float:
    """Energy, less what parts of unequal strength speak against it: the sum is then what a likelihood makes of the
    amplitudes. A start one symbol early counts an upchirp for a weak sync chirp and has all but one downchirp; where
    any word is accepted nothing else speaks against it.
    """
    return sync.energy - sync.unevenness + inside_bonus(sync, params)


def inside_bonus(sync: Sync, params: LoRaParams) -> float:
    """Bonus of a hypothesis that lies where carrier offsets usually do."""
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
