"""A real server with a real engine: scaling to zero and back, and a life on PostgreSQL with a kill in it."""

import json
import re

import pytest
from stand import Stand
from storm import ENDPOINTS, serve_tiny

from penstock.testing.postgresql import PostgresServer

QUICK = {"PENSTOCK_SERVING_PROFILE_BUDGET_S": "1"}


async def ends_well(storm, name):
    await storm.stream(name)
    seen = storm.promises.streams[-1]
    assert (seen.status, seen.ended) == (200, "done"), json.dumps(seen.usage)


async def tells_who_has_no_time(stand, name):
    """One that gives up after a millisecond is not kept waiting for an engine, and hears when there is one."""
    url, body = f"{stand.url}/serving-endpoints/{name}/invocations", {"messages": [{"role": "user", "content": "one"}]}
    async with stand.session.post(url, json=body, headers={"x-stainless-read-timeout": "0.001"}) as answer:
        told = await answer.json()
        assert answer.status == 503, told
        assert int(answer.headers["retry-after"]) >= 1
    assert re.search(r"a replica is being started and will be ready in about \d+\.\d s", json.dumps(told)), told


async def test_an_idle_endpoint_gives_up_its_engine_and_the_next_request_waits_for_one(tmp_path):
    stand = Stand(tmp_path, **QUICK, PENSTOCK_SERVING_SCALE_TO_ZERO_IDLE_S="1")
    try:
        storm = await serve_tiny(stand, "sleeper")
        await ends_well(storm, "sleeper")

        async def asleep():
            return not stand.engines()

        await stand.until(asleep, 30, "scaling to zero")
        status, endpoint = await storm.call("GET", f"{ENDPOINTS}/sleeper")
        assert (status, endpoint["state"]["ready"]) == (200, "READY")
        await tells_who_has_no_time(stand, "sleeper")
        await ends_well(storm, "sleeper")
        assert await stand.stop() == 0
        outcomes = sorted(row[0] for row in stand.ledger().values())
        assert outcomes == ["completed", "completed", "rejected"]
    finally:
        await stand.close()


@pytest.fixture(scope="module")
def postgresql():
    server = PostgresServer()
    server.start()
    yield server.make_template()
    server.stop()


async def test_a_server_on_postgresql_survives_a_kill(tmp_path, postgresql):
    stand = Stand(tmp_path, **QUICK, PENSTOCK_DATABASE=postgresql)
    try:
        storm = await serve_tiny(stand, "elephant")
        await ends_well(storm, "elephant")
        await stand.kill()
        await stand.start()
        assert (await storm.settled("elephant"))["state"]["ready"] == "READY"
        await ends_well(storm, "elephant")
        assert await stand.stop() == 0
        assert not (stand.data / "penstock.db").exists()
    finally:
        await stand.close()
