"""Room for the LoRA adapters of new configurations: made only where what was sold of their bases is kept.

An engine with room is slower than one without. What it does is measured before anything is exchanged, and a share of
it for everybody who bought of the base is found first; then all are sold by that, and their engines follow.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from penstock.control.expansion import Expanding
from penstock.control.holdings import Holdings
from penstock.control.offers import Appraisal, Offers, offers_of
from penstock.control.rooms import ranks_of
from penstock.domain.endpoint import Endpoint, Outcome
from penstock.domain.packing import place
from penstock.domain.placement import known_specs, needs, places, standing
from penstock.domain.replica import Replica, ReplicaState
from penstock.domain.served_entity import ServedEntity
from penstock.ports.store import Store

Measure = Callable[[Appraisal], Awaitable[str | None]]
"""Has something measured that a deployment waits for; None while that is under way, else why it failed."""
_STARTING = frozenset({ReplicaState.LOADING, ReplicaState.MEASURING})


class MakingRoom:
    """Decides for one endpoint at a time, while nobody else takes a step with the same replicas."""

    def __init__(self, store: Store, offers: Offers, holdings: Holdings, expanding: Expanding) -> None:
        self._store = store
        self._offers = offers
        self._holdings = holdings
        self._expanding = expanding
        self.measure: Measure | None = None

    async def admit(self, endpoint: Endpoint, replicas: Sequence[Replica], rooms: Callable[[str], int]) -> str:
        """Gives the endpoint a right to the adapters of its pending configuration, if it can be now.

        `replicas` are those of its specs, and `rooms` tells what their engines have, by id. Returns why that cannot be
        at all, empty if it is so or may come to be.
        """
        held = self._offers.rooms
        if endpoint.deleted:
            held.drop(endpoint.id)
            return ""
        if not any(entity.adapter for entity in _entities(endpoint)):
            held.hold(endpoint.id, {})
            return ""
        async with self._store.unit() as unit:
            active = await ranks_of(unit, endpoint.active)
            both = await ranks_of(unit, endpoint.active, endpoint.pending)
        new = {spec: ranks for spec, ranks in both.items() if not held.has(endpoint.id, spec, ranks)}
        if new:
            held.hold(endpoint.id, active)
            live = [(one, rooms(one.id)) for one in replicas if not one.ended]
            for entity in {one.spec: one for one in _entities(endpoint) if one.spec in new}.values():
                why = await self._verdict(endpoint, entity, new[entity.spec], live)
                if why != "":
                    return why or ""
        held.hold(endpoint.id, both)
        return ""

    async def _verdict(
        self, endpoint: Endpoint, entity: ServedEntity, ranks: dict[str, int], live: Sequence[tuple[Replica, int]]
    ) -> str | None:
        """Empty if that room can be made, else why not; None while that is not known yet."""
        spec = entity.spec
        now = (await self._offers.of_entities([entity])).get(spec)
        then = (await self._offers.of_entities([entity], {spec: ranks})).get(spec)
        if now is None or then is None or then.room <= now.room:
            return ""
        if any(one.spec == spec and one.state in _STARTING and room < then.room for one, room in live):
            return None
        if now.profile is None or not self._is_sold(endpoint, spec):
            return ""
        if then.profile is None:
            failure = await self.measure(then) if self.measure is not None else None
            return failure and _unmeasured(entity, failure)
        async with self._holdings.lock:
            missing = await self._missing(endpoint, then, spec)
        return missing and _refused(missing, now, then)

    def _is_sold(self, endpoint: Endpoint, spec: str) -> bool:
        """Whether something was bought of what the endpoint's adapters run on."""
        others = [one for one in self._holdings.others(endpoint.id) if one.spec == spec]
        return spec in standing(endpoint.active) or any(one.share > 0 for one in others)

    async def _missing(self, endpoint: Endpoint, then: Appraisal, spec: str) -> str:
        """What is missing for all who have bought of the spec, as a sentence; if nothing is, they hold it."""
        holders = [endpoint.id, *(key for key in self._holdings.holders(spec) if key != endpoint.id)]
        before = {key: self._holdings.held(key) for key in holders}
        for key in holders:
            missing = await self._hold(key, then, spec, only_active=key == endpoint.id)
            if missing:
                for other, (name, claims) in before.items():
                    self._holdings.hold(other, name, claims)
                return missing
        return ""

    async def _hold(self, key: str, then: Appraisal, spec: str, *, only_active: bool) -> str:
        """Has one endpoint hold what it needs by the new measurement; what is missing for that."""
        async with self._store.unit() as unit:
            endpoint = await unit.endpoints.by_id(key)
            if endpoint is None:
                return ""
            if only_active and endpoint.latest is not None and endpoint.pending is not None:
                endpoint = replace(endpoint, latest=replace(endpoint.latest, outcome=Outcome.FAILED))
            live = [one for one in await unit.replicas.of(known_specs(endpoint)) if not one.ended]
        appraisals = await self._offers.of_entities(_entities(endpoint)) | {spec: then}
        claims, devices = self._holdings.claims(key), await self._offers.devices()
        awake = {one for one, _ in places(claims)}
        asked = needs(endpoint, offers_of(_entities(endpoint), appraisals), awake, self._expanding.further(key))
        made = place(endpoint.name, asked, devices, self._holdings.others(key), live=live, before=claims)
        self._holdings.hold(key, endpoint.name, made.claims)
        return " ".join(made.missing.values())


def _entities(endpoint: Endpoint) -> Iterable[ServedEntity]:
    configs = (endpoint.active, endpoint.pending)
    return [entity for config in configs if config is not None for entity in config.entities]


def _unmeasured(entity: ServedEntity, failure: str) -> str:
    return (
        f"What an engine of {'/'.join(entity.runs)} with room for adapters does must be measured before it takes the "
        f"place of the one that endpoints have bought of, and that cannot be: {failure.rstrip('.')}. Stop those "
        "endpoints until this configuration is ready, or serve the adapter elsewhere."
    )


def _refused(missing: str, now: Appraisal, then: Appraisal) -> str:
    before, after = now.offer.chunks.throughput, then.offer.chunks.throughput
    return (
        f"{missing} What was sold of {then.version.label} is kept: an engine with room for adapters of rank "
        f"{then.room} in all does {after:,.0f} tokens/s, and {before:,.0f} as it is now."
    )
