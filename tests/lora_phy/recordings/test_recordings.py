"""Recordings of every kind are read as other programs write them; what makes no sense is named."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
import wave
from datetime import UTC, datetime

import numpy as np
import pytest
import scipy.io.wavfile

from lora_phy import LoRaParams, read_recording, receive, transmit
from lora_phy.recordings import open_recording, read_sigmf, write_sigmf

PARAMS = LoRaParams(sf=7, oversampling=2)


@pytest.fixture(scope="module")
def iq() -> np.ndarray:
    pad = np.zeros(500, np.complex64)
    return np.concatenate([pad, 0.7 * transmit(b"on file", PARAMS), pad])


def components(iq, dtype) -> np.ndarray:
    """``(n, 2)`` I and Q as integers of full scale."""
    values = iq.view(np.float32).reshape(-1, 2)
    if dtype == np.float32:
        return values
    scale = 127.5 if dtype == np.uint8 else 2.0 ** (np.iinfo(dtype).bits - 1)
    offset = 127.5 if dtype == np.uint8 else 0.0
    return np.round(values * scale + offset).astype(dtype)


@pytest.mark.parametrize("dtype,step", [("uint8", 2**-7), ("int16", 2**-15), ("int32", 2**-22), ("float32", 0)])
def test_a_wav_of_scipy_is_read(tmp_path, iq, dtype, step) -> None:
    path = tmp_path / "x.wav"
    scipy.io.wavfile.write(path, 250_000, components(iq, np.dtype(dtype).type))
    recording = read_recording(path)
    assert recording.sample_rate_hz == 250e3 and recording.params is None
    assert np.abs((recording.iq - iq).view(np.float32)).max() <= step
    [frame] = receive(recording.iq, PARAMS, sample_rate_hz=recording.sample_rate_hz)
    assert frame.payload == b"on file"


def test_a_wav_of_24_bits_of_the_standard_library_is_read(tmp_path, iq) -> None:
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(3)
        file.setframerate(250_000)
        integers = np.round(iq.view(np.float32) * (2**23 - 1)).astype("<i4")
        file.writeframes(integers.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
    back = read_recording(tmp_path / "x.wav").iq
    assert np.abs((back - iq).view(np.float32)).max() < 2**-21


def test_other_chunks_and_an_open_end_are_fine(tmp_path, iq) -> None:
    """Recorders put chunks of their own before the samples, and write no length while they record."""
    samples = components(iq, np.int16).tobytes()
    fmt = struct.pack("<HHIIHH", 1, 2, 250_000, 1_000_000, 4, 16)
    extensible = struct.pack("<HHIIHH", 0xFFFE, 2, 250_000, 1_000_000, 4, 16) + struct.pack("<HHIH", 22, 16, 3, 1)
    for body in (fmt, extensible + bytes(14)):
        for length in (0, 0xFFFFFFFF, len(samples)):
            head = b"RIFF" + struct.pack("<I", 0) + b"WAVE" + b"auxi" + struct.pack("<I", 5) + b"hello\0"
            head += b"fmt " + struct.pack("<I", len(body)) + body + b"data" + struct.pack("<I", length)
            (tmp_path / "x.wav").write_bytes(head + samples)
            assert len(read_recording(tmp_path / "x.wav").iq) == len(iq)


def test_a_wav_that_cannot_be_iq_is_named(tmp_path, iq) -> None:
    mono = tmp_path / "mono.wav"
    scipy.io.wavfile.write(mono, 48_000, components(iq, np.int16)[:, 0])
    with pytest.raises(ValueError, match=r"mono\.wav must have two channels, I and Q \(got 1\)"):
        read_recording(mono)
    whole = tmp_path / "whole.wav"
    scipy.io.wavfile.write(whole, 250_000, components(iq, np.int16))
    cut = tmp_path / "cut.wav"
    for length in (0, 3, 11, 20, 40):
        cut.write_bytes(whole.read_bytes()[:length])
        with pytest.raises(ValueError, match=r"cut\.wav is cut"):
            read_recording(cut)
    cut.write_bytes(whole.read_bytes()[: 44 + 4 * 1000 + 3])
    with pytest.warns(UserWarning, match=rf"cut\.wav is cut: its header announces {len(iq)} samples, 1000 are there"):
        assert len(read_recording(cut).iq) == 1000
    (tmp_path / "text.wav").write_text("not a WAV, but long enough to be looked at")
    with pytest.raises(ValueError, match=r"text\.wav is no WAV"):
        read_recording(tmp_path / "text.wav")
    law = whole.read_bytes().replace(struct.pack("<HH", 1, 2), struct.pack("<HH", 7, 2), 1)
    cut.write_bytes(law)
    with pytest.raises(ValueError, match="got encoding 7 of 16 bits"):
        read_recording(cut)


def sigmf(tmp_path, iq, capture, **header):
    (tmp_path / "x.sigmf-data").write_bytes(iq.tobytes())
    whole = {"core:datatype": "cf32_le", "core:sample_rate": 250e3, "core:version": "1.0.0"} | header
    meta = {"global": whole, "captures": [capture], "annotations": []}
    (tmp_path / "x.sigmf-meta").write_text(json.dumps(meta))
    return tmp_path / "x.sigmf-meta"


def test_values_of_gr_lora_may_be_strings(tmp_path, iq) -> None:
    capture = {"core:sample_start": 0, "core:frequency": "868000000", "lora:frequency": "868100000.0", "lora:sf": "7"}
    capture |= {"lora:cr": "2", "lora:bw": "125000", "lora:prlen": "8", "lora:crc": "False", "lora:implicit": "False"}
    capture |= {"lora:sync_word": "0x34", "lora:ldro": "None", "lora:inverted_iq": "True"}
    recording = read_recording(sigmf(tmp_path, iq, capture))
    assert recording.params == LoRaParams(sf=7, cr=2, crc=False, sync_word=0x34, inverted_iq=True, oversampling=2)
    assert recording.frequency_hz == 868e6 and recording.center_offset_hz == 100e3


def test_the_time_of_the_first_sample(tmp_path, iq) -> None:
    capture = {"core:sample_start": 0, "core:datetime": "2026-02-03T04:05:06.123456Z"}
    path = sigmf(tmp_path, iq, capture)
    start = datetime(2026, 2, 3, 4, 5, 6, 123456, UTC)
    assert read_recording(path).start_time == start
    recording = read_recording(sigmf(tmp_path, iq, capture | {"core:sample_start": 250_000}))
    assert (start - recording.start_time).total_seconds() == 1.0
    written = write_sigmf(tmp_path / "y", iq, PARAMS, start_time=start)
    assert read_sigmf(written).start_time == start


def test_metadata_that_lies_is_named_or_passed_over(tmp_path, iq) -> None:
    for header, words in (
        ({"core:datatype": "rf32_le"}, "'core:datatype' must be one of"),
        ({"core:sample_rate": -1}, "'core:sample_rate' must be positive"),
        ({"core:sample_rate": "fast"}, "no SigMF metadata"),
        ({"core:sample_rate": float("nan")}, "'core:sample_rate' must be positive"),
    ):
        with pytest.raises(ValueError, match=words):
            read_recording(sigmf(tmp_path, iq, {}, **header))
    for capture in (
        {"lora:sf": 99}, {"lora:sf": "seven"}, {"lora:sf": 7, "lora:crc": "perhaps"}, {"lora:sf": 7, "lora:bw": 0},
        {"core:datetime": "yesterday"}, {"core:frequency": "here"}, {"lora:sf": 7, "lora:cr": [1]},
    ):  # fmt: skip
        with pytest.warns(UserWarning, match=r"x\.sigmf-meta: passed over"):
            assert len(read_recording(sigmf(tmp_path, iq, capture)).iq) == len(iq)
    for capture, words in (
        ({"lora:sf": 9.7}, "'lora:sf': must be a whole number .got 9.7."),
        ({"lora:sf": 7, "lora:implicit": "maybe"}, "'lora:implicit': must be true or false .got 'maybe'."),
        ({"lora:sf": 7, "lora:sync_word": [3, 4]}, "'lora:sync_word': "),
        ({"core:frequency": 868e6, "lora:frequency": 869e6}, "869000000 Hz is outside the recording, 250000 Hz around"),
    ):
        with pytest.warns(UserWarning, match=words):
            assert read_recording(sigmf(tmp_path, iq, capture)).center_offset_hz == 0.0
    with pytest.warns(UserWarning, match="if kHz were meant: 125000"):
        assert read_recording(sigmf(tmp_path, iq, {"lora:sf": 7, "lora:bw": 125})).params.bandwidth_hz == 125
    (tmp_path / "x.sigmf-meta").write_text('["no object"]')
    with pytest.raises(ValueError, match="no SigMF"):
        read_recording(tmp_path / "x.sigmf-meta")


@pytest.mark.parametrize(
    ("header", "captures", "words"),
    [
        ({"core:num_channels": 2}, [{}], "'core:num_channels' must be 1 .got 2."),
        ({"core:num_channels": True}, [{}], "'core:num_channels'"),
        ({"core:trailing_bytes": 16}, [{}], "'core:trailing_bytes' must be absent or 0"),
        ({"core:dataset": "other.cf32"}, [{}], "'core:dataset' must name the file beside it"),
        ({"core:dataset": "../../etc/passwd"}, [{}], "'core:dataset' must name the file beside it"),
        ({"core:dataset": 5}, [{}], "'core:dataset'"),
        ({}, [{"core:sample_start": -5}], "'core:sample_start' must be an integer of at least 0 .got -5."),
        ({}, [{"core:sample_start": 1e30}], "'core:sample_start'"),
        ({}, [{"core:sample_start": 2.5}], "'core:sample_start'"),
        ({}, [{"core:sample_start": True}], "'core:sample_start'"),
        ({}, [{"lora:sf": 7}, {"lora:sf": 7, "core:sample_start": -1}], "'core:sample_start'"),
        ({}, [{"core:header_bytes": 8}], "'core:header_bytes' must be absent or 0"),
        ({}, [{}, {"core:header_bytes": 8}], "'core:header_bytes'"),
        ({"core:metadata_only": True}, [{}], "'core:metadata_only'"),
        ({"core:extensions": [{"name": "rot13", "version": "1"}]}, [{}], "requires 'rot13'"),
        ({"core:extensions": [{"name": "rot13", "optional": False}]}, [{}], "requires 'rot13'"),
        ({"core:extensions": 7}, [{}], "no SigMF metadata"),
        (
            {},
            [{"core:frequency": 1e6}, {"core:sample_start": 9, "core:frequency": 2e6}],
            "'core:frequency' of number 1",
        ),
        ({}, [{"lora:sf": 7}, {"lora:sf": 8}], "'lora:sf' of number 1"),
        ({}, {"core:frequency": 1e6}, "'captures' must be a list .got dict."),
        ({}, [7], "no SigMF metadata"),
        ({}, [{"core:sample_start": float("inf")}], "no SigMF metadata"),
        ({"core:sample_rate": float("inf")}, [{}], "'core:sample_rate' must be positive and finite"),
        ({"core:sample_rate": [1e6]}, [{}], "no SigMF metadata"),
        ({"core:datatype": ["cf32_le"]}, [{}], "'core:datatype' must be one of"),
        ({"core:sha512": "0" * 128}, [{}], r"'core:sha512' of x\.sigmf-meta is not that of x\.sigmf-data"),
        ({"core:sha512": 5}, [{}], "'core:sha512'"),
    ],
)
def test_what_would_change_the_meaning_of_the_samples_is_refused_by_name(tmp_path, iq, header, captures, words) -> None:
    path = sigmf(tmp_path, iq, {}, **header)
    meta = json.loads(path.read_text())
    path.write_text(json.dumps(meta | {"captures": captures}))
    with pytest.raises(ValueError, match=words):
        read_recording(path)


def test_what_does_not_change_the_meaning_of_the_samples_is_read(tmp_path, iq) -> None:
    digest = hashlib.sha512(iq.tobytes()).hexdigest()
    extensions = [{"name": "lora", "version": "1"}, {"name": "rot13", "version": "1", "optional": True}]
    path = sigmf(tmp_path, iq, {}, **{"core:sha512": digest, "core:num_channels": 1, "core:extensions": extensions})
    meta = json.loads(path.read_text())
    captures = [{"core:sample_start": 0, "lora:sf": 7, "core:header_bytes": 0}, {"core:sample_start": 9, "lora:sf": 7}]
    path.write_text(json.dumps(meta | {"captures": captures}))
    assert len(read_recording(path).iq) == len(iq)
    path.with_suffix(".sigmf-data").write_bytes(iq.tobytes()[:-8])
    with pytest.raises(ValueError, match="core:sha512"):
        read_recording(path)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="no SigMF"):
        read_recording(path)


def test_a_recording_that_is_not_there_or_says_nothing(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        read_recording(tmp_path / "none.wav")
    (tmp_path / "x.dat").write_bytes(bytes(80))
    with pytest.raises(ValueError, match=r"'sample_format' must be given, one of .*: 'x.dat' does not end in one"):
        read_recording(tmp_path / "x.dat", sample_rate_hz=1e6)
    with pytest.raises(ValueError, match="'sample_rate_hz' must be given"):
        read_recording(tmp_path / "x.dat", sample_format="cs8")
    assert len(read_recording(tmp_path / "x.dat", sample_format="cs8", sample_rate_hz=1e6).iq) == 40


def test_the_file_that_is_named_is_read_whatever_lies_beside_it(tmp_path, iq) -> None:
    write_sigmf(tmp_path / "x", np.zeros(10, np.complex64), PARAMS)
    scipy.io.wavfile.write(tmp_path / "x.wav", 250_000, components(iq, np.float32))
    iq.tofile(tmp_path / "x.cf32")
    assert len(read_recording(tmp_path / "x.wav").iq) == len(iq)
    assert len(read_recording(tmp_path / "x.cf32", sample_rate_hz=250e3).iq) == len(iq)
    assert len(read_recording(tmp_path / "x").iq) == 10, "the common stem of a SigMF recording"


def test_no_standard_input_is_an_error_of_its_own(monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", None)  # what Python makes of a descriptor that is closed at its start
    with pytest.raises(OSError, match="standard input is closed"):
        open_recording("-")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes as on Unix")
def test_a_pipe_hands_over_what_has_come(tmp_path, iq) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    first_seen = threading.Event()

    def write() -> None:
        with pipe.open("wb", buffering=0) as handle:
            handle.write(iq[:100].tobytes() + b"\1\2\3")  # ends inside a sample
            assert first_seen.wait(20)
            handle.write(iq[100:].tobytes()[3:] + b"\1")

    writer = threading.Thread(target=write)
    writer.start()
    stream = open_recording(pipe)
    assert (stream.sample_format, stream.assumed_format, stream.sample_rate_hz) == ("cf32", True, None)
    chunks = [next(stream.chunks)]
    assert len(chunks[0]) == 100
    first_seen.set()
    chunks += list(stream.chunks)
    writer.join()
    assert sum(map(len, chunks)) == len(iq)
    assert np.array_equal(np.concatenate(chunks)[200:], iq[200:])


def test_a_missing_key_is_named(tmp_path):
    write_sigmf(tmp_path / "a", np.zeros(8, np.complex64), PARAMS)
    meta = json.loads((tmp_path / "a.sigmf-meta").read_text())
    del meta["global"]["core:sample_rate"]
    (tmp_path / "a.sigmf-meta").write_text(json.dumps(meta))
    with pytest.raises(ValueError, match="'core:sample_rate' is missing"):
        read_recording(tmp_path / "a")
