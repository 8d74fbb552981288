"""Rows of grants; the contract is `penstock.ports.grant_rows`."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.tables.grants import GRANTS
from penstock.domain.grant import Grants, Privilege


class SqlGrantRows:
    """See `penstock.ports.grant_rows.GrantRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def of(self, ids: Sequence[str]) -> Mapping[str, Grants]:
        """The grants on each."""
        found: dict[str, dict[str, set[Privilege]]] = {}
        # not all at once: databases bound how many parameters a statement may have
        for start in range(0, len(ids), 500):
            query = select(GRANTS).where(GRANTS.c.securable_id.in_(ids[start : start + 500]))
            for row in await self._connection.execute(query):
                found.setdefault(row.securable_id, {}).setdefault(row.principal, set()).add(Privilege(row.privilege))
        return {
            key: {name: frozenset(privileges) for name, privileges in grants.items()} for key, grants in found.items()
        }

    async def put(self, securable_id: str, grants: Grants) -> None:
        """Puts grants in place of those there are."""
        await self.forget(securable_id)
        rows = [
            {"securable_id": securable_id, "principal": name, "privilege": privilege.value}
            for name, privileges in grants.items()
            for privilege in privileges
        ]
        if rows:
            await self._connection.execute(insert(GRANTS), rows)

    async def forget(self, securable_id: str) -> None:
        """Removes the grants on what is gone."""
        await self._connection.execute(delete(GRANTS).where(GRANTS.c.securable_id == securable_id))

    async def forget_principal(self, name: str) -> None:
        """Removes the grants of who is gone."""
        await self._connection.execute(delete(GRANTS).where(GRANTS.c.principal == name))
