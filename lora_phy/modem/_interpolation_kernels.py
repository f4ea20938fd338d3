"""Private numba kernels of the corrector: carrier, fractional time."""

from __future__ import annotations

import math

import numba
import numpy as np

from lora_phy.kernels.cache import CAN_KEEP
from lora_phy.kernels.lanes import LANES, load, splat, store
from lora_phy.modem._tone_kernels import JIT

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
def part_means(samples, means, powers):  # type: ignore[no-untyped-def]
    """Mean and mean power of equal parts of the samples, as many as there are places; a remainder is left out."""
    size = samples.size // means.size
    for part in range(means.size):
        re = im = power = np.float32(0.0)
        for n in range(part * size, (part + 1) * size):
            y = samples[n]
            re += y.real
            im += y.imag
            power += y.real * y.real + y.imag * y.imag
        means[part] = complex(re, im) / size
        powers[part] = power / size


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
    taps = np.zeros(2 * half_width, np.float32)
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
