"""Endpoints and their configurations in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from penstock.domain.acl import Acl
from penstock.domain.endpoint import Config, Endpoint, Outcome
from penstock.domain.errors import AlreadyExists
from penstock.domain.notification import Notifications
from penstock.domain.rate_limit import RateLimit
from penstock.domain.served_entity import ServedEntity
from penstock.domain.telemetry import Telemetry


@dataclass
class FakeEndpointRows:
    """See `penstock.ports.endpoint_rows.EndpointRows`. `by_key` has the endpoints without their configurations."""

    by_key: dict[str, Endpoint] = field(default_factory=dict)
    configs: dict[tuple[str, int], Config] = field(default_factory=dict)
    pointers: dict[str, tuple[int | None, int | None]] = field(default_factory=dict)
    stopped: dict[str, int] = field(default_factory=dict)

    async def add(self, endpoint: Endpoint) -> None:
        """Adds the endpoint with its latest configuration, if any."""
        if endpoint.id in self.by_key or await self.by_name(endpoint.name):
            raise AlreadyExists(f"Serving endpoint with name '{endpoint.name}' already exists.")
        self.by_key[endpoint.id] = replace(endpoint, active=None, latest=None)
        self.pointers[endpoint.id] = (None, None)
        if endpoint.latest is not None:
            await self.want(endpoint.id, endpoint.latest, endpoint.updated_at)

    async def by_name(self, name: str) -> Endpoint | None:
        """By name."""
        return next((one for one in await self.list() if one.name == name), None)

    async def by_id(self, endpoint_id: str) -> Endpoint | None:
        """By id."""
        bare = self.by_key.get(endpoint_id)
        if bare is None:
            return None
        active, latest = (
            self.configs.get((endpoint_id, version)) if version else None for version in self.pointers[endpoint_id]
        )
        stopped = self.configs.get((endpoint_id, self.stopped.get(endpoint_id, 0)))
        return replace(bare, active=active, latest=latest, stopped=stopped)

    async def list(self, *, deleted: bool = False) -> Sequence[Endpoint]:
        """All of them."""
        found = [await self.by_id(endpoint_id) for endpoint_id in self.by_key]
        kept = [one for one in found if one is not None and (deleted or not one.deleted)]
        return sorted(kept, key=lambda one: (one.name, one.created_at))

    async def specs(self) -> frozenset[str]:
        """Of all configurations."""
        return frozenset(entity.spec for config in self.configs.values() for entity in config.entities)

    async def config(self, endpoint_id: str, version: int) -> Config | None:
        """One configuration."""
        return self.configs.get((endpoint_id, version))

    async def set_entities(self, endpoint_id: str, version: int, entities: Sequence[ServedEntity]) -> None:
        """Replaces the served entities of a configuration."""
        key = (endpoint_id, version)
        self.configs[key] = replace(self.configs[key], entities=tuple(entities))

    async def want(self, endpoint_id: str, config: Config, now_ms: int) -> None:
        """Adds a configuration as the latest."""
        if (endpoint_id, config.version) in self.configs:
            raise AlreadyExists(f"Config version {config.version} already exists.")
        self.configs[endpoint_id, config.version] = config
        self.pointers[endpoint_id] = (self.pointers[endpoint_id][0], config.version)
        self._touch(endpoint_id, now_ms)

    async def note(self, endpoint_id: str, version: int, message: str) -> None:
        """Changes a configuration's message."""
        self.configs[endpoint_id, version] = replace(self.configs[endpoint_id, version], message=message)

    async def end(self, endpoint_id: str, version: int, outcome: Outcome, message: str, now_ms: int) -> bool:
        """Ends a pending configuration."""
        config = self.configs.get((endpoint_id, version))
        if config is None or config.outcome is not Outcome.PENDING:
            return False
        self.configs[endpoint_id, version] = replace(config, outcome=outcome, message=message)
        if outcome is Outcome.ACTIVE:
            self.pointers[endpoint_id] = (version, self.pointers[endpoint_id][1])
            self.stopped.pop(endpoint_id, None)
        self._touch(endpoint_id, now_ms)
        return True

    async def request_cancel(self, endpoint_id: str, version: int) -> None:
        """Notes that the configuration is no longer wanted."""
        self.configs[endpoint_id, version] = replace(self.configs[endpoint_id, version], cancel_requested=True)

    async def mark_deleted(self, endpoint_id: str, now_ms: int) -> None:
        """Frees the name."""
        self.by_key[endpoint_id] = replace(self.by_key[endpoint_id], deleted=True)
        self._touch(endpoint_id, now_ms)

    async def remove(self, endpoint_id: str) -> None:
        """Removes the endpoint and its configurations."""
        self.by_key.pop(endpoint_id, None)
        self.pointers.pop(endpoint_id, None)
        self.configs = {key: config for key, config in self.configs.items() if key[0] != endpoint_id}

    async def stop(self, endpoint_id: str, now_ms: int) -> None:
        """Makes the active configuration the stopped one."""
        active, latest = self.pointers[endpoint_id]
        if active is not None:
            self.stopped[endpoint_id] = active
            self.pointers[endpoint_id] = (None, latest)
            self._touch(endpoint_id, now_ms)

    async def set_notifications(self, endpoint_id: str, notifications: Notifications) -> None:
        """Replaces the addresses that are told of updates."""
        self.by_key[endpoint_id] = replace(self.by_key[endpoint_id], notifications=notifications)

    async def set_telemetry(self, endpoint_id: str, telemetry: Telemetry | None) -> None:
        """Replaces the telemetry configuration."""
        self.by_key[endpoint_id] = replace(self.by_key[endpoint_id], telemetry=telemetry)

    async def set_tags(self, endpoint_id: str, tags: Sequence[tuple[str, str]]) -> None:
        """Replaces the tags."""
        self.by_key[endpoint_id] = replace(self.by_key[endpoint_id], tags=tuple(tags))

    async def set_description(self, endpoint_id: str, description: str) -> None:
        """Replaces the description."""
        self.by_key[endpoint_id] = replace(self.by_key[endpoint_id], description=description)

    async def set_fallback(self, endpoint_id: str, *, fallback: bool) -> None:
        """Whether external models stand in for each other."""
        self.by_key[endpoint_id] = replace(self.by_key[endpoint_id], fallback=fallback)

    async def set_limits(self, endpoint_id: str, limits: Sequence[RateLimit], *, legacy: bool) -> None:
        """Replaces the rate limits."""
        bare = self.by_key[endpoint_id]
        self.by_key[endpoint_id] = replace(bare, limits=tuple(limits), limits_legacy=legacy)

    async def set_acl(self, endpoint_id: str, acl: Acl) -> None:
        """Replaces the grants."""
        self.by_key[endpoint_id] = replace(self.by_key[endpoint_id], acl=acl)

    def _touch(self, endpoint_id: str, now_ms: int) -> None:
        self.by_key[endpoint_id] = replace(self.by_key[endpoint_id], updated_at=now_ms)
