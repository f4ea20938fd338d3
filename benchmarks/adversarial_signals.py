"""The slowest signals for the receiver, searched: CPU time of `receive` on crafted inputs over that on noise.

Preambles, whole frames and bare chirps are laid over each other at a period that is no whole number of symbols, with
random carrier offsets, powers and gaps: each looks like the beginning of a frame, and each is followed. The search
draws recipes at random, then changes the worst ones a little. A ratio is CPU seconds over those of as much noise, in
turns; whatever is among the twenty slowest is measured five times, the median counts. Valid frames that an input
carries are counted beside: they are read whatever they cost.

    python benchmarks/adversarial_signals.py --inputs 1000 --json docs/results/adversarial_signals.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from _harness import machine, made

from lora_phy import LoRaParams, receive, transmit

NUM_SYMBOLS = 1500
KEPT = 20
KINDS = ("preamble", "frame", "upchirp", "downchirp")


@dataclass(frozen=True)
class Recipe:
    """What an input is made of.

    Attributes
    ----------
    sf, kind
        Spreading factor, and which piece of signal is repeated.
    period
        Symbols between the beginnings of two pieces.
    length
        Symbols of a piece that are used.
    cfo_bins, snr_db
        Range of the pieces' carrier offsets in bins, and their power over the noise.
    seed
        Of offsets and noise.
    """

    sf: int
    kind: str
    period: float
    length: float
    cfo_bins: float
    snr_db: float
    seed: int


def draw(rng: np.random.Generator, seed: int) -> Recipe:
    """A recipe at random."""
    return Recipe(
        sf=int(rng.choice([5, 5, 6, 7, 8])),
        kind=str(rng.choice(KINDS, p=[0.6, 0.2, 0.1, 0.1])),
        period=float(rng.uniform(0.8, 30.0)),
        length=float(rng.uniform(4.0, 14.0)),
        cfo_bins=float(rng.choice([0.0, rng.uniform(0, 8)])),
        snr_db=float(rng.uniform(-5.0, 30.0)),
        seed=seed,
    )


def near(recipe: Recipe, rng: np.random.Generator, seed: int) -> Recipe:
    """The recipe, changed a little."""
    return replace(
        recipe,
        period=max(0.5, recipe.period * float(rng.normal(1, 0.05))),
        length=min(16.0, max(2.0, recipe.length * float(rng.normal(1, 0.1)))),
        cfo_bins=abs(recipe.cfo_bins + float(rng.normal(0, 0.5))),
        snr_db=recipe.snr_db + float(rng.normal(0, 3)),
        seed=seed,
    )


def signal(recipe: Recipe) -> np.ndarray:
    """The input, complex64, of `NUM_SYMBOLS` symbols."""
    params = LoRaParams(sf=recipe.sf)
    n = params.num_bins
    rng = np.random.default_rng(recipe.seed)
    total = NUM_SYMBOLS * n
    iq = (rng.standard_normal(total) + 1j * rng.standard_normal(total)) * np.sqrt(0.5)
    frame = transmit(bytes(range(12)), params)
    chirps = {"preamble": frame, "frame": frame, "upchirp": frame[:n], "downchirp": np.conj(frame[:n])}
    piece = chirps[recipe.kind]
    if recipe.kind != "frame":
        piece = np.resize(piece, max(n, int(recipe.length * n)))
    amplitude = 10 ** (recipe.snr_db / 20)
    start = 0.0
    while start < total - 1:
        first = int(start)
        part = piece[: total - first]
        turn = rng.uniform(-recipe.cfo_bins, recipe.cfo_bins) / n
        iq[first : first + len(part)] += amplitude * part * np.exp(2j * np.pi * turn * np.arange(len(part)))
        start += recipe.period * n
    return iq.astype(np.complex64)


def seconds(iq: np.ndarray, params: LoRaParams) -> float:
    """CPU seconds of one `receive`."""
    start = time.process_time()
    receive(iq, params)
    return time.process_time() - start


def noise(sf: int) -> np.ndarray:
    """Noise as long as an input."""
    rng = np.random.default_rng(sf)
    total = NUM_SYMBOLS << sf
    return ((rng.standard_normal(total) + 1j * rng.standard_normal(total)) * np.sqrt(0.5)).astype(np.complex64)


def times_noise(iq: np.ndarray, silence: np.ndarray, params: LoRaParams, rounds: int) -> float:
    """CPU time over that of noise: the median of rounds in which both take turns, the noise five times a turn."""
    return statistics.median(
        seconds(iq, params) / statistics.median(seconds(silence, params) for _ in range(5)) for _ in range(rounds)
    )


def search(num_inputs: int, seed: int) -> list[tuple[float, int, Recipe]]:
    """Ratio, valid frames and recipe of all inputs, the slowest first: half drawn, half near the worst ones so far."""
    rng = np.random.default_rng(seed)
    silence = {sf: noise(sf) for sf in (5, 6, 7, 8)}
    for sf, iq in silence.items():
        receive(iq, LoRaParams(sf=sf))
    known = Recipe(sf=5, kind="preamble", period=5.25, length=12.25, cfo_bins=0.0, snr_db=20.0, seed=seed)
    found: list[tuple[float, int, Recipe]] = []
    for number in range(num_inputs):
        if number == 0:
            recipe = known
        elif number < num_inputs // 2:
            recipe = draw(rng, number)
        else:
            recipe = near(found[int(rng.integers(min(5, len(found))))][2], rng, number)
        iq, params = signal(recipe), LoRaParams(sf=recipe.sf)
        ratio = times_noise(iq, silence[recipe.sf], params, 1)
        if not found or ratio > found[min(KEPT, len(found)) - 1][0]:
            # a pause of the machine is no slow signal
            ratio = times_noise(iq, silence[recipe.sf], params, 5)
        valid = sum(bool(frame.crc_ok) for frame in receive(iq, params)) if recipe.kind == "frame" else 0
        found.append((ratio, valid, recipe))
        found.sort(key=lambda each: -each[0])
    return found


def main() -> None:
    """Search, print the worst, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = search(options.inputs, options.seed)
    print(f"{options.inputs} inputs of {NUM_SYMBOLS} symbols; CPU time over that of noise: the slowest ten")
    for ratio, valid, recipe in found[:10]:
        print(f"{ratio:8.1f}  {valid} valid frames  {recipe}")
    in_vain = max(ratio for ratio, valid, _ in found if not valid)
    print(f"the slowest without a valid frame: {in_vain:.1f}")
    if options.json:
        rows = [{"ratio": round(ratio, 2), "valid_frames": valid, **asdict(each)} for ratio, valid, each in found]
        record = {**made(), "machine": machine(), "inputs": options.inputs, "slowest_in_vain": round(in_vain, 2)}
        options.json.write_text(json.dumps({**record, "slowest": rows[:KEPT]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
