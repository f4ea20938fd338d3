"""Packets recovered against load: how many of 2–10 overlapping frames of one SF each receiver reads.

    python benchmarks/collisions.py --out docs/results/collisions.json
    python benchmarks/collisions.py --sf 9 --scenes 10 --load 2 5 10

A scene holds K frames of random payload that start at random within one airtime, so that all overlap; each has its own
carrier offset (uniform in ± 5 kHz), phase and fraction of a sample; powers are equal or drawn uniformly in dB above the
SNR given. Frames are sent in the waveform of chips and in that of textbooks, side by side; the receivers are not told
which. All hear the same scenes. Intervals are exact (binomial, 95 %): over scenes
for "all K recovered", over frames for the share of frames, where frames of one scene are not quite independent.
"misread": CRC holds, but nobody sent it (the CRC is blind to equal errors in a payload's last two bytes and in itself).
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
from _harness import machine, table

from lora_phy import ChannelParams, LoRaParams, airtime_s, apply_channel
from lora_phy.arrays import IQ
from lora_phy.frames.scene import Transmission, scene
from lora_phy.monte_carlo.counts import binomial_interval
from lora_phy.receiver.collisions import receive_collided

METHODS = ("plain", "sic", "segments")


def make_scene(
    params: LoRaParams, load: int, *, spread_db: float, snr_db: float, payload_len: int, rng: np.random.Generator
) -> tuple[set[bytes], IQ]:
    """The payloads sent, and what the antenna hears."""
    on_air_s = airtime_s(payload_len, params)
    sent = [
        Transmission(
            payload=rng.bytes(payload_len),
            params=params,
            start_s=1e-3 + rng.uniform(0, on_air_s),
            power_db=spread_db * rng.random(),
            center_offset_hz=rng.uniform(-5e3, 5e3),
            phase_rad=rng.uniform(0, 2 * np.pi),
        )
        for _ in range(load)
    ]
    num_samples = int((2 * on_air_s + 4e-3) * params.sample_rate_hz)
    clean = scene(sent, num_samples, params.sample_rate_hz)
    return {each.payload for each in sent}, apply_channel(clean, ChannelParams(snr_db=snr_db), params, rng=rng)


def run_load(params: LoRaParams, load: int, args: argparse.Namespace, spread_db: float) -> list[dict]:
    rows = {
        name: {"sf": params.sf, "waveform": params.waveform, "spread_db": spread_db, "load": load, "method": name,
               "scenes": args.scenes,
               "frames": load * args.scenes, "recovered": 0, "complete_scenes": 0, "misread": 0, "cpu_s_per_scene": 0.0}
        for name in METHODS
    }  # fmt: skip
    told = LoRaParams(sf=params.sf, oversampling=params.oversampling)
    for trial in range(args.scenes):
        rng = np.random.default_rng([args.seed, params.sf, int(10 * spread_db), load, trial])
        sent, iq = make_scene(
            params, load, spread_db=spread_db, snr_db=args.snr_db, payload_len=args.payload_len, rng=rng
        )
        for name, row in rows.items():
            start = time.process_time()
            read = {frame.payload for frame in receive_collided(iq, told, method=name) if frame.crc_ok}
            row["cpu_s_per_scene"] += (time.process_time() - start) / args.scenes
            row["recovered"] += len(read & sent)
            row["complete_scenes"] += sent <= read
            row["misread"] += len(read - sent)
    for row in rows.values():
        row["share_95"] = binomial_interval(row["recovered"], row["frames"])
        row["complete_95"] = binomial_interval(row["complete_scenes"], row["scenes"])
    return list(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sf", type=int, default=7)
    parser.add_argument("--load", type=int, nargs="+", default=list(range(2, 11)))
    parser.add_argument("--scenes", type=int, default=25)
    parser.add_argument("--spread-db", type=float, nargs="+", default=[0.0, 10.0])
    parser.add_argument("--snr-db", type=float, default=5.0, help="of a frame of power 0 dB")
    parser.add_argument("--waveform", nargs="+", choices=("chip", "textbook"), default=["chip", "textbook"])
    parser.add_argument("--oversampling", type=int, default=1, help="samples a chip")
    parser.add_argument("--payload-len", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows: list[dict] = []
    for waveform, spread_db, load in itertools.product(args.waveform, args.spread_db, args.load):
        params = LoRaParams(sf=args.sf, oversampling=args.oversampling, waveform=waveform)
        rows += run_load(params, load, args, spread_db)
        if args.out:  # what is there is worth keeping
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(report(args, rows), indent=1) + "\n")
    print(table(
        ["waveform", "spread dB", "frames at once", "method", "recovered", "95 %", "complete scenes", "misread",
         "CPU s"],
        [[r["waveform"], r["spread_db"], r["load"], r["method"], f"{r['recovered']}/{r['frames']}",
          "{:.2f}–{:.2f}".format(*r["share_95"]), f"{r['complete_scenes']}/{r['scenes']}", r["misread"],
          r["cpu_s_per_scene"]] for r in rows],
    ))  # fmt: skip
    print(report(args, [])["machine"])


def report(args: argparse.Namespace, rows: list[dict]) -> dict:
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    return {"benchmark": "collisions", "settings": settings, "machine": machine(), "results": rows}


if __name__ == "__main__":
    main()
