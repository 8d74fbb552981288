"""An engine on a real Unix socket, played by a test request by request."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from aiohttp import web

from penstock.domain.usage import Usage

DONE = b"data: [DONE]\n\n"


class Turn:
    """One request that the engine has got, and its answer as the test gives it."""

    def __init__(self, request: web.Request, body: bytes) -> None:
        self.path = request.path
        self.body = body
        self.request_id = request.headers["x-request-id"]
        self.headers = request.headers
        self.hung_up = asyncio.Event()
        self.over = asyncio.Event()
        self._request = request
        self._made: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
        self._stream: web.StreamResponse | None = None

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Answers as a whole."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._made.set_result(web.Response(body=body, status=status, headers=named, content_type="application/json"))
        self.over.set()

    async def write(self, *events: bytes) -> None:
        """Sends events of a stream; the first time also its head."""
        if self._stream is None:
            self._stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await self._stream.prepare(self._request)
            self._made.set_result(self._stream)
        for event in events:
            await self._stream.write(event)

    def finish(self) -> None:
        """Ends a stream."""
        self.over.set()

    def die(self) -> None:
        """Breaks the connection as a dead process would."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()

    async def serve(self) -> web.StreamResponse:
        """What the engine's handler does."""
        try:
            made = await self._made
            await self.over.wait()
        except asyncio.CancelledError:
            self.hung_up.set()
            raise
        return made


class SocketEngine:
    """Listens at `address`. `constant` is answered at once if it is set; else each request waits in `turn`.

    `used` is what a cancelled request is said to have used; `cancelled` are the ids of those.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="engine-"))
        self.address = f"unix:{self._folder / 'socket'}"
        self.constant = b""
        self.used = Usage(11, 3, 2)
        self.cancelled: list[str] = []
        self._turns: asyncio.Queue[Turn] = asyncio.Queue()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begins to listen."""
        app = web.Application()
        app.router.add_post("/v1/{path:.*}", self._post)
        app.router.add_delete("/v1/requests/{id}", self._cancel)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.UnixSite(self._runner, self.address.removeprefix("unix:")).start()

    async def stop(self) -> None:
        """Stops listening, and breaks what is open."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def close(self) -> None:
        """Stops, and leaves nothing."""
        await self.stop()
        shutil.rmtree(self._folder)

    async def turn(self) -> Turn:
        """The next request."""
        return await asyncio.wait_for(self._turns.get(), 10)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        turn = Turn(request, await request.read())
        if self.constant:
            return web.Response(body=self.constant, content_type="application/json")
        self._turns.put_nowait(turn)
        return await turn.serve()

    async def _cancel(self, request: web.Request) -> web.Response:
        self.cancelled.append(request.match_info["id"])
        used = self.used
        usage = {
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "total_tokens": used.prompt_tokens + used.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
        }
        return web.json_response({"found": True, "usage": usage})
