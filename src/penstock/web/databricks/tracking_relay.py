"""One request passed on to MLflow's server: what of it goes there, and what of the answer comes back."""

from collections.abc import Sequence
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from penstock.domain.errors import EndpointNotFound, MalformedBody
from penstock.ports.tracking import TrackingAnswer, TrackingRequest, TrackingServer
from penstock.web.databricks.tracking_dialect import (
    body_for_databricks,
    body_for_mlflow,
    check_graphql,
    new_experiment,
    query_for_mlflow,
    speaks_databricks,
)
from penstock.web.databricks.tracking_paths import UI, child_path, is_open
from penstock.web.errors import error_body
from penstock.web.guard import whole_body
from penstock.web.json_body import check_json
from penstock.web.origin import query_of

# Neither credentials nor where the request came from: those are for us.
_THERE = ("accept", "if-none-match", "if-modified-since")
_BACK = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-type",
    "etag",
    "last-modified",
    "x-content-type-options",
    "x-frame-options",
)
_JSON = "application/json"
_GRAPHQL = f"{UI}/graphql"
_BAD_REQUEST = 400
_FAULT = 500


async def relay(request: Request, server: TrackingServer) -> Response:
    """The answer of MLflow's server, as it comes; raises EndpointNotFound for what is closed."""
    path = request.scope["path"]
    if path == UI:
        path = f"{UI}/"  # our boundary took the slash
    if not is_open(request.method, path):
        raise EndpointNotFound(f"No API found for '{request.method} {path}'.")
    sent = await whole_body(request)
    check_json(sent)
    if sent.strip()[:1] not in (b"", b"{"):
        raise MalformedBody("The request body must be a JSON object.")
    body = body_for_mlflow(sent)
    if path == _GRAPHQL:
        check_graphql(sent)
    if path.endswith("/experiments/create"):
        body = new_experiment(body)
    answer = await server.ask(_passed_on(request, path, body))
    if path.endswith("/get-artifact") or "/static-files/" in path:
        return _streamed(answer)
    if answer.status >= _BAD_REQUEST and _JSON not in _header(answer.headers, "content-type"):
        return await _explained(request, answer)
    if speaks_databricks(request.headers.get("user-agent", "")):
        content = body_for_databricks(await _whole(answer))
        return Response(content, answer.status, _headers(answer, without="content-length"))
    return _streamed(answer)


def _passed_on(request: Request, path: str, body: bytes) -> TrackingRequest:
    headers = [(name, request.headers[name]) for name in _THERE if name in request.headers]
    if body:
        headers.append(("content-type", _JSON))
    query = query_for_mlflow(query_of(request))
    target = quote(child_path(path)) + (f"?{query}" if query else "")
    return TrackingRequest(request.method, target, tuple(headers), body)


def _streamed(answer: TrackingAnswer) -> Response:
    return StreamingResponse(answer.chunks(), answer.status, _headers(answer))


def _headers(answer: TrackingAnswer, without: str = "") -> dict[str, str]:
    return {name: value for name, value in answer.headers if name in _BACK and name != without}


def _header(headers: Sequence[tuple[str, str]], wanted: str) -> str:
    return next((value for name, value in headers if name == wanted), "")


async def _whole(answer: TrackingAnswer) -> bytes:
    return b"".join([chunk async for chunk in answer.chunks()])


async def _explained(request: Request, answer: TrackingAnswer) -> Response:
    """An error that is not JSON, in the API's shape."""
    told, status = (await _whole(answer)).decode(errors="replace").strip(), answer.status
    message = f"MLflow's server answered with status {status}"
    if status >= _FAULT and request.scope["path"] == _GRAPHQL:
        # Faults of what is asked come as errors in a good answer: only a text that is no query ends like this.
        message, status = "query is none that MLflow's server can read", _BAD_REQUEST
    elif status < _FAULT and told and not told.startswith("<"):
        message = f"{message}: {told[:200]}"
    code = "INTERNAL_ERROR" if status >= _FAULT else "BAD_REQUEST"
    return Response(error_body(code, f"{message}.", request.state.request_id), status, media_type=_JSON)
