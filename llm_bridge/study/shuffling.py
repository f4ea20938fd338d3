"""Shuffled labels, a control: what a model learns from them it learnt from how the labels are written, or from a leak.

Every program keeps its texts, its number of lines labelled and its share of buggy texts. A coin says whether its two
versions swap their labels, and the labelled lines are drawn anew among the readable ones; fixes are permuted among the
programs. The coin of a program depends on the training seed and its name alone, whatever arrived.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_bridge.scoring.decisions import readable_lines

if TYPE_CHECKING:
    from llm_bridge.training.examples import Example


def shuffled_labels(examples: Sequence[Example], seed: int) -> list[Example]:
    r"""The same texts in the same order with labels that mean nothing.

    Parameters
    ----------
    examples
        What the training set became on its way; versions of a program that did not arrive are not there.
    seed
        The training seed.

    Examples
    --------
    >>> from llm_bridge.training.examples import Example
    >>> texts = {f"mine/p{n}/buggy": "a\nb\nc\n" for n in range(200)}
    >>> rows = [Example(text=text, label_lines=(1,), buggy=True, item_id=name) for name, text in texts.items()]
    >>> still_buggy = [row for row in shuffled_labels(rows, seed=0) if row.buggy]
    >>> 70 < len(still_buggy) < 130, sorted({row.label_lines for row in still_buggy})
    (True, [(0,), (1,), (2,)])
    """
    num_labels: dict[str, int] = {}
    for row in examples:
        num_labels[row.group] = max(num_labels.get(row.group, 0), len(row.label_lines))
    made = []
    for row in examples:
        swapped = random.Random(f"swap {seed} {row.group}").random() < 0.5
        buggy = row.buggy != swapped
        lines: tuple[int, ...] = ()
        if buggy:
            readable = [line for line, ok in enumerate(readable_lines(row.text)) if ok]
            rng = random.Random(f"lines {seed} {row.item_id}")
            lines = tuple(sorted(rng.sample(readable, min(num_labels[row.group], len(readable)))))
        made.append(replace(row, buggy=buggy, label_lines=lines, fix=None))
    fixes = [row.fix for row in examples if row.fix is not None]
    random.Random(f"fixes {seed}").shuffle(fixes)
    rest = iter(fixes)
    return [replace(row, fix=next(rest, None)) if row.buggy else row for row in made]
