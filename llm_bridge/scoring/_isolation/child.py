"""The child's main program: build the cage, fork the worker into it, keep it until the parent lets go.

    keeper ── fork ── first process of the namespaces ── fork ── worker      "namespaces"
    keeper ── fork ── worker                                                 "landlock+seccomp", "rlimits"

Started by `process.Child` as ``python -s -S -P -c START FOLDER BASE REQUESTS REPLIES LIFELINE`` with three pipe ends.
The first frame on REQUESTS is the job (`process.Child._describe`). The answer is ``{"ready": true}``, or
``{"error": why}`` where the cage cannot be built; after that the worker serves (`worker`). LIFELINE ends when the
parent closes it or dies. Then every process of the program's is killed, whatever it did to its session, its group or
its parent: by the kernel where there is a process namespace; elsewhere by the keeper, which all orphans are handed to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
from collections.abc import Callable

# all of them now: the private root does not hold this folder
from . import library, namespaces, wire, worker

if sys.platform == "linux":
    from . import landlock, seccomp, syscalls

TYPE_CHECKING = False  # `typing` costs a tenth of a start
if TYPE_CHECKING:
    from .wire import JobFrame

_FIRST_OWN_USER = 0xF0000000  # far above the ids that people, services and containers are given


def main(base: str, requests: int, replies: int, lifeline: int) -> None:
    """Serve one job in the folder `base`, which is removed at the end; never returns."""
    os.umask(0o022)  # the worker, under another id, reads what is made here
    try:
        job: JobFrame = wire.read_frame(requests)
        job["base"] = base
        _silence_signals()
        if job["level"] == "namespaces":
            _keep_namespaces(job, requests, replies, lifeline)
        else:
            _keep_processes(job, requests, replies, lifeline)
    except BaseException as error:  # among them the end of a parent that had no time to ask
        _remove(base)
        try:
            wire.write_frame(replies, {"error": f"{type(error).__name__}: {error}"})
        except OSError:
            pass
    os._exit(70)


def _keep_namespaces(job: JobFrame, requests: int, replies: int, lifeline: int) -> None:
    told, tell = os.pipe()  # maps are written
    asked, ask = os.pipe()  # the user namespace is there: b"u" with, b"-" without one of its own

    def first_half() -> None:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(tell)
        own_user = job["own_user"]
        try:
            namespaces.unshare_all(own_user=own_user)
        except OSError:
            if os.geteuid() != 0 or not own_user:
                raise
            own_user = False
            namespaces.unshare_all(own_user=False)
        os.write(ask, b"u" if own_user else b"-")
        if os.read(told, 1) != b"m":
            os._exit(70)  # the keeper has said why
        for fd in (ask, asked, told):
            os.close(fd)
        first = _fork(lambda: _first_process(job, requests, replies, lifeline, own_user), replies)
        _close(requests, replies, lifeline)
        syscalls.drop_capabilities()
        _wait(first)

    child = _fork(first_half, replies)
    os.close(ask)
    kind = os.read(asked, 1)
    if kind == b"u":
        proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
        namespaces.write_id_maps(child, proc)
        os.close(proc)
    os.write(tell, b"m" if kind else b"x")
    _close(requests, replies, lifeline)
    os.waitpid(child, 0)
    _remove(job["base"])
    os._exit(0)


def _first_process(job: JobFrame, requests: int, replies: int, lifeline: int, own_user: bool) -> None:
    """Build the private root, fork the worker into it, and keep both until the lifeline ends. Never returns."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
    asked, ask = os.pipe()
    told, tell = os.pipe()
    namespaces.build_root(job["base"], job["library"], job["shared"], job["files"], job["site"])

    def work() -> None:
        os.close(tell)
        if own_user:
            namespaces.enter_inner_user(proc, ask, told)
        _work(job, requests, replies, lifeline, base="")

    _fork(work, replies)
    for fd in (ask, told):
        os.close(fd)
    if own_user:
        pid = os.read(asked, 20)
        if pid:
            namespaces.write_id_maps(pid.decode("ascii"), proc)
            os.write(tell, b"m")
    for fd in (proc, asked, tell):
        os.close(fd)
    _close(requests, replies)
    syscalls.drop_capabilities()
    os.read(lifeline, 1)
    os._exit(0)  # and the kernel kills all that is left in this namespace


def _keep_processes(job: JobFrame, requests: int, replies: int, lifeline: int) -> None:
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


