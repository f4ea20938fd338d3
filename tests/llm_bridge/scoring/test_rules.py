"""The rules that read nothing: they decide what they say they decide, through the tasks' own rows."""

from __future__ import annotations

import pytest

from llm_bridge.corpora import minibugs
from llm_bridge.scoring.detect import detect
from llm_bridge.scoring.localise import localise
from llm_bridge.scoring.metrics import score_cell
from llm_bridge.scoring.paired import paired
from llm_bridge.scoring.rules import fit_position, rule_scores
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
