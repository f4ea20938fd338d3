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
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from llm_bridge.report.curves import verdict
from llm_bridge.report.language import format_level, format_number, format_share, method_name
from llm_bridge.report.planning import Advice, frame_loss
from llm_bridge.report.results import METHOD_ORDER, Curve, Point, rank

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

INK, MUTED, LINE, BASE, BAND, CARD = (f"#0000f{digit}" for digit in range(1, 7))
VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", BASE: "--base", BAND: "--band", CARD: "--card"}
COLOURS = [f"#0000c{index}" for index in range(8)]
VARIABLES |= {colour: f"--m{index}" for index, colour in enumerate(COLOURS)}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (7, 2)), (0, (3, 1)), (0, (2, 2)), (0, (1, 2)))
FIXED_METHODS = ("zero-shot", "qlora", "full", "lora", "zero-shot-nf4", "probe")
"""Methods with a colour of their own in every report."""
LOW_SCORES = 0.6
"""Where every interval of a panel ends below it, its axis does too."""
LOSS_WINDOW = 20
"""Steps of a running mean of training losses."""
SIZE = (4.7, 3.5)


class Style(NamedTuple):
    """Style of a line: colour, marker and dash."""

    colour: str
    marker: str
    dash: str | tuple[int, tuple[float, ...]]


Styles = Mapping[str, Style]


def method_styles(methods: Iterable[str]) -> dict[str, Style]:
    """A style for each method of a study, the same in every figure; up to 64 methods are told apart.

    Methods of `FIXED_METHODS` have their own colour; the others take the colours that are left, then colours again with
    other markers and dashes.

    Examples
    --------
    >>> styles = method_styles(["qlora", "qlora-top", "qlora-bottom", "full"])
    >>> styles["qlora"].colour == COLOURS[1], len(set(styles.values()))
    (True, 4)
    """
    names = sorted(set(methods), key=lambda method: (rank(METHOD_ORDER, method), method))
    taken = {name: FIXED_METHODS.index(name) for name in names if name in FIXED_METHODS}
    free = [index for index in range(len(COLOURS)) if index not in taken.values()]
    others = [name for name in names if name not in taken]
    places = [*free, *(k + len(COLOURS) * turn for turn in range(1, len(COLOURS)) for k in range(len(COLOURS)))]
    taken |= dict(zip(others, places, strict=False))
    return {name: numbered_style(index) for name, index in taken.items()}


