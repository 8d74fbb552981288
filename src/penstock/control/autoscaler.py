"""The autoscaler: reads the gate every second, gives allotments, and remembers each change with its reason."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from penstock.domain.scaling import Ask, Decision, Kind, Policy, Sample, State, Want, decide, grant
from penstock.domain.scaling_record import ScalingRecord
from penstock.domain.throughput import SOLD_FRACTION
from penstock.ports.capacity import Capacity, Reading
from penstock.ports.clock import Clock

UNWRITTEN_LIMIT = 10_000
"""Changes kept while the database is away; the oldest are lost first."""
_ROUNDING = 1e-9


@dataclass(slots=True)
class _Track:
    """What is remembered of one served entity between steps."""

    samples: deque[Sample] = field(default_factory=deque)
    wants: tuple[Want, ...] = ()
    asked_at: float = 0.0


@dataclass(slots=True)
class _Case:
    """One served entity in one step: `standing` is its allotment as decided so far, `free` the share that was free."""

    reading: Reading
    state: State
    track: _Track
    decision: Decision
    standing: float
    free: float = 0.0


class Autoscaler:
    """Keeps the allotments of all served entities. `startup_s` tells how long a further chunk takes."""

    def __init__(self, capacity: Capacity, clock: Clock, policy: Policy, startup_s: Callable[[Reading], float]) -> None:
        self._capacity = capacity
        self._clock = clock
        self._policy = policy
        self._startup_s = startup_s
        self._tracks: dict[tuple[str, str], _Track] = {}
        self._changes: deque[ScalingRecord] = deque(maxlen=UNWRITTEN_LIMIT)

    async def step(self) -> str:
        """One look at every served entity; says what was changed. Touches nothing but the gate."""
        now = self._clock.monotonic()
        readings = self._capacity.readings()
        self._forget(readings)
        cases = [self._case(reading, now) for reading in readings]
        for devices in dict.fromkeys(reading.devices for reading in readings):
            self._divide(devices, cases, now)
        for case in cases:
            case.track.wants = case.decision.wants
        return " ".join(self._apply(case) for case in cases if case.decision.allotment != case.reading.allotment)

    def _divide(self, devices: tuple[str, ...], cases: Sequence[_Case], now: float) -> None:
        """Divides what is free on these devices among the served entities that are spread over just these."""
        group = [case for case in cases if case.reading.devices == devices]
        free = len(devices) * min(SOLD_FRACTION - _sold(device, cases) for device in devices)
        if free < -_ROUNDING:
            _reclaim(group, free)
        free -= sum(_share(one.reading, one.decision.allotment - one.state.allotment) for one in group if _settled(one))
        free = max(free, 0.0)
        self._raise(group, free, now)
        for case in group:
            case.free, case.standing = free, case.decision.allotment

    def take(self) -> Sequence[ScalingRecord]:
        """The changes that were not taken yet, oldest first; they stay until `stored` says that they are safe."""
        return tuple(self._changes)

    def stored(self, records: Sequence[ScalingRecord]) -> None:
        """Forgets changes that `take` gave."""
        safe = {(record.endpoint_id, record.entity, record.at) for record in records}
        kept = [one for one in self._changes if (one.endpoint_id, one.entity, one.at) not in safe]
        self._changes = deque(kept, maxlen=UNWRITTEN_LIMIT)

    def _forget(self, readings: Sequence[Reading]) -> None:
        known = {(reading.endpoint_id, reading.entity) for reading in readings}
        for key in [key for key in self._tracks if key not in known]:
            del self._tracks[key]

    def _case(self, reading: Reading, now: float) -> _Case:
        """Adds a sample, and decides what the entity would get of a device that had room for everything."""
        track = self._tracks.setdefault((reading.endpoint_id, reading.entity), _Track(asked_at=now))
        samples = track.samples
        if samples and reading.arrived < samples[-1].arrived:
            samples.clear()  # the gate began to count anew
        if (samples and reading.arrived > samples[-1].arrived) or reading.backlog or reading.in_flight:
            track.asked_at = now
        samples.append(Sample(now, reading.arrived, reading.backlog))
        # One sample older than what is looked at is where the rates begin.
        while len(samples) > 1 and samples[1].at <= now - self._policy.memory_s:
            samples.popleft()
        state = State(
            allotment=reading.allotment,
            minimum=reading.minimum,
            maximum=reading.maximum,
            chunk=reading.chunk,
            free=reading.maximum,
            startup_s=self._startup_s(reading),
            idle_s=now - track.asked_at,
            wants=track.wants,
        )
        return _Case(reading, state, track, decide(now, self._policy, state, samples), reading.allotment)

    def _raise(self, cases: Sequence[_Case], free: float, now: float) -> None:
        """Shares what is free among those who go up, and decides anew for those who do not get all."""
        rising = [case for case in cases if case.decision.kind is Kind.UP]
        asks = [
            Ask(round((case.decision.allotment - case.state.allotment) / case.state.chunk), _chunk_share(case.reading))
            for case in rising
        ]
        for case, ask, given in zip(rising, asks, grant(asks, free), strict=True):
            if given < ask.chunks:
                case.state = replace(case.state, free=given * case.state.chunk)
                case.decision = decide(now, self._policy, case.state, case.track.samples)

    def _apply(self, case: _Case) -> str:
        reading, decision = case.reading, case.decision
        self._capacity.allot(reading.endpoint_id, reading.entity, decision.allotment)
        record = ScalingRecord(
            endpoint_id=reading.endpoint_id,
            entity=reading.entity,
            at=self._clock.now_ms(),
            old=reading.allotment,
            new=decision.allotment,
            kind=decision.kind,
            reason=decision.reason,
            chunk=reading.chunk,
            mean=decision.demand.mean,
            burst=decision.demand.burst,
            backlog=decision.demand.backlog,
            wanted=decision.wanted,
            free=case.free / _chunk_share(reading) * reading.chunk,
        )
        self._changes.append(record)
        return f"{reading.entity} of {reading.endpoint_id} from {record.old:,.0f} to {record.new:,.0f} tokens/s."


def _sold(device: str, cases: Sequence[_Case]) -> float:
    """The share of a device that is allotted."""
    return sum(
        _share(case.reading, case.standing) / len(case.reading.devices)
        for case in cases
        if device in case.reading.devices
    )


def _reclaim(cases: Sequence[_Case], free: float) -> None:
    """Takes back what is allotted above the minimums until no more is allotted than is sold; `free` is below 0."""
    above = [max(case.state.held - case.state.floor, 0) for case in cases]
    asks = [Ask(chunks, _chunk_share(case.reading)) for case, chunks in zip(cases, above, strict=True)]
    kept_share = sum(ask.chunks * ask.share for ask in asks) + free
    for case, chunks, kept in zip(cases, above, grant(asks, kept_share), strict=True):
        allowed = (case.state.floor + kept) * case.state.chunk
        if kept < chunks and case.decision.allotment > allowed:
            reason = (
                "More was allotted than the device sells, because a minimum came back or was raised: "
                f"{case.state.floor + chunks} chunks of {case.state.chunk:,.0f} tokens/s were cut to "
                f"{case.state.floor + kept}."
            )
            case.decision = replace(case.decision, allotment=allowed, kind=Kind.RECLAIMED, reason=reason)


def _settled(case: _Case) -> bool:
    """Whether the decision stands already: only those who go up must share what is free."""
    return case.decision.kind is not Kind.UP


def _share(reading: Reading, tokens_per_s: float) -> float:
    return tokens_per_s / reading.chunk * _chunk_share(reading)


def _chunk_share(reading: Reading) -> float:
    return reading.chunk_share or reading.chunk / reading.throughput
