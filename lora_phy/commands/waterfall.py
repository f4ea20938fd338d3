"""``waterfall``: packet error rates by simulation, with exact intervals."""

from __future__ import annotations

import argparse
from pathlib import Path

from lora_phy.commands.options import Subparsers, add_command, all_params_from
from lora_phy.commands.simulating import add_simulation, continuing, show_results, workers

_EXAMPLES = """examples:
  python -m lora_phy waterfall --sf 7 8 --snr-db -12 -10 -8 --payload-len 16
  python -m lora_phy waterfall --preset eu868-dr5 --snr-db -9 -3 3 --fading rayleigh --cfo-hz 800 --plot per.svg
  python -m lora_phy waterfall --sf 9 --snr-db -17 -16 --frames 100000 --workers 2 --save-to per.jsonl --csv

With --save-to an interrupted run continues, and gives the same numbers. For grids over more than this: sweep."""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    text = "simulate packet error rates over SNR"
    waterfall = add_command(commands, "waterfall", run, text, several=True, short_sync=False)
    waterfall.epilog = _EXAMPLES
    waterfall.add_argument(
        "--snr-db", type=float, nargs="+", required=True, help="signal over noise in the bandwidth; several give rows"
    )
    waterfall.add_argument("--payload-len", type=int, default=16, help="bytes")
    waterfall.add_argument("--frames", type=int, default=1000, help="at most so many frames a point")
    waterfall.add_argument("--errors", type=int, default=100, help="at most about so many frame errors a point")
    waterfall.add_argument("--seed", type=int, default=0, help="of payloads, noise and fading")
    waterfall.add_argument(
        "--sync",
        choices=("receiver", "perfect"),
        default="receiver",
        help="the whole receiver, or frames whose place and frequency are known",
    )
    waterfall.add_argument(
        "--decoding",
        choices=("soft", "hard"),
        default="soft",
        help="soft: all bins of a symbol; hard: the largest alone",
    )
    waterfall.add_argument(
        "--engine",
        choices=("waveform", "bins", "order-statistics", "importance"),
        default="waveform",
        help="the last three are faster, for perfect synchronisation in AWGN or flat fading",
    )
    channel = waterfall.add_argument_group("channel")
    channel.add_argument(
        "--fading",
        choices=("none", "rayleigh", "rician", "nakagami"),
        default="none",
        help="how the signal's power varies; the SNR is then the mean",
    )
    channel.add_argument("--k-factor-db", type=float, help="of Rician fading: steady over scattered power")
    channel.add_argument("--nakagami-m", type=float, help="shape of Nakagami fading")
    channel.add_argument("--doppler-hz", type=float, default=0.0, help="largest Doppler shift; 0: one fade a frame")
    channel.add_argument("--cfo-hz", type=float, default=0.0, help="carrier frequency offset")
    channel.add_argument("--sfo-ppm", type=float, default=0.0, help="clock offset, positive: fast")
    waterfall.add_argument("--save-to", metavar="FILE", help="results file; the same command again continues from it")
    add_simulation(waterfall)


def run(options: argparse.Namespace) -> int:
    """Simulate packet error rates at some SNRs."""
    from lora_phy.channel import ChannelParams
    from lora_phy.checks import integer
    from lora_phy.monte_carlo.collect import collect
    from lora_phy.monte_carlo.points import LinkPoint

    frames = integer("--frames", options.frames, 1, 10**12)
    errors = integer("--errors", options.errors, 1, 10**12)
    if options.save_to == "":
        raise ValueError("'--save-to' must name a file (got '')")
    points = [
        LinkPoint(
            params,
            ChannelParams(
                snr_db=snr_db,
                fading=None if options.fading == "none" else options.fading,
                k_factor_db=options.k_factor_db,
                nakagami_m=options.nakagami_m,
                doppler_hz=options.doppler_hz,
                cfo_hz=options.cfo_hz,
                sfo_ppm=options.sfo_ppm,
            ),
            options.payload_len,
            sync=options.sync,
            decoding=options.decoding,
        )
        for params in all_params_from(options)
        for snr_db in options.snr_db
    ]
    file = None if options.save_to is None else Path(options.save_to)
    with continuing(options, file), workers(options) as executor:
        results = collect(
            points,
            max_frames=frames,
            max_errors=errors,
            seed=options.seed,
            engine=options.engine,
            save_to=options.save_to,
            executor=executor,
            progress=not options.quiet,
        )
    show_results(results, options)
    return 0
