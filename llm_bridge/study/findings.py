"""What a study's points allow to be said, in sentences, and what they do not.

Every sentence carries its interval and its n. A score is called above its baseline only where the whole interval is;
"not distinguishable" is said instead of "equal"; a small model is called by its own name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llm_bridge.scoring.metrics import compare_cells, compare_losses
from llm_bridge.scoring.statistics import Interval, contrast_sentence, smallest_detectable_difference
from llm_bridge.study.points import CellFiles, Point, Study

TASK_ORDER = ("localise", "paired", "detect", "repair")
CORPUS_ORDER = ("quixbugs", "minibugs", "mutants")
METHOD_ORDER = ("qlora", "full", "lora", "zero-shot", "zero-shot-nf4", "rules")
METHOD_NAMES = {
    "qlora": "QLoRA",
    "lora": "LoRA",
    "full": "full",
    "zero-shot": "zero-shot",
    "zero-shot-nf4": "zero-shot NF4",
    "rules": "rules",
}
CORPUS_NAMES = {"quixbugs": "QuixBugs", "minibugs": "MiniBugs", "mutants": "mutants"}
SHUFFLED, RENAMED = "-shuffled", "-renamed"
CONTROL_POLICIES = ("random-bytes", "bursts", "drops")
POLICY_ORDER = ("drop", "deliver", "erasure")
TASK_QUESTIONS = {
    "localise": "which line is wrong?",
    "paired": "which of two versions is buggy?",
    "detect": "is this program buggy?",
    "repair": "can the program be fixed?",
}
AXIS_NAMES = {
    "fixed_snr": "same SNR at every spreading factor",
    "equal_airtime": "same airtime at every spreading factor",
    "distance": "same distance and power at every spreading factor",
    "equal_energy": "same energy per bit at every spreading factor",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a score stands to its baseline: a word and a mark that needs no colour."""

    key: str  # "above" | "at" | "below" | "nothing" | "none"
    word: str
    mark: str


