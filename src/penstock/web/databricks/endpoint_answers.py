"""Endpoints as they go over the wire."""

from collections.abc import Sequence
from typing import Any

from penstock.control.endpoint_limits import shown_limits
from penstock.control.endpoint_views import ConfigView, EndpointView
from penstock.control.optimization import OptimizationInfo
from penstock.domain.authorization_details import details_of
from penstock.domain.endpoint import Endpoint
from penstock.domain.external_model import ExternalEntity
from penstock.domain.notification import Notifications
from penstock.domain.rate_limit import RateLimit
from penstock.domain.scaling_record import ScalingRecord
from penstock.domain.served_entity import ServedEntity
from penstock.domain.sizing import UNITS_PER_CHUNK
from penstock.domain.telemetry import Telemetry
from penstock.web.databricks.external_bodies import external_answer
from penstock.web.databricks.gateway_bodies import limits_answer
from penstock.web.databricks.profile_answers import profile_answer, terms_answer

_SOLD_BY_TOKENS = frozenset(
    {"llama", "mistral", "mixtral", "dbrx", "mpt", "bert", "new", "gte", "qwen2", "deepseek_v3"}
)
"""Model types of the families that the platform sells by tokens per second; DeepSeek-R1's distills are qwen2."""
_SOLD_BY_TOKENS_TOO = ("bge-", "gte-")
"""How the names begin that people log embedding models of those families with."""


def detailed(view: EndpointView, origin: str) -> dict[str, Any]:
    """ServingEndpointDetailed. `pending_config` is there only while an update is in progress.

    `origin` is where the server is reached.
    """
    body = _common(view.endpoint)
    body["permission_level"] = view.level.value
    body["route_optimized"] = view.endpoint.route_optimized
    if view.endpoint.route_optimized:
        body["endpoint_url"] = url = f"{origin}/serving-endpoints/{view.endpoint.name}/invocations"
        body["data_plane_info"] = _data_plane(view.endpoint, url)
    if view.endpoint.notifications:
        body["email_notifications"] = notifications(view.endpoint.notifications)
    if view.config is not None:
        body["config"] = _config(view.config, view.endpoint)
    if view.pending is not None:
        body["pending_config"] = {**_config(view.pending, view.endpoint), "start_time": view.pending.config.started_at}
    return body


def _data_plane(endpoint: Endpoint, url: str) -> dict[str, Any]:
    """Where clients of the data plane ask, and what they ask a token for."""
    return {"query_info": {"endpoint_url": url, "authorization_details": details_of(endpoint.id)}}


def listed(view: EndpointView) -> dict[str, Any]:
    """ServingEndpoint, as in a list: served entities by name only."""
    body = _common(view.endpoint)
    if view.endpoint.usage_policy:
        body["usage_policy_id"] = view.endpoint.usage_policy
    shown = view.config or view.pending
    if shown is not None:
        config = shown.config
        external = [{"name": one.name, "external_model": external_answer(one.model)} for one in config.externals]
        body["config"] = {
            "served_entities": [
                *({"name": one.name, **_named(view.endpoint, one, "entity")} for one in config.entities),
                *external,
            ],
            "served_models": [
                *({"name": one.name, **_named(view.endpoint, one, "model")} for one in config.entities),
                *external,
            ],
        }
    return body


def _common(endpoint: Endpoint) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": endpoint.name,
        "id": endpoint.id,
        "creator": endpoint.creator,
        "creation_timestamp": endpoint.created_at,
        "last_updated_timestamp": endpoint.updated_at,
        "state": _state(endpoint),
        "description": endpoint.description,
    }
    if endpoint.tags:
        body["tags"] = tags(endpoint.tags)
    if endpoint.task is not None:
        body["task"] = endpoint.task.value
    config = endpoint.current
    if config is not None and config.externals:
        body["endpoint_type"] = "EXTERNAL_MODEL"
    if endpoint.is_system:
        body["endpoint_type"] = "FOUNDATION_MODEL_API"
    if ai_gateway := gateway(shown_limits(endpoint), fallback=endpoint.fallback):
        body["ai_gateway"] = ai_gateway
    if endpoint.telemetry is not None:
        body["telemetry_config"] = _telemetry(endpoint.telemetry)
    return body


def gateway(limits: Sequence[RateLimit], *, fallback: bool) -> dict[str, Any]:
    """AiGatewayConfig, without what is off."""
    body: dict[str, Any] = {"rate_limits": limits_answer(limits)} if limits else {}
    return body | {"fallback_config": {"enabled": True}} if fallback else body


def _state(endpoint: Endpoint) -> dict[str, str]:
    state = {"ready": endpoint.ready.value, "config_update": endpoint.config_update.value}
    return {**state, "suspend": "STOPPED"} if endpoint.suspended else state


def notifications(wanted: Notifications) -> dict[str, list[str]]:
    """The addresses; a list that is empty is absent."""
    both = {"on_update_failure": wanted.on_update_failure, "on_update_success": wanted.on_update_success}
    return {field: list(addresses) for field, addresses in both.items() if addresses}


