"""The report's section on where the scatter of F1 comes from: programs, training seeds, channel seeds."""

from __future__ import annotations

from llm_bridge.study.evidence import seed_components
from llm_bridge.study.html_parts import Column, small, table
from llm_bridge.study.points import Study
from llm_bridge.study.words import corpus_name, method_name


def seeds_section(study: Study) -> str:
    """Where the scatter comes from, for every curve that is shown first and has more than one seed."""
    rows = [
        (corpus, task, method, part)
        for (corpus, task, method), parts in seed_components(study).items()
        for part in parts
    ]
    if not rows:
        return ""
    columns: list[Column] = [
        ("Corpus", "setting", lambda r: corpus_name(r[0])),
        ("Task", "text", lambda r: r[1]),
        ("Method", "text", lambda r: method_name(r[2])),
        ("Source", "text", lambda r: r[3].name.replace(" x ", " × ")),
        ("Share of variance", "number", lambda r: round(r[3].share, 3)),
        ("Draws", "number", lambda r: r[3].draws),
        ("SD of F1", "number", lambda r: small(r[3].score_sd)),
    ]
    return (
        '<p class="note">Analysis of variance of right and wrong over programs, training seeds and channel seeds, mean '
        "over the spreading factors of the curve shown first. Share of variance: of a single decision; SD of F1: what "
        "this source alone would scatter F1 by. Intervals in this report cover the programs; what the "
        "seeds add are the lines that name seeds alone.</p>"
        + table("Where the scatter comes from", columns, rows, cards=True)
    )
