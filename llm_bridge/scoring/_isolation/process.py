"""The parent's end: start a caged child, ask it questions with a deadline, and leave nothing behind.

The parent never blocks on a child: requests, replies and the program's output go through one poll loop, so neither a
full pipe, nor a slow drip, nor a flood can hold it, nor a program that takes back what `poll` has announced. For each
question it reads at most one frame of bounded size and at most `MAX_OUTPUT_BYTES` of output, which it throws away.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from . import paths, wire

LEVELS = ("namespaces", "landlock+seccomp", "rlimits")  # strongest first
MAX_OUTPUT_BYTES = 1 << 20
SET_UP_S = 60.0
_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# appended: a module of ours must not hide one of the standard library's
_START = "import sys; sys.path.append(sys.argv[1]); import _isolation.child as child; sys.path.pop(); "
_START += "sys.dont_write_bytecode = True; child.main(sys.argv[2], *map(int, sys.argv[3:]))"
_MEGABYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a child is for: list cases of `entry_point`, or (with a `test_file` among `files`) a pytest module."""

    level: str
    entry_point: str
    cpu_s: float
    files: Mapping[str, str] = field(default_factory=dict)
    test_file: str | None = None
    memory_bytes: int = 512 * _MEGABYTE


class CageError(RuntimeError):
    """The cage could not be built; the program has not run."""


class CageLost(CageError):
    """The cage was torn down by somebody else: no verdict on the program."""


