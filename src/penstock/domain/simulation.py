"""What would happen: a trace of requests through the arbiter, the autoscaler and simulated engines, in virtual time.

The code that decides is production's own (`penstock.domain.fairness`, `penstock.domain.scaling`); only the engines and
the clock are simulated. Beside the requests of the trace, a neighbour may hold the rest of each device and ask for more
than it gets at any time, so that nothing that is lent makes a plan look better than it is.
"""

import math
from collections.abc import Callable, Sequence

from penstock.domain.errors import InvalidParameter
from penstock.domain.scaling import Decision, Kind, Sample, State, Want, decide
from penstock.domain.simulated_device import OWN, SimulatedDevice
from penstock.domain.simulated_market import Answer, Arrival, Band, Market, Moment, Run

TICK_S = 1.0
"""The autoscaler looks so often."""
DRAIN_S = 600.0
"""After the last arrival the simulation goes on for so long at most, until all is answered."""
MOST_HELD = 64
"""Requests that wait for the first replica of an endpoint that was scaled to zero; more are refused."""
_TINY = 1e-9


class Simulation:
    """One trace against one band. `told` hears how far it is, 0 to 1, now and then."""

    def __init__(self, market: Market, band: Band, told: Callable[[float], None] | None = None) -> None:
        self._market = market
        self._band = band
        self._told = told
        self._chunks = max(band.minimum, 1)
        self._devices: list[SimulatedDevice] = []
        self._moments: list[Moment] = []
        self._samples: list[Sample] = []
        self._wants: tuple[Want, ...] = ()
        self._held: list[tuple[int, Answer]] = []
        self._arrived = 0.0
        self._asked_at = 0.0
        self._now = 0.0

    def run(self, arrivals: Sequence[Arrival]) -> Run:
        """Plays the whole trace; arrivals in order of time."""
        if not arrivals:
            raise InvalidParameter("a trace needs at least one request")
        answers = [Answer(one, served=False) for one in arrivals]
        last = arrivals[-1].at
        self._spread(0.0)
        at, tick = 0, 0.0
        while self._now <= last + max(DRAIN_S, self._market.startup_s):
            if self._now >= tick:
                self._scale(self._now)
                tick += TICK_S
                if self._told is not None and int(tick) % 10 == 0:
                    self._told(min(self._now / max(last, _TINY), 1.0))
            self._release()
            while at < len(answers) and answers[at].arrival.at <= self._now + _TINY:
                self._admit(at, answers[at])
                at += 1
            following = min(tick, answers[at].arrival.at if at < len(answers) else math.inf)
            for device in self._devices:
                device.turn(self._now, following)
            if at == len(answers) and not self._unanswered():
                break
            self._advance(following)
        return self._result(answers, last)

    def _advance(self, following: float) -> None:
        """To whatever happens next, `following` at the latest."""
        times = [max(device.wake(self._now), self._now) for device in self._devices]
        if self._held:
            times.append(self._devices[0].ready_at)
        self._now = min(following, *times) if times else following
        for device in self._devices:
            if device.ends_at <= self._now + _TINY:
                device.finish(self._now)

    def _unanswered(self) -> bool:
        known = any(answer is not None for device in self._devices for answer, _ in device.known.values())
        return known or bool(self._held)

    def _admit(self, number: int, answer: Answer, *, owed: bool = False) -> None:
        """To the replica with the shortest wait; one that is scaled to zero is started, and held for until then."""
        if not self._devices:
            self._devices.append(SimulatedDevice(self._market, self._now + self._market.startup_s))
            self._devices[0].allot(self._chunks, self._now)
            self._note(self._now, 1)
        ready = [device for device in self._devices if device.ready_at <= self._now + _TINY]
        if not ready:
            answer.served = len(self._held) < MOST_HELD
            if answer.served:
                self._held.append((number, answer))
            return
        device = min(ready, key=lambda one: one.wait_s)
        seconds = device.arrive(str(number), answer, self._now, owed=owed)
        if not owed:
            self._arrived += seconds * self._market.terms.throughput

    def _release(self) -> None:
        """Asks for those that were held, once the replica is ready."""
        if self._held and self._devices[0].ready_at <= self._now + _TINY:
            held, self._held = self._held, []
            for number, answer in held:
                self._admit(number, answer, owed=True)

    def _scale(self, now: float) -> None:
        if not self._devices or self._held:
            return
        decision = self._decided(now)
        self._wants = decision.wants
        if decision.kind is Kind.ZERO:
            self._chunks = 0
            self._devices.clear()
            self._note(now, 0)
            return
        chunks = math.ceil(decision.allotment / self._market.chunks.chunk - _TINY)
        waited = any(device.ready_at <= now < device.ready_at + TICK_S for device in self._devices)
        if chunks != self._chunks or waited:
            self._chunks = chunks
            self._spread(now)

    def _decided(self, now: float) -> Decision:
        terms, chunk = self._market.terms, float(self._market.chunks.chunk)
        backlog = sum(device.arbiter.tenants[OWN].waiting_s for device in self._devices) * terms.throughput
        if not self._samples or self._arrived > self._samples[-1].arrived or self._unanswered():
            self._asked_at = now
        self._samples.append(Sample(now, self._arrived, backlog))
        keep = now - self._market.policy.memory_s - 2 * TICK_S
        while self._samples[0].at < keep:
            self._samples.pop(0)
        band = self._band
        full = self._chunks > 0 and self._chunks % self._market.chunks.slices == 0
        state = State(
            allotment=self._chunks * chunk,
            minimum=band.minimum * chunk,
            maximum=band.maximum * chunk,
            chunk=chunk,
            free=max(band.maximum - self._chunks, 0) * chunk,
            startup_s=self._market.startup_s if full else 0.0,
            idle_s=now - self._asked_at,
            wants=self._wants,
        )
        return decide(now, self._market.policy, state, self._samples)

    def _spread(self, now: float) -> None:
        """Divides the allotment over replicas, as many as it needs; a new one is ready after its start."""
        slices = self._market.chunks.slices
        needed = max(math.ceil(self._chunks / slices), 1)
        while len(self._devices) < needed:
            self._devices.append(SimulatedDevice(self._market, now + self._market.startup_s if now > 0 else 0.0))
        for index, device in enumerate(self._devices):
            own = min(max(self._chunks - index * slices, 0), slices)
            device.allot(own if device.ready_at <= now or index == 0 else 0, now)
            if index >= needed:
                device.ready_at = math.inf  # takes nothing new; starts again when it is needed
            elif device.ready_at == math.inf:
                device.ready_at = now + self._market.startup_s
        self._note(now, needed)

    def _note(self, now: float, replicas: int) -> None:
        if not self._moments or (self._moments[-1].chunks, self._moments[-1].replicas) != (self._chunks, replicas):
            self._moments.append(Moment(now, self._chunks, replicas))

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
