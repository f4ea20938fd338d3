# ruff: noqa
# fmt: off
# mypy: ignore-errors
"""Straight-line transforms of 4, 8 and 16 points on lanes. Written by `generate_codelets.py`; do not edit.

A complex vector is sixteen floats: the real parts of eight symbols, then their imaginary parts.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from lora_phy.kernels.lanes import fma, load, load_splat, mask_bits, maximum, select, splat, splat_u32, store
from lora_phy.kernels.randomness import gaussian_pair

_H = np.float32(math.sqrt(0.5))
_C1 = np.float32(math.cos(math.pi / 8))
_S1 = np.float32(math.sin(math.pi / 8))


@njit
def pass_4(src, src_base, src_stride, dst, dst_base, dst_stride, count, twiddles):
    """`count` butterflies of 4: inputs `src_stride` apart, output p times w(j, p) to row p."""
    for j in range(count):
        s = 16 * (src_base + j)
        d = 16 * (dst_base + j)
        k = 6 * j
        t1 = load(src, s)
        t2 = load(src, s + 8)
        t3 = load(src, s + 16 * 1 * src_stride)
        t4 = load(src, s + 16 * 1 * src_stride + 8)
        t5 = load(src, s + 16 * 2 * src_stride)
        t6 = load(src, s + 16 * 2 * src_stride + 8)
        t7 = load(src, s + 16 * 3 * src_stride)
        t8 = load(src, s + 16 * 3 * src_stride + 8)
        t9 = t1 + t5
        t10 = t2 + t6
        t11 = t1 - t5
        t12 = t2 - t6
        t13 = t3 + t7
        t14 = t4 + t8
        t15 = t3 - t7
        t16 = t4 - t8
        t17 = t11 + t16
        t18 = t12 - t15
        t19 = t11 - t16
        t20 = t12 + t15
        t21 = t9 + t13
        t22 = t10 + t14
        t23 = t9 - t13
        t24 = t10 - t14
        store(dst, d, t21)
        store(dst, d + 8, t22)
        wr = load_splat(twiddles, k + 0)
        wi = load_splat(twiddles, k + 1)
        t25 = fma(t17, wr, -(t18 * wi))
        t26 = fma(t17, wi, t18 * wr)
        store(dst, d + 16 * 1 * dst_stride, t25)
        store(dst, d + 16 * 1 * dst_stride + 8, t26)
        wr = load_splat(twiddles, k + 2)
        wi = load_splat(twiddles, k + 3)
        t27 = fma(t23, wr, -(t24 * wi))
        t28 = fma(t23, wi, t24 * wr)
        store(dst, d + 16 * 2 * dst_stride, t27)
        store(dst, d + 16 * 2 * dst_stride + 8, t28)
        wr = load_splat(twiddles, k + 4)
        wi = load_splat(twiddles, k + 5)
        t29 = fma(t19, wr, -(t20 * wi))
        t30 = fma(t19, wi, t20 * wr)
        store(dst, d + 16 * 3 * dst_stride, t29)
        store(dst, d + 16 * 3 * dst_stride + 8, t30)


@njit
def noise_4(rng, minus_power, scratch):
    """4 vectors of complex noise into `scratch`; returns the generators' state."""
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 256, re0)
    store(scratch, 264, im0)
    store(scratch, 272, re1)
    store(scratch, 280, im1)
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 288, re0)
    store(scratch, 296, im0)
    store(scratch, 304, re1)
    store(scratch, 312, im1)
    return rng


@njit
def link_4(rng, minus_power, scratch, br, bi, ur, ui, chirp, dst, dst_base, dst_stride, count, twiddles):
    """A first pass of 4 on received and dechirped samples that are made here; returns the generators' state.

    Sample n = j + a * count of the eight symbols is chirp(n) * A(a) * B(j) + noise; A(a) lies in `scratch`, B(0) is
    (br, bi) and B(j + 1) = B(j) * (ur, ui). The noise of the first butterfly must lie there, that of the one after the
    last is left there.
    """
    for j in range(count):
        c = 8 * j
        ar = load(scratch, 0)
        ai = load(scratch, 8)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 0)
        ci = load_splat(chirp, c + 1)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 256)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 264)))
        t1 = fma(yr, cr, yi * ci)
        t2 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 16)
        ai = load(scratch, 24)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 2)
        ci = load_splat(chirp, c + 3)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 272)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 280)))
        t3 = fma(yr, cr, yi * ci)
        t4 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 32)
        ai = load(scratch, 40)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 4)
        ci = load_splat(chirp, c + 5)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 288)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 296)))
        t5 = fma(yr, cr, yi * ci)
        t6 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 48)
        ai = load(scratch, 56)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 6)
        ci = load_splat(chirp, c + 7)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 304)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 312)))
        t7 = fma(yr, cr, yi * ci)
        t8 = fma(yi, cr, -(yr * ci))
        br, bi = fma(br, ur, -(bi * ui)), fma(br, ui, bi * ur)
        d = 16 * (dst_base + j)
        k = 6 * j
        t9 = t1 + t5
        t10 = t2 + t6
        t11 = t1 - t5
        t12 = t2 - t6
        t13 = t3 + t7
        t14 = t4 + t8
        t15 = t3 - t7
        t16 = t4 - t8
        t17 = t11 + t16
        t18 = t12 - t15
        t19 = t11 - t16
        t20 = t12 + t15
        t21 = t9 + t13
        t22 = t10 + t14
        t23 = t9 - t13
        t24 = t10 - t14
        store(dst, d, t21)
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 256, re0)
        store(scratch, 264, im0)
        store(scratch, 272, re1)
        store(scratch, 280, im1)
        store(dst, d + 8, t22)
        wr = load_splat(twiddles, k + 0)
        wi = load_splat(twiddles, k + 1)
        t25 = fma(t17, wr, -(t18 * wi))
        t26 = fma(t17, wi, t18 * wr)
        store(dst, d + 16 * 1 * dst_stride, t25)
        store(dst, d + 16 * 1 * dst_stride + 8, t26)
        wr = load_splat(twiddles, k + 2)
        wi = load_splat(twiddles, k + 3)
        t27 = fma(t23, wr, -(t24 * wi))
        t28 = fma(t23, wi, t24 * wr)
        store(dst, d + 16 * 2 * dst_stride, t27)
        store(dst, d + 16 * 2 * dst_stride + 8, t28)
        wr = load_splat(twiddles, k + 4)
        wi = load_splat(twiddles, k + 5)
        t29 = fma(t19, wr, -(t20 * wi))
        t30 = fma(t19, wi, t20 * wr)
        store(dst, d + 16 * 3 * dst_stride, t29)
        store(dst, d + 16 * 3 * dst_stride + 8, t30)
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 288, re0)
        store(scratch, 296, im0)
        store(scratch, 304, re1)
        store(scratch, 312, im1)
    return rng


@njit
def argmax_4(work, base, block_stride, count, k_first, k_block, k_out, best, where):
    """Transform `count` blocks of 4; output r of block q is bin k_first + q * k_block + r * k_out.

    Returns the largest power so far and its bin, lane by lane. The bin is looked for only in blocks that beat the
    largest power so far, which become rare.
    """
    for q in range(count):
        s = 16 * (base + q * block_stride)
        t1 = load(work, s)
        t2 = load(work, s + 8)
        t3 = load(work, s + 16 * 1 * 1)
        t4 = load(work, s + 16 * 1 * 1 + 8)
        t5 = load(work, s + 16 * 2 * 1)
        t6 = load(work, s + 16 * 2 * 1 + 8)
        t7 = load(work, s + 16 * 3 * 1)
        t8 = load(work, s + 16 * 3 * 1 + 8)
        t9 = t1 + t5
        t10 = t2 + t6
        t11 = t1 - t5
        t12 = t2 - t6
        t13 = t3 + t7
        t14 = t4 + t8
        t15 = t3 - t7
        t16 = t4 - t8
        t17 = t11 + t16
        t18 = t12 - t15
        t19 = t11 - t16
        t20 = t12 + t15
        t21 = t9 + t13
        t22 = t10 + t14
        t23 = t9 - t13
        t24 = t10 - t14
        t25 = fma(t21, t21, t22 * t22)
        t26 = fma(t17, t17, t18 * t18)
        t27 = fma(t23, t23, t24 * t24)
        t28 = fma(t19, t19, t20 * t20)
        t29 = maximum(t25, t26)
        t30 = maximum(t27, t28)
        t31 = maximum(t29, t30)
        better = t31 > best
        if mask_bits(better) != 0:
            best = select(better, t31, best)
            k = np.uint32(k_first + q * k_block)
            where = select(better & (t25 == best), splat_u32(k + np.uint32(0 * k_out)), where)
            where = select(better & (t26 == best), splat_u32(k + np.uint32(1 * k_out)), where)
            where = select(better & (t27 == best), splat_u32(k + np.uint32(2 * k_out)), where)
            where = select(better & (t28 == best), splat_u32(k + np.uint32(3 * k_out)), where)
    return best, where


@njit
def power_4(work, base, block_stride, count, out, k_first, k_block, k_out):
    """Transform `count` blocks of 4 and store powers; output r of block q is k_first + q * k_block + r * k_out."""
    for q in range(count):
        s = 16 * (base + q * block_stride)
        k = k_first + q * k_block
        t1 = load(work, s)
        t2 = load(work, s + 8)
        t3 = load(work, s + 16 * 1 * 1)
        t4 = load(work, s + 16 * 1 * 1 + 8)
        t5 = load(work, s + 16 * 2 * 1)
        t6 = load(work, s + 16 * 2 * 1 + 8)
        t7 = load(work, s + 16 * 3 * 1)
        t8 = load(work, s + 16 * 3 * 1 + 8)
        t9 = t1 + t5
        t10 = t2 + t6
        t11 = t1 - t5
        t12 = t2 - t6
        t13 = t3 + t7
        t14 = t4 + t8
        t15 = t3 - t7
        t16 = t4 - t8
        t17 = t11 + t16
        t18 = t12 - t15
        t19 = t11 - t16
        t20 = t12 + t15
        t21 = t9 + t13
        t22 = t10 + t14
        t23 = t9 - t13
        t24 = t10 - t14
        store(out, 8 * (k + 0 * k_out), fma(t21, t21, t22 * t22))
        store(out, 8 * (k + 1 * k_out), fma(t17, t17, t18 * t18))
        store(out, 8 * (k + 2 * k_out), fma(t23, t23, t24 * t24))
        store(out, 8 * (k + 3 * k_out), fma(t19, t19, t20 * t20))


@njit
def spectrum_4(work, base, block_stride, count, out, k_first, k_block, k_out):
    """Transform `count` blocks of 4 and store values; output r of block q is k_first + q * k_block + r * k_out."""
    for q in range(count):
        s = 16 * (base + q * block_stride)
        k = k_first + q * k_block
        t1 = load(work, s)
        t2 = load(work, s + 8)
        t3 = load(work, s + 16 * 1 * 1)
        t4 = load(work, s + 16 * 1 * 1 + 8)
        t5 = load(work, s + 16 * 2 * 1)
        t6 = load(work, s + 16 * 2 * 1 + 8)
        t7 = load(work, s + 16 * 3 * 1)
        t8 = load(work, s + 16 * 3 * 1 + 8)
        t9 = t1 + t5
        t10 = t2 + t6
        t11 = t1 - t5
        t12 = t2 - t6
        t13 = t3 + t7
        t14 = t4 + t8
        t15 = t3 - t7
        t16 = t4 - t8
        t17 = t11 + t16
        t18 = t12 - t15
        t19 = t11 - t16
        t20 = t12 + t15
        t21 = t9 + t13
        t22 = t10 + t14
        t23 = t9 - t13
        t24 = t10 - t14
        store(out, 16 * (k + 0 * k_out), t21)
        store(out, 16 * (k + 0 * k_out) + 8, t22)
        store(out, 16 * (k + 1 * k_out), t17)
        store(out, 16 * (k + 1 * k_out) + 8, t18)
        store(out, 16 * (k + 2 * k_out), t23)
        store(out, 16 * (k + 2 * k_out) + 8, t24)
        store(out, 16 * (k + 3 * k_out), t19)
        store(out, 16 * (k + 3 * k_out) + 8, t20)


