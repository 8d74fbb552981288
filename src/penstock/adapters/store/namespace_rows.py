"""Rows of catalogs and schemas; part of `penstock.ports.catalog_rows`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import unique
from penstock.adapters.store.tables.catalog import CATALOGS, SCHEMAS
from penstock.domain.catalog import Catalog, Schema, Stamped
from penstock.domain.names import SchemaName


def stamps(thing: Stamped) -> dict[str, str | int]:
    """The columns that every table of the catalogue has."""
    return {
        "creator": thing.creator,
        "created_at": thing.created_at,
        "updated_by": thing.updated_by,
        "updated_at": thing.updated_at,
    }


class SqlNamespaceRows:
    """Catalogs and schemas."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add_catalog(self, catalog: Catalog) -> None:
        """Adds a catalog."""
        async with unique(self._connection, f"Catalog '{catalog.name}' already exists."):
            await self._connection.execute(insert(CATALOGS).values(_catalog_values(catalog)))

    async def catalog(self, name: str) -> Catalog | None:
        """One catalog."""
        row = (await self._connection.execute(select(CATALOGS).where(CATALOGS.c.name == name))).first()
        return _catalog(row) if row else None

    async def catalogs(self, *, after: str = "", limit: int = 1000) -> Sequence[Catalog]:
        """Catalogs by name."""
        query = select(CATALOGS).where(CATALOGS.c.name > after).order_by(CATALOGS.c.name).limit(limit)
        return [_catalog(row) for row in await self._connection.execute(query)]

    async def save_catalog(self, catalog: Catalog) -> None:
        """Writes the catalog of that id."""
        await self._connection.execute(
            update(CATALOGS).where(CATALOGS.c.id == catalog.id).values(_catalog_values(catalog))
        )

    async def remove_catalog(self, name: str) -> None:
        """Removes a catalog."""
        await self._connection.execute(delete(CATALOGS).where(CATALOGS.c.name == name))

    async def add_schema(self, schema: Schema) -> None:
        """Adds a schema."""
        async with unique(self._connection, f"Schema '{schema.name}' already exists."):
            await self._connection.execute(insert(SCHEMAS).values(_schema_values(schema)))

    async def schema(self, name: SchemaName) -> Schema | None:
        """One schema."""
        query = select(SCHEMAS).where(SCHEMAS.c.catalog == name.catalog, SCHEMAS.c.name == name.schema)
        row = (await self._connection.execute(query)).first()
        return _schema(row) if row else None

    async def schemas(self, catalog: str, *, after: str = "", limit: int = 1000) -> Sequence[Schema]:
        """A catalog's schemas by name."""
        query = (
            select(SCHEMAS)
            .where(SCHEMAS.c.catalog == catalog, SCHEMAS.c.name > after)
            .order_by(SCHEMAS.c.name)
            .limit(limit)
        )
        return [_schema(row) for row in await self._connection.execute(query)]

    async def save_schema(self, schema: Schema) -> None:
        """Writes the schema of that id."""
        await self._connection.execute(update(SCHEMAS).where(SCHEMAS.c.id == schema.id).values(_schema_values(schema)))

    async def remove_schema(self, name: SchemaName) -> None:
        """Removes a schema."""
        await self._connection.execute(
            delete(SCHEMAS).where(SCHEMAS.c.catalog == name.catalog, SCHEMAS.c.name == name.schema)
        )


def _catalog_values(catalog: Catalog) -> dict[str, object]:
    return {
        "id": catalog.id,
        "name": catalog.name,
        "owner": catalog.owner,
        "comment": catalog.comment,
        "properties": dict(catalog.properties),
        **stamps(catalog),
    }


def _schema_values(schema: Schema) -> dict[str, object]:
    return {
        "id": schema.id,
        "catalog": schema.name.catalog,
        "name": schema.name.schema,
        "owner": schema.owner,
        "comment": schema.comment,
        "properties": dict(schema.properties),
        **stamps(schema),
    }


def _catalog(row: Row[Any]) -> Catalog:
    return Catalog(
        id=row.id,
        name=row.name,
        owner=row.owner,
        comment=row.comment,
        properties=tuple(sorted(row.properties.items())),
        creator=row.creator,
        created_at=row.created_at,
        updated_by=row.updated_by,
        updated_at=row.updated_at,
    )


def _schema(row: Row[Any]) -> Schema:
    return Schema(
        id=row.id,
        name=SchemaName(row.catalog, row.name),
        owner=row.owner,
        comment=row.comment,
        properties=tuple(sorted(row.properties.items())),
        creator=row.creator,
        created_at=row.created_at,
        updated_by=row.updated_by,
        updated_at=row.updated_at,
    )
