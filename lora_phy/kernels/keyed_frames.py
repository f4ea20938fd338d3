r"""Frames side by side, each with a generator of its own: lane l of group g is frame 8 g + l, symbol by symbol.

A frame's noise is drawn relative to the symbol that is sent. After dechirp and FFT the bins of a synchronised chirp in
white noise are independent and alike, so their labels may be counted from the sent one:

    received label = sent label XOR d,    d = argmax over labels of  |sqrt(g) h + n_0|^2, |n_1|^2, |n_2|^2, …

Exact in distribution, and two frames of one key and length meet the same error pattern, whatever their bytes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lora_phy.kernels.coding import remainder
from lora_phy.kernels.lanes import CACHE, fma, load, select, splat, splat_u32, store
from lora_phy.kernels.layout import bit_metrics
from lora_phy.kernels.randomness import draw, gaussian_pair, load_state, store_state
from lora_phy.kernels.shortcuts import exponential

OK, BAD_CRC, OTHER_HEADER = 0, 1, 2
"""Verdicts of `open_frames`."""


@njit
def _strongest_wrong(s, num_labels):
    """The next state, the least of the random bits of labels 1 …, and its label."""
    low, at = splat_u32(np.uint32(0xFFFFFFFF)), splat_u32(np.uint32(1))
    label, one = at, at
    for _ in range(1, num_labels):
        s, x = draw(s)
        below = low > x
        low, at = select(below, x, low), select(below, label, at)
        label = label + one
    return s, low, at


@njit
def _right(amplitude, gains, at, re, im):
    re, im = fma(amplitude, load(gains, at), re), fma(amplitude, load(gains, at + 8), im)
    return fma(re, re, im * im)


@njit(cache=CACHE, nogil=True)
def draw_labels(states, gains, amplitude, stops, num_labels, labels):
    """Errors of hard decisions: `labels` ``(num_symbols, 8 * groups)``, the first stops[g] rows of each group.

    `states` ``(groups, 32)``, `gains` ``(groups, 16)`` eight real and eight imaginary parts. Symbols go in twos.
    """
    a, minus_one, zero = splat(np.float32(amplitude)), splat(np.float32(-1)), splat_u32(np.uint32(0))
    for g in range(stops.size):
        state, gain = states[g], gains[g]
        s = load_state(state)
        for i in range(0, stops[g], 2):
            s, re0, im0, re1, im1 = gaussian_pair(s, minus_one)
            s, low, at = _strongest_wrong(s, num_labels)
            wrong = exponential(low) > _right(a, gain, 0, re0, im0)
            store(labels[i], 8 * g, select(wrong, at, zero))
            s, low, at = _strongest_wrong(s, num_labels)
            wrong = exponential(low) > _right(a, gain, 0, re1, im1)
            if i + 1 < stops[g]:
                store(labels[i + 1], 8 * g, select(wrong, at, zero))
        store_state(state, s)


@njit(cache=CACHE, nogil=True)
def draw_metrics(states, gains, amplitude, stops, num_bits, order, powers, labels, metrics):
    """As `draw_labels` on the same draws, and the bit metrics ``(num_symbols, 8 * groups, num_bits)`` of d.

    `order` is 0, 1, 2 … (labels already count from the sent one); `powers` work space of 12 * 2**num_bits + 8.
    """
    a, minus_one, zero = splat(np.float32(amplitude)), splat(np.float32(-1)), splat_u32(np.uint32(0))
    width, num_labels = metrics.shape[1], 1 << num_bits
    flat = metrics.reshape(-1)
    one = splat_u32(np.uint32(1))
    for g in range(stops.size):
        state, gain = states[g], gains[g]
        s = load_state(state)
        for i in range(0, stops[g], 2):
            s, re0, im0, re1, im1 = gaussian_pair(s, minus_one)
            for half in range(2):
                re, im = (re0, im0) if half == 0 else (re1, im1)
                right = _right(a, gain, 0, re, im)
                store(powers, 0, right)
                low, at = splat_u32(np.uint32(0xFFFFFFFF)), one
                label = one
                for k in range(1, num_labels):
                    s, x = draw(s)
                    store(powers, 8 * k, exponential(x))
                    below = low > x
                    low, at = select(below, x, low), select(below, label, at)
                    label = label + one
                if i + half < stops[g]:
                    store(labels[i + half], 8 * g, select(exponential(low) > right, at, zero))
                    bit_metrics(powers, num_labels, order, num_bits, flat, ((i + half) * width + 8 * g) * num_bits)
        store_state(state, s)


@njit(cache=CACHE, nogil=True)
def turn_metrics(metrics, labels):
    """Metrics of d to metrics of the received label: those of bits that are set in the sent one change sign."""
    num_bits = metrics.shape[2]
    for i in range(metrics.shape[0]):
        for f in range(metrics.shape[1]):
            label = labels[i, f]
            for j in range(num_bits):
                if (label >> np.uint32(num_bits - 1 - j)) & np.uint32(1):
                    metrics[i, f, j] = -metrics[i, f, j]


@njit(cache=CACHE, nogil=True)
def close_frames(payloads, lengths, headers, has_crc, whitening, crc_table, nibbles):
    """Nibbles of frames of unequal lengths: header, whitened payload, CRC; `nibbles` ``(frames, …)`` zero beyond."""
    header_len = headers.shape[1]
    for f in range(lengths.size):
        at = header_len
        for i in range(header_len, nibbles.shape[1]):
            nibbles[f, i] = 0
        for i in range(header_len):
            nibbles[f, i] = headers[lengths[f], i]
        for i in range(lengths[f]):
            byte = payloads[f, i] ^ whitening[i]
            nibbles[f, at] = byte & 15
            nibbles[f, at + 1] = byte >> 4
            at += 2
        if has_crc:
            check = remainder(payloads[f], lengths[f], crc_table)
            for i in range(4):
                nibbles[f, at + i] = (check >> np.uint32(4 * i)) & np.uint32(15)


@njit(cache=CACHE, nogil=True)
def open_frames(received, sent, lengths, header_len, has_crc, whitening, crc_table, payloads, verdicts):
    """Payloads ``(frames, …)`` and verdicts of received nibbles; a header other than the sent one is left to others."""
    for f in range(lengths.size):
        verdicts[f] = OK
        for i in range(header_len):
            if received[f, i] != sent[f, i]:
                verdicts[f] = OTHER_HEADER
        at = header_len
        for i in range(lengths[f]):
            payloads[f, i] = (received[f, at] | (received[f, at + 1] << 4)) ^ whitening[i]
            at += 2
        if has_crc and verdicts[f] == OK:
            check = remainder(payloads[f], lengths[f], crc_table)
            for i in range(4):
                if received[f, at + i] != (check >> np.uint32(4 * i)) & np.uint32(15):
                    verdicts[f] = BAD_CRC
