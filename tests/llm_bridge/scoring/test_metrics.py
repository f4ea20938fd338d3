"""Scores of item rows against hand counts, brute force and scipy; the rules for what did not arrive."""

import ast
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from llm_bridge.scoring import metrics as mt
from llm_bridge.scoring.scores import edit_token_f1


def row(program, *, task, version="buggy", delivered=True, intact=True, **fields):
    return {
        "cell": "c",
        "program": program,
        "task": task,
        "version": version,
        "delivered": delivered,
        "intact": intact,
        "score": None,
        "decision": None,
        "correct": False,
        **fields,
    }


def localise_rows(hits, misses, lost=0):
    """Programs of 8 lines with one gold line; lost ones carry a `correct` that must not count."""
    outcomes = [(True, True)] * hits + [(False, True)] * misses + [(True, False)] * lost
    return [
        row(
            f"p{i:02}",
            task="localise",
            correct=ok,
            delivered=arrived,
            num_lines=8,
            num_gold=1,
            rank=1 if ok else 1 + i % 5,
        )
        for i, (ok, arrived) in enumerate(outcomes)
    ]


def detect_rows(decide, num_programs=42, delivered=True):
    """Both versions of each program; `decide(program index, version) -> (decision, score)`."""
    rows = []
    for index, version in itertools.product(range(num_programs), ("buggy", "correct")):
        decision, score = decide(index, version)
        rows.append(
            row(
                f"p{index:02}",
                task="detect",
                version=version,
                delivered=delivered,
                decision=decision,
                score=score,
                correct=(decision == "buggy") == (version == "buggy"),
            )
        )
    return rows


def pair_rows(decisions, longer):
    return [
        row(f"p{i:02}", task="paired", version="pair", decision=decision, longer=flag, correct=decision == "buggy")
        for i, (decision, flag) in enumerate(zip(decisions, longer, strict=True))
    ]


# --- localise ---------------------------------------------------------------------------------------------------------


def test_localise_by_hand():
    scores = mt.score_cell(localise_rows(hits=21, misses=11, lost=10))
    assert tuple(scores) == mt.SCORE_COLUMNS
    assert (scores["n"], scores["delivered"], scores["f1"]) == (42, 32, 0.5)
    assert scores["f1_delivered"] == pytest.approx(21 / 32)
    assert scores["baseline"] == 1 / 8
    assert scores["f1_low"] < 0.5 < scores["f1_high"]
    assert scores["macro_f1"] is None and scores["mcc"] is None


def test_two_gold_lines_lower_the_f1_of_a_perfect_model():
    """2 hits / (P + gold lines): a missing line has two gold neighbours, of which one is named."""
    rows = [row("a", task="localise", correct=True, num_lines=4, num_gold=1)]
    rows += [row("b", task="localise", correct=True, num_lines=5, num_gold=2)]
    scores = mt.score_cell(rows)
    assert scores["f1"] == pytest.approx(2 * 2 / (2 + 3))
    assert scores["baseline"] == pytest.approx((1 / 4 + 2 / 5) / 2)
    rows = [row("a", task="localise", num_lines=8, num_gold=1), row("b", task="localise", num_lines=4, num_gold=2)]
    assert mt.score_cell(rows)["baseline"] == 0.3125


def test_top1_top3_and_reciprocal_rank():
    rows = [row(f"p{r}", task="localise", correct=r == 1, num_lines=9, num_gold=1, rank=r) for r in (1, 2, 4, 8)]
    found = mt.measures(rows)
    assert found["top1"].value == 0.25 and found["top3"].value == 0.5
    assert found["mrr"].value == pytest.approx((1 + 1 / 2 + 1 / 4 + 1 / 8) / 4)
    assert "top3" not in mt.measures([{k: v for k, v in r.items() if k != "rank"} for r in rows])


# --- paired -----------------------------------------------------------------------------------------------------------


