"""The OpenAPI document of everything that is served."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from importlib.metadata import version
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from penstock.web.errors import STATUS
from penstock.web.guard import DECLARATION, Access, Declared
from penstock.web.reference import bodies, data_plane
from penstock.web.reference.answers import ANSWERS
from penstock.web.reference.components import Components
from penstock.web.reference.shapes.access import OAuthError

_TITLE = "Penstock"
_OAUTH = "/oidc/v1/token"
_NO_ERRORS = frozenset({"x-penstock-streams", "x-penstock-scope", "x-penstock-challenge"})
_ERRORS = "400"
_REFERENCE = {"$ref": "#/components/schemas/Error"}
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_TAGS = (
    ("/api/2.0/serving-endpoints", "Serving endpoints"),
    ("/api/2.0/permissions", "Permissions"),
    ("/api/2.0/secrets", "Secrets"),
    ("/api/2.0/token", "Tokens"),
    ("/api/2.0/preview/scim", "People"),
    ("/api/2.0/accounts", "People"),
    ("/api/2.0/fs", "Files"),
    ("/api/2.0/marketplace", "Marketplace"),
    ("/api/2.0/mlflow/unity-catalog", "MLflow's registry"),
    ("/api/2.0/mlflow", "MLflow's tracking"),
    ("/api/3.0/mlflow", "MLflow's tracking"),
    ("/ml", "MLflow's tracking"),
    ("/api/2.1/unity-catalog", "Catalogue"),
    ("/serving-endpoints/files", "Batches"),
    ("/serving-endpoints/batches", "Batches"),
    ("/serving-endpoints", "Data plane"),
    ("/oidc", "OAuth"),
    ("/.well-known", "OAuth"),
)
_ERROR = {
    "type": "object",
    "required": ["error_code", "message"],
    "properties": {
        "error_code": {"type": "string", "enum": sorted(STATUS)},
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}},
    },
}
_SELDOM = frozenset({"204", "206", "304", "307", "412", "416"})
_MEANINGS = {
    "204": "It is done.",
    "206": "A part of the file.",
    "304": "What the client has is as it was.",
    "307": "It is elsewhere.",
    "400": "A rule is broken.",
    "401": "No credential was sent.",
    "403": "The credential is not valid, or not good for this.",
    "404": "It does not exist.",
    "405": "The path has other methods.",
    "409": "It exists already, or its state does not allow this now.",
    "412": "The file was changed since.",
    "416": "The file does not reach so far.",
    "429": "Too much is asked now.",
    "500": "A fault of the server or of an engine.",
    "503": "The server cannot do it now.",
    "504": "The time limit has passed.",
}


def document(control: Iterable[BaseRoute], plain: Sequence[Declared]) -> dict[str, Any]:
    """The document, from the control plane's routes and those of the data plane."""
    made = get_openapi(
        title=_TITLE,
        version=version("penstock"),
        openapi_version="3.1.0",
        routes=list(_single(control)),
    )
    parts = Components([*data_plane.TYPES, OAuthError, *_types()])
    for path, operations in made["paths"].items():
        for method, one in operations.items():
            route = f"{method.upper()} {path}"
            bodies.complete(route, one)
            _answer(one, ANSWERS.get(route, {}), parts)
    for declared in plain:
        path = _PARAMETER.sub(r"{\1}", declared.path)
        made["paths"].setdefault(path, {})[declared.method.lower()] = _of_data_plane(declared, parts)
    components = made.setdefault("components", {})
    components["schemas"] = {
        **{name: one for name, one in components.get("schemas", {}).items() if name not in _FASTAPIS},
        **parts.schemas,
        "Error": _ERROR,
    }
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "basic": {"type": "http", "scheme": "basic"},
    }
    for path, operations in made["paths"].items():
        for method, one in operations.items():
            _complete(path, method, one, parts)
    return made


_FASTAPIS = frozenset({"HTTPValidationError", "ValidationError"})


def _types() -> Iterator[Any]:
    """What answers are in JSON."""
    for told in ANSWERS.values():
        yield from (one for one in told.values() if one is not None and not isinstance(one, str))


def _of_data_plane(route: Declared, parts: Components) -> dict[str, Any]:
    added = data_plane.operation(route, parts)
    added["operationId"] = _operation_id(route)
    added[DECLARATION] = route.access.value
    added["parameters"] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    return added


def _answer(operation: dict[str, Any], told: Mapping[str, Any], parts: Components) -> None:
    """Puts what the route answers when all is well in place of what FastAPI says."""
    responses = operation.setdefault("responses", {})
    for status in [status for status in responses if status < _ERRORS]:
        del responses[status]
    for status, what in told.items():
        described: dict[str, Any] = {"description": _MEANINGS.get(status, "The answer.")}
        if what is None:
            described["content"] = {data_plane.JSON: {"schema": _REFERENCE}}
        elif not isinstance(what, str):
            described["content"] = {data_plane.JSON: {"schema": parts.of(what)}}
        elif what:
            described["content"] = {what: {"schema": {"type": "string"} if what.startswith("text/") else {}}}
        responses[status] = described


def _single(routes: Iterable[BaseRoute]) -> Iterator[APIRoute]:
    """The routes with one method each. The same paths with a slash at their end say nothing more."""
    for route in routes:
        if not isinstance(route, APIRoute) or (route.path.endswith("/") and route.path != "/"):
            continue
        for method in sorted(route.methods or ()):
            one = copy(route)
            one.methods = {method}
            one.unique_id = _operation_id(Declared(method, route.path, Access.ANYONE))
            yield one


def _operation_id(route: Declared) -> str:
    return re.sub(r"\W+", "_", f"{route.method} {route.path}").strip("_").lower()


def _complete(path: str, method: str, operation: dict[str, Any], parts: Components) -> None:
    """With its tag, its access, and the errors that it may answer with."""
    access = Access(operation[DECLARATION])
    for name in _NO_ERRORS:
        operation.pop(name, None)
    operation["tags"] = [next((tag for start, tag in _TAGS if path.startswith(start)), "Server")]
    operation["security"] = [{"token": []}, {"basic": []}] if access in {Access.USER, Access.ADMIN} else []
    responses = operation.setdefault("responses", {})
    responses.pop("422", None)
    schema = parts.of(OAuthError) if path == _OAUTH else _REFERENCE
    for status, meaning in _MEANINGS.items():
        if status in _SELDOM:
            continue
        content = {} if method == "head" else {"content": {data_plane.JSON: {"schema": schema}}}
        responses.setdefault(status, {"description": meaning, **content})
