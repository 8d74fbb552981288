"""Anthropic's Messages: requests to chat, answers from chat."""

import json

import pytest
from chats import CALLS, DONE, STREAMS, TEXT, chunk, events, usage, whole

from penstock.domain.errors import EngineFailed, InvalidRequest
from penstock.web.anthropic.dialect import MessagesDialect
from penstock.web.openai.dialect import Heading

ID = "01234567-89ab-cdef-0123-456789abcdef"
TEXT_BLOCK = {"type": "text", "text": "dry"}
CALL_BLOCK = {"type": "tool_use", "name": "flow"}
SAY = [{"role": "user", "content": "hi"}]
TOOL = {"name": "flow", "description": "how much", "input_schema": {"type": "object"}}


def opened(headers=(), **body):
    made = MessagesDialect().open(Heading(ID, headers))
    asked = {"model": "guide", "messages": SAY, "max_tokens": 9, **body}
    return made, json.loads(made.chat(json.dumps(asked).encode()))


def chat(**body):
    return opened(**body)[1]


def test_the_simplest_request():
    assert chat() == {"model": "guide", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}


def test_every_field_arrives():
    body = chat(
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}], temperature=0.5,
        top_p=0.9, top_k=4, stop_sequences=["END"], stream=True, metadata={"user_id": "me"}, tools=[TOOL],
        tool_choice={"type": "tool", "name": "flow", "disable_parallel_tool_use": True}, thinking={"type": "disabled"},
        service_tier="auto", output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
    )  # fmt: skip
    assert body == {
        "model": "guide", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "stop": ["END"], "stream": True,
        "stream_options": {"include_usage": True}, "user": "me", "parallel_tool_calls": False,
        "tools": [{
            "type": "function",
            "function": {"name": "flow", "description": "how much", "parameters": {"type": "object"}},
        }],
        "tool_choice": {"type": "function", "function": {"name": "flow"}},
        "response_format": {
            "type": "json_schema", "json_schema": {"name": "output", "schema": {"type": "object"}, "strict": True},
        },
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "chats"), [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_choices_of_tools(kind, chats):
    assert chat(tools=[TOOL], tool_choice={"type": kind})["tool_choice"] == chats


def test_without_tools_there_is_nothing_to_choose():
    assert chat(tool_choice={"type": "auto", "disable_parallel_tool_use": True}) == chat()
    assert chat(tool_choice={"type": "any"})["tool_choice"] == "required"


def test_blocks_become_messages():
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "t1", "name": "flow", "input": {"river": "Inn"}},
            {"type": "tool_use", "id": "t2", "name": "flow", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "3 m"},
            {"type": "tool_result", "tool_use_id": "t2", "is_error": True, "content": [TEXT_BLOCK]},
            {"type": "text", "text": "Well?"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t3", "name": "flow", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t3"}]},
    ]  # fmt: skip
    calls = [("t1", '{"river":"Inn"}'), ("t2", "{}")]
    assert chat(messages=turns)["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "I look.", "tool_calls": [
            {"id": name, "type": "function", "function": {"name": "flow", "arguments": given}}
            for name, given in calls]},
        {"role": "tool", "tool_call_id": "t1", "content": "3 m"},
        {"role": "tool", "tool_call_id": "t2", "content": "Error: dry"},
        {"role": "user", "content": "Well?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "t3", "type": "function", "function": {"name": "flow", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "t3", "content": ""},
    ]  # fmt: skip


REFUSED = [
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"temperature": 1.5}, "temperature"),
    ({"made_up": 1}, "made_up"),
    ({"container": "c"}, "container"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking.type"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"tools": [{**TOOL, "input_examples": [{}]}]}, "tools[0].input_examples"),
    ({"tools": [{"name": "flow"}]}, "tools[0].input_schema"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "other"}}, "tool_choice.name"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_use"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0].tool_use_id"),
    ({"messages": [{"role": "assistant", "content": [CALL_BLOCK]}]}, "messages[0].content[0].id"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"system": [{"type": "image"}]}, "system[0].type"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "field"), REFUSED)
def test_what_is_not_served_is_refused_by_name(body, field):
    with pytest.raises(InvalidRequest, match="parameter") as caught:
        chat(**body)
    assert f'parameter "{field}"' in caught.value.message


def test_the_version_of_the_wire_format():
    for version in (b"2023-06-01", b"2026-10-21"):
        opened(headers=[(b"anthropic-version", version)], temperature=0.5)
    with pytest.raises(InvalidRequest, match="anthropic-version"):
        opened(headers=[(b"anthropic-version", b"2023-01-01")])


