"""The reckoning of the guarantee's benchmark, on schedules whose result is known."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarantee.windows import jain, jain_excess, least_attained, least_of_alone, least_of_demand, served_of_offered
from guarantee.work import Scale, curve
from penstock.domain.profile import CostModel, pin
from penstock.load.row import Outcome, Row

COST = pin(CostModel(0.01, 1e-4, 0, 1e-3, 1e-6), 2048, 256, 2304)
SCALE = Scale(COST, 2304)


def served(sent, ended, first=None, i=2048, o=256):
    first = sent + (ended - sent) / 2 if first is None else first
    return Row(0, 0, sent, sent, first, ended, i, o, 200, Outcome.DONE, asked_in=i, asked_out=o)


def steadily(rate, seconds, took=2.0):
    """`rate` reference requests a second, each done in `took` seconds."""
    return [served(n / rate, n / rate + took) for n in range(int(rate * seconds))]


def test_a_reference_request_is_its_tokens():
    assert SCALE.tokens(2048, 256) == pytest.approx(2304)


@given(
    st.lists(
        st.tuples(*[st.floats(0, 30)] * 3, st.integers(1, 4000), st.integers(1, 500)),
        max_size=15,
    ),
    st.sampled_from([0, 8]),
)
def test_all_work_is_done_once_and_never_before_it_is_offered(shapes, stretch):
    rows = [served(sent, sent + a + b, sent + a, i, o) for sent, a, b, i, o in shapes]
    found = curve(rows, replace(SCALE, stretch=stretch), 0, 100)
    total = sum(SCALE.tokens(row.tokens_in, row.tokens_out) for row in rows)
    assert found.done[-1] == pytest.approx(total)
    assert found.offered[-1] == pytest.approx(total)
    assert (found.backlog >= -1e-6).all()
    assert all(later >= earlier for earlier, later in zip(found.done, found.done[1:], strict=False))


def test_a_prompt_that_waited_was_not_worked_on_meanwhile():
    row = served(0, 11, 10)
    waiting = curve([row], replace(SCALE, stretch=2), 0, 11)
    assert waiting.done[50] == 0
    assert curve([row], SCALE, 0, 11).done[50] > 0


def test_an_even_service_attains_what_it_does():
    found = curve(steadily(1.3, 100), SCALE, 10, 90)
    for window in (10, 60):
        assert least_attained(found, 2304, window) == pytest.approx(1.3, rel=0.1)
        assert least_of_demand(found, 2304, window, lag_s=2) > 1


def test_ten_seconds_without_service_are_seen_in_both_windows():
    rows = [row for row in steadily(1.3, 100) if not 40 < row.ended_at < 54]
    found = curve(rows, SCALE, 10, 90)
    assert least_attained(found, 2304, 10) == pytest.approx(0, abs=0.05)
    assert least_attained(found, 2304, 60) == pytest.approx(1.3 * 47 / 60, rel=0.05)


def test_a_tenant_who_asks_for_less_than_it_bought_is_not_held_short():
    found = curve(steadily(0.5, 100), SCALE, 10, 90)
    assert least_attained(found, 2304, 60) == pytest.approx(0.5, rel=0.1)
    assert least_of_demand(found, 2304, 60, lag_s=2) >= 0.97
    assert served_of_offered(found) == pytest.approx(1, abs=0.03)


def test_a_burst_that_waits_longer_than_its_promise_is_seen():
    burst = [served(20, 20 + n + 1) for n in range(30)]  # served one a second: exactly the promise
    assert least_of_demand(curve(burst, replace(SCALE, stretch=1), 0, 80), 2304, 10, lag_s=1) >= 0.85
    late = [served(20, 20 + 2 * (n + 1)) for n in range(30)]
    assert least_of_demand(curve(late, replace(SCALE, stretch=1), 0, 80), 2304, 10, lag_s=1) == pytest.approx(
        0.5, abs=0.1
    )


def test_without_demand_there_is_no_least():
    assert math.isnan(least_of_demand(curve([], SCALE, 0, 80), 2304, 10))


def test_refused_work_is_offered_and_not_done():
    refused = Row(0, 0, 50, 50, None, 50, 0, 0, 429, Outcome.REFUSED, asked_in=2048, asked_out=256)
    again = replace(refused, attempt=1, sent_at=51, ended_at=51)
    assert SCALE.offered(refused) == pytest.approx(2304)
    assert (SCALE.offered(again), SCALE.done(refused)) == (0, 0)
    found = curve([*steadily(1, 100), refused, again], SCALE, 10, 90)
    assert found.backlog.max() < 4 * 2304
    assert served_of_offered(found, refused=80 * 2304) == pytest.approx(0.5, abs=0.03)


def test_a_neighbour_is_measured_against_the_device_to_itself():
    alone = curve(steadily(0.8, 100), SCALE, 10, 90)
    beside = curve(steadily(0.4, 100), SCALE, 10, 90)
    assert least_of_alone(beside, alone, 2304, 10) == pytest.approx(0.5, rel=0.15)
    assert least_of_alone(alone, alone, 1152, 10) >= 1


def test_jains_index():
    assert jain([1, 1, 1, 1]) == 1
    assert jain([1, 0, 0, 0]) == 0.25
    assert math.isnan(jain([0, 0]))
    one, two = (curve(steadily(rate, 100), SCALE, 10, 90) for rate in (1.5, 0.75))
    assert jain_excess([one, two], [2304, 1152]) == pytest.approx(1, abs=0.01)
    assert jain_excess([one, two], [2304, 2304]) == pytest.approx(0.5, abs=0.01)
