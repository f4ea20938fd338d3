"""The report as one self-contained page: the answer first, then pictures, tables, limits and provenance.

    Study  ->  [Section, …] (figures, tables, sentences)  ->  templates/report.html.jinja

No request leaves the page (its content policy forbids them), scripts only sort tables, and everything can be reached by
keyboard. Everything that comes from a file is escaped by the template. Colours never carry a meaning alone: verdicts
have a word and a mark, methods a marker and a line.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from llm_bridge.link import Link
from llm_bridge.report import curves, figures, tables, tests
from llm_bridge.report import language as say
from llm_bridge.report.controls import Control, controls
from llm_bridge.report.planning import make_plan, measured_choice
from llm_bridge.report.results import AXIS_ORDER, CORPUS_ORDER, Curve, Point, Study, delivery, rank
from llm_bridge.transport.packets import HEADER_LEN

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
MAX_EXAMPLES = 6
WARNING_SIGN = "○"
SEEDS_TOO = (
    '"Over seeds too": the interval for other programs and other training seeds, whose p counts where several seeds '
    "were run; else p is that of sign flips of programs."
)
HYPOTHESES = "docs/explanation/hypotheses.md"


Part = dict[str, Any]
"""What the template shows of one thing (`templates/parts.html.jinja` has the fields): a part of a section, a figure, a
line of the answer, a program as sent and received."""


class Piece(NamedTuple):
    """Some characters of a text, and how they are marked: "lost", "hole", "changed", or not."""

    text: str
    mark: str = ""


def render_page(study: Study) -> str:
    """The whole page of a study as HTML text."""
    found = tests.independence_tests(study)
    primary = tests.primary_contrasts(study)
    texture = tests.texture_contrasts(study)
    sections = [
        ("scores", "F1 against spreading factor", list(score_parts(study))),
        ("damage", "Does the model do anything with damaged text?", list(damage_parts(study, found))),
        ("choice", "Which spreading factor should I use?", list(choice_parts(study))),
        ("tests", "The tests, as registered", list(test_parts(study, primary, texture, found))),
        ("splits", "What if training texts cross the link too?", list(split_parts(study))),
        ("learning", "What training taught", list(learning_parts(study))),
        ("controls", "Controls", list(control_parts(study))),
        ("seeds", "Where the scatter comes from", list(seed_parts(study))),
        ("delivery", "What the link delivered", list(delivery_parts(study))),
        ("program", "One program, before and after the link", list(example_parts(study))),
        ("table", "Every score", [_every_score(study)]),
        ("limits", "What this cannot show", [Part(sentences=say.limits(study))]),
        ("provenance", "Where the numbers come from", list(provenance_parts(study))),
    ]
    return render(
        title="F1 against spreading factor",
        kicker="chirpbridge study report",
        heading="How does the spreading factor of a LoRa radio link change what a language model makes of programs "
        "sent over it?",
        answer=list(answer(study, primary, texture)),
        facts=_facts(study),
        sections=[section for section in sections if section[2]],
        footer="Intervals are 95 % bootstrap intervals over programs (BCa; exact where all programs agree); beside "
        "them, where several training seeds were run, intervals over programs and training seeds (crossed, "
        "Satterthwaite): what is said of a method holds by both. The baseline is the larger of chance and the best "
        "rule that reads nothing. An item that did not arrive counts as a miss. results.csv, scores.csv and "
        "items.jsonl beside this page hold every number and every decision.",
    )


def render(**context: object) -> str:
    """The page's template filled in; `context` holds its variables."""
    texts = {name: (TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "report.js")}
    template = environment().get_template("report.html.jinja")
    return template.render(policy=POLICY, css=texts["report.css"], script=texts["report.js"], **context)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates, everything escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


# --- the answer -------------------------------------------------------------------------------------------------------


