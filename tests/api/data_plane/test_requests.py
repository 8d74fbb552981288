"""What is asked over HTTP: routes, headers, bodies and their rules."""

import asyncio
import base64
import json

import pytest

from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalEntity, ExternalModel
from penstock.domain.model import Task
from penstock.domain.routing import EndpointRoute, EntityRoute
from penstock.domain.traffic import Route
from penstock.domain.usage import RequestOutcome, Usage
from penstock.testing.acl import OPEN
from penstock.testing.provider import FakeProviderAnswer

USER, SERVING = "dapi-user-token", "dapi-serving-token"
MAX_BODY = 100_000
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
ANSWER = b'{"id":"x","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
INVOKE = "/serving-endpoints/guide/invocations"
PATHS = {
    Task.CHAT: ("chat/completions", HELLO),
    Task.COMPLETIONS: ("completions", {"prompt": "a"}),
    Task.EMBEDDINGS: ("embeddings", {"input": "a"}),
}


@pytest.fixture
def ready(plane, engine):
    engine.constant = ANSWER
    plane.publish(engine)


@pytest.mark.parametrize("slash", ["", "/"])
async def test_every_route_of_a_task_leads_to_the_engine(served, plane, engine, slash):
    engine.constant = ANSWER
    for task, (path, body) in PATHS.items():
        plane.publish(engine, task=task)
        for route, sent in (
            (INVOKE, body),
            ("/serving-endpoints/guide/served-models/guide-1/invocations", {"model": "whatever", **body}),
            (f"/serving-endpoints/{path}", {"model": "guide", **body}),
        ):
            async with served.session.post(route + slash, json=sent) as answer:
                assert (answer.status, await answer.read()) == (200, ANSWER), route
    assert len(plane.journal.records) == 9
    assert {record.task for record in plane.journal.records} == set(Task)


@pytest.mark.usefixtures("ready")
async def test_headers_name_the_request_and_the_entity(served, plane):
    answer = await served.post(INVOKE, HELLO, headers={"x-request-id": "mine"})
    assert answer.headers["served-model-name"] == "guide-1"
    assert answer.headers["x-databricks-org-id"] == "42"
    assert answer.headers["content-type"] == "application/json"
    record = await plane.record()
    assert record.request_id == answer.headers["x-request-id"] != "mine"
    assert (record.outcome, record.usage) == (RequestOutcome.COMPLETED, Usage(3, 2, 0))


async def test_the_body_reaches_the_engine_as_it_was_sent(served, plane, engine):
    plane.publish(engine)
    body = b'{ "messages":[{"role":"user","content":"h\\u00e9"}] ,"unknown": {"a":[1]}, "client_request_id":"me"}'
    asking = asyncio.ensure_future(served.post(INVOKE + "?o=1", data=body, headers={"Content-Type": "text/plain"}))
    turn = await engine.turn()
    turn.answer(ANSWER)
    assert (await asking).status == 200
    assert turn.body == body
    record = await plane.record()
    assert (record.client_request_id, record.request_id) == ("me", turn.request_id)


async def test_external_models_take_their_providers_fields_also_in_strict_mode(strictly_served, store):
    plane = strictly_served.plane
    model = ExternalModel("m", ProviderKind.OPENAI, Task.CHAT)
    entities = (EntityRoute("far", (), scales_to_zero=False, external=ExternalEntity("far", model)),)
    plane.table.publish(EndpointRoute("id-far", "far", "boss", Task.CHAT, (Route("far", 100),), entities, acl=OPEN))
    plane.provider.will("m", FakeProviderAnswer(200, ANSWER))
    body = {**HELLO, "logit_bias": {}, "web_search_options": {}}
    async with strictly_served.session.post("/serving-endpoints/far/invocations", json=body) as answer:
        assert (answer.status, await answer.read(), answer.headers["served-model-name"]) == (200, ANSWER, "far")
    wrong = {"messages": "hello"}
    assert (await strictly_served.error("/serving-endpoints/far/invocations", wrong))[0] == 400


@pytest.mark.usefixtures("ready")
async def test_basic_credentials_count_and_none_or_wrong_ones_do_not(served):
    basic = base64.b64encode(f"token:{USER}".encode()).decode()
    assert (await served.post(INVOKE, HELLO, headers={"Authorization": f"Basic {basic}"})).status == 200
    serving = {"Authorization": f"Bearer {SERVING}"}
    assert (await served.post(INVOKE, HELLO, headers=serving)).status == 200
    assert (await served.error(INVOKE, HELLO, headers={"Authorization": "Bearer nope"}))[:2] == (
        403,
        "PERMISSION_DENIED",
    )
    assert (await served.error(INVOKE, HELLO, headers={"Authorization": ""}))[:2] == (401, "UNAUTHENTICATED")


