r"""Program texts over the radio link: `send_items`, from text to received text with the record of the damage.

::

    Item ─ tokens ─ packets (─ parity) ─► frames on air ─► keep? (─ repair) ─ reassemble ─ tokens ─► ReceivedItem

Each item is its own transmission and each packet one LoRa frame (explicit header, CRC on). A *policy* says which
arrivals are kept, whether parity packets are sent, and whether a control takes the radio's place; it is one entry of
`POLICIES`:

============  =========================================================================================
policy        what the receiver does
============  =========================================================================================
drop          keeps frames whose CRC holds; the rest are holes
deliver       keeps every frame whose header it can read, errors and all; a short one leaves a hole
erasure       drop, and parity packets (`redundancy` of the data packets) that repair holes
random-bytes  control for deliver: independent byte errors at equal rates
bursts        control for deliver: byte errors in bursts of equal statistics
drops         control for drop: independent packet losses at equal rate
============  =========================================================================================

Under every policy a frame is lost whose LoRa header cannot be read, and a packet whose own header fails its CRC-8 or
names another transmission. There is no acknowledgement: every attempt is sent, and counted in airtime; a fragment is
there if any of its attempts is kept (one with a good CRC is preferred). Synchronisation is perfect (see `radio`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, cast

import numpy as np

from llm_bridge.transport import controls, tokens
from llm_bridge.transport.controls import LinkStatistics
from llm_bridge.transport.erasure import add_parity, recover
from llm_bridge.transport.packets import (
    DEFAULT_FRAGMENT_LEN,
    HEADER_LEN,
    MAX_FRAGMENTS,
    MAX_PHY_PAYLOAD_LEN,
    FragmentPlan,
    PacketHeader,
    pack_packet,
    program_number,
    reassemble,
    split,
    unpack_packet,
)
from llm_bridge.transport.radio import Arrival, Packet, Progress, RadioLink, carry
from llm_bridge.transport.tokens import SourceText, Tokenizer
from lora_phy import LoRaParams, airtime_s
from lora_phy.channel import ChannelParams

VERSIONS = ("buggy", "correct")


@dataclass(frozen=True, kw_only=True)
class RadioSettings:
    """Everything about the link that shapes what arrives.

    Parameters
    ----------
    sf, cr, bandwidth_hz
        Spreading factor, coding rate 4/(4 + cr), bandwidth in Hz.
    snr_db
        Signal over noise in the bandwidth, dB; the mean under fading; ``math.inf``: no noise.
    fading, k_factor_db
        None (AWGN), "rayleigh" or "rician": one fade a frame. Rician needs the K factor.
    policy
        A key of `POLICIES`.
    source_coding
        "utf8" or "token_ids".
    redundancy
        Parity packets over data packets, rounded up; used by the policy "erasure" only.
    fragment_len
        Most bytes of text in a packet, 3…251; the same at every SF, since size would be confounded with SF. "max": the
        longest that EU868 permits at this SF (60 bytes at SF10 and above, 124 at SF9, 231 at SF7 and SF8).
    channel_seed
        Seed of all noise and fades.
    max_attempts
        Times each packet is sent; blind repetition.
    airtime_budget_s
        Seconds on air for all items together. Items are sent whole and in the given order, first all once, then all
        again, and so on up to `max_attempts`, until the next item does not fit; None: no limit.
    decoding
        "hard" (default: what published thresholds assume, and `lora_phy.theory.per_awgn`) or "soft".
    control
        Rates for the policies that are controls; None: measured over the radio with these settings on the same packets.
    """

    sf: int
    snr_db: float
    cr: int = 1
    fading: str | None = None
    bandwidth_hz: float = 125e3
    policy: str = "drop"
    source_coding: str = "utf8"
    redundancy: float = 0.5
    fragment_len: int | Literal["max"] = DEFAULT_FRAGMENT_LEN
    channel_seed: int = 0
    max_attempts: int = 1
    airtime_budget_s: float | None = None
    k_factor_db: float | None = None
    decoding: Literal["hard", "soft"] = "hard"
    control: LinkStatistics | None = None

    def __post_init__(self) -> None:
        """Validate once; the radio's own parameters by the radio."""
        if self.fading not in (None, "rayleigh", "rician"):
            raise ValueError(f"'fading' must be None, 'rayleigh' or 'rician' (got {self.fading!r})")
        self.radio_link()
        find_policy(self.policy)
        tokens.find_coding(self.source_coding)
        if not 0 <= self.redundancy < float("inf"):
            raise ValueError(f"'redundancy' must be at least 0 and finite (got {self.redundancy})")
        longest = 255 - HEADER_LEN
        if self.fragment_len != "max" and not (
            isinstance(self.fragment_len, int) and 3 <= self.fragment_len <= longest
        ):
            raise ValueError(f"'fragment_len' must be in [3, {longest}] or 'max' (got {self.fragment_len!r})")
        if self.max_attempts < 1:
            raise ValueError(f"'max_attempts' must be at least 1 (got {self.max_attempts})")
        if self.airtime_budget_s is not None and not self.airtime_budget_s >= 0:
            raise ValueError(f"'airtime_budget_s' must be at least 0 (got {self.airtime_budget_s})")
        if self.decoding not in ("hard", "soft"):
            raise ValueError(f"'decoding' must be 'hard' or 'soft' (got {self.decoding!r})")

    def radio_link(self) -> RadioLink:
        """The radio that these settings describe."""
        return RadioLink(
            params=LoRaParams(sf=self.sf, cr=self.cr, bandwidth_hz=self.bandwidth_hz),
            channel=ChannelParams(
                snr_db=self.snr_db,
                fading=cast(Literal["rayleigh", "rician"] | None, self.fading),
                k_factor_db=self.k_factor_db,
            ),
            channel_seed=self.channel_seed,
            decoding=self.decoding,
        )


