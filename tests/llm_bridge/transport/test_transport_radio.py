"""Packets over the waveform: common random numbers, independence of order and processes, error rates against theory."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact

from llm_bridge.transport.radio import Packet, RadioLink, carry, packet_keys
from llm_bridge.transport.settings import RadioSettings
from lora_phy import LoRaParams, decide_symbols, decode_symbols, demodulate, encode_payload, modulate, theory
from lora_phy.channel import ChannelParams, apply_channel
from lora_phy.kernels.counters import philox

FALSE_ALARM = 1e-6


def packet(number=0, payload=b"x" * 52, **changes):
    fields = {"corpus": "c", "program": f"p{number}", "version": "buggy", "fragment": 0, "attempt": 0}
    return Packet(**{**fields, **changes}, payload=payload)


def link(sf=7, snr_db=-9.0, fading=None, cr=1, **changes):
    return RadioLink(params=LoRaParams(sf=sf, cr=cr), channel=ChannelParams(snr_db=snr_db, fading=fading), **changes)


def one_by_one(packets, radio, seed=0):
    """The same radio by the library's public functions, a frame at a time: payload or None, CRC, symbol errors."""
    params, out = radio.params, []
    rng = np.random.default_rng(seed)
    for one in packets:
        sent = encode_payload(one.payload, params)
        bins = demodulate(apply_channel(modulate(sent, params), radio.channel, params, rng=rng), params, soft="bins")
        decided = decide_symbols(bins, params)
        decoded = decode_symbols(bins if radio.decoding == "soft" else decided, params)
        payload = None if decoded.header is None else decoded.payload
        out.append((payload, decoded.crc_ok is True, int(np.count_nonzero(decided != sent))))
    return out


def test_a_key_is_a_function_of_seed_corpus_program_fragment_and_attempt_alone():
    base = packet()
    others = [
        replace(base, corpus="d"),
        replace(base, program="q"),
        replace(base, fragment=1),
        replace(base, attempt=1),
        replace(base, fragment=2),
    ]
    keys = packet_keys([base, *others], 3)
    assert np.array_equal(keys[:1], packet_keys([replace(base, payload=b"other", version="correct")], 3))
    apart = [packet_keys([replace(base, version=version)], 3, pair_noise="independent")[0] for version in "ab"]
    seeds = [*keys, packet_keys([base], 4)[0], *apart]
    assert len({tuple(key.tolist()) for key in seeds}) == len(seeds)
    # SHA-256 of the name is the key, fragment and attempt the counter: so written, results are the same next year
    name = hashlib.sha256(b'[3, "c", "p0", ""]').digest()[:16]
    k0, k1, k2, k3 = np.frombuffer(name, "<u4").tolist()
    assert keys[3].tolist() == [int(word) for word in philox(*(np.uint64(n) for n in (1, 0, k2, k3, k0, k1)))]
    assert packet_keys([], 3).shape == (0, 4)


def test_order_company_and_threads_change_nothing():
    packets = [packet(number, payload=b"x" * (20 + number % 33)) for number in range(50)]
    for changes in ({}, {"decoding": "soft"}, {"engine": "waveform"}, {"fading": "rayleigh"}, {"shadowing_db": 4.0}):
        radio = link(snr_db=-9.5, **changes)
        together = carry(packets, radio)
        assert 0 < sum(arrival.crc_ok for arrival in together) < 50
        assert carry(packets[::-1], radio) == together[::-1]
        assert [arrival for one in packets[:11] for arrival in carry([one], radio)] == together[:11]
        assert carry(packets, radio, workers=2) == together


def test_progress_counts_frames_and_nothing_is_nothing():
    seen = []
    carry([packet(number) for number in range(3)], link(), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3, 3) and seen == sorted(seen)
    assert carry([], link()) == carry([], link(sync="receiver")) == carry([], link(engine="waveform")) == []


