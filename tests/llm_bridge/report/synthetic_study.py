"""A made-up results folder in the shape of a real study, so that the report can be tested without running one."""

import itertools
import json
from pathlib import Path

import numpy as np

from llm_bridge.files import digest, write_json, write_jsonl
from llm_bridge.results_format import finalise
from llm_bridge.scoring.metrics import score_cell

PROGRAM = """def busy_hours(bookings, opening, closing):
    hours = set()
    for booking in bookings:
        first = max(booking.start, opening)
        final = min(booking.end, closing)
        for hour in range(first, final):
            hours.add(hour)
    idle = closing - opening - len(hours)
    return sorted(hours), idle
"""
# share of fragments lost at each SF: fixed SNR gets better with SF, at equal airtime the slow ones cannot send it all
LOSS = {
    "fixed_snr": {7: 0.93, 8: 0.7, 9: 0.4, 10: 0.18, 11: 0.07, 12: 0.02},
    "equal_airtime": {7: 0.8, 8: 0.45, 9: 0.2, 10: 0.18, 11: 0.45, 12: 0.75},
    "distance": {7: 0.6, 8: 0.35, 9: 0.18, 10: 0.09, 11: 0.04, 12: 0.02},
    "equal_energy": {7: 0.35, 8: 0.33, 9: 0.31, 10: 0.3, 11: 0.29, 12: 0.28},
    "equal_loss": dict.fromkeys(range(7, 13), 0.3),
}
SKILL = {"zero-shot": {"localise": 0.3, "paired": 0.78, "detect": 0.0}}
SKILL |= {
    "qlora": {"localise": 0.62, "paired": 0.8, "detect": 0.02},
    "full": {"localise": 0.66, "paired": 0.8, "detect": 0.04},
}
SKILL |= {
    "lora": {"localise": 0.64, "paired": 0.8, "detect": 0.03},
    "zero-shot-nf4": {"localise": 0.28, "paired": 0.76, "detect": 0.0},
    "rules": {"localise": 0.1, "paired": 0.0, "detect": 0.0},
    "qlora-shuffled": {"localise": 0.0, "paired": 0.7, "detect": 0.0},
    "full-shuffled": {"localise": 0.0, "paired": 0.7, "detect": 0.0},
}
BASELINE_LOCALISE = 0.17


def make_study(
    directory: Path,
    *,
    spreading_factors=(7, 8, 9, 10, 11, 12),
    axes=("fixed_snr", "equal_airtime"),
    methods=("zero-shot", "qlora", "full"),
    tasks=("localise", "paired", "detect"),
    train_seeds=(0,),
    channel_seeds=(0,),
    num_programs=42,
    policy="drop",
    model="smollm2-135m-instruct",
    snrs=(-10.0,),
    corpus="minibugs",
    with_clean=True,
    splits=("eval",),
    channel_seeds_each=None,
) -> Path:
    """Write cells of a full grid, sealed like real ones; equal arguments give equal files.

    With `channel_seeds_each` every training seed has so many of the channel seeds for its own.
    """
    links = [(None, None, None, None)] if with_clean else []
    links += [
        (axis, sf, snr, seed) for axis in axes for sf in spreading_factors for snr in snrs for seed in channel_seeds
    ]
    for (axis, sf, snr, channel_seed), split in itertools.product(links, splits):
        for method in methods:
            trained = not (method.startswith("zero-shot") or method == "rules")
            for train_seed in train_seeds if trained else (None,):
                own = channel_seed is None or channel_seed // (channel_seeds_each or 1) == train_seed
                if (trained and channel_seeds_each and not own) or (sf is None and split != splits[0]):
                    continue
                if not trained and split in ("train", "both"):
                    continue
                _write_cell(
                    directory,
                    {
                        "recipe": "synthetic",
                        "corpus": corpus,
                        "method": method,
                        "train_seed": train_seed,
                        "corrupted_split": "none" if sf is None else split,
                        "axis": axis,
                        "sf": sf,
                        "snr_db": snr,
                        "fading": None if sf is None else "rayleigh",
                        "cr": None if sf is None else 1,
                        "policy": None if sf is None else policy,
                        "source_coding": None if sf is None else "utf8",
                        "channel_seed": channel_seed,
                        "distance_km": 2.0 if axis == "distance" else None,
                        "ebn0_db": 10.0 if axis == "equal_energy" else None,
                        "frame_loss": 0.3 if axis == "equal_loss" else None,
                        "model": {"name": model},
                        "radio": {"fragment": "48", "bandwidth_hz": 125e3} if sf else None,
                    },
                    tasks,
                    num_programs,
                )
    return directory


