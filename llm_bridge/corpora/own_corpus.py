"""Own corpora: program pairs of a user's JSONL file, one JSON object a line, every line checked before any work.

    {"name": "mean", "buggy": "def mean(x):\n    return sum(x)\n", "correct": "def mean(x):\n    return …\n"}

A recipe names such a file as ``file:mine.jsonl``; read, the name becomes ``file:/folder/mine.jsonl@3f2a91c0``. The hash
is of what the file holds (`content_hash`), so a corpus is the same wherever its file lies, and another one once a
program in it changes. Cells and the report call it ``mine-3f2a91c0``.
"""

from __future__ import annotations

import difflib
import json
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from llm_bridge.corpora import near_duplicates
from llm_bridge.corpora.programs import COMPARISONS, ProgramPair, TestSuite, normalise, single_edit
from llm_bridge.files import digest

PREFIX = "file:"
FIELDS: Mapping[str, tuple[type, str]] = {
    "name": (str, "a name of its own, of printable characters"),
    "buggy": (str, "the program with its bug"),
    "correct": (str, "the program without it; it differs from the buggy one in one line"),
    "docstring": (str, "what the program should do, shown to a model by `score.context`; empty by default"),
    "group": (str, "what is never split between learning and testing, as the project; the name by default"),
    "defect_class": (str, "the kind of bug, for the count of kinds"),
    "tests": (list, "cases, each `[arguments, expected]`; `corpora check` runs them, and the task *repair* needs them"),
    "compare": (str, f"how a result is compared: {', '.join(COMPARISONS)}; `equal` by default"),
    "skip": (list, "numbers of the cases that are too slow to run, from 0"),
    "test_module": (str, "a pytest module that imports the program from a module of its name, in place of `tests`"),
}
"""Keys of a line, the type of each, and its meaning; all but `NEEDED` may be left out."""
NEEDED = ("name", "buggy", "correct")
MAX_FILE_BYTES, MAX_LINE_BYTES, MAX_CHARS, MAX_NAME = 64_000_000, 1_000_000, 20_000, 100


class CorpusError(ValueError):
    """A file that is no corpus, or corpora that do not go together; the message names the file and the line."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A recipe's word for a file: ``file:PATH``, and once it was read ``file:PATH@HASH``."""

    path: Path
    hash: str

    @property
    def label(self) -> str:
        """Name of the corpus in cells and the report: the file's stem and the hash."""
        return f"{re.sub(r'[^A-Za-z0-9_.]+', '-', self.path.stem)[:40].strip('-.') or 'corpus'}-{self.hash}"


def reference(name: str) -> Reference | None:
    """A recipe's word for a file, in its parts; None where it is the name of a known corpus.

    Examples
    --------
    >>> reference("file:/data/my bugs.jsonl@3f2a91c0").label
    'my-bugs-3f2a91c0'
    >>> reference("minibugs") is None
    True
    """
    if not name.startswith(PREFIX):
        return None
    path, _, found = name.removeprefix(PREFIX).rpartition("@")
    if not re.fullmatch(r"[0-9a-f]{8}", found):
        path, found = name.removeprefix(PREFIX), ""
    return Reference(path=Path(path), hash=found)


def label(name: str) -> str:
    """Name of a corpus in cells and the report."""
    found = reference(name)
    return name if found is None else found.label


def pinned(name: str) -> str:
    """A recipe's word for a file with the hash of what the file holds; any other word, and a pinned one, as it is.

    Raises
    ------
    CorpusError
        The file cannot be used.
    """
    found = reference(name)
    if found is None or found.hash:
        return name
    path = found.path.expanduser().absolute()
    return f"{PREFIX}{path}@{content_hash(load(path))}"


def relative_to(name: str, folder: Path) -> str:
    """A recipe's word for a file with its path in `folder`, where it is relative."""
    found = reference(name)
    if found is None or found.path == Path():
        return name
    path = folder.absolute() / found.path.expanduser()
    return f"{PREFIX}{path}{'@' if found.hash else ''}{found.hash}"


def without_folder(name: str) -> str:
    """A recipe's word for a file without the path's folders: what is stored, and compared, with results."""
    found = reference(name)
    return name if found is None else f"{PREFIX}{found.path.name}@{found.hash}"


