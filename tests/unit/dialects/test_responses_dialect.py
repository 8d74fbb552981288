"""OpenAI's Responses: requests to chat, answers from chat."""

import json

import pytest
from chats import CALLS, DONE, MIXED, STREAMS, TEXT, call, chunk, events, usage, whole

from penstock.domain.errors import EngineFailed, InvalidRequest
from penstock.web.openai.dialect import Heading
from penstock.web.responses.dialect import ResponsesDialect

ID = "01234567-89ab-cdef-0123-456789abcdef"
TOOL = {"type": "function", "name": "flow", "parameters": {"type": "object"}, "strict": True}


def opened(**body):
    made = ResponsesDialect().open(Heading(ID))
    return made, json.loads(made.chat(json.dumps({"model": "guide", "input": "hi", **body}).encode()))


def chat(**body):
    return opened(**body)[1]


def refused(**body):
    with pytest.raises(InvalidRequest) as caught:
        chat(**body)
    return caught.value.message


def test_the_simplest_request():
    assert chat() == {"model": "guide", "messages": [{"role": "user", "content": "hi"}]}


def test_every_field_arrives():
    body = chat(
        instructions="Be brief.", max_output_tokens=9, temperature=0.5, top_p=0.9, user="me", stream=True,
        tools=[TOOL], tool_choice={"type": "function", "name": "flow"}, parallel_tool_calls=False,
        text={"format": {"type": "json_schema", "name": "level", "schema": {"type": "object"}, "strict": True}},
        reasoning={"effort": "low"}, include=["message.output_text.logprobs"], top_logprobs=2, metadata={"a": "b"},
        safety_identifier="s", prompt_cache_key="k", truncation="disabled", store=False, background=False,
        previous_response_id=None, service_tier="auto", client_request_id="mine",
    )  # fmt: skip
    assert body == {
        "model": "guide", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "user": "me", "stream": True,
        "stream_options": {"include_usage": True}, "parallel_tool_calls": False, "reasoning_effort": "low",
        "tools": [{"type": "function", "function": {"name": "flow", "parameters": {"type": "object"}, "strict": True}}],
        "tool_choice": {"type": "function", "function": {"name": "flow"}}, "logprobs": True, "top_logprobs": 2,
        "response_format": {
            "type": "json_schema", "json_schema": {"name": "level", "schema": {"type": "object"}, "strict": True},
        },
        "safety_identifier": "s", "prompt_cache_key": "k", "client_request_id": "mine",
    }  # fmt: skip


def test_without_tools_there_is_nothing_to_choose():
    assert chat(tool_choice="none", parallel_tool_calls=True, tools=[]) == chat()
    assert chat(tool_choice="required")["tool_choice"] == "required"


def test_items_become_messages():
    items = [
        {"role": "developer", "content": "Rules"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "b"}, {"type": "input_text", "text": "c"}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "flow", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "flow", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "3 m"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "4 m"}]},
    ]  # fmt: skip
    function = {"name": "flow", "arguments": "{}"}
    assert chat(input=items)["messages"] == [
        {"role": "developer", "content": "Rules"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
        {"role": "assistant", "content": "I look.", "tool_calls": [
            {"id": "c1", "type": "function", "function": function},
            {"id": "c2", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "3 m"},
        {"role": "tool", "tool_call_id": "c2", "content": "4 m"},
    ]  # fmt: skip


REFUSED = [
    ({"background": True}, "background"),
    ({"store": True}, "store"),
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "p"}}, "prompt"),
    ({"max_tool_calls": 3}, "max_tool_calls"),
    ({"truncation": "auto"}, "truncation"),
    ({"made_up": 1}, "made_up"),
    ({"text": {"made_up": 1}}, "text.made_up"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tools": [TOOL] * 33}, "tools"),
    ({"tool_choice": {"type": "function", "name": "flow"}}, "tool_choice"),
    ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
    ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
    ({"metadata": {"k" * 65: ""}}, "metadata"),
    ({"metadata": {"k": "v" * 513}}, "metadata[...]"),
    ({"temperature": 3}, "temperature"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
    ({"text": {"format": {"type": "json_object"}}}, "input"),
    ({"include": ["reasoning.encrypted_content"]}, "include[0]"),
    ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
    ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": "x", "id": "m" * 65}]}, "input[0].id"),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input[0].arguments"),
    ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
    ({"input": [{"type": "function_call_output", "output": "c"}]}, "input[0].call_id"),
]


@pytest.mark.parametrize(("body", "field"), REFUSED)
def test_what_is_not_served_is_refused_by_name(body, field):
    assert f'parameter "{field}"' in refused(**body) or f'"{field}" must contain' in refused(**body)


def test_a_whole_answer():
    made, _ = opened(metadata={"a": "b"}, instructions="Be brief.", max_output_tokens=5)
    answer = json.loads(made.whole(whole({"content": "Water"}, used=usage(7, 3, 4))))
    assert answer["id"] == "resp_0123456789abcdef0123456789abcdef"
    assert (answer["object"], answer["status"], answer["model"]) == ("response", "completed", "guide-1")
    assert (answer["created_at"], answer["metadata"], answer["instructions"]) == (12, {"a": "b"}, "Be brief.")
    assert answer["output"] == [
        {
            "type": "message", "id": "msg_0123456789abcdef0123456789abcdef_0", "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Water", "annotations": [], "logprobs": []}],
        }
    ]  # fmt: skip
    assert answer["usage"] == {
        "input_tokens": 7, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0}, "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 10,
    }  # fmt: skip
    assert answer["store"] is False


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_short(finish, reason):
    made, _ = opened()
    answer = json.loads(made.whole(whole({"content": "Wat"}, finish)))
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert answer["output"][0]["status"] == "incomplete"


