"""The whole of what is served: the data plane by its prefix with nothing in front, and the control plane."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi import APIRouter, FastAPI
from starlette.types import Receive, Scope, Send

from penstock.control.audit import Audit
from penstock.control.authenticator import Authenticator
from penstock.control.batches import Batches
from penstock.control.client_secrets import ClientSecrets
from penstock.control.groups import Groups
from penstock.control.health import Health
from penstock.control.installs import Installs
from penstock.control.marketplace import Marketplace
from penstock.control.permissions import EndpointPermissions
from penstock.control.principals import Principals
from penstock.control.secret_scopes import SecretScopes
from penstock.control.secrets import Secrets
from penstock.control.throughput import Throughput
from penstock.control.tokens import Tokens
from penstock.ports.tracking import TrackingServer
from penstock.web import health, metrics
from penstock.web.boundary import Boundary
from penstock.web.databricks import (
    audit_logs,
    catalogue,
    client_secrets,
    endpoint_settings,
    endpoint_throughput,
    external_functions,
    marketplace,
    oauth,
    permissions,
    scim,
    scim_groups,
    secrets,
    serving_endpoints,
    token_management,
    tokens,
    tracking,
)
from penstock.web.failures import answer_failures
from penstock.web.guard import Declared, declared_routes
from penstock.web.metrics import ServerMetrics
from penstock.web.openai import batches, files
from penstock.web.reference import routes as reference
from penstock.web.reference.document import document

DATA_PLANE = "/serving-endpoints/"
# Files and batches lie under the data plane's address, where OpenAI's client looks for them. An endpoint that has the
# name of one of them is still asked by its invocations.
_BATCHES = re.compile(DATA_PLANE + r"(files|batches)(/(?!invocations/?$)[^/]+(/content|/cancel)?)?/?")


class PlainApp(Protocol):
    """An ASGI application that says what it serves, such as the data plane."""

    routes: Sequence[Declared]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes need, made once by `penstock.bootstrap`."""

    workspace_id: str
    authenticator: Authenticator
    health: Health
    tokens: Tokens
    principals: Principals
    groups: Groups
    permissions: EndpointPermissions
    client_secrets: ClientSecrets
    catalogue: catalogue.Catalogue
    serving: serving_endpoints.Serving
    throughput: Throughput
    secrets: Secrets
    secret_scopes: SecretScopes
    audit: Audit
    metrics: ServerMetrics
    public_url: str = ""
    data_plane: PlainApp | None = None
    batches: Batches | None = None
    tracking: TrackingServer | None = None
    market: tuple[Marketplace, Installs] | None = None


class Site:
    """The ASGI application."""

    def __init__(self, control: FastAPI, boundary: Boundary, data_plane: PlainApp | None) -> None:
        self._control = control
        self._boundary = boundary
        self._data_plane = data_plane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; raises TypeError for WebSockets."""
        if scope["type"] != "http":
            raise TypeError(f"Only HTTP is served, not {scope['type']}.")
        path = scope["path"]
        if self._data_plane is not None and path.startswith(DATA_PLANE) and not _BATCHES.fullmatch(path):
            await self._data_plane(scope, receive, send)
        else:
            await self._boundary(scope, receive, send)

    @property
    def routes(self) -> list[Declared]:
        """Every route with who may call it."""
        plain = self._data_plane.routes if self._data_plane is not None else ()
        return [*declared_routes(self._control.routes), *plain]


def create_app(parts: Parts) -> Site:
    """The application, from its parts."""
    control = FastAPI(title="Penstock", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    control.state.authenticator = parts.authenticator
    control.state.audit = parts.audit
    control.state.public_url = parts.public_url
    answer_failures(control)
    for router in _routers(parts):
        # Taken over as they are: FastAPI's own inclusion would wrap each route once more.
        control.router.routes.extend(router.routes)
    plain = parts.data_plane.routes if parts.data_plane is not None else ()
    described = reference.router(lambda: document(control.routes, plain), parts.serving.endpoints)
    control.router.routes.extend(described.routes)
    declared_routes(control.routes)
    return Site(control, Boundary(control, parts.workspace_id, parts.audit, parts.metrics.observer), parts.data_plane)


def _routers(parts: Parts) -> Iterable[APIRouter]:
    yield health.router(parts.health)
    yield metrics.router(parts.metrics)
    yield oauth.router(parts.client_secrets, parts.workspace_id)
    yield tokens.router(parts.tokens)
    yield token_management.router(parts.tokens, parts.workspace_id)
    yield scim.router(parts.principals, parts.groups)
    yield scim_groups.router(parts.groups)
    yield permissions.router(parts.permissions)
    yield client_secrets.router(parts.client_secrets)
    yield audit_logs.router(parts.audit)
    yield secrets.router(parts.secrets, parts.secret_scopes)
    yield from catalogue.routers(parts.catalogue)
    yield serving_endpoints.router(parts.serving)
    yield endpoint_settings.router(parts.serving.settings)
    yield endpoint_throughput.router(parts.throughput)
    yield external_functions.router()
    if parts.batches is not None:
        yield files.router(parts.batches)
        yield batches.router(parts.batches)
    if parts.market is not None:
        yield marketplace.router(*parts.market)
    if parts.tracking is not None:
        yield from tracking.routers(parts.tracking, parts.catalogue.files, parts.public_url)
