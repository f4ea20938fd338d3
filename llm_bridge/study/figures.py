"""The report's figures, each an SVG text that takes its colours from the page.

matplotlib draws with placeholder colours; they are replaced by CSS variables (``var(--ink)``, …), so that one drawing
serves a light and a dark page. Text stays text: it scales, can be selected and is read aloud. Method = marker, line and
colour; a score that is not above its baseline has a hollow marker.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

from llm_bridge.study.curves import Curve, curves, is_control, panel_key, verdict
from llm_bridge.study.planning import Advice, frame_loss
from llm_bridge.study.points import Point, Study
from llm_bridge.study.words import method_name

INK, MUTED, LINE, BASE, BAND, CARD = (f"#0000f{digit}" for digit in range(1, 7))
VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", BASE: "--base", BAND: "--band", CARD: "--card"}
METHOD_COLOURS = [f"#0000c{index}" for index in range(8)]
VARIABLES |= {colour: f"--m{index}" for index, colour in enumerate(METHOD_COLOURS)}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (7, 2)), (0, (3, 1)), (0, (2, 2)), (0, (1, 2)))
FIXED_METHODS = ("zero-shot", "qlora", "full", "lora", "zero-shot-nf4")
SIZE = (4.7, 3.5)


def f1_against_sf(panel: Sequence[Curve]) -> str:
    """F1 with intervals against SF, a line for each method; the clean values in a column of their own; the baseline."""
    spreading_factors = sorted({point.sf for curve in panel for point in curve.points if point.sf is not None})
    where = {sf: float(position) for position, sf in enumerate(spreading_factors)}
    clean_x = len(where) + 0.2
    with_clean = any(curve.clean is not None and curve.clean.f1 is not None for curve in panel)

    def draw(axes: Any) -> None:
        _draw_baseline(axes, [point.baseline for curve in panel for point in curve.points])
        if with_clean:
            axes.axvspan(clean_x - 0.5, clean_x + 0.5, color=BAND, lw=0, zorder=0)
        for index, curve in enumerate(panel):
            shift = (index - (len(panel) - 1) / 2) * min(0.14, 0.5 / len(panel))
            colour, marker, dash = _style(curve.first.method)
            x = [where[point.sf or 0] + shift for point in curve.points]
            axes.plot(x, [point.f1 for point in curve.points], color=colour, ls=dash, lw=1.6, zorder=3)
            axes.plot([], [], color=colour, ls=dash, marker=marker, ms=6, label=method_name(curve.first.method))
            for position, point in zip(x, curve.points, strict=True):
                _draw_point(axes, position, point, colour, marker)
            if curve.clean is not None and curve.clean.f1 is not None:
                _draw_point(axes, clean_x + shift, curve.clean, colour, marker)
                axes.axhline(curve.clean.f1, color=colour, lw=0.8, ls=(0, (1, 3)), zorder=1)
        ticks = [*where.values(), *([clean_x] if with_clean else [])]
        axes.set_xticks(ticks, [*(f"SF{sf}" for sf in where), *(["clean"] if with_clean else [])])
        axes.set_xlim(-0.5, (clean_x if with_clean else len(where) - 1) + 0.5)
        _finish(axes, "", "F1")

    task = panel[0].first.task
    spoken = "; ".join(
        f"{method_name(curve.first.method)}: " + ", ".join(f"SF{p.sf} {p.f1:.2f}" for p in curve.points)
        for curve in panel
    )
    return _svg(draw, title=f"F1 of {task} against spreading factor", description=spoken)


def f1_against_intact(points: Sequence[Point], clean: Sequence[Point]) -> str:
    """F1 against the share of items that arrived whole, with the line of a receiver that uses whole items alone."""

    def draw(axes: Any) -> None:
        _draw_baseline(axes, [point.baseline for point in points])
        methods = _methods(points)
        for index, method in enumerate(methods):
            colour, marker, dash = _style(method)
            reference = next((p for p in clean if p.method == method and p.f1 is not None), None)
            if reference is not None and reference.f1 is not None:
                axes.plot([0, 1], [0, reference.f1], color=colour, ls=dash, lw=1, alpha=0.7, zorder=1)
            axes.plot([], [], color=colour, ls=dash, marker=marker, ms=6, label=method_name(method))
            shift = 0.012 * (index - (len(methods) - 1) / 2)
            for point in (p for p in points if p.method == method):
                _draw_point(axes, point.share_intact + shift, point, colour, marker)
        _label_links(axes, points)
        axes.set_xlim(-0.06, 1.06)
        _finish(axes, "share of items that arrived whole", "F1", above_axes=True)

    return _svg(draw, title=f"F1 of {points[0].task} against the share that arrived whole", description=_spoken(points))


def f1_against_errors(points: Sequence[Point]) -> str:
    """The collapse plot of one method: F1 against the residual byte error rate, a marker for each spreading factor."""
    known = [point for point in points if point.byte_error_rate is not None]
    floor = min([p.byte_error_rate for p in known if p.byte_error_rate] or [1e-3]) / 3

    def draw(axes: Any) -> None:
        _draw_baseline(axes, [point.baseline for point in known])
        for index, sf in enumerate(sorted({point.sf or 0 for point in known})):
            colour, marker = METHOD_COLOURS[index % 8], MARKERS[index % 8]
            axes.plot([], [], color=colour, ls="none", marker=marker, ms=6, label=f"SF{sf}")
            for point in (p for p in known if p.sf == sf):
                _draw_point(axes, max(point.byte_error_rate or 0.0, floor), point, colour, marker)
        axes.set_xscale("log")
        axes.set_xlim(floor / 1.6, 1.6)
        _finish(axes, "wrong or lost bytes / bytes sent (leftmost: none)", "F1")

    return _svg(draw, title=f"F1 of {points[0].task} against residual byte errors", description=_spoken(points))


def f1_against_snr(lines: dict[int, list[Point]]) -> str:
    """F1 against SNR, a line for each SF."""

    def draw(axes: Any) -> None:
        _draw_baseline(axes, [point.baseline for points in lines.values() for point in points])
        for index, (sf, points) in enumerate(sorted(lines.items())):
            colour, marker, dash = METHOD_COLOURS[index % 8], MARKERS[index % 8], DASHES[index % 8]
            axes.plot([p.snr_db for p in points], [p.f1 for p in points], color=colour, ls=dash, lw=1.6)
            axes.plot([], [], color=colour, ls=dash, marker=marker, ms=6, label=f"SF{sf}")
            for point in points:
                _draw_point(axes, point.snr_db or 0.0, point, colour, marker)
        _finish(axes, "SNR / dB", "F1", columns=6)

    first = next(iter(lines.values()))[0]
    return _svg(
        draw, title=f"F1 of {first.task} against SNR", description=f"{method_name(first.method)}, a line per SF"
    )


def delivery_against_sf(rows: Sequence[dict[str, Any]]) -> str:
    """Shares of fragments, items touched by the link and items whole, against SF."""
    rows = sorted(rows, key=lambda row: row["sf"])
    x = np.arange(len(rows))
    shares = (
        ("fragments", [1 - row["fragments_lost"] / max(1, row["fragments_sent"]) for row in rows]),
        ("items, in part", [row["delivered"] / row["n"] for row in rows]),
        ("items, whole", [row["intact"] / row["n"] for row in rows]),
    )

    def draw(axes: Any) -> None:
        for index, (label, share) in enumerate(shares):
            colour, marker, dash = METHOD_COLOURS[(1, 0, 2)[index]], MARKERS[index], DASHES[index]
            axes.plot(x, share, color=colour, ls=dash, marker=marker, ms=5.5, lw=1.6, label=label)
        axes.set_xticks(x, [f"SF{row['sf']}" for row in rows])
        _finish(axes, "", "share that arrived", columns=3)

    spoken = "; ".join(f"SF{row['sf']}: {row['intact']} of {row['n']} whole" for row in rows)
    return _svg(draw, title="What arrived, against spreading factor", description=spoken)


def frames_lost_against_snr(rows: Sequence[dict[str, Any]], payload_len: int) -> str:
    """Waterfalls in theory (hard decoding, perfect sync, whole fragments), and the share of frames lost as it was seen.

    With block fading the theory is the mean over exponentially distributed powers.
    """
    rows = sorted(rows, key=lambda row: row["sf"])
    centre = [row["snr_db"] for row in rows]
    snr_db = np.linspace(min(-26.0, *centre) - 1, max(0.0, *centre) + 6, 120)

    def draw(axes: Any) -> None:
        for index, row in enumerate(rows):
            colour, marker, dash = METHOD_COLOURS[index % 8], MARKERS[index % 8], DASHES[index % 8]
            lost = frame_loss(row["sf"], snr_db, cr=row["cr"] or 1, payload_len=payload_len, fading=row["fading"])
            axes.plot(snr_db, lost, color=colour, ls=dash, lw=1.5)
            seen = row["fragments_lost"] / max(1, row["fragments_sent"])
            axes.plot(
                [row["snr_db"]], [seen], marker=marker, ms=6.5, mfc=CARD, mec=colour, mew=1.6, ls="none", zorder=4
            )
            axes.plot([], [], color=colour, ls=dash, marker=marker, mfc=CARD, ms=6, label=f"SF{row['sf']}")
        axes.axvline(rows[0]["snr_db"], color=MUTED, lw=0.9, ls=(0, (2, 2)), zorder=1)
        _finish(axes, "SNR / dB", "share of frames lost", columns=6)

    spoken = "; ".join(f"SF{r['sf']}: {r['fragments_lost']} of {r['fragments_sent']} frames lost" for r in rows)
    return _svg(draw, title="Frames lost against SNR", description=f"At SNR {rows[0]['snr_db']:g} dB: {spoken}")


def best_sf_map(advice: Sequence[Advice]) -> str:
    """The advised spreading factor and its F1 over distance and duty cycle, darker for a higher F1."""
    distances = sorted({a.distance_km for a in advice})
    duties = sorted({a.duty_cycle for a in advice})

    def draw(axes: Any) -> None:
        from matplotlib.patches import Rectangle

        for a in advice:
            x, y = distances.index(a.distance_km), duties.index(a.duty_cycle)
            axes.add_patch(
                Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, fc=METHOD_COLOURS[2], alpha=0.06 + 0.5 * a.f1, lw=0)
            )
            axes.text(x, y + 0.1, f"SF{a.sf}" if a.sf else "–", ha="center", va="center", fontsize=10.5, weight="bold")
            if a.sf:
                axes.text(x, y - 0.2, f"F1 {a.f1:.2f}", ha="center", va="center", fontsize=7.5)
        axes.grid(False)
        axes.set_xlim(-0.5, len(distances) - 0.5)
        axes.set_ylim(-0.5, len(duties) - 0.5)
        axes.set_xticks(range(len(distances)), [f"{d:g}" for d in distances])
        axes.set_yticks(range(len(duties)), [f"{100 * d:g} %" for d in duties])
        axes.set_xlabel("distance / km")
        axes.set_ylabel("duty cycle")
        axes.set_position((0.13, 0.13, 0.85, 0.84))
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=0)

    spoken = "; ".join(
        f"{a.distance_km:g} km, {100 * a.duty_cycle:g} %: " + (f"SF{a.sf}, F1 {a.f1:.2f}" if a.sf else "none")
        for a in advice
    )
    return _svg(draw, title="Best spreading factor by distance and duty cycle", description=spoken)


def panels(study: Study) -> list[list[Curve]]:
    """Curves gathered into panels, most telling first; controls have their table."""
    gathered: dict[tuple[Any, ...], list[Curve]] = {}
    for curve in curves(point for point in study.points if not is_control(point)):
        gathered.setdefault(panel_key(curve), []).append(curve)
    return list(gathered.values())


# --- helpers ----------------------------------------------------------------------------------------------------------


def _style(method: str) -> tuple[str, str, Any]:
    """Colour, marker and dash of a method: the same in every figure."""
    known = method in FIXED_METHODS
    index = FIXED_METHODS.index(method) if known else 5 + zlib.crc32(method.encode()) % 3
    return METHOD_COLOURS[index], MARKERS[index], DASHES[index]


def _methods(points: Sequence[Point]) -> list[str]:
    return sorted({point.method for point in points}, key=lambda m: (*FIXED_METHODS, m).index(m))


def _draw_point(axes: Any, x: float, point: Point, colour: str, marker: str) -> None:
    """A score with its interval: filled where above the baseline, hollow where not, a cross where nothing arrived."""
    stands = verdict(point).key
    axes.plot([x, x], [point.low, point.high], color=colour, lw=1.2, alpha=0.75, solid_capstyle="butt", zorder=2)
    face = colour if stands == "above" else CARD
    shape = "x" if stands == "nothing" else marker
    axes.plot([x], [point.f1], marker=shape, ms=6, mfc=face, mec=colour, mew=1.5, color=colour, ls="none", zorder=4)


def _draw_baseline(axes: Any, values: Sequence[float | None]) -> None:
    known = [value for value in values if value is not None]
    if known:
        level = float(np.mean(known))
        axes.axhline(level, color=BASE, lw=1.6, ls=(0, (6, 3)), zorder=1, label=f"baseline {level:.2f}")


def _label_links(axes: Any, points: Sequence[Point]) -> None:
    """Spreading factors along the upper edge, above their points; those that would overlap share a label."""
    places: list[tuple[float, set[int]]] = []
    for x, sf in sorted({(point.share_intact, point.sf or 0) for point in points}):
        if places and x - places[-1][0] < 0.12:
            places[-1][1].add(sf)
        else:
            places.append((x, {sf}))
    for x, group in places:
        text = "SF" + ", ".join(map(str, sorted(group)))
        axes.text(x, 1.035, text, ha="center", va="bottom", fontsize=7.5, color=MUTED)


def _finish(axes: Any, x_label: str, y_label: str, *, columns: int = 4, above_axes: bool = False) -> None:
    """Range, labels, legend over the axes; `above_axes` leaves room for labels along the upper edge."""
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    roomy = columns < 5 and len(axes.get_legend_handles_labels()[1]) <= 4
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.05 if above_axes else 1.0),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        borderaxespad=0.2,
        columnspacing=1.4 if roomy else 0.9,
        handlelength=2.4 if roomy else 1.7,
        handletextpad=0.8 if roomy else 0.4,
    )
    rows = math.ceil(len(axes.get_legend().get_texts()) / columns)
    bottom, top = (0.13 if x_label else 0.075), 0.985 - 0.065 * rows - (0.04 if above_axes else 0.0)
    axes.set_position((0.105, bottom, 0.88, top - bottom))


def _spoken(points: Sequence[Point]) -> str:
    """The points in words, for those who do not see the picture."""
    return "; ".join(f"{method_name(p.method)} SF{p.sf}: F1 {p.f1:.2f} with {p.share_intact:.0%} whole" for p in points)


def _svg(draw: Callable[[Any], None], *, title: str, description: str) -> str:
    """Draw into one axes and return an SVG element that follows the page's colours."""
    import matplotlib
    from matplotlib.figure import Figure

    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": title,
        "font.size": 9.5,
        "text.color": INK,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.facecolor": "none",
        "grid.color": LINE,
        "grid.linewidth": 0.8,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.labelcolor": INK,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=SIZE)
        draw(figure.add_axes((0.1, 0.1, 0.88, 0.8)))
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _inline(text.getvalue(), title, description)


def _inline(svg: str, title: str, description: str) -> str:
    """Cut a standalone SVG down to an element: colours as variables, ids unique, a title to be read aloud."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    prefix = f"f{zlib.crc32(svg.encode()):08x}"
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    head, rest = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]+"', head)
    opening = (
        f'<svg class="figure" role="img" aria-labelledby="{prefix}-title {prefix}-desc" {box.group() if box else ""} '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    spoken = f'<title id="{prefix}-title">{escape(title)}</title><desc id="{prefix}-desc">{escape(description)}</desc>'
    return opening + spoken + rest
