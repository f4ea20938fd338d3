"""Advice on the spreading factor, by distance and time on air.

    frames lost     p = PER(SF, SNR(distance) - shadowing), averaged over Rayleigh fading where the study has it
    copies          k = airtime that the duty cycle allows for a program / airtime that one copy needs at this SF
    not got through p^floor(k), or p^(floor(k) + 1) for the part of the texts that the rest of the time still repeats
    F1              read off the study's own points, F1 against the share of bytes lost; k < 1: the rest is a miss
    shadowing       one draw for each text, averaged over last: repeating does not help a text sent from a bad place

This is an interpolation, not a measurement: the frame loss is theory (hard decoding, perfect synchronisation), frames
and copies are lost independently, given the place, and F1 is taken to depend on the share lost alone, that is, to be
independent of SF given the error rate. A plan says how far off it is on the links of the airtime axis that the study
did run, and how many texts arrived whole beside how many would if frames were lost independently.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from llm_bridge.arrays import FloatArray
from llm_bridge.report.curves import curve_order, is_control
from llm_bridge.report.pairing import compare_points
from llm_bridge.report.results import Curve, Point, Study
from llm_bridge.scoring.rules import is_rule
from llm_bridge.transport.packets import HEADER_LEN

DUTY_CYCLES = (0.001, 0.01, 0.1)
PERIOD_S = 600.0
"""A program every ten minutes."""
TIE = 0.01
"""Of spreading factors that close in F1 the smallest one is advised: it takes the least time."""
SHADOWS = np.array([NormalDist().inv_cdf((k + 0.5) / 21) for k in range(21)])
"""Quantiles of the standard normal distribution, equally likely."""
DEFAULT_RADIO: dict[str, Any] = {
    "tx_power_dbm": 14.0,
    "path_loss_exponent": 3.5,
    "noise_figure_db": 6.0,
    "shadowing_db": 0.0,
    "region": "EU868",
    "bandwidth_hz": 125e3,
    "fragment": "48",
    "period_s": 0.0,
}
DISTANCES_KM = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The best spreading factor at one distance and duty cycle; 0 where none gets F1 above 0.01."""

    distance_km: float
    duty_cycle: float
    sf: int
    f1: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Advice with its sources, and its error where it was checked.

    Parameters
    ----------
    curve
        The curve whose F1 is used.
    advice
        The best spreading factor of each distance and duty cycle.
    text_frames, payload_len
        Frames of a program, and bytes of a frame.
    radio, fading, period_s
        The setting; a program is sent every `period_s` seconds.
    worst_gap, mean_gap, num_checked
        Distance in F1 from the links of the airtime axis that were run; None where none was.
    whole
        Share of items that arrived whole at the curve's points, and what it would be with independent frames.
    """

    curve: Curve
    advice: tuple[Advice, ...]
    text_frames: float
    payload_len: int
    radio: dict[str, Any]
    fading: str
    period_s: float
    worst_gap: float | None
    mean_gap: float | None
    num_checked: int
    whole: Sequence[float]


def make_plan(study: Study) -> Plan | None:
    """Advice over distances and duty cycles from the study's most telling curve; None where it holds too little.

    The radio's settings are those of the study's airtime or distance axis; without one, `DEFAULT_RADIO`.
    """
    usable = [c for c in study.curves if _usable(c)]
    if not usable:
        return None
    curve = min(usable, key=curve_order)
    lead, cr = curve.first, curve.link.cr
    mine = [
        c for c in usable if (c.first.corpus, c.first.task, c.first.method) == (lead.corpus, lead.task, lead.method)
    ]
    points = [p for c in mine for p in c.points if c.link.cr == cr]
    setting = next(
        (c for axis in ("equal_airtime", "distance", lead.axis) for c in mine if c.first.axis == axis), curve
    )
    radio = DEFAULT_RADIO | dict(setting.first.radio)
    if not str(radio["fragment"]).isdecimal():
        return None
    payload_len, texts = int(radio["fragment"]) + HEADER_LEN, 2 if lead.task == "paired" else 1
    once = [p for p in points if p.axis != "equal_airtime"] or points
    frames = float(np.concatenate([p.items["fragments_sent"] for p in once]).mean())  # of an item: a pair has two texts
    steady = [p for p in points if not p.radio.get("shadowing_db")]
    shares, scores = f1_of_loss(steady if len(steady) > 2 else points, curve.clean)
    period_s = radio["period_s"] / (2 * lead.num_programs) if radio["period_s"] else PERIOD_S

    def predict(sf: int, snr_db: float, on_air_s: float, fading: str) -> float:
        copies = on_air_s / _airtime(sf, cr, payload_len, frames, radio)
        heard = snr_db + radio["shadowing_db"] * SHADOWS
        losses = frame_loss(sf, heard, cr=cr, payload_len=payload_len, fading=fading)
        return float(np.mean([_expected_f1(float(loss), copies, shares, scores) for loss in losses]))

    advice = []
    for duty, distance in itertools.product(DUTY_CYCLES, DISTANCES_KM):
        snr, on_air_s = _snr_at(distance, radio), duty * period_s * texts
        found = {sf: predict(sf, snr, on_air_s, setting.link.fading) for sf in sorted({p.sf or 0 for p in points})}
        sf = min(sf for sf, f1 in found.items() if f1 >= max(found.values()) - TIE)
        advice.append(Advice(distance_km=distance, duty_cycle=duty, sf=sf if found[sf] > TIE else 0, f1=found[sf]))
    gaps = [
        abs(predict(p.link.sf, p.link.snr_db, float(p.items["airtime_s"].mean()), p.link.fading) - (p.f1 or 0.0))
        for p in points
        if p.link is not None and p.link.axis == "equal_airtime" and math.isfinite(p.link.snr_db)
    ]
    return Plan(
        curve=curve,
        advice=tuple(advice),
        text_frames=frames / texts,
        payload_len=payload_len,
        radio=radio,
        fading=setting.link.fading,
        period_s=period_s,
        worst_gap=max(gaps) if gaps else None,
        mean_gap=float(np.mean(gaps)) if gaps else None,
        num_checked=len(gaps),
        whole=np.mean([whole_shares(p) for p in steady or points], axis=0).tolist(),
    )


def frame_loss(sf: int, snr_db: npt.ArrayLike, *, cr: int, payload_len: int, fading: str | None) -> FloatArray:
    """Share of frames lost, in theory; with Rayleigh fading averaged over exponentially distributed powers."""
    grid, per = _waterfall(sf, cr, payload_len)
    fades_db = np.zeros(1)
    if fading == "rayleigh":
        fades_db = 10 * np.log10(-np.log1p(-(np.arange(200) + 0.5) / 200))
    return np.asarray(np.interp(np.asarray(snr_db)[..., None] + fades_db, grid, per).mean(axis=-1))


def whole_shares(p: Point) -> tuple[float, float]:
    """Share of a point's items that arrived whole, and the one to expect if frames were lost independently."""
    sent = p.items["fragments_sent"].to_numpy()
    kept = 1 - p.items["fragments_lost"].sum() / sent.sum()
    return p.share_intact, float(np.mean(kept**sent))


