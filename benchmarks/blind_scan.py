"""Frames found and invented by a receiver that looks for SF7 to SF12 at 125, 250 and 500 kHz with any sync word.

A scene is a stream of 1 MS/s with thirty frames: random spreading factor, bandwidth, coding rate, sync word, preamble
(8, 12 or 16), payload, carrier and clock offset, waveform, and an SNR 6 to 25 dB above that of PER 10 %. The gaps are
random; a third of the frames begins before the one before has ended, at another spreading factor and slope. Where the
first upchirps lie under a stronger frame, the start that is reported may lie after them: such frames are counted as
found, and as `late`. Everything is looked for at once, without (`plain`) and with cancellation across spreading
factors (`cancel`).

    python benchmarks/blind_scan.py --scenes 20 --out docs/results/blind_scan.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _harness import machine, made

from lora_phy import ChannelParams, LoRaParams, apply_channel, receive, transmit
from lora_phy.receiver.frame_reception import Decoding, RxFrame
from lora_phy.receiver.front_end import without_constant
from lora_phy.receiver.hidden_frames import Recording, with_hidden_frames

RATE_HZ = 1e6
BANDWIDTHS_HZ = (125e3, 250e3, 500e3)
SFS = range(7, 13)
NUM_FRAMES = 30
SYNC_WORDS = (0x12, 0x34, 0x2B)


def slope(params: LoRaParams) -> float:
    """Frequency over time of a chirp, Hz/s."""
    return params.bandwidth_hz / params.symbol_duration_s


def scene(seed: int) -> tuple[np.ndarray, list[tuple[int, LoRaParams, bytes]]]:
    """A stream, and every frame's first sample, parameters and payload."""
    rng = np.random.default_rng(seed)
    parts: list[tuple[int, LoRaParams, bytes, np.ndarray]] = []
    place, last, overlapping = 20_000, None, False
    for _ in range(NUM_FRAMES):
        params = draw(rng)
        overlapping = last is not None and not overlapping and rng.random() < 1 / 2
        while overlapping and last is not None and (params.sf == last.sf or slope(params) == slope(last)):
            params = draw(rng)
        if parts:
            length = len(parts[-1][3])
            place = parts[-1][0] + (
                int(rng.uniform(0.2, 0.9) * length) if overlapping else length + int(rng.uniform(2e3, 50e3))
            )
            if not overlapping:  # nor inside an earlier, longer one
                place = max(place, max(start + len(iq) for start, _, _, iq in parts) + 2000)
        payload = rng.bytes(int(rng.integers(4, 24)))
        # noise has power 1 in 125 kHz
        snr_db = -10.12 - 2.645 * (params.sf - 7) + rng.uniform(6, 25)
        amplitude = 10 ** (snr_db / 20) * np.sqrt(params.bandwidth_hz / 125e3) * np.exp(2j * np.pi * rng.random())
        ppm = float(rng.uniform(-10, 10))
        offset = ChannelParams(cfo_hz=868.0 * ppm, sfo_ppm=ppm, sto_samples=float(rng.uniform(-0.5, 0.5)))
        iq = apply_channel(np.pad(transmit(payload, params), 64), offset, params, rng=rng)
        parts.append((place - 64, params, payload, (amplitude * iq).astype(np.complex64)))
        last = params
    total = max(start + len(iq) for start, _, _, iq in parts) + 50_000
    noise = rng.standard_normal(2 * total, dtype=np.float32).view(np.complex64)
    stream = noise * np.float32(np.sqrt(RATE_HZ / 125e3 / 2))
    for start, _, _, iq in parts:
        stream[start : start + len(iq)] += iq
    return stream, [(start + 64, params, payload) for start, params, payload, _ in parts]


def draw(rng: np.random.Generator) -> LoRaParams:
    """Parameters of one frame."""
    bandwidth_hz = float(rng.choice(BANDWIDTHS_HZ))
    return LoRaParams(
        sf=int(rng.integers(7, 13)),
        bandwidth_hz=bandwidth_hz,
        cr=int(rng.integers(1, 5)),
        preamble_len=int(rng.choice([8, 12, 16])),
        sync_word=int(rng.choice(SYNC_WORDS)),
        oversampling=round(RATE_HZ / bandwidth_hz),
        waveform="chip" if rng.random() < 0.5 else "textbook",
    )


def scan(seed: int) -> dict:
    """Counts of one scene, of a search that looks for everything at once and of one that cancels besides."""
    stream, truth = scene(seed)
    wanted = [
        LoRaParams(sf=sf, bandwidth_hz=bandwidth_hz, sync_word=None) for bandwidth_hz in BANDWIDTHS_HZ for sf in SFS
    ]
    begun = time.process_time()
    plain = receive(stream, wanted, sample_rate_hz=RATE_HZ)
    searched = time.process_time()
    # as receive(…, cancel=True) goes on, without a second search of the same stream
    samples = without_constant(stream, RATE_HZ, BANDWIDTHS_HZ)
    cancelled = with_hidden_frames(Recording(samples, RATE_HZ, 0.0), plain, wanted, Decoding())
    done = time.process_time()
    row = {"seed": seed, "seconds": round(len(stream) / RATE_HZ, 1), "true": len(truth)}
    return row | {
        "plain": {**counts(plain, truth), "cpu_s": round(searched - begun, 2)},
        "cancel": {**counts(cancelled, truth), "cpu_s": round(done - begun, 2)},
    }


def counts(frames: list[RxFrame], truth: list[tuple[int, LoRaParams, bytes]]) -> dict:
    """What is there and what is not, of a scene's frames."""
    found = [0] * len(truth)
    false = false_ok = damaged = late = 0
    for frame in frames:
        here, symbols = [], 0.0
        for index, (start, params, payload) in enumerate(truth):
            if (params.sf, params.bandwidth_hz) != (frame.params.sf, frame.params.bandwidth_hz):
                continue
            symbols = (frame.start_sample - start) / params.samples_per_symbol
            if -3 < symbols < (params.preamble_len if frame.crc_ok and frame.payload == payload else 3):
                here = [index]
                break
        if here and frame.status == "ok" and frame.payload == truth[here[0]][2]:
            found[here[0]] += 1
            late += symbols >= 3
        elif here and frame.status != "ok":
            damaged += 1
        else:
            false += 1
            false_ok += frame.status == "ok"
    return {
        "found": sum(n > 0 for n in found),
        "twice": sum(n > 1 for n in found),
        "late": late,
        "damaged": damaged,
        "false": false,
        "false_ok": false_ok,
        "missed": [[p.sf, p.bandwidth_hz] for n, (_, p, _) in zip(found, truth, strict=True) if not n],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for seed in range(options.first, options.first + options.scenes):
        rows.append(scan(seed))
        print(rows[-1], flush=True)
    names = ("found", "twice", "late", "damaged", "false", "false_ok", "cpu_s")
    total: dict = {"true": sum(row["true"] for row in rows)}
    for kind in ("plain", "cancel"):
        total[kind] = {name: round(sum(row[kind][name] for row in rows), 1) for name in names}
    print(total)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n ".join(json.dumps(row) for row in rows)
        head = json.dumps({**made(), "machine": machine(), "total": total})[:-1]
        options.out.write_text(f'{head}, "scenes": [\n {lines}\n]}}\n')


if __name__ == "__main__":
    main()
