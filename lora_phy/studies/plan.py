"""A plan of a network: what each data rate costs in time, energy and battery, and how far it reaches.

    messages an hour = 3600 / (airtime + off time)        largest loss = P_tx + gains - sensitivity - margin
    range: path loss(range) = largest loss                battery life = charge / (sleep + messages · (send + listen))
    margin at a distance = largest loss - path loss(distance)

Each row is one preset with one payload under one region's rules, one path loss and one distance. Everything that is
assumed stands in the table's provenance, in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lora_phy.channel import path_loss
from lora_phy.checks import finite, integer
from lora_phy.presets import LORAWAN_OVERHEAD, Preset, preset_info, preset_names
from lora_phy.studies.budget import REGIONS, link_budget
from lora_phy.studies.tables import Table, provenance_of

PATH_LOSSES: Mapping[str, Callable[[float, float], Any]] = {
    "free-space": path_loss.free_space_db,
    "log-distance-3": partial(path_loss.log_distance_db, exponent=3.0),
    "log-distance-3.5": partial(path_loss.log_distance_db, exponent=3.5),
    "log-distance-4": partial(path_loss.log_distance_db, exponent=4.0),
    "hata-open": partial(path_loss.okumura_hata_db, environment="open"),
    "hata-suburban": partial(path_loss.okumura_hata_db, environment="suburban"),
    "hata-city": partial(path_loss.okumura_hata_db, environment="city"),
    "hata-large-city": partial(path_loss.okumura_hata_db, environment="large city"),
    "3gpp-rural": partial(path_loss.rural_macro_db, line_of_sight=False),
    "3gpp-urban": partial(path_loss.urban_macro_db, line_of_sight=False),
}
"""Path losses by name, dB of metres and Hz (`lora_phy.channel.path_loss`): Hata with a mast of 30 m, 3GPP without line
of sight, log-distance from 1 m on."""
PLAN_COLUMNS = (
    "preset", "region", "path_loss", "sf", "bandwidth_hz", "payload_len", "overhead_len", "airtime_ms",
    "messages_per_hour", "energy_mj", "sensitivity_dbm", "max_loss_db", "range_km", "battery_years", "allowed",
)  # fmt: skip
"""Columns of `plan_table`: the preset and its setting; milliseconds on air of the whole frame; most messages in an hour
that the region's duty cycle leaves; energy of sending one; received power needed; the loss that leaves it, its
distance; years on a battery; whether LoRaWAN's limit of a payload, dwell time and duty cycle are kept ("yes", or
what is not, such as "payload above 51 bytes").
"""
DISTANCE_COLUMNS = ("distance_km", "margin_db", "reaches")
"""What `plan_table` adds where it is given distances: each of them, how far the path loss there stays below the largest
loss, and whether it does ("yes" or "no").
"""
_DAY_S = 86_400.0
_SUPPLY_V = 3.3


@dataclass(frozen=True, kw_only=True)
class Battery:
    """A battery and what it feeds beside the transmitter.

    Parameters
    ----------
    capacity_mah
        Usable charge; 2,400 unless given, an AA-sized lithium cell.
    messages_per_day
        Messages that are sent; 24 unless given.
    sleep_ua
        Mean current of the whole device asleep; 5 unless given.
    listen_ma, listen_s
        Current and duration of listening after each message; 5 mA for 0.1 s unless given.

    Raises
    ------
    ValueError
        Naming the parameter, the bound and the value.

    Examples
    --------
    >>> round(Battery(messages_per_day=0).years(0.0), 1)  # 2,400 mAh at 5 microampere
    54.8
    """

    capacity_mah: float = 2400.0
    messages_per_day: float = 24.0
    sleep_ua: float = 5.0
    listen_ma: float = 5.0
    listen_s: float = 0.1

    def __post_init__(self) -> None:
        """Validate once."""
        finite("capacity_mah", self.capacity_mah, low=1e-3, high=1e9)
        finite("messages_per_day", self.messages_per_day, low=0.0, high=_DAY_S)
        finite("sleep_ua", self.sleep_ua, low=1e-3, high=1e6)
        finite("listen_ma", self.listen_ma, low=0.0, high=1e3)
        finite("listen_s", self.listen_s, low=0.0, high=3600.0)

    def years(self, sent_mc: float) -> float:
        """Years that the charge lasts, where sending a message takes `sent_mc` millicoulomb."""
        day_mc = self.messages_per_day * (sent_mc + self.listen_ma * self.listen_s) + 1e-3 * self.sleep_ua * _DAY_S
        return self.capacity_mah * 3600 / day_mc / 365.25


def plan_table(
    payload_lens: int | Sequence[int],
    presets: Sequence[str] = (),
    *,
    regions: Sequence[str] = (),
    path_losses: Sequence[str] = ("hata-suburban",),
    distances_km: Sequence[float] = (),
    overhead_len: int | None = None,
    tx_power_dbm: float | None = None,
    tx_gain_dbi: float = 0.0,
    rx_gain_dbi: float = 0.0,
    noise_figure_db: float = 6.0,
    margin_db: float = 0.0,
    target_per: float = 0.01,
    chip: str = "SX1262",
    battery: Battery | None = None,
) -> Table:
    """Airtime, messages an hour, energy, sensitivity, range and battery life, in the columns `PLAN_COLUMNS`.

    Parameters
    ----------
    payload_lens
        Bytes of the application in a message; several give rows each.
    presets
        Names (`lora_phy.presets.preset_names`); none: the uplink data rates of each region.
    regions
        Keys of `lora_phy.studies.budget.REGIONS`, whose rules hold; none: that of each preset, or EU868.
    path_losses
        Keys of `PATH_LOSSES`.
    distances_km
        Distances from the gateway, which add rows, and the columns `DISTANCE_COLUMNS`.
    overhead_len
        Bytes that the protocol adds; None: 13 for LoRaWAN's presets (`LORAWAN_OVERHEAD`), 0 for others.
    tx_power_dbm, tx_gain_dbi, rx_gain_dbi
        Conducted power and antenna gains; None: 14 dBm, or the most that the region allows where that is less.
    noise_figure_db, target_per
        Of the receiver, and the packet error rate at which its sensitivity is told.
    margin_db
        Decibels kept in reserve for fading and shadowing, at least 0.
    chip
        "SX1276" or "SX1262": whose typical current sending takes.
    battery
        Charge, messages a day, and what is spent asleep and listening; None: `Battery` as it is.

    Raises
    ------
    ValueError
        Naming the parameter, the bound and the value; also a frame longer than 255 bytes, and a carrier for which a
        path loss does not hold.

    Examples
    --------
    >>> table = plan_table(20, ["eu868-dr0", "eu868-dr5"])
    >>> at = [table.columns.index(name) for name in ("sf", "airtime_ms", "messages_per_hour")]
    >>> [[round(row[i], 1) for i in at] for row in table.rows]
    [[12, 1810.4, 19], [7, 71.9, 500]]

    Which of them reaches 5 km?

    >>> table = plan_table(20, ["eu868-dr0", "eu868-dr5"], distances_km=[5])
    >>> [(row[0], round(row[-2], 1), row[-1]) for row in table.rows]
    [('eu868-dr0', 12.0, 'yes'), ('eu868-dr5', -2.6, 'no')]
    """
    lens = [payload_lens] if isinstance(payload_lens, int) else list(payload_lens)
    battery = battery or Battery()
    margin = finite("margin_db", margin_db, low=0.0, high=300.0)
    distances = [finite("distances_km", distance, low=1e-6, high=1e4) for distance in distances_km]
    for name in path_losses:
        if name not in PATH_LOSSES:
            raise ValueError(f"'path_losses' must be among {', '.join(PATH_LOSSES)} (got {name!r})")
    rows: list[tuple[float | str, ...]] = []
    planned = _planned(presets, regions)
    for preset, region in planned:
        rule = REGIONS[region]
        protocol = _overhead(preset) if overhead_len is None else integer("overhead_len", overhead_len, 0, 255)
        power = min(14.0, rule.max_eirp_dbm - tx_gain_dbi) if tx_power_dbm is None else tx_power_dbm
        for length in lens:
            budget = link_budget(
                preset,
                integer("payload_lens", length, 0, 255 - protocol) + protocol,
                0.0,
                tx_power_dbm=power,
                tx_gain_dbi=tx_gain_dbi,
                rx_gain_dbi=rx_gain_dbi,
                noise_figure_db=noise_figure_db,
                region=region,
                target_per=target_per,
                chip=chip,
            )
            per_hour = int(3600 / (budget.airtime_s + budget.off_time_s))
            loss = power + tx_gain_dbi + rx_gain_dbi - budget.sensitivity_dbm - margin
            most = None if preset.max_payload_len is None else preset.max_payload_len + LORAWAN_OVERHEAD - protocol
            kept = "yes" if budget.within_dwell_time else "dwell time exceeded"
            kept = kept if most is None or length <= most else f"payload above {most} bytes"
            if kept == "yes" and battery.messages_per_day > 24 * per_hour:
                kept = "duty cycle exceeded" if rule.duty_cycle else "more than fit"
            years = battery.years(1e3 * budget.energy_j / _SUPPLY_V)
            for name in path_losses:
                row = (
                    preset.name, region, name, budget.params.sf, budget.params.bandwidth_hz, length, protocol,
                    1e3 * budget.airtime_s, per_hour, 1e3 * budget.energy_j, budget.sensitivity_dbm, loss,
                    _reach_km(name, rule.frequency_hz, loss), years, kept,
                )  # fmt: skip
                left = [loss - float(PATH_LOSSES[name](1e3 * distance, rule.frequency_hz)) for distance in distances]
                rows += [
                    (*row, distance, spare, "yes" if spare >= 0 else "no")
                    for distance, spare in zip(distances, left, strict=True)
                ] or [row]
    assumed = {
        "sensitivity": f"packet error rate {target_per:g}, AWGN, hard decisions, perfect synchronisation"
        f" (theory.per_awgn); noise figure {noise_figure_db:g} dB, 290 K",
        "range": f"median path loss, {margin:g} dB in reserve for fading and shadowing; antennas of {tx_gain_dbi:g} and"
        f" {rx_gain_dbi:g} dBi; distances outside a model's fit are extrapolated",
        "overhead": "LoRaWAN: 13 bytes (MHDR, DevAddr, FCtrl, FCnt, FPort, MIC), no MAC commands, repetitions or"
        " acknowledgements; none for other presets"
        if overhead_len is None
        else f"{overhead_len} bytes",
        "transmit power": "14 dBm, or the most that the region allows" if tx_power_dbm is None else f"{power:g} dBm",
        "payload": _payload_rule([preset for preset, _ in planned]),
        "messages an hour": "one device in one band of the region, silence after each frame as its duty cycle demands,"
        " none where there is no duty cycle",
        "energy": f"of sending alone, typical current of the {chip} at its next higher power step, {_SUPPLY_V:g} V",
        "battery": f"{battery.capacity_mah:g} mAh, all usable, no self-discharge or ageing;"
        f" {battery.messages_per_day:g} messages a day; asleep {battery.sleep_ua:g} uA; listening"
        f" {battery.listen_ma:g} mA for {battery.listen_s:g} s after each message",
    }
    return Table(
        columns=PLAN_COLUMNS + DISTANCE_COLUMNS if distances else PLAN_COLUMNS,
        rows=tuple(rows),
        provenance=provenance_of("plan: link budget and theory", **assumed),
    )


def _planned(presets: Sequence[str], regions: Sequence[str]) -> list[tuple[Preset, str]]:
    """Presets, each with a region whose rules hold."""
    for region in regions:
        if region not in REGIONS:
            raise ValueError(f"'regions' must be among {', '.join(REGIONS)} (got {region!r})")
    if presets:
        found = [preset_info(name) for name in presets]
        return [(item, region) for item in found for region in regions or [item.region or "EU868"]]
    rates = [item for item in map(preset_info, preset_names()) if item.direction == "uplink"]
    chosen = [
        (item, region) for region in regions or ["EU868"] for item in rates if item.region == region.split("-")[0]
    ]
    if not chosen:
        raise ValueError(f"'presets' must be named for regions without LoRaWAN data rates (got {', '.join(regions)})")
    return chosen


def _payload_rule(presets: Sequence[Preset]) -> str:
    """What is known of LoRaWAN's limits of a payload."""
    unread = ", ".join(item.name for item in presets if item.direction is not None and item.max_payload_len is None)
    return (
        "LoRaWAN's limit of each data rate by RP002-1.0.4, without a repeater (behind one 222 bytes stand for 242)"
        f"{f'; not read, and not checked, for {unread}' if unread else ''}"
    )


def _reach_km(name: str, frequency_hz: float, loss_db: float) -> float:
    try:
        return 1e-3 * path_loss.max_range_m(lambda distance_m: PATH_LOSSES[name](distance_m, frequency_hz), loss_db)
    except ValueError as error:
        raise ValueError(f"'path_losses': {name} does not hold at {frequency_hz / 1e6:g} MHz: {error}") from error


def _overhead(preset: Preset) -> int:
    return LORAWAN_OVERHEAD if preset.direction is not None else 0
