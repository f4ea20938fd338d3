"""Range, rules and energy: what one frame costs and how far it goes.

    margin = SNR(distance) - SNR(PER = 1 %),     off time = airtime (1/duty - 1),     energy = U · I(P_tx) · airtime

The rules are extracts for planning and no legal advice. Radiated power: the default MaxEIRP of the LoRa Alliance's
Regional Parameters (v1.0.3 revA: EU868 16 dBm; RP002-1.0.5: IN865 29.2 dBm, 30 before) and, for EU433, AS923, AU915,
KR920 (from 922.1 MHz on; 10 dBm below), CN470 and RU864, the values of Semtech's LoRaMac-node; its duty cycles of AS923
and RU864, too. Not checked against their sources: the ETSI EN 300 220 sub-bands g2 and g3, the other duty cycles,
US915's power, dwell times and that they spare 500 kHz channels, the 2.4 GHz band. Transmit currents are typical values
at 3.3 V: the SX1262's 118 mA at 22 dBm and 90 mA at 14 dBm are quoted by energy models, the other steps are unverified
against the data sheets.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

from lora_phy.channel import path_loss
from lora_phy.checks import finite
from lora_phy.frames.airtime import airtime_s
from lora_phy.params import MAX_PAYLOAD_LEN, LoRaParams
from lora_phy.presets import Preset
from lora_phy.theory import per_awgn, required_snr_db


@dataclass(frozen=True, kw_only=True)
class RegionRule:
    """Limits of a region in one band: share of time on air, longest single frame (in channels narrower than
    `dwell_below_hz`), radiated power.

    Examples
    --------
    >>> REGIONS["EU868"].duty_cycle, REGIONS["US915"].dwell_time_s
    (0.01, 0.4)
    """

    frequency_hz: float
    duty_cycle: float | None
    dwell_time_s: float | None
    max_eirp_dbm: float
    dwell_below_hz: float = math.inf


REGIONS: dict[str, RegionRule] = {
    "EU868": RegionRule(frequency_hz=868.1e6, duty_cycle=0.01, dwell_time_s=None, max_eirp_dbm=16.0),
    "EU868-g2": RegionRule(frequency_hz=868.95e6, duty_cycle=0.001, dwell_time_s=None, max_eirp_dbm=16.0),
    "EU868-g3": RegionRule(frequency_hz=869.525e6, duty_cycle=0.1, dwell_time_s=None, max_eirp_dbm=29.15),
    "EU433": RegionRule(frequency_hz=433.175e6, duty_cycle=0.1, dwell_time_s=None, max_eirp_dbm=12.15),
    "US915": RegionRule(
        frequency_hz=902.3e6, duty_cycle=None, dwell_time_s=0.4, max_eirp_dbm=30.0, dwell_below_hz=500e3
    ),
    "AU915": RegionRule(
        frequency_hz=915.2e6, duty_cycle=None, dwell_time_s=0.4, max_eirp_dbm=30.0, dwell_below_hz=500e3
    ),
    "AS923": RegionRule(frequency_hz=923.2e6, duty_cycle=0.01, dwell_time_s=0.4, max_eirp_dbm=16.0),
    "IN865": RegionRule(frequency_hz=865.0625e6, duty_cycle=None, dwell_time_s=None, max_eirp_dbm=29.2),
    "KR920": RegionRule(frequency_hz=922.1e6, duty_cycle=None, dwell_time_s=None, max_eirp_dbm=14.0),
    "CN470": RegionRule(frequency_hz=470.3e6, duty_cycle=None, dwell_time_s=None, max_eirp_dbm=19.15),
    "RU864": RegionRule(frequency_hz=868.9e6, duty_cycle=0.01, dwell_time_s=None, max_eirp_dbm=16.0),
    "ISM2400": RegionRule(frequency_hz=2403e6, duty_cycle=None, dwell_time_s=None, max_eirp_dbm=10.0),
}

TX_CURRENT_A: dict[str, dict[float, float]] = {
    "SX1276": {7.0: 0.020, 13.0: 0.029, 17.0: 0.090, 20.0: 0.120},
    "SX1262": {14.0: 0.090, 17.0: 0.095, 20.0: 0.105, 22.0: 0.118},
}


@dataclass(frozen=True, kw_only=True)
class LinkBudget:
    """Link budget of one frame; `link_budget` makes it, `format_budget` prints it.

    Examples
    --------
    >>> budget = link_budget(LoRaParams(sf=9), 16, 140.0)
    >>> round(budget.snr_db, 1), round(budget.margin_db, 1)
    (-9.0, 4.2)
    """

    params: LoRaParams
    payload_len: int
    region: str
    tx_power_dbm: float
    path_loss_db: float
    noise_dbm: float
    snr_db: float
    required_snr_db: float
    sensitivity_dbm: float
    margin_db: float
    per: float
    airtime_s: float
    off_time_s: float
    within_dwell_time: bool
    energy_j: float


def off_time_s(on_air_s: float, duty_cycle: float | None) -> float:
    """Silence that must follow a frame: airtime (1/duty - 1); 0 where there is no limit.

    Examples
    --------
    >>> round(off_time_s(0.1, 0.01), 1)
    9.9
    """
    if not (math.isfinite(on_air_s) and on_air_s >= 0):
        raise ValueError(f"'on_air_s' must be finite and at least 0 (got {on_air_s!r})")
    if duty_cycle is None:
        return 0.0
    if not 0.0 < duty_cycle <= 1.0:
        raise ValueError(f"'duty_cycle' must be in (0, 1] (got {duty_cycle!r})")
    return on_air_s * (1.0 / duty_cycle - 1.0)


def max_payload_within(dwell_time_s: float, params: LoRaParams) -> int | None:
    """Largest payload whose airtime stays within `dwell_time_s`; None where not even an empty frame does.

    Examples
    --------
    >>> max_payload_within(0.4, LoRaParams(sf=10)), max_payload_within(0.4, LoRaParams(sf=12))
    (24, None)
    """
    fitting = [n for n in range(MAX_PAYLOAD_LEN + 1) if airtime_s(n, params) <= dwell_time_s]
    return max(fitting) if fitting else None


def energy_per_frame_j(
    payload_len: int, params: LoRaParams, tx_power_dbm: float, *, chip: str = "SX1276", supply_v: float = 3.3
) -> float:
    """Energy of transmitting one frame: supply voltage, typical current of the next higher power step, airtime.

    Examples
    --------
    >>> round(1e3 * energy_per_frame_j(16, LoRaParams(sf=7), 13.0), 2)  # mJ
    4.92
    """
    if chip not in TX_CURRENT_A:
        raise ValueError(f"'chip' must be one of {tuple(TX_CURRENT_A)} (got {chip!r})")
    if not (math.isfinite(supply_v) and supply_v > 0):
        raise ValueError(f"'supply_v' must be positive and finite (got {supply_v!r})")
    steps = [power for power in TX_CURRENT_A[chip] if power >= tx_power_dbm]
    if not steps:
        raise ValueError(
            f"'tx_power_dbm' must be at most {max(TX_CURRENT_A[chip])} for the {chip} (got {tx_power_dbm!r})"
        )
    return supply_v * TX_CURRENT_A[chip][min(steps)] * airtime_s(payload_len, params)


def link_budget(
    params: LoRaParams | Preset,
    payload_len: int,
    path_loss_db: float,
    *,
    tx_power_dbm: float = 14.0,
    tx_gain_dbi: float = 0.0,
    rx_gain_dbi: float = 0.0,
    noise_figure_db: float = 6.0,
    region: str | None = None,
    target_per: float = 0.01,
    chip: str = "SX1276",
) -> LinkBudget:
    """Signal, margin, time and energy of one frame over a path that loses `path_loss_db`.

    The required SNR is that of hard decoding at `target_per` in AWGN with perfect sync (`theory.per_awgn`).

    Parameters
    ----------
    params
        Waveform and framing, or a preset (`lora_phy.presets.preset_info`), which knows its region.
    region
        Key of `REGIONS`; None: that of the preset, else "EU868". A UserWarning says where it is not the preset's.

    Raises
    ------
    ValueError
        A path that gains power; an unknown region or chip, more radiated power than the region allows, a power the chip
        cannot give.

    Examples
    --------
    >>> link_budget(LoRaParams(sf=12), 16, 150.0, region="US915").within_dwell_time
    False
    >>> from lora_phy.presets import preset_info
    >>> link_budget(preset_info("us915-dr0"), 11, 130.0).region
    'US915'
    """
    home = params.region if isinstance(params, Preset) else None
    if region is not None and home is not None and region.split("-")[0] != home.split("-")[0]:
        warnings.warn(f"the preset is one of {home}, judged by the rules of {region}", UserWarning, stacklevel=2)
    region = region or home or "EU868"
    params = params.params if isinstance(params, Preset) else params
    path_loss_db = finite("path_loss_db", path_loss_db, low=0.0)
    if region not in REGIONS:
        raise ValueError(f"'region' must be one of {tuple(REGIONS)} (got {region!r})")
    rule = REGIONS[region]
    tx_power_dbm = finite("tx_power_dbm", tx_power_dbm, low=-100.0, high=100.0)
    tx_gain_dbi = finite("tx_gain_dbi", tx_gain_dbi, low=-100.0, high=100.0)
    rx_gain_dbi = finite("rx_gain_dbi", rx_gain_dbi, low=-100.0, high=100.0)
    if tx_power_dbm + tx_gain_dbi > rule.max_eirp_dbm:
        bound = f"with the antenna gain at most {rule.max_eirp_dbm:g} dBm in {region}"
        raise ValueError(f"'tx_power_dbm' must be {bound} (got {tx_power_dbm!r} + {tx_gain_dbi!r})")
    noise_dbm = path_loss.thermal_noise_dbm(params.bandwidth_hz, noise_figure_db)
    gains = {"tx_gain_dbi": tx_gain_dbi, "rx_gain_dbi": rx_gain_dbi, "noise_figure_db": noise_figure_db}
    snr = float(path_loss.snr_db(tx_power_dbm, path_loss_db, params.bandwidth_hz, **gains))
    required = required_snr_db(lambda s: per_awgn(params, payload_len, s), target_per)
    on_air_s = airtime_s(payload_len, params)
    return LinkBudget(
        params=params,
        payload_len=payload_len,
        region=region,
        tx_power_dbm=tx_power_dbm,
        path_loss_db=path_loss_db,
        noise_dbm=noise_dbm,
        snr_db=snr,
        required_snr_db=required,
        sensitivity_dbm=noise_dbm + required,
        margin_db=snr - required,
        per=float(per_awgn(params, payload_len, snr)),
        airtime_s=on_air_s,
        off_time_s=off_time_s(on_air_s, rule.duty_cycle),
        within_dwell_time=(
            rule.dwell_time_s is None or params.bandwidth_hz >= rule.dwell_below_hz or on_air_s <= rule.dwell_time_s
        ),
        energy_j=energy_per_frame_j(payload_len, params, tx_power_dbm, chip=chip),
    )


def format_budget(budget: LinkBudget) -> str:
    """The budget as aligned plain text, one quantity a line.

    Examples
    --------
    >>> print(format_budget(link_budget(LoRaParams(sf=7), 16, 130.0)).splitlines()[0])
    spreading factor           SF7, 125 kHz, 4/5
    """
    b, p = budget, budget.params
    rows = [
        ("spreading factor", f"SF{p.sf}, {p.bandwidth_hz / 1e3:g} kHz, 4/{4 + p.cr}"),
        ("payload", f"{b.payload_len} bytes"),
        ("transmit power", f"{b.tx_power_dbm:.1f} dBm"),
        ("path loss", f"{b.path_loss_db:.1f} dB"),
        ("noise in the band", f"{b.noise_dbm:.1f} dBm"),
        ("SNR", f"{b.snr_db:.1f} dB"),
        ("SNR needed", f"{b.required_snr_db:.1f} dB"),
        ("sensitivity", f"{b.sensitivity_dbm:.1f} dBm"),
        ("margin", f"{b.margin_db:.1f} dB"),
        ("packet error rate", f"{b.per:.2g}"),
        ("airtime", f"{1e3 * b.airtime_s:.1f} ms"),
        (f"off time ({b.region})", f"{b.off_time_s:.2f} s"),
        (f"dwell time ({b.region})", "kept" if b.within_dwell_time else "EXCEEDED"),
        ("energy", f"{1e3 * b.energy_j:.2f} mJ"),
    ]
    return "\n".join(f"{name:<26} {value}" for name, value in rows)
