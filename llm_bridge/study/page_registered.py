"""The report's section on tests: registered contrasts, collapse, and the two secondary families folded away.

What was registered and what was not is said beside each number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_bridge.scoring.statistics import Interval, benjamini_hochberg
from llm_bridge.study.contrasts import (
    METHODS,
    Contrast,
    PooledContrast,
    ProgramTest,
    method_tests,
    neighbour_tests,
    primary_contrasts,
    spell_verdict,
    texture_contrasts,
)
from llm_bridge.study.evidence import Collapse
from llm_bridge.study.html_parts import Column, small, spelled, table
from llm_bridge.study.points import Study
from llm_bridge.study.runs import seed_words
from llm_bridge.study.words import corpus_name, held_equal, method_name


def registered_section(study: Study, collapse: Sequence[Collapse]) -> str:
    """The registered tests: primary contrasts, collapse, and the two secondary families folded away."""
    parts = []
    contrasts = primary_contrasts(study)
    if contrasts:
        parts.append(
            "<h3>Does the link cost QLoRA more than full fine-tuning?</h3>"
            '<p class="note">F1 with nothing lost minus F1 at the link, QLoRA minus full; above 0 the link costs QLoRA '
            'more. p by sign flips of programs, Holm over the two tasks of an axis; "n could show": the smallest '
            "difference that so many programs show with 80 % power. "
            f"{_registered_words(contrasts)}</p>" + _contrast_table(contrasts)
        )
    untrained = [c for method in METHODS for c in primary_contrasts(study, methods=(method, "zero-shot"))]
    if untrained:
        parts.append(
            "<details><summary>Does the link cost a fine-tuned model more than the untrained one? Exploratory: "
            f"{len(untrained)} contrasts</summary>"
            '<p class="note">The same difference, fine-tuned minus zero-shot: each run of a training seed beside the '
            "untrained model on the same channel seed, on the channel seeds that both have. p corrected over this "
            f"table (Benjamini-Hochberg).</p>{_untrained_table(untrained)}</details>"
        )
    texture = texture_contrasts(study)
    if texture:
        parts.append(
            "<h3>Does the texture of the damage matter, at equal losses?</h3>"
            '<p class="note">F1 at the largest spreading factor minus F1 at the smallest one, where both lose the same '
            "share of frames, methods together. p by sign flips of programs, Holm over the two tasks. Registered "
            "before the study ran (docs/explanation/hypotheses.md).</p>" + _texture_table(texture)
        )
    if collapse:
        parts.append(
            "<h3>Does the spreading factor matter beyond the bytes it loses?</h3>"
            '<p class="note">Log-odds of a right answer for one step of SF at equal residual error rate; 0 is the '
            "collapse hypothesis. p by likelihood ratio, Holm over tasks; beside it p with SF as categories, p that "
            "allows for rows that share one damaged text (cluster-robust), and p over items that arrived damaged "
            "alone. Where several training seeds share a channel seed, p is too small: then only the robust one "
            "counts.</p>" + _collapse_table(collapse)
        )
    for title, tests in (
        ("QLoRA against full fine-tuning at each spreading factor", method_tests(study)),
        ("Neighbouring spreading factors", neighbour_tests(study)),
    ):
        if tests:
            parts.append(
                f"<details><summary>{title}: {len(tests)} tests</summary>"
                '<p class="note">Exact McNemar on programs (solved: by more than half of the runs, a run being a '
                "training seed on a channel seed), Holm within each family.</p>"
                f"{_program_test_table(title, tests)}</details>"
            )
    return "".join(parts)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _contrast_table(contrasts: Sequence[Contrast]) -> str:
    columns: list[Column] = [
        ("Corpus", "setting", lambda c: corpus_name(c.link[0].corpus)),
        ("Held equal", "setting", lambda c: held_equal(c.link[0])),
        ("SF", "setting", lambda c: c.link[0].sf),
        ("Task", "text", lambda c: c.link[0].task),
        ("Difference", "text", lambda c: _interval(c.difference)),
        ("n", "number", lambda c: c.difference.num_clusters),
        ("p", "number", lambda c: small(c.p_value)),
        ("p, Holm", "number", lambda c: small(c.p_holm)),
        ("n could show", "number", lambda c: c.smallest),
        ("Skill when clean", "text", lambda c: "yes" if c.informative else "no: says little"),
        ("Registered", "setting", lambda c: "yes" if c.registered else "no"),
    ]
    return table("Primary contrasts", columns, contrasts, cards=True)


def _untrained_table(contrasts: Sequence[Contrast]) -> str:
    corrected = benjamini_hochberg([c.p_value for c in contrasts])
    rows = list(zip(contrasts, (float(p) for p in corrected), strict=True))
    columns: list[Column] = [
        ("Corpus", "setting", lambda r: corpus_name(r[0].link[0].corpus)),
        ("Held equal", "setting", lambda r: held_equal(r[0].link[0])),
        ("SF", "setting", lambda r: r[0].link[0].sf),
        ("Task", "text", lambda r: r[0].link[0].task),
        ("Method", "text", lambda r: method_name(r[0].link[0].method)),
        ("Difference", "text", lambda r: _interval(r[0].difference)),
        ("n", "number", lambda r: r[0].difference.num_clusters),
        ("Seeds", "setting", lambda r: seed_words(*r[0].link)),
        ("p", "number", lambda r: small(r[0].p_value)),
        ("p, corrected", "number", lambda r: small(r[1])),
        ("n could show", "number", lambda r: r[0].smallest),
    ]
    return table("Fine-tuned against untrained", columns, rows, cards=True)


def _texture_table(contrasts: Sequence[PooledContrast]) -> str:
    columns: list[Column] = [
        ("Corpus", "setting", lambda c: corpus_name(c.first.corpus)),
        ("Held equal", "setting", lambda c: held_equal(c.first)),
        ("Policy", "setting", lambda c: c.first.policy),
        ("SF", "text", lambda c: f"{c.groups[0][0].sf} − {c.groups[0][1].sf}"),
        ("Task", "text", lambda c: c.first.task),
        ("Methods", "text", lambda c: ", ".join(method_name(group[0].method) for group in c.groups)),
        ("Difference", "text", lambda c: _interval(c.difference)),
        ("n", "number", lambda c: c.difference.num_clusters),
        ("Seeds", "setting", lambda c: seed_words(*c.groups[0])),
        ("p", "number", lambda c: small(c.p_value)),
        ("p, Holm", "number", lambda c: small(c.p_holm)),
        ("n could show", "number", lambda c: c.smallest),
        ("Said", "long", lambda c: spell_verdict(c.difference, c.p_holm, None, _texture_words(c))),
    ]
    return table("Texture contrasts", columns, contrasts, cards=True)


def _texture_words(c: PooledContrast) -> str:
    return f"texture matters: SF{c.groups[0][0].sf} scores {'higher' if c.difference.value > 0 else 'lower'}"


def _collapse_table(collapse: Sequence[Collapse]) -> str:
    columns: list[Column] = [
        ("Corpus", "setting", lambda c: corpus_name(c.corpus)),
        ("Policy", "setting", lambda c: c.policy),
        ("Task", "text", lambda c: c.task),
        ("Effect of one SF", "text", _effect_words),
        ("Items of programs", "text", lambda c: f"{c.slope.num_items} of {c.slope.num_programs}"),
        ("p", "number", lambda c: small(c.slope.p_value)),
        ("p, Holm", "number", lambda c: small(c.slope.p_holm)),
        ("p, categories", "number", lambda c: small(c.categories.p_value)),
        ("p, robust", "number", lambda c: small(c.robust.p_value)),
        ("p, damaged only", "number", lambda c: small(c.in_part.p_value)),
        ("n could show", "number", lambda c: c.slope.smallest),
        ("SF matters", "long", _beyond),
    ]
    return table("Collapse tests", columns, collapse, cards=True)


def _interval(d: Interval) -> Any:
    return spelled(d.value, d.low, d.high, difference=True)


def _beyond(c: Collapse) -> str | None:
    """The registered verdict; where rows that share a text may have made it, that is said."""
    if c.slope.p_holm is None:
        return None
    if c.slope.p_holm >= 0.05:
        return "no effect seen"
    return "yes" if c.robust.p_value is not None and c.robust.p_value < 0.05 else "by the registered p alone"


def _effect_words(c: Collapse) -> str:
    if c.slope.sf is None:
        return f"not estimable ({c.slope.reason or 'one SF only'})"
    return str(spelled(c.slope.sf.value, c.slope.sf.low, c.slope.sf.high))


def _program_test_table(caption: str, tests: Sequence[ProgramTest]) -> str:
    columns: list[Column] = [
        ("Corpus", "setting", lambda t: corpus_name(t.first.corpus)),
        ("Task", "text", lambda t: t.first.task),
        ("Method", "setting", lambda t: t.family),
        ("Held equal", "setting", lambda t: held_equal(t.first)),
        ("SF", "text", lambda t: f"{t.first.sf}" if t.first.sf == t.second.sf else f"{t.first.sf} − {t.second.sf}"),
        ("Difference of F1", "text", lambda t: _interval(t.difference)),
        ("Programs", "setting", lambda t: t.first.num_programs),
        ("Only the first", "number", lambda t: t.only_first),
        ("Only the second", "number", lambda t: t.only_second),
        ("p", "number", lambda t: small(t.p_value)),
        ("p, Holm", "number", lambda t: small(t.p_holm)),
        ("n could show", "number", lambda t: t.smallest),
    ]
    return table(caption, columns, tests, cards=True)


def _registered_words(contrasts: Sequence[Contrast]) -> str:
    if all(c.registered for c in contrasts):
        return "Registered before the study ran (docs/explanation/hypotheses.md)."
    return (
        "The form was registered before the study ran (docs/explanation/hypotheses.md); where the setting is another "
        "one, the line is exploratory."
    )
