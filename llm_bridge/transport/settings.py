"""`RadioSettings`: everything about the link that shapes what arrives, validated once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from llm_bridge.transport.controls import LinkStatistics
from llm_bridge.transport.packets import DEFAULT_FRAGMENT_LEN, HEADER_LEN, MAX_PHY_PAYLOAD_LEN
from llm_bridge.transport.policies import find_policy
from llm_bridge.transport.radio import RadioLink
from llm_bridge.transport.tokens import find_coding
from lora_phy import LoRaParams, airtime_s
from lora_phy.channel import ChannelParams
from lora_phy.studies.budget import REGIONS


@dataclass(frozen=True, kw_only=True)
class RadioSettings:
    """Everything about the link that shapes what arrives.

    Parameters
    ----------
    sf, cr, bandwidth_hz
        Spreading factor, coding rate 4/(4 + cr), bandwidth in Hz.
    snr_db
        Signal over noise in the bandwidth, dB; the mean under fading; ``math.inf``: no noise.
    fading, k_factor_db
        None (AWGN), "rayleigh" or "rician": one fade a frame, unless `doppler_hz` says otherwise. Rician needs the K
        factor.
    doppler_hz
        Largest Doppler shift in Hz, 0 by default: one fade a frame. Above it the fade changes within a frame, and every
        sample is simulated.
    policy
        A key of `POLICIES`.
    source_coding
        "utf8" or "token_ids".
    redundancy
        Parity packets over data packets, rounded up; used by the policy "erasure" only.
    fragment_len
        Most bytes of text in a packet, 3…251; the same at every SF, since size would be confounded with SF. "max": the
        longest that EU868 permits at this SF (60 bytes at SF10 and above, 124 at SF9, 231 at SF7 and SF8).
    channel_seed
        Seed of all noise and fades.
    max_attempts
        Times each packet is sent; blind repetition.
    airtime_budget_s
        Seconds on air for all items together. Items are sent whole and in the given order, first all once, then all
        again, and so on up to `max_attempts`, until the next item does not fit; None: no limit.
    decoding
        "hard" (default: what published thresholds assume, and `lora_phy.theory.per_awgn`) or "soft".
    sync
        "perfect" (default) or "receiver": the simulated receiver finds each frame itself, hundreds of times slower.
    engine
        "bins" draws the matched-filter bins of every symbol, "waveform" every sample; the results have the same
        distribution. None (default): bins where they are exact, which is wherever `sync` is "perfect".
    pair_noise
        "same" (default): fragment i of both versions of a program meets the same fade and the same noise relative to
        the chirps that are sent, so both are lost or neither. "independent": each version has noise of its own.
    shadowing_db
        Standard deviation in dB of an offset of `snr_db`, drawn once for each program (for each item where
        `pair_noise` is "independent"): it is sent from a place of its own. The same at every SF, policy and attempt.
    control
        Rates for the policies that are controls; None: measured over the radio with these settings on the same packets.
    """

    sf: int
    snr_db: float
    cr: int = 1
    fading: str | None = None
    bandwidth_hz: float = 125e3
    policy: str = "drop"
    source_coding: str = "utf8"
    redundancy: float = 0.5
    fragment_len: int | Literal["max"] = DEFAULT_FRAGMENT_LEN
    channel_seed: int = 0
    max_attempts: int = 1
    airtime_budget_s: float | None = None
    k_factor_db: float | None = None
    doppler_hz: float = 0.0
    decoding: Literal["hard", "soft"] = "hard"
    sync: Literal["perfect", "receiver"] = "perfect"
    engine: Literal["bins", "waveform"] | None = None
    pair_noise: Literal["same", "independent"] = "same"
    shadowing_db: float = 0.0
    control: LinkStatistics | None = None

    def __post_init__(self) -> None:
        """Validate once; the radio's own parameters by the radio."""
        if self.fading not in (None, "rayleigh", "rician"):
            raise ValueError(f"'fading' must be None, 'rayleigh' or 'rician' (got {self.fading!r})")
        self.radio_link()
        find_policy(self.policy)
        find_coding(self.source_coding)
        if not 0 <= self.redundancy < float("inf"):
            raise ValueError(f"'redundancy' must be at least 0 and finite (got {self.redundancy})")
        longest = 255 - HEADER_LEN
        if self.fragment_len != "max" and not (
            isinstance(self.fragment_len, int) and 3 <= self.fragment_len <= longest
        ):
            raise ValueError(f"'fragment_len' must be in [3, {longest}] or 'max' (got {self.fragment_len!r})")
        if self.max_attempts < 1:
            raise ValueError(f"'max_attempts' must be at least 1 (got {self.max_attempts})")
        if self.airtime_budget_s is not None and not self.airtime_budget_s >= 0:
            raise ValueError(f"'airtime_budget_s' must be at least 0 (got {self.airtime_budget_s})")
        if self.decoding not in ("hard", "soft"):
            raise ValueError(f"'decoding' must be 'hard' or 'soft' (got {self.decoding!r})")
        if not 0 <= self.shadowing_db < float("inf"):
            raise ValueError(f"'shadowing_db' must be at least 0 and finite (got {self.shadowing_db})")
        if self.sync not in ("perfect", "receiver"):
            raise ValueError(f"'sync' must be 'perfect' or 'receiver' (got {self.sync!r})")
        if self.engine not in (None, "bins", "waveform"):
            raise ValueError(f"'engine' must be None, 'bins' or 'waveform' (got {self.engine!r})")
        if self.engine == "bins" and self.sync == "receiver":
            raise ValueError("'engine' must be None or 'waveform' with sync 'receiver', which needs IQ (got 'bins')")
        if self.engine == "bins" and self.doppler_hz:
            raise ValueError("'engine' must be None or 'waveform' with 'doppler_hz' above 0 (got 'bins')")
        if self.pair_noise not in ("same", "independent"):
            raise ValueError(f"'pair_noise' must be 'same' or 'independent' (got {self.pair_noise!r})")

    def radio_link(self) -> RadioLink:
        """The radio that these settings describe."""
        return RadioLink(
            params=LoRaParams(sf=self.sf, cr=self.cr, bandwidth_hz=self.bandwidth_hz),
            channel=ChannelParams(
                snr_db=self.snr_db,
                fading=cast(Literal["rayleigh", "rician"] | None, self.fading),
                k_factor_db=self.k_factor_db,
                doppler_hz=self.doppler_hz,
            ),
            channel_seed=self.channel_seed,
            decoding=self.decoding,
            sync=self.sync,
            shadowing_db=self.shadowing_db,
            engine=self.engine,
            pair_noise=self.pair_noise,
        )

    @property
    def max_fragment_len(self) -> int:
        """Most bytes of text in a packet: `fragment_len`, or what "max" means at this SF."""
        return MAX_PHY_PAYLOAD_LEN[self.sf] - HEADER_LEN if self.fragment_len == "max" else self.fragment_len

    @property
    def full_frame_s(self) -> float:
        """Seconds on air of the longest frame that these settings send."""
        return airtime_s(self.max_fragment_len + HEADER_LEN, self.radio_link().params)

    def within_dwell_time(self, region: str) -> bool:
        """Whether the longest frame stays within the dwell time of a region of `lora_phy.studies.budget.REGIONS`.

        Examples
        --------
        >>> [RadioSettings(sf=sf, snr_db=0.0).within_dwell_time("US915") for sf in (9, 10)]
        [True, False]
        """
        limit = REGIONS[region].dwell_time_s
        return limit is None or self.full_frame_s <= limit
