"""Chat in the words of Cohere's Chat API, version 2. Pure."""

from dataclasses import replace
from typing import Any

import msgspec
from msgspec import Struct

from penstock.adapters.providers.chat_answer import (
    ChatWriter,
    Heading,
    Spoken,
    reasoning,
    tool_call,
    usage_of,
    whole_chat,
)
from penstock.adapters.providers.chat_request import Chat, Message, Tool, image_url, parts_of, text_of
from penstock.domain.errors import InvalidRequest, ProviderFailed

_REASONS = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TIMEOUT": "length",
    "TOOL_CALL": "tool_calls",
}
_ERROR = "ERROR"
_TAKES = frozenset({"seed", "frequency_penalty", "presence_penalty"})
_CHOICES = {"none": "NONE", "required": "REQUIRED", "function": "REQUIRED"}
_EFFORTS = {"none": "disabled", "high": "enabled"}
_Shape = dict[str, Any]


def request_of(chat: Chat, model: str, who: str, *, streaming: bool) -> _Shape:
    """The body to send. Raises InvalidRequest for what cannot be said there."""
    chat.refuse_foreign(who, _TAKES)
    if chat.parallel_tool_calls is False and chat.tools:
        raise InvalidRequest("parallel_tool_calls cannot be false: Cohere has nothing like it.")
    if chat.user is not None:
        raise InvalidRequest("user cannot be set: Cohere has nothing like it.")
    told = {
        "max_tokens": chat.limit,
        "temperature": chat.temperature,
        "p": chat.top_p,
        "k": chat.top_k,
        "stop_sequences": chat.stops or None,
    }
    body: _Shape = {"model": model, "stream": streaming, "messages": _messages(chat)}
    body |= {name: value for name, value in told.items() if value is not None}
    body |= _tools(chat)
    body |= _output(chat, who)
    return {**chat.extra, **body}


def _messages(chat: Chat) -> list[_Shape]:
    """Instructions stand first, wherever they were given."""
    system = [text for message in chat.system if (text := text_of(message))]
    found: list[_Shape] = [{"role": "system", "content": "\n\n".join(system)}] if system else []
    for place, message in chat.talk:
        blocks = parts_of(message, place, _part)
        if message.role == "assistant":
            found.append(_assistant(message, blocks))
        elif message.role == "tool":
            content = blocks if isinstance(message.content, list) else message.content or ""
            found.append({"role": "tool", "tool_call_id": message.tool_call_id, "content": content})
        else:
            found.append({"role": "user", "content": blocks or ""})
    return found


def _assistant(message: Message, blocks: list[_Shape]) -> _Shape:
    """What is said beside calls is the plan that they come from."""
    found: _Shape = {"role": "assistant"}
    if message.tool_calls:
        plan = "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
        blocks = [block for block in blocks if block.get("type") != "text"]
        found |= {"tool_plan": plan} if plan else {}
        found["tool_calls"] = [
            tool_call(one.id, one.function.name, one.function.arguments.strip() or "{}") for one in message.tool_calls
        ]
    if blocks or not message.tool_calls:
        found["content"] = blocks or ""
    return found


def _part(part: _Shape, place: int) -> list[_Shape]:
    """Parts that are not known pass as they are: they may be the provider's own."""
    kind = part.get("type")
    if kind == "image_url":
        given = part.get("image_url")
        told = given if isinstance(given, dict) else {}
        return [{"type": "image_url", "image_url": {**told, "url": image_url(part, place)}}]
    if kind == "reasoning":
        summary = part.get("summary")
        return [
            {"type": "thinking", "thinking": str(one["text"])}
            for one in (summary if isinstance(summary, list) else ())
            if isinstance(one, dict) and one.get("text")
        ]
    return [dict(part)]


def _tools(chat: Chat) -> _Shape:
    """One function is chosen by offering no other."""
    if not chat.tools:
        return {}
    kind, name = chat.chosen_tool()
    tools = [one for one in chat.tools if kind != "function" or one.function.name == name]
    if not tools:
        raise InvalidRequest(f"tool_choice names the function {name[:80]!r}, which is not one of tools.")
    found: _Shape = {"tools": [_tool(one) for one in tools]}
    if kind in _CHOICES:
        found["tool_choice"] = _CHOICES[kind]
    strict = {bool(one.function.strict) for one in tools}
    if len(strict) > 1:
        raise InvalidRequest("strict must be the same for all tools: Cohere has one wish for all of them.")
    return found | ({"strict_tools": True} if True in strict else {})


def _tool(tool: Tool) -> _Shape:
    function = tool.function
    found: _Shape = {"name": function.name}
    if function.description is not None:
        found["description"] = function.description
    found["parameters"] = function.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": found}


def _output(chat: Chat, who: str) -> _Shape:
    found: _Shape = {}
    if chat.response_format is not None and chat.response_format.get("type") == "json_object":
        found["response_format"] = {"type": "json_object"}
    elif (schema := chat.schema(who)) is not None:
        found["response_format"] = {"type": "json_object", "json_schema": schema["schema"]}
    if chat.reasoning_effort is not None:
        if chat.reasoning_effort not in _EFFORTS:
            raise InvalidRequest(f"reasoning_effort must be one of {', '.join(_EFFORTS)} for this model.")
        found["thinking"] = {"type": _EFFORTS[chat.reasoning_effort]}
    return found


