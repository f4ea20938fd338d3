"""The dozen Linux calls that Python's standard library does not offer, by ctypes.

Numbers and structures are the kernel's ABI (``include/uapi/linux``), which does not change. Every function raises
`OSError` with the call's name where the kernel says no.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_NOATIME, MS_NODIRATIME, MS_BIND = 32, 1024, 2048, 4096
MS_REC, MS_PRIVATE, MS_RELATIME = 16384, 1 << 18, 1 << 21
MNT_DETACH = 2

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_SECCOMP = 1, 4, 8, 22
PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 24, 36, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4

MACHINE = os.uname().machine
CAP_DAC_READ_SEARCH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def syscall(name: str, number: int, *arguments: int | ctypes.Array[ctypes.c_char] | bytes) -> int:
    """Call the kernel by number; integers go as ``long``, buffers as pointers."""
    converted = [ctypes.c_long(item) if isinstance(item, int) else ctypes.c_char_p(bytes(item)) for item in arguments]
    return _checked(name, _libc.syscall(ctypes.c_long(number), *converted))


def unshare(flags: int) -> None:
    """Move this process into new namespaces (its children, for CLONE_NEWPID)."""
    _checked("unshare", _libc.unshare(ctypes.c_int(flags)))


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """``mount(2)``."""
    text = [None if item is None else os.fsencode(item) for item in (source, target, kind, options)]
    result = _libc.mount(text[0], text[1], text[2], ctypes.c_ulong(flags), text[3])
    _checked(f"mount {target}", result)


def pivot_root_here() -> None:
    """Make the current directory, a mount point, the root, and drop the old root."""
    syscall("pivot_root", _PIVOT_ROOT[MACHINE], b".\0", b".\0")
    _checked("umount2", _libc.umount2(b".", ctypes.c_int(MNT_DETACH)))
    os.chdir("/")


def prctl(option: int, first: int = 0, second: int = 0, pointer: object = None) -> int:
    """``prctl(2)``; `pointer` takes the place of the second argument."""
    last = ctypes.c_ulong(second) if pointer is None else pointer
    return _checked("prctl", _libc.prctl(option, ctypes.c_ulong(first), last, ctypes.c_ulong(0), ctypes.c_ulong(0)))


def set_host_name(name: bytes) -> None:
    """``sethostname(2)``."""
    _checked("sethostname", _libc.sethostname(name, ctypes.c_size_t(len(name))))


def drop_bounding_set() -> None:
    """Make sure that no capability can be got by executing a file; as far as this process may."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # not permitted without CAP_SETPCAP, or past the last capability that the kernel knows
            return


def drop_capabilities(*, keep: int | None = None) -> None:
    """Give up every capability but `keep`, and the way to get any back by executing a file.

    `OSError` where `keep` is not among those that this process has.
    """
    drop_bounding_set()
    with contextlib.suppress(OSError):  # before Linux 4.3 there were no ambient ones
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    kept = 0 if keep is None else 1 << keep
    # effective, permitted, inheritable: of capabilities 0-31, then of 32-63
    syscall("capset", _CAPSET[MACHINE], header, struct.pack("=6I", kept, kept, 0, 0, 0, 0))


def _checked(name: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return int(result)
