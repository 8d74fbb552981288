import itertools
import statistics

import pytest

from penstock.domain.errors import InvalidParameter
from penstock.load.arrivals import Closed, Gaps, Replay, constant, poisson


def gaps(arrivals, count=20_000):
    times = list(itertools.islice(arrivals.times(), count))
    return [later - earlier for earlier, later in itertools.pairwise(times)]


@pytest.mark.parametrize(("arrivals", "cv"), [(constant(5), 0), (poisson(5, 1), 1), (Gaps(5, 4, 2), 4)])
def test_gaps_have_the_rate_and_the_variation_asked_for(arrivals, cv):
    found = gaps(arrivals)
    assert 1 / statistics.mean(found) == pytest.approx(5, rel=0.15)
    assert statistics.stdev(found) * 5 == pytest.approx(cv, rel=0.15, abs=1e-9)


def test_the_same_seed_gives_the_same_times():
    assert gaps(poisson(3, 7), 50) == gaps(poisson(3, 7), 50)
    assert gaps(poisson(3, 7), 50) != gaps(poisson(3, 8), 50)


def test_a_trace_is_replayed_at_its_speed():
    assert list(Replay((0, 1, 4), speed=2).times()) == [0, 0.5, 2]


@pytest.mark.parametrize(
    "make", [lambda: Closed(0), lambda: Gaps(0), lambda: Gaps(1, -1), lambda: Replay((2, 1)), lambda: Replay((), 0)]
)
def test_senseless_arrivals_are_refused(make):
    with pytest.raises(InvalidParameter):
        make()
