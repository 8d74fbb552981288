"""What was asked and answered, in the shape that OpenTelemetry's conventions give messages: only where settings ask."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

_DATA = b"data: "
_EVENT = b"\n\n"
_DONE = b"[DONE]"


def asked_messages(body: bytes) -> str:
    """The messages, the prompt or the input of a request, as JSON; empty if there are none."""
    read = _object(body)
    messages = read.get("messages")
    if isinstance(messages, list):
        return _written([_message(one) for one in messages if isinstance(one, dict)])
    text = read.get("prompt", read.get("input"))
    texts = [text] if isinstance(text, str) else [one for one in text or () if isinstance(one, str)]
    return _written([{"role": "user", "parts": _text(one)} for one in texts])


def told_messages(body: bytes) -> str:
    """The choices of an answer or of a stream, as JSON; empty if there are none."""
    events = [_object(data) for data in _events(body)] if body.startswith(_DATA) else [_object(body)]
    texts: dict[int, list[str]] = {}
    ends: dict[int, str] = {}
    for event in events:
        for place, choice in enumerate(_objects(event.get("choices"))):
            index = choice.get("index", place)
            said = choice.get("delta") or choice.get("message") or choice
            text = (said.get("content") or said.get("text")) if isinstance(said, dict) else None
            texts.setdefault(index, []).append(text if isinstance(text, str) else "")
            ends[index] = choice.get("finish_reason") or ends.get(index, "")
    return _written(
        [
            {"role": "assistant", "parts": _text("".join(parts)), "finish_reason": ends[index]}
            for index, parts in sorted(texts.items())
        ]
    )


def _events(body: bytes) -> Iterator[bytes]:
    for event in body.split(_EVENT):
        if event.startswith(_DATA) and not event.endswith(_DONE):
            yield event[len(_DATA) :]


def _message(message: dict[str, Any]) -> dict[str, object]:
    content = message.get("content")
    texts = [content] if isinstance(content, str) else [one.get("text") for one in _objects(content)]
    parts = [part for text in texts if isinstance(text, str) for part in _text(text)]
    for call in _objects(message.get("tool_calls")):
        asked = call.get("function") or {}
        parts.append({"type": "tool_call", "name": asked.get("name", ""), "arguments": asked.get("arguments", "")})
    return {"role": str(message.get("role", "")), "parts": parts}


def _text(text: str) -> list[dict[str, object]]:
    return [{"type": "text", "content": text}]


def _object(body: bytes) -> dict[str, Any]:
    try:
        read = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return read if isinstance(read, dict) else {}


def _objects(found: object) -> Sequence[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _written(messages: list[dict[str, object]]) -> str:
    return msgspec.json.encode(messages).decode() if messages else ""
