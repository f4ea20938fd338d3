"""Synchronisation: from a preamble's peak to the start of its downchirps, the carrier offset and the clock's drift.

    | upchirps | sync 1 | sync 2 | down | down | 1/4 down | data …
                                 ^ start

A delay D and a carrier offset move an upchirp's tone to cfo - D bins and a downchirp's to cfo + D: one alone cannot
tell them apart, both together can, up to half a symbol and half the bandwidth at once; which windows hold what settles
that. Estimators `(samples, …) -> estimate` and one corrector:

    joint_candidates    every start and offset that agrees with the upchirps' tone, by summed energy on the window grid
    fine_estimate       fractional delay, offset and drift: the maximum of the summed energy of upchirps, sync word and
                        downchirps, on samples corrected by the coarse estimate
    preamble_start      where the upchirps begin
    extract             the corrector: carrier removed, then samples interpolated at fractional times

Interpolating is what undoes a fractional delay at one sample per chip: moving the tone alone leaves a phase step at
each chirp's fold. Signal model: M. Xhonneux et al., IEEE IoT-J 2021 (arXiv 1912.11344).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage
import scipy.special

from lora_phy.arrays import IQ
from lora_phy.modem import _kernels
from lora_phy.modem.preamble import HOPS_PER_SYMBOL, Candidate, reference_chirp, window_energies
from lora_phy.params import LoRaParams

NUM_UPCHIRPS = 8
GUARD = 128
"""Samples on either side of an interpolated stretch."""
INSIDE_BONUS = 8.0
"""In units of noise energy: offsets within a quarter of the bandwidth are the usual ones."""
CLOCK_SIGMA_PPM = 20.0
MAX_CLOCK_PPM = 60.0
NUM_GRID_HYPOTHESES = 32
NUM_REFINED = 4
CONTINUATION = 6
TONE_STEPS = (-1, 0, 1)
"""Half bins around the tone of the peak: a window that is half a symbol off, or noise, moves it."""
CLOSE_CALL = 16.0
"""Energy within which a second hypothesis is worth a fine estimate."""
QUARTER_STEPS = (-0.5, -0.25, 0.0, 0.25, 0.5)
FOLDED_BAND = 0.75
"""Of the bandwidth on either side: a chirp a quarter of it off passes whole."""
FOLDED_BEHIND, FOLDED_AHEAD = 24, 17
"""Symbols before and after a peak's last window that hypotheses are drawn from."""
LOOK_BACK = 256
EXTENT_OFFSETS = (-0.5, -0.25, 0.0, 0.25, 0.5)
"""Bins around the expected tone, by which the clock is followed along a long preamble."""
SYNC_MARGIN = 7.0
"""Nats by which another sync word must be likelier before a frame counts as another network's."""
_ZOOM_STEP = 0.125
_ZOOM_RANGE = 1.5

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Sync:
    """Where a frame is, as far as its preamble tells. Energies are in units of the noise energy in one bin.

    Parameters
    ----------
    start
        Sample (fractional, one per chip) at which the first downchirp begins.
    cfo_bins
        Carrier offset in units of bandwidth / 2**sf.
    drift
        Chips by which each symbol is shorter than 2**sf: 2**sf times the clock offset.
    sync_symbols
        The two chirps of the sync word, as decided.
    up_energy, sync_energy, down_energy
        Matched energy of `num_up` upchirps, of the two sync chirps and of two downchirps.
    signal_power, noise_power
        Per sample, the noise's within the bandwidth.
    own_network
        False where another sync word than that of the parameters is clearly likelier.
    """

    start: float
    cfo_bins: float
    drift: float = 0.0
    sync_symbols: tuple[int, int] = (0, 0)
    num_up: int = NUM_UPCHIRPS
    up_energy: float = 0.0
    sync_energy: float = 0.0
    down_energy: float = 0.0
    signal_power: float = 0.0
    noise_power: float = 0.0
    own_network: bool = True

    @property
    def energy(self) -> float:
        """Energy of all matched symbols."""
        return self.up_energy + self.sync_energy + self.down_energy