@dataclass(frozen=True, kw_only=True)
class Item:
    """One version ("buggy" or "correct") of one program, as sent: its code and nothing else."""

    corpus: str
    program: str
    version: str
    text: str

    def __post_init__(self) -> None:
        """Validate the version."""
        if self.version not in VERSIONS:
            raise ValueError(f"'version' must be one of {', '.join(VERSIONS)} (got {self.version!r})")


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What the link did to one item, in counts.

    Parameters
    ----------
    bytes_sent
        Bytes of the source-coded text, each counted once: no headers, no parity, no repetition.
    byte_errors
        Those of them that reached the text wrong. Missing ones are holes, not errors.
    symbol_errors
        Wrong chirp symbols over all frames sent; 0 under a control.
    fragments_sent, fragments_lost
        Frames on air, parity and repetitions included, and those of them that were not kept.
    airtime_s
        Seconds on air of all these frames.
    """

    bytes_sent: int
    byte_errors: int
    symbol_errors: int
    fragments_sent: int
    fragments_lost: int
    airtime_s: float


@dataclass(frozen=True, kw_only=True)
class ReceivedItem:
    """An item as it arrived.

    Parameters
    ----------
    item
        What was sent.
    text
        Each hole is one U+FFFD; empty where nothing arrived.
    holes
        Byte spans of the transmitted text's UTF-8 form that are missing, in order.
    line_spans
        For every line of `text` (`str.splitlines`), the byte span of the transmitted text that it stands for.
    delivered
        Whether any byte arrived.
    intact
        Whether `text` is the text sent.
    damage
        The record.
    """

    item: Item
    text: str
    holes: tuple[tuple[int, int], ...]
    line_spans: tuple[tuple[int, int], ...]
    delivered: bool
    intact: bool
    damage: Damage


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the receiver keeps, whether the sender adds parity, and the control in the radio's place, if any."""

    keep: Callable[[Arrival], bool]
    parity: bool = False
    control: Callable[..., list[Arrival]] | None = None