@njit
def pass_8(src, src_base, src_stride, dst, dst_base, dst_stride, count, twiddles):
    """`count` butterflies of 8: inputs `src_stride` apart, output p times w(j, p) to row p."""
    h = splat(_H)
    for j in range(count):
        s = 16 * (src_base + j)
        d = 16 * (dst_base + j)
        k = 14 * j
        t1 = load(src, s)
        t2 = load(src, s + 8)
        t3 = load(src, s + 16 * 4 * src_stride)
        t4 = load(src, s + 16 * 4 * src_stride + 8)
        t5 = t1 + t3
        t6 = t2 + t4
        t7 = t1 - t3
        t8 = t2 - t4
        t9 = load(src, s + 16 * 1 * src_stride)
        t10 = load(src, s + 16 * 1 * src_stride + 8)
        t11 = load(src, s + 16 * 5 * src_stride)
        t12 = load(src, s + 16 * 5 * src_stride + 8)
        t13 = t9 + t11
        t14 = t10 + t12
        t15 = t9 - t11
        t16 = t10 - t12
        t17 = load(src, s + 16 * 2 * src_stride)
        t18 = load(src, s + 16 * 2 * src_stride + 8)
        t19 = load(src, s + 16 * 6 * src_stride)
        t20 = load(src, s + 16 * 6 * src_stride + 8)
        t21 = t17 + t19
        t22 = t18 + t20
        t23 = t17 - t19
        t24 = t18 - t20
        t25 = load(src, s + 16 * 3 * src_stride)
        t26 = load(src, s + 16 * 3 * src_stride + 8)
        t27 = load(src, s + 16 * 7 * src_stride)
        t28 = load(src, s + 16 * 7 * src_stride + 8)
        t29 = t25 + t27
        t30 = t26 + t28
        t31 = t25 - t27
        t32 = t26 - t28
        t33 = t5 + t21
        t34 = t6 + t22
        t35 = t5 - t21
        t36 = t6 - t22
        t37 = t13 + t29
        t38 = t14 + t30
        t39 = t13 - t29
        t40 = t14 - t30
        t41 = t35 + t40
        t42 = t36 - t39
        t43 = t35 - t40
        t44 = t36 + t39
        t45 = t33 + t37
        t46 = t34 + t38
        t47 = t33 - t37
        t48 = t34 - t38
        store(dst, d, t45)
        store(dst, d + 8, t46)
        wr = load_splat(twiddles, k + 2)
        wi = load_splat(twiddles, k + 3)
        t49 = fma(t41, wr, -(t42 * wi))
        t50 = fma(t41, wi, t42 * wr)
        store(dst, d + 16 * 2 * dst_stride, t49)
        store(dst, d + 16 * 2 * dst_stride + 8, t50)
        wr = load_splat(twiddles, k + 6)
        wi = load_splat(twiddles, k + 7)
        t51 = fma(t47, wr, -(t48 * wi))
        t52 = fma(t47, wi, t48 * wr)
        store(dst, d + 16 * 4 * dst_stride, t51)
        store(dst, d + 16 * 4 * dst_stride + 8, t52)
        wr = load_splat(twiddles, k + 10)
        wi = load_splat(twiddles, k + 11)
        t53 = fma(t43, wr, -(t44 * wi))
        t54 = fma(t43, wi, t44 * wr)
        store(dst, d + 16 * 6 * dst_stride, t53)
        store(dst, d + 16 * 6 * dst_stride + 8, t54)
        t55 = (t16 + t15) * h
        t56 = (t16 - t15) * h
        t57 = -t23
        t58 = (t32 - t31) * h
        t59 = -((t32 + t31) * h)
        t60 = t7 + t24
        t61 = t8 + t57
        t62 = t7 - t24
        t63 = t8 - t57
        t64 = t55 + t58
        t65 = t56 + t59
        t66 = t55 - t58
        t67 = t56 - t59
        t68 = t62 + t67
        t69 = t63 - t66
        t70 = t62 - t67
        t71 = t63 + t66
        t72 = t60 + t64
        t73 = t61 + t65
        t74 = t60 - t64
        t75 = t61 - t65
        wr = load_splat(twiddles, k + 0)
        wi = load_splat(twiddles, k + 1)
        t76 = fma(t72, wr, -(t73 * wi))
        t77 = fma(t72, wi, t73 * wr)
        store(dst, d + 16 * 1 * dst_stride, t76)
        store(dst, d + 16 * 1 * dst_stride + 8, t77)
        wr = load_splat(twiddles, k + 4)
        wi = load_splat(twiddles, k + 5)
        t78 = fma(t68, wr, -(t69 * wi))
        t79 = fma(t68, wi, t69 * wr)
        store(dst, d + 16 * 3 * dst_stride, t78)
        store(dst, d + 16 * 3 * dst_stride + 8, t79)
        wr = load_splat(twiddles, k + 8)
        wi = load_splat(twiddles, k + 9)
        t80 = fma(t74, wr, -(t75 * wi))
        t81 = fma(t74, wi, t75 * wr)
        store(dst, d + 16 * 5 * dst_stride, t80)
        store(dst, d + 16 * 5 * dst_stride + 8, t81)
        wr = load_splat(twiddles, k + 12)
        wi = load_splat(twiddles, k + 13)
        t82 = fma(t70, wr, -(t71 * wi))
        t83 = fma(t70, wi, t71 * wr)
        store(dst, d + 16 * 7 * dst_stride, t82)
        store(dst, d + 16 * 7 * dst_stride + 8, t83)


@njit
def noise_8(rng, minus_power, scratch):
    """8 vectors of complex noise into `scratch`; returns the generators' state."""
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 256, re0)
    store(scratch, 264, im0)
    store(scratch, 272, re1)
    store(scratch, 280, im1)
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 288, re0)
    store(scratch, 296, im0)
    store(scratch, 304, re1)
    store(scratch, 312, im1)
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 320, re0)
    store(scratch, 328, im0)
    store(scratch, 336, re1)
    store(scratch, 344, im1)
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 352, re0)
    store(scratch, 360, im0)
    store(scratch, 368, re1)
    store(scratch, 376, im1)
    return rng


@njit
def link_8(rng, minus_power, scratch, br, bi, ur, ui, chirp, dst, dst_base, dst_stride, count, twiddles):
    """A first pass of 8 on received and dechirped samples that are made here; returns the generators' state.

    Sample n = j + a * count of the eight symbols is chirp(n) * A(a) * B(j) + noise; A(a) lies in `scratch`, B(0) is
    (br, bi) and B(j + 1) = B(j) * (ur, ui). The noise of the first butterfly must lie there, that of the one after the
    last is left there.
    """
    h = splat(_H)
    for j in range(count):
        c = 16 * j
        ar = load(scratch, 0)
        ai = load(scratch, 8)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 0)
        ci = load_splat(chirp, c + 1)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 256)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 264)))
        t1 = fma(yr, cr, yi * ci)
        t2 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 16)
        ai = load(scratch, 24)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 2)
        ci = load_splat(chirp, c + 3)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 272)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 280)))
        t3 = fma(yr, cr, yi * ci)
        t4 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 32)
        ai = load(scratch, 40)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 4)
        ci = load_splat(chirp, c + 5)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 288)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 296)))
        t5 = fma(yr, cr, yi * ci)
        t6 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 48)
        ai = load(scratch, 56)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 6)
        ci = load_splat(chirp, c + 7)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 304)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 312)))
        t7 = fma(yr, cr, yi * ci)
        t8 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 64)
        ai = load(scratch, 72)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 8)
        ci = load_splat(chirp, c + 9)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 320)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 328)))
        t9 = fma(yr, cr, yi * ci)
        t10 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 80)
        ai = load(scratch, 88)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 10)
        ci = load_splat(chirp, c + 11)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 336)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 344)))
        t11 = fma(yr, cr, yi * ci)
        t12 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 96)
        ai = load(scratch, 104)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 12)
        ci = load_splat(chirp, c + 13)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 352)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 360)))
        t13 = fma(yr, cr, yi * ci)
        t14 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 112)
        ai = load(scratch, 120)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 14)
        ci = load_splat(chirp, c + 15)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 368)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 376)))
        t15 = fma(yr, cr, yi * ci)
        t16 = fma(yi, cr, -(yr * ci))
        br, bi = fma(br, ur, -(bi * ui)), fma(br, ui, bi * ur)
        d = 16 * (dst_base + j)
        k = 14 * j
        t17 = t1 + t9
        t18 = t2 + t10
        t19 = t1 - t9
        t20 = t2 - t10
        t21 = t3 + t11
        t22 = t4 + t12
        t23 = t3 - t11
        t24 = t4 - t12
        t25 = t5 + t13
        t26 = t6 + t14
        t27 = t5 - t13
        t28 = t6 - t14
        t29 = t7 + t15
        t30 = t8 + t16
        t31 = t7 - t15
        t32 = t8 - t16
        t33 = t17 + t25
        t34 = t18 + t26
        t35 = t17 - t25
        t36 = t18 - t26
        t37 = t21 + t29
        t38 = t22 + t30
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 256, re0)
        store(scratch, 264, im0)
        store(scratch, 272, re1)
        store(scratch, 280, im1)
        t39 = t21 - t29
        t40 = t22 - t30
        t41 = t35 + t40
        t42 = t36 - t39
        t43 = t35 - t40
        t44 = t36 + t39
        t45 = t33 + t37
        t46 = t34 + t38
        t47 = t33 - t37
        t48 = t34 - t38
        store(dst, d, t45)
        store(dst, d + 8, t46)
        wr = load_splat(twiddles, k + 2)
        wi = load_splat(twiddles, k + 3)
        t49 = fma(t41, wr, -(t42 * wi))
        t50 = fma(t41, wi, t42 * wr)
        store(dst, d + 16 * 2 * dst_stride, t49)
        store(dst, d + 16 * 2 * dst_stride + 8, t50)
        wr = load_splat(twiddles, k + 6)
        wi = load_splat(twiddles, k + 7)
        t51 = fma(t47, wr, -(t48 * wi))
        t52 = fma(t47, wi, t48 * wr)
        store(dst, d + 16 * 4 * dst_stride, t51)
        store(dst, d + 16 * 4 * dst_stride + 8, t52)
        wr = load_splat(twiddles, k + 10)
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 288, re0)
        store(scratch, 296, im0)
        store(scratch, 304, re1)
        store(scratch, 312, im1)
        wi = load_splat(twiddles, k + 11)
        t53 = fma(t43, wr, -(t44 * wi))
        t54 = fma(t43, wi, t44 * wr)
        store(dst, d + 16 * 6 * dst_stride, t53)
        store(dst, d + 16 * 6 * dst_stride + 8, t54)
        t55 = (t24 + t23) * h
        t56 = (t24 - t23) * h
        t57 = -t27
        t58 = (t32 - t31) * h
        t59 = -((t32 + t31) * h)
        t60 = t19 + t28
        t61 = t20 + t57
        t62 = t19 - t28
        t63 = t20 - t57
        t64 = t55 + t58
        t65 = t56 + t59
        t66 = t55 - t58
        t67 = t56 - t59
        t68 = t62 + t67
        t69 = t63 - t66
        t70 = t62 - t67
        t71 = t63 + t66
        t72 = t60 + t64
        t73 = t61 + t65
        t74 = t60 - t64
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 320, re0)
        store(scratch, 328, im0)
        store(scratch, 336, re1)
        store(scratch, 344, im1)
        t75 = t61 - t65
        wr = load_splat(twiddles, k + 0)
        wi = load_splat(twiddles, k + 1)
        t76 = fma(t72, wr, -(t73 * wi))
        t77 = fma(t72, wi, t73 * wr)
        store(dst, d + 16 * 1 * dst_stride, t76)
        store(dst, d + 16 * 1 * dst_stride + 8, t77)
        wr = load_splat(twiddles, k + 4)
        wi = load_splat(twiddles, k + 5)
        t78 = fma(t68, wr, -(t69 * wi))
        t79 = fma(t68, wi, t69 * wr)
        store(dst, d + 16 * 3 * dst_stride, t78)
        store(dst, d + 16 * 3 * dst_stride + 8, t79)
        wr = load_splat(twiddles, k + 8)
        wi = load_splat(twiddles, k + 9)
        t80 = fma(t74, wr, -(t75 * wi))
        t81 = fma(t74, wi, t75 * wr)
        store(dst, d + 16 * 5 * dst_stride, t80)
        store(dst, d + 16 * 5 * dst_stride + 8, t81)
        wr = load_splat(twiddles, k + 12)
        wi = load_splat(twiddles, k + 13)
        t82 = fma(t70, wr, -(t71 * wi))
        t83 = fma(t70, wi, t71 * wr)
        store(dst, d + 16 * 7 * dst_stride, t82)
        store(dst, d + 16 * 7 * dst_stride + 8, t83)
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 352, re0)
        store(scratch, 360, im0)
        store(scratch, 368, re1)
        store(scratch, 376, im1)
    return rng


