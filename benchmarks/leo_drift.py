"""Frames from a low satellite, whose Doppler shift moves during each: decoded or lost, by elevation.

The satellite passes overhead at 550 km, without a correction at either end: `LeoPass` moves the carrier, and the clock
is off by the same part of a million. Frames of 20 and 51 bytes, 4/5, at 437 and 868 MHz, centred at each elevation,
by turns while it rises and while it sets; random start, phase and timing, SNR 5 dB above that of PER 10 %. The
receiver promises frames whose carrier moves by at most 5 bins with low-data-rate optimisation, 3 without.

    python benchmarks/leo_drift.py --out docs/results/leo_drift.json
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from _harness import arguments, report, table
from high_snr import threshold_db

from lora_phy import ChannelParams, LoRaParams, airtime_s, apply_channel, receive, transmit
from lora_phy.channel import CarrierDrift, LeoPass
from lora_phy.channel.drift import EARTH_GM, EARTH_RADIUS_M, leo_doppler_hz

ALTITUDE_M = 550e3
CARRIERS_HZ = (437e6, 868e6)
ELEVATIONS_DEG = (10, 30, 50, 60, 70, 80, 90)
PAYLOADS = (20, 51)
FRAMES = {7: 20, 8: 20, 9: 16, 10: 12, 11: 10, 12: 10}
ABOVE_DB = 5.0
LIMIT_BINS = {False: 3.0, True: 5.0}
"""With low-data-rate optimisation and without."""


def time_at(elevation_deg: float) -> float:
    """Seconds from the highest point of a pass overhead to this elevation."""
    elevation = math.radians(elevation_deg)
    radius = EARTH_RADIUS_M + ALTITUDE_M
    central = math.acos(EARTH_RADIUS_M / radius * math.cos(elevation)) - elevation
    return central / math.sqrt(EARTH_GM / radius**3)


def one_frame(
    params: LoRaParams, carrier_hz: float, payload_len: int, middle_s: float, index: int
) -> tuple[bool, float]:
    """Whether it is received, and bins by which its carrier moves."""
    rng = np.random.default_rng([params.sf, int(carrier_hz / 1e6), payload_len, round(1e3 * middle_s) % 2**32, index])
    payload, n = rng.bytes(payload_len), params.num_bins
    lead = int(rng.integers(2 * n, 6 * n))
    length_s = airtime_s(payload_len, params)
    first_s = middle_s - length_s / 2
    leo = LeoPass(altitude_m=ALTITUDE_M, carrier_hz=carrier_hz, start_s=first_s - lead / params.sample_rate_hz)
    shift_hz = leo_doppler_hz(leo, np.array([first_s, first_s + length_s]))
    iq = np.pad(transmit(payload, params) * np.exp(2j * np.pi * rng.random()), (lead, 12 * n)).astype(np.complex64)
    channel = ChannelParams(
        snr_db=threshold_db(params.sf, params.cr) + ABOVE_DB,
        cfo_hz=float(leo_doppler_hz(leo, leo.start_s)),
        sfo_ppm=float(shift_hz.mean() / carrier_hz * 1e6),
        sto_samples=float(rng.uniform(-0.5, 0.5)),
        drift=CarrierDrift(leo_pass=leo),
    )
    found = receive(apply_channel(iq, channel, params, rng=rng), params)
    moved = float((shift_hz[1] - shift_hz[0]) * n / params.bandwidth_hz)
    return any(frame.crc_ok and frame.payload == payload for frame in found), moved


def cell(carrier_hz: float, params: LoRaParams, payload_len: int, elevation_deg: float, frames: int) -> dict[str, Any]:
    """Counts of one elevation."""
    middle_s = time_at(elevation_deg)
    done = [one_frame(params, carrier_hz, payload_len, (-1) ** index * middle_s, index) for index in range(frames)]
    moved = max(abs(bins) for _, bins in done)
    return {
        "case": f"leo sf{params.sf} {carrier_hz / 1e6:g} MHz {payload_len} bytes {elevation_deg} deg",
        "sf": params.sf, "carrier_hz": carrier_hz, "payload_len": payload_len, "elevation_deg": elevation_deg,
        "ldro": params.reduced_rate, "moved_bins": round(moved, 2),
        "within": moved <= LIMIT_BINS[params.reduced_rate],
        "frames": frames, "lost": sum(not right for right, _ in done),
    }  # fmt: skip


def main() -> None:
    settings = arguments(
        __doc__ or "",
        sf={"type": int, "nargs": "*", "default": list(FRAMES), "help": "spreading factors"},
        scale={"type": float, "default": 1.0, "help": "times as many frames"},
    )
    results, rows = [], []
    for carrier_hz in CARRIERS_HZ:
        for sf in settings.sf:
            for payload_len in PAYLOADS:
                frames = max(1, round(settings.scale * FRAMES[sf]))
                params = LoRaParams(sf=sf)
                cells = [cell(carrier_hz, params, payload_len, degrees, frames) for degrees in ELEVATIONS_DEG]
                results += cells
                texts = [f"{c['moved_bins']:.1f}: {c['lost']}{'' if c['within'] else ' (beyond)'}" for c in cells]
                rows.append([f"{carrier_hz / 1e6:g} MHz, SF{sf}, {payload_len} bytes", frames, *texts])
                print(*rows[-1], sep=" | ", flush=True)
    headings = ["bins moved: frames lost", "frames", *(f"{degrees}°" for degrees in ELEVATIONS_DEG)]
    within = [each for each in results if each["within"]]
    text = f"\nwithin the limits: {sum(c['lost'] for c in within)} of {sum(c['frames'] for c in within)} lost"
    report("leo_drift", settings, results, table(headings, rows) + text)


if __name__ == "__main__":
    main()
