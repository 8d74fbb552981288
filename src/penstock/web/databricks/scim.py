"""Who I am, and the administration of users and service principals: /api/2.0/preview/scim/v2/*."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, TypeAdapter

from penstock.control.principals import Principals
from penstock.domain.access import Principal, PrincipalKind
from penstock.domain.errors import InvalidParameter
from penstock.web.guard import Access, CallerDep, allows, guarded_router

BASE = "/api/2.0/preview/scim/v2"
_SCHEMAS = "urn:ietf:params:scim:schemas:core:2.0:"
_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_FILTERED = {name.casefold(): name for name in ("id", "userName", "displayName", "applicationId")}
_EQUALITY = re.compile(rf'(?P<field>{"|".join(_FILTERED)})\s+eq\s+"?(?P<value>[^"]*)"?', re.IGNORECASE)
MOST_LISTED = 10_000
_KINDS = {"Users": PrincipalKind.USER, "ServicePrincipals": PrincipalKind.SERVICE_PRINCIPAL}


class Member(BaseModel):
    """A group that a principal is in; clients give its name in one of the two."""

    display: str | None = None
    value: str | None = None

    @property
    def name(self) -> str:
        """The group's name."""
        return self.display or self.value or ""


_MEMBERS = TypeAdapter(list[Member])


class NewUser(BaseModel):
    """Body of POST Users."""

    user_name: str = Field(alias="userName")
    display_name: str = Field(default="", alias="displayName")
    groups: list[Member] = Field(default_factory=list)
    active: bool = True


class NewServicePrincipal(BaseModel):
    """Body of POST ServicePrincipals."""

    display_name: str = Field(alias="displayName")
    groups: list[Member] = Field(default_factory=list)
    active: bool = True


class Operation(BaseModel):
    """One change of a PATCH."""

    op: str
    path: str | None = None
    value: Any = None


class Patch(BaseModel):
    """Body of PATCH."""

    operations: list[Operation] = Field(alias="Operations", min_length=1)


class Changes(BaseModel):
    """What the operations of a PATCH come to; None leaves a field as it is."""

    active: bool | None = None
    display_name: str | None = Field(default=None, alias="displayName")
    groups: list[Member] | None = None


def router(principals: Principals) -> APIRouter:
    """Me, and Users and ServicePrincipals by id."""
    routes = guarded_router()

    @routes.get(f"{BASE}/Me", openapi_extra=allows(Access.USER))
    async def me(caller: CallerDep) -> dict[str, Any]:
        return scim(caller.principal)

    @routes.post(f"{BASE}/Users", status_code=201, openapi_extra=allows(Access.ADMIN))
    async def add_user(body: NewUser) -> dict[str, Any]:
        groups = frozenset(member.name for member in body.groups)
        return scim(await principals.add_user(body.user_name, body.display_name, groups, active=body.active))

    @routes.post(f"{BASE}/ServicePrincipals", status_code=201, openapi_extra=allows(Access.ADMIN))
    async def add_service_principal(body: NewServicePrincipal) -> dict[str, Any]:
        groups = frozenset(member.name for member in body.groups)
        return scim(await principals.add_service_principal(body.display_name, groups, active=body.active))

    for noun, kind in _KINDS.items():
        _add_by_id(routes, principals, noun, kind)
    return routes


