"""What the project promises about itself: dependencies, extras, documents whose examples run, no stray words."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in requirements}


def test_a_plain_install_pulls_three_packages() -> None:
    assert names(PROJECT["dependencies"]) == {"numpy", "scipy", "numba"}


def test_each_package_has_one_console_command() -> None:
    assert set(PROJECT["scripts"]) == {"chirpbridge-radio", "chirpbridge-study"}
    for target in PROJECT["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("package", ["lora_phy", "llm_bridge"])
def test_what_lies_in_the_callers_folder_is_not_imported(package: str, tmp_path: Path) -> None:
    """A folder with files named like every module of the standard library, and like the packages that are used."""
    names = {*sys.stdlib_module_names, "numpy", "scipy", "numba", "typer", "rich", "sitecustomize"}
    for name in names:
        if name.isidentifier():
            (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the caller has {name}')\n")
    for arguments in (["--help"], ["--version"] if package == "lora_phy" else ["models", "--help"]):
        command = [sys.executable, "-m", package, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and "the caller has" not in done.stdout + done.stderr, done.stderr


def test_the_extras_are_the_promised_ones_and_only_llm_pulls_torch() -> None:
    extras = PROJECT["optional-dependencies"]
    assert set(extras) == {
        "plot", "recordings", "cluster", "mutants", "corpora", "bridge", "llm", "conformance", "dev", "docs",
    }  # fmt: skip
    assert {name for name, packages in extras.items() if "torch" in names(packages)} == {"llm"}


def test_ci_runs_what_the_readme_names() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "make test" in readme and "make demo" in readme
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def pages_with_examples() -> dict[str, str]:
    """Page to its Python blocks, joined: later blocks of a page build on earlier ones."""
    pages = {}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
        if blocks:
            pages[str(page.relative_to(ROOT))] = "\n".join(blocks)
    return pages


@pytest.mark.parametrize(("page", "program"), pages_with_examples().items(), ids=list(pages_with_examples()))
def test_the_examples_of_the_documents_run(page: str, program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, f"{page}\n{done.stderr}"
    assert done.stdout.strip(), f"{page} shows nothing"
    for shown in re.findall(r"^```text\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S):
        assert shown in done.stdout, f"{page} shows other output than its examples print:\n{shown}"


def test_importing_the_radio_imports_neither_torch_nor_a_plotting_library() -> None:
    program = (
        "import sys, lora_phy; print(sorted({'torch','transformers','matplotlib','pandas','rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr
