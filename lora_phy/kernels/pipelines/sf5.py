# ruff: noqa
# fmt: off
# mypy: ignore-errors
"""The kernels of SF5, 4 x 8. Written by `generate_codelets.py`; do not edit.

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
def demodulate(iq, dechirp, sign, first_row, row_step, tables, buffers, decisions):
    """The strongest bin of each symbol of ordinary IQ; a multiple of eight symbols."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(decisions.size // 8):
        gather(iq, 64 * 8 * g, 64, 32, dechirp, sign, samples)
        codelets.pass_4(samples, 0, 8, work, 0, 9, 8, twiddles1)
        best, where = splat(np.float32(-1.0)), splat_u32(np.uint32(0))
        best, where = codelets.argmax_8(work, first_row * 9, row_step * 9, (4 - first_row + row_step - 1) // row_step, first_row, row_step, 4, best, where)
        store(decisions, 8 * g, where)


@njit(cache=CACHE, nogil=True)
def bins(iq, dechirp, sign, tables, buffers, powers, order, num_bits, out):
    """Soft outputs of ordinary IQ: magnitudes of all bins where `num_bits` is 0, max-log bit metrics otherwise."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, samples = buffers
    for g in range(iq.size // 512):
        gather(iq, 64 * 8 * g, 64, 32, dechirp, sign, samples)
        codelets.pass_4(samples, 0, 8, work, 0, 9, 8, twiddles1)
        codelets.power_8(work, 0, 1 * 9, 4, powers, 0, 1, 4)
        if num_bits == 0:
            scatter_magnitudes(powers, 32, out, 256 * g)
        else:
            bit_metrics(powers, 32, order, num_bits, out, 8 * num_bits * g)


@njit(cache=CACHE, nogil=True)
def fft(samples, tables, buffers, out):
    """FFTs of groups of eight symbols in lane layout, ``(groups, 2**sf, 2, 8)`` flattened, in natural order."""
    chirp, roots, twiddles1, twiddles2 = tables
    _, work, _ = buffers
    for g in range(samples.size // 512):
        codelets.pass_4(samples, 32 * g, 8, work, 0, 9, 8, twiddles1)
        target = out[512 * g : 512 * (g + 1)]
        codelets.spectrum_8(work, 0, 1 * 9, 4, target, 0, 1, 4)
