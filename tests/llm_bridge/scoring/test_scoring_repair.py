"""Candidate fixes: what is asked, what is put where, what is called plausible."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch

from llm_bridge.corpora.programs import ProgramPair, TestSuite
from llm_bridge.scoring.metrics import measures, score_cell
from llm_bridge.scoring.repair import (
    GenerationSettings,
    entry_point,
    evaluate_candidates,
    first_function,
    generate_repairs,
    line_prompt,
    put_line,
    repair,
)
from llm_bridge.training.models import LoadedModel, load_model
from llm_bridge.transport.link import Damage, Item, ReceivedItem

BUGGY = "def add(x, y):\n    z = x - y\n    return z\n"
CORRECT = "def add(x, y):\n    z = x + y\n    return z\n"
PAIR = ProgramPair(
    name="add",
    buggy=BUGGY,
    correct=CORRECT,
    docstring="",
    buggy_line=2,
    tests=TestSuite(cases=(((1, 2), 3), ((0, 0), 0))),
    corpus="toy",
    group="add",
)


@pytest.fixture(scope="module")
def toy() -> LoadedModel:
    torch.set_num_threads(1)
    return load_model("toy")


@dataclass
class Verdict:
    verdict: str


def run_here(source: str, name: str, tests: TestSuite) -> Verdict:
    """A stand-in for the sandbox, for the harmless programs of this file."""
    space: dict[str, object] = {}
    exec(source, space)
    right = all(space[name](*arguments) == expected for arguments, expected in tests.cases)
    return Verdict("pass" if right else "fail")


def arrive(text: str = BUGGY, *, delivered: bool = True) -> ReceivedItem:
    return ReceivedItem(
        item=Item(corpus="toy", program="add", version="buggy", text=BUGGY),
        text=text if delivered else "",
        erasures=(),
        line_spans=(),
        delivered=delivered,
        intact=delivered and text == BUGGY,
        damage=Damage(bytes_sent=1, byte_errors=0, symbol_errors=0, fragments_sent=1, fragments_lost=0, airtime_s=0.1),
    )


def test_a_line_candidate_differs_in_that_line_alone(toy: LoadedModel) -> None:
    settings = GenerationSettings(what="line", num_candidates=4, max_new_tokens=12)
    candidates = generate_repairs(toy, {BUGGY: 1}, settings)[BUGGY]
    assert len(candidates) == 4
    for candidate in candidates:
        rows = candidate.split("\n")
        assert rows[0] == "def add(x, y):" and rows[-2:] == ["    return z", ""]
        assert rows[1].startswith("    ")


def test_a_program_candidate_begins_like_the_received_one(toy: LoadedModel) -> None:
    settings = GenerationSettings(what="program", max_new_tokens=20)
    (candidate,) = generate_repairs(toy, {BUGGY: None}, settings)[BUGGY]
    assert candidate.startswith("def add(") and candidate.endswith("\n")


def test_candidates_depend_on_seed_and_text_alone(toy: LoadedModel) -> None:
    settings = GenerationSettings(what="line", num_candidates=3, max_new_tokens=10)
    torch.manual_seed(1)
    first = generate_repairs(toy, {BUGGY: 1}, settings)[BUGGY]
    state = torch.get_rng_state()
    again = generate_repairs(toy, {CORRECT: 1, BUGGY: 1}, settings)[BUGGY]
    assert first == again
    assert torch.equal(torch.get_rng_state(), state)
    other = generate_repairs(toy, {BUGGY: 1}, replace(settings, seed=1))
    assert other[BUGGY][0] == first[0] and other[BUGGY][1:] != first[1:]


@pytest.mark.parametrize("text", ["", "\ufffd", "\n\n", "x" * 5000, "def \ufffd(x):\n  \x00\n"])
@pytest.mark.parametrize("what", ["line", "program"])
def test_damaged_text_never_raises(toy: LoadedModel, text: str, what: str) -> None:
    settings = GenerationSettings(what=what, max_new_tokens=4)
    assert len(generate_repairs(toy, {text: 0 if text.strip() else None}, settings)[text]) == 1


def test_without_a_suspicious_line_the_candidate_is_the_text(toy: LoadedModel) -> None:
    assert generate_repairs(toy, {BUGGY: None}, GenerationSettings(what="line"))[BUGGY] == (BUGGY,)


def test_greedy_generation_with_the_cache_is_the_model_asked_again_and_again(toy: LoadedModel) -> None:
    (candidate,) = generate_repairs(toy, {BUGGY: 1}, GenerationSettings(what="line", max_new_tokens=8))[BUGGY]
    prompt, indent = line_prompt(BUGGY, 1)
    ids = [256, *prompt.encode()]
    written: list[int] = []
    with torch.inference_mode():
        for _ in range(8):
            written.append(int(toy.model(torch.tensor([ids + written])).logits[0, -1].argmax()))
            if b"\n" in bytes(token for token in written if token < 256).lstrip():
                break
    text = toy.tokenizer.decode(written, skip_special_tokens=True)
    assert candidate == put_line(BUGGY, 1, indent + text)


def test_the_end_of_the_first_function_is_found() -> None:
    assert first_function("def f():\n    return 1\n\n\ndef g():\n    pass\n") == "def f():\n    return 1\n"
    assert first_function("") == "\n"


def test_plausible_is_passing_every_test_and_equal_candidates_run_once() -> None:
    calls: list[str] = []

    def counting(source: str, name: str, tests: TestSuite) -> Verdict:
        calls.append(source)
        return run_here(source, name, tests)

    broken = "def add(x, y:\n"
    assert evaluate_candidates((BUGGY, CORRECT, CORRECT, broken, "x = '\ufffd'\n"), PAIR, run=counting) == (
        False, True, True, False, False,
    )  # fmt: skip
    assert calls == [BUGGY, CORRECT], "what does not parse is not run"


def test_where_programs_are_not_run_there_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_bridge.scoring import sandbox

    monkeypatch.setattr(sandbox, "isolation_level", lambda: "rlimits")
    known: dict[str, bool] = {}
    with pytest.raises(sandbox.IsolationError, match="nothing shuts them in"):
        evaluate_candidates((CORRECT,), PAIR, known=known)
    with pytest.raises(sandbox.IsolationError):
        evaluate_candidates((CORRECT,), PAIR, run=lambda *_: SimpleNamespace(verdict="refused"), known=known)
    assert known == {}


def test_judging_uses_the_sandbox_by_default() -> None:
    pytest.importorskip("llm_bridge.scoring.sandbox")
    assert evaluate_candidates((CORRECT, BUGGY), PAIR) == (True, False)


def test_repair_rows_count_candidates_and_stand_under_the_metrics() -> None:
    rows = repair([arrive()], [PAIR], {BUGGY: (BUGGY, CORRECT, CORRECT)}, run=run_here)
    (row,) = rows
    assert (row["num_candidates"], row["num_plausible"], row["correct"], row["copy_plausible"]) == (3, 2, False, False)
    assert row["decision"] == "not plausible" and row["score"] == pytest.approx(2 / 3)
    assert row["edit_token_f1"] == 0.0, "the greedy candidate changed nothing"
    found = measures(rows)
    assert found["plausible@1"].value == pytest.approx(2 / 3) and "plausible@5" not in found
    scored = score_cell(rows)
    assert scored["n"] == 1 and scored["baseline"] == 0.0 and scored["f1"] is None
    (greedy,) = repair([arrive()], [PAIR], {BUGGY: (CORRECT,)}, run=run_here)
    assert greedy["correct"] and greedy["decision"] == "plausible" and greedy["edit_token_f1"] == 1.0
    assert measures([greedy])["edit_token_f1"].value == 1.0


def test_an_undelivered_program_is_not_plausible_and_one_without_tests_is_left_out() -> None:
    (row,) = repair([arrive(delivered=False)], [PAIR], {}, run=run_here)
    assert (row["correct"], row["num_plausible"], row["num_candidates"], row["score"]) == (False, 0, 1, None)
    untested = ProgramPair(**{**vars(PAIR), "tests": TestSuite()})
    assert repair([arrive()], [untested], {}) == []


def test_the_entry_point_is_the_programs_name_where_it_defines_it() -> None:
    assert entry_point(PAIR) == "add"
    named = ProgramPair(**{**vars(PAIR), "name": "module.add@1"})
    assert entry_point(named) == "add"


@pytest.mark.parametrize(
    ("field", "value"), [("what", "all"), ("num_candidates", 0), ("max_lines", 0), ("temperature", 0.0), ("top_p", 0.0)]
)
def test_bad_settings_are_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"'{field}'"):
        GenerationSettings(**{field: value})
