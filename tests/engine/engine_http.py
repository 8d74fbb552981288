"""Asking a worker in process, and waiting for what it does."""

import asyncio
import json
import re
from contextlib import asynccontextmanager

from aiohttp.test_utils import TestClient, TestServer

from penstock_engine.server import Server

CHAT = "/v1/chat/completions"
ASK = {"messages": [{"role": "user", "content": "Tokens per second"}], "temperature": 0, "max_tokens": 12}
NO_END = range(6)


@asynccontextmanager
async def serving(service, metrics):
    """A client of a server for the service; `client.made` is the server."""
    made = Server(service, metrics)
    async with TestClient(TestServer(made.application())) as client:
        client.made = made
        yield client


async def post(client, body, path=CHAT, status=200, **headers):
    async with client.post(path, json=body, headers=headers) as response:
        found = await response.json()
        assert response.status == status, found
        return found


async def events(client, body, path=CHAT):
    async with client.post(path, json=body | {"stream": True}) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        raw = await response.read()
    lines = raw.decode().split("\n\n")
    assert lines[-1] == ""
    told = re.fullmatch(r": device-seconds ([0-9.]+)\ndata: \[DONE\]", lines[-2])
    assert told
    assert float(told[1]) > 0
    assert all(line.startswith("data: ") for line in lines[:-2])
    return [json.loads(line[6:]) for line in lines[:-2]]


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - waits for the step thread, which knows no events of this loop
            await asyncio.sleep(0.001)
