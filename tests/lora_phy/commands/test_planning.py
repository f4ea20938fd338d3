"""``plan`` and ``budget``: numbers by hand, every assumption named, bad values refused by name."""

from __future__ import annotations

import json
import math

import pytest

from lora_phy.__main__ import main
from lora_phy.studies.budget import TX_CURRENT_A
from lora_phy.studies.plan import LORAWAN_OVERHEAD, PATH_LOSSES, plan_table
from lora_phy.studies.tables import from_csv, from_json


def rows_of(*arguments, capsys):
    assert main(["plan", *arguments, "--json"]) == 0
    table = from_json(capsys.readouterr().out)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows], table.provenance


def test_dr0_and_dr5_by_hand(capsys) -> None:
    """Symbols by the data sheets' formula; energy by voltage, current and time; range by Friis."""
    chosen = "--preset", "eu868-dr0", "eu868-dr5", "--path-loss", "free-space"
    rows, told = rows_of("20", *chosen, capsys=capsys)
    for row, sf, reduced in zip(rows, (12, 7), (2, 0), strict=True):
        data = 8 + math.ceil((8 * 33 - 4 * sf + 28 + 16) / (4 * (sf - reduced))) * 5
        on_air_s = (12.25 + data) * 2**sf / 125e3
        assert row["overhead_len"] == 13 and row["airtime_ms"] == pytest.approx(1e3 * on_air_s, rel=1e-12)
        assert row["messages_per_hour"] == int(36 / on_air_s) and row["allowed"] == "yes"
        charge_mc = 1e3 * TX_CURRENT_A["SX1262"][14.0] * on_air_s
        assert row["energy_mj"] == pytest.approx(3.3 * charge_mc)
        a_day_mc = 24 * (charge_mc + 5 * 0.1) + 5e-3 * 86_400
        assert row["battery_years"] == pytest.approx(2400 * 3600 / a_day_mc / 365.25)
        loss_db = 14 - row["sensitivity_dbm"]
        wavelength = 299_792_458 / 868.1e6
        assert row["max_loss_db"] == pytest.approx(loss_db)
        assert row["range_km"] == pytest.approx(1e-3 * wavelength / (4 * math.pi) * 10 ** (loss_db / 20), rel=1e-6)
    assert all(word in told["sensitivity"] for word in ("0.01", "AWGN", "hard", "perfect synchronisation", "6 dB"))
    assert "13 bytes" in told["overhead"] and "SX1262" in told["energy"] and "2400 mAh" in told["battery"]


def test_airtime_and_budget_warn_of_a_frame_that_lorawan_does_not_allow(capsys) -> None:
    """51 bytes of the application and 13 around them at EU868 DR0; they answer all the same."""
    for command in (["airtime"], ["budget", "--path-loss-db", "120"]):
        for length, warned in ((64, ""), (65, "warning: a LoRaWAN frame of eu868-dr0 has at most 64 bytes, 51 of")):
            assert main([command[0], str(length), *command[1:], "--preset", "eu868-dr0"]) == 0
            said = capsys.readouterr()
            assert said.out and said.err.startswith(warned) and bool(said.err) is bool(warned)
    assert main(["airtime", "255", "--preset", "sf7"]) == 0 and not capsys.readouterr().err


