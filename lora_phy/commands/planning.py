"""``airtime``, ``budget`` and ``plan``: what a frame costs in time, energy and link margin, and how far it goes."""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from lora_phy.commands.options import Subparsers, add_command, params_from
from lora_phy.commands.printing import add_forms, print_result, print_text

if TYPE_CHECKING:
    from lora_phy.studies.tables import Table

_BYTES = "bytes of the frame's payload; LoRaWAN adds 13 to those of the application"
_EXAMPLES = """examples:
  python -m lora_phy plan 20
  python -m lora_phy plan 20 --distance-km 1 3 5 --margin-db 10
  python -m lora_phy plan 12 51 --preset eu868-dr0 eu868-dr5 --path-loss hata-city 3gpp-rural
  python -m lora_phy plan 20 --region US915 --tx-power-dbm 20 --messages-per-day 96 --csv > plan.csv

The assumptions behind the numbers are printed below the table, and stand in the JSON and the CSV."""


def add(commands: Subparsers) -> None:
    """Declare the commands."""
    airtime = add_command(commands, "airtime", run_airtime, "time on air of a frame")
    airtime.add_argument("payload_len", type=int, help=_BYTES)
    airtime.add_argument("--json", action="store_true", help="an object, for other programs")

    budget = add_command(commands, "budget", run_budget, "link margin, time and energy of a frame")
    budget.add_argument("payload_len", type=int, help=_BYTES)
    budget.add_argument("--path-loss-db", type=float, required=True, help="from antenna to antenna")
    budget.add_argument("--tx-power-dbm", type=float, default=14.0, help="conducted power of the transmitter")
    budget.add_argument("--noise-figure-db", type=float, default=6.0, help="of the receiver")
    budget.add_argument("--region", type=_region, help="whose rules hold; the preset's region, or EU868, unless given")
    budget.add_argument("--json", action="store_true", help="an object, for other programs")

    plan = commands.add_parser(
        "plan",
        help="airtime, messages an hour, energy, sensitivity, range and battery life",
        description="Airtime, messages an hour, energy, sensitivity, range and battery life of presets.",
        epilog=_EXAMPLES,
    )
    plan.set_defaults(run=run_plan)
    plan.add_argument(
        "payload_len", type=int, nargs="+", help="bytes of the application in a message; several give rows"
    )
    plan.add_argument(
        "--preset", nargs="+", default=[], metavar="NAME", help="such as eu868-dr5; the region's uplinks unless given"
    )
    plan.add_argument(
        "--region",
        type=_region,
        nargs="+",
        default=[],
        help="whose rules hold; the preset's region, or EU868, unless given",
    )
    plan.add_argument(
        "--path-loss",
        nargs="+",
        default=["hata-suburban"],
        metavar="MODEL",
        help="free-space, log-distance-3 (3.5, 4), hata-open (suburban, city, large-city), 3gpp-rural, 3gpp-urban;"
        " the default is hata-suburban",
    )
    plan.add_argument(
        "--distance-km",
        type=float,
        nargs="+",
        default=[],
        metavar="KM",
        help="distances from the gateway: the margin that each rate has there, and which rates reach them",
    )
    plan.add_argument(
        "--overhead-len", type=int, metavar="BYTES", help="of the protocol; LoRaWAN's 13, or 0, unless given"
    )
    plan.add_argument("--tx-power-dbm", type=float, help="14, or the most that the region allows, unless given")
    plan.add_argument("--tx-gain-dbi", type=float, default=0.0, help="gain of the device's antenna")
    plan.add_argument("--rx-gain-dbi", type=float, default=0.0, help="gain of the gateway's antenna")
    plan.add_argument("--noise-figure-db", type=float, default=6.0, help="of the gateway")
    plan.add_argument("--margin-db", type=float, default=0.0, help="kept in reserve for fading and shadowing")
    plan.add_argument("--target-per", type=float, default=0.01, help="packet error rate at the sensitivity")
    plan.add_argument("--chip", choices=("SX1276", "SX1262"), default="SX1262", help="whose transmit current it is")
    plan.add_argument("--messages-per-day", type=float, default=24.0, help="for battery life")
    plan.add_argument("--battery-mah", type=float, default=2400.0, help="usable charge")
    plan.add_argument("--sleep-ua", type=float, default=5.0, help="mean current asleep")
    add_forms(plan)


