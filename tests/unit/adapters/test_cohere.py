"""Cohere's Chat API, asked over real sockets and read at any cut."""

import json

import pytest
from vendor_calls import (
    LOOK,
    PNG,
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

from penstock.adapters.providers.chat_answer import Heading
from penstock.adapters.providers.cohere import Cohere
from penstock.adapters.providers.cohere_chat import ChatEvents
from penstock.adapters.providers.wire import Patience, Wire
from penstock.domain.errors import InvalidRequest, ProviderFailed
from penstock.domain.external_forms import ProviderKind
from penstock.domain.model import Task
from penstock.testing.clock import FakeClock

MODEL = "command-a-03-2025"
COUNTS = {
    "billed_units": {"input_tokens": 37.0, "output_tokens": 28.0},
    "tokens": {"input_tokens": 913.0, "output_tokens": 83.0},
    "cached_tokens": 64.0,
}
USAGE = {
    "prompt_tokens": 913,
    "completion_tokens": 83,
    "total_tokens": 996,
    "prompt_tokens_details": {"cached_tokens": 64},
    "billed_input_tokens": 37,
    "billed_output_tokens": 28,
}


def whole(*content, reason="COMPLETE", **message):
    return {
        "id": "co1",
        "finish_reason": reason,
        "message": {"role": "assistant", "content": list(content), **message},
        "usage": COUNTS,
    }


HELLO = whole({"type": "text", "text": "Hello."})


def event(kind, message=None, **more):
    body = {"type": kind, **more, **({"delta": {"message": message}} if message is not None else {})}
    return f"event: {kind}\ndata: {json.dumps(body)}\n\n".encode()


def texts(*pieces, index=0):
    return [
        event("content-start", {"content": {"type": "text", "text": ""}}, index=index),
        *(event("content-delta", {"content": {"text": piece}}, index=index) for piece in pieces),
        event("content-end", index=index),
    ]


def calling(index, call_id, name, *arguments):
    function = {"name": name, "arguments": ""}
    return [
        event(
            "tool-call-start",
            {"tool_calls": {"id": call_id, "type": "function", "function": function}},
            index=index,
        ),
        *(
            event("tool-call-delta", {"tool_calls": {"function": {"arguments": text}}}, index=index)
            for text in arguments
        ),
        event("tool-call-end", index=index),
    ]


def ends(reason, **delta):
    return event("message-end", delta={"finish_reason": reason, "usage": COUNTS, **delta})


START = event(
    "message-start",
    {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []},
    id="co1",
)
PLAN = [event("tool-plan-delta", {"tool_plan": text}) for text in ("I will ", "look.")]
CALLS = [*calling(0, "t1", "weather", '{"city":', '"Rome"}'), *calling(1, "t2", "now")]


@pytest.fixture
async def provider():
    wire = Wire(Patience(), allow_private=True)
    yield Cohere(wire, FakeClock(), allow_private=True)
    await wire.close()


def command(server, *, name=MODEL, version="", **body):
    fields = {"cohere_api_base": f"{server.url}{version}"}
    return call(ProviderKind.COHERE, name, fields, {"cohere_api_key": "co-key\n"}, **body)


async def sent(server, provider, **body):
    server.answer(HELLO)
    await asked(provider, command(server, **body))
    return server.got[-1].json


@pytest.mark.parametrize("version", ["", "/", "/v1", "/v2/"])
async def test_a_request_and_its_answer(server, provider, version):
    server.answer(HELLO, retry_after="3")
    answer, body = await asked(provider, command(server, version=version))
    [got] = server.got
    assert (got.path, got.headers["authorization"]) == ("/v2/chat", "Bearer co-key")
    assert carries_the_trace(got)
    assert got.json == {
        "model": MODEL,
        "stream": False,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    }
    assert (answer.status, answer.content_type, answer.retry_after) == (200, b"application/json", b"3")
    assert isinstance(body.pop("created"), int)
    assert body == {
        "id": "co1",
        "object": "chat.completion",
        "model": MODEL,
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
    talk = [*TALK, {"role": "developer", "content": [{"type": "text", "text": "No jokes."}]}]
    got = await sent(server, provider, messages=talk, tools=TOOLS, tool_choice="required")
    assert got["messages"] == [
        {"role": "system", "content": "Be brief.\n\nNo jokes."},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
                {"id": "c2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        {"role": "tool", "tool_call_id": "c2", "content": "noon"},
    ]
    assert got["tools"] == [
        {"type": "function", "function": {"name": "weather", "description": "Tells it", "parameters": SCHEMA}},
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
    ]
    assert got["tool_choice"] == "REQUIRED"


@pytest.mark.parametrize(
    ("asks", "expected", "tools"),
    [
        ("auto", None, ["weather", "now"]),
        ("none", "NONE", ["weather", "now"]),
        ({"type": "function", "function": {"name": "now"}}, "REQUIRED", ["now"]),
    ],
)
async def test_the_choice_of_a_tool(server, provider, asks, expected, tools):
    got = await sent(server, provider, tools=TOOLS, tool_choice=asks)
    assert got.get("tool_choice") == expected
    assert [one["function"]["name"] for one in got["tools"]] == tools


async def test_images_come_along_or_are_referred_to(server, provider):
    linked = {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "low"}}
    plain = {"type": "image_url", "image_url": "https://x.example/b.png"}
    got = await sent(server, provider, messages=[*LOOK, {"role": "user", "content": [linked, plain]}])
    assert got["messages"] == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": PNG}}],
        },
        {
            "role": "user",
            "content": [linked, {"type": "image_url", "image_url": {"url": "https://x.example/b.png"}}],
        },
    ]


