"""Personal access tokens: /api/2.0/token/*."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from penstock.control.tokens import Tokens
from penstock.domain.access import Token, parse_scope
from penstock.web.guard import Access, CallerDep, allows, guarded_router

_USER = allows(Access.USER)


class CreateToken(BaseModel):
    """Body of token/create. `scopes` is ours: "serving" limits the token to the data plane."""

    comment: str | None = None
    lifetime_seconds: int | None = None
    scopes: Annotated[list[str], Field(default_factory=list)]


class DeleteToken(BaseModel):
    """Body of token/delete."""

    token_id: str


def router(tokens: Tokens) -> APIRouter:
    """Create, list and delete the caller's tokens."""
    routes = guarded_router()

    @routes.post("/api/2.0/token/create", openapi_extra=_USER)
    async def create(body: CreateToken, caller: CallerDep) -> dict[str, Any]:
        scope = parse_scope(" ".join(body.scopes), "scopes")
        value, token = await tokens.create(caller, body.comment or "", body.lifetime_seconds, scope)
        return {"token_value": value, "token_info": token_info(token)}

    @routes.get("/api/2.0/token/list", openapi_extra=_USER)
    async def list_tokens(caller: CallerDep) -> dict[str, Any]:
        return {"token_infos": [token_info(token) for token in await tokens.list(caller)]}

    @routes.post("/api/2.0/token/delete", openapi_extra=_USER)
    async def delete(body: DeleteToken, caller: CallerDep) -> dict[str, Any]:
        await tokens.delete(caller, body.token_id)
        return {}

    return routes


def token_info(token: Token) -> dict[str, Any]:
    """A token as the API shows it; times in milliseconds, -1 for never."""
    info: dict[str, Any] = {
        "token_id": token.id,
        "creation_time": token.created_at,
        "expiry_time": -1 if token.expires_at is None else token.expires_at,
        "comment": token.comment,
        "scopes": [token.scope.value],
    }
    if token.last_used_at is not None:
        info["last_used_time"] = token.last_used_at
    return info
