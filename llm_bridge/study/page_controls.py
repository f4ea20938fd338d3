"""The report's tables of controls, one for each corpus; what a corpus lacks is listed below its table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from llm_bridge.study.controls import Control, controls
from llm_bridge.study.html_parts import Column, Html, spelled, table
from llm_bridge.study.points import Study
from llm_bridge.study.words import corpus_name, count_words


def controls_section(study: Study) -> str:
    """A table for each corpus, the first one open, and one for what concerns all of them."""
    by_corpus: dict[str, list[Control]] = {}
    for control in controls(study):
        by_corpus.setdefault(control.corpus, []).append(control)
    parts = [
        _corpus_part(corpus, found, opened=index == 0)
        for index, (corpus, found) in enumerate(by_corpus.items())
        if any(control.ran for control in found)
    ]
    if not parts:
        return ""
    note = "F1 with 95 % intervals; values with a sign are differences of F1, paired by program."
    return f'<p class="note">{note} "no" is as much a finding as "yes".</p>{"".join(parts)}'


def _corpus_part(corpus: str, found: Sequence[Control], *, opened: bool) -> str:
    ran = [control for control in found if control.ran]
    missing = dict.fromkeys(control.name for control in found if not control.ran)
    title = corpus_name(corpus) if corpus else "All corpora"
    odd = sum(control.holds is False for control in ran)
    summary = f"{title}: {count_words(len(ran), 'control')}, {odd or 'none'} not as they should be"
    absent = f"<p>Not in this study: {escape(', '.join(missing))}.</p>" if missing else ""
    columns: list[Column] = [
        ("Control", "long", lambda c: c.name),
        ("Task", "text", lambda c: c.task),
        ("Where", "long", lambda c: c.where),
        ("Value", "text", lambda c: spelled(c.value, c.low, c.high, difference=c.difference)),
        ("n", "setting", lambda c: c.n),
        ("Should be", "long", lambda c: c.should_be),
        ("Is it?", "text", _holds),
        ("Note", "long", lambda c: c.note),
    ]
    return (
        f"<details{' open' if opened else ''}><summary>{escape(summary)}</summary>"
        f"{table(f'Controls, {title}', columns, ran, cards=True)}{absent}</details>"
    )


def _holds(c: Control) -> Any:
    word, key, mark = {True: ("yes", "above", "▲"), False: ("no", "below", "▼"), None: ("for information", "", "")}[
        c.holds
    ]
    html = Html(f'<span class="verdict {key}">{mark} {word}</span>' if key else word)
    html.sort_value = word
    return html
