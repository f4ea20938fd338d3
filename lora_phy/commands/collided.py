"""``collided``: the frames of a recording in which frames of one spreading factor, or of several, overlap."""

from __future__ import annotations

import argparse
import json
import sys

from lora_phy.commands.options import Subparsers, add_command
from lora_phy.commands.rx import add_input, frame_as_dict, line_of, open_input

METHODS = ("plain", "sic", "segments")
"""Those of `lora_phy.receiver.collisions.Method`, here so that ``--help`` imports nothing heavy."""
_EXAMPLES = """examples:
  python -m lora_phy collided capture.sigmf-meta
  python -m lora_phy collided capture.cs8 --sf 7 --sync-word 0x34 --sample-rate-hz 2e6 --center-offset-hz 100e3
  python -m lora_phy collided crowded.cs16 --sample-rate-hz 1e6 --sf 7 8 9 10 --sync any

Frames that are read are subtracted, and what is left is searched again. The whole recording is held in memory: cut long
ones where they are silent. Exit status: 0 where a frame was found, 1 where none was, 2 on an error."""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(commands, "collided", run, "read frames that overlap in one channel", several=True)
    parser.epilog = _EXAMPLES
    add_input(parser)
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="segments",
        help="plain: as rx; sic: cancel what is read; segments (the default): also read symbols between others' edges",
    )
    parser.add_argument("--json", action="store_true", help="JSON lines: one object a frame")


def run(options: argparse.Namespace) -> int:
    """Print every frame, in time order; where there is none, say what to look at."""
    import numpy as np

    from lora_phy.commands.diagnosis import FirstSecond, diagnose
    from lora_phy.receiver.collisions import receive_collided
    from lora_phy.receiver.stream import dated

    stream, wanted, settings = open_input(options)
    chunks = list(stream.chunks)
    iq = np.concatenate(chunks) if chunks else np.zeros(0, np.complex64)
    rate_hz, start_time = settings["sample_rate_hz"], settings["start_time"]
    frames = receive_collided(
        iq,
        wanted,
        method=options.method,
        sample_rate_hz=rate_hz,
        center_offset_hz=settings["center_offset_hz"],
    )
    for frame in frames:
        elapsed_s = (frame.start_sample + frame.sto_samples) / rate_hz
        frame = dated(frame, start_time, rate_hz)
        print(json.dumps(frame_as_dict(frame)) if options.json else line_of(frame, elapsed_s), flush=True)
    print(f"{len(frames)} frame{'s' * (len(frames) != 1)} in {len(iq) / rate_hz:.3f} s", file=sys.stderr)
    if not frames:
        first_second = FirstSecond(rate_hz)
        first_second.add(iq)
        given = stream.sample_rate_hz is not None or options.sample_rate_hz is not None
        offset = settings["center_offset_hz"]
        print(diagnose(stream, wanted, first_second, len(iq), offset, rate_given=given), file=sys.stderr)
    return 0 if frames else 1
