"""Secrets of service principals: /api/2.0/accounts/servicePrincipals/{id}/credentials/secrets."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from penstock.control.client_secrets import ClientSecrets
from penstock.domain.access import ClientSecret
from penstock.domain.errors import InvalidParameter
from penstock.web.guard import Access, allows, guarded_router

_PATH = "/api/2.0/accounts/servicePrincipals/{principal_id}/credentials/secrets"
_ADMIN = allows(Access.ADMIN)
_DIGITS = 18


class CreateSecret(BaseModel):
    """Body of POST; `lifetime` is seconds with an s behind, such as "3600s"."""

    lifetime: str | None = None


def router(secrets: ClientSecrets) -> APIRouter:
    """Create, list and delete."""
    routes = guarded_router()

    @routes.post(_PATH, openapi_extra=_ADMIN)
    async def create(principal_id: str, body: CreateSecret | None = None) -> dict[str, Any]:
        lifetime = body.lifetime if body else None
        value, secret = await secrets.create(principal_id, _seconds(lifetime))
        return {**_info(secret), "secret": value}

    @routes.get(_PATH, openapi_extra=_ADMIN)
    async def list_secrets(principal_id: str) -> dict[str, Any]:
        return {"secrets": [_info(secret) for secret in await secrets.list(principal_id)]}

    @routes.delete(_PATH + "/{secret_id}", openapi_extra=_ADMIN)
    async def delete(principal_id: str, secret_id: str) -> dict[str, Any]:
        await secrets.delete(principal_id, secret_id)
        return {}

    return routes


def _seconds(lifetime: str | None) -> int | None:
    if lifetime is None:
        return None
    digits = lifetime.removesuffix("s")
    if not digits.isascii() or not digits.isdigit() or len(digits) > _DIGITS:
        raise InvalidParameter(f'lifetime must be seconds such as "3600s", but is "{lifetime[:80]}".')
    return int(digits)


def _info(secret: ClientSecret) -> dict[str, Any]:
    made = _time(secret.created_at)
    return {
        "id": secret.id,
        "secret_hash": secret.digest,
        "create_time": made,
        "update_time": made,
        "expire_time": _time(secret.expires_at),
        "status": "ACTIVE",
    }


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
