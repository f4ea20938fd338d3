"""Reading a frame through others of its own spreading factor: the segments of a symbol, weighed one by one.

    window of the wanted symbol   |---------------------------|
    edges of the others                 ^         ^
    segments                      |--1--|----2----|-----3-----|      y_i[s] = Σ_{n in i} dechirped e^{-2πj s n/N}

The wanted tone s is in every segment, with amplitude A L_i and one phase; an interferer's tone lasts from one of its
edges to the next, so it is missing from the others. With noise v_i in segment i the score of a symbol value is

    Λ(s) = ln mean_φ exp Σ_i [ρ(|y_i[s] - A L_i e^{jφ}|² / v_i) - ρ(|y_i[s]|² / v_i)],     ρ(x) = ln(e^{-x} + ε)

with ε a floor for "somebody else is here": one segment alone can speak for or against s with at most ln(1 + 1/ε). A
value that lacks the tone in one long segment is out, however strong it is elsewhere: the spectra are intersected,
softly. φ has a prior: the carrier measured on the preamble predicts it, which tells frames apart whose edges coincide.
exp Λ goes to the joint decoder.

All preambles are found first, so all edges are known, and preambles (known waveforms) are taken away. Symbols that are
all but certain are then rebuilt and taken from what the other frames see, and all is read again.

The intersection of sub-symbol spectra is due to Shahid et al. (CIC), ACM SIGCOMM 2021; this likelihood is our own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage
import scipy.special

from lora_phy.arrays import IQ, FloatArray, Symbols
from lora_phy.coding.chain import FIRST_BLOCK_LEN, FrameStatus, frame_blocks, num_payload_symbols
from lora_phy.coding.decisions import decide_symbols
from lora_phy.coding.gray import symbol_of_label
from lora_phy.coding.header import NUM_HEADER_NIBBLES, Header
from lora_phy.coding.joint import decode_block, payload_from_metrics, search_header
from lora_phy.modem.candidates import joint_candidates
from lora_phy.modem.chirps import downchirp
from lora_phy.modem.fine_sync import fine_sync
from lora_phy.modem.interpolation import extract
from lora_phy.modem.modulation import data_start, modulate_frame
from lora_phy.modem.preamble import (
    COUNT_FLOOR,
    HOPS_PER_SYMBOL,
    Candidate,
    detection_threshold,
    num_summed_windows,
    window_energies,
)
from lora_phy.modem.sync import Sync, is_frame
from lora_phy.modem.sync_words import word_of_chirps
from lora_phy.params import LoRaParams
from lora_phy.receiver.cancellation import Replica, block_sums, contribution, fit_wave, make_replica
from lora_phy.receiver.frame_decoding import MIN_HEADER_PROBABILITY
from lora_phy.receiver.frame_reception import RxFrame
from lora_phy.resampling import change_rate

FLOOR = 3e-3
"""ε of the score."""
NUM_PHASES = 16
PHASE_STEP_ERROR = (np.pi / NUM_PHASES) ** 2 / 2
SHORTEST = 1 / 32
"""Part of a symbol below which a segment is left to its neighbour."""
CERTAIN = 0.9
"""Posterior above which a symbol is rebuilt for the others' sake."""
SWEEPS = 4
PHASE_TRUST = 0.7
PHASE_CONCENTRATION = 6.0
"""The phase is where the preamble's carrier puts it (von Mises) with this probability, else anywhere."""
SEARCHES = 3
MAX_FRAMES = 24
BLIND_SYMBOLS = 72
"""Symbols looked at while a frame's length is unknown."""


@dataclass(eq=False)
class _Heard:
    """One frame on its way: where it is, how strong, and what the others take away on its account."""

    sync: Sync
    amplitude: float
    estimate: IQ
    end: float
    gain: complex = 0.0
    frame: RxFrame | None = None


def resolve(iq: IQ, params: LoRaParams) -> list[RxFrame]:
    """Frames of `iq` (at ``params.sample_rate_hz``, upright) whose CRC holds once their symbols are read in segments.

    Needs a CRC to tell a read frame from a misread one; frames without one are not returned. Carrier, clock and power
    of a frame are taken as constant over it, and `ldro` of None as the 16 ms rule says.

    Examples
    --------
    >>> from lora_phy import transmit
    >>> [frame] = resolve(transmit(b"hello", LoRaParams(sf=7)), LoRaParams(sf=7))
    >>> frame.payload
    b'hello'
    """
    critical = replace(params, oversampling=1)
    lead = (params.preamble_len + 26) * params.num_bins
    chips = change_rate(iq, params.sample_rate_hz, params.bandwidth_hz)
    stream = np.concatenate([np.zeros(lead, np.complex64), chips, np.zeros(lead, np.complex64)])
    heard: list[_Heard] = []
    for _ in range(SEARCHES):  # a preamble on top of a louder one shows once that is taken away
        view = stream - sum((item.estimate for item in heard), np.zeros_like(stream))
        found = [sync for sync in find_preambles(view, critical) if not _any_ghost(sync, heard, critical)]
        if not found or len(heard) >= MAX_FRAMES:
            break
        heard += [_heard(stream, sync) for sync in found[: MAX_FRAMES - len(heard)]]
        _take_preambles(stream, heard, critical)
    for _ in range(SWEEPS):
        progress = False
        for item in sorted(heard, key=lambda each: -each.amplitude):
            if item.frame is None:
                view = stream - sum((o.estimate for o in heard if o is not item), np.zeros_like(stream))
                _read(view, item, [o for o in heard if o is not item], critical)
                progress |= item.frame is not None
        if progress:
            break  # what is read is better cancelled whole, by the caller
    return [_in_stream(item.frame, lead, params) for item in heard if item.frame is not None]


