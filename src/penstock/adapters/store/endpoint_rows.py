"""Rows of endpoints and their configurations; the contract is `penstock.ports.endpoint_rows`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import unique
from penstock.adapters.store.tables.endpoints import ENDPOINT_CONFIGS, ENDPOINTS
from penstock.domain.access import PermissionLevel
from penstock.domain.acl import Acl, Grantee, GranteeKind
from penstock.domain.endpoint import Config, Endpoint, Outcome
from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalEntity, ExternalModel
from penstock.domain.model import Precision, Task
from penstock.domain.notification import Notifications
from penstock.domain.rate_limit import LimitKey, RateLimit
from penstock.domain.secret import SecretRef
from penstock.domain.served_entity import ServedEntity
from penstock.domain.sizing import Sizing
from penstock.domain.telemetry import Telemetry
from penstock.domain.traffic import Route


class SqlEndpointRows:
    """See `penstock.ports.endpoint_rows.EndpointRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, endpoint: Endpoint) -> None:
        """Adds the endpoint with its latest configuration, if any."""
        async with unique(self._connection, f"Serving endpoint with name '{endpoint.name}' already exists."):
            await self._connection.execute(
                insert(ENDPOINTS).values(
                    id=endpoint.id,
                    name=endpoint.name,
                    taken_name=None if endpoint.deleted else endpoint.name,
                    creator=endpoint.creator,
                    created_at=endpoint.created_at,
                    updated_at=endpoint.updated_at,
                    description=endpoint.description,
                    route_optimized=endpoint.route_optimized,
                    tags=[list(tag) for tag in endpoint.tags],
                    active_version=None,
                    latest_version=endpoint.latest.version if endpoint.latest else None,
                    deleted=endpoint.deleted,
                    fallback=endpoint.fallback,
                    rate_limits=[asdict(one) for one in endpoint.limits],
                    rate_limits_legacy=endpoint.limits_legacy,
                    acl=_acl_json(endpoint.acl),
                    notifications=_notifications_json(endpoint.notifications),
                    telemetry=_telemetry_json(endpoint.telemetry),
                    usage_policy=endpoint.usage_policy,
                )
            )
        if endpoint.latest is not None:
            await self._add_config(endpoint.id, endpoint.latest)

    async def by_name(self, name: str) -> Endpoint | None:
        """By name."""
        return _first(await self._endpoints(select(ENDPOINTS).where(ENDPOINTS.c.taken_name == name)))

    async def by_id(self, endpoint_id: str) -> Endpoint | None:
        """By id."""
        return _first(await self._endpoints(select(ENDPOINTS).where(ENDPOINTS.c.id == endpoint_id)))

    async def list(self, *, deleted: bool = False) -> Sequence[Endpoint]:
        """All of them."""
        query = select(ENDPOINTS)
        found = await self._endpoints(query if deleted else query.where(ENDPOINTS.c.deleted.is_(False)))
        return sorted(found, key=lambda endpoint: (endpoint.name, endpoint.created_at))

    async def specs(self) -> frozenset[str]:
        """Of all configurations."""
        rows = await self._connection.scalars(select(ENDPOINT_CONFIGS.c.entities))
        return frozenset(_entity(entity).spec for entities in rows for entity in entities)

    async def config(self, endpoint_id: str, version: int) -> Config | None:
        """One configuration."""
        query = select(ENDPOINT_CONFIGS).where(
            ENDPOINT_CONFIGS.c.endpoint_id == endpoint_id, ENDPOINT_CONFIGS.c.version == version
        )
        row = (await self._connection.execute(query)).one_or_none()
        return _config(row) if row is not None else None

    async def set_entities(self, endpoint_id: str, version: int, entities: Sequence[ServedEntity]) -> None:
        """Replaces the served entities of a configuration."""
        stored = [_entity_json(entity) for entity in entities]
        await self._connection.execute(_one_config(endpoint_id, version).values(entities=stored))

    async def want(self, endpoint_id: str, config: Config, now_ms: int) -> None:
        """Adds a configuration as the latest."""
        await self._add_config(endpoint_id, config)
        await self._update(endpoint_id, latest_version=config.version, updated_at=now_ms)

    async def note(self, endpoint_id: str, version: int, message: str) -> None:
        """Changes a configuration's message."""
        await self._connection.execute(_one_config(endpoint_id, version).values(message=message))

    async def end(self, endpoint_id: str, version: int, outcome: Outcome, message: str, now_ms: int) -> bool:
        """Ends a pending configuration."""
        pending = _one_config(endpoint_id, version).where(ENDPOINT_CONFIGS.c.outcome == Outcome.PENDING.value)
        done = await self._connection.execute(pending.values(outcome=outcome.value, message=message))
        if done.rowcount != 1:
            return False
        if outcome is Outcome.ACTIVE:
            await self._update(endpoint_id, active_version=version, stopped_version=None, updated_at=now_ms)
        else:
            await self._update(endpoint_id, updated_at=now_ms)
        return True

    async def request_cancel(self, endpoint_id: str, version: int) -> None:
        """Notes that the configuration is no longer wanted."""
        await self._connection.execute(_one_config(endpoint_id, version).values(cancel_requested=True))

    async def mark_deleted(self, endpoint_id: str, now_ms: int) -> None:
        """Frees the name."""
        await self._update(endpoint_id, deleted=True, taken_name=None, updated_at=now_ms)

    async def remove(self, endpoint_id: str) -> None:
        """Removes the endpoint and its configurations."""
        await self._connection.execute(delete(ENDPOINTS).where(ENDPOINTS.c.id == endpoint_id))

    async def stop(self, endpoint_id: str, now_ms: int) -> None:
        """Makes the active configuration the stopped one."""
        active = (ENDPOINTS.c.id == endpoint_id) & ENDPOINTS.c.active_version.is_not(None)
        moved = {"stopped_version": ENDPOINTS.c.active_version, "active_version": None, "updated_at": now_ms}
        await self._connection.execute(update(ENDPOINTS).where(active).values(moved))

    async def set_notifications(self, endpoint_id: str, notifications: Notifications) -> None:
        """Replaces the addresses that are told of updates."""
        await self._update(endpoint_id, notifications=_notifications_json(notifications))

    async def set_telemetry(self, endpoint_id: str, telemetry: Telemetry | None) -> None:
        """Replaces the telemetry configuration."""
        await self._update(endpoint_id, telemetry=_telemetry_json(telemetry))

    async def set_tags(self, endpoint_id: str, tags: Sequence[tuple[str, str]]) -> None:
        """Replaces the tags."""
        await self._update(endpoint_id, tags=[list(tag) for tag in tags])

    async def set_description(self, endpoint_id: str, description: str) -> None:
        """Replaces the description."""
        await self._update(endpoint_id, description=description)

    async def set_fallback(self, endpoint_id: str, *, fallback: bool) -> None:
        """Whether external models stand in for each other."""
        await self._update(endpoint_id, fallback=fallback)

    async def set_limits(self, endpoint_id: str, limits: Sequence[RateLimit], *, legacy: bool) -> None:
        """Replaces the rate limits."""
        stored = [asdict(one) for one in limits]
        await self._update(endpoint_id, rate_limits=stored, rate_limits_legacy=legacy)

    async def set_acl(self, endpoint_id: str, acl: Acl) -> None:
        """Replaces the grants."""
        await self._update(endpoint_id, acl=_acl_json(acl))

    async def _add_config(self, endpoint_id: str, config: Config) -> None:
        async with unique(self._connection, f"Config version {config.version} already exists."):
            await self._connection.execute(
                insert(ENDPOINT_CONFIGS).values(
                    endpoint_id=endpoint_id,
                    version=config.version,
                    entities=[_entity_json(entity) for entity in config.entities],
                    routes=[[route.served_entity, route.percentage] for route in config.routes],
                    task=config.task.value if config.task else None,
                    creator=config.creator,
                    started_at=config.started_at,
                    outcome=config.outcome.value,
                    message=config.message,
                    cancel_requested=config.cancel_requested,
                    externals=[_external_json(entity) for entity in config.externals] or None,
                )
            )

    async def _update(self, endpoint_id: str, **values: object) -> None:
        await self._connection.execute(update(ENDPOINTS).where(ENDPOINTS.c.id == endpoint_id).values(**values))

    async def _endpoints(self, query: Select[Any]) -> Sequence[Endpoint]:
        """The endpoints, each with the configurations it points at."""
        rows = (await self._connection.execute(query)).all()
        chosen = query.with_only_columns(ENDPOINTS.c.id)
        pointed = (
            select(ENDPOINT_CONFIGS)
            .join(ENDPOINTS, ENDPOINTS.c.id == ENDPOINT_CONFIGS.c.endpoint_id)
            .where(
                ENDPOINTS.c.id.in_(chosen),
                ENDPOINT_CONFIGS.c.version.in_(
                    (ENDPOINTS.c.active_version, ENDPOINTS.c.latest_version, ENDPOINTS.c.stopped_version)
                ),
            )
        )
        found = (await self._connection.execute(pointed)).all()
        configs = {(row.endpoint_id, row.version): _config(row) for row in found}
        return [_endpoint(row, configs) for row in rows]


def _one_config(endpoint_id: str, version: int) -> Any:
    return update(ENDPOINT_CONFIGS).where(
        ENDPOINT_CONFIGS.c.endpoint_id == endpoint_id, ENDPOINT_CONFIGS.c.version == version
    )


def _first(found: Sequence[Endpoint]) -> Endpoint | None:
    return found[0] if found else None


def _endpoint(row: Row[Any], configs: dict[tuple[str, int], Config]) -> Endpoint:
    return Endpoint(
        id=row.id,
        name=row.name,
        creator=row.creator,
        created_at=row.created_at,
        updated_at=row.updated_at,
        description=row.description,
        route_optimized=row.route_optimized,
        tags=tuple((key, value) for key, value in row.tags),
        active=configs.get((row.id, row.active_version)),
        latest=configs.get((row.id, row.latest_version)),
        deleted=row.deleted,
        fallback=row.fallback,
        limits=tuple(RateLimit(**one | {"key": LimitKey(one["key"])}) for one in row.rate_limits),
        limits_legacy=row.rate_limits_legacy,
        acl=Acl({Grantee(GranteeKind(kind), name): PermissionLevel(level) for kind, name, level in row.acl}),
        stopped=configs.get((row.id, row.stopped_version)),
        notifications=_notifications(row.notifications),
        telemetry=_telemetry(row.telemetry),
        usage_policy=row.usage_policy,
    )


def _acl_json(acl: Acl) -> list[list[str]]:
    return [[who.kind.value, who.name, level.value] for who, level in acl.levels.items()]


def _notifications_json(notifications: Notifications) -> dict[str, object] | None:
    if not notifications:
        return None
    return {"failure": list(notifications.on_update_failure), "success": list(notifications.on_update_success)}


def _notifications(stored: dict[str, Any] | None) -> Notifications:
    return Notifications(tuple(stored["failure"]), tuple(stored["success"])) if stored else Notifications()


def _telemetry_json(telemetry: Telemetry | None) -> dict[str, object] | None:
    if telemetry is None:
        return None
    return {
        "features": list(telemetry.features),
        "profile_id": telemetry.profile_id,
        "tables": [list(pair) for pair in telemetry.tables],
    }


def _telemetry(stored: dict[str, Any] | None) -> Telemetry | None:
    if not stored:
        return None
    tables = tuple((field, table) for field, table in stored["tables"])
    return Telemetry(tuple(stored["features"]), stored["profile_id"], tables)


def _config(row: Row[Any]) -> Config:
    return Config(
        version=row.version,
        entities=tuple(_entity(entity) for entity in row.entities),
        routes=tuple(Route(name, percentage) for name, percentage in row.routes),
        task=Task(row.task) if row.task else None,
        creator=row.creator,
        started_at=row.started_at,
        outcome=Outcome(row.outcome),
        message=row.message,
        cancel_requested=row.cancel_requested,
        externals=tuple(_external(entity) for entity in row.externals or ()),
    )


def _external_json(entity: ExternalEntity) -> dict[str, object]:
    model = entity.model
    return {
        "name": entity.name,
        "reader": entity.reader,
        "model": model.name,
        "provider": model.provider.value,
        "task": model.task.value,
        "fields": dict(model.fields),
        "secrets": {field: [ref.scope, ref.key] for field, ref in model.refs.items()},
    }


def _external(stored: dict[str, Any]) -> ExternalEntity:
    model = ExternalModel(
        name=stored["model"],
        provider=ProviderKind(stored["provider"]),
        task=Task(stored["task"]),
        fields=stored["fields"],
        secrets={field: SecretRef(scope, key) for field, (scope, key) in stored["secrets"].items()},
    )
    return ExternalEntity(stored["name"], model, stored["reader"])


def _entity_json(entity: ServedEntity) -> dict[str, object]:
    return {
        "name": entity.name,
        "entity_name": entity.entity_name,
        "entity_version": entity.entity_version,
        "min_provisioned_throughput": entity.min_provisioned_throughput,
        "max_provisioned_throughput": entity.max_provisioned_throughput,
        "scale_to_zero_enabled": entity.scale_to_zero_enabled,
        "environment_vars": [list(pair) for pair in entity.environment_vars],
        "precision": entity.precision.value if entity.precision else None,
        "precision_is_usual": entity.precision_is_usual,
        "sizing": asdict(entity.sizing) if entity.sizing else None,
        "burst_scaling_enabled": entity.burst_scaling_enabled,
        "workload_size": entity.workload_size,
        "base": list(entity.base) if entity.base else None,
    }


def _entity(stored: dict[str, Any]) -> ServedEntity:
    return ServedEntity(
        name=stored["name"],
        entity_name=stored["entity_name"],
        entity_version=stored["entity_version"],
        min_provisioned_throughput=stored["min_provisioned_throughput"],
        max_provisioned_throughput=stored["max_provisioned_throughput"],
        scale_to_zero_enabled=stored["scale_to_zero_enabled"],
        environment_vars=tuple((name, value) for name, value in stored["environment_vars"]),
        precision=Precision(stored["precision"]) if stored["precision"] else None,
        # Configurations of earlier versions have no such fields.
        precision_is_usual=stored.get("precision_is_usual", False),
        sizing=Sizing(**stored["sizing"]) if stored.get("sizing") else None,
        burst_scaling_enabled=stored.get("burst_scaling_enabled"),
        workload_size=stored.get("workload_size"),
        base=tuple(stored["base"]) if stored.get("base") else None,
    )
