"""QuixBugs: 40 classical algorithms with one-line bugs, read from where the user has them; never part of this package.

Two forms are read and give equal pairs: a clone of the upstream repository, and one JSON record per program::

    clone/python_programs/NAME.py            buggy, its specification in a string at the end of the file
    clone/correct_python_programs/NAME.py    correct, sometimes with alternative solutions in strings
    clone/json_testcases/NAME.json           one [arguments, expected] per line: 31 programs
    clone/python_testcases/test_NAME.py      a pytest module for each of the nine graph and list programs

    quixbugs.jsonl, quixbugs_node.json       the same as records; node.py, which the graph programs import

The raw files give the label away (the specification stands in all buggy files, in one correct file), so both versions
are brought into the normal form of `llm_bridge.corpora.programs` and carry the same docstring beside the text.

Source: Lin, Koppel, Chen, Solar-Lezama, "QuixBugs: a multi-lingual program repair benchmark set based on the Quixey
Challenge", SPLASH Companion 2017.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from llm_bridge.corpora.programs import ProgramPair, TestSuite, normalise, single_edit

CORPUS = "quixbugs"


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """Facts of a program beyond its cases (``quixbugs_facts.toml``)."""

    defect_class: str | None = None
    compare: str = "equal"
    skip: tuple[int, ...] = ()
    test_module: bool = False


@cache
def _facts() -> dict[str, _Facts]:
    """Facts of each program, by its name."""
    text = resources.files("llm_bridge.corpora").joinpath("quixbugs_facts.toml").read_text(encoding="utf-8")
    return {name: _Facts(**{**row, "skip": tuple(row.get("skip", ()))}) for name, row in tomllib.loads(text).items()}


_EXPECTED = (
    "expected the root of a QuixBugs clone (with python_programs/, correct_python_programs/, json_testcases/ and "
    "python_testcases/) or a quixbugs.jsonl file"
)


def load(path: str | Path) -> list[ProgramPair]:
    """The 40 QuixBugs pairs from a clone or a JSONL file, in the order of their names.

    Parameters
    ----------
    path
        Root of a clone in the upstream layout, or the JSONL file with ``quixbugs_node.json`` beside it.

    Returns
    -------
    list of ProgramPair
        Both versions in normal form, differing in one hunk of one line; `docstring` is the buggy file's specification
        for both; `defect_class` is None where the bug fits several of the 14 classes.

    Raises
    ------
    ValueError
        Where `path` is not QuixBugs: it names the path, what was expected, and what was found instead.
    """
    path = Path(path)
    if path.is_dir():
        records = _clone_records(path)
    elif path.is_file():
        records = _jsonl_records(path)
    else:
        raise ValueError(f"no corpus at {path}: {_EXPECTED}, found nothing there")
    names = {record.name for record in records}
    if names != set(_facts()) or len(records) != len(names):
        missing, unknown = sorted(set(_facts()) - names), sorted(names - set(_facts()))
        raise ValueError(
            f"{path} is not QuixBugs: {_EXPECTED} with its 40 programs, found {len(records)} programs"
            f"{_listed(', missing', missing)}{_listed(', unknown', unknown)}"
        )
    return [_pair(record, path) for record in sorted(records, key=lambda record: record.name)]


def is_quixbugs(path: str | Path) -> bool:
    """Whether a path is meant as QuixBugs: a folder, or a JSONL file that begins with one of its programs' records."""
    path = Path(path)
    if not path.is_file():
        return path.is_dir()
    with path.open("rb") as file:
        line = file.readline(1_000_000)
    try:
        row = json.loads(line)
        return row["name"] in _facts() and "test_module" in row and "compare" in row
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


@dataclass(frozen=True, kw_only=True)
class _Record:
    """One program as it lies in the files, before normalisation."""

    name: str
    buggy: str
    correct: str
    docstring: str
    tests: TestSuite


def _pair(record: _Record, path: Path) -> ProgramPair:
    try:
        buggy, correct = normalise(record.buggy), normalise(record.correct)
        edit = single_edit(buggy, correct)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{path} is not QuixBugs: program {record.name!r}: {error}") from error
    return ProgramPair(
        name=record.name,
        buggy=buggy,
        correct=correct,
        docstring=record.docstring,
        buggy_line=edit.first,
        tests=record.tests,
        corpus=CORPUS,
        group=record.name,
        defect_class=_facts()[record.name].defect_class,
    )


def _clone_records(root: Path) -> list[_Record]:
    folders = ("python_programs", "correct_python_programs", "json_testcases", "python_testcases")
    lacking = [folder + "/" for folder in folders if not (root / folder).is_dir()]
    if lacking:
        raise ValueError(f"{root} is not QuixBugs: {_EXPECTED}, found no {' and no '.join(lacking)}")
    lacking = sorted(
        str(file.relative_to(root)) for name in _facts() for file in _clone_files(root, name) if not file.is_file()
    )
    if lacking:
        raise ValueError(f"{root} is not QuixBugs: {_EXPECTED} with its 40 programs{_listed(', missing', lacking)}")
    return [_clone_record(root, name) for name in _facts()]