def numbered_style(index: int) -> Style:
    """The style of a number: colour by its last digit base 8, marker and dash shifted with each turn."""
    shifted = (index + index // len(COLOURS)) % len(COLOURS)
    return Style(COLOURS[index % len(COLOURS)], MARKERS[shifted], DASHES[shifted])


def f1_against_sf(panel: Sequence[Curve], styles: Styles) -> str:
    """F1 with intervals against SF, a line for each method; the clean values in a column of their own; the baseline."""
    spreading_factors = sorted({point.sf for curve in panel for point in curve.points if point.sf is not None})
    where = {sf: float(position) for position, sf in enumerate(spreading_factors)}
    clean_x = len(where) + 0.2
    with_clean = any(curve.clean is not None and curve.clean.f1 is not None for curve in panel)
    placed = [(where[point.sf or 0], point.baseline) for curve in panel for point in curve.points]
    placed += [(clean_x, curve.clean.baseline) for curve in panel if with_clean and curve.clean is not None]
    baselines = {
        x: float(np.mean(known))
        for x in dict(placed)
        if (known := [b for at, b in placed if at == x and b is not None])
    }

    def draw(axes: Axes) -> None:
        _draw_baselines(axes, baselines)
        if with_clean:
            axes.axvspan(clean_x - 0.5, clean_x + 0.5, color=BAND, lw=0, zorder=0)
        for index, curve in enumerate(panel):
            shift = (index - (len(panel) - 1) / 2) * min(0.14, 0.5 / len(panel))
            style = styles[curve.first.method]
            x, points = [where[point.sf or 0] + shift for point in curve.points], list(curve.points)
            axes.plot(x, _scores(points), color=style.colour, ls=style.dash, lw=1.6, zorder=3)
            _in_legend(axes, style, method_name(curve.first.method))
            if curve.clean is not None and curve.clean.f1 is not None:
                x, points = [*x, clean_x + shift], [*points, curve.clean]
                axes.axhline(curve.clean.f1, color=style.colour, lw=0.8, ls=(0, (1, 3)), zorder=1)
            _draw_points(axes, x, points, style)
        ticks = [*where.values(), *([clean_x] if with_clean else [])]
        axes.set_xticks(ticks, [*(f"SF{sf}" for sf in where), *(["clean"] if with_clean else [])])
        axes.set_xlim(-0.5, (clean_x if with_clean else len(where) - 1) + 0.5)
        _finish(axes, "", "F1")
        if max(p.high for curve in panel for p in (*curve.points, curve.clean) if p is not None) < LOW_SCORES:
            axes.set_ylim(-0.03 * LOW_SCORES, 1.03 * LOW_SCORES)
            axes.set_yticks(np.linspace(0, LOW_SCORES, 7))

    spoken = "; ".join(
        f"{method_name(curve.first.method)}: "
        + ", ".join(f"SF{p.sf} {format_number(p.f1 or 0.0)}" for p in curve.points)
        for curve in panel
    )
    levels = [(f"SF{sf}", baselines[x]) for sf, x in where.items() if x in baselines]
    levels += [("clean", baselines[clean_x])] if clean_x in baselines else []
    if levels:
        spoken += "; baseline: " + ", ".join(f"{name} {format_number(level)}" for name, level in levels)
    return _svg(draw, title=f"F1 of {panel[0].first.task} against spreading factor", description=spoken)


def f1_against_intact(points: Sequence[Point], clean: Sequence[Point], styles: Styles) -> str:
    """F1 against the share of items that arrived whole, with the line of a receiver that uses whole items alone."""

    def draw(axes: Axes) -> None:
        _draw_baseline(axes, [point.baseline for point in points])
        methods = [method for method in styles if any(p.method == method for p in points)]
        for index, method in enumerate(methods):
            style = styles[method]
            reference = next((p for p in clean if p.method == method and p.f1 is not None), None)
            if reference is not None and reference.f1 is not None:
                axes.plot([0, 1], [0, reference.f1], color=style.colour, ls=style.dash, lw=1, alpha=0.7, zorder=1)
            _in_legend(axes, style, method_name(method))
            shift = 0.012 * (index - (len(methods) - 1) / 2)
            mine = [p for p in points if p.method == method]
            _draw_points(axes, [p.share_intact + shift for p in mine], mine, style)
        _label_links(axes, points)
        axes.set_xlim(-0.06, 1.06)
        _finish(axes, "share of items that arrived whole", "F1", above_axes=True)

    return _svg(draw, title=f"F1 of {points[0].task} against the share that arrived whole", description=_spoken(points))


def f1_against_errors(points: Sequence[Point]) -> str:
    """F1 of one method against the residual byte error rate, a marker for each spreading factor."""
    known = [point for point in points if point.byte_error_rate is not None]
    floor = min([p.byte_error_rate for p in known if p.byte_error_rate] or [1e-3]) / 3

    def draw(axes: Axes) -> None:
        _draw_baseline(axes, [point.baseline for point in known])
        for index, sf in enumerate(sorted({point.sf or 0 for point in known})):
            style = numbered_style(index)
            _in_legend(axes, style._replace(dash="none"), f"SF{sf}")
            mine = [p for p in known if p.sf == sf]
            _draw_points(axes, [max(p.byte_error_rate or 0.0, floor) for p in mine], mine, style)
        axes.set_xscale("log")
        decades = range(math.ceil(math.log10(floor / 1.6)), 1)
        axes.set_xticks([10.0**k for k in decades], [format_level(10.0**k) for k in decades])
        axes.set_xticks([], minor=True)
        axes.set_xlim(floor / 1.6, 1.6)
        _finish(axes, "wrong or lost bytes / bytes sent (leftmost: none)", "F1")

    return _svg(draw, title=f"F1 of {points[0].task} against residual byte errors", description=_spoken(points))


def f1_against_snr(lines: Mapping[int, Sequence[Point]]) -> str:
    """F1 against SNR, a line for each SF."""
    first = next(iter(lines.values()))[0]

    def draw(axes: Axes) -> None:
        _draw_baseline(axes, [point.baseline for points in lines.values() for point in points])
        for index, (sf, points) in enumerate(sorted(lines.items())):
            style = numbered_style(index)
            snr = [p.link.snr_db for p in points if p.link is not None]
            axes.plot(snr, _scores(points), color=style.colour, ls=style.dash, lw=1.6)
            _in_legend(axes, style, f"SF{sf}")
            _draw_points(axes, snr, points, style)
        _finish(axes, "SNR / dB", "F1", columns=6)

    description = f"{method_name(first.method)}, a line per SF"
    return _svg(draw, title=f"F1 of {first.task} against SNR", description=description)


def loss_over_steps(losses: Mapping[tuple[str, bool], npt.NDArray[np.float64]], styles: Styles) -> str:
    """Training loss over optimiser steps, running means; with markers where training texts crossed the link."""
    names = {learner: method_name(learner[0]) + (", received texts" if learner[1] else "") for learner in losses}

    def draw(axes: Axes) -> None:
        for learner, values in losses.items():
            style = styles[learner[0]]
            width = min(LOSS_WINDOW, len(values))
            mean = np.convolve(values, np.ones(width) / width, mode="valid")
            steps = np.arange(len(mean)) + width
            (line,) = axes.plot(steps, mean, color=style.colour, ls=style.dash, lw=1.6, label=names[learner])
            if learner[1]:
                line.set(marker=style.marker, markersize=5.5, markevery=max(1, len(mean) // 8))
        _finish(axes, "optimiser step", "training loss / nats", columns=3, shares=False)

    ends = ((names[learner], v[:LOSS_WINDOW].mean(), v[-LOSS_WINDOW:].mean()) for learner, v in losses.items())
    spoken = "; ".join(f"{name}: {format_number(first)} to {format_number(last)}" for name, first, last in ends)
    return _svg(draw, title="Training loss over steps", description=spoken)


def delivery_against_sf(rows: pd.DataFrame) -> str:
    """Shares of fragments, items touched by the link and items whole, against SF; `rows` are those of `delivery`."""
    factors = [link.sf for link in rows["link"]]
    x = np.arange(len(rows))
    shares = (
        ("fragments", 1 - rows["fragments_lost"] / rows["fragments_sent"].clip(lower=1)),
        ("items, in part", rows["delivered"] / rows["n"]),
        ("items, whole", rows["intact"] / rows["n"]),
    )

    def draw(axes: Axes) -> None:
        for index, (label, share) in enumerate(shares):
            style = numbered_style((1, 0, 2)[index])._replace(marker=MARKERS[index], dash=DASHES[index])
            axes.plot(
                x, share.to_numpy(), color=style.colour, ls=style.dash, marker=style.marker, ms=5.5, lw=1.6, label=label
            )
        axes.set_xticks(x, [f"SF{sf}" for sf in factors])
        _finish(axes, "", "share that arrived", columns=3)

    counts = zip(factors, rows["intact"], rows["n"], strict=True)
    spoken = "; ".join(f"SF{sf}: {intact} of {n} whole" for sf, intact, n in counts)
    return _svg(draw, title="What arrived, against spreading factor", description=spoken)


def frames_lost_against_snr(rows: pd.DataFrame, payload_len: int) -> str:
    """Waterfalls in theory (hard decoding, perfect sync, whole fragments), and the share of frames lost as it was seen.

    `rows` are those of `delivery`. With block fading the theory is the mean over exponentially distributed powers.
    """
    links = list(rows["link"])
    centre = [link.snr_db for link in links]
    snr_db = np.linspace(min(-26.0, *centre) - 1, max(0.0, *centre) + 6, 120)
    lost_of_sent = list(zip(rows["fragments_lost"], rows["fragments_sent"], strict=True))

    def draw(axes: Axes) -> None:
        for index, (link, (lost, sent)) in enumerate(zip(links, lost_of_sent, strict=True)):
            style = numbered_style(index)
            theory = frame_loss(link.sf, snr_db, cr=link.cr, payload_len=payload_len, fading=link.fading)
            axes.plot(snr_db, theory, color=style.colour, ls=style.dash, lw=1.5)
            axes.plot(
                [link.snr_db], [lost / max(1, sent)], ms=6.5, marker=style.marker, mfc=CARD, mec=style.colour, mew=1.6,
                ls="none", zorder=4,
            )  # fmt: skip
            _in_legend(axes, style, f"SF{link.sf}", face=CARD)
        axes.axvline(links[0].snr_db, color=MUTED, lw=0.9, ls=(0, (2, 2)), zorder=1)
        _finish(axes, "SNR / dB", "share of frames lost", columns=6)

    spoken = "; ".join(
        f"SF{link.sf}: {lost} of {sent} frames lost" for link, (lost, sent) in zip(links, lost_of_sent, strict=True)
    )
    description = f"At SNR {format_level(links[0].snr_db)} dB: {spoken}"
    return _svg(draw, title="Frames lost against SNR", description=description)


def best_sf_map(advice: Sequence[Advice]) -> str:
    """The advised spreading factor and its F1 over distance and duty cycle, darker for a higher F1."""
    distances = sorted({a.distance_km for a in advice})
    duties = sorted({a.duty_cycle for a in advice})

    def draw(axes: Axes) -> None:
        from matplotlib.patches import Rectangle

        for a in advice:
            x, y = distances.index(a.distance_km), duties.index(a.duty_cycle)
            axes.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, fc=COLOURS[2], alpha=0.06 + 0.5 * a.f1, lw=0))
            axes.text(x, y + 0.1, f"SF{a.sf}" if a.sf else "–", ha="center", va="center", fontsize=10.5, weight="bold")
            if a.sf:
                axes.text(x, y - 0.2, f"F1 {format_number(a.f1)}", ha="center", va="center", fontsize=7.5)
        axes.grid(False)
        axes.set_xlim(-0.5, len(distances) - 0.5)
        axes.set_ylim(-0.5, len(duties) - 0.5)
        axes.set_xticks(range(len(distances)), [format_level(d) for d in distances])
        axes.set_yticks(range(len(duties)), [f"{format_level(100 * d)} %" for d in duties])
        axes.set_xlabel("distance / km")
        axes.set_ylabel("duty cycle")
        axes.set_position((0.13, 0.13, 0.85, 0.84))
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=0)

    spoken = "; ".join(
        f"{format_level(a.distance_km)} km, {format_level(100 * a.duty_cycle)} %: "
        + (f"SF{a.sf}, F1 {format_number(a.f1)}" if a.sf else "none")
        for a in advice
    )
    return _svg(draw, title="Best spreading factor by distance and duty cycle", description=spoken)


