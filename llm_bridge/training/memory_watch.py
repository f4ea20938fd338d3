"""Memory of a process, sampled phase by phase.

On a CPU that is resident anonymous memory (``RssAnon`` of /proc/self/status, Linux alone): what the process wrote and
what would have to be swapped; pages of weight files that the system read for it, and may drop, do not count. On a GPU
it is what is taken there, less what was taken before.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STATUS = Path("/proc/self/status")
OVER_LIMIT = 77
"""Exit status of a process that passed its limit."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of the work: its time, and the most memory in it (`None` where the system does not tell)."""

    name: str
    wall_s: float
    cpu_s: float
    peak_bytes: float | None


class MemoryWatch:
    """A thread that samples memory every `interval_s` seconds, and ends the process where it passes `limit` bytes.

    Parameters
    ----------
    device
        "cpu" or "cuda".
    limit
        Most bytes; the process ends at once with the status `OVER_LIMIT`, so that the machine is not brought to swap or
        to kill others. `None`: no limit.
    interval_s
        Seconds between two samples.

    Examples
    --------
    >>> with MemoryWatch("cpu") as watch, watch.phase("list"):
    ...     numbers = [0.0] * 3_000_000
    >>> watch.phases[0].name, watch.phases[0].peak_bytes is None or watch.phases[0].peak_bytes > 2e7
    ('list', True)
    """

    def __init__(self, device: str, *, limit: float | None = None, interval_s: float = 0.05):
        """Look once, where something may be in use already; `__enter__` begins to sample."""
        self.phases: list[Phase] = []
        self._device, self._limit, self._interval = device, limit, interval_s
        self._before = used_bytes(device) or 0.0 if device == "cuda" else 0.0
        self._peak: float | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemoryWatch:
        """Begin to sample."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop sampling."""
        self._end.set()
        self._thread.join()

    @property
    def peak(self) -> float | None:
        """The most memory of all phases."""
        return max((phase.peak_bytes for phase in self.phases if phase.peak_bytes is not None), default=None)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A phase of the work; it is on record also where it ends in an error."""
        self._peak = None
        self._look()
        wall, cpu = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            self._look()
            wall_s, cpu_s = time.monotonic() - wall, time.process_time() - cpu
            self.phases.append(Phase(name=name, wall_s=wall_s, cpu_s=cpu_s, peak_bytes=self._peak))

    def _sample(self) -> None:
        while not self._end.wait(self._interval):
            self._look()
            if self._limit is not None and (self._peak or 0.0) > self._limit:
                os._exit(OVER_LIMIT)

    def _look(self) -> None:
        used = used_bytes(self._device)
        if used is not None:
            self._peak = max(self._peak or 0.0, used - self._before)


def used_bytes(device: str) -> float | None:
    """Bytes in use: this process' resident anonymous memory, or what is taken of the GPU; `None` where unknown."""
    if device == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info()
        return float(total - free)
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), None)
