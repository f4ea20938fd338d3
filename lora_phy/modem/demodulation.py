"""IQ to symbols: the matched filter of every symbol value at once, then a decision or soft metrics.

At one sample a chip, dechirp and FFT: multiply by the conjugate upchirp, so that symbol s becomes a tone in bin s. At
R > 1 the correlation with all N shifts of the upchirp x_0 by whole chips is taken in the frequency domain, where
keeping only whole chips means folding R spectra onto one:

    z[s] = sum_n y[n] conj(x_0[n + s R]) = 1/(N R) FFT_N( sum_r Y[k + r N] conj(X_0[k + r N]) )[s]

which is the matched filter over the full bandwidth: no noise is aliased.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.special

from lora_phy.arrays import IQ, Bins, BitMetrics, Symbols
from lora_phy.kernels.metrics import max_log_metrics
from lora_phy.kernels.modem import bin_of_label, bit_metrics_batch, demodulate_batch, magnitudes_batch
from lora_phy.modem.chirps import downchirp, upchirp
from lora_phy.modem.modulation import KERNEL_SAMPLES, data_start
from lora_phy.params import LoRaParams
from lora_phy.units import db_to_linear

_KERNELS: dict[bool | str, Callable[..., npt.NDArray[Any]]] = {
    False: demodulate_batch,
    True: bit_metrics_batch,
    "bins": magnitudes_batch,
}

_BLOCK_SAMPLES = 1 << 18
"""Samples worked on at a time: large enough to amortise a call, small enough to stay in the cache."""


@overload
def demodulate(iq: npt.ArrayLike, params: LoRaParams, *, soft: Literal[False] = ...) -> Symbols: ...
@overload
def demodulate(
    iq: npt.ArrayLike, params: LoRaParams, *, soft: Literal["bins", True], snr_db: float | None = ...
) -> Bins: ...
def demodulate(
    iq: npt.ArrayLike,
    params: LoRaParams,
    *,
    soft: bool | Literal["bins"] = False,
    snr_db: float | None = None,
) -> Any:
    r"""Decide synchronised chirps.

    Parameters
    ----------
    iq
        ``(..., num_symbols * 2**sf * oversampling)`` complex, the first sample of the first chirp first.
    soft
        False: hard symbol values. "bins": matched-filter magnitude for each symbol value. True: bit metrics.
    snr_db
        With ``soft=True``: signal over noise in the bandwidth, for the exact log-likelihood ratio
        :math:`\ln \sum_{b=1} I_0(2|z|/\sigma^2) - \ln \sum_{b=0} I_0(2|z|/\sigma^2)`; None: max-log, scale free.

    Returns
    -------
    numpy.ndarray
        ``(..., num_symbols)`` int32, or ``(..., num_symbols, 2**sf)`` float32 magnitudes, or
        ``(..., num_symbols, sf)`` float32 metrics, column 0 the most significant bit of ``Gray((k - 1) mod 2**sf)``,
        positive = 1.

    Raises
    ------
    ValueError
        A length that is no whole number of symbols; a `soft` that is none of the three; a NaN `snr_db`.
    TypeError
        Samples that are not numbers.

    Examples
    --------
    >>> from lora_phy.modem.modulation import modulate
    >>> params = LoRaParams(sf=8)
    >>> demodulate(modulate([1, 200], params), params)
    array([  1, 200], dtype=int32)
    """
    if not (soft is False or soft is True or soft == "bins"):
        raise ValueError(f"'soft' must be False, True or 'bins' (got {soft!r})")
    samples = _checked_iq(iq, params)
    batch, num_symbols = samples.shape[:-1], samples.shape[-1] // params.samples_per_symbol
    if snr_db is None and params.oversampling == 1 and samples.size >= KERNEL_SAMPLES:
        return _KERNELS[soft](samples, params.sf, conjugate=params.inverted_iq)
    rows = samples.reshape(-1, params.samples_per_symbol)
    if soft is False:
        symbols = np.empty(len(rows), dtype=np.int32)
        for part in _blocks(rows):
            z = correlate(rows[part], params)
            symbols[part] = np.argmax(z.real**2 + z.imag**2, axis=-1)
        return symbols.reshape(*batch, num_symbols)
    width = params.num_bins if soft == "bins" else params.sf
    out = np.empty((len(rows), width), dtype=np.float32)
    for part in _blocks(rows):
        bins = np.abs(correlate(rows[part], params))
        out[part] = bins if soft == "bins" else bit_metrics(bins, params, snr_db=snr_db)
    return out.reshape(*batch, num_symbols, width)


@overload
def demodulate_frame(
    iq: npt.ArrayLike, params: LoRaParams, *, num_symbols: int | None = ..., soft: Literal[False] = ...
) -> Symbols: ...
@overload
def demodulate_frame(
    iq: npt.ArrayLike, params: LoRaParams, *, num_symbols: int | None = ..., soft: Literal["bins"]
) -> Bins: ...
@overload
def demodulate_frame(
    iq: npt.ArrayLike, params: LoRaParams, *, num_symbols: int | None = ..., soft: bool | Literal["bins"]
) -> Any: ...
def demodulate_frame(
    iq: npt.ArrayLike,
    params: LoRaParams,
    *,
    num_symbols: int | None = None,
    soft: bool | Literal["bins"] = False,
) -> Any:
    """Decide the data symbols of a frame whose first preamble sample is ``iq[0]``, in the waveform of `params`.

    Parameters
    ----------
    iq
        ``(num_samples,)`` complex.
    num_symbols
        How many symbols are wanted, at most; None: all that are there.
    soft
        As of `demodulate`, where bins and metrics are those of the symbol values, not of the chirps that carry them.

    Examples
    --------
    >>> from lora_phy.modem.modulation import modulate_frame
    >>> params = LoRaParams(sf=7, waveform="chip")
    >>> demodulate_frame(modulate_frame([5, 77, 0], params), params)
    array([ 5, 77,  0], dtype=int32)
    """
    data = np.asarray(iq)[data_start(params) :]
    whole = len(data) // params.samples_per_symbol
    count = whole if num_symbols is None else min(num_symbols, whole)
    data = data[: count * params.samples_per_symbol]
    if soft is False:
        return (demodulate(data, params) + np.int32(params.early_chips)) % np.int32(params.num_bins)
    bins = np.roll(demodulate(data, params, soft="bins"), params.early_chips, axis=-1)
    return bins if soft == "bins" else bit_metrics(bins, params)


def correlate(rows: npt.NDArray[np.complex64], params: LoRaParams) -> npt.NDArray[np.complex64]:
    """Matched-filter output ``(n, 2**sf)`` complex64 of chirps ``(n, samples_per_symbol)``; a clean chirp gives 1."""
    if params.oversampling == 1:
        dechirped = rows * scaled_downchirp(params)
        if params.inverted_iq:  # the conjugate frame: its tones run backwards
            np.conjugate(dechirped, out=dechirped)
        return np.asarray(scipy.fft.fft(dechirped, axis=-1, overwrite_x=True))
    source = np.conjugate(rows) if params.inverted_iq else rows
    spectrum = scipy.fft.fft(source, axis=-1) * _conjugate_spectrum(params.sf, params.oversampling)
    folded = spectrum.reshape(len(rows), params.oversampling, params.num_bins).sum(axis=1)
    folded *= np.float32(1 / params.samples_per_symbol)
    return np.asarray(scipy.fft.fft(folded, axis=-1, overwrite_x=True))


def bit_metrics(bins: npt.NDArray[np.float32], params: LoRaParams, *, snr_db: float | None = None) -> BitMetrics:
    """Bit metrics ``(n, sf)`` of matched-filter magnitudes ``(n, 2**sf)`` scaled so that a clean chirp gives 1."""
    by_label = bins[:, bin_of_label(params.sf)]
    if snr_db is None:
        return max_log_metrics(by_label)
    if np.isnan(snr_db):
        raise ValueError("'snr_db' must be a number (got nan)")
    argument = 2.0 * params.num_bins * db_to_linear(min(float(snr_db), 100.0)) * by_label.astype(np.float64)
    exact = np.log(scipy.special.i0e(argument)) + argument
    out = np.empty((len(bins), params.sf), dtype=np.float32)
    for column in range(params.sf):
        split = exact.reshape(len(bins), 1 << column, 2, -1)
        ones, zeros = split[:, :, 1], split[:, :, 0]
        out[:, column] = scipy.special.logsumexp(ones, axis=(1, 2)) - scipy.special.logsumexp(zeros, axis=(1, 2))
    return out


def _blocks(rows: npt.NDArray[Any]) -> Iterator[slice]:
    step = max(1, _BLOCK_SAMPLES // rows.shape[1])
    for start in range(0, len(rows), step):
        yield slice(start, start + step)


def _checked_iq(iq: npt.ArrayLike, params: LoRaParams) -> IQ:
    samples = np.asarray(iq)
    if not np.issubdtype(samples.dtype, np.number):
        raise TypeError(f"'iq' must be complex samples (got dtype {samples.dtype})")
    if samples.ndim == 0 or samples.shape[-1] % params.samples_per_symbol:
        raise ValueError(
            f"'iq' must hold whole symbols of {params.samples_per_symbol} samples along its last axis"
            f" (got shape {samples.shape})"
        )
    return np.asarray(samples, dtype=np.complex64)


@cache
def scaled_downchirp(params: LoRaParams) -> IQ:
    """The downchirp over its number of samples: dechirped with it, a clean chirp gives 1."""
    return np.asarray(downchirp(params) * np.float32(1 / params.samples_per_symbol))


@cache
def _conjugate_spectrum(sf: int, oversampling: int) -> npt.NDArray[np.complex64]:
    """Conjugate spectrum of the upchirp over its number of samples, double precision inside."""
    chirp = upchirp(LoRaParams(sf=sf, oversampling=oversampling)).astype(np.complex128)
    spectrum: npt.NDArray[np.complex64] = np.conjugate(scipy.fft.fft(chirp)).astype(np.complex64)
    return np.asarray(spectrum * np.float32(1 / len(chirp)))
