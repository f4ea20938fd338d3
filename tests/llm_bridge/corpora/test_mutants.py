"""Mutants: reproducible, well-formed, balanced, disjoint; what a bug looks like does not give it away.

Statistical tests: a rule or classifier that knows nothing is called a leak with probability 1e-6 (exact binomial).
"""

import ast
import dataclasses
import json
import os
import platform
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from llm_bridge.corpora import checks, minibugs, mutants, stdlib_functions
from llm_bridge.corpora.mutation import trees
from llm_bridge.corpora.mutation.one_line import compiled
from llm_bridge.corpora.programs import DEFECT_CLASSES, corpus_hash, normalise, single_edit
from llm_bridge.corpora.stdlib_functions import Function


@pytest.fixture(scope="module")
def pairs():
    return mutants.load("validation", cache=False)


@pytest.fixture(scope="module")
def tested():
    return mutants.load("test", cache=False)


def test_every_pair_is_one_line_in_normal_form(pairs):
    for pair in pairs:
        assert normalise(pair.buggy) == pair.buggy
        assert normalise(pair.correct) == pair.correct
        edit = single_edit(pair.buggy, pair.correct)
        assert edit.last - edit.first + 1 in (0, 1)
        assert pair.buggy_line == edit.first
        assert abs(len(pair.buggy.splitlines()) - len(pair.correct.splitlines())) <= 1
        for text in (pair.buggy, pair.correct):
            assert 5 <= len(text.splitlines()) <= 18 and len(text) <= 600
        assert (pair.corpus, pair.tests.cases, pair.docstring) == ("mutants", (), "")
        assert pair.name.startswith(pair.group + ".")
        assert pair.group in mutants.MODULES["validation"]


def test_no_text_twice_and_no_bug_that_is_someone_elses_program(pairs):
    assert len({pair.name for pair in pairs}) == len(pairs)
    assert len({pair.buggy for pair in pairs}) == len(pairs)
    assert not {pair.buggy for pair in pairs} & {pair.correct for pair in pairs}
    assert max(Counter(pair.correct for pair in pairs).values()) <= mutants.MAX_PER_FUNCTION


def test_the_two_versions_compile_to_different_code(pairs):
    for pair in pairs:
        assert compiled(pair.buggy) != compiled(pair.correct)


def test_all_classes_as_often_as_the_material_allows(pairs):
    counts = Counter(pair.defect_class for pair in pairs)
    assert set(counts) == set(DEFECT_CLASSES)
    assert min(counts.values()) >= 0.5 * mutants.QUOTAS["validation"]
    assert max(counts.values()) <= mutants.QUOTAS["validation"] + 1


def test_length_and_token_rules_are_right_in_exactly_half(pairs):
    report = checks.check(pairs)
    for rule in (report.longer_bytes, report.more_tokens):
        assert rule.right == rule.wrong
        assert rule.right > len(pairs) // 10  # balanced, not merely equal
    assert report.problems == ()


@pytest.mark.parametrize("limit", [10, 101, 300])
def test_any_prefix_is_balanced(pairs, limit):
    head = pairs[:limit]
    for measure in (len, checks.num_tokens):
        signs = [measure(pair.correct) - measure(pair.buggy) for pair in head]
        assert abs(sum(sign > 0 for sign in signs) - sum(sign < 0 for sign in signs)) <= 1


@pytest.mark.parametrize("max_chars", [120, 250])
def test_short_ones_are_balanced_too(pairs, max_chars):
    short = mutants.load("validation", cache=False, max_chars=max_chars)
    assert 0 < len(short) < len(pairs)
    assert set(pair.name for pair in short) <= set(pair.name for pair in pairs)
    assert max(len(text) for pair in short for text in (pair.buggy, pair.correct)) <= max_chars
    for measure in (len, checks.num_tokens):
        signs = [measure(pair.correct) - measure(pair.buggy) for pair in short]
        assert sum(sign > 0 for sign in signs) == sum(sign < 0 for sign in signs)


