"""Compare two result files of a benchmark, old and new: `python benchmarks/compare.py old.json new.json`.

Prints every number that moved by more than `--threshold` (5 %), worst first, with the side it moved to.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HIGHER_IS_BETTER = ("ratio", "msamples_per_s", "speedup", "frames_per_s")


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
            if not earlier or not value:
                continue
            gain = value / earlier if name.startswith(HIGHER_IS_BETTER) else earlier / value
            if abs(gain - 1.0) > threshold:
                word = "better" if gain > 1 else "worse"
                lines.append((gain, f"{case['case']}: {name} {earlier:.4g} -> {value:.4g} ({gain:.2f}x, {word})"))
    return sorted(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--threshold", type=float, default=0.05)
    settings = parser.parse_args()
    old, new = (json.loads(path.read_text()) for path in (settings.old, settings.new))
    for key in ("cpu", "numba", "numpy", "scipy"):
        if old["machine"].get(key) != new["machine"].get(key):
            print(f"note: {key} differs: {old['machine'].get(key)} -> {new['machine'].get(key)}")
    lines = moved(old, new, settings.threshold)
    print("\n".join(line for _, line in lines) or f"nothing moved by more than {settings.threshold:.0%}")


if __name__ == "__main__":
    main()
