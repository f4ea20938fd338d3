"""Frames by key: the generator's published vectors, the laws of what is drawn, independence of company, bad input."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from lora_phy import ChannelParams, FrameStatus, LoRaParams, send_frames, theory
from lora_phy.kernels.counters import philox
from lora_phy.monte_carlo import keyed_frames
from lora_phy.monte_carlo.flat_channel import flat_channel
from lora_phy.monte_carlo.keyed_batches import keyed_gains
from lora_phy.random_streams import child_keys, keys_of, random_words, uniforms

FALSE_ALARM = 1e-6
SF7 = LoRaParams(sf=7)


def keys(count, name="frame"):
    return keys_of(f"{name} {n}".encode() for n in range(count))


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # known answers of the Random123 distribution (kat_vectors, philox4x32-10)
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_words(counter, key, words):
    assert [int(word) for word in philox(*(np.uint64(value) for value in (*counter, *key)))] == words


def test_words_belong_to_a_key_a_stream_and_a_place():
    some = keys(50)
    words = random_words(some, 9, stream=3)
    assert np.array_equal(random_words(some, 4, stream=3), words[:, :4])
    assert np.array_equal(random_words(some[::-1], 9, stream=3), words[::-1])
    assert not np.any(random_words(some, 9, stream=4) == words)
    assert kstest(uniforms(keys(20_000), 1, stream=0)[:, 0], "uniform").pvalue > FALSE_ALARM
    children = child_keys(some, np.repeat(np.arange(50), 4), np.tile([0, 0, 1, 1], 50), np.tile([0, 1, 0, 1], 50))
    assert len({tuple(child) for child in children.tolist()}) == 200
    with pytest.raises(ValueError, match=r"'keys' must have the shape \(n, 4\) \(got \(4,\)\)"):
        random_words(np.zeros(4, np.uint32), 1, stream=0)


@pytest.mark.parametrize(
    ("fading", "power"),
    [
        ({"fading": "rayleigh"}, ("expon", ())),
        ({"fading": "nakagami", "nakagami_m": 2.0}, ("gamma", (2.0, 0.0, 0.5))),
        # |h|^2 of a Rician fade with K = 3 over 1 / (2 (K + 1)) is noncentral chi-square, 2 degrees, 2 K
        ({"fading": "rician", "k_factor_db": float(10 * np.log10(3.0))}, ("ncx2", (2.0, 6.0, 0.0, 0.125))),
    ],
)
def test_fades_follow_their_laws(fading, power):
    gains = keyed_gains(flat_channel(SF7, ChannelParams(**fading)), keys(20_000))
    law, arguments = power
    assert kstest(np.abs(gains) ** 2, law, arguments).pvalue > FALSE_ALARM
    assert np.array_equal(gains, keyed_gains(flat_channel(SF7, ChannelParams(snr_db=-7.0, **fading)), keys(20_000)))


@pytest.mark.parametrize("engine", ["bins", "waveform"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"sf": 9, "cr": 3}, {"ldro": True}, {"sf": 6}, {"sf": 6, "variant": "sx127x"}, {"inverted_iq": True}],
)
def test_hard_error_rates_are_those_of_theory_or_of_collect(engine, changes):
    from lora_phy import LinkPoint, collect

    params = replace(SF7, **changes)
    snr_db = {7: -9.0, 9: -15.6, 6: -5.8}[params.sf]
    frames, length = 2000, 30
    rng = np.random.default_rng(0)
    sent = send_frames([rng.bytes(length) for _ in range(frames)], params, snr_db, keys=keys(frames), engine=engine)
    point = LinkPoint(params, snr_db, length, sync="perfect", decoding="hard")
    [other] = collect([point], max_frames=20_000, max_errors=None, seed=1, engine="bins")
    rate = other.counts.frame_errors / other.counts.frames
    assert 0.05 < rate < 0.95
    lost = sum(status != "ok" for status in sent.statuses)
    assert binomtest(lost, frames, rate).pvalue > FALSE_ALARM / 100  # the reference scatters too, by a third as much
    if params.sf != 6:
        expected = float(theory.per_awgn(params, length, snr_db))
        assert binomtest(lost, frames, expected).pvalue > FALSE_ALARM


def test_hard_and_soft_meet_the_same_noise():
    payloads = [bytes([n % 256] * (n % 60)) for n in range(300)]
    for engine in ("bins", "waveform"):
        hard, soft = (
            send_frames(payloads, SF7, -10.0, keys=keys(300), engine=engine, decoding=decoding)
            for decoding in ("hard", "soft")
        )
        assert np.array_equal(hard.symbol_errors, soft.symbol_errors)
        assert soft.crc_ok.sum() > hard.crc_ok.sum() > 0


def test_frames_go_in_blocks_and_blocks_do_not_show(monkeypatch):
    payloads = [bytes(n % 50) for n in range(333)]
    whole = send_frames(payloads, SF7, -9.5, keys=keys(333), decoding="soft")
    monkeypatch.setattr(keyed_frames, "BLOCK_FRAMES", 40)
    for threads in (1, 3):
        parts = send_frames(payloads, SF7, -9.5, keys=keys(333), decoding="soft", threads=threads)
        assert parts.payloads == whole.payloads and parts.statuses == whole.statuses
        assert np.array_equal(parts.crc_ok, whole.crc_ok)
        assert np.array_equal(parts.symbol_errors, whole.symbol_errors)


def test_other_channels_go_as_waveforms():
    payloads = [bytes([n] * 20) for n in range(12)]
    for params, channel in (
        (replace(SF7, oversampling=2), ChannelParams(snr_db=-4.0)),
        (SF7, ChannelParams(snr_db=0.0, cfo_hz=100.0)),
        (SF7, ChannelParams(snr_db=0.0, sto_samples=0.2, sfo_ppm=1.0)),
        (SF7, ChannelParams(snr_db=30.0, fading="rayleigh", doppler_hz=1.0)),
    ):
        sent = send_frames(payloads, params, channel, keys=keys(12), engine="waveform")
        assert sent.crc_ok.sum() >= 11
        assert sent.payloads == tuple(payloads) or not sent.crc_ok.all()
    found = send_frames(payloads, SF7, ChannelParams(snr_db=0.0), keys=keys(12), sync="receiver")
    assert found.payloads == tuple(payloads) and found.crc_ok.all()
    dead = send_frames(payloads[:2], SF7, -40.0, keys=keys(2), sync="receiver")
    assert not dead.crc_ok.any() and set(dead.statuses) <= {None, *FrameStatus}


def test_no_crc_no_header_and_nothing_at_all():
    for changes in ({"crc": False}, {"explicit_header": False}, {"explicit_header": False, "crc": False}):
        params = replace(SF7, **changes)
        sent = send_frames([b"", b"one", b"three"], params, 10.0, keys=keys(3))
        assert sent.payloads == (b"", b"one", b"three") and set(sent.statuses) == {FrameStatus.OK}
        assert sent.crc_ok.all() == params.crc
    nothing = send_frames([], SF7, 0.0, keys=keys(0))
    assert nothing.payloads == nothing.statuses == () and nothing.crc_ok.size == nothing.symbol_errors.size == 0


def test_a_batch_larger_than_memory_goes_in_blocks():
    """300 frames of 52 bytes at SF12 would be 700 MiB of samples at once; and more threads than processors."""
    params, payloads = LoRaParams(sf=12), [bytes(52)] * 300
    tracemalloc.start()
    try:
        sent = send_frames(payloads, params, 0.0, keys=keys(300), engine="waveform", threads=1000)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert all(sent.crc_ok) and most < 100 * 2**20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": np.zeros((1, 4), np.uint32)}, r"'keys' must have the shape \(2, 4\), .* \(got \(1, 4\)\)"),
        ({"gains_db": [1.0, 2.0, 3.0]}, r"'gains_db' must be one finite number or 2 of them"),
        ({"gains_db": float("nan")}, r"'gains_db' must be one finite number"),
        ({"engine": "magic"}, r"'engine' must be None, 'bins' or 'waveform' \(got 'magic'\)"),
        ({"engine": "bins", "sync": "receiver"}, r"'sync' must be 'perfect' with engine 'bins'"),
        ({"engine": "bins", "channel": ChannelParams(cfo_hz=5.0)}, r"'cfo_hz' must be 0"),
        ({"decoding": "firm"}, r"'decoding' must be 'hard' or 'soft' \(got 'firm'\)"),
        ({"sync": "none"}, r"'sync' must be 'perfect' or 'receiver' \(got 'none'\)"),
        ({"threads": 0}, r"'threads' must be an integer of at least 1 \(got 0\)"),
        ({"payloads": [bytes(300), b""]}, r"'payload' must have at most 255 bytes \(got 300\)"),
    ],
)
def test_bad_input_is_named(changes, message):
    arguments = {"payloads": [b"a", b"b"], "params": SF7, "channel": 0.0, "keys": keys(2), **changes}
    with pytest.raises(ValueError, match=message):
        send_frames(**arguments)