@njit
def argmax_8(work, base, block_stride, count, k_first, k_block, k_out, best, where):
    """Transform `count` blocks of 8; output r of block q is bin k_first + q * k_block + r * k_out.

    Returns the largest power so far and its bin, lane by lane. The bin is looked for only in blocks that beat the
    largest power so far, which become rare.
    """
    h = splat(_H)
    for q in range(count):
        s = 16 * (base + q * block_stride)
        t1 = load(work, s)
        t2 = load(work, s + 8)
        t3 = load(work, s + 16 * 4 * 1)
        t4 = load(work, s + 16 * 4 * 1 + 8)
        t5 = t1 + t3
        t6 = t2 + t4
        t7 = t1 - t3
        t8 = t2 - t4
        t9 = load(work, s + 16 * 1 * 1)
        t10 = load(work, s + 16 * 1 * 1 + 8)
        t11 = load(work, s + 16 * 5 * 1)
        t12 = load(work, s + 16 * 5 * 1 + 8)
        t13 = t9 + t11
        t14 = t10 + t12
        t15 = t9 - t11
        t16 = t10 - t12
        t17 = load(work, s + 16 * 2 * 1)
        t18 = load(work, s + 16 * 2 * 1 + 8)
        t19 = load(work, s + 16 * 6 * 1)
        t20 = load(work, s + 16 * 6 * 1 + 8)
        t21 = t17 + t19
        t22 = t18 + t20
        t23 = t17 - t19
        t24 = t18 - t20
        t25 = load(work, s + 16 * 3 * 1)
        t26 = load(work, s + 16 * 3 * 1 + 8)
        t27 = load(work, s + 16 * 7 * 1)
        t28 = load(work, s + 16 * 7 * 1 + 8)
        t29 = t25 + t27
        t30 = t26 + t28
        t31 = t25 - t27
        t32 = t26 - t28
        t33 = t5 + t21
        t34 = t6 + t22
        t35 = t5 - t21
        t36 = t6 - t22
        t37 = t13 + t29
        t38 = t14 + t30
        t39 = t13 - t29
        t40 = t14 - t30
        t41 = t35 + t40
        t42 = t36 - t39
        t43 = t35 - t40
        t44 = t36 + t39
        t45 = t33 + t37
        t46 = t34 + t38
        t47 = t33 - t37
        t48 = t34 - t38
        t49 = fma(t45, t45, t46 * t46)
        t50 = fma(t41, t41, t42 * t42)
        t51 = fma(t47, t47, t48 * t48)
        t52 = fma(t43, t43, t44 * t44)
        t53 = (t16 + t15) * h
        t54 = (t16 - t15) * h
        t55 = -t23
        t56 = (t32 - t31) * h
        t57 = -((t32 + t31) * h)
        t58 = t7 + t24
        t59 = t8 + t55
        t60 = t7 - t24
        t61 = t8 - t55
        t62 = t53 + t56
        t63 = t54 + t57
        t64 = t53 - t56
        t65 = t54 - t57
        t66 = t60 + t65
        t67 = t61 - t64
        t68 = t60 - t65
        t69 = t61 + t64
        t70 = t58 + t62
        t71 = t59 + t63
        t72 = t58 - t62
        t73 = t59 - t63
        t74 = fma(t70, t70, t71 * t71)
        t75 = fma(t66, t66, t67 * t67)
        t76 = fma(t72, t72, t73 * t73)
        t77 = fma(t68, t68, t69 * t69)
        t78 = maximum(t49, t74)
        t79 = maximum(t50, t75)
        t80 = maximum(t51, t76)
        t81 = maximum(t52, t77)
        t82 = maximum(t78, t79)
        t83 = maximum(t80, t81)
        t84 = maximum(t82, t83)
        better = t84 > best
        if mask_bits(better) != 0:
            best = select(better, t84, best)
            k = np.uint32(k_first + q * k_block)
            where = select(better & (t49 == best), splat_u32(k + np.uint32(0 * k_out)), where)
            where = select(better & (t74 == best), splat_u32(k + np.uint32(1 * k_out)), where)
            where = select(better & (t50 == best), splat_u32(k + np.uint32(2 * k_out)), where)
            where = select(better & (t75 == best), splat_u32(k + np.uint32(3 * k_out)), where)
            where = select(better & (t51 == best), splat_u32(k + np.uint32(4 * k_out)), where)
            where = select(better & (t76 == best), splat_u32(k + np.uint32(5 * k_out)), where)
            where = select(better & (t52 == best), splat_u32(k + np.uint32(6 * k_out)), where)
            where = select(better & (t77 == best), splat_u32(k + np.uint32(7 * k_out)), where)
    return best, where


@njit
def power_8(work, base, block_stride, count, out, k_first, k_block, k_out):
    """Transform `count` blocks of 8 and store powers; output r of block q is k_first + q * k_block + r * k_out."""
    h = splat(_H)
    for q in range(count):
        s = 16 * (base + q * block_stride)
        k = k_first + q * k_block
        t1 = load(work, s)
        t2 = load(work, s + 8)
        t3 = load(work, s + 16 * 4 * 1)
        t4 = load(work, s + 16 * 4 * 1 + 8)
        t5 = t1 + t3
        t6 = t2 + t4
        t7 = t1 - t3
        t8 = t2 - t4
        t9 = load(work, s + 16 * 1 * 1)
        t10 = load(work, s + 16 * 1 * 1 + 8)
        t11 = load(work, s + 16 * 5 * 1)
        t12 = load(work, s + 16 * 5 * 1 + 8)
        t13 = t9 + t11
        t14 = t10 + t12
        t15 = t9 - t11
        t16 = t10 - t12
        t17 = load(work, s + 16 * 2 * 1)
        t18 = load(work, s + 16 * 2 * 1 + 8)
        t19 = load(work, s + 16 * 6 * 1)
        t20 = load(work, s + 16 * 6 * 1 + 8)
        t21 = t17 + t19
        t22 = t18 + t20
        t23 = t17 - t19
        t24 = t18 - t20
        t25 = load(work, s + 16 * 3 * 1)
        t26 = load(work, s + 16 * 3 * 1 + 8)
        t27 = load(work, s + 16 * 7 * 1)
        t28 = load(work, s + 16 * 7 * 1 + 8)
        t29 = t25 + t27
        t30 = t26 + t28
        t31 = t25 - t27
        t32 = t26 - t28
        t33 = t5 + t21
        t34 = t6 + t22
        t35 = t5 - t21
        t36 = t6 - t22
        t37 = t13 + t29
        t38 = t14 + t30
        t39 = t13 - t29
        t40 = t14 - t30
        t41 = t35 + t40
        t42 = t36 - t39
        t43 = t35 - t40
        t44 = t36 + t39
        t45 = t33 + t37
        t46 = t34 + t38
        t47 = t33 - t37
        t48 = t34 - t38
        store(out, 8 * (k + 0 * k_out), fma(t45, t45, t46 * t46))
        store(out, 8 * (k + 2 * k_out), fma(t41, t41, t42 * t42))
        store(out, 8 * (k + 4 * k_out), fma(t47, t47, t48 * t48))
        store(out, 8 * (k + 6 * k_out), fma(t43, t43, t44 * t44))
        t49 = (t16 + t15) * h
        t50 = (t16 - t15) * h
        t51 = -t23
        t52 = (t32 - t31) * h
        t53 = -((t32 + t31) * h)
        t54 = t7 + t24
        t55 = t8 + t51
        t56 = t7 - t24
        t57 = t8 - t51
        t58 = t49 + t52
        t59 = t50 + t53
        t60 = t49 - t52
        t61 = t50 - t53
        t62 = t56 + t61
        t63 = t57 - t60
        t64 = t56 - t61
        t65 = t57 + t60
        t66 = t54 + t58
        t67 = t55 + t59
        t68 = t54 - t58
        t69 = t55 - t59
        store(out, 8 * (k + 1 * k_out), fma(t66, t66, t67 * t67))
        store(out, 8 * (k + 3 * k_out), fma(t62, t62, t63 * t63))
        store(out, 8 * (k + 5 * k_out), fma(t68, t68, t69 * t69))
        store(out, 8 * (k + 7 * k_out), fma(t64, t64, t65 * t65))


