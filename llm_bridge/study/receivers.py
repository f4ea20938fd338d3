"""Receivers that do nothing with damaged texts: what a model that reads damage must be measured against.

    intact-only    the model's decision on the clean text where a text arrived whole, a miss elsewhere
    parser gate    what is not Python is sent again, once; the rest is decided as it arrived

Both are computed from item rows: the same model's own decisions on the clean texts stand in for what it would say.
What is sent again crosses the same link: it arrives whole as often as items of that link did the first time, and where
it does not, the decision on what arrived first stands. What the gate would score if everything sent again arrived
whole is said beside it, and the share that is sent again, its cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from llm_bridge.scoring.metrics import score_cell
from llm_bridge.study.curves import Curve

Row = Mapping[str, Any]
RESENT_COPIES = 20
"""Of an item that is sent again so many copies are counted, whole or as they arrived first."""


def intact_only(link: Iterable[Row], clean: Iterable[Row], seeds: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of a receiver that takes the model's clean decision where all arrived whole, and gives up elsewhere."""
    return _receiver(link, clean, seeds, asks=lambda row: False)


def parser_gate(
    link: Iterable[Row], clean: Iterable[Row], seeds: Mapping[str, Any], *, whole_share: float = 1.0
) -> list[dict[str, Any]]:
    """Rows of a receiver that has everything sent again that does not parse; the rest is decided as it arrived.

    `whole_share` is the probability that what is sent again arrives whole; else the first decision stands. Below 1
    every row is there `RESENT_COPIES` times, so that F1 of the rows is the one to be expected, but for the draw of how
    many of an item's copies are whole (a fraction of one copy; fixed seed).
    """
    link = list(link)
    resent = _receiver(link, clean, seeds, asks=asks_again, keeps=True)
    if whole_share >= 1.0 or len(resent) != len(link):
        return resent
    draws = np.random.default_rng(0).random(len(link))
    made = []
    for first, second, draw in zip(link, resent, draws, strict=True):
        whole = int(RESENT_COPIES * whole_share + draw) if asks_again(first) else 0
        made += [second] * whole + [dict(first)] * (RESENT_COPIES - whole)
    return made


def asks_again(row: Row) -> bool:
    """Whether the parser gate asks again: nothing arrived, or what arrived is not Python."""
    return not row["delivered"] or not row["parses"]


def intact_only_along(curve: Curve, seeds: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Rows of the intact-only receiver at all points of a curve, and what it scores; no rows where it cannot be had."""
    link = [row for point in curve.points for row in point.items]
    rows = intact_only(link, curve.clean.items if curve.clean else (), seeds)
    if len(rows) != len(link):
        return [], ""  # a link without its clean counterpart
    whole = sum(bool(row["intact"]) for row in link) / len(link)
    return rows, f"it scores {score_cell(rows)['f1']:.2f}; {whole:.0%} whole"


def parser_gate_along(curve: Curve, seeds: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Rows of the parser gate at all points of a curve, each with its link's own loss, and what it scores."""
    link = [row for point in curve.points for row in point.items]
    clean = curve.clean.items if curve.clean else ()
    if any("parses" not in row for row in link):
        return [], ""
    at_best = parser_gate(link, clean, seeds)
    if len(at_best) != len(link):
        return [], ""
    rows = []
    for point in curve.points:
        made = parser_gate(point.items, clean, seeds, whole_share=point.share_intact)
        rows += made * (1 if point.share_intact < 1 else RESENT_COPIES)
    scores = [score_cell(found, num_resamples=1)["f1"] for found in (rows, at_best)]
    again = sum(map(asks_again, link)) / len(link)
    note = f"it scores {scores[0]:.2f}; {scores[1]:.2f} if all that is sent again arrives whole; {again:.0%} sent again"
    return rows, note


# --- helpers ----------------------------------------------------------------------------------------------------------


def _receiver(
    link: Iterable[Row],
    clean: Iterable[Row],
    seeds: Mapping[str, Any],
    *,
    asks: Callable[[Row], bool],
    keeps: bool = False,
) -> list[dict[str, Any]]:
    """Rows of `link` with the clean decision of the same program, version and training seed put in."""

    def key(row: Row) -> tuple[Any, ...]:
        return row["program"], row["version"], seeds.get(row["cell"])

    undamaged = {key(row): row for row in clean}
    made = []
    for row in link:
        if key(row) not in undamaged:
            continue
        stands_in = {name: undamaged[key(row)].get(name) for name in ("decision", "correct", "score", "rank")}
        if asks(row) or (row["intact"] and not keeps):
            made.append({**row, **stands_in, "delivered": True, "intact": True})
        elif keeps:
            made.append(dict(row))
        else:
            made.append({**row, "delivered": False, "intact": False, "decision": None, "correct": False})
    return made
