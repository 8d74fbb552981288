"""Sends traces and metrics to an OpenTelemetry collector, by OpenTelemetry's own library.

The event loop only puts what has ended into a queue. A thread takes it from there, in small pieces so that it never
holds the interpreter for long, and the library's own threads do the sending.
"""

import logging
import threading
from collections import deque
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.util.re import parse_env_headers

from penstock.adapters.telemetry.figures import INSTRUMENTS, Instrument, points_of
from penstock.adapters.telemetry.spans import Kind, Span, span_of_call, spans_of
from penstock.domain.ended_request import EndedCall, EndedRequest
from penstock.domain.trace_context import TraceContext

SCOPE = "penstock"
MOST_WAITING = 8192
"""Requests that wait to be told of; those beyond are dropped."""
PERIOD_S = 0.5
"""How often the queue is looked into."""
PIECE = 16
"""Requests that are told of before other threads get their turn."""
PAUSE_S = 0.001
CLOSE_S = 5.0
_KINDS = {Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT, Kind.INTERNAL: SpanKind.INTERNAL}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send: URLs, empty for nowhere, headers as OTEL_EXPORTER_OTLP_HEADERS has them, and how often."""

    traces_url: str = ""
    metrics_url: str = ""
    headers: str = ""
    metrics_period_s: float = 60.0


class _Ids(IdGenerator):
    """Gives the ids that were decided when the request came, one at a time."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = 0

    def generate_trace_id(self) -> int:
        """That of the next span."""
        return self.trace_id

    def generate_span_id(self) -> int:
        """That of the next span."""
        return self.span_id

    def is_trace_id_random(self) -> bool:
        """They are drawn."""
        return True


class Otlp:
    """See `penstock.ports.telemetry.Telemetry`. `dropped` counts what was not told; `close` sends what is left."""

    def __init__(self, target: Target, version: str, instance: str) -> None:
        """`instance` tells this server from others of the same name."""
        resource = _resource(version, instance)
        headers = dict(parse_env_headers(target.headers, liberal=True)) or None
        self.dropped = 0
        self._waiting: deque[EndedRequest | EndedCall] = deque()
        self._ids = _Ids()
        self._spans = _span_provider(target, resource, headers, self._ids)
        self._figures = _figure_provider(target, resource, headers)
        self._tracer = self._spans.get_tracer(SCOPE, version) if self._spans is not None else None
        self._histograms = _histograms(self._figures, version)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def request(self, ended: EndedRequest) -> None:
        """Queues it."""
        self._put(ended)

    def call(self, ended: EndedCall) -> None:
        """Queues it."""
        self._put(ended)

    def close(self) -> None:
        """Blocks until what is left was sent, or for some seconds: a collector that is away holds nobody up."""
        closing = threading.Thread(target=self._close, name="telemetry end", daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def _close(self) -> None:
        self._closing.set()
        self._thread.join()
        if self._spans is not None:
            self._spans.shutdown()
        if self._figures is not None:
            self._figures.shutdown()

    def _put(self, ended: EndedRequest | EndedCall) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
        else:
            self._waiting.append(ended)

    def _run(self) -> None:
        while not self._closing.wait(PERIOD_S):
            self._tell_all()
        self._tell_all()

    def _tell_all(self) -> None:
        done = 0
        while self._waiting:
            try:
                self._tell(self._waiting.popleft())
            except Exception:  # noqa: BLE001 - whatever it is
                # Telemetry is never a reason for anything else to fail.
                _log.exception("telemetry of a request could not be told")
            done += 1
            if done % PIECE == 0:
                # Waits, so that the event loop gets the interpreter.
                self._closing.wait(PAUSE_S)

    def _tell(self, ended: EndedRequest | EndedCall) -> None:
        if isinstance(ended, EndedCall):
            self._record(span_of_call(ended))
            return
        for instrument, value, about in points_of(ended):
            histogram = self._histograms.get(instrument)
            if histogram is not None:
                histogram.record(value, dict(about))
        if ended.traced is not None:
            for span in spans_of(ended, ended.traced):
                self._record(span)

    def _record(self, span: Span) -> None:
        if self._tracer is None:
            return
        self._ids.trace_id, self._ids.span_id = int(span.context.trace_id, 16), int(span.context.span_id, 16)
        made = self._tracer.start_span(
            span.name,
            _context(span.parent),
            _KINDS[span.kind],
            dict(span.attributes),
            start_time=span.began_ns,
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR))
        made.end(span.ended_ns)


def _resource(version: str, instance: str) -> Resource:
    """This server, with what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say of it."""
    told = Resource.create({"service.version": version, "service.instance.id": instance})
    if str(told.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        told = told.merge(Resource({SERVICE_NAME: "penstock"}))
    return told


def _span_provider(
    target: Target, resource: Resource, headers: dict[str, str] | None, ids: IdGenerator
) -> TracerProvider | None:
    if not target.traces_url:
        return None
    # What is recorded was decided when the request came.
    made = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=ids)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(target.traces_url, headers=headers)))
    return made


def _figure_provider(target: Target, resource: Resource, headers: dict[str, str] | None) -> MeterProvider | None:
    if not target.metrics_url:
        return None
    exporter = OTLPMetricExporter(target.metrics_url, headers=headers)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=target.metrics_period_s * 1000)
    return MeterProvider([reader], resource, shutdown_on_exit=False)


def _histograms(provider: MeterProvider | None, version: str) -> dict[Instrument, Histogram]:
    if provider is None:
        return {}
    meter = provider.get_meter(SCOPE, version)
    return {
        one: meter.create_histogram(one.name, one.unit, one.text, explicit_bucket_boundaries_advisory=one.bounds)
        for one in INSTRUMENTS
    }


def _context(parent: TraceContext | None) -> Context:
    """The context in which a span is below `parent`; an empty one for the first of a trace."""
    if parent is None:
        return Context()
    members = [one.partition("=") for one in parent.state.split(",") if one]
    span = SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=TraceFlags(parent.flags),
        trace_state=TraceState([(key, value) for key, _, value in members]),
    )  # fmt: skip
    return set_span_in_context(NonRecordingSpan(span), Context())
