"""One frame from a stream: from its synchronisation to its payload.

    preamble peak ─ synchronise ─ payload symbols (timing tracked) ─ matched-filter bins ─ decode ─► RxFrame

Timing is tracked because two clocks never agree: at SF12 a clock error of 20 ppm moves a symbol by 0.08 chips, ten
chips over a long frame. Decided symbols measure how early the signal has become (an early chirp's tone is high); a
two-state Kalman filter over (earliness, drift) follows it, and each stretch of symbols is interpolated where it says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ, Bins
from lora_phy.coding.chain import (
    FIRST_BLOCK_LEN,
    Decoded,
    FrameStatus,
    decode_symbols,
    frame_blocks,
    num_payload_symbols,
    read_header,
)
from lora_phy.coding.gray import symbol_of_label
from lora_phy.coding.header import NUM_HEADER_NIBBLES, Header
from lora_phy.coding.joint import decode_block, decode_blocks, payload_from_metrics, search_header
from lora_phy.modem import _kernels
from lora_phy.modem.chirps import downchirp
from lora_phy.modem.demodulation import correlate
from lora_phy.modem.sync import CLOCK_SIGMA_PPM, GUARD, Sync, extract, preamble_start
from lora_phy.params import LoRaParams

SAMPLES_PER_STRETCH = 4096
"""Samples interpolated together, at one per chip."""
MAX_STRETCH_DRIFT = 0.2
"""Chips the timing may move within a stretch."""
LDRO_PROBE = 16
LDRO_CONFIDENCE = 0.85
MIN_HEADER_PROBABILITY = 0.5
MIN_UNCHECKED_PROBABILITY = 0.99
"""For a header without CRC where one is expected: nothing after it can contradict it."""


@dataclass(frozen=True, kw_only=True)
class RxFrame:
    """A received frame.

    Parameters
    ----------
    status, payload, crc_ok, header
        As of `lora_phy.decode_symbols`: a damaged frame carries its bytes as received.
    start_sample, sto_samples
        The preamble's first sample lies at ``start_sample + sto_samples`` of the input stream, the second in [-0.5,
        0.5). Where the stream begins inside the preamble: the first upchirp that is there, at least half of it.
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
class Decoding:
    """How payloads are decoded.

    Parameters
    ----------
    soft
        Joint soft decoding of likelihoods, or decisions symbol by symbol.
    num_trials
        Where the CRC of a softly decoded frame fails: how many of the likeliest alternatives it may choose from. Each
        is right by accident with probability 2**-16.
    detect_ldro
        Where the parameters leave `ldro` open: let the symbols' residues modulo 4 overrule the 16 ms rule.
    """

    soft: bool = True
    num_trials: int = 0
    detect_ldro: bool = True


@dataclass(frozen=True, kw_only=True)
class Reception:
    """A decoded frame in the coordinates of the samples it was decoded from, one per chip."""

    decoded: Decoded
    sync: Sync
    start: float
    data: float
    end: float
    sfo_ppm: float
    bins: Bins
    params: LoRaParams