@njit
def spectrum_8(work, base, block_stride, count, out, k_first, k_block, k_out):
    """Transform `count` blocks of 8 and store values; output r of block q is k_first + q * k_block + r * k_out."""
    h = splat(_H)
    for q in range(count):
        s = 16 * (base + q * block_stride)
        k = k_first + q * k_block
        t1 = load(work, s)
        t2 = load(work, s + 8)
        t3 = load(work, s + 16 * 4 * 1)
        t4 = load(work, s + 16 * 4 * 1 + 8)
        t5 = t1 + t3
        t6 = t2 + t4
        t7 = t1 - t3
        t8 = t2 - t4
        t9 = load(work, s + 16 * 1 * 1)
        t10 = load(work, s + 16 * 1 * 1 + 8)
        t11 = load(work, s + 16 * 5 * 1)
        t12 = load(work, s + 16 * 5 * 1 + 8)
        t13 = t9 + t11
        t14 = t10 + t12
        t15 = t9 - t11
        t16 = t10 - t12
        t17 = load(work, s + 16 * 2 * 1)
        t18 = load(work, s + 16 * 2 * 1 + 8)
        t19 = load(work, s + 16 * 6 * 1)
        t20 = load(work, s + 16 * 6 * 1 + 8)
        t21 = t17 + t19
        t22 = t18 + t20
        t23 = t17 - t19
        t24 = t18 - t20
        t25 = load(work, s + 16 * 3 * 1)
        t26 = load(work, s + 16 * 3 * 1 + 8)
        t27 = load(work, s + 16 * 7 * 1)
        t28 = load(work, s + 16 * 7 * 1 + 8)
        t29 = t25 + t27
        t30 = t26 + t28
        t31 = t25 - t27
        t32 = t26 - t28
        t33 = t5 + t21
        t34 = t6 + t22
        t35 = t5 - t21
        t36 = t6 - t22
        t37 = t13 + t29
        t38 = t14 + t30
        t39 = t13 - t29
        t40 = t14 - t30
        t41 = t35 + t40
        t42 = t36 - t39
        t43 = t35 - t40
        t44 = t36 + t39
        t45 = t33 + t37
        t46 = t34 + t38
        t47 = t33 - t37
        t48 = t34 - t38
        store(out, 16 * (k + 0 * k_out), t45)
        store(out, 16 * (k + 0 * k_out) + 8, t46)
        store(out, 16 * (k + 2 * k_out), t41)
        store(out, 16 * (k + 2 * k_out) + 8, t42)
        store(out, 16 * (k + 4 * k_out), t47)
        store(out, 16 * (k + 4 * k_out) + 8, t48)
        store(out, 16 * (k + 6 * k_out), t43)
        store(out, 16 * (k + 6 * k_out) + 8, t44)
        t49 = (t16 + t15) * h
        t50 = (t16 - t15) * h
        t51 = -t23
        t52 = (t32 - t31) * h
        t53 = -((t32 + t31) * h)
        t54 = t7 + t24
        t55 = t8 + t51
        t56 = t7 - t24
        t57 = t8 - t51
        t58 = t49 + t52
        t59 = t50 + t53
        t60 = t49 - t52
        t61 = t50 - t53
        t62 = t56 + t61
        t63 = t57 - t60
        t64 = t56 - t61
        t65 = t57 + t60
        t66 = t54 + t58
        t67 = t55 + t59
        t68 = t54 - t58
        t69 = t55 - t59
        store(out, 16 * (k + 1 * k_out), t66)
        store(out, 16 * (k + 1 * k_out) + 8, t67)
        store(out, 16 * (k + 3 * k_out), t62)
        store(out, 16 * (k + 3 * k_out) + 8, t63)
        store(out, 16 * (k + 5 * k_out), t68)
        store(out, 16 * (k + 5 * k_out) + 8, t69)
        store(out, 16 * (k + 7 * k_out), t64)
        store(out, 16 * (k + 7 * k_out) + 8, t65)


@njit
def pass_16(src, src_base, src_stride, dst, dst_base, dst_stride, count, twiddles):
    """`count` butterflies of 16: inputs `src_stride` apart, output p times w(j, p) to row p."""
    c1 = splat(_C1)
    h = splat(_H)
    s1 = splat(_S1)
    for j in range(count):
        s = 16 * (src_base + j)
        d = 16 * (dst_base + j)
        k = 30 * j
        t1 = load(src, s)
        t2 = load(src, s + 8)
        t3 = load(src, s + 16 * 4 * src_stride)
        t4 = load(src, s + 16 * 4 * src_stride + 8)
        t5 = load(src, s + 16 * 8 * src_stride)
        t6 = load(src, s + 16 * 8 * src_stride + 8)
        t7 = load(src, s + 16 * 12 * src_stride)
        t8 = load(src, s + 16 * 12 * src_stride + 8)
        t9 = t1 + t5
        t10 = t2 + t6
        t11 = t1 - t5
        t12 = t2 - t6
        t13 = t3 + t7
        t14 = t4 + t8
        t15 = t3 - t7
        t16 = t4 - t8
        t17 = t11 + t16
        t18 = t12 - t15
        t19 = t11 - t16
        t20 = t12 + t15
        t21 = t9 + t13
        t22 = t10 + t14
        t23 = t9 - t13
        t24 = t10 - t14
        t25 = load(src, s + 16 * 1 * src_stride)
        t26 = load(src, s + 16 * 1 * src_stride + 8)
        t27 = load(src, s + 16 * 5 * src_stride)
        t28 = load(src, s + 16 * 5 * src_stride + 8)
        t29 = load(src, s + 16 * 9 * src_stride)
        t30 = load(src, s + 16 * 9 * src_stride + 8)
        t31 = load(src, s + 16 * 13 * src_stride)
        t32 = load(src, s + 16 * 13 * src_stride + 8)
        t33 = t25 + t29
        t34 = t26 + t30
        t35 = t25 - t29
        t36 = t26 - t30
        t37 = t27 + t31
        t38 = t28 + t32
        t39 = t27 - t31
        t40 = t28 - t32
        t41 = t35 + t40
        t42 = t36 - t39
        t43 = t35 - t40
        t44 = t36 + t39
        t45 = t33 + t37
        t46 = t34 + t38
        t47 = t33 - t37
        t48 = t34 - t38
        t49 = load(src, s + 16 * 2 * src_stride)
        t50 = load(src, s + 16 * 2 * src_stride + 8)
        t51 = load(src, s + 16 * 6 * src_stride)
        t52 = load(src, s + 16 * 6 * src_stride + 8)
        t53 = load(src, s + 16 * 10 * src_stride)
        t54 = load(src, s + 16 * 10 * src_stride + 8)
        t55 = load(src, s + 16 * 14 * src_stride)
        t56 = load(src, s + 16 * 14 * src_stride + 8)
        t57 = t49 + t53
        t58 = t50 + t54
        t59 = t49 - t53
        t60 = t50 - t54
        t61 = t51 + t55
        t62 = t52 + t56
        t63 = t51 - t55
        t64 = t52 - t56
        t65 = t59 + t64
        t66 = t60 - t63
        t67 = t59 - t64
        t68 = t60 + t63
        t69 = t57 + t61
        t70 = t58 + t62
        t71 = t57 - t61
        t72 = t58 - t62
        t73 = load(src, s + 16 * 3 * src_stride)
        t74 = load(src, s + 16 * 3 * src_stride + 8)
        t75 = load(src, s + 16 * 7 * src_stride)
        t76 = load(src, s + 16 * 7 * src_stride + 8)
        t77 = load(src, s + 16 * 11 * src_stride)
        t78 = load(src, s + 16 * 11 * src_stride + 8)
        t79 = load(src, s + 16 * 15 * src_stride)
        t80 = load(src, s + 16 * 15 * src_stride + 8)
        t81 = t73 + t77
        t82 = t74 + t78
        t83 = t73 - t77
        t84 = t74 - t78
        t85 = t75 + t79
        t86 = t76 + t80
        t87 = t75 - t79
        t88 = t76 - t80
        t89 = t83 + t88
        t90 = t84 - t87
        t91 = t83 - t88
        t92 = t84 + t87
        t93 = t81 + t85
        t94 = t82 + t86
        t95 = t81 - t85
        t96 = t82 - t86
        t97 = t21 + t69
        t98 = t22 + t70
        t99 = t21 - t69
        t100 = t22 - t70
        t101 = t45 + t93
        t102 = t46 + t94
        t103 = t45 - t93
        t104 = t46 - t94
        t105 = t99 + t104
        t106 = t100 - t103
        t107 = t99 - t104
        t108 = t100 + t103
        t109 = t97 + t101
        t110 = t98 + t102
        t111 = t97 - t101
        t112 = t98 - t102
        store(dst, d, t109)
        store(dst, d + 8, t110)
        wr = load_splat(twiddles, k + 6)
        wi = load_splat(twiddles, k + 7)
        t113 = fma(t105, wr, -(t106 * wi))
        t114 = fma(t105, wi, t106 * wr)
        store(dst, d + 16 * 4 * dst_stride, t113)
        store(dst, d + 16 * 4 * dst_stride + 8, t114)
        wr = load_splat(twiddles, k + 14)
        wi = load_splat(twiddles, k + 15)
        t115 = fma(t111, wr, -(t112 * wi))
        t116 = fma(t111, wi, t112 * wr)
        store(dst, d + 16 * 8 * dst_stride, t115)
        store(dst, d + 16 * 8 * dst_stride + 8, t116)
        wr = load_splat(twiddles, k + 22)
        wi = load_splat(twiddles, k + 23)
        t117 = fma(t107, wr, -(t108 * wi))
        t118 = fma(t107, wi, t108 * wr)
        store(dst, d + 16 * 12 * dst_stride, t117)
        store(dst, d + 16 * 12 * dst_stride + 8, t118)
        t119 = fma(t41, c1, t42 * s1)
        t120 = fma(t42, c1, -(t41 * s1))
        t121 = (t66 + t65) * h
        t122 = (t66 - t65) * h
        t123 = fma(t89, s1, t90 * c1)
        t124 = fma(t90, s1, -(t89 * c1))
        t125 = t17 + t121
        t126 = t18 + t122
        t127 = t17 - t121
        t128 = t18 - t122
        t129 = t119 + t123
        t130 = t120 + t124
        t131 = t119 - t123
        t132 = t120 - t124
        t133 = t127 + t132
        t134 = t128 - t131
        t135 = t127 - t132
        t136 = t128 + t131
        t137 = t125 + t129
        t138 = t126 + t130
        t139 = t125 - t129
        t140 = t126 - t130
        wr = load_splat(twiddles, k + 0)
        wi = load_splat(twiddles, k + 1)
        t141 = fma(t137, wr, -(t138 * wi))
        t142 = fma(t137, wi, t138 * wr)
        store(dst, d + 16 * 1 * dst_stride, t141)
        store(dst, d + 16 * 1 * dst_stride + 8, t142)
        wr = load_splat(twiddles, k + 8)
        wi = load_splat(twiddles, k + 9)
        t143 = fma(t133, wr, -(t134 * wi))
        t144 = fma(t133, wi, t134 * wr)
        store(dst, d + 16 * 5 * dst_stride, t143)
        store(dst, d + 16 * 5 * dst_stride + 8, t144)
        wr = load_splat(twiddles, k + 16)
        wi = load_splat(twiddles, k + 17)
        t145 = fma(t139, wr, -(t140 * wi))
        t146 = fma(t139, wi, t140 * wr)
        store(dst, d + 16 * 9 * dst_stride, t145)
        store(dst, d + 16 * 9 * dst_stride + 8, t146)
        wr = load_splat(twiddles, k + 24)
        wi = load_splat(twiddles, k + 25)
        t147 = fma(t135, wr, -(t136 * wi))
        t148 = fma(t135, wi, t136 * wr)
        store(dst, d + 16 * 13 * dst_stride, t147)
        store(dst, d + 16 * 13 * dst_stride + 8, t148)
        t149 = (t48 + t47) * h
        t150 = (t48 - t47) * h
        t151 = -t71
        t152 = (t96 - t95) * h
        t153 = -((t96 + t95) * h)
        t154 = t23 + t72
        t155 = t24 + t151
        t156 = t23 - t72
        t157 = t24 - t151
        t158 = t149 + t152
        t159 = t150 + t153
        t160 = t149 - t152
        t161 = t150 - t153
        t162 = t156 + t161
        t163 = t157 - t160
        t164 = t156 - t161
        t165 = t157 + t160
        t166 = t154 + t158
        t167 = t155 + t159
        t168 = t154 - t158
        t169 = t155 - t159
        wr = load_splat(twiddles, k + 2)
        wi = load_splat(twiddles, k + 3)
        t170 = fma(t166, wr, -(t167 * wi))
        t171 = fma(t166, wi, t167 * wr)
        store(dst, d + 16 * 2 * dst_stride, t170)
        store(dst, d + 16 * 2 * dst_stride + 8, t171)
        wr = load_splat(twiddles, k + 10)
        wi = load_splat(twiddles, k + 11)
        t172 = fma(t162, wr, -(t163 * wi))
        t173 = fma(t162, wi, t163 * wr)
        store(dst, d + 16 * 6 * dst_stride, t172)
        store(dst, d + 16 * 6 * dst_stride + 8, t173)
        wr = load_splat(twiddles, k + 18)
        wi = load_splat(twiddles, k + 19)
        t174 = fma(t168, wr, -(t169 * wi))
        t175 = fma(t168, wi, t169 * wr)
        store(dst, d + 16 * 10 * dst_stride, t174)
        store(dst, d + 16 * 10 * dst_stride + 8, t175)
        wr = load_splat(twiddles, k + 26)
        wi = load_splat(twiddles, k + 27)
        t176 = fma(t164, wr, -(t165 * wi))
        t177 = fma(t164, wi, t165 * wr)
        store(dst, d + 16 * 14 * dst_stride, t176)
        store(dst, d + 16 * 14 * dst_stride + 8, t177)
        t178 = fma(t43, s1, t44 * c1)
        t179 = fma(t44, s1, -(t43 * c1))
        t180 = (t68 - t67) * h
        t181 = -((t68 + t67) * h)
        t182 = fma(t91, c1, t92 * s1)
        t183 = fma(t92, c1, -(t91 * s1))
        t184 = -t182
        t185 = -t183
        t186 = t19 + t180
        t187 = t20 + t181
        t188 = t19 - t180
        t189 = t20 - t181
        t190 = t178 + t184
        t191 = t179 + t185
        t192 = t178 - t184
        t193 = t179 - t185
        t194 = t188 + t193
        t195 = t189 - t192
        t196 = t188 - t193
        t197 = t189 + t192
        t198 = t186 + t190
        t199 = t187 + t191
        t200 = t186 - t190
        t201 = t187 - t191
        wr = load_splat(twiddles, k + 4)
        wi = load_splat(twiddles, k + 5)
        t202 = fma(t198, wr, -(t199 * wi))
        t203 = fma(t198, wi, t199 * wr)
        store(dst, d + 16 * 3 * dst_stride, t202)
        store(dst, d + 16 * 3 * dst_stride + 8, t203)
        wr = load_splat(twiddles, k + 12)
        wi = load_splat(twiddles, k + 13)
        t204 = fma(t194, wr, -(t195 * wi))
        t205 = fma(t194, wi, t195 * wr)
        store(dst, d + 16 * 7 * dst_stride, t204)
        store(dst, d + 16 * 7 * dst_stride + 8, t205)
        wr = load_splat(twiddles, k + 20)
        wi = load_splat(twiddles, k + 21)
        t206 = fma(t200, wr, -(t201 * wi))
        t207 = fma(t200, wi, t201 * wr)
        store(dst, d + 16 * 11 * dst_stride, t206)
        store(dst, d + 16 * 11 * dst_stride + 8, t207)
        wr = load_splat(twiddles, k + 28)
        wi = load_splat(twiddles, k + 29)
        t208 = fma(t196, wr, -(t197 * wi))
        t209 = fma(t196, wi, t197 * wr)
        store(dst, d + 16 * 15 * dst_stride, t208)
        store(dst, d + 16 * 15 * dst_stride + 8, t209)


