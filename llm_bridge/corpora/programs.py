"""`ProgramPair`: one program, buggy and correct, with its tests; and the normal form in which all programs travel.

Everything here works on text and syntax trees; nothing runs a program (see `llm_bridge.scoring.sandbox`).

The normal form removes what would give the label away without reading the program (comments, docstrings, layout,
alternative solutions kept in strings): parse, drop every string statement, keep the first definition of each
module-level name, `ast.unparse`, one trailing newline.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

COMPARISONS = ("equal", "list", "tuples", "approx_last_argument")

#: The 14 defect classes of QuixBugs (Lin et al., SPLASH Companion 2017, Table 1), in the table's order.
DEFECT_CLASSES = (
    "missing/added +1",
    "variable swap",
    "incorrect variable",
    "incorrect comparison operator",
    "missing function call",
    "missing line",
    "missing condition",
    "incorrect array slice",
    "variable prepend",
    "incorrect data structure constant",
    "incorrect assignment operator",
    "incorrect method called",
    "incorrect field dereference",
    "missing arithmetic expression",
)


@dataclass(frozen=True, kw_only=True)
class TestSuite:
    """Tests of a program: input-output cases, or a pytest module.

    Parameters
    ----------
    cases
        ``(arguments, expected)`` pairs; a single argument may stand unwrapped. Empty where `test_module` is given.
    compare
        "equal"; "list" (consume the generator first); "tuples" (expected is a list of tuples);
        "approx_last_argument" (absolute tolerance = last argument).
    skip
        Indices of cases that are too slow to run.
    test_module
        Text of a pytest module that imports the program from the module named after it.
    helpers
        File name to text, put beside the program.
    """

    __test__ = False  # not a pytest class, whatever its name begins with

    cases: tuple[tuple[object, object], ...] = ()
    compare: str = "equal"
    skip: tuple[int, ...] = ()
    test_module: str | None = None
    helpers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate the comparison's name."""
        if self.compare not in COMPARISONS:
            raise ValueError(f"'compare' must be one of {', '.join(COMPARISONS)} (got {self.compare!r})")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """The one changed hunk of a pair, in lines of the buggy text, 1-based: ``first`` to ``last`` inclusive.

    ``last == first - 1`` is an insertion before line `first`.
    """

    first: int
    last: int

    @property
    def insertion(self) -> bool:
        """Whether the fix adds a line and changes none."""
        return self.last < self.first


@dataclass(frozen=True, kw_only=True)
class ProgramPair:
    """A buggy program and its correct version, both in normal form, that differ in one line.

    `buggy_line` is 1-based in `buggy`; for a missing line it is the line before which the missing one belongs.
    `group` is the unit that never straddles a split and that a bootstrap resamples (the program, or the module that
    a mutant was made from).
    """

    name: str
    buggy: str
    correct: str
    docstring: str
    buggy_line: int
    tests: TestSuite
    corpus: str
    group: str
    defect_class: str | None = None

    @property
    def gold_lines(self) -> tuple[int, ...]:
        """Lines of `buggy` that count as right: the changed one, or both neighbours of a missing one."""
        edit = single_edit(self.buggy, self.correct)
        if not edit.insertion:
            return tuple(range(edit.first, edit.last + 1))
        last_line = len(self.buggy.splitlines())
        return tuple(line for line in (edit.first - 1, edit.first) if 1 <= line <= last_line)


def normalise(source: str) -> str:
    r"""Normal form of a program's text.

    Parameters
    ----------
    source
        Python source text.

    Returns
    -------
    str
        Without comments, docstrings and other string statements; first definition of each name; one trailing newline.

    Raises
    ------
    SyntaxError
        Where `source` does not parse.

    Examples
    --------
    >>> print(normalise("def f(x):\n    'doc'\n    return  x # same\n\ndef f(y): return 0\n'f(1)'\n"), end="")
    def f(x):
        return x
    """
    tree = ast.parse(source)
    seen: set[str] = set()
    body: list[ast.stmt] = []
    for node in tree.body:
        name = getattr(node, "name", None)
        if name is not None:
            if name in seen:
                continue
            seen.add(name)
        body.append(node)
    tree.body = body
    tree = ast.fix_missing_locations(_DropStrings().visit(tree))
    return ast.unparse(tree).strip("\n") + "\n"


class _DropStrings(ast.NodeTransformer):
    """Remove statements that are nothing but a string; an emptied block gets `pass`."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == [] and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node


def single_edit(buggy: str, correct: str) -> Edit:
    r"""Locate the one hunk in which two texts differ.

    Raises
    ------
    ValueError
        Where the texts are equal, or differ in more than one hunk.

    Examples
    --------
    >>> single_edit("a\nb\n", "a\nc\n")
    Edit(first=2, last=2)
    >>> single_edit("a\nb\n", "a\nx\nb\n").insertion
    True
    """
    matcher = difflib.SequenceMatcher(a=buggy.splitlines(), b=correct.splitlines(), autojunk=False)
    hunks = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    if len(hunks) != 1:
        raise ValueError(f"a pair must differ in exactly one hunk of lines (got {len(hunks)})")
    _, first, last, _, _ = hunks[0]
    return Edit(first=first + 1, last=last)


def corpus_hash(pairs: Iterable[ProgramPair]) -> str:
    """SHA-256 over names and texts, in order: two results with different hashes are never pooled."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(json.dumps([pair.corpus, pair.name, pair.buggy, pair.correct]).encode())
    return digest.hexdigest()


def line_spans(text: str) -> list[tuple[int, int]]:
    r"""UTF-8 byte span ``(start, end)`` of each line, the newline included.

    Examples
    --------
    >>> line_spans("ab\nc\n")
    [(0, 3), (3, 5)]
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for line in text.splitlines(keepends=True):
        end = start + len(line.encode())
        spans.append((start, end))
        start = end
    return spans


def entry_point(pair: ProgramPair) -> str:
    """Name of the function under test: the program's own name where it defines it, else the first it defines.

    A pytest module imports the program by the program's own name, whatever the functions are called.
    """
    if pair.tests.test_module is not None:
        return pair.name
    tree = ast.parse(pair.correct)
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return pair.name if pair.name in names or not names else names[0]