def answer(study: Study, primary: Sequence[tests.Contrast], texture: Sequence[tests.Contrast]) -> Iterator[Part]:
    """Answer of the study, axis by axis, and adapters against full fine-tuning."""
    models = say.model_names(study)
    for text in study.failures:
        yield Part(text=f"{WARNING_SIGN} {text}", style="small warning")
    if any(name.startswith("toy") for name in models):
        text = "A model with random weights: these numbers test the path and say nothing about language models."
        yield Part(text=f"{WARNING_SIGN} {text}", style="small warning")
    registered = [(c, say.primary_sentence(c)) for c in primary] + [(c, say.texture_sentence(c)) for c in texture]
    first = min((c.first.corpus for c, _ in registered), key=lambda name: rank(CORPUS_ORDER, name), default=None)
    headlines = curves.headline_curves(study)
    last = {curve.first.axis: curve for curve in headlines}
    titles: set[str | None] = set()
    for index, curve in enumerate(headlines):
        p = curve.first
        title = "" if p.axis in titles else say.sentence_case(say.axis_name(p.axis))
        titles.add(p.axis)
        yield Part(text=say.sf_sentence(curve, " and ".join(models)), title=title, style="small" if index else "")
        yield Part(text=f"{say.sentence_case(say.condition_name(p))}.", style="note")
        warning = say.warning_sentence(curve)
        if warning:
            yield Part(text=f"{WARNING_SIGN} {warning}", style="small warning")
        said = [(c.first.task, text) for c, text in registered if (c.first.corpus, c.first.axis) == (first, p.axis)]
        chosen = next((text for task, text in said if task == p.task), said[0][1] if said else "")
        if chosen and curve is last[p.axis]:
            yield Part(text=chosen)
    if not headlines:
        text = "This study holds fewer than two spreading factors of one link: it cannot say how F1 goes with SF."
        yield Part(text=text, title="Spreading factor", style="")
    shown = False
    for methods in curves.compared_methods(study):
        comparisons = tests.method_comparisons(study, methods=methods)
        names = " against ".join(say.method_name(method) for method in methods)
        title = f"{names}{' fine-tuning' if methods[1] == 'full' else ''}, all spreading factors together"
        for text in say.method_sentences(comparisons[0]) if comparisons else ():
            yield Part(text=text, title=title)
            title, shown = "", True
    if not shown:
        title = "QLoRA against full fine-tuning, all spreading factors together"
        yield Part(text="Not compared: this study does not hold both methods over the same link.", title=title)
    title = "Training texts over the link too"
    for contrast in tests.training_contrasts(study):
        if contrast.first.corpus == first or first is None:
            yield Part(text=say.training_sentence(contrast), title=title)
            title = ""


def _facts(study: Study) -> list[tuple[str, str]]:
    points = [point for point in study.points if not curves.is_control(point)]
    corpora = {p.corpus: max(q.num_programs for q in points if q.corpus == p.corpus) for p in points}
    return [
        ("Model", ", ".join(say.model_names(study))),
        ("Test programs", ", ".join(f"{say.corpus_name(name)} ({count})" for name, count in sorted(corpora.items()))),
        ("Spreading factors", say.sf_span(sorted({p.sf for p in points if p.sf is not None}))),
        ("Methods", ", ".join(dict.fromkeys(say.method_name(p.method) for p in points))),
        *([("Known beside what arrived", known)] if (known := say.context_words(study)) else []),
        *([("Numbers trained", trained)] if (trained := say.trained_words(study)) else []),
        (
            "Seeds",
            say.sentence_case(say.format_runs(sorted({run for p in points for run in p.runs.values()}, key=str))),
        ),
        ("Cells", str(len(study.cells))),
    ]


# --- sections ---------------------------------------------------------------------------------------------------------


