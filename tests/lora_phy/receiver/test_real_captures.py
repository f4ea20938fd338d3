"""Captures of real hardware, where a person has some: ``pytest --iq-dir FOLDER``.

Every SigMF recording in the folder must yield a frame whose CRC holds (or, sent without a CRC, a complete one).
Beside it a file ``expected.json`` may list payloads: ``{"name.sigmf-meta": ["deadbeef", …]}``; all must come out.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_phy import FrameStatus, LoRaParams, receive, transmit
from lora_phy.recordings import read_sigmf, write_sigmf


def check_folder(folder: Path) -> int:
    expected = json.loads((folder / "expected.json").read_text()) if (folder / "expected.json").exists() else {}
    metas = sorted(folder.glob("*.sigmf-meta"))
    for meta in metas:
        recording = read_sigmf(meta)
        assert recording.params is not None, f"{meta.name} names no LoRa parameters"
        frames = receive(
            recording.iq,
            recording.params,
            sample_rate_hz=recording.sample_rate_hz,
            center_offset_hz=recording.center_offset_hz,
        )
        payloads = [frame.payload.hex() for frame in frames if frame.status is FrameStatus.OK]
        assert payloads, f"{meta.name}: no frame among {[str(frame.status) for frame in frames]}"
        assert set(expected.get(meta.name, [])) <= set(payloads), meta.name
    return len(metas)


def test_every_capture_decodes(request: pytest.FixtureRequest) -> None:
    folder = request.config.getoption("--iq-dir")
    if folder is None:
        pytest.skip("no folder of captures given (--iq-dir)")
    assert check_folder(folder) > 0


def test_the_check_itself(tmp_path: Path) -> None:
    params = LoRaParams(sf=7, sync_word=0x34)
    write_sigmf(tmp_path / "one", transmit(b"\xde\xad\xbe\xef", params), params)
    (tmp_path / "expected.json").write_text('{"one.sigmf-meta": ["deadbeef"]}')
    assert check_folder(tmp_path) == 1
    (tmp_path / "expected.json").write_text('{"one.sigmf-meta": ["00"]}')
    with pytest.raises(AssertionError, match=r"one\.sigmf-meta"):
        check_folder(tmp_path)
