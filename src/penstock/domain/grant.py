"""Who may do what with catalogs, schemas and registered models: privileges, which pass downward, and ownership."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.domain.access import USERS, Principal
from penstock.domain.errors import InvalidParameter, PermissionDenied
from penstock.domain.system import check_not_system, is_system

MAX_GRANTEES = 1000
ALL_USERS = "account users"
"""What Databricks calls the group of everybody."""


class Privilege(StrEnum):
    """What may be granted. On a parent it counts for everything below."""

    USE_CATALOG = "USE_CATALOG"
    USE_SCHEMA = "USE_SCHEMA"
    CREATE_SCHEMA = "CREATE_SCHEMA"
    CREATE_MODEL = "CREATE_MODEL"
    EXECUTE = "EXECUTE"
    MODIFY = "MODIFY"
    APPLY_TAG = "APPLY_TAG"
    MANAGE = "MANAGE"
    ALL_PRIVILEGES = "ALL_PRIVILEGES"


_NOT_IN_ALL = {Privilege.MANAGE, Privilege.ALL_PRIVILEGES}
_ALL = frozenset(privilege for privilege in Privilege if privilege not in _NOT_IN_ALL)
OPEN = _ALL
"""What everybody may do where nobody said otherwise."""
READ = frozenset({Privilege.USE_CATALOG, Privilege.USE_SCHEMA, Privilege.EXECUTE})
"""What everybody may do with what is the system's, and nobody more."""


class SecurableKind(StrEnum):
    """What privileges are granted on; the value is the platform's word. A registered model is a function there."""

    CATALOG = "CATALOG"
    SCHEMA = "SCHEMA"
    MODEL = "FUNCTION"


_WORDS = {SecurableKind.CATALOG: "catalog", SecurableKind.SCHEMA: "schema", SecurableKind.MODEL: "model"}
_USES = {SecurableKind.CATALOG: Privilege.USE_CATALOG, SecurableKind.SCHEMA: Privilege.USE_SCHEMA}
_HERE = {
    SecurableKind.CATALOG: frozenset(Privilege),
    SecurableKind.SCHEMA: frozenset(Privilege) - {Privilege.USE_CATALOG, Privilege.CREATE_SCHEMA},
    SecurableKind.MODEL: frozenset(
        {Privilege.EXECUTE, Privilege.MODIFY, Privilege.APPLY_TAG, Privilege.MANAGE, Privilege.ALL_PRIVILEGES}
    ),
}
Grants = Mapping[str, frozenset[Privilege]]
"""Privileges by the name of a user, service principal or group."""


@dataclass(frozen=True, slots=True)
class Securable:
    """A catalog, schema or model with what is granted on it. `owner` may be a group."""

    kind: SecurableKind
    name: str
    id: str
    owner: str
    grants: Grants = field(default_factory=dict)

    @property
    def label(self) -> str:
        """As messages name it."""
        return f"{_WORDS[self.kind]} '{self.name}'"


Chain = Sequence[Securable]
"""A securable behind its parents, the catalog first."""


@dataclass(frozen=True, slots=True)
class Effective:
    """A privilege of a grantee and where it was granted: None is on the securable itself."""

    privilege: Privilege
    origin: Securable | None


@dataclass(frozen=True, slots=True)
class GrantChange:
    """What one grantee gets and loses."""

    principal: str
    add: frozenset[Privilege]
    remove: frozenset[Privilege]


def owns(principal: Principal, chain: Chain) -> bool:
    """Whether the principal may do everything with the last of the chain: its owner, a parent's, administrators."""
    names = {principal.name, *principal.groups}
    return principal.is_admin or any(one.owner in names for one in chain)


def manages(principal: Principal, chain: Chain) -> bool:
    """Whether the principal may grant: who owns it, and who was granted MANAGE."""
    if chain and is_system(chain[0].name):
        return False
    return owns(principal, chain) or Privilege.MANAGE in _granted(principal, chain)


def holds(principal: Principal, chain: Chain) -> frozenset[Privilege]:
    """What the principal may do with the last of the chain, were it not for its parents."""
    if chain and is_system(chain[0].name):
        return READ
    if owns(principal, chain):
        return frozenset(Privilege)
    granted = _granted(principal, chain)
    return granted | _ALL if Privilege.ALL_PRIVILEGES in granted else granted


