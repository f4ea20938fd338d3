"""Hostile programs, and the small world they attack.

Each program defines ``solve``; its tests are ``solve(1) == 2`` and ``solve(41) == 42``. An attack that succeeds returns
the right answer, so "pass" means that the cage leaked; one that is stopped raises, dies, hangs or answers wrongly.
Programs of the kind "token" are judged by a secret expected value that only the parent knows; those of the kind
"module" run beside a pytest module. Names in @AT@ are replaced by the world's real ones.

    python tests/llm_bridge/scoring/hostile_programs.py [LABEL …] [--only=NAME,NAME]      prints the table
"""

from __future__ import annotations

import ctypes
import functools
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from more_hostile_programs import MORE, Attack

from llm_bridge.corpora import programs
from llm_bridge.corpora.programs import TestSuite
from llm_bridge.scoring import sandbox
from llm_bridge.scoring._isolation import process, seccomp
from llm_bridge.scoring._isolation.process import CageError, Child, Job

RIGHT = [[[1], 2], [[41], 42]]
TEST_MODULE = """
from solve import solve

def test_one():
    assert solve(1) == 2

def test_two():
    assert solve(41) == 42
"""
_PR_SET_CHILD_SUBREAPER = 36


@dataclass
class World:
    """What an attack could harm: two files, a process, a listening socket, and this process itself."""

    folder: Path
    secret: str
    victim: subprocess.Popen[bytes]
    listener: socket.socket
    packages: Path  # of installed packages, one of which holds an answer
    reached: list[object] = field(default_factory=list)
    touched_ns: int = 0
    others: frozenset[int] = frozenset()  # processes that were there before

    def fill_in(self, text: str) -> str:
        home = os.path.expanduser("~")
        names = {
            "CANARY": str(self.folder / "canary"),
            "FOLDER": str(self.folder),
            "SECRET": self.secret,
            "VICTIM": str(self.victim.pid),
            "PARENT": str(os.getpid()),
            "PORT": str(self.listener.getsockname()[1]),
            "HOME": home,
            "PACKAGES": str(self.packages),
            "JUDGE": os.path.abspath(sandbox.__file__),
            "CORPUS": os.path.join(os.path.dirname(os.path.abspath(programs.__file__)), "minibugs_data"),
            "CALLS": str(_listed_calls()),
        }
        for name, value in names.items():
            text = text.replace(f"@{name}@", value)
        return text

    def harm(self) -> list[str]:
        """What was done, in words; empty where nothing was."""
        found = []
        if sorted(path.name for path in self.folder.iterdir()) != ["canary", "packages", "precious", "sandboxes"]:
            found.append("files came or went")
        elif (self.folder / "canary").read_text() != self.secret or (
            self.folder / "canary"
        ).stat().st_mode & 0o777 != 0o644:
            found.append("the canary file changed")
        elif (self.folder / "canary").stat().st_mtime_ns != self.touched_ns:
            found.append("the canary file was touched")
        if list((self.folder / "sandboxes").iterdir()):
            found.append("temporary files left")
        if self.victim.poll() is not None:
            found.append("the victim process died")
        if self.reached:
            found.append("the listener was reached")
        left = descendants() - self.others - {self.victim.pid}
        if left:
            found.append(f"processes left: {sorted(left)}")
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        return found


# kernels and containers that offer less than this machine does: level, and what is not used of it
EMULATED = {
    "namespaces": ("namespaces", {}),
    "namespaces, no Landlock": ("namespaces", {"landlock_abi": 0}),
    "namespaces, root without a user namespace": ("namespaces", {"own_user": False}),
    "landlock+seccomp": ("landlock+seccomp", {}),
    **{f"landlock+seccomp, ABI {abi}": ("landlock+seccomp", {"landlock_abi": abi}) for abi in (1, 2, 3, 4, 5)},
}


@contextmanager
def emulated(label: str) -> Iterator[str]:
    """The level by its label in `EMULATED`, in force for all children that are started inside."""
    level, less = EMULATED.get(label, (label, {}))
    describe, chosen = process.Child._describe, sandbox.isolation_level
    process.Child._describe = lambda self: describe(self) | less  # type: ignore[method-assign]
    sandbox.isolation_level = lambda: level  # type: ignore[assignment]
    try:
        yield level
    finally:
        process.Child._describe = describe  # type: ignore[method-assign]
        sandbox.isolation_level = chosen


