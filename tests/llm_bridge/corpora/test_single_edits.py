"""Single edits: all that the engine can make, fixes among them; their likelihoods, with the cache reused, are the same.

A toy model of random weights scores; the scores of the whole texts are the reference.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

from llm_bridge.corpora import minibugs
from llm_bridge.corpora.mutation.one_line import changed_line, compiled
from llm_bridge.corpora.programs import normalise

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
PAIRS = minibugs.load()
CODE = "def f(n):\n    total = 0\n    while n > 0:\n        total += n\n        n -= 1\n    return total\n"


def _benchmark():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("single_edits_benchmark", BENCHMARKS / "single_edits.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(BENCHMARKS))


benchmark = _benchmark()
single_edits = benchmark.single_edits


def test_edits_are_valid_and_change_the_line_they_name():
    edits = single_edits(CODE)
    assert CODE not in edits
    for text, line in edits.items():
        assert normalise(text) == text and compiled(text) != compiled(CODE)
        before, after = CODE.splitlines(), text.splitlines()
        if len(before) == len(after):
            assert [i for i, (a, b) in enumerate(zip(before, after, strict=True), 1) if a != b] == [line]
        else:
            assert abs(len(before) - len(after)) == 1 and before[: line - 1] == after[: line - 1]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("n > 0", "n >= 0", 3),
        ("total += n", "total = n", 4),
        ("        n -= 1\n", "", 5),
        ("n -= 1", "n += 1", 5),
        ("return total", "return n", 6),
        ("        n -= 1\n", "        n -= 1\n        break\n", 6),
    ],
)
def test_what_the_engine_breaks_it_can_mend(old, new, line):
    assert single_edits(CODE)[CODE.replace(old, new)] == line
    if "break" not in new and new:  # what is left out cannot be known
        assert CODE in single_edits(CODE.replace(old, new))


def test_edits_are_the_same_each_time_and_more_with_more_rounds():
    assert list(single_edits(CODE).items()) == list(single_edits(CODE).items())
    text = next(pair.buggy for pair in PAIRS if pair.name == "rotate_right")
    assert set(single_edits(text, max_rounds=1)) < set(single_edits(text))


def test_several_functions_and_methods_are_edited_in_their_module():
    text = normalise("import math\nclass A:\n    def m(self, a):\n        return a < 1\ndef g(b):\n    return b + 1\n")
    edits = single_edits(text)
    assert text.replace("a < 1", "a <= 1") in edits and text.replace("b + 1", "b - 1") in edits
    assert all(edited.startswith("import math\n") for edited in edits)


def test_a_line_at_the_end_belongs_to_the_last_line():
    assert changed_line(CODE, CODE + "x = 1\n") == 7
    assert max(single_edits(CODE).values()) <= 6


def test_many_fixes_of_minibugs_are_among_the_edits():
    fixed = [pair for pair in PAIRS[::3] if pair.correct in single_edits(pair.buggy)]
    assert len(fixed) >= 5
    for pair in fixed:
        assert single_edits(pair.buggy)[pair.correct] in pair.gold_lines


def test_likelihoods_with_the_cache_reused_are_those_of_whole_texts():
    from llm_bridge.scoring.likelihood import score_texts
    from llm_bridge.training.models import load_model

    loaded = load_model("toy")
    edits = list(single_edits(CODE))[:60]
    assert len({len(text) for text in edits}) > 5
    whole = score_texts(loaded, edits)
    for batch_tokens in (1, 700, 100_000):
        found = benchmark.edit_log_likelihoods(loaded, CODE, edits, batch_tokens=batch_tokens)
        assert set(found) == set(edits)
        for text in edits:
            assert found[text]["sum"] == pytest.approx(-whole[text].sum_nll, abs=2e-3)
            assert found[text]["mean"] == pytest.approx(-whole[text].mean_nll, abs=1e-4)


def test_common_prefix_and_batches():
    assert benchmark._common_prefix([0, 1, 2], [0, 1, 3]) == 2
    assert benchmark._common_prefix([0, 1, 2], [0, 1]) == 2
    rows = [(1, [0] * 10, "a"), (5, [0] * 10, "b"), (9, [0] * 10, "c")]
    assert [len(batch) for batch in benchmark._batches(rows, 20)] == [2, 1]
    assert [len(batch) for batch in benchmark._batches(rows, 1)] == [1, 1, 1]


def test_summary_counts_programs():
    def row(name, gold, ranking, rank, plausible):
        rankings = {by: ranking for by in ("mean", "sum")} | {"fixed line": [1, 2, 3], "line likelihood": [3, 2, 1]}
        return {
            "program": name,
            "group": name,
            "num_lines": 4,
            "gold": gold,
            "rankings": rankings,
            "fix_among": rank is not None,
            "fix_rank": {"mean": rank, "sum": rank},
            "plausible": {"mean": plausible, "sum": plausible},
            "gold_line_edited": True,
            "num_edits": 10,
            "cpu_s": 1.0,
        }

    found = benchmark.summary([row("a", [2], [2, 3], 1, True), row("b", [4], [2, 3], None, False)])
    assert (found["fix_among_edits"], found["fix_ranked_first"]["mean"], found["chance"]) == (1, 1, 0.25)
    numbers = found["measures"]
    assert numbers["mean"]["f1"]["value"] == numbers["mean"]["top3"]["value"] == 0.5
    assert numbers["mean"]["plausible@1"]["value"] == 0.5
    assert numbers["fixed line"]["top1"]["value"] == 0.0 and numbers["fixed line"]["top3"]["value"] == 0.5
    assert numbers["mean"]["f1 minus fixed line"]["value"] == 0.5
