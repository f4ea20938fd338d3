"""The report's sections on the link: what it delivered, and a program before and after it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from llm_bridge.study import figures
from llm_bridge.study.html_parts import Column, figure, mark_damage, plain, table
from llm_bridge.study.points import AXIS_ORDER, LEVELS, Study, delivery_rows
from llm_bridge.study.words import axis_name, corpus_name, link_words, rank, sentence_case
from llm_bridge.transport.packets import HEADER_LEN

MAX_EXAMPLES = 6


def delivery_section(study: Study) -> str:
    """Pictures and a table of what each link delivered, counted over texts and channel seeds once."""
    rows = delivery_rows(study.cells)
    if not rows:
        return ""
    links: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        level = next((row[name] for name in LEVELS if row.get(name) is not None), row["snr_db"])
        same = tuple(row.get(name) for name in ("corpus", "axis", "fading", "cr", "policy", "source_coding"))
        links.setdefault((*same, level), []).append(row)
    telling: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for group in sorted(links.values(), key=_delivery_spread, reverse=True):
        if len(group) > 1:
            telling.setdefault((group[0]["corpus"], group[0]["axis"]), group)
    pictures = [
        figure(f"{corpus_name(corpus)}, {axis_name(axis)}", _link(group[0]), figures.delivery_against_sf(group))
        for (corpus, axis), group in sorted(
            telling.items(), key=lambda pair: (pair[0][0], rank(AXIS_ORDER, pair[0][1]))
        )
    ]
    pictures += [
        figure(
            f"{corpus_name(corpus)}: where on the waterfall",
            f"Lines: theory, whole fragments; markers: frames of this study. {sentence_case(_link(group[0]))}",
            figures.frames_lost_against_snr(group, payload_len),
        )
        for (corpus, axis), group in telling.items()
        if axis == "fixed_snr" and _in_theory(group[0]) and (payload_len := _payload_len(study))
    ]
    columns: list[Column] = [
        ("Corpus", "setting", lambda r: corpus_name(r["corpus"])),
        ("Held equal", "setting", lambda r: axis_name(r["axis"]).split(" at ")[0]),
        ("SF", "number", lambda r: r["sf"]),
        ("Distance / km", "setting", lambda r: r["distance_km"]),
        ("Loss aimed at", "setting", lambda r: r["frame_loss"]),
        ("SNR / dB", "setting", lambda r: plain(r["snr_db"])),
        ("Fading", "setting", lambda r: r["fading"] or "none"),
        ("Policy", "setting", lambda r: r["policy"]),
        ("Items", "number", lambda r: r["n"]),
        ("Delivered", "number", lambda r: r["delivered"]),
        ("Whole", "number", lambda r: r["intact"]),
        ("Fragments", "number", lambda r: r["fragments_sent"]),
        ("Lost", "number", lambda r: r["fragments_lost"]),
        ("Bytes sent", "number", lambda r: r["bytes_sent"]),
        ("Wrong or lost", "number", lambda r: r["residual_errors"]),
        ("Airtime / s", "number", lambda r: round(r["airtime_s"], 1)),
    ]
    return f'<div class="panels">{"".join(pictures)}</div>' + table("Delivery of each link", columns, rows)


def example_section(study: Study) -> str:
    """A program as sent and as received at each spreading factor, damage marked."""
    parts = []
    examples = [(cell.config, example) for cell in study.cells for example in cell.examples]
    examples.sort(key=lambda pair: (rank(AXIS_ORDER, pair[0].get("axis")), pair[0].get("sf") or 0))
    first_axis = examples[0][0].get("axis") if examples else None
    seen: dict[Any, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
    for config, example in examples:
        if config.get("axis") == first_axis:
            seen.setdefault(config.get("sf"), (config, example))
    chosen = list(seen.values())[:MAX_EXAMPLES]
    # open the first one that shows damage and still has something to read
    shown = [bool(e["received"].strip("\ufffd\n ")) and e["sent"] != e["received"] for _, e in chosen]
    opened = shown.index(True) if any(shown) else 0
    for index, (config, example) in enumerate(chosen):
        sent, received, holes = example["sent"], example["received"], example.get("holes") or []
        left, right = mark_damage(sent, received, holes)
        lost, size = sum(int(end) - int(start) for start, end in holes), len(sent.encode())
        state = "arrived whole" if sent == received else f"{lost} of {size} bytes lost" if holes else "arrived damaged"
        if not received.strip("\ufffd\n "):
            right, state = '<mark class="hole">nothing arrived</mark>', "nothing arrived"
        link = f"SF{config['sf']}, " if config.get("sf") is not None else ""
        parts.append(
            f"<details{' open' if index == opened else ''}><summary>{link}{escape(state)}</summary>"
            f'<p class="note">{escape(str(example.get("program", "a program")))}; {escape(_link(config))}</p>'
            f'<div class="sides"><div><h3>As sent</h3><pre tabindex="0">{left}</pre></div>'
            f'<div><h3>As received</h3><pre tabindex="0">{right}</pre></div></div></details>'
        )
    if not parts:
        return ""
    return (
        '<p class="note">Struck through: bytes that did not arrive. Dashed box: the hole they left, its place known. '
        f"Wavy: characters that arrived wrong.</p>{''.join(parts)}"
    )


# --- helpers ----------------------------------------------------------------------------------------------------------


def _link(row: Mapping[str, Any]) -> str:
    return ", ".join(link_words(row))


def _in_theory(row: Mapping[str, Any]) -> bool:
    """Whether there is a closed form for the frames of this link."""
    return row["fading"] in (None, "none", "rayleigh") and row["policy"] == "drop" and math.isfinite(row["snr_db"])


def _payload_len(study: Study) -> int | None:
    """Bytes of a whole fragment with our header, where all cells agree on it."""
    found = {str((cell.config.get("radio") or {}).get("fragment")) for cell in study.cells if cell.config.get("sf")}
    text = found.pop() if len(found) == 1 else ""
    return int(text) + HEADER_LEN if text.isdecimal() else None


def _delivery_spread(group: Sequence[Mapping[str, Any]]) -> float:
    """How much the share of whole items differs between the spreading factors of a link."""
    shares = [row["intact"] / max(1, row["n"]) for row in group]
    return max(shares) - min(shares)
