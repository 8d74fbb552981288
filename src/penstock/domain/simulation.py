"""What would happen: a trace of requests through the arbiter, the autoscaler and simulated engines, in virtual time.

The code that decides is production's own (`penstock.domain.fairness`, `penstock.domain.scaling`); only the engines and
the clock are simulated. Beside the requests of the trace, a neighbour may hold the rest of each device and ask for more
than it gets at any time, so that nothing that is lent makes a plan look better than it is.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from penstock.domain.errors import InvalidParameter
from penstock.domain.fairness import Admitted, Arbiter
from penstock.domain.scaling import Policy, Sample, State, Want, decide
from penstock.domain.simulated_engine import Job, SimulatedEngine, StepCost
from penstock.domain.tenancy import Terms
from penstock.domain.throughput import SOLD_FRACTION, Chunks

OWN, NEIGHBOUR, MODEL = "own", "neighbour", "model"
TICK_S = 1.0
"""The autoscaler looks so often."""
AHEAD = 4
"""Requests of the neighbour that always wait."""
LEAST_SHARE = 1e-6
DRAIN_S = 600.0
"""After the last arrival the simulation goes on for so long at most, until all is answered."""
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request at `at` seconds from the start; `most_out` is its max_tokens, 0 for just what it produces."""

    at: float
    tokens_in: int
    tokens_out: int
    most_out: int = 0

    def __post_init__(self) -> None:
        if self.tokens_in < 1 or self.tokens_out < 1 or not math.isfinite(self.at):
            raise InvalidParameter("a request has a finite time, and at least one token in and one out")


@dataclass(frozen=True, slots=True)
class Band:
    """What is bought, in chunks: always `minimum`, up to `maximum` by demand."""

    minimum: int
    maximum: int

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum or self.maximum < 1:
            raise InvalidParameter(
                f"a band needs 0 <= min <= max and max >= 1, but is {self.minimum} to {self.maximum}"
            )


@dataclass(frozen=True, slots=True)
class Market:
    """Where it runs: the model's terms and chunks, seconds until another replica is ready, how it scales.

    `busy`: the rest of every device is sold to a neighbour that always asks for more than it gets.
    """

    terms: Terms
    chunks: Chunks
    startup_s: float = 0.0
    policy: Policy = field(default_factory=Policy)
    busy: bool = True


@dataclass(slots=True)
class Answer:
    """What became of an arrival. Seconds from its arrival; -1 for what did not come. `served` is False if refused."""

    arrival: Arrival
    served: bool
    ttft_s: float = -1.0
    latency_s: float = -1.0


@dataclass(frozen=True, slots=True)
class Moment:
    """From `at` on, so many chunks were allotted, on so many replicas."""

    at: float
    chunks: int
    replicas: int


@dataclass(frozen=True, slots=True)
class Run:
    """What a simulation tells. `attained` and `offered` are reference tokens in each second of the trace."""

    answers: Sequence[Answer]
    moments: Sequence[Moment]
    attained: Sequence[float]
    offered: Sequence[float]
    seconds: float


class _Device:
    """One replica's device: its arbiter, its engine, and what the engine is at."""

    def __init__(self, market: Market, ready_at: float) -> None:
        self.ready_at = ready_at
        self.market = market
        self.arbiter = Arbiter()
        self.engine = SimulatedEngine(StepCost.of(market.terms), market.terms.running or 32)
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

    def arrive(self, request_id: str, answer: Answer, now: float) -> float:
        """Admits or refuses; returns the estimate in device seconds."""
        arrival = answer.arrival
        most = arrival.most_out or arrival.tokens_out
        said = self.arbiter.arrive(request_id, OWN, arrival.tokens_in, most, now)
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
                if isinstance(
                    self.arbiter.arrive(name, NEIGHBOUR, terms.tokens_in, max(terms.tokens_out, 1), now), Admitted
                ):
                    self.known[name] = (None, Job(name, terms.tokens_in, max(terms.tokens_out, 1)))
        for grant in self.arbiter.dispatch(now):
            job = self.known[grant.request_id][1]
            job.tell_at = self.arbiter.progress(grant.request_id, 0, now)
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


