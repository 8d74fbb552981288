"""Telemetry as settings ask for it."""

import subprocess
import sys
from contextlib import AsyncExitStack

import pytest
from ended import CALLER, ended

from penstock.bootstrap.telemetry import make_watching
from penstock.domain.errors import PenstockError
from penstock.settings import load
from penstock.testing.collector import METRICS, TRACES, Collector

EXPORTER = "opentelemetry.exporter.otlp.proto.http.metric_exporter"
OURS = "penstock.adapters.telemetry.otlp"


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


def wired(stack, **environment):
    return make_watching(load({}, environment, None), "42", stack)


async def test_nothing_is_traced_where_nothing_is_asked_for():
    async with AsyncExitStack() as stack:
        watching = wired(stack)
        assert watching.dropped is None
        assert watching.observer.begin(None) is None
        assert watching.observer.begin(CALLER).context == CALLER


async def test_both_are_sent_to_the_usual_variables_address(collector):
    async with AsyncExitStack() as stack:
        watching = wired(stack, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        trace = watching.observer.begin(CALLER)
        assert trace.context.trace_id == CALLER.trace_id
        assert not trace.keeps_text
        watching.observer._telemetry.request(ended())
        assert watching.dropped() == 0
    assert collector.got[TRACES]
    assert collector.got[METRICS]


async def test_metrics_alone_trace_nothing(collector):
    async with AsyncExitStack() as stack:
        watching = wired(stack, PENSTOCK_TELEMETRY_ENDPOINT=collector.url, PENSTOCK_TELEMETRY_TRACES="false")
        assert watching.observer.begin(None) is None


async def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, OURS, raising=False)
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    async with AsyncExitStack() as stack:
        with pytest.raises(PenstockError) as refused:
            wired(stack, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert refused.value.message.endswith("is not installed: pip install 'penstock[otel]'.")


def test_the_library_is_not_loaded_where_nothing_is_sent():
    code = "import sys, penstock.bootstrap; sys.exit('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
