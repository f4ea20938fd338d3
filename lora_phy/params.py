"""`LoRaParams`: waveform and framing of one LoRa link.

Two links with equal parameters interoperate. The object is frozen and validated once; everything that follows from
its fields is a property, so that no other module derives it again, and kept: a receiver asks dozens of times a frame.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from lora_phy.checks import boolean, integer, number

MAX_OVERSAMPLING = 1024
MAX_PAYLOAD_LEN = 255
LDRO_SYMBOL_DURATION_S = 16e-3
"""Low-data-rate optimisation is mandated above this symbol duration (SX1276 data sheet, section 4.1.1.6)."""
CHIP_BANDWIDTHS_HZ = (
    *(32e6 / divisor for divisor in (4096, 3072, 2048, 1536, 1024, 768, 512, 256, 128, 64)),
    *(1.625e6 / divisor for divisor in (8, 4, 2, 1)),
)
"""Bandwidths of Semtech's chips: parts of a 32 MHz crystal, and of 1.625 MHz at 2.4 GHz. Drivers and data sheets print
them rounded: 7.8, 10.4, 15.6, 20.8, 41.7, 200, 400, 800, 1600 kHz."""
_NEAR_A_CHIP, _AT_A_CHIP = 0.02, 1e-5
_NARROW_HZ = 1e3
_BOUNDS = {
    "sf": (5, 12),
    "cr": (1, 4),
    "preamble_len": (1, 65535),
    "oversampling": (1, MAX_OVERSAMPLING),
    "sync_word": (0, 255),
    "payload_len": (0, MAX_PAYLOAD_LEN),
}
_OPTIONAL = ("sync_word", "payload_len", "ldro")


@dataclass(frozen=True, kw_only=True)
class LoRaParams:
    """Waveform and framing of one LoRa link.

    Parameters
    ----------
    sf
        Spreading factor, bits per chirp symbol, 5–12.
    bandwidth_hz
        Chirp bandwidth in Hz, any positive number. Below 1 kHz, and within 2 % of a chip's bandwidth without being it,
        a UserWarning says what was probably meant: a frame 0.2 % off in bandwidth is not received.
    cr
        Coding rate 4/(4 + cr), 1–4.
    explicit_header
        True: the frame announces its own length, coding rate and CRC.
    crc
        True: a 16-bit CRC follows the payload.
    ldro
        Low-data-rate optimisation (two bits fewer per payload symbol); None: on when a symbol lasts longer than 16 ms.
    preamble_len
        Upchirps before the sync word, 1…65535; a receiver needs at least 6.
    sync_word
        Byte sent as two chirps (`sync_symbols`): 0x12 private, 0x34 public networks. None (receiver): any two chirps.
    oversampling
        Samples per chip, a positive integer.
    inverted_iq
        True: the whole frame is conjugated (LoRaWAN downlink).
    payload_len
        Bytes; needed by a receiver of implicit-header frames.
    variant
        "sx126x" or "sx127x"; differs only at SF5 and SF6.
    waveform
        "chip": what Semtech's chips send, the data symbols one chip before the preamble's grid. "textbook": all symbols
        on one grid, as in the literature and gr-lora_sdr. A receiver hears both (docs/explanation/conventions.md).

    Raises
    ------
    ValueError
        Naming the parameter, the bound and the value.

    Examples
    --------
    >>> params = LoRaParams(sf=7)
    >>> params.num_bins, params.symbol_duration_s, params.code_rate
    (128, 0.001024, 0.8)
    >>> LoRaParams(sf=12).reduced_rate
    True
    >>> LoRaParams(sf=13)
    Traceback (most recent call last):
        ...
    ValueError: 'sf' must be in [5, 12] (got 13)
    """

    sf: int
    bandwidth_hz: float = 125e3
    cr: int = 1
    explicit_header: bool = True
    crc: bool = True
    ldro: bool | None = None
    preamble_len: int = 8
    sync_word: int | None = 0x12
    oversampling: int = 1
    inverted_iq: bool = False
    payload_len: int | None = None
    variant: Literal["sx126x", "sx127x"] = "sx126x"
    waveform: Literal["chip", "textbook"] = "chip"

    def __post_init__(self) -> None:
        """Validate every field once and store plain numbers: equal parameters are written alike."""

        def store(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        for name, (low, high) in _BOUNDS.items():
            if name not in _OPTIONAL or getattr(self, name) is not None:
                store(name, integer(name, getattr(self, name), low, high))
        for name in ("explicit_header", "crc", "inverted_iq", "ldro"):
            if name not in _OPTIONAL or getattr(self, name) is not None:
                store(name, boolean(name, getattr(self, name)))
        bandwidth_hz = number("bandwidth_hz", self.bandwidth_hz)
        if not (bandwidth_hz > 0 and math.isfinite(bandwidth_hz)):
            raise ValueError(f"'bandwidth_hz' must be positive and finite (got {self.bandwidth_hz!r})")
        store("bandwidth_hz", bandwidth_hz)
        _warn_of_bandwidth(bandwidth_hz)
        if self.variant not in ("sx126x", "sx127x"):
            raise ValueError(f"'variant' must be 'sx126x' or 'sx127x' (got {self.variant!r})")
        if self.waveform not in ("chip", "textbook"):
            raise ValueError(f"'waveform' must be 'chip' or 'textbook' (got {self.waveform!r})")

    @cached_property
    def num_bins(self) -> int:
        """Number of symbol values and of chips in a symbol, 2**sf."""
        return 1 << self.sf

    @cached_property
    def samples_per_symbol(self) -> int:
        """Samples in a symbol, 2**sf * oversampling."""
        return self.num_bins * self.oversampling

    @property
    def sample_rate_hz(self) -> float:
        """Samples per second, bandwidth_hz * oversampling."""
        return self.bandwidth_hz * self.oversampling

    @cached_property
    def symbol_duration_s(self) -> float:
        """Seconds in a symbol, 2**sf / bandwidth_hz."""
        return self.num_bins / self.bandwidth_hz

    @property
    def code_rate(self) -> float:
        """4 / (4 + cr)."""
        return 4 / (4 + self.cr)

    @cached_property
    def reduced_rate(self) -> bool:
        """Whether payload symbols carry sf - 2 bits: `ldro`, or the 16 ms rule where it is None."""
        return self.symbol_duration_s > LDRO_SYMBOL_DURATION_S if self.ldro is None else self.ldro

    @cached_property
    def header_reduced_rate(self) -> bool:
        """Whether the first block carries sf - 2 bits per symbol: always, but for SF5 and SF6 of the sx126x."""
        return self.sf >= 7 or self.variant == "sx127x"

    @cached_property
    def bits_per_symbol(self) -> int:
        """Bits in a payload symbol after the first block, sf or sf - 2."""
        return self.sf - 2 * self.reduced_rate

    @cached_property
    def extra_upchirps(self) -> int:
        """Upchirps of value 0 between the start-of-frame delimiter and the data: 2 for SF5 and SF6 of the sx126x."""
        return 2 if self.sf <= 6 and self.variant == "sx126x" else 0

    @property
    def sync_symbols(self) -> tuple[int, int] | None:
        """The two chirps of the sync word, ``(signed(nibble) << 3) mod 2**sf`` with nibbles 8…15 standing for -8…-1;
        None where any is accepted.

        Examples
        --------
        >>> LoRaParams(sf=11, sync_word=0x2B).sync_symbols
        (16, 2008)
        """
        if self.sync_word is None:
            return None
        first, second = (nibble - 16 * (nibble >= 8) for nibble in divmod(self.sync_word, 16))
        return 8 * first % self.num_bins, 8 * second % self.num_bins

    @cached_property
    def early_chips(self) -> int:
        """Chips by which data symbols begin before the preamble's grid: 1 in the waveform of a chip, else 0."""
        return 1 if self.waveform == "chip" else 0


