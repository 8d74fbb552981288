"""What requests may say of tools, and how models are told of them and of earlier calls."""

import json

import pytest
from engine_fakes import byte_level, write_model

from penstock_engine import wire
from penstock_engine.grammar import Mind
from penstock_engine.refusal import BadRequest
from penstock_engine.service import read_tokenizer
from penstock_engine.talk import Talker
from penstock_engine.tool_format import HERMES, LLAMA, UNTOLD

HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"properties": {"city": {}}}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}
EARLIER = [
    *HELLO,
    {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
]
LLAMAS = (
    "{% if tools is not none %}<|python_tag|> {{ tools | tojson }}{% endif %}"
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}"
    "{% for c in m['tool_calls'] or [] %}{{ c['id'] }}:{{ c['function']['arguments']['city'] }};{% endfor %}"
    "{{ m['tool_call_id'] }}{% endfor %}"
)


def refusal(**fields):
    with pytest.raises(BadRequest) as refused:
        wire.chat(json.dumps({"messages": HELLO, **fields}).encode())
    return str(refused.value)


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ({"type": "web"}, '"tools[0].type" must be "function"'),
        ({"type": "function"}, '"tools[0].function" is required'),
        ({"type": "function", "function": {}}, '"tools[0].function.name" is required'),
        ({"type": "function", "function": {"name": "a b"}}, "letters, digits"),
        ({"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}, 'type "object"'),
        ({"type": "function", "function": {"name": "f", "strict": "yes"}}, "expected bool"),
    ],
)
def test_each_wrong_tool_is_named(tool, words):
    assert words in refusal(tools=[tool])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tools": [WEATHER, WEATHER]}, 'the function "weather" twice'),
        ({"tool_choice": "required"}, 'must not be "required" without "tools"'),
        ({"tools": [WEATHER], "tool_choice": "maybe"}, '"tool_choice" must be'),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "f"}}}, '"f", which is not in'),
        ({"tools": [WEATHER], "min_tokens": 4}, '"min_tokens" must not be given together'),
        ({"response_format": {"type": "json_object"}, "ignore_eos": True}, '"ignore_eos" must not be given together'),
        ({"tools": [WEATHER], "parallel_tool_calls": "no"}, '"parallel_tool_calls"'),
    ],
)
def test_each_wrong_choice_is_named(fields, words):
    assert words in refusal(**fields)


@pytest.fixture
def talk(tmp_path):
    def made(template, **fields):
        folder = write_model(tmp_path, byte_level(), chat_template=template)
        tokenizer, compiled = read_tokenizer(folder)
        request = wire.chat(json.dumps({"messages": HELLO, **fields}).encode())
        return Talker(compiled, tokenizer.special_ids).talk(request)

    return made


def test_templates_that_know_tools_are_given_them_and_arguments_as_values(talk):
    found = talk(LLAMAS, messages=EARLIER, tools=[WEATHER])
    assert '"name": "weather"' in found.prompt
    assert "call_1:Bonn;call_1:Bonn;" in found.prompt
    assert "<tool>raincall_1" in found.prompt
    assert found.reading.tools is LLAMA
    assert '\\"parameters\\": ' in found.grammar.text
    none = talk(LLAMAS, tools=[WEATHER], tool_choice="none")
    assert "weather" not in none.prompt
    assert (none.reading.tools, none.grammar) == (None, None)


def test_a_template_with_short_ids_gets_them(talk):
    found = talk("[TOOL_CALLS]" + LLAMAS.replace("<|python_tag|>", ""), messages=EARLIER)
    ids = found.prompt.split(":Bonn")[0].split(">")[-1]
    assert len(ids) == 9
    assert ids.isalnum()
    assert found.prompt.count(ids) == 4


def test_templates_that_know_no_tools_are_told_in_texts(talk):
    plain = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    found = talk(plain, messages=EARLIER, tools=[WEATHER])
    assert found.reading.tools is UNTOLD
    first, said, answer = [*found.prompt.split("<user>")[1].split("<assistant>"), found.prompt.split("<user>")[2]]
    assert '"name": "weather"' in first
    assert first.endswith("hello")
    assert said.count('<tool_call>\n{"name": "weather", "arguments": {"city": "Bonn"}}\n</tool_call>') == 2
    assert answer == "<tool_response>\nrain\n</tool_response>\n<tool_response>\nsun\n</tool_response>"


def test_arguments_in_messages_must_be_json(talk):
    broken = {**CALL, "function": {"name": "weather", "arguments": "{"}}
    with pytest.raises(BadRequest, match=r'"messages\[0\]\.tool_calls\[0\]\.function\.arguments" must be JSON'):
        talk(LLAMAS, messages=[{"role": "assistant", "tool_calls": [broken]}])
    with pytest.raises(BadRequest, match=r'tool_calls\[0\]\.function\.name" is required'):
        talk(LLAMAS, messages=[{"role": "assistant", "tool_calls": [{"id": "x"}]}])


@pytest.mark.parametrize(
    ("template", "mind"),
    [
        ("{{ messages[0]['content'].split('</think>')[-1] }}<think>\n", Mind.OPEN),
        ("{{ messages[0]['content'].split('</think>')[-1] }}", Mind.MAY),
        ("{{ messages[0]['content'] }}<think>", Mind.NONE),
    ],
)
def test_who_thinks_is_told_by_the_template(talk, template, mind):
    assert talk(template).reading.mind is mind


def test_a_value_or_calls(talk):
    hermes = "{% if tools %}<tool_call>{% endif %}"
    how = {"tools": [WEATHER], "response_format": {"type": "json_object"}}
    both = talk(hermes, messages=[{"role": "user", "content": "json"}], **how)
    assert both.reading.tools == HERMES
    assert "body: value | " in both.grammar.text
    llamas = talk(LLAMAS, **how)
    assert llamas.reading.tools.bare is False
    assert '"<|python_tag|>"' in llamas.grammar.text
