"""Responses and Messages over real sockets: what an engine is asked, what a client gets, and the account of it."""

import json

import pytest

from penstock.domain.external_model import ExternalEntity, ExternalModel, ProviderKind
from penstock.domain.model import Task
from penstock.domain.routing import EndpointRoute, EntityRoute
from penstock.domain.traffic import Route
from penstock.domain.usage import RequestOutcome, Usage
from penstock.testing.acl import OPEN
from penstock.testing.provider import FakeProviderAnswer

RESPONSES = "/serving-endpoints/responses"
MESSAGES = "/serving-endpoints/anthropic/v1/messages"
ASKED = {
    RESPONSES: {"model": "guide", "input": "hello", "max_output_tokens": 9},
    MESSAGES: {"model": "guide", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9},
}
FIRST = {RESPONSES: "response.created", MESSAGES: "message_start"}
LAST = {RESPONSES: "response.completed", MESSAGES: "message_stop"}
BROKEN = {RESPONSES: "response.failed", MESSAGES: "error"}
BOTH = pytest.mark.parametrize("path", ASKED)
DONE = b"data: [DONE]\n\n"


def usage(count):
    return {"prompt_tokens": 4, "completion_tokens": count, "total_tokens": 4 + count}


def chunk(text, count, finish=None):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish, "logprobs": None}
    event = {"id": "chatcmpl-1", "created": 1, "model": "guide-1", "choices": [choice], "usage": usage(count)}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def whole(text):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"created": 1, "model": "guide-1", "choices": [choice], "usage": usage(3)}).encode()


def names(written):
    return [line[7:].decode() for line in written.split(b"\n") if line.startswith(b"event: ")]


def text_in(path, answer):
    return answer["output"][0]["content"][0]["text"] if path == RESPONSES else answer["content"][0]["text"]


@BOTH
async def test_a_whole_answer_and_its_account(served, plane, engine, path):
    plane.publish(engine)
    asking = served.asking(path + "/", ASKED[path])
    turn = await engine.turn()
    assert turn.path == "/v1/chat/completions"
    asked = json.loads(turn.body)
    assert asked == {"model": "guide", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}
    turn.answer(whole("Water"))
    answer = await asking
    assert answer.status == 200
    assert answer.headers["served-model-name"] == "guide-1"
    said = await answer.json()
    assert text_in(path, said) == "Water"
    assert said["id"].endswith(answer.headers["x-request-id"].replace("-", ""))
    record = await plane.record()
    assert (record.outcome, record.usage) == (RequestOutcome.COMPLETED, Usage(4, 3, 0))


@BOTH
async def test_a_stream_passes_event_by_event(served, plane, engine, path):
    plane.publish(engine)
    asked = {**ASKED[path], "stream": True}
    turn, answer, first = await served.streaming(engine, path, asked, chunk("", 0))
    assert json.loads(turn.body)["stream_options"] == {"include_usage": True}
    assert answer.headers["content-type"] == "text/event-stream"
    assert names(first) == [FIRST[path]]
    await turn.write(chunk("Wa", 1))
    seen = b""
    while b'"Wa"' not in seen:
        seen += await answer.content.readuntil(b"\n\n")
    await turn.write(chunk("ter", 2), chunk("", 2, "stop"), DONE)
    turn.finish()
    assert names(await answer.read())[-1] == LAST[path]
    record = await plane.record()
    assert (record.outcome, record.usage, record.streaming) == (RequestOutcome.COMPLETED, Usage(4, 2, 0), True)


@BOTH
async def test_a_hang_up_is_a_cancellation(served, plane, engine, path):
    plane.publish(engine)
    turn, answer, _ = await served.streaming(engine, path, {**ASKED[path], "stream": True}, chunk("Wa", 1))
    answer.close()
    record = await plane.record()
    assert (record.outcome, record.status, record.usage) == (RequestOutcome.CANCELLED, 499, engine.used)
    assert engine.cancelled == [turn.request_id]


@BOTH
async def test_an_engine_that_dies_ends_the_stream_in_its_own_words(served, plane, engine, path):
    plane.publish(engine)
    turn, answer, _ = await served.streaming(engine, path, {**ASKED[path], "stream": True}, chunk("Wa", 1))
    turn.die()
    assert names(await answer.read())[-1] == BROKEN[path]
    record = await plane.record()
    assert (record.outcome, record.usage) == (RequestOutcome.FAILED, Usage(4, 1, 0))


@BOTH
async def test_an_engines_refusal_and_ours_have_a_shape_that_its_clients_read(served, plane, engine, path):
    plane.publish(engine)
    asking = served.asking(path, ASKED[path])
    turn = await engine.turn()
    said = {"error_code": "BAD_REQUEST", "message": 'parameter "response_format" is not supported'}
    turn.answer(json.dumps(said).encode(), 400)
    answer = await asking
    body = await answer.json()
    assert (answer.status, body["error_code"]) == (400, "BAD_REQUEST")
    assert "format" in body["message"]
    assert "response_format" not in body["message"]
    assert (body.get("error") or {}).get("type") == (None if path == RESPONSES else "invalid_request_error")


