"""Measures versions, one at a time: the throughput-latency curve and the cost model, in a bounded time."""

from collections.abc import Callable
from dataclasses import dataclass

from penstock.control.measurement import Measurement, Subject
from penstock.control.offers import workload
from penstock.domain import sweep
from penstock.domain.errors import EngineFailed
from penstock.domain.model import ModelFacts
from penstock.domain.profile import CostModel, Fingerprint
from penstock.domain.steps import Measuring
from penstock.ports.clock import Clock
from penstock.ports.cluster import Cluster, Process
from penstock.ports.engine import EngineClient
from penstock.ports.store import Store


@dataclass(frozen=True, slots=True)
class Job:
    """A version to measure with a replica that is loaded and serves nobody, and runs `max_running` requests at once.

    `again`: also if there is a profile already. `budget_s` replaces the profiler's own.
    """

    replica_id: str
    address: str
    process: Process
    fingerprint: Fingerprint
    facts: ModelFacts
    startup_s: float
    prior: CostModel
    max_running: int
    again: bool = False
    budget_s: float | None = None


class Profiler:
    """Takes jobs, and measures one after the other. `budget_s` is about how long one may take."""

    def __init__(self, store: Store, client: EngineClient, cluster: Cluster, clock: Clock, *, budget_s: float) -> None:
        self._store = store
        self._client = client
        self._cluster = cluster
        self._clock = clock
        self._budget_s = budget_s
        self._waiting: list[Job] = []
        self._status: dict[str, Measuring] = {}
        self._wakes: list[Callable[[], None]] = []

    def on_request(self, wake: Callable[[], None]) -> None:
        """Has `wake` called when there is something to do."""
        self._wakes.append(wake)

    def request(self, job: Job) -> None:
        """Queues a measurement. Safe to repeat for the same replica; nothing is queued twice."""
        known = self._status.get(job.replica_id)
        if known is not None and not (job.again and known.progress >= 1.0):
            return
        self._status[job.replica_id] = Measuring(0.0)
        self._waiting.append(job)
        for wake in self._wakes:
            wake()

    def status(self, replica_id: str) -> Measuring | None:
        """How the measurement with that replica goes; None if there is none, or it ended well."""
        return self._status.get(replica_id)

    def forget(self, replica_id: str) -> None:
        """The replica is gone: neither measure with it nor remember how it went."""
        self._waiting = [job for job in self._waiting if job.replica_id != replica_id]
        self._status.pop(replica_id, None)

    async def step(self) -> str:
        """Measures whatever waits; returns a sentence for each."""
        sentences = []
        while self._waiting:
            job = self._waiting.pop(0)
            if job.replica_id in self._status:
                sentences.append(await self._serve(job))
        return "; ".join(sentences)

    async def _serve(self, job: Job) -> str:
        failure = "the measurement was broken off"
        try:
            sentence = await self._measure(job)
            failure = ""
        except EngineFailed as error:
            failure = error.message
            sentence = f"measuring {job.fingerprint.version} failed: {failure}"
        finally:
            if job.replica_id in self._status:
                self._status[job.replica_id] = Measuring(1.0, failure)
        return sentence

    async def _measure(self, job: Job) -> str:
        async with self._store.unit() as unit:
            known = await unit.profiles.get(job.fingerprint)
        if known is not None and not job.again:
            return f"{job.fingerprint.version} was measured meanwhile"
        began = self._clock.monotonic()
        what = Subject(job.address, job.facts, job.prior, job.max_running)
        measurement = Measurement(self._client, self._clock, what, job.budget_s or self._budget_s, self._told(job))
        curve, grid, held_out = await measurement.run()
        around = sweep.Circumstances(
            job.fingerprint, job.startup_s, await self._cluster.memory(job.process), self._clock.now_ms(), job.prior
        )
        profile = sweep.summarise(workload(job.facts), curve, grid, held_out, around)
        async with self._store.unit() as unit:
            await unit.profiles.put(profile)
        return (
            f"measured {job.fingerprint.version} in {self._clock.monotonic() - began:.0f} s: "
            f"{profile.throughput:,.0f} tokens/s at {profile.knee} parallel requests"
        )

    def _told(self, job: Job) -> Callable[[float], None]:
        def tell(progress: float) -> None:
            if job.replica_id in self._status:
                self._status[job.replica_id] = Measuring(min(progress, 0.99))

        return tell
