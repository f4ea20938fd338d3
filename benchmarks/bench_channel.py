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
from _harness import arguments, interleaved, ratio, report, table

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
            results.append(
                {
                    "sf": sf,
                    "channel": name,
                    "seconds": statistics.median(times[name]),
                    "symbols_per_s": symbols.size / statistics.median(times[name]),
                    "times_awgn_link": ratio(times, name, "awgn"),
                }
            )
    return results


def main() -> None:
    settings = arguments(
        __doc__ or "",
        rows={"type": int, "default": 64, "help": "frames in a batch"},
        symbols={"type": int, "default": 64, "help": "symbols in a frame"},
    )
    results = run(settings)
    rows = [[r["sf"], r["channel"], 1e3 * r["seconds"], r["symbols_per_s"], r["times_awgn_link"]] for r in results]
    report("bench_channel", settings, results, table(["SF", "channel", "ms", "symbols/s", "× AWGN link"], rows))
    for r in results:
        if r["sf"] == 7 and r["channel"] == "all":
            verdict = "within" if r["times_awgn_link"] <= BAR else "ABOVE"
            print(f"SF7: {r['times_awgn_link']:.2f} times the AWGN-only link, {verdict} the bar of {BAR:g}")


if __name__ == "__main__":
    main()
