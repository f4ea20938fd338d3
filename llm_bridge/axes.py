r"""Axes of a study: what is held equal between spreading factors, and the SNR at each of them that this means.

    distance        SNR = P_tx - L(d0) - 10 n log10(d / d0) - N,       N = 10 log10(kTB / 1 mW) + NF,     d0 = 1 m
    equal energy    SNR = Eb/N0 + 10 log10(8 b / (B T))
    equal loss      SNR at which this share of full packets is lost (`llm_bridge.transport.frame_loss`)

An axis is added in this module alone: an entry of `AXES`, and of `QUANTITIES` where it holds something new equal. The
recipe's keys, the columns of tables, the names of cells and the sentences of a report follow from these entries.

On the energy axis a transmitter spends the same energy on air per bit of program text at every spreading factor. A
frame of power P lasts T and carries b bytes of text, so that Eb = P T / (8 b); with N0 = (noise power) / B this is
Eb/N0 = SNR B T / (8 b). T is the whole frame, with preamble, headers, CRC and parity bits: they cost energy and carry
no text. Energy per information bit over noise density is the usual axis of such comparisons (Proakis and Salehi,
Digital Communications, chapter 4); that overheads count is our choice.

Path loss: Rappaport, Wireless Communications, chapter 4 (`lora_phy.channel.path_loss`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_bridge.transport.settings import RadioSettings

SNR_DECIMALS = 2
"""SNRs that were computed are rounded to 0.01 dB, so that they can be read, and written in a recipe."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Power, path loss and noise figure of a transmitter's place, by which a distance becomes an SNR.

    Parameters
    ----------
    tx_power_dbm
        Radiated power in dBm; the default is 14.
    path_loss_exponent
        Exponent of log-distance path loss beyond 1 m; the default is 3.5.
    noise_figure_db
        Noise figure of the receiver in dB; the default is 6.
    region
        A key of `lora_phy.studies.budget.REGIONS`, which gives the carrier frequency; the default is "EU868".
    """

    tx_power_dbm: float = 14.0
    path_loss_exponent: float = 3.5
    noise_figure_db: float = 6.0
    region: str = "EU868"


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A quantity that an axis holds equal between spreading factors.

    Parameters
    ----------
    name
        Key of the recipe's section ``radio``, and column of tables.
    snr_db
        Function ``(level, radio, site)`` that gives the SNR in dB at the radio's spreading factor, or the mean SNR
        under fading; the SNR of `radio` itself is not read.
    low, high
        Bounds of a level, both excluded; only an SNR may be infinite.
    words
        The level in prose, with "{}" for the number; `scale` times the level is written there.
    scale
        Factor between a level and the number in `words`; the default is 1.
    heading
        Heading of a table's column; empty for the SNR, which every table has.
    slug
        The level in a cell's name, with "{:g}" for it; empty for the SNR, which every name has.
    settings
        Keys of the recipe's section ``radio`` that shape the SNR, beside those that shape every link.
    written_where_none
        Whether the column is written where another quantity is held equal; a quantity that is younger than published
        results is not, so that names of cells stay as they are.
    """

    name: str
    snr_db: Callable[[float, RadioSettings, Site], float]
    low: float = -math.inf
    high: float = math.inf
    words: str
    scale: float = 1.0
    heading: str = ""
    slug: str = ""
    settings: tuple[str, ...] = ()
    written_where_none: bool = False

    @property
    def range_words(self) -> str:
        """The bounds of a level, in words."""
        if self.high < math.inf:
            return f"in ({self.low:g}, {self.high:g}), both excluded"
        return f"above {self.low:g} and finite" if self.low > -math.inf else "finite"


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Axis of a study: the condition that is held equal between spreading factors.

    Parameters
    ----------
    words
        What is held equal, in prose.
    quantities
        Names of the quantities whose levels the axis takes, the preferred one first.
    settings
        Keys of the recipe's section ``radio`` that shape the axis, beside those of its quantities.
    """

    words: str
    quantities: tuple[str, ...]
    settings: tuple[str, ...] = ()


def snr_at_distance_db(distance_km: float, radio: RadioSettings, site: Site) -> float:
    """Median SNR in dB at a distance: log-distance path loss from free space at 1 m, antennas of 0 dBi.

    Examples
    --------
    >>> from llm_bridge.transport.settings import RadioSettings
    >>> radio, site = RadioSettings(sf=7, snr_db=0.0), Site(tx_power_dbm=14.0, path_loss_exponent=3.5)
    >>> [snr_at_distance_db(km, radio, site) for km in (0.5, 5.0)]
    [5.32, -29.68]
    """
    from lora_phy.channel import path_loss
    from lora_phy.studies.budget import REGIONS

    frequency = REGIONS[site.region].frequency_hz
    loss = path_loss.log_distance_db(1e3 * distance_km, frequency, exponent=site.path_loss_exponent)
    snr = path_loss.snr_db(site.tx_power_dbm, loss, radio.bandwidth_hz, noise_figure_db=site.noise_figure_db)
    return round(float(snr), SNR_DECIMALS)


def equal_energy_snr_db(ebn0_db: float, radio: RadioSettings, site: Site | None = None) -> float:
    """SNR in dB at which a full packet costs `ebn0_db` per bit of its text; see the formula above.

    Examples
    --------
    >>> from llm_bridge.transport.settings import RadioSettings
    >>> [equal_energy_snr_db(10.0, RadioSettings(sf=sf, snr_db=0.0)) for sf in (7, 12)]
    [-5.24, -19.05]
    """
    text_len = radio.max_fragment_len
    snr = ebn0_db + 10 * math.log10(8 * text_len / (radio.bandwidth_hz * radio.full_frame_s))
    return round(snr, SNR_DECIMALS)


def equal_loss_snr_db(frame_loss: float, radio: RadioSettings, site: Site | None = None) -> float:
    """SNR in dB, the mean under fading, at which this share of full packets is lost.

    Examples
    --------
    >>> from llm_bridge.transport.settings import RadioSettings
    >>> [equal_loss_snr_db(0.3, RadioSettings(sf=sf, snr_db=0.0, fading="rayleigh")) for sf in (7, 12)]
    [-4.49, -18.96]
    """
    from llm_bridge.transport.frame_loss import snr_of_loss_db

    return round(snr_of_loss_db(frame_loss, radio), SNR_DECIMALS)


QUANTITIES: Mapping[str, Quantity] = {
    entry.name: entry
    for entry in (
        Quantity(name="snr_db", snr_db=lambda level, radio, site: level, words="SNR {} dB"),
        Quantity(
            name="distance_km",
            snr_db=snr_at_distance_db,
            low=1e-6,
            words="{} km",
            heading="Distance / km",
            slug="{:g}km",
            settings=("tx_power_dbm", "path_loss_exponent", "shadowing_db", "noise_figure_db"),
            written_where_none=True,
        ),
        Quantity(name="ebn0_db", snr_db=equal_energy_snr_db, words="Eb/N0 {} dB", written_where_none=True),
        Quantity(
            name="frame_loss",
            snr_db=equal_loss_snr_db,
            low=0.0,
            high=1.0,
            words="{} % of frames lost",
            scale=100.0,
            heading="Loss aimed at",
            slug="loss{:g}",
        ),
    )
}
"""Every quantity that an axis can hold equal, by name, in the order of their columns."""

AXES: Mapping[str, Axis] = {
    "fixed_snr": Axis(words="same SNR at every spreading factor", quantities=("snr_db",)),
    "equal_airtime": Axis(
        words="same airtime at every spreading factor", quantities=("distance_km", "snr_db"), settings=("period_s",)
    ),
    "distance": Axis(words="same distance and power at every spreading factor", quantities=("distance_km",)),
    "equal_energy": Axis(words="same energy per bit at every spreading factor", quantities=("ebn0_db",)),
    "equal_loss": Axis(words="same share of frames lost at every spreading factor", quantities=("frame_loss",)),
}
"""Every axis by name, in the order of a report."""

LEVEL_COLUMNS: tuple[str, ...] = tuple(name for name in QUANTITIES if name != "snr_db")
"""Columns of tables that hold the level of an axis, where that is not the SNR."""
