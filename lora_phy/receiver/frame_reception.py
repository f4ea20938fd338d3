"""Reception of one frame, from its synchronisation to its payload.

preamble peak ─ synchronise ─ payload symbols (timing tracked) ─ matched-filter bins ─ decode ─► RxFrame
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from lora_phy.arrays import IQ, Bins, Symbols
from lora_phy.checks import integer
from lora_phy.coding.chain import FIRST_BLOCK_LEN, Decoded, FrameStatus
from lora_phy.coding.decisions import decide_symbols
from lora_phy.coding.header import Header
from lora_phy.modem.interpolation import GUARD, extract
from lora_phy.modem.preamble_start import preamble_start
from lora_phy.modem.sync import Sync
from lora_phy.params import LoRaParams
from lora_phy.receiver.frame_decoding import (
    by_likelihood,
    decode_frame,
    frame_symbols,
    header_symbols,
    is_payload_evident,
    plausible_rates,
    read_head,
    with_ldro,
)
from lora_phy.receiver.timing_tracking import Look, Timing, initial_timing, payload_bins

LDRO_PROBE = 16
WAVEFORM_MARGIN = 0.2
"""By how much more coherent the first symbols must be in the other waveform than in that of the parameters."""
LARGEST_SCALE = 1e25
"""Of a magnitude within its likelihood, where a preamble of zeros leaves no noise."""
MOST_TRIALS = 1000
SECOND_LOOK_ES = 16.0
"""Energy of a symbol over the noise in a bin from which on a frame is read again where it cannot be decoded."""
OPENING_COST, COST_OF_SECOND_LOOK = 70, 3
"""CPU time that a reading costs whatever its length, in symbols read; that of a second look over the usual one's."""
LARGE_OFFSET = 16
"""Part of the bandwidth beyond which an offset moves some of a chirp out of the band of an oversampled stream."""
FILTERED_BEFORE = 20
"""Symbols before a nominal preamble in which its beginning is sought on filtered samples."""


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
        Clock offset, positive: the transmitter's clock is fast. Near zero is taken for likelier, so that short frames
        read low (SF7, 5 bytes, 30 ppm at +10 dB: 4 to 20); from 20 bytes on it is right to 5 ppm there.
    snr_db
        Signal over noise in the bandwidth, measured on the preamble: where the signal is stronger, as what equal chirps
        differ by. Right to 1 dB up to +40 dB; above, what interpolation leaves of a strong signal counts as noise (+50
        dB reads 1 to 3 dB low, and 90 dB is the most).
    params
        The parameters the frame was received with. Where `ldro` was left open and the header could be read, it is the
        rate that was detected. `waveform` is the one that the first 24 symbols showed.
    sync_word
        The byte that was sent, with a sign to its nibbles or without; at SF5 and SF6, where words coincide, the
        smallest or the parameters' own. None where the two chirps stand for no byte (only where any word was accepted).
    sync_symbols
        The two chirps of the sync word, as decided.
    power_dbfs
        Power of the frame's signal in the input stream, without the noise, in dB over that of a sample of magnitude 1.
    preamble_len
        Upchirps before the sync word, as far as they are in the stream.
    symbols
        ``(num_symbols,)`` int32: every data symbol by hard decision, in the convention of `lora_phy.encode_payload`,
        header block first; those of the padding are as they were sent. Not compared when frames are.
    drift_hz_per_s
        Change of the carrier offset during the frame.
    time
        Instant of the preamble's first sample, where the receiver was told that of the stream; else None.
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
    sync_word: int | None
    sync_symbols: tuple[int, int]
    power_dbfs: float
    preamble_len: int
    symbols: Symbols = field(compare=False, repr=False)
    drift_hz_per_s: float = 0.0
    time: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Settings of the decoding of payloads.

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

    def __post_init__(self) -> None:
        """Bound the trials: with thousands of them any noise has a valid CRC."""
        integer("num_trials", self.num_trials, 0, MOST_TRIALS)


