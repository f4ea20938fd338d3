"""Comparisons of points, pair by pair: which of their runs go together, and the interval of a difference of F1.

    crossed   every training seed on every channel seed      (0, 0) (0, 1) (1, 0) (1, 1)
    nested    each training seed on channel seeds of its own  (0, 0) (0, 1) (1, 2) (1, 3)

Noise depends on the channel seed alone, so that two methods saw the same damage only where they share one. A side
without a seed goes with every value of it: clean texts have no channel, an untrained model no training seed. So a
clean run is paired with each of its training seed's runs over the link, and an untrained model's run with every
trained one on its channel seed; what only one side has is left out. In a full grid, nested or crossed, that leaves out
nothing, and every run of either side weighs the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llm_bridge.arrays import FloatArray
from llm_bridge.report.results import Point, Run
from llm_bridge.scoring.intervals import Interval, beside_seeds
from llm_bridge.scoring.metrics import RATIO_OF, cluster_seed_values, compare_tables, sum_by


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Counts to compare, over the runs that the compared points share.

    Parameters
    ----------
    task
        The task of all points.
    clusters
        Cluster of each program (P,).
    tables
        A table (G, P, K + 2) for each place in the G groups: the K counts of F1, right answers, and items. F1 is the
        mean over groups. Where some training seeds alone lack a group G is 1, and counts are summed over the groups.
    by_seed
        The same for each training seed (T, G, P, K + 2); none where the points share fewer than two.
    """

    task: str
    clusters: npt.NDArray[np.str_]
    tables: tuple[FloatArray, ...]
    by_seed: tuple[FloatArray, ...] = ()

    def difference(self) -> Interval:
        """Interval of F1 of the first minus the second; of four tables, of the difference of two such losses.

        Over programs, and over programs and training seeds where there are several.
        """
        by_cluster = [
            np.stack([sum_by(self.clusters, table[:, :-2]) for table in tables], axis=1) for tables in self.tables
        ]
        over_programs = compare_tables(self.task, *by_cluster)
        if not self.by_seed:
            return over_programs
        parts = [
            np.mean(
                [
                    cluster_seed_values(self.task, self.clusters, tables[:, group, :, :-2])
                    for group in range(tables.shape[1])
                ],
                axis=0,
            )
            for tables in self.by_seed
        ]
        losses = [first - second for first, second in zip(parts[::2], parts[1::2], strict=True)]
        return beside_seeds(over_programs, losses[0] if len(losses) == 1 else losses[0] - losses[1])

    def solved(self) -> list[FloatArray]:
        """Share of each program's items, over runs, that are right, mean over groups, for each table (P,)."""
        return [np.asarray((table[..., -2] / table[..., -1]).mean(axis=0)) for table in self.tables]


def pair_points(groups: Sequence[tuple[Point, ...]], *, by_program: bool = False) -> Paired | None:
    """Counts of groups of points over the runs that they share; None where they share no run, or are of other programs.

    Parameters
    ----------
    groups
        Each group is one condition (a spreading factor, say) under all that is compared, and F1 is the mean over those
        in which runs are shared; over their items together where only some training seeds share runs in all of them.
        A run that goes with several of the others is repeated for each, so that sums of items are sums over pairs.
    by_program
        Resample programs, by the names that they have in every corpus, where a corpus is compared with another one.
    """
    totals: dict[int | None, list[list[Any]]] = {}
    names: npt.NDArray[np.str_] | None = None
    clusters: npt.NDArray[np.str_] | None = None
    for number, group in enumerate(groups):
        tallies = [point.tally for point in group]
        for runs in matched_runs(group):
            seed = next((t for t, _ in runs if t is not None), None)
            own = totals.setdefault(seed, [[None] * len(groups) for _ in group])
            for place, (tally, run) in enumerate(zip(tallies, runs, strict=True)):
                programs = np.char.replace(tally.programs, "-renamed", "") if by_program else tally.programs
                order = np.argsort(programs) if by_program else slice(None)
                if names is None:
                    names = programs[order]
                    clusters = names if by_program else tally.clusters
                counts = tally.counts[tally.runs.index(run)][order]
                present = counts[:, -1] > 0
                if not np.array_equal(programs[order][present], names):
                    return None
                before = own[place][number]
                own[place][number] = counts[present] if before is None else before + counts[present]
    if clusters is None or not len(clusters):
        return None
    held = [[table is not None for table in places[0]] for places in totals.values()]
    whole = all(one == held[0] for one in held)  # a group that no seed has is left out
    by_seed = []
    for seeds in zip(*totals.values(), strict=True):
        found = [np.stack([table for table in tables if table is not None]) for tables in seeds]
        by_seed.append(np.stack([tables if whole else tables.sum(axis=0, keepdims=True) for tables in found]))
    several = len(totals) > 1 and None not in totals
    return Paired(
        task=groups[0][0].task,
        clusters=clusters,
        tables=tuple(table.sum(axis=0) for table in by_seed),
        by_seed=tuple(by_seed) if several and groups[0][0].task in RATIO_OF else (),
    )


