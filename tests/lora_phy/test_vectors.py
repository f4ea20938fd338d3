"""Agreement, symbol by symbol and sample by sample, with an independent implementation (tests/vectors/README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lora_phy import FrameStatus, LoRaParams, airtime_s, decode_symbols, encode_payload, transmit
from lora_phy.coding.chain import frame_blocks, frame_nibbles
from lora_phy.coding.hamming import hamming_encode
from lora_phy.frames.transceiver import receive_synchronised

LDRO = {0: False, 1: True, 2: None}


def test_small_vectors_of_the_repository(vectors: Path) -> None:
    rows = json.loads((vectors / "grlora_small.json").read_text())["vectors"]
    assert len(rows) > 800
    for sf, cr, implicit, crc, ldro, payload_hex, symbols_hex in rows:
        payload = bytes.fromhex(payload_hex)
        params = LoRaParams(
            sf=sf,
            cr=cr,
            explicit_header=not implicit,
            crc=bool(crc),
            ldro=LDRO[ldro],
            payload_len=len(payload),
            variant="sx127x",
        )
        symbols = [int(symbols_hex[i : i + 3], 16) for i in range(0, len(symbols_hex), 3)]
        assert encode_payload(payload, params).tolist() == symbols
        assert decode_symbols(symbols, params).payload == payload


@pytest.mark.parametrize("sf", range(5, 13))
def test_every_vector_and_every_stage(sf: int, shared: Path) -> None:
    agreed = 0
    vectors = json.loads((shared / "vectors" / f"grlora_symbols_sf{sf}.json").read_text())["vectors"]
    for vector in vectors:
        params, payload = _link(vector)
        assert params.reduced_rate == bool(vector["ldro"])
        assert "".join(f"{n:x}" for n in frame_nibbles(payload, params)) == vector["nibbles"]
        assert _codewords(payload, params)[: len(vector["codewords"])] == vector["codewords"]
        assert encode_payload(payload, params).tolist() == vector["symbols"]
        decoded = decode_symbols(vector["symbols"], params)
        assert (decoded.payload, decoded.status) == (payload, FrameStatus.OK)
        agreed += 1
    assert agreed == len(vectors) == 176


@pytest.mark.parametrize("sf", range(5, 13))
def test_unpadded_blocks_agree_with_the_second_implementation(sf: int, shared: Path) -> None:
    """lora-phy 0.3.0 pads with other nibbles and sends surplus symbols; all full blocks must agree."""
    compared = 0
    for vector in json.loads((shared / "vectors" / f"loraphy_symbols_sf{sf}.json").read_text())["vectors"]:
        params, payload = _link(vector)
        if params.explicit_header and sf < 7:
            continue  # neither peer can receive these
        symbols = encode_payload(payload, params)
        remaining = len(frame_nibbles(payload, params))
        for block in frame_blocks(len(symbols), params):
            remaining -= block.num_codewords
            if remaining >= 0:
                part = slice(block.start, block.stop)
                assert symbols[part].tolist() == vector["symbols"][part]
                compared += 1
    assert compared > 500


def test_every_iq_file(shared: Path) -> None:
    index = json.loads((shared / "vectors" / "iq_index.json").read_text())["frames"]
    for frame in index:
        params = LoRaParams(
            sf=frame["sf"],
            cr=frame["cr"],
            explicit_header=not frame["impl"],
            crc=bool(frame["crc"]),
            ldro=bool(frame["ldro"]),
            payload_len=frame["len"],
            sync_word=frame["sync"],
            oversampling=frame["osf"],
            preamble_len=frame["preamble"],
            variant="sx127x",
            waveform="textbook",
        )
        recorded = np.fromfile(shared / "vectors" / frame["file"], dtype=np.complex64)
        ours = transmit(bytes.fromhex(frame["payload"]), params)
        assert ours.shape == recorded.shape
        # the peer keeps its phase in single precision, whose error grows with the number of chips
        assert np.abs(ours - recorded).max() < 3e-7 * params.num_bins
        for soft in (False, True):
            assert receive_synchronised(recorded, params, soft=soft).payload.hex() == frame["payload"]
    assert len(index) >= 19


SEMTECH_AIRTIME_MS = [
    # sf, bandwidth, cr, ldro, preamble, length, explicit, crc, variant, milliseconds
    (12, 500e3, 1, False, 8, 1, True, True, "sx126x", 206.848),
    (12, 500e3, 1, False, 12, 64, True, True, "sx126x", 649.216),
    (8, 125e3, 2, False, 8, 1, True, True, "sx126x", 53.760),
    (8, 125e3, 2, False, 8, 3, True, True, "sx126x", 66.048),
    (8, 125e3, 2, False, 8, 253, True, True, "sx126x", 827.904),
    (5, 500e3, 1, False, 2, 1, True, False, "sx126x", 1.360),
    (5, 500e3, 1, False, 2, 1, True, True, "sx126x", 1.680),
    (5, 500e3, 1, False, 12, 253, False, True, "sx126x", 34.000),
    (5, 125e3, 4, False, 12, 253, False, True, "sx126x", 213.568),
    (5, 500e3, 1, False, 2, 1, True, False, "sx127x", 1.232),
    (12, 7.81e3, 4, True, 128, 253, True, True, "sx126x", 287532.907),
    (11, 10.42e3, 3, True, 25, 16, True, True, "sx126x", 12824.568),
    (9, 125e3, 1, False, 8, 13, True, True, "sx126x", 164.864),
]


@pytest.mark.parametrize("row", SEMTECH_AIRTIME_MS)
def test_airtime_of_semtechs_calculators(row: tuple[Any, ...]) -> None:
    sf, bandwidth_hz, cr, ldro, preamble_len, payload_len, explicit, crc, variant, milliseconds = row
    params = LoRaParams(
        sf=sf,
        bandwidth_hz=bandwidth_hz,
        cr=cr,
        ldro=ldro,
        preamble_len=preamble_len,
        explicit_header=explicit,
        crc=crc,
        variant=variant,
    )
    assert round(airtime_s(payload_len, params) * 1e3, 3) == milliseconds


def test_airtime_is_the_length_of_the_frame() -> None:
    for sf in range(5, 13):
        for variant in ("sx126x", "sx127x"):
            params = LoRaParams(sf=sf, cr=3, oversampling=2, variant=variant)
            samples = len(transmit(bytes(21), params))
            assert samples / params.sample_rate_hz == pytest.approx(airtime_s(21, params), rel=1e-12)
    with pytest.raises(ValueError, match=r"'payload_len' must be in \[0, 255\] \(got 256\)"):
        airtime_s(256, LoRaParams(sf=7))


def _link(vector: dict[str, Any]) -> tuple[LoRaParams, bytes]:
    payload = bytes.fromhex(vector["payload"])
    params = LoRaParams(
        sf=vector["sf"],
        cr=vector["cr"],
        explicit_header=not vector["impl"],
        crc=bool(vector["crc"]),
        ldro=LDRO[vector["ldro_mode"]],
        payload_len=len(payload),
        variant="sx127x",
    )
    return params, payload


def _codewords(payload: bytes, params: LoRaParams) -> str:
    """All codewords as two hex digits each, the first block at 4/8."""
    nibbles = frame_nibbles(payload, params)
    first = params.sf - 2 * params.header_reduced_rate
    words = [*hamming_encode(nibbles[:first], 4), *hamming_encode(nibbles[first:], params.cr)]
    return "".join(f"{word:02x}" for word in words)
