"""Grants: /api/2.1/unity-catalog/{permissions,effective-permissions,...}/{securable_type}/{full_name}."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from penstock.control.grants import CatalogGrants, Name
from penstock.domain.access import Caller
from penstock.domain.errors import InvalidParameter
from penstock.domain.grant import Effective, GrantChange, Grants, SecurableKind, grantee_of, kind_of, privilege_of
from penstock.domain.names import ModelName, SchemaName, check_level
from penstock.web.databricks.uc_namespaces import BASE
from penstock.web.guard import Access, CallerDep, allows, guarded_router

LEAST_PAGE = 150
_USER = allows(Access.USER)
_ONE = "{securable_type}/{full_name}"


class Change(BaseModel):
    """What one principal gets and loses."""

    principal: str
    add: Annotated[list[str], Field(default_factory=list)]
    remove: Annotated[list[str], Field(default_factory=list)]


class Changes(BaseModel):
    """Body of a change."""

    changes: Annotated[list[Change], Field(default_factory=list)]
    omit_permissions_in_response: bool = False


def router(grants: CatalogGrants) -> APIRouter:
    """All of them. Answers hold everything: there is never a next page."""
    routes = guarded_router()
    _add_reading(routes, grants)

    @routes.patch(f"{BASE}/permissions/{_ONE}", openapi_extra=_USER)
    async def change(securable_type: str, full_name: str, body: Changes, caller: CallerDep) -> dict[str, Any]:
        changes = [
            GrantChange(
                grantee_of(one.principal),
                frozenset(privilege_of(each, "changes.add") for each in one.add),
                frozenset(privilege_of(each, "changes.remove") for each in one.remove),
            )
            for one in body.changes
        ]
        left = await grants.change(caller, _name(securable_type, full_name), changes)
        return {} if body.omit_permissions_in_response else {"privilege_assignments": _assigned(left)}

    return routes


def _add_reading(routes: APIRouter, grants: CatalogGrants) -> None:
    """What is granted on the securable itself, and what counts for it; each by two names that clients have.

    The newer of the latter answers in a field of its own.
    """
    own, counting = _Reading(grants.of, _assigned), _Reading(grants.effective, _inherited)
    _read(routes, "permissions", own)
    _read(routes, "privilege-assignments", own)
    _read(routes, "effective-permissions", counting)
    _read(routes, "effective-privilege-assignments", counting, "effective_privilege_assignments")


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is read, and how it is told."""

    find: Callable[[Caller, Name], Awaitable[Mapping[str, Any]]]
    tell: Callable[[Mapping[str, Any]], list[dict[str, Any]]]


def _read(routes: APIRouter, path: str, reading: _Reading, field: str = "privilege_assignments") -> None:
    @routes.get(f"{BASE}/{path}/{_ONE}", openapi_extra=_USER)
    async def get(
        securable_type: str,
        full_name: str,
        caller: CallerDep,
        *,
        principal: str = "",
        max_results: int | None = None,
        page_size: int | None = None,
        page_token: str = "",
    ) -> dict[str, Any]:
        _check_page(max_results, page_size, page_token)
        found = await reading.find(caller, _name(securable_type, full_name))
        wanted = grantee_of(principal)
        return {field: reading.tell({name: given for name, given in found.items() if wanted in ("", name)})}


def _name(securable_type: str, full_name: str) -> Name:
    kind = kind_of(securable_type)
    if kind is SecurableKind.CATALOG:
        return check_level(full_name, "full_name")
    return SchemaName.parse(full_name) if kind is SecurableKind.SCHEMA else ModelName.parse(full_name, "full_name")


def _check_page(max_results: int | None, page_size: int | None, page_token: str) -> None:
    for field, given in (("max_results", max_results), ("page_size", page_size)):
        if given is not None and given != 0 and given < LEAST_PAGE:
            raise InvalidParameter(f"{field} must be 0 or at least {LEAST_PAGE}, but is {given}.")
    if page_token:
        raise InvalidParameter("page_token is not one that this list gave out: it has one page.")


def _assigned(grants: Grants) -> list[dict[str, Any]]:
    return [{"principal": name, "privileges": sorted(given)} for name, given in sorted(grants.items())]


def _inherited(found: Mapping[str, Sequence[Effective]]) -> list[dict[str, Any]]:
    return [{"principal": name, "privileges": [_told(one) for one in given]} for name, given in found.items()]


def _told(one: Effective) -> dict[str, str]:
    if one.origin is None:
        return {"privilege": one.privilege.value}
    return {
        "privilege": one.privilege.value,
        "inherited_from_type": one.origin.kind.value,
        "inherited_from_name": one.origin.name,
    }
