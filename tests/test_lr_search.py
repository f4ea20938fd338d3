"""The search for learning rates: where the next trial lies, and when a method's best is between two others."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "lr_search.py"


def module() -> Any:
    spec = importlib.util.spec_from_file_location("lr_search_benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


lr_search = module()


def search(losses: dict[str, Callable[[float], float | None]], first: float, most: int) -> list[dict[str, Any]]:
    """All trials of a search whose losses are known in closed form."""
    trials: list[dict[str, Any]] = []
    start = dict.fromkeys(losses, first)
    while wanted := lr_search.next_trials(trials, start, most=most):
        trials += [
            {"method": name, "learning_rate": rate, "validation_loss": losses[name](rate)} for name, rate in wanted
        ]
    return trials


def bowl(best: float) -> Callable[[float], float]:
    return lambda rate: math.log(rate / best) ** 2


def test_three_trials_are_enough_where_the_first_rate_is_the_best() -> None:
    trials = search({"lora": bowl(1e-3), "full": bowl(1.2e-3)}, 1e-3, 9)
    assert [trial["learning_rate"] for trial in trials if trial["method"] == "lora"] == pytest.approx(
        [1e-3, 3e-3, 1e-3 / 3]
    )
    assert lr_search.summary(trials)["full"] == {"best": 1e-3, "trials": 3, "bracketed": True}


@pytest.mark.parametrize("best", [1e-5, 1e-1])
def test_a_best_at_an_edge_is_followed_until_it_is_bracketed_and_others_get_as_many_trials(best: float) -> None:
    trials = search({"lora": bowl(best), "full": bowl(1e-3)}, 1e-3, 20)
    rows = lr_search.summary(trials)
    assert rows["lora"]["bracketed"] and rows["full"]["bracketed"]
    assert rows["lora"]["trials"] == rows["full"]["trials"] > 5
    assert abs(math.log(rows["lora"]["best"] / best)) <= math.log(3) / 2 + 1e-9, "the nearest of a grid of three"
    assert rows["full"]["best"] == 1e-3


def test_the_number_of_trials_bounds_a_search_and_the_edge_is_said() -> None:
    trials = search({"lora": bowl(1e3)}, 1e-3, 4)
    assert lr_search.summary(trials)["lora"] == {"best": pytest.approx(9e-3), "trials": 4, "bracketed": False}


def test_a_diverged_trial_is_the_worst() -> None:
    trials = search({"full": lambda rate: None if rate > 2e-3 else bowl(1e-3)(rate)}, 1e-3, 5)
    assert lr_search.summary(trials)["full"] == {"best": 1e-3, "trials": 3, "bracketed": True}


@pytest.mark.parametrize(
    "losses", [[None, None, None], [2.0, 2.0, None], [math.nan, 1.0, 2.0], [1.0, 1.0, 1.0]], ids=str
)
def test_no_evidence_is_no_bracket(losses: list[float | None]) -> None:
    """Diverged trials, ties, and a loss that is no number at the middle rate."""
    trials = [
        {"method": "full", "learning_rate": rate, "validation_loss": loss}
        for rate, loss in zip((1e-3, 3e-3, 1e-3 / 3), losses, strict=True)
    ]
    row = lr_search.summary(trials)["full"]
    assert not row["bracketed"] and (row["best"] is None) == (losses[0] is None)
    assert lr_search.next_trials(trials, {"full": 1e-3}, most=5), "it goes on"
    if losses[0] is not None and math.isnan(losses[0]):
        assert row["best"] == 3e-3


def test_a_search_trains_the_recipes_methods_and_takes_itself_up(tmp_path: Path) -> None:
    out = tmp_path / "new" / "search.json"
    command = [sys.executable, str(SCRIPT), "toy", "--methods", "qlora", "--trials", "3", "--out", str(out)]
    command += ["--set", "training.steps=2", "--set", "training.objectives={line=1.0,distil=1.0}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert [trial["learning_rate"] for trial in found["trials"]] == pytest.approx([5e-3, 15e-3, 5e-3 / 3])
    assert all(trial["validation_loss"] > 0 and 0 <= trial["top1"] <= 1 for trial in found["trials"])
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and json.loads(out.read_text())["trials"] == found["trials"]
    other = subprocess.run([*command, "--set", "training.steps=3"], capture_output=True, text=True)
    assert other.returncode == 1 and "another setting or corpus" in other.stderr
    empty = subprocess.run([*command, "--set", "corpus.validation_pairs=0"], capture_output=True, text=True)
    assert empty.returncode == 1 and "'corpus.validation_pairs' must be at least 1" in empty.stderr
