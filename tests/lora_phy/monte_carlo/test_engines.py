"""Statistical: each engine against theory by exact binomial bounds, and against `waveform`; validity; reproducibility.

Every comparison has a false-alarm probability of at most 1e-6, with fixed seeds.
"""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats

from lora_phy import theory
from lora_phy.channel import ChannelParams, Interferer, apply_channel
from lora_phy.modem.demodulation import demodulate
from lora_phy.modem.modulation import modulate
from lora_phy.monte_carlo import engines
from lora_phy.monte_carlo.counts import LinkCounts, SymbolCounts, WeightedCounts, binomial_interval
from lora_phy.monte_carlo.engines import symbol_errors
from lora_phy.monte_carlo.frame_blocks import replay_frame, simulate_block
from lora_phy.monte_carlo.points import LinkPoint, require_valid_point
from lora_phy.params import LoRaParams

FALSE_ALARM = 1e-6
COUNTING = ("waveform", "bins", "order-statistics")
SF7 = LoRaParams(sf=7)


def agrees(errors: int, trials: int, rate: float) -> bool:
    """Exact two-sided binomial test at the false-alarm probability."""
    return bool(stats.binomtest(errors, trials, float(rate)).pvalue > FALSE_ALARM)


# ---- symbols against theory -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", COUNTING)
@pytest.mark.parametrize(("sf", "snr_db"), [(7, -11.0), (7, -9.0), (7, -7.5), (9, -16.0), (9, -14.0)])
def test_awgn(engine, sf, snr_db):
    counts = symbol_errors(
        LoRaParams(sf=sf), snr_db, 3 << (20 - sf + (0 if engine == "waveform" else 2)), seed=sf, engine=engine
    )
    assert counts.engine == engine
    assert agrees(counts.errors, counts.symbols, theory.ser_awgn(sf, snr_db))


@pytest.mark.slow
@pytest.mark.parametrize("engine", COUNTING)
@pytest.mark.parametrize("sf", range(5, 13))
@pytest.mark.parametrize("offset_db", [-4.0, -1.5, 0.0])
def test_awgn_every_sf(engine, sf, offset_db):
    snr_db = theory.required_snr_db(lambda x: theory.ser_awgn(sf, x), 1e-3) + offset_db
    counts = symbol_errors(LoRaParams(sf=sf), snr_db, 1 << (26 - sf), seed=1, engine=engine)
    assert agrees(counts.errors, counts.symbols, theory.ser_awgn(sf, snr_db))


FADING = [
    (ChannelParams(snr_db=5.0, fading="rayleigh"), theory.ser_rayleigh(7, 5.0)),
    (ChannelParams(snr_db=-4.0, fading="rician", k_factor_db=6.0), theory.ser_rician(7, -4.0, 6.0)),
    (ChannelParams(snr_db=-2.0, fading="nakagami", nakagami_m=2.0), theory.ser_nakagami(7, -2.0, 2.0)),
    (ChannelParams(snr_db=-9.0, fading="rician", k_factor_db=math.inf), theory.ser_awgn(7, -9.0)),
]


@pytest.mark.parametrize("engine", COUNTING)
@pytest.mark.parametrize(("channel", "rate"), FADING)
def test_flat_fading(engine, channel, rate):
    counts = symbol_errors(SF7, channel, 100_000, seed=3, engine=engine)
    assert agrees(counts.errors, counts.symbols, rate)


@pytest.mark.parametrize(("channel", "rate"), FADING)
def test_importance_in_fading(channel, rate):
    counts = symbol_errors(SF7, channel, 400_000, seed=4, engine="importance")
    z = (counts.ser - rate) / (counts.ser * counts.relative_error)
    assert abs(z) < stats.norm.isf(FALSE_ALARM / 2)


