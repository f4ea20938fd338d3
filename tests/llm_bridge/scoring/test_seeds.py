"""Training and channel seeds, crossed or nested: what intervals cover, and where the scatter comes from."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from llm_bridge.scoring import statistics as st
from llm_bridge.scoring.intervals import seed_half_width
from llm_bridge.scoring.metrics import F1_OF, seed_values
from llm_bridge.scoring.variance import crossed_table, nested_components, nested_table, variance_components

FALSE_ALARM = 1e-6
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
NUM_PROGRAMS, TRAIN_SEEDS, CHANNEL_SEEDS = 42, 5, 2
PROGRAM_SD, PROGRAM_BY_SEED_SD, NOISE_SD = 1.5, 0.7, 0.7


def mean_chance(centre, spread):
    """E expit(N(centre, spread^2)) for each centre."""
    return expit(np.asarray(centre)[..., None] + spread * NODES) @ WEIGHTS


def draw_right(rng, centres, ease):
    """Decisions (programs, training seeds, channel seeds): a program's noise is drawn anew for each channel seed."""
    by_seed = rng.normal(0, PROGRAM_BY_SEED_SD, (NUM_PROGRAMS, TRAIN_SEEDS, 1))
    noise = rng.normal(0, NOISE_SD, (NUM_PROGRAMS, 1, CHANNEL_SEEDS))
    return (
        rng.random((NUM_PROGRAMS, TRAIN_SEEDS, CHANNEL_SEEDS)) < expit(ease + centres[:, None] + by_seed + noise)
    ) * 1


def counts(right):
    solved = right.sum(axis=(1, 2)).astype(float)
    return np.stack([solved, right[0].size - solved], axis=1)


def accuracy(sums):
    return sums[..., 0] / sums.sum(-1)


def covered(num_runs, seed_sd):
    """How many intervals of F1 hold the truth for these training seeds, for all seeds; and of a difference."""
    spread = math.hypot(PROGRAM_SD, PROGRAM_BY_SEED_SD, NOISE_SD)
    over_all_seeds = mean_chance([0.5], math.hypot(spread, seed_sd))[0]
    given, overall, difference = 0, 0, 0
    for run in range(num_runs):
        rng = np.random.default_rng([7, run])
        centres = 0.5 + rng.normal(0, seed_sd, (2, TRAIN_SEEDS))
        ease = rng.normal(0, PROGRAM_SD, (NUM_PROGRAMS, 1, 1))
        first, second = (counts(draw_right(rng, centre, ease)) for centre in centres)
        truth = mean_chance(centres, spread).mean(axis=1)
        interval = st.cluster_bootstrap(first, accuracy, num_resamples=2000)
        given += not interval.excludes(truth[0])
        overall += not interval.excludes(over_all_seeds)
        paired = st.paired_difference(first, second, accuracy, num_resamples=2000)
        difference += not paired.excludes(truth[0] - truth[1])
    return given, overall, difference


@pytest.mark.parametrize("num_runs", [150, pytest.param(3000, marks=pytest.mark.slow)])
def test_intervals_cover_the_truth_for_the_seeds_that_were_run(num_runs):
    """Programs resampled with all their seeds: at least 92 % coverage of F1 and of a paired difference."""
    given, _, difference = covered(num_runs, seed_sd=0.5)
    least = stats.binom.ppf(FALSE_ALARM, num_runs, 0.92)
    assert given >= least
    assert difference >= least


@pytest.mark.slow
def test_intervals_do_not_cover_other_seeds_where_seeds_differ_much():
    """The limit that the documentation states: an interval over programs knows nothing of new training seeds."""
    given, overall, _ = covered(1500, seed_sd=1.5)
    assert given >= stats.binom.ppf(FALSE_ALARM, 1500, 0.92)
    assert overall <= stats.binom.isf(FALSE_ALARM, 1500, 0.90)


def covered_over_seeds(num_studies, seed_sd):
    """How many intervals over programs and seeds hold the truth for all seeds: of F1, and of a paired difference."""
    spread = math.hypot(PROGRAM_SD, PROGRAM_BY_SEED_SD, NOISE_SD, seed_sd)
    truth = mean_chance([0.5], spread)[0]
    found = np.zeros(2)
    for study in range(num_studies):
        rng = np.random.default_rng([11, study])
        ease = rng.normal(0, PROGRAM_SD, (NUM_PROGRAMS, 1, 1))
        first, second = (
            draw_right(rng, 0.5 + rng.normal(0, seed_sd, TRAIN_SEEDS), ease).mean(axis=2) for _ in range(2)
        )
        for place, (values, true) in enumerate(((first, truth), (first - second, 0.0))):
            half, p_value = seed_half_width(values)
            found[place] += abs(values.mean() - true) <= half
            assert (abs(values.mean()) > half) == (p_value < 0.05)
    return found


