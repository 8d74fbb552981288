"""The planner: engines in virtual time, a trace through the arbiter, and the search for the smallest band."""

import random

import pytest

from penstock.domain.errors import InvalidParameter
from penstock.domain.profile import CostModel
from penstock.domain.purchase import Target, appraise, cheapest
from penstock.domain.scaling import Policy
from penstock.domain.simulated_engine import Job, SimulatedEngine, StepCost
from penstock.domain.simulated_market import Arrival, Band, Market
from penstock.domain.simulation import MOST_HELD, Simulation
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
        lambda: Arrival(0, 1, -1),
        lambda: Arrival(float("nan"), 1, 1),
        lambda: Simulation(market(), Band(1, 1)).run([]),
    ],
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(InvalidParameter):
        wrong()


def sleepy(idle_s=60.0, startup_s=20.0):
    return Market(TERMS, CHUNKS, startup_s, Policy(idle_s=idle_s), busy=False)


def test_with_a_minimum_of_zero_it_sleeps_and_the_request_that_wakes_it_waits_for_the_start():
    arrivals = [*poisson(0.5, 30), *(Arrival(300 + one.at, 1000, 100) for one in poisson(0.5, 30, seed=2))]
    run = Simulation(sleepy(), Band(0, 2)).run(arrivals)
    replicas = [moment.replicas for moment in run.moments]
    assert replicas[0] == 1
    assert replicas.count(0) == 1
    asleep = next(moment for moment in run.moments if not moment.replicas)
    assert asleep.chunks == 0
    assert 60 <= asleep.at <= 110
    woken = [answer for answer in run.answers if answer.arrival.at >= 300]
    ready = woken[0].arrival.at + 20
    assert all(answer.served and answer.latency_s > 0 for answer in run.answers)
    assert 20 < woken[0].ttft_s < 22
    assert all(answer.arrival.at + answer.ttft_s > ready for answer in woken)
    awake = Simulation(sleepy(), Band(1, 2)).run(arrivals)
    assert max(answer.ttft_s for answer in awake.answers) < 5
    slept, stayed = (appraise(band, one, CHUNKS.chunk) for band, one in ((Band(0, 2), run), (Band(1, 2), awake)))
    assert slept.cost.allotted < 0.7 * stayed.cost.allotted


def test_no_more_are_held_for_a_start_than_a_server_holds():
    arrivals = [Arrival(0.0, 100, 10), *(Arrival(200 + number / 100, 100, 10) for number in range(100))]
    run = Simulation(sleepy(), Band(0, 2)).run(arrivals)
    assert sum(answer.served for answer in run.answers) == 1 + MOST_HELD


def test_embeddings_have_their_first_and_last_word_at_once():
    terms = Terms(40_000.0, 8, CostModel(0.001, 2.5e-5, 0.0, 0.0, 0.0), tokens_in=512, tokens_out=0)
    arrivals = poisson(20.0, 30, (256, 0))
    run = Simulation(Market(terms, divide(terms.throughput), busy=False), Band(4, 4)).run(arrivals)
    assert all(answer.ttft_s == answer.latency_s > 0 for answer in run.answers)
    assert sum(run.attained) == pytest.approx(sum(run.offered), rel=0.05)


def test_prompts_keep_half_of_a_step_however_many_decode():
    cost = StepCost(0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    engine = SimulatedEngine(cost, running=32, budget=8)
    for number in range(6):
        engine.submit(Job(str(number), 1, 1000))
    engine.work(0.0)
    engine.submit(Job("long", 40, 1))
    assert engine.work(0.0).seconds == 4.0
