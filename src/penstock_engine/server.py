"""The worker's HTTP: OpenAI's wire for one model, on a Unix socket or a loopback port."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from aiohttp import web

from penstock_engine import answers
from penstock_engine.embedding_loop import Group
from penstock_engine.exchange import Exchange
from penstock_engine.refusal import BadRequest, Draining, Refusal
from penstock_engine.requests import Requests
from penstock_engine.service import EmbeddingService, Service, Task, TextService, tokenize_threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock_engine.adapters import Adapters
    from penstock_engine.guide import Guide
    from penstock_engine.intake import Order
    from penstock_engine.metrics import Metrics

    Made = TypeVar("Made")

REQUEST_ID = "x-request-id"
ADAPTER = "x-adapter"
"""Name of the adapter to compute with, as in a URL; none: the model as it is. Who sends it decides, not the body."""
PATIENCE = "x-patience"
"""Seconds for which a request's prompts let others pass that have less; none: 0."""
NAMESPACE = "x-namespace"
"""Whose request it is: those of different namespaces take nothing over from each other's prompts."""
MAX_BODY = 32 * 1024 * 1024
_ID = web.RequestKey(REQUEST_ID, str)
_INLINE_BODY = 4096
"""Bodies up to so many bytes are parsed on the event loop: handing them to a thread would take longer than the work."""
_JSON = "application/json"
_MOST_PATIENCE = 3600.0


