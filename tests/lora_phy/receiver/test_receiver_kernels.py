"""The compiled kernels against their definitions in numpy."""

from __future__ import annotations

import numpy as np
import scipy.special

from lora_phy import LoRaParams, modulate
from lora_phy.modem import _kernels
from lora_phy.modem.chirps import downchirp
from lora_phy.modem.sync import _zoom_table, extract
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
    _kernels.dechirp_windows(samples, starts, CHIRP, out, energy)
    rows = np.array([window(samples, s) for s in starts])
    assert np.allclose(out, rows * CHIRP, atol=1e-5) and np.allclose(energy, (abs(rows) ** 2).sum(1), rtol=1e-5)
    spectra = np.fft.fft(out).astype(np.complex64)
    halves = np.empty((4, 2 * N), np.float32)
    _kernels.half_bin_energies(spectra, energy, halves)
    between = (spectra - np.roll(spectra, -1, axis=1)) / np.sqrt(2)
    expected = np.concatenate([abs(spectra) ** 2, abs(between) ** 2], axis=1) / energy[:, np.newaxis]
    assert np.allclose(halves, expected, rtol=1e-4, atol=1e-5)


def test_preamble_statistic_and_its_peaks(rng) -> None:
    energies = rng.exponential(size=(60, 2 * N)).astype(np.float32)
    energies[20:52:4, 7] += 9
    energies[30, 50] += 70  # a lone strong window does not count
    peak, where = np.empty(25, np.float32), np.empty(25, np.int64)
    _kernels.preamble_statistic(energies, 28, 8, 4, np.float32(30), np.float32(2), 5, peak, where)
    for i in range(25):
        total = energies[28 + i - 28 : 28 + i + 1 : 4].sum(axis=0)
        assert np.isclose(peak[i], total.max(), rtol=1e-5)
        rows = energies[i : 28 + i + 1 : 4, total.argmax()]
        passes = total.max() >= 30 and (rows >= max(2.0, 0.3 * total.max() / 8)).sum() >= 5
        assert where[i] == (total.argmax() if passes else -1)
    assert where[20] == 7
    found = np.empty(25, np.int64)
    count = _kernels.first_maxima(peak, where, 5, 0, 25, found)
    expected = [
        i
        for i in np.flatnonzero(where >= 0)
        if all(peak[k] < peak[i] or (peak[k] == peak[i] and k > i) for k in np.flatnonzero(where >= 0)
               if k != i and abs(k - i) <= 5)
    ]  # fmt: skip
    assert found[:count].tolist() == expected


