"""Seccomp: the list of system calls that are left to the program; everything else answers "no such call".

The list is what CPython needs to run a pure function, use threads and read modules, and no more: no new process
(fork, vfork, exec, clone without CLONE_THREAD), no socket, no ptrace, no signal to any other process, no memory file,
no namespace, no mount. A few calls are allowed for some arguments only:

    clone       CLONE_THREAD, no CLONE_NEW…           kill, tgkill  to this very process
    ioctl       questions about a terminal            fcntl         neither locks nor signals to others
    prlimit64   of this process                       madvise       what an allocator asks for
    clock_…     not the CPU time of other processes   mmap          not from the machine's pool of huge pages
    open(at)    without a private root: not to empty a file, which Landlock cannot forbid before its version 3

Left out on purpose although they change nothing: locks on files and `fsync` (others notice them), `sysinfo` and
`statfs` (the machine's load and disks), `mincore` and `preadv2` (what others have read).

The filter is classic BPF, one compare and one return for each call; numbers are the kernel's for x86-64 and AArch64.
"""

from __future__ import annotations

import ctypes
import struct

from .syscalls import MACHINE, PR_SET_SECCOMP, prctl

# name -> (x86-64, AArch64); None where the architecture has no such call
_ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # files that are open, and reading the file system
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "pwrite64": (18, 68), "preadv": (295, 69), "pwritev": (296, 70),
    "close": (3, 57), "close_range": (436, 436), "lseek": (8, 62),
    "stat": (4, None), "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "readlink": (89, None), "readlinkat": (267, 78), "getdents": (78, None), "getdents64": (217, 61),
    "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24),
    "pipe": (22, None), "pipe2": (293, 59), "sendfile": (40, 71), "umask": (95, 166),
    # waiting
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72), "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21), "epoll_wait": (232, None), "epoll_pwait": (281, 22), "epoll_pwait2": (441, 441),
    "eventfd2": (290, 19), "nanosleep": (35, 101), "pause": (34, None),
    # memory and threads
    "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "mremap": (25, 216),
    "msync": (26, 227), "futex": (202, 98), "set_robust_list": (273, 99),
    "rseq": (334, 293), "membarrier": (324, 283), "set_tid_address": (218, 96), "arch_prctl": (158, None),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120), "getcpu": (309, 168),
    # signals to oneself, clocks, identity
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132), "alarm": (37, None),
    "getitimer": (36, 102), "setitimer": (38, 103), "restart_syscall": (219, 128),
    "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153),
    "getrusage": (98, 165), "getrlimit": (97, 163), "getpriority": (140, 141), "uname": (63, 160),
    "getrandom": (318, 278), "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177), "getgroups": (115, 158),
    "getresuid": (118, 148), "getresgid": (120, 150), "getpgrp": (111, None), "getpgid": (121, 155),
    "getsid": (124, 156), "wait4": (61, 260), "waitid": (247, 95), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
