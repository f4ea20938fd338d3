"""A gateway: how many seconds of a wide stream are received in a second, on one core.

Eight channels 200 kHz apart, SF7–SF12 at 125 kHz in each, out of one stream at 1.6 or 2 MS/s: in noise, and with 20
frames a second (16 bytes, +5 dB over each spreading factor's threshold, random channel and start; the mix of spreading
factors is stated in the result). CPU time of the process, the best of several passes.

    python benchmarks/bench_gateway.py --out docs/results/bench_gateway.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from lora_phy import LoRaParams, transmit
from lora_phy.receiver.channelizer import receive_channels
from lora_phy.resampling import change_rate

SFS = range(7, 13)
SPACING_HZ, NUM_CHANNELS = 200e3, 8
THRESHOLD_DB = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
MIX = {7: 8, 8: 4, 9: 3, 10: 2, 11: 2, 12: 1}
"""Frames of each spreading factor in a second: 20, fewer of the long ones, as adaptive data rates leave them."""


def scene(rate: float, seconds: float, mix: dict[int, int], seed: int = 0):
    """Noise of power 1 in 125 kHz, and frames; the number of frames that end inside."""
    rng = np.random.default_rng(seed)
    count = int(rate * seconds)
    iq = rng.standard_normal(2 * count, dtype=np.float32).view(np.complex64) * np.float32(np.sqrt(rate / 125e3 / 2))
    sent = 0
    for sf, each in mix.items():
        for _ in range(round(each * seconds)):
            frame = transmit(rng.integers(0, 256, 16, dtype=np.uint8).tobytes(), LoRaParams(sf=sf, oversampling=2))
            frame = change_rate(frame, 250e3, rate)
            if len(frame) + 40_000 > count:
                continue
            start = int(rng.integers(0, count - len(frame) - 40_000))
            turn = np.exp(2j * np.pi * (rng.integers(-3, 4) * SPACING_HZ / rate * np.arange(len(frame))))
            amplitude = 10 ** ((THRESHOLD_DB[sf] + 5.0) / 20)
            iq[start : start + len(frame)] += (amplitude * frame * turn).astype(np.complex64)
            sent += 1
    return iq, sent


def measure(rate: float, seconds: float, mix: dict[int, int], passes: int) -> dict:
    iq, sent = scene(rate, seconds, mix)
    params = [LoRaParams(sf=sf) for sf in SFS]
    settings = {"sample_rate_hz": rate, "num_channels": NUM_CHANNELS, "spacing_hz": SPACING_HZ}
    receive_channels(iq[: int(rate / 4)], params, **settings)
    best, found = float("inf"), []
    for _ in range(passes):
        start = time.process_time()
        found = receive_channels(iq, params, **settings)
        best = min(best, time.process_time() - start)
    ok = sum(item.frame.status == "ok" for item in found)
    return {
        "rate_hz": rate,
        "seconds": seconds,
        "frames_sent": sent,
        "frames_ok": ok,
        "times_real_time": round(seconds / best, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--rate-hz", type=float, nargs="+", default=[1.6e6, 2e6])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for rate in options.rate_hz:
        for name, mix in (("noise", {}), ("20 frames a second", MIX)):
            rows.append({"case": name} | measure(rate, options.seconds, mix, options.passes))
            print(rows[-1], flush=True)
    if options.out:
        result = {
            "machine": platform.processor() or platform.machine(),
            "load_average": os.getloadavg()[0],
            "channels": NUM_CHANNELS,
            "spreading_factors": [min(SFS), max(SFS)],
            "mix_per_second": MIX,
            "payload_len": 16,
            "rows": rows,
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