@pytest.mark.parametrize("engine", ["bins", "waveform"])
@pytest.mark.parametrize("decoding", ["hard", "soft"])
@pytest.mark.parametrize("sf", [5, 7, 12])
def test_without_noise_everything_arrives(sf, decoding, engine):
    packets = [packet(payload=bytes(range(length))) for length in (0, 1, 3, 40, 255)]
    for snr_db in (float("inf"), 60.0):
        arrivals = carry(packets, link(sf, snr_db=snr_db, decoding=decoding, engine=engine))
        assert [arrival.payload for arrival in arrivals] == [one.payload for one in packets]
        assert all(arrival.crc_ok and arrival.symbol_errors == 0 for arrival in arrivals)


AGREEMENT = [
    (sf, fading, decoding, engine)
    for sf in range(7, 13)
    for fading in (None, "rayleigh")
    for decoding in ("hard", "soft")
    for engine in ("bins", "waveform")
]


def check_agreement(sf, fading, decoding, engine, frames):
    """Delivery under drop and under deliver, byte errors and symbol errors, against a frame at a time."""
    snr_db = {7: -9.2, 8: -12.0, 9: -14.9, 10: -17.6, 11: -20.8, 12: -23.6}[sf] - 1.2 * (decoding == "soft")
    radio = link(sf, snr_db + 3 * (fading is not None), fading, decoding=decoding, engine=engine)
    packets = [packet(number, payload=bytes([number % 256, *range(51)])) for number in range(8 * frames)]
    batch = [(arrival.payload, arrival.crc_ok, arrival.symbol_errors) for arrival in carry(packets, radio)]
    single = one_by_one(packets[:frames], radio, seed=sf)

    def counts(results):
        """Frames of which something is true: each count is binomial, whatever goes together within a frame."""
        wrong = [
            len(sent.payload) if one[0] is None else sum(a != b for a, b in zip(one[0], sent.payload, strict=False))
            for one, sent in zip(results, packets, strict=False)
        ]
        return {
            "dropped": sum(not crc_ok for _, crc_ok, _ in results),
            "not delivered": sum(payload is None for payload, _, _ in results),
            **{f"{n} byte errors": sum(each >= n for each in wrong) for n in (1, 3, 10, 30)},
            **{f"{n} symbol errors": sum(one[2] >= n for one in results) for n in (1, 2, 3, 5, 10, 30)},
        }

    ours, theirs = counts(batch), counts(single)
    for name in ours:
        table = [[ours[name], 8 * frames - ours[name]], [theirs[name], frames - theirs[name]]]
        assert fisher_exact(table).pvalue > FALSE_ALARM / (12 * len(AGREEMENT)), (name, ours, theirs)


@pytest.mark.parametrize(
    ("sf", "fading", "decoding", "engine"),
    [
        (7, None, "hard", "bins"),
        (7, "rayleigh", "soft", "bins"),
        (8, None, "soft", "waveform"),
        (9, "rayleigh", "hard", "bins"),
    ],
)
def test_batches_agree_with_frames_sent_one_by_one(sf, fading, decoding, engine):
    check_agreement(sf, fading, decoding, engine, 250)


@pytest.mark.slow
@pytest.mark.parametrize(("sf", "fading", "decoding", "engine"), AGREEMENT)
def test_batches_agree_with_frames_sent_one_by_one_everywhere(sf, fading, decoding, engine):
    check_agreement(sf, fading, decoding, engine, 1500 if sf < 10 else 300)


def pairs(count, *, unequal=0):
    """Packets of both versions of programs, other bytes in each; the correct one is `unequal` bytes longer."""
    rng = np.random.default_rng(1)
    return [
        packet(n, payload=rng.bytes(52 - unequal * (version == "buggy")), version=version)
        for version in ("buggy", "correct")
        for n in range(count)
    ]


