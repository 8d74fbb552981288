"""`GET /metrics`: the whole server for Prometheus, from memory: it answers when the database does not."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client.core import Metric

from penstock.control.health import Health
from penstock.control.loop import Loop
from penstock.control.throughput import Standing, Throughput
from penstock.domain.answer_counts import Plane
from penstock.domain.request_sums import DURATION_S, OVERHEAD_S, QUEUE_S, TPOT_S, TTFT_S, EntitySums
from penstock.domain.routing import EndpointRoute
from penstock.gateway.interrupt import Running
from penstock.gateway.observer import Observer
from penstock.gateway.table import Table
from penstock.ports.journal import Journal
from penstock.ports.machine import Machine, MachineFigures
from penstock.web.exposition import CONTENT_TYPE, counters, gauges, histograms, rendered, throughput_families
from penstock.web.guard import Access, allows, guarded_router

PATH = "/metrics"
_ENTITY = ["endpoint_name", "served_entity_name"]
_HISTOGRAMS = {
    "penstock_request_duration_seconds": ("From a request to the end of its answer.", DURATION_S, "duration"),
    "penstock_time_to_first_token_seconds": ("Of streams that were answered to their end.", TTFT_S, "ttft"),
    "penstock_time_per_output_token_seconds": ("Of such streams, after the first token.", TPOT_S, "tpot"),
    "penstock_request_queue_seconds": ("Until a request is sent to an engine or a provider.", QUEUE_S, "queue"),
    "penstock_overhead_seconds": ("Our own time with a request until its answer began.", OVERHEAD_S, "overhead"),
}


@dataclass(frozen=True, slots=True)
class LoopFigures:
    """A loop: how often it failed in a row, and when it last did not (epoch milliseconds, 0 if never)."""

    name: str
    failures: int
    succeeded_at: int


@dataclass(frozen=True, slots=True)
class Look:
    """The server as it was at a moment; only what is here is written, on another thread."""

    sums: Mapping[str, Mapping[str, EntitySums]]
    answers: Mapping[tuple[Plane, int], int]
    routes: Sequence[EndpointRoute]
    waiting: Mapping[str, int]
    standings: Sequence[Standing]
    services: Mapping[str, bool]
    loops: Sequence[LoopFigures]
    unknown: int
    running: int
    behind: int
    unwritten_bytes: int
    dropped: int | None


@dataclass(frozen=True, slots=True)
class ServerMetrics:
    """Where the figures come from. `dropped` counts telemetry that could not be sent, None where none is sent."""

    observer: Observer
    table: Table
    running: Running
    throughput: Throughput
    health: Health
    journal: Journal
    machine: Machine
    version: str
    loops: Sequence[Loop] = ()
    dropped: Callable[[], int] | None = None

    async def text(self) -> str:
        """Prometheus' text."""
        services = {name: answer == "ok" for name, answer in (await self.health.ask()).items()}
        return await asyncio.to_thread(self._written, self._look(services))

    def _look(self, services: Mapping[str, bool]) -> Look:
        routes, observer = self.table.routes(), self.observer
        return Look(
            sums=observer.sums.told(),
            answers=observer.answers.told(),
            routes=routes,
            waiting={route.id: self.table.waiting(route.id) for route in routes},
            standings=self.throughput.standings({route.id: route.name for route in routes}),
            services=services,
            loops=[LoopFigures(one.name, one.failures, one.succeeded_at) for one in self.loops],
            unknown=observer.sums.unknown,
            running=len(self.running),
            behind=self.journal.behind,
            unwritten_bytes=self.journal.unwritten_bytes,
            dropped=self.dropped() if self.dropped is not None else None,
        )

    def _written(self, look: Look) -> str:
        build = gauges("penstock_build_info", "The version that runs.", ["version"], [((self.version,), 1)])
        families = (_requests(look), _endpoints(look), _server(look), _machine(self.machine.read()))
        return rendered([build, *(family for group in families for family in group)])


def router(source: ServerMetrics) -> APIRouter:
    """GET /metrics."""
    routes = guarded_router()

    @routes.get(PATH, openapi_extra=allows(Access.ADMIN))
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(await source.text(), media_type=CONTENT_TYPE)

    return routes


