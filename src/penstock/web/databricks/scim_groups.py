"""The administration of groups: /api/2.0/preview/scim/v2/Groups."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from penstock.control.groups import Gathering, GroupChange, Groups
from penstock.domain.errors import InvalidParameter
from penstock.web.databricks.scim_shapes import (
    BASE,
    SCHEMAS,
    ListingDep,
    Member,
    Patch,
    ShownDep,
    Step,
    member_resource,
    steps,
)
from penstock.web.guard import Access, allows, guarded_router

_ADMIN = allows(Access.ADMIN)


class NewGroup(BaseModel):
    """Body of POST and PUT; `groups`, `roles` and `entitlements` are read over."""

    display_name: str = Field(alias="displayName")
    members: list[Member] = Field(default_factory=list)

    def ids(self) -> list[str]:
        """The ids of the members."""
        return _ids(self.members)


def router(groups: Groups) -> APIRouter:
    """Groups by id."""
    routes = guarded_router()

    @routes.get(f"{BASE}/Groups", openapi_extra=_ADMIN)
    async def list_them(listing: ListingDep, shown: ShownDep) -> dict[str, Any]:
        found = [_resource(one) for one in await groups.list()]
        return listing.of(found, ("id", "displayName"), shown)

    @routes.post(f"{BASE}/Groups", status_code=201, openapi_extra=_ADMIN)
    async def add(body: NewGroup) -> dict[str, Any]:
        return _resource(await groups.add(body.display_name, body.ids()))

    @routes.get(f"{BASE}/Groups/{{group_id}}", openapi_extra=_ADMIN)
    async def get(group_id: str, shown: ShownDep) -> dict[str, Any]:
        return shown.of(_resource(await groups.get(group_id)))

    @routes.put(f"{BASE}/Groups/{{group_id}}", openapi_extra=_ADMIN)
    async def replace(group_id: str, body: NewGroup) -> dict[str, Any]:
        return _resource(await groups.change(group_id, GroupChange(body.display_name, body.ids())))

    @routes.patch(f"{BASE}/Groups/{{group_id}}", openapi_extra=_ADMIN)
    async def patch(group_id: str, body: Patch) -> dict[str, Any]:
        return _resource(await groups.change(group_id, _change(steps(body.operations))))

    @routes.delete(f"{BASE}/Groups/{{group_id}}", openapi_extra=_ADMIN)
    async def delete(group_id: str) -> dict[str, Any]:
        await groups.remove(group_id)
        return {}

    return routes


def _change(taken: list[Step]) -> GroupChange:
    """What the steps come to, one after the other; raises InvalidParameter for one that cannot be taken."""
    name: str | None = None
    members: list[str] | None = None
    join: dict[str, None] = {}
    leave: dict[str, None] = {}
    for step in taken:
        if step.field == "displayName" and step.op != "remove" and isinstance(step.value, str):
            name = step.value
        elif step.field != "members":
            raise step.unsupported()
        elif step.op == "replace" or (step.op == "remove" and step.value is None):
            members, join, leave = [] if step.value is None else _ids(step.members()), {}, {}
        else:
            into, out_of = (join, leave) if step.op == "add" else (leave, join)
            for key in _ids(step.members()):
                out_of.pop(key, None)
                into[key] = None
    return GroupChange(name, members, tuple(join), tuple(leave))


def _ids(members: list[Member]) -> list[str]:
    for one in members:
        if not one.value:
            raise InvalidParameter("members: each must have the id of a user or service principal in value.")
    return [one.value for one in members if one.value]


def _resource(gathering: Gathering) -> dict[str, Any]:
    return {
        "schemas": [SCHEMAS + "Group"],
        "id": gathering.group.id,
        "displayName": gathering.group.name,
        "members": [member_resource(one) for one in gathering.members],
        "groups": [],
        "roles": [],
        "entitlements": [],
        "meta": {"resourceType": "WorkspaceGroup"},
    }
