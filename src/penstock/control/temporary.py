"""An engine for a short while, that serves no endpoint: started to measure a version, and stopped."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.control.acts import Folders, engine_spec
from penstock.control.offers import Appraisal
from penstock.control.profiler import Loaded
from penstock.control.reconciler import Reconciler
from penstock.control.watch import build_log, last_words, log_folder, server_log
from penstock.domain.errors import Conflict, EngineFailed
from penstock.domain.placement import need
from penstock.ports.artifacts import ArtifactStore
from penstock.ports.clock import Clock
from penstock.ports.cluster import Cluster, Process
from penstock.ports.engine import EngineClient, EngineRecipe, Launch

LOOK_S = 0.25
_LAST_WORDS = 8192


@dataclass(frozen=True, slots=True)
class Place:
    """Room for one engine on a device, held until it is released."""

    id: str
    device: str


class TemporaryEngines:
    """Starts engines where there is memory for them; their time is nobody's. `limit_s` is for building and loading."""

    def __init__(
        self,
        *,
        reconciler: Reconciler,
        artifacts: ArtifactStore,
        cluster: Cluster,
        recipe: EngineRecipe,
        client: EngineClient,
        clock: Clock,
        folders: Folders,
        new_id: Callable[[], str],
        limit_s: float,
    ) -> None:
        self._reconciler = reconciler
        self._artifacts = artifacts
        self._cluster = cluster
        self._recipe = recipe
        self._client = client
        self._clock = clock
        self._folders = folders
        self._new_id = new_id
        self._limit_s = limit_s

    async def reserve(self, appraisal: Appraisal) -> Place:
        """Holds the memory that the version takes; raises Conflict, naming who has it, if there is none."""
        key, label = self._new_id(), f"{appraisal.version.model}/{appraisal.version.number}"
        # A spec of its own: no replica of an endpoint is meant.
        offer = replace(appraisal.offer, spec=key)
        made = await self._reconciler.reserve(key, f"measuring {label}", need(offer, label, 0, firm=False))
        for missing in made.missing.values():
            raise Conflict(missing)
        return Place(key, made.claims[0].device)

    def release(self, place: Place) -> None:
        """Gives the memory back. Safe to repeat."""
        self._reconciler.release(place.id)

    @asynccontextmanager
    async def running(self, appraisal: Appraisal, place: Place, tell: Callable[[str], None]) -> AsyncIterator[Loaded]:
        """An engine that has loaded the version, stopped at the end; `tell` hears what is being done.

        Raises EngineFailed with the reason if it does not come to that.
        """
        spec = engine_spec(appraisal, self._artifacts, self._folders)
        logs, until = self._folders.logs, self._clock.monotonic() + self._limit_s
        try:
            if not self._recipe.is_built(spec):
                tell("building: reading, converting and quantising the weights")
                log = build_log(logs, place.id)
                async with self._process(self._recipe.build(spec, log), place) as build:
                    await self._built(build, log, until)
                self._recipe.mark_built(spec)
            tell("loading the model")
            log = server_log(logs, place.id)
            address = self._recipe.address(spec, self._cluster.address(place.id))
            began = self._clock.monotonic()
            async with self._process(self._recipe.serve(spec, address, log), place) as process:
                await self._healthy(process, address, log, until)
                yield Loaded(place.id, address, process, place.device, self._clock.monotonic() - began)
        finally:
            await self._cluster.forget_logs(log_folder(logs, place.id))

    @asynccontextmanager
    async def _process(self, launch: Launch, place: Place) -> AsyncIterator[Process]:
        process = await self._cluster.start(replace(launch, device=place.device))
        try:
            yield process
        finally:
            await self._cluster.stop(process, 0.0)

    async def _built(self, build: Process, log: Path, until: float) -> None:
        while (status := await self._cluster.exit_code(build)) is None:
            await self._wait(until, "built")
        if status != 0:
            raise EngineFailed(await self._why(log) or f"The build exited with {status}.")

    async def _healthy(self, process: Process, address: str, log: Path, until: float) -> None:
        while not await self._client.healthy(address):
            if (status := await self._cluster.exit_code(process)) is not None:
                raise EngineFailed(await self._why(log) or f"The engine exited with {status}.")
            await self._wait(until, "ready")

    async def _wait(self, until: float, what: str) -> None:
        if self._clock.monotonic() >= until:
            raise EngineFailed(f"It was not {what} within {self._limit_s:.0f} s.")
        await self._clock.sleep(LOOK_S)

    async def _why(self, log: Path) -> str:
        return last_words(await self._cluster.tail(log, _LAST_WORDS))
