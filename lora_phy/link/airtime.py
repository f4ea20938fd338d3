"""How long a frame stays on air: (preamble_len + 4.25 + extra upchirps + data symbols) * 2**sf / bandwidth."""

from __future__ import annotations

from dataclasses import replace

from lora_phy.coding.chain import num_payload_symbols
from lora_phy.modem.modulation import data_start
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
    if (
        isinstance(payload_len, bool)
        or not hasattr(payload_len, "__index__")
        or not 0 <= payload_len <= MAX_PAYLOAD_LEN
    ):
        raise ValueError(f"'payload_len' must be an integer in [0, {MAX_PAYLOAD_LEN}] (got {payload_len!r})")
    critical = replace(params, oversampling=1)
    chips = data_start(critical) + num_payload_symbols(int(payload_len), params) * params.num_bins
    return chips / params.bandwidth_hz
