"""Trace of a frame, stage by stage, and the first stage in which two traces differ.

    payload ─ whitened ─ nibbles ─ codewords ─ labels ─ symbols ─ (bins)
       └────────────── sending order ──────────────┘   receiving order is the reverse

For whoever ports LoRa elsewhere: trace both implementations, and let `first_difference` name the stage to look at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lora_phy.coding.chain import (
    FIRST_BLOCK_LEN,
    checked_payload,
    encode_payload,
    frame_blocks,
    frame_nibbles,
    num_payload_symbols,
    read_header,
)
from lora_phy.coding.decisions import decide_symbols
from lora_phy.coding.gray import symbols_to_labels
from lora_phy.coding.hamming import hamming_decode
from lora_phy.coding.header import NUM_HEADER_NIBBLES
from lora_phy.coding.interleaving import deinterleave
from lora_phy.coding.whitening import whiten
from lora_phy.params import LoRaParams

Order = Literal["sending", "receiving"]
STAGES = ("payload", "whitened", "nibbles", "codewords", "labels", "symbols", "bins")


@dataclass(frozen=True, eq=False, kw_only=True)
class Trace:
    """Values of each stage, flat arrays by stage name; a stage that was not seen is missing."""

    stages: dict[str, npt.NDArray[Any]]

    def __getitem__(self, stage: str) -> npt.NDArray[Any]:
        """The array of one stage."""
        return self.stages[stage]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first stage that differs, where in it, and both values (None beyond the end of a shorter one)."""

    stage: str
    index: int
    left: float | None
    right: float | None


def trace_payload(payload: bytes, params: LoRaParams) -> Trace:
    """All stages of a transmission.

    Examples
    --------
    >>> trace = trace_payload(b"hi", LoRaParams(sf=7))
    >>> trace["nibbles"][:5].tolist(), trace["symbols"][:3].tolist()
    ([0, 2, 3, 0, 5], [97, 9, 29])
    """
    payload = checked_payload(payload, params)
    trace = trace_symbols(encode_payload(payload, params), params, payload_len=len(payload))
    raw = np.frombuffer(payload, dtype=np.uint8)
    # the encoder's own nibbles: without the padding that a decoder sees
    return Trace(
        stages={**trace.stages, "payload": raw, "whitened": whiten(raw), "nibbles": frame_nibbles(payload, params)}
    )


def trace_symbols(observed: npt.ArrayLike, params: LoRaParams, *, payload_len: int | None = None) -> Trace:
    """All stages of a reception by hard decisions, from symbols ``(n,)`` or matched-filter bins ``(n, 2**sf)``.

    Without a readable header (and no `payload_len`) the trace ends at the nibbles.
    """
    values = np.asarray(observed)
    stages: dict[str, npt.NDArray[Any]] = {}
    if values.ndim == 2:
        stages["bins"] = values
        values = decide_symbols(values, params)
    symbols = values.astype(np.int32)
    header = read_header(symbols, params) if params.explicit_header else None
    cr = header.cr if header is not None else params.cr
    labels, codewords, nibbles = [], [], []
    known = len(symbols) if cr <= 4 else FIRST_BLOCK_LEN  # long interleaving: only the header's block can be read
    for block in frame_blocks(min(known, len(symbols)), params, cr=min(cr, 4)):
        block_labels = symbols_to_labels(symbols[block.start : block.stop], params.sf, reduced_rate=block.reduced_rate)
        bits = block_labels[:, np.newaxis] >> np.arange(block.num_codewords - 1, -1, -1) & 1
        words = (deinterleave(bits) @ (1 << np.arange(3 + block.cr, -1, -1))).astype(np.uint8)
        labels.append(block_labels)
        codewords.append(words)
        nibbles.append(hamming_decode(words, block.cr))
    stages["symbols"] = symbols
    for name, parts in (("labels", labels), ("codewords", codewords), ("nibbles", nibbles)):
        stages[name] = np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)
    length = (
        header.payload_len if header is not None else payload_len if payload_len is not None else params.payload_len
    )
    if length is not None and cr <= 4:
        data = stages["nibbles"][NUM_HEADER_NIBBLES * params.explicit_header :][: 2 * length]
        data = data[: len(data) // 2 * 2]
        stages["whitened"] = (data[0::2] | data[1::2] << 4).astype(np.uint8)
        stages["payload"] = whiten(stages["whitened"])
    return Trace(stages=stages)


def first_difference(
    left: Trace, right: Trace, *, order: Order = "sending", tolerance: float = 1e-5
) -> Difference | None:
    """The first stage, in the order of sending or receiving, whose values differ; None where all common stages agree.

    Bins are compared relative to their largest, to `tolerance`.

    Examples
    --------
    >>> params = LoRaParams(sf=7)
    >>> first_difference(trace_payload(b"hi", params), trace_payload(b"ho", params))
    Difference(stage='payload', index=1, left=105, right=111)
    """
    names = STAGES if order == "sending" else STAGES[::-1]
    for stage in names:
        if stage not in left.stages or stage not in right.stages:
            continue
        a, b = left[stage].ravel(), right[stage].ravel()
        common = min(len(a), len(b))
        if stage == "bins":
            largest = max(float(a.max(initial=0.0)), float(b.max(initial=0.0)))
            unequal = np.flatnonzero(np.abs(a[:common] - b[:common]) > tolerance * largest)
        else:
            unequal = np.flatnonzero(a[:common] != b[:common])
        if len(unequal) or len(a) != len(b):
            index = int(unequal[0]) if len(unequal) else common
            return Difference(
                stage=stage,
                index=index,
                left=a[index].item() if index < len(a) else None,
                right=b[index].item() if index < len(b) else None,
            )
    return None


def describe(trace: Trace, params: LoRaParams) -> str:
    """The trace as text, one stage a line, for a terminal.

    Examples
    --------
    >>> print(describe(trace_payload(b"hi", LoRaParams(sf=7)), LoRaParams(sf=7)).splitlines()[0])
    payload      2 | 68 69
    """
    lines = []
    for stage in STAGES[:-1]:
        if stage in trace.stages:
            values = trace[stage]
            wide = stage in ("payload", "whitened", "codewords")
            text = " ".join(f"{int(v):02x}" if wide else str(int(v)) for v in values)
            lines.append(f"{stage:<9}{len(values):>5} | {text}")
    blocks = frame_blocks(len(trace.stages.get("symbols", ())), params)
    lines.append(f"blocks   {len(blocks):>5} | first {FIRST_BLOCK_LEN} symbols, then {4 + params.cr} each")
    return "\n".join(lines)


def expected_symbols(payload_len: int, params: LoRaParams) -> int:
    """Number of data symbols a trace of this payload has."""
    return num_payload_symbols(payload_len, params)
