"""A neighbour that offers ten times its share in long prompts, on a simulated engine in virtual time."""

import heapq
import random
import statistics
from collections import defaultdict

import pytest

from penstock.domain.fairness import Admitted, Arbiter
from penstock.domain.profile import CostModel
from penstock.domain.simulated_engine import Job, SimulatedEngine, StepCost
from penstock.domain.tenancy import Terms

COST = CostModel(c=0.0086, a=7.45e-5, e=1.3e-8, b=2.56e-4, d=6.0e-7)
T = 2304 / COST.seconds(2048, 256)
OWN, LONG = (1024, 128), (3500, 64)
SECONDS, SKIP_S = 100.0, 12.0
SEEDS = range(9)


class Stand:
    """Two endpoints that have 45 % each of one device, whose engine holds what the gate gives it."""

    def __init__(self, knee, loads, seed):
        terms = Terms(T, knee, COST, fixed_s=0.0005, running=32)
        self.arbiter, self.engine = Arbiter(), SimulatedEngine(StepCost.of(terms))
        self.now, self.arrivals, self.jobs = 0.0, [], {}
        self.came, self.first, self.done, self.refused = {}, {}, defaultdict(float), defaultdict(int)
        self.arrivals.append((2 * SECONDS, "", OWN))
        for key, (load, shape) in loads.items():
            self.arbiter.set_tenant(key, "m", terms, 0.45, 0.0)
            draw, at = random.Random(f"{seed} {key}"), 0.0
            while at < SECONDS:
                at += draw.expovariate(load * 0.45 / COST.seconds(*shape))
                heapq.heappush(self.arrivals, (at, key, shape))
        self.run()

    def run(self):
        while self.now < SECONDS:
            for grant in self.arbiter.dispatch(self.now):
                job = self.jobs[grant.request_id]
                job.tell_at = self.arbiter.progress(job.request_id, 0, self.now)
                job.deadline = self.now + grant.patience_s
                self.engine.submit(job)
            following = min(self.arrivals[0][0], self.arbiter.wake(self.now) or SECONDS)
            if self.engine.busy:
                self.step(following)
            else:
                self.now = following
            while self.arrivals[0][0] <= self.now:
                self.arrive(*heapq.heappop(self.arrivals))

    def step(self, until):
        work = self.engine.work(max(until - self.now, 0.0))
        self.now += work.seconds
        for job in work.first:
            self.arbiter.first(job.request_id, self.now)
            self.first[job.request_id] = self.now
        for job in work.reported:
            job.tell_at = self.arbiter.progress(job.request_id, job.out, self.now)
        for job in work.ended:
            self.arbiter.settle(job.request_id, job.tokens_in, job.tokens_out, self.now)
            if self.now > SKIP_S:
                self.done[job.request_id.split()[0]] += COST.seconds(job.tokens_in, job.tokens_out)

    def arrive(self, at, key, shape):
        name = f"{key} {len(self.came)}"
        if isinstance(self.arbiter.arrive(name, key, shape[0], shape[1], self.now), Admitted):
            self.jobs[name] = Job(name, *shape)
            self.came[name] = at
        else:
            self.refused[key] += 1

    def ttft(self, part):
        found = sorted(self.first[name] - at for name, at in self.came.items() if name in self.first and at > SKIP_S
                       and name.startswith("own"))  # fmt: skip
        return found[int(part * len(found))]


@pytest.mark.parametrize(("knee", "ratio"), [(8, 3.0), (12, 3.0), (16, 3.5)])
def test_first_tokens_come_within_a_second_and_about_three_times_what_they_take_alone(knee, ratio):
    alone = [Stand(knee, {"own": (0.8, OWN)}, seed).ttft(0.99) for seed in SEEDS]
    beside = [Stand(knee, {"own": (0.8, OWN), "other": (10, LONG)}, seed) for seed in SEEDS]
    late = [stand.ttft(0.99) for stand in beside]
    assert statistics.median(late) <= 1.0
    assert statistics.median(late) <= ratio * statistics.median(alone)
    for stand in beside:
        assert not stand.refused["own"]
        assert sum(stand.done.values()) >= 0.97 * (SECONDS - SKIP_S), "the device is not left idle for it"


@pytest.mark.parametrize("own", [OWN, (128, 512), (3500, 64)])
def test_who_asks_for_more_than_it_bought_gets_what_it_bought(own):
    stand = Stand(8, {"own": (1.5, own), "other": (3, LONG)}, 1)
    assert stand.done["own"] >= 0.45 * (SECONDS - SKIP_S)