@pytest.mark.parametrize("fading", [None, "rayleigh"])
@pytest.mark.parametrize("decoding", ["hard", "soft"])
@pytest.mark.parametrize("engine", ["bins", "waveform"])
@pytest.mark.parametrize("cr", [1, 4])
def test_both_versions_lose_the_same_fragments(engine, decoding, fading, cr):
    radio = link(7, -9.2 - (decoding == "soft") - 0.8 * (cr == 4), fading, cr=cr, engine=engine, decoding=decoding)
    fates = np.reshape([arrival.crc_ok for arrival in carry(pairs(1000), radio)], (2, -1))
    assert 100 < fates[0].sum() < 950
    # errors are the same in both, bit by bit; only a header that is read as another one can tell them apart
    assert np.count_nonzero(fates[0] != fates[1]) <= 3
    apart = replace(radio, pair_noise="independent")
    fates = np.reshape([arrival.crc_ok for arrival in carry(pairs(1000), apart)], (2, -1))
    assert np.count_nonzero(fates[0] != fates[1]) > 50


def test_a_receiver_loses_the_same_fragments_of_both_versions():
    fates = np.reshape([a.crc_ok for a in carry(pairs(60), link(7, -8.9, sync="receiver"))], (2, -1))
    assert 5 < fates[0].sum() < 55
    assert np.count_nonzero(fates[0] != fates[1]) <= 6


def test_symbol_errors_are_counted_and_a_dead_link_gives_no_exception():
    arrivals = carry([packet(number) for number in range(20)], link(sf=7, snr_db=-40.0))
    errors = [arrival.symbol_errors for arrival in arrivals]
    symbols = len(encode_payload(bytes(52), LoRaParams(sf=7)))
    # a guess among 128 (32 in the first block) is right about once in 100: more than half wrong is beyond doubt
    assert min(errors) > symbols / 2
    assert not any(arrival.crc_ok for arrival in arrivals)


@pytest.mark.parametrize(("sf", "cr", "snr_db"), [(7, 1, -9.0), (7, 2, -9.0), (9, 1, -15.0), (12, 1, -23.7)])
def test_frame_errors_agree_with_theory(sf, cr, snr_db):
    frames = 4000
    arrivals = carry([packet(number) for number in range(frames)], link(sf, snr_db, cr=cr))
    expected = float(theory.per_awgn(LoRaParams(sf=sf, cr=cr), 52, snr_db))
    assert 0.1 < expected < 0.9
    errors = sum(not arrival.crc_ok for arrival in arrivals)
    assert binomtest(errors, frames, expected).pvalue > FALSE_ALARM


def test_frame_errors_at_4_8_are_within_the_accuracy_of_theory():
    # the two-error term of theory is an approximation, good to 0.1 dB (theory.per_awgn)
    arrivals = carry([packet(number) for number in range(4000)], link(7, -10.3, cr=4))
    errors = sum(not arrival.crc_ok for arrival in arrivals)
    low, high = (float(theory.per_awgn(LoRaParams(sf=7, cr=4), 52, -10.3 + shift)) for shift in (0.1, -0.1))
    assert binomtest(errors, 4000, low, alternative="less").pvalue > FALSE_ALARM
    assert binomtest(errors, 4000, high, alternative="greater").pvalue > FALSE_ALARM


def test_block_rayleigh_agrees_with_theory_averaged_over_the_fade():
    frames, snr_db = 4000, -6.0
    arrivals = carry([packet(number) for number in range(frames)], link(7, snr_db, fading="rayleigh"))
    power = -np.log1p(-(np.arange(4000) + 0.5) / 4000)  # equiprobable fades, exponential of mean 1
    expected = float(np.mean(theory.per_awgn(LoRaParams(sf=7), 52, snr_db + 10 * np.log10(power))))
    errors = sum(not arrival.crc_ok for arrival in arrivals)
    assert binomtest(errors, frames, expected).pvalue > FALSE_ALARM


def test_soft_decoding_loses_fewer_frames_on_the_same_noise():
    packets = [packet(number) for number in range(150)]
    hard, soft = (carry(packets, link(snr_db=-9.3, decoding=decoding)) for decoding in ("hard", "soft"))
    assert [arrival.symbol_errors for arrival in hard] == [arrival.symbol_errors for arrival in soft]
    good = np.array([[arrival.crc_ok for arrival in arrivals] for arrivals in (hard, soft)])
    # published gain at 4/5: more than 1 dB, so discordant frames go one way (sign test)
    only_soft, only_hard = int((good[1] & ~good[0]).sum()), int((good[0] & ~good[1]).sum())
    assert binomtest(only_soft, only_soft + only_hard, 0.5).pvalue < FALSE_ALARM
    assert only_soft > only_hard


