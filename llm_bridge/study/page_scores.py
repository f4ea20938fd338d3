"""The report's sections on scores: F1 against SF and SNR, against what arrived, and the table of every score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from llm_bridge.study import figures
from llm_bridge.study.curves import verdict
from llm_bridge.study.evidence import Collapse
from llm_bridge.study.html_parts import Column, Html, figure, plain, table
from llm_bridge.study.points import Point, Study
from llm_bridge.study.words import TASK_QUESTIONS, axis_name, condition_name, corpus_name, method_name, sentence_case


def scores_section(study: Study) -> str:
    """F1 against spreading factor and SNR, the most telling condition of each axis first, the others folded away."""
    shown: dict[tuple[Any, ...], str] = {}
    more = []
    for panel in figures.panels(study):
        p = panel[0].first
        drawn = figure(
            f"{corpus_name(p.corpus)}, {p.task}: {TASK_QUESTIONS.get(p.task, '')}",
            _where(p),
            figures.f1_against_sf(panel),
        )
        if (p.corpus, p.task, p.axis) in shown:
            more.append(drawn)
        else:
            shown[p.corpus, p.task, p.axis] = drawn
    waterfalls = _snr_figures(study)
    if not shown:
        return ""
    text = (
        '<p class="note">Bars are 95 % intervals. Filled markers lie above the baseline with their whole interval, '
        "hollow ones do not, a cross means that nothing arrived. The column on the right, and the dotted lines, are "
        "the same model on texts of which nothing was lost.</p>"
        f'<div class="panels">{"".join(shown.values())}</div>'
    )
    if waterfalls:
        text += f'<div class="panels">{"".join(waterfalls)}</div>'
    if more:
        head = f"<details><summary>{len(more)} more conditions of the link</summary>"
        text += f'{head}<div class="panels">{"".join(more)}</div></details>'
    return text


def damage_section(study: Study, collapse: Sequence[Collapse]) -> str:
    """F1 against the share intact and against residual errors, one pair of figures for each corpus and task."""
    parts = []
    groups: dict[tuple[str, str], list[Point]] = {}
    without_loss: dict[tuple[str, str], list[Point]] = {}
    for curve in (curve for panel in figures.panels(study) for curve in panel):
        if curve.first.corrupted_split in ("eval", "both"):
            key = (curve.first.corpus, curve.first.task)
            groups.setdefault(key, []).extend(curve.points)
            without_loss.setdefault(key, []).extend([curve.clean] if curve.clean else [])
    for (corpus, task), points in groups.items():
        clean = without_loss[corpus, task]
        head = f"{corpus_name(corpus)}, {task}"
        first = [p for p in points if p.condition == points[0].condition]
        tested = [p for p in points if p.policy == points[0].policy and p.method == first[0].method]
        parts.append(figure(f"{head}: what arrived whole", _where(first[0]), figures.f1_against_intact(first, clean)))
        if any(p.byte_error_rate is not None for p in tested):
            title = f"{head}, {method_name(tested[0].method)}: residual errors"
            parts.append(figure(title, _collapse_sentence(points, collapse), figures.f1_against_errors(tested)))
    if not parts:
        return ""
    return (
        '<p class="note">A slanted line is a receiver that uses only what arrived whole: F1 on clean texts, times '
        "the share that arrived whole. Points above it: the model gets something out of damaged text. Points on it: it "
        "does not. Against residual errors, points of all spreading factors on one curve mean that SF acts through "
        f'those errors alone; the sentence above each figure tests that.</p><div class="panels">{"".join(parts)}</div>'
    )


def table_section(study: Study) -> str:
    """Every score of the study, pooled over seeds."""
    columns: list[Column] = [
        ("Corpus", "setting", lambda p: corpus_name(p.corpus)),
        ("Task", "text", lambda p: p.task),
        ("Method", "text", lambda p: method_name(p.method)),
        ("Held equal", "setting", lambda p: "no link" if p.clean else axis_name(p.axis).split(" at ")[0]),
        ("SF", "number", lambda p: p.sf),
        ("Distance / km", "setting", lambda p: p.distance_km),
        ("Loss aimed at", "setting", lambda p: p.frame_loss),
        ("SNR / dB", "setting", lambda p: plain(p.snr_db)),
        ("Policy", "setting", lambda p: p.policy or ""),
        (
            "Sent",
            "setting",
            lambda p: {"none": "nothing", "eval": "test", "train": "training"}.get(p.corrupted_split, "all"),
        ),
        ("n", "number", lambda p: p.scores["n"]),
        ("Delivered", "number", lambda p: p.scores["delivered"]),
        ("Whole", "number", lambda p: p.scores["intact"]),
        ("F1", "number", lambda p: p.f1),
        ("95 % interval", "text", _interval_cell),
        ("Verdict", "text", _verdict_cell),
        ("Delivered only", "number", lambda p: p.scores.get("f1_delivered")),
        ("Baseline", "number", lambda p: p.baseline),
        ("Macro-F1", "number", lambda p: p.scores.get("macro_f1")),
        ("MCC", "number", lambda p: p.scores.get("mcc")),
    ]
    text = (
        '<p class="note">Pooled over seeds. The bar runs from 0 to 1: shaded the interval, solid the score, dashed the '
        "baseline. Click a head to sort, or reach it with the Tab key.</p>"
    )
    return text + table("Every score of the study", columns, study.points)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _snr_figures(study: Study) -> list[str]:
    """F1 against SNR where a study has three SNRs or more: the first method of each corpus and task."""
    groups: dict[tuple[Any, ...], dict[int, list[Point]]] = {}
    for curve in (curve for panel in figures.panels(study) for curve in panel):
        for p in curve.points:
            key = (
                p.corpus,
                p.task,
                p.method,
                (*p.condition[:1], *p.condition[2:]),  # whatever the level
            )
            if math.isfinite(p.snr_db or 0.0):
                groups.setdefault(key, {}).setdefault(p.sf or 0, []).append(p)
    found: dict[tuple[str, str], str] = {}
    for (corpus, task, method, _), lines in groups.items():
        if (corpus, task) in found or max(len(points) for points in lines.values()) < 3:
            continue
        ordered = {sf: sorted(points, key=lambda p: p.snr_db or 0.0) for sf, points in lines.items()}
        title = f"{corpus_name(corpus)}, {task}, {method_name(method)}: F1 against SNR"
        found[corpus, task] = figure(title, "a line for each spreading factor", figures.f1_against_snr(ordered))
    return list(found.values())


def _collapse_sentence(points: Sequence[Point], collapse: Sequence[Collapse]) -> str:
    """What the test of these points says; points are of one corpus and task, the first one's policy is tested."""
    p = points[0]
    tests = [c for c in collapse if (c.corpus, c.task, c.policy) == (p.corpus, p.task, p.policy)]
    return tests[0].slope.sentence() if tests else "No test of this task was registered"


def _interval_cell(point: Point) -> Any:
    if point.f1 is None:
        return None
    base = "" if point.baseline is None else f'<u style="left:{100 * point.baseline:.1f}%"></u>'
    html = Html(
        f'{point.low:.2f} to {point.high:.2f} <span class="wide" aria-hidden="true">'
        f'<i style="left:{100 * point.low:.1f}%;width:{100 * (point.high - point.low):.1f}%"></i>'
        f'<b style="left:{100 * point.f1:.1f}%"></b>{base}</span>'
    )
    html.sort_value = f"{point.low:.6f}"
    return html


def _verdict_cell(point: Point) -> Any:
    found = verdict(point)
    html = Html(f'<span class="verdict {found.key}">{found.mark} {escape(found.word)}</span>')
    html.sort_value = found.word
    return html


def _where(p: Point) -> str:
    return f"{sentence_case(axis_name(p.axis))}; {condition_name(p)}"
