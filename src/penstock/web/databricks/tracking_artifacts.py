"""Artifacts by MLflow's own addresses: /api/2.0/mlflow-artifacts/*, kept in our artifact store."""

import mimetypes
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from penstock.control.files import Files
from penstock.domain.artifact_path import decode
from penstock.domain.errors import InvalidRequest, PathNotFound
from penstock.domain.tracking_path import TrackingPath, parse_artifact
from penstock.ports.artifacts import Entry
from penstock.web.databricks.files import body_of, path_in, send
from penstock.web.databricks.tracking_paths import AJAX
from penstock.web.guard import Access, allows, guarded_router

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_PARTS = "/api/2.0/mlflow-artifacts/mpu"
_PAGES = f"{AJAX}/2.0/mlflow-artifacts/artifacts"
_PAGE = 1000
_REFUSED = 400
_USER = allows(Access.USER)
_BROWSER = allows(Access.USER, challenge=True)


def router(files: Files) -> APIRouter:
    """All of them."""
    routes = guarded_router()
    _add_changes(routes, files)

    @routes.get(ARTIFACTS, openapi_extra=_USER)
    @routes.get(_PAGES, openapi_extra=_BROWSER)
    async def list_files(path: str = "") -> dict[str, Any]:
        return {"files": [_told(entry) for entry in await _entries(files, parse_artifact(path))]}

    @routes.get(f"{ARTIFACTS}/{{path:path}}", openapi_extra=_USER)
    async def get(request: Request) -> Response:
        return await send(request, files, _path(request, ARTIFACTS))

    @routes.get(f"{_PAGES}/{{path:path}}", openapi_extra=_BROWSER)
    async def show(request: Request) -> Response:
        """The same for pages, which need to know what it is. A browser saves it and never runs it."""
        path = _path(request, _PAGES)
        answer = await send(request, files, path)
        if answer.status_code >= _REFUSED:
            return answer
        name = path.path.rpartition("/")[2]
        answer.headers["content-type"] = mimetypes.guess_type(name)[0] or "application/octet-stream"
        answer.headers["content-disposition"] = f"attachment; filename*=UTF-8''{quote(name)}"
        answer.headers["x-content-type-options"] = "nosniff"
        return answer

    return routes


def _add_changes(routes: APIRouter, files: Files) -> None:
    @routes.put(f"{ARTIFACTS}/{{path:path}}", openapi_extra=allows(Access.USER, streams=True))
    async def put(request: Request) -> dict[str, Any]:
        await files.upload(_path(request, ARTIFACTS), body_of(request), overwrite=True)
        return {}

    @routes.delete(f"{ARTIFACTS}/{{path:path}}", openapi_extra=_USER)
    async def delete(request: Request) -> dict[str, Any]:
        await files.delete_tree(_path(request, ARTIFACTS))
        return {}

    @routes.post(f"{_PARTS}/{{path:path}}", openapi_extra=_USER)
    async def parts() -> None:
        # MLflow's client knows these words, and sends the file whole.
        raise InvalidRequest(
            "Multipart upload is not supported for the current artifact repository; send the file whole."
        )


def _path(request: Request, prefix: str) -> TrackingPath:
    return parse_artifact(decode(path_in(request, prefix)))


async def _entries(files: Files, path: TrackingPath) -> list[Entry]:
    """Everything in a directory; nothing if it is not there, as of a run that has no artifacts yet."""
    found: list[Entry] = []
    try:
        while page := await files.list(path, _name(found[-1]) if found else "", _PAGE):
            found += page
    except PathNotFound:
        return []
    return found


def _name(entry: Entry) -> str:
    return entry.path.rpartition("/")[2]


def _told(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = {"path": _name(entry), "is_dir": entry.is_directory}
    return told if entry.is_directory else {**told, "file_size": entry.size}
