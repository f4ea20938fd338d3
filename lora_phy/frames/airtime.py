"""Time on air of a frame: (preamble_len + 4.25 + extra upchirps + data symbols) * 2**sf / bandwidth."""

from __future__ import annotations

from dataclasses import replace

from lora_phy.checks import integer
from lora_phy.coding.chain import num_payload_symbols
from lora_phy.modem.modulation import frame_samples
from lora_phy.params import MAX_PAYLOAD_LEN, LoRaParams


def airtime_s(payload_len: int, params: LoRaParams) -> float:
    """Seconds on air of a frame of `payload_len` bytes, exactly as Semtech's calculators give it.

    Raises
    ------
    ValueError
        `payload_len` outside 0…255.

    Examples
    --------
    >>> airtime_s(13, LoRaParams(sf=9, ldro=False))
    0.164864
    """
    num_symbols = num_payload_symbols(integer("payload_len", payload_len, 0, MAX_PAYLOAD_LEN), params)
    return frame_samples(num_symbols, replace(params, oversampling=1)) / params.bandwidth_hz
