"""Intervals, tests and the regression, against scipy and statsmodels, and by simulation under a known truth.

Simulations have fixed seeds. A coverage claim "at least c" fails where the count of covering intervals lies below the
1e-6 quantile of Binomial(N, c): that is the probability of a false alarm.
"""

import itertools
import math

import numpy as np
import pytest
from scipy import optimize, special, stats

from llm_bridge.report.language import contrast_sentence, independence_sentence
from llm_bridge.scoring import statistics as st
from llm_bridge.scoring.conditional_independence import (
    _design,
    fit_independence,
    independence_family,
    log_byte_error,
    residual_errors,
)
from llm_bridge.scoring.scores import f1_score

FALSE_ALARM = 1e-6


def accuracy(sums):
    return sums[..., 0] / sums.sum(-1)


def right_wrong(right):
    right = np.asarray(right, dtype=float)
    return np.stack([right, 1 - right], axis=1)


def least(num_runs, probability):
    """Smallest count that does not contradict "at least `probability`"."""
    return stats.binom.ppf(FALSE_ALARM, num_runs, probability)


def most(num_runs, probability):
    """Largest count that does not contradict "at most `probability`"."""
    return stats.binom.isf(FALSE_ALARM, num_runs, probability)


# --- proportions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trials", [1, 5, 40, 395])
def test_proportion_intervals_agree_with_scipy(trials):
    for successes in {0, 1, trials // 3, trials // 2, trials - 1, trials}:
        test = stats.binomtest(successes, trials)
        for level in (0.9, 0.95, 0.99):
            exact = test.proportion_ci(level, method="exact")
            assert st.clopper_pearson(successes, trials, level=level) == pytest.approx(
                (exact.low, exact.high), abs=1e-12
            )


def test_proportion_intervals_of_nothing_and_of_bad_counts():
    interval = st.clopper_pearson
    assert interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match=r"'successes'.*trials = 4.*got 5"):
        interval(5, 4)
    with pytest.raises(ValueError, match=r"'level'.*got 95"):
        interval(1, 4, level=95)


def test_clopper_pearson_covers_for_every_truth():
    """Exact by summation: the coverage is never below the level."""
    for truth in np.linspace(0.01, 0.99, 33):
        bounds = np.array([st.clopper_pearson(k, 42) for k in range(43)])
        covers = (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])
        assert stats.binom.pmf(np.arange(43), 42, truth)[covers].sum() >= 0.95


# --- bootstrap --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_agrees_with_scipy(method):
    """Both draw 10,000 resamples of 42 clusters of unequal size; their quantiles differ by Monte-Carlo error alone."""
    rng = np.random.default_rng(0)
    size = rng.integers(1, 20, 42)
    right = rng.binomial(size, rng.beta(8, 2, 42))
    counts = np.stack([right, size - right], axis=1).astype(float)
    ours = st.cluster_bootstrap(counts, accuracy, method=method)
    theirs = stats.bootstrap(
        (counts[:, 0], counts.sum(1)),
        lambda a, b, axis=-1: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=10_000,
        method={"percentile": "percentile", "bca": "BCa"}[method],
        rng=np.random.default_rng(1),
    ).confidence_interval
    # sd of a 2.5 % quantile of 10,000 draws: sqrt(.025 * .975 / 1e4) / density there, about 0.027 standard errors;
    # six times that, for both sides
    tolerance = 6 * math.sqrt(2) * 0.027 * (theirs.high - theirs.low) / 3.92
    assert ours.method == method
    assert ours.low == pytest.approx(theirs.low, abs=tolerance)
    assert ours.high == pytest.approx(theirs.high, abs=tolerance)


