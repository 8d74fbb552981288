"""MLflow tracking: experiments, runs and logged models at /api/2.0/mlflow/*, their artifacts, and the pages at /ml/."""

from collections.abc import Iterable

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from penstock.control.files import Files
from penstock.ports.tracking import TrackingServer
from penstock.web.databricks import tracking_artifacts
from penstock.web.databricks.tracking_dialect import check_origin
from penstock.web.databricks.tracking_paths import AJAX, API, INFO, UI, is_open, page_address
from penstock.web.databricks.tracking_relay import relay
from penstock.web.guard import Access, allows, guarded_router
from penstock.web.origin import query_of

_USER = allows(Access.USER)
_BROWSER = allows(Access.USER, challenge=True)
_CHANGES = ["POST", "PATCH", "DELETE"]


def routers(server: TrackingServer, files: Files, public_url: str) -> Iterable[APIRouter]:
    """The routers. `public_url` is what browsers know us by, where that is not the host that they name."""
    yield tracking_artifacts.router(files)
    yield _api(server)
    yield _pages(server, public_url)


def _api(server: TrackingServer) -> APIRouter:
    routes = guarded_router()

    @routes.api_route(f"{API}/experiments/{{path:path}}", methods=["GET", "POST"], openapi_extra=_USER)
    @routes.api_route(f"{API}/runs/{{path:path}}", methods=["GET", "POST"], openapi_extra=_USER)
    @routes.get(f"{API}/metrics/{{path:path}}", openapi_extra=_USER)
    @routes.get(f"{API}/artifacts/list", openapi_extra=_USER)
    @routes.post(f"{API}/logged-models", openapi_extra=_USER)
    @routes.api_route(f"{API}/logged-models/{{path:path}}", methods=["GET", *_CHANGES], openapi_extra=_USER)
    @routes.get(INFO, openapi_extra=_USER)
    async def track(request: Request) -> Response:
        return await relay(request, server)

    return routes


def _pages(server: TrackingServer, public_url: str) -> APIRouter:
    routes = guarded_router()

    @routes.api_route(f"{AJAX}/{{path:path}}", methods=["GET", *_CHANGES], openapi_extra=_BROWSER)
    @routes.post(f"{UI}/graphql", openapi_extra=_BROWSER)
    async def ask(request: Request) -> Response:
        if request.method != "GET":
            check_origin(request.headers.get("origin"), request.headers.get("host", ""), public_url)
        return await relay(request, server)

    @routes.get("/", openapi_extra=allows(Access.ANYONE))
    async def begin() -> Response:
        # MLflow's client prints links to /#/experiments/...; a browser takes what is behind the # along.
        return RedirectResponse(f"{UI}/")

    @routes.get(UI, openapi_extra=_BROWSER)
    @routes.get(f"{UI}/{{path:path}}", openapi_extra=_BROWSER)
    async def show(request: Request) -> Response:
        path = request.scope["path"]
        if path == UI:
            # Its pages name their files relative to the folder.
            whole = request.scope["raw_path"].endswith(b"/")
            return await relay(request, server) if whole else RedirectResponse(f"{UI}/")
        if is_open("GET", path):
            return await relay(request, server)
        return RedirectResponse(page_address(path, query_of(request)))

    return routes
