"""The results file of `collect`: append-only JSON lines, and at the same time the file a run continues from.

    {"id": …, "point": {…}, "engine": …, "seed": …, "version": …, "block_frames": …}        once for each point
    {"id": …, "block": 17, "frames": 200, "counts": [200, 3, …], "failed": [5, 9, 120]}     once for each block

Lines are written whole by one write each. A last line without its newline was torn by a crash and is ignored; so is any
line that is no record. `id` is the SHA-256 of everything that shapes the result, so two different experiments, or two
versions of the simulator, share a file without mixing.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Iterable
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


def simulator_version() -> str:
    """What the numbers depend on besides the arguments: package, link simulation and generator."""
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
        self._known: set[str] = set()
        self._blocks: dict[str, dict[tuple[int, int], BlockResult]] = {}
        for line in text.split(b"\n")[:-1]:
            self._read(line)

    def blocks(self, identity: str) -> dict[tuple[int, int], BlockResult]:
        """Stored blocks of a point: (number, frames) to result."""
        return dict(self._blocks.get(identity, {}))

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
        self._write("".join(json.dumps(line) + "\n" for line in lines).encode())

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
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _read(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            identity = record["id"]
            if "block" not in record:
                self._known.add(identity)
                return
            if "weights" in record:
                counts: LinkCounts | WeightedCounts = _weighted(record)
            else:
                counts = LinkCounts(*map(int, record["counts"]))
            result = BlockResult(counts, tuple(record.get("failed", ())))
            self._blocks.setdefault(identity, {})[int(record["block"]), int(record["frames"])] = result
        except (ValueError, KeyError, TypeError):
            return

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


def _weighted(record: dict[str, Any]) -> WeightedCounts:
    total, squares = record["weights"]
    return WeightedCounts(int(record["frames"]), float(total), float(squares))
