"""Makes what is wanted of endpoints so: load, observe, plan, act, publish; one loop for each endpoint.

A replica belongs to no one: whoever wants what it runs may take the next step with it, one after the other.
Nothing is remembered that matters: after a crash of the server, `recover` ends what survived, and the same steps build
the wanted state again from the database.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from penstock.control.acts import Acts
from penstock.control.expansion import Expanding, kinds
from penstock.control.holdings import Holdings
from penstock.control.loop import Loop
from penstock.control.making_room import MakingRoom
from penstock.control.offers import Appraisal, Offers, offers_of
from penstock.control.rooms import recall
from penstock.control.watch import Watch, process_of
from penstock.domain.endpoint import Config, Endpoint
from penstock.domain.packing import Placement, place
from penstock.domain.placement import Claim, Need, known_specs, needs, specs
from penstock.domain.plan import End, Facts, Plan, Remove, plan
from penstock.domain.replica import Replica, ReplicaState
from penstock.domain.routing import EndpointRoute
from penstock.domain.served_entity import ServedEntity
from penstock.domain.status import Slots, route
from penstock.domain.steps import Limits, Seen
from penstock.ports.clock import Clock
from penstock.ports.cluster import Cluster
from penstock.ports.routing import RouteTable
from penstock.ports.store import Store

SURVEY_S = 5.0
QUIET_S = 5.0
WATCHING_S = 1.0
BUSY_S = 0.25
_BUSY = frozenset(
    {
        ReplicaState.REQUESTED,
        ReplicaState.BUILDING,
        ReplicaState.LOADING,
        ReplicaState.MEASURING,
        ReplicaState.DRAINING,
    }
)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Ward:
    """What is remembered of one endpoint between its steps; all of it can be lost.

    `specs` are those that concern it, `rolling` those of its pending configuration, `replicas` what serves it, `stored`
    the places that the database knows. `gone`: it was deleted, whatever a step that is under way has read.
    """

    loop: Loop
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    task: asyncio.Task[None] | None = None
    asked: set[str] = field(default_factory=set)
    published: EndpointRoute | None = None
    blocked: str = ""
    replicas: frozenset[str] = frozenset()
    specs: frozenset[str] = frozenset()
    rolling: frozenset[str] = frozenset()
    stored: tuple[Claim, ...] | None = None
    gone: bool = False


class Reconciler:
    """The loops over endpoints; also what the gateway tells of demand (`penstock.ports.routing.Demand`).

    `loop` sees to it that each endpoint has a loop of its own; `recover` must have ended before it runs. `expanding` is
    told of replicas beyond the minimums.
    """

    def __init__(
        self,
        *,
        store: Store,
        cluster: Cluster,
        table: RouteTable,
        offers: Offers,
        acts: Acts,
        watch: Watch,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._table = table
        self._offers = offers
        self._acts = acts
        self._watch = watch
        self._clock = clock
        self._limits = limits
        self.expanding = Expanding(self.hint)
        self._wards: dict[str, _Ward] = {}
        self._holdings = Holdings()
        self.making_room = MakingRoom(store, offers, self._holdings, self.expanding)
        self._turns: dict[str, asyncio.Lock] = {}
        self.loop = Loop("reconciler", self.survey, clock, period_s=SURVEY_S)

    def hint(self, endpoint_id: str) -> None:
        """What is wanted of the endpoint changed."""
        ward = self._wards.get(endpoint_id)
        (ward.loop if ward else self.loop).hint()

    def ask(self, endpoint_id: str, entity: str) -> None:
        """A request waits for a replica of that served entity."""
        ward = self._wards.get(endpoint_id)
        if ward is not None and entity not in ward.asked:
            ward.asked.add(entity)
            ward.loop.hint()

    def withdraw(self, endpoint_id: str) -> None:
        """The endpoint was deleted: no request to it begins any more."""
        ward = self._wards.get(endpoint_id)
        if ward is not None:
            ward.gone = True
            self._withdraw(ward)

    def lost(self, replica_id: str) -> None:
        """A replica did not answer."""
        self._watch.suspect(replica_id)
        for ward in self._wards.values():
            if replica_id in ward.replicas:
                ward.loop.hint()

    async def run(self) -> None:
        """Recovers, then reconciles until cancelled: `recover`, `loop` and `close` in one."""
        await self.recover()
        try:
            await self.loop.run()
        finally:
            await self.close()

    async def close(self) -> None:
        """Ends the loops of the endpoints. Engines go on running."""
        tasks = [ward.task for ward in self._wards.values() if ward.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._acts.adapting.close()

    async def recover(self) -> None:
        """At start: ends engines that an earlier server left, and takes hold of what its endpoints had reserved.

        From then on the data plane knows all endpoints, so that who asks for one waits for it and is not told that
        there is none.
        """
        async with self._store.unit() as unit:
            left = await unit.replicas.live()
        await asyncio.gather(*(self._cluster.stop(process_of(replica), 0.0) for replica in left))
        now = self._clock.now_ms()
        async with self._store.unit() as unit:
            for replica in left:
                message = "The server was restarted."
                await unit.replicas.save(replace(replica, state=ReplicaState.STOPPED, message=message, changed_at=now))
            endpoints = await unit.endpoints.list(deleted=True)
            had = await unit.places.all()
        await recall(self._store, self._offers.rooms)
        # Those that had places first: they find them again where they were.
        for endpoint in sorted(endpoints, key=lambda endpoint: endpoint.id not in had):
            appraisals = await self._offers.of_entities(_entities(endpoint))
            asked = needs(endpoint, offers_of(_entities(endpoint), appraisals))
            before = had.get(endpoint.id, ())
            devices = await self._offers.devices()
            made = place(endpoint.name, asked, devices, self._holdings.others(endpoint.id), before=before)
            self._holdings.hold(endpoint.id, endpoint.name, made.claims)
            self.expanding.held(endpoint.id, made.claims, devices)
            ward = self._ward(endpoint.id, endpoint.name)
            self._publish(endpoint, (), ward, appraisals, {})
        if left:
            _log.info("reconciler: ended %d replicas that an earlier server left", len(left))

    async def reserve(self, key: str, holder: str, one: Need) -> Placement:
        """Holds what a replica that is no endpoint's takes until `release`, or nothing: then something is `missing`."""
        devices = await self._offers.devices()
        async with self._holdings.lock:
            made = place(holder, [one], devices, self._holdings.others(key))
            if not made.missing:
                self._holdings.hold(key, holder, made.claims)
                self.expanding.held(key, made.claims, devices)
            return made

    def release(self, key: str) -> None:
        """Gives up what `reserve` held. Safe to repeat."""
        self._holdings.drop(key)
        self.expanding.forget(key)

    async def survey(self) -> str:
        """Sees to it that every endpoint has its loop, and no other; returns a sentence if that changed."""
        async with self._store.unit() as unit:
            endpoints = {endpoint.id: endpoint for endpoint in await unit.endpoints.list(deleted=True)}
        for endpoint in endpoints.values():
            ward = self._ward(endpoint.id, endpoint.name)
            if ward.task is None:
                ward.task = asyncio.create_task(ward.loop.run(), name=ward.loop.name)
        gone = [key for key in self._wards if key not in endpoints]
        for key in gone:
            ward = self._wards.pop(key)
            self._holdings.drop(key)
            self._offers.rooms.drop(key)
            self.expanding.forget(key)
            if ward.task is not None:
                ward.task.cancel()
        return ""

    async def sweep(self) -> str:
        """Forgets what is long over; returns a sentence if there was something."""
        known = {spec for ward in self._wards.values() for spec in ward.specs}
        for spec in [spec for spec, turn in self._turns.items() if spec not in known and not turn.locked()]:
            del self._turns[spec]
        self._offers.rooms.keep(known)
        async with self._store.unit() as unit:
            gone = await unit.replicas.sweep(self._clock.now_ms() - int(self._limits.history_s * 1000))
        return f"{gone} ended replicas forgotten" if gone else ""

    def _ward(self, endpoint_id: str, name: str) -> _Ward:
        ward = self._wards.get(endpoint_id)
        if ward is None:

            async def step() -> str:
                return await self.step(endpoint_id)

            ward = self._wards[endpoint_id] = _Ward(Loop(f"endpoint {name}", step, self._clock, period_s=QUIET_S))
        return ward

    async def step(self, endpoint_id: str) -> str:
        """One cycle for one endpoint; returns a sentence if it did something of note."""
        ward = self._ward(endpoint_id, endpoint_id)
        async with ward.lock:
            async with self._store.unit() as unit:
                endpoint = await unit.endpoints.by_id(endpoint_id)
            if endpoint is None:
                return ""
            if endpoint.deleted:
                self._withdraw(ward)
            ward.specs = frozenset({*known_specs(endpoint), *(one.spec for one in self._holdings.claims(endpoint_id))})
            ward.rolling = frozenset(() if endpoint.deleted else specs(endpoint.pending))
            async with self._turn(ward.specs):
                return await self._step(endpoint, ward)

    async def _step(self, endpoint: Endpoint, ward: _Ward) -> str:
        """The step, while nobody else takes one with the same replicas."""
        async with self._store.unit() as unit:
            replicas = await unit.replicas.of(ward.specs)
        refusal = await self._make_room(endpoint, replicas, ward)
        appraisals = await self._offers.of_entities(_entities(endpoint))
        seen = await self._observe(replicas, appraisals)
        made = await self._decide(endpoint, replicas, seen, appraisals, ward, refusal=refusal)
        for action in made.actions:
            await self._acts.act(endpoint, action, appraisals)
        current: Endpoint | None = endpoint
        if made.actions:
            async with self._store.unit() as unit:
                current = await unit.endpoints.by_id(endpoint.id)
                replicas = await unit.replicas.of(ward.specs)
        self._publish(current, replicas, ward, appraisals, made.stuck)
        if any(not isinstance(action, End | Remove) for action in made.actions):
            self._tell(ward)
        self._acts.finish(made.actions, ward.loop.hint)
        return self._rest(ward, made, seen)

    async def _make_room(self, endpoint: Endpoint, replicas: Sequence[Replica], ward: _Ward) -> str:
        """For its adapters, if that can be; why it never can."""
        rooms, adapting = self._offers.rooms, self._acts.adapting
        for one in replicas:
            rooms.see(one.spec, adapting.of(one.id).room)
        before = rooms.adapters()
        refusal = await self.making_room.admit(endpoint, replicas, lambda key: adapting.of(key).room)
        if rooms.adapters() != before:
            self._tell(ward)
        return refusal

    @asynccontextmanager
    async def _turn(self, of: Collection[str]) -> AsyncIterator[None]:
        """One at a time for each spec, in an order that lets nobody wait for each other."""
        async with AsyncExitStack() as stack:
            for spec in sorted(of):
                await stack.enter_async_context(self._turns.setdefault(spec, asyncio.Lock()))
            yield

    def _tell(self, actor: _Ward) -> None:
        """Others that want the same have news of their replicas."""
        for ward in self._wards.values():
            if ward is not actor and ward.specs & actor.specs:
                ward.loop.hint()

    async def _observe(self, replicas: Sequence[Replica], appraisals: Mapping[str, Appraisal]) -> list[Seen]:
        live = [replica for replica in replicas if not replica.ended]
        return list(await asyncio.gather(*(self._look(replica, appraisals.get(replica.spec)) for replica in live)))

    async def _look(self, replica: Replica, appraisal: Appraisal | None) -> Seen:
        waits = replica.state is ReplicaState.REQUESTED
        built = waits and await self._acts.is_built(replica, appraisal)
        seen = await self._watch.look(replica, self._acts.log_of(replica), built=built)
        return replace(seen, adapted=self._acts.adapting.of(replica.id))

    async def _decide(
        self,
        endpoint: Endpoint,
        replicas: Sequence[Replica],
        seen: Sequence[Seen],
        appraisals: Mapping[str, Appraisal],
        ward: _Ward,
        *,
        refusal: str,
    ) -> Plan:
        """The plan, made while nobody else places anything; what it claims is held from here on."""
        devices = await self._offers.devices()
        active = endpoint.active
        names = [entity.name for entity in active.entities] if active else []
        async with self._holdings.lock:
            made = plan(
                Facts(
                    endpoint=endpoint,
                    seen=seen,
                    failed=[one for one in reversed(replicas) if one.state is ReplicaState.FAILED],
                    offers=offers_of(_entities(endpoint), appraisals),
                    devices=devices,
                    others=self._holdings.others(endpoint.id),
                    asked=frozenset(ward.asked),
                    idle_s={name: self._table.idle_s(endpoint.id, name) for name in names},
                    now_ms=self._clock.now_ms(),
                    limits=self._limits,
                    before=self._holdings.claims(endpoint.id),
                    further=self.expanding.further(endpoint.id),
                    shared=self._holdings.shared(endpoint.id),
                    rolling=frozenset().union(*(one.rolling for one in self._wards.values())),
                    adapters=self._offers.rooms.adapters(),
                    rooms={spec: one.room for spec, one in appraisals.items()},
                    refusal=refusal,
                )
            )
            self._holdings.hold(endpoint.id, endpoint.name, made.claims)
            self.expanding.held(endpoint.id, made.claims, devices)
        standing = tuple(claim for claim in made.claims if claim.place)
        if standing != ward.stored:
            async with self._store.unit() as unit:
                await unit.places.put(endpoint.id, standing)
            ward.stored = standing
        return made

    def _publish(
        self,
        endpoint: Endpoint | None,
        replicas: Sequence[Replica],
        ward: _Ward,
        appraisals: Mapping[str, Appraisal],
        stuck: Mapping[str, str],
    ) -> None:
        """Tells the data plane, if there is news."""
        if endpoint is None or endpoint.deleted or ward.gone:
            self._withdraw(ward)
            return
        slots = {spec: self._slots(spec, one, replicas) for spec, one in appraisals.items()}
        adapted = {one.id: self._acts.adapting.of(one.id) for one in replicas}
        news = route(endpoint, replicas, slots, self._holdings.claims(endpoint.id), stuck, adapted=adapted)
        self.expanding.serves(endpoint.id, kinds(endpoint, appraisals, replicas))
        served = {entity.name for entity in news.entities if entity.replicas}
        ward.asked -= served
        ward.asked &= {entity.name for entity in news.entities}
        ward.replicas = frozenset(one.id for entity in news.entities for one in entity.replicas)
        if news != ward.published:
            self._table.publish(news)
            ward.published = news

    def _slots(self, spec: str, one: Appraisal, replicas: Sequence[Replica]) -> Slots:
        """What a replica holds. Where one runs, for whomever, who wants it joins it, and nothing has to start."""
        runs = any(replica.spec == spec and replica.state is ReplicaState.READY for replica in replicas)
        start_s = 0.0 if runs or one.profile is None else self.expanding.start_s(spec, one.profile.startup_s)
        return Slots(one.needs.max_running, one.needs.max_queue, one.offer.chunks, one.terms, start_s)

    def _withdraw(self, ward: _Ward) -> None:
        if ward.published is not None:
            self._table.withdraw(ward.published.id)
            ward.published = None

    def _rest(self, ward: _Ward, made: Plan, seen: Sequence[Seen]) -> str:
        """Sets when the next step comes, and returns what to log."""
        if made.sentence:
            ward.loop.hint()
        states = {one.replica.state for one in seen}
        ward.loop.period_s = BUSY_S if states & _BUSY else WATCHING_S if states or made.blocked else QUIET_S
        news = made.blocked if made.blocked != ward.blocked and not made.sentence else ""
        ward.blocked = made.blocked
        return made.sentence or news


def _entities(endpoint: Endpoint) -> Iterable[ServedEntity]:
    configs: tuple[Config | None, ...] = () if endpoint.deleted else (endpoint.active, endpoint.pending)
    return [entity for config in configs if config is not None for entity in config.entities]