def _requests(look: Look) -> Iterator[Metric]:
    names = {route.id: route.name for route in look.routes}
    found = [
        ((names[key], entity), sums)
        for key, entities in look.sums.items()
        if key in names
        for entity, sums in entities.items()
    ]
    ended = [
        ((*labels, outcome, str(status)), count)
        for labels, sums in found
        for (outcome, status), count in sums.ended.items()
    ]
    text = "Requests that ended, by outcome and status of the answer."
    yield counters("penstock_requests", text, [*_ENTITY, "outcome", "status"], ended)
    kinds = ("input", "output", "cached")
    tokens = [((*labels, kind), getattr(sums, f"{kind}_tokens")) for labels, sums in found for kind in kinds]
    text = "Tokens as they were counted; cached ones are input too."
    yield counters("penstock_tokens", text, [*_ENTITY, "type"], tokens)
    for name, (text, bounds, figure) in _HISTOGRAMS.items():
        rows = [(labels, getattr(sums, figure)) for labels, sums in found]
        yield histograms(name, text, _ENTITY, bounds, [(labels, one.counts, one.total) for labels, one in rows])
    unknown = "Requests to endpoints that do not exist."
    yield counters("penstock_requests_to_unknown_endpoints", unknown, [], [((), look.unknown)])
    answers = [((plane.value, str(status)), count) for (plane, status), count in look.answers.items()]
    yield counters("penstock_http_answers", "Answers of the server, whatever was asked.", ["plane", "status"], answers)


def _endpoints(look: Look) -> Iterator[Metric]:
    yield from throughput_families(look.standings)
    waiting = [((route.name,), look.waiting[route.id]) for route in look.routes]
    yield gauges("penstock_waiting_for_replica", "Requests that wait for a replica.", ["endpoint_name"], waiting)
    replicas = [
        ((route.name, entity.name), len(entity.replicas))
        for route in look.routes
        for entity in route.entities
        if entity.external is None
    ]
    yield gauges("penstock_ready_replicas", "Replicas that serve.", _ENTITY, replicas)


def _server(look: Look) -> Iterator[Metric]:
    yield gauges("penstock_requests_running", "Requests under way or waiting.", [], [((), look.running)])
    up = [((name,), float(well)) for name, well in look.services.items()]
    yield gauges("penstock_service_up", "1 for what answers, as /health/ready asks.", ["service"], up)
    failing = [((one.name,), one.failures) for one in look.loops]
    yield gauges("penstock_loop_failures", "How often a loop has failed in a row.", ["loop"], failing)
    last = [((one.name,), one.succeeded_at / 1000) for one in look.loops if one.succeeded_at]
    text = "When a loop last did its work, epoch seconds."
    yield gauges("penstock_loop_last_success_timestamp_seconds", text, ["loop"], last)
    text = "Ended requests that are not in the database yet."
    yield gauges("penstock_ledger_unstored_requests", text, [], [((), look.behind)])
    text = "Bytes of the ledger in memory that the disk has not taken."
    yield gauges("penstock_ledger_unwritten_bytes", text, [], [((), look.unwritten_bytes)])
    if look.dropped is not None:
        text = "Requests whose telemetry was dropped: there was more than could be sent."
        yield counters("penstock_telemetry_dropped", text, [], [((), look.dropped)])


def _machine(read: MachineFigures) -> Iterator[Metric]:
    shown = {
        "cpu_usage_percentage": ("Of the machine, since the last time it was read.", read.cpu_percent),
        "mem_usage_percentage": ("Of the machine's memory.", read.memory_percent),
        "process_resident_memory_bytes": ("Of the server's process.", read.resident_bytes),
        "process_virtual_memory_bytes": ("Of the server's process.", read.virtual_bytes),
        "process_open_fds": ("Open files of the server's process.", read.open_files),
        "process_threads": ("Threads of the server's process.", read.threads),
        "process_start_time_seconds": ("When the server's process began, epoch seconds.", read.started_at),
        "penstock_child_processes": ("Engines and MLflow's server.", read.engines),
        "penstock_child_processes_resident_memory_bytes": ("What they hold.", read.engines_bytes),
    }
    for name, (text, value) in shown.items():
        yield gauges(name, text, [], [((), value)])
    yield counters("process_cpu_seconds", "Processor time of the server's process.", [], [((), read.cpu_s)])
