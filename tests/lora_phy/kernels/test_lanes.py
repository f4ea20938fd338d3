"""Unit: every lane operation against numpy on eight numbers, and the exactness of the emulated multiply-add."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
from numba import njit

from lora_phy.kernels import lanes as L


@njit
def _apply(a, b, c, out, words):
    x, y, z = L.load(a, 0), L.load(b, 0), L.load(c, 0)
    u, v = L.load(words, 0), L.load(words, 8)
    L.store(out, 0, x + y)
    L.store(out, 8, x - y)
    L.store(out, 16, x * y)
    L.store(out, 24, -x)
    L.store(out, 32, L.fma(x, y, z))
    L.store(out, 40, L.maximum(x, y))
    L.store(out, 48, L.minimum(x, y))
    L.store(out, 56, L.select(x > y, x, z))
    L.store(out, 64, L.sqrt(x * x))
    L.store(out, 72, L.splat(b[3]))
    L.store(out, 80, L.load_splat(c, 5))
    L.store(out, 88, L.signed_to_f32(u))
    L.store(words, 16, u + v)
    L.store(words, 24, u ^ v)
    L.store(words, 32, (u & v) | L.splat_u32(np.uint32(5)))
    L.store(words, 40, L.rotate_left(u, 7))
    L.store(words, 48, L.shift_left(u, 9))
    L.store(words, 56, L.shift_right(u, 9))
    L.store(words, 64, L.shift_right_signed(u, 9))
    L.store(words, 72, L.as_u32(x))
    L.store(words, 80, L.minimum(u, v))
    L.store(words, 88, L.set_lane(u, 2, np.uint32(77)))
    words[96] = L.mask_bits(x > y)
    words[97] = L.get_lane(u, 4)


@njit
def _transpose(a, out):
    columns = L.transpose(
        L.load(a, 0),
        L.load(a, 8),
        L.load(a, 16),
        L.load(a, 24),
        L.load(a, 32),
        L.load(a, 40),
        L.load(a, 48),
        L.load(a, 56),
    )
    for i in range(8):
        L.store(out, 8 * i, columns[i])


@njit
def _fma(a, b, c, out):
    for i in range(0, a.size, 8):
        L.store(out, i, L.fma(L.load(a, i), L.load(b, i), L.load(c, i)))


def test_operations_are_numpys():
    rng = np.random.default_rng(1)
    a, b, c = (rng.standard_normal(8).astype(np.float32) for _ in range(3))
    words = np.zeros(98, np.uint32)
    words[:16] = rng.integers(0, 2**32, 16, dtype=np.uint32)
    u, v = words[:8].copy(), words[8:16].copy()
    out = np.zeros(96, np.float32)
    _apply(a, b, c, out, words)
    exact_fma = (a.astype(np.float64) * b + c).astype(np.float32)
    expected = [
        a + b,
        a - b,
        a * b,
        -a,
        exact_fma,
        np.maximum(a, b),
        np.minimum(a, b),
        np.where(a > b, a, c),
        np.abs(a),
    ]
    expected += [np.full(8, b[3]), np.full(8, c[5]), u.view(np.int32).astype(np.float32)]
    np.testing.assert_array_equal(out.reshape(12, 8), expected)
    integers = [u + v, u ^ v, (u & v) | np.uint32(5), (u << np.uint32(7)) | (u >> np.uint32(25)), u << np.uint32(9)]
    changed = u.copy()
    changed[2] = 77
    integers += [
        u >> np.uint32(9),
        (u.view(np.int32) >> 9).view(np.uint32),
        a.view(np.uint32),
        np.minimum(u, v),
        changed,
    ]
    np.testing.assert_array_equal(words[16:96].reshape(10, 8), integers)
    assert words[96] == sum(1 << i for i in range(8) if a[i] > b[i])
    assert words[97] == u[4]


def test_transpose():
    a = np.arange(64, dtype=np.float32)
    out = np.empty(64, np.float32)
    _transpose(a, out)
    np.testing.assert_array_equal(out.reshape(8, 8), a.reshape(8, 8).T)


def test_aligned_empty_starts_on_a_cache_line():
    arrays = [L.aligned_empty(size, dtype) for size in (1, 24, 1000) for dtype in (np.float32, np.uint32)]
    assert all(array.ctypes.data % 64 == 0 for array in arrays)
    assert [array.size for array in arrays] == [1, 1, 24, 24, 1000, 1000]


def _hard_cases() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Products and sums whose rounding through double precision would go wrong, among random ones."""
    rng = np.random.default_rng(2)
    a = rng.standard_normal(4096).astype(np.float32)
    b = rng.standard_normal(4096).astype(np.float32)
    c = (rng.standard_normal(4096) * 10.0 ** rng.integers(-9, 9, 4096)).astype(np.float32)
    # 1 + 2^-24 is half way between floats; a term of 2^-60 must tip it although a double cannot hold the sum
    a[:4], b[:4] = np.float32(2.0**-30), np.float32([2.0**-30, -(2.0**-30), 2.0**-25, -(2.0**-25)])
    a[4:8], b[4:8] = np.float32(1 + 2.0**-12), np.float32([1 + 2.0**-12, -1 - 2.0**-12, 1 - 2.0**-12, 2.0**-40])
    c[:8] = np.float32([1 + 2.0**-23, 1 + 2.0**-23, 2.0**-31, 2.0**-31, 2.0**-36, 2.0**-36, 2.0**-60, 1.0])
    return a, b, c


def _nearest(value: Fraction) -> np.float32:
    """Round a rational to float32, ties to even."""
    if value == 0:
        return np.float32(0)
    near = np.float32(float(value))
    candidates = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    return min(candidates, key=lambda f: (abs(Fraction(float(f)) - value), int(f.view(np.uint32)) & 1))


def test_fma_is_rounded_once():
    a, b, c = _hard_cases()
    out = np.empty_like(a)
    _fma(a, b, c, out)
    exact = [
        _nearest(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))) for x, y, z in zip(a, b, c, strict=True)
    ]
    np.testing.assert_array_equal(out, np.array(exact))


_PLAIN = """
import sys
import numpy as np
sys.path.insert(0, {folder!r})
import test_lanes as t
from lora_phy.kernels import lanes
a, b, c = t._hard_cases()
out = np.empty_like(a)
t._fma(a, b, c, out)
assert lanes.PLAIN
sys.stdout.buffer.write(out.tobytes())
"""


def test_the_plain_path_emulates_fma_bit_by_bit():
    a, b, c = _hard_cases()
    out = np.empty_like(a)
    _fma(a, b, c, out)
    code = _PLAIN.format(folder=os.path.dirname(__file__))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "LORA_PHY_LANES": "plain"}, capture_output=True, check=True
    )
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.float32), out)
