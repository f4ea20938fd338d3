"""Chirps and frames in continuous time: what IQ is compared with. Shares nothing with the modem it judges.

The frequency of a chirp of value s is ((s + t) mod N) / N - 1/2 cycles a chip at t chips from its beginning. With
m = (s + t) mod N its integral is m^2 / 2N - m / 2, and 0 over a whole period.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import FloatArray
from lora_phy.params import LoRaParams

Chirp = tuple[int, float, float]
"""Direction (1 up, -1 down), value, length in chips."""
ComplexArray = npt.NDArray[np.complex128]


def phase_at(t: FloatArray, chirps: list[Chirp], num_bins: int) -> FloatArray:
    """Phase in turns, `t` chips from the beginning of the first of `chirps`, which follow one another without a jump.

    Examples
    --------
    >>> bool(np.allclose(phase_at(np.array([0.0, 32.0, 64.0]), [(1, 0, 128.0)], 128), [0.0, -12.0, -16.0]))
    True
    """
    direction, value, length = (np.array(column, dtype=np.float64) for column in zip(*chirps, strict=True))

    def integral(x: FloatArray) -> FloatArray:
        m = np.mod(x, num_bins)
        return np.asarray(m**2 / (2 * num_bins) - m / 2)

    ends = np.cumsum(length)
    steps = direction * (integral(value + length) - integral(value))
    k = np.clip(np.searchsorted(ends, t, side="right"), 0, len(ends) - 1)
    inside = direction[k] * (integral(value[k] + t - (ends - length)[k]) - integral(value[k]))
    return np.asarray((np.cumsum(steps) - steps)[k] + inside)


def continuous_phase(chirps: list[Chirp], num_bins: int, samples_per_chip: int) -> ComplexArray:
    """IQ of chirps, one after the other, without a jump of phase anywhere."""
    phase, out = 0.0, []
    for direction, value, length in chirps:
        t = np.arange(round(length * samples_per_chip) + 1) / samples_per_chip
        m = (value + t) % num_bins
        integral = m**2 / (2 * num_bins) - m / 2
        turns = phase + direction * (integral - integral[0])
        out.append(turns[:-1])
        phase = float(turns[-1])
    return np.asarray(np.exp(2j * np.pi * np.concatenate(out)))


def frame_chirps(
    symbols: list[int], sf: int, sync: tuple[int, int], *, early: int, preamble_len: int = 8, extra: int = 0
) -> list[Chirp]:
    """The chirps of a frame; `early` = 1 is what chips send: data one chip early, s - 1 in place of s."""
    n = 1 << sf
    word: list[Chirp] = [(1, sync[0], n), (1, sync[1], n)]
    delimiter: list[Chirp] = [(-1, 0, n), (-1, 0, n), (-1, 0, n / 4 - early)]
    return [(1, 0, n)] * preamble_len + word + delimiter + [(1, (s - early) % n, n) for s in [0] * extra + symbols]


def frame(symbols: list[int], params: LoRaParams) -> ComplexArray:
    """IQ of a frame by its definition, up to the last symbol's end."""
    chirps = frame_chirps(
        symbols,
        params.sf,
        sync_chirps(params),
        early=1 if params.waveform == "chip" else 0,
        preamble_len=params.preamble_len,
        extra=2 if params.sf <= 6 and params.variant == "sx126x" else 0,
    )
    iq = continuous_phase(chirps, 1 << params.sf, params.oversampling)
    return iq.conj() if params.inverted_iq else iq


def sync_chirps(params: LoRaParams) -> tuple[int, int]:
    """The two chirps of the sync word: its nibbles, 8…15 counted as -8…-1, times 8."""
    word = params.sync_word or 0
    first, second = (nibble - 16 if nibble > 7 else nibble for nibble in (word // 16, word % 16))
    return (8 * first) % (1 << params.sf), (8 * second) % (1 << params.sf)


def num_symbols(payload_len: int, params: LoRaParams) -> int:
    """Data symbols of a frame, by the formula of the data sheets (SX1276, SX126x) in its own terms."""
    header, crc, reduced = int(params.explicit_header), int(params.crc), int(reduced_rate(params))
    bits = 8 * payload_len + 16 * crc - 4 * params.sf + 20 * header
    if params.sf >= 7 or params.variant == "sx127x":
        bits += 8
    return 8 + max(-(-bits // (4 * (params.sf - 2 * reduced))) * (params.cr + 4), 0)


def reduced_rate(params: LoRaParams) -> bool:
    """Whether low-data-rate optimisation is on: as told, or a symbol longer than 16 ms."""
    return params.ldro if params.ldro is not None else (1 << params.sf) / params.bandwidth_hz > 16e-3
