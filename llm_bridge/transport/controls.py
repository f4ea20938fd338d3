r"""Controls: damage of the same amount as a radio link's, without its texture. No spreading factor enters.

==============  ======================================  ================================================
policy value    what happens to a packet                what it is compared with
==============  ======================================  ================================================
random-bytes    lost with `packet_loss_rate`; else each  "deliver": same error rate, errors independent
                byte wrong with `byte_error_rate`
bursts          the same rates, errors in bursts of      "deliver": same rate and bursts, no chirps
                `burst_len` bytes and `burst_density`
drops           lost with `frame_loss_rate`              "drop": same loss, independent of length and SNR
==============  ======================================  ================================================

A wrong byte is any of the 255 others with equal probability. The bursts are those of Gilbert and Elliott: a two-state
chain, started in its stationary state, leaves the bad state with probability :math:`1/L`, enters it with
:math:`π / ((1 - π) L)` where :math:`π = r / h`, and makes bytes wrong with probability `h` in the bad state only, for
error rate r, burst length L and density h.

The rates are given (`LinkStatistics`) or measured on the same packets over the real link (`measure`).
Gilbert, Bell Syst. Tech. J. 39, 1960; Elliott, Bell Syst. Tech. J. 42, 1963.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from llm_bridge.transport.packets import HEADER_LEN, different_bytes, names_packet
from llm_bridge.transport.radio import CONTROL_STREAM, Arrival, Packet, packet_keys
from lora_phy.random_streams import uniforms

PairNoise = Literal["same", "independent"]
Draws = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BLOCK_PACKETS = 4096
"""Packets worked on at a time."""
BURST_GAP = 4
"""So many right bytes in a row end a burst."""


@dataclass(frozen=True, kw_only=True)
class LinkStatistics:
    """Statistics that a control reproduces; all rates lie in [0, 1].

    Parameters
    ----------
    packet_loss_rate
        Packets whose frame header or packet header could not be read: lost under every policy.
    frame_loss_rate
        Packets lost when frames with a bad CRC are dropped; at least `packet_loss_rate`.
    byte_error_rate
        Wrong bytes in the fragments that are not lost under "deliver".
    burst_len
        Mean bytes from the first wrong byte of a burst to its last.
    burst_density
        Share of wrong bytes inside bursts, in (0, 1].
    """

    packet_loss_rate: float = 0.0
    frame_loss_rate: float = 0.0
    byte_error_rate: float = 0.0
    burst_len: float = 1.0
    burst_density: float = 1.0

    def __post_init__(self) -> None:
        """Validate the ranges."""
        for name in ("packet_loss_rate", "frame_loss_rate", "byte_error_rate", "burst_density"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"'{name}' must be in [0, 1] (got {getattr(self, name)})")
        if self.burst_len < 1:
            raise ValueError(f"'burst_len' must be at least 1 (got {self.burst_len})")
        if self.burst_density == 0 or self.burst_density < self.byte_error_rate:
            raise ValueError(
                f"'burst_density' must be positive and at least 'byte_error_rate' (got {self.burst_density})"
            )


def measure(packets: Sequence[Packet], arrivals: Sequence[Arrival]) -> LinkStatistics:
    """Statistics of a real run, for its controls.

    Parameters
    ----------
    packets, arrivals
        What was sent and what came of it, in the same order.
    """
    lost = dropped = num_bytes = num_wrong = num_bursts = covered = 0
    for packet, arrival in zip(packets, arrivals, strict=True):
        readable = names_packet(arrival.payload, packet.payload)
        lost += not readable
        dropped += not (readable and arrival.crc_ok)
        if arrival.payload is None or not readable:
            continue
        num_bytes += min(len(packet.payload), len(arrival.payload)) - HEADER_LEN
        if arrival.payload == packet.payload:
            continue
        wrong = different_bytes(packet.payload[HEADER_LEN:], arrival.payload[HEADER_LEN:])
        bursts = find_bursts(wrong)
        num_wrong += len(wrong) - wrong.count(0)
        num_bursts += len(bursts)
        covered += sum(end - start for start, end in bursts)
    return LinkStatistics(
        packet_loss_rate=lost / max(1, len(packets)),
        frame_loss_rate=dropped / max(1, len(packets)),
        byte_error_rate=num_wrong / max(1, num_bytes),
        burst_len=covered / num_bursts if num_bursts else 1.0,
        burst_density=num_wrong / covered if covered else 1.0,
    )


def find_bursts(wrong: Iterable[object]) -> list[tuple[int, int]]:
    """Bursts ``(start, end)`` of a row of right (false, 0) and wrong bytes; `BURST_GAP` right bytes in a row end one.

    Examples
    --------
    >>> find_bursts([0, 1, 0, 1, 0, 0, 0, 0, 1])
    [(1, 4), (8, 9)]
    """
    bursts: list[tuple[int, int]] = []
    for place, bad in enumerate(wrong):
        if bad:
            start = bursts.pop()[0] if bursts and place - bursts[-1][1] < BURST_GAP else place
            bursts.append((start, place + 1))
    return bursts


def random_bytes(
    packets: Sequence[Packet], statistics: LinkStatistics, *, channel_seed: int, pair_noise: PairNoise = "same"
) -> list[Arrival]:
    """Independent byte errors at the link's byte-error rate, packets lost at its rate of unreadable headers."""

    def errors(draws: Draws) -> Mask:
        return np.asarray(draws[:, :, 0] < statistics.byte_error_rate)

    return _disturb(packets, statistics.packet_loss_rate, errors, channel_seed, pair_noise)


