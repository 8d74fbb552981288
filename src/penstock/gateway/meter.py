"""What is read of an external model's answer as it passes: its usage, or the length of its text where it tells none."""

from dataclasses import replace

import msgspec
from msgspec import Struct

from penstock.domain.usage import Usage, guessed

DONE = b"data: [DONE]\n\n"
_END = b"\n\n"
_DATA = b"data: "


class _Details(Struct):
    cached_tokens: int | None = None


class _Tokens(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Text(Struct):
    content: object = None


class _Choice(Struct):
    delta: _Text | None = None
    message: _Text | None = None
    text: str | None = None


class _Answer(Struct):
    choices: list[_Choice] | None = None
    usage: _Tokens | None = None


_decoder = msgspec.json.Decoder(_Answer)
_NOTHING = _Answer()


class Meter:
    """Reads one answer. `prompt` is the length of its prompt, in tokens if they are `counted`, else in characters.

    With `hides_usage`, the event that only tells usage is taken out of what is passed on.
    """

    __slots__ = ("_characters", "_counted", "_hides", "_prompt", "_told", "done", "heard")

    def __init__(self, prompt: int, *, counted: bool = False, hides_usage: bool = False) -> None:
        self._prompt = prompt
        self._counted = counted
        self._hides = hides_usage
        self._characters = 0
        self._told: Usage | None = None
        self.done = False
        self.heard = False

    def feed(self, events: bytes) -> bytes:
        """Reads whole events, and returns what of them is for the client; that may be nothing."""
        self.done, self.heard = events.endswith(DONE), True
        found = events[: -len(_END)].split(_END)
        hidden: set[int] = set()
        for number, event in enumerate(found):
            answer = _read(event[len(_DATA) :])
            self._take(answer)
            if self._hides and answer.usage is not None and answer.choices == []:
                hidden.add(number)
        if not hidden:
            return events
        return b"".join(event + _END for number, event in enumerate(found) if number not in hidden)

    def whole(self, body: bytes) -> None:
        """Reads a complete answer."""
        self._take(_read(body))
        self.done = self.heard = True

    def usage(self) -> Usage:
        """What was used so far: as the provider told, or else estimated."""
        if self._told is not None:
            return self._told
        guess = guessed(self._prompt, self._characters)
        return replace(guess, prompt_tokens=self._prompt) if self._counted else guess

    def _take(self, answer: _Answer) -> None:
        if answer.usage is not None:
            self._told = _usage(answer.usage)
        for choice in answer.choices or ():
            self._characters += _length(choice)


def _read(text: bytes) -> _Answer:
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _NOTHING


def _usage(tokens: _Tokens) -> Usage:
    cached = tokens.prompt_tokens_details.cached_tokens if tokens.prompt_tokens_details is not None else 0
    return Usage(tokens.prompt_tokens or 0, tokens.completion_tokens or 0, cached or 0)


def _length(choice: _Choice) -> int:
    content = (choice.delta or choice.message or _Text()).content
    return len(choice.text or "") + (len(content) if isinstance(content, str) else 0)
