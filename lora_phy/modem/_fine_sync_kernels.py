"""Private numba kernels of the fine estimate of delay, carrier offset and drift."""

from __future__ import annotations

import math

import numba
import numpy as np

from lora_phy.modem._tone_kernels import (
    INLINE,
    JIT,
    index_of_largest,
    log_bessel,
    sort_and_take_median,
    sort_in_place,
    tone_energy,
    tone_rotor,
)

MOVING_GAIN = 6.5
"""Energy that a moving carrier must add to a preamble's to be believed: noise does so three times in 10,000."""


@numba.njit(**JIT)
def dechirp_preamble(rows, num_before, chirp, scale):  # type: ignore[no-untyped-def]
    """Multiply rows by conj(x_0), from row `num_before` on by x_0; scale[i] = 1 / energy of row i."""
    for i in range(rows.shape[0]):
        power = np.float32(0.0)
        for n in range(rows.shape[1]):
            y = rows[i, n]
            power += y.real * y.real + y.imag * y.imag
            rows[i, n] = y * (chirp[n] if i < num_before else chirp[n].conjugate())
        scale[i] = 1.0 / power if power > 1e-36 else 0.0


@numba.njit(**INLINE)
def zoom_energies(rows, shifts, zoom_re, zoom_im, scale, out):  # type: ignore[no-untyped-def]
    """out[i, e] = scale[i] |sum_n rows[i, n] exp(-2 pi j (shifts[i] + eps_e) n / N)|^2."""
    num_bins = rows.shape[1]
    wr = np.empty(num_bins, np.float32)
    wi = np.empty(num_bins, np.float32)
    rotor_re, rotor_im = np.empty(num_bins, np.float32), np.empty(num_bins, np.float32)
    for i in range(rows.shape[0]):
        if shifts[i] == 0:
            for n in range(num_bins):
                wr[n] = rows[i, n].real
                wi[n] = rows[i, n].imag
        else:
            tone_rotor(float(shifts[i]), rotor_re, rotor_im)
            for n in range(num_bins):
                y = rows[i, n]
                wr[n] = y.real * rotor_re[n] - y.imag * rotor_im[n]
                wi[n] = y.real * rotor_im[n] + y.imag * rotor_re[n]
        for e in range(zoom_re.shape[0]):
            out[i, e] = tone_energy(wr, wi, zoom_re[e], zoom_im[e]) * scale[i]


@numba.njit(**JIT)
def best_drift(energy, num_before, drifts, sigma, carrier, unit, result, at_peak):  # type: ignore[no-untyped-def]
    """Maximise the rows' summed energy over drift, upward and downward tone.

    Row i is symbol i - num_before counted from the first downchirp; with a drift its tone is off by that number times
    the drift, upwards for the first `num_before` rows, downwards for the rest. result: drift, upward tone, downward
    tone, in columns of `energy` (`unit` bins each) from its first; at_peak: each row's energy there.
    """
    rows, width = energy.shape
    total, tones = np.empty(width, np.float64), np.empty(2, np.float64)
    best = -1.0
    for drift in drifts:
        unlikely = drift / sigma
        score = -0.5 * unlikely * unlikely
        for part in range(2):
            low, high = (0, num_before) if part == 0 else (num_before, rows)
            sign = 1.0 if part == 0 else -1.0
            centre = 0.5 * (low + high - 1)
            for g in range(width):
                total[g] = 0.0
            for i in range(low, high):
                shift = (i - centre) * (sign * drift + carrier) / unit
                whole = math.floor(shift)
                fraction = shift - whole
                for g in range(width):
                    left = min(max(g + int(whole), 0), width - 1)
                    right = min(left + 1, width - 1)
                    total[g] += (1.0 - fraction) * energy[i, left] + fraction * energy[i, right]
            at = index_of_largest(total)
            score += total[at]
            place = float(at)
            if 0 < at < width - 1:
                curvature = total[at - 1] - 2 * total[at] + total[at + 1]
                if curvature < 0:
                    place += 0.5 * (total[at - 1] - total[at + 1]) / curvature
            tones[part] = place
        if score > best:
            best = score
            result[0] = drift
            result[1] = tones[0]
            result[2] = tones[1]
    if best <= 0.0:
        result[0] = result[1] = result[2] = 0.0
    for i in range(rows):
        part = 0 if i < num_before else 1
        centre = 0.5 * (num_before - 1) if part == 0 else 0.5 * (num_before + rows - 1)
        sign = 1.0 if part == 0 else -1.0
        column = result[1 + part] + (i - centre) * (sign * result[0] + carrier) / unit
        at_peak[i] = energy[i, min(max(math.floor(column + 0.5), 0), width - 1)]
    return best


