"""Results as tables and their rates, against closed forms and what was simulated."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from lora_phy import (
    ChannelParams,
    LinkPoint,
    LoRaParams,
    Multipath,
    SymbolCounts,
    collect,
    load_results,
    results_table,
    symbol_errors,
    theory,
)
from lora_phy.channel import Interferer, PhaseNoise, Transmitter
from lora_phy.monte_carlo.counts import binomial_interval
from lora_phy.monte_carlo.results_file import _signed
from lora_phy.studies.tables import from_csv, per_table, save, to_csv

POINTS = [
    LinkPoint(LoRaParams(sf=sf), ChannelParams(snr_db=-9.0, fading=fading), 8, sync="perfect", decoding="hard")
    for sf in (7, 8)
    for fading in (None, "rayleigh")
]


@pytest.fixture(scope="module")
def results():
    return collect(POINTS, max_frames=400, seed=2, engine="bins")


def test_a_result_has_its_rate_and_interval(results):
    for result in results:
        assert result.per == result.counts.frame_errors / result.counts.frames
        assert result.interval(0.9) == binomial_interval(result.counts.frame_errors, result.counts.frames, 0.9)
        assert len(repr(result)) < 160 and f"SF{result.point.params.sf}" in repr(result)


def test_a_table_has_a_row_for_each_result_and_survives_csv(results, tmp_path):
    table = results_table(results)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["sf"] for row in rows] == [7, 7, 8, 8]
    assert [row["fading"] for row in rows] == ["none", "rayleigh"] * 2
    assert all(row["per_low"] <= row["per"] <= row["per_high"] for row in rows)
    assert all(row["frame_errors"] >= row["bad_header"] + row["bad_crc"] + row["undetected"] for row in rows)
    assert len({row["point"] for row in rows}) == 4
    assert from_csv(to_csv(table)) == table
    assert from_csv(save(table, tmp_path / "results.csv").read_text()) == table


def test_simulated_rates_take_the_place_of_theory_in_the_table_for_network_simulators(results):
    table = per_table(results=results)
    assert [row[-1] for row in table.rows] == [result.per for result in results]
    assert table.columns == per_table([LoRaParams(sf=7)], 8, [-9.0]).columns
    for bad in ({}, {"params": [LoRaParams(sf=7)], "payload_len": 8, "snr_db": [0.0], "results": results}):
        with pytest.raises(ValueError, match="'results' takes the place"):
            per_table(**bad)


def test_bit_error_rate_of_uncoded_symbols_is_that_of_theory():
    """Wrong symbols counted within the exact interval of false alarm 1e-6; the factor to bits is exact."""
    counts = symbol_errors(LoRaParams(sf=7), -10.0, 100_000, seed=4, engine="bins")
    low, high = binomial_interval(counts.errors, counts.symbols, 1 - 1e-6)
    factor = counts.ber / counts.ser
    assert low * factor <= theory.ber_awgn(7, -10.0) <= high * factor
    assert factor == pytest.approx(64 / 127)


def test_no_bit_error_rate_where_wrong_symbols_are_not_alike():
    assert math.isnan(symbol_errors(LoRaParams(sf=7), ChannelParams(snr_db=-8.0, cfo_hz=300.0), 64, seed=1).ber)
    assert math.isnan(SymbolCounts(10, 1).ber)
    assert math.isnan((SymbolCounts(10, 1, sf=7) + SymbolCounts(10, 1, sf=8)).ber)


def test_a_results_file_gives_back_what_was_collected(tmp_path):
    file = tmp_path / "per.jsonl"
    done = collect(POINTS, max_frames=450, seed=2, engine="bins", save_to=file)  # the last block is not full
    weighed = collect(POINTS[:1], max_frames=400, seed=2, engine="importance", save_to=file)
    assert load_results(file) == [*done, *weighed]
    longer = collect(POINTS, max_frames=800, seed=2, engine="bins", save_to=file)
    assert load_results(file)[: len(POINTS)] == longer


def test_every_kind_of_channel_is_told_back(tmp_path):
    channels = [
        ChannelParams(),
        ChannelParams(snr_db=-1.0, fading="rician", k_factor_db=-float("inf"), doppler_hz=3.0),
        ChannelParams(snr_db=3.0, multipath=Multipath(taps=[(0.0, 0.0), (8e-6, -6.0)]), cfo_hz=100.0),
        ChannelParams(
            snr_db=9.0,
            transmitter=Transmitter(dc_offset=0.1 - 0.2j, phase_noise=PhaseNoise(mask=((1e3, -90.0), (1e5, -110.0)))),
        ),
    ]
    points = [LinkPoint(LoRaParams(sf=7, cr=4), channel, 4, sync="perfect") for channel in channels]
    file = tmp_path / "per.jsonl"
    done = collect(points, max_frames=3, seed=1, save_to=file)
    assert load_results(file) == done


def test_what_a_file_cannot_tell_is_left_out_and_counted(tmp_path):
    channel = ChannelParams(snr_db=0.0, interferers=(Interferer(np.ones(64, np.complex64), 0),))
    file = tmp_path / "per.jsonl"
    collect([LinkPoint(LoRaParams(sf=7), channel, 4, sync="perfect")], max_frames=2, seed=1, save_to=file)
    done = collect(POINTS[:1], max_frames=200, seed=1, engine="bins", save_to=file)
    with file.open("a") as out:
        out.write("no record\n")
    with pytest.warns(UserWarning, match="left out 1 lines that are no records, and 1 points"):
        assert load_results(file) == done
    with pytest.raises(FileNotFoundError):
        load_results(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("field", "value"), [("point", "SF7"), ("block_frames", float("-inf")), ("seed", float("inf"))]
)
def test_a_signed_record_that_makes_no_sense_is_left_out(tmp_path, field, value):
    file = tmp_path / "per.jsonl"
    collect(POINTS[:1], max_frames=200, seed=1, engine="bins", save_to=file)
    damaged = [json.loads(line) for line in file.read_bytes().splitlines() if b'"point"' in line]
    assert damaged
    for record in damaged:
        record[field] = value
        record.pop("check", None)
    file.write_bytes(b"".join(_signed(json.dumps(record).encode()) for record in damaged))
    with pytest.warns(UserWarning, match="1 points"):
        assert load_results(file) == []
