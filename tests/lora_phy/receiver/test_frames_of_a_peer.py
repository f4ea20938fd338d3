"""Noise-free IQ of an independent transmitter decodes, as it is and through a channel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lora_phy import ChannelParams, LoRaParams, apply_channel, receive

SNR_DB = {5: 2, 6: 0, 7: -5, 8: -8, 9: -11, 10: -13, 11: -16, 12: -18}


def check(entry: dict[str, Any], folder: Path) -> None:
    iq = np.fromfile(folder / entry["file"], np.complex64)
    params = LoRaParams(
        sf=entry["sf"],
        cr=entry["cr"],
        explicit_header=not entry["impl"],
        crc=bool(entry["crc"]),
        ldro=bool(entry["ldro"]),
        preamble_len=entry["preamble"],
        sync_word=entry["sync"],
        oversampling=entry["osf"],
        payload_len=entry["len"] if entry["impl"] else None,
        variant="sx127x",
    )
    [frame] = receive(iq, params)
    assert frame.payload.hex() == entry["payload"]
    assert abs(frame.start_sample + frame.sto_samples) < 0.1 and abs(frame.cfo_hz) < 2

    size = params.samples_per_symbol
    padded = np.concatenate([np.zeros(3 * size + 17, np.complex64), iq, np.zeros(3 * size, np.complex64)])
    channel = ChannelParams(snr_db=SNR_DB[params.sf], cfo_hz=1777.0, sto_samples=0.37)
    [frame] = receive(apply_channel(padded, channel, params, rng=np.random.default_rng(3)), params)
    assert frame.payload.hex() == entry["payload"]
    assert abs(frame.start_sample + frame.sto_samples - 3 * size - 17.37) < 0.5 * params.oversampling
    assert abs(frame.cfo_hz - 1777.0) < 0.3 * params.bandwidth_hz / params.num_bins


def test_small_files_of_the_repository(vectors: Path) -> None:
    entries = json.loads((vectors / "iq_index.json").read_text())["frames"]
    assert len(entries) == 3
    for entry in entries:
        check(entry, vectors)


@pytest.mark.slow
def test_every_file(shared: Path) -> None:
    entries = json.loads((shared / "vectors" / "iq_index.json").read_text())["frames"]
    assert len(entries) == 19
    for entry in entries:
        check(entry, shared / "vectors")
