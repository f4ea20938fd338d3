"""``sweep``: grids of links from a TOML file, into a folder; an interrupted run continues."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lora_phy.commands.options import Subparsers
from lora_phy.commands.simulating import add_simulation, continuing, show_results, workers

_EXAMPLES = """FILE.toml, for example:
  max_frames = 20_000
  max_errors = 100            # a point ends at so many frame errors
  seed = 1

  [[grid]]                    # every combination of the lists is a point
  sf = [7, 8]
  cr = [1, 4]
  snr_db = { start = -12, stop = -6, step = 0.5 }
  payload_len = 16
  fading = ["none", "rayleigh"]

DIR gets points.jsonl, which grows while the sweep runs, and at the end results.csv. The same command again continues,
and gives the same numbers as a run in one go; a grid that was added to the file is simulated in addition."""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    sweep = commands.add_parser(
        "sweep",
        help="simulate grids of links from a TOML file into a folder",
        description="Simulate grids of links from a TOML file into a folder; an interrupted run continues.",
        epilog=_EXAMPLES,
    )
    sweep.set_defaults(run=run)
    sweep.add_argument("file", help="a TOML file with one or more tables [[grid]]")
    sweep.add_argument(
        "--out", required=True, metavar="DIR", help="folder of the results; the same one again continues"
    )
    add_simulation(sweep)


def run(options: argparse.Namespace) -> int:
    """Simulate every point of the file."""
    from lora_phy.studies.sweep import RESULTS_FILE, load_sweep, run_sweep

    if not options.out:
        raise ValueError("'--out' must name a folder for the results (got '')")
    sweep = load_sweep(options.file)
    with continuing(options, Path(options.out, RESULTS_FILE)), workers(options) as executor:
        if not options.quiet:
            most = f"{len(sweep.points) * sweep.max_frames:,}"
            print(f"{len(sweep.points)} points, at most {most} frames, to {options.out}", file=sys.stderr)
        results = run_sweep(sweep, options.out, executor=executor, progress=not options.quiet)
    show_results(results, options)
    return 0
