"""An endpoint's throughput: as JSON (ours), and as Prometheus gauges with the platform's names where it has them."""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client.core import Metric

from penstock.control.throughput import EndpointThroughput, EntityThroughput, Throughput
from penstock.domain.drift import Drift
from penstock.domain.scaling_record import ScalingRecord
from penstock.web.databricks.profile_answers import terms_answer
from penstock.web.databricks.serving_endpoints import ROOT
from penstock.web.exposition import CONTENT_TYPE, gauges, rendered, throughput_families
from penstock.web.guard import Access, CallerDep, allows, guarded_router


def router(throughput: Throughput) -> APIRouter:
    """The routes."""
    routes = guarded_router()

    async def get(name: str, caller: CallerDep) -> dict[str, Any]:
        return _answer(await throughput.of(caller, name))

    async def metrics(name: str, caller: CallerDep) -> PlainTextResponse:
        return PlainTextResponse(exposition(await throughput.of(caller, name)), media_type=CONTENT_TYPE)

    for path, handler in (("throughput", get), ("metrics", metrics)):
        for ending in ("", "/"):
            routes.add_api_route(
                f"{ROOT}/{{name}}/{path}{ending}", handler, methods=["GET"], openapi_extra=allows(Access.USER)
            )
    return routes


def _answer(found: EndpointThroughput) -> dict[str, Any]:
    return {
        "name": found.endpoint.name,
        "served_entities": [_entity(one) for one in found.entities],
        "decisions": [_decision(one) for one in found.decisions],
    }


def _entity(one: EntityThroughput) -> dict[str, Any]:
    reading = one.reading
    body: dict[str, Any] = {
        "name": reading.entity,
        "min_provisioned_throughput": reading.minimum,
        "max_provisioned_throughput": reading.maximum,
        "allotment": reading.allotment,
        "provisioned_concurrency": round(one.provisioned_concurrency, 2),
        "device_share": round(one.device_share, 4),
        "device_used": round(one.device_used, 4),
        "chunk": reading.chunk,
        "throughput": round(reading.throughput, 1),
        "demand": round(one.demand, 1),
        "attained": round(one.attained, 1),
        "queue": {"requests": reading.waiting, "tokens": round(reading.backlog, 1)},
        "in_flight": reading.in_flight,
        "predicted_wait_s": round(reading.predicted_wait_s, 3),
        "mean_output_tokens": round(reading.mean_out, 1),
        "estimator": {
            "characters_per_token": round(reading.characters_per_token, 3),
            "prompts": reading.prompts,
            "mean_output_tokens": round(reading.mean_out, 1),
            "answers": reading.answers,
        },
    }
    if one.appraisal is not None:
        body["cost"] = dict(zip("caebd", one.appraisal.cost.coefficients, strict=True))
        body["terms"] = terms_answer(one.appraisal.terms)
        body["estimated"] = one.appraisal.profile is None
        body["stale"] = (one.appraisal.profile.stale or None) if one.appraisal.profile else None
        body["drift"] = _drift(one.drift)
    return body


def _drift(drift: Drift | None) -> dict[str, Any] | None:
    """`error` is null while too few `slices` (minutes, as a rule) were busy."""
    if drift is None:
        return None
    return {"error": None if drift.error is None else round(drift.error, 4), "slices": drift.slices}


def _decision(one: ScalingRecord) -> dict[str, Any]:
    return {
        "time": one.at,
        "served_entity": one.entity,
        "old": one.old,
        "new": one.new,
        "kind": one.kind.value,
        "reason": one.reason,
    }


def exposition(found: EndpointThroughput) -> str:
    """Prometheus' text for one endpoint; counts and latencies are of the last minute."""
    return rendered([*throughput_families([found.standing]), *_profile_gauges(found)])


def _profile_gauges(found: EndpointThroughput) -> Iterator[Metric]:
    labels, name = ["endpoint_name", "served_entity_name"], found.endpoint.name
    errors = [
        ((name, one.reading.entity), one.drift.error)
        for one in found.entities
        if one.drift is not None and one.drift.error is not None
    ]
    text = "By how much requests of the last hour took more of the device than was measured, as a part."
    yield gauges("penstock_profile_drift_ratio", text, labels, errors)
    profiles = [(one.reading.entity, one.appraisal.profile if one.appraisal else None) for one in found.entities]
    stale = [((name, entity), float(profile is not None and bool(profile.stale))) for entity, profile in profiles]
    yield gauges("penstock_profile_stale", "1 if the profile is to be measured again.", labels, stale)
