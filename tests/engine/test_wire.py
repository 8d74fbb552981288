"""What requests may say, and how refusals name the field and its rule."""

import json

import pytest

from penstock_engine import wire
from penstock_engine.refusal import BadRequest

HELLO = [{"role": "user", "content": "hello"}]


def refusal(parse, **fields):
    with pytest.raises(BadRequest) as refused:
        parse(json.dumps(fields).encode())
    return str(refused.value)


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"messages": []}, "messages", "length >= 1"),
        ({"messages": "hi"}, "messages", "expected array, got str"),
        ({}, "messages", "is required"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "is required"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "invalid enum value 'robot'"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "is required"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content", 'type "text"'),
        ({"max_tokens": -1}, "max_tokens", ">= 1"),
        ({"max_tokens": 0}, "max_tokens", ">= 1"),
        ({"max_tokens": "7"}, "max_tokens", "got str"),
        ({"max_completion_tokens": 0}, "max_completion_tokens", ">= 1"),
        ({"temperature": 9}, "temperature", "<= 2.0"),
        ({"temperature": -0.1}, "temperature", ">= 0"),
        ({"top_p": 0}, "top_p", "> 0"),
        ({"top_p": 1.1}, "top_p", "<= 1"),
        ({"top_k": 0}, "top_k", ">= 1"),
        ({"n": 0}, "n", ">= 1"),
        ({"n": 129}, "n", "<= 128"),
        ({"n": 2, "stream": True}, "n", "must be equal to 1 for streaming mode"),
        ({"stop": 5}, "stop", "got int"),
        ({"stop": ["x"] * 17}, "stop", "limit is 16"),
        ({"stop": "x" * 1025}, "stop", "1024 characters"),
        ({"logprobs": True, "top_logprobs": 50}, "top_logprobs", "<= 20"),
        ({"top_logprobs": 5}, "top_logprobs", '"logprobs" to be true'),
        ({"presence_penalty": 3}, "presence_penalty", "<= 2.0"),
        ({"repetition_penalty": 0}, "repetition_penalty", "> 0"),
        ({"logit_bias": {"5": 101}}, "logit_bias[...]", "<= 100"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "is required"),
        ({"tools": {}}, "tools", "expected array"),
        ({"functions": [{}]}, "functions", 'use "tools"'),
        ({"function_call": "auto"}, "function_call", 'use "tools"'),
        ({"tool_choice": "required"}, "tool_choice", 'without "tools"'),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid enum value"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "is required"),
        ({"response_format": {"type": "json_object"}, "min_tokens": 1}, "min_tokens", "together"),
        ({"seed": "x"}, "seed", "got str"),
        ({"min_tokens": -1}, "min_tokens", ">= 0"),
    ],
)
def test_chat_refusals_name_field_and_rule(fields, field, rule):
    base = {} if "messages" in fields or not fields else {"messages": HELLO}
    message = refusal(wire.chat, **base, **fields)
    assert message.startswith(f'parameter "{field}"')
    assert rule in message


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({}, "prompt", "is required"),
        ({"prompt": []}, "prompt", "must be a text"),
        ({"prompt": ["x", 5]}, "prompt", "must be a text"),
        ({"prompt": ["x", [5]]}, "prompt", "must be a text"),
        ({"prompt": [-1]}, "prompt", ">= 0"),
        ({"prompt": "x", "suffix": "y", "response_format": {"type": "json_object"}}, "suffix", "together"),
        ({"prompt": "x", "suffix": "y", "echo": True}, "echo", "together"),
        ({"prompt": "x", "best_of": 3}, "best_of", "not supported"),
        ({"prompt": "x", "logprobs": 21}, "logprobs", "<= 20"),
        ({"prompt": "x", "max_tokens": -1}, "max_tokens", ">= 0"),
        ({"prompt": ["x", "y"], "stream": True}, "prompt", "single prompt"),
        ({"prompt": ["x"] * 65, "n": 2}, "prompt", "128 answers"),
        ({"prompt": "x", "response_format": {"type": "json_schema"}}, "response_format.json_schema", "is required"),
    ],
)
def test_completion_refusals_name_field_and_rule(fields, field, rule):
    message = refusal(wire.completions, **fields)
    assert f'"{field}' in message.split(":")[0]
    assert rule in message


def test_embedding_refusals():
    assert '"dimensions" is not supported' in refusal(wire.embeddings, input="x", dimensions=64)
    assert '"input" is required' in refusal(wire.embeddings)
    assert '"input" must be a text' in refusal(wire.embeddings, input=[])


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"5", b'{"messages": NaN}', b"[" * 100_000])
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(BadRequest, match="the request body"):
        wire.chat(body)


def test_fields_that_other_servers_know_pass():
    body = {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}], "name": "me"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]},
            {"role": "tool", "content": "4", "tool_call_id": "call_1"},
        ],
        "model": "m",
        "stream_options": {"include_usage": True},
        "user": "u",
        "reasoning_effort": "low",
        "tools": [],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "temperature": 0,
        "max_tokens": None,
        "stop": None,
        "top_logprobs": None,
        "n": None,
    }
    request = wire.chat(json.dumps(body).encode())
    assert request.temperature == 0
    assert len(request.messages) == 4


def test_stops_and_bias():
    request = wire.chat(json.dumps({"messages": HELLO, "stop": ["a", ""], "logit_bias": {"7": -3}}).encode())
    assert wire.stops(request) == ("a",)
    assert wire.logit_bias(request, 8) == ((7, -3.0),)
    with pytest.raises(BadRequest, match='"7" is no token; tokens are 0 to 6'):
        wire.logit_bias(request, 7)


@pytest.mark.parametrize(
    ("value", "found"),
    [("x", ["x"]), (["x", "y"], ["x", "y"]), ([1, 2], [[1, 2]]), ([[1], [2, 3]], [[1], [2, 3]])],
)
def test_prompts_come_in_four_shapes(value, found):
    assert wire.listed(value, "prompt") == found
