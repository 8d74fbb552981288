"""What a collector gets, from OpenTelemetry's own library."""

import logging
import socket

import pytest
from ended import CALLER, OWN, TRACE, TRY, called, ended

from penstock.adapters.telemetry import otlp as module
from penstock.adapters.telemetry.otlp import Otlp, Target
from penstock.testing.collector import METRICS, TRACES, Collector, attributes


@pytest.fixture
def collector(monkeypatch):
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    made = Collector()
    yield made
    made.close()


def both(collector, **how):
    return Target(collector.url + TRACES, collector.url + METRICS, **how)


def sent(collector, *what, **how):
    """Sends to the collector, and ends."""
    telemetry = Otlp(both(collector, **how), "1.2.3", "42")
    for one in what:
        (telemetry.request if hasattr(one, "record") else telemetry.call)(one)
    telemetry.close()
    return telemetry


def test_spans_have_the_ids_that_were_carried(collector):
    sent(collector, ended(), called())
    spans = collector.spans
    assert set(spans) == {"chat guide", "queue", "chat gpt-4o", "GET /api/2.0/secrets/list"}
    own, leg, call = spans["chat guide"], spans["chat gpt-4o"], spans["GET /api/2.0/secrets/list"]
    assert (own.trace_id.hex(), own.span_id.hex(), own.parent_span_id.hex()) == (TRACE, OWN.span_id, CALLER.span_id)
    assert (leg.trace_id.hex(), leg.span_id.hex(), leg.parent_span_id.hex()) == (TRACE, TRY.span_id, OWN.span_id)
    assert (call.trace_id.hex(), call.span_id.hex(), call.parent_span_id) == ("c" * 32, "d" * 16, b"")
    assert spans["queue"].parent_span_id.hex() == OWN.span_id
    assert (own.kind, leg.kind) == (2, 3), "SERVER and CLIENT"
    assert own.trace_state == "a=b"
    assert (own.end_time_unix_nano - own.start_time_unix_nano, own.status.code) == (1_500_000_000, 0)
    assert attributes(own)["gen_ai.usage.output_tokens"] == 11
    resource = collector.resource
    assert (resource["service.name"], resource["service.version"]) == ("penstock", "1.2.3")
    assert resource["service.instance.id"] == "42"


def test_a_fault_has_the_status_of_an_error(collector):
    sent(collector, ended(error="engine_failed", status=500))
    assert {name: span.status.code for name, span in collector.spans.items()} == {
        "chat guide": 2,
        "queue": 0,
        "chat gpt-4o": 2,
    }


def test_histograms_are_of_all_requests_also_of_those_that_are_not_traced(collector):
    sent(collector, ended(), ended(traced=False))
    duration = collector.metrics["gen_ai.server.request.duration"]
    (point,) = duration.histogram.data_points
    assert (point.count, point.sum, duration.unit) == (2, 3.0, "s")
    assert list(point.explicit_bounds)[:3] == [0.01, 0.02, 0.04]
    assert attributes(point)["gen_ai.request.model"] == "gpt-4o"
    usage = collector.metrics["gen_ai.client.token.usage"].histogram.data_points
    assert {attributes(one)["gen_ai.token.type"]: one.sum for one in usage} == {"input": 10, "output": 22}
    assert collector.metrics["penstock.overhead.duration"].histogram.data_points[0].count == 2
    assert [name for name in collector.spans if name == "chat guide"] == ["chat guide"]


def test_headers_and_the_services_name_are_as_told(collector, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "models")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=blue")
    sent(collector, ended(), headers="authorization=Basic%20abc,x-a=b")
    assert collector.headers
    for headers in collector.headers:
        assert (headers["authorization"], headers["x-a"]) == ("Basic abc", "b")
    assert (collector.resource["service.name"], collector.resource["team"]) == ("models", "blue")


def test_one_signal_alone(collector):
    telemetry = Otlp(Target(metrics_url=collector.url + METRICS), "1", "42")
    telemetry.request(ended())
    telemetry.call(called())
    telemetry.close()
    assert not collector.got[TRACES]
    assert collector.got[METRICS]


def test_what_comes_faster_than_it_is_told_is_dropped_and_counted(collector, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    monkeypatch.setattr(module, "PERIOD_S", 3600)
    telemetry = sent(collector, *(ended() for _ in range(5)))
    assert telemetry.dropped == 2
    (point,) = collector.metrics["gen_ai.server.request.duration"].histogram.data_points
    assert point.count == 3


def test_what_cannot_be_told_stops_nothing(collector, caplog):
    with caplog.at_level(logging.ERROR):
        sent(collector, ended(task="x", usage=None), ended())
    assert "telemetry of a request could not be told" in caplog.text
    assert collector.spans["chat guide"]


def test_a_collector_that_is_away_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(module, "CLOSE_S", 0.05)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}{TRACES}"
        telemetry = Otlp(Target(url), "1", "42")
        telemetry.request(ended())
        telemetry.close()
