"""Grants on endpoints: /api/2.0/permissions/serving-endpoints/{id}, by the endpoint's id."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from penstock.control.permissions import EndpointPermissions, Permissions
from penstock.domain.access import PermissionLevel
from penstock.domain.acl import ADMINISTRATORS, Grantee, GranteeKind
from penstock.domain.errors import InvalidParameter
from penstock.web.guard import Access, CallerDep, allows, guarded_router

PATH = "/api/2.0/permissions/serving-endpoints/{endpoint_id}"
_USER = allows(Access.USER)
_DESCRIPTIONS = {
    PermissionLevel.CAN_VIEW: "Can see the endpoint, its configuration, its logs and its metrics",
    PermissionLevel.CAN_QUERY: "Can view the endpoint and send requests to it",
    PermissionLevel.CAN_MANAGE: "Can query the endpoint, change it, delete it, and say who may do what with it",
}


class GrantBody(BaseModel):
    """A grant: a level, and one of the three who may have it."""

    user_name: str | None = None
    group_name: str | None = None
    service_principal_name: str | None = None
    permission_level: PermissionLevel

    def grant(self) -> tuple[Grantee, PermissionLevel]:
        """The grant; raises InvalidParameter unless exactly one is named."""
        given = [Grantee(kind, name) for kind in GranteeKind if (name := getattr(self, kind.value))]
        if len(given) != 1:
            raise InvalidParameter(
                f"access_control_list: each entry must name exactly one of {', '.join(kind for kind in GranteeKind)}."
            )
        return given[0], self.permission_level


class PermissionsBody(BaseModel):
    """Body of PUT and PATCH."""

    access_control_list: list[GrantBody] = Field(default_factory=list)

    def grants(self) -> list[tuple[Grantee, PermissionLevel]]:
        """The grants; raises InvalidParameter."""
        return [one.grant() for one in self.access_control_list]


def router(permissions: EndpointPermissions) -> APIRouter:
    """The routes."""
    routes = guarded_router()

    @routes.get(PATH, openapi_extra=_USER)
    async def get(endpoint_id: str, caller: CallerDep) -> dict[str, Any]:
        return _answer(await permissions.get(caller, endpoint_id))

    @routes.put(PATH, openapi_extra=_USER)
    async def replace(endpoint_id: str, body: PermissionsBody, caller: CallerDep) -> dict[str, Any]:
        return _answer(await permissions.replace(caller, endpoint_id, body.grants()))

    @routes.patch(PATH, openapi_extra=_USER)
    async def merge(endpoint_id: str, body: PermissionsBody, caller: CallerDep) -> dict[str, Any]:
        return _answer(await permissions.merge(caller, endpoint_id, body.grants()))

    @routes.get(PATH + "/permissionLevels", openapi_extra=_USER)
    async def levels(endpoint_id: str, caller: CallerDep) -> dict[str, Any]:
        await permissions.check_view(caller, endpoint_id)
        shown = [{"permission_level": level, "description": text} for level, text in _DESCRIPTIONS.items()]
        return {"permission_levels": shown}

    return routes


def _answer(permissions: Permissions) -> dict[str, Any]:
    own = [
        {**_named(who, permissions), "all_permissions": [{"permission_level": level, "inherited": False}]}
        for who, level in permissions.acl.levels.items()
    ]
    inherited = {
        "permission_level": PermissionLevel.CAN_MANAGE,
        "inherited": True,
        "inherited_from_object": ["/"],
    }
    return {
        "object_id": f"/serving-endpoints/{permissions.endpoint_id}",
        "object_type": "serving-endpoint",
        "access_control_list": [*own, {**_named(ADMINISTRATORS, permissions), "all_permissions": [inherited]}],
    }


def _named(who: Grantee, permissions: Permissions) -> dict[str, Any]:
    shown = {who.kind.value: who.name}
    display_name = permissions.display_names.get(who)
    return shown if display_name is None else {**shown, "display_name": display_name}