def _listed_calls() -> set[int]:
    """Numbers of the system calls that are allowed, if only for some arguments."""
    column = 0 if seccomp.MACHINE == "x86_64" else 1
    special = [seccomp._OPEN, seccomp._OPENAT, seccomp._MADVISE, seccomp._CLONE, seccomp._KILL, seccomp._TGKILL]
    special += [seccomp._IOCTL, seccomp._FCNTL, seccomp._PRLIMIT, seccomp._MMAP, *seccomp._CLOCKS]
    all_calls = [*seccomp._ALLOWED.values(), *seccomp._ALLOWED_PRIVATE_ROOT.values(), *special]
    return {numbers[column] for numbers in all_calls if numbers[column] is not None}


@functools.cache
def missing(level: str) -> str | None:
    """Why this machine has no isolation by `level` (one of `LEVELS` or of `EMULATED`); None where it has."""
    try:
        with emulated(level) as real, Child(Job(level=real, entry_point="f", cpu_s=60)):
            return None
    except CageError as error:
        return f"this machine has no isolation by {level}: {error}"


def descendants() -> set[int]:
    """All processes below this one, zombies included; orphans count, this process having adopted them."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """A fresh world in `folder`; what is left of it is cleared away."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    folder.chmod(0o777)  # also an attacker under another id may try
    (folder / "sandboxes").mkdir()
    (folder / "precious").mkdir(mode=0o777)
    secret = secrets.token_hex(16)
    (folder / "canary").write_text(secret)
    (folder / "canary").chmod(0o644)
    (folder / "packages").mkdir()
    before = tempfile.tempdir
    tempfile.tempdir = str(folder / "sandboxes")
    (folder / "sandboxes").chmod(0o711)
    others = descendants()
    victim = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
    listener = socket.create_server(("127.0.0.1", 0))
    touched_ns = (folder / "canary").stat().st_mtime_ns
    scene = World(
        folder, secret, victim, listener, folder / "packages", touched_ns=touched_ns, others=frozenset(others)
    )

    def accept() -> None:
        while True:
            try:
                scene.reached.append(listener.accept())
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield scene
    finally:
        tempfile.tempdir = before
        victim.kill()
        victim.wait()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def attack(
    program: Attack, scene: World, *, time_limit_s: float = 10.0, allow_weak_isolation: bool = False
) -> sandbox.TestOutcome:
    """Let one program loose."""
    source = scene.fill_in(textwrap.dedent(program.text).lstrip("\n"))
    install_answer(scene.packages, "0" * 32)
    limit_s = 0.25 if program.hangs else time_limit_s
    options = {"time_limit_s": limit_s, "allow_weak_isolation": allow_weak_isolation}
    if program.kind == "module":
        return sandbox.run_tests(source, "solve", TestSuite(test_module=TEST_MODULE), **options)
    if program.kind == "token":
        token = secrets.token_hex(16)
        install_answer(scene.packages, token)
        return sandbox.run_tests(source, "solve", [[["seed"], token]], **options)
    return sandbox.run_tests(source, "solve", RIGHT[:1] if program.hangs or program.once else RIGHT, **options)


def install_answer(packages: Path, token: str) -> None:
    """Put a package that holds the token where packages lie."""
    (packages / "answers").mkdir(parents=True, exist_ok=True)
    (packages / "answers" / "__init__.py").write_text("")
    (packages / "answers" / "data.py").write_text(f"ANSWER = {token!r}\n")


# A probe that comes first in every "token" program: does this text hold 32 hexadecimal digits?
_TOKEN = """
import re
FOUND = []
def look(text):
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if isinstance(text, str):
        FOUND.extend(re.findall(r"\\b[0-9a-f]{32}\\b", text))
def answer():
    return FOUND[0] if FOUND else "nothing found"
"""

