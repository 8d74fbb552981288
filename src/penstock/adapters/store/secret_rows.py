"""Rows of secret scopes, ACLs and sealed secrets; the contract is `penstock.ports.secret_rows`."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import insert_into, unique
from penstock.adapters.store.tables.secrets import SECRET_ACLS, SECRET_SCOPES, SECRETS
from penstock.domain.secret import AclItem, Permission, Sealed, SecretInfo, SecretRecord, SecretRef, SecretScope


class SqlSecretRows:
    """See `penstock.ports.secret_rows.SecretRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def scopes(self) -> Sequence[SecretScope]:
        """All, by name."""
        rows = await self._connection.execute(select(SECRET_SCOPES).order_by(SECRET_SCOPES.c.folded))
        return [SecretScope(row.name, row.created_at) for row in rows]

    async def scope(self, name: str) -> SecretScope | None:
        """By name."""
        query = select(SECRET_SCOPES).where(SECRET_SCOPES.c.folded == name.lower())
        row = (await self._connection.execute(query)).one_or_none()
        return SecretScope(row.name, row.created_at) if row is not None else None

    async def add_scope(self, scope: SecretScope) -> None:
        """Adds a scope."""
        values = {"folded": scope.name.lower(), "name": scope.name, "created_at": scope.created_at}
        async with unique(self._connection, f"Scope {scope.name} already exists!"):
            await self._connection.execute(insert(SECRET_SCOPES).values(**values))

    async def remove_scope(self, name: str) -> None:
        """Removes it with all that is in it."""
        await self._connection.execute(delete(SECRET_SCOPES).where(SECRET_SCOPES.c.folded == name.lower()))

    async def acl(self, scope: str) -> Sequence[AclItem]:
        """The scope's ACL, by principal."""
        query = select(SECRET_ACLS).where(SECRET_ACLS.c.scope == scope.lower()).order_by(SECRET_ACLS.c.principal)
        rows = await self._connection.execute(query)
        return [AclItem(row.principal, Permission(row.permission)) for row in rows]

    async def put_acl(self, scope: str, item: AclItem) -> None:
        """Adds or replaces an item."""
        fresh = {"permission": item.permission.value}
        added = insert_into(self._connection, SECRET_ACLS).values(
            scope=scope.lower(), principal=item.principal, **fresh
        )
        await self._connection.execute(added.on_conflict_do_update(index_elements=["scope", "principal"], set_=fresh))

    async def remove_acl(self, scope: str, principal: str) -> bool:
        """Removes an item."""
        mine = (SECRET_ACLS.c.scope == scope.lower(), SECRET_ACLS.c.principal == principal)
        return (await self._connection.execute(delete(SECRET_ACLS).where(*mine))).rowcount > 0

    async def forget_principal(self, principal: str) -> None:
        """Removes the principal's items."""
        await self._connection.execute(delete(SECRET_ACLS).where(SECRET_ACLS.c.principal == principal))

    async def keys(self, scope: str) -> Sequence[SecretInfo]:
        """The scope's secrets, by key."""
        query = select(SECRETS.c.key, SECRETS.c.updated_at).where(SECRETS.c.scope == scope.lower())
        rows = await self._connection.execute(query.order_by(SECRETS.c.folded))
        return [SecretInfo(row.key, row.updated_at) for row in rows]

    async def get(self, ref: SecretRef) -> SecretRecord | None:
        """One secret."""
        row = (await self._connection.execute(_records().where(*_is(ref)))).one_or_none()
        return _record(row) if row is not None else None

    async def put(self, record: SecretRecord) -> None:
        """Stores a secret."""
        folded = record.ref.folded
        fresh = {
            "key_id": record.sealed.key_id,
            "content": record.sealed.content,
            "updated_at": record.updated_at,
        }
        added = insert_into(self._connection, SECRETS).values(
            scope=folded.scope, folded=folded.key, key=record.ref.key, **fresh
        )
        await self._connection.execute(added.on_conflict_do_update(index_elements=["scope", "folded"], set_=fresh))

    async def remove(self, ref: SecretRef) -> bool:
        """Removes it."""
        return (await self._connection.execute(delete(SECRETS).where(*_is(ref)))).rowcount > 0

    async def key_ids(self) -> Mapping[str, int]:
        """How many secrets are sealed under each key."""
        rows = await self._connection.execute(select(SECRETS.c.key_id, func.count()).group_by(SECRETS.c.key_id))
        return {row[0]: row[1] for row in rows}

    async def sealed_under_others(self, key_id: str, most: int) -> Sequence[SecretRecord]:
        """Secrets that are sealed under another key."""
        query = _records().where(SECRETS.c.key_id != key_id).order_by(SECRETS.c.scope, SECRETS.c.folded).limit(most)
        return [_record(row) for row in await self._connection.execute(query)]


def _records() -> Any:
    return select(SECRETS, SECRET_SCOPES.c.name).join(SECRET_SCOPES, SECRETS.c.scope == SECRET_SCOPES.c.folded)


def _is(ref: SecretRef) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    folded = ref.folded
    return SECRETS.c.scope == folded.scope, SECRETS.c.folded == folded.key


def _record(row: Row[Any]) -> SecretRecord:
    return SecretRecord(SecretRef(row.name, row.key), Sealed(row.key_id, row.content), row.updated_at)