def _write_cell(directory, config, tasks, num_programs):
    link_rng = np.random.default_rng([1, config["channel_seed"] or 0, config["sf"] or 0, len(config["axis"] or "")])
    loss = 0.0
    crossed = config["corrupted_split"] in ("eval", "both")  # else the texts to judge are clean
    if config["sf"] is not None and crossed:
        loss = (
            0.0
            if config["snr_db"] == np.inf
            else 1 / (1 + (1 / LOSS[config["axis"]][config["sf"]] - 1) * 10 ** ((config["snr_db"] + 10) / 4))
        )
    sent = link_rng.integers(3, 7, (num_programs, 2))
    lost = link_rng.binomial(sent, loss)
    skill_rng = np.random.default_rng([2, len(config["method"]), config["train_seed"] or 0, config["sf"] or 0])
    ease = np.random.default_rng(3).random(num_programs)
    items, rows = [], []
    name = "-".join(str(config[key]) for key in ("corpus", "method", "corrupted_split", "axis", "sf"))
    name += f"-{digest(config, length=10)}"
    for task in tasks:
        skill = SKILL[config["method"]][task]
        task_items = []
        for program in range(num_programs):
            solves = bool(ease[program] * 0.8 + 0.2 * skill_rng.random() < skill)
            guesses = bool(skill_rng.random() < BASELINE_LOCALISE)
            for which, version in enumerate(("buggy", "correct")):
                if which and task != "detect":
                    continue
                if task == "paired":
                    version, side = "pair", slice(None)
                else:
                    side = slice(which, which + 1)
                num_sent, num_lost = int(sent[program, side].sum()), int(lost[program, side].sum())
                delivered, intact = num_lost < num_sent, num_lost == 0
                clear = skill_rng.random() > (num_lost / num_sent) ** 0.5
                if task == "detect":
                    decision = "buggy" if skill_rng.random() < 0.5 + (skill if which == 0 else 0) else "correct"
                    correct = (decision == "buggy") == (version == "buggy")
                elif task == "paired":
                    correct = delivered and ((solves and clear) or (not clear and skill_rng.random() < 0.5))
                    decision = "buggy" if correct else ("tie" if skill_rng.random() < 0.2 else "correct")
                else:
                    correct = delivered and ((solves and clear) or guesses)
                    decision = [40, 60] if correct else [0, 20]
                item = {
                    "program": f"program{program:02}",
                    "version": version,
                    "task": task,
                    "delivered": delivered,
                    "intact": intact,
                    "score": round(float(skill_rng.normal()), 3) if delivered else None,
                    "decision": decision if delivered else None,
                    "gold": [[40, 60]] if task == "localise" else "buggy" if version == "pair" else version,
                    "correct": bool(correct) if delivered else task == "detect" and version == "correct",
                    "bytes_sent": 0 if config["sf"] is None or not crossed else 48 * num_sent,
                    "byte_errors": 0,
                    "bytes_lost": 48 * num_lost,
                    "fragments_sent": 0 if config["sf"] is None or not crossed else num_sent,
                    "fragments_lost": num_lost,
                    "airtime_s": 0.0 if config["sf"] is None else num_sent * 0.1 * 2 ** (config["sf"] - 7),
                    "group": f"program{program:02}",
                    "axis": config["axis"],
                    "parses": delivered and (intact or bool(skill_rng.random() < 0.15)),
                }
                if task == "localise":
                    item |= {"num_lines": 6 + program % 5, "num_gold": 1 + (program % 7 == 0)}
                if task == "paired":
                    item["longer"] = bool(program % 2)
                task_items.append(item)
        items += task_items
        fields = ("sf", "snr_db", "fading", "cr", "policy", "source_coding", "corrupted_split", "method", "train_seed")
        fields += ("axis", "distance_km", "ebn0_db", "frame_loss")
        link = {key: config[key] for key in (*fields, "channel_seed", "corpus")}
        counted = {"parses": sum(item["parses"] for item in task_items)}
        train_delivered = 0.9 if config["corrupted_split"] in ("train", "both") else None
        rows.append(
            {
                **link,
                "task": task,
                "train_delivered": train_delivered,
                **score_cell(task_items, num_resamples=500),
                **counted,
            }
        )
    folder = directory / name
    write_json(folder / "config.json", config)
    write_json(folder / "provenance.json", {"chirpbridge": "0.1.0", "python": "3.11.9", "hardware": {"cpus": 2}})
    write_jsonl(folder / "items.jsonl", [{"cell": name, **item} for item in items])
    if config["sf"] is not None and config["method"] == "zero-shot":
        write_json(folder / "example.json", _example(loss, link_rng, config["policy"]))
    finalise(folder, {"rows": rows})


def _example(loss, rng, policy):
    """The program cut into fragments of 48 bytes, of which some are lost, or wrong where bad ones are delivered."""
    text = PROGRAM
    pieces, holes = [], []
    for start in range(0, len(text), 48):
        end = min(len(text), start + 48)
        if rng.random() >= loss:
            pieces.append(text[start:end])
        elif policy == "deliver":
            pieces.append("".join(chr(33 + rng.integers(90)) if rng.random() < 0.1 else c for c in text[start:end]))
        elif holes and holes[-1][1] == start:
            holes[-1][1] = end
        else:
            holes.append([start, end])
            pieces.append("\ufffd")
    return {"program": "busy_hours", "sent": text, "received": "".join(pieces), "holes": holes}


def read_page(directory: Path) -> str:
    """The report's text."""
    return (directory / "report.html").read_text(encoding="utf-8")


def read_rows(directory: Path) -> list[dict]:
    """Rows of every cell's result."""
    return [row for path in sorted(directory.glob("*/result.json")) for row in json.loads(path.read_text())["rows"]]
