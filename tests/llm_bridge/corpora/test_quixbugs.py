"""The QuixBugs loader: both layouts give the same pairs, nothing of the label leaks, anything else is refused."""

import json
from pathlib import Path

import pytest

from llm_bridge.corpora import quixbugs
from llm_bridge.corpora.programs import DEFECT_CLASSES, normalise, single_edit

JSONL = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "quixbugs.jsonl"
needs_data = pytest.mark.skipif(not JSONL.is_file(), reason=f"QuixBugs is not part of this project; no {JSONL}")

# Known facts of the normalised corpus: lines of the buggy version and the bug's line, None for every insertion.
# fmt: off
LINES_AND_BUG = {
    "bitcount": (6, 4), "breadth_first_search": (15, 8), "bucketsort": (8, 6), "depth_first_search": (11, 10),
    "detect_cycle": (9, 4), "find_first_in_sorted": (12, 4), "find_in_sorted": (13, 10), "flatten": (7, 7),
    "gcd": (5, 5), "get_factors": (7, 7), "hanoi": (8, 6), "is_valid_parenthesization": (10, 10), "kheapsort": (8, 5),
    "knapsack": (10, 8), "kth": (12, 10), "lcs_length": (8, 7), "levenshtein": (7, 5), "lis": (10, 9),
    "longest_common_subsequence": (7, 5), "max_sublist_sum": (7, 5), "mergesort": (22, 16),
    "minimum_spanning_tree": (11, 10), "next_palindrome": (15, 15), "next_permutation": (9, 5), "pascal": (10, 5),
    "possible_change": (7, 4), "powerset": (7, 5), "quicksort": (7, 6), "reverse_linked_list": (7, 6),
    "rpn_eval": (13, 12), "shortest_path_length": (32, 15), "shortest_path_lengths": (11, 10), "shortest_paths": (7, 6),
    "shunting_yard": (13, 11), "sieve": (6, 4), "sqrt": (5, 3), "subsequences": (7, 3), "to_base": (10, 9),
    "topological_ordering": (7, 5), "wrap": (9, 9),
}
# fmt: on
INSERTIONS = {"depth_first_search", "reverse_linked_list", "shunting_yard", "wrap"}


@pytest.fixture(scope="module")
def pairs():
    return quixbugs.load(JSONL)


@pytest.fixture
def clone(tmp_path):
    """A tree in the upstream layout, written from the records."""
    root = tmp_path / "QuixBugs"
    for folder in ("python_programs", "correct_python_programs", "json_testcases", "python_testcases"):
        (root / folder).mkdir(parents=True)
    node = json.loads(JSONL.with_name("quixbugs_node.json").read_text())["node.py"]
    for folder in ("python_programs", "correct_python_programs", "python_testcases"):
        (root / folder / "node.py").write_text(node)
    for line in JSONL.read_text().splitlines():
        record = json.loads(line)
        name, specification = record["name"], record["docstring"].replace("\\", "\\\\")
        (root / "python_programs" / f"{name}.py").write_text(f'\n{record["buggy"]}\n\n"""\n{specification}\n"""\n')
        # upstream's correct files carry alternative solutions in strings, and some define the function again
        again = f'\n"""\ndef {name}():\n    return None\n"""\n\ndef {name}(*_):\n    return None\n'
        (root / "correct_python_programs" / f"{name}.py").write_text(record["correct"] + again)
        if record["test_module"] is None:
            cases = "".join(json.dumps(case) + "\n" for case in record["tests"])
            (root / "json_testcases" / f"{name}.json").write_text(cases + "\n")
        else:
            switch = (
                f"if pytest.use_correct:\n    from correct_python_programs.{name} import {name}\n"
                f"else:\n    from python_programs.{name} import {name}\n"
            )
            module = record["test_module"].replace(f"from {name} import {name}\n", switch)
            assert module != record["test_module"]
            (root / "python_testcases" / f"test_{name}.py").write_text(module)
            (root / "python_programs" / f"{name}_test.py").write_text("import node\n")
    return root


@needs_data
def test_forty_pairs_with_the_known_bug_lines(pairs):
    assert {pair.name: (len(pair.buggy.splitlines()), pair.buggy_line) for pair in pairs} == LINES_AND_BUG
    for pair in pairs:
        edit = single_edit(pair.buggy, pair.correct)
        assert edit.insertion == (pair.name in INSERTIONS)
        assert edit.last - edit.first + 1 == (0 if edit.insertion else 1)
        assert len(pair.correct.splitlines()) == len(pair.buggy.splitlines()) + edit.insertion
        assert pair.gold_lines == ((pair.buggy_line - 1, pair.buggy_line) if edit.insertion else (pair.buggy_line,))


@needs_data
def test_insertion_at_the_very_end_has_one_gold_line_after_it(pairs):
    wrap = next(pair for pair in pairs if pair.name == "wrap")
    assert wrap.gold_lines == (8, 9)


