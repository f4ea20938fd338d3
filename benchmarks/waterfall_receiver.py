"""Packet error rate of the whole receiver against SNR, its false frames in noise, and the figure beside its peers.

A frame is received if a frame with its payload and a valid CRC comes out; a miss counts as an error. AWGN, 16 random
bytes, explicit header, CRC, eight upchirps; start, fractional timing and phase random, CFO 2345 Hz (or the clock's
own). SNR is signal over noise in the bandwidth. Every point is the same whatever was run before it: seeded by case and
SNR.

    python benchmarks/waterfall_receiver.py --frames 2000                  # all cases, resumes where it stopped
    python benchmarks/waterfall_receiver.py --case sf7_cr4 --frames 300
    python benchmarks/waterfall_receiver.py --noise-symbols 3e7            # false frames, SF7
    python benchmarks/waterfall_receiver.py --figure --peers ../shared/waterfalls
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from lora_phy import ChannelParams, LoRaParams, apply_channel, receive, transmit

CARRIER_HZ = 868e6
RESULTS = Path("docs/results/receiver_waterfall.json")
FIGURE = Path("docs/gallery/receiver_waterfall.svg")


@dataclass(frozen=True)
class Case:
    params: LoRaParams
    snr_db: tuple[float, ...]
    cfo_hz: float = 2345.0
    sfo_ppm: float = 0.0
    soft: bool = True


def steps(first: float, last: float, step: float = 0.25) -> tuple[float, ...]:
    return tuple(float(x) for x in np.arange(first, last + step / 2, step))


CASES = {
    "sf7_cr4": Case(LoRaParams(sf=7, cr=4), steps(-12.0, -10.5)),
    "sf7_cr4_cfo0": Case(LoRaParams(sf=7, cr=4), steps(-12.0, -11.0), cfo_hz=0.0),
    "sf7_cr1": Case(LoRaParams(sf=7, cr=1), steps(-10.5, -8.75)),
    "sf7_cr1_cfo0": Case(LoRaParams(sf=7, cr=1), steps(-10.5, -8.75), cfo_hz=0.0),
    "sf9_cr4": Case(LoRaParams(sf=9, cr=4), steps(-17.25, -16.25)),
    "sf9_cr4_cfo0": Case(LoRaParams(sf=9, cr=4), steps(-17.25, -16.25, 0.5), cfo_hz=0.0),
    "sf7_cr4_os2": Case(LoRaParams(sf=7, cr=4, oversampling=2), steps(-12.0, -11.0)),
    "sf7_cr4_os4": Case(LoRaParams(sf=7, cr=4, oversampling=4), steps(-12.0, -11.0)),
    "sf7_cr4_hard": Case(LoRaParams(sf=7, cr=4), steps(-10.5, -8.5, 0.5), soft=False),
    "sf12_cr4": Case(LoRaParams(sf=12, cr=4), (-26.0, -25.5, -25.0, -24.5)),
    "sf12_cr4_20ppm": Case(LoRaParams(sf=12, cr=4), (-26.0, -25.5), sfo_ppm=20.0),
    "sf12_cr4_20ppm_own_cfo": Case(LoRaParams(sf=12, cr=4), (-26.0, -25.5), cfo_hz=20e-6 * CARRIER_HZ, sfo_ppm=20.0),
}
TABLE = {  # case: (SNR at PER 10 % to reach, stretch)
    "sf7_cr4": (-10.5, -10.9),
    "sf7_cr1": (-9.3, -9.7),
    "sf9_cr4": (-15.9, -16.3),
    "sf12_cr4": (-23.9, -24.4),
    "sf12_cr4_20ppm": (-23.9, -24.4),
}
PEERS = {
    "sf7_cr4": ("gr_sf7_cr4_cfo2345_soft.csv", "sl_sf7_cr4_cfo0_chase.csv"),
    "sf7_cr1": ("gr_sf7_cr1_cfo2345_soft.csv", "sl_sf7_cr1_cfo2345_hard.csv"),
    "sf9_cr4": ("gr_sf9_cr4_cfo2345_soft.csv", "sl_sf9_cr4_cfo0_chase.csv"),
    "sf12_cr4": ("gr_sf12_cr4_cfo0_soft.csv", "gr_sf12_cr4_cfo0_hard.csv"),
}


def run_point(name: str, snr_db: float, frames: int) -> dict[str, object]:
    case = CASES[name]
    params = case.params
    samples = params.samples_per_symbol
    rng = np.random.default_rng([zlib.crc32(name.encode()), round(1000 * (100 + snr_db))])
    counts = {"frames": 0, "errors": 0, "missed": 0, "bad_header": 0, "bad_crc": 0, "false": 0, "undetected": 0}
    cfo_error, start_error, snr_error = [], [], []
    began = time.process_time()
    for _ in range(frames):
        payload = rng.integers(0, 256, 16, dtype=np.uint8).tobytes()
        lead = 5 * samples + int(rng.integers(0, 3 * samples))
        fraction = float(rng.uniform(-0.5, 0.5))
        frame = transmit(payload, params) * np.complex64(np.exp(2j * np.pi * rng.random()))
        stream = np.concatenate([np.zeros(lead), frame, np.zeros(14 * samples)]).astype(np.complex64)
        channel = ChannelParams(snr_db=snr_db, cfo_hz=case.cfo_hz, sto_samples=fraction, sfo_ppm=case.sfo_ppm)
        start = lead / (1 + 1e-6 * case.sfo_ppm) + fraction
        found = receive(apply_channel(stream, channel, params, rng=rng), params, soft=case.soft)
        here = [f for f in found if abs(f.start_sample + f.sto_samples - start) < samples / 2]
        counts["frames"] += 1
        counts["false"] += len(found) - len(here)
        if not here:
            counts["missed"] += 1
            counts["errors"] += 1
            continue
        frame_out = here[0]
        right = frame_out.status == "ok" and frame_out.payload == payload
        counts["errors"] += not right
        counts["undetected"] += frame_out.status == "ok" and frame_out.payload != payload
        counts["bad_header"] += frame_out.status == "bad_header"
        counts["bad_crc"] += frame_out.status == "bad_crc"
        cfo_error.append(abs(frame_out.cfo_hz - case.cfo_hz) * params.num_bins / params.bandwidth_hz)
        start_error.append(abs(frame_out.start_sample + frame_out.sto_samples - start) / params.oversampling)
        snr_error.append(abs(frame_out.snr_db - snr_db))
    medians = {
        key: round(float(np.median(values)), 4) if values else None
        for key, values in (
            ("cfo_error_bins", cfo_error),
            ("start_error_chips", start_error),
            ("snr_error_db", snr_error),
        )
    }
    seconds = round(time.process_time() - began, 1)
    return {"case": name, "snr_db": snr_db, **counts, **medians, "cpu_seconds": seconds}


def noise_run(symbols: float, seed: int = 1) -> dict[str, object]:
    """Frames of any status out of white noise at SF7; every one is false."""
    from lora_phy import Receiver

    params = LoRaParams(sf=7)
    rng = np.random.default_rng(seed)
    receiver = Receiver(params)
    chunk = 1 << 20
    total = math.ceil(symbols * params.num_bins / chunk)
    false = 0
    for _ in range(total):
        false += len(receiver.push(rng.standard_normal(2 * chunk, dtype=np.float32).view(np.complex64)))
    false += len(receiver.flush())
    return {"sf": 7, "symbols": total * chunk // params.num_bins, "false_frames": false}


def crossing(points: list[dict], level: float) -> float | None:
    """SNR at which the PER crosses `level`, log-linear between neighbours."""
    rows = sorted((p["snr_db"], max(p["errors"], 0.5) / p["frames"]) for p in points)
    for (x0, y0), (x1, y1) in itertools.pairwise(rows):
        if y0 >= level >= y1:
            return x0 + (x1 - x0) * math.log(y0 / level) / math.log(y0 / y1) if y0 != y1 else x0
    return None


def draw(results: dict, peers: Path | None) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "receiver"
    figure, axes = plt.subplots(1, 4, figsize=(15, 4.2), sharey=True, constrained_layout=True)
    for axis, name in zip(axes, PEERS, strict=True):
        for own in [name] + ([f"{name}_20ppm"] if name == "sf12_cr4" else []):
            rows = sorted((p["snr_db"], p["errors"] / p["frames"]) for p in results["points"] if p["case"] == own)
            if rows:
                label = "this receiver" + (", 20 ppm" if own != name else "")
                axis.semilogy(*zip(*[r for r in rows if r[1] > 0], strict=True), "o-", label=label, markersize=3)
        for file in PEERS[name] if peers else ():
            path = peers / file
            if not path.exists():
                continue
            with path.open() as handle:
                rows = [(float(r["snr_db"]), float(r["per"])) for r in csv.DictReader(handle)]
            rows = sorted(r for r in rows if r[1] > 0)
            label = file.removesuffix(".csv").replace("gr_", "gr-lora_sdr ").replace("sl_", "softlora ")
            axis.semilogy(*zip(*rows, strict=True), ".--", label=label.replace("_", " "))
        if peers and (peers / "genie_perfect_sync.csv").exists():
            sf, cr = int(name[2:].split("_")[0]), int(name[-1])
            with (peers / "genie_perfect_sync.csv").open() as handle:
                wanted = [
                    r for r in csv.DictReader(handle) if (int(r["sf"]), int(r["cr"]), r["soft"]) == (sf, cr, "soft")
                ]
            rows = sorted((float(r["snr_db"]), float(r["per"])) for r in wanted if float(r["per"]) > 0)
            if rows:
                axis.semilogy(*zip(*rows, strict=True), ":", color="grey", label="perfect sync, bitwise soft")
        axis.set(
            title=name.replace("_cr", " 4/").upper().replace("4/4", "4/8").replace("4/1", "4/5"), xlabel="SNR (dB)"
        )
        axis.set_ylim(8e-4, 1)
        axis.grid(True, which="both", alpha=0.3)
        axis.legend(fontsize=7)
    axes[0].set_ylabel("packet error rate")
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--noise-symbols", type=float)
    parser.add_argument("--figure", action="store_true")
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    results = json.loads(options.out.read_text()) if options.out.exists() else {"points": []}

    def save(change) -> None:
        # another run may have added points meanwhile
        latest = json.loads(options.out.read_text()) if options.out.exists() else {"points": []}
        change(latest)
        latest["points"].sort(key=lambda p: (p["case"], p["snr_db"]))
        latest["snr_db_at_per"] = {
            name: {
                str(level): crossing([p for p in latest["points"] if p["case"] == name], level) for level in (0.1, 0.01)
            }
            for name in CASES
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(latest, indent=1) + "\n")

    if options.noise_symbols:
        outcome = noise_run(options.noise_symbols)
        save(lambda latest: latest.update(noise=outcome))
        print(outcome)
        return
    if options.figure:
        draw(results, options.peers)
        return
    for name in options.case or CASES:
        for snr_db in CASES[name].snr_db:
            done = [p for p in results["points"] if (p["case"], p["snr_db"]) == (name, snr_db)]
            if done and done[0]["frames"] >= options.frames:
                continue
            point = run_point(name, snr_db, options.frames)

            def replace_point(latest, point=point) -> None:
                key = (point["case"], point["snr_db"])
                latest["points"] = [p for p in latest["points"] if (p["case"], p["snr_db"]) != key] + [point]

            save(replace_point)
            print({key: value for key, value in point.items()}, flush=True)


if __name__ == "__main__":
    main()
