"""Scores of one cell from its item rows: F1 and its companions, each with direction, n, interval and baseline.

With tp, fp, fn, tn counted over items (positive = the *transmitted* text is buggy),

    F1 = 2 tp / (2 tp + fp + fn),      localise: F1 = 2 hits / (P predicted + gold lines),      paired: F1 = accuracy.

Intention to treat: an item that did not arrive stays in the count. It is a miss in *localise* and *paired*, and the
decision "not buggy" in *detect*, so that a dead link scores F1 0, macro-F1 1/3 and MCC 0. Scores over delivered items
alone are always named so (`f1_delivered`).

An item row is a mapping with the columns of ``items.jsonl`` and these fields more:

=============== =======================================================================================================
`group`         cluster of the bootstrap: the program, or the module that a mutant was made from (default: `program`)
`num_lines`     lines of the transmitted text (*localise*)
`num_gold`      how many of them are gold (*localise*)
`credit`        share of the transmitted lines behind the predicted one that are gold (*localise*; default: `correct`)
`rank`          rank of the first gold line, 1-based; null where unknown (*localise*, optional)
`longer`        this version is the longer of its pair, null at ties; in a row of version "pair" it tells whether the
                *correct* version is the longer one, which is when the length rule is right (*paired*)
`pair_fragments`, `pair_fragments_unequal`
                fragments that both versions have, and those that one alone lost (*paired*, optional)
`correct_shared` right over what arrived in both (*paired*, optional; null where the pair was not read so)
`num_candidates`, `num_plausible`, `copy_plausible`
                generated candidates, how many pass all tests, whether the unchanged input does (*repair*, optional)
`truncated`     the model was not shown the whole text: it was longer than its limit of tokens (optional)
`edit_token_f1` of the greedy candidate's edit against the gold edit (*repair*, optional)
=============== =======================================================================================================

The scores themselves are in `llm_bridge.scoring.scores`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from llm_bridge.annotations import TASKS
from llm_bridge.arrays import FloatArray

from .intervals import (
    NUM_RESAMPLES,
    Interval,
    Statistic,
    cluster_bootstrap,
    paired_difference,
    quantile_interval,
    resample_weights,
)
from .scores import (
    auroc,
    balanced_accuracy,
    f1_score,
    localise_f1,
    macro_f1,
    mcc,
    plausible_at_k,
    ratio,
    wins_matrix,
)

ItemRow = Mapping[str, Any]
Columns = Mapping[str, Any] | Any
"""Arrays (n,) by name: a dictionary, or a pandas frame."""

SCORE_COLUMNS = (
    "n",
    "delivered",
    "intact",
    "f1",
    "f1_low",
    "f1_high",
    "f1_delivered",
    "baseline",
    "macro_f1",
    "mcc",
    "f1_all_or_nothing",
    "damaged",
    "f1_damaged",
    "f1_damaged_low",
    "f1_damaged_high",
    "fates_unequal",
    "f1_shared",
)
"""The columns of ``results.csv`` that `score_cell` fills."""


PLAUSIBLE_AT = (1, 5, 10)
"""The k of plausible@k."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number of a cell: its `value` with ``[low, high]``, the `n` items behind it, and which way is better."""

    name: str
    value: float
    low: float
    high: float
    n: int
    higher_is_better: bool
    method: str


# --- a cell's scores --------------------------------------------------------------------------------------------------


def score_cell(item_rows: Iterable[ItemRow], *, num_resamples: int = NUM_RESAMPLES) -> dict[str, float | int | None]:
    """The `SCORE_COLUMNS` of one cell and one task; None where undefined.

    Parameters
    ----------
    item_rows
        Rows of one task (an empty iterable gives n = 0 and None for all scores).

    Raises
    ------
    ValueError
        For rows of several tasks, or of an unknown one, and for a row that lacks a field.

    Examples
    --------
    >>> row = {"cell": "c", "task": "paired", "version": "pair", "delivered": True, "intact": True, "longer": True}
    >>> rows = [{**row, "program": f"p{i}", "decision": "buggy" if i < 30 else "correct"} for i in range(42)]
    >>> scores = score_cell(rows)
    >>> scores["n"], round(scores["f1"], 3), round(scores["f1_low"], 2), round(scores["f1_high"], 2), scores["baseline"]
    (42, 0.714, 0.57, 0.83, 1.0)
    """
    rows = list(item_rows)
    if not rows:
        return dict.fromkeys(SCORE_COLUMNS) | {"n": 0, "delivered": 0, "intact": 0}
    task = _task(rows)
    return score_columns(task, _columns(rows, task), num_resamples=num_resamples)


