"""Command line of the radio: ``python -m lora_phy tx | rx | airtime | waterfall | budget``.

Plain text; tables are drawn with rich where it is installed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lora_phy.channel import ChannelParams, apply_channel
from lora_phy.frames.airtime import airtime_s
from lora_phy.frames.trace import describe, trace_payload
from lora_phy.frames.transceiver import transmit
from lora_phy.params import LoRaParams
from lora_phy.presets import preset, preset_names
from lora_phy.receiver.frame_reception import RxFrame
from lora_phy.receiver.stream import Receiver, receive
from lora_phy.recordings import iterate_raw, read_sigmf, write_raw, write_sigmf


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run_tx(options: argparse.Namespace) -> int:
    """Write the IQ of one frame."""
    params = _params(options)
    payload = bytes.fromhex(options.payload) if options.hex else options.payload.encode()
    if options.trace:
        print(describe(trace_payload(payload, params), params))
    pad = np.zeros(options.pad_symbols * params.samples_per_symbol, np.complex64)
    iq = np.concatenate([pad, transmit(payload, params), pad])
    channel = ChannelParams(
        snr_db=np.inf if options.snr_db is None else options.snr_db, cfo_hz=options.cfo_hz, sfo_ppm=options.sfo_ppm
    )
    iq = apply_channel(iq, channel, params, rng=np.random.default_rng(options.seed))
    path = Path(options.output)
    if path.suffix.startswith(".sigmf"):
        path = write_sigmf(path, iq, params)
    else:
        write_raw(path, iq)
    print(f"{path}: {len(iq)} samples at {params.sample_rate_hz:g} Hz, {airtime_s(len(payload), params) * 1e3:g} ms")
    return 0


def run_rx(options: argparse.Namespace) -> int:
    """Find and print every frame of a recording."""
    path = Path(options.file)
    sigmf = path.suffix.startswith(".sigmf") or Path(f"{path.with_suffix('')}.sigmf-meta").exists()
    settings: dict[str, Any] = {"soft": not options.hard, "num_trials": options.num_trials}
    if sigmf:
        recording = read_sigmf(path)
        given = options.preset or options.sf
        wanted = _all_params(options) if given or recording.params is None else [recording.params]
        offset = recording.center_offset_hz if options.center_offset_hz is None else options.center_offset_hz
        frames = receive(
            recording.iq, wanted, sample_rate_hz=recording.sample_rate_hz, center_offset_hz=offset, **settings
        )
    else:
        wanted = _all_params(options)
        receiver = Receiver(
            wanted,
            sample_rate_hz=options.sample_rate_hz,
            center_offset_hz=options.center_offset_hz or 0.0,
            **settings,
        )
        frames = []
        for chunk in iterate_raw(path, options.format):
            frames += receiver.push(chunk)
        frames += receiver.flush()
    if options.json:
        print(json.dumps([frame_as_dict(frame) for frame in frames], indent=1))
    else:
        _print_table([_row(frame) for frame in frames], f"{len(frames)} frames")
    return 0 if frames else 1


def run_airtime(options: argparse.Namespace) -> int:
    """Print the time on air."""
    params = _params(options)
    milliseconds = airtime_s(options.payload_len, params) * 1e3
    print(json.dumps({"airtime_ms": milliseconds}) if options.json else f"{milliseconds:.3f} ms")
    return 0


def run_waterfall(options: argparse.Namespace) -> int:
    """Simulate packet error rates at some SNRs."""
    from lora_phy.monte_carlo.collect import collect
    from lora_phy.monte_carlo.points import LinkPoint

    params = _params(options)
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
        _print_table([{k: f"{v:.3g}" if isinstance(v, float) else str(v) for k, v in row.items()} for row in rows], "")
    return 0


def run_budget(options: argparse.Namespace) -> int:
    """Print what one frame costs and how much margin a path leaves."""
    from lora_phy.studies.budget import format_budget, link_budget

    budget = link_budget(
        _params(options),
        options.payload_len,
        options.path_loss_db,
        tx_power_dbm=options.tx_power_dbm,
        noise_figure_db=options.noise_figure_db,
        region=options.region,
    )
    print(format_budget(budget))
    return 0


def frame_as_dict(frame: RxFrame) -> dict[str, Any]:
    """A frame as plain values, for JSON."""
    header = frame.header
    return {
        "status": str(frame.status),
        "payload": frame.payload.hex(),
        "crc_ok": frame.crc_ok,
        "start_sample": frame.start_sample,
        "sto_samples": frame.sto_samples,
        "cfo_hz": frame.cfo_hz,
        "sfo_ppm": frame.sfo_ppm,
        "snr_db": frame.snr_db,
        "sf": frame.params.sf,
        "bandwidth_hz": frame.params.bandwidth_hz,
        "sync_word": frame.sync_word,
        "header": None if header is None else {"payload_len": header.payload_len, "cr": header.cr, "crc": header.crc},
    }


def _row(frame: RxFrame) -> dict[str, str]:
    text = "".join(chr(b) if 32 <= b < 127 else "." for b in frame.payload)
    return {
        "start": str(frame.start_sample),
        "sf": str(frame.params.sf),
        "status": str(frame.status),
        "bytes": str(len(frame.payload)),
        "snr dB": f"{frame.snr_db:.1f}",
        "cfo Hz": f"{frame.cfo_hz:.0f}",
        "sfo ppm": f"{frame.sfo_ppm:.1f}",
        "sync": "other" if frame.sync_word is None else f"{frame.sync_word:02x}",
        "payload": frame.payload.hex(),
        "text": text,
    }


def _print_table(rows: list[dict[str, str]], title: str) -> None:
    columns = list(rows[0]) if rows else []
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = {c: max(len(c), *(len(row[c]) for row in rows)) for c in columns}
        for row in ([{c: c for c in columns}] if rows else []) + rows:
            print("  ".join(row[c].ljust(widths[c]) for c in columns).rstrip())
        if title:
            print(title)
        return
    table = Table(*columns, title=title or None)
    for row in rows:
        table.add_row(*(row[c] for c in columns))
    # piped output is for other programs: it must not be folded at a terminal's width
    Console(width=None if sys.stdout.isatty() else 1000, markup=False, highlight=False).print(table if rows else title)


def _all_params(options: argparse.Namespace) -> list[LoRaParams]:
    base = _params(options)
    if options.preset and len(options.preset) > 1:
        return [preset(name) for name in options.preset]
    if options.sf and len(options.sf) > 1:
        return [replace(base, sf=sf) for sf in options.sf]
    return [base]


def _params(options: argparse.Namespace) -> LoRaParams:
    names = options.preset if isinstance(options.preset, list) else [options.preset] if options.preset else []
    sfs = options.sf if isinstance(options.sf, list) else [options.sf] if options.sf else []
    params = preset(names[0]) if names else LoRaParams(sf=sfs[0] if sfs else 7)
    changes: dict[str, Any] = {
        "sf": sfs[0] if sfs else None,
        "bandwidth_hz": options.bandwidth_hz,
        "cr": options.cr,
        "preamble_len": options.preamble_len,
        "oversampling": options.oversampling,
        "payload_len": getattr(options, "implicit_len", None),
        "explicit_header": False if options.implicit_len is not None else None,
        "crc": False if options.no_crc else None,
        "inverted_iq": True if options.inverted_iq else None,
        "ldro": {"on": True, "off": False, None: None}[options.ldro],
    }
    params = replace(params, **{name: value for name, value in changes.items() if value is not None})
    if options.sync_word is not None:
        params = replace(params, sync_word=None if options.sync_word == "any" else int(options.sync_word, 0))
    return params


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lora_phy", description="LoRa at the physical layer.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: Any, help_text: str, *, several: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_text, description=help_text)
        sub.set_defaults(run=run)
        radio = sub.add_argument_group("radio")
        many: dict[str, Any] = {"nargs": "+"} if several else {}
        radio.add_argument("--preset", metavar="NAME", help=f"one of {', '.join(preset_names()[:3])} …", **many)
        radio.add_argument("--sf", type=int, help="spreading factor, 5–12", **many)
        radio.add_argument("--bandwidth-hz", type=float)
        radio.add_argument("--cr", type=int, help="coding rate 4/(4 + CR), 1–4")
        radio.add_argument("--preamble-len", type=int)
        radio.add_argument("--oversampling", type=int)
        radio.add_argument("--sync-word", help="a byte such as 0x34, or 'any'")
        radio.add_argument("--implicit-len", type=int, help="implicit header, of this many bytes")
        radio.add_argument("--no-crc", action="store_true")
        radio.add_argument("--inverted-iq", action="store_true")
        radio.add_argument("--ldro", choices=("on", "off"))
        return sub

    tx = command("tx", run_tx, "write the IQ of one frame to a file")
    tx.add_argument("payload", help="text, or hex digits with --hex")
    tx.add_argument("-o", "--output", required=True, help=".cf32, .cs16, .cs8, .cu8 or .sigmf")
    tx.add_argument("--hex", action="store_true")
    tx.add_argument("--snr-db", type=float)
    tx.add_argument("--cfo-hz", type=float, default=0.0)
    tx.add_argument("--sfo-ppm", type=float, default=0.0)
    tx.add_argument("--pad-symbols", type=int, default=4)
    tx.add_argument("--seed", type=int, default=0)
    tx.add_argument("--trace", action="store_true", help="print every stage of the encoder")

    rx = command("rx", run_rx, "find and decode every frame of a recording", several=True)
    rx.add_argument("file", help="SigMF, or raw .cf32, .cs16, .cs8, .cu8")
    rx.add_argument("--sample-rate-hz", type=float, help="of a raw file; default: bandwidth times oversampling")
    rx.add_argument("--format", choices=("cf32", "cs16", "cs8", "cu8"))
    rx.add_argument("--center-offset-hz", type=float)
    rx.add_argument("--hard", action="store_true", help="decide symbol by symbol")
    rx.add_argument("--num-trials", type=int, default=0, help="alternatives a failed CRC may choose from")
    rx.add_argument("--json", action="store_true")

    airtime = command("airtime", run_airtime, "time on air of a frame")
    airtime.add_argument("payload_len", type=int)
    airtime.add_argument("--json", action="store_true")

    waterfall = command("waterfall", run_waterfall, "simulate packet error rates")
    waterfall.add_argument("--snr-db", type=float, nargs="+", required=True)
    waterfall.add_argument("--payload-len", type=int, default=16)
    waterfall.add_argument("--frames", type=int, default=1000)
    waterfall.add_argument("--errors", type=int, default=100)
    waterfall.add_argument("--seed", type=int, default=0)
    waterfall.add_argument("--sync", choices=("receiver", "perfect"), default="receiver")
    waterfall.add_argument("--decoding", choices=("soft", "hard"), default="soft")
    waterfall.add_argument("--json", action="store_true")

    budget = command("budget", run_budget, "link margin, time and energy of a frame")
    budget.add_argument("payload_len", type=int)
    budget.add_argument("--path-loss-db", type=float, required=True)
    budget.add_argument("--tx-power-dbm", type=float, default=14.0)
    budget.add_argument("--noise-figure-db", type=float, default=6.0)
    budget.add_argument("--region", default="EU868")
    return parser


if __name__ == "__main__":
    sys.exit(main())
