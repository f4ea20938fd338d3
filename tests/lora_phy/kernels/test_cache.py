"""Compiled kernels are kept where that is possible, and the library works where it is not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from numba.core import config

import lora_phy
from lora_phy.kernels import cache

PACKAGE = Path(lora_phy.__file__).parent
OTHER_USER = ["--reuid", "54321", "--regid", "54321", "--clear-groups"]


@pytest.fixture
def numba_place(monkeypatch):
    """No NUMBA_CACHE_DIR for the length of a test."""
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")


def test_every_folder_with_compiled_functions_is_looked_at():
    found = {
        str(path.parent.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\bnjit\(", path.read_text())
    }
    assert found == set(cache._FOLDERS)


def test_no_compiled_function_insists_on_a_cache():
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r"njit\([^)]*cache=True", path.read_text()), path


def test_where_the_package_can_be_written_nothing_changes(numba_place, caplog):
    assert cache.find_cache() and config.CACHE_DIR == "" and not caplog.records


def test_else_a_private_temporary_folder_serves(numba_place, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(cache, "_can_write", lambda folder: folder.is_relative_to(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache.find_cache()
    folder = Path(config.CACHE_DIR)
    assert folder.parent == tmp_path and os.environ["NUMBA_CACHE_DIR"] == str(folder)
    assert [record.levelname for record in caplog.records] == ["WARNING"] and str(folder) in caplog.text
    if os.name != "nt":
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.name == "nt", reason="permissions as on Unix")
def test_a_folder_that_others_can_write_is_not_used(numba_place, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(cache, "_can_write", lambda folder: folder.is_relative_to(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"lora_phy-{os.getuid()}").mkdir()
    (tmp_path / f"lora_phy-{os.getuid()}").chmod(0o777)
    assert not cache.find_cache() and "cannot be kept" in caplog.text


def test_nowhere_to_write_means_no_cache(numba_place, monkeypatch, caplog):
    monkeypatch.setattr(cache, "_can_write", lambda folder: False)
    assert not cache.find_cache()
    assert len(caplog.records) == 1 and "cannot be kept anywhere" in caplog.text


def test_a_named_folder_that_cannot_be_written_is_said(numba_place, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "file" / "folder"))
    assert cache.find_cache() and config.CACHE_DIR == ""
    assert len(caplog.records) == 1 and "NUMBA_CACHE_DIR" in caplog.text and "file/folder" in caplog.text


@pytest.mark.skipif(
    shutil.which("setpriv") is None or not hasattr(os, "getuid") or os.getuid() != 0,
    reason="needs root and setpriv, to become another user",
)
@pytest.mark.parametrize("home", [None, "/nonexistent"])
def test_a_user_id_without_home_and_account(home):
    """A container with a foreign user id: the package read-only, no passwd entry, no home that can be written."""
    program = "from lora_phy.kernels.modem import modulate_batch; print(modulate_batch([3], 7).shape)"
    if subprocess.run(["setpriv", *OTHER_USER, sys.executable, "-c", "import numba"], capture_output=True).returncode:
        pytest.skip("another user cannot read this environment")
    with tempfile.TemporaryDirectory(prefix="lora_phy-test-") as name:
        Path(name).chmod(0o777)
        environment = {"PATH": os.environ["PATH"], "TMPDIR": name, "PYTHONPATH": str(PACKAGE.parent)}
        environment |= {"HOME": home} if home else {}
        done = subprocess.run(
            ["setpriv", *OTHER_USER, sys.executable, "-c", program],
            capture_output=True, text=True, timeout=200, env=environment, cwd="/",
        )  # fmt: skip
        assert done.stdout == "(128,)\n", done.stderr
        assert done.stderr.count(f"compiled kernels are kept in {name}/lora_phy-54321") == 1
        assert list(Path(name, "lora_phy-54321").rglob("*.nbi"))
