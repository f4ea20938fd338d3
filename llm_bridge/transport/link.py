r"""Program texts over the radio link: `send_items`, from text to received text with the record of the damage.

::

    Item ─ tokens ─ packets (─ parity) ─► frames on air ─► keep? (─ repair) ─ reassemble ─ tokens ─► ReceivedItem

Each item is its own transmission and each packet one LoRa frame (explicit header, CRC on). A *policy* says which
arrivals are kept, whether parity packets are sent, and whether a control takes the radio's place (see `policies`).

Under every policy a frame is lost whose LoRa header cannot be read, and a packet whose own header fails its CRC-8 or
names another transmission. There is no acknowledgement: every attempt is sent, and counted in airtime; a fragment is
there if any of its attempts is kept (one with a good CRC is preferred). Synchronisation is perfect unless
`RadioSettings.sync` says otherwise (see `radio`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, islice

import numpy as np

from llm_bridge.annotations import Progress
from llm_bridge.transport import controls, tokens
from llm_bridge.transport.controls import LinkStatistics
from llm_bridge.transport.erasure import add_parity, recover
from llm_bridge.transport.items import VERSIONS, Item
from llm_bridge.transport.items import Damage as Damage
from llm_bridge.transport.items import ReceivedItem as ReceivedItem
from llm_bridge.transport.packets import (
    HEADER_LEN,
    MAX_FRAGMENTS,
    FragmentPlan,
    different_bytes,
    pack_packets,
    program_number,
    reassemble,
    split,
)
from llm_bridge.transport.policies import POLICIES as POLICIES
from llm_bridge.transport.policies import Policy, find_policy
from llm_bridge.transport.radio import Arrival, Packet, carry
from llm_bridge.transport.settings import RadioSettings as RadioSettings
from llm_bridge.transport.tokenizer import Tokenizer, adapt_tokenizer
from llm_bridge.transport.tokens import SourceText
from lora_phy import LoRaParams, airtime_s
from lora_phy.params import MAX_PAYLOAD_LEN

MAX_ROUNDS = 1000
"""Most times that all texts may be sent within an airtime budget."""


def send_items(
    items: Sequence[Item],
    radio: RadioSettings,
    *,
    tokenizer: object = None,
    workers: int = 1,
    progress: Progress | None = None,
    carried: dict[Packet, Arrival] | None = None,
) -> list[ReceivedItem]:
    r"""Send texts over the link, one transmission each.

    Parameters
    ----------
    items
        Items in the order of sending; the order matters under an airtime budget only.
    radio
        Settings of the link.
    tokenizer
        Tokenizer for ``source_coding="token_ids"``: anything that `tokenizer.adapt_tokenizer` takes.
    workers
        Processes; the result does not depend on it.
    progress
        Called as ``progress(frames done, frames in all)``.
    carried
        What came of packets that crossed this very radio before, and where new ones are noted: policies that share
        packets need not send them twice. The result does not depend on it.

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
    adapted = None if tokenizer is None else adapt_tokenizer(tokenizer)
    transmissions = _prepare(items, radio, adapted)
    attempts, packets = _packets(transmissions, radio)
    statistics = radio.control
    arrivals: list[Arrival] = []
    if policy.control is None or statistics is None:
        known = {} if carried is None else carried
        fresh = [packet for packet in packets if packet not in known] if known else packets
        arrivals = carry(fresh, radio.radio_link(), workers=workers, progress=progress)
        if carried is not None:
            known.update(zip(fresh, arrivals, strict=True))
            arrivals = [known[packet] for packet in packets]
    if policy.control is not None:
        statistics = statistics or controls.measure(packets, arrivals)
        arrivals = policy.control(packets, statistics, channel_seed=radio.channel_seed, pair_noise=radio.pair_noise)
    rest = iter(arrivals)
    return [
        _receive(sent, list(islice(rest, times * len(sent.payloads))), times, radio, policy, adapted)
        for sent, times in zip(transmissions, attempts, strict=True)
    ]


def measure_link(
    items: Sequence[Item], radio: RadioSettings, *, tokenizer: object = None, workers: int = 1
) -> LinkStatistics:
    """Statistics of the radio on these items: a reference run, to be given to controls as `RadioSettings.control`."""
    adapted = None if tokenizer is None else adapt_tokenizer(tokenizer)
    _, packets = _packets(_prepare(items, radio, adapted), radio)
    return controls.measure(packets, carry(packets, radio.radio_link(), workers=workers))


def attempts_for_budget(
    items: Sequence[Item], radio: RadioSettings, airtime_budget_s: float, *, tokenizer: object = None
) -> int:
    """Number of times that all items can be sent within an airtime budget; 0 where they do not fit even once.

    Examples
    --------
    >>> item = Item(corpus="mine", program="f", version="buggy", text="x" * 48)
    >>> [attempts_for_budget([item], RadioSettings(sf=sf, snr_db=0.0), 2.5) for sf in (7, 12)]
    [24, 1]
    """
    adapted = None if tokenizer is None else adapt_tokenizer(tokenizer)
    once = sum(sent.airtime_s for sent in _prepare(items, radio, adapted))
    return int(airtime_budget_s / once + 1e-9) if once else radio.max_attempts


