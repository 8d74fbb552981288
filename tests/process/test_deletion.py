"""An endpoint that is deleted under its requests: they get the drain time, and those of others all of theirs."""

import asyncio
import json

import pytest
from fault_calls import hold, rows
from played_provider import endpoint, keep_key
from stand import Stand
from storm import ENDPOINTS, serve_tiny

LONG = {"messages": [{"role": "user", "content": "go on"}], "max_tokens": 450, "ignore_eos": True, "stream": True}


@pytest.fixture
async def stand(tmp_path):
    made = Stand(
        tmp_path,
        PENSTOCK_EXTERNAL_ALLOW_PRIVATE_ADDRESSES="true",
        PENSTOCK_SERVING_PROFILE_BUDGET_S="1",
        PENSTOCK_DRAIN_S="3",
    )
    yield made
    await made.close()


async def delete(stand, name):
    async with stand.session.delete(f"{stand.url}{ENDPOINTS}/{name}") as answer:
        assert answer.status == 200


async def test_requests_abroad_end_when_the_drain_time_is_over(stand, provider):
    await stand.start()
    await keep_key(stand)
    await endpoint(stand, provider, "gone", "slow-1")
    await endpoint(stand, provider, "stays", "slow-2")
    endless, short = await hold(stand, "gone", 1, max_tokens=10_000), await hold(stand, "gone", 1, max_tokens=3)
    other = await hold(stand, "stays", 1, max_tokens=100)
    await delete(stand, "gone")
    assert (await short[0]).ended == "done"
    came = await asyncio.wait_for(endless[0], 60)
    assert (came.status, came.ended) == (200, "error")
    assert "ENDPOINT_NOT_FOUND" in came.message
    assert "The endpoint was deleted" in came.message
    assert (await other[0]).ended == "done"

    async def released():
        return not provider.under_way

    await stand.until(released, 30, "the provider to be let go")
    assert await stand.stop() == 0
    found = rows(stand, "outcome", "status", "reason", "completion_tokens")
    outcome, status, reason, tokens = found[came.request_id]
    assert (outcome, status, reason) == ("cancelled", 404, "the endpoint was deleted")
    assert 0 < tokens < 10_000
    assert found[short[0].result().request_id][0] == "completed"
    assert found[other[0].result().request_id][0] == "completed"


async def streamed(stand, name):
    """A long stream to its end: its id, and the last event or the error that came in its place."""
    async with stand.session.post(f"{stand.url}/serving-endpoints/{name}/invocations", json=LONG) as answer:
        events = (await answer.read()).rstrip().split(b"\n\n")
        return answer.headers["x-request-id"], events[-1].removeprefix(b"data: ")


async def test_an_engine_that_others_share_goes_on_and_cancels_what_is_gone(stand):
    stand.variables["PENSTOCK_DRAIN_S"] = "0"
    storm = await serve_tiny(stand, "gone")
    await storm.deploy("stays", 1)
    await storm.settled("stays")
    [engine] = stand.engines()
    leaving = [asyncio.create_task(streamed(stand, "gone")) for _ in range(4)]
    staying = [asyncio.create_task(streamed(stand, "stays")) for _ in range(4)]

    async def computes():
        async with stand.session.get(f"{stand.url}{ENDPOINTS}/gone/throughput") as answer:
            told = await answer.json()
        return told["served_entities"][0]["in_flight"] > 0 or all(one.done() for one in leaving)

    await stand.until(computes, 60, "streams to begin")
    await delete(stand, "gone")
    ended = dict(await asyncio.gather(*leaving))
    whole = dict(await asyncio.gather(*staying))
    assert set(whole.values()) == {b"[DONE]"}
    assert [one.pid for one in stand.engines()] == [engine.pid]
    assert await stand.stop() == 0
    found = rows(stand, "outcome", "completion_tokens")
    assert {found[one] for one in whole} == {("completed", 450)}
    for one, last in ended.items():
        outcome, tokens = found[one]
        if last == b"[DONE]":  # before it was deleted
            assert (outcome, tokens) == ("completed", 450)
        else:
            told = json.loads(last)
            assert told["error_code"] == "ENDPOINT_NOT_FOUND"
            assert outcome in {"cancelled", "rejected"}, "rejected where it had not come to its turn"
            assert tokens < 450
