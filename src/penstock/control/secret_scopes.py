"""Secret scopes and who may use them."""

from collections.abc import Sequence

from penstock.control.secret_memory import SecretMemory
from penstock.control.secrets import acl_of
from penstock.domain.access import USERS, Caller, check_principal_name
from penstock.domain.errors import AlreadyExists, DoesNotExist, InvalidParameter, ResourceLimitExceeded, ScopeExists
from penstock.domain.secret import MAX_SCOPES, OWN, AclItem, Permission, SecretScope, check_scope
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit


class SecretScopes:
    """What callers do with scopes and their ACLs. Names are no secret: every caller may list the scopes."""

    def __init__(self, store: Store, clock: Clock, memory: SecretMemory) -> None:
        self._store = store
        self._clock = clock
        self._memory = memory

    async def create(self, caller: Caller, name: str, manager: str | None) -> None:
        """Adds a scope that `manager`, only ever the group of all users, or else the caller manages.

        Raises InvalidParameter, ScopeExists, ResourceLimitExceeded.
        """
        scope = SecretScope(check_scope(name), self._clock.now_ms())
        if manager not in (None, "", USERS):
            raise InvalidParameter(f"initial_manage_principal may only be '{USERS}'; without it the caller manages.")
        async with self._store.unit() as unit:
            if len(_listed(await unit.secrets.scopes())) >= MAX_SCOPES:
                raise ResourceLimitExceeded(f"There are {MAX_SCOPES} secret scopes, which is the limit.")
            try:
                await unit.secrets.add_scope(scope)
            except AlreadyExists as error:
                raise ScopeExists(error.message) from error
            await unit.secrets.put_acl(name, AclItem(manager or caller.principal.name, Permission.MANAGE))

    async def list(self) -> Sequence[SecretScope]:
        """All scopes that callers made, by name."""
        async with self._store.unit() as unit:
            return _listed(await unit.secrets.scopes())

    async def delete(self, caller: Caller, name: str) -> None:
        """Removes a scope with its secrets; raises InvalidParameter, DoesNotExist, PermissionDenied."""
        async with self._store.unit() as unit:
            await acl_of(unit, check_scope(name), caller.principal, Permission.MANAGE)
            await unit.secrets.remove_scope(name)
        self._memory.forget(name)

    async def put_acl(self, caller: Caller, scope: str, item: AclItem) -> None:
        """Sets what a user, a service principal or a group may do.

        Raises InvalidParameter, also if there is no such principal, DoesNotExist for the scope, PermissionDenied.
        """
        check_principal_name(item.principal, "principal")
        async with self._store.unit() as unit:
            await acl_of(unit, check_scope(scope), caller.principal, Permission.MANAGE)
            if not await _is_there(unit, item.principal):
                raise InvalidParameter(f"principal: there is no user, service principal or group '{item.principal}'.")
            await unit.secrets.put_acl(scope, item)
        self._memory.forget(scope)

    async def delete_acl(self, caller: Caller, scope: str, principal: str) -> None:
        """Takes a principal's permission away; raises InvalidParameter, DoesNotExist, PermissionDenied."""
        async with self._store.unit() as unit:
            await acl_of(unit, check_scope(scope), caller.principal, Permission.MANAGE)
            if not await unit.secrets.remove_acl(scope, principal):
                raise _no_item(scope, principal)
        self._memory.forget(scope)

    async def acl(self, caller: Caller, scope: str) -> Sequence[AclItem]:
        """A scope's ACL, by principal; raises InvalidParameter, DoesNotExist, PermissionDenied."""
        async with self._store.unit() as unit:
            return await acl_of(unit, check_scope(scope), caller.principal, Permission.MANAGE)

    async def acl_item(self, caller: Caller, scope: str, principal: str) -> AclItem:
        """A principal's item of it; raises InvalidParameter, DoesNotExist, PermissionDenied."""
        for item in await self.acl(caller, scope):
            if item.principal == principal:
                return item
        raise _no_item(scope, principal)


def _listed(scopes: Sequence[SecretScope]) -> Sequence[SecretScope]:
    return [scope for scope in scopes if not scope.name.startswith(OWN)]


def _no_item(scope: str, principal: str) -> DoesNotExist:
    return DoesNotExist(f"Scope {scope} has no ACL for principal {principal[:255]}.")


async def _is_there(unit: Unit, name: str) -> bool:
    return await unit.groups.named(name) is not None or await unit.access.principal_named(name) is not None