def test_a_distance_gives_the_margin_and_the_rates_that_reach_it(capsys) -> None:
    """Free space by Friis: 20 log10(4 pi d f / c); the range is the distance at which the margin is 0."""
    asked = "20", "--path-loss", "free-space", "--margin-db", "30", "--distance-km", "5", "15"
    rows, _ = rows_of(*asked, capsys=capsys)
    assert len(rows) == 9 * 2 and {row["distance_km"] for row in rows} == {5.0, 15.0}
    for row in rows:
        lost_db = 20 * math.log10(4 * math.pi * 1e3 * row["distance_km"] * 868.1e6 / 299_792_458)
        assert row["margin_db"] == pytest.approx(14 - 30 - row["sensitivity_dbm"] - lost_db, abs=1e-9)
        assert (row["reaches"] == "yes") is (row["distance_km"] <= row["range_km"]) is (row["margin_db"] >= 0)
    assert main(["plan", *asked]) == 0
    near, far = (line for line in capsys.readouterr().out.splitlines() if " km (20 bytes" in line)
    fastest = [
        min((r["airtime_ms"], r["preset"]) for r in rows if r["reaches"] == "yes" and r["distance_km"] == km)[1]
        for km in (5, 15)
    ]
    assert near.startswith("5 km") and f", {fastest[0]} (SF" in near and f", {fastest[1]} (SF" in far
    assert fastest[0] != fastest[1]
    # what LoRaWAN forbids is no advice: 200 bytes at DR0
    assert main(["plan", "200", "--preset", "eu868-dr0", "--distance-km", "1"]) == 0
    assert "1 km (200 bytes, EU868, hata-suburban): no allowed preset reaches it" in capsys.readouterr().out


def test_regions_are_known_in_small_letters_too(capsys) -> None:
    rows, _ = rows_of("20", "--preset", "sf9", "--region", "us915", "eu868-G2", capsys=capsys)
    assert [row["region"] for row in rows] == ["US915", "EU868-g2"]
    assert main(["budget", "20", "--path-loss-db", "120", "--region", "au915"]) == 0
    assert "AU915" in capsys.readouterr().out


def test_rows_are_every_preset_payload_region_and_path_loss(capsys) -> None:
    rows, _ = rows_of(
        "10", "50", "--preset", "sf9", "sf10", "--region", "EU868", "US915", "--path-loss", *list(PATH_LOSSES)[:3],
        capsys=capsys,
    )  # fmt: skip
    keys = ("preset", "payload_len", "region", "path_loss")
    assert len({tuple(row[key] for key in keys) for row in rows}) == len(rows) == 2 * 2 * 2 * 3
    assert {row["overhead_len"] for row in rows} == {0}
    # 400 ms of dwell time in US915: SF10 with 50 bytes takes longer, SF9 does not
    assert {row["preset"] for row in rows if row["allowed"] == "dwell time exceeded"} == {"sf10"}


def test_a_payload_above_the_limit_of_its_data_rate_is_told_with_the_bound(capsys) -> None:
    """RP002-1.0.4: 51 bytes at DR0 to DR2, 115 at DR3, 242 above in EU868; 11, 53 and 125 in US915."""
    rows, told = rows_of("200", capsys=capsys)
    most = {"eu868-dr0": 51, "eu868-dr1": 51, "eu868-dr2": 51, "eu868-dr3": 115}
    for row in rows:
        bound = most.get(row["preset"])
        assert row["allowed"] == ("yes" if bound is None else f"payload above {bound} bytes")
    assert "RP002-1.0.4" in told["payload"] and told["payload"].endswith("not checked, for eu868-dr12, eu868-dr13")
    us = "--preset", "us915-dr0", "us915-dr1", "us915-dr2"
    for length, kept in (("11", "yes yes yes"), ("12", "11 yes yes"), ("54", "11 53 yes"), ("126", "11 53 125")):
        rows, _ = rows_of(length, *us, capsys=capsys)
        assert [row["allowed"].removeprefix("payload above ").removesuffix(" bytes") for row in rows] == kept.split()
    # 5 bytes of MAC commands are taken from the application's
    rows, _ = rows_of("51", "47", "--preset", "eu868-dr0", "--overhead-len", "18", capsys=capsys)
    assert [row["allowed"] for row in rows] == ["payload above 46 bytes"] * 2


def test_more_messages_than_the_duty_cycle_leaves(capsys) -> None:
    rows, _ = rows_of("20", "--preset", "eu868-dr0", "--messages-per-day", "457", capsys=capsys)
    assert rows[0]["messages_per_hour"] == 19 and rows[0]["allowed"] == "duty cycle exceeded"
    rows, _ = rows_of("20", "--preset", "eu868-dr0", "--messages-per-day", "456", capsys=capsys)
    assert rows[0]["allowed"] == "yes"


