"""The composed channel, in the order of a real chain.

::

      transmitter                          air                                   receiver
    ┌─────────────────────────┐  ┌──────────────────────────────┐  ┌──────────────────────────────────────┐
    x ─► IQ imbalance, leak     ─► delay, clock (sto, sfo)        ─►(+)◄ interferers, as heard here
      ─► phase noise              ─► carrier (cfo, drift, Doppler)   (+)◄ narrow-band, impulsive noise
      ─► amplifier                ─► fading or multipath, h(t)       (+)◄ noise, oversampling · 10^(-snr/10)
                                  ─► stages of one's own
                                                                      ─► phase noise ─► IQ imbalance, DC
                                                                      ─► gain control, clipping, ADC ─► y

The wanted signal alone is delayed, offset and fades: interferers arrive with what their own `Interferer` says.

Draws from `rng`, in this order, each row by row: transmitter's phase noise, drift, fading or multipath, stages of one's
own, noise sources one after the other, noise in C order, receiver's phase noise. So the same seed gives the same
samples, whatever the blocks the work is done in, and a stage that is off draws nothing.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.channel.awgn import add_noise, noise_power
from lora_phy.channel.drift import carrier_drift
from lora_phy.channel.fading import add_steady_path, clarke_gain, nakagami_gain, rician_gain
from lora_phy.channel.hardware import apply_front_end, apply_transmitter
from lora_phy.channel.interference import add_interferers, add_noise_source
from lora_phy.channel.multipath import tapped_delay_line
from lora_phy.channel.offsets import carrier_offset, time_and_clock_offset
from lora_phy.channel.params import ChannelParams, Stage
from lora_phy.params import LoRaParams


def apply_channel(iq: npt.ArrayLike, channel: ChannelParams, params: LoRaParams, *, rng: np.random.Generator) -> IQ:
    """Received IQ of `iq` through `channel`.

    Parameters
    ----------
    iq
        (..., n) complex samples of power 1 by definition, at ``params.sample_rate_hz``; leading axes are independent
        rows (frames). Never rescaled: zeros before and after a frame stay zeros.
    channel
        All off by default.
    params
        Gives the sample rate and the oversampling of the noise.
    rng
        The only source of randomness.

    Returns
    -------
    (..., n) complex64, a new array

    Raises
    ------
    ValueError
        A scalar `iq`, or a Doppler shift above half the sample rate.
    TypeError
        `rng` is not a numpy Generator.

    Examples
    --------
    >>> params = LoRaParams(sf=7)
    >>> x = np.ones(8, np.complex64)
    >>> bool(np.all(apply_channel(x, ChannelParams(), params, rng=np.random.default_rng(0)) == x))
    True
    >>> y = apply_channel(np.zeros((2, 50_000)), ChannelParams(snr_db=-10), params, rng=np.random.default_rng(0))
    >>> y.shape, y.dtype, round(float(np.mean(np.abs(y) ** 2)))
    ((2, 50000), dtype('complex64'), 10)
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"'rng' must be a numpy.random.Generator (got {type(rng).__name__})")
    x, shape = _as_rows(iq)
    rows, n = x.shape
    rate_hz = params.sample_rate_hz
    y = x
    if channel.transmitter is not None:
        y = apply_transmitter(y, channel.transmitter, rate_hz, rng=rng)
    y = time_and_clock_offset(y, channel.sto_samples, channel.sfo_ppm)
    if channel.cfo_hz:
        y = carrier_offset(y, channel.cfo_hz, rate_hz)
    if channel.drift is not None:
        y = carrier_drift(y, channel.drift, rate_hz, rng=rng)
    if channel.doppler_hz > rate_hz / 2:
        raise ValueError(
            f"'doppler_hz' must be at most half the sample rate, {rate_hz / 2:g} (got {channel.doppler_hz!r})"
        )
    if channel.fading is not None:
        y = y * fading_gain(channel, rows, n, rate_hz, rng=rng)
    if channel.multipath is not None:
        y = tapped_delay_line(y, channel.multipath, channel.doppler_hz, rate_hz, rng=rng)
    if np.shares_memory(y, x):
        y = np.array(x, dtype=np.complex64, order="C")
    for stage in channel.stages:
        y = _through(stage, y, params, rng)
    add_interferers(y, channel.interferers, rate_hz)
    for source in channel.noise_sources:
        add_noise_source(y, source, rate_hz, rng=rng)
    add_noise(y, noise_power(channel.snr_db, params.oversampling), rng=rng)
    if channel.front_end is not None:
        y = apply_front_end(y, channel.front_end, rate_hz, rng=rng)
    return y.reshape(shape)


def _through(stage: Stage, y: IQ, params: LoRaParams, rng: np.random.Generator) -> IQ:
    """The signal after a stage of the user's own, which is held to its promise; a copy, so that noise stays here."""
    out = np.asarray(stage(y, params, rng))
    if out.shape != y.shape or out.dtype.kind not in "fciu":
        raise ValueError(
            f"channel stage {stage.key!r} must return numbers of shape {y.shape} (got shape {out.shape},"
            f" dtype {out.dtype})"
        )
    return np.array(out, dtype=np.complex64, order="C")


def _as_rows(iq: npt.ArrayLike) -> tuple[IQ, tuple[int, ...]]:
    """``(..., n)`` as ``(rows, n)`` complex64, and the shape to return to."""
    array = np.asarray(iq)
    if array.ndim == 0:
        raise ValueError("'iq' must have at least one dimension (got a scalar)")
    if array.dtype.kind not in "fciu":
        raise ValueError(f"'iq' must be complex samples (got dtype {array.dtype})")
    rows = int(np.prod(array.shape[:-1], dtype=np.int64))
    return array.astype(np.complex64, copy=False).reshape(rows, array.shape[-1]), array.shape


def fading_gain(
    channel: ChannelParams, rows: int, num_samples: int, sample_rate_hz: float, *, rng: np.random.Generator
) -> npt.NDArray[np.complex64]:
    """Gains of `rows` independent frames: ``(rows, 1)``, or ``(rows, num_samples)`` with a Doppler spread.

    Raises
    ------
    ValueError
        `doppler_hz` above half the sample rate.

    Examples
    --------
    >>> from lora_phy.channel import ChannelParams
    >>> gain = fading_gain(ChannelParams(fading="rayleigh"), 50_000, 1, 125e3, rng=np.random.default_rng(1))
    >>> gain.shape, round(float(np.mean(np.abs(gain) ** 2)), 1)
    ((50000, 1), 1.0)
    """
    if channel.fading is None:
        return np.ones((rows, 1), dtype=np.complex64)
    if channel.fading == "nakagami":
        assert channel.nakagami_m is not None
        return nakagami_gain(channel.nakagami_m, rows, rng=rng)[:, None].astype(np.complex64)
    k_factor = 0.0
    if channel.k_factor_db is not None:
        k_factor = math.inf if channel.k_factor_db > 300.0 else 10.0 ** (channel.k_factor_db / 10.0)
    if channel.doppler_hz == 0.0:
        return rician_gain(k_factor, rows, rng=rng)[:, None].astype(np.complex64)
    scattered = clarke_gain(channel.doppler_hz, rows, num_samples, sample_rate_hz, rng=rng)
    return np.asarray(add_steady_path(k_factor, scattered), dtype=np.complex64)
