"""Held-out mutants by an independent engine (mutmut): bugs of another distribution than the training mutants'.

    functions of the test split ─► one-line mutants by mutmut's operators ─► balanced couples, one mutant a function

A model that is trained on `llm_bridge.corpora.mutants` may know which bugs its operators make, where, and how
they look. These bugs stand in modules that were not trained on and are made by the operators of a published mutation
tester (`llm_bridge.corpora.mutation.mutmut_operators`), four in ten of classes that our engine does not have. What a
model scores here above chance does not rest on the distribution of the bugs that it was trained on.

That tester changes most things in one direction only (``+=`` to ``=``, an argument to ``None``), so its bugs have a
look of their own: fitted on a part of this corpus, a bag of bytes names the buggy version of the rest in four of five
pairs. Nothing of it can be learnt from our engine's mutants: fitted on those, it is right in half. So never train here.

The corpus is a function of (Python version, versions of mutmut and libcst, seed). Some mutants may behave like the
original, since the functions have no tests; texts that compile to the same code are left out.
"""

from __future__ import annotations

import importlib.metadata
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from llm_bridge.corpora import corpus_cache, mutants
from llm_bridge.corpora.mutation import mutmut_operators
from llm_bridge.corpora.mutation.one_line import SILENT, OneLineBug, one_line_bug
from llm_bridge.corpora.programs import ProgramPair, TestSuite
from llm_bridge.corpora.stdlib_functions import Function

CORPUS = "mutants-mutmut"
QUOTA = 24
"""Most pairs of one defect class."""


def load(*, seed: int = 0, limit: int | None = None, cache: bool = True) -> list[ProgramPair]:
    """Pairs by the independent engine, the order drawn by `seed`.

    Parameters
    ----------
    seed
        Draws the bugs and their order.
    limit
        At most that many pairs, the first ones; any prefix is balanced by length but for one pair.
    cache
        Keep the corpus in the user's cache folder, see `corpus_cache`.

    Returns
    -------
    list of ProgramPair
        `tests` and `docstring` are empty, `group` is the module; a defect class is one of QuixBugs' 14 or of
        `mutmut_operators.OWN_CLASSES`.

    Raises
    ------
    ModuleNotFoundError
        Without the extra ``mutants``.
    ValueError
        For a limit below 0.
    FileNotFoundError
        Where this Python comes without the source text of its library.

    Examples
    --------
    >>> pairs = load(limit=20)
    >>> len(pairs), len({pair.correct for pair in pairs})
    (20, 20)
    """
    if limit is not None and limit < 0:
        raise ValueError(f"'limit' must be at least 0 (got {limit})")
    return list(_corpus(seed, cache))[:limit]


@lru_cache(maxsize=4)
def _corpus(seed: int, cache: bool) -> tuple[ProgramPair, ...]:
    if not cache:
        return tuple(_make(seed))
    try:
        versions = [importlib.metadata.version(name) for name in ("mutmut", "libcst")]
    except importlib.metadata.PackageNotFoundError:
        versions = []  # making it will say what is missing
    files = [Path(__file__), *mutants.source_files()]
    return corpus_cache.cached(CORPUS, [seed, *versions], files, partial(_make, seed))


@dataclass(frozen=True, kw_only=True)
class _Mutant:
    function: Function
    defect_class: str
    bug: OneLineBug


def _make(seed: int) -> list[ProgramPair]:
    draw = random.Random(f"{CORPUS} {seed}")
    originals = mutants.functions("test")
    pool = [mutant for function in originals for mutant in _mutants(function, draw)]
    draw.shuffle(pool)
    units = _couples(pool, {function.text for function in originals})
    draw.shuffle(units)
    return [_pair(mutant) for unit in units for mutant in unit]


def _mutants(function: Function, draw: random.Random) -> list[_Mutant]:
    """At most one valid mutant of each class."""
    by_class: dict[str, list[mutmut_operators.Mutation]] = {}
    for mutation in mutmut_operators.mutations(function.text):
        by_class.setdefault(mutation.defect_class, []).append(mutation)
    found = []
    for name, mutations in by_class.items():
        draw.shuffle(mutations)
        texts = (mutation.make() for mutation in mutations)
        bugs = (one_line_bug(text, function.text) for text in texts if text is not None)
        bug = next((bug for bug in bugs if bug is not None and _seen(bug, function.text)), None)
        if bug is not None:
            found.append(_Mutant(function=function, defect_class=name, bug=bug))
    return found


def _seen(bug: OneLineBug, correct: str) -> bool:
    """Whether a test might see it: not in what is raised, asserted or logged."""
    return not SILENT.match(correct.splitlines()[bug.line - 1])


def _couples(pool: list[_Mutant], taken: set[str]) -> list[list[_Mutant]]:
    """Units that change no length together: one that leaves both lengths alone, or two of opposite signs.

    The rarest class so far chooses first and is joined by the rarest that fits, so that classes come out as equal as
    the material allows. A function gives one mutant.
    """
    units: list[list[_Mutant]] = []
    counts: Counter[str] = Counter()
    used: set[str] = set()
    waiting = list(pool)

    def free(mutant: _Mutant) -> bool:
        return mutant.function.name not in used and mutant.bug.text not in taken and counts[mutant.defect_class] < QUOTA

    while waiting := [mutant for mutant in waiting if free(mutant)]:
        first = _rarest(waiting, counts)
        waiting.remove(first)
        unit = [first]
        if first.bug.signs != (0, 0):
            opposite = tuple(-sign for sign in first.bug.signs)
            fitting = [
                mutant
                for mutant in waiting
                if mutant.bug.signs == opposite
                and mutant.function.name != first.function.name
                and counts[mutant.defect_class] + (mutant.defect_class == first.defect_class) < QUOTA
            ]
            if not fitting:
                continue
            unit.append(_rarest(fitting, counts))
        for mutant in unit:
            counts[mutant.defect_class] += 1
            used.add(mutant.function.name)
            taken.add(mutant.bug.text)
        units.append(unit)
    return units


def _rarest(mutants_: Iterable[_Mutant], counts: Counter[str]) -> _Mutant:
    """The first of the class that was taken least often."""
    return min(mutants_, key=lambda mutant: counts[mutant.defect_class])


def _pair(mutant: _Mutant) -> ProgramPair:
    function = mutant.function
    return ProgramPair(
        name=f"{function.name}@{mutmut_operators.ENGINE}",
        buggy=mutant.bug.text,
        correct=function.text,
        docstring="",
        buggy_line=mutant.bug.line,
        tests=TestSuite(),
        corpus=CORPUS,
        group=function.module,
        defect_class=mutant.defect_class,
    )