@BOTH
async def test_a_body_that_is_refused_is_in_the_account(served, plane, engine, path):
    plane.publish(engine)
    assert (await served.error(path, {**ASKED[path], "made_up": 1}))[0] == 400
    record = await plane.record()
    assert (record.outcome, record.status) == (RequestOutcome.REJECTED, 400)


@BOTH
async def test_what_is_not_there(served, plane, path):
    assert (await served.error(path, {**ASKED[path], "model": "other"}))[:2] == (404, "ENDPOINT_NOT_FOUND")
    assert (await served.error(path, data=b"{nonsense"))[:2] == (400, "MALFORMED_REQUEST")
    assert (await served.error(path, {}))[0] == 400
    async with served.session.get(path) as answer:
        assert (answer.status, (await answer.json())["error_code"]) == (405, "METHOD_NOT_ALLOWED")


@BOTH
async def test_keys_of_anthropics_clients_open_their_route_only(served, plane, engine, path):
    plane.publish(engine)
    engine.constant = whole("Water")
    key = served.session.headers["Authorization"].removeprefix("Bearer ")
    headers = {"Authorization": "", "x-api-key": key}
    del served.session.headers["Authorization"]
    del headers["Authorization"]
    async with served.session.post(path, json=ASKED[path], headers=headers) as answer:
        assert answer.status == (200 if path == MESSAGES else 401)
    async with served.session.post(path, json=ASKED[path], headers={"x-api-key": "wrong"}) as answer:
        assert answer.status == (403 if path == MESSAGES else 401)


async def test_strictness_is_about_chat_bodies_that_clients_write(strictly_served, engine):
    strictly_served.plane.publish(engine)
    asking = strictly_served.asking(RESPONSES, {**ASKED[RESPONSES], "stream": True, "prompt_cache_key": "k"})
    turn = await engine.turn()
    await turn.write(chunk("Wa", 1, "stop"), DONE)
    turn.finish()
    assert (await asking).status == 200


def publish_external(plane):
    entity = ExternalEntity("far", ExternalModel("m", ProviderKind.OPENAI, Task.CHAT), "ann")
    routes = (Route("far", 100),)
    entities = (EntityRoute("far", (), scales_to_zero=False, external=entity),)
    plane.table.publish(EndpointRoute("e9", "guide", "boss", Task.CHAT, routes, entities, acl=OPEN))


def part(delta, finish=None):
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"model": "m", "created": 1, "choices": choices}).encode() + b"\n\n"


@BOTH
async def test_calls_of_an_external_model(served, plane, path):
    publish_external(plane)
    started = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "flow", "arguments": ""}}
    told = b"data: " + json.dumps({"choices": [], "usage": usage(9)}).encode() + b"\n\n"
    plane.provider.will(
        "m",
        FakeProviderAnswer(
            200,
            part({"role": "assistant", "content": None, "tool_calls": [started]}),
            part({"tool_calls": [{"index": 0, "function": {"arguments": '{"at": 2}'}}]}),
            part({}, "tool_calls") + told + DONE,
            streaming=True,
        ),
    )
    tool = {"name": "flow", "parameters": {}, "type": "function"}
    if path == MESSAGES:
        tool = {"name": "flow", "input_schema": {}}
    async with served.session.post(path, json={**ASKED[path], "stream": True, "tools": [tool]}) as answer:
        assert answer.headers["served-model-name"] == "far"
        *events, rest = (await answer.read()).split(b"\n\n")
    assert rest == b""
    (call,) = plane.provider.calls
    asked = json.loads(call.body)
    assert asked["tools"] == [{"type": "function", "function": {"name": "flow", "parameters": {}}}]
    assert asked["stream_options"] == {"include_usage": True}
    data = [json.loads(event.split(b"\ndata: ")[1]) for event in events]
    if path == RESPONSES:
        (item,) = data[-1]["response"]["output"]
        assert (item["call_id"], item["name"], item["arguments"]) == ("call_a", "flow", '{"at": 2}')
        assert data[-1]["response"]["usage"]["output_tokens"] == 9
    else:
        assert data[1]["content_block"] == {"type": "tool_use", "id": "call_a", "name": "flow", "input": {}}
        assert data[-2]["delta"]["stop_reason"] == "tool_use"
        assert data[-2]["usage"]["output_tokens"] == 9
    record = await plane.record()
    assert (record.outcome, record.usage) == (RequestOutcome.COMPLETED, Usage(4, 9, 0))


@BOTH
async def test_a_providers_error_keeps_its_status_and_words(served, plane, path):
    publish_external(plane)
    plane.provider.will("m", FakeProviderAnswer(429, b'{"error": {"message": "slow down", "type": "tokens"}}'))
    status, code, message = await served.error(path, ASKED[path])
    assert (status, code, message) == (429, "REQUEST_LIMIT_EXCEEDED", "Received error from openai: slow down")
