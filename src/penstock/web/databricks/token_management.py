"""Everybody's personal access tokens, for administrators: /api/2.0/token-management/*."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from penstock.control.tokens import Managed, Tokens
from penstock.domain.access import parse_scope
from penstock.domain.errors import InvalidParameter
from penstock.web.databricks.tokens import token_info
from penstock.web.guard import Access, CallerDep, allows, guarded_router

_ROOT = "/api/2.0/token-management"
_PATH = f"{_ROOT}/tokens"
_ADMIN = allows(Access.ADMIN)
_DAY_MS = 24 * 3600 * 1000


class CreateForBody(BaseModel):
    """A token for a service principal. `scopes` are ours, as for a token of one's own."""

    application_id: str
    comment: str | None = None
    lifetime_seconds: int | None = None
    scopes: Annotated[list[str], Field(default_factory=list)]
    autoscope_enabled: bool | None = None


def router(tokens: Tokens, workspace_id: str) -> APIRouter:
    """List, read and revoke; make for service principals."""
    routes = guarded_router()

    @routes.get(_PATH, openapi_extra=_ADMIN)
    async def list_tokens(
        created_by_id: Annotated[int | None, Query(ge=0)] = None, created_by_username: str = ""
    ) -> dict[str, Any]:
        creator_id = "" if created_by_id is None else str(created_by_id)
        found = await tokens.everybodys(creator_id, created_by_username)
        return {"token_infos": [_info(one, workspace_id) for one in found]}

    @routes.get(_PATH + "/{token_id}", openapi_extra=_ADMIN)
    async def get(token_id: str) -> dict[str, Any]:
        return {"token_info": _info(await tokens.anybodys(token_id), workspace_id)}

    @routes.delete(_PATH + "/{token_id}", openapi_extra=_ADMIN)
    async def delete(token_id: str, caller: CallerDep) -> dict[str, Any]:
        await tokens.delete(caller, token_id)
        return {}

    @routes.post(_ROOT + "/on-behalf-of/tokens", openapi_extra=_ADMIN)
    async def create_for(body: CreateForBody, caller: CallerDep) -> dict[str, Any]:
        if body.autoscope_enabled:
            raise InvalidParameter("autoscope_enabled cannot be true: scopes are given, not found out.")
        scope = parse_scope(" ".join(body.scopes), "scopes")
        value, made = await tokens.create_for(
            caller, body.application_id, body.comment or "", body.lifetime_seconds, scope
        )
        return {"token_value": value, "token_info": _info(made, workspace_id)}

    return routes


def _info(managed: Managed, workspace_id: str) -> dict[str, Any]:
    """As its owner sees it, with who that is and who made it."""
    info = token_info(managed.token)
    used = info.pop("last_used_time", None)
    day = {} if used is None else {"last_used_day": used - used % _DAY_MS}
    return {
        **info,
        "owner_id": int(managed.owner.id),
        "created_by_id": int(managed.creator_id),
        "created_by_username": managed.creator_name,
        "workspace_id": int(workspace_id),
        **day,
    }
