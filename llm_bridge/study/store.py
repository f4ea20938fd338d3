"""Files of a study: written whole or not at all, appended line by line, read back tolerant of a torn last line.

    DIR/<cell>/config.json  provenance.json  items.jsonl  result.json     result.json is written last: it is the seal
    DIR/cache/…                                                           links, models and scores that cells share
    DIR/outputs.json                                                      digests of results.csv and the like
    DIR/.lock                                                             held while a run is in the folder

A line of JSON is appended with one write; a process killed in the middle leaves a torn last line, which reading
ignores and the next append overwrites.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

RESULT_FILE = "result.json"
OUTPUTS_FILE = "outputs.json"


class StoreError(RuntimeError):
    """A study's folder cannot be used as asked; the message says why and what to do."""


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, infinities as in Python's json."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any, *, length: int = 16) -> str:
    """First `length` hex digits of the SHA-256 of a value's canonical JSON.

    Examples
    --------
    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file or nothing: to a temporary neighbour, flushed to disk, then renamed.

    Raises
    ------
    StoreError
        No space left, or no permission; whatever stood at `path` before stands there still.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # never that of another process
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _store_error(error, path) from error


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a file that is not JSON is a `StoreError` that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} is not JSON ({error}); delete its folder and run again") from error


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write all rows, a line each, atomically."""
    write_atomically(path, "".join(canonical_json(row) + "\n" for row in rows))


def append_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows whole; a torn line left by a killed process is cut off first."""
    text = "".join(canonical_json(row) + "\n" for row in rows).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = path.stat().st_size if path.exists() else 0
        with path.open("r+b" if size else "wb") as file:
            start = _whole_length(path)
            file.truncate(start)
            file.seek(start)
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(start)
                raise
    except OSError as error:
        raise _store_error(error, path) from error


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a file; a torn last line is ignored, a missing file is empty.

    Raises
    ------
    StoreError
        A line that is not JSON anywhere but at the end: the file was edited or damaged.
    """
    if not path.exists():
        return []
    rows = []
    whole = path.read_bytes()[: _whole_length(path)].decode("utf-8", errors="replace")
    for number, line in enumerate(whole.split("\n")[:-1], start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise StoreError(f"{path}, line {number}, is not JSON: the file was damaged or edited by hand") from error
    return rows


def signed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a cached file with its own digest, by which `verified` sees an edit."""
    return {**row, "digest": digest(row)}


def verified(path: Path) -> list[dict[str, Any]]:
    """Rows of a cached file that `signed` made, without their digests (rows that have none are taken as they are).

    Raises
    ------
    StoreError
        A row was changed after it was written.
    """
    rows = read_jsonl(path)
    for row in rows:
        found = row.pop("digest", None)
        if found not in (None, digest(row)):
            raise StoreError(f"{path} was changed after it was written: delete it and run again")
    return rows


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
        raise _store_error(error, directory) from error
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
        raise _store_error(error, path) from error
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
        raise _store_error(error, own) from error


def seal(cell_dir: Path, result: Mapping[str, Any]) -> None:
    """Write `result.json` last, with the digests of the files it summarises, and of its own content."""
    sealed = {path.name: file_digest(path) for path in sorted(cell_dir.iterdir()) if path.suffix in (".json", ".jsonl")}
    sealed[RESULT_FILE] = _content_digest(result)
    write_json(cell_dir / RESULT_FILE, {**result, "sealed": sealed})


def write_output(path: Path, text: str) -> None:
    """Write one of a study's own tables or pages, unless the one that is there was edited by hand.

    Its digest is noted in `outputs.json` beside it before it is written, and the digest before stays until it is: so an
    interruption at any moment leaves a file that is known.

    Raises
    ------
    StoreError
        The file is not as it was written.
    """
    notes = path.with_name(OUTPUTS_FILE)
    known = read_json(notes) if notes.exists() else {}
    there = file_digest(path) if path.exists() else None
    if there is not None and there not in known.get(path.name, [there]):
        raise StoreError(f"{path} was changed after it was written: move it away and run again, it is written anew")
    new = hashlib.sha256(text.encode()).hexdigest()
    if there == new and known.get(path.name) == [new]:
        return
    write_json(notes, known | {path.name: [digest for digest in (there, new) if digest is not None]})
    write_atomically(path, text)
    write_json(notes, known | {path.name: [new]})


def is_finished(cell_dir: Path) -> bool:
    """Whether a cell has a result and its files are as they were when it was written.

    Raises
    ------
    StoreError
        A file was changed, or is missing, since the result was written.
    """
    path = cell_dir / RESULT_FILE
    if not path.exists():
        return False
    result = read_json(path)
    for name, expected in result.get("sealed", {}).items():
        file = cell_dir / name
        found = _content_digest(result) if name == RESULT_FILE else file_digest(file) if file.exists() else None
        if found != expected:
            raise StoreError(f"{file} was changed after its result was written: delete {cell_dir} and run again")
    return True


def cell_dirs(directory: Path) -> list[Path]:
    """Folders of finished cells, in the order of their names."""
    return [path.parent for path in sorted(directory.glob("*/result.json")) if (path.parent / "config.json").exists()]


def _content_digest(result: Mapping[str, Any]) -> str:
    """Digest of a result without its seal, as it reads back from JSON."""
    content = json.loads(json.dumps({name: value for name, value in result.items() if name != "sealed"}))
    return digest(content, length=64)


def _whole_length(path: Path) -> int:
    """Bytes up to and including the last newline."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0


def _store_error(error: OSError, path: Path) -> StoreError:
    if error.errno == errno.ENOSPC:
        return StoreError(f"no space left on the disk while writing {path}; nothing was lost: free some and run again")
    return StoreError(f"cannot write {path}: {error.strerror or error}")