@pytest.mark.parametrize("sf", [5, 7, 9, 12])
@pytest.mark.parametrize("target", [1e-3, 1e-6, 1e-9, 1e-12])
def test_importance_reaches_rare_symbol_errors(sf, target):
    snr_db = theory.required_snr_db(lambda x: theory.ser_awgn(sf, x), target)
    counts = symbol_errors(LoRaParams(sf=sf), snr_db, 100_000, seed=5, engine="importance")
    assert counts.relative_error < 0.01
    assert abs(counts.ser / target - 1.0) < stats.norm.isf(FALSE_ALARM / 2) * counts.relative_error


def test_importance_in_deep_fading():
    for channel, rate in (
        (ChannelParams(snr_db=70.0, fading="rayleigh"), theory.ser_rayleigh(7, 70.0)),
        (ChannelParams(snr_db=10.0, fading="rician", k_factor_db=12.0), theory.ser_rician(7, 10.0, 12.0)),
        (ChannelParams(snr_db=35.0, fading="nakagami", nakagami_m=2.0), theory.ser_nakagami(7, 35.0, 2.0)),
    ):
        counts = symbol_errors(SF7, channel, 200_000, seed=5, engine="importance")
        assert rate < 1e-7
        assert counts.relative_error < 0.02
        assert abs(counts.ser / rate - 1.0) < stats.norm.isf(FALSE_ALARM / 2) * counts.relative_error


# ---- the general waveform path --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "params", [LoRaParams(sf=7, oversampling=2), LoRaParams(sf=7, inverted_iq=True), LoRaParams(sf=5, oversampling=4)]
)
def test_any_waveform_of_the_same_link(params):
    snr_db = -9.0 if params.sf == 7 else -5.0
    counts = symbol_errors(params, snr_db, 20_000, seed=6)
    assert agrees(counts.errors, counts.symbols, theory.ser_awgn(params.sf, snr_db))


def _reference_errors(channel, count, seed, params=SF7):
    """Modulate, channel, demodulate, one symbol per row: what the fused link must agree with."""
    rng = np.random.default_rng(seed)
    symbols = rng.integers(0, params.num_bins, (count, 1))
    return int(
        np.count_nonzero(
            demodulate(apply_channel(modulate(symbols, params), channel, params, rng=rng), params) != symbols
        )
    )


@pytest.mark.parametrize("params", [SF7, LoRaParams(sf=7, inverted_iq=True)])
def test_residual_carrier_offset(params):
    """The fused link with an offset of 0.38 bins against the modulator, the channel and the demodulator."""
    channel = ChannelParams(snr_db=-8.0, cfo_hz=370.0)
    counts = symbol_errors(params, channel, 40_000, seed=7)
    reference = _reference_errors(channel, 40_000, 8, params)
    table = [[counts.errors, 40_000 - counts.errors], [reference, 40_000 - reference]]
    assert stats.fisher_exact(table).pvalue > FALSE_ALARM
    assert counts.errors > 40_000 * 2 * theory.ser_awgn(7, -8.0)  # and the offset does hurt


def test_offsets_and_interferers_run_and_hurt():
    clean = symbol_errors(SF7, ChannelParams(snr_db=-7.0), 4000, seed=9)
    rng = np.random.default_rng(1)
    other = Interferer(modulate(rng.integers(0, 128, 20), SF7), start_sample=-37, power_db=0.0)
    for channel in (
        ChannelParams(snr_db=-7.0, sto_samples=0.45),
        ChannelParams(snr_db=-7.0, sto_samples=-3.0),
        ChannelParams(snr_db=-7.0, sfo_ppm=3000.0),
        ChannelParams(snr_db=-7.0, interferers=(other,)),
        ChannelParams(snr_db=-7.0, fading="rayleigh", doppler_hz=50.0),
    ):
        hurt = symbol_errors(SF7, channel, 4000, seed=9)
        assert hurt.symbols == 4000
        assert hurt.errors > 4 * clean.errors + 40, channel


