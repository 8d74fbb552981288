"""Answers about serving endpoints."""

from typing import Any, Literal

from msgspec import UNSET

from penstock.web.reference.shapes.shape import Maybe, Pair, Shape


class EndpointState(Shape):
    """How an endpoint stands."""

    ready: Literal["READY", "NOT_READY"]
    config_update: Literal["NOT_UPDATING", "IN_PROGRESS", "UPDATE_FAILED", "UPDATE_CANCELED"]
    suspend: Maybe[Literal["STOPPED"]] = UNSET


class EndpointRateLimit(Shape):
    """A rate limit."""

    key: Literal["endpoint", "user", "user_group", "service_principal"]
    renewal_period: Literal["minute"]
    principal: Maybe[str] = UNSET
    calls: Maybe[int] = UNSET
    tokens: Maybe[int] = UNSET


class EndpointRateLimits(Shape):
    """Rate limits in the older form."""

    rate_limits: list[EndpointRateLimit]


class FallbackConfig(Shape):
    """Whether external models stand in for each other."""

    enabled: bool


class AiGateway(Shape):
    """What is on of the AI gateway."""

    rate_limits: Maybe[list[EndpointRateLimit]] = UNSET
    fallback_config: Maybe[FallbackConfig] = UNSET


class TelemetryConfig(Shape):
    """A telemetry configuration; its tables are written only."""

    enabled_telemetry_features: list[str]
    telemetry_profile_id: Maybe[str] = UNSET


class EmailNotifications(Shape):
    """E-mail addresses by what they are told of."""

    on_update_failure: Maybe[list[str]] = UNSET
    on_update_success: Maybe[list[str]] = UNSET


class EndpointNotifications(Shape):
    """An endpoint's name and the addresses."""

    name: str
    email_notifications: EmailNotifications


class ServedEntityState(Shape):
    """How a served entity stands."""

    deployment: str
    deployment_state_message: str


class FoundationModel(Shape):
    """The model of one of the system's own endpoints."""

    name: str
    description: str


class ServedEntity(Shape):
    """A served entity, of a model version or an external model; its size is in the fields that it was asked for in.

    Of a LoRA adapter, the version that it runs on is told as `base_entity_name` and `base_entity_version`.
    """

    name: str
    creator: str
    creation_timestamp: int
    state: ServedEntityState
    entity_name: Maybe[str] = UNSET
    entity_version: Maybe[str] = UNSET
    model_name: Maybe[str] = UNSET
    model_version: Maybe[str] = UNSET
    external_model: Maybe[dict[str, Any]] = UNSET
    foundation_model: Maybe[FoundationModel] = UNSET
    min_provisioned_throughput: Maybe[int] = UNSET
    max_provisioned_throughput: Maybe[int] = UNSET
    min_provisioned_concurrency: Maybe[int] = UNSET
    max_provisioned_concurrency: Maybe[int] = UNSET
    provisioned_model_units: Maybe[int] = UNSET
    workload_size: Maybe[str] = UNSET
    scale_to_zero_enabled: Maybe[bool] = UNSET
    weight_precision: Maybe[str] = UNSET
    base_entity_name: Maybe[str] = UNSET
    base_entity_version: Maybe[str] = UNSET


class TrafficRoute(Shape):
    """A share of the traffic; both names are the same."""

    served_model_name: str
    served_entity_name: str
    traffic_percentage: int


class TrafficConfig(Shape):
    """The traffic split."""

    routes: list[TrafficRoute]


class EndpointConfig(Shape):
    """A configuration; `served_models` is the older twin of `served_entities`."""

    config_version: int
    served_entities: list[ServedEntity]
    served_models: list[ServedEntity]
    traffic_config: TrafficConfig


class PendingConfig(EndpointConfig):
    """A configuration that does not serve yet."""

    start_time: int


class DataPlaneQuery(Shape):
    """Where clients of the data plane ask, and what they ask a token for."""

    endpoint_url: str
    authorization_details: str


class DataPlaneInfo(Shape):
    """What clients of the data plane need."""

    query_info: DataPlaneQuery


class _Endpoint(Shape):
    name: str
    id: str
    creator: str
    creation_timestamp: int
    last_updated_timestamp: int
    state: EndpointState
    description: str
    tags: Maybe[list[Pair]] = UNSET
    task: Maybe[str] = UNSET
    endpoint_type: Maybe[str] = UNSET
    ai_gateway: Maybe[AiGateway] = UNSET
    telemetry_config: Maybe[TelemetryConfig] = UNSET


class ServingEndpointDetailed(_Endpoint, kw_only=True):
    """An endpoint; `pending_config` is there while an update is in progress."""

    permission_level: Literal["CAN_VIEW", "CAN_QUERY", "CAN_MANAGE"]
    route_optimized: bool
    endpoint_url: Maybe[str] = UNSET
    data_plane_info: Maybe[DataPlaneInfo] = UNSET
    email_notifications: Maybe[EmailNotifications] = UNSET
    config: Maybe[EndpointConfig] = UNSET
    pending_config: Maybe[PendingConfig] = UNSET


class ListedEntity(Shape):
    """A served entity in a list."""

    name: str
    entity_name: Maybe[str] = UNSET
    entity_version: Maybe[str] = UNSET
    model_name: Maybe[str] = UNSET
    model_version: Maybe[str] = UNSET
    external_model: Maybe[dict[str, Any]] = UNSET
    foundation_model: Maybe[FoundationModel] = UNSET


class ListedConfig(Shape):
    """A configuration in a list."""

    served_entities: list[ListedEntity]
    served_models: list[ListedEntity]


class ServingEndpoint(_Endpoint, kw_only=True):
    """An endpoint in a list."""

    usage_policy_id: Maybe[str] = UNSET
    config: Maybe[ListedConfig] = UNSET


class ServingEndpoints(Shape):
    """All endpoints that the caller may see."""

    endpoints: list[ServingEndpoint]


class EndpointTags(Shape):
    """An endpoint's tags."""

    tags: list[Pair]


class Logs(Shape):
    """The last lines of a log."""

    logs: str


class EndpointPermission(Shape):
    """A level, and where it comes from."""

    permission_level: Literal["CAN_VIEW", "CAN_QUERY", "CAN_MANAGE"]
    inherited: bool
    inherited_from_object: Maybe[list[str]] = UNSET


class EndpointAccess(Shape):
    """What one of the three may do."""

    all_permissions: list[EndpointPermission]
    user_name: Maybe[str] = UNSET
    group_name: Maybe[str] = UNSET
    service_principal_name: Maybe[str] = UNSET
    display_name: Maybe[str] = UNSET


class EndpointPermissions(Shape):
    """Who may do what with an endpoint."""

    object_id: str
    object_type: Literal["serving-endpoint"]
    access_control_list: list[EndpointAccess]


class LevelDescription(Shape):
    """A level in words."""

    permission_level: str
    description: str


class PermissionLevels(Shape):
    """All levels."""

    permission_levels: list[LevelDescription]
