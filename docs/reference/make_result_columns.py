"""Write docs/reference/result-columns.md from the formats of both packages, from the repository's root:

python docs/reference/make_result_columns.py

A column without words here is an error: its meaning is written where the page is made.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from llm_bridge.results_format import CHANNEL_COLUMNS, RESULT_COLUMNS, ItemRow
from lora_phy.studies.plan import DISTANCE_COLUMNS, PLAN_COLUMNS
from lora_phy.studies.tables import RESULT_COLUMNS as RADIO_COLUMNS

PAGE = Path(__file__).with_name("result-columns.md")
LINK = {
    "sf": "spreading factor",
    "snr_db": "SNR in the bandwidth, dB; the mean under fading. inf (null in JSON): no noise",
    "fading": "none, rayleigh, rician, nakagami; one fade a frame",
    "cr": "coding rate 4/(4 + cr)",
    "policy": "what the receiver does with damaged frames: drop, deliver, erasure",
    "source_coding": "how a text becomes bytes: utf8, token_ids",
    "channel_seed": "seed of noise and fades",
    "corpus": "corpus that is tested on",
    "axis": "what is held equal between spreading factors",
    "distance_km": "level of the axis, where it is a distance: kilometres",
    "ebn0_db": "level of the axis, where it is an energy: Eb/N0 in dB, on air per bit of text",
    "frame_loss": "level of the axis, where it is a loss: share of full packets that are lost",
    "airtime_s": "seconds on air (of an item's row: of that item; else of the whole corpus)",
    "duty_cycle": "share of time that may be spent on air",
    "send_time_s": "seconds that sending takes at that duty cycle",
    "within_dwell_time": "whether each frame keeps to the region's dwell time",
    "parses": "texts that are Python as received (of a pair: both)",
    "delivered": "texts of which any byte arrived",
    "intact": "texts that arrived without damage",
    "bytes_sent": "bytes of text sent",
    "byte_errors": "bytes that arrived wrong",
    "bytes_lost": "bytes that did not arrive",
    "fragments_sent": "packets sent",
    "fragments_lost": "packets lost",
    "pair_fragments": "fragments that both versions of a program have",
    "pair_fragments_unequal": "those of them that one version alone lost",
}
BRIDGE = {
    **LINK,
    "corrupted_split": "which texts crossed the link: none, train (to learn from), eval (to judge), both",
    "method": "way of learning, or rules, or zero-shot",
    "context": "what the model knew of each program beside what arrived: its specification, its tests; empty: nothing",
    "train_seed": "training seed; empty for what is not trained",
    "task": "localise, paired, detect or repair",
    "n": "items scored; in channel.csv, texts sent",
    "train_delivered": "share of the training texts that arrived",
    "f1": "F1 of the task over all items; one that never arrived counts as missed",
    "f1_low": "lower end of its 95 % interval, a bootstrap over programs",
    "f1_high": "upper end",
    "f1_delivered": "F1 over the items of which any byte arrived",
    "baseline": "F1 of the task's trivial rule",
    "macro_f1": "mean F1 of both answers, where the task has two",
    "mcc": "Matthews correlation coefficient, where the task has two answers",
    "plausible_at_1": "*repair*: share of programs with a candidate that passes every test",
    "plausible_low": "lower end of its 95 % interval",
    "plausible_high": "upper end",
    "f1_all_or_nothing": "*localise*: F1 where a line that stands for several earns all of the credit",
    "damaged": "*paired*: pairs of which both versions arrived and at least one is damaged",
    "f1_damaged": "accuracy on them",
    "f1_damaged_low": "lower end of its 95 % interval",
    "f1_damaged_high": "upper end",
    "fates_unequal": "*paired*: share of fragments that both versions have and one alone lost",
    "f1_shared": "*paired*: accuracy over what arrived of both versions",
    "correct_shared": "*paired*: whether the answer over what arrived of both is right; null: not scored",
    "byte_error_rate": "wrong bytes over bytes sent",
    "residual_error_rate": "wrong or lost bytes over bytes sent",
    "cell": "folder of the cell",
    "program": "name of the program",
    "version": "buggy, correct, or pair",
    "group": "what a bootstrap resamples as one: the program, or the module that a mutant was made from",
    "score": "what the answer was decided by",
    "decision": "the answer",
    "gold": "the right one",
    "correct": "whether they agree; in *localise*, whether the line holds the bug",
    "credit": "*localise*: credit of the answer, where a line stands for several",
    "num_merged": "*localise*: lines as sent that the answered line stands for",
    "truncated": "whether the text was longer than the model reads (`training.max_tokens`); of a cell, how many were",
    "probability": "probability that the model gives its answer; the Brier score is computed from it",
    "num_lines": "lines of the text",
    "num_gold": "lines that hold the bug",
    "rank": "*localise*: place of the first right line among those that can be read",
    "chance": "*localise*: credit that a line drawn at random would earn, on average",
    "longer": "*paired*: whether the rule of length is right; null: both are of one length",
    "num_candidates": "*repair*: candidates generated",
    "num_plausible": "*repair*: those that pass every test",
    "copy_plausible": "*repair*: whether the received text itself passes them",
    "edit_token_f1": "*repair*: F1 of the tokens that the fix changes",
}
RADIO = {
    "sf": "spreading factor",
    "bandwidth_hz": "bandwidth, Hz",
    "cr": "coding rate 4/(4 + cr)",
    "payload_len": "bytes of a frame's payload (of a plan: of the application's message)",
    "snr_db": LINK["snr_db"],
    "fading": LINK["fading"],
    "sync": "receiver (the whole one) or perfect",
    "decoding": "soft or hard",
    "engine": "what was simulated: waveform, bins, order-statistics, importance",
    "frames": "frames sent (importance: draws)",
    "frame_errors": "frames that did not arrive right and undoubted (importance: sum of weights, rounded down)",
    "per": "packet error rate",
    "per_low": "lower end of its 95 % interval, exact for counts",
    "per_high": "upper end",
    "missed": "frames that were not detected",
    "bad_header": "frames with an unreadable header",
    "bad_crc": "frames with a wrong CRC",
    "truncated": "frames that the stream ends in",
    "undetected": "frames with a right CRC and a wrong payload",
    "seed": "seed of the simulation",
    "version": "version of the simulator; results of another are not continued",
    "point": "SHA-256 of everything in the point",
    "preset": "name of the preset",
    "region": "region whose rules hold",
    "path_loss": "path loss model",
    "overhead_len": "bytes that the protocol adds to the message",
    "airtime_ms": "milliseconds on air",
    "messages_per_hour": "most messages that the duty cycle leaves",
    "energy_mj": "energy of sending one, millijoule",
    "sensitivity_dbm": "received power needed, dBm",
    "max_loss_db": "path loss that leaves it, dB",
    "range_km": "distance of that loss, km",
    "battery_years": "years on the battery",
    "allowed": "yes, or the rule that is broken",
    "distance_km": "distance from the gateway, km; this and what follows only where distances are given",
    "margin_db": "largest path loss less the path loss at the distance, dB",
    "reaches": "yes where that is not negative, else no",
}


def table(columns: Iterable[str], words: dict[str, str], types: dict[str, str] | None = None) -> str:
    """Columns and their meanings."""
    missing = [name for name in columns if name not in words]
    if missing:
        raise SystemExit(f"{Path(__file__).name} must say what these columns mean: {', '.join(missing)}")
    head = "| column | type | meaning |\n|---|---|---|\n" if types else "| column | meaning |\n|---|---|\n"
    rows = [
        f"| `{name}` | {types[name]} | {words[name]} |\n" if types else f"| `{name}` | {words[name]} |\n"
        for name in columns
    ]
    return head + "".join(rows)


def item_types() -> dict[str, str]:
    """Types of an item's fields, as they are written in the source."""
    found = {}
    for name, hint in ItemRow.__annotations__.items():
        text = hint if isinstance(hint, str) else getattr(hint, "__forward_arg__", str(hint))
        found[name] = text.removeprefix("NotRequired[").removesuffix("]" if text.startswith("NotRequired[") else "")
    return {name: text.replace("None", "null").replace(" | ", " or ") for name, text in found.items()}


def page() -> str:
    """The whole page."""
    return f"""# Columns of results
Written by [`make_result_columns.py`](make_result_columns.py) from the formats of both packages. An empty field of a CSV
(null in JSON) is what the row has not: a training seed of what is not trained, the score of another task.

## Radio: results.csv of a sweep, waterfall --csv
The table of [`results_table`](monte-carlo.md#lora_phy.studies.tables.results_table). Lines before the header that begin
with `#` say where the numbers come from: `pandas.read_csv(path, comment="#")`.

{table(RADIO_COLUMNS, RADIO)}
## Radio: plan
The table of [`plan_table`](planning.md#lora_phy.studies.plan.plan_table).

{table(PLAN_COLUMNS + DISTANCE_COLUMNS, RADIO)}
## Study: results.csv
A row for each cell and task.

{table(RESULT_COLUMNS, BRIDGE)}
## Study: channel.csv
A row for each link and corpus: what the link did, before any model is asked.

{table(CHANNEL_COLUMNS, BRIDGE)}
## Study: items.jsonl
A line for each item and task. Fields of some tasks are absent from the rows of others.

{table(ItemRow.__annotations__, BRIDGE, item_types())}"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
