"""Start: importing the library, the first call with an empty cache (compilation) and with a full one.

Each measurement is a fresh process. The cache lies in a temporary folder, so that the user's own is left alone. What
takes turns with a full cache is an import of the libraries below: numpy, scipy's filters, and numba.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from _harness import arguments, ratios, report, table

IMPORT = "import lora_phy"
LINK = "from lora_phy import LoRaParams, symbol_errors; symbol_errors(LoRaParams(sf={sf}), -8.0, 100, seed=1)"
MODEM = (
    "import numpy; from lora_phy import LoRaParams, modulate, demodulate; p = LoRaParams(sf={sf});"
    "demodulate(modulate(numpy.arange(30), p), p)"
)
FRAMES = (
    "from lora_phy import LoRaParams, LinkPoint, collect; collect([LinkPoint(LoRaParams(sf={sf}), -8.0, 16,"
    " sync='perfect')], max_frames=200, max_errors=None, seed=1)"
)
RECEIVE = (
    "import numpy; from lora_phy import LoRaParams, receive, transmit; p = LoRaParams(sf={sf}); s = numpy.zeros(999);"
    "assert receive(numpy.concatenate([s, transmit(b'the first frame', p), s]).astype('c8'), p)[0].crc_ok"
)
LIBRARIES = "import numpy, scipy.signal, scipy.special, numba"
ALL = "\n".join((RECEIVE, FRAMES, LINK))


def run(code: str, cache: str, clock: str) -> float:
    """Seconds of a fresh interpreter that runs `code`, of its processors or of the wall."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    wall, cpu = time.perf_counter(), sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, stderr=subprocess.DEVNULL)
    cpu = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - cpu
    return cpu if clock == "cpu" else time.perf_counter() - wall


def main() -> None:
    settings = arguments(__doc__ or "")
    empty = run("pass", "", settings.clock)
    rounds = max(3, settings.rounds // 5)
    results, rows = [], []
    sfs = [sf for sf in settings.sf if sf in (7, 9, 12)] or settings.sf[:1]
    for name, code in [("import lora_phy", IMPORT)] + [
        (f"{what} SF{sf}", text.format(sf=sf))
        for sf in sfs
        for what, text in (
            ("symbol_errors", LINK),
            ("modulate + demodulate", MODEM),
            ("collect, soft", FRAMES),
            ("transmit + receive", RECEIVE),
            ("all but the modem", ALL),
        )
    ]:
        with tempfile.TemporaryDirectory() as cache:
            cold = run(code, cache, settings.clock) - empty
            times: dict[str, list[float]] = {"ours": [], "libraries": []}
            for _ in range(rounds):
                times["ours"].append(run(code, cache, settings.clock))
                times["libraries"].append(run(LIBRARIES, cache, settings.clock))
        # ratios of whole processes: what an import adds to an interpreter may be nothing
        warm, found = statistics.median(times["ours"]) - empty, ratios(times, "ours")
        results.append({"case": f"start {name}", "cold_s": cold, "cached_s": warm, **found})
        rows.append([name, cold, warm, found["ratio"]["libraries"]])
    headings = ["first call", "cold cache, s", "from cache, s", "x import of libraries"]
    report("start", settings, results, table(headings, rows))


if __name__ == "__main__":
    main()
