"""The whole coding chain: payload bytes to chirp symbols and back.

    payload ─ whiten ─ nibbles ─ header before, CRC after ─ Hamming ─ interleave ─ Gray ─► symbols

A frame is a first block of eight symbols at rate 4/8, carrying sf - 2 bits each (sf for SF5 and SF6 of the sx126x),
then blocks of 4 + cr symbols. Missing nibbles at the end are padded with zero codewords; a decoder accepts any padding.

Source: docs/explanation/conventions.md collects the facts; the values agree with gr-lora_sdr, symbol by symbol.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import Codewords, Nibbles, Symbols
from lora_phy.coding.crc import payload_crc
from lora_phy.coding.gray import labels_to_symbols, symbol_of_label, symbols_to_labels
from lora_phy.coding.hamming import hamming_decode, hamming_decode_soft, hamming_encode
from lora_phy.coding.header import NUM_HEADER_NIBBLES, Header, decode_header, encode_header
from lora_phy.coding.interleaving import deinterleave, interleave
from lora_phy.coding.whitening import whiten
from lora_phy.kernels.metrics import max_log_metrics
from lora_phy.params import MAX_PAYLOAD_LEN, LoRaParams

FIRST_BLOCK_CR = 4
FIRST_BLOCK_LEN = 8
NUM_CRC_NIBBLES = 4
_LARGEST_METRIC = 1e30


class FrameStatus(StrEnum):
    """Outcome of a frame; UNSUPPORTED: its header can be read and announces long interleaving."""

    OK = "ok"
    BAD_HEADER = "bad_header"
    BAD_CRC = "bad_crc"
    TRUNCATED = "truncated"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A decoded frame. `crc_ok` is None where the frame carries no CRC; then OK means complete, no more."""

    payload: bytes
    status: FrameStatus
    crc_ok: bool | None
    header: Header | None


@dataclass(frozen=True, kw_only=True)
class Block:
    """One interleaver block: where its symbols lie and how they are coded."""

    start: int
    cr: int
    reduced_rate: bool
    num_codewords: int

    @property
    def stop(self) -> int:
        """Index after the block's last symbol."""
        return self.start + 4 + self.cr


def encode_payload(payload: bytes, params: LoRaParams) -> Symbols:
    """Chirp symbols of a payload, header block included.

    Parameters
    ----------
    payload
        0–255 bytes.
    params
        `cr`, `crc`, `explicit_header`, `ldro`, `sf` and `variant` shape the result.

    Returns
    -------
    numpy.ndarray
        ``(num_symbols,)`` int32 in [0, 2**sf).

    Raises
    ------
    ValueError
        Payload longer than 255 bytes; with an implicit header, a length other than ``params.payload_len``.

    Examples
    --------
    >>> encode_payload(b"hi", LoRaParams(sf=7))[:8]
    array([ 97,   9,  29,   1,  29, 109,  57,   5], dtype=int32)
    """
    payload = checked_payload(payload, params)
    return encode_nibbles(frame_nibbles(payload, params), num_payload_symbols(len(payload), params), params)


def encode_nibbles(nibbles: Nibbles, num_symbols: int, params: LoRaParams) -> Symbols:
    """Chirp symbols ``(num_symbols,)`` of a frame's nibbles; missing ones are padded with zero codewords.

    Examples
    --------
    >>> params = LoRaParams(sf=7)
    >>> symbols = encode_payload(b"hi", params)
    >>> bool(np.all(encode_nibbles(decode_nibbles(symbols, params), len(symbols), params) == symbols))
    True
    """
    symbols = np.empty(num_symbols, dtype=np.int32)
    position = 0
    for block in frame_blocks(len(symbols), params):
        chunk = nibbles[position : position + block.num_codewords]
        position += block.num_codewords
        codewords = np.zeros(block.num_codewords, dtype=np.uint8)
        codewords[: len(chunk)] = hamming_encode(chunk, block.cr)
        symbols[block.start : block.stop] = encode_block(codewords, block, params.sf)
    return symbols


