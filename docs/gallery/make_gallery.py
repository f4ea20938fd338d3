"""Make every figure of this gallery, from the repository's root:

    python docs/gallery/make_gallery.py              # all
    python docs/gallery/make_gallery.py waterfall    # by name

A figure is at most 5.2 inches wide, so that its text can be read where it is shrunk to a phone's width. Simulations are
seeded; sizes are such that all takes a few minutes on one core. `recovered` draws what
``benchmarks/collisions.py`` left in docs/results/collisions.json.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

from lora_phy import ChannelParams, LinkPoint, LoRaParams, apply_channel, collect, modulate, plotting, theory, transmit
from lora_phy.channel import Interferer
from lora_phy.studies.rejection import rejection_matrix

HERE = Path(__file__).parent
SFS = tuple(range(7, 13))
WIDTH = 5.2
"""Inches."""


def one_axes() -> plt.Axes:
    """Axes of the usual size."""
    return plt.subplots(figsize=(WIDTH, 3.8), layout="tight")[1]


def waterfall() -> plt.Figure:
    """PER over SNR, SF7–SF12: hard decoding and perfect synchronisation, so that theory is exact."""
    points = []
    for sf in SFS:
        params = LoRaParams(sf=sf, ldro=False)
        targets = (0.9, 0.5, 0.1, 1e-2, 1e-3)
        for target in targets:
            snr_db = theory.required_snr_db(lambda x, p=params: theory.per_awgn(p, 16, x), target)
            points.append(LinkPoint(params, round(snr_db, 2), 16, sync="perfect", decoding="hard"))
    results = collect(points, max_frames=50_000, max_errors=100, seed=1, engine="order-statistics")
    _, ax = plt.subplots(figsize=(WIDTH, 4.6), layout="tight")
    plotting.plot_waterfall(results, ax=ax)
    ax.set_ylim(3e-4, 1.3)
    ax.set_title("points: simulated, with exact intervals; lines: theory", fontsize="small")
    ax.legend(fontsize="small", frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    return ax.figure


def collision() -> plt.Figure:
    """One symbol of a frame, dechirped, alone and under an equally strong frame whose symbols begin elsewhere."""
    params = LoRaParams(sf=8)
    wanted, others = modulate([90], params), modulate([30, 170], params)
    late = 100
    heard = {
        "alone": (),
        "with another frame, edge at chip 100": (Interferer(others, late - params.num_bins),),
    }
    figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 4.6), layout="tight", sharex=True)
    for ax, (name, interferers) in zip(axes, heard.items(), strict=True):
        channel = ChannelParams(snr_db=0.0, interferers=interferers)
        iq = apply_channel(wanted, channel, params, rng=np.random.default_rng(3))
        plotting.plot_dechirped(iq, params, ax=ax)
        ax.lines[0].set_color(plotting.PALETTE[0])
        ax.axvline(90, color=plotting.PALETTE[1], linewidth=1, linestyle="--", label="sent")
        ax.set_ylim(0, 1.2)
        ax.set_title(name, fontsize="medium")
    axes[0].set_xlabel("")
    axes[0].legend(fontsize="small", frameon=False)
    return figure


def spectrogram() -> plt.Figure:
    """A whole SF7 frame at twice the bandwidth, 10 dB above the noise."""
    params = LoRaParams(sf=7, oversampling=2)
    frame = np.pad(transmit(b"chirpbridge", params), 400)
    iq = apply_channel(frame, ChannelParams(snr_db=10.0), params, rng=np.random.default_rng(1))
    _, ax = plt.subplots(figsize=(WIDTH, 3.2), layout="tight")
    plotting.plot_spectrogram(iq, params, ax=ax, num_frequencies=64, num_times=700)
    symbol_ms = 1e3 * params.symbol_duration_s
    begin = 1e3 * 400 / params.sample_rate_hz
    top = params.sample_rate_hz / 2e3
    for at, name in ((0, "preamble"), (8, "sync"), (10, "down"), (12.25, "header and payload")):
        x = begin + at * symbol_ms
        height = 1.18 if name == "down" else 1.04  # the short parts would write over one another
        ax.plot([x, x], [top, height * top], color="black", linewidth=1, clip_on=False)
        ax.text(x + 0.15, height * top, name, fontsize="small", va="bottom")
    ax.set_ylim(-top, top)
    return ax.figure


def fading_margins() -> plt.Figure:
    """What fading costs at a symbol error rate of 1 %, from the exact forms."""
    return plotting.plot_fading_margins(SFS, ax=one_axes()).figure


def rejection() -> plt.Figure:
    """SIR at which one bit in a hundred is wrong, wanted SF against interfering SF."""
    figure, axes = plt.subplots(2, 1, figsize=(4.6, 8.4), layout="tight")
    plotting.plot_rejection(rejection_matrix(SFS, num_symbols=3000, seed=1), axes=axes)
    figure.suptitle("SIR in dB at an uncoded bit error rate of 1 %", fontsize="medium")
    return figure


def reach() -> plt.Figure:
    """Range over SF at 14 dBm, 868 MHz, 16 bytes, noise figure 6 dB."""
    return plotting.plot_range(SFS, ax=one_axes()).figure


def recovered() -> plt.Figure:
    """Frames read over how many collide, by method; sent as chips send and as textbooks do."""
    results = json.loads((HERE.parent / "results" / "collisions.json").read_text())["results"]
    spreads, waveforms = (sorted({row[name] for row in results}) for name in ("spread_db", "waveform"))
    shape = len(waveforms) * len(spreads), 1
    figure, axes = plt.subplots(*shape, figsize=(WIDTH, 2.9 * shape[0]), layout="tight", squeeze=False)
    for (waveform, spread_db), ax in zip(itertools.product(waveforms, spreads), axes.flat, strict=True):
        rows = [row for row in results if (row["waveform"], row["spread_db"]) == (waveform, spread_db)]
        plotting.plot_recovered(rows, ax=ax)
        powers = "equal powers" if spread_db == 0 else f"powers spread over {spread_db:g} dB"
        ax.set_title(f"{waveform} waveform, {powers}", fontsize="medium")
    return figure


FIGURES = {
    "waterfall": waterfall,
    "collision": collision,
    "spectrogram": spectrogram,
    "fading_margins": fading_margins,
    "rejection": rejection,
    "range": reach,
    "recovered": recovered,
}


def main() -> None:
    """Draw the figures named on the command line, or all."""
    plt.rcParams.update({"svg.hashsalt": "chirpbridge", "svg.fonttype": "path", "font.size": 10})
    for name in sys.argv[1:] or FIGURES:
        figure = FIGURES[name]()
        path = HERE / f"{name}.svg"
        figure.savefig(path, facecolor="white", metadata={"Date": None})
        plt.close(figure)
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