def score_parts(study: Study) -> Iterator[Part]:
    """F1 against spreading factor and SNR, the most telling condition of each axis first, the others folded away."""
    styles = figures.method_styles(curves.methods_of(study))
    shown: dict[tuple[object, ...], Part] = {}
    more = []
    for panel in curves.panels(study):
        p = panel[0].first
        title = f"{say.corpus_name(p.corpus)}, {p.task}: {say.TASK_QUESTIONS.get(p.task, '')}"
        drawn = Part(title=title, where=_where(p), svg=figures.f1_against_sf(panel, styles))
        if (p.corpus, p.task, p.axis) in shown:
            more.append(drawn)
        else:
            shown[p.corpus, p.task, p.axis] = drawn
    if not shown:
        return
    yield Part(
        note="Bars are 95 % intervals. Filled markers lie above the baseline with their whole interval, hollow ones do "
        "not, a cross means that nothing arrived. The column on the right, and the dotted lines, are the same model on "
        "texts of which nothing was lost.",
        figures=list(shown.values()),
    )
    waterfalls = _snr_figures(study)
    if waterfalls:
        yield Part(figures=waterfalls)
    if more:
        yield Part(summary=f"{len(more)} more conditions of the link", figures=more)


def damage_parts(study: Study, found: Sequence[tests.IndependenceTest]) -> Iterator[Part]:
    """F1 against the share intact and against residual errors, one pair of figures for each corpus and task."""
    styles = figures.method_styles(curves.methods_of(study))
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in (curve for panel in curves.panels(study) for curve in panel):
        if curve.first.corrupted_split in ("eval", "both"):
            groups.setdefault((curve.first.corpus, curve.first.task), []).append(curve)
    drawn = []
    for (corpus, task), drawn_curves in groups.items():
        points = [p for curve in drawn_curves for p in curve.points]
        clean = [curve.clean for curve in drawn_curves if curve.clean]
        head, lead = f"{say.corpus_name(corpus)}, {task}", points[0]
        first = [p for p in points if p.condition == lead.condition]
        tested = [p for p in points if p.policy == lead.policy and p.method == lead.method]
        svg = figures.f1_against_intact(first, clean, styles)
        drawn.append(Part(title=f"{head}: what arrived whole", where=_where(lead), svg=svg))
        if any(p.byte_error_rate is not None for p in tested):
            mine = [t.slope for t in found if (t.corpus, t.task, t.policy) == (corpus, task, lead.policy)]
            said = say.independence_sentence(mine[0]) if mine else "No test of this task was registered"
            title = f"{head}, {say.method_name(lead.method)}: residual errors"
            drawn.append(Part(title=title, where=said, svg=figures.f1_against_errors(tested)))
    if drawn:
        yield Part(
            note="A slanted line is a receiver that uses only what arrived whole: F1 on clean texts, times the share "
            "that arrived whole. Points above it: the model gets something out of damaged text. Points on it: it does "
            "not. Against residual errors, points of all spreading factors on one curve mean that SF acts through "
            "those errors alone; the sentence above each figure tests that.",
            figures=drawn,
        )


def choice_parts(study: Study) -> Iterator[Part]:
    """Which spreading factor to use at a distance and a duty cycle: interpolated, and as measured where it was run."""
    plan = make_plan(study)
    if plan is not None:
        p = plan.curve.first
        title = f"Best spreading factor for {say.method_name(p.method)}, {say.corpus_name(p.corpus)}, {p.task}"
        minutes = f"{plan.period_s / 60:.3g}"
        where = f"Computed by interpolation, not measured. One program every {minutes} minutes"
        yield Part(figures=[Part(title=title, where=where, svg=figures.best_sf_map(plan.advice))])
        yield Part(note=say.plan_words(plan))
    measured = measured_choice(study)
    if measured:
        lead = measured[0][0].first
        title = f"As measured: {say.method_name(lead.method)}, {say.corpus_name(lead.corpus)}, {lead.task}"
        yield Part(title=title, table=tables.choice_table(measured))


