"""SNR at which a given share of frames is lost, by spreading factor, for the axis `equal_loss`.

    loss(SNR) = E[ PER(SNR + 10 log10 |h|²) ],      h: the one fade that a frame meets, E|h|² = 1

A frame is lost where its header or its CRC is bad. PER is the packet error rate in AWGN: `lora_phy.theory.per_awgn`
where that lies within 0.05 dB of simulated frames (hard decisions, coding rates 4/5 to 4/7), else a table of simulated
frames with a seed of its own, 0.25 dB apart. The table's error is below 0.02 dB (one standard deviation), and less
under fading, which averages over it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from llm_bridge.arrays import FloatArray
from llm_bridge.transport.packets import HEADER_LEN
from llm_bridge.transport.settings import RadioSettings
from lora_phy import ChannelParams, LinkPoint, LoRaParams, collect, theory

Decoding = Literal["hard", "soft"]
CALIBRATION_SEED = 20_271
NUM_FRAMES = {"hard": 4096, "soft": 2048}
"""Simulated frames at each SNR of a table, by decoding."""
STEP_DB, BELOW_DB, ABOVE_DB = 0.25, 3.5, 2.0
"""The table around the SNR at which theory loses half of the frames; beyond it all are lost, or none."""
NUM_FADES = 4000


@lru_cache(maxsize=1024)
def snr_of_loss_db(frame_loss: float, radio: RadioSettings) -> float:
    """SNR in dB (the mean, under fading) at which this share of full packets is lost; `radio`'s own SNR is not read.

    Examples
    --------
    >>> [round(snr_of_loss_db(0.3, RadioSettings(sf=sf, snr_db=0.0)), 2) for sf in (7, 12)]
    [-8.65, -23.13]
    >>> [round(snr_of_loss_db(0.3, RadioSettings(sf=sf, snr_db=0.0, fading="rayleigh")), 2) for sf in (7, 12)]
    [-4.49, -18.96]
    """
    link = radio.radio_link()
    grid, per = awgn_losses(link.params, radio.max_fragment_len + HEADER_LEN, link.decoding)
    fades_db = _fades_db(radio.fading, radio.k_factor_db)

    def loss(snr_db: float) -> float:
        return float(np.interp(snr_db + fades_db, grid, per, left=1.0, right=0.0).mean())

    return theory.required_snr_db(loss, frame_loss)


@lru_cache(maxsize=64)
def awgn_losses(params: LoRaParams, payload_len: int, decoding: Decoding) -> tuple[FloatArray, FloatArray]:
    """SNRs in dB, and the share of frames that are lost at each in AWGN, never rising.

    Examples
    --------
    >>> grid, per = awgn_losses(LoRaParams(sf=7), 52, "hard")
    >>> round(float(np.interp(-8.65, grid, per)), 2)
    0.3
    """
    half = theory.required_snr_db(lambda snr: theory.per_awgn(params, payload_len, snr), 0.5)
    if decoding == "hard" and params.cr < 4:
        grid = np.arange(half - BELOW_DB, half + 4 * ABOVE_DB, STEP_DB / 10)
        return grid, np.asarray(theory.per_awgn(params, payload_len, grid))
    grid = np.arange(half - BELOW_DB, half + ABOVE_DB, STEP_DB)
    results = collect(
        [
            LinkPoint(params, ChannelParams(snr_db=float(snr)), payload_len, sync="perfect", decoding=decoding)
            for snr in grid
        ],
        max_frames=NUM_FRAMES[decoding],
        seed=CALIBRATION_SEED,
        engine="order-statistics" if decoding == "hard" else "bins",
    )
    return grid, np.minimum.accumulate([result.counts.per for result in results])


@lru_cache(maxsize=8)
def _fades_db(fading: str | None, k_factor_db: float | None) -> FloatArray:
    """Equally likely power gains of a frame, in dB."""
    from scipy import stats  # slow to import, and needed here alone

    quantiles = (np.arange(NUM_FADES) + 0.5) / NUM_FADES
    if fading is None:
        return np.zeros(1)
    if fading == "rayleigh":
        gains = stats.expon.ppf(quantiles)
    else:
        k_factor = 10 ** ((k_factor_db or 0.0) / 10)
        gains = stats.ncx2.ppf(quantiles, 2, 2 * k_factor) / (2 + 2 * k_factor)
    return np.asarray(10 * np.log10(gains))
