"""Profiles: the knee, the reference shape and the fitted cost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.profile import CostModel, Point, fit_cost, knee, pin, reference_shape, terms

SHAPES = [(2048, 256), (128, 512), (4000, 100), (256, 128), (1024, 32), (512, 16), (64, 64)]


def curve(*values):
    return [Point(2**k, value, 1.0, 0.1) for k, value in enumerate(values)]


def test_the_knee_is_the_first_multiple_of_four_near_the_best():
    assert knee(curve(2775, 3226, 3616, 4151, 4186)).parallel == 8
    assert knee(curve(100, 99, 98, 97)).parallel == 4
    assert knee(curve(50, 90)).parallel == 2


@given(
    st.floats(0.5, 8.0),
    st.lists(st.floats(-0.02, 0.02), min_size=5, max_size=5),
    st.lists(st.floats(-0.02, 0.02), min_size=5, max_size=5),
)
def test_the_knee_stays_where_it_is_when_measurements_vary(shared, noise, other):
    """Two measurements of the same machine, each point two per cent off at most."""
    parts = {n: (1 + shared / 16) / (1 + shared / n) for n in (4, 8, 16)}
    best = [n for n in parts if parts[n] >= 0.9]
    sure = [n for n in parts if abs(parts[n] - 0.9) > 0.03]
    points = [[4000 / (1 + shared / 2**k) * (1 + one[k]) for k in range(5)] for one in (noise, other)]
    found = [knee(curve(*one)).parallel for one in points]
    if len(sure) == 3:
        assert found == [min(best)] * 2


@pytest.mark.parametrize(
    ("context", "encoder", "shape"),
    [(4096, False, (2048, 256)), (2304, False, (2048, 256)), (900, False, (800, 100)), (8192, True, (512, 0))],
)
def test_short_contexts_are_measured_in_the_same_ratio(context, encoder, shape):
    assert reference_shape(context, encoder=encoder) == shape


@settings(max_examples=25, deadline=None)
@given(
    st.floats(1e-4, 1e-1), st.floats(1e-6, 1e-3), st.floats(1e-10, 1e-7), st.floats(1e-5, 1e-2), st.floats(1e-9, 1e-6)
)
def test_a_cost_that_the_model_can_say_is_found_again(c, a, e, b, d):
    true = CostModel(c, a, e, b, d)
    fitted = fit_cost([(terms(i, o), true.seconds(i, o)) for i, o in SHAPES])
    assert fitted.error < 0.02
    assert all(value >= 0 for value in fitted.coefficients)


def test_pinning_makes_the_reference_request_cost_what_the_throughput_says():
    pinned = pin(CostModel(8.6e-3, 7.45e-5, 1.3e-8, 2.56e-4, 6.0e-7), 2048, 256, 3839)
    assert pinned.seconds(2048, 256) == pytest.approx(2304 / 3839)
    assert pinned.seconds(128, 512) < pinned.seconds(128, 1024)


@pytest.mark.parametrize(("shape", "bought", "more"), [((3000, 500), 3500, True), ((1500, 100), 1600, False)])
def test_what_a_row_takes_of_a_band_is_a_number(shape, bought, more):
    """A row of 3,000 in and 500 out takes more than a second of 3,500 tokens/s, one of 1,500 and 100 less of 1,600."""
    cost = pin(CostModel(8.6e-3, 7.45e-5, 1.3e-8, 2.56e-4, 6.0e-7), 2048, 256, 3839)
    assert (3839 * cost.seconds(*shape) / bought > 1) is more
