"""Streams: every frame in IQ of unknown content, whole or in chunks.

    IQ ─ to one sample per chip ─ hunt for preambles ─ synchronise each ─ decode ─► frames in time order
                └ to two per chip, for the payload of an oversampled stream: its matched filter sees the full band

Each step works on blocks that lie at fixed places in the stream, so that chunks give the same frames as the whole, to
the last bit. Hunting never stops: a frame may begin inside a damaged one, or inside another network's.
Memory is bounded by the longest frame (255 bytes at the highest coding rate) plus the preamble.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ
from lora_phy.link.receiver import Decoding, Reception, RxFrame, receive_frame
from lora_phy.modem import _kernels
from lora_phy.modem.preamble import (
    HOPS_PER_SYMBOL,
    Candidate,
    num_summed_windows,
    pick_peaks,
    preamble_statistic,
)
from lora_phy.modem.sync import (
    GUARD,
    LOOK_BACK,
    Sync,
    continues,
    is_convincing,
    preamble_start,
    synchronise,
    upchirps_behind,
)
from lora_phy.params import LoRaParams
from lora_phy.resampling import resample

BLOCK_SYMBOLS = 64
PEAK_RADIUS = 4 * HOPS_PER_SYMBOL
LOOK_AHEAD_SYMBOLS = 17
RUN_REACH = 24
"""Symbols within which the next peak of a long preamble must show."""
RUN_ANCHOR = 8
LONGEST_PREAMBLE = 66_000
RATE_BLOCK = 4096
RATE_HALF_WIDTH = 16
DECIMATE_HALF_WIDTH = 32
LARGEST_SAMPLE = 1e12


def receive(
    iq: npt.ArrayLike,
    params: LoRaParams | Sequence[LoRaParams],
    *,
    sample_rate_hz: float | None = None,
    center_offset_hz: float = 0.0,
    soft: bool = True,
    num_trials: int = 0,
    detect_ldro: bool = True,
) -> list[RxFrame]:
    """Every frame in a stream, in time order.

    Parameters
    ----------
    iq
        ``(n,)`` complex64 or complex128.
    params
        What to look for; several: every one of them (other spreading factors, directions, bandwidths).
    sample_rate_hz
        Of `iq`; None: that of the (first) parameters. Any ratio to the bandwidth from 1 upwards.
    center_offset_hz
        Frequency of the channel within the stream.
    soft
        Joint soft decoding (True), or decisions symbol by symbol.
    num_trials
        Where a CRC fails: how many of the likeliest alternatives it may choose from (list decoding; each trial is right
        by accident with probability 2**-16).
    detect_ldro
        Where ``params.ldro`` is None: let the symbols themselves overrule the 16 ms rule.

    Returns
    -------
    list of RxFrame
        Noise gives none. A damaged frame gives its status and the bytes as received.

    Raises
    ------
    TypeError, ValueError
        `iq` not a complex vector; a rate below the bandwidth.

    Examples
    --------
    >>> from lora_phy.link.transceiver import transmit
    >>> params = LoRaParams(sf=7)
    >>> silence = np.zeros(1000, np.complex64)
    >>> [frame] = receive(np.concatenate([silence, transmit(b"hello", params), silence]), params)
    >>> frame.payload, frame.start_sample, abs(frame.cfo_hz) < 1
    (b'hello', 1000, True)
    """
    receiver = Receiver(
        params,
        sample_rate_hz=sample_rate_hz,
        center_offset_hz=center_offset_hz,
        soft=soft,
        num_trials=num_trials,
        detect_ldro=detect_ldro,
    )
    return receiver.push(iq) + receiver.flush()


class Receiver:
    """`receive` for a stream that comes in chunks: `push` each, `flush` at the end.

    Both return the frames that have become certain, in time order over the life of the receiver.

    Examples
    --------
    >>> from lora_phy.link.transceiver import transmit
    >>> params = LoRaParams(sf=7)
    >>> receiver, frames = Receiver(params), []
    >>> for chunk in np.array_split(transmit(b"hello", params), 7):
    ...     frames += receiver.push(chunk)
    >>> [frame.payload for frame in frames + receiver.flush()]
    [b'hello']
    """

    def __init__(
        self,
        params: LoRaParams | Sequence[LoRaParams],
        *,
        sample_rate_hz: float | None = None,
        center_offset_hz: float = 0.0,
        soft: bool = True,
        num_trials: int = 0,
        detect_ldro: bool = True,
    ) -> None:
        """Take the parameters of `receive`."""
        wanted = [params] if isinstance(params, LoRaParams) else list(params) if isinstance(params, Sequence) else []
        if not wanted or not all(isinstance(item, LoRaParams) for item in wanted):
            raise TypeError(f"'params' must be LoRaParams or a sequence of them (got {params!r})")
        for item in wanted:
            if not item.explicit_header and item.payload_len is None:
                raise ValueError("'payload_len' must be given to receive implicit headers (got None)")
        rate = wanted[0].sample_rate_hz if sample_rate_hz is None else _positive("sample_rate_hz", sample_rate_hz)
        if not math.isfinite(center_offset_hz):
            raise ValueError(f"'center_offset_hz' must be finite (got {center_offset_hz!r})")
        decoding = Decoding(soft=bool(soft), num_trials=num_trials, detect_ldro=detect_ldro)
        fronts: dict[tuple[float, bool], _Front] = {}
        self._hunters = []
        for item in wanted:
            if rate < item.bandwidth_hz * (1 - 1e-9):
                raise ValueError(
                    f"'sample_rate_hz' must be at least the bandwidth {item.bandwidth_hz:g} Hz (got {rate!r})"
                )
            key = (float(item.bandwidth_hz), item.inverted_iq)
            if key not in fronts:
                fronts[key] = _Front(rate, item.bandwidth_hz, float(center_offset_hz), item.inverted_iq)
            self._hunters.append(_Hunter(item, fronts[key], decoding))
        self._fronts = list(fronts.values())
        self._waiting: list[RxFrame] = []
        self._ended = False

    def push(self, iq: npt.ArrayLike) -> list[RxFrame]:
        """Take the next samples; return the frames that have become certain.

        Raises
        ------
        TypeError, ValueError
            `iq` not a complex vector.
        RuntimeError
            The stream was ended by `flush`.
        """
        if self._ended:
            raise RuntimeError("'push' after 'flush': the stream has ended, make a new Receiver for another one")
        samples = _checked(iq)
        # long input is worked through in pieces: the pieces do not show in the result, they bound the memory
        frames: list[RxFrame] = []
        for start in range(0, len(samples), 1 << 20):
            piece = samples[start : start + (1 << 20)]
            for front in self._fronts:
                front.push(piece)
            frames += self._collect(final=False)
        return frames

    def flush(self) -> list[RxFrame]:
        """End the stream: return what is left, cut frames included.

        A receiver is for one stream: `push` raises a RuntimeError from now on, another `flush` returns nothing.
        """
        if self._ended:
            return []
        self._ended = True
        for front in self._fronts:
            front.finish()
        return self._collect(final=True)

    def _collect(self, *, final: bool) -> list[RxFrame]:
        horizon = math.inf
        for hunter in self._hunters:
            self._waiting += hunter.advance(final=final)
            horizon = min(horizon, math.inf if final else hunter.horizon())
        for front in self._fronts:
            front.drop(min(hunter.oldest_needed() for hunter in self._hunters if hunter.front is front))
        self._waiting.sort(key=_time_order)
        ready = [frame for frame in self._waiting if frame.start_sample < horizon]
        self._waiting = self._waiting[len(ready) :]
        return ready


@dataclass
class _Buffer:
    """A window on an endless array: samples [base, end), older ones dropped."""

    base: int
    array: IQ
    size: int = 0

    @property
    def end(self) -> int:
        return self.base + self.size

    def append(self, samples: IQ) -> None:
        if self.size + len(samples) > len(self.array):
            grown = np.empty(2 * (self.size + len(samples)), np.complex64)
            grown[: self.size] = self.array[: self.size]
            self.array = grown
        self.array[self.size : self.size + len(samples)] = samples
        self.size += len(samples)

    def view(self, start: int) -> IQ:
        return self.array[start - self.base : self.size]

    def drop(self, before: int) -> None:
        gone = before - self.base
        if gone > self.size // 2 and gone > 0:
            gone = min(gone, self.size)
            self.array[: self.size - gone] = self.array[gone : self.size].copy()
            self.base += gone
            self.size -= gone


class _Front:
    """From the input stream to one sample per chip (`chips`) and to the payload's rate (`fine`, one or two per
    chip).
    """

    def __init__(self, rate_hz: float, bandwidth_hz: float, center_hz: float, conjugate: bool) -> None:
        self.samples_per_chip = rate_hz / bandwidth_hz
        self.rate = 1 if abs(self.samples_per_chip - 1) < 1e-9 else 2
        self._cycles = center_hz / rate_hz
        self._conjugate = conjugate
        self._count = 0
        self._step = self.samples_per_chip / self.rate
        self._passes = abs(self._step - 1) < 1e-9
        self._raw = _Buffer(0, np.empty(0, np.complex64))
        self.chips = _Buffer(0, np.empty(0, np.complex64))
        self.fine = self.chips if self.rate == 1 else _Buffer(0, np.empty(0, np.complex64))

    def lead_in(self, num_chips: int) -> None:
        """Let the stream begin with (at least) this many zeros before sample 0."""
        if -self.chips.base < num_chips:
            for buffer, rate in ((self.chips, 1), (self.fine, self.rate)):
                if buffer.base > -num_chips * rate:
                    buffer.base = -num_chips * rate
                    buffer.array, buffer.size = np.zeros(num_chips * rate, np.complex64), num_chips * rate

    def push(self, samples: IQ) -> None:
        if self._cycles:
            mixed = np.empty(len(samples), np.complex64)
            self._mix_blocks(samples, mixed)
            samples = mixed
        self._count += len(samples)
        if self._conjugate:
            samples = np.conjugate(samples)
        if self._passes:
            self.fine.append(samples)
        else:
            self._raw.append(samples)
        self._convert(final=False)

    def finish(self) -> None:
        self._convert(final=True)

    def _mix_blocks(self, samples: IQ, out: IQ) -> None:
        # phase steps on a fixed grid of the stream, so that chunks do not show
        done = 0
        while done < len(samples):
            here = self._count + done
            block = here // RATE_BLOCK
            stop = min(len(samples), done + RATE_BLOCK - here % RATE_BLOCK)
            table = np.empty(RATE_BLOCK, np.complex64)
            phase = -math.fmod(self._cycles * block * RATE_BLOCK, 1.0)
            _kernels.mix(np.ones(RATE_BLOCK, np.complex64), 0, -self._cycles, phase, table)
            inside = here % RATE_BLOCK
            out[done:stop] = samples[done:stop] * table[inside : inside + stop - done]
            done = stop

    def _convert(self, *, final: bool) -> None:
        if not self._passes:
            self._resample_blocks(self._raw, self.fine, self._step, RATE_HALF_WIDTH, self._count, final)
        if self.rate == 2:
            total = self.fine.end
            self._resample_blocks(self.fine, self.chips, 2.0, DECIMATE_HALF_WIDTH, total, final)

    def _resample_blocks(
        self, source: _Buffer, target: _Buffer, step: float, half_width: int, total: int, final: bool
    ) -> None:
        reach = math.ceil(half_width * max(step, 1.0)) + 2
        num_out = math.ceil(total / step - 1e-9) if final else -1
        while True:
            start = target.end
            stop = start - start % RATE_BLOCK + RATE_BLOCK
            if final:
                stop = min(stop, num_out)
            low, high = math.floor(start * step) - reach, math.ceil(stop * step) + reach
            if start >= stop or (high > total and not final):
                break
            low = max(low, source.base)
            block = source.view(low)[: max(high - low, 0)]
            target.append(resample(block, step, start=start * step - low, num_out=stop - start, half_width=half_width))
        if source is self._raw:
            source.drop(math.floor(target.end * step) - reach - 1)

    def drop(self, before_chip: int) -> None:
        self.chips.drop(before_chip)
        if self.rate == 2:
            # the decimator still reads a little before its next output
            self.fine.drop(min(2 * before_chip, 2 * (self.chips.end - DECIMATE_HALF_WIDTH) - 8))


@dataclass
class _Pending:
    """A preamble peak on its way to a frame."""

    candidate: Candidate
    needed: int
    sync: Sync | None = None
    synchronised: bool = False


@dataclass
class _Found:
    """A frame already handed out: where its downchirps and its data lie (chips), and what was sent."""

    start_down: float
    data: float
    end: float
    symbols: npt.NDArray[np.int64]
    cfo_bins: float
    drift: float
    certain: bool

    def explains(self, candidate: Candidate, num_bins: int) -> bool:
        """Whether the candidate's tone is that of the frame's own symbols, in three or more of its windows."""
        span = candidate.num_summed * num_bins
        if not self.certain or candidate.start < self.data or candidate.start - span > self.end:
            return False
        place = (candidate.start - num_bins * np.arange(candidate.num_summed) - self.data) / num_bins
        index = np.floor(place).astype(np.int64)
        inside = (index >= 0) & (index < len(self.symbols) - 1)
        if np.count_nonzero(inside) < 3:
            return False
        index, place = index[inside], place[inside]
        wanted = candidate.half_bin / 2 - self.cfo_bins - (place - index) * num_bins - index * self.drift
        own = self.symbols[[index, index + 1]]
        distance = np.abs((own - wanted + num_bins / 2) % num_bins - num_bins / 2)
        return int(np.count_nonzero(distance.min(axis=0) < 1.6)) >= 3


@dataclass
class _Run:
    """Upchirps that may go on for longer than the stream is kept: their latest peak, and the samples of their beginning
    (chips from `origin` on).
    """

    first: Candidate
    latest: Candidate
    begin: int
    origin: int
    opening: IQ

    def start(self, sync: Sync, params: LoRaParams) -> float:
        """The first upchirp's start (chips of the stream), once the carrier offset is known."""
        n = params.num_bins
        # a window at w shows the tone cfo + w - (start of its upchirp)
        late = (self.first.half_bin / 2 - sync.cfo_bins + n / 2) % n - n / 2
        inside = self.first.start - late
        inside -= n * math.floor((inside - self.begin) / n - RUN_ANCHOR)
        near = replace(sync, start=inside + 2 * (n - sync.drift) - self.origin)
        return self.origin + preamble_start(self.opening, near, params, begin=-self.origin)


