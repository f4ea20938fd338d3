"""``tx``: the IQ of one frame, to a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from lora_phy.commands.options import Subparsers, add_command, params_from

SUFFIXES = (".cf32", ".cs16", ".cs8", ".cu8", ".sigmf", ".sigmf-meta", ".sigmf-data")


def add(commands: Subparsers) -> None:
    """Declare the command."""
    tx = add_command(commands, "tx", run, "write the IQ of one frame to a file")
    tx.add_argument("payload", help="text, or hex digits with --hex")
    tx.add_argument("-o", "--output", required=True, help=".cf32, .cs16, .cs8, .cu8 or .sigmf")
    tx.add_argument("--hex", action="store_true", help="the payload is in hex digits")
    tx.add_argument("--snr-db", type=float, help="noise is added; none unless given")
    tx.add_argument("--cfo-hz", type=float, default=0.0, help="carrier frequency offset")
    tx.add_argument("--sfo-ppm", type=float, default=0.0, help="clock offset, positive: fast")
    tx.add_argument("--pad-symbols", type=int, default=4, help="silence before and after, in symbols")
    tx.add_argument("--seed", type=int, default=0, help="of the noise")
    tx.add_argument("--trace", action="store_true", help="print every stage of the encoder")


def run(options: argparse.Namespace) -> int:
    """Write the IQ of one frame."""
    import numpy as np

    from lora_phy.channel import ChannelParams, apply_channel
    from lora_phy.checks import integer
    from lora_phy.frames.airtime import airtime_s
    from lora_phy.frames.trace import describe, trace_payload
    from lora_phy.frames.transceiver import transmit
    from lora_phy.recordings import write_raw, write_sigmf

    if not options.output:
        raise ValueError("'--output' must name a file (got '')")
    path = Path(options.output)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"'--output' must end in {', '.join(SUFFIXES)} (got {options.output!r})")
    padding = integer("--pad-symbols", options.pad_symbols, 0, 10_000)
    seed = integer("--seed", options.seed, 0, 2**63)
    params = params_from(options)
    payload = _from_hex(options.payload) if options.hex else options.payload.encode()
    if options.trace:
        print(describe(trace_payload(payload, params), params))
    pad = np.zeros(padding * params.samples_per_symbol, np.complex64)
    iq = np.concatenate([pad, transmit(payload, params), pad])
    channel = ChannelParams(
        snr_db=np.inf if options.snr_db is None else options.snr_db, cfo_hz=options.cfo_hz, sfo_ppm=options.sfo_ppm
    )
    iq = apply_channel(iq, channel, params, rng=np.random.default_rng(seed))
    scaled = ""
    if path.suffix.startswith(".sigmf"):
        path = write_sigmf(path, iq, params)
    else:
        peak = float(np.abs(iq.view(np.float32)).max())
        if path.suffix.lower() != ".cf32" and peak > 1.001:  # integers clip at 1
            iq = iq / np.float32(peak)
            scaled = f", scaled by {-20 * np.log10(peak):.1f} dB to fit"
        write_raw(path, iq)
    duration_ms = airtime_s(len(payload), params) * 1e3
    print(f"{path}: {len(iq)} samples at {params.sample_rate_hz:g} Hz, {duration_ms:g} ms{scaled}")
    return 0


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"'payload' must be pairs of hex digits with --hex (got {text!r})") from None