@pytest.mark.parametrize("num_studies", [300, pytest.param(4000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("seed_sd", [0.0, 0.5, 1.0, 1.5])
def test_intervals_over_programs_and_seeds_cover_other_seeds_too(num_studies, seed_sd):
    """Coverage of 92 % or more of F1 and of a difference of two methods, however much seeds differ."""
    assert min(covered_over_seeds(num_studies, seed_sd)) >= stats.binom.ppf(FALSE_ALARM, num_studies, 0.92)


def test_the_half_width_is_that_of_the_mixed_model_with_the_variances_put_in():
    """Normal values of known variances: the mean squared error of the mean is what the half-width says, within 5 %."""
    rng = np.random.default_rng(12)
    tables = rng.normal(0, 1.0, (4000, 30, 1)) + rng.normal(0, 0.5, (4000, 1, 8)) + rng.normal(0, 0.7, (4000, 30, 8))
    errors = tables.mean(axis=(1, 2))
    halves = np.array([seed_half_width(table)[0] for table in tables])
    exact = math.sqrt(1 / 30 + 0.25 / 8 + 0.49 / 240)
    assert errors.std() == pytest.approx(exact, rel=0.05)
    assert np.mean(np.abs(errors) <= halves) == pytest.approx(0.95, abs=5 * math.sqrt(0.95 * 0.05 / 4000))


def test_nothing_is_known_of_other_seeds_from_one():
    assert seed_half_width(np.ones((42, 1))) is None and seed_half_width(np.ones((1, 5))) is None
    half, p_value = seed_half_width(np.zeros((42, 5)))
    assert half == pytest.approx(1 - 0.025 ** (1 / 42)) and p_value == 1.0  # all alike: the exact bound of 0 of 42


@pytest.mark.parametrize("task", ["localise", "paired", "detect"])
def test_seed_values_have_the_mean_of_f1_and_its_slope(task):
    """The mean over clusters is F1; dropping a cluster moves F1 as its value says, to first order (60 clusters)."""
    statistic, _ = F1_OF[task]
    width = {"localise": 3, "paired": 2, "detect": 4}[task]
    tables = np.random.default_rng(3).integers(0, 4, (2, 60, width)) + 1.0
    values = seed_values(task, tables)
    assert values.mean(axis=0) == pytest.approx(statistic(tables.sum(axis=1)))
    for seed, table in enumerate(tables):
        left_out = statistic(table.sum(axis=0) - table)
        f1 = float(statistic(table.sum(axis=0)))
        assert f1 - 59 * (left_out - f1) == pytest.approx(values[:, seed], abs=0.08)


def test_components_add_up_to_what_was_put_in():
    """Means over 300 tables of normal values: each component within 4 standard errors of its true variance."""
    rng = np.random.default_rng(0)
    shapes = {"program": (30, 1, 1), "training seed": (1, 5, 1), "channel seed": (1, 1, 4)}
    shapes |= {"program x training seed": (30, 5, 1), "program x channel seed": (30, 1, 4)}
    shapes |= {"training seed x channel seed": (1, 5, 4), "rest": (30, 5, 4)}
    truth = dict(zip(shapes, (1.0, 0.3, 0.2, 0.4, 0.5, 0.1, 0.6), strict=True))
    found = {name: [] for name in shapes}
    for _ in range(300):
        table = sum(rng.normal(0, math.sqrt(truth[name]), shape) for name, shape in shapes.items())
        for part in variance_components(table):
            found[part.name].append(part.variance)
    for name, values in found.items():
        error = np.std(values) / math.sqrt(len(values))
        bias = 0.02 if name in ("training seed x channel seed", "channel seed") else 0.0  # negative ones set to 0
        assert abs(np.mean(values) - truth[name]) < 4 * error + bias, name


def test_nested_components_add_up_to_what_was_put_in():
    """Means over 300 tables, two channel seeds for each of five training seeds: within 4 standard errors."""
    rng = np.random.default_rng(4)
    shapes = {"program": (30, 1, 1), "training seed": (1, 5, 1), "channel seed within training seed": (1, 5, 2)}
    shapes |= {"program x training seed": (30, 5, 1), "rest": (30, 5, 2)}
    truth = dict(zip(shapes, (1.0, 0.6, 0.3, 0.4, 0.6), strict=True))
    found = {name: [] for name in shapes}
    for _ in range(300):
        table = sum(rng.normal(0, math.sqrt(truth[name]), shape) for name, shape in shapes.items())
        for part in nested_components(table):
            found[part.name].append(part.variance)
    for name, values in found.items():
        error = np.std(values) / math.sqrt(len(values))
        bias = 0.01 if name == "training seed" else 0.0  # negative ones set to 0
        assert abs(np.mean(values) - truth[name]) < 4 * error + bias, name


def test_nested_components_agree_with_nested_analysis_of_variance():
    """Against the mean squares of statsmodels' table of y ~ P + T + P:T + C(T)."""
    formula = pytest.importorskip("statsmodels.formula.api")
    statsmodels = pytest.importorskip("statsmodels.api")
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(5)
    table = rng.normal(size=(8, 3, 2)) + rng.normal(size=(8, 1, 1)) + rng.normal(size=(1, 3, 1))
    p, t, c = np.indices(table.shape)
    frame = pandas.DataFrame({"y": table.ravel(), "p": p.ravel(), "t": t.ravel(), "c": c.ravel()})
    anova = statsmodels.stats.anova_lm(formula.ols("y ~ C(p) * C(t) + C(t):C(c)", frame).fit())
    square = anova["sum_sq"] / anova["df"]
    rest, both, within = square["Residual"], square["C(p):C(t)"], square["C(t):C(c)"]
    parts = {part.name: part for part in nested_components(table)}
    assert parts["rest"].variance == pytest.approx(rest)
    assert parts["program x training seed"].variance == pytest.approx(max(0, (both - rest) / 2))
    assert parts["channel seed within training seed"].variance == pytest.approx(max(0, (within - rest) / 8))
    assert parts["program"].variance == pytest.approx(max(0, (square["C(p)"] - both) / 6))
    assert parts["training seed"].variance == pytest.approx(max(0, (square["C(t)"] - both - within + rest) / 16))


def test_nested_table_is_none_where_seeds_are_crossed_or_missing():
    nested = {(p, t, 2 * t + k): float(k) for p in "ab" for t in (0, 1) for k in (0, 1)}
    assert nested_table(nested).tolist() == [[[0, 1], [0, 1]]] * 2
    assert nested_table({(p, t, c): 1.0 for p in "ab" for t in (0, 1) for c in (0, 1)}) is None
    assert nested_table({("a", None, c): 1.0 for c in (0, 1)}) is None  # nothing trained
    nested.pop(("a", 1, 2))
    assert nested_table(nested) is None
    one_each = nested_components(np.random.default_rng(0).normal(size=(6, 3, 1)))
    assert [part.name for part in one_each] == ["program", "training seed with its channel seed", "rest"]
    with pytest.raises(ValueError, match="'right'"):
        nested_components(np.zeros((5, 1, 2)))


def test_components_agree_with_two_way_analysis_of_variance():
    """Without channel seeds: against the mean squares of statsmodels' table."""
    statsmodels = pytest.importorskip("statsmodels.api")
    formula = pytest.importorskip("statsmodels.formula.api")
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(1)
    table = (rng.normal(size=(20, 1)) + 0.5 * rng.normal(size=(1, 5)) + rng.normal(size=(20, 5)) > 0) * 1.0
    p, t = np.indices(table.shape)
    frame = pandas.DataFrame({"y": table.ravel(), "p": p.ravel(), "t": t.ravel()})
    anova = statsmodels.stats.anova_lm(formula.ols("y ~ C(p) + C(t)", frame).fit())
    square = anova["sum_sq"] / anova["df"]
    rest = square["Residual"]
    parts = {part.name: part for part in variance_components(table[:, :, None])}
    assert parts["rest"].variance == pytest.approx(rest)
    assert parts["program"].variance == pytest.approx((square["C(p)"] - rest) / 5)
    assert parts["training seed"].variance == pytest.approx(max(0, (square["C(t)"] - rest) / 20))
    assert sum(part.share for part in parts.values()) == pytest.approx(1)
    assert parts["training seed"].score_sd == pytest.approx(math.sqrt(parts["training seed"].variance / 5))


def test_crossed_table_is_none_where_a_combination_is_missing():
    full = {(p, t, c): float(p == "a") for p in "ab" for t in (0, 1) for c in (0, 1, 2)}
    table = crossed_table(full)
    assert table.shape == (2, 2, 3)
    assert table[0].min() == 1 and table[1].max() == 0
    full.pop(("a", 1, 2))
    assert crossed_table(full) is None
    with pytest.raises(ValueError, match="'right'"):
        variance_components(np.zeros((1, 5, 2)))


def test_smallest_detectable_mean_is_shown_with_the_power_it_claims():
    """t tests of means of that size on normal differences: 80 % of 2000 reject, within 5 binomial sd."""
    rng = np.random.default_rng(2)
    effect = st.smallest_detectable_mean(stats.norm.ppf((np.arange(42) + 0.5) / 42))
    rejected = sum(stats.ttest_1samp(rng.normal(effect, 1, 42), 0).pvalue < 0.05 for _ in range(2000))
    assert rejected / 2000 == pytest.approx(0.8, abs=5 * math.sqrt(0.16 / 2000) + 0.02)
    assert st.smallest_detectable_mean([0.3]) is None
