"""Endpoints as they go over the wire."""

from typing import Any

from penstock.control.endpoint_views import ConfigView, EndpointView
from penstock.control.optimization import OptimizationInfo
from penstock.domain.endpoint import Endpoint
from penstock.domain.served_entity import ServedEntity
from penstock.web.databricks.profile_answers import profile_answer


def detailed(view: EndpointView) -> dict[str, Any]:
    """ServingEndpointDetailed. `pending_config` is there only while an update is in progress."""
    body = _common(view.endpoint)
    body["permission_level"] = view.level.value
    body["route_optimized"] = view.endpoint.route_optimized
    if view.config is not None:
        body["config"] = _config(view.config)
    if view.pending is not None:
        body["pending_config"] = {**_config(view.pending), "start_time": view.pending.config.started_at}
    return body


def listed(view: EndpointView) -> dict[str, Any]:
    """ServingEndpoint, as in a list: served entities by name only."""
    body = _common(view.endpoint)
    shown = view.config or view.pending
    if shown is not None:
        body["config"] = {
            "served_entities": [
                {"name": one.name, "entity_name": one.entity_name, "entity_version": one.entity_version}
                for one in shown.config.entities
            ],
            "served_models": [
                {"name": one.name, "model_name": one.entity_name, "model_version": one.entity_version}
                for one in shown.config.entities
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
        "state": {"ready": endpoint.ready.value, "config_update": endpoint.config_update.value},
        "description": endpoint.description,
    }
    if endpoint.tags:
        body["tags"] = tags(endpoint.tags)
    if endpoint.task is not None:
        body["task"] = endpoint.task.value
    return body


def tags(pairs: Any) -> list[dict[str, str]]:
    """Tags as a list of objects."""
    return [{"key": key, "value": value} for key, value in pairs]


def _config(view: ConfigView) -> dict[str, Any]:
    config = view.config
    return {
        "config_version": config.version,
        "served_entities": [
            {"entity_name": one.entity_name, "entity_version": one.entity_version, **_entity(view, one)}
            for one in config.entities
        ],
        "served_models": [
            {"model_name": one.entity_name, "model_version": one.entity_version, **_entity(view, one)}
            for one in config.entities
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


def _entity(view: ConfigView, entity: ServedEntity) -> dict[str, Any]:
    status = view.statuses[entity.name]
    body: dict[str, Any] = {
        "name": entity.name,
        "min_provisioned_throughput": entity.min_provisioned_throughput,
        "max_provisioned_throughput": entity.max_provisioned_throughput,
        "creator": view.config.creator,
        "creation_timestamp": view.config.started_at,
        "state": {"deployment": status.deployment.value, "deployment_state_message": status.message},
    }
    if entity.scale_to_zero_enabled is not None:
        body["scale_to_zero_enabled"] = entity.scale_to_zero_enabled
    if entity.precision is not None:
        body["weight_precision"] = entity.precision.value
    return body


def optimization(info: OptimizationInfo) -> dict[str, Any]:
    """The answer of get-model-optimization-info; fields after `throughput_chunk_size` are ours."""
    if info.chunks is None:
        return {"optimizable": False, "message": info.problem}
    body: dict[str, Any] = {
        "optimizable": True,
        "model_type": info.model_type,
        "throughput_chunk_size": info.chunks.chunk,
        "estimated": info.profile is None,
        "throughput": round(info.chunks.throughput, 1),
        "slices": info.chunks.slices,
    }
    if info.profile is not None:
        body["profile"] = profile_answer(info.profile)
    return body
