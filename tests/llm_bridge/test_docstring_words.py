"""The docstrings of corpora, scoring, study, training and transport, held to what of the house style can be checked.

First lines are noun phrases or imperatives with the field's term: one sentence, no question, no dangling preposition.
Parameter texts are sentences of their own. Words that were replaced by the field's terms do not come back.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "llm_bridge"
FOLDERS = ("corpora", "scoring", "study", "training", "transport")
ELSEWHERE = {"sandbox.py", "_isolation"}
FILES = sorted(
    path
    for folder in FOLDERS
    for path in (PACKAGE / folder).rglob("*.py")
    if not ELSEWHERE & {*path.relative_to(PACKAGE).parts}
)
PREPOSITIONS = "of for to from with in on at by as into than about between under over without before after".split()
FRAGMENTS = re.compile(r"(Of|As in|As above|See|For|In|To|From|With|By|Also|Both|Where|When|And|Or|That|Which) ")
FORBIDDEN = {
    "hole": "erasure", "holes": "erasure", "suspicion": "bug score", "suspicious": "with the largest bug score",
    "collapse": "conditional independence given the error rate", "learner": "model run", "judge": "evaluate",
    "judged": "evaluated", "patient": "with a long timeout", "habits": "distribution",
    "hand": "distribution", "echo": "copy",
}  # fmt: skip

PUBLISHED_KEYS = re.compile(r'"(learner|holes)":')
"""Keys of files that are published, which keep their names."""


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """(where, docstring) of a module, its classes and its functions."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 1)}", text


def parameters(text: str) -> Iterator[tuple[str, str]]:
    """(name, text) of a numpydoc section "Parameters"."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-{3,}\n|\Z)", text, re.S | re.M)
    if section:
        for entry in re.finditer(r"^(\w[^\n]*)\n((?:[ ]+[^\n]*\n?|\n(?=[ ]))+)", section[1] + "\n", re.M):
            yield entry[1], " ".join(entry[2].split())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_first_lines(path: Path) -> None:
    bad = []
    for where, text in docstrings(path):
        first = text.splitlines()[0]
        words = re.findall(r"[\w']+", first)
        if not first.endswith((".", ":", ";")) and "." not in first:
            bad.append(f"{where}: no sentence: {first}")
        elif "?" in first:
            bad.append(f"{where}: a question: {first}")
        elif words[-1].lower() in PREPOSITIONS or words[0] in ("What", "How", "Where", "Which", "Why"):
            bad.append(f"{where}: no noun phrase: {first}")
    assert not bad, "\n" + "\n".join(bad)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_parameter_texts_are_sentences(path: Path) -> None:
    bad = []
    for where, text in docstrings(path):
        for name, said in parameters(text):
            ends = said.endswith((".", ":", ")")) or " - " in said  # the last point of a list ends without a stop
            if len(said.split()) < 3 or not ends or FRAGMENTS.match(said) or said[0].islower():
                bad.append(f"{where}: {name}: {said}")
    assert not bad, "\n" + "\n".join(bad)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_replaced_words_stay_replaced(path: Path) -> None:
    bad = [
        f"{path.relative_to(PACKAGE)}:{number}: {word!r} is {FORBIDDEN[word.lower()]!r} here: {line.strip()}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for word in re.findall(r"[A-Za-z]+", PUBLISHED_KEYS.sub("", line))
        if word.lower() in FORBIDDEN
    ]
    assert not bad, "\n" + "\n".join(bad)
