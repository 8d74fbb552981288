"""Bodies that routes of the control plane read by themselves, and so do not declare."""

import re
from typing import Any

JSON = "application/json"
_TEXT = {"type": "string"}
_BYTES = {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
_RELAYED = {"content": {JSON: {"schema": {"type": "object", "description": "As MLflow's own client sends it."}}}}
_TOKEN = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {
            "type": "string",
            "enum": ["client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
        },
        "scope": {"type": "string", "description": "all-apis or serving."},
        "client_id": _TEXT,
        "client_secret": _TEXT,
        "assertion": {"type": "string", "description": "An access token, for one that is good for one endpoint."},
        "authorization_details": {"type": "string", "description": "JSON, as data_plane_info of an endpoint has it."},
    },
}
_DOWNLOAD = {
    "type": "object",
    "required": ["path"],
    "properties": {"path": _TEXT, "expire_time": {"type": "string", "format": "date-time"}},
}
_COMPLETE = {
    "type": "object",
    "required": ["parts"],
    "properties": {
        "parts": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["part_number", "etag"],
                "properties": {"part_number": {"type": "integer"}, "etag": _TEXT},
            },
        }
    },
}
_UPLOAD = {
    "type": "object",
    "required": ["purpose", "file"],
    "properties": {
        "purpose": {"const": "batch"},
        "expires_after[anchor]": {"const": "created_at"},
        "expires_after[seconds]": {"type": "integer"},
        "file": {"type": "string", "format": "binary"},
    },
}
_NAMED = re.compile(r"\{(\w+)\}")
_MLFLOW = ("/api/2.0/mlflow/", "/ml/")
_READ_BY_MLFLOW = ("POST", "PATCH", "DELETE")
_QUERY = {
    "type": "object",
    "required": ["query"],
    "properties": {"query": _TEXT, "variables": {"type": "object"}, "operationName": _TEXT},
}
_OWN = {
    "POST /ml/graphql": {"required": True, "content": {JSON: {"schema": _QUERY}}},
    "POST /oidc/v1/token": {
        "required": True,
        "content": {"application/x-www-form-urlencoded": {"schema": _TOKEN}},
    },
    "POST /api/2.0/fs/create-download-url": {"content": {JSON: {"schema": _DOWNLOAD}}},
    "POST /api/2.0/fs/files/{path}": {"content": {JSON: {"schema": _COMPLETE}}},
    "PUT /api/2.0/fs/files/{path}": _BYTES,
    "PUT /api/2.0/fs/signed/{path}": _BYTES,
    "PUT /api/2.0/mlflow-artifacts/artifacts/{path}": _BYTES,
    "POST /serving-endpoints/files": {"required": True, "content": {"multipart/form-data": {"schema": _UPLOAD}}},
}
_VERSION = {"name": "config_version", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 1}}
_QUERIES = {
    "POST /api/2.0/fs/create-download-url": [
        {"name": name, "in": "query", "required": False, "schema": _TEXT} for name in ("path", "expire_time")
    ],
    "GET /api/2.0/serving-endpoints/{name}/served-models/{entity}/build-logs": [_VERSION],
    "GET /api/2.0/serving-endpoints/{name}/served-models/{entity}/logs": [_VERSION],
}


def complete(route: str, operation: dict[str, Any]) -> None:
    """Adds what the route reads by itself to its description: a body, and names in its path and its query."""
    method, _, path = route.partition(" ")
    relayed = path.startswith(_MLFLOW) and "/unity-catalog/" not in path and "mlflow-artifacts" not in path
    if route in _OWN:
        operation["requestBody"] = _OWN[route]
    elif relayed and method in _READ_BY_MLFLOW:
        operation["requestBody"] = _RELAYED
    parameters = operation.setdefault("parameters", [])
    declared = {one["name"] for one in parameters if one["in"] == "path"}
    named = [name for name in _NAMED.findall(path) if name not in declared]
    parameters += [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in named]
    parameters += _QUERIES.get(route, [])
