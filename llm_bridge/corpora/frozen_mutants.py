"""The frozen corpus of mutants: a list of single edits to functions of installed packages, which are looked up here.

    frozen/SPLIT.jsonl: package, version, function, hash of its text, edit  ─►  installed function + edit  ─►  pairs

The list holds no program text but the lines that a bug puts in: each function is read from the installed package, in
normal form, and must have the hash that the list tells. Half of each split comes from the standard library, half from
the algorithmic packages of `llm_bridge.corpora.package_functions`; half of the texts are longer than 250 characters.
The list was made once, by ``benchmarks/freeze_mutants.py``; a corpus of the same hash is the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from llm_bridge.corpora import corpus_cache, package_functions, stdlib_functions
from llm_bridge.corpora.programs import ProgramPair, TestSuite

STDLIB = "python"
"""The standard library's name in the list; its version is Python's."""
HASH_LEN = 16
"""Hexadecimal digits of a function's hash that the list keeps."""


@dataclass(frozen=True, kw_only=True)
class FrozenMutant:
    """One row of the list.

    Parameters
    ----------
    package, version
        "python", or an import name of `package_functions.PACKAGES`, and the version that the function was taken from.
    file
        Path of the function's file, relative to the package's folder; for "python" the top-level module.
    function
        Dotted name, as the readers of functions give it.
    text_hash
        First digits of the SHA-256 of the function's text in normal form.
    start, stop, lines
        The edit: lines ``start:stop`` of the correct text, from 0, become `lines`.
    defect_class
        One of `programs.DEFECT_CLASSES`.
    """

    package: str
    version: str
    file: str
    function: str
    text_hash: str
    start: int
    stop: int
    lines: tuple[str, ...]
    defect_class: str


def load(split: str, *, cache: bool = True) -> list[ProgramPair]:
    """The pairs of a split, in the list's order, as far as the installed packages hold their functions.

    Where functions are missing or have another text than the list tells, a warning says how many and of which package:
    the corpus then has another hash, and results on it are never pooled with those on the whole.

    Parameters
    ----------
    split
        "train", "validation" or "test": disjoint by sub-package, and no near-duplicate of one in another.
    cache
        Keep the pairs in the user's cache folder (`corpus_cache`).

    Raises
    ------
    ValueError
        For an unknown split.
    """
    pairs, missing = _pairs(split, cache)
    if missing:
        warnings.warn(_what_is_missing(split, missing, len(pairs)), stacklevel=2)
    return list(pairs)


def frozen_hash(split: str) -> str:
    """`programs.corpus_hash` of a split when it was frozen."""
    return str(_header(split)["corpus_sha256"])


def rows(split: str) -> list[FrozenMutant]:
    """The list of a split."""
    columns = _header(split)["columns"]
    found = []
    for line in _lines(split)[1:]:
        values = dict(zip(columns, json.loads(line), strict=True))
        found.append(FrozenMutant(**{**values, "lines": tuple(values["lines"])}))
    return found


def text_hash(text: str) -> str:
    """First digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LEN]


@lru_cache(maxsize=4)
def _pairs(split: str, cache: bool) -> tuple[tuple[ProgramPair, ...], tuple[FrozenMutant, ...]]:
    wanted = rows(split)
    packages = sorted({row.package for row in wanted} - {STDLIB})
    versions = [package_functions.installed_version(name) for name in packages]
    if cache:
        here = Path(__file__).parent
        files = [here / f"{name}.py" for name in ("frozen_mutants", "package_functions", "stdlib_functions")]
        pairs = corpus_cache.cached(f"frozen-{split}", [_lines(split)[0], versions], files, lambda: realise(wanted))
    else:
        pairs = tuple(realise(wanted))
    names = {pair.name for pair in pairs}
    return pairs, tuple(row for row, name in zip(wanted, _names(wanted), strict=True) if name not in names)


def realise(wanted: Sequence[FrozenMutant]) -> list[ProgramPair]:
    """The pairs of the rows whose functions are installed as they were frozen."""
    pairs = []
    found = _functions(wanted)
    for row, name in zip(wanted, _names(wanted), strict=True):
        function = found.get((row.package, row.function, row.text_hash))
        if function is None:
            continue
        before = function.text.splitlines()
        after = [*before[: row.start], *row.lines, *before[row.stop :]]
        pair = ProgramPair(
            name=name,
            buggy="\n".join(after) + "\n",
            correct=function.text,
            docstring=_summary(function.docstring),
            buggy_line=row.start + 1,
            tests=TestSuite(),
            corpus="mutants",
            group=function.module,
            defect_class=row.defect_class,
        )
        pairs.append(pair)
    return pairs


def _names(wanted: Sequence[FrozenMutant]) -> list[str]:
    """Names of the pairs: the function and the how-manyth mutant of it, in the list's order."""
    counts: dict[str, int] = {}
    names = []
    for row in wanted:
        counts[row.function] = counts.get(row.function, 0) + 1
        names.append(f"{row.function}@{counts[row.function]}")
    return names


def _functions(wanted: Sequence[FrozenMutant]) -> dict[tuple[str, str, str], stdlib_functions.Function]:
    """The installed functions that the list names, by package, name and hash of the text."""
    files: dict[str, set[str]] = {}
    for row in wanted:
        files.setdefault(row.package, set()).add(row.file)
    found = {}
    for package, names in files.items():
        if package == STDLIB:
            candidates = [function for name in sorted(names) for function in _of_stdlib(name)]
        elif package_functions.installed_version(package) is None:
            candidates = []
        else:
            candidates = package_functions.functions(package, files=names)
        for function in candidates:
            found[package, function.name, text_hash(function.text)] = function
    return found


def _of_stdlib(module: str) -> list[stdlib_functions.Function]:
    try:
        return stdlib_functions.functions(module)
    except FileNotFoundError:
        return []


def _summary(docstring: str) -> str:
    """First paragraph of a docstring, on one line."""
    return " ".join(docstring.split("\n\n")[0].split())


def _header(split: str) -> dict[str, Any]:
    return dict(json.loads(_lines(split)[0]))


@lru_cache(maxsize=4)
def _lines(split: str) -> list[str]:
    if split not in stdlib_functions.SPLITS:
        raise ValueError(f"'split' must be one of {', '.join(stdlib_functions.SPLITS)} (got {split!r})")
    return resources.files("llm_bridge.corpora").joinpath("frozen", f"{split}.jsonl").read_text().splitlines()


def _what_is_missing(split: str, missing: Sequence[FrozenMutant], found: int) -> str:
    packages: dict[str, int] = {}
    for row in missing:
        label = f"{row.package} {row.version}"
        packages[label] = packages.get(label, 0) + 1
    parts = ", ".join(f"{count} of {label}" for label, count in sorted(packages.items()))
    return (
        f"mutants-{split}: {len(missing)} of {len(missing) + found} frozen mutants are left out, since their functions "
        f"are not installed in the version that was frozen ({parts}); pip install 'chirpbridge[corpora]', Python 3.11"
    )
