"""Named parameter sets: LoRaWAN data rates and Meshtastic's modem presets.

Sources: LoRaWAN Regional Parameters RP002 (EU868, US915) and Meshtastic's documentation of its radio settings. A
network may choose otherwise; `dataclasses.replace` changes what differs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from lora_phy.params import LoRaParams

LORAWAN_SYNC_WORD = 0x34
MESHTASTIC_SYNC_WORD = 0x2B

# (spreading factor, bandwidth in kHz); data rates of other modulations are left out
_LORAWAN = {
    "EU868": {0: (12, 125), 1: (11, 125), 2: (10, 125), 3: (9, 125), 4: (8, 125), 5: (7, 125), 6: (7, 250)},
    "US915": {
        0: (10, 125), 1: (9, 125), 2: (8, 125), 3: (7, 125), 4: (8, 500),
        8: (12, 500), 9: (11, 500), 10: (10, 500), 11: (9, 500), 12: (8, 500), 13: (7, 500),
    },
}  # fmt: skip

# name: (spreading factor, bandwidth in kHz, coding rate index)
_MESHTASTIC = {
    "short_turbo": (7, 500, 1),
    "short_fast": (7, 250, 1),
    "short_slow": (8, 250, 1),
    "medium_fast": (9, 250, 1),
    "medium_slow": (10, 250, 1),
    "long_fast": (11, 250, 1),
    "long_moderate": (11, 125, 4),
    "long_slow": (12, 125, 4),
}


def lorawan(
    data_rate: int, *, region: Literal["EU868", "US915"] = "EU868", downlink: bool = False, oversampling: int = 1
) -> LoRaParams:
    """A LoRaWAN data rate: sync word 0x34, eight upchirps, 4/5; downlinks are inverted and carry no CRC.

    Examples
    --------
    >>> params = lorawan(0)
    >>> params.sf, params.bandwidth_hz, params.reduced_rate
    (12, 125000.0, True)
    >>> lorawan(7)
    Traceback (most recent call last):
        ...
    ValueError: 'data_rate' must be one of 0, 1, 2, 3, 4, 5, 6 in EU868 (got 7)
    """
    if region not in _LORAWAN:
        raise ValueError(f"'region' must be one of {', '.join(_LORAWAN)} (got {region!r})")
    table = _LORAWAN[region]
    if data_rate not in table:
        raise ValueError(f"'data_rate' must be one of {', '.join(map(str, table))} in {region} (got {data_rate!r})")
    sf, bandwidth_khz = table[data_rate]
    return LoRaParams(
        sf=sf,
        bandwidth_hz=bandwidth_khz * 1e3,
        sync_word=LORAWAN_SYNC_WORD,
        crc=not downlink,
        inverted_iq=downlink,
        oversampling=oversampling,
    )


def meshtastic(name: str = "long_fast", *, oversampling: int = 1) -> LoRaParams:
    """A Meshtastic modem preset: sync word 0x2B, sixteen upchirps, CRC.

    Examples
    --------
    >>> meshtastic("long_fast").sf, meshtastic("short_turbo").bandwidth_hz
    (11, 500000.0)
    """
    if name not in _MESHTASTIC:
        raise ValueError(f"'name' must be one of {', '.join(_MESHTASTIC)} (got {name!r})")
    sf, bandwidth_khz, cr = _MESHTASTIC[name]
    return LoRaParams(
        sf=sf,
        bandwidth_hz=bandwidth_khz * 1e3,
        cr=cr,
        preamble_len=16,
        sync_word=MESHTASTIC_SYNC_WORD,
        oversampling=oversampling,
    )


def preset(name: str, *, oversampling: int = 1) -> LoRaParams:
    """By one name: ``eu868-dr5``, ``us915-dr0``, ``eu868-dr5-downlink``, ``meshtastic-long-fast``, ``sf9``.

    Examples
    --------
    >>> preset("eu868-dr5").sf, preset("meshtastic-long-slow").cr, preset("sf9").sync_word
    (7, 4, 18)
    """
    words = name.lower().split("-")
    if words[0] == "meshtastic" and len(words) > 1:
        return meshtastic("_".join(words[1:]), oversampling=oversampling)
    if len(words) >= 2 and words[0].upper() in _LORAWAN and words[1][:2] == "dr" and words[1][2:].isdigit():
        region: Literal["EU868", "US915"] = "EU868" if words[0] == "eu868" else "US915"
        downlink = words[2:] == ["downlink"]
        if downlink or len(words) == 2:
            return lorawan(int(words[1][2:]), region=region, downlink=downlink, oversampling=oversampling)
    if name[:2].lower() == "sf" and name[2:].isdigit():
        return replace(LoRaParams(sf=int(name[2:])), oversampling=oversampling)
    raise ValueError(f"'name' must be one of {', '.join(preset_names())} (got {name!r})")


def preset_names() -> list[str]:
    """Every name that `preset` knows."""
    rates = [f"{region.lower()}-dr{rate}" for region, table in _LORAWAN.items() for rate in table]
    meshes = [f"meshtastic-{name.replace('_', '-')}" for name in _MESHTASTIC]
    return [*rates, *[f"{rate}-downlink" for rate in rates], *meshes, *[f"sf{sf}" for sf in range(5, 13)]]
