"""The report's section on studies whose training texts crossed the link: F1 by what was sent, method by method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from llm_bridge.scoring.conditional_independence import format_p
from llm_bridge.study.contrasts import PooledContrast, spell_verdict, training_contrasts
from llm_bridge.study.curves import is_control
from llm_bridge.study.html_parts import Column, spelled, table
from llm_bridge.study.points import LEVELS, LINK_FIELDS, Point, Study
from llm_bridge.study.runs import seed_words
from llm_bridge.study.words import (
    CORPUS_ORDER,
    METHOD_ORDER,
    TASK_ORDER,
    corpus_name,
    held_equal,
    link_words,
    method_name,
    rank,
    spell_interval,
)

SPLITS = ("none", "train", "eval", "both")
SENT = {"none": "Nothing sent", "train": "Training texts", "eval": "Texts to judge", "both": "All texts"}
LINK = [name for name in (*LINK_FIELDS, *LEVELS) if name != "corrupted_split"]


@dataclass(frozen=True, kw_only=True)
class SplitRow:
    """One method at one link: a point for each split that was run."""

    points: dict[str, Point]

    @property
    def linked(self) -> Point:
        """Any point that crossed the link."""
        return next(p for split, p in self.points.items() if split != "none")


def split_rows(study: Study) -> list[SplitRow]:
    """Rows of every link that training texts crossed, in the order corpus, task, link, method."""
    points = [p for p in study.points if p.f1 is not None and not is_control(p) and p.task in TASK_ORDER]
    clean = {(p.corpus, p.task, p.method): p for p in points if p.clean}
    rows: dict[tuple[Any, ...], dict[str, Point]] = {}
    for p in (p for p in points if not p.clean):
        rows.setdefault((p.corpus, p.task, p.method, *(getattr(p, name) for name in LINK)), {})[p.corrupted_split] = p
    found = []
    for key, by_split in rows.items():
        if {"train", "both"} & set(by_split):
            none = clean.get(key[:3])
            found.append(SplitRow(points={**({"none": none} if none else {}), **by_split}))
    return sorted(found, key=_order)


def splits_section(study: Study) -> str:
    """F1 by what crossed the link, with the contrast of what clean training texts are worth to both methods."""
    rows = split_rows(study)
    if not rows:
        return ""
    columns: list[Column] = [
        ("Corpus", "setting", lambda r: corpus_name(r.linked.corpus)),
        ("Task", "text", lambda r: r.linked.task),
        ("Link", "setting", lambda r: ", ".join(link_words(r.linked))),
        ("SF", "number", lambda r: r.linked.sf),
        ("Method", "text", lambda r: method_name(r.linked.method)),
        *((SENT[split], "text", _reader(split)) for split in SPLITS),
        ("Training texts that arrived", "number", _train_delivered),
        ("n", "number", lambda r: r.linked.num_programs),
    ]
    said = "".join(f"<li>{escape(training_sentence(c))}</li>" for c in training_contrasts(study))
    return (
        '<p class="note">F1 with 95 % intervals, by what crossed the link: nothing, training texts, the texts to '
        "judge, or both. Under training texts, the texts to judge are clean.</p>"
        + table("F1 by what crossed the link", columns, rows, cards=True)
        + (f'<ul class="limits">{said}</ul>' if said else "")
    )


def training_sentence(contrast: PooledContrast) -> str:
    """What may be said about [F1(none) - F1(train)] of one method minus that of the other."""
    clean_a, train_a, _, train_b = contrast.groups[0]
    names = [method_name(p.method) for p in (train_a, train_b)]
    lost = [_mean_loss([(group[i], group[i + 1]) for group in contrast.groups]) for i in (0, 2)]
    d = contrast.difference
    factors = ", ".join(f"SF{group[1].sf}" for group in contrast.groups)
    direction = f"damaged training texts cost {names[0]} {'more' if d.value > 0 else 'less'}"
    said = spell_verdict(d, contrast.p_holm, contrast.smallest, direction)
    return (
        f"From clean training texts to those that crossed the link ({held_equal(train_a)}, {factors}), F1 in "
        f"{clean_a.task} falls by {lost[0]:.2f} for {names[0]} and by {lost[1]:.2f} for {names[1]} (difference "
        f"{spell_interval(d)}, {format_p(contrast.p_holm)} after Holm, {corpus_name(clean_a.corpus)}, "
        f"n = {d.num_clusters} programs, {seed_words(train_a, train_b)}): {said}."
    )


# --- helpers ----------------------------------------------------------------------------------------------------------


def _reader(split: str) -> Any:
    def read(row: SplitRow) -> Any:
        p = row.points.get(split)
        return None if p is None else spelled(p.f1, p.low, p.high)

    return read


def _train_delivered(row: SplitRow) -> float | None:
    """Share of the training texts that arrived, at the points that were trained on them."""
    return next((p.train_delivered for s, p in row.points.items() if s in ("train", "both")), None)


def _mean_loss(pairs: Sequence[tuple[Point, Point]]) -> float:
    return sum((clean.f1 or 0.0) - (sent.f1 or 0.0) for clean, sent in pairs) / len(pairs) + 0.0


def _order(row: SplitRow) -> tuple[Any, ...]:
    p = row.linked
    return (
        rank(CORPUS_ORDER, p.corpus),
        rank(TASK_ORDER, p.task),
        str(p.axis),
        str(p.level),
        p.sf or 0,
        rank(METHOD_ORDER, p.method),
        p.method,
    )
