"""The documentation: what it must cover is there, pictures and links lead somewhere, CI builds it strictly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
NAV = (ROOT / "mkdocs.yml").read_text().split("nav:")[1]
COVERED = {
    "tutorials": ("radio", "learning"),
    "how-to": ("own-model", "own-corpus", "own-channel", "cluster", "gpu"),
    "reference": ("lora_phy", "llm_bridge"),
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


@pytest.mark.parametrize("package", ["lora_phy", "llm_bridge"])
def test_the_reference_names_modules_that_exist(package: str) -> None:
    """The reference is generated from docstrings, whose examples the test suite runs."""
    named = re.findall(r"^::: (\S+)", (DOCS / f"reference/{package}.md").read_text(), re.M)
    assert named
    for dotted in named:
        owner, _, name = dotted.rpartition(".")
        module, parent = (ROOT.joinpath(*text.split(".")).with_suffix(".py") for text in (dotted, owner))
        assert module.exists() or f"class {name}" in parent.read_text(encoding="utf-8"), dotted


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
