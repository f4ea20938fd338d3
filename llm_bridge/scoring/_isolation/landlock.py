"""Landlock: from now on this process may read some folders and change nothing.

Rules are ``(folder, rights beneath it)``; every right that the kernel can handle and no rule grants is refused
(Salaün, ``Documentation/userspace-api/landlock.rst``). There is no writable folder on purpose: a folder on a real disk
has no quota, and a program could fill it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from .syscalls import syscall

_CREATE, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_QUERY_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
# number of file-system rights by ABI version: 13 at first, then REFER, TRUNCATE, IOCTL_DEV
_NUM_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_NUM_RIGHTS_LATEST = 16


def restrict(readable: Iterable[str], *, writable_files: Iterable[str] = ()) -> int:
    """Refuse this process every access but reading beneath `readable`, for good; returns the ABI version.

    `writable_files` may be read and written too: devices such as ``/dev/null``. Paths that do not exist are left out.
    Needs "no new privileges" (`syscalls.drop_capabilities`). `OSError` where the kernel has no Landlock.
    """
    version = syscall("landlock_create_ruleset", _CREATE, 0, 0, _QUERY_VERSION)
    handled = (1 << _NUM_RIGHTS.get(version, _NUM_RIGHTS_LATEST)) - 1
    # versions 4 and 6 add fields after the first; leaving them out leaves network and signals to seccomp
    ruleset = syscall("landlock_create_ruleset", _CREATE, struct.pack("=Q", handled), 8, 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0))
        for path in writable_files:
            _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
        syscall("landlock_restrict_self", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        rule = struct.pack("=Qi", rights, fd)
        syscall("landlock_add_rule", _ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(fd)
