"""``airtime`` and ``budget``: what a frame costs in time, energy and link margin."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from lora_phy.commands.options import Subparsers, add_command, params_from


def add(commands: Subparsers) -> None:
    """Declare the commands."""
    airtime = add_command(commands, "airtime", run_airtime, "time on air of a frame")
    airtime.add_argument("payload_len", type=int, help="bytes")
    airtime.add_argument("--json", action="store_true")

    budget = add_command(commands, "budget", run_budget, "link margin, time and energy of a frame")
    budget.add_argument("payload_len", type=int, help="bytes")
    budget.add_argument("--path-loss-db", type=float, required=True)
    budget.add_argument("--tx-power-dbm", type=float, default=14.0)
    budget.add_argument("--noise-figure-db", type=float, default=6.0)
    budget.add_argument("--region", help="whose rules hold; the preset's region, or EU868, unless given")


def run_airtime(options: argparse.Namespace) -> int:
    """Print the time on air."""
    from lora_phy.frames.airtime import airtime_s

    milliseconds = airtime_s(options.payload_len, params_from(options)) * 1e3
    print(json.dumps({"airtime_ms": milliseconds}) if options.json else f"{milliseconds:.3f} ms")
    return 0


def run_budget(options: argparse.Namespace) -> int:
    """Print what one frame costs and how much margin a path leaves."""
    from lora_phy.presets import preset_info
    from lora_phy.studies.budget import format_budget, link_budget

    params = params_from(options)
    budget = link_budget(
        params if options.preset is None else replace(preset_info(options.preset), params=params),
        options.payload_len,
        options.path_loss_db,
        tx_power_dbm=options.tx_power_dbm,
        noise_figure_db=options.noise_figure_db,
        region=options.region,
    )
    print(format_budget(budget))
    return 0