def score_columns(
    task: str,
    columns: Columns,
    *,
    num_resamples: int = NUM_RESAMPLES,
) -> dict[str, float | int | None]:
    """`score_cell` of items in columns.

    Parameters
    ----------
    task
        One of `TASKS`.
    columns
        Arrays (n,) by name (a dictionary, or a pandas frame): `cluster` (text), `delivered`, `intact`, and

        - *localise*: `correct`, `num_gold`, `num_lines`; `credit` where merged lines share theirs
        - *paired*: `says_buggy`, `length_rule` (how right "the longer text is correct" is: 1, 0, or 1/2);
          `pair_fragments`, `pair_fragments_unequal`, `correct_shared` where they are known
        - *detect*: `says_buggy`, `is_buggy`
        - *repair*: `copy_plausible`
    """
    delivered = np.asarray(columns["delivered"], dtype=bool)
    result: dict[str, float | int | None] = dict.fromkeys(SCORE_COLUMNS)
    result["n"] = len(delivered)
    result["delivered"] = int(delivered.sum())
    result["intact"] = int(np.asarray(columns["intact"], dtype=bool).sum())
    result["baseline"] = _baseline(task, columns)
    if task == "repair":
        return result
    statistic, proportions = F1_OF[task]
    counts = f1_counts(task, columns)
    by_cluster = sum_by(np.asarray(columns["cluster"]), counts)
    f1 = cluster_bootstrap(by_cluster, statistic, proportions=proportions, num_resamples=num_resamples)
    result |= {"f1": f1.value, "f1_low": f1.low, "f1_high": f1.high}
    result["f1_delivered"] = _defined(statistic(counts[delivered].sum(axis=0))) if delivered.any() else None
    if task == "detect":
        sums = counts.sum(axis=0)
        result["macro_f1"], result["mcc"] = float(macro_f1(sums)), float(mcc(sums))
    if task == "localise" and "credit" in columns:
        hits = delivered & np.asarray(columns["correct"], dtype=bool)
        whole = np.stack([hits, ~hits, counts[:, 2]], axis=1) * 1.0
        result["f1_all_or_nothing"] = _defined(statistic(whole.sum(axis=0)))
    if task == "paired":
        boot = partial(cluster_bootstrap, num_resamples=num_resamples)
        result |= _damaged_pairs(columns, counts, delivered, boot)
    return result


def _damaged_pairs(
    columns: Columns, counts: FloatArray, delivered: npt.NDArray[np.bool_], boot: Callable[..., Interval]
) -> dict[str, float | int | None]:
    """Accuracy on pairs that arrived damaged, and over shared bytes; the share of unequal fates."""
    damaged = delivered & ~np.asarray(columns["intact"], dtype=bool)
    found: dict[str, float | int | None] = {"damaged": int(damaged.sum())}
    if damaged.any():
        share = boot(sum_by(np.asarray(columns["cluster"])[damaged], counts[damaged]), _share)
        found |= {"f1_damaged": share.value, "f1_damaged_low": share.low, "f1_damaged_high": share.high}
    if "pair_fragments" in columns:
        sent, unequal = (float(np.nansum(columns[name])) for name in ("pair_fragments", "pair_fragments_unequal"))
        found["fates_unequal"] = unequal / sent if sent > 0 else None
    if "correct_shared" in columns:
        right = np.asarray(columns["correct_shared"], dtype=np.float64)  # NaN where a pair was not read so
        found["f1_shared"] = _defined(float(np.mean(np.where(delivered, right, 0.0))))
    return found


