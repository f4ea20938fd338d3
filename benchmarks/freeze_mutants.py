"""Draw the frozen corpus of mutants and write its lists: run once, before anything is trained on it.

    python benchmarks/freeze_mutants.py --out llm_bridge/corpora/frozen [--quixbugs PATH]

Four pools for each split, {standard library, algorithmic packages} x {texts up to 250 characters, longer ones}, with
equal quotas. Near-duplicates are taken out among all functions, a split's own against those that matter more, and
against the texts of MiniBugs and QuixBugs; so are functions with the names of their programs.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from llm_bridge.corpora import frozen_mutants, minibugs, mutants, near_duplicates, package_functions, quixbugs
from llm_bridge.corpora.programs import corpus_hash
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
                    rows.append(frozen_mutants.freeze(pair, function, origin[function.name]))
                print(f"{split:10} {label:15} {len(pool):5} functions {len(found):5} pairs")
        order = mixed(len(pairs), split, [(p.buggy, p.correct, p.buggy_line) for p in pairs])
        rows, pairs = [rows[i] for i in order], [pairs[i] for i in order]
        made = frozen_mutants.realise(rows)
        assert [(a.buggy, a.correct) for a in made] == [(b.buggy, b.correct) for b in pairs]
        frozen_mutants.write(arguments.out / f"{split}.jsonl", split, rows, made)
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
