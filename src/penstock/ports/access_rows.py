"""Principals, tokens and client secrets, as stored."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from penstock.domain.access import ClientSecret, Principal, PrincipalKind, Token, TokenKind


class AccessRows(Protocol):
    """Rows of principals with their tokens and secrets, and the installation's own number.

    `digest` is always the SHA-256 of a secret value in hexadecimal; values themselves never come here.
    """

    async def workspace_id(self) -> str | None:
        """The installation's number, a decimal string; None before it was set."""
        ...

    async def set_workspace_id(self, workspace_id: str) -> None:
        """Sets the installation's number, once; raises AlreadyExists if it has one."""
        ...

    async def add_principal(self, principal: Principal, now_ms: int) -> None:
        """Adds a principal; raises AlreadyExists if its id or name is taken."""
        ...

    async def save_principal(self, principal: Principal) -> None:
        """Replaces display name, groups and active; name and kind never change."""
        ...

    async def principal(self, principal_id: str) -> Principal | None:
        """The principal of that id."""
        ...

    async def principal_named(self, name: str) -> Principal | None:
        """The principal of exactly that name."""
        ...

    async def principals(self, kind: PrincipalKind) -> Sequence[Principal]:
        """All principals of that kind, by name."""
        ...

    async def remove_principal(self, principal_id: str) -> bool:
        """Removes the principal with its tokens and secrets; False if there is none."""
        ...

    async def add_token(self, token: Token, digest: str) -> None:
        """Adds a token; raises AlreadyExists if a token with that digest exists."""
        ...

    async def by_digest(self, digest: str) -> tuple[Token, Principal] | None:
        """The token with that digest and whose it is, expired or not."""
        ...

    async def token(self, token_id: str) -> Token | None:
        """The token of that id."""
        ...

    async def tokens(self, principal_id: str) -> Sequence[Token]:
        """All tokens of a principal, oldest first."""
        ...

    async def tokens_of_kind(self, kind: TokenKind) -> Sequence[Token]:
        """All tokens of that kind, oldest first."""
        ...

    async def remove_token(self, token_id: str) -> bool:
        """Removes the token; False if there is none."""
        ...

    async def used(self, times: Mapping[str, int]) -> None:
        """Notes when tokens (by id) were last used, epoch milliseconds; ids that are gone are passed over."""
        ...

    async def sweep_tokens(self, before_ms: int) -> int:
        """Removes tokens that expired before `before_ms`; returns how many."""
        ...

    async def add_secret(self, secret: ClientSecret) -> None:
        """Adds a client secret."""
        ...

    async def secrets(self, principal_id: str) -> Sequence[ClientSecret]:
        """All client secrets of a principal, oldest first, expired or not."""
        ...

    async def remove_secret(self, principal_id: str, secret_id: str) -> bool:
        """Removes a principal's client secret; False if there is none."""
        ...
