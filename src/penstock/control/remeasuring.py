"""Measuring versions again: when somebody asks for it, and by itself when a profile does not hold any more."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass

from penstock.control.offers import Appraisal, Offers
from penstock.control.profiler import Job, Loaded, Profiler, names_of
from penstock.control.quiet import LOOK_S, Quiet
from penstock.control.temporary import Place, TemporaryEngines
from penstock.control.watch import loaded
from penstock.domain.errors import Conflict, EngineFailed, PenstockError
from penstock.domain.profile import Fingerprint
from penstock.domain.replica import Replica, ReplicaState
from penstock.ports.clock import Clock
from penstock.ports.store import Store

SETTLED_S = 1.0
"""A device without requests for so long is taken to be idle when somebody waits for it."""
AGAIN_S = 300.0
"""A measurement that failed is tried again after so long."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Errand:
    """A measurement that was asked for: whether it is over; what it is `doing` and its `failure` are for people."""

    over: bool = False
    doing: str = ""
    failure: str = ""


class Remeasuring:
    """Measures while devices are idle, and gives way to requests, whoever's they are.

    `ask` begins a measurement for somebody; `step` measures again what is stale, once its device has been idle for
    `idle_s`.
    """

    def __init__(
        self,
        *,
        store: Store,
        offers: Offers,
        profiler: Profiler,
        quiet: Quiet,
        engines: TemporaryEngines,
        clock: Clock,
        idle_s: float,
        room: Callable[[str], int],
    ) -> None:
        """`room` tells what the engine of a replica has for adapters, by its id."""
        self._store = store
        self._offers = offers
        self._profiler = profiler
        self._quiet = quiet
        self._engines = engines
        self._clock = clock
        self._idle_s = idle_s
        self._room = room
        self._errands: dict[Fingerprint, Errand] = {}
        self._ahead: dict[Fingerprint, Errand] = {}
        self._tasks: dict[Fingerprint, asyncio.Task[None]] = {}
        self._not_before: dict[Fingerprint, float] = {}

    async def close(self) -> None:
        """Breaks off what is under way, and stops its engines."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def errand(self, fingerprint: Fingerprint) -> Errand | None:
        """The last that was asked for, if any."""
        return self._errands.get(fingerprint)

    async def ahead(self, appraisal: Appraisal) -> str | None:
        """Measures what a deployment waits for, requests or not; None while that goes on, else why it failed."""
        key = appraisal.fingerprint
        if key in self._tasks:
            return None
        if (errand := self._ahead.pop(key, None)) is not None and errand.failure:
            return errand.failure
        try:
            await self.ask(appraisal, budget_s=None, wait_s=0.0, gives_way=False)
        except Conflict as error:
            return error.message
        self._ahead[key] = self._errands[key]
        return None

    async def ask(self, appraisal: Appraisal, *, budget_s: float | None, wait_s: float, gives_way: bool = True) -> None:
        """Begins a measurement, unless one is under way: with a replica, or with an engine started for it.

        It waits until the device is idle, for `wait_s` seconds at most, and is begun anew if requests disturb it
        within that time; what does not give way does not wait either. Raises Conflict if there is neither a ready
        replica nor memory for an engine.
        """
        key = appraisal.fingerprint
        if key in self._tasks:
            return
        ready = await self._ready(appraisal)
        place = None if ready else await self._engines.reserve(appraisal)
        errand = self._errands[key] = Errand(doing="starting")

        def job(engine: Loaded) -> Job:
            return Job(engine, appraisal, budget_s, gives_way=gives_way)

        if ready:
            work = self._measure(job(loaded(ready[0], _startup_s(appraisal))), errand, wait_s)
        else:
            assert place is not None
            work = self._with_an_engine(appraisal, place, errand, job, wait_s=wait_s)
        task = self._tasks[key] = asyncio.create_task(self._run(errand, work))
        task.add_done_callback(self._when_done(key, place))

    async def step(self) -> str:
        """Measures one version again that is stale and whose device is idle; says how that went."""
        self._quiet.look()
        now = self._clock.monotonic()
        for appraisal, replica in await self._stale():
            key, idle_s = appraisal.fingerprint, self._quiet.idle_s(replica.device)
            due = key not in self._tasks and self._not_before.get(key, now) <= now
            if due and idle_s >= self._idle_s:
                return await self._again(appraisal, loaded(replica, _startup_s(appraisal)))
        return ""

    async def _again(self, appraisal: Appraisal, engine: Loaded) -> str:
        key = appraisal.fingerprint
        try:
            measured = await self._profiler.measure(Job(engine, appraisal, gives_way=True))
        except EngineFailed as error:
            self._not_before[key] = self._clock.monotonic() + AGAIN_S
            return f"measuring {key.version} again failed: {error.message}"
        return measured.sentence

    async def _run(self, errand: Errand, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except PenstockError as error:
            errand.failure = error.message
        except Exception:  # noqa: BLE001 - a task of its own: whoever asked must be told
            _log.exception("a measurement failed")
            errand.failure = "It failed for a reason that the server's log tells."
        finally:
            errand.over, errand.doing = True, ""

    def _when_done(self, key: Fingerprint, place: Place | None) -> Callable[[asyncio.Task[None]], None]:
        def done(_: asyncio.Task[None]) -> None:
            self._tasks.pop(key, None)
            if place is not None:
                self._engines.release(place)

        return done

    async def _with_an_engine(
        self, appraisal: Appraisal, place: Place, errand: Errand, job: Callable[[Loaded], Job], *, wait_s: float
    ) -> None:
        def tell(doing: str) -> None:
            errand.doing = doing

        async with self._engines.running(appraisal, place, tell) as engine:
            await self._measure(job(engine), errand, wait_s)

    async def _measure(self, job: Job, errand: Errand, wait_s: float) -> None:
        until = self._clock.monotonic() + wait_s
        while True:
            if job.gives_way:
                await self._until_idle(job.engine.device, errand, until, wait_s)
            errand.doing = "measuring"
            measured = await self._profiler.measure(job)
            if measured.profile is not None:
                return
            if self._clock.monotonic() >= until:
                raise Conflict(f"It was broken off: requests to {measured.users} came. Ask again when it is quiet.")

    async def _until_idle(self, device: str, errand: Errand, until: float, wait_s: float) -> None:
        """Returns when there was no request for a moment; raises Conflict with who made them at the deadline."""
        while True:
            self._quiet.look()
            now = self._clock.monotonic()
            users = self._quiet.users(device, now - SETTLED_S)
            if not users:
                return
            async with self._store.unit() as unit:
                who = await names_of(unit, users)
            errand.doing = f"waiting for {device} to be idle: requests to {who} run"
            if now >= until:
                raise Conflict(
                    f"{device} was not idle within {wait_s:.0f} s: requests to {who} run. Measuring beside them would"
                    " take from what they have bought, and find too little: wait longer, or ask when it is quiet."
                )
            await self._clock.sleep(LOOK_S)

    async def _ready(self, appraisal: Appraisal) -> Sequence[Replica]:
        """Replicas that serve the version in that precision and with that room, with nothing else set."""
        facts, precision = appraisal.facts, appraisal.precision
        asked = {precision.value} | ({"default"} if self._offers.default_precision(facts) is precision else set())
        version = appraisal.version
        async with self._store.unit() as unit:
            live = await unit.replicas.live()
        return [
            one
            for one in live
            if (one.entity_name, one.entity_version) == (version.model, str(version.number))
            and one.spec.removeprefix(f"{version.model}/{version.number}/").split("/", 1)[0] in asked
            and one.state is ReplicaState.READY
            and self._room(one.id) == appraisal.room
        ]

    async def _stale(self) -> Sequence[tuple[Appraisal, Replica]]:
        """What serves with a profile that does not hold, each with a replica, oldest measurements first."""
        async with self._store.unit() as unit:
            live = [one for one in await unit.replicas.live() if one.state is ReplicaState.READY]
            endpoints = await unit.endpoints.list()
        specs = {one.spec for one in live}
        entities = [entity for one in endpoints if one.active for entity in one.active.entities if entity.spec in specs]
        appraisals = await self._offers.of_entities(entities)
        rooms = {spec: one.room for spec, one in appraisals.items()}
        ready = {one.spec: one for one in live if self._room(one.id) == rooms.get(one.spec, 0)}
        found = [
            (one.profile.measured_at, spec, one)
            for spec, one in appraisals.items()
            if one.profile is not None and one.profile.stale and spec in ready
        ]
        return [(one, ready[spec]) for _, spec, one in sorted(found, key=lambda item: item[:2])]


def _startup_s(appraisal: Appraisal) -> float:
    return appraisal.profile.startup_s if appraisal.profile else 0.0
