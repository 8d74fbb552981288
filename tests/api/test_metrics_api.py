"""The whole server, as Prometheus reads it."""

import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.domain.errors import Temporary
from penstock.domain.model import Task
from penstock.domain.routing import EndpointRoute, EntityRoute, ReadyReplica
from penstock.domain.traffic import Route
from penstock.ports.capacity import Reading
from penstock.testing.acl import OPEN
from penstock.web.scrape import scraped
from penstock.web.server import address_of, listen

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
ANSWER = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}'
BOTH = {"endpoint_name": "guide", "served_entity_name": "it"}


def samples(text):
    """Every sample's value by its name and labels."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def read(text, name, **labels):
    return samples(text)[name, frozenset(labels.items())]


@pytest.fixture
def guide(gateway):
    entity = EntityRoute("it", (ReadyReplica("r1", "unix:/r1", 2, 2),), scales_to_zero=False)
    gateway.table.publish(EndpointRoute("e1", "guide", "boss", Task.CHAT, (Route("it", 100),), (entity,), acl=OPEN))


async def ask(user, gateway, body=HELLO):
    """Asks the guide; the played engine answers at once."""
    asking = asyncio.ensure_future(user.post("/serving-endpoints/guide/invocations", json=body))
    engines = gateway.engines
    while not engines.sent or not engines.waits(engines.sent[-1][3]):
        await asyncio.sleep(0)
        if asking.done():
            return await asking
    answer = engines.begin(engines.sent[-1][3])
    answer.feed(ANSWER)
    answer.finish()
    return await asking


@pytest.mark.usefixtures("guide")
async def test_requests_are_counted_by_endpoint_outcome_and_status(user, admin, anonymous, gateway):
    answer = await ask(user, gateway)
    assert answer.status_code == 200
    assert float(answer.headers["x-penstock-overhead-ms"]) == 0, "in virtual time"
    assert (await ask(user, gateway, {"messages": 1})).status_code == 400
    assert (await user.post("/serving-endpoints/none/invocations", json=HELLO)).status_code == 404
    assert (await anonymous.post("/serving-endpoints/guide/invocations", json=HELLO)).status_code == 401
    text = (await admin.get("/metrics")).text
    assert read(text, "penstock_requests_total", **BOTH, outcome="completed", status="200") == 1
    refused = {"endpoint_name": "guide", "served_entity_name": "", "outcome": "rejected", "status": "400"}
    assert read(text, "penstock_requests_total", **refused) == 1
    assert read(text, "penstock_requests_to_unknown_endpoints_total") == 1
    for status, count in {"200": 1, "400": 1, "401": 1, "404": 1}.items():
        assert read(text, "penstock_http_answers_total", plane="data", status=status) == count
    assert read(text, "penstock_tokens_total", **BOTH, type="input") == 3
    assert read(text, "penstock_tokens_total", **BOTH, type="output") == 2
    assert read(text, "penstock_request_duration_seconds_count", **BOTH) == 1
    assert read(text, "penstock_overhead_seconds_bucket", **BOTH, le="0.0001") == 1
    assert read(text, "penstock_time_to_first_token_seconds_count", **BOTH) == 0, "of streams only"
    text = (await admin.get("/metrics")).text
    assert read(text, "penstock_http_answers_total", plane="control", status="200") == 1, "the scrape before"


@pytest.mark.usefixtures("guide")
async def test_endpoints_gate_loops_ledger_and_machine_are_told(admin, world, gateway, user):
    world.capacity.set(Reading("e1", "it", 0, 0, 500, 3, 2, 150, 100, 200, 1000, 50, 1.25, 80))
    await world.measuring.cycle()
    await ask(user, gateway)
    waiting = asyncio.ensure_future(user.post("/serving-endpoints/guide/invocations", json=HELLO))
    while len(gateway.engines.sent) < 2:  # noqa: ASYNC110 - the played engine says nothing
        await asyncio.sleep(0)
    text = (await admin.get("/metrics")).text
    told = {
        ("penstock_queue_requests", *BOTH.items()): 3,
        ("provisioned_concurrent_requests_total", *BOTH.items()): 12,
        ("penstock_ready_replicas", *BOTH.items()): 1,
        ("request_count_total", ("endpoint_name", "guide")): 0,
        ("penstock_waiting_for_replica", ("endpoint_name", "guide")): 0,
        ("penstock_requests_running",): 1,
        ("penstock_service_up", ("service", "database")): 1,
        ("penstock_loop_failures", ("loop", "profiler")): 0,
        ("penstock_loop_last_success_timestamp_seconds", ("loop", "profiler")): world.clock.now_ms() / 1000,
        ("penstock_ledger_unstored_requests",): 1,
        ("penstock_ledger_unwritten_bytes",): 0,
        ("penstock_build_info", ("version", "1.2.3")): 1,
        ("cpu_usage_percentage",): 12.5,
        ("mem_usage_percentage",): 40,
        ("process_resident_memory_bytes",): 100,
        ("process_cpu_seconds_total",): 3.5,
        ("penstock_child_processes_resident_memory_bytes",): 300,
    }
    found = samples(text)
    assert {key: found[key[0], frozenset(key[1:])] for key in told} == told
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_database_that_is_away_is_told_and_no_reason_not_to_answer(admin, store, parts, monkeypatch):
    assert (await admin.get("/metrics")).status_code == 200

    async def away():
        raise Temporary("The database does not answer.")

    monkeypatch.setitem(parts.health._services, "database", away)
    answer = await admin.get("/metrics")
    assert answer.status_code == 200
    assert read(answer.text, "penstock_service_up", service="database") == 0


async def test_only_administrators_read_it(user, anonymous, admin):
    assert (await anonymous.get("/metrics")).status_code == 401
    assert (await user.get("/metrics")).status_code == 403
    answer = await admin.get("/metrics/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


async def test_an_address_of_its_own_asks_for_no_token(parts):
    listener = listen("127.0.0.1", 0)
    url = address_of(listener)

    def get(path):
        try:
            with urllib.request.urlopen(url + path, timeout=10) as answer:
                return answer.status, answer.headers["content-type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, "", ""

    async with scraped(listener, parts.metrics.text):
        status, kind, text = await asyncio.to_thread(get, "/metrics")
        assert (status, kind) == (200, "text/plain; version=0.0.4")
        assert read(text, "penstock_build_info", version="1.2.3") == 1
        assert (await asyncio.to_thread(get, "/api/2.0/serving-endpoints"))[0] == 404


async def test_every_metric_is_documented(admin):
    page = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
    families = {family.name for family in text_string_to_metric_families((await admin.get("/metrics")).text)}
    assert len(families) > 30
    assert not [name for name in sorted(families) if f"`{name}" not in page]


async def test_requests_to_the_control_plane_have_spans_too(admin, user, telemetry):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await user.get("/api/2.0/serving-endpoints/none?secret=x", headers={"traceparent": parent})
    await admin.get("/nowhere")
    await admin.get("/health/ready")
    await admin.get("/metrics")
    first, second = telemetry.calls
    assert (first.method, first.route, first.status) == ("GET", "/api/2.0/serving-endpoints/{name}", 404)
    assert first.request_id == answer.headers["x-request-id"]
    assert first.traced.parent.parent == parent
    assert (second.route, second.status, second.traced.parent) == ("", 404, None)
    assert "secret" not in json.dumps([str(first), str(second)])
