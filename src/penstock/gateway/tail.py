"""What is read from an answer on its way: where events end, and what the last one says of usage. Nothing else."""

from dataclasses import replace

import msgspec
from msgspec import Struct

from penstock.domain.measured import seconds_of
from penstock.domain.usage import Usage
from penstock.ports.relay import USAGE_COMMENT

DONE = b"data: [DONE]\n\n"
END = b"\n\n"
"""What ends an event."""
_DATA = b"data: "
_COMMENT = b": "
_MEASURED = b": device-seconds "
"""The comment in the last event with which our engine tells what an answer took: for the gate, not for the client."""


class _Cached(Struct):
    cached_tokens: int | None = None


class _Tokens(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Cached | None = None


class _Answer(Struct):
    usage: _Tokens | None = None
    error: object = None


_decoder = msgspec.json.Decoder(_Answer)
_tokens = msgspec.json.Decoder(_Tokens)


def _read(text: bytes) -> _Answer | None:
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        return None


def usage_of(body: bytes) -> Usage | None:
    """The usage that an answer, or one event's data, tells; None if it tells none."""
    answer = _read(body)
    return _usage(answer.usage) if answer is not None and answer.usage is not None else None


def _usage(tokens: _Tokens) -> Usage:
    details = tokens.prompt_tokens_details
    cached = details.cached_tokens if details is not None else None
    return Usage(tokens.prompt_tokens, tokens.completion_tokens, cached or 0)


def _read_usage(text: bytes) -> Usage | None:
    try:
        return _usage(_tokens.decode(text))
    except msgspec.DecodeError:
        return None


class Tail:
    """Cuts a stream after whole events, and keeps the newest ones to be read when the stream has ended.

    `measured_s` are the seconds of the device that the engine told at the end, 0 if it did not.
    An engine may tell the usage there too, in a comment.
    """

    __slots__ = ("_last", "_rest", "_told", "done", "measured_s")

    def __init__(self) -> None:
        self._rest = b""
        self._last = b""
        self._told: Usage | None = None
        self.done = False
        self.measured_s = 0.0

    def feed(self, chunk: bytes) -> bytes:
        """The events that are whole with this chunk, as bytes to pass on; empty if there is none."""
        if self._rest:
            chunk = self._rest + chunk
            self._rest = b""
        if not chunk.endswith(END):
            end = chunk.rfind(END)
            cut = end + len(END) if end >= 0 else 0
            self._rest = chunk[cut:]
            chunk = chunk[:cut]
            if not chunk:
                return b""
        self.done = chunk.endswith(DONE)
        if self.done:
            chunk = self._ended(chunk)
        if chunk != DONE:
            self._last = chunk
        return chunk

    def usage(self) -> Usage | None:
        """What was used so far, from the last event that tells it, or from the engine's comment at the end."""
        if self._told is not None:
            return replace(self._told, measured_s=self.measured_s)
        for event in self._newest_first():
            answer = _read(event)
            if answer is not None and answer.usage is not None:
                return replace(_usage(answer.usage), measured_s=self.measured_s)
        return None

    def broken(self) -> bool:
        """Whether the last event is the engine's own report of an error."""
        answer = next((found for event in self._newest_first() if (found := _read(event)) is not None), None)
        return answer is not None and answer.error is not None

    def _ended(self, chunk: bytes) -> bytes:
        """Takes what the engine tells only us out of the last event."""
        end = len(chunk) - len(DONE)
        begin = chunk.rfind(END, 0, end)
        begin = begin + len(END) if begin >= 0 else 0
        comments = chunk[begin:end]
        if not comments.startswith(_COMMENT):
            return chunk
        for line in comments.splitlines():
            if line.startswith(_MEASURED):
                self.measured_s = seconds_of(line[len(_MEASURED) :])
            elif line.startswith(USAGE_COMMENT):
                self._told = _read_usage(line[len(USAGE_COMMENT) :])
        return chunk[:begin] + DONE

    def _newest_first(self) -> list[bytes]:
        lines = reversed(self._last.split(END))
        return [line[len(_DATA) :] for line in lines if line.startswith(_DATA)]