def run_airtime(options: argparse.Namespace) -> int:
    """Print the time on air."""
    from lora_phy.frames.airtime import airtime_s

    _warn_above_limit(options)
    milliseconds = airtime_s(options.payload_len, params_from(options)) * 1e3
    print(json.dumps({"airtime_ms": milliseconds}) if options.json else f"{milliseconds:.3f} ms")
    return 0


def _warn_above_limit(options: argparse.Namespace) -> None:
    """Say where LoRaWAN does not let the preset's data rate carry so many bytes."""
    from lora_phy.presets import LORAWAN_OVERHEAD, preset_info

    most = None if options.preset is None else preset_info(options.preset).max_payload_len
    if most is not None and options.payload_len > most + LORAWAN_OVERHEAD:
        frame = f"{most + LORAWAN_OVERHEAD} bytes, {most} of the application"
        warnings.warn(
            f"a LoRaWAN frame of {options.preset} has at most {frame} (got {options.payload_len})", stacklevel=2
        )


def run_budget(options: argparse.Namespace) -> int:
    """Print what one frame costs and how much margin a path leaves."""
    from lora_phy.presets import preset_info
    from lora_phy.studies.budget import format_budget, link_budget

    _warn_above_limit(options)
    params = params_from(options)
    budget = link_budget(
        params if options.preset is None else replace(preset_info(options.preset), params=params),
        options.payload_len,
        options.path_loss_db,
        tx_power_dbm=options.tx_power_dbm,
        noise_figure_db=options.noise_figure_db,
        region=options.region,
    )
    print(json.dumps(asdict(budget)) if options.json else format_budget(budget))
    return 0


def _region(text: str) -> str:
    """The region of that name in capitals or not; unknown ones as they are, for the error that lists the known."""
    from lora_phy.studies.budget import REGIONS

    return next((name for name in REGIONS if name.lower() == text.lower()), text)


def run_plan(options: argparse.Namespace) -> int:
    """Print a row for each preset, payload, region and path loss, and what is assumed."""
    from lora_phy.studies.plan import Battery, plan_table

    table = plan_table(
        options.payload_len,
        options.preset,
        regions=options.region,
        path_losses=options.path_loss,
        distances_km=options.distance_km,
        overhead_len=options.overhead_len,
        tx_power_dbm=options.tx_power_dbm,
        tx_gain_dbi=options.tx_gain_dbi,
        rx_gain_dbi=options.rx_gain_dbi,
        noise_figure_db=options.noise_figure_db,
        margin_db=options.margin_db,
        target_per=options.target_per,
        chip=options.chip,
        battery=Battery(
            capacity_mah=options.battery_mah, messages_per_day=options.messages_per_day, sleep_ua=options.sleep_ua
        ),
    )
    print_result(table, options, keys=("preset", "region", "path_loss", "payload_len", "distance_km"))
    if not (options.json or options.csv):
        print()
        for line in (*reached(table), *(f"{name}: {words}" for name, words in list(table.provenance.items())[3:])):
            print_text(line)
    return 0


def reached(table: Table) -> list[str]:
    """A line for each distance of a plan: of the allowed presets that reach it, the one that is shortest on air.

    Examples
    --------
    >>> from lora_phy.studies.plan import plan_table
    >>> print(*reached(plan_table(20, distances_km=[3, 30])), sep="\\n")
    3 km (20 bytes, EU868, hata-suburban): 8 of 9 presets reach it, eu868-dr6 (SF7) with the shortest airtime
    30 km (20 bytes, EU868, hata-suburban): no allowed preset reaches it
    """
    places: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for values in table.rows:
        row = dict(zip(table.columns, values, strict=True))
        if "distance_km" in row:
            key = tuple(row[name] for name in ("distance_km", "payload_len", "region", "path_loss"))
            places.setdefault(key, []).append(row)
    lines = []
    for (distance_km, payload_len, region, path_loss), rows in places.items():
        found = [row for row in rows if row["reaches"] == row["allowed"] == "yes"]
        told = "no allowed preset reaches it"
        if found:
            best = min(found, key=lambda row: row["airtime_ms"])
            shortest = f"{best['preset']} (SF{best['sf']}) with the shortest airtime"
            told = f"{len(found)} of {len(rows)} presets reach it, {shortest}"
        lines.append(f"{distance_km:g} km ({payload_len} bytes, {region}, {path_loss}): {told}")
    return lines
