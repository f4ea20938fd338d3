"""The report as one self-contained page: the answer first, then pictures, tables, limits and provenance.

No request leaves the page (its content policy forbids them), scripts only sort tables, and everything can be reached by
keyboard. Colours never carry a meaning alone: verdicts have a word and a mark, methods a marker and a line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from llm_bridge.study import figures
from llm_bridge.study.evidence import (
    Collapse,
    choice_section,
    collapse_tests,
    contrast_sentences,
    controls_section,
    seeds_section,
    tests_section,
)
from llm_bridge.study.findings import (
    TASK_QUESTIONS,
    axis_name,
    condition_name,
    corpus_name,
    headline_curves,
    is_control,
    level_words,
    limits,
    link_words,
    method_name,
    method_sentences,
    model_names,
    sf_sentence,
    verdict,
    warning_sentence,
)
from llm_bridge.study.html_parts import Column, Html, figure, mark_damage, table
from llm_bridge.study.points import AXIS_ORDER, Point, Study, delivery_rows
from llm_bridge.transport.packets import HEADER_LEN

MAX_EXAMPLES = 6
SENT = {"none": "nothing", "eval": "test texts", "train": "training texts", "both": "all texts"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def render_page(study: Study) -> str:
    """The whole page as HTML text."""
    collapse = collapse_tests(study)
    sections = [
        ("scores", "F1 against spreading factor", _f1_section(study)),
        ("damage", "Does the model do anything with damaged text?", _damage_section(study, collapse)),
        ("choice", "Which spreading factor should I use?", choice_section(study)),
        ("tests", "The tests, as registered", tests_section(study, collapse)),
        ("controls", "Controls", controls_section(study)),
        ("seeds", "Where the scatter comes from", seeds_section(study)),
        ("delivery", "What the link delivered", _delivery_section(study)),
        ("program", "One program, before and after the link", _example_section(study)),
        ("table", "Every score", _table_section(study)),
        ("limits", "What this cannot show", _limits_section(study)),
        ("provenance", "Where the numbers come from", _provenance_section(study)),
    ]
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in sections)
    body = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{escape(title)}</h2>'
        f"{text}</section>"
        for name, title, text in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>F1 against spreading factor</title>
<link rel="icon" href="data:,">
<style>{_template("report.css")}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the figures</a>
<header>
<p class="kicker">chirpbridge study report</p>
<h1>How does the spreading factor of a LoRa radio link
change what a language model makes of programs sent over it?</h1>
{_answer(study)}
{_facts(study)}
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main id="main">{body}</main>
<footer><p>Intervals are 95 % bootstrap intervals over programs (BCa; exact where all programs agree).
An item that did not arrive counts as a miss.
results.csv and items.jsonl beside this page hold every number and every decision.</p></footer>
<script>{_template("report.js")}</script>
</body>
</html>
"""


# --- sections ---------------------------------------------------------------------------------------------------------


def _answer(study: Study) -> str:
    parts = []
    if any(name.startswith("toy") for name in model_names(study)):
        parts.append(
            f'<p class="small warning">{VERDICT_SIGN} A model with random weights: these numbers test the path and say '
            "nothing about language models.</p>"
        )
    model = " and ".join(model_names(study))
    primary = contrast_sentences(study)
    for index, curve in enumerate(headline_curves(study)):
        p = curve.first
        parts.append(
            f"<h2>{escape(_sentence_case(axis_name(p.axis)))}</h2>"
            f"<p{'' if index == 0 else ' class=small'}>{escape(sf_sentence(curve, model))}</p>"
            f'<p class="note">{escape(_sentence_case(condition_name(p)))}.</p>'
        )
        warning = warning_sentence(curve)
        if warning:
            parts.append(f'<p class="small warning">{VERDICT_SIGN} {escape(warning)}</p>')
        said = primary.get(p.axis, {})
        chosen = said.get(p.task) or next(iter(said.values()), None)
        parts += [f'<p class="small">{escape(chosen)}</p>'] if chosen else []
    if not parts:
        parts.append(
            "<h2>Spreading factor</h2><p>This study holds fewer than two spreading factors of one link: "
            "it cannot say how F1 goes with SF.</p>"
        )
    contrasts = method_sentences(study)
    parts.append("<h2>QLoRA against full fine-tuning, all spreading factors together</h2>")
    parts += [f'<p class="small">{escape(text)}</p>' for text in contrasts[:2]] or [
        '<p class="small">Not compared: this study does not hold both methods over the same link.</p>'
    ]
    return f'<div class="answer">{"".join(parts)}</div>'


VERDICT_SIGN = "○"


def _facts(study: Study) -> str:
    points = [point for point in study.points if not is_control(point)]
    spreading_factors = sorted({p.sf for p in points if p.sf is not None})
    corpora = {p.corpus: max(q.num_programs for q in points if q.corpus == p.corpus) for p in points}
    train = {seed for p in points for seed in p.train_seeds}
    channel = {seed for p in points for seed in p.channel_seeds}
    facts = {
        "Model": ", ".join(model_names(study)),
        "Test programs": ", ".join(f"{corpus_name(name)} ({count})" for name, count in sorted(corpora.items())),
        "Spreading factors": _span(spreading_factors),
        "Methods": ", ".join(dict.fromkeys(method_name(p.method) for p in points)),
        "Seeds": f"{len(train) or 'no'} for training, {len(channel) or 'no'} for the channel",
        "Cells": str(len(study.cells)),
    }
    return '<dl class="facts">' + "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items()
    ) + "</dl>"  # fmt: skip