def test_paired_counts_ties_as_wrong_and_beside():
    rows = pair_rows(["buggy"] * 20 + ["correct"] * 12 + ["tie"] * 10, [True] * 30 + [False] * 12)
    scores, found = mt.score_cell(rows), mt.measures(rows)
    assert scores["f1"] == pytest.approx(20 / 42)
    assert scores["baseline"] == pytest.approx(30 / 42)
    assert found["ties"].value == pytest.approx(10 / 42) and not found["ties"].higher_is_better


def test_length_rule_of_one_version_of_a_pair_and_of_balanced_pairs():
    assert mt.score_cell(pair_rows(["tie"] * 4, [True, True, False, None]))["baseline"] == pytest.approx(2.5 / 4)
    assert mt.score_cell(pair_rows(["tie"] * 4, [False, False, False, None]))["baseline"] == 0.5  # never below a coin
    one_version = [row("a", task="paired", version="buggy", longer=False), row("b", task="paired", longer=True)]
    assert mt.score_cell(one_version)["baseline"] == 0.5
    assert mt.score_cell(one_version[:1])["baseline"] == 1.0


# --- detect -----------------------------------------------------------------------------------------------------------


def test_dead_link_is_the_constant_classifier():
    """Design: F1 0, macro-F1 1/3, MCC 0; whatever the rows claim, nothing arrived."""
    scores = mt.score_cell(detect_rows(lambda index, version: ("buggy", 9.0), delivered=False))
    assert scores["f1"] == 0.0 and scores["mcc"] == 0.0 and scores["macro_f1"] == pytest.approx(1 / 3)
    assert scores["f1_delivered"] is None and scores["delivered"] == 0
    assert scores["baseline"] == pytest.approx(2 / 3)
    assert 0.0 == scores["f1_low"] < scores["f1_high"] < 0.25
    found = mt.measures(detect_rows(lambda index, version: ("buggy", 9.0), delivered=False))
    assert found["auroc"].value == 0.5 and found["balanced_accuracy"].value == 0.5 and found["coverage"].value == 0.0


def test_always_buggy_gets_two_thirds_and_no_credit_elsewhere():
    rows = detect_rows(lambda index, version: ("buggy", 1.0))
    scores = mt.score_cell(rows)
    assert scores["f1"] == scores["baseline"] == pytest.approx(2 / 3)
    assert scores["mcc"] == 0.0 and scores["macro_f1"] == pytest.approx(1 / 3)


def test_binary_scores_against_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(50):
        tp, fn, fp, tn = (int(x) for x in rng.integers(0, 30, 4))
        truth = np.array([1] * (tp + fn) + [0] * (fp + tn))
        says = np.array([1] * tp + [0] * fn + [1] * fp + [0] * tn)
        counts = np.array([tp, fn, fp, tn])

        def class_f1(positive, truth=truth, says=says):
            hit = np.sum((truth == positive) & (says == positive))
            total = np.sum(truth == positive) + np.sum(says == positive)
            return 2 * hit / total if total else math.nan

        assert float(mt.f1_score(counts)) == pytest.approx(class_f1(1), nan_ok=True)
        assert float(mt.macro_f1(counts)) == pytest.approx((class_f1(1) + class_f1(0)) / 2, nan_ok=True)
        if 0 < truth.mean() < 1 and 0 < says.mean() < 1:
            assert float(mt.mcc(counts)) == pytest.approx(np.corrcoef(truth, says)[0, 1])
            recalls = [np.mean(says[truth == c] == c) for c in (0, 1)]
            assert float(mt.balanced_accuracy(counts)) == pytest.approx(np.mean(recalls))


