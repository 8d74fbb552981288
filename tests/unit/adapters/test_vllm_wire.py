"""Between our wire and vLLM's, without anybody who speaks it."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.adapters.engines.vllm_wire import (
    Events,
    counted,
    kv_tokens,
    message_of,
    open_ended,
    parsed,
    refused,
    request,
    spoken,
)
from penstock.domain.errors import InvalidRequest
from penstock.domain.usage import Usage
from penstock.gateway.tail import DONE, Tail


def event(count, **more):
    said = {"choices": [{"index": 0, "text": '"choices":[] \n\n'}], **more}
    return b"data: " + json.dumps({**said, "usage": usage(count)}, separators=(",", ":")).encode() + b"\n\n"


def usage(count, cached=None):
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    return {"prompt_tokens": 5, "completion_tokens": count, **details}


CHAT = "/v1/chat/completions"
LAST = b"data: " + json.dumps({"choices": [], "usage": usage(3, cached=2)}, separators=(",", ":")).encode() + b"\n\n"
TEXT = event(1) + event(2) + event(3)


@given(st.lists(st.integers(0, len(TEXT + LAST + DONE)), max_size=8), st.booleans())
def test_however_it_is_cut_text_passes_and_usage_reaches_the_gateway(cuts, wanted):
    stream, events, tail, passed = TEXT + LAST + DONE, Events(usage_wanted=wanted), Tail(), b""
    for start, end in itertools.pairwise(sorted({0, *cuts, len(stream)})):
        if part := events.feed(stream[start:end]):
            passed += tail.feed(part)
    assert events.rest() == b""
    assert passed == TEXT + (LAST if wanted else b"") + DONE
    assert tail.done
    assert tail.usage() == Usage(5, 3, 2)


def test_what_is_cut_off_is_passed_on_as_it_is():
    events = Events(usage_wanted=False)
    assert events.feed(event(1) + b"data: {") == event(1)
    assert events.rest() == b"data: {"
    assert events.rest() == b""


def test_an_error_in_a_stream_tells_what_was_used_and_ends_it():
    broken = b'data: {"error":{"message":"dead","code":500}}\n\n'
    events = Events(usage_wanted=True)
    said = events.feed(event(1) + event(2)) + events.feed(broken + DONE)
    told = json.loads(said.split(b"data: ")[-1])
    assert told["usage"]["completion_tokens"] == 2
    assert told["error"] == {"message": "dead", "type": "INTERNAL_ERROR", "code": "INTERNAL_ERROR"}
    assert DONE not in said
    assert b"failed" in Events(usage_wanted=True).feed(b'data: {"error"\n\n')


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"a"}}', "a"),
        (b'{"error":"b"}', "b"),
        (b'{"object":"error","message":"c"}', "c"),
        (b'{"detail":"Not Found"}', ""),
        (b"[1]", ""),
        (b"Success", ""),
        (b"", ""),
    ],
)
def test_errors_are_read_in_every_shape_they_have_had(body, message):
    assert message_of(body) == message
    assert json.loads(refused(404, body)) == {
        "error_code": "RESOURCE_DOES_NOT_EXIST",
        "message": message or "The engine answered 404.",
    }


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[1]", b"[" * 100_000])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(InvalidRequest, match="request body"):
        parsed(body)


def test_an_adapter_is_a_model_and_the_usage_of_a_stream_is_always_asked():
    asked = {"messages": [], "stream": True, "stream_options": {"include_usage": False}, "model": "endpoint"}
    told = json.loads(request("/v1/chat/completions", asked, namespace="", priority=7, adapter="a/1"))
    assert told == {
        "messages": [],
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "model": "a/1",
        "priority": 7,
    }


@pytest.mark.parametrize(
    ("labels", "tokens"),
    [
        ('block_size="16",num_gpu_blocks="100"', 1600),
        ('block_size="16",kv_cache_size_tokens="1500",num_gpu_blocks="100"', 1500),
        ('block_size="16",num_gpu_blocks="None"', 0),
    ],
)
def test_the_cache_is_as_large_as_the_metrics_say(labels, tokens):
    assert kv_tokens(f"# TYPE a gauge\nvllm:cache_config_info{{{labels}}} 1.0\n".encode()) == tokens
    assert kv_tokens(b"vllm:other 1\n") == 0


QUOTED = {"content": '{"reasoning":1,"reasoning":null}', "role": "assistant"}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"delta": {"reasoning": "t"}}, {"delta": {"content": "", "reasoning_content": "t"}}),
        ({"delta": {**QUOTED, "reasoning": "t"}}, {"delta": {**QUOTED, "reasoning_content": "t"}}),
        ({"message": {**QUOTED, "reasoning": None}}, {"message": QUOTED}),
        ({"message": {**QUOTED, "reasoning_content": "t"}}, {"message": {**QUOTED, "reasoning_content": "t"}}),
        ({"text": '"reasoning":'}, {"text": '"reasoning":'}),
    ],
)
def test_thoughts_have_our_name_and_texts_stay_as_they_are(said, told):
    assert json.loads(spoken(json.dumps(said, separators=(",", ":")).encode())) == told


@pytest.mark.parametrize(
    ("path", "body", "prompts"),
    [
        ("/v1/completions", {"prompt": "a"}, ["a"]),
        ("/v1/completions", {"prompt": ["a", "bc"]}, ["a", "bc"]),
        ("/v1/completions", {"prompt": [1, 2, 3]}, [3]),
        ("/v1/completions", {"prompt": [[1, 2], [3]], "max_tokens": None}, [2, 1]),
        ("/v1/completions", {}, []),
        ("/v1/completions", {"prompt": "a", "max_tokens": 0}, []),
        ("/v1/chat/completions", {"messages": []}, []),
    ],
)
def test_only_a_completion_that_names_no_end_is_to_be_counted(path, body, prompts):
    assert open_ended(path, body) == prompts


@pytest.mark.parametrize("body", [b"", b"[1]", b"{}", b'{"count":null,"max_model_len":"a"}'])
def test_what_tells_no_count_is_none(body):
    assert counted(body) == (0, 0)
    assert counted(b'{"count":3,"max_model_len":512,"tokens":[]}') == (3, 512)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"response_format": {"json_schema": {"schema": {"items": {"maximum": -1e25}}}}}, "response_format"),
        ({"tools": [{"function": {"parameters": {"anyOf": [{"exclusiveMaximum": -(2**63)}]}}}]}, "tools"),
    ],
)
def test_bounds_of_which_it_dies_are_refused(body, field):
    with pytest.raises(InvalidRequest, match=rf'aximum" -.* leaves no integer of 64 bits \(in parameter "{field}"\)'):
        request(CHAT, body, namespace="", priority=1)
    for kept in ({"minimum": -(2**63), "maximum": 2**63 - 1}, {"properties": {"maximum": {"type": "integer"}}}):
        assert json.loads(request(CHAT, {"response_format": kept}, namespace="", priority=1))["response_format"] == kept
