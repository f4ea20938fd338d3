"""Symbols to IQ: synchronised chirps, and whole frames.

| preamble_len x upchirp | sync 1 | sync 2 | 2.25 downchirps | (2 upchirps: SF5, SF6 of the sx126x) | data symbols |

In the waveform "textbook" all of it lies on one grid of chips. In the waveform "chip" the quarter downchirp is one chip
short, and all that follows begins one chip earlier and carries s - 1 in place of s, so that a receiver that keeps the
preamble's grid reads s; the phase is continuous over the seam. Measured on recordings of four SX127x- and SX126x-class
transmitters. Their carrier stays on for some chips behind the last symbol: here the last chirp goes on for one chip, to
the end of the airtime.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.modem.chirps import downchirp, symbol_phases, upchirp
from lora_phy.params import LoRaParams

KERNEL_SAMPLES = 1 << 20
"""From here on the compiled kernel does the work: its first use compiles for seconds, which a short call must not."""

NUM_SYNC_SYMBOLS = 2
NUM_DOWNCHIRPS = 2.25


def modulate(symbols: npt.ArrayLike, params: LoRaParams) -> IQ:
    """Chirps of symbol values, one after the other, without framing.

    Parameters
    ----------
    symbols
        ``(..., num_symbols)`` integers in [0, 2**sf).
    params
        `sf`, `oversampling` and `inverted_iq` shape the result.

    Returns
    -------
    numpy.ndarray
        ``(..., num_symbols * 2**sf * oversampling)`` complex64 of unit magnitude.

    Raises
    ------
    ValueError
        A symbol out of range, or a scalar.
    TypeError
        Symbols that are not integers.

    Examples
    --------
    >>> modulate([3, 77], LoRaParams(sf=7, oversampling=2)).shape
    (512,)
    """
    values = checked_symbols(symbols, params)
    length = params.samples_per_symbol
    if params.oversampling == 1 and values.size * length >= KERNEL_SAMPLES:
        from lora_phy.kernels.modem import modulate_batch  # brings numba, which counting samples does not need

        return modulate_batch(values, params.sf, conjugate=params.inverted_iq)
    doubled = np.concatenate([upchirp(params), upchirp(params)])
    shifts = np.lib.stride_tricks.sliding_window_view(doubled, length)
    phases = symbol_phases(params.sf)[values]
    iq: IQ = shifts[values * params.oversampling]
    iq *= (phases.conj() if params.inverted_iq else phases)[..., np.newaxis]
    return iq.reshape(*values.shape[:-1], values.shape[-1] * length)


def modulate_frame(symbols: npt.ArrayLike, params: LoRaParams, *, sync_symbols: tuple[int, int] | None = None) -> IQ:
    """A whole frame around data symbols.

    Parameters
    ----------
    symbols
        ``(num_symbols,)`` integers in [0, 2**sf).
    sync_symbols
        The two chirps of the sync word, where they are not to be those of `params`.

    Returns
    -------
    numpy.ndarray
        ``(frame_samples(num_symbols, params),)`` complex64 of unit magnitude.

    Raises
    ------
    ValueError
        ``params.sync_word`` is None and `sync_symbols` is not given: only a receiver may leave the word open.

    Examples
    --------
    >>> params = LoRaParams(sf=7)
    >>> len(modulate_frame([1, 2, 3], params)) == frame_samples(3, params) == int((8 + 2 + 2.25 + 3) * 128)
    True
    """
    sync = params.sync_symbols if sync_symbols is None else sync_symbols
    if sync is None:
        raise ValueError("'sync_word' must be a byte to transmit (got None, which means any at a receiver)")
    early = params.early_chips * params.oversampling
    quarter = params.samples_per_symbol // 4
    down = downchirp(params)
    head = np.concatenate([np.zeros(params.preamble_len, dtype=np.int32), sync])
    tail = np.concatenate([np.zeros(params.extra_upchirps, dtype=np.int32), checked_symbols(symbols, params)])
    data = modulate((tail - params.early_chips) % params.num_bins, params)
    if early and len(data):
        # every chirp begins and ends with phase 0, a downchirp that is cut with the phase it has there
        data = np.concatenate([data, data[-params.samples_per_symbol :][:early]]) * down[quarter - early]
    return np.concatenate([modulate(head, params), down, down, down[: quarter - early if len(data) else quarter], data])


def data_start(params: LoRaParams) -> int:
    """Samples from the start of a frame to its first data symbol.

    Examples
    --------
    >>> data_start(LoRaParams(sf=7, waveform="textbook")) / 128
    12.25
    >>> data_start(LoRaParams(sf=7)) - 12.25 * 128
    -1.0
    """
    return frame_samples(0, params) - params.early_chips * params.oversampling


def frame_samples(num_symbols: int, params: LoRaParams) -> int:
    """Samples of a whole frame of `num_symbols` data symbols: its airtime, in either waveform."""
    quarters = 4 * (params.preamble_len + NUM_SYNC_SYMBOLS + params.extra_upchirps) + int(4 * NUM_DOWNCHIRPS)
    return quarters * params.samples_per_symbol // 4 + num_symbols * params.samples_per_symbol


def checked_symbols(symbols: npt.ArrayLike, params: LoRaParams) -> npt.NDArray[np.int64]:
    """Symbols as an int64 array, or the error that says what is wrong with them."""
    values = np.asarray(symbols)
    if values.ndim == 0:
        raise ValueError("'symbols' must have at least one dimension (got a scalar)")
    if values.size == 0:
        return values.astype(np.int64)
    if not np.issubdtype(values.dtype, np.integer):
        raise TypeError(f"'symbols' must be integers (got dtype {values.dtype})")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= params.num_bins:
        raise ValueError(f"'symbols' must be in [0, {params.num_bins}) (got {low if low < 0 else high})")
    return values.astype(np.int64, copy=False)  # a narrow type would overflow in sample positions
