"""Where names lead to: looked up in a thread, kept for a moment, once for all who ask at the same time."""

import asyncio
import socket
from ipaddress import ip_address
from typing import cast

from aiohappyeyeballs import AddrInfoType

KEEP_S = 10.0
MOST = 1000


class Names:
    """Addresses by host and port. Belongs to one event loop."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[float, list[AddrInfoType]]] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[list[AddrInfoType]]] = {}

    async def addresses(self, host: str, port: int) -> list[AddrInfoType]:
        """At least one; raises socket.gaierror, and ValueError for what is no name."""
        key = host, port
        known = self._known.get(key)
        if known is not None and known[0] > asyncio.get_running_loop().time():
            return known[1]
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._look_up(host, port))
            task.add_done_callback(_seen)
        # Who gives up must not take the answer from others.
        return await asyncio.shield(task)

    def close(self) -> None:
        """Stops looking."""
        for task in self._asked.values():
            task.cancel()

    async def _look_up(self, host: str, port: int) -> list[AddrInfoType]:
        loop = asyncio.get_running_loop()
        try:
            # For a literal address it must not count which kinds of addresses this machine has.
            flags = 0 if _is_address(host) else socket.AI_ADDRCONFIG
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
        finally:
            del self._asked[host, port]
        if len(self._known) >= MOST:
            self._known.clear()
        addresses = cast("list[AddrInfoType]", found)
        self._known[host, port] = loop.time() + KEEP_S, addresses
        return addresses


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _seen(task: asyncio.Task[list[AddrInfoType]]) -> None:
    """Nobody may be left who is told of a failure."""
    if not task.cancelled():
        task.exception()
