"""``collided``: frames that overlap, from a file."""

from __future__ import annotations

import json
from typing import get_args

import numpy as np

from lora_phy import ChannelParams, LoRaParams, apply_channel, transmit
from lora_phy.__main__ import main
from lora_phy.commands.collided import METHODS
from lora_phy.receiver.collisions import Method
from lora_phy.recordings import write_sigmf

PARAMS = LoRaParams(sf=7, sync_word=0x34, oversampling=2)


def overlapping(tmp_path):
    loud, soft = transmit(b"the loud one", PARAMS), transmit(b"the soft one", PARAMS)
    iq = np.zeros(20_000, np.complex64)
    iq[1000 : 1000 + len(loud)] += loud
    iq[4345 : 4345 + len(soft)] += 0.3 * soft
    heard = apply_channel(iq, ChannelParams(snr_db=25.0), PARAMS, rng=np.random.default_rng(1))
    write_sigmf(tmp_path / "both", 0.5 * heard, PARAMS)
    return str(tmp_path / "both.sigmf-meta")


def test_the_methods_are_those_of_the_library():
    assert get_args(Method) == METHODS


def test_both_frames_are_printed_in_time_order(tmp_path, capsys):
    assert main(["collided", overlapping(tmp_path), "--json"]) == 0
    said = capsys.readouterr()
    frames = [json.loads(line) for line in said.out.splitlines()]
    assert [bytes.fromhex(frame["payload"]) for frame in frames] == [b"the loud one", b"the soft one"]
    assert [frame["start_sample"] for frame in frames] == [1000, 4345]
    assert "2 frames in" in said.err


def test_an_instant_a_method_and_nothing_found(tmp_path, capsys):
    path = overlapping(tmp_path)
    assert main(["collided", path, "--method", "sic", "--start-time", "2026-01-31T12:00:00+00:00"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("2026-01-31T12:00:00.004+00:00") and "the loud one" in first
    assert "the soft one" in second
    assert main(["collided", path, "--sf", "9", "--bandwidth-hz", "62.5e3"]) == 1
    told = capsys.readouterr().err
    assert "looked at 20000 samples of cf32 at 250000 Hz" in told and "--sf any" in told
    assert main(["collided", str(tmp_path / "none.cf32")]) == 2
    assert "none.cf32" in capsys.readouterr().err
