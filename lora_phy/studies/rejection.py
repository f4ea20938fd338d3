"""Inter-SF rejection thresholds: the signal-to-interference ratio a chirp of one SF needs against chirps of another.

Criterion. No noise, perfect synchronisation on the wanted chirps, one interferer of the same bandwidth that sends
random symbols at a random time and carrier phase. Threshold: the SIR at which the uncoded bit error rate (or the symbol
error rate) is 1 %.

For one draw, let z be the dechirped spectrum of the interferer at power 1, s the wanted bin and a the wanted amplitude.
The decision is wrong exactly while |a e^{jφ} + z_s| < max_{k≠s} |z_k|, that is for a below one critical value

    a* = -|z_s| cos ψ + sqrt(m² - |z_s|² sin² ψ),     m = max_{k≠s} |z_k|,  ψ the angle between both

(0 where m never wins). Where |z_s| > m the wanted chirp can also be lost between two values of a, by cancelling the
interferer in its own bin; the larger one counts. So one set of draws gives the error rate at every SIR: P(a* > a).

Croce et al., IEEE Commun. Lett. 22(4), 2018; Goursaud and Gorce, EAI Endorsed Trans. IoT 1(1), 2015; both as tabulated
by network simulators (ns-3 lorawan).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lora_phy.arrays import FloatArray
from lora_phy.modem.demodulation import correlate
from lora_phy.modem.modulation import modulate
from lora_phy.params import LoRaParams

SPREADING_FACTORS = tuple(range(7, 13))

CROCE_DB = np.array(
    [
        [1, -8, -9, -9, -9, -9],
        [-11, 1, -11, -12, -13, -13],
        [-15, -13, 1, -13, -14, -15],
        [-19, -18, -17, 1, -17, -18],
        [-22, -22, -21, -20, 1, -20],
        [-25, -25, -25, -24, -23, 1],
    ],
    dtype=np.float64,
)
"""Published thresholds, rows wanted SF7…12, columns interferer SF7…12."""

GOURSAUD_DB = np.array(
    [
        [6, -16, -18, -19, -19, -20],
        [-24, 6, -20, -22, -22, -22],
        [-27, -27, 6, -23, -25, -25],
        [-30, -30, -30, 6, -26, -28],
        [-33, -33, -33, -33, 6, -29],
        [-36, -36, -36, -36, -36, 6],
    ],
    dtype=np.float64,
)
"""Published thresholds in the same order; simulation does not reproduce those between SFs."""


@dataclass(frozen=True, kw_only=True)
class RejectionMatrix:
    """Thresholds and what they mean; `sir_db[i, j]`: wanted `sfs[i]` against an interferer of `sfs[j]`."""

    sfs: tuple[int, ...]
    sir_db: FloatArray
    criterion: Literal["ber", "ser"]
    target: float
    num_symbols: int
    seed: int

    def text(self) -> str:
        """The matrix beside Croce's and Goursaud's where they have the pair."""
        lines = [f"SIR in dB at {self.criterion.upper()} {self.target:g}: ours / Croce / Goursaud; columns: interferer"]
        lines.append("wanted  " + "".join(f"{f'SF{sf}':>19}" for sf in self.sfs))
        for i, sf in enumerate(self.sfs):
            cells = []
            for j, other in enumerate(self.sfs):
                published = ""
                if sf in SPREADING_FACTORS and other in SPREADING_FACTORS:
                    published = f" /{CROCE_DB[sf - 7, other - 7]:4.0f} /{GOURSAUD_DB[sf - 7, other - 7]:4.0f}"
                cells.append(f"{self.sir_db[i, j]:.1f}{published}".rjust(19))
            lines.append(f"SF{sf:<6}" + "".join(cells))
        return "\n".join(lines)


def rejection_matrix(
    sfs: tuple[int, ...] = SPREADING_FACTORS,
    *,
    criterion: Literal["ber", "ser"] = "ber",
    target: float = 0.01,
    num_symbols: int = 4000,
    seed: int = 0,
) -> RejectionMatrix:
    """Thresholds of every pair of `sfs`, by simulation of the criterion above.

    Parameters
    ----------
    sfs
        Spreading factors, 5–12.
    criterion, target
        What is held at `target`: uncoded bit errors, or symbol errors.
    num_symbols
        Draws for each pair, ≥ 1; with 4000 the threshold is good to about 0.5 dB.
    seed
        Each pair has its own stream, so a pair's value does not depend on the others asked for.

    Raises
    ------
    ValueError
        A bad SF, criterion, target or number of symbols.

    Examples
    --------
    >>> matrix = rejection_matrix((7, 8), num_symbols=1000)
    >>> bool(np.all(np.abs(matrix.sir_db - [[0, -10], [-12.6, 0]]) < 1.5))
    True
    """
    if criterion not in ("ber", "ser"):
        raise ValueError(f"'criterion' must be 'ber' or 'ser' (got {criterion!r})")
    if not 0.0 < target < 0.5:
        raise ValueError(f"'target' must be in (0, 0.5) (got {target!r})")
    if num_symbols < 1:
        raise ValueError(f"'num_symbols' must be at least 1 (got {num_symbols!r})")
    sir_db = np.empty((len(sfs), len(sfs)))
    for i, sf in enumerate(sfs):
        for j, other in enumerate(sfs):
            critical, weight = critical_amplitudes(sf, other, num_symbols, rng=np.random.default_rng([seed, sf, other]))
            sir_db[i, j] = _threshold_db(critical, weight if criterion == "ber" else np.ones_like(weight), target)
    return RejectionMatrix(
        sfs=tuple(sfs), sir_db=sir_db, criterion=criterion, target=target, num_symbols=num_symbols, seed=seed
    )


def capture_curve(
    sf: int, other_sf: int, sir_db: FloatArray, *, num_symbols: int = 20_000, seed: int = 0
) -> FloatArray:
    """Symbol error rate of `sf` against one interferer of `other_sf`, no noise, at every SIR of `sir_db`.

    With equal SFs this is the capture effect of the unaligned, phase-random interferer of Afisiadis et al., IEEE Trans.
    Wireless Commun. 19(5), 2020.

    Examples
    --------
    >>> ser = capture_curve(7, 7, np.array([-20.0, 20.0]), num_symbols=500)
    >>> bool(ser[0] > 0.95), float(ser[1])
    (True, 0.0)
    """
    critical, _ = critical_amplitudes(sf, other_sf, num_symbols, rng=np.random.default_rng([seed, sf, other_sf]))
    amplitude = 10.0 ** (np.asarray(sir_db, dtype=np.float64) / 20.0)
    return np.asarray(np.mean(critical > amplitude[..., None], axis=-1))


def critical_amplitudes(
    sf: int, other_sf: int, num_symbols: int, *, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """a* of `num_symbols` draws, and for each the share of wrong bits where the decision is wrong.

    The interferer's timing is uniform over its symbol in quarters of a chip (both are made at 4 samples a chip and
    every fourth is kept, which is what a receiver at one sample a chip sees of an unfiltered chirp).

    Examples
    --------
    >>> critical, bits = critical_amplitudes(7, 9, 100, rng=np.random.default_rng(0))
    >>> critical.shape, bool(np.all((bits > 0) & (bits <= 1)))
    ((100,), True)
    """
    wanted = LoRaParams(sf=sf)
    other = LoRaParams(sf=other_sf, oversampling=_FRACTIONS)
    critical, wrong_bits = np.empty(num_symbols), np.empty(num_symbols)
    block = max(1, _SAMPLES_AT_ONCE // (wanted.num_bins + 2 * other.num_bins))
    for start in range(0, num_symbols, block):
        count = min(block, num_symbols - start)
        heard = _interferer(wanted, other, count, rng)
        z = correlate(heard, wanted).astype(np.complex128)
        sent = rng.integers(0, wanted.num_bins, count)
        rows = np.arange(count)
        at_sent = z[rows, sent]
        magnitude = np.abs(z)
        magnitude[rows, sent] = 0.0
        rival = np.argmax(magnitude, axis=-1)
        m = magnitude[rows, rival]
        angle = rng.uniform(0, 2 * np.pi, count)
        size = np.abs(at_sent)
        root = m**2 - (size * np.sin(angle)) ** 2
        a = np.where(root >= 0, -size * np.cos(angle) + np.sqrt(np.maximum(root, 0.0)), 0.0)
        critical[start : start + count] = np.maximum(a, 0.0)
        differing = _label(sent, wanted.num_bins) ^ _label(rival, wanted.num_bins)
        wrong_bits[start : start + count] = np.bitwise_count(differing) / sf
    return critical, wrong_bits


_FRACTIONS = 4
_SAMPLES_AT_ONCE = 1 << 19


def _interferer(wanted: LoRaParams, other: LoRaParams, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 2**sf) windows of a random chirp stream at one sample a chip, each at its own random delay."""
    needed = math.ceil(wanted.num_bins / other.num_bins) + 1
    out = np.empty((count, wanted.num_bins), dtype=np.complex64)
    delays = rng.integers(0, other.samples_per_symbol, count)
    symbols = rng.integers(0, other.num_bins, (count, needed))
    for row in range(count):
        stream = modulate(symbols[row], other)
        out[row] = stream[delays[row] :: _FRACTIONS][: wanted.num_bins]
    return out


def _label(symbols: np.ndarray, num_bins: int) -> np.ndarray:
    """Gray((k - 1) mod N), the bits a symbol value stands for."""
    value = (symbols - 1) % num_bins
    return np.asarray(value ^ (value >> 1))


def _threshold_db(critical: FloatArray, weight: FloatArray, target: float) -> float:
    """Amplitude above which the weighted share of larger a* falls to `target`, as a power ratio in dB."""
    order = np.argsort(critical)[::-1]
    share = np.cumsum(weight[order]) / critical.size
    index = min(int(np.searchsorted(share, target)), critical.size - 1)
    amplitude = float(critical[order[index]])
    return 20.0 * math.log10(amplitude) if amplitude > 0 else -math.inf
