"""Path loss: from metres and milliwatts to `snr_db`.

    SNR = P_tx + G_tx + G_rx - L(d) - X - N,     N = 10 log10(k T B / 1 mW) + NF,     X ~ N(0, σ²) shadowing

Every loss is in dB, positive, broadcasts over `distance_m`, and is the median: shadowing comes on top.

Hata, IEEE Trans. Veh. Technol. 29(3), 1980; 3GPP TR 38.901, table 7.4.1-1 and 7.4.2-1; Rappaport, Wireless
Communications, chapter 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import FloatArray
from lora_phy.checks import finite

BOLTZMANN_J_K = 1.380649e-23
LIGHT_M_S = 299_792_458.0

HataEnvironment = Literal["large city", "city", "suburban", "open"]


def thermal_noise_dbm(bandwidth_hz: float, noise_figure_db: float = 6.0, temperature_k: float = 290.0) -> float:
    """Noise power in `bandwidth_hz` at the receiver's input, dBm: kTB and the noise figure.

    Examples
    --------
    >>> round(thermal_noise_dbm(125e3, 6.0), 2)  # -174 + 51 + 6
    -117.01
    """
    bandwidth = finite("bandwidth_hz", bandwidth_hz, low=1e-3)
    kelvin = finite("temperature_k", temperature_k, low=1e-3)
    floor = 10.0 * math.log10(BOLTZMANN_J_K * kelvin * bandwidth / 1e-3)
    return floor + finite("noise_figure_db", noise_figure_db, low=0.0)


def snr_db(
    tx_power_dbm: float,
    path_loss_db: npt.ArrayLike,
    bandwidth_hz: float,
    *,
    tx_gain_dbi: float = 0.0,
    rx_gain_dbi: float = 0.0,
    noise_figure_db: float = 6.0,
) -> FloatArray:
    """SNR in `bandwidth_hz` of a signal that lost `path_loss_db` (shadowing included, where there is any).

    Examples
    --------
    >>> round(float(snr_db(14.0, 140.0, 125e3)), 2)
    -8.99
    """
    received = tx_power_dbm + tx_gain_dbi + rx_gain_dbi - np.asarray(path_loss_db, dtype=np.float64)
    return np.asarray(received - thermal_noise_dbm(bandwidth_hz, noise_figure_db))


def free_space_db(distance_m: npt.ArrayLike, frequency_hz: float) -> FloatArray:
    """Friis: 20 log10(4π d f / c).

    Examples
    --------
    >>> round(float(free_space_db(1000.0, 868e6)), 2)
    91.22
    """
    return np.asarray(20.0 * np.log10(4 * np.pi * _distance(distance_m) * _frequency(frequency_hz) / LIGHT_M_S))


def log_distance_db(
    distance_m: npt.ArrayLike, frequency_hz: float, exponent: float = 3.0, reference_m: float = 1.0
) -> FloatArray:
    """Free space out to `reference_m`, then 10 n log10(d / d0); exponent 2 is free space.

    Examples
    --------
    >>> round(float(log_distance_db(100.0, 868e6, exponent=3.5)), 2)
    101.22
    """
    reference = finite("reference_m", reference_m, low=1e-3)
    slope = 10.0 * finite("exponent", exponent, low=0.0)
    return np.asarray(free_space_db(reference, frequency_hz) + slope * np.log10(_distance(distance_m) / reference))


def okumura_hata_db(
    distance_m: npt.ArrayLike,
    frequency_hz: float,
    *,
    base_height_m: float = 30.0,
    mobile_height_m: float = 1.5,
    environment: HataEnvironment = "city",
) -> FloatArray:
    """Okumura's curves as fitted by Hata: 150–1500 MHz, base 30–200 m, mobile 1–10 m; fitted over 1–20 km.

    69.55 + 26.16 log f - 13.82 log h_b - a(h_m) + (44.9 - 6.55 log h_b) log d, f in MHz and d in km, less the suburban
    or open-area correction. Distances outside the fit are extrapolated, frequencies and heights refused.

    Examples
    --------
    >>> round(float(okumura_hata_db(1000.0, 900e6)), 1)  # the often quoted 126.4 + 35.2 log d
    126.4
    """
    f = math.log10(_frequency(frequency_hz, 150e6, 1500e6) / 1e6)
    base = math.log10(finite("base_height_m", base_height_m, low=30.0, high=200.0))
    mobile = finite("mobile_height_m", mobile_height_m, low=1.0, high=10.0)
    if environment not in ("large city", "city", "suburban", "open"):
        raise ValueError(f"'environment' must be a Hata environment (got {environment!r})")
    if environment != "large city":
        height_gain = (1.1 * f - 0.7) * mobile - (1.56 * f - 0.8)
    elif frequency_hz >= 300e6:
        height_gain = 3.2 * math.log10(11.75 * mobile) ** 2 - 4.97
    else:
        height_gain = 8.29 * math.log10(1.54 * mobile) ** 2 - 1.1
    relief = {
        "suburban": 2 * (f - math.log10(28.0)) ** 2 + 5.4,
        "open": 4.78 * f**2 - 18.33 * f + 40.94,
    }.get(environment, 0.0)
    constant = 69.55 + 26.16 * f - 13.82 * base - height_gain - relief
    return np.asarray(constant + (44.9 - 6.55 * base) * np.log10(_distance(distance_m) / 1e3))


def rural_macro_db(
    distance_m: npt.ArrayLike,
    frequency_hz: float,
    *,
    base_height_m: float = 35.0,
    mobile_height_m: float = 1.5,
    building_height_m: float = 5.0,
    street_width_m: float = 20.0,
    line_of_sight: bool = True,
) -> FloatArray:
    """3GPP RMa, 0.5–30 GHz; `distance_m` along the ground, 10 m to 10 km (5 km without line of sight).

    Shadowing: σ = 4 dB before the break point 2π h_b h_m f/c, 6 dB beyond, 8 dB without line of sight.

    Examples
    --------
    >>> [round(float(rural_macro_db(1000.0, 868e6, line_of_sight=sight)), 1) for sight in (True, False)]
    [93.7, 118.3]
    """
    ghz = _frequency(frequency_hz, 0.5e9, 30e9) / 1e9
    base = finite("base_height_m", base_height_m, low=10.0, high=150.0)
    mobile = finite("mobile_height_m", mobile_height_m, low=1.0, high=10.0)
    height = finite("building_height_m", building_height_m, low=5.0, high=50.0)
    width = finite("street_width_m", street_width_m, low=5.0, high=50.0)
    ground = _distance(distance_m)
    slant = np.hypot(ground, base - mobile)
    break_point = 2 * np.pi * base * mobile * frequency_hz / LIGHT_M_S

    def near(d: FloatArray) -> FloatArray:
        loss = 20 * np.log10(40 * np.pi * d * ghz / 3) + min(0.03 * height**1.72, 10.0) * np.log10(d)
        return np.asarray(loss - min(0.044 * height**1.72, 14.77) + 0.002 * math.log10(height) * d)

    far = near(np.asarray(break_point)) + 40 * np.log10(slant / break_point)
    loss = np.where(ground <= break_point, near(slant), far)
    if line_of_sight:
        return np.asarray(loss)
    hidden = (
        161.04
        - 7.1 * math.log10(width)
        + 7.5 * math.log10(height)
        - (24.37 - 3.7 * (height / base) ** 2) * math.log10(base)
        + (43.42 - 3.1 * math.log10(base)) * (np.log10(slant) - 3)
        + 20 * math.log10(ghz)
        - (3.2 * math.log10(11.75 * mobile) ** 2 - 4.97)
    )
    return np.maximum(loss, hidden)


def urban_macro_db(
    distance_m: npt.ArrayLike,
    frequency_hz: float,
    *,
    base_height_m: float = 25.0,
    mobile_height_m: float = 1.5,
    line_of_sight: bool = True,
) -> FloatArray:
    """3GPP UMa, 0.5–100 GHz; `distance_m` along the ground, 10 m to 5 km. Shadowing: σ = 4 dB, 6 dB without sight.

    Examples
    --------
    >>> [round(float(urban_macro_db(1000.0, 868e6, line_of_sight=sight)), 1) for sight in (True, False)]
    [108.1, 129.6]
    """
    ghz = _frequency(frequency_hz, 0.5e9, 100e9) / 1e9
    base = finite("base_height_m", base_height_m, low=2.0, high=200.0)
    mobile = finite("mobile_height_m", mobile_height_m, low=1.2, high=13.0)
    ground = _distance(distance_m)
    slant = np.hypot(ground, base - mobile)
    break_point = 4 * (base - 1.0) * (mobile - 1.0) * frequency_hz / LIGHT_M_S
    near = 28.0 + 22 * np.log10(slant) + 20 * math.log10(ghz)
    corner = 9 * math.log10(break_point**2 + (base - mobile) ** 2)
    far = 28.0 + 40 * np.log10(slant) + 20 * math.log10(ghz) - corner
    loss = np.where(ground <= break_point, near, far)
    if line_of_sight:
        return np.asarray(loss)
    return np.maximum(loss, 13.54 + 39.08 * np.log10(slant) + 20 * math.log10(ghz) - 0.6 * (mobile - 1.5))


def line_of_sight_probability(distance_m: npt.ArrayLike, scenario: Literal["rural", "urban"]) -> FloatArray:
    """3GPP probability of line of sight at a ground distance (mobiles up to 13 m high).

    Examples
    --------
    >>> line_of_sight_probability([10.0, 1010.0], "rural").round(3)
    array([1.   , 0.368])
    """
    d = _distance(distance_m)
    if scenario == "rural":
        return np.asarray(np.exp(-np.maximum(d - 10.0, 0.0) / 1000.0))
    if scenario == "urban":
        share = np.minimum(18.0 / d, 1.0)
        return np.asarray(share + np.exp(-d / 63.0) * (1.0 - share))
    raise ValueError(f"'scenario' must be 'rural' or 'urban' (got {scenario!r})")


def shadowing_db(sigma_db: float, size: int | tuple[int, ...], *, rng: np.random.Generator) -> FloatArray:
    """Log-normal shadowing: independent N(0, σ²) in dB, to be added to a loss.

    Examples
    --------
    >>> round(float(np.std(shadowing_db(8.0, 100_000, rng=np.random.default_rng(0)))))
    8
    """
    return np.asarray(finite("sigma_db", sigma_db, low=0.0) * rng.standard_normal(size))


def max_range_m(path_loss_db: Callable[[float], npt.ArrayLike], max_loss_db: float, *, limit_m: float = 1e7) -> float:
    """Distance at which a rising loss reaches `max_loss_db`: 0 if exceeded at 1 m, `limit_m` if never reached.

    Examples
    --------
    >>> round(max_range_m(lambda d: okumura_hata_db(d, 868e6, environment="suburban"), 140.0))
    4756
    """
    budget = finite("max_loss_db", max_loss_db)

    def excess(log_distance: float) -> float:
        return float(np.asarray(path_loss_db(math.exp(log_distance)))) - budget

    if excess(0.0) >= 0.0:
        return 0.0
    if excess(math.log(limit_m)) <= 0.0:
        return limit_m
    from scipy import optimize  # slow to import, and needed here alone

    return math.exp(float(optimize.brentq(excess, 0.0, math.log(limit_m), xtol=1e-10)))


def _distance(distance_m: npt.ArrayLike) -> FloatArray:
    d = np.asarray(distance_m, dtype=np.float64)
    if not np.all((d >= 1e-3) & np.isfinite(d)):
        raise ValueError(f"'distance_m' must be at least 0.001 and finite (got {distance_m!r})")
    return d


def _frequency(frequency_hz: float, low: float = 1e3, high: float = 1e12) -> float:
    return finite("frequency_hz", frequency_hz, low=low, high=high)
