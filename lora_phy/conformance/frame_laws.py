"""Laws of frames: what `transmit` puts on air, by the definition of a frame around the modem's own symbols."""

from __future__ import annotations

import numpy as np

from lora_phy.conformance.adapter import Adapter
from lora_phy.conformance.definition import ComplexArray, frame, num_symbols, sync_chirps
from lora_phy.params import LoRaParams


def frames_are_their_definition(adapter: Adapter, params: LoRaParams, payload: bytes) -> None:
    """`transmit` gives preamble, sync word, 2.25 downchirps and data as `LoRaParams.waveform` says, phase-continuous.

    "chip": the quarter downchirp one chip short, data one chip early with s - 1. "textbook": all on one grid.
    """
    iq = np.asarray(adapter.call("transmit", payload, params), np.complex128)
    symbols = [int(s) for s in adapter.call("encode_payload", payload, params)]
    expected = frame(symbols, params)
    assert len(iq) >= len(expected), f"{len(iq)} samples, the definition has {len(expected)}"
    likeness = _likeness(iq[: len(expected)], expected)
    assert likeness > 0.999, f"{likeness:.3f} of the definition; {_first_part_that_differs(iq, expected, params)}"


def frames_last_as_long_as_the_data_sheet_says(adapter: Adapter, params: LoRaParams, payload: bytes) -> None:
    """A frame has preamble + 4.25 (SF5, SF6 of the sx126x: 6.25) + data symbols, to within a chip."""
    iq = np.asarray(adapter.call("transmit", payload, params))
    extra = 2 if params.sf <= 6 and params.variant == "sx126x" else 0
    duration = params.preamble_len + 4.25 + extra + num_symbols(len(payload), params)
    chips = len(iq) / params.oversampling
    assert abs(chips - duration * params.num_bins) <= 1, f"{chips / params.num_bins} symbols, not {duration}"


def sync_words_are_signed(adapter: Adapter, sf: int, word: int) -> None:
    """A sync word is two chirps of its nibbles times 8, where 8…15 count as -8…-1, as chips send it."""
    params = LoRaParams(sf=sf, sync_word=word)
    iq = np.asarray(adapter.call("transmit", b"", params), np.complex128)
    expected = frame([], params)
    first, last = params.preamble_len * params.num_bins, (params.preamble_len + 2) * params.num_bins
    likeness = _likeness(iq[first:last], expected[first:last])
    assert likeness > 0.999, f"word {word:#04x} at SF{sf} is not sent as {sync_chirps(params)}: {likeness:.3f}"


def inverted_frames_are_conjugates(adapter: Adapter, params: LoRaParams, payload: bytes) -> None:
    """`inverted_iq` conjugates the whole frame."""
    from dataclasses import replace

    upright = np.asarray(adapter.call("transmit", payload, replace(params, inverted_iq=False)), np.complex128)
    inverted = np.asarray(adapter.call("transmit", payload, replace(params, inverted_iq=True)), np.complex128)
    assert len(upright) == len(inverted) and _likeness(inverted, upright.conj()) > 0.999, "not the conjugate"


def _likeness(found: ComplexArray, expected: ComplexArray) -> float:
    size = float(np.linalg.norm(found) * np.linalg.norm(expected))
    return float(abs(np.vdot(expected, found))) / size if size > 0 else 0.0


def _first_part_that_differs(found: ComplexArray, expected: ComplexArray, params: LoRaParams) -> str:
    length = params.samples_per_symbol
    for i in range(len(expected) // length):
        part = slice(i * length, (i + 1) * length)
        if _likeness(found[part], expected[part]) < 0.98:
            return f"the first symbol that differs is number {i}"
    return "every symbol is right, the phases between them are not"
