"""Use cases of catalogs and schemas."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.control.credentials import new_id
from penstock.control.usage_of_models import endpoints_using
from penstock.domain.access import USERS, Caller
from penstock.domain.catalog import Catalog, Schema, Tags, check_owner, check_text, check_unused
from penstock.domain.errors import Conflict, DoesNotExist
from penstock.domain.grant import OPEN
from penstock.domain.names import SchemaName
from penstock.domain.system import check_not_system
from penstock.domain.version_filter import VersionFilter
from penstock.ports.artifacts import ArtifactStore
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit

ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class NamespaceChange:
    """What to change; None leaves as it is."""

    comment: str | None = None
    owner: str | None = None
    properties: Tags | None = None


class Namespaces:
    """Catalogs and schemas: made, changed, and removed with what they hold when asked to."""

    def __init__(self, store: Store, clock: Clock, artifacts: ArtifactStore) -> None:
        self._store = store
        self._clock = clock
        self._artifacts = artifacts

    async def create_catalog(self, caller: Caller, name: str, comment: str, properties: Tags) -> Catalog:
        """Adds a catalog; raises AlreadyExists. `name` is folded."""
        check_not_system(name)
        async with self._store.unit() as unit:
            catalog = _catalog(caller, name, self._clock.now_ms(), check_text(comment, "comment"), properties)
            await unit.catalog.add_catalog(catalog)
            # Who owns it closes it, if need be.
            await unit.grants.put(catalog.id, {USERS: OPEN})
            return catalog

    async def catalog(self, name: str) -> Catalog:
        """One catalog; raises DoesNotExist."""
        async with self._store.unit() as unit:
            return await _existing_catalog(unit, name)

    async def catalogs(self, after: str, limit: int) -> Sequence[Catalog]:
        """Catalogs by name."""
        async with self._store.unit() as unit:
            return await unit.catalog.catalogs(after=after, limit=limit)

    async def change_catalog(self, caller: Caller, name: str, change: NamespaceChange) -> Catalog:
        """Changes a catalog; its owner and administrators may."""
        async with self._store.unit() as unit:
            catalog = await _existing_catalog(unit, name)
            check_not_system(name)
            check_owner(caller, catalog.owner, f"change catalog '{name}'")
            changed = replace(
                catalog,
                comment=catalog.comment if change.comment is None else check_text(change.comment, "comment"),
                owner=change.owner or catalog.owner,
                properties=catalog.properties if change.properties is None else change.properties,
                updated_by=caller.principal.name,
                updated_at=self._clock.now_ms(),
            )
            await unit.catalog.save_catalog(changed)
            return changed

    async def remove_catalog(self, caller: Caller, name: str, *, force: bool) -> None:
        """Removes a catalog, with what it holds if `force`; raises Conflict if an endpoint serves from it."""
        async with self._store.unit() as unit:
            catalog = await _existing_catalog(unit, name)
            check_not_system(name)
            check_owner(caller, catalog.owner, f"delete catalog '{name}'")
            schemas = await unit.catalog.schemas(name, limit=ALL)
            if schemas and not force:
                raise Conflict(
                    f"Catalog '{name}' is not empty: it holds {len(schemas)} schemas. Delete with force=true."
                )
            storages = [storage for schema in schemas for storage in await _empty(unit, schema.name)]
            for schema in schemas:
                await unit.catalog.remove_schema(schema.name)
                await unit.grants.forget(schema.id)
            await unit.catalog.remove_catalog(name)
            await unit.grants.forget(catalog.id)
        await self._remove(storages)

    async def create_schema(self, caller: Caller, name: SchemaName, comment: str, properties: Tags) -> Schema:
        """Adds a schema to a catalog that exists; raises AlreadyExists or DoesNotExist."""
        check_not_system(name.catalog)
        async with self._store.unit() as unit:
            await _existing_catalog(unit, name.catalog)
            schema = _schema(caller, name, self._clock.now_ms(), check_text(comment, "comment"), properties)
            await unit.catalog.add_schema(schema)
            return schema

    async def schema(self, name: SchemaName) -> Schema:
        """One schema; raises DoesNotExist."""
        async with self._store.unit() as unit:
            return await _existing_schema(unit, name)

    async def schemas(self, catalog: str, after: str, limit: int) -> Sequence[Schema]:
        """The catalog's schemas by name; raises DoesNotExist if there is no such catalog."""
        async with self._store.unit() as unit:
            await _existing_catalog(unit, catalog)
            return await unit.catalog.schemas(catalog, after=after, limit=limit)

    async def change_schema(self, caller: Caller, name: SchemaName, change: NamespaceChange) -> Schema:
        """Changes a schema; its owner and administrators may."""
        async with self._store.unit() as unit:
            schema = await _existing_schema(unit, name)
            check_not_system(name.catalog)
            check_owner(caller, schema.owner, f"change schema '{name}'")
            changed = replace(
                schema,
                comment=schema.comment if change.comment is None else check_text(change.comment, "comment"),
                owner=change.owner or schema.owner,
                properties=schema.properties if change.properties is None else change.properties,
                updated_by=caller.principal.name,
                updated_at=self._clock.now_ms(),
            )
            await unit.catalog.save_schema(changed)
            return changed

    async def remove_schema(self, caller: Caller, name: SchemaName, *, force: bool) -> None:
        """Removes a schema, with its models if `force`; raises Conflict if an endpoint serves from it."""
        async with self._store.unit() as unit:
            schema = await _existing_schema(unit, name)
            check_not_system(name.catalog)
            check_owner(caller, schema.owner, f"delete schema '{name}'")
            if not force and await unit.catalog.models(catalog=name.catalog, schema=name.schema, limit=1):
                raise Conflict(f"Schema '{name}' is not empty: it holds registered models. Delete with force=true.")
            storages = await _empty(unit, name)
            await unit.catalog.remove_schema(name)
            await unit.grants.forget(schema.id)
        await self._remove(storages)

    async def _remove(self, storages: Sequence[str]) -> None:
        # After the rows: what is not removed now, because the process ends, the janitor finds without an owner.
        for storage in storages:
            await self._artifacts.remove(storage)


