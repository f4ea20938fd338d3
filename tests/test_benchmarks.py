"""Comparing results of benchmarks: which falls end with status 1, on made-up results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMPARE = ROOT / "benchmarks" / "compare.py"


def result(ratio: float, spread: float = 0.02, name: str = "scipy", load: float = 0.1, **more: Any) -> dict[str, Any]:
    """One case with one ratio, as a benchmark writes it."""
    case = {"case": "fft sf7", "ratio": {name: ratio}, "spread": {name: spread}, **more}
    return {"benchmark": "fft", "machine": {"cpu": "one", "load_average": load}, "results": [case]}


def compare(tmp_path: Path, old: Any, new: Any) -> subprocess.CompletedProcess[str]:
    """Run the command on two results."""
    for name, record in (("old", old), ("new", new)):
        (tmp_path / f"{name}.json").write_text(record if isinstance(record, str) else json.dumps(record))
    command = [sys.executable, str(COMPARE), str(tmp_path / "old.json"), str(tmp_path / "new.json")]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("old", "new", "falls"),
    [
        (result(4.0), result(4.5), False),
        (result(4.0), result(3.6), False),  # a tenth
        (result(4.0), result(3.5, spread=0.03), False),  # 12.5 %, of which 3 % are scatter
        (result(4.0), result(3.5), True),
        (result(4.0, spread=0.3), result(2.5, spread=0.01), False),  # the old one's scatter counts as well
        (result(4.0, spread=0.3), result(2.3, spread=0.01), True),
        (result(4.0, us_per_frame=10.0), result(4.0, us_per_frame=90.0), False),  # no ratio: the machine's business
        (result(1.9, name="one thread of 2"), result(1.0, name="one thread of 2"), True),
        (result(1.9, name="one thread of 2"), result(1.0, name="one thread of 2", load=3.0), False),
        (result(4.0), result(4.0, name="numpy"), True),  # not measured any more
    ],
)
def test_a_ratio_that_falls_by_more_than_a_tenth_beyond_its_scatter_ends_with_status_one(
    old: dict[str, Any], new: dict[str, Any], falls: bool, tmp_path: Path
) -> None:
    done = compare(tmp_path, old, new)
    assert done.returncode == falls, done.stdout + done.stderr
    assert ("ratios that fell" in done.stderr) == falls
    assert "Traceback" not in done.stderr


def test_a_fall_is_named_with_both_values(tmp_path: Path) -> None:
    assert "fft sf7: x scipy 4 -> 3, a fall of 25% (scatter 2%" in compare(tmp_path, result(4.0), result(3.0)).stderr


def test_folders_are_compared_by_the_names_of_their_files(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, ratio in ((old, 4.0), (new, 2.0)):
        folder.mkdir()
        (folder / "bench_fft.json").write_text(json.dumps(result(ratio)))
    (new / "bench_more.json").write_text(json.dumps(result(1.0)))
    done = subprocess.run([sys.executable, str(COMPARE), str(old), str(new)], capture_output=True, text=True)
    assert done.returncode == 1 and "bench_fft.json" in done.stdout and "bench_more" not in done.stdout


@pytest.mark.parametrize("bad", ["", "{", "[]", '{"results": [{"sf": 7}]}', "[1, 2]"])
def test_a_file_that_is_no_result_is_said(bad: str, tmp_path: Path) -> None:
    done = compare(tmp_path, result(4.0), bad)
    assert done.returncode == 1 and "new.json" in done.stderr and "Traceback" not in done.stderr


def test_every_benchmark_of_the_run_exists_and_says_so_in_the_table() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from run_all import RUNS
    finally:
        sys.path.pop(0)
    readme = (ROOT / "benchmarks" / "README.md").read_text()
    for file, words in RUNS.values():
        script = words.split()[0]
        assert (ROOT / "benchmarks" / script).exists() and f"`{script}" in readme.replace(", `", "`, `"), script
        assert file.endswith(".json")
    assert "benchmarks/run_all.py" in (ROOT / "Makefile").read_text()
