"""The compiled kernels against their definitions in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats

from lora_phy import LoRaParams, modulate
from lora_phy.modem import (
    _detection_kernels,
    _fine_sync_kernels,
    _interpolation_kernels,
    _payload_kernels,
    _search_kernels,
    _tone_kernels,
)
from lora_phy.modem.chirps import downchirp
from lora_phy.modem.interpolation import delayed, extract
from lora_phy.modem.preamble import zoom_table
from lora_phy.receiver import _tracking_kernels
from lora_phy.resampling import fractional_delay

SF, N = 6, 64
CHIRP = downchirp(LoRaParams(sf=SF))


def complex_noise(rng, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def window(samples: np.ndarray, start: int) -> np.ndarray:
    index = np.arange(start, start + N)
    inside = (index >= 0) & (index < len(samples))
    return np.where(inside, samples[np.clip(index, 0, len(samples) - 1)], 0)


def tone(bins: float) -> np.ndarray:
    return np.exp(-2j * np.pi * bins * np.arange(N) / N)


def test_windows_and_half_bins(rng) -> None:
    samples, starts = complex_noise(rng, 500), np.array([-30, 0, 100, 470])
    out, energy = np.empty((4, N), np.complex64), np.empty(4, np.float32)
    _detection_kernels.dechirp_windows(samples, starts, CHIRP, out, energy)
    rows = np.array([window(samples, s) for s in starts])
    assert np.allclose(out, rows * CHIRP, atol=1e-5) and np.allclose(energy, (abs(rows) ** 2).sum(1), rtol=1e-5)
    spectra = np.fft.fft(out).astype(np.complex64)
    halves = np.empty((4, 2 * N), np.float32)
    _detection_kernels.half_bin_energies(spectra, energy, halves)
    between = (spectra - np.roll(spectra, -1, axis=1)) / np.sqrt(2)
    expected = np.concatenate([abs(spectra) ** 2, abs(between) ** 2], axis=1) / energy[:, np.newaxis]
    assert np.allclose(halves, expected, rtol=1e-4, atol=1e-5)


def test_preamble_statistic_and_its_peaks(rng) -> None:
    energies = rng.exponential(size=(60, 2 * N)).astype(np.float32)
    energies[20:52:4, 7] += 9
    energies[30, 50] += 70  # a lone strong window does not count
    peak, where = np.empty(25, np.float32), np.empty(25, np.int64)
    _detection_kernels.preamble_statistic(energies, 28, 8, 4, np.float32(30), np.float32(2), 5, peak, where)
    for i in range(25):
        total = energies[28 + i - 28 : 28 + i + 1 : 4].sum(axis=0)
        assert np.isclose(peak[i], total.max(), rtol=1e-5)
        rows = energies[i : 28 + i + 1 : 4, total.argmax()]
        passes = total.max() >= 30 and (rows >= max(2.0, 0.3 * total.max() / 8)).sum() >= 5
        assert where[i] == (total.argmax() if passes else -1)
    assert where[20] == 7
    found = np.empty(25, np.int64)
    count = _detection_kernels.first_maxima(peak, where, 5, 0, 25, found)
    expected = [
        i
        for i in np.flatnonzero(where >= 0)
        if all(peak[k] < peak[i] or (peak[k] == peak[i] and k > i) for k in np.flatnonzero(where >= 0)
               if k != i and abs(k - i) <= 5)
    ]  # fmt: skip
    assert found[:count].tolist() == expected


def test_a_peak_is_placed_at_the_best_quarter_symbol_and_half_bin(rng) -> None:
    """Against the energies' definition, `num_sum` windows at each of three places, half bins around the peak's."""
    samples = complex_noise(rng, 500)
    for start, half_bin, num_sum in ((300, 31, 4), (20, 0, 2), (440, 127, 7)):
        best = []
        for moved in (-16, 0, 16):
            lowest = 2 * (half_bin // 2 + moved - 1)
            sums = np.zeros(2 * N)
            for j in range(num_sum):
                row = window(samples, start + moved - j * N).astype(complex)
                if row.any():
                    z = np.fft.fft(row * CHIRP)
                    z = np.stack([z, (z - np.roll(z, -1)) / np.sqrt(2)], axis=1).reshape(-1)
                    sums += np.abs(z) ** 2 / (np.abs(row) ** 2).sum()
            best += [(sums[h % (2 * N)], moved, h) for h in range(lowest, lowest + 7)]
        expected, moved, at = max(best)
        zoom = zoom_table(SF, (0.0, 1.0, 2.0, 3.0))
        found = _detection_kernels.best_nearby(samples, start, half_bin, num_sum, 1, 16, CHIRP, *zoom)
        assert found[:2] == (moved, at) and np.isclose(found[2], expected, rtol=1e-4)


@pytest.mark.parametrize("step", [2, 3])
def test_decimation_is_the_sum_over_its_taps(rng, step) -> None:
    samples, taps = complex_noise(rng, 700), rng.standard_normal(12 * step).astype(np.float32)
    taps[::step] = 0.0
    for first, num in ((-30, 20), (5, 200), (660, 40), (900, 3), (-90, 1)):
        out = np.empty(num, np.complex64)
        _interpolation_kernels.decimate(samples, first, step, taps, out)
        index = first + step * np.arange(num)[:, np.newaxis] + np.arange(len(taps))
        inside = (index >= 0) & (index < len(samples))
        expected = np.where(inside, samples[np.clip(index, 0, len(samples) - 1)], 0) @ taps
        assert np.allclose(out, expected, atol=1e-4)


def test_sums_of_upchirps_follow_their_tone(rng) -> None:
    up = rng.exponential(size=(40, 2 * N)).astype(np.float32)
    shifts, tones = 2 * 16 * np.arange(40), np.array([5, 6])
    out = np.empty((2, 40), np.float32)
    level = np.empty(40, np.float32)
    largest, low, high = _search_kernels.upchirp_sums(up, tones, shifts, 3, 4, np.float32(0.6), out, level)
    near = [out[:, max(i - 2, 0) : i + 3].max() for i in range(40)]
    assert np.array_equal(level, np.array(near, np.float32))
    assert largest == out.max()
    assert [low, high] == np.flatnonzero((out >= 0.6 * largest).any(axis=0))[[0, -1]].tolist()
    for t in range(2):
        for i in range(8, 40):
            h = [(tones[t] + shifts[i - 4 * j]) % (2 * N) for j in range(3)]
            expected = sum(up[i - 4 * j, h[j] // 2 + N * (h[j] % 2)] for j in range(3))
            assert np.isclose(out[t, i], expected, rtol=1e-5)


def test_joint_search_scores_every_start(rng) -> None:
    """Each cell of two chips against a search over all its starts, tones and quarters, less what the downchirps' mean
    amplitude differs by from that of the three upchirps."""
    hop, rows = 16, 60
    up = rng.exponential(size=(rows, 2 * N)).astype(np.float32)
    down = rng.exponential(size=(rows, 2 * N)).astype(np.float32)
    ups = rng.exponential(size=(2, rows)).astype(np.float32)
    level = rng.exponential(size=rows).astype(np.float32)
    tones, sync = np.array([9, 10]), 2 * np.array([[8, 24], [16, 40]])
    low, high, at, bonus, weakest = 400, 440, 300, 3.0, 0.2
    score, which, where = np.empty(20, np.float32), np.empty(20, np.int64), np.empty(20, np.int64)
    _search_kernels.joint_search(
        up,
        down,
        ups,
        level,
        np.float32(weakest),
        0,
        0,
        hop,
        tones,
        at,
        sync,
        low,
        high,
        np.float32(bonus),
        3,
        score,
        which,
        where,
    )

    def energy(table: np.ndarray, row: int, half_bin: int) -> float:
        half_bin %= 2 * N
        return float(table[row, half_bin // 2 + N * (half_bin % 2)])

    for cell in range(20):
        best, uneven = (0.0, 0, 0), 0.0
        for start in (low + 2 * cell, low + 2 * cell + 1):
            row = (start + hop // 2) // hop
            late = row * hop - start
            for t in range(2):
                if ups[t, row - 12] < weakest:
                    continue
                cfo = int(tones[t]) + 2 * (start - at)
                total = float(level[row - 12])
                for i in range(2):
                    total += max(energy(up, row - (2 - i) * 4, cfo + 2 * late + int(s)) for s in sync[i])
                total -= sum(energy(up, row + 4 * i, cfo + 2 * late) for i in range(2))  # upchirps that go on
                inside = abs((cfo + N) % (2 * N) - N) * 2 <= N + 8
                for quarter in range(4):
                    downs = sum(energy(down, row + 4 * i, cfo - 2 * late + quarter) for i in range(2))
                    if total + inside * bonus + downs > best[0]:
                        best = (total + inside * bonus + downs, t, 4 * start + quarter)
                        uneven = 2 * (np.sqrt(downs / 2) - np.sqrt(level[row - 12] / 3)) ** 2
        assert np.isclose(score[cell], max(best[0] - uneven, min(best[0], 1e-6)), rtol=1e-4)
        assert best[0] == 0 or (which[cell], where[cell]) == best[1:]

    start, cfo, chosen = np.empty(7), np.empty(7), np.empty(7, np.float32)
    count = _search_kernels.best_hypotheses(score, which, where, tones, at, level, 0, hop, N, start, cfo, chosen)
    order = np.argsort(-score)[:5]
    assert count == 7 and np.array_equal(start[:5], where[order] / 4)
    assert np.array_equal(start[5:], start[0] + np.array([-N / 2, N / 2]))
    offset = 0.5 * tones[which[order]] + where[order] / 4 - at
    assert np.allclose(cfo[:5], (offset + N / 2) % N - N / 2)
    precise = rng.exponential(size=(7, 5, 5)).astype(np.float32)
    ranked = np.empty(3, np.int64)
    largest = _search_kernels.rank_hypotheses(precise, chosen, 3, cfo, N, np.float32(bonus), ranked)
    pairs = precise[:, 1:3].max(axis=2)
    rest = pairs.sum(axis=1)
    uneven = 2 * ((np.sqrt(pairs / 2) - np.sqrt(chosen / 3)[:, np.newaxis]) ** 2).sum(axis=1)
    total = chosen + rest - uneven + bonus * (np.abs(cfo) <= N / 4 + 2)
    assert np.isclose(largest, rest.max()) and np.array_equal(ranked, np.argsort(-total)[:3])


def test_energies_of_a_hypothesis(rng) -> None:
    samples = complex_noise(rng, 900)
    start, cfo, sync = 400.3, 5.2, np.array([[8], [16]])
    zoom = zoom_table(SF, (-0.25, 0.0, 0.25))
    out = np.empty((1, 5, 3), np.float32)
    _search_kernels.hypothesis_energies(samples, np.array([start]), np.array([cfo]), CHIRP, *zoom, sync, 3, out)
    whole, late = 400, 400 - start
    for e, step in enumerate((-0.25, 0.0, 0.25)):
        parts = [0.0, 0.0, 0.0]
        for i in range(-5, 2):
            y = window(samples, whole + i * N)
            scale = (abs(y) ** 2).sum()
            if i >= 0:
                z = (y * CHIRP.conj() * tone(cfo - late + step)).sum()
            else:
                s = int(sync[i + 2, 0]) if i >= -2 else 0
                w = y * CHIRP * tone(cfo + late + s + step)
                w[N - s :] *= np.exp(2j * np.pi * late) if s else 1
                z = w.sum()
            parts[2 if i >= 0 else 1 if i >= -2 else 0] += abs(z) ** 2 / scale
        assert np.allclose(out[0, :3, e], parts, rtol=1e-3)


def test_best_drift_finds_tones_and_drift() -> None:
    columns, unit, drift = np.arange(25.0), 0.125, 0.05
    index = np.arange(-10, 2.0)
    centre = np.where(index < 0, index - index[:10].mean(), -(index - 0.5))
    place = np.where(index < 0, 14.0, 9.0) + centre * drift / unit
    energy = (10 - (columns - place[:, np.newaxis]) ** 2 / 10).astype(np.float32)
    result, at_peak = np.empty(3), np.empty(12)
    _fine_sync_kernels.best_drift(energy, 10, np.linspace(-0.1, 0.1, 5), 1.0, 0.0, unit, result, at_peak)
    assert np.allclose(result, [0.05, 14.0, 9.0], atol=0.05)
    assert np.all(at_peak > 9.9)


def test_a_moving_carrier_moves_both_tones_the_same_way() -> None:
    columns, unit, rate = np.arange(25.0), 0.125, 0.11
    index = np.arange(-10, 2.0)
    place = np.where(index < 0, 14.0 + (index - index[:10].mean()) * rate / unit, 9.0 + (index - 0.5) * rate / unit)
    energy = (40 - (columns - place[:, np.newaxis]) ** 2).astype(np.float32)
    result, at_peak = np.empty(3), np.empty(12)
    found = _fine_sync_kernels.best_carrier(energy, 10, np.zeros(1), 1.0, unit, result, at_peak)
    assert np.isclose(found, rate, atol=0.01)
    assert np.allclose(result, [0.0, 14.0, 9.0], atol=0.05)
    still = (40 - (columns - 12.0) ** 2 + 0.0 * place[:, np.newaxis]).astype(np.float32)
    assert _fine_sync_kernels.best_carrier(still, 10, np.zeros(1), 1.0, unit, result, at_peak) == 0.0


def test_zoom_and_noise_floor(rng) -> None:
    rows, shifts = complex_noise(rng, 3, N), np.array([0, 5, 0])
    scale = np.array([1.0, 0.5, 2.0], np.float32)
    zoom, out = zoom_table(SF, (-0.5, 0.25)), np.empty((3, 2), np.float32)
    _fine_sync_kernels.zoom_energies(rows, shifts, *zoom, scale, out)
    expected = [[abs((rows[i] * tone(shifts[i] + e)).sum()) ** 2 * scale[i] for e in (-0.5, 0.25)] for i in range(3)]
    assert np.allclose(out, expected, rtol=1e-3)
    floor = np.empty(3)
    _fine_sync_kernels.noise_floor(rows, shifts, floor)
    for i in range(3):
        kept = [k for k in range(N) if min((k - shifts[i]) % N, (shifts[i] - k) % N) > 3]
        assert np.isclose(floor[i], (abs(rows[i, kept]) ** 2).mean(), rtol=1e-4)


def test_dechirp_preamble(rng) -> None:
    rows = complex_noise(rng, 4, N)
    expected = rows * np.array([CHIRP, CHIRP, CHIRP, CHIRP.conj()])
    scale = np.empty(4, np.float32)
    power = (abs(rows) ** 2).sum(axis=1)
    _fine_sync_kernels.dechirp_preamble(rows, 3, CHIRP, scale)
    assert np.allclose(rows, expected, atol=1e-5) and np.allclose(scale, 1 / power, rtol=1e-5)


def test_extract_interpolates_and_removes_the_carrier(rng) -> None:
    """Against the channel's own fractional delay, away from the ends."""
    samples = complex_noise(rng, 3000)
    late = fractional_delay(samples, 0.3) * np.exp(2j * np.pi * 0.01 * np.arange(3000))
    back = extract(late.astype(np.complex64), 1000.3, 500, 0.01)
    turn = np.vdot(back, samples[1000:1500])
    error = np.abs(back * turn / abs(turn) - samples[1000:1500])
    assert np.sqrt((error**2).mean() / 2) < 0.05
    short = delayed(late.astype(np.complex64), 1000.3, 501, 0.01)[:500]
    error = np.abs(short * turn / abs(turn) - samples[1000:1500])
    # what the taps leave out of the sinc: 2 sin^2(0.3 pi) / (32 pi^2) of the power
    assert abs((error**2).mean() / 2 / (2 * np.sin(0.3 * np.pi) ** 2 / (32 * np.pi**2)) - 1) < 0.35
    for read in (extract, delayed):
        assert np.allclose(read(samples, 100.0, 50, 0.0), samples[100:150], atol=1e-6)
        assert np.allclose(read(samples, -20.0, 50, 0.0), np.concatenate([np.zeros(20), samples[:30]]), atol=1e-6)


