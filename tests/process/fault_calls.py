"""One request of a fault test, and what came of it."""

import asyncio
import contextlib
import json
import sqlite3
from dataclasses import dataclass

import aiohttp

BROKEN = (aiohttp.ClientError, TimeoutError, ConnectionError)


@dataclass
class Came:
    """What a client saw. `ended` is done, error, or cut where the connection was lost; `usage` the last it was told."""

    status: int = 0
    request_id: str = ""
    ended: str = "cut"
    usage: dict | None = None
    message: str = ""
    retry_after: str = ""


async def ask(stand, endpoint, *, stream=False, max_tokens=4, begun=None, token=None, session=None):
    """Asks once; `begun` is set when the answer has begun."""
    came = Came()
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": max_tokens, "stream": stream}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{stand.url}/serving-endpoints/{endpoint}/invocations"
    with contextlib.suppress(*BROKEN):
        async with (session or stand.session).post(url, json=body, headers=headers) as answer:
            came.status, came.request_id = answer.status, answer.headers["x-request-id"]
            came.retry_after = answer.headers.get("retry-after", "")
            if begun is not None:
                begun.set()
            if answer.status != 200 or not stream:
                told = await answer.json(content_type=None)
                came.message, came.usage = json.dumps(told), told.get("usage")
                came.ended = "done" if answer.status == 200 else "error"
                return came
            async for line in answer.content:
                _read(came, line)
    return came


def _read(came, line):
    if line.startswith(b"data: [DONE]"):
        came.ended = "done"
    elif line.startswith(b"data: "):
        told = json.loads(line[6:])
        came.usage = told.get("usage") or came.usage
        if "error" in told:
            came.ended, came.message = "error", json.dumps(told)


async def hold(stand, endpoint, count, **how):
    """So many streams that have begun; their tasks."""
    begun = [asyncio.Event() for _ in range(count)]
    tasks = [asyncio.create_task(ask(stand, endpoint, stream=True, begun=one, **how)) for one in begun]
    await asyncio.wait_for(asyncio.gather(*(one.wait() for one in begun)), 60)
    return tasks


def rows(stand, *columns):
    """Columns of the ledger's requests by request id; the server must not run."""
    with contextlib.closing(sqlite3.connect(stand.data / "penstock.db")) as database:
        found = database.execute(f"SELECT request_id, {', '.join(columns)} FROM requests").fetchall()
    assert len({row[0] for row in found}) == len(found)
    return {row[0]: row[1:] for row in found}
