"""The channel stage's page: bytes wrong or lost against what the axis holds equal, and the table behind it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from llm_bridge.study.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

SETTINGS = ("corpus", "axis", "fading", "cr", "policy", "source_coding")
LEVELS = ("distance_km", "ebn0_db", "frame_loss")
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.2rem .6rem;border-bottom:1px solid #ccc;text-align:right}"
    "figure{margin:1rem 0}svg{max-width:100%;height:auto}.scroll{overflow-x:auto}"
)


def residual_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Wrong or lost bytes over bytes sent: a line for each setting and level, a column for each spreading factor."""
    table = _pooled(rows).set_index([*SETTINGS, "level", "sf"])["share"].unstack("sf")
    return table.rename(columns=lambda sf: f"SF{sf}").round(3)


def channel_page(recipe: Recipe, rows: Sequence[dict[str, Any]]) -> str:
    """The page, self-contained."""
    texts = max(row["n"] for row in rows)
    seeds = len({row["channel_seed"] for row in rows})
    table = residual_table(rows).reset_index().to_html(index=False, border=0, na_rep="", escape=True)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(recipe.name)}: the channel</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>{escape(recipe.name)}: what the links do to program text</h1><p>{escape(recipe.description)}</p>"
        f"<p>No model was asked. {texts} texts over each link, {_count(seeds, 'channel seed')}; every link and channel "
        "seed is a line of <code>channel.csv</code>.</p>"
        f"{_figures(rows)}<h2>Share of bytes wrong or lost</h2>"
        '<p>Undelivered texts count with all their bytes. "level" is what the axis holds equal: SNR or Eb/N0 in dB, '
        f'km, or share of frames lost.</p><div class="scroll">{table}</div></body></html>\n'
    )


def _pooled(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Counts over all channel seeds, with the share of bytes wrong or lost."""
    import pandas as pd

    frame = pd.DataFrame(rows)
    frame["level"] = [next((row[x] for x in LEVELS if row[x] is not None), row["snr_db"]) for row in rows]
    frame["bad"] = frame["byte_errors"] + frame["bytes_lost"]
    pooled = frame.groupby([*SETTINGS, "level", "sf"], sort=False, as_index=False)[["bad", "bytes_sent"]].sum()
    return pooled.assign(share=pooled["bad"] / pooled["bytes_sent"])


def _figures(rows: Sequence[dict[str, Any]]) -> str:
    """For each policy a row of panels, a curve for each spreading factor; nothing where an axis has one level."""
    pooled = _pooled(rows)
    pooled = pooled[pooled["level"].map(math.isfinite)]
    figures = []
    for (corpus, axis, coding, policy), part in pooled.groupby(
        ["corpus", "axis", "source_coding", "policy"], sort=False
    ):
        if part["level"].nunique() > 1:
            title = f"{corpus}, {axis}, {coding}, policy {policy}"
            figures.append(f"<figure><figcaption>{escape(title)}</figcaption>{_panels(part)}</figure>")
    return "".join(figures)


def _panels(part: pd.DataFrame) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    groups = list(part.groupby(["fading", "cr"], sort=False))
    with rc_context({"svg.hashsalt": "chirpbridge", "svg.fonttype": "none"}):
        figure = Figure(figsize=(3.2 * len(groups), 2.8), layout="constrained")
        axes = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for panel, ((fading, cr), lines) in zip(axes, groups, strict=True):
            for sf, line in lines.groupby("sf"):
                ordered = line.sort_values("level")
                panel.plot(ordered["level"], ordered["share"], marker="o", markersize=3, label=f"SF{sf}")
            panel.set_title(f"{'AWGN' if fading == 'none' else fading}, CR 4/{4 + cr}", fontsize=9)
            panel.set_xlabel("level")
            panel.set_ylim(-0.03, 1.03)
        axes[0].set_ylabel("bytes wrong or lost")
        axes[-1].legend(fontsize=7)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _count(number: int, thing: str) -> str:
    return f"one {thing}" if number == 1 else f"{number} {thing}s"
