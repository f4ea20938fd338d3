"""Seeds crossed and nested: which runs are compared, how often an interval of D holds the truth, and what is said."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from synthetic_study import make_study

from llm_bridge.link import Link
from llm_bridge.report import Point, load_study
from llm_bridge.report.controls import controls
from llm_bridge.report.language import format_runs, limits, method_sentences, primary_sentence, seed_words
from llm_bridge.report.pairing import compare_points, matched_runs, pair_points, program_differences, shared_runs
from llm_bridge.report.reading import CellFiles, item_frame
from llm_bridge.report.tests import (
    independence_tests,
    method_comparisons,
    method_tests,
    primary_contrasts,
    seed_components,
)

FALSE_ALARM = 1e-6
CROSSED = [(t, c) for t in (0, 1) for c in (0, 1)]
NESTED = [(0, 0), (0, 1), (1, 2), (1, 3)]


def point(runs, *, method="qlora", clean=False, right=lambda program, run: True, programs=("a", "b")):
    """A point whose cells are named by their seeds, one item for each program and run."""
    cells = [
        CellFiles(
            name=str(run),
            config={},
            provenance={},
            rows=[],
            items=[
                {
                    "cell": str(run),
                    "program": program,
                    "task": "paired",
                    "version": "pair",
                    "delivered": True,
                    "intact": True,
                    "decision": "buggy" if right(program, run) else "correct",
                    "correct": bool(right(program, run)),
                    "longer": True,
                }
                for program in programs
            ],
        )
        for run in runs
    ]
    link = Link(axis="fixed_snr", level=-10.0, sf=7, snr_db=-10.0, fading="rayleigh")
    items = item_frame(cells)
    return Point(
        corpus="minibugs",
        task="paired",
        method=method,
        link=None if clean else link,
        corrupted_split="none" if clean else "eval",
        scores={"n": len(items), "intact": len(items), "delivered": len(items)},
        num_programs=len(programs),
        runs={str(run): run for run in runs},
        items=items,
        run_of_item=items["cell"].to_numpy(),
    )


def names(*points):
    """For each point the runs that go with those of the others."""
    return [[str(run) for run in runs] for runs in zip(*matched_runs(points), strict=True)]


# --- which runs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [CROSSED, NESTED])
def test_two_trained_methods_share_all_their_runs(runs):
    assert shared_runs([point(runs), point(runs, method="full")]) == runs


@pytest.mark.parametrize("runs", [CROSSED, NESTED])
def test_a_clean_run_goes_with_each_run_of_its_training_seed(runs):
    clean, link = names(point([(0, None), (1, None)], clean=True), point(runs))
    assert clean == ["(0, None)", "(0, None)", "(1, None)", "(1, None)"]
    assert link == [str(run) for run in runs]


@pytest.mark.parametrize(("runs", "channels"), [(CROSSED, (0, 1)), (NESTED, (0, 1, 2, 3))])
def test_an_untrained_model_goes_with_every_trained_run_on_its_channel(runs, channels):
    trained, untrained = point(runs), point([(None, c) for c in channels], method="zero-shot")
    first, second = names(trained, untrained)
    assert first == [str(run) for run in runs]
    assert second == [str((None, channel)) for _, channel in runs]


def test_channels_that_one_side_alone_has_are_left_out():
    """A study half done: the untrained model is through, of the trained one only the first training seed."""
    trained, untrained = point(NESTED[:2]), point([(None, c) for c in range(4)], method="zero-shot")
    assert shared_runs([trained, untrained]) == NESTED[:2]
    _, second = names(trained, untrained)
    assert second == ["(None, 0)", "(None, 1)"]
    solved = point([(None, c) for c in range(4)], method="zero-shot", right=lambda program, run: run[1] > 1)
    assert compare_points([trained], [solved]).value == 1.0  # on channels 2 and 3 it would have been right
    assert compare_points([point([(0, 0)])], [point([(0, 1)])]) is None


def test_runs_weigh_alike_where_one_training_seed_has_more_channels():
    """D of a program is the mean over runs, each less its own clean run; not a difference of unlike means."""
    runs = [(0, 0), (1, 1), (1, 2)]

    def right(program, run):
        return run[0] == 1

    clean = point([(0, None), (1, None)], clean=True, right=right)
    paired = pair_points([(clean, point(runs, right=right), clean, point(runs, right=lambda p, run: False))])
    assert program_differences(paired) == pytest.approx([-2 / 3, -2 / 3])
    assert paired.difference().value == pytest.approx(-2 / 3)


def test_a_link_with_fewer_runs_weighs_as_much_as_the_others():
    """A study half done: two channels at one link, one at the next, none in common at a third."""
    never = point([(0, 0), (0, 1)], right=lambda program, run: False)
    groups = [
        (point([(0, 0), (0, 1)], right=lambda program, run: run[1] == 0), never),  # 0.5 of the runs
        (point([(0, 0)]), never),
        (point([(0, 0)]), point([(0, 5)])),
    ]
    paired = pair_points(groups)
    assert paired.difference().value == pytest.approx(0.75)
    assert program_differences(paired) == pytest.approx([0.75, 0.75])


def test_seeds_in_words():
    five_by_two = [(t, 2 * t + k) for t in range(5) for k in (0, 1)]
    assert format_runs(five_by_two) == "five training seeds, two channel seeds for each, ten in all"
    assert format_runs([(t, t) for t in range(5)]) == "five training seeds, one channel seed for each, five in all"
    assert format_runs([(0, 0), (1, 1), (1, 2)]) == "two training seeds, three channel seeds, each for one of them"
    assert format_runs([(t, 0) for t in range(5)]) == "five training seeds, one channel seed"
    assert format_runs([(0, 0), (0, 1)]) == "one training seed, two channel seeds"
    assert seed_words(point(CROSSED), point([(None, 0), (None, 1)])) == "two training seeds, two channel seeds"
    assert seed_words(point([(None, None)], clean=True)) == "no seeds"


# --- coverage ---------------------------------------------------------------------------------------------------------

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(41)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
FIVE_BY_TWO = [(t, 2 * t + k) for t in range(5) for k in (0, 1)]
NUM_PROGRAMS, PROGRAM_SD, BY_SEED_SD, NOISE_SD = 40, 1.2, 0.5, 0.8


def chance(centre, spread):
    """E expit(N(centre, spread^2))."""
    return float(expit(centre + spread * NODES) @ WEIGHTS)


@pytest.mark.parametrize("num_studies", [120, pytest.param(2000, marks=pytest.mark.slow)])
def test_intervals_of_d_cover_the_truth_under_nesting(num_studies):
    """At least 92 % of intervals hold D for the training seeds that were run; false alarm 1e-6.

    Programs differ in ease, each training seed of each method shifts all programs and each program by itself, and the
    noise of a program on a channel seed is common to both methods. The truth is the mean over all programs and
    channels, given the training seeds' shifts: that is what an interval over programs speaks of.
    """
    programs = [f"p{i}" for i in range(NUM_PROGRAMS)]
    held = 0
    for study in range(num_studies):
        rng = np.random.default_rng([23, study])
        ease = dict(zip(programs, rng.normal(0, PROGRAM_SD, NUM_PROGRAMS), strict=True))
        noise = {(p, c): rng.normal(0, NOISE_SD) for p in programs for c in range(10)}
        truth, points = 0.0, []
        for sign, method in ((1, "qlora"), (-1, "full")):
            shift = rng.normal(0.3, 0.4, 5)
            own = {(p, t): rng.normal(0, BY_SEED_SD) for p in programs for t in range(5)}

            def right(program, run, shift=shift, own=own, rng=rng, ease=ease, noise=noise):
                centre = shift[run[0]] + ease[program] + own[program, run[0]]
                if run[1] is not None:
                    centre += noise[program, run[1]] - 1.0
                return rng.random() < expit(centre)

            clean = [(t, None) for t in range(5)]
            points += [
                point(clean, clean=True, method=method, right=right, programs=programs),
                point(FIVE_BY_TWO, method=method, right=right, programs=programs),
            ]
            spread = math.hypot(PROGRAM_SD, BY_SEED_SD)
            lost = [chance(s, spread) - chance(s - 1.0, math.hypot(spread, NOISE_SD)) for s in shift]
            truth += sign * float(np.mean(lost))
        interval = pair_points([tuple(points)]).difference()
        held += not interval.excludes(truth)
    assert held >= stats.binom.ppf(FALSE_ALARM, num_studies, 0.92)


# --- a whole study ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nested(tmp_path_factory):
    directory = make_study(
        tmp_path_factory.mktemp("nested"),
        axes=("fixed_snr",),
        methods=("rules", "zero-shot", "qlora", "full"),
        tasks=("localise", "paired"),
        spreading_factors=(7, 9),
        train_seeds=(0, 1, 2),
        channel_seeds=range(6),
        channel_seeds_each=2,
    )
    return load_study(directory)


def test_contrasts_of_a_nested_study(nested):
    for contrast in primary_contrasts(nested):
        assert [len(p.items) for p in contrast.groups[0][::2] + contrast.groups[0][1::2]] == [
            42 * 3,
            42 * 3,
            42 * 6,
            42 * 6,
        ]
        assert contrast.registered
        assert "three training seeds, two channel seeds for each, six in all" in primary_sentence(contrast)
    untrained = primary_contrasts(nested, methods=("qlora", "zero-shot"))
    assert [c.linked[1].method for c in untrained] == ["zero-shot"] * 2
    assert "six in all" in seed_words(*untrained[0].linked)
    said = [text for c in method_comparisons(nested) for text in method_sentences(c)]
    assert said and all("two channel seeds for each" in text for text in said)
    assert any("channel seeds of its own" in text for text in limits(nested))


def test_solved_is_by_more_than_half_of_the_shared_runs(nested):
    test = next(t for t in method_tests(nested) if t.first.sf == 9 and t.first.task == "paired")
    solved = []
    for p in (test.first, test.second):
        right = {}
        for row in p.items.to_dict("records"):
            right.setdefault(row["program"], []).append(bool(row["delivered"] and row["correct"]))
        assert {len(answers) for answers in right.values()} == {6}
        solved.append({name for name, answers in right.items() if sum(answers) > 3})
    assert (test.only_first, test.only_second) == (len(solved[0] - solved[1]), len(solved[1] - solved[0]))


def test_scatter_and_collapse_of_a_nested_study(nested):
    parts = {part.name: part for part in seed_components(nested)["minibugs", "paired", "qlora"]}
    assert {"training seed", "channel seed within training seed", "program x training seed", "rest"} < set(parts)
    assert parts["channel seed within training seed"].draws == 6 and parts["rest"].draws == 42 * 6
    crossed = {part.name for part in seed_components(nested)["minibugs", "paired", "zero-shot"]}
    assert crossed == {"program", "channel seed", "rest"}
    for test in independence_tests(nested):
        effects = {effect.name for effect in test.slope.effects}
        assert {"seed[qlora:1]", "seed[qlora:2]"} < effects and not any("channel" in name for name in effects)


def test_methods_on_one_channel_seed_saw_the_same_noise(nested):
    noise = next(c for c in controls(nested) if c.name == "common random numbers")
    # of 6 channels, 2 SF, 2 tasks, 42 programs: each cell beyond the first of its channel is compared
    assert noise.holds and noise.n == 6 * 2 * 2 * 42 * (4 - 1)


def test_curves_pool_all_channels(nested):
    (curve,) = [c for c in nested.curves if c.first.method == "zero-shot" and c.first.task == "paired"]
    assert curve.first.channel_seeds == tuple(range(6))
