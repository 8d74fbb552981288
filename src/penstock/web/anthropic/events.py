"""A message's stream: named events, written from a chat stream."""

from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.web.anthropic.errors import told
from penstock.web.anthropic.message import begun, ending_of, message, usage
from penstock.web.openai.chat_answer import Used
from penstock.web.openai.chat_stream import Begun, Broken, ChatStream, Closed, Ended, Grew, Opened, Step


class MessageEvents:
    """Writes one stream."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._stream = ChatStream()

    def feed(self, chunk: bytes) -> bytes:
        """The events that follow from the next bytes of the chat stream."""
        return b"".join(_write(event) for step in self._stream.feed(chunk) for event in self._events(step))

    def _events(self, step: Step) -> Iterator[dict[str, Any]]:
        match step:
            case Begun(answer):
                head = message(self._request_id, answer, [], ending_of(None), answer.usage or Used())
                yield {"type": "message_start", "message": head}
            case Opened(part):
                yield {"type": "content_block_start", "index": part.index, "content_block": begun(part)}
            case Grew(part, text, _) if text:
                delta = (
                    {"type": "input_json_delta", "partial_json": text}
                    if part.calls
                    else {"type": "text_delta", "text": text}
                )
                yield {"type": "content_block_delta", "index": part.index, "delta": delta}
            case Closed(part):
                yield {"type": "content_block_stop", "index": part.index}
            case Ended(finish, used):
                ending = ending_of(finish, self._stream.stop)
                yield {"type": "message_delta", "delta": ending, "usage": usage(used)}
                yield {"type": "message_stop"}
            case Broken(code, words, _):
                yield told(code, words, self._request_id)


def _write(event: dict[str, Any]) -> bytes:
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"