def find_preambles(samples: IQ, params: LoRaParams) -> list[Sync]:
    """Every preamble in samples at one per chip, also where several lie on one another, the strongest first.

    The statistic of `lora_phy.modem.preamble`, searched over time and tone at once: a preamble keeps its tone once the
    window's own start is taken off, so preambles of different tones are different peaks.
    """
    num_bins, sf = params.num_bins, params.sf
    hop, num_sum = num_bins // HOPS_PER_SYMBOL, num_summed_windows(params)
    num_windows = len(samples) // hop
    starts = np.arange(num_windows, dtype=np.int64) * hop
    energies = window_energies(samples, starts, sf)
    tones = np.empty_like(energies)
    tones[:, 0::2], tones[:, 1::2] = energies[:, :num_bins], energies[:, num_bins:]
    for phase in range(HOPS_PER_SYMBOL):
        tones[phase::HOPS_PER_SYMBOL] = np.roll(tones[phase::HOPS_PER_SYMBOL], -2 * phase * hop, axis=1)
    total, count = np.zeros_like(tones), np.zeros(tones.shape, dtype=np.int16)
    for j in range(num_sum):
        late = j * HOPS_PER_SYMBOL
        total[late:] += tones[: num_windows - late]
        count[late:] += tones[: num_windows - late] > COUNT_FLOOR
    total[count < min(num_sum, 5)] = 0.0
    size = (2 * HOPS_PER_SYMBOL + 1, 5)
    peaks = (total == scipy.ndimage.maximum_filter(total, size, mode=("constant", "wrap"))) & (
        total > detection_threshold(params)
    )
    order = np.argwhere(peaks)
    order = order[np.argsort(-total[peaks])][: 8 * MAX_FRAMES]
    found: list[Sync] = []
    for window, tone in order.tolist():
        candidate = Candidate(
            start=window * hop,
            half_bin=(tone + 2 * window * hop) % (2 * num_bins),
            statistic=float(total[window, tone]),
            num_summed=num_sum,
        )
        # the peak says within a symbol where the upchirps end; further off lie other frames' downchirps
        coarse = joint_candidates(samples, candidate, params, ahead=params.preamble_len - num_sum + 1, behind=1)
        fine = [fine_sync(samples, item, params) for item in coarse]
        found += [sync for sync in fine if is_frame(sync, params)]
    found.sort(key=lambda item: -item.energy)
    kept: list[Sync] = []
    for sync in found:
        if not any(_ghost(sync, other, num_bins) for other in kept):
            kept.append(sync)
    return kept[:MAX_FRAMES]


def _ghost(sync: Sync, other: Sync, num_bins: int) -> bool:
    """Whether two findings are one preamble: nearby in time, and upchirps or downchirps of one tone."""
    late, off = sync.start - other.start, sync.cfo_bins - other.cfo_bins
    if abs(late) > 10 * num_bins:
        return False

    def small(x: float) -> bool:
        return abs((x + num_bins / 2) % num_bins - num_bins / 2) < 1.5

    return small(off - late) or (abs(late) < num_bins and small(off + late))


def _any_ghost(sync: Sync, heard: list[_Heard], params: LoRaParams) -> bool:
    return any(_ghost(sync, item.sync, params.num_bins) for item in heard)


def _heard(stream: IQ, sync: Sync) -> _Heard:
    return _Heard(sync=sync, amplitude=np.sqrt(sync.signal_power), estimate=np.zeros_like(stream), end=len(stream))


def _frame_start(sync: Sync, params: LoRaParams) -> float:
    return sync.start - (params.preamble_len + 2) * (params.num_bins - sync.drift)


def _replica(sync: Sync, wave: IQ, params: LoRaParams) -> Replica:
    hz = params.bandwidth_hz / params.num_bins
    return make_replica(
        wave, params, _frame_start(sync, params), sync.cfo_bins * hz, sync.drift / params.num_bins * 1e6
    )


