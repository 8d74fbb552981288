"""OpenAI's Responses, Anthropic's Messages with their makers' own unmodified clients, Google's wire with plain HTTP."""

import json
import os

import anthropic
import openai
import pytest
import requests

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
SAY = "How much water flows?"
PIXEL = {"mimeType": "image/png", "data": "aGk="}


@pytest.fixture
def client():
    with openai.OpenAI(base_url=f"{URL}/serving-endpoints", api_key=TOKEN, max_retries=0, timeout=120) as made:
        yield made


@pytest.fixture
def claude():
    url = f"{URL}/serving-endpoints/anthropic"
    with anthropic.Anthropic(base_url=url, api_key=TOKEN, max_retries=0, timeout=120) as made:
        yield made


def test_a_response_whole_and_streamed_is_the_chat_answer(client, chat):
    said = client.chat.completions.create(
        model=chat, messages=[{"role": "user", "content": SAY}], max_tokens=12, temperature=0
    )
    how = {"model": chat, "input": SAY, "max_output_tokens": 12, "temperature": 0, "metadata": {"a": "b"}}
    whole = client.responses.create(**how)
    assert whole.output_text == said.choices[0].message.content
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (
        said.usage.prompt_tokens, said.usage.completion_tokens,
    )  # fmt: skip
    assert whole.status == ("incomplete" if said.choices[0].finish_reason == "length" else "completed")
    assert whole.metadata == {"a": "b"}
    assert all(len(name) <= 64 for name in (whole.id, whole.output[0].id))
    events = list(client.responses.create(**how, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == f"response.{whole.status}"
    assert events[-1].response.output_text == whole.output_text
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].response.usage.total_tokens == whole.usage.total_tokens


def test_the_openai_librarys_own_stream_helper(client, chat):
    how = {"model": chat, "input": [{"role": "user", "content": SAY}], "instructions": "Be brief.", "temperature": 0}
    whole = client.responses.create(**how, max_output_tokens=8, include=["message.output_text.logprobs"])
    assert len(whole.output[0].content[0].logprobs) == whole.usage.output_tokens
    snapshots = []
    with client.responses.stream(**how, max_output_tokens=8) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                snapshots.append(event.snapshot)
            last = event
    assert snapshots[-1] == whole.output_text == last.response.output_text


def test_a_conversation_goes_on_by_sending_what_was_said(client, chat):
    first = client.responses.create(model=chat, input=SAY, max_output_tokens=4)
    turns = [{"role": "user", "content": SAY}, *[item.to_dict() for item in first.output]]
    second = client.responses.create(
        model=chat, input=[*turns, {"role": "user", "content": "more"}], max_output_tokens=4
    )
    assert second.usage.input_tokens > first.usage.input_tokens


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"background": True}, "background"),
        ({"store": True}, "store"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"extra_body": {"made_up": 1}}, "made_up"),
        ({"text": {"format": {"type": "json_schema", "name": "a", "schema": {"not": {}}}}}, "text.format"),
    ],
)
def test_what_responses_do_not_have_is_named(client, chat, how, field):
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=chat, input=SAY, max_output_tokens=4, **how)
    assert f'"{field}"' in caught.value.body["message"]


def test_a_message_whole_and_streamed_is_the_chat_answer(client, claude, chat):
    turns = [{"role": "user", "content": SAY}]
    said = client.chat.completions.create(model=chat, messages=turns, max_tokens=12, temperature=0)
    # its newest versions have left sampling to the body
    how = {"model": chat, "messages": turns, "max_tokens": 12, "extra_body": {"temperature": 0}}
    whole = claude.messages.create(**how)
    assert whole.content[0].text == said.choices[0].message.content
    read = whole.usage.input_tokens + whole.usage.cache_read_input_tokens
    assert (read, whole.usage.output_tokens) == (said.usage.prompt_tokens, said.usage.completion_tokens)
    assert whole.stop_reason == ("max_tokens" if said.choices[0].finish_reason == "length" else "end_turn")
    with claude.messages.stream(**how) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens
    kinds = [event.type for event in claude.messages.create(**how, stream=True)]
    assert (kinds[0], kinds[1], kinds[-1]) == ("message_start", "content_block_start", "message_stop")


