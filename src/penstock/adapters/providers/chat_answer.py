"""Answers in OpenAI's shapes: whole ones, and the events of streams."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from penstock.adapters.providers.event_reader import DONE


@dataclass(frozen=True, slots=True)
class Heading:
    """What every piece of an answer begins with. `created` is in epoch seconds."""

    id: str
    created: int
    model: str


def usage_of(prompt: int, completion: int, cached: int | None = None, **more: int | None) -> dict[str, Any]:
    """OpenAI's usage; `prompt` has the cached tokens in it. Further counts are told where they are known."""
    found: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if cached is not None:
        found["prompt_tokens_details"] = {"cached_tokens": cached}
    return found | {name: count for name, count in more.items() if count is not None}


def reasoning(text: str, signature: str = "") -> dict[str, Any]:
    """A part of a message's content that says what the model thought."""
    summary = {"type": "summary_text", "text": text}
    return {"type": "reasoning", "summary": [summary | ({"signature": signature} if signature else {})]}


def tool_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A call of a function."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@dataclass(slots=True)
class Spoken:
    """A message as it is put together."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    def message(self) -> dict[str, Any]:
        """Its content is a text, or with thoughts parts, or null with calls only. `more` is what OpenAI lacks."""
        text = "".join(self.texts)
        content: object = text if text or not self.calls else None
        if self.thoughts:
            content = [*self.thoughts, *([{"type": "text", "text": text}] if text else [])]
        found: dict[str, Any] = {"role": "assistant", "content": content}
        return found | ({"tool_calls": self.calls} if self.calls else {}) | self.more


def whole_chat(heading: Heading, spoken: Sequence[tuple[Spoken, str]], usage: dict[str, Any] | None) -> bytes:
    """A whole answer; each choice is a message and why it ended."""
    choices = [
        {"index": index, "message": one.message(), "finish_reason": reason, "logprobs": None}
        for index, (one, reason) in enumerate(spoken)
    ]
    return _encode(heading, "chat.completion", choices, usage)


class ChatWriter:
    """Writes the events of one stream. The first that says something is preceded by the role."""

    __slots__ = ("_begun", "calls", "heading")

    def __init__(self, heading: Heading) -> None:
        self.heading = heading
        self._begun = False
        self.calls = 0

    def text(self, text: str) -> bytes:
        """Text."""
        return self.delta({"content": text}) if text else b""

    def thought(self, text: str, signature: str = "") -> bytes:
        """A piece of reasoning."""
        return self.delta({"content": [reasoning(text, signature)]})

    def call(self, call_id: str, name: str, arguments: str = "") -> bytes:
        """Begins a call of a function."""
        return self.whole_call(tool_call(call_id, name, arguments))

    def whole_call(self, call: dict[str, Any]) -> bytes:
        """A call, with all of its fields."""
        place, self.calls = self.calls, self.calls + 1
        return self.delta({"tool_calls": [{"index": place, **call}]})

    def arguments(self, text: str) -> bytes:
        """More of the last call's arguments."""
        return self.delta({"tool_calls": [{"index": self.calls - 1, "function": {"arguments": text}}]})

    def begin(self) -> bytes:
        """The role, unless it was told."""
        if self._begun:
            return b""
        self._begun = True
        return self.delta({"role": "assistant", "content": ""})

    def delta(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        """One event."""
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return self.begin() + _event(_encode(self.heading, "chat.completion.chunk", [choice], None))

    def end(self, reason: str, usage: dict[str, Any] | None) -> bytes:
        """The reason, the usage, and the end."""
        last = self.delta({}, reason)
        told = _event(_encode(self.heading, "chat.completion.chunk", [], usage)) if usage is not None else b""
        return last + told + DONE


def _encode(heading: Heading, kind: str, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
    found: dict[str, Any] = {
        "id": heading.id,
        "object": kind,
        "created": heading.created,
        "model": heading.model,
        "choices": choices,
    }
    return msgspec.json.encode(found | ({"usage": usage} if usage is not None else {}))


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