@njit
def noise_16(rng, minus_power, scratch):
    """16 vectors of complex noise into `scratch`; returns the generators' state."""
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 256, re0)
    store(scratch, 264, im0)
    store(scratch, 272, re1)
    store(scratch, 280, im1)
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 288, re0)
    store(scratch, 296, im0)
    store(scratch, 304, re1)
    store(scratch, 312, im1)
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 320, re0)
    store(scratch, 328, im0)
    store(scratch, 336, re1)
    store(scratch, 344, im1)
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 352, re0)
    store(scratch, 360, im0)
    store(scratch, 368, re1)
    store(scratch, 376, im1)
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 384, re0)
    store(scratch, 392, im0)
    store(scratch, 400, re1)
    store(scratch, 408, im1)
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 416, re0)
    store(scratch, 424, im0)
    store(scratch, 432, re1)
    store(scratch, 440, im1)
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 448, re0)
    store(scratch, 456, im0)
    store(scratch, 464, re1)
    store(scratch, 472, im1)
    rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
    store(scratch, 480, re0)
    store(scratch, 488, im0)
    store(scratch, 496, re1)
    store(scratch, 504, im1)
    return rng


@njit
def link_16(rng, minus_power, scratch, br, bi, ur, ui, chirp, dst, dst_base, dst_stride, count, twiddles):
    """A first pass of 16 on received and dechirped samples that are made here; returns the generators' state.

    Sample n = j + a * count of the eight symbols is chirp(n) * A(a) * B(j) + noise; A(a) lies in `scratch`, B(0) is
    (br, bi) and B(j + 1) = B(j) * (ur, ui). The noise of the first butterfly must lie there, that of the one after the
    last is left there.
    """
    c1 = splat(_C1)
    h = splat(_H)
    s1 = splat(_S1)
    for j in range(count):
        c = 32 * j
        ar = load(scratch, 0)
        ai = load(scratch, 8)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 0)
        ci = load_splat(chirp, c + 1)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 256)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 264)))
        t1 = fma(yr, cr, yi * ci)
        t2 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 16)
        ai = load(scratch, 24)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 2)
        ci = load_splat(chirp, c + 3)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 272)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 280)))
        t3 = fma(yr, cr, yi * ci)
        t4 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 32)
        ai = load(scratch, 40)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 4)
        ci = load_splat(chirp, c + 5)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 288)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 296)))
        t5 = fma(yr, cr, yi * ci)
        t6 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 48)
        ai = load(scratch, 56)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 6)
        ci = load_splat(chirp, c + 7)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 304)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 312)))
        t7 = fma(yr, cr, yi * ci)
        t8 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 64)
        ai = load(scratch, 72)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 8)
        ci = load_splat(chirp, c + 9)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 320)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 328)))
        t9 = fma(yr, cr, yi * ci)
        t10 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 80)
        ai = load(scratch, 88)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 10)
        ci = load_splat(chirp, c + 11)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 336)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 344)))
        t11 = fma(yr, cr, yi * ci)
        t12 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 96)
        ai = load(scratch, 104)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 12)
        ci = load_splat(chirp, c + 13)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 352)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 360)))
        t13 = fma(yr, cr, yi * ci)
        t14 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 112)
        ai = load(scratch, 120)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 14)
        ci = load_splat(chirp, c + 15)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 368)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 376)))
        t15 = fma(yr, cr, yi * ci)
        t16 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 128)
        ai = load(scratch, 136)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 16)
        ci = load_splat(chirp, c + 17)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 384)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 392)))
        t17 = fma(yr, cr, yi * ci)
        t18 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 144)
        ai = load(scratch, 152)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 18)
        ci = load_splat(chirp, c + 19)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 400)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 408)))
        t19 = fma(yr, cr, yi * ci)
        t20 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 160)
        ai = load(scratch, 168)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 20)
        ci = load_splat(chirp, c + 21)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 416)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 424)))
        t21 = fma(yr, cr, yi * ci)
        t22 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 176)
        ai = load(scratch, 184)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 22)
        ci = load_splat(chirp, c + 23)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 432)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 440)))
        t23 = fma(yr, cr, yi * ci)
        t24 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 192)
        ai = load(scratch, 200)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 24)
        ci = load_splat(chirp, c + 25)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 448)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 456)))
        t25 = fma(yr, cr, yi * ci)
        t26 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 208)
        ai = load(scratch, 216)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 26)
        ci = load_splat(chirp, c + 27)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 464)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 472)))
        t27 = fma(yr, cr, yi * ci)
        t28 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 224)
        ai = load(scratch, 232)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 28)
        ci = load_splat(chirp, c + 29)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 480)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 488)))
        t29 = fma(yr, cr, yi * ci)
        t30 = fma(yi, cr, -(yr * ci))
        ar = load(scratch, 240)
        ai = load(scratch, 248)
        tr = fma(ar, br, -(ai * bi))
        ti = fma(ar, bi, ai * br)
        cr = load_splat(chirp, c + 30)
        ci = load_splat(chirp, c + 31)
        yr = fma(cr, tr, fma(-ci, ti, load(scratch, 496)))
        yi = fma(cr, ti, fma(ci, tr, load(scratch, 504)))
        t31 = fma(yr, cr, yi * ci)
        t32 = fma(yi, cr, -(yr * ci))
        br, bi = fma(br, ur, -(bi * ui)), fma(br, ui, bi * ur)
        d = 16 * (dst_base + j)
        k = 30 * j
        t33 = t1 + t17
        t34 = t2 + t18
        t35 = t1 - t17
        t36 = t2 - t18
        t37 = t9 + t25
        t38 = t10 + t26
        t39 = t9 - t25
        t40 = t10 - t26
        t41 = t35 + t40
        t42 = t36 - t39
        t43 = t35 - t40
        t44 = t36 + t39
        t45 = t33 + t37
        t46 = t34 + t38
        t47 = t33 - t37
        t48 = t34 - t38
        t49 = t3 + t19
        t50 = t4 + t20
        t51 = t3 - t19
        t52 = t4 - t20
        t53 = t11 + t27
        t54 = t12 + t28
        t55 = t11 - t27
        t56 = t12 - t28
        t57 = t51 + t56
        t58 = t52 - t55
        t59 = t51 - t56
        t60 = t52 + t55
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 256, re0)
        store(scratch, 264, im0)
        store(scratch, 272, re1)
        store(scratch, 280, im1)
        t61 = t49 + t53
        t62 = t50 + t54
        t63 = t49 - t53
        t64 = t50 - t54
        t65 = t5 + t21
        t66 = t6 + t22
        t67 = t5 - t21
        t68 = t6 - t22
        t69 = t13 + t29
        t70 = t14 + t30
        t71 = t13 - t29
        t72 = t14 - t30
        t73 = t67 + t72
        t74 = t68 - t71
        t75 = t67 - t72
        t76 = t68 + t71
        t77 = t65 + t69
        t78 = t66 + t70
        t79 = t65 - t69
        t80 = t66 - t70
        t81 = t7 + t23
        t82 = t8 + t24
        t83 = t7 - t23
        t84 = t8 - t24
        t85 = t15 + t31
        t86 = t16 + t32
        t87 = t15 - t31
        t88 = t16 - t32
        t89 = t83 + t88
        t90 = t84 - t87
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 288, re0)
        store(scratch, 296, im0)
        store(scratch, 304, re1)
        store(scratch, 312, im1)
        t91 = t83 - t88
        t92 = t84 + t87
        t93 = t81 + t85
        t94 = t82 + t86
        t95 = t81 - t85
        t96 = t82 - t86
        t97 = t45 + t77
        t98 = t46 + t78
        t99 = t45 - t77
        t100 = t46 - t78
        t101 = t61 + t93
        t102 = t62 + t94
        t103 = t61 - t93
        t104 = t62 - t94
        t105 = t99 + t104
        t106 = t100 - t103
        t107 = t99 - t104
        t108 = t100 + t103
        t109 = t97 + t101
        t110 = t98 + t102
        t111 = t97 - t101
        t112 = t98 - t102
        store(dst, d, t109)
        store(dst, d + 8, t110)
        wr = load_splat(twiddles, k + 6)
        wi = load_splat(twiddles, k + 7)
        t113 = fma(t105, wr, -(t106 * wi))
        t114 = fma(t105, wi, t106 * wr)
        store(dst, d + 16 * 4 * dst_stride, t113)
        store(dst, d + 16 * 4 * dst_stride + 8, t114)
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 320, re0)
        store(scratch, 328, im0)
        store(scratch, 336, re1)
        store(scratch, 344, im1)
        wr = load_splat(twiddles, k + 14)
        wi = load_splat(twiddles, k + 15)
        t115 = fma(t111, wr, -(t112 * wi))
        t116 = fma(t111, wi, t112 * wr)
        store(dst, d + 16 * 8 * dst_stride, t115)
        store(dst, d + 16 * 8 * dst_stride + 8, t116)
        wr = load_splat(twiddles, k + 22)
        wi = load_splat(twiddles, k + 23)
        t117 = fma(t107, wr, -(t108 * wi))
        t118 = fma(t107, wi, t108 * wr)
        store(dst, d + 16 * 12 * dst_stride, t117)
        store(dst, d + 16 * 12 * dst_stride + 8, t118)
        t119 = fma(t57, c1, t58 * s1)
        t120 = fma(t58, c1, -(t57 * s1))
        t121 = (t74 + t73) * h
        t122 = (t74 - t73) * h
        t123 = fma(t89, s1, t90 * c1)
        t124 = fma(t90, s1, -(t89 * c1))
        t125 = t41 + t121
        t126 = t42 + t122
        t127 = t41 - t121
        t128 = t42 - t122
        t129 = t119 + t123
        t130 = t120 + t124
        t131 = t119 - t123
        t132 = t120 - t124
        t133 = t127 + t132
        t134 = t128 - t131
        t135 = t127 - t132
        t136 = t128 + t131
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 352, re0)
        store(scratch, 360, im0)
        store(scratch, 368, re1)
        store(scratch, 376, im1)
        t137 = t125 + t129
        t138 = t126 + t130
        t139 = t125 - t129
        t140 = t126 - t130
        wr = load_splat(twiddles, k + 0)
        wi = load_splat(twiddles, k + 1)
        t141 = fma(t137, wr, -(t138 * wi))
        t142 = fma(t137, wi, t138 * wr)
        store(dst, d + 16 * 1 * dst_stride, t141)
        store(dst, d + 16 * 1 * dst_stride + 8, t142)
        wr = load_splat(twiddles, k + 8)
        wi = load_splat(twiddles, k + 9)
        t143 = fma(t133, wr, -(t134 * wi))
        t144 = fma(t133, wi, t134 * wr)
        store(dst, d + 16 * 5 * dst_stride, t143)
        store(dst, d + 16 * 5 * dst_stride + 8, t144)
        wr = load_splat(twiddles, k + 16)
        wi = load_splat(twiddles, k + 17)
        t145 = fma(t139, wr, -(t140 * wi))
        t146 = fma(t139, wi, t140 * wr)
        store(dst, d + 16 * 9 * dst_stride, t145)
        store(dst, d + 16 * 9 * dst_stride + 8, t146)
        wr = load_splat(twiddles, k + 24)
        wi = load_splat(twiddles, k + 25)
        t147 = fma(t135, wr, -(t136 * wi))
        t148 = fma(t135, wi, t136 * wr)
        store(dst, d + 16 * 13 * dst_stride, t147)
        store(dst, d + 16 * 13 * dst_stride + 8, t148)
        t149 = (t64 + t63) * h
        t150 = (t64 - t63) * h
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 384, re0)
        store(scratch, 392, im0)
        store(scratch, 400, re1)
        store(scratch, 408, im1)
        t151 = -t79
        t152 = (t96 - t95) * h
        t153 = -((t96 + t95) * h)
        t154 = t47 + t80
        t155 = t48 + t151
        t156 = t47 - t80
        t157 = t48 - t151
        t158 = t149 + t152
        t159 = t150 + t153
        t160 = t149 - t152
        t161 = t150 - t153
        t162 = t156 + t161
        t163 = t157 - t160
        t164 = t156 - t161
        t165 = t157 + t160
        t166 = t154 + t158
        t167 = t155 + t159
        t168 = t154 - t158
        t169 = t155 - t159
        wr = load_splat(twiddles, k + 2)
        wi = load_splat(twiddles, k + 3)
        t170 = fma(t166, wr, -(t167 * wi))
        t171 = fma(t166, wi, t167 * wr)
        store(dst, d + 16 * 2 * dst_stride, t170)
        store(dst, d + 16 * 2 * dst_stride + 8, t171)
        wr = load_splat(twiddles, k + 10)
        wi = load_splat(twiddles, k + 11)
        t172 = fma(t162, wr, -(t163 * wi))
        t173 = fma(t162, wi, t163 * wr)
        store(dst, d + 16 * 6 * dst_stride, t172)
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 416, re0)
        store(scratch, 424, im0)
        store(scratch, 432, re1)
        store(scratch, 440, im1)
        store(dst, d + 16 * 6 * dst_stride + 8, t173)
        wr = load_splat(twiddles, k + 18)
        wi = load_splat(twiddles, k + 19)
        t174 = fma(t168, wr, -(t169 * wi))
        t175 = fma(t168, wi, t169 * wr)
        store(dst, d + 16 * 10 * dst_stride, t174)
        store(dst, d + 16 * 10 * dst_stride + 8, t175)
        wr = load_splat(twiddles, k + 26)
        wi = load_splat(twiddles, k + 27)
        t176 = fma(t164, wr, -(t165 * wi))
        t177 = fma(t164, wi, t165 * wr)
        store(dst, d + 16 * 14 * dst_stride, t176)
        store(dst, d + 16 * 14 * dst_stride + 8, t177)
        t178 = fma(t59, s1, t60 * c1)
        t179 = fma(t60, s1, -(t59 * c1))
        t180 = (t76 - t75) * h
        t181 = -((t76 + t75) * h)
        t182 = fma(t91, c1, t92 * s1)
        t183 = fma(t92, c1, -(t91 * s1))
        t184 = -t182
        t185 = -t183
        t186 = t43 + t180
        t187 = t44 + t181
        t188 = t43 - t180
        t189 = t44 - t181
        t190 = t178 + t184
        t191 = t179 + t185
        t192 = t178 - t184
        t193 = t179 - t185
        t194 = t188 + t193
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 448, re0)
        store(scratch, 456, im0)
        store(scratch, 464, re1)
        store(scratch, 472, im1)
        t195 = t189 - t192
        t196 = t188 - t193
        t197 = t189 + t192
        t198 = t186 + t190
        t199 = t187 + t191
        t200 = t186 - t190
        t201 = t187 - t191
        wr = load_splat(twiddles, k + 4)
        wi = load_splat(twiddles, k + 5)
        t202 = fma(t198, wr, -(t199 * wi))
        t203 = fma(t198, wi, t199 * wr)
        store(dst, d + 16 * 3 * dst_stride, t202)
        store(dst, d + 16 * 3 * dst_stride + 8, t203)
        wr = load_splat(twiddles, k + 12)
        wi = load_splat(twiddles, k + 13)
        t204 = fma(t194, wr, -(t195 * wi))
        t205 = fma(t194, wi, t195 * wr)
        store(dst, d + 16 * 7 * dst_stride, t204)
        store(dst, d + 16 * 7 * dst_stride + 8, t205)
        wr = load_splat(twiddles, k + 20)
        wi = load_splat(twiddles, k + 21)
        t206 = fma(t200, wr, -(t201 * wi))
        t207 = fma(t200, wi, t201 * wr)
        store(dst, d + 16 * 11 * dst_stride, t206)
        store(dst, d + 16 * 11 * dst_stride + 8, t207)
        wr = load_splat(twiddles, k + 28)
        wi = load_splat(twiddles, k + 29)
        t208 = fma(t196, wr, -(t197 * wi))
        t209 = fma(t196, wi, t197 * wr)
        store(dst, d + 16 * 15 * dst_stride, t208)
        store(dst, d + 16 * 15 * dst_stride + 8, t209)
        rng, re0, im0, re1, im1 = gaussian_pair(rng, minus_power)
        store(scratch, 480, re0)
        store(scratch, 488, im0)
        store(scratch, 496, re1)
        store(scratch, 504, im1)
    return rng


