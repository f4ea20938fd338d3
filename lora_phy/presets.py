"""Named parameter sets of networks on air: LoRaWAN's data rates by region and direction, Meshtastic, MeshCore,
LoRa-APRS, Ebyte's modules.

    preset("eu868-dr5")   preset("us915-dr8")   preset("meshtastic-long-fast")   preset("meshcore-eu")   preset("sf9")

`preset_info` says more of a name: its region, its direction, where its values come from. A network may choose
otherwise; `dataclasses.replace` changes what differs.

Sources, read for this table: the region headers of Semtech's LoRaMac-node (AU915, AS923, IN865, KR920, CN470, RU864);
the region tables of a Basics Station for SX1302 gateways, by RP002-1.0.5 (EU868, US915, and the rates at SF5 and SF6 of
AU915, AS923, KR920, IN865); Meshtastic's and MeshCore's firmware. `Preset.source` is None where a value was taken over
without reading its source.

The most bytes of application data (N, without a repeater): The Things Stack's tables by RP002-1.0.4, which give
M = N + 8, agree with LoRaMac-node's but for CN470 at DR3 (164 here, 184 there); DR12 and DR13 of AS923 from the text of
RP002-1.0.5. Of the other rates at SF5 and SF6 no table was read.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from lora_phy.params import LoRaParams

LORAWAN_SYNC_WORD = 0x34
MESHTASTIC_SYNC_WORD = 0x2B
PRIVATE_SYNC_WORD = 0x12
LORAWAN_OVERHEAD = 1 + 4 + 1 + 2 + 1 + 4
"""Bytes that LoRaWAN adds to those of the application: MHDR, DevAddr, FCtrl, FCnt, FPort, MIC; no MAC commands."""
Direction = Literal["uplink", "downlink"]
LoRaWANRegion = Literal["EU868", "US915", "AU915", "AS923", "IN865", "KR920", "CN470", "RU864"]

_LORAMAC = "Semtech LoRaMac-node, region headers"
_STATION = "region tables of a Basics Station, by RP002-1.0.5"
_MESHTASTIC_FIRMWARE = "Meshtastic firmware, MeshRadio.h"
_MESHCORE_FIRMWARE = "MeshCore firmware, RadioLibWrappers.h, and its published radio settings"

# (spreading factor, bandwidth in kHz) by data rate; rates of other modulations are left out
Rates = dict[int, tuple[int, float]]
_SF12_TO_SF7: Rates = {rate: (12 - rate, 125) for rate in range(6)}
_SF6_SF5: Rates = {12: (6, 125), 13: (5, 125)}
_WIDE_DOWNLINKS: Rates = {0: (5, 500), **{rate: (20 - rate, 500) for rate in range(8, 15)}}
_RATES: dict[str, dict[Direction, Rates]] = {
    region: {"uplink": rates, "downlink": rates}
    for region, rates in (
        ("EU868", {**_SF12_TO_SF7, 6: (7, 250.0), **_SF6_SF5}),
        ("AS923", {**_SF12_TO_SF7, 6: (7, 250.0), **_SF6_SF5}),
        ("IN865", {**_SF12_TO_SF7, **_SF6_SF5}),
        ("KR920", {**_SF12_TO_SF7, **_SF6_SF5}),
        ("CN470", {**_SF12_TO_SF7, 6: (7, 500.0), **_SF6_SF5}),
        ("RU864", {**_SF12_TO_SF7, 6: (7, 250.0), **_SF6_SF5}),
    )
}
_RATES["US915"] = {
    "uplink": {**{rate: (10 - rate, 125) for rate in range(4)}, 4: (8, 500), 7: (6, 125), 8: (5, 125)},
    "downlink": _WIDE_DOWNLINKS,
}
_RATES["AU915"] = {"uplink": {**_SF12_TO_SF7, 6: (8, 500), 9: (6, 125), 10: (5, 125)}, "downlink": _WIDE_DOWNLINKS}
# most bytes of application data by data rate, no repeater, no MAC commands, no limit of the dwell time
_EU868_BYTES = {0: 51, 1: 51, 2: 51, 3: 115, 4: 242, 5: 242, 6: 242}
_AS923_BYTES = _EU868_BYTES | {2: 115, 12: 242, 13: 242}
_CN470_BYTES = {0: 0, 1: 23, 2: 86, 3: 164, 4: 242, 5: 242, 6: 242}
_WIDE_DOWNLINK_BYTES = {8: 53, 9: 129, 10: 242, 11: 242, 12: 242, 13: 242}
_MOST_BYTES: dict[str, dict[Direction, dict[int, int]]] = {
    **{region: {"uplink": _EU868_BYTES, "downlink": _EU868_BYTES} for region in ("EU868", "IN865", "KR920", "RU864")},
    "AS923": {"uplink": _AS923_BYTES, "downlink": _AS923_BYTES},
    "CN470": {"uplink": _CN470_BYTES, "downlink": _CN470_BYTES},
    "US915": {"uplink": {0: 11, 1: 53, 2: 125, 3: 242, 4: 242}, "downlink": _WIDE_DOWNLINK_BYTES},
    "AU915": {"uplink": _EU868_BYTES, "downlink": _WIDE_DOWNLINK_BYTES},
}
_ADDED_BY_RP002 = {(5, 125), (6, 125), (5, 500), (6, 500)}
_NOT_READ = {("CN470", 12), ("CN470", 13), ("RU864", 12), ("RU864", 13)}

# name: (spreading factor, bandwidth in kHz, coding rate index, bandwidth at 2.4 GHz)
_MESHTASTIC: dict[str, tuple[int, float, int, float | None]] = {
    "short_turbo": (7, 500, 1, 1625),
    "short_fast": (7, 250, 1, 812.5),
    "short_slow": (8, 250, 1, 812.5),
    "medium_turbo": (9, 500, 1, 1625),
    "medium_fast": (9, 250, 1, 812.5),
    "medium_slow": (10, 250, 1, 812.5),
    "long_turbo": (11, 500, 4, 1625),
    "long_fast": (11, 250, 1, 812.5),
    "long_moderate": (11, 125, 4, 406.25),
    "long_slow": (12, 125, 4, 406.25),
    "very_long_slow": (12, 62.5, 4, None),
    "lite_fast": (9, 125, 1, None),
    "lite_slow": (10, 125, 1, None),
    "narrow_fast": (7, 62.5, 2, None),
    "narrow_slow": (8, 62.5, 2, None),
    "tiny_fast": (7, 15.625, 1, None),
    "tiny_slow": (8, 15.625, 2, None),
}
_MESHTASTIC_NOT_READ = {"medium_turbo", "very_long_slow", "tiny_fast", "tiny_slow"}

# name: (spreading factor, coding rate index, region of the budget)
_MESHCORE = {"eu": (8, 4, "EU868-g3"), "uk": (8, 4, "EU868-g3"), "us": (7, 1, "US915")}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named parameter set and what is known of it.

    Parameters
    ----------
    name
        As `preset_names` lists it.
    params
        The waveform and framing.
    region
        The key of `lora_phy.studies.budget.REGIONS` whose rules hold; None where the preset is used in several.
    direction
        "uplink" or "downlink" in LoRaWAN, else None.
    source
        Where the values were read; None: taken over unread.
    max_payload_len
        Most bytes of application data that LoRaWAN allows at this rate, without MAC commands or a repeater; None: no
        such rule, or none that was read. The dwell time of a region may leave less.
    """

    name: str
    params: LoRaParams
    region: str | None = None
    direction: Direction | None = None
    source: str | None = None
    max_payload_len: int | None = None


