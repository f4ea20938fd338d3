"""The documentation: what it must cover is there, pictures and links lead somewhere, CI builds it strictly."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lora_phy import ChannelParams

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
NAV = (ROOT / "mkdocs.yml").read_text().split("nav:")[1]
COVERED = {
    "tutorials": ("radio", "learning"),
    "how-to": ("own-model", "own-corpus", "own-channel", "cluster", "gpu"),
    "reference": (
        *("parameters", "frames-and-coding", "modem", "channel", "receiving", "monte-carlo", "theory"),
        *("collisions-and-tables", "planning", "plotting", "presets"),
        *("corpora", "transport", "training", "scoring", "study", "recipe"),
    ),
    "explanation": ("conventions", "receiver", "lora-and-lora", "scores", "statistics", "left-out", "hypotheses"),
    "gallery": ("index",),
    "decisions": ("index",),
}


def name_of(page: Path) -> str:
    return str(page.relative_to(DOCS))


def links(page: Path) -> list[str]:
    """Targets of links and pictures that are neither addresses nor places on the page itself."""
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    found = re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", text)
    return [target.split("#")[0] for target in found if not re.match(r"[a-z]+:|#", target)]


def test_ci_builds_the_documentation_strictly() -> None:
    assert "make docs" in (ROOT / ".ci" / "run").read_text()
    recipe = (ROOT / "Makefile").read_text().split("\ndocs:")[1].split("\n\n")[0]
    assert "mkdocs build --strict" in recipe


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    missing = [target for target in links(page) if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("folder", COVERED)
def test_every_kind_of_page_is_there_and_in_the_navigation(folder: str) -> None:
    for stem in COVERED[folder]:
        assert (DOCS / folder / f"{stem}.md").exists() and f"{folder}/{stem}.md" in NAV


def test_every_page_is_in_the_navigation() -> None:
    assert [name_of(page) for page in PAGES if name_of(page) not in NAV] == []


def test_every_picture_of_the_gallery_is_shown_and_drawn_by_a_script() -> None:
    shown = {target for target in links(DOCS / "gallery/index.md") if target.endswith(".svg")}
    assert shown == {path.name for path in (DOCS / "gallery").glob("*.svg")}
    drawing = [*(DOCS / "gallery").glob("make_*.py"), *(ROOT / "benchmarks").glob("*.py")]
    scripts = "".join(path.read_text(encoding="utf-8") for path in drawing)
    assert {name for name in shown if name not in scripts and f'"{Path(name).stem}"' not in scripts} == set()


def defined_in(module: Path) -> set[str]:
    """Public names that a file defines: functions, classes and constants."""
    names = set()
    for node in ast.parse(module.read_bytes()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


def file_of(dotted: str) -> Path | None:
    """The file of a module or package."""
    plain = ROOT.joinpath(*dotted.split("."))
    return next((path for path in (plain.with_suffix(".py"), plain / "__init__.py") if path.exists()), None)


def documented() -> dict[str, Path]:
    """Every name that the reference documents, as ``module.name``, and the page it stands on."""
    found = {}
    for page in sorted((DOCS / "reference").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^::: (\S+)\n(?: +options:\n +members: \[(.*?)\]\n?)?", text + "\n", re.M):
            dotted, members = match.groups()
            file = file_of(dotted)
            if file is None:
                owner, _, name = dotted.rpartition(".")
                file = file_of(owner)
                assert file is not None and name in defined_in(file), f"{page.name}: {dotted}"
                found[dotted] = page
            else:
                wanted = [name.strip() for name in members.split(",")] if members else sorted(defined_in(file))
                assert set(wanted) <= defined_in(file), f"{page.name}: {dotted}: {set(wanted) - defined_in(file)}"
                found |= {f"{dotted}.{name}": page for name in wanted}
    return found


def home_of(package: str, name: str) -> str:
    """The module that defines a public name."""
    value = getattr(importlib.import_module(package), name)
    return f"{value.__name__}" if isinstance(value, ModuleType) else f"{value.__module__}.{name}"


@pytest.mark.parametrize("package", ["lora_phy", "llm_bridge"])
def test_every_public_name_has_its_place_in_the_reference(package: str) -> None:
    """The reference is generated from docstrings, whose examples the test suite runs."""
    known = documented()
    modules = {name.rpartition(".")[0] for name in known}
    public = importlib.import_module(package).__all__
    assert len(public) == len(set(public)) > 6
    missing = [name for name in public if (home := home_of(package, name)) not in known and home not in modules]
    assert missing == []


def test_every_field_of_the_channel_has_a_row() -> None:
    table = (DOCS / "reference/channel.md").read_text()
    assert [field.name for field in dataclasses.fields(ChannelParams) if f"\n| `{field.name}` |" not in table] == []


def test_the_architecture_page_names_files_that_exist() -> None:
    table = (DOCS / "explanation/architecture.md").read_text().split("## Where is")[1]
    for name in re.findall(r"`((?:lora_phy|llm_bridge|tests)/[\w/]+(?:\.py)?/?)`", table):
        assert (ROOT / name).exists(), name


def test_the_picture_of_the_architecture_shows_every_folder() -> None:
    picture = (DOCS / "gallery/architecture.svg").read_text()
    for package in ("lora_phy", "llm_bridge"):
        folders = [path.name for path in (ROOT / package).iterdir() if (path / "__init__.py").exists()]
        assert folders
        for folder in folders:
            assert f"<!-- {folder} -->" in picture, f"run docs/gallery/make_architecture.py: {folder} is missing"


def maker(name: str) -> ModuleType:
    """A script that writes a page of the reference."""
    specification = importlib.util.spec_from_file_location(name, DOCS / f"reference/{name}.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_page_of_commands_is_the_one_that_the_parsers_give() -> None:
    pytest.importorskip("typer")
    text = maker("make_commands").page()
    assert text.count("\n### `python -m ") > 12
    assert (DOCS / "reference/commands.md").read_text(encoding="utf-8") == text, "run docs/reference/make_commands.py"


def test_the_page_of_result_columns_is_the_one_that_the_formats_give() -> None:
    pytest.importorskip("pandas")
    text = maker("make_result_columns").page()
    page = (DOCS / "reference/result-columns.md").read_text(encoding="utf-8")
    assert page == text, "run docs/reference/make_result_columns.py"


def test_the_example_grid_has_every_key_of_a_recipe() -> None:
    """`preset` excludes others, and stands there as a comment."""
    pytest.importorskip("pydantic")
    from llm_bridge.study.recipe_files import keys_table

    page = (DOCS / "how-to/own-grid.md").read_text(encoding="utf-8")
    recipe = page.split('RECIPE = """')[1].split('"""')[0]
    told = {line.lstrip("# ").split(" =")[0] for line in recipe.splitlines() if " = " in line}
    known = set(re.findall(r"^\| `(\w+)` \|", keys_table(), re.M))
    assert known - told == set(), "add an example of each new key to docs/how-to/own-grid.md"
    assert told - known == set()


NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.py"))


def test_there_are_nine_notebooks_in_the_navigation_and_the_build_executes_them() -> None:
    assert len(NOTEBOOKS) >= 9
    assert [name_of(page) for page in NOTEBOOKS if name_of(page) not in NAV] == []
    plugin = (ROOT / "mkdocs.yml").read_text().split("mkdocs-jupyter:")[1].split("mkdocstrings:")[0]
    assert re.search(r"execute: !ENV \[\w+, true\]", plugin) and "allow_errors: false" in plugin


@pytest.mark.parametrize("page", NOTEBOOKS, ids=name_of)
def test_links_of_notebooks_lead_somewhere(page: Path) -> None:
    targets = [target for target in links(page) if re.search(r"\.\w+$", target)]
    assert not [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.slow
@pytest.mark.parametrize("page", NOTEBOOKS, ids=name_of)
def test_notebooks_run_as_scripts_too(page: Path) -> None:
    """`make docs` executes them in any case; this is for whoever changes one without building the site."""
    environment = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, page], cwd=page.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
