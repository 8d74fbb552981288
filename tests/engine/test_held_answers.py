"""Forms, tools and thoughts over HTTP: whole and streamed, with a model that says anything."""

import asyncio
import json

import pytest
from engine_fakes import CHAT_TEMPLATE, FakeDecoder, byte_level, word_piece, write_model
from engine_http import ASK, CHAT, events, post

WIDTH = 400
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "What the weather is like",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 8}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
TIME = {"type": "function", "function": {"name": "time"}}
SCHEMA = {
    "type": "object",
    "properties": {"flow": {"type": "number"}, "unit": {"enum": ["l/s", "m3/h"]}},
    "required": ["flow", "unit"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "flow", "schema": SCHEMA, "strict": True}}
ANY = {**ASK, "temperature": 1.0, "seed": 5, "max_tokens": 120}
HERMES = "{% if tools %}<tool_call> {{ tools | tojson }}{% endif %}" + CHAT_TEMPLATE
THINKS = CHAT_TEMPLATE + "{# </think> #}<think>\n"


@pytest.fixture
def opened(open_text, tmp_path):
    """A client of a model with the template and with special tokens."""

    def made(template=CHAT_TEMPLATE, special=(), made=None, **limits):
        tokenizer = made or byte_level()
        tokenizer.add_special_tokens(list(special))
        folder = write_model(tmp_path, tokenizer, chat_template=template)
        decoder = FakeDecoder(vocab_size=WIDTH + 20, num_blocks=256, block_size=16, context_length=2048)
        return open_text(decoder, folder=folder, **limits)

    return made


def streamed(chunks):
    """The message that a stream's deltas make, and its end."""
    said = {"content": "", "reasoning_content": "", "tool_calls": []}
    for chunk in chunks:
        delta = chunk["choices"][0]["delta"]
        assert "content" in delta
        said["content"] += delta["content"]
        said["reasoning_content"] += delta.get("reasoning_content", "")
        for call in delta.get("tool_calls", ()):
            if call["index"] == len(said["tool_calls"]):
                assert call["type"] == "function"
                assert call["id"].startswith("call_")
                said["tool_calls"].append({"name": call["function"]["name"], "arguments": ""})
            said["tool_calls"][call["index"]]["arguments"] += call["function"]["arguments"]
    return said, chunks[-1]["choices"][0]["finish_reason"]


def names_and_arguments(message):
    return [call["function"] for call in message.get("tool_calls", ())]


async def test_an_answer_has_the_form_that_is_asked_for(opened):
    async with opened() as client:
        for seed in range(6):
            found = await post(client, ANY | {"response_format": FORM, "seed": seed, "n": 2})
            for choice in found["choices"]:
                assert choice["finish_reason"] == "stop"
                value = json.loads(choice["message"]["content"])
                assert set(value) == {"flow", "unit"}
                assert value["unit"] in {"l/s", "m3/h"}
            one = ANY | {"response_format": {"type": "json_object"}, "seed": seed}
            whole = (await post(client, one))["choices"][0]
            assert isinstance(json.loads(whole["message"]["content"]), dict)
            said, finish = streamed(await events(client, one))
            assert (said["content"], finish) == (whole["message"]["content"], "stop")


async def test_completions_have_it_too(opened):
    async with opened() as client:
        body = {"prompt": "Say it: ", "max_tokens": 60, "response_format": FORM, "n": 2, "logprobs": 1}
        for choice in (await post(client, body, "/v1/completions"))["choices"]:
            assert set(json.loads(choice["text"])) == {"flow", "unit"}
            assert all(value <= 0 for value in choice["logprobs"]["token_logprobs"])


async def test_calls_that_are_required(opened):
    async with opened(HERMES) as client:
        for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
            for seed in range(6):
                body = ANY | {"tools": [WEATHER, TIME], "tool_choice": choice, "seed": seed}
                whole = (await post(client, body))["choices"][0]
                assert (whole["finish_reason"], whole["message"]["content"]) == ("tool_calls", None)
                calls = names_and_arguments(whole["message"])
                assert calls
                for call in calls:
                    assert choice == "required" or call["name"] == "weather"
                    arguments = json.loads(call["arguments"])
                    assert call["name"] == "time" or (len(arguments["city"]) <= 8 and arguments["days"] >= 1)
                said, finish = streamed(await events(client, body))
                assert (said["tool_calls"], said["content"], finish) == (calls, "", "tool_calls")
        alone = await post(client, body | {"tool_choice": "required", "parallel_tool_calls": False})
        assert len(alone["choices"][0]["message"]["tool_calls"]) == 1


async def test_tools_that_may_be_called_and_tools_that_may_not(opened):
    async with opened(HERMES) as client:
        auto = await post(client, ANY | {"tools": [WEATHER], "max_tokens": 20, "logprobs": True})
        none = await post(client, ANY | {"tools": [WEATHER], "max_tokens": 20, "tool_choice": "none"})
        plain = await post(client, ANY | {"max_tokens": 20})
        assert auto["usage"]["prompt_tokens"] > plain["usage"]["prompt_tokens"]
        assert none["choices"] == plain["choices"]
        message = auto["choices"][0]["message"]
        assert ("tool_calls" in message) is (message["content"] is None)
        scored = b"".join(bytes(entry["bytes"]) for entry in auto["choices"][0]["logprobs"]["content"])
        assert scored.decode("utf-8", "replace") == (message["content"] or "")


