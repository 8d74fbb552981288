"""What has broken real clients of the platform's data plane, by the number of the trap in docs/conformance.md."""

import asyncio
import json
import re
from dataclasses import replace

import pytest

from penstock.domain.model import Task
from penstock.domain.rate_limit import RateLimit
from penstock.domain.routing import EndpointRoute
from penstock.testing.acl import OPEN
from penstock_engine.answers import (
    CHAT_CHUNK,
    ChunkWriter,
    EmbeddingUsage,
    Head,
    chat_choice,
    done,
    embeddings,
    usage,
    whole,
)

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
INVOKE = "/serving-endpoints/guide/invocations"
HEAD = Head("chatcmpl_1", 1_700_000_000, "main.default.guide/1")
SPEECH = {"role": "assistant", "content": "hi"}
SAID = whole(HEAD, "chat.completion", [chat_choice(0, SPEECH, "stop", None)], usage(3, 2, 0))
VECTORS = embeddings(HEAD.model, [[0.5, -1.0]], EmbeddingUsage(2, 2))


async def answered(served, engine, body, path=INVOKE):
    """What an answer of our engine is for the client."""
    engine.constant = VECTORS if "input" in body else SAID
    answer = await served.post(path, body)
    assert answer.status == 200
    return await answer.json()


async def test_trap_5_what_is_not_ready_is_a_bad_request_and_not_to_be_retried(served, plane):
    why = "Endpoint 'guide' is not ready: why."
    plane.table.publish(EndpointRoute("i", "guide", "boss", Task.CHAT, (), (), why, acl=OPEN))
    answer = await served.post(INVOKE, HELLO)
    assert (answer.status, (await answer.json())["error_code"]) == (400, "BAD_REQUEST")
    assert "retry-after" not in answer.headers


async def test_trap_5_a_limit_of_no_calls_is_forbidden_and_not_to_be_retried(served, plane, engine):
    plane.publish(engine)
    plane.table.publish(replace(plane.table.find("guide"), limits=(RateLimit(calls=0),)))
    answer = await served.post(INVOKE, HELLO)
    assert (answer.status, (await answer.json())["error_code"]) == (403, "PERMISSION_DENIED")
    assert "retry-after" not in answer.headers


