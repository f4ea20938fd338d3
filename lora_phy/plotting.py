"""Figures of links: waterfalls over theory, spectra, spectrograms, margins, ranges, rejection, collisions.

Every function draws what it is given on a matplotlib axes (its own new one where `ax` is None) and returns the axes;
nothing is simulated here. matplotlib (the extra chirpbridge[plot]) is imported when a figure is drawn. Colours are
those of Okabe and Ito, or an ordered map where the quantity is ordered, so that no figure needs red told from green.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lora_phy import theory
from lora_phy.arrays import FloatArray
from lora_phy.channel import ChannelParams, path_loss
from lora_phy.modem.demodulation import correlate
from lora_phy.monte_carlo.collect import LinkResult
from lora_phy.monte_carlo.counts import SymbolCounts, WeightedCounts, binomial_interval
from lora_phy.monte_carlo.flat_channel import as_channel
from lora_phy.params import LoRaParams
from lora_phy.studies.rejection import CROCE_DB, SPREADING_FACTORS, RejectionMatrix

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, the most legible on white first."""
MARKERS = "osD^vP"
LINES = (":", "--", "-.", (0, (5, 1, 1, 1)))
"""Lines that join simulated points; the solid one is theory's."""


def plot_waterfall(results: Iterable[LinkResult], *, ax: Any = None, confidence: float = 0.95) -> Any:
    """Packet error rate over SNR: simulated points with their intervals, over theory where theory applies.

    A series is what differs in nothing but the SNR. Of what differs between series, the first is told by colour (the
    spreading factor, where it differs, in an ordered map), the second by marker, the third by the line that joins the
    points; the legend names what differs. Theory (`theory.per_awgn`) is drawn, solid and without a marker, for hard
    decoding, perfect synchronisation and AWGN alone. A point without errors is an upper limit: an arrow that points
    down from its interval's upper end.

    Parameters
    ----------
    results
        Of `collect`, of any engine.
    ax
        Axes of matplotlib; None: a new one.
    confidence
        Of the intervals, exact for counted frames, in (0, 1).

    Examples
    --------
    >>> from lora_phy import LinkPoint, LoRaParams, collect
    >>> points = [LinkPoint(LoRaParams(sf=7), snr, 16, sync="perfect", decoding="hard") for snr in (-9.0, -8.0)]
    >>> ax = plot_waterfall(collect(points, max_frames=200, seed=1, engine="bins"))
    >>> ax.get_xlabel()
    'SNR in the bandwidth, dB'
    """
    points = []
    for result in results:
        point = result.point
        fields = {
            **_told(point.params, point.channel),
            "payload": f"{point.payload_len} bytes",
            "sync": f"{point.sync} sync",
            "decoding": f"{point.decoding} decoding",
            "engine": f"engine {result.engine}",
        }
        theoretical = None
        if point.sync == "perfect" and point.decoding == "hard" and _awgn_only(point.channel):
            theoretical = partial(theory.per_awgn, point.params, point.payload_len)
        points.append(_Point(fields, point.channel.snr_db, result.per, result.interval(confidence), theoretical))
    return _error_rates(_axes(ax), points, "packet error rate", always=("sf", "cr", "payload"))


def plot_ser(
    measured: Iterable[tuple[LoRaParams, ChannelParams | float, SymbolCounts | WeightedCounts]],
    *,
    ax: Any = None,
    confidence: float = 0.95,
) -> Any:
    """Symbol error rate over SNR: simulated points with their intervals, over the exact theory where it applies.

    Drawn as `plot_waterfall` does; theory is that of AWGN, Rayleigh and Rician fading without residual offsets.

    Parameters
    ----------
    measured
        Triples: parameters, channel (or SNR in dB) and what `lora_phy.symbol_errors` gave for them.
    ax
        Axes of matplotlib; None: a new one.
    confidence
        Of the intervals, in (0, 1).

    Examples
    --------
    >>> from lora_phy import LoRaParams, symbol_errors
    >>> params = LoRaParams(sf=7)
    >>> ax = plot_ser([(params, snr, symbol_errors(params, snr, 1000, seed=1)) for snr in (-12.0, -10.0)])
    >>> ax.get_ylabel()
    'symbol error rate'
    """
    points = []
    for params, given, counts in measured:
        channel = as_channel(given)
        rate_of = _ser_theory(params, channel)
        points.append(_Point(_told(params, channel), channel.snr_db, counts.ser, counts.interval(confidence), rate_of))
    return _error_rates(_axes(ax), points, "symbol error rate", always=("sf",))


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


@dataclass(frozen=True)
class _Point:
    """One simulated error rate: what it is of, in words by field; its SNR, value and interval; theory of the SNR."""

    fields: dict[str, str]
    snr_db: float
    rate: float
    interval: tuple[float, float]
    theory: Callable[[FloatArray], FloatArray] | None


