"""Chat in the words of Amazon Bedrock's Converse API. Pure."""

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
from penstock.domain.errors import InvalidRequest

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_OWN = ("guardrailConfig", "performanceConfig", "serviceTier", "requestMetadata", "additionalModelResponseFieldPaths")
"""Fields of Converse itself; what else is not known is for the model."""
_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_Shape = dict[str, Any]


def request_of(chat: Chat, vendor: str, who: str) -> _Shape:
    """The body to send; `vendor` is whose model it is. Raises InvalidRequest for what cannot be said there."""
    chat.refuse_foreign(who)
    body: _Shape = {name: chat.extra.pop(name) for name in _OWN if name in chat.extra}
    body["messages"] = _messages(chat)
    system = [{"text": text} for message in chat.system if (text := text_of(message))]
    if system:
        body["system"] = system
    limits = {
        "maxTokens": chat.limit,
        "temperature": chat.temperature,
        "topP": chat.top_p,
        "stopSequences": chat.stops or None,
    }
    told = {name: value for name, value in limits.items() if value is not None}
    if told:
        body["inferenceConfig"] = told
    body |= _tools(chat, body["messages"])
    body |= _output(chat, who)
    if chat.user is not None:
        body["requestMetadata"] = {**body.get("requestMetadata", {}), "user": chat.user}
    more = {**chat.extra, **_top_k(chat, vendor)}
    if more:
        body["additionalModelRequestFields"] = more
    return body


def _top_k(chat: Chat, vendor: str) -> _Shape:
    """Each family of models has a field of its own for it."""
    if chat.top_k is None:
        return {}
    if vendor == "anthropic":
        return {"top_k": chat.top_k}
    if vendor == "cohere":
        return {"k": chat.top_k}
    if vendor == "amazon":
        return {"inferenceConfig": {"topK": chat.top_k}}
    raise InvalidRequest(f"top_k cannot be set for models of {vendor}.")


def _messages(chat: Chat) -> list[_Shape]:
    """Roles must alternate, so messages of one role after another become one."""
    found: list[_Shape] = []
    for place, message in chat.talk:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [_result(message, place)] if message.role == "tool" else parts_of(message, place, _part)
        blocks += [
            {"toolUse": {"toolUseId": one.id, "name": one.function.name, "input": arguments_of(one)}}
            for one in message.tool_calls or ()
        ]
        add_turn(found, role, "content", blocks)
    return found


def _part(part: _Shape, place: int) -> list[_Shape]:
    """Texts that are empty are left out: they are refused there."""
    kind = part.get("type")
    if kind == "text":
        text = part.get("text")
        return [{"text": text}] if text else []
    if kind == "image_url":
        return [_image(image_url(part, place), place)]
    if kind == "reasoning":
        return [
            {"reasoningContent": {"reasoningText": {"text": one.get("text", ""), "signature": one["signature"]}}}
            for one in part.get("summary") or ()
            if isinstance(one, dict) and one.get("signature")
        ]
    raise InvalidRequest(f"messages[{place}] has a part of type {str(kind)[:80]!r}: text and image_url are translated.")


def _image(url: str, place: int) -> _Shape:
    inline = inline_image(url)
    kind = _FORMATS.get(inline[0]) if inline is not None else None
    if inline is None or kind is None:
        raise InvalidRequest(
            f"messages[{place}] has an image that cannot be sent: it must be a base64 data URL of "
            f"{', '.join(_FORMATS)}."
        )
    return {"image": {"format": kind, "source": {"bytes": inline[1]}}}


def _result(message: Message, place: int) -> _Shape:
    content = parts_of(message, place, _part) or [{"text": ""}]
    return {"toolResult": {"toolUseId": message.tool_call_id, "content": content}}


def _tools(chat: Chat, messages: list[_Shape]) -> _Shape:
    kind, name = chat.chosen_tool()
    if chat.parallel_tool_calls is False and chat.tools:
        raise InvalidRequest("parallel_tool_calls cannot be false: Converse has nothing like it.")
    if not chat.tools:
        return {}
    if kind == "none":
        # Converse cannot say it, and wants the tools where messages speak of calls.
        if any("toolUse" in block for message in messages for block in message["content"]):
            raise InvalidRequest("tool_choice cannot be none after calls of tools: Converse has nothing like it.")
        return {}
    config: _Shape = {"tools": [_tool(tool) for tool in chat.tools]}
    if kind == "function":
        config["toolChoice"] = {"tool": {"name": name}}
    elif kind:
        config["toolChoice"] = {"any": {}} if kind == "required" else {"auto": {}}
    return {"toolConfig": config}


def _tool(tool: Tool) -> _Shape:
    function = tool.function
    spec: _Shape = {
        "name": function.name,
        "inputSchema": {"json": function.parameters or {"type": "object", "properties": {}}},
    }
    if function.description:
        spec["description"] = function.description
    if function.strict is not None:
        spec["strict"] = function.strict
    return {"toolSpec": spec}


