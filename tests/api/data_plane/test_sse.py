"""Streams, hang-ups and deaths over real sockets."""

import asyncio
import json

import pytest

from penstock.domain.usage import RequestOutcome, Usage
from penstock.testing.engine import DONE

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
INVOKE = "/serving-endpoints/guide/invocations"
STREAM = {**HELLO, "stream": True}


def event(count):
    usage = {"prompt_tokens": 4, "completion_tokens": count, "total_tokens": 4 + count}
    return b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"


async def test_events_arrive_one_by_one_as_they_were_sent(served, plane, engine):
    plane.publish(engine)
    asking = asyncio.ensure_future(served.session.post(INVOKE, json=STREAM, headers={"Accept-Encoding": "gzip"}))
    turn = await engine.turn()
    await turn.write(event(1))
    answer = await asking
    assert answer.headers["content-type"] == "text/event-stream"
    assert "content-encoding" not in answer.headers
    for count in (2, 3):
        assert await answer.content.readuntil(b"\n\n") == event(count - 1)
        await turn.write(event(count))
    await turn.write(DONE)
    turn.finish()
    assert await answer.read() == event(3) + DONE
    record = await plane.record()
    assert (record.outcome, record.usage, record.streaming) == (RequestOutcome.COMPLETED, Usage(4, 3, 0), True)


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_hang_up_is_a_cancellation_with_the_engines_usage(served, plane, engine, streaming):
    plane.publish(engine)
    asking = asyncio.ensure_future(served.session.post(INVOKE, json=STREAM if streaming else HELLO))
    turn = await engine.turn()
    if streaming:
        await turn.write(event(1))
        answer = await asking
        await answer.content.readuntil(b"\n\n")
        answer.close()
    else:
        await asyncio.sleep(0.05)
        asking.cancel()
    record = await plane.record()
    assert (record.outcome, record.status, record.usage) == (RequestOutcome.CANCELLED, 499, engine.used)
    assert engine.cancelled == [turn.request_id] == [record.request_id]
    await asyncio.wait_for(turn.hung_up.wait(), 10)


async def test_an_engine_that_dies_in_mid_stream_ends_it_with_an_error_event(served, plane, engine):
    plane.publish(engine)
    turn, answer, _ = await served.streaming(engine, INVOKE, STREAM, event(1), event(2)[:15])
    turn.die()
    rest = await answer.read()
    assert rest.startswith(b"data: ")
    assert rest.endswith(b"\n\n")
    assert b"[DONE]" not in rest
    last = json.loads(rest[6:])
    assert last["error"]["error_code"] == "INTERNAL_ERROR"
    assert last["error"]["message"]
    assert last["usage"] == {"prompt_tokens": 4, "completion_tokens": 1, "total_tokens": 5}
    record = await plane.record()
    assert (record.outcome, record.usage) == (RequestOutcome.FAILED, Usage(4, 1, 0))
    assert plane.demand.gone == ["r0"]


@pytest.mark.parametrize("streaming", [False, True])
async def test_an_engine_that_dies_before_its_answer_is_replaced_unnoticed(
    served, plane, engine, second_engine, streaming
):
    plane.publish(engine, second_engine)
    asking = asyncio.ensure_future(served.session.post(INVOKE, json=STREAM if streaming else HELLO))
    turn = await engine.turn()
    await engine.stop()
    assert turn.hung_up.is_set()
    turn = await second_engine.turn()
    if streaming:
        await turn.write(event(1), DONE)
        turn.finish()
    else:
        turn.answer(b'{"usage":{"prompt_tokens":1}}')
    answer = await asking
    await answer.read()
    assert answer.status == 200
    record = await plane.record()
    assert (record.outcome, record.replica_id) == (RequestOutcome.COMPLETED, "r1")


async def test_a_kept_connection_that_the_engine_closed_is_replaced(served, plane, engine):
    plane.publish(engine)
    engine.constant = b"{}"
    assert (await served.post(INVOKE, HELLO)).status == 200
    await engine.stop()
    await engine.start()
    assert (await served.post(INVOKE, HELLO)).status == 200
    assert not plane.demand.gone


async def test_a_request_wakes_a_sleeping_endpoint(served, plane, engine):
    plane.publish(to_zero=True)
    asking = served.asking(INVOKE, HELLO)
    await asyncio.wait_for(plane.demand.heard.wait(), 10)
    assert plane.demand.asked == [("id-guide", "guide-1")]
    engine.constant = b"{}"
    plane.publish(engine, to_zero=True)
    assert (await asking).status == 200


async def test_refusals_of_the_engine_keep_their_status_and_retry_after(served, plane, engine):
    plane.publish(engine)
    asking = served.asking(INVOKE, STREAM)
    turn = await engine.turn()
    turn.answer(b'{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"full"}', 429, Retry_After="7")
    answer = await asking
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert (await plane.record()).outcome is RequestOutcome.REJECTED


async def test_too_many_requests_are_told_when_to_come_back(served, plane, engine):
    plane.publish(engine)
    waiting = [served.asking(INVOKE, HELLO) for _ in range(4)]
    turns = [await engine.turn() for _ in range(4)]
    async with served.session.post(INVOKE, json=HELLO) as answer:
        body = await answer.json()
    assert (answer.status, body["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
    assert int(answer.headers["retry-after"]) >= 1
    assert "4 are in flight and the limit is 4" in body["message"]
    for turn in turns:
        turn.answer(b"{}")
    assert {answer.status for answer in await asyncio.gather(*waiting)} == {200}


async def test_a_stop_ends_streams_with_an_error_event(served, plane, engine):
    plane.publish(engine)
    asking = asyncio.ensure_future(served.session.post(INVOKE, json=STREAM))
    turn = await engine.turn()
    await turn.write(event(1))
    answer = await asking
    draining = asyncio.ensure_future(plane.running.drain(5))
    await plane.clock.advance(5)
    assert await draining == 1
    rest = await answer.read()
    assert json.loads(rest.removeprefix(event(1))[6:])["error"]["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert (await plane.record()).usage == engine.used
    async with served.session.post(INVOKE, json=HELLO) as late:
        assert (late.status, late.headers["retry-after"]) == (503, "5")


async def test_a_client_that_leaves_while_it_sends_is_nobodys_request(served, plane, engine):
    plane.publish(engine)
    host, port = served.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {INVOKE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dapi-user-token\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b'{"mess')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    engine.constant = b"{}"
    assert (await served.post(INVOKE, HELLO)).status == 200
    assert len(plane.journal.records) == 1
