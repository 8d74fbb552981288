"""Endpoints and their configurations as clients ask for them."""

from dataclasses import dataclass

from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Precision
from penstock.domain.notification import NOBODY, Notifications
from penstock.domain.rate_limit import RateLimit
from penstock.domain.sizing import Sizing, of_workload
from penstock.domain.telemetry import Telemetry
from penstock.domain.traffic import Route


@dataclass(frozen=True, slots=True)
class ExternalWish:
    """A served entity that is an external model, as asked for. Without a `name` it gets its model's."""

    model: ExternalModel
    name: str | None = None


@dataclass(frozen=True, slots=True)
class EntityWish:
    """A served entity as asked for. Without a `name` it gets one; what is None was not said.

    `minimum` and `maximum` are tokens per second; concurrencies, `model_units` and `workload_size` are other ways to
    say the same.
    """

    entity_name: str
    entity_version: str
    name: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    scale_to_zero: bool | None = None
    precision: Precision | None = None
    min_concurrency: int | None = None
    max_concurrency: int | None = None
    model_units: int | None = None
    burst: bool | None = None
    workload_size: str | None = None

    @property
    def sizing(self) -> Sizing:
        """The size as asked for; raises InvalidParameter for one by a name that is not known."""
        if self.workload_size is not None:
            name = self.name or self.entity_name
            return of_workload(self.workload_size, scale_to_zero=bool(self.scale_to_zero), name=name)
        return Sizing(self.minimum, self.maximum, self.min_concurrency, self.max_concurrency, self.model_units)


@dataclass(frozen=True, slots=True)
class ConfigWish:
    """A configuration as asked for. `entities` is None where an update keeps those that are served.

    With `externals` it is one of external models, and has no `entities`.
    """

    entities: tuple[EntityWish, ...] | None
    routes: tuple[Route, ...] = ()
    externals: tuple[ExternalWish, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointWish:
    """An endpoint as asked for; without `config` it serves nothing yet."""

    name: str
    config: ConfigWish | None = None
    description: str = ""
    route_optimized: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    fallback: bool = False
    limits: tuple[RateLimit, ...] = ()
    limits_legacy: bool = False
    notifications: Notifications = NOBODY
    telemetry: Telemetry | None = None
    usage_policy: str = ""
