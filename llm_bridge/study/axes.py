r"""From what an axis holds equal to the SNR at each spreading factor; from seconds on air to the time that rules allow.

    distance        SNR = P_tx - L(d0) - 10 n log10(d / d0) - N,       N = 10 log10(kTB / 1 mW) + NF,     d0 = 1 m
    equal energy    SNR = Eb/N0 + 10 log10(8 b / (B T))
    equal loss      SNR at which this share of full packets is lost (`frame_loss`)

On the energy axis a transmitter spends the same energy on air per bit of program text at every spreading factor. A
frame of power P lasts T and carries b bytes of text, so that Eb = P T / (8 b); with N0 = (noise power) / B this is
Eb/N0 = SNR B T / (8 b). T is the whole frame, with preamble, headers, CRC and parity bits: they cost energy and carry
no text. Energy per information bit over noise density is the usual axis of such comparisons (Proakis and Salehi,
Digital Communications, chapter 4); that overheads count is our choice.

Path loss: Rappaport, Wireless Communications, chapter 4 (`lora_phy.channel.path_loss`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from llm_bridge.study.frame_loss import snr_of_loss_db
from llm_bridge.transport.packets import HEADER_LEN
from llm_bridge.transport.settings import RadioSettings
from lora_phy import airtime_s
from lora_phy.channel import path_loss
from lora_phy.studies.budget import REGIONS

if TYPE_CHECKING:
    from llm_bridge.study.config import RadioConfig

SNR_DECIMALS = 2
"""SNRs that were computed are rounded to 0.01 dB, so that they can be read, and written in a recipe."""


def snr_at_distance_db(distance_km: float, radio: RadioConfig) -> float:
    """Median SNR in dB at a distance: log-distance path loss from free space at 1 m, antennas of 0 dBi.

    Examples
    --------
    >>> from llm_bridge.study.config import RadioConfig
    >>> [snr_at_distance_db(km, RadioConfig(tx_power_dbm=14.0, path_loss_exponent=3.5)) for km in (0.5, 5.0)]
    [5.32, -29.68]
    """
    frequency = REGIONS[radio.region].frequency_hz
    loss = path_loss.log_distance_db(1e3 * distance_km, frequency, exponent=radio.path_loss_exponent)
    snr = path_loss.snr_db(radio.tx_power_dbm, loss, radio.bandwidth_hz, noise_figure_db=radio.noise_figure_db)
    return round(float(snr), SNR_DECIMALS)


def equal_energy_snr_db(ebn0_db: float, radio: RadioSettings) -> float:
    """SNR in dB at which a full packet costs `ebn0_db` per bit of its text; see the formula above.

    Examples
    --------
    >>> [equal_energy_snr_db(10.0, RadioSettings(sf=sf, snr_db=0.0)) for sf in (7, 12)]
    [-5.24, -19.05]
    """
    link = radio.radio_link()
    text_len = radio.max_fragment_len
    seconds = airtime_s(text_len + HEADER_LEN, link.params)
    snr = ebn0_db + 10 * math.log10(8 * text_len / (radio.bandwidth_hz * seconds))
    return round(snr, SNR_DECIMALS)


def equal_loss_snr_db(frame_loss: float, radio: RadioSettings) -> float:
    """SNR in dB, the mean under fading, at which this share of full packets is lost.

    Examples
    --------
    >>> [equal_loss_snr_db(0.3, RadioSettings(sf=sf, snr_db=0.0, fading="rayleigh")) for sf in (7, 12)]
    [-4.49, -18.96]
    """
    return round(snr_of_loss_db(frame_loss, radio), SNR_DECIMALS)


def duty_cycle_of(radio: RadioConfig) -> float:
    """The recipe's duty cycle, else the region's, else 1: no limit."""
    if radio.duty_cycle is not None:
        return radio.duty_cycle
    return REGIONS[radio.region].duty_cycle or 1.0


def send_time_s(on_air_s: float, duty_cycle: float) -> float:
    """Seconds that sending takes where only this share of time may be spent on air, each frame's silence included.

    Examples
    --------
    >>> send_time_s(36.0, 0.01)
    3600.0
    """
    return on_air_s / duty_cycle


def within_dwell_time(radio: RadioSettings, region: str) -> bool:
    """Whether the longest frame that these settings send stays within the region's dwell time.

    Examples
    --------
    >>> [within_dwell_time(RadioSettings(sf=sf, snr_db=0.0), "US915") for sf in (9, 10)]
    [True, False]
    """
    limit = REGIONS[region].dwell_time_s
    link = radio.radio_link()
    return limit is None or airtime_s(radio.max_fragment_len + HEADER_LEN, link.params) <= limit