@pytest.mark.usefixtures("ready")
async def test_the_priority_is_a_header_and_an_unknown_one_is_named(served, plane, monkeypatch):
    seen = []
    serve = type(plane.app._gateway).serve

    async def watched(gateway, call, reply, interrupt):
        seen.append(call.priority)
        await serve(gateway, call, reply, interrupt)

    monkeypatch.setattr(type(plane.app._gateway), "serve", watched)
    for header in ({}, {"x-penstock-priority": "interactive"}, {"X-Penstock-Priority": "Batch"}):
        assert (await served.post(INVOKE, HELLO, headers=header)).status == 200
    assert seen == ["", "", "batch"]
    status, code, message = await served.error(INVOKE, HELLO, headers={"x-penstock-priority": "now"})
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "x-penstock-priority" in message
    assert '"now"' in message


@pytest.mark.usefixtures("ready")
async def test_how_long_a_client_waits_is_a_header_too(served, plane, monkeypatch):
    seen = []
    serve = type(plane.app._gateway).serve

    async def watched(gateway, call, reply, interrupt):
        seen.append(call.patience_s)
        await serve(gateway, call, reply, interrupt)

    monkeypatch.setattr(type(plane.app._gateway), "serve", watched)
    own, theirs = "x-penstock-timeout", "x-stainless-read-timeout"
    for header in ({}, {own: "2.5"}, {theirs: "600"}, {own: "3", theirs: "600"}, {theirs: "never"}):
        assert (await served.post(INVOKE, HELLO, headers=header)).status == 200
    assert seen == [None, 2.5, 600, 3, None]
    for value in ("never", "0", "-1", "inf"):
        status, code, message = await served.error(INVOKE, HELLO, headers={own: value})
        assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
        assert message.endswith(f'The header {own} must be a number of seconds, more than 0, but is "{value}".')


async def test_what_does_not_exist(served, plane, engine):
    plane.publish(engine)
    assert (await served.error("/serving-endpoints/other/invocations", HELLO))[:2] == (404, "ENDPOINT_NOT_FOUND")
    chat = "/serving-endpoints/chat/completions"
    assert (await served.error(chat, {"model": "other", **HELLO}))[:2] == (404, "ENDPOINT_NOT_FOUND")
    status, _, message = await served.error(chat, HELLO)
    assert (status, '"model" is required' in message) == (400, True)
    for path in (
        "/serving-endpoints/guide",
        "/serving-endpoints/guide/x/y",
        "/serving-endpoints/",
        "/serving-endpoints//invocations",
    ):
        assert (await served.error(path, HELLO))[:2] == (404, "ENDPOINT_NOT_FOUND")
    async with served.session.get(INVOKE) as answer:
        assert (answer.status, (await answer.json())["error_code"]) == (405, "METHOD_NOT_ALLOWED")
    status, code, message = await served.error("/serving-endpoints/embeddings", {"model": "guide", "input": "a"})
    assert (status, code) == (400, "BAD_REQUEST")
    assert "llm/v1/embeddings" in message
    assert "llm/v1/chat" in message


async def test_models_are_the_endpoints_that_serve(served, plane, engine):
    plane.publish(engine)
    plane.publish(engine, name="other")
    async with served.session.get("/serving-endpoints/models") as answer:
        body = await answer.json()
    assert [model["id"] for model in body["data"]] == ["guide", "other"]
    assert body["object"] == "list"


