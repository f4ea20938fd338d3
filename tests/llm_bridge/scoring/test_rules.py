"""The rules that read nothing: they decide what they say they decide, through the tasks' own rows."""

from __future__ import annotations

import pytest

from llm_bridge.corpora import minibugs
from llm_bridge.scoring.detect import detect
from llm_bridge.scoring.localise import localise, rank_lines
from llm_bridge.scoring.metrics import score_cell
from llm_bridge.scoring.paired import paired
from llm_bridge.scoring.rules import LONGEST_LINE, fit_position, rule_scores
from llm_bridge.study.cells import expand, tasks_of
from llm_bridge.study.recipe_files import load_recipe
from llm_bridge.study.transmission import items_of, perfect_arrival


def test_the_rules_score_what_they_must_on_minibugs() -> None:
    pairs = minibugs.load()
    arrivals = perfect_arrival(items_of(pairs))
    position = fit_position(pairs)
    scores = rule_scores([arrival.text for arrival in arrivals], position)

    located = localise(arrivals, pairs, scores, by="nll")
    lines = [len(pair.buggy.splitlines()) for pair in pairs]
    expected = [count - position in pair.gold_lines for count, pair in zip(lines, pairs, strict=True)]
    assert [row["correct"] for row in located] == expected
    everywhere = [
        sum(n - k in pair.gold_lines for n, pair in zip(lines, pairs, strict=True)) for k in range(max(lines))
    ]
    assert sum(expected) == max(everywhere)

    compared = paired(arrivals, pairs, scores)
    assert [row["correct"] for row in compared] == [row["longer"] is True for row in compared]

    judged = detect(arrivals, pairs, scores, threshold=0.0)
    assert all(row["decision"] == "buggy" for row in judged)
    assert score_cell(judged)["f1"] == pytest.approx(2 / 3)
    assert score_cell(judged)["mcc"] == 0


def test_damage_does_not_raise() -> None:
    for text in ("", "\ufffd", "\n\n", "x" * 5000):
        (scores,) = rule_scores([text], 3).values()
        assert len(scores.line_nll) == len(text.splitlines())
    assert fit_position([]) == 0


def test_the_longest_line_that_is_no_header_is_named() -> None:
    """Lengths by eye: the header is the longest line of the first text, a joined line that of the second."""
    named = {
        "def a_very_long_name_of_a_function(argument):\n    x = argument + 1\n    return x\n": 2,
        "def f(a):\n    b = a\n    if a > b\ufffdturn b\n    return a\n": 3,
        "import aaaaaaaaaaaaaaaaaaaaaaaa\nclass Bbbbbbbbbbbbbbbbbbb:\n    c = 1\n": 3,
        "def f(a):\n": 1,
        "\ufffd": None,
    }
    for text, line in named.items():
        (scores,) = rule_scores([text], 0, method=LONGEST_LINE).values()
        order = rank_lines(text, scores, by="nll")
        assert (order[0] + 1 if order else None) == line, text


def test_a_rule_is_run_where_it_answers_and_nowhere_else() -> None:
    recipe = load_recipe(
        "toy", ["training.methods=['rules', 'rule-longest-line']", "score.tasks=['localise', 'paired']"]
    )
    tasks = {cell.method: tasks_of(cell, recipe) for cell in expand(recipe)}
    assert tasks == {"rules": ("localise", "paired"), "rule-longest-line": ("localise",)}
    only_pairs = load_recipe("toy", ["training.methods=['rules', 'rule-longest-line']", "score.tasks=['paired']"])
    assert {cell.method for cell in expand(only_pairs)} == {"rules"}
