"""A chat stream, taken apart into steps that other wire formats are written from.

Whatever the order of a model's events: parts come one after the other, each opened, grown and closed before the next.
What arrives of a later part in the meantime is held back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from msgspec import Raw

from penstock.domain.errors import EngineFailed
from penstock.web.openai.chat_answer import STOP, Called, ChatAnswer, Choice, Part, Said, ToolCall, Used, read_answer

_END = b"\n\n"
_DATA = b"data:"
_DONE = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Begun:
    """The first event; `answer` has the model and, where it is known by now, the prompt's tokens."""

    answer: ChatAnswer


@dataclass(frozen=True, slots=True)
class Thought:
    """More of what the model thinks, which is no part of its answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A part begins."""

    part: Part


@dataclass(frozen=True, slots=True)
class Grew:
    """More of the open part."""

    part: Part
    text: str
    logprobs: list[Raw]


@dataclass(frozen=True, slots=True)
class Closed:
    """The open part is complete."""

    part: Part


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is complete: why it ended, in chat's words, and what it used."""

    finish: str
    used: Used


@dataclass(frozen=True, slots=True)
class Broken:
    """The answer cannot go on."""

    code: str
    message: str
    used: Used


Step = Begun | Thought | Opened | Grew | Closed | Ended | Broken


class ChatStream:
    """Reads a stream's bytes, cut anywhere.

    `parts` are those so far. `finish` is why the answer ended, `stop` the stop string that ended it, if that is told,
    and `over` says that nothing follows any more.
    """

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.finish = STOP
        self.stop: str | None = None
        self.over = False
        self._rest = b""
        self._begun = False
        self._live = 0
        self._calls: dict[int, Part] = {}
        self._used = Used()

    def feed(self, chunk: bytes) -> Iterator[Step]:
        """The steps that a stream's next bytes make."""
        *events, self._rest = (self._rest + chunk).split(_END)
        for event in events:
            for line in event.split(b"\n"):
                if line.startswith(_DATA) and not self.over:
                    yield from self._event(line[len(_DATA) :].strip())

    def _event(self, data: bytes) -> Iterator[Step]:
        if data == _DONE:
            yield from self._end()
            return
        try:
            answer = read_answer(data)
        except EngineFailed as error:
            self.over = True
            yield Broken(error.code, error.message, self._used)
            return
        self._used = answer.usage or self._used
        if not self._begun:
            self._begun = True
            yield Begun(answer)
        if answer.error is not None:
            self.over = True
            yield Broken(*_told(answer.error), self._used)
        for choice in answer.choices[:1]:
            yield from self._choice(choice)

    def _choice(self, choice: Choice) -> Iterator[Step]:
        said = choice.delta or Said()
        scores = (choice.logprobs and choice.logprobs.content) or []
        if said.thoughts:
            yield Thought(said.thoughts)
        if said.text or scores:
            yield from self._say(said.text, scores)
        for place, call in enumerate(said.tool_calls or ()):
            yield from self._call(place if call.index is None else call.index, call)
        self.finish = choice.finish_reason or self.finish
        self.stop = choice.stop or self.stop

    def _say(self, text: str, scores: list[Raw]) -> Iterator[Step]:
        last = self.parts[-1] if self.parts else None
        if last is None or last.calls:
            last = Part(len(self.parts))
            yield from self._open(last)
        yield from self._grow(last, text, scores)

    def _call(self, index: int, call: ToolCall) -> Iterator[Step]:
        function = call.function or Called()
        part = self._calls.get(index)
        if part is None:
            part = Part(len(self.parts), function.name or "", call.id or f"call_{index}", call.signature)
            self._calls[index] = part
            yield from self._open(part)
        if function.arguments:
            yield from self._grow(part, function.arguments, [])

    def _open(self, part: Part) -> Iterator[Step]:
        """Texts end where something else begins; calls may still get more arguments."""
        self.parts.append(part)
        if self._live == part.index:
            yield Opened(part)
        elif not self.parts[self._live].calls:
            yield from self._advance()

    def _grow(self, part: Part, text: str, scores: list[Raw]) -> Iterator[Step]:
        part.pieces.append(text)
        part.logprobs += scores
        if part.index == self._live:
            yield Grew(part, text, scores)

    def _advance(self) -> Iterator[Step]:
        """Closes the open part, and opens the next with what was held back of it."""
        yield Closed(self.parts[self._live])
        self._live += 1
        if self._live < len(self.parts):
            part = self.parts[self._live]
            yield Opened(part)
            if part.pieces:
                yield Grew(part, part.text, list(part.logprobs))

    def _end(self) -> Iterator[Step]:
        if not self.parts:
            yield from self._open(Part(0))
        while self._live < len(self.parts):
            yield from self._advance()
        self.over = True
        yield Ended(self.finish, self._used)


def _told(error: object) -> tuple[str, str]:
    """Code and message of an error in a stream, ours or another server's."""
    about: Mapping[str, object] = error if isinstance(error, dict) else {"message": error}
    return str(about.get("code") or about.get("type") or EngineFailed.code), str(about.get("message") or "")
