r"""Keyed frames by the kernels: perfect synchronisation in a flat channel, frames of any lengths side by side.

    payloads ─ nibbles ─ labels ─(XOR)─ received labels ─ nibbles ─ payloads and verdicts
                                   │
                     an engine ─► d, the error of each label, drawn from the frame's own key

"bins" draws the energies of all legal bins; "waveform" sends the chirp of label 0 through noise, dechirp and FFT. The
channel is symmetric in the labels (`lora_phy.kernels.keyed_frames`), so what is drawn is an error, to be added to
whatever was sent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special

from lora_phy.coding.chain import FrameStatus, decode_symbols, num_payload_symbols
from lora_phy.coding.gray import symbol_of_label, symbols_to_labels
from lora_phy.coding.hamming import codebook, codebook_signs
from lora_phy.coding.header import NUM_HEADER_NIBBLES, Header, encode_header, header_checks
from lora_phy.coding.whitening import whitening_sequence
from lora_phy.kernels import coding as kernels
from lora_phy.kernels import keyed_frames
from lora_phy.kernels.lanes import LANES, aligned_empty
from lora_phy.kernels.modem import bin_of_label, soft_buffer
from lora_phy.kernels.select import announce, pipeline
from lora_phy.kernels.tables import buffers, offset_factors, tables
from lora_phy.monte_carlo.flat_channel import FlatChannel
from lora_phy.monte_carlo.frame_batches import CRC_REMAINDERS, Section, frame_sections, hard_table
from lora_phy.params import MAX_PAYLOAD_LEN, LoRaParams
from lora_phy.random_streams import Keys, random_words, uniforms

NOISE_STREAM, FADE_STREAM = 0, 1
Labels = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class KeyedBatch:
    """Outcomes of a batch, in the order given: payloads, statuses, whether a CRC held, wrong symbols."""

    payloads: list[bytes]
    statuses: list[FrameStatus | None]
    crc_ok: npt.NDArray[np.bool_]
    symbol_errors: npt.NDArray[np.int64]


def keyed_gains(flat: FlatChannel, keys: Keys) -> npt.NDArray[np.complex128]:
    """Complex ``(n,)``: the fade of each key, of mean power 1; of the laws of `FlatChannel.gains`."""
    if flat.fading is None:
        return np.ones(len(keys), np.complex128)
    u = uniforms(keys, 2, stream=FADE_STREAM)
    turn = np.exp(2j * np.pi * u[:, 1])
    if flat.fading == "nakagami":
        power = scipy.special.gammaincinv(flat.nakagami_m, u[:, 0]) / flat.nakagami_m
        return np.asarray(np.sqrt(power) * turn)
    scattered = np.sqrt(-np.log(u[:, 0])) * turn
    if np.isinf(flat.k_factor):
        return np.ones(len(keys), np.complex128)
    k = flat.k_factor
    return np.asarray(np.sqrt(k / (k + 1)) + np.sqrt(1 / (k + 1)) * scattered)


def send_batch(
    payloads: Sequence[bytes],
    params: LoRaParams,
    flat: FlatChannel,
    gains: npt.NDArray[np.complex128],
    keys: Keys,
    *,
    engine: str,
    soft: bool,
) -> KeyedBatch:
    """Send frames that lie in memory together; `send_frames` cuts longer lists into such batches."""
    announce(keyed_frames.close_frames, "the coding chain")
    count = len(payloads)
    lengths = np.fromiter(map(len, payloads), np.int64, count)
    order = np.argsort(-lengths, kind="stable")  # groups of eight of equal length, the longest first
    width = -(-count // LANES) * LANES
    where = np.resize(order, width)  # the last group is filled up with frames whose result is not looked at
    sizes = lengths[where]
    longest = int(sizes[0])
    rows = np.zeros((width, max(longest, 1)), np.uint8)
    joined = b"".join(payloads[i].ljust(longest, b"\0") for i in where.tolist())
    rows[:, :longest] = np.frombuffer(joined, np.uint8).reshape(width, longest)
    whitening = whitening_sequence(max(longest, 1))
    sections = frame_sections(params, longest)
    headers = _headers(params.cr, params.crc)[:, : NUM_HEADER_NIBBLES * params.explicit_header]
    header_len = headers.shape[1]
    columns = sections[-1].first_nibble + sections[-1].num_symbols // sections[-1].codeword_len * sections[-1].rows
    columns = max(columns, header_len + 2 * longest + 4 * params.crc)
    sent, received = np.empty((width, columns), np.uint8), np.zeros((width, columns), np.uint8)
    keyed_frames.close_frames(rows, sizes, headers, params.crc, whitening, CRC_REMAINDERS, sent)
    num_symbols = _num_symbols(params)[sizes]
    realisation = _realisation(engine, params, flat, gains[where], keys[where], num_symbols)
    errors = np.zeros((sections[-1].stop, width), np.uint32)
    observed: list[npt.NDArray[Any]] = []
    for section in sections:
        labels = _labels(sent, section)
        part = errors[section.start : section.stop]
        if soft:
            metrics = _draw_metrics(realisation, section, part)
            keyed_frames.turn_metrics(metrics, labels)
            signs = codebook_signs(section.codeword_len - 4)
            kernels.decode_blocks_soft(
                metrics, section.codeword_len, section.rows, signs, section.first_nibble, received
            )
            observed.append(metrics)
        else:
            _draw_labels(realisation, section, part)
            hard = labels ^ part
            table = hard_table(section.codeword_len - 4)
            kernels.decode_blocks(
                hard, _identity(section.rows), section.codeword_len, section.rows, table, section.first_nibble, received
            )
            observed.append(hard)
    verdicts = np.zeros(width, np.uint8)
    out = np.zeros_like(rows)
    keyed_frames.open_frames(received, sent, sizes, header_len, params.crc, whitening, CRC_REMAINDERS, out, verdicts)
    wrong = np.count_nonzero(errors[:, :count] * (np.arange(len(errors))[:, None] < num_symbols[:count]), axis=0)
    result: list[bytes] = [b""] * count
    statuses: list[FrameStatus | None] = [FrameStatus.OK] * count
    crc_ok, symbol_errors = np.zeros(count, np.bool_), np.zeros(count, np.int64)
    symbol_errors[order] = wrong
    crc_ok[order] = (verdicts[:count] == keyed_frames.OK) & params.crc
    readable = _checks_hold(received[:count]) if header_len else np.ones(count, np.bool_)
    flat_bytes, stride = out.tobytes(), out.shape[1]
    for place, (index, verdict) in enumerate(zip(order.tolist(), verdicts[:count].tolist(), strict=True)):
        if verdict != keyed_frames.OTHER_HEADER:
            result[index] = flat_bytes[place * stride : place * stride + len(payloads[index])]
            if verdict == keyed_frames.BAD_CRC:
                statuses[index] = FrameStatus.BAD_CRC
        elif not readable[place]:
            statuses[index] = FrameStatus.BAD_HEADER
        else:  # another header, whose checks hold: decoded as that one says
            seen = _observation(params, sections, observed, place, int(num_symbols[place]))
            decoded = decode_symbols(seen, params)
            result[index], statuses[index] = decoded.payload, decoded.status
            crc_ok[index] = decoded.crc_ok is True
    return KeyedBatch(result, statuses, crc_ok, symbol_errors)


# ---- errors from an engine ------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class _Realisation:
    """What the frames of a batch draw from: a generator for each lane, which goes on from section to section."""

    engine: str
    sf: int
    flat: FlatChannel
    states: Labels
    gains: Floats
    stops: npt.NDArray[np.int64]

    def rows(self, section: Section) -> npt.NDArray[np.int64]:
        """Number of a section's symbols that each group of eight frames has."""
        return np.minimum(self.stops, section.stop) - section.start


