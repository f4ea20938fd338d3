"""Names and numbers as they are written in prose: methods, corpora, axes, links, models.

A number beside a name is never rounded further than two decimals; what is usual for a link is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from llm_bridge.scoring.statistics import Interval
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
    "equal_loss": "same share of frames lost at every spreading factor",
}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


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
    split = {"eval": "test texts are sent", "train": "training texts are sent", "both": "all texts are sent"}
    return ", ".join([*link_words(point), split.get(point.corrupted_split, point.corrupted_split)])


def held_equal(link: Point | Mapping[str, Any]) -> str:
    """What an axis holds equal, and at which level."""
    return ", ".join([axis_name(_of(link, "axis")).split(" at ")[0], *level_words(link)])


def level_words(link: Point | Mapping[str, Any]) -> list[str]:
    """The level that an axis holds equal, in words: an SNR, a distance with its SNR, Eb/N0, or a share of frames lost.

    Examples
    --------
    >>> level_words({"snr_db": -10.0}), level_words({"snr_db": -7.5, "frame_loss": 0.3})
    (['SNR −10 dB'], ['30 % of frames lost'])
    """
    lost, ebn0_db, snr_db, km = (_of(link, name) for name in ("frame_loss", "ebn0_db", "snr_db", "distance_km"))
    if lost is not None:
        return [f"{100 * lost:g} % of frames lost"]
    if ebn0_db is not None:
        return [f"Eb/N0 {ebn0_db:g} dB".replace("-", "−")]
    if snr_db is None:
        return []
    snr = "no noise" if snr_db == math.inf else f"SNR {snr_db:g} dB".replace("-", "−")
    return [snr] if km is None else [f"{km:g} km ({snr})"]


def link_words(link: Point | Mapping[str, Any]) -> list[str]:
    """A link in words, its SF and what is usual left out."""
    fading, cr, policy, coding = (_of(link, name) for name in ("fading", "cr", "policy", "source_coding"))
    parts = [*level_words(link), "AWGN" if fading in (None, "none") else f"{str(fading).capitalize()} fading"]
    parts += [] if cr is None else [f"CR 4/{4 + cr}"]
    parts += [] if policy is None else [f"policy {policy}"]
    return [*parts, *([] if coding in (None, "utf8") else [str(coding)])]


def model_names(study: Study) -> list[str]:
    """Names of the models, with their sizes where a fingerprint tells."""
    names = list(dict.fromkeys(_model_name(cell) for cell in study.cells))
    return [name for name in names if not any(other.startswith(f"{name} (") for other in names)]


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


def spell_interval(interval: Interval) -> str:
    """A difference with its bounds, two decimals."""
    value, low, high = (round(x, 2) + 0.0 for x in (interval.value, interval.low, interval.high))
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def rank(order: Sequence[Any], value: Any) -> int:
    """Place of a value in an order; what is not in it comes last."""
    return order.index(value) if value in order else len(order)


def _of(link: Point | Mapping[str, Any], name: str) -> Any:
    """A field of a point, or of a row."""
    return link.get(name) if isinstance(link, Mapping) else getattr(link, name)


def _model_name(cell: CellFiles) -> str:
    """The model's name as configured, and its size where its fingerprint tells."""
    model = cell.config.get("model") or {}
    name = str(model.get("name", "an unnamed model") if isinstance(model, dict) else model)
    size = (cell.provenance.get("learner") or {}).get("fingerprint", {}).get("num_parameters")
    if not size or cell.config.get("method") != "zero-shot":  # adapters and packed 4-bit weights count otherwise
        return name
    return f"{name} ({size / 1e6:.3g} M parameters)" if size < 1e9 else f"{name} ({size / 1e9:.3g} B parameters)"
