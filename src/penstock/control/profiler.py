"""Measures versions, one at a time: the throughput-latency curve and the cost model, in a bounded time."""

import asyncio
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from penstock.control.offers import is_encoder, workload
from penstock.domain import sweep
from penstock.domain.errors import EngineFailed
from penstock.domain.model import ModelFacts
from penstock.domain.profile import CostModel, Fingerprint
from penstock.domain.steps import Measuring
from penstock.domain.sweep import Result, Trial
from penstock.ports.clock import Clock
from penstock.ports.cluster import Cluster, Process
from penstock.ports.engine import EngineClient, Sample
from penstock.ports.store import Store

_FEW_TOKENS = 256
"""Prompts are random tokens; a vocabulary that is not known is taken to have so many."""
_SEED = 2304


@dataclass(frozen=True, slots=True)
class Job:
    """A version to measure with a replica that is loaded and serves nobody yet."""

    replica_id: str
    address: str
    process: Process
    fingerprint: Fingerprint
    facts: ModelFacts
    startup_s: float
    prior: CostModel


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
        """Queues a measurement. Safe to repeat for the same replica."""
        if job.replica_id in self._status:
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
        if known is not None:
            return f"{job.fingerprint.version} was measured meanwhile"
        began = self._clock.monotonic()
        curve, others = await _Measurement(self._client, self._clock, job, self._budget_s, self._told(job)).run()
        around = sweep.Circumstances(
            job.fingerprint, job.startup_s, await self._cluster.memory(job.process), self._clock.now_ms(), job.prior
        )
        profile = sweep.summarise(workload(job.facts), curve, others, around)
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


class _Measurement:
    """One version's trials, from the first short one to the last shape."""

    def __init__(
        self, client: EngineClient, clock: Clock, job: Job, budget_s: float, tell: Callable[[float], None]
    ) -> None:
        self._client = client
        self._clock = clock
        self._job = job
        self._budget_s = budget_s
        self._tell = tell
        self._began = clock.monotonic()
        # The same prompts each time: a measurement is repeated, not varied.
        self._random = random.Random(_SEED)  # noqa: S311 - prompts, not secrets
        self._vocabulary = (job.facts.shape.vocabulary if job.facts.shape else 0) or _FEW_TOKENS

    async def run(self) -> tuple[list[Result], list[Result]]:
        """The curve, and the other shapes."""
        shape = workload(self._job.facts)
        first = sweep.first(*shape)
        await self._trial(first)
        before = await self._trial(first)
        curve: list[Result] = []
        done = 0.0
        for parallel, part in zip(sweep.PARALLEL, sweep.POINT_PARTS, strict=True):
            part_of_all = sweep.CURVE_PART * part
            before = await self._trial(sweep.next_point(parallel, shape, before, self._budget_s * part_of_all))
            curve.append(before)
            done += part_of_all
            self._tell(done)
        batch = next((one for one in curve if one.trial.parallel == sweep.SHAPES_AT), curve[-1])
        trials = sweep.shapes(batch, encoder=is_encoder(self._job.facts))
        others: list[Result] = []
        for number, trial in enumerate(trials):
            if others and self._clock.monotonic() - self._began > 1.5 * self._budget_s:
                break
            others.append(await self._trial(trial))
            self._tell(sweep.CURVE_PART + (1 - sweep.CURVE_PART) * (number + 1) / len(trials))
        return curve, others

    async def _trial(self, trial: Trial) -> Result:
        began = self._clock.monotonic()
        samples: list[Sample] = []
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(trial.parallel):
                    group.create_task(self._worker(trial, samples))
        except ExceptionGroup as failures:
            failed = failures.subgroup(EngineFailed)
            if failed is None:
                raise
            raise EngineFailed(str(failed.exceptions[0])) from failures
        wall = max(self._clock.monotonic() - began, 1e-6)
        latency = statistics.median(sample.seconds for sample in samples)
        return Result(trial, wall, latency, statistics.median(sample.ttft_s for sample in samples))

    async def _worker(self, trial: Trial, samples: list[Sample]) -> None:
        task = self._job.facts.task
        assert task is not None
        for _ in range(trial.rounds):
            prompt = [self._random.randrange(self._vocabulary) for _ in range(trial.tokens_in)]
            samples.append(await self._client.measure(self._job.address, task, prompt, trial.tokens_out))