def test_weights_resample_whole_clusters_and_repeat():
    weights = st.resample_weights(42, 2000, 3)
    assert weights.shape == (2000, 42)
    assert (weights.sum(axis=1) == 42).all()
    assert np.array_equal(weights, st.resample_weights(42, 2000, 3))
    assert not np.array_equal(weights, st.resample_weights(42, 2000, 4))
    # 2000 * 42 draws, each cluster with probability 1/42: chi-square test of uniformity
    assert stats.chisquare(weights.sum(axis=0)).pvalue > FALSE_ALARM


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("truth", [0.3, 0.7, 0.95])
def test_coverage_of_accuracy_over_clusters(method, truth):
    """Programs differ (Beta, intra-cluster correlation 1/6), 5 items each, 42 programs: 92 % to 99 % cover."""
    rng, num_runs = np.random.default_rng(7), 600
    covered = 0
    for _ in range(num_runs):
        right = rng.binomial(5, rng.beta(5 * truth, 5 * (1 - truth), 42))
        counts = np.stack([right, 5 - right], axis=1)
        interval = st.cluster_bootstrap(counts, accuracy, method=method, num_resamples=1000)
        covered += not interval.excludes(truth)
    assert least(num_runs, 0.92) <= covered <= most(num_runs, 0.99)


@pytest.mark.parametrize("truth", [0.5, 0.7, 0.9, 0.97, 0.99])
def test_coverage_for_42_programs_and_one_item_each(truth):
    """Exact by summation over 0 to 42 right ones: BCa keeps 0.94; without the exact bound at 42 of 42 it would not."""
    chances = stats.binom.pmf(np.arange(43), 42, truth)
    intervals = [st.cluster_bootstrap(right_wrong(np.arange(42) < right), accuracy) for right in range(43)]
    covers = np.array([not interval.excludes(truth) for interval in intervals])
    assert chances @ covers >= 0.94
    if truth > 0.95:
        bootstrapped = np.array([interval.method == "bca" for interval in intervals])
        assert chances @ (covers & bootstrapped) < 0.8


def test_coverage_of_detection_f1():
    """Counts (tp, fn, fp, tn), each program's two texts correlated; truth from the expected counts."""
    rng, num_runs, shape = np.random.default_rng(11), 600, (3.0, 2.0)
    says_buggy = shape[0] / sum(shape)
    hit = 0.25  # how much likelier "buggy" is for the buggy text, where the program leaves room
    truth_tp = says_buggy + hit * (1 - says_buggy)
    truth = 2 * truth_tp / (2 * truth_tp + says_buggy + (1 - truth_tp))
    covered = 0
    for _ in range(num_runs):
        lean = rng.beta(*shape, 42)
        tp, fp = rng.random(42) < lean + hit * (1 - lean), rng.random(42) < lean
        counts = np.stack([tp, ~tp, fp, ~fp], axis=1)
        interval = st.cluster_bootstrap(counts, f1_score, proportions=((0, 1), (3, 2)), num_resamples=1000)
        covered += not interval.excludes(truth)
    assert least(num_runs, 0.92) <= covered <= most(num_runs, 0.99)


def test_clusters_matter():
    """Ten draws of each of 20 very different programs: an interval that takes them for 200 independent items lies."""
    rng, num_runs, truth = np.random.default_rng(5), 500, 0.6
    by_cluster = as_items = 0
    for _ in range(num_runs):
        right = rng.binomial(10, rng.beta(0.6, 0.4, 20))
        interval = st.cluster_bootstrap(np.stack([right, 10 - right], axis=1), accuracy, num_resamples=1000)
        by_cluster += not interval.excludes(truth)
        low, high = st.clopper_pearson(int(right.sum()), 200)
        as_items += low <= truth <= high
    assert by_cluster >= least(num_runs, 0.88)  # 20 clusters are few
    assert as_items <= most(num_runs, 0.75)


def test_paired_difference_covers_and_is_shorter_than_unpaired():
    rng, num_runs = np.random.default_rng(13), 500
    covered, paired_width, unpaired_width = 0, 0.0, 0.0
    for _ in range(num_runs):
        ease = rng.random(42)
        a, b = right_wrong(ease < 0.7), right_wrong(np.where(rng.random(42) < 0.15, rng.random(42), ease) < 0.6)
        interval = st.paired_difference(a, b, accuracy, num_resamples=1000)
        covered += not interval.excludes(0.1)
        paired_width += interval.high - interval.low
        shuffled = st.paired_difference(a, rng.permutation(b), accuracy, num_resamples=1000)
        unpaired_width += shuffled.high - shuffled.low
    assert least(num_runs, 0.92) <= covered <= most(num_runs, 0.99)
    assert paired_width < 0.7 * unpaired_width