@njit
def argmax_16(work, base, block_stride, count, k_first, k_block, k_out, best, where):
    """Transform `count` blocks of 16; output r of block q is bin k_first + q * k_block + r * k_out.

    Returns the largest power so far and its bin, lane by lane. The bin is looked for only in blocks that beat the
    largest power so far, which become rare.
    """
    c1 = splat(_C1)
    h = splat(_H)
    s1 = splat(_S1)
    for q in range(count):
        s = 16 * (base + q * block_stride)
        t1 = load(work, s)
        t2 = load(work, s + 8)
        t3 = load(work, s + 16 * 4 * 1)
        t4 = load(work, s + 16 * 4 * 1 + 8)
        t5 = load(work, s + 16 * 8 * 1)
        t6 = load(work, s + 16 * 8 * 1 + 8)
        t7 = load(work, s + 16 * 12 * 1)
        t8 = load(work, s + 16 * 12 * 1 + 8)
        t9 = t1 + t5
        t10 = t2 + t6
        t11 = t1 - t5
        t12 = t2 - t6
        t13 = t3 + t7
        t14 = t4 + t8
        t15 = t3 - t7
        t16 = t4 - t8
        t17 = t11 + t16
        t18 = t12 - t15
        t19 = t11 - t16
        t20 = t12 + t15
        t21 = t9 + t13
        t22 = t10 + t14
        t23 = t9 - t13
        t24 = t10 - t14
        t25 = load(work, s + 16 * 1 * 1)
        t26 = load(work, s + 16 * 1 * 1 + 8)
        t27 = load(work, s + 16 * 5 * 1)
        t28 = load(work, s + 16 * 5 * 1 + 8)
        t29 = load(work, s + 16 * 9 * 1)
        t30 = load(work, s + 16 * 9 * 1 + 8)
        t31 = load(work, s + 16 * 13 * 1)
        t32 = load(work, s + 16 * 13 * 1 + 8)
        t33 = t25 + t29
        t34 = t26 + t30
        t35 = t25 - t29
        t36 = t26 - t30
        t37 = t27 + t31
        t38 = t28 + t32
        t39 = t27 - t31
        t40 = t28 - t32
        t41 = t35 + t40
        t42 = t36 - t39
        t43 = t35 - t40
        t44 = t36 + t39
        t45 = t33 + t37
        t46 = t34 + t38
        t47 = t33 - t37
        t48 = t34 - t38
        t49 = load(work, s + 16 * 2 * 1)
        t50 = load(work, s + 16 * 2 * 1 + 8)
        t51 = load(work, s + 16 * 6 * 1)
        t52 = load(work, s + 16 * 6 * 1 + 8)
        t53 = load(work, s + 16 * 10 * 1)
        t54 = load(work, s + 16 * 10 * 1 + 8)
        t55 = load(work, s + 16 * 14 * 1)
        t56 = load(work, s + 16 * 14 * 1 + 8)
        t57 = t49 + t53
        t58 = t50 + t54
        t59 = t49 - t53
        t60 = t50 - t54
        t61 = t51 + t55
        t62 = t52 + t56
        t63 = t51 - t55
        t64 = t52 - t56
        t65 = t59 + t64
        t66 = t60 - t63
        t67 = t59 - t64
        t68 = t60 + t63
        t69 = t57 + t61
        t70 = t58 + t62
        t71 = t57 - t61
        t72 = t58 - t62
        t73 = load(work, s + 16 * 3 * 1)
        t74 = load(work, s + 16 * 3 * 1 + 8)
        t75 = load(work, s + 16 * 7 * 1)
        t76 = load(work, s + 16 * 7 * 1 + 8)
        t77 = load(work, s + 16 * 11 * 1)
        t78 = load(work, s + 16 * 11 * 1 + 8)
        t79 = load(work, s + 16 * 15 * 1)
        t80 = load(work, s + 16 * 15 * 1 + 8)
        t81 = t73 + t77
        t82 = t74 + t78
        t83 = t73 - t77
        t84 = t74 - t78
        t85 = t75 + t79
        t86 = t76 + t80
        t87 = t75 - t79
        t88 = t76 - t80
        t89 = t83 + t88
        t90 = t84 - t87
        t91 = t83 - t88
        t92 = t84 + t87
        t93 = t81 + t85
        t94 = t82 + t86
        t95 = t81 - t85
        t96 = t82 - t86
        t97 = t21 + t69
        t98 = t22 + t70
        t99 = t21 - t69
        t100 = t22 - t70
        t101 = t45 + t93
        t102 = t46 + t94
        t103 = t45 - t93
        t104 = t46 - t94
        t105 = t99 + t104
        t106 = t100 - t103
        t107 = t99 - t104
        t108 = t100 + t103
        t109 = t97 + t101
        t110 = t98 + t102
        t111 = t97 - t101
        t112 = t98 - t102
        t113 = fma(t109, t109, t110 * t110)
        t114 = fma(t105, t105, t106 * t106)
        t115 = fma(t111, t111, t112 * t112)
        t116 = fma(t107, t107, t108 * t108)
        t117 = fma(t41, c1, t42 * s1)
        t118 = fma(t42, c1, -(t41 * s1))
        t119 = (t66 + t65) * h
        t120 = (t66 - t65) * h
        t121 = fma(t89, s1, t90 * c1)
        t122 = fma(t90, s1, -(t89 * c1))
        t123 = t17 + t119
        t124 = t18 + t120
        t125 = t17 - t119
        t126 = t18 - t120
        t127 = t117 + t121
        t128 = t118 + t122
        t129 = t117 - t121
        t130 = t118 - t122
        t131 = t125 + t130
        t132 = t126 - t129
        t133 = t125 - t130
        t134 = t126 + t129
        t135 = t123 + t127
        t136 = t124 + t128
        t137 = t123 - t127
        t138 = t124 - t128
        t139 = fma(t135, t135, t136 * t136)
        t140 = fma(t131, t131, t132 * t132)
        t141 = fma(t137, t137, t138 * t138)
        t142 = fma(t133, t133, t134 * t134)
        t143 = (t48 + t47) * h
        t144 = (t48 - t47) * h
        t145 = -t71
        t146 = (t96 - t95) * h
        t147 = -((t96 + t95) * h)
        t148 = t23 + t72
        t149 = t24 + t145
        t150 = t23 - t72
        t151 = t24 - t145
        t152 = t143 + t146
        t153 = t144 + t147
        t154 = t143 - t146
        t155 = t144 - t147
        t156 = t150 + t155
        t157 = t151 - t154
        t158 = t150 - t155
        t159 = t151 + t154
        t160 = t148 + t152
        t161 = t149 + t153
        t162 = t148 - t152
        t163 = t149 - t153
        t164 = fma(t160, t160, t161 * t161)
        t165 = fma(t156, t156, t157 * t157)
        t166 = fma(t162, t162, t163 * t163)
        t167 = fma(t158, t158, t159 * t159)
        t168 = fma(t43, s1, t44 * c1)
        t169 = fma(t44, s1, -(t43 * c1))
        t170 = (t68 - t67) * h
        t171 = -((t68 + t67) * h)
        t172 = fma(t91, c1, t92 * s1)
        t173 = fma(t92, c1, -(t91 * s1))
        t174 = -t172
        t175 = -t173
        t176 = t19 + t170
        t177 = t20 + t171
        t178 = t19 - t170
        t179 = t20 - t171
        t180 = t168 + t174
        t181 = t169 + t175
        t182 = t168 - t174
        t183 = t169 - t175
        t184 = t178 + t183
        t185 = t179 - t182
        t186 = t178 - t183
        t187 = t179 + t182
        t188 = t176 + t180
        t189 = t177 + t181
        t190 = t176 - t180
        t191 = t177 - t181
        t192 = fma(t188, t188, t189 * t189)
        t193 = fma(t184, t184, t185 * t185)
        t194 = fma(t190, t190, t191 * t191)
        t195 = fma(t186, t186, t187 * t187)
        t196 = maximum(t113, t139)
        t197 = maximum(t164, t192)
        t198 = maximum(t114, t140)
        t199 = maximum(t165, t193)
        t200 = maximum(t115, t141)
        t201 = maximum(t166, t194)
        t202 = maximum(t116, t142)
        t203 = maximum(t167, t195)
        t204 = maximum(t196, t197)
        t205 = maximum(t198, t199)
        t206 = maximum(t200, t201)
        t207 = maximum(t202, t203)
        t208 = maximum(t204, t205)
        t209 = maximum(t206, t207)
        t210 = maximum(t208, t209)
        better = t210 > best
        if mask_bits(better) != 0:
            best = select(better, t210, best)
            k = np.uint32(k_first + q * k_block)
            where = select(better & (t113 == best), splat_u32(k + np.uint32(0 * k_out)), where)
            where = select(better & (t139 == best), splat_u32(k + np.uint32(1 * k_out)), where)
            where = select(better & (t164 == best), splat_u32(k + np.uint32(2 * k_out)), where)
            where = select(better & (t192 == best), splat_u32(k + np.uint32(3 * k_out)), where)
            where = select(better & (t114 == best), splat_u32(k + np.uint32(4 * k_out)), where)
            where = select(better & (t140 == best), splat_u32(k + np.uint32(5 * k_out)), where)
            where = select(better & (t165 == best), splat_u32(k + np.uint32(6 * k_out)), where)
            where = select(better & (t193 == best), splat_u32(k + np.uint32(7 * k_out)), where)
            where = select(better & (t115 == best), splat_u32(k + np.uint32(8 * k_out)), where)
            where = select(better & (t141 == best), splat_u32(k + np.uint32(9 * k_out)), where)
            where = select(better & (t166 == best), splat_u32(k + np.uint32(10 * k_out)), where)
            where = select(better & (t194 == best), splat_u32(k + np.uint32(11 * k_out)), where)
            where = select(better & (t116 == best), splat_u32(k + np.uint32(12 * k_out)), where)
            where = select(better & (t142 == best), splat_u32(k + np.uint32(13 * k_out)), where)
            where = select(better & (t167 == best), splat_u32(k + np.uint32(14 * k_out)), where)
            where = select(better & (t195 == best), splat_u32(k + np.uint32(15 * k_out)), where)
    return best, where


