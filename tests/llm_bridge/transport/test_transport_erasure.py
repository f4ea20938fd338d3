"""Erasure code: any set of full rank gives everything back; less is reported, and nothing false comes out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_bridge.transport.erasure import add_parity, matrix_line, prbs23, recover


def rank(lines: np.ndarray) -> int:
    """Rank over GF(2), by columns of a dense matrix: independent of the decoder's own elimination."""
    matrix = lines.astype(bool).copy()
    found = 0
    for column in range(matrix.shape[1]):
        rows = np.flatnonzero(matrix[found:, column]) + found
        if rows.size == 0:
            continue
        matrix[[found, rows[0]]] = matrix[[rows[0], found]]
        for row in range(len(matrix)):
            if row != found and matrix[row, column]:
                matrix[row] ^= matrix[found]
        found += 1
    return found


def dense(numbers, count):
    matrix = np.zeros((len(numbers), count), bool)
    for row, number in enumerate(numbers):
        matrix[row, list(matrix_line(number + 1, count))] = True
    return matrix


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_determined_comes_back_and_nothing_else(data):
    count = data.draw(st.integers(1, 20))
    length = data.draw(st.integers(1, 12))
    fragments = [data.draw(st.binary(min_size=length, max_size=length)) for _ in range(count)]
    coded = fragments + add_parity(fragments, data.draw(st.integers(0, 2 * count)))
    kept = sorted(data.draw(st.sets(st.integers(0, len(coded) - 1))))
    solved = recover({n: coded[n] for n in kept}, count, length)
    lines = dense(kept, count)
    assert solved.rank == (rank(lines) if kept else 0)
    for number in range(count):
        unit = np.eye(count, dtype=bool)[[number]]
        determined = bool(kept) and rank(np.concatenate([lines, unit])) == solved.rank
        assert (number in solved.fragments) == determined
        if determined:
            assert solved.fragments[number] == fragments[number]
    if solved.rank == count:
        assert list(solved.fragments) == list(range(count))


def test_a_shorter_last_fragment_is_padded():
    fragments = [b"abcd", b"efgh", b"ijkl", b"m"]
    coded = fragments + add_parity(fragments, 8)
    solved = recover({n: coded[n] for n in (0, 1, 4, 5, 6, 7, 8, 9, 10, 11)}, 4, 4)
    assert solved.rank == 4
    assert solved.fragments[3] == b"m\0\0\0"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 26, 100])
def test_lines_are_units_then_pseudo_random_halves(count):
    for n in range(1, count + 1):
        assert matrix_line(n, count) == (n - 1,)
    for n in range(count + 1, 2 * count + 1):
        line = matrix_line(n, count)
        assert len(set(line)) == len(line) == max(1, count // 2)
        assert 0 <= min(line) <= max(line) < count


def test_every_fragment_takes_part_in_parity():
    # chance that a balanced line misses a given column in 60 lines is 2^-60
    columns = np.zeros(26, int)
    for n in range(27, 87):
        columns[list(matrix_line(n, 26))] += 1
    assert columns.min() > 0


def test_the_generator_is_the_recursion_of_its_polynomial():
    # x^23 + x^5 + 1 run as a shift register: 23 steps on, the state is 23 successive output bits of the recursion
    state = 1 + 1001 * 27
    bits = [state >> place & 1 for place in range(23)]
    for _ in range(200):
        bits.append(bits[-23] ^ bits[-18])
        state = prbs23(state)
    assert [state >> place & 1 for place in range(23)] == bits[-23:]


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="'n' and 'count' must be at least 1"):
        matrix_line(0, 4)


def test_nothing_received_is_nothing_known():
    assert recover({}, 5, 8).rank == 0
    assert recover({}, 5, 8).fragments == {}
