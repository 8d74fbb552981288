"""Client secrets of service principals, and the access tokens that they are exchanged for."""

import hmac
from collections.abc import Sequence

from penstock.control.credentials import OAUTH_PREFIX, SECRET_PREFIX, digest, new_id, new_value
from penstock.domain.access import ClientSecret, Principal, PrincipalKind, Scope, Token, TokenKind
from penstock.domain.errors import DoesNotExist, InvalidParameter, QuotaExceeded
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit

MAX_SECRETS = 5
LONGEST_S = 730 * 24 * 3600


class ClientSecrets:
    """Secrets of service principals; their tokens live `token_s` seconds."""

    def __init__(self, store: Store, clock: Clock, *, token_s: int) -> None:
        self._store = store
        self._clock = clock
        self.token_s = token_s

    async def create(self, principal_id: str, lifetime_s: int | None) -> tuple[str, ClientSecret]:
        """A new secret: its value, told only here, and what is kept; raises DoesNotExist, QuotaExceeded."""
        lifetime_s = LONGEST_S if lifetime_s is None else lifetime_s
        if not 1 <= lifetime_s <= LONGEST_S:
            raise InvalidParameter(f"lifetime must be 1 to {LONGEST_S} seconds, but is {lifetime_s}.")
        now = self._clock.now_ms()
        value = new_value(SECRET_PREFIX)
        secret = ClientSecret(new_id(), principal_id, digest(value), now, now + lifetime_s * 1000)
        async with self._store.unit() as unit:
            await self._find(unit, principal_id)
            if len(await unit.access.secrets(principal_id)) >= MAX_SECRETS:
                raise QuotaExceeded(f"A service principal may have {MAX_SECRETS} secrets; delete one first.")
            await unit.access.add_secret(secret)
        return value, secret

    async def list(self, principal_id: str) -> Sequence[ClientSecret]:
        """The principal's secrets, oldest first; raises DoesNotExist."""
        async with self._store.unit() as unit:
            await self._find(unit, principal_id)
            return await unit.access.secrets(principal_id)

    async def delete(self, principal_id: str, secret_id: str) -> None:
        """Removes a secret; tokens made with it live on until they expire. Raises DoesNotExist."""
        async with self._store.unit() as unit:
            if not await unit.access.remove_secret(principal_id, secret_id):
                raise DoesNotExist(f"Secret '{secret_id[:80]}' of service principal '{principal_id}' does not exist.")

    async def exchange(self, client_id: str, secret: str, scope: Scope) -> str | None:
        """A new access token of the service principal whose application id is `client_id`.

        None if the id or the secret is wrong or expired, or the principal is not active.
        """
        now = self._clock.now_ms()
        async with self._store.unit() as unit:
            principal = await unit.access.principal_named(client_id)
            if principal is None or not principal.active or not await self._fits(unit, principal, secret, now):
                return None
            value = new_value(OAUTH_PREFIX)
            token = Token(new_id(), principal.id, TokenKind.OAUTH, scope, "", now, now + self.token_s * 1000)
            await unit.access.add_token(token, digest(value))
        return value

    async def _fits(self, unit: Unit, principal: Principal, secret: str, now_ms: int) -> bool:
        given = digest(secret)
        known = await unit.access.secrets(principal.id)
        return any(now_ms < one.expires_at and hmac.compare_digest(one.digest, given) for one in known)

    async def _find(self, unit: Unit, principal_id: str) -> None:
        found = await unit.access.principal(principal_id)
        if found is None or found.kind is not PrincipalKind.SERVICE_PRINCIPAL:
            raise DoesNotExist(f"Service principal with id '{principal_id}' does not exist.")
