"""The report as one self-contained page: the answer first, then pictures, tables, limits and provenance.

No request leaves the page (its content policy forbids them), scripts only sort tables, and everything can be reached by
keyboard. Colours never carry a meaning alone: verdicts have a word and a mark, methods a marker and a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from llm_bridge.study.curves import headline_curves, is_control
from llm_bridge.study.evidence import collapse_tests, contrast_sentences
from llm_bridge.study.findings import limits, method_sentences, sf_sentence, warning_sentence
from llm_bridge.study.page_choice import choice_section
from llm_bridge.study.page_controls import controls_section
from llm_bridge.study.page_link import delivery_section, example_section
from llm_bridge.study.page_registered import registered_section
from llm_bridge.study.page_scores import damage_section, scores_section, table_section
from llm_bridge.study.page_seeds import seeds_section
from llm_bridge.study.page_splits import splits_section
from llm_bridge.study.points import Study
from llm_bridge.study.runs import spell_runs
from llm_bridge.study.words import axis_name, condition_name, corpus_name, method_name, model_names, sentence_case

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
VERDICT_SIGN = "○"


def render_page(study: Study) -> str:
    """The whole page as HTML text."""
    collapse = collapse_tests(study)
    sections = [
        ("scores", "F1 against spreading factor", scores_section(study)),
        ("damage", "Does the model do anything with damaged text?", damage_section(study, collapse)),
        ("choice", "Which spreading factor should I use?", choice_section(study)),
        ("tests", "The tests, as registered", registered_section(study, collapse)),
        ("splits", "What if training texts cross the link too?", splits_section(study)),
        ("controls", "Controls", controls_section(study)),
        ("seeds", "Where the scatter comes from", seeds_section(study)),
        ("delivery", "What the link delivered", delivery_section(study)),
        ("program", "One program, before and after the link", example_section(study)),
        ("table", "Every score", table_section(study)),
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
            f"<h2>{escape(sentence_case(axis_name(p.axis)))}</h2>"
            f"<p{'' if index == 0 else ' class=small'}>{escape(sf_sentence(curve, model))}</p>"
            f'<p class="note">{escape(sentence_case(condition_name(p)))}.</p>'
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


def _facts(study: Study) -> str:
    points = [point for point in study.points if not is_control(point)]
    spreading_factors = sorted({p.sf for p in points if p.sf is not None})
    corpora = {p.corpus: max(q.num_programs for q in points if q.corpus == p.corpus) for p in points}
    runs = {run for p in points for run in p.runs.values()}
    facts = {
        "Model": ", ".join(model_names(study)),
        "Test programs": ", ".join(f"{corpus_name(name)} ({count})" for name, count in sorted(corpora.items())),
        "Spreading factors": _span(spreading_factors),
        "Methods": ", ".join(dict.fromkeys(method_name(p.method) for p in points)),
        "Seeds": sentence_case(spell_runs(runs)),
        "Cells": str(len(study.cells)),
    }
    return '<dl class="facts">' + "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items()
    ) + "</dl>"  # fmt: skip


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


# --- helpers ----------------------------------------------------------------------------------------------------------


def _span(spreading_factors: Sequence[int]) -> str:
    """ "SF7 to SF12", or a list where some between are missing."""
    if not spreading_factors:
        return "none: no link"
    first, last = spreading_factors[0], spreading_factors[-1]
    if len(spreading_factors) > 2 and last - first == len(spreading_factors) - 1:
        return f"SF{first} to SF{last}"
    return ", ".join(f"SF{sf}" for sf in spreading_factors)


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Leaves of nested mappings as dotted names and short texts."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flatten(inner, f"{prefix}{name}.")
        elif inner is not None:
            yield f"{prefix}{name}", str(inner)


def _template(name: str) -> str:
    return (files("llm_bridge.study") / "templates" / name).read_text(encoding="utf-8")
