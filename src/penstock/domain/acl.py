"""Who may do what with an endpoint: grants to users, service principals and groups. Administrators manage all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from penstock.domain.access import ADMINS, Caller, PermissionLevel, Principal, PrincipalKind
from penstock.domain.errors import InvalidParameter, PermissionDenied

MAX_GRANTS = 1000
_RANK = {level: rank for rank, level in enumerate(PermissionLevel)}


class GranteeKind(StrEnum):
    """What a grant is given to; the value is the field that names it."""

    USER = "user_name"
    GROUP = "group_name"
    SERVICE_PRINCIPAL = "service_principal_name"


_KINDS = {
    PrincipalKind.USER: GranteeKind.USER,
    PrincipalKind.SERVICE_PRINCIPAL: GranteeKind.SERVICE_PRINCIPAL,
}


class Grantee(NamedTuple):
    """Who has a grant: a user by name, a service principal by application id, or a group by name."""

    kind: GranteeKind
    name: str


ADMINISTRATORS = Grantee(GranteeKind.GROUP, ADMINS)


@dataclass(frozen=True, slots=True)
class Acl:
    """The grants on an endpoint, each with its highest level. Administrators need none."""

    levels: Mapping[Grantee, PermissionLevel] = field(default_factory=dict)

    def level_of(self, principal: Principal) -> PermissionLevel | None:
        """The highest level that the principal has, by itself or by a group; None without any."""
        if principal.is_admin:
            return PermissionLevel.CAN_MANAGE
        best = self.levels.get(grantee(principal))
        for group in principal.groups:
            given = self.levels.get(Grantee(GranteeKind.GROUP, group))
            if given is not None and (best is None or _RANK[given] > _RANK[best]):
                best = given
        return best

    def replaced(self, wanted: "Acl", keeper: str) -> "Acl":
        """With other grants in place of these; the one of the creator, `keeper`, stays."""
        kept = {who: level for who, level in self.levels.items() if _keeps(who, keeper)}
        return checked({**wanted.levels, **kept})

    def merged(self, wanted: "Acl", keeper: str) -> "Acl":
        """With other grants besides these, which they win over but for the creator's, `keeper`."""
        return checked({**self.levels, **self.replaced(wanted, keeper).levels})

    def without(self, gone: Grantee) -> "Acl":
        """Without the grant of one who is gone."""
        return Acl({who: level for who, level in self.levels.items() if who != gone})


def grantee(principal: Principal) -> Grantee:
    """How a principal is named in grants."""
    return Grantee(_KINDS[principal.kind], principal.name)


def checked(levels: Mapping[Grantee, PermissionLevel]) -> Acl:
    """The ACL, or InvalidParameter if it holds too many grants."""
    if len(levels) > MAX_GRANTS:
        raise InvalidParameter(f"access_control_list: at most {MAX_GRANTS} grants, but there would be {len(levels)}.")
    return Acl(levels)


def wanted_acl(grants: Iterable[tuple[Grantee, PermissionLevel]], acl: Acl, creator: str) -> Acl:
    """What is asked for as an ACL; raises InvalidParameter for a grantee named twice, or a level that cannot change.

    `acl` is what there is: the creator and administrators manage, whatever is asked.
    """
    wanted: dict[Grantee, PermissionLevel] = {}
    for who, level in grants:
        if who in wanted:
            raise InvalidParameter(f"access_control_list names {who.kind} '{who.name}' twice.")
        fixed = who == ADMINISTRATORS or (_keeps(who, creator) and who in acl.levels)
        if fixed and level is not PermissionLevel.CAN_MANAGE:
            raise InvalidParameter(
                f"access_control_list: {who.kind} '{who.name}' keeps CAN_MANAGE and cannot be given {level}."
            )
        wanted[who] = level
    # Administrators inherit theirs, so that it is never stored.
    wanted.pop(ADMINISTRATORS, None)
    return Acl(wanted)


def new_acl(creator: Principal, users: str, everybody: PermissionLevel | None) -> Acl:
    """Of an endpoint just made: its creator manages it, and the group `users` may do what a setting says."""
    levels = {grantee(creator): PermissionLevel.CAN_MANAGE}
    if everybody is not None:
        levels[Grantee(GranteeKind.GROUP, users)] = everybody
    return Acl(levels)


def endpoint_level(caller: Caller, acl: Acl) -> PermissionLevel | None:
    """The caller's level on an endpoint with that ACL; None if it may not even be seen."""
    return acl.level_of(caller.principal)


def may_query(caller: Caller, acl: Acl, endpoint_id: str) -> bool:
    """Whether the caller may send requests to the endpoint of that id, with that ACL."""
    level = endpoint_level(caller, acl)
    return level is not None and level is not PermissionLevel.CAN_VIEW and caller.opens(endpoint_id)


def require_manage(caller: Caller, acl: Acl, name: str) -> None:
    """Raises PermissionDenied unless the caller manages the endpoint `name`."""
    if endpoint_level(caller, acl) is not PermissionLevel.CAN_MANAGE:
        raise _denied(caller, PermissionLevel.CAN_MANAGE, name)


def require_query(caller: Caller, acl: Acl, name: str, endpoint_id: str) -> None:
    """Raises PermissionDenied unless the caller may query the endpoint `name`, and the credential is good for it."""
    if not caller.opens(endpoint_id):
        raise PermissionDenied(
            f"This token is for requests to the endpoint with id '{caller.endpoint_id}' alone, not for '{name}'."
        )
    if not may_query(caller, acl, endpoint_id):
        raise _denied(caller, PermissionLevel.CAN_QUERY, name)


def require_view(caller: Caller, acl: Acl, name: str) -> PermissionLevel:
    """The caller's level on the endpoint `name`; raises PermissionDenied if there is none."""
    level = endpoint_level(caller, acl)
    if level is None:
        raise _denied(caller, PermissionLevel.CAN_VIEW, name)
    return level


def _denied(caller: Caller, level: PermissionLevel, name: str) -> PermissionDenied:
    return PermissionDenied(f"{caller.principal.name} does not have {level} permission on endpoint '{name}'.")


def _keeps(who: Grantee, creator: str) -> bool:
    return who.kind is not GranteeKind.GROUP and who.name == creator
