"""How many prompts a body has."""

import pytest

from penstock.domain.prompts import count_prompts


@pytest.mark.parametrize(
    ("told", "count"),
    [("abc", 1), ([7, 8, 9], 1), (["a", "b"], 2), ([[7, 8], [9], [1, 2]], 3), ([], 1), ([[]], 1), (None, 1), ({}, 1)],
)
def test_a_list_is_several_unless_it_is_one_of_tokens(told, count):
    assert count_prompts(told) == count
