"""The whole path on the toy model: dead and clean links, resuming after a kill, refusals, light imports."""

from __future__ import annotations

import csv
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SMALL = [
    "radio.sf=[7, 10]",
    "corpus.limit=8",
    "corpus.train_pairs=6",
    "corpus.validation_pairs=4",
    "training.steps=3",
    "score.bootstrap=200",
]


def command(out: Path, *overrides: str, options: Sequence[str] = ()) -> list[str]:
    changes = [word for override in (*SMALL, *overrides) for word in ("--set", override)]
    return [sys.executable, "-m", "llm_bridge", "run", "toy", "--out", str(out), *changes, *options]


def run(out: Path, *overrides: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return subprocess.run(
        command(out, *overrides, options=options),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=900,
    )


def results(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("toy")
    done = run(out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_texts_that_are_read_in_part_are_told_on_the_console_in_the_results_and_in_the_report(tmp_path: Path) -> None:
    """The toy has a token a byte, and every program here is longer than the limit."""
    methods = "training.methods=['rules', 'zero-shot']"
    done = run(
        tmp_path, methods, "training.max_tokens=64", "score.tasks=['localise']", "radio.sf=[7]", "corpus.limit=3"
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"zero-shot: \d of 6 texts are longer than the model's limit of tokens", done.stdout), done.stdout
    rows = {row["method"]: row for row in results(tmp_path) if row["snr_db"] == "inf"}
    assert (rows["zero-shot"]["n"], rows["zero-shot"]["truncated"], rows["rules"]["truncated"]) == ("3", "3", "0")
    page = html.unescape((tmp_path / "report.html").read_text())
    assert re.search(
        r"(\d+) of \d+ decisions \(zero-shot\) were made on a text that is longer than the model's limit", page
    )


def test_a_dead_link_scores_like_a_dead_link_and_a_clean_one_is_whole(finished: Path) -> None:
    rows = results(finished)
    assert len(rows) == 2 * 3 * 3 * 3  # spreading factors x SNRs x methods x tasks
    for row in rows:
        n = int(row["n"])
        if row["snr_db"] == "-60.0":
            assert int(row["delivered"]) == int(row["intact"]) == 0
            assert float(row["f1"]) == 0.0
            if row["task"] == "detect":
                assert float(row["macro_f1"]) == pytest.approx(1 / 3)
                assert float(row["mcc"]) == 0.0
        if row["snr_db"] == "inf":
            assert int(row["delivered"]) == int(row["intact"]) == n
        low, value, high = (float(row[name]) for name in ("f1_low", "f1", "f1_high"))
        assert 0 <= low <= value <= high <= 1
        assert n == {"localise": 8, "paired": 8, "detect": 16}[row["task"]]
        assert row["axis"] == "fixed_snr"
        assert int(row["parses"]) <= int(row["delivered"])
        assert row["snr_db"] != "inf" or int(row["parses"]) == n
        assert float(row["duty_cycle"]) == 0.01
        assert float(row["send_time_s"]) == pytest.approx(100 * float(row["airtime_s"]))
        assert row["within_dwell_time"] == "True"
        assert row["distance_km"] == row["ebn0_db"] == row["plausible_at_1"] == ""


def test_items_tell_their_axis_and_whether_what_arrived_parses(finished: Path) -> None:
    rows = [json.loads(line) for line in (finished / "items.jsonl").read_text().splitlines()]
    assert {row["axis"] for row in rows} == {"fixed_snr"}
    assert all(row["parses"] for row in rows if row["intact"])
    assert not any(row["parses"] for row in rows if not row["delivered"])
    assert any(row["delivered"] and not row["parses"] for row in rows)


def test_runs_of_two_methods_are_paired_from_the_items_alone(finished: Path) -> None:
    """Rows that agree in all that says where they belong, but the method, are of one text that arrived alike."""
    rows = [json.loads(line) for line in (finished / "items.jsonl").read_text().splitlines()]
    place = ("corpus", "corrupted_split", "axis", "sf", "snr_db", "fading", "cr", "policy", "source_coding")
    item = ("channel_seed", "task", "program", "version")
    damage = ("delivered", "intact", "fragments_lost", "byte_errors")
    found: dict[str, dict[tuple[object, ...], tuple[object, ...]]] = {}
    for row in rows:
        key = tuple(row[name] for name in (*place, *item))
        assert key not in found.setdefault(row["method"], {}), "one row for each text of a method's run"
        found[row["method"]][key] = tuple(row[name] for name in damage)
    assert found["full"] == found["qlora"] and len(found["full"]) == 2 * 3 * (8 + 8 + 16)
    assert {row["train_seed"] for row in rows if row["method"] == "full"} == {0}
    assert "Infinity" not in (finished / "items.jsonl").read_text(), "other readers of JSON know none"
    for row in results(finished):
        unequal = row["fates_unequal"]
        assert (unequal == "") == (row["task"] != "paired") or row["snr_db"] == "nan"
        assert (row["f1_all_or_nothing"] == "") == (row["task"] != "localise")
        assert unequal == "" or float(unequal) <= 0.05, "both versions lose the same fragments by default"
    with (finished / "scores.csv").open() as file:
        scores = list(csv.DictReader(file))
    assert {(row["method"], row["task"], row["sf"]) for row in scores} >= {("full", "localise", "7")}


def test_methods_meet_the_same_noise(finished: Path) -> None:
    """Common random numbers: what arrived depends on the link and on nothing that learns."""
    seen: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for row in results(finished):
        link = (row["sf"], row["snr_db"], row["task"])
        seen.setdefault(link, set()).add((row["delivered"], row["intact"]))
    assert all(len(values) == 1 for values in seen.values())


def test_two_methods_meet_the_same_damage_where_channel_seeds_are_nested(tmp_path: Path) -> None:
    from rich.console import Console

    from llm_bridge.report import load_study
    from llm_bridge.report.tests import primary_contrasts
    from llm_bridge.run import run_recipe
    from llm_bridge.study.recipe_files import load_recipe

    overrides = [
        "radio.sf=7",
        "radio.snr_db=-10.0",
        "radio.corrupted_split=['none', 'eval', 'both']",
        "radio.channel_seeds=[5, 6, 7, 8]",
        "radio.channel_seeds_per_training_seed=2",
        "training.seeds=[3, 4]",
        "training.methods=['zero-shot', 'full', 'qlora']",
        "score.tasks=['localise']",
    ]
    run_recipe(load_recipe("toy", [*SMALL, *overrides]), tmp_path, console=Console(quiet=True))
    study = load_study(tmp_path)
    seeds = {cell.name: (cell.config["train_seed"], cell.config["channel_seed"]) for cell in study.cells}

    def damage(method: str, split: str) -> dict[tuple[object, ...], tuple[object, ...]]:
        (point,) = (p for p in study.points if (p.method, p.corrupted_split) == (method, split))
        return {
            (row["program"], *seeds[row["cell"]]): (row["delivered"], row["byte_errors"], row["fragments_lost"])
            for cell in study.cells
            if cell.name in point.runs
            for row in cell.items
        }

    for split in ("eval", "both"):
        assert damage("full", split) == damage("qlora", split)
    seen = damage("full", "eval")
    assert {key[1:] for key in seen} == {(3, 5), (3, 6), (4, 7), (4, 8)}
    assert len(seen) == 8 * 4
    assert {(p, c): lost for (p, _, c), lost in seen.items()} == {
        (p, c): lost for (p, _, c), lost in damage("zero-shot", "eval").items()
    }
    (contrast,) = primary_contrasts(study)
    assert contrast.difference.num_clusters == 8
    clean, link = contrast.groups[0][::2], contrast.groups[0][1::2]
    assert [len(point.items) for point in (*clean, *link)] == [16, 16, 32, 32]


def test_every_cell_tells_where_it_comes_from(finished: Path) -> None:
    folders = [path.parent for path in finished.glob("*/result.json")]
    assert len(folders) == 18
    for folder in folders:
        origin = json.loads((folder / "provenance.json").read_text())
        if json.loads((folder / "config.json").read_text())["method"] == "rules":
            assert origin["learner"] == {}
        else:
            assert origin["learner"]["fingerprint"]["name"] == "toy"
            assert origin["learner"]["training"]["steps"] == 3
        assert origin["versions"]["chirpbridge"]
        assert len(origin["corpora"]["minibugs"]) == 64
        assert origin["python"].count(".") == 2
    assert (finished / "report.html").stat().st_size > 10_000


def test_the_same_command_again_computes_nothing_and_changes_nothing(finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.glob("*/*.json*")}
    csv_before = (finished / "results.csv").read_bytes()
    again = run(finished)
    assert again.returncode == 0, again.stderr
    assert "0 to compute" in again.stdout
    assert {path: path.read_bytes() for path in finished.glob("*/*.json*")} == before
    assert (finished / "results.csv").read_bytes() == csv_before


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_gives_the_same_numbers(finished: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    delay = 3.0
    for _ in range(6):
        with subprocess.Popen(
            command(tmp_path), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        delay += 1.5
    assert run(tmp_path).returncode == 0
    assert (tmp_path / "results.csv").read_text() == (finished / "results.csv").read_text()


def test_two_processes_write_the_same_bytes_as_one(finished: Path, tmp_path: Path) -> None:
    done = run(tmp_path, "training.methods=['rules', 'full']", options=["--workers", "2"])
    assert done.returncode == 0, done.stdout + done.stderr
    folders = [path.parent for path in tmp_path.glob("*/result.json")]
    assert len(folders) == 12
    for folder in folders:
        for name in ("config.json", "items.jsonl"):
            assert (folder / name).read_bytes() == (finished / folder.name / name).read_bytes()
        results = [json.loads((top / folder.name / "result.json").read_text()) for top in (tmp_path, finished)]
        assert results[0]["rows"] == results[1]["rows"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--workers", "1"], ["--workers", "2"], ["--cluster", "local", "--workers", "2"]])
def test_processes_and_a_cluster_write_the_same_results(finished: Path, tmp_path: Path, options: list[str]) -> None:
    done = run(tmp_path, options=options)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("results.csv", "items.jsonl"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.slow
def test_workers_end_with_a_killed_parent_and_nothing_is_lost(finished: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options = ["--workers", "2"]
    for delay in (7.0, 10.0, 13.0):
        with subprocess.Popen(
            command(tmp_path, options=options),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            time.sleep(delay)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 20
        while any(_alive(child) for child in children) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not [child for child in children if _alive(child)]
    assert run(tmp_path, options=options).returncode == 0
    assert (tmp_path / "results.csv").read_bytes() == (finished / "results.csv").read_bytes()


def _alive(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_that_dies_is_an_error_that_says_so() -> None:
    from llm_bridge.files import StoreError
    from llm_bridge.study.parallel import open_executor, run_jobs

    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
    with (
        pytest.raises(StoreError, match="a worker process ended unexpectedly"),
        open_executor(workers=1) as executor,
    ):
        assert executor is not None
        run_jobs(executor, os._exit, [(1,)], lambda done, total: None)
    assert {name: os.environ.get(name) for name in before} == before


def test_no_number_of_workers_below_one() -> None:
    from llm_bridge.study.parallel import open_executor

    with pytest.raises(ValueError, match=r"'workers' must be at least 1 \(got 0\)"), open_executor(workers=0):
        pass


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_named() -> None:
    from llm_bridge.files import StoreError
    from llm_bridge.study.parallel import open_executor

    with (
        pytest.raises(StoreError, match=r"no scheduler at 'tcp://127.0.0.1:9'"),
        open_executor(cluster="tcp://127.0.0.1:9"),
    ):
        pass


def test_a_second_run_into_the_folder_of_the_first_is_refused(tmp_path: Path) -> None:
    from rich.console import Console

    from llm_bridge.files import StoreError
    from llm_bridge.run import run_recipe
    from llm_bridge.study.cache import locked
    from llm_bridge.study.recipe_files import load_recipe

    with locked(tmp_path), pytest.raises(StoreError, match=rf"in use by process {os.getpid()}: wait for it, or choose"):
        run_recipe(load_recipe("toy", SMALL), tmp_path, console=Console(quiet=True))
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("name", ["config.json", "items.jsonl", "result.json", "provenance.json"])
def test_an_edit_of_a_finished_cell_is_seen_by_report_and_by_the_next_run(
    finished: Path, tmp_path: Path, name: str
) -> None:
    from rich.console import Console

    from llm_bridge.files import StoreError
    from llm_bridge.report import write_report
    from llm_bridge.run import run_recipe
    from llm_bridge.study.recipe_files import load_recipe

    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (edited, *_) = sorted(copy.glob(f"*/{name}"))
    edited.write_text(edited.read_text().replace("full", "fool").replace("false", "true"))
    message = rf"{edited.parent.name}/{name} was changed after its result was written"
    with pytest.raises(StoreError, match=message):
        write_report(copy)
    with pytest.raises(StoreError, match=message):
        run_recipe(load_recipe("toy", SMALL), copy, console=Console(quiet=True))


def test_repair_is_scored_where_it_is_listed_and_shuffled_labels_are_a_method(tmp_path: Path) -> None:
    from rich.console import Console

    from llm_bridge.run import run_recipe
    from llm_bridge.study.cache import Cache
    from llm_bridge.study.model_runs import ModelRun
    from llm_bridge.study.recipe_files import load_recipe
    from llm_bridge.study.repairing import candidates_of

    overrides = [
        "radio.sf=7",
        "radio.snr_db=inf",
        "corpus.limit=2",
        "training.methods=['rules', 'zero-shot', 'full', 'full-shuffled']",
        "score.tasks=['localise', 'repair']",
        "score.trained_tasks=['localise']",
    ]
    recipe = load_recipe("toy", [*SMALL, *overrides])
    run_recipe(recipe, tmp_path, console=Console(quiet=True))
    rows = {(row["method"], row["task"]): row for row in results(tmp_path)}
    tasks = {("rules", "localise"), ("full", "localise"), ("full-shuffled", "localise")}
    assert set(rows) == tasks | {("zero-shot", "localise"), ("zero-shot", "repair")}
    row = rows["zero-shot", "repair"]
    assert row["f1"] == "" and row["n"] == "2" and row["baseline"] == "0.0"
    assert 0.0 <= float(row["plausible_low"]) <= float(row["plausible_at_1"]) <= float(row["plausible_high"]) <= 1.0
    losses = []
    for method in ("full", "full-shuffled"):
        (folder,) = tmp_path.glob(f"minibugs-{method}-seed0-*")
        losses.append(json.loads((folder / "provenance.json").read_text())["learner"]["training"]["losses"])
    assert losses[0] != losses[1], "the same texts with other labels"
    (file,) = (path for path in (tmp_path / "cache" / "repairs").glob("*.jsonl") if "verdicts" not in path.name)
    known = [json.loads(line) for line in file.read_text().splitlines()]
    model_run = ModelRun(cache=Cache(tmp_path / "cache"), recipe=recipe, method="zero-shot", seed=None)
    model_run.__dict__["key"] = file.stem  # no model: everything is on file
    texts = {pair_text: None for pair_text in _buggy_texts(2)}
    assert [list(found) for found in candidates_of(model_run, texts, recipe.score).values()] == [
        row["candidates"] for row in known
    ]


def test_repair_is_refused_before_any_work_where_nothing_shuts_programs_in(tmp_path: Path, monkeypatch) -> None:
    from rich.console import Console

    from llm_bridge.run import run_recipe
    from llm_bridge.scoring import sandbox
    from llm_bridge.study.recipe_files import load_recipe

    monkeypatch.setattr(sandbox, "isolation_level", lambda: "rlimits")
    for key in ("tasks", "trained_tasks"):
        recipe = load_recipe("toy", [*SMALL, f"score.{key}=['localise', 'repair']"])
        with pytest.raises(sandbox.IsolationError, match="nothing shuts them in"):
            run_recipe(recipe, tmp_path / "out", console=Console(quiet=True))
        assert not (tmp_path / "out").exists()


def _buggy_texts(count: int) -> list[str]:
    from llm_bridge.corpora import minibugs

    return [pair.buggy for pair in minibugs.load()[:count]]


def test_an_interrupted_scoring_goes_on_in_the_same_batches(tmp_path: Path) -> None:
    from llm_bridge.study.cache import Cache
    from llm_bridge.study.model_runs import SCORES_PER_LINE_FLUSH, ModelRun
    from llm_bridge.study.recipe_files import load_recipe

    texts = ["x" * (1 + n % 50) + str(n) for n in range(3 * SCORES_PER_LINE_FLUSH)]
    model_run = ModelRun(cache=Cache(tmp_path), recipe=load_recipe("toy"), method="zero-shot", seed=None)
    planned = model_run._parts(texts, texts)
    assert sorted(text for part in planned for text in part) == sorted(texts)
    rest = [text for text in texts if text not in planned[0] and text not in planned[1][:7]]  # killed in the second
    assert model_run._parts(rest, texts) == planned[1:]
    other = model_run._parts(rest, rest)  # a recipe that asks for less than the plan: parts of its own
    assert sorted(text for part in other for text in part) == sorted(rest)


def test_interrupting_says_that_the_same_command_continues(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    process = subprocess.Popen(
        command(tmp_path),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "recipe.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues" in errors


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["radio.colour=red"], "unknown key 'radio.colour'"),
        (["corpus.test=quixbugs", "corpus.quixbugs_path=nowhere"], "nowhere"),
        (["model.name=./no-such-model"], "no-such-model"),
        (["training.methods=['magic']"], "magic"),
        (["radio.policy=guess"], "'radio.policy' must be among"),
        (["training.schedule=guess"], "'training.schedule' must be among"),
        (["training.learning_rate.qlroa=0.1"], "unknown key 'training.learning_rate.qlroa'"),
        (["training.methods=['zero-shot-shuffled']"], "has no labels to shuffle"),
        (["version=99"], "this program reads recipes of version 1 (got version 99)"),
    ],
)
def test_a_users_mistake_is_one_line(tmp_path: Path, overrides: list[str], message: str) -> None:
    done = run(tmp_path / "out", *overrides)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert not (tmp_path / "out" / "recipe.json").exists(), "what cannot run leaves nothing behind"


@pytest.mark.parametrize(
    ("missing", "extra"), [("pandas", "bridge"), ("filelock", "llm"), ("torch", "llm"), ("distributed", "cluster")]
)
def test_a_missing_package_names_the_extra(missing: str, extra: str) -> None:
    program = (
        "import sys, llm_bridge.__main__ as command\n"
        f"def run(*args, **options): raise ModuleNotFoundError('no module', name='{missing}')\n"
        "command.app = run\n"
        "command.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert done.returncode == 2
    assert f"{missing} is missing: pip install 'chirpbridge[{extra}]'" in done.stderr


def test_one_option_takes_several_settings(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llm_bridge", "run", "toy", "--set", "radio.sf=[7]", "radio.sff=1", "--out", "nowhere"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "unknown key 'radio.sff'" in done.stderr


def test_importing_the_bridge_imports_no_torch() -> None:
    program = (
        "import sys, lora_phy, llm_bridge, llm_bridge.corpora.minibugs, llm_bridge.transport.link,"
        " llm_bridge.scoring.metrics, llm_bridge.scoring.statistics, llm_bridge.scoring.sandbox,"
        " llm_bridge.report, llm_bridge.run, llm_bridge.study.experiment, llm_bridge.__main__\n"
        "heavy = {'torch', 'transformers', 'peft', 'bitsandbytes'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_airtime_budget_is_spent_on_the_test_texts_alone(tmp_path: Path) -> None:
    """On the equal-airtime axis SF7 repeats what is judged; the training set is sent once all the same."""
    from rich.console import Console

    from llm_bridge.study.cells import expand
    from llm_bridge.study.recipe_files import load_recipe
    from llm_bridge.study.transmission import transmit_all
    from llm_bridge.study.workspace import open_workspace

    overrides = ["radio.axis=equal_airtime", "radio.corrupted_split=both", "radio.snr_db=inf", "training.methods=full"]
    recipe = load_recipe("toy", [*SMALL, *overrides])
    study = open_workspace(recipe, tmp_path, Console(quiet=True))
    arrivals = transmit_all(study, expand(recipe))
    sent = {
        cell.link.sf: [
            sum(item.damage.fragments_sent for item in items) for items in (arrived.evaluated, arrived.learnt)
        ]
        for cell, arrived in arrivals.items()
        if cell.link is not None
    }
    assert sent[7][0] > 2 * sent[10][0]  # repetitions
    assert sent[7][1] == sent[10][1]  # once