def test_parts(
    study: Study,
    primary: Sequence[tests.Contrast],
    texture: Sequence[tests.Contrast],
    found: Sequence[tests.IndependenceTest],
) -> Iterator[Part]:
    """The registered tests, conditional independence, and the secondary families folded away."""
    if primary:
        yield Part(
            title="Does the link cost QLoRA more than full fine-tuning?",
            note="F1 with nothing lost minus F1 over the link, mean over its spreading factors, QLoRA minus full; "
            f"above 0 the link costs QLoRA more. {SEEDS_TOO} Holm over the two tasks of an axis; "
            f'"n could show": the smallest '
            f"difference that is shown with 80 % power. {_registered_words(primary)} {_margin_words(primary)}",
            table=tables.contrast_table("Primary contrasts", primary),
        )
    for methods in curves.compared_methods(study):
        contrasts = tests.primary_contrasts(study, methods=methods) if methods != tests.METHODS else []
        if contrasts:
            names = [say.method_name(method) for method in methods]
            yield Part(
                summary=f"Does the link cost {names[0]} more than {names[1]}? Exploratory: {len(contrasts)} contrasts",
                note=f"The same difference, {names[0]} minus {names[1]}. Holm over the two tasks of an axis.",
                table=tables.contrast_table(f"{names[0]} against {names[1]}", contrasts),
            )
    untrained = tests.untrained_contrasts(study)
    if untrained:
        yield Part(
            summary="Does the link cost a fine-tuned model more than the untrained one? Exploratory: "
            f"{len(untrained)} contrasts",
            note="The same difference, fine-tuned minus zero-shot: each run of a training seed beside the untrained "
            "model on the same channel seed, on the channel seeds that both have. p corrected over this table "
            "(Benjamini-Hochberg).",
            table=tables.contrast_table("Fine-tuned against untrained", untrained, corrected="p, corrected"),
        )
    if texture:
        yield Part(
            title="Does the texture of the damage matter, at equal losses?",
            note="F1 at the largest spreading factor minus F1 at the smallest one, where both lose the same share of "
            f"frames, methods together. {SEEDS_TOO} Holm over the two tasks. Registered before the study ran "
            f"({HYPOTHESES}).",
            table=tables.contrast_table("Texture contrasts", texture, texture=True),
        )
    if found:
        yield Part(
            title="Does the spreading factor matter beyond the bytes it loses?",
            note="Log-odds of a right answer for one step of SF at equal residual error rate; 0: given the error rate, "
            "the answer is independent of SF. p by likelihood ratio, Holm over tasks; beside it p with SF as "
            "categories, p that allows for rows that share one damaged text (cluster-robust), and p over items that "
            "arrived damaged alone. Where several training seeds share a channel seed, p is too small: then only the "
            "robust one counts.",
            table=tables.independence_table(found),
        )
    families = {
        f"{' against '.join(map(say.method_name, methods))} at each spreading factor": tests.method_tests(
            study, methods=methods
        )
        for methods in curves.compared_methods(study)
    }
    families["Neighbouring spreading factors"] = tests.neighbour_tests(study)
    for title, family in families.items():
        if family:
            yield Part(
                summary=f"{title}: {len(family)} tests",
                note="Exact McNemar on programs (solved: by more than half of the runs, a run being a training seed on "
                "a channel seed), Holm within each family.",
                table=tables.program_test_table(title, family),
            )


def learning_parts(study: Study) -> Iterator[Part]:
    """Training loss over steps, a line for each method, and another where training texts crossed the link."""
    losses = curves.training_losses(study)
    if losses:
        yield Part(
            note=f"The loss that each method was trained with, running mean of {figures.LOSS_WINDOW} steps, mean over "
            "training seeds. A program is met once or twice, so it is close to a loss on programs not seen before.",
            figures=[
                Part(
                    title="Training loss over steps",
                    where="Clean training texts, or received ones where it is said",
                    svg=figures.loss_over_steps(losses, figures.method_styles(curves.methods_of(study))),
                )
            ],
        )