def within_budget(
    items: Sequence[Item], radio: RadioSettings, airtime_budget_s: float, *, tokenizer: object = None
) -> RadioSettings:
    """The same radio using up an airtime budget: whole rounds, then a last one as far as it goes, in order."""
    rounds = attempts_for_budget(items, radio, airtime_budget_s, tokenizer=tokenizer) + 1
    if rounds > MAX_ROUNDS:
        raise ValueError(
            f"'airtime_budget_s' must be spent in at most {MAX_ROUNDS} rounds of all texts (got {airtime_budget_s:g} s:"
            f" {rounds} rounds at SF{radio.sf}); a shorter period or a smaller duty cycle leaves less"
        )
    return replace(radio, max_attempts=rounds, airtime_budget_s=airtime_budget_s)


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

    def fragments_by_header(self) -> dict[bytes, int]:
        """Fragment number by the four bytes of a packet's header: others are of another transmission, or damaged."""
        return {payload[:HEADER_LEN]: fragment for fragment, payload in enumerate(self.payloads)}


def _prepare(items: Sequence[Item], radio: RadioSettings, tokenizer: Tokenizer | None) -> list[_Transmission]:
    airtimes_s = _airtimes_s(radio.radio_link().params)
    return [_cut(item, radio, airtimes_s, tokenizer) for item in items]


def _cut(item: Item, radio: RadioSettings, airtimes_s: tuple[float, ...], tokenizer: Tokenizer | None) -> _Transmission:
    source = tokens.encode_units(item.text, radio.source_coding, tokenizer)
    plan = FragmentPlan(num_units=source.units.size, unit_bits=source.unit_bits, fragment_len=radio.max_fragment_len)
    fragments = split(source.units, plan)
    num_parity = math.ceil(radio.redundancy * plan.count) if find_policy(radio.policy).parity else 0
    if plan.count + num_parity > MAX_FRAGMENTS:
        raise ValueError(
            f"'text' must fit {MAX_FRAGMENTS} packets, parity included (got {plan.count} + {num_parity}"
            f" for {item.program!r})"
        )
    number, version = program_number(item.corpus, item.program), VERSIONS.index(item.version)
    payloads = tuple(pack_packets(number, version, plan.count, fragments + add_parity(fragments, num_parity)))
    return _Transmission(
        item=item,
        source=source,
        plan=plan,
        fragments=tuple(fragments),
        payloads=payloads,
        airtime_s=sum(airtimes_s[len(payload)] for payload in payloads),
    )


def _packets(transmissions: Sequence[_Transmission], radio: RadioSettings) -> tuple[list[int], list[Packet]]:
    """Transmissions of each item, and all packets in their order."""
    attempts = _attempts(transmissions, radio)
    packets = [packet for sent, times in zip(transmissions, attempts, strict=True) for packet in sent.packets(times)]
    return attempts, packets


def _attempts(transmissions: Sequence[_Transmission], radio: RadioSettings) -> list[int]:
    """Transmissions of each item: `max_attempts`, or what the budget leaves, round by round in order."""
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
    fragments = sent.fragments_by_header()
    for arrival in sorted(arrivals, key=lambda arrival: not arrival.crc_ok):  # stable: the first good one wins
        payload = arrival.payload
        fragment = fragments.get(payload[:HEADER_LEN]) if payload is not None and policy.keep(arrival) else None
        if payload is not None and fragment is not None:
            kept.setdefault(fragment, payload[HEADER_LEN:])
            num_kept += 1
    fates = tuple(fragment in kept for fragment in range(len(sent.payloads))) if arrivals else ()
    plan, count = sent.plan, sent.plan.count
    if policy.parity and not all(fates[:count]):
        solved = recover(kept, count, plan.data_len(0)).fragments
        kept = {fragment: data[: plan.data_len(fragment)] for fragment, data in solved.items()}
    units, present = reassemble(kept, plan)
    delivered = bool(present.any()) or (plan.num_units == 0 and 0 in kept)
    decoded = tokens.decode_units(units, present, sent.source, radio.source_coding, tokenizer)
    text = decoded.text if delivered else ""
    damage = Damage(
        bytes_sent=sum(map(len, sent.fragments)),
        byte_errors=sum(_byte_errors(sent.fragments[n], data) for n, data in kept.items() if n < count),
        symbol_errors=sum(arrival.symbol_errors for arrival in arrivals),
        fragments_sent=len(arrivals),
        fragments_lost=len(arrivals) - num_kept,
        airtime_s=attempts * sent.airtime_s,
    )
    return ReceivedItem(
        item=sent.item,
        text=text,
        erasures=decoded.erasures,
        line_spans=_transmitted_line_spans(text, decoded.spans),
        delivered=delivered,
        intact=delivered and text == sent.item.text,
        damage=damage,
        kept_fragments=fates,
    )


def _transmitted_line_spans(text: str, spans: tokens.Ints) -> tuple[tuple[int, int], ...]:
    """Byte span of the transmitted text that each received line stands for, from the spans of its characters."""
    ends = list(accumulate(map(len, text.splitlines(keepends=True)), initial=0))
    places = np.array(ends)
    first, last = spans[places[:-1], 0].tolist(), spans[places[1:] - 1, 1].tolist()
    return tuple(zip(first, last, strict=True))


def _byte_errors(sent: bytes, received: bytes) -> int:
    """Number of bytes that differ, over the common length."""
    if sent == received:
        return 0
    different = different_bytes(sent, received)
    return len(different) - different.count(0)


@lru_cache(maxsize=64)
def _airtimes_s(params: LoRaParams) -> tuple[float, ...]:
    """Seconds on air of a frame by the length of its payload."""
    return tuple(airtime_s(length, params) for length in range(MAX_PAYLOAD_LEN + 1))
