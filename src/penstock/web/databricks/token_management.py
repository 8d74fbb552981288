"""Everybody's personal access tokens, for administrators: /api/2.0/token-management/*."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from penstock.control.tokens import Tokens
from penstock.domain.access import Principal, Token
from penstock.web.databricks.tokens import token_info
from penstock.web.guard import Access, CallerDep, allows, guarded_router

_PATH = "/api/2.0/token-management/tokens"
_ADMIN = allows(Access.ADMIN)
_DAY_MS = 24 * 3600 * 1000


def router(tokens: Tokens, workspace_id: str) -> APIRouter:
    """List, read and revoke."""
    routes = guarded_router()

    @routes.get(_PATH, openapi_extra=_ADMIN)
    async def list_tokens(
        created_by_id: Annotated[int | None, Query(ge=0)] = None, created_by_username: str = ""
    ) -> dict[str, Any]:
        owner_id = "" if created_by_id is None else str(created_by_id)
        found = await tokens.everybodys(owner_id, created_by_username)
        return {"token_infos": [_info(token, owner, workspace_id) for token, owner in found]}

    @routes.get(_PATH + "/{token_id}", openapi_extra=_ADMIN)
    async def get(token_id: str) -> dict[str, Any]:
        return {"token_info": _info(*await tokens.anybodys(token_id), workspace_id)}

    @routes.delete(_PATH + "/{token_id}", openapi_extra=_ADMIN)
    async def delete(token_id: str, caller: CallerDep) -> dict[str, Any]:
        await tokens.delete(caller, token_id)
        return {}

    return routes


def _info(token: Token, owner: Principal, workspace_id: str) -> dict[str, Any]:
    """As its owner sees it, with who that is; tokens are made by their owners."""
    info = token_info(token)
    used = info.pop("last_used_time", None)
    owned = {"owner_id": int(owner.id), "created_by_id": int(owner.id), "created_by_username": owner.name}
    day = {} if used is None else {"last_used_day": used - used % _DAY_MS}
    return {**info, **owned, "workspace_id": int(workspace_id), **day}
