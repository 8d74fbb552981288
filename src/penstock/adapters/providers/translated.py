"""Answers of providers with another wire, told in OpenAI's."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from penstock.adapters.providers.event_reader import EventReader
from penstock.adapters.providers.wire import WireAnswer
from penstock.domain.errors import ProviderFailed

_ERROR = 400
_JSON = b"application/json"
_EVENTS = b"text/event-stream"
_END = b"\n\n"
_LINE = b"data: "


class Translator(Protocol):
    """Turns a provider's stream into events of OpenAI's. `done` once the last one was told."""

    @property
    def done(self) -> bool:
        """Whether all was told."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """The events that are whole with this chunk, translated. Raises ProviderFailed."""
        ...

    def end(self) -> bytes:
        """What is left at the end of the body; raises ProviderFailed if the answer is not complete."""
        ...


class EventTranslator(Protocol):
    """Turns events, each a JSON object, into events of OpenAI's."""

    @property
    def done(self) -> bool:
        """Whether all was told."""
        ...

    def event(self, data: bytes) -> bytes:
        """One event, translated; may be nothing. Raises ProviderFailed, or msgspec.DecodeError for another shape."""
        ...

    def end(self) -> bytes:
        """What is left to say when the provider has said all; empty if it must not end here."""
        ...


class SseTranslator:
    """A Translator of server-sent events."""

    __slots__ = ("_events", "_reader", "_who")

    def __init__(self, who: str, events: EventTranslator) -> None:
        self._who = who
        self._reader = EventReader(who)
        self._events = events

    @property
    def done(self) -> bool:
        """Whether all was told."""
        return self._events.done

    def feed(self, chunk: bytes) -> bytes:
        """The events that are whole with this chunk."""
        whole = self._reader.feed(chunk)
        found = []
        for event in whole[: -len(_END)].split(_END) if whole else ():
            data = event[len(_LINE) :]
            if data.startswith(b"{") and not self.done:
                found.append(self._one(data))
        return b"".join(found)

    def end(self) -> bytes:
        """The last event may lack its empty line."""
        left = self.feed(_END)
        if not self.done:
            left += self._events.end()
        if not self.done:
            raise ProviderFailed(f"{self._who} broke off in the middle of its answer.")
        return left

    def _one(self, data: bytes) -> bytes:
        try:
            return self._events.event(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ProviderFailed(f"{self._who} sent an event that its API does not have.") from None


class TranslatedAnswer:
    """See `penstock.ports.provider.ProviderAnswer`. Errors keep the provider's body."""

    __slots__ = ("_answer", "_stream", "_translate", "_who", "content_type", "retry_after", "status")

    def __init__(
        self, answer: WireAnswer, who: str, translate: Callable[[bytes], bytes], stream: Translator | None = None
    ) -> None:
        self._answer = answer
        self._who = who
        self._translate = translate
        self._stream = stream
        self.status = answer.status
        self.retry_after = answer.retry_after
        self.content_type = _EVENTS if stream is not None else _JSON
        if answer.status >= _ERROR:
            self.content_type = answer.content_type

    async def whole(self) -> bytes:
        """The body."""
        body = await self._answer.whole()
        if self.status >= _ERROR:
            return body
        try:
            return self._translate(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ProviderFailed(f"The answer of {self._who} has not the shape of its API.") from None

    async def events(self) -> bytes:
        """The next events."""
        stream, answer = self._stream, self._answer
        assert stream is not None
        found, chunk = b"", b"more"
        while chunk and not found and not stream.done:
            chunk = await answer.chunk()
            found = stream.feed(chunk) if chunk else stream.end()
        if stream.done:
            answer.complete()
        return found

    def close(self) -> None:
        """Safe to repeat."""
        self._answer.close()
