"""The client of running engines: kept connections, by address."""

import asyncio
from urllib.parse import quote

from penstock.adapters.engines.connection import EngineConnection
from penstock.domain.errors import EngineFailed
from penstock.domain.measured import seconds_of
from penstock.domain.trace_context import TraceContext

CONNECT_S = 5.0
KEEP_S = 30.0
"""How long a connection may be idle and still be used: less than engines keep them."""
_UNIX = "unix:"
_JSON = b"application/json"


Pools = dict[str, list[EngineConnection]]
"""Connections that are kept, by address; the one used last is at the end."""


class EngineAnswer:
    """See `penstock.ports.relay.Answer`."""

    __slots__ = ("_address", "_closed", "_connection", "_pools", "content_type", "measured_s", "retry_after", "status")

    def __init__(self, connection: EngineConnection, pools: Pools, address: str) -> None:
        self._connection = connection
        self._pools = pools
        self._address = address
        self._closed = False
        self.status = connection.status
        self.content_type = connection.headers.get(b"content-type", _JSON)
        self.retry_after = connection.headers.get(b"retry-after", b"")
        self.measured_s = seconds_of(connection.headers.get(b"x-device-seconds", b""))

    async def whole(self) -> bytes:
        """The body."""
        return await self._connection.rest()

    async def chunk(self) -> bytes:
        """What has arrived."""
        return await self._connection.chunk()

    def close(self) -> None:
        """Keeps the connection if the answer was read to its end: else the next request would get the rest."""
        if self._closed:
            return
        self._closed = True
        connection = self._connection
        if not connection.spent:
            connection.abort()
        elif not connection.closed:
            connection.idle_since = asyncio.get_running_loop().time()
            self._pools.setdefault(self._address, []).append(connection)


class EngineRelay:
    """See `penstock.ports.relay.Relay`."""

    def __init__(self) -> None:
        self._pools: Pools = {}

    async def open(
        self,
        address: str,
        path: str,
        body: bytes,
        request_id: str,
        *,
        namespace: str,
        adapter: str = "",
        patience_s: float = 0.0,
        trace: TraceContext | None = None,
    ) -> EngineAnswer:
        """Posts, on a fresh connection if a kept one turns out to be closed."""
        request = b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\nx-request-id: %b\r\n" % (
            path.encode(),
            _host(address),
            request_id.encode(),
        )
        request += b"x-namespace: %b\r\nx-patience: %.3f\r\n" % (namespace.encode(), patience_s)
        if adapter:
            request += b"x-adapter: %b\r\n" % quote(adapter).encode()
        if trace is not None:
            request += "".join(f"{name}: {value}\r\n" for name, value in trace.headers).encode()
        request += b"content-length: %d\r\n\r\n%b" % (len(body), body)
        pool = self._pools.get(address)
        kept = _kept(pool) if pool else None
        if kept is not None:
            try:
                await _ask(kept, request)
            except EngineFailed:
                # It was closed while it was idle, or the engine has died; a fresh one will tell.
                kept = None
        if kept is None:
            self._forget_closed()
            kept = await _connect(address)
            await _ask(kept, request)
        return EngineAnswer(kept, self._pools, address)

    async def close(self) -> None:
        """Closes the connections that are kept."""
        for pool in self._pools.values():
            for connection in pool:
                connection.abort()
        self._pools.clear()

    def _forget_closed(self) -> None:
        """Drops the pools of engines that are gone."""
        gone = [address for address, pool in self._pools.items() if all(kept.closed for kept in pool)]
        for address in gone:
            del self._pools[address]


async def _ask(connection: EngineConnection, request: bytes) -> None:
    """Sends the request, and waits for the head of the answer."""
    try:
        connection.send(request)
        await connection.head()
    except BaseException:
        connection.abort()
        raise


def _kept(pool: list[EngineConnection]) -> EngineConnection | None:
    """The connection used last, if it is still good."""
    latest = asyncio.get_running_loop().time() - KEEP_S
    while pool:
        connection = pool.pop()
        if not connection.closed:
            if connection.idle_since > latest:
                return connection
            connection.abort()
    return None


async def _connect(address: str) -> EngineConnection:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_S):
            if address.startswith(_UNIX):
                _, made = await loop.create_unix_connection(EngineConnection, address.removeprefix(_UNIX))
            else:
                host, _, port = address.removeprefix("http://").rpartition(":")
                _, made = await loop.create_connection(EngineConnection, host.strip("[]"), int(port))
    except (OSError, TimeoutError) as error:
        raise EngineFailed(f"The engine cannot be reached: {error or type(error).__name__}.") from error
    return made


def _host(address: str) -> bytes:
    return b"engine" if address.startswith(_UNIX) else address.removeprefix("http://").encode()