def test_an_answer_with_calls_has_short_ids():
    made, _ = opened()
    calls = [{"id": "c" * 99, "type": "function", "function": {"name": "flow", "arguments": "{}"}}]
    answer = json.loads(made.whole(whole({"content": None, "tool_calls": calls}, "tool_calls")))
    (item,) = answer["output"]
    assert (item["type"], item["name"], item["arguments"]) == ("function_call", "flow", "{}")
    assert answer["status"] == "completed"
    assert all(len(text) <= 64 for text in (answer["id"], item["id"], item["call_id"]))


def test_what_is_no_answer():
    made, _ = opened()
    for body in (b"[]", b"{", b'{"choices": []}'):
        with pytest.raises(EngineFailed):
            made.whole(body)


def streamed(pieces, **body):
    made, _ = opened(stream=True, **body)
    return events(b"".join(made.events(piece) for piece in pieces)), made


def test_the_events_of_a_text():
    found, _ = streamed(TEXT)
    assert [name for name, _ in found] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.delta", "response.output_text.done",
        "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
    assert found[0][1]["response"]["output"] == []
    assert found[2][1]["item"]["content"] == []
    assert "".join(data["delta"] for _, data in found[4:6]) == found[6][1]["text"] == "Water ü"
    assert found[-1][1]["response"]["usage"]["output_tokens"] == 3


def test_the_events_of_calls():
    found, _ = streamed(CALLS)
    names = [name.removeprefix("response.") for name, _ in found]
    assert names[2:7] == [
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
    ]  # fmt: skip
    assert found[2][1]["item"]["arguments"] == ""
    assert found[5][1]["arguments"] == '{"river": "Inn"}'
    output = found[-1][1]["response"]["output"]
    assert [(item["call_id"], item["name"]) for item in output] == [("call_a", "flow"), ("call_b", "level")]


@pytest.mark.parametrize("name", STREAMS)
def test_the_last_event_says_what_the_others_said(name):
    found, _ = streamed(STREAMS[name])
    final = found[-1][1]["response"]
    done = [data["item"] for kind, data in found if kind == "response.output_item.done"]
    assert final["output"] == done
    assert final["output"]
    deltas = {}
    for kind, data in found:
        if kind.endswith(".delta"):
            deltas[data["item_id"]] = deltas.get(data["item_id"], "") + data["delta"]
    for item in done:
        text = item["content"][0]["text"] if item["type"] == "message" else item["arguments"]
        assert deltas.get(item["id"], "") == text


@pytest.mark.parametrize("name", STREAMS)
def test_cuts_at_any_byte_change_nothing(name):
    together = b"".join(STREAMS[name])
    expected, _ = streamed([together])
    assert streamed([together[at : at + 1] for at in range(len(together))])[0] == expected


def test_a_stream_that_was_cut_short():
    found, _ = streamed([*MIXED[:1], chunk({}, "length", usage(7, 2)), DONE])
    assert found[-1][0] == "response.incomplete"
    assert found[-1][1]["response"]["output"][0]["status"] == "incomplete" == found[-2][1]["item"]["status"]
    assert found[-1][1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_a_stream_that_breaks_off():
    error = b'data: {"error": {"code": "INTERNAL_ERROR", "message": "it broke"}, "usage": {"prompt_tokens": 5}}\n\n'
    found, made = streamed([*TEXT[:3], error])
    name, data = found[-1]
    assert (name, data["response"]["status"]) == ("response.failed", "failed")
    assert data["response"]["error"] == {"code": "server_error", "message": "it broke"}
    assert data["response"]["usage"]["input_tokens"] == 5
    assert data["response"]["output"][0]["content"][0]["text"] == "Water ü"
    assert made.events(DONE) == b""


def test_log_probabilities_pass():
    scores = {"content": [{"token": "Wa", "logprob": -0.5, "bytes": [87, 97], "top_logprobs": []}]}
    found, _ = streamed([chunk({"content": "Wa"}, logprobs=scores), DONE], top_logprobs=0)
    shown = [data["logprobs"] for kind, data in found if kind.startswith("response.output_text")]
    assert shown == [scores["content"]] * 2
    assert found[-1][1]["response"]["output"][0]["content"][0]["logprobs"] == scores["content"]


def test_errors_keep_the_apis_shape_and_call_fields_as_the_client_does():
    made, _ = opened()
    said = {"error_code": "BAD_REQUEST", "message": 'parameter "response_format" is not supported, "max_tokens" is.'}
    assert json.loads(made.refusal(400, json.dumps(said).encode())) == {
        "error_code": "BAD_REQUEST", "message": 'parameter "text.format" is not supported, "max_output_tokens" is.',
    }  # fmt: skip
    abroad = {"error_code": "BAD_REQUEST", "error": "Received error from openai",
              "external_model_message": {"error": {"message": "no such model"}}}  # fmt: skip
    assert json.loads(made.refusal(400, json.dumps(abroad).encode()))["message"] == (
        "Received error from openai: no such model"
    )
    assert json.loads(made.refusal(502, b"<html>"))["error_code"] == "INTERNAL_ERROR"


def test_unfinished_calls_of_a_broken_stream_are_told():
    found, _ = streamed([chunk(call(0, "flow", '{"a', "c1")), b'data: {"error": "gone"}\n\n'])
    (item,) = found[-1][1]["response"]["output"]
    assert (item["arguments"], item["status"]) == ('{"a', "incomplete")
