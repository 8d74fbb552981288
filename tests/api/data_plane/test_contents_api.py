"""Google's generateContent over real sockets: what an engine is asked, what a client gets, and the account of it."""

import json

from test_dialects_api import DONE, chunk, part, publish_external, usage, whole

from penstock.domain.usage import RequestOutcome, Usage
from penstock.testing.provider import FakeProviderAnswer

MODELS = "/serving-endpoints/gemini/v1beta/models/"
GENERATE = f"{MODELS}guide:generateContent"
STREAM = f"{MODELS}guide:streamGenerateContent?alt=sse"
ASKED = {"contents": [{"parts": [{"text": "hello"}]}]}


def read(event):
    assert event.startswith(b"data: ")
    return json.loads(event[6:])


async def test_an_answer_and_its_account(served, plane, engine):
    plane.publish(engine)
    asking = served.asking(GENERATE, ASKED)
    turn = await engine.turn()
    assert turn.path == "/v1/chat/completions"
    assert json.loads(turn.body) == {"model": "guide", "messages": [{"role": "user", "content": "hello"}]}
    turn.answer(whole("Water"))
    answer = await asking
    said = await answer.json()
    assert (answer.status, answer.headers["served-model-name"]) == (200, "guide-1")
    assert said["candidates"][0]["content"]["parts"] == [{"text": "Water"}]
    assert said["responseId"] == answer.headers["x-request-id"]
    record = await plane.record()
    assert (record.outcome, record.usage) == (RequestOutcome.COMPLETED, Usage(4, 3, 0))


async def test_events_pass_one_by_one(served, plane, engine):
    plane.publish(engine)
    turn, answer, first = await served.streaming(engine, STREAM, ASKED, chunk("Wa", 1))
    assert json.loads(turn.body)["stream_options"] == {"include_usage": True}
    assert answer.headers["content-type"] == "text/event-stream"
    assert read(first)["candidates"][0]["content"]["parts"] == [{"text": "Wa"}]
    await turn.write(chunk("ter", 2), chunk("", 2, "stop"), DONE)
    turn.finish()
    *_, last, rest = (await answer.read()).split(b"\n\n")
    assert rest == b""
    assert read(last)["candidates"][0]["finishReason"] == "STOP"
    assert read(last)["usageMetadata"]["totalTokenCount"] == 6
    record = await plane.record()
    assert (record.outcome, record.usage, record.streaming) == (RequestOutcome.COMPLETED, Usage(4, 2, 0), True)


async def test_a_hang_up_reaches_the_engine(served, plane, engine):
    plane.publish(engine)
    turn, answer, _ = await served.streaming(engine, STREAM, ASKED, chunk("Wa", 1))
    answer.close()
    record = await plane.record()
    assert (record.outcome, record.status) == (RequestOutcome.CANCELLED, 499)
    assert engine.cancelled == [turn.request_id]


async def test_an_engine_that_dies_ends_the_stream_with_googles_error(served, plane, engine):
    plane.publish(engine)
    turn, answer, _ = await served.streaming(engine, STREAM, ASKED, chunk("Wa", 1))
    turn.die()
    *_, last, rest = (await answer.read()).split(b"\n\n")
    assert rest == b""
    assert read(last)["error"]["code"] >= 500
    assert (await plane.record()).outcome is RequestOutcome.FAILED


async def test_refusals_have_both_shapes(served, plane, engine):
    plane.publish(engine)
    async with served.session.post(GENERATE, json={**ASKED, "cachedContent": "a"}) as answer:
        body = await answer.json()
    assert (answer.status, body["error_code"]) == (400, "BAD_REQUEST")
    assert (body["error"]["code"], body["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert body["error"]["message"] == body["message"]
    assert '"cachedContent"' in body["message"]
    record = await plane.record()
    assert (record.outcome, record.status) == (RequestOutcome.REJECTED, 400)


async def test_what_is_not_there(served, plane, engine):
    plane.publish(engine)
    other = f"{MODELS}other:generateContent"
    assert (await served.error(other, ASKED))[:2] == (404, "ENDPOINT_NOT_FOUND")
    assert (await served.error(GENERATE, data=b"{nonsense"))[:2] == (400, "MALFORMED_REQUEST")
    async with served.session.get(GENERATE) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (405, 405)
    for path in (f"{MODELS}:generateContent", f"{MODELS}guide:countTokens", f"{MODELS}{{model}}"):
        assert (await served.error(path, ASKED))[:2] == (404, "ENDPOINT_NOT_FOUND")
    async with served.session.post(STREAM.partition("?")[0], json=ASKED) as answer:
        assert '"alt"' in (await answer.json())["error"]["message"]


async def test_keys_of_googles_clients_open_its_routes(served, plane, engine):
    plane.publish(engine)
    engine.constant = whole("Water")
    key = served.session.headers["Authorization"].removeprefix("Bearer ")
    del served.session.headers["Authorization"]
    for headers, status in (
        ({"x-goog-api-key": key}, 200),
        ({"x-goog-api-key": "wrong"}, 403),
        ({"x-api-key": key}, 401),
    ):
        async with served.session.post(GENERATE, json=ASKED, headers=headers) as answer:
            assert answer.status == status
    async with served.session.post(f"{GENERATE}?key={key}", json=ASKED) as answer:
        assert (answer.status, (await answer.json())["error"]["status"]) == (401, "UNAUTHENTICATED")


async def test_an_external_models_calls(served, plane):
    publish_external(plane)
    started = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "flow", "arguments": ""}}
    told = b"data: " + json.dumps({"choices": [], "usage": usage(9)}).encode() + b"\n\n"
    pieces = (
        part({"role": "assistant", "content": None, "tool_calls": [started]}),
        part({"tool_calls": [{"index": 0, "function": {"arguments": '{"at": 2}'}}]}),
        part({}, "tool_calls") + told + DONE,
    )
    plane.provider.will("m", FakeProviderAnswer(200, *pieces, streaming=True))
    asked = {**ASKED, "tools": [{"functionDeclarations": [{"name": "flow"}]}]}
    async with served.session.post(STREAM, json=asked) as answer:
        call, last, rest = (await answer.read()).split(b"\n\n")
    assert rest == b""
    (sent,) = plane.provider.calls
    assert json.loads(sent.body)["tools"] == [{"type": "function", "function": {"name": "flow"}}]
    told = {"functionCall": {"id": "call_a", "name": "flow", "args": {"at": 2}}}
    assert read(call)["candidates"][0]["content"]["parts"] == [told]
    assert read(last)["usageMetadata"]["candidatesTokenCount"] == 9
    assert (await plane.record()).usage == Usage(4, 9, 0)
