"""The MiniBugs programs, as text: an `Entry` holds one program with its bug written as a two-way diff.

In `Entry.program` the first column says which version a line belongs to: ``-`` the buggy one, ``+`` the correct one,
a blank both. So the bug is seen where it stands, and nothing but the marked line can differ::

     def rotate(items, steps):
    -    return items[-steps:] + items[:-steps]
    +    return items[steps:] + items[:steps]

One module for each family of defects: `omissions` (something is missing), `operators`, `names` (the wrong name, the
wrong order), `counting` (off by one, wrong slice, missing arithmetic).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One program: its specification, its text with the marked line, and its cases.

    Arguments and results are plain data (numbers, strings, lists, dictionaries with string keys, None), so that they
    survive JSON.
    """

    name: str
    defect_class: str
    docstring: str
    program: str
    tests: tuple[tuple[list[object], object], ...]

    def version(self, marker: str) -> str:
        """Text of one version; `marker` is "-" for the buggy, "+" for the correct one."""
        lines = self.program.strip("\n").splitlines()
        return "".join(line[1:] + "\n" for line in lines if line[0] in (" ", marker))