@njit
def power_16(work, base, block_stride, count, out, k_first, k_block, k_out):
    """Transform `count` blocks of 16 and store powers; output r of block q is k_first + q * k_block + r * k_out."""
    c1 = splat(_C1)
    h = splat(_H)
    s1 = splat(_S1)
    for q in range(count):
        s = 16 * (base + q * block_stride)
        k = k_first + q * k_block
        t1 = load(work, s)
        t2 = load(work, s + 8)
        t3 = load(work, s + 16 * 4 * 1)
        t4 = load(work, s + 16 * 4 * 1 + 8)
        t5 = load(work, s + 16 * 8 * 1)
        t6 = load(work, s + 16 * 8 * 1 + 8)
        t7 = load(work, s + 16 * 12 * 1)
        t8 = load(work, s + 16 * 12 * 1 + 8)
        t9 = t1 + t5
        t10 = t2 + t6
        t11 = t1 - t5
        t12 = t2 - t6
        t13 = t3 + t7
        t14 = t4 + t8
        t15 = t3 - t7
        t16 = t4 - t8
        t17 = t11 + t16
        t18 = t12 - t15
        t19 = t11 - t16
        t20 = t12 + t15
        t21 = t9 + t13
        t22 = t10 + t14
        t23 = t9 - t13
        t24 = t10 - t14
        t25 = load(work, s + 16 * 1 * 1)
        t26 = load(work, s + 16 * 1 * 1 + 8)
        t27 = load(work, s + 16 * 5 * 1)
        t28 = load(work, s + 16 * 5 * 1 + 8)
        t29 = load(work, s + 16 * 9 * 1)
        t30 = load(work, s + 16 * 9 * 1 + 8)
        t31 = load(work, s + 16 * 13 * 1)
        t32 = load(work, s + 16 * 13 * 1 + 8)
        t33 = t25 + t29
        t34 = t26 + t30
        t35 = t25 - t29
        t36 = t26 - t30
        t37 = t27 + t31
        t38 = t28 + t32
        t39 = t27 - t31
        t40 = t28 - t32
        t41 = t35 + t40
        t42 = t36 - t39
        t43 = t35 - t40
        t44 = t36 + t39
        t45 = t33 + t37
        t46 = t34 + t38
        t47 = t33 - t37
        t48 = t34 - t38
        t49 = load(work, s + 16 * 2 * 1)
        t50 = load(work, s + 16 * 2 * 1 + 8)
        t51 = load(work, s + 16 * 6 * 1)
        t52 = load(work, s + 16 * 6 * 1 + 8)
        t53 = load(work, s + 16 * 10 * 1)
        t54 = load(work, s + 16 * 10 * 1 + 8)
        t55 = load(work, s + 16 * 14 * 1)
        t56 = load(work, s + 16 * 14 * 1 + 8)
        t57 = t49 + t53
        t58 = t50 + t54
        t59 = t49 - t53
        t60 = t50 - t54
        t61 = t51 + t55
        t62 = t52 + t56
        t63 = t51 - t55
        t64 = t52 - t56
        t65 = t59 + t64
        t66 = t60 - t63
        t67 = t59 - t64
        t68 = t60 + t63
        t69 = t57 + t61
        t70 = t58 + t62
        t71 = t57 - t61
        t72 = t58 - t62
        t73 = load(work, s + 16 * 3 * 1)
        t74 = load(work, s + 16 * 3 * 1 + 8)
        t75 = load(work, s + 16 * 7 * 1)
        t76 = load(work, s + 16 * 7 * 1 + 8)
        t77 = load(work, s + 16 * 11 * 1)
        t78 = load(work, s + 16 * 11 * 1 + 8)
        t79 = load(work, s + 16 * 15 * 1)
        t80 = load(work, s + 16 * 15 * 1 + 8)
        t81 = t73 + t77
        t82 = t74 + t78
        t83 = t73 - t77
        t84 = t74 - t78
        t85 = t75 + t79
        t86 = t76 + t80
        t87 = t75 - t79
        t88 = t76 - t80
        t89 = t83 + t88
        t90 = t84 - t87
        t91 = t83 - t88
        t92 = t84 + t87
        t93 = t81 + t85
        t94 = t82 + t86
        t95 = t81 - t85
        t96 = t82 - t86
        t97 = t21 + t69
        t98 = t22 + t70
        t99 = t21 - t69
        t100 = t22 - t70
        t101 = t45 + t93
        t102 = t46 + t94
        t103 = t45 - t93
        t104 = t46 - t94
        t105 = t99 + t104
        t106 = t100 - t103
        t107 = t99 - t104
        t108 = t100 + t103
        t109 = t97 + t101
        t110 = t98 + t102
        t111 = t97 - t101
        t112 = t98 - t102
        store(out, 8 * (k + 0 * k_out), fma(t109, t109, t110 * t110))
        store(out, 8 * (k + 4 * k_out), fma(t105, t105, t106 * t106))
        store(out, 8 * (k + 8 * k_out), fma(t111, t111, t112 * t112))
        store(out, 8 * (k + 12 * k_out), fma(t107, t107, t108 * t108))
        t113 = fma(t41, c1, t42 * s1)
        t114 = fma(t42, c1, -(t41 * s1))
        t115 = (t66 + t65) * h
        t116 = (t66 - t65) * h
        t117 = fma(t89, s1, t90 * c1)
        t118 = fma(t90, s1, -(t89 * c1))
        t119 = t17 + t115
        t120 = t18 + t116
        t121 = t17 - t115
        t122 = t18 - t116
        t123 = t113 + t117
        t124 = t114 + t118
        t125 = t113 - t117
        t126 = t114 - t118
        t127 = t121 + t126
        t128 = t122 - t125
        t129 = t121 - t126
        t130 = t122 + t125
        t131 = t119 + t123
        t132 = t120 + t124
        t133 = t119 - t123
        t134 = t120 - t124
        store(out, 8 * (k + 1 * k_out), fma(t131, t131, t132 * t132))
        store(out, 8 * (k + 5 * k_out), fma(t127, t127, t128 * t128))
        store(out, 8 * (k + 9 * k_out), fma(t133, t133, t134 * t134))
        store(out, 8 * (k + 13 * k_out), fma(t129, t129, t130 * t130))
        t135 = (t48 + t47) * h
        t136 = (t48 - t47) * h
        t137 = -t71
        t138 = (t96 - t95) * h
        t139 = -((t96 + t95) * h)
        t140 = t23 + t72
        t141 = t24 + t137
        t142 = t23 - t72
        t143 = t24 - t137
        t144 = t135 + t138
        t145 = t136 + t139
        t146 = t135 - t138
        t147 = t136 - t139
        t148 = t142 + t147
        t149 = t143 - t146
        t150 = t142 - t147
        t151 = t143 + t146
        t152 = t140 + t144
        t153 = t141 + t145
        t154 = t140 - t144
        t155 = t141 - t145
        store(out, 8 * (k + 2 * k_out), fma(t152, t152, t153 * t153))
        store(out, 8 * (k + 6 * k_out), fma(t148, t148, t149 * t149))
        store(out, 8 * (k + 10 * k_out), fma(t154, t154, t155 * t155))
        store(out, 8 * (k + 14 * k_out), fma(t150, t150, t151 * t151))
        t156 = fma(t43, s1, t44 * c1)
        t157 = fma(t44, s1, -(t43 * c1))
        t158 = (t68 - t67) * h
        t159 = -((t68 + t67) * h)
        t160 = fma(t91, c1, t92 * s1)
        t161 = fma(t92, c1, -(t91 * s1))
        t162 = -t160
        t163 = -t161
        t164 = t19 + t158
        t165 = t20 + t159
        t166 = t19 - t158
        t167 = t20 - t159
        t168 = t156 + t162
        t169 = t157 + t163
        t170 = t156 - t162
        t171 = t157 - t163
        t172 = t166 + t171
        t173 = t167 - t170
        t174 = t166 - t171
        t175 = t167 + t170
        t176 = t164 + t168
        t177 = t165 + t169
        t178 = t164 - t168
        t179 = t165 - t169
        store(out, 8 * (k + 3 * k_out), fma(t176, t176, t177 * t177))
        store(out, 8 * (k + 7 * k_out), fma(t172, t172, t173 * t173))
        store(out, 8 * (k + 11 * k_out), fma(t178, t178, t179 * t179))
        store(out, 8 * (k + 15 * k_out), fma(t174, t174, t175 * t175))


