"""Registered contrasts, controls and the advice on spreading factors: against item rows counted by hand."""

import dataclasses
import itertools
import re

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("statsmodels")

from synthetic_study import make_study, read_page

from llm_bridge.report import load_study, planning, write_report
from llm_bridge.report.controls import controls, intact_only, parser_gate, reception
from llm_bridge.report.curves import headline_curves, is_control, split_rows, verdict
from llm_bridge.report.language import control_note, method_name, primary_sentence, training_sentence
from llm_bridge.report.pairing import compare_points, pair_points, program_differences
from llm_bridge.report.reading import CellFiles, item_frame
from llm_bridge.report.results import make_curves, pool
from llm_bridge.report.tests import (
    independence_tests,
    margins_of,
    neighbour_tests,
    primary_contrasts,
    seed_components,
    texture_contrasts,
    training_contrasts,
)
from llm_bridge.scoring.metrics import _by_cluster, _columns, compare_tables, f1_counts, score_cell
from llm_bridge.scoring.statistics import holm, mcnemar_exact

SEEDS = {"train_seeds": (0, 1, 2), "channel_seeds": (0, 1)}
SMALL = {"tasks": ("localise", "paired"), "spreading_factors": (7, 9, 12)}


@pytest.fixture(scope="module")
def study_dir(tmp_path_factory):
    directory = make_study(
        tmp_path_factory.mktemp("evidence"), methods=("rules", "zero-shot", "qlora", "full"), **SMALL, **SEEDS
    )
    one = SMALL | {"axes": ("fixed_snr",), "with_clean": False, "spreading_factors": (7, 9)}
    make_study(directory, methods=("qlora",), policy="drops", **one, **SEEDS)
    make_study(directory, methods=("qlora",), snrs=(-60.0,), **one)
    make_study(directory, methods=("qlora-shuffled",), axes=(), tasks=SMALL["tasks"], **SEEDS)
    make_study(directory, methods=("qlora",), axes=(), tasks=SMALL["tasks"], corpus="minibugs-renamed", **SEEDS)
    return directory


@pytest.fixture(scope="module")
def study(study_dir):
    return load_study(study_dir)


def point(study, **fields):
    (found,) = [p for p in study.points if all(column(p, name) == value for name, value in fields.items())]
    return found


def column(p, name):
    """A point's field, or its link's."""
    return getattr(p, name) if hasattr(p, name) else getattr(p.link, name, None)


def rows_of(study, p):
    """The item rows behind a point, as they stand in the cells' files."""
    return [row for cell in study.cells if cell.name in p.runs for row in cell.items if row["task"] == p.task]


# --- contrasts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["localise", "paired"])
def test_programs_own_differences_average_to_the_contrast(study, task):
    """The sign-flip test and the bootstrap speak of one and the same D, several seeds and gold lines included."""
    link = {"task": task, "axis": "fixed_snr", "sf": 9, "snr_db": -10.0, "policy": "drop"}
    clean = {"task": task, "corrupted_split": "none", "corpus": "minibugs"}
    group = [
        point(study, method=m, **where) for m in ("qlora", "full") for where in (clean, link)
    ]  # clean a, link a, clean b, link b
    paired = pair_points([tuple(group)])
    own = program_differences(paired)
    assert len(own) == 42
    by_point = [rows_of(study, p) for p in group]  # a full grid: every run once
    from_rows = compare_tables(task, *(_by_cluster(rows, f1_counts(task, _columns(rows, task))) for rows in by_point))
    assert own.mean() == pytest.approx(from_rows.value, abs=1e-12)
    found = paired.difference()
    assert dataclasses.replace(found, over_seeds=None, p_over_seeds=None) == from_rows
    assert np.mean(found.over_seeds) == pytest.approx(found.value) and 0 < found.p_over_seeds <= 1


@pytest.fixture(scope="module")
def detecting(tmp_path_factory):
    directory = make_study(
        tmp_path_factory.mktemp("detecting"), methods=("qlora", "full"), axes=("fixed_snr",),
        **SMALL | {"tasks": ("localise", "paired", "detect")}, **SEEDS,
    )  # fmt: skip
    return load_study(directory)