def test_bytes_tell_nothing_under_grouped_folds(tested):
    side_by_side, single = checks.byte_classifier(tested), checks.byte_classifier_single(tested)
    assert not side_by_side.leaks
    assert not single.leaks
    assert side_by_side.right + side_by_side.wrong > len(tested) / 2  # it did decide


def test_bytes_of_another_split_tell_nothing(pairs, tested):
    found = checks.byte_classifier(tested, fitted_on=pairs)
    assert not found.leaks
    assert found.right + found.wrong > len(tested) / 2


def test_the_specification_tells_nothing(tested):
    # both versions share it, so a classifier that reads it alone cannot decide one pair
    found = checks.byte_classifier(tested, text_of=lambda pair, version: pair.docstring)
    assert (found.right, found.wrong, found.accuracy) == (0, 0, 0.5)


def test_splits_share_no_module_and_no_near_duplicate():
    modules = [name for split in mutants.SPLITS for name in mutants.MODULES[split]]
    assert len(set(modules)) == len(modules)
    texts = {split: [function.text for function in mutants.functions(split)] for split in mutants.SPLITS}
    everything = [(split, text) for split, own in texts.items() for text in own]
    assert len(everything) > 3000
    found = checks.near_duplicates.near_duplicates([text for _, text in everything])
    assert found == []  # neither across splits nor within one


def test_seed_draws_another_corpus_of_the_same_functions(few_functions):
    first, again, other = (mutants._make("validation", seed) for seed in (7, 7, 8))
    assert corpus_hash(first) == corpus_hash(again)
    assert len({pair.buggy for pair in first} & {pair.buggy for pair in other}) < 0.5 * len(first)


def test_the_list_is_the_callers_own(pairs):
    mutants.load("validation", cache=False).clear()
    assert mutants.load("validation", cache=False) == pairs


def test_same_corpus_whatever_the_order_of_hashes():
    code = (
        "from llm_bridge.corpora import mutants, programs\n"
        "print(programs.corpus_hash(mutants.load('validation', cache=False)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1"},  # here it is random
        capture_output=True,
        text=True,
        check=True,
    )
    here = [corpus_hash(mutants.load("validation", cache=False))]
    assert ran.stdout.split() == here


def test_renamed_copies(pairs):
    renamed = [mutants.rename_identifiers(pair, seed=3) for pair in pairs]
    assert [pair.name for pair in renamed] == [pair.name for pair in pairs]
    changed = 0
    for before, after in zip(pairs, renamed, strict=True):
        assert (len(after.buggy), len(after.correct)) == (len(before.buggy), len(before.correct))
        assert after.buggy_line == before.buggy_line
        assert _without_names(after.correct) == _without_names(before.correct)
        assert _without_names(after.buggy) == _without_names(before.buggy)
        assert normalise(after.buggy) == after.buggy
        changed += after.correct != before.correct
    assert changed > 0.8 * len(pairs)


def test_load_renamed_is_the_renaming_of_load():
    plain = mutants.load("validation", limit=20, cache=False)
    renamed = mutants.load("validation", limit=20, renamed=True, cache=False)
    assert renamed == [mutants.rename_identifiers(pair, seed=0) for pair in plain]
    assert renamed != plain


def test_the_corpora_of_the_published_results():
    """The texts that the published numbers were learnt from are still the ones that `load` gives."""
    folder = Path(__file__).parents[3] / "docs" / "results" / "fixed_snr"
    provenance = json.loads((folder / "provenance.json").read_text())["study"]
    config = json.loads((folder / "recipe.json").read_text())["corpus"]
    if provenance["python"] != platform.python_version():
        pytest.skip(f"published with Python {provenance['python']}; mutants are made of Python's library")
    for split, count in (("train", config["train_pairs"]), ("validation", config["validation_pairs"])):
        pairs = mutants.load(split, seed=config["mutants_seed"], max_chars=config["train_max_chars"], limit=count)
        assert corpus_hash(pairs) == provenance["corpora"][f"mutants-{split}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "'split' must be one of train, validation, test .got 'dev'."),
        ({"limit": -1}, "'limit' must be at least 0 .got -1."),
    ],
)
def test_bad_parameters(arguments, message):
    with pytest.raises(ValueError, match=message):
        mutants.load(**arguments)


