"""How many samples a second the receiver gets through, soft decoding, on one core.

A stream of frames at a given SNR is received whole; the best of several passes counts, in CPU time of the one thread.

    python benchmarks/bench_receiver.py                     # SF7, 16 and 255 bytes, and pure noise
    python benchmarks/bench_receiver.py --sf 9 --out docs/results/receiver_speed.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from lora_phy import LoRaParams, receive, transmit
from lora_phy.resampling import change_rate


def stream(params: LoRaParams, payload_len: int, frames: int, gap_symbols: int, snr_db: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    size = params.samples_per_symbol
    parts, payloads = [], []
    for _ in range(frames):
        payloads.append(rng.integers(0, 256, payload_len, dtype=np.uint8).tobytes())
        parts += [np.zeros(gap_symbols * size + int(rng.integers(size)), np.complex64), transmit(payloads[-1], params)]
    x = np.concatenate([*parts, np.zeros(20 * size, np.complex64)])
    x = x * np.exp(2j * np.pi * 2345.0 / params.sample_rate_hz * np.arange(len(x)))
    noise = rng.standard_normal(2 * len(x)).view(np.complex128) * np.sqrt(
        params.oversampling * 10 ** (-snr_db / 10) / 2
    )
    return (x + noise).astype(np.complex64), payloads


def measure(params: LoRaParams, payload_len: int, frames: int, gap_symbols: int, snr_db: float, passes: int) -> dict:
    iq, payloads = stream(params, payload_len, frames, gap_symbols, snr_db)
    receive(iq[: 40 * params.samples_per_symbol * 4], params)
    best_cpu = best_wall = float("inf")
    for _ in range(passes):
        wall, cpu = time.perf_counter(), time.process_time()
        found = receive(iq, params)
        best_cpu = min(best_cpu, time.process_time() - cpu)
        best_wall = min(best_wall, time.perf_counter() - wall)
    right = sum(frame.payload == payload for frame, payload in zip(found, payloads, strict=False))
    return {
        "sf": params.sf,
        "cr": params.cr,
        "samples_per_chip": params.oversampling,
        "payload_len": payload_len,
        "gap_symbols": gap_symbols,
        "snr_db": snr_db,
        "samples": len(iq),
        "frames": frames,
        "right": right,
        "msamples_per_s": round(len(iq) / best_cpu / 1e6, 2),
        "mchips_per_s": round(len(iq) / params.oversampling / best_cpu / 1e6, 2),
        "msamples_per_s_wall": round(len(iq) / best_wall / 1e6, 2),
    }


def oversampled(params: LoRaParams, samples_per_chip: float, options: argparse.Namespace) -> list[dict]:
    """Frames of 64 bytes, and noise, at several samples a chip; speeds in chips a second."""
    rate = samples_per_chip * params.bandwidth_hz
    whole = int(samples_per_chip)
    sent = replace(params, oversampling=whole if whole == samples_per_chip else 8)
    iq, payloads = stream(sent, 64, 20, options.gap_symbols, options.snr_db)
    iq = change_rate(iq, sent.sample_rate_hz, rate)
    noise = np.random.default_rng(0).standard_normal(2 * len(iq), dtype=np.float32).view(np.complex64)
    rows = []
    for name, samples in (("frames", iq), ("noise", noise)):
        best, found = float("inf"), []
        for _ in range(options.passes):
            cpu = time.process_time()
            found = receive(samples, params, sample_rate_hz=rate)
            best = min(best, time.process_time() - cpu)
        speed = round(len(samples) / samples_per_chip / best / 1e6, 2)
        row = {"case": name, "sf": params.sf, "samples_per_chip": samples_per_chip, "payload_len": 64}
        row |= {"sent": len(payloads) if name == "frames" else 0, "found": len(found), "mchips_per_s": speed}
        rows.append(row)
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sf", type=int, default=7)
    parser.add_argument("--cr", type=int, default=4)
    parser.add_argument("--snr-db", type=float, default=0.0)
    parser.add_argument("--gap-symbols", type=int, default=4)
    parser.add_argument("--passes", type=int, default=7)
    parser.add_argument("--oversampled", action="store_true", help="also 2, 4 and 8 samples a chip, and 2.4 MS/s")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    params = LoRaParams(sf=options.sf, cr=options.cr)
    rows = []
    for payload_len, frames in ((16, 200), (64, 80), (255, 30), (0, 0)):
        gap = options.gap_symbols if frames else 0
        if frames:
            rows.append(measure(params, payload_len, frames, gap, options.snr_db, options.passes))
        else:
            rng = np.random.default_rng(0)
            iq = rng.standard_normal(1 << 22, dtype=np.float32).view(np.complex64)
            best = float("inf")
            for _ in range(options.passes):
                cpu = time.process_time()
                found = receive(iq, params)
                best = min(best, time.process_time() - cpu)
            rows.append({"sf": params.sf, "noise_only": True, "frames": len(found), "samples": len(iq)})
            rows[-1]["msamples_per_s"] = round(len(iq) / best / 1e6, 2)
        print(rows[-1], flush=True)
    for samples_per_chip in (1, 2, 4, 8, 19.2) if options.oversampled else ():
        rows += oversampled(replace(params, oversampling=1), samples_per_chip, options)
    if options.out:
        load = os.getloadavg()[0]
        result = {"machine": platform.processor() or platform.machine(), "load_average": load, "rows": rows}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
