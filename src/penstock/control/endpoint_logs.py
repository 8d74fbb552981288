"""Logs of served entities: what their build said, and what their engine says, which others may use too."""

from pathlib import Path

from penstock.control.watch import build_log, server_log
from penstock.domain.access import Caller
from penstock.domain.acl import require_view
from penstock.domain.endpoint import Config, Endpoint
from penstock.domain.errors import DoesNotExist, InvalidParameter
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
        spec, _ = await self._found(caller, name, entity, version)
        return await self._cluster.tail(build_log(self._logs, spec), LIMIT)

    async def server(self, caller: Caller, name: str, entity: str, version: int | None) -> str:
        """The engine's log; of engines on several devices one after another, each under its device. See `build`."""
        spec, mine = await self._found(caller, name, entity, version)
        # Without any now, as when it is scaled to zero, all that have run it.
        devices = [device.name for device in await self._cluster.devices() if not mine or device.name in mine]
        told: dict[str, str] = {}
        for device in devices:
            if text := await self._cluster.tail(server_log(self._logs, spec, device), LIMIT // len(devices)):
                told[device] = text
        if len(told) == 1:
            return next(iter(told.values()))
        return "\n".join(f"==> {device} <==\n{text}" for device, text in told.items())

    async def _found(self, caller: Caller, name: str, entity: str, version: int | None) -> tuple[str, frozenset[str]]:
        """What the served entity runs, and the devices that the endpoint has for that now."""
        async with self._store.unit() as unit:
            endpoint = await unit.endpoints.by_name(name)
            if endpoint is None:
                raise DoesNotExist(f"Endpoint with name '{name}' does not exist.")
            require_view(caller, endpoint.acl, name)
            older = await unit.endpoints.config(endpoint.id, version) if version is not None else None
            held = await unit.places.of(endpoint.id)
        spec = _entity(endpoint, entity, version, older).spec
        return spec, frozenset(claim.device for claim in held if claim.spec == spec)


def _entity(endpoint: Endpoint, name: str, version: int | None, older: Config | None) -> ServedEntity:
    if version is not None and older is None:
        raise DoesNotExist(f"Endpoint '{endpoint.name}' has no config version {version}.")
    configs = (endpoint.latest, endpoint.active, endpoint.stopped) if version is None else (older,)
    if any(one.name == name for config in configs if config is not None for one in config.externals):
        raise InvalidParameter(
            f"'{name}' is an external model: its provider runs it, and there are no logs of it here."
        )
    for config in configs:
        found = config.entity(name) if config is not None else None
        if found is not None:
            return found
    raise DoesNotExist(f"Endpoint '{endpoint.name}' has no served entity named '{name}'.")