@pytest.mark.parametrize("task", ["localise", "paired", "detect"])
def test_d_over_several_links_is_the_mean_of_their_ds(detecting, task):
    """Of *detect* too, whose F1 over the pooled items of all links is another number than the mean of the links' F1."""
    study, groups = detecting, []
    for sf in (7, 9, 12):
        link = {"task": task, "axis": "fixed_snr", "sf": sf, "snr_db": -10.0, "policy": "drop"}
        clean = {"task": task, "corrupted_split": "none", "corpus": "minibugs"}
        groups.append(tuple(point(study, method=m, **where) for m in ("qlora", "full") for where in (clean, link)))
    found = pair_points(groups).difference()
    losses = [(clean_a.f1 - a.f1) - (clean_b.f1 - b.f1) for clean_a, a, clean_b, b in groups]
    assert found.value == pytest.approx(np.mean(losses), abs=1e-12)
    assert found.low <= found.value <= found.high
    assert np.mean(found.over_seeds) == pytest.approx(found.value)
    alone = compare_points([group[1] for group in groups], [group[3] for group in groups])
    assert alone.value == pytest.approx(np.mean([a.f1 - b.f1 for _, a, _, b in groups]), abs=1e-12)


def test_primary_contrasts_are_those_that_were_registered(study):
    found = primary_contrasts(study)
    assert [(c.first.axis, c.first.task, c.first.sf) for c in found] == [
        ("fixed_snr", "localise", 7),
        ("fixed_snr", "paired", 7),
        ("equal_airtime", "localise", 7),
        ("equal_airtime", "paired", 7),
    ]
    assert all([group[1].sf for group in c.groups] == [7, 9, 12] for c in found), "D is the mean over SF"
    for c in found:
        losses = [(clean_a.f1 - a.f1) - (clean_b.f1 - b.f1) for clean_a, a, clean_b, b in c.groups]
        assert c.difference.value == pytest.approx(np.mean(losses))
        assert c.p_value == c.difference.p_over_seeds and c.difference.over_seeds is not None
    assert all(c.first.policy == "drop" and [p.method for p in c.linked] == ["qlora", "full"] for c in found)
    for pair in (found[:2], found[2:]):  # a family is the two tasks of one axis
        assert [c.p_holm for c in pair] == pytest.approx(list(holm([c.p_value for c in pair])))
    assert [c.registered for c in found] == [True, True, False, False]  # the synthetic airtime axis has fading


def test_skill_is_claimed_against_the_larger_of_chance_and_the_best_rule(study):
    for p in (p for p in study.points if p.method == "qlora"):
        texts = p.link if p.corrupted_split == "eval" else None
        rules = [q for q in study.points if (q.corpus, q.task, q.link, q.method) == (p.corpus, p.task, texts, "rules")]
        assert p.baseline == max([p.scores["baseline"], *(rule.f1 for rule in rules)])
    row = {"delivered": 42, "f1": 0.4, "f1_low": 0.3, "f1_high": 0.5, "baseline": 0.17}
    assert verdict(row).key == "above" and verdict(row | {"best_rule": 0.36}).key == "at"
    seeds = dataclasses.replace(point(study, task="localise", method="qlora", axis="fixed_snr", sf=12, policy="drop"))
    low, high = seeds.widest
    assert low <= min(seeds.low, seeds.over_seeds[0]) and high >= max(seeds.high, seeds.over_seeds[1])
    object.__setattr__(seeds, "over_seeds", (0.0, 1.0))
    assert verdict(seeds).key == "at", "one of other seeds' models may be no better than a rule"


