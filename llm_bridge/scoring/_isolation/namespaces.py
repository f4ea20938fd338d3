"""A private root in new namespaces: what the program sees of the machine.

    the standard library   at its own path, read-only, without ``site-packages``      /box    helpers, test module
    shared libraries       file by file under their own names, read-only              /site   pytest and its parts
    /tmp                   16 MiB in memory, writable                                 /dev    null, zero, urandom

There is no /usr, no /proc, no home, no other process, no network (not even loopback is up), no System V memory. The
process that builds this is the first one of the new process namespace: when it exits, the kernel kills all the others
in it. The worker then enters a second user namespace with a copy of the mounts (`enter_inner_user`): in there none of
them can be unmounted, moved or made writable, by whatever capability.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from . import library as standard_library
from .syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_BIND,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_REMOUNT,
    PR_SET_DUMPABLE,
    mount,
    pivot_root_here,
    prctl,
    set_host_name,
    unshare,
)

NOBODY = 65534
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_SPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
_TMP_OPTIONS = "size=16m,nr_inodes=1024,mode=1777"
_KEPT_FLAGS = {
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "noatime": MS_NOATIME,
    "nodiratime": MS_NODIRATIME,
    "relatime": MS_RELATIME,
}


def unshare_all(own_user: bool) -> None:
    """Leave the machine's namespaces; `own_user` adds a user namespace, in which any user may do the rest."""
    unshare(_SPACES | (CLONE_NEWUSER if own_user else 0))


def write_id_maps(pid: int | str, proc: int) -> None:
    """Map ids into the user namespace of process `pid`, from outside it; `proc` is the open folder ``/proc``.

    Root maps itself and one unprivileged id, which the program gets: root mapped to root would escape the limit on
    processes. Anybody else can only map the own id; it appears as `NOBODY`.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        try:
            _write(f"{pid}/uid_map", f"0 0 1\n{NOBODY} {NOBODY} 1\n", proc)
            _write(f"{pid}/gid_map", f"0 0 1\n{NOBODY} {NOBODY} 1\n", proc)
            return
        except PermissionError as error:
            raise OSError("root without CAP_SETUID, CAP_SETGID and CAP_SETFCAP cannot map ids") from error
    _write(f"{pid}/setgroups", "deny", proc)
    _write(f"{pid}/uid_map", f"{NOBODY} {uid} 1\n", proc)
    _write(f"{pid}/gid_map", f"{NOBODY} {gid} 1\n", proc)


def enter_inner_user(proc: int, ask: int, told: int) -> None:
    """Move into a user namespace inside the first one, with a copy of its mounts, which are locked there.

    Its maps are written by the process at the other end of the two pipes: it gets this one's id in `proc`, and answers.
    """
    prctl(PR_SET_DUMPABLE, 1)  # or /proc would not let the maps be written
    unshare(CLONE_NEWUSER | CLONE_NEWNS)
    os.write(ask, os.readlink("self", dir_fd=proc).encode("ascii"))
    answer = os.read(told, 1)
    prctl(PR_SET_DUMPABLE, 0)
    if answer != b"m":
        raise OSError("the second user namespace has no maps")


def build_root(
    base: str, library: Sequence[str], shared: Sequence[str], files: Mapping[str, str], site: Mapping[str, str]
) -> None:
    """Build the private root on the empty folder `base` and move into it.

    Parameters
    ----------
    base
        A folder, empty before and after as the rest of the machine sees it.
    library
        Folders and archives of the standard library; they appear at their own paths.
    shared
        Files that appear at their own paths.
    files
        Path relative to the root, and text.
    site
        Name in ``/site``, and the folder or file that appears there.
    """
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", base, "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,nr_inodes=16384,mode=755")
    os.mkdir(f"{base}/tmp")
    mount("tmpfs", f"{base}/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, _TMP_OPTIONS)
    inner = [path for path in library if any(path.startswith(f"{other}/") for other in library)]
    for path in (*library, *shared):
        if path not in inner and os.path.exists(path):
            _bind(path, base + path)
    for path in standard_library.hidden(library):
        if os.path.isdir(path):
            mount("tmpfs", base + path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2,mode=555")
        else:
            mount("/dev/null", base + path, None, MS_BIND)
    for device in DEVICES:
        if os.path.exists(device):
            _bind(device, base + device)
    for name, path in site.items():
        _bind(path, f"{base}/site/{name}")
    write_files(base, files)
    _make_read_only(base)
    os.chdir(base)
    pivot_root_here()
    set_host_name(b"sandbox")


def write_files(base: str, files: Mapping[str, str]) -> None:
    """Write texts to paths beneath `base`, readable for everybody."""
    for name, text in files.items():
        path = f"{base}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            file.write(text)


def _bind(source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC, 0o644))
    mount(source, target, None, MS_BIND | MS_REC)


def _make_read_only(base: str) -> None:
    """Remount `base` and every mount beneath it read-only, keeping the flags that a user namespace locks."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        lines = [line.split() for line in file]
    for fields in lines:
        # spaces and the like stand as octal escapes
        path = os.fsdecode(fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape").encode("latin-1"))
        if path == f"{base}/tmp" or (path != base and not path.startswith(base + "/")):
            continue
        flags = MS_REMOUNT | MS_BIND | MS_NOSUID | MS_RDONLY | (0 if path.startswith(f"{base}/dev/") else MS_NODEV)
        for option in fields[5].split(","):
            flags |= _KEPT_FLAGS.get(option, 0)
        mount(None, path, None, flags)


def _write(path: str, text: str, folder: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)
