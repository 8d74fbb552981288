"""Loads LoRA adapters into running engines, drops them, and remembers which engine has which.

Nothing of that is stored: engines end with this server, and what an engine has ends with it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from penstock.domain.adapting import Load, Unload
from penstock.domain.errors import PenstockError
from penstock.domain.steps import Adapted
from penstock.ports.artifacts import ArtifactStore
from penstock.ports.engine import EngineClient
from penstock.ports.store import Store

_log = logging.getLogger(__name__)
_NONE = Adapted()


@dataclass(slots=True)
class _Engine:
    """What is known of one; see `Adapted`. `told` is what the log says already of what fails again and again."""

    room: int
    loaded: set[str] = field(default_factory=set)
    busy: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)


class Adapting:
    """The adapters of engines, by replica. Lives on one event loop."""

    def __init__(self, store: Store, artifacts: ArtifactStore, client: EngineClient) -> None:
        self._store = store
        self._artifacts = artifacts
        self._client = client
        self._engines: dict[str, _Engine] = {}

    def started(self, replica_id: str, *, room: int) -> None:
        """An engine was started, with so much room for adapters."""
        self._engines[replica_id] = _Engine(room)

    def forget(self, replica_id: str) -> None:
        """The replica has ended."""
        engine = self._engines.pop(replica_id, None)
        for task in engine.busy.values() if engine is not None else ():
            task.cancel()

    def of(self, replica_id: str) -> Adapted:
        """What a replica's engine has."""
        engine = self._engines.get(replica_id)
        if engine is None:
            return _NONE
        return Adapted(engine.room, frozenset(engine.loaded), frozenset(engine.busy), dict(engine.refused))

    def begin(self, change: Load | Unload, wake: Callable[[], None]) -> None:
        """Begins it, unless one of that adapter is under way; `wake` is called when it is done.

        What fails for now is left as it was: whoever still wants it begins anew.
        """
        engine = self._engines.get(change.replica.id)
        if engine is None or change.adapter in engine.busy:
            return
        work = self._load(engine, change) if isinstance(change, Load) else self._unload(engine, change)
        task = asyncio.create_task(self._run(engine, work, change, wake))
        engine.busy[change.adapter] = task
        task.add_done_callback(lambda _: engine.busy.pop(change.adapter, None))

    def close(self) -> None:
        """Gives up what is under way."""
        for replica_id in list(self._engines):
            self.forget(replica_id)

    async def _run(
        self, engine: _Engine, work: Coroutine[None, None, None], change: Load | Unload, wake: Callable[[], None]
    ) -> None:
        try:
            await work
        except PenstockError as error:
            if engine.told.get(change.adapter) != error.message:
                what = "loading" if isinstance(change, Load) else "dropping"
                _log.warning("%s adapter %s: %s", what, change.adapter, error.message)
            engine.told[change.adapter] = error.message
            return
        engine.told.pop(change.adapter, None)
        asyncio.get_running_loop().call_soon(wake)

    async def _load(self, engine: _Engine, change: Load) -> None:
        model, _, number = change.adapter.rpartition("/")
        async with self._store.unit() as unit:
            version = await unit.catalog.version(model, int(number))
        if version is None:
            engine.refused[change.adapter] = f"Version {number} of model '{model}' is not there any more."
            return
        folder = self._artifacts.local(version.storage)
        why = await self._client.load_adapter(change.replica.address, change.adapter, folder)
        if why:
            engine.refused[change.adapter] = why
        else:
            engine.loaded.add(change.adapter)

    async def _unload(self, engine: _Engine, change: Unload) -> None:
        engine.loaded.discard(change.adapter)
        try:
            await self._client.drop_adapter(change.replica.address, change.adapter)
        except PenstockError:
            engine.loaded.add(change.adapter)
            raise
