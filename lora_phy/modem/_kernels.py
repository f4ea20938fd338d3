"""Private numba kernels of detection, synchronisation and soft decisions; each has a numpy twin in the tests.

Half-bin spectra are stored split: columns 0…N-1 hold the whole bins, columns N…2N-1 the bins k + 1/2. An index h in
half bins therefore sits in column ``h // 2 + N * (h % 2)``.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

_JIT: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": {"reassoc", "contract", "nsz", "arcp"}}


@numba.njit(**_JIT)
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


@numba.njit(**_JIT)
def half_bin_energies(spectra, energy, out):  # type: ignore[no-untyped-def]
    """Energy at whole and half bins over the window's energy; noise gives an exponential of mean 1."""
    num_bins = spectra.shape[1]
    for w in range(spectra.shape[0]):
        scale = np.float32(1.0) / energy[w] if energy[w] > 0.0 else np.float32(0.0)
        half = np.float32(0.5) * scale
        for k in range(num_bins):
            z = spectra[w, k]
            out[w, k] = (z.real * z.real + z.imag * z.imag) * scale
        for k in range(num_bins - 1):
            d = spectra[w, k] - spectra[w, k + 1]
            out[w, num_bins + k] = (d.real * d.real + d.imag * d.imag) * half
        d = spectra[w, num_bins - 1] - spectra[w, 0]
        out[w, 2 * num_bins - 1] = (d.real * d.real + d.imag * d.imag) * half


@numba.njit(**_JIT)
def preamble_statistic(energies, first, num_sum, hop, threshold, floor, min_count, peak, where):  # type: ignore[no-untyped-def]
    """peak[i], where[i] = max and argmax over h of sum_j energies[first + i - j hop, h], j = 0 … num_sum - 1.

    The argmax is -1 where the maximum misses `threshold`, or where fewer than `min_count` of the summed windows reach
    `floor` there: one strong data symbol is not a preamble.
    """
    width = energies.shape[1]
    total = np.empty(width, np.float32)
    for i in range(peak.size):
        row = first + i
        total[:] = energies[row]
        for j in range(1, num_sum):
            other = energies[row - j * hop]
            for h in range(width):
                total[h] += other[h]
        best = np.float32(0.0)
        for h in range(width):
            best = max(best, total[h])
        peak[i] = best
        where[i] = -1
        if best >= threshold:
            at = 0
            for h in range(width):
                if total[h] == best:
                    at = h
                    break
            count = 0
            for j in range(num_sum):
                count += energies[row - j * hop, at] >= floor
            if count >= min_count:
                where[i] = at


