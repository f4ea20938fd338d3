"""Held-out mutants by an independent engine: valid pairs, balanced, of other classes, and no echo of our own engine.

Statistical tests: a classifier that knows nothing is called a leak with probability 1e-6 (exact binomial).
"""

import ast
import builtins
import os
import subprocess
import sys
from collections import Counter

import pytest

pytest.importorskip("mutmut", reason="the independent engine is an optional extra")

from llm_bridge import __main__ as command_line
from llm_bridge.corpora import checks, corpus_cache, minibugs, mutants, mutmut_mutants
from llm_bridge.corpora.mutation import mutmut_operators
from llm_bridge.corpora.mutation.one_line import SILENT, one_line_bug
from llm_bridge.corpora.programs import DEFECT_CLASSES, corpus_hash, normalise, single_edit
from llm_bridge.study.recipe_files import load_recipe


@pytest.fixture(scope="module")
def pairs():
    return mutmut_mutants.load()


def _texts(body):
    """What the operators make of a function's body, by class."""
    found = {}
    for mutation in mutmut_operators.mutations(f"def f(a, b=1):\n    {body}\n"):
        text = mutation.make()
        if text is not None:
            found.setdefault(mutation.defect_class, []).append(text.split("\n", 1)[1].strip())
    return found


def test_every_pair_is_one_line_in_normal_form(pairs):
    assert len(pairs) >= 100
    for pair in pairs:
        assert normalise(pair.buggy) == pair.buggy and normalise(pair.correct) == pair.correct
        edit = single_edit(pair.buggy, pair.correct)
        assert edit.last - edit.first + 1 in (0, 1) and pair.buggy_line == edit.first
        assert abs(len(pair.buggy.splitlines()) - len(pair.correct.splitlines())) <= 1
        assert ast.dump(ast.parse(pair.buggy)) != ast.dump(ast.parse(pair.correct))
        assert one_line_bug(pair.buggy, pair.correct) is not None  # other code, within the limits
        assert (pair.corpus, pair.tests.cases, pair.docstring) == ("mutants-mutmut", (), "")
        assert not SILENT.match(pair.correct.splitlines()[pair.buggy_line - 1])
        assert pair.buggy.count("XX") <= pair.correct.count("XX")


def test_one_mutant_a_function_in_modules_that_are_not_trained_on(pairs):
    assert len({pair.correct for pair in pairs}) == len({pair.name for pair in pairs}) == len(pairs)
    assert {pair.group for pair in pairs} <= set(mutants.MODULES["test"])
    assert len({pair.group for pair in pairs}) >= 20
    assert {pair.correct for pair in pairs} <= {function.text for function in mutants.functions("test")}


def test_classes_are_spread_and_many_are_new(pairs):
    counts = Counter(pair.defect_class for pair in pairs)
    assert set(counts) <= {*DEFECT_CLASSES, *mutmut_operators.OWN_CLASSES}
    assert set(mutmut_operators.OWN_CLASSES) <= set(counts)
    assert max(counts.values()) <= mutmut_mutants.QUOTA
    new = sum(counts[name] for name in mutmut_operators.OWN_CLASSES)
    assert 0.3 < new / len(pairs) < 0.6


def test_leak_checks(pairs):
    report = checks.check(pairs)
    assert report.problems == () and report.near_duplicates == ()
    for rule in (report.longer_bytes, report.more_tokens):
        assert rule.right == rule.wrong > len(pairs) // 20
    assert not report.bag_of_bytes_single.leaks


@pytest.mark.parametrize("limit", [10, 101, 200])
def test_any_prefix_is_balanced(pairs, limit):
    for measure in (len, checks.num_tokens):
        signs = [measure(pair.correct) - measure(pair.buggy) for pair in pairs[:limit]]
        assert abs(sum(sign > 0 for sign in signs) - sum(sign < 0 for sign in signs)) <= 1


def test_the_look_of_our_own_bugs_gives_these_not_away(pairs):
    found = checks.byte_classifier(pairs, fitted_on=mutants.load("validation"))
    assert not found.leaks
    assert found.right + found.wrong > len(pairs) / 2  # it did decide


def test_the_engines_own_look_is_known_and_is_why_it_is_never_trained_on(pairs):
    assert checks.byte_classifier(pairs).leaks  # documented: if this changes, so must the documentation
    with pytest.raises(ValueError, match="'split' must be one of train, validation, test"):
        mutants.load("mutmut")


def test_no_own_mutant_of_the_validation_split_is_among_them(pairs):
    ours = {pair.buggy for pair in mutants.load("validation")}
    assert not ours & {pair.buggy for pair in pairs}
    assert checks.overlap(pairs, minibugs.load()) == (set(), [])


@pytest.mark.slow
def test_no_training_mutant_is_among_them(pairs):
    training = mutants.load("train")
    assert not {pair.buggy for pair in training} & {pair.buggy for pair in pairs}
    assert checks.overlap(pairs, training) == (set(), [])
    assert not checks.byte_classifier(pairs, fitted_on=training).leaks


