"""What the benchmarks share: interleaved timing, the machine they ran on, and JSON out.

Contestants take turns, round after round, in one process; the ratio of two is the median of their ratios within a
round, so that a machine that is busy with other things slows both. One thread each unless a benchmark says otherwise.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

VERSIONS = ("chirpbridge", "numba", "llvmlite", "numpy", "scipy", "pyfftw")


def machine() -> dict[str, Any]:
    """The processor, its vector instructions and how busy it is, and the versions that matter."""
    model, flags = platform.processor(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            if key.strip() == "flags":
                flags = value
    versions = {}
    for name in VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "vector": [f for f in ("avx2", "fma", "avx512f", "avx512vl") if f" {f} " in f"{flags} "],
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        **versions,
    }


def made() -> dict[str, str | None]:
    """The commit of this checkout (with "-dirty" where its code differs from it; None outside of one), and the day."""
    root = Path(__file__).resolve().parent.parent
    commit = None
    try:
        command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        # results that are just being written do not count
        changed = ["git", "-C", str(root), "diff", "--quiet", "HEAD", "--", "lora_phy", "llm_bridge", "benchmarks"]
        commit += "-dirty" if subprocess.run(changed, check=False).returncode else ""
    except (OSError, subprocess.CalledProcessError):
        pass
    return {"commit": commit, "date": time.strftime("%Y-%m-%d", time.gmtime())}


def interleaved(
    contestants: dict[str, Callable[[], Any]], *, rounds: int = 15, seconds: float = 0.02, clock: str = "cpu"
) -> dict[str, list[float]]:
    """Seconds per call of each contestant, a list over rounds; each turn lasts about `seconds`.

    `clock` "cpu" counts the processor time of this process, "wall" the time on the wall.
    """
    now = time.process_time if clock == "cpu" else time.perf_counter
    repeats = {}
    for name, call in contestants.items():
        call()  # compile, fill caches
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(seconds / max(time.perf_counter() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            start = now()
            for _ in range(repeats[name]):
                call()
            times[name].append((now() - start) / repeats[name])
    return times


def ratios(times: dict[str, list[float]], fast: str) -> dict[str, dict[str, float]]:
    """How many times `fast` is as fast as each other contestant: median over rounds ("ratio"), and how far the rounds
    lie apart ("spread": the distance between their quartiles over the median).
    """
    found: dict[str, dict[str, float]] = {"ratio": {}, "spread": {}}
    for name in times:
        if name == fast:
            continue
        rounds = [a / b for a, b in zip(times[name], times[fast], strict=True)]
        middle = statistics.median(rounds)
        found["ratio"][name] = middle
        low, _, high = statistics.quantiles(rounds, n=4, method="inclusive") if len(rounds) > 1 else (middle,) * 3
        found["spread"][name] = (high - low) / middle
    return found


def table(headings: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table; numbers to three significant digits."""

    def text(cell: Any) -> str:
        if cell is None:
            return "–"
        return f"{cell:.3g}" if isinstance(cell, float) else str(cell)

    lines = [headings, ["---"] * len(headings), *[[text(cell) for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def arguments(description: str, **extra: Any) -> argparse.Namespace:
    """The command line every benchmark has, and more."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clock", choices=["cpu", "wall"], default="cpu")
    extra.setdefault("sf", {"type": int, "nargs": "*", "default": list(range(5, 13)), "help": "spreading factors"})
    for name, settings in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)
    return parser.parse_args()


def report(name: str, settings: argparse.Namespace, results: list[dict[str, Any]], text: str) -> None:
    """Print the machine and the table; write the JSON file."""
    where = machine()
    print(
        f"{name}: {where['cpu']}, {where['cores']} cores, {' '.join(where['vector'])}, load {where['load_average']:.1f}"
    )
    print(", ".join(f"{key} {where[key] or 'absent'}" for key in ("python", *VERSIONS)))
    print(text, flush=True)
    if settings.out:
        record = {"benchmark": name, **made(), "machine": where, "clock": settings.clock, "results": results}
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        settings.out.write_text(json.dumps(record, indent=1) + "\n")
        print(f"written to {settings.out}", file=sys.stderr)


def pyfftw_plan(rows: int, n: int) -> Any:
    """A planned (MEASURE) single-thread in-place-free transform of rows, or None where pyFFTW is absent."""
    try:
        import pyfftw
    except ImportError:
        return None
    source = pyfftw.empty_aligned((rows, n), "complex64")
    target = pyfftw.empty_aligned((rows, n), "complex64")
    return pyfftw.FFTW(source, target, axes=(1,), flags=("FFTW_MEASURE",), threads=1)
