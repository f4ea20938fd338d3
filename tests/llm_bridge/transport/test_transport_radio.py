"""Packets over the waveform: common random numbers, independence of order and processes, error rates against theory."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from llm_bridge.transport.radio import Packet, RadioLink, carry, carry_one, decide, decide_bins, noise_seed
from lora_phy import LoRaParams, demodulate, encode_payload, modulate, theory
from lora_phy.channel import ChannelParams, apply_channel

FALSE_ALARM = 1e-6


def packet(number=0, payload=b"x" * 52, **changes):
    fields = {"corpus": "c", "program": f"p{number}", "version": "buggy", "fragment": 0, "attempt": 0}
    return Packet(**{**fields, **changes}, payload=payload)


def link(sf=7, snr_db=-9.0, fading=None, cr=1, **changes):
    return RadioLink(params=LoRaParams(sf=sf, cr=cr), channel=ChannelParams(snr_db=snr_db, fading=fading), **changes)


def test_the_noise_seed_is_a_function_of_the_key_alone():
    base = packet()
    assert noise_seed(base, 3) == 283403944558699780955235447778892684983
    assert noise_seed(replace(base, payload=b"other"), 3) == noise_seed(base, 3)
    others = [
        replace(base, corpus="d"),
        replace(base, program="q"),
        replace(base, version="correct"),
        replace(base, fragment=1),
        replace(base, attempt=1),
    ]
    seeds = [noise_seed(other, 3) for other in others] + [noise_seed(base, 4), noise_seed(base, 3, "control")]
    assert len({noise_seed(base, 3), *seeds}) == 8


@pytest.mark.parametrize("fading", [None, "rayleigh"])
def test_the_same_unit_noise_and_fade_at_every_snr(fading):
    params = LoRaParams(sf=7)
    silence, signal = np.zeros(4096, np.complex64), modulate(np.arange(32), params)

    def heard(iq, snr_db):
        rng = np.random.default_rng(noise_seed(packet(), 0))
        return apply_channel(iq, ChannelParams(snr_db=snr_db, fading=fading), params, rng=rng)

    loud, quiet = heard(silence, -20.0), heard(silence, 0.0)
    np.testing.assert_allclose(loud, 10 * quiet, rtol=1e-5)
    # what is left without the noise is the signal times one fade, the same at both
    fades = [(heard(signal, snr_db) - heard(silence, snr_db)) / signal for snr_db in (0.0, 20.0)]
    np.testing.assert_allclose(fades[0], fades[1], atol=1e-4)
    assert np.ptp(np.abs(fades[1])) < 1e-4


def test_order_and_company_change_nothing():
    packets = [packet(number) for number in range(40)]
    radio = link(snr_db=-9.5)
    alone = [carry_one(one, radio) for one in packets]
    assert 0 < sum(arrival.crc_ok for arrival in alone) < 40
    assert carry(packets, radio) == alone
    assert carry(packets[::-1], radio) == alone[::-1]


def test_progress_counts_frames():
    seen = []
    carry([packet(number) for number in range(3)], link(), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("decoding", ["hard", "soft"])
@pytest.mark.parametrize("sf", range(5, 13))
def test_leaving_out_the_noiseless_waveform_is_exact(sf, decoding):
    one = packet(payload=bytes(range(40)))
    without = carry_one(one, link(sf, snr_db=float("inf"), fading="rayleigh", decoding=decoding))
    through = carry_one(one, link(sf, snr_db=60.0, decoding=decoding))
    assert without == through
    assert without.payload == one.payload and without.crc_ok and without.symbol_errors == 0


@pytest.mark.parametrize("sf", [5, 7, 12])
def test_decisions_from_samples_and_from_bins_agree(sf):
    params = LoRaParams(sf=sf)
    sent = encode_payload(b"some text", params)
    iq = apply_channel(
        modulate(sent, params), ChannelParams(snr_db=-2.6 * sf + 9), params, rng=np.random.default_rng(1)
    )
    assert np.array_equal(decide(iq, params), decide_bins(demodulate(iq, params, soft="bins"), params))


def test_symbol_errors_are_counted_and_a_dead_link_gives_no_exception():
    arrivals = carry([packet(number) for number in range(20)], link(sf=7, snr_db=-40.0))
    errors = [arrival.symbol_errors for arrival in arrivals]
    symbols = len(encode_payload(bytes(52), LoRaParams(sf=7)))
    # a guess among 128 (32 in the first block) is right about once in 100: more than half wrong is beyond doubt
    assert min(errors) > symbols / 2
    assert not any(arrival.crc_ok for arrival in arrivals)


@pytest.mark.parametrize(("sf", "cr", "snr_db"), [(7, 1, -9.0), (7, 4, -10.3), (9, 1, -15.0)])
def test_frame_errors_agree_with_theory(sf, cr, snr_db):
    frames = 500
    arrivals = carry([packet(number) for number in range(frames)], link(sf, snr_db, cr=cr))
    expected = float(theory.per_awgn(LoRaParams(sf=sf, cr=cr), 52, snr_db))
    assert 0.1 < expected < 0.9
    errors = sum(not arrival.crc_ok for arrival in arrivals)
    assert binomtest(errors, frames, expected).pvalue > FALSE_ALARM


def test_block_rayleigh_agrees_with_theory_averaged_over_the_fade():
    frames, snr_db = 500, -6.0
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