class Simulation:
    """One trace against one band. `told` hears how far it is, 0 to 1, now and then."""

    def __init__(self, market: Market, band: Band, told: Callable[[float], None] | None = None) -> None:
        self._market = market
        self._band = band
        self._told = told
        self._chunks = max(band.minimum, 1)
        self._devices: list[_Device] = []
        self._moments: list[Moment] = []
        self._samples: list[Sample] = []
        self._wants: tuple[Want, ...] = ()
        self._arrived = 0.0
        self._now = 0.0

    def run(self, arrivals: Sequence[Arrival]) -> Run:
        """Plays the whole trace; arrivals in order of time."""
        if not arrivals:
            raise InvalidParameter("a trace needs at least one request")
        answers = [Answer(one, served=False) for one in arrivals]
        last = arrivals[-1].at
        self._spread(0.0)
        at, tick = 0, 0.0
        while self._now <= last + DRAIN_S:
            if self._now >= tick:
                self._scale(self._now)
                tick += TICK_S
                if self._told is not None and int(tick) % 10 == 0:
                    self._told(min(self._now / max(last, _TINY), 1.0))
            while at < len(answers) and answers[at].arrival.at <= self._now + _TINY:
                self._admit(at, answers[at])
                at += 1
            following = min(tick, answers[at].arrival.at if at < len(answers) else math.inf)
            for device in self._devices:
                device.turn(self._now, following)
            if at == len(answers) and not self._unanswered():
                break
            self._now = min(following, *(max(device.wake(self._now), self._now) for device in self._devices))
            for device in self._devices:
                if device.ends_at <= self._now + _TINY:
                    device.finish(self._now)
        return self._result(answers, last)

    def _unanswered(self) -> bool:
        return any(answer is not None for device in self._devices for answer, _ in device.known.values())

    def _admit(self, number: int, answer: Answer) -> None:
        ready = [device for device in self._devices if device.ready_at <= self._now] or self._devices[:1]
        device = min(ready, key=lambda one: one.wait_s)
        seconds = device.arrive(str(number), answer, self._now)
        self._arrived += seconds * self._market.terms.throughput

    def _scale(self, now: float) -> None:
        terms, chunk = self._market.terms, float(self._market.chunks.chunk)
        backlog = sum(device.arbiter.tenants[OWN].waiting_s for device in self._devices) * terms.throughput
        self._samples.append(Sample(now, self._arrived, backlog))
        keep = now - self._market.policy.memory_s - 2 * TICK_S
        while self._samples[0].at < keep:
            self._samples.pop(0)
        band = self._band
        full = self._chunks % self._market.chunks.slices == 0
        state = State(
            allotment=self._chunks * chunk,
            minimum=band.minimum * chunk,
            maximum=band.maximum * chunk,
            chunk=chunk,
            free=max(band.maximum - self._chunks, 0) * chunk,
            startup_s=self._market.startup_s if full else 0.0,
            wants=self._wants,
        )
        decision = decide(now, self._market.policy, state, self._samples)
        self._wants = decision.wants
        chunks = state.chunks(decision.allotment)
        waited = any(device.ready_at <= now < device.ready_at + TICK_S for device in self._devices)
        if chunks != self._chunks or waited:
            self._chunks = chunks
            self._spread(now)

    def _spread(self, now: float) -> None:
        """Divides the allotment over replicas, as many as it needs; a new one is ready after its start."""
        slices = self._market.chunks.slices
        needed = max(math.ceil(self._chunks / slices), 1)
        while len(self._devices) < needed:
            self._devices.append(_Device(self._market, now + self._market.startup_s if now > 0 else 0.0))
        for index, device in enumerate(self._devices):
            own = min(max(self._chunks - index * slices, 0), slices)
            device.allot(own if device.ready_at <= now or index == 0 else 0, now)
            if index >= needed:
                device.ready_at = math.inf  # takes nothing new; starts again when it is needed
            elif device.ready_at == math.inf:
                device.ready_at = now + self._market.startup_s
        if not self._moments or (self._moments[-1].chunks, self._moments[-1].replicas) != (self._chunks, needed):
            self._moments.append(Moment(now, self._chunks, needed))

    def _result(self, answers: Sequence[Answer], last: float) -> Run:
        terms = self._market.terms
        length = int(last) + 1
        offered, attained = [0.0] * length, [0.0] * length
        for answer in answers:
            one = answer.arrival
            tokens = terms.cost.seconds(one.tokens_in, one.tokens_out) * terms.throughput
            offered[int(one.at)] += tokens
            second = int(one.at + answer.latency_s)
            if answer.latency_s >= 0 and second < length:
                attained[second] += tokens
        return Run(answers, tuple(self._moments), attained, offered, max(last, TICK_S))
