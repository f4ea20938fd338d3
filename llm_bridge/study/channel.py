"""The channel stage alone: what every link does to the test corpora, before any model is asked.

    recipe with ``training.methods = []``  ─►  channel.csv, a row for each link and channel seed  ─►  report.html

Policies and source codings that share frames share them here: a frame crosses a radio once and is judged by each. The
noise is that of a study with models, so a row says what arrives there. Each radio's rows are one file,
DIR/cache/channel/<hash>.jsonl; what is there is not sent again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.files import canonical_json, digest, signed, verified, write_atomically, write_json, write_jsonl
from llm_bridge.link import Link
from llm_bridge.results_format import CHANNEL_COLUMNS, CHANNEL_TABLE, RECIPE_FILE
from llm_bridge.study.cells import channel_links, simulator_version
from llm_bridge.study.links import delivery_row, items_of
from llm_bridge.study.loading import Study, load_study
from llm_bridge.study.parallel import ONE_JOB, open_executor, run_jobs
from llm_bridge.study.recipe import Recipe, as_plain
from llm_bridge.study.recipe_files import recipe_of
from llm_bridge.study.rows import parses
from llm_bridge.study.transmission import settings_of
from llm_bridge.transport.link import ReceivedItem, send_items
from llm_bridge.transport.radio import Arrival, Packet

if TYPE_CHECKING:
    from rich.console import Console


def run_channel(
    recipe: Recipe, directory: Path, *, console: Console, workers: int | None = None, cluster: str | None = None
) -> Path:
    """Send a recipe's test corpora over all its links; returns the report's path. The folder is locked by the caller.

    Parameters
    ----------
    recipe, directory, console
        As in `experiment.run_recipe`.
    workers, cluster
        See `parallel.open_executor`; the result does not depend on them.
    """
    study = load_study(recipe, directory, console)
    groups = radios(channel_links(recipe))
    unsent = [group for group in groups if not _rows_path(study, *group).exists()]
    console.print(
        f"[bold]{recipe.name}[/bold]: channel alone, {len(groups)} radios, {len(unsent)} to send over", highlight=False
    )
    write_json(directory / RECIPE_FILE, as_plain(recipe))
    with open_executor(workers=workers, cluster=cluster) if unsent else nullcontext() as executor:
        with study.phase(f"{len(unsent)} radios: frames over the air") as advance:
            if executor is not None:
                unsent.sort(key=lambda group: -group[1][0].sf)  # the long frames first
                task = canonical_json(as_plain(recipe)), str(directory.resolve())
                run_jobs(executor, channel_job, [(*task, *group) for group in unsent], advance)
            for number, group in enumerate(unsent if executor is None else []):
                send_over(study, *group)
                advance(number + 1, len(unsent))
    rows = [row for group in groups for row in verified(_rows_path(study, *group))]
    return _report(study, rows)


def radios(links: Iterable[tuple[str, Link]]) -> list[tuple[str, list[Link]]]:
    """Corpora, each with links that differ in policy and source coding alone: one radio carries a frame once for all.

    Parameters
    ----------
    links
        Names of corpora, each with a link that it is to cross (`channel_links`).
    """
    groups: dict[tuple[str, Link], list[Link]] = {}
    for corpus, link in links:
        groups.setdefault((corpus, replace(link, policy="", source_coding="")), []).append(link)
    return [(corpus, group) for (corpus, _), group in groups.items()]


def send_over(study: Study, corpus: str, links: Sequence[Link]) -> list[dict[str, Any]]:
    """One corpus over one radio, its row for each policy and source coding to their file."""
    items = items_of(study.test[corpus])
    carried: dict[Packet, Arrival] = {}
    rows = []
    for link in links:
        radio, tokenizer = settings_of(study, link, items)
        received = send_items(items, radio, tokenizer=tokenizer, carried=carried)
        row = {"corpus": corpus, **channel_row(link, received, study.recipe.radio.allowed_duty_cycle)}
        rows.append({**row, "within_dwell_time": radio.within_dwell_time(study.recipe.radio.region)})
    write_jsonl(_rows_path(study, corpus, links), [signed(row) for row in rows])
    return rows


def channel_row(link: Link, received: Sequence[ReceivedItem], duty_cycle: float) -> dict[str, Any]:
    """What one link did to a corpus: counts, the two rates made of them, and the time it took."""
    counts = delivery_row(received)
    sent = sum(len(arrival.item.text.encode()) for arrival in received)
    lost = sum(_bytes_lost(arrival) for arrival in received)
    return {
        **link.columns(),
        **counts,
        "parses": sum(arrival.delivered and parses(arrival.text) for arrival in received),
        "bytes_sent": sent,
        "bytes_lost": lost,
        "byte_error_rate": counts["byte_errors"] / sent,
        "residual_error_rate": (counts["byte_errors"] + lost) / sent,
        "duty_cycle": duty_cycle,
        "send_time_s": counts["airtime_s"] / duty_cycle,
    }


def channel_job(recipe: str, directory: str, corpus: str, links: list[Link]) -> None:
    """One radio on a worker process, to its file."""
    with ONE_JOB:
        send_over(_study_of(recipe, directory), corpus, links)


def channel_csv(rows: Iterable[dict[str, Any]]) -> str:
    """``channel.csv``: a line for every link and channel seed, `CHANNEL_COLUMNS`, empty where undefined."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CHANNEL_COLUMNS)
    for row in rows:
        writer.writerow(["" if row[name] is None else row[name] for name in CHANNEL_COLUMNS])
    return text.getvalue()


# --- helpers


def _bytes_lost(arrival: ReceivedItem) -> int:
    """Bytes of a text that did not arrive at all."""
    if not arrival.delivered:
        return len(arrival.item.text.encode())
    return sum(end - start for start, end in arrival.erasures)


def _rows_path(study: Study, corpus: str, links: Sequence[Link]) -> Path:
    items = items_of(study.test[corpus])
    identity = {
        "links": [link.columns() for link in links],
        "radio": [asdict(settings_of(study, link, items)[0]) for link in links],
        "corpus": study.corpus_hashes[corpus],
        "region": [study.recipe.radio.region, study.recipe.radio.allowed_duty_cycle],
        "model": study.recipe.model.name if any(link.source_coding != "utf8" for link in links) else "",
        "chirpbridge": simulator_version(),
    }
    return study.directory / "cache" / "channel" / f"{digest(identity)}.jsonl"


def _report(study: Study, rows: Sequence[dict[str, Any]]) -> Path:
    from llm_bridge.report import write_report
    from llm_bridge.report.channel import read_channel, residual_table

    with study.phase("report"):
        write_atomically(study.directory / CHANNEL_TABLE, channel_csv(rows))
        path = write_report(study.directory)
    study.console.print("\nShare of bytes wrong or lost, by spreading factor, over all channel seeds", highlight=False)
    shares = residual_table(read_channel(study.directory)).to_string()
    study.console.print(shares, soft_wrap=True, highlight=False, markup=False)
    study.console.print(f"\nreport: {path}", soft_wrap=True, highlight=False)
    return path


@lru_cache(maxsize=2)
def _study_of(recipe: str, directory: str) -> Study:
    from rich.console import Console

    return load_study(recipe_of(json.loads(recipe)), Path(directory), Console(quiet=True))
