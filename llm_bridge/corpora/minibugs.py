"""MiniBugs: 42 small programs of our own with one-line bugs, three for each of QuixBugs' 14 defect classes.

They need no download and are in no crawl, so a pretrained model cannot know them. Half of the bugs make the text
longer and half shorter (in bytes and in tokens), so that the length of a text says nothing about its label.

The programs stand in ``minibugs_data/*.toml``, a file for each family of defects. The bug of a program is written as a
two-way diff: the first column says which version a line belongs to, ``-`` the buggy one, ``+`` the correct one, a blank
both. So the bug is seen where it stands, and nothing but the marked line can differ::

     def rotate(items, steps):
    -    return items[-steps:] + items[:-steps]
    +    return items[steps:] + items[:steps]

A case is a line of JSON, the arguments and the result.
"""

from __future__ import annotations

import json
import tomllib
from importlib import resources

from llm_bridge.corpora.programs import DEFECT_CLASSES, ProgramPair, TestSuite, normalise, single_edit

CORPUS = "minibugs"
FAMILIES = ("omissions", "operators", "names", "counting")


def load() -> list[ProgramPair]:
    """All 42 pairs, in the order of `DEFECT_CLASSES` and within a class in the order of the data.

    Returns
    -------
    list of ProgramPair
        In normal form, `group` is the program's name, every pair with at least five cases in its `tests`.

    Examples
    --------
    >>> pairs = load()
    >>> len(pairs), pairs[0].name, pairs[0].buggy_line
    (42, 'moving_average', 3)
    """
    folder = resources.files("llm_bridge.corpora") / "minibugs_data"
    texts = [(folder / f"{family}.toml").read_text(encoding="utf-8") for family in FAMILIES]
    programs: list[dict[str, str]] = [program for text in texts for program in tomllib.loads(text)["program"]]
    return [_pair(**p) for p in sorted(programs, key=lambda p: DEFECT_CLASSES.index(p["defect_class"]))]


def version(text: str, marker: str) -> str:
    """One version of a program; `marker` is "-" for the buggy, "+" for the correct one."""
    lines = text.strip("\n").splitlines()
    return "".join(line[1:] + "\n" for line in lines if line[0] in (" ", marker))


def _pair(name: str, defect_class: str, docstring: str, text: str, cases: str) -> ProgramPair:
    buggy, correct = normalise(version(text, "-")), normalise(version(text, "+"))
    return ProgramPair(
        name=name,
        buggy=buggy,
        correct=correct,
        docstring=docstring,
        buggy_line=single_edit(buggy, correct).first,
        tests=TestSuite(cases=tuple((arguments, result) for arguments, result in map(json.loads, cases.splitlines()))),
        corpus=CORPUS,
        group=name,
        defect_class=defect_class,
    )