def bursts(
    packets: Sequence[Packet], statistics: LinkStatistics, *, channel_seed: int, pair_noise: PairNoise = "same"
) -> list[Arrival]:
    """Gilbert-Elliott byte errors of the link's rate, burst length and density; packets lost as in `random_bytes`."""
    share = min(1.0, statistics.byte_error_rate / statistics.burst_density)
    leave = 1 / statistics.burst_len
    enter = 1.0 if share == 1 else min(1.0, share / (1 - share) * leave)

    def errors(draws: Draws) -> Mask:
        steps, inside = draws[:, :, 0], draws[:, :, 1]
        bad = np.empty(steps.shape, dtype=bool)
        state = draws[:, 0, 2] < share
        for place in range(steps.shape[1]):
            bad[:, place] = state
            state = np.where(state, (steps[:, place] >= leave) | (share == 1), steps[:, place] < enter)
        return np.asarray(bad & (inside < statistics.burst_density))

    return _disturb(packets, statistics.packet_loss_rate, errors, channel_seed, pair_noise)


def drops(
    packets: Sequence[Packet], statistics: LinkStatistics, *, channel_seed: int, pair_noise: PairNoise = "same"
) -> list[Arrival]:
    """Independent losses at the link's rate of frames with a bad CRC or header; what arrives is right."""
    return _disturb(packets, statistics.frame_loss_rate, None, channel_seed, pair_noise)


def _disturb(
    packets: Sequence[Packet],
    loss_rate: float,
    errors: Callable[[Draws], Mask] | None,
    channel_seed: int,
    pair_noise: PairNoise,
) -> list[Arrival]:
    """Lose each packet with `loss_rate`, or put errors into its fragment; its header stays whole.

    `errors` takes uniform draws ``(packets, bytes, 3)``, which lie byte by byte: a packet's do not depend on how long
    the others are. Packets go in blocks, so that memory does not grow with their number.
    """
    arrivals: list[Arrival] = []
    for start in range(0, len(packets), BLOCK_PACKETS):
        part = packets[start : start + BLOCK_PACKETS]
        keys = packet_keys(part, channel_seed, pair_noise=pair_noise)
        longest = 0 if errors is None else max(len(packet.payload) for packet in part) - HEADER_LEN
        draws = uniforms(keys, 4 * (1 + longest), stream=CONTROL_STREAM).reshape(len(part), -1, 4)
        lost = (draws[:, 0, 0] < loss_rate).tolist()
        damage = np.zeros((len(part), longest), np.uint8)
        if errors is not None and longest:
            changes = 1 + (255 * draws[:, 1:, 3]).astype(np.uint8)  # never 0: a wrong byte differs
            damage = np.where(errors(draws[:, 1:, :3]), changes, np.uint8(0))
        for packet, gone, row in zip(part, lost, damage, strict=True):
            if gone:
                arrivals.append(Arrival(payload=None, crc_ok=False))
                continue
            own = row[: len(packet.payload) - HEADER_LEN]
            if not own.any():
                arrivals.append(Arrival(payload=packet.payload, crc_ok=True))
                continue
            data = np.frombuffer(packet.payload, np.uint8, offset=HEADER_LEN) ^ own
            arrivals.append(Arrival(payload=packet.payload[:HEADER_LEN] + data.tobytes(), crc_ok=False))
    return arrivals
