"""An endpoint: facts that are stored, and the status that clients see, computed from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.domain.acl import Acl
from penstock.domain.errors import InvalidParameter, PermissionDenied
from penstock.domain.external_model import ExternalEntity
from penstock.domain.model import Task
from penstock.domain.notification import NOBODY, Notifications
from penstock.domain.rate_limit import RateLimit
from penstock.domain.served_entity import ServedEntity, check_name
from penstock.domain.telemetry import Telemetry
from penstock.domain.traffic import Route

RESERVED_PREFIX = "databricks-"
RESERVED_NAMES = frozenset(
    {"pt", "get-model-optimization-info", "chat", "completions", "embeddings", "responses", "anthropic", "gemini"}
)
MAX_ENTITIES = 15


class Ready(StrEnum):
    """Whether the endpoint answers requests."""

    READY = "READY"
    NOT_READY = "NOT_READY"


class ConfigUpdate(StrEnum):
    """How the last wanted configuration fared."""

    NOT_UPDATING = "NOT_UPDATING"
    IN_PROGRESS = "IN_PROGRESS"
    UPDATE_FAILED = "UPDATE_FAILED"
    UPDATE_CANCELED = "UPDATE_CANCELED"


class Deployment(StrEnum):
    """How a served entity stands."""

    CREATING = "DEPLOYMENT_CREATING"
    READY = "DEPLOYMENT_READY"
    RECOVERING = "DEPLOYMENT_RECOVERING"
    FAILED = "DEPLOYMENT_FAILED"
    ABORTED = "DEPLOYMENT_ABORTED"


class Outcome(StrEnum):
    """How a configuration ended being rolled out; a fact, written once."""

    PENDING = "pending"
    ACTIVE = "active"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Config:
    """One accepted configuration. `version` counts from 1; `started_at` is epoch milliseconds.

    It serves `entities`, which are versions of models and run here, or `externals`, never both. `message` says why it
    failed, or what is being done while it is pending. `cancel_requested` asks the reconciler to give it up.
    """

    version: int
    entities: tuple[ServedEntity, ...]
    routes: tuple[Route, ...]
    task: Task | None
    creator: str
    started_at: int
    outcome: Outcome = Outcome.PENDING
    message: str = ""
    cancel_requested: bool = False
    externals: tuple[ExternalEntity, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all served entities, of either kind."""
        return (*(one.name for one in self.entities), *(one.name for one in self.externals))

    def entity(self, name: str) -> ServedEntity | None:
        """The served entity of that name that runs here, or None."""
        return next((entity for entity in self.entities if entity.name == name), None)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as stored. `active` serves; `latest` is the newest accepted configuration (often the same).

    Timestamps are epoch milliseconds; `id` is 32 hexadecimal digits. A `deleted` endpoint waits for its replicas' end.
    With `fallback`, a request that one of its external models fails is tried with the others.
    `limits_legacy` says that its rate limits came in the older form, which is not shown.
    `stopped` served until the endpoint was stopped, and nothing has served since. `usage_policy` is a name that usage
    is attributed by.
    """

    id: str
    name: str
    creator: str
    created_at: int
    updated_at: int
    description: str
    route_optimized: bool
    tags: tuple[tuple[str, str], ...]
    active: Config | None
    latest: Config | None
    deleted: bool = False
    fallback: bool = False
    limits: tuple[RateLimit, ...] = ()
    limits_legacy: bool = False
    acl: Acl = field(default_factory=Acl)
    stopped: Config | None = None
    notifications: Notifications = NOBODY
    telemetry: Telemetry | None = None
    usage_policy: str = ""

    @property
    def pending(self) -> Config | None:
        """The configuration being rolled out, or None."""
        return self.latest if self.latest is not None and self.latest.outcome is Outcome.PENDING else None

    @property
    def task(self) -> Task | None:
        """The task its requests have."""
        return self.current.task if self.current else None

    @property
    def current(self) -> Config | None:
        """The configuration that serves, or did before the endpoint was stopped, or else the latest."""
        return self.active or self.stopped or self.latest

    @property
    def is_system(self) -> bool:
        """Whether it is the system's: its model is paid by the token."""
        return self.name.startswith(RESERVED_PREFIX)

    @property
    def suspended(self) -> bool:
        """Whether the endpoint was stopped and is not being started."""
        return self.stopped is not None and self.pending is None

    @property
    def ready(self) -> Ready:
        """READY once a configuration serves; an endpoint scaled to zero stays READY."""
        return Ready.READY if self.active is not None else Ready.NOT_READY

    @property
    def config_update(self) -> ConfigUpdate:
        """How the latest configuration fares."""
        if self.latest is None:
            return ConfigUpdate.NOT_UPDATING
        return {
            Outcome.PENDING: ConfigUpdate.IN_PROGRESS,
            Outcome.ACTIVE: ConfigUpdate.NOT_UPDATING,
            Outcome.FAILED: ConfigUpdate.UPDATE_FAILED,
            Outcome.CANCELED: ConfigUpdate.UPDATE_CANCELED,
        }[self.latest.outcome]


def check_endpoint_name(name: str) -> str:
    """Returns the name, or raises InvalidParameter: 1 to 63 of letters, digits, - and _, not reserved."""
    check_name(name, "name")
    if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIX):
        raise InvalidParameter(f"name '{name}' is reserved; the prefix '{RESERVED_PREFIX}' is for system endpoints.")
    return name


def check_changeable(endpoint: Endpoint) -> None:
    """Raises PermissionDenied if the endpoint is the system's."""
    if endpoint.is_system:
        raise PermissionDenied(
            f"Endpoint '{endpoint.name}' is the system's: it cannot be updated, stopped or deleted. Administrators may "
            "change its rate limits and permissions, and `penstock models remove` takes its model away."
        )


def check_count(count: int) -> None:
    """Raises InvalidParameter if a configuration may not have so many served entities."""
    if not 1 <= count <= MAX_ENTITIES:
        raise InvalidParameter(f"config.served_entities must hold 1 to {MAX_ENTITIES} entities, but holds {count}.")


def check_entities(names: Sequence[str]) -> None:
    """Raises InvalidParameter if there are no served entities, too many, or two of one name."""
    check_count(len(names))
    for name in names:
        if names.count(name) > 1:
            raise InvalidParameter(f"config.served_entities holds two entities named '{name}'; names must be unique.")