def load_reference(name: str) -> list[ProgramPair]:
    """Pairs of a pinned word.

    Raises
    ------
    CorpusError
        The file cannot be used, or holds something else than what was pinned.
    """
    found = reference(name)
    if found is None:
        raise CorpusError(f"a corpus of your own is named {PREFIX}PATH (got {name!r})")
    pairs = load(found.path)
    if found.hash and content_hash(pairs) != found.hash:
        raise CorpusError(
            f"{found.path} holds another corpus than the recipe names: its hash is {content_hash(pairs)}, "
            f"not {found.hash}"
        )
    return pairs


def load(path: str | Path) -> list[ProgramPair]:
    """Pairs of a JSONL file, in normal form, in the order of its lines.

    Parameters
    ----------
    path
        The file: UTF-8, one JSON object a line with the keys of `FIELDS`; empty lines are passed over.

    Returns
    -------
    list of ProgramPair
        At least one. `corpus` is ``file-`` and the hash of what the file holds.

    Raises
    ------
    CorpusError
        The file cannot be used: its first problem, and how many more there are.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mine.jsonl"
    >>> _ = path.write_text(template())
    >>> [pair.name for pair in load(path)]
    ['mean', 'clamp', 'count_words']
    """
    pairs, problems = read(path)
    if problems:
        more = f" (and {len(problems) - 1} more: python -m llm_bridge corpora check {path})"
        raise CorpusError(problems[0] + (more if len(problems) > 1 else ""))
    return pairs


def read(path: str | Path) -> tuple[list[ProgramPair], list[str]]:
    """Pairs of a file's good lines, and every problem of the others, a line each.

    Raises
    ------
    CorpusError
        There is no file, or none that can be read.
    """
    path = Path(path)
    pairs: list[ProgramPair] = []
    problems: list[str] = []
    lines: dict[str, int] = {}  # of each name
    texts: dict[tuple[str, str], int] = {}
    content = _content(path)
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        found = _pair_of(line)
        if isinstance(found, ProgramPair):
            if found.name in lines:
                found = [f"the name {found.name!r} is that of line {lines[found.name]} too"]
            elif (found.buggy, found.correct) in texts:
                found = [f"the pair {found.name!r} is that of line {texts[found.buggy, found.correct]} again"]
        if isinstance(found, ProgramPair):
            lines[found.name] = texts[found.buggy, found.correct] = number
            pairs.append(found)
        else:
            problems += [f"{path}, line {number}: {problem}" for problem in found]
    if not pairs and not problems:
        raise CorpusError(f"{path} holds no pair: it is empty; 'python -m llm_bridge corpora template' prints a start")
    corpus = f"file-{content_hash(pairs)}"
    return [replace(pair, corpus=corpus) for pair in pairs], problems


def template() -> str:
    """Text of a corpus of three pairs, the start of a new one."""
    return resources.files("llm_bridge.corpora").joinpath("template.jsonl").read_text(encoding="utf-8")


def content_hash(pairs: Sequence[ProgramPair]) -> str:
    """First digits of the SHA-256 of all that pairs hold, in their order; comments and layout are not in it."""
    rows = []
    for pair in pairs:
        tests = pair.tests
        row = [pair.name, pair.buggy, pair.correct, pair.docstring, pair.group, pair.defect_class]
        rows.append([*row, tests.cases, tests.compare, tests.skip, tests.test_module])
    return digest(rows, length=8)


def fields_table() -> str:
    """The keys of a line as a table in Markdown."""
    rows = [
        f"| `{key}` | {'text' if kind is str else 'list'}{', needed' if key in NEEDED else ''} | {meaning} |"
        for key, (kind, meaning) in FIELDS.items()
    ]
    return "\n".join(["| key | type | meaning |", "|---|---|---|", *rows]) + "\n"


