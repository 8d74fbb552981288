"""Personal access tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.control.authenticator import Authenticator
from penstock.control.credentials import TOKEN_PREFIX, digest, new_id, new_value
from penstock.domain.access import (
    MAX_COMMENT,
    Caller,
    Principal,
    PrincipalKind,
    Scope,
    Token,
    TokenKind,
    lifetime_end,
)
from penstock.domain.errors import DoesNotExist, InvalidParameter, QuotaExceeded
from penstock.ports.clock import Clock
from penstock.ports.store import Store

# What a caller sees and may delete; OAuth tokens come and go by themselves.
LASTING = frozenset({TokenKind.PERSONAL, TokenKind.FIRST, TokenKind.ENVIRONMENT})


@dataclass(frozen=True, slots=True)
class Managed:
    """A token as administrators see it. `creator` is None if who made it for its owner is gone."""

    token: Token
    owner: Principal
    creator: Principal | None

    @property
    def creator_id(self) -> str:
        """The id of who made it."""
        return self.token.creator_id or self.owner.id

    @property
    def creator_name(self) -> str:
        """The name of who made it, empty if it is not known any more."""
        return self.creator.name if self.creator else ""


class Tokens:
    """What a caller does with their own tokens. `quota` is the most per principal, `longest_s` None for no limit."""

    def __init__(
        self, store: Store, clock: Clock, authenticator: Authenticator, *, quota: int, longest_s: int | None
    ) -> None:
        self._store = store
        self._clock = clock
        self._authenticator = authenticator
        self._quota = quota
        self._longest_s = longest_s

    async def create(
        self, caller: Caller, comment: str, lifetime_s: int | None, scope: Scope = Scope.ALL_APIS
    ) -> tuple[str, Token]:
        """A new token of the caller: its value, told only here, and what is kept. Raises QuotaExceeded."""
        return await self._create(caller.principal, "", comment, lifetime_s, scope)

    async def create_for(
        self, caller: Caller, application_id: str, comment: str, lifetime_s: int | None, scope: Scope
    ) -> tuple[str, Managed]:
        """A new token of a service principal, which the caller makes: its value, told only here, and what is kept.

        The routes check that the caller is an administrator. Raises DoesNotExist, QuotaExceeded.
        """
        async with self._store.unit() as unit:
            owner = await unit.access.principal_named(application_id)
        if owner is None or owner.kind is not PrincipalKind.SERVICE_PRINCIPAL:
            raise DoesNotExist(f"Service principal with application id '{application_id[:80]}' does not exist.")
        value, token = await self._create(owner, caller.principal.id, comment, lifetime_s, scope)
        return value, Managed(token, owner, caller.principal)

    async def _create(
        self, owner: Principal, creator_id: str, comment: str, lifetime_s: int | None, scope: Scope
    ) -> tuple[str, Token]:
        if len(comment) > MAX_COMMENT:
            raise InvalidParameter(f"comment must have at most {MAX_COMMENT} characters, but has {len(comment)}.")
        now = self._clock.now_ms()
        value = new_value(TOKEN_PREFIX)
        expires_at = lifetime_end(now, lifetime_s, self._longest_s)
        kind = TokenKind.PERSONAL
        token = Token(new_id(), owner.id, kind, scope, comment, now, expires_at, creator_id=creator_id)
        async with self._store.unit() as unit:
            have = [old for old in await unit.access.tokens(owner.id) if _counts(old, now)]
            if len(have) >= self._quota:
                raise QuotaExceeded(f"{owner.name} has {len(have)} tokens, and the limit is {self._quota}.")
            await unit.access.add_token(token, digest(value))
        return value, token

    async def list(self, caller: Caller) -> Sequence[Token]:
        """The caller's tokens that have not expired, oldest first."""
        now = self._clock.now_ms()
        async with self._store.unit() as unit:
            found = await unit.access.tokens(caller.principal.id)
        return [token for token in found if _counts(token, now)]

    async def everybodys(self, creator_id: str = "", creator_name: str = "") -> Sequence[Managed]:
        """Everybody's tokens that have not expired, oldest first; those that one made, if it is said who.

        The routes check that the caller is an administrator.
        """
        now = self._clock.now_ms()
        async with self._store.unit() as unit:
            people = {one.id: one for kind in PrincipalKind for one in await unit.access.principals(kind)}
            tokens = [token for kind in sorted(LASTING) for token in await unit.access.tokens_of_kind(kind)]
        tokens.sort(key=lambda token: (token.created_at, token.id))
        found = [
            Managed(token, people[token.principal_id], people.get(token.creator_id or token.principal_id))
            for token in tokens
            if _counts(token, now) and token.principal_id in people
        ]
        return [one for one in found if creator_id in {"", one.creator_id} and creator_name in {"", one.creator_name}]

    async def anybodys(self, token_id: str) -> Managed:
        """One of those; raises DoesNotExist."""
        async with self._store.unit() as unit:
            token = await unit.access.token(token_id)
            owner = await unit.access.principal(token.principal_id) if token else None
            creator = await unit.access.principal(token.creator_id) if token and token.creator_id else owner
        if token is None or owner is None or not _counts(token, self._clock.now_ms()):
            raise DoesNotExist(f"Token '{token_id[:80]}' does not exist.")
        return Managed(token, owner, creator)

    async def delete(self, caller: Caller, token_id: str) -> None:
        """Revokes a token of the caller, or of anybody if the caller is an administrator; raises DoesNotExist."""
        async with self._store.unit() as unit:
            token = await unit.access.token(token_id)
            mine = token is not None and (token.principal_id == caller.principal.id or caller.principal.is_admin)
            if not mine:
                raise DoesNotExist(f"Token '{token_id[:80]}' does not exist.")
            await unit.access.remove_token(token_id)
        self._authenticator.forget_token(token_id)

    async def sweep(self) -> str:
        """A loop's step: removes expired tokens."""
        async with self._store.unit() as unit:
            gone = await unit.access.sweep_tokens(self._clock.now_ms())
        return f"removed {gone} expired tokens" if gone else ""


def _counts(token: Token, now_ms: int) -> bool:
    return token.kind in LASTING and token.valid_at(now_ms)
