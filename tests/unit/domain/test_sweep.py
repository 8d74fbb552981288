"""Short measurements: what they say of whole reference requests."""

from dataclasses import replace

import pytest

from penstock.domain import sweep
from penstock.domain.profile import CostModel, Fingerprint, pin
from penstock.domain.sweep import Circumstances, Result, Trial

TRUE = CostModel(c=2e-3, a=9e-5, e=7e-9, b=4e-4, d=5e-8)
PRIOR = CostModel(c=4e-3, a=5e-5, e=2e-9, b=2e-4, d=9e-8)
SHAPE = (2048, 256)
AROUND = Circumstances(Fingerprint("m/1", "e", "int8", "d"), 1.5, 10**9, 7, PRIOR)


def run(trial, cost=TRUE):
    """A machine that takes exactly what the cost model says in a full batch, and 3 or 1.5 times that in small ones."""
    slow = {1: 3.0, 2: 1.5}.get(trial.parallel, 1.0)
    seconds = slow * cost.seconds(trial.tokens_in, trial.tokens_out)
    return Result(trial, trial.count, seconds * trial.count, seconds * trial.parallel, seconds / 10)


def measure(budget_s, shape=SHAPE, cost=TRUE, *, context=8192, most=32):
    """What the measurement does, without its time limits."""
    before = run(sweep.first(*shape), cost)
    curve = []
    while parallel := sweep.more(curve, most):
        allowed_s = sweep.CURVE_PART * budget_s * sweep.point_part(parallel)
        before = run(sweep.next_point(parallel, shape, before, allowed_s), cost)
        curve.append(before)
    best = sweep.best_of(curve)
    prior = pin(PRIOR, best.trial.tokens_in, best.trial.tokens_out, best.tokens_per_s)
    left_s = (1 - sweep.CURVE_PART) * budget_s
    shapes = sweep.shapes(shape, context, prior, best.trial.parallel, left_s)
    others = [
        run(sweep.next_shape(shapes.all[number:], prior, best.trial.parallel, left_s), cost)
        for number in range(len(shapes.all))
    ]
    cut = len(shapes.grid)
    return curve, sweep.summarise(shape, curve, others[:cut], others[cut:], AROUND), others


def test_with_time_enough_whole_requests_are_measured():
    curve, profile, others = measure(1000)
    assert {(one.trial.tokens_in, one.trial.tokens_out) for one in curve} == {SHAPE}
    assert profile.knee == 4
    assert profile.throughput == pytest.approx(2304 / TRUE.seconds(*SHAPE))
    assert (profile.input_tokens, profile.output_tokens) == SHAPE
    assert not profile.estimated
    assert not profile.scaled
    assert {(one.trial.tokens_in, one.trial.tokens_out) for one in others} == {*sweep.GRID, *sweep.HELD_OUT}
    assert profile.held_out_worst < 0.01
    assert all(one.count == sweep.RESIDENCES * one.trial.parallel for one in curve)


def test_the_curve_ends_at_its_plateau_and_not_before_sixteen():
    curve, _, _ = measure(1000)
    assert [one.trial.parallel for one in curve] == [1, 2, 4, 8, 16]


def test_the_curve_goes_on_while_doubling_wins():
    curve = []
    for parallel in (1, 2, 4, 8, 16, 32):
        assert sweep.more(curve, 48) == parallel
        curve.append(Result(Trial(parallel, 1, *SHAPE), 1, 1 / parallel, 1.0, 1.0))
    assert sweep.more(curve, 48) == 48
    assert sweep.more(curve, 32) is None


def test_no_more_run_at_once_than_the_kv_cache_holds():
    assert sweep.most_parallel(SHAPE, 32, 0) == 32
    assert sweep.most_parallel(SHAPE, 32, 20 * 2304) == 16
    assert sweep.most_parallel((64, 64), 32, 20 * 2304) == 32
    assert sweep.most_parallel(SHAPE, 32, 3 * 2304) == 2
    assert sweep.most_parallel(SHAPE, 32, 100) == 1


