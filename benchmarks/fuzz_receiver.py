"""Whatever comes in, the receiver gives frames or nothing: random streams, whole and in chunks, until the time is up.

Each case draws parameters, frames, a channel and damage (cuts, holes of zeros, NaN, infinities and huge values,
clipping, random bytes, headers that announce more than is there), receives it, and in one case of three once more in
chunks. Counted: exceptions, frames with a field that is no finite number or out of bounds, chunks that disagree with
the whole, and frames of status `ok` whose bytes nobody sent (a CRC of 16 bits lets some through, so those are counted
apart).

    python benchmarks/fuzz_receiver.py --seconds 120 --out docs/results/receiver_fuzz.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
import traceback
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from lora_phy import FrameStatus, LoRaParams, Receiver, receive, transmit


def draw_params(rng: np.random.Generator) -> LoRaParams:
    sf = int(rng.integers(5, 11))
    explicit = bool(rng.random() < 0.8)
    return LoRaParams(
        sf=sf,
        cr=int(rng.integers(1, 5)),
        oversampling=int(rng.choice([1, 1, 1, 2, 3, 4])),
        explicit_header=explicit,
        payload_len=None if explicit else int(rng.integers(0, 40)),
        crc=bool(rng.random() < 0.8),
        preamble_len=int(rng.integers(6, 20)),
        inverted_iq=bool(rng.random() < 0.2),
        sync_word=None if rng.random() < 0.2 else 0x12,
        variant=str(rng.choice(["sx126x", "sx127x"])),
    )


def draw_stream(params: LoRaParams, rng: np.random.Generator) -> tuple[np.ndarray, list[bytes]]:
    if rng.random() < 0.1:  # random bytes as a recording
        values = np.frombuffer(rng.bytes(8 * int(rng.integers(0, 20_000))), np.float32)
        return values[: len(values) // 2 * 2].copy().view(np.complex64), []
    sent, parts = [], []
    for _ in range(int(rng.integers(0, 4))):
        size = params.payload_len if params.payload_len is not None else int(rng.integers(0, 60))
        own = params if params.sync_word is not None else LoRaParams(**{**vars(params), "sync_word": 0x34})
        sent.append(rng.bytes(size))
        frame = transmit(sent[-1], own)
        if rng.random() < 0.2:
            frame = frame[int(rng.integers(len(frame))) :]
        if rng.random() < 0.2:
            frame = frame[: int(rng.integers(1, len(frame) + 1))]
        parts += [np.zeros(int(rng.integers(0, 6 * params.samples_per_symbol)), np.complex64), frame]
    x = np.concatenate([*parts, np.zeros(int(rng.integers(0, 20 * params.samples_per_symbol)), np.complex64)])
    x = x * np.exp(2j * np.pi * rng.uniform(-0.3, 0.3) / params.oversampling * np.arange(len(x)))
    x = x + rng.standard_normal(2 * len(x)).view(np.complex128) * 10 ** (-rng.uniform(-15, 40) / 20)
    x = (x * 10.0 ** rng.uniform(-6, 6)).astype(np.complex64)
    if len(x) and rng.random() < 0.4:
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(len(x)))
            value = rng.choice(np.array([0, np.nan, np.inf, -np.inf, 1e20, 3e38], dtype=np.float32))
            x[at : at + int(rng.integers(1, 4000))] = value
    if rng.random() < 0.1:
        x = np.sign(x.view(np.float32)).view(np.complex64)
    return x, sent


def is_sane(frame) -> bool:
    return (
        isinstance(frame.status, FrameStatus)
        and bool(np.isfinite([frame.sto_samples, frame.cfo_hz, frame.sfo_ppm, frame.snr_db]).all())
        and -0.5 <= frame.sto_samples < 0.5
        and len(frame.payload) <= 255
    )


def run(seconds: float, seed: int) -> dict[str, object]:
    counts = dict.fromkeys(
        ("cases", "samples", "frames", "exceptions", "insane_frames", "chunks_differ", "ok_but_never_sent"), 0
    )
    statuses: dict[str, int] = {}
    began = time.process_time()
    while time.process_time() - began < seconds:
        rng = np.random.default_rng([seed, counts["cases"]])
        counts["cases"] += 1
        try:
            params = draw_params(rng)
            with np.errstate(all="ignore"):
                iq, sent = draw_stream(params, rng)
            options = {"soft": bool(rng.random() < 0.8), "num_trials": int(rng.choice([0, 0, 20]))}
            frames = receive(iq, params, **options)
            counts["samples"] += len(iq)
            if rng.random() < 1 / 3:
                receiver, chunked = Receiver(params, **options), []
                cuts = np.sort(rng.integers(0, len(iq) + 1, int(rng.integers(0, 9))))
                for chunk in np.split(iq, cuts):
                    chunked += receiver.push(chunk)
                counts["chunks_differ"] += frames != chunked + receiver.flush()
        except Exception:
            counts["exceptions"] += 1
            print("case", [seed, counts["cases"] - 1])
            traceback.print_exc()
            continue
        for frame in frames:
            counts["frames"] += 1
            statuses[frame.status.value] = statuses.get(frame.status.value, 0) + 1
            counts["insane_frames"] += not is_sane(frame)
            counts["ok_but_never_sent"] += bool(frame.crc_ok) and frame.payload not in sent
    return {"seed": seed, **counts, "statuses": statuses, "cpu_seconds": round(time.process_time() - began, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    outcome = run(options.seconds, options.seed)
    print(outcome)
    if options.out:
        options.out.write_text(json.dumps(outcome, indent=1) + "\n")


if __name__ == "__main__":
    main()
