"""What a study's points allow to be said, in sentences, and what they do not.

Every sentence carries its interval and its n. A score is called above its baseline only where the whole interval is;
"not distinguishable" is said instead of "equal"; a small model is called by its own name.
"""

from __future__ import annotations

from llm_bridge.scoring.metrics import compare_losses
from llm_bridge.scoring.statistics import contrast_sentence, smallest_detectable_difference
from llm_bridge.study.curves import (
    Curve,
    curve_order,
    curves,
    headline_curves,
    is_control,
    panel_key,
    shared_points,
    verdict,
)
from llm_bridge.study.points import Point, Study
from llm_bridge.study.runs import compare_points, own_channels, rows_of_shared_runs, seed_words
from llm_bridge.study.words import (
    TASK_QUESTIONS,
    axis_name,
    corpus_name,
    method_name,
    model_names,
    sentence_case,
    spell_interval,
)

__all__ = ["headline_curves", "limits", "method_sentences", "model_names", "sf_sentence", "warning_sentence"]


def sf_sentence(curve: Curve, model: str = "") -> str:
    """How F1 goes with the spreading factor along a curve, with intervals, n, seeds, clean value and baseline.

    `model` is named where it is given. The direction is the paired contrast of the largest against the smallest SF; a
    peak in between is called one only where it stands out from both ends.
    """
    low, high = curve.points[0], curve.points[-1]
    top = max(curve.points, key=lambda point: point.f1 or 0.0)
    ends = compare_points([high], [low])
    peak = [compare_points([top], [end]) for end in (low, high)] if top not in (low, high) else []
    programs = f"n = {low.num_programs} programs, {seed_words(*curve.points)}"
    whose = f"the F1 of {method_name(low.method)}{f' ({model})' if model else ''}"
    if peak and all(d is not None and d.low > 0 for d in peak):
        said = (
            f"{whose} peaks at SF{top.sf} with {_spell(top)}, "
            f"against {_spell(low)} at SF{low.sf} and {_spell(high)} at SF{high.sf} ({programs})"
        )
    elif ends is None:
        said = f"{whose} is {_spell(low)} at SF{low.sf} and {_spell(high)} at SF{high.sf} ({programs})"
    elif ends.excludes(0.0):
        said = (
            f"{whose} {'rises' if ends.value > 0 else 'falls'} from {_spell(low)} at SF{low.sf} to {_spell(high)} at "
            f"SF{high.sf} (difference {spell_interval(ends)}, {programs})"
        )
    else:
        said = (
            f"{whose} at SF{low.sf}, {_spell(low)}, and at SF{high.sf}, {_spell(high)}, is not distinguishable "
            f"(difference {spell_interval(ends)}, {programs})"
        )
    question = TASK_QUESTIONS.get(low.task, low.task).rstrip("?")
    rest = [] if curve.clean is None or curve.clean.f1 is None else [f"with nothing lost it is {_spell(curve.clean)}"]
    rest += [] if low.baseline is None else [f"the baseline is {low.baseline:.2f}"]
    tail = "; ".join(rest)
    return f"On {corpus_name(low.corpus)}, asked {question}, {said}." + (f" {sentence_case(tail)}." if tail else "")


def warning_sentence(curve: Curve) -> str | None:
    """The sentence that must stand beside a curve that does not beat its baseline; None where it does."""
    best = max(curve.points, key=lambda point: point.f1 or 0.0)
    reference = curve.clean if curve.clean is not None and curve.clean.f1 is not None else best
    if verdict(reference).key == "above":
        return None
    where = "even with nothing lost" if reference is curve.clean else f"even at its best, SF{best.sf},"
    relation = {"at": "is not above", "below": "is below"}.get(verdict(reference).key, "does not beat")
    return (
        f"Read with care: {where} {method_name(best.method)} {relation} the baseline in {best.task}, so this curve "
        "shows what arrives, not what the model understands."
    )


