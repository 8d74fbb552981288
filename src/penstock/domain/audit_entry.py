"""What the audit log keeps of a request: who did what to which object, from where, and what came of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

NAME_LIMIT = 512
"""Most characters of a text that comes from a client."""
READS = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSALS = frozenset({401, 403})
_ERRORS = 400
_ROOTS = ("/api/2.0/", "/api/2.1/", "/ajax-api/2.0/", "/oidc/v1/", "/serving-endpoints/", "/")
_DIALECTS = ("mlflow/unity-catalog/", "mlflow/", "unity-catalog/", "preview/scim/v2/", "preview/", "accounts/")


class Result(StrEnum):
    """What came of a request."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One request. `at` is epoch milliseconds; ids sort by time.

    `principal` and `token_id` are empty where nobody was recognised. `status` 499 is a client that did not wait for
    the answer. `address` is the other end of the connection, `forwarded_for` what a proxy, or the client, says.
    """

    id: str
    at: int
    principal: str
    token_id: str
    method: str
    route: str
    object_type: str
    object_name: str
    address: str
    forwarded_for: str
    user_agent: str
    status: int
    error_code: str
    request_id: str

    @property
    def result(self) -> Result:
        """By the status."""
        if self.status in _REFUSALS:
            return Result.REFUSED
        return Result.FAILED if self.status >= _ERRORS else Result.DONE


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are asked for; what is empty or None asks for nothing. `since` counts, `until` does not."""

    principal: str = ""
    object_type: str = ""
    object_name: str = ""
    request_id: str = ""
    result: Result | None = None
    since: int | None = None
    until: int | None = None

    def admits(self, entry: AuditEntry) -> bool:
        """Whether the entry is one of them."""
        texts = ("principal", "object_type", "object_name", "request_id")
        return (
            all(getattr(self, name) in ("", getattr(entry, name)) for name in texts)
            and self.result in (None, entry.result)
            and (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at < self.until)
        )


def is_kept(method: str, status: int) -> bool:
    """Whether a request is for the audit log: one that would change something, or was refused."""
    return method not in READS or status in _REFUSALS


def clean(text: str) -> str:
    """A client's text as every database can hold it and every terminal show it."""
    return "".join(char if char.isprintable() else "?" for char in text[:NAME_LIMIT])


def type_of(route: str) -> str:
    """The kind of object that a route is about, by its path: "serving-endpoints", "models", "Users"."""
    path = next(route.removeprefix(root) for root in _ROOTS if route.startswith(root))
    path = next((path.removeprefix(one) for one in _DIALECTS if path.startswith(one)), path)
    return path.split("/", 1)[0].split(":", 1)[0]


def name_of(params: Iterable[str], body: Mapping[str, str]) -> str:
    """The object's name: what the path names, or else what fields of the body do. Other fields are never looked at."""
    found = [param for param in params if param]
    if not found and body.get("scope"):
        found = [body["scope"], body.get("key", "")]
    elif not found:
        levels = [body.get(field, "") for field in ("catalog_name", "schema_name", "model_name", "name")]
        named = ".".join(level for level in levels if level)
        found = [named or next((body[field] for field in NAMING if body.get(field)), ""), body.get("version", "")]
    return clean("/".join(part for part in found if part))


NAMING = (
    "token_id",
    "userName",
    "displayName",
    "application_id",
    "connection_name",
    "path",
    "run_id",
    "experiment_id",
    "input_file_id",
)
"""Fields that name an object where `name` does not."""