def lorawan(
    data_rate: int, *, region: LoRaWANRegion = "EU868", downlink: bool | None = None, oversampling: int = 1
) -> LoRaParams:
    """A LoRaWAN data rate: sync word 0x34, eight upchirps, 4/5; downlinks are inverted and carry no CRC.

    Parameters
    ----------
    data_rate
        Number in the region's table, rates of RP002-1.0.5 included; FSK and LR-FHSS have none here.
    region
        "EU868", "US915", "AU915", "AS923", "IN865", "KR920", "CN470" or "RU864".
    downlink
        None: the direction that the rate is known for, an uplink where it has both, but a downlink for DR8–DR14 of
        US915 and AU915 (which RP002-1.0.5 uses for uplinks at SF5 and SF6, too).
    oversampling
        Samples per chip.

    Raises
    ------
    ValueError
        A rate that the region does not have in that direction.

    Examples
    --------
    >>> params = lorawan(0)
    >>> params.sf, params.bandwidth_hz, params.reduced_rate
    (12, 125000.0, True)
    >>> lorawan(8, region="US915").inverted_iq, lorawan(8, region="US915", downlink=False).sf
    (True, 5)
    >>> lorawan(7)
    Traceback (most recent call last):
        ...
    ValueError: 'data_rate' must be one of 0, 1, 2, 3, 4, 5, 6, 12, 13 in EU868 (got 7)
    """
    if region not in _RATES:
        raise ValueError(f"'region' must be one of {', '.join(_RATES)} (got {region!r})")
    tables = _RATES[region]
    direction = _usual_direction(region, data_rate) if downlink is None else "downlink" if downlink else "uplink"
    if data_rate not in tables[direction]:
        which = region if downlink is None else f"{region} {direction}s"
        known = sorted({*tables["uplink"], *tables["downlink"]} if downlink is None else tables[direction])
        raise ValueError(f"'data_rate' must be one of {', '.join(map(str, known))} in {which} (got {data_rate!r})")
    sf, bandwidth_khz = tables[direction][data_rate]
    return LoRaParams(
        sf=sf,
        bandwidth_hz=bandwidth_khz * 1e3,
        sync_word=LORAWAN_SYNC_WORD,
        crc=direction == "uplink",
        inverted_iq=direction == "downlink",
        oversampling=oversampling,
    )