def test_symbols_are_read_with_their_lead(rng) -> None:
    z = complex_noise(rng, 5, N)
    magnitude, best, lead = np.empty((5, N), np.float32), np.empty(5, np.int64), np.empty(5, np.float32)
    for first, stride, early in ((0, 1, 0), (1, 4, 0), (0, 1, 1), (0, 4, 1)):
        _payload_kernels.read_symbols(z, np.full(5, stride), early, magnitude, best, lead)
        legal = np.abs(z)[:, first::stride]
        ordered = np.sort(legal, axis=1)
        assert np.allclose(magnitude, np.abs(z), rtol=1e-5)
        assert np.array_equal(best, first + stride * legal.argmax(axis=1))
        assert np.allclose(lead, ordered[:, -1] - ordered[:, -2], atol=1e-5)


@pytest.mark.parametrize("early", [-0.15, 0.0, 0.2])
@pytest.mark.parametrize("offset", [-0.2, 0.0, 0.1])
def test_errors_of_chirps_that_are_early_and_on_another_carrier(early, offset) -> None:
    """Both together, in the proportions that the fold's place dictates."""
    params = LoRaParams(sf=9)
    symbols = np.array([0, 100, 256, 511])
    chirps = np.concatenate([modulate([7], params), modulate(symbols, params), modulate([9], params)])
    rows = fractional_delay(chirps, -early)[512:-512].reshape(4, 512)
    rows = (rows * np.exp(2j * np.pi * offset / 512 * np.arange(512))).astype(np.complex64)
    out, matched = np.empty((4, 2), np.float32), np.empty(4, np.complex64)
    _payload_kernels.tracking_errors(rows, downchirp(params), symbols, 1, out, matched)
    common = 1 - 6 * symbols / 512 * (1 - symbols / 512)
    assert np.allclose(out[:, 0], early + common * offset, atol=0.06)
    assert np.allclose(out[:, 1], common * early + offset, atol=0.06)


