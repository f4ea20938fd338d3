"""A frame's bytes from its symbols' likelihoods: header, coding rate and length, LDRO, payload."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.special

from lora_phy.arrays import Bins
from lora_phy.coding.chain import (
    FIRST_BLOCK_LEN,
    Decoded,
    FrameStatus,
    decode_symbols,
    first_block,
    frame_blocks,
    num_payload_symbols,
    read_header,
)
from lora_phy.coding.decisions import decide_symbols
from lora_phy.coding.gray import symbol_of_label, symbols_to_labels
from lora_phy.coding.hamming import codebook
from lora_phy.coding.header import NUM_HEADER_NIBBLES, Header
from lora_phy.coding.interleaving import deinterleave
from lora_phy.coding.joint import decode_block, decode_blocks, payload_from_metrics, search_header
from lora_phy.modem import _payload_kernels as _kernels
from lora_phy.params import LoRaParams

LDRO_CONFIDENCE = 0.85
AMPLE = 13.0
"""Nats of evidence, at the least, for a rate that the 16 ms rule does not say, where no CRC tells."""
MAX_BY_CHANCE = 1e-3
FULL_STRENGTH = 0.5
"""For a frame without a CRC where one is expected: as many codewords come by chance with this probability; share of the
preamble's power that its symbols have."""
RULED_OUT = 20.0
"""Nats of evidence against the reduced rate beyond which it is not decoded at all."""
FOR_REDUCED = math.log(4.0)
"""Nats by which one symbol can speak for the reduced rate."""
MIN_HEADER_PROBABILITY = 0.5
MIN_UNCHECKED_PROBABILITY = 0.99
"""For a header without CRC where one is expected, or with long interleaving: nothing after it can contradict it."""


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
    implied = None
    if not params.explicit_header:
        implied = Header(payload_len=params.payload_len or 0, cr=params.cr, crc=params.crc)
    if not soft:
        return implied or read_header(decide_symbols(bins, params), params), nothing
    block = first_block(params.sf, params.header_reduced_rate)
    likelihoods = _likelihoods(bins, scale, block.reduced_rate, params.sf)
    metrics = decode_block(likelihoods, block)
    if implied is not None:
        return implied, metrics
    decision = search_header(metrics[:NUM_HEADER_NIBBLES], crc_expected=params.crc)
    unchecked = params.crc and not decision.header.crc
    unchecked |= decision.header.long_interleaving
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


@cache
def with_ldro(params: LoRaParams, ldro: bool) -> LoRaParams:
    """The same parameters at the full or the reduced rate."""
    return replace(params, ldro=ldro)


def frame_symbols(header: Header, params: LoRaParams) -> int:
    """Data symbols of a frame with this header, at the rate of `params`; about as many with long interleaving."""
    return num_payload_symbols(header.payload_len, params, cr=header.parity_bits, crc=header.crc)


def plausible_rates(bins: Bins, header: Header, scale: float, params: LoRaParams) -> list[LoRaParams]:
    """The parameters with and without low-data-rate optimisation, as far as the symbols allow either; the 16 ms rule's
    first.

    `bins` are those of the symbols behind the header, as many as there are so far.
    """
    by_rule = with_ldro(params, params.reduced_rate)
    other = with_ldro(params, not params.reduced_rate)
    evidence = rate_evidence(bins[: _common_symbols(header, params)], scale, params.sf)
    # a symbol of 4k + 1 is legal at either rate, so full rate is never ruled out
    return [by_rule] if not params.reduced_rate and evidence < -RULED_OUT else [by_rule, other]


def by_likelihood(bins: Bins, header: Header, scale: float, es: float, rates: list[LoRaParams]) -> list[LoRaParams]:
    """The two rates, the likelier first: the other than the rule's where nearly all symbols speak for it, and enough.

    Reduced symbols are 4k + 1 only, and there are more of them: behind the end of a full-rate frame there is nothing.
    `es` is the energy of a symbol over that of the noise in a bin.
    """
    by_rule, other = rates
    common = _common_symbols(header, by_rule)
    longer = max(frame_symbols(header, item) for item in rates) - header_symbols(by_rule)
    seen = min(common if by_rule.reduced_rate else longer, len(bins))
    within = bins[:common]
    if not by_rule.reduced_rate:
        # zeros, once whitened, are symbols of value 1 at either rate: they speak for neither
        within = within[within.argmax(axis=1) != symbol_of_label(by_rule.sf, False)[0]]
        seen -= min(common, len(bins)) - len(within)
    evidence = rate_evidence(within, scale, by_rule.sf)
    beyond = scale * bins[common:longer, 1::4].astype(np.float64)
    if beyond.size:
        bessel = scipy.special.logsumexp(beyond + np.log(scipy.special.i0e(beyond)), axis=1)
        evidence += float(np.minimum(bessel - math.log(beyond.shape[1]) - es, FOR_REDUCED).sum())
    # each symbol can speak for the reduced rate by ln 4 at most: nearly all must
    needed = max(LDRO_CONFIDENCE * FOR_REDUCED * seen, AMPLE)
    overruled = evidence < -needed if by_rule.reduced_rate else evidence > needed
    return [other, by_rule] if overruled else rates


