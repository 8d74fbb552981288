"""Control calls to an engine that speaks OpenAI's wire; see `penstock.ports.engine.EngineClient`."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import aiohttp

from penstock.adapters.engines.vllm_address import place_of
from penstock.adapters.engines.vllm_wire import message_of
from penstock.domain.errors import EngineFailed
from penstock.domain.measured import seconds_of
from penstock.domain.model import Task
from penstock.domain.usage import Usage

HEALTH_S = 3.0
CANCEL_S = 5.0
ADAPTER_S = 600.0
_DATA, _EVENT, _ERROR = b"data: ", b"data: {", b'data: {"error"'
_COUNT = re.compile(rb'"completion_tokens": ?([0-9]+)')
AWAY = (aiohttp.ClientError, OSError, TimeoutError)
"""What is raised where an engine does not answer."""


class HttpEngineClient:
    """Speaks over "unix:PATH" or "http://HOST:PORT". `measure_s` is the longest time for one measured request."""

    counting: ClassVar[dict[str, bool]] = {"include_usage": True}
    """Options of a stream with which the engine counts tokens as they come."""

    def __init__(self, *, measure_s: float = 900.0) -> None:
        self._measure_s = measure_s

    async def healthy(self, address: str) -> bool:
        """Whether GET /health is 200."""
        try:
            async with session_with(address, HEALTH_S) as session, session.get("/health") as answer:
                return answer.status == HTTPStatus.OK
        except AWAY:
            return False

    async def kv_tokens(self, address: str) -> int:
        """As GET /health tells."""
        try:
            async with session_with(address, HEALTH_S) as session, session.get("/health") as answer:
                told = await answer.json(content_type=None)
        except AWAY as error:
            raise broke_off(error) from error
        except ValueError:
            return 0
        held = told.get("kv_tokens") if isinstance(told, dict) else None
        return held if isinstance(held, int) else 0

    async def load_adapter(self, address: str, name: str, folder: Path) -> str:
        """PUT /adapters/NAME; what it calls a bad request will be one again."""
        status, message = await _adapter(address, "PUT", name, {"folder": str(folder)})
        if status == HTTPStatus.BAD_REQUEST:
            return message
        check_status(status, message)
        return ""

    async def drop_adapter(self, address: str, name: str) -> None:
        """DELETE /adapters/NAME."""
        check_status(*await _adapter(address, "DELETE", name))

    async def measure(
        self, address: str, task: Task, tokens: Sequence[int], tokens_out: int, told: Callable[[int], None]
    ) -> None:
        """One request, streamed if tokens come out of it, to its full length."""
        try:
            async with session_with(address, self._measure_s) as session:
                if task is Task.EMBEDDINGS:
                    await _embed(session, tokens)
                    told(0)
                else:
                    await _complete(session, tokens, tokens_out, told, self.counting)
        except AWAY as error:
            raise broke_off(error) from error

    async def cancel(self, address: str, request_id: str) -> Usage | None:
        """Ends a request; None also if the engine is gone."""
        try:
            async with (
                session_with(address, CANCEL_S) as session,
                session.delete(f"/v1/requests/{request_id}") as answer,
            ):
                content = await answer.json(content_type=None)
        except (*AWAY, ValueError):
            return None
        if not isinstance(content, dict) or not content.get("found"):
            return None
        usage = _usage(content.get("usage"))
        return usage and replace(usage, measured_s=seconds_of(str(content.get("device_seconds", "")).encode()))


@asynccontextmanager
async def session_with(address: str, timeout_s: float) -> AsyncIterator[aiohttp.ClientSession]:
    """A session for a few calls: these are rare, so none is kept."""
    place = place_of(address)
    if place.startswith("unix:"):
        connector: aiohttp.BaseConnector = aiohttp.UnixConnector(place.removeprefix("unix:"))
        base = "http://engine"
    else:
        connector, base = aiohttp.TCPConnector(), place
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(base, connector=connector, timeout=timeout) as session:
        yield session


async def _adapter(address: str, method: str, name: str, body: dict[str, str] | None = None) -> tuple[int, str]:
    """The status, and the message of an error."""
    path = f"/adapters/{quote(name, safe='')}"
    try:
        async with session_with(address, ADAPTER_S) as session, session.request(method, path, json=body) as answer:
            told = await answer.json(content_type=None)
    except AWAY as error:
        raise broke_off(error) from error
    except ValueError:
        told = None
    message = told.get("message") if isinstance(told, dict) else None
    return answer.status, str(message or "")


async def _embed(session: aiohttp.ClientSession, tokens: Sequence[int]) -> None:
    async with session.post("/v1/embeddings", json={"model": "", "input": [list(tokens)]}) as answer:
        _check(answer.status, await answer.read())


async def _complete(
    session: aiohttp.ClientSession,
    tokens: Sequence[int],
    tokens_out: int,
    told: Callable[[int], None],
    counting: dict[str, bool],
) -> None:
    ask = {
        "model": "",
        "prompt": list(tokens),
        "max_tokens": tokens_out,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": counting,
    }
    given = 0
    async with session.post("/v1/completions", json=ask) as answer:
        if answer.status != HTTPStatus.OK:
            _check(answer.status, await answer.read())
        async for line in answer.content:
            if line.startswith(_ERROR):
                raise EngineFailed(
                    f"The engine failed: {message_of(line.removeprefix(_DATA)) or 'it does not say why'}"
                )
            if line.startswith(_EVENT):
                # An engine that counts only at the end gives a token with each event.
                counted = _COUNT.search(line)
                given = int(counted[1]) if counted else min(given + 1, tokens_out)
                told(given)
    if given < tokens_out:
        raise EngineFailed(f"The engine gave {given} of {tokens_out} tokens.")


def broke_off(error: Exception) -> EngineFailed:
    """What it is called where an engine does not answer."""
    return EngineFailed(f"The engine broke off: {error or type(error).__name__}")


def check_status(status: int, message: str) -> None:
    """Raises EngineFailed unless it is 200."""
    if status != HTTPStatus.OK:
        raise EngineFailed(f"The engine answered {status}: {message}")


def _check(status: int, content: bytes) -> None:
    check_status(status, content[:500].decode(errors="replace"))


def _usage(stored: object) -> Usage | None:
    if not isinstance(stored, dict):
        return None
    details = stored.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=int(stored.get("prompt_tokens") or 0),
        completion_tokens=int(stored.get("completion_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or 0),
    )