def test_cache_gives_the_same_and_a_broken_file_is_made_anew(tmp_path, monkeypatch, tested):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []
    monkeypatch.setattr(mutants, "_make", lambda *arguments: made.append(arguments) or tested[:20])
    corpus = mutants._corpus.__wrapped__  # what a new process would do
    for _ in range(2):
        assert list(corpus("validation", 77, True)) == tested[:20]
    assert made == [("validation", 77)]  # the second came from the file
    (file,) = (tmp_path / "chirpbridge").iterdir()  # no temporary file stays
    file.write_text(file.read_text()[:1000])
    assert list(corpus("validation", 77, True)) == tested[:20]
    assert len(made) == 2
    assert len(json.loads(file.read_text())) == 20
    assert list(corpus("validation", 78, True)) == tested[:20]  # another seed is another file
    assert len(made) == 3


def test_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, tested):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setattr(mutants, "_make", lambda *_: tested[:20])
    assert list(mutants._corpus.__wrapped__("validation", 0, True)) == tested[:20]


def test_missing_source_text_is_said(monkeypatch):
    monkeypatch.setattr(stdlib_functions.sysconfig, "get_paths", lambda: {"stdlib": "/nowhere"})
    with pytest.raises(FileNotFoundError, match="/nowhere has none of module 'heapq'"):
        stdlib_functions.functions("heapq")


def _without_names(text):
    """The tree of a text, its local names taken out and its attributes kept."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for field in {ast.Name: ["id"], ast.arg: ["arg"], ast.keyword: ["arg"]}.get(type(node), []):
            setattr(node, field, "_")
        if isinstance(node, ast.FunctionDef | ast.ExceptHandler) and node.name:
            node.name = "_"
        if isinstance(node, ast.Nonlocal):
            node.names = []
    return ast.dump(tree)


@pytest.fixture
def few_functions(monkeypatch):
    """A third of the validation split's functions, to be quick."""
    some = mutants.functions("validation")[::3]
    monkeypatch.setattr(mutants, "functions", lambda split: some)


def _function(text):
    return Function(module="m", name="m.f", text=text, methods={}, attributes=())


def _all_trees(text, tries=60):
    """Everything that the tree engine makes of a text, by class."""
    found = {}
    for seed in range(tries):
        tree = ast.parse(text).body[0]
        for candidate in trees.candidates(_function(text), tree, random.Random(seed)):
            found.setdefault(candidate.defect_class, set()).add(trees.mutate(tree, candidate))
        assert ast.unparse(tree) + "\n" == text  # the tree is left as it was
    return found


def test_tree_engine_finds_the_bugs_that_quixbugs_has():
    text = (
        "def f(items, k, total):\n    out = []\n    for i in range(1, k + 1):\n        if items[i] > total and k:\n"
        "            out.append(max(total, items[i]))\n        total -= items[i] * k\n    return out + items[k:]\n"
    )
    found = _all_trees(text)
    for defect_class, old, new in [
        ("missing/added +1", "range(1, k + 1)", "range(1, k)"),
        ("variable swap", "max(total, items[i])", None),
        ("incorrect variable", "items[i] > total", "items[k] > total"),
        ("incorrect comparison operator", "items[i] > total", "items[i] >= total"),
        ("missing function call", "out.append(max(total, items[i]))", "out.append(total)"),
        ("missing line", "        total -= items[i] * k\n", ""),
        ("missing condition", "items[i] > total and k", "items[i] > total"),
        ("incorrect array slice", "items[k:]", "items[:k]"),
        ("variable prepend", "out + items[k:]", "items[k:]"),
        ("incorrect data structure constant", "out = []", "out = {}"),
        ("incorrect assignment operator", "total -= items", "total += items"),
        ("incorrect method called", "out.append(", "out.extend("),
        ("missing arithmetic expression", "items[i] * k", "items[i]"),
    ]:
        if new is None:
            assert not any("max(items[i], total)" in mutant for mutant in found.get(defect_class, ())), "max commutes"
        else:
            assert text.replace(old, new) in found[defect_class], defect_class


