"""What trials say together: points, the fit, what is repeated, and the profile."""

from dataclasses import replace

import pytest

from penstock.domain import sweep
from penstock.domain.effort import whole
from penstock.domain.findings import Circumstances, Findings
from penstock.domain.profile import CostModel, Fingerprint
from penstock.domain.sweep import Result, Shapes, Trial

TRUE = CostModel(c=2e-3, a=9e-5, e=7e-9, b=4e-4, d=5e-8)
PRIOR = CostModel(c=4e-3, a=5e-5, e=2e-9, b=2e-4, d=9e-8)
SHAPE = (2048, 256)
AROUND = Circumstances(Fingerprint("m/1", "e", "int8", "d"), 1.5, 10**9, 7)
SLOW = {1: 3.0, 2: 1.5}


def run(parallel, shape, *, times=1.0, cost=TRUE, seconds=4.0):
    """A machine that takes exactly what the cost model says."""
    count = seconds / (times * cost.seconds(*shape))
    return Result(Trial(parallel, *shape, seconds), whole(*shape, count), seconds, 0.1)


def curve(shape, cost=TRUE, most=16):
    """Small batches take longer."""
    return [run(n, shape, times=SLOW.get(n, 1.0), cost=cost) for n in (1, 2, 4, 8, 16) if n <= most]


def found(*, cost=TRUE, shape=SHAPE, shapes=None):
    made = Findings(shape, PRIOR, 32)
    made.shapes = shapes or Shapes(sweep.GRID, sweep.HELD_OUT)
    made.curve = curve(shape, cost)
    made.others = [run(made.in_flight(one), one, cost=cost) for one in made.shapes.all]
    return made


def test_a_machine_that_follows_the_model_is_found_exactly():
    profile = found().profile(AROUND)
    assert profile.knee == 4
    assert profile.throughput == pytest.approx(2304 / TRUE.seconds(*SHAPE))
    assert profile.cost.coefficients == pytest.approx(TRUE.coefficients)
    assert profile.held_out_worst == pytest.approx(0, abs=1e-9)
    assert (profile.input_tokens, profile.output_tokens) == SHAPE
    assert (profile.startup_s, profile.memory, profile.measured_at) == (1.5, 10**9, 7)
    assert not profile.estimated
    assert not profile.scaled
    assert profile.curve[2].latency_s == pytest.approx(4 * TRUE.seconds(*SHAPE))


def test_points_that_were_counted_too_briefly_say_so():
    made = found()
    assert [point.short for point in made.profile(AROUND).curve] == [False, False, True, True, True]
    made.curve += [run(8, SHAPE, seconds=10.0)]
    assert not made.profile(AROUND).curve[3].short


def test_shortened_requests_are_scaled_to_whole_ones_and_marked():
    half = (1024, 128)
    made = found()
    made.curve = curve(half)
    profile = made.profile(AROUND)
    assert profile.scaled
    assert (profile.input_tokens, profile.output_tokens) == half
    assert profile.throughput == pytest.approx(2304 / TRUE.seconds(*SHAPE))


def test_short_requests_take_their_context_terms_from_the_estimate():
    flat = CostModel(c=TRUE.c, a=TRUE.a, e=0, b=TRUE.b, d=0)
    made = found(cost=flat, shapes=Shapes(((64, 8), (8, 64), (32, 32)), ()))
    made.curve = curve((128, 16), flat, most=4)
    profile = made.profile(AROUND)
    assert profile.cost.e / profile.cost.a == pytest.approx(PRIOR.e / PRIOR.a)
    assert profile.cost.d / profile.cost.b == pytest.approx(PRIOR.d / PRIOR.b)
    assert profile.throughput < 2304 / flat.seconds(*SHAPE)
    assert profile.held_out_mean is None


def test_too_few_shapes_leave_the_estimate_in_proportion():
    made = found()
    made.others = made.others[:2]
    profile = made.profile(AROUND)
    assert profile.cost.seconds(*SHAPE) == pytest.approx(2304 / profile.throughput)
    assert profile.cost.a / profile.cost.b == pytest.approx(PRIOR.a / PRIOR.b)


def test_what_the_cost_model_errs_is_told():
    made = found()
    cut = len(sweep.GRID)
    made.others[cut] = replace(made.others[cut], wall_s=made.others[cut].wall_s * 1.25)
    profile = made.profile(AROUND)
    assert profile.held_out_worst == pytest.approx(0.2, abs=0.01)
    assert profile.held_out_mean == pytest.approx(0.2 / 6, abs=0.01)


# One disturbed trial of the shortest shape passes for a dear request: no other shape tells so much of what it costs.
@pytest.mark.parametrize("shape", [one for one in (*sweep.GRID, *sweep.HELD_OUT) if one != (64, 64)])
def test_a_trial_that_was_disturbed_is_measured_again_and_then_does_not_count(shape):
    made = found()
    wanted = {one: made.in_flight(one) for one in made.shapes.all}
    made.others = [run(wanted[one], one, times=1.6 if one == shape else 1.0) for one in made.shapes.all]
    assert made.doubtful(0.1) is not None
    repeated = []
    while len(repeated) < 4:
        repeated.append(made.doubtful())
        made.others.append(run(made.in_flight(repeated[-1]), repeated[-1]))
    assert shape in repeated
    assert made.profile(AROUND).held_out_worst == pytest.approx(0, abs=1e-6)


def test_a_shape_with_too_few_in_flight_is_measured_again_and_the_later_trial_counts():
    made = found()
    index = made.shapes.all.index((64, 64))
    made.others[index] = run(2, (64, 64))
    assert made.doubtful() == (64, 64)
    made.others.append(run(made.in_flight((64, 64)), (64, 64)))
    assert made.profile(AROUND).cost.coefficients == pytest.approx(TRUE.coefficients)


def test_no_shape_is_measured_for_ever():
    made = found()
    for _ in range(sweep.MOST_TRIALS * len(made.shapes.all)):
        if (shape := made.doubtful()) is None:
            break
        made.others.append(run(made.in_flight(shape), shape))
    assert len(made.others) == sweep.MOST_TRIALS * len(made.shapes.all)


def test_a_point_at_which_more_requests_did_less_is_doubted():
    made = found()
    assert made.doubtful_point() is None
    made.curve[4] = run(16, SHAPE, times=1.3)
    assert made.doubtful_point() == 16
    made.curve.append(run(16, SHAPE))
    assert made.doubtful_point() is None
    assert made.profile(AROUND).throughput == pytest.approx(2304 / TRUE.seconds(*SHAPE))


def test_of_three_trials_of_the_knee_the_median_is_sold():
    made = found()
    made.curve += [run(4, SHAPE, times=1.02), run(4, SHAPE, times=0.9)]
    assert made.profile(AROUND).throughput == pytest.approx(2304 / TRUE.seconds(*SHAPE))
    assert made.profile(AROUND).curve[2].parallel == 4


def test_in_flight_is_counted_as_the_gate_counts_and_as_the_cache_holds():
    made = found()
    assert made.in_flight((3500, 64)) <= made.in_flight(SHAPE) == made.knee
    assert made.in_flight((64, 64)) > made.knee
    made.kv_tokens = 128 * 5
    assert made.in_flight((64, 64)) == 4
