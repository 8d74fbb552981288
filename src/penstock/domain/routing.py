"""What the data plane needs to know of an endpoint: a snapshot, replaced whole when anything changes."""

from dataclasses import dataclass, field

from penstock.domain.acl import Acl
from penstock.domain.endpoint import RESERVED_PREFIX
from penstock.domain.external_model import ExternalEntity
from penstock.domain.model import Task
from penstock.domain.rate_limit import RateLimit
from penstock.domain.tenancy import Sale
from penstock.domain.traffic import Route


@dataclass(frozen=True, slots=True)
class ReadyReplica:
    """A replica that serves. `address` is where its engine listens; it runs `max_running` at once, and queues more.

    `device` is what it runs on, empty if there is only one; `share` the part of that device's time (0 to 0.9) that is
    reserved there for the served entity's minimum.
    """

    id: str
    address: str
    max_running: int
    max_queue: int
    device: str = ""
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class EntityRoute:
    """One served entity with its ready replicas. `scales_to_zero`: no replica means "start one", not "broken".

    That takes `startup_s` seconds, 0 if it was not measured; `stuck` says why it cannot be done now, for the caller.
    `sale` is what it has bought of the devices; without it only the engines' queues bound what is sent. An `external`
    one has no replicas: its provider is asked.
    Its replicas are told to compute with its `adapter`, if it has one.
    """

    name: str
    replicas: tuple[ReadyReplica, ...]
    scales_to_zero: bool
    sale: Sale | None = None
    startup_s: float = 0.0
    stuck: str = ""
    external: ExternalEntity | None = None
    adapter: str = ""


@dataclass(frozen=True, slots=True)
class EndpointRoute:
    """One endpoint with its rate limits. Without `entities` it serves nothing yet; `problem` tells the caller why.

    With `fallback`, what one external entity fails is tried with the others. `acl` says who may query it.
    """

    id: str
    name: str
    creator: str
    task: Task | None
    routes: tuple[Route, ...]
    entities: tuple[EntityRoute, ...]
    problem: str = ""
    fallback: bool = False
    limits: tuple[RateLimit, ...] = ()
    acl: Acl = field(default_factory=Acl)

    @property
    def is_external(self) -> bool:
        """Whether its models are hosted elsewhere."""
        return bool(self.entities) and self.entities[0].external is not None

    @property
    def pay_per_token(self) -> bool:
        """Whether its model is paid by the token: nothing of it is reserved, and its users share fairly."""
        return self.name.startswith(RESERVED_PREFIX)

    def entity(self, name: str) -> EntityRoute | None:
        """The served entity of that name, or None."""
        return next((entity for entity in self.entities if entity.name == name), None)