def test_margins_are_a_third_of_the_skill_on_validation_mutants_and_read_from_the_recipe(tmp_path):
    make_study(
        tmp_path,
        methods=("rules", "qlora", "full"),
        tasks=("localise", "paired"),
        spreading_factors=(7,),
        axes=("fixed_snr",),
        corpus="mutants-validation",
    )
    study = load_study(tmp_path)
    clean = {(p.task, p.method): p for p in study.points if p.clean}
    level = max(clean["localise", "rules"].f1, clean["localise", "rules"].scores["baseline"])
    skill = np.mean([clean["localise", method].f1 for method in ("qlora", "full")]) - level
    assert margins_of(study, "mutants-validation")["localise"] == pytest.approx(skill / 3)
    assert {c.margin for c in primary_contrasts(study)} == {0.10}
    (tmp_path / "recipe.json").write_text('{"score": {"margin": {"localise": 0.07}}}')
    assert {c.first.task: c.margin for c in primary_contrasts(load_study(tmp_path))} == {
        "localise": 0.07,
        "paired": 0.10,
    }


def test_delivered_damage_is_primary_too_where_a_margin_is_registered(tmp_path):
    """The hypotheses of the study of the frozen mutants name both policies; those of the study before name "drop"."""
    make_study(tmp_path, methods=("qlora", "full"), spreading_factors=(7,), axes=("fixed_snr",), policy="deliver")
    assert {c.first.task: c.registered for c in primary_contrasts(load_study(tmp_path))} == {
        "localise": False,
        "paired": False,
    }
    (tmp_path / "recipe.json").write_text('{"score": {"margin": {"localise": 0.07}}}')
    assert {c.first.task: c.registered for c in primary_contrasts(load_study(tmp_path))} == {
        "localise": True,
        "paired": False,
    }


def test_a_direction_is_claimed_by_the_corrected_p_value_alone(study):
    contrast = dataclasses.replace(primary_contrasts(study)[0], p_holm=0.2)
    apart = dataclasses.replace(contrast.difference, value=-0.2, low=-0.3, high=-0.01)
    null = primary_sentence(dataclasses.replace(contrast, difference=apart))
    assert "not distinguishable (smallest difference that n could show: 0." in null and "costs" not in null
    assert "the link costs QLoRA less" in primary_sentence(dataclasses.replace(contrast, difference=apart, p_holm=0.03))
    tight = dataclasses.replace(apart, value=0.01, low=-0.09, high=0.09, over_seeds=(-0.08, 0.095))
    assert "equivalent within 0.10" in primary_sentence(dataclasses.replace(contrast, difference=tight))
    assert "not distinguishable" in primary_sentence(dataclasses.replace(contrast, difference=tight, margin=0.092))
    assert "n = 42 programs, three training seeds, two channel seeds)" in null


def test_neighbouring_spreading_factors_by_majority_of_seeds(study):
    tests = [t for t in neighbour_tests(study) if t.first.task == "paired" and t.first.axis == "fixed_snr"]
    mine = [t for t in tests if t.first.method == "qlora"]
    assert [(t.first.sf, t.second.sf) for t in mine] == [(9, 7), (12, 9)]
    solved = []
    for p in (mine[0].first, mine[0].second):
        right = {}
        for row in rows_of(study, p):
            right.setdefault(row["program"], []).append(row["delivered"] and row["decision"] == "buggy")
        assert {len(answers) for answers in right.values()} == {6}
        solved.append({name for name, answers in right.items() if sum(answers) >= 4})
    only = len(solved[0] - solved[1]), len(solved[1] - solved[0])
    assert (mine[0].only_first, mine[0].only_second) == only
    assert mine[0].p_value == mcnemar_exact(*only)
    assert [t.p_holm for t in mine] == pytest.approx(list(holm([t.p_value for t in mine])))


def test_collapse_is_tested_for_tasks_and_policies_of_the_study(study):
    found = independence_tests(study)
    assert [(c.policy, c.task) for c in found] == [("drop", "localise"), ("drop", "paired")]
    for c in found:
        assert c.slope.p_holm >= c.slope.p_value and c.categories.p_value is not None
        assert "seed[qlora:1]" in {effect.name for effect in c.slope.effects}
        assert c.in_part.num_items < c.slope.num_items < 42 * 3 * 2 * 3 * 2 * 2  # misses by definition are not asked


