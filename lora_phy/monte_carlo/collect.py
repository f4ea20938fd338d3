"""`collect`: packet error rates of many points, with stopping rules, a resume file and any executor.

    result of a point = the shortest prefix of its blocks that meets a stopping rule

Block i is seeded by (seed, point, i). Workers may finish blocks in any order and run beyond the prefix: what lies
beyond is kept in the file and dropped from the result. So a result depends neither on the number of workers, nor on
their order, nor on how often the run was interrupted.
"""

from __future__ import annotations

import math
import os
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any

from lora_phy.monte_carlo.counts import LinkCounts, WeightedCounts
from lora_phy.monte_carlo.engines import Engine
from lora_phy.monte_carlo.frame_batches import BlockResult
from lora_phy.monte_carlo.frame_blocks import block_frames, simulate_block
from lora_phy.monte_carlo.points import LinkPoint, require_valid_point
from lora_phy.monte_carlo.results_file import ResultsFile, result_id, simulator_version

_TASK_SECONDS = 0.5
"""A task holds as many blocks as take about this long: few enough to report often, many enough to be worth sending."""
_MAX_TASK_BLOCKS = 64
_LINE_SECONDS = 10.0
"""Between two lines of progress where standard error is no terminal."""
LISTED_FAILURES = 16
"""Failed frames that a result names."""
_BROKEN = (
    "the processes of 'executor' died. Each of them imports the script that started it: a script that makes a pool must"
    " do so under 'if __name__ == \"__main__\":', or its processes start pools of their own. Otherwise memory may have"
    " run out"
)