def _realisation(
    engine: str,
    params: LoRaParams,
    flat: FlatChannel,
    gains: npt.NDArray[np.complex128],
    keys: Keys,
    num_symbols: npt.NDArray[np.int64],
) -> _Realisation:
    groups = len(keys) // LANES
    words = random_words(keys, 4, stream=NOISE_STREAM).reshape(groups, LANES, 4)
    lanes = np.empty((groups, 2, LANES), np.float32)
    lanes[:, 0], lanes[:, 1] = gains.real.reshape(groups, LANES), gains.imag.reshape(groups, LANES)
    return _Realisation(
        engine=engine,
        sf=params.sf,
        flat=flat,
        states=np.ascontiguousarray(words.transpose(0, 2, 1)).reshape(groups, 4 * LANES),
        gains=lanes.reshape(groups, 2 * LANES),
        stops=num_symbols.reshape(groups, LANES).max(axis=1),
    )


def _draw_labels(realisation: _Realisation, section: Section, errors: Labels) -> None:
    """Fill `errors` ``(num_symbols, frames)`` of a section."""
    stops = realisation.rows(section)
    if math.isinf(realisation.flat.snr_db):
        return  # no noise, no error
    if realisation.engine == "bins":
        amplitude = realisation.flat.amplitude(realisation.sf)
        keyed_frames.draw_labels(realisation.states, realisation.gains, amplitude, stops, 1 << section.rows, errors)
        return
    kernel = pipeline("link", realisation.sf)
    legal = (1, 4) if section.reduced else (0, 1)
    labels = _labels_of_symbols(realisation.sf, section.reduced)
    common = (
        offset_factors(realisation.sf, 0.0),
        realisation.flat.noise_power,
        *legal,
        tables(realisation.sf),
        buffers(realisation.sf),
    )
    decided = aligned_empty(LANES * section.num_symbols, np.uint32)
    for g, stop in enumerate(stops.tolist()):
        if stop > 0:
            part = decided[: LANES * stop]
            kernel(realisation.states[g], _ones(LANES * stop), realisation.gains[g], 0, *common, part)
            errors[:stop, LANES * g : LANES * (g + 1)] = labels[part].reshape(stop, LANES)