def test_sums_of_upchirps_follow_their_tone(rng) -> None:
    up = rng.exponential(size=(40, 2 * N)).astype(np.float32)
    shifts, tones = 2 * 16 * np.arange(40), np.array([5, 6])
    out = np.empty((2, 40), np.float32)
    largest, low, high = _kernels.upchirp_sums(up, tones, shifts, 3, 4, np.float32(0.6), out)
    assert largest == out.max()
    assert [low, high] == np.flatnonzero((out >= 0.6 * largest).any(axis=0))[[0, -1]].tolist()
    for t in range(2):
        for i in range(8, 40):
            h = [(tones[t] + shifts[i - 4 * j]) % (2 * N) for j in range(3)]
            expected = sum(up[i - 4 * j, h[j] // 2 + N * (h[j] % 2)] for j in range(3))
            assert np.isclose(out[t, i], expected, rtol=1e-5)


def test_joint_search_scores_every_start(rng) -> None:
    """Each cell of two chips against a search over all its starts, tones and quarters."""
    hop, rows = 16, 60
    up = rng.exponential(size=(rows, 2 * N)).astype(np.float32)
    down = rng.exponential(size=(rows, 2 * N)).astype(np.float32)
    ups = rng.exponential(size=(2, rows)).astype(np.float32)
    level = rng.exponential(size=rows).astype(np.float32)
    tones, sync = np.array([9, 10]), 2 * np.array([[8, 24], [16, 40]])
    low, high, at, bonus, weakest = 400, 440, 300, 3.0, 0.2
    score, which, where = np.empty(20, np.float32), np.empty(20, np.int64), np.empty(20, np.int64)
    _kernels.joint_search(
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
        score,
        which,
        where,
    )

    def energy(table: np.ndarray, row: int, half_bin: int) -> float:
        half_bin %= 2 * N
        return float(table[row, half_bin // 2 + N * (half_bin % 2)])

    for cell in range(20):
        best = (0.0, 0, 0)
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
                inside = abs((cfo + N) % (2 * N) - N) * 2 <= N + 8
                for quarter in range(4):
                    downs = sum(energy(down, row + 4 * i, cfo - 2 * late + quarter) for i in range(2))
                    best = max(best, (total + inside * bonus + downs, t, 4 * start + quarter))
        assert np.isclose(score[cell], best[0], rtol=1e-5)
        assert best[0] == 0 or (which[cell], where[cell]) == best[1:]

    start, cfo, chosen = np.empty(7), np.empty(7), np.empty(7, np.float32)
    count = _kernels.best_hypotheses(score, which, where, tones, at, level, 0, hop, N, start, cfo, chosen)
    order = np.argsort(-score)[:5]
    assert count == 7 and np.array_equal(start[:5], where[order] / 4)
    assert np.array_equal(start[5:], start[0] + np.array([-N / 2, N / 2]))
    offset = 0.5 * tones[which[order]] + where[order] / 4 - at
    assert np.allclose(cfo[:5], (offset + N / 2) % N - N / 2)
    precise = rng.exponential(size=(7, 5, 5)).astype(np.float32)
    ranked = np.empty(3, np.int64)
    largest = _kernels.rank_hypotheses(precise, chosen, cfo, N, np.float32(bonus), ranked)
    rest = precise[:, 1].max(axis=1) + precise[:, 2].max(axis=1)
    total = chosen + rest + bonus * (np.abs(cfo) <= N / 4 + 2)
    assert np.isclose(largest, rest.max()) and np.array_equal(ranked, np.argsort(-total)[:3])


def test_energies_of_a_hypothesis(rng) -> None:
    samples = complex_noise(rng, 900)
    start, cfo, sync = 400.3, 5.2, np.array([[8], [16]])
    zoom = _zoom_table(SF, (-0.25, 0.0, 0.25))
    out = np.empty((1, 5, 3), np.float32)
    twiddle = tone(1.0).astype(np.complex64)
    _kernels.hypothesis_energies(samples, np.array([start]), np.array([cfo]), CHIRP, twiddle, *zoom, sync, 3, out)
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
    _kernels.best_drift(energy, 10, np.linspace(-0.1, 0.1, 5), 1.0, unit, result, at_peak)
    assert np.allclose(result, [0.05, 14.0, 9.0], atol=0.05)
    assert np.all(at_peak > 9.9)


def test_zoom_noise_floor_and_tone_run(rng) -> None:
    rows, shifts = complex_noise(rng, 3, N), np.array([0, 5, 0])
    scale = np.array([1.0, 0.5, 2.0], np.float32)
    zoom, out = _zoom_table(SF, (-0.5, 0.25)), np.empty((3, 2), np.float32)
    _kernels.zoom_energies(rows, shifts, *zoom, scale, out)
    expected = [[abs((rows[i] * tone(shifts[i] + e)).sum()) ** 2 * scale[i] for e in (-0.5, 0.25)] for i in range(3)]
    assert np.allclose(out, expected, rtol=1e-3)
    floor = np.empty(3)
    _kernels.noise_floor(rows, shifts, floor)
    for i in range(3):
        kept = [k for k in range(N) if min((k - shifts[i]) % N, (shifts[i] - k) % N) > 3]
        assert np.isclose(floor[i], (abs(rows[i, kept]) ** 2).mean(), rtol=1e-4)
    samples, r = complex_noise(rng, 200), np.empty(2)
    _kernels.tone_run(samples, np.array([-10, 50]), np.array([3.3, -2.0]), CHIRP, r)
    for value, start, bins in zip(r, (-10, 50), (3.3, -2.0), strict=True):
        y = window(samples, start)
        assert np.isclose(value, abs((y * CHIRP * tone(bins)).sum()) ** 2 / (abs(y) ** 2).sum(), rtol=1e-4)


def test_dechirp_preamble(rng) -> None:
    rows = complex_noise(rng, 4, N)
    expected = rows * np.array([CHIRP, CHIRP, CHIRP, CHIRP.conj()])
    scale = np.empty(4, np.float32)
    power = (abs(rows) ** 2).sum(axis=1)
    _kernels.dechirp_preamble(rows, 3, CHIRP, scale)
    assert np.allclose(rows, expected, atol=1e-5) and np.allclose(scale, 1 / power, rtol=1e-5)


def test_extract_interpolates_and_removes_the_carrier(rng) -> None:
    """Against the channel's own fractional delay, away from the ends."""
    samples = complex_noise(rng, 3000)
    delayed = fractional_delay(samples, 0.3) * np.exp(2j * np.pi * 0.01 * np.arange(3000))
    back = extract(delayed.astype(np.complex64), 1000.3, 500, 0.01)
    turn = np.vdot(back, samples[1000:1500])
    error = np.abs(back * turn / abs(turn) - samples[1000:1500])
    assert np.sqrt((error**2).mean() / 2) < 0.05
    assert np.allclose(extract(samples, 100.0, 50, 0.0), samples[100:150])
    assert np.allclose(extract(samples, -20.0, 50, 0.0), np.concatenate([np.zeros(20), samples[:30]]))


def test_symbols_are_read_with_their_lead(rng) -> None:
    z = complex_noise(rng, 5, N)
    magnitude, best, lead = np.empty((5, N), np.float32), np.empty(5, np.int64), np.empty(5, np.float32)
    for first, stride in ((0, 1), (1, 4)):
        _kernels.read_symbols(z, np.full(5, stride), magnitude, best, lead)
        legal = np.abs(z)[:, first::stride]
        ordered = np.sort(legal, axis=1)
        assert np.allclose(magnitude, np.abs(z), rtol=1e-5)
        assert np.array_equal(best, first + stride * legal.argmax(axis=1))
        assert np.allclose(lead, ordered[:, -1] - ordered[:, -2], atol=1e-5)


def test_timing_error_of_interpolated_chirps() -> None:
    params = LoRaParams(sf=9)
    symbols = np.array([0, 100, 300, 511])
    for early in (-0.15, 0.0, 0.2):
        chirps = np.concatenate([modulate([7], params), modulate(symbols, params), modulate([9], params)])
        rows = fractional_delay(chirps, -early)[512:-512].reshape(4, 512)
        out = np.empty(4, np.float32)
        _kernels.timing_errors(rows, downchirp(params), symbols, 1, out)
        assert np.allclose(out, early, atol=0.05)


def test_likelihoods_are_bessel_functions(rng) -> None:
    magnitude = np.abs(complex_noise(rng, 4, N)).astype(np.float32)
    order = rng.permutation(N).astype(np.int32)
    for scale in (0.1, 3.0, 30.0):
        out = np.empty((4, N), np.float32)
        _kernels.label_likelihoods(magnitude, order, np.float32(scale), out)
        x = scale * magnitude[:, order].astype(float)
        exact = np.log(scipy.special.i0e(x)) + x
        exact -= exact.max(axis=1, keepdims=True)
        seen = exact > -30
        assert np.abs(np.log(out[seen]) - exact[seen]).max() < 0.02
