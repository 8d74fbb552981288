"""The client of running engines, on aiohttp: one pool of connections per address."""

import aiohttp
from aiohttp import ClientResponse, ClientSession, ClientTimeout

from penstock.domain.errors import EngineFailed

CONNECT_S = 5.0
KEEP_S = 30.0
"""How long an idle connection is kept."""
_UNIX = "unix:"
_JSON = "application/json"


class EngineAnswer:
    """See `penstock.ports.relay.Answer`."""

    __slots__ = ("_response", "content_type", "retry_after", "status")

    def __init__(self, response: ClientResponse) -> None:
        headers = response.headers
        self._response = response
        self.status = response.status
        self.content_type = headers.get("Content-Type", _JSON).encode("latin-1")
        self.retry_after = headers.get("Retry-After", "").encode("latin-1")

    async def whole(self) -> bytes:
        """The body."""
        try:
            return await self._response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(error) from error

    async def chunk(self) -> bytes:
        """What has arrived."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(error) from error

    def close(self) -> None:
        """After its end the connection is in the pool already; before, this breaks it off."""
        self._response.close()


class EngineRelay:
    """See `penstock.ports.relay.Relay`."""

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[ClientSession, str]] = {}

    async def open(self, address: str, path: str, body: bytes, request_id: str) -> EngineAnswer:
        """Posts, on a fresh connection if a kept one turns out to be closed."""
        session, base = self._session(address)
        headers = {"Content-Type": _JSON, "x-request-id": request_id}
        try:
            try:
                response = await session.post(base + path, data=body, headers=headers)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                response = await session.post(base + path, data=body, headers=headers)
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(error) from error
        return EngineAnswer(response)

    async def close(self) -> None:
        """Closes all connections."""
        while self._sessions:
            _, (session, _) = self._sessions.popitem()
            await session.close()

    def _session(self, address: str) -> tuple[ClientSession, str]:
        found = self._sessions.get(address)
        if found is None:
            found = self._sessions[address] = _open_pool(address)
        return found


def _open_pool(address: str) -> tuple[ClientSession, str]:
    """A session for one address, and what its URLs begin with."""
    connector: aiohttp.BaseConnector
    if address.startswith(_UNIX):
        connector = aiohttp.UnixConnector(address.removeprefix(_UNIX), limit=0, keepalive_timeout=KEEP_S)
        base = "http://engine"
    else:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_S)
        base = address
    session = ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        timeout=ClientTimeout(total=None, sock_connect=CONNECT_S),
    )
    return session, base


def _broken(error: Exception) -> EngineFailed:
    return EngineFailed(f"The engine cannot be reached or broke off: {type(error).__name__}: {error}")