def decode_frame(
    bins: Bins,
    head: npt.NDArray[np.float32],
    header: Header | None,
    scale: float,
    rates: list[LoRaParams],
    *,
    soft_bins: bool,
    joint: bool,
    num_trials: int,
) -> tuple[Decoded, LoRaParams]:
    """The payload at the first of the rates at which its CRC holds, else at the first, and that rate."""
    if header is not None and header.long_interleaving:
        return Decoded(payload=b"", status=FrameStatus.UNSUPPORTED, crc_ok=None, header=header), rates[0]
    found: list[tuple[Decoded, LoRaParams]] = []
    for params in rates:
        total = header_symbols(params) if header is None else frame_symbols(header, params)
        if header is not None and joint:
            decoded = decode_jointly(bins[:total], head, header, scale, params, total, num_trials)
        else:
            observed = bins[:total] if soft_bins else decide_symbols(bins[:total], params)
            decoded = decode_symbols(observed, params)
            if header is None and decoded.header is not None:  # the checks hold, the likelihoods say otherwise
                decoded = Decoded(payload=b"", status=FrameStatus.BAD_HEADER, crc_ok=None, header=None)
        found.append((decoded, params))
        if decoded.crc_ok:
            return found[-1]
        if decoded.crc_ok is None:  # without a CRC the likelier rate stands
            break
    return found[0]


def is_payload_evident(bins: Bins, header: Header, signal_power: float, params: LoRaParams) -> bool:
    """Whether the symbols behind the header are a payload: tones as strong as the preamble's, and codewords.

    Hard decisions of random symbols make codewords with probability 16 / 2**(4 + cr) each. A frame that nothing else
    vouches for must have more of them than chance gives once in a thousand, or all of them and its full strength.
    """
    symbols = decide_symbols(bins, params)
    wrong = count = 0
    for block in frame_blocks(len(symbols), params, cr=header.cr)[1:]:
        labels = symbols_to_labels(symbols[block.start : block.stop], params.sf, reduced_rate=block.reduced_rate)
        bits = labels[:, np.newaxis] >> np.arange(block.num_codewords - 1, -1, -1) & 1
        words = deinterleave(bits) @ (1 << np.arange(3 + block.cr, -1, -1))
        wrong += int((~np.isin(words, codebook(block.cr))).sum())
        count += len(words)
    by_chance = float(scipy.special.bdtr(wrong, count, 1 - 2.0**-header.cr)) if count else 1.0
    strength = float((bins[FIRST_BLOCK_LEN:].max(axis=1) ** 2).mean()) if len(bins) > FIRST_BLOCK_LEN else 0.0
    full = wrong == 0 and strength >= FULL_STRENGTH * signal_power
    return by_chance <= MAX_BY_CHANCE or full or (header.payload_len == 0 and len(bins) >= FIRST_BLOCK_LEN)


def rate_evidence(bins: Bins, scale: float, sf: int) -> float:
    """Nats by which symbols of 4k + 1 alone are likelier than symbols of any value."""
    if len(bins) == 0:
        return 0.0
    likelihoods = np.empty(bins.shape, dtype=np.float32)
    _kernels.label_likelihoods(bins, _every_symbol(sf), np.float32(scale), likelihoods)
    return float(_kernels.reduced_rate_evidence(likelihoods))


def _common_symbols(header: Header, params: LoRaParams) -> int:
    """Symbols behind the header that a frame has at either rate."""
    return max(frame_symbols(header, with_ldro(params, False)) - header_symbols(params), 0)


@cache
def _every_symbol(sf: int) -> npt.NDArray[np.int32]:
    table = np.arange(1 << sf, dtype=np.int32)
    table.flags.writeable = False  # as `symbol_of_label`: the kernel would be compiled once more for another type
    return table


def _likelihoods(bins: Bins, scale: float, reduced_rate: bool, sf: int) -> npt.NDArray[np.float32]:
    table = symbol_of_label(sf, reduced_rate)
    out = np.empty((len(bins), len(table)), dtype=np.float32)
    _kernels.label_likelihoods(bins, table, np.float32(scale), out)
    return out
