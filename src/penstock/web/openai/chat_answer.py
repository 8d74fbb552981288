"""What a chat model has answered, whole or as an event of a stream: what other wire formats need of it."""

from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from penstock.domain.errors import EngineFailed

STOP = "stop"
LENGTH = "length"
FILTERED = "content_filter"


class Called(Struct):
    """A function and its arguments, as far as an event has them."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct):
    """A call of a tool. `index` tells calls of a stream apart."""

    index: int | None = None
    id: str | None = None
    function: Called | None = None
    extra_content: Any = None

    @property
    def signature(self) -> str:
        """What one of Google's models wants back with this call, empty if nothing."""
        google = self.extra_content.get("google") if isinstance(self.extra_content, dict) else None
        signature = google.get("thought_signature") if isinstance(google, dict) else None
        return signature if isinstance(signature, str) else ""


class Piece(Struct):
    """One part of content that comes as a list. Thoughts have a summary."""

    type: str = ""
    text: str | None = None
    summary: "list[Piece] | None" = None


class Said(Struct):
    """A message, or what an event adds to it."""

    content: str | list[Piece] | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None

    @property
    def text(self) -> str:
        """What is to be read; a model that refuses says so here too."""
        if isinstance(self.content, list):
            return "".join(piece.text or "" for piece in self.content if piece.type == "text")
        return self.content or self.refusal or ""

    @property
    def thoughts(self) -> str:
        """What the model thinks before it answers, where that is told."""
        pieces = self.content if isinstance(self.content, list) else ()
        told = "".join(one.text or "" for piece in pieces for one in piece.summary or ())
        return told or self.reasoning_content or ""


class Logprobs(Struct):
    """Log probabilities, a row for each token."""

    content: list[Raw] | None = None


class Choice(Struct):
    """The answer. `stop_reason` is the stop string that ended it, from servers that tell."""

    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    stop_reason: Any = None

    @property
    def stop(self) -> str | None:
        """The stop string that ended the answer, if one did and it is told."""
        return self.stop_reason if isinstance(self.stop_reason, str) else None


class Cached(Struct):
    """Of the prompt's tokens, those that a cache had."""

    cached_tokens: int | None = None


class Reasoned(Struct):
    """Of the answer's tokens, those that nobody reads."""

    reasoning_tokens: int | None = None


class Used(Struct):
    """Tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: Cached | None = None
    completion_tokens_details: Reasoned | None = None

    @property
    def cached(self) -> int:
        """Tokens of the prompt that a cache had."""
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0

    @property
    def reasoning(self) -> int:
        """Tokens of the answer that nobody reads."""
        return (self.completion_tokens_details and self.completion_tokens_details.reasoning_tokens) or 0


class ChatAnswer(Struct):
    """A complete answer, or an event of a stream; one with an `error` is the last."""

    created: int | float = 0
    model: str = ""
    choices: list[Choice] = field(default_factory=list)
    usage: Used | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(ChatAnswer)


def read_answer(text: bytes) -> ChatAnswer:
    """A complete answer or an event's data; raises EngineFailed if it is neither."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EngineFailed(f"The model's answer is not one of a chat model: {error}") from None


class Part:
    """A part of an answer: a text, or a call of a function, whose text are its arguments. It may still grow."""

    __slots__ = ("call_id", "index", "logprobs", "name", "pieces", "signature")

    def __init__(self, index: int, name: str = "", call_id: str = "", signature: str = "") -> None:
        self.index = index
        self.name = name
        self.call_id = call_id
        self.signature = signature
        self.pieces: list[str] = []
        self.logprobs: list[Raw] = []

    @property
    def calls(self) -> bool:
        """Whether it is a call."""
        return bool(self.call_id)

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self.pieces)

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of a call that is complete; raises EngineFailed if they are no JSON object."""
        try:
            return msgspec.json.decode(self.text or "{}", type=dict[str, Any])
        except msgspec.DecodeError as error:
            message = f"The model called '{self.name[:80]}' with arguments that are no JSON object."
            raise EngineFailed(message) from error


def parts_of(choice: Choice) -> list[Part]:
    """The parts of a complete answer, at least one."""
    said = choice.message or Said()
    calls = said.tool_calls or []
    parts: list[Part] = []
    if said.text or not calls:
        part = Part(0)
        part.pieces.append(said.text)
        part.logprobs += (choice.logprobs and choice.logprobs.content) or []
        parts.append(part)
    for place, call in enumerate(calls):
        function = call.function or Called()
        part = Part(len(parts), function.name or "", call.id or f"call_{place}", call.signature)
        part.pieces.append(function.arguments or "")
        parts.append(part)
    return parts
