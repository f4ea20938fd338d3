"""MiniBugs: 42 small programs of our own with one-line bugs, three for each of QuixBugs' 14 defect classes.

They need no download and are in no crawl, so a pretrained model cannot know them. Half of the bugs make the text
longer and half shorter (in bytes and in tokens), so that the length of a text says nothing about its label. The
programs themselves stand in `llm_bridge.corpora.minibugs_data`.
"""

from __future__ import annotations

from llm_bridge.corpora.minibugs_data import Entry, counting, names, omissions, operators
from llm_bridge.corpora.programs import DEFECT_CLASSES, ProgramPair, TestSuite, normalise, single_edit

CORPUS = "minibugs"


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
    entries = (*omissions.ENTRIES, *operators.ENTRIES, *names.ENTRIES, *counting.ENTRIES)
    return [_pair(entry) for entry in sorted(entries, key=lambda entry: DEFECT_CLASSES.index(entry.defect_class))]


def _pair(entry: Entry) -> ProgramPair:
    buggy, correct = normalise(entry.version("-")), normalise(entry.version("+"))
    return ProgramPair(
        name=entry.name,
        buggy=buggy,
        correct=correct,
        docstring=entry.docstring,
        buggy_line=single_edit(buggy, correct).first,
        tests=TestSuite(cases=entry.tests),
        corpus=CORPUS,
        group=entry.name,
        defect_class=entry.defect_class,
    )