def compare_points(ours: Sequence[Point], theirs: Sequence[Point]) -> Interval | None:
    """F1 of some points minus that of others, pair by pair and run by run; None where nothing can be compared."""
    paired = pair_points(list(zip(ours, theirs, strict=True)))
    return None if paired is None else paired.difference()


def program_differences(paired: Paired) -> FloatArray:
    """Each cluster's own difference in units of F1, averaged over its runs: their mean over clusters is that of F1.

    Two tables: first minus second; four: the difference of two such differences, D for (clean, link, clean, link).
    """
    shares = paired.solved()
    own = shares[0] - shares[1] if len(shares) == 2 else shares[0] - shares[1] - shares[2] + shares[3]
    num_programs = len(own)
    scale = 1.0
    if paired.task == "localise":  # F1 = 2 hits / (programs + gold lines)
        gold = (paired.tables[0][..., 2] / paired.tables[0][..., -1]).mean(axis=0)
        scale = 2 * num_programs / (num_programs + round(float(gold.sum())))
    clusters: dict[str, float] = {}  # in the order of their first program
    for name, value in zip(paired.clusters.tolist(), own.tolist(), strict=True):
        clusters[name] = clusters.get(name, 0.0) + value
    return scale * np.array(list(clusters.values())) * len(clusters) / num_programs


def shared_runs(points: Iterable[Point]) -> list[Run]:
    """Pairs of training and channel seed for which every point has a run; a seed that no point has is None."""
    found: set[Run] = {(None, None)}
    for point in points:
        found = {both for a in found for b in point.own_runs if (both := _merge(a, b)) is not None}
    return sorted(found, key=lambda run: tuple(-1 if seed is None else seed for seed in run))


def matched_runs(group: Sequence[Point]) -> list[tuple[Run, ...]]:
    """For each run that a group shares, the run of each of its points that goes with it."""
    return [
        tuple(next(run for run in point.own_runs if _merge(run, shared) is not None) for point in group)
        for shared in shared_runs(group)
    ]


def own_channels(point: Point) -> bool:
    """Whether each of several training seeds has channel seeds that no other one has."""
    by_train = channels_by_train(point.runs.values())
    return len(by_train) > 1 and sum(map(len, by_train.values())) == len(point.channel_seeds) > 1


def channels_by_train(runs: Iterable[Run]) -> dict[int, set[int]]:
    """Channel seeds of each training seed."""
    found: dict[int, set[int]] = {}
    for train, channel in runs:
        if train is not None and channel is not None:
            found.setdefault(train, set()).add(channel)
    return found


def _merge(a: Run, b: Run) -> Run | None:
    """The run that two sides have in common; None where their seeds differ."""
    (train, channel), (other_train, other_channel) = a, b
    if train is None:
        train = other_train
    if channel is None:
        channel = other_channel
    return (train, channel) if other_train in (None, train) and other_channel in (None, channel) else None