def split_parts(study: Study) -> Iterator[Part]:
    """F1 by what crossed the link, with the contrast of what clean training texts are worth to both methods."""
    rows = curves.split_rows(study)
    if rows:
        yield Part(
            note="F1 with 95 % intervals, by what crossed the link: nothing, training texts, the texts to judge, or "
            "both. Under training texts, the texts to judge are clean.",
            table=tables.split_table(rows),
        )


def control_parts(study: Study) -> Iterator[Part]:
    """A table for each corpus, the first one open, and one for what concerns all of them."""
    by_corpus: dict[str, list[Control]] = {}
    for control in controls(study):
        by_corpus.setdefault(control.corpus, []).append(control)
    shown = {corpus: found for corpus, found in by_corpus.items() if any(control.ran for control in found)}
    if shown:
        note = "F1 with 95 % intervals; values with a sign are differences of F1, paired by program."
        yield Part(note=f'{note} "no" is as much a finding as "yes".')
    first = next(iter(by_corpus), None)
    for corpus, found in shown.items():
        ran = [control for control in found if control.ran]
        missing = ", ".join(dict.fromkeys(control.name for control in found if not control.ran))
        title = say.corpus_name(corpus) if corpus else "All corpora"
        odd = sum(control.holds is False for control in ran)
        yield Part(
            summary=f"{title}: {say.count_words(len(ran), 'control')}, {odd or 'none'} not as they should be",
            opened=corpus == first,
            table=tables.control_table(f"Controls, {title}", ran),
            after=f"Not in this study: {missing}." if missing else "",
        )


def seed_parts(study: Study) -> Iterator[Part]:
    """Variance components, for every curve that is shown first and has more than one seed."""
    rows = [(*key, part) for key, parts in tests.seed_components(study).items() for part in parts]
    if rows:
        yield Part(
            note="Analysis of variance of right and wrong over programs, training seeds and channel seeds, mean over "
            "the spreading factors of the curve shown first. Share of variance: of a single decision; SD of F1: what "
            "this source alone would scatter F1 by.",
            table=tables.seed_table(rows),
        )


def delivery_parts(study: Study) -> Iterator[Part]:
    """Pictures and a table of what each link delivered, counted over texts and channel seeds once."""
    rows = delivery(study)
    if not len(rows):
        return
    alike = rows.assign(condition=[link.condition for link in rows["link"]]).groupby(
        ["corpus", "condition"], sort=False
    )
    groups = [part.sort_values("link", key=lambda links: [link.sf for link in links]) for _, part in alike]
    telling: dict[tuple[str, str], pd.DataFrame] = {}
    for group in sorted(groups, key=_delivery_spread, reverse=True):
        link: Link = group["link"].iloc[0]
        if len(group) > 1:
            telling.setdefault((group["corpus"].iloc[0], link.axis), group)
    ordered = sorted(telling.items(), key=lambda pair: (pair[0][0], rank(AXIS_ORDER, pair[0][1])))
    drawn = []
    for (corpus, axis), group in ordered:
        title, svg = f"{say.corpus_name(corpus)}, {say.axis_name(axis)}", figures.delivery_against_sf(group)
        drawn.append(Part(title=title, where=_link_text(group), svg=svg))
    payload_len = _payload_len(study)
    one_fade = not any(p.radio.get("doppler_hz") for p in study.points)
    for (corpus, axis), group in ordered:
        link = group["link"].iloc[0]
        in_theory = link.fading in ("none", "rayleigh") and link.policy == "drop" and math.isfinite(link.snr_db)
        if axis == "fixed_snr" and in_theory and one_fade and payload_len:
            where = (
                f"Lines: theory, whole fragments; markers: frames of this study. {say.sentence_case(_link_text(group))}"
            )
            svg = figures.frames_lost_against_snr(group, payload_len)
            drawn.append(Part(title=f"{say.corpus_name(corpus)}: where on the waterfall", where=where, svg=svg))
    yield Part(figures=drawn, table=tables.delivery_table(rows.itertuples(index=False)))


