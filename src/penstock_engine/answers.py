"""Answers as clients read them: whole, and in chunks."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from penstock_engine.parts import Arguments, Call, Part, Text, Thought

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock_engine.logprobs import Scores

CHAT_CHUNK = "chat.completion.chunk"
TEXT_OBJECT = "text_completion"
DEVICE_SECONDS = "x-device-seconds"
"""The header of a whole answer that says what the engine spent on it; streams say it in a comment."""
_LOWEST = -9999.0
"""Stands for a log probability of minus infinity, which JSON cannot say."""
encode = msgspec.json.Encoder().encode


class CachedTokens(Struct):
    """Of the prompt's tokens, those that the prefix cache had."""

    cached_tokens: int


class ThoughtTokens(Struct):
    """Of the answer's tokens, those that the model thought before it answered."""

    reasoning_tokens: int


class Usage(Struct):
    """Tokens as the engine counted them; those of thoughts only for models that think."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: ThoughtTokens | UnsetType = UNSET


class EmbeddingUsage(Struct):
    """Tokens of inputs; nothing is completed."""

    prompt_tokens: int
    total_tokens: int


class Head(NamedTuple):
    """What all parts of one answer have in common."""

    id: str
    created: int
    model: str


def usage(prompt: int, completion: int, cached: int, thoughts: int | None = None) -> Usage:
    """Usage from its numbers; `thoughts` is None for models that do not think."""
    details = UNSET if thoughts is None else ThoughtTokens(thoughts)
    return Usage(prompt, completion, prompt + completion, CachedTokens(cached), details)


def whole(head: Head, kind: str, choices: list[dict[str, Any]], used: Usage) -> bytes:
    """A complete answer."""
    return encode(
        {"id": head.id, "object": kind, "created": head.created, "model": head.model, "choices": choices, "usage": used}
    )


def chat_choice(
    index: int, message: dict[str, object], finish: str, logprobs: object, stop: str | None = None
) -> dict[str, Any]:
    """One choice of a complete chat answer. `stop` is the stop string that ended it."""
    return {"index": index, "message": message, "finish_reason": finish, "logprobs": logprobs} | _stop_reason(stop)


def text_choice(index: int, text: str, finish: str, logprobs: object, stop: str | None = None) -> dict[str, Any]:
    """One choice of a complete completions answer. `stop` is the stop string that ended it."""
    return {"index": index, "text": text, "finish_reason": finish, "logprobs": logprobs} | _stop_reason(stop)


def _stop_reason(stop: str | None) -> dict[str, str]:
    """No field of OpenAI's, but one that other engines have too."""
    return {} if stop is None else {"stop_reason": stop}


def embeddings(model: str, rows: list[list[float]], used: EmbeddingUsage) -> bytes:
    """A complete answer with embeddings, always as lists of numbers: clients that ask for base64 take these too."""
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    return encode({"id": str(uuid.uuid4()), "object": "list", "model": model, "data": data, "usage": used})


def error(code: str, message: str) -> bytes:
    """The body of a refusal."""
    return encode({"error_code": code, "message": message})


def error_event(code: str, message: str, used: Usage) -> bytes:
    """The last event of a stream that fails in its middle."""
    about = {"message": message, "type": code, "code": code}
    return b"data: " + encode({"error": about, "error_code": code, "message": message, "usage": used}) + b"\n\n"


def done(seconds: float) -> bytes:
    """The end of a stream, with what the engine spent on it in a comment, which clients pass over."""
    return b": device-seconds %.6f\ndata: [DONE]\n\n" % seconds