def synchronise(samples: IQ, peak: Candidate, params: LoRaParams, *, fine: IQ | None = None) -> Sync | None:
    """The frame behind a preamble peak, or None where there is none.

    Parameters
    ----------
    samples
        One per chip; positions of the result count from its start.
    fine
        The same stretch at two per chip, where the stream has more than the bandwidth. `samples` then lacks the part
        of a chirp that its carrier offset moves out of the bandwidth: hypotheses come from the folded band too, and
        all are judged on samples that were filtered after their offset had been removed.
    """
    coarse = joint_candidates(samples, peak, params)
    if fine is None:
        found = [fine_estimate(samples, item, params) for item in coarse]
    else:
        coarse += [item for item in _folded_candidates(fine, peak, params) if not _listed(item, coarse)]
        found = [fine_estimate(fine, item, params, rate=2) for item in coarse]
    frames = [sync for sync in found if is_frame(sync, params)]
    return max(frames, key=lambda sync: sync.energy + _bonus(sync, params), default=None)


def _folded_candidates(fine: IQ, peak: Candidate, params: LoRaParams) -> list[Sync]:
    first = peak.start - FOLDED_BEHIND * params.num_bins
    folded = fold(fine, first, (FOLDED_BEHIND + FOLDED_AHEAD) * params.num_bins)
    found = joint_candidates(folded, replace(peak, start=peak.start - first), params)
    return [replace(item, start=item.start + first) for item in found]


def _listed(sync: Sync, others: list[Sync]) -> bool:
    return any(abs(sync.start - old.start) <= 0.5 and abs(sync.cfo_bins - old.cfo_bins) <= 0.5 for old in others)


def continues(samples: IQ, peak: Candidate, params: LoRaParams) -> Candidate | None:
    """The peak six symbols on, where the upchirps go on: a preamble longer than `joint_candidates` looks ahead."""
    num_bins = params.num_bins
    start = peak.start + CONTINUATION * num_bins
    places = start - num_bins * np.arange(peak.num_summed, dtype=np.int64)
    best = (0.0, 0)
    for step in TONE_STEPS:
        r = np.empty(len(places))
        tones = np.full(len(places), (peak.half_bin + step) / 2)
        _kernels.tone_run(samples, places, tones, reference_chirp(params.sf), r)
        best = max(best, (float(r.sum()), (peak.half_bin + step) % (2 * num_bins)))
    if best[0] < 0.6 * peak.statistic:
        return None
    return replace(peak, start=start, half_bin=best[1], statistic=best[0])


def is_frame(sync: Sync, params: LoRaParams) -> bool:
    """Whether the energies can be a frame's: the sum beyond what noise reaches, no part missing."""
    if not sync.own_network or sync.energy < frame_threshold(params.sf, sync.num_up):
        return False
    return min(sync.down_energy, sync.sync_energy) >= 0.2 * 2 * sync.up_energy / sync.num_up


def is_convincing(sync: Sync) -> bool:
    """Whether sync word and downchirps carry at least half of the energy that the upchirps promise.

    Equal symbols in a payload can pass for upchirps; what follows them is then weak.
    """
    return sync.down_energy + sync.sync_energy >= 0.5 * 4 * sync.up_energy / sync.num_up


def _bonus(sync: Sync, params: LoRaParams) -> float:
    return INSIDE_BONUS if abs(sync.cfo_bins) <= params.num_bins / 4 + 2 else 0.0


@cache
def frame_threshold(sf: int, num_up: int, false_per_symbol: float = 1e-11) -> float:
    """Energy of all preamble symbols that noise passes at most `false_per_symbol` times a symbol.

    The Gamma tail of the summed energies times the number of cells: 4 N starts a symbol, 4 N offsets, 16 sync words.
    """
    cells = 4 * (1 << sf) * 4 * (1 << sf) * 256
    return float(scipy.special.gammainccinv(num_up + 4, false_per_symbol / cells))


