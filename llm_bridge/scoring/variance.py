"""Where the scatter of a score comes from: programs, training seeds, channel seeds, or what is left.

    right[p, t, c] = mean + P_p + T_t + C_c + PT_pt + PC_pc + TC_tc + rest_ptc,      all random, variances estimated

for programs p, training seeds t and channel seeds c, each combination seen once (balanced, crossed). Variances by
equating mean squares to their expectations (analysis of variance; negative ones are set to 0). The noise of a channel
seed is drawn anew for every program, so that it shows in program x channel seed and hardly in the channel seed alone.

The score is the mean over all; a term with k draws adds its variance over k to the score's. Searle, Casella and
McCulloch, Variance Components, 1992, ch. 4 and 5.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

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
