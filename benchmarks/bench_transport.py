"""Texts over the link: CPU microseconds a frame of `send_items`, whole: from text to received text with its damage.

    python benchmarks/bench_transport.py                                   # this checkout alone
    python benchmarks/bench_transport.py --old PATH --out docs/results/transport_speed.json

The texts are those of MiniBugs, in fragments of 48 bytes, noise near the threshold. With ``--old`` (a checkout of an
earlier commit that has its own .venv) both run in processes of their own which take turns, case by case and round by
round; the ratio is the median over rounds. The share of lost frames stands beside: speed with other losses is no speed.
The other ratio is against a bare FFT (scipy) of as many samples as a frame has on air.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from _harness import arguments, ratios, report, table

SNR_DB = {7: -9.0, 8: -11.8, 9: -14.7, 10: -17.4, 11: -20.6, 12: -23.5}
"""Near the threshold of a frame of 52 bytes at 4/5."""
CODE_GAIN_DB = {1: 0.0, 2: 0.0, 3: 1.1, 4: 1.1}
POLICIES = ("drop", "deliver", "erasure", "random-bytes", "bursts", "drops")

CHILD = """
import dataclasses, json, sys, time
import numpy, scipy.fft
from lora_phy import LoRaParams, airtime_s
from llm_bridge.corpora import minibugs
from llm_bridge.transport.link import Item, RadioSettings, send_items
items = [Item(corpus="minibugs", program=pair.name, version=version, text=getattr(pair, version))
         for pair in minibugs.load() for version in ("buggy", "correct")]
known = {field.name for field in dataclasses.fields(RadioSettings)}
warm = set()
for line in sys.stdin:
    case = json.loads(line)
    share = items[: case.pop("items")]
    radio = RadioSettings(**{name: value for name, value in case.items() if name in known})
    if line not in warm:
        send_items(share, radio)
        warm.add(line)
    params = LoRaParams(sf=radio.sf, cr=radio.cr)
    rows = int(airtime_s(52, params) / params.symbol_duration_s)
    symbols = numpy.ones((rows, params.num_bins), numpy.complex64)
    best = bare = None
    for _ in range(3):
        start = time.process_time()
        received = send_items(share, radio)
        took = time.process_time() - start
        best = took if best is None else min(best, took)
        start = time.process_time()
        for _ in range(10):
            scipy.fft.fft(symbols, axis=-1, workers=1)
        took = (time.process_time() - start) / 10
        bare = took if bare is None else min(bare, took)
    frames = sum(each.damage.fragments_sent for each in received)
    lost = sum(each.damage.fragments_lost for each in received)
    print(json.dumps([best / frames * 1e6, frames, lost, bare * 1e6]), flush=True)
"""


def cases(sfs: list[int]) -> list[dict[str, Any]]:
    """What is sent, as keywords of `RadioSettings`."""
    common = [{"sf": sf, "cr": cr, "snr_db": SNR_DB[sf] - CODE_GAIN_DB[cr]} for sf in sfs for cr in (1, 4)]
    out = [{**each, "engine": engine} for each in common for engine in (None, "waveform")]
    out += [{**each, "engine": None, "decoding": "soft"} for each in common if each["sf"] in (7, 12)]
    first = sfs[0]
    out += [{"sf": first, "cr": cr, "snr_db": SNR_DB[first] - CODE_GAIN_DB[cr], "engine": None} for cr in (2, 3)]
    out += [{**common[0], "engine": None, "policy": policy} for policy in POLICIES[1:]]
    out += [{**common[0], "engine": None, "fading": "rayleigh"}]
    return out


def child(checkout: Path, python: Path) -> subprocess.Popen[str]:
    """A process in which a checkout sends what it is told to."""
    return subprocess.Popen(
        [str(python), "-c", CHILD], cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def ask(process: subprocess.Popen[str], case: dict[str, Any]) -> list[float]:
    """CPU microseconds a frame, frames, frames lost, and microseconds of the bare FFT of a frame."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(case) + "\n")
    process.stdin.flush()
    answer: list[float] = json.loads(process.stdout.readline())
    return answer


def main() -> None:
    settings = arguments(__doc__ or "", old={"type": Path, "help": "checkout of an earlier commit, with its own .venv"})
    here = Path(__file__).resolve().parent.parent
    contestants = {"new": child(here, Path(sys.executable))}
    if settings.old is not None:
        contestants["old"] = child(settings.old, settings.old / ".venv" / "bin" / "python")
    results = []
    for case in cases([sf for sf in settings.sf if sf in SNR_DB]):
        times: dict[str, list[float]] = {name: [] for name in (*contestants, "bare FFT")}
        lost: dict[str, float] = {}
        for turn in range(settings.rounds):
            for name, process in contestants.items():
                if name == "old" and turn >= max(1, settings.rounds // 3):
                    continue  # a hundred times slower: fewer rounds of fewer texts
                items = 200 if name == "new" else 24 if case["sf"] < 10 else 6
                took, frames, gone, bare = ask(process, {**case, "items": items})
                times[name].append(took)
                lost[name] = gone / frames
                if name == "new":
                    times["bare FFT"].append(bare)
        words = " ".join(str(value) for name, value in case.items() if name not in ("sf", "snr_db", "cr") and value)
        row: dict[str, Any] = {"case": f"texts sf{case['sf']} 4/{4 + case['cr']} {words or 'fastest'}", **case}
        row |= {"us_per_frame": min(times["new"]), "lost": lost["new"]}
        row |= ratios({name: times[name] for name in ("new", "bare FFT")}, "new")
        if "old" in contestants:
            row["old_us_per_frame"], row["old_lost"] = min(times["old"]), lost["old"]
            few = {name: times[name][: len(times["old"])] for name in ("new", "old")}
            for kind, values in ratios(few, "new").items():
                row[kind] |= values
        results.append(row)
        print(row, file=sys.stderr, flush=True)
    for process in contestants.values():
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    names = ["case", "us_per_frame", "lost", "old_us_per_frame"]
    rows = [[*map(row.get, names), row["ratio"]["bare FFT"], row["ratio"].get("old")] for row in results]
    report("transport", settings, results, table([*names, "x bare FFT", "x old"], rows))


if __name__ == "__main__":
    main()