def require_apart(test: Mapping[str, Sequence[ProgramPair]], train: Sequence[ProgramPair]) -> list[str]:
    """Refuse to test a model on what it learns from; returns a sentence for each corpus that comes near to that.

    Parameters
    ----------
    test
        Pairs of each test corpus.
    train
        Pairs to learn from. Both versions of each count.

    Raises
    ------
    CorpusError
        A text of a test pair is a text to learn from, or files to learn from and to test on share a group; or two
        corpora to learn from share a name.
    """
    corpus_of: dict[str, str] = {}  # of each name: texts to learn from are labelled by it
    for pair in train:
        if corpus_of.setdefault(pair.name, pair.corpus) != pair.corpus:
            raise CorpusError(
                f"'corpus.train' holds the name {pair.name!r} in {corpus_of[pair.name]} and in {pair.corpus}: "
                "give one of the two another name"
            )
    known = {text: pair for pair in train for text in (pair.buggy, pair.correct)}
    groups = {pair.group for pair in train if pair.corpus.startswith("file-")}
    for corpus, pairs in test.items():
        same = [(pair, known[text]) for pair in pairs for text in (pair.buggy, pair.correct) if text in known]
        if same:
            (pair, other), count = same[0], len({pair.name for pair, _ in same})
            raise CorpusError(
                f"'corpus.train' holds {count} of {len(pairs)} pairs of the test corpus {corpus}: as {pair.name!r}, "
                f"which is {other.name!r} of {other.corpus}; take them out of one of the two"
            )
        if not any(pair.corpus.startswith("file-") for pair in pairs):
            continue
        shared = sorted({pair.group for pair in pairs} & groups)
        if shared:
            raise CorpusError(
                f"'corpus.train' shares {len(shared)} groups with the test corpus {corpus}, as {shared[0]!r}: "
                f"a group (by default the name) is learnt from or tested on, not both"
            )
    return _near_duplicates(test, train)


# --- helpers


def _near_duplicates(test: Mapping[str, Sequence[ProgramPair]], train: Sequence[ProgramPair]) -> list[str]:
    learnt = list({pair.correct: pair for pair in train}.values())
    sentences = []
    for corpus, pairs in test.items():
        texts = [pair.correct for pair in (*learnt, *pairs)]
        found = near_duplicates.near_duplicates(texts)
        close = {j - len(learnt): i for i, j in found if i < len(learnt) <= j}
        if close:
            j, i = next(iter(close.items()))
            sentences.append(
                f"{len(close)} of {len(pairs)} programs of {corpus} are near-duplicates of what is learnt from, "
                f"as {pairs[j].name!r} of {learnt[i].name!r} of {learnt[i].corpus}"
            )
    return sentences


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise CorpusError(f"{path} is a folder: a corpus of your own is one JSONL file")
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise CorpusError(f"{path} has {size} bytes: at most {MAX_FILE_BYTES} are read")
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, _beside(path), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise CorpusError(f"no corpus at {path}: there is no such file{hint}") from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _beside(path: Path) -> list[str]:
    try:
        return [file.name for file in path.parent.glob("*.json*")]
    except (OSError, ValueError):
        return []


def _pair_of(line: bytes) -> ProgramPair | list[str]:
    """The pair of a line, or what is wrong with it."""
    if len(line) > MAX_LINE_BYTES:
        return [f"{len(line)} bytes are too many for one pair (at most {MAX_LINE_BYTES})"]
    try:
        row = json.loads(line.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_number)
        json.dumps(row, ensure_ascii=False).encode()  # fails for half of a surrogate pair
    except UnicodeDecodeError as error:
        return [f"is not UTF-8 text (byte {error.start})"]
    except UnicodeEncodeError:
        return ["holds half of a surrogate pair, which is no character"]
    except (ValueError, RecursionError) as error:
        hint = "; a pair stands on one line, its line breaks written \\n" if line.strip() in (b"{", b"[") else ""
        return [f"is not JSON ({_short(error)}){hint}"]
    if not isinstance(row, dict):
        hint = "; one pair a line, no list around them" if isinstance(row, list) else ""
        return [f"must be a JSON object (got {_kind(row)}){hint}"]
    problems = _problems(row)
    if problems:
        return problems
    return _pair(row)


def _problems(row: Mapping[str, Any]) -> list[str]:
    """Keys that are unknown or missing, and values of another type."""
    found = []
    for key in row:
        if key not in FIELDS:
            near = difflib.get_close_matches(key, FIELDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(FIELDS)}"
            found.append(f"unknown key {_short(key)!r}; {hint}")
    found += [f"{key!r} is missing" for key in NEEDED if key not in row]
    for key, (kind, _) in FIELDS.items():
        value = row.get(key)
        if key in row and not isinstance(value, kind) and not (value is None and key not in NEEDED):
            found.append(f"{key!r} must be {'text' if kind is str else 'a list'} (got {_kind(value)})")
    return found or _value_problems(row)