def decode_symbols(x: npt.ArrayLike, params: LoRaParams) -> Decoded:
    """Payload of a frame whose first data symbol is ``x[0]``; whatever follows the frame is ignored.

    Parameters
    ----------
    x
        Hard symbols ``(num_symbols,)`` integer, matched-filter bins ``(num_symbols, 2**sf)``, or bit metrics
        ``(num_symbols, sf)`` (column 0 the most significant, positive = 1), told apart by shape.
    params
        With an explicit header its own length, coding rate and CRC flag override those of `params`.

    Returns
    -------
    Decoded
        Never an exception for damaged data.

    Raises
    ------
    TypeError, ValueError
        A shape or dtype that is none of the three; an implicit header without ``params.payload_len``.

    Examples
    --------
    >>> params = LoRaParams(sf=9, cr=4)
    >>> decode_symbols(encode_payload(b"hello", params), params)
    Decoded(payload=b'hello', status=<FrameStatus.OK: 'ok'>, crc_ok=True, header=Header(payload_len=5, cr=4, crc=True))
    """
    observed = _checked_observation(np.asarray(x), params.sf)
    header: Header | None = None
    if params.explicit_header:
        header = read_header(observed, params)
        if header is None:
            too_short = len(observed) < _num_header_symbols(params)
            status = FrameStatus.TRUNCATED if too_short else FrameStatus.BAD_HEADER
            return Decoded(payload=b"", status=status, crc_ok=None, header=None)
        if header.long_interleaving:
            return Decoded(payload=b"", status=FrameStatus.UNSUPPORTED, crc_ok=None, header=header)
        payload_len, cr, crc = header.payload_len, header.cr, header.crc
    elif params.payload_len is None:
        raise ValueError("'payload_len' must be given to decode a frame with an implicit header (got None)")
    else:
        payload_len, cr, crc = params.payload_len, params.cr, params.crc

    num_symbols = num_payload_symbols(payload_len, params, cr=cr, crc=crc)
    nibbles = decode_nibbles(observed[:num_symbols], params, cr=cr)[NUM_HEADER_NIBBLES * params.explicit_header :]
    payload = whiten(nibbles_to_bytes(nibbles[: 2 * payload_len])).tobytes()
    if len(observed) < num_symbols:
        return Decoded(payload=payload, status=FrameStatus.TRUNCATED, crc_ok=False if crc else None, header=header)
    crc_ok: bool | None = None
    if crc:
        low, high = nibbles_to_bytes(nibbles[2 * payload_len : 2 * payload_len + NUM_CRC_NIBBLES]).tolist()
        crc_ok = payload_crc(payload) == high << 8 | low
    status = FrameStatus.BAD_CRC if crc_ok is False else FrameStatus.OK
    return Decoded(payload=payload, status=status, crc_ok=crc_ok, header=header)


def num_payload_symbols(payload_len: int, params: LoRaParams, *, cr: int | None = None, crc: bool | None = None) -> int:
    """Number of data symbols of a frame, first block included (SX1276 data sheet, section 4.1.1.7; SX126x driver).

    8 + max(ceil((2 L - b + 5 explicit + 4 crc) / bits_per_symbol) (4 + cr), 0), where b is the number of nibbles in
    the first block. `cr` and `crc` override those of `params` where a header says so.

    Examples
    --------
    >>> num_payload_symbols(16, LoRaParams(sf=7))
    38
    """
    cr = params.cr if cr is None else cr
    crc = params.crc if crc is None else crc
    num_nibbles = 2 * payload_len + NUM_HEADER_NIBBLES * params.explicit_header + NUM_CRC_NIBBLES * crc
    rest = max(num_nibbles - (params.sf - 2 * params.header_reduced_rate), 0)
    return FIRST_BLOCK_LEN + -(-rest // params.bits_per_symbol) * (4 + cr)


def frame_blocks(num_symbols: int, params: LoRaParams, *, cr: int | None = None) -> list[Block]:
    """The interleaver blocks that fit wholly into `num_symbols` data symbols."""
    cr = params.cr if cr is None else cr
    blocks = [first_block(params.sf, params.header_reduced_rate)] if num_symbols >= FIRST_BLOCK_LEN else []
    for start in range(FIRST_BLOCK_LEN, num_symbols - (4 + cr) + 1, 4 + cr):
        blocks.append(Block(start=start, cr=cr, reduced_rate=params.reduced_rate, num_codewords=params.bits_per_symbol))
    return blocks


@cache
def first_block(sf: int, reduced_rate: bool) -> Block:
    """A frame's first block, which holds the header."""
    return Block(start=0, cr=FIRST_BLOCK_CR, reduced_rate=reduced_rate, num_codewords=sf - 2 * reduced_rate)


def checked_payload(payload: bytes, params: LoRaParams) -> bytes:
    """The payload as bytes, or the error that names what is wrong with it."""
    if not isinstance(payload, bytes | bytearray | memoryview):
        raise TypeError(f"'payload' must be bytes (got {type(payload).__name__})")
    payload = bytes(payload)
    if len(payload) > MAX_PAYLOAD_LEN:
        raise ValueError(f"'payload' must have at most {MAX_PAYLOAD_LEN} bytes (got {len(payload)})")
    if not params.explicit_header and params.payload_len not in (None, len(payload)):
        raise ValueError(
            f"'payload' must have the {params.payload_len} bytes of 'payload_len' with an implicit header"
            f" (got {len(payload)})"
        )
    return payload


def frame_nibbles(payload: bytes, params: LoRaParams) -> Nibbles:
    """Header, whitened payload and CRC as nibbles: what enters the Hamming encoder, without padding."""
    parts = []
    if params.explicit_header:
        parts.append(encode_header(Header(payload_len=len(payload), cr=params.cr, crc=params.crc)))
    parts.append(bytes_to_nibbles(whiten(np.frombuffer(payload, dtype=np.uint8))))
    if params.crc:
        parts.append(bytes_to_nibbles(np.frombuffer(payload_crc(payload).to_bytes(2, "little"), dtype=np.uint8)))
    return np.concatenate(parts)


def bytes_to_nibbles(data: npt.NDArray[np.uint8]) -> Nibbles:
    """Bytes ``(..., n)`` to nibbles ``(..., 2 n)``, low nibble first."""
    return np.stack([data & 15, data >> 4], axis=-1).reshape(*data.shape[:-1], -1)


def nibbles_to_bytes(nibbles: Nibbles) -> npt.NDArray[np.uint8]:
    """Nibbles ``(..., n)``, low nibble first, to bytes ``(..., n // 2)``; an odd nibble at the end is dropped."""
    even = nibbles.shape[-1] // 2 * 2
    return np.asarray(nibbles[..., 0:even:2] | nibbles[..., 1:even:2] << 4)


def encode_block(codewords: Codewords, block: Block, sf: int) -> Symbols:
    """Codewords ``(num_codewords,)`` of one block to its symbols ``(4 + cr,)``."""
    bits = codewords[:, np.newaxis] >> np.arange(3 + block.cr, -1, -1, dtype=np.uint8) & 1
    weights = 1 << np.arange(block.num_codewords - 1, -1, -1)
    return labels_to_symbols(interleave(bits) @ weights, sf, reduced_rate=block.reduced_rate)


def decode_nibbles(observed: npt.NDArray[Any], params: LoRaParams, *, cr: int | None = None) -> Nibbles:
    """Nibbles of all whole blocks in hard symbols, bins or bit metrics (see `decode_symbols`)."""
    blocks = frame_blocks(len(observed), params, cr=cr)
    parts = [decode_block(observed[block.start : block.stop], block, params.sf) for block in blocks]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint8)


