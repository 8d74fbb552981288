"""An endpoint's throughput: as JSON (ours), and as Prometheus gauges with the platform's names where it has them."""

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.control.throughput import EndpointThroughput, EntityThroughput, Throughput
from penstock.domain.drift import Drift
from penstock.domain.last_minute import LATENCIES_MS, Ended
from penstock.domain.scaling_record import ScalingRecord
from penstock.web.databricks.profile_answers import terms_answer
from penstock.web.databricks.serving_endpoints import ROOT
from penstock.web.guard import Access, CallerDep, allows, guarded_router


def router(throughput: Throughput) -> APIRouter:
    """The routes."""
    routes = guarded_router()

    async def get(name: str, caller: CallerDep) -> dict[str, Any]:
        return _answer(await throughput.of(caller, name))

    async def metrics(name: str, caller: CallerDep) -> PlainTextResponse:
        return PlainTextResponse(exposition(await throughput.of(caller, name)), media_type="text/plain; version=0.0.4")

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
    registry = CollectorRegistry()
    registry.register(_LastMinute(found.endpoint.name, found.ended))
    _gauges(found, registry)
    return generate_latest(registry).decode()


class _LastMinute(Collector):
    """Requests that ended, from the sums that are kept of them."""

    def __init__(self, endpoint: str, ended: Ended) -> None:
        self._endpoint = endpoint
        self._ended = ended

    def collect(self) -> Iterator[Metric]:
        """The families."""
        ended, labels = self._ended, ["endpoint_name"]
        counts = {
            "request_count_total": ended.requests,
            "request_4xx_count_total": ended.client_errors,
            "request_5xx_count_total": ended.server_errors,
        }
        for name, value in counts.items():
            gauge = GaugeMetricFamily(name, "Requests that ended in the last minute.", labels=labels)
            gauge.add_metric([self._endpoint], value)
            yield gauge
        for name, histogram in (("request_latency_ms", ended.duration), ("model_queue_time_ms", ended.queue)):
            text = "Of the requests that ended in the last minute, in milliseconds."
            family = HistogramMetricFamily(name, text, labels=labels)
            bounds = [*(str(float(bound)) for bound in LATENCIES_MS), "+Inf"]
            buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
            family.add_metric([self._endpoint], buckets, histogram.total)
            yield family


def _gauges(found: EndpointThroughput, registry: CollectorRegistry) -> None:
    figures = {
        "provisioned_concurrent_requests_total": ("Provisioned concurrency: four for each chunk.", "concurrency"),
        "penstock_allotment_tokens_per_second": ("What is promised now.", "allotment"),
        "penstock_minimum_tokens_per_second": ("The band's minimum.", "minimum"),
        "penstock_maximum_tokens_per_second": ("The band's maximum.", "maximum"),
        "penstock_demand_tokens_per_second": ("Reference tokens offered, mean of the last 10 s.", "demand"),
        "penstock_attained_tokens_per_second": ("Reference tokens done, mean of the last 10 s.", "attained"),
        "penstock_queue_requests": ("Requests that wait for their turn.", "waiting"),
        "penstock_queue_tokens": ("Reference tokens that wait for their turn.", "backlog"),
        "penstock_in_flight_requests": ("Requests that are with an engine.", "in_flight"),
        "penstock_predicted_wait_seconds": ("How long a request that comes now would wait.", "predicted_wait_s"),
    }
    labels = ["endpoint_name", "served_entity_name"]
    for name, (text, figure) in figures.items():
        gauge = Gauge(name, text, labels, registry=registry)
        for one in found.entities:
            own = {"concurrency": one.provisioned_concurrency, "demand": one.demand, "attained": one.attained}
            value = own[figure] if figure in own else getattr(one.reading, figure)
            gauge.labels(found.endpoint.name, one.reading.entity).set(value)
    _profile_gauges(found, registry, labels)


def _profile_gauges(found: EndpointThroughput, registry: CollectorRegistry, labels: list[str]) -> None:
    text = "By how much requests of the last hour took more of the device than was measured, as a part."
    drift = Gauge("penstock_profile_drift_ratio", text, labels, registry=registry)
    stale = Gauge("penstock_profile_stale", "1 if the profile is to be measured again.", labels, registry=registry)
    for one in found.entities:
        own = (found.endpoint.name, one.reading.entity)
        if one.drift is not None and one.drift.error is not None:
            drift.labels(*own).set(one.drift.error)
        profile = one.appraisal.profile if one.appraisal is not None else None
        stale.labels(*own).set(1 if profile is not None and profile.stale else 0)