def test_a_whole_answer():
    made, _ = opened()
    assert json.loads(made.whole(whole({"content": "Water"}, used=usage(7, 3, 4)))) == {
        "id": "msg_0123456789abcdef0123456789abcdef", "type": "message", "role": "assistant", "model": "guide-1",
        "content": [{"type": "text", "text": "Water"}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {
            "input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 3,
        },
    }  # fmt: skip


ENDINGS = [
    ("stop", {}, ("end_turn", None)),
    ("stop", {"stop_reason": "END"}, ("stop_sequence", "END")),
    ("stop", {"stop_reason": 128001}, ("end_turn", None)),
    ("length", {}, ("max_tokens", None)),
    ("tool_calls", {}, ("tool_use", None)),
    ("content_filter", {}, ("refusal", None)),
]


@pytest.mark.parametrize(("finish", "more", "told"), ENDINGS)
def test_endings(finish, more, told):
    made, _ = opened()
    answer = json.loads(made.whole(whole({"content": "Water"}, finish, **more)))
    assert (answer["stop_reason"], answer["stop_sequence"]) == told
    *_, delta, _ = streamed([chunk({"content": "x"}), chunk({}, finish, usage(), **more), DONE])
    assert (delta[1]["delta"]["stop_reason"], delta[1]["delta"]["stop_sequence"]) == told


def test_calls():
    made, _ = opened()
    calls = [{"id": "c1", "type": "function", "function": {"name": "flow", "arguments": '{"river": "Inn"}'}}]
    answer = json.loads(made.whole(whole({"content": "I look.", "tool_calls": calls}, "tool_calls")))
    assert answer["content"] == [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "c1", "name": "flow", "input": {"river": "Inn"}},
    ]  # fmt: skip
    calls[0]["function"]["arguments"] = "no object"
    with pytest.raises(EngineFailed, match="flow"):
        made.whole(whole({"content": None, "tool_calls": calls}, "tool_calls"))


def streamed(pieces):
    made, _ = opened(stream=True)
    return events(b"".join(made.events(piece) for piece in pieces))


def test_the_events_of_a_text():
    found = streamed(TEXT)
    assert [name for name, _ in found] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert found[0][1]["message"]["usage"]["input_tokens"] == 7
    assert found[0][1]["message"]["stop_reason"] is None
    assert found[5][1] == {
        "type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {
            "input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 3,
        },
    }  # fmt: skip


def test_the_events_of_calls():
    found = streamed(CALLS)
    assert found[1][1]["content_block"] == {"type": "tool_use", "id": "call_a", "name": "flow", "input": {}}
    given = ["", ""]
    for name, data in found:
        if name == "content_block_delta":
            given[data["index"]] += data["delta"]["partial_json"]
    assert given == ['{"river": "Inn"}', '{"at": 2}']
    assert found[-2][1]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("name", STREAMS)
def test_blocks_are_whole_and_in_order_wherever_bytes_are_cut(name):
    together = b"".join(STREAMS[name])
    found = streamed([together])
    assert streamed([together[at : at + 1] for at in range(len(together))]) == found
    is_open = None
    for kind, data in found:
        if kind == "content_block_start":
            assert is_open is None
            is_open = data["index"]
        elif kind.startswith("content_block"):
            assert data["index"] == is_open
            is_open = None if kind == "content_block_stop" else is_open
    assert [kind for kind, _ in found][-2:] == ["message_delta", "message_stop"]


def test_a_stream_that_breaks_off():
    found = streamed([*TEXT[:2], b'data: {"error": {"code": "TEMPORARILY_UNAVAILABLE", "message": "soon"}}\n\n', DONE])
    assert found[-1] == (
        "error", {"type": "error", "error": {"type": "overloaded_error", "message": "soon"}, "request_id": ID},
    )  # fmt: skip


def test_errors_are_in_both_shapes():
    made, _ = opened()
    said = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": 'parameter "stop" has too many'}
    assert json.loads(made.refusal(429, json.dumps(said).encode())) == {
        "error_code": "REQUEST_LIMIT_EXCEEDED", "message": 'parameter "stop_sequences" has too many', "type": "error",
        "error": {"type": "rate_limit_error", "message": 'parameter "stop_sequences" has too many'}, "request_id": ID,
    }  # fmt: skip
