"""Endpoints and their configurations, as stored."""

from collections.abc import Sequence
from typing import Protocol

from penstock.domain.acl import Acl
from penstock.domain.endpoint import Config, Endpoint, Outcome
from penstock.domain.notification import Notifications
from penstock.domain.rate_limit import RateLimit
from penstock.domain.served_entity import ServedEntity
from penstock.domain.telemetry import Telemetry


class EndpointRows(Protocol):
    """Rows of endpoints. Names are unique among endpoints that are not deleted; ids are never used twice."""

    async def add(self, endpoint: Endpoint) -> None:
        """Adds the endpoint with its latest configuration, if any; raises AlreadyExists if the name is taken."""
        ...

    async def by_name(self, name: str) -> Endpoint | None:
        """The endpoint of that name that is not deleted."""
        ...

    async def by_id(self, endpoint_id: str) -> Endpoint | None:
        """The endpoint of that id, deleted or not."""
        ...

    async def list(self, *, deleted: bool = False) -> Sequence[Endpoint]:
        """All endpoints by name; with `deleted`, also those that are deleted and not yet swept."""
        ...

    async def specs(self) -> frozenset[str]:
        """What all configurations that are stored would run (`ServedEntity.spec`), also those that were replaced."""
        ...

    async def config(self, endpoint_id: str, version: int) -> Config | None:
        """One configuration, also one that was replaced."""
        ...

    async def set_entities(self, endpoint_id: str, version: int, entities: Sequence[ServedEntity]) -> None:
        """Replaces the served entities of a configuration: what they are known to run, not what was asked for."""
        ...

    async def want(self, endpoint_id: str, config: Config, now_ms: int) -> None:
        """Adds a configuration as the latest; its version must be the highest so far plus one.

        Raises AlreadyExists if there is one of that version.
        """
        ...

    async def note(self, endpoint_id: str, version: int, message: str) -> None:
        """Changes a configuration's message."""
        ...

    async def end(self, endpoint_id: str, version: int, outcome: Outcome, message: str, now_ms: int) -> bool:
        """Ends a pending configuration; `ACTIVE` also makes it the serving one, of a stopped endpoint too.

        False if it was not pending.

        A configuration ends once: of two calls, one gets True.
        """
        ...

    async def request_cancel(self, endpoint_id: str, version: int) -> None:
        """Notes that the configuration is no longer wanted."""
        ...

    async def mark_deleted(self, endpoint_id: str, now_ms: int) -> None:
        """Frees the name; the reconciler ends the replicas and then removes the row."""
        ...

    async def remove(self, endpoint_id: str) -> None:
        """Removes the endpoint and its configurations."""
        ...

    async def stop(self, endpoint_id: str, now_ms: int) -> None:
        """Makes the active configuration the stopped one; then nothing serves until another becomes active."""
        ...

    async def set_notifications(self, endpoint_id: str, notifications: Notifications) -> None:
        """Replaces the addresses that are told of updates."""
        ...

    async def set_telemetry(self, endpoint_id: str, telemetry: Telemetry | None) -> None:
        """Replaces the telemetry configuration."""
        ...

    async def set_tags(self, endpoint_id: str, tags: Sequence[tuple[str, str]]) -> None:
        """Replaces the tags."""
        ...

    async def set_description(self, endpoint_id: str, description: str) -> None:
        """Replaces the description."""
        ...

    async def set_fallback(self, endpoint_id: str, *, fallback: bool) -> None:
        """Sets whether the endpoint's external models stand in for each other."""
        ...

    async def set_limits(self, endpoint_id: str, limits: Sequence[RateLimit], *, legacy: bool) -> None:
        """Replaces the rate limits, and whether they came in the older form."""
        ...

    async def set_acl(self, endpoint_id: str, acl: Acl) -> None:
        """Replaces the grants."""
        ...
