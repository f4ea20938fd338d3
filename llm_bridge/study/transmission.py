"""First stage of a study: everything that has to cross a radio link crosses it, once for each link and set of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypedDict

from pydantic import TypeAdapter

from llm_bridge.corpora.programs import ProgramPair, line_spans
from llm_bridge.link import FIELDS, Link
from llm_bridge.study.cache import Cache
from llm_bridge.study.cells import Cell, link_code
from llm_bridge.study.workspace import Workspace
from llm_bridge.transport.controls import LinkStatistics
from llm_bridge.transport.items import Damage, Item, ReceivedItem, pair_fates
from llm_bridge.transport.link import measure_link, send_items, within_budget
from llm_bridge.transport.policies import find_policy
from llm_bridge.transport.settings import RadioSettings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

TRAINING = "training set"
"""In the place of a test corpus' name: what the model learns from."""


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """Arrivals of a cell: the texts to evaluate, and the training texts."""

    evaluated: list[ReceivedItem]
    learnt: list[ReceivedItem]


class Delivery(TypedDict):
    """Counts of one link over a corpus; `airtime_s` in seconds."""

    n: int
    delivered: int
    intact: int
    pair_fragments: int
    pair_fragments_unequal: int
    fragments_sent: int
    fragments_lost: int
    byte_errors: int
    airtime_s: float


def transmit_all(study: Workspace, cells: Sequence[Cell]) -> dict[Cell, Arrivals]:
    """First stage: everything that has to cross a link crosses it; the delivery table is shown at once."""
    arrivals: dict[Cell, Arrivals] = {}
    clean = {name: perfect_arrival(items_of(pairs)) for name, pairs in study.test.items()}
    clean_training = perfect_arrival(items_of(study.train))
    crossed: dict[tuple[Link, str], list[ReceivedItem]] = {}
    delivered: dict[tuple[str, Link], Delivery] = {}
    with study.phase("radio links: frames over the air") as advance:
        for number, cell in enumerate(cells):
            for link, corpus in links_of(cell):
                if (link, corpus) not in crossed:
                    crossed[link, corpus] = cross(study, link, corpus)
                if corpus != TRAINING:
                    delivered[corpus, link] = delivery_row(crossed[link, corpus])
            evaluated = crossed[cell.evaluation_link, cell.corpus] if cell.evaluation_link else clean[cell.corpus]
            learnt = crossed[cell.training_link, TRAINING] if cell.training_link else clean_training
            arrivals[cell] = Arrivals(evaluated=evaluated, learnt=learnt)
            advance(number + 1, len(cells))
    if delivered:
        _print_delivery(study.console, delivered)
    return arrivals


def links_of(cell: Cell) -> list[tuple[Link, str]]:
    """Transmissions of a cell: a link with the name of a test corpus or `TRAINING`, each."""
    sent = ((cell.evaluation_link, cell.corpus), (cell.training_link, TRAINING))
    return [(link, corpus) for link, corpus in sent if link is not None]


def cross(study: Workspace, link: Link, corpus: str) -> list[ReceivedItem]:
    """Arrivals of a corpus over a link, from their file where there is one.

    The airtime budget is that of the texts to evaluate; a training set is sent once, in its fixed order, on any axis.
    """
    items = items_of(study.train if corpus == TRAINING else study.test[corpus])
    radio, tokenizer = settings_of(study, link, items, evaluated=corpus != TRAINING)
    name = study.model.get("tokenizer") or study.recipe.model.name
    return transmit_items(items, radio, study.cache, tokenizer=tokenizer, tokenizer_name=name)


def settings_of(
    study: Workspace, link: Link, items: Sequence[Item], *, evaluated: bool = True
) -> tuple[RadioSettings, object | None]:
    """Settings of a link for the texts that it is to carry, and the tokenizer, where ids are sent."""
    radio, config = study.recipe.radio.settings_of(link), study.recipe.radio
    tokenizer = study.tokenizer if radio.source_coding == "token_ids" else None
    if evaluated and link.axis == "equal_airtime":
        budget_s = config.period_s * config.allowed_duty_cycle
        radio = equal_airtime(items, radio, config.airtime_reference_sf, tokenizer, budget_s=budget_s)
    return radio, tokenizer


def items_of(pairs: Sequence[ProgramPair]) -> list[Item]:
    """Both versions of every program, as sent: the code and nothing else."""
    return [
        Item(corpus=pair.corpus, program=pair.name, version=version, text=text)
        for pair in pairs
        for version, text in (("buggy", pair.buggy), ("correct", pair.correct))
    ]


def perfect_arrival(items: Sequence[Item]) -> list[ReceivedItem]:
    """Arrivals where no link is crossed: the texts themselves, no frame sent, nothing on air."""
    none = Damage(bytes_sent=0, byte_errors=0, symbol_errors=0, fragments_sent=0, fragments_lost=0, airtime_s=0.0)
    return [
        ReceivedItem(
            item=item, text=item.text, erasures=(), line_spans=tuple(line_spans(item.text)), delivered=True,
            intact=True, damage=none,
        )
        for item in items
    ]  # fmt: skip


def equal_airtime(
    items: Sequence[Item], radio: RadioSettings, reference_sf: int, tokenizer: object, *, budget_s: float = 0.0
) -> RadioSettings:
    """The same link with `budget_s` seconds on air, or (0) with what `reference_sf` needs to send all items once."""
    if not budget_s:
        reference = replace(radio, sf=reference_sf)
        on_air = send_items(items, replace(reference, snr_db=float("inf"), policy="drop"), tokenizer=tokenizer)
        budget_s = sum(arrival.damage.airtime_s for arrival in on_air)
    return within_budget(items, radio, budget_s, tokenizer=tokenizer)


