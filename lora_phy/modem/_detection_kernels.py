"""Private numba kernels of detection: window energies, their sum over a preamble, its peaks.

Half-bin spectra are stored split: columns 0…N-1 hold the whole bins, columns N…2N-1 the bins k + 1/2. An index h in
half bins therefore sits in column ``h // 2 + N * (h % 2)``.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from lora_phy.kernels.lanes import LANES, get_lane, load, maximum, splat, store
from lora_phy.modem._tone_kernels import INLINE, JIT, index_of_largest, log_bessel, tone_energy, tone_rotor

UPCHIRPS_TOGETHER = 16
SHORTEST_PREAMBLE, TOO_SHORT, OTHER_LENGTH = 6, 20.0, 9.0
"""Upchirps that a receiver accepts at the least, unless the stream begins inside; nats against fewer, and against
another number than the expected one."""


@numba.njit(**JIT)
def dechirp_windows(samples, starts, chirp, out, energy):  # type: ignore[no-untyped-def]
    """out[w] = samples[starts[w] : + N] * chirp, zero outside the array; energy[w] = sum |samples|^2."""
    num_bins = chirp.size
    total = samples.size
    for w in range(starts.size):
        first = starts[w]
        acc = np.float32(0.0)
        if first >= 0 and first + num_bins <= total:
            for n in range(num_bins):
                y = samples[first + n]
                acc += y.real * y.real + y.imag * y.imag
                out[w, n] = y * chirp[n]
        else:
            for n in range(num_bins):
                m = first + n
                y = samples[m] if 0 <= m < total else np.complex64(0.0)
                acc += y.real * y.real + y.imag * y.imag
                out[w, n] = y * chirp[n]
        energy[w] = acc


@numba.njit(**JIT)
def half_bin_energies(spectra, energy, out):  # type: ignore[no-untyped-def]
    """Energy at whole and half bins over the window's energy; noise gives an exponential of mean 1."""
    num_bins = spectra.shape[1]
    re, im = np.empty(num_bins + 1, np.float32), np.empty(num_bins + 1, np.float32)
    for w in range(spectra.shape[0]):
        scale = np.float32(1.0) / energy[w] if energy[w] > 1e-36 else np.float32(0.0)
        half = np.float32(0.5) * scale
        row, whole_bins, half_bins = spectra[w], out[w, :num_bins], out[w, num_bins:]
        for k in range(num_bins):
            re[k], im[k] = row[k].real, row[k].imag
        re[num_bins], im[num_bins] = re[0], im[0]
        for k in range(num_bins):
            whole_bins[k] = (re[k] * re[k] + im[k] * im[k]) * scale
        for k in range(num_bins):
            a, b = re[k] - re[k + 1], im[k] - im[k + 1]
            half_bins[k] = (a * a + b * b) * half


@numba.njit(**JIT)
def preamble_statistic(energies, first, num_sum, hop, threshold, floor, min_count, peak, where):  # type: ignore[no-untyped-def]
    """peak[i], where[i] = max and argmax over h of sum_j energies[first + i - j hop, h], j = 0 … num_sum - 1.

    The argmax is -1 where the maximum misses `threshold`, or where fewer than `min_count` of the summed windows reach
    `floor` and 0.3 of their mean there: a few strong data symbols are not a preamble.
    """
    width = energies.shape[1]
    total = np.empty(width, np.float32)
    flat = energies.reshape(-1)
    # sums of two and of four windows are shared by the eights; what is needed again fits the cache
    pairs, quads = np.empty(2 * hop * width, np.float32), np.empty(4 * hop * width, np.float32)
    for k in range(quads.size):
        quads[k] = 0.0
    for k in range(pairs.size):
        pairs[k] = 0.0
    for i in range(-6 * hop if num_sum == 8 else 0, peak.size):
        row = first + i
        if num_sum == 8:
            highest = _add_eighth(flat, row, hop, pairs, quads, total)
        else:
            highest = _add_all(flat, row, hop, num_sum, total)
        if i < 0:
            continue
        best = np.float32(0.0)
        for lane in range(LANES):
            best = max(best, get_lane(highest, lane))
        peak[i] = best
        where[i] = -1
        if best >= threshold:
            at = 0
            for h in range(width):
                if total[h] == best:
                    at = h
                    break
            count = 0
            least = max(floor, best * np.float32(0.3) / np.float32(num_sum))
            for j in range(num_sum):
                count += energies[row - j * hop, at] >= least
            if count >= min_count:
                where[i] = at


