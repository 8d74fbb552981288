"""The connections to providers: made, kept while they are idle, and none into the private network."""

import asyncio
import socket
import ssl

from aiohappyeyeballs import AddrInfoType, start_connection

from penstock.adapters.providers.connection import Origin, ProviderConnection
from penstock.adapters.providers.names import Names
from penstock.domain.addresses import is_public

KEEP_S = 30.0
"""How long a connection may be idle and still be used."""
NEXT_ADDRESS_S = 0.25
"""How long one address of a name is tried before another is tried beside it."""


class PrivateAddress(OSError):
    """A name leads to where requests may not go."""


class Connections:
    """Belongs to the event loop that it is made in. There is no limit: whoever asks is bounded before."""

    def __init__(self, *, connect_s: float, allow_private: bool) -> None:
        self._connect_s = connect_s
        self._allow_private = allow_private
        self._names = Names()
        self._idle: dict[Origin, list[ProviderConnection]] = {}
        self._open: set[ProviderConnection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._tls: ssl.SSLContext | None = None

    @property
    def idle(self) -> int:
        """How many are kept and not in use."""
        return sum(map(len, self._idle.values()))

    def kept(self, origin: Origin) -> ProviderConnection | None:
        """The connection that was used last, if it is still good; it may turn out to be closed."""
        pool = self._idle.get(origin)
        if not pool:
            return None
        latest = asyncio.get_running_loop().time() - KEEP_S
        while pool:
            connection = pool.pop()
            if not connection.closed and connection.idle_since > latest:
                return connection
            connection.abort()
        return None

    async def connect(self, origin: Origin) -> ProviderConnection:
        """A fresh connection; raises TimeoutError, other OSErrors, and ValueError for what is no name of a host."""
        secure, host, port = origin
        async with asyncio.timeout(self._connect_s):
            tls = await self._tls_context() if secure else None
            addresses = await self._names.addresses(host, port)
            connected = await start_connection(
                addresses, happy_eyeballs_delay=NEXT_ADDRESS_S, socket_factory=self._socket
            )
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: ProviderConnection(origin, self._freed),
                sock=connected,
                ssl=tls,
                server_hostname=host.rstrip(".") if secure else None,
            )
        if not connection.closed:
            self._open.add(connection)
        return connection

    def give_back(self, connection: ProviderConnection, *, ended: bool) -> None:
        """The answer is not read any more. If it has `ended`, but for the end of its body, that is waited for."""
        if ended:
            connection.forget()
        if connection.reusable_now:
            self._keep(connection)
        elif ended and not connection.complete and not connection.closed:
            connection.linger()
        else:
            connection.abort()

    def close(self) -> None:
        """Closes all, those in use too."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._names.close()
        for connection in list(self._open):
            connection.abort()
        self._idle.clear()

    def _freed(self, connection: ProviderConnection) -> None:
        """It has lingered long enough, or is lost."""
        if not connection.closed:
            if connection.reusable_now:
                self._keep(connection)
            else:
                connection.abort()
            return
        self._open.discard(connection)
        pool = self._idle.get(connection.origin)
        if pool and connection in pool:
            pool.remove(connection)

    def _keep(self, connection: ProviderConnection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(connection.origin, []).append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(KEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Closes what has been idle for too long."""
        loop = asyncio.get_running_loop()
        latest = loop.time() - KEEP_S
        for origin, pool in list(self._idle.items()):
            good = [connection for connection in pool if connection.idle_since > latest]
            for connection in pool:
                if connection.idle_since <= latest:
                    connection.abort()
            if good:
                self._idle[origin] = good
            else:
                del self._idle[origin]
        self._sweeper = loop.call_later(KEEP_S, self._sweep) if self._idle else None

    async def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            # The authorities are read from files.
            self._tls = await asyncio.to_thread(_trusting)
        return self._tls

    def _socket(self, address: AddrInfoType) -> socket.socket:
        """A socket for an address that a name led to: checked here, where nothing comes in between any more."""
        family, kind, protocol, _, where = address
        if not self._allow_private and not is_public(str(where[0])):
            raise PrivateAddress(
                "its address is not a public one; the setting external.allow_private_addresses allows that"
            )
        return socket.socket(family, kind, protocol)


def _trusting() -> ssl.SSLContext:
    """Whoever this machine trusts."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