def _value_problems(row: Mapping[str, Any]) -> list[str]:
    """Values of the right type that are out of bounds."""
    found = []
    for key in ("name", "group", "defect_class"):
        value = row.get(key)
        if value is not None and not (0 < len(value.strip()) and len(value) <= MAX_NAME and value.isprintable()):
            found.append(f"{key!r} must be 1 to {MAX_NAME} printable characters (got {_short(value)!r})")
    for key in ("buggy", "correct"):
        if len(row[key]) > MAX_CHARS:
            found.append(f"{key!r} must have at most {MAX_CHARS} characters (got {len(row[key])})")
    compare = row.get("compare")
    if compare is not None and compare not in COMPARISONS:
        near = difflib.get_close_matches(compare, COMPARISONS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        found.append(f"'compare' must be one of {', '.join(COMPARISONS)} (got {_short(compare)!r}){hint}")
    tests = row.get("tests") or []
    for index, case in enumerate(tests):
        if not (isinstance(case, list) and len(case) == 2):
            found.append(
                f"'tests' must hold cases [arguments, expected] (got {_short(json.dumps(case))} as case {index})"
            )
            break
    for index in row.get("skip") or []:
        if type(index) is not int or not 0 <= index < len(tests):
            found.append(f"'skip' must hold numbers of cases below {len(tests)} (got {_short(json.dumps(index))})")
            break
    if row.get("test_module") is not None:
        if tests:
            found.append("'tests' and 'test_module' are two ways to say the same: give one of them")
        if not row["name"].isidentifier():
            found.append(
                f"'name' must be a name of Python where 'test_module' imports it (got {_short(row['name'])!r})"
            )
    return found


def _pair(row: Mapping[str, Any]) -> ProgramPair | list[str]:
    """The pair in normal form, or why there is none."""
    texts: dict[str, str] = {}
    problems = []
    for key in ("buggy", "correct"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an odd escape in a string is not ours to mend
                texts[key] = normalise(row[key])
                texts[key].encode()
        except SyntaxError as error:
            where = f", its line {error.lineno}" if error.lineno else ""
            problems.append(f"{key!r} is no Python program ({_short(error.msg)}{where})")
        except (ValueError, RecursionError, MemoryError) as error:
            problems.append(f"{key!r} is no Python program ({_short(error) or type(error).__name__})")
    if problems:
        return problems
    if not texts["correct"].strip():
        return ["'correct' is an empty program"]
    difference = _difference(texts["buggy"], texts["correct"])
    if difference is not None:
        return [difference]
    name = row["name"]
    tests = TestSuite(
        cases=tuple((arguments, expected) for arguments, expected in row.get("tests") or ()),
        compare=row.get("compare") or "equal",
        skip=tuple(row.get("skip") or ()),
        test_module=row.get("test_module"),
    )
    return ProgramPair(
        name=name,
        buggy=texts["buggy"],
        correct=texts["correct"],
        docstring=(row.get("docstring") or "").strip(),
        buggy_line=single_edit(texts["buggy"], texts["correct"]).first,
        tests=tests,
        corpus="file",
        group=row.get("group") or name,
        defect_class=row.get("defect_class"),
    )


def _difference(buggy: str, correct: str) -> str | None:
    """Reason why two programs are no pair; None where they differ in one line."""
    if buggy == correct:
        return "'buggy' and 'correct' are the same program, once comments, docstrings and layout are gone"
    matcher = difflib.SequenceMatcher(a=buggy.splitlines(), b=correct.splitlines(), autojunk=False)
    hunks = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    lines = sum(max(a_last - a, b_last - b) for _, a, a_last, b, b_last in hunks)
    if lines == 1:
        return None
    first, last = hunks[0][1] + 1, max(hunks[-1][2], hunks[-1][1] + 1)
    return (
        f"'buggy' and 'correct' must differ in one line (got {lines}, from line {first} to {last} of the buggy one, "
        "once comments, docstrings and layout are gone)"
    )


def _object(items: list[tuple[str, object]]) -> dict[str, object]:
    counts = Counter(key for key, _ in items)
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f"the key {_short(twice[0])!r} stands there twice")
    return dict(items)


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _short(value: object, most: int = 60) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= most else text[: most - 1] + "…"