def test_degenerate_bootstraps_have_honest_intervals():
    """All right, all wrong, one cluster, none: never a claim of certainty, never a NaN bound."""
    all_right = st.cluster_bootstrap(right_wrong(np.ones(42)), accuracy)
    assert (all_right.value, all_right.low, all_right.high) == pytest.approx((1.0, *st.clopper_pearson(42, 42)))
    all_wrong = st.cluster_bootstrap(right_wrong(np.zeros(42)), accuracy)
    assert (all_wrong.value, all_wrong.low, all_wrong.high) == pytest.approx((0.0, *st.clopper_pearson(0, 42)))
    one = st.cluster_bootstrap([[17, 3]], accuracy)
    assert one.method == "exact-box" and one.low < 0.1 and one.high == pytest.approx(1.0, abs=0.02)
    none = st.cluster_bootstrap(np.empty((0, 2)), accuracy)
    assert math.isnan(none.value) and (none.low, none.high, none.num_clusters, none.method) == (0.0, 1.0, 0, "range")
    always_buggy = np.tile([1, 0, 1, 0], (42, 1))
    f1 = st.cluster_bootstrap(always_buggy, f1_score, proportions=((0, 1), (3, 2)))
    assert f1.value == pytest.approx(2 / 3) and 0.55 < f1.low < 2 / 3 < f1.high < 0.75


def test_degenerate_differences_have_honest_intervals():
    same = right_wrong(np.arange(42) < 30)
    tie = st.paired_difference(same, same, accuracy)
    upper = st.clopper_pearson(0, 42)[1]
    assert (tie.value, tie.low, tie.high) == pytest.approx((0.0, -upper, upper))
    sweep = st.paired_difference(right_wrong(np.ones(42)), right_wrong(np.zeros(42)), accuracy)
    assert (sweep.value, sweep.low, sweep.high) == pytest.approx((1.0, 1 - upper, 1.0))
    none = st.paired_difference(np.empty((0, 2)), np.empty((0, 2)), accuracy)
    assert (none.low, none.high, none.method) == (-1.0, 1.0, "range")
    with pytest.raises(ValueError, match=r"'counts_b'.*\(42, 2\)"):
        st.paired_difference(same, same[:40], accuracy)


def test_undefined_resamples_are_left_out():
    """Score = share of delivered items that are right; resamples without a delivered item have none."""
    counts = np.zeros((10, 2))
    counts[0], counts[1] = (3, 1), (1, 3)
    interval = st.cluster_bootstrap(counts, accuracy)
    assert interval.value == 0.5 and (interval.low, interval.high) == (0.25, 0.75)


# --- tests ------------------------------------------------------------------------------------------------------------


def test_mcnemar_is_the_binomial_tail():
    """Closed form: twice the lower tail of Binomial(a + b, 1/2) at min(a, b), at most 1."""
    for only_a, only_b in [(0, 0), (0, 1), (6, 0), (8, 1), (10, 2), (12, 3), (5, 5), (30, 31)]:
        total = only_a + only_b
        tail = sum(math.comb(total, k) for k in range(min(only_a, only_b) + 1)) / 2**total
        assert st.mcnemar_exact(only_a, only_b) == pytest.approx(min(1.0, 2 * tail), rel=1e-12)
    assert st.mcnemar_exact(6, 0) < 0.05 < st.mcnemar_exact(5, 0)
    with pytest.raises(ValueError, match=r"must be counts \(got -1, 3\)"):
        st.mcnemar_exact(-1, 3)


def test_corrections_are_the_published_procedures():
    """Holm's and Benjamini and Hochberg's definitions, one hypothesis at a time, as rejections at every level."""
    rng = np.random.default_rng(2)
    for size in (1, 2, 6, 30):
        p_values = rng.random(size) ** 3
        p_values[0] = p_values[-1]  # a tie
        ordered = np.sort(p_values)
        holm, fdr = st.holm(p_values), st.benjamini_hochberg(p_values)
        for level in np.linspace(0.0123, 0.9877, 41):
            fails = [k for k in range(size) if ordered[k] > level / (size - k)]
            rejected = p_values < (ordered[fails[0]] if fails else np.inf)  # step down: stop at the first failure
            assert np.array_equal(holm <= level, rejected)
            passes = [k for k in range(size) if ordered[k] <= level * (k + 1) / size]
            assert np.array_equal(fdr <= level, p_values <= (ordered[passes[-1]] if passes else -1.0))
    assert st.holm([]).size == 0 and st.benjamini_hochberg([]).size == 0


