"""Who may do what with endpoints: read and changed by the endpoint's id."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from penstock.control.acl_changes import AclChanges
from penstock.domain.access import Caller, PermissionLevel, Principal
from penstock.domain.acl import (
    Acl,
    Grantee,
    GranteeKind,
    grantee,
    require_manage,
    require_view,
    wanted_acl,
)
from penstock.domain.endpoint import Endpoint
from penstock.domain.errors import DoesNotExist
from penstock.ports.store import Store, Unit

Grants = Iterable[tuple[Grantee, PermissionLevel]]


@dataclass(frozen=True, slots=True)
class Permissions:
    """An endpoint's grants; `display_names` has those of the principals in them."""

    endpoint_id: str
    acl: Acl
    display_names: Mapping[Grantee, str]


class EndpointPermissions:
    """The grants on endpoints."""

    def __init__(self, store: Store, changes: AclChanges) -> None:
        self._store = store
        self._changes = changes

    async def get(self, caller: Caller, endpoint_id: str) -> Permissions:
        """The grants; raises DoesNotExist, or PermissionDenied unless the caller may view the endpoint."""
        async with self._store.unit() as unit:
            endpoint = await _of_id(unit, endpoint_id)
            require_view(caller, endpoint.acl, endpoint.name)
            return await _shown(unit, endpoint.id, endpoint.acl)

    async def replace(self, caller: Caller, endpoint_id: str, grants: Grants) -> Permissions:
        """Puts grants in place of those there are; the creator's stays.

        Raises DoesNotExist for an endpoint or grantee that is not there, PermissionDenied unless the caller manages the
        endpoint, InvalidParameter.
        """
        return await self._change(caller, endpoint_id, grants, merge=False)

    async def merge(self, caller: Caller, endpoint_id: str, grants: Grants) -> Permissions:
        """Adds grants, which win over those that the same grantees have; raises what `replace` raises."""
        return await self._change(caller, endpoint_id, grants, merge=True)

    async def _change(self, caller: Caller, endpoint_id: str, grants: Grants, *, merge: bool) -> Permissions:
        async with self._changes.unit(self._store) as changing:
            unit = changing.unit
            endpoint = await _of_id(unit, endpoint_id)
            require_manage(caller, endpoint.acl, endpoint.name)
            wanted = wanted_acl(grants, endpoint.acl, endpoint.creator)
            for who in wanted.levels:
                await _check_there(unit, who)
            change = endpoint.acl.merged if merge else endpoint.acl.replaced
            acl = change(wanted, endpoint.creator)
            await changing.set(endpoint.id, acl)
            return await _shown(unit, endpoint.id, acl)

    async def check_view(self, caller: Caller, endpoint_id: str) -> None:
        """Raises DoesNotExist, or PermissionDenied unless the caller may view the endpoint."""
        async with self._store.unit() as unit:
            endpoint = await _of_id(unit, endpoint_id)
        require_view(caller, endpoint.acl, endpoint.name)


async def _of_id(unit: Unit, endpoint_id: str) -> Endpoint:
    endpoint = await unit.endpoints.by_id(endpoint_id)
    if endpoint is None or endpoint.deleted:
        raise DoesNotExist(f"Endpoint with id '{endpoint_id[:80]}' does not exist.")
    return endpoint


async def _check_there(unit: Unit, who: Grantee) -> None:
    if who.kind is GranteeKind.GROUP:
        found: Grantee | None = who if await unit.groups.named(who.name) is not None else None
    else:
        principal = await unit.access.principal_named(who.name)
        found = grantee(principal) if principal is not None else None
    if found != who:
        raise DoesNotExist(f"access_control_list: there is no {who.kind} '{who.name[:255]}'.")


async def _shown(unit: Unit, endpoint_id: str, acl: Acl) -> Permissions:
    names: dict[Grantee, str] = {}
    for who in acl.levels:
        principal: Principal | None = None
        if who.kind is not GranteeKind.GROUP:
            principal = await unit.access.principal_named(who.name)
        if principal is not None:
            names[who] = principal.display_name
    return Permissions(endpoint_id, acl, names)
