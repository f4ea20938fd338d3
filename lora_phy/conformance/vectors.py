"""Symbols of other implementations: gr-lora_sdr's transmitter, and real chips."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from lora_phy.params import LoRaParams


@dataclass(frozen=True)
class Vector:
    """A frame as somebody else sends it. `same_padding`: its last block is padded with zero codewords, as ours is."""

    source: str
    params: LoRaParams
    payload: bytes
    symbols: tuple[int, ...]
    same_padding: bool


@cache
def peer_vectors() -> tuple[Vector, ...]:
    """Eighty frames of gr-lora_sdr: every spreading factor, coding rate and header mode, with LDRO and without."""
    found = []
    for sf, cr, implicit, crc, ldro, payload_hex, symbols_hex in _data("grlora_essential.json")["vectors"]:
        payload = bytes.fromhex(payload_hex)
        params = LoRaParams(
            sf=sf,
            cr=cr,
            explicit_header=not implicit,
            crc=bool(crc),
            ldro=(False, True, None)[ldro],
            payload_len=len(payload),
            variant="sx127x",
        )
        symbols = tuple(int(symbols_hex[i : i + 3], 16) for i in range(0, len(symbols_hex), 3))
        found.append(Vector("gr-lora_sdr 862746d", params, payload, symbols, True))
    return tuple(found)


@cache
def chip_vectors() -> tuple[Vector, ...]:
    """Twelve frames of real chips, symbol by symbol, with the padding that each chip puts in its last block."""
    found = []
    for row in _data("chip_symbols.json"):
        fields = ("sf", "bandwidth_hz", "cr", "crc", "ldro", "sync_word")
        params = LoRaParams(**{name: row[name] for name in fields})
        payload = bytes.fromhex(row["payload"])
        found.append(Vector(row["source"], params, payload, tuple(row["symbols"]), not row["padding_nibbles"]))
    return tuple(found)


def _data(name: str) -> Any:
    return json.loads((resources.files(__package__) / "data" / name).read_text(encoding="utf-8"))
