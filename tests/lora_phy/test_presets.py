"""Presets of networks on air, the bandwidths of chips, and what a preset's region means for a budget."""

from __future__ import annotations

import warnings

import pytest

from lora_phy import LoRaParams, airtime_s, preset, receive, transmit
from lora_phy.__main__ import main
from lora_phy.params import CHIP_BANDWIDTHS_HZ, chip_bandwidth_hz
from lora_phy.presets import lorawan, meshcore, meshtastic, preset_info, preset_names
from lora_phy.studies.budget import REGIONS, link_budget, max_payload_within

# as the sources print them: (SF, kHz), None where the rate is none of LoRa's
UPLINKS = {
    "EU868": [(12, 125), (11, 125), (10, 125), (9, 125), (8, 125), (7, 125), (7, 250), *[None] * 5, (6, 125), (5, 125)],
    "AS923": [(12, 125), (11, 125), (10, 125), (9, 125), (8, 125), (7, 125), (7, 250), *[None] * 5, (6, 125), (5, 125)],
    "IN865": [(12, 125), (11, 125), (10, 125), (9, 125), (8, 125), (7, 125), None, *[None] * 5, (6, 125), (5, 125)],
    "KR920": [(12, 125), (11, 125), (10, 125), (9, 125), (8, 125), (7, 125), None, *[None] * 5, (6, 125), (5, 125)],
    "CN470": [(12, 125), (11, 125), (10, 125), (9, 125), (8, 125), (7, 125), (7, 500)],
    "RU864": [(12, 125), (11, 125), (10, 125), (9, 125), (8, 125), (7, 125), (7, 250)],
    "US915": [(10, 125), (9, 125), (8, 125), (7, 125), (8, 500), None, None, (6, 125), (5, 125)],
    "AU915": [
        (12, 125), (11, 125), (10, 125), (9, 125), (8, 125), (7, 125), (8, 500), None, None, (6, 125), (5, 125),
    ],
}  # fmt: skip
WIDE_DOWNLINKS = [
    (5, 500), *[None] * 7, (12, 500), (11, 500), (10, 500), (9, 500), (8, 500), (7, 500), (6, 500),
]  # fmt: skip


@pytest.mark.parametrize("region", UPLINKS)
def test_lorawan_rates_by_region_and_direction(region: str) -> None:
    downlinks = WIDE_DOWNLINKS if region in ("US915", "AU915") else UPLINKS[region]
    for direction, rates in (("uplink", UPLINKS[region]), ("downlink", downlinks)):
        for number, rate in enumerate(rates):
            name = f"{region}-DR{number}-{direction}"
            if rate is None:
                with pytest.raises(ValueError, match="must be a preset"):
                    preset(name)
                continue
            params, found = preset(name), preset_info(name)
            assert (params.sf, params.bandwidth_hz) == (rate[0], rate[1] * 1e3)
            down = direction == "downlink"
            assert (params.inverted_iq, params.crc, params.sync_word, params.preamble_len) == (down, not down, 0x34, 8)
            assert (found.region, found.direction) == (region, direction)
            assert lorawan(number, region=region, downlink=down) == params  # type: ignore[arg-type]


def test_rates_that_are_downlinks_come_as_downlinks() -> None:
    for region in ("us915", "au915"):
        for number, sf in zip(range(8, 14), (12, 11, 10, 9, 8, 7), strict=True):
            params = preset(f"{region}-dr{number}")
            assert (params.sf, params.bandwidth_hz, params.inverted_iq, params.crc) == (sf, 500e3, True, False)
    assert preset("us915-dr4").inverted_iq is False
    for region in UPLINKS:
        assert preset_info(f"{region}-dr0").direction == "uplink"


# RP002-1.0.4, "maximum payload size (not repeater compatible)": M of a data rate, 8 more than the application's bytes
MOST_MAC_BYTES = {
    "EU868": [59, 59, 59, 123, 250, 250, 250], "RU864": [59, 59, 59, 123, 250, 250, 250],
    "IN865": [59, 59, 59, 123, 250, 250], "KR920": [59, 59, 59, 123, 250, 250],
    "AS923": [59, 59, 123, 123, 250, 250, 250, *[None] * 5, 250, 250], "CN470": [None, 31, 94, 172, 250, 250, 250],
    "US915": [19, 61, 133, 250, 250], "AU915": [59, 59, 59, 123, 250, 250, 250],
}  # fmt: skip


