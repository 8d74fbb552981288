"""Rows of principals, tokens and client secrets; the contract is `penstock.ports.access_rows`."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.adapters.store.database import unique
from penstock.adapters.store.tables.access import CLIENT_SECRETS, INSTALLATION, MEMBERSHIPS, PRINCIPALS, TOKENS
from penstock.domain.access import ClientSecret, Principal, PrincipalKind, Scope, Token, TokenKind

_WORKSPACE_ID = "workspace_id"


class SqlAccessRows:
    """See `penstock.ports.access_rows.AccessRows`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def workspace_id(self) -> str | None:
        """The installation's number."""
        return await self._connection.scalar(select(INSTALLATION.c.value).where(INSTALLATION.c.name == _WORKSPACE_ID))

    async def set_workspace_id(self, workspace_id: str) -> None:
        """Sets it, once."""
        async with unique(self._connection, "The installation has a workspace id."):
            await self._connection.execute(insert(INSTALLATION).values(name=_WORKSPACE_ID, value=workspace_id))

    async def add_principal(self, principal: Principal, now_ms: int) -> None:
        """Adds a principal with its groups."""
        async with unique(self._connection, f"A principal named '{principal.name}' already exists."):
            await self._connection.execute(
                insert(PRINCIPALS).values(
                    id=principal.id,
                    name=principal.name,
                    display_name=principal.display_name,
                    kind=principal.kind.value,
                    active=principal.active,
                    created_at=now_ms,
                )
            )
        await self._join_groups(principal)

    async def save_principal(self, principal: Principal) -> None:
        """Replaces display name, groups and active."""
        await self._connection.execute(
            update(PRINCIPALS)
            .where(PRINCIPALS.c.id == principal.id)
            .values(display_name=principal.display_name, active=principal.active)
        )
        await self._connection.execute(delete(MEMBERSHIPS).where(MEMBERSHIPS.c.principal_id == principal.id))
        await self._join_groups(principal)

    async def _join_groups(self, principal: Principal) -> None:
        if principal.groups:
            await self._connection.execute(
                insert(MEMBERSHIPS),
                [{"principal_id": principal.id, "group_name": group} for group in sorted(principal.groups)],
            )

    async def principal(self, principal_id: str) -> Principal | None:
        """By id."""
        return _first(await self._principals(select(PRINCIPALS).where(PRINCIPALS.c.id == principal_id)))

    async def principal_named(self, name: str) -> Principal | None:
        """By name."""
        return _first(await self._principals(select(PRINCIPALS).where(PRINCIPALS.c.name == name)))

    async def principals(self, kind: PrincipalKind) -> Sequence[Principal]:
        """All of a kind, by name."""
        found = await self._principals(select(PRINCIPALS).where(PRINCIPALS.c.kind == kind.value))
        return sorted(found, key=lambda principal: principal.name)

    async def _principals(self, query: Select[Any]) -> list[Principal]:
        rows = (await self._connection.execute(query)).all()
        groups: dict[str, set[str]] = {row.id: set() for row in rows}
        memberships = await self._connection.execute(
            select(MEMBERSHIPS).where(MEMBERSHIPS.c.principal_id.in_(query.with_only_columns(PRINCIPALS.c.id)))
        )
        for membership in memberships:
            groups[membership.principal_id].add(membership.group_name)
        return [_principal(row, groups[row.id]) for row in rows]

    async def remove_principal(self, principal_id: str) -> bool:
        """Removes it; tokens, secrets and memberships go with it."""
        result = await self._connection.execute(delete(PRINCIPALS).where(PRINCIPALS.c.id == principal_id))
        return result.rowcount > 0

    async def add_token(self, token: Token, digest: str) -> None:
        """Adds a token."""
        async with unique(self._connection, "This token already exists."):
            await self._connection.execute(
                insert(TOKENS).values(
                    id=token.id,
                    principal_id=token.principal_id,
                    digest=digest,
                    kind=token.kind.value,
                    scope=token.scope.value,
                    comment=token.comment,
                    created_at=token.created_at,
                    expires_at=token.expires_at,
                    last_used_at=token.last_used_at,
                    endpoint_id=token.endpoint_id,
                    creator_id=token.creator_id,
                )
            )

    async def by_digest(self, digest: str) -> tuple[Token, Principal] | None:
        """A token and whose it is."""
        row = (await self._connection.execute(select(TOKENS).where(TOKENS.c.digest == digest))).first()
        principal = await self.principal(row.principal_id) if row else None
        return (_token(row), principal) if row and principal else None

    async def token(self, token_id: str) -> Token | None:
        """By id."""
        row = (await self._connection.execute(select(TOKENS).where(TOKENS.c.id == token_id))).first()
        return _token(row) if row else None

    async def tokens(self, principal_id: str) -> Sequence[Token]:
        """All of a principal, oldest first."""
        return await self._tokens(select(TOKENS).where(TOKENS.c.principal_id == principal_id))

    async def tokens_of_kind(self, kind: TokenKind) -> Sequence[Token]:
        """All of a kind, oldest first."""
        return await self._tokens(select(TOKENS).where(TOKENS.c.kind == kind.value))

    async def _tokens(self, query: Select[Any]) -> list[Token]:
        rows = await self._connection.execute(query.order_by(TOKENS.c.created_at, TOKENS.c.id))
        return [_token(row) for row in rows]

    async def remove_token(self, token_id: str) -> bool:
        """Removes it."""
        return (await self._connection.execute(delete(TOKENS).where(TOKENS.c.id == token_id))).rowcount > 0

    async def used(self, times: Mapping[str, int]) -> None:
        """Notes last uses, in one statement."""
        if times:
            await self._connection.execute(
                update(TOKENS).where(TOKENS.c.id == bindparam("token")).values(last_used_at=bindparam("at")),
                [{"token": token_id, "at": at} for token_id, at in times.items()],
            )

    async def sweep_tokens(self, before_ms: int) -> int:
        """Removes expired ones."""
        return (await self._connection.execute(delete(TOKENS).where(TOKENS.c.expires_at < before_ms))).rowcount

    async def add_secret(self, secret: ClientSecret) -> None:
        """Adds a client secret."""
        await self._connection.execute(
            insert(CLIENT_SECRETS).values(
                id=secret.id,
                principal_id=secret.principal_id,
                digest=secret.digest,
                created_at=secret.created_at,
                expires_at=secret.expires_at,
            )
        )

    async def secrets(self, principal_id: str) -> Sequence[ClientSecret]:
        """All of a principal, oldest first."""
        rows = await self._connection.execute(
            select(CLIENT_SECRETS)
            .where(CLIENT_SECRETS.c.principal_id == principal_id)
            .order_by(CLIENT_SECRETS.c.created_at, CLIENT_SECRETS.c.id)
        )
        return [ClientSecret(row.id, row.principal_id, row.digest, row.created_at, row.expires_at) for row in rows]

    async def remove_secret(self, principal_id: str, secret_id: str) -> bool:
        """Removes it."""
        result = await self._connection.execute(
            delete(CLIENT_SECRETS).where(
                CLIENT_SECRETS.c.id == secret_id, CLIENT_SECRETS.c.principal_id == principal_id
            )
        )
        return result.rowcount > 0


def _first(found: Sequence[Principal]) -> Principal | None:
    return found[0] if found else None


def _principal(row: Row[Any], groups: set[str]) -> Principal:
    return Principal(
        row.id, row.name, row.display_name, PrincipalKind(row.kind), frozenset(groups), active=bool(row.active)
    )


def _token(row: Row[Any]) -> Token:
    return Token(
        row.id,
        row.principal_id,
        TokenKind(row.kind),
        Scope(row.scope),
        row.comment,
        row.created_at,
        row.expires_at,
        row.last_used_at,
        row.endpoint_id,
        row.creator_id,
    )
