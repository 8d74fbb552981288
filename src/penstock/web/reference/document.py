"""The OpenAPI document of everything that is served."""

import re
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from importlib.metadata import version
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from penstock.web.errors import STATUS
from penstock.web.guard import DECLARATION, Access, Declared
from penstock.web.reference import data_plane

_TITLE = "Penstock"
_OWN_SHAPES = frozenset({"/oidc/v1/token"})
"""What answers errors in another shape."""
_NO_ERRORS = frozenset({"x-penstock-streams", "x-penstock-scope"})
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_TAGS = (
    ("/api/2.0/serving-endpoints", "Serving endpoints"),
    ("/api/2.0/permissions", "Permissions"),
    ("/api/2.0/secrets", "Secrets"),
    ("/api/2.0/token", "Tokens"),
    ("/api/2.0/preview/scim", "People"),
    ("/api/2.0/accounts", "People"),
    ("/api/2.0/fs", "Files"),
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
_MEANINGS = {
    "400": "A rule is broken.",
    "401": "No credential was sent.",
    "403": "The credential is not valid, or not good for this.",
    "404": "It does not exist.",
    "405": "The path has other methods.",
    "409": "It exists already, or its state does not allow this now.",
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
    for route in plain:
        path = _PARAMETER.sub(r"{\1}", route.path)
        added = data_plane.operation(route)
        added["operationId"] = _operation_id(route)
        added[DECLARATION] = route.access.value
        added["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PARAMETER.findall(route.path)
        ]
        made["paths"].setdefault(path, {})[route.method.lower()] = added
    components = made.setdefault("components", {})
    components["schemas"] = {
        **{name: one for name, one in components.get("schemas", {}).items() if name not in _FASTAPIS},
        **data_plane.schemas(),
        "Error": _ERROR,
    }
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "basic": {"type": "http", "scheme": "basic"},
    }
    for path, operations in made["paths"].items():
        for method, one in operations.items():
            _complete(path, method, one)
    return made


_FASTAPIS = frozenset({"HTTPValidationError", "ValidationError"})


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


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """With its tag, its access, and the errors that it may answer with."""
    access = Access(operation[DECLARATION])
    for name in _NO_ERRORS:
        operation.pop(name, None)
    operation["tags"] = [next((tag for start, tag in _TAGS if path.startswith(start)), "Server")]
    operation["security"] = [{"token": []}, {"basic": []}] if access in {Access.USER, Access.ADMIN} else []
    responses = operation.setdefault("responses", {})
    responses.pop("422", None)
    schema = {"type": "object"} if path in _OWN_SHAPES else {"$ref": "#/components/schemas/Error"}
    for status, meaning in _MEANINGS.items():
        content = {} if method == "head" else {"content": {data_plane.JSON: {"schema": schema}}}
        responses.setdefault(status, {"description": meaning, **content})
