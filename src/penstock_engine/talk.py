"""From a chat request to its prompt, to the grammar of its answer and to how the answer is read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from penstock_engine import wire
from penstock_engine.grammar import Grammar, Mind, calls_grammar, value_grammar
from penstock_engine.reader import THINK, THOUGHT, Reader
from penstock_engine.refusal import BadRequest
from penstock_engine.tool_format import ToolFormat, format_of, introduction, short_id
from penstock_engine.tools import tools_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock_engine.chat_template import ChatTemplate


@dataclass(frozen=True, slots=True)
class Reading:
    """How an answer is read."""

    tools: ToolFormat | None = None
    mind: Mind = Mind.NONE
    marks: Mapping[int, str] = field(default_factory=dict)
    """Special tokens that are read, with their text."""
    calls: bool = False
    """Whether it must call a function."""

    def reader(self) -> Reader | None:
        """For one answer; None where all of it is text."""
        if self.tools is None and self.mind is Mind.NONE:
            return None
        thinks, thinking = self.mind is Mind.MAY, self.mind is Mind.OPEN
        return Reader(self.tools, thinks=thinks, thinking=thinking, calls=self.calls)


PLAIN = Reading()


@dataclass(frozen=True, slots=True)
class Talk:
    """A chat, ready to be answered."""

    prompt: str
    reading: Reading
    grammar: Grammar | None


class Talker:
    """Knows how a model is spoken to. Safe to use from several threads."""

    def __init__(self, template: ChatTemplate, special: Mapping[str, int]) -> None:
        """`special`: ids of special tokens by what they are called."""
        self._template = template
        self._special = special
        self._form = format_of(template.source)
        self._thinks = THOUGHT in template.source

    def talk(self, request: wire.ChatRequest) -> Talk:
        """Render the prompt and say how its answer is held and read. Raises BadRequest."""
        tools = tools_of(request.tools, request.tool_choice, parallel=request.parallel_tool_calls)
        value = wire.asked_form(request)
        form = self._form
        told = [function.told() for function in tools.functions] if tools is not None else None
        messages = self._messages(request.messages, told)
        shown = told if form.told else None
        prompt = self._template.render(messages, request.chat_template_kwargs, shown)
        mind = self._mind(prompt)
        grammar = None
        if tools is not None:
            if value is not None:
                form = replace(form, bare=form.bare and tools.required)
            grammar = calls_grammar(tools, form, value, mind, self._special)
        elif value is not None:
            grammar = value_grammar(value, mind, self._special)
        reading = self._reading(form if tools is not None else None, mind)
        return Talk(prompt, replace(reading, calls=tools is not None and tools.required), grammar)

    def _mind(self, prompt: str) -> Mind:
        if not self._thinks:
            return Mind.NONE
        return Mind.OPEN if prompt.rstrip().endswith(THINK) else Mind.MAY

    def _reading(self, form: ToolFormat | None, mind: Mind) -> Reading:
        words = (*(form.words if form is not None else ()), *((THINK, THOUGHT) if mind is not Mind.NONE else ()))
        marks = {self._special[word]: word for word in words if word in self._special}
        return Reading(form, mind, marks)

    def _messages(self, messages: list[wire.Message], told: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
        """Messages as templates expect them: content as one text, nothing that was not given."""
        if not self._form.told:
            return _told_in_text(messages, told)
        found = []
        for place, message in enumerate(messages):
            one = _plain(message)
            if message.name is not None:
                one["name"] = message.name
            if message.tool_calls is not None:
                one["tool_calls"] = [self._call(call, place, index) for index, call in enumerate(message.tool_calls)]
            if message.tool_call_id is not None:
                one["tool_call_id"] = self._id(message.tool_call_id)
            found.append(one)
        return found

    def _call(self, call: dict[str, Any], place: int, index: int) -> dict[str, Any]:
        name, arguments = _called(call, f"messages[{place}].tool_calls[{index}]")
        function = {"name": name, "arguments": arguments}
        return {"id": self._id(str(call.get("id") or "")), "type": "function", "function": function}

    def _id(self, given: str) -> str:
        return short_id(given) if self._form.short_ids else given


def _plain(message: wire.Message) -> dict[str, Any]:
    content = message.content
    if isinstance(content, list):
        content = "".join(part.text or "" for part in content)
    return {"role": message.role, "content": content or ""}


def _called(call: dict[str, Any], where: str) -> tuple[str, Any]:
    """Name and arguments of a call in a message, the arguments as a value."""
    function = call.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise BadRequest(f'parameter "{where}.function.name" is required')
    arguments = function.get("arguments") or "{}"
    if not isinstance(arguments, str):
        return name, arguments
    try:
        return name, json.loads(arguments)
    except (ValueError, RecursionError):
        raise BadRequest(f'parameter "{where}.function.arguments" must be JSON') from None


def _told_in_text(messages: list[wire.Message], told: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Messages for a template that knows no tools: what it cannot say is said in texts."""
    found: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        one = _plain(message)
        if message.name is not None:
            one["name"] = message.name
        calls = [
            _written(call, f"messages[{place}].tool_calls[{at}]") for at, call in enumerate(message.tool_calls or ())
        ]
        if calls:
            one["content"] = "\n".join(filter(None, [one["content"], *calls]))
        if message.role == "tool":
            one = {"role": "user", "content": f"<tool_response>\n{one['content']}\n</tool_response>"}
            if found and found[-1].get("role") == "user" and messages[place - 1].role == "tool":
                found[-1]["content"] += "\n" + one["content"]
                continue
        found.append(one)
    if told is not None:
        first = next((one for one in found if one["role"] == "user"), found[0])
        first["content"] = introduction(told) + first["content"]
    return found


def _written(call: dict[str, Any], where: str) -> str:
    name, arguments = _called(call, where)
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n</tool_call>"