@dataclass
class _Hunter:
    """All frames of one set of parameters in one front's stream."""

    params: LoRaParams
    front: _Front
    decoding: Decoding
    peak: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    where: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    first_window: int = 0
    decided: int = 0
    pending: list[_Pending] = field(default_factory=list)
    found: list[_Found] = field(default_factory=list)
    resolved: list[Candidate] = field(default_factory=list)
    runs: list[_Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = self.params.num_bins
        self.hop = n // HOPS_PER_SYMBOL
        self.history = (self.params.preamble_len + LOOK_BACK + 24) * n + 4 * GUARD
        # hunting begins so early that a preamble whose first chirps are missing still fills a window sum
        self.front.lead_in(self.history + 12 * n)

    def advance(self, *, final: bool) -> list[RxFrame]:
        self._hunt(final)
        frames = []
        while self.pending:
            item = self.pending[0]
            # a continuation waits until all peaks before it are known: the order must not depend on the chunks
            if not final and (item.needed > self.front.chips.end or item.candidate.start >= self.decided * self.hop):
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
        first = min([self.decided * self.hop] + [item.candidate.start for item in self.pending[:1]])
        reach, n = 2 * RUN_REACH * self.params.num_bins, self.params.num_bins
        begins = [run.begin - 2 * n for run in self.runs if run.latest.start + reach > first]
        return min([first - self.history, *begins]) * self.front.samples_per_chip

    def oldest_needed(self) -> int:
        first = min([self.decided * self.hop] + [item.candidate.start for item in self.pending[:1]])
        return first - self.history - 12 * self.params.num_bins

    def _hunt(self, final: bool) -> None:
        chips = self.front.chips
        block = BLOCK_SYMBOLS * HOPS_PER_SYMBOL
        while True:
            computed = self.first_window + len(self.peak)
            last_sample = (computed + block - 1) * self.hop + self.params.num_bins
            beyond = computed * self.hop >= chips.end
            if beyond or (last_sample > chips.end and not final):
                break
            peak, where = preamble_statistic(
                chips.array[: chips.size], self.params, first_window=computed, num_windows=block, base=chips.base
            )
            self.peak, self.where = np.concatenate([self.peak, peak]), np.concatenate([self.where, where])
            self._pick(final=False)
        if final:
            self._pick(final=True)

    def _pick(self, *, final: bool) -> None:
        low = self.decided - self.first_window
        high = len(self.peak) - (0 if final else PEAK_RADIUS)
        n = self.params.num_bins
        for i, column, statistic in pick_peaks(self.peak, self.where, PEAK_RADIUS, low, max(high, low)):
            candidate = Candidate(
                start=(self.first_window + i) * self.hop,
                half_bin=2 * (column % n) + column // n,
                statistic=statistic,
                num_summed=num_summed_windows(self.params),
            )
            self.pending.append(self._pending(candidate))
        self.decided = max(self.decided, self.first_window + high)
        keep = max(self.decided - self.first_window - PEAK_RADIUS, 0)
        self.peak, self.where = self.peak[keep:], self.where[keep:]
        self.first_window += keep

    def _resolve(self, item: _Pending, final: bool) -> RxFrame | int | None:
        """The frame behind a candidate, None where there is none, or the chip up to which the stream is needed."""
        front, params = self.front, self.params
        if not item.synchronised:
            run = self._run_of(item.candidate)
            if run is not None and item.candidate.start > run.latest.start:
                run.latest = item.candidate
            if self._known(item.candidate):
                return None  # not noted as resolved: each would hide the next, and end the hunt along a long preamble
            self.resolved = [*self.resolved[-7:], item.candidate]
            if any(old.explains(item.candidate, params.num_bins) for old in self.found):
                return None
        origin = item.candidate.start - self.history
        samples = front.chips.view(origin)
        local_candidate = replace(item.candidate, start=self.history)
        if not item.synchronised:
            fine = None if front.rate == 1 else front.fine.view(origin * front.rate)
            item.sync = synchronise(samples, local_candidate, params, fine=fine)
            item.synchronised = True
        if item.sync is None:
            later = continues(samples, local_candidate, params)
            if later is not None:
                self._follow(item.candidate, samples, origin)
                self._resume(replace(later, start=later.start + origin))
            return None
        start_down = origin + item.sync.start
        if any(abs(start_down - old.start_down) < 3 * params.num_bins for old in self.found):
            return None
        fine = front.fine.view(origin * front.rate)
        outcome = receive_frame(samples, fine, front.rate, item.sync, params, self.decoding, final=final, begin=-origin)
        if isinstance(outcome, int):
            return origin + outcome
        # upchirps that lie in another frame's payload, or are not followed as they promise, need the CRC's word
        inside = any(old.start_down < start_down < old.end + 6 * params.num_bins for old in self.found)
        if (inside or not is_convincing(item.sync)) and not outcome.decoded.crc_ok:
            return None
        run = self._run_of(item.candidate)
        if run is not None and start_down - run.begin > (params.preamble_len + LOOK_BACK - 2) * params.num_bins:
            outcome = replace(outcome, start=run.start(item.sync, params) - origin)
        self.found = [old for old in self.found if old.end > start_down - 64 * params.num_bins]
        self.found.append(
            _Found(
                start_down=start_down,
                data=origin + outcome.data,
                end=origin + outcome.end,
                symbols=np.argmax(outcome.bins, axis=1),
                cfo_bins=item.sync.cfo_bins,
                drift=outcome.sfo_ppm * 1e-6 * params.num_bins,
                certain=bool(outcome.decoded.crc_ok),
            )
        )
        return self._frame(origin, outcome)

    def _resume(self, candidate: Candidate) -> None:
        """Queue the continuation of a long preamble, behind the candidate that is being resolved."""
        self.pending.append(self._pending(candidate))
        self.pending[1:] = sorted(self.pending[1:], key=lambda other: (other.candidate.start, other.candidate.half_bin))

    def _known(self, candidate: Candidate) -> bool:
        """Whether a peak within three symbols, of the same tone, has been resolved: one long preamble has many."""
        return any(_one_tone(candidate, old, 3, self.params.num_bins) for old in self.resolved)

    def _run_of(self, candidate: Candidate) -> _Run | None:
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
            _Run(
                first=candidate,
                latest=candidate,
                begin=origin + begin,
                origin=origin + max(low, 0),
                opening=samples[max(low, 0) : high].copy(),
            )
        )

    def _pending(self, candidate: Candidate) -> _Pending:
        return _Pending(
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
            snr_db=float(10 * math.log10(sync.signal_power / sync.noise_power)),
            header=outcome.decoded.header,
            params=params,
            sync_word=_sync_word(sync.sync_symbols, params),
        )


