"""Rows of groups; the contract is `penstock.ports.group_rows`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import unique
from penstock.adapters.store.tables.access import GROUPS
from penstock.domain.group import Group


class SqlGroupRows:
    """See `penstock.ports.group_rows.GroupRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, group: Group, now_ms: int) -> None:
        """Adds a group."""
        async with unique(self._connection, f"A group named '{group.name}' already exists."):
            values = {"id": group.id, "name": group.name, "created_at": now_ms}
            await self._connection.execute(insert(GROUPS).values(values))

    async def list(self) -> Sequence[Group]:
        """All groups, by name."""
        return sorted(await self._groups(select(GROUPS)), key=lambda group: group.name)

    async def get(self, group_id: str) -> Group | None:
        """By id."""
        return next(iter(await self._groups(select(GROUPS).where(GROUPS.c.id == group_id))), None)

    async def named(self, name: str) -> Group | None:
        """By name."""
        return next(iter(await self._groups(select(GROUPS).where(GROUPS.c.name == name))), None)

    async def remove(self, group_id: str) -> None:
        """Removes it."""
        await self._connection.execute(delete(GROUPS).where(GROUPS.c.id == group_id))

    async def _groups(self, query: Select[Any]) -> Sequence[Group]:
        return [Group(row.id, row.name) for row in await self._connection.execute(query)]