@numba.njit(**INLINE)
def _add_eighth(energies, row, hop, pairs, quads, total):  # type: ignore[no-untyped-def]
    """total = the sum of eight windows, by rings of sums of two and of four; lane by lane, its maximum."""
    width = total.size
    new, old = row * width, (row - hop) * width
    pair, quad = row % (2 * hop) * width, row % (4 * hop) * width
    highest = splat(np.float32(0.0))
    for h in range(0, width, LANES):
        two = load(energies, new + h) + load(energies, old + h)
        four = two + load(pairs, pair + h)
        eight = four + load(quads, quad + h)
        store(pairs, pair + h, two)
        store(quads, quad + h, four)
        store(total, h, eight)
        highest = maximum(highest, eight)
    return highest


@numba.njit(**INLINE)
def _add_all(energies, row, hop, num_sum, total):  # type: ignore[no-untyped-def]
    width = total.size
    highest = splat(np.float32(0.0))
    for h in range(0, width, LANES):
        value = load(energies, row * width + h)
        for j in range(1, num_sum):
            value = value + load(energies, (row - j * hop) * width + h)
        store(total, h, value)
        highest = maximum(highest, value)
    return highest


@numba.njit(**JIT)
def first_maxima(peak, where, radius, low, high, out):  # type: ignore[no-untyped-def]
    """Indices in [low, high) with where >= 0 whose peak no other such index within `radius` exceeds (ties: the
    first).
    """
    count = 0
    for i in range(low, high):
        if where[i] < 0:
            continue
        is_first = True
        for k in range(max(i - radius, 0), min(i + radius + 1, peak.size)):
            if k != i and where[k] >= 0 and (peak[k] > peak[i] or (k < i and peak[k] == peak[i])):
                is_first = False
                break
        if is_first:
            out[count] = i
            count += 1
    return count


@numba.njit(**JIT)
def _turned_window(samples, first, chirp, rotor_re, rotor_im, wr, wi):  # type: ignore[no-untyped-def]
    """wr + j wi = samples[first : + N] * chirp * rotor, zero outside the array; returns sum |samples|^2."""
    power = np.float32(0.0)
    low = min(max(-first, 0), chirp.size)
    high = max(min(samples.size - first, chirp.size), low)
    for n in range(low):
        wr[n] = wi[n] = 0.0
    for n in range(high, chirp.size):
        wr[n] = wi[n] = 0.0
    for n in range(low, high):  # without a question in the loop it runs in SIMD lanes
        y = samples[first + n]
        power += y.real * y.real + y.imag * y.imag
        w = y * chirp[n]
        wr[n] = w.real * rotor_re[n] - w.imag * rotor_im[n]
        wi[n] = w.real * rotor_im[n] + w.imag * rotor_re[n]
    return power


@numba.njit(**JIT)
def first_upchirp(samples, place, step, cfo, es, chirp, zoom_re, zoom_im, offsets, expected, most):  # type: ignore[no-untyped-def]
    """Start of the first of at most `most` upchirps in a row that end at `place`, by likelihood.

    `expected` of them have the larger prior; none where that is -1. See `upchirps_back` for the rest.
    """
    score, starts = np.empty(most + 1, np.float64), np.empty(most + 1, np.float64)
    all_evidence, all_places = np.empty(UPCHIRPS_TOGETHER, np.float64), np.empty(UPCHIRPS_TOGETHER, np.float64)
    score[0], starts[0] = 0.0, place
    known = best = 0
    while known < most and best >= known - 4:
        count = min(UPCHIRPS_TOGETHER, most - known)
        evidence, places = all_evidence[:count], all_places[:count]
        # the sync's own estimate holds near it, further back the tone that the batch shows
        free = known > 0 or expected < 0
        earlier = upchirps_back(
            samples, place, step, cfo, es, chirp, zoom_re, zoom_im, offsets, free, evidence, places
        )  # fmt: skip
        total = 0.0
        for i in range(count):
            total += evidence[i]
            score[known + 1 + i], starts[known + 1 + i] = score[known] + total, places[i]
        largest = 0.0
        for i in range(known + count + 1):
            weighed = score[i]
            if expected >= 0:
                if i != expected:
                    weighed -= OTHER_LENGTH
                if i < SHORTEST_PREAMBLE:
                    weighed -= TOO_SHORT
            if i == 0 or weighed > largest:
                largest, best = weighed, i
        place = places[count - 1]
        if free and best >= known + count - 4:
            place -= earlier
            for i in range(known + 1, known + count + 1):
                starts[i] -= earlier
            step += 0.5 * earlier / count
        known += count
    return starts[best]