def test_doppler_fading_has_the_rate_of_block_fading():
    """A process that hardly moves within a symbol fades like independent draws."""
    channel = ChannelParams(snr_db=5.0, fading="rayleigh", doppler_hz=0.5)
    counts = symbol_errors(SF7, channel, 3000, seed=10)
    assert agrees(counts.errors, counts.symbols, theory.ser_rayleigh(7, 5.0))


# ---- reproducibility ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", COUNTING)
def test_threads_and_prefixes(engine):
    kwargs = {"seed": 11, "engine": engine}
    one = symbol_errors(SF7, -9.0, 100_003, **kwargs)
    assert one == symbol_errors(SF7, -9.0, 100_003, threads=2, **kwargs)
    assert one == symbol_errors(SF7, -9.0, 100_003, threads=5, **kwargs)
    assert one != symbol_errors(SF7, -9.0, 100_003, seed=12, engine=engine)
    # a chunk of 65536 symbols is the same whatever follows it
    assert symbol_errors(SF7, -9.0, 80_000, **kwargs).errors >= symbol_errors(SF7, -9.0, 65_536, **kwargs).errors


def test_threads_on_the_general_path():
    channel = ChannelParams(snr_db=-8.0, sto_samples=0.3)
    assert symbol_errors(SF7, channel, 9000, seed=1) == symbol_errors(SF7, channel, 9000, seed=1, threads=2)


@pytest.mark.slow
def test_the_plain_path_gives_the_same_counts():
    code = (
        "from lora_phy.kernels.lanes import PLAIN\n"
        "from lora_phy.monte_carlo.engines import symbol_errors\n"
        "from lora_phy.params import LoRaParams\n"
        "print(PLAIN, *[symbol_errors(LoRaParams(sf=sf), snr, 1 << (20 - sf), seed=1, engine=e).errors\n"
        "  for sf, snr in ((5, -6.0), (7, -9.0), (9, -14.5)) for e in ('waveform', 'bins', 'order-statistics')])\n"
    )

    def run(**extra: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **extra}, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    plain = run(LORA_PHY_LANES="plain")
    generic = run(NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="+sse2")
    assert plain[0] == generic[0] == "True"
    assert run(LORA_PHY_LANES="")[1:] == plain[1:] == generic[1:]


# ---- bad input and validity -----------------------------------------------------------------------------------------
def test_zero_symbols_and_bad_arguments():
    assert symbol_errors(SF7, -9.0, 0, seed=1) == SymbolCounts(0, 0)
    assert symbol_errors(SF7, -9.0, 0, seed=1, engine="importance").draws == 0
    assert math.isnan(SymbolCounts(0, 0).ser)
    for bad in (
        {"channel": math.nan},
        {"num_symbols": -1},
        {"num_symbols": 1.5},
        {"seed": -1},
        {"threads": 0},
        {"engine": "magic"},
    ):
        arguments = {"channel": -9.0, "num_symbols": 10, "seed": 1, **bad}
        channel, count = arguments.pop("channel"), arguments.pop("num_symbols")
        with pytest.raises(ValueError, match=r"snr_db|num_symbols|seed|threads|engine"):
            symbol_errors(SF7, channel, count, **arguments)


def test_more_threads_than_work_or_processors_change_nothing(monkeypatch):
    """Three chunks: three threads, however many are asked for."""
    started = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, threads):
            started.append(threads)
            super().__init__(threads)

    monkeypatch.setattr(engines, "ThreadPoolExecutor", Pool)
    symbols = 2 * (engines._CHUNK_SAMPLES >> 7) + 1
    one = symbol_errors(SF7, -9.0, symbols, seed=1, engine="order-statistics")
    assert symbol_errors(SF7, -9.0, symbols, seed=1, engine="order-statistics", threads=10**9) == one
    assert started == [3]