@pytest.mark.parametrize("budget_s", [1, 5, 20])
def test_shortened_requests_are_scaled_to_whole_ones_and_marked(budget_s):
    curve, profile, others = measure(budget_s)
    assert sum(one.wall_s for one in curve) < 2 * budget_s
    assert profile.throughput == pytest.approx(2304 / TRUE.seconds(*SHAPE), rel=0.2)
    assert profile.input_tokens <= 2048
    assert profile.scaled == (profile.input_tokens < 2048)
    assert profile.cost.seconds(*SHAPE) == pytest.approx(2304 / profile.throughput)
    assert sum(one.wall_s for one in others) < 2 * budget_s


def test_a_slow_model_is_measured_with_shorter_requests():
    slow = CostModel(*(20 * value for value in TRUE.coefficients))
    curve, profile, _ = measure(5, cost=slow)
    assert curve[-1].trial.tokens_in < 2048
    assert curve[-1].trial.tokens_in / curve[-1].trial.tokens_out == pytest.approx(8, rel=0.1)
    assert profile.scaled


def test_shapes_fit_into_a_short_context():
    _, _, others = measure(1000, (800, 100), context=900)
    assert all(one.trial.tokens_in + one.trial.tokens_out <= 900 for one in others)
    assert len(others) > 8


def test_encoders_have_input_only():
    cost = CostModel(c=1e-3, a=1e-5, e=1e-9, b=0, d=0)
    curve, profile, others = measure(5, (512, 0), cost)
    assert all(one.trial.tokens_out == 0 for one in (*curve, *others))
    assert profile.throughput == pytest.approx(512 / cost.seconds(512, 0), rel=0.05)
    assert profile.cost.b == 0
    assert profile.held_out_worst < 0.05


def test_a_trial_never_has_empty_requests():
    before = Result(Trial(8, 8, 16, 1), 8, 100.0, 1.0, 1.0)
    trial = sweep.next_point(16, (16, 1), before, 0.001)
    assert trial.tokens_in >= 1
    assert trial.tokens_out >= 1
    assert trial.count == trial.least == 8
    assert all(min(trial.first(number)) >= 1 for number in range(16))


def test_the_first_requests_of_workers_are_of_all_lengths():
    trial = Trial(4, 4, 2048, 256)
    assert [trial.first(number) for number in range(4)] == [(512, 64), (1024, 128), (1536, 192), (2048, 256)]
    assert Trial(2, 2, 512, 0).first(0) == (256, 0)


def test_short_requests_take_their_context_terms_from_the_estimate():
    flat = CostModel(c=TRUE.c, a=TRUE.a, e=0, b=TRUE.b, d=0)
    before = run(sweep.first(*SHAPE), flat)
    curve = [run(sweep.next_point(8, SHAPE, before, 0.1), flat)]
    grid = [run(Trial(8, 8, i, o), flat) for i, o in ((64, 8), (8, 64), (32, 32))]
    profile = sweep.summarise(SHAPE, curve, grid, [], AROUND)
    assert profile.cost.e / profile.cost.a == pytest.approx(PRIOR.e / PRIOR.a, rel=0.1)
    assert profile.cost.d / profile.cost.b == pytest.approx(PRIOR.d / PRIOR.b, rel=0.1)
    assert profile.throughput < 2304 / flat.seconds(*SHAPE)
    assert profile.held_out_mean is None


def test_what_the_cost_model_errs_is_told():
    curve, _, others = measure(1000)
    cut = len(sweep.GRID)
    slower = [replace(one, wall_s=one.wall_s * 1.25) for one in others[cut : cut + 1]]
    profile = sweep.summarise(SHAPE, curve, others[:cut], [*slower, *others[cut + 1 :]], AROUND)
    assert profile.held_out_worst == pytest.approx(0.2, abs=0.01)
    assert profile.held_out_mean == pytest.approx(0.2 / 6, abs=0.01)