def joint_candidates(
    samples: IQ, peak: Candidate, params: LoRaParams, *, ahead: int = 9, behind: int = 4
) -> list[Sync]:
    """Coarse (quarter-chip, half-bin) hypotheses for one preamble peak, best first; two at most.

    Every start from `behind` symbols before to `ahead` symbols after the nominal one, and for each the one carrier
    offset that agrees with the upchirps' tone. The second is the best one more than 1/8 symbol away from the first.
    """
    num_bins = params.num_bins
    hop = num_bins // HOPS_PER_SYMBOL
    nominal = peak.start + 3 * num_bins
    first_up = (nominal - behind * num_bins) // hop - (3 + peak.num_summed) * HOPS_PER_SYMBOL
    up_windows = np.arange(first_up, (nominal + ahead * num_bins) // hop + HOPS_PER_SYMBOL, dtype=np.int64)
    up = window_energies(samples, up_windows * hop, params.sf)
    tones = peak.half_bin + np.array(TONE_STEPS)
    sums = np.empty((len(tones), len(up_windows)), dtype=np.float32)
    shifts = 2 * (up_windows * hop - peak.start)
    # only starts after enough upchirps: they bound the windows that need to be looked at for downchirps
    largest, row_low, row_high = _kernels.upchirp_sums(
        up, tones, shifts, peak.num_summed, HOPS_PER_SYMBOL, np.float32(0.6), sums
    )
    low = max((row_low + first_up + 3 * HOPS_PER_SYMBOL) * hop - hop // 2, nominal - behind * num_bins)
    high = min((row_high + first_up + 3 * HOPS_PER_SYMBOL) * hop + hop // 2, nominal + ahead * num_bins)
    if largest <= 0 or high <= low:
        return []
    level = scipy.ndimage.maximum_filter1d(sums.max(axis=0), HOPS_PER_SYMBOL + 1)
    first_down = low // hop - 1
    down_windows = np.arange(first_down, high // hop + HOPS_PER_SYMBOL + 3, dtype=np.int64)
    down = window_energies(samples, down_windows * hop, params.sf, down=True)
    cells = (high - low + 1) // 2
    energy, which = np.empty(cells, dtype=np.float32), np.empty(cells, dtype=np.int64)
    where = np.empty(cells, dtype=np.int64)
    _kernels.joint_search(
        up, down, sums, level, np.float32(0.6 * largest), first_up, first_down, hop, tones, peak.start,
        2 * sync_alphabet(params), low, high, np.float32(INSIDE_BONUS), energy, which, where,
    )  # fmt: skip
    start, cfo = np.empty(NUM_GRID_HYPOTHESES + 2), np.empty(NUM_GRID_HYPOTHESES + 2)
    ups = np.empty(NUM_GRID_HYPOTHESES + 2, dtype=np.float32)
    count = _kernels.best_hypotheses(
        energy, which, where, tones, peak.start, level, first_up, hop, num_bins, start, cfo, ups
    )
    if count == 0:
        return []
    start, cfo, ups = start[:count], cfo[:count], ups[:count]
    precise = _hypothesis_energies(samples, start, cfo, 0, params)
    order = np.empty(min(NUM_REFINED, count), dtype=np.int64)
    rest = _kernels.rank_hypotheses(precise, ups, cfo, num_bins, np.float32(INSIDE_BONUS), order)
    if rest < 0.35 * 4 / peak.num_summed * largest:
        return []
    return _refined(samples, start[order], cfo[order], params)


def _hypothesis_energies(
    samples: IQ, start: FloatArray, cfo: FloatArray, num_up: int, params: LoRaParams
) -> npt.NDArray[np.float32]:
    """Energies ``(n, 3 …, 5)`` of upchirps, sync word and downchirps at quarter-bin steps around the expected tones."""
    sf = params.sf
    energy = np.empty((len(start), 5, len(QUARTER_STEPS)), dtype=np.float32)
    _kernels.hypothesis_energies(
        samples, start, cfo, reference_chirp(sf), _tone(sf, -1), *_zoom_table(sf, QUARTER_STEPS),
        sync_alphabet(params), num_up, energy,
    )  # fmt: skip
    return energy


def _refined(samples: IQ, start: FloatArray, cfo: FloatArray, params: LoRaParams) -> list[Sync]:
    """Hypotheses moved to the best quarter-bin tones of their upward and downward symbols, best first."""
    energy = _hypothesis_energies(samples, start, cfo, min(NUM_UPCHIRPS, params.preamble_len), params)
    upward = energy[:, 0] + energy[:, 1]
    up_best, down_best = upward.argmax(axis=1).tolist(), energy[:, 2].argmax(axis=1).tolist()
    refined = []
    for i in range(len(start)):
        up_at, down_at = up_best[i], down_best[i]
        up_tone, down_tone = QUARTER_STEPS[up_at], QUARTER_STEPS[down_at]
        moved = Sync(
            start=float(start[i]) + 0.5 * (down_tone - up_tone),
            cfo_bins=float(cfo[i]) + 0.5 * (down_tone + up_tone),
            up_energy=float(upward[i, up_at]),
            down_energy=float(energy[i, 2, down_at]),
        )
        refined.append(moved)
    refined.sort(key=lambda item: -(item.energy + _bonus(item, params)))
    others = [item for item in refined[1:] if abs(item.start - refined[0].start) > 1.5]
    close = [item for item in others if item.energy > refined[0].energy - CLOSE_CALL]
    return refined[:1] + close[:1]


def sync_alphabet(params: LoRaParams) -> npt.NDArray[np.int64]:
    """The values each of the two sync chirps may have, ``(2, n)``: those of the parameters, or all where they are
    open.
    """
    if params.sync_symbols is not None:
        return np.array(params.sync_symbols, dtype=np.int64)[:, np.newaxis]
    return np.tile(_all_sync_symbols(params.sf), (2, 1))


def fine_estimate(samples: IQ, coarse: Sync, params: LoRaParams, *, rate: int = 1) -> Sync:
    """Maximise the summed energy of the preamble's symbols over delay, carrier offset and drift, near `coarse`.

    `samples` at `rate` per chip, `coarse` counts chips. The sync word is decided, so that its chirps take part.
    """
    num_bins, sf = params.num_bins, params.sf
    num_up = min(NUM_UPCHIRPS, params.preamble_len)
    num_before = num_up + 2
    stretch = extract(
        samples,
        coarse.start - num_before * num_bins,
        (num_before + 2) * num_bins,
        coarse.cfo_bins / num_bins,
        rate=rate,
    )
    rows = stretch.reshape(num_before + 2, num_bins)
    scale = np.empty(len(rows), dtype=np.float32)
    _kernels.dechirp_preamble(rows, num_before, reference_chirp(sf), scale)
    spectra = scipy.fft.fft(rows, axis=-1)
    symbols, own_network = decide_sync(spectra[num_up:num_before], scale[num_up:num_before], params)
    shifts = np.zeros(len(rows), dtype=np.int64)
    shifts[num_up:num_before] = symbols
    tones = _zoom_tones()
    energy = np.empty((len(rows), len(tones)), dtype=np.float32)
    _kernels.zoom_energies(rows, shifts, *_zoom_table(sf, tones), scale, energy)

    # symbol i, counted from the first downchirp, begins i * drift chips before its place
    result, at_peak = np.zeros(3), np.empty(len(rows))
    sigma = CLOCK_SIGMA_PPM * 1e-6 * num_bins
    _kernels.best_drift(energy, num_before, _drift_grid(sf), sigma, _ZOOM_STEP, result, at_peak)
    drift = float(result[0])
    up_tone, down_tone = (float(column) * _ZOOM_STEP - _ZOOM_RANGE for column in result[1:])
    up_centre, down_centre = -0.5 * (num_before + 1), 0.5
    # tones: cfo - D(up_centre), cfo + D(down_centre), with D(i) = D(0) - i drift
    cfo_step = 0.5 * (up_tone + down_tone + (down_centre - up_centre) * drift)
    delay = cfo_step - up_tone + up_centre * drift
    floor = np.empty(len(rows))
    _kernels.noise_floor(spectra, shifts, floor)
    # medians over the symbols: a neighbour's burst over part of the preamble must not count
    noise = float(np.median(floor)) / num_bins
    peaks = np.sort(at_peak / np.maximum(scale, 1e-37))
    signal = float(np.minimum(peaks, 4 * peaks[len(peaks) // 2]).mean()) / num_bins**2 - noise / num_bins
    return replace(
        coarse,
        start=coarse.start + delay,
        cfo_bins=coarse.cfo_bins + cfo_step,
        drift=drift,
        sync_symbols=symbols,
        num_up=num_up,
        up_energy=float(at_peak[:num_up].sum()),
        sync_energy=float(at_peak[num_up:num_before].sum()),
        down_energy=float(at_peak[num_before:].sum()),
        signal_power=max(signal, 1e-4 * noise, 1e-37),
        noise_power=max(noise, 1e-37),
        own_network=own_network,
    )


def decide_sync(
    spectra: npt.NDArray[np.complex64], scale: npt.NDArray[np.float32], params: LoRaParams
) -> tuple[tuple[int, int], bool]:
    """The sync chirps from the spectra ``(2, 2**sf)`` of their windows, and whether they may be the network's own.

    Own unless another pair is likelier by `SYNC_MARGIN`: a hard decision among all words would lose frames that the
    payload's code still decodes.
    """
    alphabet = _all_sync_symbols(params.sf)
    z = spectra[:, alphabet]
    observed = (z.real**2 + z.imag**2) * scale[:, np.newaxis]
    best = np.argmax(observed, axis=1)
    words = int(alphabet[best[0]]), int(alphabet[best[1]])
    if params.sync_symbols is None or words == params.sync_symbols:
        return words, True
    # log-likelihood ln I0(2 sqrt(es r)) with es the energy of the best pair, known to a fraction of itself
    pairs = np.array([0, 1])
    own = np.searchsorted(alphabet, params.sync_symbols)
    es = max(float(observed[pairs, best].mean()) - 1.0, 0.5)
    argument = 2 * np.sqrt(es * observed[pairs, [best, own]].astype(np.float64))
    logs = (np.log(scipy.special.i0e(argument)) + argument).sum(axis=1)
    return params.sync_symbols, bool(logs[0] - logs[1] <= SYNC_MARGIN)


def preamble_start(
    samples: IQ, sync: Sync, params: LoRaParams, *, begin: int = 0, expected: int | None = None
) -> float:
    """Where the first upchirp before the sync word begins, by likelihood; `expected` upchirps have the larger prior.

    Looks back as long as upchirps go on, up to `LOOK_BACK` more than the parameters name, and follows the clock: over
    hundreds of symbols the preamble's own estimate of the drift is not enough.

    Parameters
    ----------
    begin
        Index at which the stream begins. Where that is inside the preamble, the first upchirp is the first of which at
        least half is there.
    """
    num_bins = params.num_bins
    step = num_bins - sync.drift
    place = sync.start - 2 * step
    most = min(params.preamble_len + LOOK_BACK, max(int((place + num_bins / 2 - begin) // num_bins), 0))
    es = max(sync.up_energy / sync.num_up - 1.0, 1.0)
    offsets = np.array(EXTENT_OFFSETS)
    score, starts = np.zeros(1), np.array([place])
    best = 0
    while len(score) - 1 < most and best >= len(score) - 1 - 4:
        known = len(score) - 1
        reach = min(most, known + 16 if known or expected is None else max(16, expected + 4))
        places = place - step * np.arange(1, reach - known + 1)
        windows = np.round(places).astype(np.int64)
        r = np.empty((len(offsets), len(places)))
        for row, offset in zip(r, offsets, strict=True):
            tones = sync.cfo_bins + (windows - places) + offset
            _kernels.tone_run(samples, windows, tones, reference_chirp(params.sf), row)
        # the sync's own estimate holds near it, further back the tone that the batch shows
        centre = len(offsets) // 2
        at = int(np.argmax(r.sum(axis=1))) if known or expected is None else centre
        argument = 2 * np.sqrt(es * r[at])
        evidence = np.log(scipy.special.i0e(argument)) + argument - es
        score = np.append(score, score[-1] + np.cumsum(evidence))
        starts = np.append(starts, places)
        weighed = score.copy()
        if expected is not None:
            weighed -= 9.0 * (np.arange(len(score)) != expected)
            weighed[:6] -= 20.0  # shorter than any receiver accepts, unless the stream begins inside
        best = int(np.argmax(weighed))
        place = float(places[-1])
        if best >= len(score) - 1 - 4 and (known or expected is None):
            earlier = _peak_place(offsets, r.sum(axis=1))
            place -= earlier
            starts[known + 1 :] -= earlier
            step += 0.5 * earlier / len(places)
    return float(starts[best])


def _peak_place(offsets: FloatArray, total: FloatArray) -> float:
    at = min(max(int(np.argmax(total)), 1), len(total) - 2)
    left, middle, right = total[at - 1 : at + 2]
    curvature = left - 2 * middle + right
    moved = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    return float(offsets[at] + min(max(moved, -1.0), 1.0) * (offsets[1] - offsets[0]))


def upchirps_behind(samples: IQ, peak: Candidate, params: LoRaParams, *, begin: int = 0) -> float:
    """Where the run of upchirps that a peak belongs to begins, within a symbol: its carrier offset is not known yet."""
    own = Sync(
        start=peak.start + 3 * params.num_bins,
        cfo_bins=peak.half_bin / 2,
        num_up=peak.num_summed,
        up_energy=peak.statistic,
    )
    return preamble_start(samples, own, params, begin=begin)


def extract(samples: IQ, start: float, num: int, cycles: float, *, guard: int = GUARD, rate: int = 1) -> IQ:
    """`num` samples at the times start, start + 1, …, after removing a carrier of `cycles` per sample.

    Interpolation is a phase ramp over the spectrum of the stretch and `guard` samples on either side; zeros outside the
    array. `samples` holds `rate` samples for each of the result's: the carrier is removed before the band is cut.
    """
    whole = int(np.floor(start + 0.5))
    fraction = start - whole
    length = scipy.fft.next_fast_len(num + 2 * guard)
    lead = (length - num) // 2
    stretch = np.empty(rate * length, dtype=np.complex64)
    _kernels.mix(samples, rate * (whole - lead), -cycles / rate, cycles * lead, stretch)
    if rate == 1 and abs(fraction) < 1e-9:
        return stretch[lead : lead + num].copy()
    spectrum = scipy.fft.fft(stretch, overwrite_x=True)
    if rate > 1:
        low = length // 2
        spectrum = np.concatenate([spectrum[: length - low], spectrum[-low:]]) * np.float32(1 / rate)
    _kernels.delay_ramp(spectrum, fraction)
    delayed: IQ = np.asarray(scipy.fft.ifft(spectrum, overwrite_x=True), dtype=np.complex64)
    return delayed[lead : lead + num]


def fold(fine: IQ, first: int, num: int) -> IQ:
    """`num` samples at one per chip, from chip `first` on, of a stream at two: `FOLDED_BAND` passes and is folded.

    A chirp moved by a carrier offset keeps all of its energy, wrapped round as at critical sampling; so does the noise
    of the wider band, which costs 1.8 dB at most.
    """
    length = scipy.fft.next_fast_len(num + 2 * GUARD)
    stretch = np.empty(2 * length, dtype=np.complex64)
    _kernels.mix(fine, 2 * (first - GUARD), 0.0, 0.0, stretch)
    spectrum = scipy.fft.fft(stretch, overwrite_x=True)
    edge = math.ceil(FOLDED_BAND * length)
    spectrum[edge : 2 * length - edge] = 0
    folded: IQ = np.asarray(scipy.fft.ifft(0.5 * (spectrum[:length] + spectrum[length:])), dtype=np.complex64)
    return folded[GUARD : GUARD + num]


@cache
def _zoom_tones() -> tuple[float, ...]:
    return tuple(np.arange(-_ZOOM_RANGE, _ZOOM_RANGE + _ZOOM_STEP / 2, _ZOOM_STEP).tolist())


@cache
def _zoom_table(sf: int, tones: tuple[float, ...]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Real and imaginary part of exp(-2 pi j tone n / N), ``(len(tones), N)`` each."""
    num_bins = 1 << sf
    table = np.exp(-2j * np.pi / num_bins * np.outer(tones, np.arange(num_bins)))
    return table.real.astype(np.float32), table.imag.astype(np.float32)


@cache
def _tone(sf: int, bins: int) -> npt.NDArray[np.complex64]:
    turns = ((bins * np.arange(1 << sf)) % (1 << sf)) / (1 << sf)
    return np.asarray(np.exp(2j * np.pi * turns), dtype=np.complex64)


@cache
def _drift_grid(sf: int) -> FloatArray:
    """Drifts worth telling apart over a preamble: a quarter bin over its length, within `MAX_CLOCK_PPM`."""
    largest = MAX_CLOCK_PPM * 1e-6 * (1 << sf)
    count = int(np.ceil(largest / 0.02))
    return np.linspace(-largest, largest, 2 * count + 1) if largest > 0.01 else np.zeros(1)


@cache
def _all_sync_symbols(sf: int) -> npt.NDArray[np.int64]:
    """Distinct values of ``(nibble << 3) mod 2**sf``."""
    return np.unique((np.arange(16) << 3) & ((1 << sf) - 1))
