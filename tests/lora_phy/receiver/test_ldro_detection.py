"""Low-data-rate optimisation that the receiver is not told: the CRC decides, without one only ample evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lora_phy import ChannelParams, LoRaParams, apply_channel, receive, transmit

WHITENING = bytes.fromhex("fffefcf8f0e1c2850b172f5ebc78f1e3")
"""Its first 16 bytes, by the polynomial x^8 + x^6 + x^5 + x^4 + 1 from all ones: whitened, they are zeros."""


def heard(payload: bytes, params: LoRaParams, snr_db: float = 10.0) -> np.ndarray:
    iq = np.concatenate([np.zeros(500), transmit(payload, params), np.zeros(60 * params.num_bins)])
    rng = np.random.default_rng(len(payload))
    return apply_channel(iq.astype(np.complex64), ChannelParams(snr_db=snr_db), params, rng=rng)


@pytest.mark.parametrize("ldro", [False, True])
def test_every_one_byte_payload_at_sf7(ldro) -> None:
    params = LoRaParams(sf=7, ldro=ldro)
    for value in range(256):
        [frame] = receive(transmit(bytes([value]), params), replace(params, ldro=None))
        assert (frame.status, frame.crc_ok, frame.payload) == ("ok", True, bytes([value]))


@pytest.mark.parametrize("sf", [5, 6, 7, 9, 11, 12])
@pytest.mark.parametrize("ldro", [False, True])
@pytest.mark.parametrize("payload", [b"", b"\x00", WHITENING[:1], WHITENING[:5], WHITENING], ids=len)
def test_payloads_whose_symbols_are_legal_at_either_rate(sf, ldro, payload) -> None:
    params = LoRaParams(sf=sf, ldro=ldro)
    [frame] = receive(heard(payload, params), replace(params, ldro=None))
    assert (frame.status, frame.crc_ok, frame.payload) == ("ok", True, payload)
    if len(payload) > 2:
        assert frame.params.ldro is ldro


@pytest.mark.parametrize("sf", [7, 9, 10])
@pytest.mark.parametrize("size", [0, 1, 2, 5, 16])
def test_without_a_crc_the_rule_stands_unless_enough_speaks_against_it(sf, size) -> None:
    params = LoRaParams(sf=sf, crc=False)
    for payload in (WHITENING[:size], bytes(size)):
        [frame] = receive(heard(payload, params), params)
        assert (frame.status, frame.payload) == ("ok", payload)
    assert frame.params.ldro is False, "the 16 ms rule"
    reduced = replace(params, ldro=True)
    [frame] = receive(heard(bytes(range(40)), reduced), params)
    assert (frame.payload, frame.params.ldro) == (bytes(range(40)), True), "forty bytes are enough"


@pytest.mark.parametrize("sf,cr", [(7, 4), (8, 2), (9, 1), (10, 1)])
def test_zeros_once_whitened_speak_for_no_rate(sf, cr) -> None:
    """Their symbols are 1 at either rate; the recording ends with the frame, so nothing tells where it ends."""
    params = LoRaParams(sf=sf, cr=cr, crc=False)
    state, zeros = 0xFF, bytearray()
    for _ in range(40):  # x^8 + x^6 + x^5 + x^4 + 1
        zeros.append(state)
        state = (state << 1 | (state >> 7 ^ state >> 5 ^ state >> 4 ^ state >> 3) & 1) & 0xFF
    assert bytes(zeros[:16]) == WHITENING
    iq = heard(bytes(zeros), params)
    [frame] = receive(iq[: len(iq) - 58 * params.num_bins], params)
    assert (frame.status, frame.payload, frame.params.ldro) == ("ok", bytes(zeros), False)


def test_full_rate_against_the_rule_without_a_crc() -> None:
    """As the water meter of the real recordings sends: SF11, 125 kHz, no LDRO."""
    params = LoRaParams(sf=11, cr=4, crc=False, ldro=False)
    [frame] = receive(heard(bytes(range(30)), params, -10.0), replace(params, ldro=None))
    assert (frame.payload, frame.params.ldro) == (bytes(range(30)), False)
