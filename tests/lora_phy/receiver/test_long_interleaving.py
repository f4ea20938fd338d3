"""Coding rates 5, 6 and 7 in a header announce long interleaving: the header is read, and the frame called so."""

from __future__ import annotations

import numpy as np
import pytest

from lora_phy import FrameStatus, Header, LoRaParams, decode_symbols, encode_payload, receive
from lora_phy.coding.chain import encode_block, frame_blocks
from lora_phy.coding.hamming import hamming_encode
from lora_phy.frames.trace import trace_symbols
from lora_phy.modem.modulation import modulate_frame


def header_nibbles(payload_len: int, cr: int, crc: int) -> list[int]:
    """The explicit header by its published check equations, for any coding rate field."""
    a = [payload_len >> i & 1 for i in range(7, -1, -1)] + [cr >> i & 1 for i in (2, 1, 0)] + [crc]
    c4 = a[0] ^ a[1] ^ a[2] ^ a[3]
    c3 = a[0] ^ a[4] ^ a[5] ^ a[6] ^ a[11]
    c2 = a[1] ^ a[4] ^ a[7] ^ a[8] ^ a[10]
    c1 = a[2] ^ a[5] ^ a[7] ^ a[9] ^ a[10] ^ a[11]
    c0 = a[3] ^ a[6] ^ a[8] ^ a[9] ^ a[10] ^ a[11]
    return [payload_len >> 4, payload_len & 15, cr << 1 | crc, c4, c3 << 3 | c2 << 2 | c1 << 1 | c0]


def announce(payload: bytes, cr: int, params: LoRaParams) -> np.ndarray:
    """The symbols of a frame whose header says `cr`; what follows the header is anything."""
    symbols = encode_payload(payload, params)
    block = frame_blocks(8, params)[0]
    nibbles = [*header_nibbles(len(payload), cr, int(params.crc)), 3, 14, 7, 1, 0, 9, 2]
    symbols[:8] = encode_block(hamming_encode(np.array(nibbles[: block.num_codewords], np.uint8), 4), block, params.sf)
    return symbols


def test_the_equations_are_those_of_real_headers() -> None:
    assert header_nibbles(4, 4, 1) == [0, 4, 9, 0, 4] and header_nibbles(6, 1, 1) == [0, 6, 3, 0, 15]


@pytest.mark.parametrize("cr", [5, 6, 7])
@pytest.mark.parametrize(("sf", "crc"), [(5, True), (7, True), (7, False), (9, True), (11, True), (12, False)])
def test_the_header_is_read_and_the_frame_is_unsupported(sf: int, cr: int, crc: bool) -> None:
    params = LoRaParams(sf=sf, crc=crc)
    payload, header = bytes(range(23)), Header(payload_len=23, cr=cr, crc=crc)
    symbols = announce(payload, cr, params)
    decoded = decode_symbols(symbols, params)
    assert (decoded.status, decoded.header, decoded.payload, decoded.crc_ok) == (
        FrameStatus.UNSUPPORTED, header, b"", None,
    )  # fmt: skip
    rng = np.random.default_rng(sf)
    iq = np.pad(modulate_frame(symbols, params), 5 * params.samples_per_symbol)
    noisy = iq + 0.4 * (rng.standard_normal(len(iq)) + 1j * rng.standard_normal(len(iq)))
    for soft in (True, False):
        [frame] = receive(noisy.astype(np.complex64), params, soft=soft)
        assert (frame.status, frame.header, frame.payload, frame.crc_ok) == (
            FrameStatus.UNSUPPORTED, header, b"", None,
        )  # fmt: skip
        assert frame.symbols.tolist() == symbols[:8].tolist()
    assert trace_symbols(symbols, params)["nibbles"][:5].tolist() == header_nibbles(23, cr, int(crc))


def test_coding_rate_0_is_no_header() -> None:
    params = LoRaParams(sf=8)
    decoded = decode_symbols(announce(b"abc", 0, params), params)
    assert (decoded.status, decoded.header) == (FrameStatus.BAD_HEADER, None)