@pytest.mark.parametrize("region", MOST_MAC_BYTES)
def test_most_bytes_of_a_message_by_region_and_data_rate(region: str) -> None:
    for number, mac_bytes in enumerate(MOST_MAC_BYTES[region]):
        if mac_bytes is not None:
            assert preset_info(f"{region}-DR{number}-uplink").max_payload_len == mac_bytes - 8
    if region in ("US915", "AU915"):
        found = [preset_info(f"{region}-DR{number}-downlink").max_payload_len for number in range(8, 14)]
        assert found == [mac_bytes - 8 for mac_bytes in (61, 137, 250, 250, 250, 250)]
    assert preset_info("cn470-dr0").max_payload_len == 0
    assert preset_info("eu868-dr12").max_payload_len is None and preset_info("sf7").max_payload_len is None


def test_what_us915_allows_is_what_400_ms_hold() -> None:
    """The rule behind the table: the longest frame that keeps the dwell time, of 255 bytes at most."""
    for number in range(4):
        found = preset_info(f"us915-dr{number}")
        assert found.max_payload_len + 13 == max_payload_within(0.4, found.params)


MESHTASTIC = {
    # SF, kHz, denominator of the coding rate, kHz at 2.4 GHz
    "short_turbo": (7, 500, 5, 1625), "short_fast": (7, 250, 5, 812.5), "short_slow": (8, 250, 5, 812.5),
    "medium_turbo": (9, 500, 5, 1625), "medium_fast": (9, 250, 5, 812.5), "medium_slow": (10, 250, 5, 812.5),
    "long_turbo": (11, 500, 8, 1625), "long_fast": (11, 250, 5, 812.5), "long_moderate": (11, 125, 8, 406.25),
    "long_slow": (12, 125, 8, 406.25), "lite_fast": (9, 125, 5, None), "lite_slow": (10, 125, 5, None),
    "narrow_fast": (7, 62.5, 6, None), "narrow_slow": (8, 62.5, 6, None), "tiny_fast": (7, 15.625, 5, None),
    "tiny_slow": (8, 15.625, 6, None), "very_long_slow": (12, 62.5, 8, None),
}  # fmt: skip


@pytest.mark.parametrize("name", MESHTASTIC)
def test_meshtastic(name: str) -> None:
    sf, khz, denominator, wide_khz = MESHTASTIC[name]
    params = meshtastic(name.upper())
    assert params == LoRaParams(sf=sf, bandwidth_hz=khz * 1e3, cr=denominator - 4, preamble_len=16, sync_word=0x2B)
    hyphens = name.replace("_", "-")
    assert preset(f"meshtastic-{hyphens}") == params
    if wide_khz is None:
        with pytest.raises(ValueError, match=rf"'wide' must be False for {name}"):
            meshtastic(name, wide=True)
    else:
        wide = preset(f"Meshtastic {name}-2.4GHz")
        assert (wide.sf, wide.cr, wide.bandwidth_hz, wide.preamble_len) == (sf, denominator - 4, wide_khz * 1e3, 12)
        assert preset_info(f"meshtastic-{hyphens}-2.4ghz").region == "ISM2400"


def test_other_networks() -> None:
    assert meshcore("eu") == meshcore("uk") == LoRaParams(sf=8, bandwidth_hz=62.5e3, cr=4, preamble_len=32)
    assert preset("meshcore-us") == LoRaParams(sf=7, bandwidth_hz=62.5e3, cr=1, preamble_len=32)
    assert preset("lora-aprs") == LoRaParams(sf=12)
    ebyte = preset("ebyte-2.4k")
    assert ebyte == LoRaParams(sf=11, bandwidth_hz=500e3, ldro=True, preamble_len=20, sync_word=None)
    assert preset("sf9", oversampling=4) == LoRaParams(sf=9, oversampling=4)


def test_every_name_is_a_preset_with_a_region_that_the_budget_knows_and_no_rounded_bandwidth() -> None:
    names = preset_names()
    assert len(names) == len(set(names)) > 150
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in names:
            found = preset_info(name)
            assert found.name == name and found.params == preset(name)
            assert found.region is None or found.region in REGIONS
            assert found.params.bandwidth_hz in CHIP_BANDWIDTHS_HZ
    assert preset_info("ru864-dr12").source is None and preset_info("eu868-dr12").source is not None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DR5", "eu868-dr5"), ("LongFast", "meshtastic-long-fast"), ("LONG_FAST", "meshtastic-long-fast"),
        ("us915", "us915-dr0"), ("eu868-dr15", "eu868-dr5"), ("eu686-dr3", "eu868-dr3"), ("sf13", "sf12"),
        ("mesh-core-eu", "meshcore-eu"), ("aprs", "lora-aprs"), ("eu868-dr5-sideways", "eu868-dr5"),
    ],
)  # fmt: skip
def test_a_name_that_is_near_is_suggested(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match=rf"'name' must be a preset \(got '{name}'\); did you mean .*{meant}"):
        preset(name)