class _Count(Struct):
    input_tokens: float | None = None
    output_tokens: float | None = None


class _Usage(Struct):
    tokens: _Count | None = None
    billed_units: _Count | None = None
    cached_tokens: float | None = None

    def told(self) -> _Shape | None:
        """OpenAI's: what was read and written, not what is billed, which leaves out what Cohere adds to prompts."""
        counts, billed = self.tokens or self.billed_units, self.billed_units or _Count()
        if counts is None:
            return None
        return usage_of(
            int(counts.input_tokens or 0),
            int(counts.output_tokens or 0),
            _whole(self.cached_tokens),
            billed_input_tokens=_whole(billed.input_tokens),
            billed_output_tokens=_whole(billed.output_tokens),
        )


def _whole(count: float | None) -> int | None:
    return int(count) if count is not None else None


class _Content(Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None


class _Function(Struct):
    name: str = ""
    arguments: str | None = None


class _Call(Struct):
    function: _Function
    id: str = ""


class _Message(Struct):
    content: list[_Content] | None = None
    tool_calls: list[_Call] | None = None
    tool_plan: str | None = None
    citations: list[Any] | None = None


class _Answer(Struct):
    id: str
    message: _Message
    finish_reason: str | None = None
    usage: _Usage | None = None


def answer_of(body: bytes, heading: Heading, who: str) -> bytes:
    """A whole answer, translated. Raises ProviderFailed if it is an error, msgspec.DecodeError for another shape."""
    answer = msgspec.json.decode(body, type=_Answer)
    if answer.finish_reason == _ERROR:
        raise ProviderFailed(f"{who} failed in the middle of its answer.")
    message, spoken = answer.message, Spoken()
    if message.tool_plan:
        spoken.texts.append(message.tool_plan)
    for block in message.content or ():
        if block.thinking:
            spoken.thoughts.append(reasoning(block.thinking))
        spoken.texts.append(block.text or "")
    spoken.calls.extend(
        tool_call(one.id, one.function.name, one.function.arguments or "{}") for one in message.tool_calls or ()
    )
    if message.citations:
        spoken.more["citations"] = message.citations
    usage = answer.usage.told() if answer.usage is not None else None
    reason = _REASONS.get(answer.finish_reason or "", "stop")
    return whole_chat(replace(heading, id=answer.id), [(spoken, reason)], usage)


class _Piece(Struct):
    """What an event adds; where a message begins, its lists are empty and not yet what they will be."""

    content: _Content | list[Any] | None = None
    tool_calls: _Call | list[Any] | None = None
    tool_plan: str | None = None
    citations: Any = None


class _Delta(Struct):
    message: _Piece | None = None
    finish_reason: str | None = None
    error: str | None = None
    usage: _Usage | None = None


class _Event(Struct):
    type: str
    id: str | None = None
    delta: _Delta | None = None


_decoder = msgspec.json.Decoder(_Event)


class ChatEvents:
    """See `penstock.adapters.providers.translated.EventTranslator`."""

    __slots__ = ("_silent", "_who", "_writer", "done")

    def __init__(self, who: str, heading: Heading) -> None:
        self._who = who
        self._writer = ChatWriter(heading)
        self._silent = False
        self.done = False

    def event(self, data: bytes) -> bytes:
        """By its type; types that are not known are left out."""
        event = _decoder.decode(data)
        delta = event.delta or _Delta()
        if event.type == "message-start":
            self._writer.heading = replace(self._writer.heading, id=event.id or self._writer.heading.id)
            return self._writer.begin()
        if event.type == "message-end":
            return self._end(delta)
        if event.type.startswith("tool-call-"):
            return self._call(event.type, delta.message or _Piece())
        return self._more(event.type, delta.message or _Piece())

    def end(self) -> bytes:
        """It must have said that it ends."""
        return b""

    def _more(self, kind: str, piece: _Piece) -> bytes:
        if kind == "tool-plan-delta":
            return self._writer.text(piece.tool_plan or "")
        if kind == "citation-start" and piece.citations is not None:
            return self._writer.delta({"citations": [piece.citations]})
        if kind in {"content-start", "content-delta"} and isinstance(piece.content, _Content):
            if piece.content.thinking:
                return self._writer.thought(piece.content.thinking)
            return self._writer.text(piece.content.text or "")
        return b""

    def _call(self, kind: str, piece: _Piece) -> bytes:
        """A call without arguments has an empty object of them, which clients read as JSON."""
        if kind == "tool-call-end":
            empty, self._silent = self._silent, False
            return self._writer.arguments("{}") if empty else b""
        if not isinstance(piece.tool_calls, _Call):
            return b""
        call, function = piece.tool_calls, piece.tool_calls.function
        if kind == "tool-call-start":
            self._silent = not function.arguments
            return self._writer.call(call.id, function.name, function.arguments or "")
        if not function.arguments:
            return b""
        self._silent = False
        return self._writer.arguments(function.arguments)

    def _end(self, delta: _Delta) -> bytes:
        if delta.error or delta.finish_reason == _ERROR:
            why = f": {delta.error}" if delta.error else ""
            raise ProviderFailed(f"{self._who} failed in the middle of its answer{why}.")
        self.done = True
        usage = delta.usage.told() if delta.usage is not None else None
        return self._writer.end(_REASONS.get(delta.finish_reason or "", "stop"), usage)
