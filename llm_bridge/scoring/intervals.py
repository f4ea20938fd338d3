"""Intervals for a few dozen programs: exact for a proportion, a bootstrap over clusters for everything else.

The sampling unit is the *cluster* (a program, or the module that a mutant was made from), resampled with all its items,
seeds and channel draws. A score is a function of counts that add over clusters,

    score = g(sum over clusters of w_c * counts_c),     w = multiplicities of the clusters in one bootstrap resample,

so that 10,000 resamples are one matrix product. Normal approximations are not used at this size.

Where every cluster says the same (42 of 42 right), a bootstrap knows no width and would claim certainty; then the
interval is the image of the exact Clopper-Pearson box of the proportions behind the score, one trial per cluster.

An interval over programs speaks of other programs with *these* training seeds. What is said of a method must hold for
other training seeds too: then programs and seeds are both random (`seed_half_width`, crossed two-way layout).

Sources: Satterthwaite, Biometrics 2, 1946; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 14 (BCa);
Clopper and Pearson, Biometrika 26, 1934; Miller, arXiv 2411.00640 (clustered, paired differences).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from llm_bridge.arrays import FloatArray

Statistic = Callable[[FloatArray], FloatArray]
"""Maps summed counts ``(..., K)`` to scores ``(...)``, broadcasting; NaN where a score is undefined."""

NUM_RESAMPLES = 10_000
SLICE = 500
"""Resamples in one matrix product."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Confidence interval ``[low, high]`` of `value`, by the named `method`.

    `method` is "percentile", "bca", "clopper-pearson", "exact-box" (clusters all alike: no bootstrap can be had) or
    "range" (no data: everything is possible, and `value` is NaN).

    `low` and `high` are for other programs and the training seeds that were run; `over_seeds` holds the bounds for
    other programs and other training seeds, and `p_over_seeds` the p value of "it is 0" there; None without several
    seeds.
    """

    value: float
    low: float
    high: float
    num_clusters: int
    level: float = 0.95
    method: str = "bca"
    over_seeds: tuple[float, float] | None = None
    p_over_seeds: float | None = None

    @property
    def widest(self) -> tuple[float, float]:
        """Bounds of both intervals together: what may be said of a method is said by them."""
        low, high = self.over_seeds or (self.low, self.high)
        return min(low, self.low), max(high, self.high)

    def excludes(self, reference: float) -> bool:
        """Whether `reference` lies outside the interval, and outside that over seeds where there is one."""
        low, high = self.widest
        return not low <= reference <= high


# --- one proportion ---------------------------------------------------------------------------------------------------


def clopper_pearson(successes: float, trials: float, *, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a proportion: all p that neither tail of Binomial(trials, p) rejects at (1 - level) / 2.

    Parameters
    ----------
    successes, trials
        ``0 <= successes <= trials``; fractions interpolate through the Beta quantiles. No trials give (0, 1).

    Examples
    --------
    >>> [round(bound, 3) for bound in clopper_pearson(31, 40)]
    [0.615, 0.892]
    >>> [round(bound, 3) for bound in clopper_pearson(42, 42)]
    [0.916, 1.0]
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"'successes' must lie between 0 and trials = {trials} (got {successes})")
    tail = _tail(level)
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(stats.beta.ppf(1 - tail, successes + 1, trials - successes))
    return low, high


# --- bootstrap over clusters ------------------------------------------------------------------------------------------


def cluster_bootstrap(
    counts: npt.ArrayLike,
    statistic: Statistic,
    *,
    proportions: Sequence[tuple[int, int]] = ((0, 1),),
    bounds: tuple[float, float] = (0.0, 1.0),
    method: str = "bca",
    level: float = 0.95,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of ``statistic(counts summed over clusters)`` by resampling whole clusters with replacement.

    Parameters
    ----------
    counts : array (C, K)
        Counts of each cluster.
    statistic
        Score from summed counts, ``(..., K) -> (...)``.
    proportions
        Pairs of columns (successes, failures) behind the score; they give the exact interval where resampling has no
        width. Two proportions share the error probability (Bonferroni).
    bounds
        Range of the score: the interval where there is no cluster at all, and the clip of the exact box.
    method
        "bca" (bias-corrected and accelerated; acceleration from the jackknife over clusters) or "percentile". For 42
        clusters of one item and any true share from 0.5 to 0.99, BCa covers 0.94 to 0.99, percentile 0.92 to 1.00.
    seed
        Equal seeds resample equally many clusters alike: intervals of two methods share their random numbers.

    Notes
    -----
    Resamples in which the score is undefined are left out.

    Examples
    --------
    >>> accuracy = lambda sums: sums[..., 0] / sums.sum(-1)
    >>> right = np.array([1] * 30 + [0] * 10)
    >>> interval = cluster_bootstrap(np.stack([right, 1 - right], axis=1), accuracy)
    >>> interval.value, round(interval.low, 2), round(interval.high, 2)
    (0.75, 0.6, 0.88)
    >>> cluster_bootstrap(np.tile([1, 0], (42, 1)), accuracy).method
    'exact-box'
    """
    if method not in ("percentile", "bca"):
        raise ValueError(f"'method' must be 'percentile' or 'bca' (got {method!r})")
    table = _table(counts)
    num_clusters = len(table)
    if num_clusters == 0:
        return Interval(value=math.nan, low=bounds[0], high=bounds[1], num_clusters=0, level=level, method="range")
    value = float(_quiet(statistic, table.sum(axis=0)))
    replicates = _quiet(statistic, _resampled_sums(resample_weights(num_clusters, num_resamples, seed), table))
    replicates = replicates[np.isfinite(replicates)]
    if len(replicates) == 0 or np.ptp(replicates) < 1e-12:
        low, high = _exact_box(table, statistic, proportions, bounds, level)
        return Interval(value=value, low=low, high=high, num_clusters=num_clusters, level=level, method="exact-box")
    jackknife = _quiet(statistic, table.sum(axis=0) - table) if method == "bca" else None
    low, high = quantile_interval(value, replicates, jackknife, level=level)
    return Interval(value=value, low=low, high=high, num_clusters=num_clusters, level=level, method=method)


