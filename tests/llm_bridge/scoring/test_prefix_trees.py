"""Prefix trees against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_bridge.scoring.prefix_trees import prefix_trees

SEQUENCES = st.lists(st.lists(st.integers(0, 2), max_size=8), max_size=12)


@given(SEQUENCES, st.integers(1, 40))
def test_every_sequence_is_a_path_from_a_first_token(sequences, max_nodes):
    trees = prefix_trees(sequences, max_nodes=max_nodes)
    assert sorted(index for tree in trees for index in tree.members) == list(range(len(sequences)))
    for tree in trees:
        for index, path in zip(tree.members, tree.paths, strict=True):
            assert tree.tokens[path].tolist() == sequences[index]
            assert tree.depths[path].tolist() == list(range(len(path)))
            assert tree.parents[path].tolist() == ([-1, *path.tolist()[:-1]] if len(path) else [])


@given(SEQUENCES)
def test_a_tree_has_a_node_for_each_distinct_prefix_and_no_more(sequences):
    prefixes = {tuple(s[: n + 1]) for s in sequences for n in range(len(s))}
    assert sum(len(tree.tokens) for tree in prefix_trees(sequences, max_nodes=1000)) == len(prefixes)


@given(SEQUENCES)
def test_a_node_attends_to_its_ancestors_and_itself(sequences):
    for tree in prefix_trees(sequences, max_nodes=1000):
        expected = np.zeros((len(tree.tokens), len(tree.tokens)), bool)
        for node in range(len(tree.tokens)):
            above = node
            while above >= 0:
                expected[node, above] = True
                above = int(tree.parents[above])
        assert np.array_equal(tree.attention(), expected)


@pytest.mark.parametrize("max_nodes", [1, 5, 6, 12])
def test_trees_keep_the_bound_unless_one_sequence_breaks_it(max_nodes):
    sequences = [[1, 2, 3, n, n] for n in range(6)]
    for tree in prefix_trees(sequences, max_nodes=max_nodes):
        assert len(tree.tokens) <= max_nodes or len(tree.members) == 1
