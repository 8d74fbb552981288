"""Anthropic's Messages API, asked over real sockets and read at any cut."""

import json

import pytest
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

from penstock.adapters.providers.anthropic import Anthropic
from penstock.adapters.providers.anthropic_chat import ChatEvents
from penstock.adapters.providers.wire import Patience, Wire
from penstock.domain.errors import InvalidRequest, ProviderFailed
from penstock.domain.external_forms import ProviderKind
from penstock.domain.model import Task
from penstock.testing.clock import FakeClock

WHOLE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "output_tokens": 6, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 8},
}


def event(kind, **fields):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def block(index, content, *deltas):
    return [
        event("content_block_start", index=index, content_block=content),
        *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
        event("content_block_stop", index=index),
    ]


def start():
    message = {**WHOLE, "content": [], "stop_reason": None, "usage": {"input_tokens": 12, "output_tokens": 1}}
    return [event("message_start", message=message), event("ping")]


def stop(reason, tokens):
    return [
        event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": tokens}),
        event("message_stop"),
    ]


TEXT = block(
    0,
    {"type": "text", "text": ""},
    {"type": "text_delta", "text": "H\u00e9"},
    {"type": "text_delta", "text": "llo"},
)
CALLS = [
    *block(
        1,
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"city":'},
        {"type": "input_json_delta", "partial_json": '"Rome"}'},
    ),
    *block(2, {"type": "tool_use", "id": "t2", "name": "now", "input": {}}),
]


@pytest.fixture
async def provider():
    wire = Wire(Patience(), allow_private=True)
    yield Anthropic(wire, FakeClock(), allow_private=True)
    await wire.close()


def claude(server, **body):
    fields = {"anthropic_api_base": f"{server.url}/v1/"}
    return call(ProviderKind.ANTHROPIC, "claude-sonnet-4-5", fields, {"anthropic_api_key": "sk-ant\n"}, **body)


async def sent(server, provider, **body):
    server.answer(WHOLE)
    await asked(provider, claude(server, **body))
    return server.got[-1].json


async def test_a_request_and_its_answer(server, provider):
    server.answer(WHOLE, retry_after="3")
    answer, body = await asked(provider, claude(server))
    [got] = server.got
    assert got.path == "/v1/messages"
    assert (got.headers["x-api-key"], got.headers["anthropic-version"]) == ("sk-ant", "2023-06-01")
    assert carries_the_trace(got)
    assert got.json == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    }
    assert (answer.status, answer.content_type, answer.retry_after) == (200, b"application/json", b"3")
    assert isinstance(body.pop("created"), int)
    assert body == {
        "id": "msg_1",
        "object": "chat.completion",
        "model": "claude-sonnet-4-5-20250929",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello."},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 120,
            "completion_tokens": 6,
            "total_tokens": 126,
            "prompt_tokens_details": {"cached_tokens": 100},
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 8,
        },
    }


async def test_a_talk_with_tools_is_said_in_its_words(server, provider):
    got = await sent(
        server, provider, messages=TALK, tools=TOOLS, tool_choice="required", parallel_tool_calls=False, max_tokens=9
    )
    assert got["system"] == [{"type": "text", "text": "Be brief."}]
    assert got["max_tokens"] == 9
    assert got["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}},
                {"type": "tool_use", "id": "c2", "name": "now", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "sun"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "noon"},
            ],
        },
    ]
    assert got["tools"] == [
        {"name": "weather", "description": "Tells it", "input_schema": SCHEMA},
        {"name": "now", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert got["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("asks", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "now"}}, {"type": "tool", "name": "now"}),
    ],
)
async def test_the_choice_of_a_tool(server, provider, asks, expected):
    assert (await sent(server, provider, tools=TOOLS, tool_choice=asks))["tool_choice"] == expected


async def test_images_come_along_or_are_referred_to(server, provider):
    linked = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
    got = await sent(server, provider, messages=[*LOOK, {"role": "user", "content": [linked]}])
    assert got["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
            ],
        }
    ]