def decode_block(observed: npt.NDArray[Any], block: Block, sf: int) -> Nibbles:
    """Nibbles ``(num_codewords,)`` of one block of hard symbols, bins or bit metrics."""
    if observed.ndim == 1:
        labels = symbols_to_labels(observed, sf, reduced_rate=block.reduced_rate)
        bits = labels[:, np.newaxis] >> np.arange(block.num_codewords - 1, -1, -1) & 1
        weights = 1 << np.arange(3 + block.cr, -1, -1)
        return hamming_decode((deinterleave(bits) @ weights).astype(np.uint8), block.cr)
    if observed.shape[1] == 1 << sf:
        metrics = bins_to_bit_metrics(observed, sf, reduced_rate=block.reduced_rate)
    else:
        metrics = observed[:, : block.num_codewords]
    return hamming_decode_soft(deinterleave(metrics), block.cr)


def bins_to_bit_metrics(bins: npt.NDArray[Any], sf: int, *, reduced_rate: bool) -> npt.NDArray[np.float32]:
    """Max-log metrics ``(num_symbols, bits)`` of bins ``(num_symbols, 2**sf)``: best bin with a 1 minus best with a 0.

    At reduced rate only the legal bins 4k + 1 compete, for sf - 2 bits.
    """
    return max_log_metrics(np.asarray(bins, dtype=np.float32)[:, symbol_of_label(sf, reduced_rate)])


def read_header(observed: npt.NDArray[Any], params: LoRaParams) -> Header | None:
    """The explicit header at the start of hard symbols, bins or bit metrics; None where it cannot be read."""
    num_symbols = _num_header_symbols(params)
    if len(observed) < num_symbols:
        return None
    return decode_header(decode_nibbles(observed[:num_symbols], params))


def _num_header_symbols(params: LoRaParams) -> int:
    """Symbols that hold the header: the first block, and the second for the sx127x dialect of SF5 and SF6."""
    spilt = params.sf - 2 * params.header_reduced_rate < NUM_HEADER_NIBBLES
    return FIRST_BLOCK_LEN + (4 + params.cr) * spilt


def _checked_observation(x: npt.NDArray[Any], sf: int) -> npt.NDArray[Any]:
    if x.ndim == 1 and (np.issubdtype(x.dtype, np.integer) or x.size == 0):
        return np.asarray(x.astype(np.int32) & np.int32((1 << sf) - 1))
    if x.ndim == 2 and x.shape[1] in (sf, 1 << sf) and x.dtype.kind in "fiu":
        values = x if x.dtype.kind == "f" else x.astype(np.float64)
        # infinities are certainties; sums of them must stay finite and keep their sign
        largest = min(float(np.finfo(values.dtype).max), _LARGEST_METRIC)
        return np.asarray(np.nan_to_num(np.clip(values, -largest, largest), copy=False, nan=0.0))
    if x.ndim == 1 or (x.ndim == 2 and x.shape[1] in (sf, 1 << sf)):
        raise TypeError(f"hard symbols must be integers, bins and bit metrics real numbers (got dtype {x.dtype})")
    raise ValueError(
        f"expected symbols (num_symbols,), bins (num_symbols, {1 << sf}) or bit metrics (num_symbols, {sf})"
        f" (got shape {x.shape})"
    )
