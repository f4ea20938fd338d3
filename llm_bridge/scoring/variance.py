"""Variance components of a score: programs, training seeds, channel seeds, and the residual.

    right[p, t, c] = mean + P_p + T_t + C_c + PT_pt + PC_pc + TC_tc + rest_ptc,      all random, variances estimated

for programs p, training seeds t and channel seeds c, each combination seen once (balanced, crossed). Where each
training seed has channel seeds of its own (nested, k for each), no channel is seen under two training seeds:

    right[p, t, c] = mean + P_p + T_t + PT_pt + C_c(t) + rest_pc(t)

Then the rest holds program x channel seed, C_c(t) holds training seed x channel seed; and with k = 1 a training seed
cannot be told from its channel seed, so that both are one factor. Variances by equating mean squares to their
expectations (analysis of variance; negative ones are set to 0). The noise of a channel seed is drawn anew for every
program, so that it shows in program x channel seed (nested: in the rest) and hardly in the channel seed alone.

The score is the mean over all; a term with k draws adds its variance over k to the score's. Searle, Casella and
McCulloch, Variance Components, 1992, ch. 4 and 5.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

FACTORS = ("program", "training seed", "channel seed")


@dataclass(frozen=True, kw_only=True)
class Component:
    """One source of scatter.

    `share` is its part of the variance of a single decision, `score_sd` the standard deviation that it alone would give
    the score over all draws, `draws` how many there were.
    """

    name: str
    variance: float
    share: float
    score_sd: float
    draws: int


def variance_components(right: npt.ArrayLike) -> list[Component]:
    """Components of a balanced table (programs, training seeds, channel seeds) of 0 and 1, main effects first.

    Factors with one level are left out; the last component is what no other one explains.

    Raises
    ------
    ValueError
        Other than three axes, or fewer than two programs.

    Examples
    --------
    >>> table = np.zeros((4, 2, 1))
    >>> table[:2] = 1  # two programs are always solved, two never
    >>> [(part.name, part.share) for part in variance_components(table)]
    [('program', 1.0), ('training seed', 0.0), ('rest', 0.0)]
    """
    table = np.asarray(right, dtype=np.float64)
    if table.ndim != 3 or table.shape[0] < 2:
        raise ValueError(f"'right' must have shape (programs >= 2, training seeds, channel seeds) (got {table.shape})")
    used = [axis for axis in range(3) if table.shape[axis] > 1]
    table = table.reshape([table.shape[axis] for axis in used])
    sizes, names = table.shape, [FACTORS[axis] for axis in used]
    subsets = [s for k in range(1, len(used) + 1) for s in itertools.combinations(range(len(used)), k)]
    mean_square = _mean_squares(table, subsets)
    variance: dict[tuple[int, ...], float] = {}
    for subset in reversed(subsets):  # from the highest interaction down, each less what contains it
        others = math.prod(sizes[axis] for axis in range(len(sizes)) if axis not in subset)
        above = sum(
            variance[wider] * math.prod(sizes[axis] for axis in range(len(sizes)) if axis not in wider)
            for wider in subsets
            if set(wider) > set(subset)
        )
        variance[subset] = max(0.0, (mean_square[subset] - above) / others)
    total = sum(variance.values())
    return [
        Component(
            name="rest" if len(subset) == len(used) else " x ".join(names[axis] for axis in subset),
            variance=variance[subset],
            share=variance[subset] / total if total else 0.0,
            score_sd=math.sqrt(variance[subset] / math.prod(sizes[axis] for axis in subset)),
            draws=math.prod(sizes[axis] for axis in subset),
        )
        for subset in subsets
    ]


def nested_components(right: npt.ArrayLike) -> list[Component]:
    """Components of a balanced table (programs, training seeds, k channel seeds of each training seed's own).

    Raises
    ------
    ValueError
        Other than three axes, or fewer than two programs or training seeds.

    Examples
    --------
    >>> table = np.zeros((4, 2, 2))
    >>> table[:, 1] = 1  # one training seed solves every program, the other none
    >>> [(part.name, part.share) for part in nested_components(table) if part.share]
    [('training seed', 1.0)]
    """
    table = np.asarray(right, dtype=np.float64)
    if table.ndim != 3 or min(table.shape[:2]) < 2:
        shape = "(programs >= 2, training seeds >= 2, channel seeds of each)"
        raise ValueError(f"'right' must have shape {shape} (got {table.shape})")
    programs, seeds, channels = table.shape
    if channels == 1:
        joint = "training seed with its channel seed"
        return [replace(part, name=part.name.replace(FACTORS[1], joint)) for part in variance_components(table)]
    square = _mean_squares(table, [(0,), (1,), (0, 1), (2,), (1, 2), (0, 2), (0, 1, 2)])
    # a mean square of channels within training seeds pools what crossed seeds would split in two
    within = (square[2,] + (seeds - 1) * square[1, 2]) / seeds
    rest = (square[0, 2] + (seeds - 1) * square[0, 1, 2]) / seeds
    both = square[0, 1]
    found = {  # variance, draws
        "program": ((square[0,] - both) / (seeds * channels), programs),
        "training seed": ((square[1,] - both - within + rest) / (programs * channels), seeds),
        "channel seed within training seed": ((within - rest) / programs, seeds * channels),
        "program x training seed": ((both - rest) / channels, programs * seeds),
        "rest": (rest, table.size),
    }
    total = sum(max(0.0, variance) for variance, _ in found.values())
    return [
        Component(
            name=name,
            variance=max(0.0, variance),
            share=max(0.0, variance) / total if total else 0.0,
            score_sd=math.sqrt(max(0.0, variance) / draws),
            draws=draws,
        )
        for name, (variance, draws) in found.items()
    ]


def nested_table(decisions: Mapping[tuple[str, object, object], float]) -> npt.NDArray[np.float64] | None:
    """The table of values by (program, training seed, place among its channel seeds).

    None where a training seed shares a channel seed with another one, or combinations are missing.
    """
    channels: dict[object, set[object]] = {}
    for _, t, c in decisions:
        channels.setdefault(t, set()).add(c)
    every = [c for own in channels.values() for c in own]
    if len(channels) < 2 or len(every) != len(set(every)):
        return None
    place = {(t, c): k for t, own in channels.items() for k, c in enumerate(sorted(own, key=str))}
    return crossed_table({(p, t, place[t, c]): value for (p, t, c), value in decisions.items()})


def crossed_table(decisions: Mapping[tuple[str, object, object], float]) -> npt.NDArray[np.float64] | None:
    """The balanced table of values by (program, training seed, channel seed); None where combinations are missing."""
    levels = [sorted({key[axis] for key in decisions}, key=str) for axis in range(3)]
    if math.prod(map(len, levels)) != len(decisions):
        return None
    keys = itertools.product(*levels)
    return np.array([decisions[p, t, c] for p, t, c in keys], dtype=np.float64).reshape([len(x) for x in levels])  # type: ignore[index]


def _mean_squares(table: npt.NDArray[np.float64], subsets: list[tuple[int, ...]]) -> dict[tuple[int, ...], float]:
    """Mean square of each main effect and interaction."""
    found = {}
    for subset in subsets:
        effect = np.zeros_like(table)
        for k in range(len(subset) + 1):
            for kept in itertools.combinations(subset, k):
                averaged = tuple(axis for axis in range(table.ndim) if axis not in kept)
                effect = effect + (-1) ** (len(subset) - k) * table.mean(axis=averaged, keepdims=True)
        degrees = math.prod(table.shape[axis] - 1 for axis in subset)
        found[subset] = float(np.sum(effect**2) / degrees)
    return found