def paired_difference(
    counts_a: npt.ArrayLike, counts_b: npt.ArrayLike, statistic: Statistic, *, num_resamples: int = NUM_RESAMPLES
) -> Interval:
    """Interval of ``score(a) - score(b)`` for two conditions on the same clusters, both resampled alike.

    Parameters
    ----------
    counts_a, counts_b : array (C, K)
        Row c of both belongs to the same cluster.

    Notes
    -----
    Where the difference is the same in every resample (two methods that never disagree), the half-width is the exact
    upper bound on the share of clusters that would tell otherwise, having seen none in C (for large C about 3.7 / C).

    Examples
    --------
    >>> accuracy = lambda sums: sums[..., 0] / sums.sum(-1)
    >>> same = np.tile([1, 0], (42, 1))
    >>> interval = paired_difference(same, same, accuracy)
    >>> interval.value, round(interval.low, 3), round(interval.high, 3)
    (0.0, -0.084, 0.084)
    """
    first, second = _table(counts_a), _table(counts_b)
    if first.shape != second.shape:
        raise ValueError(f"'counts_b' must have the shape of counts_a, {first.shape} (got {second.shape})")
    num_columns = first.shape[1]

    def difference(sums: FloatArray) -> FloatArray:
        return statistic(sums[..., :num_columns]) - statistic(sums[..., num_columns:])

    both = np.concatenate([first, second], axis=1)
    interval = cluster_bootstrap(both, difference, proportions=(), bounds=(-1.0, 1.0), num_resamples=num_resamples)
    if interval.method != "exact-box":
        return interval
    half = clopper_pearson(0, len(both))[1]
    low, high = max(-1.0, interval.value - half), min(1.0, interval.value + half)
    return Interval(value=interval.value, low=low, high=high, num_clusters=len(both), method="exact-box")


