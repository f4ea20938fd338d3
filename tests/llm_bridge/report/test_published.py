"""Committed studies: their results are read as cells, render as a report, and come out as they went in."""

import csv
import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("statsmodels")

from synthetic_study import make_study, read_page

from llm_bridge.files import StoreError
from llm_bridge.report import load_study, render_table, table_rows, write_report
from llm_bridge.report.reading import published_cells
from llm_bridge.results_format import RESULT_COLUMNS

RESULTS = Path(__file__).parents[3] / "docs/results"
STUDIES = sorted(path.parent.name for path in RESULTS.glob("*/recipe.json"))


def lines_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=["texture", pytest.param("fixed_snr", marks=pytest.mark.slow)])
def copied(request, tmp_path_factory):
    """A small study, and the primary one, whose 62,976 decisions take minutes."""
    directory = tmp_path_factory.mktemp("published") / request.param
    shutil.copytree(RESULTS / request.param, directory, ignore=shutil.ignore_patterns("report.html"))
    (directory / "before.csv").write_bytes((directory / "results.csv").read_bytes())
    write_report(directory)
    return directory


def test_a_committed_study_renders(copied):
    page = read_page(copied)
    for title in ("F1 against spreading factor", "The tests, as registered", "Controls", "What the link delivered"):
        assert f">{title}</h2>" in page
    assert "smollm2-135m-instruct" in page and "QuixBugs (40)" in page


def test_results_and_items_come_out_as_they_went_in(copied):
    """Every number of every line, columns of later versions empty; every item."""
    before, after = lines_of(copied / "before.csv"), lines_of(copied / "results.csv")
    assert len(before) == len(after) > 100
    assert tuple(after[0]) == RESULT_COLUMNS
    for old, new in zip(before, after, strict=True):
        assert {name: new[name] for name in old} == old
        assert all(new[name] == "" for name in set(new) - set(old))
    with gzip.open(copied / "items.jsonl.gz", "rt") as file:
        assert [json.loads(line) for line in file] == [json.loads(x) for x in (copied / "items.jsonl").open()]


@pytest.mark.parametrize("name", STUDIES)
def test_every_committed_study_is_read_and_printed(name):
    study = load_study(RESULTS / name)
    assert study.points and render_table(row for cell in study.cells for row in cell.rows)
    assert max(map(len, render_table(table_rows(study.points), width=80).splitlines())) <= 80
    seeds = {(cell.config["train_seed"], cell.config["method"]) for cell in study.cells}
    assert all(
        (seed is None) == (method in ("rules", "rule-longest-line", "zero-shot", "zero-shot-nf4"))
        for seed, method in seeds
    )


def test_items_of_other_cells_are_refused(tmp_path):
    make_study(tmp_path / "cells", spreading_factors=(7,), tasks=("paired",), axes=("fixed_snr",), num_programs=5)
    write_report(tmp_path / "cells")
    published = tmp_path / "published"
    published.mkdir()
    for name in ("results.csv", "items.jsonl"):
        shutil.copy(tmp_path / "cells" / name, published)
    (published / "recipe.json").write_text("{}")
    assert len(published_cells(published)) == 6
    rows = (published / "items.jsonl").read_text().splitlines(keepends=True)
    (published / "items.jsonl").write_text("".join(rows[:-1]))
    with pytest.raises(StoreError, match=r"'paired': 4.*results.csv says.*'paired': 5"):
        published_cells(published)
    (published / "items.jsonl").write_text("".join(rows[:5]))
    with pytest.raises(StoreError, match="items of 1 cells beside the results of 6"):
        published_cells(published)


def test_runs_joined_one_after_the_other_are_the_study_that_they_are_at_once(tmp_path):
    """The second run is joined to what is published of the first: no method and no seed is lost."""
    recipe = {"training": {"methods": ["qlora", "full"]}, "radio": {}}
    runs = [tmp_path / "first", tmp_path / "second"]
    for seed, run in enumerate(runs):
        make_study(
            run,
            axes=("fixed_snr",),
            spreading_factors=(7, 12),
            tasks=("localise",),
            methods=("qlora", "full"),
            train_seeds=(seed,),
            channel_seeds=(seed,),
            num_programs=8,
        )
        own = {"training": {**recipe["training"], "seeds": [seed]}, "radio": {"channel_seeds": [seed]}}
        if seed:  # a key that came after the first run: its default is what the first had
            own["radio"]["doppler_hz"] = 0.0
        (run / "recipe.json").write_text(json.dumps({"version": 1, **own}))
    publish = [sys.executable, str(RESULTS.parents[1] / "benchmarks/publish.py")]
    for command in (["first", "joined"], ["joined", "second", "joined"], ["first", "second", "at once"]):
        subprocess.run([*publish, *command], check=True, cwd=tmp_path, capture_output=True)
    rows = json.loads((tmp_path / "joined/summary.json").read_text())
    assert {(row["method"], row["train_seeds"]) for row in rows} == {("qlora", 2), ("full", 2)}
    for name in ("summary.json", "results.csv", "recipe.json", "items.jsonl.gz"):
        assert (tmp_path / "joined" / name).read_bytes() == (tmp_path / "at once" / name).read_bytes(), name


def test_cells_that_no_run_holds_come_from_a_study_of_the_same_models(tmp_path):
    """Without its cells of clean training texts at SF7 a published study is made whole again from the primary one."""
    whole, part = RESULTS / "training_received", tmp_path / "part"
    part.mkdir()
    for name in ("recipe.json", "provenance.json"):
        shutil.copy(whole / name, part)
    gone = {"sf": "7", "corrupted_split": "eval"}
    lines = lines_of(whole / "results.csv")
    kept = [line for line in lines if any(line[name] != value for name, value in gone.items())]
    assert len(lines) - len(kept) == 4
    with (part / "results.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(lines[0]))
        table.writeheader()
        table.writerows(kept)
    with gzip.open(whole / "items.jsonl.gz", "rt") as file, gzip.open(part / "items.jsonl.gz", "wt") as target:
        target.writelines(x for x in file if not ('"sf":7' in x and '"corrupted_split":"eval"' in x))
    publish = [sys.executable, str(RESULTS.parents[1] / "benchmarks/publish.py"), "part", "joined", "--cells-of"]
    subprocess.run([*publish, RESULTS / "frozen_mutants"], check=True, cwd=tmp_path, capture_output=True)

    def by_point(path):
        rows = json.loads((path / "summary.json").read_text())
        return {(row["method"], row.get("sf"), row["corrupted_split"]): row for row in rows}

    assert by_point(tmp_path / "joined") == by_point(whole)
    learners = [json.loads((path / "provenance.json").read_text())["learners"] for path in (tmp_path / "joined", whole)]
    assert learners[0] == learners[1] and any("trained over SF12" in name for name in learners[1])
    refused = subprocess.run([*publish, RESULTS / "detect"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 1 and "detect was made by a recipe that differs in corpus: " in refused.stderr