BAD_CHAT = [
    ({}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [{"role": "owner", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({**HELLO, "max_tokens": -1}, "max_tokens"),
    ({**HELLO, "max_tokens": 0}, "max_tokens"),
    ({**HELLO, "max_tokens": "9"}, "max_tokens"),
    ({**HELLO, "max_completion_tokens": 0}, "max_completion_tokens"),
    ({**HELLO, "temperature": 9}, "temperature"),
    ({**HELLO, "temperature": "hot"}, "temperature"),
    ({**HELLO, "top_p": 0}, "top_p"),
    ({**HELLO, "top_k": 0}, "top_k"),
    ({**HELLO, "n": 0}, "n"),
    ({**HELLO, "n": 2, "stream": True}, '"n" must be equal to 1 for streaming mode'),
    ({**HELLO, "stop": 5}, "stop"),
    ({**HELLO, "stream": "yes"}, "stream"),
    ({**HELLO, "top_logprobs": 50, "logprobs": True}, "top_logprobs"),
    ({**HELLO, "top_logprobs": 5}, "logprobs"),
    ({**HELLO, "logit_bias": {"1": 500}}, "logit_bias"),
    ({**HELLO, "presence_penalty": 3}, "presence_penalty"),
    ({**HELLO, "tools": [{"type": "web"}]}, "tools[0].type"),
    ({**HELLO, "tools": [{"type": "function"}]}, "tools[0].function"),
    ({**HELLO, "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ({**HELLO, "tools": [{"type": "function", "function": {"name": "f"}}] * 33}, "tools"),
    ({**HELLO, "tool_choice": "maybe"}, "tool_choice"),
    ({**HELLO, "tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
    ({**HELLO, "response_format": {"type": "xml"}}, "response_format.type"),
    ({**HELLO, "response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({**HELLO, "response_format": {"type": "json_object"}}, 'the word "json"'),
]
BAD_OTHERS = [
    (Task.COMPLETIONS, {}, "prompt"),
    (Task.COMPLETIONS, {"prompt": []}, "prompt"),
    (Task.COMPLETIONS, {"prompt": ["a", 1]}, "prompt"),
    (Task.COMPLETIONS, {"prompt": [[1], ["a"]]}, "prompt"),
    (Task.COMPLETIONS, {"prompt": 5}, "prompt"),
    (Task.COMPLETIONS, {"prompt": "a", "logprobs": 21}, "logprobs"),
    (Task.COMPLETIONS, {"prompt": "a", "error_behavior": "cry"}, "error_behavior"),
    (Task.EMBEDDINGS, {}, "Missing required embeddings parameter: 'input'"),
    (Task.EMBEDDINGS, {"input": []}, "input"),
    (Task.EMBEDDINGS, {"input": {"a": 1}}, "input"),
    (Task.EMBEDDINGS, {"input": "a", "dimensions": -1}, "dimensions"),
]


async def test_each_wrong_field_is_named_with_its_rule(served, plane, engine):
    cases = [(Task.CHAT, *case) for case in BAD_CHAT] + BAD_OTHERS
    for task, body, words in cases:
        plane.publish(engine, task=task)
        status, code, message = await served.error(INVOKE, body)
        assert status == 400, (body, message)
        assert code in {"BAD_REQUEST", "INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST"}
        assert words in message, (body, message)
    assert len(plane.journal.records) == len(cases)
    assert {record.outcome for record in plane.journal.records} == {RequestOutcome.REJECTED}


GOOD_CHAT = [
    {**HELLO, "temperature": None, "max_tokens": None, "stop": ["a"], "n": 1, "stream": False, "top_p": 1},
    {**HELLO, "stream_options": {"include_usage": True}, "seed": 7, "parallel_tool_calls": False, "user": "me"},
    {**HELLO, "max_completion_tokens": 9, "store": True, "service_tier": "auto", "metadata": {"a": "b"}},
    {**HELLO, "logprobs": True, "top_logprobs": 0, "logit_bias": {"5": -100}},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "url": {}}]}]},
    {"messages": [{"role": "system", "content": "s"}, {"role": "assistant", "content": None, "tool_calls": [{}]},
                  {"role": "tool", "tool_call_id": "c", "content": "4"}]},
    {**HELLO, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
     "tool_choice": {"type": "function", "function": {"name": "f"}}},
    {"messages": [{"role": "user", "content": "some JSON"}], "response_format": {"type": "json_object"}},
]  # fmt: skip


@pytest.mark.usefixtures("ready")
async def test_what_other_servers_take_is_taken(served, plane, engine):
    for body in GOOD_CHAT:
        assert (await served.post(INVOKE, body)).status == 200, body
    plane.publish(engine, task=Task.COMPLETIONS)
    for prompt in ("a", ["a", "b"], [1, 2], [[1], [2, 3]]):
        assert (await served.post(INVOKE, {"prompt": prompt, "max_tokens": 0, "logprobs": 3})).status == 200
    plane.publish(engine, task=Task.EMBEDDINGS)
    for given in ("a", ["a", "b"], [1, 2]):
        assert (await served.post(INVOKE, {"input": given, "encoding_format": "base64"})).status == 200


async def test_strictness_refuses_unknown_fields_in_the_platforms_words(strictly_served, engine):
    engine.constant = ANSWER
    strictly_served.plane.publish(engine)
    assert (await strictly_served.post(INVOKE, {**HELLO, "max_tokens": 5, "stream": False})).status == 200
    status, code, message = await strictly_served.error(INVOKE, {**HELLO, "seed": 1})
    assert (status, code, message) == (400, "BAD_REQUEST", 'Bad request: json: unknown field "seed"')
    silent = {**HELLO, "tools": [{"type": "function", "function": {"name": "f"}}]}
    status, code, message = await strictly_served.error(INVOKE, silent)
    words = 'Bad request: "parameters" is a required property for "function" object in parameter "tools"'
    assert (status, code, message) == (400, "BAD_REQUEST", words)


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 50_000, b'{"messages": NaN}'])
async def test_what_is_no_json_object_is_refused(served, body):
    for path in (INVOKE, "/serving-endpoints/chat/completions"):
        status, _, message = await served.error(path, data=body)
        assert status == 400
        assert message


@pytest.mark.usefixtures("ready")
async def test_a_body_beyond_the_limit_is_refused_with_the_limit(served, plane):
    big = json.dumps({"messages": [{"role": "user", "content": "a" * MAX_BODY}]}).encode()

    async def pieces():
        for start in range(0, len(big), 10_000):
            yield big[start : start + 10_000]

    for data in (big, pieces()):
        status, code, message = await served.error(INVOKE, data=data)
        assert (status, code) == (400, "BAD_REQUEST")
        assert str(MAX_BODY) in message
    assert [record.outcome for record in plane.journal.records] == [RequestOutcome.REJECTED] * 2
    status, _, message = await served.error("/serving-endpoints/chat/completions", data=big)
    assert (status, str(MAX_BODY) in message) == (400, True)
    fitting = json.dumps({"messages": [{"role": "user", "content": "a" * (MAX_BODY - 100)}]}).encode()
    assert (await served.post(INVOKE, data=fitting)).status == 200
