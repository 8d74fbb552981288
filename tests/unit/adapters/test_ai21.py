"""AI21's Jamba API, asked over real sockets and read at any cut."""

import json

import pytest
from provider_server import DONE
from vendor_calls import (
    LOOK,
    SCHEMA,
    TALK,
    TOOLS,
    asked,
    call,
    carries_the_trace,
    events,
    split_anywhere,
    sse,
    streamed,
    told,
)

from penstock.adapters.providers import ai21
from penstock.adapters.providers.ai21 import Ai21
from penstock.adapters.providers.ai21_chat import ChatEvents
from penstock.adapters.providers.chat_answer import Heading
from penstock.adapters.providers.wire import Patience, Wire
from penstock.domain.errors import InvalidRequest, ProviderFailed
from penstock.domain.external_forms import ProviderKind
from penstock.domain.model import Task
from penstock.testing.clock import FakeClock

USAGE = {"prompt_tokens": 40, "completion_tokens": 9, "total_tokens": 49}


def choice(content, reason="stop", calls=None, index=0):
    message = {"role": "assistant", "content": content, "tool_calls": calls}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}


def whole(*choices):
    return {"id": "chat-1", "choices": list(choices), "usage": USAGE}


def event(delta, reason=None, **more):
    body = {"id": "chat-1", "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}
    return b"data: " + json.dumps(body | more).encode() + b"\n\n"


HELLO = whole(choice("Hello."))
USE = {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
BEGUN = [event({"role": "assistant"}), event({"content": "H\u00e9"}), event({"content": "llo"})]
END = event({"content": ""}, "length", usage=USAGE)


@pytest.fixture
async def provider():
    wire = Wire(Patience(), allow_private=True)
    yield Ai21(wire, FakeClock(), allow_private=True)
    await wire.close()


def jamba(server, **body):
    fields = {"ai21labs_api_base": f"{server.url}/studio/v1/"}
    return call(ProviderKind.AI21LABS, "jamba-large", fields, {"ai21labs_api_key": "ai21\n"}, **body)


async def sent(server, provider, **body):
    server.answer(HELLO)
    await asked(provider, jamba(server, **body))
    return server.got[-1].json


async def test_a_request_and_its_answer(server, provider):
    server.answer(HELLO, retry_after="3")
    answer, body = await asked(provider, jamba(server))
    [got] = server.got
    assert (got.path, got.headers["authorization"]) == ("/studio/v1/chat/completions", "Bearer ai21")
    assert carries_the_trace(got)
    assert got.json == {"model": "jamba-large", "messages": [{"role": "user", "content": "Hi"}]}
    assert (answer.status, answer.content_type, answer.retry_after) == (200, b"application/json", b"3")
    assert isinstance(body.pop("created"), int)
    assert body == {
        "id": "chat-1",
        "object": "chat.completion",
        "model": "jamba-large",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello."},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": USAGE,
    }


async def test_a_talk_with_tools_is_said_in_its_words(server, provider):
    more = [
        {"role": "user", "content": [{"type": "text", "text": "So"}, {"type": "text", "text": "what?"}]},
        {"role": "developer", "content": "No jokes."},
        {"role": "user", "content": "Well?"},
    ]
    got = await sent(server, provider, messages=[*TALK, *more], tools=TOOLS, tool_choice="auto")
    assert got["messages"] == [
        {"role": "system", "content": "Be brief.\n\nNo jokes."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
                {"id": "c2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "sun", "tool_call_id": "c1"},
        {"role": "tool", "content": "noon", "tool_call_id": "c2"},
        {"role": "user", "content": "So\nwhat?\n\nWell?"},
    ]
    assert got["tools"] == [
        {"type": "function", "function": {"name": "weather", "description": "Tells it", "parameters": SCHEMA}},
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
    ]
    assert "tools" not in await sent(server, provider, tools=TOOLS, tool_choice="none")


async def test_fields_have_their_effect_and_its_own_pass(server, provider):
    got = await sent(
        server,
        provider,
        temperature=0.5,
        top_p=0.9,
        stop=["END", "STOP"],
        max_completion_tokens=9,
        n=2,
        seed=None,
        presence_penalty=0,
        response_format={"type": "json_object"},
        documents=[{"content": "Rome is warm."}],
    )
    del got["messages"]
    assert got == {
        "model": "jamba-large",
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END", "STOP"],
        "max_tokens": 9,
        "n": 2,
        "response_format": {"type": "json_object"},
        "documents": [{"content": "Rome is warm."}],
    }


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"seed": 7}, "seed cannot be set"),
        ({"top_k": 5}, "top_k cannot be set"),
        ({"user": "me"}, "user cannot be set"),
        ({"reasoning_effort": "low"}, "reasoning_effort cannot be set"),
        ({"n": 2, "streaming": True}, "n must be 1 in a stream"),
        ({"tools": TOOLS, "parallel_tool_calls": False}, "parallel_tool_calls cannot be set"),
        ({"tools": [{"function": {"name": "a", "strict": True}}]}, "strict cannot be set"),
        ({"tools": TOOLS, "tool_choice": "required"}, "tool_choice must be auto or none"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "must be text or json_object"),
        ({"messages": LOOK}, "must have text only"),
    ],
)
async def test_what_cannot_be_said_there_is_refused_by_name(server, provider, body, named):
    with pytest.raises(InvalidRequest, match=named):
        await provider.open(jamba(server, **body))
    assert not server.got