def _telemetry(telemetry: Telemetry) -> dict[str, Any]:
    body: dict[str, Any] = {"enabled_telemetry_features": list(telemetry.features)}
    return {**body, "telemetry_profile_id": telemetry.profile_id} if telemetry.profile_id else body


def tags(pairs: Any) -> list[dict[str, str]]:
    """Tags as a list of objects."""
    return [{"key": key, "value": value} for key, value in pairs]


def _config(view: ConfigView, endpoint: Endpoint) -> dict[str, Any]:
    config = view.config
    external = [_external(view, one) for one in config.externals]
    return {
        "config_version": config.version,
        "served_entities": [
            *({**_named(endpoint, one, "entity"), **_entity(view, one, endpoint)} for one in config.entities),
            *external,
        ],
        "served_models": [
            *({**_named(endpoint, one, "model"), **_entity(view, one, endpoint)} for one in config.entities),
            *external,
        ],
        "traffic_config": {
            "routes": [
                {
                    "served_model_name": route.served_entity,
                    "served_entity_name": route.served_entity,
                    "traffic_percentage": route.percentage,
                }
                for route in config.routes
            ]
        },
    }


def _external(view: ConfigView, entity: ExternalEntity) -> dict[str, Any]:
    return {"name": entity.name, "external_model": external_answer(entity.model), **_stands(view, entity.name)}


def _stands(view: ConfigView, entity: str) -> dict[str, Any]:
    status = view.statuses[entity]
    return {
        "creator": view.config.creator,
        "creation_timestamp": view.config.started_at,
        "state": {"deployment": status.deployment.value, "deployment_state_message": status.message},
    }


def _named(endpoint: Endpoint, entity: ServedEntity, what: str) -> dict[str, Any]:
    """What it serves. Of the system's own endpoints the platform tells the model, and no version of it."""
    if endpoint.is_system:
        told = {"name": entity.entity_name, "description": endpoint.description}
        return {f"{what}_name": entity.entity_name, "foundation_model": told}
    return {f"{what}_name": entity.entity_name, f"{what}_version": entity.entity_version}


def _entity(view: ConfigView, entity: ServedEntity, endpoint: Endpoint) -> dict[str, Any]:
    size = {} if endpoint.is_system else _size(entity)
    body: dict[str, Any] = {"name": entity.name, **size, **_stands(view, entity.name)}
    if entity.scale_to_zero_enabled is not None:
        body["scale_to_zero_enabled"] = entity.scale_to_zero_enabled
    if entity.precision is not None:
        body["weight_precision"] = entity.precision.value
    if entity.base is not None:
        body["base_entity_name"], body["base_entity_version"] = entity.base
    return body


def _size(entity: ServedEntity) -> dict[str, int | str | None]:
    """In the fields that it was asked for in. `burst_scaling_enabled` is written only: clients see a change in it."""
    size = entity.sizing
    if entity.workload_size is not None:
        return {"workload_size": entity.workload_size}
    if size is not None and size.model_units is not None:
        return {"provisioned_model_units": size.model_units}
    if size is not None:
        return {
            "min_provisioned_concurrency": size.min_concurrency,
            "max_provisioned_concurrency": size.max_concurrency,
        }
    return {
        "min_provisioned_throughput": entity.min_provisioned_throughput,
        "max_provisioned_throughput": entity.max_provisioned_throughput,
    }


def decision(record: ScalingRecord) -> dict[str, Any]:
    """One change of an allotment."""
    return {
        "served_entity_name": record.entity,
        "timestamp": record.at,
        "old": round(record.old, 1),
        "new": round(record.new, 1),
        "kind": record.kind.value,
        "reason": record.reason,
        "chunk": round(record.chunk, 1),
        "wanted_chunks": record.wanted,
        "demand_mean": round(record.mean, 1),
        "demand_burst": round(record.burst, 1),
        "backlog": round(record.backlog, 1),
        "free": round(record.free, 1),
        "min_provisioned_throughput": round(record.minimum, 1),
        "max_provisioned_throughput": round(record.maximum, 1),
        "startup_s": round(record.startup_s, 2),
        "devices": record.devices.split(", ") if record.devices else [],
    }


def optimization(info: OptimizationInfo) -> dict[str, Any]:
    """The answer of get-model-optimization-info; fields after `throughput_chunk_size` are ours.

    `model_unit_chunk_size` comes with newer families only: clients take it as a sign to ask in model units.
    """
    if info.chunks is None:
        return {"optimizable": False, "message": info.problem}
    body: dict[str, Any] = {
        "optimizable": True,
        "model_type": info.model_type,
        "throughput_chunk_size": info.chunks.chunk,
        "estimated": info.profile is None,
        "stale": (info.profile.stale or None) if info.profile is not None else None,
        "throughput": round(info.chunks.throughput, 1),
        "slices": info.chunks.slices,
    }
    kind = info.model_type or ""
    if kind not in _SOLD_BY_TOKENS and not kind.startswith(_SOLD_BY_TOKENS_TOO):
        body["model_unit_chunk_size"] = UNITS_PER_CHUNK
    if info.base:
        body["base_model"] = info.base
    if info.profile is not None:
        body["profile"] = profile_answer(info.profile)
    if info.terms is not None:
        body["terms"] = terms_answer(info.terms)
    return body
