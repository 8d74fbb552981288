"""Users and service principals."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from penstock.control.acl_changes import AclChanges
from penstock.control.authenticator import Authenticator
from penstock.control.credentials import new_number
from penstock.domain.access import (
    ADMINS,
    USERS,
    Caller,
    Principal,
    PrincipalKind,
    check_groups,
    check_principal_name,
)
from penstock.domain.acl import grantee
from penstock.domain.errors import DoesNotExist, InvalidParameter
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit

_WORDS = {PrincipalKind.USER: "User", PrincipalKind.SERVICE_PRINCIPAL: "Service principal"}


class Principals:
    """What administrators do with users and service principals. The routes check that the caller is one."""

    def __init__(
        self, store: Store, clock: Clock, authenticator: Authenticator, acls: AclChanges | None = None
    ) -> None:
        """`acls` hears of the grants that principals leave."""
        self._store = store
        self._acls = acls or AclChanges()
        self._clock = clock
        self._authenticator = authenticator
        self._hearers: list[Callable[[Principal], None]] = []

    def on_change(self, hear: Callable[[Principal], None]) -> None:
        """Calls `hear` with every principal that was changed or removed."""
        self._hearers.append(hear)

    async def add_user(self, name: str, display_name: str, groups: frozenset[str], *, active: bool = True) -> Principal:
        """Adds a user; raises InvalidParameter, or AlreadyExists if the name is taken."""
        check_principal_name(name, "userName")
        return await self._add(name, display_name or name, PrincipalKind.USER, groups, active=active)

    async def add_service_principal(
        self, display_name: str, groups: frozenset[str], *, active: bool = True
    ) -> Principal:
        """Adds a service principal with a fresh application id as its name; raises InvalidParameter."""
        check_principal_name(display_name, "displayName")
        return await self._add(str(uuid.uuid4()), display_name, PrincipalKind.SERVICE_PRINCIPAL, groups, active=active)

    async def _add(
        self, name: str, display_name: str, kind: PrincipalKind, groups: frozenset[str], *, active: bool
    ) -> Principal:
        check_principal_name(display_name, "displayName")
        principal = Principal(new_number(), name, display_name, kind, check_groups(groups | {USERS}), active)
        async with self._store.unit() as unit:
            await _check_there(unit, groups)
            await unit.access.add_principal(principal, self._clock.now_ms())
        return principal

    async def list(self, kind: PrincipalKind) -> Sequence[Principal]:
        """All of that kind, by name."""
        async with self._store.unit() as unit:
            return await unit.access.principals(kind)

    async def get(self, kind: PrincipalKind, principal_id: str) -> Principal:
        """One of that kind; raises DoesNotExist."""
        async with self._store.unit() as unit:
            return await self._find(unit, kind, principal_id)

    async def change(
        self,
        kind: PrincipalKind,
        principal_id: str,
        *,
        display_name: str | None = None,
        groups: frozenset[str] | None = None,
        active: bool | None = None,
    ) -> Principal:
        """Changes what is given, at once; raises DoesNotExist, or InvalidParameter for the last administrator."""
        async with self._store.unit() as unit:
            before = await self._find(unit, kind, principal_id)
            after = replace(
                before,
                display_name=before.display_name if display_name is None else display_name,
                groups=before.groups if groups is None else check_groups(groups | {USERS}),
                active=before.active if active is None else active,
            )
            check_principal_name(after.display_name, "displayName")
            await _check_there(unit, after.groups - before.groups)
            await unit.access.save_principal(after)
            await keep_an_administrator(unit)
        self.tell([after])
        return after

    async def remove(self, kind: PrincipalKind, principal_id: str, caller: Caller) -> None:
        """Removes the principal with its tokens and secrets; raises DoesNotExist, InvalidParameter."""
        if principal_id == caller.principal.id:
            raise InvalidParameter("You cannot remove yourself.")
        async with self._acls.unit(self._store) as changing:
            unit = changing.unit
            found = await self._find(unit, kind, principal_id)
            await unit.access.remove_principal(principal_id)
            # Whoever gets the name next gets neither the secrets nor the grants.
            await unit.secrets.forget_principal(found.name)
            await unit.grants.forget_principal(found.name)
            await changing.forget(grantee(found))
            await keep_an_administrator(unit)
        self.tell([found])

    def tell(self, changed: Iterable[Principal]) -> None:
        """Principals changed or are gone: they are looked up at their next requests."""
        for principal in changed:
            self._authenticator.forget_principal(principal.id)
            for hear in self._hearers:
                hear(principal)

    async def _find(self, unit: Unit, kind: PrincipalKind, principal_id: str) -> Principal:
        found = await unit.access.principal(principal_id)
        if found is None or found.kind is not kind:
            raise DoesNotExist(f"{_WORDS[kind]} with id '{principal_id}' does not exist.")
        return found


async def _check_there(unit: Unit, groups: Iterable[str]) -> None:
    for name in sorted(groups):
        if await unit.groups.named(name) is None:
            raise InvalidParameter(f"groups: there is no group '{name[:80]}'; make it first.")


async def keep_an_administrator(unit: Unit) -> None:
    """Raises InvalidParameter if nobody is left who may administer."""
    for kind in PrincipalKind:
        for principal in await unit.access.principals(kind):
            if principal.active and ADMINS in principal.groups:
                return
    raise InvalidParameter(f"The last active member of the group '{ADMINS}' must stay.")
