"""Laws of the coding: payload bytes to chirp symbols and back."""

from __future__ import annotations

import numpy as np

from lora_phy.conformance.adapter import Adapter
from lora_phy.conformance.definition import num_symbols, reduced_rate
from lora_phy.conformance.vectors import Vector
from lora_phy.params import LoRaParams


def encodes_as_a_peer_does(adapter: Adapter, vector: Vector) -> None:
    """`encode_payload` gives the symbols that another implementation sends."""
    found = [int(s) for s in adapter.call("encode_payload", vector.payload, vector.params)]
    assert found == list(vector.symbols), _first_difference(found, list(vector.symbols), vector.params)


def encodes_as_chips_do(adapter: Adapter, vector: Vector) -> None:
    """`encode_payload` gives the symbols of a real chip, but for the last block, which chips pad as they like."""
    found = [int(s) for s in adapter.call("encode_payload", vector.payload, vector.params)]
    sent = list(vector.symbols)
    assert len(found) == len(sent), f"{len(found)} symbols, a chip sends {len(sent)}"
    whole = len(sent) if vector.same_padding else len(sent) - (4 + vector.params.cr)
    assert found[:whole] == sent[:whole], _first_difference(found, sent, vector.params)


def decodes_what_others_send(adapter: Adapter, vector: Vector) -> None:
    """`decode_symbols` reads the frames of another implementation and of real chips, whatever they pad with."""
    decoded = adapter.call("decode_symbols", np.array(vector.symbols), vector.params)
    assert decoded.payload == vector.payload, f"{decoded.payload.hex()} for {vector.payload.hex()}"
    assert str(decoded.status) == "ok", f"status {decoded.status}"
    assert decoded.crc_ok is (True if vector.params.crc else None), f"crc_ok {decoded.crc_ok}"


def decoding_undoes_encoding(adapter: Adapter, params: LoRaParams, payload: bytes) -> None:
    """`decode_symbols(encode_payload(payload))` is the payload, with status ok and the header that was sent."""
    decoded = adapter.call("decode_symbols", adapter.call("encode_payload", payload, params), params)
    assert (decoded.payload, str(decoded.status)) == (payload, "ok"), f"{decoded}"
    header = decoded.header
    assert header is not None, "no header"
    assert (header.payload_len, header.cr, header.crc) == (len(payload), params.cr, params.crc), f"{header}"


def frames_have_the_length_of_the_data_sheet(adapter: Adapter, params: LoRaParams, payload: bytes) -> None:
    """A frame has as many symbols as the data sheets' formula says, each a value of the spreading factor."""
    symbols = [int(s) for s in adapter.call("encode_payload", payload, params)]
    assert len(symbols) == num_symbols(len(payload), params), (
        f"{len(symbols)} symbols, the formula gives {num_symbols(len(payload), params)}"
    )
    assert 0 <= min(symbols) and max(symbols) < 1 << params.sf, f"symbols from {min(symbols)} to {max(symbols)}"


def reduced_rate_symbols_are_one_more_than_multiples_of_four(
    adapter: Adapter, params: LoRaParams, payload: bytes
) -> None:
    """At reduced rate (the first block; all of a frame with LDRO) symbols are 4k + 1; the 16 ms rule decides LDRO."""
    symbols = np.array([int(s) for s in adapter.call("encode_payload", payload, params)])
    first_reduced = params.sf >= 7 or params.variant == "sx127x"
    if first_reduced:
        assert np.all(symbols[:8] % 4 == 1), f"first block {symbols[:8].tolist()}"
    if reduced_rate(params):
        assert np.all(symbols[8:] % 4 == 1), f"payload {symbols[8:].tolist()}"
    elif len(payload) >= 24:  # by accident all of them are with probability 4**-20
        assert np.any(symbols[8:] % 4 != 1), "the payload is at reduced rate"


def one_wrong_symbol_is_corrected(
    adapter: Adapter, params: LoRaParams, payload: bytes, position: int, error: int
) -> None:
    """At 4/7 and 4/8 one wrong symbol in a block is one wrong bit in each codeword: corrected."""
    symbols = np.array([int(s) for s in adapter.call("encode_payload", payload, params)])
    at = position % len(symbols)
    symbols[at] = (symbols[at] + 1 + error % ((1 << params.sf) - 1)) % (1 << params.sf)
    decoded = adapter.call("decode_symbols", symbols, params)
    assert decoded.payload == payload, f"symbol {at} wrong by {1 + error}: {decoded}"


def damage_is_seen(adapter: Adapter, params: LoRaParams, payload: bytes, error: int) -> None:
    """A payload that arrives wrong is never called ok where it carries a CRC."""
    symbols = np.array([int(s) for s in adapter.call("encode_payload", payload, params)])
    # both ends of the second block: more than any code corrects
    for at in (8, 9, 10):
        symbols[at] = (symbols[at] + 1 + (at * error) % ((1 << params.sf) - 1)) % (1 << params.sf)
    decoded = adapter.call("decode_symbols", symbols, params)
    if decoded.payload != payload:
        assert str(decoded.status) != "ok", f"{decoded.payload.hex()} for {payload.hex()} is called ok"
        assert decoded.crc_ok is False, f"crc_ok {decoded.crc_ok}"


def the_header_overrides_the_parameters(adapter: Adapter, params: LoRaParams, payload: bytes, cr: int) -> None:
    """An explicit header says coding rate and CRC; what the receiver was told of them does not matter."""
    from dataclasses import replace

    symbols = adapter.call("encode_payload", payload, params)
    decoded = adapter.call("decode_symbols", symbols, replace(params, cr=cr, crc=not params.crc))
    assert (decoded.payload, str(decoded.status)) == (payload, "ok"), f"told 4/{4 + cr}: {decoded}"


def anything_decodes_to_a_status(adapter: Adapter, params: LoRaParams, symbols: list[int]) -> None:
    """Symbols that are no frame give a status, never an exception."""
    values = np.array([s % (1 << params.sf) for s in symbols], dtype=np.int64)
    decoded = adapter.call("decode_symbols", values, params)
    assert isinstance(decoded.payload, bytes), f"payload {decoded.payload!r}"
    known = ("ok", "bad_header", "bad_crc", "truncated", "unsupported")
    assert str(decoded.status) in known, f"status {decoded.status!r}"
    if len(symbols) < 8:
        assert str(decoded.status) == "truncated", f"{len(symbols)} symbols: {decoded.status}"


def _first_difference(found: list[int], expected: list[int], params: LoRaParams) -> str:
    common = min(len(found), len(expected))
    at = next((i for i in range(common) if found[i] != expected[i]), common)
    values = f"{found[at : at + 3]}… for {expected[at : at + 3]}…"
    return f"symbol {at} of {len(expected)} (SF{params.sf}, 4/{4 + params.cr}, LDRO {params.reduced_rate}): {values}"