def transmit_items(
    items: Sequence[Item],
    radio: RadioSettings,
    cache: Cache,
    *,
    tokenizer: object = None,
    tokenizer_name: str = "",
) -> list[ReceivedItem]:
    """Send items over a link; what was sent already is read from its file.

    The rates of a control are measured once on the real link with these settings, for all controls of the link.
    """

    def identity(settings: RadioSettings) -> dict[str, object]:
        return {
            "radio": asdict(settings),
            "items": [[item.corpus, item.program, item.version, item.text] for item in items],
            "tokenizer": tokenizer_name if settings.source_coding != "utf8" else "",
            "code": link_code(settings.policy, settings.source_coding),
        }

    def measured() -> LinkStatistics:
        real = replace(radio, policy="deliver")
        return cache.get_or_make(
            "rates",
            identity(real),
            lambda: measure_link(items, real, tokenizer=tokenizer),
            read=lambda rows: LinkStatistics(**rows[0]),
            write=lambda rates: [asdict(rates)],
        )

    def send() -> list[ReceivedItem]:
        settings = radio
        if find_policy(radio.policy).control is not None and radio.control is None:
            settings = replace(radio, control=measured())
        return send_items(items, settings, tokenizer=tokenizer)

    return cache.get_or_make(
        "links",
        identity(radio),
        send,
        read=lambda rows: [_from_row(row, item) for row, item in zip(rows, items, strict=True)],
        write=lambda received: [_to_row(arrival) for arrival in received],
    )


def delivery_row(received: Sequence[ReceivedItem]) -> Delivery:
    """Counts of one link: items, delivered, intact, fragments sent, lost and unequal in a pair, bytes, airtime."""
    fates = pair_fates(received)
    return {
        "n": len(received),
        "delivered": sum(arrival.delivered for arrival in received),
        "intact": sum(arrival.intact for arrival in received),
        "pair_fragments": fates.fragments,
        "pair_fragments_unequal": fates.unequal,
        "fragments_sent": sum(arrival.damage.fragments_sent for arrival in received),
        "fragments_lost": sum(arrival.damage.fragments_lost for arrival in received),
        "byte_errors": sum(arrival.damage.byte_errors for arrival in received),
        "airtime_s": sum(arrival.damage.airtime_s for arrival in received),
    }


# --- helpers ----------------------------------------------------------------------------------------------------------


def _to_row(arrival: ReceivedItem) -> dict[str, object]:
    row = asdict(arrival)
    item = row.pop("item")
    return {"program": item["program"], "version": item["version"], **row}


def _from_row(row: Mapping[str, object], item: Item) -> ReceivedItem:
    values = {name: value for name, value in row.items() if name not in ("program", "version")}
    return _received().validate_python({**values, "item": item})


@lru_cache(maxsize=1)
def _received() -> TypeAdapter[ReceivedItem]:
    return TypeAdapter(ReceivedItem)


_COUNTED = {"texts", "any byte", "whole", "frames", "lost", "unequal", "airtime s"}


def _print_delivery(console: Console, rows: Mapping[tuple[str, Link], Delivery]) -> None:
    """Tables of deliveries, one for each corpus; what is the same in all lines of one is said above it."""
    for corpus in dict.fromkeys(corpus for corpus, _ in rows):
        lines = [_delivery_line(link, row) for (other, link), row in rows.items() if other == corpus]
        same = {name for name in lines[0] if len({line[name] for line in lines}) == 1} - {"SF"}
        same -= _COUNTED if len(lines) == 1 else set()
        common = ", ".join(f"{name} {lines[0][name]}" for name in lines[0] if name in same and lines[0][name])
        console.print(f"What arrived of {corpus}{f': {common}' if common else ''}", highlight=False, markup=False)
        varying = [{name: text for name, text in line.items() if name not in same} for line in lines]
        console.print(_delivery_table(varying, console.width), no_wrap=True, crop=False)


def _delivery_line(link: Link, row: Delivery) -> dict[str, str]:
    """A link's setting, and what became of what was sent over it, as texts under the words of a heading."""
    setting = {name: value for name, value in link.columns().items() if name in FIELDS and name != "sf"}
    pairs = row["pair_fragments"]  # fragment i of both versions: the share of which one alone was lost
    lost = row["fragments_lost"] / row["fragments_sent"] if row["fragments_sent"] else 0.0
    return {
        **{name.replace("_", " "): "" if value is None else str(value) for name, value in setting.items()},
        "SF": str(link.sf),
        "texts": str(row["n"]),
        "any byte": str(row["delivered"]),
        "whole": str(row["intact"]),
        "frames": str(row["fragments_sent"]),
        "lost": f"{lost:.0%}",
        "unequal": f"{row['pair_fragments_unequal'] / pairs:.1%}" if pairs else "",
        "airtime s": f"{row['airtime_s']:,.0f}",
    }


def _delivery_table(lines: Sequence[Mapping[str, str]], width: int) -> Table:
    """Lines with equal keys as a table, whose words of a heading stand below each other; never cut."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def table(gap: int) -> Table:
        found = Table(box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), show_edge=False)
        for name in lines[0]:
            found.add_column(Text(name.replace(" ", "\n")), justify="right", no_wrap=True)
        for line in lines:
            found.add_row(*map(Text, line.values()))
        return found

    words = {name: max(map(len, [*name.split(), *(line[name] for line in lines)])) for name in lines[0]}
    return table(1 if sum(words.values()) + 2 * len(words) <= width else 0)
