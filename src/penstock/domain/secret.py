"""Secrets: their names, how they are referred to, who may use them, and what of them is ever shown."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Never, Self

from penstock.domain.access import Principal
from penstock.domain.errors import InvalidParameter, PermissionDenied

MAX_NAME = 128
MAX_VALUE_BYTES = 128 * 1024
MAX_SECRETS = 1000
"""Most secrets of one scope."""
MAX_SCOPES = 1000
OWN = ":"
"""What scopes of the system's own begin with. No name that a caller gives can, so no route reaches into them."""

_SCOPE = re.compile(rf"[A-Za-z0-9_.@-]{{1,{MAX_NAME}}}")
_KEY = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_NAME}}}")
_REFERENCE = re.compile(r"\{\{secrets/([^/{}]*)/([^/{}]*)\}\}")


class Permission(StrEnum):
    """What a principal may do with the secrets of a scope; each includes those before it. MANAGE is for the ACL."""

    READ = "READ"
    WRITE = "WRITE"
    MANAGE = "MANAGE"

    def includes(self, other: "Permission") -> bool:
        """Whether who has this may also do the other."""
        return _RANK[self] >= _RANK[other]


# Asked for every secret of every request.
_RANK = {permission: rank for rank, permission in enumerate(Permission)}


class Hidden:
    """A secret's text. Printed, logged or formatted it is `***`; it cannot be serialised. `reveal` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for where it has to go."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce_ex__(self, _protocol: object) -> Never:
        raise TypeError("A hidden text is not serialised.")


@dataclass(frozen=True, slots=True)
class SecretScope:
    """A named set of secrets with one ACL. `created_at` is epoch milliseconds."""

    name: str
    created_at: int


@dataclass(frozen=True, slots=True)
class AclItem:
    """What a user or service principal (by name) or a group may do with a scope's secrets."""

    principal: str
    permission: Permission


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """A secret without its value. `updated_at` is epoch milliseconds."""

    key: str
    updated_at: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted value and the id of the key that opens it."""

    key_id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A secret by scope and key. Two that differ in case only are the same secret; `folded` tells."""

    scope: str
    key: str

    @classmethod
    def parse(cls, text: str, field: str) -> Self:
        """From `{{secrets/scope/key}}`; raises InvalidParameter naming `field`.

        What was given is not in the message: who mistakes this field for that of the secret itself has typed it there.
        """
        found = _REFERENCE.fullmatch(text)
        if found is None or not _SCOPE.fullmatch(found[1]) or not _KEY.fullmatch(found[2]):
            raise InvalidParameter(f"{field} must refer to a secret as {{{{secrets/scope/key}}}}.")
        return cls(found[1], found[2])

    @property
    def folded(self) -> "SecretRef":
        """The form in which references are compared."""
        return SecretRef(self.scope.lower(), self.key.lower())

    @property
    def own(self) -> bool:
        """Whether it is of a scope of the system's own, such as what `*_plaintext` fields held."""
        return self.scope.startswith(OWN)

    def __str__(self) -> str:
        return f"{{{{secrets/{self.scope}/{self.key}}}}}"


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """A secret as it is kept."""

    ref: SecretRef
    sealed: Sealed
    updated_at: int


def check_scope(name: str) -> str:
    """Returns a scope's name, or raises InvalidParameter with the rule."""
    if not _SCOPE.fullmatch(name):
        raise InvalidParameter(f"scope must have 1 to {MAX_NAME} letters, digits, dashes, underscores, periods or @.")
    return name


def check_key(name: str) -> str:
    """Returns a secret's key, or raises InvalidParameter with the rule."""
    if not _KEY.fullmatch(name):
        raise InvalidParameter(f"key must have 1 to {MAX_NAME} letters, digits, dashes, underscores or periods.")
    return name


def encoded(text: str, field: str) -> bytes:
    """A secret's text as its value; raises InvalidParameter if UTF-8 cannot hold it: JSON lets half characters in."""
    value = text.encode(errors="replace")
    if value.decode() != text:
        raise InvalidParameter(f"{field} must be text that UTF-8 can hold.")
    return value


def check_value(value: bytes, field: str) -> bytes:
    """Returns a secret's value, or raises InvalidParameter if it is too large."""
    if len(value) > MAX_VALUE_BYTES:
        raise InvalidParameter(f"{field} must have at most {MAX_VALUE_BYTES} bytes, but has {len(value)}.")
    return value


def permission_of(principal: Principal, acl: Sequence[AclItem]) -> Permission | None:
    """The most that a principal may do, by itself or by its groups; administrators manage every scope."""
    if principal.is_admin:
        return Permission.MANAGE
    mine = [item.permission for item in acl if item.principal == principal.name or item.principal in principal.groups]
    return max(mine, key=_RANK.__getitem__, default=None)


def require(principal: Principal, acl: Sequence[AclItem], scope: str, wanted: Permission) -> None:
    """Raises PermissionDenied unless the principal may do this with the scope's secrets."""
    have = permission_of(principal, acl)
    if have is None or not have.includes(wanted):
        named = "Penstock's own secrets" if scope.startswith(OWN) else f"scope {scope}"
        raise PermissionDenied(f"{principal.name} does not have {wanted} permission on {named}.")
