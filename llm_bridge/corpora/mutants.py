"""Mutants: functions of the standard library with a single-line bug put in, the training corpus.

    functions of a split's modules ─► without near-duplicates ─► candidate mutations ─► drawn in balanced couples

Mutation operators on syntax trees (`llm_bridge.corpora.mutation.trees`) propose bugs in QuixBugs' 14 defect classes.
Held-out mutants by an independent engine are `llm_bridge.corpora.mutmut_mutants`.

Drawn in couples: within a family of bugs (``x + 1`` for ``x``) every bug is joined by one of the opposite direction
(``x`` for ``x + 1``) that changes the length by the opposite sign, in characters and in tokens; bugs that are their own
reverse must leave both lengths alone. So the rules "the longer text is correct" and "the one with more tokens is
correct" are right in exactly half of the decided pairs, overall and in every even prefix, and what a bug looks like
does not give it away.

The corpus is a function of (Python version, split, seed). Some mutants may behave like the original: without
tests nobody knows. Texts that compile to the same code are left out.
"""

from __future__ import annotations

import ast
import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_bridge.corpora import corpus_cache, near_duplicates, stdlib_functions
from llm_bridge.corpora.mutation import trees
from llm_bridge.corpora.mutation.one_line import OneLineBug, length_signs, one_line_bug
from llm_bridge.corpora.programs import DEFECT_CLASSES, ProgramPair, TestSuite
from llm_bridge.corpora.renaming import rename_identifiers
from llm_bridge.corpora.stdlib_functions import MODULES, SPLITS, Function

__all__ = ["CORPUS", "MODULES", "SPLITS", "load", "rename_identifiers"]

CORPUS = "mutants"
#: Pairs wanted of each defect class, where the material has them.
QUOTAS = {"train": 360, "validation": 40, "test": 70}
MAX_PER_FUNCTION = 3


def load(
    split: str = "train",
    *,
    seed: int = 0,
    limit: int | None = None,
    max_chars: int | None = None,
    renamed: bool = False,
    cache: bool = True,
) -> list[ProgramPair]:
    """Pairs of a split, the order drawn by `seed`.

    Parameters
    ----------
    split
        "train", "validation" or "test": disjoint by module, and no near-duplicate of one in another.
    seed
        Draws the bugs and their order.
    limit
        At most that many pairs, the first ones; any prefix is balanced by length but for one pair.
    max_chars
        Leave out couples with a longer text, so that what stays is as balanced as the whole.
    renamed
        The same pairs with every local identifier renamed (`rename_identifiers`), names in the same order.
    cache
        Keep the corpus in the user's cache folder (``$XDG_CACHE_HOME/chirpbridge``); the files are named after a hash
        of everything that they depend on. Without it the corpus is made anew, in some ten seconds for "train".

    Returns
    -------
    list of ProgramPair
        `tests` is empty, `group` is the module, `docstring` is empty.

    Raises
    ------
    ValueError
        For an unknown split, or a limit below 0.
    FileNotFoundError
        Where this Python comes without the source text of its library.
    """
    if split not in SPLITS:
        raise ValueError(f"'split' must be one of {', '.join(SPLITS)} (got {split!r})")
    if limit is not None and limit < 0:
        raise ValueError(f"'limit' must be at least 0 (got {limit})")
    corpus = _corpus(split, seed, cache)
    pairs = list(corpus) if max_chars is None else _short_couples(corpus, max_chars)
    pairs = pairs[:limit]
    if renamed:
        return [rename_identifiers(pair, seed=seed) for pair in pairs]
    return pairs


def _short_couples(pairs: Sequence[ProgramPair], max_chars: int) -> list[ProgramPair]:
    """Those of at most `max_chars` characters; of a couple, which stands side by side, both or none."""
    short: list[ProgramPair] = []
    index = 0
    while index < len(pairs):
        changed = length_signs(pairs[index].buggy, pairs[index].correct, pairs[index].buggy_line)
        couple = pairs[index : index + (2 if changed != (0, 0) else 1)]
        if all(max(len(pair.buggy), len(pair.correct)) <= max_chars for pair in couple):
            short += couple
        index += len(couple)
    return short


@functools.lru_cache(maxsize=8)
def _corpus(split: str, seed: int, cache: bool) -> tuple[ProgramPair, ...]:
    if not cache:
        return tuple(_make(split, seed))
    make = functools.partial(_make, split, seed)
    return corpus_cache.cached(f"mutants-{split}", [split, seed], source_files(), make)


@dataclass(frozen=True, kw_only=True)
class _Proposal:
    """A proposed bug; `make` gives the buggy text."""

    function: Function
    defect_class: str
    family: str
    orientation: int
    make: Callable[[], str]


@dataclass(frozen=True, kw_only=True)
class _Mutant:
    """A realised bug."""

    proposal: _Proposal
    bug: OneLineBug


def _make(split: str, seed: int) -> list[ProgramPair]:
    return draw_pairs(functions(split), quota=QUOTAS[split], seed=str(seed), name=split)


