"""Diagnosis of a recording that gave no frame: what was assumed, and where its power lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lora_phy.arrays import IQ
from lora_phy.params import LoRaParams
from lora_phy.recordings import RecordingStream

NOTABLE_DB = 6.0
"""Power of a channel above the median one from which it is worth a look."""
_BINS = 256


class FirstSecond:
    """The first second of a stream, kept to look at."""

    def __init__(self, sample_rate_hz: float) -> None:
        """Take the rate, which says how many samples a second has."""
        self.sample_rate_hz = sample_rate_hz
        self._parts: list[IQ] = []
        self._missing = math.ceil(sample_rate_hz)

    def add(self, chunk: IQ) -> None:
        """Keep what belongs to the first second."""
        if self._missing > 0:
            self._parts.append(chunk[: self._missing].copy())
            self._missing -= len(chunk)

    @property
    def iq(self) -> IQ:
        """The samples, ``(n,)`` complex64."""
        return np.concatenate(self._parts) if self._parts else np.empty(0, np.complex64)


@dataclass(frozen=True)
class StrongestChannel:
    """Channel with most power at any moment: offset from the centre, and dB over the median channel of that moment."""

    offset_hz: float
    excess_db: float


def strongest_channel(iq: IQ, sample_rate_hz: float, bandwidth_hz: float) -> StrongestChannel | None:
    """The channel of `bandwidth_hz` with most power at any moment; None where the samples show one channel only.

    Spectra of 256 bins, averaged over 10 ms and summed over the bandwidth; the DC spike is passed over. A frame lasts
    longer than 10 ms, so it stands out even where it is alone in its second.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> noise = (rng.standard_normal((100_000, 2)) @ [1, 1j]).astype(np.complex64)
    >>> tone = 2 * np.exp(2j * np.pi * 0.2 * np.arange(100_000)) * (np.arange(100_000) < 20_000)
    >>> found = strongest_channel((noise + tone).astype(np.complex64), 1e6, 125e3)
    >>> round(found.offset_hz, -5), found.excess_db > 6
    (200000.0, True)
    """
    width = max(1, round(bandwidth_hz / sample_rate_hz * _BINS))
    each = max(1, round(0.01 * sample_rate_hz / _BINS))
    moments = len(iq) // (_BINS * each)
    if moments == 0 or 2 * width > _BINS:
        return None
    best: StrongestChannel | None = None
    for part in iq[: moments * each * _BINS].reshape(moments, each, _BINS):
        with np.errstate(over="ignore", invalid="ignore"):
            power = (np.abs(np.fft.fft(part * np.hanning(_BINS), axis=1)) ** 2).mean(axis=0)
        power = np.nan_to_num(power)
        power[[0, 1, -1]] = np.median(power)
        channels = np.convolve(np.concatenate([power, power[: width - 1]]), np.ones(width), "valid")
        floor = np.median(channels)
        at = int(np.argmax(channels))
        if floor <= 0:
            continue
        excess_db = 10 * math.log10(channels[at] / floor)
        if best is None or excess_db > best.excess_db:
            centre = (at + (width - 1) / 2 + _BINS / 2) % _BINS - _BINS / 2
            best = StrongestChannel(centre / _BINS * sample_rate_hz, excess_db)
    return best


def diagnose(
    stream: RecordingStream,
    wanted: Sequence[LoRaParams],
    first_second: FirstSecond,
    num_samples: int,
    center_offset_hz: float,
    *,
    rate_given: bool,
) -> str:
    """Diagnosis in several lines: what was assumed, what the first second shows, and what to try."""
    rate = first_second.sample_rate_hz
    sfs = sorted({item.sf for item in wanted})
    bandwidths = sorted({item.bandwidth_hz for item in wanted})
    words = {"any" if item.sync_word is None else f"0x{item.sync_word:02x}" for item in wanted}
    lines = [
        f"looked at {num_samples} samples of {stream.sample_format}{' (assumed)' * stream.assumed_format}"
        f" at {rate:g} Hz{'' if rate_given else ' (assumed: bandwidth times oversampling)'}",
        f"for SF {' '.join(map(str, sfs))}, bandwidth {' '.join(f'{b / 1e3:g}' for b in bandwidths)} kHz,"
        f" sync word {' '.join(sorted(words))}, channel {center_offset_hz:+g} Hz from the centre",
    ]
    iq = first_second.iq
    lines.append(_levels(iq))
    found = strongest_channel(iq, rate, bandwidths[0])
    if found is not None:
        lines.append(
            f"strongest {bandwidths[0] / 1e3:g} kHz channel in the first second: {found.offset_hz:+.0f} Hz from the"
            f" centre, {found.excess_db:.1f} dB over the median one"
        )
    return "\n".join(
        [*lines, "try:", *(f"  {item}" for item in _advice(stream, wanted, found, center_offset_hz, rate_given))]
    )


def _levels(iq: IQ) -> str:
    if len(iq) == 0:
        return "there are no samples"
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.abs(iq.astype(np.complex128)) ** 2
        mean, largest = float(np.mean(power)), float(np.max(power))
    if not math.isfinite(largest) or largest > 1e12:
        return "the samples are no such numbers: the format is another one"
    if mean == 0:
        return "all samples of the first second are zero"
    return f"mean power {10 * math.log10(mean):.1f} dBFS, largest sample {math.sqrt(largest):.3g} of full scale"


def _advice(
    stream: RecordingStream,
    wanted: Sequence[LoRaParams],
    found: StrongestChannel | None,
    center_offset_hz: float,
    rate_given: bool,
) -> list[str]:
    bandwidth = min(item.bandwidth_hz for item in wanted)
    advice = []
    if stream.assumed_format:
        advice.append("--format cu8 (rtl_sdr), cs8 (hackrf), cs16 or cf32: nothing says which the samples are")
    if not rate_given:
        advice.append("--sample-rate-hz 2.4e6, or whatever the recorder was set to: raw samples do not say")
    if found is not None and found.excess_db >= NOTABLE_DB and abs(found.offset_hz - center_offset_hz) > bandwidth / 4:
        advice.append(f"--center-offset-hz {found.offset_hz:.0f}: most power is there")
    if len({item.sf for item in wanted}) < 6:
        advice.append("--sf any: all spreading factors")
    if any(item.sync_word is not None for item in wanted):
        advice.append("--sync-word any: other networks' frames too")
    if len({item.bandwidth_hz for item in wanted}) == 1:
        advice.append("--bandwidth-hz 125e3 250e3 500e3: what the chirps' width is in a spectrogram")
    if not any(item.inverted_iq for item in wanted):
        advice.append("--inverted-iq: a LoRaWAN gateway's frames are conjugated")
    return advice