def f1_counts(task: str, columns: Columns) -> FloatArray:
    """Counts (n, K) of each item that F1 of a task is a function of (`F1_OF`); `columns` as in `score_columns`.

    *localise*: credit, what is left of 1, gold lines. *paired*: right, wrong. *detect*: tp, fn, fp, tn.
    """
    delivered = np.asarray(columns["delivered"], dtype=bool)
    if task == "localise":
        hit = delivered * np.asarray(columns["credit" if "credit" in columns else "correct"], dtype=np.float64)
        parts = [hit, 1 - hit, np.asarray(columns["num_gold"])]
    elif task == "paired":
        right = delivered & np.asarray(columns["says_buggy"], dtype=bool)  # ties are wrong
        parts = [right, ~right]
    else:
        says, buggy = delivered & np.asarray(columns["says_buggy"], dtype=bool), np.asarray(columns["is_buggy"], bool)
        parts = [buggy & says, buggy & ~says, ~buggy & says, ~buggy & ~says]
    return np.stack([np.asarray(part, dtype=np.float64) for part in parts], axis=1)


def measures(item_rows: Iterable[ItemRow], *, num_resamples: int = NUM_RESAMPLES) -> dict[str, Measure]:
    """All numbers of one cell and one task by name, each with interval, n and direction.

    All tasks: ``coverage`` (share delivered), ``intact``. *localise*: ``f1, top1``, and ``top3, mrr`` where ranks are
    known. *paired*: ``f1``, ``ties``. *detect*: ``f1, macro_f1, mcc, balanced_accuracy, auroc``. *repair*:
    ``plausible@1``, ``plausible@5``, ``plausible@10`` as far as every delivered program has so many candidates, and
    ``edit_token_f1`` of the greedy one where rows carry it. An undelivered program counts 0 in all of them.
    """
    rows = list(item_rows)
    if not rows:
        return {}
    task = _task(rows)
    boot = partial(cluster_bootstrap, num_resamples=num_resamples)
    found: dict[str, Measure] = {}

    def add(name: str, interval: Interval, higher_is_better: bool = True, n: int = len(rows)) -> None:
        found[name] = Measure(
            name=name,
            value=interval.value,
            low=interval.low,
            high=interval.high,
            n=n,
            higher_is_better=higher_is_better,
            method=interval.method,
        )

    def add_share(name: str, flags: Sequence[float], higher_is_better: bool = True) -> None:
        share = np.asarray(flags, dtype=np.float64)
        add(name, boot(_by_cluster(rows, np.stack([share, 1 - share], axis=1)), _share), higher_is_better)

    if task == "localise":
        add("f1", _f1_interval(rows, num_resamples))
        add_share("top1", [_hit(row) for row in rows])
        if all("rank" in row for row in rows):
            add_share("top3", [_reciprocal_rank(row) >= 1 / 3 for row in rows])
            add_share("mrr", [_reciprocal_rank(row) for row in rows])
        sure = [row for row in rows if row.get("probability") is not None]
        if sure:
            wrong_by = np.array([(row["probability"] - (row["delivered"] and row["correct"])) ** 2 for row in sure])
            error = boot(_by_cluster(sure, np.stack([wrong_by, 1 - wrong_by], axis=1)), _share)
            add("brier", error, higher_is_better=False, n=len(sure))
    elif task == "paired":
        add("f1", _f1_interval(rows, num_resamples))
        add_share("ties", [row["decision"] == "tie" for row in rows], higher_is_better=False)
    elif task == "detect":
        table = _by_cluster(rows, f1_counts(task, _columns(rows, task)))
        both = ((0, 1), (3, 2))  # sensitivity and specificity
        add("f1", boot(table, f1_score, proportions=both))
        add("macro_f1", boot(table, macro_f1, proportions=both))
        add("mcc", boot(table, mcc, proportions=both, bounds=(-1.0, 1.0)))
        add("balanced_accuracy", boot(table, balanced_accuracy, proportions=both))
        add("auroc", _auroc_interval(rows, num_resamples))
    else:
        most = min(_candidates(row)[0] for row in rows if row["delivered"]) if any(r["delivered"] for r in rows) else 1
        for k in [k for k in PLAUSIBLE_AT if k <= most]:
            add_share(f"plausible@{k}", [_plausible(row, k) for row in rows])
        if all("edit_token_f1" in row for row in rows):
            add_share("edit_token_f1", [row["edit_token_f1"] if row["delivered"] else 0.0 for row in rows])
    add_share("coverage", [bool(row["delivered"]) for row in rows])
    add_share("intact", [bool(row["intact"]) for row in rows])
    if any(row.get("truncated") for row in rows):
        add_share("truncated", [bool(row.get("truncated")) for row in rows], higher_is_better=False)
    return found


