"""Compare two results of a benchmark, or two folders of them: `python benchmarks/compare.py OLD NEW`.

Prints every number that moved by more than `--threshold` (5 %), worst first, with the side it moved to. Ends with
status 1 where a ratio fell by more than 10 % beyond its own scatter: old and new each carry the distance between the
quartiles of their rounds, and the larger of the two is allowed for. Ratios compare what ran in turns on one machine;
all other numbers move with the machine and its load, and decide nothing. Nor do ratios to one thread or process where
either machine was busy.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HIGHER_IS_BETTER = ("ratio", "msamples_per_s", "mchips_per_s", "symbols_per_s", "frames_per_s", "times_real_time")
LARGEST_FALL = 0.10
OF_IDLE_MACHINES, IDLE_LOAD = ("one thread", "one process"), 0.5
MACHINE = ("cpu", "numba", "numpy", "scipy", "pyfftw")


def numbers(case: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a case with its path."""
    for key, value in case.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from numbers(value, f"{name} / ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def moved(old: dict[str, Any], new: dict[str, Any], threshold: float) -> list[tuple[float, str]]:
    """Changes beyond the threshold: factor by which it got better (below 1: worse), and a line about it."""
    before = {case["case"]: dict(numbers(case)) for case in old["results"]}
    lines = []
    for case in new["results"]:
        for name, value in numbers(case):
            earlier = before.get(case["case"], {}).get(name)
            if not earlier or not value or name.startswith("spread"):
                continue
            gain = value / earlier if name.startswith(HIGHER_IS_BETTER) else earlier / value
            if abs(gain - 1.0) > threshold:
                word = "better" if gain > 1 else "worse"
                lines.append((gain, f"{case['case']}: {name} {earlier:.4g} -> {value:.4g} ({gain:.2f}x, {word})"))
    return sorted(lines)


def fallen(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Lines about the ratios that fell by more than a tenth beyond their scatter, and about those that are gone."""
    after = {case["case"]: case for case in new["results"]}
    busy = any(record.get("machine", {}).get("load_average", 0.0) > IDLE_LOAD for record in (old, new))
    lines = []
    for case in old["results"]:
        later = after.get(case["case"])
        for name, earlier in case.get("ratio", {}).items():
            value = None if later is None else later.get("ratio", {}).get(name)
            if later is None or value is None:
                lines.append(f"{case['case']}: x {name} was {earlier:.3g} and is not measured any more")
                continue
            if busy and name.startswith(OF_IDLE_MACHINES):
                continue
            scatter = max(each.get("spread", {}).get(name, 0.0) for each in (case, later))
            fall = 1.0 - value / earlier
            if fall > LARGEST_FALL + scatter:
                lines.append(
                    f"{case['case']}: x {name} {earlier:.3g} -> {value:.3g}, a fall of {fall:.0%}"
                    f" (scatter {scatter:.0%}, allowed beyond it {LARGEST_FALL:.0%})"
                )
    return lines


def read(path: Path) -> dict[str, Any]:
    """A result file, or a line that says what is wrong with it."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"error: {path} cannot be read: {error}")
    if not isinstance(record, dict) or not all("case" in case for case in record.get("results", [()])):
        sys.exit(f"error: {path} is no result of a benchmark: a 'case' in each of its 'results' is missing")
    return record


def pairs(old: Path, new: Path) -> list[tuple[Path, Path]]:
    """Files to compare: the two, or those of one name in both folders."""
    if old.is_dir() != new.is_dir():
        sys.exit(f"error: {old} and {new} must both be files or both be folders")
    if not old.is_dir():
        return [(old, new)]
    both = [(old / path.name, path) for path in sorted(new.glob("*.json")) if (old / path.name).exists()]
    if not both:
        sys.exit(f"error: {old} and {new} have no result of one name")
    return both


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--threshold", type=float, default=0.05)
    settings = parser.parse_args()
    bad: list[str] = []
    for old_path, new_path in pairs(settings.old, settings.new):
        old, new = read(old_path), read(new_path)
        print(f"{new_path.name}:")
        for key in MACHINE:
            earlier, later = (record.get("machine", {}).get(key) for record in (old, new))
            if earlier != later:
                print(f"  note: {key} differs: {earlier} -> {later}")
        lines = moved(old, new, settings.threshold)
        print("\n".join(f"  {line}" for _, line in lines) or f"  nothing moved by more than {settings.threshold:.0%}")
        bad += fallen(old, new)
    if bad:
        sys.exit("ratios that fell:\n" + "\n".join(f"  {line}" for line in bad))


if __name__ == "__main__":
    main()
