"""Carries out what a plan says: the only place that starts and stops engines and writes what became of them."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from penstock.control.adapting import Adapting
from penstock.control.notices import Notices
from penstock.control.offers import Appraisal
from penstock.control.profiler import Job, Profiler
from penstock.control.watch import Watch, build_log, loaded, log_folder, process_of, server_log
from penstock.domain.adapting import Load, Unload
from penstock.domain.endpoint import Endpoint
from penstock.domain.errors import EngineFailed
from penstock.domain.plan import Act, End, Remove, Start
from penstock.domain.replica import Replica, ReplicaState
from penstock.domain.steps import Build, Drain, Kill, Measure, Move, Serve
from penstock.ports.artifacts import ArtifactStore
from penstock.ports.clock import Clock
from penstock.ports.cluster import Cluster
from penstock.ports.engine import EngineRecipe, EngineSpec, Launch
from penstock.ports.store import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Folders:
    """Where engines keep what they convert, and where they log."""

    cache: Path
    logs: Path


def engine_spec(appraisal: Appraisal, artifacts: ArtifactStore, folders: Folders) -> EngineSpec:
    """What an engine is to serve."""
    return EngineSpec(
        model=artifacts.local(appraisal.version.storage),
        cache=folders.cache,
        facts=appraisal.facts,
        served_name=f"{appraisal.version.model}/{appraisal.version.number}",
        precision=appraisal.precision,
        room=appraisal.room,
        needs=appraisal.needs,
    )


class Acts:
    """Acts on endpoints' plans. Row changes come first, then processes; both are safe to find half done."""

    def __init__(
        self,
        *,
        store: Store,
        artifacts: ArtifactStore,
        cluster: Cluster,
        recipe: EngineRecipe,
        profiler: Profiler,
        watch: Watch,
        adapting: Adapting,
        clock: Clock,
        folders: Folders,
        new_id: Callable[[], str],
        drain_s: float,
        notices: Notices | None = None,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._cluster = cluster
        self._recipe = recipe
        self._profiler = profiler
        self._watch = watch
        self.adapting = adapting
        self._clock = clock
        self._folders = folders
        self._new_id = new_id
        self._drain_s = drain_s
        self._notices = notices
        self._stopping: dict[str, asyncio.Task[None]] = {}
        # When starts began, epoch milliseconds: those of a server before this one have ended with it.
        self._began: dict[str, int] = {}

    async def is_built(self, replica: Replica, appraisal: Appraisal | None) -> bool:
        """Whether what the replica runs is prepared, and there is a build log to show.

        Without a log it is built once more for that: with everything in the cache that is quick.
        """
        if appraisal is None or not self._recipe.is_built(self._spec(appraisal)):
            return False
        return bool(await self._cluster.tail(build_log(self._folders.logs, replica.spec), 1))

    def log_of(self, replica: Replica) -> Path:
        """Where the replica's present process logs."""
        if replica.state is ReplicaState.BUILDING:
            return build_log(self._folders.logs, replica.spec)
        return server_log(self._folders.logs, replica.spec, replica.device)

    async def act(self, endpoint: Endpoint, action: Act, appraisals: Mapping[str, Appraisal]) -> None:
        """Carries out one action of a plan for that endpoint, but for what `finish` begins."""
        match action:
            case Start():
                await self._add(action)
            case End():
                await self._end(endpoint, action)
            case Remove():
                await self._remove(endpoint)
            case Build() | Serve():
                await self._launch(action, appraisals.get(action.replica.spec))
            case Measure():
                await self._measure(action.replica, appraisals.get(action.replica.spec))
            case Move():
                await self._save(action.replica, state=action.state, message=action.message)
            case Kill():
                await self._cluster.stop(process_of(action.replica), 0.0)
                failed = {"state": ReplicaState.FAILED, "message": action.message, "fatal": action.fatal}
                await self._save(action.replica, **failed)
            case Drain():
                if action.replica.state is not ReplicaState.DRAINING:
                    await self._save(action.replica, state=ReplicaState.DRAINING, message=action.message)

    def finish(self, actions: Sequence[Act], wake: Callable[[], None]) -> None:
        """Begins what takes long, once the data plane knows of it: replicas that drain get their signal.

        `wake` is called when one has ended, or has an adapter more or less.
        """
        for action in actions:
            if isinstance(action, Load | Unload):
                self.adapting.begin(action, wake)
            if isinstance(action, Drain) and action.replica.id not in self._stopping:
                task = asyncio.create_task(self._cluster.stop(process_of(action.replica), self._drain_s))
                self._stopping[action.replica.id] = task
                task.add_done_callback(self._when_stopped(action.replica.id, wake))

    def _when_stopped(self, replica_id: str, wake: Callable[[], None]) -> Callable[[asyncio.Task[None]], None]:
        def done(task: asyncio.Task[None]) -> None:
            self._stopping.pop(replica_id, None)
            if not task.cancelled() and task.exception() is not None:
                _log.error("stopping replica %s failed", replica_id, exc_info=task.exception())
            wake()

        return done

    async def _end(self, endpoint: Endpoint, action: End) -> None:
        async with self._store.unit() as unit:
            now = self._clock.now_ms()
            ended = await unit.endpoints.end(endpoint.id, action.version, action.outcome, action.message, now)
        if ended and self._notices is not None and endpoint.latest is not None:
            self._notices.hear(endpoint, endpoint.latest, action.outcome, action.message)

    async def _add(self, start: Start) -> None:
        now = self._clock.now_ms()
        replica = Replica(
            id=self._new_id(),
            spec=start.spec,
            entity_name=start.entity_name,
            entity_version=start.entity_version,
            state=ReplicaState.REQUESTED,
            message="",
            memory=start.memory,
            address="",
            pid=0,
            pid_started=0.0,
            created_at=now,
            changed_at=now,
            device=start.device,
        )
        async with self._store.unit() as unit:
            await unit.replicas.add(replica)

    async def _remove(self, endpoint: Endpoint) -> None:
        """Removes it, with the history of what nobody else has ever wanted."""
        async with self._store.unit() as unit:
            before = await unit.endpoints.specs()
            await unit.places.put(endpoint.id, ())
            await unit.endpoints.remove(endpoint.id)
            gone = before - await unit.endpoints.specs()
            for spec in gone:
                await unit.replicas.forget(spec)
        for spec in gone:
            await self._cluster.forget_logs(log_folder(self._folders.logs, spec))
        # Where earlier versions of this program kept the logs of an endpoint.
        await self._cluster.forget_logs(self._folders.logs / endpoint.id)

    def _spec(self, appraisal: Appraisal) -> EngineSpec:
        return engine_spec(appraisal, self._artifacts, self._folders)

    async def _launch(self, action: Build | Serve, appraisal: Appraisal | None) -> None:
        replica = action.replica
        if appraisal is None:
            await self._save(replica, state=ReplicaState.FAILED, message="Its model version is gone.")
            return
        spec = self._spec(appraisal)
        address = ""
        self._began[replica.id] = self._begins(replica, build=isinstance(action, Build))
        if isinstance(action, Build):
            state, message = ReplicaState.BUILDING, ""
            launch = self._recipe.build(spec, build_log(self._folders.logs, replica.spec))
        else:
            if replica.state is ReplicaState.BUILDING:
                self._recipe.mark_built(spec)
                await self._cluster.stop(process_of(replica), 0.0)
            address = self._recipe.address(spec, self._cluster.address(replica.id))
            state, message = ReplicaState.LOADING, ""
            self.adapting.started(replica.id, room=action.room)
            log = server_log(self._folders.logs, replica.spec, replica.device)
            try:
                launch = self._recipe.serve(replace(spec, room=action.room), address, log)
            except EngineFailed as error:
                await self._save(replica, state=ReplicaState.FAILED, message=error.message)
                return
        await self._run(replica, launch, {"state": state, "message": message, "address": address})

    def _begins(self, replica: Replica, *, build: bool) -> int:
        """When its start began. A build is no part of it: only what it had waited when that began is."""
        now = self._clock.now_ms()
        if build:
            return now
        if replica.state is not ReplicaState.BUILDING:
            return replica.created_at
        return now - (self._began.get(replica.id, replica.created_at) - replica.created_at)

    async def _run(self, replica: Replica, launch: Launch, changes: dict[str, Any]) -> None:
        try:
            process = await self._cluster.start(replace(launch, device=replica.device))
        except EngineFailed as error:
            await self._save(replica, state=ReplicaState.FAILED, message=error.message)
            return
        await self._save(replica, pid=process.pid, pid_started=process.started, **changes)

    async def _measure(self, replica: Replica, appraisal: Appraisal | None) -> None:
        assert appraisal is not None
        began = self._began.get(replica.id, replica.changed_at)
        startup_s = max(self._clock.now_ms() - began, 0) / 1000
        self._profiler.request(Job(loaded(replica, startup_s), appraisal))
        if replica.state is not ReplicaState.MEASURING:
            await self._save(replica, state=ReplicaState.MEASURING, message="Waiting to be measured.")

    async def _save(self, replica: Replica, **changes: Any) -> None:
        saved = replace(replica, **changes, changed_at=self._clock.now_ms())
        async with self._store.unit() as unit:
            await unit.replicas.save(saved)
        if saved.ended or saved.state is ReplicaState.READY:
            self._began.pop(replica.id, None)
        if saved.ended:
            self._profiler.forget(replica.id)
            self._watch.forget(replica.id)
            self.adapting.forget(replica.id)
