"""Near-duplicates among programs: the same text but for its names, or nearly so.

A text becomes its *shape*: its tokens with every name replaced by the order of its first occurrence and every string
by a mark, so that renaming changes nothing. Two texts are near-duplicates where the sets of their shapes' 5-grams have
a Jaccard similarity of at least 0.7. Candidates are found by banded MinHash, then compared exactly (Broder 1997;
Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", §3.4).
"""

from __future__ import annotations

import keyword
import re
import zlib
from collections.abc import Sequence

import numpy as np

THRESHOLD = 0.7
_GRAM = 5
_BANDS, _ROWS = 24, 3  # found with probability 1 - (1 - J**3)**24: 0.9999 at J = 0.7
_TOKEN = re.compile(r"[A-Za-z_]\w*|\d[\w.]*|[rbfuRBFU]{0,2}(?:'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")|[^\s\w]")


def shape(text: str) -> tuple[str, ...]:
    """Tokens of a program with names and strings taken out.

    Examples
    --------
    >>> shape("if size > 1: size = f(size)")
    ('if', '#0', '>', '1', ':', '#0', '=', '#1', '(', '#0', ')')
    """
    numbers: dict[str, str] = {}
    tokens = []
    for match in _TOKEN.finditer(text):
        token = match.group()
        if (token[0].isalpha() or token[0] == "_") and token[-1] not in "'\"":
            if not keyword.iskeyword(token):
                token = numbers.setdefault(token, f"#{len(numbers)}")
        elif token[-1] in "'\"" and len(token) > 1:
            token = "'"
        tokens.append(token)
    return tuple(tokens)


def near_duplicates(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Index pairs ``(i, j)`` with ``i < j`` of the texts that are near-duplicates of each other, in order.

    Examples
    --------
    >>> long = "def f(a, b):\\n    for x in a:\\n        b.append(x + 1)\\n    return b\\n"
    >>> near_duplicates([long, "pass", long.replace("a", "c")])
    [(0, 2)]
    """
    grams = [_grams(text) for text in texts]
    rng = np.random.default_rng(20171022)
    multipliers = rng.integers(1, 2**31, size=_BANDS * _ROWS, dtype=np.uint64) | np.uint64(1)
    offsets = rng.integers(0, 2**31, size=_BANDS * _ROWS, dtype=np.uint64)
    buckets: dict[tuple[int, bytes], list[int]] = {}
    found: set[tuple[int, int]] = set()
    for j, own in enumerate(grams):
        values = np.fromiter(own, dtype=np.uint64, count=len(own))
        # 2-universal hashing modulo a Mersenne prime; products stay below 2**63
        mixed = (multipliers[:, None] * values[None, :] + offsets[:, None]) % np.uint64(2**31 - 1)
        minima = mixed.min(axis=1).reshape(_BANDS, _ROWS)
        for band in range(_BANDS):
            bucket = buckets.setdefault((band, minima[band].tobytes()), [])
            for i in bucket:
                if (i, j) not in found and len(own & grams[i]) >= THRESHOLD * len(own | grams[i]):
                    found.add((i, j))
            bucket.append(j)
    return sorted(found)


def distinct(texts: Sequence[str], *, against: Sequence[str] = ()) -> list[int]:
    """Indices of the texts to keep so that no two of them, and none and one of `against`, are near-duplicates.

    The first of several is kept.
    """
    together = [*against, *texts]
    dropped: set[int] = set()
    kept_first = len(against)
    for i, j in near_duplicates(together):
        if j >= kept_first and i not in dropped:
            dropped.add(j)
    return [index for index in range(len(texts)) if index + kept_first not in dropped]


def _grams(text: str) -> frozenset[int]:
    tokens = shape(text)
    count = max(1, len(tokens) - _GRAM + 1)
    return frozenset(zlib.crc32(" ".join(tokens[i : i + _GRAM]).encode()) >> 1 for i in range(count))
