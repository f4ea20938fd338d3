"""The report's tests and controls, as tables: registered contrasts, collapse, seeds, controls, and which SF to use.

Functions from a study to HTML text. What was registered and what was not is said beside each number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from llm_bridge.scoring.collapse import CollapseFit, collapse_family, fit_collapse, spell_p
from llm_bridge.scoring.variance import Component, crossed_table, variance_components
from llm_bridge.study import figures
from llm_bridge.study.contrasts import (
    TASKS,
    Contrast,
    ProgramTest,
    method_tests,
    neighbour_tests,
    primary_contrasts,
)
from llm_bridge.study.controls import FINE_TUNED, Control, controls
from llm_bridge.study.findings import (
    CORPUS_ORDER,
    axis_name,
    corpus_name,
    curve_order,
    curves,
    is_control,
    level_words,
    method_name,
    spell_interval,
)
from llm_bridge.study.html_parts import Column, Html, figure, table
from llm_bridge.study.planning import Plan, make_plan, measured_choice
from llm_bridge.study.points import Point, Study


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """The collapse test of one corpus, policy and task, and its two further looks."""

    corpus: str
    policy: str
    task: str
    slope: CollapseFit
    categories: CollapseFit
    in_part: CollapseFit


def collapse_tests(study: Study) -> list[Collapse]:
    """One test for each corpus, policy and task, over all links and fine-tuned methods; over all models without any."""
    seeds = {cell.name: cell.config.get("train_seed") for cell in study.cells}
    families: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    linked = [p for p in study.points if p.sf and p.task in TASKS and p.corrupted_split == "eval" and not is_control(p)]
    trained = any(p.method in FINE_TUNED for p in linked)
    for p in linked:
        if p.method == "rules" or (trained and p.method not in FINE_TUNED):
            continue
        rows = families.setdefault((p.corpus, str(p.policy)), {}).setdefault(p.task, [])
        rows += [
            {**row, "method": p.method, "sf": p.sf, "train_seed": seeds.get(row["cell"])}
            for row in p.items
            if row.get("bytes_sent")
        ]
    found = []
    for (corpus, policy), by_task in families.items():
        fits = collapse_family(by_task)
        for task, rows in by_task.items():
            part = [row for row in rows if row["delivered"] and not row["intact"]]
            found.append(
                Collapse(
                    corpus=corpus,
                    policy=policy,
                    task=task,
                    slope=fits[task],
                    categories=fit_collapse(rows, sf_terms="categories"),
                    in_part=fit_collapse(part),
                )
            )
    return sorted(found, key=lambda c: (_rank(c.corpus), c.policy, c.task))


def contrast_sentences(study: Study) -> dict[Any, dict[str, str]]:
    """Sentences of the primary contrasts of the first corpus, by axis and task."""
    found = primary_contrasts(study)
    first = min((c.link[0].corpus for c in found), key=_rank, default=None)
    said: dict[Any, dict[str, str]] = {}
    for contrast in found:
        p = contrast.link[0]
        if p.corpus == first:
            said.setdefault(p.axis, {})[p.task] = contrast.sentence()
    return said


def tests_section(study: Study, collapse: Sequence[Collapse]) -> str:
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
    if collapse:
        parts.append(
            "<h3>Does the spreading factor matter beyond the bytes it loses?</h3>"
            '<p class="note">Log-odds of a right answer for one step of SF at equal residual error rate; 0 is the '
            "collapse hypothesis. p by likelihood ratio, Holm over tasks; beside it p with SF as categories, and p "
            "over items that arrived damaged alone.</p>" + _collapse_table(collapse)
        )
    for title, tests in (
        ("QLoRA against full fine-tuning at each spreading factor", method_tests(study)),
        ("Neighbouring spreading factors", neighbour_tests(study)),
    ):
        if tests:
            parts.append(
                f"<details><summary>{title}: {len(tests)} tests</summary>"
                '<p class="note">Exact McNemar on programs (solved: by more than half of its seeds), Holm within each '
                f"family.</p>{_program_test_table(title, tests)}</details>"
            )
    return "".join(parts)


def controls_section(study: Study) -> str:
    """The table of controls; what was not run is listed below it."""
    found = controls(study)
    ran = [c for c in found if c.ran]
    if not ran:
        return ""
    columns: list[Column] = [
        ("Control", "text", lambda c: c.name),
        ("Corpus", "setting", lambda c: corpus_name(c.corpus)),
        ("Task", "text", lambda c: c.task),
        ("Where", "long", lambda c: c.where),
        ("Value", "number", lambda c: _signed(c.value, c.difference)),
        ("95 % interval", "text", _bounds),
        ("n", "number", lambda c: c.n),
        ("Should be", "long", lambda c: c.should_be),
        ("Is it?", "text", _holds),
        ("Note", "long", lambda c: c.note),
    ]
    missing = list(dict.fromkeys(c.name for c in found if not c.ran))
    absent = f"<p>Not in this study: {escape(', '.join(missing))}.</p>" if missing else ""
    return (
        '<p class="note">Values with a sign are differences of F1, paired by program. "no" is as much a finding as '
        f'"yes".</p>{table("Controls", columns, ran)}{absent}'
    )


def choice_section(study: Study) -> str:
    """Which spreading factor to use at a distance and a duty cycle: interpolated, and as measured where it was run."""
    parts = []
    plan = make_plan(study)
    if plan is not None:
        p = plan.curve.first
        title = f"Best spreading factor for {method_name(p.method)}, {corpus_name(p.corpus)}, {p.task}"
        where = f"Computed by interpolation, not measured. One program every {plan.period_s / 60:.3g} minutes"
        parts.append(f'<div class="panels">{figure(title, where, figures.best_sf_map(plan.advice))}</div>')
        parts.append(f'<p class="note">{escape(_plan_words(plan))}</p>')
    measured = measured_choice(study)
    if measured:
        columns: list[Column] = [
            ("Held equal", "text", lambda r: _axis(r[0].first)),
            ("Best", "text", lambda r: f"SF{r[1].sf}"),
            ("F1", "number", lambda r: r[1].f1),
            ("95 % interval", "text", lambda r: f"{r[1].low:.2f} to {r[1].high:.2f}"),
            ("n", "number", lambda r: r[1].num_programs),
            ("Not distinguishable from it", "text", lambda r: ", ".join(f"SF{p.sf}" for p in r[2]) or "none"),
        ]
        lead = measured[0][0].first
        parts.append(
            f"<h3>As measured: {escape(method_name(lead.method))}, {escape(corpus_name(lead.corpus))}, "
            f"{escape(lead.task)}</h3>" + table("Best spreading factor as measured", columns, measured)
        )
    return "".join(parts)


def seeds_section(study: Study) -> str:
    """Where the scatter comes from, for every curve that is shown first and has more than one seed."""
    rows = [
        (corpus, task, method, part)
        for (corpus, task, method), parts in seed_components(study).items()
        for part in parts
    ]
    if not rows:
        return ""
    columns: list[Column] = [
        ("Corpus", "setting", lambda r: corpus_name(r[0])),
        ("Task", "text", lambda r: r[1]),
        ("Method", "text", lambda r: method_name(r[2])),
        ("Source", "text", lambda r: r[3].name.replace(" x ", " × ")),
        ("Share of variance", "number", lambda r: round(r[3].share, 3)),
        ("Draws", "number", lambda r: r[3].draws),
        ("SD of F1", "number", lambda r: _small(r[3].score_sd)),
    ]
    return (
        '<p class="note">Analysis of variance of right and wrong over programs, training seeds and channel seeds, mean '
        "over the spreading factors of the curve shown first. Share of variance: of a single decision; SD of F1: what "
        "this source alone would scatter F1 by. Intervals in this report cover the programs; what the "
        'seeds add is the line "training seed".</p>' + table("Where the scatter comes from", columns, rows)
    )


def seed_components(study: Study) -> dict[tuple[str, str, str], list[Component]]:
    """Variance components by corpus, task and method, averaged over the points of the curve that is shown first."""
    seeds = {cell.name: (cell.config.get("train_seed"), cell.config.get("channel_seed")) for cell in study.cells}
    first: dict[tuple[str, str, str], list[list[Component]]] = {}
    for curve in sorted(curves(study.points), key=curve_order):
        p = curve.first
        key = (p.corpus, p.task, p.method)
        if key in first or p.task not in TASKS or is_control(p) or p.method == "rules":
            continue
        tables = [_decisions(point, seeds) for point in curve.points]
        found = [variance_components(t) for t in tables if t is not None and t.shape[0] > 1 and max(t.shape[1:]) > 1]
        if found and len({len(parts) for parts in found}) == 1:
            first[key] = found
    return {key: _average(found) for key, found in first.items()}


# --- helpers ----------------------------------------------------------------------------------------------------------


def _contrast_table(contrasts: Sequence[Contrast]) -> str:
    columns: list[Column] = [
        ("Corpus", "setting", lambda c: corpus_name(c.link[0].corpus)),
        ("Held equal", "long", lambda c: _axis(c.link[0])),
        ("SF", "number", lambda c: c.link[0].sf),
        ("Task", "text", lambda c: c.link[0].task),
        ("Difference", "number", lambda c: _signed(c.difference.value, True)),
        ("95 % interval", "text", lambda c: _span(c.difference.low, c.difference.high)),
        ("n", "number", lambda c: c.difference.num_clusters),
        ("p", "number", lambda c: _small(c.p_value)),
        ("p, Holm", "number", lambda c: _small(c.p_holm)),
        ("n could show", "number", lambda c: c.smallest),
        ("Skill when clean", "text", lambda c: "yes" if c.informative else "no: says little"),
        ("Registered", "text", lambda c: "yes" if c.registered else "no"),
    ]
    return table("Primary contrasts", columns, contrasts)


def _collapse_table(collapse: Sequence[Collapse]) -> str:
    columns: list[Column] = [
        ("Corpus", "setting", lambda c: corpus_name(c.corpus)),
        ("Policy", "setting", lambda c: c.policy),
        ("Task", "text", lambda c: c.task),
        ("Effect of one SF", "text", _effect_words),
        ("Programs", "number", lambda c: c.slope.num_programs),
        ("Items", "number", lambda c: c.slope.num_items),
        ("p", "number", lambda c: _small(c.slope.p_value)),
        ("p, Holm", "number", lambda c: _small(c.slope.p_holm)),
        ("p, categories", "number", lambda c: _small(c.categories.p_value)),
        ("p, damaged only", "number", lambda c: _small(c.in_part.p_value)),
        ("n could show", "number", lambda c: c.slope.smallest),
        ("SF matters beyond", "text", _beyond),
    ]
    return table("Collapse tests", columns, collapse)


def _beyond(c: Collapse) -> str | None:
    return None if c.slope.p_holm is None else "yes" if c.slope.p_holm < 0.05 else "no effect seen"


def _axis(p: Point) -> str:
    """What is held equal, and at which level."""
    level = level_words(p.axis, p.snr_db, p.distance_km, p.ebn0_db)
    return ", ".join([axis_name(p.axis).split(" at ")[0], *level])


def _effect_words(c: Collapse) -> str:
    if c.slope.sf is None:
        return f"not estimable ({c.slope.reason or 'one SF only'})"
    return f"{_number(c.slope.sf.value)} [{_number(c.slope.sf.low)}, {_number(c.slope.sf.high)}]"


def _program_test_table(caption: str, tests: Sequence[ProgramTest]) -> str:
    columns: list[Column] = [
        ("Family", "long", lambda t: f"{corpus_name(t.first.corpus)}, {t.first.task}, {t.family}"),
        ("Held equal", "text", lambda t: _axis(t.first)),
        ("SF", "text", lambda t: f"{t.first.sf}" if t.first.sf == t.second.sf else f"{t.first.sf} − {t.second.sf}"),
        ("Difference of F1", "text", lambda t: spell_interval(t.difference).replace("-", "−")),
        ("Programs", "number", lambda t: t.first.num_programs),
        ("Only the first", "number", lambda t: t.only_first),
        ("Only the second", "number", lambda t: t.only_second),
        ("p", "number", lambda t: _small(t.p_value)),
        ("p, Holm", "number", lambda t: _small(t.p_holm)),
        ("n could show", "number", lambda t: t.smallest),
    ]
    return table(caption, columns, tests)


def _registered_words(contrasts: Sequence[Contrast]) -> str:
    if all(c.registered for c in contrasts):
        return "Registered before the study ran (docs/explanation/hypotheses.md)."
    return (
        "The form was registered before the study ran (docs/explanation/hypotheses.md); where the setting is another "
        "one, the line is exploratory."
    )


def _plan_words(plan: Plan) -> str:
    radio = plan.radio
    fading = "Rayleigh fading" if plan.fading == "rayleigh" else "no fading"
    said = (
        f"Each program is {plan.text_frames:.1f} frames of {plan.payload_len} bytes, repeated as long as the "
        f"duty cycle allows; {radio['tx_power_dbm']:g} dBm in {radio['region']}, path loss exponent "
        f"{radio['path_loss_exponent']:g}, noise figure {radio['noise_figure_db']:g} dB, {fading}, shadowing "
        f"{radio['shadowing_db']:g} dB. Frame loss is theory; F1 is read off this study's own points against the share "
        "lost, and taken not to depend on SF otherwise. "
    )
    if plan.num_checked:
        said += (
            f"Checked on the {plan.num_checked} links of the airtime axis that were run: off by {plan.mean_gap:.2f} of "
            f"F1 on average, {plan.worst_gap:.2f} at most."
        )
    else:
        said += "No link of the airtime axis was run to check it."
    return said + " A dash: no spreading factor gets F1 above 0.01."


def _decisions(point: Point, seeds: Mapping[str, tuple[Any, Any]]) -> Any:
    known = {
        (str(row["program"]), *seeds.get(row["cell"], (None, None))): float(
            bool(row["delivered"]) and bool(row["correct"])
        )
        for row in point.items
    }
    return crossed_table(known) if known else None


def _average(found: Sequence[Sequence[Component]]) -> list[Component]:
    """Components averaged over points; shares of the averaged variances."""
    variances = [sum(parts[i].variance for parts in found) / len(found) for i in range(len(found[0]))]
    total = sum(variances)
    return [
        Component(
            name=part.name,
            variance=variance,
            share=variance / total if total else 0.0,
            score_sd=(variance / part.draws) ** 0.5,
            draws=part.draws,
        )
        for part, variance in zip(found[0], variances, strict=True)
    ]


def _bounds(c: Control) -> str | None:
    return None if c.low is None or c.high is None else _span(c.low, c.high)


def _span(low: float, high: float) -> str:
    return f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    """Two decimals with a true minus, and without a negative zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _holds(c: Control) -> Any:
    word, key, mark = {True: ("yes", "above", "▲"), False: ("no", "below", "▼"), None: ("for information", "", "")}[
        c.holds
    ]
    html = Html(f'<span class="verdict {key}">{mark} {word}</span>' if key else word)
    html.sort_value = word
    return html


def _signed(value: float | None, difference: bool) -> Any:
    if value is None or not difference:
        return value
    html = Html(f"{round(value, 2) + 0.0:+.2f}".replace("-", "−"))
    html.sort_value = repr(value)
    return html


def _small(value: float | None) -> Any:
    """A p value or a small spread: three decimals."""
    if value is None:
        return None
    html = Html("&lt; 0.001" if 0 < value < 0.0005 else f"{value:.3f}")
    html.sort_value = repr(value)
    return html


def _rank(corpus: str) -> int:
    return CORPUS_ORDER.index(corpus) if corpus in CORPUS_ORDER else len(CORPUS_ORDER)


__all__ = [
    "Collapse",
    "choice_section",
    "collapse_tests",
    "contrast_sentences",
    "controls_section",
    "seed_components",
    "seeds_section",
    "spell_p",
    "tests_section",
]
