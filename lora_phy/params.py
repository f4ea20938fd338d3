"""`LoRaParams`: waveform and framing of one LoRa link.

Two links with equal parameters interoperate. The object is frozen and validated once; everything that follows from
its fields is a property, so that no other module derives it again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

MAX_PAYLOAD_LEN = 255
LDRO_SYMBOL_DURATION_S = 16e-3
"""Low-data-rate optimisation is mandated above this symbol duration (SX1276 data sheet, section 4.1.1.6)."""


def _require_int(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(f"'{name}' must be an integer in [{low}, {high}] (got {value!r})")
    if not low <= int(value) <= high:
        raise ValueError(f"'{name}' must be in [{low}, {high}] (got {value!r})")


def _require_bool(name: str, value: object) -> None:
    if value is not True and value is not False:
        raise ValueError(f"'{name}' must be True or False (got {value!r})")


@dataclass(frozen=True, kw_only=True)
class LoRaParams:
    """Waveform and framing of one LoRa link.

    Parameters
    ----------
    sf
        Spreading factor, bits per chirp symbol, 5–12.
    bandwidth_hz
        Chirp bandwidth in Hz, any positive number.
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
        Byte sent as two chirps of value ``nibble << 3``: 0x12 private, 0x34 public networks. None (receiver): any.
    oversampling
        Samples per chip, a positive integer.
    inverted_iq
        True: the whole frame is conjugated (LoRaWAN downlink).
    payload_len
        Bytes; needed by a receiver of implicit-header frames.
    variant
        "sx126x" or "sx127x"; differs only at SF5 and SF6.

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

    def __post_init__(self) -> None:
        """Validate every field once."""
        _require_int("sf", self.sf, 5, 12)
        _require_int("cr", self.cr, 1, 4)
        _require_int("preamble_len", self.preamble_len, 1, 65535)
        _require_int("oversampling", self.oversampling, 1, 1024)
        if self.sync_word is not None:
            _require_int("sync_word", self.sync_word, 0, 255)
        if self.payload_len is not None:
            _require_int("payload_len", self.payload_len, 0, MAX_PAYLOAD_LEN)
        for name in ("explicit_header", "crc", "inverted_iq"):
            _require_bool(name, getattr(self, name))
        if self.ldro is not None:
            _require_bool("ldro", self.ldro)
        if isinstance(self.bandwidth_hz, bool) or not isinstance(self.bandwidth_hz, int | float):
            raise ValueError(f"'bandwidth_hz' must be a positive number (got {self.bandwidth_hz!r})")
        if not (self.bandwidth_hz > 0 and math.isfinite(self.bandwidth_hz)):
            raise ValueError(f"'bandwidth_hz' must be positive and finite (got {self.bandwidth_hz!r})")
        if self.variant not in ("sx126x", "sx127x"):
            raise ValueError(f"'variant' must be 'sx126x' or 'sx127x' (got {self.variant!r})")

    @property
    def num_bins(self) -> int:
        """Number of symbol values and of chips in a symbol, 2**sf."""
        return 1 << self.sf

    @property
    def samples_per_symbol(self) -> int:
        """Samples in a symbol, 2**sf * oversampling."""
        return self.num_bins * self.oversampling

    @property
    def sample_rate_hz(self) -> float:
        """Samples per second, bandwidth_hz * oversampling."""
        return self.bandwidth_hz * self.oversampling

    @property
    def symbol_duration_s(self) -> float:
        """Seconds in a symbol, 2**sf / bandwidth_hz."""
        return self.num_bins / self.bandwidth_hz

    @property
    def code_rate(self) -> float:
        """4 / (4 + cr)."""
        return 4 / (4 + self.cr)

    @property
    def reduced_rate(self) -> bool:
        """Whether payload symbols carry sf - 2 bits: `ldro`, or the 16 ms rule where it is None."""
        return self.symbol_duration_s > LDRO_SYMBOL_DURATION_S if self.ldro is None else self.ldro

    @property
    def header_reduced_rate(self) -> bool:
        """Whether the first block carries sf - 2 bits per symbol: always, but for SF5 and SF6 of the sx126x."""
        return self.sf >= 7 or self.variant == "sx127x"

    @property
    def bits_per_symbol(self) -> int:
        """Bits in a payload symbol after the first block, sf or sf - 2."""
        return self.sf - 2 * self.reduced_rate

    @property
    def extra_upchirps(self) -> int:
        """Upchirps of value 0 between the start-of-frame delimiter and the data: 2 for SF5 and SF6 of the sx126x."""
        return 2 if self.sf <= 6 and self.variant == "sx126x" else 0

    @property
    def sync_symbols(self) -> tuple[int, int] | None:
        """The two chirps of the sync word, ``(nibble << 3) mod 2**sf``; None where any is accepted."""
        if self.sync_word is None:
            return None
        mask = self.num_bins - 1
        return ((self.sync_word >> 4) << 3) & mask, ((self.sync_word & 15) << 3) & mask
