"""A study's folder, made small enough for a repository: tables, every decision, provenance; no text of any program.

python benchmarks/publish.py RUN docs/results/NAME [--report]

results.csv        as in the run: a row for each cell and task
summary.json       a row for each link, method, corpus and task, pooled over seeds; intervals over programs
items.jsonl.gz     every decision
recipe.json        the recipe as it was resolved
provenance.json    versions, machine, hashes; for each model its fingerprint, its training time and peak memory
report.html        with --report (it shows one program before and after the link: never of QuixBugs)
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from llm_bridge.link import FIELDS
from llm_bridge.report import Point, Study, load_study
from llm_bridge.scoring.metrics import measures

ALREADY_THERE = ("coverage", "intact")
LOCAL_PATH = re.compile(r'"(?:/(?:home|root|tmp|work|Users|var|mnt)/[^"]*)"')


def summary_row(study: Study, point: Point) -> dict[str, Any]:
    """One point as plain values: ``[value, low, high]`` where there is an interval."""
    row: dict[str, Any] = {"corpus": point.corpus, "task": point.task, "method": point.method}
    link = {} if point.link is None else point.link.columns()
    row |= {name: link[name] for name in FIELDS if link.get(name) is not None}
    row |= {"corrupted_split": point.corrupted_split, "programs": point.num_programs, "items": len(point.items)}
    row |= {"train_seeds": len(point.train_seeds), "channel_seeds": len(point.channel_seeds)}
    row |= {"share_intact": round(point.share_intact, 4), "baseline": point.baseline}
    for name, found in measures(rows_of(study, point)).items():
        if name not in ALREADY_THERE:
            row[name] = [round(value, 4) for value in (found.value, found.low, found.high)]
    return row


def rows_of(study: Study, point: Point) -> list[Any]:
    """The item rows behind a point."""
    return [row for cell in study.cells if cell.name in point.runs for row in cell.items if row["task"] == point.task]


def learner_records(study: Study) -> dict[str, Any]:
    """Fingerprint and training of each model, by method and seed; losses are left out."""
    records = {}
    for cell in study.cells:
        seed = cell.config.get("train_seed")
        name = cell.config["method"] + ("" if seed is None else f" seed {seed}")
        if cell.config["corrupted_split"] in ("train", "both"):
            name += f", trained over SF{cell.config['sf']} (channel seed {cell.config['channel_seed']})"
        learner = cell.provenance.get("learner") or {}
        if learner and name not in records:
            training = {k: v for k, v in (learner.get("training") or {}).items() if k != "validation"}
            if "losses" in training:
                training["losses"] = [round(loss, 4) for loss in training["losses"]]
            records[name] = {"fingerprint": learner.get("fingerprint"), "training": training or None}
    return dict(sorted(records.items()))


def publish(run: Path, target: Path, *, report: bool) -> None:
    """Write the files, or none of them where one would hold a path of this machine."""
    study = load_study(run)
    origins = [cell.provenance for cell in study.cells]
    shared = {
        k: v for k, v in origins[0].items() if k not in ("learner", "seeds") and all(o.get(k) == v for o in origins)
    }
    texts = {
        "results.csv": (run / "results.csv").read_text(encoding="utf-8"),
        "recipe.json": (run / "recipe.json").read_text(encoding="utf-8"),
        "provenance.json": _json({"study": shared, "learners": learner_records(study)}),
        "summary.json": "[\n" + ",\n".join(json.dumps(summary_row(study, p)) for p in study.points) + "\n]\n",
    }
    items = (run / "items.jsonl").read_text(encoding="utf-8")
    found = LOCAL_PATH.search("".join([*texts.values(), items]))
    if found:
        sys.exit(f"{run}: holds the local path {found[0]}; run from the folder of the files, with relative paths")
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (target / name).write_text(text, encoding="utf-8")
    with (target / "items.jsonl.gz").open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        file.write(items.encode())
    if report:
        shutil.copyfile(run / "report.html", target / "report.html")
    print(f"{target}: {len(study.cells)} cells, {items.count(chr(10))} decisions")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("target", type=Path, help="folder in the repository")
    parser.add_argument("--report", action="store_true", help="the report page too")
    arguments = parser.parse_args()
    publish(arguments.run, arguments.target, report=arguments.report)