def f1_of_loss(points: Sequence[Point], clean: Point | None) -> tuple[FloatArray, FloatArray]:
    """F1 against the share of bytes lost, never rising: isotonic regression, neighbours pooled.

    Begins at the clean value where there is one, and ends at F1 = 0 where all is lost, which is so by definition.
    """
    from scipy.optimize import isotonic_regression

    start = [] if clean is None or clean.f1 is None else [(0.0, clean.f1)]
    found = [*start, *sorted((p.byte_error_rate or 0.0, p.f1 or 0.0) for p in points), (1.0, 0.0)]
    share, f1 = np.array(found).T
    pooled = isotonic_regression(f1, increasing=False)
    moved = np.repeat(np.add.reduceat(pooled.x != f1, pooled.blocks[:-1]) > 0, np.diff(pooled.blocks))
    starts = np.flatnonzero(~moved | np.isin(np.arange(len(f1)), pooled.blocks))  # equal ones are not pooled
    return np.add.reduceat(share, starts) / np.diff([*starts, len(f1)]), pooled.x[starts]


def measured_choice(study: Study) -> list[tuple[Curve, Point, list[Point]]]:
    """For each curve at equal airtime or distance: the best point as measured, and those that n cannot tell from it."""
    wanted = [c for c in study.curves if c.first.axis in ("equal_airtime", "distance") and _usable(c)]
    if not wanted:
        return []
    lead = min(wanted, key=curve_order).first
    found = []
    for curve in wanted:
        if (curve.first.corpus, curve.first.task, curve.first.method) != (lead.corpus, lead.task, lead.method):
            continue
        best = max(curve.points, key=lambda p: p.f1 or 0.0)
        close = []
        for p in curve.points:
            difference = None if p is best else compare_points([best], [p])
            close += [p] if difference is not None and not difference.excludes(0.0) else []
        found.append((curve, best, close))
    return found


# --- helpers ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _waterfall(sf: int, cr: int, payload_len: int) -> tuple[FloatArray, FloatArray]:
    """SNRs in dB, and the packet error rate at each: beyond the 2 dB of a waterfall frames are all lost, or none."""
    from lora_phy import LoRaParams, theory

    grid = np.linspace(-32, 2, 137)
    return grid, np.asarray(theory.per_awgn(LoRaParams(sf=sf, cr=cr), payload_len, grid))


def _usable(curve: Curve) -> bool:
    p, link = curve.first, curve.link
    return (
        len(curve.points) > 1
        and link.policy == "drop"
        and p.corrupted_split == "eval"
        and link.fading in ("none", "rayleigh")
        and not p.radio.get("doppler_hz")  # the frame loss is that of one fade a frame
        and not is_rule(p.method)
        and not is_control(p)
        and all(len(point.items) and point.byte_error_rate is not None for point in curve.points)
    )


def _snr_at(distance_km: float, radio: dict[str, Any]) -> float:
    from lora_phy.channel import path_loss
    from lora_phy.studies.budget import REGIONS

    frequency = REGIONS[radio["region"]].frequency_hz
    loss = path_loss.log_distance_db(1e3 * distance_km, frequency, exponent=radio["path_loss_exponent"])
    noise = radio["noise_figure_db"]
    return float(path_loss.snr_db(radio["tx_power_dbm"], loss, radio["bandwidth_hz"], noise_figure_db=noise))


def _airtime(sf: int, cr: int, payload_len: int, frames: float, radio: dict[str, Any]) -> float:
    from lora_phy import LoRaParams, airtime_s

    return frames * airtime_s(payload_len, LoRaParams(sf=sf, cr=cr, bandwidth_hz=radio["bandwidth_hz"]))


def _expected_f1(loss: float, copies: float, shares: FloatArray, scores: FloatArray) -> float:
    """F1 with `copies` of every frame, a fraction of them for part of the texts."""
    if copies < 1:
        return copies * float(np.interp(loss, shares, scores))
    whole = math.floor(copies)
    less, more = (float(np.interp(loss**k, shares, scores)) for k in (whole, whole + 1))
    return less + (copies - whole) * (more - less)