@numba.njit(**INLINE)
def upchirps_back(  # type: ignore[no-untyped-def]
    samples, place, step, cfo, es, chirp, zoom_re, zoom_im, offsets, free, evidence, places
):
    """Evidence ln I0(2 sqrt(es r)) - es for an upchirp at each of place - step, place - 2 step, …; r its energy.

    Energies are taken at `offsets` bins (of which zoom_re + j zoom_im hold the rotors) around the expected tone:
    `free`, at the one where all of them together have most, else at the middle one. Returns the peak's offset.
    """
    num_bins = chirp.size
    count = places.size
    r, sums = np.empty((offsets.size, count), np.float64), np.empty(offsets.size, np.float64)
    for k in range(offsets.size):
        sums[k] = 0.0
    rotor_re, rotor_im = np.empty(num_bins, np.float32), np.empty(num_bins, np.float32)
    wr, wi = np.empty(num_bins, np.float32), np.empty(num_bins, np.float32)
    for i in range(count):
        places[i] = place - step * (i + 1)
        first = math.floor(places[i] + 0.5)
        tone_rotor(cfo + first - places[i], rotor_re, rotor_im)
        power = _turned_window(samples, first, chirp, rotor_re, rotor_im, wr, wi)
        for k in range(offsets.size):
            r[k, i] = tone_energy(wr, wi, zoom_re[k], zoom_im[k]) / power if power > 1e-36 else 0.0
            sums[k] += r[k, i]
    at = index_of_largest(sums) if free else offsets.size // 2
    for i in range(count):
        evidence[i] = log_bessel(2 * math.sqrt(es * r[at, i])) - es
    at = min(max(index_of_largest(sums), 1), offsets.size - 2)
    left, middle, right = sums[at - 1], sums[at], sums[at + 1]
    curvature = left - 2 * middle + right
    moved = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    return offsets[at] + min(max(moved, -1.0), 1.0) * (offsets[1] - offsets[0])


@numba.njit(**JIT)
def best_nearby(samples, start, half_bin, num_sum, steps, quarter, chirp, zoom_re, zoom_im):  # type: ignore[no-untyped-def]
    """The best of ``2 steps + 1`` places a quarter symbol apart and seven half bins, around a peak of the statistic.

    Energies are those of `half_bin_energies`, at four whole bins (`zoom_re`, `zoom_im`: rotors of 0 … 3) and between
    them. Returns samples from the peak, half bin (not reduced), and the statistic.
    """
    num_bins = chirp.size
    rotor_re, rotor_im = np.empty(num_bins, np.float32), np.empty(num_bins, np.float32)
    wr, wi = np.empty(num_bins, np.float32), np.empty(num_bins, np.float32)
    re, im, sums = np.empty(4, np.float32), np.empty(4, np.float32), np.empty(7, np.float64)
    best, best_moved, best_half_bin = 0.0, 0, half_bin
    for step in range(-steps, steps + 1):
        moved = step * quarter
        lowest = half_bin // 2 + moved - 1
        tone_rotor(float(lowest % num_bins), rotor_re, rotor_im)
        for k in range(7):
            sums[k] = 0.0
        for j in range(num_sum):
            first = start + moved - j * num_bins
            power = _turned_window(samples, first, chirp, rotor_re, rotor_im, wr, wi)
            if power <= 1e-36:
                continue
            for k in range(4):
                tone_re, tone_im = np.float32(0.0), np.float32(0.0)
                zr, zi = zoom_re[k], zoom_im[k]
                for n in range(num_bins):
                    tone_re += wr[n] * zr[n] - wi[n] * zi[n]
                    tone_im += wr[n] * zi[n] + wi[n] * zr[n]
                re[k], im[k] = tone_re, tone_im
                sums[2 * k] += (tone_re * tone_re + tone_im * tone_im) / power
            for k in range(3):
                a, b = re[k] - re[k + 1], im[k] - im[k + 1]
                sums[2 * k + 1] += np.float32(0.5) * (a * a + b * b) / power
        at = index_of_largest(sums)
        if sums[at] > best:
            best, best_moved, best_half_bin = sums[at], moved, 2 * lowest + at
    return best_moved, best_half_bin, best
