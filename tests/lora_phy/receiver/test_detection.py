"""Thresholds come from the noise's distribution: false alarms are counted against it, and noise gives no frame."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from lora_phy import LoRaParams, Receiver, receive, transmit
from lora_phy.modem.modulation import modulate
from lora_phy.modem.preamble import (
    activity_probability,
    detect_activity,
    detection_threshold,
    energies_before,
    pick_peaks,
    preamble_statistic,
)
from lora_phy.resampling import fractional_delay

PARAMS = LoRaParams(sf=7)


def noise(rng: np.random.Generator, samples: int) -> np.ndarray:
    return rng.standard_normal(2 * samples, dtype=np.float32).view(np.complex64)


@pytest.mark.parametrize("level", [1e-6, 1.0, 1e6])
def test_peaks_of_the_statistic_in_noise_stay_below_the_union_bound(rng, level) -> None:
    """Bound 2e-3 a symbol; 6000 symbols; false-alarm probability of this test 1e-6."""
    symbols = 6000
    iq = noise(rng, symbols * 128) * np.float32(level)
    num_windows = 2 * symbols - 32
    before = energies_before(iq, PARAMS, first_window=16)
    peak, where = preamble_statistic(iq, PARAMS, before, first_window=16, num_windows=num_windows)
    passed = pick_peaks(iq, peak, where, 0, num_windows, PARAMS, first_window=16)
    assert (where >= 0).sum() > len(passed) and len(passed) <= scipy.stats.poisson.ppf(1 - 1e-6, 2e-3 * symbols)


@pytest.mark.parametrize("delay", [0.0, 16.5, 31.5, 48.0])
def test_a_preamble_between_the_windows_passes_all_the_same(rng, delay) -> None:
    """Half a chip of delay turns the phase at each fold; a quarter symbol of it puts the fold far into a window."""
    chirps = fractional_delay(modulate(np.zeros(16, int), PARAMS), 512 + delay)
    iq = chirps * np.float32(np.sqrt(2 * 10**-0.6)) + noise(rng, len(chirps))
    before = energies_before(iq, PARAMS, first_window=0)
    peak, where = preamble_statistic(iq, PARAMS, before, first_window=0, num_windows=30)
    placed = max(pick_peaks(iq, peak, where, 0, 30, PARAMS, first_window=0), key=lambda candidate: candidate.statistic)
    assert placed.statistic >= peak.max() * (1 - 1e-4)
    # a window that starts at w shows an upchirp that begins at d as the tone w - d
    beside = (placed.half_bin / 2 - (placed.start - 512 - delay) + 64) % 128 - 64
    assert abs(beside) <= 1.0


def test_threshold_of_the_statistic_is_the_gamma_quantile() -> None:
    cells = 2 * 128 * 4
    expected = scipy.stats.gamma.isf(2e-3 / cells, 8)
    assert detection_threshold(PARAMS) == pytest.approx(expected)


def test_noise_gives_no_frame_of_whatever_status(rng) -> None:
    """50 000 symbols at SF7 here; benchmarks/waterfall_receiver.py counts 3e7."""
    receiver = Receiver([PARAMS, LoRaParams(sf=9)])
    for _ in range(4):
        assert receiver.push(noise(rng, 1_600_000)) == []
    assert receiver.flush() == []


@pytest.mark.slow
def test_long_noise_gives_no_frame(rng) -> None:
    receiver = Receiver(PARAMS)
    for _ in range(100):
        assert receiver.push(noise(rng, 1_280_000)) == []


def test_activity_is_detected_as_often_as_the_formulas_say(rng) -> None:
    """P_d and P_fa against 99.9999 % binomial bounds."""
    trials, snr_db, p_fa = 3000, -10.0, 1e-2
    chirps = modulate(np.zeros(2, int), PARAMS)
    gain = np.float32(np.sqrt(2 * 10 ** (snr_db / 10)))
    active = sum(detect_activity(gain * chirps + noise(rng, 256), PARAMS, p_fa=p_fa).active for _ in range(trials))
    false = sum(detect_activity(noise(rng, 256), PARAMS, p_fa=p_fa).active for _ in range(trials))
    p_d = activity_probability(7, 2, p_fa, snr_db)
    low, high = scipy.stats.binom.ppf([5e-7, 1 - 5e-7], trials, p_d)
    # the probability counts the right bin alone: another bin may add to it, the noise in the normalising energy blur it
    assert low - 0.02 * trials <= active <= high + 0.02 * trials
    assert false <= scipy.stats.binom.ppf(1 - 1e-6, trials, p_fa)


def test_silence_and_short_streams_hold_nothing() -> None:
    assert receive(np.zeros(50_000, np.complex64), PARAMS) == []
    assert receive(np.empty(0, np.complex64), PARAMS) == []
    with pytest.raises(ValueError, match="'p_fa'"):
        detect_activity(np.zeros(256, np.complex64), PARAMS, p_fa=0.0)
    with pytest.raises(ValueError, match="at least 2 symbols"):
        detect_activity(np.zeros(200, np.complex64), PARAMS)


@pytest.mark.parametrize("sync_word", [0x12, None])
@pytest.mark.parametrize(("sf", "over", "first", "above_db"), [(10, 7, 8.0, 13.0), (9, 7, 8.5, 9.0)])
def test_a_frame_whose_sync_word_and_downchirps_lie_under_a_stronger_frame(
    sf, over, first, above_db, sync_word
) -> None:
    """At another spreading factor, as a third of all frames overlap in busy networks. Measured against all that lies in
    their windows, these four symbols look like missing; as received they are as strong as the upchirps.
    """
    sent, other = LoRaParams(sf=sf), LoRaParams(sf=over)
    n = sent.num_bins
    for seed in range(4):
        rng = np.random.default_rng([sf, seed])
        payload, start = rng.bytes(16), 8 * n + int(rng.integers(n))
        frame = transmit(payload, sent)
        iq = np.zeros(len(frame) + 24 * n, np.complex128)
        iq[start : start + len(frame)] = frame * np.exp(2j * np.pi * rng.uniform(-0.05, 0.05) * np.arange(len(frame)))
        begin = start + int((first + rng.uniform(0.0, 0.3)) * n)
        stronger = transmit(rng.bytes(8), other)[: len(iq) - begin]
        iq[begin : begin + len(stronger)] += 10 ** (above_db / 20) * stronger * np.exp(2j * np.pi * rng.random())
        noise_power = 10 ** (-(2.9 - 2.645 * (sf - 7)) / 10)  # 13 dB above the limit
        iq += (rng.standard_normal(len(iq)) + 1j * rng.standard_normal(len(iq))) * np.sqrt(0.5 * noise_power)
        frames = receive(iq.astype(np.complex64), LoRaParams(sf=sf, sync_word=sync_word))
        assert [found.payload for found in frames if found.crc_ok] == [payload]
