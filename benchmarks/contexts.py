"""What a specification known at the receiver changes: one table from studies that differ in ``score.context`` alone.

    python benchmarks/contexts.py docs/results/context/none docs/results/context/specification ...

The first folder is what the others are compared with: differences of F1, program by program, with 95 % intervals over
programs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from publish import rows_of

from llm_bridge.report import Point, load_study
from llm_bridge.report.language import condition_name, corpus_name, format_difference, format_interval, format_number
from llm_bridge.scoring.metrics import compare_cells, score_cell
from llm_bridge.scoring.rules import is_rule

Key = tuple[str, str, str, int]


def main(folders: Sequence[Path]) -> None:
    """Print the table."""
    studies = [load_study(folder) for folder in folders]
    names = [folder.name for folder in folders]
    head = ["corpus, task, link", "best rule", *names, *(f"{name} − {names[0]}" for name in names[1:])]
    print(f"| {' | '.join(head)} |")
    print("|---" * len(head) + "|")
    known = [{_key(p): (p, rows_of(study, p)) for p in study.points if not is_rule(p.method)} for study in studies]
    for key, (point, first) in known[0].items():
        rows = [first, *(some[key][1] for some in known[1:])]
        scores = [score_cell(own) for own in rows]
        values = [format_interval(x["f1"], x["f1_low"], x["f1_high"]) for x in scores]
        changes = [format_difference(compare_cells(own, first)) for own in rows[1:]]
        where = "no link" if point.clean else f"SF{point.sf}, {condition_name(point)}"
        title = f"{corpus_name(point.corpus)}, *{point.task}*, {where}"
        print(f"| {title} | {format_number(point.baseline)} | {' | '.join([*values, *changes])} |")


def _key(point: Point) -> Key:
    return point.corpus, point.task, point.corrupted_split, point.sf or 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="published studies, or folders of runs")
    main(parser.parse_args().folders)
