"""Traffic: routes are completed or refused, and requests divided as they say."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.errors import InvalidParameter
from penstock.domain.traffic import Route, choose, complete


def test_one_entity_needs_no_routes():
    assert complete((), ["a"]) == (Route("a", 100),)


@pytest.mark.parametrize(
    ("routes", "rule"),
    [
        ([], "traffic_config.routes is required"),
        ([Route("a", 100), Route("c", 0)], "'c', which is not a served entity"),
        ([Route("a", 60), Route("b", 60)], "sum to 100, but sums to 120"),
        ([Route("a", -1), Route("b", 101)], "must be 0 to 100, but is -1"),
        ([Route("a", 50), Route("a", 50)], "names a served entity twice"),
    ],
)
def test_what_cannot_be_routed_is_refused_by_name(routes, rule):
    with pytest.raises(InvalidParameter, match=rule):
        complete(routes, ["a", "b"])


@given(st.integers(0, 100))
def test_requests_are_divided_as_the_percentages_say(first):
    routes = [Route("a", first), Route("b", 100 - first)]
    counted = Counter(choose(routes, (point + 0.5) / 1000) for point in range(1000))
    assert counted["a"] == first * 10
    assert counted["b"] == 1000 - first * 10
