"""Limits on the work that a stretch of the stream may cause where it ends in no frame.

Preambles that overlap, sent on purpose or by many at once, each look like a frame's beginning. Each is synchronised,
and read as far as its header says; followed without a limit, a second of them costs minutes. Work that ends in a valid
CRC is free, all other counts, in stretches at fixed places of the stream (chunks do not show). Where a stretch has
half of its allowance left, everything is followed at once; from then on its weakest peaks are passed over first, and
the strongest is followed in any case. Upchirps that go on, as those of a long preamble do, are followed too, but then a
frame is looked for at their end only, and where nothing is left, one train of them alone is followed; what it took
comes back with the frame.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from lora_phy.modem.preamble import Candidate
from lora_phy.receiver.detected_frames import Run

STRETCH_SYMBOLS = 1024
ALLOWANCE = {5: 14, 6: 14, 7: 20, 8: 22, 9: 28}
"""Work in vain that a stretch may cause, a symbol and by spreading factor (9: and above), in units of what searching
a symbol costs at SF5, where that is cheapest.
"""
OF_SYNCHRONISATION, OF_READING, OF_SYMBOL, OF_ATTEMPT, OF_STEP = 400, 500, 4, 1200, 40
"""What following a peak to its synchronisation costs, reading behind it at all, and each symbol, an attempt that fails
at its header, and a step along upchirps that go on, in the same unit.
"""
MUCH_STRONGER = 2.0
"""Statistic of a train of upchirps in units of another's, from which on it takes that one's place."""
_log = logging.getLogger("lora_phy.receiver")


@dataclass
class Effort:
    """Work in vain in the present stretch, of `num_bins` chips a symbol, and how many peaks were passed over in all."""

    num_bins: int
    stretch: int = -1
    spent: int = 0
    strongest: float = 0.0
    train: tuple[Run | None, float] | None = None
    passed_over: int = 0

    def is_decidable(self, candidate: Candidate, decided: int) -> bool:
        """Whether a peak can be followed or passed over by now, all peaks before chip `decided` being known."""
        self._enter(candidate)
        return self.is_ample() or decided >= (self.stretch + 1) * STRETCH_SYMBOLS * self.num_bins

    def is_ample(self) -> bool:
        """Whether the stretch has half of its allowance left."""
        return self.spent < self._allowance // 2

    def is_exhausted(self) -> bool:
        """Whether the stretch has nothing left."""
        return self.spent >= self._allowance

    def allows_second_looks(self) -> bool:
        """Whether the stretch has three quarters of its allowance left: second looks are dear, and seldom help."""
        return self.spent < self._allowance // 4

    def admits(self, candidate: Candidate, later: Iterable[Candidate]) -> bool:
        """Whether a peak is followed: the allowance is enough for it besides the stronger ones among the `later`, or
        it is its stretch's strongest.
        """
        self._enter(candidate)
        if self.is_ample():
            self.strongest = max(self.strongest, candidate.statistic)
            return True
        left = self._allowance - self.spent
        strongest = candidate.statistic > self.strongest
        self.strongest = max(self.strongest, candidate.statistic)
        for other in later:  # in the order of the stream
            if self._stretch_of(other) != self.stretch or (left <= 0 and not strongest):
                break
            stronger = other.statistic > candidate.statistic
            strongest &= not stronger
            left -= OF_ATTEMPT * stronger
        return left > 0 or strongest or self._pass_over(candidate)

    def carries(self, train: Run | None, candidate: Candidate) -> bool:
        """Whether the peak of a train that goes on is followed: where nothing is left, those of the stretch's first
        train, or of one that is much stronger.
        """
        self._enter(candidate)
        if not self.is_exhausted():
            return True
        if self.train is None or candidate.statistic > MUCH_STRONGER * self.train[1]:
            self.train = (train, candidate.statistic)
        return self.train[0] is train or self._pass_over(candidate)

    def _pass_over(self, candidate: Candidate) -> bool:
        """Count a peak that is not followed: False."""
        if self.passed_over == 0:
            _log.warning(
                "more preambles than can be followed (first at chip %d): the weakest are passed over from now on where"
                " %d symbols cause too much work that ends in no frame; 'passed_over' of a Receiver counts them",
                candidate.start,
                STRETCH_SYMBOLS,
            )
        self.passed_over += 1
        return False

    def spend(self, symbols_read: int) -> int:
        """Count a synchronisation, and the symbols read behind it, that ended in no frame; what that comes to."""
        work = OF_SYNCHRONISATION + (OF_READING + OF_SYMBOL * symbols_read if symbols_read else 0)
        self.spent += work
        return work

    def spend_on_step(self) -> int:
        """Count a step along upchirps that go on, unless nothing is left; what that comes to."""
        work = 0 if self.is_exhausted() else OF_STEP
        self.spent += work
        return work

    def refund(self, work: int) -> None:
        """Take back what was counted of a preamble that led to a frame after all."""
        self.spent = max(self.spent - work, 0)

    @cached_property
    def _allowance(self) -> int:
        return STRETCH_SYMBOLS * ALLOWANCE[min(max(self.num_bins.bit_length() - 1, min(ALLOWANCE)), max(ALLOWANCE))]

    def _stretch_of(self, candidate: Candidate) -> int:
        return candidate.start // (STRETCH_SYMBOLS * self.num_bins)

    def _enter(self, candidate: Candidate) -> None:
        here = self._stretch_of(candidate)
        if here != self.stretch:
            # what was spent beyond the allowance is owed by the stretches that follow
            self.spent = max(self.spent - (here - self.stretch) * self._allowance, 0)
            self.stretch, self.strongest, self.train = here, 0.0, None
