"""A real server and a real engine: what the ledger says of streams that do not come to their end."""

import asyncio
import json

import pytest
from stand import Stand
from storm import LEGACY, MODEL, Storm

INVOKE = "/serving-endpoints/guide/invocations"
LONG = {"messages": [{"role": "user", "content": "go on"}], "max_tokens": 450, "ignore_eos": True, "stream": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("streams")


@pytest.fixture
async def stand(folder):
    """With an endpoint that is ready; one folder for all tests, since a model is built once."""
    made = Stand(folder, PENSTOCK_SERVING_PROFILE_BUDGET_S="1", PENSTOCK_DRAIN_S="0")
    first = not made.data.exists()
    await made.start()
    storm = Storm(made, 1)
    if first:
        await storm.insist("POST", f"{LEGACY}/registered-models/create", {"name": MODEL})
        body = {"name": MODEL, "source": "here", "run_id": ""}
        assert (await storm.call("POST", f"{LEGACY}/model-versions/create", body))[0] == 200
        await storm.upload(1, 1)
        await storm.deploy("guide", 1)
    assert (await storm.settled("guide"))["state"]["ready"] == "READY"
    yield made
    await made.close()


async def begin(stand):
    """A stream that has begun; its answer, and the completion tokens it has told so far."""
    answer = await stand.session.post(stand.url + INVOKE, json=LONG)
    assert answer.status == 200, await answer.text()
    event = {"choices": []}
    while not any(choice["delta"].get("content") for choice in event["choices"]):
        event = json.loads((await answer.content.readuntil(b"\n\n"))[6:])
    return answer, event["usage"]["completion_tokens"]


async def idle(stand):
    """Until nothing is in flight, also of clients that have left."""
    while True:
        status, said = await Storm(stand, 1).call("GET", "/api/2.0/serving-endpoints/guide/throughput")
        assert status == 200, said
        if not any(one["in_flight"] for one in said["served_entities"]):
            return
        await asyncio.sleep(0.05)


async def stopped(stand):
    assert await stand.stop() == 0
    return stand.ledger()


async def test_a_hang_up_is_cancelled_in_the_engine_and_accounted(stand):
    # Some: on a busy machine the tiny model ends an answer in less time than it takes to hang up.
    left = []
    for _ in range(12):
        answer, seen = await begin(stand)
        answer.close()
        left.append((answer.headers["x-request-id"], seen))
    whole = await stand.session.post(stand.url + INVOKE, json={**LONG, "max_tokens": 3, "stream": False})
    assert (await whole.json())["usage"]["completion_tokens"] == 3
    await idle(stand)
    rows = await stopped(stand)
    outcome, prompt, completion = rows[whole.headers["x-request-id"]]
    assert (outcome, completion) == ("completed", 3)
    found = [(*rows[request_id], seen) for request_id, seen in left]
    assert any(outcome == "cancelled" and tokens_out < 450 for outcome, _, tokens_out, _ in found)
    for outcome, tokens_in, tokens_out, seen in found:
        assert tokens_in == prompt > 0
        if outcome == "cancelled":
            # All of it where the client left in the moment in which the answer ended.
            assert seen <= tokens_out <= 450
        else:
            assert (outcome, tokens_out) == ("completed", 450)


async def test_a_killed_server_accounts_for_what_it_had_begun(stand):
    answer, _ = await begin(stand)
    await stand.kill()
    answer.close()
    await stand.start()
    assert (await stopped(stand))[answer.headers["x-request-id"]][0] == "failed"


async def test_a_stopping_server_ends_streams_with_an_error_event(stand):
    answers = [answer for answer, _ in await asyncio.gather(*(begin(stand) for _ in range(3)))]
    bodies = asyncio.gather(*(answer.read() for answer in answers))
    rows = await stopped(stand)
    for answer, body in zip(answers, await bodies, strict=True):
        outcome, _, completion = rows[answer.headers["x-request-id"]]
        last = json.loads(body.rstrip().rsplit(b"\n\n", 1)[-1].removeprefix(b"data: "))
        assert (outcome, last["error"]["error_code"]) == ("failed", "TEMPORARILY_UNAVAILABLE")
        assert 0 < last["usage"]["completion_tokens"] == completion < 450


async def test_an_engine_that_is_killed_is_replaced(stand):
    """In mid-stream that is told; before the answer it is not noticed."""
    answer, seen = await begin(stand)
    for engine in stand.engines():
        engine.kill()
    told = await answer.read()
    whole = await stand.session.post(stand.url + INVOKE, json={**LONG, "max_tokens": 3, "stream": False})
    assert whole.status == 200, await whole.text()
    rows = await stopped(stand)
    assert rows[whole.headers["x-request-id"]][0] == "completed"
    outcome, _, completion = rows[answer.headers["x-request-id"]]
    assert outcome == "failed"
    assert b'"error"' in told
    assert b"[DONE]" not in told
    assert completion >= seen
