"""Learning rate of each method on the clean link, with equal trials: the values of `methods.METHODS`.

    OMP_NUM_THREADS=1 python benchmarks/lr_search.py --compute bfloat16 --out docs/results/lr_search.json

Each trial trains the default model on the same clean mutants (train split, default objectives) and is judged on the
same programs of mutants-validation by the loss it was trained with; Top-1 of the buggy ones stands beside it, and for
reference that of the untrained model by summed likelihood and by chance. One seed: the search says which rate to take,
not how good the method is. Trials that are in the output file already are not run again. `peak_rss_gb` is the process'
highest so far: of a method that follows a larger one it says nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm_bridge.corpora import mutants
from llm_bridge.corpora.programs import ProgramPair, corpus_hash
from llm_bridge.training.methods import METHODS

GRID = {
    "lora": (1e-3, 2.5e-3, 6e-3),
    "qlora": (1e-3, 2.5e-3, 6e-3),
    "full": (2.5e-5, 6e-5, 1.5e-4),
}
ORDER = (1, 2, 0)  # the middle first: a search that is cut short has seen the likelier values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/results/lr_search.json"))
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--methods", nargs="+", default=list(GRID))
    parser.add_argument("--compute", default=None, help="float32, bfloat16 or auto: see llm_bridge.training.precision")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--batch-programs", type=int, default=12)
    parser.add_argument("--train-pairs", type=int, default=160)
    parser.add_argument("--validation-pairs", type=int, default=40)
    parser.add_argument("--max-chars", type=int, default=180, help="longest program, to bound the time")
    parser.add_argument("--schedule", default="cosine")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    train = _short(mutants.load("train"), options.max_chars, options.train_pairs)
    validation = _short(mutants.load("validation"), options.max_chars, options.validation_pairs)
    setting = {key: value for key, value in vars(options).items() if key not in ("out", "methods")}
    setting |= {"train_hash": corpus_hash(train), "validation_hash": corpus_hash(validation)}
    known = json.loads(options.out.read_text()) if options.out.exists() else {}
    if known and known["setting"] != setting:
        raise SystemExit(f"{options.out} holds trials of another setting or corpus; name another file with --out")
    result: dict[str, Any] = known or {"setting": setting, "trials": []}
    result["python"] = platform.python_version()
    result["chance_top1"] = float(np.mean([len(p.gold_lines) / len(p.buggy.splitlines()) for p in validation]))
    result.setdefault("baseline", {})
    for storage in sorted({METHODS[method].storage for method in options.methods}):
        if storage not in result["baseline"]:
            result["baseline"][storage] = untrained(storage, validation, options)
    for rank in ORDER:
        for method in options.methods:
            rate = GRID[method][rank]
            if any(trial["method"] == method and trial["learning_rate"] == rate for trial in result["trials"]):
                continue
            trial = run_trial(method, rate, train, validation, options)
            result["trials"].append(trial)
            result["best"] = {
                name: min(rows, key=lambda row: row["validation_loss"])["learning_rate"]
                for name in GRID
                if (rows := [row for row in result["trials"] if row["method"] == name])
            }
            _write(options.out, result)
            print(json.dumps(trial), flush=True)


def run_trial(
    method: str,
    rate: float,
    train: Sequence[ProgramPair],
    validation: Sequence[ProgramPair],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Train once, and judge on the validation programs."""
    from llm_bridge.scoring.likelihood import score_texts
    from llm_bridge.training.adapters import attach
    from llm_bridge.training.examples import clean_examples
    from llm_bridge.training.finetune import TrainSettings, finetune
    from llm_bridge.training.methods import AdapterSettings
    from llm_bridge.training.models import load_model

    base = load_model(options.model, storage=METHODS[method].storage, compute=options.compute)
    loaded = attach(base, method, AdapterSettings(seed=options.seed))
    settings = TrainSettings(
        learning_rate=rate,
        steps=options.steps,
        batch_programs=options.batch_programs,
        schedule=options.schedule,
        eval_every=options.steps,
        seed=options.seed,
    )
    started = time.process_time()
    record = finetune(loaded, clean_examples(train), settings, validation=clean_examples(validation))
    scores = score_texts(loaded, [text for pair in validation for text in (pair.buggy, pair.correct)])
    found = [scores[pair.buggy].mean_nll > scores[pair.correct].mean_nll for pair in validation]
    return {
        "method": method,
        "learning_rate": rate,
        "status": record.status,
        "validation_loss": record.validation[-1][1] if record.validation else float("inf"),
        "top1_by_verdict": top1(validation, scores, by="verdict"),
        "paired_by_mean_nll": float(np.mean(found)),
        "n": len(validation),
        "train_loss_last_10": float(np.mean(record.losses[-10:])),
        "cpu_s": round(time.process_time() - started, 1),
        "cpu_s_per_step": round(record.cpu_s / max(1, record.steps), 2),
        "wall_s_per_step": round(record.wall_s / max(1, record.steps), 2),
        "tokens_per_step": round(record.tokens / max(1, record.steps), 1),
        "peak_rss_gb": round(record.peak_rss_bytes / 1e9, 2),
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")),
    }


def untrained(storage: str, validation: Sequence[ProgramPair], options: argparse.Namespace) -> dict[str, Any]:
    """The base without training: Top-1 by summed likelihood, and what it is."""
    from llm_bridge.scoring.likelihood import score_texts
    from llm_bridge.training.models import load_model

    base = load_model(options.model, storage=storage, compute=options.compute)
    scores = score_texts(base, [pair.buggy for pair in validation])
    return {"top1_by_nll": top1(validation, scores, by="nll"), "fingerprint": base.fingerprint}


def top1(pairs: Sequence[ProgramPair], scores: Any, *, by: str) -> float:
    """Share of buggy programs whose most suspicious line is a gold line."""
    from llm_bridge.scoring.localise import rank_lines

    return float(np.mean([rank_lines(p.buggy, scores[p.buggy], by=by)[0] + 1 in p.gold_lines for p in pairs]))


def _short(pairs: Sequence[ProgramPair], max_chars: int, count: int) -> list[ProgramPair]:
    return [pair for pair in pairs if max(len(pair.buggy), len(pair.correct)) <= max_chars][:count]


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
