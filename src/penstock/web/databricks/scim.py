"""Who I am, and the administration of users and service principals: /api/2.0/preview/scim/v2/*."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, TypeAdapter

from penstock.control.groups import Groups
from penstock.control.principals import Principals
from penstock.domain.access import PrincipalKind
from penstock.domain.errors import InvalidParameter
from penstock.web.databricks.scim_shapes import (
    BASE,
    NOUNS,
    ListingDep,
    Member,
    Patch,
    ShownDep,
    Step,
    named,
    principal_resource,
    steps,
)
from penstock.web.guard import Access, CallerDep, allows, guarded_router

_ADMIN = allows(Access.ADMIN)
_FILTERED = ("id", "userName", "displayName", "applicationId")
_FLAG = TypeAdapter(bool)


class PersonName(BaseModel):
    """The two parts of a user's name."""

    given_name: str = Field(default="", alias="givenName")
    family_name: str = Field(default="", alias="familyName")


class NewUser(BaseModel):
    """Body of POST Users; `emails`, `roles`, `entitlements` and `externalId` are read over."""

    user_name: str = Field(alias="userName")
    display_name: str = Field(default="", alias="displayName")
    name: PersonName = Field(default_factory=PersonName)
    groups: list[Member] = Field(default_factory=list)
    active: bool = True

    def shown_name(self) -> str:
        """The display name, or else one made of the two parts."""
        return self.display_name or f"{self.name.given_name} {self.name.family_name}".strip()


class NewServicePrincipal(BaseModel):
    """Body of POST ServicePrincipals; the application id is made here."""

    display_name: str = Field(alias="displayName")
    groups: list[Member] = Field(default_factory=list)
    active: bool = True


class Replacement(BaseModel):
    """Body of PUT. What is not given stays as it is; names that principals are known by never change."""

    user_name: str | None = Field(default=None, alias="userName")
    application_id: str | None = Field(default=None, alias="applicationId")
    display_name: str | None = Field(default=None, alias="displayName")
    groups: list[Member] | None = None
    active: bool | None = None

    def check_name(self, name: str) -> None:
        """Raises InvalidParameter if the principal would get another name than it has."""
        for field, given in (("userName", self.user_name), ("applicationId", self.application_id)):
            if given is not None and given != name:
                raise InvalidParameter(f"{field} cannot be changed.")


def router(principals: Principals, groups: Groups) -> APIRouter:
    """Me, and Users and ServicePrincipals by id."""
    routes = guarded_router()

    @routes.get(f"{BASE}/Me", openapi_extra=allows(Access.USER))
    async def me(caller: CallerDep, shown: ShownDep) -> dict[str, Any]:
        return shown.of(principal_resource(caller.principal, await groups.ids()))

    @routes.post(f"{BASE}/Users", status_code=201, openapi_extra=_ADMIN)
    async def add_user(body: NewUser) -> dict[str, Any]:
        ids = await groups.ids()
        wanted = named(body.groups, ids)
        made = await principals.add_user(body.user_name, body.shown_name(), wanted, active=body.active)
        return principal_resource(made, ids)

    @routes.post(f"{BASE}/ServicePrincipals", status_code=201, openapi_extra=_ADMIN)
    async def add_service_principal(body: NewServicePrincipal) -> dict[str, Any]:
        ids = await groups.ids()
        wanted = named(body.groups, ids)
        made = await principals.add_service_principal(body.display_name, wanted, active=body.active)
        return principal_resource(made, ids)

    for noun, kind in NOUNS.items():
        _read(routes, principals, groups, noun, kind)
        _change(routes, principals, groups, noun, kind)
    return routes


def _read(routes: APIRouter, principals: Principals, groups: Groups, noun: str, kind: PrincipalKind) -> None:
    @routes.get(f"{BASE}/{noun}", openapi_extra=_ADMIN)
    async def list_them(listing: ListingDep, shown: ShownDep) -> dict[str, Any]:
        ids = await groups.ids()
        found = [principal_resource(principal, ids) for principal in await principals.list(kind)]
        return listing.of(found, _FILTERED, shown)

    @routes.get(f"{BASE}/{noun}/{{principal_id}}", openapi_extra=_ADMIN)
    async def get(principal_id: str, shown: ShownDep) -> dict[str, Any]:
        return shown.of(principal_resource(await principals.get(kind, principal_id), await groups.ids()))


def _change(routes: APIRouter, principals: Principals, groups: Groups, noun: str, kind: PrincipalKind) -> None:
    @routes.put(f"{BASE}/{noun}/{{principal_id}}", openapi_extra=_ADMIN)
    async def replace(principal_id: str, body: Replacement) -> dict[str, Any]:
        ids = await groups.ids()
        body.check_name((await principals.get(kind, principal_id)).name)
        wanted = None if body.groups is None else named(body.groups, ids)
        after = await principals.change(
            kind, principal_id, display_name=body.display_name, groups=wanted, active=body.active
        )
        return principal_resource(after, ids)

    @routes.patch(f"{BASE}/{noun}/{{principal_id}}", openapi_extra=_ADMIN)
    async def patch(principal_id: str, body: Patch) -> dict[str, Any]:
        ids = await groups.ids()
        before = await principals.get(kind, principal_id)
        wanted = _wanted(steps(body.operations), before.groups, ids)
        return principal_resource(await principals.change(kind, principal_id, **wanted), ids)

    @routes.delete(f"{BASE}/{noun}/{{principal_id}}", openapi_extra=_ADMIN)
    async def delete(principal_id: str, caller: CallerDep) -> dict[str, Any]:
        await principals.remove(kind, principal_id, caller)
        return {}


def _wanted(taken: list[Step], groups: frozenset[str], ids: Mapping[str, str]) -> dict[str, Any]:
    """What steps come to, for `Principals.change`; raises InvalidParameter for one that cannot be taken."""
    wanted: dict[str, Any] = {}
    for step in taken:
        if step.field == "groups":
            given = named(step.members(), ids)
            groups = {"add": groups | given, "remove": groups - given, "replace": given}[step.op]
            wanted["groups"] = groups
        elif step.field == "active" and step.op != "remove":
            wanted["active"] = _flag(step.value)
        elif step.field == "displayName" and step.op != "remove":
            if not isinstance(step.value, str):
                raise InvalidParameter("Operations: displayName must be a string.")
            wanted["display_name"] = step.value
        else:
            raise step.unsupported()
    return wanted


def _flag(value: object) -> bool:
    try:
        return _FLAG.validate_python(value)
    except ValueError as error:
        raise InvalidParameter("Operations: active must be a boolean.") from error
