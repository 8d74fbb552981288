"""Files of model versions, runs and logged models by the Files API: /api/2.0/fs/{files,directories}/*, streamed."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from penstock.control.files import Files
from penstock.control.grants import CatalogGrants
from penstock.control.uploads import Uploads
from penstock.domain.access import Caller
from penstock.domain.artifact_path import ArtifactPath, decode
from penstock.domain.catalog import check_number
from penstock.domain.errors import InvalidParameter, InvalidRequest
from penstock.domain.grant import Privilege
from penstock.domain.tracking_path import FilePath, parse_file
from penstock.ports.artifacts import Entry, Part
from penstock.web.databricks.downloads import answer_file
from penstock.web.databricks.paging import after_text, page, page_size
from penstock.web.guard import Access, CallerDep, allows, guarded_router, whole_body
from penstock.web.json_body import check_json

BASE = "/api/2.0/fs"
FILES = f"{BASE}/files"
DIRECTORIES = f"{BASE}/directories"
MAX_ENTRIES = 1000
_USER = allows(Access.USER)
_STREAM = allows(Access.USER, streams=True)


class PartBody(BaseModel):
    """A part, as the client names it."""

    part_number: int
    etag: str


class CompleteBody(BaseModel):
    """Body of complete-upload."""

    parts: list[PartBody]


def path_in(request: Request, prefix: str) -> str:
    """The path behind `prefix` as it was sent, still percent-encoded."""
    raw: bytes = request.scope["raw_path"]
    return raw.decode("latin-1").removeprefix(prefix)


def path_of(request: Request, prefix: str) -> FilePath:
    """The path behind `prefix`, decoded segment by segment."""
    return parse_file(decode(path_in(request, prefix)))


async def allowed(grants: CatalogGrants, caller: Caller, path: FilePath, wanted: Privilege) -> FilePath:
    """Returns the path; raises PermissionDenied if it is of a model on which the caller lacks the privilege."""
    if isinstance(path, ArtifactPath):
        await grants.check(caller, path.model, wanted)
    return path


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The body piece by piece; InvalidRequest if the client goes away in the middle."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise InvalidRequest("The upload ended before its body was complete; nothing was stored.") from error


def router(files: Files, uploads: Uploads, grants: CatalogGrants) -> APIRouter:
    """All of them."""
    routes = guarded_router()
    _add_uploads(routes, files, uploads, grants)
    _add_downloads(routes, files, grants)
    _add_directories(routes, files, grants)
    return routes


def _add_uploads(routes: APIRouter, files: Files, uploads: Uploads, grants: CatalogGrants) -> None:
    @routes.put(f"{FILES}/{{path:path}}", openapi_extra=_STREAM)
    async def put(
        request: Request,
        caller: CallerDep,
        *,
        overwrite: bool = True,
        upload_type: str = "",
        session_token: str = "",
        part_number: int = 0,
    ) -> Response:
        path = await allowed(grants, caller, path_of(request, FILES), Privilege.MODIFY)
        if session_token:
            _check_type(upload_type)
            etag = await uploads.put_part(path, session_token, part_number, body_of(request))
            return Response(headers={"etag": f'"{etag}"'})
        await files.upload(path, body_of(request), overwrite=overwrite)
        return Response(status_code=204)

    @routes.post(f"{FILES}/{{path:path}}", openapi_extra=_USER)
    async def act(
        request: Request,
        caller: CallerDep,
        action: str,
        *,
        overwrite: bool = True,
        session_token: str = "",
        upload_type: str = "multipart",
    ) -> dict[str, Any]:
        path = await allowed(grants, caller, path_of(request, FILES), Privilege.MODIFY)
        if action == "initiate-upload":
            return {"multipart_upload": {"session_token": await uploads.begin(path, overwrite=overwrite)}}
        if action == "complete-upload":
            _check_type(upload_type)
            await uploads.complete(path, session_token, _parts(await whole_body(request)))
            return {}
        if action == "abort-upload":
            await uploads.abort(path, session_token)
            return {}
        raise InvalidParameter(
            f"action must be initiate-upload, complete-upload or abort-upload, but is {action[:80]!r}."
        )

    @routes.delete(f"{FILES}/{{path:path}}", openapi_extra=_USER)
    async def delete(request: Request, caller: CallerDep) -> Response:
        await files.delete(await allowed(grants, caller, path_of(request, FILES), Privilege.MODIFY), directory=False)
        return Response(status_code=204)


def _check_type(upload_type: str) -> None:
    if upload_type != "multipart":
        raise InvalidParameter(f"upload_type must be multipart, but is {upload_type[:80]!r}.")


def _parts(body: bytes) -> list[Part]:
    check_json(body)
    try:
        parsed = CompleteBody.model_validate_json(body)
    except ValueError as error:
        raise InvalidParameter("parts must be a list of objects with part_number and etag.") from error
    return [Part(check_number(part.part_number, "part_number"), part.etag.strip('"')) for part in parsed.parts]


def _add_downloads(routes: APIRouter, files: Files, grants: CatalogGrants) -> None:
    @routes.api_route(f"{FILES}/{{path:path}}", methods=["GET", "HEAD"], openapi_extra=_USER)
    async def get(request: Request, caller: CallerDep) -> Response:
        return await send(request, files, await allowed(grants, caller, path_of(request, FILES), Privilege.EXECUTE))


async def send(request: Request, files: Files, path: FilePath) -> Response:
    """The file at the path, as the request asks for it."""
    entry = await files.stat(path, directory=False)
    return await answer_file(request, entry, lambda start, length: files.read(path, start, length))


def _add_directories(routes: APIRouter, files: Files, grants: CatalogGrants) -> None:
    @routes.get(f"{DIRECTORIES}/{{path:path}}", openapi_extra=_USER)
    async def list_entries(
        request: Request,
        caller: CallerDep,
        asked: Annotated[int | None, Query(alias="page_size")] = None,
        page_token: str | None = None,
    ) -> dict[str, Any]:
        path = await allowed(grants, caller, path_of(request, DIRECTORIES), Privilege.EXECUTE)
        size = page_size(asked, MAX_ENTRIES, "page_size")
        found = await files.list(path, after_text(page_token), size + 1)
        shown, token = page(found, size, lambda entry: entry.path.rsplit("/", 1)[-1])
        answer: dict[str, Any] = {"contents": [_entry(path, entry) for entry in shown]}
        return {**answer, "next_page_token": token} if token else answer

    @routes.head(f"{DIRECTORIES}/{{path:path}}", openapi_extra=_USER)
    async def exists(request: Request, caller: CallerDep) -> Response:
        await files.stat(
            await allowed(grants, caller, path_of(request, DIRECTORIES), Privilege.EXECUTE), directory=True
        )
        return Response()

    @routes.put(f"{DIRECTORIES}/{{path:path}}", openapi_extra=_USER)
    async def make(request: Request, caller: CallerDep) -> Response:
        await files.make_directory(await allowed(grants, caller, path_of(request, DIRECTORIES), Privilege.MODIFY))
        return Response(status_code=204)

    @routes.delete(f"{DIRECTORIES}/{{path:path}}", openapi_extra=_USER)
    async def delete(request: Request, caller: CallerDep) -> Response:
        await files.delete(
            await allowed(grants, caller, path_of(request, DIRECTORIES), Privilege.MODIFY), directory=True
        )
        return Response(status_code=204)


def _entry(directory: FilePath, entry: Entry) -> dict[str, Any]:
    name = entry.path.rsplit("/", 1)[-1]
    told: dict[str, Any] = {
        "path": f"{directory}/{name}",
        "name": name,
        "is_directory": entry.is_directory,
        "last_modified": entry.modified_at,
    }
    return told if entry.is_directory else {**told, "file_size": entry.size}