def share_against_level(lines: Mapping[int, Sequence[tuple[float, float]]], label: str) -> str:
    """Share of bytes wrong or lost against what an axis holds equal, a line for each spreading factor."""

    def draw(axes: Axes) -> None:
        for index, (sf, points) in enumerate(sorted(lines.items())):
            style = numbered_style(index)
            x, share = zip(*sorted(points), strict=True)
            axes.plot(x, share, color=style.colour, ls=style.dash, marker=style.marker, ms=4.5, lw=1.5, label=f"SF{sf}")
        _finish(axes, label, "share of bytes wrong or lost", columns=6)

    spoken = "; ".join(
        f"SF{sf}: " + ", ".join(f"{format_share(y)} at {format_level(x)}" for x, y in sorted(points))
        for sf, points in sorted(lines.items())
    )
    return _svg(draw, title=f"Bytes wrong or lost against {label}", description=spoken)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _in_legend(axes: Axes, style: Style, label: str, *, face: str | None = None) -> None:
    axes.plot(
        [], [], color=style.colour, ls=style.dash, marker=style.marker, mfc=face or style.colour, ms=6, label=label
    )


def _draw_points(axes: Axes, x: Sequence[float], points: Sequence[Point], style: Style) -> None:
    """Scores with their intervals: filled where above the baseline, hollow where not, a cross where nothing arrived."""
    lows, highs = [p.low for p in points], [p.high for p in points]
    axes.vlines(x, lows, highs, colors=style.colour, lw=1.2, alpha=0.75, zorder=2)
    drawn: dict[str, list[int]] = {}
    for index, point in enumerate(points):
        key = verdict(point).key
        drawn.setdefault(key if key in ("above", "nothing") else "hollow", []).append(index)
    for key, members in sorted(drawn.items()):
        axes.plot(
            [x[i] for i in members], _scores([points[i] for i in members]), ms=6, mec=style.colour, mew=1.5,
            color=style.colour, ls="none", zorder=4, mfc=style.colour if key == "above" else CARD,
            marker="x" if key == "nothing" else style.marker,
        )  # fmt: skip


