"""Private numba kernels of the corrector: carrier, fractional time."""

from __future__ import annotations

import math

import numba
import numpy as np

from lora_phy.kernels.cache import CAN_KEEP
from lora_phy.kernels.lanes import LANES, load, splat, store
from lora_phy.modem._tone_kernels import JIT, sort_in_place

_BLOCK = 64


@numba.njit(cache=CAN_KEEP, nogil=True)
def mix(samples, first, cycles, phase, out):  # type: ignore[no-untyped-def]
    """out[n] = samples[first + n] exp(2 pi j (phase + cycles n)), zero outside the array."""
    total = samples.size
    step = complex(math.cos(2 * math.pi * cycles), math.sin(2 * math.pi * cycles))
    rotor = np.empty(_BLOCK, np.complex64)
    turn = complex(1.0, 0.0)
    for n in range(_BLOCK):
        rotor[n] = turn
        turn *= step
    for start in range(0, out.size, _BLOCK):
        angle = 2 * math.pi * ((phase + cycles * start) % 1.0)
        base = np.complex64(complex(math.cos(angle), math.sin(angle)))
        stop = min(start + _BLOCK, out.size)
        if first + start >= 0 and first + stop <= total:
            for n in range(start, stop):
                out[n] = samples[first + n] * (rotor[n - start] * base)
        else:
            for n in range(start, stop):
                m = first + n
                out[n] = samples[m] * (rotor[n - start] * base) if 0 <= m < total else np.complex64(0.0)


@numba.njit(**JIT)
def constants(blocks, evidence, work, lanes, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the constant of each block, or with 0 where that is not evident.

    Parameters
    ----------
    blocks
        ``(num_blocks, 2 block)`` float32, complex values as pairs.
    evidence
        Energy of a constant over that of noise of the block's power, from which on it is believed.
    work, lanes
        Work space: ``(3, parts)``, and sixteen numbers, float32. A block's constant and power are the upper medians
        over its equal parts; a remainder is left out.
    """
    count, pairs = blocks.shape
    num_parts = work.shape[1]
    size = pairs // (2 * num_parts)
    whole = 2 * size // (2 * LANES) * (2 * LANES)
    for i in range(count):
        row = blocks[i]
        for part in range(num_parts):
            first = 2 * part * size
            a = b = p = q = splat(np.float32(0.0))
            for at in range(first, first + whole, 2 * LANES):
                x, y = load(row, at), load(row, at + LANES)
                a, b = a + x, b + y
                p, q = p + x * x, q + y * y
            store(lanes, 0, a + b)
            store(lanes, LANES, p + q)
            re = im = power = np.float32(0.0)
            for n in range(0, LANES, 2):
                re += lanes[n]
                im += lanes[n + 1]
                power += lanes[LANES + n] + lanes[LANES + n + 1]
            for n in range(first + whole, first + 2 * size, 2):
                re += row[n]
                im += row[n + 1]
                power += row[n] * row[n] + row[n + 1] * row[n + 1]
            work[0, part], work[1, part], work[2, part] = re / size, im / size, power / size
        for k in range(3):
            sort_in_place(work[k])
        re, im, power = work[0, num_parts // 2], work[1, num_parts // 2], work[2, num_parts // 2]
        believed = (re * re + im * im) * (pairs // 2) > evidence * power
        out[i] = complex(re, im) if believed else complex(0.0, 0.0)


@numba.njit(cache=CAN_KEEP, nogil=True)
def all_within(values, limit):  # type: ignore[no-untyped-def]
    """Whether all of a vector are numbers from -limit to limit."""
    beyond = np.uint32(0)
    for i in range(values.size):
        beyond |= np.uint32(not abs(values[i]) <= limit)
    return beyond == 0


@numba.njit(**JIT)
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


@numba.njit(**JIT)
def interpolate(samples, fraction, half_width, out):  # type: ignore[no-untyped-def]
    """out[n] = sum_k samples[n + half_width - 1 + k] sinc(fraction - k), k = 1 - half_width … half_width.

    Complex values as pairs of float32; fraction in [0, 1).
    """
    taps = np.empty(2 * half_width, np.float32)
    scale = math.sin(math.pi * fraction) / math.pi
    for i in range(2 * half_width):
        t = fraction - (i + 1 - half_width)
        if abs(t) < 1e-9:
            taps[i] = 1.0
        else:
            taps[i] = scale / t if (i + 1 - half_width) % 2 == 0 else -scale / t
    whole = out.size // (4 * LANES) * (4 * LANES)
    for start in range(0, whole, 4 * LANES):
        a = b = c = d = splat(np.float32(0.0))
        for i in range(2 * half_width):
            tap, at = splat(taps[i]), start + 2 * i
            a = a + tap * load(samples, at)
            b = b + tap * load(samples, at + LANES)
            c = c + tap * load(samples, at + 2 * LANES)
            d = d + tap * load(samples, at + 3 * LANES)
        store(out, start, a)
        store(out, start + LANES, b)
        store(out, start + 2 * LANES, c)
        store(out, start + 3 * LANES, d)
    for k in range(whole, out.size):
        total = np.float32(0.0)
        for i in range(2 * half_width):
            total += taps[i] * samples[k + 2 * i]
        out[k] = total


@numba.njit(**JIT)
def decimate(samples, first, step, taps, out):  # type: ignore[no-untyped-def]
    """out[m] = sum_k taps[k] samples[first + m step + k], zero outside; as many taps as a multiple of 4 step."""
    total, num, reach = samples.size, out.size, taps.size // step
    re, im = np.empty(num + reach, np.float32), np.empty(num + reach, np.float32)
    sum_re, sum_im = np.zeros(num, np.float32), np.zeros(num, np.float32)
    for phase in range(step):
        begin = first + phase
        low = min(max(-(begin // step), 0), num + reach)
        high = max(min((total - 1 - begin) // step + 1, num + reach), low)
        re[:low], im[:low], re[high:], im[high:] = 0.0, 0.0, 0.0, 0.0
        for i in range(low, high):
            re[i], im[i] = samples[begin + i * step].real, samples[begin + i * step].imag
        # four taps at a time over a stretch that the first cache holds
        for low in range(0, num, 512):
            size = min(512, num - low)
            a, b = sum_re[low : low + size], sum_im[low : low + size]
            for j in range(0, reach, 4):
                x, y = re[low + j : low + j + size + 3], im[low + j : low + j + size + 3]
                at = j * step + phase
                h0, h1, h2, h3 = taps[at], taps[at + step], taps[at + 2 * step], taps[at + 3 * step]
                if h0 == 0.0 and h1 == 0.0 and h2 == 0.0 and h3 == 0.0:  # of a half-band filter half of all
                    continue
                for m in range(size):
                    a[m] += (h0 * x[m] + h1 * x[m + 1]) + (h2 * x[m + 2] + h3 * x[m + 3])
                for m in range(size):
                    b[m] += (h0 * y[m] + h1 * y[m + 1]) + (h2 * y[m + 2] + h3 * y[m + 3])
    for m in range(num):
        out[m] = complex(sum_re[m], sum_im[m])
