"""What is computed from a study's points beside its contrasts: collapse tests, and where the scatter comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_bridge.scoring.conditional_independence import IndependenceFit, fit_independence, independence_family
from llm_bridge.scoring.variance import (
    Component,
    crossed_table,
    nested_components,
    nested_table,
    variance_components,
)
from llm_bridge.study.contrasts import TASKS, primary_contrasts, texture_contrasts
from llm_bridge.study.controls import FINE_TUNED
from llm_bridge.study.curves import curve_order, curves, is_control
from llm_bridge.study.points import Point, Study
from llm_bridge.study.words import CORPUS_ORDER, rank


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """The collapse test of one corpus, policy and task, and its further looks.

    `robust` is the population-average fit with cluster-robust errors: rows that share one damaged text (methods, and
    training seeds on one channel seed) are not independent, which it allows for and the likelihood ratio does not.
    """

    corpus: str
    policy: str
    task: str
    slope: IndependenceFit
    categories: IndependenceFit
    in_part: IndependenceFit
    robust: IndependenceFit


def collapse_tests(study: Study) -> list[Collapse]:
    """One test for each corpus, policy and task, over all links and fine-tuned methods; over all models without any."""
    seeds = {cell.name: cell.config.get("train_seed") for cell in study.cells}
    families: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    linked = [p for p in study.points if p.sf and p.task in TASKS and p.corrupted_split == "eval" and not is_control(p)]
    trained = any(p.method in FINE_TUNED for p in linked)
    for p in linked:
        if p.method == "rules" or (trained and p.method not in FINE_TUNED):
            continue
        rows = families.setdefault((p.corpus, str(p.policy)), {}).setdefault(p.task, [])
        rows += [
            {**row, "method": p.method, "sf": p.sf, "train_seed": seeds.get(row["cell"])}
            for row in p.items
            if row.get("bytes_sent")
        ]
    found = []
    for (corpus, policy), by_task in families.items():
        fits = independence_family(by_task)
        for task, rows in by_task.items():
            part = [row for row in rows if row["delivered"] and not row["intact"]]
            found.append(
                Collapse(
                    corpus=corpus,
                    policy=policy,
                    task=task,
                    slope=fits[task],
                    categories=fit_independence(rows, sf_terms="categories"),
                    in_part=fit_independence(part),
                    robust=fit_independence(rows, engine="gee"),
                )
            )
    return sorted(found, key=lambda c: (rank(CORPUS_ORDER, c.corpus), c.policy, c.task))


def contrast_sentences(study: Study) -> dict[Any, dict[str, str]]:
    """Sentences of the registered contrasts of the first corpus, by axis and task."""
    primary = [(contrast.link[0], contrast.sentence()) for contrast in primary_contrasts(study)]
    texture = [(contrast.first, contrast.texture_sentence()) for contrast in texture_contrasts(study)]
    found = [*primary, *texture]
    first = min((p.corpus for p, _ in found), key=lambda corpus: rank(CORPUS_ORDER, corpus), default=None)
    said: dict[Any, dict[str, str]] = {}
    for p, sentence in found:
        if p.corpus == first:
            said.setdefault(p.axis, {}).setdefault(p.task, sentence)
    return said


def seed_components(study: Study) -> dict[tuple[str, str, str], list[Component]]:
    """Variance components by corpus, task and method, averaged over the points of the curve that is shown first."""
    first: dict[tuple[str, str, str], list[list[Component]]] = {}
    for curve in sorted(curves(study.points), key=curve_order):
        p = curve.first
        key = (p.corpus, p.task, p.method)
        if key in first or p.task not in TASKS or is_control(p) or p.method == "rules":
            continue
        found = [parts for point in curve.points if (parts := _components(point))]
        if found and len({len(parts) for parts in found}) == 1:
            first[key] = found
    return {key: _average(found) for key, found in first.items()}


# --- helpers ----------------------------------------------------------------------------------------------------------


def _components(point: Point) -> list[Component]:
    """Components of a point's decisions; none where there is one run only, or seeds are neither crossed nor nested."""
    decisions = {
        (str(row["program"]), *point.runs[row["cell"]]): float(bool(row["delivered"]) and bool(row["correct"]))
        for row in point.items
    }
    nested = nested_table(decisions)
    if nested is not None:
        return nested_components(nested) if nested.shape[0] > 1 else []
    table = crossed_table(decisions) if decisions else None
    if table is None or table.shape[0] < 2 or max(table.shape[1:]) < 2:
        return []
    return variance_components(table)


def _average(found: Sequence[Sequence[Component]]) -> list[Component]:
    """Components averaged over points; shares of the averaged variances."""
    variances = [sum(parts[i].variance for parts in found) / len(found) for i in range(len(found[0]))]
    total = sum(variances)
    return [
        Component(
            name=part.name,
            variance=variance,
            share=variance / total if total else 0.0,
            score_sd=(variance / part.draws) ** 0.5,
            draws=part.draws,
        )
        for part, variance in zip(found[0], variances, strict=True)
    ]
