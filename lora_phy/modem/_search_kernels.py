"""Private numba kernels of the search for a preamble's start and carrier offset on the grid of windows.

Half-bin spectra are stored split: columns 0…N-1 hold the whole bins, columns N…2N-1 the bins k + 1/2. An index h in
half bins therefore sits in column ``h // 2 + N * (h % 2)``.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from lora_phy.modem._tone_kernels import INLINE, JIT, index_of_largest, tone_energy, tone_rotor


@numba.njit(**JIT)
def upchirp_sums(up, tones, shifts, num_sum, hop, share, out, level):  # type: ignore[no-untyped-def]
    """out[t, i] = sum_j up[i - j hop] at half bin tones[t] + shifts[i - j hop], 0 where the rows do not reach.

    level[i]: the largest of all tones within hop / 2 of i. Returns the largest of all, and the first and last i at
    which some tone has `share` of it.
    """
    num_bins = up.shape[1] // 2
    rows = up.shape[0]
    lead = (num_sum - 1) * hop
    energy = np.empty(rows, np.float32)
    largest = np.float32(0.0)
    for t in range(tones.size):
        for i in range(rows):
            h = (tones[t] + shifts[i]) & (2 * num_bins - 1)
            energy[i] = up[i, h // 2 + num_bins * (h & 1)]
        for i in range(rows):
            total = np.float32(0.0)
            if i >= lead:
                for j in range(num_sum):
                    total += energy[i - j * hop]
            out[t, i] = total
            largest = max(largest, total)
    low, high = -1, -1
    for i in range(rows):
        best = np.float32(0.0)
        for k in range(max(i - hop // 2, 0), min(i + hop // 2 + 1, rows)):
            for t in range(tones.size):
                best = max(best, out[t, k])
        level[i] = best
        for t in range(tones.size):
            if out[t, i] >= share * largest:
                low = i if low < 0 else low
                high = i
    return largest, low, high


@numba.njit(**INLINE)
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
    num_sum,
    score,
    which,
    where,
):
    """For every two chips (cell) of hypothetical downchirp starts: the largest summed energy, its tone and quarter
    chip; from the energy is taken what the two downchirps differ from the mean of the `num_sum` upchirps by.

    up, down: half-bin energies of windows first_up …, first_down …, `hop` samples apart; ups[t, i]: summed energy of
    the upchirps that end with window i for tone t, at least `weakest` wanted; level[i]: what they count, the same for
    all starts nearby, so that the grid's loss, which differs from window to window, does not decide; upchirps in the
    place of the downchirps count against a start; tones: half bins of the upchirps seen from sample `tone_at`; starts
    are samples low … high - 1, in quarters; sync: half-bin shifts allowed, ``(2, n)``; inside: bonus for |cfo| <= N/4.
    """
    width = up.shape[1]
    num_bins = width // 2
    per_symbol = num_bins // hop
    pair = np.empty(score.size, np.float32)
    for cell in range(score.size):
        score[cell] = 0.0
    half = hop // 2
    for window in range((low + half) // hop, (high - 1 + half) // hop + 1):
        row, down_row = window - first_up, window - first_down
        if row < 3 * per_symbol or row >= up.shape[0] or down_row < 0 or down_row + per_symbol >= down.shape[0]:
            continue
        first, second = down[down_row], down[down_row + per_symbol]
        for t in range(tones.size):
            if ups[t, row - 3 * per_symbol] < weakest:
                continue
            # a window moved by one sample moves an upchirp's tone by one bin, a downchirp's by minus one: the tone seen
            # by the sync chirps' windows does not depend on the start
            common = level[row - 3 * per_symbol]
            for i in range(2):
                best = np.float32(0.0)
                for c in range(sync.shape[1]):
                    at = (tones[t] + 2 * (window * hop - tone_at) + sync[i, c]) & (width - 1)
                    best = max(best, up[row - (2 - i) * per_symbol, at // 2 + num_bins * (at & 1)])
                common += best
            # where upchirps go on there are no downchirps yet
            zero = (tones[t] + 2 * (window * hop - tone_at)) & (width - 1)
            for i in range(2):
                if row + i * per_symbol < up.shape[0]:
                    common -= up[row + i * per_symbol, zero // 2 + num_bins * (zero & 1)]
            for start in range(max(window * hop - half, low), min(window * hop - half + hop, high)):
                cell = (start - low) // 2
                cfo = tones[t] + 2 * (start - tone_at)
                wrapped = ((cfo + num_bins) & (width - 1)) - num_bins
                energy = common + inside if 2 * abs(wrapped) <= num_bins + 8 else common
                # start and window are samples, tones half bins: a quarter chip of the start moves a downchirp by one
                for quarter in range(4):
                    at = (cfo - 2 * (window * hop - start) + quarter) & (width - 1)
                    column = at // 2 + num_bins * (at & 1)
                    downs = first[column] + second[column]
                    total = energy + downs
                    if total > score[cell]:
                        score[cell] = total
                        pair[cell] = downs
                        which[cell] = t
                        where[cell] = 4 * start + quarter
    for cell in range(score.size):
        if score[cell] > 0.0:
            single = level_before(where[cell] // 4, level, first_up, hop, num_bins) / num_sum
            score[cell] = max(score[cell] - unequal(pair[cell], single), 1e-6)


@numba.njit(**INLINE)
def level_before(start, level, first_up, hop, num_bins):  # type: ignore[no-untyped-def]
    """What the upchirps before downchirps that begin at the whole sample `start` count."""
    row = (start + hop // 2) // hop - first_up - 3 * (num_bins // hop)
    return level[min(max(row, 0), level.size - 1)]


@numba.njit(**INLINE)
def unequal(pair, single):  # type: ignore[no-untyped-def]
    """What two symbols of energy `pair` together differ by from two of energy `single`: squared differences of
    amplitudes.
    """
    return 2.0 * (math.sqrt(0.5 * pair) - math.sqrt(single)) ** 2


@numba.njit(**INLINE)
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
        start[k] = begin
        cfo[k] = (offset + 0.5 * num_bins) % num_bins - 0.5 * num_bins
        ups[k] = level_before(math.floor(begin), level, first_up, hop, num_bins)
    return count + 2


@numba.njit(**JIT)
def grid_search(  # type: ignore[no-untyped-def]
    up, down, ups, level, weakest, first_up, first_down, hop, tones, tone_at, sync, low, high, inside, num_sum, most,
):  # fmt: skip
    """The `most` (and two) hypotheses of `joint_search`: their starts, carrier offsets and summed upchirp energies."""
    cells = (high - low + 1) // 2
    score, which, where = np.empty(cells, np.float32), np.empty(cells, np.int64), np.empty(cells, np.int64)
    joint_search(
        up, down, ups, level, weakest, first_up, first_down, hop, tones, tone_at, sync, low, high, inside,
        num_sum, score, which, where,
    )  # fmt: skip
    start, cfo, energy = np.empty(most + 2, np.float64), np.empty(most + 2, np.float64), np.empty(most + 2, np.float32)
    count = best_hypotheses(
        score, which, where, tones, tone_at, level, first_up, hop, up.shape[1] // 2, start, cfo, energy
    )
    return start[:count], cfo[:count], energy[:count]


@numba.njit(**JIT)
def judge_hypotheses(  # type: ignore[no-untyped-def]
    samples, start, cfo, ups, chirp, zoom_re, zoom_im, sync, inside, num_sum, kept, least, num_up, steps
):
    """The best `kept` by upchirps, sync word and downchirps in their own windows, each moved to the best of the tones
    `steps` away, upward and downward ones apart; none where none of them has `least` in sync word and downchirps.

    Rows: start, carrier offset, energy of upchirps and sync word, energy of the downchirps, what word and downchirps
    differ from the upchirps by.
    """
    energy = np.empty((start.size, 5, steps.size), np.float32)
    order, out = np.empty(kept, np.int64), np.empty((kept, 5), np.float64)
    windows = 0
    # twice: all by their last symbols, the best by `num_up` upchirps too
    for turn in range(2):
        hypothesis_energies(samples, start, cfo, chirp, zoom_re, zoom_im, sync, windows, energy)
        if turn == 0:
            if rank_hypotheses(energy, ups, num_sum, cfo, chirp.size, inside, order) < least:
                return out[:0]
            all_starts, all_offsets, windows = start, cfo, num_up
            start, cfo = np.empty(kept, np.float64), np.empty(kept, np.float64)
            for k in range(kept):
                start[k], cfo[k] = all_starts[order[k]], all_offsets[order[k]]
    for k in range(kept):
        for e in range(steps.size):
            energy[k, 0, e] += energy[k, 1, e]
        at, down_at = index_of_largest(energy[k, 0]), index_of_largest(energy[k, 2])
        out[k, 0] = start[k] + 0.5 * (steps[down_at] - steps[at])
        out[k, 1] = cfo[k] + 0.5 * (steps[down_at] + steps[at])
        out[k, 2] = energy[k, 0, at]
        out[k, 3] = energy[k, 2, down_at]
        word = energy[k, 1, at]
        single = (energy[k, 0, at] - word) / num_up
        out[k, 4] = unequal(word, single) + unequal(out[k, 3], single)
    return out


@numba.njit(**INLINE)
def rank_hypotheses(energy, ups, num_sum, cfo, num_bins, inside, order):  # type: ignore[no-untyped-def]
    """Order hypotheses by upchirps, best sync word and downchirps, bonus included, less what the latter differ by from
    the upchirps; return the best of the latter.
    """
    score = np.empty(ups.size, np.float32)
    largest = np.float32(0.0)
    for k in range(ups.size):
        word, down = energy[k, 1, index_of_largest(energy[k, 1])], energy[k, 2, index_of_largest(energy[k, 2])]
        largest = max(largest, word + down)
        rest = word + down - unequal(word, ups[k] / num_sum) - unequal(down, ups[k] / num_sum)
        score[k] = ups[k] + rest + (inside if abs(cfo[k]) <= 0.25 * num_bins + 2 else 0.0)
    for place in range(order.size):
        best = 0
        for k in range(ups.size):
            if score[k] > score[best]:
                best = k
        order[place] = best
        score[best] = -np.inf
    return largest


@numba.njit(**INLINE)
def hypothesis_energies(samples, starts, cfo, chirp, zoom_re, zoom_im, sync, num_up, out):  # type: ignore[no-untyped-def]
    """Energy, over each window's own, of a hypothetical preamble's symbols at tones near the expected ones.

    starts (fractional), cfo: one per hypothesis; chirp = conj(x_0); zoom_re + j zoom_im [e, n] = exp(-2 pi j eps_e n /
    N); sync (2, n): alternatives for each sync chirp, the best counts. out[h, 0 | 1 | 2, e]: upchirps, sync word,
    downchirps. Windows begin at whole samples; what is left of the start shows as a tone, and behind a chirp's fold as
    a phase, which is undone.
    """
    num_bins = chirp.size
    steps = zoom_re.shape[0]
    rotor_re, rotor_im = np.empty(num_bins, np.float32), np.empty(num_bins, np.float32)
    base_re, base_im = np.empty(num_bins, np.float32), np.empty(num_bins, np.float32)
    chirp_re, chirp_im = np.empty(num_bins, np.float32), np.empty(num_bins, np.float32)
    xr, xi = np.empty(num_bins, np.float32), np.empty(num_bins, np.float32)
    wr, wi = np.empty(num_bins, np.float32), np.empty(num_bins, np.float32)
    for n in range(num_bins):
        chirp_re[n], chirp_im[n] = chirp[n].real, chirp[n].imag
    for h in range(starts.size):
        whole = math.floor(starts[h] + 0.5)
        late = whole - starts[h]
        fold_re, fold_im = np.float32(math.cos(2 * math.pi * late)), np.float32(math.sin(2 * math.pi * late))
        for e in range(steps):
            out[h, 0, e] = out[h, 2, e] = 0.0
        for i in range(-num_up - 2, 2):
            is_sync = -2 <= i < 0
            first = whole + i * num_bins
            _read_window(samples, first, xr, xi)
            power = np.float32(0.0)
            for n in range(num_bins):
                power += xr[n] * xr[n] + xi[n] * xi[n]
            scale = np.float32(1.0) / power if power > 1e-36 else np.float32(0.0)
            for c in range(sync.shape[1] if is_sync else 1):
                s = sync[i + 2, c] if is_sync else 0
                if is_sync or i == -num_up - 2 or i == 0:
                    tone_rotor(cfo[h] + late + s if i < 0 else cfo[h] - late, rotor_re, rotor_im)
                    for n in range(num_bins - s, num_bins):
                        re = rotor_re[n]
                        rotor_re[n] = re * fold_re - rotor_im[n] * fold_im
                        rotor_im[n] = re * fold_im + rotor_im[n] * fold_re
                    sign = np.float32(1.0 if i < 0 else -1.0)
                    for n in range(num_bins):
                        base_re[n] = chirp_re[n] * rotor_re[n] - sign * chirp_im[n] * rotor_im[n]
                    for n in range(num_bins):
                        base_im[n] = chirp_re[n] * rotor_im[n] + sign * chirp_im[n] * rotor_re[n]
                for n in range(num_bins):
                    wr[n] = xr[n] * base_re[n] - xi[n] * base_im[n]
                for n in range(num_bins):
                    wi[n] = xr[n] * base_im[n] + xi[n] * base_re[n]
                for e in range(steps):
                    value = tone_energy(wr, wi, zoom_re[e], zoom_im[e]) * scale
                    if not is_sync:
                        out[h, 0 if i < 0 else 2, e] += value
                    elif c == 0 or value > out[h, 5 + i, e]:
                        out[h, 5 + i, e] = value
        for e in range(steps):
            out[h, 1, e] = out[h, 3, e] + out[h, 4, e]


@numba.njit(**INLINE)
def _read_window(samples, first, re, im):  # type: ignore[no-untyped-def]
    total = samples.size
    if first >= 0 and first + re.size <= total:
        window = samples[first : first + re.size]
        for n in range(re.size):
            re[n], im[n] = window[n].real, window[n].imag
    else:
        for n in range(re.size):
            m = first + n
            y = samples[m] if 0 <= m < total else np.complex64(0.0)
            re[n], im[n] = y.real, y.imag
