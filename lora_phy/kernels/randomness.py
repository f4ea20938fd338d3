r"""Random lanes: eight xoshiro128++ generators side by side, and complex Gaussians by Box and Muller.

    x, y, z  three draws of 32 bits          u = |x| / 2^31,   r = sqrt(-P ln u)
    w = r sign(x) exp(j pi/2 a),   a in [-1, 1)   from y for one sample, from z for another

The radius of two samples takes two draws; their two angles are the halves of the third, 16 bits each. The sign of x
turns the half circle that `a` covers into the full one. The polynomials are minimax fits with a relative error of
1e-6 (logarithm and sine) and 5e-8 (cosine); the largest radius is sqrt(31 ln 2) = 4.64, which is 6.6 standard
deviations of a component. The logarithm keeps its relative error up to u = 1, so small radii are right too.

Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47(4), 2021;
Box and Muller, "A note on the generation of random normal deviates", Ann. Math. Stat. 29(2), 1958.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import njit

from lora_phy.kernels.lanes import (
    CACHE,
    LANES,
    aligned_empty,
    as_f32,
    as_u32,
    fma,
    load,
    rotate_left,
    shift_left,
    shift_right_signed,
    signed_to_f32,
    splat,
    splat_u32,
    sqrt,
    store,
)

STATE_WORDS = 4 * LANES
GENERATOR = "xoshiro128++/8 box-muller/16"

# ln(1 + t) / t on [sqrt(1/2) - 1, sqrt(2) - 1], lowest power first
_LOG = (
    1.0000009536743164,
    -0.500011146068573,
    0.3331450819969177,
    -0.24909743666648865,
    0.2049632966518402,
    -0.18667854368686676,
    0.11896104365587234,
)
# sin(pi/2 a) / a and cos(pi/2 a) on [-1, 1], in powers of a^2
_SIN = (1.5707948207855225, -0.645920991897583, 0.07948765158653259, -0.004362469073385)
_COS = (0.9999999403953552, -1.2336982488632202, 0.2536507546901703, -0.020810628309845924, 0.0008581906440667808)
_L0, _L1, _L2, _L3, _L4, _L5, _L6 = (np.float32(c) for c in _LOG)
_S0, _S1, _S2, _S3 = (np.float32(c) for c in _SIN)
_C0, _C1, _C2, _C3, _C4 = (np.float32(c) for c in _COS)
_LN2 = np.float32(np.log(2.0))
_TURN = np.float32(2.0**-31)
_ONE = np.float32(1.0)
_SQRT_HALF_BITS = np.uint32(0x3F3504F3)
_EXPONENT_31 = np.uint32(31 << 23)
_EXPONENT_MASK = np.uint32(0xFF800000)
_SIGN = np.uint32(0x80000000)
_MAGNITUDE = np.uint32(0x7FFFFFFF)
_LOWEST = np.uint32(1)
_HALF_STEP = np.uint32(0x8000)


def new_state(seed: int | Sequence[int], *stream: int) -> npt.NDArray[np.uint32]:
    """Uint32 ``(32,)``: the state of eight generators for one stream, word w of lane l at ``8 * w + l``.

    Parameters
    ----------
    seed
        A non-negative integer, or several.
    stream
        Integers that tell the streams of a seed apart, a chunk's number for instance.

    Examples
    --------
    >>> bool((new_state(1, 0) == new_state(1, 0)).all()), bool((new_state(1, 0) == new_state(1, 1)).any())
    (True, False)
    """
    state = aligned_empty(STATE_WORDS, np.uint32)
    state[:] = np.random.SeedSequence(seed, spawn_key=stream).generate_state(STATE_WORDS)
    return state


@njit
def load_state(state):
    """The four state vectors from memory."""
    return load(state, 0), load(state, 8), load(state, 16), load(state, 24)


@njit
def store_state(state, s):
    """The four state vectors back to memory."""
    store(state, 0, s[0])
    store(state, 8, s[1])
    store(state, 16, s[2])
    store(state, 24, s[3])


@njit
def draw(s):
    """One step of xoshiro128++: the next state, and 32 random bits in each lane."""
    s0, s1, s2, s3 = s
    result = rotate_left(s0 + s3, 7) + s0
    t = shift_left(s1, 9)
    s2 = s2 ^ s0
    s3 = s3 ^ s1
    s1 = s1 ^ s2
    s0 = s0 ^ s3
    return (s0, s1, s2 ^ t, rotate_left(s3, 11)), result


@njit
def scaled_log(exponent, mantissa, factor):
    """``factor * ln(2^exponent * mantissa)`` for a mantissa in [sqrt(1/2), sqrt(2)).

    The factor goes into the coefficients: they do not change within a loop, so it costs nothing there.
    """
    t = mantissa - splat(_ONE)
    t2 = t * t
    low = fma(fma(splat(_L3) * factor, t, splat(_L2) * factor), t2, fma(splat(_L1) * factor, t, splat(_L0) * factor))
    high = fma(splat(_L6) * factor, t2, fma(splat(_L5) * factor, t, splat(_L4) * factor))
    return fma(exponent, splat(_LN2) * factor, fma(high, t2 * t2, low) * t)


@njit
def _radius(x, minus_power):
    """The signed radius ``sign(x) sqrt(-P ln u)``, u the magnitude of x as a signed number (made odd) over 2^31."""
    odd = x | splat_u32(_LOWEST)
    bits = as_u32(signed_to_f32(odd)) & splat_u32(_MAGNITUDE)
    shifted = bits - splat_u32(_SQRT_HALF_BITS + _EXPONENT_31)
    exponent = signed_to_f32(shift_right_signed(shifted, 23))
    mantissa = as_f32(bits - (shifted & splat_u32(_EXPONENT_MASK)) - splat_u32(_EXPONENT_31))
    return as_f32(as_u32(sqrt(scaled_log(exponent, mantissa, minus_power))) ^ (x & splat_u32(_SIGN)))


@njit
def _unit(angle):
    """``cos(pi/2 a), sin(pi/2 a)`` for a = angle / 2^31, angle read as a signed number."""
    a = signed_to_f32(angle) * splat(_TURN)
    q = a * a
    q2 = q * q
    c = fma(fma(splat(_C4), q2, fma(splat(_C3), q, splat(_C2))), q2, fma(splat(_C1), q, splat(_C0)))
    s = fma(fma(splat(_S3), q, splat(_S2)), q2, fma(splat(_S1), q, splat(_S0)))
    return c, s * a


@njit
def gaussian_pair(s, minus_power):
    """Two vectors of complex Gaussians of mean power P: ``state, re0, im0, re1, im1``; `minus_power` is -P in lanes."""
    s, x = draw(s)
    s, y = draw(s)
    s, z = draw(s)
    r0, r1 = _radius(x, minus_power), _radius(y, minus_power)
    c0, s0 = _unit(z)
    c1, s1 = _unit(shift_left(z, 16) | splat_u32(_HALF_STEP))
    return s, r0 * c0, r0 * s0, r1 * c1, r1 * s1


@njit(cache=CACHE, nogil=True)
def fill_gaussians(state, power, out):
    """Fill float32 `out` ``(16 * n,)`` with complex Gaussians in lane order: eight real parts, eight imaginary parts.

    n must be even: they come in pairs of vectors.
    """
    s = load_state(state)
    minus_power = splat(np.float32(-power))
    for i in range(0, out.size, 4 * LANES):
        s, re0, im0, re1, im1 = gaussian_pair(s, minus_power)
        store(out, i, re0)
        store(out, i + 8, im0)
        store(out, i + 16, re1)
        store(out, i + 24, im1)
    store_state(state, s)


@njit(cache=CACHE, nogil=True)
def fill_uniform_bits(state, out):
    """Fill uint32 `out` ``(8 * n,)`` with random bits, lane l of draw i at ``8 * i + l``."""
    s = load_state(state)
    for i in range(0, out.size, LANES):
        s, x = draw(s)
        store(out, i, x)
    store_state(state, s)
