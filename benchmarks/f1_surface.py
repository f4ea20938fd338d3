"""F1 over SNR, spreading factor and coding rate, for each method: read off the share of bytes that a link loses.

    python -m llm_bridge run surface --out runs/surface              # the channel of every link, no model
    python benchmarks/f1_surface.py docs/results/frozen_mutants docs/results/surface --seed 1 \\
        --scored docs/results/further_links/awgn_* --checks docs/results/further_links/check_* \\
        --out docs/results/surface/f1_surface.json --figures docs/gallery

    links that were scored ─► F1 against the share of bytes lost, never rising ─┐
    every link ─► share of bytes lost, counted over its simulated frames ───────┴─► F1 of every link

The figures are f1_surface_qlora.svg and f1_surface_full.svg. `--scored` names further folders whose points shape the
curve, `--checks` folders that were scored and are compared with what is read off. Reading off takes F1 to depend on the
share lost alone; the checks tell by how much that is wrong.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm_bridge.report import load_study
from llm_bridge.report.planning import f1_of_loss
from llm_bridge.report.results import Point, Study
from llm_bridge.results_format import CHANNEL_TABLE

KEYS = ("fading", "cr", "sf", "snr_db")


def of_seed(folder: Path, train_seed: int | None) -> Study:
    """A folder's study, with the models of one training seed alone where one is named."""
    study = load_study(folder)
    if train_seed is None:
        return study
    cells = [cell for cell in study.cells if cell.config.get("train_seed") in (None, train_seed)]
    return Study(directory=folder, cells=cells)


def scored_points(studies: Sequence[Study], method: str) -> list[Point]:
    """Points of *localise* over links that drop damaged frames, of one method."""
    return [
        p for study in studies for p in study.points
        if (p.task, p.method, p.corrupted_split) == ("localise", method, "eval") and p.link and p.policy == "drop"
    ]  # fmt: skip


def clean_point(study: Study, method: str) -> Point | None:
    """The method's point without a link."""
    found = [p for p in study.points if (p.task, p.method) == ("localise", method) and p.clean]
    return found[0] if found else None


