"""The fused link against the same link in numpy: random symbol, chirp, AWGN, dechirp, FFT, argmax; one core.

The opponents are cache-blocked (2**15 samples at a time, all arrays made once) and use the fastest of numpy's own ways:
chirps by rows of a table, float32 Gaussians, powers instead of magnitudes, scipy.fft or a planned pyFFTW. "same noise"
replaces their generator by the kernels' own, so that what is left is the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
from _harness import arguments, interleaved, pyfftw_plan, ratios, report, table

from lora_phy.channel import ChannelParams
from lora_phy.kernels.lanes import aligned_empty
from lora_phy.kernels.randomness import fill_gaussians, new_state
from lora_phy.kernels.tables import base_chirp
from lora_phy.monte_carlo.engines import symbol_errors
from lora_phy.monte_carlo.flat_channel import flat_channel
from lora_phy.params import LoRaParams

BLOCK_SAMPLES = 1 << 15


class NumpyLink:
    """The opponent: one block of symbols at a time in buffers that stay in the cache."""

    def __init__(self, sf: int, snr_db: float, *, fftw: bool, own_noise: bool) -> None:
        self.n = 1 << sf
        self.count = max(1, BLOCK_SAMPLES // self.n)
        self.rng = np.random.default_rng(1)
        self.state = new_state(1)
        self.own_noise = own_noise
        self.sigma = np.float32(np.sqrt(0.5 * 10 ** (-snr_db / 10)))
        self.power = 10 ** (-snr_db / 10)
        chirp = base_chirp(sf)
        self.doubled = np.tile(chirp, 2).astype(np.complex64)
        self.shifts = np.lib.stride_tricks.sliding_window_view(self.doubled, self.n)
        m = np.arange(self.n)
        self.phases = np.exp(-1j * np.pi * ((m * (m - self.n)) % (2 * self.n)) / self.n).astype(np.complex64)
        self.down = chirp.conj().astype(np.complex64)
        self.noise = aligned_empty(2 * self.count * self.n)
        self.power_out = np.empty((self.count, self.n), np.float32)
        self.square = np.empty((self.count, self.n), np.float32)
        self.plan = pyfftw_plan(self.count, self.n) if fftw else None
        self.iq = np.empty((self.count, self.n), np.complex64) if self.plan is None else self.plan.input_array

    def block(self) -> int:
        symbols = self.rng.integers(0, self.n, self.count)
        np.multiply(self.shifts[symbols], self.phases[symbols, None], out=self.iq)
        if self.own_noise:
            self.rng.standard_normal(dtype=np.float32, out=self.noise)
            self.noise *= self.sigma
        else:
            fill_gaussians(self.state, self.power, self.noise)
        self.iq += self.noise.view(np.complex64).reshape(self.iq.shape)
        self.iq *= self.down
        if self.plan is not None:
            self.plan.execute()
            spectrum = self.plan.output_array
        else:
            spectrum = scipy.fft.fft(self.iq, axis=-1, workers=1, overwrite_x=True)
        np.multiply(spectrum.real, spectrum.real, out=self.power_out)
        np.multiply(spectrum.imag, spectrum.imag, out=self.square)
        self.power_out += self.square
        return int(np.count_nonzero(self.power_out.argmax(axis=-1) != symbols))


def main() -> None:
    settings = arguments(__doc__ or "", threads={"type": int, "default": 2, "help": "threads of the scaling column"})
    results, rows = [], []
    for sf in settings.sf:
        params, snr_db = LoRaParams(sf=sf), {5: -4, 6: -6.5, 7: -9, 8: -11.5, 9: -14, 10: -17, 11: -20, 12: -22.5}[sf]
        assert flat_channel(params, ChannelParams(snr_db=snr_db)) is not None
        count = (1 << 23) >> sf  # one chunk of the engine
        contestants: dict[str, Callable[[], Any]] = {
            "fused": lambda p=params, s=snr_db, c=count: symbol_errors(p, s, c, seed=1)
        }
        samples = {"fused": count << sf}
        for name, fftw, own in (
            ("numpy+scipy", False, True),
            ("numpy+pyfftw", True, True),
            ("numpy+scipy, same noise", False, False),
            ("numpy+pyfftw, same noise", True, False),
        ):
            if fftw and pyfftw_plan(1, 8) is None:
                continue
            link = NumpyLink(sf, snr_db, fftw=fftw, own_noise=own)
            contestants[name], samples[name] = link.block, link.count << sf
        times = interleaved(contestants, rounds=settings.rounds, clock=settings.clock)
        per_sample = {name: [t / samples[name] for t in ts] for name, ts in times.items()}
        ns = {name: float(np.median(ts)) * 1e9 for name, ts in per_sample.items()}
        found = ratios(per_sample, "fused")
        threads = settings.threads
        scaling = interleaved(
            {
                "one": lambda p=params, s=snr_db, c=4 * count: symbol_errors(p, s, c, seed=1),
                "many": lambda p=params, s=snr_db, c=4 * count, t=threads: symbol_errors(p, s, c, seed=1, threads=t),
            },
            rounds=max(3, settings.rounds // 3),
            clock="wall",
        )
        scaled = ratios(scaling, "many")
        for kind in found:
            found[kind][f"one thread of {threads}"] = scaled[kind]["one"]
        results.append({"case": f"link sf{sf}", "ns_per_sample": ns, **found})
        rows.append([sf, ns["fused"], 1e9 / ns["fused"] / 2**sf, *[found["ratio"].get(k) for k in _COLUMNS]])
        rows[-1].append(scaled["ratio"]["one"])
    headings = ["SF", "ns/sample", "symbols/s", *[f"x {k}" for k in _COLUMNS], f"{settings.threads} threads (wall)"]
    report("fused_link", settings, results, table(headings, rows))


_COLUMNS = ("numpy+scipy", "numpy+pyfftw", "numpy+scipy, same noise", "numpy+pyfftw, same noise")

if __name__ == "__main__":
    main()
