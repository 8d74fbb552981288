"""A response's stream: named events with a number each, written from a chat stream."""

from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.web.openai.chat_answer import LENGTH, STOP, ChatAnswer, Part, Used
from penstock.web.openai.chat_stream import Begun, Broken, ChatStream, Closed, Ended, Grew, Opened, Step
from penstock.web.responses.request import ResponsesRequest
from penstock.web.responses.response import (
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    Naming,
    content,
    ended,
    failed,
    item,
    response,
    status_of,
)

Event = tuple[str, dict[str, Any]]


class ResponseEvents:
    """Writes one stream."""

    def __init__(self, request: ResponsesRequest, naming: Naming) -> None:
        self._request = request
        self._naming = naming
        self._stream = ChatStream()
        self._head = ChatAnswer()
        self._number = 0

    def feed(self, chunk: bytes) -> bytes:
        """The events that follow from the next bytes of the chat stream."""
        return b"".join(self._write(*event) for step in self._stream.feed(chunk) for event in self._events(step))

    def _write(self, kind: str, fields: dict[str, Any]) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"

    def _events(self, step: Step) -> Iterator[Event]:
        match step:
            case Begun(answer):
                self._head = answer
                begun = self._response(IN_PROGRESS, [])
                yield "response.created", {"response": begun}
                yield "response.in_progress", {"response": begun}
            case Opened(part):
                yield from self._opened(part)
            case Grew(part, text, logprobs):
                if part.calls:
                    yield "response.function_call_arguments.delta", self._at(part) | {"delta": text}
                else:
                    yield "response.output_text.delta", self._in(part) | {"delta": text, "logprobs": logprobs}
            case Closed(part):
                yield from self._closed(part)
            case Ended(finish, used):
                status = status_of(finish)
                kind = "response.completed" if status == COMPLETED else "response.incomplete"
                yield kind, {"response": ended(self._response(status, self._items(finish)), finish, used)}
            case Broken(code, message, used):
                yield from self._broken(code, message, used)

    def _opened(self, part: Part) -> Iterator[Event]:
        begun = item(self._naming, Part(part.index, part.name, part.call_id), IN_PROGRESS)
        yield "response.output_item.added", {"output_index": part.index, "item": begun}
        if not part.calls:
            yield "response.content_part.added", self._in(part) | {"part": content(None)}

    def _closed(self, part: Part) -> Iterator[Event]:
        if part.calls:
            yield "response.function_call_arguments.done", self._at(part) | {"name": part.name, "arguments": part.text}
        else:
            yield "response.output_text.done", self._in(part) | {"text": part.text, "logprobs": part.logprobs}
            yield "response.content_part.done", self._in(part) | {"part": content(part)}
        finish = self._stream.finish if part is self._stream.parts[-1] else STOP
        done = item(self._naming, part, status_of(finish))
        yield "response.output_item.done", {"output_index": part.index, "item": done}

    def _broken(self, code: str, message: str, used: Used) -> Iterator[Event]:
        body = self._response(FAILED, self._items(LENGTH))
        yield "response.failed", {"response": failed(body, code, message, used)}

    def _items(self, finish: str) -> list[dict[str, Any]]:
        """What was said. Only the last item can have been cut short."""
        last = len(self._stream.parts) - 1
        return [
            item(self._naming, part, status_of(finish) if part.index == last else COMPLETED)
            for part in self._stream.parts
        ]

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        return response(self._request, self._naming, self._head, output, status)

    def _at(self, part: Part) -> dict[str, Any]:
        return {"item_id": self._naming.item(part), "output_index": part.index}

    def _in(self, part: Part) -> dict[str, Any]:
        return self._at(part) | {"content_index": 0}
