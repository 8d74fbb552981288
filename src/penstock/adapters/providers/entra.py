"""Tokens of Microsoft Entra ID by client credentials, kept until shortly before they expire."""

import asyncio
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from penstock.adapters.providers.wire import Wire
from penstock.domain.errors import ProviderFailed
from penstock.domain.secret import Hidden
from penstock.ports.clock import Clock

AUTHORITY = "https://login.microsoftonline.com"
SCOPE = "https://cognitiveservices.azure.com/.default"
EARLY_S = 120.0
"""How long before its end a token is not used any more."""
_WHO = "Microsoft Entra ID"
_FORM = "application/x-www-form-urlencoded"
_OK = 200


class _Grant(Struct):
    access_token: str = ""
    expires_in: int | str = 3600
    error: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks for tokens. `authority` is the address of the sign-in service."""

    tenant: str
    id: str
    secret: Hidden
    authority: str = AUTHORITY


@dataclass(slots=True)
class _Kept:
    token: Hidden | None = None
    good_until: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class EntraTokens:
    """Tokens by client. Belongs to one event loop."""

    def __init__(self, wire: Wire, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock
        self._kept: dict[Client, _Kept] = {}

    async def token(self, client: Client) -> Hidden:
        """A token that is good now; only one request at a time fetches a new one. Raises ProviderFailed."""
        kept = self._kept.setdefault(client, _Kept())
        async with kept.turn:
            if kept.token is None or self._clock.monotonic() >= kept.good_until:
                grant = await self._fetch(client)
                kept.token = Hidden(grant.access_token)
                kept.good_until = self._clock.monotonic() + max(float(grant.expires_in) - EARLY_S, 0.0)
            return kept.token

    def refused(self, client: Client) -> None:
        """Its token was not accepted: the next one is fetched."""
        self._kept.pop(client, None)

    async def _fetch(self, client: Client) -> _Grant:
        asked = {
            "grant_type": "client_credentials",
            "client_id": client.id,
            "client_secret": client.secret.reveal(),
            "scope": SCOPE,
        }
        url = f"{client.authority.rstrip('/')}/{quote(client.tenant, safe='')}/oauth2/v2.0/token"
        answer = await self._wire.post(_WHO, url, {}, urlencode(asked).encode(), _FORM)
        try:
            grant = msgspec.json.decode(await answer.whole(), type=_Grant)
            float(grant.expires_in)
        except (msgspec.DecodeError, ValueError):
            grant = _Grant()
        finally:
            answer.close()
        if answer.status != _OK or not grant.access_token:
            why = f": {grant.error[:80]}" if grant.error.isprintable() and grant.error else ""
            raise ProviderFailed(f"{_WHO} gave no token (status {answer.status}){why}.")
        return grant
