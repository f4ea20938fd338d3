r"""Fragments of a text as packets, and packets back to the text's units.

A packet is the payload of one radio frame::

    ┌───────────── 24 bits, most significant first ─────────────┬─ 8 bits ─┬─ up to 48 bytes ─┐
    │ program 9 │ version 1 │ fragment 7 │ count - 1: 7          │ CRC-8    │ fragment         │
    └────────────────────────────────────────────────────────────┴──────────┴──────────────────┘

`count` is the number of data fragments, 1 to 128; a fragment number of `count` or more is a parity fragment (see
`erasure`). The CRC-8 (polynomial 0x07, initial value 0xFF, so that a run of zeros is no valid header) covers the first
three bytes and finds every error of up to three bits in them. Nine bits of program are a check, not an address: each
text is its own transmission, and the number is a hash of its name (`program_number`).

As in the session set-up of LoRaWAN's fragmented transport (TS004), the receiver knows the transmission beforehand: its
program, version and `FragmentPlan`. So a packet that names another transmission is lost, and a missing fragment has a
known place. The set-up itself is not simulated and its airtime is not counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llm_bridge.transport.tokens import Ints, Mask, pack_units, unpack_units

HEADER_LEN = 4
MAX_FRAGMENTS = 128
PROGRAM_NUMBERS = 512
DEFAULT_FRAGMENT_LEN = 48
MAX_PHY_PAYLOAD_LEN = {5: 255, 6: 255, 7: 235, 8: 235, 9: 128, 10: 64, 11: 64, 12: 64}
"""Longest frame payload of the EU868 band by spreading factor (LoRaWAN Regional Parameters, repeater compatible:
MACPayload and five bytes); SF5 and SF6 have no regional limit, 255 is the radio's own. For ``fragment_len="max"``."""


@dataclass(frozen=True, kw_only=True)
class PacketHeader:
    """Header of a packet: the fragment, its transmission, and the number of fragments.

    Parameters
    ----------
    program
        0…511, see `program_number`.
    version
        0 buggy, 1 correct.
    fragment
        0…127; `count` and above are parity fragments.
    count
        Data fragments in the transmission, 1…128.
    """

    program: int
    version: int
    fragment: int
    count: int

    def __post_init__(self) -> None:
        """Validate the four numbers."""
        bounds = {"program": (0, 511), "version": (0, 1), "fragment": (0, 127), "count": (1, 128)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"'{name}' must be in [{low}, {high}] (got {getattr(self, name)})")


