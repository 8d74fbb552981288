"""Tools and forms of answers with unmodified clients, on a model that says anything."""

import copy
import json
import os
from typing import Literal

import anthropic
import openai
import pytest
from conftest import deploy, llama
from pydantic import BaseModel, Field

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
SAY = [{"role": "user", "content": "How much water flows?"}]
PARAMETERS = {
    "type": "object",
    "properties": {"river": {"type": "string", "maxLength": 6}, "days": {"type": "integer", "minimum": 1}},
    "required": ["river", "days"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "flow", "parameters": PARAMETERS, "strict": True}}


class Flow(BaseModel):
    """What is asked for."""

    river: str = Field(max_length=8)
    amount: float
    unit: Literal["l/s", "m3/h"]


@pytest.fixture(scope="module")
def model(tokenizer, folder):
    told = copy.deepcopy(tokenizer)
    told.chat_template = (
        "{% if tools %}<tool_call>{{ tools | tojson }}{% endif %}"
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ m['tool_calls'] | tojson if m['tool_calls'] }}\n"
        "{% endfor %}"
    )
    return deploy(llama(told), told, "llm/v1/chat", folder)


@pytest.fixture
def client():
    with openai.OpenAI(base_url=f"{URL}/serving-endpoints", api_key=TOKEN, max_retries=0, timeout=120) as made:
        yield made


def test_a_pydantic_model_comes_back(client, model):
    for seed in range(3):
        said = client.chat.completions.parse(model=model, messages=SAY, response_format=Flow, max_tokens=120, seed=seed)
        flow = said.choices[0].message.parsed
        assert isinstance(flow, Flow)
        assert flow.unit in {"l/s", "m3/h"}
    again = client.chat.completions.parse(model=model, messages=SAY, response_format=Flow, max_tokens=120, seed=seed)
    assert again.choices[0].message.parsed == flow


def test_calls_whole_and_in_deltas(client, model):
    how = {
        "model": model, "messages": SAY, "tools": [TOOL], "tool_choice": "required", "max_tokens": 150, "seed": 3,
        "parallel_tool_calls": False,
    }  # fmt: skip
    whole = client.chat.completions.create(**how).choices[0]
    assert whole.finish_reason == "tool_calls"
    (call,) = whole.message.tool_calls
    arguments = json.loads(call.function.arguments)
    assert len(arguments["river"]) <= 6
    assert arguments["days"] >= 1
    with client.chat.completions.stream(**how) as stream:
        deltas = [event for event in stream if event.type == "tool_calls.function.arguments.delta"]
        final = stream.get_final_completion().choices[0]
    assert "".join(event.arguments_delta for event in deltas) == call.function.arguments
    assert final.message.tool_calls[0].function.name == "flow"
    assert final.message.tool_calls[0].function.arguments == call.function.arguments
    answered = [*SAY, whole.message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "12 l/s"}]
    more = client.chat.completions.create(model=model, messages=answered, max_tokens=4)
    assert more.usage.prompt_tokens > 20
    named = {"type": "function", "function": {"name": "flow"}}
    assert client.chat.completions.create(**{**how, "tool_choice": named}).choices[0].message.tool_calls
    none = client.chat.completions.create(**{**how, "tool_choice": "none", "max_tokens": 8}).choices[0]
    assert none.message.tool_calls is None


def test_the_same_through_responses(client, model):
    how = {"model": model, "input": SAY, "max_output_tokens": 150}
    tool = {"type": "function", "name": "flow", "parameters": PARAMETERS, "strict": True}
    said = client.responses.create(**how, tools=[tool], tool_choice="required", parallel_tool_calls=False)
    (call,) = [item for item in said.output if item.type == "function_call"]
    assert call.name == "flow"
    assert json.loads(call.arguments)["days"] >= 1
    events = list(client.responses.create(**how, tools=[tool], tool_choice="required", stream=True))
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert done
    assert all(json.loads(event.arguments)["days"] >= 1 for event in done)
    assert isinstance(client.responses.parse(**how, text_format=Flow).output_parsed, Flow)


def test_the_same_through_messages(model):
    tool = {"name": "flow", "input_schema": PARAMETERS, "strict": True}
    how = {"model": model, "messages": SAY, "max_tokens": 150, "tools": [tool], "tool_choice": {"type": "any"}}
    url = f"{URL}/serving-endpoints/anthropic"
    with anthropic.Anthropic(base_url=url, api_key=TOKEN, max_retries=0, timeout=120) as claude:
        said = claude.messages.create(**how)
        with claude.messages.stream(**how) as stream:
            final = stream.get_final_message()
    for message in (said, final):
        assert message.stop_reason == "tool_use"
        uses = [block for block in message.content if block.type == "tool_use"]
        assert uses
        assert all(use.name == "flow" and use.input["days"] >= 1 for use in uses)


def test_what_a_schema_cannot_have_is_named(client, model):
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array", "uniqueItems": True}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=SAY, response_format=form, max_tokens=9)
    message = caught.value.body["message"]
    assert 'Invalid JSON schema - the "uniqueItems" keyword is not supported' in message
    assert '"response_format.json_schema.schema"' in message
