"""A study in several processes: the main one writes, the others help to train, and the result is that of one."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from training_texts import examples

from llm_bridge.training import distributed_training
from llm_bridge.training.distributed_training import (
    TrainingJob,
    coordinate_workers,
    is_distributed,
    is_main_process,
    train_together,
)

ROOT = Path(__file__).resolve().parents[3]
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0"]
LAUNCHER += ["--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0"]
SMALL = ["radio.sf=[7]", "corpus.limit=6", "corpus.train_pairs=6", "corpus.validation_pairs=4", "training.steps=3"]
SMALL += [
    "radio.snr_db=[-10.0]",
    "score.bootstrap=200",
    'score.tasks=["localise"]',
    'training.methods=["full","qlora"]',
]


def job(**changes: object) -> TrainingJob:
    settings = {"learning_rate": 1e-3, "steps": 2, "batch_programs": 2}
    known = {
        "model": "toy",
        "method": "lora",
        "device": None,
        "compute": None,
        "adapter": {"rank": 2},
        "training": settings,
    }
    return TrainingJob(**{**known, "examples": tuple(examples(2)), "checkpoint_dir": None, **changes})


def test_a_process_alone_trains_and_talks_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("there is nobody to talk to")

    monkeypatch.setattr(distributed_training, "_broadcast_job", never)
    assert not is_distributed() and is_main_process()
    with coordinate_workers():
        loaded, record = train_together(job())
    assert record.steps == 2 and loaded.fingerprint["method"] == "lora"
    assert loaded.fingerprint["adapter"]["rank"] == 2


def test_the_launchers_variables_tell_who_is_who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        assert is_distributed() and is_main_process() == (rank == 0)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    """Full fine-tuning in shards, 4-bit adapters on replicas; every file is written once, by the main process."""
    words = ["-m", "llm_bridge", "run", "toy", *(word for text in SMALL for word in ("--set", text)), "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(
        [sys.executable, *words, str(tmp_path / "one")],
        check=True, capture_output=True, cwd=ROOT, env=environment, timeout=250,
    )  # fmt: skip
    environment |= {"ACCELERATE_USE_FSDP": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}  # as accelerate sets them
    two = subprocess.run(
        [*LAUNCHER, *words, str(tmp_path / "two")],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=250,
    )  # fmt: skip
    assert two.returncode == 0, two.stdout[-2000:] + two.stderr[-3000:]
    assert two.stdout.count("report.html") == 1, "one process speaks"
    folders = [tmp_path / name for name in ("one", "two")]
    files = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*.json*")) for folder in folders]
    assert files[0] == files[1]
    records = [sorted(folder.glob("cache/models/*/record.json")) for folder in folders]
    assert len(records[0]) == len(records[1]) == 2
    for a, b in zip(*records, strict=True):
        one, other = (json.loads(path.read_text())["training"] for path in (a, b))
        assert one["status"] == other["status"] == "finished"
        assert one["losses"] == pytest.approx(other["losses"], rel=1e-3)
    scores = [list(csv.DictReader((folder / "results.csv").open())) for folder in folders]
    assert [row["f1"] for row in scores[0]] == [row["f1"] for row in scores[1]]


@pytest.mark.slow
def test_workers_of_its_own_are_refused_under_a_launcher(tmp_path: Path) -> None:
    words = ["-m", "llm_bridge", "run", "toy", "--workers", "2", "--out", str(tmp_path)]
    environment = {**os.environ, "WORLD_SIZE": "2", "RANK": "0"}
    ran = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120
    )
    assert ran.returncode == 2 and "not under a launcher" in ran.stderr