def _error_rates(axes: Any, points: Sequence[_Point], quantity: str, *, always: tuple[str, ...]) -> Any:
    """Draw error rates over SNR, a series for each set of fields, told apart by what differs."""
    series: dict[tuple[str, ...], list[_Point]] = {}
    for point in points:
        series.setdefault(tuple(point.fields.values()), []).append(point)
    names = list(points[0].fields) if points else []
    values = {name: sorted({point.fields[name] for point in points}, key=_natural) for name in names}
    differing = [name for name in names if len(values[name]) > 1]
    styles = _styles(differing, values)
    lowest, limits = 1.0, False
    for group in series.values():
        group.sort(key=lambda point: point.snr_db)
        fields = group[0].fields
        colour, marker, line = (style[fields[name]] if name else style[""] for name, style in styles)
        snr_db, rate = np.array([[point.snr_db, point.rate] for point in group]).T
        low, high = np.array([point.interval for point in group]).T
        label = ", ".join(words for name, words in fields.items() if words and (name in differing or name in always))
        seen = rate > 0
        bars = np.array([rate - low, high - rate]) * seen
        axes.errorbar(
            snr_db, np.where(seen, rate, np.nan), yerr=bars, marker=marker, ls=line or "none", color=colour,
            markersize=4, markerfacecolor="white", linewidth=1, capsize=2, label=label,
        )  # fmt: skip
        if not seen.all():
            limits = True
            axes.errorbar(
                snr_db[~seen], high[~seen], yerr=0.5 * high[~seen], uplims=True, fmt=marker, color=colour,
                markersize=4, markerfacecolor="white", linewidth=1,
            )  # fmt: skip
            lowest = min(lowest, *(high[~seen] / 3))
        lowest = min(lowest, *(rate[seen] / 3), 1.0)
        rate_of = group[0].theory
        if rate_of is not None:
            fine = np.linspace(snr_db.min() - 0.5, snr_db.max() + 0.5, 200)
            axes.plot(fine, rate_of(fine), "-", color=colour, linewidth=1)
    axes.set_yscale("log")
    axes.set_ylim(max(lowest, 1e-9), 1.5)
    axes.set_xlabel("SNR in the bandwidth, dB")
    axes.set_ylabel(quantity)
    axes.grid(True, which="major", alpha=0.3)
    if limits:
        axes.errorbar([], [], ls="none", marker=r"$\downarrow$", color="grey", label="no error seen: upper limit")
    axes.legend(fontsize="small", frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes


def _styles(differing: Sequence[str], values: Mapping[str, Sequence[str]]) -> list[tuple[str, dict[str, Any]]]:
    """Colour, marker and line, each with the field that it tells apart ("": none) and its value for each of them."""
    told = [*differing[:3], "", "", ""][:3]
    if "sf" in told[:1]:
        colours = dict(zip(values["sf"], sf_colours(range(len(values["sf"]))).values(), strict=True))
    else:
        colours = {word: PALETTE[i % len(PALETTE)] for i, word in enumerate(values.get(told[0], ("",)))}
    markers = {word: MARKERS[i % len(MARKERS)] for i, word in enumerate(values.get(told[1], ("",)))}
    lines = {word: LINES[i % len(LINES)] for i, word in enumerate(values[told[2]])} if told[2] else {"": ""}
    return list(zip(told, (colours, markers, lines), strict=True))


def _told(params: LoRaParams, channel: ChannelParams) -> dict[str, str]:
    """What a link is, in words by field; what is unusual and no field of its own goes into "other"."""
    fading: str = channel.fading or ""
    if channel.k_factor_db is not None:
        fading += f", K = {channel.k_factor_db:g} dB"
    if channel.nakagami_m is not None:
        fading += f", m = {channel.nakagami_m:g}"
    if channel.doppler_hz:
        fading += f", {channel.doppler_hz:g} Hz Doppler"
    shown = ("sf", "cr", "bandwidth_hz")
    usual = LoRaParams(**{name: getattr(params, name) for name in shown})
    plain = ChannelParams(
        **{name: getattr(channel, name) for name in ("snr_db", "fading", "k_factor_db", "nakagami_m", "doppler_hz")}
    )
    rest = [
        f"{field.name} {getattr(one, field.name):g}"
        if isinstance(getattr(one, field.name), float)
        else f"{field.name} {getattr(one, field.name)}"
        for one, other in ((params, usual), (channel, plain))
        for field in dataclass_fields(one)
        if getattr(one, field.name) != getattr(other, field.name)
    ]
    return {
        "sf": f"SF{params.sf}",
        "cr": f"4/{4 + params.cr}",
        "bandwidth": f"{params.bandwidth_hz / 1e3:g} kHz",
        "fading": fading,
        "other": ", ".join(rest),
    }


def _natural(words: str) -> tuple[float, str]:
    """Words in the order of the first number in them."""
    found = re.search(r"-?\d+(\.\d+)?", words)
    return (float(found[0]) if found else -math.inf, words)


def _ser_theory(params: LoRaParams, channel: ChannelParams) -> Callable[[FloatArray], FloatArray] | None:
    k_factor_db = channel.k_factor_db
    if channel != ChannelParams(snr_db=channel.snr_db, fading=channel.fading, k_factor_db=k_factor_db):
        return None
    if channel.fading is None:
        return partial(theory.ser_awgn, params.sf)
    if channel.fading == "rayleigh":
        return partial(theory.ser_rayleigh, params.sf)
    return None if k_factor_db is None else partial(theory.ser_rician, params.sf, k_factor_db=k_factor_db)


def _awgn_only(channel: ChannelParams) -> bool:
    return channel == ChannelParams(snr_db=channel.snr_db) and math.isfinite(channel.snr_db)


def _axes(ax: Any) -> Any:
    return _pyplot().subplots(figsize=(6.4, 4.2), layout="tight")[1] if ax is None else ax


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'chirpbridge[plot]'") from error
    return plt