def meshtastic(name: str = "long_fast", *, wide: bool = False, oversampling: int = 1) -> LoRaParams:
    """A Meshtastic modem preset: sync word 0x2B, sixteen upchirps, CRC.

    Parameters
    ----------
    name
        As in the firmware, in any case: "long_fast", "LONG_FAST".
    wide
        True: its 2.4 GHz form, 3.25 times as wide, with twelve upchirps.
    oversampling
        Samples per chip.

    Raises
    ------
    ValueError
        An unknown name; `wide` for a preset that has no 2.4 GHz form.

    Examples
    --------
    >>> meshtastic("long_fast").sf, meshtastic("short_turbo").bandwidth_hz
    (11, 500000.0)
    >>> meshtastic("long_fast", wide=True).bandwidth_hz, meshtastic("tiny_slow").bandwidth_hz
    (812500.0, 15625.0)
    """
    key = str(name).lower().replace("-", "_")
    if key not in _MESHTASTIC:
        raise ValueError(f"'name' must be one of {', '.join(_MESHTASTIC)} (got {name!r})")
    sf, bandwidth_khz, cr, wide_khz = _MESHTASTIC[key]
    if wide and wide_khz is None:
        raise ValueError(f"'wide' must be False for {key}: it has no 2.4 GHz form (got True)")
    return LoRaParams(
        sf=sf,
        bandwidth_hz=1e3 * (wide_khz if wide and wide_khz is not None else bandwidth_khz),
        cr=cr,
        preamble_len=12 if wide else 16,
        sync_word=MESHTASTIC_SYNC_WORD,
        oversampling=oversampling,
    )


def meshcore(name: Literal["eu", "uk", "us"] = "eu", *, oversampling: int = 1) -> LoRaParams:
    """MeshCore's settings: 62.5 kHz, sync word 0x12, CRC; 32 upchirps up to SF8, 16 above.

    Examples
    --------
    >>> meshcore("eu").sf, meshcore("us").sf, meshcore("us").preamble_len
    (8, 7, 32)
    """
    if name not in _MESHCORE:
        raise ValueError(f"'name' must be one of {', '.join(_MESHCORE)} (got {name!r})")
    sf, cr, _ = _MESHCORE[name]
    return LoRaParams(
        sf=sf,
        bandwidth_hz=62.5e3,
        cr=cr,
        preamble_len=32 if sf <= 8 else 16,
        sync_word=PRIVATE_SYNC_WORD,
        oversampling=oversampling,
    )


def preset(name: str, *, oversampling: int = 1) -> LoRaParams:
    """The parameters of one name: ``eu868-dr5``, ``us915-dr8``, ``eu868-dr5-downlink``, ``meshtastic-long-fast``,
    ``meshtastic-long-fast-2.4ghz``, ``meshcore-eu``, ``lora-aprs``, ``ebyte-2.4k``, ``sf9``.

    Case does not matter, nor whether words are joined by ``-``, ``_`` or a space.

    Raises
    ------
    ValueError
        An unknown name; the message says which ones are near.

    Examples
    --------
    >>> preset("eu868-dr5").sf, preset("meshtastic-long-slow").cr, preset("sf9").sync_word
    (7, 4, 18)
    >>> preset("DR5")
    Traceback (most recent call last):
        ...
    ValueError: 'name' must be a preset (got 'DR5'); did you mean eu868-dr5, as923-dr5, in865-dr5, kr920-dr5, cn470-dr5?
    """
    return replace(preset_info(name).params, oversampling=oversampling)