def test_likelihoods_are_bessel_functions(rng) -> None:
    magnitude = np.abs(complex_noise(rng, 4, N)).astype(np.float32)
    order = rng.permutation(N).astype(np.int32)
    for scale in (0.1, 3.0, 30.0):
        out = np.empty((4, N), np.float32)
        _payload_kernels.label_likelihoods(magnitude, order, np.float32(scale), out)
        x = scale * magnitude[:, order].astype(float)
        exact = np.log(scipy.special.i0e(x)) + x
        exact -= exact.max(axis=1, keepdims=True)
        seen = exact > -30
        assert np.abs(np.log(out[seen]) - exact[seen]).max() < 0.02
    for scale in (0.0, 1e25):
        _payload_kernels.label_likelihoods(1e10 * magnitude, order, np.float32(scale), out)
        assert np.all(np.isfinite(out)) and np.allclose(out.max(axis=1), 1.0)


def test_grid_search_and_judgement_are_their_parts(rng) -> None:
    hop, rows, most = 16, 60, 5
    up, down = (rng.exponential(size=(rows, 2 * N)).astype(np.float32) for _ in range(2))
    ups, level = rng.exponential(size=(2, rows)).astype(np.float32), rng.exponential(size=rows).astype(np.float32)
    tones, sync, samples = np.array([9, 10]), np.array([[8, 24], [16, 40]]), complex_noise(rng, 1200)
    scene = (up, down, ups, level, np.float32(0.2), 0, 0, hop, tones, 300, 2 * sync, 400, 440, np.float32(3.0), 3)
    score, which, where = np.empty(20, np.float32), np.empty(20, np.int64), np.empty(20, np.int64)
    _search_kernels.joint_search(*scene, score, which, where)
    start, cfo, energy = np.empty(most + 2), np.empty(most + 2), np.empty(most + 2, np.float32)
    _search_kernels.best_hypotheses(score, which, where, tones, 300, level, 0, hop, N, start, cfo, energy)
    found = _search_kernels.grid_search(*scene, most)
    assert all(np.array_equal(a, b) for a, b in zip(found, (start, cfo, energy), strict=True))

    steps = (-0.25, 0.0, 0.25)
    zoom = zoom_table(SF, steps)
    parts = np.empty((most + 2, 5, 3), np.float32)
    _search_kernels.hypothesis_energies(samples, start, cfo, CHIRP, *zoom, sync, 0, parts)
    order = np.empty(3, np.int64)
    rest = _search_kernels.rank_hypotheses(parts, energy, 3, cfo, N, np.float32(3.0), order)
    start, cfo, parts = start[order], cfo[order], np.empty((3, 5, 3), np.float32)
    _search_kernels.hypothesis_energies(samples, start, cfo, CHIRP, *zoom, sync, 4, parts)
    judge = (samples, *found, CHIRP, *zoom, sync, np.float32(3.0), 3, 3)
    refined = _search_kernels.judge_hypotheses(*judge, 0.99 * rest, 4, np.array(steps))
    assert len(_search_kernels.judge_hypotheses(*judge, 1.01 * rest, 4, np.array(steps))) == 0
    upward = parts[:, 0] + parts[:, 1]
    up_step, down_step = np.array(steps)[upward.argmax(1)], np.array(steps)[parts[:, 2].argmax(1)]
    word, downs = parts[range(3), 1, upward.argmax(1)], parts[:, 2].max(1)
    single = np.sqrt((upward.max(1) - word) / 4)
    uneven = 2 * (np.sqrt(word / 2) - single) ** 2 + 2 * (np.sqrt(downs / 2) - single) ** 2
    expected = [start + (down_step - up_step) / 2, cfo + (down_step + up_step) / 2, upward.max(1), downs, uneven]
    assert np.allclose(refined, np.transpose(expected))


