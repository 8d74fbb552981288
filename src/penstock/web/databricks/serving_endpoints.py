"""Serving endpoints: /api/2.0/serving-endpoints/*, each path with and without a slash at its end."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from penstock.control.endpoint_limits import EndpointLimits
from penstock.control.endpoint_logs import EndpointLogs
from penstock.control.endpoint_settings import EndpointSettings
from penstock.control.endpoints import Endpoints
from penstock.control.optimization import Optimization
from penstock.control.profiles import Profiles
from penstock.control.scaling_history import ScalingDecisions
from penstock.domain.catalog import check_number
from penstock.domain.errors import InvalidParameter
from penstock.domain.names import ModelName
from penstock.web.databricks import endpoint_answers as answers
from penstock.web.databricks.endpoint_bodies import (
    ConfigBody,
    CreateBody,
    TagsBody,
    UnitsConfigBody,
    in_units,
    read_precision,
)
from penstock.web.databricks.gateway_bodies import GatewayBody, RateLimitsBody, limits_answer
from penstock.web.databricks.profile_answers import ProfileBody, profiling_answer
from penstock.web.guard import Access, CallerDep, allows, guarded_router, whole_body
from penstock.web.json_body import check_json
from penstock.web.origin import OriginDep

ROOT = "/api/2.0/serving-endpoints"
_SDK = re.compile(r"databricks-sdk-py/(\d+)\.(\d+)")
_SDK_WITH_OBJECT = (0, 44)
"""The first databricks-sdk that takes tags as an object; older ones iterate the answer."""

Handler = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Serving:
    """The use cases behind these routes."""

    endpoints: Endpoints
    logs: EndpointLogs
    optimization: Optimization
    decisions: ScalingDecisions
    profiles: Profiles
    limits: EndpointLimits
    settings: EndpointSettings


def router(serving: Serving) -> APIRouter:
    """The routes; words that are reserved as names come first."""
    routes = guarded_router()
    _optimization(routes, serving.optimization)
    _in_units(routes, serving.endpoints)
    _profiles(routes, serving.profiles)
    _collection(routes, serving.endpoints)
    _one(routes, serving.endpoints)
    _changes(routes, serving.endpoints)
    _limits(routes, serving.endpoints, serving.limits)
    _logs(routes, serving.logs)
    _decisions(routes, serving.decisions)
    return routes


def _serve(routes: APIRouter, method: str, path: str, handler: Handler) -> None:
    for ending in ("", "/"):
        routes.add_api_route(ROOT + path + ending, handler, methods=[method], openapi_extra=allows(Access.USER))


def _optimization(routes: APIRouter, optimization: Optimization) -> None:
    async def info(name: str, version: str, caller: CallerDep) -> dict[str, Any]:
        found = await optimization.info(caller, ModelName.parse(name), check_number(version))
        return answers.optimization(found)

    _serve(routes, "GET", "/get-model-optimization-info/{name}/{version}", info)


def _in_units(routes: APIRouter, endpoints: Endpoints) -> None:
    async def create(body: CreateBody, caller: CallerDep, origin: OriginDep) -> dict[str, Any]:
        wish = body.wish()
        if wish.config is None or not wish.config.entities:
            raise InvalidParameter("config.served_entities must be given here, each with provisioned_model_units.")
        in_units(wish.config)
        return answers.detailed(await endpoints.create(caller, wish), origin)

    async def update(name: str, body: UnitsConfigBody, caller: CallerDep, origin: OriginDep) -> dict[str, Any]:
        return answers.detailed(await endpoints.update(caller, name, body.wish()), origin)

    _serve(routes, "POST", "/pt", create)
    _serve(routes, "PUT", "/pt/{name}/config", update)


def _decisions(routes: APIRouter, decisions: ScalingDecisions) -> None:
    async def list_decisions(
        name: str, caller: CallerDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> dict[str, Any]:
        found = await decisions.of(caller, name, limit)
        return {"decisions": [answers.decision(record) for record in found]}

    _serve(routes, "GET", "/{name}/scaling-decisions", list_decisions)


def _profiles(routes: APIRouter, profiles: Profiles) -> None:
    async def start(name: str, version: str, body: ProfileBody, caller: CallerDep) -> dict[str, Any]:
        model, number = ModelName.parse(name), check_number(version)
        return profiling_answer(await profiles.start(caller, model, number, body.wish()))

    async def get(name: str, version: str, caller: CallerDep, precision: str | None = None) -> dict[str, Any]:
        chosen = read_precision(precision, "precision")
        return profiling_answer(await profiles.get(caller, ModelName.parse(name), check_number(version), chosen))

    _serve(routes, "POST", "/profiles/{name}/{version}", start)
    _serve(routes, "GET", "/profiles/{name}/{version}", get)


def _collection(routes: APIRouter, endpoints: Endpoints) -> None:
    async def list_endpoints(caller: CallerDep) -> dict[str, Any]:
        return {"endpoints": [answers.listed(view) for view in await endpoints.list(caller)]}

    async def create(body: CreateBody, caller: CallerDep, origin: OriginDep) -> dict[str, Any]:
        return answers.detailed(await endpoints.create(caller, body.wish()), origin)

    _serve(routes, "GET", "", list_endpoints)
    _serve(routes, "POST", "", create)


def _one(routes: APIRouter, endpoints: Endpoints) -> None:
    async def get(name: str, caller: CallerDep, origin: OriginDep) -> dict[str, Any]:
        return answers.detailed(await endpoints.get(caller, name), origin)

    async def delete(name: str, caller: CallerDep) -> dict[str, Any]:
        await endpoints.delete(caller, name)
        return {}

    _serve(routes, "GET", "/{name}", get)
    _serve(routes, "DELETE", "/{name}", delete)


def _changes(routes: APIRouter, endpoints: Endpoints) -> None:
    async def update(name: str, body: ConfigBody, caller: CallerDep, origin: OriginDep) -> dict[str, Any]:
        return answers.detailed(await endpoints.update(caller, name, body.wish()), origin)

    async def cancel(name: str, caller: CallerDep, origin: OriginDep) -> dict[str, Any]:
        return answers.detailed(await endpoints.cancel(caller, name), origin)

    async def patch_tags(name: str, body: TagsBody, caller: CallerDep, request: Request) -> JSONResponse:
        add = [tag.pair() for tag in body.add_tags or ()]
        tags = answers.tags(await endpoints.patch_tags(caller, name, add, body.delete_tags or ()))
        return JSONResponse(tags if _takes_a_list(request) else {"tags": tags})

    _serve(routes, "PUT", "/{name}/config", update)
    _serve(routes, "POST", "/{name}/config:cancel", cancel)
    _serve(routes, "PATCH", "/{name}/tags", patch_tags)


def _limits(routes: APIRouter, endpoints: Endpoints, limits: EndpointLimits) -> None:
    async def put_rate_limits(name: str, body: RateLimitsBody, caller: CallerDep) -> dict[str, Any]:
        return {"rate_limits": limits_answer(await limits.replace(caller, name, body.limits(), legacy=True))}

    async def put_gateway(name: str, body: GatewayBody, caller: CallerDep) -> dict[str, Any]:
        wanted = body.limits()
        fallback = await endpoints.set_fallback(caller, name, fallback=body.fallback())
        return answers.gateway(await limits.replace(caller, name, wanted, legacy=False), fallback=fallback)

    _serve(routes, "PUT", "/{name}/rate-limits", put_rate_limits)
    _serve(routes, "PUT", "/{name}/ai-gateway", put_gateway)


def _takes_a_list(request: Request) -> bool:
    found = _SDK.search(request.headers.get("user-agent", ""))
    return found is not None and (int(found[1]), int(found[2])) < _SDK_WITH_OBJECT


def _logs(routes: APIRouter, logs: EndpointLogs) -> None:
    async def build_logs(name: str, entity: str, caller: CallerDep, request: Request) -> dict[str, Any]:
        return {"logs": await logs.build(caller, name, entity, await _config_version(request))}

    async def server_logs(name: str, entity: str, caller: CallerDep, request: Request) -> dict[str, Any]:
        return {"logs": await logs.server(caller, name, entity, await _config_version(request))}

    _serve(routes, "GET", "/{name}/served-models/{entity}/build-logs", build_logs)
    _serve(routes, "GET", "/{name}/served-models/{entity}/logs", server_logs)


async def _config_version(request: Request) -> int | None:
    """From the query, or from a JSON body, which some clients send with GET; None if neither has it."""
    value: object = request.query_params.get("config_version")
    body = await whole_body(request)
    if value is None and body.strip():
        check_json(body)
        try:
            content = json.loads(body)
        except ValueError as error:
            raise InvalidParameter(f"The request body is not valid JSON: {error}.") from error
        value = content.get("config_version") if isinstance(content, dict) else None
    return None if value is None or value == "" else check_number(str(value), "config_version")
