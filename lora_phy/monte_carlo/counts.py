"""Counts that a simulation returns, never rates. They add up; rates and intervals are computed at the end.

    k errors in n trials:  exact (Clopper and Pearson) interval  [B(α/2; k, n-k+1), B(1-α/2; k+1, n-k)]

with B the quantile of the beta distribution. Clopper and Pearson, Biometrika 26(4), 1934.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from scipy import special


def binomial_interval(errors: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a probability after `errors` in `trials`.

    Examples
    --------
    >>> low, high = binomial_interval(0, 100)
    >>> low, round(high, 4)
    (0.0, 0.0362)
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"'confidence' must be in (0, 1) (got {confidence!r})")
    if trials <= 0:
        return 0.0, 1.0
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if errors == 0 else float(special.betaincinv(errors, trials - errors + 1, tail))
    high = 1.0 if errors == trials else float(special.betainccinv(errors + 1, trials - errors, tail))
    return low, high


@dataclass(frozen=True)
class SymbolCounts:
    """Chirp symbols sent and decided wrongly, by one engine.

    Examples
    --------
    >>> total = SymbolCounts(1000, 3) + SymbolCounts(1000, 1)
    >>> total
    SymbolCounts(symbols=2000, errors=4, engine='waveform')
    >>> total.ser
    0.002

    With `sf`, the spreading factor, there is a bit error rate too: where no wrong symbol is likelier than another, as
    in noise and flat fading without residual offsets, a wrong symbol of sf bits has 2^(sf-1) / (2^sf - 1) of them
    wrong (Proakis, Digital Communications, section 4.5). `symbol_errors` sets it there, and leaves it out elsewhere.

    >>> round(SymbolCounts(1000, 2, sf=7).ber, 6)
    0.001008
    """

    symbols: int
    errors: int
    engine: str = "waveform"
    sf: int | None = dataclasses.field(default=None, repr=False, compare=False)

    def __add__(self, other: SymbolCounts) -> SymbolCounts:
        """Counts of both; of one engine."""
        if self.engine != other.engine:
            raise ValueError(f"'engine' must be the same to add counts (got {self.engine!r} and {other.engine!r})")
        sf = self.sf if self.sf == other.sf else None
        return SymbolCounts(self.symbols + other.symbols, self.errors + other.errors, self.engine, sf)

    @property
    def ber(self) -> float:
        """Bit error rate; NaN without symbols, and where some wrong symbols are likelier than others."""
        if self.sf is None:
            return math.nan
        return self.ser * 2.0 ** (self.sf - 1) / (2.0**self.sf - 1.0)

    @property
    def ser(self) -> float:
        """Symbol error rate; NaN without symbols."""
        return self.errors / self.symbols if self.symbols else math.nan

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Exact binomial interval of the symbol error rate."""
        return binomial_interval(self.errors, self.symbols, confidence)


@dataclass(frozen=True)
class WeightedCounts:
    """Importance sampling: weights of the draws that were errors, their sum and the sum of their squares.

    Examples
    --------
    >>> counts = WeightedCounts(draws=100, weight_sum=5.0, weight_sq_sum=0.5)
    >>> counts.rate, round(counts.relative_error, 3)
    (0.05, 0.1)
    """

    draws: int
    weight_sum: float
    weight_sq_sum: float
    engine: str = "importance"

    def __add__(self, other: WeightedCounts) -> WeightedCounts:
        """Counts of both."""
        return WeightedCounts(
            self.draws + other.draws,
            self.weight_sum + other.weight_sum,
            self.weight_sq_sum + other.weight_sq_sum,
            self.engine,
        )

    @property
    def rate(self) -> float:
        """The estimated error rate; NaN without draws."""
        return self.weight_sum / self.draws if self.draws else math.nan

    @property
    def ser(self) -> float:
        """The rate, where the draws are symbols."""
        return self.rate

    @property
    def per(self) -> float:
        """The rate, where the draws are frames."""
        return self.rate

    @property
    def symbols(self) -> int:
        """The draws, as `SymbolCounts` calls them."""
        return self.draws

    @property
    def errors(self) -> float:
        """The sum of weights: over `symbols` it is the rate."""
        return self.weight_sum

    @property
    def frames(self) -> int:
        """The draws, as `LinkCounts` calls them."""
        return self.draws

    @property
    def frame_errors(self) -> float:
        """The sum of weights: over `frames` it is the rate."""
        return self.weight_sum

    @property
    def relative_error(self) -> float:
        """Standard error of the rate over the rate; infinite before the first error."""
        if self.weight_sum <= 0.0:
            return math.inf
        variance = self.weight_sq_sum - self.weight_sum**2 / self.draws
        return math.sqrt(max(variance, 0.0)) / self.weight_sum

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Normal interval of the rate (weights have no exact one)."""
        if self.weight_sum <= 0.0:
            return 0.0, 1.0
        reach = float(-special.ndtri((1.0 - confidence) / 2.0)) * self.relative_error
        return self.rate * max(0.0, 1.0 - reach), self.rate * (1.0 + reach)


@dataclass(frozen=True)
class LinkCounts:
    """Outcomes of frames. Every frame that did not arrive right and undoubted is one of `frame_errors`.

    Parameters
    ----------
    frames, frame_errors
        Sent, and not received with the right payload and the status OK.
    missed
        Not detected at all.
    bad_header, bad_crc, truncated
        Received with that status; `bad_header` holds UNSUPPORTED too.
    undetected
        Received with the status OK and a wrong payload.

    Examples
    --------
    >>> counts = LinkCounts(frames=10, frame_errors=1, bad_crc=1) + LinkCounts(frames=10)
    >>> counts.per, counts.frames
    (0.05, 20)
    """

    frames: int = 0
    frame_errors: int = 0
    missed: int = 0
    bad_header: int = 0
    bad_crc: int = 0
    undetected: int = 0
    truncated: int = 0

    def __add__(self, other: LinkCounts) -> LinkCounts:
        """Counts of both."""
        return LinkCounts(**{name: getattr(self, name) + getattr(other, name) for name in _LINK_FIELDS})

    @property
    def per(self) -> float:
        """Packet error rate; NaN without frames."""
        return self.frame_errors / self.frames if self.frames else math.nan

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Exact binomial interval of the packet error rate."""
        return binomial_interval(self.frame_errors, self.frames, confidence)


_LINK_FIELDS = tuple(field.name for field in dataclasses.fields(LinkCounts))
