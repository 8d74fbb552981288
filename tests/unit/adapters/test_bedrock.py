"""Amazon Bedrock's runtime, asked over real sockets and read at any cut."""

import base64
import json
import struct
from urllib.parse import quote

import pytest
from aiohttp import web
from aws_wire import frame, signature
from vendor_calls import LOOK, SCHEMA, TALK, TOOLS, asked, call, carries_the_trace, split_anywhere, streamed, told

from penstock.adapters.providers import bedrock
from penstock.adapters.providers.bedrock import Bedrock, _Stream
from penstock.adapters.providers.chat_answer import Heading
from penstock.adapters.providers.wire import Patience, Wire
from penstock.domain.errors import InvalidRequest, ProviderFailed
from penstock.domain.external_forms import ProviderKind
from penstock.domain.model import Task
from penstock.testing.clock import FakeClock

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
USAGE = {"inputTokens": 10, "outputTokens": 4, "totalTokens": 14, "cacheReadInputTokens": 5, "cacheWriteInputTokens": 1}
METRICS = {"latencyMs": 5}


def whole(*content, reason="end_turn"):
    message = {"role": "assistant", "content": list(content)}
    return {"output": {"message": message}, "stopReason": reason, "usage": USAGE, "metrics": METRICS}


def event(kind, **payload):
    return frame({**payload, "p": "abcd"}, event_type=kind, message_type="event")


TEXT = [
    event("messageStart", role="assistant"),
    event("contentBlockDelta", contentBlockIndex=0, delta={"text": "H\u00e9"}),
    event("contentBlockDelta", contentBlockIndex=0, delta={"text": "llo"}),
    event("contentBlockStop", contentBlockIndex=0),
]
CALLS = [
    event("contentBlockStart", contentBlockIndex=1, start={"toolUse": {"toolUseId": "t1", "name": "weather"}}),
    event("contentBlockDelta", contentBlockIndex=1, delta={"toolUse": {"input": '{"city":'}}),
    event("contentBlockDelta", contentBlockIndex=1, delta={"toolUse": {"input": '"Rome"}'}}),
    event("contentBlockStop", contentBlockIndex=1),
    event("contentBlockStart", contentBlockIndex=2, start={"toolUse": {"toolUseId": "t2", "name": "now"}}),
    event("contentBlockStop", contentBlockIndex=2),
]
METADATA = event("metadata", usage=USAGE, metrics=METRICS)
END = [event("messageStop", stopReason="tool_use"), METADATA]


@pytest.fixture
async def provider():
    wire = Wire(Patience(), allow_private=True)
    yield Bedrock(wire, FakeClock(), allow_private=True)
    await wire.close()


def on_bedrock(server, *, vendor="Anthropic", name=MODEL, **body):
    fields = {"aws_region": "eu-west-1", "bedrock_provider": vendor, "amazon_bedrock_api_base": f"{server.url}/"}
    secrets = {"aws_access_key_id": "AKID", "aws_secret_access_key": "s3cret\n"}
    return call(ProviderKind.AMAZON_BEDROCK, name, fields, secrets, **body)


async def sent(server, provider, **body):
    server.answer(whole({"text": "x"}))
    await asked(provider, on_bedrock(server, **body))
    return server.got[-1].json