def test_upchirps_are_followed_back(rng) -> None:
    """Evidence for each chirp against its definition; the common offset of all is found."""
    samples = complex_noise(rng, 700)
    samples[200:584] += 0.5 * np.tile(CHIRP.conj() * tone(-0.2), 6).astype(np.complex64)
    offsets = np.array([-0.5, -0.25, 0.0, 0.25, 0.5])
    evidence, places = np.empty(6), np.empty(6)
    moved = _detection_kernels.upchirps_back(
        samples, 584.2, 64.0, 0.0, 20.0, CHIRP, *zoom_table(SF, tuple(offsets)), offsets, True, evidence, places
    )
    assert np.allclose(places, 584.2 - 64 * np.arange(1, 7))
    r = np.array(
        [
            [abs((y * CHIRP * tone(e + round(p) - p)).sum()) ** 2 / (abs(y) ** 2).sum() for e in offsets]
            for p in places
            for y in [window(samples, round(p))]
        ]
    )
    at = r.sum(axis=0).argmax()
    assert at in (2, 3, 4) and abs(moved - offsets[at]) <= 0.25
    argument = 2 * np.sqrt(20.0 * r[:, at])
    assert np.allclose(evidence, np.log(scipy.special.i0e(argument)) + argument - 20.0, atol=6e-3)