def receive_frame(
    samples: IQ,
    payload_samples: IQ,
    rate: int,
    sync: Sync,
    params: LoRaParams,
    decoding: Decoding,
    *,
    final: bool,
    begin: int = 0,
) -> Reception | int:
    """Decode the frame at `sync`, or say how many samples are needed first.

    Parameters
    ----------
    samples, payload_samples
        The stream at one and at `rate` samples per chip, both from the same instant.
    final
        The stream ends here: what is missing is missing.
    begin
        Index (one per chip) at which the stream begins.

    Returns
    -------
    Reception, or int
        The number of samples (one per chip) without which nothing can be said yet.
    """
    num_bins = params.num_bins
    origin = sync.start + (2.25 + params.extra_upchirps) * num_bins
    # symbols in the stream; three quarters of the last one are enough to decide it
    here = (
        int((len(samples) - origin) / num_bins + 0.25)
        if final
        else int((len(samples) - origin - 2 * GUARD - num_bins // 2) / num_bins)
    )

    def needed(num_symbols: int) -> int:
        return math.ceil(origin) + (num_symbols + 1) * num_bins + 2 * GUARD

    first_len = header_symbols(params)
    # a few symbols of the payload are read with the header: they tell the rate where it is left open
    opening = first_len + LDRO_PROBE
    if here < opening and not final:
        return needed(opening)

    def read(first: int, count: int, timing: Timing, settings: LoRaParams) -> tuple[Bins, Timing]:
        count = max(0, min(count, here - first))
        return payload_bins(payload_samples, sync, timing, settings, first=first, count=count, rate=rate)

    bins, timing = read(0, opening, initial_timing(sync, params), params)
    scale = 2 * math.sqrt(sync.signal_power) * num_bins / sync.noise_power
    soft = decoding.soft and first_len == FIRST_BLOCK_LEN
    header, head = _read_head(bins[:first_len], scale, params, soft=soft)
    total, payload_params = first_len, params
    if header is not None:
        total = num_payload_symbols(header.payload_len, params, cr=header.cr, crc=header.crc)
        if decoding.detect_ldro and params.ldro is None:
            guess = _guess_ldro(bins[first_len:total], scale, params)
            if guess != params.reduced_rate:
                payload_params = replace(params, ldro=guess)
                total = num_payload_symbols(header.payload_len, payload_params, cr=header.cr, crc=header.crc)
                bins, timing = read(0, min(opening, total), initial_timing(sync, params), payload_params)
        if here < total and not final:
            return needed(total)
        if total > len(bins):
            more, timing = read(len(bins), total - len(bins), timing, payload_params)
            bins = np.concatenate([bins, more])
    bins = bins[:total]
    if header is None or not soft:
        decoded = decode_symbols(bins if decoding.soft else np.argmax(bins, axis=1).astype(np.int32), payload_params)
        if header is None and decoded.header is not None:  # the checks hold, the likelihoods say otherwise
            decoded = Decoded(payload=b"", status=FrameStatus.BAD_HEADER, crc_ok=None, header=None)
    else:
        decoded = _decode_jointly(bins, head, header, scale, payload_params, total, decoding.num_trials)
    step = num_bins - sync.drift
    return Reception(
        decoded=decoded,
        sync=sync,
        start=preamble_start(samples, sync, params, begin=begin, expected=params.preamble_len),
        data=origin,
        end=origin + total * step,
        sfo_ppm=timing.drift / num_bins * 1e6,
        bins=bins,
        params=payload_params,
    )


def header_symbols(params: LoRaParams) -> int:
    """Symbols that must be there before a frame's length is known: the first block, or all of an implicit frame's."""
    spilt = params.explicit_header and params.sf - 2 * params.header_reduced_rate < NUM_HEADER_NIBBLES
    return FIRST_BLOCK_LEN + (4 + params.cr) * spilt


def _read_head(
    bins: Bins, scale: float, params: LoRaParams, *, soft: bool
) -> tuple[Header | None, npt.NDArray[np.float32]]:
    """The header, and the log-likelihoods of the nibbles that share its block."""
    nothing = np.empty((0, 16), dtype=np.float32)
    if len(bins) < header_symbols(params):
        return None, nothing
    implied = Header(payload_len=params.payload_len or 0, cr=params.cr, crc=params.crc)
    if not soft:
        return read_header(np.argmax(bins, axis=1), params) if params.explicit_header else implied, nothing
    block = frame_blocks(FIRST_BLOCK_LEN, params)[0]
    likelihoods = _likelihoods(bins, scale, block.reduced_rate, params.sf)
    metrics = decode_block(likelihoods, block)
    if not params.explicit_header:
        return implied, metrics
    decision = search_header(metrics[:NUM_HEADER_NIBBLES], crc_expected=params.crc)
    unchecked = params.crc and not decision.header.crc
    if decision.probability < (MIN_UNCHECKED_PROBABILITY if unchecked else MIN_HEADER_PROBABILITY):
        return None, nothing
    if block.num_codewords > NUM_HEADER_NIBBLES:
        metrics = decode_block(likelihoods, block, known=decision.nibbles)
    return decision.header, metrics[NUM_HEADER_NIBBLES:]


def _decode_jointly(
    bins: Bins, head: npt.NDArray[np.float32], header: Header, scale: float, params: LoRaParams, total: int, trials: int
) -> Decoded:
    rest = bins[FIRST_BLOCK_LEN:]
    rest = rest[: len(rest) // (4 + header.cr) * (4 + header.cr)]
    likelihoods = _likelihoods(rest, scale, params.reduced_rate, params.sf)
    metrics = np.concatenate([head, decode_blocks(likelihoods, params.bits_per_symbol, header.cr)])
    payload, crc_ok = payload_from_metrics(metrics, header.payload_len, crc=header.crc, num_trials=trials)
    if len(bins) < total:
        status, crc_ok = FrameStatus.TRUNCATED, False if header.crc else None
    else:
        status = FrameStatus.BAD_CRC if crc_ok is False else FrameStatus.OK
    if len(bins) < total:
        payload = payload[: len(metrics) // 2]
    return Decoded(payload=payload, status=status, crc_ok=crc_ok, header=header if params.explicit_header else None)


def _likelihoods(bins: Bins, scale: float, reduced_rate: bool, sf: int) -> npt.NDArray[np.float32]:
    table = symbol_of_label(sf, reduced_rate)
    out = np.empty((len(bins), len(table)), dtype=np.float32)
    _kernels.label_likelihoods(bins, table, np.float32(scale), out)
    return out


def _guess_ldro(bins: Bins, scale: float, params: LoRaParams) -> bool:
    """Whether symbols are 4k + 1 only, by likelihood; the 16 ms rule holds unless nearly all symbols speak against
    it.
    """
    expected = params.reduced_rate
    if len(bins) == 0:
        return expected
    everything = np.arange(params.num_bins, dtype=np.int32)
    likelihoods = np.empty(bins.shape, dtype=np.float32)
    _kernels.label_likelihoods(bins, everything, np.float32(scale), likelihoods)
    reduced = likelihoods[:, 1::4].mean(axis=1, dtype=np.float64)
    full = likelihoods.mean(axis=1, dtype=np.float64)
    evidence = float(np.log((reduced + 1e-30) / (full + 1e-30)).sum())
    # each symbol can speak for the reduced rate by ln 4 at most: nearly all must
    needed = LDRO_CONFIDENCE * math.log(4.0) * len(bins)
    return evidence > -needed if expected else evidence > needed


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
    samples: IQ,
    sync: Sync,
    timing: Timing,
    params: LoRaParams,
    *,
    first: int,
    count: int,
    rate: int = 1,
) -> tuple[Bins, Timing]:
    """Matched-filter magnitudes ``(count, 2**sf)`` of data symbols first … first + count - 1, and the timing after
    them.

    `samples` at `rate` per chip; `sync` counts chips. The timing handed in is that of symbol `first`.
    """
    num_bins = params.num_bins
    modem = _modem_params(params.sf, rate)
    origin = sync.start + (2.25 + params.extra_upchirps) * num_bins
    es = max(num_bins * sync.signal_power / sync.noise_power, 1.0)
    lead_needed = 0.5 * np.sqrt(sync.noise_power / num_bins)
    bins = np.empty((count, num_bins), dtype=np.float32)
    strides = np.full(count, 4 if params.reduced_rate else 1)
    strides[: max(FIRST_BLOCK_LEN - first, 0)] = 4 if params.header_reduced_rate else 1
    done = 0
    while done < count:
        fits = int(MAX_STRETCH_DRIFT / max(abs(timing.drift), 1e-6))
        num = max(1, min(SAMPLES_PER_STRETCH // num_bins, fits, count - done))
        early = timing.earliness + 0.5 * (num - 1) * timing.drift
        begin = origin + (first + done) * num_bins - early
        rows = extract(samples, rate * begin, rate * num * num_bins, sync.cfo_bins / (num_bins * rate))
        rows = rows.reshape(num, num_bins * rate)
        z = correlate(rows, modem)
        best = np.empty(num, np.int64)
        error, lead = np.empty(num, np.float32), np.empty(num, np.float32)
        _kernels.read_symbols(z, strides[done : done + num], bins[done : done + num], best, lead)
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
