"""Functions of algorithmic packages in normal form: the half of the training material that the standard library lacks.

Each function has the form of `llm_bridge.corpora.stdlib_functions`; its `module` is the sub-package it stands in
(``sympy.ntheory``, ``networkx.algorithms.flow``), which is the unit that never straddles a split. Test folders are left
out, and so are functions with the names of QuixBugs' and MiniBugs' programs.

Two of the packages, networkx and sympy, are installed with torch; the others are the extra ``corpora``, which pins all
six to the versions that the frozen list of mutants was made from (`llm_bridge.corpora.frozen_mutants`).
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from llm_bridge.corpora import stdlib_functions
from llm_bridge.corpora.stdlib_functions import Function

PACKAGES = {
    "networkx": "networkx",
    "sympy": "sympy",
    "algorithms": "algorithms",
    "pygorithm": "pygorithm",
    "more_itertools": "more-itertools",
    "toolz": "toolz",
}
"""Import names and the distributions that hold them."""

_LEFT_OUT = frozenset({"test", "tests", "testing", "benchmarks", "sandbox", "conftest.py", "setup.py"})
_DEEP = frozenset({"networkx.algorithms"})
"""Sub-packages whose own parts are groups: they are too large and too mixed to be one."""


def installed_version(package: str) -> str | None:
    """Version of the distribution that holds a package, None where it is not installed."""
    try:
        return importlib.metadata.version(PACKAGES[package])
    except importlib.metadata.PackageNotFoundError:
        return None


def functions(package: str, *, files: Iterable[str] | None = None) -> list[Function]:
    """Functions and methods of one installed package, within the corpus's limits of lines and characters.

    Parameters
    ----------
    package
        An import name out of `PACKAGES`.
    files
        Only these files, as paths relative to the package's folder with ``/``; all by default.

    Returns
    -------
    list of Function
        In the order of the files' names and of the text. A name that occurs again within a file gets a number.

    Raises
    ------
    ValueError
        For a package that is not in `PACKAGES`.
    ModuleNotFoundError
        Where the package is not installed.
    """
    if package not in PACKAGES:
        raise ValueError(f"'package' must be one of {', '.join(PACKAGES)} (got {package!r})")
    folder = root(package)
    wanted = None if files is None else set(files)
    found: list[Function] = []
    for path in sorted(folder.rglob("*.py")):
        relative = path.relative_to(folder)
        if _LEFT_OUT & set(relative.parts) or (wanted is not None and relative.as_posix() not in wanted):
            continue
        found += _of_file(path, package, relative)
    return found


def root(package: str) -> Path:
    """Folder of an installed package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"package {package!r} is not installed; it comes with pip install 'chirpbridge[corpora]'"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _of_file(path: Path, package: str, relative: Path) -> Iterator[Function]:
    dotted = ".".join([package, *relative.with_suffix("").parts]).removesuffix(".__init__")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages' own old escapes
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:  # some of the older packages hold files for Python 2
            return
    yield from stdlib_functions.functions_of_tree(tree, dotted, module=_group(dotted))


def _group(dotted: str) -> str:
    parts = dotted.split(".")
    head = ".".join(parts[:2])
    return ".".join(parts[:3]) if head in _DEEP else head