class Ended(Exception):
    """The child is of no further use. `how` is "timeout" or "crash" (died, flooded, or broke the protocol)."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class Child:
    """One caged worker; a context manager that kills whatever is left.

    Raises `CageError` on entering where `job.level` is not to be had on this machine, after `attempts` (a machine may
    be short of processes or memory for a moment).
    """

    def __init__(self, job: Job, *, attempts: int = 1) -> None:
        self._job = job
        self._attempts = attempts
        self._id = 0
        self._open: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Child:
        """Start the child and wait until the cage is closed."""
        for attempt in range(1, self._attempts):
            try:
                return self._enter()
            except CageError:
                time.sleep(0.5 * attempt)
        return self._enter()

    def __exit__(self, *_: object) -> None:
        """Kill every process of the child's and remove its folder."""
        self._end()

    def ask(self, request: Mapping[str, object], limit_s: float) -> dict[str, object]:
        """Send a request and return the answer to it; `Ended` where none comes in time.

        `CageLost` where the keeper is gone: whatever killed it (the kernel, short of memory; a person), it was not the
        program, which cannot reach it. Without a cage it can, and the program is what `Ended` blames.
        """
        self._id += 1
        try:
            answer = self._exchange(wire.pack({"id": self._id, **request}), limit_s)
        except Ended as ended:
            if ended.how == "crash" and self._job.level != LEVELS[-1] and self._keeper_is_gone():
                raise CageLost(f"{self._job.level}: the keeper was killed") from ended
            raise
        if answer.get("id") != self._id:
            raise Ended("crash")
        return answer

    def _enter(self) -> Child:
        self._base = tempfile.mkdtemp(prefix="sandbox-")
        try:
            self._start()
            answer = self._exchange(wire.pack(self._describe()), SET_UP_S)
            if answer != {"ready": True}:
                raise CageError(f"{self._job.level}: {answer.get('error', 'no answer')}")
        except Ended as ended:
            self._end()
            raise CageError(f"{self._job.level}: {ended.how} while the cage was built") from ended
        except OSError as error:
            self._end()
            raise CageError(f"{self._job.level}: {error}") from error
        except BaseException:
            self._end()
            raise
        return self

    def _start(self) -> None:
        pipes: list[tuple[int, int]] = []
        try:
            for _ in range(4):
                pipes.append(_pipe())
        except OSError:
            self._open = [fd for pipe in pipes for fd in pipe]
            raise
        (their_requests, self._requests), (their_lifeline, self._lifeline) = pipes[:2]
        (self._replies, their_replies), (self._output, their_output) = pipes[2:]
        self._open = [self._requests, self._replies, self._output, self._lifeline]
        theirs = [their_requests, their_replies, their_lifeline]
        options = [*paths.OPTIONS, *(["-B"] if sys.dont_write_bytecode else [])]
        try:
            # also those to read from: a program that has a way to its own pipe takes back what `poll` has announced
            for fd in (self._requests, self._replies, self._output):
                os.set_blocking(fd, False)
            self._process = subprocess.Popen(
                [paths.interpreter(), *options, "-c", _START, _FOLDER, self._base, *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                stdout=their_output,
                stderr=their_output,
                cwd="/",
                env={"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"} | paths.start_variables(),
                pass_fds=theirs,
                start_new_session=True,
            )
        finally:
            for fd in (*theirs, their_output):
                os.close(fd)

    def _describe(self) -> wire.JobFrame:
        job = self._job
        site = paths.pytest_parts() if job.test_file else {}
        private_root = job.level == "namespaces"
        needs = paths.needs()
        needed = [*needs.library, *needs.shared, os.__file__, *site.values()]
        if not private_root:
            os.chmod(self._base, 0o755)  # the worker reads it under another id; it holds no secret
        open_to_all = _open_to_all(tuple(needed), not private_root) and (private_root or paths.open_to_all(self._base))
        limits = {
            "AS": job.memory_bytes,
            "CPU": math.ceil(job.cpu_s),
            "FSIZE": 16 * _MEGABYTE,
            "NOFILE": 64,
            "NPROC": 64,
            "STACK": 8 * _MEGABYTE,
            "CORE": 0,
            "MEMLOCK": 0,
            "MSGQUEUE": 0,
            "NICE": 0,
            "RTPRIO": 0,
        }
        return {
            "level": job.level,
            "library": needs.library,
            "shared": needs.shared,
            "files": {f"box/{name}": text for name, text in job.files.items()},
            "site": site,
            "limits": limits,
            "open_to_all": open_to_all,
            "mode": "module" if job.test_file else "cases",
            "entry_point": job.entry_point,
            "test_file": job.test_file,
            # tests emulate with these two a kernel that offers less
            "landlock_abi": None,
            "own_user": True,
        }

    def _exchange(self, request: bytes, limit_s: float) -> dict[str, object]:
        """Write the request and read one frame, while throwing the program's output away."""
        deadline = time.monotonic() + limit_s
        to_send = memoryview(request)
        received = bytearray()
        flood = 0
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)
        poll.register(self._output, select.POLLIN)
        poll.register(self._requests, select.POLLOUT)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Ended("timeout")
            for fd, _ in poll.poll(min(left, 3600.0) * 1000 + 1):
                if fd == self._requests:
                    try:
                        to_send = to_send[os.write(fd, to_send) :]
                    except BlockingIOError:
                        continue
                    except OSError as error:
                        raise Ended("crash") from error
                    if not to_send:
                        poll.unregister(fd)
                    continue
                try:
                    part = os.read(fd, 1 << 16)
                except BlockingIOError:
                    continue
                if fd == self._output:
                    flood += len(part)
                    if flood > MAX_OUTPUT_BYTES:
                        raise Ended("crash")
                    if not part:
                        poll.unregister(fd)
                else:
                    received += part
                    if not part or (answer := _complete(received)) is None:
                        if not part:
                            raise Ended("crash")
                        continue
                    return answer

    def _keeper_is_gone(self) -> bool:
        """Whether the keeper has ended, which it does by itself only after the parent has let go."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.1)
        return self._process.returncode is not None

    def _end(self) -> None:
        """Cut the lifeline: the keeper kills all and exits. It is killed itself should it not."""
        for fd in self._open:
            os.close(fd)
        self._open = []
        if self._process is not None:
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._process = None
        shutil.rmtree(self._base, ignore_errors=True)


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are none of the standard files: in a judge that was started without those, the next to open."""
    ends = os.pipe()
    if min(ends) > 2:
        return ends
    import fcntl  # which only Unix has

    try:
        read, write = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in ends)
    finally:
        for fd in ends:
            os.close(fd)
    return read, write


@functools.cache
def _open_to_all(needed: tuple[str, ...], with_parents: bool) -> bool:
    """Whether any user could read all of what exists of `needed`; asked once."""
    return all(paths.open_to_all(path, with_parents=with_parents) for path in needed if os.path.exists(path))


def _complete(received: bytearray) -> dict[str, object] | None:
    """The answer, once all of its bytes are there; `Ended` for what cannot become one."""
    if len(received) < wire.HEADER.size:
        return None
    (length,) = wire.HEADER.unpack_from(received)
    if length > wire.MAX_FRAME_BYTES or len(received) > wire.HEADER.size + length:
        raise Ended("crash")
    if len(received) < wire.HEADER.size + length:
        return None
    try:
        answer = wire.unpack(bytes(received[wire.HEADER.size :]))
    except wire.WireError as error:
        raise Ended("crash") from error
    if not isinstance(answer, dict):
        raise Ended("crash")
    return answer
