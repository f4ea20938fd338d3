"""Learning rate of each method of a recipe, on the clean link, with equal trials and a bracket.

    OMP_NUM_THREADS=1 python benchmarks/lr_search.py fixed_snr --out lr_search.json

Each trial trains the recipe's model with the recipe's settings and first training seed, but for the rate, on its clean
training texts, and is judged on its validation mutants by the loss it was trained with; the share of them whose most
suspicious line is the wrong one (`top1`) stands beside it. Nothing is judged on a test corpus, and nothing crosses a
link.

Three rates a method come first, a factor of three apart and the recipe's in the middle. Where the best of a method is
the smallest or the largest tried, the next lies beyond it; otherwise between the best and its better neighbour. Every
method gets as many trials as every other, until all are bracketed or `--trials` are done. Trials that are in the output
file already are not run again. One seed: the search says which rate to take, not how good a method is.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_bridge.files import digest, read_json, write_json

if TYPE_CHECKING:
    from llm_bridge.study.workspace import Workspace

FACTOR = 3.0


def main() -> None:
    from rich.console import Console

    from llm_bridge.corpora.programs import corpus_hash
    from llm_bridge.study.model_runs import run_settings
    from llm_bridge.study.provenance import provenance
    from llm_bridge.study.recipe import as_plain
    from llm_bridge.study.recipe_files import load_recipe
    from llm_bridge.study.workspace import open_workspace

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a TOML file, or the name of a published recipe")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change a value")
    parser.add_argument("--methods", nargs="+", default=["lora", "qlora", "full"], help="methods of the recipe")
    parser.add_argument("--trials", type=int, default=5, help="most trials of a method, at least 3")
    parser.add_argument("--out", type=Path, default=Path("lr_search.json"))
    options = parser.parse_args()

    recipe = load_recipe(options.recipe, [*options.set, "corpus.test=['mutants']"])  # not read, and always there
    study = open_workspace(recipe, options.out.parent, Console(stderr=True))
    if not study.validation:
        raise SystemExit("'corpus.validation_pairs' must be at least 1: trials are judged on them (got 0)")
    setting: dict[str, Any] = {
        "recipe": recipe.name, "recipe_sha256": digest(as_plain(recipe), length=64), "set": sorted(options.set),
        "model": recipe.model.name, "seed": recipe.training.seeds[0],
        "train_hash": corpus_hash(study.train), "train_pairs": len(study.train),
        "validation_hash": corpus_hash(study.validation), "validation_pairs": len(study.validation),
    }  # fmt: skip
    found = read_json(options.out) if options.out.exists() else {"setting": setting, "trials": []}
    if found["setting"] != setting:
        raise SystemExit(f"{options.out} holds trials of another setting or corpus; name another file with --out")
    found["provenance"] = provenance()
    first = {
        method: float(run_settings(recipe, method, setting["seed"])["training"]["learning_rate"])
        for method in options.methods
    }
    while wanted := next_trials(found["trials"], first, most=options.trials):
        for method, rate in wanted:
            trial = run_trial(study, method, rate)
            found["trials"].append(trial)
            found["methods"] = summary(found["trials"])
            write_json(options.out, found)
            study.console.print(trial)


def next_trials(
    trials: Sequence[Mapping[str, Any]], first: Mapping[str, float], *, most: int
) -> list[tuple[str, float]]:
    """One further trial for each method that has the fewest; none where all are bracketed, or have `most`."""
    losses = {method: losses_of(trials, method) for method in first}
    fewest = min(len(tried) for tried in losses.values())
    uneven = any(len(tried) > fewest for tried in losses.values())
    if fewest >= most or (fewest >= 3 and not uneven and all(map(bracketed, losses.values()))):
        return []
    return [(method, next_rate(tried, first[method])) for method, tried in losses.items() if len(tried) == fewest]


def next_rate(tried: Mapping[float, float], first: float) -> float:
    """The rate to try next: the first three, then beyond the best where it is an edge, else beside it."""
    for rate in (first, first * FACTOR, first / FACTOR):
        if not any(math.isclose(rate, known) for known in tried):
            return rate
    rates = sorted(tried)
    place = rates.index(min(tried, key=lambda rate: tried[rate]))
    if place == 0:
        return rates[0] / FACTOR
    if place == len(rates) - 1:
        return rates[-1] * FACTOR
    neighbour = min(rates[place - 1], rates[place + 1], key=lambda rate: tried[rate])
    return math.sqrt(rates[place] * neighbour)


def bracketed(tried: Mapping[float, float]) -> bool:
    """Whether the smallest loss is a number, and lies between two rates with larger ones."""
    rates = sorted(tried)
    place = rates.index(min(rates, key=lambda rate: tried[rate]))
    if not math.isfinite(tried[rates[place]]) or not 0 < place < len(rates) - 1:
        return False
    return tried[rates[place - 1]] > tried[rates[place]] < tried[rates[place + 1]]


def losses_of(trials: Sequence[Mapping[str, Any]], method: str) -> dict[float, float]:
    """Validation loss of a method at each rate tried; infinite where training diverged, or the loss is no number."""
    found = {trial["learning_rate"]: trial["validation_loss"] for trial in trials if trial["method"] == method}
    return {rate: float(loss) if loss is not None and math.isfinite(loss) else math.inf for rate, loss in found.items()}


def summary(trials: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Best rate of each method, its number of trials, and whether the best is bracketed."""
    rows = {}
    for method in dict.fromkeys(trial["method"] for trial in trials):
        tried = losses_of(trials, method)
        best = min(tried, key=lambda rate: tried[rate])
        known = math.isfinite(tried[best])
        rows[method] = {"best": best if known else None, "trials": len(tried), "bracketed": bracketed(tried)}
    return rows


