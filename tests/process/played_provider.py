"""A provider of OpenAI's wire for tests of whole servers: what it does, the first word of the model's name says.

steady-...   answers
slow-...     answers, an event every 50 ms
refuse-...   breaks the connection before it answers
silent-...   never answers
hang-...     begins to answer, and falls silent
cut-...      begins to answer, and breaks the connection
"""

import asyncio
import json
import time

from aiohttp import web

PROMPT_TOKENS = 7
BEGUN = 3
"""Tokens of an answer that is not finished."""
SLOW_S = 0.05


class PlayedProvider:
    """`asked` has the models, `keys` the credentials, `counted` when how many tokens were computed.

    `under_way` are the requests that have not ended.
    """

    def __init__(self):
        self.asked = []
        self.keys = set()
        self.counted = []
        self.under_way = 0
        self._runner = None
        self.url = ""

    async def start(self):
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def close(self):
        await self._runner.cleanup()

    @property
    def tokens(self):
        """All that were computed."""
        return sum(tokens for _, tokens in self.counted)

    def most_in(self, seconds):
        """The most tokens that were computed within so many seconds."""
        most = total = start = 0
        for at, tokens in self.counted:
            total += tokens
            while self.counted[start][0] <= at - seconds:
                total -= self.counted[start][1]
                start += 1
            most = max(most, total)
        return most

    def _count(self, tokens):
        self.counted.append((time.monotonic(), tokens))

    async def _serve(self, request):
        asked = await request.json()
        self.asked.append(asked["model"])
        self.keys.add(request.headers["authorization"])
        self.under_way += 1
        try:
            return await self._answer(request, asked, asked["model"].split("-")[0])
        finally:
            self.under_way -= 1

    async def _answer(self, request, asked, kind):
        if kind == "refuse":
            request.transport.abort()
            return web.Response()
        self._count(PROMPT_TOKENS)
        if kind == "silent":
            await asyncio.Event().wait()
        if asked.get("stream"):
            return await self._stream(request, asked, kind)
        return await self._whole(request, asked, kind)

    async def _whole(self, request, asked, kind):
        self._count(asked["max_tokens"])
        choices = [{"index": 0, "message": {"role": "assistant", "content": "x" * 8}, "finish_reason": "stop"}]
        body = json.dumps({"id": "c", "choices": choices, "usage": usage(asked["max_tokens"])}).encode()
        if kind == "slow":
            await asyncio.sleep(SLOW_S * asked["max_tokens"])
        if kind not in ("hang", "cut"):
            return web.Response(body=body, content_type="application/json")
        answer = web.StreamResponse(headers={"content-type": "application/json", "content-length": str(len(body))})
        await answer.prepare(request)
        await answer.write(body[:20])
        return await self._break(request, answer, kind)

    async def _stream(self, request, asked, kind):
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        breaks = kind in ("hang", "cut")
        for _ in range(BEGUN if breaks else asked["max_tokens"]):
            self._count(1)
            await answer.write(event(choices=[{"index": 0, "delta": {"content": "word"}, "finish_reason": None}]))
            if kind == "slow":
                await asyncio.sleep(SLOW_S)
        if breaks:
            return await self._break(request, answer, kind)
        await answer.write(event(choices=[], usage=usage(asked["max_tokens"])) + b"data: [DONE]\n\n")
        return answer

    async def _break(self, request, answer, kind):
        if kind == "hang":
            await asyncio.Event().wait()
        await asyncio.sleep(SLOW_S)  # what was written before goes out
        request.transport.abort()
        return answer


def usage(completion):
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": completion,
        "total_tokens": PROMPT_TOKENS + completion,
    }


def event(**fields):
    return b"data: " + json.dumps({"id": "c", **fields}).encode() + b"\n\n"


async def keep_key(stand):
    """The secret that `endpoint` refers to."""
    for path, body in (("scopes/create", {}), ("put", {"key": "key", "string_value": "sk-played"})):
        async with stand.session.post(f"{stand.url}/api/2.0/secrets/{path}", json={"scope": "llm", **body}) as answer:
            assert answer.status == 200, await answer.text()


async def endpoint(stand, provider, name, *models, limits=()):
    """An external endpoint that asks the first model, and the others in its place."""
    entities = [
        {
            "name": model,
            "external_model": {
                "name": model,
                "provider": "openai",
                "task": "llm/v1/chat",
                "openai_config": {"openai_api_key": "{{secrets/llm/key}}", "openai_api_base": provider.url},
            },
        }
        for model in models
    ]
    routes = [{"served_entity_name": one, "traffic_percentage": 100 * (one == models[0])} for one in models]
    body = {
        "name": name,
        "config": {"served_entities": entities, "traffic_config": {"routes": routes}},
        "ai_gateway": {
            "fallback_config": {"enabled": len(models) > 1},
            "rate_limits": [{"renewal_period": "minute", **limit} for limit in limits],
        },
    }
    async with stand.session.post(f"{stand.url}/api/2.0/serving-endpoints", json=body) as answer:
        assert answer.status == 200, await answer.text()
