"""Signals of others at the receiver's antenna: any number of LoRa frames as ready IQ (`Interferer`).

y[n] += 10**(power_db/20) s[n - start] exp(2πj cfo (n - start)/rate)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lora_phy.arrays import IQ
from lora_phy.channel.offsets import phasor
from lora_phy.channel.params import Interferer


def add_interferers(iq: IQ, interferers: Sequence[Interferer], sample_rate_hz: float) -> IQ:
    """Add every interferer to every row of a complex64 ``(..., n)`` array, in place; what lies outside is cut off.

    Examples
    --------
    >>> add_interferers(np.zeros(4, np.complex64), [Interferer(np.ones(9), start_sample=-7)], 1.0).real
    array([1., 1., 0., 0.], dtype=float32)
    """
    n = iq.shape[-1]
    for other in interferers:
        low, high = max(0, other.start_sample), min(n, other.start_sample + other.iq.size)
        amplitude = np.float32(10.0 ** (other.power_db / 20.0))
        if high <= low or amplitude == 0.0:
            continue
        heard = other.iq[low - other.start_sample : high - other.start_sample] * amplitude
        if other.cfo_hz:
            start = low - other.start_sample
            heard = heard * phasor(other.cfo_hz / sample_rate_hz, heard.size, start_sample=start)
        iq[..., low:high] += heard
    return iq