def _output(chat: Chat, who: str) -> _Shape:
    found: _Shape = {}
    schema = chat.schema(who)
    if schema is not None:
        told = {name: schema[name] for name in ("name", "description") if schema.get(name)}
        told["schema"] = msgspec.json.encode(schema["schema"]).decode()
        found["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": told}}
    if chat.reasoning_effort is not None:
        found["effort"] = chat.reasoning_effort
    return {"outputConfig": found} if found else {}


class _Usage(Struct, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None

    def told(self) -> _Shape:
        """OpenAI's: what came from the cache, and what was put there, counts as prompt."""
        read, made = self.cache_read_input_tokens, self.cache_write_input_tokens
        prompt = self.input_tokens + (read or 0) + (made or 0)
        return usage_of(
            prompt, self.output_tokens, read, cache_read_input_tokens=read, cache_creation_input_tokens=made
        )


class _Thought(Struct):
    text: str = ""
    signature: str = ""


class _Thoughts(Struct, rename="camel"):
    reasoning_text: _Thought | None = None


class _Use(Struct, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    input: Any = None


class _Block(Struct, rename="camel"):
    text: str = ""
    tool_use: _Use | None = None
    reasoning_content: _Thoughts | None = None


class _Content(Struct):
    content: list[_Block]


class _Output(Struct):
    message: _Content


class _Whole(Struct, rename="camel"):
    output: _Output
    stop_reason: str
    usage: _Usage


def answer_of(body: bytes, heading: Heading) -> bytes:
    """A whole answer, translated. Raises msgspec.DecodeError if it has another shape."""
    whole = msgspec.json.decode(body, type=_Whole)
    spoken = Spoken()
    for block in whole.output.message.content:
        use, thoughts = block.tool_use, block.reasoning_content
        if use is not None:
            spoken.calls.append(tool_call(use.tool_use_id, use.name, msgspec.json.encode(use.input or {}).decode()))
        elif thoughts is not None and thoughts.reasoning_text is not None:
            spoken.thoughts.append(reasoning(thoughts.reasoning_text.text, thoughts.reasoning_text.signature))
        else:
            spoken.texts.append(block.text)
    return whole_chat(heading, [(spoken, _REASONS.get(whole.stop_reason, "stop"))], whole.usage.told())


class _Begun(Struct, rename="camel"):
    tool_use: _Use | None = None


class _Delta(Struct, rename="camel"):
    text: str = ""
    tool_use: _Use | None = None
    reasoning_content: _Thought | None = None


class _Event(Struct, rename="camel"):
    start: _Begun | None = None
    delta: _Delta | None = None
    stop_reason: str = ""
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_Event)


class ConverseEvents:
    """Turns the events of ConverseStream, by their types, into events of OpenAI's. `done` once the last was told."""

    __slots__ = ("_open_call", "_reason", "_writer", "done")

    def __init__(self, heading: Heading) -> None:
        self._writer = ChatWriter(heading)
        self._reason = ""
        self._open_call = False
        self.done = False

    def event(self, kind: str, data: bytes) -> bytes:
        """One event; what is not known is left out. Raises msgspec.DecodeError for another shape."""
        event = _decoder.decode(data)
        if kind == "messageStart":
            return self._writer.begin()
        if kind == "contentBlockStart" and event.start is not None and event.start.tool_use is not None:
            self._open_call = True
            return self._writer.call(event.start.tool_use.tool_use_id, event.start.tool_use.name)
        if kind == "contentBlockDelta" and event.delta is not None:
            return self._more(event.delta)
        if kind == "contentBlockStop":
            empty, self._open_call = self._open_call, False
            return self._writer.arguments("{}") if empty else b""
        if kind == "messageStop":
            self._reason = _REASONS.get(event.stop_reason, "stop")
        if kind == "metadata" and self._reason:
            return self._end(event.usage)
        return b""

    def end(self) -> bytes:
        """Usage may be missing; why it ended must have been said."""
        return self._end(None) if self._reason else b""

    def _end(self, usage: _Usage | None) -> bytes:
        self.done = True
        return self._writer.end(self._reason, usage.told() if usage is not None else None)

    def _more(self, delta: _Delta) -> bytes:
        """A call that got no arguments is given an empty object of them when it ends, which clients read as JSON."""
        if delta.tool_use is not None:
            text = delta.tool_use.input
            if not isinstance(text, str) or not text:
                return b""
            self._open_call = False
            return self._writer.arguments(text)
        if delta.reasoning_content is not None:
            return self._writer.thought(delta.reasoning_content.text, delta.reasoning_content.signature)
        return self._writer.text(delta.text)
