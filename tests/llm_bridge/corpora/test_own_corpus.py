"""Own corpora: what a file may hold, every problem of a file at once, what a recipe makes of it, leaks."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from llm_bridge.corpora import minibugs, own_corpus
from llm_bridge.corpora.own_corpus import CorpusError
from llm_bridge.files import StoreError
from llm_bridge.study.cells import expand
from llm_bridge.study.experiment import claim_folder
from llm_bridge.study.recipe import RecipeError, as_plain
from llm_bridge.study.recipe_files import load_recipe, recipe_of
from llm_bridge.study.workspace import open_workspace

ROW: dict[str, Any] = {
    "name": "f",
    "buggy": "def f(x):\n    y = x + 1\n    return y\n",
    "correct": "def f(x):\n    y = x - 1\n    return y\n",
}


def write(path: Path, *rows: dict[str, Any] | str) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    from llm_bridge import __main__

    monkeypatch.setattr(sys, "argv", ["llm_bridge", *arguments])
    try:
        __main__.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_programs_of_minibugs_come_back_as_they_are(tmp_path: Path) -> None:
    pairs = minibugs.load()
    rows = [
        {name: getattr(pair, name) for name in ("name", "buggy", "correct", "docstring", "group", "defect_class")}
        | {"tests": [list(case) for case in pair.tests.cases]}
        for pair in pairs
    ]
    found = own_corpus.load(write(tmp_path / "mini.jsonl", *rows))
    for pair, own in zip(pairs, found, strict=True):
        assert (own.name, own.buggy, own.correct, own.docstring) == (
            *(pair.name, pair.buggy, pair.correct, pair.docstring),
        )
        assert (own.buggy_line, own.group, own.defect_class) == (pair.buggy_line, pair.group, pair.defect_class)
        assert own.gold_lines == pair.gold_lines


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    bom = "\ufeff" + json.dumps(ROW) + "\r"
    [pair] = own_corpus.load(write(tmp_path / "one.jsonl", bom, "", "  "))
    assert (pair.group, pair.docstring, pair.defect_class, pair.tests.cases) == ("f", "", None, ())
    assert (pair.buggy_line, pair.gold_lines) == (2, (2,))


BAD: list[tuple[str, dict[str, Any] | str, str]] = [
    ("no JSON", "{'name': 1}", "is not JSON"),
    ("pretty JSON", "{", "on one line"),
    ("a list of all", json.dumps([ROW]), "no list around them"),
    ("a number", "3", "must be a JSON object (got a number)"),
    ("not a number", '{"name": NaN}', "NaN is no number of JSON"),
    ("deep", "[" * 5000, "is not JSON"),
    ("a key twice", '{"name": "a", "name": "b"}', "the key 'name' stands there twice"),
    ("a misspelt key", {**ROW, "bugy": "x"}, "unknown key 'bugy'; did you mean 'buggy'?"),
    ("an unknown key", {**ROW, "zzz": "x"}, "unknown key 'zzz'; known: name, buggy, correct"),
    ("a missing key", {"name": "f", "buggy": "x = 1\n"}, "'correct' is missing"),
    ("a wrong type", {**ROW, "buggy": 3}, "'buggy' must be text (got a number)"),
    ("null", {**ROW, "name": None}, "'name' must be text (got null)"),
    ("no name", {**ROW, "name": " "}, "'name' must be 1 to 100 printable characters"),
    ("a control character", {**ROW, "name": "a\x1b[31m"}, "'name' must be 1 to 100 printable characters"),
    ("half a surrogate", '{"name": "\\ud800"}', "half of a surrogate pair"),
    ("no Python", {**ROW, "correct": "def f(x:\n"}, "'correct' is no Python program"),
    ("a null byte", {**ROW, "correct": "x = 1\0"}, "'correct' is no Python program"),
    ("an empty program", {**ROW, "correct": "# nothing\n"}, "'correct' is an empty program"),
    ("a program too long", {**ROW, "buggy": "x = 1\n" * 4000}, "at most 20000 characters (got 24000)"),
    ("the same", {**ROW, "buggy": ROW["correct"] + "# bug\n"}, "are the same program"),
    (
        "two lines",
        {**ROW, "correct": "def f(z):\n    y = z - 1\n    return y\n"},
        "must differ in one line (got 2, from line 1 to 2 of the buggy one",
    ),
    (
        "two places",
        {**ROW, "correct": "def f(z):\n    y = x + 1\n    return z\n"},
        "must differ in one line (got 2, from line 1 to 3 of the buggy one",
    ),
    ("no cases", {**ROW, "tests": [[1]]}, "'tests' must hold cases [arguments, expected] (got [1] as case 0)"),
    ("a comparison", {**ROW, "compare": "eqal"}, "(got 'eqal'); did you mean 'equal'?"),
    ("a case to skip", {**ROW, "tests": [[[1], 0]], "skip": [1]}, "'skip' must hold numbers of cases below 1"),
    ("two kinds of tests", {**ROW, "tests": [[[1], 0]], "test_module": "x"}, "two ways to say the same"),
    ("a module's name", {**ROW, "name": "a b", "test_module": "x"}, "'name' must be a name of Python"),
]


@pytest.mark.parametrize(("row", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_line_is_named_with_what_is_wrong(row: dict[str, Any] | str, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", {**ROW, "name": "good", "correct": "def g():\n    return 1\n"}, row)
    path = write(path, {**ROW, "name": "good", "buggy": "x = 1\n", "correct": "x = 2\n"}, row)
    pairs, problems = own_corpus.read(path)
    assert [pair.name for pair in pairs] == ["good"]
    assert problems and all(problem.startswith(f"{path}, line 2: ") for problem in problems)
    assert any(said in problem for problem in problems), problems
    with pytest.raises(CorpusError) as caught:
        own_corpus.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("again", "said"),
    [
        ({"name": "g"}, "the pair 'g' is that of line 1 again"),
        ({"buggy": "x = 3\n", "correct": "x = 4\n"}, "line 1 too"),
    ],
)
def test_a_name_and_a_pair_stand_once(again: dict[str, str], said: str, tmp_path: Path) -> None:
    _, problems = own_corpus.read(write(tmp_path / "mine.jsonl", ROW, {**ROW, **again}))
    assert len(problems) == 1 and problems[0].startswith(f"{tmp_path / 'mine.jsonl'}, line 2: ") and said in problems[0]


def test_a_file_that_is_not_there_is_empty_or_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path / "mine.jsonl", "")
    (tmp_path / "bytes.jsonl").write_bytes(json.dumps(ROW).encode() + b"\n\xff\xfe\n")
    for name, said in (
        ("mine.jsonl", "holds no pair: it is empty"),
        ("mien.jsonl", "there is no such file; did you mean 'mine.jsonl'?"),
        ("", "is a folder"),
        ("bytes.jsonl", "line 2: is not UTF-8 text (byte 0)"),
        ("mine.jsonl/x", "cannot be read: Not a directory"),
    ):
        with pytest.raises(CorpusError) as caught:
            own_corpus.load(tmp_path / name)
        assert said in str(caught.value)


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    with path.open("wb") as file:
        file.truncate(own_corpus.MAX_FILE_BYTES + 1)
    with pytest.raises(CorpusError, match="at most 64000000 are read"):
        own_corpus.load(path)


def test_a_path_begins_at_the_recipe_and_that_of_an_override_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("recipe", "current"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "mine.jsonl", {**ROW, "docstring": folder})
    write(tmp_path / "recipe/own.toml", 'corpus.test = ["minibugs", "file:mine.jsonl"]', "corpus.train = 'mutants'")
    monkeypatch.chdir(tmp_path / "current")
    own = [
        own_corpus.content_hash(own_corpus.load(tmp_path / folder / "mine.jsonl")) for folder in ("recipe", "current")
    ]
    path, overridden = str(tmp_path / "recipe/own.toml"), "corpus.test=file:mine.jsonl"
    assert load_recipe(path).corpus.test == ("minibugs", f"file:{tmp_path}/recipe/mine.jsonl@{own[0]}")
    assert load_recipe(path, [overridden]).corpus.test == (f"file:{tmp_path}/current/mine.jsonl@{own[1]}",)
    assert {cell.corpus for cell in expand(load_recipe(path))} == {"minibugs", f"mine-{own[0]}"}


def test_a_recipe_names_bad_files_beside_its_other_mistakes(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", {**ROW, "correct": ROW["buggy"]}, "3")
    with pytest.raises(RecipeError) as caught:
        load_recipe("toy", [f"corpus.test=file:{path}", "corpus.train=minibugs", "radio.cr=9"])
    found = str(caught.value).splitlines()
    assert len(found) == 3
    assert (
        f"'corpus.test' {path}, line 1: " in found[0] and "(and 1 more: python -m llm_bridge corpora check" in found[0]
    )
    assert "'corpus.train' must be among mutants, or file:PATH (got 'minibugs')" in found[1]


def test_a_pinned_corpus_is_the_one_that_was_pinned(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", ROW)
    recipe = load_recipe("toy", [f"corpus.test=file:{path}"])
    assert recipe_of(as_plain(recipe)) == recipe
    write(path, {**ROW, "docstring": "another"})
    with pytest.raises(CorpusError, match="holds another corpus than the recipe names"):
        open_workspace(recipe, tmp_path / "out", Console(quiet=True))


def test_results_go_on_where_the_file_moved_and_not_where_it_changed(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    path = write(tmp_path / "mine.jsonl", ROW)
    claim_folder(load_recipe("toy", [f"corpus.test=file:{path}"]), tmp_path / "out")
    assert str(tmp_path) not in (tmp_path / "out/recipe.json").read_text()
    path = path.rename(tmp_path / "new/mine.jsonl")
    claim_folder(load_recipe("toy", [f"corpus.test=file:{path}"]), tmp_path / "out")
    write(path, {**ROW, "docstring": "another"})
    with pytest.raises(StoreError, match="filled by another recipe"):
        claim_folder(load_recipe("toy", [f"corpus.test=file:{path}"]), tmp_path / "out")


def test_files_are_learnt_from_whole_beside_as_many_mutants_as_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", *map(json.loads, own_corpus.template().splitlines()))
    changes = [f"corpus.train=['file:{path}', 'mutants']", "corpus.train_pairs=5", "corpus.validation_pairs=2"]
    train = open_workspace(load_recipe("toy", changes), tmp_path, Console(quiet=True)).train
    assert [pair.name for pair in train[:3]] == ["mean", "clamp", "count_words"]
    assert [pair.corpus for pair in train[3:]] == ["mutants"] * 5
    changes[0] = f"corpus.train=file:{path}"
    train = open_workspace(load_recipe("toy", changes), tmp_path, Console(quiet=True)).train
    assert len(train) == 3


def leaking(tmp_path: Path, test: Sequence[dict[str, Any]], train: Sequence[dict[str, Any]]) -> str:
    paths = [write(tmp_path / f"{name}.jsonl", *rows) for name, rows in (("test", test), ("train", train))]
    console = Console(file=io.StringIO(), width=300)
    changes = [f"corpus.test=file:{paths[0]}", f"corpus.train=file:{paths[1]}", "corpus.validation_pairs=2"]
    open_workspace(load_recipe("toy", changes), tmp_path, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


OTHER = {"name": "g", "buggy": "def g():\n    return 1\n", "correct": "def g():\n    return 2\n"}


def test_a_pair_to_test_on_is_not_learnt_from(tmp_path: Path) -> None:
    assert leaking(tmp_path, [ROW], [OTHER]) == ""
    other_bug = {**ROW, "name": "h", "buggy": ROW["buggy"].replace("+", "*")}
    for learnt in ({**ROW, "name": "h"}, {**other_bug, "correct": other_bug["correct"] + "# same\n"}):
        with pytest.raises(CorpusError, match=r"holds 1 of 2 pairs of .* test-\w{8}: as 'f', which is 'h'"):
            leaking(tmp_path, [OTHER, ROW], [learnt])
    with pytest.raises(CorpusError, match=r"shares 1 groups with the test corpus .*, as 'f'"):
        leaking(tmp_path, [ROW], [{**OTHER, "group": "f"}])


def test_a_pair_under_other_names_is_warned_of(tmp_path: Path) -> None:
    renamed = {
        "name": "h",
        "buggy": "def h(z):\n    other = z * 1\n    return other\n",
        "correct": "def h(z):\n    other = z - 1\n    return other\n",
    }
    said = leaking(tmp_path, [ROW, OTHER], [renamed])
    assert "1 of 2 programs of test-" in said and "near-duplicates" in said and "'f' of 'h'" in said


def test_the_template_is_a_corpus_without_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "corpora", "template") == 0
    path = tmp_path / "mine.jsonl"
    path.write_text(capsys.readouterr().out)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        json.loads(line) for line in own_corpus.template().splitlines()
    ]
    pairs, problems = own_corpus.read(path)
    assert (len(pairs), problems) == (3, [])


def test_the_command_prints_every_problem_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "mine.jsonl", ROW, {"nam": "x", "buggy": 3}, "{", {**ROW, "name": "again"})
    assert command(monkeypatch, "corpora", "check", str(path)) == 1
    lines = capsys.readouterr().out.splitlines()
    starts = [f"PROBLEM {path}, line {number}: " for number in (2, 2, 2, 2, 3, 4)]
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=False)] == starts
    assert "did you mean 'name'?" in lines[0] and lines[-1] == "6 problems; 1 pairs are well"
    assert command(monkeypatch, "corpora", "check", str(tmp_path / "none.jsonl")) == 2
    assert "did you mean 'mine.jsonl'?" in capsys.readouterr().err


PAGE = (Path(__file__).parents[3] / "docs/how-to/own-corpus.md").read_text(encoding="utf-8")


def test_the_page_shows_every_key() -> None:
    assert own_corpus.fields_table() in PAGE


def test_the_recipe_of_the_page_is_one(tmp_path: Path) -> None:
    text = PAGE.split("```toml\n")[1].split("```")[0]
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(RecipeError, match="no corpus at"):
        load_recipe(tmp_path / "own.toml")
    write(tmp_path / "mine.jsonl", ROW)
    write(tmp_path / "to-learn-from.jsonl", OTHER)
    assert load_recipe(tmp_path / "own.toml").corpus.train[0].startswith(f"file:{tmp_path}/to-learn-from.jsonl@")


def test_the_commands_of_the_page_do_as_it_says(tmp_path: Path) -> None:
    """The first three, one after the other, as typed; the run asks for rules alone, which need no model."""
    commands = [line.strip() for line in PAGE.split("\n## ")[0].splitlines() if line.startswith("    python -m")]
    assert len(commands) == 3
    commands[2] += " --set training.methods=rules radio.sf=7 radio.snr_db=-8.0 score.bootstrap=100"
    for line in commands:
        line = line.replace("python", sys.executable, 1)
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        done = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert "mine-" in (tmp_path / "runs/mine/results.csv").read_text()


def test_the_python_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in PAGE.split("```python\n")[1:]:
        exec(block.split("```")[0], {})
    assert capsys.readouterr().out == "1 []\nRuleCount(right=0, wrong=1, ties=0)\n"


SUCCESSOR = {"buggy": "def f(x):\n    return x\n", "correct": "def f(x):\n    return x + 1\n"}
TESTS_OF_SUCCESSOR = "def test():\n    assert f(1) == 2\n"


def test_a_pytest_module_imports_a_program_by_its_name_whatever_its_function_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"name": "successor", "test_module": "from successor import f\n" + TESTS_OF_SUCCESSOR, **SUCCESSOR}
    assert command(monkeypatch, "corpora", "check", str(write(tmp_path / "mine.jsonl", row))) == 0
    assert "no problems" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"name": "token", "test_module": "from token import f\n" + TESTS_OF_SUCCESSOR}, "standard library's"),
        ({"name": "conftest", "test_module": "from conftest import f\n" + TESTS_OF_SUCCESSOR}, "pytest's"),
        ({"name": "torn", "test_module": "def test(:\n"}, "must be a Python module"),
        ({"name": "deep", "tests": [[[json.loads("[" * 200 + "]" * 200)], 2]]}, "must be plain data"),
    ],
)
def test_tests_that_cannot_be_run_are_named_before_any_work(
    row: dict[str, Any],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from llm_bridge.run import run_recipe

    good = {"name": "good", "buggy": "def g(x):\n    return x\n", "correct": "def g(x):\n    return -x\n"}
    path = write(tmp_path / "mine.jsonl", good, row | SUCCESSOR)
    assert command(monkeypatch, "corpora", "check", str(path)) == 1
    told = capsys.readouterr().out
    assert f"PROBLEM {row['name']!r}: " in told and said in told
    recipe = load_recipe("toy", [f"corpus.test=['file:{path}']", "score.tasks=['localise', 'repair']"])
    with pytest.raises(CorpusError, match=rf"'repair' cannot run the tests of mine-.*{row['name']!r}") as caught:
        run_recipe(recipe, tmp_path / "out", console=Console(quiet=True))
    assert said in str(caught.value)
    assert not list((tmp_path / "out").glob("*-*"))  # no cell