VERDICTS = {
    "above": Verdict(key="above", word="above baseline", mark="▲"),
    "at": Verdict(key="at", word="at baseline", mark="○"),
    "below": Verdict(key="below", word="below baseline", mark="▼"),
    "nothing": Verdict(key="nothing", word="nothing arrived", mark="✕"),
    "none": Verdict(key="none", word="no F1", mark="–"),
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points over spreading factors, everything else held fixed, and the clean point of the same method, if there."""

    points: tuple[Point, ...]
    clean: Point | None

    @property
    def first(self) -> Point:
        """Any of the points: all but `sf` and the scores is common."""
        return self.points[0]

    @property
    def spread(self) -> float:
        """Largest difference of F1 along the curve."""
        values = [point.f1 for point in self.points if point.f1 is not None]
        return max(values) - min(values) if values else 0.0


def verdict(scores: Any) -> Verdict:
    """Verdict of a `Point`, or of a mapping with the columns of ``results.csv``.

    Examples
    --------
    >>> verdict({"n": 42, "delivered": 42, "f1": 0.7, "f1_low": 0.45, "f1_high": 0.8, "baseline": 0.5}).word
    'at baseline'
    """
    row = scores.scores if isinstance(scores, Point) else scores
    if row.get("f1") is None or row.get("baseline") is None:
        return VERDICTS["none"]
    if not row.get("delivered"):
        return VERDICTS["nothing"]
    if row["f1_low"] > row["baseline"]:
        return VERDICTS["above"]
    return VERDICTS["below" if row["f1_high"] < row["baseline"] else "at"]


def curves(points: Iterable[Point]) -> list[Curve]:
    """Curves over SF, most telling first: by corpus, task, axis, then the largest spread of F1 of a condition."""
    points = list(points)
    clean = {(p.corpus, p.task, p.method): p for p in points if p.noiseless}
    clean |= {(p.corpus, p.task, p.method): p for p in points if p.clean}
    groups: dict[tuple[Any, ...], list[Point]] = {}
    for point in points:
        if point.sf is not None and point.f1 is not None:
            groups.setdefault((point.corpus, point.task, point.condition, point.method), []).append(point)
    found = [
        Curve(points=tuple(sorted(group, key=lambda p: p.sf or 0)), clean=clean.get((key[0], key[1], key[3])))
        for key, group in groups.items()
    ]
    spread: dict[tuple[Any, ...], float] = {}
    for curve in found:
        panel = panel_key(curve)
        spread[panel] = max(spread.get(panel, 0.0), curve.spread)
    axes = list(AXIS_NAMES)

    def order(curve: Curve) -> tuple[Any, ...]:
        p = curve.first
        return (
            _rank(CORPUS_ORDER, p.corpus),
            _rank(TASK_ORDER, p.task),
            _rank(axes, p.axis),
            _rank(("eval", "both", "train"), p.corrupted_split),
            _rank(POLICY_ORDER, p.policy),
            -round(spread[panel_key(curve)], 9),
            str(p.condition),
            _rank(METHOD_ORDER, p.method),
            p.method,
        )

    return sorted(found, key=order)


def panel_key(curve: Curve) -> tuple[Any, ...]:
    """What the curves of one panel share: corpus, task and the link without its SF."""
    return curve.first.corpus, curve.first.task, curve.first.condition


def is_control(point: Point) -> bool:
    """Whether a point is a control by its method, corpus or policy: never part of an answer."""
    return SHUFFLED in point.method or point.corpus.endswith(RENAMED) or (point.policy or "") in CONTROL_POLICIES


def headline_curves(study: Study) -> list[Curve]:
    """The curve that answers the question, one for each axis.

    Of several: the first corpus of `CORPUS_ORDER`, a task in which the clean link beats the baseline before one in
    which it does not, then the order of tasks and methods. Controls and rules answer nothing.
    """
    candidates = [
        curve
        for curve in curves(study.points)
        if len(curve.points) > 1 and curve.first.method != "rules" and not is_control(curve.first)
    ]
    chosen: dict[Any, Curve] = {}
    for curve in sorted(candidates, key=curve_order):
        chosen.setdefault(curve.first.axis, curve)
    return sorted(chosen.values(), key=lambda curve: _rank(list(AXIS_NAMES), curve.first.axis))


def sf_sentence(curve: Curve, model: str = "") -> str:
    """How F1 goes with the spreading factor along a curve, with intervals, n, seeds, clean value and baseline.

    `model` is named where it is given. The direction is the paired contrast of the largest against the smallest SF; a
    peak in between is called one only where it stands out from both ends.
    """
    low, high = curve.points[0], curve.points[-1]
    top = max(curve.points, key=lambda point: point.f1 or 0.0)
    ends = _difference(high, low)
    peak = [_difference(top, end) for end in (low, high)] if top not in (low, high) else []
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
    return f"On {corpus_name(low.corpus)}, asked {question}, {said}." + (
        f" {tail[:1].upper()}{tail[1:]}." if tail else ""
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


def method_sentences(study: Study, *, first: str = "qlora", second: str = "full") -> list[str]:
    """QLoRA against full fine-tuning, for each axis in the most telling task: over the link, and what it costs."""
    found = curves(study.points)
    sentences = []
    seen = set()
    for curve_a in sorted((c for c in found if c.first.method == first), key=curve_order):
        p = curve_a.first
        match = [c for c in found if panel_key(c) == panel_key(curve_a) and c.first.method == second]
        if not match or p.axis in seen or is_control(p):
            continue
        rows = [[item for point in c.points for item in point.items] for c in (curve_a, match[0])]
        if not all(rows):
            continue
        seen.add(p.axis)
        seeds = len(p.train_seeds) or 1
        names = (method_name(first), method_name(second))
        where = f"{p.task}, {axis_name(p.axis).split(' at ')[0]}, all SF together"
        difference = _paired(rows[0], rows[1])
        if difference is None:
            continue
        sentences.append(f"{contrast_sentence(*names, difference, num_seeds=seeds, say_smallest=True)} ({where}).")
        clean = [c.clean.items if c.clean else () for c in (curve_a, match[0])]
        if all(clean):
            lost = compare_losses(clean[0], rows[0], clean[1], rows[1])
            said = {True: f"{names[0]} loses {'more' if lost.value > 0 else 'less'}", False: "not distinguishable"}
            sentences.append(
                f"F1 lost to the link, {names[0]} minus {names[1]}: {spell_interval(lost)}, n = {lost.num_clusters}, "
                f"{_seed_word(seeds)}: {said[lost.excludes(0.0)]} ({where})."
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


# --- names and numbers ------------------------------------------------------------------------------------------------


def method_name(method: str) -> str:
    """A method as written in prose."""
    plain, at, variant = method.partition("@")
    stem = plain.removesuffix(SHUFFLED)
    if stem != plain:
        return f"{method_name(stem)}, shuffled labels" + (f" {at}{variant}" if at else "")
    head, _, strategy = plain.partition("-")
    name = METHOD_NAMES.get(plain) or (f"{METHOD_NAMES[head]} ({strategy})" if head in METHOD_NAMES else plain)
    return f"{name} {at}{variant}" if at else name


def corpus_name(corpus: str) -> str:
    """A corpus as written in prose."""
    stem = corpus.removesuffix(RENAMED)
    return f"{corpus_name(stem)}, renamed" if stem != corpus else CORPUS_NAMES.get(corpus, corpus)


def axis_name(axis: str | None) -> str:
    """What an axis holds equal."""
    return AXIS_NAMES.get(axis or "", axis or "one link")


def condition_name(point: Point) -> str:
    """The link of a point without its SF, in words."""
    if point.clean:
        return "no link"
    level = level_words(point.axis, point.snr_db, point.distance_km, point.ebn0_db)
    parts = [*level, *link_words(None, point.fading, point.cr, point.policy, point.source_coding)]
    split = {"eval": "test texts are sent", "train": "training texts are sent", "both": "all texts are sent"}
    return ", ".join([*parts, split.get(point.corrupted_split, point.corrupted_split)])


def level_words(axis: Any, snr_db: Any, distance_km: Any, ebn0_db: Any) -> list[str]:
    """What an axis holds equal, in words: an SNR, a distance with its SNR, or an energy per bit."""
    if ebn0_db is not None:
        return [f"Eb/N0 {ebn0_db:g} dB".replace("-", "−")]
    if snr_db is None:
        return []
    snr = "no noise" if snr_db == math.inf else f"SNR {snr_db:g} dB".replace("-", "−")
    return [snr] if distance_km is None else [f"{distance_km:g} km ({snr})"]


def link_words(snr_db: float | None, fading: Any, cr: Any, policy: Any, source_coding: Any) -> list[str]:
    """A link in words, its SF and what is usual left out."""
    parts = level_words(None, snr_db, None, None)
    parts.append("AWGN" if fading in (None, "none") else f"{str(fading).capitalize()} fading")
    parts += [] if cr is None else [f"CR 4/{4 + cr}"]
    parts += [] if policy is None else [f"policy {policy}"]
    return [*parts, *([] if source_coding in (None, "utf8") else [str(source_coding)])]


def model_names(study: Study) -> list[str]:
    """Names of the models, with their sizes where a fingerprint tells."""
    names = list(dict.fromkeys(_model_name(cell) for cell in study.cells))
    return [name for name in names if not any(other.startswith(f"{name} (") for other in names)]


def seed_words(*points: Point) -> str:
    """Seeds behind points, in words; the smaller number where they differ."""
    train, channel = (min(len(seeds) for seeds in found) for found in zip(*map(_seeds, points), strict=True))
    channel_words = "one channel seed" if channel <= 1 else f"{channel} channel seeds"
    if not train:
        return channel_words
    return f"{'one training seed' if train == 1 else f'{train} training seeds'}, {channel_words}"


# --- helpers ----------------------------------------------------------------------------------------------------------


def curve_order(curve: Curve) -> tuple[Any, ...]:
    """Sort key: which curve answers the question best."""
    p = curve.first
    skilled = curve.clean is not None and verdict(curve.clean).key == "above"
    return (
        _rank(CORPUS_ORDER, p.corpus),
        not skilled,
        _rank(TASK_ORDER, p.task),
        _rank(("eval", "both", "train"), p.corrupted_split),
        _rank(METHOD_ORDER, p.method),
        _rank(POLICY_ORDER, p.policy),
        -round(curve.spread, 9),
        str(p.condition),
    )


def _seeds(point: Point) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return point.train_seeds, point.channel_seeds


def _rank(order: Sequence[Any], value: Any) -> int:
    return order.index(value) if value in order else len(order)


def _difference(a: Point, b: Point) -> Interval | None:
    return _paired(a.items, b.items)


def _paired(rows_a: Sequence[Any], rows_b: Sequence[Any]) -> Interval | None:
    """The paired difference, or None where the items were not published or the programs differ."""
    if not rows_a or not rows_b:
        return None
    try:
        return compare_cells(rows_a, rows_b)
    except ValueError:
        return None


def _spell(point: Point) -> str:
    return f"{point.f1:.2f} [{point.low:.2f}, {point.high:.2f}]"


def spell_interval(interval: Interval) -> str:
    """A difference with its bounds, two decimals."""
    value, low, high = (round(x, 2) + 0.0 for x in (interval.value, interval.low, interval.high))
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _seed_word(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _model_name(cell: CellFiles) -> str:
    """The model's name as configured, and its size where its fingerprint tells."""
    model = cell.config.get("model") or {}
    name = str(model.get("name", "an unnamed model") if isinstance(model, dict) else model)
    size = (cell.provenance.get("learner") or {}).get("fingerprint", {}).get("num_parameters")
    if not size or cell.config.get("method") != "zero-shot":  # adapters and packed 4-bit weights count otherwise
        return name
    return f"{name} ({size / 1e6:.3g} M parameters)" if size < 1e9 else f"{name} ({size / 1e9:.3g} B parameters)"


def _is_llama_3_8b(name: str) -> bool:
    plain = name.lower().replace("_", "-")
    return "llama-3" in plain and "8b" in plain