def _take_preambles(stream: IQ, heard: list[_Heard], params: LoRaParams) -> None:
    """Estimate all preambles in turn, twice: each from what the others leave; amplitudes follow."""
    for _ in range(2):
        for item in heard:
            wave = modulate_frame(np.zeros(0, np.int32), params, sync_symbols=item.sync.sync_symbols)
            view = stream - sum((o.estimate for o in heard if o is not item), np.zeros_like(stream))
            old = _replica(item.sync, wave, params)
            replica = fit_wave(view, wave, params, old.start, old.cfo_hz, item.sync.drift / params.num_bins * 1e6)
            item.sync = replace(
                item.sync,
                start=item.sync.start + replica.start - old.start,
                cfo_bins=replica.cfo_hz / params.bandwidth_hz * params.num_bins,
            )
            item.estimate = contribution(view, replica)
            sums, energies = block_sums(view, replica)
            whole = energies > 0.5 * params.num_bins
            noise = item.sync.noise_power / params.num_bins
            power = float(np.median(np.abs(sums[whole] / energies[whole]) ** 2)) if whole.any() else 0.0
            item.amplitude = float(np.sqrt(max(power - noise, 0.1 * power, 1e-30)))
            item.gain = complex(sums[whole].sum()) if whole.any() else 0j


def _read(view: IQ, item: _Heard, others: list[_Heard], params: LoRaParams) -> None:
    """Decode one frame from what the others leave; set its frame, or its estimate of certain symbols."""
    sync, num_bins = item.sync, params.num_bins
    step = num_bins - sync.drift
    origin = sync.start + (2.25 + params.extra_upchirps) * step
    room = int((len(view) - origin) / step)
    count = min(room, BLIND_SYMBOLS)
    if count < FIRST_BLOCK_LEN or (not params.explicit_header and params.payload_len is None):
        return
    scores = symbol_scores(view, item, others, params, origin, count)
    header, metrics = _header(scores, params)
    total = count
    if header is not None:
        total = num_payload_symbols(header.payload_len, params, cr=header.cr, crc=header.crc)
        if total > room + 1:
            header, total = None, count
        elif total > count:
            scores = symbol_scores(view, item, others, params, origin, total)
    if header is not None:
        item.end = origin + total * step
        scores = scores[:total]
        for block in frame_blocks(total, params, cr=header.cr)[1:]:
            likelihoods = _likelihoods(scores[block.start : block.stop], params.sf, block.reduced_rate)
            metrics.append(decode_block(likelihoods, block))
        payload, crc_ok = payload_from_metrics(np.concatenate(metrics), header.payload_len, crc=header.crc)
        if crc_ok:
            symbols = decide_symbols(scores, params)
            item.frame = _rx_frame(item, payload, header, symbols, params)
            return
    top = scores.max(axis=1)
    certainty = 1.0 / np.exp(scores - top[:, None]).sum(axis=1)
    # values far below what the amplitude promises are another's tone
    certain = (certainty > CERTAIN) & (top > 0)
    wave = modulate_frame(decide_symbols(scores, params), params, sync_symbols=sync.sync_symbols)
    first = data_start(params)
    data = wave[first : first + len(scores) * num_bins].reshape(-1, num_bins)
    data[~certain] = 0.0
    item.estimate = contribution(view, _replica(sync, wave, params))


def _header(scores: FloatArray, params: LoRaParams) -> tuple[Header | None, list[npt.NDArray[np.float32]]]:
    """The header, and the metrics of the nibbles that follow it in its block."""
    block = frame_blocks(FIRST_BLOCK_LEN, params)[0]
    likelihoods = _likelihoods(scores[:FIRST_BLOCK_LEN], params.sf, block.reduced_rate)
    metrics = decode_block(likelihoods, block)
    if not params.explicit_header:
        return Header(payload_len=params.payload_len or 0, cr=params.cr, crc=params.crc), [metrics]
    if block.num_codewords < NUM_HEADER_NIBBLES:
        return None, []
    decision = search_header(metrics[:NUM_HEADER_NIBBLES])
    if decision.probability < MIN_HEADER_PROBABILITY or decision.header.long_interleaving:
        return None, []
    if block.num_codewords > NUM_HEADER_NIBBLES:
        metrics = decode_block(likelihoods, block, known=decision.nibbles)
    return decision.header, [metrics[NUM_HEADER_NIBBLES:]]


def _likelihoods(scores: FloatArray, sf: int, reduced_rate: bool) -> npt.NDArray[np.float32]:
    legal = scores[:, symbol_of_label(sf, reduced_rate)]
    # in rows, as from other receivers: kernels are compiled for a memory layout
    return np.asarray(np.exp(legal - legal.max(axis=1, keepdims=True)), dtype=np.float32, order="C")


