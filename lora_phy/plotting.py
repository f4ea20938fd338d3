"""Figures of links: waterfalls over theory, spectra, spectrograms, margins, ranges, rejection, collisions.

Every function draws what it is given on a matplotlib axes (its own new one where `ax` is None) and returns the axes;
nothing is simulated here. matplotlib (the extra chirpbridge[plot]) is imported when a figure is drawn. Colours are
those of Okabe and Ito, or an ordered map where the quantity is ordered, so that no figure needs red told from green.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lora_phy import theory
from lora_phy.arrays import FloatArray
from lora_phy.channel import path_loss
from lora_phy.modem.demodulation import correlate
from lora_phy.monte_carlo.collect import LinkResult
from lora_phy.monte_carlo.counts import LinkCounts, binomial_interval
from lora_phy.params import LoRaParams
from lora_phy.studies.rejection import CROCE_DB, SPREADING_FACTORS, RejectionMatrix

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, the most legible on white first."""
MARKERS = "osD^vP"


def plot_waterfall(results: Iterable[LinkResult], *, ax: Any = None, confidence: float = 0.95) -> Any:
    """Packet error rate over SNR: simulated points with exact intervals, over theory where theory applies.

    One series for each distinct set of parameters, payload length, synchronisation and decoding. Theory
    (`theory.per_awgn`) is drawn for hard decoding, perfect synchronisation and AWGN alone. A point without errors shows
    as its interval's upper end.

    Parameters
    ----------
    results
        Of `collect`, of any engine but "importance".

    Examples
    --------
    >>> from lora_phy import LinkPoint, LoRaParams, collect
    >>> points = [LinkPoint(LoRaParams(sf=7), snr, 16, sync="perfect", decoding="hard") for snr in (-9.0, -8.0)]
    >>> ax = plot_waterfall(collect(points, max_frames=200, seed=1, engine="bins"))
    >>> ax.get_xlabel()
    'SNR in the bandwidth, dB'
    """
    axes = _axes(ax)
    series: dict[Any, list[LinkResult]] = {}
    for result in results:
        if not isinstance(result.counts, LinkCounts):
            raise ValueError(f"'results' must hold counted frames (got {type(result.counts).__name__})")
        point = result.point
        series.setdefault((point.params, point.payload_len, point.sync, point.decoding), []).append(result)
    colours = sf_colours(sorted({params.sf for params, *_ in series}))
    lowest = 1.0
    for number, ((params, payload_len, sync, decoding), group) in enumerate(series.items()):
        group.sort(key=lambda item: item.point.channel.snr_db)
        snr_db = np.array([item.point.channel.snr_db for item in group])
        per = np.array([item.counts.per for item in group])
        bounds = np.array([binomial_interval(_errors(item), item.counts.frames, confidence) for item in group])
        colour, marker = colours[params.sf], MARKERS[number % len(MARKERS)]
        label = f"SF{params.sf}, 4/{4 + params.cr}, {payload_len} bytes"
        if len({key[2:] for key in series}) > 1:
            label += f", {sync} sync, {decoding}"
        shown = np.where(per > 0, per, np.nan)
        below = np.where(per > 0, per - bounds[:, 0], 0)
        axes.errorbar(
            snr_db, shown, yerr=[below, bounds[:, 1] - per], fmt=marker, color=colour, markersize=4,
            markerfacecolor="white", linewidth=1, capsize=2, label=label,
        )  # fmt: skip
        axes.plot(snr_db[per == 0], bounds[per == 0, 1], "v", color=colour, markersize=4)
        lowest = min(lowest, *(per[per > 0] / 3), 1.0)
        if sync == "perfect" and decoding == "hard" and all(_awgn_only(item) for item in group):
            fine = np.linspace(snr_db.min() - 0.5, snr_db.max() + 0.5, 200)
            axes.plot(fine, theory.per_awgn(params, payload_len, fine), "-", color=colour, linewidth=1)
    axes.set_yscale("log")
    axes.set_ylim(max(lowest, 1e-9), 1.5)
    axes.set_xlabel("SNR in the bandwidth, dB")
    axes.set_ylabel("packet error rate")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize="small", frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes


