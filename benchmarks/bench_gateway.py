"""A gateway: how many seconds of a wide stream are received in a second, on one core.

Eight channels 200 kHz apart, SF7–SF12 at 125 kHz in each, out of one stream at 1.6 or 2 MS/s: in noise, and with 20
frames a second (16 bytes, +5 dB over each spreading factor's threshold, random channel and start; the mix of spreading
factors is stated in the result). CPU time of the process, in the best round; a bare FFT of the stream (scipy, in rows
of 1,024) takes turns with it.

With ``--soak-minutes`` so many minutes of the stream with frames go through one `GatewayReceiver` in chunks instead,
and its memory is told beside.

    python benchmarks/bench_gateway.py --out docs/results/bench_gateway.json
    python benchmarks/bench_gateway.py --soak-minutes 10 --rate-hz 1.6e6 --out docs/results/gateway_soak.json
"""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
from _harness import arguments, interleaved, ratios, report, table

from lora_phy import GatewayReceiver, LoRaParams, receive_channels, transmit
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


def measure(case: str, rate: float, mix: dict[int, int], settings: Any) -> dict[str, Any]:
    """Speed of one stream, beside the bare FFT."""
    iq, sent = scene(rate, settings.seconds, mix)
    params = [LoRaParams(sf=sf) for sf in SFS]
    channels = {"sample_rate_hz": rate, "num_channels": NUM_CHANNELS, "spacing_hz": SPACING_HZ}
    found = receive_channels(iq, params, **channels)
    whole = iq[: iq.size // 1024 * 1024].reshape(-1, 1024)
    times = interleaved(
        {
            "gateway": lambda: receive_channels(iq, params, **channels),
            "bare FFT": lambda: scipy.fft.fft(whole, axis=-1, workers=1),
        },
        rounds=settings.rounds,
        clock=settings.clock,
    )
    return {
        "case": f"gateway {rate / 1e6:g} MS/s {case}",
        "seconds": settings.seconds,
        "mix_per_second": mix,
        "frames_sent": sent,
        "frames_ok": sum(item.frame.status == "ok" for item in found),
        "times_real_time": round(settings.seconds / min(times["gateway"]), 2),
        **ratios(times, "gateway"),
    }


def soak(rate: float, minutes: float, settings: Any) -> dict[str, Any]:
    """Frames sent and read, speed and resident memory over minutes of one stream: scenes with seeds of their own."""
    gateway = GatewayReceiver(
        [LoRaParams(sf=sf) for sf in SFS], sample_rate_hz=rate, num_channels=NUM_CHANNELS, spacing_hz=SPACING_HZ
    )
    sent = read = other = scenes = 0
    cpu_s, memory_mb = 0.0, []
    while scenes * settings.seconds < 60 * minutes:
        iq, added = scene(rate, settings.seconds, MIX, seed=scenes)
        sent, scenes = sent + added, scenes + 1
        last = scenes * settings.seconds >= 60 * minutes
        start = time.process_time()
        found = [item for chunk in np.array_split(iq, 16) for item in gateway.push(chunk)]
        found += gateway.flush() if last else []
        cpu_s += time.process_time() - start
        ok = sum(item.frame.status == "ok" for item in found)
        read, other = read + ok, other + len(found) - ok
        if scenes * settings.seconds // 60 > len(memory_mb) or last:
            memory_mb.append(round(_resident_mb(), 1))
            print(f"{scenes * settings.seconds:.0f} s: {memory_mb[-1]:.0f} MB, {read} of {sent} frames", flush=True)
    return {
        "case": f"soak {rate / 1e6:g} MS/s",
        "minutes": minutes,
        "mix_per_second": MIX,
        "frames_sent": sent,
        "frames_ok": read,
        "of_another_status": other,
        "times_real_time": round(scenes * settings.seconds / cpu_s, 2),
        "resident_mb_by_minute": memory_mb,
    }


def _resident_mb() -> float:
    """Resident memory of this process now, on Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def main() -> None:
    settings = arguments(
        __doc__ or "",
        soak_minutes={"type": float, "default": 0.0},
        seconds={"type": float, "default": 4.0},
        rate_hz={"type": float, "nargs": "+", "default": [1.6e6, 2e6]},
    )
    if settings.soak_minutes:
        results = [soak(rate, settings.soak_minutes, settings) for rate in settings.rate_hz]
        rows = [[r[k] for k in ("case", "frames_sent", "frames_ok", "times_real_time")] for r in results]
        report("gateway_soak", settings, results, table(["case", "sent", "ok", "x real time"], rows))
        return
    cases = [(name, rate, mix) for rate in settings.rate_hz for name, mix in (("noise", {}), ("frames", MIX))]
    results = [measure(*case, settings) for case in cases]
    rows = [
        [r["case"], r["frames_sent"], r["frames_ok"], r["times_real_time"], r["ratio"]["bare FFT"]] for r in results
    ]
    report("gateway", settings, results, table(["case", "sent", "ok", "x real time", "x bare FFT"], rows))


if __name__ == "__main__":
    main()
