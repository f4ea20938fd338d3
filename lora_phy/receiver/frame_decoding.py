"""A frame's bytes from its symbols' likelihoods: header, coding rate and length, LDRO, payload."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import Bins
from lora_phy.coding.chain import (
    FIRST_BLOCK_LEN,
    Decoded,
    FrameStatus,
    frame_blocks,
    read_header,
)
from lora_phy.coding.gray import symbol_of_label
from lora_phy.coding.header import NUM_HEADER_NIBBLES, Header
from lora_phy.coding.joint import decode_block, decode_blocks, payload_from_metrics, search_header
from lora_phy.modem import _payload_kernels as _kernels
from lora_phy.params import LoRaParams

LDRO_CONFIDENCE = 0.85
MIN_HEADER_PROBABILITY = 0.5
MIN_UNCHECKED_PROBABILITY = 0.99
"""For a header without CRC where one is expected: nothing after it can contradict it."""


def header_symbols(params: LoRaParams) -> int:
    """Symbols that must be there before a frame's length is known: the first block, or all of an implicit frame's."""
    spilt = params.explicit_header and params.sf - 2 * params.header_reduced_rate < NUM_HEADER_NIBBLES
    return FIRST_BLOCK_LEN + (4 + params.cr) * spilt


def read_head(
    bins: Bins, scale: float, params: LoRaParams, *, soft: bool
) -> tuple[Header | None, npt.NDArray[np.float32]]:
    """The header, and the log-likelihoods of the nibbles that share its block."""
    nothing = np.empty((0, 16), dtype=np.float32)
    if len(bins) < header_symbols(params):
        return None, nothing
    implied = Header(payload_len=params.payload_len or 0, cr=params.cr, crc=params.crc)
    if not soft:
        return read_header(np.argmax(bins, axis=1), params) if params.explicit_header else implied, nothing
    block = frame_blocks(FIRST_BLOCK_LEN, params)[0]
    likelihoods = _likelihoods(bins, scale, block.reduced_rate, params.sf)
    metrics = decode_block(likelihoods, block)
    if not params.explicit_header:
        return implied, metrics
    decision = search_header(metrics[:NUM_HEADER_NIBBLES], crc_expected=params.crc)
    unchecked = params.crc and not decision.header.crc
    if decision.probability < (MIN_UNCHECKED_PROBABILITY if unchecked else MIN_HEADER_PROBABILITY):
        return None, nothing
    if block.num_codewords > NUM_HEADER_NIBBLES:
        metrics = decode_block(likelihoods, block, known=decision.nibbles)
    return decision.header, metrics[NUM_HEADER_NIBBLES:]


def decode_jointly(
    bins: Bins, head: npt.NDArray[np.float32], header: Header, scale: float, params: LoRaParams, total: int, trials: int
) -> Decoded:
    """The payload from the bins of a frame of `total` symbols, `head` holding what the first block says of it."""
    rest = bins[FIRST_BLOCK_LEN:]
    rest = rest[: len(rest) // (4 + header.cr) * (4 + header.cr)]
    likelihoods = _likelihoods(rest, scale, params.reduced_rate, params.sf)
    metrics = np.concatenate([head, decode_blocks(likelihoods, params.bits_per_symbol, header.cr)])
    payload, crc_ok = payload_from_metrics(metrics, header.payload_len, crc=header.crc, num_trials=trials)
    if len(bins) < total:
        status, crc_ok = FrameStatus.TRUNCATED, False if header.crc else None
    else:
        status = FrameStatus.BAD_CRC if crc_ok is False else FrameStatus.OK
    if len(bins) < total:
        payload = payload[: len(metrics) // 2]
    return Decoded(payload=payload, status=status, crc_ok=crc_ok, header=header if params.explicit_header else None)


def guess_ldro(bins: Bins, scale: float, params: LoRaParams) -> bool:
    """Whether symbols are 4k + 1 only, by likelihood; the 16 ms rule holds unless nearly all symbols speak against
    it.
    """
    expected = params.reduced_rate
    if len(bins) == 0:
        return expected
    likelihoods = np.empty(bins.shape, dtype=np.float32)
    _kernels.label_likelihoods(bins, _every_symbol(params.sf), np.float32(scale), likelihoods)
    evidence = _kernels.reduced_rate_evidence(likelihoods)
    # each symbol can speak for the reduced rate by ln 4 at most: nearly all must
    needed = LDRO_CONFIDENCE * math.log(4.0) * len(bins)
    return bool(evidence > (-needed if expected else needed))


@cache
def _every_symbol(sf: int) -> npt.NDArray[np.int32]:
    return np.arange(1 << sf, dtype=np.int32)


def _likelihoods(bins: Bins, scale: float, reduced_rate: bool, sf: int) -> npt.NDArray[np.float32]:
    table = symbol_of_label(sf, reduced_rate)
    out = np.empty((len(bins), len(table)), dtype=np.float32)
    _kernels.label_likelihoods(bins, table, np.float32(scale), out)
    return out
