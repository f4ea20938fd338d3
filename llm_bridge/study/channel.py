"""The channel stage alone: what every link does to the test corpora, before any model is asked.

    recipe with ``training.methods = []``  ─►  channel.csv, a row for each link and channel seed  ─►  report.html

Policies and source codings that share frames share them here: a frame crosses a radio once, and each decides about it.
The noise is that of a study with models, so a row says what arrives there. Each radio's rows are one file,
DIR/cache/channel/<hash>.jsonl; what is there is not sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from rich.markup import escape

from llm_bridge.files import csv_text, write_atomically
from llm_bridge.link import Link
from llm_bridge.results_format import CHANNEL_COLUMNS, CHANNEL_TABLE
from llm_bridge.study.cells import channel_links, link_code
from llm_bridge.study.parallel import ONE_JOB, open_executor, run_jobs
from llm_bridge.study.rows import parses
from llm_bridge.study.transmission import delivery_row, items_of, settings_of
from llm_bridge.study.workspace import Workspace, task_of, workspace_of
from llm_bridge.transport.items import ReceivedItem
from llm_bridge.transport.link import send_items
from llm_bridge.transport.radio import Arrival, Packet


def run_channel(study: Workspace, *, workers: int | None = None, cluster: str | None = None) -> list[dict[str, object]]:
    """Send a recipe's test corpora over all its links; returns the rows of ``channel.csv``.

    Parameters
    ----------
    study
        The workspace; its folder is locked by the caller.
    workers, cluster
        The arguments of `parallel.open_executor`; the default is this process alone. The result does not depend on
        them.
    """
    groups = radios(channel_links(study.recipe))
    unsent = [group for group in groups if not _rows_path(study, *group).exists()]
    study.console.print(
        f"[bold]{escape(study.recipe.name)}[/bold]: channel alone, {len(groups)} radios, {len(unsent)} to send over",
        highlight=False,
    )
    with open_executor(workers=workers, cluster=cluster) if unsent else nullcontext() as executor:
        with study.phase(f"{len(unsent)} radios: frames over the air") as advance:
            if executor is not None:
                unsent.sort(key=lambda group: -group[1][0].sf)  # the long frames first
                run_jobs(executor, channel_job, [(*task_of(study), *group) for group in unsent], advance)
            for number, group in enumerate(unsent if executor is None else []):
                send_over(study, *group)
                advance(number + 1, len(unsent))
    rows = [row for group in groups for row in send_over(study, *group)]
    write_atomically(study.directory / CHANNEL_TABLE, csv_text(CHANNEL_COLUMNS, rows))
    return rows


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


def send_over(study: Workspace, corpus: str, links: Sequence[Link]) -> list[dict[str, object]]:
    """Rows of one corpus over one radio, one for each policy and source coding, from their file where there is one."""
    items = items_of(study.test[corpus])

    def send() -> list[dict[str, object]]:
        carried: dict[Packet, Arrival] = {}
        rows = []
        for link in links:
            radio, tokenizer = settings_of(study, link, items)
            received = send_items(items, radio, tokenizer=tokenizer, carried=carried)
            row = {"corpus": corpus, **channel_row(link, received, study.recipe.radio.allowed_duty_cycle)}
            rows.append({**row, "within_dwell_time": radio.within_dwell_time(study.recipe.radio.region)})
        return rows

    return study.cache.get_or_make("channel", _identity(study, corpus, links), send, read=list, write=list)


def channel_row(link: Link, received: Sequence[ReceivedItem], duty_cycle: float) -> dict[str, object]:
    """Row of one link and one corpus: counts, the two rates made of them, and the time on air."""
    counts = delivery_row(received)
    sent = sum(len(arrival.item.text.encode()) for arrival in received)
    lost = sum(arrival.bytes_missing for arrival in received)
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


def channel_job(recipe: str, directory: str, model: dict[str, str], corpus: str, links: list[Link]) -> None:
    """One radio on a worker process, to its file."""
    with ONE_JOB:
        send_over(workspace_of(recipe, directory, model), corpus, links)


# --- helpers


def _rows_path(study: Workspace, corpus: str, links: Sequence[Link]) -> Path:
    return study.cache.path("channel", _identity(study, corpus, links))


def _identity(study: Workspace, corpus: str, links: Sequence[Link]) -> dict[str, object]:
    items, radio = items_of(study.test[corpus]), study.recipe.radio
    return {
        "links": [link.columns() for link in links],
        "radio": [asdict(settings_of(study, link, items)[0]) for link in links],
        "corpus": study.corpus_hashes[corpus],
        "region": [radio.region, radio.allowed_duty_cycle],
        "model": study.recipe.model.name if any(link.source_coding != "utf8" for link in links) else "",
        "code": [link_code(link.policy, link.source_coding) for link in links],
    }