def _clone_files(root: Path, name: str) -> tuple[Path, Path, Path]:
    """The buggy file, the correct file, and the file with the cases of one program."""
    if _facts()[name].test_module:
        tests = root / "python_testcases" / f"test_{name}.py"
    else:
        tests = root / "json_testcases" / f"{name}.json"
    return root / "python_programs" / f"{name}.py", root / "correct_python_programs" / f"{name}.py", tests


def _clone_record(root: Path, name: str) -> _Record:
    buggy_file, correct_file, tests_file = _clone_files(root, name)
    buggy, correct, tests = _read(buggy_file), _read(correct_file), _read(tests_file)
    if _facts()[name].test_module:
        module = _SWITCH.sub(rf"from {name} import \g<imported>", tests)
        suite = TestSuite(test_module=module, helpers=_clone_helpers(root, module))
    else:
        try:
            cases = [json.loads(line) for line in tests.splitlines() if line.strip()]
            suite = _suite(name, cases)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{tests_file} is not a QuixBugs file of cases: {error}") from error
    return _Record(name=name, buggy=buggy, correct=correct, docstring=_specification(buggy, buggy_file), tests=suite)


# Upstream's modules choose between the two versions by `pytest.use_correct`.
_SWITCH = re.compile(
    r"^if pytest\.use_correct:\n    from correct_python_programs\.\w+ import (?P<imported>\w+)\n"
    r"else:\n    from python_programs\.\w+ import (?P=imported)$",
    re.MULTILINE,
)


def _clone_helpers(root: Path, module: str) -> dict[str, str]:
    if not _imports_node(module):
        return {}
    for folder in ("python_testcases", "python_programs", "correct_python_programs"):
        if (root / folder / "node.py").is_file():
            return {"node.py": _read(root / folder / "node.py")}
    raise ValueError(f"{root} is not QuixBugs: {_EXPECTED}, found no python_testcases/node.py")


def _imports_node(module: str) -> bool:
    return re.search(r"^(from|import) node\b", module, re.MULTILINE) is not None


def _specification(source: str, file: Path) -> str:
    """The last string that stands alone in a buggy file."""
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ValueError(f"{file} is not a QuixBugs program: {error}") from error
    strings = [
        node.value.value
        for node in body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    return strings[-1].strip() if strings else ""


def _jsonl_records(path: Path) -> list[_Record]:
    node = path.with_name("quixbugs_node.json")
    records = []
    for number, line in enumerate(_read(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name = row["name"]
            if row["test_module"] is None:
                suite = TestSuite(
                    cases=_cases(row["tests"]), compare=row["compare"], skip=tuple(int(index) for index in row["skip"])
                )
            else:
                suite = TestSuite(test_module=row["test_module"], helpers=_jsonl_helpers(node, row["test_module"]))
            texts = {key: row[key] for key in ("name", "buggy", "correct", "docstring")}
            if not all(isinstance(text, str) for text in texts.values()):
                raise TypeError("name, buggy, correct and docstring must be strings")
        except (TypeError, KeyError, ValueError, RecursionError) as error:
            detail = f"no field {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path} is not QuixBugs: {_EXPECTED}, but line {number}: {detail}") from error
        records.append(_Record(**{**texts, "docstring": texts["docstring"].strip(), "name": name}, tests=suite))
    return records


def _jsonl_helpers(node: Path, module: str) -> dict[str, str]:
    if not _imports_node(module):
        return {}
    if not node.is_file():
        raise ValueError(f"the graph programs need {node} beside the JSONL file, found nothing there")
    try:
        helpers = json.loads(_read(node))
    except RecursionError as error:
        raise ValueError(f"{node} must map a file's name to its text (its JSON is too deep)") from error
    if not isinstance(helpers, dict) or not isinstance(helpers.get("node.py"), str):
        raise ValueError(f"{node} must map the file's name 'node.py' to its text")
    return {"node.py": helpers["node.py"]}  # whatever else the file holds: the programs import nothing but this


def _suite(name: str, cases: object) -> TestSuite:
    facts = _facts()[name]
    return TestSuite(cases=_cases(cases), compare=facts.compare, skip=facts.skip)


def _cases(cases: object) -> tuple[tuple[object, object], ...]:
    if not isinstance(cases, list) or not cases:
        raise ValueError("no test cases")
    for case in cases:
        if not isinstance(case, list) or len(case) != 2:
            raise ValueError(f"a case must be [arguments, expected] (got {str(case)[:60]})")
    return tuple((arguments, expected) for arguments, expected in cases)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a QuixBugs file: it is not UTF-8 text ({error})") from error


def _listed(label: str, names: list[str]) -> str:
    """``label: a, b, c, ...``, or nothing for no names."""
    if not names:
        return ""
    return f"{label}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
