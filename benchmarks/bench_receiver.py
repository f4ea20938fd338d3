"""How many samples a second the receiver gets through, soft decoding, on one core.

A stream of frames at a given SNR is received whole, in turns with a bare FFT of the same samples (scipy, in rows of a
symbol): their ratio says how fast the receiver is on a machine of any speed. Speeds are those of the best round, in CPU
time of the one thread.

    python benchmarks/bench_receiver.py                     # SF7: 16, 64 and 255 bytes, and pure noise
    python benchmarks/bench_receiver.py --sf 7 9 --oversampled --out docs/results/receiver_speed.json
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.fft
from _harness import arguments, interleaved, ratios, report, table

from lora_phy import LoRaParams, receive, transmit
from lora_phy.resampling import change_rate

FRAMES = {16: 200, 64: 80, 255: 30}
"""Frames in a stream, by their bytes."""
SAMPLES_PER_CHIP = (1, 2, 4, 8, 19.2)


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


def measure(case: str, iq: np.ndarray, params: LoRaParams, rate_hz: float, settings: Any) -> dict[str, Any]:
    """Speed of one stream, beside the bare FFT."""
    found = receive(iq, params, sample_rate_hz=rate_hz)
    whole = iq[: iq.size // params.num_bins * params.num_bins].reshape(-1, params.num_bins)
    times = interleaved(
        {
            "receive": lambda: receive(iq, params, sample_rate_hz=rate_hz),
            "bare FFT": lambda: scipy.fft.fft(whole, axis=-1, workers=1),
        },
        rounds=settings.rounds,
        clock=settings.clock,
    )
    speed = iq.size / min(times["receive"]) / 1e6
    return {
        "case": case,
        "samples": iq.size,
        "found": sum(frame.status == "ok" for frame in found),
        "msamples_per_s": round(speed, 2),
        "mchips_per_s": round(speed * params.bandwidth_hz / rate_hz, 2),
        **ratios(times, "receive"),
    }


def white(size: int) -> np.ndarray:
    """Noise, complex64."""
    return np.random.default_rng(0).standard_normal(2 * size, dtype=np.float32).view(np.complex64)


def cases(sf: int, settings: Any) -> list[tuple[str, np.ndarray, float, int]]:
    """Name, stream, sample rate and frames sent of what is measured at a spreading factor."""
    params = LoRaParams(sf=sf, cr=settings.cr)
    rate_hz = params.bandwidth_hz
    out = []
    for payload_len, frames in FRAMES.items():
        iq, payloads = stream(params, payload_len, frames, settings.gap_symbols, settings.snr_db)
        out.append((f"receiver sf{sf} {payload_len} bytes", iq, rate_hz, len(payloads)))
    out.append((f"receiver sf{sf} noise", white(1 << 21), rate_hz, 0))
    for samples_per_chip in SAMPLES_PER_CHIP if settings.oversampled else ():
        rate_hz = samples_per_chip * params.bandwidth_hz
        sent = replace(params, oversampling=int(samples_per_chip) if samples_per_chip % 1 == 0 else 8)
        iq, payloads = stream(sent, 64, 20, settings.gap_symbols, settings.snr_db)
        iq = change_rate(iq, sent.sample_rate_hz, rate_hz)
        name = f"receiver sf{sf} {samples_per_chip} samples a chip"
        out += [(f"{name}, 64 bytes", iq, rate_hz, len(payloads)), (f"{name}, noise", white(iq.size), rate_hz, 0)]
    return out


def main() -> None:
    settings = arguments(
        __doc__ or "",
        cr={"type": int, "default": 4},
        snr_db={"type": float, "default": 0.0},
        gap_symbols={"type": int, "default": 4},
        oversampled={"action": "store_true", "help": "also 2, 4 and 8 samples a chip, and 2.4 MS/s"},
        sf={"type": int, "nargs": "*", "default": [7], "help": "spreading factors"},
    )
    results = []
    for sf in settings.sf:
        for case, iq, rate_hz, sent in cases(sf, settings):
            params = LoRaParams(sf=sf, cr=settings.cr)
            results.append({**measure(case, iq, params, rate_hz, settings), "sent": sent})
    rows = [
        [r["case"], r["sent"], r["found"], r["msamples_per_s"], r["mchips_per_s"], r["ratio"]["bare FFT"]]
        for r in results
    ]
    report("receiver", settings, results, table(["case", "sent", "ok", "MS/s", "Mchips/s", "x bare FFT"], rows))


if __name__ == "__main__":
    main()
