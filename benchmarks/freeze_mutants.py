"""Draw the frozen corpus of mutants and write its lists: run once, before anything is trained on it.

    python benchmarks/freeze_mutants.py --out llm_bridge/corpora/frozen [--quixbugs PATH]

Four pools for each split, {standard library, algorithmic packages} x {texts up to 250 characters, longer ones}, with
equal quotas. Near-duplicates are taken out among all functions, a split's own against those that matter more, and
against the texts of MiniBugs and QuixBugs; so are functions with the names of their programs.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from llm_bridge.corpora import frozen_mutants, minibugs, mutants, near_duplicates, package_functions, quixbugs
from llm_bridge.corpora.programs import ProgramPair, corpus_hash
from llm_bridge.corpora.stdlib_functions import MODULES, Function
from llm_bridge.corpora.stdlib_functions import functions as stdlib_functions

SHORT = 250
QUOTAS = {"test": 9, "validation": 3, "train": 100}
"""Most pairs of one defect class, of each of the four pools."""
MIN_LINES = {"test": 6, "validation": 6, "train": 5}
"""Written lines that a function needs: bounds what guessing a line scores."""

GROUPS = {
    "test": (
        "toolz sympy.ntheory sympy.sets sympy.geometry sympy.calculus sympy.discrete sympy.unify sympy.logic "
        "sympy.crypto networkx.utils networkx.algorithms.shortest_paths networkx.algorithms.tree "
        "networkx.algorithms.centrality networkx.algorithms.operators algorithms.dynamic_programming algorithms.string "
        "algorithms.bit_manipulation algorithms.heap algorithms.set algorithms.map algorithms.streaming "
        "algorithms.queue algorithms.greedy"
    ).split(),
    "validation": (
        "sympy.series sympy.liealgebras sympy.categories sympy.algebras networkx.generators "
        "networkx.algorithms.flow algorithms.searching algorithms.stack algorithms.compression"
    ).split(),
}
"""Sub-packages held out; a package alone stands for all of it. All others are for training."""


def split_of(group: str) -> str:
    """The split of a function's group."""
    for split, groups in GROUPS.items():
        if any(group == name or group.startswith(f"{name}.") for name in groups):
            return split
    return "train"


def write(path: Path, split: str, rows: Sequence[frozen_mutants.FrozenMutant], pairs: Sequence[ProgramPair]) -> None:
    """Write a split's list, the header with the hash of its pairs first."""
    columns = [item.name for item in fields(frozen_mutants.FrozenMutant)]
    header = {
        "format": 1, "split": split, "count": len(rows), "corpus_sha256": corpus_hash(pairs), "columns": columns,
    }  # fmt: skip
    body = [json.dumps([getattr(row, name) for name in columns], separators=(",", ":")) for row in rows]
    path.write_text("\n".join([json.dumps(header), *body]) + "\n")


def file_of(function: Function, package: str) -> str:
    """The file that a function's dotted name begins with, relative to the package's folder."""
    root, parts = package_functions.root(package), function.name.split(".")[1:]
    for stop in range(len(parts), 0, -1):
        for candidate in (Path(*parts[:stop]).with_suffix(".py"), Path(*parts[:stop], "__init__.py")):
            if (root / candidate).is_file():
                return candidate.as_posix()
    return "__init__.py"


def freeze(pair: ProgramPair, function: Function, package: str) -> frozen_mutants.FrozenMutant:
    """The row of a pair that was made from a function."""
    before, after = pair.correct.splitlines(), pair.buggy.splitlines()
    start = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    tail = 0
    while tail < min(len(before), len(after)) - start and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    version = ".".join(map(str, sys.version_info[:3]))
    if package != frozen_mutants.STDLIB:
        version = package_functions.installed_version(package) or "unknown"
    return frozen_mutants.FrozenMutant(
        package=package,
        version=version,
        file=function.module if package == frozen_mutants.STDLIB else file_of(function, package),
        function=function.name,
        text_hash=frozen_mutants.text_hash(function.text),
        start=start,
        stop=len(before) - tail,
        lines=tuple(after[start : len(after) - tail]),
        defect_class=pair.defect_class or "",
    )


def main() -> None:
    """Make the three lists."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quixbugs", type=Path, help="a clone, or its JSONL form; its texts are only compared with")
    arguments = parser.parse_args()
    programs = [*minibugs.load(), *(quixbugs.load(arguments.quixbugs) if arguments.quixbugs else [])]
    known = [text for pair in programs for text in (pair.correct, pair.buggy)]
    names = {pair.name.rsplit(".", 1)[-1] for pair in programs}
    origin: dict[str, str] = {}
    functions: dict[str, list[Function]] = {"test": [], "validation": [], "train": []}
    for split, modules in MODULES.items():
        for module in modules:
            for function in stdlib_functions(module):
                origin[function.name] = frozen_mutants.STDLIB
                functions[split].append(function)
    for package in package_functions.PACKAGES:
        for function in package_functions.functions(package):
            origin[function.name] = package
            functions[split_of(function.module)].append(function)
    before = known
    arguments.out.mkdir(parents=True, exist_ok=True)
    for split in ("test", "validation", "train"):
        own = [item for item in functions[split] if item.name.split("#")[0].rsplit(".", 1)[-1] not in names]
        own = [own[i] for i in near_duplicates.distinct([item.text for item in own], against=before)]
        before = before + [item.text for item in own]
        pairs, rows = [], []
        for source in (True, False):
            for long in (True, False):
                pool = [
                    item
                    for item in own
                    if (origin[item.name] == frozen_mutants.STDLIB) is source
                    and (len(item.text) > SHORT) is long
                    and item.text.count("\n") >= MIN_LINES[split]
                ]
                label = f"{'python' if source else 'packages'} {'long' if long else 'short'}"
                found = mutants.draw_pairs(pool, quota=QUOTAS[split], seed="frozen", name=f"{split} {label}")
                by_name = {item.name: item for item in pool}
                for pair in found:
                    function = by_name[pair.name.rsplit("@", 1)[0]]
                    pairs.append(pair)
                    rows.append(freeze(pair, function, origin[function.name]))
                print(f"{split:10} {label:15} {len(pool):5} functions {len(found):5} pairs")
        order = mixed(len(pairs), split, [(p.buggy, p.correct, p.buggy_line) for p in pairs])
        rows, pairs = [rows[i] for i in order], [pairs[i] for i in order]
        made = frozen_mutants.realise(rows)
        assert [(a.buggy, a.correct) for a in made] == [(b.buggy, b.correct) for b in pairs]
        write(arguments.out / f"{split}.jsonl", split, rows, made)
        lines = [len(pair.gold_lines) / len(pair.buggy.splitlines()) for pair in made]
        groups = {pair.group for pair in made}
        print(f"{split}: {len(made)} pairs of {len(groups)} modules, chance {sum(lines) / len(lines):.3f}, "
              f"long {sum(len(p.buggy) > SHORT for p in made) / len(made):.2f}, {corpus_hash(made)[:16]}")  # fmt: skip


def mixed(count: int, split: str, texts: list[tuple[str, str, int]]) -> list[int]:
    """A random order in which couples (a longer text and a shorter one, drawn together) stay side by side."""
    units, index = [], 0
    while index < count:
        size = 2 if mutants.length_signs(*texts[index]) != (0, 0) else 1
        units.append(list(range(index, index + size)))
        index += size
    random.Random(f"frozen order {split}").shuffle(units)
    return [i for unit in units for i in unit]


if __name__ == "__main__":
    main()