def example_parts(study: Study) -> Iterator[Part]:
    """A program as sent and as received at each spreading factor, damage marked."""
    known = [(Link.of_row(cell.config), example) for cell in study.cells for example in cell.examples]
    known.sort(key=lambda pair: (rank(AXIS_ORDER, pair[0].axis), pair[0].sf) if pair[0] else (-1, 0))
    seen: dict[int | None, Part] = {}
    for link, example in known:
        if (link.axis if link else None) == (known[0][0].axis if known[0][0] else None):
            seen.setdefault(link.sf if link else None, _example(link, example))
    chosen = list(seen.values())[:MAX_EXAMPLES]
    if chosen:
        # open the first one that shows damage and still has something to read
        opened = next((index for index, example in enumerate(chosen) if example["readable"]), 0)
        yield Part(
            note="Struck through: bytes that did not arrive. Dashed box: the erasure in their place. Wavy: characters "
            "that arrived wrong.",
            examples=chosen,
            open_example=opened,
        )


def provenance_parts(study: Study) -> Iterator[Part]:
    """Versions, seeds, hashes and hardware of all cells, each value once."""
    known: dict[str, dict[str, None]] = {}
    seen: set[tuple[str, int]] = set()  # cells of a published study share their sections

    def gather(section: Mapping[str, object], prefix: str = "") -> None:
        for name, value in section.items():
            place = f"{prefix}{name}"
            if isinstance(value, Mapping):
                if (place, id(value)) not in seen:
                    seen.add((place, id(value)))
                    gather(value, f"{place}.")
            elif value is not None:
                known.setdefault(place, {})[str(value)] = None

    for cell in study.cells:
        gather(cell.provenance)
        gather(cell.config)
    pairs = []
    for name, values in sorted(known.items()):
        listed = list(values)
        rest = f" and {len(listed) - 6} more" if len(listed) > 6 else ""
        pairs.append((name, ", ".join(listed[:6]) + rest))
    yield Part(summary="Versions, seeds, hashes and hardware", style="provenance", pairs=pairs)
    yield Part(summary=f"The {len(study.cells)} cells", names=[cell.name for cell in study.cells])


def mark_damage(sent: str, received: str, holes: Sequence[Sequence[int]]) -> tuple[list[Piece], list[Piece]]:
    """Both sides of a transmission in pieces, the damage marked.

    Parameters
    ----------
    sent, received
        The text before and after the link.
    holes
        Byte spans ``(start, end)`` of `sent` that did not arrive; each stands in `received` as one U+FFFD.

    Examples
    --------
    >>> mark_damage("a = 1", "a = 7", [])[1]
    [Piece(text='a = ', mark=''), Piece(text='7', mark='changed')]
    """
    raw = sent.encode()
    spans = sorted((max(0, int(a)), min(len(raw), int(b))) for a, b in holes)
    if spans and received.count("\ufffd") == len(spans):
        left, at = [], 0
        for start, end in spans:
            left += [Piece(_text(raw[at:start])), Piece(_text(raw[start:end]), "lost")]
            at = max(at, end)
        left.append(Piece(_text(raw[at:])))
        pieces = received.split("\ufffd")
        right = [Piece(pieces[0])]
        for (start, end), piece in zip(spans, pieces[1:], strict=True):
            right += [Piece(f"{end - start} bytes lost", "hole"), Piece(piece)]
        return left, right
    left, right = [], []
    for code, i0, i1, j0, j1 in difflib.SequenceMatcher(a=sent, b=received, autojunk=False).get_opcodes():
        same = code == "equal"
        left.append(Piece(sent[i0:i1], "" if same else "lost"))
        right.append(Piece(received[j0:j1], "" if same else "changed"))
    return [piece for piece in left if piece.text], [piece for piece in right if piece.text]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _every_score(study: Study) -> Part:
    note = (
        "Pooled over seeds. The bar runs from 0 to 1: shaded the interval, solid the score, dashed the baseline. Click "
        "a head to sort, or reach it with the Tab key."
    )
    return Part(note=note, table=tables.score_table(study.points))