def test_the_table_names_what_is_assumed_and_csv_reads_back(capsys) -> None:
    assert main(["plan", "20"]) == 0
    out = capsys.readouterr().out
    assert "eu868-dr0" in out and "\nsensitivity: packet error rate 0.01, AWGN, hard decisions" in out
    assert main(["plan", "20", "--csv"]) == 0
    assert from_csv(capsys.readouterr().out) == plan_table(20) and LORAWAN_OVERHEAD == 13


def test_a_budget_as_json(capsys) -> None:
    assert main(["budget", "16", "--path-loss-db", "140", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path_loss_db"] == 140.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "243"], "'payload_len' must be in [0, 242] (got 243)"),
        (["plan", "20", "--region", "MARS"], "'--region' must be among EU868"),
        (["plan", "20", "--region", "ISM2400"], "'--preset' must be named for regions without LoRaWAN data rates"),
        (["plan", "20", "--path-loss", "ideal"], "'--path-loss' must be among free-space"),
        (
            ["plan", "20", "--preset", "meshtastic-long-fast", "--region", "ISM2400"],
            "hata-suburban does not hold at 2403",
        ),
        (["plan", "20", "--tx-power-dbm", "nan"], "'--tx-power-dbm' must be finite"),
        (
            ["plan", "20", "--tx-power-dbm", "20"],
            "'--tx-power-dbm' must be with the antenna gain at most 16 dBm in EU868",
        ),
        (["plan", "20", "--margin-db", "-1"], "'--margin-db' must be finite and in [0, 300]"),
        (["plan", "20", "--battery-mah", "0"], "'--battery-mah' must be finite"),
        (["plan", "20", "--distance-km", "0"], "'--distance-km' must be finite and in [1e-06, 10000] (got 0.0)"),
        (["plan", "20", "--target-per", "0"], "'--target-per' must be in (0, 1)"),
        (["budget", "16", "--path-loss-db", "100", "--tx-power-dbm", "nan"], "'--tx-power-dbm' must be finite"),
        (["budget", "16", "--path-loss-db", "-1"], "'--path-loss-db' must be finite and in [0, inf] (got -1.0)"),
        (["budget", "16", "--path-loss-db", "100", "--preset", "DR5"], "'--preset' must be a preset (got 'DR5')"),
        (["budget", "16", "--path-loss-db", "9", "--region", "MARS"], "'--region' must be one of ('EU868'"),
        (["budget", "16", "--path-loss-db", "9", "--noise-figure-db", "-1"], "'--noise-figure-db' must be finite"),
        (["airtime", "256"], "'payload_len' must be in [0, 255] (got 256)"),
        (["airtime", "16", "--implicit-len", "256"], "'--implicit-len' must be in [0, 255] (got 256)"),
        # what the SX126x's driver writes for private and public networks (Semtech's LoRaMac-node, sx126x.h)
        (["airtime", "16", "--sync-word", "0x1424"], "'--sync-word' must be a byte: the SX126x's 0x1424 is 0x12"),
        (["airtime", "16", "--sync-word", "0x3444"], "'--sync-word' must be a byte: the SX126x's 0x3444 is 0x34"),
        (["airtime", "16", "--sync-word", "0x134"], "'--sync-word' must be in [0, 255] (got 308)"),
        (["airtime", "16", "--sf", "13"], "'--sf' must be in [5, 12] (got 13)"),
        (["airtime", "16", "--preamble-len", "0"], "'--preamble-len' must be in [1, 65535] (got 0)"),
        (["airtime", "16", "--bandwidth-hz", "1e-9"], "'--bandwidth-hz' must be finite and in [1, inf] (got 1e-09)"),
    ],
)
def test_a_bad_value_is_refused_by_name(arguments, message, capsys) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