def test_sign_flip_exact_and_sampled_agree_with_scipy():
    rng = np.random.default_rng(4)
    few = rng.normal(0.4, 1, 12)
    expected = stats.permutation_test(
        (few,), lambda x, axis=-1: x.sum(axis), permutation_type="samples", n_resamples=np.inf, vectorized=True
    ).pvalue
    assert st.sign_flip_test(few) == pytest.approx(expected)
    many = rng.choice([-1, 0, 1], 200, p=[0.1, 0.7, 0.2])
    only_a, only_b = int((many == 1).sum()), int((many == -1).sum())
    p_exact = st.mcnemar_exact(only_a, only_b)  # the same test where differences are signs
    sampled = st.sign_flip_test(many)
    assert abs(sampled - p_exact) < 6 * math.sqrt(p_exact / 20_000)
    assert st.sign_flip_test(np.zeros(40)) == 1.0
    assert st.sign_flip_test(np.ones(40)) == pytest.approx(1 / 20_001)


def test_power_is_the_simulated_power():
    """The exact sum against 40,000 simulated experiments; six standard errors are a false alarm of 2e-9."""
    rng = np.random.default_rng(6)
    for n, difference in [(40, 0.10), (40, 0.25), (42, 0.27), (80, 0.15)]:
        drawn = rng.multinomial(n, [difference + 0.05, 0.05, 0.9 - difference], size=40_000)
        p_values = np.minimum(1, 2 * stats.binom.cdf(drawn[:, :2].min(1), drawn[:, :2].sum(1), 0.5))
        assert st.mcnemar_power(n, difference) == pytest.approx(np.mean(p_values < 0.05), abs=6 * 0.0025)


def test_smallest_detectable_difference_is_where_the_power_crosses():
    for n in (20, 42, 80, 400):
        smallest = st.smallest_detectable_difference(n)
        assert st.mcnemar_power(n, smallest) >= 0.8 > st.mcnemar_power(n, smallest - 0.01)
    assert st.smallest_detectable_difference(4) is None


def test_contrast_sentence_says_no_more_than_the_interval():
    def interval(value, low, high, n=42):
        return st.Interval(value=value, low=low, high=high, num_clusters=n)

    assert contrast_sentence("QLoRA", "full", interval(-0.001, -0.1, 0.1)) == (
        "QLoRA against full: difference 0.00 [−0.10, 0.10], n = 42, one seed: not distinguishable"
    )
    assert contrast_sentence("a", "b", interval(0.3, 0.1, 0.5), seeds="5 seeds").endswith("5 seeds: a scores higher")
    assert contrast_sentence("a", "b", interval(-0.3, -0.5, -0.1)).endswith("a scores lower")
    assert contrast_sentence("a", "b", interval(0.0, -0.04, 0.05), margin=0.1).endswith("equivalent within 0.10")
    assert contrast_sentence("a", "b", interval(0.0, -0.14, 0.05), margin=0.1).endswith("not distinguishable")
    assert "by less than 0.10" in contrast_sentence("a", "b", interval(0.05, 0.01, 0.09), margin=0.1)
    assert "could show: none" in contrast_sentence("a", "b", interval(0.0, -1, 1, n=3), say_smallest=True)
    assert "nothing can be said" in contrast_sentence("a", "b", interval(math.nan, -1, 1, n=0))


# --- does SF matter beyond the residual error rate? -------------------------------------------------------------------


def independence_rows(rng, *, sf_effect=0.0, spread=1.0, num_programs=42):
    """Rows of two methods whose chance depends on the byte error rate, the program, and on SF by `sf_effect`."""
    ease = rng.normal(0, spread, num_programs)
    rows = []
    for method, level, slope in (("full", 0.5, -1.0), ("qlora", 0.3, -0.8)):
        for sf in range(7, 13):
            for program in range(num_programs):
                errors = int(rng.binomial(200, 10 ** (-(sf - 6) * 0.6)))
                eta = level + slope * (log_byte_error(errors, 200) + 1.6) + sf_effect * (sf - 9.5) + ease[program]
                rows.append(
                    {
                        "correct": rng.random() < 1 / (1 + math.exp(-eta)),
                        "method": method,
                        "sf": sf,
                        "program": f"p{program}",
                        "delivered": True,
                        "intact": errors == 0,
                        "byte_errors": errors,
                        "bytes_lost": 0,
                        "bytes_sent": 200,
                    }
                )
    return rows


