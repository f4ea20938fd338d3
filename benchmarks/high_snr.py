"""Frames lost and frames invented far above the sensitivity limit, where noise is no excuse.

Every frame is a stream of its own: random payload of 0 to 32 bytes, coding rate 4/5 or 4/8, random start, fractional
timing and phase, carrier offset uniform within 10 kHz (62.5 kHz / 2 at most), SNR uniform from 6 to 25 dB above the
SNR of PER 10 %. The receiver is told eight upchirps whatever was sent, and one sync word or none.

A frame is right if its bytes come out `ok` with a valid CRC. *Lost*: it does not. *Wrong*: something `ok` comes out
that was not sent. *Ghost*: anything else that was not sent.

    python benchmarks/high_snr.py --sf 7 --frames 10000
    python benchmarks/high_snr.py --sf 10 --frames 1000 --out docs/results/high_snr.json
"""

from __future__ import annotations

import argparse
import json
import os
import zlib
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _harness import made

from lora_phy import ChannelParams, LoRaParams, apply_channel, receive, transmit

PREAMBLES = (8, 12, 16, 20, 24, 32)
ABOVE_DB = (6.0, 25.0)
LARGEST_CFO_HZ = 10e3
TOLD = 8


def threshold_db(sf: int, cr: int) -> float:
    """SNR of PER 10 % with 16 bytes: measured at SF7 and SF9 (receiver_waterfall.json), 2.65 dB a spreading factor."""
    return {1: -10.12, 4: -11.87}[cr] - 2.645 * (sf - 7)


def one_frame(
    rng: np.random.Generator, sf: int, preamble_len: int, oversampling: int
) -> tuple[np.ndarray, bytes, dict]:
    """A stream with one frame, its payload, and what was drawn."""
    cr = int(rng.choice([1, 4]))
    params = LoRaParams(sf=sf, cr=cr, preamble_len=preamble_len, oversampling=oversampling)
    payload = rng.integers(0, 256, int(rng.integers(0, 33)), dtype=np.uint8).tobytes()
    size = params.samples_per_symbol
    lead, tail = int(rng.integers(2 * size, 6 * size)), int(rng.integers(4 * size, 8 * size))
    drawn = {
        "snr_db": threshold_db(sf, cr) + float(rng.uniform(*ABOVE_DB)),
        "cfo_hz": float(rng.uniform(-LARGEST_CFO_HZ, LARGEST_CFO_HZ)),
        "sto_samples": float(rng.uniform(-0.5, 0.5)),
    }
    turn = np.complex64(np.exp(2j * np.pi * rng.random()))
    stream = np.concatenate(
        [np.zeros(lead, np.complex64), transmit(payload, params) * turn, np.zeros(tail, np.complex64)]
    )
    return apply_channel(stream, ChannelParams(**drawn), params, rng=rng), payload, {**drawn, "cr": cr}


def run_case(sf: int, preamble_len: int, sync: str, frames: int, oversampling: int, verbose: bool = False) -> dict:
    """Counts of one row of the table."""
    key = f"{sf}/{preamble_len}/{sync}/{oversampling}"
    params = LoRaParams(sf=sf, preamble_len=TOLD, sync_word=None if sync == "any" else 0x12, oversampling=oversampling)
    lost = wrong = ghosts = misread = 0
    for index in range(frames):
        rng = np.random.default_rng([zlib.crc32(key.encode()), index])
        iq, payload, drawn = one_frame(rng, sf, preamble_len, oversampling)
        found = receive(iq, params)
        right = [frame for frame in found if frame.crc_ok and frame.payload == payload]
        others = [frame for frame in found if not any(frame is item for item in right[:1])]
        lost += not right
        wrong += sum(frame.status == "ok" for frame in others)
        ghosts += sum(frame.status != "ok" for frame in others)
        misread += bool(right) and (right[0].preamble_len != preamble_len or right[0].sync_word != 0x12)
        if verbose and (not right or others):
            print(
                key, index, drawn, len(payload), [(f.status.value, f.crc_ok, f.start_sample, f.cfo_hz) for f in found]
            )
    return {
        "sf": sf, "preamble_len": preamble_len, "sync": sync, "oversampling": oversampling, "frames": frames,
        "lost": lost, "wrong": wrong, "ghosts": ghosts, "preamble_or_sync_misread": misread,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sf", type=int, nargs="+", default=[7, 8, 9, 10])
    parser.add_argument("--preamble", type=int, nargs="+", default=PREAMBLES)
    parser.add_argument("--sync", choices=("known", "any"), nargs="+", default=["known", "any"])
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--oversampling", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="one line for each frame that is not as it should be")
    parser.add_argument("--out", type=Path, help="JSON file; rows with the same settings are replaced")
    options = parser.parse_args()
    for sf in options.sf:
        for preamble_len in options.preamble:
            for sync in options.sync:
                row = run_case(sf, preamble_len, sync, options.frames, options.oversampling, options.verbose)
                row |= made()
                print(row, flush=True)
                if options.out:
                    save(options.out, row)


def save(path: Path, row: dict) -> None:
    """Add a row to the file, in place of the one with the same settings."""
    names = ("sf", "preamble_len", "sync", "oversampling")
    old = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = [item for item in old if any(item[name] != row[name] for name in names)] + [row]
    rows.sort(key=lambda item: [item[name] for name in names])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"rows": [\n ' + ",\n ".join(json.dumps(item) for item in rows) + "\n]}\n")


if __name__ == "__main__":
    main()
