"""Chat in the words of AI21's Jamba API: near to OpenAI's, but texts only, and no streams with tools. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import Struct

from penstock.adapters.providers.chat_answer import ChatWriter, Heading, Spoken, tool_call, usage_of, whole_chat
from penstock.adapters.providers.chat_request import Chat, Message, Tool, text_of
from penstock.domain.errors import InvalidRequest

_TAKES = frozenset({"n"})
_CALLED = "tool_calls"
_Shape = dict[str, Any]
_Told = tuple[Heading, Sequence[tuple[Spoken, str]], _Shape | None]


def request_of(chat: Chat, model: str, who: str, *, streaming: bool) -> _Shape:
    """The body to send, which asks for a stream only where there can be one; see `streams`.

    Raises InvalidRequest for what cannot be said there.
    """
    chat.refuse_foreign(who, _TAKES)
    _refuse(chat)
    if streaming and chat.extra.get("n", 1) != 1:
        raise InvalidRequest("n must be 1 in a stream for this model.")
    told = {
        "max_tokens": chat.limit,
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        "stop": chat.stops or None,
        "response_format": chat.response_format,
    }
    body: _Shape = {"model": model, "messages": _messages(chat)}
    body |= {name: value for name, value in told.items() if value is not None}
    tools = _offered(chat)
    if tools:
        body["tools"] = [_tool(one) for one in tools]
    if streaming and streams(chat):
        body["stream"] = True
    return {**chat.extra, **body}


def streams(chat: Chat) -> bool:
    """Whether the API can stream the answer: not where tools are offered."""
    return not _offered(chat)


def _refuse(chat: Chat) -> None:
    nothing_like = {
        "top_k": chat.top_k,
        "reasoning_effort": chat.reasoning_effort,
        "user": chat.user,
        "parallel_tool_calls": (chat.parallel_tool_calls is False and bool(chat.tools)) or None,
        "strict": any(one.function.strict for one in chat.tools or ()) or None,
    }
    for name, wish in nothing_like.items():
        if wish is not None:
            raise InvalidRequest(f"{name} cannot be set: AI21 has nothing like it.")
    form = chat.response_format
    if form is not None and form.get("type") not in {"text", "json_object"}:
        raise InvalidRequest(f"response_format.type must be text or json_object for AI21, but is {form.get('type')!r}.")
    if chat.chosen_tool()[0] in {"required", "function"}:
        raise InvalidRequest("tool_choice must be auto or none: AI21 has nothing like it.")


def _offered(chat: Chat) -> list[Tool]:
    """Whoever wants none of the tools gets them not offered."""
    return [] if chat.tool_choice == "none" else chat.tools or []


def _messages(chat: Chat) -> list[_Shape]:
    """Instructions stand first, and roles alternate: what one says in several messages becomes one."""
    system = [text for message in chat.system if (text := text_of(message))]
    found: list[_Shape] = [{"role": "system", "content": "\n\n".join(system)}] if system else []
    for _, message in chat.talk:
        said = _message(message)
        last = found[-1] if found else {}
        if last.get("role") == said["role"] and set(said) == set(last) == {"role", "content"}:
            last["content"] += "\n\n" + said["content"]
        else:
            found.append(said)
    return found


def _message(message: Message) -> _Shape:
    said: _Shape = {"role": message.role, "content": text_of(message)}
    if message.role == "tool":
        said["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        said["tool_calls"] = [
            tool_call(one.id, one.function.name, one.function.arguments.strip() or "{}") for one in message.tool_calls
        ]
    return said


def _tool(tool: Tool) -> _Shape:
    function = tool.function
    found: _Shape = {"name": function.name}
    if function.description is not None:
        found["description"] = function.description
    found["parameters"] = function.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": found}


class _Usage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Function(Struct):
    name: str
    arguments: str | dict[str, Any] = ""

    def text(self) -> str:
        """The arguments as OpenAI has them; the API's page calls them an object, its client a text."""
        if isinstance(self.arguments, str):
            return self.arguments or "{}"
        return msgspec.json.encode(self.arguments).decode()


class _Call(Struct):
    id: str
    function: _Function


class _Message(Struct):
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None


class _Answer(Struct):
    id: str
    choices: list[_Choice]
    usage: _Usage | None = None


def answer_of(body: bytes, heading: Heading) -> bytes:
    """A whole answer, translated. Raises msgspec.DecodeError if it has another shape."""
    return whole_chat(*_read(body, heading))


def replay_of(body: bytes, heading: Heading) -> bytes:
    """A whole answer, told as a stream. Raises msgspec.DecodeError if it has another shape."""
    told, spoken, usage = _read(body, heading)
    writer, (one, reason) = ChatWriter(told), spoken[0]
    said = [writer.begin(), *map(writer.text, one.texts), *map(writer.whole_call, one.calls)]
    return b"".join(said) + writer.end(reason, usage)


def _read(body: bytes, heading: Heading) -> _Told:
    answer = msgspec.json.decode(body, type=_Answer)
    if not answer.choices:
        raise msgspec.ValidationError("There is no choice.")
    spoken = [(_spoken(one.message), _reason(one)) for one in answer.choices]
    return replace(heading, id=answer.id), spoken, _usage(answer.usage)


def _spoken(message: _Message) -> Spoken:
    calls = [tool_call(one.id, one.function.name, one.function.text()) for one in message.tool_calls or ()]
    return Spoken([message.content or ""], [], calls)


def _reason(choice: _Choice) -> str:
    """There is no reason for calls in the API's page."""
    return _CALLED if choice.message.tool_calls else choice.finish_reason or "stop"


def _usage(usage: _Usage | None) -> _Shape | None:
    return usage_of(usage.prompt_tokens, usage.completion_tokens) if usage is not None else None


class _Delta(Struct):
    content: str | None = None


class _Piece(Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Event(Struct):
    choices: list[_Piece]
    id: str = ""
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_Event)


class ChatEvents:
    """See `penstock.adapters.providers.translated.EventTranslator`. The last event has the reason and the usage."""

    __slots__ = ("_reason", "_usage", "_writer", "done")

    def __init__(self, heading: Heading) -> None:
        self._writer = ChatWriter(heading)
        self._reason = ""
        self._usage: _Usage | None = None
        self.done = False

    def event(self, data: bytes) -> bytes:
        """One event."""
        event = _decoder.decode(data)
        if event.id:
            self._writer.heading = replace(self._writer.heading, id=event.id)
        self._usage = event.usage or self._usage
        said = self._writer.begin()
        for piece in event.choices:
            said += self._writer.text(piece.delta.content or "")
            self._reason = piece.finish_reason or self._reason
        return said + self.end() if self._usage is not None else said

    def end(self) -> bytes:
        """Usage may be missing; why it ended must have been said."""
        if not self._reason:
            return b""
        self.done = True
        return self._writer.end(self._reason, _usage(self._usage))
