"""``rx``: frames as they are found, from files and pipes; what to look at where there are none."""

from __future__ import annotations

import json
import os
import re
import select
import struct
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from lora_phy import ChannelParams, FrameStatus, LoRaParams, apply_channel, encode_payload, receive, transmit
from lora_phy.__main__ import main
from lora_phy.commands.options import with_plain_numbers
from lora_phy.modem.modulation import modulate_frame
from lora_phy.recordings import write_raw, write_sigmf
from lora_phy.recordings.loratap import loratap

PARAMS = LoRaParams(sf=7, sync_word=0x34)


def air(*payloads: bytes, params=PARAMS, snr_db=10.0, seed=1, gap=3000) -> np.ndarray:
    pad = np.zeros(gap, np.complex64)
    iq = np.concatenate([pad, *(part for payload in payloads for part in (transmit(payload, params), pad))])
    return 0.3 * apply_channel(iq, ChannelParams(snr_db=snr_db), params, rng=np.random.default_rng(seed))


def test_each_frame_is_a_line(tmp_path, capsys) -> None:
    write_raw(tmp_path / "two.cf32", air(b"first", b"second"))
    assert main(["rx", str(tmp_path / "two.cf32"), "--sync", "any"]) == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert re.match(r" +0\.024\d+ s  SF7/125  ok .* 34 .* 5 B  6669727374  first$", first), first
    assert second.endswith("second") and "2 frames in 0." in err
    assert main(["rx", str(tmp_path / "two.cf32"), "--sync-word", "0x34", "--json"]) == 0
    frames = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [bytes.fromhex(frame["payload"]) for frame in frames] == [b"first", b"second"]
    expected = {"status": "ok", "crc_ok": True, "sf": 7, "bandwidth_hz": 125e3, "sync_word": 0x34, "preamble_len": 8}
    assert expected.items() <= frames[0].items() and frames[0]["time"] is None
    assert len(frames[0]["symbols"]) == len(receive(transmit(b"first", PARAMS), PARAMS)[0].symbols)
    # a signal of amplitude 0.3 has -10.5 dBFS
    assert abs(frames[0]["power_dbfs"] + 10.46) < 0.5 and abs(frames[0]["snr_db"] - 10) < 1.5


@pytest.mark.skipif(os.name == "nt", reason="select on pipes")
def test_a_live_pipe_shows_a_frame_before_it_ends() -> None:
    command = [sys.executable, "-m", "lora_phy", "rx", "-", "--format", "cs16", "--sync-word", "0x34"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        samples = np.round(air(b"live", gap=40_000).view(np.float32) * 32767).astype("<i2").tobytes()
        process.stdin.write(samples)
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], 200)
        assert ready and process.stdout.readline().rstrip().endswith(b"live")
        process.stdin.write(samples + b"\1")  # ends in mid-sample
        process.stdin.close()
        assert process.stdout.read().count(b"live") == 1
        assert process.wait(60) == 0


def test_several_spreading_factors_bandwidths_and_an_offset(tmp_path, capsys) -> None:
    wide = LoRaParams(sf=8, bandwidth_hz=250e3, oversampling=4)
    channel = ChannelParams(snr_db=15.0, cfo_hz=-100e3)
    iq = np.concatenate([np.zeros(9000, np.complex64), transmit(b"wide", wide), np.zeros(20000, np.complex64)])
    iq = apply_channel(iq, channel, wide, rng=np.random.default_rng(2))
    write_raw(tmp_path / "x.cs8", 0.2 * iq)
    command = ["rx", str(tmp_path / "x.cs8"), "--sample-rate-hz", "1e6", "--center-offset-hz", "-100e3", "--json"]
    assert main([*command, "--sf", "7", "8", "--bandwidth-hz", "125e3", "250e3"]) == 0
    [frame] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert bytes.fromhex(frame["payload"]) == b"wide" and (frame["sf"], frame["bandwidth_hz"]) == (8, 250e3)


