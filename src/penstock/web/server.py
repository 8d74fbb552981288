"""The HTTP server: uvicorn with uvloop and httptools, stopped by us and not by its own signal handlers."""

import asyncio
import contextlib
import math
import socket
from collections.abc import Awaitable, Callable, Generator

import uvicorn
from starlette.types import ASGIApp

# Longer than clients keep idle connections, so that they close first: a request never meets a connection just closed.
KEEP_ALIVE_S = 75
CANCEL_S = 5.0
SETTLE_S = 10
"""What requests that were ended get to be settled with their engines."""


class HttpServer(uvicorn.Server):
    """Serves an application on a socket that listens already, until `stop`.

    `drain` is called when it stops, with the seconds that running requests have; it ends those that take longer.
    """

    def __init__(
        self, app: ASGIApp, listener: socket.socket, *, drain_s: float, drain: Callable[[float], Awaitable[object]]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=math.ceil(drain_s) + SETTLE_S,
            )
        )
        self._listener = listener
        self._drain_s = drain_s
        self._drain = drain
        self._on_started: Callable[[], None] | None = None

    async def run_until_stopped(self, on_started: Callable[[], None]) -> None:
        """Serves; `on_started` is called when requests are taken.

        When stopped, takes no more, lets running requests end within the drain time, and cancels what is left.
        """
        self._on_started = on_started
        await self.serve(sockets=[self._listener])
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=CANCEL_S)

    def stop(self) -> None:
        """Stops; the second time without waiting for running requests. Safe in a signal handler of the loop."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to take requests, and says so."""
        await super().startup(sockets)
        if self._on_started is not None:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no more, and waits for what runs."""
        draining = asyncio.ensure_future(self._drain(self._drain_s))
        await super().shutdown(sockets)
        if not draining.done():
            # Stopped for the second time.
            draining.cancel()
            await self._drain(0)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves signals alone: whoever runs this decides what they mean."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises OSError if the address cannot be had."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # At once: another server that wants the same address learns it now, and early clients wait in line.
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """The URL by which this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where everybody is listened to
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