def _work(job: JobFrame, requests: int, replies: int, lifeline: int, base: str) -> None:
    """Become the worker: lock the last doors from inside, then serve. Never returns."""
    os.close(lifeline)
    _keep_open(0, 1, 2, requests, replies)
    os.setsid()
    serve = worker.prepare(job, base)  # imports what it needs, and nothing of the program's, before the doors close
    private_root = base == ""
    if private_root:  # the machine's own /dev/null could still be touched by what the parent has opened
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    os.chdir("/tmp" if private_root else base)
    _drop_privileges(job)
    for name, value in job["limits"].items():
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is not None:
            hard = resource.getrlimit(number)[1]
            if name == "NPROC" and not private_root:
                value += max(0, _num_threads_of_user() - 1)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (value, value))
    if job["level"] != "rlimits":
        _restrict(job, base, private_root)
    os.environ.clear()
    wire.write_frame(replies, {"ready": True})
    serve(requests, replies)
    os._exit(0)


def _restrict(job: JobFrame, base: str, private_root: bool) -> None:
    """The second lock: Landlock and seccomp forbid what namespaces hide; without namespaces they are the first."""
    abi = landlock.version(job["landlock_abi"])
    if abi or not private_root:
        site = [f"/site/{name}" for name in job["site"]] if private_root else job["site"].values()
        ours = ["/box", "/site"] if private_root else [base]
        readable = [*library.readable(job["library"]), *job["shared"], *site, *ours]
        writable = ["/tmp"] if private_root else []
        landlock.restrict(readable, abi=abi, devices=namespaces.DEVICES, writable_folders=writable)
    seccomp.restrict(os.getpid(), private_root=private_root)


def _drop_privileges(job: JobFrame) -> None:
    """Become a user without rights and without capabilities.

    Of root's programs that is a user of this cage alone, for the kernel counts threads by user: a program that takes
    all that it may have would leave none to the one in the next cage. It is nobody where a user namespace or a
    container maps no such id. Root's interpreter may lie where others cannot read. Behind a private root or Landlock
    the worker then keeps the one capability that reads it, for what can be read is confined anyhow; without either it
    stays root, and can do harm. Root that may not become somebody else (a container's, without CAP_SETUID) stays root
    in name, with no capability; in a private root, which it would own, it is refused.
    """
    keep = None
    if sys.platform == "linux":
        syscalls.drop_bounding_set()
    if os.geteuid() == 0 and (job["open_to_all"] or job["level"] != "rlimits"):
        try:
            if not job["open_to_all"]:
                syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
            os.setgroups([])
            os.setresgid(namespaces.NOBODY, namespaces.NOBODY, namespaces.NOBODY)
            _take_user()
            keep = None if job["open_to_all"] else syscalls.CAP_DAC_READ_SEARCH
        except PermissionError as error:
            if job["level"] == "namespaces" or os.geteuid() != 0:
                raise OSError("root without CAP_SETUID and CAP_SETGID cannot become nobody") from error
    if sys.platform == "linux":
        try:
            syscalls.drop_capabilities(keep=keep)
        except PermissionError as error:
            raise OSError("root's interpreter is closed to others, and root has no CAP_DAC_READ_SEARCH") from error
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)


def _take_user() -> None:
    """Become a user whom no other process has, or nobody where that id is not mapped."""
    own = _FIRST_OWN_USER | int.from_bytes(os.urandom(3), "little")
    for user in (own, namespaces.NOBODY):
        try:
            os.setresuid(user, user, user)
            return
        except OSError as error:
            if user != own or error.errno != errno.EINVAL:
                raise


def _num_threads_of_user() -> int:
    """Number of threads of all processes of this process' real user: what the limit on them is compared with."""
    user, count = f"Uid:\t{os.getuid()}\t", 0
    try:
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return 0
    for name in processes:
        try:
            with open(f"/proc/{name}/status", encoding="utf-8", errors="replace") as file:
                status = file.read()
        except OSError:  # it has ended
            continue
        if user in status:
            count += int(status.partition("Threads:")[2].split(maxsplit=1)[0])
    return count


def _fork(action: Callable[[], None], replies: int) -> int:
    """Fork; the new process runs `action`, reports what goes wrong and exits.

    It exits even where nobody takes the report: further up the stack the keeper removes its folder, under which the
    first process of the namespaces has mounted the machine's standard library.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        action()
    except BaseException as error:
        with contextlib.suppress(BaseException):
            wire.write_frame(replies, {"error": f"{type(error).__name__}: {error}"})
    finally:
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


def _keep_open(*kept: int) -> None:
    """Close every other file: what built the cage holds a way to the machine's own /proc."""
    last = -1
    for fd in sorted(kept):
        if last + 1 < fd:  # `closerange` of an empty range closes all that there are, where close_range(2) does it
            os.closerange(last + 1, fd)
        last = fd
    os.closerange(last + 1, last + (1 << 16))


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
