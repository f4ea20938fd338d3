"""Landlock: from now on this process may read some folders, change nothing but a private one, and reach nobody.

Rules are ``(folder, rights beneath it)``; every right that the kernel can handle and no rule grants is refused
(Salaün, ``Documentation/userspace-api/landlock.rst``). On a real disk no folder is writable, on purpose: it has no
quota, and a program could fill it.

What the kernel can handle grows with its ABI version: 1 (Linux 5.13) reading, writing, making and removing; 2 (5.19)
moving between folders; 3 (6.2) truncating; 4 (6.7) TCP; 5 (6.10) device requests; 6 (6.12) abstract sockets and
signals. What an older kernel cannot handle is left to `seccomp`, which refuses the same and more.
"""

from __future__ import annotations

import errno
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
_TCP, _SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals
_LOG_SAME_EXEC_OFF = 1  # since version 7 (6.15): what is refused would be written to the machine's audit log


def version(at_most: int | None = None) -> int:
    """The kernel's ABI version, 0 where it has no Landlock; never more than `at_most`, which emulates older kernels."""
    try:
        found = syscall("landlock_create_ruleset", _CREATE, 0, 0, _QUERY_VERSION)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        return 0
    return found if at_most is None else min(found, at_most)


def restrict(
    readable: Iterable[str], *, abi: int, devices: Iterable[str] = (), writable_folders: Iterable[str] = ()
) -> None:
    """Refuse this process every access but reading beneath `readable`, for good.

    `devices` may be read and written too; beneath `writable_folders` everything may be done. Paths that do not exist
    are left out. Needs "no new privileges" (`syscalls.drop_capabilities`). `OSError` where the kernel has no Landlock.
    """
    handled = (1 << _NUM_RIGHTS.get(abi, _NUM_RIGHTS_LATEST)) - 1
    fields = [handled, *([_TCP] if abi >= 4 else []), *([_SCOPES] if abi >= 6 else [])]
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = syscall("landlock_create_ruleset", _CREATE, attributes, len(attributes), 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0))
        for path in devices:
            _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
        for path in writable_folders:
            _allow(ruleset, path, handled)
        syscall("landlock_restrict_self", _RESTRICT_SELF, ruleset, _LOG_SAME_EXEC_OFF if abi >= 7 else 0)
    finally:
        os.close(ruleset)


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
