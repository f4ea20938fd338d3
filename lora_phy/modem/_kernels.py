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
    `floor` and 0.3 of their mean there: a few strong data symbols are not a preamble.
    """
    width = energies.shape[1]
    total = np.empty(width, np.float32)
    # sums of two and of four windows are shared by the eights
    rows = energies.shape[0]
    quads = np.empty((rows if num_sum == 8 else 0, width), np.float32)
    if num_sum == 8:
        pairs = np.empty_like(quads)
        for row in range(first - 7 * hop, rows):
            if row >= hop:
                for h in range(width):
                    pairs[row, h] = energies[row, h] + energies[row - hop, h]
        for row in range(first - 4 * hop, rows):
            for h in range(width):
                quads[row, h] = pairs[row, h] + pairs[row - 2 * hop, h]
    for i in range(peak.size):
        row = first + i
        if num_sum == 8:
            for h in range(width):
                total[h] = quads[row, h] + quads[row - 4 * hop, h]
        else:
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
            least = max(floor, best * np.float32(0.3) / np.float32(num_sum))
            for j in range(num_sum):
                count += energies[row - j * hop, at] >= least
            if count >= min_count:
                where[i] = at


@numba.njit(**_JIT)
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


@numba.njit(**_JIT)
def upchirp_sums(up, tones, shifts, num_sum, hop, share, out):  # type: ignore[no-untyped-def]
    """out[t, i] = sum_j up[i - j hop] at half bin tones[t] + shifts[i - j hop], 0 where the rows do not reach.

    Returns the largest, and the first and last i at which some tone has `share` of it.
    """
    num_bins = up.shape[1] // 2
    lead = (num_sum - 1) * hop
    largest = np.float32(0.0)
    for t in range(tones.size):
        for i in range(up.shape[0]):
            total = np.float32(0.0)
            if i >= lead:
                for j in range(num_sum):
                    row = i - j * hop
                    h = (tones[t] + shifts[row]) % (2 * num_bins)
                    total += up[row, h // 2 + num_bins * (h % 2)]
            out[t, i] = total
            largest = max(largest, total)
    low, high = -1, -1
    for i in range(up.shape[0]):
        for t in range(tones.size):
            if out[t, i] >= share * largest:
                low = i if low < 0 else low
                high = i
    return largest, low, high


@numba.njit(**_JIT)
def joint_search(  # type: ignore[no-untyped-def]
    up,
    down,
    ups,
    level,
    weakest,
    first_up,
    first_down,
    hop,
    tones,
    tone_at,
    sync,
    low,
    high,
    inside,
    score,
    which,
    where,
):
    """For every two chips (cell) of hypothetical downchirp starts: the largest summed energy, its tone and quarter
    chip.

    up, down: half-bin energies of windows first_up …, first_down …, `hop` samples apart; ups[t, i]: summed energy of
    the upchirps that end with window i for tone t, at least `weakest` wanted; level[i]: what they count, the same for
    all starts nearby, so that the grid's loss, which differs from window to window, does not decide; tones: half bins
    of the upchirps seen from sample `tone_at`; starts are samples low … high - 1, in quarters; sync: half-bin shifts
    allowed, ``(2, n)``; inside: bonus for |cfo| <= N/4.
    """
    width = up.shape[1]
    num_bins = width // 2
    per_symbol = num_bins // hop
    score[:] = 0.0
    for start in range(low, high):
        window = (start + hop // 2) // hop
        late = window * hop - start
        row = window - first_up
        down_row = window - first_down
        if row < 3 * per_symbol or row >= up.shape[0] or down_row < 0 or down_row + per_symbol >= down.shape[0]:
            continue
        cell = (start - low) // 2
        for t in range(tones.size):
            if ups[t, row - 3 * per_symbol] < weakest:
                continue
            energy = level[row - 3 * per_symbol]
            # a window moved by one sample moves an upchirp's tone by one bin, a downchirp's by minus one; with start
            # and window counted in samples and tones in half bins, a quarter chip of the start moves the downchirp's by
            # one
            cfo = tones[t] + 2 * (start - tone_at)
            for i in range(2):
                best = np.float32(0.0)
                for c in range(sync.shape[1]):
                    at = (cfo + 2 * late + sync[i, c]) % width
                    best = max(best, up[row - (2 - i) * per_symbol, at // 2 + num_bins * (at % 2)])
                energy += best
            wrapped = (cfo + num_bins) % width - num_bins
            if 2 * abs(wrapped) <= num_bins + 8:
                energy += inside
            for quarter in range(4):
                at = (cfo - 2 * late + quarter) % width
                column = at // 2 + num_bins * (at % 2)
                total = energy + down[down_row, column] + down[down_row + per_symbol, column]
                if total > score[cell]:
                    score[cell] = total
                    which[cell] = t
                    where[cell] = 4 * start + quarter


@numba.njit(**_JIT)
def best_hypotheses(score, which, where, tones, tone_at, level, first_up, hop, num_bins, start, cfo, ups):  # type: ignore[no-untyped-def]
    """Fill start, cfo (bins) and summed upchirp energy of the best cells, best first; return how many there are.

    The last two places repeat the best one half a symbol to either side: the same tones fit half the bandwidth off.
    """
    most = start.size - 2
    order = np.empty(most, np.int64)
    count = 0
    for cell in range(score.size):
        if score[cell] <= 0.0 or (count == most and score[cell] <= score[order[count - 1]]):
            continue
        place = count if count < most else most - 1
        while place > 0 and score[order[place - 1]] < score[cell]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = cell
        count = min(count + 1, most)
    if count == 0:
        return 0
    for k in range(count + 2):
        cell = order[k] if k < count else order[0]
        begin = where[cell] / 4.0
        if k >= count:
            begin += (k - count - 0.5) * num_bins
        offset = 0.5 * tones[which[cell]] + begin - tone_at
        row = (math.floor(begin) + hop // 2) // hop - first_up - 3 * (num_bins // hop)
        start[k] = begin
        cfo[k] = (offset + 0.5 * num_bins) % num_bins - 0.5 * num_bins
        ups[k] = level[min(max(row, 0), level.size - 1)]
    return count + 2


@numba.njit(**_JIT)
def rank_hypotheses(energy, ups, cfo, num_bins, inside, order):  # type: ignore[no-untyped-def]
    """Order hypotheses by upchirps, best sync word and downchirps, bonus included; return the best of the latter."""
    score = np.empty(ups.size, np.float32)
    largest = np.float32(0.0)
    for k in range(ups.size):
        rest = energy[k, 1].max() + energy[k, 2].max()
        largest = max(largest, rest)
        score[k] = ups[k] + rest + (inside if abs(cfo[k]) <= 0.25 * num_bins + 2 else 0.0)
    for place in range(order.size):
        best = 0
        for k in range(ups.size):
            if score[k] > score[best]:
                best = k
        order[place] = best
        score[best] = -1.0
    return largest


@numba.njit(**_JIT)
def hypothesis_energies(  # type: ignore[no-untyped-def]
    samples, starts, cfo, chirp, twiddle, zoom_re, zoom_im, sync, num_up, out
):
    """Energy, over each window's own, of a hypothetical preamble's symbols at tones near the expected ones.

    starts (fractional), cfo: one per hypothesis; chirp = conj(x_0); twiddle[n] = exp(-2 pi j n / N);
    zoom_re + j zoom_im [e, n] = exp(-2 pi j eps_e n / N); sync (2, n): alternatives for each sync chirp, the best
    counts. out[h, 0 | 1 | 2, e]: upchirps, sync word, downchirps. Windows begin at whole samples; what is left of the
    start shows as a tone, and behind a chirp's fold as a phase, which is undone.
    """
    num_bins = chirp.size
    total = samples.size
    steps = zoom_re.shape[0]
    base = np.empty(num_bins, np.complex64)
    wr = np.empty(num_bins, np.float32)
    wi = np.empty(num_bins, np.float32)
    tr = np.empty(num_bins, np.float32)
    ti = np.empty(num_bins, np.float32)
    for h in range(starts.size):
        whole = math.floor(starts[h] + 0.5)
        late = whole - starts[h]
        fold_re = np.float32(math.cos(2 * math.pi * late))
        fold_im = np.float32(math.sin(2 * math.pi * late))
        out[h] = 0.0
        for i in range(-num_up - 2, 2):
            if i == -num_up - 2 or i == 0:
                tone = cfo[h] + late if i < 0 else cfo[h] - late
                step = complex(math.cos(2 * math.pi * tone / num_bins), -math.sin(2 * math.pi * tone / num_bins))
                turn = complex(1.0, 0.0)
                for n in range(num_bins):
                    reference = chirp[n] if i < 0 else chirp[n].conjugate()
                    base[n] = reference * turn
                    turn *= step
            power = np.float32(0.0)
            first = whole + i * num_bins
            inside = first >= 0 and first + num_bins <= total
            for n in range(num_bins):
                m = first + n
                y = samples[m] if inside or 0 <= m < total else np.complex64(0.0)
                power += y.real * y.real + y.imag * y.imag
                b = base[n]
                wr[n] = y.real * b.real - y.imag * b.imag
                wi[n] = y.real * b.imag + y.imag * b.real
            scale = np.float32(1.0) / power if power > 0.0 else np.float32(0.0)
            if -2 <= i < 0:
                for c in range(sync.shape[1]):
                    s = sync[i + 2, c]
                    at = 0
                    for n in range(num_bins):
                        t = twiddle[at]
                        at += s
                        if at >= num_bins:
                            at -= num_bins
                        tr[n] = wr[n] * t.real - wi[n] * t.imag
                        ti[n] = wr[n] * t.imag + wi[n] * t.real
                    for n in range(num_bins - s, num_bins):
                        re = tr[n] * fold_re - ti[n] * fold_im
                        ti[n] = tr[n] * fold_im + ti[n] * fold_re
                        tr[n] = re
                    for e in range(steps):
                        value = _tone_energy(tr, ti, zoom_re[e], zoom_im[e]) * scale
                        if c == 0 or value > out[h, 3 + i + 2, e]:
                            out[h, 3 + i + 2, e] = value
                for e in range(steps):
                    out[h, 1, e] += out[h, 3 + i + 2, e]
            else:
                part = 0 if i < 0 else 2
                for e in range(steps):
                    out[h, part, e] += _tone_energy(wr, wi, zoom_re[e], zoom_im[e]) * scale


@numba.njit(**_JIT)
def _tone_energy(wr, wi, zr, zi):  # type: ignore[no-untyped-def]
    re = np.float32(0.0)
    im = np.float32(0.0)
    for n in range(wr.size):
        re += wr[n] * zr[n] - wi[n] * zi[n]
        im += wr[n] * zi[n] + wi[n] * zr[n]
    return re * re + im * im


@numba.njit(**_JIT)
def dechirp_preamble(rows, num_before, chirp, scale):  # type: ignore[no-untyped-def]
    """Multiply rows by conj(x_0), from row `num_before` on by x_0; scale[i] = 1 / energy of row i."""
    for i in range(rows.shape[0]):
        power = np.float32(0.0)
        for n in range(rows.shape[1]):
            y = rows[i, n]
            power += y.real * y.real + y.imag * y.imag
            rows[i, n] = y * (chirp[n] if i < num_before else chirp[n].conjugate())
        scale[i] = 1.0 / power if power > 0.0 else 0.0


@numba.njit(**_JIT)
def zoom_energies(rows, shifts, zoom_re, zoom_im, scale, out):  # type: ignore[no-untyped-def]
    """out[i, e] = scale[i] |sum_n rows[i, n] exp(-2 pi j (shifts[i] + eps_e) n / N)|^2."""
    num_bins = rows.shape[1]
    wr = np.empty(num_bins, np.float32)
    wi = np.empty(num_bins, np.float32)
    for i in range(rows.shape[0]):
        if shifts[i] == 0:
            for n in range(num_bins):
                wr[n] = rows[i, n].real
                wi[n] = rows[i, n].imag
        else:
            angle = 2 * math.pi * shifts[i] / num_bins
            step = complex(math.cos(angle), -math.sin(angle))
            turn = complex(1.0, 0.0)
            for n in range(num_bins):
                y = rows[i, n] * np.complex64(turn)
                wr[n] = y.real
                wi[n] = y.imag
                turn *= step
        for e in range(zoom_re.shape[0]):
            out[i, e] = _tone_energy(wr, wi, zoom_re[e], zoom_im[e]) * scale[i]


@numba.njit(**_JIT)
def best_drift(energy, num_before, drifts, sigma, unit, result, at_peak):  # type: ignore[no-untyped-def]
    """Maximise the rows' summed energy over drift, upward and downward tone.

    Row i is symbol i - num_before counted from the first downchirp; with a drift its tone is off by that number times
    the drift, upwards for the first `num_before` rows, downwards for the rest. result: drift, upward tone, downward
    tone, in columns of `energy` (`unit` bins each) from its first; at_peak: each row's energy there.
    """
    rows, width = energy.shape
    total = np.empty(width, np.float64)
    best = -1.0
    for drift in drifts:
        score = -0.5 * (drift / sigma) ** 2
        tones = np.zeros(2)
        for part in range(2):
            low, high = (0, num_before) if part == 0 else (num_before, rows)
            sign = 1.0 if part == 0 else -1.0
            centre = 0.5 * (low + high - 1)
            total[:] = 0.0
            for i in range(low, high):
                shift = sign * (i - centre) * drift / unit
                whole = math.floor(shift)
                fraction = shift - whole
                for g in range(width):
                    left = min(max(g + int(whole), 0), width - 1)
                    right = min(left + 1, width - 1)
                    total[g] += (1.0 - fraction) * energy[i, left] + fraction * energy[i, right]
            at = int(np.argmax(total))
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
    for i in range(rows):
        part = 0 if i < num_before else 1
        centre = 0.5 * (num_before - 1) if part == 0 else 0.5 * (num_before + rows - 1)
        sign = 1.0 if part == 0 else -1.0
        column = result[1 + part] + sign * (i - centre) * result[0] / unit
        at_peak[i] = energy[i, min(max(math.floor(column + 0.5), 0), width - 1)]


@numba.njit(**_JIT)
def noise_floor(spectra, shifts, out):  # type: ignore[no-untyped-def]
    """out[i] = mean |spectra[i, k]|^2 over all bins but the seven around shifts[i]."""
    num_bins = spectra.shape[1]
    for i in range(spectra.shape[0]):
        total = 0.0
        for k in range(4, num_bins - 3):
            z = spectra[i, (k + shifts[i]) % num_bins]
            total += z.real * z.real + z.imag * z.imag
        out[i] = total / (num_bins - 7)


@numba.njit(**_JIT)
def delay_ramp(spectrum, fraction):  # type: ignore[no-untyped-def]
    """Multiply bin k by exp(2 pi j fraction k / length), k from -length/2 to length/2: an advance by `fraction`."""
    length = spectrum.size
    angle = 2 * math.pi * fraction / length
    half = length // 2
    block = 64
    table = np.empty(block, np.complex64)
    for n in range(block):
        table[n] = complex(math.cos(angle * n), math.sin(angle * n))
    for start in range(0, length - half, block):
        base = np.complex64(complex(math.cos(angle * start), math.sin(angle * start)))
        for n in range(start, min(start + block, length - half)):
            spectrum[n] *= table[n - start] * base
    for start in range(1, half + 1, block):
        base = np.complex64(complex(math.cos(angle * start), -math.sin(angle * start)))
        for n in range(start, min(start + block, half + 1)):
            spectrum[length - n] *= table[n - start].conjugate() * base


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
def read_symbols(z, strides, magnitude, best, lead):  # type: ignore[no-untyped-def]
    """Magnitudes of matched-filter rows, each row's best legal bin, and the best magnitude minus the runner-up's.

    Legal bins of row i are all where strides[i] is 1, and 1, 5, 9 … where it is 4.
    """
    rows, width = z.shape
    for i in range(rows):
        stride = strides[i]
        first = stride // 4
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

    I0(x) = cosh x (1 + x^2/4)^(-1/4) (1 + 0.24273 x^2) / (1 + 0.43023 x^2), relative error below 6e-4 (J. Olivares et
    al., J. Phys.: Conf. Ser. 1043, 2018), and exp by ten squarings: both run in SIMD lanes.
    """
    rows, labels = out.shape
    one = np.float32(1.0)
    for i in range(rows):
        for label in range(labels):
            out[i, label] = scale * magnitude[i, symbol_of_label[label]]
        top = np.float32(0.0)
        for label in range(labels):
            top = max(top, out[i, label])
        largest = np.float32(0.0)
        for label in range(labels):
            x = out[i, label]
            square = x * x
            ratio = (one + np.float32(0.24273) * square) / (one + np.float32(0.43023) * square)
            root = np.float32(math.sqrt(np.float32(math.sqrt(one + np.float32(0.25) * square))))
            value = (_exp_negative(x - top) + _exp_negative(-x - top)) * ratio / root
            out[i, label] = value
            largest = max(largest, value)
        scaling = one / largest if largest > 0.0 else one
        for label in range(labels):
            out[i, label] *= scaling


