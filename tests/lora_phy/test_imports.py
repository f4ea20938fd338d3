"""Importing the radio is quick: what is slow to import and seldom needed is imported where it is used."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import lora_phy


def test_importing_the_radio_leaves_slow_libraries_alone() -> None:
    slow = {"scipy.signal", "scipy.stats", "rich", "concurrent.futures.process", "matplotlib", "sigmf"}
    program = f"import sys, lora_phy; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


def test_importing_the_radio_costs_no_more_than_the_interpreter() -> None:
    program = (
        "import resource, sys; import lora_phy; used = resource.getrusage(resource.RUSAGE_SELF);"
        "print(used.ru_utime + used.ru_stime, {'numba', 'numpy', 'scipy'} & set(sys.modules))"
    )
    seconds, loaded = python(program).stdout.split(maxsplit=1)
    assert float(seconds) < 0.3 and loaded.strip() == "set()"


def test_the_public_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse(Path(lora_phy.__file__).read_text())
    [typed] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.asname: node.module for node in typed.body for alias in node.names if alias.asname}  # type: ignore[attr-defined]
    assert seen == lora_phy._HOME and sorted(seen) == sorted(lora_phy.__all__)


def test_every_public_name_is_there_and_listed() -> None:
    for name in lora_phy.__all__:
        home = lora_phy._HOME[name]
        assert getattr(lora_phy, name) is getattr(importlib.import_module(home), name)
        assert name in dir(lora_phy)
    with pytest.raises(AttributeError, match="no attribute 'recieve'"):
        _ = lora_phy.recieve


def test_a_name_is_imported_when_it_is_used_and_modules_too() -> None:
    program = (
        "import sys, lora_phy; lora_phy.LoRaParams(sf=7); assert 'numba' not in sys.modules;"
        "lora_phy.channel.Multipath; lora_phy.units; lora_phy.theory.ser_awgn(7, -10.0); print('fine')"
    )
    done = python(program)
    assert done.stdout == "fine\n", done.stderr


def test_the_version_is_that_of_the_distribution() -> None:
    assert lora_phy.__version__ == importlib.metadata.version("chirpbridge")
