"""Logs of served entities: what their build said, and what their engine says."""

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
        endpoint_id, spec = await self._found(caller, name, entity, version)
        return await self._cluster.tail(build_log(self._logs, endpoint_id, spec_folder(spec)), LIMIT)

    async def server(self, caller: Caller, name: str, entity: str, version: int | None) -> str:
        """The engine's log; of engines on several devices one after another, each under its device. See `build`."""
        endpoint_id, spec = await self._found(caller, name, entity, version)
        devices = [device.name for device in await self._cluster.devices()]
        told: dict[str, str] = {}
        for device in devices:
            path = server_log(self._logs, endpoint_id, spec_folder(spec), device)
            if text := await self._cluster.tail(path, LIMIT // len(devices)):
                told[device] = text
        if len(told) == 1:
            return next(iter(told.values()))
        return "\n".join(f"==> {device} <==\n{text}" for device, text in told.items())

    async def _found(self, caller: Caller, name: str, entity: str, version: int | None) -> tuple[str, str]:
        """The endpoint's id, and what the served entity runs."""
        async with self._store.unit() as unit:
            endpoint = await unit.endpoints.by_name(name)
            if endpoint is None:
                raise DoesNotExist(f"Endpoint with name '{name}' does not exist.")
            require_view(caller, endpoint.creator, name)
            older = await unit.endpoints.config(endpoint.id, version) if version is not None else None
        return endpoint.id, _entity(endpoint, entity, version, older).spec


def _entity(endpoint: Endpoint, name: str, version: int | None, older: Config | None) -> ServedEntity:
    if version is not None and older is None:
        raise DoesNotExist(f"Endpoint '{endpoint.name}' has no config version {version}.")
    configs = (endpoint.latest, endpoint.active) if version is None else (older,)
    for config in configs:
        found = config.entity(name) if config is not None else None
        if found is not None:
            return found
    raise DoesNotExist(f"Endpoint '{endpoint.name}' has no served entity named '{name}'.")
