"""Between rows in memory (one symbol after the other) and lanes (eight symbols side by side).

    row layout     symbol 0: re im re im …      lane layout   place n: eight re, eight im
                   symbol 1: re im re im …

Loading eight floats from each of eight rows and transposing the 8x8 block gives four complex lane vectors.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lora_phy.kernels.lanes import fma, load, load_splat, maximum, splat, sqrt, store, transpose


@njit
def _mix(re, im, table, at, samples, place):
    """Multiply by the conjugate of a table entry and store."""
    cr, ci = load_splat(table, at), load_splat(table, at + 1)
    store(samples, place, fma(re, cr, im * ci))
    store(samples, place + 8, fma(im, cr, -(re * ci)))


@njit
def gather(iq, start, row_len, num_samples, chirp, sign, samples):
    """Bring eight rows of interleaved IQ to lane layout and dechirp them; `sign` -1 conjugates the input first.

    Eight samples, a cache line, are taken from each row at a time: rows of 2**9 samples and more start in the same
    cache set, and a line would be gone before its second half is asked for.
    """
    flip = splat(np.float32(sign))
    for i in range(0, 2 * num_samples, 16):
        at = start + i
        to = 8 * i
        a0, b0 = load(iq, at), load(iq, at + 8)
        a1, b1 = load(iq, at + row_len), load(iq, at + row_len + 8)
        a2, b2 = load(iq, at + 2 * row_len), load(iq, at + 2 * row_len + 8)
        a3, b3 = load(iq, at + 3 * row_len), load(iq, at + 3 * row_len + 8)
        a4, b4 = load(iq, at + 4 * row_len), load(iq, at + 4 * row_len + 8)
        a5, b5 = load(iq, at + 5 * row_len), load(iq, at + 5 * row_len + 8)
        a6, b6 = load(iq, at + 6 * row_len), load(iq, at + 6 * row_len + 8)
        a7, b7 = load(iq, at + 7 * row_len), load(iq, at + 7 * row_len + 8)
        r0, i0, r1, i1, r2, i2, r3, i3 = transpose(a0, a1, a2, a3, a4, a5, a6, a7)
        _mix(r0, i0 * flip, chirp, i, samples, to)
        _mix(r1, i1 * flip, chirp, i + 2, samples, to + 16)
        _mix(r2, i2 * flip, chirp, i + 4, samples, to + 32)
        _mix(r3, i3 * flip, chirp, i + 6, samples, to + 48)
        r0, i0, r1, i1, r2, i2, r3, i3 = transpose(b0, b1, b2, b3, b4, b5, b6, b7)
        _mix(r0, i0 * flip, chirp, i + 8, samples, to + 64)
        _mix(r1, i1 * flip, chirp, i + 10, samples, to + 80)
        _mix(r2, i2 * flip, chirp, i + 12, samples, to + 96)
        _mix(r3, i3 * flip, chirp, i + 14, samples, to + 112)


@njit
def scatter_magnitudes(powers, num_bins, out, start):
    """Square roots of lane powers to eight rows of `num_bins` floats."""
    for k in range(0, num_bins, 8):
        columns = transpose(
            sqrt(load(powers, 8 * k)),
            sqrt(load(powers, 8 * k + 8)),
            sqrt(load(powers, 8 * k + 16)),
            sqrt(load(powers, 8 * k + 24)),
            sqrt(load(powers, 8 * k + 32)),
            sqrt(load(powers, 8 * k + 40)),
            sqrt(load(powers, 8 * k + 48)),
            sqrt(load(powers, 8 * k + 56)),
        )
        at = start + k
        store(out, at, columns[0])
        store(out, at + num_bins, columns[1])
        store(out, at + 2 * num_bins, columns[2])
        store(out, at + 3 * num_bins, columns[3])
        store(out, at + 4 * num_bins, columns[4])
        store(out, at + 5 * num_bins, columns[5])
        store(out, at + 6 * num_bins, columns[6])
        store(out, at + 7 * num_bins, columns[7])


@njit
def bit_metrics(powers, num_bins, order, num_bits, out, start):
    """Max-log metrics of eight symbols: largest magnitude with the bit set less largest with it clear.

    ``order[i]`` is the bin of label i. The most significant bit splits the labels in halves: their maxima give its
    metric; folding the halves on each other leaves the same problem with one bit fewer, in 3 N maxima for all bits.
    Lane l of bit b goes to ``out[start + l * num_bits + b]``. `powers` must have room for half as much again.
    """
    half = order.size // 2
    folded = 8 * num_bins  # behind the powers
    for bit in range(num_bits):
        clear, set_ = splat(np.float32(0)), splat(np.float32(0))
        for i in range(half):
            if bit == 0:
                a, b = load(powers, 8 * np.int64(order[i])), load(powers, 8 * np.int64(order[i + half]))
            else:
                a, b = load(powers, folded + 8 * i), load(powers, folded + 8 * (i + half))
            clear, set_ = maximum(clear, a), maximum(set_, b)
            store(powers, folded + 8 * i, maximum(a, b))
        difference = sqrt(set_) - sqrt(clear)
        store(powers, folded + 8 * half, difference)
        for lane in range(8):
            out[start + lane * num_bits + bit] = powers[folded + 8 * half + lane]
        half //= 2
