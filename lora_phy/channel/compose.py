"""The composed channel, in the order of a real chain.

::

    x ─► delay, clock ─► carrier ─► fading ─►(+)─►(+)─► y
         sto, sfo        cfo        h(t)      ▲    ▲
                                              │    └ noise, oversampling · 10^(-snr/10)
                                              └ interferers, as heard at the antenna

The wanted signal alone fades and is offset: interferers arrive with what their own `Interferer` says.

Draws from `rng`, in this order: fading of all rows, row by row; then noise, in C order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.channel.awgn import add_noise, noise_power
from lora_phy.channel.fading import fading_gain
from lora_phy.channel.interference import add_interferers
from lora_phy.channel.offsets import carrier_offset, time_and_clock_offset
from lora_phy.channel.params import ChannelParams, as_rows
from lora_phy.params import LoRaParams


def apply_channel(iq: npt.ArrayLike, channel: ChannelParams, params: LoRaParams, *, rng: np.random.Generator) -> IQ:
    """What a receiver hears of `iq` through `channel`.

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
    x, shape = as_rows(iq)
    rows, n = x.shape
    y = time_and_clock_offset(x, channel.sto_samples, channel.sfo_ppm)
    if channel.cfo_hz:
        y = carrier_offset(y, channel.cfo_hz, params.sample_rate_hz)
    if channel.fading is not None:
        y = y * fading_gain(channel, rows, n, params.sample_rate_hz, rng=rng)
    if np.shares_memory(y, x):
        y = np.array(x, dtype=np.complex64, order="C")
    add_interferers(y, channel.interferers, params.sample_rate_hz)
    add_noise(y, noise_power(channel.snr_db, params.oversampling), rng=rng)
    return y.reshape(shape)