def compare_cells(
    rows_a: Iterable[ItemRow], rows_b: Iterable[ItemRow], *, num_resamples: int = NUM_RESAMPLES
) -> Interval:
    """Interval of ``F1(a) - F1(b)`` of one task, paired by cluster (the same programs, the same noise).

    Raises
    ------
    ValueError
        Where the tasks or the clusters differ.
    """
    first, second = list(rows_a), list(rows_b)
    if not first and not second:
        return Interval(value=math.nan, low=-1.0, high=1.0, num_clusters=0, method="range")
    task = _task(first + second)
    clusters_a, clusters_b = {_cluster(row) for row in first}, {_cluster(row) for row in second}
    if clusters_a != clusters_b:
        odd = sorted(map(str, clusters_a ^ clusters_b))
        raise ValueError(f"'rows_b' must hold the clusters of rows_a (only on one side: {', '.join(odd[:5])})")
    tables = [_by_cluster(rows, f1_counts(task, _columns(rows, task))) for rows in (first, second)]
    return compare_tables(task, *tables, num_resamples=num_resamples)


def compare_tables(task: str, *tables: FloatArray, num_resamples: int = NUM_RESAMPLES) -> Interval:
    """Interval of F1 of the first minus the second, from `f1_counts` summed by cluster, each (C, K) or (C, G, K).

    Of G groups (links, say) F1 is the mean. Four tables, clean and link of two methods: of
    ``[F1(clean a) - F1(link a)] - [F1(clean b) - F1(link b)]``, which method the link costs more. Row c of every table
    belongs to the same cluster.
    """
    width = tables[0].shape[-1]
    flat = [table.reshape(len(table), -1) for table in tables]
    span = flat[0].shape[1]

    def statistic(sums: FloatArray) -> FloatArray:
        groups = sums.reshape(*sums.shape[:-1], -1, width)
        return np.asarray(F1_OF[task][0](groups).mean(axis=-1))

    if len(tables) == 2:
        return paired_difference(flat[0], flat[1], statistic, num_resamples=num_resamples)

    def loss(sums: FloatArray) -> FloatArray:
        return statistic(sums[..., :span]) - statistic(sums[..., span:])

    a, b = np.concatenate(flat[:2], axis=1), np.concatenate(flat[2:], axis=1)
    return paired_difference(a, b, loss, num_resamples=num_resamples)


def seed_values(task: str, tables: FloatArray) -> FloatArray:
    """Value of each cluster under each training seed (C, T), whose mean over clusters is the seed's F1.

    F1 is a ratio of sums, linear in a cluster's counts to first order: ``F1 + C (above_c - F1 below_c) / below``, with
    the counts above and below the line of the ratio (`RATIO_OF`).

    Parameters
    ----------
    tables : array (T, C, K)
        The counts of `f1_counts`, summed by cluster, for each training seed.

    Examples
    --------
    >>> seed_values("paired", np.array([[[1, 0], [0, 1]], [[1, 0], [1, 0]]])).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    above, below = (np.asarray(tables @ np.array(weights)) for weights in RATIO_OF[task])
    total = below.sum(axis=1, keepdims=True)
    f1 = above.sum(axis=1, keepdims=True) / total
    return np.asarray(f1 + below.shape[1] * (above - f1 * below) / total).T


def cluster_seed_values(task: str, clusters: npt.NDArray[np.str_], counts: FloatArray) -> FloatArray:
    """`seed_values` of counts (T, P, K) of programs, summed over the programs of a cluster."""
    num_seeds, num_programs, width = counts.shape
    flat = sum_by(clusters, counts.transpose(1, 0, 2).reshape(num_programs, -1))
    return seed_values(task, flat.reshape(-1, num_seeds, width).transpose(1, 0, 2))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _task(rows: Sequence[ItemRow]) -> str:
    """The one task of the rows."""
    tasks = {row["task"] for row in rows}
    if len(tasks) != 1 or not tasks <= set(TASKS):
        raise ValueError(f"'item_rows' must be of one task of {', '.join(TASKS)} (got {sorted(map(str, tasks))})")
    return str(tasks.pop())


def _field(row: ItemRow, name: str) -> Any:
    """A field of a row, or an error that names it."""
    if row.get(name) is None:
        raise ValueError(f"'item_rows' must carry {name!r} (missing for program {row.get('program')!r})")
    return row[name]


def _cluster(row: ItemRow) -> Hashable:
    """The unit that a bootstrap resamples."""
    group: Hashable = row.get("group")
    program: Hashable = row["program"]
    return program if group is None else group


def _by_cluster(rows: Sequence[ItemRow], table: FloatArray) -> FloatArray:
    """Sum the rows' counts (n, K) over each cluster: (C, K), clusters in sorted order."""
    return sum_by(np.array([str(_cluster(row)) for row in rows]), table)


