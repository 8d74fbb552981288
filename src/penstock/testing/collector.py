"""An OpenTelemetry collector on this machine: it takes OTLP over HTTP and keeps what it gets."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACES, METRICS = "/v1/traces", "/v1/metrics"
_KINDS: dict[str, Any] = {TRACES: ExportTraceServiceRequest, METRICS: ExportMetricsServiceRequest}


class Collector:
    """Listens at `url` from a thread, until it is closed. `bodies` and `headers` are those of requests as they came."""

    def __init__(self) -> None:
        self.got: dict[str, list[Any]] = {path: [] for path in _KINDS}
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        """One request."""
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in headers.items()})
        self.got[path].append(_KINDS[path].FromString(body))

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def resource(self) -> dict[str, Any]:
        """Who has sent the last traces."""
        return attributes(self.got[TRACES][-1].resource_spans[0].resource)

    @property
    def spans(self) -> dict[str, Any]:
        """The newest of each name."""
        return {
            span.name: span
            for request in self.got[TRACES]
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }

    @property
    def metrics(self) -> dict[str, Any]:
        """The newest of each name."""
        return {
            metric.name: metric
            for request in self.got[METRICS]
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


def attributes(holder: Any) -> dict[str, Any]:
    """The attributes of a span, a point or a resource."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in holder.attributes}


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take(self.path, body, dict(self.headers.items()))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    return Handler
