"""The peer: tokens-per-minute buckets in front of an engine, as gateways for language models limit their callers.

    python bench/guarantee/buckets.py SOCKET own=ENGINE=114000 other=ENGINE=114000

Each tenant (the request's `model`) has so many tokens in each minute: those of a prompt are counted when it comes,
those of an answer when it has ended, for they are not known before. Who has used up the minute is told 429 until the
next one. Whoever is let in goes straight to the engine, which serves in the order in which requests come.
"""

import asyncio
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import msgspec
from aiohttp import web

MINUTE_S = 60.0
KEPT = 400
"""Bytes at the end of a stream in which its last usage stands."""
_OUT = re.compile(rb'"completion_tokens":\s*(\d+)')


class Bucket:
    """So many tokens per minute, all of them there again when a new minute begins; minutes count from `began`."""

    def __init__(self, per_minute: float, began: float) -> None:
        self.per_minute = per_minute
        self._began = began
        self._minute = 0
        self._used = 0.0

    def take(self, prompt: int, now: float) -> float:
        """0 if a request with such a prompt may go, which is then counted; else seconds until the next minute."""
        self._turn(now)
        if self._used + prompt > self.per_minute:
            return self._began + (self._minute + 1) * MINUTE_S - now
        self._used += prompt
        return 0.0

    def spend(self, answer: int, now: float) -> None:
        """Counts the tokens of an answer that has ended."""
        self._turn(now)
        self._used += answer

    def _turn(self, now: float) -> None:
        minute = int((now - self._began) // MINUTE_S)
        if minute > self._minute:
            self._minute, self._used = minute, 0.0


@dataclass(frozen=True, slots=True)
class Lane:
    """A tenant's bucket and the way to its engine."""

    bucket: Bucket
    engine: aiohttp.ClientSession


class Gateway:
    """Relays completions of tenants that have tokens left."""

    def __init__(self, lanes: Mapping[str, Lane]) -> None:
        self._lanes = lanes

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """`/v1/completions` with a prompt of token ids, streamed."""
        body = await request.read()
        told = msgspec.json.decode(body)
        lane = self._lanes[told["model"]]
        wait = lane.bucket.take(len(told["prompt"]), time.monotonic())
        if wait:
            message = f"the limit of {lane.bucket.per_minute:.0f} tokens per minute is used up"
            headers = {"Retry-After": str(int(wait) + 1)}
            return web.json_response({"error": {"message": message}}, status=429, headers=headers)
        return await _relay(lane, request, body)


async def _relay(lane: Lane, request: web.Request, body: bytes) -> web.StreamResponse:
    end = b""
    headers = {"Content-Type": "application/json"}
    try:
        async with lane.engine.post("http://engine/v1/completions", data=body, headers=headers) as answer:
            stream = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await stream.prepare(request)
            async for piece in answer.content.iter_any():
                end = (end + piece)[-KEPT:]
                await stream.write(piece)
            await stream.write_eof()
            return stream
    finally:
        found = _OUT.findall(end)
        lane.bucket.spend(int(found[-1]) if found else 0, time.monotonic())


async def serve(socket: str, limits: Mapping[str, tuple[str, float]]) -> None:
    """Serves on a Unix socket until it is cancelled; `limits` are engine and tokens per minute by tenant."""
    began = time.monotonic()
    lanes = {
        name: Lane(
            Bucket(per_minute, began),
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(engine, limit=0), timeout=aiohttp.ClientTimeout(total=None)
            ),
        )
        for name, (engine, per_minute) in limits.items()
    }
    app = web.Application(client_max_size=16 * 2**20)
    app.router.add_post("/v1/completions", Gateway(lanes).completions)
    # Callers that hang up free their place in the engine, as behind any gateway.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    try:
        await web.UnixSite(runner, socket).start()
        print("ready", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
        for lane in lanes.values():
            await lane.engine.close()


def main() -> None:
    socket, *words = sys.argv[1:]
    limits = {}
    for word in words:
        name, engine, per_minute = word.split("=")
        limits[name] = (engine, float(per_minute))
    asyncio.run(serve(socket, limits))


if __name__ == "__main__":
    main()
