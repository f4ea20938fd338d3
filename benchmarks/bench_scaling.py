"""How the engine scales: nanoseconds a sample over spreading factors, batch sizes and threads.

A small batch pays for its call, a large one must cost the same a sample however large it is: the working set never
leaves the cache, and memory is flat in the number of symbols. Wall clock; the machine's load is printed.
"""

from __future__ import annotations

import resource
from typing import Any

import numpy as np
from _harness import arguments, interleaved, ratios, report, table

from lora_phy import LoRaParams, demodulate, modulate, symbol_errors

LINK_SYMBOLS = (1 << 10, 1 << 14, 1 << 18, 1 << 22)
DEMODULATED_SAMPLES = (1 << 12, 1 << 16, 1 << 20, 1 << 24)


def main() -> None:
    settings = arguments(__doc__ or "", threads={"type": int, "default": 2, "help": "most threads"})
    results: list[dict[str, Any]] = []
    rows: list[list[Any]] = []
    for sf in settings.sf:
        params, snr_db = LoRaParams(sf=sf), -9.0 - 2.75 * (sf - 7)
        cells: list[float] = []
        for symbols in LINK_SYMBOLS:
            count = max(1, symbols >> max(sf - 7, 0))  # as many samples at every spreading factor
            calls = {
                str(threads): lambda p=params, s=snr_db, c=count, t=threads: symbol_errors(p, s, c, seed=1, threads=t)
                for threads in (1, settings.threads)
            }
            times = interleaved(calls, rounds=max(3, settings.rounds // 3), clock="wall")
            found = ratios(times, str(settings.threads))
            for threads, seconds in times.items():
                ns = float(np.median(seconds)) / (count << sf) * 1e9
                results.append({"case": f"link sf{sf} {count} symbols {threads} threads", "ns_per_sample": ns})
                if threads != "1" and count << sf >= 1 << 24:  # below, threads have nothing to share
                    results[-1] |= {kind: {"one thread": values["1"]} for kind, values in found.items()}
                cells.append(ns)
        for samples in DEMODULATED_SAMPLES:
            rng = np.random.default_rng(1)
            iq = modulate(rng.integers(0, 1 << sf, max(1, samples >> sf)), params)
            times = interleaved({"one": lambda p=params, x=iq: demodulate(x, p)}, rounds=settings.rounds // 3 or 1)
            ns = float(np.median(times["one"])) / iq.size * 1e9
            results.append({"case": f"demodulate sf{sf} {iq.size} samples", "ns_per_sample": ns})
            cells.append(ns)
        rows.append([sf, *cells])
    links = [f"{n << 7:.0e} samples, {t} thr" for n in LINK_SYMBOLS for t in (1, settings.threads)]
    headings = ["SF", *(f"link {name}" for name in links), *(f"demodulate {n:.0e}" for n in DEMODULATED_SAMPLES)]
    report("scaling (ns a sample)", settings, results, table(headings, rows))
    print(f"largest memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
