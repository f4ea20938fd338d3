"""The results file of `collect`: append-only JSON lines, and at the same time the file a run continues from.

    {"id": …, "point": {…}, "engine": …, "seed": …, "version": …, "block_frames": …, "check": …}      once a point
    {"id": …, "block": 17, "frames": 200, "counts": [200, 3, …], "failed": [5, 9], "check": …}        once a block

Lines are written whole by one write each. `check` is the SHA-256, to 16 digits, of the line without it. What a file
says is not believed: a line without its check (torn by a crash, edited, of an older version), with counts that no
simulation gives (negative, more errors than frames, not whole numbers) or beside another line that says otherwise of
the same block is ignored and counted, and its block is simulated again. `id` is the SHA-256 of everything that shapes
the result, so two different experiments, or two versions of the simulator, share a file without mixing.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import importlib.metadata
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_phy.kernels.randomness import GENERATOR
from lora_phy.monte_carlo.counts import LinkCounts, WeightedCounts
from lora_phy.monte_carlo.frame_batches import BlockResult
from lora_phy.monte_carlo.frame_blocks import block_frames
from lora_phy.monte_carlo.points import LinkPoint

LINK_VERSION = 2
"""Raised whenever the same seed gives other numbers than before."""
_PROBE_BYTES = 1 << 16
_MAX_LINE_BYTES = 1 << 20
_CHECK = re.compile(rb', "check": "([0-9a-f]{16})"}$')


def simulator_version() -> str:
    """Versions that the numbers depend on, besides the arguments: package, link simulation and generator."""
    try:
        package = importlib.metadata.version("chirpbridge")
    except importlib.metadata.PackageNotFoundError:
        package = "unknown"
    return f"chirpbridge {package}, link {LINK_VERSION}, {GENERATOR}"


def result_id(point: LinkPoint, engine: str, seed: int) -> str:
    """SHA-256 of a point, an engine, a seed, the block size and the simulator's version."""
    return hashlib.sha256(json.dumps(_header(point, engine, seed), sort_keys=True).encode()).hexdigest()


def _header(point: LinkPoint, engine: str, seed: int) -> dict[str, Any]:
    return {
        "point": point.as_dict(),
        "engine": engine,
        "seed": seed,
        "version": simulator_version(),
        "block_frames": block_frames(point, engine),
    }