def test_seed_components_are_of_every_method_with_seeds(study):
    found = seed_components(study)
    assert {key[1:] for key in found} >= {("localise", "qlora"), ("paired", "full"), ("paired", "zero-shot")}
    parts = {part.name: part for part in found["minibugs", "localise", "qlora"]}
    assert set(parts) > {"program", "training seed", "channel seed", "program x training seed", "rest"}
    assert sum(part.share for part in parts.values()) == pytest.approx(1)
    assert parts["training seed"].draws == 3 and parts["program x channel seed"].draws == 84
    assert set(part.name for part in found["minibugs", "paired", "zero-shot"]) == {"program", "channel seed", "rest"}


# --- controls ---------------------------------------------------------------------------------------------------------


def rows_by_hand():
    """Three programs: whole, damaged but Python, damaged and not Python; the model is right on the first two."""
    row = {"cell": "link", "task": "paired", "version": "pair", "delivered": True, "longer": True, "score": 1.0}
    link = [
        {**row, "program": "a", "intact": True, "parses": True, "decision": "buggy", "correct": True},
        {**row, "program": "b", "intact": False, "parses": True, "decision": "buggy", "correct": True},
        {**row, "program": "c", "intact": False, "parses": False, "decision": "correct", "correct": False},
        {
            **row,
            "program": "d",
            "intact": False,
            "delivered": False,
            "parses": False,
            "decision": None,
            "correct": False,
        },
    ]
    clean = [{**row, "cell": "clean", "intact": True, "decision": "buggy", "correct": True} for row in link]
    clean[3] |= {"decision": "correct", "correct": False}
    return link, [{**row, "delivered": True} for row in clean]


def curve_by_hand(train_seed=0):
    """The rows by hand as a curve of one point beside its clean point; of the same training seed unless told."""
    link, clean = rows_by_hand()
    common = {"corpus": "minibugs", "method": "qlora"}
    radio = {"axis": "fixed_snr", "sf": 7, "snr_db": -10.0, "fading": "rayleigh", "cr": 1, "policy": "drop"}
    configs = (
        {**common, **radio, "corrupted_split": "eval", "train_seed": train_seed, "channel_seed": 0},
        {**common, "corrupted_split": "none", "train_seed": 0},
    )
    cells = [
        CellFiles(name=name, config=config, provenance={}, items=rows, rows=[{"task": "paired", "n": 4}])
        for name, config, rows in zip(("link", "clean"), configs, (link, clean), strict=True)
    ]
    (curve,) = make_curves(pool(cells, item_frame(cells)))
    return curve


def test_do_nothing_receivers_by_hand():
    found = reception(curve_by_hand())
    assert found.f1(found.first) == score_cell(rows_by_hand()[0])["f1"] == 0.5
    assert intact_only(found)[1]["score"] == 0.25  # a alone
    assert parser_gate(found)[1]["at_best"] == 0.75  # a and b as they are, c again, d again and wrong
    assert found.sent_again.sum() == 2
    assert reception(curve_by_hand(train_seed=1)) is None  # another training seed's decisions are not its own


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_what_the_gate_asks_again_meets_the_links_own_loss(share):
    """Of the two that ask again, c would be right when whole: F1 = (a + b + share of c) / 4; d is wrong either way."""
    found = reception(curve_by_hand())
    found.items["whole_share"] = share
    counts, details = parser_gate(found)
    assert details["score"] == pytest.approx((2 + share) / 4, abs=1e-12)
    assert counts.sum() == 4 and set(found.items["program"]) == set("abcd")


def test_controls_are_of_every_corpus(tmp_path):
    for corpus in ("minibugs", "quixbugs"):
        make_study(tmp_path, methods=("rules", "qlora"), axes=("fixed_snr",), corpus=corpus, **SMALL)
    found = controls(load_study(tmp_path))
    by_corpus = {name: [c.name for c in found if c.corpus == name and c.ran] for name in ("quixbugs", "minibugs")}
    assert by_corpus["quixbugs"] == by_corpus["minibugs"] and "parser gate − model" in by_corpus["quixbugs"]
    assert [c.corpus for c in found if c.name == "bursts"] == ["quixbugs", "minibugs"]  # not run: said of each
    assert [c.name for c in found if not c.corpus] == ["common random numbers"]
    write_report(tmp_path)
    section = read_page(tmp_path).split('<section id="controls"')[1].split("</section>")[0]
    assert [text.split(":")[0] for text in re.findall(r"<summary>([^<]*)", section)] == [
        "QuixBugs",
        "MiniBugs",
        "All corpora",
    ]
    assert 'data-head="Should be"' in section