def test_auroc_agrees_with_mann_whitney_and_its_interval_with_plain_resampling():
    rng = np.random.default_rng(3)
    scores = {
        (i, v): round(float(rng.normal(0.7 * (v == "buggy"), 1)), 1) for i in range(30) for v in ("buggy", "correct")
    }
    rows = detect_rows(lambda i, v: ("buggy" if scores[i, v] > 0 else "correct", scores[i, v]), num_programs=30)
    values = np.array([r["score"] for r in rows])
    positive = np.array([r["version"] == "buggy" for r in rows])
    u = stats.mannwhitneyu(values[positive], values[~positive]).statistic
    found = mt.measures(rows)["auroc"]
    assert found.value == pytest.approx(u / (positive.sum() * (~positive).sum()))
    # the quadratic form against copies of rows, resample by resample
    from llm_bridge.scoring.statistics import quantile_interval, resample_weights

    weights = resample_weights(30, 200, 0)
    plain = []
    for times in weights:
        repeat = np.repeat(times.astype(int), 2)
        plain.append(mt.auroc(np.repeat(values, repeat), np.repeat(positive, repeat)))
    interval = mt._auroc_interval(rows, num_resamples=200)
    jackknife = [
        mt.auroc(np.delete(values, [2 * c, 2 * c + 1]), np.delete(positive, [2 * c, 2 * c + 1])) for c in range(30)
    ]
    expected = quantile_interval(found.value, plain, jackknife)
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_undelivered_items_rank_below_everything():
    rows = detect_rows(
        lambda i, v: ("buggy" if v == "buggy" else "correct", 1.0 if v == "buggy" else -1.0), num_programs=4
    )
    rows[0] |= {"delivered": False, "score": 99.0}  # the first buggy text
    assert mt.measures(rows)["auroc"].value == pytest.approx(3 / 4)
    assert mt.score_cell(rows)["f1"] == pytest.approx(2 * 3 / (2 * 3 + 1))


# --- what holds for every task ----------------------------------------------------------------------------------------


def all_tasks():
    rng = np.random.default_rng(8)
    yield localise_rows(15, 20, 7)
    yield pair_rows(rng.choice(["buggy", "correct", "tie"], 42), rng.choice([True, False], 42).tolist())
    yield detect_rows(lambda i, v: (("buggy", "correct")[rng.integers(2)], float(rng.normal())))
    yield [row(f"p{i}", task="repair", correct=i % 3 == 0, num_candidates=10, num_plausible=i % 4) for i in range(40)]


@pytest.mark.parametrize("rows", list(all_tasks()), ids=mt.TASKS)
def test_scores_do_not_depend_on_the_order_and_lie_in_their_intervals(rows):
    scores, found = mt.score_cell(rows), mt.measures(rows)
    shuffled = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    assert mt.score_cell(shuffled) == pytest.approx(scores)
    for measure in found.values():
        assert measure.low <= measure.value <= measure.high, measure
        assert measure.n == len(rows)
    assert found["coverage"].value == pytest.approx(scores["delivered"] / scores["n"])
    if scores["f1"] is not None:
        assert (found["f1"].value, found["f1"].low) == (scores["f1"], scores["f1_low"])


def test_clusters_widen_the_interval():
    """The same 42 outcomes as 42 programs and as 6 modules whose programs agree."""
    rows = localise_rows(21, 21)
    modules = [{**r, "group": f"m{i // 7}"} for i, r in enumerate(rows)]
    alone, together = mt.score_cell(rows), mt.score_cell(modules)
    assert together["f1"] == alone["f1"]
    assert together["f1_high"] - together["f1_low"] > 1.8 * (alone["f1_high"] - alone["f1_low"])


def test_compare_cells_pairs_the_programs():
    rows_a, rows_b = localise_rows(30, 12), localise_rows(24, 18)  # b's hits are among a's
    difference = mt.compare_cells(rows_a, rows_b[::-1])
    assert difference.value == pytest.approx(6 / 42) and difference.excludes(0)
    assert difference.low > 0 and difference.num_clusters == 42
    same = mt.compare_cells(rows_a, rows_a)
    assert same.value == 0 and same.low < 0 < same.high
    with pytest.raises(ValueError, match=r"clusters of rows_a.*p41"):
        mt.compare_cells(rows_a, rows_b[:-1])
    assert math.isnan(mt.compare_cells([], []).value)


