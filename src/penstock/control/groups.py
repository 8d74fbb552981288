"""Groups of users and service principals."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from penstock.control.acl_changes import AclChanges
from penstock.control.credentials import new_number
from penstock.control.principals import Principals, keep_an_administrator
from penstock.control.secret_memory import SecretMemory
from penstock.domain.access import Principal, PrincipalKind, check_principal_name
from penstock.domain.acl import Grantee, GranteeKind
from penstock.domain.errors import DoesNotExist, InvalidParameter
from penstock.domain.group import Group, check_members, check_new_name, check_removable
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit


@dataclass(frozen=True, slots=True)
class Gathering:
    """A group with its members, by name."""

    group: Group
    members: Sequence[Principal]


@dataclass(frozen=True, slots=True)
class GroupChange:
    """What is to become of a group: `members` replaces all, then some join and some leave; all are principals' ids."""

    name: str | None = None
    members: Sequence[str] | None = None
    join: Sequence[str] = ()
    leave: Sequence[str] = ()


class Groups:
    """What administrators do with groups. The routes check that the caller is one."""

    def __init__(
        self, store: Store, clock: Clock, principals: Principals, acls: AclChanges, memory: SecretMemory
    ) -> None:
        self._store = store
        self._clock = clock
        self._principals = principals
        self._acls = acls
        self._memory = memory
        self._ids: Mapping[str, str] | None = None

    async def ids(self) -> Mapping[str, str]:
        """The ids of groups by name; in memory after the first time."""
        if self._ids is None:
            async with self._store.unit() as unit:
                self._ids = {group.name: group.id for group in await unit.groups.list()}
        return self._ids

    async def list(self) -> Sequence[Gathering]:
        """All groups, by name."""
        async with self._store.unit() as unit:
            everybody = await _everybody(unit)
            return [_gathered(group, everybody) for group in await unit.groups.list()]

    async def get(self, group_id: str) -> Gathering:
        """One group; raises DoesNotExist."""
        async with self._store.unit() as unit:
            group = await _find(unit, group_id)
            return _gathered(group, await _everybody(unit))

    async def add(self, name: str, members: Sequence[str]) -> Gathering:
        """Adds a group; raises InvalidParameter, or AlreadyExists if the name is taken."""
        group = Group(new_number(), check_principal_name(name, "displayName"))
        async with self._store.unit() as unit:
            await unit.groups.add(group, self._clock.now_ms())
            changed = await _set_members(unit, group, GroupChange(join=members))
            made = _gathered(group, await _everybody(unit))
        self._tell(changed)
        return made

    async def change(self, group_id: str, wish: GroupChange) -> Gathering:
        """Changes who is in a group, at once.

        Raises DoesNotExist, or InvalidParameter: for a new name, for the last administrator, and for leaving `users`.
        """
        async with self._store.unit() as unit:
            group = await _find(unit, group_id)
            check_new_name(wish.name, group)
            changed = await _set_members(unit, group, wish)
            await keep_an_administrator(unit)
            made = _gathered(group, await _everybody(unit))
        self._tell(changed)
        return made

    async def remove(self, group_id: str) -> None:
        """Removes a group with what was granted to it; raises DoesNotExist, InvalidParameter."""
        async with self._acls.unit(self._store) as changing:
            unit = changing.unit
            group = await _find(unit, group_id)
            check_removable(group)
            changed = await _set_members(unit, group, GroupChange(members=()))
            await unit.groups.remove(group.id)
            await unit.secrets.forget_principal(group.name)
            await unit.grants.forget_principal(group.name)
            await changing.forget(Grantee(GranteeKind.GROUP, group.name))
        self._memory.forget_name(group.name)
        self._tell(changed)

    def _tell(self, changed: Iterable[Principal]) -> None:
        self._ids = None
        self._principals.tell(changed)


async def _find(unit: Unit, group_id: str) -> Group:
    found = await unit.groups.get(group_id)
    if found is None:
        raise DoesNotExist(f"Group with id '{group_id[:80]}' does not exist.")
    return found


async def _everybody(unit: Unit) -> Mapping[str, Principal]:
    return {one.id: one for kind in PrincipalKind for one in await unit.access.principals(kind)}


def _gathered(group: Group, everybody: Mapping[str, Principal]) -> Gathering:
    members = [one for one in everybody.values() if group.name in one.groups]
    return Gathering(group, sorted(members, key=lambda one: one.name))


async def _set_members(unit: Unit, group: Group, wish: GroupChange) -> Sequence[Principal]:
    """Stores who is in the group, and returns those for whom that changed."""
    everybody = await _everybody(unit)
    before = {one.id for one in everybody.values() if group.name in one.groups}
    wanted = before if wish.members is None else _known(wish.members, everybody)
    after = (wanted | _known(wish.join, everybody)) - set(wish.leave)
    check_members(group, fewer=bool(before - after))
    changed = []
    for one in [everybody[key] for key in sorted(before ^ after)]:
        groups = one.groups | {group.name} if one.id in after else one.groups - {group.name}
        changed.append(replace(one, groups=groups))
        await unit.access.save_principal(changed[-1])
    return changed


def _known(ids: Collection[str], everybody: Mapping[str, Principal]) -> set[str]:
    for key in ids:
        if key not in everybody:
            raise InvalidParameter(
                f"members: there is no user or service principal with id '{key[:80]}'; groups hold no other groups."
            )
    return set(ids)
