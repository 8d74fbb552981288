"""An address of its own for `GET /metrics`, where no token is asked for: who can reach it may read it."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from penstock.web.exposition import CONTENT_TYPE
from penstock.web.metrics import PATH


@asynccontextmanager
async def scraped(listener: socket.socket, text: Callable[[], Awaitable[str]]) -> AsyncIterator[None]:
    """Answers on a socket that listens already, until the context ends."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=(await text()).encode(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get(PATH, answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()
