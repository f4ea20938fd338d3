"""Packets: header, its CRC, and fragments to units and back."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_bridge.transport.packets import (
    FragmentPlan,
    PacketHeader,
    crc8,
    pack_packet,
    program_number,
    reassemble,
    split,
    unpack_packet,
)

headers = st.builds(
    PacketHeader,
    program=st.integers(0, 511),
    version=st.integers(0, 1),
    fragment=st.integers(0, 127),
    count=st.integers(1, 128),
)


@given(headers, st.binary(max_size=60))
def test_unpack_inverts_pack(header, data):
    payload = pack_packet(header, data)
    assert len(payload) == 4 + len(data)
    assert unpack_packet(payload) == (header, data)


def test_every_header_error_of_up_to_three_bits_is_seen():
    clean = int.from_bytes(pack_packet(PacketHeader(program=77, version=1, fragment=3, count=5), b""), "big")
    for weight in (1, 2, 3):
        for bits in combinations(range(32), weight):
            word = clean ^ sum(1 << bit for bit in bits)
            assert unpack_packet(word.to_bytes(4, "big")) is None


def test_zeros_ones_and_short_payloads_are_no_header():
    for payload in (b"", b"\0\0\0", bytes(52), b"\xff" * 52):
        assert unpack_packet(payload) is None


@given(st.binary(max_size=8))
def test_crc8_is_a_polynomial_remainder(data):
    # the initial value 0xFF is the same as inverting the first eight bits of the message
    bits = int.from_bytes(data, "big") << 8 ^ 0xFF << 8 * len(data)
    for place in range(bits.bit_length() - 1, 7, -1):
        if bits >> place & 1:
            bits ^= 0x107 << place - 8
    assert crc8(data) == bits


@pytest.mark.parametrize("unit_bits", [8, 17])
@given(data=st.data())
def test_reassemble_inverts_split_and_knows_what_is_missing(unit_bits, data):
    units = np.array(data.draw(st.lists(st.integers(0, 2**unit_bits - 1), max_size=200)), dtype=np.int64)
    plan = FragmentPlan(num_units=units.size, unit_bits=unit_bits, fragment_len=data.draw(st.integers(4, 48)))
    fragments = split(units, plan)
    assert [len(fragment) for fragment in fragments] == [plan.data_len(n) for n in range(plan.count)]
    assert max(map(len, fragments)) <= plan.fragment_len
    kept = data.draw(st.sets(st.integers(0, plan.count - 1)))
    got, present = reassemble({n: fragments[n] for n in kept}, plan)
    expected = np.zeros(units.size, bool)
    for n in kept:
        expected[slice(*plan.unit_range(n))] = True
    assert np.array_equal(present, expected)
    assert np.array_equal(got[present], units[present])


def test_a_short_fragment_leaves_a_hole_and_a_long_one_is_cut():
    plan = FragmentPlan(num_units=10, unit_bits=8, fragment_len=4)
    units, present = reassemble({0: b"ab", 1: b"cdefXX", 2: b"", 9: b"far"}, plan)
    assert present.tolist() == [True] * 2 + [False] * 2 + [True] * 4 + [False] * 2
    assert bytes(units[present].tolist()) == b"abcdef"
    plan = FragmentPlan(num_units=22, unit_bits=17, fragment_len=48)
    assert reassemble({0: bytes(20)}, plan)[1].sum() == 160 // 17


def test_48_bytes_hold_48_bytes_or_22_token_ids():
    assert FragmentPlan(num_units=48, unit_bits=8, fragment_len=48).count == 1
    assert FragmentPlan(num_units=22, unit_bits=17, fragment_len=48).count == 1
    assert FragmentPlan(num_units=23, unit_bits=17, fragment_len=48).count == 2
    assert FragmentPlan(num_units=0, unit_bits=8, fragment_len=48).count == 1


def test_program_numbers_fit_and_do_not_depend_on_others():
    numbers = [program_number("minibugs", name) for name in ("gcd", "lis", "sqrt")]
    assert numbers == [program_number("minibugs", name) for name in ("gcd", "lis", "sqrt")]
    assert all(0 <= number < 512 for number in numbers)
    assert program_number("quixbugs", "gcd") != program_number("minibugs", "gcd")


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match=r"'fragment' must be in \[0, 127\] \(got 128\)"):
        PacketHeader(program=0, version=0, fragment=128, count=1)
    with pytest.raises(ValueError, match=r"'text' must fit 128 fragments of 48 bytes \(got 129 fragments\)"):
        FragmentPlan(num_units=48 * 128 + 1, unit_bits=8, fragment_len=48)
    with pytest.raises(ValueError, match="'fragment_len' must hold one unit of 17 bits"):
        FragmentPlan(num_units=1, unit_bits=17, fragment_len=2)
