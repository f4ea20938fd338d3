"""The kit itself: no law is empty, every fault is found, and a stranger's modem is told what it gets wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lora_phy.conformance.adapter import load_adapter
from lora_phy.conformance.laws import LAWS, run_law
from lora_phy.conformance.mutants import MUTANTS
from lora_phy.conformance.vectors import chip_vectors, peer_vectors

BY_NAME = {law.name: law for law in LAWS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.fault)
def test_a_fault_breaks_the_laws_that_it_must(mutant) -> None:
    for name in mutant.broken:
        with pytest.raises((AssertionError, IndexError, FloatingPointError)):
            run_law(BY_NAME[name], mutant.adapter, shrink=False)


def test_no_law_is_empty() -> None:
    assert {name for mutant in MUTANTS for name in mutant.broken} == set(BY_NAME)
    assert all(law.statement.endswith((".", ":")) and law.needs for law in LAWS)


def test_vectors_cover_every_spreading_factor_and_coding_rate() -> None:
    assert {(v.params.sf, v.params.cr) for v in peer_vectors()} == {
        (sf, cr) for sf in range(5, 13) for cr in range(1, 5)
    }
    assert len(chip_vectors()) == 12 and any(v.params.ldro for v in chip_vectors())


def test_a_module_without_any_function_is_refused() -> None:
    with pytest.raises(ValueError, match="'modem' must have at least one of encode_payload"):
        load_adapter("math")


STRANGER = '''
from lora_phy import encode_payload as right

def encode_payload(payload, params):
    """Symbols that count from 0."""
    return (right(payload, params) - 1) % params.num_bins
'''


def test_a_stranger_is_told_law_by_law(tmp_path: Path) -> None:
    (tmp_path / "my_modem.py").write_text(STRANGER)
    options = ["-p", "lora_phy.conformance.plugin", "-p", "no:cacheprovider", "--modem", "my_modem", "-ra"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--pyargs", "lora_phy.conformance"],
        cwd=tmp_path, env=_environment(tmp_path), capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    for name in ("encodes_as_a_peer_does", "encodes_as_chips_do"):
        assert "FAILED" in done.stdout and f"test_law[{name}]" in done.stdout
    assert "The law: `encode_payload` gives the symbols that another implementation sends." in done.stdout
    assert "'payload': b''" in done.stdout  # the smallest input that breaks the third law
    assert "my_modem has no receive" in done.stdout
    assert "3 failed, 1 passed, 22 skipped" in done.stdout


@pytest.mark.skipif("LORA_PHY_PEER" not in os.environ, reason="no interpreter with lora-phy 0.3.0 in LORA_PHY_PEER")
def test_the_known_faults_of_the_published_package_come_out() -> None:
    """A positive offset moves every symbol by one; 4/5 to 4/7 have the length of 4/8 (peers/published_lora_phy.py)."""
    sys.path.insert(0, str(Path(__file__).parent / "peers"))
    peer = load_adapter("published_lora_phy")
    with pytest.raises(AssertionError, match=r"\+0\.25 bins: .*bad_crc"):
        run_law(BY_NAME["offsets_of_either_sign_are_bridged"], peer)
    with pytest.raises(AssertionError, match=r"\d+ symbols, the formula gives \d+"):
        run_law(BY_NAME["frames_have_the_length_of_the_data_sheet"], peer)


def _environment(folder: Path) -> dict[str, str]:
    root = Path(__file__).resolve().parents[3]
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{root}"}
