"""MiniBugs does what it says: programs that run, bugs that show, lengths that tell nothing."""

import io
import tokenize
from collections import Counter

import pytest

from llm_bridge.corpora import minibugs
from llm_bridge.corpora.programs import DEFECT_CLASSES, normalise, single_edit
from llm_bridge.scoring.sandbox import run_tests

PAIRS = minibugs.load()

# The tasks of QuixBugs' 40 programs, as words that would stand in a name or a specification.
QUIXBUGS_TASKS = (
    "bitcount breadth_first bucketsort depth_first detect_cycle find_first find_in_sorted flatten gcd get_factors "
    "hanoi parenthesi kheapsort knapsack kth lcs levenshtein lis longest_common max_sublist mergesort minimum_spanning "
    "palindrome permutation pascal possible_change powerset quicksort linked_list rpn shortest_path shunting sieve "
    "sqrt subsequences to_base topological wrap"
).split()


@pytest.fixture(scope="module")
def outcomes():
    """Outcome of each version: {(name, version): TestOutcome}. Our own programs may run with weak isolation."""
    return {
        (pair.name, version): run_tests(getattr(pair, version), pair.name, pair.tests, allow_weak_isolation=True)
        for pair in PAIRS
        for version in ("buggy", "correct")
    }


def test_three_programs_for_each_of_the_fourteen_classes():
    assert Counter(pair.defect_class for pair in PAIRS) == dict.fromkeys(DEFECT_CLASSES, 3)
    assert len({pair.name for pair in PAIRS}) == 42
    assert len({pair.correct for pair in PAIRS}) == 42


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_correct_passes_every_case_and_buggy_fails_at_least_one(pair, outcomes):
    correct, buggy = outcomes[pair.name, "correct"], outcomes[pair.name, "buggy"]
    assert len(pair.tests.cases) >= 5
    assert (correct.verdict, correct.passed, correct.failed) == ("pass", len(pair.tests.cases), 0)
    assert buggy.verdict == "fail"  # and not "timeout": no bug of ours loops for ever
    assert buggy.failed >= 1


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_normal_form_and_one_line(pair):
    assert normalise(pair.buggy) == pair.buggy
    assert normalise(pair.correct) == pair.correct
    edit = single_edit(pair.buggy, pair.correct)
    assert edit.insertion == (pair.defect_class == "missing line")
    assert len(pair.correct.splitlines()) - len(pair.buggy.splitlines()) == edit.insertion
    assert pair.buggy_line == edit.first
    assert pair.gold_lines
    assert pair.group == pair.name
    assert pair.docstring
    assert f"def {pair.name}(" in pair.correct


def test_about_sixty_tokens():
    # 3.5 bytes a token is what Llama-family tokenizers give on such code
    tokens = sum(len(pair.correct.encode()) for pair in PAIRS) / len(PAIRS) / 3.5
    assert 45 < tokens < 75
    assert all(4 <= len(pair.correct.splitlines()) <= 12 for pair in PAIRS)


@pytest.mark.parametrize("length", [len, lambda text: len(_tokens(text))], ids=["bytes", "tokens"])
def test_length_tells_nothing(length):
    differences = [length(pair.correct) - length(pair.buggy) for pair in PAIRS]
    assert sum(difference > 0 for difference in differences) == sum(difference < 0 for difference in differences)
    assert sum(difference == 0 for difference in differences) < 21  # not by making all of them equal


def test_none_is_a_quixbugs_program():
    for pair in PAIRS:
        assert not [task for task in QUIXBUGS_TASKS if task in pair.name], pair.name


def test_diff_notation():
    text = "\n def f():\n-    1\n+    2\n"
    assert minibugs.version(text, "-") == "def f():\n    1\n"
    assert minibugs.version(text, "+") == "def f():\n    2\n"


def _tokens(text):
    return [token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.string.strip()]
