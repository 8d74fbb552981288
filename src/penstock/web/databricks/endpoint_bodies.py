"""Bodies of the serving endpoints' routes: what clients send, leniently read, and what cannot work refused by name."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from penstock.control.endpoint_wishes import ConfigWish, EndpointWish, EntityWish, ExternalWish
from penstock.domain.errors import InvalidParameter
from penstock.domain.model import Precision
from penstock.domain.notification import Notifications
from penstock.domain.traffic import Route
from penstock.web.databricks.endpoint_setting_bodies import AddressesBody, TelemetryBody
from penstock.web.databricks.external_bodies import external_wish
from penstock.web.databricks.gateway_bodies import GatewayBody, RateLimitBody, older_limits


def _text(value: object) -> object:
    """Clients send versions as numbers too."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text)]
_LENIENT = ConfigDict(extra="ignore", protected_namespaces=())
_NOT_YET = "is not supported by this server yet"
MAX_POLICY = 255


class EntityBody(BaseModel):
    """A served entity. `model_name` and `model_version` are its older names; `weight_precision` is ours.

    The size is said in one of four ways: throughputs, concurrencies, model units, or `workload_size`, which counts only
    where none of the others is said: older notebooks send it beside them. `workload_type` has no meaning here and is
    read over, as are unknown fields. One with `external_model` has nothing else but a name.
    """

    model_config = _LENIENT

    name: str | None = None
    entity_name: str | None = None
    entity_version: Text | None = None
    model_name: str | None = None
    model_version: Text | None = None
    min_provisioned_throughput: int | None = None
    max_provisioned_throughput: int | None = None
    scale_to_zero_enabled: bool | None = None
    weight_precision: str | None = None
    external_model: dict[str, Any] | None = None
    workload_size: str | None = None
    workload_type: Any = None
    min_provisioned_concurrency: int | None = None
    max_provisioned_concurrency: int | None = None
    provisioned_model_units: int | None = None
    burst_scaling_enabled: bool | None = None
    instance_profile_arn: Any = None
    environment_vars: dict[str, Any] | None = None

    def external(self) -> ExternalWish:
        """The external model that is asked for; raises InvalidParameter naming the field."""
        return external_wish(self.external_model or {}, self.name or None, self.model_dump(exclude={"external_model"}))

    def wish(self) -> EntityWish:
        """What is asked for; raises InvalidParameter naming the field."""
        if self.instance_profile_arn:
            raise InvalidParameter("instance_profile_arn of a served entity has no effect here: no cloud is asked.")
        if self.environment_vars:
            raise InvalidParameter(
                f"environment_vars of a served entity has no effect here ({', '.join(sorted(self.environment_vars))}): "
                "models run in the server's own engine, which reads none."
            )
        entity_name = self.entity_name or self.model_name
        entity_version = self.entity_version or self.model_version
        if not entity_name or not entity_version:
            missing = "entity_version" if entity_name else "entity_name"
            raise InvalidParameter(f"{missing} of a served entity must be given.")
        return EntityWish(
            entity_name=entity_name,
            entity_version=entity_version,
            name=self.name or None,
            minimum=self.min_provisioned_throughput,
            maximum=self.max_provisioned_throughput,
            scale_to_zero=self.scale_to_zero_enabled,
            precision=read_precision(self.weight_precision, "weight_precision"),
            min_concurrency=self.min_provisioned_concurrency,
            max_concurrency=self.max_provisioned_concurrency,
            model_units=self.provisioned_model_units,
            burst=self.burst_scaling_enabled,
            workload_size=self.workload_size if self._unsized() else None,
        )

    def _unsized(self) -> bool:
        """Whether no size is said in numbers."""
        throughputs = (self.min_provisioned_throughput, self.max_provisioned_throughput)
        concurrencies = (self.min_provisioned_concurrency, self.max_provisioned_concurrency)
        return all(one is None for one in (*throughputs, *concurrencies, self.provisioned_model_units))


def read_precision(value: str | None, field: str) -> Precision | None:
    """A precision that engines run, or None; raises InvalidParameter naming `field`."""
    if value is None:
        return None
    offered = (Precision.INT8, Precision.BF16)
    for one in offered:
        if value.lower() == one.value:
            return one
    raise InvalidParameter(f"{field} must be one of {', '.join(offered)}, but is {value[:80]!r}.")


class RouteBody(BaseModel):
    """A route of the traffic split; both names mean the same."""

    model_config = _LENIENT

    served_entity_name: str | None = None
    served_model_name: str | None = None
    traffic_percentage: int = 0


class TrafficBody(BaseModel):
    """The traffic split."""

    model_config = _LENIENT

    routes: list[RouteBody] | None = None


