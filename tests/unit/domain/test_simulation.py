"""The planner: engines in virtual time, a trace through the arbiter, and the search for the smallest band."""

import random

import pytest

from penstock.domain.errors import InvalidParameter
from penstock.domain.profile import CostModel
from penstock.domain.purchase import Target, appraise, cheapest
from penstock.domain.simulated_engine import Job, SimulatedEngine, StepCost
from penstock.domain.simulation import Arrival, Band, Market, Simulation
from penstock.domain.tenancy import Terms
from penstock.domain.throughput import divide

COST = CostModel(c=0.0086, a=7.45e-5, e=1.3e-8, b=2.56e-4, d=6.0e-7)
TERMS = Terms(2304 / COST.seconds(2048, 256), 8, COST, fixed_s=0.0005, running=32)
CHUNKS = divide(TERMS.throughput)


def market(**kind):
    return Market(TERMS, CHUNKS, startup_s=10.0, **kind)


def poisson(rate, seconds, shape=(1000, 100), seed=1):
    rng, at, found = random.Random(seed), 0.0, []
    while (at := at + rng.expovariate(rate)) < seconds:
        found.append(Arrival(at, *shape))
    return found


@pytest.mark.parametrize("shape", [(2048, 256), (128, 512), (4000, 100)])
def test_a_full_batch_takes_what_the_cost_model_says(shape):
    engine, seconds, ended, number = SimulatedEngine(StepCost.of(TERMS)), 0.0, 0, 8
    for count in range(number):
        engine.submit(Job(str(count), shape[0], max(shape[1] * (count + 1) // 8, 1)))
    while ended < 80:
        work = engine.work(1e9)
        seconds += work.seconds
        for _ in work.ended:
            ended += 1
            number += 1
            engine.submit(Job(str(number), *shape))
    assert seconds / ended == pytest.approx(COST.seconds(*shape), rel=0.12)


def test_steps_taken_together_take_as_long_as_one_by_one():
    whole, single = SimulatedEngine(StepCost.of(TERMS)), SimulatedEngine(StepCost.of(TERMS))
    times = []
    for engine, until in ((whole, 1e9), (single, 0.0)):
        for count in range(3):
            engine.submit(Job(str(count), 700, 40 + count))
        seconds, steps = 0.0, 0
        while engine.busy:
            seconds += engine.work(until).seconds
            steps += 1
        times.append((seconds, steps))
    assert times[0][0] == pytest.approx(times[1][0])
    assert times[0][1] < times[1][1] / 5


def test_every_request_is_answered_or_refused_and_the_same_seed_gives_the_same_run():
    arrivals = poisson(4.0, 120)
    one, other = (Simulation(market(), Band(1, 2)).run(arrivals) for _ in range(2))
    assert [(a.served, a.ttft_s, a.latency_s) for a in one.answers] == [
        (a.served, a.ttft_s, a.latency_s) for a in other.answers
    ]
    for answer in one.answers:
        assert answer.served == (answer.latency_s >= answer.ttft_s > 0)
    assert 0 < sum(answer.served for answer in one.answers) < len(arrivals)


def test_beside_a_greedy_neighbour_an_endpoint_attains_what_it_bought():
    run = Simulation(market(), Band(2, 2)).run(poisson(5.0, 300))
    steady = run.attained[60:]
    assert sum(steady) / len(steady) >= 0.98 * 2 * 0.9 * TERMS.throughput / CHUNKS.slices


def test_idle_neighbours_lend_what_they_do_not_use():
    run = Simulation(market(busy=False), Band(1, 1)).run(poisson(4.0, 120))
    assert all(answer.served for answer in run.answers)


def test_the_allotment_follows_demand_and_another_replica_waits_for_its_start():
    arrivals = [*poisson(0.3, 60), *(Arrival(60 + one.at, 1000, 100) for one in poisson(9.0, 120))]
    run = Simulation(market(), Band(1, 8)).run(arrivals)
    assert run.moments[0].replicas == 1
    assert max(moment.replicas for moment in run.moments) == 2
    assert all(1 <= moment.chunks <= 8 for moment in run.moments)


def plan(target, most=8, rate=1.2):
    arrivals, tried = poisson(rate, 300), []

    def simulate(band):
        tried.append(band)
        return appraise(band, Simulation(market(), band).run(arrivals), CHUNKS.chunk)

    return *cheapest(simulate, target, most), simulate, tried


def test_the_smallest_band_keeps_the_target_and_the_next_smaller_does_not():
    target = Target(3.0, 0.99)
    best, kept, simulate, tried = plan(target)
    assert kept
    assert best.keeps(target)
    assert len(tried) == len(set(tried)) <= 9
    if best.band.maximum > 1:
        smaller = best.band.maximum - 1
        assert not simulate(Band(smaller, smaller)).keeps(target)
    if best.band.minimum:
        assert not simulate(Band(best.band.minimum - 1, best.band.maximum)).keeps(target)
    assert best.cost.oracle > 0
    assert best.cost.allotted <= best.cost.billed


def test_what_cannot_be_kept_says_so():
    best, kept, _, tried = plan(Target(0.001, 1.0), most=4)
    assert not kept
    assert best.band == Band(4, 4)
    assert tried == [Band(4, 4)]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Band(2, 1),
        lambda: Band(0, 0),
        lambda: Target(0, 1),
        lambda: Target(1, 0),
        lambda: Arrival(0, 0, 1),
        lambda: Simulation(market(), Band(1, 1)).run([]),
    ],
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(InvalidParameter):
        wrong()