def symbol_scores(
    view: IQ, item: _Heard, others: list[_Heard], params: LoRaParams, origin: float, count: int
) -> FloatArray:
    """Λ of the module's formula, ``(count, 2**sf)``, of the symbols from `origin` (on the preamble's grid) on."""
    num_bins, early = params.num_bins, params.early_chips
    seam = np.angle(downchirp(params)[num_bins // 4 - early])  # phase of the data's chirps, 0 on the preamble's grid
    step = num_bins - item.sync.drift
    scores = np.empty((count, num_bins))
    angles = 2 * np.pi * np.arange(NUM_PHASES) / NUM_PHASES
    phases = np.exp(1j * angles)[:, None]
    for m in range(count):
        begin = origin - early + m * step
        row = extract(view, begin, num_bins, item.sync.cfo_bins / num_bins) * downchirp(params)
        bounds = _bounds(begin, others, params)
        parts = np.zeros((len(bounds) - 1, num_bins), dtype=np.complex64)
        for i, (low, high) in enumerate(pairwise(bounds)):
            parts[i, low:high] = row[low:high]
        y = scipy.fft.fft(parts, axis=1)
        power = y.real**2 + y.imag**2
        expected = item.amplitude * np.diff(bounds)
        # the phase is right to half a step: without noise that is what the tone is off by
        noise = np.maximum(np.median(power, axis=1) / np.log(2.0), PHASE_STEP_ERROR * expected**2 + 1e-30)
        total = np.zeros((NUM_PHASES, num_bins))
        for i in range(len(expected)):
            gap = y[i] - expected[i] * phases
            total += np.log(np.exp(-(gap.real**2 + gap.imag**2) / noise[i]) + FLOOR)
            total -= np.log(np.exp(-power[i] / noise[i]) + FLOOR)
        # phase 0 of `extract` is at its window's first sample, that of the preamble's gain at the frame's
        elapsed = np.floor(begin + 0.5) - np.floor(_frame_start(item.sync, params))
        predicted = np.angle(item.gain) + seam + 2 * np.pi * item.sync.cfo_bins / num_bins * elapsed
        peaked = np.exp(PHASE_CONCENTRATION * np.cos(angles - predicted)) / scipy.special.i0(PHASE_CONCENTRATION)
        prior = np.log(1 - PHASE_TRUST + PHASE_TRUST * peaked)[:, None]
        scores[m] = scipy.special.logsumexp(total + prior, axis=0) - np.log(NUM_PHASES)
    return np.roll(scores, early, axis=1)


def _bounds(begin: float, others: list[_Heard], params: LoRaParams) -> list[int]:
    """Edges of the others' data symbols within a window, as samples of it, its own ends included."""
    num_bins = params.num_bins
    least = max(2, int(SHORTEST * num_bins))
    edges = set()
    for other in others:
        first = other.sync.start + (2.25 + params.extra_upchirps) * num_bins - params.early_chips
        if other.frame is not None or first > begin + num_bins or other.end < begin:
            continue
        edges.add(round((first - begin) % num_bins) if first < begin else round(first - begin))
    bounds = [0]
    for edge in sorted(edges):
        if edge - bounds[-1] >= least and num_bins - edge >= least:
            bounds.append(edge)
    return [*bounds, num_bins]


def _rx_frame(item: _Heard, payload: bytes, header: Header, symbols: Symbols, params: LoRaParams) -> RxFrame:
    sync, start = item.sync, _frame_start(item.sync, params)
    whole = int(np.floor(start + 0.5))
    return RxFrame(
        status=FrameStatus.OK,
        payload=payload,
        crc_ok=True,
        start_sample=whole,
        sto_samples=float(start - whole),
        cfo_hz=float(sync.cfo_bins * params.bandwidth_hz / params.num_bins),
        sfo_ppm=float(sync.drift / params.num_bins * 1e6),
        snr_db=float(20 * np.log10(item.amplitude) - 10 * np.log10(sync.noise_power)),
        header=header if params.explicit_header else None,
        params=params,
        sync_word=word_of_chirps(sync.sync_symbols, params.sf, own=params.sync_word),
        sync_symbols=sync.sync_symbols,
        power_dbfs=float(20 * np.log10(item.amplitude)),
        preamble_len=params.preamble_len,
        symbols=symbols,
    )


def _in_stream(frame: RxFrame, lead: int, params: LoRaParams) -> RxFrame:
    """From chips after the lead to samples of the caller's stream."""
    start = (frame.start_sample - lead + frame.sto_samples) * params.oversampling
    whole = int(np.floor(start + 0.5))
    ldro = params.reduced_rate
    return replace(frame, start_sample=whole, sto_samples=float(start - whole), params=replace(params, ldro=ldro))
