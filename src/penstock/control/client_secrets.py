"""Client secrets of service principals, the access tokens that they are exchanged for, and narrower ones of those."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.control.credentials import OAUTH_PREFIX, SECRET_PREFIX, digest, new_id, new_value
from penstock.domain.access import Caller, ClientSecret, Principal, PrincipalKind, Scope, Token, TokenKind
from penstock.domain.acl import may_query
from penstock.domain.errors import DoesNotExist, InvalidParameter, PermissionDenied, QuotaExceeded
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit

MAX_SECRETS = 5
LONGEST_S = 730 * 24 * 3600


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A new token with its value, the seconds that it lives, and what it is good for."""

    value: str
    seconds: int
    scope: Scope


class ClientSecrets:
    """Secrets of service principals; their tokens live `token_s` seconds."""

    def __init__(self, store: Store, clock: Clock, *, token_s: int) -> None:
        self._store = store
        self._clock = clock
        self._token_s = token_s

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

    async def exchange(
        self, client_id: str, secret: str, scope: Scope, endpoint_id: str | None = None
    ) -> AccessToken | None:
        """A new access token of the service principal whose application id is `client_id`.

        With `endpoint_id` it is one for queries of that endpoint alone. None if the id or the secret is wrong or
        expired, or the principal is not active. Raises PermissionDenied if it may not query that endpoint.
        """
        now = self._clock.now_ms()
        async with self._store.unit() as unit:
            principal = await unit.access.principal_named(client_id)
            if principal is None or not principal.active or not await self._fits(unit, principal, secret, now):
                return None
            if endpoint_id is None:
                return await _add(unit, principal, scope, now, self._token_s)
            await _check_query(unit, Caller(principal, Scope.SERVING, ""), endpoint_id)
            return await _add(unit, principal, Scope.SERVING, now, self._token_s, endpoint_id=endpoint_id)

    async def narrowed(self, assertion: str, endpoint_id: str) -> AccessToken | None:
        """A token for queries of one endpoint, made of another access token, after which it does not live.

        None if that one is none, or not valid. Raises PermissionDenied if its principal may not query that endpoint, or
        if it is for another endpoint itself.
        """
        now = self._clock.now_ms()
        async with self._store.unit() as unit:
            found = await unit.access.by_digest(digest(assertion))
            if found is None or found[0].kind is not TokenKind.OAUTH:
                return None
            token, principal = found
            if not principal.active or not token.valid_at(now):
                return None
            await _check_query(unit, Caller(principal, token.scope, token.id, token.endpoint_id), endpoint_id)
            left_s = self._token_s if token.expires_at is None else (token.expires_at - now) // 1000
            lives_s = min(left_s, self._token_s)
            return await _add(unit, principal, Scope.SERVING, now, lives_s, endpoint_id=endpoint_id)

    async def _fits(self, unit: Unit, principal: Principal, secret: str, now_ms: int) -> bool:
        given = digest(secret)
        known = await unit.access.secrets(principal.id)
        return any(now_ms < one.expires_at and hmac.compare_digest(one.digest, given) for one in known)

    async def _find(self, unit: Unit, principal_id: str) -> None:
        found = await unit.access.principal(principal_id)
        if found is None or found.kind is not PrincipalKind.SERVICE_PRINCIPAL:
            raise DoesNotExist(f"Service principal with id '{principal_id}' does not exist.")


async def _add(
    unit: Unit, principal: Principal, scope: Scope, now_ms: int, seconds: int, *, endpoint_id: str = ""
) -> AccessToken:
    value = new_value(OAUTH_PREFIX)
    expires_at = now_ms + seconds * 1000
    token = Token(new_id(), principal.id, TokenKind.OAUTH, scope, "", now_ms, expires_at, endpoint_id=endpoint_id)
    await unit.access.add_token(token, digest(value))
    return AccessToken(value, seconds, scope)


async def _check_query(unit: Unit, caller: Caller, endpoint_id: str) -> None:
    """Raises PermissionDenied if the caller may not query the endpoint, or if there is none of that id."""
    endpoint = await unit.endpoints.by_id(endpoint_id)
    if endpoint is None or endpoint.deleted or not may_query(caller, endpoint.acl, endpoint_id):
        raise PermissionDenied("User is not authorized to the requested authorizations.")
