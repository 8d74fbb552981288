"""Least squares without negative coefficients."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.least_squares import nonnegative_least_squares


def off(rows, found):
    return sum((sum(x * k for x, k in zip(row, found, strict=True)) - 1) ** 2 for row in rows)


numbers = st.floats(0.1, 10.0)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=3, max_size=8))
def test_nothing_near_it_that_is_allowed_is_better(rows):
    found = nonnegative_least_squares(rows, [1.0] * len(rows))
    assert min(found) >= 0
    for index in range(3):
        for step in (-1e-3, 1e-3):
            other = [max(value + step * (k == index), 0.0) for k, value in enumerate(found)]
            assert off(rows, found) <= off(rows, other) + 1e-9


def test_what_has_an_exact_solution_is_solved():
    true = (0.5, 2.0, 0.25)
    rows = [(1.0, 0.0, 2.0), (0.0, 0.5, 0.0), (1.0, 0.25, 0.0)]
    assert nonnegative_least_squares(rows, [1.0] * len(rows)) == pytest.approx(true)


def test_a_column_of_zeros_and_no_rows_give_zeros():
    assert nonnegative_least_squares([(2.0, 0.0), (2.0, 0.0)], [1.0, 1.0]) == [0.5, 0.0]
    assert nonnegative_least_squares([], []) == []


def test_rows_count_by_their_weights():
    assert nonnegative_least_squares([(1.0,), (2.0,)], [1.0, 0.0]) == [1.0]
