"""Who is calling, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum

from penstock.domain.errors import PermissionDenied

ADMINS = "admins"
USERS = "users"


class PrincipalKind(StrEnum):
    """What a principal is."""

    USER = "user"
    SERVICE_PRINCIPAL = "service_principal"


class PermissionLevel(StrEnum):
    """What a caller may do with an endpoint; each level includes those before it."""

    CAN_VIEW = "CAN_VIEW"
    CAN_QUERY = "CAN_QUERY"
    CAN_MANAGE = "CAN_MANAGE"


class Scope(StrEnum):
    """What a token may be used for."""

    ALL_APIS = "all-apis"
    SERVING = "serving"


@dataclass(frozen=True, slots=True)
class Principal:
    """A user or service principal.

    `name` is the user name (an e-mail address) or the service principal's application id; `id` is a decimal string.
    """

    id: str
    name: str
    display_name: str
    kind: PrincipalKind
    groups: frozenset[str]
    active: bool = True

    @property
    def is_admin(self) -> bool:
        """Whether the principal is in the administrators' group."""
        return ADMINS in self.groups


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal as authenticated for one request, with what its credential is good for."""

    principal: Principal
    scope: Scope
    token_id: str


def endpoint_level(caller: Caller, creator: str) -> PermissionLevel | None:
    """The caller's level on an endpoint: administrators and the creator manage, other users query."""
    if caller.principal.is_admin or caller.principal.name == creator:
        return PermissionLevel.CAN_MANAGE
    return PermissionLevel.CAN_QUERY if USERS in caller.principal.groups else None


def require_admin(caller: Caller, what: str) -> None:
    """Raises PermissionDenied unless the caller is an administrator; `what` completes "Only administrators may"."""
    if not caller.principal.is_admin:
        raise PermissionDenied(f"Only administrators may {what}.")


def require_manage(caller: Caller, creator: str, name: str) -> None:
    """Raises PermissionDenied unless the caller manages the endpoint `name` made by `creator`."""
    if endpoint_level(caller, creator) is not PermissionLevel.CAN_MANAGE:
        raise PermissionDenied(f"{caller.principal.name} does not have CAN_MANAGE permission on endpoint '{name}'.")
