"""Files of a study: written whole or not at all, appended line by line, read back tolerant of a torn last line.

A line of JSON is appended with one write; a process killed in the middle leaves a torn last line, which reading
ignores and the next append overwrites.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_bridge.annotations import Row


class StoreError(RuntimeError):
    """A study's folder cannot be used as asked; the message says why and what to do."""


class FailedModelsError(RuntimeError):
    """Models of a study could not be trained or scored: a line for each; the cells of the others are written."""


def canonical_json(value: object) -> str:
    """One text for one value: sorted keys, no spaces, infinities as in Python's json."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: object, *, length: int = 16) -> str:
    """First `length` hex digits of the SHA-256 of a value's canonical JSON.

    Examples
    --------
    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def text_digest(text: str) -> str:
    """SHA-256 of a text's UTF-8 form, lone surrogates included."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        raise storage_error(error, path) from error


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a file that is not JSON, or holds half a character, is a `StoreError` that names it."""
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text)
        # a lone surrogate has no UTF-8 form: nothing that holds one can be written again
        if "\\ud" in text or "\\uD" in text:
            canonical_json(value).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is not JSON ({error}); delete its folder and run again") from error


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write all rows, a line each, atomically."""
    write_atomically(path, "".join(canonical_json(row) + "\n" for row in rows))


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A table as CSV: its columns, then a line for each row, empty where a row has no value or a NaN."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = (row.get(column) for column in columns)
        writer.writerow(["" if value != value else value for value in values])  # floats in their shortest form
    return text.getvalue()


def append_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
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
        raise storage_error(error, path) from error


def read_jsonl(path: Path) -> list[Row]:
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
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{path}, line {number}, is not JSON: the file was damaged or edited by hand") from error
        if not isinstance(row, dict):
            raise StoreError(f"{path}, line {number}, is no JSON object: the file was damaged or edited by hand")
        rows.append(row)
    return rows


def signed(row: Mapping[str, object]) -> dict[str, object]:
    """A row of a cached file with its own digest, by which `verified` sees an edit."""
    return {**row, "digest": digest(row)}


def verified(path: Path) -> list[Row]:
    """Rows of a cached file that `signed` made, without their digests.

    Raises
    ------
    StoreError
        A row was changed after it was written, or has no digest.
    """
    rows = read_jsonl(path)
    for row in rows:
        found = row.pop("digest", None)
        try:
            changed = found != digest(row)
        except (ValueError, RecursionError):  # half of a surrogate pair, which is in no row that was written
            changed = True
        if changed:
            raise StoreError(f"{path} was changed after it was written: delete it and run again")
    return rows


def _whole_length(path: Path) -> int:
    """Bytes up to and including the last newline."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0


def storage_error(error: OSError, path: Path) -> StoreError:
    """The error of the operating system in words that say what to do."""
    if error.errno == errno.ENOSPC:
        return StoreError(f"no space left on the disk while writing {path}; nothing was lost: free some and run again")
    return StoreError(f"cannot write {path}: {error.strerror or error}")
