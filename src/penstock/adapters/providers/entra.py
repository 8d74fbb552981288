"""Tokens of Microsoft Entra ID by client credentials, kept until shortly before they expire."""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from penstock.adapters.providers.token_keeper import TokenKeeper
from penstock.adapters.providers.wire import Wire
from penstock.domain.errors import ProviderFailed
from penstock.domain.secret import Hidden
from penstock.ports.clock import Clock

AUTHORITY = "https://login.microsoftonline.com"
SCOPE = "https://cognitiveservices.azure.com/.default"
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


class EntraTokens:
    """Tokens by client. Belongs to one event loop."""

    def __init__(self, wire: Wire, clock: Clock) -> None:
        self._wire = wire
        self._keeper = TokenKeeper[Client](clock, self._fetch)

    async def token(self, client: Client) -> Hidden:
        """A token that is good now. Raises ProviderFailed."""
        return await self._keeper.token(client)

    def refused(self, client: Client) -> None:
        """Its token was not accepted: the next one is fetched."""
        self._keeper.refused(client)

    async def _fetch(self, client: Client) -> tuple[str, float]:
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
        return grant.access_token, float(grant.expires_in)