@numba.njit(**INLINE)
def best_carrier(energy, num_before, drifts, sigma, unit, result, at_peak):  # type: ignore[no-untyped-def]
    """`best_drift` at the carrier's rate (bins a row) that makes the rows' energy largest; 0 unless another gains more
    than `MOVING_GAIN`.
    """
    trial, peaks = np.empty(3, np.float64), np.empty(energy.shape[0], np.float64)
    still = best_drift(energy, num_before, drifts, sigma, 0.0, unit, result, at_peak)
    step, rate, middle = 0.06, 0.0, still
    left = best_drift(energy, num_before, drifts, sigma, -step, unit, trial, peaks)
    right = best_drift(energy, num_before, drifts, sigma, step, unit, trial, peaks)
    # uphill, to at most 0.36 bins a row
    for _ in range(5):
        if left > middle:
            rate, right, middle = rate - step, middle, left
            left = best_drift(energy, num_before, drifts, sigma, rate - step, unit, trial, peaks)
        elif right > middle:
            rate, left, middle = rate + step, middle, right
            right = best_drift(energy, num_before, drifts, sigma, rate + step, unit, trial, peaks)
        else:
            break
    curvature = left - 2.0 * middle + right
    if curvature >= 0.0:
        return 0.0
    vertex = 0.5 * (left - right) / curvature
    if middle - 0.25 * (left - right) * vertex < still + MOVING_GAIN:
        return 0.0
    rate += vertex * step
    if best_drift(energy, num_before, drifts, sigma, rate, unit, trial, peaks) < still + MOVING_GAIN:
        return 0.0
    best_drift(energy, num_before, drifts, sigma, rate, unit, result, at_peak)
    return rate


@numba.njit(**JIT)
def sync_decision(spectra, scale, alphabet, own):  # type: ignore[no-untyped-def]
    """The likeliest value in `alphabet` of each of the two sync chirps, the likeliest of their `own` values ``(2, n)``,
    and the nats by which the former lead.

    Log-likelihood ln I0(2 sqrt(es r)), r the energy over the window's, es that of the best pair, known to a fraction of
    itself.
    """
    words = np.empty(4, np.int64)
    best = np.empty(4, np.float64)
    for i in range(4):
        row = i % 2
        values = alphabet if i < 2 else own[row]
        best[i] = -1.0
        for c in range(values.size):
            z = spectra[row, values[c]]
            r = (z.real * z.real + z.imag * z.imag) * scale[row]
            if r > best[i]:
                best[i] = r
                words[i] = values[c]
    es = max(0.5 * (best[0] + best[1]) - 1.0, 0.5)
    lead = 0.0
    for i in range(2):
        lead += log_bessel(2 * math.sqrt(es * best[i])) - log_bessel(2 * math.sqrt(es * best[i + 2]))
    return words[0], words[1], words[2], words[3], lead