def _one_tone(candidate: Candidate, old: Candidate, reach: int, num_bins: int) -> bool:
    """Whether two peaks at most `reach` symbols apart show upchirps of one train."""
    moved = candidate.start - old.start
    difference = (candidate.half_bin - old.half_bin - 2 * moved + num_bins) % (2 * num_bins) - num_bins
    return abs(moved) <= reach * num_bins and abs(difference) <= 3


def _sync_word(symbols: tuple[int, int], params: LoRaParams) -> int:
    """The byte of two sync chirps: the parameters' own where it fits, else the smallest."""
    if params.sync_word is not None:
        return params.sync_word
    return (symbols[0] >> 3) << 4 | symbols[1] >> 3


def _time_order(frame: RxFrame) -> tuple[float, int, float]:
    return frame.start_sample + frame.sto_samples, frame.params.sf, frame.params.bandwidth_hz


def _checked(iq: npt.ArrayLike) -> IQ:
    samples = np.asarray(iq)
    if not np.issubdtype(samples.dtype, np.complexfloating):
        raise TypeError(f"'iq' must be complex64 or complex128 (got dtype {samples.dtype})")
    if samples.ndim != 1:
        raise ValueError(f"'iq' must have one dimension (got shape {samples.shape})")
    with np.errstate(over="ignore", invalid="ignore"):
        samples = np.ascontiguousarray(samples, dtype=np.complex64)
        limit = np.float32(LARGEST_SAMPLE)
        parts = samples.view(np.float32)
        if parts.size and not (np.min(parts) >= -limit and np.max(parts) <= limit):
            parts = np.clip(np.nan_to_num(parts, nan=0.0, posinf=0.0, neginf=0.0), -limit, limit)
            samples = parts.view(np.complex64)
    return samples


def _positive(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"'{name}' must be a number (got {value!r})")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"'{name}' must be positive and finite (got {value!r})")
    return float(value)
