"""A stream: each event is an answer with what is new, written from a chat stream. Nothing but its end ends it."""

from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.domain.errors import EngineFailed
from penstock.web.gemini.answer import candidate, content, part, told_part
from penstock.web.gemini.errors import told
from penstock.web.openai.chat_answer import Used
from penstock.web.openai.chat_stream import Begun, Broken, ChatStream, Closed, Ended, Grew, Step, Thought


class ContentEvents:
    """Writes one stream; `thoughts` says whether those are told."""

    def __init__(self, request_id: str, *, thoughts: bool) -> None:
        self._request_id = request_id
        self._thoughts = thoughts
        self._stream = ChatStream()
        self._model = ""
        self._failed = False

    def feed(self, chunk: bytes) -> bytes:
        """The events that follow from the next bytes of the chat stream."""
        return b"".join(_write(event) for step in self._stream.feed(chunk) for event in self._told(step))

    def _told(self, step: Step) -> Iterator[dict[str, Any]]:
        """Nothing follows an error."""
        if self._failed:
            return
        try:
            yield from self._events(step)
        except EngineFailed as error:
            self._failed = True
            yield told(error.code, error.message)

    def _events(self, step: Step) -> Iterator[dict[str, Any]]:
        match step:
            case Begun(answer):
                self._model = answer.model
            case Thought(text) if self._thoughts:
                yield self._content(candidate([part(text, thought=True)]))
            case Grew(one, text, logprobs) if not one.calls and (text or logprobs):
                yield self._content(candidate([part(text)], logprobs=logprobs))
            case Closed(one) if one.calls:
                yield self._content(candidate([told_part(one)]))
            case Ended(finish, used):
                yield self._content(candidate([part("")], finish), used)
            case Broken(code, words, _):
                yield told(code, words)

    def _content(self, said: dict[str, Any], used: Used | None = None) -> dict[str, Any]:
        return content(self._request_id, self._model, [said], used)


def _write(event: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(event) + b"\n\n"