def sum_by(names: npt.NDArray[np.str_], table: FloatArray) -> FloatArray:
    """Sum rows (n, K) over equal `names` (n,): (C, K) in the sorted order of names."""
    own = names.tolist()
    place = {name: index for index, name in enumerate(sorted(set(own)))}
    sums = np.zeros((len(place), table.shape[1]))
    np.add.at(sums, [place[name] for name in own], table)
    return sums


def _columns(rows: Sequence[ItemRow], task: str) -> dict[str, npt.NDArray[Any]]:
    """The columns of `score_columns`, read from rows."""
    found: dict[str, list[Any]] = {
        "cluster": [str(_cluster(row)) for row in rows],
        "delivered": [bool(row["delivered"]) for row in rows],
        "intact": [bool(row.get("intact")) for row in rows],
    }
    if task == "localise":
        found["correct"] = [bool(row.get("correct")) for row in rows]
        if any("credit" in row for row in rows):
            found["credit"] = [row.get("credit", found["correct"][i]) for i, row in enumerate(rows)]
        found |= {name: [_field(row, name) for row in rows] for name in ("num_gold", "num_lines")}
    elif task == "paired":
        found["says_buggy"] = [row.get("decision") == "buggy" for row in rows]
        found["length_rule"] = [_length_rule(row) for row in rows]
        if all("pair_fragments" in row for row in rows):
            found |= {name: [row[name] for row in rows] for name in ("pair_fragments", "pair_fragments_unequal")}
        if all("correct_shared" in row for row in rows):
            found["correct_shared"] = [row["correct_shared"] for row in rows]
    elif task == "detect":
        found["says_buggy"] = [row.get("decision") == "buggy" for row in rows]
        found["is_buggy"] = [row["version"] == "buggy" for row in rows]
    else:
        found["copy_plausible"] = [bool(row.get("copy_plausible", False)) for row in rows]
    return {name: np.array(values) for name, values in found.items()}


def _baseline(task: str, columns: Columns) -> float | None:
    """Baseline without a model: the score of the task's trivial rule on these very items.

    *localise*: one random line, mean of gold lines / lines. *paired*: the better of 1/2 and the rule "the longer text
    is correct" (ties count half). *detect*: F1 of the constant answer "buggy", 2/3 on pairs. *repair*: the input,
    unchanged.
    """
    if task == "localise":
        return float(np.mean(np.asarray(columns["num_gold"]) / np.asarray(columns["num_lines"])))
    if task == "paired":
        return max(0.5, float(np.mean(np.asarray(columns["length_rule"], dtype=np.float64))))
    if task == "detect":
        buggy = np.asarray(columns["is_buggy"], dtype=bool)
        return _defined(f1_score(np.array([buggy.sum(), 0.0, (~buggy).sum(), 0.0])))
    return float(np.mean(np.asarray(columns["copy_plausible"], dtype=bool)))


def _hit(row: ItemRow) -> float:
    """Credit of a *localise* row for naming a gold line; 0 or 1 where it tells none."""
    return float(row.get("credit", row["correct"])) if row["delivered"] else 0.0


def _reciprocal_rank(row: ItemRow) -> float:
    """1 / rank of the first gold line; 0 where none is ranked."""
    return 1 / row["rank"] if row["delivered"] and row["rank"] is not None else 0.0