@lru_cache(maxsize=8)
def resample_weights(num_clusters: int, num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> FloatArray:
    """Multiplicities of the clusters in each resample: array (num_resamples, num_clusters), each row sums to C."""
    rng = np.random.default_rng([seed, num_clusters])
    drawn = rng.integers(0, num_clusters, size=(num_resamples, num_clusters))
    flat = (drawn + num_clusters * np.arange(num_resamples)[:, None]).ravel()
    weights = np.bincount(flat, minlength=num_resamples * num_clusters).astype(np.float64)
    weights.flags.writeable = False
    return weights.reshape(num_resamples, num_clusters)


def quantile_interval(
    value: float, replicates: npt.ArrayLike, jackknife: npt.ArrayLike | None = None, *, level: float = 0.95
) -> tuple[float, float]:
    """Bounds from bootstrap replicates (R,): percentile, or BCa where the leave-one-cluster-out scores (C,) are given.

    BCa reads the quantiles at ``Phi(z0 + (z0 + z) / (1 - a (z0 + z)))`` with the bias ``z0`` from the share of
    replicates below `value` (ties count half) and the acceleration ``a`` from the skewness of the jackknife.
    """
    draws = np.asarray(replicates, dtype=np.float64)
    tail = _tail(level)
    levels = np.array([tail, 1 - tail])
    if jackknife is not None:
        below = np.mean(draws < value) + 0.5 * np.mean(draws == value)
        left_out = np.asarray(jackknife, dtype=np.float64)
        left_out = left_out[np.isfinite(left_out)]
        spread = left_out.mean() - left_out if len(left_out) else np.zeros(1)
        scale = np.sum(spread**2) ** 1.5
        acceleration = np.sum(spread**3) / (6 * scale) if scale > 0 else 0.0
        if 0 < below < 1:  # else the bias is infinite: stay with the percentiles
            bias = special.ndtri(below)
            shifted = bias + special.ndtri(levels)
            levels = special.ndtr(bias + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(draws, levels)
    return float(low), float(high)


# --- programs and training seeds --------------------------------------------------------------------------------------


def seed_half_width(values: npt.ArrayLike, *, level: float = 0.95) -> tuple[float, float] | None:
    """Half-width of the interval of a mean over programs and training seeds, both random, and p of "the mean is 0".

        value[c, t] = mean + program_c + seed_t + rest_ct          variance of the mean = (MS_c + MS_t - MS_ct) / (C T)

    with the mean squares of the two-way layout and Satterthwaite's degrees of freedom; what would be negative is 0.

    Parameters
    ----------
    values : array (C, T)
        A value of each cluster under each training seed, whose mean is the score (`metrics.seed_values`).

    Returns
    -------
    tuple of float, or None
        None for fewer than two clusters or two seeds: then nothing is known of other seeds. Where all values agree, the
        half-width is that of `paired_difference`.

    Notes
    -----
    In 4,000 simulated studies of 42 programs and five seeds it covers 0.93 to 0.97 at a nominal 0.95, whether seeds
    differ by nothing or by 1.5 log-odds (`tests/llm_bridge/scoring/test_seeds.py`).

    Examples
    --------
    >>> half, p = seed_half_width([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])  # seeds differ, programs do not
    >>> round(half, 2), round(p, 2)  # t(0.975, 1) / 2
    (6.35, 0.5)
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        return None
    (num_clusters, num_seeds), mean = table.shape, float(table.mean())
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    freedom = num_clusters - 1, num_seeds - 1, (num_clusters - 1) * (num_seeds - 1)
    by_cluster, by_seed = num_seeds * float(rows.var(ddof=1)), num_clusters * float(columns.var(ddof=1))
    rest = float(np.sum((table - rows[:, None] - columns + mean) ** 2)) / freedom[2]
    total = max(by_cluster, by_seed, by_cluster + by_seed - rest)
    if total < 1e-20:
        half = clopper_pearson(0, num_clusters, level=level)[1]
        return half, float(abs(mean) <= half)
    if by_seed <= rest or by_cluster <= rest:  # one of them adds nothing
        degrees = float(freedom[0] if by_cluster >= by_seed else freedom[1])
    else:
        squares = zip((by_cluster, by_seed, rest), freedom, strict=True)
        degrees = total**2 / sum(square**2 / df for square, df in squares)
    error = math.sqrt(total / table.size)
    return (
        float(stats.t.ppf(1 - _tail(level), degrees)) * error,
        float(2 * stats.t.sf(abs(mean) / error, degrees)),
    )


def beside_seeds(interval: Interval, values: npt.ArrayLike) -> Interval:
    """A difference's interval over clusters with that over clusters and training seeds, where there are several."""
    found = seed_half_width(values, level=interval.level)
    if found is None:
        return interval
    half, p_value = found
    low, high = max(-1.0, interval.value - half), min(1.0, interval.value + half)
    return replace(interval, over_seeds=(low, high), p_over_seeds=p_value)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _tail(level: float) -> float:
    """Probability left out on each side."""
    if not 0 < level < 1:
        raise ValueError(f"'level' must lie between 0 and 1 (got {level})")
    return (1 - level) / 2


def _table(counts: npt.ArrayLike) -> FloatArray:
    """Counts as a float array (C, K)."""
    table = np.asarray(counts, dtype=np.float64)
    if table.size == 0:
        return table.reshape(0, table.shape[-1] if table.ndim == 2 else 0)
    if table.ndim != 2:
        raise ValueError(f"'counts' must have two dimensions, (clusters, columns) (got {table.ndim})")
    return table


def _resampled_sums(weights: FloatArray, table: FloatArray) -> FloatArray:
    """``weights @ table`` in slices that a BLAS takes on one thread: several would mostly wait for each other."""
    if len(weights) % SLICE:
        return np.asarray(weights @ table)
    sliced = weights.reshape(-1, SLICE, weights.shape[1]) @ table
    return np.asarray(sliced.reshape(len(weights), -1))


def _quiet(statistic: Statistic, sums: FloatArray) -> FloatArray:
    """The score, with 0/0 as a NaN and no warning."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(statistic(sums), dtype=np.float64)


def _exact_box(
    table: FloatArray,
    statistic: Statistic,
    proportions: Sequence[tuple[int, int]],
    bounds: tuple[float, float],
    level: float,
) -> tuple[float, float]:
    """Smallest and largest score over the corners of the Clopper-Pearson box, one trial per cluster.

    Corners suffice because every score here is monotone in each proportion behind it.
    """
    sums = table.sum(axis=0)
    shared_level = 1 - (1 - level) / max(1, len(proportions))
    choices = []
    for success, failure in proportions:
        total = sums[success] + sums[failure]
        share = sums[success] / total if total else 0.0
        trials = float(np.count_nonzero(table[:, success] + table[:, failure]))
        choices.append(clopper_pearson(share * trials, trials, level=shared_level))
    scores = []
    for corner in itertools.product(*choices):
        at_corner = sums.copy()
        for (success, failure), share in zip(proportions, corner, strict=True):
            total = sums[success] + sums[failure]
            at_corner[[success, failure]] = total * share, total * (1 - share)
        scores.append(float(_quiet(statistic, at_corner)))
    finite = [score for score in scores if math.isfinite(score)]
    if not finite:
        return bounds
    return max(bounds[0], min(finite)), min(bounds[1], max(finite))
