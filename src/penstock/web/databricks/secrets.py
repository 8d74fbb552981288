"""Secret scopes, secrets and their ACLs: /api/2.0/secrets/*."""

import base64
import binascii
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, SecretStr

from penstock.control.secret_scopes import SecretScopes
from penstock.control.secrets import Secrets
from penstock.domain.errors import InvalidParameter, MalformedBody
from penstock.domain.secret import AclItem, Permission, encoded
from penstock.web.guard import Access, CallerDep, allows, guarded_router

BASE = "/api/2.0/secrets"
BACKEND = "DATABRICKS"
_USER = allows(Access.USER)


class CreateScope(BaseModel):
    """Body of scopes/create."""

    scope: str
    scope_backend_type: str | None = None
    backend_azure_keyvault: Any = None
    initial_manage_principal: str | None = None

    def check(self) -> None:
        """Raises InvalidParameter for a scope whose secrets would be kept elsewhere."""
        backend = (self.scope_backend_type or BACKEND).upper()
        if backend == "AZURE_KEYVAULT" or self.backend_azure_keyvault is not None:
            raise InvalidParameter(
                "scope_backend_type AZURE_KEYVAULT is not supported: Penstock keeps secrets in its own database, "
                f"as {BACKEND}."
            )
        if backend != BACKEND:
            raise InvalidParameter(f"scope_backend_type must be {BACKEND}.")


class Scope(BaseModel):
    """Body of scopes/delete."""

    scope: str


class PutSecret(BaseModel):
    """Body of put; one of the two values."""

    scope: str
    key: str
    string_value: SecretStr | None = None
    bytes_value: SecretStr | None = None

    def value(self) -> bytes:
        """The value; raises MalformedBody unless there is exactly one, InvalidParameter if it is not base64."""
        if (self.string_value is None) == (self.bytes_value is None):
            raise MalformedBody("Exactly one of string_value and bytes_value must be given.")
        if self.string_value is not None:
            return encoded(self.string_value.get_secret_value(), "string_value")
        assert self.bytes_value is not None
        decoded = _decoded(self.bytes_value.get_secret_value())
        if decoded is None:
            raise InvalidParameter("bytes_value must be base64.")
        return decoded


class Key(BaseModel):
    """Body of delete."""

    scope: str
    key: str


class PutAcl(BaseModel):
    """Body of acls/put."""

    scope: str
    principal: str
    permission: Permission


class DeleteAcl(BaseModel):
    """Body of acls/delete."""

    scope: str
    principal: str


def router(secrets: Secrets, scopes: SecretScopes) -> APIRouter:
    """Scopes, secrets, ACLs."""
    routes = guarded_router()
    _add_scopes(routes, scopes)
    _add_secrets(routes, secrets)
    _add_acls(routes, scopes)
    return routes


def _add_scopes(routes: APIRouter, scopes: SecretScopes) -> None:
    @routes.post(f"{BASE}/scopes/create", openapi_extra=_USER)
    async def create(body: CreateScope, caller: CallerDep) -> dict[str, Any]:
        body.check()
        await scopes.create(caller, body.scope, body.initial_manage_principal)
        return {}

    @routes.get(f"{BASE}/scopes/list", openapi_extra=_USER)
    async def list_scopes() -> dict[str, Any]:
        return {"scopes": [{"name": scope.name, "backend_type": BACKEND} for scope in await scopes.list()]}

    @routes.post(f"{BASE}/scopes/delete", openapi_extra=_USER)
    async def delete(body: Scope, caller: CallerDep) -> dict[str, Any]:
        await scopes.delete(caller, body.scope)
        return {}


def _add_secrets(routes: APIRouter, secrets: Secrets) -> None:
    @routes.post(f"{BASE}/put", openapi_extra=_USER)
    async def put(body: PutSecret, caller: CallerDep) -> dict[str, Any]:
        await secrets.put(caller, body.scope, body.key, body.value())
        return {}

    @routes.post(f"{BASE}/delete", openapi_extra=_USER)
    async def delete(body: Key, caller: CallerDep) -> dict[str, Any]:
        await secrets.delete(caller, body.scope, body.key)
        return {}

    @routes.get(f"{BASE}/list", openapi_extra=_USER)
    async def list_secrets(scope: str, caller: CallerDep) -> dict[str, Any]:
        found = await secrets.list(caller, scope)
        return {"secrets": [{"key": one.key, "last_updated_timestamp": one.updated_at} for one in found]}

    @routes.get(f"{BASE}/get", openapi_extra=_USER)
    async def get(scope: str, key: str, caller: CallerDep) -> dict[str, Any]:
        shown, value = await secrets.get(caller, scope, key)
        return {"key": shown, "value": base64.b64encode(value).decode()}


def _add_acls(routes: APIRouter, scopes: SecretScopes) -> None:
    @routes.post(f"{BASE}/acls/put", openapi_extra=_USER)
    async def put(body: PutAcl, caller: CallerDep) -> dict[str, Any]:
        await scopes.put_acl(caller, body.scope, AclItem(body.principal, body.permission))
        return {}

    @routes.post(f"{BASE}/acls/delete", openapi_extra=_USER)
    async def delete(body: DeleteAcl, caller: CallerDep) -> dict[str, Any]:
        await scopes.delete_acl(caller, body.scope, body.principal)
        return {}

    @routes.get(f"{BASE}/acls/get", openapi_extra=_USER)
    async def get(scope: str, principal: str, caller: CallerDep) -> dict[str, Any]:
        return _item(await scopes.acl_item(caller, scope, principal))

    @routes.get(f"{BASE}/acls/list", openapi_extra=_USER)
    async def list_acls(scope: str, caller: CallerDep) -> dict[str, Any]:
        # databricks-sdk reads `items`; who calls by plain HTTP reads `acls`, as the platform documents it.
        items = [_item(item) for item in await scopes.acl(caller, scope)]
        return {"items": items, "acls": items}


def _decoded(text: str) -> bytes | None:
    # Raising in here would leave the value in the error's context.
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _item(item: AclItem) -> dict[str, Any]:
    return {"principal": item.principal, "permission": item.permission.value}
