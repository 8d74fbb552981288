"""A server that speaks OpenAI's wire, played by a test: what it got, and what it answers next."""

import asyncio
import json

from aiohttp import web

DONE = b"data: [DONE]\n\n"


def chunk(text=None, *, finish=None, usage=None, **more):
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": finish}] if usage is None else []
    return b"data: " + json.dumps({"id": "c1", "choices": choices, "usage": usage, **more}).encode() + b"\n\n"


USAGE = chunk(usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5})


class Got:
    """One request."""

    def __init__(self, request, body):
        self.path = request.path_qs
        self.headers = request.headers
        self.body = body
        self.transport = request.transport

    @property
    def json(self):
        return json.loads(self.body)


class ProviderServer:
    """Answers requests with the handlers that were set, in order; the last one goes on."""

    def __init__(self):
        self.got = []
        self.handlers = []
        self.hung_up = asyncio.Event()
        self._runner = None
        self.port = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def start(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self):
        await self._runner.cleanup()

    def answer(self, body=b"{}", status=200, **headers):
        """Answers whole."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def handle(_request):
            return web.Response(body=content, status=status, headers={"content-type": "application/json", **named})

        self.handlers.append(handle)

    def stream(self, *events, then="end"):
        """Streams; then ends, hangs, or cuts the connection."""

        async def handle(request):
            answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await answer.prepare(request)
            for event in events:
                await answer.write(event)
            await self._end(request, then)
            return answer

        self.handlers.append(handle)

    def silent(self):
        """Takes the request and says nothing."""

        async def handle(request):
            await self._end(request, "hang")

        self.handlers.append(handle)

    def cut(self):
        """Breaks the connection before an answer."""

        async def handle(request):
            request.transport.abort()
            return web.Response()

        self.handlers.append(handle)

    async def _end(self, request, then):
        if then == "cut":
            request.transport.abort()
        if then == "hang":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.hung_up.set()
                raise

    async def _serve(self, request):
        self.got.append(Got(request, await request.read()))
        handler = self.handlers.pop(0) if len(self.handlers) > 1 else self.handlers[0]
        return await handler(request)