class Server:
    """Routes, and the requests under way. Lives on one event loop."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics
        self._threads = tokenize_threads()
        self._requests = Requests()
        self._draining = False
        metrics.watch("running", "Sequences that are computed in every step", lambda: service.loop.running)
        metrics.watch("waiting", "Sequences in the queue", lambda: service.loop.waiting)

    def application(self) -> web.Application:
        """The routes; starting it starts the service's thread, cleaning up ends it."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._boundary])
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_delete("/v1/requests/{id}", self._cancel)
        app.router.add_put("/adapters/{name}", self._load_adapter)
        app.router.add_delete("/adapters/{name}", self._drop_adapter)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.on_startup.append(self._start)
        app.on_cleanup.append(self._stop)
        return app

    async def drain(self, seconds: float) -> bool:
        """Refuse what is new and let what runs end, then cancel it; whether all of it ended by itself."""
        self._draining = True
        ended = await self._requests.idle(seconds)
        self._requests.cancel_all()
        return ended

    async def _start(self, _: web.Application) -> None:
        self._service.loop.start(asyncio.get_running_loop())

    async def _stop(self, _: web.Application) -> None:
        await asyncio.to_thread(self._service.loop.stop)
        self._threads.shutdown(wait=False)
        if isinstance(self._service, TextService):
            self._service.grammars.thread.shutdown(wait=False)

    @web.middleware
    async def _boundary(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Gives every request an id, and every refusal the one shape of errors."""
        request[_ID] = request.headers.get(REQUEST_ID) or str(uuid.uuid4())
        try:
            if self._draining and request.method == "POST":
                raise Draining("the engine is stopping and takes no new requests")
            response = await handler(request)
        except Refusal as refusal:
            response = self._refused(request, refusal)
        except web.HTTPRequestEntityTooLarge:
            response = self._refused(request, BadRequest(f"the request body is larger than {MAX_BODY} bytes"))
        except web.HTTPNotFound:
            response = _problem(404, "ENDPOINT_NOT_FOUND", f"no route {request.path}")
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            response = _problem(405, "METHOD_NOT_ALLOWED", f"{request.path} allows {allowed}, not {request.method}")
        if not response.prepared:
            response.headers[REQUEST_ID] = request[_ID]
        return response

    def _refused(self, request: web.Request, refusal: Refusal) -> web.Response:
        computes = request.method == "POST"
        if computes and refusal.status < 499:  # noqa: PLR2004 - from 499 on it had begun, and is counted by its end
            self._metrics.ended("rejected", 0, 0, 0)
        response = _problem(refusal.status, refusal.code, str(refusal))
        if refusal.retry_after is not None:
            response.headers["Retry-After"] = str(refusal.retry_after)
        return response

    async def _health(self, _: web.Request) -> web.Response:
        loop = self._service.loop
        counts = {"kv_tokens": self._service.kv_tokens, "running": loop.running, "waiting": loop.waiting}
        status = "draining" if self._draining else "ok"
        return web.json_response({"status": status, **asdict(self._service.about), **counts})

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), content_type="text/plain", charset="utf-8")

    async def _cancel(self, request: web.Request) -> web.Response:
        """Ends a request within a step and answers what it has used; also for one that has just ended by itself."""
        used = await self._requests.cancel(request.match_info["id"])
        usage, seconds = used or (answers.usage(0, 0, 0), 0.0)
        answer = {"found": used is not None, "usage": usage, "device_seconds": seconds}
        return web.Response(body=answers.encode(answer), content_type=_JSON)

    async def _load_adapter(self, request: web.Request) -> web.Response:
        """Has an adapter from a folder of this machine, until it is dropped or the engine ends. Safe to repeat."""
        name = request.match_info["name"]
        await self._adapters(request).load(name, _folder(await request.read()))
        return web.json_response({"name": name})

    async def _drop_adapter(self, request: web.Request) -> web.Response:
        """Does nothing if it is not there."""
        name = request.match_info["name"]
        await self._adapters(request).drop(name)
        return web.json_response({"name": name})

    def _adapters(self, request: web.Request) -> Adapters:
        service = self._service
        if not isinstance(service, TextService):
            raise self._wrong_task(request)
        if service.adapters is None:
            raise BadRequest("there is no room for adapters: the engine was started without --adaptable")
        return service.adapters

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        service = self._text_service(request, Task.CHAT)
        return await self._answer(request, service, await self._prepared(request, service.intake.chat))

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        service = self._text_service(request, Task.CHAT, Task.COMPLETIONS)
        return await self._answer(request, service, await self._prepared(request, service.intake.completions))

    def _text_service(self, request: web.Request, *tasks: Task) -> TextService:
        if not isinstance(self._service, TextService) or self._service.about.task not in tasks:
            raise self._wrong_task(request)
        return self._service

    def _wrong_task(self, request: web.Request) -> BadRequest:
        about = self._service.about
        return BadRequest(f"{request.path} does not fit the model {about.model}: its task is {about.task}")

    async def _prepared(self, request: web.Request, prepare: Callable[[bytes], Made]) -> Made:
        """The request's body, parsed and tokenized; where that takes long, beside the event loop."""
        body = await request.read()
        if len(body) <= _INLINE_BODY:
            return prepare(body)
        return await asyncio.get_running_loop().run_in_executor(self._threads, prepare, body)

    async def _answer(self, request: web.Request, service: TextService, order: Order) -> web.StreamResponse:
        """Compute an order; however this ends, nothing is left running."""
        guides = await _guides(service, order)
        name = request[_ID]
        adapter = service.adapter(unquote(request.headers.get(ADAPTER, "")))
        exchange = Exchange(
            order,
            adapter.name if adapter else service.about.model,
            service.tokenizer,
            service.loop,
            namespace=request.headers.get(NAMESPACE, ""),
            adapter=adapter,
            patience=_patience(request.headers.get(PATIENCE, "")),
            guides=guides,
        )
        exchange.start(partial(self._text_ended, name))
        self._requests.enter(name, exchange)
        try:
            if order.stream:
                return await _stream(request, exchange)
            return _whole(await exchange.whole(), exchange.seconds)
        finally:
            if not exchange.ended:
                exchange.cancel()

    def _text_ended(self, name: str, exchange: Exchange) -> None:
        self._requests.leave(name, exchange)
        used = exchange.usage()
        cached = used.prompt_tokens_details.cached_tokens
        self._metrics.ended(exchange.outcome, used.prompt_tokens, cached, used.completion_tokens)

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        if not isinstance(self._service, EmbeddingService):
            raise self._wrong_task(request)
        inputs = await self._prepared(request, self._service.intake.embeddings)
        name = request[_ID]
        group = Group(inputs)
        self._service.loop.submit(group)
        self._requests.enter(name, group)
        try:
            rows = await group.rows()
        finally:
            group.cancel()
            self._requests.leave(name, group)
            self._metrics.ended(group.outcome, group.processed, 0, 0)
        return _whole(answers.embeddings(self._service.about.model, rows, group.usage()), group.seconds)


async def _guides(service: TextService, order: Order) -> list[Guide]:
    """What holds each answer to its grammar, if it has one: compiled beside the event loop and the steps."""
    if order.grammar is None:
        return []
    terms = [each for each in order.terms for _ in range(order.n)]
    compiled = partial(service.grammars.guides, order.grammar, terms)
    return await asyncio.get_running_loop().run_in_executor(service.grammars.thread, compiled)


def _folder(body: bytes) -> Path:
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    folder = told.get("folder") if isinstance(told, dict) else None
    if not isinstance(folder, str) or not Path(folder).is_absolute():
        raise BadRequest("folder must be the absolute path of an adapter")
    return Path(folder)


def _patience(told: str) -> float:
    try:
        return min(max(float(told or 0), 0.0), _MOST_PATIENCE)
    except ValueError:
        raise BadRequest(f"header {PATIENCE} must be a number of seconds") from None


def _whole(body: bytes, seconds: float) -> web.Response:
    return web.Response(body=body, content_type=_JSON, headers={answers.DEVICE_SECONDS: f"{seconds:.6f}"})


async def _stream(request: web.Request, exchange: Exchange) -> web.StreamResponse:
    """The response begins with the first token, so that what goes wrong before it has a status of its own."""
    await exchange.begin()
    response = web.StreamResponse(headers={"Cache-Control": "no-cache", REQUEST_ID: request[_ID]})
    response.content_type = "text/event-stream"
    await response.prepare(request)
    while piece := await exchange.chunks():
        await response.write(piece)
    await response.write_eof()
    return response


def _problem(status: int, code: str, message: str) -> web.Response:
    return web.Response(status=status, body=answers.error(code, message), content_type=_JSON)