@pytest.mark.parametrize("engine", ["bins", "order-statistics", "importance"])
@pytest.mark.parametrize(
    "extra",
    [
        {"cfo_hz": 10.0},
        {"sto_samples": 0.1},
        {"sfo_ppm": 1.0},
        {"fading": "rayleigh", "doppler_hz": 1.0},
        {"interferers": (Interferer(np.ones(8)),)},
    ],
)
def test_shortcuts_refuse_what_they_cannot_draw(engine, extra):
    name = next(key for key in extra if key != "fading")
    with pytest.raises(ValueError, match=f"(?s){engine}.*{name}.*waveform"):
        symbol_errors(SF7, ChannelParams(snr_db=-9.0, **extra), 10, seed=1, engine=engine)


def test_points_refuse_engines_outside_their_validity():
    for engine in ("bins", "order-statistics", "importance"):
        with pytest.raises(ValueError, match="'sync' must be 'perfect'"):
            require_valid_point(LinkPoint(SF7, -9.0, 16), engine)
    for engine in ("order-statistics", "importance"):
        with pytest.raises(ValueError, match="'decoding' must be 'hard'"):
            require_valid_point(LinkPoint(SF7, -9.0, 16, sync="perfect"), engine)
    require_valid_point(LinkPoint(SF7, -9.0, 16, sync="perfect"), "bins")


def test_extreme_snr():
    for engine in COUNTING:
        assert symbol_errors(SF7, math.inf, 1000, seed=1, engine=engine).errors == 0
        deaf = symbol_errors(SF7, -300.0, 20_000, seed=1, engine=engine)
        assert agrees(deaf.errors, deaf.symbols, 127 / 128)


# ---- frames against theory ------------------------------------------------------------------------------------------
def exact_per(params: LoRaParams, payload_len: int, snr_db: float) -> float:
    """Hard decoding, perfect sync, exactly: sums over which symbols of a block are wrong.

    A wrong symbol flips a pattern of its bits that is uniform over all but none. `ok` of a set of wrong symbols is the
    chance that a codeword with uniform flips there decodes right; inclusion and exclusion takes out the empty patterns.
    """
    from lora_phy.coding.hamming import codebook, hamming_decode

    def block(ser: float, cr: int, rows: int, used: int) -> float:
        n = 4 + cr
        word = int(codebook(cr)[0])
        right = [int(hamming_decode(np.array([word ^ flip], np.uint8), cr)[0]) == 0 for flip in range(1 << n)]

        def ok(subset: int) -> float:
            flips = [flip for flip in range(1 << n) if flip & ~subset == 0]
            return sum(right[flip] for flip in flips) / len(flips)

        survival = [ok(subset) ** used for subset in range(1 << n)]
        total = 0.0
        for wrong in range(1 << n):
            k = wrong.bit_count()
            alive = sum(
                (-(2.0**-rows)) ** (k - subset.bit_count()) * survival[subset]
                for subset in range(1 << n)
                if subset & ~wrong == 0
            )
            total += ser**k * (1 - ser) ** (n - k) * (1.0 - alive / (1.0 - 2.0**-rows) ** k)
        return total

    def ser(reduced: bool) -> float:
        esn0 = 2.0**params.sf * 10 ** (snr_db / 10)
        from lora_phy.monte_carlo.importance import symbol_error_rates

        return float(symbol_error_rates(params.sf, reduced, esn0))

    nibbles = 5 * params.explicit_header + 2 * payload_len + 4 * params.crc
    rows = params.sf - 2 * params.header_reduced_rate
    success = 1.0 - block(ser(params.header_reduced_rate), 4, rows, min(nibbles, rows))
    left, rows = max(0, nibbles - rows), params.bits_per_symbol
    while left > 0:
        success *= 1.0 - block(ser(params.reduced_rate), params.cr, rows, min(left, rows))
        left -= rows
    return 1.0 - success


@pytest.mark.parametrize("cr", [1, 2, 3, 4])
def test_exact_per_is_close_to_the_block_exact_theory(cr):
    params = LoRaParams(sf=7, cr=cr)
    for snr_db in (-11.0, -9.0, -7.0):
        ratio = exact_per(params, 16, snr_db) / float(theory.per_awgn(params, 16, snr_db))
        assert 0.85 < ratio < 1.05


