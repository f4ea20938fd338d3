"""``waterfall``: packet error rates by simulation."""

from __future__ import annotations

import argparse
import json

from lora_phy.commands.options import Subparsers, add_command, params_from
from lora_phy.commands.printing import print_table


def add(commands: Subparsers) -> None:
    """Declare the command."""
    waterfall = add_command(commands, "waterfall", run, "simulate packet error rates")
    waterfall.add_argument("--snr-db", type=float, nargs="+", required=True)
    waterfall.add_argument("--payload-len", type=int, default=16, help="bytes")
    waterfall.add_argument("--frames", type=int, default=1000, help="at most so many frames a point")
    waterfall.add_argument("--errors", type=int, default=100, help="at most about so many frame errors a point")
    waterfall.add_argument("--seed", type=int, default=0)
    waterfall.add_argument("--sync", choices=("receiver", "perfect"), default="receiver")
    waterfall.add_argument("--decoding", choices=("soft", "hard"), default="soft")
    waterfall.add_argument("--json", action="store_true")


def run(options: argparse.Namespace) -> int:
    """Simulate packet error rates at some SNRs."""
    from lora_phy.monte_carlo.collect import collect
    from lora_phy.monte_carlo.points import LinkPoint

    params = params_from(options)
    points = [
        LinkPoint(params, snr_db, options.payload_len, sync=options.sync, decoding=options.decoding)
        for snr_db in options.snr_db
    ]
    results = collect(points, max_frames=options.frames, max_errors=options.errors, seed=options.seed)
    rows = []
    for result in results:
        counts = result.counts
        rows.append(
            {
                "snr_db": result.point.channel.snr_db,
                "frames": counts.frames,
                "errors": counts.frame_errors,
                "missed": getattr(counts, "missed", None),
                "per": counts.frame_errors / counts.frames if counts.frames else None,
            }
        )
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        print_table([{k: f"{v:.3g}" if isinstance(v, float) else str(v) for k, v in row.items()} for row in rows])
    return 0