def preset_info(name: str) -> Preset:
    """The preset of one name with its region, direction and source.

    Examples
    --------
    >>> found = preset_info("us915-dr8")
    >>> found.region, found.direction, found.params.bandwidth_hz
    ('US915', 'downlink', 500000.0)
    >>> preset_info("eu868-dr0").max_payload_len
    51
    """
    key = _normal(name)
    known = _presets()
    if key in known:
        return known[key]
    near = _near(key, list(known))
    hint = f"; did you mean {', '.join(near)}?" if near else "; lora_phy.presets.preset_names() lists them"
    raise ValueError(f"'name' must be a preset (got {name!r}){hint}")


def preset_names() -> list[str]:
    """Every name that `preset` knows, one for each preset."""
    return [name for name, item in _presets().items() if name == item.name]


@cache
def _presets() -> dict[str, Preset]:
    """All presets by name; those of LoRaWAN by that of their direction, too."""
    known: dict[str, Preset] = {}
    for region, tables in _RATES.items():
        for rate in sorted({*tables["uplink"], *tables["downlink"]}):
            plain, usual = f"{region.lower()}-dr{rate}", _usual_direction(region, rate)
            known[plain] = known[f"{plain}-{usual}"] = _lorawan_preset(region, rate, usual, plain)
            for direction in tables:
                name = f"{plain}-{direction}"
                if direction != usual and rate in tables[direction]:
                    known[name] = _lorawan_preset(region, rate, direction, name)
    found: list[Preset] = []
    for key, (*_, wide_khz) in _MESHTASTIC.items():
        source = None if key in _MESHTASTIC_NOT_READ else _MESHTASTIC_FIRMWARE
        plain = f"meshtastic-{key.replace('_', '-')}"
        found.append(Preset(name=plain, params=meshtastic(key), source=source))
        if wide_khz is not None:
            wide = meshtastic(key, wide=True)
            found.append(Preset(name=f"{plain}-2.4ghz", params=wide, region="ISM2400", source=source))
    for place in ("eu", "uk", "us"):
        region = _MESHCORE[place][2]
        found.append(Preset(name=f"meshcore-{place}", params=meshcore(place), region=region, source=_MESHCORE_FIRMWARE))
    found.append(Preset(name="lora-aprs", params=LoRaParams(sf=12)))
    # the sync word follows from the module's NETID: any, at a receiver
    ebyte = LoRaParams(sf=11, bandwidth_hz=500e3, ldro=True, preamble_len=20, sync_word=None)
    found.append(Preset(name="ebyte-2.4k", params=ebyte, source="a recording of a module"))
    found += [Preset(name=f"sf{sf}", params=LoRaParams(sf=sf)) for sf in range(5, 13)]
    return {**known, **{item.name: item for item in found}}


def _lorawan_preset(region: str, rate: int, direction: Direction, name: str) -> Preset:
    params = lorawan(rate, region=region, downlink=direction == "downlink")  # type: ignore[arg-type]
    added = _RATES[region][direction][rate] in _ADDED_BY_RP002
    source = _STATION if added or region in ("EU868", "US915") else _LORAMAC
    return Preset(
        name=name,
        params=params,
        region=region,
        direction=direction,
        source=None if (region, rate) in _NOT_READ else source,
        max_payload_len=_MOST_BYTES[region][direction].get(rate),
    )


def _usual_direction(region: str, rate: int) -> Direction:
    uplinks, downlinks = _RATES[region]["uplink"], _RATES[region]["downlink"]
    if uplinks is downlinks or rate not in downlinks:
        return "uplink"
    return "downlink" if rate not in uplinks or rate >= 8 else "uplink"


def _normal(name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", str(name).strip())
    return re.sub(r"[\s_-]+", "-", words).lower()


def _near(key: str, names: list[str], count: int = 5) -> list[str]:
    """Names that hold every word of `key`, plain ones first; else those that are spelt alike."""
    words = [word for word in key.split("-") if word]
    holding = [name for name in names if words and set(words) <= set(name.split("-"))]
    holding.sort(key=lambda name: name.count("-"))  # stable: names without an ending come first
    return holding[:count] or difflib.get_close_matches(key, names, n=count, cutoff=0.5)