@njit
def spectrum_16(work, base, block_stride, count, out, k_first, k_block, k_out):
    """Transform `count` blocks of 16 and store values; output r of block q is k_first + q * k_block + r * k_out."""
    c1 = splat(_C1)
    h = splat(_H)
    s1 = splat(_S1)
    for q in range(count):
        s = 16 * (base + q * block_stride)
        k = k_first + q * k_block
        t1 = load(work, s)
        t2 = load(work, s + 8)
        t3 = load(work, s + 16 * 4 * 1)
        t4 = load(work, s + 16 * 4 * 1 + 8)
        t5 = load(work, s + 16 * 8 * 1)
        t6 = load(work, s + 16 * 8 * 1 + 8)
        t7 = load(work, s + 16 * 12 * 1)
        t8 = load(work, s + 16 * 12 * 1 + 8)
        t9 = t1 + t5
        t10 = t2 + t6
        t11 = t1 - t5
        t12 = t2 - t6
        t13 = t3 + t7
        t14 = t4 + t8
        t15 = t3 - t7
        t16 = t4 - t8
        t17 = t11 + t16
        t18 = t12 - t15
        t19 = t11 - t16
        t20 = t12 + t15
        t21 = t9 + t13
        t22 = t10 + t14
        t23 = t9 - t13
        t24 = t10 - t14
        t25 = load(work, s + 16 * 1 * 1)
        t26 = load(work, s + 16 * 1 * 1 + 8)
        t27 = load(work, s + 16 * 5 * 1)
        t28 = load(work, s + 16 * 5 * 1 + 8)
        t29 = load(work, s + 16 * 9 * 1)
        t30 = load(work, s + 16 * 9 * 1 + 8)
        t31 = load(work, s + 16 * 13 * 1)
        t32 = load(work, s + 16 * 13 * 1 + 8)
        t33 = t25 + t29
        t34 = t26 + t30
        t35 = t25 - t29
        t36 = t26 - t30
        t37 = t27 + t31
        t38 = t28 + t32
        t39 = t27 - t31
        t40 = t28 - t32
        t41 = t35 + t40
        t42 = t36 - t39
        t43 = t35 - t40
        t44 = t36 + t39
        t45 = t33 + t37
        t46 = t34 + t38
        t47 = t33 - t37
        t48 = t34 - t38
        t49 = load(work, s + 16 * 2 * 1)
        t50 = load(work, s + 16 * 2 * 1 + 8)
        t51 = load(work, s + 16 * 6 * 1)
        t52 = load(work, s + 16 * 6 * 1 + 8)
        t53 = load(work, s + 16 * 10 * 1)
        t54 = load(work, s + 16 * 10 * 1 + 8)
        t55 = load(work, s + 16 * 14 * 1)
        t56 = load(work, s + 16 * 14 * 1 + 8)
        t57 = t49 + t53
        t58 = t50 + t54
        t59 = t49 - t53
        t60 = t50 - t54
        t61 = t51 + t55
        t62 = t52 + t56
        t63 = t51 - t55
        t64 = t52 - t56
        t65 = t59 + t64
        t66 = t60 - t63
        t67 = t59 - t64
        t68 = t60 + t63
        t69 = t57 + t61
        t70 = t58 + t62
        t71 = t57 - t61
        t72 = t58 - t62
        t73 = load(work, s + 16 * 3 * 1)
        t74 = load(work, s + 16 * 3 * 1 + 8)
        t75 = load(work, s + 16 * 7 * 1)
        t76 = load(work, s + 16 * 7 * 1 + 8)
        t77 = load(work, s + 16 * 11 * 1)
        t78 = load(work, s + 16 * 11 * 1 + 8)
        t79 = load(work, s + 16 * 15 * 1)
        t80 = load(work, s + 16 * 15 * 1 + 8)
        t81 = t73 + t77
        t82 = t74 + t78
        t83 = t73 - t77
        t84 = t74 - t78
        t85 = t75 + t79
        t86 = t76 + t80
        t87 = t75 - t79
        t88 = t76 - t80
        t89 = t83 + t88
        t90 = t84 - t87
        t91 = t83 - t88
        t92 = t84 + t87
        t93 = t81 + t85
        t94 = t82 + t86
        t95 = t81 - t85
        t96 = t82 - t86
        t97 = t21 + t69
        t98 = t22 + t70
        t99 = t21 - t69
        t100 = t22 - t70
        t101 = t45 + t93
        t102 = t46 + t94
        t103 = t45 - t93
        t104 = t46 - t94
        t105 = t99 + t104
        t106 = t100 - t103
        t107 = t99 - t104
        t108 = t100 + t103
        t109 = t97 + t101
        t110 = t98 + t102
        t111 = t97 - t101
        t112 = t98 - t102
        store(out, 16 * (k + 0 * k_out), t109)
        store(out, 16 * (k + 0 * k_out) + 8, t110)
        store(out, 16 * (k + 4 * k_out), t105)
        store(out, 16 * (k + 4 * k_out) + 8, t106)
        store(out, 16 * (k + 8 * k_out), t111)
        store(out, 16 * (k + 8 * k_out) + 8, t112)
        store(out, 16 * (k + 12 * k_out), t107)
        store(out, 16 * (k + 12 * k_out) + 8, t108)
        t113 = fma(t41, c1, t42 * s1)
        t114 = fma(t42, c1, -(t41 * s1))
        t115 = (t66 + t65) * h
        t116 = (t66 - t65) * h
        t117 = fma(t89, s1, t90 * c1)
        t118 = fma(t90, s1, -(t89 * c1))
        t119 = t17 + t115
        t120 = t18 + t116
        t121 = t17 - t115
        t122 = t18 - t116
        t123 = t113 + t117
        t124 = t114 + t118
        t125 = t113 - t117
        t126 = t114 - t118
        t127 = t121 + t126
        t128 = t122 - t125
        t129 = t121 - t126
        t130 = t122 + t125
        t131 = t119 + t123
        t132 = t120 + t124
        t133 = t119 - t123
        t134 = t120 - t124
        store(out, 16 * (k + 1 * k_out), t131)
        store(out, 16 * (k + 1 * k_out) + 8, t132)
        store(out, 16 * (k + 5 * k_out), t127)
        store(out, 16 * (k + 5 * k_out) + 8, t128)
        store(out, 16 * (k + 9 * k_out), t133)
        store(out, 16 * (k + 9 * k_out) + 8, t134)
        store(out, 16 * (k + 13 * k_out), t129)
        store(out, 16 * (k + 13 * k_out) + 8, t130)
        t135 = (t48 + t47) * h
        t136 = (t48 - t47) * h
        t137 = -t71
        t138 = (t96 - t95) * h
        t139 = -((t96 + t95) * h)
        t140 = t23 + t72
        t141 = t24 + t137
        t142 = t23 - t72
        t143 = t24 - t137
        t144 = t135 + t138
        t145 = t136 + t139
        t146 = t135 - t138
        t147 = t136 - t139
        t148 = t142 + t147
        t149 = t143 - t146
        t150 = t142 - t147
        t151 = t143 + t146
        t152 = t140 + t144
        t153 = t141 + t145
        t154 = t140 - t144
        t155 = t141 - t145
        store(out, 16 * (k + 2 * k_out), t152)
        store(out, 16 * (k + 2 * k_out) + 8, t153)
        store(out, 16 * (k + 6 * k_out), t148)
        store(out, 16 * (k + 6 * k_out) + 8, t149)
        store(out, 16 * (k + 10 * k_out), t154)
        store(out, 16 * (k + 10 * k_out) + 8, t155)
        store(out, 16 * (k + 14 * k_out), t150)
        store(out, 16 * (k + 14 * k_out) + 8, t151)
        t156 = fma(t43, s1, t44 * c1)
        t157 = fma(t44, s1, -(t43 * c1))
        t158 = (t68 - t67) * h
        t159 = -((t68 + t67) * h)
        t160 = fma(t91, c1, t92 * s1)
        t161 = fma(t92, c1, -(t91 * s1))
        t162 = -t160
        t163 = -t161
        t164 = t19 + t158
        t165 = t20 + t159
        t166 = t19 - t158
        t167 = t20 - t159
        t168 = t156 + t162
        t169 = t157 + t163
        t170 = t156 - t162
        t171 = t157 - t163
        t172 = t166 + t171
        t173 = t167 - t170
        t174 = t166 - t171
        t175 = t167 + t170
        t176 = t164 + t168
        t177 = t165 + t169
        t178 = t164 - t168
        t179 = t165 - t169
        store(out, 16 * (k + 3 * k_out), t176)
        store(out, 16 * (k + 3 * k_out) + 8, t177)
        store(out, 16 * (k + 7 * k_out), t172)
        store(out, 16 * (k + 7 * k_out) + 8, t173)
        store(out, 16 * (k + 11 * k_out), t178)
        store(out, 16 * (k + 11 * k_out) + 8, t179)
        store(out, 16 * (k + 15 * k_out), t174)
        store(out, 16 * (k + 15 * k_out) + 8, t175)
