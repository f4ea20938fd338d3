"""Importing the radio is quick: what is slow to import and seldom needed is imported where it is used."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_radio_leaves_slow_libraries_alone() -> None:
    slow = {"scipy.signal", "scipy.stats", "rich", "concurrent.futures.process", "matplotlib", "sigmf"}
    program = f"import sys, lora_phy; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