def surface(rows: Sequence[dict[str, Any]], shares: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """F1 of every link from the share of bytes that it loses."""
    return [
        {**{key: row[key] for key in KEYS}, "lost": round(row["lost"], 4)}
        | {"f1": round(float(np.interp(row["lost"], shares, scores)), 4)}
        for row in rows
    ]


def channel_rows(folder: Path) -> list[dict[str, Any]]:
    """Every link of a channel run with the share of bytes that it loses, over all channel seeds."""
    import pandas as pd

    table = pd.read_csv(folder / CHANNEL_TABLE, keep_default_na=False, na_values=[""])
    sums = table.groupby(list(KEYS))[["bytes_sent", "bytes_lost"]].sum().reset_index()
    sums["lost"] = sums["bytes_lost"] / sums["bytes_sent"]
    rows: list[dict[str, Any]] = sums[[*KEYS, "lost"]].to_dict("records")
    return rows


def check(point: Point, shares: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """A link that was scored beside what is read off; `within` tells whether its interval holds the latter."""
    from llm_bridge.scoring.metrics import measures

    assert point.link is not None and point.byte_error_rate is not None
    told = float(np.interp(point.byte_error_rate, shares, scores))
    found = measures(point.items.to_dict("records"))["f1"]
    return {
        **{key: getattr(point.link, key) for key in KEYS},
        "lost": round(point.byte_error_rate, 4),
        "read_off": round(told, 4),
        "measured": [round(value, 4) for value in (found.value, found.low, found.high)],
        "within": found.low <= told <= found.high,
    }


def draw(found: dict[str, Any], method: str, path: Path) -> None:
    """A panel for each fading and coding rate: F1 as a number and a colour; links that were checked have a frame."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "f1_surface"  # the same names of shapes in every run
    from matplotlib.patches import Rectangle

    rows, checks = found["methods"][method]["surface"], found["methods"][method]["checks"]
    panels = sorted({(row["fading"], row["cr"]) for row in rows}, key=lambda pair: (pair[0] != "none", pair[1]))
    snrs, sfs = (sorted({row[key] for row in rows}) for key in ("snr_db", "sf"))
    top = max(row["f1"] for each in found["methods"].values() for row in each["surface"])
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(5.2, 2.1 * len(panels)), layout="constrained", sharex=True, squeeze=False
    )
    for ax, (fading, cr) in zip(axes[:, 0], panels, strict=True):
        table = np.full((len(sfs), len(snrs)), np.nan)
        for row in rows:
            if (row["fading"], row["cr"]) == (fading, cr):
                table[sfs.index(row["sf"]), snrs.index(row["snr_db"])] = row["f1"]
        ax.imshow(table, vmin=0, vmax=top, cmap="viridis", aspect="auto", origin="lower")
        for (y, x), value in np.ndenumerate(table):
            text = f"{value:.2f}".removeprefix("0")
            ax.text(x, y, text, ha="center", va="center", size=8, color="w" if value < 0.6 * top else "k")
        for row in checks:
            if (row["fading"], row["cr"]) == (fading, cr):
                corner = (snrs.index(row["snr_db"]) - 0.5, sfs.index(row["sf"]) - 0.5)
                ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="tab:red", linewidth=1.8))
        name = "AWGN" if fading == "none" else f"{fading.capitalize()} fading"
        ax.set_title(f"{found['names'][method]}, {name}, CR 4/{4 + cr}", size="small")
        ax.set_yticks(range(len(sfs)), [f"SF{sf}" for sf in sfs], size="small")
        ax.set_xticks(range(len(snrs)), [f"{snr:g}".replace("-", "−") for snr in snrs], size="small")
    figure.supxlabel("SNR in dB (mean under fading)", size="small")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Read the folders, write the JSON and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder of scored links with the clean points")
    parser.add_argument("channel", type=Path, help="folder of `run surface`: its channel.csv")
    parser.add_argument("--scored", type=Path, nargs="*", default=[], help="further folders that shape the curve")
    parser.add_argument("--checks", type=Path, nargs="*", default=[], help="folders of scored links to compare")
    parser.add_argument("--seed", type=int, help="training seed whose models are meant, where a folder holds several")
    parser.add_argument("--methods", nargs="+", default=["qlora", "full"])
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--figures", type=Path, help="folder for a figure of each method")
    options = parser.parse_args()
    from llm_bridge.report.language import method_name

    rows = channel_rows(options.channel)
    names = {name: "full fine-tuning" if name == "full" else method_name(name) for name in options.methods}
    found: dict[str, Any] = {"names": names, "train_seed": options.seed, "methods": {}}
    study, *scored = [of_seed(folder, options.seed) for folder in (options.study, *options.scored)]
    checked = [of_seed(folder, options.seed) for folder in options.checks]
    for method in options.methods:
        points = scored_points([study, *scored], method)
        shares, scores = f1_of_loss(points, clean_point(study, method))
        checks = [check(p, shares, scores) for p in scored_points(checked, method)]
        found["methods"][method] = {
            "curve": {"lost": np.round(shares, 4).tolist(), "f1": np.round(scores, 4).tolist()},
            "scored_links": [{key: getattr(p.link, key) for key in KEYS} for p in points],
            "checks": checks,
            "surface": surface(rows, shares, scores),
        }
        for row in checks:
            words = f"SF{row['sf']}, {row['snr_db']:g} dB, {row['fading']}, CR 4/{4 + row['cr']}"
            print(f"{method}: {words}: read off {row['read_off']:.3f}, measured {row['measured']}")
    options.out.write_text(json.dumps(found) + "\n", encoding="utf-8")
    for method in options.methods if options.figures else ():
        draw(found, method, options.figures / f"f1_surface_{method}.svg")


if __name__ == "__main__":
    main()
