"""Several channels of a gateway out of one wide stream: a polyphase filter bank, then a receiver on each.

With M channels spaced fs / M, and an output sample every D = M / 2 inputs (twice the spacing),

    y_c[m] = sum_k h[k] x[m D - k] exp(-2 pi j c (m D - k) / M),

whose sums over k congruent modulo M are shared by all channels: one multiplication by the filter, M-fold sums, one FFT
of length M per output. h is a Kaiser-windowed sinc, symmetric about 0: channel time m is input time m D exactly.

Source: f. j. harris, Multirate Signal Processing for Communication Systems, chapter 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from lora_phy.arrays import IQ
from lora_phy.params import LoRaParams
from lora_phy.receiver.frame_reception import RxFrame
from lora_phy.receiver.stream import receive
from lora_phy.resampling import change_rate

TAPS_PER_CHANNEL = 24
_BLOCK_OUTPUTS = 1 << 14


@dataclass(frozen=True, kw_only=True)
class ChannelFrame:
    """A frame and the channel it came in: `frame.start_sample` counts samples of the wide stream."""

    channel_hz: float
    frame: RxFrame


def channelise(iq: npt.ArrayLike, num_channels: int) -> npt.NDArray[np.complex64]:
    """Split a stream into equally spaced channels, ``(num_channels, ceil(2 n / num_channels))`` complex64.

    Row c is centred on c / num_channels of the sampling rate, as an FFT orders frequencies (the upper half is
    negative), at ``2 / num_channels`` of the sampling rate.

    Raises
    ------
    ValueError
        `num_channels` odd or below 2.

    Examples
    --------
    >>> tone = np.exp(2j * np.pi * 0.25 * np.arange(4000))
    >>> power = (np.abs(channelise(tone, 8)[:, 50:-50]) ** 2).mean(axis=1)
    >>> np.round(power, 3)
    array([0., 0., 1., 0., 0., 0., 0., 0.], dtype=float32)
    """
    if isinstance(num_channels, bool) or not hasattr(num_channels, "__index__") or num_channels < 2 or num_channels % 2:
        raise ValueError(f"'num_channels' must be an even number of at least 2 (got {num_channels!r})")
    x = np.ascontiguousarray(iq, dtype=np.complex64)
    step = num_channels // 2
    taps = _prototype(num_channels)
    half = len(taps) // 2
    num_out = -(-len(x) // step)
    padded = np.concatenate([np.zeros(half, np.complex64), x, np.zeros(half + step, np.complex64)])
    out = np.empty((num_channels, num_out), dtype=np.complex64)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)[::step][:num_out]
    for start in range(0, num_out, _BLOCK_OUTPUTS):
        block = windows[start : start + _BLOCK_OUTPUTS] * taps[:-1]
        folded = block.reshape(len(block), -1, num_channels).sum(axis=1)
        # window sample k lies at input time m D - half + k, and half is a multiple of the number of channels
        spectra = scipy.fft.fft(folded, axis=-1)
        # the phase of input time m D: D is half of M, so odd channels alternate in sign
        odd = ((np.arange(start, start + len(block))[:, np.newaxis] * np.arange(num_channels)) % 2).astype(bool)
        out[:, start : start + len(block)] = np.where(odd, -spectra, spectra).T
    return out


def receive_channels(
    iq: npt.ArrayLike,
    params: LoRaParams | Sequence[LoRaParams],
    *,
    sample_rate_hz: float,
    num_channels: int = 8,
    spacing_hz: float = 200e3,
) -> list[ChannelFrame]:
    """Every frame in every channel of a wide stream, in time order.

    Channels lie at multiples of `spacing_hz` from the centre, from ``-num_channels / 2`` to ``num_channels / 2 - 1`` of
    them. The outermost, at minus half the rate, is shared by both edges.
    """
    wide = change_rate(iq, sample_rate_hz, num_channels * spacing_hz)
    scale = sample_rate_hz / (num_channels * spacing_hz)
    step = num_channels // 2
    found = []
    for index, row in enumerate(channelise(wide, num_channels)):
        channel = (index + step) % num_channels - step
        for frame in receive(row, params, sample_rate_hz=2 * spacing_hz):
            start = (frame.start_sample + frame.sto_samples) * step * scale
            nearest = int(np.floor(start + 0.5))
            moved = replace(frame, start_sample=nearest, sto_samples=float(start - nearest))
            found.append(ChannelFrame(channel_hz=channel * spacing_hz, frame=moved))
    return sorted(found, key=lambda item: (item.frame.start_sample, item.channel_hz))


@cache
def _prototype(num_channels: int) -> IQ:
    """Low-pass of cutoff half the spacing either side, symmetric, an odd number of taps."""
    length = TAPS_PER_CHANNEL * num_channels + 1
    taps = scipy.signal.firwin(length, 1.0 / num_channels, window=("kaiser", 7.0)).astype(np.float32)
    taps.flags.writeable = False
    return np.asarray(taps)
