# ruff: noqa
# fmt: off
# mypy: ignore-errors
"""The kernels of each spreading factor, put together from codelets. Written by `generate_codelets.py`; do not edit.

For 2**sf = R1 * R2 * R3: a first pass of R1 into R1 rows (padded by a cache line, so that they do not fall into the
same cache set), then for each row a middle pass of R2 and a last pass of R3, depth first, so that a row is still in the
first-level cache. Row p, block q, output r is bin p + R1 * q + R1 * R2 * r: decisions need no reordering pass.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lora_phy.kernels import codelets
from lora_phy.kernels.lanes import CACHE, splat, splat_u32, store
from lora_phy.kernels.layout import bit_metrics, gather, scatter_magnitudes
from lora_phy.kernels.randomness import load_state, store_state
from lora_phy.kernels.tables import channel_factors


@njit(cache=CACHE, nogil=True)
def link_sf5(
    state, symbols, gains, gain_stride, offset, noise_power, first_row, row_step, tables, buffers, decisions
):
    """Send each of `symbols` through chirp, gain, offset, noise, dechirp and FFT; write the strongest bins."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 31, 4, scratch
        )
        rng = codelets.link_4(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 9, 8, twiddles1
        )
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        best, where = codelets.argmax_8(work, first_row * 9, row_step * 9, (4 - first_row + row_step - 1) // row_step, first_row, row_step, 4, best, where)
        store(decisions, 8 * g, where)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def link_soft_sf5(
    state, symbols, gains, gain_stride, offset, noise_power, tables, buffers, powers, order, num_bits, out
):
    """As `link_sf5`; writes magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 31, 4, scratch
        )
        rng = codelets.link_4(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 9, 8, twiddles1
        )
        codelets.power_8(work, 0, 1 * 9, 4, powers, 0, 1, 4)
        if num_bits == 0:
            scatter_magnitudes(powers, 32, out, 256 * g)
        else:
            bit_metrics(powers, 32, order, num_bits, out, 8 * num_bits * g)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def demodulate_sf5(iq, dechirp, sign, first_row, row_step, tables, buffers, decisions):
    """The strongest bin of each symbol of ordinary IQ; a multiple of eight symbols."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(decisions.size // 8):
        gather(iq, 64 * 8 * g, 64, dechirp, sign, samples)
        codelets.pass_4(samples, 0, 8, work, 0, 9, 8, twiddles1)
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        best, where = codelets.argmax_8(work, first_row * 9, row_step * 9, (4 - first_row + row_step - 1) // row_step, first_row, row_step, 4, best, where)
        store(decisions, 8 * g, where)


@njit(cache=CACHE, nogil=True)
def bins_sf5(iq, dechirp, sign, tables, buffers, powers, order, num_bits, out):
    """Soft outputs of ordinary IQ: magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(iq.size // 512):
        gather(iq, 64 * 8 * g, 64, dechirp, sign, samples)
        codelets.pass_4(samples, 0, 8, work, 0, 9, 8, twiddles1)
        codelets.power_8(work, 0, 1 * 9, 4, powers, 0, 1, 4)
        if num_bits == 0:
            scatter_magnitudes(powers, 32, out, 256 * g)
        else:
            bit_metrics(powers, 32, order, num_bits, out, 8 * num_bits * g)


@njit(cache=CACHE, nogil=True)
def fft_sf5(samples, tables, buffers, out):
    """FFTs of groups of eight symbols in lane layout, ``(groups, 2**sf, 2, 8)`` flattened, in natural order."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, _ = buffers
    for g in range(samples.size // 512):
        codelets.pass_4(samples, 32 * g, 8, work, 0, 9, 8, twiddles1)
        target = out[512 * g : 512 * (g + 1)]
        codelets.spectrum_8(work, 0, 1 * 9, 4, target, 0, 1, 4)


@njit(cache=CACHE, nogil=True)
def link_sf6(
    state, symbols, gains, gain_stride, offset, noise_power, first_row, row_step, tables, buffers, decisions
):
    """Send each of `symbols` through chirp, gain, offset, noise, dechirp and FFT; write the strongest bins."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 63, 8, scratch
        )
        rng = codelets.link_8(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 9, 8, twiddles1
        )
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        best, where = codelets.argmax_8(work, first_row * 9, row_step * 9, (8 - first_row + row_step - 1) // row_step, first_row, row_step, 8, best, where)
        store(decisions, 8 * g, where)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def link_soft_sf6(
    state, symbols, gains, gain_stride, offset, noise_power, tables, buffers, powers, order, num_bits, out
):
    """As `link_sf6`; writes magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 63, 8, scratch
        )
        rng = codelets.link_8(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 9, 8, twiddles1
        )
        codelets.power_8(work, 0, 1 * 9, 8, powers, 0, 1, 8)
        if num_bits == 0:
            scatter_magnitudes(powers, 64, out, 512 * g)
        else:
            bit_metrics(powers, 64, order, num_bits, out, 8 * num_bits * g)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def demodulate_sf6(iq, dechirp, sign, first_row, row_step, tables, buffers, decisions):
    """The strongest bin of each symbol of ordinary IQ; a multiple of eight symbols."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(decisions.size // 8):
        gather(iq, 128 * 8 * g, 128, dechirp, sign, samples)
        codelets.pass_8(samples, 0, 8, work, 0, 9, 8, twiddles1)
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        best, where = codelets.argmax_8(work, first_row * 9, row_step * 9, (8 - first_row + row_step - 1) // row_step, first_row, row_step, 8, best, where)
        store(decisions, 8 * g, where)


@njit(cache=CACHE, nogil=True)
def bins_sf6(iq, dechirp, sign, tables, buffers, powers, order, num_bits, out):
    """Soft outputs of ordinary IQ: magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(iq.size // 1024):
        gather(iq, 128 * 8 * g, 128, dechirp, sign, samples)
        codelets.pass_8(samples, 0, 8, work, 0, 9, 8, twiddles1)
        codelets.power_8(work, 0, 1 * 9, 8, powers, 0, 1, 8)
        if num_bits == 0:
            scatter_magnitudes(powers, 64, out, 512 * g)
        else:
            bit_metrics(powers, 64, order, num_bits, out, 8 * num_bits * g)


@njit(cache=CACHE, nogil=True)
def fft_sf6(samples, tables, buffers, out):
    """FFTs of groups of eight symbols in lane layout, ``(groups, 2**sf, 2, 8)`` flattened, in natural order."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, _ = buffers
    for g in range(samples.size // 1024):
        codelets.pass_8(samples, 64 * g, 8, work, 0, 9, 8, twiddles1)
        target = out[1024 * g : 1024 * (g + 1)]
        codelets.spectrum_8(work, 0, 1 * 9, 8, target, 0, 1, 8)


@njit(cache=CACHE, nogil=True)
def link_sf7(
    state, symbols, gains, gain_stride, offset, noise_power, first_row, row_step, tables, buffers, decisions
):
    """Send each of `symbols` through chirp, gain, offset, noise, dechirp and FFT; write the strongest bins."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 127, 8, scratch
        )
        rng = codelets.link_8(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 17, 16, twiddles1
        )
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        best, where = codelets.argmax_16(work, first_row * 17, row_step * 17, (8 - first_row + row_step - 1) // row_step, first_row, row_step, 8, best, where)
        store(decisions, 8 * g, where)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def link_soft_sf7(
    state, symbols, gains, gain_stride, offset, noise_power, tables, buffers, powers, order, num_bits, out
):
    """As `link_sf7`; writes magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 127, 8, scratch
        )
        rng = codelets.link_8(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 17, 16, twiddles1
        )
        codelets.power_16(work, 0, 1 * 17, 8, powers, 0, 1, 8)
        if num_bits == 0:
            scatter_magnitudes(powers, 128, out, 1024 * g)
        else:
            bit_metrics(powers, 128, order, num_bits, out, 8 * num_bits * g)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def demodulate_sf7(iq, dechirp, sign, first_row, row_step, tables, buffers, decisions):
    """The strongest bin of each symbol of ordinary IQ; a multiple of eight symbols."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(decisions.size // 8):
        gather(iq, 256 * 8 * g, 256, dechirp, sign, samples)
        codelets.pass_8(samples, 0, 16, work, 0, 17, 16, twiddles1)
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        best, where = codelets.argmax_16(work, first_row * 17, row_step * 17, (8 - first_row + row_step - 1) // row_step, first_row, row_step, 8, best, where)
        store(decisions, 8 * g, where)


@njit(cache=CACHE, nogil=True)
def bins_sf7(iq, dechirp, sign, tables, buffers, powers, order, num_bits, out):
    """Soft outputs of ordinary IQ: magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(iq.size // 2048):
        gather(iq, 256 * 8 * g, 256, dechirp, sign, samples)
        codelets.pass_8(samples, 0, 16, work, 0, 17, 16, twiddles1)
        codelets.power_16(work, 0, 1 * 17, 8, powers, 0, 1, 8)
        if num_bits == 0:
            scatter_magnitudes(powers, 128, out, 1024 * g)
        else:
            bit_metrics(powers, 128, order, num_bits, out, 8 * num_bits * g)


@njit(cache=CACHE, nogil=True)
def fft_sf7(samples, tables, buffers, out):
    """FFTs of groups of eight symbols in lane layout, ``(groups, 2**sf, 2, 8)`` flattened, in natural order."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, _ = buffers
    for g in range(samples.size // 2048):
        codelets.pass_8(samples, 128 * g, 16, work, 0, 17, 16, twiddles1)
        target = out[2048 * g : 2048 * (g + 1)]
        codelets.spectrum_16(work, 0, 1 * 17, 8, target, 0, 1, 8)


@njit(cache=CACHE, nogil=True)
def link_sf8(
    state, symbols, gains, gain_stride, offset, noise_power, first_row, row_step, tables, buffers, decisions
):
    """Send each of `symbols` through chirp, gain, offset, noise, dechirp and FFT; write the strongest bins."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 255, 16, scratch
        )
        rng = codelets.link_16(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 17, 16, twiddles1
        )
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        best, where = codelets.argmax_16(work, first_row * 17, row_step * 17, (16 - first_row + row_step - 1) // row_step, first_row, row_step, 16, best, where)
        store(decisions, 8 * g, where)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def link_soft_sf8(
    state, symbols, gains, gain_stride, offset, noise_power, tables, buffers, powers, order, num_bits, out
):
    """As `link_sf8`; writes magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 255, 16, scratch
        )
        rng = codelets.link_16(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 17, 16, twiddles1
        )
        codelets.power_16(work, 0, 1 * 17, 16, powers, 0, 1, 16)
        if num_bits == 0:
            scatter_magnitudes(powers, 256, out, 2048 * g)
        else:
            bit_metrics(powers, 256, order, num_bits, out, 8 * num_bits * g)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def demodulate_sf8(iq, dechirp, sign, first_row, row_step, tables, buffers, decisions):
    """The strongest bin of each symbol of ordinary IQ; a multiple of eight symbols."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(decisions.size // 8):
        gather(iq, 512 * 8 * g, 512, dechirp, sign, samples)
        codelets.pass_16(samples, 0, 16, work, 0, 17, 16, twiddles1)
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        best, where = codelets.argmax_16(work, first_row * 17, row_step * 17, (16 - first_row + row_step - 1) // row_step, first_row, row_step, 16, best, where)
        store(decisions, 8 * g, where)


@njit(cache=CACHE, nogil=True)
def bins_sf8(iq, dechirp, sign, tables, buffers, powers, order, num_bits, out):
    """Soft outputs of ordinary IQ: magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(iq.size // 4096):
        gather(iq, 512 * 8 * g, 512, dechirp, sign, samples)
        codelets.pass_16(samples, 0, 16, work, 0, 17, 16, twiddles1)
        codelets.power_16(work, 0, 1 * 17, 16, powers, 0, 1, 16)
        if num_bits == 0:
            scatter_magnitudes(powers, 256, out, 2048 * g)
        else:
            bit_metrics(powers, 256, order, num_bits, out, 8 * num_bits * g)


@njit(cache=CACHE, nogil=True)
def fft_sf8(samples, tables, buffers, out):
    """FFTs of groups of eight symbols in lane layout, ``(groups, 2**sf, 2, 8)`` flattened, in natural order."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, _ = buffers
    for g in range(samples.size // 4096):
        codelets.pass_16(samples, 256 * g, 16, work, 0, 17, 16, twiddles1)
        target = out[4096 * g : 4096 * (g + 1)]
        codelets.spectrum_16(work, 0, 1 * 17, 16, target, 0, 1, 16)


@njit(cache=CACHE, nogil=True)
def link_sf9(
    state, symbols, gains, gain_stride, offset, noise_power, first_row, row_step, tables, buffers, decisions
):
    """Send each of `symbols` through chirp, gain, offset, noise, dechirp and FFT; write the strongest bins."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 511, 8, scratch
        )
        rng = codelets.link_8(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 65, 64, twiddles1
        )
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        for p in range(first_row, 8, row_step):
            base = p * 65
            codelets.pass_8(work, base, 8, work, base, 8, 8, twiddles2)
            best, where = codelets.argmax_8(work, base, 8, 8, p, 8, 64, best, where)
        store(decisions, 8 * g, where)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def link_soft_sf9(
    state, symbols, gains, gain_stride, offset, noise_power, tables, buffers, powers, order, num_bits, out
):
    """As `link_sf9`; writes magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 511, 8, scratch
        )
        rng = codelets.link_8(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 65, 64, twiddles1
        )
        for p in range(0, 8, 1):
            base = p * 65
            codelets.pass_8(work, base, 8, work, base, 8, 8, twiddles2)
            codelets.power_8(work, base, 8, 8, powers, p, 8, 64)
        if num_bits == 0:
            scatter_magnitudes(powers, 512, out, 4096 * g)
        else:
            bit_metrics(powers, 512, order, num_bits, out, 8 * num_bits * g)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def demodulate_sf9(iq, dechirp, sign, first_row, row_step, tables, buffers, decisions):
    """The strongest bin of each symbol of ordinary IQ; a multiple of eight symbols."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(decisions.size // 8):
        gather(iq, 1024 * 8 * g, 1024, dechirp, sign, samples)
        codelets.pass_8(samples, 0, 64, work, 0, 65, 64, twiddles1)
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        for p in range(first_row, 8, row_step):
            base = p * 65
            codelets.pass_8(work, base, 8, work, base, 8, 8, twiddles2)
            best, where = codelets.argmax_8(work, base, 8, 8, p, 8, 64, best, where)
        store(decisions, 8 * g, where)


@njit(cache=CACHE, nogil=True)
def bins_sf9(iq, dechirp, sign, tables, buffers, powers, order, num_bits, out):
    """Soft outputs of ordinary IQ: magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(iq.size // 8192):
        gather(iq, 1024 * 8 * g, 1024, dechirp, sign, samples)
        codelets.pass_8(samples, 0, 64, work, 0, 65, 64, twiddles1)
        for p in range(0, 8, 1):
            base = p * 65
            codelets.pass_8(work, base, 8, work, base, 8, 8, twiddles2)
            codelets.power_8(work, base, 8, 8, powers, p, 8, 64)
        if num_bits == 0:
            scatter_magnitudes(powers, 512, out, 4096 * g)
        else:
            bit_metrics(powers, 512, order, num_bits, out, 8 * num_bits * g)


@njit(cache=CACHE, nogil=True)
def fft_sf9(samples, tables, buffers, out):
    """FFTs of groups of eight symbols in lane layout, ``(groups, 2**sf, 2, 8)`` flattened, in natural order."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, _ = buffers
    for g in range(samples.size // 8192):
        codelets.pass_8(samples, 512 * g, 64, work, 0, 65, 64, twiddles1)
        target = out[8192 * g : 8192 * (g + 1)]
        for p in range(0, 8, 1):
            base = p * 65
            codelets.pass_8(work, base, 8, work, base, 8, 8, twiddles2)
            codelets.spectrum_8(work, base, 8, 8, target, p, 8, 64)


@njit(cache=CACHE, nogil=True)
def link_sf10(
    state, symbols, gains, gain_stride, offset, noise_power, first_row, row_step, tables, buffers, decisions
):
    """Send each of `symbols` through chirp, gain, offset, noise, dechirp and FFT; write the strongest bins."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 1023, 16, scratch
        )
        rng = codelets.link_16(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 65, 64, twiddles1
        )
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        for p in range(first_row, 16, row_step):
            base = p * 65
            codelets.pass_8(work, base, 8, work, base, 8, 8, twiddles2)
            best, where = codelets.argmax_8(work, base, 8, 8, p, 16, 128, best, where)
        store(decisions, 8 * g, where)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def link_soft_sf10(
    state, symbols, gains, gain_stride, offset, noise_power, tables, buffers, powers, order, num_bits, out
):
    """As `link_sf10`; writes magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 1023, 16, scratch
        )
        rng = codelets.link_16(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 65, 64, twiddles1
        )
        for p in range(0, 16, 1):
            base = p * 65
            codelets.pass_8(work, base, 8, work, base, 8, 8, twiddles2)
            codelets.power_8(work, base, 8, 8, powers, p, 16, 128)
        if num_bits == 0:
            scatter_magnitudes(powers, 1024, out, 8192 * g)
        else:
            bit_metrics(powers, 1024, order, num_bits, out, 8 * num_bits * g)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def demodulate_sf10(iq, dechirp, sign, first_row, row_step, tables, buffers, decisions):
    """The strongest bin of each symbol of ordinary IQ; a multiple of eight symbols."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(decisions.size // 8):
        gather(iq, 2048 * 8 * g, 2048, dechirp, sign, samples)
        codelets.pass_16(samples, 0, 64, work, 0, 65, 64, twiddles1)
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        for p in range(first_row, 16, row_step):
            base = p * 65
            codelets.pass_8(work, base, 8, work, base, 8, 8, twiddles2)
            best, where = codelets.argmax_8(work, base, 8, 8, p, 16, 128, best, where)
        store(decisions, 8 * g, where)


@njit(cache=CACHE, nogil=True)
def bins_sf10(iq, dechirp, sign, tables, buffers, powers, order, num_bits, out):
    """Soft outputs of ordinary IQ: magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(iq.size // 16384):
        gather(iq, 2048 * 8 * g, 2048, dechirp, sign, samples)
        codelets.pass_16(samples, 0, 64, work, 0, 65, 64, twiddles1)
        for p in range(0, 16, 1):
            base = p * 65
            codelets.pass_8(work, base, 8, work, base, 8, 8, twiddles2)
            codelets.power_8(work, base, 8, 8, powers, p, 16, 128)
        if num_bits == 0:
            scatter_magnitudes(powers, 1024, out, 8192 * g)
        else:
            bit_metrics(powers, 1024, order, num_bits, out, 8 * num_bits * g)


@njit(cache=CACHE, nogil=True)
def fft_sf10(samples, tables, buffers, out):
    """FFTs of groups of eight symbols in lane layout, ``(groups, 2**sf, 2, 8)`` flattened, in natural order."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, _ = buffers
    for g in range(samples.size // 16384):
        codelets.pass_16(samples, 1024 * g, 64, work, 0, 65, 64, twiddles1)
        target = out[16384 * g : 16384 * (g + 1)]
        for p in range(0, 16, 1):
            base = p * 65
            codelets.pass_8(work, base, 8, work, base, 8, 8, twiddles2)
            codelets.spectrum_8(work, base, 8, 8, target, p, 16, 128)


@njit(cache=CACHE, nogil=True)
def link_sf11(
    state, symbols, gains, gain_stride, offset, noise_power, first_row, row_step, tables, buffers, decisions
):
    """Send each of `symbols` through chirp, gain, offset, noise, dechirp and FFT; write the strongest bins."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 2047, 16, scratch
        )
        rng = codelets.link_16(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 129, 128, twiddles1
        )
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        for p in range(first_row, 16, row_step):
            base = p * 129
            codelets.pass_16(work, base, 8, work, base, 8, 8, twiddles2)
            best, where = codelets.argmax_8(work, base, 8, 16, p, 16, 256, best, where)
        store(decisions, 8 * g, where)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def link_soft_sf11(
    state, symbols, gains, gain_stride, offset, noise_power, tables, buffers, powers, order, num_bits, out
):
    """As `link_sf11`; writes magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 2047, 16, scratch
        )
        rng = codelets.link_16(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 129, 128, twiddles1
        )
        for p in range(0, 16, 1):
            base = p * 129
            codelets.pass_16(work, base, 8, work, base, 8, 8, twiddles2)
            codelets.power_8(work, base, 8, 16, powers, p, 16, 256)
        if num_bits == 0:
            scatter_magnitudes(powers, 2048, out, 16384 * g)
        else:
            bit_metrics(powers, 2048, order, num_bits, out, 8 * num_bits * g)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def demodulate_sf11(iq, dechirp, sign, first_row, row_step, tables, buffers, decisions):
    """The strongest bin of each symbol of ordinary IQ; a multiple of eight symbols."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(decisions.size // 8):
        gather(iq, 4096 * 8 * g, 4096, dechirp, sign, samples)
        codelets.pass_16(samples, 0, 128, work, 0, 129, 128, twiddles1)
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        for p in range(first_row, 16, row_step):
            base = p * 129
            codelets.pass_16(work, base, 8, work, base, 8, 8, twiddles2)
            best, where = codelets.argmax_8(work, base, 8, 16, p, 16, 256, best, where)
        store(decisions, 8 * g, where)


@njit(cache=CACHE, nogil=True)
def bins_sf11(iq, dechirp, sign, tables, buffers, powers, order, num_bits, out):
    """Soft outputs of ordinary IQ: magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(iq.size // 32768):
        gather(iq, 4096 * 8 * g, 4096, dechirp, sign, samples)
        codelets.pass_16(samples, 0, 128, work, 0, 129, 128, twiddles1)
        for p in range(0, 16, 1):
            base = p * 129
            codelets.pass_16(work, base, 8, work, base, 8, 8, twiddles2)
            codelets.power_8(work, base, 8, 16, powers, p, 16, 256)
        if num_bits == 0:
            scatter_magnitudes(powers, 2048, out, 16384 * g)
        else:
            bit_metrics(powers, 2048, order, num_bits, out, 8 * num_bits * g)


@njit(cache=CACHE, nogil=True)
def fft_sf11(samples, tables, buffers, out):
    """FFTs of groups of eight symbols in lane layout, ``(groups, 2**sf, 2, 8)`` flattened, in natural order."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, _ = buffers
    for g in range(samples.size // 32768):
        codelets.pass_16(samples, 2048 * g, 128, work, 0, 129, 128, twiddles1)
        target = out[32768 * g : 32768 * (g + 1)]
        for p in range(0, 16, 1):
            base = p * 129
            codelets.pass_16(work, base, 8, work, base, 8, 8, twiddles2)
            codelets.spectrum_8(work, base, 8, 16, target, p, 16, 256)


@njit(cache=CACHE, nogil=True)
def link_sf12(
    state, symbols, gains, gain_stride, offset, noise_power, first_row, row_step, tables, buffers, decisions
):
    """Send each of `symbols` through chirp, gain, offset, noise, dechirp and FFT; write the strongest bins."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 4095, 16, scratch
        )
        rng = codelets.link_16(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 257, 256, twiddles1
        )
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        for p in range(first_row, 16, row_step):
            base = p * 257
            codelets.pass_16(work, base, 16, work, base, 16, 16, twiddles2)
            best, where = codelets.argmax_16(work, base, 16, 16, p, 16, 256, best, where)
        store(decisions, 8 * g, where)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def link_soft_sf12(
    state, symbols, gains, gain_stride, offset, noise_power, tables, buffers, powers, order, num_bits, out
):
    """As `link_sf12`; writes magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 4095, 16, scratch
        )
        rng = codelets.link_16(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 257, 256, twiddles1
        )
        for p in range(0, 16, 1):
            base = p * 257
            codelets.pass_16(work, base, 16, work, base, 16, 16, twiddles2)
            codelets.power_16(work, base, 16, 16, powers, p, 16, 256)
        if num_bits == 0:
            scatter_magnitudes(powers, 4096, out, 32768 * g)
        else:
            bit_metrics(powers, 4096, order, num_bits, out, 8 * num_bits * g)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def demodulate_sf12(iq, dechirp, sign, first_row, row_step, tables, buffers, decisions):
    """The strongest bin of each symbol of ordinary IQ; a multiple of eight symbols."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(decisions.size // 8):
        gather(iq, 8192 * 8 * g, 8192, dechirp, sign, samples)
        codelets.pass_16(samples, 0, 256, work, 0, 257, 256, twiddles1)
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        for p in range(first_row, 16, row_step):
            base = p * 257
            codelets.pass_16(work, base, 16, work, base, 16, 16, twiddles2)
            best, where = codelets.argmax_16(work, base, 16, 16, p, 16, 256, best, where)
        store(decisions, 8 * g, where)


@njit(cache=CACHE, nogil=True)
def bins_sf12(iq, dechirp, sign, tables, buffers, powers, order, num_bits, out):
    """Soft outputs of ordinary IQ: magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(iq.size // 65536):
        gather(iq, 8192 * 8 * g, 8192, dechirp, sign, samples)
        codelets.pass_16(samples, 0, 256, work, 0, 257, 256, twiddles1)
        for p in range(0, 16, 1):
            base = p * 257
            codelets.pass_16(work, base, 16, work, base, 16, 16, twiddles2)
            codelets.power_16(work, base, 16, 16, powers, p, 16, 256)
        if num_bits == 0:
            scatter_magnitudes(powers, 4096, out, 32768 * g)
        else:
            bit_metrics(powers, 4096, order, num_bits, out, 8 * num_bits * g)


@njit(cache=CACHE, nogil=True)
def fft_sf12(samples, tables, buffers, out):
    """FFTs of groups of eight symbols in lane layout, ``(groups, 2**sf, 2, 8)`` flattened, in natural order."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, _ = buffers
    for g in range(samples.size // 65536):
        codelets.pass_16(samples, 4096 * g, 256, work, 0, 257, 256, twiddles1)
        target = out[65536 * g : 65536 * (g + 1)]
        for p in range(0, 16, 1):
            base = p * 257
            codelets.pass_16(work, base, 16, work, base, 16, 16, twiddles2)
            codelets.spectrum_16(work, base, 16, 16, target, p, 16, 256)