def _snr_figures(study: Study) -> list[Part]:
    """F1 against SNR where a study has three SNRs or more: the first method of each corpus and task."""
    groups: dict[tuple[str, str, str, str, Link], dict[int, list[Point]]] = {}
    for p in (p for panel in curves.panels(study) for curve in panel for p in curve.points):
        if p.link is not None and math.isfinite(p.link.snr_db):
            key = (p.corpus, p.task, p.method, p.corrupted_split, replace(p.link, sf=0, snr_db=0.0, level=0.0))
            groups.setdefault(key, {}).setdefault(p.link.sf, []).append(p)
    found: dict[tuple[str, str], Part] = {}
    for (corpus, task, method, *_), lines in groups.items():
        if (corpus, task) in found or max(len(points) for points in lines.values()) < 3:
            continue
        ordered = {sf: sorted(points, key=lambda p: p.link.snr_db if p.link else 0.0) for sf, points in lines.items()}
        title = f"{say.corpus_name(corpus)}, {task}, {say.method_name(method)}: F1 against SNR"
        svg = figures.f1_against_snr(ordered)
        found[corpus, task] = Part(title=title, where="a line for each spreading factor", svg=svg)
    return list(found.values())


def _registered_words(contrasts: Sequence[tests.Contrast]) -> str:
    if all(c.registered for c in contrasts):
        return f"Registered before the study ran ({HYPOTHESES})."
    return (
        f"The form was registered before the study ran ({HYPOTHESES}); where the setting is another one, the line is "
        "exploratory."
    )


def _margin_words(contrasts: Sequence[tests.Contrast]) -> str:
    """Within which margin two methods are called equivalent, and where it was registered."""
    margins = {c.first.task: say.format_number(c.margin) for c in contrasts}
    said = ", ".join(f"{margin} in {task}" for task, margin in margins.items())
    default = all(c.margin == tests.MARGIN for c in contrasts)
    return f"Margin of equivalence: {said}{', as no other is registered in the recipe' if default else ''}."


def _delivery_spread(group: pd.DataFrame) -> float:
    """How much the share of whole items differs between the spreading factors of a link."""
    shares = group["intact"] / group["n"].clip(lower=1)
    return float(shares.max() - shares.min())


def _link_text(group: pd.DataFrame) -> str:
    return ", ".join(say.link_words(group["link"].iloc[0]))


def _payload_len(study: Study) -> int | None:
    """Bytes of a whole fragment with our header, where all cells agree on it."""
    found = {str((cell.config.get("radio") or {}).get("fragment")) for cell in study.cells if cell.config.get("sf")}
    text = found.pop() if len(found) == 1 else ""
    return int(text) + HEADER_LEN if text.isdecimal() else None


def _example(link: Link | None, example: Mapping[str, Any]) -> Part:
    sent, received, holes = example["sent"], example["received"], example.get("holes") or []
    left, right = mark_damage(sent, received, holes)
    lost, size = sum(int(end) - int(start) for start, end in holes), len(sent.encode())
    state = "arrived whole" if sent == received else f"{lost} of {size} bytes lost" if holes else "arrived damaged"
    if not received.strip("\ufffd\n "):
        right, state = [Piece("nothing arrived", "hole")], "nothing arrived"
    head = f"SF{link.sf}, " if link is not None else ""
    where = f"{example.get('program', 'a program')}; {', '.join(say.link_words(link))}"
    readable = state not in ("arrived whole", "nothing arrived")
    return Part(summary=head + state, where=where, sent=left, received=right, readable=readable)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")


def _where(p: Point) -> str:
    return f"{say.sentence_case(say.axis_name(p.axis))}; {say.condition_name(p)}"