def plot_spectrogram(
    iq: npt.ArrayLike, params: LoRaParams, *, ax: Any = None, num_frequencies: int = 128, num_times: int = 600
) -> Any:
    """Power over time and frequency, dB, as an image of at most ``num_times`` by ``num_frequencies`` pixels.

    Examples
    --------
    >>> from lora_phy import LoRaParams, transmit
    >>> ax = plot_spectrogram(transmit(b"hi", LoRaParams(sf=7)), LoRaParams(sf=7))
    >>> ax.get_ylabel()
    'frequency, kHz'
    """
    samples = np.asarray(iq)
    if samples.ndim != 1 or len(samples) < num_frequencies:
        raise ValueError(f"'iq' must be a vector of at least {num_frequencies} samples (got shape {samples.shape})")
    axes = _axes(ax)
    window = np.hanning(num_frequencies)
    hop = max(1, (len(samples) - num_frequencies) // num_times)
    starts = np.arange(0, len(samples) - num_frequencies + 1, hop)
    pieces = samples[starts[:, None] + np.arange(num_frequencies)] * window
    power = np.abs(np.fft.fftshift(np.fft.fft(pieces, axis=1), axes=1)) ** 2
    level = 10 * np.log10(np.maximum(power / power.max(), 1e-12))
    half = params.sample_rate_hz / 2e3
    duration_ms = 1e3 * len(samples) / params.sample_rate_hz
    image = axes.imshow(
        level.T, origin="lower", aspect="auto", cmap="cividis", vmin=max(-40.0, float(np.median(level)) - 10), vmax=0,
        extent=(0.0, duration_ms, -half, half), interpolation="nearest",
    )  # fmt: skip
    axes.figure.colorbar(image, ax=axes, label="power below the peak, dB", pad=0.02)
    axes.set_xlabel("time, ms")
    axes.set_ylabel("frequency, kHz")
    return axes


def plot_dechirped(iq: npt.ArrayLike, params: LoRaParams, *, ax: Any = None, label: str | None = None) -> Any:
    """Matched-filter magnitude of every symbol value in one symbol's worth of samples; a clean chirp gives 1.

    Examples
    --------
    >>> from lora_phy import LoRaParams, modulate
    >>> ax = plot_dechirped(modulate([42], LoRaParams(sf=7)), LoRaParams(sf=7))
    >>> int(np.argmax(ax.lines[0].get_ydata()))
    42
    """
    window = np.asarray(iq, dtype=np.complex64)
    if window.shape != (params.samples_per_symbol,):
        raise ValueError(f"'iq' must hold one symbol of {params.samples_per_symbol} samples (got {window.shape})")
    axes = _axes(ax)
    axes.plot(np.abs(correlate(window[None, :], params)[0]), linewidth=1, label=label)
    axes.set_xlabel("symbol value (bin)")
    axes.set_ylabel("matched filter, amplitude")
    axes.set_xlim(0, params.num_bins - 1)
    axes.set_ylim(bottom=0)
    axes.grid(True, alpha=0.3)
    return axes


def plot_fading_margins(
    sfs: Sequence[int] = tuple(range(7, 13)), *, target_ser: float = 1e-2, k_factors_db: Sequence[float] = (6.0, 12.0),
    ax: Any = None,
) -> Any:  # fmt: skip
    """SNR needed for a symbol error rate under AWGN, Rician and Rayleigh fading, from the exact forms.

    Examples
    --------
    >>> ax = plot_fading_margins((7, 8))
    >>> len(ax.lines)
    4
    """
    axes = _axes(ax)
    curves: dict[str, Callable[[int, float], Any]] = {"Rayleigh": theory.ser_rayleigh}
    for k in sorted(k_factors_db):
        curves[f"Rician, K = {k:g} dB"] = partial(theory.ser_rician, k_factor_db=k)
    curves["no fading"] = theory.ser_awgn
    for (name, ser), colour, marker in zip(curves.items(), PALETTE, MARKERS, strict=False):
        need = [theory.required_snr_db(partial(ser, sf), target_ser) for sf in sfs]
        axes.plot(sfs, need, marker + "-", color=colour, linewidth=1, markersize=5, label=name)
    axes.set_xlabel("spreading factor")
    axes.set_ylabel(f"mean SNR for a symbol error rate of {target_ser:g}, dB")
    axes.set_xticks(list(sfs))
    axes.grid(True, alpha=0.3)
    axes.legend(fontsize="small", frameon=False)
    return axes


def plot_rejection(matrix: RejectionMatrix, *, published: bool = True, axes: Sequence[Any] | None = None) -> Any:
    """Rejection thresholds as a table of colours, beside Croce's where `published`.

    Returns
    -------
    array of axes, one or two

    Examples
    --------
    >>> from lora_phy.studies.rejection import rejection_matrix
    >>> len(plot_rejection(rejection_matrix((7, 8), num_symbols=200)))
    2
    """
    known = [sf for sf in matrix.sfs if sf in SPREADING_FACTORS]
    tables: list[tuple[str, tuple[int, ...], FloatArray]] = [("simulated here", matrix.sfs, matrix.sir_db)]
    if published:
        at = np.array(known, dtype=np.int64) - SPREADING_FACTORS[0]
        tables.append(("Croce et al., 2018", tuple(known), CROCE_DB[np.ix_(at, at)]))
    if axes is None:
        _, axes = _pyplot().subplots(1, len(tables), figsize=(4.6 * len(tables), 4.2), squeeze=False, layout="tight")
        axes = axes[0]
    if len(axes) != len(tables):
        raise ValueError(f"'axes' must have {len(tables)} entries (got {len(axes)})")
    low = min(float(table.min()) for _, _, table in tables)
    for axis, (title, sfs, table) in zip(axes, tables, strict=True):
        axis.imshow(table, cmap="cividis", vmin=low, vmax=2.0)
        for (i, j), value in np.ndenumerate(table):
            colour = "white" if value < 0.6 * low else "black"
            axis.text(j, i, f"{round(value) + 0:d}", ha="center", va="center", fontsize="small", color=colour)
        axis.set_xticks(range(len(sfs)), [f"SF{sf}" for sf in sfs], fontsize="small")
        axis.set_yticks(range(len(sfs)), [f"SF{sf}" for sf in sfs], fontsize="small")
        axis.set_xlabel("interferer")
        axis.set_ylabel("wanted")
        axis.set_title(title, fontsize="medium")
    return axes


def plot_range(
    sfs: Sequence[int] = tuple(range(7, 13)), *, path_losses: Mapping[str, Callable[[float], Any]] | None = None,
    payload_len: int = 16, tx_power_dbm: float = 14.0, noise_figure_db: float = 6.0, target_per: float = 0.01,
    ax: Any = None,
) -> Any:  # fmt: skip
    """Distance at which the packet error rate reaches `target_per`, over SF, for each path loss (dB of metres).

    Examples
    --------
    >>> from lora_phy.channel.path_loss import log_distance_db
    >>> losses = {"exponent 3": lambda d: 31.0 + 30 * np.log10(d)}
    >>> ax = plot_range((7, 12), path_losses=losses)
    >>> bool(np.diff(ax.lines[0].get_ydata()) > 0)
    True
    """
    axes = _axes(ax)
    losses = DEFAULT_PATH_LOSSES if path_losses is None else path_losses
    for (name, loss), colour, marker in zip(losses.items(), PALETTE, MARKERS, strict=False):
        reach_km = []
        for sf in sfs:
            params = LoRaParams(sf=sf)
            need = theory.required_snr_db(partial(theory.per_awgn, params, payload_len), target_per)
            noise = path_loss.thermal_noise_dbm(params.bandwidth_hz, noise_figure_db)
            reach_km.append(1e-3 * path_loss.max_range_m(loss, tx_power_dbm - noise - need))
        axes.plot(sfs, reach_km, marker + "-", color=colour, linewidth=1, markersize=5, label=name)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_xticks(list(sfs))
    axes.set_xlabel("spreading factor")
    axes.set_ylabel(f"range for a packet error rate of {target_per:g}, km")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize="small", frameon=False)
    return axes


