# ruff: noqa
# fmt: off
# mypy: ignore-errors
"""The kernels of SF6, 4 x 16. Written by `generate_codelets.py`; do not edit.

Built on sources 97f768a546609e40: numba recompiles a cached function when its own file changes, and looks at no other.
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
def link(
    state, symbols, gains, gain_stride, offset, noise_power, first_row, row_step, tables, buffers, decisions
):
    """Send each of `symbols` through chirp, gain, offset, noise, dechirp and FFT; write the strongest bins."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    rng = codelets.noise_4(rng, minus_power, scratch)
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 63, 4, scratch
        )
        rng = codelets.link_4(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 17, 16, twiddles1
        )
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        best, where = codelets.argmax_16(work, first_row * 17, row_step * 17, (4 - first_row + row_step - 1) // row_step, first_row, row_step, 4, best, where)
        store(decisions, 8 * g, where)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def link_soft(
    state, symbols, gains, gain_stride, offset, noise_power, tables, buffers, powers, order, num_bits, out
):
    """As `link`; writes magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    scratch, work, _ = buffers
    rng = load_state(state)
    minus_power = splat(np.float32(-noise_power))
    rng = codelets.noise_4(rng, minus_power, scratch)
    for g in range(symbols.size // 8):
        br, bi, ur, ui = channel_factors(
            symbols, 8 * g, gains, gain_stride * g, offset, roots, 63, 4, scratch
        )
        rng = codelets.link_4(
            rng, minus_power, scratch, br, bi, ur, ui, chirp, work, 0, 17, 16, twiddles1
        )
        codelets.power_16(work, 0, 1 * 17, 4, powers, 0, 1, 4)
        if num_bits == 0:
            scatter_magnitudes(powers, 64, out, 512 * g)
        else:
            bit_metrics(powers, 64, order, num_bits, out, 8 * num_bits * g)
    store_state(state, rng)


@njit(cache=CACHE, nogil=True)
def demodulate(iq, dechirp, sign, first_row, row_step, tables, buffers, decisions):
    """The strongest bin of each symbol of ordinary IQ; a multiple of eight symbols."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(decisions.size // 8):
        gather(iq, 128 * 8 * g, 128, 64, dechirp, sign, samples)
        codelets.pass_4(samples, 0, 16, work, 0, 17, 16, twiddles1)
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        best, where = codelets.argmax_16(work, first_row * 17, row_step * 17, (4 - first_row + row_step - 1) // row_step, first_row, row_step, 4, best, where)
        store(decisions, 8 * g, where)


@njit(cache=CACHE, nogil=True)
def bins(iq, dechirp, sign, tables, buffers, powers, order, num_bits, out):
    """Soft outputs of ordinary IQ: magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(iq.size // 1024):
        gather(iq, 128 * 8 * g, 128, 64, dechirp, sign, samples)
        codelets.pass_4(samples, 0, 16, work, 0, 17, 16, twiddles1)
        codelets.power_16(work, 0, 1 * 17, 4, powers, 0, 1, 4)
        if num_bits == 0:
            scatter_magnitudes(powers, 64, out, 512 * g)
        else:
            bit_metrics(powers, 64, order, num_bits, out, 8 * num_bits * g)


@njit(cache=CACHE, nogil=True)
def fft(samples, tables, buffers, out):
    """FFTs of groups of eight symbols in lane layout, ``(groups, 2**sf, 2, 8)`` flattened, in natural order."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, _ = buffers
    for g in range(samples.size // 1024):
        codelets.pass_4(samples, 64 * g, 16, work, 0, 17, 16, twiddles1)
        target = out[1024 * g : 1024 * (g + 1)]
        codelets.spectrum_16(work, 0, 1 * 17, 4, target, 0, 1, 4)
