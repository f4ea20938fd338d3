"""The child's main program: build the cage, fork the worker into it, keep it until the parent lets go.

    keeper ── fork ── first process of the namespaces ── fork ── worker      "namespaces"
    keeper ── fork ── worker                                                 "landlock+seccomp", "rlimits"

Started by `process.Child` as ``python -s -S -P -c START FOLDER REQUESTS REPLIES LIFELINE`` with three pipe ends.
The first frame on REQUESTS is the job (`process.Child._describe`). The answer is ``{"ready": true}``, or
``{"error": why}`` where the cage cannot be built; after that the worker serves (`worker`). LIFELINE ends when the
parent closes it or dies. Then every process of the program's is killed, whatever it did to its session, its group or
its parent: by the kernel where there is a process namespace; elsewhere by the keeper, which all orphans are handed to.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable

# all of them now: the private root does not hold this folder
from . import namespaces, wire, worker

if sys.platform == "linux":
    from . import landlock, seccomp, syscalls

TYPE_CHECKING = False  # `typing` costs a tenth of a start
if TYPE_CHECKING:
    from typing import Any


def main(requests: int, replies: int, lifeline: int) -> None:
    """Serve one job; never returns."""
    job: Any = wire.read_frame(requests)
    os.umask(0o022)  # the worker, under another id, reads what is made here
    try:
        _silence_signals()
        if job["level"] == "namespaces":
            _keep_namespaces(job, requests, replies, lifeline)
        else:
            _keep_processes(job, requests, replies, lifeline)
    except BaseException as error:
        wire.write_frame(replies, {"error": f"{type(error).__name__}: {error}"})
    os._exit(70)


def _keep_namespaces(job: Any, requests: int, replies: int, lifeline: int) -> None:
    told, tell = os.pipe()  # maps are written
    asked, ask = os.pipe()  # the user namespace is there: b"u" with, b"-" without one of its own

    def first_half() -> None:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(tell)
        try:
            namespaces.unshare_all(own_user=True)
            os.write(ask, b"u")
        except OSError:
            if os.geteuid() != 0:
                raise
            namespaces.unshare_all(own_user=False)
            os.write(ask, b"-")
        if os.read(told, 1) != b"m":
            os._exit(70)  # the keeper has said why
        first = _fork(second_half, replies)
        _close(requests, replies, lifeline)
        _wait(first)

    def second_half() -> None:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        for fd in (ask, asked, told):
            os.close(fd)
        namespaces.build_root(job["base"], job["readable"], job["files"], job["site"])
        _fork(lambda: _work(job, requests, replies, lifeline, base=""), replies)
        _close(requests, replies)
        os.read(lifeline, 1)
        os._exit(0)  # and the kernel kills all that is left in this namespace

    child = _fork(first_half, replies)
    os.close(ask)
    kind = os.read(asked, 1)
    if kind == b"u":
        namespaces.write_id_maps(child)
    os.write(tell, b"m" if kind else b"x")
    _close(requests, replies, lifeline)
    os.waitpid(child, 0)
    _remove(job["base"])
    os._exit(0)


def _keep_processes(job: Any, requests: int, replies: int, lifeline: int) -> None:
    base = job["base"]
    namespaces.write_files(base, job["files"])
    os.makedirs(f"{base}/site", exist_ok=True)
    for name, path in job["site"].items():
        os.symlink(path, f"{base}/site/{name}")
    if sys.platform == "linux":
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    process = _fork(lambda: _work(job, requests, replies, lifeline, base=base), replies)
    _close(requests, replies)
    os.read(lifeline, 1)
    _kill_descendants(process)
    _remove(base)
    os._exit(0)


def _work(job: Any, requests: int, replies: int, lifeline: int, base: str) -> None:
    """Become the worker: lock the last doors from inside, then serve. Never returns."""
    os.close(lifeline)
    os.setsid()
    serve = worker.prepare(job, base)  # imports what it needs, before the doors close
    os.chdir(f"{base}/tmp" if base == "" else base)
    _drop_privileges(job)
    for name, value in job["limits"].items():
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is not None:
            hard = resource.getrlimit(number)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (value, value))
    if job["level"] == "landlock+seccomp":
        readable = [*job["readable"], *job["site"].values(), base]
        landlock.restrict(readable, writable_files=["/dev/null", "/dev/zero", "/dev/urandom"])
    if job["level"] != "rlimits":
        seccomp.restrict(os.getpid(), private_root=job["level"] == "namespaces")
    os.environ.clear()
    wire.write_frame(replies, {"ready": True})
    serve(requests, replies)
    os._exit(0)


def _drop_privileges(job: Any) -> None:
    """Become nobody, without capabilities.

    Root's interpreter may lie where nobody cannot read. Behind a private root or Landlock the worker then keeps the one
    capability that opens it, for what can be read is confined anyhow; without either it stays root, and can do harm.
    """
    keep: tuple[int, ...] = ()
    if os.geteuid() == 0 and (job["open_to_all"] or job["level"] != "rlimits"):
        if not job["open_to_all"]:
            syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
            keep = (syscalls.CAP_DAC_READ_SEARCH, syscalls.CAP_DAC_OVERRIDE)
        os.setgroups([])
        os.setresgid(namespaces.NOBODY, namespaces.NOBODY, namespaces.NOBODY)
        os.setresuid(namespaces.NOBODY, namespaces.NOBODY, namespaces.NOBODY)
    if sys.platform == "linux":
        syscalls.drop_capabilities(keep_one_of=keep)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)


def _fork(action: Callable[[], None], replies: int) -> int:
    """Fork; the new process runs `action`, reports what goes wrong and exits."""
    pid = os.fork()
    if pid:
        return pid
    try:
        action()
    except BaseException as error:
        wire.write_frame(replies, {"error": f"{type(error).__name__}: {error}"})
    os._exit(70)


def _wait(pid: int) -> None:
    os.waitpid(pid, 0)
    os._exit(0)


def _remove(base: str) -> None:
    """Remove the child's folder: the parent would, but it may be dead."""
    for folder, folders, files in os.walk(base, topdown=False):
        for name in folders + files:
            path = os.path.join(folder, name)
            try:
                (os.rmdir if os.path.isdir(path) and not os.path.islink(path) else os.remove)(path)
            except OSError:
                pass
    try:
        os.rmdir(base)
    except OSError:
        pass


def _close(*fds: int) -> None:
    """Let go of pipes, and of the program's output, so that their ends show when the worker is gone."""
    for fd in fds:
        os.close(fd)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)


def _silence_signals() -> None:
    """No handler: the first process of a process namespace is then immune to all that its children may send."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _kill_descendants(process: int) -> None:
    """Kill the worker and, where the kernel hands orphans over, all that it started; returns when none is left."""
    for group in (True, False):
        try:
            (os.killpg if group else os.kill)(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
    while True:
        for pid in _children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []
