"""First stage of a study: everything that has to cross a radio link crosses it, once for each link and set of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_bridge.link import FIELDS, Link
from llm_bridge.study.cells import Cell
from llm_bridge.study.links import (
    delivery_row,
    equal_airtime,
    items_of,
    perfect_arrival,
    transmit_items,
)
from llm_bridge.study.loading import Study
from llm_bridge.transport.items import Item, ReceivedItem
from llm_bridge.transport.settings import RadioSettings

if TYPE_CHECKING:
    from rich.console import Console

TRAINING = "training set"
"""In the place of a test corpus' name: what the model learns from."""


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """What arrived for a cell: the texts to judge, and the texts to learn from."""

    evaluated: list[ReceivedItem]
    learnt: list[ReceivedItem]


def transmit_all(study: Study, cells: Sequence[Cell]) -> dict[Cell, Arrivals]:
    """First stage: everything that has to cross a link crosses it; the delivery table is shown at once."""
    arrivals: dict[Cell, Arrivals] = {}
    clean = {name: perfect_arrival(items_of(pairs)) for name, pairs in study.test.items()}
    clean_training = perfect_arrival(items_of(study.train))
    crossed: dict[tuple[Link, str], list[ReceivedItem]] = {}
    delivered: dict[tuple[str, Link], dict[str, Any]] = {}
    with study.phase("radio links: frames over the air") as advance:
        for number, cell in enumerate(cells):
            for link in links_of(cell):
                if link not in crossed:
                    crossed[link] = cross(study, *link)
            evaluated, learnt = clean[cell.corpus], clean_training
            if cell.link is not None and cell.crosses_link_in_evaluation:
                evaluated = crossed[cell.link, cell.corpus]
                delivered[cell.corpus, cell.link] = delivery_row(evaluated)
            if cell.link is not None and cell.crosses_link_in_training:
                learnt = crossed[cell.link, TRAINING]
            arrivals[cell] = Arrivals(evaluated=evaluated, learnt=learnt)
            advance(number + 1, len(cells))
    if delivered:
        _print_delivery(study.console, delivered)
    return arrivals


def links_of(cell: Cell) -> list[tuple[Link, str]]:
    """What a cell sends: a link, and the name of a test corpus or `TRAINING`."""
    if cell.link is None:
        return []
    sent = [(cell.link, cell.corpus)] if cell.crosses_link_in_evaluation else []
    return sent + ([(cell.link, TRAINING)] if cell.crosses_link_in_training else [])


def cross(study: Study, link: Link, corpus: str) -> list[ReceivedItem]:
    """A corpus over a link, from the file where it crossed it before.

    The airtime budget is that of the texts to be judged; a training set is sent once, in its fixed order, on any axis.
    """
    items = items_of(study.train if corpus == TRAINING else study.test[corpus])
    radio, tokenizer = settings_of(study, link, items, judged=corpus != TRAINING)
    name = study.model.get("tokenizer") or study.recipe.model.name
    return transmit_items(items, radio, study.directory, tokenizer=tokenizer, tokenizer_name=name)


def settings_of(
    study: Study, link: Link, items: Sequence[Item], *, judged: bool = True
) -> tuple[RadioSettings, object | None]:
    """Settings of a link for the texts that it is to carry, and the tokenizer, where ids are sent."""
    radio = study.recipe.radio.settings_of(link)
    tokenizer = study.tokenizer if radio.source_coding == "token_ids" else None
    if judged and link.axis == "equal_airtime":
        settings = study.recipe.radio
        budget_s = settings.period_s * settings.allowed_duty_cycle
        radio = equal_airtime(items, radio, settings.airtime_reference_sf, tokenizer, budget_s=budget_s)
    return radio, tokenizer


def _print_delivery(console: Console, rows: Mapping[tuple[str, Link], dict[str, Any]]) -> None:
    """What each link brought over; columns in which all links agree are said once, above the table."""
    from rich.table import Table

    names = ("corpus", *(name for name in FIELDS if name != "sf"))
    spelt = [{"corpus": corpus, **link.columns()} for corpus, link in rows]
    varying = [name for name in names if len({link[name] for link in spelt}) > 1]
    common = {name: spelt[0][name] for name in names if name not in varying}
    fixed = ", ".join(f"{name} {value}" for name, value in common.items() if value is not None)
    table = Table(title=f"What arrived ({fixed})", title_justify="left")
    for name in (*varying, "SF", "texts", "any byte", "whole", "frames", "lost", "unequal", "airtime"):
        table.add_column(name, justify="right")
    for link, row in zip(spelt, rows.values(), strict=True):
        lost = row["fragments_lost"] / row["fragments_sent"] if row["fragments_sent"] else 0.0
        pairs = row["pair_fragments"]  # fragment i of both versions: the share of which one alone was lost
        unequal = f"{row['pair_fragments_unequal'] / pairs:.1%}" if pairs else ""
        counts = (link["sf"], row["n"], row["delivered"], row["intact"], row["fragments_sent"])
        table.add_row(
            *(str(link[name]) for name in varying),
            *map(str, counts),
            f"{lost:.0%}",
            unequal,
            f"{row['airtime_s']:.0f} s",
        )
    console.print(table)
