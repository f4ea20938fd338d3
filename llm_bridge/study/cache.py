"""Cache of what cells share, a file for each kind and identity under ``DIR/cache``; and the locks of a folder.

    links     what arrived over a radio link                 rates    a real link's rates, for its controls
    channel   a radio's rows of ``channel.csv``              scores   a model's scores of each text, a line each
    repairs   a model's candidates of each text              verdicts what the sandbox said of each candidate
    models, teachers  files of training                      locks    a lock for each model

An identity is everything that shapes the content, the code that computes it included (`provenance.code_identity`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from llm_bridge.annotations import Row
from llm_bridge.files import StoreError, append_jsonl, digest, signed, storage_error, verified, write_jsonl

T = TypeVar("T")


@dataclass(frozen=True)
class Cache:
    """Files of a folder, found by what shaped them."""

    directory: Path

    def path(self, kind: str, identity: object, ending: str = ".jsonl") -> Path:
        """Path of content of a kind; an identity that is a word is the file's name."""
        return self.directory / kind / f"{identity if isinstance(identity, str) else digest(identity)}{ending}"

    def get_or_make(
        self,
        kind: str,
        identity: object,
        make: Callable[[], T],
        read: Callable[[list[dict[str, Any]]], T],
        write: Callable[[T], Iterable[Row]],
    ) -> T:
        """Content from its file, or made and written there.

        Parameters
        ----------
        kind
            Name of the sub-folder.
        identity
            Everything that shapes the content, as plain values.
        make
            Function that makes the content.
        read, write
            Functions that turn rows into content, and content into rows.

        Raises
        ------
        StoreError
            The file was edited, or it does not hold what `read` expects.

        Examples
        --------
        >>> import tempfile
        >>> cache = Cache(Path(tempfile.mkdtemp()))
        >>> as_rows, as_sum = (lambda value: [{"sum": value}]), (lambda rows: rows[0]["sum"])
        >>> [cache.get_or_make("sums", [1, 2], make, as_sum, as_rows) for make in (lambda: 3, lambda: 1 / 0)]
        [3, 3]
        """
        path = self.path(kind, identity)
        if path.exists():
            rows = verified(path)
            try:
                return read(rows)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise StoreError(f"{path} is not what it should be ({error!r}): delete it and run again") from error
        value = make()
        write_jsonl(path, map(signed, write(value)))
        return value

    def rows(self, kind: str, identity: object, key: str) -> CachedRows:
        """Rows that are added one by one, each known by its column `key`."""
        path = self.path(kind, identity)
        try:
            return CachedRows(path, {row[key]: row for row in verified(path)}, key)
        except (KeyError, TypeError) as error:
            raise StoreError(f"{path} is not what it should be ({error!r}): delete it and run again") from error


@dataclass(frozen=True)
class CachedRows:
    """Rows of a file that grows: `known` by their key, and kept as soon as they are added."""

    path: Path
    known: dict[str, dict[str, Any]]
    key: str

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows to the file, and know them."""
        rows = list(rows)
        append_jsonl(self.path, map(signed, rows))
        self.known.update({row[self.key]: row for row in rows})


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a study's folder; a second run into it is refused while the first lives.

    The lock is the operating system's, so that it goes with the process, however that ends.
    """
    with _lock_file(directory / ".lock", wait=False) as file:
        file.truncate(0)
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name in it
            file.write(f"process {os.getpid()}".encode())
        yield


@contextlib.contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold a lock file; wait where another process holds it."""
    with _lock_file(path, wait=True):
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


@contextlib.contextmanager
def _lock_file(path: Path, *, wait: bool) -> Iterator[Any]:
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # never through a symbolic link: the lock's file is emptied, and its target would be
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666), "a+b", buffering=0)
    except OSError as error:
        raise storage_error(error, path) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().decode(errors="replace").strip() or "another process"
            raise StoreError(f"{path.parent} is in use by {holder}: wait for it, or choose another --out") from error
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(f"{path.parent} lies on a file system without locks ({reason})") from error
        yield file