class ChunkWriter:
    """Writes the events of one stream. What does not change between chunks is encoded once."""

    __slots__ = ("_after_finish", "_after_text", "_before", "_cached", "_chat", "_prompt", "_thinks", "thoughts")

    def __init__(self, head: Head, kind: str, prompt: int, cached: int, *, thinks: bool = False) -> None:
        self._chat = kind == CHAT_CHUNK
        start = encode({"id": head.id, "object": kind, "created": head.created, "model": head.model})
        opening = b'{"index":0,"delta":' if self._chat else b'{"index":0,"text":'
        self._before = b"data: " + start[:-1] + b',"choices":[' + opening
        self._after_text = b',"finish_reason":null,"logprobs":null}],"usage":{"prompt_tokens":%d,' % prompt
        self._after_finish = b'}],"usage":{"prompt_tokens":%d,' % prompt
        self._prompt = prompt
        self._cached = b',"prompt_tokens_details":{"cached_tokens":%d}' % cached
        self._thinks = thinks
        self.thoughts = 0
        """Of the answer's tokens so far, those of thoughts; told for models that think."""

    def role(self) -> bytes:
        """The first event of a chat stream."""
        return self._before + b'{"role":"assistant","content":""}' + self._after_text + self._used(0)

    def text(self, text: str, tokens: int, logprobs: object = None) -> bytes:
        """An event with more text; `tokens` is the length of the answer so far."""
        said = b'{"content":' + encode(text) + b"}" if self._chat else encode(text)
        return self._event(said, tokens, logprobs)

    def part(self, part: Part, tokens: int, logprobs: object = None) -> bytes:
        """An event with a part of the answer. In chats, content is there in every event: clients read it unasked."""
        match part:
            case Text(text):
                return self.text(text, tokens, logprobs)
            case Thought(text):
                said: dict[str, object] = {"content": "", "reasoning_content": text}
            case Call(number, id_, name):
                call = {"index": number, "id": id_, "type": "function", "function": {"name": name, "arguments": ""}}
                said = {"content": "", "tool_calls": [call]}
            case Arguments(number, text):
                said = {"content": "", "tool_calls": [{"index": number, "function": {"arguments": text}}]}
        return self._event(encode(said), tokens, logprobs)

    def _event(self, said: bytes, tokens: int, logprobs: object) -> bytes:
        if logprobs is None:
            return self._before + said + self._after_text + self._used(tokens)
        scores = b',"finish_reason":null,"logprobs":' + encode(logprobs)
        return self._before + said + scores + self._after_finish + self._used(tokens)

    def finish(self, reason: str, tokens: int, stop: str | None = None) -> bytes:
        """The last event before `[DONE]`. `stop` is the stop string that ended the text."""
        said = b'{"content":""}' if self._chat else b'""'
        ending = b',"finish_reason":' + encode(reason) + b',"logprobs":null'
        if stop is not None:
            ending += b',"stop_reason":' + encode(stop)
        return self._before + said + ending + self._after_finish + self._used(tokens)

    def _used(self, tokens: int) -> bytes:
        used = b'"completion_tokens":%d,"total_tokens":%d' % (tokens, self._prompt + tokens) + self._cached
        if self._thinks:
            used += b',"completion_tokens_details":{"reasoning_tokens":%d}' % self.thoughts
        return used + b"}}\n\n"


def chat_logprobs(scores: Sequence[Scores], piece: Callable[[int], bytes]) -> dict[str, Any]:
    """Scores in the shape of chat answers."""
    return {
        "content": [
            _entry(piece(one.token), one.logprob)
            | {
                "top_logprobs": [
                    _entry(piece(id_), value) for id_, value in zip(one.top_ids, one.top_logprobs, strict=True)
                ]
            }
            for one in scores
        ]
    }


def text_logprobs(
    scores: Sequence[Scores | None], tokens: Sequence[int], offset: int, piece: Callable[[int], bytes]
) -> dict[str, Any]:
    """Scores in the shape of completions; a text's very first token has none. `offset`: characters before these."""
    texts = [_text(piece(token)) for token in tokens]
    offsets = []
    for text in texts:
        offsets.append(offset)
        offset += len(text)
    return {
        "tokens": texts,
        "token_logprobs": [None if one is None else _finite(one.logprob) for one in scores],
        "top_logprobs": [None if one is None else _alternatives(one, piece) for one in scores],
        "text_offset": offsets,
    }


def _alternatives(one: Scores, piece: Callable[[int], bytes]) -> dict[str, float]:
    """The likeliest tokens and the chosen one, by their text; of two with the same text the likelier counts."""
    found: dict[str, float] = {}
    for id_, value in [*zip(one.top_ids, one.top_logprobs, strict=True), (one.token, one.logprob)]:
        found.setdefault(_text(piece(id_)), _finite(value))
    return found


def _entry(piece: bytes, logprob: float) -> dict[str, Any]:
    return {"token": _text(piece), "logprob": _finite(logprob), "bytes": list(piece)}


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")


def _finite(value: float) -> float:
    return max(value, _LOWEST)