# changes to the file system: only where the root is a private one
_ALLOWED_PRIVATE_ROOT: dict[str, tuple[int | None, int | None]] = {
    "creat": (85, None), "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "unlink": (87, None),
    "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276), "link": (86, None),
    "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36), "truncate": (76, 45), "chmod": (90, None),
    "ftruncate": (77, 46), "fallocate": (285, 47), "copy_file_range": (326, 285),
    "fchmod": (91, 52), "fchmodat": (268, 53), "utimes": (235, None), "utimensat": (280, 88),
}  # fmt: skip
_OPEN, _OPENAT, _MADVISE, _MMAP = (2, None), (257, 56), (28, 233), (9, 222)
_CLOCKS = ((228, 113), (229, 114), (230, 115))  # clock_gettime, clock_getres, clock_nanosleep
_CLOCK_OF_A_PROCESS = 1 << 31  # the id of such a clock is negative: it holds the complement of a process id
_MAP_HUGETLB = 0x40000
_CLONE, _KILL, _TGKILL, _IOCTL, _FCNTL, _PRLIMIT = (56, 220), (62, 129), (234, 131), (16, 29), (72, 25), (302, 261)
_CLONE_THREAD = 0x10000
_CLONE_NEW = 0x7E020080  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWTIME
# TCGETS, TIOCGWINSZ, FIONREAD, FIONCLEX, FIOCLEX
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GETPIPE_SZ
_FCNTLS = (0, 1, 2, 3, 4, 1030, 1032)
# MADV_NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, HUGEPAGE, NOHUGEPAGE, DONTDUMP
_ADVICE = (0, 1, 2, 3, 4, 8, 14, 15, 16)
_CHANGING = 0o1000 | 0o20000000  # O_TRUNC, and what O_TMPFILE adds to O_DIRECTORY

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _NO_SUCH_CALL, _KILL_PROCESS = 0x7FFF0000, 0x00050000 | 38, 0x80000000
_NOT_PERMITTED = 0x00050000 | 13
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARGUMENTS = 0, 4, 16
_X32_BIT = 0x40000000
_MODE_FILTER = 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def restrict(pid: int, *, private_root: bool) -> None:
    """Leave this process, whose id is `pid`, the calls above, for good.

    Needs "no new privileges" (`syscalls.drop_capabilities`). `OSError` where the kernel has no seccomp, or the machine
    is neither x86-64 nor AArch64.
    """
    if MACHINE not in _AUDIT_ARCH:
        raise OSError(f"no system call table for {MACHINE}")
    code = _build(pid, private_root=private_root)
    program = _Program(len(code) // 8, code)
    prctl(PR_SET_SECCOMP, _MODE_FILTER, pointer=ctypes.byref(program))


def _build(pid: int, *, private_root: bool) -> bytes:
    column = 0 if MACHINE == "x86_64" else 1
    allowed = _ALLOWED | (_ALLOWED_PRIVATE_ROOT if private_root else {})
    code = [_op(_LOAD, _OFFSET_ARCH), _op(_EQUAL, _AUDIT_ARCH[MACHINE], 1, 0), _op(_RETURN, _KILL_PROCESS)]
    code += [_op(_LOAD, _OFFSET_NUMBER), _op(_AT_LEAST, _X32_BIT, 0, 1), _op(_RETURN, _NO_SUCH_CALL)]
    for numbers in allowed.values():
        number = numbers[column]
        if number is not None:
            code += [_op(_EQUAL, number, 0, 1), _op(_RETURN, _ALLOW)]
    code += _unless(_CLONE[column], 0, _CLONE_NEW, _where(_CLONE[column], 0, _ANY_BIT, (_CLONE_THREAD,))[1:])
    code += _where(_KILL[column], 0, _EQUAL, (pid,)) + _where(_TGKILL[column], 0, _EQUAL, (pid,))
    code += _where(_IOCTL[column], 1, _EQUAL, _IOCTLS) + _where(_FCNTL[column], 1, _EQUAL, _FCNTLS)
    code += _where(_PRLIMIT[column], 0, _EQUAL, (0, pid)) + _where(_MADVISE[column], 2, _EQUAL, _ADVICE)
    for number, argument in ((_OPEN[column], 1), (_OPENAT[column], 2)):
        if number is not None:
            code += _unless(number, argument, 0 if private_root else _CHANGING, [_op(_RETURN, _ALLOW)])
    code += _unless(_MMAP[column], 3, _MAP_HUGETLB, [_op(_RETURN, _ALLOW)])
    for numbers in _CLOCKS:
        code += _unless(numbers[column], 0, _CLOCK_OF_A_PROCESS, [_op(_RETURN, _ALLOW)])
    return b"".join([*code, _op(_RETURN, _NO_SUCH_CALL)])


def _where(number: int, argument: int, test: int, values: tuple[int, ...]) -> list[bytes]:
    """Allow a call whose argument (the low 32 bits, which is all that the kernel reads of these) passes a test."""
    body = [_op(_LOAD, _OFFSET_ARGUMENTS + 8 * argument)]
    for value in values:
        body += [_op(test, value, 0, 1), _op(_RETURN, _ALLOW)]
    body.append(_op(_RETURN, _NO_SUCH_CALL))
    return [_op(_EQUAL, number, 0, len(body)), *body]


def _unless(number: int, argument: int, bits: int, then: list[bytes]) -> list[bytes]:
    """Refuse a call whose argument has one of some bits; of the others `then` decides."""
    body = [
        _op(_LOAD, _OFFSET_ARGUMENTS + 8 * argument),
        _op(_ANY_BIT, bits, 0, 1),
        _op(_RETURN, _NOT_PERMITTED),
        *then,
    ]
    return [_op(_EQUAL, number, 0, len(body)), *body]


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction, ``struct sock_filter``."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
