"""Chat in the words of Anthropic's Messages API. Pure."""

from typing import Any, Literal

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
from penstock.adapters.providers.chat_request import (
    Chat,
    Message,
    Tool,
    add_turn,
    arguments_of,
    image_url,
    inline_image,
    parts_of,
    text_of,
)
from penstock.domain.errors import InvalidRequest, ProviderFailed

DEFAULT_LIMIT = 4096
"""Tokens of an answer where none are asked for: the API wants a number, and every model allows this one."""
_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_Shape = dict[str, Any]


def request_of(chat: Chat, model: str, who: str, *, streaming: bool) -> _Shape:
    """The body to send. Raises InvalidRequest for what cannot be said there."""
    chat.refuse_foreign(who)
    body: _Shape = {"model": model, "max_tokens": chat.limit or DEFAULT_LIMIT, "messages": _messages(chat)}
    system = [block for message in chat.system for block in _system(message)]
    if system:
        body["system"] = system
    for name in ("temperature", "top_p", "top_k"):
        if getattr(chat, name) is not None:
            body[name] = getattr(chat, name)
    if chat.stops:
        body["stop_sequences"] = chat.stops
    if chat.user is not None:
        body["metadata"] = {"user_id": chat.user}
    if chat.tools:
        body["tools"] = [_tool(tool) for tool in chat.tools]
        body |= _choice(chat)
    body |= _output(chat, who)
    if streaming:
        body["stream"] = True
    return {**chat.extra, **body}


def _messages(chat: Chat) -> list[_Shape]:
    """Messages of one role after another become one: the results of all calls must stand in the next message."""
    found: list[_Shape] = []
    for place, message in chat.talk:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _result(message, place) if message.role == "tool" else parts_of(message, place, _part)
        blocks += [
            {"type": "tool_use", "id": one.id, "name": one.function.name, "input": arguments_of(one)}
            for one in message.tool_calls or ()
        ]
        add_turn(found, role, "content", blocks)
    return found


def _system(message: Message) -> list[_Shape]:
    if not isinstance(message.content, list):
        return [{"type": "text", "text": message.content}] if message.content else []
    text_of(message)
    return [dict(part) for part in message.content]


def _part(part: _Shape, place: int) -> list[_Shape]:
    """Parts that are not known pass as they are: they may be the provider's own."""
    kind = part.get("type")
    if kind == "image_url":
        kept = {"cache_control": part["cache_control"]} if "cache_control" in part else {}
        return [{"type": "image", "source": _source(image_url(part, place)), **kept}]
    if kind == "reasoning":
        summaries = part.get("summary")
        if not isinstance(summaries, list) or not all(isinstance(one, dict) for one in summaries):
            raise InvalidRequest(f"messages[{place}] has reasoning without a summary.")
        # What is not signed by the provider would be refused by it.
        return [
            {"type": "thinking", "thinking": one.get("text", ""), "signature": one["signature"]}
            for one in summaries
            if one.get("signature")
        ]
    return [dict(part)]


def _source(url: str) -> _Shape:
    inline = inline_image(url)
    if inline is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": inline[0], "data": inline[1]}


def _result(message: Message, place: int) -> list[_Shape]:
    content: object = message.content or ""
    if isinstance(message.content, list):
        content = parts_of(message, place, _part)
    return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": content}]


def _tool(tool: Tool) -> _Shape:
    function = tool.function
    found: _Shape = {"name": function.name, "input_schema": function.parameters or {"type": "object", "properties": {}}}
    if function.description is not None:
        found["description"] = function.description
    if function.strict is not None:
        found["strict"] = function.strict
    return found


def _choice(chat: Chat) -> _Shape:
    kind, name = chat.chosen_tool()
    alone = {"disable_parallel_tool_use": not chat.parallel_tool_calls} if chat.parallel_tool_calls is not None else {}
    if kind == "none":
        return {"tool_choice": {"type": "none"}}
    if kind == "function":
        return {"tool_choice": {"type": "tool", "name": name, **alone}}
    if kind == "required":
        return {"tool_choice": {"type": "any", **alone}}
    return {"tool_choice": {"type": "auto", **alone}} if kind or alone else {}


def _output(chat: Chat, who: str) -> _Shape:
    given = chat.extra.pop("output_config", None)
    found: _Shape = dict(given) if isinstance(given, dict) else {}
    schema = chat.schema(who)
    if schema is not None:
        found["format"] = {"type": "json_schema", "schema": schema["schema"]}
    if chat.reasoning_effort is not None:
        if chat.reasoning_effort not in _EFFORTS:
            raise InvalidRequest(f"reasoning_effort must be one of {', '.join(_EFFORTS)} for this model.")
        found["effort"] = chat.reasoning_effort
    return {"output_config": found} if found else {}