class ResultsFile:
    """An open results file.

    Parameters
    ----------
    path
        Created where absent, its folder too.

    Attributes
    ----------
    ignored
        Number of lines that are no records, or contradict another.

    Raises
    ------
    OSError
        The path is a folder, read-only or on a full disk: found out before any work.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open, try, and read what is there."""
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            self._require_room()
            text = self.path.read_bytes() if self.path.is_file() else b""
            if text and not text.endswith(b"\n"):
                self._write(b"\n")  # fences off a torn line
        except BaseException:
            self.close()
            raise
        records = read_records(text)
        self.ignored = records.ignored
        self._known, self._blocks = set(records.headers), records.blocks

    def blocks(self, identity: str, *, weighted: bool = False) -> dict[tuple[int, int], BlockResult]:
        """Stored blocks of a point: (number, frames) to result; of the kind that its engine gives."""
        kind = WeightedCounts if weighted else LinkCounts
        found = self._blocks.get(identity, {})
        return {block: result for block, result in found.items() if isinstance(result.counts, kind)}

    def append(
        self, identity: str, header: tuple[LinkPoint, str, int], blocks: Iterable[tuple[int, BlockResult]]
    ) -> None:
        """Add finished blocks of a point, one line each, in a single write."""
        lines = []
        if identity not in self._known:
            self._known.add(identity)
            lines.append({"id": identity, **_header(*header)})
        for number, result in blocks:
            counts = list(dataclasses.astuple(result.counts))
            weighted = isinstance(result.counts, WeightedCounts)
            record: dict[str, Any] = {"id": identity, "block": number, "frames": counts[0]}
            record["weights" if weighted else "counts"] = counts[1:3] if weighted else counts
            if result.failed:
                record["failed"] = list(result.failed)
            lines.append(record)
        self._write(b"".join(_signed(json.dumps(line).encode()) for line in lines))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> ResultsFile:
        """The file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise OSError(
                error.errno, f"cannot write results, and what is there stays: {why}", str(self.path)
            ) from error

    def _require_room(self) -> None:
        if not self.path.is_file():  # a device or a pipe: try the thing itself
            self._write(b"\n")
            return
        with tempfile.TemporaryFile(dir=self.path.parent) as probe:
            try:
                probe.write(b"\0" * _PROBE_BYTES)
                probe.flush()
                os.fsync(probe.fileno())
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise OSError(
                        error.errno, f"no room for results: {os.strerror(error.errno)}", str(self.path)
                    ) from error
                raise


@dataclass(frozen=True, kw_only=True)
class Records:
    """Contents of a results file.

    Parameters
    ----------
    headers
        By identity, the line that says what was simulated.
    blocks
        By identity and (block's number, frames), what became of them.
    ignored
        Number of lines that are no records, or contradict another.
    """

    headers: dict[str, dict[str, Any]]
    blocks: dict[str, dict[tuple[int, int], BlockResult]]
    ignored: int


def read_records(text: bytes) -> Records:
    """The records among the lines of a file; two lines that tell different results of one block are both left out."""
    headers: dict[str, dict[str, Any]] = {}
    blocks: dict[str, dict[tuple[int, int], BlockResult]] = {}
    disputed: set[tuple[str, tuple[int, int]]] = set()
    ignored = 0
    for line in text.split(b"\n")[:-1] if text.endswith(b"\n") else text.split(b"\n"):
        if not line.strip():
            continue
        try:
            record = _checked(line)
            identity = record["id"]
            if not isinstance(identity, str):
                raise ValueError("no identity")
            if "block" not in record:
                headers[identity] = record
                continue
            block, result = _block(record)
        except (ArithmeticError, ValueError, KeyError, TypeError, RecursionError):
            ignored += 1
            continue
        if blocks.setdefault(identity, {}).setdefault(block, result) != result:
            disputed.add((identity, block))
            ignored += 1
    for identity, block in disputed:
        del blocks[identity][block]
    return Records(headers=headers, blocks=blocks, ignored=ignored)


def _signed(body: bytes) -> bytes:
    """A line: the JSON object with its check as the last field, and a newline."""
    return body[:-1] + b', "check": "' + hashlib.sha256(body).hexdigest()[:16].encode() + b'"}\n'


def _checked(line: bytes) -> dict[str, Any]:
    """The object of a line whose check is right; `ValueError` for any other."""
    found = _CHECK.search(line)
    if found is None or len(line) > _MAX_LINE_BYTES:
        raise ValueError("no check")
    body = line[: found.start()] + b"}"
    if hashlib.sha256(body).hexdigest()[:16].encode() != found[1]:
        raise ValueError("another check")
    record = json.loads(body)
    if not isinstance(record, dict):
        raise ValueError("no object")
    return record


def _block(record: dict[str, Any]) -> tuple[tuple[int, int], BlockResult]:
    """Number and frames of a block, and what became of them; `ValueError` for what no simulation gives."""
    number, frames = _whole(record["block"]), _whole(record["frames"])
    failed = tuple(_whole(index) for index in record.get("failed", ()))
    if "weights" in record:
        total, squares = (float(weight) for weight in record["weights"])
        if not (math.isfinite(total) and math.isfinite(squares) and total >= 0 and squares >= 0) or failed:
            raise ValueError("weights that are none")
        return (number, frames), BlockResult(WeightedCounts(frames, total, squares))
    counts = LinkCounts(*map(_whole, record["counts"]))
    kinds = (counts.missed, counts.bad_header, counts.bad_crc, counts.undetected, counts.truncated)
    if counts.frames != frames or not frames or not sum(kinds) <= counts.frame_errors <= frames:
        raise ValueError("counts that contradict each other")
    if list(failed) != sorted(set(failed)) or (failed and failed[-1] >= frames) or len(failed) > counts.frame_errors:
        raise ValueError("failed frames that are none")
    return (number, frames), BlockResult(counts, failed)


def _whole(value: object) -> int:
    """A count: a whole number of at least 0, and no truth value."""
    if type(value) is not int or value < 0:
        raise ValueError(f"not a count: {value!r}")
    return value
