"""The wheel: built from the sources, installed into an empty environment, and the README run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(command: list[str | Path], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, env=OUTSIDE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds the wheel and what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    for name in ("lora_phy", "llm_bridge"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, sources)
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, sources], folder)
    [wheel] = folder.glob("chirpbridge-*.whl")
    venv.create(folder / "empty", with_pip=True)
    programs = folder / "empty" / "bin"
    run([programs / "python", "-m", "pip", "install", "--quiet", wheel], folder)
    return programs


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.timeout(900)
def test_the_readme_runs_where_the_wheel_alone_is_installed(installed: Path, tmp_path: Path) -> None:
    where = run([installed / "python", "-c", "import lora_phy; print(lora_phy.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    for block in blocks:
        assert run([installed / "python", "-c", block], tmp_path).strip()


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.timeout(900)
def test_the_command_and_the_data_of_the_package_are_there(installed: Path, tmp_path: Path) -> None:
    assert run([installed / "chirpbridge-radio", "--version"], tmp_path).startswith("chirpbridge ")
    assert "eu868-dr5" in run([installed / "chirpbridge-radio", "plan", "20"], tmp_path)
    listing = "import importlib.resources as r; print(*(p.name for p in r.files({!r}).iterdir()))"
    for folder, suffix in (("lora_phy.conformance", "data"), ("llm_bridge.recipes", "toy.toml")):
        assert suffix in run([installed / "python", "-c", listing.format(folder)], tmp_path).split()