def draw_pairs(chosen: Sequence[Function], *, quota: int, seed: str, name: str) -> list[ProgramPair]:
    """Balanced couples of mutants of some functions, at most `quota` of each defect class.

    Parameters
    ----------
    chosen
        Functions without near-duplicates.
    quota
        Most pairs of one defect class.
    seed
        Text that seeds the engine's choices in each function.
    name
        Text that seeds, with `seed`, which of the proposed bugs are drawn.
    """
    originals = {function.text for function in chosen}
    draw = random.Random(f"draw {seed} trees {name}")
    pools: dict[str, dict[str, dict[int, list[_Proposal]]]] = {name: {} for name in DEFECT_CLASSES}
    for function in chosen:
        for proposal in _proposals(function, random.Random(f"{seed} trees {function.name}")):
            family = pools[proposal.defect_class].setdefault(proposal.family, {})
            family.setdefault(proposal.orientation, []).append(proposal)
    for families in pools.values():
        for family in families.values():
            for orientation in family:
                draw.shuffle(family[orientation])
    units: list[list[_Mutant]] = []
    selection = _Selection(originals)
    for kind in sorted(pools, key=lambda kind: (_supply(pools[kind]), kind)):  # the scarce ones choose first
        units += _draw_class(pools[kind], quota, selection, draw)
    draw.shuffle(units)
    counts: dict[str, int] = {}
    return [_pair(mutant, counts) for unit in units for mutant in unit]


def functions(split: str) -> list[Function]:
    """Functions of a split without near-duplicates, among themselves and of splits that matter more."""
    rank = ("test", "validation", "train")
    before = [function.text for earlier in rank[: rank.index(split)] for function in _module_functions(earlier)]
    own = _module_functions(split)
    return [own[index] for index in near_duplicates.distinct([function.text for function in own], against=before)]


@functools.lru_cache(maxsize=3)
def _module_functions(split: str) -> tuple[Function, ...]:
    return tuple(function for module in MODULES[split] for function in stdlib_functions.functions(module))


def _proposals(function: Function, rng: random.Random) -> list[_Proposal]:
    tree = ast.parse(function.text).body[0]
    assert isinstance(tree, ast.FunctionDef)
    return [
        _Proposal(
            function=function,
            defect_class=candidate.defect_class,
            family=candidate.family,
            orientation=candidate.orientation,
            make=functools.partial(trees.mutate, tree, candidate),
        )
        for candidate in trees.candidates(function, tree, rng)
    ]


class _Selection:
    """Mutants taken so far: their texts, and the defect classes of each function."""

    def __init__(self, originals: set[str]) -> None:
        self.texts = set(originals)
        self.taken: dict[str, list[str]] = {}

    def free(self, proposal: _Proposal) -> bool:
        classes = self.taken.get(proposal.function.name, [])
        return len(classes) < MAX_PER_FUNCTION and proposal.defect_class not in classes

    def next_valid(self, pool: list[_Proposal]) -> _Mutant | None:
        """Take proposals off a pool until one gives a valid mutant."""
        while pool:
            proposal = pool.pop()
            if self.free(proposal):
                mutant = _realise(proposal)
                if mutant is not None and mutant.bug.text not in self.texts:
                    return mutant
        return None

    def take(self, unit: list[_Mutant]) -> None:
        for mutant in unit:
            self.texts.add(mutant.bug.text)
            self.taken.setdefault(mutant.proposal.function.name, []).append(mutant.proposal.defect_class)


def _supply(families: dict[str, dict[int, list[_Proposal]]]) -> int:
    return sum(_units(family) for family in families.values())


def _units(family: dict[int, list[_Proposal]]) -> int:
    return 2 * min(len(family.get(1, [])), len(family.get(-1, []))) + len(family.get(0, []))


def _draw_class(
    families: dict[str, dict[int, list[_Proposal]]], quota: int, selection: _Selection, draw: random.Random
) -> list[list[_Mutant]]:
    """Couples and single ones of one class, up to its quota."""
    units: list[list[_Mutant]] = []
    count = 0
    while count < quota:
        alive = [(name, _units(family)) for name, family in sorted(families.items()) if _units(family)]
        if not alive:
            break
        # the square root gives the rarer families more room than their share
        name = draw.choices([name for name, _ in alive], weights=[size**0.5 for _, size in alive])[0]
        family = families[name]
        single = len(family.get(0, []))
        if draw.random() * _units(family) < single:
            unit = [selection.next_valid(family[0])]
        else:
            unit = [selection.next_valid(family[1]), selection.next_valid(family[-1])]
        mutants = [mutant for mutant in unit if mutant is not None]
        if len(mutants) < len(unit) or not _balanced(mutants):
            continue  # each try takes proposals away, so this ends
        draw.shuffle(mutants)
        selection.take(mutants)
        units.append(mutants)
        count += len(mutants)
    return units


def _balanced(mutants: list[_Mutant]) -> bool:
    names = [mutant.proposal.function.name for mutant in mutants]
    return len(set(names)) == len(names) and all(
        sum(mutant.bug.signs[measure] for mutant in mutants) == 0 for measure in (0, 1)
    )


def _realise(proposal: _Proposal) -> _Mutant | None:
    bug = one_line_bug(proposal.make(), proposal.function.text)
    return None if bug is None else _Mutant(proposal=proposal, bug=bug)


def _pair(mutant: _Mutant, counts: dict[str, int]) -> ProgramPair:
    function = mutant.proposal.function
    counts[function.name] = counts.get(function.name, 0) + 1
    return ProgramPair(
        name=f"{function.name}@{counts[function.name]}",
        buggy=mutant.bug.text,
        correct=function.text,
        docstring="",
        buggy_line=mutant.bug.line,
        tests=TestSuite(),
        corpus=CORPUS,
        group=function.module,
        defect_class=mutant.proposal.defect_class,
    )


def source_files() -> list[Path]:
    """Files that mutants depend on: the library's text, and the code that makes them of it."""
    here = Path(__file__).parent
    own = [Path(__file__), *(here / f"{name}.py" for name in ("near_duplicates", "programs", "stdlib_functions"))]
    engines = sorted((here / "mutation").glob("*.py"))
    return [*own, *engines, *(path for name in SPLITS for path in stdlib_functions.source_files(name))]