def _add_by_id(routes: APIRouter, principals: Principals, noun: str, kind: PrincipalKind) -> None:
    """The routes that users and service principals have alike."""

    @routes.get(f"{BASE}/{noun}", openapi_extra=allows(Access.ADMIN))
    async def list_them(
        start: Annotated[int, Query(alias="startIndex", ge=0)] = 1,
        count: Annotated[int, Query(ge=0)] = MOST_LISTED,
        wanted: Annotated[str, Query(alias="filter")] = "",
    ) -> dict[str, Any]:
        found = [scim(principal) for principal in await principals.list(kind)]
        if wanted:
            field, value = _equality(wanted)
            found = [one for one in found if str(one.get(field, "")).casefold() == value.casefold()]
        # Clients ask on until a page is empty; the first is 1, and some say 0.
        first = max(start, 1)
        page = found[first - 1 : first - 1 + min(count, MOST_LISTED)]
        return {
            "schemas": [_LIST],
            "totalResults": len(found),
            "startIndex": first,
            "itemsPerPage": len(page),
            "Resources": page,
        }

    @routes.get(f"{BASE}/{noun}/{{principal_id}}", openapi_extra=allows(Access.ADMIN))
    async def get(principal_id: str) -> dict[str, Any]:
        return scim(await principals.get(kind, principal_id))

    @routes.patch(f"{BASE}/{noun}/{{principal_id}}", openapi_extra=allows(Access.ADMIN))
    async def patch(principal_id: str, body: Patch) -> dict[str, Any]:
        before = await principals.get(kind, principal_id)
        wanted = _changes(body.operations, before.groups)
        groups = None if wanted.groups is None else frozenset(member.name for member in wanted.groups)
        return scim(
            await principals.change(
                kind, principal_id, display_name=wanted.display_name, groups=groups, active=wanted.active
            )
        )

    @routes.delete(f"{BASE}/{noun}/{{principal_id}}", openapi_extra=allows(Access.ADMIN))
    async def delete(principal_id: str, caller: CallerDep) -> dict[str, Any]:
        await principals.remove(kind, principal_id, caller)
        return {}


def _equality(wanted: str) -> tuple[str, str]:
    """The field and the value of `field eq "value"`; raises InvalidParameter for other filters."""
    found = _EQUALITY.fullmatch(wanted.strip())
    if found is None:
        raise InvalidParameter(
            f"filter must be one of {', '.join(_FILTERED.values())} eq \"...\", but is '{wanted[:80]}'."
        )
    return _FILTERED[found["field"].casefold()], found["value"]


def _changes(operations: list[Operation], groups: frozenset[str]) -> Changes:
    """Replaces of active and displayName, and add, remove and replace of groups; raises InvalidParameter for others."""
    wanted: dict[str, Any] = {}
    for operation in operations:
        op, path, value = operation.op.lower(), operation.path, operation.value
        fields = value if path is None and isinstance(value, dict) else {path: value}
        for field, given in fields.items():
            if field == "groups" and op in ("add", "remove"):
                named = frozenset(_names(given))
                groups = groups | named if op == "add" else groups - named
                wanted["groups"] = [Member(display=name) for name in groups]
            elif field in ("active", "displayName", "groups") and op in ("add", "replace"):
                wanted[field] = given
            else:
                raise InvalidParameter(f"Operations: '{op}' of '{field}' is not supported.")
    try:
        return Changes.model_validate(wanted)
    except ValueError as error:
        raise InvalidParameter("Operations: active must be a boolean, displayName a string, groups a list.") from error


def _names(given: Any) -> list[str]:
    try:
        return [member.name for member in _MEMBERS.validate_python(given)]
    except ValueError as error:
        raise InvalidParameter("Operations: the value of groups must be a list of {display}.") from error


def scim(principal: Principal) -> dict[str, Any]:
    """A principal as SCIM shows it."""
    shown: dict[str, Any] = {
        "id": principal.id,
        "displayName": principal.display_name,
        "active": principal.active,
        "groups": [{"display": name, "value": name, "type": "direct"} for name in sorted(principal.groups)],
        "roles": [],
        "entitlements": [{"value": "workspace-access"}],
        "externalId": principal.id,
    }
    if principal.kind is PrincipalKind.SERVICE_PRINCIPAL:
        named = {"userName": principal.name, "applicationId": principal.name}
        return {"schemas": [_SCHEMAS + "ServicePrincipal"], **shown, **named}
    given, _, family = principal.display_name.partition(" ")
    return {
        "schemas": [_SCHEMAS + "User"],
        **shown,
        "userName": principal.name,
        "emails": [{"value": principal.name, "type": "work", "primary": True}],
        "name": {"givenName": given, "familyName": family},
    }
