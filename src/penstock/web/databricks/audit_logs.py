"""The audit log for administrators: /api/2.0/audit-logs, a route of ours."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from penstock.control.audit import Audit
from penstock.domain.audit_entry import AuditEntry, AuditFilter, Result
from penstock.web.databricks.paging import after_text, page, page_size
from penstock.web.guard import Access, allows, guarded_router

MAX_RESULTS = 1000
_Time = Annotated[int | None, Query(ge=0, le=2**63 - 1)]


def router(audit: Audit) -> APIRouter:
    """The one route."""
    routes = guarded_router()

    @routes.get("/api/2.0/audit-logs", openapi_extra=allows(Access.ADMIN))
    async def list_entries(
        *,
        principal: str = "",
        object_type: str = "",
        object_name: str = "",
        request_id: str = "",
        result: Result | None = None,
        start_time: _Time = None,
        end_time: _Time = None,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> dict[str, Any]:
        only = AuditFilter(principal, object_type, object_name, request_id, result, start_time, end_time)
        size = page_size(max_results, MAX_RESULTS)
        found = await audit.find(only, after_text(page_token), size + 1)
        shown, token = page(found, size, lambda entry: entry.id)
        return {"audit_logs": [_shown(entry) for entry in shown], "next_page_token": token}

    return routes


def _shown(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "timestamp": entry.at,
        "principal": entry.principal,
        "token_id": entry.token_id,
        "action": f"{entry.method} {entry.route}".strip(),
        "object_type": entry.object_type,
        "object_name": entry.object_name,
        "source_ip_address": entry.address,
        "forwarded_for": entry.forwarded_for,
        "user_agent": entry.user_agent,
        "result": entry.result.value,
        "status_code": entry.status,
        "error_code": entry.error_code,
        "request_id": entry.request_id,
    }