def test_seed_and_limit(pairs, few_functions):
    first, again, other = (mutmut_mutants._make(seed) for seed in (7, 7, 8))
    assert corpus_hash(first) == corpus_hash(again) != corpus_hash(other)
    assert mutmut_mutants.load(limit=5) == pairs[:5]
    with pytest.raises(ValueError, match=r"'limit' must be at least 0 \(got -1\)"):
        mutmut_mutants.load(limit=-1)


def test_same_corpus_whatever_the_order_of_hashes(few_functions):
    code = (
        "from llm_bridge.corpora import mutants, mutmut_mutants, programs\n"
        "some = mutants.functions('test')[::12]\n"
        "mutants.functions = lambda split: some\n"
        "print(programs.corpus_hash(mutmut_mutants._make(0)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}  # here it is random
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == corpus_hash(mutmut_mutants._make(0))


def test_cache_gives_the_same(tmp_path, monkeypatch, pairs):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []
    monkeypatch.setattr(mutmut_mutants, "_make", lambda seed: made.append(seed) or pairs[:9])
    for _ in range(2):
        assert list(mutmut_mutants._corpus.__wrapped__(5, True)) == pairs[:9]
    assert made == [5]
    assert [path.parent for path in tmp_path.rglob("*.json")] == [corpus_cache.folder()]


@pytest.mark.parametrize(
    ("body", "defect_class", "mutant"),
    [
        ("return a < 3", "incorrect comparison operator", "return a <= 3"),
        ("return a < 3", "missing/added +1", "return a < 4"),
        ("return g(a, b)", "argument left out", "return g(b)"),
        ("return g(a, b)", "argument replaced by None", "return g(None, b)"),
        ("c = a", "incorrect value assigned", "c = None"),
        ("a += b", "incorrect assignment operator", "a = b"),
        ("a += b", "incorrect assignment operator", "a -= b"),
        ("return not a", "missing condition", "return a"),
        ("return -a", "missing arithmetic expression", "return +a"),
        ("return ~a", "missing arithmetic expression", "return a"),
        ("return a and b", "incorrect comparison operator", "return a or b"),
        ("return a is b", "incorrect comparison operator", "return a is not b"),
        ("return a * b", "missing arithmetic expression", "return a / b"),
        ("return a.lower()", "incorrect method called", "return a.upper()"),
        ("return True", "incorrect data structure constant", "return False"),
        ("return 'Ab'", "incorrect string", "return 'AB'"),
        ("return a if b else 0", "constant condition", "return a if b and False else 0"),
    ],
)
def test_operators_and_their_classes(body, defect_class, mutant):
    assert mutant in _texts(body)[defect_class]


def test_jumps():
    assert _texts("while a:\n        break")["incorrect jump"] == ["while a:\n        return"]
    assert _texts("while a:\n        continue")["incorrect jump"] == ["while a:\n        break"]


def test_what_is_passed_over():
    assert _texts("return len(a[1]) + isinstance(a, b)") == {
        "missing arithmetic expression": ["return len(a[1]) - isinstance(a, b)"]
    }
    assert _texts("return 'a'") == {"incorrect string": ["return 'A'"]}  # no 'XXaXX'
    assert "b=1" in next(iter(mutmut_operators.mutations("def f(a, b=1):\n    return a < b\n"))).make()
    assert not any("XX" in text for texts in _texts("return dict(a=1)").values() for text in texts)


def test_without_mutmut_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.startswith("mutmut"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="mutmut")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'chirpbridge\[mutants\]'") as found:
        list(mutmut_operators.mutations("def f(a):\n    return a\n"))
    assert found.value.name == "mutmut"


def test_importing_the_corpus_imports_no_engine():
    code = "import sys, llm_bridge.corpora.mutmut_mutants; print([n for n in ('mutmut', 'libcst') if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_command_line_checks_it_by_name(monkeypatch, capsys, pairs):
    monkeypatch.setattr(mutmut_mutants, "load", lambda: pairs[:30])
    monkeypatch.setattr(sys, "argv", ["llm_bridge", "corpora", "check", "mutants-mutmut"])
    command_line.main()
    said = capsys.readouterr().out
    assert "mutants-mutmut" in said and "30 in" in said and "no problems" in said


def test_command_line_names_the_extra(monkeypatch, capsys):
    def missing():
        raise ModuleNotFoundError("no mutmut", name="mutmut")

    monkeypatch.setattr(mutmut_mutants, "load", missing)
    monkeypatch.setattr(sys, "argv", ["llm_bridge", "corpora", "check", "mutants-mutmut"])
    with pytest.raises(SystemExit) as stopped:
        command_line.main()
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert "pip install 'chirpbridge[mutants]'" in said.out + said.err


def test_recipes_know_it():
    recipe = load_recipe("signal", [])
    assert "mutants-mutmut" in recipe.corpus.test


@pytest.fixture
def few_functions(monkeypatch):
    """A twelfth of the test split's functions, to be quick."""
    some = mutants.functions("test")[::12]
    monkeypatch.setattr(mutants, "functions", lambda split: some)