def test_every_control_has_its_line_and_its_verdict(study):
    found = controls(study)
    by_name = {}
    for c in found:
        by_name.setdefault(c.name, []).append(c)
    assert all(c.holds for c in by_name["clean link"] if c.task == "localise")
    assert {(c.value, c.holds) for c in by_name["dead link"]} == {(0.0, True)}
    assert {c.holds for c in by_name["drops"]} == {True}  # the synthetic control is the same link by another name
    assert all(c.n == 42 and c.low <= c.value <= c.high for c in by_name["drops"])
    assert by_name["shuffled labels"][0].holds and by_name["shuffled labels"][0].value < 0.3
    assert by_name["length rule"][0].value == pytest.approx(0.5) and by_name["length rule"][0].holds
    assert by_name["renamed identifiers"][0].value == pytest.approx(0.0)
    noise = by_name["common random numbers"][0]
    assert noise.holds and noise.value == 0 and noise.n > 1000
    gate = [c for c in by_name["parser gate − model"] if c.task == "localise"]
    note = r"it scores 0\.\d\d; 0\.\d\d if all that is sent again arrives whole; \d+% sent again"
    assert gate and all(re.fullmatch(note, control_note(c)) for c in gate)
    assert [c.ran for c in by_name["bursts"]] == [False] and [c.ran for c in by_name["random-bytes"]] == [False]


def test_methods_that_saw_other_noise_are_found_out(study):
    cells = list(study.cells)
    index = max(i for i, c in enumerate(cells) if c.config["method"] == "zero-shot" and c.config["sf"] == 9)
    items = [dict(row) for row in cells[index].items]
    items[0]["fragments_lost"] += 1
    cells[index] = dataclasses.replace(cells[index], items=items)
    noise = next(c for c in controls(dataclasses.replace(study, cells=cells)) if c.name == "common random numbers")
    assert noise.holds is False and control_note(noise).startswith("1 of ")


def test_controls_never_answer(study):
    assert all(not is_control(curve.first) for curve in headline_curves(study))
    assert {p.method for p in study.points if is_control(p)} == {"qlora", "qlora-shuffled"}
    assert method_name("qlora-shuffled") == "QLoRA, shuffled labels"


# --- training texts over the link, equal losses ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def splits_dir(tmp_path_factory):
    return make_study(
        tmp_path_factory.mktemp("splits"),
        axes=("equal_loss",),
        methods=("zero-shot", "qlora", "full"),
        tasks=("localise", "paired"),
        spreading_factors=(7, 12),
        train_seeds=(0, 1),
        channel_seeds=range(4),
        channel_seeds_each=2,
        splits=("eval", "train", "both"),
    )


def test_scores_by_what_crossed_the_link(splits_dir):
    rows = split_rows(load_study(splits_dir))
    # the untrained model has no training texts to lose
    assert [(r.linked.task, r.linked.sf, r.linked.method) for r in rows] == [
        (task, sf, method) for task in ("localise", "paired") for sf in (7, 12) for method in ("qlora", "full")
    ]
    assert all(set(row.points) == {"none", "train", "eval", "both"} for row in rows)
    assert {p.corrupted_split for row in rows for p in [row.points["train"]]} == {"train"}