def test_tree_engine_leaves_out_what_no_test_would_see():
    text = (
        "def f(a, b):\n    print(a - b)\n    assert a > 1\n    if a:\n        raise ValueError(a + b)\n    return b\n"
    )
    for mutant in set().union(*_all_trees(text).values()):
        assert "print(a - b)" in mutant
        assert "assert a > 1" in mutant
        assert "raise ValueError(a + b)" in mutant


def test_both_ways_of_a_family_are_drawn_equally_often(few_functions):
    drawn = Counter()
    unit_of = mutants._draw_class

    def counted(*arguments):
        units = unit_of(*arguments)
        for unit in units:
            for mutant in unit:
                drawn[mutant.proposal.defect_class, mutant.proposal.family] += mutant.proposal.orientation
        return units

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mutants, "_draw_class", counted)
        mutants._make("validation", 5)
    assert len(drawn) > 50
    assert set(drawn.values()) == {0}


def test_renaming_keeps_what_others_see():
    renamed = {pair.name: mutants.rename_identifiers(pair) for pair in minibugs.load()}
    pair = renamed["number_headings"]
    assert "def number_headings(" in pair.correct and "number_headings(" in pair.correct.split("\n", 1)[1]
    assert "enumerate(" in pair.correct and "prefix" not in pair.correct
    assert "date.fromisoformat" in renamed["born_in_month"].correct  # imported, not local
    assert renamed["born_in_month"] == mutants.rename_identifiers(minibugs.load()[_index("born_in_month")])
    assert mutants.rename_identifiers(minibugs.load()[0], seed=1) != mutants.rename_identifiers(minibugs.load()[0])


def test_renamed_minibugs_still_run():
    for pair in minibugs.load():
        after = mutants.rename_identifiers(pair)
        namespace: dict = {}
        exec(after.correct, namespace)
        for arguments, expected in pair.tests.cases:
            assert namespace[pair.name](*json.loads(json.dumps(arguments))) == expected


def test_renaming_follows_keywords_of_own_calls_and_inner_functions():
    pair = minibugs.load()[0]
    text = "def f(n, acc=0):\n    def g(x):\n        return x + acc\n    return f(n=g(x=n), acc=1)\n"
    changed = dataclasses.replace(pair, correct=text, buggy=text.replace("x + acc", "x - acc"))
    after = mutants.rename_identifiers(changed).correct
    rest = after.split("\n", 1)[1]
    outer = ast.parse(after).body[0]
    assert "acc" not in after and "def g" not in after
    assert f"{outer.args.args[1].arg}=1" in rest and f"f({outer.args.args[0].arg}=" in rest


def _index(name):
    return [pair.name for pair in minibugs.load()].index(name)


@pytest.mark.slow
def test_training_corpus():
    pairs = mutants.load("train", cache=False)
    assert len(pairs) > 4000
    report = checks.check(pairs)
    assert report.problems == ()
    assert report.near_duplicates == ()
    for rule in (report.longer_bytes, report.more_tokens):
        assert rule.right == rule.wrong
    assert not report.bag_of_bytes.leaks
    for split in ("validation", "test"):
        other = mutants.load(split, cache=False)
        assert checks.overlap(pairs, other) == (set(), [])
        assert not checks.byte_classifier(other, fitted_on=pairs).leaks
    assert checks.overlap(pairs, minibugs.load()) == (set(), [])