def _draw_metrics(realisation: _Realisation, section: Section, errors: Labels) -> Floats:
    """Bit metrics ``(num_symbols, frames, bits)`` of the errors of a section; fills `errors` beside."""
    bits = section.rows
    metrics: Floats = aligned_empty(errors.size * bits).reshape(*errors.shape, bits)
    metrics[:] = -1.0  # every bit of an error is 0: there is none
    stops = realisation.rows(section)
    if math.isinf(realisation.flat.snr_db):
        return metrics
    if realisation.engine == "bins":
        order = np.arange(1 << bits, dtype=np.uint32)
        amplitude, work = realisation.flat.amplitude(realisation.sf), soft_buffer(realisation.sf)
        keyed_frames.draw_metrics(
            realisation.states, realisation.gains, amplitude, stops, bits, order, work, errors, metrics
        )
        return metrics
    again = replace(realisation, states=realisation.states.copy())
    _draw_labels(again, section, errors)  # the same noise, decided
    kernel = pipeline("link_soft", realisation.sf)
    common = (
        offset_factors(realisation.sf, 0.0),
        realisation.flat.noise_power,
        tables(realisation.sf),
        buffers(realisation.sf),
    )
    tail = (soft_buffer(realisation.sf), bin_of_label(realisation.sf, section.reduced), bits)
    out = aligned_empty(LANES * section.num_symbols * bits)
    for g, stop in enumerate(stops.tolist()):
        if stop > 0:
            part = out[: LANES * stop * bits]
            kernel(realisation.states[g], _ones(LANES * stop), realisation.gains[g], 0, *common, *tail, part)
            metrics[:stop, LANES * g : LANES * (g + 1)] = part.reshape(stop, LANES, bits)
    return metrics


# ---- tables and small parts -----------------------------------------------------------------------------------------
def _labels(nibbles: npt.NDArray[np.uint8], section: Section) -> Labels:
    """Labels ``(num_symbols, frames)`` of a section."""
    labels = np.empty((section.num_symbols, len(nibbles)), np.uint32)
    kernels.encode_blocks(
        nibbles,
        section.first_nibble,
        codebook(section.codeword_len - 4),
        section.codeword_len,
        section.rows,
        _identity(section.rows),
        labels,
    )
    return labels


@lru_cache(maxsize=64)
def _num_symbols(params: LoRaParams) -> npt.NDArray[np.int64]:
    """Data symbols of a frame by its payload's length."""
    return np.array([num_payload_symbols(n, params) for n in range(MAX_PAYLOAD_LEN + 1)], np.int64)


@cache
def _identity(bits: int) -> npt.NDArray[np.int32]:
    return np.arange(1 << bits, dtype=np.int32)


@cache
def _labels_of_symbols(sf: int, reduced: bool) -> Labels:
    return symbols_to_labels(np.arange(1 << sf), sf, reduced_rate=reduced).astype(np.uint32)


@cache
def _headers(cr: int, crc: bool) -> npt.NDArray[np.uint8]:
    """Header nibbles ``(256, 5)`` by payload length."""
    return np.array([encode_header(Header(payload_len=n, cr=cr, crc=crc)) for n in range(MAX_PAYLOAD_LEN + 1)])


@cache
def _header_checks() -> npt.NDArray[np.uint8]:
    return np.array([header_checks(information) for information in range(1 << 12)], np.uint8)


def _checks_hold(nibbles: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Whether the five check bits of received headers are those of their information bits, ``(frames,)``."""
    n0, n1, n2, n3, n4 = nibbles[:, :NUM_HEADER_NIBBLES].T.astype(np.int64)
    return np.asarray(_header_checks()[n0 << 8 | n1 << 4 | n2] == ((n3 & 1) << 4 | n4))


def _ones(count: int) -> Labels:
    """So many symbols of label 0, which is the chirp of value 1 at either rate."""
    symbols: Labels = aligned_empty(count, np.uint32)
    symbols[:] = 1
    return symbols


def _observation(
    params: LoRaParams, sections: Sequence[Section], observed: Sequence[npt.NDArray[Any]], place: int, num_symbols: int
) -> npt.NDArray[Any]:
    """What the decoder saw of one frame, in the form that `decode_symbols` takes."""
    parts = []
    for section, part in zip(sections, observed, strict=True):
        own = part[:, place]
        if own.ndim == 1:
            parts.append(symbol_of_label(params.sf, section.reduced)[own])
        else:
            parts.append(np.pad(own, ((0, 0), (0, params.sf - own.shape[1]))))
    return np.concatenate(parts)[:num_symbols]
