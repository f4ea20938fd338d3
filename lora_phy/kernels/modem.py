r"""Chirps from symbols and symbols from chirps, for ordinary complex64 arrays at one sample a chip.

    modulate     x_m[n] = c_m x_0[n + m],   c_m = exp(-j pi (m^2/N - m))      a shifted copy of a table, turned
    demodulate   argmax_k | FFT(y conj(x_0)) |_k                              eight symbols at a time, in lanes

Everything is a loop over the last axis cut into symbols; leading axes are batch. Vangelista, "Frequency shift chirp
modulation: the LoRa modulation", IEEE Sig. Proc. Lett. 24(12), 2017.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from numba import njit

from lora_phy.arrays import IQ, Bins, BitMetrics, Symbols
from lora_phy.kernels.lanes import CACHE, LANES, aligned_empty, fma, load, splat, store
from lora_phy.kernels.select import announce, pipeline
from lora_phy.kernels.tables import Floats, base_chirp, buffers, tables


def modulate_batch(symbols: npt.ArrayLike, sf: int, *, conjugate: bool = False) -> IQ:
    """Complex64 ``(..., num_symbols * 2**sf)``: the chirps of integer `symbols` ``(..., num_symbols)``.

    Values are taken modulo 2**sf; `conjugate` gives the conjugate waveform (inverted IQ).

    Examples
    --------
    >>> modulate_batch([3], 7).shape
    (128,)
    """
    values = np.asarray(symbols)
    n = 1 << sf
    flat = np.ascontiguousarray(values.reshape(-1) & (n - 1), dtype=np.uint32)
    out = aligned_empty(2 * n * flat.size)
    if flat.size:
        announce(_modulate, "the modulator")
        _modulate(flat, *_modulator_tables(sf, conjugate), out)
    shape = (*values.shape[:-1], values.shape[-1] * n) if values.ndim else (n,)
    return out.view(np.complex64).reshape(shape)


def demodulate_batch(iq: npt.ArrayLike, sf: int, *, conjugate: bool = False, legal_only: bool = False) -> Symbols:
    """Int32 ``(..., num_symbols)``: the strongest bin of each symbol of `iq` ``(..., num_symbols * 2**sf)``.

    With `legal_only` the strongest of the bins 4k + 1, the only ones a reduced-rate symbol can occupy.

    Examples
    --------
    >>> demodulate_batch(modulate_batch([3, 77], 7), 7)
    array([ 3, 77], dtype=int32)
    """
    rows, shape = _as_rows(iq, sf)
    decisions = np.empty(rows.shape[0], np.int32)
    first_row, row_step = (1, 4) if legal_only else (0, 1)
    arguments = (_dechirp(sf), -1.0 if conjugate else 1.0, first_row, row_step, tables(sf), buffers(sf))
    if rows.size:
        kernel = pipeline("demodulate", sf)
        whole = rows.shape[0] // LANES * LANES
        kernel(rows[:whole].reshape(-1), *arguments, decisions[:whole].view(np.uint32))
        if whole < rows.shape[0]:
            last = np.empty(LANES, np.uint32)
            kernel(_padded(rows[whole:]), *arguments, last)
            decisions[whole:] = last[: rows.shape[0] - whole]
    return decisions.reshape(shape)


def magnitudes_batch(iq: npt.ArrayLike, sf: int, *, conjugate: bool = False) -> Bins:
    """Float32 ``(..., num_symbols, 2**sf)``: the matched-filter magnitude of each symbol value, 1 for a clean chirp.

    Examples
    --------
    >>> float(magnitudes_batch(modulate_batch([3], 7), 7)[0, 3].round(3))
    1.0
    """
    return _soft(iq, sf, conjugate, np.zeros(0, np.uint32), 0, 1 << sf)


def bit_metrics_batch(iq: npt.ArrayLike, sf: int, *, conjugate: bool = False) -> BitMetrics:
    """Float32 ``(..., num_symbols, sf)``: max-log metrics of the bits of ``Gray((k - 1) mod 2**sf)``, positive = 1.

    Examples
    --------
    >>> bits = bit_metrics_batch(modulate_batch([3], 7), 7) > 0
    >>> bits[0].astype(int).tolist()                                # Gray(2) = 3
    [0, 0, 0, 0, 0, 1, 1]
    """
    return _soft(iq, sf, conjugate, bin_of_label(sf), sf, sf)


@functools.cache
def bin_of_label(sf: int, reduced: bool = False) -> npt.NDArray[np.uint32]:
    """Uint32: the chirp symbol of each bit label, (Gray^-1(label) + 1) mod 2**sf; reduced rate 4 Gray^-1(label) + 1.

    Examples
    --------
    >>> bin_of_label(5)[:4].tolist(), bin_of_label(7, reduced=True)[:4].tolist()
    ([1, 2, 4, 3], [1, 5, 13, 9])
    """
    num_bits = sf - 2 * reduced
    labels = np.arange(1 << num_bits, dtype=np.uint32)
    values = labels.copy()
    for shift in range(1, num_bits):
        values ^= labels >> np.uint32(shift)
    return ((4 * values + 1) if reduced else (values + 1)) % np.uint32(1 << sf)


def soft_buffer(sf: int) -> Floats:
    """Work space for the lane powers and their folding."""
    return aligned_empty(LANES * ((1 << sf) * 3 // 2 + LANES))


def _soft(
    iq: npt.ArrayLike, sf: int, conjugate: bool, order: npt.NDArray[np.uint32], num_bits: int, width: int
) -> Bins:
    rows, shape = _as_rows(iq, sf)
    out = aligned_empty(rows.shape[0] * width).reshape(-1, width)
    arguments = (
        _dechirp(sf),
        -1.0 if conjugate else 1.0,
        tables(sf),
        buffers(sf),
        soft_buffer(sf),
        order,
        num_bits,
    )
    if rows.size:
        kernel = pipeline("bins", sf)
        whole = rows.shape[0] // LANES * LANES
        kernel(rows[:whole].reshape(-1), *arguments, out[:whole].reshape(-1))
        if whole < rows.shape[0]:
            last = aligned_empty(LANES * width)
            kernel(_padded(rows[whole:]), *arguments, last)
            out[whole:] = last.reshape(LANES, width)[: rows.shape[0] - whole]
    return out.reshape(*shape, width)


def _as_rows(iq: npt.ArrayLike, sf: int) -> tuple[Floats, tuple[int, ...]]:
    """Float32 ``(symbols, 2 * 2**sf)`` and the shape of the symbols."""
    array = np.ascontiguousarray(iq, dtype=np.complex64)
    n = 1 << sf
    if array.ndim == 0 or array.shape[-1] % n:
        raise ValueError(f"'iq' must hold a multiple of {n} samples on its last axis (got shape {array.shape})")
    if not array.flags.writeable:
        array = array.copy()  # numba would compile a second kernel for read-only input
    return array.reshape(-1).view(np.float32).reshape(-1, 2 * n), (*array.shape[:-1], array.shape[-1] // n)


def _padded(rows: Floats) -> Floats:
    full = np.zeros((LANES, rows.shape[1]), np.float32)
    full[: rows.shape[0]] = rows
    return full.reshape(-1)


@functools.cache
def _dechirp(sf: int) -> Floats:
    return _interleaved(base_chirp(sf) / (1 << sf))  # the scale of a matched filter, for nothing


def _interleaved(values: npt.NDArray[np.complex128]) -> Floats:
    out = aligned_empty(2 * values.size)
    out[:] = values.astype(np.complex64).view(np.float32)
    return out


@functools.cache
def _modulator_tables(sf: int, conjugate: bool) -> tuple[Floats, Floats, Floats]:
    """The base chirp twice over, the same times j, and the factors c_m."""
    n = 1 << sf
    chirp = np.tile(base_chirp(sf), 2)
    m = np.arange(n, dtype=np.int64)
    factors = np.exp(-1j * np.pi * ((m * (m - n)) % (2 * n)) / n)
    if conjugate:
        chirp, factors = chirp.conj(), factors.conj()
    return _interleaved(chirp), _interleaved(1j * chirp), _interleaved(factors)


@njit(cache=CACHE, nogil=True)
def _modulate(symbols, chirp, turned, factors, out):
    """``out = re(c) chirp + im(c) j chirp``, from sample m of the table on."""
    row_len = chirp.size // 2
    for i in range(symbols.size):
        m = 2 * np.int64(symbols[i])
        re, im = splat(factors[m]), splat(factors[m + 1])
        for k in range(0, row_len, 8):
            store(out, row_len * i + k, fma(re, load(chirp, m + k), im * load(turned, m + k)))
