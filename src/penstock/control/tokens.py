"""Personal access tokens."""

from collections.abc import Sequence

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
        if len(comment) > MAX_COMMENT:
            raise InvalidParameter(f"comment must have at most {MAX_COMMENT} characters, but has {len(comment)}.")
        now = self._clock.now_ms()
        value = new_value(TOKEN_PREFIX)
        token = Token(
            new_id(),
            caller.principal.id,
            TokenKind.PERSONAL,
            scope,
            comment,
            now,
            lifetime_end(now, lifetime_s, self._longest_s),
        )
        async with self._store.unit() as unit:
            have = [old for old in await unit.access.tokens(caller.principal.id) if _counts(old, now)]
            if len(have) >= self._quota:
                raise QuotaExceeded(f"{caller.principal.name} has {len(have)} tokens, and the limit is {self._quota}.")
            await unit.access.add_token(token, digest(value))
        return value, token

    async def list(self, caller: Caller) -> Sequence[Token]:
        """The caller's tokens that have not expired, oldest first."""
        now = self._clock.now_ms()
        async with self._store.unit() as unit:
            found = await unit.access.tokens(caller.principal.id)
        return [token for token in found if _counts(token, now)]

    async def everybodys(self, owner_id: str = "", owner_name: str = "") -> Sequence[tuple[Token, Principal]]:
        """Everybody's tokens that have not expired, oldest first, each with whose it is; those of one, if it is said.

        The routes check that the caller is an administrator.
        """
        now = self._clock.now_ms()
        async with self._store.unit() as unit:
            kinds = [await unit.access.principals(kind) for kind in PrincipalKind]
            found = [token for kind in sorted(LASTING) for token in await unit.access.tokens_of_kind(kind)]
        people = [one for kind in kinds for one in kind]
        owners = {one.id: one for one in people if owner_id in {"", one.id} and owner_name in {"", one.name}}
        mine = [token for token in found if _counts(token, now) and token.principal_id in owners]
        return [(token, owners[token.principal_id]) for token in sorted(mine, key=lambda one: (one.created_at, one.id))]

    async def anybodys(self, token_id: str) -> tuple[Token, Principal]:
        """One of those; raises DoesNotExist."""
        async with self._store.unit() as unit:
            token = await unit.access.token(token_id)
            owner = await unit.access.principal(token.principal_id) if token else None
        if token is None or owner is None or not _counts(token, self._clock.now_ms()):
            raise DoesNotExist(f"Token '{token_id[:80]}' does not exist.")
        return token, owner

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