ATTACKS = [
    # ── processes and threads ────────────────────────────────────────────────────────────────────────────────────
    Attack("fork_bomb", """
        import os, time
        def solve(x):
            for _ in range(300):
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
            return x + 1
    """),
    Attack("fork_bomb_that_never_gives_up", """
        import os
        def solve(x):
            while True:
                try:
                    os.fork()
                except OSError:
                    pass
    """, hangs=True),
    Attack("thread_bomb", """
        import threading, time
        def solve(x):
            threading.stack_size(65536)
            for _ in range(2000):
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            return x + 1
    """),
    Attack("daemon_by_double_fork", """
        import os, time
        def solve(x):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(60)
                os._exit(0)
            return x + 1
    """),
    Attack("subprocess_run", """
        import subprocess
        def solve(x):
            subprocess.run(["/bin/true"], check=True)
            return x + 1
    """),
    Attack("exec_shell", """
        import os
        def solve(x):
            os.execv("/bin/sh", ["sh", "-c", "sleep 60"])
    """),
    Attack("posix_spawn", """
        import os
        def solve(x):
            os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
            return x + 1
    """),
    Attack("raw_fork_by_ctypes", """
        import ctypes, platform
        def solve(x):
            libc = ctypes.CDLL(None)
            number, flags = (56, 17) if platform.machine() == "x86_64" else (220, 17)
            pid = libc.syscall(number, flags, 0, 0, 0, 0)
            if pid == 0:
                libc.pause()
            return x + 1 if pid > 0 else 0
    """),
    Attack("multiprocessing_pool", """
        import multiprocessing
        def solve(x):
            with multiprocessing.get_context("fork").Pool(2) as pool:
                return pool.apply(int, (x + 1,))
    """),
    # ── signals ─────────────────────────────────────────────────────────────────────────────────────────────────
    Attack("kill_parent", """
        import os, signal
        def solve(x):
            os.kill(os.getppid(), signal.SIGKILL)
            return x + 1
    """),
    Attack("kill_judge", """
        import os, signal
        def solve(x):
            os.kill(@PARENT@, signal.SIGKILL)
            return x + 1
    """),
    Attack("kill_everything", """
        import os, signal
        def solve(x):
            os.kill(-1, signal.SIGKILL)
            return x + 1
    """),
    Attack("kill_victim", """
        import os, signal
        def solve(x):
            os.kill(@VICTIM@, signal.SIGTERM)
            return x + 1
    """),
    Attack("kill_process_group", """
        import os, signal
        def solve(x):
            os.kill(0, signal.SIGTERM)
            return x + 1
    """),
    Attack("kill_by_owner_of_a_pipe", """
        import fcntl, os, signal
        def solve(x):
            read, write = os.pipe()
            fcntl.fcntl(read, 10, signal.SIGKILL)       # F_SETSIG
            fcntl.fcntl(read, 8, @VICTIM@)              # F_SETOWN
            fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC)
            os.write(write, b"x")
            return x + 1
    """),
    Attack("kill_oneself", """
        import os, signal
        def solve(x):
            os.kill(os.getpid(), signal.SIGKILL)
    """),
    Attack("stop_oneself", """
        import os, signal
        def solve(x):
            os.kill(os.getpid(), signal.SIGSTOP)
    """, hangs=True),
    Attack("deaf_to_all_signals", """
        import signal, time
        for number in range(1, 65):
            try:
                signal.signal(number, lambda *_: None)
            except (OSError, ValueError):
                pass
        def solve(x):
            while True:
                time.sleep(1)
    """, hangs=True),
    Attack("alarm_that_raises_in_the_judge", """
        import signal
        def late(*_):
            raise SystemExit(0)
        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        def solve(x):
            while True:
                try:
                    while True:
                        pass
                except SystemExit:
                    pass
    """, hangs=True),
    Attack("ptrace_victim", """
        import ctypes
        def solve(x):
            return x + 1 if ctypes.CDLL(None).ptrace(16, @VICTIM@, 0, 0) == 0 else 0
    """),
    Attack("read_memory_of_judge", """
        import ctypes
        def solve(x):
            buffer = ctypes.create_string_buffer(8)
            class Span(ctypes.Structure):
                _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
            here, there = Span(ctypes.addressof(buffer), 8), Span(0x400000, 8)
            calls = ctypes.CDLL(None)
            done = calls.process_vm_readv(@PARENT@, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
            try:
                open("/proc/@PARENT@/maps").read()
                return x + 1
            except OSError:
                return x + 1 if done > 0 else 0
    """),
    # ── memory, output, time ──────────────────────────────────────────────────────────────────────────────────────
    Attack("memory_bomb", """
        def solve(x):
            block = bytearray(8 << 30)
            return x + 1
    """),
    Attack("memory_bomb_in_steps", """
        def solve(x):
            blocks = [bytearray(64 << 20) for _ in range(64)]
            return x + 1
    """, once=True),
    Attack("memory_file", """
        import os
        def solve(x):
            fd = os.memfd_create("m")
            os.write(fd, bytes(1 << 20))
            return x + 1
    """),
    Attack("shared_memory", """
        from multiprocessing import shared_memory
        def solve(x):
            block = shared_memory.SharedMemory(create=True, size=1 << 20)
            return x + 1
    """),
    Attack("lift_the_limits", """
        import resource
        def solve(x):
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return x + 1
    """),
    Attack("infinite_output", """
        def solve(x):
            while True:
                print("x" * 1000)
    """),
    Attack("a_gigabyte_of_output_then_right", """
        import os
        def solve(x):
            for _ in range(1024):
                os.write(1, b"x" * (1 << 20))
            return x + 1
    """),
    Attack("infinite_errors", """
        import os
        def solve(x):
            while True:
                os.write(2, b"error" * 100)
    """),
    Attack("sleep", """
        import time
        def solve(x):
            time.sleep(1e6)
            return x + 1
    """, hangs=True),
    Attack("busy_loop", """
        def solve(x):
            while True:
                pass
    """, hangs=True),
    Attack("loop_in_c", """
        def solve(x):
            return sum(iter(int, 1)) + x + 1
    """, hangs=True),
    Attack("catastrophic_regex", """
        import re
        def solve(x):
            re.match(r"(a+)+$", "a" * 60 + "b")
            return x + 1
    """, hangs=True),
    Attack("deadlock", """
        import threading
        def solve(x):
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
            return x + 1
    """, hangs=True),
    Attack("hang_at_import", """
        while True:
            pass
        def solve(x):
            return x + 1
    """, hangs=True),
    Attack("swallow_every_exception", """
        def solve(x):
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    continue
    """, hangs=True),
    Attack("stack_overflow", """
        import sys
        sys.setrecursionlimit(10 ** 9)
        def solve(x):
            return solve(x) + 1
    """, hangs=True),
    Attack("stack_overflow_in_c", """
        import sys
        sys.setrecursionlimit(10 ** 9)
        class Deep:
            def __getattr__(self, name):
                return getattr(self, name + "x")
        def solve(x):
            return Deep().x
    """, once=True),
    Attack("null_pointer", """
        import ctypes
        def solve(x):
            return ctypes.string_at(0)
    """),
    Attack("no_python_at_all", "\x00\x01\ufffd def solve(x: return\n"),
    Attack("brackets_without_end", "def solve(x): return " + "(" * 100_000 + "x + 1" + ")" * 100_000 + "\n"),
    Attack("huge_constant", "def solve(x): return x + 1 if 10 ** 10 ** 10 else 0\n", hangs=True),
    # ── files ──────────────────────────────────────────────────────────────────────────────────────────────────
    Attack("delete_file", """
        import os
        done = []
        def solve(x):
            if not done:
                os.remove("@CANARY@")
                done.append(True)
            return x + 1
    """),
    Attack("delete_tree", """
        import os, shutil
        done = []
        def solve(x):
            if not done:
                shutil.rmtree("@FOLDER@/precious")
                done.append(True)
            return x + 1
    """),
    Attack("overwrite_file", """
        def solve(x):
            with open("@CANARY@", "w") as file:
                file.write("mine")
            return x + 1
    """),
    Attack("truncate_file", """
        import os
        def solve(x):
            os.truncate("@CANARY@", 0)
            return x + 1
    """),
    Attack("change_mode", """
        import os
        def solve(x):
            os.chmod("@CANARY@", 0)
            return x + 1
    """),
    Attack("touch_times", """
        import os
        def solve(x):
            os.utime("@CANARY@", (0, 0))
            return x + 1
    """),
    Attack("read_file", """
        def solve(x):
            return x + 1 if open("@CANARY@").read() == "@SECRET@" else 0
    """),
    Attack("read_through_symlink", """
        import os
        def solve(x):
            if not os.path.islink("link"):
                os.symlink("@CANARY@", "link")
            return x + 1 if open("link").read() == "@SECRET@" else 0
    """),
    Attack("read_password_file", """
        def solve(x):
            return x + 1 if "root" in open("/etc/passwd").read() else 0
    """),
    Attack("list_home", """
        import os
        def solve(x):
            # the way to a private interpreter may show, and nothing else
            return x + 1 if len(os.listdir("@HOME@")) > 1 else 0
    """),
    Attack("read_proc", """
        def solve(x):
            for name in ("self/environ", "1/environ", "@PARENT@/environ", "self/maps", "@PARENT@/cmdline", "net/tcp"):
                try:
                    open("/proc/" + name, "rb").read()
                    return x + 1
                except OSError:
                    pass
            return 0
    """),
    Attack("write_proc", """
        def solve(x):
            with open("/proc/sysrq-trigger", "w") as file:
                file.write("h")
            return x + 1
    """),
    Attack("open_devices", """
        import os
        def solve(x):
            for name in ("mem", "kmsg", "sda", "vda", "nvme0n1", "tty", "fuse", "kvm", "ptmx", "nvidia0"):
                try:
                    os.open("/dev/" + name, os.O_RDWR)
                    return x + 1
                except OSError:
                    pass
            return 0
    """),
    Attack("make_device", """
        import os, stat
        def solve(x):
            os.mknod("disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0))
            return x + 1
    """),
    Attack("climb_out_of_the_root", """
        import os
        def solve(x):
            os.mkdir("deeper")
            os.chroot("deeper")
            for _ in range(50):
                os.chdir("..")
            os.chroot(".")
            return x + 1
    """),
    Attack("mount_and_unshare", """
        import ctypes
        def solve(x):
            libc = ctypes.CDLL(None)
            done = [libc.unshare(0x10000000), libc.unshare(0x20000), libc.mount(b"t", b"/tmp", b"tmpfs", 0, None),
                    libc.umount2(b"/usr", 2), libc.mount(None, b"/", None, 32, None)]
            return x + 1 if 0 in done else 0
    """),
    Attack("poison_the_interpreter", """
        import os
        def solve(x):
            with open(os.path.join(os.path.dirname(os.__file__), "sitecustomize.py"), "w") as file:
                file.write("")
            return x + 1
    """),
    Attack("poison_an_imported_file", """
        import json
        def solve(x):
            with open(json.__file__, "a") as file:
                file.write("")
            return x + 1
    """),
    Attack("write_to_system", """
        def solve(x):
            for name in ("/usr/x", "/usr/lib/x", "/lib/x", "/x", "/etc/x", "/var/tmp/x", "/dev/shm/x", "/root/x"):
                try:
                    open(name, "w").close()
                    return x + 1
                except OSError:
                    pass
            return 0
    """),
    Attack("fill_the_disk", """
        import os
        def solve(x):
            for number in range(64):
                with open(f"/tmp/{number}", "wb") as file:
                    file.write(bytes(8 << 20))
            return x + 1
    """),
    Attack("use_up_inodes", """
        def solve(x):
            for number in range(20_000):
                open(f"/tmp/{number}", "w").close()
            return x + 1
    """),
    Attack("become_root", """
        import os
        def solve(x):
            os.setuid(0)
            return x + 1
    """),
    # ── network ───────────────────────────────────────────────────────────────────────────────────────────────────
    Attack("connect_to_loopback", """
        import socket
        def solve(x):
            socket.create_connection(("127.0.0.1", @PORT@), timeout=2).close()
            return x + 1
    """),
    Attack("listen_on_loopback", """
        import socket
        def solve(x):
            socket.create_server(("127.0.0.1", 0)).listen()
            return x + 1
    """),
    Attack("send_datagram", """
        import socket
        def solve(x):
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"secret", ("127.0.0.1", @PORT@))
            return x + 1
    """),
    Attack("abstract_unix_socket", """
        import socket
        def solve(x):
            socket.socket(socket.AF_UNIX).bind("\\0hidden")
            return x + 1
    """),
    Attack("resolve_and_fetch", """
        import urllib.request
        def solve(x):
            urllib.request.urlopen("http://127.0.0.1:@PORT@/", timeout=2)
            return x + 1
    """),
    # ── leaving early, forging answers ────────────────────────────────────────────────────────────────────────────
    Attack("sys_exit_0", """
        import sys
        def solve(x):
            sys.exit(0)
    """),
    Attack("os_exit_0", """
        import os
        def solve(x):
            os._exit(0)
    """),
    Attack("sys_exit_0_at_import", """
        import sys
        sys.exit(0)
    """),
    Attack("os_exit_0_at_import", """
        import os
        os._exit(0)
    """),
    Attack("exit_hook", """
        import atexit, os, sys
        def forge():
            print('{"verdict": "pass", "passed": 2, "failed": 0}', flush=True)
            os._exit(0)
        atexit.register(forge)
        def solve(x):
            sys.exit(0)
    """),
    Attack("print_forged_results", """
        import json, sys
        def solve(x):
            for stream in (sys.stdout, sys.stderr):
                print(json.dumps({"id": 2, "value": 2, "verdict": "pass"}), file=stream, flush=True)
            return None
    """),
    Attack("write_forged_results_to_all_pipes", """
        import json, os, struct
        def solve(x):
            for answer in ({"verdict": "pass"}, {"outcome": "passed"}, {"id": 3, "outcome": "passed"}):
                body = json.dumps(answer).encode()
                for fd in range(3, 64):
                    try:
                        os.write(fd, struct.pack(">I", len(body)) + body)
                    except OSError:
                        pass
            return None
    """),
    Attack("promise_four_gigabytes", """
        import os
        def solve(x):
            for fd in range(3, 64):
                try:
                    os.write(fd, b"\\xff\\xff\\xff\\xff" + b"1" * 1000)
                except OSError:
                    pass
            return None
    """),
    Attack("drip_an_answer", """
        import os, struct, time
        def solve(x):
            for fd in range(3, 64):
                try:
                    os.write(fd, struct.pack(">I", 1000))
                except OSError:
                    continue
                while True:
                    try:
                        os.write(fd, b" ")
                    except OSError:
                        break
                    time.sleep(0.01)
    """, hangs=True),
    Attack("nested_brackets_as_answer", """
        import os, struct
        def solve(x):
            body = b'{"id":2,"value":' + b"[" * 1_000_000
            for fd in range(3, 64):
                try:
                    os.write(fd, struct.pack(">I", len(body)))
                    while body:
                        body = body[os.write(fd, body):]
                except OSError:
                    pass
    """),
    Attack("close_all_files", """
        import os
        def solve(x):
            os.closerange(0, 64)
            return x + 1
    """),
    Attack("swap_the_pipes", """
        import os
        def solve(x):
            null = os.open("/dev/null", os.O_RDWR)
            for fd in range(3, 64):
                if fd != null:
                    os.dup2(null, fd)
            return x + 1
    """),
    # ── false values ────────────────────────────────────────────────────────────────────────────────────────────────
    Attack("equal_to_everything", """
        class Friend:
            def __eq__(self, other):
                return True
            def __ne__(self, other):
                return False
            __hash__ = None
        def solve(x):
            return Friend()
    """),
    Attack("int_equal_to_everything", """
        class Friend(int):
            def __eq__(self, other):
                return True
            __hash__ = int.__hash__
            def __int__(self):
                return 2
            __index__ = __int__
            def __add__(self, other):
                return 2
        def solve(x):
            return Friend(0)
    """),
    Attack("list_equal_to_everything", """
        class Friend(list):
            def __eq__(self, other):
                return True
            def __iter__(self):
                return iter([2, 42])
        def solve(x):
            return Friend()
    """),
    Attack("false_class", """
        class Friend:
            __class__ = property(lambda self: int)
            def __eq__(self, other):
                return True
            def __int__(self):
                return 2
        def solve(x):
            return Friend()
    """),
    Attack("false_base_by_metaclass", """
        class Meta(type):
            def __subclasscheck__(cls, other):
                return True
            def mro(cls):
                return [cls, object]
        class Friend(metaclass=Meta):
            def __eq__(self, other):
                return True
        def solve(x):
            return Friend()
    """),
    Attack("patched_builtins", """
        import builtins
        builtins.isinstance = lambda *_: True
        builtins.issubclass = lambda *_: True
        builtins.len = lambda *_: 1
        builtins.int = lambda *_: 2
        builtins.type = lambda *_: None
        def solve(x):
            return object()
    """),
    Attack("patched_equality_of_int", """
        import ctypes
        def solve(x):
            class Friend(int):
                __eq__ = lambda self, other: True
            one = 1
            # give the object 1 another class: int compares by class
            ctypes.c_void_p.from_address(id(one) + 8).value = id(Friend)
            return one + 7
    """),
    Attack("patched_encoder", """
        import sys
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").endswith("wire"):
                module.encode = lambda *_, **__: {"o": 0}
                module.pack = lambda *_: b""
        def solve(x):
            return None
    """, hangs=True),
    Attack("patched_worker", """
        import sys
        for frame in sys._current_frames().values():
            while frame is not None:
                for name, value in list(frame.f_globals.items()):
                    if name in ("write_frame", "encode", "read_frame"):
                        frame.f_globals[name] = lambda *_, **__: {"id": 1, "loaded": True}
                frame = frame.f_back
        def solve(x):
            return None
    """),
    Attack("huge_int", """
        def solve(x):
            return 1 << (1 << 28)
    """, once=True),
    Attack("huge_string", """
        def solve(x):
            return "x" * (300 << 20)
    """, once=True),
    Attack("infinite_generator", """
        def solve(x):
            while True:
                yield x
    """),
    Attack("infinite_slow_generator", """
        import time
        def solve(x):
            while True:
                time.sleep(0.01)
                yield x
    """, hangs=True),
    Attack("list_that_holds_itself", """
        def solve(x):
            items = [x + 1]
            items.append(items)
            return items
    """),
    Attack("list_a_million_deep", """
        def solve(x):
            items = []
            for _ in range(1_000_000):
                items = [items]
            return items
    """, once=True),
    Attack("a_dag_that_unfolds_without_end", """
        def solve(x):
            items = [x + 1]
            for _ in range(60):
                items = [items, items]
            return items
    """, once=True),
    Attack("dict_of_collisions", """
        def solve(x):
            return [{number * ((1 << 61) - 1) for number in range(500)} for _ in range(40)]
    """, once=True),
    Attack("recursion_in_repr", """
        class Loop(Exception):
            def __repr__(self):
                return repr(self)
            __str__ = __repr__
        def solve(x):
            raise Loop(Loop())
    """),
    Attack("exception_that_hides", """
        class Gone(BaseException):
            def __getattribute__(self, name):
                raise Gone()
        def solve(x):
            raise Gone()
    """),
    # ── looking for what is expected ────────────────────────────────────────────────────────────────────────────────
    Attack("search_all_objects", _TOKEN + """
import gc
def solve(x):
    for item in gc.get_objects():
        for part in gc.get_referents(item):
            look(part)
    return answer()
    """, "token"),
    Attack("search_all_frames", _TOKEN + """
import sys
def solve(x):
    frame = sys._getframe()
    while frame:
        for value in [*frame.f_locals.values(), *frame.f_globals.values()]:
            look(repr(value))
        frame = frame.f_back
    return answer()
    """, "token"),
    Attack("search_environment_and_arguments", _TOKEN + """
import os, sys
def solve(x):
    look(repr(dict(os.environ)) + repr(sys.argv) + repr(sys.orig_argv))
    return answer()
    """, "token"),
    Attack("read_the_requests_ahead", _TOKEN + """
import os
def solve(x):
    for fd in range(64):
        try:
            os.set_blocking(fd, False)
            look(os.read(fd, 1 << 20))
        except OSError:
            pass
    return answer()
    """, "token"),
    Attack("search_own_memory", _TOKEN + """
import ctypes, os
def solve(x):
    read, write = os.pipe()
    os.set_blocking(write, False)
    libc = ctypes.CDLL(None)
    start = id(look) & ~0xFFF
    for page in range(start - (8 << 20), start + (8 << 20), 4096):
        # write(2) answers EFAULT where a fault would kill
        if libc.write(write, ctypes.c_void_p(page), 4096) > 0:
            look(os.read(read, 4096))
    return answer()
    """, "token"),
    Attack("search_the_file_system", _TOKEN + """
import os
def solve(x):
    for folder in ("/", "/tmp", "/box", "@FOLDER@", "@FOLDER@/sandboxes", "."):
        try:
            for name in os.listdir(folder):
                try:
                    look(open(os.path.join(folder, name)).read())
                except OSError:
                    pass
        except OSError:
            pass
    return answer()
    """, "token"),
    Attack("import_the_judge", """
        import llm_bridge.scoring.sandbox as sandbox
        sandbox._matches = lambda *_: True
        def solve(x):
            return x + 1
    """),
    Attack("import_third_party", """
        import numpy
        def solve(x):
            return x + 1
    """),
    # ── beside a pytest module: honest counts are not promised, but these must not pass ──────────────────────────────
    Attack("module_os_exit_at_import", "import os\nos._exit(0)\n", "module"),
    Attack("module_sys_exit_at_import", "import sys\nsys.exit(0)\n", "module"),
    Attack("module_os_exit_in_test", "import os\ndef solve(x): os._exit(0)\n", "module"),
    Attack("module_skip", "import pytest\ndef solve(x): pytest.skip('later')\n", "module"),
    Attack("module_pytest_exit", "import pytest\ndef solve(x): pytest.exit('done', returncode=0)\n", "module"),
    Attack("module_pytest_exit_at_import", "import pytest\npytest.exit('done', returncode=0)\n", "module"),
    Attack("module_tests_removed", """
        import sys
        def solve(x):
            return None
        for name, module in list(sys.modules.items()):
            if name == "test_solve":
                module.__dict__.clear()
        frame = sys._getframe()
        while frame:
            if frame.f_globals.get("__name__") == "test_solve":
                frame.f_code  # pytest is importing it at this moment
                frame.f_globals["test_one"] = frame.f_globals["test_two"] = None
            frame = frame.f_back
    """, "module"),
    Attack("module_test_file_rewritten", """
        import glob, os
        def solve(x):
            import test_solve
            with open(test_solve.__file__, "w") as file:
                file.write("def test_one(): pass\\ndef test_two(): pass\\n")
            return x + 1
    """, "module"),
    Attack("module_hang", "def solve(x):\n    while True: pass\n", "module", True),
    Attack("module_fork", "import os\ndef solve(x):\n    os.fork()\n    return x + 1\n", "module"),
    Attack("module_read_file", "def solve(x): return x + 1 if open('@CANARY@').read() else 0\n", "module"),
    Attack("module_kill_parent", "import os\ndef solve(x):\n    os.kill(os.getppid(), 9)\n    return 2\n", "module"),
    *MORE,
]  # fmt: skip


