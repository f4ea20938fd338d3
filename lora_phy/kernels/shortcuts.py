r"""The bins of a synchronised chirp without its waveform: exact in distribution for AWGN and flat fading.

After dechirp and FFT the M bins are independent complex Gaussians of power 1, and the right one has the mean sqrt(g) h:

    energy of a wrong bin   E = -ln u                      the largest of them: -ln min u
    energy of the right bin |sqrt(g) h + n|^2

`bins_decide` draws every bin, `order_decide` the largest wrong one by inverting its distribution, which is
(1 - exp(-E))^(M-1) = v. Both are wrong where the largest wrong bin wins; a wrong decision is uniform over the others.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from lora_phy.kernels.lanes import (
    CACHE,
    as_f32,
    as_u32,
    fma,
    load,
    mask_bits,
    minimum,
    select,
    shift_right,
    shift_right_signed,
    signed_to_f32,
    splat,
    splat_u32,
    store,
)
from lora_phy.kernels.layout import bit_metrics, scatter_magnitudes
from lora_phy.kernels.randomness import draw, gaussian_pair, load_state, scaled_log, store_state


@njit
def exponential(bits):
    """``-ln((bits + 1/2) / 2^32)``: an exponential variate of mean 1 from 32 random bits, rounded once."""
    high, low = signed_to_f32(shift_right(bits, 8)), signed_to_f32(bits & splat_u32(np.uint32(255)))
    value = as_u32(fma(high, splat(np.float32(256)), low + splat(np.float32(0.5))))
    shifted = value - splat_u32(np.uint32(0x3F3504F3 + (32 << 23)))
    exponent = signed_to_f32(shift_right_signed(shifted, 23))
    mantissa = as_f32(value - (shifted & splat_u32(np.uint32(0xFF800000))) - splat_u32(np.uint32(32 << 23)))
    return scaled_log(exponent, mantissa, splat(np.float32(-1)))


@njit
def _right_bin(amplitude, gains, at, re, im):
    """|sqrt(g) h + n|^2 in lanes."""
    re, im = fma(amplitude, load(gains, at), re), fma(amplitude, load(gains, at + 8), im)
    return fma(re, re, im * im)


@njit(cache=CACHE, nogil=True)
def bins_decide(state, amplitude, gains, gain_stride, num_wrong, errors):
    """Uint32 `errors` ``(16 * n,)``: 1 where the largest of `num_wrong` wrong bins beats the right one."""
    s = load_state(state)
    a, minus_one = splat(np.float32(amplitude)), splat(np.float32(-1))
    one, zero = splat_u32(np.uint32(1)), splat_u32(np.uint32(0))
    for g in range(0, errors.size // 8, 2):
        s, re0, im0, re1, im1 = gaussian_pair(s, minus_one)
        low0 = low1 = splat_u32(np.uint32(0xFFFFFFFF))
        for _ in range(num_wrong):
            s, x = draw(s)
            low0 = minimum(low0, x)
            s, x = draw(s)
            low1 = minimum(low1, x)
        wrong0 = exponential(low0) > _right_bin(a, gains, gain_stride * g, re0, im0)
        wrong1 = exponential(low1) > _right_bin(a, gains, gain_stride * (g + 1), re1, im1)
        store(errors, 8 * g, select(wrong0, one, zero))
        store(errors, 8 * g + 8, select(wrong1, one, zero))
    store_state(state, s)


@njit(cache=CACHE, nogil=True)
def order_decide(state, amplitude, gains, gain_stride, num_wrong, errors):
    """As `bins_decide`, at a constant cost per symbol."""
    s = load_state(state)
    a, minus_one = splat(np.float32(amplitude)), splat(np.float32(-1))
    right, bits = np.empty(16, np.float32), np.empty(16, np.uint32)
    for g in range(0, errors.size // 8, 2):
        s, re0, im0, re1, im1 = gaussian_pair(s, minus_one)
        store(right, 0, _right_bin(a, gains, gain_stride * g, re0, im0))
        store(right, 8, _right_bin(a, gains, gain_stride * (g + 1), re1, im1))
        s, x = draw(s)
        store(bits, 0, x)
        s, x = draw(s)
        store(bits, 8, x)
        for i in range(16):
            v = math.log1p(-(bits[i] + 0.5) * 2.0**-32)  # ln of a uniform number
            largest = -math.log(-math.expm1(v / num_wrong))
            errors[8 * g + i] = largest > right[i]
    store_state(state, s)


@njit(cache=CACHE, nogil=True)
def bins_soft(state, symbols, amplitude, gains, gain_stride, num_bins, powers, order, num_bits, out):
    """Soft outputs from drawn bins, as `link_soft` gives them from a waveform; a multiple of sixteen symbols."""
    s = load_state(state)
    a, minus_one = splat(np.float32(amplitude)), splat(np.float32(-1))
    right = np.empty(16, np.float32)
    for g in range(0, symbols.size // 8, 2):
        s, re0, im0, re1, im1 = gaussian_pair(s, minus_one)
        store(right, 0, _right_bin(a, gains, gain_stride * g, re0, im0))
        store(right, 8, _right_bin(a, gains, gain_stride * (g + 1), re1, im1))
        for half in range(2):
            for k in range(num_bins):
                s, x = draw(s)
                store(powers, 8 * k, exponential(x))
            first = 8 * (g + half)
            for lane in range(8):
                powers[8 * np.int64(symbols[first + lane]) + lane] = right[8 * half + lane]
            if num_bits == 0:
                scatter_magnitudes(powers, num_bins, out, first * num_bins)
            else:
                bit_metrics(powers, num_bins, order, num_bits, out, first * num_bits)
    store_state(state, s)


@njit(cache=CACHE, nogil=True)
def wrong_decisions(state, errors, symbols, num_bins, step, decisions):
    """Decisions from error flags: the symbol, or one of the other legal bins, which lie `step` apart, uniformly."""
    s = load_state(state)
    others = np.uint64(num_bins // step - 1)
    bits = np.empty(8, np.uint32)
    for g in range(0, errors.size, 8):
        if mask_bits(load(errors, g) == splat_u32(np.uint32(0))) == 255:
            for i in range(g, g + 8):
                decisions[i] = symbols[i]
            continue
        s, x = draw(s)
        store(bits, 0, x)
        for i in range(8):
            move = np.uint64(0)
            if errors[g + i]:
                move = np.uint64(step) * (np.uint64(1) + ((np.uint64(bits[i]) * others) >> np.uint64(32)))
            decisions[g + i] = (np.uint64(symbols[g + i]) + move) & np.uint64(num_bins - 1)
    store_state(state, s)
