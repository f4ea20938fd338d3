"""The key ``score.context`` in a study: whose scores it changes, what says so, and what is never pooled."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from llm_bridge.corpora import minibugs
from llm_bridge.corpora.contexts import InContext, context_of
from llm_bridge.report import load_study
from llm_bridge.report.page import render_page
from llm_bridge.run import run_recipe
from llm_bridge.scoring.text_scores import TextScores
from llm_bridge.study.cells import Cell
from llm_bridge.study.recipe import RecipeError
from llm_bridge.study.recipe_files import load_recipe
from llm_bridge.study.rows import cell_rows, texts_needed
from llm_bridge.transport.items import Damage, Item, ReceivedItem

SMALL = [
    "radio.sf=7",
    "radio.snr_db=inf",
    "corpus.limit=4",
    "corpus.train_pairs=6",
    "corpus.validation_pairs=4",
    "training.steps=2",
    "training.methods=['rules', 'zero-shot', 'full']",
    "score.bootstrap=100",
]


def run(out: Path, *overrides: str) -> str:
    console = Console(record=True, width=200, quiet=False, file=(out.parent / "console.txt").open("w"))
    run_recipe(load_recipe("toy", [*SMALL, *overrides]), out, console=console)
    return console.export_text()


def cells(out: Path) -> dict[str, Path]:
    found = (path.parent for path in out.glob("*/result.json"))
    return {json.loads((folder / "config.json").read_text())["method"]: folder for folder in found}


def scores(folder: Path) -> list[tuple[str, str, float]]:
    rows = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    return [(row["task"], row["program"], row["score"]) for row in rows]


def test_a_context_changes_what_models_say_and_not_what_rules_say(tmp_path: Path) -> None:
    said = run(tmp_path / "known", "score.context=specification+tests")
    run(tmp_path / "plain")
    known, plain = cells(tmp_path / "known"), cells(tmp_path / "plain")
    assert "known at the receiver of 4 minibugs: a specification of 4, tests of 4" in said
    assert "known at the receiver of 6 mutants-train: a specification of " in said
    assert known["rules"].name == plain["rules"].name and scores(known["rules"]) == scores(plain["rules"])
    for method in ("zero-shot", "full"):
        assert known[method].name != plain[method].name
        assert all(a[:2] == b[:2] for a, b in zip(scores(known[method]), scores(plain[method]), strict=True))
        assert scores(known[method]) != scores(plain[method])
        origin = json.loads((known[method] / "provenance.json").read_text())
        assert origin["contexts"]["minibugs"] == {"programs": 4, "specification": 4, "tests": 4}
        result, items = ((known[method] / name).read_text() for name in ("result.json", "items.jsonl"))
        assert {row["context"] for row in json.loads(result)["rows"]} == {"specification+tests"}
        assert all(json.loads(line)["context"] == "specification+tests" for line in items.splitlines())
        assert "context" not in (plain[method] / "items.jsonl").read_text()
        assert "context" not in (plain[method] / "config.json").read_text()
    origins = [json.loads((found["full"] / "provenance.json").read_text()) for found in (known, plain)]
    assert len({origin["learner"]["training"]["run_hash"] for origin in origins}) == 2

    page = render_page(load_study(tmp_path / "known"))
    assert "Known beside what arrived" in page and "its specification and first tests" in page
    assert "Known beside what arrived" not in render_page(load_study(tmp_path / "plain"))
    mixed = tmp_path / "mixed"
    shutil.copytree(tmp_path / "plain", mixed)
    shutil.copytree(known["zero-shot"], mixed / known["zero-shot"].name)
    points = [p for p in load_study(mixed).points if p.method.startswith("zero-shot") and p.task == "paired"]
    assert sorted(p.method for p in points) == ["zero-shot@none", "zero-shot@specification+tests"]
    assert {p.num_programs for p in points} == {4} and {len(p.items) for p in points} == {4}


def test_equal_texts_of_two_programs_are_scored_in_the_context_of_each() -> None:
    """Of both programs nothing but the same line arrived; what is known of them differs."""
    pairs = minibugs.load()[:2]
    none = Damage(bytes_sent=0, byte_errors=0, symbol_errors=0, fragments_sent=0, fragments_lost=0, airtime_s=0.0)
    received = [
        ReceivedItem(
            item=Item(corpus="minibugs", program=pair.name, version=version, text=text), text="return x\n",
            erasures=((9, len(text)),), line_spans=((0, 9),), delivered=True, intact=False, damage=none,
        )
        for pair in pairs
        for version, text in (("buggy", pair.buggy), ("correct", pair.correct))
    ]  # fmt: skip
    needed = texts_needed(("localise", "paired"), received, [], pairs=pairs, context="specification")
    contexts = [context_of(pair, "specification") for pair in pairs]
    assert {reading for reading in needed if isinstance(reading, InContext) and reading.text == "return x\n"} == {
        InContext(context, "return x\n") for context in contexts
    }
    assert len(set(contexts)) == 2 and all(isinstance(reading, InContext) for reading in needed)
    found = {
        reading: TextScores(
            num_tokens=3, sum_nll=float(number), mean_nll=number / 3, line_nll=(float(number),), line_verdict=(0.0,),
            none_verdict=0.0, program_verdict=0.0,
        )
        for number, reading in enumerate(dict.fromkeys(needed), start=1)
    }  # fmt: skip
    cell = Cell(corpus="minibugs", method="zero-shot", train_seed=None, corrupted_split="none")
    rows = cell_rows("cell", cell, ("localise", "paired"), pairs, received, found, [], context="specification")
    expected = [found[InContext(context, "return x\n")].line_nll[0] for context in contexts]
    assert [row["program"] for row in rows["localise"]] == [pair.name for pair in pairs]
    assert [row["score"] for row in rows["localise"]] == expected and expected[0] != expected[1]
    assert [row["program"] for row in rows["paired"]] == [pair.name for pair in pairs]


def test_a_context_that_does_not_fit_and_a_misspelt_one_are_refused_before_any_work(tmp_path: Path) -> None:
    bound = r"'score\.context' = 'specification': \w+ of minibugs with its context must have at most 300 tokens, "
    with pytest.raises(RecipeError, match=rf"{bound}'training\.max_tokens' or .* \(got 3\d\d\)"):
        run(tmp_path / "long", "score.context=specification", "training.max_tokens=300")
    assert not (tmp_path / "long" / "cache" / "links").exists()
    with pytest.raises(RecipeError, match=r"'score\.context' must be among none, specification, specification\+tests"):
        load_recipe("toy", ["score.context=specifications"])
    with pytest.raises(RecipeError, match=r"unknown key 'score\.contexts'.*did you mean 'context'\?"):
        load_recipe("toy", ["score.contexts=none"])
