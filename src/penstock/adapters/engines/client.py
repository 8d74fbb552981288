"""Control calls to an engine that speaks OpenAI's wire; see `penstock.ports.engine.EngineClient`."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import aiohttp

from penstock.adapters.engines import vllm_wire
from penstock.adapters.engines.vllm_address import is_vllm, place_of
from penstock.domain.errors import EngineFailed
from penstock.domain.measured import seconds_of
from penstock.domain.model import Task
from penstock.domain.usage import Usage

HEALTH_S = 3.0
CANCEL_S = 5.0
ADAPTER_S = 600.0
_COUNT = re.compile(rb'"completion_tokens": ?([0-9]+)')
AWAY = (aiohttp.ClientError, OSError, TimeoutError)
"""What is raised where an engine does not answer."""


class HttpEngineClient:
    """Speaks over "unix:PATH" or "http://HOST:PORT", and with vLLM over what `vllm_address` makes of them.

    `measure_s` is the longest time for one measured request.
    """

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
        """As GET /health tells; of vLLM as its metrics do."""
        if is_vllm(address):
            return vllm_wire.kv_tokens(await _metrics(address))
        try:
            async with session_with(address, HEALTH_S) as session, session.get("/health") as answer:
                told = await answer.json(content_type=None)
        except AWAY as error:
            raise EngineFailed(f"The engine broke off: {error or type(error).__name__}") from error
        except ValueError:
            return 0
        held = told.get("kv_tokens") if isinstance(told, dict) else None
        return held if isinstance(held, int) else 0

    async def load_adapter(self, address: str, name: str, folder: Path) -> str:
        """PUT /adapters/NAME; what it calls a bad request will be one again."""
        if is_vllm(address):
            return await _load_into_vllm(address, name, folder)
        status, message = await _adapter(address, "PUT", name, {"folder": str(folder)})
        if status == HTTPStatus.BAD_REQUEST:
            return message
        if status != HTTPStatus.OK:
            raise EngineFailed(f"The engine answered {status}: {message}")
        return ""

    async def drop_adapter(self, address: str, name: str) -> None:
        """DELETE /adapters/NAME."""
        if is_vllm(address):
            status, message = await _vllm_adapter(address, "unload", {"lora_name": name})
        else:
            status, message = await _adapter(address, "DELETE", name)
        gone = is_vllm(address) and status == HTTPStatus.NOT_FOUND
        if status != HTTPStatus.OK and not gone:
            raise EngineFailed(f"The engine answered {status}: {message}")

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
                    await _complete(session, tokens, tokens_out, told, counting=is_vllm(address))
        except AWAY as error:
            raise EngineFailed(f"The engine broke off: {error or type(error).__name__}") from error

    async def cancel(self, address: str, request_id: str) -> Usage | None:
        """Ends a request; None also if the engine is gone, and of vLLM, which ends what nobody waits for any more."""
        if is_vllm(address):
            return None
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
        raise EngineFailed(f"The engine broke off: {error or type(error).__name__}") from error
    except ValueError:
        told = None
    message = told.get("message") if isinstance(told, dict) else None
    return answer.status, str(message or "")


async def _load_into_vllm(address: str, name: str, folder: Path) -> str:
    """Why it does not take it, empty if it has it. Where MLflow logged the adapter, its files are in a folder below."""
    inner = folder / "peft"
    files = inner if inner.is_dir() else folder
    status, message = await _vllm_adapter(address, "load", {"lora_name": name, "lora_path": str(files)})
    if status == HTTPStatus.OK or "already been loaded" in message:
        return ""
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return message
    raise EngineFailed(f"The engine answered {status}: {message}")


async def _vllm_adapter(address: str, verb: str, body: dict[str, str]) -> tuple[int, str]:
    """The status, and the message of an error."""
    try:
        async with (
            session_with(address, ADAPTER_S) as session,
            session.post(f"/v1/{verb}_lora_adapter", json=body) as answer,
        ):
            return answer.status, vllm_wire.message_of(await answer.read())
    except AWAY as error:
        raise EngineFailed(f"The engine broke off: {error or type(error).__name__}") from error


async def _embed(session: aiohttp.ClientSession, tokens: Sequence[int]) -> None:
    async with session.post("/v1/embeddings", json={"model": "", "input": [list(tokens)]}) as answer:
        _check(answer.status, await answer.read())


async def _metrics(address: str) -> bytes:
    try:
        async with session_with(address, HEALTH_S) as session, session.get("/metrics") as answer:
            return await answer.read()
    except AWAY as error:
        raise EngineFailed(f"The engine broke off: {error or type(error).__name__}") from error


async def _complete(
    session: aiohttp.ClientSession,
    tokens: Sequence[int],
    tokens_out: int,
    told: Callable[[int], None],
    *,
    counting: bool,
) -> None:
    """`counting`: the engine must be asked to count as it goes."""
    options = {"include_usage": True} | ({"continuous_usage_stats": True} if counting else {})
    ask = {
        "model": "",
        "prompt": list(tokens),
        "max_tokens": tokens_out,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": options,
    }
    given = 0
    async with session.post("/v1/completions", json=ask) as answer:
        if answer.status != HTTPStatus.OK:
            _check(answer.status, await answer.read())
        async for line in answer.content:
            if line.startswith(b"data: {"):
                # An engine that counts only at the end gives a token with each event.
                counted = _COUNT.search(line)
                given = int(counted[1]) if counted else min(given + 1, tokens_out)
                told(given)
    if given < tokens_out:
        raise EngineFailed(f"The engine gave {given} of {tokens_out} tokens.")


def _check(status: int, content: bytes) -> None:
    if status != HTTPStatus.OK:
        raise EngineFailed(f"The engine answered {status}: {content[:500].decode(errors='replace')}")


def _usage(stored: object) -> Usage | None:
    if not isinstance(stored, dict):
        return None
    details = stored.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=int(stored.get("prompt_tokens") or 0),
        completion_tokens=int(stored.get("completion_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or 0),
    )
