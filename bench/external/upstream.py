"""A provider that streams: OpenAI's chat chunks at a steady rate, forever the same. Run as a program of its own.

    python upstream.py PORT CHUNKS CHUNKS_PER_SECOND

The first chunk comes at once, the others follow in time; then the finish, the usage, and [DONE].
"""

import asyncio
import json
import re
import sys

_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"


def event(choices: list[dict[str, object]], usage: dict[str, int] | None = None) -> bytes:
    """One event of a chat, as OpenAI sends it."""
    told = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "streams",
        "choices": choices,
    }
    return b"data: " + json.dumps(told if usage is None else {**told, "usage": usage}).encode() + b"\n\n"


def framed(data: bytes) -> bytes:
    """A chunk of HTTP/1.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def delta(text: str | None, finish: str | None = None) -> bytes:
    """An event with a piece of text."""
    return event([{"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}])


def last(chunks: int) -> bytes:
    """What comes after the last chunk, framed."""
    usage = {"prompt_tokens": 24, "completion_tokens": chunks, "total_tokens": 24 + chunks}
    return b"".join(map(framed, (delta(None, "stop"), event([], usage), b"data: [DONE]\n\n"))) + END


def taken(buffer: bytes) -> int:
    """How many bytes of the buffer are one whole request, 0 if it is not all there."""
    end = buffer.find(_HEAD_END)
    if end < 0:
        return 0
    found = _LENGTH.search(buffer, 0, end)
    size = end + len(_HEAD_END) + (int(found[1]) if found else 0)
    return size if len(buffer) >= size else 0


class Streams(asyncio.Protocol):
    """One connection: a stream for each request, one after another."""

    def __init__(self, chunks: int, rate: float) -> None:
        self._chunks = chunks
        self._rate = rate
        self._piece = framed(delta(" token"))
        self._end = last(chunks)
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        size = taken(self._buffer)
        if size:
            self._buffer = self._buffer[size:]
            self._began, self._sent = self._loop.time(), 0
            self._transport.write(HEAD)
            self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _next(self) -> None:
        self._transport.write(self._piece)
        self._sent += 1
        due = self._began + self._sent / self._rate
        self._timer = self._loop.call_at(due, self._next if self._sent < self._chunks else self._finish)

    def _finish(self) -> None:
        self._transport.write(self._end)


async def serve(port: int, chunks: int, rate: float) -> None:
    """Serves until it is ended."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Streams(chunks, rate), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


def main() -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))


if __name__ == "__main__":
    main()