@needs_data
def test_normal_form_without_specification(pairs):
    for pair in pairs:
        for text in (pair.buggy, pair.correct):
            assert normalise(text) == text
            assert '"""' not in text and "#" not in text
        assert pair.docstring and pair.docstring.splitlines()[0] not in pair.buggy


@needs_data
def test_suites_hold_every_case_of_upstream(pairs):
    cases = sum(len(pair.tests.cases) for pair in pairs)
    functions = sum(pair.tests.test_module.count("\ndef test") for pair in pairs if pair.tests.test_module)
    assert (cases + functions, sum(len(pair.tests.skip) for pair in pairs)) == (278, 2)
    assert sum(pair.tests.test_module is not None for pair in pairs) == 9
    assert sum("node.py" in pair.tests.helpers for pair in pairs) == 6
    assert all(pair.tests.cases or pair.tests.test_module for pair in pairs)


@needs_data
def test_defect_classes_never_exceed_the_papers_counts(pairs):
    published = dict(zip(DEFECT_CLASSES, (4, 6, 5, 5, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1), strict=True))
    ours = [pair.defect_class for pair in pairs if pair.defect_class is not None]
    assert len(ours) == 28
    assert all(ours.count(name) <= published[name] for name in set(ours))


@needs_data
def test_clone_and_jsonl_give_the_same_pairs(clone, pairs):
    assert quixbugs.load(clone) == pairs
    assert quixbugs.load(str(clone)) == pairs


@needs_data
@pytest.mark.parametrize(
    "missing", ["python_programs/gcd.py", "json_testcases/gcd.json", "correct_python_programs/gcd.py"]
)
def test_incomplete_clone_is_refused(clone, missing):
    (clone / missing).unlink()
    with pytest.raises(ValueError, match=rf"{clone}.*missing: {missing}"):
        quixbugs.load(clone)


@needs_data
def test_clone_with_a_damaged_program_is_refused(clone):
    (clone / "python_programs" / "gcd.py").write_text("def gcd(:\n")
    with pytest.raises(ValueError, match=r"gcd\.py is not a QuixBugs program"):
        quixbugs.load(clone)
    (clone / "python_programs" / "gcd.py").write_text((clone / "correct_python_programs" / "gcd.py").read_text())
    with pytest.raises(ValueError, match="'gcd': a pair must differ in exactly one hunk"):
        quixbugs.load(clone)


@needs_data
def test_the_file_of_helpers_yields_node_alone(tmp_path):
    """A helper named like a module that the judge imports would otherwise lie beside every graph program."""
    (tmp_path / "quixbugs.jsonl").write_text(JSONL.read_text())
    helpers = {"textwrap.py": "raise SystemExit", **json.loads(JSONL.with_name("quixbugs_node.json").read_text())}
    (tmp_path / "quixbugs_node.json").write_text(json.dumps(helpers))
    pairs = quixbugs.load(tmp_path / "quixbugs.jsonl")
    assert {name for pair in pairs for name in pair.tests.helpers} == {"node.py"}
    for text in ('{"textwrap.py": ""}', '{"node.py": 1}', "[]", "[" * 100_000):
        (tmp_path / "quixbugs_node.json").write_text(text)
        with pytest.raises(ValueError, match=r"quixbugs_node\.json must map"):
            quixbugs.load(tmp_path / "quixbugs.jsonl")


def test_jsonl_without_node_is_refused(tmp_path):
    alone = tmp_path / "quixbugs.jsonl"
    alone.write_text(JSONL.read_text())
    with pytest.raises(ValueError, match=r"quixbugs_node\.json beside"):
        quixbugs.load(alone)


@needs_data
def test_jsonl_that_lacks_programs_is_refused(tmp_path):
    (tmp_path / "quixbugs_node.json").write_text(JSONL.with_name("quixbugs_node.json").read_text())
    short = tmp_path / "short.jsonl"
    short.write_text("\n".join(JSONL.read_text().splitlines()[1:]))
    with pytest.raises(ValueError, match="found 39 programs, missing: bitcount"):
        quixbugs.load(short)
    short.write_text(JSONL.read_text() + JSONL.read_text().splitlines()[0])
    with pytest.raises(ValueError, match="found 41 programs"):
        quixbugs.load(short)


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no corpus at .*nowhere: expected the root of a QuixBugs clone"):
        quixbugs.load(tmp_path / "nowhere")


def test_any_folder_is_refused(tmp_path):
    (tmp_path / "python_programs").mkdir()
    with pytest.raises(ValueError, match="found no correct_python_programs/ and no json_testcases/"):
        quixbugs.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "found 0 programs"),
        (b"hello\n", "line 1"),
        (b"[1, 2]\n", "line 1"),
        (b'{"name": "gcd"}\n', "no field 'test_module'"),
        (b'{"name": "x", "test_module": null, "tests": [[1]], "compare": "equal", "skip": []}\n', "a case must be"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_any_file_is_refused(tmp_path, content, reason):
    file = tmp_path / "some.jsonl"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        quixbugs.load(file)
    assert str(file) in str(caught.value)
