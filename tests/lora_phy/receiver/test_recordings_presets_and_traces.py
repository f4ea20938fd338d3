"""Files in and out, named parameters, traces and the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lora_phy import LoRaParams, encode_payload, modulate, receive, transmit
from lora_phy.__main__ import main
from lora_phy.frames.trace import describe, first_difference, trace_payload, trace_symbols
from lora_phy.modem.demodulation import demodulate
from lora_phy.presets import meshtastic
from lora_phy.recordings import iterate_raw, read_raw, read_recording, read_sigmf, write_raw, write_sigmf

PARAMS = LoRaParams(sf=7, cr=4, oversampling=2, sync_word=0x34)


@pytest.fixture
def iq() -> np.ndarray:
    pad = np.zeros(700, np.complex64)
    return np.concatenate([pad, 0.7 * transmit(b"on file", PARAMS), pad, pad])


@pytest.mark.parametrize("name,step", [("cf32", 0), ("cs16", 2**-15), ("cs8", 2**-7), ("cu8", 1 / 127.5)])
def test_raw_formats_round_trip(tmp_path, iq, name, step) -> None:
    path = tmp_path / f"x.{name}"
    write_raw(path, iq)
    back = read_raw(path)
    assert np.abs((back - iq).view(np.float32)).max() <= 0.51 * step
    assert np.array_equal(np.concatenate(list(iterate_raw(path, chunk_samples=1000))), back)
    [frame] = receive(back, PARAMS)
    assert frame.payload == b"on file"
    path.write_bytes(path.read_bytes()[:-1])
    assert len(read_raw(path)) == len(iq) - 1


def test_sigmf_round_trip_and_its_own_library_agrees(tmp_path, iq) -> None:
    found = receive(iq, PARAMS)
    meta = write_sigmf(tmp_path / "capture", iq, PARAMS, sample_format="cs16", center_offset_hz=0.0, frames=found)
    recording = read_sigmf(meta)
    assert recording.params == PARAMS and recording.sample_rate_hz == 250e3 and recording.frequency_hz == 868.1e6
    [frame] = receive(recording.iq, recording.params, sample_rate_hz=recording.sample_rate_hz)
    assert frame.payload == b"on file"
    keys = json.loads(meta.read_text())["captures"][0]
    assert {"lora:sf", "lora:cr", "lora:bw", "lora:prlen", "lora:crc", "lora:implicit"} <= set(keys)
    sigmf = pytest.importorskip("sigmf")
    other = sigmf.sigmffile.fromfile(str(meta))
    other.validate()
    assert np.allclose(other.read_samples(), recording.iq, atol=1e-4)
    assert len(other.get_annotations()) == 1


def test_metadata_of_gr_lora_is_understood(tmp_path, iq) -> None:
    (tmp_path / "gr.sigmf-data").write_bytes(iq.tobytes())
    capture = {"core:sample_start": 0, "core:frequency": 868e6, "lora:frequency": 868.1e6, "lora:sf": 7, "lora:cr": 4}
    capture |= {"lora:bw": 125000, "lora:prlen": 8, "lora:crc": True, "lora:implicit": False}
    header = {"core:datatype": "cf32_le", "core:sample_rate": 1e6, "core:version": "0.0.1"}
    (tmp_path / "gr.sigmf-meta").write_text(json.dumps({"global": header, "captures": [capture], "annotations": []}))
    recording = read_recording(tmp_path / "gr.sigmf-data")
    assert recording.center_offset_hz == pytest.approx(100e3)
    assert recording.params == LoRaParams(sf=7, cr=4, sync_word=None, oversampling=8)


def test_bad_recordings_are_named(tmp_path) -> None:
    (tmp_path / "a.sigmf-meta").write_text("{}")
    (tmp_path / "a.sigmf-data").write_bytes(b"")
    with pytest.raises(ValueError, match="no SigMF"):
        read_sigmf(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="missing"):
        read_sigmf(tmp_path / "b")
    with pytest.raises(ValueError, match="'sample_format'"):
        read_raw(tmp_path / "x.wav")
    (tmp_path / "x.cf32").touch()
    with pytest.raises(ValueError, match="'sample_rate_hz'"):
        read_recording(tmp_path / "x.cf32")


def test_a_meshtastic_frame_is_received(hear) -> None:
    params = replace(meshtastic("short_fast"), oversampling=1)
    heard = hear(params, snr_db=0.0, cfo_hz=5000.0)
    assert [f.payload for f in receive(heard.iq, params)] == [heard.payload]


def test_the_trace_of_a_reception_is_that_of_the_transmission() -> None:
    for params in (LoRaParams(sf=7, cr=1), LoRaParams(sf=12, cr=3), LoRaParams(sf=5), LoRaParams(sf=8, crc=False)):
        payload = b"a trace of it"
        sent = trace_payload(payload, params)
        bins = demodulate(modulate(encode_payload(payload, params), params), params, soft="bins")
        got = trace_symbols(bins, params)
        assert bytes(got["payload"]) == payload
        for stage in ("symbols", "labels", "codewords", "whitened", "payload"):
            assert np.array_equal(sent[stage], got[stage])
        assert "payload" in describe(sent, params)


def test_the_first_differing_stage_is_named_in_either_order() -> None:
    params = LoRaParams(sf=7, cr=4)
    good = trace_payload(b"hello world", params)
    symbols = good["symbols"].copy()
    symbols[9] = (symbols[9] + 1) % 128  # one wrong symbol: corrected by the code
    bad = trace_symbols(symbols, params)
    received = trace_symbols(good["symbols"], params)
    assert first_difference(received, received) is None
    difference = first_difference(received, bad, order="receiving")
    assert (difference.stage, difference.index) == ("symbols", 9)
    assert first_difference(received, bad, order="sending").stage == "codewords"
    assert first_difference(good, trace_payload(b"hello World", params)).stage == "payload"


def test_command_line(tmp_path: Path, capsys) -> None:
    file = str(tmp_path / "one.cf32")
    assert main(["tx", "hello", "-o", file, "--sf", "8", "--snr-db", "0", "--cfo-hz", "700", "--trace"]) == 0
    assert "codewords" in capsys.readouterr().out
    assert main(["rx", file, "--sf", "7", "8", "--json"]) == 0
    frame = json.loads(capsys.readouterr().out)
    assert bytes.fromhex(frame["payload"]) == b"hello" and frame["sf"] == 8 and abs(frame["cfo_hz"] - 700) < 100
    assert main(["rx", file, "--sf", "8"]) == 0
    assert "68656c6c6f" in capsys.readouterr().out
    assert main(["rx", file, "--sf", "8", "--sync-word", "0x34"]) == 1
    capsys.readouterr()
    sigmf = str(tmp_path / "two.sigmf")
    assert main(["tx", "0badf00d", "--hex", "-o", sigmf, "--preset", "eu868-dr5"]) == 0
    assert main(["rx", str(tmp_path / "two.sigmf-meta"), "--json"]) == 0
    assert '"payload": "0badf00d"' in capsys.readouterr().out
    assert main(["airtime", "13", "--sf", "9", "--ldro", "off"]) == 0
    assert capsys.readouterr().out == "164.864 ms\n"
    assert main(["waterfall", "--snr-db", "0", "--frames", "10", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["rows"][0][table["columns"].index("frame_errors")] == 0
    assert main(["budget", "16", "--path-loss-db", "140", "--sf", "9"]) == 0
    assert "margin" in capsys.readouterr().out
    assert main(["rx", str(tmp_path / "none.cf32")]) == 2
    assert "error" in capsys.readouterr().err
