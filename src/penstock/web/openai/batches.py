"""OpenAI's Batch API."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from penstock.control.batches import Batches
from penstock.domain.batch import WINDOW, Batch, BatchState, check_expiry
from penstock.ports.batch_rows import Page
from penstock.web.guard import CallerDep, guarded_router
from penstock.web.openai.files import USER, After, listed

ROOT = "/serving-endpoints/batches"


class ExpiresAfter(BaseModel):
    """For how long files of answers are kept, from their making on."""

    anchor: str
    seconds: int


class CreateBody(BaseModel):
    """A new batch. Fields that only other servers know are passed over."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: ExpiresAfter | None = None


def router(batches: Batches) -> APIRouter:
    """The routes."""
    routes = guarded_router()

    @routes.post(ROOT, openapi_extra=USER)
    async def create(body: CreateBody, caller: CallerDep) -> dict[str, Any]:
        window, metadata, after = body.completion_window, body.metadata or {}, body.output_expires_after
        expiry_s = check_expiry("output_expires_after", after.anchor, after.seconds) if after else 0
        return told(
            await batches.create(caller, body.input_file_id, body.endpoint, window, metadata, output_expiry_s=expiry_s)
        )

    @routes.get(ROOT, openapi_extra=USER)
    async def list_batches(
        caller: CallerDep, limit: Annotated[int, Query(ge=1, le=100)] = 20, after: After = ""
    ) -> dict[str, Any]:
        return listed(await batches.list(caller, Page(None, after, limit + 1)), limit, told)

    @routes.get(ROOT + "/{batch_id}", openapi_extra=USER)
    async def get(batch_id: str, caller: CallerDep) -> dict[str, Any]:
        return told(await batches.get(caller, batch_id))

    @routes.post(ROOT + "/{batch_id}/cancel", openapi_extra=USER)
    async def cancel(batch_id: str, caller: CallerDep) -> dict[str, Any]:
        return told(await batches.cancel(caller, batch_id))

    return routes


def told(batch: Batch) -> dict[str, Any]:
    """A batch in OpenAI's words."""
    times = {
        f"{state.value}_at": batch.times[state.value] // 1000 if state.value in batch.times else None
        for state in BatchState
        if state is not BatchState.VALIDATING
    }
    problems = [
        {"code": problem.code, "message": problem.message, "line": problem.line or None, "param": None}
        for problem in batch.problems
    ]
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.url,
        "errors": {"object": "list", "data": problems} if problems else None,
        "input_file_id": batch.input_file,
        "completion_window": WINDOW,
        "status": batch.state.value,
        "output_file_id": batch.output_file or None,
        "error_file_id": batch.error_file or None,
        "created_at": batch.created_at // 1000,
        "expires_at": batch.expires_at // 1000,
        **times,
        "request_counts": {
            "total": batch.counts.total,
            "completed": batch.counts.completed,
            "failed": batch.counts.failed,
        },
        "metadata": dict(batch.metadata) or None,
    }
