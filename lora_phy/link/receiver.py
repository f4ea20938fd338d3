"""One frame from a stream: from its synchronisation to its payload.

    preamble peak ─ synchronise ─ payload symbols (timing tracked) ─ matched-filter bins ─ decode ─► RxFrame

Timing is tracked because two clocks never agree: at SF12 a clock error of 20 ppm moves a symbol by 0.08 chips, ten
chips over a long frame. Decided symbols measure how early the signal has become (an early chirp's tone is high); a
two-state Kalman filter over (earliness, drift) follows it, and each stretch of symbols is interpolated where it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ, Bins
from lora_phy.coding.chain import Decoded, FrameStatus, decode_symbols, num_payload_symbols, read_header
from lora_phy.coding.header import Header
from lora_phy.modem import _kernels
from lora_phy.modem.chirps import downchirp
from lora_phy.modem.demodulation import correlate
from lora_phy.modem.sync import CLOCK_SIGMA_PPM, GUARD, Sync, extract, preamble_extent
from lora_phy.params import LoRaParams

SYMBOLS_PER_STRETCH = 4096
"""Samples interpolated together, at one per chip."""
MAX_STRETCH_DRIFT = 0.2
"""Chips the timing may move within a stretch."""


@dataclass(frozen=True, kw_only=True)
class RxFrame:
    """A received frame.

    Parameters
    ----------
    status, payload, crc_ok, header
        As of `lora_phy.decode_symbols`: a damaged frame carries its bytes as received.
    start_sample, sto_samples
        The preamble's first sample lies at ``start_sample + sto_samples`` of the input stream, the second in [-0.5, 0.5).
        Negative where the stream begins inside the preamble.
    cfo_hz
        Carrier offset against the receiver's centre (`center_offset_hz` not included).
    sfo_ppm
        Clock offset, positive: the transmitter's clock is fast.
    snr_db
        Signal over noise in the bandwidth, measured on the preamble.
    params
        The parameters the frame was received with.
    sync_word
        The byte that was sent; at SF5 and SF6, where words coincide, the smallest or the parameters' own.
    """

    status: FrameStatus
    payload: bytes
    crc_ok: bool | None
    start_sample: int
    sto_samples: float
    cfo_hz: float
    sfo_ppm: float
    snr_db: float
    header: Header | None
    params: LoRaParams
    sync_word: int


@dataclass(frozen=True, kw_only=True)
class Reception:
    """A decoded frame in the coordinates of the samples it was decoded from, one per chip."""

    decoded: Decoded
    sync: Sync
    start: float
    end: float
    sfo_ppm: float


def receive_frame(
    samples: IQ, payload_samples: IQ, rate: int, sync: Sync, params: LoRaParams, *, soft: bool, final: bool
) -> Reception | int:
    """Decode the frame at `sync`, or say how many samples are needed first.

    Parameters
    ----------
    samples, payload_samples
        The stream at one and at `rate` samples per chip, both from the same instant. Only the first `len` are known.
    final
        The stream ends here: what is missing is missing.

    Returns
    -------
    Reception, or int
        The number of samples (one per chip) without which nothing can be said yet.
    """
    num_bins = params.num_bins
    origin = sync.start + (2.25 + params.extra_upchirps) * num_bins
    slack = 2 * GUARD + num_bins // 2

    def needed(num_symbols: int) -> int:
        return int(origin) + num_symbols * num_bins + slack

    def whole_symbols(num_symbols: int) -> int:
        """How many of the symbols lie in the stream, a quarter of the last one forgiven."""
        here = int((len(samples) - origin) / num_bins + 0.25) if final else num_symbols
        return max(0, min(num_symbols, here))

    timing = initial_timing(sync, params)
    header_len = num_payload_symbols(0, params) if params.explicit_header else num_payload_symbols(params.payload_len or 0, params)
    if len(samples) < needed(header_len) and not final:
        return needed(header_len)
    first = whole_symbols(8)
    bins, timing = payload_bins(
        payload_samples, sync, timing, params, first=0, count=first, reduced_rate=params.header_reduced_rate, rate=rate
    )
    total = header_len
    if params.explicit_header and first == 8:
        header = read_header(bins, params)
        total = 8 if header is None else num_payload_symbols(header.payload_len, params, cr=header.cr, crc=header.crc)
        if len(samples) < needed(total) and not final:
            return needed(total)
    rest = whole_symbols(total) - first
    if rest > 0:
        more, timing = payload_bins(
            payload_samples, sync, timing, params, first=first, count=rest, reduced_rate=params.reduced_rate, rate=rate
        )
        bins = np.concatenate([bins, more])
    observed = bins if soft else np.argmax(bins, axis=1).astype(np.int32)
    decoded = decode_symbols(observed, params)
    step = num_bins - sync.drift
    length = preamble_extent(samples, sync, params)
    return Reception(
        decoded=decoded,
        sync=sync,
        start=sync.start - (2 + length) * step,
        end=origin + total * step,
        sfo_ppm=timing.drift / num_bins * 1e6,
    )


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Where the next data symbol is: `earliness` and `drift` in chips, with their covariance."""

    earliness: float
    drift: float
    variance: float
    covariance: float
    drift_variance: float