async def test_a_request_is_signed_and_its_answer_told(server, provider):
    server.answer(whole({"text": "Hello."}), retry_after="3")
    answer, body = await asked(provider, on_bedrock(server))
    [got] = server.got
    assert got.path == "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
    assert got.headers["authorization"] == signature(got, f"127.0.0.1:{server.port}", "s3cret")
    assert carries_the_trace(got)
    assert got.json == {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    assert (answer.status, answer.content_type, answer.retry_after) == (200, b"application/json", b"3")
    assert (body["id"], body["object"], body["model"]) == ("chatcmpl-r1", "chat.completion", MODEL)
    [choice] = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello."}
    assert choice["finish_reason"] == "stop"
    assert body["usage"] == {
        "prompt_tokens": 16,
        "completion_tokens": 4,
        "total_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 5},
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 1,
    }


async def test_models_named_by_arn(server, provider):
    arn = "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.amazon.nova-lite-v1:0"
    server.answer(whole({"text": "x"}))
    await asked(provider, on_bedrock(server, name=arn))
    [got] = server.got
    assert got.path == f"/model/{quote(arn, safe='-._~')}/converse"
    assert got.headers["authorization"] == signature(got, f"127.0.0.1:{server.port}", "s3cret")


async def test_a_talk_with_tools_is_said_in_its_words(server, provider):
    got = await sent(server, provider, messages=TALK, tools=TOOLS, tool_choice="required")
    assert got["system"] == [{"text": "Be brief."}]
    assert got["messages"] == [
        {"role": "user", "content": [{"text": "Weather?"}]},
        {
            "role": "assistant",
            "content": [
                {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Rome"}}},
                {"toolUse": {"toolUseId": "c2", "name": "now", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "sun"}]}},
                {"toolResult": {"toolUseId": "c2", "content": [{"text": "noon"}]}},
            ],
        },
    ]
    empty = {"type": "object", "properties": {}}
    assert got["toolConfig"] == {
        "tools": [
            {"toolSpec": {"name": "weather", "description": "Tells it", "inputSchema": {"json": SCHEMA}}},
            {"toolSpec": {"name": "now", "inputSchema": {"json": empty}}},
        ],
        "toolChoice": {"any": {}},
    }


@pytest.mark.parametrize(
    ("asks", "expected"),
    [
        (None, None),
        ("auto", {"auto": {}}),
        ({"type": "function", "function": {"name": "now"}}, {"tool": {"name": "now"}}),
    ],
)
async def test_the_choice_of_a_tool(server, provider, asks, expected):
    got = await sent(server, provider, tools=TOOLS, tool_choice=asks)
    assert got["toolConfig"].get("toolChoice") == expected
    assert "toolConfig" not in await sent(server, provider, tools=TOOLS, tool_choice="none")


async def test_images_come_along(server, provider):
    got = await sent(server, provider, messages=LOOK)
    assert got["messages"][0]["content"] == [
        {"text": "What is it?"},
        {"image": {"format": "png", "source": {"bytes": "aGk="}}},
    ]


@pytest.mark.parametrize(
    ("vendor", "top_k"),
    [("anthropic", {"top_k": 5}), ("cohere", {"k": 5}), ("amazon", {"inferenceConfig": {"topK": 5}})],
)
async def test_fields_have_their_effect_and_its_own_pass(server, provider, vendor, top_k):
    got = await sent(
        server,
        provider,
        vendor=vendor,
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop=["A", "B"],
        user="me",
        response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": SCHEMA}},
        reasoning_effort="low",
        thinking={"type": "enabled"},
        guardrailConfig={"guardrailIdentifier": "g"},
    )
    del got["messages"]
    structure = got["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert json.loads(structure.pop("schema")) == SCHEMA
    assert got == {
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["A", "B"]},
        "additionalModelRequestFields": {"thinking": {"type": "enabled"}, **top_k},
        "requestMetadata": {"user": "me"},
        "guardrailConfig": {"guardrailIdentifier": "g"},
        "outputConfig": {
            "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "c"}}},
            "effort": "low",
        },
    }


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"n": 2}, "n cannot be set"),
        ({"vendor": "ai21labs", "top_k": 5}, "top_k cannot be set for models of ai21labs"),
        ({"tools": TOOLS, "parallel_tool_calls": False}, "parallel_tool_calls cannot be false"),
        ({"tools": TOOLS, "tool_choice": "none", "messages": TALK}, "tool_choice cannot be none"),
        ({"response_format": {"type": "json_object"}}, "response_format.type must be text or json_schema"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/a.png"}}]}
                ]
            },
            r"messages\[0\] has an image that cannot be sent",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "a part of type 'input_audio'"),
    ],
)
async def test_what_cannot_be_said_there_is_refused_by_name(server, provider, body, named):
    with pytest.raises(InvalidRequest, match=named):
        await provider.open(on_bedrock(server, **body))
    assert not server.got