FRAME_CASES = [
    (LoRaParams(sf=7, cr=1), 16, -8.6),
    (LoRaParams(sf=7, cr=3), 16, -10.0),
    (LoRaParams(sf=7, cr=4), 16, -9.9),
    (LoRaParams(sf=9, cr=2, ldro=True), 7, -15.0),
    (LoRaParams(sf=5, cr=4, explicit_header=False), 10, -4.5),
]


def _collected(point, engine, blocks, seed=2):
    total = simulate_block(point, engine, seed, 0, 200).counts
    for number in range(1, blocks):
        total = total + simulate_block(point, engine, seed, number, 200).counts
    return total


@pytest.mark.parametrize("engine", COUNTING)
@pytest.mark.parametrize(("params", "payload_len", "snr_db"), FRAME_CASES)
def test_hard_frames(engine, params, payload_len, snr_db):
    point = LinkPoint(params, snr_db, payload_len, sync="perfect", decoding="hard")
    counts = _collected(point, engine, 5 if engine == "waveform" else 20)
    assert agrees(counts.frame_errors, counts.frames, exact_per(params, payload_len, snr_db))
    assert counts.frame_errors == counts.bad_header + counts.bad_crc + counts.undetected + counts.truncated
    assert counts.missed == 0


@pytest.mark.parametrize(("params", "payload_len", "snr_db"), FRAME_CASES)
@pytest.mark.parametrize("gain_db", [0.0, 2.5, 4.5])
def test_importance_frames(params, payload_len, snr_db, gain_db):
    point = LinkPoint(params, snr_db + gain_db, payload_len, sync="perfect", decoding="hard")
    counts = _collected(point, "importance", 60)
    rate = exact_per(params, payload_len, snr_db + gain_db)
    assert counts.relative_error < 0.15
    assert abs(counts.per - rate) < stats.norm.isf(FALSE_ALARM / 2) * counts.per * counts.relative_error


def test_importance_frames_in_fading():
    channel = ChannelParams(snr_db=8.0, fading="rayleigh")
    point = LinkPoint(LoRaParams(sf=7, cr=3), channel, 16, sync="perfect", decoding="hard")
    counts, plain = _collected(point, "importance", 40), _collected(point, "bins", 60)
    # plain sampling within its own exact interval of the weighted rate, whose error is small beside it
    assert counts.relative_error < 0.03
    low, high = binomial_interval(plain.frame_errors, plain.frames, 1 - FALSE_ALARM)
    assert low < counts.per < high


def test_soft_frames_by_waveform_and_by_bins():
    point = LinkPoint(LoRaParams(sf=7, cr=4), -11.0, 16, sync="perfect", decoding="soft")
    waveform, bins = _collected(point, "waveform", 5), _collected(point, "bins", 10)
    table = [[c.frame_errors, c.frames - c.frame_errors] for c in (waveform, bins)]
    assert stats.fisher_exact(table).pvalue > FALSE_ALARM
    hard = _collected(LinkPoint(LoRaParams(sf=7, cr=4), -11.0, 16, sync="perfect", decoding="hard"), "bins", 10)
    assert bins.frame_errors < hard.frame_errors / 3  # more than a decibel of gain


def test_frames_one_by_one_agree_with_batches():
    """An offset too small to matter takes the general path, with the modem and the chain."""
    params, snr_db = LoRaParams(sf=7, cr=1), -8.6
    for decoding in ("hard", "soft"):
        channel = ChannelParams(snr_db=snr_db - (decoding == "soft"), sto_samples=1e-9)
        point = LinkPoint(params, channel, 16, sync="perfect", decoding=decoding)
        single = LinkCounts()
        for number in range(30):
            single += simulate_block(point, "waveform", 3, number, 10).counts
        batch = _collected(LinkPoint(params, channel.snr_db, 16, sync="perfect", decoding=decoding), "bins", 10)
        table = [[c.frame_errors, c.frames - c.frame_errors] for c in (single, batch)]
        # the chain's hard decisions compete over all bins in the header: a little worse, not more than this test sees
        assert stats.fisher_exact(table).pvalue > FALSE_ALARM