def test_stop_sequences(claude, chat):
    how = {"model": chat, "messages": [{"role": "user", "content": SAY}], "extra_body": {"temperature": 0}}
    text = claude.messages.create(**how, max_tokens=12).content[0].text
    stop = text[3:5]
    stopped = claude.messages.create(**how, max_tokens=12, stop_sequences=[stop])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", stop)
    assert stopped.content[0].text == text[: text.index(stop)]
    with claude.messages.stream(**how, max_tokens=12, stop_sequences=[stop]) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", stop)


def test_systems_blocks_and_bearer_tokens(chat):
    turns = [
        {"role": "user", "content": [{"type": "text", "text": SAY, "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": "Much."},
        {"role": "user", "content": "more"},
    ]
    how = {
        "auth_token": TOKEN,
        "default_headers": {"anthropic-version": "2023-06-01"},
        "max_retries": 0,
        "timeout": 120,
    }
    with anthropic.Anthropic(base_url=f"{URL}/serving-endpoints/anthropic", **how) as claude:
        answer = claude.messages.create(
            model=chat, messages=turns, max_tokens=4, system="Be brief.", metadata={"user_id": "me"}
        )
    assert answer.usage.output_tokens <= 4


def test_errors_are_those_that_anthropics_client_knows(claude, chat):
    how = {"model": chat, "messages": [{"role": "user", "content": SAY}], "max_tokens": 4}
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(**{**how, "model": "no-such-endpoint"})
    with pytest.raises(anthropic.BadRequestError, match="tools") as caught:
        claude.messages.create(**how, tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        claude.messages.create(**how, extra_body={"temperature": 1.5})
    with pytest.raises(anthropic.PermissionDeniedError):
        claude.with_options(api_key="wrong").messages.create(**how)


def contents(model, method="generateContent", headers=None, **body):
    """As `curl` would send it."""
    return requests.post(
        f"{URL}/serving-endpoints/gemini/v1beta/models/{model}:{method}",
        json={"contents": [{"parts": [{"text": SAY}]}], **body},
        headers=headers or {"x-goog-api-key": TOKEN},
        timeout=120,
    )


def said_in(answer):
    return "".join(part["text"] for part in answer["candidates"][0]["content"]["parts"])


def test_content_whole_and_streamed_is_the_chat_answer(client, chat):
    said = client.chat.completions.create(
        model=chat, messages=[{"role": "user", "content": SAY}], max_tokens=12, temperature=0
    )
    how = {"generationConfig": {"maxOutputTokens": 12, "temperature": 0}}
    whole = contents(chat, **how).json()
    assert said_in(whole) == said.choices[0].message.content
    used = whole["usageMetadata"]
    assert (used["promptTokenCount"], used["candidatesTokenCount"]) == (
        said.usage.prompt_tokens, said.usage.completion_tokens,
    )  # fmt: skip
    finish = whole["candidates"][0]["finishReason"]
    assert finish == ("MAX_TOKENS" if said.choices[0].finish_reason == "length" else "STOP")
    streamed = contents(chat, "streamGenerateContent?alt=sse", {"Authorization": f"Bearer {TOKEN}"}, **how)
    assert streamed.headers["content-type"] == "text/event-stream"
    events = [json.loads(line[6:]) for line in streamed.content.split(b"\n") if line]
    assert "".join(map(said_in, events)) == said_in(whole)
    assert events[-1]["candidates"][0]["finishReason"] == finish
    assert events[-1]["usageMetadata"]["candidatesTokenCount"] == used["candidatesTokenCount"]


def test_forms_of_googles_schemas_are_kept(chat):
    schema = {"type": "OBJECT", "properties": {"wet": {"type": "BOOLEAN"}}, "required": ["wet"]}
    schema["additionalProperties"] = False
    form = {"response_mime_type": "application/json", "response_schema": schema, "max_output_tokens": 120}
    (said,) = json.loads(said_in(contents(chat, generationConfig=form).json())).values()
    assert isinstance(said, bool)


def test_errors_have_googles_shape(chat):
    for model, more, status, named in (
        ("no-such-endpoint", {}, "NOT_FOUND", "does not exist"),
        (chat, {"tools": [{"googleSearch": {}}]}, "INVALID_ARGUMENT", '"tools[0].googleSearch"'),
        (chat, {"contents": [{"parts": [{"inlineData": PIXEL}]}]}, "INVALID_ARGUMENT", "contents"),
        (chat, {"headers": {"x-goog-api-key": "wrong"}}, "PERMISSION_DENIED", ""),
    ):
        answer = contents(model, **more)
        error = answer.json()["error"]
        assert (error["code"], error["status"]) == (answer.status_code, status)
        assert named in error["message"]