def _length_rule(row: ItemRow) -> float:
    """Score of the rule "the longer text is correct" on a pair: 1, 0, or 1/2 at equal length."""
    if "longer" not in row:
        raise ValueError(f"'item_rows' must carry 'longer' (missing for program {row.get('program')!r})")
    if row["longer"] is None:
        return 0.5
    return float(bool(row["longer"]) != (row["version"] == "buggy"))


def _candidates(row: ItemRow) -> tuple[int, int]:
    """Numbers of candidates and of plausible ones in a *repair* row."""
    if row.get("num_candidates") is None:
        return 1, int(bool(row["delivered"]) and bool(row["correct"]))
    return int(row["num_candidates"]), int(row["num_plausible"]) if row["delivered"] else 0


def _plausible(row: ItemRow, k: int) -> float:
    """plausible@k of one row, 0 where nothing arrived."""
    return plausible_at_k(*_candidates(row), k) if row["delivered"] else 0.0


def _share(sums: FloatArray) -> FloatArray:
    """First column's share of both."""
    return ratio(sums[..., 0], sums[..., 0] + sums[..., 1])


def _defined(value: FloatArray | float) -> float | None:
    """The number, or None for a NaN."""
    return float(value) if math.isfinite(value) else None


F1_OF: dict[str, tuple[Statistic, tuple[tuple[int, int], ...]]] = {
    "localise": (localise_f1, ((0, 1),)),
    "paired": (_share, ((0, 1),)),
    "detect": (f1_score, ((0, 1), (3, 2))),
}
"""Task -> F1 of summed counts (`f1_counts`), and the pairs of columns that are the proportions behind it."""
RATIO_OF = {
    "localise": ((2.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "paired": ((1.0, 0.0), (1.0, 1.0)),
    "detect": ((2.0, 0.0, 0.0, 0.0), (2.0, 1.0, 1.0, 0.0)),
}
"""Task -> weights of the counts above and below the line of F1."""


def _f1_interval(rows: Sequence[ItemRow], num_resamples: int) -> Interval:
    """F1 of the rows' task with its interval."""
    task = _task(rows)
    statistic, proportions = F1_OF[task]
    counts = _by_cluster(rows, f1_counts(task, _columns(rows, task)))
    return cluster_bootstrap(counts, statistic, proportions=proportions, num_resamples=num_resamples)


def _auroc_interval(rows: Sequence[ItemRow], num_resamples: int) -> Interval:
    """AUROC with a cluster bootstrap: with weights w it is the quadratic form ``w' W w / w' N w`` of clusters."""
    scores = np.array(
        [row["score"] if row["delivered"] and row["score"] is not None else -math.inf for row in rows], dtype=np.float64
    )
    positive = np.array([row["version"] == "buggy" for row in rows])
    value = auroc(scores, positive)
    _, index = np.unique([str(_cluster(row)) for row in rows], return_inverse=True)
    num_clusters = int(index.max()) + 1
    pair_of = num_clusters * index[positive][:, None] + index[~positive]
    size = num_clusters * num_clusters
    shape = (num_clusters, num_clusters)
    won = np.bincount(pair_of.ravel(), wins_matrix(scores[positive], scores[~positive]).ravel(), minlength=size)
    compared = np.bincount(pair_of.ravel(), minlength=size).astype(np.float64)
    won, compared = won.reshape(shape), compared.reshape(shape)

    def weighted(weights: FloatArray) -> FloatArray:
        return ratio(np.einsum("bc,bc->b", weights @ won, weights), np.einsum("bc,bc->b", weights @ compared, weights))

    replicates = weighted(resample_weights(num_clusters, num_resamples))
    replicates = replicates[np.isfinite(replicates)]
    if math.isnan(value) or len(replicates) == 0:
        return Interval(value=value, low=0.0, high=1.0, num_clusters=num_clusters, method="range")
    if np.ptp(replicates) < 1e-12:
        # all tied, or fully separated: as far off as one proportion that came out alike in every cluster
        table = np.tile([value, 1 - value], (num_clusters, 1))
        box = cluster_bootstrap(table, _share, num_resamples=num_resamples)
        return Interval(value=value, low=box.low, high=box.high, num_clusters=num_clusters, method=box.method)
    low, high = quantile_interval(value, replicates, weighted(1 - np.eye(num_clusters)))
    return Interval(value=value, low=low, high=high, num_clusters=num_clusters, method="bca")
