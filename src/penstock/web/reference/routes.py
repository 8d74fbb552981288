"""GET /openapi.json, GET /docs, and the description of one endpoint."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse

from penstock.control.endpoint_views import EndpointView
from penstock.control.endpoints import Endpoints
from penstock.domain.endpoint import Ready
from penstock.domain.errors import InvalidRequest
from penstock.domain.model import Task
from penstock.web.guard import Access, CallerDep, allows, guarded_router
from penstock.web.origin import OriginDep
from penstock.web.reference import data_plane
from penstock.web.reference.page import page

_POLICY = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'", "cache-control": "no-cache"}


class _Once:
    """What is made at the first call, outside the event loop, and kept."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make
        self._lock = asyncio.Lock()
        self._made: tuple[dict[str, Any], str] | None = None

    async def get(self) -> tuple[dict[str, Any], str]:
        """The document and its page."""
        async with self._lock:
            if self._made is None:
                self._made = await asyncio.to_thread(self._both)
            return self._made

    def _both(self) -> tuple[dict[str, Any], str]:
        document = self._make()
        return document, page(document)


def router(describe: Callable[[], dict[str, Any]], endpoints: Endpoints) -> APIRouter:
    """The routes; `describe` makes the document of everything."""
    routes = guarded_router()
    made = _Once(describe)

    async def openapi_document() -> JSONResponse:
        return JSONResponse((await made.get())[0])

    async def docs_page() -> HTMLResponse:
        return HTMLResponse((await made.get())[1], headers=_POLICY)

    async def endpoint_openapi(name: str, caller: CallerDep, origin: OriginDep) -> JSONResponse:
        return JSONResponse(endpoint_document(await endpoints.get(caller, name), origin))

    anyone, user = allows(Access.ANYONE), allows(Access.USER)
    routes.add_api_route("/openapi.json", openapi_document, methods=["GET"], openapi_extra=anyone)
    routes.add_api_route("/docs", docs_page, methods=["GET"], openapi_extra=anyone, response_class=HTMLResponse)
    for ending in ("", "/"):
        path = f"/api/2.0/serving-endpoints/{{name}}/openapi{ending}"
        routes.add_api_route(path, endpoint_openapi, methods=["GET"], openapi_extra=user)
    return routes


def endpoint_document(view: EndpointView, host: str) -> dict[str, Any]:
    """OpenAPI 3.1 of one endpoint's data plane; raises InvalidRequest unless it is READY."""
    endpoint, task = view.endpoint, view.endpoint.task
    if endpoint.ready is not Ready.READY or view.config is None or task is None:
        raise InvalidRequest(f"Endpoint '{endpoint.name}' is not READY: its API is described once it serves.")
    names = [route.served_entity for route in view.config.config.routes]
    paths = ["/invocations", *(f"/served-models/{name}/invocations" for name in names)]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": endpoint.name,
            "version": str(view.config.config.version),
            "description": endpoint.description,
        },
        "servers": [{"url": f"{host}/serving-endpoints/{endpoint.name}"}],
        "paths": {path: {"post": _asking(path, task)} for path in paths},
        "components": {
            "schemas": data_plane.schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _asking(path: str, task: Task) -> dict[str, Any]:
    direct = path.split("/")[2] if path.startswith("/served-models/") else ""
    return {
        "summary": f"Ask the served entity {direct} ({task})" if direct else f"Ask the endpoint ({task})",
        "requestBody": data_plane.request_body([task], forms=True),
        "responses": {"200": data_plane.answer([task], forms=True)},
    }