def _scores(points: Sequence[Point]) -> list[float]:
    """F1 of each point; NaN, which is not drawn, where it has none."""
    return [math.nan if point.f1 is None else point.f1 for point in points]


def _draw_baseline(axes: Axes, values: Sequence[float | None]) -> None:
    known = [value for value in values if value is not None]
    if known:
        level = float(np.mean(known))
        axes.axhline(level, color=BASE, lw=1.6, ls=(0, (6, 3)), zorder=1, label=f"baseline {format_number(level)}")


def _draw_baselines(axes: Axes, levels: Mapping[float, float]) -> None:
    """The baseline at each place of the axis: rules read what arrives, so that each link has its own."""
    if not levels:
        return
    low, high = format_number(min(levels.values())), format_number(max(levels.values()))
    label = f"baseline {low}" if low == high else f"baseline {low} to {high}"
    for x, level in levels.items():
        axes.plot([x - 0.46, x + 0.46], [level, level], color=BASE, lw=1.6, zorder=1, label=label)
        label = "_"  # one entry in the legend


def _label_links(axes: Axes, points: Sequence[Point]) -> None:
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


def _finish(
    axes: Axes, x_label: str, y_label: str, *, columns: int = 4, above_axes: bool = False, shares: bool = True
) -> None:
    """Range (0 to 1 for `shares`), labels, legend over the axes; `above_axes` leaves room on the upper edge."""
    if shares:
        axes.set_ylim(-0.03, 1.03)
        axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label, labelpad=1.5)
    names = axes.get_legend_handles_labels()[1]
    columns = 3 if columns == 4 and max(map(len, names)) * 4 > 60 else columns  # a line holds about 60 characters
    roomy = columns < 5 and len(names) <= 4 and sum(map(len, names)) <= 30
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
    rows = math.ceil(len(names) / columns)
    bottom, top = (0.13 if x_label else 0.075), 0.985 - 0.065 * rows - (0.04 if above_axes else 0.0)
    axes.set_position((0.105, bottom, 0.88, top - bottom))


def _spoken(points: Sequence[Point]) -> str:
    """The points in words, for those who do not see the picture."""
    return "; ".join(
        f"{method_name(p.method)} SF{p.sf}: F1 {format_number(p.f1 or 0.0)} with {format_share(p.share_intact)} whole"
        for p in points
    )


def _svg(draw: Callable[[Axes], None], *, title: str, description: str) -> str:
    """Draw into one axes and return an SVG element that follows the page's colours."""
    import matplotlib
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
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
        "text.parse_math": False,
        "axes.facecolor": "none",
        "grid.color": LINE,
        "grid.linewidth": 0.8,
        "lines.solid_capstyle": "butt",
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
    svg = re.sub(r"#0000[cf]\d", lambda colour: f"var({VARIABLES[colour[0]]})", svg)
    prefix = f"f{zlib.crc32((svg + description).encode()):08x}"
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    head, rest = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]+"', head)
    opening = (
        f'<svg class="figure" role="img" aria-labelledby="{prefix}-title {prefix}-desc" {box.group() if box else ""} '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    spoken = f'<title id="{prefix}-title">{escape(title)}</title><desc id="{prefix}-desc">{escape(description)}</desc>'
    return opening + spoken + rest