@numba.njit(**JIT)
def fit_preamble(rows, spectra, scale, num_up, first, second, chirp, zoom_re, zoom_im, drifts, sigma, unit):  # type: ignore[no-untyped-def]
    """All that the dechirped rows of a preamble say, once its two sync chirps are known.

    Returns drift, the carrier's rate, upward and downward tone (columns of the zoom), matched energies of upchirps,
    sync chirps and downchirps, the weakest of the last four, the energy of upchirps in the downchirps' place, signal
    and noise power a sample, the noise power that upchirps differ by, energies as received, whatever else their windows
    hold: the mean of the upchirps, the weaker sync chirp and the mean of the downchirps; and what sync chirps and
    downchirps differ from the upchirps by: squared differences of amplitudes.
    """
    num_bins = rows.shape[1]
    num_before = num_up + 2
    shifts = np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        shifts[i] = 0
    shifts[num_up], shifts[num_up + 1] = first, second
    energy = np.empty((len(rows), zoom_re.shape[0]), np.float32)
    zoom_energies(rows, shifts, zoom_re, zoom_im, scale, energy)
    result, at_peak = np.empty(3, np.float64), np.empty(len(rows), np.float64)
    carrier = best_carrier(energy, num_before, drifts, sigma, unit, result, at_peak)
    floor = np.empty(len(rows), np.float64)
    noise_floor(spectra, shifts, floor)
    # medians over the symbols: a neighbour's burst over part of the preamble must not count
    noise = sort_and_take_median(floor) / num_bins
    peaks = np.empty(len(rows), np.float64)
    loud_up = loud_word = loud_down = 0.0
    for i in range(len(rows)):
        peaks[i] = at_peak[i] / scale[i] if scale[i] > 0.0 else 0.0
        if i < num_up:
            loud_up += peaks[i] / num_up
        elif i < num_before:
            loud_word = peaks[i] if i == num_up else min(loud_word, peaks[i])
        else:
            loud_down += 0.5 * peaks[i]
    sort_in_place(peaks)
    most = 4.0 * peaks[len(peaks) // 2]
    signal = 0.0
    for i in range(len(rows)):
        signal += min(peaks[i], most)
    signal = signal / len(rows) / (num_bins * num_bins) - noise / num_bins
    going_on = upchirps_instead(rows, num_before, chirp, zoom_re, zoom_im, result, carrier, unit, scale)
    upward = word = downward = unevenness = 0.0
    weakest = at_peak[num_up]
    for i in range(len(rows)):
        if i < num_up:
            upward += at_peak[i]
            continue
        unevenness += (math.sqrt(at_peak[i]) - math.sqrt(upward / num_up)) ** 2
        weakest = min(weakest, at_peak[i])
        if i < num_before:
            word += at_peak[i]
        else:
            downward += at_peak[i]
    return (
        result[0], carrier, result[1], result[2], upward, word, downward, weakest, going_on, signal, noise,
        repetition_noise(rows, num_up), loud_up, loud_word, loud_down, unevenness,
    )  # fmt: skip


@numba.njit(**INLINE)
def upchirps_instead(rows, num_before, chirp, zoom_re, zoom_im, result, carrier, unit, scale):  # type: ignore[no-untyped-def]
    """Energy of the rows from `num_before` on as upchirps that go on with the tone of those before."""
    num_bins = rows.shape[1]
    wr, wi = np.empty(num_bins, np.float32), np.empty(num_bins, np.float32)
    total = 0.0
    for i in range(num_before, rows.shape[0]):
        for n in range(num_bins):
            w = rows[i, n] * chirp[n] * chirp[n]
            wr[n], wi[n] = w.real, w.imag
        at = math.floor(result[1] + (i - 0.5 * (num_before - 1)) * (result[0] + carrier) / unit + 0.5)
        at = min(max(at, 0), zoom_re.shape[0] - 1)
        total += tone_energy(wr, wi, zoom_re[at], zoom_im[at]) * scale[i]
    return total


@numba.njit(**INLINE)
def repetition_noise(rows, num_up):  # type: ignore[no-untyped-def]
    """Noise power a sample by which dechirped upchirps differ from their successors; the median over the pairs.

    Between neighbours only the carrier's phase turns and, with a drift, their tone; both are fitted. Timing, carrier
    and the interpolator's own errors are the same in both and cancel, so strong signals leave nothing behind.
    """
    num_bins = rows.shape[1]
    edge = max(num_bins // 16, 4)
    middle = num_bins // 2
    low, high = complex(0.0, 0.0), complex(0.0, 0.0)
    for i in range(num_up - 1):
        for n in range(edge, middle):
            low += rows[i + 1, n] * rows[i, n].conjugate()
        for n in range(middle, num_bins - edge):
            high += rows[i + 1, n] * rows[i, n].conjugate()
    turned = high * low.conjugate()
    slope = math.atan2(turned.imag, turned.real) / (middle - edge)
    centre = 0.5 * (edge + middle - 1)
    start = math.atan2(low.imag, low.real) - slope * centre
    residual = np.empty(num_up - 1, np.float64)
    for i in range(num_up - 1):
        residual[i] = 0.0
    for n in range(edge, num_bins - edge):
        turn = np.complex64(complex(math.cos(start + slope * n), math.sin(start + slope * n)))
        for i in range(num_up - 1):
            gap = rows[i + 1, n] - rows[i, n] * turn
            residual[i] += gap.real * gap.real + gap.imag * gap.imag
    return sort_and_take_median(residual) / (2.0 * (num_bins - 2 * edge))


@numba.njit(**INLINE)
def noise_floor(spectra, shifts, out):  # type: ignore[no-untyped-def]
    """out[i] = mean |spectra[i, k]|^2 over all bins but the seven around shifts[i]."""
    num_bins = spectra.shape[1]
    for i in range(spectra.shape[0]):
        total = np.float32(0.0)
        first = (shifts[i] + 4) % num_bins
        kept = num_bins - 7
        straight = min(kept, num_bins - first)
        for k in range(first, first + straight):
            z = spectra[i, k]
            total += z.real * z.real + z.imag * z.imag
        for k in range(kept - straight):
            z = spectra[i, k]
            total += z.real * z.real + z.imag * z.imag
        out[i] = total / kept