def _f1_section(study: Study) -> str:
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


def _snr_figures(study: Study) -> list[str]:
    """F1 against SNR where a study has three SNRs or more: the first method of each corpus and task."""
    groups: dict[tuple[Any, ...], dict[int, list[Point]]] = {}
    for curve in (curve for panel in figures.panels(study) for curve in panel):
        for p in curve.points:
            key = (
                p.corpus,
                p.task,
                p.method,
                tuple(v for n, v in zip(_AXIS_FIELDS, p.condition, strict=True) if n != "snr_db"),
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


_AXIS_FIELDS = ("axis", "snr_db", "fading", "cr", "policy", "source_coding", "corrupted_split")


def _damage_section(study: Study, collapse: Sequence[Collapse]) -> str:
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


def _collapse_sentence(points: Sequence[Point], collapse: Sequence[Collapse]) -> str:
    """What the test of these points says; points are of one corpus and task, the first one's policy is tested."""
    p = points[0]
    tests = [c for c in collapse if (c.corpus, c.task, c.policy) == (p.corpus, p.task, p.policy)]
    return tests[0].slope.sentence() if tests else "No test of this task was registered"


def _delivery_section(study: Study) -> str:
    rows = delivery_rows(study.cells)
    if not rows:
        return ""
    links: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        level = next((row[x] for x in ("distance_km", "ebn0_db") if row.get(x) is not None), row["snr_db"])
        same = tuple(row.get(name) for name in ("corpus", "axis", *_AXIS_FIELDS[2:-1]))
        links.setdefault((*same, level), []).append(row)
    telling: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for group in sorted(links.values(), key=_delivery_spread, reverse=True):
        if len(group) > 1:
            telling.setdefault((group[0]["corpus"], group[0]["axis"]), group)
    pictures = [
        figure(f"{corpus_name(corpus)}, {axis_name(axis)}", _link_words(group[0]), figures.delivery_against_sf(group))
        for (corpus, axis), group in sorted(telling.items(), key=lambda pair: (pair[0][0], _rank_axis(pair[0][1])))
    ]
    pictures += [
        figure(
            f"{corpus_name(corpus)}: where on the waterfall",
            f"Lines: theory, whole fragments; markers: frames of this study. {_sentence_case(_link_words(group[0]))}",
            figures.frames_lost_against_snr(group, payload_len),
        )
        for (corpus, axis), group in telling.items()
        if axis == "fixed_snr" and _in_theory(group[0]) and (payload_len := _payload_len(study))
    ]
    columns: list[Column] = [
        ("Corpus", "setting", lambda r: corpus_name(r["corpus"])),
        ("Held equal", "setting", lambda r: axis_name(r["axis"]).split(" at ")[0]),
        ("SF", "number", lambda r: r["sf"]),
        ("Distance / km", "setting", lambda r: r["distance_km"]),
        ("SNR / dB", "setting", lambda r: _plain(r["snr_db"])),
        ("Fading", "setting", lambda r: r["fading"] or "none"),
        ("Policy", "setting", lambda r: r["policy"]),
        ("Items", "number", lambda r: r["n"]),
        ("Delivered", "number", lambda r: r["delivered"]),
        ("Whole", "number", lambda r: r["intact"]),
        ("Fragments", "number", lambda r: r["fragments_sent"]),
        ("Lost", "number", lambda r: r["fragments_lost"]),
        ("Bytes sent", "number", lambda r: r["bytes_sent"]),
        ("Wrong or lost", "number", lambda r: r["residual_errors"]),
        ("Airtime / s", "number", lambda r: round(r["airtime_s"], 1)),
    ]
    return f'<div class="panels">{"".join(pictures)}</div>' + table("Delivery of each link", columns, rows)


def _in_theory(row: Mapping[str, Any]) -> bool:
    """Whether there is a closed form for the frames of this link."""
    return row["fading"] in (None, "none", "rayleigh") and row["policy"] == "drop" and math.isfinite(row["snr_db"])


def _payload_len(study: Study) -> int | None:
    """Bytes of a whole fragment with our header, where all cells agree on it."""
    found = {str((cell.config.get("radio") or {}).get("fragment")) for cell in study.cells if cell.config.get("sf")}
    text = found.pop() if len(found) == 1 else ""
    return int(text) + HEADER_LEN if text.isdecimal() else None


def _delivery_spread(group: Sequence[Mapping[str, Any]]) -> float:
    """How much the share of whole items differs between the spreading factors of a link."""
    shares = [row["intact"] / max(1, row["n"]) for row in group]
    return max(shares) - min(shares)


def _example_section(study: Study) -> str:
    parts = []
    examples = [(cell.config, example) for cell in study.cells for example in cell.examples]
    examples.sort(key=lambda pair: (_rank_axis(pair[0].get("axis")), pair[0].get("sf") or 0))
    first_axis = examples[0][0].get("axis") if examples else None
    seen: dict[Any, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
    for config, example in examples:
        if config.get("axis") == first_axis:
            seen.setdefault(config.get("sf"), (config, example))
    chosen = list(seen.values())[:MAX_EXAMPLES]
    # open the first one that shows damage and still has something to read
    shown = [bool(e["received"].strip("\ufffd\n ")) and e["sent"] != e["received"] for _, e in chosen]
    opened = shown.index(True) if any(shown) else 0
    for index, (config, example) in enumerate(chosen):
        sent, received, holes = example["sent"], example["received"], example.get("holes") or []
        left, right = mark_damage(sent, received, holes)
        lost, size = sum(int(end) - int(start) for start, end in holes), len(sent.encode())
        state = "arrived whole" if sent == received else f"{lost} of {size} bytes lost" if holes else "arrived damaged"
        if not received.strip("\ufffd\n "):
            right, state = '<mark class="hole">nothing arrived</mark>', "nothing arrived"
        link = f"SF{config['sf']}, " if config.get("sf") is not None else ""
        parts.append(
            f"<details{' open' if index == opened else ''}><summary>{link}{escape(state)}</summary>"
            f'<p class="note">{escape(str(example.get("program", "a program")))}; {escape(_link_words(config))}</p>'
            f'<div class="sides"><div><h3>As sent</h3><pre tabindex="0">{left}</pre></div>'
            f'<div><h3>As received</h3><pre tabindex="0">{right}</pre></div></div></details>'
        )
    if not parts:
        return ""
    return (
        '<p class="note">Struck through: bytes that did not arrive. Dashed box: the hole they left, its place known. '
        f"Wavy: characters that arrived wrong.</p>{''.join(parts)}"
    )


def _table_section(study: Study) -> str:
    columns: list[Column] = [
        ("Corpus", "setting", lambda p: corpus_name(p.corpus)),
        ("Task", "text", lambda p: p.task),
        ("Method", "text", lambda p: method_name(p.method)),
        ("Held equal", "setting", lambda p: "no link" if p.clean else axis_name(p.axis).split(" at ")[0]),
        ("SF", "number", lambda p: p.sf),
        ("Distance / km", "setting", lambda p: p.distance_km),
        ("SNR / dB", "setting", lambda p: _plain(p.snr_db)),
        ("Policy", "setting", lambda p: p.policy or ""),
        (
            "Sent",
            False,
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


def _limits_section(study: Study) -> str:
    return '<ul class="limits">' + "".join(f"<li>{escape(text)}</li>" for text in limits(study)) + "</ul>"


def _provenance_section(study: Study) -> str:
    known: dict[str, dict[str, None]] = {}
    for cell in study.cells:
        for source in (cell.provenance, cell.config):
            for name, value in _flatten(source):
                known.setdefault(name, {}).setdefault(value, None)
    rows = []
    for name, values in sorted(known.items()):
        listed = list(values)
        spelled = ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")
        rows.append(f"<tr><td>{escape(name)}</td><td>{escape(spelled)}</td></tr>")
    names = "".join(f"<li>{escape(cell.name)}</li>" for cell in study.cells)
    return (
        '<details class="provenance"><summary>Versions, seeds, hashes and hardware</summary>'
        f"<table><tbody>{''.join(rows)}</tbody></table></details>"
        f"<details><summary>The {len(study.cells)} cells</summary><ul>{names}</ul></details>"
    )


# --- pieces -----------------------------------------------------------------------------------------------------------


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
    return f"{_sentence_case(axis_name(p.axis))}; {condition_name(p)}"


def _level(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("axis", "snr_db", "distance_km", "ebn0_db"))


def _link_words(row: Mapping[str, Any]) -> str:
    rest = (row.get(name) for name in ("fading", "cr", "policy", "source_coding"))
    return ", ".join([*level_words(*_level(row)), *link_words(None, *rest)])


def _span(spreading_factors: Sequence[int]) -> str:
    """ "SF7 to SF12", or a list where some between are missing."""
    if not spreading_factors:
        return "none: no link"
    first, last = spreading_factors[0], spreading_factors[-1]
    if len(spreading_factors) > 2 and last - first == len(spreading_factors) - 1:
        return f"SF{first} to SF{last}"
    return ", ".join(f"SF{sf}" for sf in spreading_factors)


def _plain(value: float | None) -> float | int | None:
    """A whole number as one."""
    return int(value) if value is not None and math.isfinite(value) and value == int(value) else value


def _rank_axis(axis: Any) -> int:
    return AXIS_ORDER.index(axis) if axis in AXIS_ORDER else len(AXIS_ORDER)


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Leaves of nested mappings as dotted names and short texts."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flatten(inner, f"{prefix}{name}.")
        elif inner is not None:
            yield f"{prefix}{name}", str(inner)


def _template(name: str) -> str:
    return (files("llm_bridge.study") / "templates" / name).read_text(encoding="utf-8")
