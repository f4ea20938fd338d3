"""Results out of a results file of `lora_phy.collect`, without simulating anything.

file ─ records ─► for each point: its parameters, and the counts of its blocks 0, 1, 2, … as far as they go
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from lora_phy.channel import (
    CarrierDrift,
    ChannelParams,
    ImpulsiveNoise,
    LeoPass,
    Multipath,
    NarrowbandNoise,
    PhaseNoise,
    ReceiverFrontEnd,
    Transmitter,
)
from lora_phy.monte_carlo.collect import LISTED_FAILURES, LinkResult
from lora_phy.monte_carlo.counts import LinkCounts, WeightedCounts
from lora_phy.monte_carlo.frame_batches import BlockResult
from lora_phy.monte_carlo.points import LinkPoint
from lora_phy.monte_carlo.results_file import read_records
from lora_phy.params import LoRaParams

_CLASSES = {
    kind.__name__: kind
    for kind in (
        LoRaParams, ChannelParams, Multipath, CarrierDrift, LeoPass, NarrowbandNoise, ImpulsiveNoise, Transmitter,
        ReceiverFrontEnd, PhaseNoise,
    )
}  # fmt: skip


def load_results(path: str | os.PathLike[str]) -> list[LinkResult]:
    """Contents of a results file, a `LinkResult` for each point, engine, seed and version of the simulator.

    The counts are those of all finished blocks from the first on: a file whose run was interrupted gives what is there,
    and one that was filled with several stopping rules gives the longest.

    Parameters
    ----------
    path
        The file that `lora_phy.collect` was given as `save_to`. It is not changed.

    Returns
    -------
    list of LinkResult
        In the order of the file. A point without a finished block has counts of 0.

    Raises
    ------
    OSError
        The file cannot be read.

    Warns
    -----
    UserWarning
        Lines that are no records, and points that hold IQ or a channel of one's own, which the file knows by hash or
        key alone: both are left out, and their number is said.

    Examples
    --------
    >>> import tempfile
    >>> from lora_phy import LinkPoint, LoRaParams, collect
    >>> point = LinkPoint(LoRaParams(sf=7), -6.0, 16, sync="perfect", decoding="hard")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = collect([point], max_frames=200, seed=1, engine="bins", save_to=f"{folder}/per.jsonl")
    ...     load_results(f"{folder}/per.jsonl") == done
    True
    """
    records = read_records(Path(path).read_bytes())
    results, foreign = [], 0
    for identity, header in records.headers.items():
        try:
            point = _point(header["point"])
            engine, seed, version = str(header["engine"]), int(header["seed"]), str(header["version"])
            size = int(header["block_frames"])
        except (ArithmeticError, KeyError, TypeError, ValueError, RecursionError):
            foreign += 1
            continue
        counts, failed = _counts(records.blocks.get(identity, {}), size, engine == "importance")
        results.append(LinkResult(point, counts, engine, seed, version, failed))
    if records.ignored or foreign:
        warnings.warn(
            f"{os.fspath(path)}: left out {records.ignored} lines that are no records, and {foreign} points that hold"
            " IQ or a channel of one's own or cannot be read",
            stacklevel=2,
        )
    return results


def _counts(
    blocks: dict[tuple[int, int], BlockResult], size: int, weighted: bool
) -> tuple[LinkCounts | WeightedCounts, tuple[int, ...]]:
    """Counts and first failed frames of the blocks 0, 1, … until one is missing; of two lengths of one, the longer."""
    longest: dict[int, BlockResult] = {}
    for (number, _), result in sorted(blocks.items()):
        longest[number] = result
    total: Any = WeightedCounts(0, 0.0, 0.0) if weighted else LinkCounts()
    failed: list[int] = []
    number = 0
    while number in longest and isinstance(longest[number].counts, type(total)):
        total = total + longest[number].counts
        failed += [number * size + index for index in longest[number].failed[: LISTED_FAILURES - len(failed)]]
        if longest[number].counts.frames != size:
            break  # the last block of a run that was bounded by its frames
        number += 1
    return total, tuple(failed)


def _point(told: Any) -> LinkPoint:
    """The point that `LinkPoint.as_dict` told; ValueError where it cannot be told back."""
    if not isinstance(told, dict):
        raise ValueError(f"a point must be a JSON object (got {type(told).__name__})")
    point = LinkPoint(**{name: _value(value) for name, value in told.items()})
    if point.as_dict() != told:
        raise ValueError("the point is not told in full")
    return point


def _value(told: Any) -> Any:
    if isinstance(told, dict):
        fields = {name: _value(value) for name, value in told.items() if name != "class"}
        return _CLASSES[told["class"]](**fields)
    if isinstance(told, list):
        return tuple(_value(item) for item in told)
    if isinstance(told, str) and told.strip("-") in ("inf", "nan"):
        return float(told)
    if isinstance(told, str) and told.startswith("("):
        return complex(told)
    return told