def send_items(
    items: Sequence[Item],
    radio: RadioSettings,
    *,
    tokenizer: object = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[ReceivedItem]:
    r"""Send texts over the link, one transmission each.

    Parameters
    ----------
    items
        In the order of sending; the order matters under an airtime budget only.
    radio
        The link.
    tokenizer
        For ``source_coding="token_ids"``: anything that `tokens.adapt_tokenizer` takes.
    workers
        Processes; the result does not depend on it.
    progress
        Called as ``progress(frames done, frames in all)``.

    Returns
    -------
    list of ReceivedItem
        One for each item, in order.

    Raises
    ------
    ValueError
        A text too long for 128 packets, parity included; a tokenizer that is missing or loses text. Never for damage.

    Examples
    --------
    >>> item = Item(corpus="mine", program="f", version="buggy", text="def f(x):\n    return x\n")
    >>> received, = send_items([item], RadioSettings(sf=7, snr_db=0.0))
    >>> received.intact, received.line_spans, received.damage.fragments_sent
    (True, ((0, 10), (10, 23)), 1)
    """
    policy = find_policy(radio.policy)
    adapted = None if tokenizer is None else tokens.adapt_tokenizer(tokenizer)
    transmissions = [_prepare(item, radio, adapted) for item in items]
    attempts = _attempts(transmissions, radio)
    packets = [packet for sent, times in zip(transmissions, attempts, strict=True) for packet in sent.packets(times)]
    statistics = radio.control
    arrivals: list[Arrival] = []
    if policy.control is None or statistics is None:
        arrivals = carry(packets, radio.radio_link(), workers=workers, progress=progress)
    if policy.control is not None:
        statistics = statistics or controls.measure(packets, arrivals)
        arrivals = policy.control(packets, statistics, channel_seed=radio.channel_seed)
    rest = iter(arrivals)
    return [
        _receive(sent, list(islice(rest, times * len(sent.payloads))), times, radio, policy, adapted)
        for sent, times in zip(transmissions, attempts, strict=True)
    ]


def measure_link(
    items: Sequence[Item], radio: RadioSettings, *, tokenizer: object = None, workers: int = 1
) -> LinkStatistics:
    """Statistics of the radio on these items: a reference run, to be given to controls as `RadioSettings.control`."""
    adapted = None if tokenizer is None else tokens.adapt_tokenizer(tokenizer)
    packets = [packet for item in items for packet in _prepare(item, radio, adapted).packets(radio.max_attempts)]
    return controls.measure(packets, carry(packets, radio.radio_link(), workers=workers))


def attempts_for_budget(
    items: Sequence[Item], radio: RadioSettings, airtime_budget_s: float, *, tokenizer: object = None
) -> int:
    """How many times all items can be sent within an airtime budget; 0 where they do not fit even once.

    Examples
    --------
    >>> item = Item(corpus="mine", program="f", version="buggy", text="x" * 48)
    >>> [attempts_for_budget([item], RadioSettings(sf=sf, snr_db=0.0), 2.5) for sf in (7, 12)]
    [24, 1]
    """
    adapted = None if tokenizer is None else tokens.adapt_tokenizer(tokenizer)
    once = sum(_prepare(item, radio, adapted).airtime_s for item in items)
    return int(airtime_budget_s / once + 1e-9) if once else radio.max_attempts


def within_budget(
    items: Sequence[Item], radio: RadioSettings, airtime_budget_s: float, *, tokenizer: object = None
) -> RadioSettings:
    """The same radio at equal airtime: as many whole rounds as fit; where not even one fits, the items that do."""
    attempts = max(1, attempts_for_budget(items, radio, airtime_budget_s, tokenizer=tokenizer))
    return replace(radio, max_attempts=attempts, airtime_budget_s=airtime_budget_s)


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


# --- one transmission


@dataclass(frozen=True, kw_only=True)
class _Transmission:
    """An item cut for the link, and what both ends know of it beforehand."""

    item: Item
    source: SourceText
    plan: FragmentPlan
    fragments: tuple[bytes, ...]
    payloads: tuple[bytes, ...]
    airtime_s: float

    def packets(self, attempts: int) -> list[Packet]:
        """All packets of all attempts, attempt by attempt."""
        item = self.item
        return [
            Packet(
                corpus=item.corpus,
                program=item.program,
                version=item.version,
                fragment=fragment,
                attempt=attempt,
                payload=payload,
            )
            for attempt in range(attempts)
            for fragment, payload in enumerate(self.payloads)
        ]

    def names(self, header: PacketHeader) -> bool:
        """Whether a received header belongs to this transmission."""
        return header == self.header(header.fragment) and header.fragment < len(self.payloads)

    def header(self, fragment: int) -> PacketHeader:
        """The header of one of this transmission's packets."""
        return PacketHeader(
            program=program_number(self.item.corpus, self.item.program),
            version=VERSIONS.index(self.item.version),
            fragment=fragment,
            count=self.plan.count,
        )


def _prepare(item: Item, radio: RadioSettings, tokenizer: Tokenizer | None) -> _Transmission:
    params = radio.radio_link().params
    source = tokens.encode_text(item.text, radio.source_coding, tokenizer)
    length = MAX_PHY_PAYLOAD_LEN[radio.sf] - HEADER_LEN if radio.fragment_len == "max" else radio.fragment_len
    plan = FragmentPlan(num_units=source.units.size, unit_bits=source.unit_bits, fragment_len=length)
    fragments = split(source.units, plan)
    num_parity = int(np.ceil(radio.redundancy * plan.count)) if find_policy(radio.policy).parity else 0
    if plan.count + num_parity > MAX_FRAGMENTS:
        raise ValueError(
            f"'text' must fit {MAX_FRAGMENTS} packets, parity included (got {plan.count} + {num_parity}"
            f" for {item.program!r})"
        )
    outline = _Transmission(item=item, source=source, plan=plan, fragments=tuple(fragments), payloads=(), airtime_s=0.0)
    payloads = tuple(
        pack_packet(outline.header(fragment), data)
        for fragment, data in enumerate(fragments + add_parity(fragments, num_parity))
    )
    return replace(outline, payloads=payloads, airtime_s=sum(airtime_s(len(payload), params) for payload in payloads))


def _attempts(transmissions: Sequence[_Transmission], radio: RadioSettings) -> list[int]:
    """How often each item is sent: `max_attempts`, or what the budget leaves, round by round in order."""
    if radio.airtime_budget_s is None:
        return [radio.max_attempts] * len(transmissions)
    attempts = [0] * len(transmissions)
    left = radio.airtime_budget_s * (1 + 1e-12)  # a budget that is a sum of airtimes must not fail by rounding
    for _ in range(radio.max_attempts):
        for index, sent in enumerate(transmissions):
            if sent.airtime_s > left:
                return attempts
            left -= sent.airtime_s
            attempts[index] += 1
    return attempts


def _receive(
    sent: _Transmission,
    arrivals: Sequence[Arrival],
    attempts: int,
    radio: RadioSettings,
    policy: Policy,
    tokenizer: Tokenizer | None,
) -> ReceivedItem:
    kept: dict[int, bytes] = {}
    num_kept = 0
    for arrival in sorted(arrivals, key=lambda arrival: not arrival.crc_ok):  # stable: the first good one wins
        packet = unpack_packet(arrival.payload) if arrival.payload is not None and policy.keep(arrival) else None
        if packet is not None and sent.names(packet[0]):
            kept.setdefault(packet[0].fragment, packet[1])
            num_kept += 1
    plan = sent.plan
    if policy.parity:
        solved = recover(kept, plan.count, plan.data_len(0)).fragments
        kept = {fragment: data[: plan.data_len(fragment)] for fragment, data in solved.items()}
    units, present = reassemble(kept, plan)
    delivered = bool(present.any()) or (plan.num_units == 0 and 0 in kept)
    decoded = tokens.decode_units(units, present, sent.source, radio.source_coding, tokenizer)
    text = decoded.text if delivered else ""
    damage = Damage(
        bytes_sent=sum(map(len, sent.fragments)),
        byte_errors=sum(_byte_errors(sent.fragments[n], data) for n, data in kept.items() if n < plan.count),
        symbol_errors=sum(arrival.symbol_errors for arrival in arrivals),
        fragments_sent=len(arrivals),
        fragments_lost=len(arrivals) - num_kept,
        airtime_s=attempts * sent.airtime_s,
    )
    return ReceivedItem(
        item=sent.item,
        text=text,
        holes=decoded.holes,
        line_spans=_transmitted_line_spans(text, decoded.spans),
        delivered=delivered,
        intact=delivered and text == sent.item.text,
        damage=damage,
    )


def _transmitted_line_spans(text: str, spans: tokens.Ints) -> tuple[tuple[int, int], ...]:
    """Byte span of the transmitted text that each received line stands for, from the spans of its characters."""
    out = []
    start = 0
    for line in text.splitlines(keepends=True):
        end = start + len(line)
        out.append((int(spans[start, 0]), int(spans[end - 1, 1])))
        start = end
    return tuple(out)


def _byte_errors(sent: bytes, received: bytes) -> int:
    return sum(a != b for a, b in zip(sent, received, strict=False))