@dataclass(frozen=True, repr=False)
class LinkResult:
    """Counts of one point.

    Parameters
    ----------
    point, counts, engine, seed, version
        What was simulated, what came out, by what.
    failed_frames
        Numbers of the first 16 frames that failed, for `replay_frame`.
    wall_time_s
        Seconds of simulation in all workers, those of earlier runs not counted; no part of equality or repr.
    """

    point: LinkPoint
    counts: LinkCounts | WeightedCounts
    engine: str
    seed: int
    version: str
    failed_frames: tuple[int, ...] = ()
    wall_time_s: float = field(default=0.0, compare=False, repr=False)

    @property
    def per(self) -> float:
        """Packet error rate; NaN without frames."""
        return self.counts.per

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Interval of the packet error rate: exact binomial, or that of the weights (engine "importance")."""
        return self.counts.interval(confidence)

    def __repr__(self) -> str:
        """What a person looks for first; the fields have the rest."""
        point = self.point
        low, high = self.interval()
        return (
            f"LinkResult(SF{point.params.sf} 4/{4 + point.params.cr}, {point.channel.snr_db:g} dB,"
            f" {point.payload_len} bytes, {point.sync} sync, {point.decoding}, engine {self.engine!r}:"
            f" PER {self.per:.4g} [{low:.3g}, {high:.3g}], {self.counts.frames} frames)"
        )


@dataclass(frozen=True)
class Progress:
    """Progress of a run."""

    points_done: int
    points: int
    frames: int
    frames_per_s: float
    remaining_s: float
    """Upper bound: stopping rules other than `max_frames` may be met earlier. Infinite before the first block."""


def collect(
    points: Iterable[LinkPoint],
    *,
    max_frames: int,
    max_errors: int | None = None,
    max_relative_width: float | None = None,
    max_relative_error: float = 0.05,
    seed: int,
    engine: Engine = "waveform",
    save_to: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: bool | Callable[[Progress], None] = False,
) -> list[LinkResult]:
    """Simulate frames of each point until a stopping rule is met.

    Parameters
    ----------
    points
        Any number of `LinkPoint`; the results come in their order.
    max_frames, max_errors
        Stop a point at so many frames (exactly), or at the first block that brings so many frame errors.
    max_relative_width
        Stop when the exact 95 % interval is at most so wide, relative to the rate.
    max_relative_error
        "importance" only: stop when the standard error is at most this part of the rate.
    seed
        Non-negative integer.
    engine
        "waveform", "bins", "order-statistics" or "importance" (see `lora_phy.monte_carlo.engines`).
    save_to
        Append-only results file; a run continues from what it finds there.
    executor
        Any `concurrent.futures.Executor`, a process pool or a cluster's; None: this thread. A script that makes a
        process pool must do so under ``if __name__ == "__main__":``, because each process imports the script.
    progress
        True: live on standard error, a line every ten seconds where that is no terminal; or a function of `Progress`.

    Returns
    -------
    list of LinkResult

    Raises
    ------
    ValueError
        A bad argument, or an engine outside its validity.
    OSError
        `save_to` cannot be written, found out before the work starts.
    concurrent.futures.BrokenExecutor
        The executor's processes died, most often because the guard named above is missing.

    Examples
    --------
    >>> from lora_phy.params import LoRaParams
    >>> point = LinkPoint(LoRaParams(sf=7, cr=4), 0.0, 16, sync="perfect", decoding="hard")
    >>> collect([point], max_frames=100, max_errors=10, seed=1, engine="bins")[0].counts.frames
    100
    """
    jobs = [_Job(point, engine, _natural("seed", seed, 0)) for point in points]
    rules = _Rules(
        _natural("max_frames", max_frames, 0),
        None if max_errors is None else _natural("max_errors", max_errors, 1),
        _positive("max_relative_width", max_relative_width),
        _positive("max_relative_error", max_relative_error),
    )
    for job in jobs:
        require_valid_point(job.point, engine)
    if save_to is None:
        return _run(jobs, rules, None, executor, progress)
    with ResultsFile(save_to) as file:
        if file.ignored:
            warnings.warn(
                f"{file.path}: {file.ignored} lines are no records of results, or contradict others, and are ignored;"
                " what they were for is simulated again",
                stacklevel=2,
            )
        return _run(jobs, rules, file, executor, progress)


@dataclass(frozen=True)
class _Rules:
    max_frames: int
    max_errors: int | None
    max_relative_width: float | None
    max_relative_error: float | None

    def met(self, counts: LinkCounts | WeightedCounts) -> bool:
        if counts.frames >= self.max_frames:
            return True
        if isinstance(counts, WeightedCounts):
            return self.max_relative_error is not None and counts.relative_error <= self.max_relative_error
        if self.max_errors is not None and counts.frame_errors >= self.max_errors:
            return True
        if self.max_relative_width is not None and counts.frame_errors:
            low, high = counts.interval()
            return high - low <= self.max_relative_width * counts.per
        return False


class _Job:
    """One point on its way: the blocks that are there, and the prefix they make."""

    def __init__(self, point: LinkPoint, engine: str, seed: int) -> None:
        if not isinstance(point, LinkPoint):
            raise ValueError(f"'points' must hold LinkPoint objects (got {point!r})")
        self.point, self.engine, self.seed = point, engine, seed
        self.identity = result_id(point, engine, seed)
        self.size = block_frames(point, engine)
        self.blocks: dict[tuple[int, int], BlockResult] = {}
        self.counts: LinkCounts | WeightedCounts = (
            WeightedCounts(0, 0.0, 0.0) if engine == "importance" else LinkCounts()
        )
        self.failed: list[int] = []
        self.used = 0  # blocks in the prefix
        self.planned = 0  # blocks handed out
        self.seconds = 0.0
        self.rate: float | None = None  # frames a second in one worker
        self.done = False

    def frames_of(self, block: int, rules: _Rules) -> int:
        """Frames of a block: its size, or what is left to `max_frames`."""
        return min(self.size, rules.max_frames - block * self.size)

    def advance(self, rules: _Rules) -> None:
        """Extend the prefix as far as the blocks reach or a rule allows."""
        while not (self.done or (done := rules.met(self.counts))):
            result = self.blocks.get((self.used, self.frames_of(self.used, rules)))
            if result is None:
                return
            self.counts = self.counts + result.counts  # type: ignore[operator]
            first = self.used * self.size
            self.failed += [first + i for i in result.failed[: LISTED_FAILURES - len(self.failed)]]
            self.used += 1
        self.done = self.done or done

    def next_blocks(self, count: int, rules: _Rules) -> list[tuple[int, int]]:
        """The next blocks that are neither there nor handed out."""
        found: list[tuple[int, int]] = []
        self.planned = max(self.planned, self.used)
        while len(found) < count and (frames := self.frames_of(self.planned, rules)) > 0:
            if (self.planned, frames) not in self.blocks:
                found.append((self.planned, frames))
            self.planned += 1
        return found

    def result(self) -> LinkResult:
        return LinkResult(
            self.point, self.counts, self.engine, self.seed, simulator_version(), tuple(self.failed), self.seconds
        )


def simulate_blocks(
    point: LinkPoint, engine: str, seed: int, blocks: Sequence[tuple[int, int]]
) -> tuple[list[BlockResult], float]:
    """Some blocks, (number, frames), of a point, and the seconds they took: what a worker runs."""
    start = time.perf_counter()
    results = [simulate_block(point, engine, seed, number, frames) for number, frames in blocks]
    return results, time.perf_counter() - start


class _Inline(Executor):
    """Runs a task when it is handed in."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _run(
    jobs: list[_Job],
    rules: _Rules,
    file: ResultsFile | None,
    executor: Executor | None,
    progress: bool | Callable[[Progress], None],
) -> list[LinkResult]:
    """Keep the workers busy, round the unfinished points, until every point is done."""
    if file is not None:
        for job in jobs:
            job.blocks = file.blocks(job.identity, weighted=job.engine == "importance")
    for job in jobs:
        job.advance(rules)
    with _Display(progress) as display:
        meter = _Meter(jobs, rules)
        display.show(meter.reading())
        pool = executor if executor is not None else _Inline()
        if _is_process_pool(executor):
            _compile_first(job for job in jobs if not job.done)
        in_flight = 1 if executor is None else 2 * _num_workers(executor)
        pending: dict[Future[Any], tuple[_Job, list[tuple[int, int]]]] = {}
        queue = deque(job for job in jobs if not job.done)
        try:
            while queue or pending:
                while queue and len(pending) < in_flight:
                    job = queue.popleft()
                    blocks = [] if job.done else job.next_blocks(meter.blocks_per_task(job), rules)
                    if blocks:
                        pending[pool.submit(simulate_blocks, job.point, job.engine, job.seed, blocks)] = job, blocks
                        queue.append(job)
                if not pending:
                    break
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    job, blocks = pending.pop(future)
                    results, seconds = future.result()
                    if file is not None:
                        numbered = [(number, result) for (number, _), result in zip(blocks, results, strict=True)]
                        file.append(job.identity, (job.point, job.engine, job.seed), numbered)
                    job.blocks.update(zip(blocks, results, strict=True))
                    job.advance(rules)
                    meter.add(job, sum(frames for _, frames in blocks), seconds)
                display.show(meter.reading())
                if all(job.done for job in jobs):
                    break
        except BrokenExecutor as error:
            raise type(error)(_BROKEN) from error
        finally:
            for future in pending:
                future.cancel()
    return [job.result() for job in jobs]


