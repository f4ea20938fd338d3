"""A sweep: grids of links told in a TOML file, simulated into a folder, and continued where it was interrupted.

    [[grid]]   sf = [7, 9],  cr = [1, 4],  snr_db = {start, stop, step}   ─►   a `LinkPoint` for every combination

A key with a list is an axis, one with a single value holds for all; several grids are done one after the other. What is
simulated is named by its content (`LinkPoint.key`), so a file that has grown continues in the same folder.
"""

from __future__ import annotations

import difflib
import itertools
import os
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from lora_phy.channel import ChannelParams
from lora_phy.checks import finite, integer
from lora_phy.monte_carlo.collect import LinkResult, Progress, collect
from lora_phy.monte_carlo.engines import Engine
from lora_phy.monte_carlo.points import LinkPoint, require_valid_point
from lora_phy.params import LoRaParams
from lora_phy.presets import preset
from lora_phy.studies.tables import results_table, save

PARAMS_KEYS = tuple(field.name for field in fields(LoRaParams) if field.name != "payload_len")
CHANNEL_KEYS = (
    "snr_db", "cfo_hz", "sto_samples", "sfo_ppm", "fading", "k_factor_db", "nakagami_m", "doppler_hz",
)  # fmt: skip
POINT_KEYS = ("payload_len", "sync", "decoding")
GRID_KEYS = ("preset", *PARAMS_KEYS, *CHANNEL_KEYS, *POINT_KEYS)
"""Keys of a grid: a preset, the fields of `LoRaParams`, the plain ones of `ChannelParams`, those of `LinkPoint`."""
RESULTS_FILE, TABLE_FILE = "points.jsonl", "results.csv"
_MAX_POINTS = 100_000
_NEEDED = ("snr_db", "payload_len")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Settings of a sweep, and when a point is done: the arguments of `lora_phy.collect` of the same names."""

    points: tuple[LinkPoint, ...]
    max_frames: int
    max_errors: int | None = None
    max_relative_width: float | None = None
    max_relative_error: float = 0.05
    seed: int = 0
    engine: Engine = "waveform"

    def __post_init__(self) -> None:
        """Validate before any work."""
        integer("max_frames", self.max_frames, 1, 10**12)
        integer("seed", self.seed, 0, 2**63)
        if self.max_errors is not None:
            integer("max_errors", self.max_errors, 1, 10**12)
        for name in ("max_relative_width", "max_relative_error"):
            if getattr(self, name) is not None:
                finite(name, getattr(self, name), low=1e-6)
        if self.engine not in get_args(Engine):
            raise ValueError(f"'engine' must be one of {', '.join(get_args(Engine))} (got {self.engine!r})")
        for point in self.points:
            require_valid_point(point, self.engine)


def load_sweep(path: str | os.PathLike[str]) -> Sweep:
    """The sweep of a TOML file.

    Parameters
    ----------
    path
        A file with `max_frames`, and where wanted `max_errors`, `max_relative_width`, `max_relative_error`, `seed` (0)
        and `engine` ("waveform"); then one or more tables ``[[grid]]`` with keys of `GRID_KEYS`. Each value is a single
        one, a list, or a range ``{ start = -12, stop = -6, step = 0.5 }``, whose ends belong to it. `snr_db`,
        `payload_len`, and `sf` or `preset` are needed. ``fading = "none"`` is no fading, ``sync_word = "any"`` any.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not TOML; an unknown key, a bad value, more than 100,000 points: the message names grid, key and value.

    Examples
    --------
    >>> import tempfile
    >>> grid = "sf = [7, 8]\\nsnr_db = {start = -10, stop = -9, step = 0.5}\\npayload_len = 16"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "sweep.toml").write_text("max_frames = 100\\n[[grid]]\\n" + grid)
    ...     [(p.params.sf, p.channel.snr_db) for p in load_sweep(f"{folder}/sweep.toml").points]
    [(7, -10.0), (7, -9.5), (7, -9.0), (8, -10.0), (8, -9.5), (8, -9.0)]
    """
    try:
        told = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} is not TOML: {error}") from error
    grids = told.pop("grid", None)
    if not isinstance(grids, list) or not grids or not all(isinstance(grid, dict) for grid in grids):
        raise ValueError(f"{os.fspath(path)} must have at least one table [[grid]]")
    rules = [field.name for field in fields(Sweep) if field.name != "points"]
    _require_known(told, rules, os.fspath(path))
    if "max_frames" not in told:
        raise ValueError(f"{os.fspath(path)}: 'max_frames' is needed, the most frames of a point")
    points: dict[LinkPoint, None] = {}
    for number, grid in enumerate(grids, 1):
        _add_points(points, grid, f"grid {number}")
    return Sweep(points=tuple(points), **told)


def run_sweep(
    sweep: Sweep,
    folder: str | os.PathLike[str],
    *,
    executor: Executor | None = None,
    progress: bool | Callable[[Progress], None] = False,
) -> list[LinkResult]:
    """Simulate a sweep into a folder; the same call again continues, and gives the same numbers.

    Parameters
    ----------
    sweep
        Of `load_sweep`.
    folder
        Gets ``points.jsonl``, which every finished block is appended to, and at the end ``results.csv``, the table of
        `results_table`. Created where absent.
    executor, progress
        As of `lora_phy.collect`.

    Returns
    -------
    list of LinkResult
        In the order of the file.

    Examples
    --------
    >>> import tempfile
    >>> point = LinkPoint(LoRaParams(sf=7), -6.0, 16, sync="perfect", decoding="hard")
    >>> sweep = Sweep(points=(point,), max_frames=200, engine="bins")
    >>> with tempfile.TemporaryDirectory() as out:
    ...     first = run_sweep(sweep, out)
    ...     run_sweep(sweep, out) == first, sorted(os.listdir(out))
    (True, ['points.jsonl', 'results.csv'])
    """
    if not os.fspath(folder):
        raise ValueError("'folder' must name a folder for the results (got '')")
    results = collect(
        sweep.points,
        max_frames=sweep.max_frames,
        max_errors=sweep.max_errors,
        max_relative_width=sweep.max_relative_width,
        max_relative_error=sweep.max_relative_error,
        seed=sweep.seed,
        engine=sweep.engine,
        save_to=Path(folder, RESULTS_FILE),
        executor=executor,
        progress=progress,
    )
    save(results_table(results), Path(folder, TABLE_FILE))
    return results


def _add_points(points: dict[LinkPoint, None], grid: Mapping[str, Any], where: str) -> None:
    """Every combination of a grid's values; a point that is there already is not simulated twice."""
    _require_known(grid, GRID_KEYS, where)
    missing = [name for name in _NEEDED if name not in grid]
    if missing or ("sf" in grid) + ("preset" in grid) == 0:
        raise ValueError(f"{where}: {', '.join(map(repr, missing)) or repr('sf')} is needed")
    axes = {name: _values(name, value, where) for name, value in grid.items()}
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        try:
            points[_point(chosen)] = None
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error
        if len(points) > _MAX_POINTS:
            raise ValueError(f"{where}: a sweep may have {_MAX_POINTS:,} points, and this one has more")