async def test_fields_have_their_effect_and_its_own_pass(server, provider):
    got = await sent(
        server,
        provider,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop="END",
        user="me",
        n=1,
        seed=None,
        reasoning_effort="low",
        response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": SCHEMA}},
        thinking={"type": "adaptive"},
        stream_options=None,
    )
    assert got["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}
    rest = {name: got[name] for name in ("temperature", "top_p", "top_k", "stop_sequences", "metadata", "thinking")}
    assert rest == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "me"},
        "thinking": {"type": "adaptive"},
    }
    assert len(got) == len(rest) + 4  # model, max_tokens, messages, output_config


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"n": 2}, "n cannot be set"),
        ({"seed": 7}, "seed cannot be set"),
        ({"logprobs": True}, "logprobs cannot be set"),
        ({"reasoning_effort": "minimal"}, "reasoning_effort must be one of"),
        ({"response_format": {"type": "json_object"}}, "response_format.type must be text or json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema must be"),
        ({"tools": TOOLS, "tool_choice": "some"}, "tool_choice must be"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, r"messages\[0\] has an image without"),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{"}}]}
                ]
            },
            "arguments of tool call 'c'",
        ),
    ],
)
async def test_what_cannot_be_said_there_is_refused_by_name(server, provider, body, named):
    with pytest.raises(InvalidRequest, match=named):
        await provider.open(claude(server, **body))
    assert not server.got


async def test_thoughts_and_calls_of_a_whole_answer(server, provider):
    content = [
        {"type": "thinking", "thinking": "Hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Rome"}},
    ]
    server.answer({**WHOLE, "content": content, "stop_reason": "tool_use"})
    _, body = await asked(provider, claude(server))
    [choice] = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm", "signature": "sig"}]},
            {"type": "text", "text": "I look."},
        ],
        "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
        ],
    }
    got = await sent(server, provider, messages=[{"role": "user", "content": "x"}, choice["message"]])
    assert got["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": "sig"},
        *content[2:],
    ]


async def test_a_stream_is_told_as_it_comes(server, provider):
    server.stream(*start(), *TEXT, *CALLS, *stop("tool_use", 9), then="hang")
    stream = await streamed(provider, claude(server, streaming=True))
    assert server.got[0].json["stream"] is True
    text, calls, reason, usage = told(stream)
    assert text == "H\u00e9llo"
    assert calls == [("t1", "weather", '{"city":"Rome"}'), ("t2", "now", "{}")]
    assert (reason, usage["prompt_tokens"], usage["completion_tokens"]) == ("tool_calls", 12, 9)
    assert {one["model"] for one in events(stream)} == {WHOLE["model"]}


def test_a_stream_may_be_cut_at_any_byte():
    wire = b"".join([*start(), *TEXT, *CALLS, *stop("max_tokens", 4)])
    told_so = split_anywhere(sse(lambda: ChatEvents("Provider 'anthropic'", 7)), wire)
    assert told(told_so)[2] == "length"
    crlf = split_anywhere(sse(lambda: ChatEvents("Provider 'anthropic'", 7)), wire.replace(b"\n", b"\r\n"))
    assert crlf == told_so


async def test_thoughts_of_a_stream(server, provider):
    thought = [{"type": "thinking_delta", "thinking": "Hm"}, {"type": "signature_delta", "signature": "sig"}]
    server.stream(
        *start(), *block(0, {"type": "thinking", "thinking": "", "signature": ""}, *thought), *stop("end_turn", 2)
    )
    stream = await streamed(provider, claude(server, streaming=True))
    parts = [one["choices"][0]["delta"].get("content") for one in events(stream) if one["choices"]]
    assert [part[0]["summary"][0] for part in parts if isinstance(part, list)] == [
        {"type": "summary_text", "text": "Hm"},
        {"type": "summary_text", "text": "", "signature": "sig"},
    ]


async def test_its_errors_keep_their_status_words_and_retry_after(server, provider):
    said = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    server.answer(said, 429, retry_after="17")
    for streaming in (False, True):
        answer, body = await asked(provider, claude(server, streaming=streaming))
        assert (answer.status, answer.retry_after, body) == (429, b"17", said)


async def test_a_stream_that_breaks_off_or_fails_is_no_answer(server, provider):
    overloaded = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    server.stream(*start(), *TEXT, then="cut")
    server.stream(*start(), *TEXT)
    server.stream(*start(), *TEXT, overloaded)
    server.stream(event("message_start", message=3))
    for why in ("broke off", "broke off", "overloaded_error: Overloaded", "an event that its API does not have"):
        with pytest.raises(ProviderFailed, match=why):
            await streamed(provider, claude(server, streaming=True))


async def test_an_answer_of_another_shape_is_a_failure(server, provider):
    server.answer({"completion": "x"})
    with pytest.raises(ProviderFailed, match="has not the shape"):
        await asked(provider, claude(server))


def test_what_it_does_not_serve(server, provider):
    model = claude(server).model
    assert provider.problem(model) == ""
    completions = call(ProviderKind.ANTHROPIC, "claude-2", {}, {}, task=Task.COMPLETIONS).model
    assert "must be llm/v1/chat" in provider.problem(completions)
    public_only = Anthropic(None, FakeClock(), allow_private=False)
    assert "anthropic_config.anthropic_api_base is an address of a private network" in public_only.problem(model)
