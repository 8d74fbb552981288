"""The autoscaler: reads the gate, gives allotments, asks for replicas, and remembers each change with its reason."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from penstock.domain.scaling import Policy, Sample
from penstock.domain.scaling_record import ScalingRecord
from penstock.domain.scaling_round import Memory, Reach, Standing, Verdict, look
from penstock.ports.capacity import Capacity, Reading
from penstock.ports.clock import Clock
from penstock.ports.expansion import Expansion

UNWRITTEN_LIMIT = 10_000
"""Changes kept while the database is away; the oldest are lost first."""
LEAST_GAP_S = 0.05
_IDLE_PARTS = 20
"""Between two rounds, so many times as long is done nothing as the last one took."""


@dataclass(slots=True)
class _Track:
    """What is remembered of one served entity between rounds."""

    samples: deque[Sample] = field(default_factory=deque)
    memory: Memory = field(default_factory=Memory)
    asked_at: float = 0.0


class Autoscaler:
    """Keeps the allotments of all served entities, and the replicas beyond their minimums."""

    def __init__(self, capacity: Capacity, expansion: Expansion, clock: Clock, policy: Policy) -> None:
        self._capacity = capacity
        self._expansion = expansion
        self._clock = clock
        self._policy = policy
        self._tracks: dict[tuple[str, str], _Track] = {}
        self._changes: deque[ScalingRecord] = deque(maxlen=UNWRITTEN_LIMIT)
        self._next_at = float("-inf")

    async def paced(self) -> str:
        """A step, but not so soon after the one before that hints in a row would keep the server from its work."""
        wait = self._next_at - self._clock.monotonic()
        if wait > 0:
            await self._clock.sleep(wait)
        began = self._clock.monotonic()
        said = await self.step()
        ended = self._clock.monotonic()
        self._next_at = ended + max(LEAST_GAP_S, _IDLE_PARTS * (ended - began))
        return said

    async def step(self) -> str:
        """One look at every served entity; says what was changed. Touches the gate, and asks for replicas."""
        now = self._clock.monotonic()
        # What is paid by the token has nothing reserved that could be scaled.
        readings = [reading for reading in self._capacity.readings() if reading.maximum > 0]
        self._forget(readings)
        verdicts = look(now, self._policy, [self._standing(reading, now) for reading in readings])
        said = [self._apply(reading, verdict) for reading, verdict in zip(readings, verdicts, strict=True)]
        return " ".join(filter(None, said))

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

    def _standing(self, reading: Reading, now: float) -> Standing:
        """Adds a sample, and says how the entity stands."""
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
        outlook = self._expansion.outlook(reading.endpoint_id, reading.entity)
        return Standing(
            minimum=reading.minimum,
            maximum=reading.maximum,
            chunk=reading.chunk,
            chunk_share=reading.chunk_share,
            parts=reading.parts,
            samples=samples,
            idle_s=now - track.asked_at,
            startup_s=outlook.startup_s if outlook else 0.0,
            places=outlook.devices if outlook else {},
            running=outlook.running if outlook else frozenset(),
            memory=track.memory,
        )

    def _apply(self, reading: Reading, verdict: Verdict) -> str:
        endpoint_id, entity = reading.endpoint_id, reading.entity
        track = self._tracks[endpoint_id, entity]
        if verdict.parts != {one.device: one.allotted for one in reading.parts}:
            self._capacity.allot(endpoint_id, entity, verdict.parts)
        if verdict.further != track.memory.reaches.keys():
            self._expansion.want(endpoint_id, entity, verdict.further)
        if verdict.coming or track.memory.reaches:
            self._capacity.expect(endpoint_id, entity, verdict.ready_in_s, verdict.coming)
        self._tell_starts(reading, track.memory.reaches, verdict.memory.reaches)
        track.memory = verdict.memory
        if not verdict.changed:
            return ""
        record = self._record(reading, verdict)
        self._changes.append(record)
        replicas = f", replicas on {record.devices}" if record.devices else ""
        return f"{entity} of {endpoint_id} from {record.old:,.0f} to {record.new:,.0f} tokens/s{replicas}."

    def _tell_starts(self, reading: Reading, before: Mapping[str, Reach], after: Mapping[str, Reach]) -> None:
        """Says how long replicas took that are ready now, from the decision until they can be used."""
        for name, reach in after.items():
            wish = before.get(name)
            if reach.ready and wish is not None and not wish.ready and wish.start_s:
                took_s = self._clock.monotonic() - wish.since
                self._expansion.came(reading.endpoint_id, reading.entity, took_s)

    def _record(self, reading: Reading, verdict: Verdict) -> ScalingRecord:
        decision = verdict.decision
        return ScalingRecord(
            endpoint_id=reading.endpoint_id,
            entity=reading.entity,
            at=self._clock.now_ms(),
            old=verdict.before,
            new=verdict.allotment,
            kind=verdict.kind,
            reason=verdict.reason,
            chunk=reading.chunk,
            mean=decision.demand.mean,
            burst=decision.demand.burst,
            backlog=decision.demand.backlog,
            wanted=decision.wanted,
            free=verdict.free,
            minimum=reading.minimum,
            maximum=reading.maximum,
            startup_s=verdict.startup_s,
            devices=", ".join(verdict.devices),
        )