class _Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None

    def update(self, newer: "_Usage") -> None:
        """Takes the counts that are told: they are cumulative."""
        for name in self.__struct_fields__:
            if getattr(newer, name) is not None:
                setattr(self, name, getattr(newer, name))

    def told(self) -> _Shape:
        """OpenAI's: what came from the cache, and what was put there, counts as prompt."""
        read, made = self.cache_read_input_tokens, self.cache_creation_input_tokens
        prompt = (self.input_tokens or 0) + (read or 0) + (made or 0)
        return usage_of(
            prompt,
            self.output_tokens or 0,
            read,
            cache_read_input_tokens=read,
            cache_creation_input_tokens=made,
        )


class _Block(Struct):
    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    id: str = ""
    name: str = ""
    input: _Shape = {}


class _Whole(Struct):
    id: str
    model: str
    content: list[_Block]
    usage: _Usage
    stop_reason: str | None = None


def answer_of(body: bytes, created: int) -> bytes:
    """A whole answer, translated. Raises msgspec.DecodeError if it has another shape."""
    whole = msgspec.json.decode(body, type=_Whole)
    spoken = Spoken()
    for block in whole.content:
        if block.type == "text":
            spoken.texts.append(block.text)
        elif block.type == "thinking":
            spoken.thoughts.append(reasoning(block.thinking, block.signature))
        elif block.type == "tool_use":
            spoken.calls.append(tool_call(block.id, block.name, msgspec.json.encode(block.input).decode()))
    reason = _REASONS.get(whole.stop_reason or "", "stop")
    return whole_chat(Heading(whole.id, created, whole.model), [(spoken, reason)], whole.usage.told())


class _Started(Struct):
    id: str
    model: str
    usage: _Usage


class _Delta(Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _Error(Struct):
    type: str = ""
    message: str = ""


class _Event(Struct):
    type: str
    message: _Started | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: _Error | None = None


_decoder = msgspec.json.Decoder(_Event)


class ChatEvents:
    """See `penstock.adapters.providers.translated.EventTranslator`."""

    __slots__ = ("_block", "_created", "_reason", "_silent", "_usage", "_who", "_writer", "done")

    def __init__(self, who: str, created: int) -> None:
        self._who = who
        self._created = created
        self._writer = ChatWriter(Heading("", created, ""))
        self._block: Literal["", "tool"] = ""
        self._silent = False
        self._reason = "stop"
        self._usage = _Usage()
        self.done = False

    def event(self, data: bytes) -> bytes:
        """By its type; types that are not known are left out, as the API asks of its clients."""
        event = _decoder.decode(data)
        if event.type == "error":
            error = event.error or _Error()
            raise ProviderFailed(f"{self._who} failed in the middle of its answer: {error.type}: {error.message}")
        if event.usage is not None:
            self._usage.update(event.usage)
        if event.type == "message_start" and event.message is not None:
            self._usage.update(event.message.usage)
            self._writer.heading = Heading(event.message.id, self._created, event.message.model)
            return self._writer.begin()
        if event.type == "content_block_start" and event.content_block is not None:
            return self._start(event.content_block)
        if event.type == "content_block_delta" and event.delta is not None:
            return self._more(event.delta)
        if event.type == "content_block_stop":
            return self._stop()
        if event.type == "message_delta" and event.delta is not None:
            self._reason = _REASONS.get(event.delta.stop_reason or "", "stop")
        if event.type == "message_stop":
            self.done = True
            return self._writer.end(self._reason, self._usage.told())
        return b""

    def end(self) -> bytes:
        """It must have said that it ends."""
        return b""

    def _start(self, block: _Block) -> bytes:
        self._block = "tool" if block.type == "tool_use" else ""
        self._silent = True
        if block.type == "tool_use":
            return self._writer.call(block.id, block.name)
        return self._writer.text(block.text) if block.type == "text" else b""

    def _more(self, delta: _Delta) -> bytes:
        if delta.type == "text_delta":
            return self._writer.text(delta.text)
        if delta.type == "thinking_delta":
            return self._writer.thought(delta.thinking)
        if delta.type == "signature_delta":
            return self._writer.thought("", delta.signature)
        if delta.type == "input_json_delta" and self._block == "tool" and delta.partial_json:
            self._silent = False
            return self._writer.arguments(delta.partial_json)
        return b""

    def _stop(self) -> bytes:
        """A call without arguments has an empty object of them, which clients read as JSON."""
        empty = self._block == "tool" and self._silent
        self._block = ""
        return self._writer.arguments("{}") if empty else b""
