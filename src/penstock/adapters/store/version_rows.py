"""Rows of model versions; part of `penstock.ports.catalog_rows`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, Select, and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.model_rows import id_of
from penstock.adapters.store.namespace_rows import stamps
from penstock.adapters.store.tables.catalog import ALIASES, MODELS, VERSION_TAGS, VERSIONS
from penstock.domain.catalog import Lineage, ModelVersion, VersionStatus
from penstock.domain.model import AdapterFacts, ModelFacts, Shape, Task
from penstock.domain.names import ModelName
from penstock.domain.version_filter import VersionFilter
from penstock.ports.catalog_rows import Outcome

_PENDING = VersionStatus.PENDING_REGISTRATION.value
_FAILED = VersionStatus.FAILED_REGISTRATION.value
_Key = tuple[str, int]


class SqlVersionRows:
    """Model versions."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add_version(self, version: ModelVersion) -> None:
        """Adds a version with its tags."""
        model_id = await self._connection.scalar(select(MODELS.c.id).where(MODELS.c.full_name == version.model))
        await self._connection.execute(
            insert(VERSIONS).values(
                model_id=model_id,
                number=version.number,
                status=version.status.value,
                status_message=version.status_message,
                storage=version.storage,
                digest=version.digest,
                facts=_facts_values(version.facts),
                source=version.source,
                run_id=version.run_id,
                description=version.description,
                lineage=asdict(version.lineage),
                **stamps(version),
            )
        )
        if version.tags:
            row = {"model_id": model_id, "number": version.number}
            await self._connection.execute(
                insert(VERSION_TAGS), [{**row, "key": key, "value": value} for key, value in version.tags]
            )

    async def version(self, full_name: str, number: int) -> ModelVersion | None:
        """One version."""
        found = await self._versions(_all().where(MODELS.c.full_name == full_name, VERSIONS.c.number == number))
        return found[0] if found else None

    async def versions(
        self, only: VersionFilter, *, after: tuple[str, int] | None = None, limit: int = 1000
    ) -> Sequence[ModelVersion]:
        """Versions by model, newest first."""
        query = _all()
        if only.model is not None:
            query = query.where(MODELS.c.full_name == only.model)
        if only.run_id is not None:
            query = query.where(VERSIONS.c.run_id == only.run_id)
        if after is not None:
            name, number = after
            query = query.where(
                or_(MODELS.c.full_name > name, and_(MODELS.c.full_name == name, VERSIONS.c.number < number))
            )
        return await self._versions(query.order_by(MODELS.c.full_name, VERSIONS.c.number.desc()).limit(limit))

    async def _versions(self, query: Select[Any]) -> list[ModelVersion]:
        rows = (await self._connection.execute(query)).all()
        tags: dict[_Key, list[tuple[str, str]]] = {(row.model_id, row.number): [] for row in rows}
        aliases: dict[_Key, list[str]] = {key: [] for key in tags}
        # By model, not by version: a page may hold more versions than a statement may have parameters.
        models = sorted({row.model_id for row in rows})
        numbers = sorted({row.number for row in rows})
        if rows:
            within = (VERSION_TAGS.c.model_id.in_(models), VERSION_TAGS.c.number.between(numbers[0], numbers[-1]))
            for tag in await self._connection.execute(select(VERSION_TAGS).where(*within)):
                tags.get((tag.model_id, tag.number), []).append((tag.key, tag.value))
            for alias in await self._connection.execute(select(ALIASES).where(ALIASES.c.model_id.in_(models))):
                aliases.get((alias.model_id, alias.number), []).append(alias.alias)
        return [_version(row, tags[row.model_id, row.number], aliases[row.model_id, row.number]) for row in rows]

    async def save_version(self, version: ModelVersion) -> None:
        """Writes the fields that a user may change."""
        await self._connection.execute(
            update(VERSIONS)
            .where(VERSIONS.c.model_id == id_of(version.name), VERSIONS.c.number == version.number)
            .values(description=version.description, updated_at=version.updated_at, updated_by=version.updated_by)
        )

    async def end_version(self, full_name: str, number: int, outcome: Outcome) -> bool:
        """Ends a pending version."""
        result = await self._connection.execute(
            update(VERSIONS)
            .where(
                VERSIONS.c.model_id == id_of(ModelName(*full_name.split("."))),
                VERSIONS.c.number == number,
                VERSIONS.c.status == _PENDING,
            )
            .values(
                status=outcome.status.value,
                status_message=outcome.message,
                facts=_facts_values(outcome.facts),
                digest=outcome.digest,
                updated_at=outcome.at,
                updated_by=outcome.by,
            )
        )
        return result.rowcount > 0

    async def remove_version(self, full_name: str, number: int) -> None:
        """Removes a version; aliases and tags go with it."""
        model = id_of(ModelName(*full_name.split(".")))
        await self._connection.execute(
            delete(VERSIONS).where(VERSIONS.c.model_id == model, VERSIONS.c.number == number)
        )

    async def pending(self, created_before: int, *, limit: int = 100) -> Sequence[ModelVersion]:
        """Old pending versions, oldest first."""
        query = _all().where(VERSIONS.c.status == _PENDING, VERSIONS.c.created_at < created_before)
        return await self._versions(query.order_by(VERSIONS.c.created_at).limit(limit))

    async def storages(self) -> frozenset[str]:
        """What the artifact store must keep."""
        return frozenset(await self._connection.scalars(select(VERSIONS.c.storage).where(VERSIONS.c.status != _FAILED)))


def _all() -> Select[Any]:
    return select(VERSIONS, MODELS.c.full_name).join(MODELS, MODELS.c.id == VERSIONS.c.model_id)


def _version(row: Row[Any], tags: list[tuple[str, str]], aliases: list[str]) -> ModelVersion:
    lineage = dict(row.lineage)
    dependencies = tuple((kind, name) for kind, name in lineage.pop("dependencies"))
    return ModelVersion(
        model=row.full_name,
        number=row.number,
        status=VersionStatus(row.status),
        status_message=row.status_message,
        storage=row.storage,
        digest=row.digest,
        facts=_facts(row.facts),
        source=row.source,
        run_id=row.run_id,
        description=row.description,
        lineage=Lineage(**lineage, dependencies=dependencies),
        tags=tuple(sorted(tags)),
        aliases=tuple(sorted(aliases)),
        creator=row.creator,
        created_at=row.created_at,
        updated_by=row.updated_by,
        updated_at=row.updated_at,
    )


def _facts_values(facts: ModelFacts | None) -> dict[str, Any] | None:
    return asdict(facts) if facts else None


def _facts(values: dict[str, Any] | None) -> ModelFacts | None:
    if values is None:
        return None
    task, shape, adapter = values["task"], values["shape"], values.get("adapter")
    read = {
        "task": Task(task) if task else None,
        "shape": Shape(**shape) if shape else None,
        "adapter": AdapterFacts(**adapter) if adapter else None,
    }
    return ModelFacts(**{**values, **read})
