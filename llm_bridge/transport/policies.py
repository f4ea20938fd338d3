"""Loss policies: what a receiver keeps of what arrives.

============  =========================================================================================
policy        what the receiver does
============  =========================================================================================
drop          keeps frames whose CRC holds; the rest are erasures
deliver       keeps every frame whose header it can read, errors and all; a short one leaves an erasure
erasure       drop, and parity packets (`redundancy` of the data packets) that repair erasures
random-bytes  control for deliver: independent byte errors at equal rates
bursts        control for deliver: byte errors in bursts of equal statistics
drops         control for drop: independent packet losses at equal rate
============  =========================================================================================

A control's rates are measured over the radio on the same packets, or given (`controls.LinkStatistics`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llm_bridge.transport import controls
from llm_bridge.transport.radio import Arrival


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Loss policy: frames that the receiver keeps, parity at the sender, and the control in the radio's place."""

    keep: Callable[[Arrival], bool]
    parity: bool = False
    control: Callable[..., list[Arrival]] | None = None


def find_policy(name: str) -> Policy:
    """The policy called `name`; a `ValueError` that lists the known ones otherwise."""
    if name not in POLICIES:
        raise ValueError(f"'policy' must be one of {', '.join(POLICIES)} (got {name!r})")
    return POLICIES[name]


POLICIES: dict[str, Policy] = {
    "drop": Policy(keep=lambda arrival: arrival.crc_ok),
    "deliver": Policy(keep=lambda arrival: True),
    "erasure": Policy(keep=lambda arrival: arrival.crc_ok, parity=True),
    "random-bytes": Policy(keep=lambda arrival: True, control=controls.random_bytes),
    "bursts": Policy(keep=lambda arrival: True, control=controls.bursts),
    "drops": Policy(keep=lambda arrival: arrival.crc_ok, control=controls.drops),
}
"""Policies by name: a new one is one entry here."""
