"""Who is calling, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum

from penstock.domain.errors import InvalidParameter, PermissionDenied

ADMINS = "admins"
USERS = "users"
MAX_NAME = 255
MAX_COMMENT = 1024
LONGEST_LIFETIME_S = 100 * 365 * 24 * 3600
"""The longest that a token may be asked to live, where it is not to live for ever."""


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


class TokenKind(StrEnum):
    """Where a token comes from."""

    PERSONAL = "personal"
    FIRST = "first"
    ENVIRONMENT = "environment"
    OAUTH = "oauth"


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
class Token:
    """A credential of a principal, without its value. Times are epoch milliseconds; `expires_at` None is never.

    With an `endpoint_id` it is good for requests to that endpoint alone. `creator_id` is who made it, empty if that is
    its owner.
    """

    id: str
    principal_id: str
    kind: TokenKind
    scope: Scope
    comment: str
    created_at: int
    expires_at: int | None = None
    last_used_at: int | None = None
    endpoint_id: str = ""
    creator_id: str = ""

    def valid_at(self, now_ms: int) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or now_ms < self.expires_at


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A service principal's secret, without its value. Times are epoch milliseconds; `digest` is what is stored."""

    id: str
    principal_id: str
    digest: str
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal as authenticated for one request, with what its credential is good for.

    With an `endpoint_id` that is to query this endpoint, and nothing else.
    """

    principal: Principal
    scope: Scope
    token_id: str
    endpoint_id: str = ""

    def opens(self, endpoint_id: str) -> bool:
        """Whether the credential is good for that endpoint; what its principal may do there is another matter."""
        return self.endpoint_id in ("", endpoint_id)


def require_admin(caller: Caller, what: str) -> None:
    """Raises PermissionDenied unless the caller is an administrator; `what` completes "Only administrators may"."""
    if not caller.principal.is_admin:
        raise PermissionDenied(f"Only administrators may {what}.")


def require_scope(caller: Caller, scope: Scope) -> None:
    """Raises PermissionDenied unless the caller's token is good for `scope`; all-apis is good for everything."""
    if caller.scope not in (scope, Scope.ALL_APIS):
        raise PermissionDenied(f"This token has the scope '{caller.scope}', but this API needs the scope '{scope}'.")


def require_whole(caller: Caller) -> None:
    """Raises PermissionDenied if the caller's token is for one endpoint alone."""
    if caller.endpoint_id:
        raise PermissionDenied(
            f"This token is for requests to the endpoint with id '{caller.endpoint_id}' alone, not for this API."
        )


def check_principal_name(name: str, field: str) -> str:
    """Returns the name, or raises InvalidParameter: 1 to 255 printable characters without spaces at the ends."""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise InvalidParameter(
            f"{field} must have 1 to {MAX_NAME} printable characters and no spaces at its ends, but is '{name[:80]}'."
        )
    return name


def check_groups(groups: frozenset[str]) -> frozenset[str]:
    """Returns the groups, or raises InvalidParameter if a name is against the rule of principal names."""
    for group in groups:
        check_principal_name(group, "groups.display")
    return groups


def parse_scope(text: str, field: str) -> Scope:
    """The widest scope named in a list separated by spaces; raises InvalidParameter if one is unknown."""
    names = text.split() or [Scope.ALL_APIS]
    known = [scope.value for scope in Scope]
    for name in names:
        if name not in known:
            raise InvalidParameter(f"{field} must be one of {', '.join(known)}, but is '{name[:80]}'.")
    return Scope.ALL_APIS if Scope.ALL_APIS in names else Scope(names[0])


def lifetime_end(now_ms: int, lifetime_s: int | None, longest_s: int | None) -> int | None:
    """When a token made now expires (epoch milliseconds, None is never); raises InvalidParameter.

    `longest_s` None sets no limit; otherwise a token without a lifetime gets the longest.
    """
    if lifetime_s is None or lifetime_s == -1:
        return None if longest_s is None else now_ms + longest_s * 1000
    most = LONGEST_LIFETIME_S if longest_s is None else longest_s
    if not 1 <= lifetime_s <= most:
        raise InvalidParameter(
            f"lifetime_seconds must be at least 1 and at most {most}, or -1 for the longest that there is; "
            f"it is {lifetime_s}."
        )
    return now_ms + lifetime_s * 1000