@pytest.mark.parametrize("num_runs", [8, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("engine", ["mixed", "gee"])
def test_collapse_keeps_its_error_probability_and_sees_an_effect(engine, num_runs):
    """Without an effect of SF at most 8 % of p values lie below 0.05; with 0.5 log-odds a step at least half do."""
    pytest.importorskip("statsmodels")
    null = [fit_independence(independence_rows(np.random.default_rng(seed)), engine=engine) for seed in range(num_runs)]
    assert {fit.engine for fit in null} == {engine}
    assert sum(fit.sf.p_value < 0.05 for fit in null) <= most(num_runs, 0.08)
    shifted = [
        fit_independence(independence_rows(np.random.default_rng(seed), sf_effect=0.5), engine=engine)
        for seed in range(8)
    ]
    assert sum(fit.sf.p_value < 0.05 for fit in shifted) >= least(8, 0.97)
    assert np.mean([fit.sf.value for fit in shifted]) == pytest.approx(0.5, abs=0.2)
    assert shifted[0].seen
    assert independence_sentence(shifted[0]).endswith("an effect remains")


def test_collapse_agrees_with_statsmodels_variational_fit():
    """The same model by mean-field variational Bayes: its errors are too small, its means are not.

    Its means and our mode differ by the skewness of weakly determined terms: within a fifth of a standard error.
    """
    mixed = pytest.importorskip("statsmodels.genmod.bayes_mixed_glm")
    from scipy import sparse

    rows = independence_rows(np.random.default_rng(5), sf_effect=0.3, spread=1.5)
    fit = fit_independence(rows)
    names, design = _design(rows)
    right = np.array([float(row["correct"]) for row in rows])
    _, program = np.unique([row["program"] for row in rows], return_inverse=True)
    intercepts = sparse.csr_matrix((np.ones(len(rows)), (np.arange(len(rows)), program)))
    model = mixed.BinomialBayesMixedGLM(right, design, intercepts, np.zeros(42, dtype=int), fe_p=5.0, vcp_p=2.0)
    theirs = model.fit_vb(rng=1)
    assert [effect.name for effect in fit.effects] == names
    error = np.array([(effect.high - effect.low) / 3.92 for effect in fit.effects])
    assert np.max(np.abs(np.array([effect.value for effect in fit.effects]) - theirs.fe_mean) / error) < 0.2


def test_collapse_is_the_maximum_of_the_exact_likelihood():
    """Few rows a program and programs far apart, where a crude integral over them would show: dense grid instead."""
    pytest.importorskip("statsmodels")
    rows = [row for row in independence_rows(np.random.default_rng(21), spread=2.5) if row["sf"] in (8, 11)]
    fit = fit_independence(rows)
    _, design = _design(rows)
    right = np.array([float(row["correct"]) for row in rows])
    _, program = np.unique([row["program"] for row in rows], return_inverse=True)
    u = np.linspace(-6, 6, 301)

    def negative_log_posterior(theta):
        eta = (design @ theta[:-1])[:, None] + math.exp(theta[-1]) * u
        inside = np.zeros((42, u.size))
        np.add.at(inside, program, right[:, None] * eta - np.logaddexp(0, eta))
        density = np.exp(inside) * stats.norm.pdf(u)
        return -np.log(density.sum(axis=1) * (u[1] - u[0])).sum() + 0.5 * np.sum(theta[1:-1] ** 2) / 5.0**2

    start = np.r_[[effect.value for effect in fit.effects], 0.5]
    exact = optimize.minimize(negative_log_posterior, start, method="BFGS").x
    assert fit.engine == "mixed"
    error = np.array([(effect.high - effect.low) / 3.92 for effect in fit.effects])
    assert np.max(np.abs(np.array([effect.value for effect in fit.effects]) - exact[:-1]) / error) < 0.03


def test_likelihood_ratio_of_the_collapse_agrees_with_its_wald_test():
    """Asymptotically the same test: p values of 6 fits on one side of each other by little, none far off."""
    pytest.importorskip("statsmodels")
    fits = [fit_independence(independence_rows(np.random.default_rng([3, seed]))) for seed in range(6)]
    assert [fit.p_value for fit in fits] == pytest.approx([fit.sf.p_value for fit in fits], abs=0.02)


def test_collapse_family_corrects_the_tasks_together():
    pytest.importorskip("statsmodels")
    rows = {task: independence_rows(np.random.default_rng(seed), sf_effect=0.25) for task, seed in (("a", 1), ("b", 2))}
    fits = independence_family({**rows, "one sf": [row for row in rows["a"] if row["sf"] == 8]})
    raw = [fits[task].p_value for task in rows]
    assert [fits[task].p_holm for task in rows] == pytest.approx(list(st.holm(raw)))
    assert fits["one sf"].p_value is None and fits["one sf"].p_holm is None
    assert "after Holm" in independence_sentence(fits["a"])


def test_collapse_by_categories_sees_what_a_straight_line_does_not():
    """A hump over SF, high in the middle: no slope, but the categories differ."""
    pytest.importorskip("statsmodels")
    rows = independence_rows(np.random.default_rng(4), num_programs=42)
    rng = np.random.default_rng(5)
    humped = [row | {"correct": rng.random() < 0.97} if row["sf"] in (9, 10) else row for row in rows]
    assert fit_independence(humped, sf_terms="categories").p_value < 0.001
    flat = fit_independence(rows, sf_terms="categories")
    assert flat.p_value > 0.001
    assert [effect.name for effect in flat.effects if effect.name.startswith("sf")] == [
        f"sf[{k}]" for k in range(8, 13)
    ]
    with pytest.raises(ValueError, match="'sf_terms'"):
        fit_independence(rows, sf_terms="cubic")


def test_collapse_takes_training_seeds_as_terms_of_their_method():
    """A seed that learnt nothing is no effect of SF, also where it was run at some spreading factors only."""
    pytest.importorskip("statsmodels")
    rng = np.random.default_rng(6)
    rows = [row | {"train_seed": 0} for row in independence_rows(rng)]
    worse = [row | {"train_seed": 1} for row in independence_rows(rng) if row["method"] == "qlora" and row["sf"] > 9]
    worse = [row | {"correct": row["correct"] and rng.random() < 0.05} for row in worse]
    effects = {effect.name: effect for effect in fit_independence(rows + worse).effects}
    assert effects["seed[qlora:1]"].high < -1
    assert effects["sf"].p_value > 0.001
    assert "seed[full:1]" not in effects


SHAPES = {
    "root": lambda share: 1 - share**0.5,
    "line": lambda share: 1 - share,
    "square": lambda share: 1 - share**2,
    "step": lambda share: float(share < 0.4),
}


def shaped_rows(rng, shape, sf_effect=0.0):
    """Rows over a link that loses fragments: right answers depend on the lost share alone, in a given shape."""
    rows = []
    ease = rng.normal(0, 1.2, 40)
    for method, skill in (("full", 0.2), ("qlora", 0.4)):
        for seed in range(2):
            for sf, loss in {7: 0.93, 8: 0.7, 9: 0.4, 10: 0.18, 11: 0.07, 12: 0.02}.items():
                for program in range(40):
                    sent = int(rng.integers(3, 8))
                    lost = int(rng.binomial(sent, loss))
                    clear = SHAPES[shape](lost / sent)
                    solves = 1 / (1 + math.exp(-ease[program] - skill - sf_effect * (sf - 9.5)))
                    chance = (solves * clear + 0.15 * (1 - clear)) * (lost < sent)
                    row = {"correct": rng.random() < chance, "method": method, "sf": sf, "program": f"p{program}"}
                    row |= {"train_seed": seed, "delivered": lost < sent, "intact": lost == 0, "byte_errors": 0}
                    rows.append(row | {"bytes_lost": 48 * lost, "bytes_sent": 48 * sent})
    return rows


@pytest.mark.parametrize("num_runs", [4, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_true_collapse_is_not_rejected_whatever_its_shape(shape, num_runs):
    """At most 10 % of p values lie below 0.05; a straight line in log10 over all items rejected every time."""
    pytest.importorskip("statsmodels")
    fits = [fit_independence(shaped_rows(np.random.default_rng([8, run]), shape)) for run in range(num_runs)]
    assert sum(fit.p_value < 0.05 for fit in fits) <= most(num_runs, 0.10)
    assert min(fit.p_value for fit in fits) > 1e-4


def test_an_effect_of_sf_is_seen_whatever_the_shape():
    """Half a log-odd for each SF."""
    pytest.importorskip("statsmodels")
    for shape in SHAPES:
        assert fit_independence(shaped_rows(np.random.default_rng(9), shape, sf_effect=0.5)).p_value < 0.01, shape


def test_residual_errors_count_wrong_and_lost_bytes():
    row = {
        "delivered": True,
        "intact": False,
        "bytes_sent": 96,
        "byte_errors": 3,
        "fragments_sent": 2,
        "fragments_lost": 1,
    }
    assert residual_errors({**row, "bytes_lost": 0}) == 3
    assert residual_errors(row) == 3 + 48  # half of the fragments, where lost bytes were not counted
    assert residual_errors({**row, "delivered": False, "byte_errors": 0}) == 96
    assert residual_errors({**row, "intact": True, "byte_errors": 0}) == 0  # parity made up for the lost fragment


def rows_that_share_texts(rng, *, nested):
    """A true collapse: 40 programs, 6 SF, 5 training seeds; each damaged text has a difficulty that its rows share.

    Nested: two channel seeds for each training seed, two rows of a text. Else one for all, ten rows of a text.
    """
    ease = rng.normal(0, 1.0, 40)
    rows = []
    for sf, loss in zip(range(7, 13), (0.85, 0.65, 0.45, 0.28, 0.17, 0.1), strict=True):
        for program, channel in itertools.product(range(40), range(10 if nested else 1)):
            sent = 3 + program % 5
            lost = int(rng.binomial(sent, loss))
            if lost == sent:
                continue
            logit = ease[program] - 0.2 - 2.0 * lost / sent + (rng.normal(0, 1.0) if lost else 0.0)
            damage = {"delivered": True, "intact": lost == 0, "byte_errors": 0, "bytes_lost": 48 * lost}
            for seed, method in itertools.product([channel // 2] if nested else range(5), ("full", "qlora")):
                correct = bool(rng.random() < special.expit(logit))
                known = {"program": str(program), "method": method, "sf": sf, "train_seed": seed}
                rows.append({"correct": correct, "bytes_sent": 48 * sent, **damage, **known})
    return rows


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_shared_texts_cost_the_likelihood_ratio_its_level_where_seeds_are_crossed():
    """40 studies each: nested, the registered test rejects at most 15 %; crossed, the robust one; false alarm 1e-4."""
    most = stats.binom.isf(1e-4, 40, 0.05)
    studies = {n: [rows_that_share_texts(np.random.default_rng([31, k]), nested=n) for k in range(40)] for n in (0, 1)}
    rejected = {
        (nested, engine): sum(fit_independence(rows, engine=engine).p_value < 0.05 for rows in studies[nested])
        for nested, engine in ((1, "mixed"), (0, "gee"), (0, "mixed"))
    }
    assert rejected[1, "mixed"] <= most and rejected[0, "gee"] <= most
    assert rejected[0, "mixed"] >= 5  # about 10: why the robust fit is read there


def test_collapse_of_data_that_cannot_tell():
    pytest.importorskip("statsmodels")
    rows = independence_rows(np.random.default_rng(1))
    assert fit_independence([]).reason == "no items"
    assert fit_independence([{**row, "correct": True} for row in rows]).reason == "every item is right"
    assert fit_independence([row for row in rows if row["program"] == "p0"]).reason == "one program only"
    one_sf = fit_independence([row for row in rows if row["sf"] == 8])
    assert one_sf.sf is None and "one SF only" in independence_sentence(one_sf)
    alike = fit_independence([{**row, "program": f"p{index % 42}"} for index, row in enumerate(rows)])
    assert alike.engine == "mixed" and all(math.isfinite(effect.low) for effect in alike.effects)
    split = fit_independence([{**row, "correct": row["method"] == "full"} for row in rows])  # fully separated
    assert split.engine in ("mixed", "gee", "none")
    assert all(math.isfinite(effect.low) and math.isfinite(effect.high) for effect in split.effects)
    with pytest.raises(ValueError, match="'engine'"):
        fit_independence(rows, engine="bayes")
