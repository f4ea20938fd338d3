"""What a channel costs: the uncoded link through AWGN, CFO, a fractional delay and Rayleigh fading against AWGN alone.

    python benchmarks/bench_channel.py --sf 7 --out docs/results/bench_channel.json

link = modulate ─ apply_channel ─ demodulate of 64 rows of 64 symbols, at one sample per chip; bar: three times the
AWGN-only link at SF7. Beside it each impairment alone with AWGN, and time-varying fading, to which the bar does not
apply: a sum of sinusoids is drawn anew for every row.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from _harness import arguments, interleaved, ratios, report, table

from lora_phy import ChannelParams, LoRaParams, apply_channel, demodulate, modulate

CHANNELS = {
    "awgn": ChannelParams(snr_db=-6.0),
    "awgn + cfo": ChannelParams(snr_db=-6.0, cfo_hz=123.4),
    "awgn + sto": ChannelParams(snr_db=-6.0, sto_samples=0.37),
    "awgn + rayleigh": ChannelParams(snr_db=-6.0, fading="rayleigh"),
    "all": ChannelParams(snr_db=-6.0, cfo_hz=123.4, sto_samples=0.37, fading="rayleigh"),
    "all, 10 Hz Doppler": ChannelParams(snr_db=-6.0, cfo_hz=123.4, sto_samples=0.37, fading="rayleigh", doppler_hz=10),
}
BAR = 3.0


def run(settings: argparse.Namespace) -> list[dict[str, Any]]:
    results = []
    for sf in settings.sf:
        params = LoRaParams(sf=sf)
        symbols = np.random.default_rng(1).integers(0, params.num_bins, (settings.rows, settings.symbols))

        def link(channel: ChannelParams, params: LoRaParams = params, symbols: np.ndarray = symbols) -> Callable:
            rng = np.random.default_rng(2)
            return lambda: demodulate(apply_channel(modulate(symbols, params), channel, params, rng=rng), params)

        times = interleaved(
            {name: link(channel) for name, channel in CHANNELS.items()}, rounds=settings.rounds, clock=settings.clock
        )
        for name in CHANNELS:
            found = ratios({"AWGN-only link": times["awgn"], name: times[name]}, name)
            seconds = statistics.median(times[name])
            results.append({"case": f"channel sf{sf} {name}", "seconds": seconds, **found})
            results[-1]["symbols_per_s"] = symbols.size / seconds
    return results


def main() -> None:
    settings = arguments(
        __doc__ or "",
        rows={"type": int, "default": 64, "help": "frames in a batch"},
        symbols={"type": int, "default": 64, "help": "symbols in a frame"},
    )
    results = run(settings)
    rows = [
        [r["case"], 1e3 * r["seconds"], r["symbols_per_s"], 1 / r["ratio"].get("AWGN-only link", 1.0)] for r in results
    ]
    report("channel", settings, results, table(["case", "ms", "symbols/s", "× AWGN link"], rows))
    for name, *_, cost in rows:
        if name == "channel sf7 all":
            verdict = "within" if cost <= BAR else "ABOVE"
            print(f"SF7: {cost:.2f} times the AWGN-only link, {verdict} the bar of {BAR:g}")


if __name__ == "__main__":
    main()
