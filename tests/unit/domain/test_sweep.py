"""Short measurements: what they say of whole reference requests."""

from dataclasses import replace

import pytest

from penstock.domain import sweep
from penstock.domain.profile import CostModel, Fingerprint
from penstock.domain.sweep import Circumstances, Result, Trial

TRUE = CostModel(c=2e-3, a=9e-5, e=7e-9, b=4e-4, d=5e-8)
SHAPE = (2048, 256)
AROUND = Circumstances(Fingerprint("m/1", "e", "int8", "d"), 1.5, 10**9, 7, TRUE)


def run(trial, cost=TRUE):
    """A machine that takes exactly what the cost model says in a full batch, and 3 or 1.5 times that in small ones."""
    slow = {1: 3.0, 2: 1.5}.get(trial.parallel, 1.0)
    seconds = slow * cost.seconds(trial.tokens_in, trial.tokens_out)
    return Result(trial, seconds * trial.parallel * trial.rounds, seconds * trial.parallel, seconds / 10)


def measure(budget_s, shape=SHAPE, cost=TRUE, *, encoder=False):
    before = run(sweep.first(*shape), cost)
    curve = []
    for parallel, part in zip(sweep.PARALLEL, sweep.POINT_PARTS, strict=True):
        before = run(sweep.next_point(parallel, shape, before, budget_s * part), cost)
        curve.append(before)
    batch = next(one for one in curve if one.trial.parallel == sweep.SHAPES_AT)
    others = [run(trial, cost) for trial in sweep.shapes(batch, encoder=encoder)]
    return curve, sweep.summarise(shape, curve, others, AROUND)


def test_with_time_enough_whole_requests_are_measured():
    curve, profile = measure(1000)
    assert {(one.trial.tokens_in, one.trial.tokens_out) for one in curve} == {SHAPE}
    assert profile.knee == 4
    assert profile.throughput == pytest.approx(2304 / TRUE.seconds(*SHAPE))
    assert (profile.input_tokens, profile.output_tokens) == SHAPE
    assert not profile.estimated


@pytest.mark.parametrize("budget_s", [1, 5, 20])
def test_shortened_requests_are_scaled_to_whole_ones(budget_s):
    curve, profile = measure(budget_s)
    assert sum(one.wall_s for one in curve) < 2 * budget_s
    assert profile.throughput == pytest.approx(2304 / TRUE.seconds(*SHAPE), rel=0.05)
    assert profile.input_tokens <= 2048
    assert profile.cost.seconds(*SHAPE) == pytest.approx(2304 / profile.throughput)


def test_a_slow_model_is_measured_with_shorter_requests():
    slow = CostModel(*(20 * value for value in TRUE.coefficients))
    curve, _ = measure(5, cost=slow)
    assert curve[-1].trial.tokens_in < 2048
    assert curve[-1].trial.tokens_in / curve[-1].trial.tokens_out == pytest.approx(8, rel=0.1)


def test_a_fast_model_gets_several_rounds():
    curve, _ = measure(100)
    assert curve[0].trial.rounds == sweep.MOST_ROUNDS


def test_encoders_have_input_only():
    cost = CostModel(c=1e-3, a=1e-5, e=1e-9, b=0, d=0)
    curve, profile = measure(5, (512, 0), cost, encoder=True)
    assert all(one.trial.tokens_out == 0 for one in curve)
    assert profile.throughput == pytest.approx(512 / cost.seconds(512, 0), rel=0.05)
    assert profile.cost.b == 0


def test_a_trial_never_has_empty_requests():
    trial = sweep.next_point(16, (16, 1), Result(Trial(8, 1, 16, 1), 100.0, 1.0, 1.0), 0.001)
    assert trial.tokens_in >= 1
    assert trial.tokens_out >= 1
    assert trial.rounds == 1


def test_short_requests_take_their_context_terms_from_the_estimate():
    flat = CostModel(c=TRUE.c, a=TRUE.a, e=0, b=TRUE.b, d=0)
    before = run(sweep.first(*SHAPE), flat)
    curve = [run(sweep.next_point(8, SHAPE, before, 0.1), flat)]
    profile = sweep.summarise(
        SHAPE, curve, [run(trial, flat) for trial in sweep.shapes(curve[0], encoder=False)], AROUND
    )
    assert profile.cost.e / profile.cost.a == pytest.approx(TRUE.e / TRUE.a, rel=0.1)
    assert profile.cost.d / profile.cost.b == pytest.approx(TRUE.d / TRUE.b, rel=0.1)
    assert profile.throughput < 2304 / flat.seconds(*SHAPE)


def test_noise_in_short_requests_is_not_blown_up():
    before = run(sweep.first(*SHAPE))
    curve = [run(sweep.next_point(8, SHAPE, before, 0.1))]
    others = [run(trial) for trial in sweep.shapes(curve[0], encoder=False)]
    noisy = [
        replace(one, wall_s=one.wall_s * factor) for one, factor in zip(others, (1.4, 0.7, 1.3, 0.8, 1.5), strict=True)
    ]
    profile = sweep.summarise(SHAPE, curve, noisy, AROUND)
    assert profile.throughput == pytest.approx(2304 / TRUE.seconds(*SHAPE), rel=0.5)
