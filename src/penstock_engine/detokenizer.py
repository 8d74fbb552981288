"""From tokens to text, a token at a time: never half a character, and nothing that may turn out to be a stop string."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LONGEST_CHARACTER = 6
"""Tokens after which a window that still ends in a broken character is taken for really broken text."""


class Detokenizer(Protocol):
    """Turns one answer's tokens into text. The texts, joined, are the answer."""

    def push(self, token: int) -> str:
        """The text that is certain after this token; may be empty."""

    def flush(self) -> str:
        """What was held back; bytes that are no character come as U+FFFD."""


class ByteDetokenizer:
    """For tokenizers whose tokens are strings of bytes: looks them up and decodes UTF-8 incrementally."""

    __slots__ = ("_decode", "_pieces", "_strip")

    def __init__(self, pieces: Sequence[bytes], *, strip: bool) -> None:
        """`pieces`: the bytes of every token, empty for those that are not text. `strip`: leave out a first space."""
        self._pieces = pieces
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._strip = strip

    def push(self, token: int) -> str:
        """The text that is certain after this token."""
        piece = self._pieces[token] if token < len(self._pieces) else b""
        if self._strip and piece:
            self._strip = False
            piece = piece.removeprefix(b" ")
        return self._decode(piece)

    def flush(self) -> str:
        """What was held back."""
        return self._decode(b"", True)


class WindowDetokenizer:
    """For any tokenizer: decodes the last few tokens with and without the new one, and gives the difference."""

    __slots__ = ("_decode", "_done", "_read", "_tokens")

    def __init__(self, decode: Callable[[list[int]], str], before: list[int]) -> None:
        """`decode`: tokens to text. `before`: the last few tokens before the answer, if it continues a text."""
        self._decode = decode
        self._tokens = list(before)
        self._done = 0
        self._read = len(before)

    def push(self, token: int) -> str:
        """The text that is certain after this token."""
        self._tokens.append(token)
        old = self._decode(self._tokens[self._done : self._read])
        new = self._decode(self._tokens[self._done :])
        broken = new.endswith(_REPLACEMENT) and len(self._tokens) - self._read < _LONGEST_CHARACTER
        if broken or len(new) <= len(old):
            return ""
        self._done, self._read = self._read, len(self._tokens)
        return new[len(old) :]

    def flush(self) -> str:
        """What was held back."""
        old = self._decode(self._tokens[self._done : self._read])
        new = self._decode(self._tokens[self._done :])
        self._done = self._read = len(self._tokens)
        return new[len(old) :]


class MarkedDetokenizer:
    """Shows some special tokens as text, which are left out otherwise: they say what the text around them is."""

    __slots__ = ("_inner", "_marks")

    def __init__(self, inner: Detokenizer, marks: Mapping[int, str]) -> None:
        self._inner = inner
        self._marks = marks

    def push(self, token: int) -> str:
        """The text that is certain after this token."""
        mark = self._marks.get(token)
        return self._inner.push(token) if mark is None else self._inner.flush() + mark

    def flush(self) -> str:
        """What was held back."""
        return self._inner.flush()


class StopFilter:
    """Holds back the end of a text as long as it may be the beginning of a stop string."""

    __slots__ = ("_held", "_stops", "met")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.met: str | None = None
        """The stop string that was met; the text ended before it."""

    @property
    def stopped(self) -> bool:
        """Whether a stop string was met."""
        return self.met is not None

    def push(self, text: str) -> str:
        """The part of the text so far that is certain to come before any stop string."""
        whole = self._held + text
        cut, self.met = min(((at, stop) for stop in self._stops if (at := whole.find(stop)) >= 0), default=(-1, None))
        if cut >= 0:
            self._held = ""
            return whole[:cut]
        keep = max((overlap(whole, stop) for stop in self._stops), default=0)
        self._held = whole[len(whole) - keep :]
        return whole[: len(whole) - keep]

    def flush(self) -> str:
        """The text has ended: what was held back was no stop string."""
        held, self._held = self._held, ""
        return held


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of the text that begins the stop string."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