# ---- counts and replay ----------------------------------------------------------------------------------------------
def test_counts_add_and_know_their_intervals():
    parts = [LinkCounts(10, 2, 1, 0, 1, 0, 0), LinkCounts(5, 1, 0, 1, 0, 0, 0), LinkCounts()]
    for a, b, c in itertools.permutations(parts):
        assert a + b + c == LinkCounts(15, 3, 1, 1, 1, 0, 0)
    low, high = LinkCounts(1000, 20).interval()
    assert stats.binom.sf(19, 1000, low) == pytest.approx(0.025)
    assert stats.binom.cdf(20, 1000, high) == pytest.approx(0.025)
    assert binomial_interval(0, 0) == (0.0, 1.0)
    assert binomial_interval(10, 10)[1] == 1.0
    with pytest.raises(ValueError, match="engine"):
        SymbolCounts(1, 0, "bins") + SymbolCounts(1, 0, "waveform")
    weighted = WeightedCounts(10, 1.0, 0.5) + WeightedCounts(10, 1.0, 0.5)
    assert weighted == WeightedCounts(20, 2.0, 1.0)
    assert WeightedCounts(10, 0.0, 0.0).relative_error == math.inf


@pytest.mark.parametrize("engine", ["waveform", "bins", "order-statistics"])
@pytest.mark.parametrize("decoding", ["hard", "soft"])
def test_replay_shows_the_frame_that_failed(engine, decoding):
    if engine == "order-statistics" and decoding == "soft":
        pytest.skip("refused by the engine")
    point = LinkPoint(SF7, -9.5, 16, sync="perfect", decoding=decoding)
    block = simulate_block(point, engine, 4, 3, 200)
    assert block.failed
    for frame in (*block.failed[:3], *sorted(set(range(200)) - set(block.failed))[:3]):
        record = replay_frame(point, 600 + frame, seed=4, engine=engine)
        assert record.ok == (frame not in block.failed)
        assert record.ok == (record.payload == record.received_payload and record.status == "ok")
        assert record.symbols.shape == record.received.shape[:1]


def test_replay_of_single_frames():
    point = LinkPoint(SF7, ChannelParams(snr_db=-9.0, sto_samples=0.3), 16, sync="perfect", decoding="hard")
    block = simulate_block(point, "waveform", 4, 2, 10)
    for frame in range(10):
        record = replay_frame(point, 20 + frame, seed=4)
        assert record.ok == (frame not in block.failed)
        assert record.received.dtype == np.complex64


def test_points_have_identities():
    point = LinkPoint(SF7, -9.0, 16)
    assert point.key == LinkPoint(LoRaParams(sf=7), ChannelParams(snr_db=-9.0), 16).key
    others = [
        LinkPoint(LoRaParams(sf=8), -9.0, 16),
        LinkPoint(SF7, -9.1, 16),
        LinkPoint(SF7, -9.0, 17),
        LinkPoint(SF7, -9.0, 16, sync="perfect"),
        LinkPoint(SF7, -9.0, 16, decoding="hard"),
        LinkPoint(SF7, ChannelParams(snr_db=-9.0, interferers=(Interferer(np.ones(8)),)), 16),
        LinkPoint(SF7, ChannelParams(snr_db=-9.0, interferers=(Interferer(np.ones(9)),)), 16),
    ]
    assert len({p.key for p in others} | {point.key}) == 8
    for bad in (
        {"payload_len": 256},
        {"payload_len": 1.0},
        {"sync": "good"},
        {"decoding": "firm"},
        {"channel": math.nan},
    ):
        arguments = {"params": SF7, "channel": -9.0, "payload_len": 16, **bad}
        with pytest.raises(ValueError, match=r"payload_len|sync|decoding|snr_db"):
            LinkPoint(**arguments)
