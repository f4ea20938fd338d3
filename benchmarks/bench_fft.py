"""Bare FFT per spreading factor, and complex Gaussians: million samples a second, and ratios.

The transform of the kernels works on groups of eight symbols in lane layout; the others on rows. Working set 2**15
samples by default (second-level cache).
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from _harness import arguments, interleaved, pyfftw_plan, ratios, report, table

from lora_phy.kernels.lanes import aligned_empty
from lora_phy.kernels.randomness import fill_gaussians, new_state
from lora_phy.kernels.select import pipeline
from lora_phy.kernels.tables import buffers, tables


def main() -> None:
    settings = arguments(__doc__ or "", samples={"type": int, "default": 1 << 15})
    results, rows = [], []
    for sf in settings.sf:
        n = 1 << sf
        groups = max(1, settings.samples // (8 * n))
        count = 8 * groups
        rng = np.random.default_rng(1)
        x = (rng.standard_normal((count, n)) + 1j * rng.standard_normal((count, n))).astype(np.complex64)
        lanes, out = aligned_empty(2 * count * n), aligned_empty(2 * count * n)
        view = lanes.reshape(groups, n, 2, 8)
        view[:, :, 0], view[:, :, 1] = (part.reshape(groups, 8, n).transpose(0, 2, 1) for part in (x.real, x.imag))
        fft, constants, space = pipeline("fft", sf), tables(sf), buffers(sf)
        contestants = {
            "lanes": lambda fft=fft, a=lanes, t=constants, b=space, o=out: fft(a, t, b, o),
            "scipy": lambda x=x: scipy.fft.fft(x, axis=-1, workers=1),
            "numpy": lambda x=x: np.fft.fft(x, axis=-1),
        }
        if (plan := pyfftw_plan(count, n)) is not None:
            plan.input_array[:] = x
            contestants["pyfftw"] = plan.execute
        times = interleaved(contestants, rounds=settings.rounds, clock=settings.clock)
        rate = {name: count * n / float(np.median(t)) / 1e6 for name, t in times.items()}
        found = ratios(times, "lanes")
        results.append({"case": f"fft sf{sf}", "samples": count * n, "msamples_per_s": rate, **found})
        rows.append([sf, rate["lanes"], rate.get("pyfftw"), rate["scipy"], rate["numpy"]])
        rows[-1] += [found["ratio"].get(name) for name in ("pyfftw", "scipy", "numpy")]
    text = table(["SF", "lanes", "pyFFTW MEASURE", "scipy", "numpy", "x pyFFTW", "x scipy", "x numpy"], rows)

    state, block = new_state(1), aligned_empty(1 << 14)
    numpy_rng, sfc = np.random.default_rng(1), np.random.Generator(np.random.SFC64(1))
    buffer = np.empty(1 << 14, np.float32)
    times = interleaved(
        {
            "lanes": lambda: fill_gaussians(state, 1.0, block),
            "numpy PCG64": lambda: numpy_rng.standard_normal(dtype=np.float32, out=buffer),
            "numpy SFC64": lambda: sfc.standard_normal(dtype=np.float32, out=buffer),
        },
        rounds=settings.rounds,
        clock=settings.clock,
    )
    ns = {name: float(np.median(t)) / (1 << 13) * 1e9 for name, t in times.items()}
    found = ratios(times, "lanes")
    results.append({"case": "gaussians", "ns_per_complex": ns, **found})
    rows = [[name, ns[name], found["ratio"].get(name, 1.0)] for name in ns]
    text += "\n\n" + table(["complex Gaussians", "ns each", "x"], rows)
    report("fft", settings, results, text)


if __name__ == "__main__":
    main()
