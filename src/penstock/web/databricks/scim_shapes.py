"""What the SCIM routes of users, service principals and groups have in common: bodies, lists, and what is shown."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import BaseModel, Field, TypeAdapter

from penstock.domain.access import Principal, PrincipalKind
from penstock.domain.errors import InvalidParameter

BASE = "/api/2.0/preview/scim/v2"
SCHEMAS = "urn:ietf:params:scim:schemas:core:2.0:"
_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
MOST_LISTED = 10_000
_ALWAYS = frozenset({"schemas", "id"})
NOUNS = {"Users": PrincipalKind.USER, "ServicePrincipals": PrincipalKind.SERVICE_PRINCIPAL}
_KIND_NOUNS = {kind: noun for noun, kind in NOUNS.items()}
_ONE_OF = re.compile(r'(\w+)\[\s*value\s+eq\s+"([^"]*)"\s*\]')


class Member(BaseModel):
    """A group of a principal, or a member of a group: by id in `value`, groups also by name in either field."""

    display: str | None = None
    value: str | None = None


_MEMBERS = TypeAdapter(list[Member])


class Operation(BaseModel):
    """One change of a PATCH."""

    op: str
    path: str | None = None
    value: Any = None


class Patch(BaseModel):
    """Body of PATCH."""

    operations: list[Operation] = Field(alias="Operations", min_length=1)


@dataclass(frozen=True, slots=True)
class Step:
    """What an operation does to one field: `op` is add, remove or replace."""

    op: str
    field: str
    value: Any

    def members(self) -> list[Member]:
        """Its value as members or groups; raises InvalidParameter."""
        given = [self.value] if isinstance(self.value, dict) else self.value
        try:
            return _MEMBERS.validate_python(given)
        except ValueError as error:
            name = "display" if self.field == "groups" else "value"
            raise InvalidParameter(f"Operations: the value of {self.field} must be a list of {{{name}}}.") from error

    def unsupported(self) -> InvalidParameter:
        """What to raise for a step that cannot be taken."""
        return InvalidParameter(f"Operations: '{self.op}' of '{self.field}' is not supported.")


def steps(operations: Iterable[Operation]) -> list[Step]:
    """The steps of a PATCH, one by one; raises InvalidParameter for an unknown operation."""
    found: list[Step] = []
    for operation in operations:
        op, path, value = operation.op.lower(), operation.path, operation.value
        if op not in ("add", "remove", "replace"):
            raise InvalidParameter(f"Operations: op must be add, remove or replace, but is '{operation.op[:40]}'.")
        one = _ONE_OF.fullmatch(path.strip()) if path else None
        if one is not None and op == "remove":
            found.append(Step(op, one[1], [{"value": one[2]}]))
        elif path is None and isinstance(value, dict):
            found.extend(Step(op, field, given) for field, given in value.items())
        else:
            found.append(Step(op, path or "", value))
    return found


@dataclass(frozen=True, slots=True)
class Shown:
    """Which attributes a client asks for; all, if it does not say."""

    only: frozenset[str]
    without: frozenset[str]

    def of(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        """The resource with these."""
        return {key: value for key, value in resource.items() if key in _ALWAYS or self._has(key.casefold())}

    def _has(self, key: str) -> bool:
        return (not self.only or key in self.only) and key not in self.without


def _shown(
    attributes: Annotated[str, Query()] = "", excluded: Annotated[str, Query(alias="excludedAttributes")] = ""
) -> Shown:
    return Shown(_attributes(attributes), _attributes(excluded))


def _attributes(text: str) -> frozenset[str]:
    """The attributes of a list separated by commas; of `name.givenName` the whole `name`."""
    return frozenset(part.strip().split(".")[0].casefold() for part in text.split(",") if part.strip())


ShownDep = Annotated[Shown, Depends(_shown)]


@dataclass(frozen=True, slots=True)
class Listing:
    """Which part of a list a client asks for."""

    start: int
    count: int
    wanted: str

    def of(self, resources: Sequence[dict[str, Any]], fields: Sequence[str], shown: Shown) -> dict[str, Any]:
        """The answer; raises InvalidParameter for a filter that is not understood."""
        found = [one for one in resources if self._keeps(one, fields)] if self.wanted else list(resources)
        if self.wanted and not resources:
            self._keeps({}, fields)
        # Clients ask on until a page is empty; the first is 1, and some say 0.
        first = max(self.start, 1)
        page = found[first - 1 : first - 1 + min(self.count, MOST_LISTED)]
        return {
            "schemas": [_LIST],
            "totalResults": len(found),
            "startIndex": first,
            "itemsPerPage": len(page),
            "Resources": [shown.of(one) for one in page],
        }

    def _keeps(self, resource: Mapping[str, Any], fields: Sequence[str]) -> bool:
        names = {name.casefold(): name for name in fields}
        equality = rf'({"|".join(fields)})\s+eq\s+"?([^"]*)"?'
        found = re.fullmatch(equality, self.wanted.strip(), re.IGNORECASE)
        if found is None:
            raise InvalidParameter(
                f"filter must be one of {', '.join(fields)} eq \"...\", but is '{self.wanted[:80]}'."
            )
        return str(resource.get(names[found[1].casefold()], "")).casefold() == found[2].casefold()


def _listing(
    start: Annotated[int, Query(alias="startIndex", ge=0)] = 1,
    count: Annotated[int, Query(ge=0)] = MOST_LISTED,
    wanted: Annotated[str, Query(alias="filter")] = "",
) -> Listing:
    return Listing(start, count, wanted)


ListingDep = Annotated[Listing, Depends(_listing)]


def named(members: Iterable[Member], ids: Mapping[str, str]) -> frozenset[str]:
    """The names of groups that are given by id or by name; `ids` are by name."""
    names = {key: name for name, key in ids.items()}
    return frozenset(names.get(one.value or "", one.display or one.value or "") for one in members)


def principal_resource(principal: Principal, ids: Mapping[str, str]) -> dict[str, Any]:
    """A principal as SCIM shows it; `ids` are those of groups by name."""
    shown: dict[str, Any] = {
        "id": principal.id,
        "displayName": principal.display_name,
        "active": principal.active,
        "groups": [_group(name, ids.get(name)) for name in sorted(principal.groups)],
        "roles": [],
        "entitlements": [{"value": "workspace-access"}],
        "externalId": principal.id,
    }
    if principal.kind is PrincipalKind.SERVICE_PRINCIPAL:
        names = {"userName": principal.name, "applicationId": principal.name}
        return {"schemas": [SCHEMAS + "ServicePrincipal"], **shown, **names}
    given, _, family = principal.display_name.partition(" ")
    return {
        "schemas": [SCHEMAS + "User"],
        **shown,
        "userName": principal.name,
        "emails": [{"value": principal.name, "type": "work", "primary": True}],
        "name": {"givenName": given, "familyName": family},
    }


def _group(name: str, group_id: str | None) -> dict[str, Any]:
    shown = {"display": name, "value": group_id or name, "type": "direct"}
    return {**shown, "$ref": f"Groups/{group_id}"} if group_id else shown


def member_resource(principal: Principal) -> dict[str, Any]:
    """A principal as a member of a group."""
    ref = f"{_KIND_NOUNS[principal.kind]}/{principal.id}"
    return {"display": principal.display_name, "value": principal.id, "$ref": ref}
