"""A study's folder, made small enough for a repository: tables, every decision, provenance; no text of any program.

python benchmarks/publish.py RUN [RUN ...] docs/results/NAME [--report] [--cells-of docs/results/OTHER]

Several runs of one recipe (other seeds, methods or links each, a published folder among them) become one study. With
`--cells-of`, cells that their recipe names and no run holds come from another study of the same models and texts.

results.csv        as in a run: a row for each cell and task
summary.json       a row for each link, method, corpus and task, pooled over seeds; intervals over programs
items.jsonl.gz     every decision
recipe.json        the recipe as it was resolved
provenance.json    versions, machine, hashes; for each model its fingerprint, its training time, losses and peak memory
report.html        with --report (it shows one program before and after the link: never of QuixBugs)
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_bridge.files import read_json
from llm_bridge.link import FIELDS, link_columns
from llm_bridge.report import Point, Study, load_study
from llm_bridge.report.page import render_page
from llm_bridge.report.reading import CELL_COLUMNS, learner_name
from llm_bridge.report.results import results_csv
from llm_bridge.scoring.metrics import measures
from llm_bridge.study.cells import expand
from llm_bridge.study.experiment import stored_recipe
from llm_bridge.study.recipe_files import recipe_of

SEVERAL_RUNS = {"training": ("methods", "seeds"), "radio": ("channel_seeds", "sf", "policy", "corrupted_split")}
"""Lists of a recipe in which the runs of one study may differ."""
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
    """Fingerprint and training of each model, by method and seed."""
    records = {}
    for cell in study.cells:
        name = learner_name(cell.config)
        learner = cell.provenance.get("learner") or {}
        if learner and name not in records:
            training = {k: v for k, v in (learner.get("training") or {}).items() if k != "validation"}
            if "losses" in training:
                training["losses"] = [round(loss, 4) for loss in training["losses"]]
            records[name] = {"fingerprint": learner.get("fingerprint"), "training": training or None}
    return dict(sorted(records.items()))


def merged(runs: Sequence[Path]) -> tuple[Study, dict[str, Any], dict[str, Any]]:
    """The cells of all runs as one study, its recipe, and what their provenance shares.

    Raises
    ------
    SystemExit
        The recipes differ in more than seeds, methods, their learning rates and labels.
    """
    cells, recipes, origins = dict[str, Any](), [], []
    for run in runs:
        # by this version's keys: one that came later has its default in a folder from before
        recipes.append(stored_recipe(recipe_of(read_json(run / "recipe.json"))))
        found = load_study(run).cells
        cells |= {cell.name: cell for cell in found}
        published = run / "provenance.json"
        whole = [json.loads(published.read_text())["study"]] if published.exists() else [c.provenance for c in found]
        origins += whole
    recipe = recipes[0]
    for other in recipes[1:]:
        for section, names in SEVERAL_RUNS.items():
            for name in names:
                recipe[section][name] += [x for x in other[section][name] if x not in recipe[section][name]]
                if all(isinstance(value, int) for value in recipe[section][name]):
                    recipe[section][name].sort()
                other[section][name] = recipe[section][name]
        differ = [key for key in recipe if recipe[key] != other.get(key) and key not in ("name", "description")]
        if differ:
            sys.exit(f"{runs[0]} and another run were made by recipes that differ in {', '.join(differ)}")
    shared = {
        k: v for k, v in origins[0].items() if k not in ("learner", "seeds") and all(o.get(k) == v for o in origins)
    }
    return Study(directory=runs[0], cells=[cells[name] for name in sorted(cells)]), recipe, shared


def borrowed(folder: Path, recipe: dict[str, Any], cells: Sequence[Any]) -> list[Any]:
    """Cells of another study that a recipe names and that are not among `cells`.

    Raises
    ------
    SystemExit
        The two recipes differ in the model, the texts, the training or the scores.
    """
    other = stored_recipe(recipe_of(read_json(folder / "recipe.json")))
    rates = recipe["training"].get("learning_rate") or {}  # of the methods that are asked for
    for section in ("model", "corpus", "training", "score"):
        own, found = (
            {k: v for k, v in one[section].items() if k not in ("methods", "seeds")} for one in (recipe, other)
        )
        if found.get("learning_rate"):
            found["learning_rate"] = {k: v for k, v in found["learning_rate"].items() if k in rates}
        differ = sorted(key for key in own.keys() | found.keys() if own.get(key) != found.get(key))
        if differ:
            sys.exit(f"{folder} was made by a recipe that differs in {section}: {', '.join(differ)}")
    wanted = {_place({**vars(cell), **link_columns(cell.link)}) for cell in expand(recipe_of(recipe))}
    wanted -= {_place(cell.config) for cell in cells}
    return [cell for cell in load_study(folder).cells if _place(cell.config) in wanted]


def _place(cell: Mapping[str, Any]) -> tuple[object, ...]:
    """Columns that tell a cell from the others of its study; all of a study have one context."""
    return tuple(cell.get(name) for name in CELL_COLUMNS if name != "context")


def publish(runs: Sequence[Path], target: Path, *, report: bool, cells_of: Path | None = None) -> None:
    """Write the files, or none of them where one would hold a path of this machine."""
    study, recipe, shared = merged(runs)
    if cells_of is not None:
        every = [*study.cells, *borrowed(cells_of, recipe, study.cells)]
        study = Study(directory=study.directory, cells=sorted(every, key=lambda cell: cell.name))
    texts = {
        "results.csv": results_csv(study.cells),
        "recipe.json": _json(recipe),
        "provenance.json": _json({"study": shared, "learners": learner_records(study)}),
    }
    items = "".join(cell.text for cell in study.cells)
    found = LOCAL_PATH.search("".join([*texts.values(), items]))
    if found:
        sys.exit(f"{runs[0]}: holds the local path {found[0]}; run from the folder of the files, with relative paths")
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (target / name).write_text(text, encoding="utf-8")
    with (target / "items.jsonl.gz").open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        file.write(items.encode())
    whole = load_study(target)  # as its readers see it: runs and published folders tell a cell's settings differently
    rows = ",\n".join(json.dumps(summary_row(whole, p)) for p in whole.points)
    (target / "summary.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    if report:
        (target / "report.html").write_text(render_page(whole), encoding="utf-8")
    print(f"{target}: {len(study.cells)} cells, {items.count(chr(10))} decisions")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs of one recipe")
    parser.add_argument("target", type=Path, help="folder in the repository")
    parser.add_argument("--report", action="store_true", help="the report page too")
    parser.add_argument("--cells-of", type=Path, help="another study, for cells that the recipe names and no run holds")
    arguments = parser.parse_args()
    publish(arguments.runs, arguments.target, report=arguments.report, cells_of=arguments.cells_of)