async def test_fields_have_their_effect_and_its_own_pass(server, provider):
    got = await sent(
        server,
        provider,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop="END",
        max_completion_tokens=9,
        seed=7,
        frequency_penalty=0.1,
        n=1,
        logit_bias={},
        reasoning_effort="none",
        response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": SCHEMA}},
        safety_mode="STRICT",
        documents=["Rome is warm."],
        stream_options=None,
    )
    for name in ("model", "stream", "messages"):
        del got[name]
    assert got == {
        "temperature": 0.5,
        "p": 0.9,
        "k": 5,
        "stop_sequences": ["END"],
        "max_tokens": 9,
        "seed": 7,
        "frequency_penalty": 0.1,
        "thinking": {"type": "disabled"},
        "response_format": {"type": "json_object", "json_schema": SCHEMA},
        "safety_mode": "STRICT",
        "documents": ["Rome is warm."],
    }


async def test_json_without_a_schema_and_strict_tools(server, provider):
    strict = [{"type": "function", "function": {**one["function"], "strict": True}} for one in TOOLS]
    got = await sent(server, provider, tools=strict, response_format={"type": "json_object"})
    assert (got["response_format"], got["strict_tools"]) == ({"type": "json_object"}, True)
    assert "strict" not in json.dumps(got["tools"])


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"n": 2}, "n cannot be set"),
        ({"logprobs": True}, "logprobs cannot be set"),
        ({"user": "me"}, "user cannot be set"),
        ({"tools": TOOLS, "parallel_tool_calls": False}, "parallel_tool_calls cannot be false"),
        ({"tools": TOOLS, "tool_choice": "some"}, "tool_choice must be"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "function 'x', which is"),
        ({"tools": [{"function": {"name": "a", "strict": True}}, *TOOLS]}, "strict must be the same"),
        ({"reasoning_effort": "low"}, "reasoning_effort must be one of none, high"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema must be"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, r"messages\[0\] has an image without"),
        ({"messages": [{"role": "system", "content": [{"type": "image_url"}]}]}, "must have text only"),
    ],
)
async def test_what_cannot_be_said_there_is_refused_by_name(server, provider, body, named):
    with pytest.raises(InvalidRequest, match=named):
        await provider.open(command(server, **body))
    assert not server.got


async def test_thoughts_plans_calls_and_citations_of_a_whole_answer(server, provider):
    function = {"name": "weather", "arguments": '{"city":"Rome"}'}
    message = {
        "tool_plan": "I will look.",
        "tool_calls": [{"id": "t1", "type": "function", "function": function}],
        "citations": [{"start": 0, "end": 1, "text": "I", "sources": []}],
    }
    server.answer(whole({"type": "thinking", "thinking": "Hm"}, reason="TOOL_CALL", **message))
    _, body = await asked(provider, command(server))
    [choice] = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]},
            {"type": "text", "text": "I will look."},
        ],
        "tool_calls": message["tool_calls"],
        "citations": message["citations"],
    }
    got = await sent(server, provider, messages=[{"role": "user", "content": "x"}, choice["message"]])
    assert got["messages"][1] == {
        "role": "assistant",
        "tool_plan": "I will look.",
        "tool_calls": message["tool_calls"],
        "content": [{"type": "thinking", "thinking": "Hm"}],
    }