@pytest.mark.parametrize(("base", "damaged"), [("none", "train"), ("eval", "both")])
def test_what_clean_training_texts_are_worth_is_over_both_spreading_factors(splits_dir, base, damaged):
    study = load_study(splits_dir)
    found = [c for c in training_contrasts(study) if c.first.corrupted_split == damaged]
    assert [c.first.task for c in found] == ["localise", "paired"]
    assert [c.p_holm for c in found] == pytest.approx(list(holm([c.p_value for c in found])))
    for contrast in found:
        assert [group[1].sf for group in contrast.groups] == [7, 12]
        assert [p.corrupted_split for p in contrast.groups[0]] == [base, damaged] * 2
        f1 = {
            (m, s): [p.f1 for p in study.points if (p.method, p.corrupted_split, p.task) == (m, s, contrast.first.task)]
            for m in ("qlora", "full")
            for s in (base, damaged)
        }
        lost = [np.mean(f1[m, base]) - np.mean(f1[m, damaged]) for m in ("qlora", "full")]
        assert contrast.difference.value == pytest.approx(lost[0] - lost[1], abs=1e-9)
        said = training_sentence(contrast)
        judged = "; texts to judge received in both" if damaged == "both" else ""
        assert f"(same share of frames lost, 30 % of frames lost, policy drop, SF7, SF12{judged})" in said
        assert "two training seeds, two channel seeds for each, four in all" in said


def test_both_policies_are_one_family_where_both_splits_crossed_the_link(tmp_path):
    for policy in ("drop", "deliver"):
        make_study(
            tmp_path,
            axes=("fixed_snr",),
            methods=("qlora", "full"),
            tasks=("localise",),
            spreading_factors=(7, 9, 12),
            train_seeds=(0, 1, 2),
            channel_seeds=range(3),
            channel_seeds_each=1,
            splits=("eval", "both"),
            policy=policy,
            with_clean=policy == "drop",
        )
    study = load_study(tmp_path)
    found = training_contrasts(study)
    assert [(c.first.policy, c.first.corrupted_split, len(c.groups)) for c in found] == [
        ("drop", "both", 3),
        ("deliver", "both", 3),
    ]
    assert [c.p_holm for c in found] == pytest.approx(list(holm([c.p_value for c in found])))
    assert all(c.difference.over_seeds is not None for c in found)
    write_report(tmp_path)
    answer = read_page(tmp_path).split('class="answer"')[1].split("</div>")[0]
    assert answer.count("texts to judge received in both") == 2


def test_texture_is_tested_at_equal_losses_and_nowhere_else(splits_dir, study):
    found = texture_contrasts(load_study(splits_dir))
    assert [c.first.task for c in found] == ["localise", "paired"]
    for contrast in found:
        assert [(a.sf, b.sf, a.method) for a, b in contrast.groups] == [(12, 7, "qlora"), (12, 7, "full")]
        assert {p.corrupted_split for group in contrast.groups for p in group} == {"eval"}
    assert texture_contrasts(study) == []
    assert primary_contrasts(load_study(splits_dir)) == []  # D was registered on the other axes


@pytest.mark.parametrize(("policy", "families"), [("deliver", 2), ("erasure-rs", 0)])
def test_texture_is_registered_where_damage_is_dropped_or_delivered(tmp_path, policy, families):
    directory = make_study(
        tmp_path, axes=("equal_loss",), spreading_factors=(7, 12), tasks=("localise", "paired"), policy=policy
    )
    found = texture_contrasts(load_study(directory))
    assert len(found) == families and {c.first.policy for c in found} <= {policy}


def test_page_of_a_study_with_damaged_training_texts(splits_dir):
    write_report(splits_dir)
    page = read_page(splits_dir)
    assert "What if training texts cross the link too?" in page
    assert "Does the texture of the damage matter, at equal losses?" in page
    assert "Same share of frames lost at every spreading factor" in page
    answer = page.split('class="answer"')[1].split("</div>")[0]
    assert "With 30 % of frames lost at both, F1 in localise at SF12 minus that at SF7 is" in answer
    assert "damaged training texts" in page or "From clean training texts to those that crossed the link" in page
    header = (splits_dir / "results.csv").read_text().splitlines()[0].split(",")
    assert header.index("frame_loss") == header.index("ebn0_db") + 1


# --- which spreading factor -------------------------------------------------------------------------------------------


