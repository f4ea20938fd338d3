"""Contexts: comments before the text, the same for both versions, and nothing in them that tells the bug."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_bridge.corpora import frozen_mutants, minibugs, quixbugs
from llm_bridge.corpora.contexts import CONTEXTS, MAX_CASES, context_of, holds_fix, in_context, parts_of, shown_cases
from llm_bridge.corpora.programs import ProgramPair, TestSuite

JSONL = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "quixbugs.jsonl"
WHOLE = "specification+tests"


def corpus(name: str) -> list[ProgramPair]:
    if name == "quixbugs":
        if not JSONL.is_file():
            pytest.skip("QuixBugs is not beside the repository (shared/data/quixbugs.jsonl)")
        return quixbugs.load(JSONL)
    return minibugs.load() if name == "minibugs" else frozen_mutants.load(name)


@pytest.mark.parametrize("name", ["minibugs", "quixbugs", "test", "validation"])
def test_no_context_holds_the_line_that_the_fix_puts_in(name: str) -> None:
    pairs = corpus(name)
    assert [pair.name for pair in pairs if holds_fix(pair, WHOLE)] == []
    told = [replace(pair, docstring=f"{pair.docstring}\n\n{pair.correct}") for pair in pairs]
    bare = [[set(map(str.strip, text.split("\n"))) for text in (pair.correct, pair.buggy)] for pair in pairs]
    assert [holds_fix(pair, "specification") for pair in told] == [not correct <= buggy for correct, buggy in bare]


def test_every_program_has_a_specification_and_those_with_cases_have_tests() -> None:
    """Nine programs of QuixBugs are tested by a module, which is code and is not shown, and one by long texts alone."""
    pairs = corpus("quixbugs")
    assert sum(bool(context_of(pair, "specification")) for pair in pairs) == 40
    assert sum(context_of(pair, WHOLE) != context_of(pair, "specification") for pair in pairs) == 40 - 9 - 1
    mini = minibugs.load()
    assert all(len(shown_cases(pair)) == MAX_CASES for pair in mini)
    assert sum(bool(pair.docstring) for pair in frozen_mutants.load("test")) == 359  # of 548, Python 3.11.7


def test_cases_are_calls_with_their_results() -> None:
    for pair in minibugs.load():
        for line, (arguments, expected) in zip(shown_cases(pair), pair.tests.cases, strict=False):
            call, _, result = line.rpartition(" -> ")
            node = ast.parse(call, mode="eval").body
            assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            assert node.func.id in pair.correct
            if pair.name != "items_to_discard":  # one of whose first cases is too long
                assert [ast.literal_eval(value) for value in node.args] == list(arguments)
                assert ast.literal_eval(result) == expected


@given(docstring=st.text(max_size=200))
def test_whatever_a_docstring_holds_python_reads_the_same_program(docstring: str) -> None:
    pair = replace(minibugs.load()[0], docstring=docstring.replace("\0", ""))
    for kind in CONTEXTS:
        context = context_of(pair, kind)
        assert all(line.startswith("#") for line in context.split("\n")[:-1]) and context[-1:] in ("", "\n")
        assert "\r" not in context and "\f" not in context.replace("\\f", "")
        if docstring.isprintable():
            assert ast.dump(ast.parse(context + pair.buggy)) == ast.dump(ast.parse(pair.buggy))


def test_nothing_known_is_no_context() -> None:
    bare = replace(minibugs.load()[0], docstring=" \n", tests=TestSuite())
    assert [context_of(bare, kind) for kind in CONTEXTS] == ["", "", ""]
    assert context_of(minibugs.load()[0], "none") == ""
    assert in_context("a\n", "") == "a\n" and parts_of("a\n") == ("", "a\n")
    assert parts_of(in_context("a\n", "# b\n")) == ("# b\n", "a\n")
    with pytest.raises(ValueError, match=r"'kind' must be one of none, specification, .* \(got 'tests'\)"):
        context_of(bare, "tests")