async def test_thoughts_and_calls_of_a_whole_answer(server, provider):
    thought = {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "sig"}}}
    use = {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Rome"}}}
    server.answer(whole(thought, {"text": "I look."}, use, reason="tool_use"))
    _, body = await asked(provider, on_bedrock(server))
    [choice] = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert message["content"][0]["summary"] == [{"type": "summary_text", "text": "Hm", "signature": "sig"}]
    assert message["tool_calls"] == [
        {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
    ]
    got = await sent(server, provider, messages=[{"role": "user", "content": "x"}, message])
    assert got["messages"][1]["content"] == [thought, {"text": "I look."}, use]


async def test_a_stream_is_told_as_it_comes(server, provider):
    server.stream(*TEXT, *CALLS, *END, then="hang")
    stream = await streamed(provider, on_bedrock(server, streaming=True))
    assert server.got[0].path.endswith("/converse-stream")
    text, calls, reason, usage = told(stream)
    assert text == "H\u00e9llo"
    assert calls == [("t1", "weather", '{"city":"Rome"}'), ("t2", "now", "{}")]
    assert (reason, usage["prompt_tokens"], usage["completion_tokens"]) == ("tool_calls", 16, 4)


def test_a_stream_may_be_cut_at_any_byte():
    thought = event("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"text": "Hm"}})
    wire = b"".join([thought, *TEXT, *CALLS, event("somethingNew", a=1), *END])
    said = split_anywhere(lambda: _Stream("Provider 'x'", Heading("c", 1, "m")), wire)
    assert told(said)[2] == "tool_calls"
    assert b'"summary_text","text":"Hm"' in said


async def test_a_stream_that_tells_no_usage_ends_all_the_same(server, provider):
    server.stream(*TEXT, event("messageStop", stopReason="max_tokens"))
    stream = await streamed(provider, on_bedrock(server, streaming=True))
    assert b'"finish_reason":"length"' in stream
    assert stream.endswith(b"data: [DONE]\n\n")
    assert b"usage" not in stream


async def test_its_errors_keep_their_status_words_and_retry_after(server, provider):
    said = {"message": "Too many requests, please wait before trying again."}
    server.answer(said, 429, retry_after="17", x_amzn_errortype="ThrottlingException")
    for streaming in (False, True):
        answer, body = await asked(provider, on_bedrock(server, streaming=streaming))
        assert (answer.status, answer.retry_after, body) == (429, b"17", said)


async def test_a_stream_that_breaks_off_or_fails_is_no_answer(server, provider):
    busy = frame({"message": "slow down"}, exception_type="throttlingException", message_type="exception")
    server.stream(*TEXT, then="cut")
    server.stream(*TEXT, event("messageStop", stopReason="end_turn")[:-3], then="cut")
    server.stream(*TEXT)
    server.stream(*TEXT, busy)
    server.stream(TEXT[0][:-1] + b"?")
    server.stream(b'{"message":"not a stream at all, but long enough"}')
    for why in ("broke off", "broke off", "broke off", "throttlingException.*slow down", "an event", "an event"):
        with pytest.raises(ProviderFailed, match=why):
            await streamed(provider, on_bedrock(server, streaming=True))


def embed(server, vendor, name, **body):
    return on_bedrock(server, vendor=vendor, name=name, task=Task.EMBEDDINGS, **body)


async def test_titan_is_asked_text_by_text(server, provider):
    async def titan(request):
        number = int((await request.json())["inputText"][1:])
        return web.json_response({"embedding": [number, 0.5], "inputTextTokenCount": number})

    server.handlers.append(titan)
    texts = [f"t{number}" for number in range(10)]
    one = embed(server, "amazon", "amazon.titan-embed-text-v2:0", input=texts, dimensions=256, normalize=False)
    _, body = await asked(provider, one)
    assert {got.path for got in server.got} == {"/model/amazon.titan-embed-text-v2%3A0/invoke"}
    assert sorted((got.json for got in server.got), key=lambda body: body["inputText"]) == [
        {"inputText": text, "dimensions": 256, "normalize": False} for text in texts
    ]
    assert [(one["index"], one["embedding"]) for one in body["data"]] == [(place, [place, 0.5]) for place in range(10)]
    assert body["usage"] == {"prompt_tokens": 45, "total_tokens": 45}


async def test_cohere_on_bedrock_takes_all_texts_at_once(server, provider):
    server.answer(
        {"embeddings": [[0.5, 1], [2, 3]], "response_type": "embeddings_floats"}, x_amzn_bedrock_input_token_count="7"
    )
    server.answer({"embeddings": {"float": [[0.5, 1]]}, "response_type": "embeddings_by_type"})
    one = embed(server, "Cohere", "cohere.embed-english-v3", input=["a", "b"], encoding_format="base64")
    _, body = await asked(provider, one)
    assert server.got[0].json == {"input_type": "search_document", "texts": ["a", "b"]}
    assert base64.b64decode(body["data"][0]["embedding"]) == struct.pack("<2f", 0.5, 1)
    assert body["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    one = embed(server, "cohere", "cohere.embed-v4:0", input="a", input_type="search_query", dimensions=512)
    _, body = await asked(provider, one)
    assert server.got[1].json == {"input_type": "search_query", "texts": ["a"], "output_dimension": 512}
    assert body["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, 1]}]
    assert "usage" not in body


async def test_embeddings_that_fail(server, provider):
    server.answer({"embedding": [1.0], "inputTextTokenCount": 1})
    server.answer({"message": "no"}, 400, retry_after="2")
    answer, body = await asked(provider, embed(server, "amazon", "amazon.titan-embed-text-v1", input=["a", "b"]))
    assert (answer.status, answer.retry_after, body) == (400, b"2", {"message": "no"})
    server.handlers.clear()
    server.answer({"vector": []})
    with pytest.raises(ProviderFailed, match="has not the shape"):
        await provider.open(embed(server, "amazon", "amazon.titan-embed-text-v1", input="a"))
    with pytest.raises(InvalidRequest, match=r"\$.input"):
        await provider.open(embed(server, "amazon", "amazon.titan-embed-text-v1", input=[1, 2]))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, ""),
        ({"instance_profile_arn": "arn:x"}, "instance_profile_arn cannot be used"),
        ({"uc_service_credential_name": "x"}, "uc_service_credential_name cannot be used"),
        ({"aws_region": "x.example/"}, "aws_region must be a region"),
    ],
)
def test_what_it_does_not_serve(server, provider, change, named):
    model = on_bedrock(server).model
    model.fields.update(change)
    assert named in provider.problem(model)
    assert bool(named) == bool(provider.problem(model))


def test_tasks_by_the_models_vendor(server, provider):
    assert "were retired" in provider.problem(on_bedrock(server, task=Task.COMPLETIONS).model)
    assert provider.problem(embed(server, "cohere", "m").model) == ""
    assert "must be amazon or cohere" in provider.problem(embed(server, "anthropic", "m").model)
    public_only = Bedrock(None, FakeClock(), allow_private=False)
    assert "amazon_bedrock_api_base is an address of a private network" in public_only.problem(on_bedrock(server).model)


async def test_the_extra_names_itself_where_it_is_missing(server, provider, monkeypatch):
    monkeypatch.setattr(bedrock, "find_spec", lambda _name: None)
    assert "penstock[bedrock]" in provider.problem(on_bedrock(server).model)
    with pytest.raises(ProviderFailed, match=r"penstock\[bedrock\]"):
        await provider.open(on_bedrock(server))


def test_the_endpoint_of_a_region():
    assert bedrock.endpoint("us-east-1") == "https://bedrock-runtime.us-east-1.amazonaws.com"
    assert bedrock.endpoint("cn-north-1") == "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"
