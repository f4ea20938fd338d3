"""The normal form, the one edit, the gold lines."""

import pytest

from llm_bridge.corpora.programs import (
    Edit,
    ProgramPair,
    TestSuite,
    corpus_hash,
    line_spans,
    normalise,
    single_edit,
)


def make_pair(buggy, correct, name="p"):
    line = single_edit(buggy, correct).first
    return ProgramPair(
        name=name,
        buggy=buggy,
        correct=correct,
        docstring="",
        buggy_line=line,
        tests=TestSuite(),
        corpus="c",
        group=name,
    )


def test_normal_form_takes_out_whatever_is_not_code():
    source = (
        'X = 1\n"""spec"""\ndef f(a):\n    "doc"\n    # why\n    return (a)\n\n\ndef f(a):\n    return 2\n"""f(1)"""\n'
    )
    assert normalise(source) == "X = 1\n\ndef f(a):\n    return a\n"
    assert normalise("class A:\n    'only a docstring'\n") == "class A:\n    pass\n"
    assert normalise("if x:\n    'nothing'\nelse:\n    'nothing'\n") == "if x:\n    pass\n"
    assert normalise("") == "\n"


@pytest.mark.parametrize("source", ["f'{a!r:>{w}}'", "x = 'text'", "def f():\n    return 'doc'", "print('''a\nb''')"])
def test_normal_form_is_its_own(source):
    once = normalise(source)
    assert normalise(once) == once


def test_strings_that_are_used_stay():
    assert normalise("def f():\n    return 'doc'\n") == "def f():\n    return 'doc'\n"


def test_normalise_refuses_what_does_not_parse():
    with pytest.raises(SyntaxError):
        normalise("def f(:\n")


def test_single_edit_kinds():
    assert single_edit("a\nb\nc\n", "a\nx\nc\n") == Edit(first=2, last=2)
    assert single_edit("a\nc\n", "a\nb\nc\n") == Edit(first=2, last=1)
    assert single_edit("a\nb\nc\n", "a\nc\n") == Edit(first=2, last=2)
    with pytest.raises(ValueError, match=r"exactly one hunk of lines .got 2."):
        single_edit("a\nb\nc\n", "x\nb\ny\n")
    with pytest.raises(ValueError, match="got 0"):
        single_edit("a\n", "a\n")


def test_gold_lines_of_replaced_added_and_missing_lines():
    assert make_pair("a\nb\nc\n", "a\nx\nc\n").gold_lines == (2,)
    assert make_pair("a\nb\nc\n", "a\nc\n").gold_lines == (2,)  # a line too many is its own gold line
    assert make_pair("a\nc\n", "a\nb\nc\n").gold_lines == (1, 2)
    assert make_pair("a\n", "a\nb\n").gold_lines == (1,)  # missing at the end
    assert make_pair("a\n", "b\na\n").gold_lines == (1,)  # missing at the beginning


def test_line_spans_are_bytes():
    assert line_spans("ä\nb") == [(0, 3), (3, 4)]
    assert line_spans("") == []


def test_hash_depends_on_texts_names_and_order():
    one, two = make_pair("a\n", "b\n", "one"), make_pair("a\n", "b\n", "two")
    assert corpus_hash([one, two]) == corpus_hash([one, two])
    assert len({corpus_hash(pairs) for pairs in ([one, two], [two, one], [one], [two], [])}) == 5


def test_unknown_comparison_is_refused():
    with pytest.raises(
        ValueError, match=r"'compare' must be one of equal, list, tuples, approx_last_argument .got 'is'."
    ):
        TestSuite(compare="is")
