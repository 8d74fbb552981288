"""OpenAI's Files API, for the files of batches."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from penstock.control.batches import Batches
from penstock.domain.access import Scope
from penstock.domain.batch import Purpose, StoredFile, check_expiry
from penstock.domain.errors import InvalidParameter
from penstock.ports.batch_rows import Page
from penstock.web.guard import Access, CallerDep, allows, guarded_router
from penstock.web.openai.multipart import read_form

ROOT = "/serving-endpoints/files"
USER = allows(Access.USER, scope=Scope.SERVING)
_UPLOAD = allows(Access.USER, scope=Scope.SERVING, streams=True)
MOST = 10_000
_One = TypeVar("_One")

After = Annotated[str, Query(max_length=200)]


def router(batches: Batches) -> APIRouter:
    """The routes."""
    routes = guarded_router()

    @routes.post(ROOT, openapi_extra=_UPLOAD)
    async def upload(request: Request, caller: CallerDep) -> dict[str, Any]:
        received: list[tuple[str, int]] = []

        async def take(content: AsyncIterator[bytes]) -> None:
            received.append(await batches.receive(caller, content))

        try:
            form = await read_form(request.headers.get("content-type", ""), request.stream(), take)
            file_id, size = _only(received)
            given = {"filename": form.filename, "purpose": form.fields.get("purpose", "")}
            file = await batches.named(caller, file_id, size, **given, expiry_s=_expiry(form.fields))
        except BaseException:
            for file_id, _ in received:
                await batches.discard(file_id)
            raise
        return told(file)

    @routes.get(ROOT, openapi_extra=USER)
    async def list_files(
        caller: CallerDep,
        purpose: Purpose | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
        after: After = "",
        order: Annotated[str, Query(pattern="^(asc|desc)$")] = "desc",
    ) -> dict[str, Any]:
        page = Page(None, after, limit + 1, order == "asc")
        return listed(await batches.files(caller, page, purpose), limit, told)

    @routes.get(ROOT + "/{file_id}", openapi_extra=USER)
    async def get(file_id: str, caller: CallerDep) -> dict[str, Any]:
        return told(await batches.file(caller, file_id))

    @routes.get(ROOT + "/{file_id}/content", openapi_extra=USER)
    async def content(file_id: str, caller: CallerDep) -> StreamingResponse:
        file = await batches.file(caller, file_id)
        headers = {"content-length": str(file.size)}
        return StreamingResponse(
            await batches.content(caller, file_id), headers=headers, media_type="application/jsonl"
        )

    @routes.delete(ROOT + "/{file_id}", openapi_extra=USER)
    async def delete(file_id: str, caller: CallerDep) -> dict[str, Any]:
        await batches.remove_file(caller, file_id)
        return {"id": file_id, "object": "file", "deleted": True}

    return routes


def _only(received: Sequence[tuple[str, int]]) -> tuple[str, int]:
    if not received:
        raise InvalidParameter("file is required.")
    return received[0]


def _expiry(fields: Mapping[str, str]) -> int:
    """`expires_after` as clients write an object into a form: a field for each of its members. 0 if there is none."""
    anchor, seconds = (fields.get(f"expires_after[{member}]") for member in ("anchor", "seconds"))
    if anchor is None and seconds is None and "expires_after" not in fields:
        return 0
    return check_expiry("expires_after", anchor or "", seconds or "")


def told(file: StoredFile) -> dict[str, Any]:
    """A file in OpenAI's words."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created_at // 1000,
        "expires_at": file.expires_at // 1000 if file.expires_at else None,
        "filename": file.filename,
        "purpose": file.purpose.value,
        "status": "processed",
        "status_details": None,
    }


def listed(found: Sequence[_One], limit: int, tell: Callable[[_One], dict[str, Any]]) -> dict[str, Any]:
    """A page of a list; `found` holds one more than the limit where there are more."""
    shown = [tell(one) for one in found[:limit]]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(found) > limit,
    }