def initial_timing(sync: Sync, params: LoRaParams) -> Timing:
    """What the preamble says about the timing of data symbol 0."""
    es = max(params.num_bins * sync.signal_power / sync.noise_power, 1.0)
    drift_variance = min((CLOCK_SIGMA_PPM * 1e-6 * params.num_bins) ** 2, 0.02**2)
    elapsed = 2.25 + params.extra_upchirps
    return Timing(
        earliness=elapsed * sync.drift,
        drift=sync.drift,
        variance=0.05 / es + 1e-4 + elapsed**2 * drift_variance,
        covariance=elapsed * drift_variance,
        drift_variance=drift_variance,
    )


def payload_bins(
    samples: IQ, sync: Sync, timing: Timing, params: LoRaParams, *, first: int, count: int, reduced_rate: bool, rate: int = 1
) -> tuple[Bins, Timing]:
    """Matched-filter magnitudes ``(count, 2**sf)`` of data symbols first … first + count - 1, and the timing after them.

    `samples` at `rate` per chip; `sync` counts chips. The timing handed in is that of symbol `first`.
    """
    num_bins = params.num_bins
    modem = _modem_params(params.sf, rate)
    origin = sync.start + (2.25 + params.extra_upchirps) * num_bins
    es = max(num_bins * sync.signal_power / sync.noise_power, 1.0)
    lead_needed = 0.5 * np.sqrt(sync.noise_power / num_bins)
    bins = np.empty((count, num_bins), dtype=np.float32)
    done = 0
    while done < count:
        fits = int(MAX_STRETCH_DRIFT / max(abs(timing.drift), 1e-6))
        num = max(1, min(SYMBOLS_PER_STRETCH // num_bins, fits, count - done))
        early = timing.earliness + 0.5 * (num - 1) * timing.drift
        begin = origin + (first + done) * num_bins - early
        rows = extract(samples, rate * begin, rate * num * num_bins, sync.cfo_bins / (num_bins * rate))
        rows = rows.reshape(num, num_bins * rate)
        z = correlate(rows, modem)
        best = np.empty(num, np.int64)
        error, lead = np.empty(num, np.float32), np.empty(num, np.float32)
        stride = 4 if reduced_rate else 1
        _kernels.read_symbols(z, stride // 4, stride, bins[done : done + num], best, lead)
        _kernels.timing_errors(rows, downchirp(modem), best, rate, error)
        used = (lead > lead_needed) & (np.abs(error) < 0.8)
        timing = _advance(timing, num, float(error[used].mean()) if used.any() else 0.0, int(used.sum()), es)
        done += num
    return bins, timing


def _advance(timing: Timing, num: int, innovation: float, used: int, es: float) -> Timing:
    """Kalman step over `num` symbols, whose mean measured earliness beyond the predicted is `innovation`."""
    half = 0.5 * (num - 1)
    earliness, drift = timing.earliness + half * timing.drift, timing.drift
    p00 = timing.variance + 2 * half * timing.covariance + half**2 * timing.drift_variance
    p01 = timing.covariance + half * timing.drift_variance
    p11 = timing.drift_variance
    if used:
        # 3 / (2 pi^2 Es/N0) is the bound for one symbol; a quarter of a chip's scatter stands for wrong decisions
        noise = (0.25 / es + 0.002) / used
        gain0, gain1 = p00 / (p00 + noise), p01 / (p00 + noise)
        earliness += gain0 * innovation
        drift += gain1 * innovation
        p11 -= gain1 * p01
        p01 -= gain0 * p01
        p00 -= gain0 * p00
    rest = num - half
    return Timing(
        earliness=earliness + rest * drift,
        drift=drift,
        variance=p00 + 2 * rest * p01 + rest**2 * p11 + 1e-6 * num,
        covariance=p01 + rest * p11,
        drift_variance=p11 + 1e-9 * num,
    )


@cache
def _modem_params(sf: int, rate: int) -> LoRaParams:
    return LoRaParams(sf=sf, oversampling=rate)

