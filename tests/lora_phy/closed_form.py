"""A frame's IQ from the definition of a chirp alone: the frequency of every chirp, integrated over continuous time.

Shares nothing with `lora_phy`: the reference for tests of the waveform.
"""

from __future__ import annotations

import numpy as np


def continuous_phase(chirps: list[tuple[int, float, float]], num_bins: int, samples_per_chip: int) -> np.ndarray:
    """IQ of chirps (direction, value, length in chips), one after the other, without a jump of phase anywhere.

    The frequency of a chirp of value s is ((s + t) mod N) / N - 1/2 cycles a chip at t chips from its beginning; over
    m = (s + t) mod N its integral is m^2 / 2N - m / 2, and 0 over a whole period.
    """
    phase, out = 0.0, []
    for direction, value, length in chirps:
        t = np.arange(round(length * samples_per_chip) + 1) / samples_per_chip
        m = (value + t) % num_bins
        integral = m**2 / (2 * num_bins) - m / 2
        turns = phase + direction * (integral - integral[0])
        out.append(turns[:-1])
        phase = turns[-1]
    return np.exp(2j * np.pi * np.concatenate(out))


def frame_chirps(
    symbols: list[int], sf: int, sync: tuple[int, int], *, early: int, preamble_len: int = 8, extra: int = 0
) -> list[tuple[int, float, float]]:
    """The chirps of a frame; `early` = 1 is what chips send: data one chip early, s - 1 in place of s."""
    n = 1 << sf
    word = [(1, sync[0], n), (1, sync[1], n)]
    delimiter = [(-1, 0, n), (-1, 0, n), (-1, 0, n / 4 - early)]
    return [(1, 0, n)] * preamble_len + word + delimiter + [(1, (s - early) % n, n) for s in [0] * extra + symbols]


def phase_at(t: np.ndarray, chirps: list[tuple[int, float, float]], num_bins: int) -> np.ndarray:
    """Phase in turns at any times `t` (chips from the first chirp's beginning), as of `continuous_phase`."""
    direction, value, length = (np.array(column, float) for column in zip(*chirps, strict=True))

    def integral(x: np.ndarray) -> np.ndarray:
        m = np.mod(x, num_bins)
        return m**2 / (2 * num_bins) - m / 2

    ends = np.cumsum(length)
    steps = direction * (integral(value + length) - integral(value))
    k = np.clip(np.searchsorted(ends, t, side="right"), 0, len(ends) - 1)
    inside = direction[k] * (integral(value[k] + t - (ends - length)[k]) - integral(value[k]))
    return (np.cumsum(steps) - steps)[k] + inside
