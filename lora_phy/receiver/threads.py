"""Threads that work on several things at once: detectors of one stream, channels of a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lora_phy.checks import integer

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")
MOST_THREADS = 256


class Threads:
    """So many threads to map functions on; one is the thread that asks.

    Raises
    ------
    ValueError
        Fewer than one thread, or more than 256.

    Examples
    --------
    >>> Threads(2).map(abs, [-1, 2, -3])
    [1, 2, 3]
    """

    def __init__(self, threads: int) -> None:
        """Take the number of threads; they start when there is work."""
        self._count = integer("threads", threads, 1, MOST_THREADS)
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[_Item], _Found], items: Iterable[_Item]) -> list[_Found]:
        """Results of `work` for each item, in order; all are done when it returns."""
        items = list(items)
        if self._count == 1 or len(items) < 2:
            return [work(item) for item in items]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._count)
        return list(self._pool.map(work, items))

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