@numba.njit(inline="always", **_JIT)
def _exp_negative(y):  # type: ignore[no-untyped-def]
    """exp(y) for y <= 0 as (1 + u + u^2/2)^1024, u = y / 1024; 0 below about -80."""
    u = max(y, np.float32(-80.0)) * np.float32(1.0 / 1024.0)
    p = np.float32(1.0) + u * (np.float32(1.0) + np.float32(0.5) * u)
    for _ in range(10):
        p *= p
    return p


@numba.njit(**_JIT)
def tone_run(samples, starts, tones, chirp, out):  # type: ignore[no-untyped-def]
    """out[i] = energy of the dechirped window at starts[i] at tone tones[i] (bins) over the window's energy."""
    num_bins = chirp.size
    total = samples.size
    for i in range(starts.size):
        angle = 2 * math.pi * tones[i] / num_bins
        step = complex(math.cos(angle), -math.sin(angle))
        turn = complex(1.0, 0.0)
        acc = complex(0.0, 0.0)
        power = 0.0
        for n in range(num_bins):
            m = starts[i] + n
            if 0 <= m < total:
                y = samples[m]
                power += y.real * y.real + y.imag * y.imag
                acc += y * chirp[n] * turn
            turn *= step
        out[i] = (acc.real * acc.real + acc.imag * acc.imag) / power if power > 0.0 else 0.0