async def test_calls_and_several_choices_of_a_whole_answer(server, provider):
    parsed = {**USE, "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    bare = {"id": "t2", "function": {"name": "now"}}
    server.answer(whole(choice(None, calls=[USE, bare]), choice("", calls=[parsed], index=1), choice("No", "length")))
    _, body = await asked(provider, jamba(server, n=3, tools=TOOLS))
    first, second, third = body["choices"]
    assert first["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [USE, {"id": "t2", "type": "function", "function": {"name": "now", "arguments": "{}"}}],
    }
    assert second["message"]["tool_calls"] == [USE]
    assert [one["finish_reason"] for one in body["choices"]] == ["tool_calls", "tool_calls", "length"]
    assert (third["index"], third["message"]["content"]) == (2, "No")


async def test_a_stream_is_told_as_it_comes(server, provider):
    server.stream(*BEGUN, END, DONE, then="hang")
    stream = await streamed(provider, jamba(server, streaming=True))
    assert server.got[0].json["stream"] is True
    assert told(stream) == ("H\u00e9llo", [], "length", USAGE)
    assert {(one["id"], one["model"]) for one in events(stream)} == {("chat-1", "jamba-large")}


async def test_with_tools_the_answer_comes_whole_and_is_told_as_a_stream(server, provider):
    server.answer(whole(choice("I look.", calls=[USE, {**USE, "id": "t2"}])))
    one = jamba(server, streaming=True, tools=TOOLS)
    stream = await streamed(provider, one)
    assert "stream" not in server.got[0].json
    text, calls, reason, usage = told(stream)
    assert (text, reason, usage) == ("I look.", "tool_calls", USAGE)
    assert calls == [("t1", "weather", '{"city":"Rome"}'), ("t2", "weather", '{"city":"Rome"}')]
    answer = await provider.open(one)
    assert answer.content_type == b"text/event-stream"
    answer.close()


async def test_an_answer_to_be_replayed_has_bounds_and_a_shape(server, provider, monkeypatch):
    server.answer({"choices": []})
    one = jamba(server, streaming=True, tools=TOOLS)
    with pytest.raises(ProviderFailed, match="has not the shape"):
        await streamed(provider, one)
    monkeypatch.setattr(ai21, "MOST_BYTES", 10)
    with pytest.raises(ProviderFailed, match="larger than 10 bytes"):
        await streamed(provider, one)


@pytest.mark.parametrize("end", [[END], [event({}, "length"), event({}, usage=USAGE)]])
def test_a_stream_may_be_cut_at_any_byte(end):
    wire = b"".join([*BEGUN, *end, DONE])
    heading = Heading("chatcmpl-1", 7, "jamba-large")
    told_so = split_anywhere(sse(lambda: ChatEvents(heading)), wire)
    assert told(told_so) == ("H\u00e9llo", [], "length", USAGE)


async def test_usage_that_is_not_told_is_left_out(server, provider):
    server.stream(*BEGUN, event({}, "stop"), DONE)
    stream = await streamed(provider, jamba(server, streaming=True))
    assert not any("usage" in one for one in events(stream))
    server.handlers.clear()
    server.answer({**HELLO, "usage": None})
    assert "usage" not in (await asked(provider, jamba(server)))[1]


@pytest.mark.parametrize("status", [400, 401, 422, 429, 500])
async def test_its_errors_keep_their_status_words_and_retry_after(server, provider, status):
    said = {"detail": "Forbidden: Bad or missing API token."}
    server.answer(said, status, retry_after="17")
    for more in ({}, {"streaming": True}, {"streaming": True, "tools": TOOLS}):
        answer, body = await asked(provider, jamba(server, **more))
        assert (answer.status, answer.content_type) == (status, b"application/json")
        assert (answer.retry_after, body) == (b"17", said)


async def test_an_answer_that_breaks_off_or_has_another_shape_is_none(server, provider):
    server.stream(*BEGUN, then="cut")
    server.stream(*BEGUN)
    server.stream(*BEGUN, b'data: {"detail":"internal error"}\n\n')
    for why in ("broke off", "broke off", "an event that its API does not have"):
        with pytest.raises(ProviderFailed, match=why):
            await streamed(provider, jamba(server, streaming=True))
    server.handlers.clear()
    server.answer({"completions": []})
    with pytest.raises(ProviderFailed, match="has not the shape"):
        await asked(provider, jamba(server))


def test_what_it_does_not_serve(server, provider):
    model = jamba(server).model
    assert provider.problem(model) == ""
    gone = provider.problem(call(ProviderKind.AI21LABS, "j2-ultra", {}, {}, task=Task.COMPLETIONS).model)
    assert "must be llm/v1/chat, but is llm/v1/completions" in gone
    public_only = Ai21(None, FakeClock(), allow_private=False)
    assert "ai21labs_config.ai21labs_api_base is an address of a private network" in public_only.problem(model)