def test_a_name_like_nothing_points_to_the_list() -> None:
    for name in ("", "zzzzzz"):
        with pytest.raises(ValueError, match=r"preset_names\(\) lists them"):
            preset(name)


# ---- bandwidths ------------------------------------------------------------------------------------------------------
ROUNDED = [
    (7800, 7812.5), (10400, 10416.666), (15600, 15625), (20800, 20833.333), (41700, 41666.666), (31200, 31250),
    (62000, 62500), (200e3, 203125), (400e3, 406250), (800e3, 812500), (1600e3, 1625000), (126e3, 125e3),
]  # fmt: skip


@pytest.mark.parametrize(("told", "chip"), ROUNDED)
def test_a_rounded_bandwidth_is_kept_and_warned_of(told: float, chip: float) -> None:
    with pytest.warns(UserWarning, match=rf"'bandwidth_hz' is near a chip's bandwidth, {chip:.8g}\d* Hz"):
        params = LoRaParams(sf=7, bandwidth_hz=told)
    assert params.bandwidth_hz == told
    assert chip_bandwidth_hz(told) == pytest.approx(chip, rel=1e-6)


def test_a_bandwidth_in_kilohertz_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"'bandwidth_hz' is below 1 kHz.*\(got 125\); if kHz were meant: 125000"):
        LoRaParams(sf=12, bandwidth_hz=125)
    with pytest.warns(UserWarning, match=r"below 1 kHz.*\(got 300\)$"):
        LoRaParams(sf=12, bandwidth_hz=300)


@pytest.mark.parametrize("hz", [*CHIP_BANDWIDTHS_HZ, 10416.67, 20833.33, 41666.67, 1000, 300e3, 100e3, 150e3, 2e6])
def test_no_warning_of_any_other_bandwidth(hz: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LoRaParams(sf=7, bandwidth_hz=hz)


def test_a_frame_at_the_chip_s_bandwidth_is_received_by_what_the_warning_names() -> None:
    """0.16 % off, 1600 ppm, nothing can be received: the warning is what helps."""
    with pytest.warns(UserWarning, match="15625 Hz"):
        told = LoRaParams(sf=8, bandwidth_hz=15_600)
    chip = chip_bandwidth_hz(told.bandwidth_hz)
    assert chip is not None
    params = LoRaParams(sf=8, bandwidth_hz=chip, oversampling=2)
    [frame] = receive(transmit(bytes(16), params), params)
    assert frame.payload == bytes(16)


# ---- where a preset is used ------------------------------------------------------------------------------------------
def test_a_budget_is_judged_by_the_preset_s_region(capsys: pytest.CaptureFixture[str]) -> None:
    found = link_budget(preset_info("us915-dr0"), 11, 130.0)
    assert (found.region, found.off_time_s) == ("US915", 0.0)
    assert link_budget(LoRaParams(sf=7), 11, 130.0).region == "EU868"
    with pytest.warns(UserWarning, match="one of US915, judged by the rules of EU868"):
        assert link_budget(preset_info("us915-dr0"), 11, 130.0, region="EU868").region == "EU868"
    assert main(["budget", "11", "--path-loss-db", "130", "--preset", "us915-dr0"]) == 0
    assert "dwell time (US915)" in capsys.readouterr().out
    assert main(["budget", "11", "--path-loss-db", "130", "--preset", "kr920-dr5"]) == 0
    assert "off time (KR920)" in capsys.readouterr().out


def test_dwell_times_spare_the_wide_channels() -> None:
    assert not link_budget(preset_info("us915-dr0"), 60, 130.0).within_dwell_time
    wide = preset_info("us915-dr8")
    assert airtime_s(242, wide.params) > 0.4
    assert link_budget(wide, 242, 130.0).within_dwell_time


@pytest.mark.parametrize("loss", [-140.0, float("nan"), float("inf")])
def test_a_path_that_gains_power_is_an_error(loss: float, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"'path_loss_db' must be finite and in \[0, inf\]"):
        link_budget(LoRaParams(sf=7), 16, loss)
    assert main(["budget", "16", f"--path-loss-db={loss}"]) == 2
    assert "'--path-loss-db' must be finite" in capsys.readouterr().err


@pytest.mark.parametrize("offset", [70e3, -62_501.0, 1e6])
def test_a_centre_outside_the_stream_is_an_error(offset: float) -> None:
    params = LoRaParams(sf=7)
    with pytest.raises(ValueError, match=r"'center_offset_hz' must lie in the stream.*62500 Hz"):
        receive(transmit(b"x", params), params, center_offset_hz=offset)
