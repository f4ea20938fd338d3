"""`Link`: one radio link of a study's grid, as one value.

    axis, level of a quantity  ─►  SNR at a spreading factor  ─►  RadioSettings (`llm_bridge.transport.settings`)

A row of a table spells a link in the columns `FIELDS`; `Link.columns` writes them and `Link.of_row` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from llm_bridge.axes import AXES, LEVEL_COLUMNS, QUANTITIES, Quantity

if TYPE_CHECKING:
    from llm_bridge.transport.settings import RadioSettings

FIELDS: tuple[str, ...] = (
    "axis", "sf", "snr_db", "fading", "cr", "policy", "source_coding", "channel_seed", *LEVEL_COLUMNS,
)  # fmt: skip
"""Columns that spell a link in a cell's configuration, in ``results.csv`` and in ``channel.csv``."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One radio link of a study.

    Parameters
    ----------
    axis
        A key of `llm_bridge.axes.AXES`: what is held equal between spreading factors.
    level
        Value of what is held equal, in the unit of `quantity`.
    quantity
        A key of `llm_bridge.axes.QUANTITIES`; the default is "snr_db".
    sf
        Spreading factor, 5 to 12.
    snr_db
        SNR in dB in the bandwidth, or the mean SNR under fading. It is `level` where an SNR is held equal.
    fading
        "none", "rayleigh" or "rician"; the default is "none".
    cr
        Coding rate 4/(4 + cr); the default is 1.
    policy
        What a receiver does with damaged frames (`llm_bridge.transport.policies.POLICIES`); the default is "drop".
    source_coding
        "utf8" (the default) or "token_ids".
    channel_seed
        Seed of all noise and fades; None where several seeds are pooled.

    Examples
    --------
    >>> link = Link(axis="equal_loss", level=0.3, quantity="frame_loss", sf=7, snr_db=-4.49, channel_seed=0)
    >>> link.label, link.columns()["frame_loss"], link.columns()["distance_km"]
    ('sf07-loss0.3--4.49dB-drop-equal_loss', 0.3, None)
    >>> Link.of_row(link.columns()) == link
    True
    """

    axis: str
    level: float
    quantity: str = "snr_db"
    sf: int
    snr_db: float
    fading: str = "none"
    cr: int = 1
    policy: str = "drop"
    source_coding: str = "utf8"
    channel_seed: int | None = None

    def columns(self) -> dict[str, Any]:
        """The link in the columns `FIELDS`; None in the columns of quantities that it does not hold equal."""
        levels = {name: self.level if name == self.quantity else None for name in LEVEL_COLUMNS}
        return {name: levels[name] if name in levels else getattr(self, name) for name in FIELDS}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Link | None:
        """The link that a row's columns spell; None where no link was crossed. Missing columns take the defaults."""
        if row.get("sf") is None or row.get("snr_db") is None:
            return None
        quantity = next((name for name in LEVEL_COLUMNS if row.get(name) is not None), "snr_db")
        known = {name: row[name] for name in FIELDS if name not in LEVEL_COLUMNS and row.get(name) is not None}
        return cls(**{"axis": "fixed_snr", **known, "quantity": quantity, "level": row[quantity]})

    @property
    def held(self) -> Quantity:
        """Quantity that the link holds equal between spreading factors."""
        return QUANTITIES[self.quantity]

    @property
    def condition(self) -> tuple[object, ...]:
        """Condition that a curve over spreading factors holds fixed: the link without SF, its SNR and its seed."""
        return self.axis, self.level, self.fading, self.cr, self.policy, self.source_coding, self.quantity

    @property
    def label(self) -> str:
        """The link in the name of a cell's folder."""
        level = [self.held.slug.format(self.level)] if self.held.slug else []
        return "-".join([f"sf{self.sf:02d}", *level, f"{self.snr_db:g}dB", self.policy, self.axis])

    @property
    def setting_names(self) -> tuple[str, ...]:
        """Keys of a recipe's section ``radio`` that shape this link and not every one."""
        fading = ("k_factor_db",) if self.fading == "rician" else ()
        return (*self.held.settings, *AXES[self.axis].settings, *fading)

    def radio_settings(
        self,
        *,
        bandwidth_hz: float = 125e3,
        redundancy: float = 0.5,
        fragment_len: int | Literal["max"] = 48,
        decoding: str = "hard",
        sync: str = "perfect",
        pair_noise: str = "same",
        engine: str | None = None,
        k_factor_db: float | None = None,
        doppler_hz: float = 0.0,
        shadowing_db: float = 0.0,
    ) -> RadioSettings:
        """The radio of the link, on which each item is sent once.

        Parameters
        ----------
        bandwidth_hz, redundancy, fragment_len, decoding, sync, pair_noise, engine
            The parameters of the same names of `RadioSettings`.
        k_factor_db
            K factor in dB; it is used under Rician fading alone.
        doppler_hz
            Largest Doppler shift in Hz; it is used under fading alone.
        shadowing_db
            Standard deviation of shadowing in dB; it is used where a distance is held equal.
        """
        from llm_bridge.transport.settings import RadioSettings

        return RadioSettings(
            sf=self.sf,
            snr_db=self.snr_db,
            cr=self.cr,
            fading=None if self.fading == "none" else self.fading,
            k_factor_db=k_factor_db if self.fading == "rician" else None,
            doppler_hz=doppler_hz if self.fading != "none" else 0.0,
            bandwidth_hz=bandwidth_hz,
            policy=self.policy,
            source_coding=self.source_coding,
            redundancy=redundancy,
            fragment_len=fragment_len,
            channel_seed=self.channel_seed or 0,
            decoding=cast("Any", decoding),  # the settings check the values of all four
            sync=cast("Any", sync),
            pair_noise=cast("Any", pair_noise),
            engine=cast("Any", engine),
            shadowing_db=shadowing_db if "shadowing_db" in self.held.settings else 0.0,
        )


def link_columns(link: Link | None) -> dict[str, Any]:
    """Columns `FIELDS` of a link, or of none: then each is None."""
    return dict.fromkeys(FIELDS) if link is None else link.columns()
