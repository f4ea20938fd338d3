"""Prefix trees of token sequences: texts that begin alike are read once as far as they are alike.

    A B C        A ─ B ─ C        flattened      token      A  B  C  D  E
    A B D   ─►       └── D                       depth      0  1  2  2  1      (the position in the text)
    A E          └── E                           end        5  4  3  4  5      (one past its subtree)

Nodes stand in the order of the sorted sequences, so that a subtree is a contiguous range, and node j is an ancestor of
node i (or i itself) exactly where ``j <= i < end[j]``. A causal model whose tokens attend to their ancestors alone,
at the position ``depth``, sees along each path what it would see in that text. Received texts of one program are near
copies of each other: over ten seeds of the channel they hold two to three times as many tokens as their tree.

Cai et al., "Medusa", arXiv 2401.10774, and Miao et al., "SpecInfer", arXiv 2305.09781, read trees of candidates so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PrefixTree:
    """Some sequences as one flattened tree (or several, side by side).

    Parameters
    ----------
    members
        Sequences that the tree holds: indices into what `prefix_trees` was given, one for each of `paths`.
    tokens, parents, depths, ends
        Arrays ``(nodes,)``, one entry a node: its token, the node before it (−1 for a first token), how many tokens
        stand before it, and one past the last node of its subtree.
    paths
        Nodes of each member's tokens, in order.
    """

    members: tuple[int, ...]
    tokens: IntArray
    parents: IntArray
    depths: IntArray
    ends: IntArray
    paths: tuple[IntArray, ...]

    def attention(self) -> npt.NDArray[np.bool_]:
        """Whether node i attends to node j, ``(nodes, nodes)``."""
        node = np.arange(len(self.tokens))
        return (node[None, :] <= node[:, None]) & (node[:, None] < self.ends[None, :])


def prefix_trees(sequences: Sequence[Sequence[int]], *, max_nodes: int) -> list[PrefixTree]:
    """Trees of at most `max_nodes` nodes (or of one sequence) that hold every sequence once.

    Parameters
    ----------
    sequences
        Token ids; an empty sequence has an empty path.
    max_nodes
        Bounds the memory and the part of the attention that is masked; not the result, beyond rounding.

    Examples
    --------
    >>> tree, = prefix_trees([[7, 8, 9], [7, 5], [7, 8, 9]], max_nodes=10)
    >>> tree.tokens.tolist(), tree.depths.tolist(), tree.members
    ([7, 5, 8, 9], [0, 1, 1, 2], (1, 0, 2))
    >>> [path.tolist() for path in tree.paths]
    [[0, 1], [0, 2, 3], [0, 2, 3]]
    """
    trees: list[PrefixTree] = []
    members: list[int] = []
    tokens: list[int] = []
    parents: list[int] = []
    paths: list[list[int]] = []
    for index in sorted(range(len(sequences)), key=lambda index: (tuple(sequences[index]), index)):
        sequence = sequences[index]
        shared = _common_prefix(sequence, sequences[members[-1]]) if members else 0
        if members and len(tokens) + len(sequence) - shared > max_nodes:
            trees.append(_tree(members, tokens, parents, paths))
            members, tokens, parents, paths, shared = [], [], [], [], 0
        path = paths[-1][:shared] if paths else []
        for token in sequence[shared:]:
            parents.append(path[-1] if path else -1)
            path.append(len(tokens))
            tokens.append(token)
        members.append(index)
        paths.append(path)
    if members:
        trees.append(_tree(members, tokens, parents, paths))
    return trees


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    length = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        length += 1
    return length


def _tree(members: list[int], tokens: list[int], parents: list[int], paths: list[list[int]]) -> PrefixTree:
    depths, ends = [0] * len(tokens), list(range(1, len(tokens) + 1))
    for node, parent in enumerate(parents):
        if parent >= 0:
            depths[node] = depths[parent] + 1
    for node in range(len(tokens) - 1, -1, -1):
        if parents[node] >= 0:
            ends[parents[node]] = max(ends[parents[node]], ends[node])
    return PrefixTree(
        members=tuple(members),
        tokens=np.array(tokens, np.int64),
        parents=np.array(parents, np.int64),
        depths=np.array(depths, np.int64),
        ends=np.array(ends, np.int64),
        paths=tuple(np.array(path, np.int64) for path in paths),
    )