def test_no_rows_and_bad_rows():
    empty = mt.score_cell([])
    assert (empty["n"], empty["delivered"], empty["f1"], empty["baseline"]) == (0, 0, None, None)
    assert mt.measures([]) == {} and mt.score_cell([])["baseline"] is None
    with pytest.raises(ValueError, match="one task"):
        mt.score_cell(localise_rows(1, 1) + pair_rows(["tie"], [True]))
    with pytest.raises(ValueError, match=r"one task of localise.*'guess'"):
        mt.score_cell([row("a", task="guess")])
    with pytest.raises(ValueError, match=r"'num_gold'.*'a'"):
        mt.score_cell([row("a", task="localise", num_lines=3)])
    with pytest.raises(ValueError, match=r"'longer'.*'a'"):
        mt.score_cell([row("a", task="paired", version="pair")])


def test_plausible_at_k_counts_every_program_and_needs_k_candidates():
    rows = [row("a", task="repair", num_candidates=10, num_plausible=2), row("b", task="repair", num_candidates=6,
            num_plausible=0), row("c", task="repair", num_candidates=1, num_plausible=0, delivered=False)]  # fmt: skip
    found = mt.measures(rows)
    assert found["plausible@1"].value == pytest.approx(0.2 / 3)
    # 1 - C(8, 5) / C(10, 5) = 7 / 9 of the first program, nothing of the others
    assert found["plausible@5"].value == pytest.approx(7 / 9 / 3) and "plausible@10" not in found
    dead = mt.measures([row("c", task="repair", num_candidates=1, num_plausible=0, delivered=False)])
    assert dead["plausible@1"].value == 0.0


def test_repair_has_no_f1_but_plausible_at_1():
    rows = [row("a", task="repair", num_candidates=10, num_plausible=5), row("b", task="repair", correct=True)]
    rows.append(row("c", task="repair", correct=True, delivered=False))
    scores = mt.score_cell(rows)
    assert scores["f1"] is None and scores["baseline"] == 0.0
    assert mt.measures(rows)["plausible@1"].value == pytest.approx((0.5 + 1 + 0) / 3)


# --- scores of texts and probabilities --------------------------------------------------------------------------------


def test_plausible_at_k_is_the_share_of_all_subsets():
    for n, c, k in [(5, 2, 1), (6, 2, 3), (6, 0, 2), (6, 6, 2), (4, 3, 2)]:
        flags = [True] * c + [False] * (n - c)
        subsets = list(itertools.combinations(flags, k))
        assert mt.plausible_at_k(n, c, k) == pytest.approx(np.mean([any(subset) for subset in subsets]))
    with pytest.raises(ValueError, match=r"'k'.*3.*got 4"):
        mt.plausible_at_k(3, 1, 4)
    with pytest.raises(ValueError, match="'num_plausible'"):
        mt.plausible_at_k(3, 4, 1)


def test_edit_token_f1_looks_at_the_edit_alone():
    buggy = "def f(a, b):\n    c = a + b\n    return c\n"
    gold = buggy.replace("a + b", "a - b")
    assert ast.dump(ast.parse(gold)) != ast.dump(ast.parse(buggy))
    assert edit_token_f1(buggy, gold, gold) == 1.0
    assert edit_token_f1(buggy, buggy, gold) == 0.0
    half = edit_token_f1(buggy, buggy.replace("a + b", "a * b"), gold)
    assert half == 0.5  # "+" removed rightly, "*" added wrongly
    assert edit_token_f1(buggy, gold.replace("c = ", "c  =  "), gold) == 1.0  # layout does not count
    assert 0 < edit_token_f1(buggy, gold + "  ) (", gold) < 1  # damaged text is compared all the same


def test_judging_needs_no_heavy_package():
    """Importing and using metrics and statistics loads neither torch nor pandas nor statsmodels."""
    code = (
        "import sys\n"
        "from llm_bridge.scoring import conditional_independence, metrics, statistics\n"
        "rows = [dict(task='detect', program=str(i), version=v, delivered=True, intact=True, decision=v, score=0.0)\n"
        "        for i in range(9) for v in ('buggy', 'correct')]\n"
        "assert metrics.score_cell(rows)['f1'] == 1.0\n"
        "heavy = {'torch', 'transformers', 'peft', 'pandas', 'statsmodels', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