@pytest.mark.parametrize("expected", [-1, 3, 12])
def test_the_first_upchirp_is_the_likeliest(expected, rng) -> None:
    samples = 0.1 * complex_noise(rng, 40 * N)
    samples[10 * N : 20 * N] += np.tile(np.conjugate(CHIRP), 10)
    zoom, offsets = zoom_table(SF, (-0.5, 0.0, 0.5)), np.array([-0.5, 0.0, 0.5])
    place, step = 20.0 * N, float(N)
    evidence, places = np.empty(14), np.empty(14)
    arguments = (samples, place, step, 0.0, 20.0, CHIRP, *zoom, offsets)
    moved = _detection_kernels.upchirps_back(*arguments, expected < 0, evidence, places)
    weights = np.concatenate([[0.0], np.cumsum(evidence)])
    if expected >= 0:
        weights -= np.where(np.arange(15) == expected, 0.0, 9.0) + np.where(np.arange(15) < 6, 20.0, 0.0)
    best = int(weights.argmax())
    start = place - best * N - (moved if expected < 0 and best >= 10 else 0.0)
    assert best == 10 and np.isclose(_detection_kernels.first_upchirp(*arguments, expected, 14), start)


def test_rotor_and_bessel_function() -> None:
    re, im = np.empty(N, np.float32), np.empty(N, np.float32)
    _tone_kernels.tone_rotor(-3.7, re, im)
    assert np.allclose(re + 1j * im, tone(-3.7), atol=1e-5)
    for x in (0.0, 0.3, 2.0, 50.0, 1e4):
        assert abs(_tone_kernels.log_bessel(x) - (np.log(scipy.special.i0e(x)) + x)) < 6e-3


