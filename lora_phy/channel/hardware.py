"""Hardware impairments of a signal, each as a pure function with a closed form to hold it against.

    phase noise     y = x exp(jφ):  Wiener, E|φ(t+τ) - φ(t)|² = 2π Δν |τ|, a Lorentzian line of width Δν; or a
                    stationary phase whose two-sided power spectrum is a mask L(f), dBc/Hz
    fold phase      y = x exp(jθ) from a chirp's frequency fold to the end of the symbol
    IQ imbalance    y = α x + β conj(x),   α = (1 + g e^{-jφ})/2, β = (1 - g e^{jφ})/2;  image rejection |α/β|²
    DC              y = x + d
    Rapp            y = x / (1 + |x/A|^{2p})^{1/(2p)}
    ADC             AGC to a set rms, clip at ±1, b bits, mid-rise; a full-scale sine keeps 6.02 b + 1.76 dB

Rapp, Proc. 2nd European Conf. Satellite Communications, 1991; Demir et al., IEEE Trans. CAS-I 47(5), 2000.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.checks import finite, integer
from lora_phy.params import LoRaParams

_BLOCK = 1 << 16
_ADC_BITS = (1, 24)


@dataclass(frozen=True, kw_only=True)
class PhaseNoise:
    """An oscillator's phase noise.

    Parameters
    ----------
    linewidth_hz
        Full width at half maximum of a Wiener oscillator's Lorentzian line, ≥ 0.
    mask
        Pairs (offset in Hz, single-sideband level in dBc/Hz), offsets rising; interpolated over log f, level beyond
        the ends held. Empty: none.

    Examples
    --------
    >>> PhaseNoise(mask=((1e3, -80.0), (1e5, -110.0))).linewidth_hz
    0.0
    """

    linewidth_hz: float = 0.0
    mask: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        """Validate."""
        object.__setattr__(self, "linewidth_hz", finite("linewidth_hz", self.linewidth_hz, low=0.0))
        mask = tuple((finite("mask", f, low=1e-9), finite("mask", level)) for f, level in self.mask)
        if any(b[0] <= a[0] for a, b in pairwise(mask)):
            raise ValueError(f"'mask' must have rising offsets (got {self.mask!r})")
        object.__setattr__(self, "mask", mask)


@dataclass(frozen=True, kw_only=True)
class Transmitter:
    """Faults of the transmitter, in the order modulator, oscillator, power amplifier.

    Parameters
    ----------
    iq_gain_db, iq_phase_deg
        Imbalance of the quadrature path against the in-phase path.
    dc_offset
        Carrier leak, a complex constant relative to the signal's amplitude of 1.
    phase_noise
        Of the oscillator, or None.
    pa_backoff_db
        Saturation power of a Rapp amplifier over the signal's power of 1, dB; None: linear.
    pa_smoothness
        p of the Rapp model, > 0; the larger, the harder the knee.
    """

    iq_gain_db: float = 0.0
    iq_phase_deg: float = 0.0
    dc_offset: complex = 0j
    phase_noise: PhaseNoise | None = None
    pa_backoff_db: float | None = None
    pa_smoothness: float = 2.0

    def __post_init__(self) -> None:
        """Validate."""
        _store_mixer(self)
        if self.pa_backoff_db is not None:
            object.__setattr__(self, "pa_backoff_db", finite("pa_backoff_db", self.pa_backoff_db, low=-60.0))
        object.__setattr__(self, "pa_smoothness", finite("pa_smoothness", self.pa_smoothness, low=0.1, high=100.0))


@dataclass(frozen=True, kw_only=True)
class ReceiverFrontEnd:
    """Faults of the receiver, in the order oscillator, mixer, converter.

    Parameters
    ----------
    phase_noise, iq_gain_db, iq_phase_deg, dc_offset
        As for the transmitter; they act on everything heard, noise and interferers included.
    adc_bits
        Bits of the converter for each of I and Q, 1–24; None: ideal.
    adc_backoff_db
        Full scale over the rms of I and of Q that the gain control holds, dB.

    Examples
    --------
    >>> ReceiverFrontEnd(adc_bits=0)
    Traceback (most recent call last):
        ...
    ValueError: 'adc_bits' must be in [1, 24] (got 0)
    """

    phase_noise: PhaseNoise | None = None
    iq_gain_db: float = 0.0
    iq_phase_deg: float = 0.0
    dc_offset: complex = 0j
    adc_bits: int | None = None
    adc_backoff_db: float = 12.0

    def __post_init__(self) -> None:
        """Validate."""
        _store_mixer(self)
        if self.adc_bits is not None:
            object.__setattr__(self, "adc_bits", integer("adc_bits", self.adc_bits, *_ADC_BITS))
        object.__setattr__(self, "adc_backoff_db", finite("adc_backoff_db", self.adc_backoff_db, low=-60.0, high=120.0))


def apply_transmitter(iq: IQ, transmitter: Transmitter, sample_rate_hz: float, *, rng: np.random.Generator) -> IQ:
    """Imbalance and leak, phase noise, compression of ``(rows, n)``.

    Examples
    --------
    >>> leaky = Transmitter(dc_offset=0.1)
    >>> apply_transmitter(np.ones((1, 2), np.complex64), leaky, 1.0, rng=np.random.default_rng(0)).real
    array([[1.1, 1.1]], dtype=float32)
    """
    y = _mixer(iq, transmitter.iq_gain_db, transmitter.iq_phase_deg, transmitter.dc_offset)
    if transmitter.phase_noise is not None:
        y = phase_noise(y, transmitter.phase_noise, sample_rate_hz, rng=rng)
    if transmitter.pa_backoff_db is not None:
        y = rapp_amplifier(y, transmitter.pa_backoff_db, transmitter.pa_smoothness)
    return y


def apply_front_end(iq: IQ, front_end: ReceiverFrontEnd, sample_rate_hz: float, *, rng: np.random.Generator) -> IQ:
    """Phase noise, imbalance and offset, conversion of ``(rows, n)``.

    Examples
    --------
    >>> x, rng = np.ones((1, 4), np.complex64), np.random.default_rng(0)
    >>> y = apply_front_end(x, ReceiverFrontEnd(adc_bits=8), 1.0, rng=rng)
    >>> bool(np.max(np.abs(y - 1)) < 0.05)
    True
    """
    y = iq
    if front_end.phase_noise is not None:
        y = phase_noise(y, front_end.phase_noise, sample_rate_hz, rng=rng)
    y = _mixer(y, front_end.iq_gain_db, front_end.iq_phase_deg, front_end.dc_offset)
    if front_end.adc_bits is not None:
        y = quantise(y, front_end.adc_bits, front_end.adc_backoff_db)
    return y


def phase_noise(iq: IQ, noise: PhaseNoise, sample_rate_hz: float, *, rng: np.random.Generator) -> IQ:
    """Multiply ``(rows, n)`` by exp(jφ), φ independent for each row; the Wiener phase starts at 0.

    Examples
    --------
    >>> x = np.ones((1, 50_000), np.complex64)
    >>> y = phase_noise(x, PhaseNoise(linewidth_hz=10.0), 1e5, rng=np.random.default_rng(0))
    >>> bool(np.allclose(np.abs(y), 1, atol=1e-6))
    True
    """
    rows, n = iq.shape
    out = np.array(iq)
    if n == 0:
        return out
    step = math.sqrt(2 * math.pi * noise.linewidth_hz / sample_rate_hz)
    for row in range(rows):
        phase = 0.0
        for start in range(0, n if step else 0, _BLOCK):
            stop = min(start + _BLOCK, n)
            path = np.cumsum(np.concatenate([[phase], step * rng.standard_normal(stop - start)]))
            out[row, start:stop] *= np.exp(1j * path[:-1]).astype(np.complex64)
            phase = float(path[-1])
        if noise.mask:
            out[row] *= np.exp(1j * _coloured(noise.mask, n, sample_rate_hz, rng)).astype(np.complex64)
    return out


def fold_phase_step(iq: npt.ArrayLike, symbols: npt.ArrayLike, params: LoRaParams, phase_rad: npt.ArrayLike) -> IQ:
    """Turn each chirp by `phase_rad` from its fold, sample (2**sf - s) · oversampling, to its end.

    Real chips step in phase where the frequency wraps. It takes the symbols to know where that is, so this one is a
    function on synchronised chirps and not part of `apply_channel`. The peak of a dechirped symbol s falls to
    |N - s + s exp(jθ)| / N.

    Parameters
    ----------
    iq
        ``(..., num_symbols * samples_per_symbol)``.
    symbols
        ``(..., num_symbols)``, the values sent.
    phase_rad
        A number, or one for each symbol.

    Examples
    --------
    >>> params = LoRaParams(sf=7)
    >>> y = fold_phase_step(np.ones(128), [32], params, np.pi)
    >>> y[95].real, y[96].real
    (np.float32(1.0), np.float32(-1.0))
    """
    values = np.asarray(symbols, dtype=np.int64)
    x = np.asarray(iq).astype(np.complex64, copy=False)
    if x.shape[-1] != values.shape[-1] * params.samples_per_symbol:
        raise ValueError(f"'iq' must hold {values.shape[-1]} symbols (got {x.shape[-1]} samples)")
    folded = np.arange(params.samples_per_symbol) >= (params.num_bins - values[..., None]) * params.oversampling
    turn = np.exp(1j * np.broadcast_to(np.asarray(phase_rad, dtype=np.float64), values.shape)[..., None])
    factor = np.where(folded, turn, 1.0).astype(np.complex64)
    return np.asarray(x * factor.reshape(*values.shape[:-1], -1))


def iq_imbalance(iq: IQ, gain_db: float, phase_deg: float) -> IQ:
    """α x + β conj(x): the quadrature path has gain g and is off by an angle.

    Examples
    --------
    >>> tone = np.exp(2j * np.pi * np.arange(8) / 8).astype(np.complex64)
    >>> spectrum = np.abs(np.fft.fft(iq_imbalance(tone, 1.0, 0.0)))
    >>> bool(np.isclose(spectrum[1] / spectrum[-1], image_rejection(1.0, 0.0) ** 0.5, rtol=1e-4))
    True
    """
    alpha, beta = _imbalance(gain_db, phase_deg)
    return np.asarray(np.complex64(alpha) * iq + np.complex64(beta) * np.conj(iq))


def image_rejection(gain_db: float, phase_deg: float) -> float:
    """|α/β|² of an imbalance, a power ratio; infinite when balanced.

    Examples
    --------
    >>> round(10 * math.log10(image_rejection(0.1, 1.0)), 1)
    39.6
    """
    alpha, beta = _imbalance(gain_db, phase_deg)
    return math.inf if beta == 0 else abs(alpha / beta) ** 2


def rapp_amplifier(iq: IQ, backoff_db: float, smoothness: float = 2.0) -> IQ:
    """Compress amplitudes towards A = 10**(backoff_db/20); at |x| = A the output is A 2**(-1/(2p)).

    Examples
    --------
    >>> round(float(np.abs(rapp_amplifier(np.ones(1, np.complex64), 0.0, smoothness=1.0))[0]), 4)
    0.7071
    """
    ratio = np.abs(iq) * np.float32(10.0 ** (-backoff_db / 20.0))
    return np.asarray((iq / (1.0 + ratio ** (2.0 * smoothness)) ** (0.5 / smoothness)).astype(np.complex64))


def quantise(iq: IQ, bits: int, backoff_db: float = 12.0) -> IQ:
    """Gain control, clipping and a mid-rise converter for I and Q; scaled back, so that levels are kept.

    Full scale is `backoff_db` above the rms of a component, measured over each row. A silent row stays as it is.

    Examples
    --------
    >>> quantise(np.array([[1 + 1j, -1 - 1j, 1 - 1j]], np.complex64), 1, backoff_db=0.0)
    array([[ 0.5+0.5j, -0.5-0.5j,  0.5-0.5j]], dtype=complex64)
    """
    bits = integer("adc_bits", bits, *_ADC_BITS)
    parts = np.ascontiguousarray(iq).view(np.float32)
    rms = np.sqrt(np.mean(np.square(parts, dtype=np.float64), axis=-1, keepdims=True))
    full_scale = rms * 10.0 ** (backoff_db / 20.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        levels = 2 ** (bits - 1)
        code = np.floor(parts / full_scale * levels)
    code = np.clip(code, -levels, levels - 1)
    quantised = np.where(full_scale > 0, (code + 0.5) / levels * full_scale, parts)
    return quantised.astype(np.float32).view(np.complex64)


def _imbalance(gain_db: float, phase_deg: float) -> tuple[complex, complex]:
    gain, angle = 10.0 ** (gain_db / 20.0), math.radians(phase_deg)
    forward = gain * complex(math.cos(angle), -math.sin(angle))
    return (1 + forward) / 2, (1 - forward.conjugate()) / 2


def _mixer(iq: IQ, gain_db: float, phase_deg: float, dc_offset: complex) -> IQ:
    y = iq_imbalance(iq, gain_db, phase_deg) if gain_db or phase_deg else iq
    return y + np.complex64(dc_offset) if dc_offset else y


def _coloured(
    mask: tuple[tuple[float, float], ...], n: int, sample_rate_hz: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """(n,) real Gaussian noise of two-sided spectrum L(f): white noise shaped in the frequency domain."""
    frequency = np.maximum(np.fft.rfftfreq(n, 1.0 / sample_rate_hz), mask[0][0])
    offsets, levels = np.array(mask).T
    density = 10.0 ** (np.interp(np.log10(frequency), np.log10(offsets), levels) / 10.0)
    white = np.fft.rfft(rng.standard_normal(n))  # two-sided density 1/rate per sample
    return np.fft.irfft(white * np.sqrt(density * sample_rate_hz), n)


def _store_mixer(side: Transmitter | ReceiverFrontEnd) -> None:
    object.__setattr__(side, "iq_gain_db", finite("iq_gain_db", side.iq_gain_db, low=-60.0, high=60.0))
    object.__setattr__(side, "iq_phase_deg", finite("iq_phase_deg", side.iq_phase_deg, low=-90.0, high=90.0))
    dc_offset = complex(side.dc_offset)
    if not (math.isfinite(dc_offset.real) and math.isfinite(dc_offset.imag)):
        raise ValueError(f"'dc_offset' must be finite (got {side.dc_offset!r})")
    object.__setattr__(side, "dc_offset", dc_offset)
    if side.phase_noise is not None and not isinstance(side.phase_noise, PhaseNoise):
        raise ValueError(f"'phase_noise' must be a PhaseNoise or None (got {side.phase_noise!r})")