@dataclass(frozen=True, kw_only=True)
class Reception:
    """A decoded frame in the coordinates of the samples it was decoded from, one per chip; `work`: symbols that were
    read for it, those of second looks counted by what they cost more.
    """

    decoded: Decoded
    sync: Sync
    start: float
    data: float
    end: float
    sfo_ppm: float
    rate: float
    symbols: Symbols
    params: LoRaParams
    work: int

    @property
    def preamble_len(self) -> int:
        """Upchirps from `start` to the sync word."""
        return max(round((self.sync.start - self.start) / (self.params.num_bins - self.sync.drift)) - 2, 0)


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
    second_looks: bool = True,
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
    second_looks
        Whether a frame that is strong and was not read is read again in other ways.

    Returns
    -------
    Reception, or int
        The number of samples (one per chip) without which nothing can be said yet.
    """
    told, num_bins = params, params.num_bins
    reading = _read_frame(samples, payload_samples, rate, sync, told, decoding, final=final)
    if isinstance(reading, int):
        return reading
    # strong, and yet not read: its carrier may move as no usual one does, or the phase step at the chirps' folds
    looks: tuple[Look, ...] = ("agile", "fold") if second_looks and _is_doubtful(reading, sync, params) else ()
    work = OPENING_COST + reading.num_read
    for look in looks:
        again = _read_frame(samples, payload_samples, rate, sync, told, decoding, final=final, look=look)
        if isinstance(again, int):
            return again
        work += COST_OF_SECOND_LOOK * (OPENING_COST + again.num_read)
        if again.decoded.crc_ok:
            reading = again
            break
    decoded, found, timing = reading.decoded, reading.params, reading.timing
    unexpected = params.explicit_header and params.crc and decoded.header is not None and not decoded.header.crc
    if decoded.header is not None and unexpected and decoded.status is not FrameStatus.UNSUPPORTED:
        if not is_payload_evident(reading.bins, decoded.header, sync.signal_power, found):
            decoded = Decoded(payload=b"", status=FrameStatus.BAD_HEADER, crc_ok=None, header=None)
    origin = sync.start + (2.25 + params.extra_upchirps) * num_bins
    return Reception(
        decoded=decoded,
        sync=sync,
        start=_frame_start(samples, payload_samples, rate, sync, params, begin),
        data=origin,
        end=origin + reading.total * (num_bins - sync.drift),
        sfo_ppm=timing.drift / num_bins * 1e6,
        rate=timing.offset / max(reading.num_read + 2.25 + params.extra_upchirps, 1.0),
        symbols=decide_symbols(reading.bins, found),
        params=found,
        work=work,
    )


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """A frame's symbols and what was decoded from them."""

    decoded: Decoded
    params: LoRaParams
    timing: Timing
    bins: Bins
    total: int
    num_read: int


def _is_doubtful(reading: _Reading, sync: Sync, params: LoRaParams) -> bool:
    """Whether a frame this strong should have been read and was not."""
    strong = params.num_bins * sync.signal_power >= SECOND_LOOK_ES * sync.noise_power
    return strong and reading.decoded.status in (FrameStatus.BAD_CRC, FrameStatus.BAD_HEADER, FrameStatus.TRUNCATED)


def _read_frame(
    samples: IQ,
    payload_samples: IQ,
    rate: int,
    sync: Sync,
    params: LoRaParams,
    decoding: Decoding,
    *,
    final: bool,
    look: Look = "usual",
) -> _Reading | int:
    """Read and decode the symbols behind `sync`, or say how many samples are needed first."""
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
        return payload_bins(payload_samples, sync, timing, settings, first=first, count=count, rate=rate, look=look)

    es = num_bins * sync.signal_power / sync.noise_power
    scale = min(2 * math.sqrt(sync.signal_power) * num_bins / sync.noise_power, LARGEST_SCALE)
    bins, timing = read(0, opening, initial_timing(sync, params, look=look), params)
    if timing.other_waveform > WAVEFORM_MARGIN:  # the waveform is not the one that was told
        params = replace(params, waveform="textbook" if params.waveform == "chip" else "chip")
        bins, timing = read(0, opening, initial_timing(sync, params, look=look), params)
    soft = decoding.soft and first_len == FIRST_BLOCK_LEN
    header, head = read_head(bins[:first_len], scale, params, soft=soft)
    rates = [params]
    if header is not None and not header.long_interleaving:
        rates = [with_ldro(params, params.reduced_rate)]
        if decoding.detect_ldro and params.ldro is None:
            rates = plausible_rates(bins[first_len:], header, scale, params)
        total = max(frame_symbols(header, item) for item in rates)
        if here < total and not final:
            return needed(total)
        if total > len(bins):
            more, timing = read(len(bins), total - len(bins), timing, rates[0])
            bins = np.concatenate([bins, more])
        if len(rates) > 1:
            rates = by_likelihood(bins[first_len:], header, scale, es, rates)
            if rates[0].reduced_rate != params.reduced_rate:
                bins, timing = read(0, total, initial_timing(sync, params, look=look), rates[0])
    decoded, found_params = decode_frame(
        bins, head, header, scale, rates, soft_bins=decoding.soft, joint=soft, num_trials=decoding.num_trials
    )
    num_read = len(bins)
    total = first_len if header is None else frame_symbols(header, found_params)
    bins = bins[: total if decoded.status is not FrameStatus.UNSUPPORTED else first_len]
    return _Reading(decoded=decoded, params=found_params, timing=timing, bins=bins, total=total, num_read=num_read)


def _frame_start(samples: IQ, fine: IQ, rate: int, sync: Sync, params: LoRaParams, begin: int) -> float:
    """Where the frame's first upchirp begins; a carrier offset must not have moved part of it out of the band."""
    num_bins = params.num_bins
    if rate > 1 and abs(sync.cfo_bins) > num_bins / LARGE_OFFSET:
        span = (params.preamble_len + FILTERED_BEFORE) * num_bins
        first = math.floor(sync.start) - span
        filtered = extract(fine, first, span, sync.cfo_bins / num_bins, rate=rate)
        near = replace(sync, start=sync.start - first, cfo_bins=0.0)
        start = preamble_start(filtered, near, params, begin=max(begin - first, 0), expected=params.preamble_len)
        if start > (FILTERED_BEFORE - 8) * num_bins:  # the upchirps do not go on for longer than was filtered
            return first + start
    return preamble_start(samples, sync, params, begin=begin, expected=params.preamble_len)