def test_frame_loss_is_the_theory_of_the_radio():
    from lora_phy import LoRaParams, theory

    grid = np.array([-12.0, -9.0, -7.0])
    awgn = planning.frame_loss(7, grid, cr=1, payload_len=52, fading=None)
    assert awgn == pytest.approx(theory.per_awgn(LoRaParams(sf=7), 52, grid), abs=0.02)
    # far above the threshold a Rayleigh link loses what fades below it: 1 - exp(-threshold / SNR), within a factor
    lost = float(planning.frame_loss(7, 12.0, cr=1, payload_len=52, fading="rayleigh"))
    fine = np.linspace(-12, -4, 801)
    threshold = float(np.interp(-0.5, -theory.per_awgn(LoRaParams(sf=7), 52, fine), fine))
    assert lost == pytest.approx(1 - np.exp(-(10 ** ((threshold - 12.0) / 10))), rel=0.25)


def test_f1_of_loss_never_rises_and_ends_at_nothing(study):
    (curve,) = [c for c in headline_curves(study) if c.first.axis == "fixed_snr"]
    share, f1 = planning.f1_of_loss(curve.points, curve.clean)
    assert np.all(np.diff(share) > 0) and np.all(np.diff(f1) <= 0)
    assert (share[0], share[-1], f1[-1]) == (0.0, 1.0, 0.0)
    assert f1[0] == pytest.approx(curve.clean.f1, abs=0.1)


def test_plan_gives_more_for_more_time_and_less_for_more_distance(study):
    plan = planning.make_plan(study)
    assert plan.num_checked == 3 and plan.worst_gap >= plan.mean_gap >= 0
    by_place = {(a.duty_cycle, a.distance_km): a for a in plan.advice}
    duties, distances = (sorted({key[axis] for key in by_place}) for axis in (0, 1))
    for distance in distances:
        gains = [by_place[duty, distance].f1 for duty in duties]
        assert all(later >= earlier - planning.TIE for earlier, later in itertools.pairwise(gains))
    for duty in duties:
        falls = [by_place[duty, distance].f1 for distance in distances]
        assert all(later <= earlier + planning.TIE for earlier, later in itertools.pairwise(falls))
    assert by_place[0.1, 0.25].sf == 7  # near and with time to spare: the fastest
    assert by_place[0.1, 4.0].sf > 7


def test_texts_that_arrive_whole_beside_independent_frames(study):
    """By hand: two items of 2 and 3 frames, 2 of 5 lost; and the sentence that names both shares."""
    p = dataclasses.replace(
        study.points[0],
        items=pd.DataFrame({"fragments_sent": [2, 3], "fragments_lost": [0, 2]}),
        scores={"n": 2, "intact": 1, "delivered": 2},
    )
    assert planning.whole_shares(p) == pytest.approx((0.5, (0.6**2 + 0.6**3) / 2))
    plan = planning.make_plan(study)
    assert 0 < plan.whole[0] < 1 and plan.whole[0] == pytest.approx(plan.whole[1], abs=0.1)


def test_repeating_does_not_help_where_the_place_is_bad():
    """Copies lower a loss of 0.5 to 0.5^k; a fraction of a copy sends that part of the texts."""
    share, f1 = np.array([0.0, 1.0]), np.array([0.8, 0.0])
    assert planning._expected_f1(0.5, 1.0, share, f1) == pytest.approx(0.4)
    assert planning._expected_f1(0.5, 2.0, share, f1) == pytest.approx(0.6)
    assert planning._expected_f1(0.5, 1.5, share, f1) == pytest.approx(0.5)
    assert planning._expected_f1(0.5, 0.5, share, f1) == pytest.approx(0.2)
    assert planning._expected_f1(1.0, 9.0, share, f1) == 0.0


# --- the page ---------------------------------------------------------------------------------------------------------


def test_page_holds_the_tests_the_controls_and_the_advice(study_dir):
    write_report(study_dir)
    page = read_page(study_dir)
    for title in ("The tests, as registered", "Controls", "Which spreading factor should I use?"):
        assert f">{title}</h2>" in page
    assert "Computed by interpolation, not measured" in page
    assert "Not in this study: " in page and "bursts" in page
    answer = page.split('class="answer"')[1].split("</div>")[0]
    assert (
        "From nothing lost to the link (mean over SF7, SF9, SF12, policy drop), F1 in localise falls by" in answer
        and "after Holm" in answer
    )
    assert "shuffled" not in answer
