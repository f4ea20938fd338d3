"""What each way of learning costs: seconds a step, tokens a second, peak memory, on the default model.

    python benchmarks/bench_methods.py --json docs/results/methods.json

Each method runs in a process of its own, so that the peak of memory is its own (the whole process: libraries, loading,
quantising, training, scoring). Steps of 8 texts of MiniBugs, then 12 texts scored; seconds are processor time of one
thread. The first step is left out: it allocates.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

from _harness import machine

METHODS = ("zero-shot", "zero-shot-nf4", "full", "lora", "qlora", "lora-cka", "qlora-cka")
COMPUTES = ("float32", "bfloat16")


def measure(model: str, method: str, compute: str, steps: int, checkpointing: bool) -> dict[str, Any]:
    """Load, train `steps` steps and score MiniBugs once; everything in this process."""
    import torch

    from llm_bridge.corpora import minibugs
    from llm_bridge.scoring.likelihood import score_texts
    from llm_bridge.training.adapters import attach
    from llm_bridge.training.examples import clean_examples
    from llm_bridge.training.fetching import versions
    from llm_bridge.training.finetune import TrainSettings, finetune
    from llm_bridge.training.methods import method_named
    from llm_bridge.training.models import load_model

    torch.set_num_threads(1)
    row = method_named(method)
    examples = clean_examples(minibugs.load())
    started = time.process_time()
    base = load_model(model, storage=row.storage, compute=compute)
    load_s = time.process_time() - started
    started = time.process_time()
    loaded = attach(base, method, texts=[example.text for example in examples[:12]])
    attach_s = time.process_time() - started
    found: dict[str, Any] = {
        "method": method,
        "compute": compute,
        "gradient_checkpointing": checkpointing,
        "num_trainable": loaded.fingerprint["num_trainable"],
        "load_s": load_s,
        "attach_s": attach_s,
        "versions": versions(),
    }
    if row.trained != "nothing":
        marks: list[float] = []
        settings = TrainSettings(
            learning_rate=row.learning_rate, steps=steps, batch_programs=8, gradient_checkpointing=checkpointing
        )
        record = finetune(loaded, examples, settings, progress=lambda done, total: marks.append(time.process_time()))
        seconds = [after - before for before, after in pairwise(marks)]
        found |= {
            "steps": steps,
            "step_s": sum(seconds) / len(seconds),
            "step_s_all": seconds,
            "train_tokens_per_s": record.tokens / steps / (sum(seconds) / len(seconds)),
        }
    started = time.process_time()
    scores = score_texts(loaded, [example.text for example in examples[:12]])
    score_s = time.process_time() - started
    found["score_tokens_per_s"] = sum(score.num_tokens for score in scores.values()) / score_s
    found["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found["peak_gpu_bytes"] = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return found


def main() -> None:
    """Measure every method in its own process, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file to write")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--compute", nargs="+", default=list(COMPUTES), choices=COMPUTES)
    parser.add_argument("--checkpointing", action="store_true", help="recompute blocks on the way back")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "COMPUTE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.model, *options.one, options.steps, options.checkpointing)))
        return
    command = [sys.executable, __file__, "--model", options.model, "--steps", str(options.steps)]
    command += ["--checkpointing"] if options.checkpointing else []
    result: dict[str, Any] = {"machine": machine(), "model": options.model, "threads": 1, "rows": []}
    print(f"{result['machine']['cpu']}, one thread, {options.model}")
    headings = f"{'method':<14} {'compute':<9} {'trained':>12} {'s/step':>7}"
    print(f"{headings} {'train tok/s':>12} {'score tok/s':>12} {'peak GB':>8}")
    for method in options.methods:
        for compute in options.compute:
            ran = subprocess.run([*command, "--one", method, compute], check=True, stdout=subprocess.PIPE, text=True)
            row = json.loads(ran.stdout.splitlines()[-1])
            result["versions"] = row.pop("versions")
            result["rows"].append(row)
            print(
                f"{method:<14} {compute:<9} {row['num_trainable']:>12,} {row.get('step_s', 0):>7.2f} "
                f"{row.get('train_tokens_per_s', 0):>12.0f} {row['score_tokens_per_s']:>12.0f} "
                f"{row['peak_rss_bytes'] / 1e9:>8.2f}",
                flush=True,
            )
            if options.json:
                with open(options.json, "w", encoding="utf-8") as file:
                    json.dump(result, file, indent=1)
                    file.write("\n")
    print("versions: " + ", ".join(f"{name} {version}" for name, version in result["versions"].items()))


if __name__ == "__main__":
    main()
