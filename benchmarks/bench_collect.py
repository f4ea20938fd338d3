"""`collect` with the whole receiver: frames a second of each spreading factor, and two processes against one.

One point a spreading factor, 16 bytes at 4/8 near PER 10 %, told nothing but its parameters. Wall time, in turns, of a
pool of one process and a pool of several, both started and warm. Means something on an idle machine only, with as many
physical cores as processes.

    python benchmarks/bench_collect.py --out docs/results/bench_collect.json
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from _harness import arguments, ratios, report, table

from lora_phy import LinkPoint, LoRaParams, collect


def point(sf: int) -> LinkPoint:
    """The link near PER 10 %."""
    return LinkPoint(LoRaParams(sf=sf, cr=4), -11.87 - 2.645 * (sf - 7), 16, sync="receiver", decoding="soft")


def run(sf: int, frames: int, seed: int, pool: ProcessPoolExecutor) -> tuple[float, int]:
    """Seconds on the wall, and frames that were lost."""
    start = time.perf_counter()
    [result] = collect([point(sf)], max_frames=frames, seed=seed, executor=pool)
    return time.perf_counter() - start, result.counts.frame_errors


def main() -> None:
    settings = arguments(
        __doc__ or "",
        sf={"type": int, "nargs": "*", "default": [7, 9, 12], "help": "spreading factors"},
        processes={"type": int, "default": 2},
        seconds={"type": float, "default": 4.0, "help": "of one process in a round"},
    )
    rounds = max(3, settings.rounds // 5)
    results: list[dict[str, Any]] = []
    with ProcessPoolExecutor(1) as one, ProcessPoolExecutor(settings.processes) as many:
        for sf in settings.sf:
            for pool in (one, many):
                run(sf, 64, 0, pool)  # compile, start
            took, _ = run(sf, 128, 1, one)
            frames = max(256, int(128 / took * settings.seconds) // 64 * 64)
            times: dict[str, list[float]] = {"one process": [], "processes": []}
            for turn in range(rounds):
                for name, pool in (("one process", one), ("processes", many)):
                    took, lost = run(sf, frames, 2 + turn, pool)
                    times[name].append(took)
            speed = {name: round(frames / min(each), 1) for name, each in times.items()}
            row = {"case": f"collect sf{sf}", "frames": frames, "lost": lost, "processes": settings.processes}
            results.append({**row, "frames_per_s": speed, **ratios(times, "processes")})
    rows = [[r["case"], r["frames"], *r["frames_per_s"].values(), r["ratio"]["one process"]] for r in results]
    headings = ["case", "frames", "frames/s, one process", f"frames/s, {settings.processes} processes", "x"]
    settings.clock = "wall"
    report("collect", settings, results, table(headings, rows))


if __name__ == "__main__":
    main()
