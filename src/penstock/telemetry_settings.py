"""Settings of what the server tells of itself, and the variables of OpenTelemetry that they are taken from."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, Field, SecretStr

from penstock.domain.errors import InvalidParameter
from penstock.domain.trace_sampler import SamplerKind
from penstock.neighbour_settings import GROUP

DEFAULT_ENDPOINT = "http://localhost:4318"
"""Where OpenTelemetry's exporters send when they are asked for and nobody says where."""
_URL = r"^(https?://\S+)?$"
_OTLP = "OTEL_EXPORTER_OTLP_"
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class TelemetrySettings(BaseModel):
    """Metrics and traces; docs/observability.md. What is not set here is taken from the usual variables OTEL_*."""

    model_config = GROUP

    metrics_address: str = Field(default="", pattern=r"^(\S+:\d{1,5})?$")
    """Address, such as 10.0.0.5:9464, where `GET /metrics` is answered to everybody, beside the server's own, where it
    is to administrators. Empty: none."""
    endpoint: str = Field(default="", pattern=_URL)
    """Base URL of an OpenTelemetry collector (OTLP over HTTP), such as http://127.0.0.1:4318. Empty: nothing is sent.
    Needs penstock[otel]."""
    traces_endpoint: str = Field(default="", pattern=_URL)
    """URL for traces alone, with its path. Empty: endpoint with /v1/traces."""
    metrics_endpoint: str = Field(default="", pattern=_URL)
    """URL for metrics alone, with its path. Empty: endpoint with /v1/metrics."""
    headers: SecretStr | None = Field(default=None)
    """Headers for the collector, such as authorization=Basic%20...; several are separated by commas. Better set in the
    environment than in a file."""
    traces: bool = Field(default=True)
    """Send traces."""
    metrics: bool = Field(default=True)
    """Send metrics."""
    metrics_period_s: float = Field(default=60, gt=0)
    """How often metrics are sent, in seconds."""
    sampler: SamplerKind = Field(default=SamplerKind.PARENT_ALWAYS_ON)
    """Which traces are recorded. The parent-based samplers do as a caller says who sends a `traceparent`."""
    sample_ratio: float = Field(default=1.0, ge=0, le=1)
    """The part of traces that the traceidratio samplers record."""
    content: bool = Field(default=False)
    """Send what is asked and answered too, as text. Who reads traces then reads everybody's prompts."""

    @property
    def traces_url(self) -> str:
        """Where traces go, empty if nowhere."""
        return self._url(self.traces_endpoint, "/v1/traces") if self.traces else ""

    @property
    def metrics_url(self) -> str:
        """Where metrics go, empty if nowhere."""
        return self._url(self.metrics_endpoint, "/v1/metrics") if self.metrics else ""

    def _url(self, own: str, path: str) -> str:
        return own or (self.endpoint.rstrip("/") + path if self.endpoint else "")


def told_by_otel(environment: Mapping[str, str]) -> dict[str, Any]:
    """The group's keys that OpenTelemetry's variables give, as text; raises InvalidParameter that names the variable.

    Headers, timeouts, compression, certificates, the service's name and the resource's attributes are not among them:
    OpenTelemetry's own library reads those.
    """
    set_ = {name: value.strip() for name, value in environment.items() if name.startswith("OTEL_") and value.strip()}
    if set_.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return {}
    told: dict[str, Any] = {}
    for name, (key, read) in _READERS.items():
        if name in set_:
            told[key] = read(name, set_[name])
    asked = any(set_.get(f"OTEL_{signal}_EXPORTER", "").lower() == "otlp" for signal in ("TRACES", "METRICS"))
    if asked and not {"endpoint", "traces_endpoint", "metrics_endpoint"} & told.keys():
        told["endpoint"] = DEFAULT_ENDPOINT
    if {"endpoint", "traces_endpoint", "metrics_endpoint"} & told.keys():
        for name in (f"{_OTLP}PROTOCOL", f"{_OTLP}TRACES_PROTOCOL", f"{_OTLP}METRICS_PROTOCOL"):
            if set_.get(name, "http/protobuf") != "http/protobuf":
                raise InvalidParameter(f"The variable {name} must be http/protobuf, but is '{set_[name][:40]}'.")
    return told


def _plain(_name: str, value: str) -> str:
    return value


def _exporter(name: str, value: str) -> bool:
    if value.lower() not in ("otlp", "none"):
        raise InvalidParameter(f"The variable {name} must be otlp or none, but is '{value[:40]}'.")
    return value.lower() == "otlp"


def _seconds(name: str, value: str) -> float:
    if not value.isdecimal():
        raise InvalidParameter(f"The variable {name} must be a number of milliseconds, but is '{value[:40]}'.")
    return int(value) / 1000


def _captures(_name: str, value: str) -> bool:
    return value.lower() in ("true", "span_only", "span_and_event")


_READERS: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    f"{_OTLP}ENDPOINT": ("endpoint", _plain),
    f"{_OTLP}TRACES_ENDPOINT": ("traces_endpoint", _plain),
    f"{_OTLP}METRICS_ENDPOINT": ("metrics_endpoint", _plain),
    "OTEL_TRACES_EXPORTER": ("traces", _exporter),
    "OTEL_METRICS_EXPORTER": ("metrics", _exporter),
    "OTEL_METRIC_EXPORT_INTERVAL": ("metrics_period_s", _seconds),
    "OTEL_TRACES_SAMPLER": ("sampler", _plain),
    "OTEL_TRACES_SAMPLER_ARG": ("sample_ratio", _plain),
    _CONTENT: ("content", _captures),
}