def main() -> None:
    """Print the table of all programs at each isolation that this machine has or can emulate, and a line of counts."""
    only = [item.removeprefix("--only=").split(",") for item in sys.argv[1:] if item.startswith("--only=")]
    programs_run = [item for item in ATTACKS if item.name in only[0]] if only else ATTACKS
    wanted = [item for item in sys.argv[1:] if not item.startswith("--")] or list(EMULATED)
    print(f"{'program':40} {'isolation':30} {'verdict':9} {'passed':>6} {'failed':>6} {'seconds':>8}  harm")
    for label in wanted:
        if missing(label):
            print(f"SKIPPED {label}: {missing(label)}")
            continue
        contained = 0
        for program in programs_run:
            with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as scene, emulated(label):
                start = time.perf_counter()
                outcome = attack(program, scene)
                seconds = time.perf_counter() - start
                harm = "; ".join(scene.harm()) or "none"
            stopped = outcome.verdict in ("fail", "timeout", "crash") and outcome.passed == 0 and harm == "none"
            contained += stopped
            print(
                f"{program.name:40} {label:30} {outcome.verdict:9} {outcome.passed:6} {outcome.failed:6} "
                f"{seconds:8.2f}  {harm}{'' if stopped else '   <== LEAK'}"
            )
        version = ".".join(map(str, sys.version_info[:3]))
        who = "root" if os.geteuid() == 0 else "user"
        print(f"CONTAINED {contained} of {len(programs_run)} | {label} | {who} | Python {version}", flush=True)


if __name__ == "__main__":
    main()