async def test_trap_5_and_29_a_full_queue_says_when_to_come_back_in_a_few_whole_seconds(served, plane, engine):
    plane.publish(engine)
    asking = [served.asking(INVOKE, HELLO) for _ in range(5)]
    done_, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    [refused] = [one.result() for one in done_]
    assert (refused.status, (await refused.json())["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
    assert re.fullmatch(r"[1-9]\d?", refused.headers["retry-after"])
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_trap_8_nothing_in_the_data_plane_is_a_conflict(served, plane, engine):
    plane.publish(engine, task=Task.EMBEDDINGS)
    why = "Endpoint 'stopped' is stopped."
    plane.table.publish(EndpointRoute("i", "stopped", "boss", Task.CHAT, (), (), why, acl=OPEN))
    for path, body in (
        ("/serving-endpoints/none/invocations", HELLO),
        ("/serving-endpoints/stopped/invocations", HELLO),
        ("/serving-endpoints/chat/completions", {**HELLO, "model": "guide"}),
        (INVOKE, HELLO),
        ("/serving-endpoints/guide/served-models/none/invocations", {"input": "a"}),
        (INVOKE, {"input": 5}),
    ):
        status, code, message = await served.error(path, body)
        assert status in {400, 404}, (path, status, code, message)


async def test_trap_9_fields_of_other_servers_are_passed_over(served, plane, engine):
    plane.publish(engine)
    more = {"stream_options": {"include_usage": True}, "max_completion_tokens": 5, "seed": 1, "user": "u", "model": "m"}
    assert await answered(served, engine, {**HELLO, **more, "invented": 1})


async def test_trap_9_a_strict_server_refuses_them_in_the_platforms_words(strictly_served, engine):
    strictly_served.plane.publish(engine)
    said = await strictly_served.error(INVOKE, {**HELLO, "seed": 1})
    assert said == (400, "BAD_REQUEST", 'Bad request: json: unknown field "seed"')


async def test_trap_10_a_stream_is_lines_of_data_and_nothing_else(served, plane, engine):
    plane.publish(engine)
    body = {**HELLO, "stream": True}
    asking = asyncio.ensure_future(served.session.post(INVOKE, json=body, headers={"accept-encoding": "gzip, br"}))
    turn, chunks = await engine.turn(), ChunkWriter(HEAD, CHAT_CHUNK, 4, 0)
    await turn.write(chunks.role(), chunks.text("hi", 1), chunks.finish("stop", 2), done(0.5))
    turn.finish()
    answer = await asking
    assert answer.headers["content-type"] == "text/event-stream"
    assert "content-encoding" not in answer.headers
    raw = await answer.read()
    events = raw.decode().split("\n\n")
    assert events[-1] == ""
    assert all(event.startswith("data: ") and "\n" not in event for event in events[:-1])
    assert events[-2] == "data: [DONE]"
    said = [json.loads(event[6:]) for event in events[:-2]]
    assert said[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all("content" in one["choices"][0]["delta"] for one in said)
    assert [one["usage"]["completion_tokens"] for one in said] == [0, 1, 2]


async def test_trap_11_32_and_34_what_clients_index_is_there_and_the_model_is_named_by_itself(served, plane, engine):
    plane.publish(engine)
    answer = await answered(served, engine, HELLO)
    assert {"id", "created", "model", "usage", "choices"} <= set(answer)
    assert "content" in answer["choices"][0]["message"]
    assert answer["model"] == HEAD.model != "guide"
    assert all(type(answer["usage"][name]) is int for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    plane.publish(engine, task=Task.EMBEDDINGS)
    answer = await answered(served, engine, {"input": "a"})
    assert (answer["data"][0]["index"], answer["data"][0]["object"]) == (0, "embedding")


async def test_trap_12_answers_are_objects_whatever_the_form_of_the_request(served, plane, engine):
    plane.publish(engine)
    for body in (HELLO, {"inputs": "hello"}, {"dataframe_records": [{"messages": HELLO["messages"]}]}):
        assert isinstance(await answered(served, engine, body), dict)
    async with served.session.get("/serving-endpoints/models") as answer:
        assert isinstance(await answer.json(), dict)


async def test_trap_14_a_body_is_read_whatever_its_headers_say_and_may_name_a_model(served, plane, engine):
    plane.publish(engine)
    engine.constant = SAID
    content = json.dumps({**HELLO, "model": "bge-large-en"}).encode()
    for headers in ({"context-type": "text/json"}, {"content-type": "text/plain"}):
        assert (await served.post(INVOKE, data=content, headers=headers)).status == 200


async def test_trap_15_embeddings_are_lists_of_numbers_also_where_base64_is_asked_for(served, plane, engine):
    plane.publish(engine, task=Task.EMBEDDINGS)
    for more in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        answer = await answered(served, engine, {"input": "a", **more})
        assert answer["data"][0]["embedding"] == [0.5, -1.0]


async def test_trap_16_words_of_the_api_come_before_endpoints_of_that_name(served, plane, engine):
    plane.publish(engine, name="guide")
    plane.publish(engine, name="chat")
    engine.constant = SAID
    body = {**HELLO, "model": "guide"}
    assert (await served.post("/serving-endpoints/chat/completions", body)).status == 200
    record = await plane.record()
    assert record.endpoint_id == "id-guide"


async def test_trap_28_headers_say_who_answered(served, plane, engine):
    plane.publish(engine)
    engine.constant = SAID
    answer = await served.post(INVOKE, HELLO)
    assert answer.headers["served-model-name"] == "guide-1"
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])


async def test_trap_31_several_choices_are_not_streamed_and_stop_is_a_text_or_a_list(served, plane, engine):
    plane.publish(engine)
    status, _, message = await served.error(INVOKE, {**HELLO, "n": 2, "stream": True})
    assert (status, message) == (400, 'Bad request: parameter "n" must be equal to 1 for streaming mode')
    for stop in ("x", ["x", "y"]):
        assert await answered(served, engine, {**HELLO, "stop": stop})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
async def test_trap_34_numbers_that_json_has_not_are_refused(served, plane, engine, number):
    plane.publish(engine)
    body = json.dumps(HELLO)[:-1] + f', "temperature": {number}}}'
    answer = await served.post(INVOKE, data=body)
    assert (answer.status, (await answer.json())["error_code"]) == (400, "MALFORMED_REQUEST")
