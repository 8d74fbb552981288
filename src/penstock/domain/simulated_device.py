"""One replica's device in virtual time: production's arbiter before a simulated engine."""

import math
from typing import TYPE_CHECKING

from penstock.domain.fairness import Admitted, Arbiter
from penstock.domain.simulated_engine import MOST_RUNNING, Job, SimulatedEngine, StepCost
from penstock.domain.simulated_market import Answer, Market
from penstock.domain.tenancy import Priority
from penstock.domain.throughput import SOLD_FRACTION

if TYPE_CHECKING:
    from collections.abc import Callable

OWN, NEIGHBOUR, MODEL = "own", "neighbour", "model"
AHEAD = 4
"""Requests of the neighbour that always wait."""
LEAST_SHARE = 1e-6


class SimulatedDevice:
    """One replica's device: its arbiter, its engine, and what the engine is at."""

    def __init__(self, market: Market, ready_at: float) -> None:
        self.ready_at = ready_at
        self.market = market
        self.arbiter = Arbiter()
        self.engine = SimulatedEngine(StepCost.of(market.terms), market.terms.running or MOST_RUNNING)
        self.ends_at = math.inf
        self.work: Callable[[float], None] | None = None
        self.known: dict[str, tuple[Answer | None, Job]] = {}
        self.extra = 0

    def allot(self, chunks: int, now: float) -> None:
        """The endpoint's chunks on this device; the neighbour has the rest."""
        share = chunks * SOLD_FRACTION / self.market.chunks.slices
        self.arbiter.set_tenant(OWN, MODEL, self.market.terms, share, now)
        if self.market.busy:
            self.arbiter.set_tenant(NEIGHBOUR, MODEL, self.market.terms, max(SOLD_FRACTION - share, LEAST_SHARE), now)

    def arrive(
        self,
        request_id: str,
        answer: Answer,
        now: float,
        *,
        owed: bool = False,
        priority: Priority = Priority.RESERVED,
    ) -> float:
        """Admits or refuses, but not what is `owed`: it was held for a start. Returns estimated device seconds."""
        arrival = answer.arrival
        most = arrival.most_out or arrival.tokens_out
        said = self.arbiter.arrive(request_id, OWN, arrival.tokens_in, most, now, priority=priority, owed=owed)
        answer.served = isinstance(said, Admitted)
        if answer.served:
            self.known[request_id] = (answer, Job(request_id, arrival.tokens_in, arrival.tokens_out))
        return said.seconds

    def turn(self, now: float, until: float) -> None:
        """Sends what is due, and lets the engine work on if it is free."""
        if self.market.busy and self.arbiter.tenants[NEIGHBOUR].waiting < AHEAD:
            terms = self.market.terms
            for _ in range(AHEAD):
                self.extra += 1
                name = f"{NEIGHBOUR}-{self.extra}"
                said = self.arbiter.arrive(name, NEIGHBOUR, terms.tokens_in, terms.tokens_out, now)
                if isinstance(said, Admitted):
                    self.known[name] = (None, Job(name, terms.tokens_in, terms.tokens_out))
        for grant in self.arbiter.dispatch(now):
            job = self.known[grant.request_id][1]
            job.tell_at = self.arbiter.progress(grant.request_id, 0, now)
            job.deadline = now + grant.patience_s
            self.engine.submit(job)
        if self.work is None and self.engine.busy:
            wake = self.arbiter.wake(now)
            self._begin(now, min(until, wake if wake is not None else math.inf))

    def _begin(self, now: float, until: float) -> None:
        work = self.engine.work(max(until - now, 0.0))
        self.ends_at = now + work.seconds

        def end(then: float) -> None:
            for job in work.first:
                self.arbiter.first(job.request_id, then)
                answer = self.known[job.request_id][0]
                if answer is not None:
                    answer.ttft_s = then - answer.arrival.at
            for job in work.reported:
                job.tell_at = self.arbiter.progress(job.request_id, job.out, then)
            for job in work.ended:
                answer = self.known.pop(job.request_id)[0]
                self.arbiter.settle(job.request_id, job.tokens_in, job.tokens_out, then)
                if answer is not None:
                    answer.latency_s = then - answer.arrival.at

        self.work = end

    def finish(self, now: float) -> None:
        """Ends what the engine was at."""
        work, self.work, self.ends_at = self.work, None, math.inf
        if work is not None:
            work(now)

    @property
    def wait_s(self) -> float:
        """How long its queue is, for its rate."""
        return self.arbiter.wait_s(OWN)

    def wake(self, now: float) -> float:
        """When it is to be looked at though nothing arrives."""
        wake = self.arbiter.wake(now) if self.work is None else None
        return min(self.ends_at, wake if wake is not None else math.inf)