async def ensure_parents(unit: Unit, caller: Caller, name: SchemaName, now_ms: int) -> None:
    """Makes the catalog and the schema unless they are there."""
    if await unit.catalog.catalog(name.catalog) is None:
        catalog = _catalog(caller, name.catalog, now_ms)
        await unit.catalog.add_catalog(catalog)
        await unit.grants.put(catalog.id, {USERS: OPEN})
    if await unit.catalog.schema(name) is None:
        await unit.catalog.add_schema(_schema(caller, name, now_ms))


async def _empty(unit: Unit, name: SchemaName) -> list[str]:
    """Removes the schema's models; returns the storages of their versions."""
    storages: list[str] = []
    for model in await unit.catalog.models(catalog=name.catalog, schema=name.schema, limit=ALL):
        check_unused(f"model '{model.name}'", await endpoints_using(unit, str(model.name)), "delete")
        versions = await unit.catalog.versions(VersionFilter(model=str(model.name)), limit=ALL)
        storages += [version.storage for version in versions]
        await unit.catalog.remove_model(model.name)
        await unit.grants.forget(model.id)
    return storages


async def _existing_catalog(unit: Unit, name: str) -> Catalog:
    catalog = await unit.catalog.catalog(name)
    if catalog is None:
        raise DoesNotExist(f"Catalog '{name}' does not exist.")
    return catalog


async def _existing_schema(unit: Unit, name: SchemaName) -> Schema:
    schema = await unit.catalog.schema(name)
    if schema is None:
        raise DoesNotExist(f"Schema '{name}' does not exist.")
    return schema


def _catalog(caller: Caller, name: str, now_ms: int, comment: str = "", properties: Tags = ()) -> Catalog:
    who = caller.principal.name
    return Catalog(
        id=new_id(),
        name=name,
        owner=who,
        comment=comment,
        properties=properties,
        creator=who,
        created_at=now_ms,
        updated_by=who,
        updated_at=now_ms,
    )


def _schema(caller: Caller, name: SchemaName, now_ms: int, comment: str = "", properties: Tags = ()) -> Schema:
    who = caller.principal.name
    return Schema(
        id=new_id(),
        name=name,
        owner=who,
        comment=comment,
        properties=properties,
        creator=who,
        created_at=now_ms,
        updated_by=who,
        updated_at=now_ms,
    )