async def test_a_stream_is_told_as_it_comes(server, provider):
    server.stream(START, *PLAN, *CALLS, ends("TOOL_CALL"), then="hang")
    stream = await streamed(provider, command(server, streaming=True))
    assert server.got[0].json["stream"] is True
    text, calls, reason, usage = told(stream)
    assert text == "I will look."
    assert calls == [("t1", "weather", '{"city":"Rome"}'), ("t2", "now", "{}")]
    assert (reason, usage) == ("tool_calls", USAGE)
    assert {(one["id"], one["model"]) for one in events(stream)} == {("co1", MODEL)}


async def test_thoughts_and_citations_of_a_stream(server, provider):
    thoughts = [
        event("content-start", {"content": {"type": "thinking", "thinking": ""}}, index=0),
        event("content-delta", {"content": {"thinking": "Hm"}}, index=0),
        event("content-end", index=0),
    ]
    citation = {"start": 0, "end": 4, "text": "Warm", "sources": []}
    cited = [event("citation-start", {"citations": citation}, index=0), event("citation-end", index=0)]
    server.stream(START, *thoughts, *texts("Warm", ".", index=1), *cited, ends("MAX_TOKENS"))
    stream = await streamed(provider, command(server, streaming=True))
    text, _, reason, _ = told(stream)
    assert (text, reason) == ("Warm.", "length")
    deltas = [one["choices"][0]["delta"] for one in events(stream) if one["choices"]]
    [parts] = [delta["content"] for delta in deltas if isinstance(delta.get("content"), list)]
    assert parts == [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}]
    assert [delta["citations"] for delta in deltas if "citations" in delta] == [[citation]]


def test_a_stream_may_be_cut_at_any_byte():
    wire = b"".join([START, *texts("H\u00e9", "llo"), event("debug", id="x"), ends("STOP_SEQUENCE")])
    heading = Heading("chatcmpl-1", 7, MODEL)
    told_so = split_anywhere(sse(lambda: ChatEvents("Provider 'cohere'", heading)), wire)
    assert told(told_so)[::2] == ("H\u00e9llo", "stop")
    crlf = split_anywhere(sse(lambda: ChatEvents("Provider 'cohere'", heading)), wire.replace(b"\n", b"\r\n"))
    assert crlf == told_so


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
async def test_its_errors_keep_their_status_words_and_retry_after(server, provider, status):
    said = {"id": "e1", "message": "invalid api token"}
    server.answer(said, status, retry_after="17")
    for one in (command(server), command(server, streaming=True)):
        answer, body = await asked(provider, one)
        assert (answer.status, answer.retry_after, body) == (status, b"17", said)


async def test_an_answer_that_breaks_off_or_fails_is_none(server, provider):
    failed = event("message-end", delta={"finish_reason": "ERROR", "error": "out of memory"})
    server.stream(START, *texts("H"), then="cut")
    server.stream(START, *texts("H"))
    server.stream(START, *texts("H"), failed)
    server.stream(START, event("message-end", delta={"finish_reason": "ERROR"}))
    server.stream(b'data: {"message":"what is this"}\n\n')
    for why in ("broke off", "broke off", "answer: out of memory", "answer.$", "an event that its API does not have"):
        with pytest.raises(ProviderFailed, match=why):
            await streamed(provider, command(server, streaming=True))
    server.handlers.clear()
    server.answer(whole(reason="ERROR"))
    server.answer({"text": "an answer of version 1"})
    for why in ("failed in the middle", "has not the shape"):
        with pytest.raises(ProviderFailed, match=why):
            await asked(provider, command(server))


async def test_usage_that_is_not_told_is_left_out(server, provider):
    server.answer({**HELLO, "usage": None})
    assert "usage" not in (await asked(provider, command(server)))[1]
    server.answer({**HELLO, "usage": {"billed_units": {"input_tokens": 5, "output_tokens": 2}}})
    server.handlers.pop(0)
    assert (await asked(provider, command(server)))[1]["usage"]["total_tokens"] == 7


def test_what_it_does_not_serve(server, provider):
    assert provider.problem(command(server).model) == ""
    assert provider.problem(command(server, task=Task.EMBEDDINGS).model) == ""
    gone = provider.problem(command(server, name="command", task=Task.COMPLETIONS).model)
    assert "must be llm/v1/chat or llm/v1/embeddings" in gone
    assert "were retired" in gone
    public_only = Cohere(None, FakeClock(), allow_private=False)
    assert "cohere_config.cohere_api_base is an address of a private network" in public_only.problem(
        command(server).model
    )