@pytest.mark.parametrize("sf", [7, 10])
def test_a_receiver_that_has_to_find_the_frames_finds_them(sf):
    packets = [packet(number, payload=bytes([number]) * 20) for number in range(8)]
    arrivals = carry(packets, link(sf, snr_db=10.0, sync="receiver"))
    assert [arrival.payload for arrival in arrivals] == [one.payload for one in packets]
    assert all(arrival.crc_ok and arrival.symbol_errors == 0 for arrival in arrivals)


def test_processes_find_the_frames_that_one_process_finds():
    packets, radio = [packet(number) for number in range(34)], link(snr_db=-8.0, sync="receiver")
    assert carry(packets, radio, workers=2) == carry(packets, radio)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_workers_are_a_positive_number(workers):
    with pytest.raises(ValueError, match=r"'workers' must be an integer of at least 1"):
        carry([packet()], link(), workers=workers)
    assert carry([packet()], link(), workers=10_000) == carry([packet()], link())


def test_a_receiver_that_has_to_find_the_frames_loses_what_is_lost_and_more():
    packets = [packet(number) for number in range(40)]
    found, given = (carry(packets, link(snr_db=-9.0, sync=sync)) for sync in ("receiver", "perfect"))
    errors = [sum(arrival.symbol_errors for arrival in arrivals) for arrivals in (found, given)]
    # the same law of symbol errors on other noise: two binomial counts of one rate, compared given their sum
    assert binomtest(errors[0], sum(errors), 0.5).pvalue > FALSE_ALARM
    expected = float(theory.per_awgn(LoRaParams(sf=7), 52, -9.0))
    lost = sum(not arrival.crc_ok for arrival in found)
    assert binomtest(lost, 40, expected, alternative="less").pvalue > FALSE_ALARM
    assert 0 < lost < 40
    dead = carry(packets[:5], link(snr_db=-40.0, sync="receiver"))
    assert not any(arrival.crc_ok for arrival in dead)


def test_a_fade_that_changes_within_a_frame_hits_the_same_share_of_symbols_and_more_frames() -> None:
    """A symbol's own fade is Rayleigh at any Doppler shift; a longer stretch of fades has more deep ones in it.

    Symbols of a frame are dependent, so the bound on their error rate takes a frame for one draw: five standard errors
    (false alarm below 1e-6). Frames lost: Fisher's exact test at 1e-6.
    """
    packets = [packet(number) for number in range(150)]
    num_symbols = len(encode_payload(packets[0].payload, LoRaParams(sf=8)))
    expected = float(theory.ser_rayleigh(8, -8.0))  # 0.136
    lost = []
    for doppler_hz in (0.0, 10.0):  # frames of 0.19 s
        radio = RadioSettings(sf=8, snr_db=-8.0, fading="rayleigh", doppler_hz=doppler_hz)
        arrivals = carry(packets, radio.radio_link())
        rate = sum(arrival.symbol_errors for arrival in arrivals) / (num_symbols * len(packets))
        assert abs(rate - expected) < 5 * (expected * (1 - expected) / len(packets)) ** 0.5
        lost.append(sum(not arrival.crc_ok for arrival in arrivals))
    kept = [len(packets) - number for number in lost]
    assert fisher_exact([lost, kept], alternative="less").pvalue < FALSE_ALARM


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fading": "rayleigh", "engine": "bins"}, "'engine' must be None or 'waveform' with 'doppler_hz' above 0"),
        ({}, "'doppler_hz' must be 0 with fading=None"),
    ],
)
def test_a_doppler_shift_needs_fading_and_samples(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RadioSettings(sf=7, snr_db=0.0, doppler_hz=3.0, **settings)
