"""Signed addresses of files: /api/2.0/fs/create-*-url gives them out, /api/2.0/fs/signed/* is where they lead."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError

from penstock.control.files import DELETE, GET, PUT, Files, Ticket
from penstock.control.grants import CatalogGrants
from penstock.control.uploads import Uploads
from penstock.domain.errors import InvalidParameter, MalformedBody
from penstock.domain.grant import Privilege
from penstock.domain.tracking_path import parse_file
from penstock.web.databricks.files import BASE, allowed, body_of, path_of, send
from penstock.web.guard import Access, CallerDep, allows, guarded_router, whole_body
from penstock.web.json_body import check_json
from penstock.web.origin import origin_of

SIGNED = f"{BASE}/signed"
_USER = allows(Access.USER)
_SIGNED = allows(Access.SIGNED)


class AskUrl(BaseModel):
    """Body of create-upload-url and create-download-url; `expire_time` as RFC 3339."""

    path: str
    expire_time: str | None = None


class AskSessionUrl(AskUrl):
    """Body of create-abort-upload-url."""

    session_token: str


class AskPartUrls(AskSessionUrl):
    """Body of create-upload-part-urls."""

    start_part_number: int
    count: int = 1


def router(files: Files, uploads: Uploads, grants: CatalogGrants) -> APIRouter:
    """All of them."""
    routes = guarded_router()
    _add_asking(routes, files, uploads, grants)
    _add_using(routes, files, uploads)
    return routes


def _add_asking(routes: APIRouter, files: Files, uploads: Uploads, grants: CatalogGrants) -> None:
    def url(request: Request, ticket: Ticket) -> str:
        query: dict[str, str | int] = {"expires": ticket.expires_at, "signature": ticket.signature}
        if ticket.session:
            query |= {"session": ticket.session, "part": ticket.part}
        return f"{origin_of(request)}{SIGNED}{quote(str(ticket.path))}?{urlencode(query)}"

    @routes.post(f"{BASE}/create-upload-url", openapi_extra=_USER)
    async def upload(request: Request, body: AskUrl, caller: CallerDep) -> dict[str, Any]:
        ticket = await files.ticket(
            PUT, await allowed(grants, caller, parse_file(body.path), Privilege.MODIFY), _time(body.expire_time)
        )
        return {"url": url(request, ticket), "headers": []}

    @routes.post(f"{BASE}/create-download-url", openapi_extra=_USER)
    async def download(request: Request, caller: CallerDep) -> dict[str, Any]:
        # MLflow sends a body, the SDK a query.
        asked = _asked(await whole_body(request), request)
        ticket = await files.ticket(
            GET, await allowed(grants, caller, parse_file(asked.path), Privilege.EXECUTE), _time(asked.expire_time)
        )
        return {"url": url(request, ticket), "headers": []}

    @routes.post(f"{BASE}/create-upload-part-urls", openapi_extra=_USER)
    async def parts(request: Request, body: AskPartUrls, caller: CallerDep) -> dict[str, Any]:
        tickets = await uploads.part_tickets(
            await allowed(grants, caller, parse_file(body.path), Privilege.MODIFY),
            body.session_token,
            body.start_part_number,
            body.count,
            _time(body.expire_time),
        )
        urls = [{"url": url(request, ticket), "part_number": ticket.part, "headers": []} for ticket in tickets]
        return {"upload_part_urls": urls}

    @routes.post(f"{BASE}/create-abort-upload-url", openapi_extra=_USER)
    async def abort(request: Request, body: AskSessionUrl, caller: CallerDep) -> dict[str, Any]:
        path = await allowed(grants, caller, parse_file(body.path), Privilege.MODIFY)
        ticket = await files.ticket(DELETE, path, _time(body.expire_time), session=body.session_token)
        return {"abort_upload_url": {"url": url(request, ticket), "headers": []}}


def _asked(body: bytes, request: Request) -> AskUrl:
    check_json(body)
    try:
        if body.strip():
            return AskUrl.model_validate_json(body)
        return AskUrl.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise MalformedBody("path must be given, in a JSON body or in the query.") from error


def _time(text: str | None) -> int | None:
    """Epoch milliseconds of an RFC 3339 time; raises InvalidParameter."""
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidParameter(f"expire_time must be a time as in RFC 3339, but is {text[:80]!r}.") from error
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _add_using(routes: APIRouter, files: Files, uploads: Uploads) -> None:
    where = f"{SIGNED}/{{path:path}}"

    def ticket(request: Request, expires: int, signature: str, session: str = "", part: int = 0) -> Ticket:
        return Ticket(path_of(request, SIGNED), expires, signature, session, part)

    @routes.put(where, openapi_extra=allows(Access.SIGNED, streams=True))
    async def put(request: Request, expires: int, signature: str, session: str = "", part: int = 0) -> Response:
        given = ticket(request, expires, signature, session, part)
        await files.check(PUT, given)
        if session:
            etag = await uploads.put_part(given.path, session, part, body_of(request))
            return Response(headers={"etag": f'"{etag}"'})
        await files.upload(given.path, body_of(request), overwrite=True)
        return Response()

    @routes.api_route(where, methods=["GET", "HEAD"], openapi_extra=_SIGNED)
    async def get(request: Request, expires: int, signature: str) -> Response:
        given = ticket(request, expires, signature)
        await files.check(GET, given)
        return await send(request, files, given.path)

    @routes.delete(where, openapi_extra=_SIGNED)
    async def abort(request: Request, expires: int, signature: str, session: str, part: int = 0) -> Response:
        given = ticket(request, expires, signature, session, part)
        await files.check(DELETE, given)
        await uploads.abort(given.path, session)
        return Response()
