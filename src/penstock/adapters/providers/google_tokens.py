"""Tokens of Google Cloud's service accounts, by assertions that google-auth signs where it is installed."""

import asyncio
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from penstock.adapters.providers.token_keeper import TokenKeeper
from penstock.adapters.providers.wire import Wire
from penstock.domain.errors import ProviderFailed
from penstock.domain.secret import Hidden
from penstock.ports.clock import Clock

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LIFETIME_S = 3600
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_FORM = "application/x-www-form-urlencoded"
_WHO = "Google's sign-in service"
_OK = 200


class _Account(Struct):
    client_email: str
    private_key: str
    private_key_id: str | None = None
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address


class _Grant(Struct):
    access_token: str = ""
    expires_in: int = LIFETIME_S
    error: str = ""


class GoogleTokens:
    """Tokens by service account, which is the JSON of its key. Belongs to one event loop."""

    def __init__(self, wire: Wire, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock
        self._keeper = TokenKeeper[Hidden](clock, self._fetch)

    async def token(self, account: Hidden) -> Hidden:
        """A token that is good now. Raises ProviderFailed."""
        return await self._keeper.token(account)

    def refused(self, account: Hidden) -> None:
        """Its token was not accepted: the next one is fetched."""
        self._keeper.refused(account)

    async def _fetch(self, key: Hidden) -> tuple[str, float]:
        if problem := missing():
            raise ProviderFailed(problem)
        try:
            account = msgspec.json.decode(key.reveal(), type=_Account)
            # In a thread: the library takes a while to load, and signing takes milliseconds.
            assertion = await asyncio.to_thread(_assertion, account, self._clock.now_ms() // 1000)
        except (msgspec.DecodeError, ValueError):
            # without its cause, which may hold the secret
            raise ProviderFailed("The secret in private_key is not the JSON of a service account's key.") from None
        body = urlencode({"grant_type": _GRANT, "assertion": assertion}).encode()
        answer = await self._wire.post(_WHO, account.token_uri, {}, body, _FORM)
        try:
            grant = msgspec.json.decode(await answer.whole(), type=_Grant)
        except msgspec.DecodeError:
            grant = _Grant()
        finally:
            answer.close()
        if answer.status != _OK or not grant.access_token:
            why = f": {grant.error[:80]}" if grant.error and grant.error.isprintable() else ""
            raise ProviderFailed(f"{_WHO} gave no token (status {answer.status}){why}.")
        return grant.access_token, float(grant.expires_in)


def missing() -> str:
    """What must be installed, empty if it is."""
    try:
        found = find_spec("google.auth") is not None
    except ModuleNotFoundError:
        found = False
    if found:
        return ""
    return (
        "Provider 'google-cloud-vertex-ai' needs google-auth, which is not installed: pip install 'penstock[vertex]'."
    )


def _assertion(account: _Account, now: int) -> str:
    """Says in the account's name, for an hour, that it wants a token. Raises ValueError for a key that is none."""
    from google.auth import jwt
    from google.auth.crypt import RSASigner

    signer = RSASigner.from_string(account.private_key, account.private_key_id)
    claims: dict[str, Any] = {
        "iss": account.client_email,
        "scope": SCOPE,
        "aud": account.token_uri,
        "iat": now,
        "exp": now + LIFETIME_S,
    }
    found: bytes = jwt.encode(signer, claims)
    return found.decode()
