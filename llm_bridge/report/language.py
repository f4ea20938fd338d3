"""Every sentence and every number format of a report: one minus sign, one p value, one interval.

A number beside a name is never rounded further than two decimals; what is usual for a link is left out. Every sentence
carries its interval and its n. A score is called above its baseline only where the whole interval is; "not
distinguishable" is said instead of "equal"; a small model is called by its own name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_bridge.axes import AXES
from llm_bridge.link import Link
from llm_bridge.report.curves import RENAMED, SHUFFLED, is_control, verdict
from llm_bridge.report.pairing import channels_by_train, compare_points, own_channels, shared_runs
from llm_bridge.report.reading import CellFiles
from llm_bridge.report.results import Curve, Point, Run, Study, context_of
from llm_bridge.report.tests import Contrast, MethodComparison, contrast_key
from llm_bridge.scoring.conditional_independence import IndependenceFit
from llm_bridge.scoring.intervals import Interval
from llm_bridge.scoring.rules import is_rule
from llm_bridge.scoring.statistics import smallest_detectable_difference

if TYPE_CHECKING:
    from llm_bridge.report.controls import Control
    from llm_bridge.report.planning import Plan

MINUS = "−"
STRATEGY_NAMES = {"cka": "CKA", "fisher": "Fisher"}
METHOD_NAMES = {
    "qlora": "QLoRA",
    "lora": "LoRA",
    "full": "full",
    "zero-shot": "zero-shot",
    "probe": "frozen probe",
    "zero-shot-nf4": "zero-shot NF4",
    "rules": "rules",
    "rule-longest-line": "rule: longest line",
}
CORPUS_NAMES = {"quixbugs": "QuixBugs", "minibugs": "MiniBugs", "mutants": "mutants"}
TASK_QUESTIONS = {
    "localise": "which line is wrong?",
    "paired": "which of two versions is buggy?",
    "detect": "is this program buggy?",
    "repair": "can the program be fixed?",
}
SENT_TEXTS = {"eval": "test texts are sent", "train": "training texts are sent", "both": "all texts are sent"}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
CONTROLS_SHOULD_BE = {
    "clean link": "above chance and every rule",
    "dead link": "0",
    "length rule": "0.50 where no rule can tell",
    "always-buggy": "0.67 on balanced pairs",
    "fixed line": "beaten by a model that reads",
    "longest line": "beaten by a model that reads",
    "shuffled labels": "not above what needs no text",
    "random-bytes": "0 beside 'deliver'",
    "bursts": "0 beside 'deliver'",
    "drops": "0 beside 'drop'",
    "intact-only − model": "0 or less: else damage is worse than nothing",
    "parser gate − model": "below the model, or the model is not needed",
    "renamed identifiers": "0, no names remembered",
    "four-bit base": "the cost of four bits, untrained",
    "four-bit training": "the cost of four bits in training",
    "low rank": "the cost of a low rank",
    "zero-shot alone": "where fine-tuning starts",
    "zero-shot NF4 alone": "where fine-tuning starts",
    "common random numbers": "0",
}


# --- numbers ----------------------------------------------------------------------------------------------------------


def format_number(value: float, *, decimals: int = 2, signed: bool = False) -> str:
    """A number with a true minus sign and without a negative zero; `signed` adds a plus to what is above 0.

    Examples
    --------
    >>> format_number(-0.001), format_number(-0.25), format_number(0.25, signed=True)
    ('0.00', '−0.25', '+0.25')
    """
    rounded = round(value, decimals) + 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.{decimals}f}".replace("-", MINUS)


def format_interval(value: float, low: float | None, high: float | None, *, signed: bool = False) -> str:
    """A value with its bounds, where it has any.

    Examples
    --------
    >>> format_interval(-0.18, -0.24, -0.121, signed=True), format_interval(0.5, None, None)
    ('−0.18 [−0.24, −0.12]', '0.50')
    """
    shown = format_number(value, signed=signed)
    return shown if low is None or high is None else f"{shown} [{format_number(low)}, {format_number(high)}]"


def program_words(difference: Interval, point: Point) -> str:
    """Number of programs behind a difference, and of the modules that are resampled where these are fewer."""
    if difference.num_clusters == point.num_programs:
        return f"n = {point.num_programs} programs"
    return f"n = {point.num_programs} programs in {difference.num_clusters} modules"


def format_difference(d: Interval) -> str:
    """An interval of a difference, as it stands in a sentence: over programs, and over training seeds too.

    Examples
    --------
    >>> format_difference(Interval(value=0.1, low=0.0, high=0.2, num_clusters=42, over_seeds=(-0.05, 0.25)))
    '0.10 [0.00, 0.20] over programs, [−0.05, 0.25] over programs and training seeds'
    """
    shown = format_interval(d.value, d.low, d.high)
    if d.over_seeds is None:
        return shown
    return f"{shown} over programs, {format_bounds(d.over_seeds)} over programs and training seeds"


def format_bounds(bounds: tuple[float, float]) -> str:
    """The bounds of an interval alone."""
    return f"[{format_number(bounds[0])}, {format_number(bounds[1])}]"


def format_score(p: Point) -> str:
    """F1 of a point with its interval."""
    return format_interval(p.f1 or 0.0, p.low, p.high)


def format_small(value: float) -> str:
    """A p value or a small spread, three decimals.

    Examples
    --------
    >>> format_small(0.0421), format_small(0.0002), format_small(0.0)
    ('0.042', '< 0.001', '0.000')
    """
    return "< 0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def format_p(p_value: float) -> str:
    """A p value as written in a sentence.

    Examples
    --------
    >>> format_p(0.0421), format_p(0.0002)
    ('p = 0.042', 'p < 0.001')
    """
    shown = format_small(p_value)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def format_level(value: float) -> str:
    """A level, a setting or a count in its shortest form, with a true minus sign and ∞."""
    return "∞" if value == math.inf else f"{value:g}".replace("-", MINUS)


def format_share(value: float) -> str:
    """A share in percent."""
    return f"{value:.0%}"


def change_words(lost: float) -> str:
    """Change of a score that loses so much, in words: "falls by 0.07", "rises by 0.07", or "stays the same".

    Examples
    --------
    >>> change_words(0.07), change_words(-0.07), change_words(-0.001)
    ('falls by 0.07', 'rises by 0.07', 'stays the same')
    """
    size = format_number(abs(lost))
    return "stays the same" if not float(size) else f"{'falls' if lost > 0 else 'rises'} by {size}"


def count_words(count: int, noun: str) -> str:
    """A number and what is counted, small numbers in words.

    Examples
    --------
    >>> count_words(1, "channel seed"), count_words(10, "channel seed"), count_words(12, "cell")
    ('one channel seed', 'ten channel seeds', '12 cells')
    """
    number = NUMBERS[count] if count < len(NUMBERS) else str(count)
    return f"{number} {noun}{'' if count == 1 else 's'}"


def sentence_case(text: str) -> str:
    """A text with its first letter upper case, the others as they are."""
    return text[:1].upper() + text[1:]


# --- names ------------------------------------------------------------------------------------------------------------


def method_name(method: str) -> str:
    """A method as written in prose."""
    plain, at, variant = method.partition("@")
    stem = plain.removesuffix(SHUFFLED)
    if stem != plain:
        return f"{method_name(stem)}, shuffled labels" + (f" {at}{variant}" if at else "")
    head, _, strategy = plain.partition("-")
    name = METHOD_NAMES.get(plain) or (
        f"{METHOD_NAMES[head]} ({STRATEGY_NAMES.get(strategy, strategy)})" if head in METHOD_NAMES else plain
    )
    return f"{name} {at}{variant}" if at else name


def corpus_name(corpus: str) -> str:
    """A corpus as written in prose."""
    stem = corpus.removesuffix(RENAMED)
    return f"{corpus_name(stem)}, renamed" if stem != corpus else CORPUS_NAMES.get(corpus, corpus)


def axis_name(axis: str | None) -> str:
    """What an axis holds equal between spreading factors."""
    return AXES[axis].words if axis is not None and axis in AXES else axis or "one link"


def axis_short(axis: str | None) -> str:
    """What an axis holds equal, between which links left out."""
    return axis_name(axis).split(" at ")[0]


def level_words(link: Link | None) -> list[str]:
    """The level that an axis holds equal, in words: an SNR, a distance with its SNR, Eb/N0, or a share of frames lost.

    Examples
    --------
    >>> link = Link(axis="fixed_snr", level=-10.0, sf=7, snr_db=-10.0)
    >>> lossy = Link(axis="equal_loss", level=0.3, quantity="frame_loss", sf=7, snr_db=-7.5)
    >>> level_words(link), level_words(lossy)
    (['SNR −10 dB'], ['30 % of frames lost'])
    """
    if link is None:
        return []
    snr = "no noise" if link.snr_db == math.inf else f"SNR {format_level(link.snr_db)} dB"
    if link.quantity == "snr_db":
        return [snr]
    words = link.held.words.format(format_level(link.held.scale * link.level))
    return [f"{words} ({snr})" if link.quantity == "distance_km" else words]


def link_words(link: Link | None) -> list[str]:
    """A link in words, its SF and what is usual left out."""
    if link is None:
        return []
    fading = "AWGN" if link.fading == "none" else f"{link.fading.capitalize()} fading"
    coding = [] if link.source_coding == "utf8" else [link.source_coding]
    return [*level_words(link), fading, f"CR 4/{4 + link.cr}", f"policy {link.policy}", *coding]


def condition_name(point: Point) -> str:
    """The link of a point without its SF, in words."""
    if point.clean:
        return "no link"
    split = SENT_TEXTS.get(point.corrupted_split, point.corrupted_split)
    within = [f"{point.radio['doppler_hz']:g} Hz of Doppler"] if point.radio.get("doppler_hz") else []
    found = ["frames found by the receiver"] if point.radio.get("sync") == "receiver" else []
    return ", ".join([*link_words(point.link), *within, *found, split])


def held_equal(point: Point) -> str:
    """What an axis holds equal, and at which level."""
    return ", ".join([axis_short(point.axis), *level_words(point.link)])


def model_names(study: Study) -> list[str]:
    """Names of the models, with their sizes where a fingerprint tells."""
    names = list(dict.fromkeys(_model_name(cell) for cell in study.cells))
    return [name for name in names if not any(other.startswith(f"{name} (") for other in names)]


def trained_words(study: Study) -> str:
    """How many numbers each method with adapters trains, and in which blocks; empty where no method chose layers."""
    found: dict[str, None] = {}
    layerwise = False
    for cell in study.cells:
        fingerprint = (cell.provenance.get("learner") or {}).get("fingerprint") or {}
        method, layers, count = (fingerprint.get(name) for name in ("method", "layers", "num_trainable"))
        if method and layers and count:
            layerwise |= "-" in method
            found[f"{method_name(method)} {count:,} in blocks {', '.join(map(str, layers))}"] = None
    return "; ".join(found) if layerwise else ""


def context_words(study: Study) -> str:
    """What models knew of each program beside what arrived; empty where nothing."""
    found = [context_of(cell) for cell in study.cells if not is_rule(str(cell.config.get("method")))]
    names = {"specification": "its specification", "specification+tests": "its specification and first tests"}
    known = dict.fromkeys(names.get(kind, kind) if kind else "nothing" for kind in found)
    return " or ".join(known) if any(found) else ""


def seed_words(*points: Point) -> str:
    """Seeds behind a comparison of points, in words: those that all of them have."""
    fewest = min(points, key=lambda point: len(point.runs))
    return format_runs(shared_runs(points) or fewest.runs.values())


def format_runs(runs: Iterable[Run]) -> str:
    """Seeds in words.

    Examples
    --------
    >>> format_runs([(0, 0), (0, 1), (1, 0), (1, 1)])
    'two training seeds, two channel seeds'
    >>> format_runs([(0, 0), (0, 1), (1, 2), (1, 3)])
    'two training seeds, two channel seeds for each, four in all'
    >>> format_runs([(None, 0), (None, 1)])
    'two channel seeds'
    """
    runs = list(runs)
    by_train = channels_by_train(runs)
    train = [count_words(len(by_train), "training seed")] if by_train else []
    channels = {channel for _, channel in runs if channel is not None}
    each = [len(found) for found in by_train.values()]
    if len(each) > 1 and sum(each) == len(channels) > 1:
        if len(set(each)) == 1:
            total = count_words(len(channels), "").split()[0]
            return ", ".join([*train, f"{count_words(each[0], 'channel seed')} for each", f"{total} in all"])
        return ", ".join([*train, f"{count_words(len(channels), 'channel seed')}, each for one of them"])
    return ", ".join([*train, *([count_words(len(channels), "channel seed")] if channels else [])]) or "no seeds"


def sf_span(spreading_factors: Sequence[int]) -> str:
    """ "SF7 to SF12", or a list where some between are missing."""
    if not spreading_factors:
        return "none: no link"
    first, last = spreading_factors[0], spreading_factors[-1]
    if len(spreading_factors) > 2 and last - first == len(spreading_factors) - 1:
        return f"SF{first} to SF{last}"
    return ", ".join(f"SF{sf}" for sf in spreading_factors)


# --- sentences --------------------------------------------------------------------------------------------------------


def sf_sentence(curve: Curve, model: str = "") -> str:
    """Sentence on F1 against the spreading factor along a curve, with intervals, n, seeds, clean value and baseline.

    `model` is named where it is given. The direction is the paired contrast of the largest against the smallest SF; a
    peak in between is called one only where it stands out from both ends.
    """
    low, high = curve.points[0], curve.points[-1]
    top = max(curve.points, key=lambda point: point.f1 or 0.0)
    ends = compare_points([high], [low]) if len(high.items) and len(low.items) else None
    peak = [compare_points([top], [end]) for end in (low, high)] if ends and top not in (low, high) else []
    behind = f"n = {low.num_programs} programs, {seed_words(*curve.points)}"
    whose = f"the F1 of {method_name(low.method)}{f' ({model})' if model else ''}"
    first, last = (f"{format_score(p)} at SF{p.sf}" for p in (low, high))
    if peak and all(d is not None and d.widest[0] > 0 for d in peak):
        said = f"peaks at SF{top.sf} with {format_score(top)}, against {first} and {last}"
    elif ends is None:
        said = f"is {first} and {last}"
    else:
        behind = f"difference {format_difference(ends)}, {behind}"
        said = f"{'rises' if ends.value > 0 else 'falls'} from {first} to {last}"
        if not ends.excludes(0.0):
            both = (f"at SF{p.sf}, {format_score(p)}," for p in (low, high))
            said = f"{' and '.join(both)} is not distinguishable"
    question = TASK_QUESTIONS.get(low.task, low.task).rstrip("?")
    clean = curve.clean if curve.clean is not None and curve.clean.f1 is not None else None
    rest = [] if clean is None else [f"with nothing lost it is {format_score(clean)}"]
    levels = [f"{format_number(p.baseline)} at SF{p.sf}" for p in (low, high) if p.baseline is not None]
    if low.baseline is not None and low.baseline == high.baseline:
        levels = [format_number(low.baseline)]
    rest += [f"the baseline is {' and '.join(levels)}"] if levels else []
    tail = "; ".join(rest)
    return f"On {corpus_name(low.corpus)}, asked {question}, {whose} {said} ({behind})." + (
        f" {sentence_case(tail)}." if tail else ""
    )


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


def verdict_words(contrast: Contrast, direction: str, *, say_smallest: bool = True) -> str:
    """The direction where the corrected p value shows one; else equivalent, or not distinguishable with its power."""
    key = contrast_key(contrast.difference, contrast.p_holm, contrast.margin)
    if key == "direction":
        return direction
    if key == "equivalent":
        return f"equivalent within {format_number(contrast.margin)}"
    return "not distinguishable" + (_could_show(contrast.smallest) if say_smallest else "")


def primary_sentence(contrast: Contrast) -> str:
    """What may be said about a primary contrast, with interval, p, n and seeds."""
    tail = "" if contrast.informative else "; neither beats the baseline with nothing lost, so this says little"
    factors = sf_span([group[1].sf for group in contrast.groups if group[1].sf is not None])
    mean = "" if len(contrast.groups) == 1 else "mean over "
    link = f"{mean}{factors}, policy {contrast.linked[0].policy}"
    return _loss_sentence(contrast, f"From nothing lost to the link ({link})", "the link costs", tail)


def training_sentence(contrast: Contrast) -> str:
    """What may be said about what damaged training texts cost one method more than the other."""
    p = contrast.linked[0]
    factors = ", ".join(f"SF{group[1].sf}" for group in contrast.groups)
    where = f"{held_equal(p)}, policy {p.policy}, {factors}"
    judged = "; texts to judge received in both" if p.corrupted_split == "both" else ""
    from_to = f"From clean training texts to those that crossed the link ({where}{judged})"
    return _loss_sentence(contrast, from_to, "damaged training texts cost")


def texture_sentence(contrast: Contrast) -> str:
    """What may be said of two spreading factors at equal losses."""
    high, low = contrast.groups[0]
    d = contrast.difference
    names = " and ".join(method_name(group[0].method) for group in contrast.groups)
    said = f"the texture of damage matters, {texture_direction(contrast)}"
    return (
        f"With {level_words(low.link)[0]} at both, F1 in {low.task} at SF{high.sf} minus that at SF{low.sf} is "
        f"{format_difference(d)} for {names} together ({format_p(contrast.p_holm)} after Holm, "
        f"{corpus_name(low.corpus)}, {program_words(d, low)}, {seed_words(high, low)}): "
        f"{verdict_words(contrast, said)}."
    )


def texture_direction(contrast: Contrast) -> str:
    """Which way the largest spreading factor differs."""
    return f"SF{contrast.groups[0][0].sf} scores {'higher' if contrast.difference.value > 0 else 'lower'}"


def method_sentences(comparison: MethodComparison) -> list[str]:
    """One method against another along a curve: F1 over the link, and what the link costs."""
    p = comparison.first.first
    names = [method_name(curve.first.method) for curve in (comparison.first, comparison.second)]
    seeds = seed_words(*(point for pair in comparison.points for point in pair))
    where = f"{p.task}, {axis_short(p.axis)}, all SF together"
    said = contrast_sentence(names[0], names[1], comparison.difference, seeds=seeds, say_smallest=True)
    sentences = [f"{said} ({where})."]
    lost = comparison.lost
    if lost is not None:
        more = f"{names[0]} loses {'more' if lost.value > 0 else 'less'}"
        sentences.append(
            f"F1 lost to the link, {names[0]} minus {names[1]}: {format_difference(lost)}, n = {lost.num_clusters}, "
            f"{seeds}: {more if lost.excludes(0.0) else 'not distinguishable'} ({where})."
        )
    return sentences


def contrast_sentence(
    name_a: str,
    name_b: str,
    difference: Interval,
    *,
    seeds: str = "one seed",
    say_smallest: bool = False,
    margin: float | None = None,
) -> str:
    """What may be said about ``score(a) - score(b)``: a direction, or that n cannot tell them apart; never "equal".

    Parameters
    ----------
    name_a, name_b
        The two in words.
    difference
        The interval; its clusters are the n of the sentence.
    seeds
        The seeds in words.
    margin
        A margin set before the data were seen: an interval inside ``(-margin, margin)`` reads "equivalent".
    say_smallest
        Add the smallest difference that n could have shown where the two are not distinguishable.

    Examples
    --------
    >>> d = Interval(value=0.024, low=-0.07, high=0.12, num_clusters=42)
    >>> contrast_sentence("QLoRA", "full", d)
    'QLoRA against full: difference 0.02 [−0.07, 0.12], n = 42, one seed: not distinguishable'
    """
    n = difference.num_clusters
    if math.isnan(difference.value):
        return f"{name_a} against {name_b}: no programs, nothing can be said"
    if difference.excludes(0.0):
        said = f"{name_a} scores {'higher' if difference.value > 0 else 'lower'}"
    else:
        said = "not distinguishable"
    if margin is not None and -margin < difference.widest[0] and difference.widest[1] < margin:
        size = format_number(margin)
        said = f"{said}, by less than {size}" if difference.excludes(0.0) else f"equivalent within {size}"
    elif say_smallest and not difference.excludes(0.0):
        smallest = smallest_detectable_difference(n)
        said += _could_show(smallest) or " (smallest difference that n could show: none)"
    return f"{name_a} against {name_b}: difference {format_difference(difference)}, n = {n}, {seeds}: {said}"


def independence_sentence(fit: IndependenceFit) -> str:
    """What may be said about the effect of SF at equal residual error rates."""
    if fit.sf is None:
        return f"SF beyond the residual error rate: not estimable ({fit.reason or 'one SF only'})"
    p = fit.p_value if fit.p_holm is None else fit.p_holm
    said = "" if p is None else f", {format_p(p)}{'' if fit.p_holm is None else ' after Holm'}"
    shown = format_number(fit.smallest or 0.0)
    found = "an effect remains" if fit.seen else f"no effect seen (smallest that n could show: {shown})"
    span = format_interval(fit.sf.value, fit.sf.low, fit.sf.high)
    return (
        f"SF beyond the residual error rate: {span} log-odds a step{said}, {fit.num_items} items of "
        f"{fit.num_programs} programs: {found}"
    )


def plan_words(plan: Plan) -> str:
    """What the advice on spreading factors rests on, and how far off it is."""
    radio = plan.radio
    fading = "Rayleigh fading" if plan.fading == "rayleigh" else "no fading"
    said = (
        f"Each program is {format_number(plan.text_frames, decimals=1)} frames of {plan.payload_len} bytes, repeated "
        f"as long as the duty cycle allows; {format_level(radio['tx_power_dbm'])} dBm in {radio['region']}, path loss "
        f"exponent {format_level(radio['path_loss_exponent'])}, noise figure {format_level(radio['noise_figure_db'])} "
        f"dB, {fading}, shadowing {format_level(radio['shadowing_db'])} dB. Frame loss is theory; F1 is read off this "
        "study's own points against the share lost, and taken not to depend on SF otherwise. Frames of a text are "
        f"taken to be lost independently of each other: on this study's links {format_share(plan.whole[0])} of the "
        f"items arrived whole, with independent frames it would be {format_share(plan.whole[1])}. "
    )
    if plan.worst_gap is not None and plan.mean_gap is not None:
        said += (
            f"Checked on the {plan.num_checked} links of the airtime axis that were run: off by "
            f"{format_number(plan.mean_gap)} of F1 on average, {format_number(plan.worst_gap)} at most."
        )
    else:
        said += "No link of the airtime axis was run to check it."
    return said + " A dash: no spreading factor gets F1 above 0.01."


def control_should_be(control: Control) -> str:
    """What a control should be."""
    if "level" in control.details:
        return f"not above {format_number(control.details['level'])}, what needs no text"
    return CONTROLS_SHOULD_BE[control.name]


def control_where(control: Control) -> str:
    """The method and the link that a control is about."""
    p = control.point
    if control.name == "common random numbers":
        return "share of items whose damage differs between methods on one channel seed" if control.ran else ""
    if control.methods:
        return f"{' − '.join(map(method_name, control.methods))}, nothing lost"
    if p is None:
        return ""
    if control.name in ("length rule", "always-buggy"):
        return "nothing lost"
    if "rate" in control.details:
        return f"{method_name(p.method)}, {control.details['links']:g} links"
    link = ["nothing lost"] if p.lossless else [*level_words(p.link), f"policy {p.policy}"]
    several = [f"{control.details['links']:g} SF"] if "links" in control.details else []
    return ", ".join([method_name(p.method), *link, *several])


def control_note(control: Control) -> str:
    """Numbers beside a control."""
    d = control.details
    if "compared" in d:
        return f"{d['differing']:g} of {d['compared']:g} comparisons"
    if "rate" in d:
        rates = (format_number(d[name], decimals=3) for name in ("rate", "real_rate"))
        return "bytes wrong or lost: {}, over the radio {}".format(*rates)
    if "whole" in d:
        return f"it scores {format_number(d['score'])}; {format_share(d['whole'])} whole"
    if "again" in d:
        return (
            f"it scores {format_number(d['score'])}; {format_number(d['at_best'])} if all that is sent again arrives "
            f"whole; {format_share(d['again'])} sent again"
        )
    return ""


def limits(study: Study) -> list[str]:
    """What this study cannot show; drawn from what it holds."""
    points, models = study.points, model_names(study)
    toy = "The toy model has random weights: its scores test the path and say nothing about language models."
    weak = (p for p in points if p.clean and not is_control(p) and verdict(p).key in ("at", "below"))
    unskilled = ", ".join(sorted({f"{p.task} ({method_name(p.method)})" for p in weak}))
    linked, trained = any(p.sf for p in points), any(p.train_seeds for p in points)
    cut = _truncated_words(study)
    said = {
        f"The numbers are those of {' and '.join(models)}. They are not numbers of Llama 3 8B, and need not carry over "
        "to it.": not any(_is_llama_3_8b(name) for name in models),
        toy: any(name.startswith("toy") for name in models),
        **{_power_words(points, n): True for n in sorted({point.num_programs for point in points})},
        cut: bool(cut),
        "One training seed: how much another seed would change a fine-tuned model is not known from here.": trained
        and max(len(point.train_seeds) for point in points) <= 1,
        "One channel seed: every curve is one draw of the noise; intervals cover programs, not channel draws.": linked
        and max(len(point.channel_seeds) for point in points) <= 1,
        "Each training seed was scored on channel seeds of its own: over a link, training seeds differ by their "
        "channels too.": any(own_channels(point) for point in points),
        f"Not above the baseline even with nothing lost, hence no evidence of skill: {unskilled}.": bool(unskilled),
        "No rule that reads nothing was run: skill is claimed against chance alone.": not any(
            is_rule(point.method) for point in points
        ),
        "No cell without losses: what the model could do on clean text is not known from here.": not any(
            point.lossless for point in points
        ),
        "The link is simulated; the largest of several F1 along a curve was picked after looking.": linked,
    }
    return [text for text, holds in said.items() if holds]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _loss_sentence(contrast: Contrast, from_to: str, cost: str, tail: str = "") -> str:
    """What two methods lose between two conditions, and what may be said of the difference."""
    first, second = contrast.linked
    names = [method_name(point.method) for point in (first, second)]
    lost = [change_words(x) for x in contrast.losses]
    d = contrast.difference
    said = verdict_words(contrast, f"{cost} {names[0]} {'more' if d.value > 0 else 'less'}")
    return (
        f"{from_to}, F1 in {first.task} {lost[0]} for {names[0]} and {lost[1]} for {names[1]} (difference "
        f"{format_difference(d)}, {format_p(contrast.p_holm)} after Holm, {corpus_name(first.corpus)}, "
        f"{program_words(d, first)}, {seed_words(first, second)}): {said}{tail}."
    )


def _power_words(points: Iterable[Point], n: int) -> str:
    """Which difference so many programs show."""
    smallest = smallest_detectable_difference(n)
    corpora = " and ".join(sorted({corpus_name(p.corpus) for p in points if p.num_programs == n}))
    shown = "no difference at all" if smallest is None else f"a difference of {format_number(smallest)} or more"
    return (
        f"{n} programs ({corpora}) show {shown} between two methods with 80 % power (exact McNemar test, 10 points of "
        "extra disagreement); smaller ones stay hidden."
    )


def _truncated_words(study: Study) -> str:
    """Decisions on texts that a model was shown in part; empty where there are none."""
    rows = [row for cell in study.cells for row in cell.rows if row.get("truncated")]
    if not rows:
        return ""
    cut, all_of_them = (sum(int(row[name]) for row in rows) for name in ("truncated", "n"))
    methods = ", ".join(sorted({method_name(str(row["method"])) for row in rows}))
    return (
        f"{cut} of {all_of_them} decisions ({methods}) were made on a text that is longer than the model's limit of "
        "tokens ('training.max_tokens'): a bug behind it was not shown, and counts as missed."
    )


def _could_show(smallest: float | None) -> str:
    return "" if smallest is None else f" (smallest difference that n could show: {format_number(smallest)})"


def _model_name(cell: CellFiles) -> str:
    """The model's name as configured, and its size where its fingerprint tells."""
    model = cell.config.get("model") or {}
    name = str(model.get("name", "an unnamed model") if isinstance(model, Mapping) else model)
    fingerprint = (cell.provenance.get("learner") or {}).get("fingerprint") or {}
    size: Any = fingerprint.get("num_parameters")
    if not size or cell.config.get("method") != "zero-shot":  # adapters and packed 4-bit weights count otherwise
        return name
    return f"{name} ({size / 1e6:.3g} M parameters)" if size < 1e9 else f"{name} ({size / 1e9:.3g} B parameters)"


def _is_llama_3_8b(name: str) -> bool:
    plain = name.lower().replace("_", "-")
    return "llama-3" in plain and "8b" in plain
