"""Modulating and demodulating ordinary IQ against numpy and scipy; frames a second of the whole chain; the peer.

`--peer PYTHON` names an interpreter that has the published `lora-phy` 0.3.0 (its import name is ours too, so it lives
in an environment of its own); its transmitter and receiver then run in a process of their own. Without it the column
is left out with a word.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
from _harness import arguments, interleaved, ratios, report, table

from lora_phy import ChannelParams, apply_channel, receive, transmit
from lora_phy.kernels.modem import bit_metrics_batch, demodulate_batch, modulate_batch
from lora_phy.kernels.tables import base_chirp
from lora_phy.monte_carlo.collect import collect
from lora_phy.monte_carlo.points import LinkPoint
from lora_phy.params import LoRaParams

PEER = """
import json, sys, time
from importlib.metadata import version
import numpy as np
from lora_phy import LoRaReceiver, LoRaTransmitter
def rate(call):
    call()
    start, count = time.process_time(), 0
    while time.process_time() - start < 1.5:
        call()
        count += 1
    return count / (time.process_time() - start)
out = {"version": version("lora-phy")}
rng = np.random.default_rng(1)
payload = rng.integers(0, 256, 16, dtype=np.uint8)
for sf in map(int, sys.argv[1:]):
    tx, tx2 = (LoRaTransmitter(sf, 125e3, 125e3 * k, coding_rate=4, preamble_len=8) for k in (1, 2))
    rx = LoRaReceiver(868e6, sf, 125e3, 250e3, preamble_len=8)
    iq = tx2.modulate(tx2.encode(payload.copy()))
    noise = np.sqrt(10 ** -2.6) * (rng.standard_normal((iq.size, 2)) @ [1, 1j])  # 26 dB in the bandwidth
    iq = np.concatenate([np.zeros(2000), iq + noise, np.zeros(2000)])
    def receive():
        return [rx.decode(symbols) for symbols in rx.demodulate(iq)[0]]
    good = any(bytes(np.asarray(data)[:16]) == payload.tobytes() for data, _ in receive())
    out[f"sf{sf}"] = {"tx": rate(lambda: tx.modulate(tx.encode(payload.copy()))), "rx": rate(receive), "rx_good": good}