@dataclass(frozen=True, kw_only=True)
class FragmentPlan:
    """Plan of a text's fragments, known to both ends: all of equal size but the last.

    Parameters
    ----------
    num_units, unit_bits
        Length and width of the text's units.
    fragment_len
        Most bytes in a fragment, whole units only (48: 48 bytes of UTF-8, or 22 token ids in 47).

    Examples
    --------
    >>> plan = FragmentPlan(num_units=100, unit_bits=17, fragment_len=48)
    >>> plan.units_per_fragment, plan.count, plan.data_len(0), plan.unit_range(4)
    (22, 5, 47, (88, 100))
    """

    num_units: int
    unit_bits: int
    fragment_len: int

    def __post_init__(self) -> None:
        """Validate sizes."""
        if self.fragment_len * 8 < self.unit_bits:
            raise ValueError(
                f"'fragment_len' must hold one unit of {self.unit_bits} bits (got {self.fragment_len} bytes)"
            )
        if self.count > MAX_FRAGMENTS:
            raise ValueError(
                f"'text' must fit {MAX_FRAGMENTS} fragments of {self.fragment_len} bytes (got {self.count} fragments)"
            )

    @property
    def units_per_fragment(self) -> int:
        """Whole units in a full fragment."""
        return self.fragment_len * 8 // self.unit_bits

    @property
    def count(self) -> int:
        """Number of data fragments; an empty text is one empty fragment."""
        return max(1, -(-self.num_units // self.units_per_fragment))

    def unit_range(self, fragment: int) -> tuple[int, int]:
        """First unit of a data fragment, and the one behind its last."""
        start = fragment * self.units_per_fragment
        return start, min(start + self.units_per_fragment, self.num_units)

    def data_len(self, fragment: int) -> int:
        """Bytes of a data fragment."""
        start, end = self.unit_range(fragment)
        return -(-(end - start) * self.unit_bits // 8)


def program_number(corpus: str, program: str) -> int:
    """Nine bits of SHA-256 over corpus and name: does not depend on which other programs are sent.

    Examples
    --------
    >>> 0 <= program_number("minibugs", "gcd") < PROGRAM_NUMBERS
    True
    """
    digest = hashlib.sha256(f"{corpus}\0{program}".encode()).digest()
    return int.from_bytes(digest[:2], "big") % PROGRAM_NUMBERS


def crc8(data: bytes) -> int:
    """CRC-8 of x^8 + x^2 + x + 1, initial value 0xFF, most significant bit first.

    Examples
    --------
    >>> hex(crc8(b"123456789"))
    '0xfb'
    """
    value = 0xFF
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def _crc8_table() -> tuple[int, ...]:
    table = list(range(256))
    for _ in range(8):
        table = [(value << 1) ^ 0x107 if value & 0x80 else value << 1 for value in table]
    return tuple(table)


_CRC8 = _crc8_table()


def pack_packet(header: PacketHeader, data: bytes) -> bytes:
    """Header, its CRC-8, and the fragment.

    Examples
    --------
    >>> pack_packet(PacketHeader(program=1, version=0, fragment=0, count=3), b"ab").hex()
    '008002936162'
    """
    word = header.program << 15 | header.version << 14 | header.fragment << 7 | header.count - 1
    head = word.to_bytes(3, "big")
    return head + bytes([crc8(head)]) + data


def pack_packets(program: int, version: int, count: int, fragments: Sequence[bytes]) -> list[bytes]:
    """Packets of all fragments of a transmission, parity included: `pack_packet` of each, numbered from 0.

    Examples
    --------
    >>> [packet.hex() for packet in pack_packets(1, 0, 3, [b"ab", b"cd"])]
    ['008002936162', '0080821a6364']
    """
    last = PacketHeader(program=program, version=version, fragment=max(len(fragments) - 1, 0), count=count)
    word = last.program << 15 | last.version << 14 | last.count - 1
    heads = [(word | fragment << 7).to_bytes(3, "big") for fragment in range(len(fragments))]
    return [head + bytes((crc8(head),)) + data for head, data in zip(heads, fragments, strict=True)]


def unpack_packet(payload: bytes) -> tuple[PacketHeader, bytes] | None:
    """Header and fragment of a received payload; None where it is too short or its CRC-8 fails.

    Examples
    --------
    >>> unpack_packet(bytes.fromhex("008002936162"))
    (PacketHeader(program=1, version=0, fragment=0, count=3), b'ab')
    >>> unpack_packet(bytes.fromhex("008003936162")) is None
    True
    """
    if len(payload) < HEADER_LEN or crc8(payload[:3]) != payload[3]:
        return None
    word = int.from_bytes(payload[:3], "big")
    header = PacketHeader(program=word >> 15, version=word >> 14 & 1, fragment=word >> 7 & 127, count=(word & 127) + 1)
    return header, payload[HEADER_LEN:]


def names_packet(received: bytes | None, sent: bytes) -> bool:
    """Whether a received payload has the header of the packet that was sent.

    The CRC-8 is a function of the other three bytes, so equal headers that hold are four equal bytes.

    Examples
    --------
    >>> sent = pack_packet(PacketHeader(program=1, version=0, fragment=0, count=3), b"ab")
    >>> names_packet(sent[:4] + b"xy", sent), names_packet(b"x" + sent[1:], sent), names_packet(None, sent)
    (True, False, False)
    """
    return received is not None and len(received) >= HEADER_LEN and received[:HEADER_LEN] == sent[:HEADER_LEN]


def different_bytes(sent: bytes, received: bytes) -> bytes:
    """XOR of two rows of bytes over their common length: 0 where they agree.

    Examples
    --------
    >>> different_bytes(b"abcd", b"abxde").hex()
    '00001b00'
    """
    size = min(len(sent), len(received))
    return (int.from_bytes(sent[:size], "big") ^ int.from_bytes(received[:size], "big")).to_bytes(size, "big")


def split(units: Ints, plan: FragmentPlan) -> list[bytes]:
    """Fragments of a text's units, in order; inverse of `reassemble`."""
    ranges = [plan.unit_range(fragment) for fragment in range(plan.count)]
    if plan.unit_bits == 8:
        data = pack_units(units, 8)
        return [data[start:end] for start, end in ranges]
    return [pack_units(units[start:end], plan.unit_bits) for start, end in ranges]


def reassemble(fragments: Mapping[int, bytes], plan: FragmentPlan) -> tuple[Ints, Mask]:
    """Units from the fragments that arrived, and which of them are there.

    A fragment shorter than planned leaves its tail missing; what is longer is cut off.

    Parameters
    ----------
    fragments
        Fragment number to bytes; numbers outside the plan are ignored.

    Returns
    -------
    units, present
        ``(num_units,)`` each; missing units are 0.

    Examples
    --------
    >>> plan = FragmentPlan(num_units=6, unit_bits=8, fragment_len=2)
    >>> units, present = reassemble({0: b"ab", 2: b"e"}, plan)
    >>> present.astype(int).tolist()
    [1, 1, 0, 0, 1, 0]
    """
    if plan.unit_bits == 8:
        return _reassemble_bytes(fragments, plan)
    units = np.zeros(plan.num_units, dtype=np.int64)
    present = np.zeros(plan.num_units, dtype=bool)
    for fragment, data in fragments.items():
        if not 0 <= fragment < plan.count:
            continue
        start, end = plan.unit_range(fragment)
        values = unpack_units(data, plan.unit_bits)[: end - start]
        units[start : start + values.size] = values
        present[start : start + values.size] = True
    return units, present


def _reassemble_bytes(fragments: Mapping[int, bytes], plan: FragmentPlan) -> tuple[Ints, Mask]:
    """`reassemble` where a unit is a byte: by slices, without an array for each fragment."""
    size, length = plan.num_units, plan.units_per_fragment
    units, present = bytearray(size), bytearray(size)
    for fragment, data in fragments.items():
        start = fragment * length
        if 0 <= fragment and start < size:
            end = min(start + length, start + len(data), size)
            units[start:end] = data[: end - start]
            present[start:end] = b"\1" * (end - start)
    return np.frombuffer(units, np.uint8).astype(np.int64), np.frombuffer(present, np.uint8).astype(bool)
