"""The whole path on the toy model: dead and clean links, resuming after a kill, refusals, light imports."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
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


def command(out: Path, *overrides: str) -> list[str]:
    options = [word for override in (*SMALL, *overrides) for word in ("--set", override)]
    return [sys.executable, "-m", "llm_bridge", "run", "toy", "--out", str(out), *options]


def run(out: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return subprocess.run(
        command(out, *overrides), capture_output=True, text=True, cwd=ROOT, env=environment, timeout=250
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


def test_methods_meet_the_same_noise(finished: Path) -> None:
    """Common random numbers: what arrived depends on the link and on nothing that learns."""
    seen: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for row in results(finished):
        link = (row["sf"], row["snr_db"], row["task"])
        seen.setdefault(link, set()).add((row["delivered"], row["intact"]))
    assert all(len(values) == 1 for values in seen.values())


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
        (["radio.policy=guess"], "'policy' must be one of"),
        (["training.schedule=guess"], "'schedule' must be one of"),
        (["training.learning_rate.qlroa=0.1"], "unknown key 'training.learning_rate.qlroa'"),
    ],
)
def test_a_users_mistake_is_one_line(tmp_path: Path, overrides: list[str], message: str) -> None:
    done = run(tmp_path / "out", *overrides)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert not (tmp_path / "out" / "recipe.json").exists(), "what cannot run leaves nothing behind"


@pytest.mark.parametrize(("missing", "extra"), [("pandas", "bridge"), ("filelock", "llm"), ("torch", "llm")])
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
        " llm_bridge.study.report, llm_bridge.study.experiment, llm_bridge.__main__\n"
        "heavy = {'torch', 'transformers', 'peft', 'bitsandbytes'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_airtime_budget_is_spent_on_the_test_texts_alone(tmp_path: Path) -> None:
    """On the equal-airtime axis SF7 repeats what is judged; the training set is sent once all the same."""
    from rich.console import Console

    from llm_bridge.study.cells import expand
    from llm_bridge.study.config import load_recipe
    from llm_bridge.study.experiment import load_study, transmit_all

    overrides = ["radio.axis=equal_airtime", "radio.corrupted_split=both", "radio.snr_db=inf", "training.methods=full"]
    recipe = load_recipe("toy", [*SMALL, *overrides])
    study = load_study(recipe, tmp_path, Console(quiet=True))
    arrivals = transmit_all(study, expand(recipe))
    sent = {
        cell.sf: [sum(item.damage.fragments_sent for item in items) for items in (arrived.evaluated, arrived.learnt)]
        for cell, arrived in arrivals.items()
    }
    assert sent[7][0] > 2 * sent[10][0]  # repetitions
    assert sent[7][1] == sent[10][1]  # once
