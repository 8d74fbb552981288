"""Calls of services elsewhere, by connections of the catalogue: /api/2.0/external-function."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from penstock.domain.errors import DoesNotExist
from penstock.web.guard import Access, allows, guarded_router


class ServiceCall(BaseModel):
    """Body of a call; `headers`, `json` and `params` are JSON in a text."""

    connection_name: str = Field(min_length=1)
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    headers: str | None = None
    content: str | None = Field(default=None, alias="json")
    params: str | None = None
    sub_domain: str | None = None


def router() -> APIRouter:
    """The one route. The catalogue has no connections here, so it finds none."""
    routes = guarded_router()

    @routes.post("/api/2.0/external-function", openapi_extra=allows(Access.USER))
    async def call(body: ServiceCall) -> None:
        raise DoesNotExist(
            f"Connection '{body.connection_name[:255]}' does not exist: this server has no connections to services "
            "elsewhere. Models that are hosted elsewhere are served as external models of an endpoint."
        )

    return routes
