"""The page of a channel-only study: bytes wrong or lost against what each axis holds equal, and the table behind it.

channel.csv  ->  counts over channel seeds  ->  a figure for each corpus, axis and policy, a line for each SF
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.axes import LEVEL_COLUMNS, QUANTITIES
from llm_bridge.files import StoreError, read_json
from llm_bridge.report.figures import share_against_level
from llm_bridge.report.language import axis_name, corpus_name, format_level
from llm_bridge.report.page import Part, render
from llm_bridge.report.reading import read_lines
from llm_bridge.report.tables import Column, make_table
from llm_bridge.results_format import CHANNEL_COLUMNS, CHANNEL_TABLE, RECIPE_FILE

if TYPE_CHECKING:
    import pandas as pd

SETTINGS = ("corpus", "axis", "fading", "cr", "policy", "source_coding")
TEXTS = frozenset(("corpus", "axis", "fading", "policy", "source_coding", "within_dwell_time"))
NEEDED = (*SETTINGS, "sf", "snr_db", "channel_seed", "n", "bytes_sent", "byte_errors", "bytes_lost")
LEVEL_NAMES = {"snr_db": "SNR / dB", "distance_km": "distance / km", "ebn0_db": "Eb/N0 / dB"}


def read_channel(directory: Path) -> pd.DataFrame:
    """Lines of ``channel.csv``, a row for each link and channel seed, with `level` and its `quantity`.

    Raises
    ------
    StoreError
        A column is missing, or a number is none.
    """
    import pandas as pd

    path = directory / CHANNEL_TABLE
    rows, delimiter = read_lines(path, needed=NEEDED, kind="links")
    if not rows:
        raise StoreError(f"{path} holds no link; run the recipe again")
    frame = pd.DataFrame({name: [row.get(name) or None for row in rows] for name in CHANNEL_COLUMNS})
    for name in frame.columns.difference(sorted(TEXTS)):
        column = frame[name].str.replace(",", ".") if delimiter != "," else frame[name]
        try:
            frame[name] = pd.to_numeric(column)
        except ValueError as error:
            raise StoreError(f"{path}: {name!r} must be numbers ({error}); run the recipe again") from error
    levels = frame[list(LEVEL_COLUMNS)]
    frame["quantity"] = levels.notna().idxmax(axis=1).where(levels.notna().any(axis=1), "snr_db")
    frame["level"] = [row[row["quantity"]] for row in frame.to_dict("records")]
    return frame


def residual_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Wrong or lost bytes over bytes sent: a line for each setting and level, a column for each spreading factor."""
    table = _pooled(rows).set_index([*SETTINGS, "level", "sf"])["share"].unstack("sf")
    return table.rename(columns=lambda sf: f"SF{sf:g}").round(3)


def render_channel_page(directory: Path) -> str:
    """The page of a channel-only study as HTML text."""
    rows = read_channel(directory)
    path = directory / RECIPE_FILE
    recipe: dict[str, Any] = read_json(path) if path.exists() else {}
    name = str(recipe.get("name") or directory.name)
    seeds = rows["channel_seed"].nunique()
    counted = "one channel seed" if seeds == 1 else f"{seeds} channel seeds"
    said = f"No model was asked. {int(rows['n'].max())} texts over each link, {counted}."
    table = residual_table(rows).reset_index()
    factors = [name for name in table.columns if str(name).startswith("SF")]
    columns = [
        Column("Corpus", "setting", lambda r: corpus_name(r["corpus"])),
        Column("Held equal", "setting", lambda r: axis_name(r["axis"]).split(" at ")[0]),
        Column("Fading", "setting", lambda r: r["fading"]),
        Column("CR", "setting", lambda r: f"4/{4 + int(r['cr'])}"),
        Column("Policy", "setting", lambda r: r["policy"]),
        Column("Source coding", "setting", lambda r: r["source_coding"]),
        Column("Level", "number", lambda r: _number(r["level"])),
        *(Column(sf, "number", partial(_share, sf)) for sf in factors),
    ]
    figures = _figures(rows)
    parts = [
        Part(
            note='Undelivered texts count with all their bytes. "Level" is what the axis holds equal: SNR or Eb/N0 in '
            "dB, km, or share of frames lost.",
            table=make_table("Share of bytes wrong or lost", columns, table.to_dict("records"), cards=False),
        )
    ]
    sections = [
        *([("levels", "Bytes wrong or lost by level", [Part(figures=figures)])] if figures else []),
        ("table", "Share of bytes wrong or lost", parts),
    ]
    return render(
        title=f"{name}: the channel",
        kicker="chirpbridge channel report",
        heading=f"{name}: what the links do to program text",
        answer=[Part(text=text, style="") for text in (str(recipe.get("description") or ""), said) if text],
        facts=[],
        sections=sections,
        footer="Every link and channel seed is a line of channel.csv beside this page.",
    )


# --- helpers ----------------------------------------------------------------------------------------------------------


def _pooled(rows: pd.DataFrame) -> pd.DataFrame:
    """Counts over all channel seeds, with the share of bytes wrong or lost."""
    counted = rows.assign(bad=rows["byte_errors"] + rows["bytes_lost"])
    keys = [*SETTINGS, "quantity", "level", "sf"]
    pooled = counted.groupby(keys, sort=False, as_index=False, dropna=False)[["bad", "bytes_sent"]].sum()
    return pooled.assign(share=pooled["bad"] / pooled["bytes_sent"])


def _figures(rows: pd.DataFrame) -> list[Part]:
    """A figure for each corpus, setting and policy of an axis with more than one level, a line for each SF."""
    pooled = _pooled(rows)
    pooled = pooled[pooled["level"].map(math.isfinite)]
    found = []
    for key, part in pooled.groupby([*SETTINGS, "quantity"], sort=False):
        corpus, axis, fading, cr, policy, coding, quantity = key
        if part["level"].nunique() < 2:
            continue
        lines = {
            int(sf): list(zip(line["level"], line["share"], strict=True)) for sf, line in part.groupby("sf", sort=True)
        }
        channel = "AWGN" if fading == "none" else f"{fading} fading"
        where = f"{channel}, CR 4/{4 + int(cr)}, policy {policy}{'' if coding == 'utf8' else f', {coding}'}"
        label = LEVEL_NAMES.get(quantity) or QUANTITIES[quantity].heading.lower() or quantity
        svg = share_against_level(lines, label)
        found.append(Part(title=f"{corpus_name(corpus)}, {axis_name(axis)}", where=where, svg=svg))
    return found


def _share(sf: str, row: Mapping[str, float]) -> str | None:
    return _number(row[sf])


def _number(value: float) -> str | None:
    return None if value != value else format_level(value)