async def test_a_special_token_begins_the_calls(opened):
    template = "{% if tools %}[TOOL_CALLS]{% endif %}" + CHAT_TEMPLATE
    async with opened(template, ["[TOOL_CALLS]"]) as client:
        body = ANY | {"tools": [WEATHER], "tool_choice": "required"}
        whole = (await post(client, body))["choices"][0]
        assert whole["finish_reason"] == "tool_calls"
        assert json.loads(whole["message"]["tool_calls"][0]["function"]["arguments"])["days"] >= 1
        said, _ = streamed(await events(client, body))
        assert said["tool_calls"] == names_and_arguments(whole["message"])


async def test_thoughts_are_split_from_the_answer(opened):
    async with opened(THINKS) as client:
        body = ANY | {"response_format": FORM, "logprobs": True}
        found = await post(client, body)
        message = found["choices"][0]["message"]
        assert set(json.loads(message["content"])) == {"flow", "unit"}
        assert message["reasoning_content"]
        thoughts = found["usage"]["completion_tokens_details"]["reasoning_tokens"]
        assert 0 < thoughts < found["usage"]["completion_tokens"]
        scored = found["choices"][0]["logprobs"]["content"]
        text = b"".join(bytes(entry["bytes"]) for entry in scored).decode()
        assert text.strip() == message["content"]
        chunks = await events(client, body)
        said, finish = streamed(chunks)
        assert (said["content"], said["reasoning_content"], finish) == (
            message["content"], message["reasoning_content"], "stop",
        )  # fmt: skip
        assert chunks[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": thoughts}
        cut = (await post(client, ANY | {"max_tokens": 8}))["choices"][0]
        assert cut["finish_reason"] == "length"
        assert cut["message"]["content"] is None
        assert cut["message"]["reasoning_content"]


async def test_models_that_do_not_think_tell_nothing_of_it(opened):
    async with opened() as client:
        found = await post(client, ANY | {"max_tokens": 4})
        assert "completion_tokens_details" not in found["usage"]
        assert "reasoning_content" not in found["choices"][0]["message"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"response_format": {"type": "json_schema"}}, '"response_format.json_schema" is required'),
        ({"response_format": {"type": "xml"}}, '"response_format.type"'),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"not": {}}}}},
            'the "not" keyword is not supported (in parameter "response_format.json_schema.schema")',
        ),
        ({"tools": [{**WEATHER, "type": "web"}]}, '"tools[0].type"'),
        ({"functions": [{}]}, 'use "tools"'),
    ],
)
async def test_what_cannot_be_is_refused_by_name(opened, fields, words):
    async with opened() as client:
        found = await post(client, ANY | fields, status=400)
        assert found["error_code"] == "BAD_REQUEST"
        assert words in found["message"]


async def test_a_tokenizer_that_cannot_be_held_is_said(opened):
    async with opened(made=word_piece()) as client:
        found = await post(client, ANY | {"response_format": FORM}, status=400)
        assert "this model's tokenizer" in found["message"]


async def test_a_gap_is_filled_where_the_model_knows_gaps(opened):
    path, body = "/v1/completions", {"prompt": "def add(a, b):", "suffix": "return c", "max_tokens": 6}
    special = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"]
    async with opened(special=special) as client:
        plain = await post(client, {**body, "suffix": None}, path)
        found = await post(client, body, path)
        assert found["usage"]["prompt_tokens"] > plain["usage"]["prompt_tokens"] + len(special)
        assert '"echo" must not' in (await post(client, {**body, "echo": True}, path, status=400))["message"]
    async with opened() as client:
        assert '"suffix" is not supported by this model' in (await post(client, body, path, status=400))["message"]


async def test_masks_are_measured_and_a_form_that_is_cancelled_ends(opened):
    async with opened() as client:
        await post(client, ANY | {"response_format": FORM})
        asked = asyncio.create_task(client.post(CHAT, json=ANY | {"response_format": FORM, "stream": True}))
        (await asked).close()
        assert await client.made._requests.idle(20)
        async with client.get("/metrics") as response:
            text = await response.text()
        counted = next(line for line in text.splitlines() if line.startswith("penstock_engine_mask_seconds_count"))
        assert float(counted.split()[1]) > 10


async def test_a_form_that_becomes_too_complex_is_the_callers_and_says_so(opened):
    many = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(1500)}}
    body = ANY | {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": many}}}
    said = "the form that is asked for became too complex to be followed"
    async with opened() as client:
        told = await post(client, body, status=400)
        assert (told["error_code"], told["message"]) == ("BAD_REQUEST", said)
        async with client.post(CHAT, json=body | {"stream": True}) as response:
            assert said.encode() in await response.read()
        assert (await post(client, ANY | {"response_format": FORM}))["choices"][0]["finish_reason"] == "stop"