def test_sync_chirps_are_decided_by_likelihood(rng) -> None:
    spectra, scale = 0.3 * complex_noise(rng, 2, N), np.ones(2, np.float32)
    spectra[0, 24] += 4.0
    spectra[1, 40] += 4.0
    alphabet = np.arange(0, N, 8)
    own = np.array([[24, 16], [8, 0]])
    spectra[:, 16] = spectra[:, 0] = 0.0  # not the likelier of the network's own
    *words, lead = _fine_sync_kernels.sync_decision(spectra, scale, alphabet, own)
    r = np.abs(spectra[[0, 1, 0, 1], [24, 40, 24, 8]].astype(complex)) ** 2
    argument = 2 * np.sqrt((r[:2].mean() - 1) * r)
    logs = np.log(scipy.special.i0e(argument)) + argument
    assert tuple(words) == (24, 40, 24, 8)
    assert np.isclose(lead, logs[:2].sum() - logs[2:].sum(), atol=0.024)


def test_repetition_tells_noise_from_what_leaks(rng) -> None:
    """Equal chirps, off their bin, turning and drifting: only the noise differs."""
    chirp = np.exp(2j * np.pi * 0.37 * np.arange(N) / N)
    for noise in (1e-4, 0.1):
        drifting = [chirp * np.exp(0.9j * i + 0.05j * i * np.arange(N) / N) for i in range(8)]
        rows = (np.array(drifting) + np.sqrt(noise / 2) * complex_noise(rng, 8, N)).astype(np.complex64)
        assert 0.75 < _fine_sync_kernels.repetition_noise(rows, 8) / noise < 1.25
        floor = np.empty(8)
        _fine_sync_kernels.noise_floor(np.fft.fft(rows).astype(np.complex64), np.zeros(8, np.int64), floor)
        assert floor.mean() / N > 0.01  # -20 dB of leakage