def method_sentences(study: Study, *, first: str = "qlora", second: str = "full") -> list[str]:
    """QLoRA against full fine-tuning, for each axis in the most telling task: over the link, and what it costs."""
    found = curves(study.points)
    sentences = []
    seen = set()
    for curve in sorted((c for c in found if c.first.method == first), key=curve_order):
        p = curve.first
        match = [c for c in found if panel_key(c) == panel_key(curve) and c.first.method == second]
        if not match or p.axis in seen or is_control(p):
            continue
        both = shared_points(curve, match[0])
        ours, theirs = [a for a, _ in both], [b for _, b in both]
        difference = compare_points(ours, theirs)
        if difference is None:
            continue
        seen.add(p.axis)
        names = (method_name(first), method_name(second))
        seeds = seed_words(*ours, *theirs)
        where = f"{p.task}, {axis_name(p.axis).split(' at ')[0]}, all SF together"
        said = contrast_sentence(*names, difference, seeds=seeds, say_smallest=True)
        sentences.append(f"{said} ({where}).")
        if curve.clean is None or match[0].clean is None:
            continue
        rows = rows_of_shared_runs([(curve.clean, a, match[0].clean, b) for a, b in both])
        if all(rows):
            lost = compare_losses(*rows)
            more = f"{names[0]} loses {'more' if lost.value > 0 else 'less'}"
            sentences.append(
                f"F1 lost to the link, {names[0]} minus {names[1]}: {spell_interval(lost)}, n = {lost.num_clusters}, "
                f"{seeds}: {more if lost.excludes(0.0) else 'not distinguishable'} ({where})."
            )
    return sentences


def limits(study: Study) -> list[str]:
    """What this study cannot show; drawn from what it holds."""
    points = study.points
    said = []
    models = model_names(study)
    if not any(_is_llama_3_8b(name) for name in models):
        said.append(
            f"The numbers are those of {' and '.join(models)}. "
            "They are not numbers of Llama 3 8B, and need not carry over to it."
        )
    if any(name.startswith("toy") for name in models):
        said.append("The toy model has random weights: its scores test the path and say nothing about language models.")
    for n in sorted({point.num_programs for point in points}):
        smallest = smallest_detectable_difference(n)
        corpora = " and ".join(sorted({corpus_name(p.corpus) for p in points if p.num_programs == n}))
        shown = "no difference at all" if smallest is None else f"a difference of {smallest:.2f} or more"
        said.append(
            f"{n} programs ({corpora}) show {shown} between two methods with 80 % power (exact McNemar test, 10 points "
            "of extra disagreement); smaller ones stay hidden."
        )
    if max((len(point.train_seeds) for point in points), default=0) <= 1 and any(p.train_seeds for p in points):
        said.append("One training seed: how much another seed would change a fine-tuned model is not known from here.")
    if max((len(point.channel_seeds) for point in points), default=0) <= 1 and any(p.sf for p in points):
        said.append(
            "One channel seed: every curve is one draw of the noise; intervals cover programs, not channel draws."
        )
    if any(own_channels(point) for point in points):
        said.append(
            "Each training seed was scored on channel seeds of its own: over a link, training seeds differ by their "
            "channels too."
        )
    weak = sorted(
        {
            f"{p.task} ({method_name(p.method)})"
            for p in points
            if p.clean and not is_control(p) and verdict(p).key in ("at", "below")
        }
    )
    if weak:
        said.append(f"Not above the baseline even with nothing lost, hence no evidence of skill: {', '.join(weak)}.")
    if not any(point.clean or point.noiseless for point in points):
        said.append("No cell without losses: what the model could do on clean text is not known from here.")
    if any(point.sf for point in points):
        said.append("The link is simulated; the largest of several F1 along a curve was picked after looking.")
    return said


# --- helpers ----------------------------------------------------------------------------------------------------------


def _spell(point: Point) -> str:
    return f"{point.f1:.2f} [{point.low:.2f}, {point.high:.2f}]"


def _is_llama_3_8b(name: str) -> bool:
    plain = name.lower().replace("_", "-")
    return "llama-3" in plain and "8b" in plain