def plot_recovered(rows: Iterable[Mapping[str, Any]], *, ax: Any = None, confidence: float = 0.95) -> Any:
    """Share of colliding frames read, over how many collide, one line for each method, with exact intervals.

    `rows` need "method", "load", "recovered", "frames" (as of ``benchmarks/collisions.py``).

    Examples
    --------
    >>> ax = plot_recovered([{"method": "plain", "load": 2, "recovered": 15, "frames": 20}])
    >>> ax.get_xlabel()
    'frames that overlap'
    """
    axes = _axes(ax)
    methods: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        methods.setdefault(str(row["method"]), []).append(row)
    for (name, group), colour, marker in zip(methods.items(), PALETTE, MARKERS, strict=False):
        group.sort(key=lambda row: float(row["load"]))
        load = np.array([float(row["load"]) for row in group])
        share = np.array([row["recovered"] / row["frames"] for row in group])
        bounds = np.array([binomial_interval(row["recovered"], row["frames"], confidence) for row in group])
        axes.errorbar(
            load, share, yerr=[share - bounds[:, 0], bounds[:, 1] - share], fmt=marker + "-", color=colour,
            linewidth=1, markersize=5, capsize=2, label=name,
        )  # fmt: skip
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("frames that overlap")
    axes.set_ylabel("share of frames read")
    axes.grid(True, alpha=0.3)
    axes.legend(fontsize="small", frameon=False)
    return axes


DEFAULT_PATH_LOSSES: dict[str, Callable[[float], Any]] = {
    "Okumura–Hata, open, 30 m mast": lambda d: path_loss.okumura_hata_db(d, 868e6, environment="open"),
    "Okumura–Hata, suburban": lambda d: path_loss.okumura_hata_db(d, 868e6, environment="suburban"),
    "Okumura–Hata, urban": lambda d: path_loss.okumura_hata_db(d, 868e6, environment="city"),
}
"""What `plot_range` draws where nothing else is asked for, at 868 MHz."""


def sf_colours(sfs: Sequence[int]) -> dict[int, Any]:
    """A colour for each spreading factor, dark for the smallest, from an ordered map without its pale end."""
    viridis = _pyplot().get_cmap("viridis")
    return {sf: viridis(0.85 * i / max(len(sfs) - 1, 1)) for i, sf in enumerate(sfs)}


def _errors(result: LinkResult) -> int:
    counts = result.counts
    return counts.frame_errors if isinstance(counts, LinkCounts) else 0


def _awgn_only(result: LinkResult) -> bool:
    channel = result.point.channel
    return channel == type(channel)(snr_db=channel.snr_db) and math.isfinite(channel.snr_db)


def _axes(ax: Any) -> Any:
    return _pyplot().subplots(figsize=(6.4, 4.2), layout="tight")[1] if ax is None else ax


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'chirpbridge[plot]'") from error
    return plt