class ConfigBody(BaseModel):
    """A configuration; `served_models` is the older twin of `served_entities`."""

    model_config = _LENIENT

    served_entities: list[EntityBody] | None = None
    served_models: list[EntityBody] | None = None
    traffic_config: TrafficBody | None = None
    auto_capture_config: Any = None

    def wish(self) -> ConfigWish:
        """What is asked for; raises InvalidParameter naming the field."""
        if self.served_entities and self.served_models:
            raise InvalidParameter("Give served_entities or served_models, not both: they mean the same.")
        if isinstance(self.auto_capture_config, dict) and self.auto_capture_config.get("enabled", True):
            raise InvalidParameter(f"auto_capture_config {_NOT_YET}.")
        given = self.served_entities if self.served_entities is not None else self.served_models
        if given is None:
            return ConfigWish(None, self._routes())
        external = [one for one in given if one.external_model is not None]
        if not external:
            return ConfigWish(tuple(one.wish() for one in given), self._routes())
        if len(external) < len(given):
            raise InvalidParameter("External models and models that are served here cannot be in one endpoint.")
        return ConfigWish(None, self._routes(), tuple(one.external() for one in external))

    def _routes(self) -> tuple[Route, ...]:
        routes = (self.traffic_config.routes if self.traffic_config else None) or []
        return tuple(Route(_served(route), route.traffic_percentage) for route in routes)


def _served(route: RouteBody) -> str:
    names = {name for name in (route.served_entity_name, route.served_model_name) if name}
    if len(names) != 1:
        raise InvalidParameter(
            "Each of traffic_config.routes must name one served entity, in served_entity_name or served_model_name."
        )
    return names.pop()


class TagBody(BaseModel):
    """A tag; without a value it is a label."""

    model_config = _LENIENT

    key: str
    value: str | None = None

    def pair(self) -> tuple[str, str]:
        """Key and value."""
        return self.key, self.value or ""


class CreateBody(BaseModel):
    """A new endpoint; unknown fields are read over."""

    model_config = _LENIENT

    name: str
    config: ConfigBody | None = None
    description: str | None = None
    route_optimized: bool | None = None
    tags: list[TagBody] | None = None
    rate_limits: list[RateLimitBody] | None = None
    ai_gateway: GatewayBody | None = None
    telemetry_config: TelemetryBody | None = None
    email_notifications: AddressesBody | None = None
    budget_policy_id: str | None = None
    usage_policy_id: str | None = None

    def wish(self) -> EndpointWish:
        """What is asked for; raises InvalidParameter naming the field."""
        older, limits = older_limits(self.rate_limits), self.ai_gateway.limits() if self.ai_gateway is not None else ()
        if older and limits:
            raise InvalidParameter("Give ai_gateway.rate_limits or rate_limits, its older form, not both.")
        return EndpointWish(
            name=self.name,
            config=self.config.wish() if self.config is not None else None,
            description=self.description or "",
            route_optimized=bool(self.route_optimized),
            tags=tuple(tag.pair() for tag in self.tags or ()),
            fallback=self.ai_gateway.fallback() if self.ai_gateway is not None else False,
            limits=older or limits,
            limits_legacy=bool(older),
            notifications=self.email_notifications.wish() if self.email_notifications else Notifications(),
            telemetry=self.telemetry_config.wish() if self.telemetry_config else None,
            usage_policy=self._usage_policy(),
        )

    def _usage_policy(self) -> str:
        policies = {policy for policy in (self.budget_policy_id, self.usage_policy_id) if policy}
        if len(policies) > 1:
            raise InvalidParameter("Give budget_policy_id or usage_policy_id, not both: they mean the same.")
        policy = next(iter(policies), "")
        if len(policy) > MAX_POLICY:
            raise InvalidParameter(f"usage_policy_id must have at most {MAX_POLICY} characters, but has {len(policy)}.")
        return policy


class UnitsConfigBody(BaseModel):
    """A configuration sized in model units, nested in its own field, as this route has it."""

    model_config = _LENIENT

    config: ConfigBody

    def wish(self) -> ConfigWish:
        """What is asked for; raises InvalidParameter naming the field."""
        return in_units(self.config.wish())


def in_units(config: ConfigWish) -> ConfigWish:
    """Returns a configuration whose entities all have model units, or raises InvalidParameter."""
    for entity in config.entities or ():
        if entity.model_units is None:
            raise InvalidParameter(
                f"provisioned_model_units of served entity '{entity.name or entity.entity_name}' must be given here."
            )
    return config


class TagsBody(BaseModel):
    """A change of tags."""

    model_config = _LENIENT

    add_tags: Annotated[list[TagBody] | None, Field()] = None
    delete_tags: list[str] | None = None
