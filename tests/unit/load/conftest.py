"""An endpoint on the loopback that answers as it is told, in milliseconds."""

import asyncio
import json

import pytest
from aiohttp import web

from penstock.load.target import Target


class Endpoint:
    """Two tokens a word plus one; `gap_s` between tokens; refuses the first `refuse` requests."""

    def __init__(self):
        self.bodies = []
        self.gap_s = 0.001
        self.refuse = 0
        self.retry_after = "0"
        self.answer = None
        self.usage = True
        self.break_after = None
        self.running = 0
        self.most_running = 0

    async def complete(self, request):
        assert request.headers["Authorization"] == "Bearer secret"
        body = await request.json()
        self.bodies.append((request.path, body))
        if self.answer is not None:
            return web.json_response(self.answer[1], status=self.answer[0])
        if self.refuse:
            self.refuse -= 1
            return web.json_response(
                {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "too much"},
                status=429,
                headers={"Retry-After": self.retry_after},
            )
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            return await self._stream(request, body)
        finally:
            self.running -= 1

    async def embed(self, request):
        body = await request.json()
        self.bodies.append((request.path, body))
        assert "stream" not in body
        if self.answer is not None:
            return web.json_response(self.answer[1], status=self.answer[0])
        await asyncio.sleep(self.gap_s)
        usage = {"prompt_tokens": self.tokens(body), "total_tokens": self.tokens(body)}
        return web.json_response({"data": [{"embedding": [0.5, 0.25]}], "usage": usage})

    def tokens(self, body):
        prompt = body.get("prompt") or body.get("input") or body["messages"][0]["content"]
        return len(prompt) if isinstance(prompt, list) else 2 * len(prompt.split()) + 1

    async def _stream(self, request, body):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(1, body["max_tokens"] + 1):
            await asyncio.sleep(self.gap_s)
            event = {"choices": [{"index": 0, "text": "word"}]}
            if self.usage:
                event["usage"] = {"prompt_tokens": self.tokens(body), "completion_tokens": number}
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            if number == self.break_after:
                error = {"error": {"message": "the engine died"}, "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
                await response.write(b"data: " + json.dumps(error).encode() + b"\n\n")
                return response
        await response.write(b"data: [DONE]\n\n")
        return response


@pytest.fixture
async def endpoint():
    served = Endpoint()
    app = web.Application()
    app.router.add_post("/serving-endpoints/completions", served.complete)
    app.router.add_post("/serving-endpoints/chat/completions", served.complete)
    app.router.add_post("/serving-endpoints/embeddings", served.embed)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    served.target = Target(served.url, "guide", "secret")
    yield served
    await runner.cleanup()
