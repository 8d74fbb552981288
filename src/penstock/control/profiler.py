"""Measures versions, one at a time: the throughput-latency curve and the cost model, in a bounded time."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from penstock.control.measurement import Measurement, Subject
from penstock.control.offers import Appraisal
from penstock.control.quiet import Quiet
from penstock.domain.errors import EngineFailed
from penstock.domain.findings import Circumstances
from penstock.domain.profile import Fingerprint, Profile
from penstock.domain.steps import Measuring
from penstock.ports.clock import Clock
from penstock.ports.cluster import Cluster, Process
from penstock.ports.engine import EngineClient
from penstock.ports.store import Store, Unit

DISTURBED = "Requests to {who} used the device while it was measured, so that it may be too low."


@dataclass(frozen=True, slots=True)
class Loaded:
    """An engine that has loaded a version and serves nobody, `startup_s` after it was asked for (less its build)."""

    id: str
    address: str
    process: Process
    device: str
    startup_s: float


@dataclass(frozen=True, slots=True)
class Job:
    """A version to measure with an engine. `budget_s` replaces the profiler's own.

    `gives_way`: it is broken off when requests come for what is on the device, as nobody waits for it.
    """

    engine: Loaded
    appraisal: Appraisal
    budget_s: float | None = None
    gives_way: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a measurement; without a profile it gave way to requests to `users`, endpoints by name."""

    profile: Profile | None
    users: str
    sentence: str


class Profiler:
    """Measures one version after the other. `budget_s` is about how long that may take.

    Those that deployments wait for are queued by `request` and taken up by `step`; others call `measure`.
    """

    def __init__(
        self, store: Store, client: EngineClient, cluster: Cluster, clock: Clock, quiet: Quiet, *, budget_s: float
    ) -> None:
        self._store = store
        self._client = client
        self._cluster = cluster
        self._clock = clock
        self._quiet = quiet
        self._budget_s = budget_s
        self._one = asyncio.Lock()
        self._waiting: list[Job] = []
        self._status: dict[str, Measuring] = {}
        self._running: dict[Fingerprint, float] = {}
        self._wakes: list[Callable[[], None]] = []

    def on_request(self, wake: Callable[[], None]) -> None:
        """Has `wake` called when there is something to do."""
        self._wakes.append(wake)

    def request(self, job: Job) -> None:
        """Queues a first measurement. Safe to repeat for the same engine; nothing is queued twice."""
        if job.engine.id in self._status:
            return
        self._status[job.engine.id] = Measuring(0.0)
        self._waiting.append(job)
        for wake in self._wakes:
            wake()

    def status(self, engine_id: str) -> Measuring | None:
        """How the measurement with that engine that was requested goes; None if there is none."""
        return self._status.get(engine_id)

    def forget(self, engine_id: str) -> None:
        """The engine is gone: neither measure with it nor remember how it went."""
        self._waiting = [job for job in self._waiting if job.engine.id != engine_id]
        self._status.pop(engine_id, None)

    async def step(self) -> str:
        """Measures whatever waits; returns a sentence for each."""
        sentences = []
        while self._waiting:
            job = self._waiting.pop(0)
            if job.engine.id in self._status:
                sentences.append(await self._serve(job))
        return "; ".join(sentences)

    def progress(self, fingerprint: Fingerprint) -> float | None:
        """From 0 to 1 while that is being measured, whoever asked for it."""
        return self._running.get(fingerprint)

    async def measure(self, job: Job) -> Measured:
        """Measures when it is its turn, and stores the profile. Raises EngineFailed."""
        async with self._one:
            return await self._measure(job)

    async def _serve(self, job: Job) -> str:
        failure, version = "the measurement was broken off", job.appraisal.fingerprint.version
        try:
            async with self._one:
                sentence = await self._first(job)
            failure = ""
        except EngineFailed as error:
            failure = error.message
            sentence = f"measuring {version} failed: {failure}"
        finally:
            if job.engine.id in self._status:
                self._status[job.engine.id] = Measuring(1.0, failure)
        return sentence

    async def _first(self, job: Job) -> str:
        async with self._store.unit() as unit:
            known = await unit.profiles.get(job.appraisal.fingerprint)
        if known is not None:
            return f"{job.appraisal.fingerprint.version} was measured meanwhile"
        return (await self._measure(job)).sentence

    async def _measure(self, job: Job) -> Measured:
        of, engine = job.appraisal, job.engine
        began = self._clock.monotonic()
        what = Subject(engine.address, of.facts, of.cost, of.needs.max_running)
        tell = self._teller(job)
        measurement = Measurement(self._client, self._clock, what, job.budget_s or self._budget_s, tell)
        tell(0.0)
        try:
            found, users = await self._quiet.during(engine.device, measurement.run(), gives_way=job.gives_way)
        finally:
            del self._running[of.fingerprint]
        async with self._store.unit() as unit:
            who = await names_of(unit, users)
        if found is None:
            return Measured(None, who, f"measuring {of.fingerprint.version} gave way to requests to {who}")
        memory = await self._cluster.memory(engine.process)
        profile = found.profile(Circumstances(of.fingerprint, engine.startup_s, memory, self._clock.now_ms()))
        if users:
            profile = replace(profile, stale=DISTURBED.format(who=who))
        async with self._store.unit() as unit:
            await unit.profiles.put(profile)
        sentence = (
            f"measured {of.fingerprint.version} in {self._clock.monotonic() - began:.0f} s: "
            f"{profile.throughput:,.0f} tokens/s at {profile.knee} parallel requests"
        )
        return Measured(profile, who, sentence)

    def _teller(self, job: Job) -> Callable[[float], None]:
        def tell(progress: float) -> None:
            self._running[job.appraisal.fingerprint] = min(progress, 0.99)
            if job.engine.id in self._status:
                self._status[job.engine.id] = Measuring(min(progress, 0.99))

        return tell


async def names_of(unit: Unit, endpoint_ids: Iterable[str]) -> str:
    """Endpoints for a sentence: those that are gone have no name to tell."""
    found = [await unit.endpoints.by_id(one) for one in sorted(endpoint_ids)]
    return ", ".join(f"'{one.name}'" for one in found if one is not None) or "an endpoint that is gone"
