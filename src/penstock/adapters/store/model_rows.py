"""Rows of registered models, their aliases and all tags; part of `penstock.ports.catalog_rows`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import insert_into, unique
from penstock.adapters.store.namespace_rows import stamps
from penstock.adapters.store.tables.catalog import ALIASES, MODEL_TAGS, MODELS, VERSION_TAGS
from penstock.domain.catalog import RegisteredModel
from penstock.domain.names import ModelName


def id_of(name: ModelName) -> ColumnElement[str]:
    """The model's id, as a subquery."""
    return select(MODELS.c.id).where(MODELS.c.full_name == str(name)).scalar_subquery()


class SqlModelRows:
    """Registered models."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add_model(self, model: RegisteredModel) -> None:
        """Adds a registered model with its tags."""
        async with unique(self._connection, f"Registered model '{model.name}' already exists."):
            await self._connection.execute(insert(MODELS).values(last_number=0, **_values(model)))
        if model.tags:
            rows = [{"model_id": model.id, "key": key, "value": value} for key, value in model.tags]
            await self._connection.execute(insert(MODEL_TAGS), rows)

    async def model(self, name: ModelName) -> RegisteredModel | None:
        """One registered model."""
        found = await self._models(select(MODELS).where(MODELS.c.full_name == str(name)))
        return found[0] if found else None

    async def models(
        self,
        *,
        catalog: str | None = None,
        schema: str | None = None,
        after: ModelName | None = None,
        limit: int = 1000,
    ) -> Sequence[RegisteredModel]:
        """Registered models by full name."""
        query = select(MODELS).where(MODELS.c.full_name > (str(after) if after else ""))
        if catalog is not None:
            query = query.where(MODELS.c.catalog == catalog)
        if schema is not None:
            query = query.where(MODELS.c.schema == schema)
        return await self._models(query.order_by(MODELS.c.full_name).limit(limit))

    async def _models(self, query: Select[Any]) -> list[RegisteredModel]:
        rows = (await self._connection.execute(query)).all()
        ids = [row.id for row in rows]
        tags: dict[str, list[tuple[str, str]]] = {model_id: [] for model_id in ids}
        aliases: dict[str, list[tuple[str, int]]] = {model_id: [] for model_id in ids}
        for tag in await self._connection.execute(select(MODEL_TAGS).where(MODEL_TAGS.c.model_id.in_(ids))):
            tags[tag.model_id].append((tag.key, tag.value))
        for alias in await self._connection.execute(select(ALIASES).where(ALIASES.c.model_id.in_(ids))):
            aliases[alias.model_id].append((alias.alias, alias.number))
        return [_model(row, tags[row.id], aliases[row.id]) for row in rows]

    async def save_model(self, model: RegisteredModel) -> None:
        """Writes the model of that id."""
        async with unique(self._connection, f"Registered model '{model.name}' already exists."):
            await self._connection.execute(update(MODELS).where(MODELS.c.id == model.id).values(_values(model)))

    async def remove_model(self, name: ModelName) -> None:
        """Removes a model; versions, aliases and tags go with it."""
        await self._connection.execute(delete(MODELS).where(MODELS.c.full_name == str(name)))

    async def next_number(self, name: ModelName) -> int | None:
        """Takes the next version number."""
        number: int | None = await self._connection.scalar(
            update(MODELS)
            .where(MODELS.c.full_name == str(name))
            .values(last_number=MODELS.c.last_number + 1)
            .returning(MODELS.c.last_number)
        )
        return number

    async def set_alias(self, name: ModelName, alias: str, number: int) -> None:
        """Points the alias at a version."""
        statement = insert_into(self._connection, ALIASES).values(model_id=id_of(name), alias=alias, number=number)
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=["model_id", "alias"], set_={"number": number})
        )

    async def remove_alias(self, name: ModelName, alias: str) -> None:
        """Removes an alias."""
        await self._connection.execute(
            delete(ALIASES).where(ALIASES.c.model_id == id_of(name), ALIASES.c.alias == alias)
        )

    async def set_tag(self, name: ModelName, number: int | None, key: str, value: str) -> None:
        """Sets a tag of the version or the model."""
        if number is None:
            statement = insert_into(self._connection, MODEL_TAGS).values(model_id=id_of(name), key=key, value=value)
            keys = ["model_id", "key"]
        else:
            statement = insert_into(self._connection, VERSION_TAGS).values(
                model_id=id_of(name), number=number, key=key, value=value
            )
            keys = ["model_id", "number", "key"]
        await self._connection.execute(statement.on_conflict_do_update(index_elements=keys, set_={"value": value}))

    async def remove_tag(self, name: ModelName, number: int | None, key: str) -> None:
        """Removes a tag."""
        if number is None:
            statement = delete(MODEL_TAGS).where(MODEL_TAGS.c.model_id == id_of(name), MODEL_TAGS.c.key == key)
        else:
            statement = delete(VERSION_TAGS).where(
                VERSION_TAGS.c.model_id == id_of(name), VERSION_TAGS.c.number == number, VERSION_TAGS.c.key == key
            )
        await self._connection.execute(statement)


def _values(model: RegisteredModel) -> dict[str, object]:
    return {
        "id": model.id,
        "catalog": model.name.catalog,
        "schema": model.name.schema,
        "name": model.name.model,
        "full_name": str(model.name),
        "owner": model.owner,
        "description": model.description,
        **stamps(model),
    }


def _model(row: Row[Any], tags: list[tuple[str, str]], aliases: list[tuple[str, int]]) -> RegisteredModel:
    return RegisteredModel(
        id=row.id,
        name=ModelName(row.catalog, row.schema, row.name),
        owner=row.owner,
        description=row.description,
        tags=tuple(sorted(tags)),
        aliases=tuple(sorted(aliases)),
        creator=row.creator,
        created_at=row.created_at,
        updated_by=row.updated_by,
        updated_at=row.updated_at,
    )
