"""Controls: the rates they are given, on errors of their own making, and nothing of the radio in them."""

import numpy as np
import pytest
from scipy.stats import binomtest

from llm_bridge.transport.controls import (
    LinkStatistics,
    bursts,
    drops,
    find_bursts,
    measure,
    random_bytes,
)
from llm_bridge.transport.packets import PacketHeader, pack_packet, unpack_packet
from llm_bridge.transport.radio import Arrival, Packet

FALSE_ALARM = 1e-6
HEADER = PacketHeader(program=1, version=0, fragment=0, count=1)
PACKETS = [
    Packet(
        corpus="c",
        program=f"p{number}",
        version="buggy",
        fragment=0,
        attempt=0,
        payload=pack_packet(HEADER, bytes(48)),
    )
    for number in range(1500)
]


def errors_of(arrivals):
    """``(delivered, 48)`` booleans: where a byte arrived wrong."""
    rows = [unpack_packet(arrival.payload)[1] for arrival in arrivals if arrival.payload is not None]
    return np.array([list(row) for row in rows]) != 0


def agrees(hits, total, rate):
    return binomtest(int(hits), int(total), rate).pvalue > FALSE_ALARM


def test_random_bytes_have_the_rates_and_no_memory():
    statistics = LinkStatistics(packet_loss_rate=0.2, byte_error_rate=0.1)
    arrivals = random_bytes(PACKETS, statistics, channel_seed=1)
    lost = sum(arrival.payload is None for arrival in arrivals)
    assert agrees(lost, len(PACKETS), 0.2)
    wrong = errors_of(arrivals)
    assert agrees(wrong.sum(), wrong.size, 0.1)
    neighbours = wrong[:, ::2] & wrong[:, 1::2]
    assert agrees(neighbours.sum(), neighbours.size, 0.01)
    assert [arrival.crc_ok for arrival in arrivals if arrival.payload is not None] == (~wrong.any(axis=1)).tolist()


def test_wrong_bytes_are_any_of_the_255_others():
    arrivals = random_bytes(PACKETS, LinkStatistics(byte_error_rate=1.0), channel_seed=2)
    values = np.concatenate([list(unpack_packet(arrival.payload)[1]) for arrival in arrivals])
    counts = np.bincount(values.astype(int), minlength=256)
    assert counts[0] == 0
    # 255 values, each tested at a 255th of the false-alarm probability
    assert min(binomtest(int(count), values.size, 1 / 255).pvalue for count in counts[1:]) > FALSE_ALARM / 255


@pytest.mark.parametrize(("length", "density"), [(1.0, 1.0), (5.0, 0.75), (20.0, 0.9)])
def test_bursts_have_the_rate_at_every_byte_and_the_memory_of_the_chain(length, density):
    rate = 0.08
    statistics = LinkStatistics(byte_error_rate=rate, burst_len=length, burst_density=density)
    wrong = errors_of(bursts(PACKETS, statistics, channel_seed=3))
    for place in (0, 20, 47):  # packets are independent: one byte of each is a binomial sample
        assert agrees(wrong[:, place].sum(), len(wrong), rate)
    both = rate * density * (1 - 1 / length)  # two neighbours: bad, wrong, still bad, wrong
    assert agrees((wrong[:, 10] & wrong[:, 11]).sum(), len(wrong), both)


def test_bursts_at_the_edges_of_their_parameters():
    everything = LinkStatistics(byte_error_rate=1.0, burst_len=3.0, burst_density=1.0)
    assert errors_of(bursts(PACKETS[:5], everything, channel_seed=0)).all()
    assert not errors_of(bursts(PACKETS[:5], LinkStatistics(), channel_seed=0)).any()


def test_drops_lose_frames_and_change_nothing_else():
    statistics = LinkStatistics(packet_loss_rate=0.1, frame_loss_rate=0.3, byte_error_rate=0.5)
    arrivals = drops(PACKETS, statistics, channel_seed=4)
    lost = [arrival.payload is None for arrival in arrivals]
    assert agrees(sum(lost), len(PACKETS), 0.3)
    assert not errors_of(arrivals).any()
    assert all(arrival.crc_ok for arrival in arrivals if arrival.payload is not None)


def test_more_of_the_same_damage_contains_the_lesser_one():
    few, many = (
        errors_of(random_bytes(PACKETS[:50], LinkStatistics(byte_error_rate=rate), channel_seed=5))
        for rate in (0.05, 0.2)
    )
    assert not np.any(few & ~many)


def test_controls_depend_on_the_seed_and_not_on_company():
    statistics = LinkStatistics(packet_loss_rate=0.3, byte_error_rate=0.1)
    arrivals = random_bytes(PACKETS[:20], statistics, channel_seed=6)
    assert random_bytes(PACKETS[10:20], statistics, channel_seed=6) == arrivals[10:]
    assert random_bytes(PACKETS[:20], statistics, channel_seed=7) != arrivals


def test_measure_counts_losses_errors_and_bursts():
    sent = PACKETS[0].payload
    wrong = bytearray(sent)
    for place in (4, 5, 7, 30):  # data bytes 0, 1, 3 (one burst of four) and 26
        wrong[place] ^= 1
    foreign = pack_packet(PacketHeader(program=2, version=0, fragment=0, count=1), bytes(48))
    arrivals = [
        Arrival(payload=sent, crc_ok=True),
        Arrival(payload=bytes(wrong), crc_ok=False),
        Arrival(payload=None, crc_ok=False),
        Arrival(payload=foreign, crc_ok=True),
    ]
    assert measure(PACKETS[:4], arrivals) == LinkStatistics(
        packet_loss_rate=0.5, frame_loss_rate=0.75, byte_error_rate=4 / 96, burst_len=2.5, burst_density=0.8
    )
    assert measure([], []) == LinkStatistics()


def test_measured_statistics_of_a_control_return_its_parameters():
    statistics = LinkStatistics(packet_loss_rate=0.2, byte_error_rate=0.05)
    again = measure(PACKETS, random_bytes(PACKETS, statistics, channel_seed=8))
    assert agrees(round(again.packet_loss_rate * len(PACKETS)), len(PACKETS), 0.2)
    assert agrees(round(again.byte_error_rate * 48 * 1200), 48 * 1200, 0.05)


@pytest.mark.parametrize("row", ["", "0000", "1", "1000010", "10000100000001"])
def test_bursts_are_parted_by_four_right_bytes(row):
    wrong = np.array([character == "1" for character in row], dtype=bool)
    expected = []
    start = 0
    for part in row.split("0000"):
        if "1" in part:
            expected.append((start + part.index("1"), start + part.rindex("1") + 1))
        start += len(part) + 4
    assert find_bursts(wrong) == expected


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match=r"'byte_error_rate' must be in \[0, 1\] \(got 1.5\)"):
        LinkStatistics(byte_error_rate=1.5)
    with pytest.raises(ValueError, match="'burst_len' must be at least 1"):
        LinkStatistics(burst_len=0.5)
    with pytest.raises(ValueError, match="'burst_density' must be positive"):
        LinkStatistics(byte_error_rate=0.5, burst_density=0.1)