def _point(chosen: Mapping[str, Any]) -> LinkPoint:
    told = {name: chosen[name] for name in PARAMS_KEYS if name in chosen}
    if told.get("sync_word") == "any":
        told["sync_word"] = None
    params = replace(preset(chosen["preset"]), **told) if "preset" in chosen else LoRaParams(**told)
    channel = {name: chosen[name] for name in CHANNEL_KEYS if name in chosen}
    if channel.get("fading") == "none":
        del channel["fading"]
    return LinkPoint(params, ChannelParams(**channel), **{name: chosen[name] for name in POINT_KEYS if name in chosen})


def _values(name: str, value: Any, where: str) -> list[Any]:
    """The values of a key: itself, the items of a list, or the numbers of a range."""
    if isinstance(value, dict):
        if set(value) != {"start", "stop", "step"}:
            raise ValueError(f"{where}: {name!r} must have start, stop and step as a range (got {value!r})")
        start, stop, step = (finite(f"{name}.{key}", value[key]) for key in ("start", "stop", "step"))
        steps = (stop - start) / step if step else -1.0
        if not -1e-9 <= steps < _MAX_POINTS:
            raise ValueError(
                f"{where}: {name!r} must lead from start to stop in at most {_MAX_POINTS:,} steps (got {value})"
            )
        whole = isinstance(value["start"], int) and isinstance(value["step"], int)
        numbers = [round(start + i * step, 9) for i in range(int(steps + 1e-9) + 1)]
        return [int(number) for number in numbers] if whole else numbers
    values = value if isinstance(value, list) else [value]
    if not values or any(isinstance(item, dict | list) for item in values):
        raise ValueError(f"{where}: {name!r} must be a value, a list of at least one, or a range (got {value!r})")
    return values


def _require_known(told: Mapping[str, Any], known: tuple[str, ...] | list[str], where: str) -> None:
    for name in told:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ValueError(f"{where}: {name!r} is no key; {hint}")
