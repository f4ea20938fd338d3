"""A study over processes, or over a cluster: whole jobs, each on one thread, joined by files.

    study ─► jobs ─► executor ─┬─ processes of this machine          --workers N
                               └─ dask.distributed workers           --cluster ADDRESS | local

A job reads and writes the study's folder, so a cluster's machines must see it under the same path, and have the same
Python, packages and model. Its result is a file; nothing depends on which process wrote it, or in which order. So the
results are those of one process that computes on one thread (OMP_NUM_THREADS=1), byte for byte.

A process whose parent was killed ends within a second. A cluster's worker finishes the job that it has; a lock of its
own for each model run keeps the next run from writing beside it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from llm_bridge.files import StoreError

J = TypeVar("J", bound=tuple[Any, ...])
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
CONNECT_TIMEOUT = "20s"
ONE_JOB = threading.Lock()
"""A worker with several threads does one job at a time: training has settings of the whole process."""


@contextlib.contextmanager
def open_executor(*, workers: int | None = None, cluster: str | None = None) -> Iterator[Executor | None]:
    """Executor of the jobs; None where the caller is to do them itself.

    Parameters
    ----------
    workers
        Processes of this machine; None: no process but this one.
    cluster
        Address of a dask.distributed scheduler, or "local": one started here with `workers` processes (default: one
        for each core).

    Raises
    ------
    ValueError
        `workers` below 1.
    ModuleNotFoundError
        A cluster without the optional package "distributed".
    StoreError
        No scheduler at that address.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"'workers' must be at least 1 (got {workers})")
    if cluster is not None:
        with _dask(cluster, workers) as executor:
            yield executor
    elif workers is not None:
        with _processes(workers) as executor:
            yield executor
    else:
        yield None


def run_jobs(
    executor: Executor,
    function: Callable[..., Any],
    jobs: Sequence[J],
    advance: Callable[[int, int], None],
    receive: Callable[[J, Any], None] | None = None,
) -> None:
    """Call ``function(*job)`` for every job, and `receive` the job and its result; the first error ends the rest.

    Raises
    ------
    StoreError
        A process ended without a word: killed, or out of memory.
    """
    futures = {executor.submit(function, *job): job for job in jobs}
    try:
        for number, future in enumerate(as_completed(futures), start=1):
            result = future.result()
            if receive is not None:
                receive(futures[future], result)
            advance(number, len(jobs))
    except BrokenProcessPool as error:
        raise StoreError(
            "a worker process ended unexpectedly (killed, or out of memory); nothing finished was lost: the same"
            " command continues, perhaps with fewer --workers"
        ) from error
    finally:
        for future in futures:
            future.cancel()


@contextlib.contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    known = set(multiprocessing.active_children())
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # read by the children when they start
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(os.getpid(),),
    )
    try:
        yield pool
    except BaseException:
        for child in set(multiprocessing.active_children()) - known:
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when it is gone, however it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _dask(cluster: str, workers: int | None) -> Iterator[Executor]:
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        address: Any = cluster
        if cluster == "local":
            threads = dict.fromkeys(THREAD_VARIABLES, "1")
            address = stack.enter_context(
                LocalCluster(
                    n_workers=workers or os.cpu_count() or 1,
                    threads_per_worker=1,
                    dashboard_address=None,
                    env=threads,
                )
            )
        try:
            client = stack.enter_context(Client(address, timeout=CONNECT_TIMEOUT))
        except (OSError, ValueError) as error:
            raise StoreError(f"no scheduler at {cluster!r} ({error}): start one with `dask scheduler`") from error
        yield client.get_executor(retries=0)