def _granted(principal: Principal, chain: Chain) -> frozenset[Privilege]:
    names = {principal.name, *principal.groups}
    return frozenset().union(*(one.grants.get(name, frozenset()) for one in chain for name in names))


def missing(principal: Principal, chain: Chain, wanted: Privilege) -> tuple[Privilege, Securable] | None:
    """The first privilege that is missing and where: to use each parent, and then `wanted` on the last."""
    for level, one in enumerate(chain):
        mine = holds(principal, chain[: level + 1])
        if one.kind in _USES and _USES[one.kind] not in mine:
            return _USES[one.kind], one
        if one is chain[-1] and wanted not in mine:
            return wanted, one
    return None


def require(principal: Principal, chain: Chain, wanted: Privilege) -> None:
    """Raises PermissionDenied naming the privilege that is missing, on a parent or on the last of the chain."""
    lacking = missing(principal, chain, wanted)
    if lacking is not None:
        privilege, where = lacking
        raise PermissionDenied(f"{principal.name} does not have {privilege} on {where.label}.")


def require_manager(principal: Principal, chain: Chain) -> None:
    """Raises PermissionDenied unless the principal may grant on the last of the chain."""
    check_not_system(chain[0].name)
    if not manages(principal, chain):
        raise PermissionDenied(
            f"{principal.name} may not change who may do what with {chain[-1].label}: only its owner "
            f"{chain[-1].owner}, those of its parents, who has MANAGE, and administrators may."
        )


def sees(principal: Principal, chain: Chain) -> bool:
    """Whether lists show the last of the chain: whoever may do anything with it, and may use its parents."""
    mine = holds(principal, chain)
    return bool(mine) and missing(principal, chain, next(iter(mine))) is None


def effective(chain: Chain) -> Mapping[str, Sequence[Effective]]:
    """What each grantee was granted on the last of the chain and on its parents."""
    found: dict[str, list[Effective]] = {}
    for one in reversed(chain):
        origin = None if one is chain[-1] else one
        for name, privileges in one.grants.items():
            found.setdefault(name, []).extend(Effective(each, origin) for each in sorted(privileges))
    return dict(sorted(found.items()))


def changed(target: Securable, changes: Iterable[GrantChange]) -> Grants:
    """The grants after the changes, in their order.

    Raises InvalidParameter for a privilege that is both added and removed or that means nothing there, or for too many.
    """
    grants = dict(target.grants)
    for change in changes:
        both = change.add & change.remove
        if both:
            raise InvalidParameter(f"changes: {min(both)} is both added to and removed from '{change.principal}'.")
        foreign = change.add - _HERE[target.kind]
        if foreign:
            raise InvalidParameter(
                f"changes.add: {min(foreign)} cannot be granted on a {_WORDS[target.kind]}, but "
                f"{', '.join(sorted(_HERE[target.kind]))}."
            )
        grants[change.principal] = (grants.get(change.principal, frozenset()) | change.add) - change.remove
    left = {name: privileges for name, privileges in grants.items() if privileges}
    if len(left) > MAX_GRANTEES:
        raise InvalidParameter(f"changes: at most {MAX_GRANTEES} principals have grants, but there would be more.")
    return left


def grantee_of(name: str) -> str:
    """The name as it is stored: the platform's group of everybody is ours."""
    return USERS if name == ALL_USERS else name


def privilege_of(text: str, field: str) -> Privilege:
    """A privilege, with spaces or underscores; raises InvalidParameter naming `field`."""
    try:
        return Privilege(text.strip().upper().replace(" ", "_"))
    except ValueError as error:
        raise InvalidParameter(f"{field}: there is no {text[:80]!r} here, but {', '.join(Privilege)}.") from error


def kind_of(text: str) -> SecurableKind:
    """The kind of securable by what clients call it; raises InvalidParameter."""
    kinds = {
        "CATALOG": SecurableKind.CATALOG,
        "SCHEMA": SecurableKind.SCHEMA,
        "FUNCTION": SecurableKind.MODEL,
        "REGISTERED_MODEL": SecurableKind.MODEL,
        "MODEL": SecurableKind.MODEL,
    }
    found = kinds.get(text.upper().replace("-", "_"))
    if found is None:
        raise InvalidParameter(f"securable_type must be one of {', '.join(kinds)}, but is {text[:80]!r}.")
    return found
