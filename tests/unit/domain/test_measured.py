"""What requests are charged by their engine's clock."""

import random

from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.measured import LEAST, MOST, Measured


@given(st.floats(0.05, 20), st.lists(st.floats(0.01, 2), min_size=1, max_size=30))
def test_a_slower_machine_charges_nobody_more(slowness, costs):
    measured = Measured()
    for cost in costs:
        assert abs(measured.charge(cost, cost * slowness) - cost) < 1e-9 * cost


def test_who_costs_more_than_its_shape_tells_is_charged_more_and_all_together_what_was_predicted():
    measured, draw = Measured(), random.Random(1)
    charged = {0.8: [], 1.2: []}
    for _ in range(1000):
        factor = draw.choice([0.8, 1.2])
        charged[factor].append(measured.charge(0.5, 0.5 * factor * 3))
    low, high = (sum(some) / len(some) for some in charged.values())
    assert 1.4 < high / low < 1.5
    assert abs(sum(sum(some) for some in charged.values()) / 500 - 1) < 0.02


def test_when_a_machine_changes_all_are_charged_as_before_within_seconds():
    measured = Measured()
    for _ in range(50):
        measured.charge(0.5, 0.5)
    charges = [measured.charge(0.5, 1.5) for _ in range(60)]
    assert charges[0] <= MOST * 0.5
    assert abs(charges[-1] / 0.5 - 1) < 0.05


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 100)), max_size=50))
def test_whatever_an_engine_tells_the_charge_is_near_the_prediction(told):
    measured = Measured()
    for predicted, took in told:
        charge = measured.charge(predicted, took)
        assert LEAST * predicted <= charge <= MOST * predicted
        if not took:
            assert charge == predicted
