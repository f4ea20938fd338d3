"""Private numba kernels of the payload: decisions, timing, likelihoods."""

from __future__ import annotations

import math

import numba
import numpy as np

from lora_phy.kernels.cache import CAN_KEEP
from lora_phy.modem._tone_kernels import INLINE, JIT


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
            if k != at and magnitude[i, k] > second:
                second = magnitude[i, k]
        best[i] = at
        lead[i] = top - second


@numba.njit(**JIT)
def tracking_errors(rows, chirp, symbols, rate, out, matched):  # type: ignore[no-untyped-def]
    """How far each chirp of known symbol is off, by one Newton step on |sum_n y[n] conj(x_s[n])|^2.

    A chirp early by e and off by f bins is turned by exp(2 pi j (e g[n] + f n / N)), g = ((n + s) mod N) / N - 1/2 its
    instantaneous frequency. With Z = sum y conj x_s and the same sums weighted by g and by n / N - 1/2, Zg and Zn,

        out[i] = 12 / (2 pi) Im(Zg conj Z, Zn conj Z) / |Z|^2 = (e + k f, k e + f),    k = 1 - 6 (s/N) (1 - s/N).

    `chirp` is conj(x_0), and x_s that moved by s; matched[i] = Z.
    """
    length = chirp.size
    scale = np.float32(1.0 / length)
    for i in range(rows.shape[0]):
        shift = symbols[i] * rate
        zr = zi = dr = di = lr = li = np.float32(0.0)
        for part in range(2):
            low, high, move = (0, length - shift, shift) if part == 0 else (length - shift, length, shift - length)
            pr = pi = np.float32(0.0)
            for n in range(low, high):
                w = rows[i, n] * chirp[n + move]
                f = np.float32(n + move) * scale - np.float32(0.5)
                pr += w.real
                pi += w.imag
                dr += f * w.real
                di += f * w.imag
            zr += pr
            zi += pi
            lr -= np.float32(move) * scale * pr
            li -= np.float32(move) * scale * pi
        lr += dr
        li += di
        matched[i] = complex(zr, zi)
        size = zr * zr + zi * zi
        unit = 12.0 / (2.0 * math.pi * size) if size > 0.0 else 0.0
        out[i, 0] = unit * (di * zr - dr * zi)
        out[i, 1] = unit * (li * zr - lr * zi)


@numba.njit(**JIT)
def read_and_track(  # type: ignore[no-untyped-def]
    z,
    rows,
    chirp,
    rate,
    early,
    strides,
    lead_needed,
    variance,
    lead,
    error,
    magnitude,
    best,
    matched,
    information,
    push,
):
    """Magnitudes and best bins as of `read_symbols`, the matched sums of `tracking_errors`, and what the believable
    errors say about (earliness, drift, offset, rate) at the middle of the rows: information matrix and weighted sum.

    Believable: the best bin leads by more than `lead_needed`, and the chirp is less than 0.8 chips and bins off; else
    matched[i] is 0. `variance` is that of one error; where errors scatter by much more about their trend, by phase
    steps at the fold that no timing explains or by wrong decisions, they count for less. Returns whether they do.
    `lead` and `error`: work space, ``(rows)`` and ``(rows, 2)`` float32.
    """
    count = len(z)
    read_symbols(z, strides, early, magnitude, best, lead)
    tracking_errors(rows, chirp, best, rate, error, matched)
    for a in range(4):
        push[a] = 0.0
        for b in range(4):
            information[a, b] = 0.0
    middle = 0.5 * (count - 1)
    num_bins = z.shape[1]
    scattered = False
    used, sum_y, sum_yy, sum_t, sum_tt, sum_ty = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(count):
        if lead[i] <= lead_needed or abs(error[i, 0]) >= 0.8 or abs(error[i, 1]) >= 0.8:
            matched[i] = 0.0
            continue
        used += 1
        t, share = i - middle, best[i] / num_bins
        common = 1.0 - 6.0 * share * (1.0 - share)
        for a in range(4):
            at = t if a % 2 else 1.0
            push[a] += at * error[i, a // 2]
            for b in range(4):
                weight = 1.0 if a // 2 == b // 2 else common
                information[a, b] += weight * at * (t if b % 2 else 1.0)
        y = error[i, 0]
        sum_y += y
        sum_yy += y * y
        sum_t += t
        sum_tt += t * t
        sum_ty += t * y
    if used >= 6:
        trend = sum_tt - sum_t * sum_t / used
        scatter = sum_yy - sum_y * sum_y / used
        if trend > 0.0:
            common = sum_ty - sum_t * sum_y / used
            scatter -= common * common / trend
        scatter /= used - 2
        scattered = scatter > 3.0 * variance
        if scattered:
            variance = scatter
    for a in range(4):
        push[a] /= variance
        for b in range(4):
            information[a, b] /= variance
    # columns are symbols as sent: a chirp that began `early` chips before the window shows that many bins below
    if early:
        for i in range(count):
            last = magnitude[i, num_bins - 1]
            for k in range(num_bins - 1, 0, -1):
                magnitude[i, k] = magnitude[i, k - 1]
            magnitude[i, 0] = last
    return scattered


@numba.njit(**JIT)
def add_across_folds(rows, chirp, rate, early, strongest, magnitude):  # type: ignore[no-untyped-def]
    """Replace the magnitudes of the `strongest` bins of each row, and of two bins to either side, by what they are
    where the phase may step at the fold: |sum before it| + |sum behind it|.
    """
    length, num_bins = chirp.size, magnitude.shape[1]
    for i in range(rows.shape[0]):
        order = np.argsort(magnitude[i])[num_bins - strongest :]
        wanted = np.zeros(num_bins, np.bool_)
        for k in order:
            for off in range(-2, 3):
                wanted[(k - early + off) % num_bins] = True
        for k in range(num_bins):
            if not wanted[k]:
                continue
            shift = k * rate
            total = np.float32(0.0)
            for part in range(2):
                low, high, move = (0, length - shift, shift) if part == 0 else (length - shift, length, shift - length)
                re = im = np.float32(0.0)
                for n in range(low, high):
                    w = rows[i, n] * chirp[n + move]
                    re += w.real
                    im += w.imag
                total += math.sqrt(re * re + im * im)
            magnitude[i, (k + early) % num_bins] = total / length


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


@numba.njit(**INLINE)
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
