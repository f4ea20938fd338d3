"""Private numba kernels of the payload: decisions, timing, likelihoods."""

from __future__ import annotations

import math

import numba
import numpy as np

from lora_phy.kernels.cache import CAN_KEEP
from lora_phy.modem._tone_kernels import JIT


@numba.njit(**JIT)
def read_symbols(z, strides, early, magnitude, best, lead):  # type: ignore[no-untyped-def]
    """Magnitudes of matched-filter rows, each row's best legal bin, and the best magnitude minus the runner-up's.

    Legal bins of row i are all where strides[i] is 1, and 1, 5, 9 … less `early` (0 or 1) where it is 4.
    """
    rows, width = z.shape
    for i in range(rows):
        stride = strides[i]
        first = stride // 4 * (1 - early)
        for k in range(width):
            magnitude[i, k] = math.sqrt(z[i, k].real * z[i, k].real + z[i, k].imag * z[i, k].imag)
        top = np.float32(-1.0)
        at = first
        for k in range(first, width, stride):
            if magnitude[i, k] > top:
                top = magnitude[i, k]
                at = k
        second = np.float32(0.0)
        for k in range(first, width, stride):
            if k != at:
                second = max(second, magnitude[i, k])
        best[i] = at
        lead[i] = top - second


@numba.njit(**JIT)
def timing_errors(rows, chirp, symbols, rate, out, matched):  # type: ignore[no-untyped-def]
    """How early each chirp of known symbol is, in chips: one Newton step on |sum_n y[n] conj(x_s[n])|^2.

    An early chirp is turned by exp(2 pi j f e) at the instantaneous frequency f = ((n + s) mod N) / N - 1/2, hence
    e = 12 / (2 pi) Im(Z' conj Z) / |Z|^2, Z = sum y conj x_s, Z' = sum f y conj x_s. `chirp` is conj(x_0),
    and x_s that moved by s; matched[i] = Z.
    """
    length = chirp.size
    scale = np.float32(1.0 / length)
    for i in range(rows.shape[0]):
        shift = symbols[i] * rate
        zr = zi = dr = di = np.float32(0.0)
        for part in range(2):
            low, high, move = (0, length - shift, shift) if part == 0 else (length - shift, length, shift - length)
            for n in range(low, high):
                w = rows[i, n] * chirp[n + move]
                f = np.float32(n + move) * scale - np.float32(0.5)
                zr += w.real
                zi += w.imag
                dr += f * w.real
                di += f * w.imag
        matched[i] = complex(zr, zi)
        size = zr * zr + zi * zi
        out[i] = (12.0 / (2.0 * math.pi)) * (di * zr - dr * zi) / size if size > 0.0 else 0.0


@numba.njit(**JIT)
def read_and_time(z, rows, chirp, rate, early, strides, lead_needed, magnitude, best, matched):  # type: ignore[no-untyped-def]
    """Magnitudes and best bins as of `read_symbols`, the matched sums of `timing_errors`; returns the mean of the
    believable timing errors, and how many those are.

    Believable: the best bin leads by more than `lead_needed`, and the chirp is less than 0.8 chips off; else matched[i]
    is 0.
    """
    lead, error = np.empty(len(z), np.float32), np.empty(len(z), np.float32)
    read_symbols(z, strides, early, magnitude, best, lead)
    timing_errors(rows, chirp, best, rate, error, matched)
    total, used = 0.0, 0
    for i in range(len(z)):
        if lead[i] > lead_needed and abs(error[i]) < 0.8:
            total += error[i]
            used += 1
        else:
            matched[i] = 0.0
    return total / max(used, 1), used


@numba.njit(**JIT)
def label_likelihoods(magnitude, symbol_of_label, scale, out):  # type: ignore[no-untyped-def]
    """out[i, l] = I0(scale |z[i, symbol_of_label[l]]|), each row divided by its largest value.

    I0(x) = cosh x (1 + x^2/4)^(-1/4) (1 + 0.24273 x^2) / (1 + 0.43023 x^2), relative error below 6e-3 (J. Olivares et
    al., J. Phys.: Conf. Ser. 1043, 2018), and exp by ten squarings: both run in SIMD lanes.
    """
    rows, labels = out.shape
    one = np.float32(1.0)
    x, square = np.empty(labels, np.float32), np.empty(labels, np.float32)
    root, value = np.empty(labels, np.float32), np.empty(labels, np.float32)
    largest_argument = np.float32(1e15)  # its square is still a number
    # one step a loop: each runs in SIMD lanes, all in one would not
    for i in range(rows):
        row, likelihood = magnitude[i], out[i]
        for k in range(labels):
            x[k] = min(scale * row[symbol_of_label[k]], largest_argument)
        top = np.float32(0.0)
        for k in range(labels):
            top = max(top, x[k])
        for k in range(labels):
            value[k] = _exp_negative(x[k] - top) + _exp_negative(-x[k] - top)
        for k in range(labels):
            square[k] = x[k] * x[k]
        for k in range(labels):
            root[k] = np.sqrt(np.sqrt(one + np.float32(0.25) * square[k]))
        for k in range(labels):
            ratio = (one + np.float32(0.24273) * square[k]) / ((one + np.float32(0.43023) * square[k]) * root[k])
            value[k] *= ratio
        largest = np.float32(0.0)
        for k in range(labels):
            largest = max(largest, value[k])
        scaling = one / largest if largest > 0.0 else one
        for k in range(labels):
            likelihood[k] = value[k] * scaling


@numba.njit(inline="always", **JIT)
def _exp_negative(y):  # type: ignore[no-untyped-def]
    """exp(y) for y <= 0 as (1 + u + u^2/2)^1024, u = y / 1024; 0 below about -80."""
    u = max(y, np.float32(-80.0)) * np.float32(1.0 / 1024.0)
    p = np.float32(1.0) + u * (np.float32(1.0) + np.float32(0.5) * u)
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    return p


@numba.njit(**JIT)
def reduced_rate_evidence(likelihoods):  # type: ignore[no-untyped-def]
    """ln of the rows' likelihood under symbols 4k + 1 alone over that under all symbols; columns are symbols."""
    rows, width = likelihoods.shape
    evidence = 0.0
    for i in range(rows):
        reduced = np.float32(0.0)
        full = np.float32(0.0)
        for k in range(width):
            full += likelihoods[i, k]
        for k in range(1, width, 4):
            reduced += likelihoods[i, k]
        evidence += math.log(4.0 * (reduced + 1e-30) / (full + 1e-30))
    return evidence


@numba.njit(cache=CAN_KEEP, nogil=True)
def symbols_in_windows(symbols, data, cfo, drift, num_bins, start, half_bin, num_windows):  # type: ignore[no-untyped-def]
    """In how many of the windows start, start - N, … the tone at `half_bin` is that of a frame's own symbols.

    The frame's symbols begin at `data`; a window over two of them shows the tone of either.
    """
    count = 0
    for j in range(num_windows):
        place = (start - num_bins * j - data) / num_bins
        index = math.floor(place)
        if 0 <= index < symbols.size - 1:
            wanted = 0.5 * half_bin - cfo - (place - index) * num_bins - index * drift
            for k in range(2):
                distance = (symbols[index + k] - wanted + 0.5 * num_bins) % num_bins - 0.5 * num_bins
                if abs(distance) < 1.6:
                    count += 1
                    break
    return count
