"""A study's folder while it is written: its locks, and a cache that several studies share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from llm_bridge.files import StoreError, storage_error


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a study's folder; a second run into it is refused while the first lives.

    The lock is the operating system's, so that it goes with the process, however that ends.
    """
    import fcntl

    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / ".lock").open("a+b", buffering=0)
    except OSError as error:
        raise storage_error(error, directory) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().decode().strip() or "another process"
            raise StoreError(f"{directory} is in use by {holder}: wait for it, or choose another --out") from error
        file.truncate(0)
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name in it
            file.write(f"process {os.getpid()}".encode())
        yield


@contextlib.contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold a lock file; wait where another process holds it."""
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise storage_error(error, path) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def share_cache(directory: Path, cache: Path) -> None:
    """Let a study keep links, models and scores in a folder that other studies use too, by a symbolic link.

    What was computed in one of them is found by the others, and trained models are kept. A score's last digits depend
    on the texts that were scored beside it, so a study of its own may differ there.

    Raises
    ------
    StoreError
        The study has a cache of its own already, or shares another one.
    """
    own, shared = directory / "cache", cache.resolve()
    if own.is_symlink() and own.resolve() == shared:
        return
    if own.is_symlink() or own.exists():
        raise StoreError(f"{directory} has its own cache already: choose another --out, or leave '--cache' out")
    try:
        shared.mkdir(parents=True, exist_ok=True)
        own.symlink_to(shared)
    except OSError as error:
        raise storage_error(error, own) from error
