"""A real server tells of itself: metrics at an address of their own, and spans to a collector when it stops."""

import aiohttp
import pytest
from stand import Stand, free_port

from penstock.testing.collector import Collector, attributes

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


async def test_metrics_and_traces_of_a_server(tmp_path, collector):
    address = f"127.0.0.1:{free_port()}"
    stand = Stand(tmp_path, PENSTOCK_TELEMETRY_METRICS_ADDRESS=address, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    try:
        await stand.start()
        async with stand.session.get(
            f"{stand.url}/api/2.0/serving-endpoints", headers={"traceparent": PARENT}
        ) as listed:
            assert listed.status == 200
        async with aiohttp.ClientSession() as anybody:
            async with anybody.get(f"http://{address}/metrics") as open_to_all:
                text = await open_to_all.text()
            async with anybody.get(f"{stand.url}/metrics") as refused:
                assert refused.status == 401
        async with stand.session.get(f"{stand.url}/metrics") as asked:
            assert asked.status == 200
        assert 'penstock_service_up{service="database"} 1.0' in text
        assert 'penstock_loop_failures{loop="request ledger"} 0.0' in text
        assert 'penstock_http_answers_total{plane="control",status="200"}' in text
        assert float(text.split("\nprocess_resident_memory_bytes ")[1].split("\n")[0]) > 10_000_000
        assert await stand.stop() == 0
    finally:
        await stand.close()
    span = collector.spans["GET /api/2.0/serving-endpoints"]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == ("a" * 32, "b" * 16)
    assert attributes(span)["http.response.status_code"] == 200
    assert f"trace_id={'a' * 32}" in stand.log.read_text()
    assert collector.resource["service.name"] == "penstock"


async def test_an_address_that_is_taken_is_named(tmp_path):
    stand = Stand(tmp_path, PENSTOCK_TELEMETRY_METRICS_ADDRESS="192.0.2.1:9464")
    try:
        stand._spawn()
        assert stand.process.wait(60) != 0
        assert "telemetry.metrics_address 192.0.2.1:9464 cannot be listened on" in stand.log.read_text()
    finally:
        await stand.close()
