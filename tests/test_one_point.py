"""One point, one meaning: the same frame error rate by every path that a link can take through the two packages."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binomtest, fisher_exact

from llm_bridge.transport.radio import Packet, RadioLink, carry
from lora_phy import (
    ChannelParams,
    LinkPoint,
    LoRaParams,
    apply_channel,
    collect,
    decide_symbols,
    decode_symbols,
    demodulate,
    encode_payload,
    modulate,
    theory,
    transmit,
)
from lora_phy.frames.transceiver import receive_synchronised

FALSE_ALARM = 1e-6
PAYLOAD_LEN = 16
SOFT_GAIN_DB = 1.2
"""By so much the SNR is lowered under soft decoding, to stay at a PER that shows a difference."""
CASES = [(sf, ldro, decoding) for sf in range(7, 13) for ldro in (False, True) for decoding in ("hard", "soft")]
QUICK = [(7, True, "hard"), (9, True, "soft"), (10, True, "hard")]
COMPARISONS = len(CASES) * 8


@functools.cache
def snr_db(sf, ldro, decoding):
    """Where theory loses four frames of ten with hard decisions."""
    params = LoRaParams(sf=sf, ldro=ldro)
    hard = brentq(lambda snr: float(theory.per_awgn(params, PAYLOAD_LEN, snr)) - 0.4, -40, 0, xtol=1e-3)
    return hard - SOFT_GAIN_DB * (decoding == "soft")


def by_collect(point, frames, engine="waveform"):
    """Frames sent and lost."""
    [result] = collect([point], max_frames=frames, max_errors=None, seed=1, engine=engine)
    return result.counts.frames, result.counts.frame_errors


def by_functions(params, snr, decoding, frames):
    """The public functions of the library, one frame after the other."""
    rng, lost = np.random.default_rng(2), 0
    for _ in range(frames):
        payload = rng.bytes(PAYLOAD_LEN)
        heard = apply_channel(transmit(payload, params), ChannelParams(snr_db=snr), params, rng=rng)
        decoded = receive_synchronised(heard, params, soft=decoding == "soft")
        lost += decoded.status != "ok" or decoded.payload != payload
    return frames, lost


def by_transport(params, snr, decoding, frames, sync="perfect"):
    """The bridge's radio: a packet a frame."""
    link = RadioLink(params=params, channel=ChannelParams(snr_db=snr), decoding=decoding, sync=sync, channel_seed=3)
    packets = [
        Packet(
            corpus="c", program=str(n), version="buggy", fragment=0, attempt=0, payload=bytes([n % 256]) * PAYLOAD_LEN
        )
        for n in range(frames)
    ]
    return frames, sum(not arrival.crc_ok for arrival in carry(packets, link))


def assert_same_rate(one, other, comparisons=COMPARISONS):
    table = [[lost, frames - lost] for frames, lost in (one, other)]
    assert fisher_exact(table).pvalue > FALSE_ALARM / comparisons, (one, other)


def check_every_path(sf, ldro, decoding, single):
    params, snr = LoRaParams(sf=sf, ldro=ldro), snr_db(sf, ldro, decoding)
    point = LinkPoint(params, snr, PAYLOAD_LEN, sync="perfect", decoding=decoding)
    reference = by_collect(point, 8000, "bins")
    paths = {
        "batch": by_collect(point, 4000),
        "one by one": by_collect(replace(point, channel=ChannelParams(snr_db=snr, sto_samples=1e-6)), single),
        "two samples a chip": by_collect(replace(point, params=replace(params, oversampling=2)), single),
        "public functions": by_functions(params, snr, decoding, single),
        "two samples a chip, public functions": by_functions(replace(params, oversampling=2), snr, decoding, single),
        "transport": by_transport(params, snr, decoding, single),
    }
    if decoding == "hard":
        paths["order statistics"] = by_collect(point, 8000, "order-statistics")
        expected = float(theory.per_awgn(params, PAYLOAD_LEN, snr))
        assert binomtest(reference[1], reference[0], expected).pvalue > FALSE_ALARM / COMPARISONS
    for counts in paths.values():
        assert_same_rate(counts, reference)


@pytest.mark.parametrize(("sf", "ldro", "decoding"), QUICK)
def test_every_path_has_the_same_frame_error_rate(sf, ldro, decoding):
    # 150 frames: 0.4 against 0.64, what deciding among all bins gives, is six standard deviations
    check_every_path(sf, ldro, decoding, single=200 if sf == 7 else 150)


@pytest.mark.slow
@pytest.mark.parametrize(("sf", "ldro", "decoding"), CASES)
def test_every_path_has_the_same_frame_error_rate_everywhere(sf, ldro, decoding):
    check_every_path(sf, ldro, decoding, single=1000 if sf < 11 else 400)


@pytest.mark.parametrize("decoding", ["hard", "soft"])
def test_the_receiver_decides_as_the_others_do(decoding):
    # with the start given and with the start found: SF7 with LDRO, where deciding among all bins would lose 0.12
    params, snr = LoRaParams(sf=7, ldro=True, cr=4), -8.5 - SOFT_GAIN_DB * (decoding == "soft")
    point = LinkPoint(params, snr, PAYLOAD_LEN, decoding=decoding)
    found = by_collect(point, 200)
    assert_same_rate(found, by_transport(params, snr, decoding, 200, sync="receiver"))
    given = by_collect(replace(point, sync="perfect"), 8000, "bins")
    rate = (given[1] + 1) / given[0]
    # the receiver's soft decoder is the better one, its synchronisation costs: within a factor of two
    assert binomtest(found[1], found[0], min(1.0, 2.0 * rate), alternative="greater").pvalue > FALSE_ALARM


@pytest.mark.parametrize("ldro", [False, True])
@pytest.mark.parametrize("sf", [5, 6, 7, 8])
def test_hard_decisions_of_bins_are_legal_and_those_of_clean_frames_right(sf, ldro):
    params = LoRaParams(sf=sf, ldro=ldro)
    sent = encode_payload(b"some text", params)
    assert np.array_equal(decide_symbols(demodulate(modulate(sent, params), params, soft="bins"), params), sent)
    noise = np.random.default_rng(sf).random((3, len(sent), 1 << sf))
    decided = decide_symbols(noise, params)
    assert decided.shape == (3, len(sent))
    reduced = np.array([params.header_reduced_rate] * 8 + [ldro] * (len(sent) - 8))
    assert np.all(decided[:, reduced] % 4 == 1)
    for row, symbols in zip(noise, decided, strict=True):
        for bins, symbol, few in zip(row, symbols, reduced, strict=True):
            legal = range(1, 1 << sf, 4) if few else range(1 << sf)
            assert symbol == max(legal, key=bins.__getitem__)
        assert decode_symbols(symbols, params).crc_ok is not True


def test_bins_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"'bins' must have the shape .* 128\) \(got \(9, 64\)\)"):
        decide_symbols(np.zeros((9, 64)), LoRaParams(sf=7))
