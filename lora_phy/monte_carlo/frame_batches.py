r"""Many frames side by side: perfect synchronisation in a flat channel, by the kernels.

    payloads ─ encode ─► symbols ─ an engine ─► decisions or metrics ─ decode ─► nibbles ─ judge ─► counts

A frame is at most two sections, the first block and the rest; in each, symbols lie ``(num_symbols, num_frames)``, so
that eight lanes are eight frames at the same symbol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lora_phy.coding import crc as crc_rules
from lora_phy.coding.chain import FIRST_BLOCK_CR, FIRST_BLOCK_LEN, FrameStatus, decode_symbols, num_payload_symbols
from lora_phy.coding.decisions import reduced_rate_symbols
from lora_phy.coding.gray import symbol_of_label, symbols_to_labels
from lora_phy.coding.hamming import codebook, codebook_signs, hamming_decode
from lora_phy.coding.header import Header, decode_header, encode_header
from lora_phy.coding.whitening import whitening_sequence
from lora_phy.kernels import coding as kernels
from lora_phy.kernels.lanes import aligned_empty
from lora_phy.kernels.randomness import new_state
from lora_phy.kernels.select import announce
from lora_phy.monte_carlo.counts import LinkCounts, WeightedCounts
from lora_phy.monte_carlo.engines import (
    GROUP,
    draw_decisions,
    draw_metrics,
    lane_gains,
    unit_gains,
)
from lora_phy.monte_carlo.flat_channel import FlatChannel, flat_channel
from lora_phy.monte_carlo.importance import damage_weights, deep_fades, symbol_error_rates
from lora_phy.monte_carlo.points import LinkPoint
from lora_phy.params import LoRaParams

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]

BATCH_FRAMES = 200
"""Frames in a block."""
_PAYLOADS, _CHANNEL, _FADES = 0, 1, 2  # streams of a block


@dataclass(frozen=True)
class BlockResult:
    """Counts of a block, and which of its frames failed."""

    counts: LinkCounts | WeightedCounts
    failed: tuple[int, ...] = ()


def is_batch(point: LinkPoint, engine: str) -> bool:
    """Whether the kernels can run the frames of a point side by side."""
    if engine != "waveform":
        return True
    flat = flat_channel(point.params, point.channel)
    return point.sync == "perfect" and flat is not None and point.params.oversampling == 1


@dataclass(frozen=True)
class Section:
    """The first block of a frame, or all blocks after it: its symbols, its code, its first nibble."""

    start: int
    stop: int
    codeword_len: int
    rows: int
    reduced: bool
    first_nibble: int

    @property
    def num_symbols(self) -> int:
        """Symbols in the section."""
        return self.stop - self.start


@lru_cache(maxsize=256)
def frame_sections(params: LoRaParams, payload_len: int) -> tuple[Section, ...]:
    """The one or two sections of a frame with so many bytes."""
    rows = params.sf - 2 * params.header_reduced_rate
    stop = num_payload_symbols(payload_len, params)
    reduced = reduced_rate_symbols(FIRST_BLOCK_LEN + 1, params).tolist()
    first = Section(0, FIRST_BLOCK_LEN, 4 + FIRST_BLOCK_CR, rows, reduced[0], 0)
    rest = Section(FIRST_BLOCK_LEN, stop, 4 + params.cr, params.bits_per_symbol, reduced[-1], rows)
    return (first, rest) if stop > FIRST_BLOCK_LEN else (first,)


@lru_cache(maxsize=64)
def _labels_of_symbols(sf: int, reduced: bool) -> npt.NDArray[np.int32]:
    return np.ascontiguousarray(symbols_to_labels(np.arange(1 << sf), sf, reduced_rate=reduced))


@lru_cache(maxsize=64)
def _symbols_of_labels(sf: int, reduced: bool) -> npt.NDArray[np.int32]:
    return symbol_of_label(sf, reduced).copy()


@lru_cache(maxsize=4)
def hard_table(cr: int) -> Bytes:
    """Nibble of every received word ``(2**(4 + cr),)``, by hard decoding."""
    return hamming_decode(np.arange(1 << (4 + cr), dtype=np.uint8), cr)


CRC_REMAINDERS = np.array(crc_rules.REMAINDERS, dtype=np.uint32)


def _nibbles(point: LinkPoint, payloads: Bytes) -> tuple[Bytes, int]:
    """All nibbles of a batch, padding included, and how many of them are header."""
    params, length = point.params, point.payload_len
    header = np.zeros(0, np.uint8)
    if params.explicit_header:
        header = encode_header(Header(payload_len=length, cr=params.cr, crc=params.crc))
    sections = frame_sections(params, length)
    size = sum(s.num_symbols // s.codeword_len * s.rows for s in sections)
    out = np.zeros((len(payloads), max(size, header.size + 2 * length + 4 * params.crc)), np.uint8)
    kernels.frame_nibbles(payloads, header, params.crc, whitening_sequence(max(length, 1)), CRC_REMAINDERS, out)
    return out, header.size


def _encode(point: LinkPoint, nibbles: Bytes, section: Section) -> Words:
    """Symbols ``(num_symbols, num_frames)`` of a section, with room for whole groups behind them."""
    shape = (section.num_symbols, len(nibbles))
    symbols: Words = aligned_empty(-(-shape[0] * shape[1] // GROUP) * GROUP, np.uint32)
    symbols[:] = 0
    if section.reduced:
        symbols[:] = 1
    kernels.encode_blocks(
        nibbles,
        section.first_nibble,
        codebook(section.codeword_len - 4),
        section.codeword_len,
        section.rows,
        _symbols_of_labels(point.params.sf, section.reduced),
        symbols[: shape[0] * shape[1]].reshape(shape),
    )
    return symbols


def _payloads(point: LinkPoint, seed: tuple[int, ...], block: int, frames: int) -> Bytes:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(block, _PAYLOADS))))
    return rng.integers(0, 256, (frames, point.payload_len), dtype=np.uint8)


def batch_block(
    point: LinkPoint, engine: str, seed: tuple[int, ...], block: int, frames: int
) -> tuple[BlockResult, Bytes, Callable[[int], npt.NDArray[Any]]]:
    """A block by the kernels: its counts, the payloads, and a function that gives what the decoder saw of a frame."""
    announce(kernels.encode_blocks, "the coding chain")
    params, flat = point.params, flat_channel(point.params, point.channel)
    assert flat is not None
    payloads = _payloads(point, seed, block, BATCH_FRAMES)  # all of them: frame f must not depend on `frames`
    sent, header_len = _nibbles(point, payloads)
    received = np.zeros_like(sent)
    observed: list[tuple[Section, npt.NDArray[Any]]] = []
    for number, section in enumerate(frame_sections(params, point.payload_len)):
        symbols = _encode(point, sent, section)
        state = new_state(seed, block, _CHANNEL, number)
        gains = _block_gains(flat, seed, block, symbols.size, section.num_symbols)
        shape = (section.num_symbols, BATCH_FRAMES)
        if point.decoding == "hard":
            decided = draw_decisions(engine, params.sf, flat, symbols, gains, state, legal_only=section.reduced)
            hard = decided[: shape[0] * shape[1]].reshape(shape)
            _decode_hard(params.sf, section, hard, received)
            observed.append((section, hard))
        else:
            metrics = draw_metrics(engine, params.sf, flat, symbols, gains, state, reduced=section.reduced)
            soft = metrics[: shape[0] * shape[1]].reshape(*shape, section.rows)
            kernels.decode_blocks_soft(
                soft,
                section.codeword_len,
                section.rows,
                codebook_signs(section.codeword_len - 4),
                section.first_nibble,
                received,
            )
            observed.append((section, soft))

    def observation(i: int) -> npt.NDArray[Any]:
        if point.decoding == "hard":
            return np.concatenate([part[:, i] for _, part in observed]).astype(np.int32)
        columns = [np.pad(part[:, i], ((0, 0), (0, params.sf - part.shape[2]))) for _, part in observed]
        return np.concatenate(columns)

    verdicts = _judge(point, received[:frames], sent[:frames], header_len)
    counts, failed = LinkCounts(frames=frames), []
    for i in np.flatnonzero(verdicts != kernels.OK).tolist():
        if verdicts[i] == kernels.BAD_HEADER:
            outcome = _outcome_of_damaged_header(point, received[i], payloads[i], observation(i))
        else:
            outcome = _OUTCOMES[int(verdicts[i])]
        counts = counts + replace(outcome, frames=0)
        if outcome.frame_errors:
            failed.append(i)
    return BlockResult(counts, tuple(failed)), payloads, observation


def _decode_hard(sf: int, section: Section, hard: npt.NDArray[Any], received: Bytes) -> None:
    kernels.decode_blocks(
        hard,
        _labels_of_symbols(sf, section.reduced),
        section.codeword_len,
        section.rows,
        hard_table(section.codeword_len - 4),
        section.first_nibble,
        received,
    )


def _judge(point: LinkPoint, received: Bytes, sent: Bytes, header_len: int) -> Bytes:
    verdicts = np.zeros(len(received), np.uint8)
    whitening = whitening_sequence(max(point.payload_len, 1))
    kernels.judge_frames(
        received, sent, header_len, point.payload_len, point.params.crc, whitening, CRC_REMAINDERS, verdicts
    )
    return verdicts


def _block_gains(
    flat: FlatChannel, seed: tuple[int, ...], block: int, size: int, num_symbols: int
) -> npt.NDArray[np.float32]:
    """One fade for each frame, repeated for all its symbols, in lane layout."""
    if flat.fading is None:
        return unit_gains()
    fades = _fades(flat, seed, block)
    gains = np.ones(size, np.complex128)
    gains[: num_symbols * BATCH_FRAMES] = np.tile(fades, num_symbols)
    return lane_gains(gains)


def _fades(flat: FlatChannel, seed: tuple[int, ...], block: int) -> npt.NDArray[np.complex128]:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(block, _FADES))))
    return flat.gains(BATCH_FRAMES, rng)


_OUTCOMES = {
    kernels.BAD_CRC: LinkCounts(frames=1, frame_errors=1, bad_crc=1),
    kernels.UNDETECTED: LinkCounts(frames=1, frame_errors=1, undetected=1),
}


def _outcome_of_damaged_header(
    point: LinkPoint, nibbles: Bytes, payload: Bytes, observed: npt.NDArray[Any]
) -> LinkCounts:
    """A header that differs: refused by its checks, or read as another one, and then decoded as that says."""
    if decode_header(nibbles[:5]) is None:
        return LinkCounts(frames=1, frame_errors=1, bad_header=1)
    decoded = decode_symbols(observed, point.receiver_params)
    return tally(decoded.status, decoded.payload, payload.tobytes())


def importance_block(point: LinkPoint, seed: tuple[int, ...], block: int, frames: int) -> BlockResult:
    """Frames with too many symbol errors, weighted; hard decisions."""
    params, flat = point.params, flat_channel(point.params, point.channel)
    assert flat is not None
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(block, _CHANNEL))))
    payloads = _payloads(point, seed, block, BATCH_FRAMES)
    sent, header_len = _nibbles(point, payloads)
    received = np.zeros_like(sent)
    g = flat.amplitude(params.sf) ** 2
    gain, fade_weight = deep_fades(flat, g, BATCH_FRAMES, rng)
    sections = frame_sections(params, point.payload_len)
    rates = [symbol_error_rates(params.sf, s.reduced, g * gain) for s in sections]
    rest = (rates[1], sections[1].num_symbols) if len(sections) > 1 else (rates[0], 0)
    *flags, weights = damage_weights(rates[0], sections[0].num_symbols, rng, *rest)
    for section, wrong in zip(sections, flags, strict=False):
        symbols = _encode(point, sent, section)[: wrong.size].reshape(wrong.shape)
        step = 4 if section.reduced else 1
        moves = step * rng.integers(1, params.num_bins // step, wrong.shape, dtype=np.uint32)
        hard = (symbols + moves * wrong.astype(np.uint32)) & np.uint32(params.num_bins - 1)
        _decode_hard(params.sf, section, hard, received)
    verdicts = _judge(point, received[:frames], sent[:frames], header_len)
    failing = (weights * fade_weight)[:frames][verdicts != kernels.OK]
    return BlockResult(WeightedCounts(frames, float(failing.sum()), float(np.square(failing).sum())))


def tally(status: FrameStatus | None, received: bytes, payload: bytes) -> LinkCounts:
    """The counts of one frame; a status of None means that nothing was detected."""
    if status is FrameStatus.OK and received == payload:
        return LinkCounts(frames=1)
    return LinkCounts(
        frames=1,
        frame_errors=1,
        missed=int(status is None),
        bad_header=int(status in (FrameStatus.BAD_HEADER, FrameStatus.UNSUPPORTED)),
        bad_crc=int(status is FrameStatus.BAD_CRC),
        truncated=int(status is FrameStatus.TRUNCATED),
        undetected=int(status is FrameStatus.OK),
    )
