"""First stage: texts over the radio link, once for every link and set of texts, kept as a file.

DIR/cache/links/<hash>.jsonl          a line per item: what arrived, and the record of the damage
DIR/cache/links/<hash>.rates.jsonl    one line: the rates of a real link, for its controls
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from llm_bridge.corpora.programs import ProgramPair
from llm_bridge.files import digest, signed, verified, write_jsonl
from llm_bridge.study.cells import simulator_version
from llm_bridge.transport.controls import LinkStatistics
from llm_bridge.transport.items import pair_fates
from llm_bridge.transport.link import (
    Damage,
    Item,
    RadioSettings,
    ReceivedItem,
    measure_link,
    send_items,
    within_budget,
)
from llm_bridge.transport.policies import find_policy

Progress = Callable[[int, int], None]


def items_of(pairs: Sequence[ProgramPair]) -> list[Item]:
    """Both versions of every program, as sent: the code and nothing else."""
    return [
        Item(corpus=pair.corpus, program=pair.name, version=version, text=text)
        for pair in pairs
        for version, text in (("buggy", pair.buggy), ("correct", pair.correct))
    ]


def perfect_arrival(items: Sequence[Item]) -> list[ReceivedItem]:
    """What arrives where no link is crossed: the texts themselves, no frame sent, nothing on air."""
    from llm_bridge.corpora.programs import line_spans

    none = Damage(bytes_sent=0, byte_errors=0, symbol_errors=0, fragments_sent=0, fragments_lost=0, airtime_s=0.0)
    return [
        ReceivedItem(
            item=item,
            text=item.text,
            erasures=(),
            line_spans=tuple(line_spans(item.text)),
            delivered=True,
            intact=True,
            damage=none,
        )
        for item in items
    ]


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
    directory: Path,
    *,
    tokenizer: object = None,
    tokenizer_name: str = "",
    progress: Progress | None = None,
    workers: int = 1,
) -> list[ReceivedItem]:
    """Send items over a link, or read what arrived when they were sent before.

    The rates of a control are measured once on the real link with these settings, for all controls of the link.
    """
    path = _link_path(directory, items, radio, tokenizer_name, "jsonl")
    if path.exists():
        return [_from_row(row, item) for row, item in zip(verified(path), items, strict=True)]
    if find_policy(radio.policy).control is not None and radio.control is None:
        radio = replace(radio, control=_statistics(items, radio, directory, tokenizer, tokenizer_name, workers))
    received = send_items(items, radio, tokenizer=tokenizer, progress=progress, workers=workers)
    write_jsonl(path, [signed(_to_row(arrival)) for arrival in received])
    return received


def delivery_row(received: Sequence[ReceivedItem]) -> dict[str, Any]:
    """Counts of one link: items, delivered, intact, fragments sent, lost and unequal in a pair, bytes, airtime."""
    fates = pair_fates(received)
    return {
        "n": len(received),
        "delivered": sum(arrival.delivered for arrival in received),
        "intact": sum(arrival.intact for arrival in received),
        "fragments_sent": sum(arrival.damage.fragments_sent for arrival in received),
        "fragments_lost": sum(arrival.damage.fragments_lost for arrival in received),
        "pair_fragments": fates.fragments,
        "pair_fragments_unequal": fates.unequal,
        "byte_errors": sum(arrival.damage.byte_errors for arrival in received),
        "airtime_s": sum(arrival.damage.airtime_s for arrival in received),
    }


def _statistics(
    items: Sequence[Item], radio: RadioSettings, directory: Path, tokenizer: object, tokenizer_name: str, workers: int
) -> LinkStatistics:
    """Rates of the real link, from the file where they were measured before."""
    real = replace(radio, policy="deliver")
    path = _link_path(directory, items, real, tokenizer_name, "rates.jsonl")
    if path.exists():
        (row,) = verified(path)
        return LinkStatistics(**row)
    measured = measure_link(items, real, tokenizer=tokenizer, workers=workers)
    write_jsonl(path, [signed(asdict(measured))])
    return measured


def _link_path(directory: Path, items: Sequence[Item], radio: RadioSettings, tokenizer_name: str, ending: str) -> Path:
    identity = {
        "radio": asdict(radio),
        "items": [[item.corpus, item.program, item.version, item.text] for item in items],
        "tokenizer": tokenizer_name if radio.source_coding != "utf8" else "",
        "chirpbridge": simulator_version(),
    }
    return directory / "cache" / "links" / f"{digest(identity)}.{ending}"


def _to_row(arrival: ReceivedItem) -> dict[str, Any]:
    return {
        "program": arrival.item.program,
        "version": arrival.item.version,
        "text": arrival.text,
        "holes": arrival.erasures,
        "line_spans": arrival.line_spans,
        "delivered": arrival.delivered,
        "intact": arrival.intact,
        "damage": asdict(arrival.damage),
        "kept_fragments": arrival.kept_fragments,
    }


def _from_row(row: dict[str, Any], item: Item) -> ReceivedItem:
    return ReceivedItem(
        item=item,
        text=row["text"],
        erasures=tuple((start, end) for start, end in row["holes"]),
        line_spans=tuple((start, end) for start, end in row["line_spans"]),
        delivered=row["delivered"],
        intact=row["intact"],
        damage=Damage(**row["damage"]),
        kept_fragments=tuple(row["kept_fragments"]),
    )
