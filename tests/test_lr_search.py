"""The search for learning rates: where the next trial lies, and when a method's best is between two others."""

from __future__ import annotations

import importlib.util
import math
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
