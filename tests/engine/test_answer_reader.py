"""Answers are taken apart into thoughts, text and calls, the same way however they are cut."""

import json

import pytest

from penstock_engine.parts import Arguments, Call, Text, Thought, message
from penstock_engine.reader import Reader
from penstock_engine.tool_format import HERMES, LLAMA, MISTRAL, MISTRAL_ARGS, UNTOLD, format_of, introduction, short_id

CITY = '{"city": "Köln \\"{[\\\\", "days": [1, {"a": "}"}]}'


def read(text, tools=None, size=1, **how):
    """All parts of a text that comes in pieces, neighbours of one kind joined."""
    reader = Reader(tools, **how)
    parts = [part for at in range(0, len(text), size) for part in reader.push(text[at : at + size])]
    return [*parts, *reader.flush()], reader


def joined(parts):
    found = []
    for part in parts:
        last = found[-1] if found else None
        same = type(last) is type(part) and not isinstance(part, Call)
        if same and getattr(last, "number", 0) == getattr(part, "number", 0):
            found[-1] = last._replace(text=last.text + part.text)
        else:
            found.append(part._replace(id="") if isinstance(part, Call) else part)
    return found


def call(index, name, arguments):
    return [Call(index, "", name), Arguments(index, arguments)]


def test_the_cut_off_beginning_of_a_call_that_must_be_is_no_text():
    assert read("<tool_c", HERMES, calls=True)[0] == []
    assert read("<think>so</think>\n<tool", HERMES, size=3, thinks=True, calls=True)[0] == [Thought("so")]
    assert joined(read("<tool_c", HERMES)[0]) == [Text("<tool_c")]


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("tools", "text", "parts"),
    [
        (HERMES, "no calls < at <tool all", [Text("no calls < at <tool all")]),
        (
            HERMES,
            (
                f'I look.<tool_call>\n{{"name": "weather", "arguments": {CITY}}}\n</tool_call>\n<tool_call>\n'
                '{"name": "time", "arguments": {}}\n</tool_call>'
            ),
            [Text("I look."), *call(0, "weather", CITY), *call(1, "time", "{}")],
        ),
        (UNTOLD, f'<tool_call>\n{{"name": "f", "arguments": {CITY}}}\n</tool_call>', call(0, "f", CITY)),
        (LLAMA, f'{{"name": "f", "parameters": {CITY}}}', call(0, "f", CITY)),
        (LLAMA, f'<|python_tag|>{{"name": "f", "parameters": {CITY}}}', call(0, "f", CITY)),
        (LLAMA, 'It is {"name": "f"}', [Text('It is {"name": "f"}')]),
        (
            MISTRAL,
            f'[TOOL_CALLS] [{{"name": "f", "arguments": {CITY}}}, {{"name": "g", "arguments": {{}}}}]',
            [*call(0, "f", CITY), *call(1, "g", "{}")],
        ),
        (
            MISTRAL_ARGS,
            f"Well.[TOOL_CALLS]f[ARGS]{CITY}[TOOL_CALLS]g-2[ARGS]{{}}",
            [Text("Well."), *call(0, "f", CITY), *call(1, "g-2", "{}")],
        ),
    ],
)
def test_calls_in_each_familys_way(tools, text, parts, size):
    found, reader = read(text, tools, size)
    assert joined(found) == parts
    assert reader.calls == sum(isinstance(part, Call) for part in parts)
    for part in joined(found):
        if isinstance(part, Arguments):
            json.loads(part.text)


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize(
    ("how", "text", "parts"),
    [
        ({"thinks": True}, "<think>\nhm, </thin\n</think>\n\nYes.", [Thought("hm, </thin\n"), Text("Yes.")]),
        ({"thinks": True}, " <think>a</think>", [Thought("a")]),
        ({"thinks": True}, "<thin air", [Text("<thin air")]),
        ({"thinks": True}, "No <think>thoughts</think>", [Text("No <think>thoughts</think>")]),
        ({"thinking": True}, "hm</think>Yes</think>", [Thought("hm"), Text("Yes</think>")]),
        ({"thinking": True}, "cut off </th", [Thought("cut off </th")]),
        ({"thinking": True}, "\n\n", []),
    ],
)
def test_thoughts_are_told_apart(how, text, parts, size):
    assert joined(read(text, size=size, **how)[0]) == parts


def test_thoughts_then_calls():
    text = f'hm</think>\n\n{{"name": "f", "parameters": {CITY}}}'
    assert joined(read(text, LLAMA, thinking=True)[0]) == [Thought("hm"), *call(0, "f", CITY)]


def test_a_call_that_is_cut_off_has_what_was_said_of_it():
    found, reader = read('<tool_call>\n{"name": "f", "arguments": {"a": "b', HERMES)
    assert joined(found) == call(0, "f", '{"a": "b')
    assert reader.calls == 0
    assert read('<tool_call>\n{"name": "f', HERMES)[0] == []


def test_messages_of_parts():
    assert message([Text("a"), Text("b")]) == {"role": "assistant", "content": "ab"}
    assert message([]) == {"role": "assistant", "content": ""}
    found = message(
        [Thought("h"), Thought("m"), Text("\n"), Call(0, "call_1", "f"), Arguments(0, "{"), Arguments(0, "}")]
    )
    assert found == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }


@pytest.mark.parametrize(
    ("template", "form"),
    [
        ("{{ tools }} <|python_tag|> {{ '\"parameters\": ' }}", LLAMA),
        ("{% if tools %}{{ '\"parameters\": ' }}{% endif %}", LLAMA),
        ("{% if tools %}<tool_call>{% endif %}", HERMES),
        ("[AVAILABLE_TOOLS][TOOL_CALLS]", MISTRAL),
        ("[AVAILABLE_TOOLS][TOOL_CALLS]name[ARGS]", MISTRAL_ARGS),
        ("{{ messages }}", UNTOLD),
    ],
)
def test_the_family_is_told_by_its_template(template, form):
    assert format_of(template) is form


def test_short_ids_and_introductions():
    assert short_id("abcDEF123") == "abcDEF123"
    made = short_id("call_6f9c")
    assert len(made) == 9
    assert made.isalnum()
    assert made == short_id("call_6f9c") != short_id("call_6f9d")
    assert '"f"' in introduction([{"type": "function", "function": {"name": "f"}}])