def run_trial(study: Workspace, method: str, rate: float) -> dict[str, Any]:
    """Train once, and judge on the validation programs; *distil* asks the unquantised model, as a study does."""
    from llm_bridge.scoring.likelihood import score_texts
    from llm_bridge.scoring.localise import rank_lines
    from llm_bridge.study.model_runs import base_model, run_settings
    from llm_bridge.training.adapters import attach
    from llm_bridge.training.distillation import predict
    from llm_bridge.training.examples import clean_examples
    from llm_bridge.training.finetune import TrainSettings, finetune
    from llm_bridge.training.methods import AdapterSettings, method_named

    recipe = study.recipe
    settings = run_settings(recipe, method, recipe.training.seeds[0])
    train, held_out = clean_examples(study.train), clean_examples(study.validation)
    training = TrainSettings(**{**settings["training"], "learning_rate": rate, "eval_every": recipe.training.steps})
    teacher = None
    if training.objectives.get("distil"):
        base = base_model(recipe, "full")
        readings = [row.reading for row in (*train, *held_out)]
        teacher = predict(base, readings, max_tokens=base.limit(training.max_tokens))
        del base
    loaded = attach(
        base_model(recipe, method_named(method).storage),
        method,
        AdapterSettings(**settings["adapter"]),
        texts=[example.text for example in train],
    )
    started = time.process_time()
    record = finetune(loaded, train, training, validation=held_out, teacher=teacher)
    scores = score_texts(loaded, [pair.buggy for pair in study.validation], max_tokens=recipe.training.max_tokens)
    hits = [rank_lines(p.buggy, scores[p.buggy], by="verdict")[0] + 1 in p.gold_lines for p in study.validation]
    return {
        "method": method,
        "learning_rate": rate,
        "status": record.status,
        "validation_loss": record.validation[-1][1] if record.validation else None,
        "top1": float(np.mean(hits)),
        "train_loss_last_10": float(np.mean(record.losses[-10:])),
        "cpu_s": round(time.process_time() - started, 1),
        "tokens": record.tokens,
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")),
    }


if __name__ == "__main__":
    main()