print(json.dumps(out))
"""


def peer_table(python: str, spreading_factors: list[int]) -> tuple[list[dict[str, Any]], str]:
    """Frames per CPU-second of the published `lora-phy` in its own environment, and of ours for the same frames."""
    command = [python, "-P", "-c", PEER, *map(str, spreading_factors)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tempfile.gettempdir())
    if done.returncode:
        return [], f"the peer does not run there: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
    peer = json.loads(done.stdout)
    results, rows = [], []
    for sf in spreading_factors:
        one, two = (LoRaParams(sf=sf, cr=4, oversampling=k) for k in (1, 2))
        rng = np.random.default_rng(1)
        payload = rng.bytes(16)
        padded = np.concatenate([np.zeros(2000), transmit(payload, two), np.zeros(2000)])
        iq = apply_channel(padded, ChannelParams(snr_db=26.0), two, rng=rng)
        ours = {
            "tx": per_second(lambda p=payload, q=one: transmit(p, q)),
            "rx": per_second(lambda i=iq, q=two: receive(i, q)),
        }
        good = [frame.payload for frame in receive(iq, two)] == [payload]
        theirs = peer[f"sf{sf}"]
        ratios = {name: ours[name] / theirs[name] for name in ours}
        results.append({"case": f"peer sf{sf}", "ours": ours, "peer": theirs, "ratio": ratios, "good": good})
        rows.append(
            [sf, ours["tx"], theirs["tx"], ratios["tx"], ours["rx"], theirs["rx"], ratios["rx"], theirs["rx_good"]]
        )
    headings = ["SF", "transmit/s", "lora-phy", "x", "receive/s (oversampling 2)", "lora-phy", "x", "lora-phy right"]
    return results, f"16-byte frames, 4/8, per CPU-second; lora-phy {peer['version']}\n\n" + table(headings, rows)


def per_second(call: Callable[[], Any]) -> float:
    """Calls per second of processor time."""
    call()
    start, count = time.process_time(), 0
    while time.process_time() - start < 1.5:
        call()
        count += 1
    return count / (time.process_time() - start)


def main() -> None:
    settings = arguments(
        __doc__ or "", samples={"type": int, "default": 1 << 17}, frames={"type": int, "default": 20_000}, peer={}
    )
    results, rows = [], []
    for sf in settings.sf:
        n = 1 << sf
        count = max(8, settings.samples // n)
        rng = np.random.default_rng(1)
        symbols = rng.integers(0, n, count)
        iq = modulate_batch(symbols, sf)
        iq = (iq + rng.standard_normal((iq.size, 2)).astype(np.float32) @ np.array([1, 1j], np.complex64)).astype("c8")
        down = base_chirp(sf).conj().astype(np.complex64)

        def by_scipy(iq=iq, down=down, n=n):
            spectrum = scipy.fft.fft(iq.reshape(-1, n) * down, axis=-1, workers=1, overwrite_x=True)
            return np.argmax(spectrum.real**2 + spectrum.imag**2, axis=-1)

        def by_numpy(symbols=symbols, sf=sf, n=n):
            doubled = np.tile(base_chirp(sf), 2).astype(np.complex64)
            shifts = np.lib.stride_tricks.sliding_window_view(doubled, n)
            return shifts[symbols]

        times = interleaved(
            {
                "demodulate": lambda iq=iq, sf=sf: demodulate_batch(iq, sf),
                "demodulate scipy": by_scipy,
                "bit metrics": lambda iq=iq, sf=sf: bit_metrics_batch(iq, sf),
                "modulate": lambda s=symbols, sf=sf: modulate_batch(s, sf),
                "modulate numpy table": by_numpy,
            },
            rounds=settings.rounds,
            clock=settings.clock,
        )
        ns = {name: float(np.median(t)) / (count * n) * 1e9 for name, t in times.items()}
        against = {
            "demodulate": ratios({name: times[name] for name in ("demodulate", "demodulate scipy")}, "demodulate"),
            "modulate": ratios({name: times[name] for name in ("modulate", "modulate numpy table")}, "modulate"),
        }
        found = {kind: against["demodulate"][kind] | against["modulate"][kind] for kind in ("ratio", "spread")}
        results.append({"case": f"modem sf{sf}", "ns_per_sample": ns, **found})
        rows.append([sf, ns["demodulate"], found["ratio"]["demodulate scipy"], ns["bit metrics"], ns["modulate"]])
        rows[-1].append(found["ratio"]["modulate numpy table"])
    headings = ["SF", "demodulate ns/sample", "x scipy", "bit metrics ns/sample", "modulate ns/sample", "x numpy table"]
    text = table(headings, rows)

    rows = []
    for engine, decoding in (("waveform", "hard"), ("waveform", "soft"), ("bins", "hard"), ("bins", "soft")):
        point = LinkPoint(LoRaParams(sf=7, cr=4), -10.0, 16, sync="perfect", decoding=decoding)
        collect([point], max_frames=200, max_errors=None, seed=1, engine=engine)
        start, cpu = time.perf_counter(), time.process_time()
        collect([point], max_frames=settings.frames, max_errors=None, seed=2, engine=engine)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        us = cpu / settings.frames * 1e6
        results.append({"case": f"frames {engine} {decoding}", "us_cpu_per_frame": us, "wall_s": wall})
        rows.append([engine, decoding, us, 1e6 / us, us])
    headings = ["engine", "decoding", "CPU us/frame", "frames per CPU-second", "CPU s for 10^6 frames"]
    text += "\n\n16-byte frames, SF7, 4/8, one thread\n\n" + table(headings, rows)

    if settings.peer is None:
        text += "\n\nno --peer given: lora-phy 0.3.0 left out"
    else:
        found, words = peer_table(settings.peer, [sf for sf in settings.sf if sf >= 7])  # it knows no smaller one
        results += found
        text += f"\n\n{words}"
    report("modem", settings, results, text)


if __name__ == "__main__":
    main()