def chip_bandwidth_hz(bandwidth_hz: float) -> float | None:
    """The bandwidth of a chip within 2 % of `bandwidth_hz`; None where there is none.

    Examples
    --------
    >>> chip_bandwidth_hz(15_600), chip_bandwidth_hz(800e3), chip_bandwidth_hz(300e3)
    (15625.0, 812500.0, None)
    """
    nearest = min(CHIP_BANDWIDTHS_HZ, key=lambda chip: abs(chip - bandwidth_hz))
    return nearest if abs(bandwidth_hz / nearest - 1) <= _NEAR_A_CHIP else None


def _warn_of_bandwidth(bandwidth_hz: float) -> None:
    """Warn of a bandwidth that is probably another one: in kHz, or rounded."""
    chip = chip_bandwidth_hz(bandwidth_hz)
    if bandwidth_hz < _NARROW_HZ:
        meant = chip_bandwidth_hz(1e3 * bandwidth_hz)
        hint = "" if meant is None else f"; if kHz were meant: {meant:.10g}"
        message = f"'bandwidth_hz' is below 1 kHz, narrower than any LoRa chip's (got {bandwidth_hz:.10g}){hint}"
    elif chip is not None and abs(bandwidth_hz / chip - 1) > _AT_A_CHIP:
        message = f"'bandwidth_hz' is near a chip's bandwidth, {chip:.10g} Hz, and is not it (got {bandwidth_hz:.10g})"
    else:
        return
    warnings.warn(message, UserWarning, stacklevel=4)
