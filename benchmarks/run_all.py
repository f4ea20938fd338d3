"""Every benchmark of speed, one after the other, about ten minutes on an idle machine; one JSON file each.

    python benchmarks/run_all.py                       # into docs/results
    python benchmarks/run_all.py --out NEW             # elsewhere, to compare:
    python benchmarks/compare.py docs/results NEW
    python benchmarks/run_all.py --only fft receiver

Each runs in a process of its own. Those that need a downloaded model (`bench_methods.py`, `bench_tree_scoring.py`) are
left out. One that fails is named at the end, the others run all the same.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNS = {  # name: (file that is written, script and its arguments)
    "fft": ("bench_fft.json", "bench_fft.py"),
    "link": ("bench_fused_link.json", "bench_fused_link.py"),
    "modem": ("bench_modem.json", "bench_modem.py --sf 7 9 12"),
    "channel": ("bench_channel.json", "bench_channel.py --sf 7 10"),
    "scaling": ("bench_scaling.json", "bench_scaling.py --sf 7 12"),
    "receiver": ("receiver_speed.json", "bench_receiver.py --oversampled --rounds 7"),
    "gateway": ("bench_gateway.json", "bench_gateway.py --rounds 5"),
    "texts": ("transport_speed.json", "bench_transport.py --sf 7 9 12 --rounds 5"),
    "collect": ("bench_collect.json", "bench_collect.py"),
    "start": ("bench_start.json", "bench_start.py --sf 7"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "results", help="folder (docs/results)")
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    settings = parser.parse_args()
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"note: the machine is busy (load {busy:.1f}); ratios stand, speeds and threads do not", flush=True)
    if importlib.util.find_spec("pyfftw") is None:
        print("note: pyFFTW is absent (pip install pyfftw): its columns stay empty", flush=True)
    failed = []
    for name in settings.only:
        file, words = RUNS[name]
        script, *arguments = words.split()
        print(f"\n== {name}: {words}", flush=True)
        start = time.monotonic()
        command = [sys.executable, str(HERE / script), *arguments, "--out", str(settings.out / file)]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
        print(f"== {name}: {time.monotonic() - start:.0f} s", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
