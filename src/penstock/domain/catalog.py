"""The catalogue: catalogs, schemas, registered models and their versions, and what may be done to a version when."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.domain.access import Caller
from penstock.domain.errors import Conflict, InvalidParameter, PermissionDenied
from penstock.domain.model import ModelFacts
from penstock.domain.names import ModelName, SchemaName

Tags = tuple[tuple[str, str], ...]
"""Keys and values, sorted by key."""

TAG_KEY_LIMIT = 256
TAG_VALUE_LIMIT = 5000
TEXT_LIMIT = 65536
RUN_ID_LIMIT = 256
"""Versions are looked up by it, and no index takes more."""
ALIAS_LIMIT = 255
_ALIAS = re.compile(r"[A-Za-z0-9_-]+")
_VERSION_ALIAS = re.compile(r"v\d+")


class VersionStatus(StrEnum):
    """The life of a version: pending while its files arrive, then ready, or failed when they never all came."""

    PENDING_REGISTRATION = "PENDING_REGISTRATION"
    FAILED_REGISTRATION = "FAILED_REGISTRATION"
    READY = "READY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """Who made a thing and who changed it last, when (epoch milliseconds)."""

    creator: str
    created_at: int
    updated_by: str
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog(Stamped):
    """The first level. `id` is 32 hexadecimal digits and never used twice."""

    id: str
    name: str
    owner: str
    comment: str = ""
    properties: Tags = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema(Stamped):
    """The second level."""

    id: str
    name: SchemaName
    owner: str
    comment: str = ""
    properties: Tags = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel(Stamped):
    """The third level. `aliases` are (alias, version number), sorted."""

    id: str
    name: ModelName
    owner: str
    description: str = ""
    tags: Tags = ()
    aliases: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a version came from, as the client said; kept and told, never followed.

    `dependencies` are (type, name).
    """

    run_tracking_server_id: str = ""
    model_id: str = ""
    feature_deps: str = ""
    dependencies: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion(Stamped):
    """A version of a registered model. `model` is the full name, folded; `number` counts from 1 without gaps.

    `storage` names its files in the artifact store. `facts` and `digest` (SHA-256 over paths and contents) are there
    once it is READY; `status_message` says why it failed, or why it cannot be served.
    """

    model: str
    number: int
    status: VersionStatus
    storage: str
    source: str
    facts: ModelFacts | None = None
    digest: str = ""
    run_id: str = ""
    description: str = ""
    status_message: str = ""
    lineage: Lineage = field(default_factory=Lineage)
    tags: Tags = ()
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> ModelName:
        """The model's name by levels."""
        return ModelName(*self.model.split("."))

    @property
    def label(self) -> str:
        """How messages name the version."""
        return f"version {self.number} of model '{self.model}'"


def check_writable(version: ModelVersion) -> None:
    """Raises Conflict unless files may still be added: finalized versions are immutable, failed ones are over."""
    if version.status is VersionStatus.READY:
        raise Conflict(f"The files of {version.label} cannot be changed: it is finalized. Register a new version.")
    if version.status is VersionStatus.FAILED_REGISTRATION:
        raise Conflict(f"{version.label.capitalize()} failed: {version.status_message} Register a new version.")


def check_readable(version: ModelVersion) -> None:
    """Raises Conflict if the version's files are gone because its registration failed."""
    if version.status is VersionStatus.FAILED_REGISTRATION:
        raise Conflict(f"{version.label.capitalize()} has no files: {version.status_message}")


def check_owner(caller: Caller, owner: str, action: str) -> None:
    """Raises PermissionDenied unless the caller is the owner or an administrator; `action` completes "may not"."""
    if not caller.principal.is_admin and owner not in {caller.principal.name, *caller.principal.groups}:
        raise PermissionDenied(
            f"{caller.principal.name} may not {action}: only its owner {owner} and administrators may."
        )


def check_unused(what: str, users: Sequence[str], action: str) -> None:
    """Raises Conflict naming the endpoints in `users`, if any, that keep `what` from being deleted or renamed."""
    if users:
        names = ", ".join(f"'{name}'" for name in users)
        raise Conflict(
            f"Cannot {action} {what}: it is served by endpoint {names}. Update or delete the endpoint first."
        )


def check_alias(alias: str) -> str:
    """Returns the alias, folded to lower case; raises InvalidParameter naming the rule it breaks."""
    if not 1 <= len(alias) <= ALIAS_LIMIT or not _ALIAS.fullmatch(alias):
        raise InvalidParameter(
            f"alias must be 1 to {ALIAS_LIMIT} characters of letters, digits, '-' and '_', but is {alias[:80]!r}."
        )
    folded = alias.lower()
    if folded == "latest" or _VERSION_ALIAS.fullmatch(folded):
        raise InvalidParameter(f"alias {alias!r} is reserved: 'latest' and 'v<number>' name versions by themselves.")
    return folded


def check_tag(key: str, value: str) -> tuple[str, str]:
    """Returns the tag; raises InvalidParameter if the key is empty or either is too long."""
    if not 1 <= len(key) <= TAG_KEY_LIMIT or "\0" in key:
        raise InvalidParameter(f"A tag's key must be 1 to {TAG_KEY_LIMIT} characters, but is {key[:80]!r}.")
    if len(value) > TAG_VALUE_LIMIT or "\0" in value:
        raise InvalidParameter(
            f"The value of tag {key!r} must be at most {TAG_VALUE_LIMIT} characters, but has {len(value)}."
        )
    return key, value


def check_text(text: str, field: str, limit: int = TEXT_LIMIT) -> str:
    """Returns a description, comment or source; raises InvalidParameter if it has more than `limit` characters."""
    if len(text) > limit or "\0" in text:
        raise InvalidParameter(
            f"{field} must be at most {limit} characters without NUL, but has {len(text)} characters."
        )
    return text


def check_lineage(lineage: Lineage) -> Lineage:
    """Returns it; raises InvalidParameter naming the field that is too long."""
    check_text(lineage.run_tracking_server_id, "run_tracking_server_id")
    check_text(lineage.model_id, "model_id")
    check_text(lineage.feature_deps, "feature_deps")
    for kind, name in lineage.dependencies:
        check_text(kind + name, "model_version_dependencies")
    return lineage


def check_number(value: str | int, field: str = "version") -> int:
    """A version's number from the wire, decimal string or integer; raises InvalidParameter naming `field`."""
    text = str(value)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:  # noqa: PLR2004 - fits 32 bits
        raise InvalidParameter(f"{field} must be a whole number of 1 or more, but is {text[:80]!r}.")
    return int(text)
