"""Server-sent events of OpenAI-like servers, made alike: one line of data each, and an end that can be told."""

from typing import Any

import msgspec
from msgspec import Struct

from penstock.domain.errors import ProviderFailed

DONE = b"data: [DONE]\n\n"
_END = b"\n\n"
_DATA = b"data:"
_LINE = b"data: "
MOST_EVENT = 16 * 1024 * 1024


class _Choice(Struct):
    finish_reason: str | None = None


class _Event(Struct):
    choices: list[_Choice] = []
    usage: Any = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Event)


class EventReader:
    """Cuts a stream after whole events. Comments and names of events are left out, line ends are a line feed."""

    __slots__ = ("_last", "_rest", "_who", "done")

    def __init__(self, who: str) -> None:
        self._who = who
        self._rest = b""
        self._last = b""
        self.done = False

    def feed(self, chunk: bytes) -> bytes:
        """The events that are whole with this chunk; empty if there is none. Raises ProviderFailed."""
        if self._rest:
            chunk, self._rest = self._rest + chunk, b""
        if b"\r" in chunk:
            ends_open = chunk.endswith(b"\r")
            chunk = chunk[: len(chunk) - ends_open].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            cut = chunk.rfind(_END) + len(_END) if _END in chunk else 0
            self._rest = chunk[cut:] + (b"\r" if ends_open else b"")
            chunk = chunk[:cut]
        elif not chunk.endswith(_END):
            cut = chunk.rfind(_END) + len(_END) if _END in chunk else 0
            self._rest = chunk[cut:]
            chunk = chunk[:cut]
        if len(self._rest) > MOST_EVENT:
            raise ProviderFailed(f"{self._who} sent an event of more than {MOST_EVENT} bytes.")
        return self._events(chunk) if chunk else b""

    def end(self) -> bytes:
        """What is left at the end of the body; raises ProviderFailed if the answer is not complete."""
        left = self._events(self._rest.replace(b"\r\n", b"\n") + _END) if self._rest.strip() else b""
        if self.done:
            return left
        try:
            last = _decoder.decode(self._last)
        except msgspec.DecodeError:
            last = _Event()
        if last.error is not None:
            return left
        if (last.usage is not None and not last.choices) or any(one.finish_reason for one in last.choices):
            self.done = True
            return left + DONE
        raise ProviderFailed(f"{self._who} broke off in the middle of its answer.")

    def _events(self, whole: bytes) -> bytes:
        """Events that end with an empty line; what comes after the last one of an answer is dropped."""
        events = whole[: -len(_END)].split(_END)
        plain = all(event.startswith(_LINE) and b"\n" not in event for event in events)
        found = [event[len(_LINE) :] for event in events] if plain else list(filter(None, map(_data, events)))
        if not found:
            return b""
        if b"[DONE]" in found:
            self.done = True
            plain = plain and found[-1] == b"[DONE]"
            found = found[: found.index(b"[DONE]") + 1]
        self._last = found[-2] if self.done and len(found) > 1 else found[-1]
        return whole if plain else b"".join(_LINE + data + _END for data in found)


def _data(event: bytes) -> bytes:
    """The data of an event in one line, empty if it has none."""
    lines = [line[len(_DATA) :].strip() for line in event.split(b"\n") if line.startswith(_DATA)]
    return b" ".join(lines)
