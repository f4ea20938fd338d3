"""Which runs of two points may be compared: those of the same training seed and the same channel seed.

    crossed   every training seed on every channel seed      (0, 0) (0, 1) (1, 0) (1, 1)
    nested    each training seed on channel seeds of its own  (0, 0) (0, 1) (1, 2) (1, 3)

Noise depends on the channel seed alone, so that two methods saw the same damage only where they share one. A side
without a seed goes with every value of it: clean texts have no channel, an untrained model no training seed. So a
clean run is paired with each of its training seed's runs over the link, and an untrained model's run with every
trained one on its channel seed; what only one side has is left out. In a full grid, nested or crossed, that leaves out
nothing, and every run of either side weighs the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm_bridge.scoring.intervals import Interval
from llm_bridge.scoring.metrics import compare_cells
from llm_bridge.study.points import Point, Run
from llm_bridge.study.words import count_words

Rows = list[Mapping[str, Any]]


def shared_runs(points: Iterable[Point]) -> list[Run]:
    """Pairs of training and channel seed for which every point has a run; a seed that no point has is None."""
    found: set[Run] = {(None, None)}
    for point in points:
        own = {_own_run(point, run) for run in point.runs.values()}
        found = {both for a in found for b in own if (both := _merge(a, b)) is not None}
    return sorted(found, key=lambda run: tuple(-1 if seed is None else seed for seed in run))


def rows_of_shared_runs(groups: Sequence[tuple[Point, ...]]) -> list[Rows]:
    """Rows to compare, a list for each place in the groups: those of the runs that a whole group shares.

    Each group is one condition (a spreading factor, say) under all that is compared. A run that goes with several of
    the others is repeated for each, so that sums of rows are sums over pairs.
    """
    gathered: list[Rows] = [[] for _ in groups[0]] if groups else []
    for group in groups:
        by_run = [_rows_by_run(point) for point in group]
        for shared in shared_runs(group):
            for rows, known in zip(gathered, by_run, strict=True):
                rows += next(own for run, own in known.items() if _merge(run, shared) is not None)
    return gathered


def compare_points(ours: Sequence[Point], theirs: Sequence[Point]) -> Interval | None:
    """F1 of some points minus that of others, pair by pair and run by run; None where nothing can be compared."""
    rows = rows_of_shared_runs(list(zip(ours, theirs, strict=True)))
    if not rows or not all(rows):
        return None
    try:
        return compare_cells(*rows)
    except ValueError:  # other programs
        return None


def own_channels(point: Point) -> bool:
    """Whether each of several training seeds has channel seeds that no other one has."""
    by_train = _channels_by_train(point.runs.values())
    return len(by_train) > 1 and sum(map(len, by_train.values())) == len(point.channel_seeds) > 1


def seed_words(*points: Point) -> str:
    """Seeds behind a comparison of points, in words: those that all of them have."""
    return spell_runs(shared_runs(points) or min((list(point.runs.values()) for point in points), key=len))


def spell_runs(runs: Iterable[Run]) -> str:
    """Seeds in words.

    Examples
    --------
    >>> spell_runs([(0, 0), (0, 1), (1, 0), (1, 1)])
    'two training seeds, two channel seeds'
    >>> spell_runs([(0, 0), (0, 1), (1, 2), (1, 3)])
    'two training seeds, two channel seeds for each, four in all'
    >>> spell_runs([(None, 0), (None, 1)])
    'two channel seeds'
    """
    runs = list(runs)
    by_train = _channels_by_train(runs)
    train = [count_words(len(by_train), "training seed")] if by_train else []
    channels = {channel for _, channel in runs if channel is not None}
    each = [len(found) for found in by_train.values()]
    if len(each) > 1 and sum(each) == len(channels) > 1:
        if len(set(each)) == 1:
            total = count_words(len(channels), "").split()[0]
            return ", ".join([*train, f"{count_words(each[0], 'channel seed')} for each", f"{total} in all"])
        return ", ".join([*train, f"{count_words(len(channels), 'channel seed')}, each for one of them"])
    return ", ".join([*train, *([count_words(len(channels), "channel seed")] if channels else [])]) or "no seeds"


# --- helpers ----------------------------------------------------------------------------------------------------------


def _own_run(point: Point, run: Run) -> Run:
    """A point's run; without noise a channel seed means nothing."""
    return (run[0], None) if point.noiseless else run


def _rows_by_run(point: Point) -> dict[Run, Rows]:
    found: dict[Run, Rows] = {_own_run(point, run): [] for run in point.runs.values()}
    for row in point.items:
        found[_own_run(point, point.runs[row["cell"]])].append(row)
    return found


def _merge(a: Run, b: Run) -> Run | None:
    """The run that two sides have in common; None where their seeds differ."""
    if any(x is not None and y is not None and x != y for x, y in zip(a, b, strict=True)):
        return None
    train, channel = (y if x is None else x for x, y in zip(a, b, strict=True))
    return train, channel


def _channels_by_train(runs: Iterable[Run]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for train, channel in runs:
        if train is not None and channel is not None:
            found.setdefault(train, set()).add(channel)
    return found