@numba.njit(**_JIT)
def joint_search(up, down, ups, weakest, first_window, hop, num_bins, tone, tone_at, sync, low, high, inside, out):  # type: ignore[no-untyped-def]
    """Energy of sync word and downchirps, plus that of the upchirps, for every hypothetical start of the downchirps.

    up, down: half-bin energies of windows first_window, first_window + 1, … (`hop` samples apart); ups: summed energy
    of the upchirps that end with window i, at least `weakest` of it wanted; tone: half bin of the upchirps seen from sample `tone_at`; hypotheses are
    quarter samples low … high - 1. sync: the candidates' half-bin shifts ``(2, n)``; inside: bonus for |cfo| <= N/4.
    """
    width = 2 * num_bins
    rows = up.shape[0]
    for b in range(low, high):
        out[b - low] = 0.0
        start = b // 4
        quarter = b - 4 * start
        window = (start + hop // 2) // hop
        late = window * hop - start
        row = window - first_window
        per_symbol = num_bins // hop
        if row - 3 * per_symbol < 0 or row + per_symbol >= rows:
            continue
        energy = ups[row - 3 * per_symbol]
        if energy < weakest:
            continue
        # a window moved by one sample moves an upchirp's tone by one bin, a downchirp's by minus one; with start and
        # window counted in samples and tones in half bins, a quarter sample of the start moves cfo by 1/2, and the
        # downchirp's tone by 1
        cfo = tone + 2 * (start - tone_at)
        at = (cfo - 2 * late + quarter) % width
        column = at // 2 + num_bins * (at % 2)
        energy += down[row, column] + down[row + per_symbol, column]
        for i in range(2):
            best = np.float32(0.0)
            for c in range(sync.shape[1]):
                at = (cfo + 2 * late + sync[i, c]) % width
                column = at // 2 + num_bins * (at % 2)
                best = max(best, up[row - (2 - i) * per_symbol, column])
            energy += best
        wrapped = (cfo + num_bins) % width - num_bins
        if 2 * abs(wrapped) <= num_bins + 8:
            energy += inside
        out[b - low] = energy


@numba.njit(**_JIT)
def hypothesis_energies(samples, starts, cfo, chirp, twiddle, zoom, sync, num_up, out):  # type: ignore[no-untyped-def]
    """Energy, over each window's own, of a hypothetical preamble's symbols at tones near the expected ones.

    starts (fractional), cfo: one per hypothesis; chirp = conj(x_0); twiddle[n] = exp(-2 pi j n / N);
    zoom[e, n] = exp(-2 pi j eps_e n / N); sync (2, n): alternatives for each sync chirp, the best counts.
    out[h, 0 | 1 | 2, e]: upchirps, sync word, downchirps. Windows begin at whole samples; what is left of the start shows
    as a tone, and behind a chirp's fold as a phase, which is undone.
    """
    num_bins = chirp.size
    total = samples.size
    steps = zoom.shape[0]
    base = np.empty(num_bins, np.complex64)
    window = np.empty(num_bins, np.complex64)
    one = np.empty(num_bins, np.complex64)
    for h in range(starts.size):
        whole = int(math.floor(starts[h] + 0.5))
        late = whole - starts[h]
        fold = np.complex64(complex(math.cos(2 * math.pi * late), math.sin(2 * math.pi * late)))
        for part in range(3):
            for e in range(steps):
                out[h, part, e] = 0.0
        for i in range(-num_up - 2, 2):
            if i == -num_up - 2 or i == 0:
                tone = cfo[h] + late if i < 0 else cfo[h] - late
                step = complex(math.cos(2 * math.pi * tone / num_bins), -math.sin(2 * math.pi * tone / num_bins))
                turn = complex(1.0, 0.0)
                for n in range(num_bins):
                    base[n] = turn
                    turn *= step
            power = np.float32(0.0)
            first = whole + i * num_bins
            for n in range(num_bins):
                m = first + n
                y = samples[m] if 0 <= m < total else np.complex64(0.0)
                power += y.real * y.real + y.imag * y.imag
                window[n] = y * (chirp[n] if i < 0 else chirp[n].conjugate()) * base[n]
            scale = np.float32(1.0) / power if power > 0.0 else np.float32(0.0)
            if -2 <= i < 0:
                for e in range(steps):
                    best = np.float32(0.0)
                    for c in range(sync.shape[1]):
                        s = sync[i + 2, c]
                        acc = np.complex64(0.0)
                        for n in range(num_bins):
                            one[n] = window[n] * twiddle[(s * n) % num_bins]
                        for n in range(num_bins - s):
                            acc += one[n] * zoom[e, n]
                        behind = np.complex64(0.0)
                        for n in range(num_bins - s, num_bins):
                            behind += one[n] * zoom[e, n]
                        acc += fold * behind
                        best = max(best, acc.real * acc.real + acc.imag * acc.imag)
                    out[h, 1, e] += best * scale
            else:
                part = 0 if i < 0 else 2
                for e in range(steps):
                    acc = np.complex64(0.0)
                    for n in range(num_bins):
                        acc += window[n] * zoom[e, n]
                    out[h, part, e] += (acc.real * acc.real + acc.imag * acc.imag) * scale


@numba.njit(cache=True, nogil=True)
def mix(samples, first, cycles, phase, out):  # type: ignore[no-untyped-def]
    """out[n] = samples[first + n] exp(2 pi j (phase + cycles n)), zero outside the array."""
    total = samples.size
    block = 64
    step = complex(math.cos(2 * math.pi * cycles), math.sin(2 * math.pi * cycles))
    rotor = np.empty(block, np.complex64)
    turn = complex(1.0, 0.0)
    for n in range(block):
        rotor[n] = turn
        turn *= step
    for start in range(0, out.size, block):
        angle = 2 * math.pi * ((phase + cycles * start) % 1.0)
        base = np.complex64(complex(math.cos(angle), math.sin(angle)))
        stop = min(start + block, out.size)
        if first + start >= 0 and first + stop <= total:
            for n in range(start, stop):
                out[n] = samples[first + n] * (rotor[n - start] * base)
        else:
            for n in range(start, stop):
                m = first + n
                out[n] = samples[m] * (rotor[n - start] * base) if 0 <= m < total else np.complex64(0.0)


@numba.njit(**_JIT)
def shifted_sum(zoom, shifts, out):  # type: ignore[no-untyped-def]
    """out[g] = sum_i zoom[i, g + shifts[i]], linear between columns, the edge value beyond them."""
    rows, width = zoom.shape
    out[:] = 0.0
    for i in range(rows):
        whole = math.floor(shifts[i])
        part = shifts[i] - whole
        for g in range(width):
            left = min(max(g + int(whole), 0), width - 1)
            right = min(max(g + int(whole) + 1, 0), width - 1)
            out[g] += (1.0 - part) * zoom[i, left] + part * zoom[i, right]


@numba.njit(**_JIT)
def read_symbols(z, first, stride, magnitude, best, lead):  # type: ignore[no-untyped-def]
    """Magnitudes of matched-filter rows, each row's best legal bin, and the best magnitude minus the runner-up's.

    Legal bins are first, first + stride, …
    """
    rows, width = z.shape
    for i in range(rows):
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


@numba.njit(**_JIT)
def timing_errors(rows, chirp, symbols, rate, out):  # type: ignore[no-untyped-def]
    """How early each chirp of known symbol is, in chips: one Newton step on |sum_n y[n] conj(x_s[n])|^2.

    An early chirp is turned by exp(2 pi j f e) at the instantaneous frequency f = ((n + s) mod N) / N - 1/2, hence
    e = 12 / (2 pi) Im(Z' conj Z) / |Z|^2, Z = sum y conj x_s, Z' = sum f y conj x_s. `chirp` is conj(x_0).
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
        size = zr * zr + zi * zi
        out[i] = (12.0 / (2.0 * math.pi)) * (di * zr - dr * zi) / size if size > 0.0 else 0.0


@numba.njit(**_JIT)
def label_likelihoods(magnitude, symbol_of_label, scale, out):  # type: ignore[no-untyped-def]
    """out[i, l] = I0(scale |z[i, symbol_of_label[l]]|), each row divided by its largest value.

    I0(x) = e^x i0e(x), i0e by the polynomials 9.8.1 and 9.8.2 of Abramowitz and Stegun (relative error 2e-7).
    """
    rows, labels = out.shape
    for i in range(rows):
        top = np.float32(0.0)
        for label in range(labels):
            out[i, label] = scale * magnitude[i, symbol_of_label[label]]
            top = max(top, out[i, label])
        largest = np.float32(0.0)
        for label in range(labels):
            x = out[i, label]
            if x < np.float32(3.75):
                t = x / np.float32(3.75)
                t *= t
                series = np.float32(1.0) + t * (
                    np.float32(3.5156229)
                    + t
                    * (
                        np.float32(3.0899424)
                        + t
                        * (
                            np.float32(1.2067492)
                            + t * (np.float32(0.2659732) + t * (np.float32(0.0360768) + t * np.float32(0.0045813)))
                        )
                    )
                )
                value = series * np.float32(math.exp(-top))
            else:
                t = np.float32(3.75) / x
                series = np.float32(0.39894228) + t * (
                    np.float32(0.01328592) + t * (np.float32(0.00225319) - t * np.float32(0.00157565))
                )
                value = series / np.float32(math.sqrt(x)) * np.float32(math.exp(x - top))
            out[i, label] = value
            largest = max(largest, value)
        if largest > 0.0:
            scaling = np.float32(1.0) / largest
            for label in range(labels):
                out[i, label] *= scaling
