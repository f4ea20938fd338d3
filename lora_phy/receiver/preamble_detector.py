"""Preamble detector: every preamble peak of one set of parameters, followed until it is a frame or none."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.modem.interpolation import GUARD
from lora_phy.modem.preamble import (
    HOPS_PER_SYMBOL,
    PEAK_RADIUS,
    WINDOWS_PER_SYMBOL,
    Candidate,
    Energies,
    energies_before,
    pick_peaks,
    preamble_statistic,
)
from lora_phy.modem.preamble_start import LOOK_BACK, upchirps_behind
from lora_phy.modem.sync import is_convincing, is_far_below
from lora_phy.modem.sync_words import word_of_chirps
from lora_phy.modem.synchroniser import a_symbol_later, are_whole_chirps, continues, goes_on, lasts, synchronise
from lora_phy.params import LoRaParams
from lora_phy.receiver.detected_frames import RUN_ANCHOR, DetectedFrame, Pending, Run
from lora_phy.receiver.effort import Effort
from lora_phy.receiver.frame_reception import Decoding, Reception, RxFrame, receive_frame
from lora_phy.receiver.front_end import FrontEnd

BLOCK_SYMBOLS, BLOCK_CHIPS = 16, 1 << 14
"""Least length that is searched at a time."""
LOOK_AHEAD_SYMBOLS = 19
RUN_REACH = 24
"""Symbols within which the next peak of a long preamble must show."""
LONGEST_PREAMBLE = 66_000


@dataclass
class PreambleDetector:
    """All frames of one set of parameters in one front's stream."""

    params: LoRaParams
    front: FrontEnd
    decoding: Decoding
    peak: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    where: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    before: Energies | None = None
    first_window: int = 0
    decided: int = 0
    pending: list[Pending] = field(default_factory=list)
    found: list[DetectedFrame] = field(default_factory=list)
    resolved: list[Candidate] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Let the front begin with silence."""
        n = self.params.num_bins
        self.hop = n // WINDOWS_PER_SYMBOL
        self.effort = Effort(n)
        self.history = (self.params.preamble_len + LOOK_BACK + 24) * n + 4 * GUARD
        # the search begins so early that a preamble whose first chirps are missing still fills a window sum
        self.front.lead_in(self.history + 12 * n)

    def advance(self, *, final: bool) -> list[RxFrame]:
        """Search what has come; return the frames that have become certain."""
        self._find_preambles(final)
        frames = []
        while self.pending:
            item = self.pending[0]
            # a continuation waits until all peaks before it are known: the order must not depend on the chunks
            if not final and (item.needed > self.front.chips.end or item.candidate.start >= self._known_before()):
                break
            if not item.admitted:
                decidable = self.effort.is_decidable(item.candidate, self._known_before())
                item.admitted = item.resumed = self._joins_run(item.candidate)
                # whether an overloaded stretch's peak is among the strongest is known once all of them are
                if not (final or decidable or item.admitted):
                    break
            outcome = self._resolve(item, final)
            if isinstance(outcome, int):
                item.needed = outcome
                continue
            self.pending.pop(0)
            if outcome is not None:
                frames.append(outcome)
        return frames

    def horizon(self) -> float:
        """Input sample before which no further frame will begin."""
        first = min([self._known_before()] + [item.candidate.start for item in self.pending[:1]])
        reach, n = 2 * RUN_REACH * self.params.num_bins, self.params.num_bins
        begins = [run.begin - 2 * n for run in self.runs if run.latest.start + reach > first]
        return min([first - self.history, *begins]) * self.front.samples_per_chip

    def knows_all_before(self, chip: float) -> bool:
        """Whether every peak before a chip has been followed to its end."""
        return self._known_before() >= chip and not any(item.candidate.start < chip for item in self.pending)

    def oldest_needed(self) -> int:
        """Chip before which the stream may be forgotten."""
        first = min([self._known_before()] + [item.candidate.start for item in self.pending[:1]])
        return first - self.history - 12 * self.params.num_bins

    def _known_before(self) -> int:
        """Chip before which all peaks are known; one is placed at most a quarter symbol before its window."""
        return self.decided * self.hop - self.params.num_bins // HOPS_PER_SYMBOL

    def _find_preambles(self, final: bool) -> None:
        chips = self.front.chips
        block = max(BLOCK_SYMBOLS, BLOCK_CHIPS // self.params.num_bins) * WINDOWS_PER_SYMBOL
        while True:
            computed = self.first_window + len(self.peak)
            last_sample = (computed + block - 1) * self.hop + self.params.num_bins
            beyond = computed * self.hop >= chips.end
            if beyond or (last_sample > chips.end and not final):
                break
            samples, place = chips.array[: chips.size], {"first_window": computed, "base": chips.base}
            if self.before is None:
                self.before = energies_before(samples, self.params, **place)
            peak, where = preamble_statistic(samples, self.params, self.before, num_windows=block, **place)
            self.peak, self.where = np.concatenate([self.peak, peak]), np.concatenate([self.where, where])
            self._pick(final=False)
        if final:
            self._pick(final=True)

    def _pick(self, *, final: bool) -> None:
        low = self.decided - self.first_window
        high = len(self.peak) - (0 if final else PEAK_RADIUS)
        chips = self.front.chips
        for candidate in pick_peaks(
            chips.array[: chips.size], self.peak, self.where, low, high, self.params,
            first_window=self.first_window, base=chips.base,
        ):  # fmt: skip
            self.pending.append(self._pending(candidate))
        self.decided = max(self.decided, self.first_window + high)
        keep = max(self.decided - self.first_window - PEAK_RADIUS, 0)
        self.peak, self.where = self.peak[keep:], self.where[keep:]
        self.first_window += keep

    def _resolve(self, item: Pending, final: bool) -> RxFrame | int | None:
        """The frame behind a candidate, None where there is none, or the chip up to which the stream is needed."""
        front, params = self.front, self.params
        if not item.synchronised:
            run = self._run_of(item.candidate)
            if run is not None and item.candidate.start > run.latest.start:
                run.latest = item.candidate
            if item.resumed and not self.effort.carries(run, item.candidate):
                return None
            if self._known(item.candidate):
                return None  # not noted as resolved: each would hide the next, and end the search along a long preamble
            self.resolved = [*self.resolved[-7:], item.candidate]
            if any(old.explains(item.candidate, params.num_bins) for old in self.found):
                return None
            later = (other.candidate for other in self.pending[1:])
            if not item.admitted and not self.effort.admits(item.candidate, later):
                return None
            item.admitted = True
        origin = item.candidate.start - self.history
        samples = front.chips.view(origin)
        local_candidate = replace(item.candidate, start=self.history)
        further = None
        if not item.synchronised:
            fine = None if front.rate == 1 else front.fine.view(origin * front.rate)
            further = goes_on(samples, local_candidate, params)
            if further is None and item.resumed:
                further = self._further(samples, local_candidate)
            item.sync = None if further is not None else synchronise(samples, local_candidate, params, fine=fine)
            item.synchronised = True
        if item.sync is None:
            if further is None:
                further = continues(samples, local_candidate, params)
                item.spent += self.effort.spend(0)
            else:
                item.spent += self.effort.spend_on_step()
            if further is not None:
                self._follow(item.candidate, samples, origin)
                self._resume(replace(further, start=further.start + origin), item.spent)
            return None
        start_down = origin + item.sync.start
        if any(abs(start_down - old.start_down) < 3 * params.num_bins for old in self.found):
            return None
        fine = front.fine.view(origin * front.rate)
        outcome = receive_frame(
            samples, fine, front.rate, item.sync, params, self.decoding, final=final, begin=-origin,
            second_looks=self.effort.allows_second_looks(),
        )  # fmt: skip
        if isinstance(outcome, int):
            return origin + outcome
        if outcome.decoded.crc_ok:
            self.effort.refund(item.spent)
        else:
            self.effort.spend(outcome.work)
            moved = None if item.moved else a_symbol_later(fine, item.sync, params, rate=front.rate)
            item.moved = True
            if moved is not None:
                item.sync = moved
                return self._resolve(item, final)
        # where much speaks against a frame only its CRC makes it one: upchirps in another frame's payload, a preamble
        # that is not followed as it promises, chirps too weak or not whole
        if not outcome.decoded.crc_ok and (
            any(old.start_down < start_down < old.end + 6 * params.num_bins for old in self.found)
            or not is_convincing(item.sync)
            or is_far_below(item.sync, params)
            or not are_whole_chirps(fine, item.sync, params, rate=front.rate)
        ):
            return None
        run = self._run_of(item.candidate)
        if run is not None and start_down - run.begin > (params.preamble_len + LOOK_BACK - 2) * params.num_bins:
            outcome = replace(outcome, start=run.start(item.sync, params) - origin)
        self.found = [old for old in self.found if old.end > start_down - 64 * params.num_bins]
        self.found.append(
            DetectedFrame(
                start_down=start_down,
                data=origin + outcome.data,
                end=origin + outcome.end,
                symbols=outcome.symbols.astype(np.int64),
                cfo_bins=item.sync.cfo_bins,
                # an upchirp's tone moves with the clock and with the carrier
                drift=outcome.sfo_ppm * 1e-6 * params.num_bins + outcome.rate,
                certain=bool(outcome.decoded.crc_ok),
            )
        )
        return self._frame(origin, outcome)

    def _resume(self, candidate: Candidate, spent: int) -> None:
        """Queue the continuation of a long preamble, behind the candidate that is being resolved."""
        item = replace(self._pending(candidate), admitted=True, resumed=True, spent=spent)
        bisect.insort(self.pending, item, lo=1, key=lambda other: (other.candidate.start, other.candidate.half_bin))

    def _further(self, samples: IQ, peak: Candidate) -> Candidate | None:
        """The peak up to which an overloaded stretch's upchirps go on: no frame is looked for before."""
        if self.effort.is_ample():
            return None
        return lasts(samples, peak, self.params, patient=not self.effort.is_exhausted())

    def _joins_run(self, candidate: Candidate) -> bool:
        """Whether a peak shows the upchirps of a run that go on, after a gap, where the stretch is overloaded."""
        if self.effort.is_ample():
            return False
        run = self._run_of(candidate)
        if run is None or not self.effort.carries(run, candidate):
            return False
        origin = candidate.start - self.history
        return self._further(self.front.chips.view(origin), replace(candidate, start=self.history)) is not None

    def _known(self, candidate: Candidate) -> bool:
        """Whether a peak within three symbols, of the same tone, has been resolved: one long preamble has many."""
        n = self.params.num_bins
        # the latest first: most of the others lie too far back
        for old in reversed(self.resolved):
            if abs(candidate.start - old.start) <= 3 * n and _one_tone(candidate, old, 3, n):
                return True
        return False

    def _run_of(self, candidate: Candidate) -> Run | None:
        n = self.params.num_bins
        return next((run for run in self.runs if _one_tone(candidate, run.latest, RUN_REACH, n)), None)

    def _follow(self, candidate: Candidate, samples: IQ, origin: int) -> None:
        """Note that upchirps go on behind a peak: unless they are one run with those before, they begin one."""
        n = self.params.num_bins
        if self._run_of(candidate) is not None:
            return
        reach = (2 * RUN_REACH * n, LONGEST_PREAMBLE * n)
        self.runs = [
            old
            for old in self.runs
            if candidate.start - old.latest.start < reach[0] and candidate.start - old.begin < reach[1]
        ]
        begin = math.floor(upchirps_behind(samples, replace(candidate, start=self.history), self.params, begin=-origin))
        low, high = begin - RUN_ANCHOR * n, begin + 2 * RUN_ANCHOR * n
        self.runs.append(
            Run(
                first=candidate,
                latest=candidate,
                begin=origin + begin,
                origin=origin + max(low, 0),
                opening=samples[max(low, 0) : high].copy(),
            )
        )

    def _pending(self, candidate: Candidate) -> Pending:
        return Pending(
            candidate=candidate, needed=candidate.start + LOOK_AHEAD_SYMBOLS * self.params.num_bins + 4 * GUARD
        )

    def _frame(self, origin: int, outcome: Reception) -> RxFrame:
        params, sync = self.params, outcome.sync
        # whole and fractional parts apart: the fraction must not depend on how far into the stream it lies
        ratio = self.front.samples_per_chip
        whole = math.floor(origin * ratio)
        local = origin * ratio - whole + outcome.start * ratio
        nearest = math.floor(local + 0.5)
        sign = -1.0 if params.inverted_iq else 1.0
        return RxFrame(
            status=outcome.decoded.status,
            payload=outcome.decoded.payload,
            crc_ok=outcome.decoded.crc_ok,
            start_sample=whole + nearest,
            sto_samples=float(local - nearest),
            cfo_hz=float(sign * sync.cfo_bins * params.bandwidth_hz / params.num_bins),
            sfo_ppm=float(outcome.sfo_ppm),
            snr_db=float(sync.snr_db),
            header=outcome.decoded.header,
            params=outcome.params,
            sync_word=word_of_chirps(sync.sync_symbols, params.sf, own=params.sync_word),
            sync_symbols=sync.sync_symbols,
            power_dbfs=10 * math.log10(max(sync.signal_power, 1e-37)),
            preamble_len=outcome.preamble_len,
            symbols=outcome.symbols,
            drift_hz_per_s=sign * outcome.rate * (params.bandwidth_hz / params.num_bins) ** 2,
        )


def _one_tone(candidate: Candidate, old: Candidate, reach: int, num_bins: int) -> bool:
    """Whether two peaks at most `reach` symbols apart show upchirps of one train."""
    moved = candidate.start - old.start
    difference = (candidate.half_bin - old.half_bin - 2 * moved + num_bins) % (2 * num_bins) - num_bins
    return abs(moved) <= reach * num_bins and abs(difference) <= 3
