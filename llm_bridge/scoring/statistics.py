"""Tests, corrections for multiplicity, and power for scores of a few dozen programs.

Paired throughout: the same programs under the same noise. With 42 programs only differences of about 0.27 are shown
with 80 % power, so that a null result is worded "not distinguishable" and carries the smallest difference that n could
have shown. Intervals come from `llm_bridge.scoring.intervals` (re-exported here); the regression on the residual error
rate is in `llm_bridge.scoring.conditional_independence`.

Sources: McNemar, Psychometrika 12, 1947; Holm, Scand. J. Statist. 6, 1979; Benjamini and Hochberg, JRSS B 57, 1995.
"""

from __future__ import annotations

import gc
import itertools
import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

from llm_bridge.arrays import FloatArray

from .intervals import (
    NUM_RESAMPLES,
    Interval,
    Statistic,
    clopper_pearson,
    cluster_bootstrap,
    paired_difference,
    quantile_interval,
    resample_weights,
)

__all__ = [
    "NUM_RESAMPLES",
    "FloatArray",
    "Interval",
    "Statistic",
    "benjamini_hochberg",
    "clopper_pearson",
    "cluster_bootstrap",
    "holm",
    "mcnemar_exact",
    "mcnemar_power",
    "paired_difference",
    "quantile_interval",
    "resample_weights",
    "sign_flip_test",
    "smallest_detectable_difference",
    "smallest_detectable_mean",
]


# --- tests ------------------------------------------------------------------------------------------------------------


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided exact p value of McNemar's test (statsmodels): the binomial test of `only_a` in ``only_a + only_b``.

    Parameters
    ----------
    only_a, only_b
        Numbers of items that only the first, only the second condition got right.

    Examples
    --------
    >>> round(mcnemar_exact(8, 1), 4), mcnemar_exact(0, 0)
    (0.0391, 1.0)
    """
    from statsmodels.stats.contingency_tables import mcnemar

    if min(only_a, only_b) < 0:
        raise ValueError(f"'only_a' and 'only_b' must be counts (got {only_a}, {only_b})")
    return float(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue)


def sign_flip_test(differences: npt.ArrayLike, *, num_flips: int = 20_000, seed: int = 0) -> float:
    """Two-sided permutation p of "the differences (C,) of clusters are symmetric about 0".

    The statistic is the absolute sum. Up to 14 non-zero differences all sign patterns are counted; beyond, `num_flips`
    random ones, and the observed one is counted among them, so that p is never 0.

    Examples
    --------
    >>> sign_flip_test([1, 1, 1, 1, 1, 1, 0, 0])
    0.03125
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0]
    if len(values) == 0:
        return 1.0
    observed = abs(values.sum()) * (1 - 1e-12)
    if len(values) <= 14:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(values))))
        return float(np.mean(np.abs(signs @ values) >= observed))
    signs = np.random.default_rng(seed).integers(0, 2, size=(num_flips, len(values))) * 2.0 - 1
    return float((1 + np.count_nonzero(np.abs(signs @ values) >= observed)) / (1 + num_flips))


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Adjusted p values of Holm's step-down procedure (family-wise error rate, statsmodels), in the order given.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    return _adjusted(p_values, "holm")


def benjamini_hochberg(p_values: npt.ArrayLike) -> FloatArray:
    """Adjusted p values of Benjamini and Hochberg (false discovery rate, statsmodels), in the order given.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.04, 0.04]
    """
    return _adjusted(p_values, "fdr_bh")


def _adjusted(p_values: npt.ArrayLike, method: str) -> FloatArray:
    """p values corrected for multiple tests; an empty family has none."""
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p_values, dtype=np.float64)
    gc.freeze()  # multipletests looks for garbage among all objects of the process; here it finds none to look at
    try:
        return np.asarray(multipletests(values, method=method)[1]) if values.size else values
    finally:
        gc.unfreeze()


# --- power ------------------------------------------------------------------------------------------------------------


def mcnemar_power(n: int, difference: float, *, extra_discordance: float = 0.1, alpha: float = 0.05) -> float:
    """Probability that `n` pairs show a true difference of proportions by the exact McNemar test.

    The first condition alone is right with probability ``difference + extra_discordance / 2``, the second alone with
    ``extra_discordance / 2``; summed exactly over all outcomes.

    Examples
    --------
    >>> [round(100 * mcnemar_power(40, d)) for d in (0.10, 0.15, 0.20, 0.25, 0.30)]
    [17, 36, 57, 74, 86]
    """
    worse = extra_discordance / 2
    better = difference + worse
    discordant = better + worse
    if not 0 <= difference <= 1 or discordant > 1:
        raise ValueError(f"'difference' + 'extra_discordance' must lie between 0 and 1 (got {discordant})")
    if discordant == 0:
        return 0.0
    total, wins = np.arange(n + 1)[:, None], np.arange(n + 1)
    outcomes = stats.binom.pmf(total, n, discordant) * stats.binom.pmf(wins, total, better / discordant)
    return float(outcomes[_significant(n, alpha)].sum())


@lru_cache(maxsize=64)
def _significant(n: int, alpha: float) -> npt.NDArray[np.bool_]:
    """Whether so many wins (columns) of so many discordant pairs (rows), up to `n`, have an exact p below `alpha`."""
    total, wins = np.arange(n + 1)[:, None], np.arange(n + 1)
    fewer = np.minimum(wins, total - wins)
    return np.asarray((fewer >= 0) & (np.minimum(1.0, 2 * stats.binom.cdf(fewer, total, 0.5)) < alpha))


@lru_cache(maxsize=256)
def smallest_detectable_difference(
    n: int, *, power: float = 0.8, extra_discordance: float = 0.1, alpha: float = 0.05
) -> float | None:
    """Smallest difference of proportions (in steps of 0.01) that `n` pairs show with probability `power`.

    None where even the largest possible difference would be missed (a handful of pairs).

    Examples
    --------
    >>> smallest_detectable_difference(42)
    0.27
    """
    for step in range(1, round(100 * (1 - extra_discordance)) + 1):
        if mcnemar_power(n, step / 100, extra_discordance=extra_discordance, alpha=alpha) >= power:
            return step / 100
    return None


def smallest_detectable_mean(differences: npt.ArrayLike, *, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """Smallest true mean that programs which scatter like these `differences` (C,) show with probability `power`.

    ``(t_{1-alpha/2} + t_power) s / sqrt(C)`` with C - 1 degrees of freedom: for differences that are no zeros and ones
    (averages over seeds, or interactions), where McNemar's test does not apply. None for fewer than two, and where all
    are equal: no scatter was seen, and nothing is known of it.

    Examples
    --------
    >>> round(smallest_detectable_mean([0.5, -0.5, 0.0, 0.0] * 10), 3)
    0.163
    >>> smallest_detectable_mean([0.0] * 10) is None
    True
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2 or np.ptp(values) == 0:
        return None
    reach = stats.t.ppf([1 - alpha / 2, power], len(values) - 1).sum()
    return float(reach * values.std(ddof=1) / math.sqrt(len(values)))
