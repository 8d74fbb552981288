"""Logs of served entities: what their build said, and what their engine says."""

from collections.abc import Callable
from pathlib import Path

from penstock.control.acts import spec_folder
from penstock.control.watch import build_log, server_log
from penstock.domain.access import Caller, require_view
from penstock.domain.endpoint import Config, Endpoint
from penstock.domain.errors import DoesNotExist
from penstock.domain.served_entity import ServedEntity
from penstock.ports.cluster import Cluster
from penstock.ports.store import Store

LIMIT = 256 * 1024
"""Bytes of a log that are shown, from its end."""


class EndpointLogs:
    """Reads logs under the folder `logs`."""

    def __init__(self, store: Store, cluster: Cluster, logs: Path) -> None:
        self._store = store
        self._cluster = cluster
        self._logs = logs

    async def build(self, caller: Caller, name: str, entity: str, version: int | None) -> str:
        """The build log; of the newest configuration that has the entity if `version` is None.

        Raises DoesNotExist if there is no such endpoint, configuration or served entity.
        """
        return await self._read(caller, name, entity, version, build_log)

    async def server(self, caller: Caller, name: str, entity: str, version: int | None) -> str:
        """The engine's log; see `build`."""
        return await self._read(caller, name, entity, version, server_log)

    async def _read(
        self, caller: Caller, name: str, entity: str, version: int | None, path: Callable[[Path, str, str], Path]
    ) -> str:
        async with self._store.unit() as unit:
            endpoint = await unit.endpoints.by_name(name)
            if endpoint is None:
                raise DoesNotExist(f"Endpoint with name '{name}' does not exist.")
            require_view(caller, endpoint.creator, name)
            older = await unit.endpoints.config(endpoint.id, version) if version is not None else None
        found = _entity(endpoint, entity, version, older)
        return await self._cluster.tail(path(self._logs, endpoint.id, spec_folder(found.spec)), LIMIT)


def _entity(endpoint: Endpoint, name: str, version: int | None, older: Config | None) -> ServedEntity:
    if version is not None and older is None:
        raise DoesNotExist(f"Endpoint '{endpoint.name}' has no config version {version}.")
    configs = (endpoint.latest, endpoint.active) if version is None else (older,)
    for config in configs:
        found = config.entity(name) if config is not None else None
        if found is not None:
            return found
    raise DoesNotExist(f"Endpoint '{endpoint.name}' has no served entity named '{name}'.")
