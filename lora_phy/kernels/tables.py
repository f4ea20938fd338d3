r"""Tables and buffers of the kernels, and the factors that make a received chirp.

    x_m[n] = x_0[n] w^(m n),   w = exp(2 pi j / N),   n = j + a N/R:   w^(f n) = w^(f j) (w^(f N/R))^a = B(j) A(a)

A frequency offset of c bins makes f = m + c, a channel gain h multiplies B(0): so both are free. The chirp itself is
exact: its phase n (n - N) pi / N is reduced as an integer before the cosine.
"""

from __future__ import annotations

import functools
import threading
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from lora_phy.kernels.lanes import LANES, aligned_empty, fma, load, set_lane, splat, store
from lora_phy.kernels.plans import PLANS, SCRATCH_FLOATS

Floats = npt.NDArray[np.float32]


_LOCAL = threading.local()


class Tables(NamedTuple):
    """Constant arrays of one spreading factor, all float32, complex values as pairs."""

    chirp: Floats
    """Upchirp of value 0 in the order of the first pass: sample j + a * N/R1 at place j * R1 + a."""
    roots: Floats
    """exp(2 pi j i / N)."""
    twiddles1: Floats
    """exp(-2 pi j i p / N), p = 1 … R1 - 1, of the first pass."""
    twiddles2: Floats
    """The same for the middle pass, whose length is N / R1; empty where there is none."""


class Buffers(NamedTuple):
    """Work space of one thread."""

    scratch: Floats
    work: Floats
    samples: Floats


def _pairs(values: npt.NDArray[np.complex128]) -> Floats:
    flat = np.ascontiguousarray(values).reshape(-1)
    out = aligned_empty(2 * flat.size)
    out[0::2], out[1::2] = flat.real, flat.imag
    return out


def _twiddles(n: int, radix: int) -> Floats:
    j, p = np.arange(n // radix)[:, None], np.arange(1, radix)[None, :]
    return _pairs(np.exp(-2j * np.pi * ((j * p) % n) / n))


def base_chirp(sf: int) -> npt.NDArray[np.complex128]:
    """Complex128 ``(2**sf,)``: the upchirp of value 0 at one sample a chip, exp(j pi n (n - N) / N)."""
    n = 1 << sf
    i = np.arange(n, dtype=np.int64)
    return np.asarray(np.exp(1j * np.pi * ((i * (i - n)) % (2 * n)) / n))


@functools.cache
def tables(sf: int) -> Tables:
    """The tables of a spreading factor, made once a process and read-only."""
    n, plan = 1 << sf, PLANS[sf]
    result = Tables(
        chirp=_pairs(base_chirp(sf).reshape(plan[0], n // plan[0]).T),
        roots=_pairs(np.exp(2j * np.pi * np.arange(n) / n)),
        twiddles1=_twiddles(n, plan[0]),
        twiddles2=_twiddles(n // plan[0], plan[1]) if len(plan) == 3 else aligned_empty(0),
    )
    for array in result:
        array.flags.writeable = True  # numba compiles read-only arrays as another type; nobody writes these
    return result


def buffers(sf: int) -> Buffers:
    """Work space of this thread at a spreading factor: about 128 * 2**sf bytes, whatever the number of symbols.

    Kept for the thread's life: fresh memory costs a page fault every 4 KiB, which at SF12 is as long as the transform.
    """
    known: dict[int, Buffers] | None = getattr(_LOCAL, "buffers", None)
    if known is None:
        known = _LOCAL.buffers = {}
    if sf not in known:
        n, first = 1 << sf, PLANS[sf][0]
        work = aligned_empty(2 * LANES * (n + first))
        known[sf] = Buffers(aligned_empty(SCRATCH_FLOATS), work, aligned_empty(2 * LANES * n))
    return known[sf]


def offset_factors(sf: int, cfo_bins: float) -> Floats:
    """Float32 ``(4,)``: what an offset of `cfo_bins` multiplies to the step of B and to the step of A."""
    n, first = 1 << sf, PLANS[sf][0]
    return _pairs(np.exp(2j * np.pi * np.array([cfo_bins / n, (cfo_bins / first) % 1.0])))


@njit
def _root(roots, index):
    """The roots exp(2 pi j i / N) for eight indices in memory-order lanes."""
    re = im = splat(np.float32(0))
    for lane in range(8):
        re = set_lane(re, lane, roots[2 * index[lane]])
        im = set_lane(im, lane, roots[2 * index[lane] + 1])
    return re, im


@njit
def _multiply(ar, ai, br, bi):
    return fma(ar, br, -(ai * bi)), fma(ar, bi, ai * br)


@njit
def channel_factors(symbols, at, gains, gain_at, offset, roots, mask, radix, scratch):
    """B(0) and the step of B for eight symbols; A(a) goes to `scratch`."""
    i0, i1, i2, i3 = symbols[at], symbols[at + 1], symbols[at + 2], symbols[at + 3]
    i4, i5, i6, i7 = symbols[at + 4], symbols[at + 5], symbols[at + 6], symbols[at + 7]
    index = (i0, i1, i2, i3, i4, i5, i6, i7)
    ur, ui = _root(roots, index)
    stride = (mask + 1) // radix
    vr = vi = splat(np.float32(0))
    for lane in range(8):
        k = (np.int64(index[lane]) * stride) & mask
        vr = set_lane(vr, lane, roots[2 * k])
        vi = set_lane(vi, lane, roots[2 * k + 1])
    ur, ui = _multiply(ur, ui, splat(offset[0]), splat(offset[1]))
    vr, vi = _multiply(vr, vi, splat(offset[2]), splat(offset[3]))
    ar, ai = splat(np.float32(1)), splat(np.float32(0))
    for a in range(radix):
        store(scratch, 16 * a, ar)
        store(scratch, 16 * a + 8, ai)
        ar, ai = _multiply(ar, ai, vr, vi)
    return load(gains, gain_at), load(gains, gain_at + 8), ur, ui