def test_channels_of_a_gateway_are_told_with_each_frame(tmp_path, capsys) -> None:
    wide = LoRaParams(sf=7, oversampling=8)
    gap = np.zeros(9000, np.complex64)
    parts = [gap]
    for channel_hz, payload in ((-200e3, b"lower"), (0.0, b"centre")):
        frame = transmit(payload, wide)
        parts += [frame * np.exp(2j * np.pi * channel_hz / 1e6 * np.arange(len(frame))), gap, gap]
    iq = apply_channel(np.concatenate(parts), ChannelParams(snr_db=15.0), wide, rng=np.random.default_rng(3))
    write_raw(tmp_path / "gateway.cs16", 0.2 * iq)
    command = ["rx", str(tmp_path / "gateway.cs16"), "--sample-rate-hz", "1e6", "--channels", "3"]
    assert main([*command, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(bytes.fromhex(item["payload"]), item["channel_hz"]) for item in found] == [
        (b"lower", -200e3),
        (b"centre", 0),
    ]
    assert all(abs(item["cfo_hz"]) < 100 for item in found)
    assert main(command) == 0
    lower, centre = capsys.readouterr().out.splitlines()
    assert "  -200 kHz  SF7/125" in lower and "    +0 kHz  SF7/125" in centre
    # the same two channels, counted from another centre: a grid of 100 kHz around -100 kHz
    assert main([*command, "--center-offset-hz", "-100e3", "--spacing-hz", "100e3", "--json"]) == 0
    assert [json.loads(line)["channel_hz"] for line in capsys.readouterr().out.splitlines()] == [-200e3, 0.0]
    # 1 MS/s reaches from -500 to 500 kHz: of -800, -600 … 600 kHz five lie within
    assert main([*command[:-1], "8"]) == 0
    assert "warning: 3 of 8 channels lie outside the recording" in capsys.readouterr().err
    for bad, words in (
        (["--channels", "0"], "'--channels' must be"),
        (["--channels", "3", "--center-offset-hz", "900e3"], "'--center-offset-hz' must leave a channel in the stream"),
        (["--spacing-hz", "-5"], "'--spacing-hz' must be"),
        (["--cancel"], "'--cancel' must not be given with"),
    ):
        assert main([*command, *bad]) == 2
        assert words in capsys.readouterr().err


def hidden_under_another(path) -> list[str]:
    """A recording of 250 kS/s with a frame of SF10 whose sync word lies under one of SF7, 24 dB stronger."""
    from lora_phy.frames.scene import Transmission, scene

    sent = [
        Transmission(payload=b"the hidden one", params=LoRaParams(sf=10), start_s=0.05, power_db=-11.0),
        Transmission(payload=b"the loud one, " * 2, params=PARAMS, start_s=0.105, power_db=13.0),
    ]
    noise = np.random.default_rng(3).standard_normal((2, 150_000))
    write_raw(path, 0.05 * (scene(sent, 150_000, 250e3) + noise[0] + 1j * noise[1]))
    return [each.payload.hex() for each in sent]


def test_a_blind_scan_of_a_file_searches_under_strong_frames(tmp_path, capsys, monkeypatch) -> None:
    path = tmp_path / "crowded.cf32"
    payloads = hidden_under_another(path)

    def payloads_of(*options: str) -> list[str]:
        main(["rx", str(path), "--sample-rate-hz", "250e3", "--sync", "any", "--json", *options])
        return [json.loads(line)["payload"] for line in capsys.readouterr().out.splitlines()]

    assert payloads_of("--sf", "7", "9", "10") == payloads
    assert payloads_of("--sf", "7", "9", "10", "--cancel") == payloads
    assert payloads_of("--sf", "7", "9", "10", "--no-cancel") == payloads[1:]
    # a recording that is long is not held in memory unless asked for
    monkeypatch.setattr("lora_phy.commands.rx.WHOLE_SAMPLES", 70_000)
    assert payloads_of("--sf", "7", "9", "10") == payloads[1:]
    assert payloads_of("--sf", "7", "9", "10", "--cancel") == payloads
    # and several sets of parameters for frames that collide
    assert main(["collided", str(path), "--sample-rate-hz", "250e3", "--sf", "7", "10", "--sync-word", "any"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "the hidden one" in first and "the loud one" in second


def test_no_frame_says_what_was_assumed_and_where_the_power_is(tmp_path, capsys) -> None:
    params = LoRaParams(sf=9, oversampling=16)
    iq = np.concatenate(
        [np.zeros(200_000, np.complex64), transmit(b"elsewhere", params), np.zeros(99_000, np.complex64)]
    )
    iq = apply_channel(iq, ChannelParams(snr_db=10.0, cfo_hz=600e3), params, rng=np.random.default_rng(3))
    write_raw(tmp_path / "x.cu8", 0.1 * iq)
    assert main(["rx", str(tmp_path / "x.cu8"), "--sample-rate-hz", "2e6"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and f"looked at {len(iq)} samples of cu8 at 2e+06 Hz" in err and "0 frames in 0." in err
    assert "for SF 7, bandwidth 125 kHz, sync word 0x12" in err
    offset = re.search(r"--center-offset-hz (\d+)", err)
    assert offset and abs(int(offset[1]) - 600e3) < 30e3
    for hint in ("--sf any", "--sync-word any", "--inverted-iq"):
        assert hint in err
    # the hints lead to the frame
    command = ["rx", str(tmp_path / "x.cu8"), "--sample-rate-hz", "2e6", "--center-offset-hz", offset[1]]
    assert main([*command, "--sf", "8", "9", "--sync-word", "any"]) == 0
    assert "elsewhere" in capsys.readouterr().out
    assert main(["rx", str(tmp_path / "x.cu8")]) == 1
    assert "at 125000 Hz (assumed" in capsys.readouterr().err


def test_recordings_without_samples_are_no_exception(tmp_path, capsys) -> None:
    for name, samples in (("empty", []), ("one", [1]), ("zeros", [0] * 5000), ("nan", [np.nan] * 5000)):
        write_raw(tmp_path / f"{name}.cf32", np.array(samples, np.complex64))
        assert main(["rx", str(tmp_path / f"{name}.cf32")]) == 1
        assert "0 frames" in capsys.readouterr().err


def test_the_time_of_a_frame(tmp_path, capsys) -> None:
    start = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    write_sigmf(tmp_path / "x", air(b"when", gap=12_500), PARAMS, start_time=start)
    assert main(["rx", str(tmp_path / "x.sigmf-meta"), "--json"]) == 0
    frame = json.loads(capsys.readouterr().out)
    assert abs((datetime.fromisoformat(frame["time"]) - start).total_seconds() - 0.1) < 1e-4
    assert main(["rx", str(tmp_path / "x.sigmf-meta"), "--start-time", "2020-01-01T00:00:00Z"]) == 0
    assert capsys.readouterr().out.startswith("2020-01-01T00:00:00.100")


def test_a_sync_word_that_is_no_byte_is_told_as_chirps(tmp_path, capsys) -> None:
    sent = modulate_frame(encode_payload(b"odd", PARAMS), PARAMS, sync_symbols=(13, 91))
    write_raw(tmp_path / "x.cf32", np.pad(0.3 * sent, (3000, 6000)))
    assert main(["rx", str(tmp_path / "x.cf32"), "--sync", "any", "--json"]) == 0
    frame = json.loads(capsys.readouterr().out)
    assert (frame["payload"], frame["sync_word"], frame["sync_symbols"]) == (b"odd".hex(), None, [13, 91])


def test_a_pcap_of_loratap(tmp_path, capsys) -> None:
    """Field by field as the format's description has them, big endian."""
    write_sigmf(tmp_path / "x", air(b"\x40four"), PARAMS, start_time=datetime(2026, 3, 4, tzinfo=UTC))
    assert main(["rx", str(tmp_path / "x.sigmf-meta"), "--pcap", str(tmp_path / "x.pcap")]) == 0
    data = (tmp_path / "x.pcap").read_bytes()
    magic, major, minor, _, _, _, link_type = struct.unpack("<IHHiIII", data[:24])
    assert (magic, major, minor, link_type) == (0xA1B2C3D4, 2, 4, 270)
    seconds, microseconds, captured, length = struct.unpack("<IIII", data[24:40])
    assert abs(seconds + microseconds / 1e6 - 1772582400 - 3000 / 125e3) < 1e-4 and captured == length == len(data) - 40
    version, _, header_len, frequency, width, sf = struct.unpack(">BBHIBB", data[40:50])
    assert (version, header_len, width, sf) == (1, 35, 1, 7) and abs(frequency - 868.1e6) < 100
    rssi, highest, current, snr, sync_word = struct.unpack(">BBBbB", data[50:55])
    assert abs(rssi - 139 + 10.46) < 1.5 and abs(snr / 4 - 10) < 1.5 and sync_word == 0x34
    assert (highest, current) == (255, 255) and data[55 + 12] == 0x08 and data[55 + 13] == 5
    assert data[40 + header_len :] == b"\x40four"


def test_loratap_tells_a_bad_crc_from_none() -> None:
    iq = np.concatenate([air(b"damaged in the middle"), np.zeros(3000, np.complex64)])
    iq[9000:9900] = 0
    [damaged] = receive(iq, PARAMS)
    assert damaged.status == FrameStatus.BAD_CRC and loratap(damaged)[15 + 12] == 0x10
    bare = LoRaParams(sf=7, crc=False, inverted_iq=True, sync_word=0x34)
    [frame] = receive(air(b"no crc", params=bare), bare)
    assert loratap(frame)[15 + 12] == 0x22


@pytest.mark.parametrize(
    "power_dbfs,snr_db,rssi",
    # of the format's description: dBm = -139 + rssi where snr >= 0, else -139 + rssi / 4; 255 is "not available"
    [
        (-39.0, 3.0, 100),
        (-20.0, 0.0, 119),
        (-100.0, -6.0, 156),
        (-75.5, -1.0, 254),
        (-40.0, -6.0, 255),
        (-160.0, 2.0, 0),
    ],
)
def test_the_rssi_of_loratap(power_dbfs, snr_db, rssi) -> None:
    [frame] = receive(air(b"strong"), PARAMS)
    assert loratap(replace(frame, power_dbfs=power_dbfs, snr_db=snr_db))[10] == rssi


def test_what_cannot_be_is_said_before_the_work(tmp_path, capsys) -> None:
    write_raw(tmp_path / "x.cf32", air(b"fine"))
    (tmp_path / "x.dat").touch()
    write_sigmf(tmp_path / "implicit", air(b"fine"), replace(PARAMS, explicit_header=False))
    for arguments, words in (
        ([str(tmp_path / "x.cf32"), "--pcap", str(tmp_path / "none" / "x.pcap")], "none"),
        ([str(tmp_path / "none.cf32")], "none.cf32"),
        ([str(tmp_path / "x.cf32"), "--sync-word", "often"], "'--sync-word' must be a byte"),
        ([str(tmp_path / "x.cf32"), "--start-time", "now"], "now"),
        ([str(tmp_path / "x.dat")], "'--format' must be given, one of cf32"),
        ([str(tmp_path / "implicit.sigmf-meta")], "'--implicit-len' must be given"),
        ([str(tmp_path)], "directory"),
        ([""], "directory"),
        ([str(tmp_path / "x.cf32"), "--pcap", "/dev/full"], "'/dev/full'"),
        ([str(tmp_path / "x.cf32"), "--sf", "13"], "'--sf' must be in"),
        ([str(tmp_path / "x.cf32"), "--start-time", "noon"], "'--start-time' must be an instant such as 2026-01-31T"),
    ):
        assert main(["rx", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error:") and words in err


def test_a_warning_is_one_line_of_every_command(capsys) -> None:
    assert main(["airtime", "20", "--sf", "7", "--bandwidth-hz", "15600"]) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: 'bandwidth_hz'") and "15625" in line


def test_a_spreading_factor_that_is_none(capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["rx", "x.cf32", "--sf", "seven"])
    assert "argument --sf: must be a spreading factor, 5 to 12, or 'any' (got 'seven')" in capsys.readouterr().err


def test_negative_numbers_are_values() -> None:
    given = ["--snr-db", "-10", "-1.5e1", "-.5", "--sf", "7", "-o", "-x"]
    assert with_plain_numbers(given) == ["--snr-db", "-10", "-15", "-0.5", "--sf", "7", "-o", "-x"]


def test_help_is_quick_and_complete() -> None:
    program = (
        "import resource, sys; from lora_phy.__main__ import parser; text = parser().format_help();"
        "used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime, 'numpy' in sys.modules);"
        "print(text)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    seconds, numpy = done.stdout.splitlines()[0].split()
    assert float(seconds) < 0.3 and numpy == "False"
    for name in ("tx", "rx", "airtime", "budget", "waterfall", "warmup"):
        assert re.search(rf"^    {name}\b", done.stdout, re.M)


def test_a_pcap_does_not_overwrite_the_recording(tmp_path, capsys) -> None:
    meta = write_sigmf(tmp_path / "x", air(b"kept"), PARAMS)
    data = meta.with_suffix(".sigmf-data")
    before = meta.read_bytes(), data.read_bytes()
    for recording in (meta, data, tmp_path / "x"):
        for target in (meta, data):
            assert main(["rx", str(recording), "--pcap", str(target)]) == 2
            assert "'--pcap' must name another file than the recording" in capsys.readouterr().err
    assert (meta.read_bytes(), data.read_bytes()) == before


@pytest.mark.parametrize(
    ("time", "seconds", "microseconds"),
    # 32 bits of seconds since 1970, as the format's draft has them; behind the calendar's end a frame has no date
    [
        ("9999-12-31T23:59:59.9999Z", 0, None),
        ("9999-12-31T23:59:59Z", 2**32 - 1, 999_999),
        ("0001-01-01T00:00:00Z", 0, 0),
        ("2026-01-31T12:00:00.5Z", None, None),
    ],
)
def test_a_pcap_holds_dates_that_it_has_no_room_for(tmp_path, time, seconds, microseconds) -> None:
    write_raw(tmp_path / "x.cf32", air(b"old", gap=64))
    pcap = tmp_path / "x.pcap"
    assert main(["rx", str(tmp_path / "x.cf32"), "--sync", "any", "--start-time", time, "--pcap", str(pcap)]) == 0
    told = struct.unpack_from("<II", pcap.read_bytes(), 24)
    assert told[0] == (int(datetime.fromisoformat(time).timestamp()) if seconds is None else seconds)
    assert microseconds is None or told[1] == microseconds


def test_options_change_what_the_metadata_says(tmp_path, capsys) -> None:
    """SigMF names the radio's parameters; each option that is given takes the place of one of them."""
    sent = replace(PARAMS, sf=8, inverted_iq=True, explicit_header=False, payload_len=5, bandwidth_hz=250e3)
    told = replace(sent, inverted_iq=False, explicit_header=True, payload_len=None, bandwidth_hz=125e3, sync_word=0x12)
    meta = str(write_sigmf(tmp_path / "x", air(b"other", params=sent), told, sample_rate_hz=250e3))
    assert main(["rx", meta]) == 1
    options = ["--inverted-iq", "--implicit-len", "5", "--bandwidth-hz", "250e3", "--sync", "0x34"]
    assert main(["rx", meta, *options]) == 0
    assert "SF8/250  ok" in capsys.readouterr().out
    for left_out in (["--inverted-iq"], options[1:3], options[3:5], options[5:]):
        few = [item for item in options if item not in left_out]
        assert main(["rx", meta, *few, "--json"]) == 1 or b"other".hex() not in capsys.readouterr().out
