"""Measurements in virtual time, on an engine that batches as real ones do."""

from dataclasses import replace

import pytest
from batching_engine import BatchingEngine, Machine

from penstock.control.measurement import Measurement, Subject
from penstock.domain.findings import Circumstances
from penstock.domain.model import ModelFacts, Shape, Task
from penstock.domain.profile import CostModel, Fingerprint

FACTS = ModelFacts(
    Task.COMPLETIONS, "llama", "LlamaForCausalLM", 30_000_000, 60_000_000, 4096,
    Shape(8, 512, 1408, 8, 4, 64, 64), True, False, None,
)  # fmt: skip
PRIOR = CostModel(c=6.7e-3, a=1.5e-4, e=2.2e-8, b=1.2e-3, d=8.2e-7)
AROUND = Circumstances(Fingerprint("m/1", "e", "int8", "d"), 1.5, 10**9, 7)
CACHE = 20 * 2304


async def measured(machine, *, budget_s=60.0, facts=FACTS, cache=CACHE, seed=1):
    """The engine, what was found, and the profile."""
    told = []
    async with BatchingEngine(machine, cache, seed) as engine:
        subject = Subject("engine", facts, PRIOR, 32)
        found = await Measurement(engine, engine, subject, budget_s, told.append).run()
    assert told == sorted(told)
    return engine, found, found.profile(AROUND)


async def test_a_profile_is_exact_and_in_time():
    engine, found, profile = await measured(Machine())
    assert engine.now < 66
    assert not profile.scaled
    assert {one.trial.shape for one in found.others} == {*found.shapes.grid, *found.shapes.held_out}
    assert profile.held_out_mean < 0.05
    assert profile.held_out_worst < 0.12
    assert profile.cost.seconds(2048, 256) == pytest.approx(2304 / profile.throughput)
    one = profile.curve[0]
    alone = 0.005 + 2048 * 6e-5 + 2048**2 * 1e-8 + 256 * 5e-5 + 6e-7 * 256 * 2176 + 260 * 2e-3
    assert one.tokens_per_s == pytest.approx(2304 / alone, rel=0.02)
    assert one.latency_s == pytest.approx(alone, rel=0.02)


async def test_a_machine_that_varies_is_measured_alike_again():
    found = [
        (await measured(Machine(jitter=0.1, slow=slow), seed=seed))[2]
        for seed, slow in enumerate([(), ((20.0, 23.0), (41.0, 45.0)), ((30.0, 34.0),), ((3.0, 4.0), (50.0, 54.0))])
    ]
    assert len({one.knee for one in found}) == 1
    assert max(one.throughput for one in found) < 1.03 * min(one.throughput for one in found)
    assert all(one.held_out_mean < 0.08 for one in found)
    assert all(one.held_out_worst < 0.15 for one in found)


async def test_no_more_is_in_flight_than_the_cache_holds():
    engine, found, profile = await measured(Machine(), cache=10 * 2304)
    assert engine.most_tokens <= 10 * 2304
    assert [point.parallel for point in profile.curve] == [1, 2, 4, 8]
    assert max(one.trial.parallel for one in found.others) == 32


async def test_short_requests_are_measured_with_more_in_flight():
    _, found, profile = await measured(Machine())
    last = {one.trial.shape: one.trial.parallel for one in found.others}
    assert last[64, 64] > 2.5 * profile.knee
    assert last[3500, 64] < profile.knee < last[512, 256]


@pytest.mark.parametrize(("times", "off"), [(10, 1.3), (100, 2.0)])
async def test_slow_models_are_measured_with_shortened_requests_in_time(times, off):
    """Ten times as slow, whole requests are measured with few in flight; a hundred times, their cost is a guess."""
    fast = Machine()
    slow = Machine(*(times * value for value in (fast.step, fast.request, fast.prompt, fast.attention, fast.token)))
    slow = replace(slow, context=times * fast.context)
    engine, _, profile = await measured(slow)
    assert engine.now < 66
    assert profile.scaled
    assert any(point.short for point in profile.curve)
    _, _, whole = await measured(slow, budget_s=60.0 * times)
    assert whole.throughput / off < profile.throughput < whole.throughput * off
    assert not whole.scaled


async def test_encoders_have_input_only():
    facts = replace(FACTS, task=Task.EMBEDDINGS, context_length=512, shape=replace(FACTS.shape, kv_heads=0))
    engine, found, profile = await measured(Machine(), facts=facts, cache=0, budget_s=10.0)
    assert engine.now < 12
    assert all(one.trial.tokens_out == 0 for one in (*found.curve, *found.others))
    assert profile.cost.b == profile.cost.d == 0
    assert profile.held_out_worst < 0.1


async def test_tiny_models_take_no_longer_than_they_are_given():
    tiny = Machine(step=2e-4, request=1e-4, prompt=1e-6, attention=1e-10, token=1e-5, context=1e-9)
    engine, _, profile = await measured(tiny, budget_s=2.0)
    assert engine.now < 2.5
    assert not profile.scaled