def test_a_frames_own_symbols_in_windows() -> None:
    symbols = np.array([10, 20, 30, 40])
    # windows half a symbol late see the tone of the symbol they began in, N/2 higher, or of the next one
    half_bin = 2 * (20 + N // 2)
    count = _payload_kernels.symbols_in_windows(symbols, 100.0, 0.0, 0.0, N, 100 + 3 * N // 2, half_bin, 3)
    assert count == 2  # the third window lies before the frame
    assert _payload_kernels.symbols_in_windows(symbols, 100.0, 0.0, 0.0, N, 0, half_bin, 1) == 0


def test_evidence_for_the_reduced_rate() -> None:
    likelihoods = np.full((5, N), 1e-6, np.float32)
    likelihoods[:, 13] = 1.0
    assert np.isclose(_payload_kernels.reduced_rate_evidence(likelihoods), 5 * np.log(4), atol=1e-2)
    likelihoods[:, 14] = 1e3
    assert _payload_kernels.reduced_rate_evidence(likelihoods) < -20


def test_what_believable_symbols_say(rng) -> None:
    params = LoRaParams(sf=7)
    values = np.array([3, 90, 40, 7])
    rows = modulate(values, params).reshape(4, 128)
    rows[2] = complex_noise(rng, 128)
    z = np.fft.fft(rows * downchirp(params)).astype(np.complex64) / 128
    magnitude = np.empty((4, 128), np.float32)
    best, found = np.empty(4, np.int64), np.empty(4, np.complex64)
    information, push = np.empty((4, 4)), np.empty(4)
    scattered = _payload_kernels.read_and_track(
        z, rows, downchirp(params), 1, 0, np.ones(4, np.int64), 0.5, 0.01, np.empty(4, np.float32),
        np.empty((4, 2), np.float32), magnitude, best, found, information, push,
    )  # fmt: skip
    error, matched = np.empty((4, 2), np.float32), np.empty(4, np.complex64)
    _payload_kernels.tracking_errors(rows, downchirp(params), values, 1, error, matched)
    good = [0, 1, 3]
    assert not scattered and best[good].tolist() == [3, 90, 7] and np.all(found == matched * [1, 1, 0, 1])
    expected_push, expected = np.zeros(4), np.zeros((4, 4))
    for i in good:
        common = 1 - 6 * values[i] / 128 * (1 - values[i] / 128)
        design = np.array([[1, i - 1.5, 0, 0], [0, 0, 1, i - 1.5]])
        expected += design.T @ np.array([[1, common], [common, 1]]) @ design / 0.01
        expected_push += design.T @ error[i] / 0.01
    assert np.allclose(information, expected, rtol=1e-5, atol=1e-5)
    assert np.allclose(push, expected_push, rtol=1e-4, atol=1e-4)


def test_the_trackers_step_is_bayes_rule(rng) -> None:
    """Against inverses of matrices, and the normal density of the measurement."""
    root = rng.standard_normal((4, 4))
    covariance = root @ root.T * 0.01
    design = rng.standard_normal((7, 4))
    information, residual = design.T @ design / 0.04, rng.standard_normal(7) * 0.3
    push, out = design.T @ residual / 0.04, np.empty((4, 4))
    evidence = _tracking_kernels.posterior(covariance, information, push, *np.empty((2, 4, 4)), out)
    assert np.allclose(out, np.linalg.inv(np.linalg.inv(covariance) + information))
    normal = scipy.stats.multivariate_normal
    spread = design @ covariance @ design.T + 0.04 * np.eye(7)
    gain = normal.logpdf(residual, cov=spread) - normal.logpdf(residual, cov=0.04 * np.eye(7))
    assert np.isclose(evidence, gain)
    mean, later, later_covariance = rng.standard_normal(4), np.empty(4), np.empty((4, 4))
    _tracking_kernels.moved(mean, covariance, 3.0, later, later_covariance)
    step = np.eye(4) + 3.0 * (np.eye(4, k=1) * [[1], [0], [1], [0]])
    assert np.allclose(later, step @ mean) and np.allclose(later_covariance, step @ covariance @ step.T)