def _is_process_pool(executor: Executor | None) -> bool:
    module = sys.modules.get("concurrent.futures.process")  # slow to import, and there where there is such a pool
    return module is not None and isinstance(executor, module.ProcessPoolExecutor)


def _compile_first(jobs: Iterable[_Job]) -> None:
    """Simulate one frame of each kind of point: what it needs is compiled here, once, and not by each process."""
    known = set()
    for job in jobs:
        params = job.point.params
        kind = (job.engine, params.sf, params.oversampling > 1, job.point.sync, job.point.decoding)
        if kind not in known:
            known.add(kind)
            simulate_block(job.point, job.engine, job.seed, 0, 1)


def _num_workers(executor: Executor) -> int:
    """Workers of a pool (`_max_workers`) or of a dask cluster (`_client`); the processors of this machine otherwise."""
    workers = getattr(executor, "_max_workers", None)
    if isinstance(workers, int):
        return workers
    client = getattr(executor, "_client", None)
    if client is not None:
        return max(1, sum(int(cores) for cores in client.ncores().values()))
    return os.cpu_count() or 1


class _Meter:
    """Rates, for progress and for the size of tasks; no result depends on it."""

    def __init__(self, jobs: list[_Job], rules: _Rules) -> None:
        self.jobs, self.rules = jobs, rules
        self.start = time.perf_counter()
        self.frames = 0
        self.compiled = False

    def add(self, job: _Job, frames: int, seconds: float) -> None:
        if self.compiled:
            self.frames += frames
        else:  # what the first task took is mostly compiling, and says nothing of the time that is left
            self.compiled, self.start = True, time.perf_counter()
        job.seconds += seconds
        job.rate = frames / max(seconds, 1e-9)

    def blocks_per_task(self, job: _Job) -> int:
        if job.rate is None:
            return 1
        return max(1, min(_MAX_TASK_BLOCKS, int(job.rate * _TASK_SECONDS / job.size)))

    def reading(self) -> Progress:
        rate = self.frames / max(time.perf_counter() - self.start, 1e-9)
        left = sum(0 if job.done else self.rules.max_frames - job.counts.frames for job in self.jobs)
        done = sum(job.done for job in self.jobs)
        remaining = 0.0 if left == 0 else left / rate if rate > 0 else math.inf
        return Progress(done, len(self.jobs), sum(job.counts.frames for job in self.jobs), rate, remaining)


class _Display:
    """Progress to a function, a rich bar, or plain lines on standard error."""

    def __init__(self, progress: bool | Callable[[Progress], None]) -> None:
        self.call = progress if callable(progress) else None
        self.bar: Any = None
        self.last = time.monotonic()
        self.wanted = progress is True

    def __enter__(self) -> _Display:
        if self.wanted:
            if not sys.stderr.isatty():
                return self
            try:
                from rich.console import Console
                from rich.progress import BarColumn, TextColumn
                from rich.progress import Progress as Bar
            except ImportError:
                return self
            columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}")
            self.bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self.bar.start()
            self.task = self.bar.add_task("collect", total=None, text="")
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, now: Progress) -> None:
        if self.call is not None:
            self.call(now)
        if not self.wanted:
            return
        left = "?" if math.isinf(now.remaining_s) else f"{now.remaining_s:.0f} s"
        text = (
            f"{now.points_done}/{now.points} points, {now.frames} frames, {now.frames_per_s:.0f} frames/s, {left} left"
        )
        if self.bar is not None:
            self.bar.update(self.task, total=now.points, completed=now.points_done, text=text)
        elif time.monotonic() - self.last > _LINE_SECONDS:
            self.last = time.monotonic()
            sys.stderr.write(text + "\n")


def _natural(name: str, value: Any, low: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < low:
        raise ValueError(f"{name!r} must be an integer of at least {low} (got {value!r})")
    return int(value)


def _positive(name: str, value: float | None) -> float | None:
    if value is not None and not (isinstance(value, int | float) and value > 0):
        raise ValueError(f"{name!r} must be a positive number (got {value!r})")
    return value
