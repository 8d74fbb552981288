"""How an endpoint's throughput stands: what was bought, what is asked and what is done, for those who bought it."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from penstock.control.offers import Appraisal, Offers
from penstock.domain.access import Caller
from penstock.domain.acl import require_view
from penstock.domain.drift import Drift
from penstock.domain.endpoint import Endpoint
from penstock.domain.errors import DoesNotExist
from penstock.domain.last_minute import Ended, LastMinute
from penstock.domain.pace import Pace
from penstock.domain.profile import Profile
from penstock.domain.scaling_record import ScalingRecord
from penstock.domain.throughput import CONCURRENCY_PER_CHUNK, SOLD_FRACTION
from penstock.domain.usage import RequestRecord
from penstock.ports.capacity import Capacity, Reading
from penstock.ports.clock import Clock
from penstock.ports.store import Store

WINDOW_S = 10.0
"""Demand and what was attained are means over so many seconds."""
DECISIONS = 20


@dataclass(frozen=True, slots=True)
class EntityThroughput:
    """One served entity. Tokens are reference tokens; `demand` and `attained` tokens per second of the last 10 s.

    `device_share` is what the allotment takes of a device's time, 0 to 0.9; `device_used` the part of its devices' time
    that was used in the last 10 s, by whomever. `appraisal` tells the cost of requests,
    None if the version is gone; `drift` how far production is from its profile, None if nothing is known of that.
    """

    reading: Reading
    demand: float
    attained: float
    device_share: float
    appraisal: Appraisal | None
    drift: Drift | None = None
    device_used: float = 0.0

    @property
    def provisioned_concurrency(self) -> float:
        """The allotment in the units of provisioned concurrency: four for each chunk."""
        return self.reading.allotment / self.reading.chunk * CONCURRENCY_PER_CHUNK if self.reading.chunk else 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How an endpoint stands, as far as memory tells: `ended` sums the requests that ended in the last minute."""

    name: str
    entities: Sequence[EntityThroughput]
    ended: Ended


@dataclass(frozen=True, slots=True)
class EndpointThroughput:
    """An endpoint. `decisions` are the newest first; `ended` sums the requests that ended in the last minute."""

    endpoint: Endpoint
    entities: Sequence[EntityThroughput]
    decisions: Sequence[ScalingRecord]
    ended: Ended

    @property
    def standing(self) -> Standing:
        """What memory alone tells of it."""
        return Standing(self.endpoint.name, self.entities, self.ended)


class Throughput:
    """Looks at the gate every second (`step`) and hears of requests that ended (`hear`); answers from that."""

    def __init__(
        self,
        store: Store,
        capacity: Capacity,
        offers: Offers,
        clock: Clock,
        drift: Callable[[Profile], Drift | None],
    ) -> None:
        self._drift = drift
        self._store = store
        self._capacity = capacity
        self._offers = offers
        self._clock = clock
        self._arrived: dict[tuple[str, str], Pace] = {}
        self._attained: dict[tuple[str, str], Pace] = {}
        self._ended = LastMinute()

    def hear(self, records: Sequence[RequestRecord]) -> None:
        """Counts requests that have ended."""
        self._ended.see(records, self._clock.now_ms())

    async def step(self) -> str:
        """One look at the gate; says nothing."""
        now = self._clock.monotonic()
        readings = {(one.endpoint_id, one.entity): one for one in self._capacity.readings()}
        for paces in (self._arrived, self._attained):
            for key in [key for key in paces if key not in readings]:
                del paces[key]
        for key, reading in readings.items():
            self._arrived.setdefault(key, Pace(WINDOW_S)).add(now, reading.arrived)
            self._attained.setdefault(key, Pace(WINDOW_S)).add(now, reading.attained)
        self._ended.forget(self._clock.now_ms())
        return ""

    async def of(self, caller: Caller, name: str) -> EndpointThroughput:
        """One endpoint; raises DoesNotExist, or PermissionDenied without CAN_VIEW."""
        async with self._store.unit() as unit:
            endpoint = await unit.endpoints.by_name(name)
            if endpoint is None:
                raise DoesNotExist(f"Endpoint with name '{name}' does not exist.")
            require_view(caller, endpoint.acl, name)
            decisions = await unit.scaling.of(endpoint.id, limit=DECISIONS)
        entities = endpoint.active.entities if endpoint.active else ()
        appraisals = await self._offers.of_entities(entities)
        specs = {entity.name: entity.spec for entity in entities}
        readings = [one for one in self._capacity.readings() if one.endpoint_id == endpoint.id]
        found = [self._entity(one, appraisals, specs.get(one.entity, "")) for one in readings]
        ended = self._ended.told(endpoint.id, self._clock.now_ms())
        return EndpointThroughput(endpoint, found, decisions, ended)

    def standings(self, names: Mapping[str, str]) -> list[Standing]:
        """Endpoints by id and name, from memory alone: the gate's readings, demand, and what ended."""
        found: dict[str, list[EntityThroughput]] = {endpoint_id: [] for endpoint_id in names}
        for one in self._capacity.readings():
            if one.endpoint_id in found:
                found[one.endpoint_id].append(EntityThroughput(one, *self._rates(one), 0.0, None))
        now = self._clock.now_ms()
        return [Standing(names[key], entities, self._ended.told(key, now)) for key, entities in found.items()]

    def _entity(self, reading: Reading, appraisals: Mapping[str, Appraisal], spec: str) -> EntityThroughput:
        appraisal = appraisals.get(spec)
        slices = appraisal.offer.chunks.slices if appraisal else 1
        share = reading.allotment / reading.chunk * SOLD_FRACTION / slices if reading.chunk else 0.0
        return EntityThroughput(
            reading,
            *self._rates(reading),
            share,
            appraisal,
            self._drift(appraisal.profile) if appraisal is not None and appraisal.profile is not None else None,
            self._used({part.device for part in reading.parts}),
        )

    def _rates(self, reading: Reading) -> tuple[float, float]:
        """Demand, and what was attained."""
        key = (reading.endpoint_id, reading.entity)
        arrived, attained = self._arrived.get(key), self._attained.get(key)
        return arrived.per_s() if arrived else 0.0, attained.per_s() if attained else 0.0

    def _used(self, devices: AbstractSet[str]) -> float:
        """The part of these devices' time that was used; what is spread over several is taken to be so evenly."""
        used = 0.0
        for one in self._capacity.readings():
            pace, there = self._attained.get((one.endpoint_id, one.entity)), {part.device for part in one.parts}
            if pace is not None and one.throughput and there:
                used += pace.per_s() / one.throughput * len(there & devices) / len(there)
        return min(used / max(len(devices), 1), 1.0)
